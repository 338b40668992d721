#include "cmocka_compat.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loop_until.h"
#include "malloc_watch.h"
#include "memory_guard.h"
#include "mxway.pb-c.h"
#include "serve/api.h"
#include "serve/miss.h"
#include "syscall_watch.h"
#include "unix_peer.h"
#include "wire.h"

typedef Mxway__V1__LookupRequest Request;
typedef Mxway__V1__LookupReply Reply;

enum { LIFE_MS = 300000, PENDING_MAX = 4096 };

/* ---- a resolver that does what a test says ---- */

struct resolver {
  struct cache *cache;
  bool answers; /* at once, with `answer` */
  struct answer answer;
  size_t asked_count, left_count, refreshed_count;
  struct question *asked[PENDING_MAX];
  bool fills;        /* at once, with facts it puts into the cache */
  bool replaces;     /* first the facts of the domain asked, as the writer may at any time */
  size_t kept_count; /* of what it replaced, for readers */
  const struct domain_facts *held;
  unsigned put_count;
};

/* A hit in the last `lead_ms` of its life asks for a refresh. */
static const struct domain_facts *put_with_lead(struct cache *cache, const char *name, enum domain_kind kind,
                                                int64_t expires_at_ms, uint32_t lead_ms) {
  static _Thread_local struct domain_value value;
  memset(&value, 0, sizeof(value));
  value.kind = kind;
  value.stored_at_ms = clock_now_ms();
  value.expires_at_ms = expires_at_ms;
  value.refresh_lead_ms = lead_ms;
  if (kind == DOMAIN_MX) {
    value.count = 2;
    value.exchanges[0].preference = 10;
    memcpy(value.exchanges[0].host, "mx1.test", sizeof("mx1.test"));
    value.exchanges[1].preference = 20;
    memcpy(value.exchanges[1].host, "mx2.test", sizeof("mx2.test"));
  }
  const struct domain_facts *facts =
      cache_put(cache, name, strlen(name), name_hash(name, strlen(name)), &value);
  assert_non_null(facts);
  return facts;
}

static const struct domain_facts *put_domain(struct cache *cache, const char *name, enum domain_kind kind,
                                             int64_t expires_at_ms) {
  return put_with_lead(cache, name, kind, expires_at_ms, 0);
}

static void fill(struct resolver *resolver, const struct question *question, int64_t now_ms,
                 struct answer *answer) {
  const struct domain_facts *facts =
      put_domain(resolver->cache, question->name.text, DOMAIN_MX, now_ms + 1 + resolver->put_count++ % 3);
  if (resolver->held)
    cache_release(resolver->cache, resolver->held);
  resolver->held = facts;
  *answer = (struct answer){.facts = facts, .since_ms = now_ms};
}

bool resolver_ask(struct resolver *resolver, struct question *question, int64_t now_ms,
                  struct answer *answer) {
  if (resolver->fills) {
    fill(resolver, question, now_ms, answer);
    return true;
  }
  if (resolver->replaces) {
    cache_release(resolver->cache, put_domain(resolver->cache, question->name.text, DOMAIN_NXDOMAIN, now_ms));
    resolver->kept_count = qsbr_collect(cache_qsbr(resolver->cache));
  }
  assert_true(resolver->asked_count < PENDING_MAX);
  resolver->asked[resolver->asked_count++] = question;
  *answer = resolver->answer;
  return resolver->answers;
}

bool resolver_leave(struct resolver *resolver, struct question *question) {
  for (size_t i = 0; i < resolver->asked_count; i++)
    if (resolver->asked[i] == question) {
      resolver->asked[i] = NULL;
      resolver->left_count++;
      return true;
    }
  return false;
}

void resolver_refresh(struct resolver *resolver, const struct name *name, uint64_t hash, enum depth depth,
                      int64_t now_ms) {
  (void)hash, (void)depth, (void)now_ms;
  resolver->refreshed_count++;
  assert_string_equal(name->text, "d.test");
}

/* ---- a frontend with everything around it, on one loop ---- */

struct fixture {
  struct ev_loop *loop;
  struct unix_place place;
  struct stats stats;
  struct cache *cache;
  struct mailbox mailbox;
  struct resolver resolver;
  struct api_shared shared;
  struct override_list routes;
  struct pinned *pinned;
  struct api *api;
  struct unix_peer peer;
};

static void on_mail(void *context, struct mail *mail) {
  struct fixture *fixture = context;
  miss_arrive(&fixture->resolver, mail, clock_now_ms());
}

static int open_with(void **state, struct cache *cache) {
  struct fixture *fixture = aligned_alloc(64, (sizeof(*fixture) + 63) / 64 * 64);
  assert_non_null(fixture);
  memset(fixture, 0, sizeof(*fixture));
  fixture->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  assert_non_null(fixture->loop);
  unix_place_open(&fixture->place);
  fixture->cache = cache;
  mailbox_init(&fixture->mailbox, fixture->loop, on_mail, fixture);
  fixture->resolver.cache = fixture->cache;
  fixture->shared.cache = fixture->cache;
  fixture->shared.resolver = &fixture->mailbox;
  fixture->shared.listen_fd = fixture->place.listener;
  fixture->shared.max_connections = 100;
  fixture->api = api_create(&fixture->shared, fixture->loop, &fixture->stats);
  assert_non_null(fixture->api);
  unix_peer_connect(&fixture->peer, &fixture->place);
  LOOP_UNTIL(fixture->loop, fixture->shared.connection_count == 1);
  *state = fixture;
  return 0;
}

static struct cache *make_cache(void) {
  static struct stats writer_stats;
  struct cache *cache = cache_create(1 << 20, 0, &writer_stats);
  assert_non_null(cache);
  return cache;
}

static int open_api(void **state) { return open_with(state, make_cache()); }

/* Questions left to the fake resolver are answered, as the real one does at its end. */
static void answer_all(struct fixture *fixture) {
  struct answer answer = {.verdict = VERDICT_SHUTDOWN};
  for (size_t i = 0; i < fixture->resolver.asked_count; i++)
    if (fixture->resolver.asked[i])
      miss_on_answer(NULL, fixture->resolver.asked[i], &answer, clock_now_ms());
  fixture->resolver.asked_count = 0;
}

static int close_api(void **state) {
  struct fixture *fixture = *state;
  malloc_allow(LONG_MAX);
  unix_peer_close(&fixture->peer);
  if (!fixture->resolver.answers)
    answer_all(fixture);
  mailbox_fini(&fixture->mailbox, miss_drop, NULL);
  api_destroy(fixture->api);
  assert_int_equal(fixture->shared.connection_count, 0);
  if (fixture->resolver.held)
    cache_release(fixture->cache, fixture->resolver.held);
  pinned_destroy(fixture->pinned);
  override_list_fini(&fixture->routes);
  cache_destroy(fixture->cache);
  unix_place_close(&fixture->place);
  assert_false(ev_run(fixture->loop, EVRUN_NOWAIT));
  ev_loop_destroy(fixture->loop);
  free(fixture);
  return 0;
}

static uint64_t counter(const struct fixture *fixture, enum stats_counter which) {
  return fixture->stats.counters[which];
}

static void put(struct fixture *fixture, const char *name, enum domain_kind kind) {
  cache_release(fixture->cache, put_domain(fixture->cache, name, kind, clock_now_ms() + LIFE_MS));
}

static const struct domain_facts *peek(const struct fixture *fixture, const char *name) {
  return cache_peek(fixture->cache, name, strlen(name), name_hash(name, strlen(name)));
}

/* Gives every exchange of a domain one address of each family. */
static void put_addresses(struct fixture *fixture, const char *name) {
  const struct domain_facts *facts = peek(fixture, name);
  int64_t now_ms = clock_now_ms();
  assert_non_null(facts);
  for (uint16_t i = 0; i < facts->set->count; i++) {
    struct family_value values[FAMILY_COUNT] = {
        [FAMILY_V6] = {.state = FAMILY_NODATA, .expires_at_ms = now_ms + LIFE_MS},
        [FAMILY_V4] = {.state = FAMILY_OK,
                       .expires_at_ms = now_ms + LIFE_MS,
                       .count = 1,
                       .addresses = {{192, 0, 2, (uint8_t)(i + 1)}}},
    };
    struct host_facts *host = host_facts_build(values);
    assert_non_null(host);
    cache_put_host(fixture->cache, facts->set->exchanges[i].host, host, now_ms);
  }
}

/* ---- talking ---- */

static Request request_for(uint64_t id, const char *domain) {
  Request request = MXWAY__V1__LOOKUP_REQUEST__INIT;
  request.id = id;
  request.domain.data = (uint8_t *)(uintptr_t)domain;
  request.domain.len = strlen(domain);
  return request;
}

/* Writes a frame of any octets, as the socket takes them. */
static void send_body(struct fixture *fixture, const void *body, size_t length) {
  uint8_t *bytes = malloc(FRAME_HEADER_MAX + length);
  assert_non_null(bytes);
  size_t header_length = frame_build_header(bytes, length), sent = 0;
  if (length > 0)
    memcpy(bytes + header_length, body, length);
  length += header_length;
  LOOP_UNTIL(fixture->loop, (sent += unix_peer_write(&fixture->peer, bytes + sent, length - sent)) == length);
  free(bytes);
}

static void send_request(struct fixture *fixture, const Request *request) {
  uint8_t body[1024];
  assert_true(mxway__v1__lookup_request__get_packed_size(request) <= sizeof(body));
  send_body(fixture, body, mxway__v1__lookup_request__pack(request, body));
}

static bool has_reply(struct fixture *fixture, struct frame *frame) {
  unix_peer_read(&fixture->peer);
  return fixture->peer.length > 0 && unix_peer_has_frame(&fixture->peer, frame);
}

/* The next reply, to be freed. */
static Reply *receive(struct fixture *fixture) {
  struct frame frame;
  LOOP_UNTIL(fixture->loop, has_reply(fixture, &frame));
  Reply *reply = mxway__v1__lookup_reply__unpack(NULL, frame.body_length, frame.body);
  assert_non_null(reply);
  unix_peer_take_frame(&fixture->peer, &frame);
  return reply;
}

static void forget(Reply *reply) { mxway__v1__lookup_reply__free_unpacked(reply, NULL); }

static void assert_silent(struct fixture *fixture) {
  struct frame frame;
  loop_settle(fixture->loop);
  assert_false(has_reply(fixture, &frame));
  assert_false(fixture->peer.at_end);
}

