#include "cmocka_compat.h"

#include <limits.h>

#include "fake_dns.h"
#include "fake_store.h"
#include "resolve/mx.h"

enum { NOW_MS = 100000000, HOPS = 8, MAX_STALE_MS = 3600000, S = 1000 };

static struct stats stats;

/* One domain, d.test, and what was told of it. */
struct trial {
  struct learn_policy policy;
  struct dns *dns;
  struct store *store;
  struct fetch_ways ways;
  struct cache *cache;
  struct mx_common common;
  struct name name;
  struct mx mx;
  unsigned facts_count, failed, expired;
  const struct domain_facts *facts; /* held */
  enum verdict failure;
};

static struct trial *trial_of(struct mx *mx) {
  return (struct trial *)((char *)mx - offsetof(struct trial, mx));
}

static void on_facts(struct mx *mx, const struct domain_facts *facts, int64_t now_ms) {
  struct trial *trial = trial_of(mx);
  (void)now_ms;
  trial->facts_count++;
  if (trial->facts)
    cache_release(trial->cache, trial->facts);
  trial->facts = facts;
}

static void on_failure(struct mx *mx, enum verdict failure, int64_t now_ms) {
  (void)now_ms;
  trial_of(mx)->failed++;
  trial_of(mx)->failure = failure;
}

static void on_expired(struct mx *mx, int64_t now_ms) {
  (void)now_ms;
  assert_non_null(mx_peek(mx));
  trial_of(mx)->expired++;
}

static int open_trial(void **state) {
  static const struct mx_calls calls = {on_facts, on_failure, on_expired};
  static const struct name_policy names;
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->policy.ttl = (struct ttl_policy){
      .max_s = 86400, .max_negative_s = 3600, .failure_s = 7, .max_failure_s = 300, .prefetch_percent = 10};
  trial->policy.max_stale_ms = MAX_STALE_MS;
  trial->dns = fake_dns_create();
  trial->store = fake_store_create();
  trial->ways = (struct fetch_ways){
      .store = trial->store, .dns = trial->dns, .policy = &trial->policy, .max_cname_hops = HOPS};
  trial->cache = cache_create(1 << 20, MAX_STALE_MS, &stats);
  assert_non_null(trial->cache);
  mx_common_init(&trial->common, trial->cache, &trial->ways);
  assert_int_equal(name_parse((const uint8_t *)"d.test", 6, &names, &trial->name), NAME_OK);
  mx_init(&trial->mx, &trial->common, &calls, &trial->name, name_hash("d.test", 6));
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  fetch_cancel(&trial->mx.fetch);
  assert_int_equal(trial->dns->open_count, 0);
  if (trial->facts)
    cache_release(trial->cache, trial->facts);
  cache_destroy(trial->cache);
  dns_destroy(trial->dns);
  fake_store_destroy(trial->store);
  free(trial);
  return 0;
}

/* ---- what a test does ---- */

static void start(struct trial *trial) {
  trial->facts_count = trial->failed = trial->expired = 0;
  assert_int_equal(mx_start(&trial->mx, true, NOW_MS), 0);
  assert_int_equal(trial->dns->open_count, 0);
}

static struct store_read *read_of(struct trial *trial) {
  struct store_read *read = fake_store_find(trial->store, RECORD_DOMAIN, "d.test");
  assert_non_null(read);
  return read;
}

/* The store shows facts that were learned `age_s` ago and live `life_s` by the DNS. */
static bool offer(struct trial *trial, enum domain_kind kind, int64_t age_s, int64_t life_s) {
  struct record record = fake_record(kind, "d.test", age_s * S, life_s * S, NOW_MS);
  return fake_store_offer(read_of(trial), &record, NOW_MS);
}

/* The store knows nothing; the DNS says so. */
static void learn(struct trial *trial, struct dnsmsg message) {
  start(trial);
  fake_store_end(read_of(trial), STORE_MISSING, NOW_MS);
  fake_dns_deliver(trial->dns, "d.test", DNSMSG_MX, &message, NOW_MS);
}

/* The last word of a read that was shown what is not enough. */
static void fail_all(struct trial *trial) {
  fake_store_end(read_of(trial), STORE_MISSING, NOW_MS);
  fake_dns_fail(trial->dns, "d.test", DNSMSG_MX, DNS_TIMED_OUT, NOW_MS);
  assert_int_equal(trial->failed, 1);
}

