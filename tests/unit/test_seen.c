#include "cmocka_compat.h"

#include <string.h>

#include "record_samples.h"
#include "store/seen.h"

enum { NOW_MS = RECORD_SAMPLE_NOW_MS, HASH = 4711 };

static struct seen seen;
static struct record old, new;

static int open_it(void **state) {
  (void)state;
  memset(&seen, 0, sizeof(seen));
  return 0;
}

static bool has(int64_t now_ms) { return seen_has(&seen, HASH, &new, now_ms); }

static void nothing_is_known_at_first(void **state) {
  (void)state;
  record_sample_provider(&new);
  assert_false(has(NOW_MS));
}

/* Long ago, so that no difference of lives counts. */
static void a_sample_is_known_by_what_it_says_and_nothing_else_is(void **state) {
  (void)state;
  const int64_t long_ago_ms = NOW_MS - INT64_C(1000000000000);
  for (size_t i = 0; i < RECORD_SAMPLE_COUNT; i++) {
    record_samples[i].make(&old);
    seen_put(&seen, HASH, &old);
    for (size_t j = 0; j < RECORD_SAMPLE_COUNT; j++) {
      record_samples[j].make(&new);
      memcpy(new.name, old.name, sizeof(new.name));
      bool is_same = i == j;
      assert_int_equal(record_is_same(&old, &new), is_same);
      if (has(long_ago_ms) != is_same)
        fail_msg("%s and %s", record_samples[i].name, record_samples[j].name);
    }
  }
}

static void what_was_removed_is_unknown(void **state) {
  (void)state;
  record_sample_provider(&old);
  record_sample_provider(&new);
  seen_put(&seen, HASH, &old);
  seen_remove(&seen, HASH + SEEN_COUNT);
  assert_true(has(NOW_MS));
  seen_remove(&seen, HASH);
  assert_false(has(NOW_MS));
}

static void of_two_that_collide_the_last_is_known_and_never_the_wrong_one(void **state) {
  (void)state;
  record_sample_provider(&old);
  record_sample_provider(&new);
  seen_put(&seen, HASH, &old);
  assert_false(seen_has(&seen, HASH + SEEN_COUNT, &new, NOW_MS));
  seen_put(&seen, HASH + SEEN_COUNT, &old);
  assert_true(seen_has(&seen, HASH + SEEN_COUNT, &new, NOW_MS));
  assert_false(has(NOW_MS));
}

static void nine_tenths_of_the_new_life_are_enough_and_less_is_not(void **state) {
  (void)state;
  record_sample_provider(&old);
  record_sample_provider(&new);
  new.domain.expires_at_ms = NOW_MS + 100000;
  old.domain.expires_at_ms = NOW_MS + 90000;
  seen_put(&seen, HASH, &old);
  assert_true(has(NOW_MS));
  old.domain.expires_at_ms--;
  seen_put(&seen, HASH, &old);
  assert_false(has(NOW_MS));
}

static void each_family_needs_its_own_nine_tenths(void **state) {
  (void)state;
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    record_sample_dual(&old);
    record_sample_dual(&new);
    seen_put(&seen, HASH, &old);
    assert_true(has(NOW_MS));
    new.families[family].expires_at_ms += INT64_C(3600000000);
    assert_false(has(NOW_MS));
  }
}

static void a_family_that_is_not_known_is_of_no_account_however_long_it_is_so(void **state) {
  (void)state;
  record_sample_dual(&old);
  old.families[FAMILY_V6].state = FAMILY_UNKNOWN;
  new = old;
  new.families[FAMILY_V6].state = FAMILY_TEMPFAIL;
  new.families[FAMILY_V6].expires_at_ms = NOW_MS + 5000;
  seen_put(&seen, HASH, &old);
  assert_true(has(NOW_MS));
  new.families[FAMILY_V6].state = FAMILY_NODATA;
  assert_false(has(NOW_MS));
}

/* ---- each thing that is said counts ---- */

static void expect_other(const char *what) {
  if (has(NOW_MS))
    fail_msg("%s makes no difference", what);
  assert_false(record_is_same(&old, &new));
  new = old;
  assert_true(has(NOW_MS));
}

static void each_thing_that_a_domain_says_counts(void **state) {
  (void)state;
  record_sample_provider(&old);
  new = old;
  seen_put(&seen, HASH, &old);
  new.domain.kind = DOMAIN_NODATA;
  expect_other("the kind");
  new.domain.authentic = !old.domain.authentic;
  expect_other("whether it is authentic");
  new.domain.warnings ^= WARNING_DUPLICATE_EXCHANGE;
  expect_other("a warning");
  snprintf(new.domain.canonical, FACTS_NAME_SIZE, "other.example");
  expect_other("the end of the alias chain");
  new.domain.count--;
  expect_other("the number of exchanges");
  new.domain.exchanges[1].preference++;
  expect_other("a preference");
  new.domain.exchanges[2].host[0] = 'x';
  expect_other("a host");
}

static void each_thing_that_a_host_says_counts_but_the_order_of_addresses(void **state) {
  (void)state;
  record_sample_dual(&old);
  struct family_value *v4 = &new.families[FAMILY_V4];
  record_sample_family(&old, FAMILY_V4, FAMILY_OK, 3, 0, 300);
  new = old;
  seen_put(&seen, HASH, &old);
  v4->authentic = !v4->authentic;
  expect_other("whether a family is authentic");
  v4->count--;
  expect_other("the number of addresses");
  v4->addresses[1][3]++;
  v4->addresses[1][0] ^= 1;
  expect_other("an address");
  snprintf(new.families[FAMILY_V4].expanded, FACTS_NAME_SIZE, "other.example");
  snprintf(new.families[FAMILY_V6].expanded, FACTS_NAME_SIZE, "other.example");
  expect_other("the end of the alias chain");
  v4->state = FAMILY_NXDOMAIN;
  v4->count = 0;
  expect_other("the state of a family");
  memcpy(v4->addresses[0], old.families[FAMILY_V4].addresses[2], 16);
  memcpy(v4->addresses[2], old.families[FAMILY_V4].addresses[0], 16);
  assert_true(record_is_same(&old, &new));
  assert_true(has(NOW_MS));
}

static void who_wrote_it_and_when_says_nothing(void **state) {
  (void)state;
  record_sample_provider(&old);
  new = old;
  seen_put(&seen, HASH, &old);
  new.generation++;
  snprintf(new.origin, RECORD_ORIGIN_SIZE, "somebody-else");
  new.domain.stored_at_ms -= 5;
  new.stale_until_ms += 5;
  assert_true(has(NOW_MS));
}

#define TEST(name) cmocka_unit_test_setup(name, open_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(nothing_is_known_at_first),
      TEST(a_sample_is_known_by_what_it_says_and_nothing_else_is),
      TEST(what_was_removed_is_unknown),
      TEST(of_two_that_collide_the_last_is_known_and_never_the_wrong_one),
      TEST(nine_tenths_of_the_new_life_are_enough_and_less_is_not),
      TEST(each_family_needs_its_own_nine_tenths),
      TEST(a_family_that_is_not_known_is_of_no_account_however_long_it_is_so),
      TEST(each_thing_that_a_domain_says_counts),
      TEST(each_thing_that_a_host_says_counts_but_the_order_of_addresses),
      TEST(who_wrote_it_and_when_says_nothing),
  };
  return cmocka_run_group_tests_name("seen", tests, NULL, NULL);
}
