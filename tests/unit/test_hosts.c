#include "cmocka_compat.h"

#include <limits.h>

#include "cache/cache.h"
#include "fake_dns.h"
#include "fake_store.h"
#include "resolve/hosts.h"
#include "rules/name.h"

enum {
  NOW_MS = 1000000,
  FAILURE_S = 7,
  MAX_FAILURE_S = 300,
  MAX_S = 86400,
  MAX_NEGATIVE_S = 3600,
  HOPS = 8,
};

static const struct ttl_policy lives = {.min_s = 0,
                                        .max_s = MAX_S,
                                        .max_negative_s = MAX_NEGATIVE_S,
                                        .failure_s = FAILURE_S,
                                        .max_failure_s = MAX_FAILURE_S};

static struct stats stats;

/* A cache with the facts of one domain, d.test, whose exchanges are a.test and b.test. */
struct trial {
  struct learn_policy policy;
  struct fetch_ways ways;
  struct dns *dns;
  struct store *store; /* NULL: none */
  struct cache *cache;
  struct hosts *hosts;
  const struct domain_facts *facts;
  struct host *a, *b;
};

struct waiter {
  struct hosts_wait wait;
  struct waiter *leaves; /* leaves the flight when this one is called */
  struct host *host;
  const struct host_facts *seen; /* at the call */
  unsigned calls, origins, stale_calls;
  int64_t now_ms;
};

static void on_done(void *context, unsigned origins, int64_t now_ms) {
  struct waiter *waiter = context;
  waiter->calls++;
  waiter->origins = origins;
  waiter->now_ms = now_ms;
  waiter->seen = atomic_load(&waiter->host->facts);
  assert_null(waiter->wait.flight);
  if (waiter->leaves)
    hosts_leave(&waiter->leaves->wait);
}

static void on_stale(void *context, int64_t now_ms) {
  struct waiter *waiter = context;
  (void)now_ms;
  assert_non_null(waiter->wait.flight);
  assert_true(waiter->wait.has_stale);
  assert_non_null(atomic_load(&waiter->host->facts));
  waiter->stale_calls++;
}

static const struct domain_facts *put_domain(struct cache *cache, const char *name, const char *first,
                                             const char *second) {
  static struct domain_value value;
  memset(&value, 0, sizeof(value));
  value.expires_at_ms = INT64_MAX;
  value.count = second ? 2 : 1;
  snprintf(value.exchanges[0].host, sizeof(value.exchanges[0].host), "%s", first);
  snprintf(value.exchanges[1].host, sizeof(value.exchanges[1].host), "%s", second ? second : "");
  domain_value_normalise(&value, 0, NULL);
  const struct domain_facts *facts =
      cache_put(cache, name, strlen(name), name_hash(name, strlen(name)), &value);
  assert_non_null(facts);
  return facts;
}

static void open_with(struct trial *trial, bool notimp_as_nodata, struct store *store) {
  trial->dns = fake_dns_create();
  trial->store = store;
  trial->cache = cache_create(1 << 20, 0, &stats);
  assert_non_null(trial->cache);
  trial->policy = (struct learn_policy){.ttl = lives, .notimp_as_nodata = notimp_as_nodata};
  trial->ways = (struct fetch_ways){
      .store = store, .dns = trial->dns, .policy = &trial->policy, .max_cname_hops = HOPS};
  trial->hosts = hosts_create(trial->cache, &trial->ways);
  assert_non_null(trial->hosts);
  trial->facts = put_domain(trial->cache, "d.test", "a.test", "b.test");
  trial->a = trial->facts->set->exchanges[0].host;
  trial->b = trial->facts->set->exchanges[1].host;
}

static void close_it(struct trial *trial) {
  hosts_destroy(trial->hosts);
  assert_int_equal(trial->dns->open_count, 0); /* every query is taken back */
  cache_release(trial->cache, trial->facts);
  cache_destroy(trial->cache);
  dns_destroy(trial->dns);
  fake_store_destroy(trial->store);
}

static int open_trial(void **state) {
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  open_with(trial, false, NULL);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  close_it(*state);
  free(*state);
  return 0;
}

static bool wish_at(struct trial *trial, struct waiter *waiter, struct host *host,
                    const struct hosts_wish *wish, int64_t now_ms) {
  memset(waiter, 0, sizeof(*waiter));
  waiter->wait.done = on_done;
  waiter->wait.on_stale = on_stale;
  waiter->wait.context = waiter;
  waiter->host = host;
  bool is_waiting = hosts_ask(trial->hosts, host, wish, now_ms, &waiter->wait);
  assert_int_equal(waiter->calls, 0);
  return is_waiting;
}

static bool ask_at(struct trial *trial, struct waiter *waiter, struct host *host, bool refresh,
                   int64_t now_ms) {
  return wish_at(trial, waiter, host, &(struct hosts_wish){.refresh = refresh}, now_ms);
}

static bool ask(struct trial *trial, struct waiter *waiter, struct host *host) {
  return ask_at(trial, waiter, host, false, NOW_MS);
}

static void deliver_at(struct trial *trial, const char *name, uint16_t qtype, struct dnsmsg message,
                       int64_t now_ms) {
  fake_dns_deliver(trial->dns, name, qtype, &message, now_ms);
}

static void deliver(struct trial *trial, const char *name, uint16_t qtype, struct dnsmsg message) {
  deliver_at(trial, name, qtype, message, NOW_MS);
}

static const struct host_facts *facts_of(const struct host *host) {
  const struct host_facts *facts = atomic_load(&host->facts);
  assert_non_null(facts);
  return facts;
}

static void check_family(const struct host *host, enum family family, enum family_state state, unsigned count,
                         int64_t expires_at_ms) {
  const struct host_facts *facts = facts_of(host);
  assert_int_equal(facts->state[family], state);
  assert_int_equal(facts->count[family], count);
  assert_true(facts->expires_at_ms[family] == expires_at_ms);
}

static void check_expanded(const struct host *host, const char *expanded) {
  struct family_value value;
  host_facts_unpack(facts_of(host), FAMILY_V4, &value);
  assert_string_equal(value.expanded, expanded);
}

/* Gives a.test addresses of both families that live so long from NOW_MS on. */
static void resolve(struct trial *trial, uint32_t v6_ttl_s, uint32_t v4_ttl_s) {
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(v6_ttl_s, 1, 2));
  deliver(trial, "a.test", DNSMSG_A, fake_a(v4_ttl_s, 1, 3));
  assert_int_equal(waiter.calls, 1);
}

/* ---- asking ---- */

static void a_host_is_asked_for_in_both_families_at_once(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  assert_int_equal(trial->dns->asked_count, 2);
  assert_true(fake_dns_is_asked(trial->dns, "a.test", DNSMSG_A));
  assert_true(fake_dns_is_asked(trial->dns, "a.test", DNSMSG_AAAA));
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 1, 3));
  assert_int_equal(waiter.calls, 0);
  deliver_at(trial, "a.test", DNSMSG_AAAA, fake_aaaa(600, 1, 2), NOW_MS + 50);
  assert_int_equal(waiter.calls, 1);
  assert_int_equal(waiter.now_ms, NOW_MS + 50);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 3, NOW_MS + 300000);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 2, NOW_MS + 50 + 600000);
  check_expanded(trial->a, "");
  assert_ptr_equal(waiter.seen, facts_of(trial->a)); /* published before anyone was told */
}

static void the_addresses_are_those_of_the_reply(void **state) {
  struct trial *trial = *state;
  resolve(trial, 300, 300);
  struct family_value value;
  struct dnsmsg v6 = fake_aaaa(300, 1, 2), v4 = fake_a(300, 1, 3);
  host_facts_unpack(facts_of(trial->a), FAMILY_V6, &value);
  for (unsigned i = 0; i < 2; i++)
    assert_memory_equal(value.addresses[i], v6.addresses[i], 16);
  host_facts_unpack(facts_of(trial->a), FAMILY_V4, &value);
  for (unsigned i = 0; i < 3; i++)
    assert_memory_equal(value.addresses[i], v4.addresses[i], 4);
}

static void the_order_of_the_replies_does_not_matter(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(600, 1, 2));
  assert_int_equal(waiter.calls, 0);
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 1, 3));
  assert_int_equal(waiter.calls, 1);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 2, NOW_MS + 600000);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 3, NOW_MS + 300000);
}

static void any_number_of_waiters_is_one_pair_of_queries(void **state) {
  struct trial *trial = *state;
  enum { COUNT = 100 };
  struct waiter waiters[COUNT];
  for (unsigned i = 0; i < COUNT; i++)
    assert_true(ask_at(trial, &waiters[i], trial->a, i % 3 == 0, NOW_MS + i));
  assert_int_equal(trial->dns->asked_count, 2);
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 1, 1));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  for (unsigned i = 0; i < COUNT; i++)
    assert_int_equal(waiters[i].calls, 1);
  assert_int_equal(trial->dns->asked_count, 2);
}

