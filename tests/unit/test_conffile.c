#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conffile.h"
#include "base/error.h"

enum { ERROR_SIZE = 512, VALUES_SIZE = 256 };

static char path[] = "/tmp/mxway-test-conffile-XXXXXX";

static const struct conffile_option options[] = {{"word", false, false},
                                                 {"other", false, false},
                                                 {"list", true, false},
                                                 {"pair", false, true},
                                                 {"second", false, true}};

/* What the last file set: the values of `list` joined by "|". */
static struct values {
  char word[VALUES_SIZE];
  char other[VALUES_SIZE];
  char list[VALUES_SIZE];
  char pairs[VALUES_SIZE]; /* "name key=value;" of all keyed options */
} values;

static char *value_of(const char *name) {
  if (strcmp(name, "word") == 0)
    return values.word;
  return strcmp(name, "other") == 0 ? values.other : values.list;
}

static int set(void *context, const char *name, size_t position, const char *value,
               char reason[CONFFILE_REASON_SIZE]) {
  assert_ptr_equal(context, &values);
  char *all = value_of(name);
  if (value && strcmp(value, "bad") == 0) {
    snprintf(reason, CONFFILE_REASON_SIZE, "value %zu is bad", position);
    return ERR_CONFIG;
  }
  size_t length = position > 0 ? strlen(all) : 0;
  snprintf(all + length, VALUES_SIZE - length, "%s%s", position > 0 ? "|" : "", value ? value : "(none)");
  return 0;
}

static int set_keyed(void *context, const char *name, const char *key, const char *value,
                     char reason[CONFFILE_REASON_SIZE]) {
  assert_ptr_equal(context, &values);
  if (strcmp(value, "bad") == 0) {
    snprintf(reason, CONFFILE_REASON_SIZE, "the value of %.100s is bad", key);
    return ERR_CONFIG;
  }
  size_t length = strlen(values.pairs);
  snprintf(values.pairs + length, VALUES_SIZE - length, "%s %s=%s;", name, key, value);
  return 0;
}

static void explain_unknown(const char *name, char reason[CONFFILE_REASON_SIZE]) {
  snprintf(reason, CONFFILE_REASON_SIZE, "what is %.100s?", name);
}

static int parse_path(const char *file, char error[ERROR_SIZE]) {
  const struct conffile_handlers handlers = {set, set_keyed, explain_unknown, &values};
  memset(&values, 0, sizeof(values));
  return conffile_parse(file, options, sizeof(options) / sizeof(options[0]), &handlers, error, ERROR_SIZE);
}

static int parse_octets(const char *text, size_t length, char error[ERROR_SIZE]) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, length, file), length);
  assert_int_equal(fclose(file), 0);
  return parse_path(path, error);
}

static void parse_good(const char *text) {
  char error[ERROR_SIZE];
  if (parse_octets(text, strlen(text), error) != 0)
    fail_msg("%s", error);
}

/* `message` is what follows the path. */
static void expect_error(const char *text, const char *message) {
  char error[ERROR_SIZE], expected[ERROR_SIZE];
  assert_int_equal(parse_octets(text, strlen(text), error), ERR_CONFIG);
  snprintf(expected, sizeof(expected), "%s%s", path, message);
  assert_string_equal(error, expected);
}

static int make_file(void **state) {
  (void)state;
  int file = mkstemp(path);
  return file < 0 ? -1 : close(file);
}

static int remove_file(void **state) {
  (void)state;
  return unlink(path);
}

static void values_are_handed_over_in_order(void **state) {
  (void)state;
  parse_good("word = a\nlist = {1, 2,\n \"3, 4\"}\nother='b c'");
  assert_string_equal(values.word, "a");
  assert_string_equal(values.other, "b c");
  assert_string_equal(values.list, "1|2|3, 4");
}

static void a_later_setting_begins_an_option_anew(void **state) {
  (void)state;
  parse_good("word = a\nlist = {1, 2}\nword = b\nlist = {3}\n");
  assert_string_equal(values.word, "b");
  assert_string_equal(values.list, "3");
}

static void a_list_can_be_extended_or_be_one_value_or_none(void **state) {
  (void)state;
  parse_good("list = {1}\nlist += {2, 3}\n");
  assert_string_equal(values.list, "1|2|3");
  parse_good("list = 1\n");
  assert_string_equal(values.list, "1");
  parse_good("list = {1}\nlist = {}\n");
  assert_string_equal(values.list, "(none)");
}

