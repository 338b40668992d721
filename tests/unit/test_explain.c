#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "made_facts.h"
#include "rules/explain.h"
#include "rules/verdict.h"

enum { NOW_MS = 1000000 };

static char told[4096];

/* Everything that is told, a line each. */
static const char *tell(const struct domain_facts *facts, enum depth depth) {
  struct story *story = story_create();
  size_t length = 0;
  explain_memory(story, "d.test", facts, depth, NOW_MS);
  told[0] = '\0';
  for (size_t i = 0; i < story_count(story); i++) {
    struct story_line line = story_line(story, i);
    length += (size_t)snprintf(told + length, sizeof(told) - length, "%s [%s]\n", line.text, line.rule);
  }
  story_unref(story);
  return told;
}

static void expect(const struct zone *zone, const char *piece) {
  if (!strstr(tell(zone->facts, DEPTH_ADDRESSES), piece))
    fail_msg("no \"%s\" in:\n%s", piece, told);
}

static void nothing_known_is_said_so(void **state) {
  (void)state;
  assert_string_equal(tell(NULL, DEPTH_ADDRESSES), "memory holds nothing about d.test []\n");
}

static void without_a_story_nothing_is_looked_at(void **state) {
  (void)state;
  explain_memory(NULL, "d.test", (const struct domain_facts *)1, DEPTH_ADDRESSES, NOW_MS);
}

static void what_is_known_is_told_with_its_age_and_its_end(void **state) {
  (void)state;
  static const struct {
    enum domain_kind kind;
    const char *what;
  } rows[] = {
      {DOMAIN_MX, "its MX records"},
      {DOMAIN_NULL_MX, "a null MX"},
      {DOMAIN_NODATA, "it has no MX record"},
      {DOMAIN_NXDOMAIN, "it does not exist"},
      {DOMAIN_ALL_INVALID, "its MX records name no host"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    char line[128];
    zone_init(&zone, rows[i].kind, NOW_MS - 5000, NOW_MS + 295001);
    if (rows[i].kind == DOMAIN_MX || rows[i].kind == DOMAIN_NODATA)
      zone_add(&zone, 0, "a.test");
    zone_build(&zone, "d.test");
    snprintf(line, sizeof(line), "memory knows d.test: %s, learned 5 s ago, good for 296 s more [T1, T9]\n",
             rows[i].what);
    expect(&zone, line);
    zone.facts->expires_at_ms = NOW_MS - 7000;
    snprintf(line, sizeof(line), "what memory knew of d.test (%s) expired 7 s ago [T1]\n", rows[i].what);
    expect(&zone, line);
    zone_fini(&zone);
  }
}

static void a_failure_is_told_with_its_number_and_the_next_attempt(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_FAILED, NOW_MS - 1000, NOW_MS + 19000);
  zone.value.cause = VERDICT_DNS_REFUSED;
  zone_build(&zone, "d.test");
  zone.facts->failures = 3;
  expect(&zone, "d.test failed with DNS_REFUSED, 3 times in a row; the DNS is not asked for 19 s more [T5 ");
  zone.facts->expires_at_ms = NOW_MS;
  expect(&zone, "d.test failed with DNS_REFUSED, 3 times in a row; it may be asked for again [T5 ");
  zone_fini(&zone);
}

static void a_failure_of_ours_is_told_without_a_number(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_FAILED, NOW_MS, NOW_MS + 1000);
  zone.value.cause = VERDICT_DNS_NETWORK;
  zone_build(&zone, "d.test");
  zone.facts->failures = 3; /* of the servers, before */
  expect(&zone, "d.test failed with DNS_NETWORK; the DNS is not asked for 1 s more [T5 ");
  zone.facts->expires_at_ms = NOW_MS;
  expect(&zone, "d.test failed with DNS_NETWORK; it may be asked for again [T5 ");
  zone_fini(&zone);
}