static void two_hosts_are_two_pairs_of_queries(void **state) {
  struct trial *trial = *state;
  struct waiter a, b;
  assert_true(ask(trial, &a, trial->a));
  assert_true(ask(trial, &b, trial->b));
  assert_int_equal(trial->dns->asked_count, 4);
  deliver(trial, "b.test", DNSMSG_A, fake_a(300, 9, 1));
  deliver(trial, "b.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  assert_int_equal(a.calls, 0);
  assert_int_equal(b.calls, 1);
  assert_null(atomic_load(&trial->a->facts));
  check_family(trial->b, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300000);
}

static void domains_that_share_a_host_share_its_queries(void **state) {
  struct trial *trial = *state;
  const struct domain_facts *other = put_domain(trial->cache, "e.test", "a.test", NULL);
  struct waiter first, second;
  assert_true(ask(trial, &first, trial->a));
  assert_true(ask(trial, &second, other->set->exchanges[0].host));
  assert_int_equal(trial->dns->asked_count, 2);
  cache_release(trial->cache, other);
  hosts_leave(&first.wait);
  hosts_leave(&second.wait);
}

static void facts_that_hold_are_not_asked_for(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  resolve(trial, 300, 300);
  assert_false(ask_at(trial, &waiter, trial->a, false, NOW_MS + 299999));
  assert_int_equal(trial->dns->asked_count, 2);
  assert_true(ask_at(trial, &waiter, trial->a, false, NOW_MS + 300000));
  assert_int_equal(trial->dns->asked_count, 4);
  hosts_leave(&waiter.wait);
}

static void only_the_family_that_has_expired_is_asked_for(void **state) {
  (void)state;
  for (enum family expired = 0; expired < FAMILY_COUNT; expired++) {
    bool is_v4 = expired == FAMILY_V4;
    int64_t later_ms = NOW_MS + 100000;
    struct trial trial;
    struct waiter waiter;
    open_with(&trial, false, NULL);
    resolve(&trial, is_v4 ? 300 : 100, is_v4 ? 100 : 300);
    assert_true(ask_at(&trial, &waiter, trial.a, false, later_ms));
    assert_int_equal(trial.dns->open_count, 1);
    deliver_at(&trial, "a.test", is_v4 ? DNSMSG_A : DNSMSG_AAAA,
               is_v4 ? fake_a(500, 1, 1) : fake_aaaa(500, 1, 1), later_ms);
    assert_int_equal(waiter.calls, 1);
    check_family(trial.a, expired, FAMILY_OK, 1, later_ms + 500000);
    check_family(trial.a, is_v4 ? FAMILY_V6 : FAMILY_V4, FAMILY_OK, is_v4 ? 2 : 3, NOW_MS + 300000);
    close_it(&trial);
  }
}

static void refresh_asks_although_the_facts_hold(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  resolve(trial, 300, 300);
  assert_true(ask_at(trial, &waiter, trial->a, true, NOW_MS + 1000));
  assert_int_equal(trial->dns->open_count, 2);
  deliver_at(trial, "a.test", DNSMSG_A, fake_a(60, 1, 1), NOW_MS + 1000);
  deliver_at(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 60), NOW_MS + 1000);
  assert_int_equal(waiter.calls, 1);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 61000);
  check_family(trial->a, FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + 61000);
}

static void a_ttl_of_0_is_delivered_and_then_asked_for_again(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  resolve(trial, 0, 0);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 3, NOW_MS);
  assert_true(ask(trial, &waiter, trial->a));
  assert_int_equal(trial->dns->asked_count, 4);
}

static void an_address_in_text_is_never_asked_for(void **state) {
  struct trial *trial = *state;
  static const char *const names[] = {"192.0.2.7", "2001:db8::7"};
  for (size_t i = 0; i < 2; i++) {
    struct waiter waiter;
    const struct domain_facts *facts = put_domain(trial->cache, "e.test", names[i], NULL);
    struct host *host = facts->set->exchanges[0].host;
    assert_false(ask(trial, &waiter, host));
    assert_false(ask_at(trial, &waiter, host, true, NOW_MS));
    assert_int_equal(trial->dns->asked_count, 0);
    assert_int_equal(facts_of(host)->count[i ? FAMILY_V6 : FAMILY_V4], 1);
    cache_release(trial->cache, facts);
  }
}

/* ---- what is learned ---- */

static void every_outcome_becomes_a_state_with_a_life(void **state) {
  (void)state;
  struct dnsmsg no_soa = fake_reply(DNSMSG_NODATA), short_alias = fake_denial(DNSMSG_NXDOMAIN, 900);
  short_alias.hops = 1;
  short_alias.ttl_s = 30;
  struct {
    struct dnsmsg message;
    enum family_state state;
    unsigned life_s;
  } rows[] = {
      {fake_a(300, 1, 3), FAMILY_OK, 300},
      {fake_a(MAX_S + 1, 1, 3), FAMILY_OK, MAX_S},
      {fake_a(0x80000005, 1, 3), FAMILY_OK, MAX_S},
      {fake_denial(DNSMSG_NODATA, 600), FAMILY_NODATA, 600},
      {fake_denial(DNSMSG_NODATA, 86400), FAMILY_NODATA, MAX_NEGATIVE_S},
      {fake_denial(DNSMSG_NODATA, 0), FAMILY_NODATA, 0},
      {no_soa, FAMILY_NODATA, 5},
      {fake_denial(DNSMSG_NXDOMAIN, 600), FAMILY_NXDOMAIN, 600},
      {short_alias, FAMILY_NXDOMAIN, 30},
      {fake_alias(DNSMSG_LOOP, 2, 60, "c.test"), FAMILY_LOOP, FAILURE_S},
      {fake_reply(DNSMSG_FORMERR), FAMILY_TEMPFAIL, FAILURE_S},
      {fake_reply(DNSMSG_SERVFAIL), FAMILY_TEMPFAIL, FAILURE_S},
      {fake_reply(DNSMSG_NOTIMP), FAMILY_TEMPFAIL, FAILURE_S},
      {fake_reply(DNSMSG_REFUSED), FAMILY_TEMPFAIL, FAILURE_S},
      {fake_reply(DNSMSG_OTHER_RCODE), FAMILY_TEMPFAIL, FAILURE_S},
      {fake_reply(DNSMSG_MALFORMED), FAMILY_TEMPFAIL, FAILURE_S},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct trial trial;
    struct waiter waiter;
    open_with(&trial, false, NULL);
    assert_true(ask(&trial, &waiter, trial.a));
    deliver(&trial, "a.test", DNSMSG_A, rows[i].message);
    deliver(&trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 1234));
    check_family(trial.a, FAMILY_V4, rows[i].state, rows[i].message.address_count,
                 NOW_MS + rows[i].life_s * 1000);
    check_family(trial.a, FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + 1234000);
    close_it(&trial);
  }
}

static void silence_is_a_soft_failure_and_ours_is_short(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  fake_dns_fail(trial->dns, "a.test", DNSMSG_A, DNS_TIMED_OUT, NOW_MS);
  fake_dns_fail(trial->dns, "a.test", DNSMSG_AAAA, DNS_UNREACHABLE, NOW_MS);
  assert_int_equal(waiter.calls, 1);
  check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, NOW_MS + FAILURE_S * 1000);
  check_family(trial->a, FAMILY_V6, FAMILY_TEMPFAIL, 0, NOW_MS + 1000);
}

static void notimp_is_a_denial_where_that_is_wanted(void **state) {
  (void)state;
  struct trial trial;
  struct waiter waiter;
  open_with(&trial, true, NULL);
  assert_true(ask(&trial, &waiter, trial.a));
  deliver(&trial, "a.test", DNSMSG_AAAA, fake_reply(DNSMSG_NOTIMP));
  deliver(&trial, "a.test", DNSMSG_A, fake_a(300, 1, 1));
  check_family(trial.a, FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + 5000);
  check_family(trial.a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300000);
  close_it(&trial);
}

static void a_failure_is_remembered_for_a_while(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  deliver(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_reply(DNSMSG_SERVFAIL));
  assert_false(ask_at(trial, &waiter, trial->a, false, NOW_MS + FAILURE_S * 1000 - 1));
  assert_int_equal(trial->dns->asked_count, 2);
  assert_true(ask_at(trial, &waiter, trial->a, false, NOW_MS + FAILURE_S * 1000));
}

static void a_soft_failure_leaves_addresses_that_hold(void **state) {
  struct trial *trial = *state;
  static const enum dnsmsg_outcome outcomes[] = {DNSMSG_SERVFAIL, DNSMSG_REFUSED,   DNSMSG_FORMERR,
                                                 DNSMSG_NOTIMP,   DNSMSG_MALFORMED, DNSMSG_OTHER_RCODE,
                                                 DNSMSG_LOOP};
  static const enum dns_result results[] = {DNS_TIMED_OUT, DNS_UNREACHABLE};
  resolve(trial, 300, 300);
  for (size_t i = 0; i < 9; i++) {
    struct waiter waiter;
    assert_true(ask_at(trial, &waiter, trial->a, true, NOW_MS + 1000));
    for (int round = 0; round < 2; round++) {
      uint16_t qtype = round ? DNSMSG_A : DNSMSG_AAAA;
      if (i < 7)
        deliver_at(trial, "a.test", qtype, fake_reply(outcomes[i]), NOW_MS + 1000);
      else
        fake_dns_fail(trial->dns, "a.test", qtype, results[i - 7], NOW_MS + 1000);
    }
    assert_int_equal(waiter.calls, 1);
    check_family(trial->a, FAMILY_V6, FAMILY_OK, 2, NOW_MS + 300000);
    check_family(trial->a, FAMILY_V4, FAMILY_OK, 3, NOW_MS + 300000);
  }
}

