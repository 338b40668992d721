#include "serve/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "serve/demands.h"
#include "serve/express.h"
#include "serve/miss.h"
#include "serve/reply.h"
#include "serve/request.h"
#include "serve/server.h"

enum { REFRESH_HITS_LEAST = 2 }; /* ROUTING T7 */

/* One request of a batch. */
struct lookup {
  bool is_pending; /* for facts; else it is answered */
  struct request request;
  uint64_t hash;
  const struct domain_facts *guess; /* of the cache, or NULL */
  const struct wishes *wishes;      /* NULL: none */
  const struct pin *pin;            /* the configured route, or NULL */
  struct name name;
};

struct api {
  struct api_shared *shared;
  struct ev_loop *loop;
  struct stats *stats;
  struct server *server;
  struct mailbox mailbox; /* misses that come back */
  struct qsbr_reader reader;
  struct random random;
  ev_check check;
  ev_prepare prepare;
  int64_t now_ms; /* of this wake-up */
  struct lookup lookups[SERVER_BATCH_MAX];
  union wishes_block wishes[SERVER_BATCH_MAX];
  struct express express;
  struct route route;
  struct domain_facts *pinned_facts; /* PINNED_FACTS_SIZE octets, for the answer under way */
};

/* ---- answering at once ---- */

static void answer_verdict(struct connection *connection, uint64_t id, enum verdict verdict,
                           const struct name *name, const char *detail) {
  uint8_t *at = server_reserve(connection, REPLY_BYTES_MAX);
  server_commit(connection, reply_build_verdict(at, id, verdict, name, detail));
}

static void refuse(struct api *api, struct connection *connection, uint64_t id, const char *detail) {
  stats_add(api->stats, STATS_REQUESTS_BAD);
  answer_verdict(connection, id, VERDICT_BAD_REQUEST, NULL, detail);
}

static void answer_literal(struct api *api, struct connection *connection, const struct lookup *lookup) {
  const struct route_request wanted = {.wishes = lookup->wishes};
  route_build_literal(&lookup->name, &wanted, &api->shared->route_policy, &api->route);
  uint8_t *at = server_reserve(connection, REPLY_BYTES_MAX);
  server_commit(connection, reply_build_literal(at, lookup->request.id, &lookup->name, &api->route));
}

/* Answers with a decision, and where the request wants to know with the rule behind it. */
static void answer_decision(struct connection *connection, const struct lookup *lookup,
                            const struct decision *decision, const char *rule, const char *why) {
  uint8_t *at = server_reserve(connection, REPLY_BYTES_MAX);
  if (!lookup->request.explain) {
    server_commit(connection, reply_build_decision(at, lookup->request.id, decision, &lookup->name));
    return;
  }
  uint8_t frame[DECISION_BYTES_MAX];
  size_t length = reply_build_decision(frame, lookup->request.id, decision, &lookup->name);
  struct story *story = story_create();
  story_add(story, rule, "%s: nobody is asked about %s", why, lookup->name.text);
  server_commit(connection, reply_add_story(at, frame, length, story));
  story_unref(story);
}

/* A configured route that says no. */
static void answer_rejected(struct api *api, struct connection *connection, const struct lookup *lookup) {
  const struct override *override = lookup->pin->override;
  const struct decision decision = {VERDICT_REJECTED, SOURCE_OVERRIDE, pinned_ttl_s(lookup->pin, api->now_ms),
                                    override->detail};
  char why[OVERRIDE_PATTERN_SIZE + 64], pattern[OVERRIDE_PATTERN_SIZE];
  snprintf(why, sizeof(why), "the route configured for %s rejects", override_pattern(override, pattern));
  answer_decision(connection, lookup, &decision, "route", why);
}

/* A name that the DNS does not have is not asked for (ROUTING Q7). */
static void answer_special_use(struct api *api, struct connection *connection, const struct lookup *lookup) {
  const struct decision decision = {VERDICT_NO_SUCH_DOMAIN, SOURCE_POLICY, api->shared->special_use_ttl_s,
                                    "the name is reserved for special use and not looked up"};
  stats_add(api->stats, STATS_REQUESTS_SPECIAL_USE);
  answer_decision(connection, lookup, &decision, "Q7 (RFC 6761)", "the name is reserved for special use");
}

