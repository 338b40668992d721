#include "cmocka_compat.h"

#include <limits.h>
#include <string.h>

#include "resolve/forgotten.h"

enum { KIND = 2, OTHER = 3 };

static struct name name_of(const char *text) {
  static const struct name_policy policy = {.allow_single_label = true};
  struct name name;
  assert_int_equal(name_parse((const uint8_t *)text, strlen(text), &policy, &name), NAME_OK);
  return name;
}

static bool has(const struct forgotten *forgotten, uint64_t since, unsigned kind, const char *name) {
  return forgotten_has(forgotten, since, kind, name, strlen(name));
}

static void without_an_order_nothing_is_forgotten(void **state) {
  (void)state;
  static const struct forgotten forgotten;
  for (unsigned kind = 0; kind < FORGOTTEN_KINDS_MAX; kind++)
    assert_false(has(&forgotten, 0, kind, "d.test"));
}

static void an_order_means_those_who_asked_before_it(void **state) {
  (void)state;
  static struct forgotten forgotten;
  struct name name = name_of("d.test");
  forgotten_add(&forgotten, &name, UINT_MAX);
  assert_int_equal(forgotten.number, 1);
  forgotten_add(&forgotten, NULL, 1 << OTHER);
  assert_true(has(&forgotten, 0, KIND, "d.test"));
  assert_false(has(&forgotten, 1, KIND, "d.test"));
  assert_true(has(&forgotten, 1, OTHER, "d.test"));
  assert_false(has(&forgotten, 2, OTHER, "d.test"));
}

static void an_order_for_a_suffix_means_it_and_what_is_below(void **state) {
  (void)state;
  static struct forgotten forgotten;
  struct name name = name_of("d.test");
  forgotten_add(&forgotten, &name, UINT_MAX);
  assert_true(has(&forgotten, 0, KIND, "d.test"));
  assert_true(has(&forgotten, 0, KIND, "a.b.d.test"));
  assert_false(has(&forgotten, 0, KIND, "ad.test"));
  assert_false(has(&forgotten, 0, KIND, "test"));
}

static void an_order_means_its_kinds_alone(void **state) {
  (void)state;
  static struct forgotten forgotten;
  struct name name = name_of("d.test");
  forgotten_add(&forgotten, &name, 1 << KIND);
  assert_true(has(&forgotten, 0, KIND, "d.test"));
  assert_false(has(&forgotten, 0, OTHER, "d.test"));
  forgotten_add(&forgotten, NULL, 1 << OTHER);
  assert_true(has(&forgotten, 0, OTHER, "e.test"));
  assert_false(has(&forgotten, 0, KIND, "e.test"));
}

static void orders_for_every_name_are_never_lost(void **state) {
  (void)state;
  static struct forgotten forgotten;
  struct name name = name_of("x.test");
  forgotten_add(&forgotten, NULL, 1 << KIND);
  for (int i = 0; i < 3 * FORGOTTEN_BELOW_MAX; i++)
    forgotten_add(&forgotten, &name, 1 << OTHER);
  assert_true(has(&forgotten, 0, KIND, "d.test"));
  assert_false(has(&forgotten, 1, KIND, "d.test"));
}

static void too_many_orders_mean_too_much_and_never_too_little(void **state) {
  (void)state;
  static struct forgotten forgotten;
  struct name name = name_of("d.test"), other = name_of("x.test");
  forgotten_add(&forgotten, &name, 1 << KIND);
  for (int i = 0; i < FORGOTTEN_BELOW_MAX - 1; i++)
    forgotten_add(&forgotten, &other, UINT_MAX);
  assert_true(has(&forgotten, 0, KIND, "d.test"));
  assert_false(has(&forgotten, 0, KIND, "e.test"));
  forgotten_add(&forgotten, &other, UINT_MAX); /* makes the first of them one for every name */
  assert_true(has(&forgotten, 0, KIND, "d.test"));
  assert_true(has(&forgotten, 0, KIND, "e.test"));
  assert_false(has(&forgotten, 0, OTHER, "e.test"));
  assert_false(has(&forgotten, 1, KIND, "e.test")); /* who asked after it is not concerned */
  assert_true(has(&forgotten, 1, KIND, "x.test"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_an_order_nothing_is_forgotten),
      cmocka_unit_test(an_order_means_those_who_asked_before_it),
      cmocka_unit_test(an_order_for_a_suffix_means_it_and_what_is_below),
      cmocka_unit_test(an_order_means_its_kinds_alone),
      cmocka_unit_test(orders_for_every_name_are_never_lost),
      cmocka_unit_test(too_many_orders_mean_too_much_and_never_too_little),
  };
  return cmocka_run_group_tests_name("forgotten", tests, NULL, NULL);
}