static void a_soft_failure_replaces_addresses_that_have_expired(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  int64_t later_ms = NOW_MS + 300000;
  resolve(trial, 300, 300);
  assert_true(ask_at(trial, &waiter, trial->a, false, later_ms));
  deliver_at(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL), later_ms);
  deliver_at(trial, "a.test", DNSMSG_AAAA, fake_reply(DNSMSG_SERVFAIL), later_ms);
  check_family(trial->a, FAMILY_V6, FAMILY_TEMPFAIL, 0, later_ms + FAILURE_S * 1000);
  check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, later_ms + FAILURE_S * 1000);
}

static void addresses_that_expire_while_they_are_refreshed_do_not_stay(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  resolve(trial, 300, 300);
  assert_true(ask_at(trial, &waiter, trial->a, true, NOW_MS + 299000));
  deliver_at(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL), NOW_MS + 299999);
  deliver_at(trial, "a.test", DNSMSG_AAAA, fake_reply(DNSMSG_SERVFAIL), NOW_MS + 300000);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 3, NOW_MS + 300000);
  check_family(trial->a, FAMILY_V6, FAMILY_TEMPFAIL, 0, NOW_MS + 300000 + FAILURE_S * 1000);
}

static void a_denial_replaces_addresses_that_hold(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  resolve(trial, 300, 300);
  assert_true(ask_at(trial, &waiter, trial->a, true, NOW_MS));
  deliver(trial, "a.test", DNSMSG_A, fake_denial(DNSMSG_NXDOMAIN, 60));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NXDOMAIN, 60));
  check_family(trial->a, FAMILY_V6, FAMILY_NXDOMAIN, 0, NOW_MS + 60000);
  check_family(trial->a, FAMILY_V4, FAMILY_NXDOMAIN, 0, NOW_MS + 60000);
}

static void each_failure_in_a_row_of_one_family_lives_twice_as_long(void **state) {
  struct trial *trial = *state;
  static const int64_t lives_s[] = {7, 14, 28, 56, 112, 224, 300, 300};
  int64_t now_ms = NOW_MS;
  for (size_t i = 0; i < sizeof(lives_s) / sizeof(lives_s[0]); i++) {
    struct waiter waiter;
    assert_true(ask_at(trial, &waiter, trial->a, false, now_ms));
    deliver_at(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL), now_ms);
    if (fake_dns_is_asked(trial->dns, "a.test", DNSMSG_AAAA))
      deliver_at(trial, "a.test", DNSMSG_AAAA, fake_aaaa(MAX_S, 1, 1), now_ms);
    check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, now_ms + lives_s[i] * 1000);
    assert_int_equal(facts_of(trial->a)->failures[FAMILY_V4], i + 1);
    assert_int_equal(facts_of(trial->a)->failures[FAMILY_V6], 0);
    now_ms += lives_s[i] * 1000;
  }
  assert_int_equal(trial->dns->of_type[DNSMSG_AAAA], 1);
  struct waiter waiter;
  assert_true(ask_at(trial, &waiter, trial->a, false, now_ms));
  deliver_at(trial, "a.test", DNSMSG_A, fake_denial(DNSMSG_NODATA, 0), now_ms); /* ends the row */
  assert_true(ask_at(trial, &waiter, trial->a, false, now_ms));
  deliver_at(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL), now_ms);
  check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, now_ms + FAILURE_S * 1000);
}

static void too_much_to_do_leaves_a_failure_that_holds_and_its_row(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  deliver(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_reply(DNSMSG_SERVFAIL));
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  assert_false(ask_at(trial, &waiter, trial->a, true, NOW_MS + 1000));
  check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, NOW_MS + FAILURE_S * 1000);
  int64_t later_ms = NOW_MS + FAILURE_S * 1000;
  assert_false(ask_at(trial, &waiter, trial->a, false, later_ms));
  fake_dns_accept(trial->dns);
  assert_true(ask_at(trial, &waiter, trial->a, false, later_ms + 1));
  deliver_at(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL), later_ms + 1);
  deliver_at(trial, "a.test", DNSMSG_AAAA, fake_reply(DNSMSG_SERVFAIL), later_ms + 1);
  check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, later_ms + 1 + 2 * FAILURE_S * 1000);
}

static void a_refresh_asks_for_the_family_that_a_flight_under_way_left_out(void **state) {
  struct trial *trial = *state;
  struct waiter ordinary, joining, refreshing, again;
  int64_t later_ms = NOW_MS + 100000;
  resolve(trial, 300, 100);
  assert_true(ask_at(trial, &ordinary, trial->a, false, later_ms));
  assert_true(ask_at(trial, &joining, trial->a, false, later_ms));
  assert_int_equal(trial->dns->open_count, 1);
  assert_true(ask_at(trial, &refreshing, trial->a, true, later_ms));
  assert_true(ask_at(trial, &again, trial->a, true, later_ms));
  assert_int_equal(trial->dns->open_count, 2);
  deliver_at(trial, "a.test", DNSMSG_A, fake_a(500, 1, 1), later_ms);
  assert_int_equal(ordinary.calls, 0);
  deliver_at(trial, "a.test", DNSMSG_AAAA, fake_aaaa(500, 1, 1), later_ms);
  assert_int_equal(ordinary.calls + joining.calls + refreshing.calls + again.calls, 4);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 1, later_ms + 500000);
}

static void a_refresh_that_is_refused_midway_leaves_the_flight_as_it_was(void **state) {
  struct trial *trial = *state;
  struct waiter ordinary, refreshing;
  int64_t later_ms = NOW_MS + 100000;
  resolve(trial, 300, 100);
  assert_true(ask_at(trial, &ordinary, trial->a, false, later_ms));
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  assert_true(ask_at(trial, &refreshing, trial->a, true, later_ms));
  deliver_at(trial, "a.test", DNSMSG_A, fake_a(500, 1, 1), later_ms);
  assert_int_equal(ordinary.calls + refreshing.calls, 2);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 2, NOW_MS + 300000);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, later_ms + 500000);
}

/* ---- importance and stories ---- */

static void a_more_important_wish_raises_a_flight_under_way(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum dns_priority wished, both;
  } steps[] = {{DNS_FOR_PREFETCH, DNS_FOR_PREFETCH},
               {DNS_FOR_REFRESH, DNS_FOR_REFRESH},
               {DNS_FOR_PREFETCH, DNS_FOR_REFRESH},
               {DNS_FOR_CLIENT, DNS_FOR_CLIENT}};
  struct waiter waiters[4];
  for (size_t i = 0; i < 4; i++) {
    const struct hosts_wish wish = {.priority = steps[i].wished};
    assert_true(wish_at(trial, &waiters[i], trial->a, &wish, NOW_MS));
    assert_int_equal(fake_dns_find(trial->dns, "a.test", DNSMSG_A)->priority, steps[i].both);
    assert_int_equal(fake_dns_find(trial->dns, "a.test", DNSMSG_AAAA)->priority, steps[i].both);
  }
  assert_int_equal(trial->dns->asked_count, 2);
  deliver(trial, "a.test", DNSMSG_A, fake_alias(DNSMSG_FOLLOW, 1, 60, "real.test"));
  assert_int_equal(fake_dns_find(trial->dns, "real.test", DNSMSG_A)->priority, DNS_FOR_CLIENT);
}

static void the_story_of_who_asked_first_is_told_and_outlives_him(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  struct story *story = story_create();
  const struct hosts_wish wish = {.story = story};
  assert_true(wish_at(trial, &waiter, trial->a, &wish, NOW_MS));
  assert_ptr_equal(fake_dns_find(trial->dns, "a.test", DNSMSG_A)->story, story);
  hosts_leave(&waiter.wait);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 60));
  story_unref(story); /* who asked has gone, the flight tells on */
  deliver(trial, "a.test", DNSMSG_A, fake_alias(DNSMSG_FOLLOW, 1, 60, "real.test"));
  story_ref(story);
  assert_int_equal(story_count(story), 1);
  assert_non_null(strstr(story_line(story, 0).text, "a.test leads to real.test"));
  deliver(trial, "real.test", DNSMSG_A, fake_a(300, 1, 1));
  story_unref(story);
}

static void who_joins_is_told_whose_addresses_he_waits_for(void **state) {
  struct trial *trial = *state;
  struct waiter waiters[3];
  struct story *first = story_create(), *second = story_create();
  assert_true(wish_at(trial, &waiters[0], trial->a, &(struct hosts_wish){.story = first}, NOW_MS));
  assert_true(wish_at(trial, &waiters[1], trial->a, &(struct hosts_wish){.story = second}, NOW_MS));
  assert_true(wish_at(trial, &waiters[2], trial->a, &(struct hosts_wish){.story = first}, NOW_MS));
  assert_int_equal(story_count(first), 0);
  assert_int_equal(story_count(second), 1);
  assert_string_equal(story_line(second, 0).rule, "T8");
  assert_non_null(strstr(story_line(second, 0).text, "the addresses of a.test"));
  deliver(trial, "a.test", DNSMSG_A, fake_alias(DNSMSG_LOOP, 2, 60, "c.test"));
  assert_int_equal(story_count(first), 1);
  assert_int_equal(story_count(second), 1);
  story_unref(first);
  story_unref(second);
}

