#include "cmocka_compat.h"

#include "control/purge.h"
#include "fake_dns.h"
#include "fake_fleet.h"
#include "made_memory.h"
#include "resolve/resolver.h"
#include "store/store.h"

enum { NOW_MS = 1000000, CACHE_BYTES = 4 << 20, STEP_COUNT = 7 };

static struct stats stats;

struct trial {
  struct dns *dns;
  struct cache *cache;
  struct store *store; /* NULL: none */
  struct resolver *resolver;
  struct purge purge;
  struct question question; /* of a lookup under way */
  unsigned answers;
};

static void on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  (void)question, (void)answer, (void)now_ms;
  ((struct trial *)context)->answers++;
}

static int open_trial(void **state) {
  static const struct resolver_options options = {
      .learn = {.ttl = {.max_s = 86400, .max_negative_s = 3600, .failure_s = 5, .max_failure_s = 300}},
      .lookup_deadline_ms = 5000,
      .max_cname_hops = 8};
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->dns = fake_dns_create();
  trial->cache = cache_create(CACHE_BYTES, 0, &stats);
  assert_non_null(trial->cache);
  trial->resolver = resolver_create(trial->cache, NULL, trial->dns, &options, &stats, on_answer, trial);
  assert_non_null(trial->resolver);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  resolver_destroy(trial->resolver);
  store_destroy(trial->store);
  cache_destroy(trial->cache);
  dns_destroy(trial->dns);
  free(trial);
  return 0;
}

/* ---- what is in memory ---- */

static void put(struct trial *trial, const char *name, enum domain_kind kind, const char *first,
                const char *second) {
  struct domain_value value = {.kind = kind, .stored_at_ms = NOW_MS, .expires_at_ms = INT64_MAX};
  for (const char *host = first; host; host = host == first ? second : NULL)
    memory_add(&value, kind == DOMAIN_MX ? value.count + 10u : 0, host);
  memory_put(trial->cache, name, &value);
}

static void give(struct trial *trial, const char *name, enum family_state v6, enum family_state v4) {
  struct family_value values[FAMILY_COUNT] = {
      [FAMILY_V6] = {.state = v6, .expires_at_ms = INT64_MAX, .count = v6 == FAMILY_OK},
      [FAMILY_V4] = {.state = v4, .expires_at_ms = INT64_MAX, .count = v4 == FAMILY_OK}};
  memory_give(trial->cache, name, values, NOW_MS);
}

static bool is_known(struct trial *trial, const char *name) {
  return memory_peek(trial->cache, name) != NULL;
}

static enum family_state state_of(struct trial *trial, const char *name, enum family family) {
  const struct host_facts *facts = atomic_load(&memory_host(trial->cache, name)->facts);
  return facts ? facts->state[family] : FAMILY_UNKNOWN;
}

/* d.test and e.test share a.test and b.test; the others are of all kinds. */
static void fill(struct trial *trial) {
  put(trial, "d.test", DOMAIN_MX, "a.test", "b.test");
  put(trial, "e.test", DOMAIN_MX, "a.test", "b.test");
  put(trial, "x.d.test", DOMAIN_MX, "c.test", NULL);
  put(trial, "xd.test", DOMAIN_MX, "c.test", NULL);
  put(trial, "web.test", DOMAIN_NODATA, "web.test", NULL);
  put(trial, "none.test", DOMAIN_NXDOMAIN, NULL, NULL);
  put(trial, "null.test", DOMAIN_NULL_MX, NULL, NULL);
  put(trial, "broken.test", DOMAIN_FAILED, NULL, NULL);
  give(trial, "a.test", FAMILY_OK, FAMILY_OK);
  give(trial, "b.test", FAMILY_NODATA, FAMILY_OK);
  give(trial, "c.test", FAMILY_TEMPFAIL, FAMILY_OK);
  give(trial, "web.test", FAMILY_NXDOMAIN, FAMILY_NODATA);
}

static void purge(struct trial *trial, enum purge_what what, const char *text) {
  struct name name;
  if (text)
    memory_name(&name, text);
  purge_start(&trial->purge, trial->cache, trial->resolver, trial->store, what, text ? &name : NULL);
  while (!purge_has_ended(&trial->purge))
    purge_step(&trial->purge, STEP_COUNT, NOW_MS);
}

static void check_counts(const struct trial *trial, unsigned domains, unsigned hosts) {
  assert_int_equal(trial->purge.domain_count, domains);
  assert_int_equal(trial->purge.host_count, hosts);
}

/* ---- the shared store ---- */

static int open_shared(void **state) {
  static const struct store_options options = {
      .prefix = "mxway:1:", .origin = "node", .timeout_ms = 30, .max_commands = 1000, .max_writes = 100};
  open_trial(state);
  struct trial *trial = *state;
  fake_fleet_init();
  assert_int_equal(store_create(NULL, &options, &stats, &trial->store), 0);
  return 0;
}

