#include "store_readers.h"

static struct storeread *reads;
static struct storeread_options options;
static char seen[FAKE_TEXT_SIZE]; /* what was told last to have been seen: "key" or "key -" */

static void saw(void *context, const char *key, const struct record *record) {
  assert_ptr_equal(context, seen);
  snprintf(seen, sizeof(seen), "%s%s", key, record ? "" : " -");
}

static void create(void) {
  reads = storeread_create(NULL, &options, &stats);
  assert_non_null(reads);
}
static void destroy(void) { storeread_destroy(reads); }
static void set_lease_wait(uint32_t ms) { options.lease_wait_ms = ms; }
static const struct seal *seal(void) { return options.seal; }
static int ask(struct reader *own, const struct store_question *question) {
  char key[FAKE_TEXT_SIZE];
  snprintf(key, sizeof(key), "mxway:1:%c:%s", question->kind == RECORD_DOMAIN ? 'd' : 'h', question->name);
  return storeread_get(reads, question, key, now.now_ms, &calls, own, &own->read);
}
static void cancel(struct store_read *read) { storeread_cancel(read); }
static void run(void) { storeread_run(reads, now.now_ms); }
static int64_t next_ms(void) { return storeread_next_ms(reads); }

static int open_it(void **state) {
  (void)state;
  init_readers();
  seen[0] = '\0';
  options = (struct storeread_options){.prefix = "mxway:1:",
                                       .origin = "mx-out-3",
                                       .timeout_ms = TIMEOUT_MS,
                                       .head_start_ms = HEAD_START_MS,
                                       .max_commands = MAX_COMMANDS,
                                       .saw = saw,
                                       .context = seen};
  create();
  return 0;
}

static const struct tested tested = {open_it, create, destroy, set_lease_wait, seal,
                                     ask,     cancel, run,     next_ms};

static void assert_reads(size_t count) { assert_int_equal(storeread_count(reads), count); }

/* ---- reading ---- */

static void a_value_that_is_enough_is_the_answer(void **state) {
  (void)state;
  get(reader);
  assert_text(0, "GET mxway:1:d:shop.example");
  assert_string_equal(fake_fleet.calls[0].key, "mxway:1:d:shop.example");
  assert_int_equal(fake_fleet.calls[0].purpose, FLEET_READ);
  assert_int_equal(fake_fleet.calls[0].timeout_ms, TIMEOUT_MS);
  assert_int_equal(reader->done_count, 0);
  reader->is_content = true;
  pass(3);
  answer_record(0);
  assert_ended(reader, STORE_FOUND);
  assert_int_equal(reader->shown_count, 1);
  assert_int_equal(reader->late_count, 0);
  assert_true(record_is_same(&found, &made));
  assert_string_equal(seen, "mxway:1:d:shop.example");
  assert_int_equal(counted(STATS_STORE_HITS), 1);
  assert_reads(0);
  run_for(1000);
  assert_int_equal(fake_fleet.count, 1);
}

static void no_value_is_a_miss(void **state) {
  (void)state;
  get(reader);
  fake_answer_nil(0, now.now_ms);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(reader->shown_count, 0);
  assert_string_equal(seen, "mxway:1:d:shop.example -");
  assert_int_equal(counted(STATS_STORE_MISSES), 1);
}

static void a_value_that_is_not_enough_is_shown_and_a_miss(void **state) {
  (void)state;
  get(reader);
  answer_record(0);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(reader->shown_count, 1);
  assert_int_equal(counted(STATS_STORE_SHORT), 1);
  assert_int_equal(counted(STATS_STORE_STALE), 0);
  assert_int_equal(counted(STATS_STORE_MISSES), 1);
}

static void a_value_that_has_expired_is_shown(void **state) {
  (void)state;
  pass(300000);
  get(reader);
  answer_record(0);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(reader->shown_count, 1);
  assert_true(found.expires_at_ms <= now.now_ms);
  assert_int_equal(counted(STATS_STORE_STALE), 1);
}

