#include "cmocka_compat.h"

#include "fake_dns.h"
#include "made_facts.h"
#include "made_memory.h"
#include "resolve/stale.h"

enum {
  NOW_MS = 100000000,
  MAX_STALE_MS = 3600000,
  LIFE_MS = 300000,
  HOPS = 8,
};

static struct stats stats;

struct trial {
  struct learn_policy policy;
  struct fetch_ways ways;
  struct dns *dns;
  struct cache *cache;
  struct stale stale;
  struct question question; /* for d.test, with its addresses */
};

static int open_trial(void **state) {
  static const struct name_policy names;
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->policy.max_stale_ms = MAX_STALE_MS;
  trial->dns = fake_dns_create();
  trial->cache = cache_create(1 << 20, MAX_STALE_MS, &stats);
  assert_non_null(trial->cache);
  trial->ways = (struct fetch_ways){.dns = trial->dns, .policy = &trial->policy, .max_cname_hops = HOPS};
  struct hosts *hosts = hosts_create(trial->cache, &trial->ways);
  assert_non_null(hosts);
  trial->stale = (struct stale){.cache = trial->cache, .hosts = hosts, .policy = &trial->policy};
  trial->question.depth = DEPTH_ADDRESSES;
  assert_int_equal(name_parse((const uint8_t *)"d.test", 6, &names, &trial->question.name), NAME_OK);
  trial->question.hash = name_hash("d.test", 6);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  assert_int_equal(trial->dns->asked_count, 0); /* this room asks nobody */
  hosts_destroy(trial->stale.hosts);
  cache_destroy(trial->cache);
  dns_destroy(trial->dns);
  free(trial);
  return 0;
}

/* Facts about d.test that end `left_ms` from now; with DOMAIN_MX the one exchange a.test. Of the cache alone.
 */
static const struct domain_facts *put(struct trial *trial, enum domain_kind kind, int64_t left_ms) {
  static struct domain_value value;
  memset(&value, 0, sizeof(value));
  value.kind = kind;
  value.cause = kind == DOMAIN_FAILED ? VERDICT_DNS_SERVFAIL : 0;
  value.stored_at_ms = NOW_MS + left_ms - LIFE_MS;
  value.expires_at_ms = NOW_MS + left_ms;
  if (kind == DOMAIN_MX)
    memory_add(&value, 0, "a.test");
  return memory_put(trial->cache, "d.test", &value);
}

/* Gives a.test an address in one family, none in the other, both of which end `left_ms` from now. */
static void give(struct trial *trial, struct host *host, int64_t left_ms) {
  const struct family_value values[FAMILY_COUNT] = {
      [FAMILY_V6] = made_family(FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + left_ms, ""),
      [FAMILY_V4] = made_family(FAMILY_V4, FAMILY_OK, 1, NOW_MS + left_ms, "")};
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  cache_put_host(trial->cache, host, facts, NOW_MS);
}

/* ---- to whom ---- */

static void it_is_possible_for_records_and_those_who_take_them(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum domain_kind kind;
    int64_t left_ms;
    bool no_stale, refresh;
    int64_t max_stale_ms;
    bool is_possible;
  } cases[] = {
      {DOMAIN_MX, -1, false, false, MAX_STALE_MS, true},
      {DOMAIN_MX, 0, false, false, MAX_STALE_MS, true},
      {DOMAIN_MX, 1, false, false, MAX_STALE_MS, true}, /* its addresses may have expired */
      {DOMAIN_MX, 1 - MAX_STALE_MS, false, false, MAX_STALE_MS, true},
      {DOMAIN_MX, -MAX_STALE_MS, false, false, MAX_STALE_MS, false},
      {DOMAIN_MX, -1, true, false, MAX_STALE_MS, false},
      {DOMAIN_MX, -1, false, true, MAX_STALE_MS, false},
      {DOMAIN_MX, -1, false, false, 0, false},
      {DOMAIN_MX, 1, true, false, MAX_STALE_MS, false},
      {DOMAIN_MX, 1, false, true, MAX_STALE_MS, false},
      {DOMAIN_MX, 1, false, false, 0, false},
      {DOMAIN_NULL_MX, -1, false, false, MAX_STALE_MS, true},
      {DOMAIN_NULL_MX, 0, false, false, MAX_STALE_MS, true},
      {DOMAIN_NULL_MX, 1, false, false, MAX_STALE_MS, false}, /* nothing else to be asked for */
      {DOMAIN_ALL_INVALID, -1, false, false, MAX_STALE_MS, true},
      {DOMAIN_NXDOMAIN, -1, false, false, MAX_STALE_MS, false},
      {DOMAIN_FAILED, -1, false, false, MAX_STALE_MS, false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct domain_facts *facts = put(trial, cases[i].kind, cases[i].left_ms);
    trial->policy.max_stale_ms = cases[i].max_stale_ms;
    trial->question.no_stale = cases[i].no_stale;
    trial->question.refresh = cases[i].refresh;
    if (stale_is_possible(&trial->stale, &trial->question, facts, NOW_MS) != cases[i].is_possible)
      fail_msg("case %zu", i);
  }
}

