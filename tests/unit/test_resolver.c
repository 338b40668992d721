#include "cmocka_compat.h"

#include <limits.h>

#include "base/random.h"
#include "cache/cache.h"
#include "control/purge.h"
#include "fake_dns.h"
#include "fake_store.h"
#include "resolve/resolver.h"
#include "rules/name.h"
#include "rules/route.h"
#include "serve/reply.h"

enum {
  START_MS = 1000000,
  DEADLINE_MS = 5000,
  FAILURE_S = 7,
  MAX_FAILURE_S = 300,
  MAX_NEGATIVE_S = 3600,
  HOPS = 8,
  CACHE_BYTES = 1 << 20,
};

static struct stats stats;

struct trial {
  struct dns *dns;
  struct store *store; /* NULL: none */
  struct cache *cache;
  struct resolver *resolver;
  int64_t now_ms;
  size_t answered; /* questions, of all clients */
  bool is_asking;  /* within resolver_ask: nobody may be answered now */
  bool is_ending;  /* within resolver_destroy: nor now */
};

/* One question and what was answered, as a client would see it. Those of the tests are static: one that
 * is still pending belongs to the resolver until the teardown. */
struct client {
  struct question question;
  struct trial *trial;
  int64_t asked_ms, answered_ms;
  unsigned answers;
  size_t place;           /* among all answers of the trial */
  bool is_allocated;      /* freed when answered */
  struct client **listed; /* forgets it when answered; or NULL */
  /* the answer */
  bool has_facts, from_memory, from_store;
  int64_t since_ms;
  enum verdict verdict;
  bool transient, implicit, stale;
  uint32_t ttl_s, mx_ttl_s, warnings;
  char canonical[FACTS_NAME_SIZE];
  unsigned count;
  struct {
    char host[FACTS_NAME_SIZE];
    enum status status;
    unsigned address_count;
  } exchanges[4];
};

static void record_route(struct client *client, const struct answer *answer, int64_t now_ms) {
  static struct random random = {.state = 5};
  static const struct route_policy policy;
  static uint8_t bytes[REPLY_BYTES_MAX];
  struct route route;
  size_t length;
  const struct route_request wanted = {.depth = client->question.depth,
                                       .no_stale = client->question.no_stale};
  route_build(answer->facts, &wanted, &policy, answer->since_ms, now_ms, &random, &route);
  assert_in_range(reply_build_route(bytes, 1, SOURCE_DNS, &route), 1, REPLY_BYTES_MAX);
  const char *canonical = domain_canonical(answer->facts, &length);
  memcpy(client->canonical, canonical, length);
  client->canonical[length] = '\0';
  client->verdict = route.verdict;
  client->transient = route.transient;
  client->implicit = route.implicit;
  client->stale = route.stale;
  client->ttl_s = route.ttl_s;
  client->mx_ttl_s = route.mx_ttl_s;
  client->warnings = route.warnings;
  client->count = route.count;
  for (unsigned i = 0; i < route.count && i < 4; i++) {
    snprintf(client->exchanges[i].host, FACTS_NAME_SIZE, "%s", route.exchanges[i].exchange->host->name);
    client->exchanges[i].status = route.exchanges[i].status;
    client->exchanges[i].address_count = route.exchanges[i].address_count;
  }
}

static void record(struct client *client, const struct answer *answer, int64_t now_ms) {
  client->answers++;
  client->answered_ms = now_ms;
  client->place = client->trial->answered;
  client->has_facts = answer->facts != NULL;
  client->from_memory = answer->from_memory;
  client->from_store = answer->from_store;
  assert_false(answer->from_memory && answer->from_store);
  client->since_ms = answer->since_ms;
  client->verdict = answer->verdict;
  if (answer->facts)
    record_route(client, answer, now_ms);
  client->trial->answered++;
}

static void free_client(struct client *client) {
  if (client->listed)
    *client->listed = NULL;
  story_unref(client->question.story);
  free(client);
}

static void on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  struct trial *trial = context;
  struct client *client = (struct client *)question;
  assert_ptr_equal(trial, client->trial);
  assert_false(trial->is_asking);
  assert_false(trial->is_ending);
  assert_int_equal(client->answers, 0);
  record(client, answer, now_ms);
  uint32_t timeout_ms = question->timeout_ms;
  if (timeout_ms == 0 || timeout_ms > DEADLINE_MS)
    timeout_ms = DEADLINE_MS;
  assert_true(now_ms <= client->asked_ms + timeout_ms);
  if (client->is_allocated)
    free_client(client);
}

static void open_beside(struct trial *trial, const struct resolver_options *options, size_t cache_bytes,
                        struct store *store) {
  memset(trial, 0, sizeof(*trial));
  trial->store = store;
  trial->now_ms = START_MS;
  trial->dns = fake_dns_create();
  trial->cache = cache_create(cache_bytes, options->learn.max_stale_ms, &stats);
  assert_non_null(trial->cache);
  trial->resolver = resolver_create(trial->cache, store, trial->dns, options, &stats, on_answer, trial);
  assert_non_null(trial->resolver);
}

static void open_with(struct trial *trial, const struct resolver_options *options, size_t cache_bytes) {
  open_beside(trial, options, cache_bytes, NULL);
}

static const struct resolver_options usual = {
    .learn = {.ttl = {.min_s = 0,
                      .max_s = 86400,
                      .max_negative_s = MAX_NEGATIVE_S,
                      .failure_s = FAILURE_S,
                      .max_failure_s = MAX_FAILURE_S}},
    .lookup_deadline_ms = DEADLINE_MS,
    .max_cname_hops = HOPS,
};

static void close_it(struct trial *trial) {
  trial->is_ending = true;
  resolver_destroy(trial->resolver);
  assert_int_equal(trial->dns->open_count, 0); /* every query is taken back */
  cache_destroy(trial->cache);
  dns_destroy(trial->dns);
  fake_store_destroy(trial->store);
}

static int open_trial(void **state) {
  struct trial *trial = malloc(sizeof(*trial));
  assert_non_null(trial);
  open_with(trial, &usual, CACHE_BYTES);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  close_it(*state);
  free(*state);
  return 0;
}

/* ---- what a test does ---- */

static void prepare(struct trial *trial, struct client *client, const char *domain, enum depth depth) {
  static const struct name_policy policy;
  memset(client, 0, sizeof(*client));
  client->trial = trial;
  client->question.depth = depth;
  assert_int_equal(name_parse((const uint8_t *)domain, strlen(domain), &policy, &client->question.name),
                   NAME_OK);
  client->question.hash = name_hash(client->question.name.text, client->question.name.length);
  client->question.due.place = 0x5a5a; /* the resolver's to set */
}

/* Asks what is prepared; true where it was answered at once. */
static bool submit(struct client *client) {
  struct trial *trial = client->trial;
  struct answer answer;
  client->asked_ms = trial->now_ms;
  trial->is_asking = true;
  bool is_answered = resolver_ask(trial->resolver, &client->question, trial->now_ms, &answer);
  trial->is_asking = false;
  if (is_answered)
    record(client, &answer, trial->now_ms);
  return is_answered;
}

/* Asks, and it is pending. */
static void ask(struct trial *trial, struct client *client, const char *domain, enum depth depth) {
  prepare(trial, client, domain, depth);
  assert_false(submit(client));
  assert_int_equal(client->answers, 0);
}

/* Asks, and it is answered at once. */
static void ask_known(struct trial *trial, struct client *client, const char *domain, enum depth depth) {
  size_t asked_count = trial->dns->asked_count;
  prepare(trial, client, domain, depth);
  assert_true(submit(client));
  assert_int_equal(trial->dns->asked_count, asked_count);
}

static void deliver(struct trial *trial, const char *name, uint16_t qtype, struct dnsmsg message) {
  fake_dns_deliver(trial->dns, name, qtype, &message, trial->now_ms);
}

/* Both address queries of a host: one address of each family. */
static void deliver_host(struct trial *trial, const char *host, uint32_t ttl_s) {
  deliver(trial, host, DNSMSG_AAAA, fake_aaaa(ttl_s, 1, 1));
  deliver(trial, host, DNSMSG_A, fake_a(ttl_s, 1, 1));
}

static void run_at(struct trial *trial, int64_t now_ms) {
  trial->now_ms = now_ms;
  resolver_run(trial->resolver, now_ms);
}

static struct dnsmsg two_mx(uint32_t ttl_s) {
  struct dnsmsg message = fake_mx(ttl_s, 10, "a.test");
  fake_add_mx(&message, 20, "b.test");
  return message;
}

/* The domain is held by the cache alone: no less, no more. */
static void check_holds_are_gone(struct client *client) {
  struct cache *cache = client->trial->cache;
  const struct name *name = &client->question.name;
  cache_sweep(cache, 0, 0); /* frees what nobody holds: a sanitizer sees what was let go too often */
  assert_true(cache_remove(cache, name->text, name->length, client->question.hash));
  assert_int_equal(cache_host_count(cache), 0);
}

static uint64_t counted(enum stats_counter counter) { return atomic_load(&stats.counters[counter]); }

/* ---- cold and cached ---- */

static void exchanges_are_one_query_and_then_none(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(trial->dns->asked_count, 1);
  trial->now_ms += 20;
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_false(client.from_memory);
  assert_int_equal(client.ttl_s, 300);
  assert_int_equal(client.answered_ms, START_MS + 20);
  assert_int_equal(client.since_ms, START_MS);
  assert_int_equal(client.count, 2);
  assert_string_equal(client.exchanges[0].host, "a.test");
  assert_int_equal(client.exchanges[0].status, STATUS_NOT_RESOLVED);
  assert_int_equal(trial->dns->open_count, 0);
  trial->now_ms += 299999;
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_true(client.from_memory);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_int_equal(client.since_ms, trial->now_ms);
  trial->now_ms += 1;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(trial->dns->asked_count, 2);
}

static void addresses_are_asked_for_in_parallel_and_then_known(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->asked_count, 1);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  assert_int_equal(client.answers, 0);
  assert_int_equal(trial->dns->open_count, 4);
  deliver_host(trial, "b.test", 200);
  assert_int_equal(client.answers, 0);
  deliver_host(trial, "a.test", 100);
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_int_equal(client.ttl_s, 100);
  assert_int_equal(client.mx_ttl_s, 300);
  assert_int_equal(client.exchanges[0].address_count, 2);
  assert_int_equal(client.exchanges[1].status, STATUS_OK);
  assert_false(client.from_memory);
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(client.from_memory);
  assert_int_equal(client.ttl_s, 100);
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.ttl_s, 300);
}

static void addresses_are_asked_for_where_only_the_exchanges_are_known(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1);
  assert_int_equal(trial->dns->open_count, 4);
  deliver_host(trial, "a.test", 100);
  deliver_host(trial, "b.test", 200);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
}

static void only_the_host_that_has_expired_is_asked_for(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  deliver_host(trial, "a.test", 100);
  deliver_host(trial, "b.test", 200);
  trial->now_ms += 150000;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->open_count, 2);
  assert_true(fake_dns_is_asked(trial->dns, "a.test", DNSMSG_A));
  deliver_host(trial, "a.test", 100);
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.exchanges[0].status, STATUS_OK);
  assert_int_equal(client.exchanges[1].status, STATUS_OK);
}

static void domains_that_share_an_exchange_ask_for_it_once(void **state) {
  struct trial *trial = *state;
  static struct client first, second;
  ask(trial, &first, "d.test", DEPTH_ADDRESSES);
  ask(trial, &second, "e.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver(trial, "e.test", DNSMSG_MX, two_mx(300));
  assert_int_equal(trial->dns->open_count, 4);
  deliver_host(trial, "a.test", 100);
  assert_int_equal(first.answers, 1);
  assert_int_equal(second.answers, 0);
  deliver_host(trial, "b.test", 100);
  assert_int_equal(second.answers, 1);
}

static void names_with_one_hash_are_still_two_domains(void **state) {
  struct trial *trial = *state;
  static struct client first, second;
  prepare(trial, &first, "d.test", DEPTH_EXCHANGES);
  prepare(trial, &second, "e.test", DEPTH_EXCHANGES);
  second.question.hash = first.question.hash;
  assert_false(submit(&first));
  assert_false(submit(&second));
  assert_int_equal(trial->dns->asked_count, 2);
  deliver(trial, "e.test", DNSMSG_MX, fake_mx(300, 10, "b.test"));
  assert_int_equal(first.answers, 0);
  assert_string_equal(second.exchanges[0].host, "b.test");
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_string_equal(first.exchanges[0].host, "a.test");
}

/* ---- many questions, one flight ---- */

static void ten_thousand_questions_are_one_query_of_each_type(void **state) {
  struct trial *trial = *state;
  enum { COUNT = 10000 };
  struct client *clients = calloc(COUNT, sizeof(clients[0]));
  uint64_t coalesced = counted(STATS_LOOKUPS_COALESCED);
  assert_non_null(clients);
  for (unsigned i = 0; i < COUNT; i++)
    ask(trial, &clients[i], i % 3 ? "d.test" : "D.TEST.", i % 2 ? DEPTH_ADDRESSES : DEPTH_EXCHANGES);
  assert_int_equal(trial->dns->asked_count, 1);
  assert_int_equal(counted(STATS_LOOKUPS_COALESCED), coalesced + COUNT - 1);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  /* Those for whom the exchanges are enough do not wait for the addresses. */
  assert_int_equal(trial->answered, COUNT / 2);
  deliver_host(trial, "a.test", 100);
  assert_int_equal(trial->answered, COUNT);
  for (unsigned i = 0; i < COUNT; i++) {
    assert_int_equal(clients[i].answers, 1);
    assert_int_equal(clients[i].verdict, VERDICT_ROUTE);
    assert_int_equal(clients[i].exchanges[0].address_count, i % 2 ? 2 : 0);
  }
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1);
  assert_int_equal(trial->dns->of_type[DNSMSG_A], 1);
  assert_int_equal(trial->dns->of_type[DNSMSG_AAAA], 1);
  free(clients);
}

static void questions_are_answered_in_the_order_they_came(void **state) {
  struct trial *trial = *state;
  static struct client clients[3];
  for (unsigned i = 0; i < 3; i++)
    ask(trial, &clients[i], "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  for (unsigned i = 0; i < 3; i++)
    assert_int_equal(clients[i].place, i);
}

static void a_question_about_exchanges_does_not_wait_for_addresses_it_came_late_for(void **state) {
  struct trial *trial = *state;
  static struct client first, late;
  ask(trial, &first, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(0, 10, "a.test"));
  trial->now_ms += 10; /* the MX facts have expired, the flight still asks for addresses */
  prepare(trial, &late, "d.test", DEPTH_EXCHANGES);
  assert_true(submit(&late));
  assert_int_equal(late.verdict, VERDICT_ROUTE);
  assert_false(late.from_memory);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1);
  deliver_host(trial, "a.test", 100);
  assert_int_equal(first.answers, 1);
}

static void a_question_about_addresses_joins_in_the_second_stage(void **state) {
  struct trial *trial = *state;
  static struct client first, late;
  ask(trial, &first, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(0, 10, "a.test"));
  ask(trial, &late, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1);
  deliver_host(trial, "a.test", 0);
  assert_int_equal(first.answers, 1);
  assert_int_equal(late.answers, 1);
  assert_int_equal(late.exchanges[0].address_count, 2);
}

static void a_ttl_of_0_is_for_all_who_wait_and_nobody_after(void **state) {
  struct trial *trial = *state;
  enum { COUNT = 100 };
  static struct client clients[COUNT], next;
  for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++) {
    size_t asked_count = trial->dns->of_type[DNSMSG_MX];
    for (unsigned i = 0; i < COUNT; i++) {
      ask(trial, &clients[i], "d.test", depth);
      trial->now_ms += 1;
    }
    deliver(trial, "d.test", DNSMSG_MX, fake_mx(0, 10, "a.test"));
    trial->now_ms += 30;
    if (depth == DEPTH_ADDRESSES) {
      deliver(trial, "a.test", DNSMSG_A, fake_a(0, 1, 1));
      trial->now_ms += 30; /* one family is as old as this when the other comes */
      deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(0, 1, 1));
    }
    for (unsigned i = 0; i < COUNT; i++) {
      assert_int_equal(clients[i].answers, 1);
      assert_int_equal(clients[i].verdict, VERDICT_ROUTE);
      assert_int_equal(clients[i].ttl_s, 0);
      assert_int_equal(clients[i].exchanges[0].address_count, depth == DEPTH_ADDRESSES ? 2 : 0);
    }
    assert_int_equal(trial->dns->of_type[DNSMSG_MX], asked_count + 1);
    ask(trial, &next, "d.test", depth);
    assert_int_equal(trial->dns->of_type[DNSMSG_MX], asked_count + 2);
    deliver(trial, "d.test", DNSMSG_MX, fake_mx(0, 10, "a.test"));
    if (depth == DEPTH_ADDRESSES)
      deliver_host(trial, "a.test", 0);
    assert_int_equal(next.answers, 1);
  }
}

/* ---- what the reply says ---- */

static void answers_without_exchanges_ask_for_no_addresses(void **state) {
  struct trial *trial = *state;
  struct dnsmsg null_mx = fake_mx(300, 0, ""), unusable = fake_mx(300, 10, "");
  unusable.mx[0].usable = false;
  struct {
    struct dnsmsg message;
    enum verdict verdict;
    uint32_t ttl_s;
  } rows[] = {
      {fake_denial(DNSMSG_NXDOMAIN, 300), VERDICT_NO_SUCH_DOMAIN, 300},
      {fake_denial(DNSMSG_NXDOMAIN, 86400), VERDICT_NO_SUCH_DOMAIN, MAX_NEGATIVE_S},
      {fake_reply(DNSMSG_NXDOMAIN), VERDICT_NO_SUCH_DOMAIN, 5},
      {null_mx, VERDICT_NULL_MX, 300},
      {unusable, VERDICT_MX_ALL_INVALID, 300},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    static struct client client;
    char name[16];
    snprintf(name, sizeof(name), "d%zu.test", i);
    ask(trial, &client, name, DEPTH_ADDRESSES);
    deliver(trial, name, DNSMSG_MX, rows[i].message);
    assert_int_equal(client.answers, 1);
    assert_int_equal(client.verdict, rows[i].verdict);
    assert_int_equal(client.ttl_s, rows[i].ttl_s);
    assert_int_equal(client.count, 0);
    assert_int_equal(trial->dns->open_count, 0);
    ask_known(trial, &client, name, DEPTH_ADDRESSES);
    assert_int_equal(client.verdict, rows[i].verdict);
    trial->now_ms += (int64_t)rows[i].ttl_s * 1000;
    ask(trial, &client, name, DEPTH_ADDRESSES);
    deliver(trial, name, DNSMSG_MX, rows[i].message);
  }
}

static void odd_records_are_dropped_with_a_warning(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct dnsmsg message = fake_mx(300, 10, "a.test");
  fake_add_mx(&message, 5, "");
  fake_add_mx(&message, 7, "a.test");
  fake_add_mx(&message, 1, "");
  message.mx[3].usable = false;
  message.cut = true;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, message);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_int_equal(client.count, 1);
  assert_int_equal(client.warnings, WARNING_UNUSABLE_NAME | WARNING_NULL_MX_MIXED |
                                        WARNING_DUPLICATE_EXCHANGE | WARNING_TOO_MANY_MX);
  /* Nothing of it is left for the next domain. */
  ask(trial, &client, "e.test", DEPTH_EXCHANGES);
  deliver(trial, "e.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(client.warnings, 0);
}

static void a_hundred_exchanges_are_taken(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct dnsmsg message = fake_reply(DNSMSG_ANSWER);
  message.ttl_s = 300;
  for (unsigned i = 0; i < DNSMSG_MX_MAX; i++) {
    char host[16];
    snprintf(host, sizeof(host), "h%u.test", i);
    fake_add_mx(&message, i, host);
  }
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, message);
  assert_int_equal(trial->dns->open_count, 200);
  while (trial->dns->first) {
    struct dnsmsg address = trial->dns->first->qtype == DNSMSG_A ? fake_a(60, 1, 1) : fake_aaaa(60, 1, 1);
    fake_dns_end(trial->dns->first, DNS_REPLIED, &address, trial->now_ms);
  }
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.count, ROUTE_EXCHANGES_MAX);
}

