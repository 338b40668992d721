#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool_lines.h"

struct stream {
  struct tool_lines *lines;
  int read_fd, write_fd;
};

static int stream_create(void **state) {
  struct stream *stream = malloc(sizeof *stream);
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  stream->read_fd = ends[0];
  stream->write_fd = ends[1];
  stream->lines = malloc(sizeof *stream->lines);
  tool_lines_init(stream->lines);
  *state = stream;
  return 0;
}

static void stream_end(struct stream *stream) {
  if (stream->write_fd >= 0)
    close(stream->write_fd);
  stream->write_fd = -1;
}

static int stream_destroy(void **state) {
  struct stream *stream = *state;
  stream_end(stream);
  close(stream->read_fd);
  free(stream->lines);
  free(stream);
  return 0;
}

/* Less than a pipe holds. */
static void feed(struct stream *stream, const void *octets, size_t length) {
  assert_int_equal(write(stream->write_fd, octets, length), (ssize_t)length);
  while (length > 0) {
    size_t before = stream->lines->end - stream->lines->start;
    assert_int_equal(tool_lines_fill(stream->lines, stream->read_fd), 0);
    length -= stream->lines->end - stream->lines->start - before;
  }
}

static void feed_text(struct stream *stream, const char *text) { feed(stream, text, strlen(text)); }

static void finish(struct stream *stream) {
  stream_end(stream);
  assert_int_equal(tool_lines_fill(stream->lines, stream->read_fd), 0);
}

static enum tool_lines_result next(struct stream *stream) {
  const char *name;
  size_t length;
  return tool_lines_next(stream->lines, &name, &length);
}

static void expect_name(struct stream *stream, const char *expected, size_t expected_length) {
  const char *name;
  size_t length;
  assert_int_equal(tool_lines_next(stream->lines, &name, &length), TOOL_LINES_NAME);
  assert_int_equal(length, expected_length);
  assert_memory_equal(name, expected, length);
}

static void lines_are_taken_in_order(void **state) {
  struct stream *stream = *state;
  feed_text(stream, "a.test\nb.test\n");
  expect_name(stream, "a.test", 6);
  expect_name(stream, "b.test", 6);
  assert_int_equal(stream->lines->number, 2);
  assert_int_equal(next(stream), TOOL_LINES_MORE);
  finish(stream);
  assert_int_equal(next(stream), TOOL_LINES_END);
  assert_int_equal(next(stream), TOOL_LINES_END);
}

static void line_in_pieces_is_put_together(void **state) {
  struct stream *stream = *state;
  for (const char *at = "ab.test\r"; *at; at++) {
    feed(stream, at, 1);
    assert_int_equal(next(stream), TOOL_LINES_MORE);
  }
  feed_text(stream, "\n");
  expect_name(stream, "ab.test", 7);
}

static void last_line_needs_no_end(void **state) {
  struct stream *stream = *state;
  feed_text(stream, "a\nlast");
  expect_name(stream, "a", 1);
  assert_int_equal(next(stream), TOOL_LINES_MORE);
  finish(stream);
  expect_name(stream, "last", 4);
  assert_int_equal(next(stream), TOOL_LINES_END);
}

static void blank_lines_and_comments_are_skipped_but_counted(void **state) {
  struct stream *stream = *state;
  feed_text(stream, "\n\r\n \t\n# words\na#b\r\n");
  expect_name(stream, "a#b", 3);
  assert_int_equal(stream->lines->number, 5);
  assert_int_equal(next(stream), TOOL_LINES_MORE);
}

static void every_other_octet_belongs_to_the_name(void **state) {
  struct stream *stream = *state;
  feed(stream, "a\0b\xff\r\r\n x \n", 12);
  expect_name(stream, "a\0b\xff\r", 5);
  expect_name(stream, " x ", 3);
}

static void line_of_the_greatest_length_is_a_name(void **state) {
  struct stream *stream = *state;
  char *line = malloc(TOOL_LINES_MAX + 2);
  memset(line, 'x', TOOL_LINES_MAX);
  memcpy(line + TOOL_LINES_MAX, "\r\n", 2);
  feed(stream, line, TOOL_LINES_MAX + 1);
  assert_int_equal(next(stream), TOOL_LINES_MORE);
  feed(stream, "\n", 1);
  expect_name(stream, line, TOOL_LINES_MAX);
  free(line);
}

static void longer_line_is_reported_once_and_skipped(void **state) {
  struct stream *stream = *state;
  char *line = malloc(TOOL_LINES_MAX + 4);
  memset(line, 'x', TOOL_LINES_MAX + 4);
  line[TOOL_LINES_MAX + 1] = '\n';
  feed(stream, line, TOOL_LINES_MAX + 2);
  assert_int_equal(next(stream), TOOL_LINES_TOO_LONG);
  assert_int_equal(stream->lines->number, 1);
  line[TOOL_LINES_MAX + 1] = 'x';
  for (int i = 0; i < 5; i++) {
    feed(stream, line, TOOL_LINES_MAX + 4);
    assert_int_equal(next(stream), i == 0 ? TOOL_LINES_TOO_LONG : TOOL_LINES_MORE);
  }
  feed_text(stream, "end\nafter\n");
  expect_name(stream, "after", 5);
  assert_int_equal(stream->lines->number, 3);
  free(line);
}

static void long_comment_and_long_last_line_end_well(void **state) {
  struct stream *stream = *state;
  char *line = malloc(TOOL_LINES_MAX + 4);
  memset(line, '#', TOOL_LINES_MAX + 4);
  feed(stream, line, TOOL_LINES_MAX + 4);
  assert_int_equal(next(stream), TOOL_LINES_MORE);
  feed_text(stream, "more\nname\nx");
  expect_name(stream, "name", 4);
  assert_int_equal(stream->lines->number, 2);
  assert_int_equal(next(stream), TOOL_LINES_MORE);
  feed(stream, line, TOOL_LINES_MAX + 4);
  assert_int_equal(next(stream), TOOL_LINES_TOO_LONG);
  assert_int_equal(next(stream), TOOL_LINES_MORE);
  finish(stream);
  assert_int_equal(next(stream), TOOL_LINES_END);
  free(line);
}

static void stream_that_cannot_be_read_is_an_error(void **state) {
  struct stream *stream = *state;
  assert_int_equal(tool_lines_fill(stream->lines, -1), -1);
}

#define IN_STREAM(test) cmocka_unit_test_setup_teardown(test, stream_create, stream_destroy)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_STREAM(lines_are_taken_in_order),
      IN_STREAM(line_in_pieces_is_put_together),
      IN_STREAM(last_line_needs_no_end),
      IN_STREAM(blank_lines_and_comments_are_skipped_but_counted),
      IN_STREAM(every_other_octet_belongs_to_the_name),
      IN_STREAM(line_of_the_greatest_length_is_a_name),
      IN_STREAM(longer_line_is_reported_once_and_skipped),
      IN_STREAM(long_comment_and_long_last_line_end_well),
      IN_STREAM(stream_that_cannot_be_read_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
