#include "cmocka_compat.h"

#include "dns/health.h"

enum { NOW_MS = 1000000 };

static struct health fresh(void) {
  struct health health;
  health_init(&health);
  return health;
}

/* Silence that met what was sent just then. */
static bool fail_once(struct health *health, int64_t now_ms) {
  return health_on_failure(health, HEALTH_SILENT, now_ms, now_ms);
}

static void the_first_reply_sets_the_latency_and_later_ones_smooth_it(void **state) {
  (void)state;
  struct health health = fresh();
  assert_false(health.is_known);
  health_on_reply(&health, 8000, NOW_MS);
  assert_true(health.is_known);
  assert_int_equal(health.srtt_us, 8000);
  assert_int_equal(health.rttvar_us, 4000);
  health_on_reply(&health, 16000, NOW_MS); /* RFC 6298: an eighth of the way, a quarter of the deviation */
  assert_int_equal(health.srtt_us, 9000);
  assert_int_equal(health.rttvar_us, 5000);
  for (int i = 0; i < 200; i++)
    health_on_reply(&health, 2000, NOW_MS);
  assert_in_range(health.srtt_us, 1900, 2100);
  assert_in_range(health.rttvar_us, 0, 100);
}

static void three_failures_in_a_row_demote_and_a_reply_between_starts_anew(void **state) {
  (void)state;
  struct health health = fresh();
  assert_false(fail_once(&health, NOW_MS));
  assert_false(fail_once(&health, NOW_MS));
  health_on_reply(&health, 1000, NOW_MS);
  assert_false(fail_once(&health, NOW_MS));
  assert_false(fail_once(&health, NOW_MS));
  assert_false(health.is_demoted);
  assert_true(fail_once(&health, NOW_MS));
  assert_true(health.is_demoted);
}

static void failures_while_demoted_do_not_prolong_it(void **state) {
  (void)state;
  struct health health = fresh();
  for (int i = 0; i < HEALTH_FAILURES_MAX; i++)
    fail_once(&health, NOW_MS);
  for (int i = 0; i < 1000; i++)
    assert_false(fail_once(&health, NOW_MS + HEALTH_DEMOTED_LEAST_MS - 1));
  assert_int_equal(health.demoted_ms, HEALTH_DEMOTED_LEAST_MS);
}

static void probes_that_fail_double_the_time_up_to_the_most(void **state) {
  (void)state;
  struct health health = fresh();
  int64_t now_ms = NOW_MS;
  for (int i = 0; i < HEALTH_FAILURES_MAX; i++)
    fail_once(&health, now_ms);
  static const int64_t spans_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
  for (size_t i = 0; i < sizeof(spans_ms) / sizeof(spans_ms[0]); i++) {
    assert_int_equal(health.demoted_ms, spans_ms[i]);
    assert_false(health_start_probe(&health, now_ms + spans_ms[i] - 1));
    now_ms += spans_ms[i];
    assert_true(health_start_probe(&health, now_ms));
    assert_false(health_start_probe(&health, now_ms + 100000)); /* one at a time */
    assert_true(fail_once(&health, now_ms));
  }
}

static void a_probe_that_is_answered_brings_it_back_and_forgets_the_doubling(void **state) {
  (void)state;
  struct health health = fresh();
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < HEALTH_FAILURES_MAX; i++)
      fail_once(&health, NOW_MS);
    assert_int_equal(health.demoted_ms, HEALTH_DEMOTED_LEAST_MS);
    assert_true(health_start_probe(&health, NOW_MS + HEALTH_DEMOTED_LEAST_MS));
    health_on_reply(&health, 1000, NOW_MS);
    health_on_help(&health);
    assert_false(health.is_demoted);
  }
}

static void what_was_sent_before_the_last_reply_says_nothing_against_it(void **state) {
  (void)state;
  struct health health = fresh();
  health_on_reply(&health, 1000, NOW_MS);
  for (int i = 0; i < 10; i++) { /* of many sent at once some were lost, and are told of much later */
    assert_false(health_on_failure(&health, HEALTH_SILENT, NOW_MS - 1, NOW_MS + 800));
    assert_false(health_on_late(&health, NOW_MS - 1, NOW_MS + 800));
  }
  assert_false(health.is_demoted);
  assert_int_equal(health.failures + health.lates, 0);
}

static void a_server_that_cannot_be_reached_is_probed_every_second(void **state) {
  (void)state;
  struct health health = fresh();
  int64_t now_ms = NOW_MS;
  for (int i = 0; i < HEALTH_FAILURES_MAX; i++)
    health_on_failure(&health, HEALTH_UNREACHABLE, now_ms, now_ms);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(health.demoted_ms, HEALTH_DEMOTED_LEAST_MS);
    now_ms += HEALTH_DEMOTED_LEAST_MS;
    assert_true(health_start_probe(&health, now_ms));
    assert_true(health_on_failure(&health, HEALTH_UNREACHABLE, now_ms, now_ms));
  }
}

static void a_demoted_server_is_probed_at_once_when_another_is_back(void **state) {
  (void)state;
  struct health health = fresh();
  health_probe_soon(&health, NOW_MS);
  assert_int_equal(health.probe_at_ms, 0); /* nothing to be done for one that is well */
  for (int i = 0; i < HEALTH_FAILURES_MAX; i++)
    fail_once(&health, NOW_MS);
  assert_false(health_start_probe(&health, NOW_MS + 1));
  health_probe_soon(&health, NOW_MS + 1);
  assert_true(health_start_probe(&health, NOW_MS + 1));
}