static void who_needs_not_ask_is_told_what_memory_holds(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  struct story *story = story_create();
  resolve(trial, 300, 100);
  assert_false(wish_at(trial, &waiter, trial->a, &(struct hosts_wish){.story = story}, NOW_MS));
  assert_int_equal(story_count(story), 1);
  assert_non_null(strstr(story_line(story, 0).text, "memory holds of a.test"));
  story_unref(story);
}

static void a_flight_without_a_story_takes_that_of_who_makes_it_ask_more(void **state) {
  struct trial *trial = *state;
  struct waiter waiters[2];
  struct story *story = story_create();
  int64_t later_ms = NOW_MS + 100000;
  resolve(trial, 300, 100);
  assert_true(ask_at(trial, &waiters[0], trial->a, false, later_ms));
  assert_true(
      wish_at(trial, &waiters[1], trial->a, &(struct hosts_wish){.refresh = true, .story = story}, later_ms));
  assert_null(fake_dns_find(trial->dns, "a.test", DNSMSG_A)->story);
  assert_ptr_equal(fake_dns_find(trial->dns, "a.test", DNSMSG_AAAA)->story, story);
  story_unref(story);
}

static void that_there_is_too_much_to_do_is_told(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  struct story *story = story_create();
  fake_dns_refuse_after(trial->dns, 1, ERR_OVERLOAD);
  assert_true(wish_at(trial, &waiter, trial->a, &(struct hosts_wish){.story = story}, NOW_MS));
  assert_int_equal(story_count(story), 1);
  assert_string_equal(story_line(story, 0).rule, "L2");
  assert_non_null(strstr(story_line(story, 0).text, "the addresses of a.test are not asked for"));
  story_unref(story);
}

/* ---- aliases ---- */

static struct dnsmsg with_alias(struct dnsmsg message, unsigned hops, const char *canonical) {
  message.hops = (uint8_t)hops;
  snprintf(message.canonical, sizeof(message.canonical), "%s", canonical);
  return message;
}

static void an_alias_is_followed_and_its_end_kept(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  deliver(trial, "a.test", DNSMSG_A, fake_alias(DNSMSG_FOLLOW, 1, 60, "real.test"));
  deliver(trial, "a.test", DNSMSG_AAAA, with_alias(fake_denial(DNSMSG_NODATA, 900), 1, "real.test"));
  assert_int_equal(waiter.calls, 0);
  deliver(trial, "real.test", DNSMSG_A, fake_a(300, 1, 1));
  assert_int_equal(waiter.calls, 1);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 60000); /* the least of the chain */
  check_expanded(trial->a, "real.test");
}

static void a_loop_of_aliases_keeps_no_expanded_name(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  deliver(trial, "a.test", DNSMSG_A, fake_alias(DNSMSG_LOOP, 2, 60, "c.test"));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_alias(DNSMSG_LOOP, 2, 60, "c.test"));
  assert_int_equal(waiter.calls, 1);
  check_family(trial->a, FAMILY_V6, FAMILY_LOOP, 0, NOW_MS + FAILURE_S * 1000);
  check_family(trial->a, FAMILY_V4, FAMILY_LOOP, 0, NOW_MS + FAILURE_S * 1000);
  check_expanded(trial->a, "");
}

static void eight_hops_are_addresses_and_nine_a_loop(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  deliver(trial, "a.test", DNSMSG_A, with_alias(fake_a(300, 1, 1), HOPS, "real.test"));
  deliver(trial, "a.test", DNSMSG_AAAA, with_alias(fake_aaaa(300, 1, 1), HOPS + 1, "real.test"));
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300000);
  check_family(trial->a, FAMILY_V6, FAMILY_LOOP, 0, NOW_MS + FAILURE_S * 1000);
  check_expanded(trial->a, "real.test");
}

static void a_failure_behind_an_alias_keeps_no_expanded_name(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  for (int round = 0; round < 2; round++) {
    uint16_t qtype = round ? DNSMSG_A : DNSMSG_AAAA;
    deliver(trial, "a.test", qtype, fake_alias(DNSMSG_FOLLOW, 1, 60, "real.test"));
    deliver(trial, "real.test", qtype, fake_reply(DNSMSG_SERVFAIL));
  }
  assert_int_equal(waiter.calls, 1);
  check_expanded(trial->a, "");
}

/* Makes a.test an alias of old.test with addresses of these lives. */
static void resolve_alias(struct trial *trial, uint32_t v6_ttl_s, uint32_t v4_ttl_s) {
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  deliver(trial, "a.test", DNSMSG_AAAA, with_alias(fake_aaaa(v6_ttl_s, 1, 1), 1, "old.test"));
  deliver(trial, "a.test", DNSMSG_A, with_alias(fake_a(v4_ttl_s, 1, 1), 1, "old.test"));
  check_expanded(trial->a, "old.test");
}

static void one_family_alone_can_say_that_the_alias_is_gone_or_another(void **state) {
  (void)state;
  for (int family = 0; family < 2; family++)
    for (int is_other = 0; is_other < 2; is_other++) {
      struct trial trial;
      struct waiter waiter;
      int64_t later_ms = NOW_MS + 100000;
      open_with(&trial, false, NULL);
      resolve_alias(&trial, family == FAMILY_V6 ? 100 : 300, family == FAMILY_V4 ? 100 : 300);
      assert_true(ask_at(&trial, &waiter, trial.a, false, later_ms));
      struct dnsmsg message = family == FAMILY_V4 ? fake_a(100, 1, 1) : fake_aaaa(100, 1, 1);
      deliver_at(&trial, "a.test", family == FAMILY_V4 ? DNSMSG_A : DNSMSG_AAAA,
                 is_other ? with_alias(message, 1, "new.test") : message, later_ms);
      check_expanded(trial.a, is_other ? "new.test" : "");
      close_it(&trial);
    }
}

static void a_family_that_fails_softly_leaves_the_alias_of_the_other(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  int64_t later_ms = NOW_MS + 100000;
  resolve_alias(trial, 300, 100);
  assert_true(ask_at(trial, &waiter, trial->a, false, later_ms));
  deliver_at(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL), later_ms);
  check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, later_ms + FAILURE_S * 1000);
  check_expanded(trial->a, "old.test");
}

/* ---- leaving, ending, too much to do ---- */

static void who_has_left_is_not_called_and_the_flight_goes_on(void **state) {
  struct trial *trial = *state;
  struct waiter waiters[3];
  for (unsigned left = 0; left < 3; left++) {
    for (unsigned i = 0; i < 3; i++)
      assert_true(ask_at(trial, &waiters[i], trial->a, true, NOW_MS));
    hosts_leave(&waiters[left].wait);
    hosts_leave(&waiters[left].wait); /* once more is no harm */
    deliver(trial, "a.test", DNSMSG_A, fake_a(300 + left, 1, 1));
    deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
    for (unsigned i = 0; i < 3; i++)
      assert_int_equal(waiters[i].calls, i != left);
    check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + (300 + left) * 1000);
  }
}

static void a_flight_without_waiters_still_publishes(void **state) {
  struct trial *trial = *state;
  struct waiter waiter, later;
  assert_true(ask(trial, &waiter, trial->a));
  hosts_leave(&waiter.wait);
  assert_int_equal(trial->dns->cancelled_count, 0);
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 1, 1));
  assert_true(ask(trial, &later, trial->a)); /* joins what is under way */
  assert_int_equal(trial->dns->asked_count, 2);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  assert_int_equal(waiter.calls, 0);
  assert_int_equal(later.calls, 1);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300000);
}

static void one_waiter_may_take_another_away_when_it_is_called(void **state) {
  struct trial *trial = *state;
  struct waiter first, second;
  assert_true(ask(trial, &first, trial->a));
  assert_true(ask(trial, &second, trial->a));
  first.leaves = &second;
  second.leaves = &first;
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 1, 1));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  assert_int_equal(first.calls + second.calls, 1);
}

static void destroying_takes_back_every_query_and_calls_nobody(void **state) {
  (void)state;
  struct trial trial;
  struct waiter a, b;
  open_with(&trial, false, NULL);
  assert_true(ask(&trial, &a, trial.a));
  assert_true(ask(&trial, &b, trial.b));
  deliver(&trial, "a.test", DNSMSG_A, fake_a(300, 1, 1));
  deliver(&trial, "b.test", DNSMSG_A, fake_alias(DNSMSG_FOLLOW, 1, 60, "real.test"));
  close_it(&trial);
  assert_int_equal(a.calls + b.calls, 0);
}

static void a_host_whose_domains_are_gone_is_kept_for_its_flight(void **state) {
  (void)state;
  struct trial trial;
  struct waiter waiter;
  open_with(&trial, false, NULL);
  const struct domain_facts *other = put_domain(trial.cache, "e.test", "lonely.test", NULL);
  struct host *host = other->set->exchanges[0].host;
  assert_true(ask(&trial, &waiter, host));
  hosts_leave(&waiter.wait);
  assert_true(cache_remove(trial.cache, "e.test", 6, name_hash("e.test", 6)));
  cache_release(trial.cache, other);
  assert_int_equal(cache_host_count(trial.cache), 3);
  deliver(&trial, "lonely.test", DNSMSG_A, fake_a(300, 1, 1));
  deliver(&trial, "lonely.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  assert_int_equal(cache_host_count(trial.cache), 2);
  close_it(&trial);
}

static void where_neither_query_is_accepted_there_is_nothing_to_wait_for(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  assert_false(ask(trial, &waiter, trial->a));
  assert_null(waiter.wait.flight);
  /* A soft failure for who asked now, and nothing that would be remembered. */
  check_family(trial->a, FAMILY_V6, FAMILY_TEMPFAIL, 0, NOW_MS);
  check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, NOW_MS);
  fake_dns_accept(trial->dns);
  assert_true(ask(trial, &waiter, trial->a));
  assert_int_equal(trial->dns->open_count, 2);
}