static void expect_verdict(struct fixture *fixture, uint64_t id, enum verdict verdict, const char *detail) {
  Reply *reply = receive(fixture);
  assert_int_equal(reply->id, id);
  assert_int_equal(reply->verdict, verdict);
  if (detail)
    assert_non_null(strstr(reply->detail, detail));
  assert_int_equal(reply->n_exchanges, 0);
  forget(reply);
}

static void expect_route(struct fixture *fixture, uint64_t id, Mxway__V1__Source source) {
  Reply *reply = receive(fixture);
  assert_int_equal(reply->id, id);
  assert_int_equal(reply->verdict, VERDICT_ROUTE);
  assert_int_equal(reply->source, source);
  assert_int_equal(reply->n_exchanges, 2);
  assert_string_equal(reply->exchanges[0]->host, "mx1.test");
  assert_int_equal(reply->exchanges[0]->preference, 10);
  assert_string_equal(reply->exchanges[1]->host, "mx2.test");
  forget(reply);
}

/* The connection is good and so is the daemon. */
static void assert_serves(struct fixture *fixture) {
  put(fixture, "serves.test", DOMAIN_MX);
  Request request = request_for(4711, "serves.test");
  send_request(fixture, &request);
  expect_route(fixture, 4711, MXWAY__V1__SOURCE__SOURCE_MEMORY);
}

/* ---- hits ---- */

static void a_hit_is_answered_from_memory(void **state) {
  struct fixture *fixture = *state;
  put(fixture, "d.test", DOMAIN_MX);
  Request request = request_for(1, "d.test");
  send_request(fixture, &request);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->id, 1);
  assert_int_equal(reply->verdict, VERDICT_ROUTE);
  assert_int_equal(reply->source, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  assert_string_equal(reply->canonical, "d.test");
  assert_true(reply->ttl > 290 && reply->ttl <= 300);
  assert_int_equal(reply->mx_ttl, reply->ttl);
  assert_int_equal(reply->n_exchanges, 2);
  assert_int_equal(reply->exchanges[0]->status, MXWAY__V1__EXCHANGE_STATUS__EXCHANGE_STATUS_NOT_RESOLVED);
  assert_int_equal(reply->exchanges[0]->n_addresses, 0);
  forget(reply);
  assert_int_equal(counter(fixture, STATS_REQUESTS), 1);
  assert_int_equal(counter(fixture, STATS_HITS), 1);
  assert_int_equal(counter(fixture, STATS_MISSES), 0);
  assert_int_equal(fixture->resolver.asked_count, 0);
}

static void a_hit_with_addresses_is_answered_from_memory(void **state) {
  struct fixture *fixture = *state;
  put(fixture, "d.test", DOMAIN_MX);
  put_addresses(fixture, "d.test");
  Request request = request_for(2, "d.test");
  request.depth = MXWAY__V1__DEPTH__DEPTH_ADDRESSES;
  send_request(fixture, &request);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->verdict, VERDICT_ROUTE);
  assert_int_equal(reply->n_exchanges, 2);
  for (size_t i = 0; i < 2; i++) {
    const uint8_t address[] = {192, 0, 2, (uint8_t)(i + 1)};
    assert_int_equal(reply->exchanges[i]->status, MXWAY__V1__EXCHANGE_STATUS__EXCHANGE_STATUS_OK);
    assert_int_equal(reply->exchanges[i]->n_addresses, 1);
    assert_int_equal(reply->exchanges[i]->addresses[0].len, 4);
    assert_memory_equal(reply->exchanges[i]->addresses[0].data, address, 4);
  }
  forget(reply);
  assert_int_equal(counter(fixture, STATS_HITS), 1);
}

static void a_denial_in_memory_is_a_hit(void **state) {
  struct fixture *fixture = *state;
  put(fixture, "gone.test", DOMAIN_NXDOMAIN);
  put(fixture, "null.test", DOMAIN_NULL_MX);
  Request request = request_for(1, "gone.test");
  send_request(fixture, &request);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->verdict, VERDICT_NO_SUCH_DOMAIN);
  assert_int_equal(reply->smtp_code, 550);
  assert_string_equal(reply->enhanced_status, "5.1.2");
  forget(reply);
  request = request_for(2, "null.test");
  send_request(fixture, &request);
  expect_verdict(fixture, 2, VERDICT_NULL_MX, NULL);
  assert_int_equal(counter(fixture, STATS_HITS), 2);
}

static void every_spelling_of_a_name_is_one_entry(void **state) {
  static const char *const spellings[] = {"d\xc3\xbc.test", "D\xc3\x9c.TEST", "xn--d-xka.test",
                                          "XN--D-XKA.Test."};
  struct fixture *fixture = *state;
  struct name name;
  assert_int_equal(
      name_parse((const uint8_t *)spellings[0], strlen(spellings[0]), &fixture->shared.name_policy, &name),
      NAME_OK);
  put(fixture, name.text, DOMAIN_MX);
  for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
    Request request = request_for(i, i < 2 ? spellings[i] : name.text);
    send_request(fixture, &request);
    expect_route(fixture, i, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  }
}

static void any_id_comes_back_unchanged(void **state) {
  static const uint64_t ids[] = {0, 1, 127, 128, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
  struct fixture *fixture = *state;
  put(fixture, "d.test", DOMAIN_MX);
  for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
    Request request = request_for(ids[i], "d.test");
    send_request(fixture, &request);
    expect_route(fixture, ids[i], MXWAY__V1__SOURCE__SOURCE_MEMORY);
    request.order = MXWAY__V1__ORDER__ORDER_KEYED;
    send_request(fixture, &request);
    expect_verdict(fixture, ids[i], VERDICT_BAD_REQUEST, "order_key");
  }
}

/* Makes `batch` questions of every kind that memory answers; returns their octets. */
static size_t build_questions(uint8_t *bytes, unsigned batch) {
  uint8_t *end = bytes;
  ProtobufCBinaryData self = {.len = 8, .data = (uint8_t *)(uintptr_t) "mx2.test"};
  for (unsigned i = 0; i < batch; i++) {
    Request request = request_for(i, i % 8 == 7 ? "gone.test" : "d.test");
    request.depth = i % 2 ? MXWAY__V1__DEPTH__DEPTH_ADDRESSES : MXWAY__V1__DEPTH__DEPTH_EXCHANGES;
    request.n_self_names = i / 2 % 2;
    request.self_names = &self;
    request.order = i / 4 % 2 ? MXWAY__V1__ORDER__ORDER_STABLE : MXWAY__V1__ORDER__ORDER_RANDOM;
    end += frame_build_header(end, mxway__v1__lookup_request__get_packed_size(&request));
    end += mxway__v1__lookup_request__pack(&request, end);
  }
  return (size_t)(end - bytes);
}

static void put_all_kinds(struct fixture *fixture) {
  put(fixture, "d.test", DOMAIN_MX);
  put_addresses(fixture, "d.test");
  put(fixture, "gone.test", DOMAIN_NXDOMAIN);
}

static void a_hit_allocates_nothing(void **state) {
  enum { ROUNDS = 50, BATCH = 200 };
  struct fixture *fixture = *state;
  uint8_t bytes[BATCH * 48];
  if (!malloc_is_watched())
    skip();
  put_all_kinds(fixture);
  size_t length = build_questions(bytes, BATCH);
  for (int round = 0; round < ROUNDS; round++) {
    unix_peer_write_all(&fixture->peer, bytes, length);
    ev_run(fixture->loop, EVRUN_NOWAIT);
    if (round == 0) { /* the loop and the peer have what they need by now */
      unix_peer_read(&fixture->peer);
      malloc_calls = 0;
    }
    unix_peer_take(&fixture->peer, fixture->peer.length);
    unix_peer_read(&fixture->peer);
  }
  assert_int_equal(malloc_calls, 0);
  assert_int_equal(counter(fixture, STATS_HITS), ROUNDS * BATCH);
}

enum { CALLERS = 5, WAKES = 12 };

/* Clients that ask, `batch` questions in one write each, in all of WAKES wake-ups. */
struct callers {
  struct fixture *fixture;
  struct unix_peer peers[CALLERS];
  size_t count;
  const uint8_t *bytes;
  size_t length, batch;
};

/* Whether all was answered. Nothing in it may assert: it runs in a child. */
static bool ask_and_wake(void *context) {
  const struct callers *callers = context;
  static uint8_t answers[65536];
  bool good = true;
  uint8_t shared[sizeof(struct api_shared)];
  memcpy(shared, &callers->fixture->shared, sizeof(shared));
  for (int wake = 0; wake < WAKES; wake++) {
    for (size_t i = 0; i < callers->count; i++)
      good &= write(callers->peers[i].fd, callers->bytes, callers->length) == (ssize_t)callers->length;
    syscall_mark();
    ev_run(callers->fixture->loop, EVRUN_NOWAIT);
    syscall_mark();
    for (size_t i = 0; i < callers->count; i++)
      good &= read(callers->peers[i].fd, answers, sizeof(answers)) > 0;
  }
  return good && memcmp(shared, &callers->fixture->shared, sizeof(shared)) == 0 &&
         counter(callers->fixture, STATS_HITS) == (WAKES + 1) * callers->count * callers->batch &&
         counter(callers->fixture, STATS_MISSES) == 0;
}

/* The first wake-up is not watched: libev and the clients get what they need then. */
static void expect_three_calls(struct callers *callers) {
  struct syscall_stretch stretches[WAKES];
  struct fixture *fixture = callers->fixture;
  size_t count;
  for (size_t i = 0; i < callers->count; i++)
    unix_peer_write_all(&callers->peers[i], callers->bytes, callers->length);
  ev_run(fixture->loop, EVRUN_NOWAIT);
  for (size_t i = 0; i < callers->count; i++) {
    assert_true(unix_peer_read(&callers->peers[i]) > 0);
    unix_peer_take(&callers->peers[i], callers->peers[i].length);
  }
  if (syscall_watch(ask_and_wake, callers, stretches, WAKES, &count) == SYSCALL_NOT_WATCHED) {
    print_message("ptrace(2) is not allowed here\n");
    skip();
  }
  assert_int_equal(count, WAKES);
  for (size_t i = 0; i < count; i++) {
    if (stretches[i].others > 0)
      fail_msg("%u other system calls, one of them is number %ld", stretches[i].others, stretches[i].other);
    assert_int_equal(stretches[i].waits, 1);
    assert_int_equal(stretches[i].reads, callers->count);
    assert_int_equal(stretches[i].writes, callers->count);
  }
}

/* One read and one write for each client that asks, and one wait for all: nothing else is asked of the
 * kernel, however many questions come together. */
