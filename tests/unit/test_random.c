#include "cmocka_compat.h"

#include <stdbool.h>
#include <string.h>

#include "base/random.h"

static void the_sequence_of_a_state_is_splitmix64(void **state) {
  (void)state;
  /* The reference implementation's first numbers from 1234567. */
  static const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                      4593380528125082431u, 16408922859458223821u};
  struct random random = {.state = 1234567};
  for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
    assert_true(random_next(&random) == expected[i]);
}

static void numbers_stay_below_their_bound(void **state) {
  (void)state;
  struct random random = {.state = 1};
  for (int i = 0; i < 100000; i++) {
    assert_true(random_below(&random, 1) == 0);
    assert_true(random_below(&random, 7) < 7);
    assert_true(random_below(&random, UINT32_MAX) < UINT32_MAX);
  }
}

static void every_number_below_a_bound_comes_equally_often(void **state) {
  (void)state;
  enum { BOUND = 7, DRAWS = 70000 };
  struct random random = {.state = 42};
  int seen[BOUND] = {0};
  for (int i = 0; i < DRAWS; i++)
    seen[random_below(&random, BOUND)]++;
  for (int i = 0; i < BOUND; i++)
    assert_in_range(seen[i], DRAWS / BOUND * 95 / 100, DRAWS / BOUND * 105 / 100);
}

static void two_generators_are_seeded_differently(void **state) {
  (void)state;
  struct random a, b;
  random_init(&a);
  random_init(&b);
  assert_true(a.state != b.state);
}

static void random_bytes_fills_all_it_was_given_and_no_more(void **state) {
  (void)state;
  enum { LENGTH = 1000 };
  uint8_t bytes[LENGTH + 2], seen[LENGTH] = {0};
  bytes[0] = bytes[LENGTH + 1] = 0x5a;
  for (int round = 0; round < 16; round++) {
    random_bytes(bytes + 1, LENGTH);
    for (int i = 0; i < LENGTH; i++)
      seen[i] |= bytes[1 + i];
  }
  for (int i = 0; i < LENGTH; i++)
    assert_true(seen[i] != 0); /* 2^-128 that one stays 0 by chance */
  assert_int_equal(bytes[0], 0x5a);
  assert_int_equal(bytes[LENGTH + 1], 0x5a);
}

static void random_bytes_of_no_length_touches_nothing(void **state) {
  (void)state;
  uint8_t byte = 0x5a;
  random_bytes(&byte, 0);
  assert_int_equal(byte, 0x5a);
}

/* All of four places, or two of them: which, and in which order. */
static void shuffles_are_equally_likely(void **state) {
  (void)state;
  enum { ROUNDS = 240000 };
  struct random random = {7};
  for (uint8_t wanted = 2; wanted <= 4; wanted += 2) {
    static unsigned seen[256];
    unsigned outcomes = 0;
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < ROUNDS; i++) {
      uint8_t places[4] = {0, 1, 2, 3};
      random_shuffle(&random, places, 4, wanted);
      seen[places[0] << 6 | places[1] << 4 | (wanted == 4 ? places[2] << 2 | places[3] : 0)]++;
    }
    for (size_t i = 0; i < 256; i++) {
      outcomes += seen[i] > 0;
      if (seen[i] > 0) /* within six standard deviations */
        assert_in_range(seen[i], wanted == 4 ? 9400 : 19200, wanted == 4 ? 10600 : 20800);
    }
    assert_int_equal(outcomes, wanted == 4 ? 24 : 12);
  }
}

static void a_shuffle_keeps_each_place_and_takes_a_draw_for_four(void **state) {
  (void)state;
  for (unsigned count = 0; count <= 100; count++) {
    struct random random = {count}, draws = random;
    uint8_t places[100];
    bool is_there[100] = {false};
    for (uint8_t i = 0; i < 100; i++)
      places[i] = i;
    random_shuffle(&random, places, (uint8_t)count, 100);
    for (unsigned i = 0; i < 100; i++) {
      assert_false(is_there[places[i]]);
      is_there[places[i]] = true;
      assert_true(i < count ? places[i] < count : places[i] == i);
    }
    for (unsigned i = 0; i + 1 < count; i += RANDOM_PLACES_OF_DRAW)
      random_next(&draws);
    assert_true(draws.state == random.state);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_sequence_of_a_state_is_splitmix64),
      cmocka_unit_test(numbers_stay_below_their_bound),
      cmocka_unit_test(every_number_below_a_bound_comes_equally_often),
      cmocka_unit_test(two_generators_are_seeded_differently),
      cmocka_unit_test(random_bytes_fills_all_it_was_given_and_no_more),
      cmocka_unit_test(random_bytes_of_no_length_touches_nothing),
      cmocka_unit_test(shuffles_are_equally_likely),
      cmocka_unit_test(a_shuffle_keeps_each_place_and_takes_a_draw_for_four),
  };
  return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
