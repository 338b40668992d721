#include "store_readers.h"

#include "store/store.h"
#include "store/writebehind.h"

static struct store *store;
static struct store_options options;

static void create(void) { assert_int_equal(store_create(NULL, &options, &stats, &store), 0); }
static void destroy(void) { store_destroy(store); }
static void set_lease_wait(uint32_t ms) { options.lease_wait_ms = ms; }
static const struct seal *seal(void) { return options.seal; }
static int ask(struct reader *own, const struct store_question *question) {
  return store_get(store, question, now.now_ms, &calls, own, &own->read);
}
static void cancel(struct store_read *read) { store_cancel(read); }
static void run(void) { store_run(store, now.now_ms); }
static int64_t next_ms(void) { return store_next_ms(store); }

static int open_it(void **state) {
  (void)state;
  init_readers();
  options = (struct store_options){.prefix = "mxway:1:",
                                   .origin = "mx-out-3",
                                   .timeout_ms = TIMEOUT_MS,
                                   .head_start_ms = HEAD_START_MS,
                                   .max_commands = MAX_COMMANDS,
                                   .max_writes = 100};
  create();
  return 0;
}

static const struct tested tested = {open_it, create, destroy, set_lease_wait, seal,
                                     ask,     cancel, run,     next_ms};

static void assert_reads(size_t count) {
  struct store_view view;
  store_look(store, &view);
  assert_int_equal(view.read_count, count);
}

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
  assert_int_equal(counted(STATS_STORE_HITS), 1);
  assert_reads(0);
  run_for(1000);
  assert_int_equal(fake_fleet.count, 1);
}

static void the_addresses_of_a_host_have_a_key_of_their_own(void **state) {
  (void)state;
  record_sample_dual(&made);
  get(reader);
  assert_text(0, "GET mxway:1:h:mx1.hosting.example");
  reader->is_content = true;
  answer_record(0);
  assert_ended(reader, STORE_FOUND);
}

static void the_longest_name_has_a_key(void **state) {
  (void)state;
  char name[FACTS_NAME_SIZE], text[FAKE_TEXT_SIZE];
  memset(name, 'a', FACTS_NAME_SIZE - 1);
  name[FACTS_NAME_SIZE - 1] = '\0';
  assert_int_equal(get_named(reader, name), 0);
  snprintf(text, sizeof(text), "GET mxway:1:d:%s", name);
  assert_text(0, text);
}

static bool is_purged(void *context, const struct record *record) {
  return record->generation < *(const uint64_t *)context;
}

static void what_has_been_purged_is_not_shown(void **state) {
  (void)state;
  uint64_t generation = made.generation;
  store_set_purged(store, is_purged, &generation);
  get(&readers[1]);
  answer_record(0);
  assert_int_equal(readers[1].shown_count, 1);
  generation++;
  get(reader);
  answer_record(1);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(reader->shown_count, 0);
  assert_int_equal(counted(STATS_STORE_PURGED), 1);
}

static void a_store_that_is_not_open_is_as_if_away(void **state) {
  (void)state;
  store_set_open(store, false);
  assert_int_equal(get_named(reader, made.name), ERR_NETWORK);
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, 0);
  assert_int_equal(counted(STATS_STORE_AWAY), 1);
  store_set_open(store, true);
  get(reader);
  assert_text(0, "GET mxway:1:d:shop.example");
}

static void without_a_store_nothing_is_done(void **state) {
  (void)state;
  store_destroy(store);
  store = NULL;
  assert_int_equal(get_named(reader, made.name), ERR_NETWORK);
  store_put(NULL, &made, now.now_ms);
  store_release(NULL, made.kind, made.name, strlen(made.name), now.now_ms);
  store_remove(NULL, made.kind, made.name, strlen(made.name));
  assert_int_equal(fake_fleet.count, 0);
}

/* ---- writing ---- */

/* The first look is in vain; command 1 asks for the lease. */
static void look_in_vain(void) {
  get(reader);
  pass(1);
  fake_answer_nil(0, now.now_ms);
  assert_int_equal(reader->done_count, 0);
  assert_text(1, "SET mxway:1:l:d:shop.example mx-out-3 NX PX 1000");
}

static void what_the_dns_said_is_written_when_the_loop_turns(void **state) {
  (void)state;
  static struct record held;
  store_set_generation(store, 77);
  store_put(store, &made, now.now_ms);
  assert_int_equal(fake_fleet.count, 0);
  store_run(store, now.now_ms);
  assert_memory_equal(fake_fleet.calls[0].text, "SET mxway:1:d:shop.example * PX ", 32);
  const struct fleet_call *call = &fake_fleet.calls[0];
  assert_int_equal(record_parse(call->value, call->value_length, RECORD_DOMAIN, "shop.example", call->key,
                                NULL, &now, &held),
                   RECORD_GOOD);
  assert_true(record_is_same(&held, &made));
  assert_string_equal(held.origin, "mx-out-3");
  assert_int_equal(held.generation, 77);
  fake_answer_ok(0, now.now_ms);
}

static void a_new_generation_is_written_though_the_facts_are_the_same(void **state) {
  (void)state;
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, 1);
  assert_int_equal(counted(STATS_STORE_WRITES_SAME), 1);
  store_set_generation(store, 78);
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, 2);
}

static void what_was_read_is_not_written_again(void **state) {
  (void)state;
  get(reader);
  answer_record(0);
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, 1);
  get(&readers[1]);
  fake_answer_nil(1, now.now_ms); /* it is gone */
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, 3);
}