static void a_hit_costs_no_system_call_but_those_of_its_socket(void **state) {
  enum { BATCH_MOST = 200 };
  static const unsigned batches[] = {1, 64, BATCH_MOST};
  struct fixture *fixture = *state;
  uint8_t bytes[BATCH_MOST * 48];
  if (!malloc_is_watched()) /* sanitizers and valgrind have system calls of their own */
    skip();
  put_all_kinds(fixture);
  struct callers callers = {.fixture = fixture, .bytes = bytes};
  for (size_t i = 0; i < CALLERS; i++)
    unix_peer_connect(&callers.peers[i], &fixture->place);
  LOOP_UNTIL(fixture->loop, fixture->shared.connection_count == 1 + CALLERS);
  for (size_t i = 0; i < 2 * sizeof(batches) / sizeof(batches[0]); i++) {
    callers.batch = batches[i / 2];
    callers.count = i % 2 ? CALLERS : 1;
    callers.length = build_questions(bytes, batches[i / 2]);
    fixture->stats.counters[STATS_HITS] = 0;
    expect_three_calls(&callers);
  }
  for (size_t i = 0; i < CALLERS; i++)
    unix_peer_close(&callers.peers[i]);
}

static void *make_known_cache(void *context) {
  struct fixture fixture = {.cache = make_cache()};
  put_all_kinds(&fixture);
  *(struct cache **)context = fixture.cache;
  return NULL;
}

/* With a cache, and all that it knows, in mappings of its own. */
static int open_apart(void **state) {
  pthread_t thread;
  struct cache *cache;
  assert_int_equal(pthread_create(&thread, NULL, make_known_cache, &cache), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  return open_with(state, cache);
}

/* The mappings of the cache, of facts with their set and of a host's; and what may not be in them. */
static void find_shared(const struct fixture *fixture, struct memory_mapping mappings[4]) {
  const struct domain_facts *facts = peek(fixture, "d.test");
  const struct host *host = facts->set->exchanges[0].host;
  const void *const shared[] = {fixture->cache, facts, facts->set, host->facts};
  for (size_t i = 0; i < 4; i++) {
    mappings[i] = memory_find(shared[i]);
    if (memory_contains(&mappings[i], fixture->api)) {
      print_message("a thread has no memory of its own here\n");
      skip();
    }
  }
}

/* All that frontends share is read by a hit and never written, but for the use mark of an entry, and that
 * only until it says that the entry is used. So frontends do not get into each other's way. */
static void a_hit_writes_nothing_that_is_shared_but_the_use_mark(void **state) {
  enum { BATCH = 200 };
  struct fixture *fixture = *state;
  struct memory_mapping mappings[4];
  uint8_t bytes[BATCH * 48];
  struct callers callers = {
      .fixture = fixture, .peers = {fixture->peer}, .count = 1, .bytes = bytes, .batch = BATCH};
  callers.length = build_questions(bytes, BATCH);
  if (!malloc_is_watched()) /* sanitizers and valgrind place and catch what they like */
    skip();
  find_shared(fixture, mappings);
  int status = memory_run_guarded(mappings, 4, ask_and_wake, &callers);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV); /* the mark */
  assert_int_equal(cache_hits(peek(fixture, "d.test")), 0);
  unix_peer_write_all(&fixture->peer, bytes, callers.length);
  ev_run(fixture->loop, EVRUN_NOWAIT);
  unix_peer_read(&fixture->peer);
  assert_int_equal(cache_hits(peek(fixture, "d.test")), CACHE_HITS_MAX);
  assert_int_equal(cache_hits(peek(fixture, "gone.test")), CACHE_HITS_MAX);
  status = memory_run_guarded(mappings, 4, ask_and_wake, &callers);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* What is asked about is the same for all: only the answers differ. */
static void each_request_of_a_batch_has_its_own_wishes(void **state) {
  enum { COUNT = 64 };
  struct fixture *fixture = *state;
  uint8_t bytes[COUNT * 64], *at = bytes;
  ProtobufCBinaryData names[2] = {{.len = 8, .data = (uint8_t *)(uintptr_t) "mx1.test"},
                                  {.len = 8, .data = (uint8_t *)(uintptr_t) "mx2.test"}};
  put(fixture, "d.test", DOMAIN_MX);
  for (unsigned i = 0; i < COUNT; i++) {
    Request request = request_for(i, "d.test");
    request.n_self_names = i % 4 == 1; /* the second exchange is the caller */
    request.self_names = &names[1];
    request.n_exclude = i % 4 == 2; /* the first is excluded */
    request.exclude = &names[0];
    request.max_exchanges = i % 4 == 3 ? 1 : 0;
    at += frame_build_header(at, mxway__v1__lookup_request__get_packed_size(&request));
    at += mxway__v1__lookup_request__pack(&request, at);
  }
  unix_peer_write_all(&fixture->peer, bytes, (size_t)(at - bytes));
  for (unsigned i = 0; i < COUNT; i++) {
    Reply *reply = receive(fixture);
    unsigned kind = reply->id % 4;
    assert_int_equal(reply->verdict, VERDICT_ROUTE);
    assert_int_equal(reply->n_exchanges, kind == 0 ? 2 : 1);
    assert_string_equal(reply->exchanges[0]->host, kind == 2 ? "mx2.test" : "mx1.test");
    forget(reply);
  }
  assert_int_equal(counter(fixture, STATS_HITS), COUNT);
}

/* ---- misses ---- */

static void a_miss_takes_its_wishes_along(void **state) {
  struct fixture *fixture = *state;
  int64_t now_ms = clock_now_ms();
  ProtobufCBinaryData self = {.len = 8, .data = (uint8_t *)(uintptr_t) "MX2.test"};
  for (uint64_t id = 0; id < 3; id++) {
    Request request = request_for(id, "d.test");
    request.n_self_names = id == 1;
    request.self_names = &self;
    request.primary_only = id == 2;
    send_request(fixture, &request);
    LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == id + 1);
  }
  struct answer answer = {.facts = put_domain(fixture->cache, "d.test", DOMAIN_MX, now_ms + LIFE_MS),
                          .since_ms = now_ms};
  for (uint64_t id = 0; id < 3; id++) {
    miss_on_answer(NULL, fixture->resolver.asked[id], &answer, now_ms);
    fixture->resolver.asked[id] = NULL;
    Reply *reply = receive(fixture);
    assert_int_equal(reply->id, id);
    assert_int_equal(reply->n_exchanges, id == 0 ? 2 : 1);
    forget(reply);
  }
  cache_release(fixture->cache, answer.facts);
}

static void a_miss_is_asked_and_its_answer_comes_back(void **state) {
  struct fixture *fixture = *state;
  Request request = request_for(77, "D.Test.");
  request.depth = MXWAY__V1__DEPTH__DEPTH_ADDRESSES;
  request.timeout_ms = 1234;
  send_request(fixture, &request);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 1);
  const struct question *question = fixture->resolver.asked[0];
  assert_string_equal(question->name.text, "d.test");
  assert_int_equal(question->hash, name_hash("d.test", 6));
  assert_int_equal(question->depth, DEPTH_ADDRESSES);
  assert_int_equal(question->timeout_ms, 1234);
  assert_false(question->refresh);
  assert_false(question->cache_only);
  assert_silent(fixture);

  int64_t now_ms = clock_now_ms();
  struct answer answer = {.facts = put_domain(fixture->cache, "d.test", DOMAIN_MX, now_ms + LIFE_MS),
                          .since_ms = now_ms};
  put_addresses(fixture, "d.test");
  miss_on_answer(NULL, fixture->resolver.asked[0], &answer, now_ms);
  fixture->resolver.asked[0] = NULL;
  cache_release(fixture->cache, answer.facts);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->id, 77);
  assert_int_equal(reply->verdict, VERDICT_ROUTE);
  assert_int_equal(reply->source, MXWAY__V1__SOURCE__SOURCE_DNS);
  assert_int_equal(reply->n_exchanges, 2);
  assert_int_equal(reply->exchanges[0]->n_addresses, 1);
  forget(reply);
  assert_int_equal(counter(fixture, STATS_MISSES), 1);
  assert_int_equal(counter(fixture, STATS_HITS), 0);
  assert_int_equal(counter(fixture, STATS_ANSWERS_LATE), 0);
}

static void what_the_resolver_answers_at_once_comes_back_too(void **state) {
  struct fixture *fixture = *state;
  fixture->resolver.answers = true;
  fixture->resolver.answer = (struct answer){.verdict = VERDICT_DNS_TIMEOUT};
  Request request = request_for(5, "d.test");
  send_request(fixture, &request);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->id, 5);
  assert_int_equal(reply->verdict, VERDICT_DNS_TIMEOUT);
  assert_string_equal(reply->canonical, "d.test");
  assert_int_equal(reply->smtp_code, 451);
  forget(reply);
}

static void facts_that_came_meanwhile_are_from_memory(void **state) {
  struct fixture *fixture = *state;
  int64_t now_ms = clock_now_ms();
  const struct domain_facts *facts = put_domain(fixture->cache, "d.test", DOMAIN_MX, now_ms + LIFE_MS);
  fixture->resolver.answers = true;
  fixture->resolver.answer = (struct answer){.facts = facts, .from_memory = true, .since_ms = now_ms};
  Request request = request_for(6, "d.test");
  request.refresh = 1;
  send_request(fixture, &request);
  expect_route(fixture, 6, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  cache_release(fixture->cache, facts);
}

/* Sends a request that must be passed on although the cache knows the domain. */
static void assert_is_miss(struct fixture *fixture, const Request *request) {
  size_t before = fixture->resolver.asked_count;
  send_request(fixture, request);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == before + 1);
  assert_silent(fixture);
}

static void what_memory_cannot_answer_is_a_miss(void **state) {
  struct fixture *fixture = *state;
  put(fixture, "d.test", DOMAIN_MX); /* without addresses */
  cache_release(fixture->cache, put_domain(fixture->cache, "old.test", DOMAIN_MX, clock_now_ms()));
  Request expired = request_for(1, "old.test");
  assert_is_miss(fixture, &expired);
  Request deeper = request_for(2, "d.test");
  deeper.depth = MXWAY__V1__DEPTH__DEPTH_ADDRESSES;
  assert_is_miss(fixture, &deeper);
  Request refresh = request_for(3, "d.test");
  refresh.refresh = 1;
  assert_is_miss(fixture, &refresh);
  assert_true(fixture->resolver.asked[2]->refresh);
  assert_int_equal(counter(fixture, STATS_MISSES), 3);
  assert_int_equal(counter(fixture, STATS_HITS), 0);
}

