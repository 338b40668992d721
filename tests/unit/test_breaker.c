#include "cmocka_compat.h"

#include "base/breaker.h"

enum { NOW_MS = 1000000, SEED = 7 };

static struct breaker fresh(void) {
  struct breaker breaker;
  breaker_init(&breaker, SEED);
  return breaker;
}

static bool fail_at(struct breaker *breaker, int64_t ms) { return breaker_on_failure(breaker, ms, ms); }

/* Each wait is within a tenth of `ms`, and they are not all the same. */
static void assert_wait(struct breaker *breaker, uint32_t ms) {
  uint32_t least = UINT32_MAX, most = 0;
  for (int i = 0; i < 1000; i++) {
    uint32_t wait_ms = breaker_wait_ms(breaker);
    least = wait_ms < least ? wait_ms : least;
    most = wait_ms > most ? wait_ms : most;
  }
  assert_in_range(least, ms - ms / 10, ms - ms / 10 + ms / 50);
  assert_in_range(most, ms + ms / 10 - ms / 50, ms + ms / 10);
}

static void three_failures_in_a_row_open_it(void **state) {
  (void)state;
  struct breaker breaker = fresh();
  assert_false(breaker.is_open);
  assert_false(fail_at(&breaker, NOW_MS));
  assert_false(fail_at(&breaker, NOW_MS + 1));
  assert_wait(&breaker, BREAKER_AGAIN_MS);
  assert_true(fail_at(&breaker, NOW_MS + 2));
  assert_true(breaker.is_open);
  assert_wait(&breaker, BREAKER_LEAST_MS);
}

static void a_success_between_starts_anew(void **state) {
  (void)state;
  struct breaker breaker = fresh();
  for (int i = 0; i < 100; i++) {
    assert_false(fail_at(&breaker, NOW_MS + 10 * i));
    assert_false(fail_at(&breaker, NOW_MS + 10 * i + 1));
    breaker_on_success(&breaker);
  }
  assert_false(breaker.is_open);
}

static void what_was_sent_before_a_counted_failure_counts_with_it(void **state) {
  (void)state;
  struct breaker breaker = fresh();
  for (int i = 0; i < 1000; i++) /* a pause of the server caught them all */
    assert_false(breaker_on_failure(&breaker, NOW_MS + i % 30, NOW_MS + 30 + i % 30));
  assert_false(breaker_on_failure(&breaker, NOW_MS + 60, NOW_MS + 90));
  assert_false(breaker_on_failure(&breaker, NOW_MS + 89, NOW_MS + 119));
  assert_true(breaker_on_failure(&breaker, NOW_MS + 90, NOW_MS + 120));
  assert_true(breaker_on_failure(&breaker, NOW_MS, NOW_MS + 120)); /* it says how it is */
}

static void probes_that_fail_double_the_pause_up_to_the_most(void **state) {
  (void)state;
  static const uint32_t pauses_ms[] = {1000, 2000, 4000, 8000, 10000, 10000, 10000};
  struct breaker breaker = fresh();
  fail_at(&breaker, NOW_MS);
  fail_at(&breaker, NOW_MS);
  for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(pauses_ms[0]); i++) {
    assert_true(fail_at(&breaker, NOW_MS + (int64_t)i));
    assert_wait(&breaker, pauses_ms[i]);
  }
}

static void a_probe_that_is_answered_closes_it_and_a_use_forgets_the_doubling(void **state) {
  (void)state;
  struct breaker breaker = fresh();
  for (int i = 0; i < 4; i++)
    fail_at(&breaker, NOW_MS + i);
  assert_wait(&breaker, 2000);
  breaker_on_probe(&breaker);
  assert_false(breaker.is_open);
  for (int i = 0; i < 3; i++) /* it answers probes and nothing else */
    fail_at(&breaker, NOW_MS + 10 + i);
  assert_true(breaker.is_open);
  assert_wait(&breaker, 4000);
  breaker_on_probe(&breaker);
  breaker_on_success(&breaker);
  for (int i = 0; i < 3; i++)
    fail_at(&breaker, NOW_MS + 20 + i);
  assert_wait(&breaker, BREAKER_LEAST_MS);
}

static void after_days_of_failures_it_still_counts(void **state) {
  (void)state;
  struct breaker breaker = fresh();
  for (int i = 0; i < 200000; i++)
    fail_at(&breaker, NOW_MS + i);
  assert_true(breaker.is_open);
  assert_wait(&breaker, BREAKER_MOST_MS);
}

static void nodes_do_not_come_back_together(void **state) {
  (void)state;
  uint32_t buckets[10] = {0};
  for (uint64_t seed = 0; seed < 1000; seed++) {
    struct breaker breaker;
    breaker_init(&breaker, seed * 0x9e3779b97f4a7c15u);
    for (int i = 0; i < 3; i++)
      fail_at(&breaker, NOW_MS + i);
    uint32_t wait_ms = breaker_wait_ms(&breaker);
    assert_in_range(wait_ms, 900, 1100);
    buckets[wait_ms == 1100 ? 9 : (wait_ms - 900) / 20]++;
  }
  for (int i = 0; i < 10; i++)
    assert_in_range(buckets[i], 60, 150);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(three_failures_in_a_row_open_it),
      cmocka_unit_test(a_success_between_starts_anew),
      cmocka_unit_test(what_was_sent_before_a_counted_failure_counts_with_it),
      cmocka_unit_test(probes_that_fail_double_the_pause_up_to_the_most),
      cmocka_unit_test(a_probe_that_is_answered_closes_it_and_a_use_forgets_the_doubling),
      cmocka_unit_test(after_days_of_failures_it_still_counts),
      cmocka_unit_test(nodes_do_not_come_back_together),
  };
  return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
