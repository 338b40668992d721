#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verify.h"

static char path[64];

static struct verify *load(const char *text, char error[VERIFY_ERROR_SIZE]) {
  snprintf(path, sizeof path, "/tmp/mxway-test-XXXXXX");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  close(fd);
  struct verify *verify = verify_load(path, error);
  unlink(path);
  return verify;
}

static void names_are_found_in_any_case_with_or_without_a_dot(void **state) {
  (void)state;
  char error[VERIFY_ERROR_SIZE];
  struct verify *verify = load("# head\n\nA.test\tROUTE 10 mx.a.test\r\nb.test.\tNULL_MX\n", error);
  assert_non_null(verify);
  assert_string_equal(verify_find(verify, "a.TEST.", 7)->routes, "ROUTE 10 mx.a.test");
  assert_string_equal(verify_find(verify, "b.test", 6)->routes, "NULL_MX");
  assert_null(verify_find(verify, "c.test", 6));
  assert_null(verify_find(verify, "a.test", 5));
  assert_null(verify_find(verify, "", 0));
  verify_destroy(verify);
}

static void thousands_of_names_are_all_found(void **state) {
  (void)state;
  enum { NAMES = 5000 };
  char *text = calloc(NAMES, 40), error[VERIFY_ERROR_SIZE], name[32];
  size_t length = 0;
  for (int i = 0; i < NAMES; i++)
    length += (size_t)snprintf(text + length, 40, "d%d.test\tROUTE %d a.test\n", i, i);
  struct verify *verify = load(text, error);
  assert_non_null(verify);
  for (int i = 0; i < NAMES; i++) {
    char routes[40];
    snprintf(name, sizeof name, "d%d.test", i);
    snprintf(routes, sizeof routes, "ROUTE %d a.test", i);
    assert_string_equal(verify_find(verify, name, strlen(name))->routes, routes);
  }
  verify_destroy(verify);
  free(text);
}

static void wrong_answers_are_kept_once_each_and_printed(void **state) {
  (void)state;
  char error[VERIFY_ERROR_SIZE], *printed;
  size_t size;
  struct verify *verify = load("a.test\tROUTE 10 mx.a.test\n", error);
  const struct verify_entry *entry = verify_find(verify, "a.test", 6);
  assert_true(verify_check(verify, entry, "null", "ROUTE 10 mx.a.test"));
  FILE *file = open_memstream(&printed, &size);
  verify_print_wrong(verify, file);
  fclose(file);
  assert_string_equal(printed, "");
  free(printed);
  for (int i = 0; i < 3; i++)
    assert_false(verify_check(verify, entry, "null", "NULL_MX"));
  file = open_memstream(&printed, &size);
  verify_print_wrong(verify, file);
  fclose(file);
  assert_string_equal(printed,
                      "wrong answer from null for a.test\n"
                      "  expected: ROUTE 10 mx.a.test\n"
                      "  got:      NULL_MX\n");
  free(printed);
  verify_destroy(verify);
}

static void a_bad_line_is_named_with_file_and_number(void **state) {
  (void)state;
  static const struct {
    const char *text, *rest;
  } cases[] = {
      {"a.test ROUTE\n", ":1: not name<TAB>KIND[ preference host]..."},
      {"\n\tROUTE\n", ":2: not name<TAB>KIND[ preference host]..."},
      {"a.test\t10 mx\n", ":1: not name<TAB>KIND[ preference host]..."},
      {"a.test\tROUTE\nA.test.\tROUTE\n", ":2: the name stands here twice"},
      {".\tROUTE\n", ":1: not a name"},
      {"# nothing\n", ": there is nothing to verify in it"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char error[VERIFY_ERROR_SIZE], expected[VERIFY_ERROR_SIZE];
    assert_null(load(cases[i].text, error));
    snprintf(expected, sizeof expected, "%s%s", path, cases[i].rest);
    assert_string_equal(error, expected);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_are_found_in_any_case_with_or_without_a_dot),
      cmocka_unit_test(thousands_of_names_are_all_found),
      cmocka_unit_test(wrong_answers_are_kept_once_each_and_printed),
      cmocka_unit_test(a_bad_line_is_named_with_file_and_number),
  };
  return cmocka_run_group_tests_name("bench_verify", tests, NULL, NULL);
}