static void cache_only_is_a_hit_or_goes_with_the_question(void **state) {
  struct fixture *fixture = *state;
  put(fixture, "d.test", DOMAIN_MX);
  Request request = request_for(1, "d.test");
  request.cache_only = 1;
  send_request(fixture, &request);
  expect_route(fixture, 1, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  request = request_for(2, "other.test");
  request.cache_only = 1;
  assert_is_miss(fixture, &request);
  assert_true(fixture->resolver.asked[0]->cache_only);
  struct answer answer = {.verdict = VERDICT_NOT_CACHED};
  miss_on_answer(NULL, fixture->resolver.asked[0], &answer, clock_now_ms());
  fixture->resolver.asked[0] = NULL;
  expect_verdict(fixture, 2, VERDICT_NOT_CACHED, NULL);
}

static void a_hit_overtakes_a_miss_and_answers_match_by_id(void **state) {
  struct fixture *fixture = *state;
  struct answer answers[3] = {
      {.verdict = VERDICT_DNS_SERVFAIL}, {.verdict = VERDICT_DNS_REFUSED}, {.verdict = VERDICT_DEADLINE}};
  put(fixture, "hit.test", DOMAIN_MX);
  for (uint64_t id = 0; id < 3; id++) {
    Request request = request_for(id, "miss.test");
    send_request(fixture, &request);
  }
  Request hit = request_for(3, "hit.test");
  send_request(fixture, &hit);
  expect_route(fixture, 3, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 3);
  static const unsigned order[] = {1, 2, 0};
  for (size_t i = 0; i < 3; i++) {
    miss_on_answer(NULL, fixture->resolver.asked[order[i]], &answers[order[i]], clock_now_ms());
    fixture->resolver.asked[order[i]] = NULL;
    expect_verdict(fixture, order[i], answers[order[i]].verdict, NULL);
  }
}

static void the_questions_of_a_client_that_has_gone_are_taken_back(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer other;
  unix_peer_connect(&other, &fixture->place);
  LOOP_UNTIL(fixture->loop, fixture->shared.connection_count == 2);
  Request request = request_for(1, "d.test");
  send_request(fixture, &request);
  send_request(fixture, &request);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 2);
  uint8_t bytes[64];
  size_t length = frame_build_header(bytes, mxway__v1__lookup_request__get_packed_size(&request));
  length += mxway__v1__lookup_request__pack(&request, bytes + length);
  unix_peer_write_all(&other, bytes, length);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 3);
  unix_peer_close(&fixture->peer);
  LOOP_UNTIL(fixture->loop, counter(fixture, STATS_ANSWERS_LATE) == 2);
  assert_int_equal(fixture->resolver.left_count, 2);
  assert_non_null(fixture->resolver.asked[2]); /* of somebody else */
  assert_int_equal(fixture->shared.connection_count, 1);
  answer_all(fixture);
  LOOP_UNTIL(fixture->loop, unix_peer_read(&other) > 0);
  unix_peer_close(&other);
  LOOP_UNTIL(fixture->loop, fixture->shared.connection_count == 0);
}

/* The answer is on its way home already, or the question still on its way out, when the client goes. */
static void a_recall_that_meets_its_answer_frees_both_once(void **state) {
  struct fixture *fixture = *state;
  Request request = request_for(1, "d.test");
  send_request(fixture, &request);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 1);
  answer_all(fixture);
  unix_peer_close(&fixture->peer);
  LOOP_UNTIL(fixture->loop, fixture->shared.connection_count == 0);
  loop_settle(fixture->loop);
  assert_int_equal(fixture->resolver.left_count, 0);
  assert_true(counter(fixture, STATS_ANSWERS_LATE) <= 1);
}

static void an_explained_request_goes_to_the_resolver_and_brings_its_story(void **state) {
  struct fixture *fixture = *state;
  put(fixture, "d.test", DOMAIN_MX);
  Request request = request_for(1, "d.test");
  request.explain = 1;
  send_request(fixture, &request);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 1);
  assert_non_null(fixture->resolver.asked[0]->story);
  story_add(fixture->resolver.asked[0]->story, "V10", "it failed");
  story_add(fixture->resolver.asked[0]->story, "", "so it is");
  struct answer answer = {.verdict = VERDICT_DNS_SERVFAIL};
  miss_on_answer(NULL, fixture->resolver.asked[0], &answer, clock_now_ms());
  fixture->resolver.asked[0] = NULL;
  Reply *reply = receive(fixture);
  assert_int_equal(reply->verdict, VERDICT_DNS_SERVFAIL);
  assert_int_equal(reply->n_story, 2);
  assert_string_equal(reply->story[0]->rule, "V10");
  assert_string_equal(reply->story[0]->text, "it failed");
  assert_string_equal(reply->story[1]->text, "so it is");
  mxway__v1__lookup_reply__free_unpacked(reply, NULL);
}

static void answers_on_their_way_at_the_end_are_dropped(void **state) {
  struct fixture *fixture = *state;
  for (uint64_t id = 0; id < 4; id++) {
    Request request = request_for(id, "d.test");
    send_request(fixture, &request);
  }
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 4);
  Request request = request_for(9, "d.test");
  send_request(fixture, &request); /* may stay in the server, or in the mailbox */
  ev_run(fixture->loop, EVRUN_NOWAIT);
  answer_all(fixture);
}

static void without_memory_a_miss_is_an_overload(void **state) {
  struct fixture *fixture = *state;
  struct frame frame;
  if (!malloc_is_watched())
    skip();
  Request request = request_for(1, "d.test");
  send_request(fixture, &request);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 1);
  request = request_for(2, "d.test");
  uint8_t bytes[64];
  size_t length = frame_build_header(bytes, mxway__v1__lookup_request__get_packed_size(&request));
  length += mxway__v1__lookup_request__pack(&request, bytes + length);
  unix_peer_write_all(&fixture->peer, bytes, length);
  malloc_allow(0);
  for (int i = 0; i < 5; i++)
    ev_run(fixture->loop, EVRUN_NOWAIT);
  struct answer answer = {.verdict = VERDICT_DEADLINE};
  miss_on_answer(NULL, fixture->resolver.asked[0], &answer, clock_now_ms());
  fixture->resolver.asked[0] = NULL;
  for (int i = 0; i < 5; i++)
    ev_run(fixture->loop, EVRUN_NOWAIT);
  malloc_allow(LONG_MAX);
  expect_verdict(fixture, 2, VERDICT_OVERLOAD, NULL);
  assert_false(has_reply(fixture, &frame)); /* the first one's promise was kept with nothing */
  assert_false(fixture->peer.at_end);
  assert_int_equal(counter(fixture, STATS_ANSWERS_LATE), 0);
  api_stop(fixture->api);
  assert_true(api_is_drained(fixture->api));
}

/* Here the writer works inside the frontend's own wake-up, which might hold what it replaces. */
static void what_a_wake_up_may_look_at_is_kept_until_it_ends(void **state) {
  struct fixture *fixture = *state;
  put(fixture, "d.test", DOMAIN_MX);
  fixture->resolver.replaces = true;
  Request request = request_for(1, "d.test");
  request.refresh = 1;
  send_request(fixture, &request);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 1);
  assert_true(fixture->resolver.kept_count > 0);
  loop_settle(fixture->loop);
  assert_int_equal(qsbr_collect(cache_qsbr(fixture->cache)), 0);
}

/* As the writer in its own thread, while the frontend sleeps. */
static void replace_in_sleep(struct ev_loop *loop) {
  struct fixture *fixture = ev_userdata(loop);
  put(fixture, "d.test", DOMAIN_MX);
  put(fixture, "d.test", DOMAIN_NXDOMAIN);
  fixture->resolver.kept_count += qsbr_collect(cache_qsbr(fixture->cache));
  fixture->resolver.put_count++;
}

static void wake_up(struct ev_loop *loop) { (void)loop; }

static void a_sleeping_frontend_keeps_nothing_from_being_freed(void **state) {
  struct fixture *fixture = *state;
  ev_set_userdata(fixture->loop, fixture);
  ev_set_loop_release_cb(fixture->loop, replace_in_sleep, wake_up);
  loop_settle(fixture->loop);
  ev_set_loop_release_cb(fixture->loop, NULL, NULL);
  assert_true(fixture->resolver.put_count >= LOOP_SETTLE_TURNS);
  assert_int_equal(fixture->resolver.kept_count, 0);
}

static void a_stopped_api_drains(void **state) {
  struct fixture *fixture = *state;
  Request request = request_for(1, "d.test");
  send_request(fixture, &request);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 1);
  api_stop(fixture->api);
  assert_false(api_is_drained(fixture->api));
  answer_all(fixture);
  expect_verdict(fixture, 1, VERDICT_SHUTDOWN, NULL);
  assert_true(api_is_drained(fixture->api));
}

/* ---- answered without facts ---- */

static void what_is_no_domain_is_an_invalid_name(void **state) {
  static const struct {
    const char *text;
    size_t length;
    const char *detail;
  } cases[] = {
      {"", 0, "empty"},
      {".", 1, "empty"},
      {"a..test", 7, "label is empty"},
      {"a b.test", 8, "space"},
      {"a\0b.test", 8, "control"},
      {"user@d.test", 11, "'@'"},
      {"\xff\xfe.test", 7, "UTF-8"},
      {"localhost", 9, "single label"},
      {"192.0.2.1", 9, "brackets"},
      {"[192.0.2.1", 10, NULL},
      {"[300.0.2.1]", 11, "literal"},
  };
  struct fixture *fixture = *state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    Request request = request_for(i, "");
    request.domain.data = (uint8_t *)(uintptr_t)cases[i].text;
    request.domain.len = cases[i].length;
    send_request(fixture, &request);
    Reply *reply = receive(fixture);
    assert_int_equal(reply->id, i);
    assert_int_equal(reply->verdict, VERDICT_INVALID_NAME);
    assert_int_equal(reply->smtp_code, 501);
    assert_string_equal(reply->enhanced_status, "5.1.2");
    assert_string_equal(reply->canonical, "");
    assert_string_not_equal(reply->detail, "");
    if (cases[i].detail && !strstr(reply->detail, cases[i].detail))
      fail_msg("%s: %s", cases[i].text, reply->detail);
    forget(reply);
    assert_int_equal(counter(fixture, STATS_REQUESTS_INVALID_NAME), i + 1);
  }
  assert_int_equal(counter(fixture, STATS_REQUESTS_BAD), 0);
  assert_int_equal(fixture->resolver.asked_count, 0);
}