static void every_state_of_a_family_is_told(void **state) {
  (void)state;
  static const struct {
    enum family_state state;
    int64_t expires_at_ms;
    const char *told;
  } rows[] = {
      {FAMILY_OK, NOW_MS + 1, "1 AAAA for 1 s; 1 A for 1 s"},
      {FAMILY_OK, NOW_MS, "1 AAAA expired; 1 A expired"},
      {FAMILY_NODATA, NOW_MS + 900000, "AAAA none, for 900 s; A none, for 900 s"},
      {FAMILY_NXDOMAIN, NOW_MS + 60000, "AAAA no such name, for 60 s; A no such name, for 60 s"},
      {FAMILY_TEMPFAIL, NOW_MS - 1, "AAAA failed just now, expired; A failed just now, expired"},
      {FAMILY_LOOP, NOW_MS + 5000, "AAAA its aliases loop, for 5 s; A its aliases loop, for 5 s"},
      {FAMILY_UNKNOWN, INT64_MIN, "AAAA unknown, expired; A unknown, expired"},
  };
  struct zone zone;
  zone_init(&zone, DOMAIN_NODATA, NOW_MS, NOW_MS + 300000);
  zone_add(&zone, 0, "d.test");
  zone_build(&zone, "d.test");
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    char line[128];
    zone_give_state(&zone, 0, rows[i].state, rows[i].expires_at_ms, "");
    snprintf(line, sizeof(line), "memory holds of d.test: %s [T1]\n", rows[i].told);
    expect(&zone, line);
  }
  zone_fini(&zone);
}

static void a_host_that_is_an_address_holds_for_ever(void **state) {
  (void)state;
  static const uint8_t octets[4] = {192, 0, 2, 7};
  struct zone zone;
  zone_init(&zone, DOMAIN_MX, NOW_MS, NOW_MS + 300000);
  zone_add(&zone, 10, "192.0.2.7");
  zone_build(&zone, "d.test");
  atomic_store(&zone.hosts[0]->facts, host_facts_build_address(octets, sizeof(octets)));
  expect(&zone, "memory holds of 192.0.2.7: AAAA none, for ever; 1 A for ever [T1]\n");
  zone_fini(&zone);
}

static void addresses_are_told_although_the_domain_has_expired(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_MX, NOW_MS - 1000, NOW_MS);
  zone_add(&zone, 10, "a.test");
  zone_build(&zone, "d.test");
  assert_string_equal(tell(zone.facts, DEPTH_ADDRESSES),
                      "what memory knew of d.test (its MX records) expired 0 s ago [T1]\n"
                      "memory holds no addresses of a.test []\n");
  zone_fini(&zone);
}

static void addresses_are_told_where_they_are_wanted(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_MX, NOW_MS, NOW_MS + 300000);
  zone_add(&zone, 10, "a.test");
  zone_add(&zone, 20, "b.test");
  zone_add(&zone, 30, "c.test");
  zone_build(&zone, "d.test");
  zone_give(&zone, 0, made_family(FAMILY_V6, FAMILY_OK, 2, NOW_MS + 60000, ""),
            made_family(FAMILY_V4, FAMILY_TEMPFAIL, 0, NOW_MS + 5000, ""));
  zone_give(&zone, 1, made_family(FAMILY_V6, FAMILY_NODATA, 0, NOW_MS - 1, ""),
            made_family(FAMILY_V4, FAMILY_OK, 1, INT64_MAX, ""));
  expect(&zone, "memory holds of a.test: 2 AAAA for 60 s; A failed just now, for 5 s [T1]\n");
  expect(&zone, "memory holds of b.test: AAAA none, expired; 1 A for ever [T1]\n");
  expect(&zone, "memory holds no addresses of c.test []\n");
  assert_null(strstr(tell(zone.facts, DEPTH_EXCHANGES), "a.test"));
  zone_fini(&zone);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_known_is_said_so),
      cmocka_unit_test(without_a_story_nothing_is_looked_at),
      cmocka_unit_test(what_is_known_is_told_with_its_age_and_its_end),
      cmocka_unit_test(a_failure_is_told_with_its_number_and_the_next_attempt),
      cmocka_unit_test(a_failure_of_ours_is_told_without_a_number),
      cmocka_unit_test(every_state_of_a_family_is_told),
      cmocka_unit_test(a_host_that_is_an_address_holds_for_ever),
      cmocka_unit_test(addresses_are_told_although_the_domain_has_expired),
      cmocka_unit_test(addresses_are_told_where_they_are_wanted),
  };
  return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
