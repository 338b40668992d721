#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "tool_story.h"

enum { COLUMNS = 80 };

static const struct mxway_reply bare = {
    .verdict = MXWAY_NULL_MX,
    .source = MXWAY_SOURCE_DNS,
    .canonical = "d.test",
    .smtp_code = 556,
    .enhanced_status = "5.1.10",
    .site_name = "",
    .detail = "",
};

static const char meaning[] =
    "  what it means: A sender returns the mail at once. The owner of the domain says\n"
    "                 so with a null MX record (RFC 7505). A server that is asked to\n"
    "                 take such mail says 556 5.1.10.\n";

/* What is printed, to be freed. */
static char *print(const struct mxway_reply *reply, size_t columns) {
  char *text;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  tool_story_print(out, reply, columns);
  fclose(out);
  assert_int_equal(strlen(text), length);
  return text;
}

/* Expects `lines`, then the meaning of a null MX. */
static void expect_story(const struct mxway_story_line *story, size_t count, const char *lines) {
  struct mxway_reply reply = bare;
  reply.story = story;
  reply.story_count = count;
  char *text = print(&reply, COLUMNS), *expected;
  assert_true(asprintf(&expected, "  how it came about:\n%s%s", lines, meaning) > 0);
  assert_string_equal(text, expected);
  free(text);
  free(expected);
}

static void expect_meaning(const struct mxway_reply *reply, const char *expected) {
  char *text = print(reply, 500);
  char *found = strstr(text, "  what it means: ");
  assert_non_null(found);
  assert_string_equal(found + strlen("  what it means: "), expected);
  free(text);
}

/* ---- the story ---- */

static void lines_have_their_times_aligned_and_their_rules_in_brackets(void **state) {
  (void)state;
  static const struct mxway_story_line story[] = {
      {3, "", "memory holds nothing about d.test"},
      {12045, "V8 (RFC 7505 3)", "the only exchange is the root"},
  };
  expect_story(story, 2,
               "     0.003 ms  memory holds nothing about d.test\n"
               "    12.045 ms  the only exchange is the root [V8 (RFC 7505 3)]\n");
}

static void long_story_has_tenths_of_milliseconds(void **state) {
  (void)state;
  static const struct mxway_story_line story[] = {
      {0, "", "first"}, {99999, "", "second"}, {100000, "", "third"}, {UINT32_MAX, "", "last"}};
  expect_story(story, 2, "     0.000 ms  first\n    99.999 ms  second\n");
  expect_story(story, 3, "      0.0 ms  first\n     99.9 ms  second\n    100.0 ms  third\n");
  expect_story(story, 4,
               "          0.0 ms  first\n         99.9 ms  second\n        100.0 ms  third\n"
               "    4294967.2 ms  last\n");
}

static void times_that_go_backwards_are_printed_as_they_are(void **state) {
  (void)state;
  static const struct mxway_story_line story[] = {{20000, "", "first"}, {10, "", "second"}};
  expect_story(story, 2, "    20.000 ms  first\n     0.010 ms  second\n");
}

static void long_lines_hang_below_their_text(void **state) {
  (void)state;
  static const struct mxway_story_line story[] = {
      {1500, "V17 (RFC 6891 7)",
       "192.0.2.53 answered the question for the MX records of a.long.name.test with NOERROR after 1.4 ms"},
      {1600, "V1 (RFC 5321 5.1)", "a line that leaves no room for its rule behind it but below"}};
  expect_story(story, 2,
               "    1.500 ms  192.0.2.53 answered the question for the MX records of\n"
               "              a.long.name.test with NOERROR after 1.4 ms [V17 (RFC 6891 7)]\n"
               "    1.600 ms  a line that leaves no room for its rule behind it but below\n"
               "              [V1 (RFC 5321 5.1)]\n");
}

static void no_line_is_wider_than_the_terminal(void **state) {
  (void)state;
  static const struct mxway_story_line story[] = {
      {1, "V8 (RFC 7505 3)", "words of no great length that go on and on until some line is full of them"}};
  struct mxway_reply reply = bare;
  reply.story = story;
  reply.story_count = 1;
  reply.authenticated = true;
  for (size_t columns = 47; columns < 200; columns++) {
    char *text = print(&reply, columns), *line = text;
    for (size_t length; *line; line += length + 1) {
      length = strcspn(line, "\n");
      assert_in_range(length, 1, columns);
      assert_int_not_equal(line[length - 1], ' ');
    }
    free(text);
  }
}

