#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "link_tls.h"

static void without_hiredis_ssl_a_tunnel_is_advised(void **state) {
  (void)state;
  const struct link_tls_options options = {.ca = "", .cert = NULL};
  struct link_tls *tls = NULL;
  char error[LINK_TLS_ERROR_SIZE] = "";
  if (link_tls_is_built()) {
    assert_int_equal(link_tls_create(&options, &tls, error), 0);
    link_tls_destroy(tls);
    return;
  }
  assert_int_equal(link_tls_create(&options, &tls, error), ERR_CONFIG);
  assert_non_null(strstr(error, "hiredis_ssl"));
  assert_non_null(strstr(error, "TLS tunnel"));
  assert_true(strlen(error) < LINK_TLS_ERROR_SIZE - 1); /* it is whole */
  assert_null(tls);
}

static void files_that_are_no_use_are_named(void **state) {
  (void)state;
  static const struct link_tls_options cases[] = {{.ca = "/nonexistent/ca"},
                                                  {.ca = "/dev/null"},
                                                  {.cert = "/nonexistent/cert", .key = "/nonexistent/key"}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) && link_tls_is_built(); i++) {
    struct link_tls *tls = NULL;
    char error[LINK_TLS_ERROR_SIZE] = "";
    assert_int_equal(link_tls_create(&cases[i], &tls, error), ERR_CONFIG);
    assert_non_null(strstr(error, cases[i].ca ? cases[i].ca : cases[i].cert));
    assert_null(tls);
  }
}

static void nothing_can_be_destroyed(void **state) {
  (void)state;
  link_tls_destroy(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_hiredis_ssl_a_tunnel_is_advised),
      cmocka_unit_test(files_that_are_no_use_are_named),
      cmocka_unit_test(nothing_can_be_destroyed),
  };
  return cmocka_run_group_tests_name("link_tls", tests, NULL, NULL);
}
