#include "dns.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "channel.h"
#include "clock.h"
#include "dnsquery.h"
#include "dnsqueue.h"
#include "error.h"
#include "health.h"
#include "log.h"

/* Why a question goes over TCP. */
enum tcp_reason { TCP_NOT, TCP_TRUNCATED, TCP_BROKEN, TCP_OTHER_CASE };

enum {
  HEDGE_AGAIN_MS = 10,     /* how soon a hedge that was not allowed is thought of again */
  PLAIN_CASE_MS = 300000,  /* how long a server that keeps no case is asked in lower case */
  HEDGE_COST = 10,         /* hedges: one for so many queries ... */
  HEDGE_SAVED_MAX = 1000,  /* ... and so many saved up, ... */
  HEDGE_SAVED_FIRST = 100, /* ... of which so many are lent at the start */
  SERVER_NUMBERS = 64,
};

struct server {
  struct channel_server channel;
  struct health health;
  struct server *next;         /* of all that were ever asked */
  int64_t plain_case_until_ms; /* it keeps no case */
  uint64_t bit;                /* its own among SERVER_NUMBERS */
  bool is_trusted;             /* its AD bit is believed */
  char text[ADDRESS_TEXT_SIZE];
};

/* One query on its way to one server. */
struct try {
  struct dns *dns;
  struct dns_query *query; /* NULL: nobody waits for it any more, or a probe; it still tells of its server */
  struct try *next;        /* of the query's */
  struct try *next_failed; /* of those that failed at once */
  struct server *server;
  struct channel *channel;
  enum channel_kind kind;
  enum tcp_reason tcp_reason;
  bool random_case;
  enum channel_result failure; /* of one that failed at once */
  int64_t sent_us;
  size_t question_length;
  uint8_t question[DNSQUERY_QUESTION_MAX];
};

struct dns_query {
  struct dnsqueue_node node; /* first; in the queue, among those under way or among the shed */
  struct dns *dns;
  dns_done_fn *done;
  void *context;
  struct story *story; /* held; or NULL */
  struct try *tries;   /* under way, newest first */
  ev_timer hedge;
  unsigned tries_left;
  uint64_t asked, unhelpful; /* servers, a bit each */
  enum dns_result failure;   /* the one that says most so far */
  enum dnsmsg_outcome outcome;
  bool has_failed, was_silent; /* was_silent: a try has ended without a reply */
  uint16_t qtype;
  char name[];
};

struct dns {
  struct ev_loop *loop;
  struct stats *stats;
  struct channels *channels;
  ev_timer soon; /* delivers what failed while something was being sent, and starts what waits */
  struct server *known;
  struct server *servers[DNS_SERVERS_MAX];
  size_t server_count;
  uint64_t server_numbers; /* drawn so far */
  struct dns_options options;
  struct dnsqueue queue;
  struct dnsqueue_list under_way, shed;
  struct try *failed; /* at once */
  unsigned hedges_saved;
  struct dnsquery_source source;
  bool is_sending;       /* inside channel_send */
  struct dnsmsg message; /* the reply being delivered */
};

static void start_waiting(struct dns *dns);
static void send_to(struct dns_query *query, struct server *server, enum channel_kind kind,
                    enum tcp_reason tcp_reason);
static void ask_next(struct dns_query *query);
static void ask_server(struct dns_query *query, struct server *server);

/* ---- words for the story ---- */

static const char *type_text(uint16_t qtype) {
  return qtype == DNSMSG_MX ? "MX" : qtype == DNSMSG_A ? "A" : "AAAA";
}

static const char *kind_text(enum channel_kind kind) {
  static const char *const texts[] = {"UDP", "UDP without EDNS", "TCP"};
  return texts[kind];
}