static void an_option_that_is_not_set_is_not_handed_over(void **state) {
  (void)state;
  parse_good("# nothing\n");
  assert_string_equal(values.word, "");
  assert_string_equal(values.list, "");
}

static void a_keyed_option_is_handed_over_pair_by_pair(void **state) {
  (void)state;
  parse_good(
      "pair \"a b\" = \"1, 2\"\nword = w\npair 'c' = d\nsecond c = e\npair a=b pair\"f\"=\"g\"\nlist = {1, "
      "2}\n");
  assert_string_equal(values.pairs, "pair a b=1, 2;pair c=d;second c=e;pair a=b;pair f=g;");
  assert_string_equal(values.word, "w");
  assert_string_equal(values.list, "1|2");
}

static void a_keyed_option_may_be_spread_over_lines_and_comments(void **state) {
  (void)state;
  parse_good("pair # one\n /* two */ a // three\n=\n# = \"x\"\n\"b\"\nword = w\n");
  assert_string_equal(values.pairs, "pair a=b;");
  assert_string_equal(values.word, "w");
  expect_error("pair # one\n /* two\n */ a // three\n=\n# = \"x\"\n\"b\"\nword = bad\n",
               ":7: word: value 0 is bad");
  expect_error("pair a =\n\nbad word = w\n", ":3: pair: the value of a is bad");
}

static void the_key_and_the_value_of_a_pair_are_strings_like_any(void **state) {
  (void)state;
  setenv("MXWAY_TEST_DIR", "/srv", 1);
  parse_good("pair \"${MXWAY_TEST_DIR} \\\"k\\\" #\" = '${x} {,} # \"'\n");
  assert_string_equal(values.pairs, "pair /srv \"k\" #=${x} {,} # \";");
}

static void the_name_of_a_keyed_option_is_a_value_behind_an_equals_sign(void **state) {
  (void)state;
  parse_good("word = pair\nlist = {pair, pair}\nother = \"pair\"\npair pair = pair\n");
  assert_string_equal(values.word, "pair");
  assert_string_equal(values.list, "pair|pair");
  assert_string_equal(values.pairs, "pair pair=pair;");
}

static void a_keyed_option_without_key_or_value_is_refused_with_its_line(void **state) {
  (void)state;
  static const char *const wrong[] = {
      "word = a\npair = b\n",    "word = a\npair += {a, b}\n",
      "word = a\npair a b\n",    "word = a\npair a\n",
      "word = a\npair a = \n",   "word = a\npair a = {b}\n",
      "word = a\npair a == b\n", "word = a\npair",
      "word = a\npair a += b\n",
  };
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    expect_error(wrong[i], ":2: expected NAME \"KEY\" = \"VALUE\"");
  expect_error("\n\npair \"a = b\n", ":3: a string is not closed");
  expect_error("\npair a = 'b\n", ":2: a string is not closed");
  expect_error("\npair /* a = b\n", ":2: a comment is not closed");
  expect_error("\npair a /* = b\n", ":2: a comment is not closed");
  expect_error("word = a\npairs a = b\n", ":2: what is pairs?");
}

static void ten_thousand_pairs_are_read(void **state) {
  (void)state;
  enum { COUNT = 10000, EACH = 9 };
  char error[ERROR_SIZE], *text = malloc(COUNT * EACH + 1);
  assert_non_null(text);
  for (int i = 0; i < COUNT; i++)
    memcpy(text + i * EACH, "pair a=b\n", EACH + 1);
  if (parse_octets(text, COUNT * EACH, error) != 0)
    fail_msg("%s", error);
  assert_int_equal(strlen(values.pairs), VALUES_SIZE - 1);
  memcpy(text + (COUNT - 1) * EACH, "pair a=\n\n", EACH);
  assert_int_equal(parse_octets(text, COUNT * EACH, error), ERR_CONFIG);
  assert_non_null(strstr(error, ":10000: expected"));
  free(text);
}

static void a_refused_value_is_reported_with_its_line(void **state) {
  (void)state;
  expect_error("word = bad", ":1: word: value 0 is bad");
  expect_error("\n\nword = a\nother = bad\n", ":4: other: value 0 is bad");
  expect_error("word =\n\nbad\nother = a\n", ":3: word: value 0 is bad");
  expect_error("list = {1,\n2,\nbad,\n3}\n", ":3: list: value 2 is bad");
  expect_error("word = a other = bad\n", ":1: other: value 0 is bad");
  expect_error("word = \"a\nb\nc\"\nother = bad", ":4: other: value 0 is bad");
}