/* Puts facts that were learned `age_s` ago and live `life_s` here, refreshed in their last `lead_s`. */
static void know(struct trial *trial, enum domain_kind kind, int64_t age_s, int64_t life_s, uint32_t lead_s) {
  static struct domain_value value;
  memset(&value, 0, sizeof(value));
  value.kind = kind;
  value.cause = kind == DOMAIN_FAILED ? VERDICT_DNS_SERVFAIL : 0;
  value.stored_at_ms = NOW_MS - age_s * S;
  value.expires_at_ms = value.stored_at_ms + life_s * S;
  value.refresh_lead_ms = lead_s * S;
  value.count = kind == DOMAIN_MX;
  snprintf(value.exchanges[0].host, FACTS_NAME_SIZE, "known.test");
  const struct domain_facts *facts = cache_put(trial->cache, "d.test", 6, trial->mx.hash, &value);
  assert_non_null(facts);
  cache_release(trial->cache, facts);
}

static const char *first_host(const struct domain_facts *facts) {
  assert_non_null(facts);
  assert_non_null(facts->set);
  return facts->set->exchanges[0].host->name;
}

/* ---- from the store ---- */

static void what_the_store_holds_is_published_and_not_written_back(void **state) {
  struct trial *trial = *state;
  start(trial);
  assert_true(offer(trial, DOMAIN_MX, 100, 300));
  assert_int_equal(trial->facts_count, 1);
  assert_ptr_equal(trial->facts, mx_peek(&trial->mx));
  assert_string_equal(first_host(trial->facts), "a.test");
  assert_true(trial->facts->stored_at_ms == NOW_MS - 100 * S);
  assert_true(trial->facts->expires_at_ms == NOW_MS + 200 * S);
  assert_in_range(trial->facts->refresh_lead_ms, 15 * S, 45 * S);
  assert_int_equal(trial->mx.origin, FETCH_OF_STORE);
  assert_int_equal(trial->dns->asked_count, 0);
  assert_int_equal(trial->store->put_count + trial->store->released_count, 0);
}

static void every_kind_of_facts_is_taken(void **state) {
  struct trial *trial = *state;
  static const enum domain_kind kinds[] = {DOMAIN_MX, DOMAIN_NULL_MX, DOMAIN_NODATA, DOMAIN_NXDOMAIN,
                                           DOMAIN_ALL_INVALID};
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    start(trial);
    assert_true(offer(trial, kinds[i], 100, 300 + 100 * (int64_t)i));
    assert_int_equal(trial->facts->kind, kinds[i]);
    assert_true(trial->facts->expires_at_ms == NOW_MS + (200 + 100 * (int64_t)i) * S);
    assert_true(cache_remove(trial->cache, "d.test", 6, trial->mx.hash));
  }
}

static void each_node_has_bounds_of_its_own(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum domain_kind kind;
    int64_t age_s, life_s;
    uint32_t min_s, max_s, max_negative_s;
    int64_t left_s; /* here; at most 0: it has expired */
  } rows[] = {
      {DOMAIN_MX, 100, 300, 0, 86400, 3600, 200},      {DOMAIN_MX, 100, 300, 0, 120, 3600, 20},
      {DOMAIN_MX, 100, 300, 0, 100, 3600, 0},          {DOMAIN_MX, 100, 300, 600, 86400, 3600, 500},
      {DOMAIN_MX, 100, 60, 600, 86400, 3600, 500},     {DOMAIN_MX, 100, 60, 0, 86400, 3600, -40},
      {DOMAIN_NULL_MX, 100, 3000, 0, 86400, 60, 2900}, {DOMAIN_NXDOMAIN, 100, 3000, 0, 60, 600, 500},
      {DOMAIN_NXDOMAIN, 100, 3000, 0, 86400, 0, -100}, {DOMAIN_NODATA, 100, 150, 3600, 86400, 600, 50},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    trial->policy.ttl.min_s = rows[i].min_s;
    trial->policy.ttl.max_s = rows[i].max_s;
    trial->policy.ttl.max_negative_s = rows[i].max_negative_s;
    start(trial);
    bool is_enough = offer(trial, rows[i].kind, rows[i].age_s, rows[i].life_s);
    if (is_enough != (rows[i].left_s > 0))
      fail_msg("row %zu", i);
    if (is_enough)
      assert_true(trial->facts->expires_at_ms == NOW_MS + rows[i].left_s * S);
    else
      fail_all(trial);
    cache_remove(trial->cache, "d.test", 6, trial->mx.hash);
  }
}