static void an_exchange_that_is_an_address_needs_no_more_queries(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "192.0.2.7"));
  assert_int_equal(trial->dns->asked_count, 1);
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_int_equal(client.exchanges[0].address_count, 1);
  assert_int_equal(client.warnings, WARNING_MX_IS_ADDRESS);
  assert_int_equal(client.ttl_s, 300);
}

static void a_domain_without_mx_is_its_own_exchange(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_denial(DNSMSG_NODATA, 900));
  deliver(trial, "d.test", DNSMSG_A, fake_a(300, 1, 1));
  deliver(trial, "d.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 900));
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_true(client.implicit);
  assert_int_equal(client.ttl_s, 300);
  assert_int_equal(client.mx_ttl_s, 900); /* the implicit fact lives as long as the denial */
  assert_string_equal(client.exchanges[0].host, "d.test");
  trial->now_ms += 300000;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1);
  deliver(trial, "d.test", DNSMSG_A, fake_a(1200, 1, 1));
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.ttl_s, 600);
  trial->now_ms += 600000;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 2);
}

static void depth_exchanges_does_not_check_an_implicit_exchange(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_denial(DNSMSG_NODATA, 900));
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_true(client.implicit);
  assert_int_equal(trial->dns->asked_count, 1);
}

static void no_mx_and_no_address_is_permanent_only_where_both_are_denied(void **state) {
  struct trial *trial = *state;
  for (int soft = 0; soft < 2; soft++) {
    static struct client client;
    const char *name = soft ? "soft.test" : "hard.test";
    ask(trial, &client, name, DEPTH_ADDRESSES);
    deliver(trial, name, DNSMSG_MX, fake_denial(DNSMSG_NODATA, 900));
    deliver(trial, name, DNSMSG_A, soft ? fake_reply(DNSMSG_SERVFAIL) : fake_denial(DNSMSG_NODATA, 60));
    deliver(trial, name, DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 60));
    assert_int_equal(client.verdict, VERDICT_NO_MAIL_HOST);
    assert_int_equal(client.transient, soft);
    assert_int_equal(client.ttl_s, soft ? FAILURE_S : 60);
  }
}

static void a_denial_without_soa_lives_5_seconds(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_NODATA));
  assert_int_equal(client.ttl_s, 5);
}

static void a_domain_that_is_an_alias_is_answered_with_its_end(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_alias(DNSMSG_FOLLOW, 1, 60, "e.test"));
  deliver(trial, "e.test", DNSMSG_MX, fake_alias(DNSMSG_FOLLOW, 1, 900, "f.test"));
  deliver(trial, "f.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_string_equal(client.canonical, "f.test");
  assert_string_equal(client.exchanges[0].host, "a.test");
  assert_int_equal(client.ttl_s, 60);
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_string_equal(client.canonical, "f.test");
  ask(trial, &client, "f.test", DEPTH_EXCHANGES); /* learned for d.test only */
}

static void an_implicit_exchange_is_the_end_of_the_alias_chain(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct dnsmsg denial = fake_denial(DNSMSG_NODATA, 900);
  denial.hops = 1;
  denial.ttl_s = 120;
  snprintf(denial.canonical, sizeof(denial.canonical), "e.test");
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, denial);
  deliver_host(trial, "e.test", 300);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_true(client.implicit);
  assert_string_equal(client.canonical, "e.test");
  assert_string_equal(client.exchanges[0].host, "e.test");
  assert_int_equal(client.mx_ttl_s, 120); /* the alias ends before the denial */
  assert_int_equal(client.warnings, 0);
}

static void an_alias_of_nothing_is_no_such_domain(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_alias(DNSMSG_FOLLOW, 1, 60, "e.test"));
  deliver(trial, "e.test", DNSMSG_MX, fake_denial(DNSMSG_NXDOMAIN, 900));
  assert_int_equal(client.verdict, VERDICT_NO_SUCH_DOMAIN);
  assert_string_equal(client.canonical, "e.test");
  assert_int_equal(client.ttl_s, 60);
}

static void eight_aliases_are_followed_and_nine_are_a_loop(void **state) {
  struct trial *trial = *state;
  for (unsigned hops = HOPS; hops <= HOPS + 1; hops++) {
    static struct client client;
    struct dnsmsg message = fake_mx(300, 10, "a.test");
    char name[16];
    message.hops = (uint8_t)hops;
    snprintf(message.canonical, sizeof(message.canonical), "end.test");
    snprintf(name, sizeof(name), "d%u.test", hops);
    ask(trial, &client, name, DEPTH_EXCHANGES);
    deliver(trial, name, DNSMSG_MX, message);
    assert_int_equal(client.verdict, hops > HOPS ? VERDICT_CNAME_LOOP : VERDICT_ROUTE);
    assert_string_equal(client.canonical, hops > HOPS ? name : "end.test");
  }
}

/* ---- failures ---- */

static void every_failure_has_its_verdict_and_is_remembered_for_a_while(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum dns_result result;
    enum dnsmsg_outcome outcome;
    enum verdict verdict;
    uint32_t ttl_s;
  } rows[] = {
      {DNS_REPLIED, DNSMSG_SERVFAIL, VERDICT_DNS_SERVFAIL, FAILURE_S},
      {DNS_REPLIED, DNSMSG_OTHER_RCODE, VERDICT_DNS_SERVFAIL, FAILURE_S},
      {DNS_REPLIED, DNSMSG_REFUSED, VERDICT_DNS_REFUSED, FAILURE_S},
      {DNS_REPLIED, DNSMSG_NOTIMP, VERDICT_DNS_REFUSED, FAILURE_S},
      {DNS_REPLIED, DNSMSG_FORMERR, VERDICT_DNS_MALFORMED, FAILURE_S},
      {DNS_REPLIED, DNSMSG_MALFORMED, VERDICT_DNS_MALFORMED, FAILURE_S},
      {DNS_REPLIED, DNSMSG_LOOP, VERDICT_CNAME_LOOP, FAILURE_S},
      {DNS_TIMED_OUT, 0, VERDICT_DNS_TIMEOUT, FAILURE_S},
      {DNS_UNREACHABLE, 0, VERDICT_DNS_NETWORK, 1},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    static struct client client;
    char name[16];
    snprintf(name, sizeof(name), "d%zu.test", i);
    ask(trial, &client, name, DEPTH_ADDRESSES);
    if (rows[i].result == DNS_REPLIED)
      deliver(trial, name, DNSMSG_MX, fake_reply(rows[i].outcome));
    else
      fake_dns_fail(trial->dns, name, DNSMSG_MX, rows[i].result, trial->now_ms);
    assert_int_equal(client.answers, 1);
    assert_int_equal(client.verdict, rows[i].verdict);
    assert_int_equal(client.ttl_s, rows[i].ttl_s);
    assert_int_equal(client.count, 0); /* never an implicit MX */
    assert_int_equal(trial->dns->open_count, 0);
    trial->now_ms += (int64_t)rows[i].ttl_s * 1000 - 1;
    ask_known(trial, &client, name, DEPTH_ADDRESSES);
    assert_int_equal(client.verdict, rows[i].verdict);
    trial->now_ms += 1;
    ask(trial, &client, name, DEPTH_ADDRESSES);
    deliver(trial, name, DNSMSG_MX, fake_denial(DNSMSG_NXDOMAIN, 60));
    assert_int_equal(client.verdict, VERDICT_NO_SUCH_DOMAIN);
  }
}

/* ---- failures in a row ---- */

/* Asks for d.test, which fails with SERVFAIL; for how long that is remembered. */
static int64_t fail_for_s(struct trial *trial) {
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(client.verdict, VERDICT_DNS_SERVFAIL);
  return client.ttl_s;
}

static void each_failure_in_a_row_is_remembered_twice_as_long(void **state) {
  struct trial *trial = *state;
  static const int64_t lives_s[] = {7, 14, 28, 56, 112, 224, 300, 300};
  static struct client client;
  for (size_t i = 0; i < sizeof(lives_s) / sizeof(lives_s[0]); i++) {
    assert_int_equal(fail_for_s(trial), lives_s[i]);
    trial->now_ms += lives_s[i] * 1000 - 1;
    ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
    assert_int_equal(client.verdict, VERDICT_DNS_SERVFAIL);
    trial->now_ms += 1;
  }
}

static void a_success_between_failures_begins_the_row_anew(void **state) {
  struct trial *trial = *state;
  struct dnsmsg facts[] = {fake_mx(0, 10, "a.test"), fake_denial(DNSMSG_NXDOMAIN, 0),
                           fake_denial(DNSMSG_NODATA, 0)};
  for (size_t i = 0; i < 3; i++) {
    static struct client client;
    assert_int_equal(fail_for_s(trial), FAILURE_S);
    trial->now_ms += FAILURE_S * 1000;
    assert_int_equal(fail_for_s(trial), 2 * FAILURE_S);
    trial->now_ms += 2 * FAILURE_S * 1000;
    ask(trial, &client, "d.test", DEPTH_EXCHANGES);
    deliver(trial, "d.test", DNSMSG_MX, facts[i]);
  }
  assert_int_equal(fail_for_s(trial), FAILURE_S);
}

static void a_failure_that_the_sweep_finds_is_kept_as_long_again_as_it_lived(void **state) {
  (void)state;
  for (int is_late = 0; is_late < 2; is_late++) {
    struct trial trial;
    open_with(&trial, &usual, CACHE_BYTES);
    assert_int_equal(fail_for_s(&trial), FAILURE_S);
    trial.now_ms += FAILURE_S * 1000 * 2 - !is_late;
    cache_sweep(trial.cache, trial.now_ms, 10);
    assert_int_equal(cache_count(trial.cache), !is_late);
    assert_int_equal(fail_for_s(&trial), is_late ? FAILURE_S : 2 * FAILURE_S);
    close_it(&trial);
  }
}

static void a_failure_of_long_ago_begins_no_row_though_no_sweep_has_come(void **state) {
  struct trial *trial = *state;
  fail_for_s(trial);
  trial->now_ms += FAILURE_S * 1000 * 2;
  assert_int_equal(fail_for_s(trial), FAILURE_S);
}

static void fail_without_network(struct trial *trial) {
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  fake_dns_fail(trial->dns, "d.test", DNSMSG_MX, DNS_UNREACHABLE, trial->now_ms);
  assert_int_equal(client.verdict, VERDICT_DNS_NETWORK);
  assert_int_equal(client.ttl_s, 1);
}

static void no_network_neither_charges_a_domain_nor_forgives_it(void **state) {
  struct trial *trial = *state;
  fail_without_network(trial);
  trial->now_ms += 1000;
  assert_int_equal(fail_for_s(trial), FAILURE_S);
  trial->now_ms += FAILURE_S * 1000;
  assert_int_equal(fail_for_s(trial), 2 * FAILURE_S);
  trial->now_ms += 2 * FAILURE_S * 1000;
  fail_without_network(trial);
  trial->now_ms += 1000;
  fail_without_network(trial);
  trial->now_ms += 60000; /* the network is away for longer than its failure is remembered */
  cache_sweep(trial->cache, trial->now_ms, 10);
  assert_int_equal(fail_for_s(trial), 4 * FAILURE_S);
}

static void no_network_and_too_much_to_do_leave_a_failure_that_holds(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum dns_result result;
    enum verdict verdict;
  } rows[] = {{DNS_UNREACHABLE, VERDICT_DNS_NETWORK}, {DNS_SHED, VERDICT_OVERLOAD}};
  static struct client client;
  fail_for_s(trial);
  for (size_t i = 0; i < 2; i++) {
    trial->now_ms += 1000;
    prepare(trial, &client, "d.test", DEPTH_ADDRESSES);
    client.question.refresh = true;
    assert_false(submit(&client));
    fake_dns_fail(trial->dns, "d.test", DNSMSG_MX, rows[i].result, trial->now_ms);
    assert_int_equal(client.verdict, rows[i].verdict);
    assert_false(client.has_facts);
    ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
    assert_int_equal(client.verdict, VERDICT_DNS_SERVFAIL);
    assert_int_equal(client.ttl_s, FAILURE_S - 1 - i);
  }
}

static void a_shed_query_is_overload_for_each_who_waits_and_not_remembered(void **state) {
  struct trial *trial = *state;
  static struct client clients[3];
  uint64_t overload = counted(STATS_LOOKUPS_OVERLOAD);
  for (unsigned i = 0; i < 3; i++)
    ask(trial, &clients[i], "d.test", i % 2 ? DEPTH_ADDRESSES : DEPTH_EXCHANGES);
  fake_dns_fail(trial->dns, "d.test", DNSMSG_MX, DNS_SHED, trial->now_ms);
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(clients[i].answers, 1);
    assert_int_equal(clients[i].verdict, VERDICT_OVERLOAD);
    assert_false(clients[i].has_facts);
  }
  assert_int_equal(counted(STATS_LOOKUPS_OVERLOAD), overload + 3);
  assert_int_equal(cache_count(trial->cache), 0);
  ask(trial, &clients[0], "d.test", DEPTH_EXCHANGES);
}

static void a_refresh_that_is_shed_is_counted_and_leaves_good_facts(void **state) {
  struct trial *trial = *state;
  static struct client client;
  uint64_t overload = counted(STATS_LOOKUPS_OVERLOAD);
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  prepare(trial, &client, "d.test", DEPTH_EXCHANGES);
  client.question.refresh = true;
  assert_false(submit(&client));
  fake_dns_fail(trial->dns, "d.test", DNSMSG_MX, DNS_SHED, trial->now_ms);
  assert_int_equal(client.verdict, VERDICT_OVERLOAD);
  assert_int_equal(counted(STATS_LOOKUPS_OVERLOAD), overload + 1);
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
}

static void a_refresh_that_never_went_out_is_overload(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  prepare(trial, &client, "d.test", DEPTH_EXCHANGES);
  client.question.refresh = true;
  assert_false(submit(&client));
  fake_dns_find(trial->dns, "d.test", DNSMSG_MX)->is_waiting = true;
  run_at(trial, START_MS + DEADLINE_MS);
  assert_int_equal(client.verdict, VERDICT_OVERLOAD);
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
}

static void notimp_is_a_domain_without_mx_where_that_is_wanted(void **state) {
  (void)state;
  struct trial trial;
  static struct client client;
  struct resolver_options options = usual;
  options.learn.notimp_as_nodata = true;
  open_with(&trial, &options, CACHE_BYTES);
  ask(&trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(&trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_NOTIMP));
  deliver(&trial, "d.test", DNSMSG_AAAA, fake_reply(DNSMSG_NOTIMP));
  deliver(&trial, "d.test", DNSMSG_A, fake_a(300, 1, 1));
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_true(client.implicit);
  assert_int_equal(client.mx_ttl_s, 5);
  close_it(&trial);
}

static void refresh_asks_for_all_although_it_is_known(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver_host(trial, "a.test", 300);
  prepare(trial, &client, "d.test", DEPTH_ADDRESSES);
  client.question.refresh = true;
  assert_false(submit(&client));
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(200, 10, "a.test"));
  assert_int_equal(trial->dns->open_count, 2);
  deliver_host(trial, "a.test", 200);
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.ttl_s, 200);
  assert_false(client.from_memory);
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(client.ttl_s, 200);
}

static void refresh_in_the_first_stage_makes_do_with_the_query_under_way(void **state) {
  struct trial *trial = *state;
  static struct client client, ordinary, refreshing;
  ask(trial, &client, "e.test", DEPTH_ADDRESSES);
  deliver(trial, "e.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver_host(trial, "a.test", 300);
  ask(trial, &ordinary, "d.test", DEPTH_ADDRESSES);
  prepare(trial, &refreshing, "d.test", DEPTH_ADDRESSES);
  refreshing.question.refresh = true;
  assert_false(submit(&refreshing));
  assert_int_equal(trial->dns->open_count, 1);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  /* The addresses are known from e.test, but somebody wants them anew. */
  assert_int_equal(trial->dns->open_count, 2);
  deliver_host(trial, "a.test", 300);
  assert_int_equal(ordinary.verdict, VERDICT_ROUTE);
  assert_int_equal(refreshing.verdict, VERDICT_ROUTE);
}

static void refresh_in_the_second_stage_asks_for_the_mx_anew_once(void **state) {
  struct trial *trial = *state;
  static struct client client, ordinary, refreshing[3];
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  ask(trial, &ordinary, "d.test", DEPTH_ADDRESSES); /* from the MX facts in memory */
  assert_int_equal(trial->dns->open_count, 2);
  for (unsigned i = 0; i < 2; i++) {
    prepare(trial, &refreshing[i], "d.test", i ? DEPTH_ADDRESSES : DEPTH_EXCHANGES);
    refreshing[i].question.refresh = true;
    assert_false(submit(&refreshing[i]));
  }
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 2);
  deliver_host(trial, "a.test", 300);
  assert_int_equal(ordinary.answers, 0);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(200, 10, "b.test"));
  assert_int_equal(refreshing[0].verdict, VERDICT_ROUTE);
  assert_int_equal(refreshing[0].ttl_s, 200);
  /* What this flight has asked for is fresh enough for one who comes now. */
  prepare(trial, &refreshing[2], "d.test", DEPTH_EXCHANGES);
  refreshing[2].question.refresh = true;
  assert_true(submit(&refreshing[2]));
  assert_string_equal(refreshing[2].exchanges[0].host, "b.test");
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 2);
  deliver_host(trial, "b.test", 300);
  assert_string_equal(ordinary.exchanges[0].host, "b.test");
  assert_int_equal(refreshing[1].answers, 1);
  check_holds_are_gone(&client);
}

static void refresh_that_is_refused_in_the_second_stage_leaves_the_flight_as_it_was(void **state) {
  struct trial *trial = *state;
  static struct client ordinary, refreshing;
  ask(trial, &ordinary, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  prepare(trial, &refreshing, "d.test", DEPTH_ADDRESSES);
  refreshing.question.refresh = true;
  assert_true(submit(&refreshing));
  assert_int_equal(refreshing.verdict, VERDICT_OVERLOAD);
  deliver_host(trial, "a.test", 300);
  assert_int_equal(ordinary.verdict, VERDICT_ROUTE);
}

static void a_refresh_that_fails_says_so_and_leaves_good_facts(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct dnsmsg good[] = {fake_mx(300, 10, "a.test"), fake_denial(DNSMSG_NXDOMAIN, 300)};
  for (size_t i = 0; i < 2; i++) {
    const char *name = i ? "e.test" : "d.test";
    ask(trial, &client, name, DEPTH_EXCHANGES);
    deliver(trial, name, DNSMSG_MX, good[i]);
    enum verdict verdict = client.verdict;
    prepare(trial, &client, name, DEPTH_ADDRESSES);
    client.question.refresh = true;
    assert_false(submit(&client));
    deliver(trial, name, DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
    assert_int_equal(trial->dns->open_count, 0);
    assert_int_equal(client.answers, 1);
    assert_int_equal(client.verdict, VERDICT_DNS_SERVFAIL);
    ask_known(trial, &client, name, DEPTH_EXCHANGES);
    assert_int_equal(client.verdict, verdict);
    assert_int_equal(client.ttl_s, 300);
  }
}

static void a_refresh_that_fails_is_no_failure_for_who_did_not_want_one(void **state) {
  struct trial *trial = *state;
  static struct client client, refreshing, ordinary;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  prepare(trial, &refreshing, "d.test", DEPTH_ADDRESSES);
  refreshing.question.refresh = true;
  assert_false(submit(&refreshing));
  ask(trial, &ordinary, "d.test", DEPTH_ADDRESSES); /* the addresses are not known */
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(refreshing.answers, 1);
  assert_int_equal(refreshing.verdict, VERDICT_DNS_SERVFAIL);
  assert_int_equal(ordinary.answers, 0);
  deliver_host(trial, "a.test", 300);
  assert_int_equal(ordinary.answers, 1);
  assert_int_equal(ordinary.verdict, VERDICT_ROUTE);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 2);
  check_holds_are_gone(&client);
}

static void a_failure_replaces_facts_that_expire_while_they_are_refreshed(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(1, 10, "a.test"));
  prepare(trial, &client, "d.test", DEPTH_EXCHANGES);
  client.question.refresh = true;
  assert_false(submit(&client));
  trial->now_ms += 1000;
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_DNS_SERVFAIL);
}