/* Finds the configured route. True: it rejects, and that is the answer. */
static bool find_pin(struct api *api, struct connection *connection, struct lookup *lookup) {
  lookup->pin = pinned_find(api->shared->pinned, &lookup->name, lookup->hash, api->now_ms);
  if (!lookup->pin)
    return false;
  stats_add(api->stats, STATS_REQUESTS_OVERRIDE);
  if (!lookup->pin->override->rejects)
    return false;
  answer_rejected(api, connection, lookup);
  return true;
}

/* Reads what the caller wishes into the lookup's own block; false where that was refused. */
static bool accept_wishes(struct api *api, struct connection *connection, struct lookup *lookup) {
  char detail[WISHES_DETAIL_SIZE];
  lookup->wishes = NULL;
  if (demands_are_none(&lookup->request))
    return true;
  union wishes_block *block = &api->wishes[lookup - api->lookups];
  if (!demands_read(&lookup->request, block, detail)) {
    refuse(api, connection, lookup->request.id, detail);
    return false;
  }
  lookup->wishes = &block->wishes;
  return true;
}

/* Judges a request; answers what needs no facts. */
static void accept_request(struct api *api, struct connection *connection, struct lookup *lookup) {
  const struct request *request = &lookup->request;
  if (!accept_wishes(api, connection, lookup))
    return;
  enum name_error error =
      name_parse(request->domain.bytes, request->domain.length, &api->shared->name_policy, &lookup->name);
  if (error != NAME_OK) {
    stats_add(api->stats, STATS_REQUESTS_INVALID_NAME);
    answer_verdict(connection, request->id, VERDICT_INVALID_NAME, NULL, name_error_text(error));
    return;
  }
  if (lookup->name.kind == NAME_LITERAL) {
    answer_literal(api, connection, lookup);
    return;
  }
  lookup->hash = name_hash(lookup->name.text, lookup->name.length);
  lookup->pin = NULL;
  if (api->shared->pinned && find_pin(api, connection, lookup))
    return;
  if (!lookup->pin && !api->shared->resolve_special_use &&
      name_is_special_use(lookup->name.text, lookup->name.length)) {
    answer_special_use(api, connection, lookup);
    return;
  }
  lookup->is_pending = true;
  cache_prefetch_directory(api->shared->cache, lookup->hash);
}

static void read_frame(struct api *api, struct connection *connection, const struct frame *frame,
                       struct lookup *lookup) {
  stats_add(api->stats, STATS_REQUESTS);
  lookup->is_pending = false;
  if (request_parse(frame->body, frame->body_length, &lookup->request)) {
    accept_request(api, connection, lookup);
  } else if (lookup->request.has_id) {
    refuse(api, connection, lookup->request.id, "not a LookupRequest");
  } else {
    stats_add(api->stats, STATS_REQUESTS_BAD);
    server_break(connection);
  }
}

/* ---- hits and misses ---- */

/* Whether an answer from `facts` needs nobody else; the resolver tells the story of an explained one. */
static bool is_at_hand(const struct api *api, const struct lookup *lookup, const struct domain_facts *facts) {
  const struct request *request = &lookup->request;
  return !request->refresh && !request->explain &&
         route_is_ready(facts, (enum depth)request->depth, request->no_stale, api->now_ms);
}

static void answer_route(struct api *api, struct connection *connection, const struct lookup *lookup,
                         const struct domain_facts *facts, enum source source) {
  const struct route_request wanted = {.depth = (enum depth)lookup->request.depth,
                                       .no_stale = lookup->request.no_stale,
                                       .wishes = lookup->wishes};
  stats_add(api->stats, STATS_HITS);
  route_build(facts, &wanted, &api->shared->route_policy, api->now_ms, api->now_ms, &api->random,
              &api->route);
  uint8_t *at = server_reserve(connection, REPLY_BYTES_MAX);
  server_commit(connection, reply_build_route(at, lookup->request.id, source, &api->route));
}

/* A configured route is answered at once where its addresses are known or not wanted. */
static bool answer_from_pin(struct api *api, struct connection *connection, const struct lookup *lookup) {
  struct domain_facts *facts = api->pinned_facts;
  pinned_build_facts(lookup->pin, &lookup->name, api->now_ms, facts);
  bool is_settled = lookup->request.depth == DEPTH_EXCHANGES || lookup->pin->is_settled;
  if (lookup->request.explain || (!is_settled && !is_at_hand(api, lookup, facts)))
    return false;
  answer_route(api, connection, lookup, facts, SOURCE_OVERRIDE);
  return true;
}