/* ---- what has expired ---- */

static void what_has_expired_goes_into_memory_and_the_dns_is_asked(void **state) {
  struct trial *trial = *state;
  start(trial);
  assert_false(offer(trial, DOMAIN_MX, 400, 300));
  assert_int_equal(trial->expired, 1);
  assert_int_equal(trial->facts_count, 0);
  assert_string_equal(first_host(mx_peek(&trial->mx)), "a.test");
  assert_true(mx_peek(&trial->mx)->expires_at_ms == NOW_MS - 100 * S);
  assert_int_equal(mx_peek(&trial->mx)->stale_for_ms, 0); /* that is for the DNS to bring about */
  assert_int_equal(trial->mx.origin, FETCH_OF_STORE);
  fail_all(trial);
  assert_int_equal(trial->failure, VERDICT_DNS_TIMEOUT);
  assert_string_equal(first_host(mx_peek(&trial->mx)), "a.test");
}

static void what_the_dns_says_takes_the_place_of_what_had_expired(void **state) {
  struct trial *trial = *state;
  start(trial);
  assert_false(offer(trial, DOMAIN_MX, 400, 300));
  fake_store_end(read_of(trial), STORE_MISSING, NOW_MS);
  struct dnsmsg message = fake_denial(DNSMSG_NXDOMAIN, 60);
  fake_dns_deliver(trial->dns, "d.test", DNSMSG_MX, &message, NOW_MS);
  assert_int_equal(trial->facts->kind, DOMAIN_NXDOMAIN);
  assert_ptr_equal(mx_peek(&trial->mx), trial->facts);
  assert_int_equal(trial->mx.origin, FETCH_OF_DNS);
}

static void only_what_may_be_answered_stale_goes_into_memory(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum domain_kind kind;
    int64_t age_s, life_s, max_stale_s;
    bool goes;
  } rows[] = {
      {DOMAIN_MX, 400, 300, 3600, true},        {DOMAIN_NODATA, 400, 300, 3600, true},
      {DOMAIN_NULL_MX, 400, 300, 3600, true},   {DOMAIN_ALL_INVALID, 400, 300, 3600, true},
      {DOMAIN_NXDOMAIN, 400, 300, 3600, false}, {DOMAIN_MX, 400, 300, 101, true},
      {DOMAIN_MX, 400, 300, 100, false},        {DOMAIN_MX, 400, 300, 0, false},
      {DOMAIN_NODATA, 4000, 86400, 3600, true}, /* expired by max-negative-ttl here */
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    trial->policy.max_stale_ms = rows[i].max_stale_s * S;
    start(trial);
    assert_false(offer(trial, rows[i].kind, rows[i].age_s, rows[i].life_s));
    if (trial->expired != rows[i].goes ||
        cache_remove(trial->cache, "d.test", 6, trial->mx.hash) != rows[i].goes)
      fail_msg("row %zu", i);
    fail_all(trial);
  }
}

static void memory_that_is_younger_stays(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum domain_kind kind;
    int64_t age_s;
    bool stays;
  } rows[] = {
      {DOMAIN_MX, 399, true},       {DOMAIN_MX, 400, true},      {DOMAIN_MX, 401, false},
      {DOMAIN_NXDOMAIN, 399, true}, {DOMAIN_FAILED, 399, false}, /* it says nothing of the domain */
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    know(trial, rows[i].kind, rows[i].age_s, 300, 0);
    start(trial);
    assert_false(offer(trial, DOMAIN_MX, 400, 300));
    if ((mx_peek(&trial->mx)->kind == rows[i].kind &&
         mx_peek(&trial->mx)->stored_at_ms == NOW_MS - rows[i].age_s * S) != rows[i].stays)
      fail_msg("row %zu", i);
    assert_int_equal(trial->expired, !rows[i].stays);
    fail_all(trial);
  }
}

/* ---- ahead of the end ---- */

static void a_refresh_takes_what_lives_longer_by_more_than_its_lead(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum domain_kind kind;
    int64_t age_s, life_s; /* of what memory has, with a lead of 30 s */
    int64_t left_s;        /* of what the store has */
    bool is_enough;
  } rows[] = {
      {DOMAIN_MX, 280, 300, 20, false},    {DOMAIN_MX, 280, 300, 50, false},
      {DOMAIN_MX, 280, 300, 51, true},     {DOMAIN_MX, 300, 300, 1, true}, /* has just expired */
      {DOMAIN_FAILED, 280, 300, 20, true},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    know(trial, rows[i].kind, rows[i].age_s, rows[i].life_s, 30);
    start(trial);
    if (offer(trial, DOMAIN_MX, 10, 10 + rows[i].left_s) != rows[i].is_enough)
      fail_msg("row %zu", i);
    assert_int_equal(trial->expired, 0);
    if (!rows[i].is_enough) {
      assert_string_equal(first_host(mx_peek(&trial->mx)), "known.test");
      fail_all(trial);
    }
  }
}