static void a_failure_may_replace_a_failure(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  prepare(trial, &client, "d.test", DEPTH_EXCHANGES);
  client.question.refresh = true;
  assert_false(submit(&client));
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_REFUSED));
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_DNS_REFUSED);
}

static void a_denial_replaces_good_facts(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  prepare(trial, &client, "d.test", DEPTH_EXCHANGES);
  client.question.refresh = true;
  assert_false(submit(&client));
  deliver(trial, "d.test", DNSMSG_MX, fake_denial(DNSMSG_NXDOMAIN, 60));
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_NO_SUCH_DOMAIN);
}

/* ---- configured routes ---- */

/* Exchanges a.test and b.test, kept by the cache as those of a configured route. */
static const struct exchange_set *pin_two(struct trial *trial) {
  static struct domain_value value;
  value.count = 2;
  value.exchanges[0] = (struct exchange_value){.preference = 10, .host = "a.test", .port = 26};
  value.exchanges[1] = (struct exchange_value){.preference = 20, .host = "b.test"};
  const struct exchange_set *set = cache_pin(trial->cache, &value);
  assert_non_null(set);
  return set;
}

/* Facts of a configured route for d.test, for free(). */
static struct domain_facts *pinned_facts(const struct trial *trial, const struct exchange_set *set) {
  struct domain_facts *facts = calloc(1, sizeof(*facts) + 6);
  assert_non_null(facts);
  *facts = (struct domain_facts){.set = set,
                                 .stored_at_ms = trial->now_ms,
                                 .expires_at_ms = trial->now_ms + 60000,
                                 .kind = DOMAIN_ROUTE,
                                 .name_length = 6};
  memcpy(facts->text, "d.test", 6);
  return facts;
}

static bool ask_pinned(struct trial *trial, struct client *client, const struct domain_facts *facts,
                       bool refresh) {
  prepare(trial, client, "d.test", DEPTH_ADDRESSES);
  client->question.pinned = facts;
  client->question.refresh = refresh;
  return submit(client);
}

static void check_pinned(const struct client *client) {
  assert_int_equal(client->answers, 1);
  assert_int_equal(client->verdict, VERDICT_ROUTE);
  assert_string_equal(client->canonical, "d.test");
  assert_int_equal(client->count, 2);
  assert_string_equal(client->exchanges[0].host, "a.test");
  assert_int_equal(client->exchanges[0].status, STATUS_OK);
  assert_int_equal(client->exchanges[1].status, STATUS_OK);
}

static void a_configured_route_asks_for_addresses_and_for_no_mx(void **state) {
  struct trial *trial = *state;
  static struct client first, second;
  const struct exchange_set *set = pin_two(trial);
  struct domain_facts *facts = pinned_facts(trial, set), *others = pinned_facts(trial, set);
  assert_false(ask_pinned(trial, &first, facts, false));
  assert_false(ask_pinned(trial, &second, others, false));
  assert_int_equal(trial->dns->asked_count, 4);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 0);
  deliver_host(trial, "a.test", 300);
  deliver_host(trial, "b.test", 300);
  check_pinned(&first);
  check_pinned(&second);
  assert_true(ask_pinned(trial, &first, facts, false));
  check_pinned(&first);
  assert_int_equal(cache_count(trial->cache), 0); /* nothing about the domain is remembered */
  free(facts);
  free(others);
  cache_unpin(trial->cache, set);
  assert_int_equal(cache_set_count(trial->cache), 0);
}

static void a_configured_route_and_the_domain_itself_do_not_meet(void **state) {
  struct trial *trial = *state;
  static struct client pinned, ordinary;
  const struct exchange_set *set = pin_two(trial);
  struct domain_facts *facts = pinned_facts(trial, set);
  assert_false(ask_pinned(trial, &pinned, facts, false));
  ask(trial, &ordinary, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1);
  deliver_host(trial, "a.test", 300);
  deliver_host(trial, "b.test", 300);
  check_pinned(&pinned);
  assert_int_equal(ordinary.answers, 0);
  deliver(trial, "d.test", DNSMSG_MX, fake_denial(DNSMSG_NXDOMAIN, 60));
  assert_int_equal(ordinary.verdict, VERDICT_NO_SUCH_DOMAIN);
  assert_true(ask_pinned(trial, &pinned, facts, false)); /* though the cache says NXDOMAIN */
  check_pinned(&pinned);
  free(facts);
  cache_unpin(trial->cache, set);
}

static void a_refresh_of_a_configured_route_asks_for_its_addresses_anew(void **state) {
  struct trial *trial = *state;
  static struct client client, ordinary;
  const struct exchange_set *set = pin_two(trial);
  struct domain_facts *facts = pinned_facts(trial, set);
  assert_false(ask_pinned(trial, &client, facts, false));
  deliver_host(trial, "b.test", 300);
  assert_false(ask_pinned(trial, &ordinary, facts, true));
  assert_int_equal(trial->dns->asked_count, 6); /* b.test again; a.test is being asked for */
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 0);
  deliver_host(trial, "a.test", 300);
  check_pinned(&client);
  assert_int_equal(ordinary.answers, 0);
  deliver_host(trial, "b.test", 300);
  check_pinned(&ordinary);
  free(facts);
  cache_unpin(trial->cache, set);
}

static void a_configured_route_outlives_who_asked_with_it(void **state) {
  struct trial *trial = *state;
  static struct client client;
  const struct exchange_set *set = pin_two(trial);
  struct domain_facts *facts = pinned_facts(trial, set);
  prepare(trial, &client, "d.test", DEPTH_ADDRESSES);
  client.question.pinned = facts;
  client.question.timeout_ms = 100;
  assert_false(submit(&client));
  run_at(trial, START_MS + 100);
  assert_int_equal(client.verdict, VERDICT_DEADLINE);
  free(facts);
  deliver_host(trial, "a.test", 300);
  deliver_host(trial, "b.test", 300);
  facts = pinned_facts(trial, set);
  assert_true(ask_pinned(trial, &client, facts, false));
  check_pinned(&client);
  free(facts);
  cache_unpin(trial->cache, set);
}

static void a_configured_route_that_cannot_ask_says_so(void **state) {
  struct trial *trial = *state;
  static struct client client;
  const struct exchange_set *set = pin_two(trial);
  struct domain_facts *facts = pinned_facts(trial, set);
  prepare(trial, &client, "d.test", DEPTH_ADDRESSES);
  client.question.pinned = facts;
  client.question.cache_only = true;
  assert_true(submit(&client));
  assert_int_equal(client.verdict, VERDICT_NOT_CACHED);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  assert_true(ask_pinned(trial, &client, facts, false));
  assert_int_equal(client.verdict, VERDICT_OVERLOAD);
  resolver_stop(trial->resolver, trial->now_ms);
  assert_true(ask_pinned(trial, &client, facts, false));
  assert_int_equal(client.verdict, VERDICT_SHUTDOWN);
  free(facts);
  cache_unpin(trial->cache, set);
}

static void a_configured_route_ends_at_the_lookup_deadline_with_what_is_known(void **state) {
  struct trial *trial = *state;
  static struct client client;
  const struct exchange_set *set = pin_two(trial);
  struct domain_facts *facts = pinned_facts(trial, set);
  assert_false(ask_pinned(trial, &client, facts, false));
  deliver_host(trial, "b.test", 300);
  run_at(trial, START_MS + DEADLINE_MS);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_int_equal(client.exchanges[0].status, STATUS_TEMPFAIL);
  assert_int_equal(client.exchanges[1].status, STATUS_OK);
  free(facts);
  cache_unpin(trial->cache, set);
}

/* ---- cache only ---- */

static void cache_only_asks_nobody(void **state) {
  struct trial *trial = *state;
  static struct client client;
  for (int step = 0; step < 3; step++) {
    for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++) {
      size_t asked_count = trial->dns->asked_count;
      prepare(trial, &client, "d.test", depth);
      client.question.cache_only = true;
      assert_true(submit(&client));
      bool is_known = step == 2 || (step == 1 && depth == DEPTH_EXCHANGES);
      assert_int_equal(client.verdict, is_known ? VERDICT_ROUTE : VERDICT_NOT_CACHED);
      assert_int_equal(client.has_facts, is_known);
      assert_int_equal(trial->dns->asked_count, asked_count);
    }
    if (step == 2)
      break;
    ask(trial, &client, "d.test", step == 0 ? DEPTH_EXCHANGES : DEPTH_ADDRESSES);
    if (step == 0)
      deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
    else
      deliver_host(trial, "a.test", 300);
  }
}

static void cache_only_joins_no_flight(void **state) {
  struct trial *trial = *state;
  static struct client first, second;
  ask(trial, &first, "d.test", DEPTH_EXCHANGES);
  prepare(trial, &second, "d.test", DEPTH_EXCHANGES);
  second.question.cache_only = true;
  assert_true(submit(&second));
  assert_int_equal(second.verdict, VERDICT_NOT_CACHED);
}

/* ---- time ---- */

static void a_question_ends_at_its_deadline_and_the_flight_fills_the_cache(void **state) {
  struct trial *trial = *state;
  static struct client hasty, patient;
  uint64_t late = counted(STATS_LOOKUPS_DEADLINE);
  prepare(trial, &hasty, "d.test", DEPTH_EXCHANGES);
  hasty.question.timeout_ms = 200;
  assert_false(submit(&hasty));
  assert_int_equal(resolver_next_ms(trial->resolver), START_MS + 200);
  run_at(trial, START_MS + 199);
  assert_int_equal(hasty.answers, 0);
  run_at(trial, START_MS + 200);
  assert_int_equal(hasty.answers, 1);
  assert_int_equal(hasty.verdict, VERDICT_DEADLINE);
  assert_false(hasty.has_facts);
  assert_int_equal(counted(STATS_LOOKUPS_DEADLINE), late + 1);
  assert_int_equal(resolver_next_ms(trial->resolver), START_MS + DEADLINE_MS);
  assert_int_equal(trial->dns->open_count, 1);
  trial->now_ms += 100;
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(hasty.answers, 1);
  ask_known(trial, &patient, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(patient.verdict, VERDICT_ROUTE);
  assert_true(resolver_next_ms(trial->resolver) == INT64_MAX);
}

static void a_lookup_of_addresses_goes_on_to_them_though_nobody_waits(void **state) {
  struct trial *trial = *state;
  static struct client hasty, patient;
  prepare(trial, &hasty, "d.test", DEPTH_ADDRESSES);
  hasty.question.timeout_ms = 200;
  assert_false(submit(&hasty));
  run_at(trial, START_MS + 200);
  assert_int_equal(hasty.verdict, VERDICT_DEADLINE);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(trial->dns->open_count, 2);
  deliver_host(trial, "a.test", 300);
  ask_known(trial, &patient, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(patient.verdict, VERDICT_ROUTE);
  assert_int_equal(hasty.answers, 1);
}

static void a_lookup_of_exchanges_goes_no_further_when_nobody_waits(void **state) {
  struct trial *trial = *state;
  static struct client hasty;
  prepare(trial, &hasty, "d.test", DEPTH_EXCHANGES);
  hasty.question.timeout_ms = 200;
  assert_false(submit(&hasty));
  run_at(trial, START_MS + 200);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(trial->dns->asked_count, 1);
}

static void a_question_may_end_while_its_addresses_are_asked_for(void **state) {
  struct trial *trial = *state;
  static struct client hasty, patient, later;
  prepare(trial, &hasty, "d.test", DEPTH_ADDRESSES);
  hasty.question.timeout_ms = 200;
  assert_false(submit(&hasty));
  ask(trial, &patient, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  run_at(trial, START_MS + 200);
  assert_int_equal(hasty.verdict, VERDICT_DEADLINE);
  assert_int_equal(patient.answers, 0);
  deliver_host(trial, "a.test", 300);
  assert_int_equal(patient.verdict, VERDICT_ROUTE);
  assert_int_equal(hasty.answers, 1);
  ask_known(trial, &later, "d.test", DEPTH_ADDRESSES);
}

static void each_question_has_a_deadline_of_its_own(void **state) {
  struct trial *trial = *state;
  enum { COUNT = 50 };
  static struct client clients[COUNT];
  for (unsigned i = 0; i < COUNT; i++) {
    prepare(trial, &clients[i], "d.test", i % 2);
    clients[i].question.timeout_ms = 100 + i * 37 % COUNT;
    assert_false(submit(&clients[i]));
  }
  for (int64_t now_ms = START_MS; now_ms < START_MS + 200; now_ms++)
    run_at(trial, now_ms);
  for (unsigned i = 0; i < COUNT; i++) {
    assert_int_equal(clients[i].answers, 1);
    assert_int_equal(clients[i].verdict, VERDICT_DEADLINE);
    assert_int_equal(clients[i].answered_ms, START_MS + 100 + i * 37 % COUNT);
  }
  assert_int_equal(trial->dns->asked_count, 1);
}

static void a_flight_ends_at_the_lookup_deadline_and_its_silence_is_remembered(void **state) {
  struct trial *trial = *state;
  static const uint32_t timeouts_ms[] = {0, DEADLINE_MS, 60000};
  for (size_t i = 0; i < 3; i++) {
    static struct client client;
    char name[16];
    int64_t start_ms = trial->now_ms;
    snprintf(name, sizeof(name), "d%zu.test", i);
    prepare(trial, &client, name, DEPTH_ADDRESSES);
    client.question.timeout_ms = timeouts_ms[i];
    assert_false(submit(&client));
    assert_int_equal(trial->dns->asked_count, i + 1);
    assert_int_equal(resolver_next_ms(trial->resolver), start_ms + DEADLINE_MS);
    run_at(trial, start_ms + DEADLINE_MS - 1);
    assert_int_equal(client.answers, 0);
    run_at(trial, start_ms + DEADLINE_MS);
    assert_int_equal(client.answers, 1);
    assert_int_equal(client.verdict, VERDICT_DNS_TIMEOUT);
    assert_int_equal(trial->dns->open_count, 0);
    assert_int_equal(trial->dns->cancelled_count, i + 1);
    assert_true(resolver_next_ms(trial->resolver) == INT64_MAX);
    ask_known(trial, &client, name, DEPTH_ADDRESSES);
    assert_int_equal(client.verdict, VERDICT_DNS_TIMEOUT);
    assert_int_equal(client.ttl_s, FAILURE_S);
  }
}

static void a_query_that_never_went_out_by_the_deadline_is_overload_and_not_remembered(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  fake_dns_find(trial->dns, "d.test", DNSMSG_MX)->is_waiting = true;
  run_at(trial, START_MS + DEADLINE_MS);
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.verdict, VERDICT_OVERLOAD);
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
}

static void a_flight_that_ends_answers_what_is_known_of_its_hosts(void **state) {
  struct trial *trial = *state;
  static struct client client, later;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  trial->now_ms += 100;
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 1, 1)); /* its AAAA never comes */
  deliver_host(trial, "b.test", 0);                      /* held when it was asked for */
  assert_int_equal(client.answers, 0);
  run_at(trial, START_MS + DEADLINE_MS);
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_string_equal(client.exchanges[0].host, "a.test");
  assert_int_equal(client.exchanges[0].status, STATUS_TEMPFAIL);
  assert_int_equal(client.exchanges[1].status, STATUS_OK);
  /* The host's own flight goes on. */
  assert_int_equal(trial->dns->open_count, 1);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  assert_int_equal(client.answers, 1);
  ask(trial, &later, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->open_count, 2); /* b.test alone */
  deliver_host(trial, "b.test", 300);
  assert_int_equal(later.exchanges[0].status, STATUS_OK);
}

static void a_flight_that_ends_without_any_address_is_a_soft_failure(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  run_at(trial, START_MS + DEADLINE_MS);
  assert_int_equal(client.verdict, VERDICT_MX_HOSTS_TEMPFAIL);
  assert_int_equal(client.ttl_s, 0);
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1); /* the MX facts hold */
  assert_int_equal(trial->dns->of_type[DNSMSG_A], 2);  /* the hosts' flights are joined */
  deliver_host(trial, "a.test", 300);
  deliver_host(trial, "b.test", 300);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
}

static void a_refresh_that_is_too_slow_is_so_only_for_who_wanted_it(void **state) {
  struct trial *trial = *state;
  static struct client client, ordinary, refreshing;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  deliver_host(trial, "a.test", 300);
  deliver_host(trial, "b.test", 0);
  assert_int_equal(client.answers, 1);
  trial->now_ms += 10;
  ask(trial, &ordinary, "d.test", DEPTH_ADDRESSES); /* b.test is missing */
  prepare(trial, &refreshing, "d.test", DEPTH_ADDRESSES);
  refreshing.question.refresh = true;
  assert_false(submit(&refreshing));
  run_at(trial, START_MS + 10 + DEADLINE_MS);
  assert_int_equal(refreshing.verdict, VERDICT_DNS_TIMEOUT);
  assert_int_equal(ordinary.verdict, VERDICT_ROUTE);
  assert_int_equal(ordinary.exchanges[0].status, STATUS_OK);
  assert_int_equal(ordinary.exchanges[1].status, STATUS_TEMPFAIL);
  deliver_host(trial, "b.test", 300); /* its own flight goes on */
  check_holds_are_gone(&client);
}

static void a_question_that_joins_late_ends_with_its_flight(void **state) {
  struct trial *trial = *state;
  static struct client first, late;
  ask(trial, &first, "d.test", DEPTH_EXCHANGES);
  trial->now_ms += DEADLINE_MS - 10;
  prepare(trial, &late, "d.test", DEPTH_EXCHANGES);
  late.question.timeout_ms = 100;
  assert_false(submit(&late));
  run_at(trial, START_MS + DEADLINE_MS);
  assert_int_equal(first.answers, 1);
  assert_int_equal(late.answers, 1);
  assert_int_equal(late.verdict, VERDICT_DNS_TIMEOUT);
  run_at(trial, START_MS + DEADLINE_MS + 90);
  assert_int_equal(late.answers, 1);
}

