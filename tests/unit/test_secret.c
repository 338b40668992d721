#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/secret.h"

static char path[64];

static int make_file(void **state) {
  (void)state;
  snprintf(path, sizeof(path), "/tmp/mxway-test-secret-XXXXXX");
  int file = mkstemp(path);
  return file < 0 ? -1 : close(file);
}

static int remove_file(void **state) {
  (void)state;
  return unlink(path);
}

static void write_file(const char *bytes, size_t length, mode_t mode) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, length, file), length);
  assert_int_equal(fclose(file), 0);
  assert_int_equal(chmod(path, mode), 0);
}

/* `what` is what the reason says behind the path. */
static void expect_refusal(const char *what) {
  char secret[SECRET_SIZE] = "untouched", reason[SECRET_REASON_SIZE];
  assert_int_equal(secret_read(path, secret, reason), ERR_CONFIG);
  assert_memory_equal(reason, path, strlen(path));
  if (!strstr(reason, what))
    fail_msg("%s", reason);
  assert_string_equal(secret, "untouched");
}

static void the_end_of_the_line_is_not_part_of_it(void **state) {
  (void)state;
  static const struct {
    const char *bytes, *secret;
  } cases[] = {{"s3cret", "s3cret"},   {"s3cret\n", "s3cret"},     {"s3cret\r\n", "s3cret"},
               {" a b\t\n", " a b\t"}, {"\303\244\n", "\303\244"}, {"x", "x"}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char secret[SECRET_SIZE], reason[SECRET_REASON_SIZE];
    write_file(cases[i].bytes, strlen(cases[i].bytes), 0600);
    assert_int_equal(secret_read(path, secret, reason), 0);
    assert_string_equal(secret, cases[i].secret);
  }
}

static void what_is_no_single_line_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t length;
    const char *reason;
  } cases[] = {{"", 0, "is empty"},
               {"\n", 1, "is empty"},
               {"\r\n", 2, "is empty"},
               {"a\nb\n", 4, "one line of text"},
               {"a\n\n", 3, "one line of text"},
               {"a\rb", 3, "one line of text"},
               {"a\0b", 3, "one line of text"}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    write_file(cases[i].bytes, cases[i].length, 0600);
    expect_refusal(cases[i].reason);
  }
}

static void the_length_is_bounded(void **state) {
  (void)state;
  char bytes[4096], secret[SECRET_SIZE], reason[SECRET_REASON_SIZE];
  memset(bytes, 'x', sizeof(bytes));
  bytes[SECRET_SIZE - 1] = '\n';
  write_file(bytes, SECRET_SIZE, 0600);
  assert_int_equal(secret_read(path, secret, reason), 0);
  assert_int_equal(strlen(secret), SECRET_SIZE - 1);
  bytes[SECRET_SIZE - 1] = 'x';
  write_file(bytes, SECRET_SIZE, 0600);
  expect_refusal("is too long");
  write_file(bytes, sizeof(bytes), 0600);
  expect_refusal("is too long");
}

static void what_others_may_use_is_refused(void **state) {
  (void)state;
  static const mode_t open_modes[] = {0604, 0602, 0601, 0644, 0666, 0444};
  static const mode_t closed_modes[] = {0600, 0400, 0640, 0660, 0440};
  char secret[SECRET_SIZE], reason[SECRET_REASON_SIZE];
  for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
    write_file("s3cret\n", 7, open_modes[i]);
    expect_refusal("others than its owner and group may use it");
  }
  for (size_t i = 0; i < sizeof(closed_modes) / sizeof(closed_modes[0]); i++) {
    write_file("s3cret\n", 7, closed_modes[i]);
    assert_int_equal(secret_read(path, secret, reason), 0);
  }
}

static void a_reason_holds_nothing_of_the_secret(void **state) {
  (void)state;
  char secret[SECRET_SIZE], reason[SECRET_REASON_SIZE];
  write_file("s3cret\nmore\n", 12, 0600);
  assert_int_equal(secret_read(path, secret, reason), ERR_CONFIG);
  assert_null(strstr(reason, "s3cret"));
  assert_null(strstr(reason, "more"));
}

static void what_is_no_file_is_refused(void **state) {
  (void)state;
  char secret[SECRET_SIZE], reason[SECRET_REASON_SIZE], folder[] = "/tmp/mxway-test-secret-XXXXXX";
  assert_non_null(mkdtemp(folder));
  assert_int_equal(secret_read(folder, secret, reason), ERR_CONFIG);
  assert_non_null(strstr(reason, "is not a regular file"));
  char fifo[64];
  snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
  assert_int_equal(mkfifo(fifo, 0600), 0);
  assert_int_equal(secret_read(fifo, secret, reason), ERR_CONFIG); /* and nobody waits for a writer */
  assert_non_null(strstr(reason, "is not a regular file"));
  unlink(fifo);
  rmdir(folder);
  assert_int_equal(secret_read(folder, secret, reason), ERR_CONFIG);
  assert_non_null(strstr(reason, "No such file"));
}

static void wiping_leaves_nothing(void **state) {
  (void)state;
  char secret[16] = "s3cret", zeroes[16] = "";
  secret_wipe(secret, sizeof(secret));
  assert_memory_equal(secret, zeroes, sizeof(secret));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_end_of_the_line_is_not_part_of_it, make_file, remove_file),
      cmocka_unit_test_setup_teardown(what_is_no_single_line_is_refused, make_file, remove_file),
      cmocka_unit_test_setup_teardown(the_length_is_bounded, make_file, remove_file),
      cmocka_unit_test_setup_teardown(what_others_may_use_is_refused, make_file, remove_file),
      cmocka_unit_test_setup_teardown(a_reason_holds_nothing_of_the_secret, make_file, remove_file),
      cmocka_unit_test(what_is_no_file_is_refused),
      cmocka_unit_test(wiping_leaves_nothing),
  };
  return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
