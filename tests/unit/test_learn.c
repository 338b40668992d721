#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "fake_dns.h"
#include "learn.h"
#include "made_facts.h"

enum { NOW_MS = 1000000 };

static const struct learn_policy policy = {
    .ttl = {.max_s = 86400, .max_negative_s = 3600, .failure_s = 5, .max_failure_s = 300}};
static struct random noise = {.state = 1};
static struct domain_value value;

static struct chase_end end_of(const struct dnsmsg *message) {
  return (struct chase_end){.result = DNS_REPLIED,
                            .outcome = message->outcome,
                            .alias_ttl_s = message->ttl_s,
                            .canonical = "e.test",
                            .message = message};
}

static struct chase_end failed(enum dns_result result, enum dnsmsg_outcome outcome) {
  return (struct chase_end){
      .result = result, .outcome = outcome, .alias_ttl_s = UINT32_MAX, .canonical = "e.test"};
}

/* ---- the MX query ---- */

static void every_end_has_its_verdict_or_is_a_fact(void **state) {
  (void)state;
  static const struct {
    enum dns_result result;
    enum dnsmsg_outcome outcome;
    int verdict, with_notimp; /* 0: a fact */
  } rows[] = {
      {DNS_REPLIED, DNSMSG_ANSWER, 0, 0},
      {DNS_REPLIED, DNSMSG_NODATA, 0, 0},
      {DNS_REPLIED, DNSMSG_NXDOMAIN, 0, 0},
      {DNS_REPLIED, DNSMSG_NOTIMP, VERDICT_DNS_REFUSED, 0},
      {DNS_REPLIED, DNSMSG_REFUSED, VERDICT_DNS_REFUSED, VERDICT_DNS_REFUSED},
      {DNS_REPLIED, DNSMSG_SERVFAIL, VERDICT_DNS_SERVFAIL, VERDICT_DNS_SERVFAIL},
      {DNS_REPLIED, DNSMSG_OTHER_RCODE, VERDICT_DNS_SERVFAIL, VERDICT_DNS_SERVFAIL},
      {DNS_REPLIED, DNSMSG_FORMERR, VERDICT_DNS_MALFORMED, VERDICT_DNS_MALFORMED},
      {DNS_REPLIED, DNSMSG_MALFORMED, VERDICT_DNS_MALFORMED, VERDICT_DNS_MALFORMED},
      {DNS_REPLIED, DNSMSG_LOOP, VERDICT_CNAME_LOOP, VERDICT_CNAME_LOOP},
      {DNS_TIMED_OUT, 0, VERDICT_DNS_TIMEOUT, VERDICT_DNS_TIMEOUT},
      {DNS_UNREACHABLE, 0, VERDICT_DNS_NETWORK, VERDICT_DNS_NETWORK},
      {DNS_SHED, 0, VERDICT_OVERLOAD, VERDICT_OVERLOAD},
  };
  struct learn_policy lax = policy;
  lax.notimp_as_nodata = true;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct chase_end end = failed(rows[i].result, rows[i].outcome);
    assert_int_equal(learn_failure(&policy, &end), rows[i].verdict);
    assert_int_equal(learn_failure(&lax, &end), rows[i].with_notimp);
  }
}

static void learn_mx(const struct chase_end *end, struct story *story) {
  memset(&value, 0xa5, sizeof(value));
  learn_domain(&policy, "d.test", end, NOW_MS, &noise, story, &value);
}

static void records_become_a_set_with_the_life_of_the_least(void **state) {
  (void)state;
  struct dnsmsg message = fake_mx(300, 20, "b.test");
  fake_add_mx(&message, 10, "a.test");
  struct chase_end end = end_of(&message);
  end.authentic = true;
  learn_mx(&end, NULL);
  assert_int_equal(value.kind, DOMAIN_MX);
  assert_int_equal(value.count, 2);
  assert_string_equal(value.exchanges[0].host, "a.test");
  assert_string_equal(value.canonical, "");
  assert_true(value.authentic);
  assert_int_equal(value.warnings, 0);
  assert_int_equal(value.failures, 0);
  assert_true(value.stored_at_ms == NOW_MS && value.expires_at_ms == NOW_MS + 300000);
}

static void what_names_no_host_is_dropped_and_told(void **state) {
  (void)state;
  struct dnsmsg message = fake_mx(300, 10, "a.test");
  fake_add_mx(&message, 7, "");
  message.mx[1].usable = false;
  message.cut = true;
  struct chase_end end = end_of(&message);
  struct story *story = story_create();
  learn_mx(&end, story);
  assert_int_equal(value.count, 1);
  assert_int_equal(value.warnings, WARNING_UNUSABLE_NAME | WARNING_TOO_MANY_MX);
  assert_non_null(strstr(story_line(story, 0).text, "preference 7"));
  assert_string_equal(story_line(story, 0).rule, "V11");
  assert_string_equal(story_line(story, 1).rule, "V16");
  story_unref(story);
}

