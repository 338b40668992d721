#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "fake_dns.h"
#include "made_facts.h"
#include "resolve/learn.h"

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

/* How often `piece` is told under `rule`. */
static unsigned times_told(const struct story *story, const char *rule, const char *piece) {
  unsigned times = 0;
  for (size_t i = 0; i < story_count(story); i++) {
    struct story_line line = story_line(story, i);
    times += strcmp(line.rule, rule) == 0 && strstr(line.text, piece);
  }
  return times;
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

static void records_live_within_the_bounds_and_0_is_for_this_answer_alone(void **state) {
  (void)state;
  static const struct {
    uint32_t ttl_s, min_s;
    int64_t life_s;
    const char *told;
  } rows[] = {
      {300, 0, 300, "the MX facts live 300 s: the least TTL is 300, within 0 to 86400"},
      {86401, 0, 86400, "the least TTL is 86401"},
      {UINT32_C(0x80000005), 0, 86400, "the least TTL is 2147483653"},
      {0, 0, 0, "the least TTL is 0, within 0 to 86400, that is, for this answer alone"},
      {0, 60, 60, "the MX facts live 60 s: the least TTL is 0, within 60 to 86400"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct learn_policy floored = policy;
    struct dnsmsg message = fake_mx(rows[i].ttl_s, 10, "a.test");
    struct chase_end end = end_of(&message);
    struct story *story = story_create();
    floored.ttl.min_s = rows[i].min_s;
    learn_domain(&floored, "d.test", &end, NOW_MS, &noise, story, &value);
    assert_true(value.expires_at_ms == NOW_MS + rows[i].life_s * 1000);
    assert_int_equal(times_told(story, "T1 (RFC 2181 5.2), T2", rows[i].told), 1);
    assert_int_equal(times_told(story, "T1 (RFC 2181 5.2), T2", "alone"), rows[i].life_s == 0);
    story_unref(story);
  }
}

static void an_alias_gives_the_canonical_name_to_records_and_to_denials(void **state) {
  (void)state;
  struct dnsmsg messages[] = {fake_mx(300, 10, "a.test"), fake_denial(DNSMSG_NXDOMAIN, 300)};
  for (size_t i = 0; i < 2; i++) {
    struct chase_end end = end_of(&messages[i]);
    learn_mx(&end, NULL);
    assert_string_equal(value.canonical, "");
    end.is_alias = true;
    learn_mx(&end, NULL);
    assert_string_equal(value.canonical, "e.test");
  }
}

static void the_longest_names_are_taken_whole(void **state) {
  (void)state;
  char longest[DNSMSG_NAME_SIZE];
  memset(longest, 'x', sizeof(longest) - 1);
  longest[sizeof(longest) - 1] = '\0';
  struct dnsmsg message = fake_mx(300, 10, longest), denial = fake_denial(DNSMSG_NODATA, 300);
  struct chase_end end = end_of(&message);
  learn_mx(&end, NULL);
  assert_string_equal(value.exchanges[0].host, longest);
  end = end_of(&denial);
  end.is_alias = true;
  end.canonical = longest;
  learn_mx(&end, NULL);
  assert_string_equal(value.canonical, longest);
  assert_string_equal(value.exchanges[0].host, longest);
}

static void duplicates_and_a_root_beside_others_are_dropped_and_told(void **state) {
  (void)state;
  struct dnsmsg message = fake_mx(300, 20, "a.test");
  fake_add_mx(&message, 0, "");
  fake_add_mx(&message, 10, "a.test");
  fake_add_mx(&message, 30, "192.0.2.7");
  struct chase_end end = end_of(&message);
  struct story *story = story_create();
  learn_mx(&end, story);
  assert_int_equal(value.kind, DOMAIN_MX);
  assert_int_equal(value.count, 2);
  assert_int_equal(value.exchanges[0].preference, 10);
  assert_int_equal(value.warnings,
                   WARNING_DUPLICATE_EXCHANGE | WARNING_NULL_MX_MIXED | WARNING_MX_IS_ADDRESS);
  assert_int_equal(times_told(story, "V15", "dropped a.test at preference 20"), 1);
  assert_int_equal(times_told(story, "V9 (RFC 7505 3)", "the root"), 1);
  assert_int_equal(times_told(story, "V12", "192.0.2.7"), 1);
  assert_int_equal(story_count(story), 4); /* the fourth is their life */
  story_unref(story);
}

static void a_null_mx_and_a_list_without_a_host_have_no_exchange(void **state) {
  (void)state;
  for (int is_null = 0; is_null < 2; is_null++) {
    struct dnsmsg message = fake_mx(300, 0, "");
    message.mx[0].usable = is_null;
    struct chase_end end = end_of(&message);
    struct story *story = story_create();
    learn_mx(&end, story);
    assert_int_equal(value.kind, is_null ? DOMAIN_NULL_MX : DOMAIN_ALL_INVALID);
    assert_int_equal(value.count, 0);
    assert_true(value.expires_at_ms == NOW_MS + 300000);
    assert_int_equal(times_told(story, "V8 (RFC 7505 3)", "a null MX"), is_null);
    assert_int_equal(times_told(story, "V11", "no MX record names a possible host"), !is_null);
    story_unref(story);
  }
}

static void the_most_records_are_all_taken(void **state) {
  (void)state;
  struct dnsmsg message = fake_reply(DNSMSG_ANSWER);
  for (unsigned i = 0; i < DNSMSG_MX_MAX; i++) {
    char host[16];
    snprintf(host, sizeof(host), "h%02u.test", i);
    fake_add_mx(&message, 1, host);
  }
  struct chase_end end = end_of(&message);
  learn_mx(&end, NULL);
  assert_int_equal(value.count, DNSMSG_MX_MAX);
  assert_string_equal(value.exchanges[DNSMSG_MX_MAX - 1].host, "h99.test");
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
  assert_non_null(strstr(story_line(story, 1).text, "first 2 MX records"));
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

static void the_story_of_a_denial_says_what_it_is_and_why_it_lives_so_long(void **state) {
  (void)state;
  static const struct {
    bool has_soa;
    uint32_t soa_s, alias_s;
    const char *told;
  } rows[] = {
      {true, 900, UINT32_MAX, "the denial lives 900 s: the SOA says 900, at most 3600"},
      {true, 86400, UINT32_MAX, "the denial lives 3600 s: the SOA says 86400, at most 3600"},
      {true, 0, UINT32_MAX, "the denial lives 0 s: the SOA says 0, at most 3600, that is, for this"},
      {true, 900, 60,
       "the denial lives 60 s: the SOA says 900, at most 3600, no longer than its aliases' 60 s"},
      {false, 0, UINT32_MAX, "the denial came without an SOA and lives 5 s"},
      {false, 0, 3, "the denial came without an SOA and lives 3 s, no longer than its aliases' 3 s"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct dnsmsg message = fake_denial(DNSMSG_NODATA, rows[i].soa_s);
    message.has_soa = rows[i].has_soa;
    struct chase_end end = end_of(&message);
    end.alias_ttl_s = rows[i].alias_s;
    struct story *story = story_create();
    learn_mx(&end, story);
    assert_int_equal(times_told(story, "V3 (RFC 5321 5.1)", "d.test has no MX record"), 1);
    assert_int_equal(times_told(story, "T4 (RFC 2308 5)", rows[i].told), 1);
    assert_int_equal(times_told(story, "T4 (RFC 2308 5)", "aliases"), rows[i].alias_s != UINT32_MAX);
    assert_int_equal(story_count(story), 2);
    story_unref(story);
  }
}

static void notimp_that_counts_as_a_denial_is_learned_as_one(void **state) {
  (void)state;
  struct dnsmsg message = fake_reply(DNSMSG_NOTIMP);
  struct chase_end end = end_of(&message);
  learn_mx(&end, NULL);
  assert_int_equal(value.kind, DOMAIN_NODATA);
  assert_string_equal(value.exchanges[0].host, "d.test");
  assert_true(value.expires_at_ms == NOW_MS + 5000);
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
  assert_int_equal(value.warnings, 0);
  assert_string_equal(value.canonical, "");
  assert_true(value.stored_at_ms == now_ms);
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

static void a_row_that_our_own_failure_interrupts_goes_on_within_5_minutes(void **state) {
  (void)state;
  for (int is_late = 0; is_late < 2; is_late++) {
    struct zone zone;
    zone_init(&zone, DOMAIN_FAILED, NOW_MS, NOW_MS + 1000);
    zone.value.cause = VERDICT_DNS_NETWORK;
    zone_build(&zone, "d.test");
    zone.facts->failures = 3;
    fail_once(VERDICT_DNS_SERVFAIL, zone.facts, NOW_MS + 1000 + FACTS_ROW_KEPT_MS - !is_late);
    assert_int_equal(value.failures, is_late ? 1 : 4);
    zone_fini(&zone);
  }
}

static void the_draw_moves_the_life_of_a_failure(void **state) {
  (void)state;
  struct learn_policy jittered = policy;
  struct family_value family;
  struct chase_end end = failed(DNS_TIMED_OUT, 0);
  int64_t least_ms = INT64_MAX, most_ms = 0;
  jittered.ttl.failure_jitter_percent = 10;
  for (int i = 0; i < 2000; i++) {
    host_facts_unpack(NULL, FAMILY_V6, &family);
    learn_domain_failure(&jittered, VERDICT_DNS_SERVFAIL, NULL, NOW_MS, &noise, &value);
    learn_family(&jittered, &end, NOW_MS, &noise, &family);
    int64_t lives_ms[] = {value.expires_at_ms - NOW_MS, family.expires_at_ms - NOW_MS};
    for (int each = 0; each < 2; each++) {
      least_ms = lives_ms[each] < least_ms ? lives_ms[each] : least_ms;
      most_ms = lives_ms[each] > most_ms ? lives_ms[each] : most_ms;
    }
  }
  assert_in_range(least_ms, 4500, 4510);
  assert_in_range(most_ms, 5490, 5500);
}

static void facts_are_refreshed_in_the_last_part_of_their_life(void **state) {
  (void)state;
  struct learn_policy ahead = policy;
  struct family_value family;
  struct dnsmsg mx = fake_mx(600, 10, "a.test"), addresses = fake_a(600, 1, 1);
  struct chase_end mx_end = end_of(&mx), addresses_end = end_of(&addresses);
  for (uint32_t percent = 0; percent <= 10; percent += 10) {
    ahead.ttl.prefetch_percent = percent;
    host_facts_unpack(NULL, FAMILY_V4, &family);
    learn_domain(&ahead, "d.test", &mx_end, NOW_MS, &noise, NULL, &value);
    assert_true(learn_family(&ahead, &addresses_end, NOW_MS, &noise, &family));
    assert_in_range(value.refresh_lead_ms, percent * 3000, percent * 9000);
    if (percent == 0)
      assert_true(family.refresh_at_ms == INT64_MAX);
    else
      assert_in_range(family.expires_at_ms - family.refresh_at_ms, 30000, 90000);
  }
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

static void a_soft_failure_leaves_facts_that_hold_and_replaces_others(void **state) {
  (void)state;
  struct chase_end end = failed(DNS_TIMED_OUT, 0);
  struct family_value family = made_family(FAMILY_V4, FAMILY_OK, 2, NOW_MS + 1, "");
  assert_false(learn_family(&policy, &end, NOW_MS, &noise, &family));
  assert_int_equal(family.state, FAMILY_OK);
  assert_int_equal(family.count, 2);
  assert_false(learn_family(&policy, &end, NOW_MS + 1, &noise, &family));
  assert_int_equal(family.state, FAMILY_TEMPFAIL);
  assert_int_equal(family.count, 0);
  family = made_family(FAMILY_V4, FAMILY_NODATA, 0, NOW_MS + 1, "");
  learn_family(&policy, &end, NOW_MS, &noise, &family);
  assert_int_equal(family.state, FAMILY_NODATA);
  learn_family(&policy, &end, NOW_MS + 1, &noise, &family);
  assert_int_equal(family.state, FAMILY_TEMPFAIL);
}

static void what_has_expired_is_kept_for_stale_answers_while_the_dns_fails(void **state) {
  (void)state;
  struct learn_policy lasting = policy;
  struct chase_end end = failed(DNS_TIMED_OUT, 0);
  static const struct {
    enum family_state before, after;
  } rows[] = {{FAMILY_OK, FAMILY_OK}, {FAMILY_NODATA, FAMILY_NODATA}, {FAMILY_NXDOMAIN, FAMILY_TEMPFAIL}};
  lasting.max_stale_ms = 1000;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct family_value family = made_family(FAMILY_V4, rows[i].before, 0, NOW_MS, "");
    learn_family(&lasting, &end, NOW_MS + 999, &noise, &family);
    assert_int_equal(family.state, rows[i].after);
    family = made_family(FAMILY_V4, rows[i].before, 0, NOW_MS, "");
    learn_family(&lasting, &end, NOW_MS + 1000, &noise, &family);
    assert_int_equal(family.state, FAMILY_TEMPFAIL);
  }
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

/* Every end of a query, with the state it leaves where nothing was known. */
static void every_end_of_an_address_query_has_its_state(void **state) {
  (void)state;
  static const struct {
    enum dns_result result;
    enum dnsmsg_outcome outcome;
    enum family_state state, with_notimp;
  } rows[] = {
      {DNS_REPLIED, DNSMSG_ANSWER, FAMILY_OK, FAMILY_OK},
      {DNS_REPLIED, DNSMSG_NODATA, FAMILY_NODATA, FAMILY_NODATA},
      {DNS_REPLIED, DNSMSG_NXDOMAIN, FAMILY_NXDOMAIN, FAMILY_NXDOMAIN},
      {DNS_REPLIED, DNSMSG_LOOP, FAMILY_LOOP, FAMILY_LOOP},
      {DNS_REPLIED, DNSMSG_FORMERR, FAMILY_TEMPFAIL, FAMILY_TEMPFAIL},
      {DNS_REPLIED, DNSMSG_SERVFAIL, FAMILY_TEMPFAIL, FAMILY_TEMPFAIL},
      {DNS_REPLIED, DNSMSG_NOTIMP, FAMILY_TEMPFAIL, FAMILY_NODATA},
      {DNS_REPLIED, DNSMSG_REFUSED, FAMILY_TEMPFAIL, FAMILY_TEMPFAIL},
      {DNS_REPLIED, DNSMSG_OTHER_RCODE, FAMILY_TEMPFAIL, FAMILY_TEMPFAIL},
      {DNS_REPLIED, DNSMSG_MALFORMED, FAMILY_TEMPFAIL, FAMILY_TEMPFAIL},
      {DNS_TIMED_OUT, 0, FAMILY_TEMPFAIL, FAMILY_TEMPFAIL},
      {DNS_UNREACHABLE, 0, FAMILY_TEMPFAIL, FAMILY_TEMPFAIL},
      {DNS_SHED, 0, FAMILY_TEMPFAIL, FAMILY_TEMPFAIL},
  };
  struct learn_policy lax = policy;
  lax.notimp_as_nodata = true;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct dnsmsg message = rows[i].outcome == DNSMSG_ANSWER ? fake_a(60, 1, 1) : fake_reply(rows[i].outcome);
    struct chase_end end = end_of(&message);
    end.result = rows[i].result;
    if (end.result != DNS_REPLIED)
      end.message = NULL;
    for (int is_lax = 0; is_lax < 2; is_lax++) {
      enum family_state expected = is_lax ? rows[i].with_notimp : rows[i].state;
      bool is_fact = expected != FAMILY_TEMPFAIL && expected != FAMILY_LOOP;
      struct family_value family = unknown();
      assert_int_equal(learn_family(is_lax ? &lax : &policy, &end, NOW_MS, &noise, &family), is_fact);
      assert_int_equal(family.state, expected);
      assert_int_equal(family.count, expected == FAMILY_OK);
    }
  }
}

static void addresses_are_those_of_the_reply_and_denials_live_as_long_as_their_aliases(void **state) {
  (void)state;
  struct family_value family = unknown();
  struct dnsmsg message = fake_aaaa(100000, 1, DNSMSG_ADDRESS_MAX), denial = fake_denial(DNSMSG_NODATA, 900);
  struct chase_end end = end_of(&message);
  snprintf(family.expanded, sizeof(family.expanded), "kept.test");
  assert_true(learn_family(&policy, &end, NOW_MS, &noise, &family));
  assert_int_equal(family.count, DNSMSG_ADDRESS_MAX);
  assert_memory_equal(family.addresses, message.addresses, sizeof(message.addresses));
  assert_true(family.expires_at_ms == NOW_MS + 86400000);
  assert_string_equal(family.expanded, "kept.test"); /* the caller's to say */
  end = end_of(&denial);
  end.alias_ttl_s = 30;
  assert_true(learn_family(&policy, &end, NOW_MS, &noise, &family));
  assert_true(family.expires_at_ms == NOW_MS + 30000);
  assert_string_equal(family.expanded, "kept.test");
}

static void a_soft_failure_takes_the_alias_away_with_the_addresses(void **state) {
  (void)state;
  struct chase_end end = failed(DNS_REPLIED, DNSMSG_SERVFAIL);
  struct family_value family = made_family(FAMILY_V4, FAMILY_OK, 2, NOW_MS, "old.test");
  assert_false(learn_family(&policy, &end, NOW_MS - 1, &noise, &family));
  assert_string_equal(family.expanded, "old.test");
  assert_false(learn_family(&policy, &end, NOW_MS, &noise, &family));
  assert_string_equal(family.expanded, "");
}

/* A family that has failed `failures` times in a row, the last until NOW_MS. */
static struct family_value failing(uint8_t failures) {
  struct family_value family = made_family(FAMILY_V4, FAMILY_TEMPFAIL, 0, NOW_MS, "");
  family.failures = failures;
  return family;
}

static void a_row_of_soft_failures_is_over_when_it_is_as_long_ago_again(void **state) {
  (void)state;
  struct chase_end end = failed(DNS_TIMED_OUT, 0);
  for (uint8_t failures = 1; failures <= 8; failures++) {
    int64_t life_ms = ttl_failure_ms(&policy.ttl, failures, 0);
    struct family_value family = failing(failures);
    learn_family(&policy, &end, NOW_MS + life_ms - 1, &noise, &family);
    assert_int_equal(family.failures, failures + 1);
    family = failing(failures);
    learn_family(&policy, &end, NOW_MS + life_ms, &noise, &family);
    assert_int_equal(family.failures, 1);
  }
  struct family_value family = failing(UINT8_MAX);
  learn_family(&policy, &end, NOW_MS, &noise, &family);
  assert_int_equal(family.failures, UINT8_MAX);
  assert_true(family.expires_at_ms == NOW_MS + 300000);
}

static void a_soft_failure_within_another_is_the_next_in_the_row(void **state) {
  (void)state;
  struct chase_end end = failed(DNS_TIMED_OUT, 0);
  struct family_value family = failing(2);
  learn_family(&policy, &end, NOW_MS - 5000, &noise, &family);
  assert_int_equal(family.failures, 3);
  assert_true(family.expires_at_ms == NOW_MS - 5000 + 20000);
}

static void no_network_neither_charges_a_family_nor_forgives_it(void **state) {
  (void)state;
  struct chase_end network = failed(DNS_UNREACHABLE, 0), silence = failed(DNS_TIMED_OUT, 0);
  struct family_value family = failing(4);
  learn_family(&policy, &network, NOW_MS, &noise, &family);
  assert_int_equal(family.failures, 4);
  assert_true(family.expires_at_ms == NOW_MS + 1000);
  learn_family(&policy, &silence, NOW_MS + 30000, &noise, &family);
  assert_int_equal(family.failures, 5);
  family = failing(4);
  learn_family(&policy, &network, NOW_MS + 40000, &noise, &family); /* the row is over */
  assert_int_equal(family.failures, 0);
}

/* Whatever state a family is in, failures of ours leave it where it holds. */
static void what_holds_stays_where_the_failure_is_ours(void **state) {
  (void)state;
  struct chase_end ends[] = {failed(DNS_UNREACHABLE, 0), failed(DNS_SHED, 0)};
  for (enum family_state known = FAMILY_OK; known <= FAMILY_LOOP; known++)
    for (int way = 0; way < 3; way++) {
      struct family_value family = made_family(FAMILY_V4, known, known == FAMILY_OK, NOW_MS + 1, "x.test");
      family.failures = known >= FAMILY_TEMPFAIL ? 6 : 0;
      if (way < 2)
        assert_false(learn_family(&policy, &ends[way], NOW_MS, &noise, &family));
      else
        learn_family_overload(&policy, NOW_MS, &family);
      assert_int_equal(family.state, known);
      assert_int_equal(family.count, known == FAMILY_OK);
      assert_int_equal(family.failures, known >= FAMILY_TEMPFAIL ? 6 : 0);
      assert_true(family.expires_at_ms == NOW_MS + 1);
      assert_string_equal(family.expanded, "x.test");
    }
}

static void facts_that_have_expired_are_gone_when_they_could_not_be_asked_for(void **state) {
  (void)state;
  struct chase_end shed = failed(DNS_SHED, 0);
  for (enum family_state known = FAMILY_OK; known <= FAMILY_NXDOMAIN; known++)
    for (int is_shed = 0; is_shed < 2; is_shed++) {
      struct family_value family = made_family(FAMILY_V4, known, known == FAMILY_OK, NOW_MS, "x.test");
      if (is_shed)
        assert_false(learn_family(&policy, &shed, NOW_MS, &noise, &family));
      else
        learn_family_overload(&policy, NOW_MS, &family);
      assert_int_equal(family.state, FAMILY_TEMPFAIL);
      assert_int_equal(family.count, 0);
      assert_int_equal(family.failures, 0);
      assert_string_equal(family.expanded, "");
      assert_true(family.expires_at_ms == NOW_MS);
    }
}

static void too_much_to_do_does_not_wake_a_row_of_long_ago(void **state) {
  (void)state;
  struct chase_end silence = failed(DNS_TIMED_OUT, 0), shed = failed(DNS_SHED, 0);
  for (int is_shed = 0; is_shed < 2; is_shed++) {
    struct family_value family = failing(3);
    int64_t later_ms = NOW_MS + 3600000;
    if (is_shed)
      learn_family(&policy, &shed, later_ms, &noise, &family);
    else
      learn_family_overload(&policy, later_ms, &family);
    assert_true(family.expires_at_ms <= later_ms); /* asked for again at once */
    learn_family(&policy, &silence, later_ms + 1, &noise, &family);
    assert_int_equal(family.failures, 1);
  }
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

/* ---- the shared store ---- */

static void the_life_by_the_dns_is_that_of_its_ttls_whatever_our_bounds(void **state) {
  (void)state;
  struct dnsmsg records = fake_mx(300, 10, "a.test"), denial = fake_denial(DNSMSG_NXDOMAIN, 7200);
  struct dnsmsg nothing = fake_denial(DNSMSG_NODATA, 90), bare = fake_denial(DNSMSG_NODATA, 90);
  struct dnsmsg notimp = fake_denial(DNSMSG_NOTIMP, 90), broken = fake_reply(DNSMSG_SERVFAIL);
  struct dnsmsg zero = fake_mx(0, 10, "a.test"), large = fake_mx(UINT32_C(0x80000005), 10, "a.test");
  const struct {
    const struct dnsmsg *message;
    uint32_t alias_ttl_s, life_s;
  } rows[] = {
      {&records, 300, 300},
      {&records, 20, 20},
      {&denial, UINT32_MAX, 7200},
      {&denial, 40, 40},
      {&nothing, UINT32_MAX, 90},
      {&notimp, UINT32_MAX, 0},
      {&broken, UINT32_MAX, 0},
      {&zero, 0, 0},
      {&large, 0x80000005, 0x80000005},
  };
  struct chase_end end;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    end = end_of(rows[i].message);
    end.alias_ttl_s = rows[i].alias_ttl_s;
    assert_int_equal(learn_raw_life_s(&end), rows[i].life_s);
  }
  bare.has_soa = false;
  end = end_of(&bare);
  assert_int_equal(learn_raw_life_s(&end), 0);
  struct chase_end silence = failed(DNS_TIMED_OUT, 0);
  assert_int_equal(learn_raw_life_s(&silence), 0);
}

static void a_life_that_memory_holds_is_the_dns_s_unless_it_may_be_ours(void **state) {
  (void)state;
  struct learn_policy own = policy;
  static const struct {
    enum family_state state;
    uint32_t life_s, min_s;
    bool is_told;
  } rows[] = {
      {FAMILY_OK, 300, 0, true},     {FAMILY_OK, 300, 299, true},      {FAMILY_OK, 300, 300, false},
      {FAMILY_OK, 0, 0, false},      {FAMILY_NODATA, 6, 3600, true},   {FAMILY_NODATA, 5, 0, false},
      {FAMILY_NXDOMAIN, 6, 0, true}, {FAMILY_TEMPFAIL, 300, 0, false}, {FAMILY_LOOP, 300, 0, false},
      {FAMILY_UNKNOWN, 0, 0, false},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct family_value family = {
        .state = rows[i].state, .life_ms = rows[i].life_s * 1000, .expires_at_ms = NOW_MS};
    own.ttl.min_s = rows[i].min_s;
    if (learn_family_raw_until_ms(&own, &family) != NOW_MS - (rows[i].is_told ? 0 : family.life_ms))
      fail_msg("row %zu", i);
  }
}

static void only_what_is_lasting_may_be_stale_in_the_store(void **state) {
  (void)state;
  struct learn_policy patient = policy;
  patient.max_stale_ms = 5000;
  assert_true(learn_stale_until_ms(&patient, true, NOW_MS) == NOW_MS + 5000);
  assert_true(learn_stale_until_ms(&patient, false, NOW_MS) == NOW_MS);
}

static void shared_facts_live_within_our_bounds_from_when_they_were_learned(void **state) {
  (void)state;
  static struct record record = {.kind = RECORD_DOMAIN};
  struct learn_policy own = policy;
  own.ttl.min_s = 60;
  own.ttl.max_s = 600;
  own.ttl.max_negative_s = 120;
  own.ttl.prefetch_percent = 10;
  static const struct {
    enum domain_kind kind;
    int64_t life_s, own_s;
  } rows[] = {
      {DOMAIN_MX, 300, 300},     {DOMAIN_MX, 10, 60},       {DOMAIN_NULL_MX, 9000, 600},
      {DOMAIN_NODATA, 300, 120}, {DOMAIN_NXDOMAIN, 10, 10}, {DOMAIN_ALL_INVALID, 604800, 600},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    record.domain = (struct domain_value){.kind = rows[i].kind,
                                          .authentic = true,
                                          .warnings = WARNING_NULL_MX_MIXED,
                                          .stored_at_ms = NOW_MS - 5000,
                                          .expires_at_ms = NOW_MS - 5000 + rows[i].life_s * 1000,
                                          .canonical = "e.test",
                                          .count = FACTS_EXCHANGES_MAX};
    snprintf(record.domain.exchanges[FACTS_EXCHANGES_MAX - 1].host, FACTS_NAME_SIZE, "last.test");
    memset(&value, 0xa5, sizeof(value));
    learn_domain_shared(&own, &record, &noise, &value);
    assert_int_equal(value.kind, rows[i].kind);
    assert_true(value.stored_at_ms == NOW_MS - 5000);
    assert_true(value.expires_at_ms == NOW_MS - 5000 + rows[i].own_s * 1000);
    assert_in_range(value.refresh_lead_ms, rows[i].own_s * 50, rows[i].own_s * 150);
    assert_true(value.authentic);
    assert_int_equal(value.warnings, WARNING_NULL_MX_MIXED);
    assert_int_equal(value.failures + value.cause, 0);
    assert_string_equal(value.canonical, "e.test");
    assert_int_equal(value.count, FACTS_EXCHANGES_MAX);
    assert_string_equal(value.exchanges[FACTS_EXCHANGES_MAX - 1].host, "last.test");
  }
}

static void a_shared_family_lives_within_our_bounds(void **state) {
  (void)state;
  static struct record record = {.kind = RECORD_HOST};
  struct learn_policy own = policy;
  own.ttl.max_s = 600;
  own.ttl.max_negative_s = 0; /* denials are for one answer alone */
  own.ttl.prefetch_percent = 10;
  record.families[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + 900000, "real.test");
  record.families[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_OK, 3, NOW_MS + 900000, "real.test");
  record.learned_at_ms[FAMILY_V6] = record.learned_at_ms[FAMILY_V4] = NOW_MS - 100000;
  struct family_value family = unknown();
  assert_true(learn_family_shared(&own, &record, FAMILY_V4, &noise, &family));
  assert_int_equal(family.state, FAMILY_OK);
  assert_int_equal(family.count, 3);
  assert_string_equal(family.expanded, "real.test");
  assert_true(family.expires_at_ms == NOW_MS + 500000);
  assert_int_equal(family.stale_until_ms, 0);
  assert_in_range(family.expires_at_ms - family.refresh_at_ms, 30000, 90000);
  assert_true(learn_family_shared(&own, &record, FAMILY_V6, &noise, &family));
  assert_true(family.expires_at_ms == NOW_MS - 100000);
  assert_int_equal(family.life_ms, 0); /* never answered stale */
  assert_true(family.refresh_at_ms == INT64_MAX);
  record.families[FAMILY_V6].state = FAMILY_UNKNOWN;
  family.count = 77;
  assert_false(learn_family_shared(&own, &record, FAMILY_V6, &noise, &family));
  assert_int_equal(family.count, 77);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_end_has_its_verdict_or_is_a_fact),
      cmocka_unit_test(records_become_a_set_with_the_life_of_the_least),
      cmocka_unit_test(records_live_within_the_bounds_and_0_is_for_this_answer_alone),
      cmocka_unit_test(an_alias_gives_the_canonical_name_to_records_and_to_denials),
      cmocka_unit_test(the_longest_names_are_taken_whole),
      cmocka_unit_test(duplicates_and_a_root_beside_others_are_dropped_and_told),
      cmocka_unit_test(a_null_mx_and_a_list_without_a_host_have_no_exchange),
      cmocka_unit_test(the_most_records_are_all_taken),
      cmocka_unit_test(what_names_no_host_is_dropped_and_told),
      cmocka_unit_test(a_domain_without_mx_is_its_own_exchange_or_the_end_of_its_aliases),
      cmocka_unit_test(denials_live_as_their_soa_says_and_5_s_without_one),
      cmocka_unit_test(the_story_of_a_denial_says_what_it_is_and_why_it_lives_so_long),
      cmocka_unit_test(notimp_that_counts_as_a_denial_is_learned_as_one),
      cmocka_unit_test(failures_in_a_row_live_twice_as_long_each),
      cmocka_unit_test(a_failure_of_long_ago_or_good_facts_begin_no_row),
      cmocka_unit_test(no_network_is_neither_charged_nor_forgiven),
      cmocka_unit_test(a_row_that_our_own_failure_interrupts_goes_on_within_5_minutes),
      cmocka_unit_test(the_draw_moves_the_life_of_a_failure),
      cmocka_unit_test(facts_are_refreshed_in_the_last_part_of_their_life),
      cmocka_unit_test(addresses_and_denials_are_facts),
      cmocka_unit_test(a_soft_failure_leaves_facts_that_hold_and_replaces_others),
      cmocka_unit_test(what_has_expired_is_kept_for_stale_answers_while_the_dns_fails),
      cmocka_unit_test(soft_failures_in_a_row_live_twice_as_long_each_until_a_success),
      cmocka_unit_test(what_could_not_be_asked_is_not_remembered),
      cmocka_unit_test(every_end_of_an_address_query_has_its_state),
      cmocka_unit_test(addresses_are_those_of_the_reply_and_denials_live_as_long_as_their_aliases),
      cmocka_unit_test(a_soft_failure_takes_the_alias_away_with_the_addresses),
      cmocka_unit_test(a_row_of_soft_failures_is_over_when_it_is_as_long_ago_again),
      cmocka_unit_test(a_soft_failure_within_another_is_the_next_in_the_row),
      cmocka_unit_test(no_network_neither_charges_a_family_nor_forgives_it),
      cmocka_unit_test(what_holds_stays_where_the_failure_is_ours),
      cmocka_unit_test(facts_that_have_expired_are_gone_when_they_could_not_be_asked_for),
      cmocka_unit_test(too_much_to_do_does_not_wake_a_row_of_long_ago),
      cmocka_unit_test(a_loop_of_aliases_is_a_failure_of_its_own),
      cmocka_unit_test(the_life_by_the_dns_is_that_of_its_ttls_whatever_our_bounds),
      cmocka_unit_test(a_life_that_memory_holds_is_the_dns_s_unless_it_may_be_ours),
      cmocka_unit_test(only_what_is_lasting_may_be_stale_in_the_store),
      cmocka_unit_test(shared_facts_live_within_our_bounds_from_when_they_were_learned),
      cmocka_unit_test(a_shared_family_lives_within_our_bounds),
  };
  return cmocka_run_group_tests_name("learn", tests, NULL, NULL);
}
