#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "tool_wrap.h"

struct scene {
  char *text;
  size_t length;
  FILE *out;
  struct tool_wrap wrap;
};

static void begin(struct scene *scene, size_t columns, size_t indent) {
  scene->out = open_memstream(&scene->text, &scene->length);
  fprintf(scene->out, "%.*s", (int)indent, ">>>>>>>>");
  tool_wrap_init(&scene->wrap, scene->out, columns, indent);
}

static void expect(struct scene *scene, const char *expected) {
  fclose(scene->out);
  assert_string_equal(scene->text, expected);
  free(scene->text);
}

static void words_fill_the_line_to_its_last_column(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, 10, 2);
  tool_wrap_words(&scene.wrap, "abc defg hi");
  expect(&scene, ">>abc defg\n  hi");
  begin(&scene, 9, 2);
  tool_wrap_words(&scene.wrap, "abc defg hi");
  expect(&scene, ">>abc\n  defg hi");
}

static void texts_go_on_where_the_last_ended(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, 12, 1);
  tool_wrap_words(&scene.wrap, "one two");
  tool_wrap_words(&scene.wrap, "");
  tool_wrap_words(&scene.wrap, "three four");
  expect(&scene, ">one two\n three four");
}

static void spaces_between_words_are_one(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, 40, 0);
  tool_wrap_words(&scene.wrap, "  one   two  ");
  tool_wrap_words(&scene.wrap, "    ");
  tool_wrap_words(&scene.wrap, " three");
  expect(&scene, "one two three");
}

static void word_longer_than_a_line_stays_whole_on_its_own(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, 8, 2);
  tool_wrap_words(&scene.wrap, "a abcdefghij b");
  expect(&scene, ">>a\n  abcdefghij\n  b");
  begin(&scene, 8, 2);
  tool_wrap_words(&scene.wrap, "abcdefghij");
  expect(&scene, ">>abcdefghij");
}

static void phrase_is_kept_together_on_this_line_or_the_next(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, 14, 2);
  tool_wrap_words(&scene.wrap, "one");
  tool_wrap_phrase(&scene.wrap, "[V8 a]");
  expect(&scene, ">>one [V8 a]");
  begin(&scene, 11, 2);
  tool_wrap_words(&scene.wrap, "one");
  tool_wrap_phrase(&scene.wrap, "[V8 a]");
  tool_wrap_phrase(&scene.wrap, "");
  expect(&scene, ">>one\n  [V8 a]");
  begin(&scene, 8, 2);
  tool_wrap_words(&scene.wrap, "x");
  tool_wrap_phrase(&scene.wrap, "[V8 a]");
  expect(&scene, ">>x\n  [V8 a]");
}

static void phrase_that_no_line_holds_is_words(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, 9, 2);
  tool_wrap_words(&scene.wrap, "one");
  tool_wrap_phrase(&scene.wrap, "[V8 abcd]");
  expect(&scene, ">>one [V8\n  abcd]");
}

static void number_is_not_parted_from_its_unit(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, 9, 0);
  tool_wrap_words(&scene.wrap, "after 0.3 ms 10 20 s 2x s 5");
  expect(&scene, "after\n0.3 ms\n10 20 s\n2x s 5");
  begin(&scene, 9, 0);
  tool_wrap_words(&scene.wrap, "7  8 ");
  expect(&scene, "7 8");
}

static void characters_count_not_octets(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene, 7, 0);
  tool_wrap_words(&scene.wrap, "\xc3\xbc\xc3\xbc\xc3\xbc \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac x");
  expect(&scene, "\xc3\xbc\xc3\xbc\xc3\xbc \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\nx");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_fill_the_line_to_its_last_column),
      cmocka_unit_test(texts_go_on_where_the_last_ended),
      cmocka_unit_test(spaces_between_words_are_one),
      cmocka_unit_test(word_longer_than_a_line_stays_whole_on_its_own),
      cmocka_unit_test(phrase_is_kept_together_on_this_line_or_the_next),
      cmocka_unit_test(phrase_that_no_line_holds_is_words),
      cmocka_unit_test(number_is_not_parted_from_its_unit),
      cmocka_unit_test(characters_count_not_octets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
