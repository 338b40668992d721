#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "redis/rediserror.h"

/* As servers of 5 to 7 say them. */
static const struct {
  const char *text;
  enum rediserror error;
  enum rediserror_scope scope;
} samples[] = {
    {"LOADING Redis is loading the dataset in memory", REDISERROR_LOADING, REDISERROR_SERVER},
    {"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
     REDISERROR_BUSY, REDISERROR_SERVER},
    {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
     REDISERROR_MASTERDOWN, REDISERROR_SERVER},
    {"NOAUTH Authentication required.", REDISERROR_NOAUTH, REDISERROR_SERVER},
    {"WRONGPASS invalid username-password pair or user is disabled.", REDISERROR_WRONGPASS,
     REDISERROR_SERVER},
    {"ERR invalid password", REDISERROR_BAD_PASSWORD, REDISERROR_SERVER},
    {"ERR AUTH <password> called without any password configured for the default user.",
     REDISERROR_NO_PASSWORD, REDISERROR_SERVER},
    {"ERR Client sent AUTH, but no password is set", REDISERROR_NO_PASSWORD_SET, REDISERROR_SERVER},
    {"DENIED Redis is running in protected mode because ...", REDISERROR_DENIED, REDISERROR_SERVER},
    {"ERR max number of clients reached", REDISERROR_FULL, REDISERROR_SERVER},
    {"ERR DB index is out of range", REDISERROR_NO_DATABASE, REDISERROR_SERVER},
    {"NOPERM User mxway has no permissions to run the 'set' command", REDISERROR_NOPERM, REDISERROR_COMMAND},
    {"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
     REDISERROR_MISCONF, REDISERROR_WRITE},
    {"OOM command not allowed when used memory > 'maxmemory'.", REDISERROR_OOM, REDISERROR_WRITE},
    {"READONLY You can't write against a read only replica.", REDISERROR_READONLY, REDISERROR_WRITE},
    {"NOREPLICAS Not enough good replicas to write.", REDISERROR_NOREPLICAS, REDISERROR_WRITE},
    {"CLUSTERDOWN Hash slot not served", REDISERROR_CLUSTERDOWN, REDISERROR_KEY},
    {"MOVED 3999 127.0.0.1:6381", REDISERROR_MOVED, REDISERROR_KEY},
    {"ASK 3999 127.0.0.1:6381", REDISERROR_ASK, REDISERROR_KEY},
    {"TRYAGAIN Multiple keys request during rehashing of slot", REDISERROR_TRYAGAIN, REDISERROR_KEY},
    {"CROSSSLOT Keys in request don't hash to the same slot", REDISERROR_CROSSSLOT, REDISERROR_COMMAND},
    {"WRONGTYPE Operation against a key holding the wrong kind of value", REDISERROR_WRONGTYPE,
     REDISERROR_COMMAND},
    {"ERR unknown command 'FOO'", REDISERROR_OTHER, REDISERROR_COMMAND},
    {"", REDISERROR_OTHER, REDISERROR_COMMAND},
    {"-", REDISERROR_OTHER, REDISERROR_COMMAND},
    {"LOADINGS of hay", REDISERROR_OTHER, REDISERROR_COMMAND},
    {"loading", REDISERROR_OTHER, REDISERROR_COMMAND},
    {"BUSYKEY Target key name already exists.", REDISERROR_OTHER, REDISERROR_COMMAND},
    {"BUSYGROUP Consumer Group name already exists", REDISERROR_OTHER, REDISERROR_COMMAND},
    {"TOOLARGE a reply of more than 1 MiB came", REDISERROR_TOOLARGE, REDISERROR_COMMAND},
    {"ASKING", REDISERROR_OTHER, REDISERROR_COMMAND},
};

enum { SAMPLE_COUNT = sizeof(samples) / sizeof(samples[0]) };

static void errors_are_told_by_their_first_word(void **state) {
  (void)state;
  for (size_t i = 0; i < SAMPLE_COUNT; i++) {
    enum rediserror error = rediserror_parse(samples[i].text, strlen(samples[i].text));
    if (error != samples[i].error)
      fail_msg("%s: %d", samples[i].text, (int)error);
    assert_int_equal(rediserror_scope(error), samples[i].scope);
    assert_int_equal(rediserror_is_useless(error), samples[i].scope == REDISERROR_SERVER);
    assert_true(strlen(rediserror_advice(error)) > 10);
  }
}

static void every_kind_has_a_sample(void **state) {
  (void)state;
  for (enum rediserror error = 0; error < REDISERROR_COUNT; error++) {
    bool is_there = false;
    for (size_t i = 0; i < SAMPLE_COUNT; i++)
      is_there |= samples[i].error == error;
    assert_true(is_there);
  }
}

