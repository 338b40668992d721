#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "malloc_watch.h"
#include "rules/override.h"

static struct override *parse_good(const char *pattern, const char *value) {
  struct override *override = NULL;
  char reason[OVERRIDE_REASON_SIZE];
  if (override_parse(pattern, value, &override, reason) != 0)
    fail_msg("%s = %s: %s", pattern, value, reason);
  return override;
}

static void expect_error(const char *pattern, const char *value, const char *expected) {
  struct override *override = NULL;
  char reason[OVERRIDE_REASON_SIZE];
  assert_int_equal(override_parse(pattern, value, &override, reason), ERR_CONFIG);
  assert_null(override);
  assert_string_equal(reason, expected);
}

static char *printed(const struct override *override) {
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  assert_non_null(out);
  override_print(override, out);
  assert_int_equal(fclose(out), 0);
  return text;
}

/* What is read is printed as `expected`, which says the same when read again. */
static void expect_print(const char *pattern, const char *value, const char *expected) {
  struct override *override = parse_good(pattern, value);
  char *text = printed(override), line[256];
  snprintf(line, sizeof(line), "route %s\n", expected);
  assert_string_equal(text, line);
  free(text);
  free(override);
}

static void expect_exchange(const struct override *override, unsigned at, unsigned preference,
                            const char *host, unsigned port) {
  assert_true(at < override->count);
  assert_int_equal(override->exchanges[at].preference, preference);
  assert_string_equal(override->exchanges[at].host, host);
  assert_int_equal(override->exchanges[at].port, port);
}

/* ---- what is read ---- */

static void a_route_has_exchanges_by_preference(void **state) {
  (void)state;
  struct override *override = parse_good("example.com", "mx2.example.net 20, mx1.example.net 10");
  assert_string_equal(override->name, "example.com");
  assert_int_equal(override->length, 11);
  assert_false(override->is_suffix || override->rejects);
  assert_true(override->expires_at_s == INT64_MAX);
  assert_int_equal(override->count, 2);
  expect_exchange(override, 0, 10, "mx1.example.net", 0);
  expect_exchange(override, 1, 20, "mx2.example.net", 0);
  free(override);
}

static void names_are_canonical(void **state) {
  (void)state;
  struct override *override = parse_good(" *.B\u00dcCHER.Example. ", "\tMX.B\u00fccher.example.\t7 ,b. 7");
  assert_true(override->is_suffix);
  assert_string_equal(override->name, "xn--bcher-kva.example");
  expect_exchange(override, 0, 7, "b", 0);
  expect_exchange(override, 1, 7, "mx.xn--bcher-kva.example", 0);
  free(override);
}

static void a_preference_is_optional_and_unsigned(void **state) {
  (void)state;
  struct override *override = parse_good("d.test", "a.test, b.test 0, c.test 65535");
  expect_exchange(override, 0, 0, "b.test", 0);
  expect_exchange(override, 1, 10, "a.test", 0);
  expect_exchange(override, 2, 65535, "c.test", 0);
  free(override);
}

static void an_exchange_has_a_port_that_is_not_that_of_smtp(void **state) {
  (void)state;
  struct override *override = parse_good(
      "d.test",
      "a.test:2525 1, a.test:25 2, [192.0.2.1]:65535 3, [IPv6:2001:DB8::1]:1 4, [ipv6:::1] 5, [192.0.2.2] 6");
  expect_exchange(override, 0, 1, "a.test", 2525);
  expect_exchange(override, 1, 2, "a.test", 0);
  expect_exchange(override, 2, 3, "192.0.2.1", 65535);
  expect_exchange(override, 3, 4, "2001:db8::1", 1);
  expect_exchange(override, 4, 5, "::1", 0);
  expect_exchange(override, 5, 6, "192.0.2.2", 0);
  free(override);
}

static void a_route_may_reject_with_a_text(void **state) {
  (void)state;
  struct override *override = parse_good("*.d.test", "reject");
  assert_true(override->rejects);
  assert_int_equal(override->count, 0);
  assert_string_equal(override->detail, "");
  free(override);
  override = parse_good("d.test", " reject  \"gone\", $1, expires , 5.7.1 a:b, expires 2026-12-31 ");
  assert_string_equal(override->detail, "\"gone\", $1, expires , 5.7.1 a:b");
  assert_true(override->expires_at_s == 1798675200);
  free(override);
  override = parse_good("d.test", "reject.test, rejects");
  assert_false(override->rejects);
  assert_int_equal(override->count, 2);
  free(override);
}