static void a_domain_without_mx_is_its_own_exchange_or_the_end_of_its_aliases(void **state) {
  (void)state;
  struct dnsmsg message = fake_denial(DNSMSG_NODATA, 900);
  struct chase_end end = end_of(&message);
  learn_mx(&end, NULL);
  assert_int_equal(value.kind, DOMAIN_NODATA);
  assert_string_equal(value.exchanges[0].host, "d.test");
  assert_true(value.expires_at_ms == NOW_MS + 900000);
  end.is_alias = true;
  end.alias_ttl_s = 60;
  learn_mx(&end, NULL);
  assert_string_equal(value.exchanges[0].host, "e.test");
  assert_string_equal(value.canonical, "e.test");
  assert_true(value.expires_at_ms == NOW_MS + 60000);
}

static void denials_live_as_their_soa_says_and_5_s_without_one(void **state) {
  (void)state;
  struct dnsmsg message = fake_denial(DNSMSG_NXDOMAIN, 86400);
  struct chase_end end = end_of(&message);
  learn_mx(&end, NULL);
  assert_int_equal(value.kind, DOMAIN_NXDOMAIN);
  assert_int_equal(value.count, 0);
  assert_true(value.expires_at_ms == NOW_MS + 3600000);
  message.has_soa = false;
  learn_mx(&end, NULL);
  assert_true(value.expires_at_ms == NOW_MS + 5000);
}

/* ---- failures ---- */

static int64_t fail_once(enum verdict failure, const struct domain_facts *before, int64_t now_ms) {
  memset(&value, 0xa5, sizeof(value));
  learn_domain_failure(&policy, failure, before, now_ms, &noise, &value);
  assert_int_equal(value.kind, DOMAIN_FAILED);
  assert_int_equal(value.cause, failure);
  assert_int_equal(value.count, 0);
  assert_false(value.authentic);
  return (value.expires_at_ms - now_ms) / 1000;
}

static void failures_in_a_row_live_twice_as_long_each(void **state) {
  (void)state;
  static const int64_t lives_s[] = {5, 10, 20, 40, 80, 160, 300, 300};
  struct zone zone;
  zone_init(&zone, DOMAIN_FAILED, NOW_MS, NOW_MS);
  zone_build(&zone, "d.test");
  int64_t now_ms = NOW_MS;
  for (size_t i = 0; i < sizeof(lives_s) / sizeof(lives_s[0]); i++) {
    assert_int_equal(fail_once(VERDICT_DNS_SERVFAIL, i ? zone.facts : NULL, now_ms), lives_s[i]);
    zone.facts->failures = value.failures;
    zone.facts->stored_at_ms = value.stored_at_ms;
    zone.facts->expires_at_ms = now_ms = value.expires_at_ms;
  }
  assert_int_equal(value.failures, 8);
  zone_fini(&zone);
}

static void a_failure_of_long_ago_or_good_facts_begin_no_row(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_FAILED, NOW_MS - 20000, NOW_MS - 10000);
  zone_build(&zone, "d.test");
  zone.facts->failures = 4;
  assert_int_equal(fail_once(VERDICT_DNS_SERVFAIL, zone.facts, NOW_MS - 1), 80);
  assert_int_equal(fail_once(VERDICT_DNS_SERVFAIL, zone.facts, NOW_MS),
                   5); /* kept as long again as it lived */
  zone.facts->kind = DOMAIN_NXDOMAIN;
  zone.facts->failures = 0;
  zone.facts->expires_at_ms = NOW_MS + 1;
  assert_int_equal(fail_once(VERDICT_DNS_SERVFAIL, zone.facts, NOW_MS), 5);
  zone_fini(&zone);
}

static void no_network_is_neither_charged_nor_forgiven(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_FAILED, NOW_MS, NOW_MS + 1000);
  zone_build(&zone, "d.test");
  zone.facts->failures = 3;
  assert_int_equal(fail_once(VERDICT_DNS_NETWORK, zone.facts, NOW_MS), 1);
  assert_int_equal(value.failures, 3);
  assert_int_equal(fail_once(VERDICT_DNS_NETWORK, NULL, NOW_MS), 1);
  assert_int_equal(value.failures, 0);
  zone.facts->failures = UINT8_MAX;
  fail_once(VERDICT_DNS_TIMEOUT, zone.facts, NOW_MS);
  assert_int_equal(value.failures, UINT8_MAX);
  zone_fini(&zone);
}

/* ---- the address queries ---- */

static struct family_value unknown(void) {
  struct family_value family;
  host_facts_unpack(NULL, FAMILY_V4, &family);
  return family;
}

static void addresses_and_denials_are_facts(void **state) {
  (void)state;
  struct family_value family = unknown();
  struct dnsmsg message = fake_a(600, 1, 3);
  struct chase_end end = end_of(&message);
  end.authentic = true;
  assert_true(learn_family(&policy, &end, NOW_MS, &noise, &family));
  assert_int_equal(family.state, FAMILY_OK);
  assert_int_equal(family.count, 3);
  assert_true(family.authentic);
  assert_true(family.expires_at_ms == NOW_MS + 600000);
  message = fake_denial(DNSMSG_NODATA, 60);
  end = end_of(&message);
  assert_true(learn_family(&policy, &end, NOW_MS, &noise, &family)); /* at once, though they still held */
  assert_int_equal(family.state, FAMILY_NODATA);
  assert_int_equal(family.count, 0);
  assert_false(family.authentic);
  message = fake_denial(DNSMSG_NXDOMAIN, 60);
  end = end_of(&message);
  learn_family(&policy, &end, NOW_MS, &noise, &family);
  assert_int_equal(family.state, FAMILY_NXDOMAIN);
}

