#include "cmocka_compat.h"

#include <string.h>

#include "dns/dnsstory.h"

static const struct dnsstory_try sent = {"192.0.2.53:53", "d.test", "UDP", DNSMSG_MX};
static const uint8_t servfail[12] = {0, 0, 0x81, 0x82};

static struct dnsmsg message_of(enum dnsmsg_outcome outcome) {
  struct dnsmsg message;
  memset(&message, 0, offsetof(struct dnsmsg, mx));
  message.outcome = outcome;
  message.ttl_s = 300;
  return message;
}

/* Tells one reply; returns the story, whose first line is expected to be `text`. */
static struct story *expect_reply(const struct dnsmsg *message, const uint8_t *bytes, bool is_doubted,
                                  const char *text) {
  struct story *story = story_create();
  dnsstory_replied(story, &sent, message, bytes, 12, is_doubted, 9231);
  assert_string_equal(story_line(story, 0).text, text);
  return story;
}

static void without_a_story_nothing_happens(void **state) {
  (void)state;
  struct dnsmsg message = message_of(DNSMSG_ANSWER);
  dnsstory_waits(NULL, "d.test", DNSMSG_A, 7);
  dnsstory_late(NULL, "a", "b");
  dnsstory_again(NULL, "a", DNSSTORY_BROKEN);
  dnsstory_replied(NULL, &sent, &message, servfail, sizeof(servfail), true, 1);
  dnsstory_failed(NULL, &sent, true);
}

static void a_reply_is_told_with_server_code_time_and_life(void **state) {
  (void)state;
  static const uint8_t noerror[12] = {0, 0, 0x81, 0x80}, nxdomain[12] = {0, 0, 0x81, 0x83};
  struct dnsmsg message = message_of(DNSMSG_ANSWER);
  message.mx_count = 1;
  story_unref(
      expect_reply(&message, noerror, false,
                   "192.0.2.53:53 asked for d.test MX over UDP: NOERROR in 9.2 ms, 1 record, TTL 300 s"));
  message.mx_count = 100;
  message.cut = true;
  story_unref(expect_reply(
      &message, noerror, false,
      "192.0.2.53:53 asked for d.test MX over UDP: NOERROR in 9.2 ms, 100 records and more, TTL 300 s"));
  message = message_of(DNSMSG_FOLLOW);
  memcpy(message.canonical, "e.test", sizeof("e.test"));
  story_unref(expect_reply(
      &message, noerror, false,
      "192.0.2.53:53 asked for d.test MX over UDP: NOERROR in 9.2 ms, an alias of e.test, TTL 300 s"));
  message = message_of(DNSMSG_NXDOMAIN);
  message.has_soa = true;
  message.negative_ttl_s = 60;
  story_unref(expect_reply(
      &message, nxdomain, false,
      "192.0.2.53:53 asked for d.test MX over UDP: NXDOMAIN in 9.2 ms, no such name, negative TTL 60 s"));
  message = message_of(DNSMSG_SERVFAIL);
  story_unref(expect_reply(&message, servfail, false,
                           "192.0.2.53:53 asked for d.test MX over UDP: SERVFAIL in 9.2 ms, a failure"));
}

static void validation_is_told_and_so_is_disbelief(void **state) {
  (void)state;
  static const uint8_t noerror[12] = {0, 0, 0x81, 0xa0};
  struct dnsmsg message = message_of(DNSMSG_ANSWER);
  message.mx_count = 1;
  message.authentic = true;
  struct story *story = expect_reply(
      &message, noerror, false,
      "192.0.2.53:53 asked for d.test MX over UDP: NOERROR in 9.2 ms, 1 record, TTL 300 s, validated");
  assert_int_equal(story_count(story), 1);
  assert_string_equal(story_line(story, 0).rule, "RFC 6840 5.8");
  story_unref(story);
  message.authentic = false;
  story = expect_reply(&message, noerror, true,
                       "192.0.2.53:53 asked for d.test MX over UDP: NOERROR in 9.2 ms, 1 record, TTL 300 s");
  assert_int_equal(story_count(story), 2);
  assert_non_null(strstr(story_line(story, 1).text, "trust-ad is off"));
  story_unref(story);
}

static void each_other_way_is_told_with_its_rule(void **state) {
  (void)state;
  static const struct {
    enum dnsstory_again again;
    const char *rule, *piece;
  } rows[] = {{DNSSTORY_NO_EDNS, "V17 (RFC 6891 7)", "without EDNS"},
              {DNSSTORY_TRUNCATED, "V17", "truncated"},
              {DNSSTORY_BROKEN, "V11", "cannot be read"},
              {DNSSTORY_OTHER_CASE, "RFC 5452 9.1", "forger"}};
  struct story *story = story_create();
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    dnsstory_again(story, sent.server, rows[i].again);
    assert_string_equal(story_line(story, i).rule, rows[i].rule);
    assert_non_null(strstr(story_line(story, i).text, rows[i].piece));
  }
  story_unref(story);
}

static void waiting_lateness_silence_and_no_way_are_told(void **state) {
  (void)state;
  struct story *story = story_create();
  dnsstory_waits(story, "d.test", DNSMSG_AAAA, 1024);
  assert_string_equal(story_line(story, 0).text, "d.test AAAA waits: 1024 queries are under way");
  dnsstory_late(story, "192.0.2.1:53", "192.0.2.2:53");
  assert_string_equal(story_line(story, 1).text, "192.0.2.1:53 is late: asks 192.0.2.2:53 as well");
  dnsstory_failed(story, &sent, true);
  assert_string_equal(story_line(story, 2).text,
                      "192.0.2.53:53 asked for d.test MX over UDP: no reply in time");
  assert_string_equal(story_line(story, 2).rule, "L1");
  dnsstory_failed(story, &sent, false);
  assert_string_equal(story_line(story, 3).text,
                      "192.0.2.53:53 asked for d.test MX over UDP: it cannot be reached");
  assert_string_equal(story_line(story, 3).rule, "V10"); /* that is no matter of time */
  story_unref(story);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_a_story_nothing_happens),
      cmocka_unit_test(a_reply_is_told_with_server_code_time_and_life),
      cmocka_unit_test(validation_is_told_and_so_is_disbelief),
      cmocka_unit_test(each_other_way_is_told_with_its_rule),
      cmocka_unit_test(waiting_lateness_silence_and_no_way_are_told),
  };
  return cmocka_run_group_tests_name("dnsstory", tests, NULL, NULL);
}
