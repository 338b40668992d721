#include "cmocka_compat.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "fake_redis.h"
#include "loop_until.h"
#include "record_samples.h"
#include "rules/name.h"
#include "sharing.h"

enum { HOLD_UP_MS = 60 };

static struct ev_loop *loop;
static struct fake_redis *fake;
static struct config *config;
static struct stats stats;
static struct sharing *sharing;

static struct {
  struct store_read *read;
  unsigned late_count, done_count;
  enum store_outcome outcome;
} asked;

static bool on_value(void *context, const struct record *record, int64_t now_ms) {
  (void)context, (void)record, (void)now_ms;
  return false;
}

static void on_refused(void *context, const char *why) { fail_msg("refused: %s %p", why, context); }

static void on_late(void *context, int64_t now_ms) {
  (void)context, (void)now_ms;
  asked.late_count++;
}

static void on_done(void *context, enum store_outcome outcome, const struct record *record, int64_t now_ms) {
  (void)context, (void)record, (void)now_ms;
  asked.done_count++;
  asked.outcome = outcome;
}

static void say_nothing_but_pong(struct fake_redis *redis, const struct fake_command *command) {
  if (strcmp(command->words[0], "GET") != 0)
    fake_redis_answer_well(redis, command);
}

/* Answers, and then holds up the loop for longer than any time-out. */
static void answer_and_hold_up(struct fake_redis *redis, const struct fake_command *command) {
  const struct timespec pause = {.tv_nsec = HOLD_UP_MS * 1000000};
  fake_redis_answer_well(redis, command);
  if (strcmp(command->words[0], "GET") == 0)
    nanosleep(&pause, NULL);
}

static int open_it(void **state) {
  (void)state;
  log_set_level(LOG_LEVEL_ERROR);
  memset(&stats, 0, sizeof(stats));
  memset(&asked, 0, sizeof(asked));
  name_hash_init();
  sharing = NULL;
  loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  fake = fake_redis_create(loop, fake_redis_answer_well);
  config = calloc(1, sizeof(*config));
  assert_non_null(config);
  config_init(config);
  snprintf(config->redis_targets[0].path, LINK_PATH_SIZE, "%s", fake->path);
  config->redis_count = 1;
  snprintf(config->node_name, sizeof(config->node_name), "mx-out-3");
  return 0;
}

static int close_it(void **state) {
  (void)state;
  sharing_destroy(sharing);
  fake_redis_destroy(fake);
  ev_loop_destroy(loop);
  config_fini(config);
  free(config);
  return 0;
}

static struct store *create(void) {
  assert_int_equal(sharing_create(loop, config, &stats, &sharing), 0);
  assert_non_null(sharing);
  assert_non_null(sharing_store(sharing));
  assert_non_null(sharing_bulletin(sharing));
  return sharing_store(sharing);
}

static bool is_up(void) {
  struct store_view view;
  store_look(sharing_store(sharing), &view);
  return view.is_up;
}

static int get(void) {
  static const struct store_calls calls = {on_value, on_refused, on_late, on_done};
  const struct store_question question = {.kind = RECORD_DOMAIN, .name = "a.test", .length = 6};
  return store_get(sharing_store(sharing), &question, clock_now_ms(), &calls, NULL, &asked.read);
}

static const struct fake_command *find(const char *word) {
  for (size_t i = 0; i < fake->command_count; i++)
    if (strcmp(fake->commands[i].words[0], word) == 0)
      return &fake->commands[i];
  return NULL;
}

static void without_redis_nothing_is_shared(void **state) {
  (void)state;
  struct sharing *none = (struct sharing *)&stats;
  config->redis_count = 0;
  assert_int_equal(sharing_create(loop, config, &stats, &none), 0);
  assert_null(none);
  assert_null(sharing_store(none));
  assert_null(sharing_bulletin(none));
  sharing_destroy(none);
}

static void with_redis_mode_off_nothing_is_shared(void **state) {
  (void)state;
  config->redis_mode = CONFIG_REDIS_OFF;
  assert_int_equal(sharing_create(loop, config, &stats, &sharing), 0);
  assert_null(sharing);
  loop_settle(loop);
  assert_int_equal(fake->connections, 0);
}

static void a_store_is_away_until_its_server_is_found(void **state) {
  (void)state;
  create();
  assert_int_equal(get(), ERR_NETWORK);
  LOOP_UNTIL(loop, is_up());
  assert_int_equal(get(), 0);
}

static void keys_begin_with_the_prefix_and_the_name_of_the_cluster(void **state) {
  (void)state;
  snprintf(config->redis_prefix, sizeof(config->redis_prefix), "mail");
  snprintf(config->redis_cluster_name, sizeof(config->redis_cluster_name), "east");
  create();
  LOOP_UNTIL(loop, is_up());
  assert_int_equal(get(), 0);
  LOOP_UNTIL(loop, asked.done_count > 0);
  assert_int_equal(asked.outcome, STORE_MISSING);
  assert_string_equal(find("GET")->words[1], "mail:east:1:d:a.test");
}

static void the_usual_prefix_has_no_name_of_a_cluster(void **state) {
  (void)state;
  create();
  LOOP_UNTIL(loop, is_up());
  assert_int_equal(get(), 0);
  LOOP_UNTIL(loop, asked.done_count > 0);
  assert_string_equal(find("GET")->words[1], "mxway:1:d:a.test");
}