static void a_domain_is_deleted_in_the_shared_store_with_its_exchanges(void **state) {
  struct trial *trial = *state;
  fill(trial);
  purge(trial, PURGE_OF_DOMAIN, "d.test");
  purge(trial, PURGE_OF_DOMAIN, "unknown.test"); /* here; the store may know it */
  store_run(trial->store, NOW_MS);
  static const char *const deleted[] = {"DEL mxway:1:d:d.test", "DEL mxway:1:h:a.test",
                                        "DEL mxway:1:h:b.test", "DEL mxway:1:d:unknown.test"};
  assert_int_equal(fake_fleet.count, 4);
  for (size_t i = 0; i < 4; i++)
    assert_string_equal(fake_fleet.calls[i].text, deleted[i]);
}

static void what_is_purged_in_bulk_is_not_deleted_one_by_one(void **state) {
  struct trial *trial = *state;
  fill(trial);
  purge(trial, PURGE_OF_SUFFIX, "d.test");
  purge(trial, PURGE_OF_ALL, NULL);
  store_run(trial->store, NOW_MS);
  assert_int_equal(fake_fleet.count, 0);
}

/* ---- orders ---- */

static void a_domain_goes_with_the_addresses_of_its_exchanges(void **state) {
  struct trial *trial = *state;
  fill(trial);
  purge(trial, PURGE_OF_DOMAIN, "d.test");
  check_counts(trial, 1, 2);
  assert_false(is_known(trial, "d.test"));
  assert_true(is_known(trial, "e.test"));
  assert_true(is_known(trial, "x.d.test"));
  assert_int_equal(state_of(trial, "a.test", FAMILY_V4), FAMILY_UNKNOWN);
  assert_int_equal(state_of(trial, "c.test", FAMILY_V4), FAMILY_OK);
}

static void several_domains_add_up(void **state) {
  struct trial *trial = *state;
  fill(trial);
  purge(trial, PURGE_OF_DOMAIN, "d.test");
  purge(trial, PURGE_OF_DOMAIN, "unknown.test");
  purge(trial, PURGE_OF_DOMAIN, "xd.test");
  check_counts(trial, 2, 3);
}

static void a_suffix_ends_at_a_dot(void **state) {
  struct trial *trial = *state;
  fill(trial);
  purge(trial, PURGE_OF_SUFFIX, "d.test");
  check_counts(trial, 2, 3);
  assert_false(is_known(trial, "d.test"));
  assert_false(is_known(trial, "x.d.test"));
  assert_true(is_known(trial, "xd.test"));
}

static void a_suffix_may_be_a_top_level_domain(void **state) {
  struct trial *trial = *state;
  fill(trial);
  put(trial, "d.example", DOMAIN_NXDOMAIN, NULL, NULL);
  purge(trial, PURGE_OF_SUFFIX, "test");
  assert_int_equal(trial->purge.domain_count, 8);
  assert_int_equal(cache_count(trial->cache), 1);
}

static void an_exchange_takes_its_domains_and_its_own_addresses(void **state) {
  struct trial *trial = *state;
  fill(trial);
  put(trial, "f.test", DOMAIN_MX, "b.test", NULL);
  purge(trial, PURGE_OF_EXCHANGE, "a.test");
  check_counts(trial, 2, 1);
  assert_int_equal(state_of(trial, "b.test", FAMILY_V4), FAMILY_OK);
  purge(trial, PURGE_OF_EXCHANGE, "unknown.test");
  check_counts(trial, 2, 1);
}

static void denials_are_nxdomain_and_nodata_of_domains_and_addresses(void **state) {
  struct trial *trial = *state;
  fill(trial);
  purge(trial, PURGE_OF_NEGATIVE, NULL);
  check_counts(trial, 2, 2);
  assert_false(is_known(trial, "none.test"));
  assert_false(is_known(trial, "web.test"));
  assert_true(is_known(trial, "null.test"));
  assert_int_equal(state_of(trial, "b.test", FAMILY_V6), FAMILY_UNKNOWN);
  assert_int_equal(state_of(trial, "b.test", FAMILY_V4), FAMILY_OK);
  assert_int_equal(state_of(trial, "a.test", FAMILY_V6), FAMILY_OK);
  assert_int_equal(state_of(trial, "c.test", FAMILY_V6), FAMILY_TEMPFAIL);
}

static void failures_are_those_of_domains_and_addresses(void **state) {
  struct trial *trial = *state;
  fill(trial);
  purge(trial, PURGE_OF_FAILURES, NULL);
  check_counts(trial, 1, 1);
  assert_false(is_known(trial, "broken.test"));
  assert_int_equal(state_of(trial, "c.test", FAMILY_V6), FAMILY_UNKNOWN);
  assert_int_equal(state_of(trial, "c.test", FAMILY_V4), FAMILY_OK);
}

