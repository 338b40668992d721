#include "cmocka_compat.h"

#include <stdlib.h>

#include "fake_fleet.h"
#include "record_samples.h"
#include "rules/name.h"
#include "store/writebehind.h"

enum { MAX_COUNT = 8, TIMEOUT_MS = 30, MAX_SENT = 4, NOW_MS = RECORD_SAMPLE_NOW_MS };

static const char key[] = "mxway:1:d:shop.example";

static struct stats stats;
static struct writebehind *behind;
static struct record record;
static struct image_time now;

static uint64_t counted(enum stats_counter counter) { return atomic_load(&stats.counters[counter]); }

static int open_it(void **state) {
  const struct writebehind_options options = {
      .max_count = MAX_COUNT, .max_sent = MAX_SENT, .timeout_ms = TIMEOUT_MS};
  (void)state;
  fake_fleet_init();
  memset(&stats, 0, sizeof(stats));
  name_hash_init();
  now = record_sample_time;
  record_sample_provider(&record);
  behind = writebehind_create(NULL, &options, &stats);
  assert_non_null(behind);
  return 0;
}

static int close_it(void **state) {
  (void)state;
  writebehind_destroy(behind);
  return 0;
}

static void pass(int64_t ms) {
  now.now_ms += ms;
  now.wall_ms += ms;
}

static void run(void) { writebehind_run(behind, &now); }

static const char *text_of(size_t at) {
  assert_true(at < fake_fleet.count);
  return fake_fleet.calls[at].text;
}

/* Puts the record under key `number`. */
static void put_number(unsigned number) {
  char text[64];
  snprintf(text, sizeof(text), "mxway:1:d:%u.example", number);
  assert_true(writebehind_put(behind, text, &record, &now));
}

/* The life that SET number `at` gave. */
static int64_t life_of(size_t at) {
  const char *life = strstr(text_of(at), " * PX ");
  assert_non_null(life);
  return strtoll(life + 6, NULL, 10);
}

static void assert_holds(size_t at, const char *its_key) {
  static struct record held;
  const struct fleet_call *call = &fake_fleet.calls[at];
  assert_int_equal(call->purpose, FLEET_WRITE);
  assert_string_equal(call->key, its_key);
  assert_int_equal(
      record_parse(call->value, call->value_length, record.kind, record.name, its_key, NULL, &now, &held),
      RECORD_GOOD);
  assert_true(record_is_same(&held, &record));
}

/* ---- what is written ---- */

static void facts_are_set_with_a_life(void **state) {
  (void)state;
  assert_true(writebehind_put(behind, key, &record, &now));
  assert_int_equal(fake_fleet.count, 0);
  assert_int_equal(writebehind_count(behind), 1);
  assert_true(writebehind_bytes(behind) > 0);
  run();
  assert_int_equal(fake_fleet.count, 1);
  assert_int_equal(writebehind_count(behind), 0);
  assert_memory_equal(text_of(0), "SET mxway:1:d:shop.example * PX ", 32);
  assert_int_equal(fake_fleet.calls[0].timeout_ms, TIMEOUT_MS);
  assert_holds(0, key);
  fake_answer_ok(0, now.now_ms);
  assert_int_equal(counted(STATS_STORE_WRITES), 1);
}

static void lives_end_with_the_last_stale_answer_or_up_to_a_twentieth_earlier(void **state) {
  (void)state;
  int64_t most = record.stale_until_ms - NOW_MS, least = most - most / 20, seen_least = most, seen_most = 0;
  for (unsigned i = 0; i < 1000; i++) {
    put_number(i);
    run();
    int64_t life = life_of(i);
    assert_true(life >= least && life <= most);
    seen_least = life < seen_least ? life : seen_least;
    seen_most = life > seen_most ? life : seen_most;
    fake_answer_ok(i, now.now_ms);
  }
  assert_true(seen_least < least + (most - least) / 10);
  assert_true(seen_most > most - (most - least) / 10);
}

static void the_time_that_a_write_waits_is_no_part_of_its_life(void **state) {
  (void)state;
  record.domain.expires_at_ms = NOW_MS + 100000;
  record.stale_until_ms = NOW_MS + 100000;
  put_number(0);
  pass(60000);
  run();
  assert_in_range(life_of(0), 38000, 40000);
}

static void a_life_is_a_second_at_least(void **state) {
  (void)state;
  record.domain.expires_at_ms = record.stale_until_ms = NOW_MS + 30;
  put_number(0);
  run();
  assert_int_equal(life_of(0), 1000);
}