static void the_next_deadline_is_that_of_the_earliest(void **state) {
  struct trial *trial = *state;
  static struct client first, second;
  assert_true(resolver_next_ms(trial->resolver) == INT64_MAX);
  ask(trial, &first, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(resolver_next_ms(trial->resolver), START_MS + DEADLINE_MS);
  trial->now_ms += 4000;
  prepare(trial, &second, "e.test", DEPTH_EXCHANGES);
  second.question.timeout_ms = 300;
  assert_false(submit(&second));
  assert_int_equal(resolver_next_ms(trial->resolver), START_MS + 4300);
  deliver(trial, "e.test", DNSMSG_MX, two_mx(300));
  assert_int_equal(resolver_next_ms(trial->resolver), START_MS + DEADLINE_MS);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  assert_true(resolver_next_ms(trial->resolver) == INT64_MAX);
}

/* ---- questions that are taken back ---- */

/* Takes a pending question back; it is never answered. */
static void take_back(struct trial *trial, struct client *client) {
  assert_true(resolver_leave(trial->resolver, &client->question));
  assert_false(resolver_leave(trial->resolver, &client->question));
  assert_int_equal(client->answers, 0);
  memset(&client->question, 0x5a, sizeof(client->question)); /* the caller's again */
}

static void a_question_taken_back_is_not_answered_and_the_flight_fills_the_cache(void **state) {
  struct trial *trial = *state;
  static struct client gone, later;
  ask(trial, &gone, "d.test", DEPTH_ADDRESSES);
  take_back(trial, &gone);
  assert_int_equal(trial->dns->open_count, 1);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver_host(trial, "a.test", 300); /* which he had wanted */
  ask_known(trial, &later, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(later.verdict, VERDICT_ROUTE);
  assert_int_equal(gone.answers, 0);
}

static void any_of_several_questions_can_be_taken_back(void **state) {
  struct trial *trial = *state;
  static struct client clients[3];
  for (unsigned left = 0; left < 8; left++) { /* a bit for each that goes */
    for (unsigned i = 0; i < 3; i++) {
      prepare(trial, &clients[i], "d.test", i % 2);
      clients[i].question.refresh = true;
      assert_false(submit(&clients[i]));
    }
    for (unsigned i = 0; i < 3; i++)
      if (left >> i & 1)
        take_back(trial, &clients[i]);
    deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
    deliver_host(trial, "a.test", 300);
    for (unsigned i = 0; i < 3; i++)
      assert_int_equal(clients[i].answers, !(left >> i & 1));
    assert_true(resolver_next_ms(trial->resolver) == INT64_MAX);
  }
}

static void a_question_that_is_not_pending_cannot_be_taken_back(void **state) {
  struct trial *trial = *state;
  static struct client client;
  memset(&client, 0, sizeof(client));
  assert_false(resolver_leave(trial->resolver, &client.question)); /* never asked */
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_false(resolver_leave(trial->resolver, &client.question));
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_false(resolver_leave(trial->resolver, &client.question));
}

static void the_deadline_of_a_question_goes_with_it(void **state) {
  struct trial *trial = *state;
  static struct client gone, patient;
  uint64_t late = counted(STATS_LOOKUPS_DEADLINE);
  prepare(trial, &gone, "d.test", DEPTH_EXCHANGES);
  gone.question.timeout_ms = 100;
  assert_false(submit(&gone));
  prepare(trial, &patient, "d.test", DEPTH_EXCHANGES);
  patient.question.timeout_ms = 200;
  assert_false(submit(&patient));
  assert_int_equal(resolver_next_ms(trial->resolver), START_MS + 100);
  take_back(trial, &gone);
  assert_int_equal(resolver_next_ms(trial->resolver), START_MS + 200);
  run_at(trial, START_MS + 100);
  assert_int_equal(counted(STATS_LOOKUPS_DEADLINE), late);
  run_at(trial, START_MS + 200);
  assert_int_equal(patient.verdict, VERDICT_DEADLINE);
  assert_int_equal(counted(STATS_LOOKUPS_DEADLINE), late + 1);
}

static void a_question_may_be_taken_back_while_its_addresses_are_asked_for(void **state) {
  struct trial *trial = *state;
  static struct client gone, patient, later;
  ask(trial, &gone, "d.test", DEPTH_ADDRESSES);
  ask(trial, &patient, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  deliver_host(trial, "a.test", 300);
  take_back(trial, &gone);
  take_back(trial, &patient);
  assert_int_equal(trial->dns->open_count, 2);
  assert_int_equal(trial->dns->cancelled_count, 0);
  deliver_host(trial, "b.test", 300);
  ask_known(trial, &later, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(later.verdict, VERDICT_ROUTE);
}

static void a_flight_that_nobody_waits_for_can_be_joined_and_ends_at_its_deadline(void **state) {
  struct trial *trial = *state;
  static struct client gone, late;
  ask(trial, &gone, "d.test", DEPTH_EXCHANGES);
  take_back(trial, &gone);
  trial->now_ms += 1000;
  ask(trial, &late, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(trial->dns->asked_count, 1);
  run_at(trial, START_MS + DEADLINE_MS);
  assert_int_equal(late.verdict, VERDICT_DNS_TIMEOUT);
  ask(trial, &gone, "e.test", DEPTH_EXCHANGES);
  take_back(trial, &gone);
  run_at(trial, trial->now_ms + DEADLINE_MS);
  assert_int_equal(trial->dns->open_count, 0);
  ask_known(trial, &late, "e.test", DEPTH_EXCHANGES);
  assert_int_equal(late.verdict, VERDICT_DNS_TIMEOUT);
}

static void a_refresh_that_is_taken_back_and_fails_leaves_good_facts(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  prepare(trial, &client, "d.test", DEPTH_ADDRESSES);
  client.question.refresh = true;
  assert_false(submit(&client));
  take_back(trial, &client);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(trial->dns->open_count, 0); /* nobody is left who wants addresses */
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  check_holds_are_gone(&client);
}

/* ---- stories ---- */

/* Prepares a question with a story, lent. */
static void prepare_told(struct trial *trial, struct client *client, const char *domain, enum depth depth,
                         struct story *story) {
  prepare(trial, client, domain, depth);
  client->question.story = story;
}

/* The lines of a story begin, in order, with the rules `rules`, and no more of them. */
static void check_rules(const struct story *story, const char *const rules[], size_t count) {
  for (size_t i = 0; i < story_count(story) && i < count; i++)
    assert_string_equal(story_line(story, i).rule, rules[i]);
  assert_int_equal(story_count(story), count);
}

static void a_lookup_tells_its_steps_in_order(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct story *story = story_create();
  prepare_told(trial, &client, "d.test", DEPTH_ADDRESSES, story);
  assert_false(submit(&client));
  assert_ptr_equal(fake_dns_find(trial->dns, "d.test", DNSMSG_MX)->story, story);
  struct dnsmsg message = two_mx(300);
  fake_add_mx(&message, 30, "a.test");
  deliver(trial, "d.test", DNSMSG_MX, fake_alias(DNSMSG_FOLLOW, 1, 60, "e.test"));
  deliver(trial, "e.test", DNSMSG_MX, message);
  assert_ptr_equal(fake_dns_find(trial->dns, "b.test", DNSMSG_AAAA)->story, story);
  deliver(trial, "b.test", DNSMSG_AAAA, fake_alias(DNSMSG_LOOP, 2, 60, "c.test"));
  static const char *const rules[] = {"", "V13, V14 (RFC 2181 10.1)", "V15", "T1 (RFC 2181 5.2), T2",
                                      "V13, V14"};
  check_rules(story, rules, 5);
  assert_string_equal(story_line(story, 0).text, "memory holds nothing about d.test");
  story_unref(story);
}

static void what_ends_badly_is_told(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct story *story = story_create();
  prepare_told(trial, &client, "d.test", DEPTH_EXCHANGES, story);
  assert_false(submit(&client));
  run_at(trial, START_MS + DEADLINE_MS);
  static const char *const rules[] = {"", "L1", "V10"};
  check_rules(story, rules, 3);
  assert_non_null(strstr(story_line(story, 1).text, "5000 ms"));
  assert_non_null(strstr(story_line(story, 2).text, "d.test ends with DNS_TIMEOUT"));
  story_unref(story);
}

static void a_refresh_that_fails_tells_that_the_facts_stay(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct story *story = story_create();
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  prepare_told(trial, &client, "d.test", DEPTH_EXCHANGES, story);
  client.question.refresh = true;
  assert_false(submit(&client));
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_REFUSED));
  static const char *const rules[] = {"T1, T9", "V10", "T5"};
  check_rules(story, rules, 3);
  story_unref(story);
}

static void the_story_of_who_has_gone_is_told_on_and_freed_with_the_flight(void **state) {
  struct trial *trial = *state;
  static struct client gone;
  struct story *story = story_create();
  prepare_told(trial, &gone, "d.test", DEPTH_ADDRESSES, story);
  assert_false(submit(&gone));
  take_back(trial, &gone);
  story_unref(story); /* as his request does; a sanitizer sees who tells a story that is gone */
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver(trial, "a.test", DNSMSG_A, fake_alias(DNSMSG_FOLLOW, 1, 60, "real.test"));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 60));
  assert_ptr_equal(fake_dns_find(trial->dns, "real.test", DNSMSG_A)->story, story);
  deliver(trial, "real.test", DNSMSG_A, fake_a(300, 1, 1));
}

static void a_story_outlives_the_flight_that_told_it(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct story *story = story_create();
  prepare_told(trial, &client, "d.test", DEPTH_EXCHANGES, story);
  assert_false(submit(&client));
  deliver(trial, "d.test", DNSMSG_MX, fake_denial(DNSMSG_NODATA, 60));
  assert_int_equal(client.answers, 1);
  story_add(story, "", "the end");
  assert_string_equal(story_line(story, story_count(story) - 1).text, "the end");
  story_unref(story);
}

static void who_joins_a_flight_is_told_so_and_the_first_is_told_the_rest(void **state) {
  struct trial *trial = *state;
  static struct client first, second;
  struct story *stories[] = {story_create(), story_create()};
  prepare_told(trial, &first, "d.test", DEPTH_EXCHANGES, stories[0]);
  assert_false(submit(&first));
  prepare_told(trial, &second, "d.test", DEPTH_EXCHANGES, stories[1]);
  assert_false(submit(&second));
  assert_true(second.question.has_joined && !first.question.has_joined);
  deliver(trial, "d.test", DNSMSG_MX, fake_denial(DNSMSG_NXDOMAIN, 60));
  static const char *const first_rules[] = {"", "T4 (RFC 2308 5)"}, *const second_rules[] = {"", "T8"};
  check_rules(stories[0], first_rules, 2);
  check_rules(stories[1], second_rules, 2);
  assert_non_null(strstr(story_line(stories[1], 1).text, "d.test is being looked up already"));
  story_unref(stories[0]);
  story_unref(stories[1]);
}

static void a_flight_without_a_story_tells_the_first_that_joins_with_one(void **state) {
  struct trial *trial = *state;
  static struct client silent, curious;
  struct story *story = story_create();
  ask(trial, &silent, "d.test", DEPTH_EXCHANGES);
  prepare_told(trial, &curious, "d.test", DEPTH_ADDRESSES, story);
  assert_false(submit(&curious));
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  static const char *const rules[] = {"", "T8", "T1 (RFC 2181 5.2), T2"};
  check_rules(story, rules, 3);
  assert_ptr_equal(fake_dns_find(trial->dns, "a.test", DNSMSG_A)->story, story);
  deliver_host(trial, "a.test", 300);
  story_unref(story);
}

static void who_sends_a_flight_back_for_the_mx_is_told_of_that_query(void **state) {
  struct trial *trial = *state;
  static struct client silent, curious;
  struct story *story = story_create();
  ask(trial, &silent, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  prepare_told(trial, &curious, "d.test", DEPTH_EXCHANGES, story);
  curious.question.refresh = true;
  assert_false(submit(&curious));
  assert_ptr_equal(fake_dns_find(trial->dns, "d.test", DNSMSG_MX)->story, story);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  story_unref(story);
}

static void an_answer_from_memory_tells_what_memory_held(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct story *story = story_create();
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver_host(trial, "a.test", 300);
  prepare_told(trial, &client, "d.test", DEPTH_ADDRESSES, story);
  assert_true(submit(&client));
  static const char *const rules[] = {"T1, T9", "T1"};
  check_rules(story, rules, 2);
  assert_string_equal(story_line(story, 1).text, "memory holds of a.test: 1 AAAA for 300 s; 1 A for 300 s");
  story_unref(story);
}

/* ---- too much to do, the end ---- */

static void a_query_that_is_refused_is_overload_at_once_and_not_remembered(void **state) {
  struct trial *trial = *state;
  static const int errors[] = {ERR_OVERLOAD, ERR_NOMEM};
  static struct client client;
  for (size_t i = 0; i < 2; i++) {
    uint64_t overload = counted(STATS_LOOKUPS_OVERLOAD);
    fake_dns_refuse_after(trial->dns, 0, errors[i]);
    prepare(trial, &client, "d.test", DEPTH_ADDRESSES);
    client.question.timeout_ms = 100; /* leaves nothing behind in the order of deadlines */
    assert_true(submit(&client));
    assert_int_equal(client.verdict, VERDICT_OVERLOAD);
    assert_false(client.has_facts);
    assert_int_equal(counted(STATS_LOOKUPS_OVERLOAD), overload + 1);
    assert_true(resolver_next_ms(trial->resolver) == INT64_MAX);
  }
  fake_dns_accept(trial->dns);
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->asked_count, 1);
}

static void who_joins_a_flight_under_way_is_not_refused(void **state) {
  struct trial *trial = *state;
  static struct client first, second;
  ask(trial, &first, "d.test", DEPTH_EXCHANGES);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  ask(trial, &second, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  assert_int_equal(first.verdict, VERDICT_ROUTE);
  assert_int_equal(second.verdict, VERDICT_ROUTE);
}

static void addresses_that_are_all_refused_are_overload(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  prepare(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(submit(&client));
  assert_int_equal(client.verdict, VERDICT_OVERLOAD);
  assert_true(resolver_next_ms(trial->resolver) == INT64_MAX);
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  fake_dns_accept(trial->dns);
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->open_count, 4);
}

static void addresses_that_are_refused_behind_the_mx_are_a_soft_failure(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.verdict, VERDICT_MX_HOSTS_TEMPFAIL);
  assert_int_equal(client.ttl_s, 0);
  fake_dns_accept(trial->dns);
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->open_count, 4);
}

static void addresses_of_which_some_are_refused_are_a_route(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  fake_dns_refuse_after(trial->dns, 2, ERR_OVERLOAD);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  assert_int_equal(client.answers, 0);
  deliver_host(trial, "a.test", 300);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_int_equal(client.exchanges[0].status, STATUS_OK);
  assert_int_equal(client.exchanges[1].status, STATUS_TEMPFAIL);
}

static void a_chain_that_is_refused_midway_is_overload_and_not_remembered(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  deliver(trial, "d.test", DNSMSG_MX, fake_alias(DNSMSG_FOLLOW, 1, 60, "e.test"));
  assert_int_equal(client.answers, 1);
  assert_int_equal(client.verdict, VERDICT_OVERLOAD);
  fake_dns_accept(trial->dns);
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
}

/* ---- stale answers ---- */

enum { MAX_STALE_S = 3600, STALE_AFTER_MS = 1800 };

static int open_stale_trial(void **state) {
  struct trial *trial = malloc(sizeof(*trial));
  assert_non_null(trial);
  struct resolver_options options = usual;
  options.learn.max_stale_ms = MAX_STALE_S * 1000;
  options.learn.ttl.prefetch_percent = 10;
  options.stale_after_ms = STALE_AFTER_MS;
  open_with(trial, &options, CACHE_BYTES);
  *state = trial;
  return 0;
}

/* d.test and its addresses are known, and have expired a second ago. */
static void let_expire(struct trial *trial) {
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver_host(trial, "a.test", 300);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  trial->now_ms += 301000;
}

static void assert_stale(const struct client *client) {
  assert_int_equal(client->answers, 1);
  assert_int_equal(client->verdict, VERDICT_ROUTE);
  assert_true(client->stale);
  assert_int_equal(client->ttl_s, ROUTE_STALE_TTL_S);
}

static void where_the_dns_fails_expired_records_are_answered_stale(void **state) {
  struct trial *trial = *state;
  static struct client client;
  let_expire(trial);
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(client.answers, 0); /* the addresses have expired too */
  fake_dns_fail(trial->dns, "a.test", DNSMSG_AAAA, DNS_TIMED_OUT, trial->now_ms);
  fake_dns_fail(trial->dns, "a.test", DNSMSG_A, DNS_TIMED_OUT, trial->now_ms);
  assert_stale(&client);
  assert_int_equal(client.exchanges[0].address_count, 2);
  for (int i = 0; i < 3; i++) { /* and for a minute nobody waits for the DNS */
    ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
    assert_stale(&client);
    trial->now_ms += 19000;
  }
}

static void a_fresh_address_beside_stale_records_is_answered(void **state) {
  struct trial *trial = *state;
  static struct client client;
  let_expire(trial);
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_REFUSED));
  deliver_host(trial, "a.test", 300);
  assert_stale(&client);
  assert_int_equal(client.mx_ttl_s, ROUTE_STALE_TTL_S);
}

static void who_wants_no_stale_answer_is_told_of_the_failure_once_asked_for(void **state) {
  struct trial *trial = *state;
  static struct client client, strict;
  let_expire(trial);
  prepare(trial, &strict, "d.test", DEPTH_EXCHANGES);
  strict.question.no_stale = true;
  assert_false(submit(&strict));
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_REFUSED));
  assert_int_equal(strict.verdict, VERDICT_DNS_REFUSED);
  assert_stale(&client);
  /* The failure is remembered for him, too (RFC 9520). */
  prepare(trial, &strict, "d.test", DEPTH_EXCHANGES);
  strict.question.no_stale = true;
  trial->now_ms += LEARN_RECHECK_MS - 1;
  assert_true(submit(&strict));
  assert_int_equal(strict.verdict, VERDICT_DNS_REFUSED);
  assert_true(strict.from_memory);
  trial->now_ms += 1;
  prepare(trial, &strict, "d.test", DEPTH_EXCHANGES);
  strict.question.no_stale = true;
  assert_false(submit(&strict));
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "b.test"));
  assert_false(strict.stale);
  assert_int_equal(strict.verdict, VERDICT_ROUTE);
}

static void where_the_dns_is_late_expired_records_are_answered_and_the_lookup_goes_on(void **state) {
  struct trial *trial = *state;
  static struct client client, later;
  let_expire(trial);
  int64_t asked_ms = trial->now_ms;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(resolver_next_ms(trial->resolver), asked_ms + STALE_AFTER_MS);
  run_at(trial, asked_ms + STALE_AFTER_MS - 1);
  assert_int_equal(client.answers, 0);
  run_at(trial, asked_ms + STALE_AFTER_MS);
  assert_stale(&client);
  ask_known(trial, &later, "d.test", DEPTH_ADDRESSES); /* nobody else waits for that */
  assert_stale(&later);
  assert_int_equal(trial->dns->open_count, 1);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "b.test"));
  ask_known(trial, &later, "d.test", DEPTH_EXCHANGES);
  assert_false(later.stale);
  assert_string_equal(later.exchanges[0].host, "b.test");
  deliver_host(trial, "b.test", 300);
}

static void where_the_dns_is_known_to_be_down_nobody_waits_long(void **state) {
  struct trial *trial = *state;
  static struct client client;
  let_expire(trial);
  trial->dns->is_down = true;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(resolver_next_ms(trial->resolver), trial->now_ms + RESOLVER_STALE_DOWN_MS);
  run_at(trial, trial->now_ms + RESOLVER_STALE_DOWN_MS);
  assert_stale(&client);
  assert_true(fake_dns_is_asked(trial->dns, "d.test", DNSMSG_MX)); /* it may be back */
}

static void a_question_of_little_patience_is_answered_stale_at_its_deadline(void **state) {
  struct trial *trial = *state;
  static struct client client;
  let_expire(trial);
  prepare(trial, &client, "d.test", DEPTH_EXCHANGES);
  client.question.timeout_ms = 200;
  assert_false(submit(&client));
  run_at(trial, trial->now_ms + 200);
  assert_stale(&client);
}

static void addresses_alone_may_be_stale(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(3000, 10, "a.test"));
  deliver_host(trial, "a.test", 300);
  trial->now_ms += 301000;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_reply(DNSMSG_SERVFAIL));
  deliver(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL));
  assert_stale(&client);
  assert_int_equal(client.mx_ttl_s, 3000 - 301);
  /* Late is the same as failing. */
  trial->now_ms += LEARN_STALE_MS;
  int64_t asked_ms = trial->now_ms;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  run_at(trial, asked_ms + STALE_AFTER_MS);
  assert_stale(&client);
}

static void too_much_to_do_is_answered_stale_rather_than_refused(void **state) {
  struct trial *trial = *state;
  static struct client client;
  let_expire(trial);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  prepare(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(submit(&client));
  assert_stale(&client);
}

static void a_denial_replaces_stale_facts_at_once(void **state) {
  struct trial *trial = *state;
  static struct client client;
  let_expire(trial);
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_denial(DNSMSG_NXDOMAIN, 60));
  assert_int_equal(client.verdict, VERDICT_NO_SUCH_DOMAIN);
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_NO_SUCH_DOMAIN);
}