static void a_request_of_nothing_is_an_invalid_name_with_id_zero(void **state) {
  struct fixture *fixture = *state;
  send_body(fixture, NULL, 0);
  expect_verdict(fixture, 0, VERDICT_INVALID_NAME, "empty");
  assert_serves(fixture);
}

static void a_name_too_long_for_anything_is_an_invalid_name(void **state) {
  struct fixture *fixture = *state;
  uint8_t *body = malloc(FRAME_REQUEST_MAX), *at = body;
  assert_non_null(body);
  at = wire_put_uint(at, 1, 12);
  *at++ = WIRE_TAG(2, WIRE_TYPE_BYTES);
  at = wire_put_varint(at, 65000);
  memset(at, 'a', 65000);
  send_body(fixture, body, (size_t)(at - body) + 65000);
  expect_verdict(fixture, 12, VERDICT_INVALID_NAME, NULL);
  free(body);
  assert_serves(fixture);
}

static void an_address_literal_is_its_own_route(void **state) {
  static const uint8_t v4[] = {192, 0, 2, 1};
  static const uint8_t v6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  struct fixture *fixture = *state;
  for (int is_v6 = 0; is_v6 < 2; is_v6++) {
    Request request = request_for(8, is_v6 ? "[IPv6:2001:db8::1]" : "[192.0.2.1]");
    send_request(fixture, &request);
    Reply *reply = receive(fixture);
    assert_int_equal(reply->id, 8);
    assert_int_equal(reply->verdict, VERDICT_ROUTE);
    assert_int_equal(reply->source, MXWAY__V1__SOURCE__SOURCE_LITERAL);
    assert_int_equal(reply->ttl, 0);
    assert_int_equal(reply->n_exchanges, 1);
    assert_int_equal(reply->exchanges[0]->preference, 0);
    assert_int_equal(reply->exchanges[0]->n_addresses, 1);
    assert_int_equal(reply->exchanges[0]->addresses[0].len, is_v6 ? 16 : 4);
    assert_memory_equal(reply->exchanges[0]->addresses[0].data, is_v6 ? v6 : v4, is_v6 ? 16 : 4);
    forget(reply);
  }
  assert_int_equal(counter(fixture, STATS_MISSES), 0);
}

static void the_policy_on_names_is_the_operators(void **state) {
  struct fixture *fixture = *state;
  fixture->shared.name_policy = (struct name_policy){.accept_bare_ip = true, .allow_single_label = true};
  Request request = request_for(1, "192.0.2.1");
  send_request(fixture, &request);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->source, MXWAY__V1__SOURCE__SOURCE_LITERAL);
  forget(reply);
  put(fixture, "ai", DOMAIN_MX);
  request = request_for(2, "ai");
  send_request(fixture, &request);
  expect_route(fixture, 2, MXWAY__V1__SOURCE__SOURCE_MEMORY);
}

/* ---- configured routes ---- */

static void add_route(struct fixture *fixture, const char *pattern, const char *value) {
  struct override *override;
  char reason[OVERRIDE_REASON_SIZE];
  assert_int_equal(override_parse(pattern, value, &override, reason), 0);
  assert_int_equal(override_list_put(&fixture->routes, override), 0);
}

static void configure(struct fixture *fixture) {
  assert_int_equal(
      pinned_create(&fixture->routes, fixture->cache, clock_now_ms(), clock_wall_ms(), &fixture->pinned), 0);
  fixture->shared.pinned = fixture->pinned;
}

/* Gives both exchanges of the route for "d.test" one address. */
static void put_pinned_addresses(struct fixture *fixture) {
  put(fixture, "other.test", DOMAIN_MX); /* by the same exchanges */
  put_addresses(fixture, "other.test");
}

static void expect_pinned(struct fixture *fixture, uint64_t id, const char *canonical, int with_addresses) {
  Reply *reply = receive(fixture);
  assert_int_equal(reply->id, id);
  assert_int_equal(reply->verdict, VERDICT_ROUTE);
  assert_int_equal(reply->source, MXWAY__V1__SOURCE__SOURCE_OVERRIDE);
  assert_string_equal(reply->canonical, canonical);
  assert_int_equal(reply->ttl, 60);
  assert_int_equal(reply->mx_ttl, 60);
  assert_int_equal(reply->age, 0);
  assert_int_equal(reply->n_exchanges, 2);
  for (size_t i = 0; i < 2; i++) {
    assert_string_equal(reply->exchanges[i]->host, i ? "mx2.test" : "mx1.test");
    assert_int_equal(reply->exchanges[i]->port, i ? 0 : 2525);
    assert_int_equal(reply->exchanges[i]->n_addresses, with_addresses);
  }
  forget(reply);
}

static void a_configured_route_comes_before_the_cache(void **state) {
  struct fixture *fixture = *state;
  add_route(fixture, "d.test", "mx1.test:2525 10, mx2.test 20");
  configure(fixture);
  put(fixture, "d.test", DOMAIN_NXDOMAIN);
  put(fixture, "e.test", DOMAIN_MX);
  Request request = request_for(1, "D.test.");
  send_request(fixture, &request);
  expect_pinned(fixture, 1, "d.test", 0);
  request.refresh = 1; /* there is nothing to ask for */
  send_request(fixture, &request);
  expect_pinned(fixture, 1, "d.test", 0);
  request = request_for(2, "e.test");
  send_request(fixture, &request);
  expect_route(fixture, 2, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  assert_int_equal(fixture->resolver.asked_count, 0);
  assert_int_equal(counter(fixture, STATS_REQUESTS_OVERRIDE), 2);
  assert_int_equal(counter(fixture, STATS_HITS), 3);
}

static void the_answer_of_a_suffix_names_who_was_asked_for(void **state) {
  struct fixture *fixture = *state;
  add_route(fixture, "*.test", "mx1.test:2525 10, mx2.test 20");
  configure(fixture);
  put_pinned_addresses(fixture);
  Request request = request_for(1, "A.b.Test");
  request.depth = MXWAY__V1__DEPTH__DEPTH_ADDRESSES;
  send_request(fixture, &request);
  expect_pinned(fixture, 1, "a.b.test", 1);
}

static void addresses_that_a_route_lacks_are_asked_for_with_it(void **state) {
  struct fixture *fixture = *state;
  add_route(fixture, "d.test", "mx1.test:2525 10, mx2.test 20");
  configure(fixture);
  Request request = request_for(7, "d.test");
  request.depth = MXWAY__V1__DEPTH__DEPTH_ADDRESSES;
  assert_is_miss(fixture, &request);
  const struct question *question = fixture->resolver.asked[0];
  assert_non_null(question->pinned);
  assert_int_equal(question->pinned->set->count, 2);
  put_pinned_addresses(fixture);
  /* The addresses took three seconds: the route's minute begins with the answer. */
  int64_t now_ms = clock_now_ms() + 3000;
  struct answer answer = {.facts = question->pinned, .since_ms = now_ms - 3000};
  miss_on_answer(NULL, fixture->resolver.asked[0], &answer, now_ms);
  fixture->resolver.asked[0] = NULL;
  expect_pinned(fixture, 7, "d.test", 1);
  send_request(fixture, &request);
  expect_pinned(fixture, 7, "d.test", 1);
  request.refresh = 1;
  assert_is_miss(fixture, &request);
  assert_true(fixture->resolver.asked[1]->refresh);
  assert_non_null(fixture->resolver.asked[1]->pinned);
}

static void an_answer_without_facts_to_a_route_is_a_verdict_of_ours(void **state) {
  struct fixture *fixture = *state;
  add_route(fixture, "d.test", "mx1.test:2525 10, mx2.test 20");
  configure(fixture);
  fixture->resolver.answers = true;
  fixture->resolver.answer = (struct answer){.verdict = VERDICT_NOT_CACHED};
  Request request = request_for(1, "d.test");
  request.depth = MXWAY__V1__DEPTH__DEPTH_ADDRESSES;
  request.cache_only = 1;
  send_request(fixture, &request);
  expect_verdict(fixture, 1, VERDICT_NOT_CACHED, NULL);
  assert_true(fixture->resolver.asked[0] != NULL);
}

static void a_route_to_addresses_is_never_asked_for(void **state) {
  struct fixture *fixture = *state;
  add_route(fixture, "d.test", "[192.0.2.1]:2525, [IPv6:2001:db8::1] 20");
  configure(fixture);
  Request request = request_for(1, "d.test");
  request.depth = MXWAY__V1__DEPTH__DEPTH_ADDRESSES;
  request.refresh = 1;
  send_request(fixture, &request);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->verdict, VERDICT_ROUTE);
  assert_int_equal(reply->n_warnings, 0);
  assert_int_equal(reply->ttl, 60);
  assert_int_equal(reply->n_exchanges, 2);
  assert_string_equal(reply->exchanges[0]->host, "192.0.2.1");
  assert_int_equal(reply->exchanges[0]->port, 2525);
  assert_int_equal(reply->exchanges[0]->n_addresses, 1);
  assert_int_equal(reply->exchanges[1]->addresses[0].len, 16);
  forget(reply);
  assert_int_equal(fixture->resolver.asked_count, 0);
}

static void a_route_that_rejects_says_why(void **state) {
  struct fixture *fixture = *state;
  add_route(fixture, "d.test", "reject we do not write there");
  configure(fixture);
  put(fixture, "d.test", DOMAIN_MX);
  Request request = request_for(1, "D.test");
  request.depth = MXWAY__V1__DEPTH__DEPTH_ADDRESSES;
  send_request(fixture, &request);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->verdict, VERDICT_REJECTED);
  assert_int_equal(reply->source, MXWAY__V1__SOURCE__SOURCE_OVERRIDE);
  assert_string_equal(reply->canonical, "d.test");
  assert_string_equal(reply->detail, "we do not write there");
  assert_int_equal(reply->smtp_code, 550);
  assert_string_equal(reply->enhanced_status, "5.7.1");
  assert_int_equal(reply->ttl, 60);
  forget(reply);
  assert_int_equal(fixture->resolver.asked_count, 0);
}

static void a_configured_route_comes_before_special_use(void **state) {
  struct fixture *fixture = *state;
  add_route(fixture, "*.local", "mx1.test:2525 10, mx2.test 20");
  configure(fixture);
  Request request = request_for(1, "office.local");
  send_request(fixture, &request);
  expect_pinned(fixture, 1, "office.local", 0);
  request = request_for(2, "office.invalid");
  send_request(fixture, &request);
  expect_verdict(fixture, 2, VERDICT_NO_SUCH_DOMAIN, "special use");
  assert_int_equal(counter(fixture, STATS_REQUESTS_OVERRIDE), 1);
  assert_int_equal(counter(fixture, STATS_REQUESTS_SPECIAL_USE), 1);
}

