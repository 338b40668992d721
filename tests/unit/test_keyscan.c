#include "cmocka_compat.h"

#include "base/log.h"
#include "fake_fleet.h"
#include "scan_replies.h"
#include "store/keyscan.h"

enum { NOW_MS = 1000000, KEYS_MAX = 64 };

static struct keyscan *scan;
static int64_t now_ms;
static char keys[KEYS_MAX][32];
static size_t key_count;

static void on_key(void *context, const char *key, size_t length) {
  assert_ptr_equal(context, keys);
  assert_true(key_count < KEYS_MAX);
  snprintf(keys[key_count++], sizeof(keys[0]), "%.*s", (int)length, key);
}

static void create(const char *prefix) {
  scan = keyscan_create(NULL, prefix, on_key, keys);
  assert_non_null(scan);
}

static int open_it(void **state) {
  (void)state;
  log_set_level(LOG_LEVEL_ERROR);
  fake_fleet_init();
  fake_add_server("/one");
  now_ms = NOW_MS;
  key_count = 0;
  create("mxway:1:d:");
  return 0;
}

static int close_it(void **state) {
  (void)state;
  keyscan_destroy(scan);
  assert_int_equal(fake_fleet.open_count, 0);
  return 0;
}

static size_t last(void) { return fake_fleet.count - 1; }

/* Steps until it has sent one, which must be `text` to `server`. */
static void expect(const char *server, const char *text) {
  size_t before = fake_fleet.count;
  assert_true(keyscan_step(scan, now_ms));
  assert_int_equal(fake_fleet.count, before + 1);
  assert_string_equal(fake_fleet.calls[last()].key, server);
  assert_string_equal(fake_fleet.calls[last()].text, text);
  assert_false(keyscan_step(scan, now_ms)); /* one at a time */
  assert_int_equal(keyscan_next_ms(scan), INT64_MAX);
}

static void answer(const char *cursor) {
  static const char *const found[] = {"mxway:1:d:a.test", "mxway:1:d:b.test"};
  scan_answer(last(), cursor, found, 2, now_ms);
}

static void assert_over(void) {
  assert_false(keyscan_step(scan, now_ms));
  assert_true(keyscan_has_ended(scan));
  assert_int_equal(keyscan_next_ms(scan), INT64_MAX);
}

/* It waits until `ms` from now, and not longer. */
static void assert_rests(int64_t ms) {
  assert_false(keyscan_step(scan, now_ms));
  assert_false(keyscan_has_ended(scan));
  assert_int_equal(keyscan_next_ms(scan), now_ms + ms);
  now_ms += ms - 1;
  size_t before = fake_fleet.count;
  assert_false(keyscan_step(scan, now_ms));
  assert_int_equal(fake_fleet.count, before);
  now_ms++;
}