static void what_expired_too_long_ago_is_not_answered(void **state) {
  struct trial *trial = *state;
  static struct client client;
  let_expire(trial);
  trial->now_ms += MAX_STALE_S * 1000 - 1000; /* it expired a second before */
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(client.verdict, VERDICT_DNS_SERVFAIL);
}

static void a_denial_of_the_name_and_a_ttl_of_0_are_never_stale(void **state) {
  struct trial *trial = *state;
  static struct client client;
  static const char *const names[] = {"x.test", "z.test"};
  for (int i = 0; i < 2; i++) {
    ask(trial, &client, names[i], DEPTH_EXCHANGES);
    deliver(trial, names[i], DNSMSG_MX, i ? fake_mx(0, 10, "a.test") : fake_denial(DNSMSG_NXDOMAIN, 60));
    trial->now_ms += 61000;
    ask(trial, &client, names[i], DEPTH_EXCHANGES);
    deliver(trial, names[i], DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
    assert_int_equal(client.verdict, VERDICT_DNS_SERVFAIL);
  }
}

static void a_domain_that_is_its_own_exchange_is_answered_stale(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "y.test", DEPTH_ADDRESSES);
  deliver(trial, "y.test", DNSMSG_MX, fake_denial(DNSMSG_NODATA, 60));
  deliver_host(trial, "y.test", 300);
  trial->now_ms += 301000;
  ask(trial, &client, "y.test", DEPTH_ADDRESSES);
  deliver(trial, "y.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  fake_dns_fail(trial->dns, "y.test", DNSMSG_AAAA, DNS_TIMED_OUT, trial->now_ms);
  fake_dns_fail(trial->dns, "y.test", DNSMSG_A, DNS_TIMED_OUT, trial->now_ms);
  assert_stale(&client);
  assert_true(client.implicit);
  assert_int_equal(client.exchanges[0].address_count, 2);
}

/* ---- refreshing ahead ---- */

static void refresh(struct trial *trial, const char *domain, enum depth depth) {
  static struct client client;
  prepare(trial, &client, domain, depth);
  resolver_refresh(trial->resolver, &client.question.name, client.question.hash, depth, trial->now_ms);
}

static void a_refresh_asks_for_what_is_due_and_only_once_at_a_time(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver_host(trial, "a.test", 3000);
  refresh(trial, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->open_count, 0); /* nothing is due */
  trial->now_ms += 286000;                     /* beyond 95 % of its life */
  refresh(trial, "d.test", DEPTH_ADDRESSES);
  refresh(trial, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->open_count, 1);
  assert_int_equal(fake_dns_find(trial->dns, "d.test", DNSMSG_MX)->priority, DNS_FOR_PREFETCH);
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES); /* nobody is delayed */
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(trial->dns->open_count, 0); /* the addresses were not due */
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(client.mx_ttl_s, 300);
}

static void a_refresh_of_addresses_leaves_the_mx_alone(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(3000, 10, "a.test"));
  deliver_host(trial, "a.test", 300);
  trial->now_ms += 286000;
  refresh(trial, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1);
  assert_int_equal(trial->dns->open_count, 2);
  deliver_host(trial, "a.test", 300);
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(client.ttl_s, 300);
}

static void who_joins_a_refresh_makes_it_urgent(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  trial->now_ms += 299000;
  refresh(trial, "d.test", DEPTH_EXCHANGES);
  trial->now_ms += 2000; /* now it has expired */
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(trial->dns->open_count, 1);
  assert_int_equal(fake_dns_find(trial->dns, "d.test", DNSMSG_MX)->priority, DNS_FOR_CLIENT);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(client.answers, 1);
}

static void a_refresh_that_cannot_be_asked_or_fails_leaves_everything_as_it_was(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  trial->now_ms += 299000;
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  refresh(trial, "d.test", DEPTH_EXCHANGES);
  fake_dns_accept(trial->dns);
  refresh(trial, "d.test", DEPTH_EXCHANGES);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_int_equal(client.ttl_s, 1);
  refresh(trial, "nobody.test", DEPTH_EXCHANGES);
  assert_int_equal(trial->dns->open_count, 0);
}

static void stopping_answers_all_and_refuses_what_comes(void **state) {
  struct trial *trial = *state;
  static struct client known, first, second, later;
  ask(trial, &known, "known.test", DEPTH_EXCHANGES);
  deliver(trial, "known.test", DNSMSG_MX, two_mx(300));
  ask(trial, &first, "d.test", DEPTH_EXCHANGES);
  prepare(trial, &second, "known.test", DEPTH_ADDRESSES);
  second.question.timeout_ms = 100;
  assert_false(submit(&second));
  resolver_stop(trial->resolver, trial->now_ms);
  assert_int_equal(first.verdict, VERDICT_SHUTDOWN);
  assert_int_equal(second.verdict, VERDICT_SHUTDOWN);
  assert_int_equal(first.answers + second.answers, 2);
  assert_false(fake_dns_is_asked(trial->dns, "d.test", DNSMSG_MX));
  assert_true(resolver_next_ms(trial->resolver) == INT64_MAX);
  ask_known(trial, &later, "e.test", DEPTH_EXCHANGES);
  assert_int_equal(later.verdict, VERDICT_SHUTDOWN);
  ask_known(trial, &later, "known.test", DEPTH_EXCHANGES);
  assert_int_equal(later.verdict, VERDICT_SHUTDOWN);
  resolver_stop(trial->resolver, trial->now_ms);
  run_at(trial, trial->now_ms + 100000);
}

static void destroying_takes_back_flights_of_both_stages_and_answers_nobody(void **state) {
  (void)state;
  struct trial trial;
  static struct client clients[6];
  open_with(&trial, &usual, CACHE_BYTES);
  ask(&trial, &clients[0], "d.test", DEPTH_ADDRESSES);
  ask(&trial, &clients[1], "e.test", DEPTH_ADDRESSES);
  prepare(&trial, &clients[2], "e.test", DEPTH_ADDRESSES);
  clients[2].question.timeout_ms = 100;
  assert_false(submit(&clients[2]));
  ask(&trial, &clients[3], "f.test", DEPTH_EXCHANGES);
  deliver(&trial, "f.test", DNSMSG_MX, fake_alias(DNSMSG_FOLLOW, 1, 60, "g.test"));
  deliver(&trial, "e.test", DNSMSG_MX, two_mx(0));
  ask(&trial, &clients[4], "h.test", DEPTH_ADDRESSES);
  deliver(&trial, "h.test", DNSMSG_MX, two_mx(300)); /* waits for the same hosts */
  prepare(&trial, &clients[5], "i.test", DEPTH_ADDRESSES);
  clients[5].question.timeout_ms = 50; /* a flight nobody waits for */
  assert_false(submit(&clients[5]));
  run_at(&trial, START_MS + 50);
  deliver(&trial, "a.test", DNSMSG_A, fake_a(300, 1, 1));
  close_it(&trial);
  for (unsigned i = 0; i < 6; i++)
    assert_int_equal(clients[i].answers, i == 5);
}

static void a_domain_that_is_purged_while_it_is_looked_up_is_still_answered(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  assert_true(cache_remove(trial->cache, "d.test", 6, client.question.hash));
  deliver_host(trial, "a.test", 300);
  deliver_host(trial, "b.test", 300);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_int_equal(client.count, 2);
  assert_int_equal(cache_host_count(trial->cache), 0); /* nobody holds them any more */
}

/* ---- anything in any order ---- */

enum { PENDING_MAX = 64, SEEN_MAX = 900, NAME_OCTETS = 240, LIFE_MS = 90000 };

/* What a game is about. */
struct rules {
  size_t cache_bytes;
  unsigned domains, hosts, steps;
  unsigned bad_luck; /* one of so many puts evicts all that may be evicted; 0: none */
  bool is_long;   /* names of many lengths, of which others are asked for as time goes by; and stale answers,
                   * refreshes, purges */
  bool has_store; /* a shared one that does what it likes */
};

struct play {
  struct trial trial;
  const struct rules *rules;
  unsigned step;
  struct random random;
  size_t asked, taken_back;
  struct client *pending[PENDING_MAX]; /* questions; NULL: has been answered */
  size_t pending_count;
  struct purge purge;
  struct {
    const struct domain_facts *facts;
    int64_t stored_at_ms, until_ms;
  } seen[SEEN_MAX]; /* of each domain */
  unsigned moved_count, stale_count;
};

static unsigned below(struct play *play, unsigned bound) { return random_below(&play->random, bound); }

/* The game under way, for the cache. */
static struct play *playing;

/* With bad luck a put evicts everything but what it put: whoever holds no facts must have no more use for
 * them. */
static void evict_all(const struct domain_facts *spared) {
  struct play *play = playing;
  if (!play || play->rules->bad_luck == 0 || below(play, play->rules->bad_luck) > 0)
    return;
  struct cache_walk walk;
  const struct domain_facts *facts;
  cache_walk_start(&walk, play->trial.cache);
  while ((facts = cache_walk_next(&walk)))
    if (facts != spared)
      cache_remove_facts(play->trial.cache, facts);
  cache_walk_stop(&walk);
  cache_sweep(play->trial.cache, play->trial.now_ms, 0); /* frees */
}

const struct domain_facts *__real_cache_put(struct cache *cache, const char *name, size_t length,
                                            uint64_t hash, const struct domain_value *value);
void __real_cache_put_host(struct cache *cache, struct host *host, struct host_facts *facts, int64_t now_ms);
const struct domain_facts *__wrap_cache_put(struct cache *cache, const char *name, size_t length,
                                            uint64_t hash, const struct domain_value *value);
void __wrap_cache_put_host(struct cache *cache, struct host *host, struct host_facts *facts, int64_t now_ms);

/* The linker gives these to the rooms in the place of the cache's (--wrap). */
const struct domain_facts *__wrap_cache_put(struct cache *cache, const char *name, size_t length,
                                            uint64_t hash, const struct domain_value *value) {
  const struct domain_facts *facts = __real_cache_put(cache, name, length, hash, value);
  evict_all(facts);
  return facts;
}

void __wrap_cache_put_host(struct cache *cache, struct host *host, struct host_facts *facts, int64_t now_ms) {
  __real_cache_put_host(cache, host, facts, now_ms);
  evict_all(NULL);
}

/* Writes the name of domain `number`, which in a long game has one of three lengths. Returns its length. */
static size_t write_domain(const struct play *play, char name[NAME_OCTETS], unsigned number) {
  static const char label[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
  unsigned more = play->rules->is_long ? number / 100 % 3 : 0;
  return (size_t)snprintf(name, NAME_OCTETS, "d%03u%s%s%s%s.test", number, more > 0 ? "." : "",
                          more > 0 ? label : "", more > 1 ? "." : "", more > 1 ? label : "");
}

/* In a long game mostly one of 200 that follow each other, and these change. */
static size_t some_domain(struct play *play, char name[NAME_OCTETS]) {
  unsigned domains = play->rules->domains, number = below(play, domains);
  if (play->rules->is_long && below(play, 4) > 0)
    number = (play->step / 20 + below(play, 200)) % domains;
  return write_domain(play, name, number);
}

static const char *some_host(struct play *play) {
  static char host[32];
  switch (below(play, 10)) {
  case 0:
    return "192.0.2.9";
  case 1:
    return ""; /* the root */
  default:
    snprintf(host, sizeof(host), "h%u.test", below(play, play->rules->hosts));
    return host;
  }
}

static uint32_t some_ttl(struct play *play) {
  static const uint32_t ttls_s[] = {0, 0, 1, 5, 60, 100000};
  return ttls_s[below(play, 6)];
}

static struct dnsmsg some_answer(struct play *play, uint16_t qtype) {
  if (qtype == DNSMSG_A)
    return fake_a(some_ttl(play), 1, 1 + below(play, DNSMSG_ADDRESS_MAX));
  if (qtype == DNSMSG_AAAA)
    return fake_aaaa(some_ttl(play), 1, 1 + below(play, DNSMSG_ADDRESS_MAX));
  struct dnsmsg message = fake_mx(some_ttl(play), below(play, 3), some_host(play));
  for (unsigned more = below(play, 5); more > 0; more--)
    fake_add_mx(&message, below(play, 3), some_host(play));
  message.mx[0].usable = below(play, 8) > 0;
  if (!message.mx[0].usable)
    message.mx[0].host[0] = '\0';
  return message;
}

static struct dnsmsg some_message(struct play *play, uint16_t qtype) {
  char name[32];
  snprintf(name, sizeof(name), "c%u.test", below(play, 4));
  switch (below(play, 10)) {
  case 0:
    return fake_denial(DNSMSG_NXDOMAIN, some_ttl(play));
  case 1:
    return fake_denial(DNSMSG_NODATA, some_ttl(play));
  case 2:
    return fake_alias(DNSMSG_FOLLOW, 1 + below(play, 4), some_ttl(play), name);
  case 3:
    return fake_reply((enum dnsmsg_outcome)(DNSMSG_LOOP + below(play, 7)));
  default:
    return some_answer(play, qtype);
  }
}

/* Ends any of the queries under way in any way. */
static void play_reply(struct play *play) {
  struct dns *dns = play->trial.dns;
  struct dns_query *query = dns->first;
  if (!query)
    return;
  for (unsigned skip = below(play, (unsigned)dns->open_count); skip > 0; skip--)
    query = query->next;
  unsigned way = below(play, 12);
  if (way < 3) {
    static const enum dns_result results[] = {DNS_TIMED_OUT, DNS_UNREACHABLE, DNS_SHED};
    fake_dns_end(query, results[way], NULL, play->trial.now_ms);
    return;
  }
  struct dnsmsg message = some_message(play, query->qtype);
  fake_dns_end(query, DNS_REPLIED, &message, play->trial.now_ms);
}

static void play_question(struct play *play) {
  char name[NAME_OCTETS];
  struct client *client = malloc(sizeof(*client));
  assert_non_null(client);
  some_domain(play, name);
  prepare(&play->trial, client, name, below(play, 2));
  client->question.refresh = below(play, 8) == 0;
  client->question.cache_only = below(play, 16) == 0;
  client->question.no_stale =
      (play->rules->is_long && below(play, 6) == 0) || (play->rules->has_store && below(play, 8) == 0);
  client->question.timeout_ms = below(play, 2) ? 0 : 1 + below(play, 8000);
  client->is_allocated = true;
  client->question.story = below(play, 4) == 0 ? story_create() : NULL;
  play->asked++;
  if (submit(client)) {
    play->stale_count += client->stale;
    free_client(client);
    return;
  }
  if (play->pending_count == PENDING_MAX)
    return;
  client->listed = &play->pending[play->pending_count];
  play->pending[play->pending_count++] = client;
}

/* Any record about a name, as another node may have written it; also one that is of no use. */
static struct record some_record(struct play *play, enum record_kind kind, const char *name) {
  static const enum domain_kind kinds[] = {DOMAIN_MX,     DOMAIN_MX,       DOMAIN_NULL_MX,
                                           DOMAIN_NODATA, DOMAIN_NXDOMAIN, DOMAIN_ALL_INVALID};
  static const enum family_state states[] = {FAMILY_OK, FAMILY_OK, FAMILY_NODATA, FAMILY_NXDOMAIN,
                                             FAMILY_UNKNOWN};
  int64_t now_ms = play->trial.now_ms, age_ms = below(play, 20000), life_ms = 1000 + below(play, 20000);
  if (kind == RECORD_DOMAIN) {
    struct record record = fake_record(kinds[below(play, 6)], name, age_ms, life_ms, now_ms);
    if (record.domain.kind == DOMAIN_MX)
      snprintf(record.domain.exchanges[0].host, FACTS_NAME_SIZE, "h%u.test", below(play, play->rules->hosts));
    return record;
  }
  struct record record = fake_host_record(name);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    enum family_state state = states[below(play, family == FAMILY_V6 ? 5 : 4)]; /* one is known */
    if (state != FAMILY_UNKNOWN)
      fake_add_family(&record, family, state, 1, age_ms, life_ms + below(play, 5000), now_ms);
  }
  return record;
}

/* What was shared about a name, or, where nothing was or at times, anything. */
static void play_offer(struct play *play, struct store_read *read) {
  struct record *shared = fake_store_read(play->trial.store, read->kind, read->name, play->trial.now_ms);
  struct record any = some_record(play, read->kind, read->name);
  fake_store_offer(read, shared && below(play, 4) ? shared : &any, play->trial.now_ms);
  free(shared);
}

/* Has the store say something about any of the names that it is asked for. */
static void play_store(struct play *play) {
  struct store *store = play->trial.store;
  if (!store || !store->first)
    return;
  struct store_read *read = store->first;
  for (unsigned skip = below(play, (unsigned)store->open_count); skip > 0; skip--)
    read = read->next;
  switch (below(play, 6)) {
  case 0:
  case 1:
    if (!read->is_late)
      fake_store_late(read, play->trial.now_ms);
    break;
  case 2:
    fake_store_end(read, STORE_AWAY, play->trial.now_ms);
    break;
  case 3:
    fake_store_end(read, STORE_MISSING, play->trial.now_ms);
    break;
  default:
    play_offer(play, read);
  }
}

/* Has one domain and one host forgotten. */
static void play_forget(struct play *play) {
  struct trial *trial = &play->trial;
  static struct client client;
  char name[32];
  int length = snprintf(name, sizeof(name), "d%u.test", below(play, play->rules->domains));
  prepare(trial, &client, name, DEPTH_EXCHANGES);
  cache_remove(trial->cache, name, (size_t)length, client.question.hash);
  resolver_forget_domain(trial->resolver, &client.question.name, client.question.hash);
  snprintf(name, sizeof(name), "h%u.test", below(play, play->rules->hosts));
  struct host *host = cache_find_host(trial->cache, name, strlen(name));
  if (!host)
    return;
  cache_forget_host(trial->cache, host);
  resolver_forget_host(trial->resolver, host, UINT_MAX);
}

/* A hit has some name refreshed. */
static void play_ahead(struct play *play) {
  static struct client client;
  char name[32];
  snprintf(name, sizeof(name), "d%u.test", below(play, play->rules->domains));
  prepare(&play->trial, &client, name, below(play, 2));
  resolver_refresh(play->trial.resolver, &client.question.name, client.question.hash, client.question.depth,
                   play->trial.now_ms);
}

/* Takes any question that is still pending from the list, or NULL. */
static struct client *draw_pending(struct play *play) {
  while (play->pending_count > 0) {
    size_t at = below(play, (unsigned)play->pending_count);
    struct client *client = play->pending[at];
    play->pending[at] = play->pending[--play->pending_count];
    if (play->pending[at])
      play->pending[at]->listed = &play->pending[at];
    if (client)
      return client;
  }
  return NULL;
}

static void play_leave(struct play *play) {
  struct client *client = draw_pending(play);
  if (!client)
    return;
  assert_true(resolver_leave(play->trial.resolver, &client->question));
  client->listed = NULL;
  free_client(client);
  play->taken_back++;
}

/* Lets time pass, calling the resolver when it is due. */
static void play_time(struct play *play) {
  struct trial *trial = &play->trial;
  bool is_leap = play->rules->is_long && below(play, 16) == 0;
  int64_t until_ms = trial->now_ms + below(play, is_leap ? LIFE_MS : 400);
  while (resolver_next_ms(trial->resolver) <= until_ms) {
    int64_t due_ms = resolver_next_ms(trial->resolver);
    if (due_ms > trial->now_ms)
      trial->now_ms = due_ms;
    resolver_run(trial->resolver, trial->now_ms);
    assert_true(resolver_next_ms(trial->resolver) > trial->now_ms);
  }
  trial->now_ms = until_ms;
}

/* No name is asked for twice at a time; of flights there is one a domain. */
static void check_queries(struct play *play) {
  struct dns *dns = play->trial.dns;
  unsigned of_type[UINT8_MAX + 1] = {0};
  for (struct dns_query *query = dns->first; query; query = query->next) {
    of_type[query->qtype]++;
    if (query->name[0] == 'd' || query->name[0] == 'h')
      for (struct dns_query *other = query->next; other; other = other->next)
        assert_false(other->qtype == query->qtype && strcmp(other->name, query->name) == 0);
  }
  assert_in_range(of_type[DNSMSG_MX], 0, play->rules->domains);
}