/* ---- to the store ---- */

static void what_the_dns_said_is_shared_with_the_life_it_gave(void **state) {
  struct trial *trial = *state;
  static const struct {
    uint32_t ttl_s, min_s, max_s;
    int64_t raw_s;
  } rows[] = {
      {300, 0, 86400, 300},
      {300, 600, 86400, 300},
      {300, 0, 60, 300},
      {UINT32_C(0x80000005), 0, 86400, RECORD_LIFE_MAX_S},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    trial->policy.ttl.min_s = rows[i].min_s;
    trial->policy.ttl.max_s = rows[i].max_s;
    learn(trial, fake_mx(rows[i].ttl_s, 10, "b.test"));
    assert_int_equal(trial->mx.origin, FETCH_OF_DNS);
    assert_int_equal(trial->store->put_count, i + 1);
    struct record *record = fake_store_read(trial->store, RECORD_DOMAIN, "d.test", NOW_MS);
    assert_non_null(record);
    assert_int_equal(record->domain.kind, DOMAIN_MX);
    assert_string_equal(record->domain.exchanges[0].host, "b.test");
    assert_true(record->domain.stored_at_ms == NOW_MS);
    assert_true(record->domain.expires_at_ms == NOW_MS + rows[i].raw_s * S);
    assert_true(record->stale_until_ms == record->expires_at_ms + MAX_STALE_MS);
    free(record);
  }
  assert_int_equal(trial->store->released_count, 0);
}

static void a_denial_is_shared_with_the_life_its_soa_gives(void **state) {
  struct trial *trial = *state;
  static const enum dnsmsg_outcome outcomes[] = {DNSMSG_NXDOMAIN, DNSMSG_NODATA};
  static const enum domain_kind kinds[] = {DOMAIN_NXDOMAIN, DOMAIN_NODATA};
  for (size_t i = 0; i < 2; i++) {
    learn(trial, fake_denial(outcomes[i], 7200)); /* max-negative-ttl is less */
    struct record *record = fake_store_read(trial->store, RECORD_DOMAIN, "d.test", NOW_MS);
    assert_non_null(record);
    assert_int_equal(record->domain.kind, kinds[i]);
    assert_true(record->expires_at_ms == NOW_MS + 7200 * S);
    /* That a domain does not exist is never answered stale. */
    assert_true(record->stale_until_ms == record->expires_at_ms + (i ? MAX_STALE_MS : 0));
    free(record);
  }
}

static void an_alias_bounds_the_life_that_is_shared(void **state) {
  struct trial *trial = *state;
  struct dnsmsg message = fake_alias(DNSMSG_NODATA, 1, 40, "e.test");
  message.has_soa = true;
  message.negative_ttl_s = 300;
  learn(trial, message);
  struct record *record = fake_store_read(trial->store, RECORD_DOMAIN, "d.test", NOW_MS);
  assert_true(record->expires_at_ms == NOW_MS + 40 * S);
  assert_string_equal(record->domain.canonical, "e.test");
  free(record);
}

static void what_only_we_know_is_not_shared_and_the_lease_is_given_back(void **state) {
  struct trial *trial = *state;
  struct dnsmsg without_soa = fake_reply(DNSMSG_NXDOMAIN), notimp = fake_denial(DNSMSG_NOTIMP, 300);
  struct dnsmsg messages[] = {fake_mx(0, 10, "b.test"), without_soa, fake_denial(DNSMSG_NODATA, 0), notimp,
                              fake_reply(DNSMSG_SERVFAIL)};
  trial->policy.notimp_as_nodata = true;
  trial->policy.ttl.min_s = 60; /* a TTL of 0 lives here, and nowhere else */
  for (unsigned i = 0; i < 5; i++) {
    learn(trial, messages[i]);
    assert_int_equal(trial->facts_count + trial->failed, 1);
    assert_int_equal(trial->store->released_count, i + 1);
  }
  assert_int_equal(trial->failure, VERDICT_DNS_SERVFAIL);
  assert_int_equal(trial->store->put_count, 0);
}