static void what_cannot_be_used_is_not_shown_and_counted(void **state) {
  (void)state;
  get(reader);
  fake_answer_text(0, REDIS_REPLY_STRING, "rubbish", now.now_ms);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(reader->shown_count, 0);
  assert_int_equal(counted(STATS_STORE_NO_RECORD), 1);
  assert_string_equal(reader->why, "its value is none of mxway");
  assert_string_equal(seen, "mxway:1:d:shop.example -");
  assert_int_equal(counted(STATS_STORE_MISSES), 1);
}

static void the_value_of_another_name_is_not_shown(void **state) {
  (void)state;
  assert_int_equal(get_named(reader, "other.example"), 0);
  answer_record(0);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(reader->shown_count, 0);
  assert_int_equal(counted(STATS_STORE_WRONG_NAME), 1);
}

static bool is_purged(void *context, const struct record *record) {
  return record->generation < *(const uint64_t *)context;
}

static void what_has_been_purged_is_not_shown(void **state) {
  (void)state;
  uint64_t generation = made.generation;
  storeread_set_purged(reads, is_purged, &generation);
  get(&readers[1]);
  answer_record(0);
  assert_int_equal(readers[1].shown_count, 1);
  generation++;
  get(reader);
  answer_record(1);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(reader->shown_count, 0);
  assert_int_equal(counted(STATS_STORE_PURGED), 1);
  assert_null(readers[1].why);
  assert_string_equal(reader->why, "its value is from before a purge");
}

static void an_error_is_no_answer(void **state) {
  (void)state;
  get(reader);
  fake_answer_error(0, "LOADING Redis is loading the dataset in memory", now.now_ms);
  assert_ended(reader, STORE_AWAY);
  assert_int_equal(counted(STATS_STORE_ERRORS), 1);
  assert_string_equal(reader->why, "its server answers with an error");
  assert_int_equal(counted(STATS_STORE_MISSES), 0);
  assert_string_equal(seen, "");
}

/* ---- time ---- */

static void after_the_head_start_the_dns_is_asked_beside(void **state) {
  (void)state;
  get(reader);
  run_for(HEAD_START_MS - 1);
  assert_int_equal(reader->late_count, 0);
  run_for(1);
  storeread_run(reads, now.now_ms);
  assert_int_equal(reader->late_count, 1);
  assert_int_equal(reader->done_count, 0);
  assert_int_equal(counted(STATS_STORE_LATE), 1);
  run_for(5);
  reader->is_content = true;
  answer_record(0);
  assert_ended(reader, STORE_FOUND);
  assert_int_equal(reader->late_count, 1);
}

static void after_the_budget_there_is_no_answer_and_a_late_one_is_nobody_s(void **state) {
  (void)state;
  get(reader);
  run_for(TIMEOUT_MS - 1);
  assert_int_equal(reader->done_count, 0);
  run_for(1);
  storeread_run(reads, now.now_ms);
  assert_ended(reader, STORE_AWAY);
  assert_int_equal(reader->late_count, 1);
  assert_true(fake_fleet.calls[0].was_cancelled);
  assert_int_equal(counted(STATS_STORE_TIMEOUTS), 1);
  assert_true(storeread_next_ms(reads) == INT64_MAX);
}

static void where_the_loop_was_held_up_only_the_end_is_told(void **state) {
  (void)state;
  get(reader);
  pass(TIMEOUT_MS + 40);
  storeread_run(reads, now.now_ms);
  assert_ended(reader, STORE_AWAY);
  assert_int_equal(reader->late_count, 0);
}

static void a_server_that_gives_up_first_is_a_timeout_too(void **state) {
  (void)state;
  get(reader);
  pass(TIMEOUT_MS);
  fake_answer(0, NULL, now.now_ms);
  assert_ended(reader, STORE_AWAY);
  assert_int_equal(counted(STATS_STORE_TIMEOUTS), 1);
  assert_int_equal(counted(STATS_STORE_AWAY), 0);
}

