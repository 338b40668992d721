#include "cmocka_compat.h"

#include "rules/ttl.h"

static const struct ttl_policy defaults = {.min_s = 0,
                                           .max_s = 86400,
                                           .max_negative_s = 3600,
                                           .failure_s = 5,
                                           .max_failure_s = 300,
                                           .failure_jitter_percent = 10};
static const struct ttl_policy floored = {
    .min_s = 60, .max_s = 600, .max_negative_s = 30, .failure_s = 10, .max_failure_s = 300};

static void records_live_their_ttl_in_milliseconds(void **state) {
  (void)state;
  assert_true(ttl_positive_ms(&defaults, 1) == 1000);
  assert_true(ttl_positive_ms(&defaults, 300) == 300000);
  assert_true(ttl_positive_ms(&defaults, 86399) == 86399000);
}

static void a_ttl_of_0_is_honoured_without_a_floor(void **state) {
  (void)state;
  assert_true(ttl_positive_ms(&defaults, 0) == 0);
}

static void records_live_no_longer_than_max_ttl(void **state) {
  (void)state;
  assert_true(ttl_positive_ms(&defaults, 86400) == 86400000);
  assert_true(ttl_positive_ms(&defaults, 86401) == 86400000);
  assert_true(ttl_positive_ms(&floored, 601) == 600000);
}

static void records_live_no_shorter_than_min_ttl(void **state) {
  (void)state;
  assert_true(ttl_positive_ms(&floored, 0) == 60000);
  assert_true(ttl_positive_ms(&floored, 59) == 60000);
  assert_true(ttl_positive_ms(&floored, 60) == 60000);
  assert_true(ttl_positive_ms(&floored, 61) == 61000);
}

static void a_ttl_with_its_top_bit_set_is_a_large_number_and_capped(void **state) {
  (void)state;
  assert_true(ttl_positive_ms(&defaults, UINT32_C(0x80000000)) == 86400000);
  assert_true(ttl_positive_ms(&defaults, UINT32_C(0x80000005)) == 86400000);
  assert_true(ttl_positive_ms(&defaults, UINT32_MAX) == 86400000);
}

static void the_longest_life_that_can_be_configured_does_not_overflow(void **state) {
  (void)state;
  const struct ttl_policy endless = {.max_s = UINT32_MAX,
                                     .max_negative_s = UINT32_MAX,
                                     .failure_s = UINT32_MAX,
                                     .max_failure_s = UINT32_MAX};
  assert_true(ttl_positive_ms(&endless, UINT32_MAX) == INT64_C(4294967295000));
  assert_true(ttl_negative_ms(&endless, 1, UINT32_MAX, UINT32_MAX) == INT64_C(4294967295000));
  assert_true(ttl_failure_ms(&endless, UINT32_MAX, 0) == INT64_C(4294967295000));
}

static void a_denial_lives_its_negative_ttl(void **state) {
  (void)state;
  assert_true(ttl_negative_ms(&defaults, 1, 900, UINT32_MAX) == 900000);
  assert_true(ttl_negative_ms(&defaults, 1, 0, UINT32_MAX) == 0);
}

static void a_denial_lives_no_longer_than_max_negative_ttl(void **state) {
  (void)state;
  assert_true(ttl_negative_ms(&defaults, 1, 3600, UINT32_MAX) == 3600000);
  assert_true(ttl_negative_ms(&defaults, 1, 86400, UINT32_MAX) == 3600000);
  assert_true(ttl_negative_ms(&defaults, 1, UINT32_C(0x80000000), UINT32_MAX) == 3600000);
}

static void a_denial_lives_no_longer_than_the_aliases_that_led_to_it(void **state) {
  (void)state;
  assert_true(ttl_negative_ms(&defaults, 1, 900, 30) == 30000);
  assert_true(ttl_negative_ms(&defaults, 1, 900, 0) == 0);
  assert_true(ttl_negative_ms(&defaults, 1, 900, 901) == 900000);
}

static void a_denial_without_soa_lives_5_s_whatever_the_number(void **state) {
  (void)state;
  assert_true(ttl_negative_ms(&defaults, 0, 900, UINT32_MAX) == 5000);
  assert_true(ttl_negative_ms(&defaults, 0, 0, UINT32_MAX) == 5000);
  assert_true(ttl_negative_ms(&defaults, 0, 0, 3) == 3000);
}

static void a_denial_has_no_floor(void **state) {
  (void)state;
  assert_true(ttl_negative_ms(&floored, 1, 1, UINT32_MAX) == 1000);
  assert_true(ttl_negative_ms(&floored, 1, 0, UINT32_MAX) == 0);
  assert_true(ttl_negative_ms(&floored, 1, 31, UINT32_MAX) == 30000);
}