static void one_query_that_is_accepted_is_waited_for(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  fake_dns_refuse_after(trial->dns, 1, ERR_OVERLOAD);
  assert_true(ask(trial, &waiter, trial->a));
  assert_int_equal(trial->dns->open_count, 1);
  bool is_v6 = fake_dns_is_asked(trial->dns, "a.test", DNSMSG_AAAA);
  deliver(trial, "a.test", is_v6 ? DNSMSG_AAAA : DNSMSG_A, is_v6 ? fake_aaaa(300, 1, 1) : fake_a(300, 1, 1));
  assert_int_equal(waiter.calls, 1);
  check_family(trial->a, is_v6 ? FAMILY_V6 : FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300000);
  check_family(trial->a, is_v6 ? FAMILY_V4 : FAMILY_V6, FAMILY_TEMPFAIL, 0, NOW_MS);
}

static void a_refresh_that_is_refused_leaves_addresses_that_hold(void **state) {
  struct trial *trial = *state;
  resolve(trial, 300, 300);
  for (size_t accepted = 0; accepted < 2; accepted++) {
    struct waiter waiter;
    fake_dns_refuse_after(trial->dns, accepted, ERR_OVERLOAD);
    assert_int_equal(ask_at(trial, &waiter, trial->a, true, NOW_MS + 1000), accepted);
    if (accepted) {
      bool is_v6 = fake_dns_is_asked(trial->dns, "a.test", DNSMSG_AAAA);
      deliver(trial, "a.test", is_v6 ? DNSMSG_AAAA : DNSMSG_A, fake_reply(DNSMSG_SERVFAIL));
    }
    check_family(trial->a, FAMILY_V6, FAMILY_OK, 2, NOW_MS + 300000);
    check_family(trial->a, FAMILY_V4, FAMILY_OK, 3, NOW_MS + 300000);
  }
}

static void a_chain_that_is_refused_midway_is_soft_and_not_remembered(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  deliver(trial, "a.test", DNSMSG_A, fake_alias(DNSMSG_FOLLOW, 1, 60, "real.test"));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  assert_int_equal(waiter.calls, 1);
  check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, NOW_MS);
}

/* ---- a purge while addresses are being asked for ---- */

static const unsigned EVERY_STATE = UINT_MAX;

static void a_purge_lets_the_waiters_have_addresses_that_are_not_kept(void **state) {
  struct trial *trial = *state;
  struct waiter waiter, other;
  assert_true(ask(trial, &waiter, trial->a));
  assert_true(ask(trial, &other, trial->b));
  hosts_forget(trial->hosts, trial->a, EVERY_STATE);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(300, 1, 2));
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 1, 3));
  assert_int_equal(waiter.calls, 1);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 2, NOW_MS);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 3, NOW_MS);
  assert_int_equal(facts_of(trial->a)->life_ms[FAMILY_V4], 0); /* nor for a stale answer */
  deliver(trial, "b.test", DNSMSG_AAAA, fake_aaaa(300, 1, 2));
  deliver(trial, "b.test", DNSMSG_A, fake_a(300, 1, 3));
  check_family(trial->b, FAMILY_V6, FAMILY_OK, 2, NOW_MS + 300000);
  assert_true(ask(trial, &waiter, trial->a)); /* a later question is a new flight, which nothing overtook */
  deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(300, 1, 2));
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 1, 3));
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 3, NOW_MS + 300000);
}

static void a_purge_does_not_bring_back_the_family_that_was_not_asked_for(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(300, 1, 2));
  deliver(trial, "a.test", DNSMSG_A, fake_a(10, 1, 3));
  int64_t later_ms = NOW_MS + 20000;
  assert_true(ask_at(trial, &waiter, trial->a, false, later_ms)); /* for A alone */
  assert_true(cache_forget_host(trial->cache, trial->a));
  hosts_forget(trial->hosts, trial->a, EVERY_STATE);
  deliver_at(trial, "a.test", DNSMSG_A, fake_a(10, 1, 3), later_ms);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 2, later_ms);
}

static void a_purge_of_denials_keeps_addresses(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  hosts_forget(trial->hosts, NULL, 1 << FAMILY_NODATA | 1 << FAMILY_NXDOMAIN);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 1, 3));
  check_family(trial->a, FAMILY_V6, FAMILY_NODATA, 0, NOW_MS);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 3, NOW_MS + 300000);
  assert_true(ask(trial, &waiter, trial->b)); /* which comes after the purge */
  deliver(trial, "b.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  deliver(trial, "b.test", DNSMSG_A, fake_a(300, 1, 3));
  check_family(trial->b, FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + 300000);
}

/* ---- the shared store ---- */

enum { MAX_STALE_MS = 3600000, S = 1000 };

static int open_store_trial(void **state) {
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  open_with(trial, false, fake_store_create());
  trial->policy.max_stale_ms = MAX_STALE_MS;
  trial->policy.ttl.prefetch_percent = 10;
  *state = trial;
  return 0;
}

static struct store_read *read_of(struct trial *trial) {
  struct store_read *read = fake_store_find(trial->store, RECORD_HOST, "a.test");
  assert_non_null(read);
  return read;
}

/* A record of a.test whose families were learned 100 s before `now_ms` and live so long by the DNS; 0: a
 * family is unknown. */
static struct record known_at(int64_t v6_life_s, int64_t v4_life_s, int64_t now_ms) {
  struct record record = fake_host_record("a.test");
  if (v6_life_s)
    fake_add_family(&record, FAMILY_V6, FAMILY_OK, 66, 100 * S, v6_life_s * S, now_ms);
  if (v4_life_s)
    fake_add_family(&record, FAMILY_V4, FAMILY_OK, 44, 100 * S, v4_life_s * S, now_ms);
  return record;
}

static bool offer(struct trial *trial, struct record record) {
  return fake_store_offer(read_of(trial), &record, NOW_MS);
}

static void end_read(struct trial *trial, enum store_outcome outcome) {
  fake_store_end(read_of(trial), outcome, NOW_MS);
}

static void addresses_that_the_store_has_are_not_asked_of_the_dns(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  assert_int_equal(trial->dns->open_count, 0);
  assert_true(offer(trial, known_at(300, 400, NOW_MS)));
  assert_int_equal(waiter.calls, 1);
  assert_int_equal(waiter.origins, FETCH_OF_STORE);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 1, NOW_MS + 200 * S);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300 * S);
  assert_true(facts_of(trial->a)->refresh_at_ms[FAMILY_V4] < NOW_MS + 300 * S);
  assert_int_equal(trial->dns->asked_count, 0);
  assert_int_equal(trial->store->put_count, 0);
}

static void denials_that_the_store_has_are_taken_as_well(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  struct record record = fake_host_record("a.test");
  fake_add_family(&record, FAMILY_V6, FAMILY_NODATA, 0, 100 * S, 900 * S, NOW_MS);
  fake_add_family(&record, FAMILY_V4, FAMILY_NXDOMAIN, 0, 100 * S, 8000 * S, NOW_MS);
  assert_true(ask(trial, &waiter, trial->a));
  assert_true(offer(trial, record));
  check_family(trial->a, FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + 800 * S);
  check_family(trial->a, FAMILY_V4, FAMILY_NXDOMAIN, 0, NOW_MS + (MAX_NEGATIVE_S - 100) * S);
  assert_true(facts_of(trial->a)->refresh_at_ms[FAMILY_V6] == INT64_MAX);
}

/* What is in the store after the DNS has said A with `ttl_s`: the families' states and raw lives. */
static void check_shared(struct trial *trial, enum family family, enum family_state state, int64_t age_s,
                         int64_t life_s) {
  struct record *record = fake_store_read(trial->store, RECORD_HOST, "a.test", NOW_MS);
  assert_non_null(record);
  assert_int_equal(record->families[family].state, state);
  if (state != FAMILY_UNKNOWN) {
    assert_true(record->learned_at_ms[family] == NOW_MS - age_s * S);
    assert_true(record->families[family].expires_at_ms == NOW_MS - (age_s - life_s) * S);
  }
  free(record);
}

static void only_the_family_that_the_store_lacks_is_asked_of_the_dns(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  assert_false(offer(trial, known_at(0, 400, NOW_MS)));
  assert_int_equal(waiter.calls, 0);
  end_read(trial, STORE_MISSING);
  assert_int_equal(trial->dns->open_count, 1);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 900));
  assert_int_equal(waiter.calls, 1);
  assert_int_equal(waiter.origins, FETCH_OF_STORE | FETCH_OF_DNS);
  check_family(trial->a, FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + 900 * S);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300 * S);
  /* The others get both from one value again. */
  assert_int_equal(trial->store->put_count, 1);
  check_shared(trial, FAMILY_V6, FAMILY_NODATA, 0, 900);
  check_shared(trial, FAMILY_V4, FAMILY_OK, 100, 400);
}