static void a_lost_connection_ends_reads_at_once(void **state) {
  (void)state;
  get(reader);
  pass(2);
  fake_answer(0, NULL, now.now_ms);
  assert_ended(reader, STORE_AWAY);
  assert_int_equal(counted(STATS_STORE_AWAY), 1);
  assert_int_equal(counted(STATS_STORE_TIMEOUTS), 0);
}

static void who_cancels_is_not_called(void **state) {
  (void)state;
  get(&readers[0]);
  get(&readers[1]);
  storeread_cancel(readers[0].read);
  storeread_cancel(readers[1].read);
  answer_record(0);
  assert_reads(1);
  fake_answer(1, NULL, now.now_ms);
  assert_reads(0);
  run_for(100);
  for (int i = 0; i < 2; i++)
    assert_int_equal(readers[i].shown_count + readers[i].late_count + readers[i].done_count, 0);
  assert_int_equal(counted(STATS_STORE_TIMEOUTS) + counted(STATS_STORE_AWAY) + counted(STATS_STORE_LATE), 0);
}

static void who_has_cancelled_is_not_called_after_the_head_start_either(void **state) {
  (void)state;
  get(reader);
  storeread_cancel(reader->read);
  pass(HEAD_START_MS);
  storeread_run(reads, now.now_ms);
  assert_int_equal(reader->late_count, 0);
  assert_int_equal(counted(STATS_STORE_LATE), 0);
}

static void an_answer_that_was_there_is_no_timeout_however_late_it_is_read(void **state) {
  (void)state;
  get(reader);
  storeread_cancel(reader->read);
  pass(TIMEOUT_MS + 5);
  fake_answer_nil(0, now.now_ms);
  assert_int_equal(counted(STATS_STORE_TIMEOUTS), 0);
  assert_reads(0);
}

static void a_server_that_is_too_late_is_seen_to_be_though_nobody_waits_any_more(void **state) {
  (void)state;
  get(&readers[0]);
  get(&readers[1]);
  run_for(HEAD_START_MS);
  storeread_run(reads, now.now_ms);
  storeread_cancel(readers[0].read);
  storeread_cancel(readers[1].read);
  run_for(TIMEOUT_MS - HEAD_START_MS - 1);
  assert_int_equal(counted(STATS_STORE_TIMEOUTS), 0);
  pass(1);
  fake_answer(1, NULL, now.now_ms);
  assert_int_equal(counted(STATS_STORE_TIMEOUTS), 1);
  storeread_run(reads, now.now_ms);
  assert_int_equal(counted(STATS_STORE_TIMEOUTS), 2);
  assert_true(fake_fleet.calls[0].was_cancelled);
  assert_reads(0);
  assert_int_equal(readers[0].done_count + readers[1].done_count, 0);
}

static void each_read_has_its_own_time(void **state) {
  (void)state;
  get(&readers[0]);
  run_for(4);
  get(&readers[1]);
  run_for(HEAD_START_MS - 4);
  storeread_run(reads, now.now_ms);
  assert_int_equal(readers[0].late_count, 1);
  assert_int_equal(readers[1].late_count, 0);
  run_for(4);
  storeread_run(reads, now.now_ms);
  assert_int_equal(readers[1].late_count, 1);
}

/* ---- where there is no store, or too much of it ---- */

static void a_store_that_is_away_costs_nothing(void **state) {
  (void)state;
  fake_fleet.is_down[FLEET_READ] = true;
  assert_int_equal(get_named(reader, made.name), ERR_NETWORK);
  assert_reads(0);
  assert_int_equal(counted(STATS_STORE_AWAY), 1);
  assert_true(storeread_next_ms(reads) == INT64_MAX);
}

