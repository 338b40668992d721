#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "delays.h"
#include "dname.h"

static const struct peer nobody;

static void replies_leave_in_the_order_of_their_time(void **state) {
  (void)state;
  enum { COUNT = 10000 };
  struct delays *delays = delays_create();
  for (uint64_t i = 0; i < COUNT; i++)
    assert_int_equal(delays_put(delays, dname_mix(i, 1) % 5000, &nobody, (const uint8_t *)&i, sizeof(i)), 0);
  uint64_t last_ns = 0, last_order = 0;
  for (unsigned i = 0; i < COUNT; i++) {
    struct delayed *delayed = delays_take(delays, 5000);
    assert_non_null(delayed);
    assert_true(delayed->due_ns >= last_ns);
    /* Of the same time: in the order they came. */
    assert_true(delayed->due_ns > last_ns || delayed->order >= last_order);
    uint64_t number;
    memcpy(&number, delayed->bytes, sizeof(number));
    assert_int_equal(dname_mix(number, 1) % 5000, delayed->due_ns);
    last_ns = delayed->due_ns;
    last_order = delayed->order;
    free(delayed);
  }
  assert_null(delays_take(delays, UINT64_MAX));
  delays_destroy(delays);
}

static void nothing_leaves_before_its_time(void **state) {
  (void)state;
  struct delays *delays = delays_create();
  assert_true(delays_next_ns(delays) == UINT64_MAX);
  delays_put(delays, 20, &nobody, (const uint8_t *)"b", 1);
  delays_put(delays, 10, &nobody, (const uint8_t *)"a", 1);
  assert_int_equal(delays_next_ns(delays), 10);
  assert_null(delays_take(delays, 9));
  struct delayed *delayed = delays_take(delays, 10);
  assert_int_equal(delayed->bytes[0], 'a');
  free(delayed);
  assert_null(delays_take(delays, 19));
  assert_int_equal(delays_next_ns(delays), 20);
  delays_destroy(delays); /* with one that still waits */
}

static void there_is_an_end_to_what_waits(void **state) {
  (void)state;
  struct delays *delays = delays_create();
  for (unsigned i = 0; i < DELAYS_MAX; i++)
    assert_int_equal(delays_put(delays, i, &nobody, (const uint8_t *)"", 0), 0);
  assert_int_equal(delays_put(delays, 0, &nobody, (const uint8_t *)"", 0), -1);
  free(delays_take(delays, DELAYS_MAX));
  assert_int_equal(delays_put(delays, 0, &nobody, (const uint8_t *)"", 0), 0);
  delays_destroy(delays);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(replies_leave_in_the_order_of_their_time),
      cmocka_unit_test(nothing_leaves_before_its_time),
      cmocka_unit_test(there_is_an_end_to_what_waits),
  };
  return cmocka_run_group_tests_name("upstream_delays", tests, NULL, NULL);
}