static void a_configured_route_allocates_nothing(void **state) {
  enum { ROUNDS = 50 };
  struct fixture *fixture = *state;
  uint8_t bytes[64];
  if (!malloc_is_watched())
    skip();
  add_route(fixture, "*.test", "mx1.test:2525 10, mx2.test 20");
  configure(fixture);
  put_pinned_addresses(fixture);
  Request request = request_for(1, "a.b.test");
  request.depth = MXWAY__V1__DEPTH__DEPTH_ADDRESSES;
  uint8_t *end = bytes + frame_build_header(bytes, mxway__v1__lookup_request__get_packed_size(&request));
  end += mxway__v1__lookup_request__pack(&request, end);
  for (int round = 0; round < ROUNDS; round++) {
    unix_peer_write_all(&fixture->peer, bytes, (size_t)(end - bytes));
    ev_run(fixture->loop, EVRUN_NOWAIT);
    if (round == 0) {
      unix_peer_read(&fixture->peer);
      malloc_calls = 0;
    }
    unix_peer_take(&fixture->peer, fixture->peer.length);
    unix_peer_read(&fixture->peer);
  }
  assert_int_equal(malloc_calls, 0);
  assert_int_equal(counter(fixture, STATS_HITS), ROUNDS);
}

/* ---- special use ---- */

static void a_special_use_name_is_no_domain_and_nobody_is_asked(void **state) {
  struct fixture *fixture = *state;
  fixture->shared.special_use_ttl_s = 3600;
  put(fixture, "x.local", DOMAIN_MX);
  Request request = request_for(1, "X.Local.");
  request.refresh = true;
  send_request(fixture, &request);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->verdict, VERDICT_NO_SUCH_DOMAIN);
  assert_int_equal(reply->source, MXWAY__V1__SOURCE__SOURCE_POLICY);
  assert_int_equal(reply->smtp_code, 550);
  assert_int_equal(reply->ttl, 3600);
  assert_int_equal(reply->mx_ttl, 3600);
  assert_int_equal(reply->age, 0);
  assert_string_equal(reply->canonical, "x.local");
  assert_true(strlen(reply->detail) > 0);
  forget(reply);
  assert_int_equal(fixture->resolver.asked_count, 0);
  assert_int_equal(counter(fixture, STATS_REQUESTS_SPECIAL_USE), 1);
  assert_int_equal(counter(fixture, STATS_HITS) + counter(fixture, STATS_MISSES), 0);
}

static void the_operator_may_have_special_use_names_resolved(void **state) {
  struct fixture *fixture = *state;
  fixture->shared.resolve_special_use = true;
  put(fixture, "x.local", DOMAIN_MX);
  Request request = request_for(1, "x.local");
  send_request(fixture, &request);
  expect_route(fixture, 1, MXWAY__V1__SOURCE__SOURCE_MEMORY);
}

/* ---- refused ---- */

static void expect_refusal(struct fixture *fixture, const Request *request, const char *field) {
  uint64_t before = counter(fixture, STATS_REQUESTS_BAD);
  send_request(fixture, request);
  expect_verdict(fixture, request->id, VERDICT_BAD_REQUEST, field);
  assert_int_equal(counter(fixture, STATS_REQUESTS_BAD), before + 1);
}

static void values_outside_of_their_enumeration_are_refused(void **state) {
  struct fixture *fixture = *state;
  const Request plain = request_for(31, "d.test");
  Request request;
  put(fixture, "d.test", DOMAIN_MX);
  for (int depth = 2; depth < 5; depth++) {
    request = plain;
    request.depth = (Mxway__V1__Depth)depth;
    expect_refusal(fixture, &request, "depth");
  }
  request = plain;
  request.order = (Mxway__V1__Order)3;
  expect_refusal(fixture, &request, "order");
  request = plain;
  request.family = (Mxway__V1__Family)5;
  expect_refusal(fixture, &request, "family");
  assert_int_equal(counter(fixture, STATS_HITS), 0);
  assert_serves(fixture);
}

