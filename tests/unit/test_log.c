#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

enum { LINE_SIZE = 1000 };

/* Standard error is a datagram socket here: each write(2) is read as one message. */
struct capture {
  int kept_stderr;
  int reader;
  char text[4096];
};

static int begin(void **state) {
  struct capture *capture = calloc(1, sizeof(*capture));
  int ends[2];
  assert_non_null(capture);
  assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
  capture->kept_stderr = dup(STDERR_FILENO);
  capture->reader = ends[0];
  dup2(ends[1], STDERR_FILENO);
  close(ends[1]);
  *state = capture;
  return 0;
}

static int end(void **state) {
  struct capture *capture = *state;
  dup2(capture->kept_stderr, STDERR_FILENO);
  close(capture->kept_stderr);
  close(capture->reader);
  free(capture);
  log_set_level(LOG_LEVEL_INFO);
  return 0;
}

/* The next write to standard error; "" if there was none. */
static const char *next(struct capture *capture) {
  ssize_t length = read(capture->reader, capture->text, sizeof(capture->text) - 1);
  capture->text[length > 0 ? length : 0] = '\0';
  return capture->text;
}

static void a_line_begins_with_its_level_and_is_one_write(void **state) {
  log_error("one %d", 1);
  assert_string_equal(next(*state), "<3>one 1\n");
  log_warning("two");
  assert_string_equal(next(*state), "<4>two\n");
  log_notice("three");
  assert_string_equal(next(*state), "<5>three\n");
  log_info("four");
  assert_string_equal(next(*state), "<6>four\n");
  assert_string_equal(next(*state), "");
}

static void messages_above_the_level_are_dropped(void **state) {
  log_debug("not by default");
  log_set_level(LOG_LEVEL_WARNING);
  log_notice("no");
  log_info("no");
  log_warning("yes");
  assert_string_equal(next(*state), "<4>yes\n");
  log_set_level(LOG_LEVEL_DEBUG);
  log_debug("now");
  assert_string_equal(next(*state), "<7>now\n");
  assert_string_equal(next(*state), "");
}

static void control_characters_and_foreign_octets_are_escaped(void **state) {
  log_info("a%sb", "\n<3>\t\x1b[31m\x7f\xc3\xbc\xff");
  assert_string_equal(next(*state), "<6>a\\x0a<3>\\x09\\x1b[31m\\x7f\\xc3\\xbc\\xffb\n");
}

static void a_backslash_and_all_of_printable_ascii_pass(void **state) {
  char text[96] = "";
  for (int i = 0; i < 0x7f - 0x20; i++)
    text[i] = (char)(0x20 + i);
  log_info("%s", text);
  const char *line = next(*state);
  assert_int_equal(strlen(line), strlen("<6>") + strlen(text) + 1);
  assert_memory_equal(line + 3, text, strlen(text));
}

static void a_long_line_is_cut_and_still_ends_with_a_newline(void **state) {
  char text[2000];
  memset(text, 'x', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  log_info("%s", text);
  const char *line = next(*state);
  assert_int_equal(strlen(line), LINE_SIZE);
  assert_int_equal(line[LINE_SIZE - 1], '\n');
}

static void a_line_that_just_fits_is_whole(void **state) {
  char text[LINE_SIZE];
  size_t fits = LINE_SIZE - strlen("<6>") - 1;
  memset(text, 'x', fits);
  text[fits - 1] = 'y';
  text[fits] = '\0';
  log_info("%s", text);
  const char *line = next(*state);
  assert_int_equal(strlen(line), LINE_SIZE);
  assert_string_equal(line + LINE_SIZE - 2, "y\n");
}

static void an_escape_is_never_cut_in_two(void **state) {
  for (size_t plain = 0; plain < 8; plain++) {
    char text[1001];
    memset(text, '\x01', sizeof(text) - 1);
    memset(text, 'x', plain);
    text[sizeof(text) - 1] = '\0';
    log_info("%s", text);
    const char *line = next(*state);
    size_t length = strlen(line);
    assert_in_range(length, LINE_SIZE - 3, LINE_SIZE);
    assert_string_equal(line + length - 5, "\\x01\n");
  }
}

static void errno_survives(void **state) {
  (void)state;
  int kept = dup(STDERR_FILENO);
  close(STDERR_FILENO);
  errno = ECONNRESET;
  log_error("to nobody");
  assert_int_equal(errno, ECONNRESET);
  dup2(kept, STDERR_FILENO);
  close(kept);
}

static void on_a_terminal_the_level_is_a_word(void **state) {
  struct capture *capture = *state;
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
    skip();
  int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
  assert_true(terminal >= 0);
  dup2(terminal, STDERR_FILENO);
  close(terminal);
  log_warning("queue is full");
  ssize_t length = read(master, capture->text, sizeof(capture->text) - 1);
  close(master);
  assert_true(length > 0);
  capture->text[length] = '\0';
  assert_string_equal(capture->text, "mxwayd: warning: queue is full\r\n");
}

static void *log_many(void *letter) {
  for (int i = 0; i < 50; i++)
    log_info("%.*s", 60, (const char *)letter);
  return NULL;
}

static void lines_of_two_threads_do_not_mix(void **state) {
  char a[61], b[61];
  memset(a, 'a', sizeof(a));
  memset(b, 'b', sizeof(b));
  int buffer = 1 << 20;
  setsockopt(STDERR_FILENO, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
  pthread_t other;
  assert_int_equal(pthread_create(&other, NULL, log_many, a), 0);
  log_many(b);
  pthread_join(other, NULL);
  while (*next(*state)) {
    const char *line = ((struct capture *)*state)->text;
    assert_int_equal(strspn(line + 3, line[3] == 'a' ? "a" : "b"), 60);
    assert_string_equal(line + 63, "\n");
  }
}

static void a_level_is_parsed_from_its_own_word_only(void **state) {
  (void)state;
  static const char *const bad[] = {"", "warn", "INFO", "infos", "6", " info"};
  enum log_level level = LOG_LEVEL_DEBUG;
  for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
    assert_true(log_level_parse(log_level_name((enum log_level)i), &level));
    assert_int_equal(level, i);
  }
  assert_true(log_level_parse("warning", &level));
  assert_int_equal(level, LOG_LEVEL_WARNING);
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    assert_false(log_level_parse(bad[i], &level));
  assert_int_equal(level, LOG_LEVEL_WARNING); /* untouched by the bad ones */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_line_begins_with_its_level_and_is_one_write, begin, end),
      cmocka_unit_test_setup_teardown(messages_above_the_level_are_dropped, begin, end),
      cmocka_unit_test_setup_teardown(control_characters_and_foreign_octets_are_escaped, begin, end),
      cmocka_unit_test_setup_teardown(a_backslash_and_all_of_printable_ascii_pass, begin, end),
      cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_still_ends_with_a_newline, begin, end),
      cmocka_unit_test_setup_teardown(a_line_that_just_fits_is_whole, begin, end),
      cmocka_unit_test_setup_teardown(an_escape_is_never_cut_in_two, begin, end),
      cmocka_unit_test_setup_teardown(errno_survives, begin, end),
      cmocka_unit_test_setup_teardown(on_a_terminal_the_level_is_a_word, begin, end),
      cmocka_unit_test_setup_teardown(lines_of_two_threads_do_not_mix, begin, end),
      cmocka_unit_test(a_level_is_parsed_from_its_own_word_only),
  };
  return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
