#include "cmocka_compat.h"

#include <string.h>

#include "base/error.h"

static const int errors[] = {ERR_NOMEM,  ERR_OVERLOAD, ERR_MALFORMED, ERR_TOO_LARGE,
                             ERR_CONFIG, ERR_SYSTEM,   ERR_IN_USE,    ERR_NETWORK};

enum { ERROR_COUNT = sizeof(errors) / sizeof(errors[0]) };

static void every_error_is_negative(void **state) {
  (void)state;
  for (int i = 0; i < ERROR_COUNT; i++)
    assert_true(errors[i] < 0);
}

static void every_error_has_a_text_of_its_own(void **state) {
  (void)state;
  for (int i = 0; i < ERROR_COUNT; i++) {
    assert_string_not_equal(error_text(errors[i]), error_text(-1000));
    for (int j = 0; j < i; j++)
      assert_string_not_equal(error_text(errors[i]), error_text(errors[j]));
  }
}

static void a_number_that_is_no_error_still_has_a_text(void **state) {
  (void)state;
  assert_string_equal(error_text(-1000), "unknown error");
  assert_string_equal(error_text(0), "unknown error");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_error_is_negative),
      cmocka_unit_test(every_error_has_a_text_of_its_own),
      cmocka_unit_test(a_number_that_is_no_error_still_has_a_text),
  };
  return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