/* A hit asks for what ends soon, or has, as frontends do. */
static void play_refresh(struct play *play) {
  static const struct name_policy policy;
  char text[NAME_OCTETS];
  struct name name;
  size_t length = some_domain(play, text);
  assert_int_equal(name_parse((const uint8_t *)text, length, &policy, &name), NAME_OK);
  resolver_refresh(play->trial.resolver, &name, name_hash(name.text, name.length), below(play, 2),
                   play->trial.now_ms);
}

/* Begins a purge, or goes on with it. */
static void play_purge(struct play *play) {
  static const struct name_policy policy;
  char text[NAME_OCTETS];
  struct name name;
  if (!purge_has_ended(&play->purge)) {
    purge_step(&play->purge, 1 + below(play, 8), play->trial.now_ms);
    return;
  }
  enum purge_what what = below(play, 64) == 0 ? PURGE_OF_ALL : below(play, PURGE_OF_ALL);
  if (what == PURGE_OF_EXCHANGE)
    snprintf(text, sizeof(text), "h%u.test", below(play, play->rules->hosts));
  else
    some_domain(play, text);
  assert_int_equal(name_parse((const uint8_t *)text, strlen(text), &policy, &name), NAME_OK);
  purge_start(&play->purge, play->trial.cache, play->trial.resolver, NULL, what, &name);
}

/* Facts that are elsewhere although nobody has said anything new: an entry was moved. */
static void count_moves(struct play *play) {
  for (unsigned i = 0; i < play->rules->domains; i++) {
    char name[NAME_OCTETS];
    size_t length = write_domain(play, name, i);
    const struct domain_facts *facts = cache_peek(play->trial.cache, name, length, name_hash(name, length));
    int64_t until_ms = facts ? domain_facts_until_ms(facts, false) : 0;
    play->moved_count += facts && play->seen[i].facts && facts != play->seen[i].facts &&
                         facts->stored_at_ms == play->seen[i].stored_at_ms &&
                         until_ms == play->seen[i].until_ms;
    play->seen[i].facts = facts;
    play->seen[i].stored_at_ms = facts ? facts->stored_at_ms : 0;
    play->seen[i].until_ms = until_ms;
  }
}

/* Puts what nobody has asked for, as a load does: the cache is full again soon after a purge. */
static void put_domain(struct play *play, const char *name, int64_t life_ms) {
  static struct domain_value value;
  size_t length = strlen(name);
  memset(&value, 0, sizeof(value));
  value.kind = DOMAIN_MX;
  value.expires_at_ms = play->trial.now_ms + life_ms;
  value.stored_at_ms = value.expires_at_ms - LIFE_MS;
  value.count = (uint16_t)(1 + below(play, 4));
  for (uint16_t i = 0; i < value.count; i++)
    snprintf(value.exchanges[i].host, FACTS_NAME_SIZE, "h%u.test",
             i + 4 * below(play, play->rules->hosts / 4));
  domain_value_normalise(&value, 0, NULL);
  const struct domain_facts *facts =
      cache_put(play->trial.cache, name, length, name_hash(name, length), &value);
  assert_non_null(facts);
  cache_release(play->trial.cache, facts);
}

static void put_host(struct play *play, struct host *host, int64_t life_ms) {
  static struct family_value values[FAMILY_COUNT];
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    int64_t expires_at_ms = play->trial.now_ms + life_ms;
    values[family] = (struct family_value){.state = FAMILY_OK,
                                           .expires_at_ms = expires_at_ms,
                                           .life_ms = LIFE_MS,
                                           .count = (uint8_t)(1 + below(play, FACTS_ADDRESSES_MAX))};
  }
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  cache_put_host(play->trial.cache, host, facts, play->trial.now_ms);
}

static void play_load(struct play *play) {
  char name[NAME_OCTETS];
  some_domain(play, name);
  put_domain(play, name, below(play, LIFE_MS));
}

/* Addresses of a host that some domain has, which may have expired already. */
static void play_load_host(struct play *play) {
  char name[NAME_OCTETS];
  int length = snprintf(name, sizeof(name), "h%u.test", below(play, play->rules->hosts));
  struct host *host = cache_find_host(play->trial.cache, name, (size_t)length);
  if (host)
    put_host(play, host, (int64_t)below(play, 4000) - 1000);
}

/* Asks with little patience for a domain that has expired, and so have the addresses of its exchanges: all of
 * it is put anew for a stale answer. */
static void play_late(struct play *play) {
  struct trial *trial = &play->trial;
  static struct client client;
  char name[NAME_OCTETS];
  size_t length = some_domain(play, name);
  put_domain(play, name, -1);
  const struct domain_facts *facts = cache_peek(trial->cache, name, length, name_hash(name, length));
  if (!facts)
    return;
  cache_hold(facts);
  for (uint16_t i = 0; i < facts->set->count; i++)
    put_host(play, facts->set->exchanges[i].host, -1);
  cache_release(trial->cache, facts);
  prepare(trial, &client, name, DEPTH_ADDRESSES);
  client.question.timeout_ms = 1;
  play->asked++;
  if (!submit(&client))
    run_at(trial, trial->now_ms + 1);
  assert_int_equal(client.answers, 1);
  play->stale_count += client.has_facts && client.stale;
}

/* What only a long game has. */
static void play_more(struct play *play) {
  switch (below(play, 20)) {
  case 0:
    play->trial.dns->is_down = below(play, 2);
    break;
  case 1:
    play_purge(play);
    break;
  case 2:
    count_moves(play);
    break;
  case 3:
  case 4:
    play_load_host(play);
    break;
  case 5:
  case 6:
    play_late(play);
    break;

  case 7:
  case 8:
  case 9:
  case 10:
    play_load(play);
    break;
  default:
    play_refresh(play);
  }
}

static void play_step(struct play *play) {
  struct trial *trial = &play->trial;
  if (play->rules->is_long && below(play, 3) == 0) {
    play_more(play);
    return;
  }
  switch (below(play, 40)) {
  case 0:
    fake_dns_refuse_after(trial->dns, below(play, 6), ERR_OVERLOAD);
    break;
  case 1:
  case 2:
  case 3:
    fake_dns_accept(trial->dns);
    break;
  case 4: {
    char name[NAME_OCTETS];
    size_t length = some_domain(play, name);
    cache_remove(trial->cache, name, length, name_hash(name, length));
    break;
  }
  case 5:
    cache_sweep(trial->cache, trial->now_ms, 4);
    break;
  case 6:
    if (trial->store)
      trial->store->refusal = below(play, 2) ? ERR_NETWORK : 0;
    break;
  case 7:
    if (trial->store)
      play_forget(play);
    break;
  case 8:
    if (trial->store)
      play_ahead(play);
    break;
  default:
    switch (below(play, 9)) {
    case 0:
    case 1:
      play_question(play);
      break;
    case 2:
    case 3:
      play_time(play);
      break;
    case 4:
      play_leave(play);
      break;
    default:
      play_reply(play);
      for (unsigned more = below(play, 4); more > 0; more--)
        play_store(play);
    }
  }
}

static void play_out(struct play *play, bool stops) {
  struct resolver *resolver = play->trial.resolver;
  purge_stop(&play->purge);
  if (stops)
    resolver_stop(resolver, play->trial.now_ms);
  /* Nobody waits longer than the lookup deadline, whatever has happened. */
  int64_t end_ms = play->trial.now_ms + DEADLINE_MS;
  while (resolver_next_ms(resolver) <= end_ms)
    resolver_run(resolver, resolver_next_ms(resolver));
  assert_int_equal(play->trial.answered + play->taken_back, play->asked);
  assert_true(play->taken_back > 50);
  assert_true(resolver_next_ms(resolver) == INT64_MAX);
}

/* Plays one game; returns how it went, for whoever wants to know that it was about something. */
static struct play play_game(const struct rules *rules, uint64_t seed, bool stops) {
  struct play play = {.rules = rules, .random = {.state = seed}};
  struct resolver_options options = usual;
  if (rules->is_long) {
    options.learn.max_stale_ms = MAX_STALE_S * 1000;
    options.learn.ttl.prefetch_percent = 10;
    options.stale_after_ms = STALE_AFTER_MS;
  }
  if (rules->has_store) {
    options.learn.max_stale_ms = 10000;
    options.learn.ttl.prefetch_percent = 20;
    options.stale_after_ms = 500;
  }
  open_beside(&play.trial, &options, rules->cache_bytes, rules->has_store ? fake_store_create() : NULL);
  playing = &play;
  for (; play.step < rules->steps; play.step++) {
    play_step(&play);
    check_queries(&play);
    assert_true(play.trial.answered + play.taken_back <= play.asked);
  }
  assert_in_range(play.asked, rules->steps / 10, rules->steps);
  play_out(&play, stops);
  playing = NULL;
  close_it(&play.trial);
  return play;
}

static void every_question_is_answered_exactly_once_whatever_happens(void **state) {
  static const struct rules rules = {.cache_bytes = CACHE_BYTES, .domains = 12, .hosts = 6, .steps = 4000};
  (void)state;
  for (uint64_t seed = 1; seed <= 20; seed++)
    play_game(&rules, seed, seed % 2);
}

static void every_question_is_answered_though_the_cache_is_always_full(void **state) {
  static const struct rules rules = {.cache_bytes = 1, .domains = 12, .hosts = 6, .steps = 4000};
  (void)state;
  for (uint64_t seed = 100; seed < 110; seed++)
    play_game(&rules, seed, seed % 2);
}

/* At its bound a cache evicts with nearly every put, or moves what nobody holds: of a domain, of the
 * addresses of a host, of what is stale. With a sanitizer this finds facts that are read without being held.
 */
static void facts_that_are_used_are_held_while_the_cache_is_at_its_bound(void **state) {
  static const struct rules games[] = {
      {.cache_bytes = 14 << 10, .domains = 60, .hosts = 12, .steps = 10000, .is_long = true},
      {.cache_bytes = 20 << 10, .domains = 60, .hosts = 12, .steps = 10000, .is_long = true},
      {.cache_bytes = 128 << 10, .domains = SEEN_MAX, .hosts = 60, .steps = 20000, .is_long = true},
  };
  uint64_t evicted = counted(STATS_CACHE_EVICTIONS), refreshed = counted(STATS_REFRESHES);
  unsigned moved = 0, stale = 0;
  (void)state;
  for (uint64_t seed = 200; seed < 212; seed++) {
    struct play play = play_game(&games[seed % 3], seed, seed % 2);
    moved += play.moved_count;
    stale += play.stale_count;
  }
  assert_true(counted(STATS_CACHE_EVICTIONS) > evicted + 1000);
  assert_true(counted(STATS_REFRESHES) > refreshed + 1000);
  assert_true(moved > 0);
  assert_true(stale > 1000);
}

/* Which facts a put evicts is not said: here it is any time all of them. */
static void facts_that_are_used_are_held_whatever_a_put_evicts(void **state) {
  static const struct rules rules = {.cache_bytes = CACHE_BYTES,
                                     .domains = 60,
                                     .hosts = 12,
                                     .steps = 10000,
                                     .bad_luck = 16,
                                     .is_long = true};
  unsigned stale = 0;
  (void)state;
  for (uint64_t seed = 300; seed < 308; seed++)
    stale += play_game(&rules, seed, seed % 2).stale_count;
  assert_true(stale > 1000);
}

static void every_question_is_answered_exactly_once_whatever_the_store_does(void **state) {
  struct rules rules = {.domains = 12, .hosts = 6, .steps = 4000, .has_store = true};
  (void)state;
  for (uint64_t seed = 200; seed < 220; seed++) {
    rules.cache_bytes = seed % 4 ? CACHE_BYTES : 1;
    play_game(&rules, seed, seed % 2);
  }
}

/* ---- a purge while a lookup is under way ---- */

static const unsigned EVERY_KIND = UINT_MAX, EVERY_STATE = UINT_MAX;

static void forget(struct trial *trial, const char *text, unsigned kinds) {
  static const struct name_policy policy;
  struct name name;
  assert_int_equal(name_parse((const uint8_t *)text, strlen(text), &policy, &name), NAME_OK);
  resolver_forget(trial->resolver, &name, kinds);
}

static const struct domain_facts *peek(const struct client *client) {
  const struct name *name = &client->question.name;
  return cache_peek(client->trial->cache, name->text, name->length, client->question.hash);
}

static void what_a_purge_has_overtaken_is_delivered_and_not_kept(void **state) {
  struct trial *trial = *state;
  static struct client first, second, other;
  ask(trial, &first, "d.test", DEPTH_EXCHANGES);
  ask(trial, &other, "e.test", DEPTH_EXCHANGES);
  forget(trial, "d.test", EVERY_KIND);
  ask(trial, &second, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver(trial, "e.test", DNSMSG_MX, fake_mx(300, 10, "b.test"));
  assert_int_equal(first.verdict, VERDICT_ROUTE);
  assert_int_equal(first.ttl_s, 300); /* the same answer as without the purge */
  assert_null(peek(&first));
  assert_non_null(peek(&other));
  deliver_host(trial, "a.test", 300);
  assert_int_equal(second.verdict, VERDICT_ROUTE);
  assert_int_equal(second.ttl_s, 300);
  assert_int_equal(cache_count(trial->cache), 1);
  ask(trial, &first, "d.test", DEPTH_EXCHANGES); /* the DNS is asked anew, and that is kept */
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_non_null(peek(&first));
}

static void a_purge_of_some_kinds_leaves_what_turns_out_to_be_of_others(void **state) {
  struct trial *trial = *state;
  static struct client gone, there, broken;
  ask(trial, &gone, "gone.test", DEPTH_EXCHANGES);
  ask(trial, &there, "there.test", DEPTH_EXCHANGES);
  ask(trial, &broken, "broken.test", DEPTH_EXCHANGES);
  for (size_t i = 0; i < 3; i++)
    forget(trial, (const char *[]){"gone.test", "there.test", "broken.test"}[i], 1 << DOMAIN_NXDOMAIN);
  deliver(trial, "gone.test", DNSMSG_MX, fake_denial(DNSMSG_NXDOMAIN, 300));
  deliver(trial, "there.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver(trial, "broken.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(gone.verdict, VERDICT_NO_SUCH_DOMAIN);
  assert_null(peek(&gone));
  assert_non_null(peek(&there));
  assert_non_null(peek(&broken));
}

static void a_failure_that_a_purge_has_overtaken_is_not_remembered(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  forget(trial, "d.test", EVERY_KIND);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(client.verdict, VERDICT_DNS_SERVFAIL);
  assert_null(peek(&client));
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
}

static void a_lookup_that_starts_over_after_a_purge_is_kept(void **state) {
  struct trial *trial = *state;
  static struct client firsts[2], seconds[2];
  for (unsigned is_one = 0; is_one < 2; is_one++) {
    struct client *first = &firsts[is_one], *second = &seconds[is_one];
    const char *domain = is_one ? "e.test" : "d.test";
    ask(trial, first, domain, DEPTH_ADDRESSES);
    deliver(trial, domain, DNSMSG_MX, fake_mx(300, 10, "a.test"));
    if (is_one)
      resolver_forget_domain(trial->resolver, &first->question.name, first->question.hash);
    else
      forget(trial, domain, EVERY_KIND);
    prepare(trial, second, domain, DEPTH_EXCHANGES);
    second->question.refresh = true;
    assert_false(submit(second));
    deliver(trial, domain, DNSMSG_MX, fake_mx(300, 10, "b.test"));
    assert_string_equal(second->exchanges[0].host, "b.test");
    assert_non_null(peek(second));
  }
}

static void addresses_that_a_purge_has_overtaken_are_delivered_once(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, two_mx(300));
  resolver_forget_host(trial->resolver, NULL, EVERY_STATE);
  deliver_host(trial, "a.test", 300);
  trial->now_ms += 100; /* the others take their time */
  deliver_host(trial, "b.test", 300);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_int_equal(client.exchanges[0].address_count, 2);
  assert_int_equal(client.exchanges[1].address_count, 2);
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(fake_dns_is_asked(trial->dns, "a.test", DNSMSG_A));
}

static void a_lookup_under_way_can_be_seen(void **state) {
  struct trial *trial = *state;
  static struct client first, second;
  struct resolver_view view = {0};
  ask(trial, &first, "d.test", DEPTH_ADDRESSES);
  assert_true(resolver_look(trial->resolver, &first.question.name, first.question.hash, &view));
  assert_int_equal(view.started_ms, START_MS);
  assert_int_equal(view.waiting_count, 1);
  assert_false(view.has_facts);
  trial->now_ms += 10;
  ask(trial, &second, "d.test", DEPTH_ADDRESSES);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_true(resolver_look(trial->resolver, &first.question.name, first.question.hash, &view));
  assert_int_equal(view.waiting_count, 2);
  assert_true(view.has_facts);
  assert_false(view.is_refresh);
  deliver_host(trial, "a.test", 300);
  assert_false(resolver_look(trial->resolver, &first.question.name, first.question.hash, &view));
}

/* ---- the shared store ---- */

enum { S = 1000 };

static int open_stored_trial(void **state) {
  struct trial *trial = malloc(sizeof(*trial));
  assert_non_null(trial);
  struct resolver_options options = usual;
  options.learn.max_stale_ms = MAX_STALE_S * 1000;
  options.learn.ttl.prefetch_percent = 10;
  options.stale_after_ms = STALE_AFTER_MS;
  open_beside(trial, &options, CACHE_BYTES, fake_store_create());
  *state = trial;
  return 0;
}

static struct store_read *read_of(struct trial *trial, enum record_kind kind, const char *name) {
  struct store_read *read = fake_store_find(trial->store, kind, name);
  if (!read)
    print_error("%s is not asked of the store\n", name);
  assert_non_null(read);
  return read;
}

static void late_store(struct trial *trial, enum record_kind kind, const char *name) {
  fake_store_late(read_of(trial, kind, name), trial->now_ms);
}

static void end_store(struct trial *trial, enum record_kind kind, const char *name,
                      enum store_outcome outcome) {
  fake_store_end(read_of(trial, kind, name), outcome, trial->now_ms);
}

/* The store has of a domain that its MX is a.test, learned `age_s` ago by some node. */
static bool offer_mx(struct trial *trial, const char *domain, int64_t age_s, int64_t life_s) {
  struct record record = fake_record(DOMAIN_MX, domain, age_s * S, life_s * S, trial->now_ms);
  return fake_store_offer(read_of(trial, RECORD_DOMAIN, domain), &record, trial->now_ms);
}

/* And of a host an address in each family. */
static bool offer_host(struct trial *trial, const char *host, int64_t age_s, int64_t life_s) {
  struct record record = fake_host_record(host);
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    fake_add_family(&record, family, FAMILY_OK, 77, age_s * S, life_s * S, trial->now_ms);
  return fake_store_offer(read_of(trial, RECORD_HOST, host), &record, trial->now_ms);
}

static void what_another_node_has_learned_is_answered_without_the_dns(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "d.test", 100, 300));
  assert_int_equal(client.answers, 0);
  assert_true(offer_host(trial, "a.test", 100, 1000));
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_true(client.from_store);
  assert_false(client.stale);
  assert_int_equal(client.ttl_s, 200);
  assert_int_equal(client.exchanges[0].address_count, 2);
  assert_int_equal(client.since_ms, START_MS);
  assert_int_equal(trial->dns->asked_count, 0);
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(client.from_memory);
  assert_int_equal(client.ttl_s, 200);
  assert_int_equal(trial->store->asked_count, 2);
  assert_int_equal(trial->store->put_count, 0);
}

/* Of d.test and its exchange a.test, each from the store or the DNS: only where the DNS has said nothing is
 * the answer the store's. */
