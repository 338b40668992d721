#include "dns/dns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "dns/dnsqueue.h"
#include "dns/dnsstory.h"
#include "dns/nameserver.h"

enum {
  HEDGE_AGAIN_MS = 10,     /* how soon a hedge that was not allowed is thought of again */
  HEDGE_COST = 10,         /* hedges: one for so many queries ... */
  HEDGE_SAVED_MAX = 1000,  /* ... and so many saved up, ... */
  HEDGE_SAVED_FIRST = 100, /* ... of which so many are lent at the start */
  TRIES_MAX = DNS_SERVERS_MAX,
};

struct dns_query {
  struct dnsqueue_node node; /* first; in the queue, among those under way or among the shed */
  struct dns *dns;
  dns_done_fn *done;
  void *context;
  struct story *story; /* held; or NULL */
  struct nameserver_try *tries[TRIES_MAX];
  size_t try_count; /* under way, the newest last */
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
  struct nameservers *nameservers;
  ev_timer soon; /* tells the shed, and starts what waits */
  struct nameserver *servers[DNS_SERVERS_MAX];
  size_t server_count;
  uint32_t tries, max_queries, max_queue;
  struct dnsqueue queue;
  struct dnsqueue_list under_way, shed;
  unsigned hedges_saved;
  struct dnsmsg message; /* a failure being delivered */
};

static void start_waiting(struct dns *dns);
static void ask_next(struct dns_query *query);

/* ---- servers ---- */

static bool is_listed(const struct nameserver *server, struct nameserver *const *list, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (list[i] == server)
      return true;
  return false;
}

int dns_set_servers(struct dns *dns, const struct sockaddr_storage *const servers[], size_t server_count) {
  assert(server_count >= 1 && server_count <= DNS_SERVERS_MAX);
  struct nameserver *found[DNS_SERVERS_MAX];
  for (size_t i = 0; i < server_count; i++)
    if (!(found[i] = nameserver_get(dns->nameservers, servers[i])))
      return ERR_NOMEM;
  for (size_t i = 0; i < dns->server_count; i++)
    if (!is_listed(dns->servers[i], found, server_count))
      nameserver_release(dns->nameservers, dns->servers[i]);
  memcpy(dns->servers, found, server_count * sizeof(found[0]));
  dns->server_count = server_count;
  return 0;
}

static bool is_passed_over(const struct dns *dns, const struct nameserver *server) {
  if (server->health.is_demoted)
    return true;
  for (size_t i = 0; i < dns->server_count; i++)
    if (!dns->servers[i]->health.is_demoted &&
        health_is_much_slower(&server->health, &dns->servers[i]->health))
      return true;
  return false;
}

/* How long it is out of favour: the shorter, the sooner it is asked where all are. */
static uint32_t demoted_ms(const struct nameserver *server) {
  return server->health.is_demoted ? server->health.demoted_ms : 0;
}

/* The server to ask next: of those not asked yet the first that is not passed over, else the one that has
 * been demoted least; NULL: all were asked. */
static struct nameserver *choose_server(const struct dns_query *query) {
  const struct dns *dns = query->dns;
  struct nameserver *spare = NULL;
  if (query->try_count == TRIES_MAX)
    return NULL;
  for (size_t i = 0; i < dns->server_count; i++) {
    struct nameserver *server = dns->servers[i];
    if (query->asked & server->bit)
      continue;
    if (!is_passed_over(dns, server))
      return server;
    if (!spare || demoted_ms(server) < demoted_ms(spare))
      spare = server;
  }
  return spare;
}

/* Sends a copy of `query` to servers that are passed over, to see whether they are well again. */
static void probe_others(const struct dns_query *query, const struct nameserver *asked, int64_t now_ms) {
  struct dns *dns = query->dns;
  const struct nameserver_question question = {query->name, query->qtype, NULL};
  for (size_t i = 0; i < dns->server_count; i++)
    if (dns->servers[i] != asked && is_passed_over(dns, dns->servers[i]))
      nameserver_probe(dns->nameservers, dns->servers[i], &question, now_ms);
}

/* ---- the end of a query ---- */