/* Whether this hit is the one that sees to it that what is due is refreshed. */
static bool claim_refresh(const struct domain_facts *facts, enum depth depth, int64_t now_ms) {
  if (domain_facts_want_refresh(facts, now_ms))
    return cache_claim(facts);
  bool is_claimed = false;
  for (uint16_t i = 0; depth != DEPTH_EXCHANGES && facts->set && i < facts->set->count; i++) {
    const struct host_facts *host =
        atomic_load_explicit(&facts->set->exchanges[i].host->facts, memory_order_acquire);
    is_claimed |= host && host_facts_want_refresh(host, now_ms) && cache_claim_host(host);
  }
  return is_claimed;
}

/* A hit on what ends soon, or is stale, asks for it anew; nobody waits for that (ROUTING T6, T7). A domain
 * that is asked for once in its life is not worth it; who wants the cache alone causes no query. */
static void send_refresh(struct api *api, const struct lookup *lookup, const struct domain_facts *facts) {
  enum depth depth = (enum depth)lookup->request.depth;
  bool is_stale = facts->expires_at_ms <= api->now_ms;
  if (!is_stale && cache_hits(facts) < REFRESH_HITS_LEAST)
    return;
  struct miss *miss = claim_refresh(facts, depth, api->now_ms) ? miss_create(NULL, NULL) : NULL;
  if (!miss)
    return;
  miss->is_refresh = true;
  miss->home = &api->mailbox;
  miss->question.name = lookup->name;
  miss->question.hash = lookup->hash;
  miss->question.depth = depth;
  miss_send(miss, api->shared->resolver);
}

/* Answers an ordinary caller from facts of the ordinary kind; false where either is not. */
static bool answer_express(struct api *api, struct connection *connection, const struct lookup *lookup,
                           const struct domain_facts *facts, bool *is_due) {
  const struct request *request = &lookup->request;
  if (lookup->wishes || request->refresh || request->explain)
    return false;
  size_t length =
      express_build(&api->express, server_reserve(connection, REPLY_BYTES_MAX), request->id,
                    (enum depth)request->depth, &lookup->name, facts, api->now_ms, &api->random, is_due);
  server_commit(connection, length);
  return length > 0;
}

static bool answer_from_memory(struct api *api, struct connection *connection, const struct lookup *lookup) {
  if (lookup->pin)
    return answer_from_pin(api, connection, lookup);
  const struct domain_facts *facts = cache_get_guessed(api->shared->cache, lookup->guess, lookup->name.text,
                                                       lookup->name.length, lookup->hash);
  bool is_due;
  if (!facts)
    return false;
  if (answer_express(api, connection, lookup, facts, &is_due)) {
    stats_add(api->stats, STATS_HITS);
  } else if (is_at_hand(api, lookup, facts)) {
    answer_route(api, connection, lookup, facts, SOURCE_MEMORY);
    is_due = route_wants_refresh(facts, (enum depth)lookup->request.depth, api->now_ms);
  } else {
    return false;
  }
  cache_mark(facts);
  if (is_due && !lookup->request.cache_only)
    send_refresh(api, lookup, facts);
  return true;
}

static void send_miss(struct api *api, struct connection *connection, const struct lookup *lookup) {
  const struct request *request = &lookup->request;
  struct miss *miss = miss_create(lookup->wishes, lookup->pin);
  stats_add(api->stats, STATS_MISSES);
  if (!miss) {
    answer_verdict(connection, request->id, VERDICT_OVERLOAD, &lookup->name, "");
    return;
  }
  miss->id = request->id;
  miss->explain = request->explain;
  miss->policy = &api->shared->route_policy;
  miss->home = &api->mailbox;
  miss->connection = server_defer(connection);
  miss->question = (struct question){.name = lookup->name,
                                     .hash = lookup->hash,
                                     .depth = (enum depth)request->depth,
                                     .refresh = request->refresh,
                                     .cache_only = request->cache_only,
                                     .no_stale = request->no_stale,
                                     .timeout_ms = request->timeout_ms};
  if (lookup->pin)
    miss_pin(miss, api->now_ms);
  miss_link(miss, (struct miss **)server_word(connection));
  miss_send(miss, api->shared->resolver);
}