static void a_date_is_a_day_or_a_second_of_utc(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t unix_s;
  } cases[] = {
      {"1970-01-01", 0},
      {"1970-01-01T00:00:01Z", 1},
      {"2024-02-29", 1709164800},
      {"2026-12-31T23:59:59Z", 1798761599},
      {"2038-01-19T03:14:08Z", 2147483648},
      {"9999-12-31", 253402214400},
  };
  setenv("TZ", "America/New_York", 1);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char value[64];
    snprintf(value, sizeof(value), "a.test,expires\t%s", cases[i].text);
    struct override *override = parse_good("d.test", value);
    assert_true(override->expires_at_s == cases[i].unix_s);
    assert_int_equal(override->count, 1);
    free(override);
  }
  unsetenv("TZ");
}

static void a_route_has_at_most_32_exchanges(void **state) {
  (void)state;
  char value[1024] = "";
  for (int i = 0; i < 33; i++) {
    size_t length = strlen(value);
    snprintf(value + length, sizeof(value) - length, "%sh%02d.test", i ? "," : "", i);
    if (i == 32)
      break;
    struct override *override = parse_good("d.test", value);
    assert_int_equal(override->count, i + 1);
    free(override);
  }
  expect_error("d.test", value, "\"h32.test\": one exchange too many: expected at most 32");
  snprintf(strrchr(value, ','), 64, ", expires 2026-12-31");
  struct override *override = parse_good("d.test", value);
  assert_int_equal(override->count, 32);
  free(override);
}

/* ---- what is refused ---- */

static void a_pattern_is_a_domain_or_what_is_below_it(void **state) {
  (void)state;
  static const char address[] = "an address has no route; expected DOMAIN or *.DOMAIN";
  static const char star[] = "a * is for the first label alone; expected DOMAIN or *.DOMAIN";
  static const struct {
    const char *pattern, *reason;
  } cases[] = {
      {"", "the name is empty"},
      {"*.", "the name is empty"},
      {".", "the name is empty"},
      {"a..test", "a label is empty"},
      {"a b", "the name contains a space, a control character, '@' or a backslash"},
      {"user@d.test", "the name contains a space, a control character, '@' or a backslash"},
      {"192.0.2.1", address},
      {"[192.0.2.1]", address},
      {"2001:db8::1", address},
      {"[192.0.2.1", "the address literal is malformed"},
      {"*", star},
      {"*.*.test", star},
      {"a.*.test", star},
      {"*a.test", star},
      {"*.test.*", star},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char expected[256];
    snprintf(expected, sizeof(expected), "\"%s\": %s", cases[i].pattern, cases[i].reason);
    expect_error(cases[i].pattern, "a.test", expected);
  }
}

static void an_exchange_that_is_none_is_named(void **state) {
  (void)state;
  static const struct {
    const char *value, *reason;
  } cases[] = {
      {"", "\"\": expected EXCHANGE[:PORT] [PREFERENCE]"},
      {"a.test,", "\"\": expected EXCHANGE[:PORT] [PREFERENCE]"},
      {",a.test", "\"\": expected EXCHANGE[:PORT] [PREFERENCE]"},
      {"a.test 1 2", "\"1 2\": expected a preference, 0 to 65535"},
      {"a.test -1", "\"-1\": expected a preference, 0 to 65535"},
      {"a.test 65536", "\"65536\": expected a preference, 0 to 65535"},
      {"a.test 99999999999999999999", "\"99999999999999999999\": expected a preference, 0 to 65535"},
      {"a.test 10; b.test", "\"10; b.test\": expected a preference, 0 to 65535"},
      {"a.test:0", "\"a.test:0\": expected a port, 1 to 65535, behind the colon"},
      {"a.test:65536", "\"a.test:65536\": expected a port, 1 to 65535, behind the colon"},
      {"a.test: 25", "\"a.test: 25\": expected a port, 1 to 65535, behind the colon"},
      {"a.test:smtp", "\"a.test:smtp\": expected a port, 1 to 65535, behind the colon"},
      {"a.test:25:25", "\"a.test:25:25\": expected a port, 1 to 65535, behind the colon"},
      {"[192.0.2.1]:", "\"[192.0.2.1]:\": expected a port, 1 to 65535, behind the colon"},
      {":25", "\"\": the name is empty"},
      {".", "\".\": the name is empty"},
      {"a_@test", "\"a_@test\": the name contains a space, a control character, '@' or a backslash"},
      {"192.0.2.1", "\"192.0.2.1\": an IP address must be written in brackets"},
      {"[192.0.2.1]x", "\"[192.0.2.1]x\": the address literal is malformed"},
      {"[2001:db8::1]", "\"[2001:db8::1]\": the address literal is malformed"},
      {"[IPv6:2001:db8::1", "\"[IPv6:2001:db8::1\": the address literal is malformed"},
      {"a.test, 10", "\"10\": a host name does not end in a number"},
      {"192.0.2.300", "\"192.0.2.300\": a host name does not end in a number"},
      {"a.test 1, A.test. 2", "\"A.test. 2\": this exchange stands twice"},
      {"a.test, a.test:25", "\"a.test:25\": this exchange stands twice"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect_error("d.test", cases[i].value, cases[i].reason);
}

static void what_is_no_date_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "tomorrow",
                                    "2026-13-01",
                                    "2026-00-01",
                                    "2026-02-29",
                                    "2026-04-31",
                                    "2026-1-1",
                                    "26-01-01",
                                    "1969-12-31",
                                    "2026-12-31T24:00:00Z",
                                    "2026-12-31T23:60:00Z",
                                    "2026-12-31T23:59:60Z",
                                    "2026-12-30T12:30:60Z",
                                    "2026-12-31T23:59:59",
                                    "2026-12-31t23:59:59z",
                                    "2026-12-31 23:59:59Z",
                                    "2026-12-31T23:59:59+01:00",
                                    "2026-12-31x"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    char value[128], expected[256];
    snprintf(expected, sizeof(expected),
             "\"%s\": expected a date as 2026-12-31 or 2026-12-31T23:59:59Z, in UTC", bad[i]);
    snprintf(value, sizeof(value), "a.test, expires %s", bad[i]);
    expect_error("d.test", value, expected);
    snprintf(value, sizeof(value), "reject x, expires %s", bad[i]);
    expect_error("d.test", value, expected);
  }
}