static void what_waits_is_written_when_the_loop_turns(void **state) {
  (void)state;
  static struct record record;
  struct store *store = create();
  LOOP_UNTIL(loop, is_up());
  record_sample_provider(&record);
  record.domain.stored_at_ms = clock_now_ms();
  record.domain.expires_at_ms = record.stale_until_ms = clock_now_ms() + 60000;
  store_put(store, &record, clock_now_ms());
  LOOP_UNTIL(loop, find("SET"));
  assert_string_equal(find("SET")->words[1], "mxway:1:d:shop.example");
  assert_string_equal(find("SET")->words[3], "PX");
  LOOP_UNTIL(loop, atomic_load(&stats.counters[STATS_STORE_WRITES]) == 1);
}

static void what_is_only_read_is_not_written(void **state) {
  (void)state;
  config->redis_mode = CONFIG_REDIS_RO;
  struct store *store = create();
  LOOP_UNTIL(loop, is_up());
  store_remove(store, RECORD_DOMAIN, "a.test", 6);
  assert_int_equal(get(), 0);
  LOOP_UNTIL(loop, asked.done_count > 0);
  assert_null(find("DEL"));
  assert_null(find("SET"));
}

static void a_silent_server_has_its_head_start_and_no_more(void **state) {
  (void)state;
  fake->answer = say_nothing_but_pong;
  config->redis_timeout_ms = 60000;
  create();
  LOOP_UNTIL(loop, is_up());
  int64_t start_ms = clock_now_ms();
  assert_int_equal(get(), 0);
  LOOP_UNTIL(loop, asked.late_count > 0);
  assert_true(clock_now_ms() - start_ms >= config->redis_head_start_ms);
  assert_int_equal(asked.done_count, 0);
}

static void a_silent_server_has_its_time_and_no_more(void **state) {
  (void)state;
  fake->answer = say_nothing_but_pong;
  create();
  LOOP_UNTIL(loop, is_up());
  int64_t start_ms = clock_now_ms();
  assert_int_equal(get(), 0);
  LOOP_UNTIL(loop, asked.done_count > 0);
  assert_true(clock_now_ms() - start_ms >= config->redis_timeout_ms);
  assert_int_equal(asked.outcome, STORE_AWAY);
  assert_int_equal(atomic_load(&stats.counters[STATS_STORE_TIMEOUTS]), 1);
}

static void what_was_answered_in_time_counts_however_long_the_loop_was_held_up(void **state) {
  (void)state;
  fake->answer = answer_and_hold_up;
  create();
  LOOP_UNTIL(loop, is_up());
  assert_int_equal(get(), 0);
  LOOP_UNTIL(loop, asked.done_count > 0);
  assert_int_equal(asked.outcome, STORE_MISSING);
  assert_int_equal(asked.late_count, 0);
  assert_int_equal(atomic_load(&stats.counters[STATS_STORE_TIMEOUTS]), 0);
}

static void the_server_is_told_who_asks_and_for_which_database(void **state) {
  (void)state;
  snprintf(config->redis_user, sizeof(config->redis_user), "mxway");
  snprintf(config->redis_password, sizeof(config->redis_password), "secret");
  config->redis_database = 7;
  create();
  LOOP_UNTIL(loop, is_up());
  assert_string_equal(find("AUTH")->words[1], "mxway");
  assert_string_equal(find("AUTH")->words[2], "secret");
  assert_string_equal(find("SELECT")->words[1], "7");
}

static void keys_that_cannot_be_read_are_no_reason_to_do_without(void **state) {
  (void)state;
  log_set_level((enum log_level)0);
  snprintf(config->redis_mac_key_file, sizeof(config->redis_mac_key_file), "/nonexistent/keys");
  assert_int_equal(sharing_create(loop, config, &stats, &sharing), ERR_CONFIG);
  assert_null(sharing);
}

static void it_ends_with_reads_and_writes_under_way(void **state) {
  (void)state;
  struct store *store = create();
  LOOP_UNTIL(loop, is_up());
  fake->answer = fake_redis_answer_nothing;
  assert_int_equal(get(), 0);
  store_remove(store, RECORD_DOMAIN, "b.test", 6);
  loop_settle(loop);
  store_remove(store, RECORD_DOMAIN, "c.test", 6);
  sharing_destroy(sharing);
  sharing = NULL;
  loop_settle(loop);
  assert_int_equal(asked.done_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(without_redis_nothing_is_shared),
      TEST(with_redis_mode_off_nothing_is_shared),
      TEST(a_store_is_away_until_its_server_is_found),
      TEST(keys_begin_with_the_prefix_and_the_name_of_the_cluster),
      TEST(the_usual_prefix_has_no_name_of_a_cluster),
      TEST(what_waits_is_written_when_the_loop_turns),
      TEST(what_is_only_read_is_not_written),
      TEST(a_silent_server_has_its_head_start_and_no_more),
      TEST(a_silent_server_has_its_time_and_no_more),
      TEST(what_was_answered_in_time_counts_however_long_the_loop_was_held_up),
      TEST(the_server_is_told_who_asks_and_for_which_database),
      TEST(keys_that_cannot_be_read_are_no_reason_to_do_without),
      TEST(it_ends_with_reads_and_writes_under_way),
  };
  return cmocka_run_group_tests_name("sharing", tests, NULL, NULL);
}