static void a_server_that_is_away_among_others_says_so_at_once(void **state) {
  (void)state;
  fake_fleet.error = ERR_NETWORK;
  assert_int_equal(get_named(reader, made.name), ERR_NETWORK);
  assert_reads(0);
  assert_int_equal(counted(STATS_STORE_AWAY), 1);
}

static void reads_wait_for_their_turn_in_order(void **state) {
  (void)state;
  for (int i = 0; i < 7; i++)
    get(&readers[i]);
  assert_int_equal(fake_fleet.count, MAX_COMMANDS / 2);
  run_for(2);
  fake_answer_nil(2, now.now_ms);
  fake_answer_nil(0, now.now_ms);
  assert_int_equal(fake_fleet.count, MAX_COMMANDS / 2);
  storeread_run(reads, now.now_ms);
  assert_int_equal(fake_fleet.count, MAX_COMMANDS / 2 + 2);
  assert_ptr_equal(fake_fleet.calls[4].context, readers[4].read);
  assert_ptr_equal(fake_fleet.calls[5].context, readers[5].read);
  assert_int_equal(fake_fleet.calls[4].timeout_ms, TIMEOUT_MS - 2);
}

static void whoever_comes_while_others_wait_goes_behind_them(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++)
    get(&readers[i]);
  fake_answer_nil(0, now.now_ms);
  get(&readers[5]);
  assert_int_equal(fake_fleet.count, 4);
  storeread_run(reads, now.now_ms);
  assert_ptr_equal(fake_fleet.calls[4].context, readers[4].read);
}

static void a_read_that_never_had_its_turn_has_its_time_all_the_same(void **state) {
  (void)state;
  fake_fleet.most_open = 1;
  get(&readers[0]);
  get(&readers[1]);
  run_for(HEAD_START_MS);
  storeread_run(reads, now.now_ms);
  assert_int_equal(readers[1].late_count, 1);
  run_for(TIMEOUT_MS - HEAD_START_MS);
  storeread_run(reads, now.now_ms);
  assert_ended(&readers[1], STORE_AWAY);
  assert_int_equal(counted(STATS_STORE_TIMEOUTS), 2);
  assert_int_equal(fake_fleet.count, 1);
}

static void who_waits_for_a_turn_hears_that_the_store_has_gone(void **state) {
  (void)state;
  for (int i = 0; i < 6; i++)
    get(&readers[i]);
  fake_fleet.is_down[FLEET_READ] = true;
  for (size_t i = 0; i < 4; i++)
    fake_answer(i, NULL, now.now_ms);
  storeread_run(reads, now.now_ms);
  for (int i = 0; i < 6; i++)
    assert_ended(&readers[i], STORE_AWAY);
  assert_int_equal(counted(STATS_STORE_AWAY), 6);
}

static void a_cancelled_read_that_was_not_sent_takes_no_turn(void **state) {
  (void)state;
  for (int i = 0; i < 6; i++)
    get(&readers[i]);
  storeread_cancel(readers[4].read);
  storeread_cancel(readers[1].read);
  storeread_run(reads, now.now_ms);
  assert_int_equal(fake_fleet.count, 4); /* the server still has it */
  fake_answer_nil(1, now.now_ms);
  storeread_run(reads, now.now_ms);
  assert_int_equal(fake_fleet.count, 5);
  assert_ptr_equal(fake_fleet.calls[4].context, readers[5].read);
}

static void there_is_a_bound_on_reads(void **state) {
  (void)state;
  for (int i = 0; i < STOREREAD_MAX; i++)
    get(&readers[1]);
  assert_int_equal(get_named(reader, made.name), ERR_OVERLOAD);
  assert_int_equal(counted(STATS_STORE_BUSY), 1);
  assert_null(reader->read);
  assert_reads(STOREREAD_MAX);
}

