#include "api.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mxway.pb-c.h"
#include "reply.h"
#include "server.h"
#include "wire.h"

enum {
  ARENA_BYTES = 256 * 1024, /* a request that decodes to more is refused */
};

/* Where protobuf-c puts one decoded request; forgotten before the next. */
struct arena {
  size_t used;
  _Alignas(16) uint8_t bytes[ARENA_BYTES];
};

/* One request of a batch, decoded. */
struct request {
  enum { REQUEST_DOMAIN, REQUEST_ANSWERED } state;
  uint64_t id, hash;
  enum depth depth;
  uint32_t timeout_ms;
  bool refresh, cache_only;
  const struct pin *pin; /* the configured route, or NULL */
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
  struct arena arena;
  ProtobufCAllocator allocator;
  struct request requests[SERVER_BATCH_MAX];
  struct route route;
  struct domain_facts *pinned_facts; /* PINNED_FACTS_SIZE octets, for the answer under way */
};

/* A request on its way through the resolver thread. */
struct miss {
  struct mail mail; /* first: a mail is a miss */
  struct question question;
  struct api *api;
  struct connection_ref connection;
  uint64_t id;
  const struct pin *pin;             /* the configured route, or NULL; with it */
  struct domain_facts *pinned_facts; /* behind this, what question.pinned points at */
  uint8_t *reply;                    /* malloc block, NULL without memory */
  size_t reply_length;
};

/* ---- decoding ---- */

static void *arena_alloc(void *context, size_t size) {
  struct arena *arena = context;
  size = (size + 15) & ~(size_t)15;
  if (size > ARENA_BYTES - arena->used)
    return NULL;
  void *block = arena->bytes + arena->used;
  arena->used += size;
  return block;
}

static void arena_free(void *context, void *block) { (void)context, (void)block; }

/* The id of a request that cannot be decoded: field 1, where it stands first as
 * every library writes it. False where it cannot be read. */
static bool salvage_id(const struct frame *frame, uint64_t *id) {
  const uint8_t *at = frame->body, *end = at + frame->body_length;
  if (at == end || *at++ != WIRE_TAG(1, WIRE_TYPE_VARINT))
    return false;
  *id = 0;
  for (unsigned shift = 0; at < end && shift < 64; shift += 7, at++) {
    *id |= (uint64_t)(*at & 0x7f) << shift;
    if (!(*at & 0x80))
      return true;
  }
  return false;
}

/* What the daemon knows but does not implement is refused, never ignored.
 * Returns what is wrong, or NULL. */
static const char *find_unsupported(const Mxway__V1__LookupRequest *message) {
  if (message->depth != MXWAY__V1__DEPTH__DEPTH_EXCHANGES &&
      message->depth != MXWAY__V1__DEPTH__DEPTH_ADDRESSES)
    return "depth: only DEPTH_EXCHANGES and DEPTH_ADDRESSES are implemented";
  if (message->order != MXWAY__V1__ORDER__ORDER_RANDOM || message->order_key.len > 0)
    return "order: only ORDER_RANDOM is implemented";
  if (message->family != MXWAY__V1__FAMILY__FAMILY_ANY)
    return "family: only FAMILY_ANY is implemented";
  if (message->n_self_names > 0 || message->n_self_addresses > 0)
    return "self_names, self_addresses: not implemented";
  if (message->n_exclude > 0)
    return "exclude: not implemented";
  if (message->primary_only)
    return "primary_only: not implemented";
  if (message->max_exchanges > 0)
    return "max_exchanges: not implemented";
  return NULL;
}

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

static void answer_literal(struct connection *connection, const struct request *request) {
  uint8_t *at = server_reserve(connection, REPLY_BYTES_MAX);
  server_commit(connection, reply_build_literal(at, request->id, &request->name));
}

/* A configured route that says no. */
static void answer_rejected(struct api *api, struct connection *connection, const struct request *request) {
  const struct decision decision = {VERDICT_REJECTED, SOURCE_OVERRIDE,
                                    pinned_ttl_s(request->pin, api->now_ms), request->pin->override->detail};
  uint8_t *at = server_reserve(connection, REPLY_BYTES_MAX);
  server_commit(connection, reply_build_decision(at, request->id, &decision, &request->name));
}

/* A name that the DNS does not have is not asked for (ROUTING Q7). */
static void answer_special_use(struct api *api, struct connection *connection,
                               const struct request *request) {
  const struct decision decision = {VERDICT_NO_SUCH_DOMAIN, SOURCE_POLICY, api->shared->special_use_ttl_s,
                                    "the name is reserved for special use and not looked up"};
  stats_add(api->stats, STATS_REQUESTS_SPECIAL_USE);
  uint8_t *at = server_reserve(connection, REPLY_BYTES_MAX);
  server_commit(connection, reply_build_decision(at, request->id, &decision, &request->name));
}

