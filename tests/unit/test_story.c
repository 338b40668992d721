#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "base/story.h"

static void lines_come_back_in_order_with_rule_and_text(void **state) {
  (void)state;
  struct story *story = story_create();
  story_add(story, "V1", "%s sorts before %s", "a", "b");
  story_add(story, "", "done");
  assert_int_equal(story_count(story), 2);
  struct story_line first = story_line(story, 0), second = story_line(story, 1);
  assert_string_equal(first.rule, "V1");
  assert_string_equal(first.text, "a sorts before b");
  assert_string_equal(second.rule, "");
  assert_string_equal(second.text, "done");
  assert_true(second.at_us >= first.at_us);
  story_unref(story);
}

static void no_story_is_told_nothing(void **state) {
  (void)state;
  story_add(NULL, "V1", "nobody %s", "listens");
  assert_int_equal(story_count(NULL), 0);
  assert_null(story_ref(NULL));
  story_unref(NULL);
}

static void what_is_not_printable_becomes_a_question_mark(void **state) {
  (void)state;
  struct story *story = story_create();
  story_add(story, "\x1b[1m", "bell\a newline\n eight bit \xc3\xa9");
  assert_string_equal(story_line(story, 0).rule, "?[1m");
  assert_string_equal(story_line(story, 0).text, "bell? newline? eight bit ??");
  story_unref(story);
}

static void a_long_text_is_cut(void **state) {
  (void)state;
  struct story *story = story_create();
  story_add(story, "", "%*s", STORY_TEXT_SIZE * 2, "x");
  assert_int_equal(strlen(story_line(story, 0).text), STORY_TEXT_SIZE - 1);
  story_unref(story);
}

static void lines_beyond_the_bound_are_counted(void **state) {
  (void)state;
  struct story *story = story_create();
  for (int i = 0; i < STORY_LINES_MAX + 7; i++)
    story_add(story, "", "line %d", i);
  assert_int_equal(story_count(story), STORY_LINES_MAX + 1);
  assert_string_equal(story_line(story, STORY_LINES_MAX - 1).text, "line 499");
  assert_string_equal(story_line(story, STORY_LINES_MAX).text, "and 7 lines more");
  story_unref(story);
}

static void it_lives_until_the_last_reference_is_gone(void **state) {
  (void)state;
  struct story *story = story_create();
  assert_ptr_equal(story_ref(story), story);
  story_unref(story);
  story_add(story, "", "still here");
  assert_string_equal(story_line(story, 0).text, "still here");
  story_unref(story);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lines_come_back_in_order_with_rule_and_text),
      cmocka_unit_test(no_story_is_told_nothing),
      cmocka_unit_test(what_is_not_printable_becomes_a_question_mark),
      cmocka_unit_test(a_long_text_is_cut),
      cmocka_unit_test(lines_beyond_the_bound_are_counted),
      cmocka_unit_test(it_lives_until_the_last_reference_is_gone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