static void a_callback_may_cancel_another_read_and_begin_one(void **state) {
  (void)state;
  get(&readers[0]);
  get(&readers[5]);
  readers[0].cancels = readers[5].read;
  readers[0].asks_again = true;
  pass(TIMEOUT_MS);
  storeread_run(reads, now.now_ms);
  assert_ended(&readers[0], STORE_AWAY);
  assert_int_equal(readers[5].done_count, 0);
  assert_non_null(readers[1].read);
  assert_reads(1);
  pass(TIMEOUT_MS);
  storeread_run(reads, now.now_ms);
  assert_ended(&readers[1], STORE_AWAY);
}

static void who_is_destroyed_hears_of_nothing(void **state) {
  (void)state;
  for (int i = 0; i < 6; i++)
    get(&readers[i]);
  storeread_destroy(reads);
  reads = NULL;
  assert_int_equal(fake_fleet.open_count, 0);
  for (int i = 0; i < 6; i++)
    assert_int_equal(readers[i].done_count, 0);
}

/* ---- leases ---- */

/* The first look is in vain; command 1 asks for the lease. */
static void look_in_vain(void) {
  get(reader);
  pass(1);
  fake_answer_nil(0, now.now_ms);
  assert_int_equal(reader->done_count, 0);
  assert_text(1, "SET mxway:1:l:d:shop.example mx-out-3 NX PX 1000");
}

static void who_wins_the_lease_asks_the_dns(void **state) {
  (void)state;
  look_in_vain();
  fake_answer_ok(1, now.now_ms);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(counted(STATS_STORE_LEASES_WON), 1);
}

static void who_has_a_lease_does_not_wait_for_itself(void **state) {
  (void)state;
  look_in_vain();
  fake_answer_ok(1, now.now_ms);
  pass(500);
  get(&readers[1]);
  fake_answer_nil(2, now.now_ms);
  assert_ended(&readers[1], STORE_MISSING);
  assert_int_equal(fake_fleet.count, 3);
  pass(600);
  get(&readers[2]);
  fake_answer_nil(3, now.now_ms);
  assert_int_equal(readers[2].done_count, 0);
  assert_int_equal(fake_fleet.count, 5);
}

static void who_loses_it_looks_again_and_finds_the_value(void **state) {
  (void)state;
  look_in_vain();
  fake_answer_nil(1, now.now_ms);
  assert_int_equal(counted(STATS_STORE_LEASES_LOST), 1);
  run_for(2);
  assert_int_equal(fake_fleet.count, 2);
  run_for(1);
  storeread_run(reads, now.now_ms);
  assert_text(2, "GET mxway:1:d:shop.example");
  reader->is_content = true;
  answer_record(2);
  assert_ended(reader, STORE_FOUND);
  assert_int_equal(counted(STATS_STORE_HITS), 1);
  assert_int_equal(counted(STATS_STORE_LEASES_WAITED), 0);
  assert_int_equal(reader->late_count, 0);
}

static void what_cannot_be_used_is_told_and_counted_once_however_often_it_is_looked_at(void **state) {
  (void)state;
  get(reader);
  fake_answer_text(0, REDIS_REPLY_STRING, "rubbish", now.now_ms);
  fake_answer_nil(1, now.now_ms);
  run_until(storeread_next_ms(reads));
  storeread_run(reads, now.now_ms);
  assert_text(2, "GET mxway:1:d:shop.example");
  fake_answer_text(2, REDIS_REPLY_STRING, "rubbish", now.now_ms);
  assert_int_equal(reader->done_count, 0);
  assert_string_equal(reader->why, "its value is none of mxway");
  assert_int_equal(counted(STATS_STORE_NO_RECORD), 1);
}