static void what_the_dns_said_of_both_is_shared_with_the_lives_it_gave(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  trial->policy.ttl.max_s = 60;
  assert_true(ask(trial, &waiter, trial->a));
  end_read(trial, STORE_AWAY);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NXDOMAIN, 7200));
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 44, 1));
  assert_int_equal(waiter.origins, FETCH_OF_DNS);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 60 * S);
  check_shared(trial, FAMILY_V6, FAMILY_NXDOMAIN, 0, 7200);
  check_shared(trial, FAMILY_V4, FAMILY_OK, 0, 300);
  struct record *record = fake_store_read(trial->store, RECORD_HOST, "a.test", NOW_MS);
  assert_true(record->stale_until_ms == NOW_MS + 7200 * S); /* later than the address may be stale */
  free(record);
}

static void an_address_may_be_shared_for_as_long_as_it_may_be_stale(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  end_read(trial, STORE_MISSING);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(300, 66, 1));
  deliver(trial, "a.test", DNSMSG_A, fake_denial(DNSMSG_NXDOMAIN, 900));
  struct record *record = fake_store_read(trial->store, RECORD_HOST, "a.test", NOW_MS);
  assert_true(record->stale_until_ms == NOW_MS + 300 * S + MAX_STALE_MS);
  free(record);
}

static void what_only_we_know_of_a_family_is_not_shared(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  struct dnsmsg messages[] = {fake_aaaa(0, 1, 1), fake_reply(DNSMSG_NODATA), fake_reply(DNSMSG_SERVFAIL),
                              fake_alias(DNSMSG_LOOP, 2, 60, "c.test")};
  for (size_t i = 0; i < 4; i++) {
    assert_true(ask(trial, &waiter, trial->a));
    end_read(trial, STORE_MISSING);
    deliver(trial, "a.test", DNSMSG_AAAA, messages[i]);
    deliver(trial, "a.test", DNSMSG_A, fake_a(300, 44, 1));
    assert_int_equal(trial->store->put_count, i + 1);
    check_shared(trial, FAMILY_V6, FAMILY_UNKNOWN, 0, 0);
    check_shared(trial, FAMILY_V4, FAMILY_OK, 0, 300);
    cache_forget_host(trial->cache, trial->a);
  }
  assert_true(ask(trial, &waiter, trial->a));
  end_read(trial, STORE_MISSING);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_reply(DNSMSG_SERVFAIL));
  deliver(trial, "a.test", DNSMSG_A, fake_a(0, 44, 1));
  assert_int_equal(trial->store->put_count, 4);
  assert_int_equal(trial->store->released_count, 1);
}

/* a.test is known in both families, A until NOW_MS and AAAA for longer; both by the DNS. */
static void let_a_expire(struct trial *trial) {
  struct waiter waiter;
  int64_t before_ms = NOW_MS - 100 * S;
  assert_true(ask_at(trial, &waiter, trial->a, false, before_ms));
  fake_store_end(read_of(trial), STORE_MISSING, before_ms);
  deliver_at(trial, "a.test", DNSMSG_AAAA, fake_aaaa(900, 66, 1), before_ms);
  deliver_at(trial, "a.test", DNSMSG_A, fake_a(100, 44, 1), before_ms);
}

static void a_family_that_holds_stays_in_what_is_shared_where_the_store_had_it(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  let_a_expire(trial);
  check_shared(trial, FAMILY_V6, FAMILY_OK, 100, 900);
  assert_true(ask(trial, &waiter, trial->a));
  struct record *record = fake_store_read(trial->store, RECORD_HOST, "a.test", NOW_MS);
  record->learned_at_ms[FAMILY_V6] -= 1; /* read with another pair of clocks */
  record->families[FAMILY_V6].expires_at_ms -= 1;
  assert_false(fake_store_offer(read_of(trial), record, NOW_MS));
  free(record);
  end_read(trial, STORE_MISSING);
  assert_int_equal(trial->dns->open_count, 1);
  deliver(trial, "a.test", DNSMSG_A, fake_a(200, 45, 1));
  check_shared(trial, FAMILY_V4, FAMILY_OK, 0, 200);
  record = fake_store_read(trial->store, RECORD_HOST, "a.test", NOW_MS);
  assert_int_equal(record->families[FAMILY_V6].state, FAMILY_OK);
  assert_true(record->families[FAMILY_V6].expires_at_ms == NOW_MS + 800 * S - 1);
  free(record);
}

static void a_family_that_holds_is_shared_anew_unless_its_life_may_be_of_our_making(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  for (unsigned is_ours = 0; is_ours < 2; is_ours++) {
    let_a_expire(trial);
    trial->policy.ttl.min_s = is_ours ? 900 : 0;
    assert_true(ask(trial, &waiter, trial->a));
    end_read(trial, STORE_MISSING);
    deliver(trial, "a.test", DNSMSG_A, fake_a(200, 45, 1));
    check_shared(trial, FAMILY_V6, is_ours ? FAMILY_UNKNOWN : FAMILY_OK, 100, 900);
    check_shared(trial, FAMILY_V4, FAMILY_OK, 0, 200);
    trial->policy.ttl.min_s = 0;
    cache_forget_host(trial->cache, trial->a);
  }
}

static void only_the_wanted_family_counts(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  let_a_expire(trial);
  assert_true(ask(trial, &waiter, trial->a));
  assert_true(offer(trial, known_at(0, 400, NOW_MS)));
  assert_int_equal(waiter.origins, FETCH_OF_STORE);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300 * S);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 1, NOW_MS + 800 * S); /* as it was */
  assert_int_equal(host_facts_addresses(facts_of(trial->a), FAMILY_V6)[17], 66);
}

static void a_family_that_ends_sooner_in_the_store_than_here_is_not_taken(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  let_a_expire(trial);
  assert_true(ask(trial, &waiter, trial->a));
  struct record record = known_at(200, 400, NOW_MS);
  record.families[FAMILY_V6].addresses[0][15] = 67;
  assert_true(fake_store_offer(read_of(trial), &record, NOW_MS));
  assert_int_equal(host_facts_addresses(facts_of(trial->a), FAMILY_V6)[17], 66);
}

static void addresses_that_have_expired_go_into_memory_and_are_stale_where_the_dns_fails(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  assert_false(offer(trial, known_at(90, 400, NOW_MS)));
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 1, NOW_MS - 10 * S);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300 * S);
  assert_false(host_facts_are_ready(facts_of(trial->a), false, NOW_MS));
  end_read(trial, STORE_MISSING);
  fake_dns_fail(trial->dns, "a.test", DNSMSG_AAAA, DNS_TIMED_OUT, NOW_MS);
  assert_int_equal(waiter.calls, 1);
  assert_int_equal(waiter.origins, FETCH_OF_STORE);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 1, NOW_MS - 10 * S);
  assert_true(host_facts_are_ready(facts_of(trial->a), false, NOW_MS));
  assert_int_equal(trial->store->put_count, 0); /* the DNS said nothing */
}

static void who_waits_is_told_of_addresses_that_may_be_answered_stale(void **state) {
  struct trial *trial = *state;
  struct waiter waiter, later;
  assert_true(ask(trial, &waiter, trial->a));
  assert_false(offer(trial, known_at(0, 400, NOW_MS))); /* those hold */
  assert_int_equal(waiter.stale_calls, 0);
  assert_false(offer(trial, known_at(90, 400, NOW_MS)));
  assert_int_equal(waiter.stale_calls, 1);
  assert_true(ask(trial, &later, trial->a));
  assert_true(later.wait.has_stale);
  assert_int_equal(later.stale_calls, 0);
  assert_true(ask(trial, &later, trial->b));
  assert_false(later.wait.has_stale);
}

static void what_had_expired_is_replaced_by_what_the_dns_says_and_else_stays_shared(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  assert_false(offer(trial, known_at(90, 95, NOW_MS)));
  end_read(trial, STORE_MISSING);
  deliver(trial, "a.test", DNSMSG_A, fake_a(200, 45, 1));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_reply(DNSMSG_SERVFAIL));
  assert_int_equal(waiter.origins, FETCH_OF_STORE | FETCH_OF_DNS);
  check_family(trial->a, FAMILY_V6, FAMILY_OK, 1, NOW_MS - 10 * S);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 200 * S);
  check_shared(trial, FAMILY_V4, FAMILY_OK, 0, 200);
  check_shared(trial, FAMILY_V6, FAMILY_OK, 100, 90);
}