static void a_text_is_short_and_printable(void **state) {
  (void)state;
  char value[256];
  snprintf(value, sizeof(value), "reject %0200d", 0);
  struct override *override = parse_good("d.test", value);
  assert_int_equal(strlen(override->detail), 200);
  free(override);
  snprintf(value, sizeof(value), "reject %0201d", 0);
  struct override *none;
  char reason[OVERRIDE_REASON_SIZE];
  assert_int_equal(override_parse("d.test", value, &none, reason), ERR_CONFIG);
  assert_non_null(strstr(reason, "expected at most 200 printable ASCII characters"));
  assert_int_equal(override_parse("d.test", "reject \u00fc", &none, reason), ERR_CONFIG);
  assert_int_equal(override_parse("d.test", "reject a\nb", &none, reason), ERR_CONFIG);
}

static void any_text_is_read_or_refused(void **state) {
  (void)state;
  static const char letters[] = "a.-,,: []0123 reject expiresIPv6T*\t\xc3\xbc";
  unsigned seed = 7;
  for (int round = 0; round < 20000; round++) {
    char pattern[24], value[48], reason[OVERRIDE_REASON_SIZE] = "";
    struct override *override;
    for (size_t i = 0; i < sizeof(pattern) + sizeof(value); i++) {
      seed = seed * 1103515245 + 12345;
      char letter = letters[seed / 65536 % (sizeof(letters) - 1)];
      *(i < sizeof(pattern) ? &pattern[i] : &value[i - sizeof(pattern)]) = letter;
    }
    pattern[round % (int)sizeof(pattern)] = value[round % (int)sizeof(value)] = '\0';
    if (override_parse(round % 3 ? "d.test" : pattern, value, &override, reason) == 0)
      free(override);
    else
      assert_true(strlen(reason) > 0);
  }
}

static void without_memory_there_is_no_route(void **state) {
  (void)state;
  struct override *override = NULL;
  char reason[OVERRIDE_REASON_SIZE];
  if (!malloc_is_watched())
    skip();
  malloc_allow(0);
  int error = override_parse("d.test", "a.test", &override, reason);
  malloc_allow(LONG_MAX);
  assert_int_equal(error, ERR_NOMEM);
  assert_null(override);
}

/* ---- what is printed ---- */