static void pauses_grow_and_end_in_time(void **state) {
  (void)state;
  int64_t looks[8];
  look_in_vain();
  int64_t start_ms = now.now_ms;
  fake_answer_nil(1, now.now_ms);
  size_t count = 0;
  for (; reader->done_count == 0; run_for(1)) {
    storeread_run(reads, now.now_ms);
    if (fake_fleet.count == 2 + count)
      continue;
    assert_true(count < 8);
    looks[count] = now.now_ms - start_ms;
    fake_answer_nil(2 + count++, now.now_ms);
  }
  assert_int_equal(count, 4);
  assert_int_equal(looks[0], 3);
  assert_int_equal(looks[1], 9);
  assert_int_equal(looks[2], 21);
  assert_int_equal(looks[3], 45);
  assert_ended(reader, STORE_MISSING);
  assert_true(now.now_ms - start_ms <= LEASE_MS);
  assert_int_equal(counted(STATS_STORE_LEASES_WAITED), 1);
  assert_int_equal(counted(STATS_STORE_MISSES), 1);
}

static void the_last_look_is_made_in_time_for_its_answer(void **state) {
  (void)state;
  storeread_destroy(reads);
  options.lease_wait_ms = 40;
  create();
  look_in_vain();
  int64_t start_ms = now.now_ms;
  fake_answer_nil(1, now.now_ms);
  for (size_t i = 2; i < 5; i++) {
    run_until(storeread_next_ms(reads));
    storeread_run(reads, now.now_ms);
    fake_answer_nil(i, now.now_ms);
  }
  run_until(storeread_next_ms(reads));
  storeread_run(reads, now.now_ms);
  assert_int_equal(fake_fleet.count, 6);
  assert_int_equal(now.now_ms - start_ms, 35);
  reader->is_content = true;
  answer_record(5);
  assert_ended(reader, STORE_FOUND);
}

static void a_look_that_is_not_answered_ends_with_the_wait(void **state) {
  (void)state;
  look_in_vain();
  int64_t start_ms = now.now_ms;
  fake_answer_nil(1, now.now_ms);
  run_for(3);
  storeread_run(reads, now.now_ms);
  assert_int_equal(fake_fleet.calls[2].timeout_ms, TIMEOUT_MS);
  run_until(start_ms + LEASE_MS);
  storeread_run(reads, now.now_ms);
  assert_ended(reader, STORE_MISSING);
  assert_true(fake_fleet.calls[2].was_cancelled);
}

/* The DNS takes longer than anybody waits, or the server says so of whatever name. */
static void leases_that_are_always_in_vain_are_not_asked_for(void **state) {
  (void)state;
  size_t at = 0;
  for (int i = 0; i < LEASES_VAIN_MAX; i++) {
    reader->done_count = 0;
    get(reader);
    pass(1);
    fake_answer_nil(at++, now.now_ms);
    fake_answer_nil(at++, now.now_ms); /* another node has it */
    run_for(LEASE_MS);
    storeread_run(reads, now.now_ms);
    assert_ended(reader, STORE_MISSING);
    at = fake_fleet.count;
  }
  reader->done_count = 0;
  get(reader);
  pass(1);
  fake_answer_nil(at, now.now_ms);
  assert_ended(reader, STORE_MISSING); /* at once */
  assert_int_equal(fake_fleet.count, at + 1);
}

static void a_lease_that_is_not_answered_ends_with_the_wait(void **state) {
  (void)state;
  look_in_vain();
  assert_int_equal(fake_fleet.calls[1].timeout_ms, TIMEOUT_MS);
  run_for(LEASE_MS - 1);
  assert_int_equal(reader->done_count, 0);
  run_for(1);
  storeread_run(reads, now.now_ms);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(reader->late_count, 0);
}

static void what_fails_on_the_way_to_a_lease_is_as_good_as_one(void **state) {
  (void)state;
  look_in_vain();
  fake_answer_error(1, "READONLY You can't write against a read only replica.", now.now_ms);
  assert_ended(reader, STORE_MISSING);
  get(&readers[1]);
  fake_fleet.is_down[FLEET_WRITE] = true;
  fake_answer_nil(2, now.now_ms);
  assert_ended(&readers[1], STORE_MISSING);
}