static void what_may_not_be_stale_does_not_go_into_memory(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  static const enum family_state states[] = {FAMILY_NXDOMAIN, FAMILY_OK, FAMILY_OK, FAMILY_NODATA};
  for (unsigned way = 0; way < 4; way++) {
    struct record record = fake_host_record("a.test");
    trial->policy.max_stale_ms = way == 1 ? 10 * S : way == 2 ? 0 : MAX_STALE_MS;
    trial->policy.ttl.max_negative_s = way == 3 ? 0 : MAX_NEGATIVE_S; /* denials are for one answer */
    fake_add_family(&record, FAMILY_V4, states[way], 44, 100 * S, 90 * S, NOW_MS);
    assert_true(ask(trial, &waiter, trial->a));
    assert_false(offer(trial, record));
    assert_null(atomic_load(&trial->a->facts));
    end_read(trial, STORE_AWAY);
    fake_dns_fail(trial->dns, "a.test", DNSMSG_AAAA, DNS_TIMED_OUT, NOW_MS);
    fake_dns_fail(trial->dns, "a.test", DNSMSG_A, DNS_TIMED_OUT, NOW_MS);
    check_family(trial->a, FAMILY_V4, FAMILY_TEMPFAIL, 0, NOW_MS + FAILURE_S * S);
    assert_int_equal(waiter.origins, FETCH_OF_DNS);
    cache_forget_host(trial->cache, trial->a);
  }
}

static void what_has_been_expired_for_too_long_when_the_dns_fails_is_not_shared_again(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  int64_t later_ms = NOW_MS + 2000;
  trial->policy.max_stale_ms = 11 * S;
  assert_true(ask(trial, &waiter, trial->a));
  assert_false(offer(trial, known_at(90, 0, NOW_MS)));
  end_read(trial, STORE_MISSING);
  deliver_at(trial, "a.test", DNSMSG_A, fake_a(0, 44, 1), later_ms);
  fake_dns_fail(trial->dns, "a.test", DNSMSG_AAAA, DNS_TIMED_OUT, later_ms);
  assert_int_equal(waiter.origins, FETCH_OF_DNS);
  check_family(trial->a, FAMILY_V6, FAMILY_TEMPFAIL, 0, later_ms + FAILURE_S * S);
  assert_int_equal(trial->store->put_count, 0);
  assert_int_equal(trial->store->released_count, 1);
}

static void expired_addresses_that_are_younger_stay(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  int64_t later_ms = NOW_MS + 1000 * S;
  let_a_expire(trial);
  assert_true(ask_at(trial, &waiter, trial->a, false, later_ms));
  struct record record = known_at(90, 95, NOW_MS - 100 * S);
  assert_false(fake_store_offer(read_of(trial), &record, later_ms));
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS);
  fake_store_end(read_of(trial), STORE_MISSING, later_ms);
}

static void a_refresh_asks_the_dns_alone_and_shares(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask_at(trial, &waiter, trial->a, true, NOW_MS));
  assert_int_equal(trial->store->asked_count, 0);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(300, 66, 1));
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 44, 1));
  assert_int_equal(trial->store->put_count, 1);
}

static void a_refresh_that_joins_waits_for_the_dns_alone(void **state) {
  struct trial *trial = *state;
  struct waiter first, refresh;
  for (unsigned is_settled = 0; is_settled < 2; is_settled++) {
    assert_true(ask(trial, &first, trial->a));
    if (is_settled)
      assert_false(offer(trial, known_at(0, 400, NOW_MS)));
    assert_true(ask_at(trial, &refresh, trial->a, true, NOW_MS));
    assert_int_equal(trial->store->open_count, 0);
    assert_int_equal(trial->dns->open_count, 2);
    deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(300, 66, 1));
    deliver(trial, "a.test", DNSMSG_A, fake_a(300, 45, 1));
    assert_int_equal(first.calls + refresh.calls, 2);
    assert_int_equal(refresh.origins, FETCH_OF_DNS);
    assert_int_equal(host_facts_addresses(facts_of(trial->a), FAMILY_V4)[5], 45);
    check_shared(trial, FAMILY_V4, FAMILY_OK, 0, 300);
    cache_forget_host(trial->cache, trial->a);
  }
}

static void a_refresh_that_joins_and_fails_leaves_what_the_store_settled(void **state) {
  struct trial *trial = *state;
  struct waiter first, refresh;
  assert_true(ask(trial, &first, trial->a));
  assert_false(offer(trial, known_at(0, 400, NOW_MS)));
  assert_true(ask_at(trial, &refresh, trial->a, true, NOW_MS));
  deliver(trial, "a.test", DNSMSG_AAAA, fake_aaaa(300, 66, 1));
  deliver(trial, "a.test", DNSMSG_A, fake_reply(DNSMSG_SERVFAIL));
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS + 300 * S);
  check_shared(trial, FAMILY_V4, FAMILY_OK, 100, 400);
}

static void a_look_ahead_takes_what_lives_longer_by_more_than_the_lead(void **state) {
  struct trial *trial = *state;
  const struct hosts_wish ahead = {.ahead = true, .priority = DNS_FOR_PREFETCH};
  for (int is_enough = 0; is_enough < 2; is_enough++) {
    struct waiter waiter;
    int64_t lead_ms;
    assert_true(ask(trial, &waiter, trial->a));
    assert_true(offer(trial, known_at(1100, 2000, NOW_MS))); /* 1000 s and 1900 s are left */
    lead_ms = NOW_MS + 1000 * S - facts_of(trial->a)->refresh_at_ms[FAMILY_V6];
    assert_in_range(lead_ms, 50 * S, 170 * S);
    int64_t later_ms = NOW_MS + 1000 * S - 1;
    assert_true(wish_at(trial, &waiter, trial->a, &ahead, later_ms));
    struct record record = fake_host_record("a.test");
    fake_add_family(&record, FAMILY_V6, FAMILY_OK, 67, 0, 1 + lead_ms / S * S + is_enough * 1000, later_ms);
    assert_int_equal(fake_store_offer(read_of(trial), &record, later_ms), is_enough);
    assert_int_equal(host_facts_addresses(facts_of(trial->a), FAMILY_V6)[17], is_enough ? 67 : 66);
    if (!is_enough) {
      fake_store_end(read_of(trial), STORE_MISSING, later_ms);
      assert_int_equal(trial->dns->open_count, 1);
      assert_int_equal(fake_dns_find(trial->dns, "a.test", DNSMSG_AAAA)->priority, DNS_FOR_PREFETCH);
      deliver_at(trial, "a.test", DNSMSG_AAAA, fake_aaaa(300, 68, 1), later_ms);
    }
    cache_forget_host(trial->cache, trial->a);
  }
}

static void the_store_and_the_dns_may_each_win_a_family(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  fake_store_late(read_of(trial), NOW_MS);
  assert_int_equal(trial->dns->open_count, 2);
  deliver(trial, "a.test", DNSMSG_A, fake_a(200, 45, 1));
  struct record record = known_at(300, 400, NOW_MS);
  snprintf(record.families[FAMILY_V6].expanded, FACTS_NAME_SIZE, "old.test");
  snprintf(record.families[FAMILY_V4].expanded, FACTS_NAME_SIZE, "old.test");
  assert_true(fake_store_offer(read_of(trial), &record, NOW_MS));
  assert_int_equal(trial->dns->open_count, 0);
  assert_int_equal(waiter.origins, FETCH_OF_STORE | FETCH_OF_DNS);
  assert_int_equal(host_facts_addresses(facts_of(trial->a), FAMILY_V4)[5], 45); /* the DNS is later */
  assert_int_equal(host_facts_addresses(facts_of(trial->a), FAMILY_V6)[17], 66);
  check_expanded(trial->a, ""); /* it knows of no alias any more */
}

static void the_alias_that_the_store_tells_is_kept(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  let_a_expire(trial);
  assert_true(ask(trial, &waiter, trial->a));
  struct record record = known_at(0, 400, NOW_MS);
  snprintf(record.families[FAMILY_V4].expanded, FACTS_NAME_SIZE, "real.test");
  assert_true(fake_store_offer(read_of(trial), &record, NOW_MS));
  check_expanded(trial->a, "real.test");
}

static void what_a_purge_is_for_is_neither_taken_from_the_store_nor_shared(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  let_a_expire(trial);
  assert_true(ask(trial, &waiter, trial->a));
  assert_true(cache_forget_host(trial->cache, trial->a));
  hosts_forget(trial->hosts, trial->a, EVERY_STATE);
  assert_false(offer(trial, known_at(1000, 400, NOW_MS)));
  assert_false(offer(trial, known_at(90, 95, NOW_MS)));
  assert_null(atomic_load(&trial->a->facts)); /* nor does what was known come back */
  end_read(trial, STORE_MISSING);
  unsigned put_count = (unsigned)trial->store->put_count;
  deliver(trial, "a.test", DNSMSG_A, fake_a(200, 45, 1));
  assert_int_equal(waiter.calls, 1);
  check_family(trial->a, FAMILY_V4, FAMILY_OK, 1, NOW_MS); /* for who waits */
  assert_int_equal(trial->store->put_count, put_count);
  assert_int_equal(trial->store->released_count, 1);
}

static void what_is_taken_from_the_store_brings_nothing_back_that_was_purged(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  int64_t before_ms = NOW_MS - 100 * S, later_ms = NOW_MS + 250 * S;
  assert_true(ask_at(trial, &waiter, trial->a, false, before_ms));
  fake_store_end(read_of(trial), STORE_MISSING, before_ms);
  deliver_at(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 900), before_ms);
  deliver_at(trial, "a.test", DNSMSG_A, fake_a(100, 44, 1), before_ms);
  assert_true(ask_at(trial, &waiter, trial->a, false, later_ms)); /* for A alone */
  hosts_forget(trial->hosts, NULL, 1 << FAMILY_NODATA);
  assert_true(cache_forget_host(trial->cache, trial->a));
  struct record record = known_at(0, 150, NOW_MS + 150 * S); /* expired 50 s ago */
  assert_false(fake_store_offer(read_of(trial), &record, later_ms));
  assert_null(atomic_load(&trial->a->facts));
  fake_store_end(read_of(trial), STORE_MISSING, later_ms);
  fake_dns_fail(trial->dns, "a.test", DNSMSG_A, DNS_TIMED_OUT, later_ms);
  assert_int_equal(waiter.origins, FETCH_OF_STORE);
}

