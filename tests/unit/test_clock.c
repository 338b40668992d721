#include "cmocka_compat.h"

#include <time.h>

#include "base/clock.h"

static void the_clock_never_goes_back(void **state) {
  (void)state;
  int64_t before = clock_now_ms();
  for (int i = 0; i < 100000; i++) {
    int64_t now = clock_now_ms();
    assert_true(now >= before);
    before = now;
  }
}

static void the_clock_counts_milliseconds(void **state) {
  (void)state;
  const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
  int64_t before = clock_now_ms();
  nanosleep(&pause, NULL);
  int64_t passed = clock_now_ms() - before;
  assert_in_range(passed, 19, 5000);
}

static void the_clock_is_the_monotonic_one(void **state) {
  (void)state;
  struct timespec monotonic;
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  int64_t expected = (int64_t)monotonic.tv_sec * 1000 + monotonic.tv_nsec / 1000000;
  assert_in_range(clock_now_ms() - expected, 0, 5000);
}

static void the_wall_clock_is_unix_time(void **state) {
  (void)state;
  int64_t before_s = time(NULL);
  assert_in_range(clock_wall_ms() / 1000 - before_s, 0, 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_clock_never_goes_back),
      cmocka_unit_test(the_clock_counts_milliseconds),
      cmocka_unit_test(the_clock_is_the_monotonic_one),
      cmocka_unit_test(the_wall_clock_is_unix_time),
  };
  return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