static void it_is_not_possible_where_memory_holds_nothing(void **state) {
  struct trial *trial = *state;
  struct answer answer;
  assert_false(stale_is_possible(&trial->stale, &trial->question, NULL, NOW_MS));
  assert_false(stale_answer(&trial->stale, &trial->question, NOW_MS, &answer));
  assert_null(stale_put(&trial->stale, NULL, VERDICT_DNS_TIMEOUT, NOW_MS));
}

/* ---- publishing ---- */

static void what_is_put_is_answered_for_a_minute_and_refreshed_in_its_second_half(void **state) {
  struct trial *trial = *state;
  const struct domain_facts *before = put(trial, DOMAIN_MX, -5000);
  const struct domain_facts *facts = stale_put(&trial->stale, before, VERDICT_DNS_REFUSED, NOW_MS);
  assert_non_null(facts);
  assert_ptr_equal(question_peek(&trial->question, trial->cache), facts);
  assert_int_equal(facts->expires_at_ms, NOW_MS - 5000);
  assert_int_equal(domain_facts_until_ms(facts, false), NOW_MS + LEARN_STALE_MS);
  assert_int_equal(domain_facts_until_ms(facts, true), NOW_MS - 5000);
  assert_false(domain_facts_want_refresh(facts, NOW_MS + LEARN_RECHECK_MS - 1));
  assert_true(domain_facts_want_refresh(facts, NOW_MS + LEARN_RECHECK_MS));
  assert_int_equal(facts->cause, VERDICT_DNS_REFUSED);
  assert_true(cache_remove(trial->cache, "d.test", 6, trial->question.hash));
  assert_int_equal(facts->kind, DOMAIN_MX); /* the caller's hold */
  cache_release(trial->cache, facts);
}

static void what_may_not_be_answered_is_not_put(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum domain_kind kind;
    int64_t left_ms;
  } cases[] = {{DOMAIN_MX, -MAX_STALE_MS}, {DOMAIN_NXDOMAIN, -1}, {DOMAIN_FAILED, -1}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct domain_facts *facts = put(trial, cases[i].kind, cases[i].left_ms);
    if (stale_put(&trial->stale, facts, VERDICT_DNS_TIMEOUT, NOW_MS))
      fail_msg("case %zu", i);
    assert_ptr_equal(question_peek(&trial->question, trial->cache), facts);
  }
}

static void that_a_refresh_failed_is_remembered_until_the_next_is_due(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum verdict failure;
    int64_t after_ms;
    bool has_failed;
  } cases[] = {
      {VERDICT_DNS_TIMEOUT, 0, true},
      {VERDICT_DNS_TIMEOUT, LEARN_RECHECK_MS - 1, true},
      {VERDICT_DNS_TIMEOUT, LEARN_RECHECK_MS, false},
      {0, 0, false}, /* it was only late */
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct domain_facts *facts =
        stale_put(&trial->stale, put(trial, DOMAIN_MX, -1), cases[i].failure, NOW_MS);
    assert_non_null(facts);
    if (stale_has_failed(facts, NOW_MS + cases[i].after_ms) != cases[i].has_failed)
      fail_msg("case %zu", i);
    cache_release(trial->cache, facts);
  }
  assert_false(stale_has_failed(NULL, NOW_MS));
  struct domain_facts facts = {
      .kind = DOMAIN_MX, .cause = VERDICT_DNS_TIMEOUT, .expires_at_ms = NOW_MS, .stale_for_ms = 1};
  assert_true(stale_has_failed(&facts, NOW_MS));
  facts.kind = DOMAIN_FAILED; /* its cause is of itself, not of a refresh */
  assert_false(stale_has_failed(&facts, NOW_MS));
}

/* ---- answering ---- */