static void a_purge_of_denials_leaves_addresses_to_be_shared(void **state) {
  struct trial *trial = *state;
  struct waiter waiter;
  assert_true(ask(trial, &waiter, trial->a));
  end_read(trial, STORE_MISSING);
  hosts_forget(trial->hosts, NULL, 1 << FAMILY_NODATA | 1 << FAMILY_NXDOMAIN);
  deliver(trial, "a.test", DNSMSG_AAAA, fake_denial(DNSMSG_NODATA, 300));
  deliver(trial, "a.test", DNSMSG_A, fake_a(300, 44, 1));
  check_shared(trial, FAMILY_V6, FAMILY_UNKNOWN, 0, 0);
  check_shared(trial, FAMILY_V4, FAMILY_OK, 0, 300);
}

static void destroying_takes_back_every_read_and_calls_nobody(void **state) {
  (void)state;
  struct trial trial;
  struct waiter a, b;
  open_with(&trial, false, fake_store_create());
  assert_true(ask(&trial, &a, trial.a));
  assert_true(ask(&trial, &b, trial.b));
  fake_store_late(read_of(&trial), NOW_MS);
  close_it(&trial);
  assert_int_equal(a.calls + b.calls, 0);
}

/* So many that the table of what is under way grows, and is not done with that. */
enum { CROWD = 66 };

static void ask_for_crowd(struct trial *trial, struct host *hosts[CROWD]) {
  static const struct hosts_wish wish;
  for (int i = 0; i < CROWD; i++) {
    char name[32], host[32];
    snprintf(name, sizeof(name), "d%d.test", i);
    snprintf(host, sizeof(host), "h%d.test", i);
    const struct domain_facts *facts = put_domain(trial->cache, name, host, NULL);
    hosts[i] = facts->set->exchanges[0].host;
    cache_release(trial->cache, facts);
    assert_true(hosts_ask(trial->hosts, hosts[i], &wish, NOW_MS, NULL));
  }
}

static void a_purge_overtakes_all_that_is_under_way_however_much(void **state) {
  struct trial *trial = *state;
  struct host *hosts[CROWD];
  ask_for_crowd(trial, hosts);
  hosts_forget(trial->hosts, NULL, EVERY_STATE);
  for (int i = 0; i < CROWD; i++) {
    deliver(trial, hosts[i]->name, DNSMSG_AAAA, fake_aaaa(300, 1, 1));
    deliver(trial, hosts[i]->name, DNSMSG_A, fake_a(300, 1, 1));
    check_family(hosts[i], FAMILY_V4, FAMILY_OK, 1, NOW_MS);
  }
}

static void the_end_takes_back_all_that_is_under_way_however_much(void **state) {
  struct host *hosts[CROWD];
  ask_for_crowd(*state, hosts); /* close_it looks whether any query is left */
}

int main(void) {
  name_hash_init();
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(a_purge_overtakes_all_that_is_under_way_however_much),
      TRIAL(the_end_takes_back_all_that_is_under_way_however_much),
      TRIAL(a_host_is_asked_for_in_both_families_at_once),
      TRIAL(the_addresses_are_those_of_the_reply),
      TRIAL(the_order_of_the_replies_does_not_matter),
      TRIAL(any_number_of_waiters_is_one_pair_of_queries),
      TRIAL(two_hosts_are_two_pairs_of_queries),
      TRIAL(domains_that_share_a_host_share_its_queries),
      TRIAL(facts_that_hold_are_not_asked_for),
      TRIAL(only_the_family_that_has_expired_is_asked_for),
      TRIAL(refresh_asks_although_the_facts_hold),
      TRIAL(a_ttl_of_0_is_delivered_and_then_asked_for_again),
      TRIAL(an_address_in_text_is_never_asked_for),
      cmocka_unit_test(every_outcome_becomes_a_state_with_a_life),
      TRIAL(silence_is_a_soft_failure_and_ours_is_short),
      cmocka_unit_test(notimp_is_a_denial_where_that_is_wanted),
      TRIAL(a_failure_is_remembered_for_a_while),
      TRIAL(a_soft_failure_leaves_addresses_that_hold),
      TRIAL(a_soft_failure_replaces_addresses_that_have_expired),
      TRIAL(addresses_that_expire_while_they_are_refreshed_do_not_stay),
      TRIAL(a_denial_replaces_addresses_that_hold),
      TRIAL(each_failure_in_a_row_of_one_family_lives_twice_as_long),
      TRIAL(too_much_to_do_leaves_a_failure_that_holds_and_its_row),
      TRIAL(a_refresh_asks_for_the_family_that_a_flight_under_way_left_out),
      TRIAL(a_refresh_that_is_refused_midway_leaves_the_flight_as_it_was),
      TRIAL(a_more_important_wish_raises_a_flight_under_way),
      TRIAL(the_story_of_who_asked_first_is_told_and_outlives_him),
      TRIAL(who_joins_is_told_whose_addresses_he_waits_for),
      TRIAL(who_needs_not_ask_is_told_what_memory_holds),
      TRIAL(a_flight_without_a_story_takes_that_of_who_makes_it_ask_more),
      TRIAL(that_there_is_too_much_to_do_is_told),
      TRIAL(an_alias_is_followed_and_its_end_kept),
      TRIAL(a_loop_of_aliases_keeps_no_expanded_name),
      TRIAL(eight_hops_are_addresses_and_nine_a_loop),
      TRIAL(a_failure_behind_an_alias_keeps_no_expanded_name),
      cmocka_unit_test(one_family_alone_can_say_that_the_alias_is_gone_or_another),
      TRIAL(a_family_that_fails_softly_leaves_the_alias_of_the_other),
      TRIAL(who_has_left_is_not_called_and_the_flight_goes_on),
      TRIAL(a_flight_without_waiters_still_publishes),
      TRIAL(one_waiter_may_take_another_away_when_it_is_called),
      cmocka_unit_test(destroying_takes_back_every_query_and_calls_nobody),
      cmocka_unit_test(a_host_whose_domains_are_gone_is_kept_for_its_flight),
      TRIAL(where_neither_query_is_accepted_there_is_nothing_to_wait_for),
      TRIAL(one_query_that_is_accepted_is_waited_for),
      TRIAL(a_refresh_that_is_refused_leaves_addresses_that_hold),
      TRIAL(a_chain_that_is_refused_midway_is_soft_and_not_remembered),
      TRIAL(a_purge_lets_the_waiters_have_addresses_that_are_not_kept),
      TRIAL(a_purge_does_not_bring_back_the_family_that_was_not_asked_for),
      TRIAL(a_purge_of_denials_keeps_addresses),
#define STORED(test) cmocka_unit_test_setup_teardown(test, open_store_trial, close_trial)
      STORED(addresses_that_the_store_has_are_not_asked_of_the_dns),
      STORED(denials_that_the_store_has_are_taken_as_well),
      STORED(only_the_family_that_the_store_lacks_is_asked_of_the_dns),
      STORED(what_the_dns_said_of_both_is_shared_with_the_lives_it_gave),
      STORED(an_address_may_be_shared_for_as_long_as_it_may_be_stale),
      STORED(what_only_we_know_of_a_family_is_not_shared),
      STORED(a_family_that_holds_stays_in_what_is_shared_where_the_store_had_it),
      STORED(a_family_that_holds_is_shared_anew_unless_its_life_may_be_of_our_making),
      STORED(only_the_wanted_family_counts),
      STORED(a_family_that_ends_sooner_in_the_store_than_here_is_not_taken),
      STORED(addresses_that_have_expired_go_into_memory_and_are_stale_where_the_dns_fails),
      STORED(who_waits_is_told_of_addresses_that_may_be_answered_stale),
      STORED(what_had_expired_is_replaced_by_what_the_dns_says_and_else_stays_shared),
      STORED(what_may_not_be_stale_does_not_go_into_memory),
      STORED(what_has_been_expired_for_too_long_when_the_dns_fails_is_not_shared_again),
      STORED(expired_addresses_that_are_younger_stay),
      STORED(a_refresh_asks_the_dns_alone_and_shares),
      STORED(a_refresh_that_joins_waits_for_the_dns_alone),
      STORED(a_refresh_that_joins_and_fails_leaves_what_the_store_settled),
      STORED(a_look_ahead_takes_what_lives_longer_by_more_than_the_lead),
      STORED(the_store_and_the_dns_may_each_win_a_family),
      STORED(the_alias_that_the_store_tells_is_kept),
      STORED(what_a_purge_is_for_is_neither_taken_from_the_store_nor_shared),
      STORED(what_is_taken_from_the_store_brings_nothing_back_that_was_purged),
      STORED(a_purge_of_denials_leaves_addresses_to_be_shared),
      cmocka_unit_test(destroying_takes_back_every_read_and_calls_nobody),
  };
  return cmocka_run_group_tests_name("hosts", tests, NULL, NULL);
}