static void a_key_and_its_order_come_together_or_not_at_all(void **state) {
  struct fixture *fixture = *state;
  ProtobufCBinaryData key = {.len = 4, .data = (uint8_t *)(uintptr_t) "abcd"};
  Request request = request_for(31, "d.test");
  put(fixture, "d.test", DOMAIN_MX);
  request.order = MXWAY__V1__ORDER__ORDER_KEYED;
  expect_refusal(fixture, &request, "order_key");
  request.order_key = key;
  send_request(fixture, &request);
  expect_route(fixture, 31, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  request.order = MXWAY__V1__ORDER__ORDER_STABLE;
  expect_refusal(fixture, &request, "order_key");
}

/* One list of a request, by its name. */
struct list {
  const char *field;
  size_t count_offset, values_offset;
};

static const struct list lists[] = {
    {"self_names", offsetof(Request, n_self_names), offsetof(Request, self_names)},
    {"self_addresses", offsetof(Request, n_self_addresses), offsetof(Request, self_addresses)},
    {"exclude", offsetof(Request, n_exclude), offsetof(Request, exclude)},
};

static Request request_with(const struct list *list, ProtobufCBinaryData *values, size_t count) {
  Request request = request_for(31, "d.test");
  *(size_t *)((char *)&request + list->count_offset) = count;
  *(ProtobufCBinaryData **)((char *)&request + list->values_offset) = values;
  return request;
}

static void a_bad_item_of_a_list_is_refused_by_the_name_of_the_list(void **state) {
  struct fixture *fixture = *state;
  static uint8_t bad[] = "a b.tes", good_name[] = "e.test", good_address[] = {192, 0, 2, 1};
  put(fixture, "d.test", DOMAIN_MX);
  for (size_t i = 0; i < 3; i++) {
    ProtobufCBinaryData good = {.len = i == 1 ? 4 : 6, .data = i == 1 ? good_address : good_name};
    ProtobufCBinaryData values[2] = {good, {.len = sizeof(bad) - 1, .data = bad}};
    Request request = request_with(&lists[i], values, 2);
    expect_refusal(fixture, &request, lists[i].field);
    values[1] = (ProtobufCBinaryData){0};
    expect_refusal(fixture, &request, lists[i].field);
    request = request_with(&lists[i], values, 1);
    send_request(fixture, &request);
    expect_route(fixture, 31, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  }
}

static void too_many_items_are_refused(void **state) {
  struct fixture *fixture = *state;
  static uint8_t octets[] = {192, 0, 2, 1};
  ProtobufCBinaryData values[65];
  for (size_t i = 0; i < 65; i++)
    values[i] = (ProtobufCBinaryData){.len = 4, .data = octets};
  put(fixture, "d.test", DOMAIN_MX);
  Request request = request_with(&lists[1], values, 64);
  send_request(fixture, &request);
  expect_route(fixture, 31, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  request = request_with(&lists[1], values, 65);
  expect_refusal(fixture, &request, "self_addresses");
}

/* ---- what ends soon, or has ended ---- */

/* "d.test" lives LIFE_MS more. */
static void put_ending(struct fixture *fixture, uint32_t lead_ms) {
  cache_release(fixture->cache,
                put_with_lead(fixture->cache, "d.test", DOMAIN_MX, clock_now_ms() + LIFE_MS, lead_ms));
}

/* "d.test" has ended, and its refresh has failed: answered for a while, asked for anew at once or then. */
static void put_stale(struct fixture *fixture, bool wants_refresh) {
  int64_t now_ms = clock_now_ms();
  const struct domain_facts *facts = put_domain(fixture->cache, "d.test", DOMAIN_MX, now_ms - 1000);
  cache_release(fixture->cache, facts);
  cache_release(fixture->cache,
                cache_put_stale(fixture->cache, facts, now_ms + LIFE_MS,
                                wants_refresh ? now_ms : now_ms + LIFE_MS, VERDICT_DNS_TIMEOUT));
}

static void ask_in_a_row(struct fixture *fixture, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    Request request = request_for(i + 1, "d.test");
    send_request(fixture, &request);
    expect_route(fixture, i + 1, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  }
}

static void hits_on_what_ends_soon_ask_for_it_anew_once(void **state) {
  struct fixture *fixture = *state;
  put_ending(fixture, LIFE_MS + 1000);
  ask_in_a_row(fixture, 1);
  assert_int_equal(fixture->resolver.refreshed_count, 0); /* asked for once in its life */
  ask_in_a_row(fixture, 20);
  LOOP_UNTIL(fixture->loop, fixture->resolver.refreshed_count == 1);
  assert_silent(fixture);
  assert_int_equal(fixture->resolver.refreshed_count, 1);
  assert_int_equal(fixture->resolver.asked_count, 0);
  assert_int_equal(counter(fixture, STATS_HITS), 21);
}

static void hits_before_that_ask_for_nothing(void **state) {
  struct fixture *fixture = *state;
  put_ending(fixture, LIFE_MS / 2);
  ask_in_a_row(fixture, 20);
  assert_silent(fixture);
  assert_int_equal(fixture->resolver.refreshed_count, 0);
}

static void a_hit_on_what_is_stale_says_so_and_asks_for_it_anew(void **state) {
  struct fixture *fixture = *state;
  put_stale(fixture, true);
  Request request = request_for(7, "d.test");
  send_request(fixture, &request);
  Reply *reply = receive(fixture);
  assert_int_equal(reply->verdict, VERDICT_ROUTE);
  assert_int_equal(reply->source, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  assert_true(reply->stale);
  assert_int_equal(reply->ttl, ROUTE_STALE_TTL_S);
  forget(reply);
  LOOP_UNTIL(fixture->loop, fixture->resolver.refreshed_count == 1);
}

static void who_wants_the_cache_alone_asks_for_nothing(void **state) {
  struct fixture *fixture = *state;
  put_stale(fixture, true);
  Request request = request_for(8, "d.test");
  request.cache_only = 1;
  send_request(fixture, &request);
  expect_route(fixture, 8, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  assert_silent(fixture);
  assert_int_equal(fixture->resolver.refreshed_count, 0);
}

static void what_is_stale_is_left_alone_until_it_may_be_asked_for_again(void **state) {
  struct fixture *fixture = *state;
  put_stale(fixture, false);
  ask_in_a_row(fixture, 20);
  assert_silent(fixture);
  assert_int_equal(fixture->resolver.refreshed_count, 0);
}

static void who_wants_nothing_stale_is_asked_for(void **state) {
  struct fixture *fixture = *state;
  put_stale(fixture, false);
  Request request = request_for(9, "d.test");
  request.no_stale = 1;
  assert_is_miss(fixture, &request);
  assert_true(fixture->resolver.asked[0]->no_stale);
  put(fixture, "d.test", DOMAIN_MX);
  request.id = 10;
  send_request(fixture, &request);
  expect_route(fixture, 10, MXWAY__V1__SOURCE__SOURCE_MEMORY);
}

static void a_negative_or_huge_enum_value_is_refused(void **state) {
  struct fixture *fixture = *state;
  static const uint8_t field_numbers[] = {3, 5, 7};
  for (size_t i = 0; i < sizeof(field_numbers); i++) {
    uint8_t body[64], *at = wire_put_uint(body, 1, 9);
    at = wire_put_string(at, 2, "d.test", 6);
    at = wire_put_uint(at, field_numbers[i], (uint64_t)-1);
    send_body(fixture, body, (size_t)(at - body));
    expect_verdict(fixture, 9, VERDICT_BAD_REQUEST, NULL);
  }
}

static void unknown_fields_are_ignored(void **state) {
  struct fixture *fixture = *state;
  uint8_t *body = calloc(1, FRAME_REQUEST_MAX), *at = body;
  assert_non_null(body);
  put(fixture, "d.test", DOMAIN_MX);
  at = wire_put_uint(at, 100, 5);
  at = wire_put_uint(at, 1, 15);
  at = wire_put_varint(at, 200 << 3 | 5); /* fixed32 */
  at = wire_put_bytes(at, "abcd", 4);
  at = wire_put_string(at, 2, "d.test", 6);
  at = wire_put_varint(at, 201 << 3 | 1); /* fixed64 */
  at = wire_put_bytes(at, "abcdefgh", 8);
  at = wire_put_varint(at, 202 << 3 | WIRE_TYPE_BYTES);
  at = wire_put_varint(at, 60000);
  at += 60000;
  send_body(fixture, body, (size_t)(at - body));
  expect_route(fixture, 15, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  free(body);
}

static void the_last_of_repeated_plain_fields_counts(void **state) {
  struct fixture *fixture = *state;
  uint8_t body[128], *at = body;
  put(fixture, "d.test", DOMAIN_MX);
  for (uint64_t id = 1; id <= 3; id++) {
    at = wire_put_uint(at, 1, id);
    at = wire_put_string(at, 2, id < 3 ? "nothing.test" : "d.test", id < 3 ? 12 : 6);
  }
  send_body(fixture, body, (size_t)(at - body));
  expect_route(fixture, 3, MXWAY__V1__SOURCE__SOURCE_MEMORY);
}

static void what_is_not_a_request_is_refused_with_its_id(void **state) {
  static const struct {
    const char *bytes;
    size_t length;
    uint64_t id;
  } cases[] = {
      {"\x08\x07\x12\x7f", 4, 7},                                               /* a domain beyond the end */
      {"\x08\x07\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13, 7},          /* a length of 2^64-1 */
      {"\x08\xac\x02\x00", 4, 300},                                             /* field 0 */
      {"\x08\x07\x1b", 3, 7},                                                   /* a group */
      {"\x08\x07\x17", 3, 7},                                                   /* wire type 7 */
      {"\x08\x07\x10\xff", 4, 7},                                               /* a varint without an end */
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12", 12, UINT64_MAX},     /* a tag without a value */
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x12\x7f", 13, UINT64_MAX}, /* bits beyond the 64th */
      {"\x08\x80\x00\x12\x7f", 5, 0},                                           /* a zero in two octets */
  };
  struct fixture *fixture = *state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    send_body(fixture, cases[i].bytes, cases[i].length);
    expect_verdict(fixture, cases[i].id, VERDICT_BAD_REQUEST, NULL);
    assert_int_equal(counter(fixture, STATS_REQUESTS_BAD), i + 1);
  }
  assert_int_equal(counter(fixture, STATS_CONNECTIONS_BROKEN), 0);
  assert_serves(fixture);
}

static void what_is_not_a_request_and_has_no_id_ends_the_connection(void **state) {
  static const struct {
    const char *bytes;
    size_t length;
  } cases[] = {
      {"\x12\x7f", 2},                                                  /* the domain first */
      {"\x08", 1},                                                      /* an id without a value */
      {"\x08\xff", 2},                                                  /* an id without an end */
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x7f", 14}, /* one too long */
      {"\x0a\x01\x07\x12\x7f", 5},                                      /* an id of another type */
      {"\xff", 1},
  };
  struct fixture *fixture = *state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    assert_serves(fixture);
    send_body(fixture, cases[i].bytes, cases[i].length);
    LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&fixture->peer));
    assert_int_equal(fixture->peer.length, 0);
    assert_int_equal(counter(fixture, STATS_REQUESTS_BAD), i + 1);
    unix_peer_close(&fixture->peer);
    unix_peer_connect(&fixture->peer, &fixture->place);
  }
  assert_serves(fixture);
}

static void a_broken_request_does_not_take_back_the_answers_before_it(void **state) {
  struct fixture *fixture = *state;
  uint8_t bytes[128], *at = bytes;
  put(fixture, "d.test", DOMAIN_MX);
  for (uint64_t id = 1; id <= 2; id++) {
    Request request = request_for(id, id == 1 ? "d.test" : "miss.test");
    at += frame_build_header(at, mxway__v1__lookup_request__get_packed_size(&request));
    at += mxway__v1__lookup_request__pack(&request, at);
  }
  at = wire_put_bytes(at, "\x02\x12\x7f", 3);
  unix_peer_write_all(&fixture->peer, bytes, (size_t)(at - bytes));
  expect_route(fixture, 1, MXWAY__V1__SOURCE__SOURCE_MEMORY);
  LOOP_UNTIL(fixture->loop, fixture->resolver.asked_count == 1);
  answer_all(fixture);
  expect_verdict(fixture, 2, VERDICT_SHUTDOWN, NULL);
  LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&fixture->peer));
  assert_int_equal(fixture->shared.connection_count, 0);
}

/* ---- requests made to be dear ---- */

/* A request of 64 KiB: an id, then `piece` again and again. */
static void send_repeated(struct fixture *fixture, const char *piece, size_t piece_length) {
  uint8_t *body = malloc(FRAME_REQUEST_MAX), *at = body;
  assert_non_null(body);
  at = wire_put_uint(at, 1, 6);
  while ((size_t)(at - body) + piece_length <= FRAME_REQUEST_MAX)
    at = wire_put_bytes(at, piece, piece_length);
  send_body(fixture, body, (size_t)(at - body));
  free(body);
}

static void a_request_of_many_small_fields_is_answered_within_bounds(void **state) {
  static const struct {
    const char *bytes;
    size_t length;
    enum verdict verdict;
  } pieces[] = {
      {"\x42\x00", 2, VERDICT_BAD_REQUEST},             /* self_names */
      {"\x4a\x00", 2, VERDICT_BAD_REQUEST},             /* self_addresses */
      {"\x52\x00", 2, VERDICT_BAD_REQUEST},             /* exclude */
      {"\x52\x01x", 3, VERDICT_BAD_REQUEST},            /* with something in it */
      {"\x12\x00", 2, VERDICT_INVALID_NAME},            /* domain */
      {"\x08\x06", 2, VERDICT_INVALID_NAME},            /* id */
      {"\x70\x00", 2, VERDICT_INVALID_NAME},            /* refresh */
      {"\xa2\x06\x00", 3, VERDICT_INVALID_NAME},        /* field 100 */
      {"\xa0\x06\x00", 3, VERDICT_INVALID_NAME},        /* the same as a varint */
      {"\x42\x00\xa2\x06\x00", 5, VERDICT_BAD_REQUEST}, /* in turn */
  };
  struct fixture *fixture = *state;
  for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
    long before = malloc_calls;
    send_repeated(fixture, pieces[i].bytes, pieces[i].length);
    Reply *reply = receive(fixture);
    assert_int_equal(reply->id, 6);
    assert_int_equal(reply->verdict, pieces[i].verdict);
    forget(reply);
    /* The sender's, the peer's, the reply's and one buffer for a frame in two pieces. */
    assert_true(malloc_calls - before < 40);
  }
  assert_serves(fixture);
}

/* Whatever the octets: an answer or the end of the connection, and the daemon lives. */
static void octets_by_chance_are_answered_or_end_the_connection(void **state) {
  enum { ROUNDS = 20000 };
  struct fixture *fixture = *state;
  uint32_t seed = 7;
  fixture->resolver.answers = true;
  fixture->resolver.answer = (struct answer){.verdict = VERDICT_NOT_CACHED};
  put(fixture, "d.test", DOMAIN_MX);
  for (int round = 0; round < ROUNDS; round++) {
    uint8_t bytes[160];
    Request request = request_for((uint64_t)round, "d.test");
    request.timeout_ms = 500;
    size_t length = mxway__v1__lookup_request__pack(&request, bytes);
    for (int changes = 0; changes < 3; changes++) {
      seed = seed * 1664525u + 1013904223u;
      size_t at = (seed >> 8) % (length + 8);
      if (at < length)
        bytes[at] = (uint8_t)(seed >> 20);
      else if (length > 2 && seed & 1u << 30)
        length--;
      else
        bytes[length++] = (uint8_t)(seed >> 20);
    }
    send_body(fixture, bytes, length);
    struct frame frame;
    fixture->resolver.asked_count = 0;
    LOOP_UNTIL(fixture->loop, has_reply(fixture, &frame) || fixture->peer.at_end);
    if (fixture->peer.at_end) {
      unix_peer_close(&fixture->peer);
      unix_peer_connect(&fixture->peer, &fixture->place);
    } else {
      forget(receive(fixture));
      assert_int_equal(fixture->peer.length, 0);
    }
  }
  assert_serves(fixture);
}

