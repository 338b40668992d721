#include "dns.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "clock.h"
#include "error.h"
#include "random.h"

enum {
  SILENT_MS = 10000, /* how long a server that was silent is asked last */
  QUERY_BYTES_MAX = 12 + 255 + 4 + 11,
  RANDOM_IDS = 128,
};

struct server {
  struct channel_server channel;
  int64_t silent_until_ms; /* asked last until then */
};

enum query_state { QUERY_WAITING, QUERY_UNDER_WAY, QUERY_FAILED_AT_ONCE };

struct dns_query {
  struct dns *dns;
  struct dns_query *previous, *next; /* in the queue or in the list of the failed */
  enum query_state state;
  dns_done_fn *done; /* NULL: cancelled */
  void *context;
  struct server *server;              /* of this try */
  struct channel *channel;            /* of this try, while c-ares has it */
  unsigned tries_left, servers_tried; /* a bit a server */
  bool refuse_edns;                   /* of the server of this try */
  enum channel_result failure;        /* with QUERY_FAILED_AT_ONCE */
  uint16_t qtype;
  char name[];
};

struct query_list {
  struct dns_query *first, *last;
};

struct dns {
  struct ev_loop *loop;
  struct stats *stats;
  struct channels *channels;
  ev_timer soon; /* delivers what failed while it was being sent */
  struct server servers[DNS_SERVERS_MAX];
  size_t server_count;
  uint32_t tries, max_queries, max_queue;
  unsigned under_way, waiting;
  struct query_list queue, failed;
  uint16_t ids[RANDOM_IDS];
  size_t ids_left;
  bool is_sending;       /* inside channel_send */
  struct dnsmsg message; /* the reply being delivered */
};

/* ---- lists ---- */

static void list_append(struct query_list *list, struct dns_query *query) {
  query->previous = list->last;
  query->next = NULL;
  *(list->last ? &list->last->next : &list->first) = query;
  list->last = query;
}

static void list_remove(struct query_list *list, struct dns_query *query) {
  *(query->previous ? &query->previous->next : &list->first) = query->next;
  *(query->next ? &query->next->previous : &list->last) = query->previous;
}

/* ---- the query as bytes ---- */

static uint16_t next_id(struct dns *dns) {
  if (dns->ids_left == 0) {
    random_bytes(dns->ids, sizeof(dns->ids));
    dns->ids_left = RANDOM_IDS;
  }
  return dns->ids[--dns->ids_left];
}

static uint8_t *put16(uint8_t *at, unsigned value) {
  *at++ = (uint8_t)(value >> 8);
  *at++ = (uint8_t)value;
  return at;
}

static uint8_t *put_name(uint8_t *at, const char *name) {
  while (*name) {
    size_t length = strcspn(name, ".");
    *at++ = (uint8_t)length;
    memcpy(at, name, length);
    at += length;
    name += name[length] == '.' ? length + 1 : length;
  }
  *at++ = 0;
  return at;
}

/* Header with RD, the question, and OPT (RFC 6891 section 6.1.2) last, where c-ares
 * cuts it off after a FORMERR. */
static size_t build_query(const struct dns_query *query, uint8_t bytes[QUERY_BYTES_MAX]) {
  uint8_t *at = put16(bytes, next_id(query->dns));
  at = put16(at, 0x0100);
  at = put16(at, 1);
  at = put16(at, 0);
  at = put16(at, 0);
  at = put16(at, channel_has_edns(query->channel) ? 1 : 0);
  at = put_name(at, query->name);
  at = put16(at, query->qtype);
  at = put16(at, 1);
  if (channel_has_edns(query->channel)) {
    *at++ = 0;
    at = put16(at, DNSMSG_OPT);
    at = put16(at, CHANNEL_EDNS_SIZE);
    memset(at, 0, 6);
    at += 6;
  }
  return (size_t)(at - bytes);
}

/* ---- tries ---- */

static void send_query(struct dns_query *query);
static void send_to(struct dns_query *query, struct server *server, int64_t now_ms);
static void start_waiting(struct dns *dns);

/* The query is over: calls back and lets the next one start. */
static void finish(struct dns_query *query, enum dns_result result, const struct dnsmsg *message,
                   int64_t now_ms) {
  struct dns *dns = query->dns;
  dns_done_fn *done = query->done;
  void *context = query->context;
  dns->under_way--;
  free(query);
  if (done)
    done(context, result, message, now_ms);
  start_waiting(dns);
}