static void who_looks_again_and_finds_the_store_gone_asks_the_dns(void **state) {
  (void)state;
  look_in_vain();
  fake_answer_nil(1, now.now_ms);
  fake_fleet.is_down[FLEET_READ] = true;
  run_for(3);
  storeread_run(reads, now.now_ms);
  assert_ended(reader, STORE_MISSING);
  fake_fleet.is_down[FLEET_READ] = false;
  get(&readers[1]);
  fake_answer_nil(2, now.now_ms);
  fake_answer_nil(3, now.now_ms);
  run_for(3);
  storeread_run(reads, now.now_ms);
  fake_answer(4, NULL, now.now_ms);
  assert_ended(&readers[1], STORE_MISSING);
}

static void who_looks_again_and_finds_no_room_looks_later(void **state) {
  (void)state;
  look_in_vain();
  fake_answer_nil(1, now.now_ms);
  fake_fleet.error = ERR_OVERLOAD;
  run_for(3);
  storeread_run(reads, now.now_ms);
  assert_int_equal(reader->done_count, 0);
  fake_fleet.error = 0;
  run_for(6);
  storeread_run(reads, now.now_ms);
  assert_int_equal(fake_fleet.count, 3);
}

static void a_value_that_is_not_enough_wants_a_lease_and_is_counted_once(void **state) {
  (void)state;
  get(reader);
  answer_record(0);
  assert_text(1, "SET mxway:1:l:d:shop.example mx-out-3 NX PX 1000");
  fake_answer_nil(1, now.now_ms);
  run_for(3);
  storeread_run(reads, now.now_ms);
  answer_record(2);
  assert_int_equal(reader->done_count, 0);
  assert_int_equal(reader->shown_count, 2);
  assert_int_equal(counted(STATS_STORE_SHORT), 1);
}

static void where_the_dns_is_being_asked_no_lease_is_taken(void **state) {
  (void)state;
  get(reader);
  run_for(HEAD_START_MS);
  storeread_run(reads, now.now_ms);
  assert_int_equal(reader->late_count, 1);
  fake_answer_nil(0, now.now_ms);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(fake_fleet.count, 1);
}

static void who_cancels_while_it_waits_is_not_called(void **state) {
  (void)state;
  look_in_vain();
  storeread_cancel(reader->read);
  assert_true(fake_fleet.calls[1].was_cancelled);
  get(&readers[1]);
  fake_answer_nil(2, now.now_ms);
  fake_answer_nil(3, now.now_ms);
  storeread_cancel(readers[1].read);
  run_for(1000);
  assert_int_equal(fake_fleet.count, 4);
  assert_int_equal(reader->done_count + readers[1].done_count, 0);
}

static void whoever_waits_for_others_takes_no_turn_of_a_first_read(void **state) {
  (void)state;
  for (int i = 0; i < 6; i++)
    get(&readers[i]);
  for (size_t i = 0; i < 4; i++) {
    fake_answer_nil(i, now.now_ms);
    fake_answer_nil(4 + i, now.now_ms);
  }
  storeread_run(reads, now.now_ms);
  assert_int_equal(fake_fleet.count, 10);
  assert_ptr_equal(fake_fleet.calls[8].context, readers[4].read);
  assert_ptr_equal(fake_fleet.calls[9].context, readers[5].read);
}

static void a_lease_can_be_given_back(void **state) {
  (void)state;
  look_in_vain();
  fake_answer_ok(1, now.now_ms);
  storeread_release(reads, "mxway:1:d:shop.example", now.now_ms);
  assert_text(2, "DEL mxway:1:l:d:shop.example");
  fake_answer_nil(2, now.now_ms);
}

