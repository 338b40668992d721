#include "dns.h"

#include <ares.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "random.h"

enum {
  EDNS_SIZE = 1232,          /* ROUTING V17 */
  CHANNEL_QUERIES_MAX = 256, /* then a new channel, and with it a new source port */
  TICK_MS = 50,              /* how often c-ares looks for timeouts */
  SILENT_MS = 10000,         /* how long a server that was silent is asked last */
  NO_EDNS_MS = 30000,        /* how long a FORMERR to EDNS is believed */
  SOCKET_BUFFER_BYTES = 1 << 20,
  QUERY_BYTES_MAX = 12 + 255 + 4 + 11,
  RANDOM_IDS = 128,
};

struct server {
  struct ares_addr_port_node node;
  struct channel *channels[2]; /* for new queries, without and with EDNS; NULL: none yet */
  int64_t silent_until_ms;     /* asked last until then */
  int64_t plain_until_ms;      /* asked without EDNS until then */
};

/* One c-ares channel to one server. Replaced after CHANNEL_QUERIES_MAX queries, because
 * its source port stays while queries are under way; a replaced one is drained and destroyed
 * from the tick, never inside a callback of c-ares (a double free in 1.18). */
struct channel {
  struct dns *dns;
  struct channel *next; /* of all channels */
  struct server *server;
  ares_channel ares;
  struct watcher *watchers;
  unsigned under_way, sent;
  bool is_retired;
  bool is_edns;   /* its queries carry OPT; only from those may c-ares cut it off */
  bool lost_edns; /* c-ares has dropped EDNS for good, at a FORMERR without OPT */
};

struct watcher {
  ev_io io;
  struct channel *channel;
  struct watcher *next;
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
  enum dns_result failure;            /* with QUERY_FAILED_AT_ONCE */
  uint16_t qtype;
  char name[];
};

struct query_list {
  struct dns_query *first, *last;
};