/* The server to ask next: one not tried yet, rather one that was not silent of late,
 * else in turn. */
static size_t choose_server(const struct dns_query *query, int64_t now_ms) {
  const struct dns *dns = query->dns;
  size_t best = 0;
  unsigned best_cost = UINT32_MAX;
  for (size_t i = 0; i < dns->server_count; i++) {
    unsigned cost =
        (query->servers_tried >> i & 1 ? 2u : 0u) + (dns->servers[i].silent_until_ms > now_ms ? 1u : 0u);
    if (cost < best_cost) {
      best = i;
      best_cost = cost;
    }
  }
  return best;
}

static bool has_untried_server(const struct dns_query *query) {
  return query->servers_tried != (1u << query->dns->server_count) - 1;
}

static void retry(struct dns_query *query) {
  if (query->dns->server_count > 1)
    stats_add(query->dns->stats, STATS_DNS_FAILOVERS);
  if (!has_untried_server(query))
    query->servers_tried = 0;
  send_query(query);
}

static void on_failure(struct dns_query *query, enum dns_result result, int64_t now_ms) {
  if (result == DNS_TIMED_OUT)
    stats_add(query->dns->stats, STATS_DNS_TIMEOUTS);
  query->server->silent_until_ms = now_ms + SILENT_MS;
  if (query->done && query->tries_left > 0)
    retry(query);
  else
    finish(query, result, NULL, now_ms);
}

/* Whether another server might say more. */
static bool is_unhelpful(enum dnsmsg_outcome outcome) {
  switch (outcome) {
  case DNSMSG_FORMERR:
  case DNSMSG_SERVFAIL:
  case DNSMSG_NOTIMP:
  case DNSMSG_REFUSED:
  case DNSMSG_OTHER_RCODE:
  case DNSMSG_MALFORMED:
    return true;
  case DNSMSG_ANSWER:
  case DNSMSG_NODATA:
  case DNSMSG_NXDOMAIN:
  case DNSMSG_FOLLOW:
  case DNSMSG_LOOP:
    return false;
  }
  return false;
}

static void on_message(struct dns_query *query, const uint8_t *bytes, size_t length, int64_t now_ms) {
  struct dns *dns = query->dns;
  struct dnsmsg *message = &dns->message;
  dnsmsg_parse(bytes, length, query->name, query->qtype, message);
  stats_add(dns->stats, message->outcome == DNSMSG_MALFORMED ? STATS_DNS_MALFORMED : STATS_DNS_ANSWERS);
  query->server->silent_until_ms = 0;
  bool was_plain = channel_was_plain(query->channel, message->has_opt, now_ms);
  if (message->outcome == DNSMSG_FORMERR && !was_plain && query->done) {
    query->refuse_edns = true; /* RFC 6891 section 7; no try is used up */
    send_to(query, query->server, now_ms);
  } else if (is_unhelpful(message->outcome) && query->done && query->tries_left > 0 &&
             has_untried_server(query)) {
    retry(query);
  } else {
    finish(query, DNS_REPLIED, message, now_ms);
  }
}

static enum dns_result as_dns_result(enum channel_result failure) {
  return failure == CHANNEL_TIMED_OUT ? DNS_TIMED_OUT : DNS_UNREACHABLE;
}

/* What fails while something is being sent is told in the next turn of the loop: dns_ask never calls back. */
static void fail_soon(struct dns_query *query, enum channel_result failure) {
  query->state = QUERY_FAILED_AT_ONCE;
  query->failure = failure;
  list_append(&query->dns->failed, query);
  ev_timer_start(query->dns->loop, &query->dns->soon);
}

static void on_channel(void *context, enum channel_result result, const uint8_t *bytes, size_t length) {
  struct dns_query *query = context;
  int64_t now_ms = clock_now_ms();
  switch (result) {
  case CHANNEL_MESSAGE:
    on_message(query, bytes, length, now_ms);
    break;
  case CHANNEL_TIMED_OUT:
  case CHANNEL_UNREACHABLE:
    channel_was_plain(query->channel, false, now_ms);
    if (query->dns->is_sending)
      fail_soon(query, result);
    else
      on_failure(query, as_dns_result(result), now_ms);
    break;
  case CHANNEL_CLOSED:
    free(query);
    break;
  }
}

/* Asks the server that is best now. Uses up a try. */
static void send_query(struct dns_query *query) {
  int64_t now_ms = clock_now_ms();
  size_t index = choose_server(query, now_ms);
  query->tries_left--;
  query->servers_tried |= 1u << index;
  query->refuse_edns = false;
  send_to(query, &query->dns->servers[index], now_ms);
}