static void free_query(struct dns_query *query) {
  ev_timer_stop(query->dns->loop, &query->hedge);
  for (size_t i = 0; i < query->try_count; i++)
    nameserver_let_go(query->tries[i]);
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

/* A query that cannot even be asked gives way. */
static void shed_soon(struct dns_query *query) {
  struct dns *dns = query->dns;
  dnsqueue_list_remove(&dns->under_way, &query->node);
  dnsqueue_list_append(&dns->shed, &query->node);
  ev_timer_start(dns->loop, &dns->soon);
}

/* ---- how a try ends ---- */

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
  if (query->failure != DNS_REPLIED) {
    finish(query, query->failure, NULL, now_ms);
    return;
  }
  dnsmsg_parse((const uint8_t *)"", 0, query->name, query->qtype, message); /* says nothing but this: */
  message->outcome = query->outcome;
  finish(query, DNS_REPLIED, message, now_ms);
}

/* One try has come to nothing: asks the next server, or waits for the tries that are left, or gives up.
 * `may_repeat`: the same server may be asked again. */
static void go_on(struct dns_query *query, bool may_repeat, int64_t now_ms) {
  struct dns *dns = query->dns;
  bool has_other = choose_server(query) != NULL;
  if (query->tries_left > 0 && (has_other || (may_repeat && query->try_count == 0))) {
    if (!has_other)
      query->asked = 0;
    if (dns->server_count > 1)
      stats_add(dns->stats, STATS_DNS_FAILOVERS);
    ask_next(query);
  } else if (query->try_count == 0) {
    finish_with_failure(query, now_ms);
  }
}

/* A good reply: judges the servers that it has put to shame. */
static void judge_others(const struct dns_query *query, const struct nameserver_try *winner, int64_t now_ms) {
  const struct dns *dns = query->dns;
  for (size_t i = 0; i < query->try_count; i++)
    nameserver_note_late(query->tries[i], winner, now_ms);
  for (size_t i = 0; i < dns->server_count; i++)
    if (query->unhelpful & dns->servers[i]->bit && dns->servers[i] != nameserver_of(winner))
      nameserver_note_lame(dns->nameservers, dns->servers[i], now_ms);
}

static void forget_try(struct dns_query *query, const struct nameserver_try *sent) {
  size_t at = 0;
  while (query->tries[at] != sent)
    at++;
  query->try_count--;
  memmove(&query->tries[at], &query->tries[at + 1], (query->try_count - at) * sizeof(query->tries[0]));
}

static void on_try(void *context, struct nameserver_try *sent, enum nameserver_result result,
                   const struct dnsmsg *message, int64_t now_ms) {
  struct dns_query *query = context;
  forget_try(query, sent);
  if (message && !nameserver_is_unhelpful(message->outcome)) {
    judge_others(query, sent, now_ms);
    finish(query, DNS_REPLIED, message, now_ms);
  } else if (message) {
    note_failure(query, DNS_REPLIED, message->outcome);
    query->unhelpful |= nameserver_of(sent)->bit;
    go_on(query, false, now_ms);
  } else {
    note_failure(query, result == NAMESERVER_TIMED_OUT ? DNS_TIMED_OUT : DNS_UNREACHABLE, DNSMSG_MALFORMED);
    query->was_silent = true;
    go_on(query, true, now_ms);
  }
}

/* ---- asking ---- */

static void set_hedge(struct dns_query *query, uint32_t ms) {
  ev_timer_set(&query->hedge, ms / 1000., 0.);
  ev_timer_start(query->dns->loop, &query->hedge);
}

/* Asks `server`. A hedge comes when it is late, and is no try: a name that is slow everywhere still has all
 * its tries, one after the other. Where servers are known to be silent only the first try is hedged, so that
 * an outage does not mean `tries` queries to each. Without memory for the only one the query gives way. */
static void ask_server(struct dns_query *query, struct nameserver *server) {
  struct dns *dns = query->dns;
  const struct nameserver_question question = {query->name, query->qtype, query->story};
  struct nameserver_try *sent = nameserver_ask(dns->nameservers, server, &question, query);
  query->asked |= server->bit;
  if (sent)
    query->tries[query->try_count++] = sent;
  else if (query->try_count == 0)
    shed_soon(query);
  ev_timer_stop(dns->loop, &query->hedge);
  if (!(query->was_silent && server->health.is_demoted) && choose_server(query))
    set_hedge(query, health_hedge_ms(&server->health));
}

/* Asks the server that is best now. Uses up a try. Requires one that was not asked yet. */
static void ask_next(struct dns_query *query) {
  query->tries_left--;
  ask_server(query, choose_server(query));
}