static void a_denial_lives_as_long_as_it_holds_though_nothing_says_until_when_it_is_stale(void **state) {
  (void)state;
  record_sample_denied(&record);
  record.stale_until_ms = 0;
  assert_true(writebehind_put(behind, key, &record, &now));
  run();
  assert_in_range(life_of(0), 1799990 * 95 / 100, 1799990);
}

static void a_host_lives_as_long_as_the_later_of_its_families(void **state) {
  (void)state;
  record_sample_dual(&record);
  record.stale_until_ms = 0;
  assert_true(writebehind_put(behind, "mxway:1:h:mx1.hosting.example", &record, &now));
  run();
  assert_in_range(life_of(0), 3599960 * 95 / 100, 3599960);
  assert_holds(0, "mxway:1:h:mx1.hosting.example");
}

static void no_life_is_longer_than_any_record_s(void **state) {
  (void)state;
  record.domain.expires_at_ms = NOW_MS + INT64_C(2147483647000);
  record.stale_until_ms = record.domain.expires_at_ms + 86400000;
  put_number(0);
  run();
  assert_true(life_of(0) <= (RECORD_LIFE_MAX_S + RECORD_STALE_MAX_S) * INT64_C(1000));
}

static void nothing_to_share_is_not_written(void **state) {
  (void)state;
  record.domain.expires_at_ms = record.domain.stored_at_ms; /* TTL 0 */
  assert_false(writebehind_put(behind, key, &record, &now));
  record_sample_provider(&record);
  record.domain.kind = DOMAIN_FAILED;
  assert_false(writebehind_put(behind, key, &record, &now));
  run();
  assert_int_equal(fake_fleet.count, 0);
}

static void what_has_waited_until_its_life_was_over_is_dropped(void **state) {
  (void)state;
  record.domain.expires_at_ms = record.stale_until_ms = NOW_MS + 5000;
  put_number(0);
  pass(5000);
  run();
  assert_int_equal(fake_fleet.count, 0);
  assert_int_equal(writebehind_count(behind), 0);
  assert_int_equal(counted(STATS_STORE_WRITES_DROPPED), 1);
}

/* ---- what need not be written ---- */

static void put_again(enum stats_counter counter) {
  uint64_t before = counted(counter);
  assert_true(writebehind_put(behind, key, &record, &now));
  run();
  assert_int_equal(counted(counter), before + (counter == STATS_STORE_WRITES_SAME));
}

static void the_same_is_not_written_again_while_nine_tenths_of_its_life_are_left(void **state) {
  (void)state;
  put_again(STATS_STORE_WRITES);
  put_again(STATS_STORE_WRITES_SAME);
  assert_int_equal(fake_fleet.count, 1);
  pass(31000);
  record.domain.stored_at_ms += 31000;
  record.domain.expires_at_ms += 31000;
  put_again(STATS_STORE_WRITES);
  assert_int_equal(fake_fleet.count, 2);
}

static void what_was_read_counts_as_what_was_written(void **state) {
  (void)state;
  writebehind_saw(behind, key, &record);
  put_again(STATS_STORE_WRITES_SAME);
  writebehind_saw(behind, key, NULL);
  put_again(STATS_STORE_WRITES);
  assert_int_equal(fake_fleet.count, 1);
}

static void what_is_forgotten_is_written_again(void **state) {
  (void)state;
  put_again(STATS_STORE_WRITES);
  writebehind_forget(behind);
  put_again(STATS_STORE_WRITES);
  assert_int_equal(fake_fleet.count, 2);
}

static void what_was_refused_or_lost_is_written_again(void **state) {
  (void)state;
  put_again(STATS_STORE_WRITES);
  fake_answer(0, NULL, now.now_ms);
  put_again(STATS_STORE_WRITES);
  assert_int_equal(fake_fleet.count, 2);
  fake_answer_error(1, "OOM command not allowed", now.now_ms);
  assert_int_equal(counted(STATS_STORE_WRITES_FAILED), 2);
  pass(WRITEBEHIND_PAUSE_MS);
  put_again(STATS_STORE_WRITES);
  assert_int_equal(fake_fleet.count, 3);
}

/* ---- deleting ---- */

static void a_deletion_takes_the_place_of_what_waits(void **state) {
  (void)state;
  assert_true(writebehind_put(behind, key, &record, &now));
  writebehind_remove(behind, key);
  run();
  assert_int_equal(fake_fleet.count, 1);
  assert_string_equal(text_of(0), "DEL mxway:1:d:shop.example");
  assert_string_equal(fake_fleet.calls[0].key, key);
  put_again(STATS_STORE_WRITES);
  assert_int_equal(fake_fleet.count, 2);
}

static void a_write_takes_the_place_of_a_deletion(void **state) {
  (void)state;
  writebehind_remove(behind, key);
  put_again(STATS_STORE_WRITES);
  assert_int_equal(fake_fleet.count, 1);
  assert_holds(0, key);
}