static void send_to(struct dns_query *query, struct server *server, int64_t now_ms) {
  struct dns *dns = query->dns;
  bool with_edns = !query->refuse_edns && server->channel.plain_until_ms <= now_ms;
  query->state = QUERY_UNDER_WAY;
  query->server = server;
  query->channel = channel_get(dns->channels, &server->channel, with_edns);
  if (!query->channel) {
    fail_soon(query, CHANNEL_UNREACHABLE);
    return;
  }
  uint8_t bytes[QUERY_BYTES_MAX];
  size_t length = build_query(query, bytes);
  enum channel_result failure;
  dns->is_sending = true;
  bool is_sent = channel_send(query->channel, bytes, length, query, &failure);
  dns->is_sending = false;
  if (!is_sent)
    fail_soon(query, failure);
}

static void start_waiting(struct dns *dns) {
  while (dns->queue.first && dns->under_way < dns->max_queries) {
    struct dns_query *query = dns->queue.first;
    list_remove(&dns->queue, query);
    dns->waiting--;
    dns->under_way++;
    send_query(query);
  }
}

static void on_soon(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct dns *dns = timer->data;
  int64_t now_ms = clock_now_ms();
  struct query_list failed = dns->failed;
  dns->failed = (struct query_list){NULL, NULL};
  while (failed.first) {
    struct dns_query *query = failed.first;
    list_remove(&failed, query);
    query->state = QUERY_UNDER_WAY;
    on_failure(query, as_dns_result(query->failure), now_ms);
  }
}

/* ---- the room ---- */

int dns_create(struct ev_loop *loop, const struct dns_options *options, struct stats *stats,
               struct dns **result) {
  assert(options->server_count >= 1 && options->server_count <= DNS_SERVERS_MAX);
  struct dns *dns = calloc(1, sizeof(*dns));
  if (!dns)
    return ERR_NOMEM;
  dns->channels = channels_create(loop, options->timeout_ms, on_channel, stats);
  if (!dns->channels) {
    free(dns);
    return ERR_NOMEM;
  }
  dns->loop = loop;
  dns->stats = stats;
  dns->server_count = options->server_count;
  for (size_t i = 0; i < options->server_count; i++)
    dns->servers[i].channel.address = *options->servers[i];
  dns->tries = options->tries;
  dns->max_queries = options->max_queries;
  dns->max_queue = options->max_queue;
  ev_timer_init(&dns->soon, on_soon, 0., 0.);
  dns->soon.data = dns;
  *result = dns;
  return 0;
}

static void free_list(struct query_list *list) {
  while (list->first) {
    struct dns_query *query = list->first;
    list_remove(list, query);
    free(query);
  }
}

void dns_destroy(struct dns *dns) {
  if (!dns)
    return;
  channels_destroy(dns->channels);
  free_list(&dns->queue);
  free_list(&dns->failed);
  ev_timer_stop(dns->loop, &dns->soon);
  free(dns);
}

int dns_ask(struct dns *dns, const struct dns_question *question, dns_done_fn *done, void *context,
            struct dns_query **result) {
  bool must_wait = dns->under_way >= dns->max_queries || dns->queue.first;
  if (must_wait && dns->waiting >= dns->max_queue)
    return ERR_OVERLOAD;
  size_t length = strlen(question->name);
  assert(length < DNSMSG_NAME_SIZE);
  struct dns_query *query = calloc(1, sizeof(*query) + length + 1);
  if (!query)
    return ERR_NOMEM;
  query->dns = dns;
  query->done = done;
  query->context = context;
  query->tries_left = dns->tries;
  query->qtype = question->qtype;
  memcpy(query->name, question->name, length + 1);
  *result = query;
  if (must_wait) {
    query->state = QUERY_WAITING;
    list_append(&dns->queue, query);
    dns->waiting++;
  } else {
    dns->under_way++;
    send_query(query);
  }
  return 0;
}

void dns_promote(struct dns_query *query, enum dns_priority priority) { (void)query, (void)priority; }

bool dns_is_sent(const struct dns_query *query) { return query->state != QUERY_WAITING; }

void dns_cancel(struct dns_query *query) {
  if (query->state == QUERY_WAITING) {
    list_remove(&query->dns->queue, query);
    query->dns->waiting--;
    free(query);
  } else {
    query->done = NULL; /* a channel cannot forget one query: it ends by itself */
  }
}
