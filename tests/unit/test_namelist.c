#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/namelist.h"

static struct namelist list;

static int close_it(void **state) {
  (void)state;
  namelist_fini(&list);
  assert_null(list.octets);
  return 0;
}

static void put(const char *text) { assert_true(namelist_put(&list, text, strlen(text))); }

static void expect(const char *text) {
  char taken[NAMELIST_TEXT_MAX + 1];
  assert_int_equal(namelist_take(&list, taken), strlen(text));
  assert_string_equal(taken, text);
}

static void names_come_out_in_the_order_they_went_in(void **state) {
  (void)state;
  put("a.test");
  put("");
  put("b.test");
  assert_int_equal(list.count, 3);
  expect("a.test");
  put("c.test");
  expect("");
  expect("b.test");
  expect("c.test");
  assert_int_equal(list.count, 0);
}

static void any_octets_are_kept(void **state) {
  (void)state;
  char octets[NAMELIST_TEXT_MAX], taken[NAMELIST_TEXT_MAX + 1];
  for (size_t i = 0; i < sizeof(octets); i++)
    octets[i] = (char)i;
  assert_true(namelist_put(&list, octets, sizeof(octets)));
  assert_int_equal(namelist_take(&list, taken), sizeof(octets));
  assert_memory_equal(taken, octets, sizeof(octets));
  assert_int_equal(taken[NAMELIST_TEXT_MAX], 0);
}

/* Names of many lengths go in and out at once: more in all than the block may have. */
static void the_block_does_not_grow_while_few_names_wait(void **state) {
  (void)state;
  char text[64];
  size_t put_count = 0, taken_count = 0;
  while (put_count < 200000) {
    snprintf(text, sizeof(text), "d%zu.a-longer-name-than-most.example", put_count++);
    put(text);
    if (list.count <= 300)
      continue;
    snprintf(text, sizeof(text), "d%zu.a-longer-name-than-most.example", taken_count++);
    expect(text);
  }
  assert_int_equal(list.size, NAMELIST_LEAST_BYTES);
  assert_int_equal(list.count, put_count - taken_count);
}

static void what_is_too_much_is_refused_and_the_rest_is_kept(void **state) {
  (void)state;
  char text[32];
  size_t count = 0;
  for (;; count++) {
    snprintf(text, sizeof(text), "d%zu.example", count);
    if (!namelist_put(&list, text, strlen(text)))
      break;
  }
  assert_int_equal(list.size, NAMELIST_MAX_BYTES);
  assert_true(list.end + 1 + strlen(text) > NAMELIST_MAX_BYTES);
  assert_int_equal(list.count, count);
  for (size_t i = 0; i < count; i++) {
    snprintf(text, sizeof(text), "d%zu.example", i);
    expect(text);
  }
  put("again.example");
  expect("again.example");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(names_come_out_in_the_order_they_went_in, close_it),
      cmocka_unit_test_teardown(any_octets_are_kept, close_it),
      cmocka_unit_test_teardown(the_block_does_not_grow_while_few_names_wait, close_it),
      cmocka_unit_test_teardown(what_is_too_much_is_refused_and_the_rest_is_kept, close_it),
  };
  return cmocka_run_group_tests_name("namelist", tests, NULL, NULL);
}