static void an_answer_with_addresses_needs_one_that_may_be_answered(void **state) {
  struct trial *trial = *state;
  enum { NONE = INT32_MAX };
  static const struct {
    int64_t left_ms, host_left_ms;
    enum depth depth;
    bool is_answered;
  } cases[] = {
      {-1, -1, DEPTH_ADDRESSES, true},
      {-1, LIFE_MS, DEPTH_ADDRESSES, true},
      {LIFE_MS, -1, DEPTH_ADDRESSES, true},
      {-1, 1 - MAX_STALE_MS, DEPTH_ADDRESSES, true},
      {-1, -MAX_STALE_MS, DEPTH_ADDRESSES, false},
      {LIFE_MS, -MAX_STALE_MS, DEPTH_ADDRESSES, false},
      {-1, NONE, DEPTH_ADDRESSES, false},
      {-1, NONE, DEPTH_EXCHANGES, true},
      {-MAX_STALE_MS, -1, DEPTH_ADDRESSES, false},
      {-MAX_STALE_MS, -1, DEPTH_EXCHANGES, false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct answer answer = {.verdict = VERDICT_DEADLINE};
    struct host *host = put(trial, DOMAIN_MX, cases[i].left_ms)->set->exchanges[0].host;
    cache_forget_host(trial->cache, host);
    if (cases[i].host_left_ms != NONE)
      give(trial, host, cases[i].host_left_ms);
    trial->question.depth = cases[i].depth;
    if (stale_answer(&trial->stale, &trial->question, NOW_MS, &answer) != cases[i].is_answered)
      fail_msg("case %zu", i);
    assert_int_equal(answer.facts != NULL, cases[i].is_answered); /* else it is as it was */
    if (!cases[i].is_answered)
      continue;
    assert_ptr_equal(answer.facts, question_peek(&trial->question, trial->cache));
    assert_true(answer.from_memory);
    assert_int_equal(answer.since_ms, NOW_MS);
    assert_true(domain_facts_until_ms(answer.facts, false) >= NOW_MS + LEARN_STALE_MS);
    if (cases[i].depth == DEPTH_ADDRESSES)
      assert_true(host_facts_until_ms(atomic_load(&host->facts), FAMILY_V4, false) >=
                  NOW_MS + LEARN_STALE_MS);
  }
}

static void without_exchanges_the_verdict_is_the_answer(void **state) {
  struct trial *trial = *state;
  struct answer answer;
  put(trial, DOMAIN_NULL_MX, -1);
  assert_true(stale_answer(&trial->stale, &trial->question, NOW_MS, &answer));
  assert_int_equal(answer.facts->kind, DOMAIN_NULL_MX);
}

static void what_has_been_put_already_is_not_put_again(void **state) {
  struct trial *trial = *state;
  struct answer answer;
  const struct domain_facts *facts =
      stale_put(&trial->stale, put(trial, DOMAIN_MX, -1), VERDICT_DNS_TIMEOUT, NOW_MS);
  assert_non_null(facts);
  cache_release(trial->cache, facts);
  trial->question.depth = DEPTH_EXCHANGES;
  assert_true(stale_answer(&trial->stale, &trial->question, NOW_MS + LEARN_STALE_MS - 1, &answer));
  assert_ptr_equal(answer.facts, facts);
  assert_int_equal(answer.facts->cause, VERDICT_DNS_TIMEOUT);
  assert_true(stale_answer(&trial->stale, &trial->question, NOW_MS + LEARN_STALE_MS, &answer));
  assert_int_equal(domain_facts_until_ms(answer.facts, false), NOW_MS + 2 * LEARN_STALE_MS);
}

static void a_configured_route_is_answered_with_addresses_that_have_expired(void **state) {
  struct trial *trial = *state;
  struct answer answer;
  struct domain_facts pinned = {
      .kind = DOMAIN_ROUTE, .set = put(trial, DOMAIN_MX, -1)->set, .expires_at_ms = INT64_MAX};
  trial->question.pinned = &pinned;
  assert_false(stale_answer(&trial->stale, &trial->question, NOW_MS, &answer));
  give(trial, pinned.set->exchanges[0].host, -1);
  assert_true(stale_answer(&trial->stale, &trial->question, NOW_MS, &answer));
  assert_ptr_equal(answer.facts, &pinned);
}

int main(void) {
  name_hash_init();
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(it_is_possible_for_records_and_those_who_take_them),
      TRIAL(it_is_not_possible_where_memory_holds_nothing),
      TRIAL(what_is_put_is_answered_for_a_minute_and_refreshed_in_its_second_half),
      TRIAL(what_may_not_be_answered_is_not_put),
      TRIAL(that_a_refresh_failed_is_remembered_until_the_next_is_due),
      TRIAL(an_answer_with_addresses_needs_one_that_may_be_answered),
      TRIAL(without_exchanges_the_verdict_is_the_answer),
      TRIAL(what_has_been_put_already_is_not_put_again),
      TRIAL(a_configured_route_is_answered_with_addresses_that_have_expired),
  };
  return cmocka_run_group_tests_name("stale", tests, NULL, NULL);
}