static void an_answer_is_of_the_store_where_the_dns_gave_nothing_of_it(void **state) {
  struct trial *trial = *state;
  static struct client client, other;
  for (unsigned way = 0; way < 4; way++) {
    char domain[16], host[16];
    struct record record;
    snprintf(domain, sizeof(domain), "d%u.test", way);
    snprintf(host, sizeof(host), "h%u.test", way);
    ask(trial, &client, domain, DEPTH_ADDRESSES);
    ask(trial, &other, domain, DEPTH_EXCHANGES);
    if (way & 1) {
      end_store(trial, RECORD_DOMAIN, domain, STORE_MISSING);
      deliver(trial, domain, DNSMSG_MX, fake_mx(300, 10, host));
    } else {
      record = fake_record(DOMAIN_MX, domain, 0, 300 * S, trial->now_ms);
      snprintf(record.domain.exchanges[0].host, FACTS_NAME_SIZE, "%s", host);
      assert_true(fake_store_offer(read_of(trial, RECORD_DOMAIN, domain), &record, trial->now_ms));
    }
    assert_int_equal(other.from_store, !(way & 1)); /* he wants no addresses */
    prepare(trial, &other, domain, DEPTH_EXCHANGES);
    assert_true(submit(&other));
    if (way & 2) {
      end_store(trial, RECORD_HOST, host, STORE_AWAY);
      deliver_host(trial, host, 300);
    } else {
      assert_true(offer_host(trial, host, 0, 300));
    }
    assert_int_equal(client.from_store, way == 0);
    assert_false(client.from_memory);
  }
}

static void a_flight_that_is_met_says_where_its_exchanges_came_from(void **state) {
  struct trial *trial = *state;
  static struct client client, late;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "d.test", 100, 101));
  trial->now_ms += 1000; /* the MX facts have expired, the flight still asks for addresses */
  prepare(trial, &late, "d.test", DEPTH_EXCHANGES);
  assert_true(submit(&late));
  assert_true(late.from_store);
}

static void addresses_alone_may_come_from_the_store(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_false(client.from_store);
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(offer_host(trial, "a.test", 0, 300));
  assert_true(client.from_store);
}

static void any_number_of_questions_is_one_read(void **state) {
  struct trial *trial = *state;
  static struct client clients[100];
  for (unsigned i = 0; i < 100; i++)
    ask(trial, &clients[i], "d.test", i % 2 ? DEPTH_ADDRESSES : DEPTH_EXCHANGES);
  assert_int_equal(trial->store->asked_count, 1);
  assert_true(offer_mx(trial, "d.test", 0, 300));
  assert_int_equal(trial->answered, 50);
  assert_true(offer_host(trial, "a.test", 0, 300));
  assert_int_equal(trial->answered, 100);
}

static void what_one_daemon_learns_another_answers(void **state) {
  struct trial *first = *state, second;
  static struct client client;
  ask(first, &client, "d.test", DEPTH_ADDRESSES);
  end_store(first, RECORD_DOMAIN, "d.test", STORE_MISSING);
  deliver(first, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  end_store(first, RECORD_HOST, "a.test", STORE_MISSING);
  deliver_host(first, "a.test", 200);
  assert_int_equal(first->store->put_count, 2);
  struct record *domain = fake_store_read(first->store, RECORD_DOMAIN, "d.test", first->now_ms);
  struct record *host = fake_store_read(first->store, RECORD_HOST, "a.test", first->now_ms);
  open_beside(&second, &usual, CACHE_BYTES, fake_store_create());
  ask(&second, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(fake_store_offer(read_of(&second, RECORD_DOMAIN, "d.test"), domain, second.now_ms));
  assert_true(fake_store_offer(read_of(&second, RECORD_HOST, "a.test"), host, second.now_ms));
  assert_true(client.from_store);
  assert_int_equal(client.ttl_s, 200);
  assert_int_equal(client.mx_ttl_s, 300);
  assert_int_equal(client.exchanges[0].address_count, 2);
  assert_int_equal(second.dns->asked_count, 0);
  free(domain);
  free(host);
  close_it(&second);
}

static void a_store_that_is_away_delays_nobody(void **state) {
  struct trial *trial = *state;
  static struct client client;
  trial->store->refusal = ERR_NETWORK;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(fake_dns_is_asked(trial->dns, "d.test", DNSMSG_MX));
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver_host(trial, "a.test", 300);
  assert_int_equal(client.answered_ms, START_MS);
  assert_false(client.from_store);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  prepare(trial, &client, "e.test", DEPTH_ADDRESSES);
  assert_true(submit(&client)); /* too much to do, as without a store */
  assert_int_equal(client.verdict, VERDICT_OVERLOAD);
}

static void where_the_dns_takes_nothing_the_store_may_still_answer(void **state) {
  struct trial *trial = *state;
  static struct client client;
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  late_store(trial, RECORD_DOMAIN, "d.test");
  assert_true(offer_mx(trial, "d.test", 0, 300));
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  uint64_t overload = counted(STATS_LOOKUPS_OVERLOAD);
  ask(trial, &client, "e.test", DEPTH_EXCHANGES);
  end_store(trial, RECORD_DOMAIN, "e.test", STORE_MISSING);
  assert_int_equal(client.verdict, VERDICT_OVERLOAD);
  assert_int_equal(counted(STATS_LOOKUPS_OVERLOAD), overload + 1);
  fake_dns_accept(trial->dns);
  ask(trial, &client, "e.test", DEPTH_EXCHANGES); /* it was not remembered */
}

static void the_first_good_answer_of_store_and_dns_wins(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  late_store(trial, RECORD_DOMAIN, "d.test");
  trial->now_ms += 2;
  assert_true(offer_mx(trial, "d.test", 0, 300));
  assert_true(client.from_store);
  assert_int_equal(trial->dns->cancelled_count, 1);
  ask(trial, &client, "e.test", DEPTH_EXCHANGES);
  late_store(trial, RECORD_DOMAIN, "e.test");
  deliver(trial, "e.test", DNSMSG_MX, fake_denial(DNSMSG_NXDOMAIN, 60));
  assert_int_equal(client.verdict, VERDICT_NO_SUCH_DOMAIN);
  assert_false(client.from_store);
  assert_int_equal(trial->store->cancelled_count, 1);
  ask(trial, &client, "f.test", DEPTH_EXCHANGES);
  late_store(trial, RECORD_DOMAIN, "f.test");
  deliver(trial, "f.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(client.answers, 0);
  assert_true(offer_mx(trial, "f.test", 0, 300));
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  ask(trial, &client, "g.test", DEPTH_EXCHANGES);
  late_store(trial, RECORD_DOMAIN, "g.test");
  deliver(trial, "g.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  end_store(trial, RECORD_DOMAIN, "g.test", STORE_AWAY);
  assert_int_equal(client.verdict, VERDICT_DNS_SERVFAIL);
}

/* ---- the shared store: what has expired ---- */

static void assert_stale_of_store(const struct client *client) {
  assert_stale(client);
  assert_true(client->from_store);
}

static void stale_facts_of_the_store_are_answered_where_the_dns_fails(void **state) {
  struct trial *trial = *state;
  static struct client client, strict;
  prepare(trial, &strict, "d.test", DEPTH_EXCHANGES);
  strict.question.no_stale = true;
  assert_false(submit(&strict));
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_false(offer_mx(trial, "d.test", 400, 300));
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_REFUSED));
  assert_int_equal(strict.verdict, VERDICT_DNS_REFUSED);
  assert_int_equal(client.answers, 0);
  assert_false(offer_host(trial, "a.test", 400, 300));
  end_store(trial, RECORD_HOST, "a.test", STORE_MISSING);
  fake_dns_fail(trial->dns, "a.test", DNSMSG_AAAA, DNS_TIMED_OUT, trial->now_ms);
  fake_dns_fail(trial->dns, "a.test", DNSMSG_A, DNS_TIMED_OUT, trial->now_ms);
  assert_stale_of_store(&client);
  assert_int_equal(client.exchanges[0].address_count, 2);
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_stale(&client);
  assert_true(client.from_memory);
}

/* Counted from when the question was asked, not from when the store had its say. */
static void stale_facts_of_the_store_are_answered_where_the_dns_is_late(void **state) {
  struct trial *trial = *state;
  static struct client first, second, brief, strict, refresh;
  int64_t asked_ms = trial->now_ms;
  ask(trial, &first, "d.test", DEPTH_EXCHANGES);
  prepare(trial, &brief, "d.test", DEPTH_EXCHANGES);
  brief.question.timeout_ms = 200;
  assert_false(submit(&brief));
  prepare(trial, &strict, "d.test", DEPTH_EXCHANGES);
  strict.question.no_stale = true;
  assert_false(submit(&strict));
  trial->now_ms += 5;
  ask(trial, &second, "d.test", DEPTH_EXCHANGES);
  late_store(trial, RECORD_DOMAIN, "d.test");
  trial->now_ms += 5;
  assert_false(offer_mx(trial, "d.test", 400, 300));
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  run_at(trial, asked_ms + 200);
  assert_stale_of_store(&brief);
  ask_known(trial, &brief, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(resolver_next_ms(trial->resolver), asked_ms + STALE_AFTER_MS);
  run_at(trial, asked_ms + STALE_AFTER_MS);
  assert_stale_of_store(&first);
  assert_int_equal(second.answers, 0);
  run_at(trial, asked_ms + STALE_AFTER_MS + 5);
  assert_stale_of_store(&second);
  assert_int_equal(strict.answers, 0);
  prepare(trial, &refresh, "d.test", DEPTH_EXCHANGES);
  refresh.question.refresh = true;
  assert_false(submit(&refresh));
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "b.test"));
  assert_string_equal(strict.exchanges[0].host, "b.test");
  assert_false(strict.stale);
  assert_string_equal(refresh.exchanges[0].host, "b.test");
}

static void where_the_dns_is_known_to_be_down_nobody_waits_long_for_stale_facts_of_the_store(void **state) {
  struct trial *trial = *state;
  static struct client client;
  trial->dns->is_down = true;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  trial->now_ms += 5;
  assert_false(offer_mx(trial, "d.test", 400, 300));
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  run_at(trial, START_MS + RESOLVER_STALE_DOWN_MS);
  assert_stale_of_store(&client);
}

static void stale_addresses_of_the_store_are_answered_where_the_dns_is_late(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_false(offer_host(trial, "a.test", 400, 300));
  end_store(trial, RECORD_HOST, "a.test", STORE_MISSING);
  run_at(trial, START_MS + STALE_AFTER_MS - 1);
  assert_int_equal(client.answers, 0);
  run_at(trial, START_MS + STALE_AFTER_MS);
  assert_stale(&client);
  assert_int_equal(client.exchanges[0].address_count, 2);
}

static void who_waits_for_a_host_later_gets_its_stale_addresses_too(void **state) {
  struct trial *trial = *state;
  static struct client first, second, third;
  ask(trial, &first, "d.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "d.test", 0, 300));
  assert_false(offer_host(trial, "a.test", 400, 300));
  trial->now_ms += 10;
  ask(trial, &second, "e.test", DEPTH_ADDRESSES);
  ask(trial, &third, "f.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "e.test", 0, 300)); /* the same host */
  end_store(trial, RECORD_DOMAIN, "f.test", STORE_MISSING);
  deliver(trial, "f.test", DNSMSG_MX, fake_mx(300, 10, "c.test")); /* of which nothing is known */
  end_store(trial, RECORD_HOST, "a.test", STORE_MISSING);
  run_at(trial, START_MS + STALE_AFTER_MS);
  assert_stale(&first);
  run_at(trial, START_MS + STALE_AFTER_MS + 10);
  assert_stale(&second);
  assert_int_equal(third.answers, 0);
  assert_int_equal(resolver_next_ms(trial->resolver), START_MS + DEADLINE_MS); /* of the first flight */
}

static void a_denial_of_the_dns_replaces_stale_facts_of_the_store(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_false(offer_mx(trial, "d.test", 400, 300));
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  deliver(trial, "d.test", DNSMSG_MX, fake_denial(DNSMSG_NXDOMAIN, 60));
  assert_int_equal(client.verdict, VERDICT_NO_SUCH_DOMAIN);
  assert_false(client.from_store);
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_NO_SUCH_DOMAIN);
}

/* ---- the shared store: what a caller wishes ---- */

static void cache_only_does_not_ask_the_store(void **state) {
  struct trial *trial = *state;
  static struct client client;
  prepare(trial, &client, "d.test", DEPTH_ADDRESSES);
  client.question.cache_only = true;
  assert_true(submit(&client));
  assert_int_equal(client.verdict, VERDICT_NOT_CACHED);
  assert_int_equal(trial->store->asked_count, 0);
}

static void prepare_refresh(struct trial *trial, struct client *client, const char *domain,
                            enum depth depth) {
  prepare(trial, client, domain, depth);
  client->question.refresh = true;
}

static void a_refresh_asks_the_dns_whatever_the_store_holds_and_shares(void **state) {
  struct trial *trial = *state;
  static struct client client;
  prepare_refresh(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_false(submit(&client));
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  deliver_host(trial, "a.test", 300);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_false(client.from_store);
  assert_int_equal(trial->store->asked_count, 0);
  assert_int_equal(trial->store->put_count, 2);
}

static void a_refresh_that_joins_a_read_has_the_dns_asked(void **state) {
  struct trial *trial = *state;
  static struct client first, refused, refresh;
  for (unsigned is_late = 0; is_late < 2; is_late++) {
    const char *domain = is_late ? "e.test" : "d.test";
    ask(trial, &first, domain, DEPTH_EXCHANGES);
    if (is_late)
      late_store(trial, RECORD_DOMAIN, domain);
    if (!is_late) {
      fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
      prepare_refresh(trial, &refused, domain, DEPTH_EXCHANGES);
      assert_true(submit(&refused));
      assert_int_equal(refused.verdict, VERDICT_OVERLOAD);
      assert_true(fake_store_is_asked(trial->store, RECORD_DOMAIN, domain)); /* all is as before */
      fake_dns_accept(trial->dns);
    }
    prepare_refresh(trial, &refresh, domain, DEPTH_EXCHANGES);
    assert_false(submit(&refresh));
    assert_false(fake_store_is_asked(trial->store, RECORD_DOMAIN, domain));
    assert_int_equal(trial->dns->open_count, 1);
    deliver(trial, domain, DNSMSG_MX, fake_mx(300, 10, "b.test"));
    assert_string_equal(first.exchanges[0].host, "b.test");
    assert_string_equal(refresh.exchanges[0].host, "b.test");
  }
}

static void a_refresh_that_joins_behind_the_store_has_the_dns_asked(void **state) {
  struct trial *trial = *state;
  static struct client first, refresh;
  ask(trial, &first, "d.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "d.test", 0, 300));
  prepare_refresh(trial, &refresh, "d.test", DEPTH_ADDRESSES);
  assert_false(submit(&refresh));
  assert_true(fake_dns_is_asked(trial->dns, "d.test", DNSMSG_MX));
  assert_false(fake_store_is_asked(trial->store, RECORD_DOMAIN, "d.test"));
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "b.test"));
  assert_false(fake_store_is_asked(trial->store, RECORD_HOST, "b.test"));
  deliver_host(trial, "b.test", 300);
  assert_string_equal(first.exchanges[0].host, "b.test");
  assert_string_equal(refresh.exchanges[0].host, "b.test");
  assert_false(first.from_store || refresh.from_store);
}

static void a_refresh_that_joins_behind_the_store_and_fails_leaves_what_it_gave(void **state) {
  struct trial *trial = *state;
  static struct client first, refresh;
  ask(trial, &first, "d.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "d.test", 0, 300));
  prepare_refresh(trial, &refresh, "d.test", DEPTH_EXCHANGES);
  assert_false(submit(&refresh));
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_REFUSED));
  assert_int_equal(refresh.verdict, VERDICT_DNS_REFUSED);
  assert_int_equal(first.answers, 0); /* he goes on with what holds, whose addresses are refreshed */
  deliver_host(trial, "a.test", 300);
  assert_int_equal(first.verdict, VERDICT_ROUTE);
  assert_int_equal(first.mx_ttl_s, 300);
}

static void who_wants_nothing_stale_has_the_store_asked_again(void **state) {
  struct trial *trial = *state;
  static struct client client, strict;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_false(offer_mx(trial, "d.test", 400, 300));
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_REFUSED));
  assert_stale_of_store(&client);
  trial->now_ms += LEARN_RECHECK_MS;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES); /* with the stale exchanges */
  assert_true(fake_store_is_asked(trial->store, RECORD_HOST, "a.test"));
  prepare(trial, &strict, "d.test", DEPTH_EXCHANGES);
  strict.question.no_stale = true;
  assert_false(submit(&strict));
  assert_true(offer_mx(trial, "d.test", 0, 300));
  assert_int_equal(strict.verdict, VERDICT_ROUTE);
  assert_true(strict.from_store);
  assert_false(strict.stale);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1);
  assert_true(offer_host(trial, "a.test", 0, 300));
  assert_true(client.from_store);
  assert_false(client.stale);
}

/* Addresses of the DNS for what a flight leaves behind when it starts over do not count. */
static void only_what_an_answer_is_made_of_says_where_it_came_from(void **state) {
  struct trial *trial = *state;
  static struct client client, late, strict;
  struct record record = fake_record(DOMAIN_MX, "d.test", 400 * S, 300 * S, trial->now_ms);
  record.domain.count = 2;
  record.domain.exchanges[1] = (struct exchange_value){.preference = 20, .host = "b.test"};
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_false(fake_store_offer(read_of(trial, RECORD_DOMAIN, "d.test"), &record, trial->now_ms));
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  deliver(trial, "d.test", DNSMSG_MX, fake_reply(DNSMSG_REFUSED));
  trial->now_ms += LEARN_RECHECK_MS;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  end_store(trial, RECORD_HOST, "b.test", STORE_MISSING);
  deliver_host(trial, "b.test", 300);
  prepare(trial, &strict, "d.test", DEPTH_ADDRESSES);
  strict.question.no_stale = true;
  assert_false(submit(&strict));
  assert_true(offer_mx(trial, "d.test", 0, 1)); /* a.test alone */
  trial->now_ms += 1000;
  prepare(trial, &late, "d.test", DEPTH_EXCHANGES);
  assert_true(submit(&late));
  assert_true(late.from_store);
  assert_true(offer_host(trial, "a.test", 0, 300));
  assert_true(client.from_store);
  assert_true(strict.from_store);
}

static void addresses_of_the_dns_do_not_make_exchanges_of_the_store_the_dns_s(void **state) {
  struct trial *trial = *state;
  static struct client client, late;
  struct record record = fake_record(DOMAIN_MX, "d.test", 0, 1 * S, trial->now_ms);
  record.domain.count = 2;
  record.domain.exchanges[1] = (struct exchange_value){.preference = 20, .host = "b.test"};
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(fake_store_offer(read_of(trial, RECORD_DOMAIN, "d.test"), &record, trial->now_ms));
  end_store(trial, RECORD_HOST, "b.test", STORE_MISSING);
  deliver_host(trial, "b.test", 300);
  trial->now_ms += 1000; /* the exchanges have expired, the flight goes on */
  prepare(trial, &late, "d.test", DEPTH_EXCHANGES);
  assert_true(submit(&late));
  assert_true(late.from_store);
  assert_true(offer_host(trial, "a.test", 0, 300));
  assert_false(client.from_store);
}

static void a_question_ends_at_its_deadline_while_the_store_is_asked(void **state) {
  struct trial *trial = *state;
  static struct client client;
  prepare(trial, &client, "d.test", DEPTH_EXCHANGES);
  client.question.timeout_ms = 8;
  assert_false(submit(&client));
  run_at(trial, START_MS + 8);
  assert_int_equal(client.verdict, VERDICT_DEADLINE);
  assert_true(offer_mx(trial, "d.test", 0, 300)); /* and the flight fills the cache */
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.verdict, VERDICT_ROUTE);
}

static void a_question_may_be_taken_back_while_the_store_is_asked(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_true(resolver_leave(trial->resolver, &client.question));
  assert_true(offer_mx(trial, "d.test", 0, 300));
  assert_int_equal(client.answers, 0);
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
}