/* Looks for the configured route of a request; true: it rejects, and that is answered. */
static bool find_pin(struct api *api, struct connection *connection, struct request *request) {
  request->pin = pinned_find(api->shared->pinned, &request->name, request->hash, api->now_ms);
  if (!request->pin)
    return false;
  stats_add(api->stats, STATS_REQUESTS_OVERRIDE);
  if (!request->pin->override->rejects)
    return false;
  answer_rejected(api, connection, request);
  return true;
}

/* Judges a decoded message; answers what needs no facts. */
static void accept_message(struct api *api, struct connection *connection,
                           const Mxway__V1__LookupRequest *message, struct request *request) {
  request->state = REQUEST_ANSWERED;
  request->id = message->id;
  const char *unsupported = find_unsupported(message);
  if (unsupported) {
    refuse(api, connection, message->id, unsupported);
    return;
  }
  enum name_error error =
      name_parse(message->domain.data, message->domain.len, &api->shared->name_policy, &request->name);
  if (error != NAME_OK) {
    stats_add(api->stats, STATS_REQUESTS_INVALID_NAME);
    answer_verdict(connection, message->id, VERDICT_INVALID_NAME, NULL, name_error_text(error));
    return;
  }
  if (request->name.kind == NAME_LITERAL) {
    answer_literal(connection, request);
    return;
  }
  request->hash = name_hash(request->name.text, request->name.length);
  request->pin = NULL;
  if (api->shared->pinned && find_pin(api, connection, request))
    return;
  if (!request->pin && !api->shared->resolve_special_use &&
      name_is_special_use(request->name.text, request->name.length)) {
    answer_special_use(api, connection, request);
    return;
  }
  request->state = REQUEST_DOMAIN;
  request->depth = (enum depth)message->depth;
  request->timeout_ms = message->timeout_ms;
  request->refresh = message->refresh;
  request->cache_only = message->cache_only;
  cache_prefetch(api->shared->cache, request->hash);
}

static void decode(struct api *api, struct connection *connection, const struct frame *frame,
                   struct request *request) {
  stats_add(api->stats, STATS_REQUESTS);
  request->state = REQUEST_ANSWERED;
  api->arena.used = 0;
  Mxway__V1__LookupRequest *message =
      mxway__v1__lookup_request__unpack(&api->allocator, frame->body_length, frame->body);
  if (message) {
    accept_message(api, connection, message, request);
  } else if (salvage_id(frame, &request->id)) {
    refuse(api, connection, request->id, "not a LookupRequest, or one with too many fields");
  } else {
    stats_add(api->stats, STATS_REQUESTS_BAD);
    server_break(connection);
  }
}

/* ---- hits and misses ---- */

/* A configured route is answered at once where its addresses are known or not wanted. */
static bool answer_from_pin(struct api *api, struct connection *connection, const struct request *request) {
  struct domain_facts *facts = api->pinned_facts;
  pinned_build_facts(request->pin, &request->name, api->now_ms, facts);
  bool may_ask = request->depth != DEPTH_EXCHANGES && !request->pin->is_settled;
  if (may_ask && (request->refresh || !route_is_fresh(facts, request->depth, api->now_ms)))
    return false;
  stats_add(api->stats, STATS_HITS);
  route_build(facts, request->depth, &api->shared->route_policy, api->now_ms, api->now_ms, &api->random,
              &api->route);
  uint8_t *at = server_reserve(connection, REPLY_BYTES_MAX);
  server_commit(connection, reply_build_route(at, request->id, SOURCE_OVERRIDE, &api->route));
  return true;
}

static bool answer_from_memory(struct api *api, struct connection *connection,
                               const struct request *request) {
  if (request->pin)
    return answer_from_pin(api, connection, request);
  const struct domain_facts *facts =
      cache_get(api->shared->cache, request->name.text, request->name.length, request->hash);
  if (!facts || request->refresh || !route_is_fresh(facts, request->depth, api->now_ms))
    return false;
  cache_mark(facts);
  stats_add(api->stats, STATS_HITS);
  route_build(facts, request->depth, &api->shared->route_policy, api->now_ms, api->now_ms, &api->random,
              &api->route);
  uint8_t *at = server_reserve(connection, REPLY_BYTES_MAX);
  server_commit(connection, reply_build_route(at, request->id, SOURCE_MEMORY, &api->route));
  return true;
}

