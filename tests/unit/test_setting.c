#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/log.h"
#include "config/setting.h"
#include "redis/link_target.h"

enum { PATH_MAX_OCTETS = 7, WORD_MAX_OCTETS = 5, SERVERS_MAX = 2 };

enum fruit { APPLE, PEAR, QUINCE };

static struct fields {
  char path[PATH_MAX_OCTETS + 1];
  uint32_t mode, number;
  uint64_t size;
  bool choice;
  enum log_level level;
  char word[WORD_MAX_OCTETS + 1];
  enum fruit fruit;
  struct link_target target;
  size_t target_count;
  struct link_target targets[SERVERS_MAX];
  size_t count;
  struct sockaddr_storage servers[SERVERS_MAX];
} fields;

#define AT(field) .offset = offsetof(struct fields, field)

static const struct setting path = {"path", SETTING_PATH, AT(path), .min = 1, .max = PATH_MAX_OCTETS};
static const struct setting mode = {"mode", SETTING_MODE, AT(mode), .max = 0777};
static const struct setting number = {"number", SETTING_NUMBER, AT(number), .min = 2, .max = 9, .unit = " s"};
static const struct setting size = {"size", SETTING_SIZE, AT(size), .min = 1024, .max = INT64_MAX};
static const struct setting choice = {"choice", SETTING_CHOICE, AT(choice), .words = {"no", "yes"}};
static const struct setting level = {"level", SETTING_LEVEL, AT(level)};
static const struct setting servers = {"servers", SETTING_SERVERS, AT(servers),
                                       .count_offset = offsetof(struct fields, count), .max = SERVERS_MAX};

static const struct setting word = {"word", SETTING_WORD, AT(word), .min = 1, .max = WORD_MAX_OCTETS};
static const struct setting fruit = {"fruit", SETTING_ENUM, AT(fruit), .words = {"apple", "pear", "quince"}};
static const struct setting target = {"target", SETTING_TARGET, AT(target)};
static const struct setting targets = {"targets", SETTING_TARGETS, AT(targets),
                                       .count_offset = offsetof(struct fields, target_count),
                                       .max = SERVERS_MAX};

static int reset(void **state) {
  (void)state;
  memset(&fields, 0, sizeof(fields));
  return 0;
}

static void set_good(const struct setting *setting, const char *value) {
  char reason[SETTING_REASON_SIZE];
  if (setting_set(setting, &fields, value, reason) != 0)
    fail_msg("%s: %s", value, reason);
}

static void expect_error(const struct setting *setting, const char *value, const char *expected) {
  char reason[SETTING_REASON_SIZE];
  assert_int_equal(setting_set(setting, &fields, value, reason), ERR_CONFIG);
  assert_string_equal(reason, expected);
}

static void expect_print(const struct setting *setting, const char *expected) {
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  assert_non_null(out);
  setting_print(setting, &fields, out);
  assert_int_equal(fclose(out), 0);
  assert_string_equal(text, expected);
  free(text);
}