static const char *rcode_text(const uint8_t *bytes, size_t length) {
  static const char *const texts[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
  unsigned rcode = length > 3 ? bytes[3] & 0x0f : 16;
  return rcode < sizeof(texts) / sizeof(texts[0]) ? texts[rcode] : "another error";
}

static const char *outcome_text(enum dnsmsg_outcome outcome) {
  switch (outcome) {
  case DNSMSG_ANSWER:
    return "records";
  case DNSMSG_NODATA:
    return "no such record";
  case DNSMSG_NXDOMAIN:
    return "no such name";
  case DNSMSG_FOLLOW:
    return "an alias";
  case DNSMSG_LOOP:
    return "aliases without an end";
  case DNSMSG_MALFORMED:
    return "not a reply that can be read";
  case DNSMSG_FORMERR:
  case DNSMSG_SERVFAIL:
  case DNSMSG_NOTIMP:
  case DNSMSG_REFUSED:
  case DNSMSG_OTHER_RCODE:
    return "a failure";
  }
  return "";
}

static void tell_reply(const struct try *try, const struct dnsmsg *message, const uint8_t *bytes,
                       size_t length, uint32_t rtt_us) {
  const struct dns_query *query = try->query;
  char ttl[32] = "";
  if (!query->story)
    return;
  if (message->outcome == DNSMSG_ANSWER || message->outcome == DNSMSG_FOLLOW)
    snprintf(ttl, sizeof(ttl), ", TTL %u s", message->ttl_s);
  else if (message->has_soa)
    snprintf(ttl, sizeof(ttl), ", negative TTL %u s", message->negative_ttl_s);
  story_add(query->story, message->authentic ? "RFC 6840 5.7" : "",
            "%s asked for %s %s over %s: %s in %u.%u ms, %s%s%s", try->server->text, query->name,
            type_text(query->qtype), kind_text(try->kind), rcode_text(bytes, length), rtt_us / 1000,
            rtt_us / 100 % 10, outcome_text(message->outcome), ttl, message->authentic ? ", validated" : "");
}

static void tell_failure(const struct try *try, enum channel_result result) {
  const struct dns_query *query = try->query;
  const char *what = result == CHANNEL_TIMED_OUT ? "no reply in time" : "it cannot be reached";
  story_add(query->story, "L1", "%s asked for %s %s over %s: %s", try->server->text, query->name,
            type_text(query->qtype), kind_text(try->kind), what);
}

/* ---- servers ---- */

static bool is_loopback(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET)
    return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
  const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

/* The one object for an address; NULL without memory. */
static struct server *get_server(struct dns *dns, const struct sockaddr_storage *address) {
  char text[ADDRESS_TEXT_SIZE];
  address_text(address, text);
  for (struct server *server = dns->known; server; server = server->next)
    if (strcmp(server->text, text) == 0)
      return server;
  struct server *server = calloc(1, sizeof(*server));
  if (!server)
    return NULL;
  server->channel.address = *address;
  health_init(&server->health);
  server->bit = UINT64_C(1) << dns->server_numbers++ % SERVER_NUMBERS;
  server->is_trusted = dns->options.trust_ad || is_loopback(address);
  memcpy(server->text, text, sizeof(text));
  server->next = dns->known;
  dns->known = server;
  return server;
}

static bool is_listed(const struct dns *dns, const struct server *server) {
  for (size_t i = 0; i < dns->server_count; i++)
    if (dns->servers[i] == server)
      return true;
  return false;
}

int dns_set_servers(struct dns *dns, const struct sockaddr_storage *const servers[], size_t server_count) {
  assert(server_count >= 1 && server_count <= DNS_SERVERS_MAX);
  struct server *found[DNS_SERVERS_MAX];
  for (size_t i = 0; i < server_count; i++)
    if (!(found[i] = get_server(dns, servers[i])))
      return ERR_NOMEM;
  memcpy(dns->servers, found, server_count * sizeof(found[0]));
  dns->server_count = server_count;
  for (struct server *server = dns->known; server; server = server->next)
    if (!is_listed(dns, server))
      channel_release(dns->channels, &server->channel);
  return 0;
}

static bool is_passed_over(const struct dns *dns, const struct server *server) {
  if (server->health.is_demoted)
    return true;
  for (size_t i = 0; i < dns->server_count; i++)
    if (!dns->servers[i]->health.is_demoted &&
        health_is_much_slower(&server->health, &dns->servers[i]->health))
      return true;
  return false;
}

/* How long it is out of favour: the shorter, the sooner it is asked where all are. */
static uint32_t demoted_ms(const struct server *server) {
  return server->health.is_demoted ? server->health.demoted_ms : 0;
}

/* The server to ask next: of those not asked yet the first that is not passed over, else the one that has
 * been demoted least; NULL: all were asked. */
static struct server *choose_server(const struct dns_query *query) {
  const struct dns *dns = query->dns;
  struct server *spare = NULL;
  for (size_t i = 0; i < dns->server_count; i++) {
    struct server *server = dns->servers[i];
    if (query->asked & server->bit)
      continue;
    if (!is_passed_over(dns, server))
      return server;
    if (!spare || demoted_ms(server) < demoted_ms(spare))
      spare = server;
  }
  return spare;
}

static void note_demotion(const struct dns *dns, const struct server *server, bool is_demoted,
                          const char *why) {
  if (!is_demoted)
    return;
  stats_add(dns->stats, STATS_DNS_DEMOTIONS);
  log_notice("upstream %s %s: it is asked last for %u s", server->text, why,
             server->health.demoted_ms / 1000);
}

/* One is back; where it was the network that had gone, the others are, too. */
static void note_return(struct dns *dns, const struct server *server, int64_t now_ms) {
  log_notice("upstream %s answers again", server->text);
  for (size_t i = 0; i < dns->server_count; i++)
    health_probe_soon(&dns->servers[i]->health, now_ms);
}

/* ---- tries ---- */

static void unlink_try(struct try *try) {
  struct try **link = try->query ? &try->query->tries : NULL;
  while (link && *link != try)
    link = &(*link)->next;
  if (link)
    *link = try->next;
}

static void end_try(struct try *try) {
  unlink_try(try);
  free(try);
}

/* What fails while something is being sent is told in the next turn of the loop: dns_ask never calls back. */
static void fail_soon(struct try *try, enum channel_result failure) {
  struct dns *dns = try->dns;
  try->failure = failure;
  try->next_failed = dns->failed;
  dns->failed = try;
  ev_timer_start(dns->loop, &dns->soon);
}

static struct try *make_try(struct dns *dns, struct server *server, enum channel_kind kind) {
  struct try *try = calloc(1, sizeof(*try));
  if (!try)
    return NULL;
  try->dns = dns;
  try->server = server;
  try->kind = kind;
  return try;
}

static void send_try(struct try *try, const char *name, uint16_t qtype, int64_t now_ms) {
  struct dns *dns = try->dns;
  uint8_t bytes[DNSQUERY_BYTES_MAX];
  try->random_case = dns->options.random_case && try->server->plain_case_until_ms <= now_ms;
  const struct dnsquery_options options = {
      .with_edns = try->kind == CHANNEL_UDP, .random_case = try->random_case, .edns_size = CHANNEL_EDNS_SIZE};
  size_t length = dnsquery_build(&dns->source, name, qtype, &options, bytes);
  try->question_length = length - 12 - (options.with_edns ? DNSQUERY_OPT_LENGTH : 0);
  memcpy(try->question, bytes + 12, try->question_length);
  try->sent_us = clock_now_us();
  try->channel = channel_get(dns->channels, &try->server->channel, try->kind);
  enum channel_result failure = CHANNEL_UNREACHABLE;
  if (try->channel) {
    dns->is_sending = true;
    bool is_sent = channel_send(try->channel, bytes, length, try, &failure);
    dns->is_sending = false;
    if (is_sent)
      return;
  }
  fail_soon(try, failure);
}

/* A query that cannot even be asked gives way. */
static void shed_soon(struct dns_query *query) {
  struct dns *dns = query->dns;
  dnsqueue_list_remove(&dns->under_way, &query->node);
  dnsqueue_list_append(&dns->shed, &query->node);
  ev_timer_start(dns->loop, &dns->soon);
}

/* One more query for `query`. Without memory for the only one it gives way. */
static void send_to(struct dns_query *query, struct server *server, enum channel_kind kind,
                    enum tcp_reason tcp_reason) {
  struct dns *dns = query->dns;
  int64_t now_ms = clock_now_ms();
  if (kind == CHANNEL_UDP && server->channel.plain_until_ms > now_ms)
    kind = CHANNEL_UDP_PLAIN;
  if (kind == CHANNEL_TCP)
    stats_add(dns->stats, STATS_DNS_TCP);
  struct try *try = make_try(dns, server, kind);
  if (!try) {
    if (!query->tries)
      shed_soon(query);
    return;
  }
  try->query = query;
  try->tcp_reason = tcp_reason;
  try->next = query->tries;
  query->tries = try;
  send_try(try, query->name, query->qtype, now_ms);
}

/* Sends a copy of `query` to servers that are passed over, to see whether they are well again. */
static void probe_others(const struct dns_query *query, const struct server *asked, int64_t now_ms) {
  struct dns *dns = query->dns;
  for (size_t i = 0; i < dns->server_count; i++) {
    struct server *server = dns->servers[i];
    if (server == asked || !is_passed_over(dns, server) || !health_start_probe(&server->health, now_ms))
      continue;
    stats_add(dns->stats, STATS_DNS_PROBES);
    struct try *try = make_try(dns, server, CHANNEL_UDP);
    if (try)
      send_try(try, query->name, query->qtype, now_ms);
    else
      server->health.is_probed = false;
  }
}

/* ---- the end of a query ---- */

/* Nobody waits for these any more; what becomes of them still tells of their servers. */
static void let_tries_go(struct dns_query *query) {
  while (query->tries) {
    struct try *try = query->tries;
    query->tries = try->next;
    try->query = NULL;
    try->next = NULL;
  }
}

static void free_query(struct dns_query *query) {
  ev_timer_stop(query->dns->loop, &query->hedge);
  let_tries_go(query);
  story_unref(query->story);
  free(query);
}

/* The query is over: calls back and lets the next one start. */
static void finish(struct dns_query *query, enum dns_result result, const struct dnsmsg *message,
                   int64_t now_ms) {
  struct dns *dns = query->dns;
  dns_done_fn *done = query->done;
  void *context = query->context;
  dnsqueue_list_remove(&dns->under_way, &query->node);
  free_query(query);
  done(context, result, message, now_ms);
  start_waiting(dns);
}

/* A good reply from `server`: judges the servers that it has put to shame. */
static void judge_others(struct dns_query *query, const struct try *winner, int64_t now_ms) {
  struct dns *dns = query->dns;
  for (struct try *try = query->tries; try; try = try->next)
    if (try->kind != CHANNEL_TCP && try->server != winner->server && try->sent_us < winner->sent_us)
      note_demotion(dns, try->server, health_on_late(&try->server->health, try->sent_us / 1000, now_ms),
                    "is late again and again");
  for (size_t i = 0; i < dns->server_count; i++)
    if (query->unhelpful & dns->servers[i]->bit && dns->servers[i] != winner->server)
      note_demotion(dns, dns->servers[i], health_on_lame(&dns->servers[i]->health, now_ms),
                    "knows nothing that another server knows");
}

/* ---- failures ---- */

/* How much a failure says: a reply more than silence, silence more than no way there. */
static unsigned weight(enum dns_result result, enum dnsmsg_outcome outcome) {
  static const uint8_t of_outcome[] = {
      [DNSMSG_MALFORMED] = 3, [DNSMSG_FORMERR] = 4,  [DNSMSG_NOTIMP] = 5,
      [DNSMSG_REFUSED] = 6,   [DNSMSG_SERVFAIL] = 7, [DNSMSG_OTHER_RCODE] = 7};
  return result == DNS_REPLIED ? of_outcome[outcome] : result == DNS_TIMED_OUT ? 2 : 1;
}

static void note_failure(struct dns_query *query, enum dns_result result, enum dnsmsg_outcome outcome) {
  if (query->has_failed && weight(query->failure, query->outcome) >= weight(result, outcome))
    return;
  query->has_failed = true;
  query->failure = result;
  query->outcome = outcome;
}

static void finish_with_failure(struct dns_query *query, int64_t now_ms) {
  struct dnsmsg *message = &query->dns->message;
  if (query->failure == DNS_REPLIED) {
    memset(message, 0, offsetof(struct dnsmsg, mx));
    message->outcome = query->outcome;
    message->ttl_s = UINT32_MAX;
    memcpy(message->canonical, query->name, strlen(query->name) + 1);
  }
  finish(query, query->failure, query->failure == DNS_REPLIED ? message : NULL, now_ms);
}

/* One try has come to nothing: asks the next server, or waits for the tries that are left, or gives up.
 * `is_silent`: the same server may be asked again. */
static void go_on(struct dns_query *query, bool is_silent, int64_t now_ms) {
  struct dns *dns = query->dns;
  bool has_other = choose_server(query) != NULL;
  if (query->tries_left > 0 && (has_other || (is_silent && !query->tries))) {
    if (!has_other)
      query->asked = 0;
    if (dns->server_count > 1)
      stats_add(dns->stats, STATS_DNS_FAILOVERS);
    ask_next(query);
  } else if (!query->tries) {
    finish_with_failure(query, now_ms);
  }
}

/* Silence over TCP, from a server that had just answered over UDP, is a lack of network (ROUTING V17). */
static enum dns_result as_dns_result(const struct try *try, enum channel_result failure) {
  return failure == CHANNEL_TIMED_OUT && try->kind != CHANNEL_TCP ? DNS_TIMED_OUT : DNS_UNREACHABLE;
}

static void on_try_failed(struct try *try, enum channel_result result, int64_t now_ms) {
  struct dns *dns = try->dns;
  struct dns_query *query = try->query;
  enum dns_result failure = as_dns_result(try, result);
  bool was_broken = try->tcp_reason == TCP_BROKEN; /* the reply that is known stands (ROUTING V11) */
  if (result == CHANNEL_TIMED_OUT)
    stats_add(dns->stats, STATS_DNS_TIMEOUTS);
  if (try->kind != CHANNEL_TCP)
    note_demotion(dns, try->server,
                  health_on_failure(&try->server->health,
                                    failure == DNS_TIMED_OUT ? HEALTH_SILENT : HEALTH_UNREACHABLE,
                                    try->sent_us / 1000, now_ms),
                  failure == DNS_TIMED_OUT ? "does not answer" : "cannot be reached");
  if (query)
    tell_failure(try, result);
  end_try(try);
  if (!query)
    return;
  note_failure(query, failure, 0);
  query->was_silent = true;
  go_on(query, !was_broken, now_ms);
}

/* ---- replies ---- */

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

static bool is_truncated(const uint8_t *bytes, size_t length) { return length > 2 && bytes[2] & 0x02; }

/* Asks the same server the same in another way, in the place of `try`. */
static void ask_otherwise(struct try *try, enum channel_kind kind, enum tcp_reason tcp_reason,
                          const char *rule, const char *why) {
  struct dns_query *query = try->query;
  struct server *server = try->server;
  story_add(query->story, rule, "%s %s: asks it again over %s", server->text, why, kind_text(kind));
  end_try(try);
  send_to(query, server, kind, tcp_reason);
}

/* Whether a reply's question is the very one that was asked, or the server is known to keep no case. True:
 * the reply is not to be used, and `try` is gone. */
static bool refuse_case(struct try *try, const uint8_t *bytes, size_t length, int64_t now_ms) {
  enum dnsquery_match match = dnsquery_compare(try->question, try->question_length, bytes, length);
  if (match != DNSQUERY_OTHER_CASE || !try->random_case)
    return false;
  if (try->kind == CHANNEL_TCP) {
    if (try->tcp_reason == TCP_OTHER_CASE)
      try->server->plain_case_until_ms = now_ms + PLAIN_CASE_MS;
    return false;
  }
  stats_add(try->dns->stats, STATS_DNS_FORGED);
  channel_was_plain(try->channel, false, now_ms);
  ask_otherwise(try, CHANNEL_TCP, TCP_OTHER_CASE, "RFC 5452",
                "seems to answer, but not with the letters it was asked with, as a forger would");
  return true;
}

static void on_helpful(struct try *try, int64_t now_ms) {
  struct dns_query *query = try->query;
  struct dns *dns = try->dns;
  health_on_help(&try->server->health);
  judge_others(query, try, now_ms);
  end_try(try);
  finish(query, DNS_REPLIED, &dns->message, now_ms);
}

static void on_reply(struct try *try, const uint8_t *bytes, size_t length, uint32_t rtt_us, int64_t now_ms) {
  struct dns *dns = try->dns;
  struct dns_query *query = try->query;
  struct dnsmsg *message = &dns->message;
  if (refuse_case(try, bytes, length, now_ms))
    return;
  if (is_truncated(bytes, length) && try->kind != CHANNEL_TCP) {
    channel_was_plain(try->channel, false, now_ms);
    ask_otherwise(try, CHANNEL_TCP, TCP_TRUNCATED, "V17", "sends a truncated reply");
    return;
  }
  dnsmsg_parse(bytes, length, query->name, query->qtype, message);
  message->authentic = message->authentic && try->server->is_trusted;
  stats_add(dns->stats, message->outcome == DNSMSG_MALFORMED ? STATS_DNS_MALFORMED : STATS_DNS_ANSWERS);
  tell_reply(try, message, bytes, length, rtt_us);
  bool was_plain = channel_was_plain(try->channel, message->has_opt, now_ms);
  if (message->outcome == DNSMSG_FORMERR && !was_plain && try->kind == CHANNEL_UDP) {
    ask_otherwise(try, CHANNEL_UDP_PLAIN, TCP_NOT, "V17 (RFC 6891 7)", "does not understand EDNS");
    return;
  }
  if (!is_unhelpful(message->outcome)) {
    on_helpful(try, now_ms);
    return;
  }
  note_failure(query, DNS_REPLIED, message->outcome);
  query->unhelpful |= try->server->bit;
  if (message->outcome == DNSMSG_MALFORMED && try->kind != CHANNEL_TCP) {
    ask_otherwise(try, CHANNEL_TCP, TCP_BROKEN, "V11", "sends what cannot be read");
    return;
  }
  end_try(try);
  go_on(query, false, now_ms);
}

/* A reply, whether somebody waits for it or not. */
static void on_message(struct try *try, const uint8_t *bytes, size_t length, int64_t now_ms) {
  int64_t rtt_us = clock_now_us() - try->sent_us;
  struct dns *dns = try->dns;
  struct server *server = try->server;
  bool was_demoted = server->health.is_demoted;
  if (try->kind != CHANNEL_TCP)
    health_on_reply(&server->health, rtt_us > UINT32_MAX ? UINT32_MAX : (uint32_t)rtt_us, now_ms);
  if (try->query) {
    on_reply(try, bytes, length, (uint32_t)rtt_us, now_ms);
  } else {
    unsigned rcode = length > 3 ? bytes[3] & 0x0f : 16;
    if (rcode == 0 || rcode == 3) /* NOERROR, NXDOMAIN */
      health_on_help(&server->health);
    channel_was_plain(try->channel, false, now_ms);
    end_try(try);
  }
  if (was_demoted && !server->health.is_demoted)
    note_return(dns, server, now_ms);
}

static void on_channel(void *context, enum channel_result result, const uint8_t *bytes, size_t length) {
  struct try *try = context;
  int64_t now_ms = clock_now_ms();
  switch (result) {
  case CHANNEL_MESSAGE:
    on_message(try, bytes, length, now_ms);
    break;
  case CHANNEL_TIMED_OUT:
  case CHANNEL_UNREACHABLE:
    channel_was_plain(try->channel, false, now_ms);
    if (try->dns->is_sending)
      fail_soon(try, result);
    else
      on_try_failed(try, result, now_ms);
    break;
  case CHANNEL_CLOSED:
    free(try);
    break;
  }
}

/* ---- asking ---- */

/* Whether a hedge may be sent because `server` is late: one in HEDGE_COST queries, and always where the
 * server is in doubt. */
static bool may_hedge(struct dns *dns, const struct server *server) {
  if (health_is_in_doubt(&server->health))
    return true;
  if (dns->hedges_saved < HEDGE_COST)
    return false;
  dns->hedges_saved -= HEDGE_COST;
  return true;
}

static void set_hedge(struct dns_query *query, uint32_t ms) {
  ev_timer_set(&query->hedge, ms / 1000., 0.);
  ev_timer_start(query->dns->loop, &query->hedge);
}

static void on_hedge(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct dns_query *query = timer->data;
  struct dns *dns = query->dns;
  struct server *next = choose_server(query);
  if (!query->tries || !next)
    return;
  const struct server *late = query->tries->server;
  if (next->health.is_demoted && !late->health.is_demoted)
    return;
  if (!may_hedge(dns, late)) {
    set_hedge(query, HEDGE_AGAIN_MS);
    return;
  }
  stats_add(dns->stats, STATS_DNS_HEDGES);
  story_add(query->story, "L1", "%s is late: asks %s as well", late->text, next->text);
  ask_server(query, next);
}

/* A hedge is no try: a name that is slow everywhere still has all its tries, one after the other. Once one
 * has met with silence there are no more, so that all servers together get at most `tries` and one each. */
static void start_hedge(struct dns_query *query, const struct server *server) {
  ev_timer_stop(query->dns->loop, &query->hedge);
  if (!query->was_silent && choose_server(query))
    set_hedge(query, health_hedge_ms(&server->health));
}

static void ask_server(struct dns_query *query, struct server *server) {
  query->asked |= server->bit;
  send_to(query, server, CHANNEL_UDP, TCP_NOT);
  start_hedge(query, server);
}

/* Asks the server that is best now. Uses up a try. Requires one that was not asked yet. */
static void ask_next(struct dns_query *query) {
  query->tries_left--;
  ask_server(query, choose_server(query));
}

static void start_query(struct dns_query *query) {
  struct dns *dns = query->dns;
  dnsqueue_list_append(&dns->under_way, &query->node);
  if (dns->hedges_saved < HEDGE_SAVED_MAX)
    dns->hedges_saved++;
  ask_next(query);
  if (dns->server_count > 1 && query->tries)
    probe_others(query, query->tries->server, clock_now_ms());
}

static void start_waiting(struct dns *dns) {
  struct dnsqueue_node *node;
  while (dns->under_way.count < dns->options.max_queries && (node = dnsqueue_take(&dns->queue)))
    start_query((struct dns_query *)node);
}

/* ---- the next turn of the loop ---- */

static void tell_shed(struct dns *dns, int64_t now_ms) {
  struct dnsqueue_node *node;
  while ((node = dns->shed.first)) {
    struct dns_query *query = (struct dns_query *)node;
    dns_done_fn *done = query->done;
    void *context = query->context;
    dnsqueue_list_remove(&dns->shed, node);
    free_query(query);
    done(context, DNS_SHED, NULL, now_ms);
  }
}

/* Fails what failed at once, in the order it did; what fails meanwhile is for the next turn. */
static void tell_failed(struct dns *dns, int64_t now_ms) {
  struct try *newest = dns->failed, *oldest = NULL;
  dns->failed = NULL;
  while (newest) {
    struct try *next = newest->next_failed;
    newest->next_failed = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest) {
    struct try *try = oldest;
    oldest = try->next_failed;
    on_try_failed(try, try->failure, now_ms);
  }
}

static void on_soon(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct dns *dns = timer->data;
  int64_t now_ms = clock_now_ms();
  tell_shed(dns, now_ms);
  tell_failed(dns, now_ms);
  start_waiting(dns);
}

/* ---- the room ---- */

int dns_create(struct ev_loop *loop, const struct dns_options *options, struct stats *stats,
               struct dns **result) {
  struct dns *dns = calloc(1, sizeof(*dns));
  if (!dns)
    return ERR_NOMEM;
  dns->loop = loop;
  dns->stats = stats;
  dns->options = *options;
  dns->hedges_saved = HEDGE_SAVED_FIRST;
  dns->channels = channels_create(loop, options->timeout_ms, on_channel, stats);
  ev_timer_init(&dns->soon, on_soon, 0., 0.);
  dns->soon.data = dns;
  if (!dns->channels || dns_set_servers(dns, options->servers, options->server_count) != 0) {
    dns_destroy(dns);
    return ERR_NOMEM;
  }
  *result = dns;
  return 0;
}

static void free_list(struct dnsqueue_list *list) {
  struct dnsqueue_node *node;
  while ((node = list->first)) {
    dnsqueue_list_remove(list, node);
    free_query((struct dns_query *)node);
  }
}

void dns_destroy(struct dns *dns) {
  if (!dns)
    return;
  struct dnsqueue_node *node;
  while ((node = dnsqueue_take(&dns->queue)))
    free_query((struct dns_query *)node);
  free_list(&dns->under_way); /* lets go of the tries, which the channels end */
  free_list(&dns->shed);
  channels_destroy(dns->channels);
  while (dns->failed) {
    struct try *try = dns->failed;
    dns->failed = try->next_failed;
    free(try);
  }
  while (dns->known) {
    struct server *server = dns->known;
    dns->known = server->next;
    free(server);
  }
  ev_timer_stop(dns->loop, &dns->soon);
  free(dns);
}

/* A place in the full queue, at the cost of something less important; false where there is none. */
static bool make_room(struct dns *dns, enum dns_priority priority) {
  struct dnsqueue_node *node = dnsqueue_shed(&dns->queue, priority);
  if (!node)
    return false;
  stats_add(dns->stats, STATS_DNS_SHED);
  dnsqueue_list_append(&dns->shed, node);
  ev_timer_start(dns->loop, &dns->soon);
  return true;
}

int dns_ask(struct dns *dns, const struct dns_question *question, dns_done_fn *done, void *context,
            struct dns_query **result) {
  bool must_wait = dns->under_way.count >= dns->options.max_queries || dnsqueue_count(&dns->queue) > 0;
  bool is_full = dnsqueue_count(&dns->queue) >= dns->options.max_queue;
  if (must_wait && question->priority == DNS_FOR_PREFETCH) /* is shed first of all (ROUTING T7) */
    return ERR_OVERLOAD;
  if (must_wait && is_full && !make_room(dns, question->priority))
    return ERR_OVERLOAD;
  size_t length = strlen(question->name);
  assert(length < DNSMSG_NAME_SIZE);
  struct dns_query *query = calloc(1, sizeof(*query) + length + 1);
  if (!query)
    return ERR_NOMEM;
  query->dns = dns;
  query->done = done;
  query->context = context;
  query->story = story_ref(question->story);
  query->tries_left = dns->options.tries;
  query->qtype = question->qtype;
  memcpy(query->name, question->name, length + 1);
  ev_timer_init(&query->hedge, on_hedge, 0., 0.);
  query->hedge.data = query;
  *result = query;
  if (must_wait) {
    story_add(query->story, "L2", "%s %s waits: %u queries are under way", query->name,
              type_text(query->qtype), dns->under_way.count);
    dnsqueue_put(&dns->queue, &query->node, question->priority);
  } else {
    start_query(query);
  }
  return 0;
}

void dns_promote(struct dns_query *query, enum dns_priority priority) {
  if (query->node.is_waiting && priority < query->node.priority) {
    dnsqueue_remove(&query->dns->queue, &query->node);
    dnsqueue_put(&query->dns->queue, &query->node, priority);
  }
}

bool dns_is_sent(const struct dns_query *query) { return !query->node.is_waiting; }

void dns_cancel(struct dns_query *query) {
  struct dns *dns = query->dns;
  if (query->node.is_waiting)
    dnsqueue_remove(&dns->queue, &query->node);
  else
    dnsqueue_list_remove(query->node.list, &query->node);
  free_query(query);
  ev_timer_start(dns->loop, &dns->soon); /* there is room for another */
}