static void a_failure_is_published_and_not_shared(void **state) {
  struct trial *trial = *state;
  start(trial);
  fail_all(trial);
  mx_put_failure(&trial->mx, VERDICT_DNS_TIMEOUT, NOW_MS);
  assert_int_equal(trial->facts->kind, DOMAIN_FAILED);
  assert_int_equal(trial->facts->cause, VERDICT_DNS_TIMEOUT);
  assert_int_equal(trial->mx.origin, FETCH_OF_DNS);
  assert_int_equal(trial->store->put_count, 0);
}

/* ---- purges ---- */

static void what_a_purge_has_overtaken_is_neither_kept_nor_shared(void **state) {
  struct trial *trial = *state;
  trial->mx.forgotten = 1 << DOMAIN_MX;
  learn(trial, fake_mx(300, 10, "b.test"));
  assert_string_equal(first_host(trial->facts), "b.test");
  assert_null(mx_peek(&trial->mx));
  assert_int_equal(trial->store->put_count, 0);
  assert_int_equal(trial->store->released_count, 1);
  learn(trial, fake_denial(DNSMSG_NXDOMAIN, 300));
  assert_non_null(mx_peek(&trial->mx));
  assert_int_equal(trial->store->put_count, 1);
}

static void what_a_purge_is_for_is_not_taken_from_the_store(void **state) {
  struct trial *trial = *state;
  trial->mx.forgotten = 1 << DOMAIN_MX;
  start(trial);
  assert_false(offer(trial, DOMAIN_MX, 100, 300));
  assert_false(offer(trial, DOMAIN_MX, 400, 300));
  assert_int_equal(trial->expired, 0);
  assert_null(mx_peek(&trial->mx));
  assert_true(offer(trial, DOMAIN_NXDOMAIN, 100, 300));
  assert_int_equal(trial->facts->kind, DOMAIN_NXDOMAIN);
  assert_non_null(mx_peek(&trial->mx));
}

static void what_another_node_writes_is_what_this_one_reads(void **state) {
  struct trial *trial = *state;
  struct dnsmsg message = fake_mx(300, 20, "b.test");
  fake_add_mx(&message, 10, "a.test");
  fake_add_mx(&message, 10, "");
  message.authentic = true;
  learn(trial, message);
  struct record *record = fake_store_read(trial->store, RECORD_DOMAIN, "d.test", NOW_MS);
  assert_true(cache_remove(trial->cache, "d.test", 6, trial->mx.hash));
  const struct domain_facts *own = trial->facts;
  cache_hold(own);
  start(trial);
  assert_true(fake_store_offer(read_of(trial), record, NOW_MS));
  assert_ptr_equal(trial->facts->set, own->set);
  assert_int_equal(trial->facts->warnings, own->warnings);
  assert_int_equal(trial->facts->authentic, own->authentic);
  assert_true(trial->facts->stored_at_ms == own->stored_at_ms);
  assert_true(trial->facts->expires_at_ms == own->expires_at_ms);
  cache_release(trial->cache, own);
  free(record);
}

int main(void) {
  name_hash_init();
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(what_the_store_holds_is_published_and_not_written_back),
      TRIAL(every_kind_of_facts_is_taken),
      TRIAL(each_node_has_bounds_of_its_own),
      TRIAL(what_has_expired_goes_into_memory_and_the_dns_is_asked),
      TRIAL(what_the_dns_says_takes_the_place_of_what_had_expired),
      TRIAL(only_what_may_be_answered_stale_goes_into_memory),
      TRIAL(memory_that_is_younger_stays),
      TRIAL(a_refresh_takes_what_lives_longer_by_more_than_its_lead),
      TRIAL(what_the_dns_said_is_shared_with_the_life_it_gave),
      TRIAL(a_denial_is_shared_with_the_life_its_soa_gives),
      TRIAL(an_alias_bounds_the_life_that_is_shared),
      TRIAL(what_only_we_know_is_not_shared_and_the_lease_is_given_back),
      TRIAL(a_failure_is_published_and_not_shared),
      TRIAL(what_a_purge_has_overtaken_is_neither_kept_nor_shared),
      TRIAL(what_a_purge_is_for_is_not_taken_from_the_store),
      TRIAL(what_another_node_writes_is_what_this_one_reads),
  };
  return cmocka_run_group_tests_name("mx", tests, NULL, NULL);
}