static void the_last_look_has_only_the_time_that_is_left(void **state) {
  (void)state;
  look_in_vain();
  fake_answer_nil(1, now.now_ms);
  for (size_t i = 2; i < 5; i++) {
    run_until(storeread_next_ms(reads));
    storeread_run(reads, now.now_ms);
    fake_answer_nil(i, now.now_ms);
  }
  run_until(storeread_next_ms(reads));
  storeread_run(reads, now.now_ms);
  assert_int_equal(fake_fleet.calls[5].timeout_ms, 5);
  pass(3);
  fake_answer(5, NULL, now.now_ms);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(counted(STATS_STORE_AWAY), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)
#define LEASED(name) cmocka_unit_test_setup_teardown(name, open_leased, close_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_value_that_is_enough_is_the_answer),
      TEST(no_value_is_a_miss),
      TEST(a_value_that_is_not_enough_is_shown_and_a_miss),
      TEST(a_value_that_has_expired_is_shown),
      TEST(what_cannot_be_used_is_not_shown_and_counted),
      TEST(the_value_of_another_name_is_not_shown),
      TEST(what_has_been_purged_is_not_shown),
      TEST(an_error_is_no_answer),
      TEST(after_the_head_start_the_dns_is_asked_beside),
      TEST(after_the_budget_there_is_no_answer_and_a_late_one_is_nobody_s),
      TEST(where_the_loop_was_held_up_only_the_end_is_told),
      TEST(a_server_that_gives_up_first_is_a_timeout_too),
      TEST(a_lost_connection_ends_reads_at_once),
      TEST(who_cancels_is_not_called),
      TEST(who_has_cancelled_is_not_called_after_the_head_start_either),
      TEST(an_answer_that_was_there_is_no_timeout_however_late_it_is_read),
      TEST(a_server_that_is_too_late_is_seen_to_be_though_nobody_waits_any_more),
      TEST(each_read_has_its_own_time),
      TEST(a_store_that_is_away_costs_nothing),
      TEST(a_server_that_is_away_among_others_says_so_at_once),
      TEST(reads_wait_for_their_turn_in_order),
      TEST(whoever_comes_while_others_wait_goes_behind_them),
      TEST(a_read_that_never_had_its_turn_has_its_time_all_the_same),
      TEST(who_waits_for_a_turn_hears_that_the_store_has_gone),
      TEST(a_cancelled_read_that_was_not_sent_takes_no_turn),
      TEST(there_is_a_bound_on_reads),
      TEST(a_callback_may_cancel_another_read_and_begin_one),
      TEST(who_is_destroyed_hears_of_nothing),
      LEASED(who_wins_the_lease_asks_the_dns),
      LEASED(who_has_a_lease_does_not_wait_for_itself),
      LEASED(who_loses_it_looks_again_and_finds_the_value),
      LEASED(what_cannot_be_used_is_told_and_counted_once_however_often_it_is_looked_at),
      LEASED(pauses_grow_and_end_in_time),
      LEASED(the_last_look_is_made_in_time_for_its_answer),
      LEASED(a_look_that_is_not_answered_ends_with_the_wait),
      LEASED(leases_that_are_always_in_vain_are_not_asked_for),
      LEASED(a_lease_that_is_not_answered_ends_with_the_wait),
      LEASED(what_fails_on_the_way_to_a_lease_is_as_good_as_one),
      LEASED(who_looks_again_and_finds_the_store_gone_asks_the_dns),
      LEASED(who_looks_again_and_finds_no_room_looks_later),
      LEASED(a_value_that_is_not_enough_wants_a_lease_and_is_counted_once),
      LEASED(where_the_dns_is_being_asked_no_lease_is_taken),
      LEASED(who_cancels_while_it_waits_is_not_called),
      LEASED(whoever_waits_for_others_takes_no_turn_of_a_first_read),
      LEASED(a_lease_can_be_given_back),
      LEASED(the_last_look_has_only_the_time_that_is_left),
  };
  return cmocka_run_group_tests_name("storeread", tests, NULL, NULL);
}
