#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "tool_utf8.h"

#define R "\xef\xbf\xbd"

static void expect(const char *text, size_t length, bool for_terminal, const char *expected) {
  size_t repaired_length;
  char *repaired = tool_utf8_repair(text, length, for_terminal, &repaired_length);
  assert_non_null(repaired);
  assert_int_equal(repaired_length, strlen(expected));
  assert_string_equal(repaired, expected);
  free(repaired);
}

static void well_formed_text_stays(void **state) {
  (void)state;
  static const char *const texts[] = {
      "",
      "a.test",
      "b\xc3\xbc"
      "cher",
      "\xe2\x82\xac",
      "\xed\x9f\xbf",
      "\xee\x80\x80",
      "\xf0\x90\x80\x80",
      "\xf4\x8f\xbf\xbf",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    expect(texts[i], strlen(texts[i]), false, texts[i]);
    expect(texts[i], strlen(texts[i]), true, texts[i]);
  }
}

static void every_octet_of_broken_text_is_replaced(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"a\xff"
       "b",
       "a" R "b"},
      {"\x80", R},
      {"\xc0\xaf", R R}, /* overlong */
      {"\xe0\x9f\xbf", R R R},
      {"\xf0\x8f\xbf\xbf", R R R R},
      {"\xed\xa0\x80", R R R},       /* a surrogate */
      {"\xf4\x90\x80\x80", R R R R}, /* over U+10FFFF */
      {"\xf5\x80\x80\x80", R R R R},
      {"\xc3", R}, /* cut short */
      {"\xe2\x82", R R},
      {"\xf0\x90\x80", R R R},
      {"\xc3(", R "("},
      {"\xe2\x82(", R R "("},
      {"\xf0\x90\x80(", R R R "("},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    expect(rows[i][0], strlen(rows[i][0]), false, rows[i][1]);
}

static void nul_stays_in_text_for_programs(void **state) {
  (void)state;
  size_t length;
  char *repaired = tool_utf8_repair("a\0b", 3, false, &length);
  assert_int_equal(length, 3);
  assert_memory_equal(repaired, "a\0b", 4);
  free(repaired);
}

static void control_characters_do_not_reach_a_terminal(void **state) {
  (void)state;
  expect("a\x1b[31m\x7f\n\xc2\x9b\xc2\xa0\0b", 14, true, "a" R "[31m" R R R "\xc2\xa0" R "b");
  expect("\x1b\xc2\x9b", 3, false, "\x1b\xc2\x9b");
}

static void columns_are_counted_by_character(void **state) {
  (void)state;
  assert_int_equal(tool_utf8_columns(""), 0);
  assert_int_equal(tool_utf8_columns("b\xc3\xbc"
                                     "cher" R),
                   7);
  assert_int_equal(tool_utf8_columns_of("b\xc3\xbc"
                                        "cher",
                                        4),
                   3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(well_formed_text_stays),
      cmocka_unit_test(every_octet_of_broken_text_is_replaced),
      cmocka_unit_test(nul_stays_in_text_for_programs),
      cmocka_unit_test(control_characters_do_not_reach_a_terminal),
      cmocka_unit_test(columns_are_counted_by_character),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