static void denials_are_not_remembered_where_max_negative_ttl_is_0(void **state) {
  (void)state;
  const struct ttl_policy policy = {.max_s = 86400, .max_negative_s = 0};
  assert_true(ttl_negative_ms(&policy, 1, 900, UINT32_MAX) == 0);
  assert_true(ttl_negative_ms(&policy, 0, 0, UINT32_MAX) == 0);
}

static void a_failure_upstream_lives_failure_ttl_without_a_floor(void **state) {
  (void)state;
  assert_true(ttl_failure_ms(&defaults, 1, 0) == 5000);
  assert_true(ttl_failure_ms(&floored, 1, 0) == 10000);
}

static void each_failure_in_a_row_lives_twice_as_long_up_to_the_most(void **state) {
  (void)state;
  static const int64_t lives_s[] = {5, 10, 20, 40, 80, 160, 300, 300};
  for (unsigned i = 0; i < sizeof(lives_s) / sizeof(lives_s[0]); i++)
    assert_true(ttl_failure_ms(&defaults, i + 1, 0) == lives_s[i] * 1000);
  assert_true(ttl_failure_ms(&defaults, UINT32_MAX, 0) == 300000);
}

static void the_draw_moves_a_failure_by_a_tenth_at_most_and_never_over_the_most(void **state) {
  (void)state;
  int64_t least_ms = INT64_MAX, most_ms = 0;
  for (uint64_t draw = 0; draw <= UINT32_MAX; draw += 65537) {
    int64_t life_ms = ttl_failure_ms(&defaults, 2, (uint32_t)draw);
    least_ms = life_ms < least_ms ? life_ms : least_ms;
    most_ms = life_ms > most_ms ? life_ms : most_ms;
    assert_true(ttl_failure_ms(&defaults, 7, (uint32_t)draw) <= 300000);
  }
  assert_in_range(least_ms, 9000, 9010);
  assert_in_range(most_ms, 10990, 11000);
}

static void a_lead_is_the_share_of_the_life_give_or_take_half(void **state) {
  (void)state;
  const struct ttl_policy policy = {.prefetch_percent = 10};
  int64_t least_ms = INT64_MAX, most_ms = 0;
  for (uint64_t draw = 0; draw <= UINT32_MAX; draw += 65537) {
    int64_t lead_ms = ttl_lead_ms(&policy, 100000, (uint32_t)draw);
    least_ms = lead_ms < least_ms ? lead_ms : least_ms;
    most_ms = lead_ms > most_ms ? lead_ms : most_ms;
  }
  assert_in_range(least_ms, 5000, 5010);
  assert_in_range(most_ms, 14990, 15000);
}

static void there_is_no_lead_without_a_share_or_a_life(void **state) {
  (void)state;
  const struct ttl_policy policy = {.prefetch_percent = 50};
  for (uint64_t draw = 0; draw <= UINT32_MAX; draw += 65537) {
    assert_true(ttl_lead_ms(&defaults, 86400000, (uint32_t)draw) == 0);
    assert_true(ttl_lead_ms(&policy, 0, (uint32_t)draw) == 0);
  }
}

static void a_failure_of_our_own_lives_a_second(void **state) {
  (void)state;
  assert_true(ttl_own_failure_ms() == 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(records_live_their_ttl_in_milliseconds),
      cmocka_unit_test(a_ttl_of_0_is_honoured_without_a_floor),
      cmocka_unit_test(records_live_no_longer_than_max_ttl),
      cmocka_unit_test(records_live_no_shorter_than_min_ttl),
      cmocka_unit_test(a_ttl_with_its_top_bit_set_is_a_large_number_and_capped),
      cmocka_unit_test(the_longest_life_that_can_be_configured_does_not_overflow),
      cmocka_unit_test(a_denial_lives_its_negative_ttl),
      cmocka_unit_test(a_denial_lives_no_longer_than_max_negative_ttl),
      cmocka_unit_test(a_denial_lives_no_longer_than_the_aliases_that_led_to_it),
      cmocka_unit_test(a_denial_without_soa_lives_5_s_whatever_the_number),
      cmocka_unit_test(a_denial_has_no_floor),
      cmocka_unit_test(denials_are_not_remembered_where_max_negative_ttl_is_0),
      cmocka_unit_test(a_failure_upstream_lives_failure_ttl_without_a_floor),
      cmocka_unit_test(each_failure_in_a_row_lives_twice_as_long_up_to_the_most),
      cmocka_unit_test(the_draw_moves_a_failure_by_a_tenth_at_most_and_never_over_the_most),
      cmocka_unit_test(a_lead_is_the_share_of_the_life_give_or_take_half),
      cmocka_unit_test(there_is_no_lead_without_a_share_or_a_life),
      cmocka_unit_test(a_failure_of_our_own_lives_a_second),
  };
  return cmocka_run_group_tests_name("ttl", tests, NULL, NULL);
}