/* Whether a hedge may be sent because `server` is late: one in HEDGE_COST queries, and always where the
 * server is in doubt. */
static bool may_hedge(struct dns *dns, const struct nameserver *server) {
  if (health_is_in_doubt(&server->health))
    return true;
  if (dns->hedges_saved < HEDGE_COST)
    return false;
  dns->hedges_saved -= HEDGE_COST;
  return true;
}

static void on_hedge(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct dns_query *query = timer->data;
  struct dns *dns = query->dns;
  struct nameserver *next = choose_server(query);
  if (query->try_count == 0 || !next)
    return;
  const struct nameserver *late = nameserver_of(query->tries[query->try_count - 1]);
  if (next->health.is_demoted && !late->health.is_demoted)
    return;
  if (!may_hedge(dns, late)) {
    set_hedge(query, HEDGE_AGAIN_MS);
    return;
  }
  stats_add(dns->stats, STATS_DNS_HEDGES);
  dnsstory_late(query->story, late->text, next->text);
  ask_server(query, next);
}

static void start_query(struct dns_query *query) {
  struct dns *dns = query->dns;
  dnsqueue_list_append(&dns->under_way, &query->node);
  if (dns->hedges_saved < HEDGE_SAVED_MAX)
    dns->hedges_saved++;
  ask_next(query);
  if (dns->server_count > 1 && query->try_count > 0)
    probe_others(query, nameserver_of(query->tries[0]), clock_now_ms());
}

static void start_waiting(struct dns *dns) {
  struct dnsqueue_node *node;
  while (dns->under_way.count < dns->max_queries && (node = dnsqueue_take(&dns->queue)))
    start_query((struct dns_query *)node);
}

/* In the next turn of the loop. */
static void on_soon(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct dns *dns = timer->data;
  struct dnsqueue_node *node;
  int64_t now_ms = clock_now_ms();
  while ((node = dns->shed.first)) {
    struct dns_query *query = (struct dns_query *)node;
    dns_done_fn *done = query->done;
    void *context = query->context;
    dnsqueue_list_remove(&dns->shed, node);
    free_query(query);
    done(context, DNS_SHED, NULL, now_ms);
  }
  start_waiting(dns);
}

/* ---- the room ---- */

int dns_create(struct ev_loop *loop, const struct dns_options *options, struct stats *stats,
               struct dns **result) {
  const struct nameserver_options ways = {.timeout_ms = options->timeout_ms,
                                          .random_case = options->random_case,
                                          .trust_ad = options->trust_ad,
                                          .done = on_try};
  struct dns *dns = calloc(1, sizeof(*dns));
  if (!dns)
    return ERR_NOMEM;
  dns->loop = loop;
  dns->stats = stats;
  dns->tries = options->tries;
  dns->max_queries = options->max_queries;
  dns->max_queue = options->max_queue;
  dns->hedges_saved = HEDGE_SAVED_FIRST;
  ev_timer_init(&dns->soon, on_soon, 0., 0.);
  dns->soon.data = dns;
  dns->nameservers = nameservers_create(loop, &ways, stats);
  if (!dns->nameservers || dns_set_servers(dns, options->servers, options->server_count) != 0) {
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
  free_list(&dns->under_way); /* lets go of the tries */
  free_list(&dns->shed);
  nameservers_destroy(dns->nameservers);
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
  bool must_wait = dns->under_way.count >= dns->max_queries || dnsqueue_count(&dns->queue) > 0;
  bool is_full = dnsqueue_count(&dns->queue) >= dns->max_queue;
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
  query->tries_left = dns->tries;
  query->qtype = question->qtype;
  memcpy(query->name, question->name, length + 1);
  ev_timer_init(&query->hedge, on_hedge, 0., 0.);
  query->hedge.data = query;
  *result = query;
  if (must_wait) {
    dnsstory_waits(query->story, query->name, query->qtype, dns->under_way.count);
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

bool dns_is_down(const struct dns *dns) {
  for (size_t i = 0; i < dns->server_count; i++)
    if (!dns->servers[i]->health.is_demoted)
      return false;
  return true;
}

void dns_cancel(struct dns_query *query) {
  struct dns *dns = query->dns;
  if (query->node.is_waiting)
    dnsqueue_remove(&dns->queue, &query->node);
  else
    dnsqueue_list_remove(query->node.list, &query->node);
  free_query(query);
  ev_timer_start(dns->loop, &dns->soon); /* there is room for another */
}