static void a_flight_ends_at_the_lookup_deadline_whatever_the_store_does(void **state) {
  struct trial *trial = *state;
  static struct client silent, failed;
  ask(trial, &silent, "d.test", DEPTH_EXCHANGES);
  ask(trial, &failed, "e.test", DEPTH_EXCHANGES);
  late_store(trial, RECORD_DOMAIN, "e.test");
  deliver(trial, "e.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  run_at(trial, START_MS + DEADLINE_MS);
  assert_int_equal(silent.verdict, VERDICT_OVERLOAD); /* no query went out: it is not remembered */
  assert_int_equal(failed.verdict, VERDICT_DNS_TIMEOUT);
  assert_int_equal(trial->store->open_count, 0);
  ask(trial, &silent, "d.test", DEPTH_EXCHANGES);
}

static void addresses_of_a_configured_route_may_come_from_the_store(void **state) {
  struct trial *trial = *state;
  static struct client client;
  const struct exchange_set *set = pin_two(trial);
  struct domain_facts *facts = pinned_facts(trial, set);
  assert_false(ask_pinned(trial, &client, facts, false));
  assert_int_equal(trial->store->open_count, 2);
  while (trial->store->first)
    assert_true(offer_host(trial, trial->store->first->name, 0, 300));
  assert_int_equal(client.verdict, VERDICT_ROUTE);
  assert_true(client.from_store);
  free(facts);
  cache_unpin(trial->cache, set);
}

/* ---- the shared store: ahead of the end ---- */

/* d.test is known from the store and a hit is to refresh it. */
static void know_until_due(struct trial *trial) {
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "d.test", 0, 300));
  assert_true(offer_host(trial, "a.test", 0, 3000));
  trial->now_ms += 286000; /* beyond 95 % of its life */
}

static void a_look_ahead_asks_the_store_and_takes_what_is_younger(void **state) {
  struct trial *trial = *state;
  static struct client client;
  know_until_due(trial);
  refresh(trial, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->dns->open_count, 0);
  refresh(trial, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(trial->store->open_count, 1);
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES); /* nobody is delayed */
  assert_true(offer_mx(trial, "d.test", 10, 300));
  assert_int_equal(trial->dns->asked_count, 0);
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(client.mx_ttl_s, 290);
}

static void a_look_ahead_asks_the_dns_where_the_store_has_nothing_younger(void **state) {
  struct trial *trial = *state;
  static struct client client;
  know_until_due(trial);
  refresh(trial, "d.test", DEPTH_EXCHANGES);
  assert_false(offer_mx(trial, "d.test", 286, 300));
  assert_int_equal(trial->dns->open_count, 0);
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  assert_int_equal(fake_dns_find(trial->dns, "d.test", DNSMSG_MX)->priority, DNS_FOR_PREFETCH);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(trial->store->put_count, 1);
  ask_known(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(client.mx_ttl_s, 300);
}

static void a_look_ahead_at_addresses_asks_the_store(void **state) {
  struct trial *trial = *state;
  static struct client client;
  ask(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "d.test", 0, 3000));
  assert_true(offer_host(trial, "a.test", 0, 300));
  trial->now_ms += 286000;
  refresh(trial, "d.test", DEPTH_ADDRESSES);
  assert_false(offer_host(trial, "a.test", 286, 300));
  assert_true(offer_host(trial, "a.test", 10, 300));
  ask_known(trial, &client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(client.ttl_s, 290);
  assert_int_equal(trial->dns->asked_count, 0);
}

static void who_joins_a_look_ahead_makes_it_urgent_though_the_store_is_asked(void **state) {
  struct trial *trial = *state;
  static struct client client;
  know_until_due(trial);
  refresh(trial, "d.test", DEPTH_EXCHANGES);
  trial->now_ms += 20000; /* now it has expired */
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  assert_int_equal(trial->store->open_count, 1);
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  assert_int_equal(fake_dns_find(trial->dns, "d.test", DNSMSG_MX)->priority, DNS_FOR_CLIENT);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "b.test"));
  assert_string_equal(client.exchanges[0].host, "b.test");
}

/* ---- the shared store: purges, the end ---- */

static void a_purge_that_overtakes_a_read_has_the_dns_asked(void **state) {
  struct trial *trial = *state;
  static struct client client, other;
  ask(trial, &client, "d.test", DEPTH_EXCHANGES);
  resolver_forget_domain(trial->resolver, &client.question.name, client.question.hash);
  ask(trial, &other, "e.test", DEPTH_EXCHANGES);
  assert_false(offer_mx(trial, "d.test", 0, 300));
  assert_true(offer_mx(trial, "e.test", 0, 300));
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "b.test"));
  assert_string_equal(client.exchanges[0].host, "b.test");
  assert_null(peek(&client));
  assert_int_equal(trial->store->put_count, 0);
  ask(trial, &client, "d.test", DEPTH_EXCHANGES); /* what is asked now comes after it */
  assert_true(offer_mx(trial, "d.test", 0, 300));
  assert_non_null(peek(&client));
}

static void stopping_takes_back_what_was_asked_of_the_store(void **state) {
  struct trial *trial = *state;
  static struct client first, second, later;
  ask(trial, &first, "d.test", DEPTH_EXCHANGES);
  ask(trial, &second, "e.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "e.test", 0, 300));
  resolver_stop(trial->resolver, trial->now_ms);
  assert_int_equal(first.verdict, VERDICT_SHUTDOWN);
  assert_int_equal(second.verdict, VERDICT_SHUTDOWN);
  assert_false(fake_store_is_asked(trial->store, RECORD_DOMAIN, "d.test"));
  assert_true(offer_host(trial, "a.test", 0, 300)); /* nobody waits for that any more */
  ask_known(trial, &later, "f.test", DEPTH_EXCHANGES);
  assert_int_equal(later.verdict, VERDICT_SHUTDOWN);
  assert_int_equal(trial->store->open_count, 0);
}

static void destroying_takes_back_what_was_asked_of_the_store(void **state) {
  struct trial *trial = *state;
  static struct client clients[4];
  ask(trial, &clients[0], "d.test", DEPTH_EXCHANGES);
  ask(trial, &clients[1], "e.test", DEPTH_ADDRESSES);
  assert_true(offer_mx(trial, "e.test", 0, 300));
  ask(trial, &clients[2], "f.test", DEPTH_EXCHANGES);
  late_store(trial, RECORD_DOMAIN, "f.test");
  ask(trial, &clients[3], "g.test", DEPTH_EXCHANGES);
  late_store(trial, RECORD_DOMAIN, "g.test");
  deliver(trial, "g.test", DNSMSG_MX, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(trial->store->open_count, 4); /* close_trial does the rest */
}

static void a_lookup_tells_what_the_store_had_to_say(void **state) {
  struct trial *trial = *state;
  static struct client client;
  struct story *story = story_create();
  prepare_told(trial, &client, "d.test", DEPTH_ADDRESSES, story);
  assert_false(submit(&client));
  assert_false(offer_mx(trial, "d.test", 400, 300));
  end_store(trial, RECORD_DOMAIN, "d.test", STORE_MISSING);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_true(offer_host(trial, "a.test", 100, 300));
  static const struct {
    const char *rule, *text;
  } lines[] = {
      {"", "memory holds nothing about d.test"},
      {"C1", "asks the shared store for d.test"},
      {"T6", "memory takes what the shared store holds, in case the DNS fails"},
      {"C1",
       "the shared store knows d.test: node-b learned it 400 s ago, it expired 100 s ago by the DNS, "
       "which is not enough"},
      {"C1", "the shared store has no answer for d.test"},
      {"T1 (RFC 2181 5.2), T2", "the MX facts live 300 s: the least TTL is 300, within 0 to 86400"},
      {"C2", "shared with the cluster: what the DNS said of d.test"},
      {"C1", "asks the shared store for a.test"},
      {"C1", "the shared store knows a.test: node-b learned it 100 s ago, good for 200 s more by the DNS"},
  };
  for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]) && i < story_count(story); i++) {
    assert_string_equal(story_line(story, i).rule, lines[i].rule);
    assert_string_equal(story_line(story, i).text, lines[i].text);
  }
  assert_int_equal(story_count(story), sizeof(lines) / sizeof(lines[0]));
  story_unref(story);
}

int main(void) {
  name_hash_init();
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(exchanges_are_one_query_and_then_none),
      TRIAL(addresses_are_asked_for_in_parallel_and_then_known),
      TRIAL(addresses_are_asked_for_where_only_the_exchanges_are_known),
      TRIAL(only_the_host_that_has_expired_is_asked_for),
      TRIAL(domains_that_share_an_exchange_ask_for_it_once),
      TRIAL(names_with_one_hash_are_still_two_domains),
      TRIAL(ten_thousand_questions_are_one_query_of_each_type),
      TRIAL(questions_are_answered_in_the_order_they_came),
      TRIAL(a_question_about_exchanges_does_not_wait_for_addresses_it_came_late_for),
      TRIAL(a_question_about_addresses_joins_in_the_second_stage),
      TRIAL(a_ttl_of_0_is_for_all_who_wait_and_nobody_after),
      TRIAL(answers_without_exchanges_ask_for_no_addresses),
      TRIAL(odd_records_are_dropped_with_a_warning),
      TRIAL(a_hundred_exchanges_are_taken),
      TRIAL(an_exchange_that_is_an_address_needs_no_more_queries),
      TRIAL(a_domain_without_mx_is_its_own_exchange),
      TRIAL(depth_exchanges_does_not_check_an_implicit_exchange),
      TRIAL(no_mx_and_no_address_is_permanent_only_where_both_are_denied),
      TRIAL(a_denial_without_soa_lives_5_seconds),
      TRIAL(a_domain_that_is_an_alias_is_answered_with_its_end),
      TRIAL(an_implicit_exchange_is_the_end_of_the_alias_chain),
      TRIAL(an_alias_of_nothing_is_no_such_domain),
      TRIAL(eight_aliases_are_followed_and_nine_are_a_loop),
      TRIAL(every_failure_has_its_verdict_and_is_remembered_for_a_while),
      TRIAL(each_failure_in_a_row_is_remembered_twice_as_long),
      TRIAL(a_success_between_failures_begins_the_row_anew),
      cmocka_unit_test(a_failure_that_the_sweep_finds_is_kept_as_long_again_as_it_lived),
      TRIAL(a_failure_of_long_ago_begins_no_row_though_no_sweep_has_come),
      TRIAL(no_network_neither_charges_a_domain_nor_forgives_it),
      TRIAL(no_network_and_too_much_to_do_leave_a_failure_that_holds),
      TRIAL(a_shed_query_is_overload_for_each_who_waits_and_not_remembered),
      TRIAL(a_refresh_that_is_shed_is_counted_and_leaves_good_facts),
      TRIAL(a_refresh_that_never_went_out_is_overload),
      cmocka_unit_test(notimp_is_a_domain_without_mx_where_that_is_wanted),
      TRIAL(refresh_asks_for_all_although_it_is_known),
      TRIAL(refresh_in_the_first_stage_makes_do_with_the_query_under_way),
      TRIAL(refresh_in_the_second_stage_asks_for_the_mx_anew_once),
      TRIAL(refresh_that_is_refused_in_the_second_stage_leaves_the_flight_as_it_was),
      TRIAL(a_refresh_that_fails_says_so_and_leaves_good_facts),
      TRIAL(a_refresh_that_fails_is_no_failure_for_who_did_not_want_one),
      TRIAL(a_failure_replaces_facts_that_expire_while_they_are_refreshed),
      TRIAL(a_failure_may_replace_a_failure),
      TRIAL(a_denial_replaces_good_facts),
      TRIAL(a_configured_route_asks_for_addresses_and_for_no_mx),
      TRIAL(a_configured_route_and_the_domain_itself_do_not_meet),
      TRIAL(a_refresh_of_a_configured_route_asks_for_its_addresses_anew),
      TRIAL(a_configured_route_outlives_who_asked_with_it),
      TRIAL(a_configured_route_that_cannot_ask_says_so),
      TRIAL(a_configured_route_ends_at_the_lookup_deadline_with_what_is_known),
      TRIAL(cache_only_asks_nobody),
      TRIAL(cache_only_joins_no_flight),
      TRIAL(a_question_ends_at_its_deadline_and_the_flight_fills_the_cache),
      TRIAL(a_lookup_of_addresses_goes_on_to_them_though_nobody_waits),
      TRIAL(a_lookup_of_exchanges_goes_no_further_when_nobody_waits),
      TRIAL(a_question_may_end_while_its_addresses_are_asked_for),
      TRIAL(each_question_has_a_deadline_of_its_own),
      TRIAL(a_flight_ends_at_the_lookup_deadline_and_its_silence_is_remembered),
      TRIAL(a_query_that_never_went_out_by_the_deadline_is_overload_and_not_remembered),
      TRIAL(a_flight_that_ends_answers_what_is_known_of_its_hosts),
      TRIAL(a_flight_that_ends_without_any_address_is_a_soft_failure),
      TRIAL(a_refresh_that_is_too_slow_is_so_only_for_who_wanted_it),
      TRIAL(a_question_that_joins_late_ends_with_its_flight),
      TRIAL(the_next_deadline_is_that_of_the_earliest),
      TRIAL(a_question_taken_back_is_not_answered_and_the_flight_fills_the_cache),
      TRIAL(any_of_several_questions_can_be_taken_back),
      TRIAL(a_question_that_is_not_pending_cannot_be_taken_back),
      TRIAL(the_deadline_of_a_question_goes_with_it),
      TRIAL(a_question_may_be_taken_back_while_its_addresses_are_asked_for),
      TRIAL(a_flight_that_nobody_waits_for_can_be_joined_and_ends_at_its_deadline),
      TRIAL(a_refresh_that_is_taken_back_and_fails_leaves_good_facts),
      TRIAL(a_lookup_tells_its_steps_in_order),
      TRIAL(what_ends_badly_is_told),
      TRIAL(a_refresh_that_fails_tells_that_the_facts_stay),
      TRIAL(the_story_of_who_has_gone_is_told_on_and_freed_with_the_flight),
      TRIAL(a_story_outlives_the_flight_that_told_it),
      TRIAL(who_joins_a_flight_is_told_so_and_the_first_is_told_the_rest),
      TRIAL(a_flight_without_a_story_tells_the_first_that_joins_with_one),
      TRIAL(who_sends_a_flight_back_for_the_mx_is_told_of_that_query),
      TRIAL(an_answer_from_memory_tells_what_memory_held),
      TRIAL(a_query_that_is_refused_is_overload_at_once_and_not_remembered),
      TRIAL(who_joins_a_flight_under_way_is_not_refused),
      TRIAL(addresses_that_are_all_refused_are_overload),
      TRIAL(addresses_that_are_refused_behind_the_mx_are_a_soft_failure),
      TRIAL(addresses_of_which_some_are_refused_are_a_route),
      TRIAL(a_chain_that_is_refused_midway_is_overload_and_not_remembered),
#define STALE(test) cmocka_unit_test_setup_teardown(test, open_stale_trial, close_trial)
      STALE(where_the_dns_fails_expired_records_are_answered_stale),
      STALE(a_fresh_address_beside_stale_records_is_answered),
      STALE(who_wants_no_stale_answer_is_told_of_the_failure_once_asked_for),
      STALE(where_the_dns_is_late_expired_records_are_answered_and_the_lookup_goes_on),
      STALE(where_the_dns_is_known_to_be_down_nobody_waits_long),
      STALE(a_question_of_little_patience_is_answered_stale_at_its_deadline),
      STALE(addresses_alone_may_be_stale),
      STALE(too_much_to_do_is_answered_stale_rather_than_refused),
      STALE(a_denial_replaces_stale_facts_at_once),
      STALE(what_expired_too_long_ago_is_not_answered),
      STALE(a_denial_of_the_name_and_a_ttl_of_0_are_never_stale),
      STALE(a_domain_that_is_its_own_exchange_is_answered_stale),
      STALE(a_refresh_asks_for_what_is_due_and_only_once_at_a_time),
      STALE(a_refresh_of_addresses_leaves_the_mx_alone),
      STALE(who_joins_a_refresh_makes_it_urgent),
      STALE(a_refresh_that_cannot_be_asked_or_fails_leaves_everything_as_it_was),
      TRIAL(stopping_answers_all_and_refuses_what_comes),
      cmocka_unit_test(destroying_takes_back_flights_of_both_stages_and_answers_nobody),
      cmocka_unit_test(facts_that_are_used_are_held_while_the_cache_is_at_its_bound),
      cmocka_unit_test(facts_that_are_used_are_held_whatever_a_put_evicts),
      TRIAL(a_domain_that_is_purged_while_it_is_looked_up_is_still_answered),
      cmocka_unit_test(every_question_is_answered_exactly_once_whatever_happens),
      cmocka_unit_test(every_question_is_answered_though_the_cache_is_always_full),
      cmocka_unit_test(every_question_is_answered_exactly_once_whatever_the_store_does),
      TRIAL(what_a_purge_has_overtaken_is_delivered_and_not_kept),
      TRIAL(a_purge_of_some_kinds_leaves_what_turns_out_to_be_of_others),
      TRIAL(a_failure_that_a_purge_has_overtaken_is_not_remembered),
      TRIAL(a_lookup_that_starts_over_after_a_purge_is_kept),
      TRIAL(addresses_that_a_purge_has_overtaken_are_delivered_once),
      TRIAL(a_lookup_under_way_can_be_seen),
#define STORED(test) cmocka_unit_test_setup_teardown(test, open_stored_trial, close_trial)
      STORED(what_another_node_has_learned_is_answered_without_the_dns),
      STORED(an_answer_is_of_the_store_where_the_dns_gave_nothing_of_it),
      STORED(a_flight_that_is_met_says_where_its_exchanges_came_from),
      STORED(addresses_alone_may_come_from_the_store),
      STORED(any_number_of_questions_is_one_read),
      STORED(what_one_daemon_learns_another_answers),
      STORED(a_store_that_is_away_delays_nobody),
      STORED(where_the_dns_takes_nothing_the_store_may_still_answer),
      STORED(the_first_good_answer_of_store_and_dns_wins),
      STORED(stale_facts_of_the_store_are_answered_where_the_dns_fails),
      STORED(stale_facts_of_the_store_are_answered_where_the_dns_is_late),
      STORED(where_the_dns_is_known_to_be_down_nobody_waits_long_for_stale_facts_of_the_store),
      STORED(stale_addresses_of_the_store_are_answered_where_the_dns_is_late),
      STORED(who_waits_for_a_host_later_gets_its_stale_addresses_too),
      STORED(a_denial_of_the_dns_replaces_stale_facts_of_the_store),
      STORED(cache_only_does_not_ask_the_store),
      STORED(a_refresh_asks_the_dns_whatever_the_store_holds_and_shares),
      STORED(a_refresh_that_joins_a_read_has_the_dns_asked),
      STORED(a_refresh_that_joins_behind_the_store_has_the_dns_asked),
      STORED(a_refresh_that_joins_behind_the_store_and_fails_leaves_what_it_gave),
      STORED(who_wants_nothing_stale_has_the_store_asked_again),
      STORED(only_what_an_answer_is_made_of_says_where_it_came_from),
      STORED(addresses_of_the_dns_do_not_make_exchanges_of_the_store_the_dns_s),
      STORED(a_question_ends_at_its_deadline_while_the_store_is_asked),
      STORED(a_question_may_be_taken_back_while_the_store_is_asked),
      STORED(a_flight_ends_at_the_lookup_deadline_whatever_the_store_does),
      STORED(addresses_of_a_configured_route_may_come_from_the_store),
      STORED(a_look_ahead_asks_the_store_and_takes_what_is_younger),
      STORED(a_look_ahead_asks_the_dns_where_the_store_has_nothing_younger),
      STORED(a_look_ahead_at_addresses_asks_the_store),
      STORED(who_joins_a_look_ahead_makes_it_urgent_though_the_store_is_asked),
      STORED(a_purge_that_overtakes_a_read_has_the_dns_asked),
      STORED(stopping_takes_back_what_was_asked_of_the_store),
      STORED(destroying_takes_back_what_was_asked_of_the_store),
      STORED(a_lookup_tells_what_the_store_had_to_say),
  };
  return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