static void a_route_is_printed_as_it_can_be_read(void **state) {
  (void)state;
  static const struct {
    const char *pattern, *value, *printed;
  } cases[] = {
      {"D.test", "b.test:2525,a.test", "\"d.test\" = \"a.test 10, b.test:2525 10\""},
      {"*.d.test", "[192.0.2.1]:26 1,[IPv6:::1] 2", "\"*.d.test\" = \"[192.0.2.1]:26 1, [IPv6:::1] 2\""},
      {"d.test", "a.test, expires 2026-12-31", "\"d.test\" = \"a.test 10, expires 2026-12-31\""},
      {"d.test", "a.test, expires 2026-12-31T00:00:00Z", "\"d.test\" = \"a.test 10, expires 2026-12-31\""},
      {"d.test", "reject, expires 2026-12-31T00:00:01Z",
       "\"d.test\" = \"reject, expires 2026-12-31T00:00:01Z\""},
      {"d.test", "reject", "\"d.test\" = \"reject\""},
      {"$d.test", "reject a \"b\" ${c} \\", "\"\\$d.test\" = \"reject a \\\"b\\\" \\${c} \\\\\""},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect_print(cases[i].pattern, cases[i].value, cases[i].printed);
}

/* ---- lists ---- */

static void put(struct override_list *list, const char *pattern, const char *value) {
  assert_int_equal(override_list_put(list, parse_good(pattern, value)), 0);
}

static bool has(const struct override_list *list, const char *pattern) {
  struct override *override = parse_good(pattern, "reject");
  bool is_there = override_list_has(list, override);
  free(override);
  return is_there;
}

static void a_list_has_each_pattern_once(void **state) {
  (void)state;
  static const char *const patterns[] = {"b.test", "a.test", "*.a.test", "c.test", "*.test"};
  struct override_list list = {0};
  for (size_t i = 0; i < 5; i++) {
    assert_false(has(&list, patterns[i]));
    put(&list, patterns[i], "x.test");
    assert_true(has(&list, patterns[i]));
  }
  assert_false(has(&list, "test"));
  assert_false(has(&list, "*.b.test"));
  put(&list, "A.test.", "y.test");
  assert_int_equal(list.count, 5);
  static const char *const sorted[] = {"a.test", "*.a.test", "b.test", "c.test", "*.test"};
  for (size_t i = 0; i < 5; i++) {
    char text[OVERRIDE_PATTERN_SIZE];
    assert_string_equal(override_pattern(list.items[i], text), sorted[i]);
    assert_string_equal(list.items[i]->exchanges[0].host, i == 0 ? "y.test" : "x.test");
  }
  override_list_fini(&list);
  assert_int_equal(list.count, 0);
}

static void a_list_moves_over_another(void **state) {
  (void)state;
  struct override_list list = {0}, from = {0};
  put(&list, "a.test", "x.test");
  put(&list, "b.test", "x.test");
  put(&from, "b.test", "y.test");
  put(&from, "c.test", "y.test");
  assert_int_equal(override_list_move(&list, &from), 0);
  assert_int_equal(from.count, 0);
  assert_int_equal(list.count, 3);
  assert_string_equal(list.items[0]->exchanges[0].host, "x.test");
  assert_string_equal(list.items[1]->exchanges[0].host, "y.test");
  override_list_fini(&list);
}

static void a_list_takes_ten_thousand(void **state) {
  (void)state;
  struct override_list list = {0}, from = {0};
  char name[32];
  for (int i = 0; i < OVERRIDES_MAX; i++) {
    snprintf(name, sizeof(name), "d%d.test", i * 7919 % OVERRIDES_MAX);
    put(&list, name, "reject");
  }
  assert_int_equal(list.count, OVERRIDES_MAX);
  struct override *override = parse_good("one-more.test", "reject");
  assert_int_equal(override_list_put(&list, override), ERR_TOO_LARGE);
  put(&from, "one-more.test", "reject");
  assert_int_equal(override_list_move(&list, &from), ERR_TOO_LARGE);
  assert_int_equal(from.count, 1);
  put(&list, "d0.test", "a.test");
  free(override);
  override_list_fini(&from);
  override_list_fini(&list);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_route_has_exchanges_by_preference),
      cmocka_unit_test(names_are_canonical),
      cmocka_unit_test(a_preference_is_optional_and_unsigned),
      cmocka_unit_test(an_exchange_has_a_port_that_is_not_that_of_smtp),
      cmocka_unit_test(a_route_may_reject_with_a_text),
      cmocka_unit_test(a_date_is_a_day_or_a_second_of_utc),
      cmocka_unit_test(a_route_has_at_most_32_exchanges),
      cmocka_unit_test(a_pattern_is_a_domain_or_what_is_below_it),
      cmocka_unit_test(an_exchange_that_is_none_is_named),
      cmocka_unit_test(what_is_no_date_is_refused),
      cmocka_unit_test(a_text_is_short_and_printable),
      cmocka_unit_test(any_text_is_read_or_refused),
      cmocka_unit_test(without_memory_there_is_no_route),
      cmocka_unit_test(a_route_is_printed_as_it_can_be_read),
      cmocka_unit_test(a_list_has_each_pattern_once),
      cmocka_unit_test(a_list_moves_over_another),
      cmocka_unit_test(a_list_takes_ten_thousand),
  };
  return cmocka_run_group_tests_name("override", tests, NULL, NULL);
}