static void comments_do_not_move_the_line_of_an_error(void **state) {
  (void)state;
  static const char message[] = ":6: word: value 0 is bad";
  expect_error("# a\n#\n## b\n#c # d\n# \"e\nword = bad\n", message);
  expect_error("// a\n//\n/// b\n//c // d\n// 'e\nword = bad # f\n", message);
  expect_error("/* a */\n/* b\n * c\n ** # \" ' //\n **/\nword = bad /* d */\n", message);
  expect_error("word = 1 # a\nword = /* b */ 2\n\nother = \"/#//*\" # c\n\nword = bad\n", message);
  expect_error("list = {1, # a\n2 /* b\n*/, 3 // c\n}\n\nword = bad\n", message);
}

static void a_comment_sign_inside_a_string_or_word_is_no_comment(void **state) {
  (void)state;
  parse_good("word = \"/a#b//c/*d\"\nother = '/a#b//c/*d'\n");
  assert_string_equal(values.word, "/a#b//c/*d");
  assert_string_equal(values.other, "/a#b//c/*d");
  parse_good("word = /a//b\nother = \"/a\\\"#b\" # c\n");
  assert_string_equal(values.word, "/a//b");
  assert_string_equal(values.other, "/a\"#b");
}

static void a_name_that_is_no_option_is_explained(void **state) {
  (void)state;
  expect_error("\n# x\nwords = a\n", ":3: what is words?");
}

static void broken_syntax_is_refused_with_its_line(void **state) {
  (void)state;
  expect_error("word\n", ":2: premature end of file");
  expect_error("word = \n", ":2: premature end of file");
  expect_error("word 5\n", ":1: missing equal sign after option 'word'");
  expect_error("= 5\n", ":1: unexpected token '='");
  expect_error("\nword = = 5\n", ":2: unexpected token '='");
  expect_error("\n}\n", ":2: unexpected closing brace");
  expect_error("word += 5\n", ":1: attempt to append to non-list option 'word'");
  expect_error("word = {5}\n", ":1: unexpected token '{'");
  expect_error("list = {1\n", ":2: premature end of file");
  expect_error("list = {1 2}\n", ":1: unexpected token '2'");
}

static void what_is_not_closed_is_refused_where_it_begins(void **state) {
  (void)state;
  expect_error("\nword = \"/a\nother = 1\n", ":2: a string is not closed");
  expect_error("\nword = '/a\nother = 1\n", ":2: a string is not closed");
  expect_error("word = \"/a\\\"", ":1: a string is not closed");
  expect_error("word = \"/a\\", ":1: a string is not closed");
  expect_error("word = 1\n/* \n\nother = 2\n", ":2: a comment is not closed");
  expect_error("/*/\n", ":1: a comment is not closed");
  expect_error("word = \"${HOME\"\nlist = {1}\n", ":1: a ${ is not closed");
  expect_error("word = ${HOME}\n", ":1: a ${ outside of double quotes");
  expect_error("word = \"\\999\"\n", ":1: a string has an escape by number");
  expect_error("word = \"\\x00\"\n", ":1: a string has an escape by number");
}

/* libconfuse's scanner is global: what a broken file leaves in it must not reach the next. */
static void after_any_broken_file_a_good_one_is_read(void **state) {
  (void)state;
  static const char *const broken[] = {
      "word = \"/a", "word = '/a",       "/* a",       "word = \"\\999\"", "word = \"\\777\"",
      "list = {",    "word = \"${a\" }", "word = bad", "nothing = \"a\"",  "${ \"} \"",
      "word = \"\\", "word = \"${\"",    "}",          "list = {\"a",      "'",
  };
  for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
    char error[ERROR_SIZE];
    assert_int_equal(parse_octets(broken[i], strlen(broken[i]), error), ERR_CONFIG);
    parse_good("word = \"/good\"\nother = 5\n");
    assert_string_equal(values.word, "/good");
    assert_string_equal(values.other, "5");
  }
}

static void the_environment_is_read_in_double_quotes(void **state) {
  (void)state;
  setenv("MXWAY_TEST_DIR", "/srv/x", 1);
  unsetenv("MXWAY_TEST_NONE");
  parse_good("word = \"${MXWAY_TEST_DIR}/a.sock\"\nother = \"${MXWAY_TEST_NONE:-/run}/a.sock\"\n");
  assert_string_equal(values.word, "/srv/x/a.sock");
  assert_string_equal(values.other, "/run/a.sock");
  parse_good("word = '${MXWAY_TEST_DIR}'\nother = \"\\${MXWAY_TEST_DIR}\"\n");
  assert_string_equal(values.word, "${MXWAY_TEST_DIR}");
  assert_string_equal(values.other, "${MXWAY_TEST_DIR}");
}