/* Lets the ways to memory of a batch overlap: what one step has loaded, the next reads. */
static void load_ahead(struct api *api, size_t count) {
  struct lookup *ahead[SERVER_BATCH_MAX];
  size_t known = 0, deep = 0;
  for (size_t i = 0; i < count; i++)
    if (api->lookups[i].is_pending)
      cache_prefetch_slot(api->shared->cache, api->lookups[i].hash);
  for (size_t i = 0; i < count; i++) {
    struct lookup *lookup = &api->lookups[i];
    lookup->guess = lookup->is_pending ? cache_guess(api->shared->cache, lookup->hash) : NULL;
    if (lookup->guess)
      ahead[known++] = lookup;
  }
  for (size_t i = 0; i < known; i++) {
    cache_prefetch_set(ahead[i]->guess);
    if (ahead[i]->request.depth != DEPTH_EXCHANGES)
      ahead[deep++] = ahead[i];
  }
  for (size_t i = 0; i < deep; i++)
    cache_prefetch_hosts(ahead[i]->guess);
  for (size_t i = 0; i < deep; i++)
    cache_prefetch_addresses(ahead[i]->guess);
}

static void on_frames(void *context, const struct arrival *arrivals, size_t count) {
  struct api *api = context;
  for (size_t i = 0; i < count; i++)
    read_frame(api, arrivals[i].connection, &arrivals[i].frame, &api->lookups[i]);
  load_ahead(api, count);
  for (size_t i = 0; i < count; i++)
    if (api->lookups[i].is_pending && !answer_from_memory(api, arrivals[i].connection, &api->lookups[i]))
      send_miss(api, arrivals[i].connection, &api->lookups[i]);
}

/* ---- misses that come home ---- */

static void on_home(void *context, struct mail *mail) {
  struct api *api = context;
  struct miss *miss = miss_take(mail);
  if (!miss)
    return;
  /* Without memory for the answer the promise is still kept: the client goes on waiting for its
   * own timeout, the connection's account is right. */
  if (miss->is_refresh) {
    miss_destroy(miss);
    return;
  }
  if (miss->is_recalled)
    stats_add(api->stats, STATS_ANSWERS_LATE);
  else if (!server_answer(api->server, miss->connection, miss->reply, miss->reply ? miss->reply_length : 0))
    stats_add(api->stats, STATS_ANSWERS_LATE);
  miss_destroy(miss);
}

/* Whoever has gone waits for nothing any more. */
static void on_closed(void *context, struct connection *connection) {
  struct api *api = context;
  miss_recall_all((struct miss **)server_word(connection), api->shared->resolver);
}

static void on_check(struct ev_loop *loop, ev_check *check, int events) {
  (void)loop, (void)events;
  struct api *api = check->data;
  qsbr_online(cache_qsbr(api->shared->cache), &api->reader);
  api->now_ms = clock_now_ms();
}

static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events) {
  (void)loop, (void)events;
  struct api *api = prepare->data;
  qsbr_offline(&api->reader);
}

struct api *api_create(struct api_shared *shared, struct ev_loop *loop, struct stats *stats) {
  struct api *api = aligned_alloc(64, sizeof(*api));
  if (!api)
    return NULL;
  memset(api, 0, sizeof(*api));
  api->server = server_create(loop, shared->listen_fd, &shared->connection_count, shared->max_connections,
                              stats, on_frames, on_closed, api);
  api->pinned_facts = malloc(PINNED_FACTS_SIZE);
  if (!api->server || !api->pinned_facts) {
    server_destroy(api->server);
    free(api->pinned_facts);
    free(api);
    return NULL;
  }
  api->shared = shared;
  api->loop = loop;
  api->stats = stats;
  random_init(&api->random);
  express_init(&api->express, &shared->route_policy);
  mailbox_init(&api->mailbox, loop, on_home, api);
  qsbr_add_reader(cache_qsbr(shared->cache), &api->reader);
  /* First of all that a wake-up runs, and last. */
  ev_check_init(&api->check, on_check);
  ev_set_priority(&api->check, EV_MAXPRI);
  ev_prepare_init(&api->prepare, on_prepare);
  ev_set_priority(&api->prepare, EV_MINPRI);
  api->check.data = api->prepare.data = api;
  ev_check_start(loop, &api->check);
  ev_prepare_start(loop, &api->prepare);
  return api;
}

void api_stop(struct api *api) { server_stop(api->server); }

bool api_is_drained(const struct api *api) { return server_is_drained(api->server); }

void api_destroy(struct api *api) {
  if (!api)
    return;
  mailbox_fini(&api->mailbox, miss_drop, NULL);
  ev_check_stop(api->loop, &api->check);
  ev_prepare_stop(api->loop, &api->prepare);
  server_destroy(api->server);
  free(api->pinned_facts);
  free(api);
}