static void a_deletion_waits_for_the_store_however_long_it_is_away(void **state) {
  (void)state;
  fake_fleet.is_down[FLEET_WRITE] = true;
  writebehind_remove(behind, key);
  pass(INT64_C(86400000) * 30);
  run();
  assert_int_equal(fake_fleet.count, 0);
  fake_fleet.is_down[FLEET_WRITE] = false;
  run();
  assert_string_equal(text_of(0), "DEL mxway:1:d:shop.example");
}

static void a_deletion_that_is_lost_or_refused_is_sent_again_a_few_times(void **state) {
  (void)state;
  writebehind_remove(behind, key);
  for (size_t i = 0; i < WRITEBEHIND_TRIES; i++) {
    run();
    assert_int_equal(fake_fleet.count, i + 1);
    assert_string_equal(text_of(i), "DEL mxway:1:d:shop.example");
    if (i % 2 == 0)
      fake_answer(i, NULL, now.now_ms);
    else
      fake_answer_error(i, "READONLY You can't write against a read only replica.", now.now_ms);
    assert_int_equal(counted(STATS_STORE_WRITES_FAILED), i + 1);
    pass(WRITEBEHIND_PAUSE_MS);
  }
  assert_int_equal(writebehind_count(behind), 0);
  writebehind_remove(behind, key); /* somebody asks anew */
  run();
  fake_answer(WRITEBEHIND_TRIES, NULL, now.now_ms);
  assert_int_equal(writebehind_count(behind), 1);
}

static void a_deletion_that_is_lost_gives_way_to_what_is_newer(void **state) {
  (void)state;
  writebehind_remove(behind, key);
  run();
  assert_true(writebehind_put(behind, key, &record, &now));
  fake_answer(0, NULL, now.now_ms);
  run();
  assert_int_equal(fake_fleet.count, 2);
  assert_holds(1, key);
}

static void a_value_that_is_lost_is_not_sent_behind_its_deletion(void **state) {
  (void)state;
  assert_true(writebehind_put(behind, key, &record, &now));
  run();
  writebehind_remove(behind, key);
  run();
  fake_answer_error(0, "OOM command not allowed when used memory > 'maxmemory'.", now.now_ms);
  fake_answer_ok(1, now.now_ms);
  pass(WRITEBEHIND_PAUSE_MS);
  run();
  assert_int_equal(fake_fleet.count, 2);
  assert_int_equal(writebehind_count(behind), 0);
}

/* ---- bounds ---- */

static void while_the_store_is_away_the_oldest_are_dropped(void **state) {
  (void)state;
  fake_fleet.is_down[FLEET_WRITE] = true;
  for (unsigned i = 0; i < MAX_COUNT + 3; i++) {
    put_number(i);
    run();
  }
  assert_int_equal(writebehind_count(behind), MAX_COUNT);
  assert_int_equal(counted(STATS_STORE_WRITES_DROPPED), 3);
  assert_true(writebehind_next_ms(behind) == INT64_MAX);
  fake_fleet.is_down[FLEET_WRITE] = false;
  run();
  assert_holds(0, "mxway:1:d:3.example");
}

static void a_key_that_is_written_again_waits_once(void **state) {
  (void)state;
  fake_fleet.is_down[FLEET_WRITE] = true;
  for (unsigned i = 0; i < 10; i++) {
    record.domain.exchanges[0].preference++;
    record.domain.exchanges[0].host[0] = (char)('a' + i);
    put_number(7);
  }
  assert_int_equal(writebehind_count(behind), 1);
  fake_fleet.is_down[FLEET_WRITE] = false;
  run();
  assert_int_equal(fake_fleet.count, 1);
}

static void only_so_many_are_under_way(void **state) {
  (void)state;
  for (unsigned i = 0; i < MAX_SENT + 2; i++)
    put_number(i);
  run();
  run();
  assert_int_equal(fake_fleet.count, MAX_SENT);
  assert_int_equal(writebehind_count(behind), 2);
  fake_answer_ok(1, now.now_ms);
  run();
  assert_int_equal(fake_fleet.count, MAX_SENT + 1);
  assert_holds(MAX_SENT, "mxway:1:d:4.example");
}

static void where_the_connection_has_no_room_they_wait(void **state) {
  (void)state;
  put_number(0);
  put_number(1);
  fake_fleet.most_open = 1;
  run();
  assert_int_equal(fake_fleet.count, 1);
  assert_int_equal(writebehind_count(behind), 1);
  fake_answer_ok(0, now.now_ms);
  run();
  assert_holds(1, "mxway:1:d:1.example");
}

