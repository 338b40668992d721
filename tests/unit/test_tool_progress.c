#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "tool_progress.h"

static void line_is_drawn_now_and_then_and_taken_away(void **state) {
  (void)state;
  char *text;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  struct tool_progress progress;
  tool_progress_init(&progress, out, 1000);
  tool_progress_show(&progress, 10, 1000);
  tool_progress_hide(&progress);
  fflush(out);
  assert_int_equal(length, 0);
  tool_progress_show(&progress, 5000, 3000);
  tool_progress_show(&progress, 6000, 3000 + TOOL_PROGRESS_INTERVAL_MS - 1);
  assert_string_equal(text, "\r\x1b[K5000 answered, 2500 a second, 2 s");
  tool_progress_hide(&progress);
  tool_progress_hide(&progress);
  assert_string_equal(text, "\r\x1b[K5000 answered, 2500 a second, 2 s\r\x1b[K");
  fclose(out);
  free(text);
}

static void without_a_terminal_nothing_is_drawn(void **state) {
  (void)state;
  struct tool_progress progress;
  tool_progress_init(&progress, NULL, 0);
  tool_progress_show(&progress, 1, 100000);
  tool_progress_hide(&progress);
  assert_false(progress.is_shown);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(line_is_drawn_now_and_then_and_taken_away),
      cmocka_unit_test(without_a_terminal_nothing_is_drawn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