static void a_file_that_cannot_be_read_is_named_with_the_reason(void **state) {
  (void)state;
  char error[ERROR_SIZE];
  assert_int_equal(parse_path("/nonexistent/mxwayd.conf", error), ERR_CONFIG);
  assert_string_equal(error, "/nonexistent/mxwayd.conf: No such file or directory");
  assert_int_equal(parse_path("/", error), ERR_CONFIG);
  assert_string_equal(error, "/: Is a directory");
  assert_int_equal(parse_path("/dev/zero", error), ERR_CONFIG);
  assert_string_equal(error, "/dev/zero: longer than 1048576 octets");
}

static void a_binary_file_is_refused(void **state) {
  (void)state;
  char error[ERROR_SIZE], expected[ERROR_SIZE];
  assert_int_equal(parse_octets("word = 1\n\0\n", 11, error), ERR_CONFIG);
  snprintf(expected, sizeof(expected), "%s:2: a control character: this is not text", path);
  assert_string_equal(error, expected);
}

static void garbage_of_any_kind_is_an_error_or_read_but_never_a_crash(void **state) {
  (void)state;
  static const char letters[] = "{}()=+,\"'\\$#/* \n\tword=5list::1xpair a=b pair";
  unsigned seed = 1;
  for (int round = 0; round < 3000; round++) {
    char text[64], error[ERROR_SIZE];
    size_t length = (size_t)round % sizeof(text);
    for (size_t i = 0; i < length; i++) {
      seed = seed * 1103515245 + 12345;
      text[i] = letters[seed / 65536 % (sizeof(letters) - 1)];
    }
    int status = parse_octets(text, length, error);
    assert_true(status == 0 || (status == ERR_CONFIG && strncmp(error, path, strlen(path)) == 0));
    parse_good("word = \"/good\"\n");
    assert_string_equal(values.word, "/good");
  }
}

static void a_word_of_a_megabyte_is_survived(void **state) {
  (void)state;
  enum { LENGTH = 1 << 20 };
  char error[ERROR_SIZE];
  char *text = malloc(LENGTH);
  assert_non_null(text);
  memset(text, 'x', LENGTH);
  assert_int_equal(parse_octets(text, LENGTH, error), ERR_CONFIG);
  memcpy(text, "word = ", 7);
  assert_int_equal(parse_octets(text, LENGTH, error), 0);
  assert_int_equal(strlen(values.word), VALUES_SIZE - 1);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_are_handed_over_in_order),
      cmocka_unit_test(a_later_setting_begins_an_option_anew),
      cmocka_unit_test(a_list_can_be_extended_or_be_one_value_or_none),
      cmocka_unit_test(an_option_that_is_not_set_is_not_handed_over),
      cmocka_unit_test(a_keyed_option_is_handed_over_pair_by_pair),
      cmocka_unit_test(a_keyed_option_may_be_spread_over_lines_and_comments),
      cmocka_unit_test(the_key_and_the_value_of_a_pair_are_strings_like_any),
      cmocka_unit_test(the_name_of_a_keyed_option_is_a_value_behind_an_equals_sign),
      cmocka_unit_test(a_keyed_option_without_key_or_value_is_refused_with_its_line),
      cmocka_unit_test(ten_thousand_pairs_are_read),
      cmocka_unit_test(a_refused_value_is_reported_with_its_line),
      cmocka_unit_test(comments_do_not_move_the_line_of_an_error),
      cmocka_unit_test(a_comment_sign_inside_a_string_or_word_is_no_comment),
      cmocka_unit_test(a_name_that_is_no_option_is_explained),
      cmocka_unit_test(broken_syntax_is_refused_with_its_line),
      cmocka_unit_test(what_is_not_closed_is_refused_where_it_begins),
      cmocka_unit_test(after_any_broken_file_a_good_one_is_read),
      cmocka_unit_test(the_environment_is_read_in_double_quotes),
      cmocka_unit_test(a_file_that_cannot_be_read_is_named_with_the_reason),
      cmocka_unit_test(a_binary_file_is_refused),
      cmocka_unit_test(garbage_of_any_kind_is_an_error_or_read_but_never_a_crash),
      cmocka_unit_test(a_word_of_a_megabyte_is_survived),
  };
  return cmocka_run_group_tests_name("conffile", tests, make_file, remove_file);
}