static void all_is_all(void **state) {
  struct trial *trial = *state;
  fill(trial);
  purge(trial, PURGE_OF_ALL, NULL);
  check_counts(trial, 8, 4);
  assert_int_equal(cache_count(trial->cache), 0);
  assert_int_equal(cache_host_count(trial->cache), 0);
}

static void a_host_that_is_an_address_keeps_its_own(void **state) {
  struct trial *trial = *state;
  put(trial, "d.test", DOMAIN_MX, "192.0.2.7", NULL);
  const struct domain_facts *facts = memory_peek(trial->cache, "d.test");
  cache_hold(facts); /* as a lookup under way does */
  purge(trial, PURGE_OF_ALL, NULL);
  check_counts(trial, 1, 0);
  assert_int_equal(state_of(trial, "192.0.2.7", FAMILY_V4), FAMILY_OK);
  cache_release(trial->cache, facts);
}

static void a_step_looks_at_no_more_than_it_may(void **state) {
  struct trial *trial = *state;
  char name[32];
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof(name), "d%d.test", i);
    put(trial, name, DOMAIN_NXDOMAIN, NULL, NULL);
  }
  struct name suffix;
  memory_name(&suffix, "test");
  purge_start(&trial->purge, trial->cache, trial->resolver, NULL, PURGE_OF_SUFFIX, &suffix);
  purge_step(&trial->purge, 10, NOW_MS);
  assert_int_equal(cache_count(trial->cache), 90);
  assert_false(purge_has_ended(&trial->purge));
  purge_stop(&trial->purge); /* and may be given up */
  assert_true(purge_has_ended(&trial->purge));
  purge_stop(&trial->purge);
}

/* ---- lookups under way ---- */

static void ask(struct trial *trial, const char *text) {
  struct answer answer;
  memory_name(&trial->question.name, text);
  trial->question.hash = name_hash(text, strlen(text));
  trial->question.depth = DEPTH_EXCHANGES;
  assert_false(resolver_ask(trial->resolver, &trial->question, NOW_MS, &answer));
}

static void deliver_mx(struct trial *trial, const char *name) {
  struct dnsmsg message = fake_mx(300, 10, "a.test");
  fake_dns_deliver(trial->dns, name, DNSMSG_MX, &message, NOW_MS);
}

static void every_order_that_may_mean_a_lookup_keeps_its_result_out(void **state) {
  (void)state;
  static const struct {
    enum purge_what what;
    const char *text;
    bool is_kept;
  } orders[] = {
      {PURGE_OF_DOMAIN, "n.test", false},   {PURGE_OF_DOMAIN, "m.test", true},
      {PURGE_OF_SUFFIX, "test", false},     {PURGE_OF_SUFFIX, "m.test", true},
      {PURGE_OF_EXCHANGE, "a.test", false}, {PURGE_OF_ALL, NULL, false},
      {PURGE_OF_NEGATIVE, NULL, true},      {PURGE_OF_FAILURES, NULL, true},
  };
  for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
    void *own;
    open_trial(&own);
    struct trial *trial = own;
    ask(trial, "n.test");
    purge(trial, orders[i].what, orders[i].text);
    deliver_mx(trial, "n.test");
    assert_int_equal(trial->answers, 1);
    assert_int_equal(is_known(trial, "n.test"), orders[i].is_kept);
    close_trial(&own);
  }
}

static void what_is_asked_for_after_a_purge_is_kept(void **state) {
  struct trial *trial = *state;
  fill(trial);
  purge(trial, PURGE_OF_ALL, NULL);
  ask(trial, "d.test");
  deliver_mx(trial, "d.test");
  assert_true(is_known(trial, "d.test"));
}

int main(void) {
  name_hash_init();
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(a_domain_goes_with_the_addresses_of_its_exchanges),
      TRIAL(several_domains_add_up),
      TRIAL(a_suffix_ends_at_a_dot),
      TRIAL(a_suffix_may_be_a_top_level_domain),
      TRIAL(an_exchange_takes_its_domains_and_its_own_addresses),
      TRIAL(denials_are_nxdomain_and_nodata_of_domains_and_addresses),
      TRIAL(failures_are_those_of_domains_and_addresses),
      TRIAL(all_is_all),
      TRIAL(a_host_that_is_an_address_keeps_its_own),
      TRIAL(a_step_looks_at_no_more_than_it_may),
      cmocka_unit_test(every_order_that_may_mean_a_lookup_keeps_its_result_out),
      TRIAL(what_is_asked_for_after_a_purge_is_kept),
      cmocka_unit_test_setup_teardown(a_domain_is_deleted_in_the_shared_store_with_its_exchanges, open_shared,
                                      close_trial),
      cmocka_unit_test_setup_teardown(what_is_purged_in_bulk_is_not_deleted_one_by_one, open_shared,
                                      close_trial),
  };
  return cmocka_run_group_tests_name("purge", tests, NULL, NULL);
}