static void every_type_is_read_and_printed(void **state) {
  (void)state;
  static const struct {
    const struct setting *setting;
    const char *value, *printed;
  } cases[] = {
      {&path, "/a$\"", "\"/a\\$\\\"\""},
      {&mode, "640", "0640"},
      {&number, "9", "9"},
      {&size, "2048KiB", "2MiB"},
      {&size, "1025", "1025"},
      {&choice, "yes", "yes"},
      {&choice, "no", "no"},
      {&level, "debug", "debug"},
      {&word, "a\"b$", "\"a\\\"b\\$\""},
      {&fruit, "quince", "quince"},
      {&fruit, "apple", "apple"},
      {&target, "unix:/run/r.sock", "\"unix:/run/r.sock\""},
      {&target, "redis.test", "\"redis.test\""},
      {&target, "[2001:db8::1]:6380", "\"[2001:db8::1]:6380\""},
      {&targets, "unix:/r, h.test:1", "{\"unix:/r\", \"h.test:1\"}"},
      {&servers, "", "{}"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    if (*cases[i].value)
      set_good(cases[i].setting, cases[i].value);
    expect_print(cases[i].setting, cases[i].printed);
  }
  assert_int_equal(fields.mode, 0640);
  assert_int_equal(fields.number, 9);
  assert_int_equal(fields.level, LOG_LEVEL_DEBUG);
}

static void a_path_may_be_left_empty_where_that_is_allowed(void **state) {
  (void)state;
  static const struct setting optional = {"optional", SETTING_PATH, AT(path), .min = 0,
                                          .max = PATH_MAX_OCTETS};
  set_good(&optional, "/a");
  set_good(&optional, "");
  expect_print(&optional, "\"\"");
  expect_error(&path, "", "\"\" is not a path: expected 1 to 7 octets without control characters");
}

static void a_wrong_value_is_told_what_was_expected_and_changes_nothing(void **state) {
  (void)state;
  set_good(&number, "5");
  set_good(&path, "/a");
  expect_error(&number, "ten", "\"ten\" is not a number: expected 2 to 9 s");
  expect_error(&number, "10", "\"10\" is out of range: expected 2 to 9 s");
  expect_error(&path, "/1234567",
               "\"/1234567\" is out of range: expected 1 to 7 octets without control characters");
  expect_error(&mode, "8", "\"8\" is not a file mode: expected octal digits, 0 to 0777");
  expect_error(&size, "1", "\"1\" is out of range: expected a number with KiB, MiB or GiB, at least 1KiB");
  expect_error(&choice, "maybe", "\"maybe\" is not a choice: expected yes or no");
  expect_error(&level, "loud", "\"loud\" is not a log level: expected error, warning, notice, info or debug");
  assert_int_equal(fields.number, 5);
  assert_string_equal(fields.path, "/a");
}

static void a_list_grows_to_its_bound_and_is_emptied(void **state) {
  (void)state;
  assert_true(setting_is_list(&servers));
  assert_false(setting_is_list(&path));
  set_good(&servers, "192.0.2.1 , [::1]:54");
  expect_print(&servers, "{\"192.0.2.1:53\", \"[::1]:54\"}");
  expect_error(&servers, "::2",
               "\"::2\" is one too many: expected ADDRESS, IPV4:PORT or [IPV6]:PORT, at most 2");
  setting_clear(&servers, &fields);
  expect_print(&servers, "{}");
}

static void a_word_is_visible_ascii_within_its_bounds(void **state) {
  (void)state;
  static const char *const bad[] = {"a b", "a\tb", "\303\244"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    char reason[SETTING_REASON_SIZE];
    assert_int_equal(setting_set(&word, &fields, bad[i], reason), ERR_CONFIG);
    assert_non_null(strstr(reason, "is not a word: expected 1 to 5 visible ASCII characters"));
  }
  set_good(&word, "abcde");
  expect_error(&word, "abcdef", "\"abcdef\" is out of range: expected 1 to 5 visible ASCII characters");
  expect_error(&word, "", "\"\" is out of range: expected 1 to 5 visible ASCII characters");
  assert_string_equal(fields.word, "abcde");
}

static void a_choice_of_several_words_names_them(void **state) {
  (void)state;
  set_good(&fruit, "pear");
  assert_int_equal(fields.fruit, PEAR);
  expect_error(&fruit, "plum", "\"plum\" is not a choice: expected apple, pear or quince");
  expect_error(&fruit, "", "\"\" is not a choice: expected apple, pear or quince");
  assert_int_equal(fields.fruit, PEAR);
}

static void a_single_target_can_be_taken_back(void **state) {
  (void)state;
  set_good(&target, "h.test:7");
  assert_int_equal(fields.target.port, 7);
  expect_error(&target, "h.test:0", "\"h.test:0\" is not a server: expected unix:/PATH, HOST:PORT or HOST");
  assert_int_equal(fields.target.port, 7);
  set_good(&target, "");
  assert_false(link_target_is_set(&fields.target));
  expect_print(&target, "\"\"");
}

static void targets_are_a_list(void **state) {
  (void)state;
  set_good(&targets, "unix:/a,::1");
  assert_int_equal(fields.target_count, 2);
  assert_string_equal(fields.targets[0].path, "/a");
  assert_string_equal(fields.targets[1].host, "::1");
  expect_error(&targets, "b.test",
               "\"b.test\" is one too many: expected unix:/PATH, HOST:PORT or HOST, at most 2");
  expect_error(&targets, "unix:a",
               "\"unix:a\" is not a server: expected unix:/PATH, HOST:PORT or HOST, at most 2");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(every_type_is_read_and_printed, reset),
      cmocka_unit_test_setup(a_path_may_be_left_empty_where_that_is_allowed, reset),
      cmocka_unit_test_setup(a_wrong_value_is_told_what_was_expected_and_changes_nothing, reset),
      cmocka_unit_test_setup(a_word_is_visible_ascii_within_its_bounds, reset),
      cmocka_unit_test_setup(a_choice_of_several_words_names_them, reset),
      cmocka_unit_test_setup(a_single_target_can_be_taken_back, reset),
      cmocka_unit_test_setup(targets_are_a_list, reset),
      cmocka_unit_test_setup(a_list_grows_to_its_bound_and_is_emptied, reset),
  };
  return cmocka_run_group_tests_name("setting", tests, NULL, NULL);
}