static void a_soft_failure_leaves_addresses_that_hold_and_replaces_others(void **state) {
  (void)state;
  struct chase_end end = failed(DNS_TIMED_OUT, 0);
  struct family_value family = made_family(FAMILY_V4, FAMILY_OK, 2, NOW_MS + 1, "");
  assert_false(learn_family(&policy, &end, NOW_MS, &noise, &family));
  assert_int_equal(family.state, FAMILY_OK);
  assert_int_equal(family.count, 2);
  assert_false(learn_family(&policy, &end, NOW_MS + 1, &noise, &family));
  assert_int_equal(family.state, FAMILY_TEMPFAIL);
  assert_int_equal(family.count, 0);
  family = made_family(FAMILY_V4, FAMILY_NODATA, 0, NOW_MS + 9999, "");
  learn_family(&policy, &end, NOW_MS, &noise, &family);
  assert_int_equal(family.state, FAMILY_TEMPFAIL);
}

static void soft_failures_in_a_row_live_twice_as_long_each_until_a_success(void **state) {
  (void)state;
  struct family_value family = unknown();
  struct chase_end end = failed(DNS_REPLIED, DNSMSG_SERVFAIL);
  static const int64_t lives_s[] = {5, 10, 20, 40, 80, 160, 300, 300};
  int64_t now_ms = NOW_MS;
  for (size_t i = 0; i < sizeof(lives_s) / sizeof(lives_s[0]); i++) {
    learn_family(&policy, &end, now_ms, &noise, &family);
    assert_int_equal((family.expires_at_ms - now_ms) / 1000, lives_s[i]);
    now_ms = family.expires_at_ms;
  }
  learn_family(&policy, &end, now_ms + 300000, &noise, &family); /* long after */
  assert_int_equal(family.failures, 1);
  struct dnsmsg message = fake_a(0, 1, 1);
  struct chase_end good = end_of(&message);
  learn_family(&policy, &good, now_ms, &noise, &family);
  assert_int_equal(family.failures, 0);
}

static void what_could_not_be_asked_is_not_remembered(void **state) {
  (void)state;
  struct family_value family = unknown();
  struct chase_end end = failed(DNS_SHED, 0);
  learn_family(&policy, &end, NOW_MS, &noise, &family);
  assert_int_equal(family.state, FAMILY_TEMPFAIL);
  assert_true(family.expires_at_ms == NOW_MS && family.failures == 0);
  family = unknown();
  learn_family_overload(&policy, NOW_MS, &family);
  assert_true(family.state == FAMILY_TEMPFAIL && family.expires_at_ms == NOW_MS);
  end = failed(DNS_UNREACHABLE, 0);
  learn_family(&policy, &end, NOW_MS, &noise, &family);
  assert_true(family.expires_at_ms == NOW_MS + 1000 && family.failures == 0);
  family = made_family(FAMILY_V4, FAMILY_OK, 1, NOW_MS + 1, "");
  learn_family_overload(&policy, NOW_MS, &family);
  assert_int_equal(family.state, FAMILY_OK);
}

static void a_loop_of_aliases_is_a_failure_of_its_own(void **state) {
  (void)state;
  struct family_value family = unknown();
  struct dnsmsg message = fake_reply(DNSMSG_LOOP);
  struct chase_end end = end_of(&message);
  assert_false(learn_family(&policy, &end, NOW_MS, &noise, &family));
  assert_int_equal(family.state, FAMILY_LOOP);
  assert_int_equal(family.failures, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_end_has_its_verdict_or_is_a_fact),
      cmocka_unit_test(records_become_a_set_with_the_life_of_the_least),
      cmocka_unit_test(what_names_no_host_is_dropped_and_told),
      cmocka_unit_test(a_domain_without_mx_is_its_own_exchange_or_the_end_of_its_aliases),
      cmocka_unit_test(denials_live_as_their_soa_says_and_5_s_without_one),
      cmocka_unit_test(failures_in_a_row_live_twice_as_long_each),
      cmocka_unit_test(a_failure_of_long_ago_or_good_facts_begin_no_row),
      cmocka_unit_test(no_network_is_neither_charged_nor_forgiven),
      cmocka_unit_test(addresses_and_denials_are_facts),
      cmocka_unit_test(a_soft_failure_leaves_addresses_that_hold_and_replaces_others),
      cmocka_unit_test(soft_failures_in_a_row_live_twice_as_long_each_until_a_success),
      cmocka_unit_test(what_could_not_be_asked_is_not_remembered),
      cmocka_unit_test(a_loop_of_aliases_is_a_failure_of_its_own),
  };
  return cmocka_run_group_tests_name("learn", tests, NULL, NULL);
}