struct dns {
  struct ev_loop *loop;
  struct stats *stats;
  ev_timer tick;
  ev_timer soon; /* delivers what c-ares reported from inside ares_send */
  struct server servers[DNS_SERVERS_MAX];
  size_t server_count;
  uint32_t timeout_ms, tries, max_queries, max_queue;
  struct channel *channels;
  unsigned under_way, waiting;
  struct query_list queue, failed;
  bool is_sending, is_ending;
  uint16_t ids[RANDOM_IDS];
  size_t ids_left;
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

/* ---- channels ---- */

static void on_socket(struct ev_loop *loop, ev_io *io, int events) {
  (void)loop;
  struct watcher *watcher = (struct watcher *)io;
  struct channel *channel = watcher->channel;
  int fd = io->fd; /* the watcher may be gone after the first call */
  ares_process_fd(channel->ares, events & EV_READ ? fd : ARES_SOCKET_BAD,
                  events & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static struct watcher **find_watcher(struct channel *channel, int fd) {
  struct watcher **link = &channel->watchers;
  while (*link && (*link)->io.fd != fd)
    link = &(*link)->next;
  return link;
}

/* c-ares says what it wants to know of a socket; neither means that it closes it. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable) {
  struct channel *channel = data;
  struct watcher **link = find_watcher(channel, fd), *watcher = *link;
  int events = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);
  if (watcher)
    ev_io_stop(channel->dns->loop, &watcher->io);
  if (events == 0) {
    if (watcher) {
      *link = watcher->next;
      free(watcher);
    }
    return;
  }
  if (!watcher) {
    watcher = calloc(1, sizeof(*watcher));
    if (!watcher)
      return; /* the query times out */
    watcher->channel = channel;
    watcher->next = channel->watchers;
    channel->watchers = watcher;
  }
  ev_io_init(&watcher->io, on_socket, fd, events);
  ev_io_start(channel->dns->loop, &watcher->io);
}

static int init_ares(struct channel *channel) {
  struct ares_options options = {
      .flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
               (channel->is_edns ? ARES_FLAG_EDNS : 0),
      .timeout = (int)channel->dns->timeout_ms,
      .tries = 1, /* retries are ours: see on_reply */
      .ednspsz = EDNS_SIZE,
      .socket_send_buffer_size = SOCKET_BUFFER_BYTES,
      .socket_receive_buffer_size = SOCKET_BUFFER_BYTES,
      .sock_state_cb = on_socket_state,
      .sock_state_cb_data = channel,
  };
  int set = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_SNDBUF |
            ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
  options.qcache_max_ttl = 0; /* its cache keeps NODATA for the wrong time */
  set |= ARES_OPT_QUERY_CACHE;
#endif
  if (ares_init_options(&channel->ares, &options, set) != ARES_SUCCESS)
    return ERR_NOMEM;
  if (ares_set_servers_ports(channel->ares, &channel->server->node) == ARES_SUCCESS)
    return 0;
  ares_destroy(channel->ares);
  return ERR_NOMEM;
}

static struct channel *open_channel(struct dns *dns, struct server *server, bool is_edns) {
  struct channel *channel = calloc(1, sizeof(*channel));
  if (!channel)
    return NULL;
  channel->dns = dns;
  channel->server = server;
  channel->is_edns = is_edns;
  if (init_ares(channel) != 0) {
    free(channel);
    return NULL;
  }
  stats_add(dns->stats, STATS_DNS_CHANNELS);
  channel->next = dns->channels;
  dns->channels = channel;
  server->channels[is_edns] = channel;
  return channel;
}

static void close_channel(struct channel *channel) {
  ares_destroy(channel->ares);
  while (channel->watchers) {
    struct watcher *watcher = channel->watchers;
    channel->watchers = watcher->next;
    ev_io_stop(channel->dns->loop, &watcher->io);
    free(watcher);
  }
  free(channel);
}

static void retire_channel(struct channel *channel) {
  if (!channel->is_retired)
    channel->server->channels[channel->is_edns] = NULL;
  channel->is_retired = true;
}

/* The channel for the next query to `server`; NULL without memory or descriptors. */
static struct channel *get_channel(struct dns *dns, struct server *server, bool is_edns) {
  struct channel *channel = server->channels[is_edns];
  if (channel && channel->sent >= CHANNEL_QUERIES_MAX) {
    retire_channel(channel);
    channel = NULL;
  }
  return channel ? channel : open_channel(dns, server, is_edns);
}

/* Notices that c-ares has dropped EDNS on this channel, having asked the query that
 * got the FORMERR again without OPT. True once, when that is first seen. */
static bool notice_lost_edns(struct channel *channel, int64_t now_ms) {
  struct ares_options options;
  int set = 0;
  if (!channel->is_edns || channel->lost_edns ||
      ares_save_options(channel->ares, &options, &set) != ARES_SUCCESS)
    return false;
  channel->lost_edns = !(options.flags & ARES_FLAG_EDNS);
  ares_destroy_options(&options);
  if (channel->lost_edns) {
    channel->server->plain_until_ms = now_ms + NO_EDNS_MS;
    retire_channel(channel);
  }
  return channel->lost_edns;
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
  at = put16(at, query->channel->is_edns ? 1 : 0);
  at = put_name(at, query->name);
  at = put16(at, query->qtype);
  at = put16(at, 1);
  if (query->channel->is_edns) {
    *at++ = 0;
    at = put16(at, DNSMSG_OPT);
    at = put16(at, EDNS_SIZE);
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
  struct channel *channel = query->channel;
  struct dnsmsg *message = &dns->message;
  dnsmsg_parse(bytes, length, query->name, query->qtype, message);
  stats_add(dns->stats, message->outcome == DNSMSG_MALFORMED ? STATS_DNS_MALFORMED : STATS_DNS_ANSWERS);
  query->server->silent_until_ms = 0;
  bool lost_now = !message->has_opt && notice_lost_edns(channel, now_ms);
  /* Alone on the channel, this query was the one that c-ares has asked again. */
  bool was_plain = !channel->is_edns || (lost_now && channel->under_way == 0);
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

/* What c-ares reports while ares_send has not returned waits for the next turn of the loop. */
static void fail_soon(struct dns_query *query, enum dns_result failure) {
  query->state = QUERY_FAILED_AT_ONCE;
  query->failure = failure;
  list_append(&query->dns->failed, query);
  ev_timer_start(query->dns->loop, &query->dns->soon);
}

static void on_ares(void *context, int status, int timeouts, unsigned char *bytes, int length) {
  (void)timeouts;
  struct dns_query *query = context;
  struct dns *dns = query->dns;
  query->channel->under_way--;
  if (dns->is_ending || status == ARES_EDESTRUCTION) {
    free(query);
    return;
  }
  enum dns_result failure = status == ARES_ETIMEOUT ? DNS_TIMED_OUT : DNS_UNREACHABLE;
  if (dns->is_sending) {
    fail_soon(query, failure);
  } else if (status == ARES_SUCCESS && bytes) {
    on_message(query, bytes, (size_t)length, clock_now_ms());
  } else {
    notice_lost_edns(query->channel, clock_now_ms());
    on_failure(query, failure, clock_now_ms());
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
  query->state = QUERY_UNDER_WAY;
  query->server = server;
  query->channel = get_channel(dns, server, !query->refuse_edns && server->plain_until_ms <= now_ms);
  if (!query->channel) {
    fail_soon(query, DNS_UNREACHABLE);
    return;
  }
  uint8_t bytes[QUERY_BYTES_MAX];
  size_t length = build_query(query, bytes);
  query->channel->under_way++;
  query->channel->sent++;
  stats_add(dns->stats, STATS_DNS_QUERIES);
  ev_timer_start(dns->loop, &dns->tick);
  bool was_sending = dns->is_sending;
  dns->is_sending = true;
  ares_send(query->channel->ares, bytes, (int)length, on_ares, query);
  dns->is_sending = was_sending;
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

/* ---- timers ---- */

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
    on_failure(query, query->failure, now_ms);
  }
}

/* Lets c-ares see what has timed out, and ends the channels that are drained. */
static void on_tick(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)events;
  struct dns *dns = timer->data;
  for (struct channel *channel = dns->channels; channel; channel = channel->next)
    if (channel->under_way > 0)
      ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  for (struct channel **link = &dns->channels, *channel; (channel = *link);) {
    if (channel->is_retired && channel->under_way == 0) {
      *link = channel->next;
      close_channel(channel);
    } else {
      link = &channel->next;
    }
  }
  if (dns->under_way == 0)
    ev_timer_stop(loop, timer);
}

/* ---- the room ---- */

static void set_server(struct server *server, const struct sockaddr_storage *address) {
  struct ares_addr_port_node *node = &server->node;
  node->family = address->ss_family;
  if (address->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    node->addr.addr4 = v4->sin_addr;
    node->udp_port = node->tcp_port = ntohs(v4->sin_port);
  } else {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    memcpy(&node->addr.addr6, &v6->sin6_addr, sizeof(v6->sin6_addr));
    node->udp_port = node->tcp_port = ntohs(v6->sin6_port);
  }
}

int dns_create(struct ev_loop *loop, const struct dns_options *options, struct stats *stats,
               struct dns **result) {
  assert(options->server_count >= 1 && options->server_count <= DNS_SERVERS_MAX);
  if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
    return ERR_NOMEM;
  struct dns *dns = calloc(1, sizeof(*dns));
  if (!dns) {
    ares_library_cleanup();
    return ERR_NOMEM;
  }
  dns->loop = loop;
  dns->stats = stats;
  dns->server_count = options->server_count;
  for (size_t i = 0; i < options->server_count; i++)
    set_server(&dns->servers[i], options->servers[i]);
  dns->timeout_ms = options->timeout_ms;
  dns->tries = options->tries;
  dns->max_queries = options->max_queries;
  dns->max_queue = options->max_queue;
  ev_timer_init(&dns->tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
  ev_timer_init(&dns->soon, on_soon, 0., 0.);
  dns->tick.data = dns->soon.data = dns;
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
  dns->is_ending = true;
  while (dns->channels) {
    struct channel *channel = dns->channels;
    dns->channels = channel->next;
    close_channel(channel);
  }
  free_list(&dns->queue);
  free_list(&dns->failed);
  ev_timer_stop(dns->loop, &dns->tick);
  ev_timer_stop(dns->loop, &dns->soon);
  free(dns);
  ares_library_cleanup();
}

int dns_ask(struct dns *dns, const char *name, uint16_t qtype, dns_done_fn *done, void *context,
            struct dns_query **result) {
  bool must_wait = dns->under_way >= dns->max_queries || dns->queue.first;
  if (must_wait && dns->waiting >= dns->max_queue)
    return ERR_OVERLOAD;
  size_t length = strlen(name);
  assert(length < DNSMSG_NAME_SIZE);
  struct dns_query *query = calloc(1, sizeof(*query) + length + 1);
  if (!query)
    return ERR_NOMEM;
  query->dns = dns;
  query->done = done;
  query->context = context;
  query->tries_left = dns->tries;
  query->qtype = qtype;
  memcpy(query->name, name, length + 1);
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

void dns_cancel(struct dns_query *query) {
  if (query->state == QUERY_WAITING) {
    list_remove(&query->dns->queue, query);
    query->dns->waiting--;
    free(query);
  } else {
    query->done = NULL; /* c-ares cannot forget one query: it ends by itself */
  }
}