static void send_miss(struct api *api, struct connection *connection, const struct request *request) {
  struct miss *miss = calloc(1, sizeof(*miss) + (request->pin ? PINNED_FACTS_SIZE : 0));
  stats_add(api->stats, STATS_MISSES);
  if (!miss) {
    answer_verdict(connection, request->id, VERDICT_OVERLOAD, &request->name, "");
    return;
  }
  miss->api = api;
  miss->id = request->id;
  miss->connection = server_defer(connection);
  miss->question = (struct question){.name = request->name,
                                     .hash = request->hash,
                                     .depth = request->depth,
                                     .refresh = request->refresh,
                                     .cache_only = request->cache_only,
                                     .timeout_ms = request->timeout_ms};
  if (request->pin) {
    miss->pin = request->pin;
    miss->pinned_facts = (struct domain_facts *)(miss + 1);
    miss->question.pinned = miss->pinned_facts;
    pinned_build_facts(miss->pin, &request->name, api->now_ms, miss->pinned_facts);
  }
  mailbox_send(api->shared->resolver, &miss->mail);
}

static void on_frames(void *context, struct connection *connection, const struct frame *frames,
                      size_t count) {
  struct api *api = context;
  for (size_t i = 0; i < count; i++)
    decode(api, connection, &frames[i], &api->requests[i]);
  for (size_t i = 0; i < count; i++)
    if (api->requests[i].state == REQUEST_DOMAIN && !answer_from_memory(api, connection, &api->requests[i]))
      send_miss(api, connection, &api->requests[i]);
}

/* ---- in the resolver's thread ---- */

/* The facts to answer with, and whose they are. Those of a configured route begin their life with the
 * answer, however long its addresses took. */
static const struct domain_facts *facts_of(struct miss *miss, const struct answer *answer, int64_t now_ms,
                                           enum source *source) {
  *source = answer->from_memory ? SOURCE_MEMORY : SOURCE_DNS;
  if (!answer->facts || !miss->pin)
    return answer->facts;
  *source = SOURCE_OVERRIDE;
  pinned_build_facts(miss->pin, &miss->question.name, now_ms, miss->pinned_facts);
  return miss->pinned_facts;
}

/* Packs the answer while its facts are lent. */
static void pack_answer(struct miss *miss, const struct answer *answer, int64_t now_ms) {
  static _Thread_local struct random random;
  static _Thread_local struct route route;
  static _Thread_local uint8_t bytes[REPLY_BYTES_MAX];
  if (random.state == 0)
    random_init(&random);
  enum source source;
  const struct domain_facts *facts = facts_of(miss, answer, now_ms, &source);
  if (facts) {
    route_build(facts, miss->question.depth, &miss->api->shared->route_policy, answer->since_ms, now_ms,
                &random, &route);
    miss->reply_length = reply_build_route(bytes, miss->id, source, &route);
  } else {
    miss->reply_length = reply_build_verdict(bytes, miss->id, answer->verdict, &miss->question.name, "");
  }
  miss->reply = malloc(miss->reply_length);
  if (miss->reply)
    memcpy(miss->reply, bytes, miss->reply_length);
}

void api_on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  (void)context;
  struct miss *miss = (struct miss *)((char *)question - offsetof(struct miss, question));
  pack_answer(miss, answer, now_ms);
  mailbox_send(&miss->api->mailbox, &miss->mail);
}

void api_ask(struct resolver *resolver, struct mail *mail, int64_t now_ms) {
  struct miss *miss = (struct miss *)mail;
  struct answer answer;
  if (resolver_ask(resolver, &miss->question, now_ms, &answer))
    api_on_answer(NULL, &miss->question, &answer, now_ms);
}

void api_drop(void *context, struct mail *mail) {
  (void)context;
  struct miss *miss = (struct miss *)mail;
  free(miss->reply);
  free(miss);
}

/* ---- back in the frontend's thread ---- */

static void on_answered(void *context, struct mail *mail) {
  struct api *api = context;
  struct miss *miss = (struct miss *)mail;
  /* Without memory for the answer the promise is still kept: the client goes on waiting for its
   * own timeout, the connection's account is right. */
  if (!server_answer(api->server, miss->connection, miss->reply, miss->reply ? miss->reply_length : 0))
    stats_add(api->stats, STATS_ANSWERS_LATE);
  api_drop(NULL, mail);
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
                              stats, on_frames, api);
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
  api->allocator = (ProtobufCAllocator){arena_alloc, arena_free, &api->arena};
  random_init(&api->random);
  mailbox_init(&api->mailbox, loop, on_answered, api);
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
  mailbox_fini(&api->mailbox, api_drop, NULL);
  ev_check_stop(api->loop, &api->check);
  ev_prepare_stop(api->loop, &api->prepare);
  server_destroy(api->server);
  free(api->pinned_facts);
  free(api);
}