static void narrow_terminal_still_has_room_for_words(void **state) {
  (void)state;
  static const struct mxway_story_line story[] = {{1, "", "words of no great length, all of them"}};
  struct mxway_reply reply = bare;
  reply.story = story;
  reply.story_count = 1;
  for (size_t columns = 0; columns < 10; columns++) {
    char *text = print(&reply, columns);
    assert_non_null(strstr(text,
                           "    0.001 ms  words of no great length, all\n"
                           "              of them\n"));
    free(text);
  }
}

static void answer_without_a_story_says_so(void **state) {
  (void)state;
  char *text = print(&bare, COLUMNS), *expected;
  assert_true(asprintf(&expected, "  the daemon does not tell how it came about\n%s", meaning) > 0);
  assert_string_equal(text, expected);
  free(text);
  free(expected);
}

static void site_and_validation_stand_before_the_story(void **state) {
  (void)state;
  struct mxway_reply reply = bare;
  reply.site_name = "(a|b).test";
  reply.authenticated = true;
  char *text = print(&reply, 200);
  const char expected[] =
      "  site: (a|b).test\n"
      "  authenticated: a trusted server had validated every DNS reply behind this (RFC "
      "6840 section 5.7)\n"
      "  the daemon";
  assert_memory_equal(text, expected, sizeof expected - 1);
  free(text);
}

/* ---- a hostile daemon ---- */

static bool is_fit_for_a_terminal(const char *text) {
  for (; *text; text++)
    if (((unsigned char)*text < 0x20 && *text != '\n') || *text == 0x7f || strncmp(text, "\xc2\x9b", 2) == 0)
      return false;
  return true;
}

static void story_cannot_drive_the_terminal(void **state) {
  (void)state;
  static const struct mxway_story_line story[] = {
      {1, "\x1b]0;rule\x07", "\x1b[2J\rline\nbreak\ttab\x7f"},
      {2, "\xff\xfe",
       "\xc2\x9b"
       "1A \xed\xa0\x80 \xc0\xaf"},
      {3, "", ""},
  };
  struct mxway_reply reply = bare;
  reply.story = story;
  reply.story_count = 3;
  reply.site_name = "\x1b[1m\n";
  reply.enhanced_status = "\x1b[5m";
  char *text = print(&reply, COLUMNS);
  assert_true(is_fit_for_a_terminal(text));
#define R "\xef\xbf\xbd"
  assert_non_null(strstr(text, "  site: " R "[1m" R "\n"));
  assert_non_null(
      strstr(text, "    0.001 ms  " R "[2J" R "line" R "break" R "tab" R " [" R "]0;rule" R "]\n"));
  assert_non_null(strstr(text, "    0.002 ms  " R "1A " R R R " " R R " [" R R "]\n"));
  assert_non_null(strstr(text, "    0.003 ms  \n"));
  assert_non_null(strstr(text, "says 556 " R "[5m."));
#undef R
  free(text);
}

static void story_of_any_size_is_printed_whole(void **state) {
  (void)state;
  enum { COUNT = 20000, LONG = 900000 };
  static struct mxway_story_line story[COUNT];
  char *word = malloc(LONG + 1);
  memset(word, 'w', LONG);
  word[LONG] = '\0';
  for (size_t i = 0; i < COUNT; i++)
    story[i] = (struct mxway_story_line){(uint32_t)i, "R1", "a line"};
  story[COUNT - 1].text = story[COUNT - 1].rule = word;
  struct mxway_reply reply = bare;
  reply.story = story;
  reply.story_count = COUNT;
  char *text = print(&reply, COLUMNS);
  assert_non_null(strstr(text, "    19.998 ms  a line [R1]\n    19.999 ms  www"));
  assert_non_null(strstr(text, "w\n               [www"));
  free(text);
  free(word);
}

/* ---- the meaning ---- */