static void of_many_servers_one_that_is_away_does_not_stop_the_others(void **state) {
  (void)state;
  put_number(0);
  fake_fleet.error = ERR_NETWORK;
  run();
  assert_int_equal(writebehind_count(behind), 0);
  assert_int_equal(counted(STATS_STORE_WRITES_DROPPED), 1);
  fake_fleet.error = 0;
  put_number(0);
  run();
  assert_holds(0, "mxway:1:d:0.example");
}

/* ---- refusals ---- */

static void after_an_error_there_is_a_pause_and_then_one_at_a_time(void **state) {
  (void)state;
  for (unsigned i = 0; i < MAX_COUNT; i++)
    put_number(i);
  run();
  for (unsigned i = 0; i < MAX_SENT; i++)
    fake_answer_error(i, "READONLY You can't write against a read only replica.", now.now_ms);
  assert_int_equal(counted(STATS_STORE_WRITES_FAILED), MAX_SENT);
  pass(WRITEBEHIND_PAUSE_MS - 1);
  run();
  assert_int_equal(fake_fleet.count, MAX_SENT);
  assert_int_equal(writebehind_next_ms(behind), now.now_ms + 1);
  pass(1);
  run();
  run();
  assert_int_equal(fake_fleet.count, MAX_SENT + 1);
  assert_true(writebehind_next_ms(behind) == INT64_MAX);
  fake_answer_ok(MAX_SENT, now.now_ms);
  run();
  assert_int_equal(fake_fleet.count, MAX_COUNT);
}

static void what_cannot_be_tried_after_a_pause_is_tried_after_another(void **state) {
  (void)state;
  put_number(0);
  run();
  fake_answer_error(0, "OOM command not allowed", now.now_ms);
  put_number(1);
  pass(WRITEBEHIND_PAUSE_MS);
  fake_fleet.error = ERR_OVERLOAD;
  run();
  assert_int_equal(writebehind_next_ms(behind), now.now_ms + WRITEBEHIND_PAUSE_MS);
  fake_fleet.is_down[FLEET_WRITE] = true;
  assert_true(writebehind_next_ms(behind) == INT64_MAX);
}

static void silence_is_no_refusal(void **state) {
  (void)state;
  put_number(0);
  run();
  fake_answer(0, NULL, now.now_ms);
  put_number(1);
  run();
  assert_int_equal(fake_fleet.count, 2);
}

static void who_is_destroyed_hears_of_nothing(void **state) {
  put_number(0);
  writebehind_remove(behind, key);
  run();
  fake_answer_ok(0, now.now_ms);
  close_it(state);
  assert_false(fake_fleet.calls[0].was_cancelled);
  assert_true(fake_fleet.calls[1].was_cancelled);
  behind = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(facts_are_set_with_a_life),
      TEST(lives_end_with_the_last_stale_answer_or_up_to_a_twentieth_earlier),
      TEST(the_time_that_a_write_waits_is_no_part_of_its_life),
      TEST(a_life_is_a_second_at_least),
      TEST(a_denial_lives_as_long_as_it_holds_though_nothing_says_until_when_it_is_stale),
      TEST(a_host_lives_as_long_as_the_later_of_its_families),
      TEST(no_life_is_longer_than_any_record_s),
      TEST(nothing_to_share_is_not_written),
      TEST(what_has_waited_until_its_life_was_over_is_dropped),
      TEST(the_same_is_not_written_again_while_nine_tenths_of_its_life_are_left),
      TEST(what_was_read_counts_as_what_was_written),
      TEST(what_is_forgotten_is_written_again),
      TEST(what_was_refused_or_lost_is_written_again),
      TEST(a_deletion_takes_the_place_of_what_waits),
      TEST(a_write_takes_the_place_of_a_deletion),
      TEST(a_deletion_waits_for_the_store_however_long_it_is_away),
      TEST(a_deletion_that_is_lost_or_refused_is_sent_again_a_few_times),
      TEST(a_deletion_that_is_lost_gives_way_to_what_is_newer),
      TEST(a_value_that_is_lost_is_not_sent_behind_its_deletion),
      TEST(while_the_store_is_away_the_oldest_are_dropped),
      TEST(a_key_that_is_written_again_waits_once),
      TEST(only_so_many_are_under_way),
      TEST(where_the_connection_has_no_room_they_wait),
      TEST(of_many_servers_one_that_is_away_does_not_stop_the_others),
      TEST(after_an_error_there_is_a_pause_and_then_one_at_a_time),
      TEST(what_cannot_be_tried_after_a_pause_is_tried_after_another),
      TEST(silence_is_no_refusal),
      TEST(who_is_destroyed_hears_of_nothing),
  };
  return cmocka_run_group_tests_name("writebehind", tests, NULL, NULL);
}