static void nothing_behind_the_length_is_read(void **state) {
  (void)state;
  for (size_t i = 0; i < SAMPLE_COUNT; i++)
    for (size_t length = 0; length <= strlen(samples[i].text); length++) {
      char *exact = malloc(length + 1); /* the sanitizer watches its end */
      assert_non_null(exact);
      memcpy(exact + 1, samples[i].text, length);
      rediserror_parse(exact + 1, length);
      free(exact);
    }
  assert_int_equal(rediserror_parse("LOADING", 7), REDISERROR_LOADING);
  assert_int_equal(rediserror_parse("LOADING", 6), REDISERROR_OTHER);
}

/* What `rediserror_log` has written of one call, into `line`. */
static bool logs(struct rediserror_log *log, enum rediserror error, const char *text, int64_t now_ms,
                 char line[1200]) {
  char path[] = "/tmp/mxway-test-rediserror-XXXXXX";
  int file = mkstemp(path), before = dup(STDERR_FILENO);
  assert_true(file >= 0);
  fflush(stderr);
  dup2(file, STDERR_FILENO);
  bool has_logged = rediserror_log(log, error, text, strlen(text), "unix:/r", now_ms);
  dup2(before, STDERR_FILENO);
  close(before);
  ssize_t length = pread(file, line, 1199, 0);
  assert_true(length >= 0);
  line[length] = '\0';
  close(file);
  unlink(path);
  return has_logged;
}

static void each_kind_is_logged_once_a_minute(void **state) {
  (void)state;
  struct rediserror_log log = {.next_at_ms = {0}};
  char line[1200];
  const int64_t start_ms = 5000;
  assert_true(logs(&log, REDISERROR_OOM, "OOM a", start_ms, line));
  assert_string_equal(
      line, "<4>redis unix:/r answers \"OOM a\": the server is at its maxmemory and evicts nothing\n");
  for (int64_t ms = 0; ms < 60000; ms += 100) {
    assert_false(logs(&log, REDISERROR_OOM, "OOM b", start_ms + ms, line));
    assert_string_equal(line, "");
  }
  assert_true(logs(&log, REDISERROR_MISCONF, "MISCONF c", start_ms + 1, line)); /* another kind */
  assert_true(logs(&log, REDISERROR_OOM, "OOM d", start_ms + 60000, line));
  assert_non_null(strstr(line, "\"OOM d\""));
  assert_non_null(strstr(line, "(and 600 more like it before)"));
  assert_false(logs(&log, REDISERROR_OOM, "OOM e", start_ms + 119999, line));
  assert_true(logs(&log, REDISERROR_OOM, "OOM f", start_ms + 120000, line));
  assert_non_null(strstr(line, "(and 1 more like it before)"));
}

static void what_a_server_says_cannot_forge_a_line(void **state) {
  (void)state;
  struct rediserror_log log = {.next_at_ms = {0}};
  char line[1200], text[3000];
  memset(text, 'x', sizeof(text));
  memcpy(text, "ERR a\n<0>b\033", 11);
  text[sizeof(text) - 1] = '\0';
  assert_true(logs(&log, REDISERROR_OTHER, text, 1, line));
  assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
  assert_null(strchr(line, '\033'));
  assert_true(strlen(line) < 500);
}

static void redirections_are_no_warning(void **state) {
  (void)state;
  struct rediserror_log log = {.next_at_ms = {0}};
  char line[1200];
  assert_true(logs(&log, REDISERROR_MOVED, "MOVED 1 a:1", 1, line));
  assert_memory_equal(line, "<6>", 3);
  assert_true(logs(&log, REDISERROR_CLUSTERDOWN, "CLUSTERDOWN x", 1, line));
  assert_memory_equal(line, "<4>", 3);
}

static void what_a_server_says_is_quoted_in_printable_ascii(void **state) {
  (void)state;
  char text[8] = "\033[2\x9b\n\177";
  rediserror_quote(text, sizeof(text), text, 6);
  assert_string_equal(text, "?[2???");
  rediserror_quote(text, 4, "abcdef", 6);
  assert_string_equal(text, "abc");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(errors_are_told_by_their_first_word),
      cmocka_unit_test(every_kind_has_a_sample),
      cmocka_unit_test(nothing_behind_the_length_is_read),
      cmocka_unit_test(each_kind_is_logged_once_a_minute),
      cmocka_unit_test(what_a_server_says_cannot_forge_a_line),
      cmocka_unit_test(redirections_are_no_warning),
      cmocka_unit_test(what_a_server_says_is_quoted_in_printable_ascii),
  };
  return cmocka_run_group_tests_name("rediserror", tests, NULL, NULL);
}