static void a_scan_goes_on_from_cursor_to_cursor_until_it_is_0(void **state) {
  (void)state;
  expect("/one", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
  answer("17");
  assert_false(keyscan_has_ended(scan));
  expect("/one", "SCAN 17 MATCH mxway:1:d:* COUNT 100");
  answer("18446744073709551615");
  expect("/one", "SCAN 18446744073709551615 MATCH mxway:1:d:* COUNT 100");
  answer("0");
  assert_over();
  assert_int_equal(key_count, 6);
  assert_string_equal(keys[0], "mxway:1:d:a.test");
  assert_string_equal(keys[5], "mxway:1:d:b.test");
}

static void what_is_a_pattern_by_itself_is_none_in_a_prefix(void **state) {
  (void)state;
  keyscan_destroy(scan);
  create("m*x?[a]\\y-_.:1:d:");
  expect("/one", "SCAN 0 MATCH m\\*x\\?\\[a\\]\\\\y-_.:1:d:* COUNT 100");
}

static void every_server_is_scanned_one_after_the_other(void **state) {
  (void)state;
  fake_add_server("/two");
  fake_add_server("/three");
  for (int i = 0; i < 3; i++) {
    assert_true(keyscan_step(scan, now_ms));
    assert_string_equal(strchr(fake_fleet.calls[last()].text, ' '), " 0 MATCH mxway:1:d:* COUNT 100");
    answer("5");
    assert_true(keyscan_step(scan, now_ms));
    assert_string_equal(fake_fleet.calls[last()].key, fake_fleet.calls[last() - 1].key);
    answer("0");
  }
  assert_over();
  for (int i = 0; i < 6; i += 2)
    for (int k = i + 2; k < 6; k += 2)
      assert_string_not_equal(fake_fleet.calls[i].key, fake_fleet.calls[k].key);
}

static void a_server_that_comes_to_be_known_meanwhile_is_scanned_too(void **state) {
  (void)state;
  expect("/one", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
  fake_add_server("/two");
  answer("0");
  expect("/two", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
  answer("0");
  assert_over();
}

static void it_waits_where_no_server_is_known_yet(void **state) {
  (void)state;
  fake_fleet.server_count = 0;
  assert_rests(KEYSCAN_PAUSE_MS);
  assert_rests(KEYSCAN_PAUSE_MS);
  fake_add_server("/late");
  expect("/late", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
}

static void a_scan_goes_on_where_it_was_when_the_server_is_back(void **state) {
  (void)state;
  expect("/one", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
  answer("17");
  fake_fleet.is_away[0] = fake_fleet.is_down[FLEET_READ] = true;
  for (int64_t ms = 0; ms < 10 * KEYSCAN_AWAY_MS; ms += KEYSCAN_PAUSE_MS)
    assert_rests(KEYSCAN_PAUSE_MS); /* for as long as nobody is up */
  fake_fleet.is_away[0] = fake_fleet.is_down[FLEET_READ] = false;
  expect("/one", "SCAN 17 MATCH mxway:1:d:* COUNT 100");
}

static void others_go_on_while_one_is_away_and_it_is_left_in_the_end(void **state) {
  (void)state;
  fake_add_server("/two");
  fake_fleet.is_away[0] = true;
  expect("/two", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
  answer("0");
  size_t rests = 0;
  for (; !keyscan_step(scan, now_ms) && !keyscan_has_ended(scan); rests++)
    now_ms = keyscan_next_ms(scan);
  assert_over();
  assert_int_equal(now_ms, NOW_MS + KEYSCAN_AWAY_MS);
  assert_int_equal(rests, KEYSCAN_AWAY_MS / KEYSCAN_PAUSE_MS);
  assert_int_equal(fake_fleet.count, 1);
}

static void a_server_that_is_away_for_less_is_scanned(void **state) {
  (void)state;
  fake_add_server("/two");
  fake_fleet.is_away[0] = true;
  expect("/two", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
  answer("0");
  assert_rests(KEYSCAN_PAUSE_MS);
  now_ms += KEYSCAN_AWAY_MS - 2 * KEYSCAN_PAUSE_MS;
  assert_rests(KEYSCAN_PAUSE_MS);
  fake_fleet.is_away[0] = false;
  expect("/one", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
  answer("0");
  assert_over();
}

static void too_many_commands_are_no_failure(void **state) {
  (void)state;
  fake_fleet.error = ERR_OVERLOAD;
  for (int i = 0; i < 10 * KEYSCAN_FAILURES; i++)
    assert_rests(KEYSCAN_PAUSE_MS);
  fake_fleet.error = 0;
  expect("/one", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
}

/* Everything that is no answer to SCAN 17. */
static void answer_badly(size_t way) {
  struct redisReply text = {.type = REDIS_REPLY_STRING, .str = (char *)"9", .len = 1};
  struct redisReply number = {.type = REDIS_REPLY_INTEGER, .integer = 9};
  struct redisReply none = {.type = REDIS_REPLY_ARRAY};
  struct redisReply *one[] = {&number};
  struct redisReply keys_of_numbers = {.type = REDIS_REPLY_ARRAY, .elements = 1, .element = one};
  struct redisReply *pairs[][2] = {
      {&number, &none}, {&text, &text}, {&text, &keys_of_numbers}, {&none, &none}};
  struct redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = pairs[way % 4]};
  switch (way) {
  case 4:
    reply.elements = 1;
    break;
  case 5:
    fake_answer(last(), NULL, now_ms);
    return;
  case 6:
    fake_answer_error(last(), "LOADING Redis is loading the dataset in memory", now_ms);
    return;
  case 7:
    fake_answer_ok(last(), now_ms);
    return;
  case 8:
    fake_answer_nil(last(), now_ms);
    return;
  case 9:
    answer("x1");
    return;
  case 10:
    answer("");
    return;
  case 11:
    answer("184467440737095516150");
    return;
  case 12:
    answer("17");
    return;
  default:
    break;
  }
  fake_answer(last(), &reply, now_ms);
}

enum { WAYS = 13 };

static void what_is_no_answer_is_asked_again_and_then_left(void **state) {
  (void)state;
  for (size_t way = 0; way < WAYS; way++) {
    close_it(state);
    open_it(state);
    expect("/one", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
    answer("17");
    for (int i = 0; i < KEYSCAN_FAILURES; i++) {
      expect("/one", "SCAN 17 MATCH mxway:1:d:* COUNT 100");
      answer_badly(way);
      if (i < KEYSCAN_FAILURES - 1)
        assert_rests(KEYSCAN_RETRY_MS);
    }
    assert_over();
    assert_int_equal(key_count, 2); /* and nothing of it was taken */
  }
}

static void a_server_that_forbids_it_is_left_at_once(void **state) {
  (void)state;
  expect("/one", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
  fake_answer_error(last(), "NOPERM this user has no permissions to run the 'scan' command", now_ms);
  assert_over();
}

static void failures_count_in_a_row_alone(void **state) {
  (void)state;
  char cursor[8];
  for (int i = 0; i < 3 * KEYSCAN_FAILURES; i++) {
    assert_true(keyscan_step(scan, now_ms));
    if (i % KEYSCAN_FAILURES < KEYSCAN_FAILURES - 1) {
      fake_answer(last(), NULL, now_ms);
      now_ms += KEYSCAN_RETRY_MS;
      continue;
    }
    snprintf(cursor, sizeof(cursor), "%d", i + 1);
    answer(cursor);
  }
  assert_false(keyscan_has_ended(scan));
}

static void it_is_taken_back_while_a_command_is_under_way(void **state) {
  (void)state;
  expect("/one", "SCAN 0 MATCH mxway:1:d:* COUNT 100");
  keyscan_destroy(scan);
  scan = NULL;
  assert_true(fake_fleet.calls[last()].was_cancelled);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_scan_goes_on_from_cursor_to_cursor_until_it_is_0, open_it, close_it),
      cmocka_unit_test_setup_teardown(what_is_a_pattern_by_itself_is_none_in_a_prefix, open_it, close_it),
      cmocka_unit_test_setup_teardown(every_server_is_scanned_one_after_the_other, open_it, close_it),
      cmocka_unit_test_setup_teardown(a_server_that_comes_to_be_known_meanwhile_is_scanned_too, open_it,
                                      close_it),
      cmocka_unit_test_setup_teardown(it_waits_where_no_server_is_known_yet, open_it, close_it),
      cmocka_unit_test_setup_teardown(a_scan_goes_on_where_it_was_when_the_server_is_back, open_it, close_it),
      cmocka_unit_test_setup_teardown(others_go_on_while_one_is_away_and_it_is_left_in_the_end, open_it,
                                      close_it),
      cmocka_unit_test_setup_teardown(a_server_that_is_away_for_less_is_scanned, open_it, close_it),
      cmocka_unit_test_setup_teardown(too_many_commands_are_no_failure, open_it, close_it),
      cmocka_unit_test_setup_teardown(what_is_no_answer_is_asked_again_and_then_left, open_it, close_it),
      cmocka_unit_test_setup_teardown(a_server_that_forbids_it_is_left_at_once, open_it, close_it),
      cmocka_unit_test_setup_teardown(failures_count_in_a_row_alone, open_it, close_it),
      cmocka_unit_test_setup_teardown(it_is_taken_back_while_a_command_is_under_way, open_it, close_it),
  };
  return cmocka_run_group_tests_name("keyscan", tests, NULL, NULL);
}