static void requests_of_all_kinds_in_one_write_are_all_answered(void **state) {
  enum { COUNT = 300, KINDS = 5 };
  static const char *const domains[KINDS] = {"hit.test", "miss.test", "not a name", "[192.0.2.9]",
                                             "bad.test"};
  static const enum verdict verdicts[KINDS] = {VERDICT_ROUTE, VERDICT_NOT_CACHED, VERDICT_INVALID_NAME,
                                               VERDICT_ROUTE, VERDICT_BAD_REQUEST};
  struct fixture *fixture = *state;
  uint8_t bytes[COUNT * 32], *at = bytes;
  bool seen[COUNT] = {false};
  fixture->resolver.answers = true;
  fixture->resolver.answer = (struct answer){.verdict = VERDICT_NOT_CACHED};
  put(fixture, "hit.test", DOMAIN_MX);
  for (size_t i = 0; i < COUNT; i++) {
    Request request = request_for(i, domains[i % KINDS]);
    request.order = i % KINDS == 4 ? MXWAY__V1__ORDER__ORDER_KEYED : MXWAY__V1__ORDER__ORDER_RANDOM;
    at += frame_build_header(at, mxway__v1__lookup_request__get_packed_size(&request));
    at += mxway__v1__lookup_request__pack(&request, at);
  }
  unix_peer_write_all(&fixture->peer, bytes, (size_t)(at - bytes));
  for (size_t i = 0; i < COUNT; i++) {
    Reply *reply = receive(fixture);
    assert_true(reply->id < COUNT);
    assert_false(seen[reply->id]);
    seen[reply->id] = true;
    assert_int_equal(reply->verdict, verdicts[reply->id % KINDS]);
    forget(reply);
  }
  assert_int_equal(counter(fixture, STATS_REQUESTS), COUNT);
  assert_int_equal(counter(fixture, STATS_HITS), COUNT / KINDS);
  assert_int_equal(counter(fixture, STATS_MISSES), COUNT / KINDS);
}

/* ---- with threads, as in the daemon ---- */

enum { FRONTENDS = 2, CLIENTS = 3, ROUNDS = 60, PIPELINED = 40, DOMAINS = 25 };

struct worker {
  pthread_t thread;
  struct ev_loop *loop;
  ev_async end;
  struct stats stats;
  struct api *api;
};

static void on_end(struct ev_loop *loop, ev_async *end, int events) {
  (void)end, (void)events;
  ev_break(loop, EVBREAK_ALL);
}

static void *run_worker(void *context) {
  struct worker *worker = context;
  ev_run(worker->loop, 0);
  return NULL;
}

static void create_worker(struct worker *worker) {
  worker->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  assert_non_null(worker->loop);
  ev_async_init(&worker->end, on_end);
  ev_async_start(worker->loop, &worker->end);
}

static void end_worker(struct worker *worker) {
  ev_async_send(worker->loop, &worker->end);
  pthread_join(worker->thread, NULL);
  ev_async_stop(worker->loop, &worker->end);
}

/* Sends PIPELINED requests and waits for as many routes. */
static void talk(struct unix_peer *peer, unsigned round) {
  uint8_t bytes[PIPELINED * 32], *at = bytes;
  for (unsigned i = 0; i < PIPELINED; i++) {
    char domain[24];
    snprintf(domain, sizeof(domain), "d%u.test", (i * 7 + round) % DOMAINS);
    Request request = request_for(i, domain);
    at += frame_build_header(at, mxway__v1__lookup_request__get_packed_size(&request));
    at += mxway__v1__lookup_request__pack(&request, at);
  }
  unix_peer_write_all(peer, bytes, (size_t)(at - bytes));
  for (unsigned answered = 0; answered < PIPELINED;) {
    struct frame frame;
    while (peer->length == 0 || !unix_peer_has_frame(peer, &frame))
      assert_true(unix_peer_read_some(peer, 65536) > 0);
    Reply *reply = mxway__v1__lookup_reply__unpack(NULL, frame.body_length, frame.body);
    assert_non_null(reply);
    assert_true(reply->id < PIPELINED);
    assert_int_equal(reply->verdict, VERDICT_ROUTE);
    assert_int_equal(reply->n_exchanges, 2);
    assert_string_equal(reply->exchanges[1]->host, "mx2.test");
    forget(reply);
    unix_peer_take_frame(peer, &frame);
    answered++;
  }
}

static void frontends_and_resolver_in_threads_of_their_own_answer_everything(void **state) {
  (void)state;
  struct fixture *fixture = aligned_alloc(64, (sizeof(*fixture) + 63) / 64 * 64); /* in part */
  struct worker *workers = aligned_alloc(64, (FRONTENDS + 1) * sizeof(*workers));
  struct unix_place place;
  struct unix_peer peers[CLIENTS];
  struct mailbox mailbox;
  uint64_t hits = 0, misses = 0;
  assert_non_null(fixture);
  assert_non_null(workers);
  memset(fixture, 0, sizeof(*fixture));
  memset(workers, 0, (FRONTENDS + 1) * sizeof(*workers));
  struct worker *writer = &workers[FRONTENDS];
  unix_place_open(&place);
  fixture->cache = fixture->resolver.cache = make_cache();
  struct api_shared shared = {
      .cache = fixture->cache, .resolver = &mailbox, .listen_fd = place.listener, .max_connections = 100};
  for (int i = 0; i <= FRONTENDS; i++)
    create_worker(&workers[i]);
  mailbox_init(&mailbox, writer->loop, on_mail, fixture);
  fixture->resolver.fills = true;
  for (int i = 0; i < FRONTENDS; i++) {
    workers[i].api = api_create(&shared, workers[i].loop, &workers[i].stats);
    assert_non_null(workers[i].api);
  }
  for (int i = 0; i <= FRONTENDS; i++)
    assert_int_equal(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]), 0);
  for (int i = 0; i < CLIENTS; i++) {
    unix_peer_connect(&peers[i], &place);
    fcntl(peers[i].fd, F_SETFL, 0); /* may wait */
  }
  for (unsigned round = 0; round < ROUNDS; round++)
    for (int i = 0; i < CLIENTS; i++)
      talk(&peers[i], round);
  for (int i = 0; i < CLIENTS; i++)
    unix_peer_close(&peers[i]);
  for (int i = 0; i <= FRONTENDS; i++)
    end_worker(&workers[i]);
  for (int i = 0; i < FRONTENDS; i++) {
    hits += workers[i].stats.counters[STATS_HITS];
    misses += workers[i].stats.counters[STATS_MISSES];
    api_destroy(workers[i].api);
  }
  mailbox_fini(&mailbox, miss_drop, NULL);
  assert_int_equal(hits + misses, ROUNDS * CLIENTS * PIPELINED);
  assert_true(misses > 0);
  cache_release(fixture->cache, fixture->resolver.held);
  cache_destroy(fixture->cache);
  for (int i = 0; i <= FRONTENDS; i++)
    ev_loop_destroy(workers[i].loop);
  unix_place_close(&place);
  free(workers);
  free(fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_api, close_api)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_hit_is_answered_from_memory),
      TEST(a_hit_with_addresses_is_answered_from_memory),
      TEST(a_denial_in_memory_is_a_hit),
      TEST(every_spelling_of_a_name_is_one_entry),
      TEST(any_id_comes_back_unchanged),
      TEST(a_hit_allocates_nothing),
      TEST(a_hit_costs_no_system_call_but_those_of_its_socket),
      cmocka_unit_test_setup_teardown(a_hit_writes_nothing_that_is_shared_but_the_use_mark, open_apart,
                                      close_api),
      TEST(each_request_of_a_batch_has_its_own_wishes),
      TEST(a_miss_takes_its_wishes_along),
      TEST(a_miss_is_asked_and_its_answer_comes_back),
      TEST(what_the_resolver_answers_at_once_comes_back_too),
      TEST(facts_that_came_meanwhile_are_from_memory),
      TEST(what_memory_cannot_answer_is_a_miss),
      TEST(cache_only_is_a_hit_or_goes_with_the_question),
      TEST(a_hit_overtakes_a_miss_and_answers_match_by_id),
      TEST(the_questions_of_a_client_that_has_gone_are_taken_back),
      TEST(a_recall_that_meets_its_answer_frees_both_once),
      TEST(an_explained_request_goes_to_the_resolver_and_brings_its_story),
      TEST(answers_on_their_way_at_the_end_are_dropped),
      TEST(without_memory_a_miss_is_an_overload),
      TEST(what_a_wake_up_may_look_at_is_kept_until_it_ends),
      TEST(a_sleeping_frontend_keeps_nothing_from_being_freed),
      TEST(a_stopped_api_drains),
      TEST(what_is_no_domain_is_an_invalid_name),
      TEST(a_request_of_nothing_is_an_invalid_name_with_id_zero),
      TEST(a_name_too_long_for_anything_is_an_invalid_name),
      TEST(an_address_literal_is_its_own_route),
      TEST(the_policy_on_names_is_the_operators),
      TEST(values_outside_of_their_enumeration_are_refused),
      TEST(a_key_and_its_order_come_together_or_not_at_all),
      TEST(a_bad_item_of_a_list_is_refused_by_the_name_of_the_list),
      TEST(too_many_items_are_refused),
      TEST(a_configured_route_comes_before_the_cache),
      TEST(the_answer_of_a_suffix_names_who_was_asked_for),
      TEST(addresses_that_a_route_lacks_are_asked_for_with_it),
      TEST(an_answer_without_facts_to_a_route_is_a_verdict_of_ours),
      TEST(a_route_to_addresses_is_never_asked_for),
      TEST(a_route_that_rejects_says_why),
      TEST(a_configured_route_comes_before_special_use),
      TEST(a_configured_route_allocates_nothing),
      TEST(a_special_use_name_is_no_domain_and_nobody_is_asked),
      TEST(the_operator_may_have_special_use_names_resolved),
      TEST(hits_on_what_ends_soon_ask_for_it_anew_once),
      TEST(hits_before_that_ask_for_nothing),
      TEST(a_hit_on_what_is_stale_says_so_and_asks_for_it_anew),
      TEST(who_wants_the_cache_alone_asks_for_nothing),
      TEST(what_is_stale_is_left_alone_until_it_may_be_asked_for_again),
      TEST(who_wants_nothing_stale_is_asked_for),
      TEST(a_negative_or_huge_enum_value_is_refused),
      TEST(unknown_fields_are_ignored),
      TEST(the_last_of_repeated_plain_fields_counts),
      TEST(what_is_not_a_request_is_refused_with_its_id),
      TEST(what_is_not_a_request_and_has_no_id_ends_the_connection),
      TEST(a_broken_request_does_not_take_back_the_answers_before_it),
      TEST(a_request_of_many_small_fields_is_answered_within_bounds),
      TEST(octets_by_chance_are_answered_or_end_the_connection),
      TEST(requests_of_all_kinds_in_one_write_are_all_answered),
      cmocka_unit_test(frontends_and_resolver_in_threads_of_their_own_answer_everything),
  };
  name_hash_init();
  return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