static void what_could_not_be_used_is_written_over(void **state) {
  (void)state;
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  get(reader);
  fake_answer_text(1, REDIS_REPLY_STRING, "rubbish", now.now_ms);
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, 3);
  assert_memory_equal(fake_fleet.calls[2].text, "SET mxway:1:d:shop.example ", 27);
}

static void at_most_a_quarter_of_the_commands_are_writes(void **state) {
  (void)state;
  for (unsigned i = 0; i < 5; i++) {
    snprintf(made.name, sizeof(made.name), "%u.example", i);
    store_put(store, &made, now.now_ms);
  }
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, MAX_COMMANDS / 4);
  struct store_view view;
  store_look(store, &view);
  assert_int_equal(view.write_count, 5 - MAX_COMMANDS / 4);
  assert_true(view.write_bytes > 0);
  assert_string_equal(view.fleet.text, "up, 1 of 1 servers, 84 us");
}

static void the_loop_is_woken_up_for_writes_too(void **state) {
  (void)state;
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  fake_answer_error(0, "OOM command not allowed", now.now_ms);
  assert_true(store_next_ms(store) == INT64_MAX);
  store_put(store, &made, now.now_ms);
  assert_int_equal(store_next_ms(store), now.now_ms + WRITEBEHIND_PAUSE_MS);
}

static void a_removed_name_is_deleted_and_what_waits_for_it_is_not_written(void **state) {
  (void)state;
  store_put(store, &made, now.now_ms);
  store_remove(store, RECORD_DOMAIN, "shop.example", 12);
  store_remove(store, RECORD_HOST, "shop.example", 12);
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, 2);
  assert_text(0, "DEL mxway:1:d:shop.example");
  assert_text(1, "DEL mxway:1:h:shop.example");
}

static void a_lease_is_given_back_where_nothing_comes_of_it(void **state) {
  (void)state;
  store_release(store, RECORD_DOMAIN, "shop.example", 12, now.now_ms);
  assert_int_equal(fake_fleet.count, 0);
  look_in_vain();
  fake_answer_ok(1, now.now_ms);
  store_release(store, RECORD_DOMAIN, "shop.example", 12, now.now_ms);
  assert_text(2, "DEL mxway:1:l:d:shop.example");
  fake_answer_nil(2, now.now_ms);
  get(&readers[1]);
  fake_answer_nil(3, now.now_ms);
  fake_answer_ok(4, now.now_ms);
  made.domain.expires_at_ms = made.domain.stored_at_ms; /* TTL 0 */
  store_put(store, &made, now.now_ms);
  assert_text(5, "DEL mxway:1:l:d:shop.example");
  fake_answer_nil(5, now.now_ms);
}

static void a_lease_is_kept_where_a_value_comes_of_it(void **state) {
  (void)state;
  look_in_vain();
  fake_answer_ok(1, now.now_ms);
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, 3);
  assert_memory_equal(fake_fleet.calls[2].text, "SET mxway:1:d:shop.example ", 27);
}

static void a_store_that_is_only_read_is_only_read(void **state) {
  (void)state;
  store_destroy(store);
  options.read_only = true;
  options.lease_wait_ms = LEASE_MS;
  create();
  store_put(store, &made, now.now_ms);
  store_remove(store, RECORD_DOMAIN, "shop.example", 12);
  store_release(store, RECORD_DOMAIN, "shop.example", 12, now.now_ms);
  store_run(store, now.now_ms);
  assert_int_equal(fake_fleet.count, 0);
  get(reader);
  fake_answer_nil(0, now.now_ms);
  assert_ended(reader, STORE_MISSING);
  assert_int_equal(fake_fleet.count, 1);
}

static void an_origin_that_is_too_long_is_cut(void **state) {
  (void)state;
  static struct record held;
  char origin[100];
  memset(origin, 'n', sizeof(origin) - 1);
  origin[sizeof(origin) - 1] = '\0';
  store_destroy(store);
  options.origin = origin;
  create();
  store_put(store, &made, now.now_ms);
  store_run(store, now.now_ms);
  const struct fleet_call *call = &fake_fleet.calls[0];
  assert_int_equal(record_parse(call->value, call->value_length, RECORD_DOMAIN, "shop.example", call->key,
                                NULL, &now, &held),
                   RECORD_GOOD);
  assert_int_equal(strlen(held.origin), RECORD_ORIGIN_SIZE - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)
#define LEASED(name) cmocka_unit_test_setup_teardown(name, open_leased, close_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_value_that_is_enough_is_the_answer),
      TEST(the_addresses_of_a_host_have_a_key_of_their_own),
      TEST(the_longest_name_has_a_key),
      TEST(what_has_been_purged_is_not_shown),
      TEST(a_store_that_is_not_open_is_as_if_away),
      TEST(without_a_store_nothing_is_done),
      TEST(what_the_dns_said_is_written_when_the_loop_turns),
      TEST(a_new_generation_is_written_though_the_facts_are_the_same),
      TEST(what_was_read_is_not_written_again),
      TEST(what_could_not_be_used_is_written_over),
      TEST(at_most_a_quarter_of_the_commands_are_writes),
      TEST(the_loop_is_woken_up_for_writes_too),
      TEST(a_removed_name_is_deleted_and_what_waits_for_it_is_not_written),
      LEASED(a_lease_is_given_back_where_nothing_comes_of_it),
      LEASED(a_lease_is_kept_where_a_value_comes_of_it),
      TEST(a_store_that_is_only_read_is_only_read),
      TEST(an_origin_that_is_too_long_is_cut),
  };
  return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
