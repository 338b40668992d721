#include "cmocka_compat.h"

#include "leases.h"

enum { NOW_MS = 5000, LIFE_MS = 1000, HASH = 77 };

static void a_lease_is_held_until_it_ends(void **state) {
  (void)state;
  static struct leases leases;
  assert_false(leases_has(&leases, HASH, NOW_MS));
  leases_put(&leases, HASH, NOW_MS + LIFE_MS);
  assert_true(leases_has(&leases, HASH, NOW_MS));
  assert_true(leases_has(&leases, HASH, NOW_MS + LIFE_MS - 1));
  assert_false(leases_has(&leases, HASH, NOW_MS + LIFE_MS));
  assert_false(leases_remove(&leases, HASH, NOW_MS + LIFE_MS));
}

static void a_lease_that_is_given_up_is_held_no_more(void **state) {
  (void)state;
  static struct leases leases;
  leases_put(&leases, HASH, NOW_MS + LIFE_MS);
  assert_true(leases_remove(&leases, HASH, NOW_MS));
  assert_false(leases_has(&leases, HASH, NOW_MS));
  assert_false(leases_remove(&leases, HASH, NOW_MS));
}

static void of_two_that_collide_the_last_is_known_and_never_the_wrong_one(void **state) {
  (void)state;
  static struct leases leases;
  leases_put(&leases, HASH, NOW_MS + LIFE_MS);
  assert_false(leases_has(&leases, HASH + LEASES_COUNT, NOW_MS));
  leases_put(&leases, HASH + LEASES_COUNT, NOW_MS + LIFE_MS);
  assert_true(leases_has(&leases, HASH + LEASES_COUNT, NOW_MS));
  assert_false(leases_has(&leases, HASH, NOW_MS));
  assert_false(leases_remove(&leases, HASH, NOW_MS));
  assert_true(leases_has(&leases, HASH + LEASES_COUNT, NOW_MS));
}

static void zeroes_hold_no_lease_even_of_hash_0(void **state) {
  (void)state;
  static const struct leases leases;
  assert_false(leases_has(&leases, 0, 1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_lease_is_held_until_it_ends),
      cmocka_unit_test(a_lease_that_is_given_up_is_held_no_more),
      cmocka_unit_test(of_two_that_collide_the_last_is_known_and_never_the_wrong_one),
      cmocka_unit_test(zeroes_hold_no_lease_even_of_hash_0),
  };
  return cmocka_run_group_tests_name("leases", tests, NULL, NULL);
}