static void meaning_says_what_a_sender_does(void **state) {
  (void)state;
  static const struct mxway_address address = {4, {192, 0, 2, 1}};
  struct mxway_exchange exchanges[] = {{10, 0, "gone.test", "", MXWAY_STATUS_NXDOMAIN, 0, 0, NULL},
                                       {20, 0, "mx.test", "", MXWAY_STATUS_OK, 0, 1, &address}};
  struct mxway_reply reply = {.verdict = MXWAY_ROUTE,
                              .enhanced_status = "",
                              .site_name = "",
                              .exchange_count = 2,
                              .exchanges = exchanges};
  expect_meaning(&reply,
                 "A sender tries the exchanges from the top, and the addresses of each from the left, "
                 "until one takes the mail.\n");
  exchanges[1].address_count = 0;
  reply.smtp_code = 250; /* only a hostile daemon says so */
  expect_meaning(&reply,
                 "A sender looks up the addresses of the exchanges and tries these from the top, until "
                 "one takes the mail.\n");
  reply.exchange_count = 0;
  reply.verdict = MXWAY_DNS_TIMEOUT;
  reply.smtp_code = 451;
  reply.enhanced_status = "4.4.3";
  expect_meaning(&reply,
                 "A sender keeps the mail and tries again later. It says nothing about whether the "
                 "domain takes mail: the DNS on the way to it fails. A server that is asked to take "
                 "such mail says 451 4.4.3.\n");
  reply.smtp_code = 0;
  reply.verdict = (enum mxway_verdict)99;
  expect_meaning(&reply, "A sender keeps the mail and tries again later.\n");
}

static void question_that_is_refused_returns_no_mail(void **state) {
  (void)state;
  struct mxway_reply reply = bare;
  reply.verdict = MXWAY_BAD_REQUEST;
  expect_meaning(&reply, "It says nothing about the domain: the question has to be changed.\n");
  reply.verdict = MXWAY_NOT_CACHED;
  expect_meaning(&reply, "It says nothing about the domain: without --cache-only the DNS would be asked.\n");
}

static void advice_follows_what_the_answer_is_founded_on(void **state) {
  (void)state;
  struct mxway_reply reply = bare;
  reply.verdict = MXWAY_NO_SUCH_DOMAIN;
  const char *of_the_dns = tool_story_advice(&reply);
  reply.source = MXWAY_SOURCE_POLICY;
  assert_string_not_equal(tool_story_advice(&reply), of_the_dns);
  reply.verdict = MXWAY_NO_ROUTABLE_ADDRESS;
  const char *permanent = tool_story_advice(&reply);
  reply.smtp_code = 451;
  assert_string_not_equal(tool_story_advice(&reply), permanent);
}

static void every_verdict_but_a_route_has_advice(void **state) {
  (void)state;
  struct mxway_reply reply = bare;
  for (int verdict = MXWAY_ROUTE; verdict <= MXWAY_REJECTED; verdict++) {
    reply.verdict = (enum mxway_verdict)verdict;
    assert_int_equal(strlen(tool_story_advice(&reply)) > 0, verdict != MXWAY_ROUTE);
  }
  reply.verdict = (enum mxway_verdict)99;
  assert_string_equal(tool_story_advice(&reply), "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lines_have_their_times_aligned_and_their_rules_in_brackets),
      cmocka_unit_test(long_story_has_tenths_of_milliseconds),
      cmocka_unit_test(times_that_go_backwards_are_printed_as_they_are),
      cmocka_unit_test(long_lines_hang_below_their_text),
      cmocka_unit_test(no_line_is_wider_than_the_terminal),
      cmocka_unit_test(narrow_terminal_still_has_room_for_words),
      cmocka_unit_test(answer_without_a_story_says_so),
      cmocka_unit_test(site_and_validation_stand_before_the_story),
      cmocka_unit_test(story_cannot_drive_the_terminal),
      cmocka_unit_test(story_of_any_size_is_printed_whole),
      cmocka_unit_test(meaning_says_what_a_sender_does),
      cmocka_unit_test(question_that_is_refused_returns_no_mail),
      cmocka_unit_test(advice_follows_what_the_answer_is_founded_on),
      cmocka_unit_test(every_verdict_but_a_route_has_advice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