static void one_that_loses_every_third_query_is_in_doubt_and_one_in_ten_is_not(void **state) {
  (void)state;
  static const struct {
    int period;
    bool is_in_doubt;
  } rows[] = {{3, true}, {10, false}};
  for (size_t row = 0; row < 2; row++) {
    struct health health = fresh();
    assert_true(health_is_in_doubt(&health)); /* nothing is known */
    for (int i = 1; i <= 300; i++)
      if (i % rows[row].period == 0)
        health_on_failure(&health, HEALTH_SILENT, NOW_MS - 1, NOW_MS); /* others were answered since */
      else
        health_on_reply(&health, 1000, NOW_MS);
    assert_false(health.is_demoted);
    assert_int_equal(health_is_in_doubt(&health), rows[row].is_in_doubt);
  }
}

static void five_times_late_in_a_row_demote(void **state) {
  (void)state;
  struct health health = fresh();
  for (int i = 1; i < HEALTH_LATES_MAX; i++)
    assert_false(health_on_late(&health, NOW_MS, NOW_MS));
  assert_true(health_on_late(&health, NOW_MS, NOW_MS));
}

static void a_lame_server_comes_back_only_by_helping(void **state) {
  (void)state;
  struct health health = fresh();
  for (int i = 1; i < HEALTH_LAME_MAX; i++)
    assert_false(health_on_lame(&health, NOW_MS));
  assert_true(health_on_lame(&health, NOW_MS));
  health_on_reply(&health, 1000, NOW_MS); /* it answers: REFUSED, as ever */
  assert_true(health.is_demoted);
  int64_t now_ms = NOW_MS + HEALTH_DEMOTED_LEAST_MS;
  assert_true(health_start_probe(&health, now_ms));
  health_on_reply(&health, 1000, now_ms); /* also to a probe, of which there are fewer and fewer */
  assert_int_equal(health.demoted_ms, 2 * HEALTH_DEMOTED_LEAST_MS);
  assert_false(health_start_probe(&health, now_ms + 2 * HEALTH_DEMOTED_LEAST_MS - 1));
  assert_true(health_start_probe(&health, now_ms + 2 * HEALTH_DEMOTED_LEAST_MS));
  health_on_help(&health);
  assert_false(health.is_demoted);
}

static void a_slow_server_is_measured_now_and_then(void **state) {
  (void)state;
  struct health health = fresh();
  health_on_reply(&health, 900000, NOW_MS);
  assert_true(health_start_probe(&health, NOW_MS));
  health_on_reply(&health, 900000, NOW_MS);
  assert_false(health_start_probe(&health, NOW_MS + HEALTH_PROBE_SLOW_MS - 1));
  assert_true(health_start_probe(&health, NOW_MS + HEALTH_PROBE_SLOW_MS));
}

static void much_slower_is_twice_and_50_ms(void **state) {
  (void)state;
  struct health quick = fresh(), slow = fresh(), unknown = fresh();
  health_on_reply(&quick, 1000, NOW_MS);
  health_on_reply(&slow, 52000, NOW_MS);
  assert_false(health_is_much_slower(&slow, &unknown));
  assert_false(health_is_much_slower(&unknown, &quick));
  assert_false(health_is_much_slower(&quick, &slow));
  assert_false(health_is_much_slower(&slow, &quick)); /* 1 * 2 + 50 exactly */
  slow.srtt_us++;
  assert_true(health_is_much_slower(&slow, &quick));
  quick.srtt_us = slow.srtt_us = UINT32_MAX;
  assert_false(health_is_much_slower(&slow, &quick));
}

static void a_hedge_waits_for_what_is_usual_within_bounds(void **state) {
  (void)state;
  struct health health = fresh();
  assert_int_equal(health_hedge_ms(&health), HEALTH_HEDGE_UNKNOWN_MS);
  health_on_reply(&health, 100, NOW_MS);
  assert_int_equal(health_hedge_ms(&health), HEALTH_HEDGE_LEAST_MS);
  health.srtt_us = 50000;
  health.rttvar_us = 10000;
  assert_int_equal(health_hedge_ms(&health), 90);
  health.rttvar_us = 0; /* as steady as can be: a quarter more, and 5 ms */
  assert_int_equal(health_hedge_ms(&health), 67);
  health.rttvar_us = UINT32_MAX;
  assert_int_equal(health_hedge_ms(&health), HEALTH_HEDGE_MOST_MS);
  health_on_late(&health, NOW_MS, NOW_MS); /* in doubt */
  assert_int_equal(health_hedge_ms(&health), HEALTH_HEDGE_LEAST_MS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_reply_sets_the_latency_and_later_ones_smooth_it),
      cmocka_unit_test(three_failures_in_a_row_demote_and_a_reply_between_starts_anew),
      cmocka_unit_test(failures_while_demoted_do_not_prolong_it),
      cmocka_unit_test(probes_that_fail_double_the_time_up_to_the_most),
      cmocka_unit_test(a_probe_that_is_answered_brings_it_back_and_forgets_the_doubling),
      cmocka_unit_test(what_was_sent_before_the_last_reply_says_nothing_against_it),
      cmocka_unit_test(a_server_that_cannot_be_reached_is_probed_every_second),
      cmocka_unit_test(a_demoted_server_is_probed_at_once_when_another_is_back),
      cmocka_unit_test(one_that_loses_every_third_query_is_in_doubt_and_one_in_ten_is_not),
      cmocka_unit_test(five_times_late_in_a_row_demote),
      cmocka_unit_test(a_lame_server_comes_back_only_by_helping),
      cmocka_unit_test(a_slow_server_is_measured_now_and_then),
      cmocka_unit_test(much_slower_is_twice_and_50_ms),
      cmocka_unit_test(a_hedge_waits_for_what_is_usual_within_bounds),
  };
  return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
