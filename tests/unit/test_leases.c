#include "cmocka_compat.h"

#include <string.h>

#include "fake_fleet.h"
#include "rules/name.h"
#include "store/leases.h"

enum { NOW_MS = 5000, END_MS = NOW_MS + LEASES_LIFE_MS };

static const char key[] = "mxway:1:d:a.test", other_key[] = "mxway:1:h:a.test";

static struct stats stats;
static struct leases leases;

static uint64_t counted(enum stats_counter counter) { return atomic_load(&stats.counters[counter]); }

static void on_reply(void *context, const struct redisReply *reply, int64_t now_ms) {
  *(enum lease_outcome *)context = leases_on_reply(&leases, key, reply, now_ms);
}

static int open_it(void **state) {
  (void)state;
  fake_fleet_init();
  memset(&stats, 0, sizeof(stats));
  memset(&leases, 0, sizeof(leases));
  leases.stats = &stats;
  leases.prefix = "mxway:1:";
  leases.origin = "mx-out-3";
  leases.timeout_ms = 30;
  name_hash_init();
  return 0;
}

/* Asks, as command `at` of all, and has it answered; what it meant. */
static enum lease_outcome *ask(size_t at) {
  static enum lease_outcome outcome;
  struct fleet_call *call = NULL;
  outcome = (enum lease_outcome)99;
  assert_int_equal(leases_ask(&leases, key, on_reply, &outcome, &call), 0);
  assert_ptr_equal(call, &fake_fleet.calls[at]);
  return &outcome;
}

static void win(size_t at) {
  const enum lease_outcome *outcome = ask(at);
  fake_answer_ok(at, NOW_MS);
  assert_int_equal(*outcome, LEASE_WON);
}

static void a_lease_is_a_key_beside_that_ends_by_itself_and_says_who_has_it(void **state) {
  (void)state;
  win(0);
  const struct fleet_call *call = &fake_fleet.calls[0];
  assert_string_equal(call->text, "SET mxway:1:l:d:a.test mx-out-3 NX PX 1000");
  assert_string_equal(call->key, "mxway:1:l:d:a.test");
  assert_int_equal(call->purpose, FLEET_WRITE);
  assert_int_equal(call->timeout_ms, 30);
  assert_int_equal(counted(STATS_STORE_LEASES_WON), 1);
}

static void what_is_won_is_held_until_it_ends(void **state) {
  (void)state;
  assert_false(leases_has(&leases, key, NOW_MS));
  win(0);
  assert_true(leases_has(&leases, key, NOW_MS));
  assert_false(leases_has(&leases, other_key, NOW_MS));
  assert_true(leases_has(&leases, key, END_MS - 1));
  assert_false(leases_has(&leases, key, END_MS));
}

static void what_another_node_has_is_lost(void **state) {
  (void)state;
  const enum lease_outcome *outcome = ask(0);
  fake_answer_nil(0, NOW_MS);
  assert_int_equal(*outcome, LEASE_LOST);
  assert_false(leases_has(&leases, key, NOW_MS));
  assert_int_equal(counted(STATS_STORE_LEASES_LOST), 1);
}

static void an_error_or_silence_leaves_nothing_to_give_back(void **state) {
  (void)state;
  const enum lease_outcome *outcome = ask(0);
  fake_answer(0, NULL, NOW_MS);
  assert_int_equal(*outcome, LEASE_FAILED);
  assert_int_equal(counted(STATS_STORE_ERRORS), 0);
  outcome = ask(1);
  fake_answer_error(1, "OOM command not allowed", NOW_MS);
  assert_int_equal(*outcome, LEASE_FAILED);
  assert_int_equal(counted(STATS_STORE_ERRORS), 1);
  assert_false(leases_has(&leases, key, NOW_MS));
  leases_release(&leases, key, NOW_MS);
  assert_int_equal(fake_fleet.count, 2);
}

static void what_is_given_back_is_deleted_once(void **state) {
  (void)state;
  leases_release(&leases, key, NOW_MS);
  assert_int_equal(fake_fleet.count, 0);
  win(0);
  leases_release(&leases, key, NOW_MS);
  leases_release(&leases, key, NOW_MS);
  assert_int_equal(fake_fleet.count, 2);
  assert_string_equal(fake_fleet.calls[1].text, "DEL mxway:1:l:d:a.test");
  assert_false(leases_has(&leases, key, NOW_MS));
  fake_answer_nil(1, NOW_MS);
}

static void what_has_ended_is_not_given_back_as_another_node_may_have_it(void **state) {
  (void)state;
  win(0);
  leases_release(&leases, key, END_MS);
  assert_int_equal(fake_fleet.count, 1);
}

static void what_cannot_be_sent_is_no_lease(void **state) {
  (void)state;
  struct fleet_call *call = NULL;
  fake_fleet.is_down[FLEET_WRITE] = true;
  assert_int_equal(leases_ask(&leases, key, on_reply, NULL, &call), ERR_NETWORK);
  assert_null(call);
}

static void of_two_that_collide_the_last_is_known_and_never_the_wrong_one(void **state) {
  (void)state;
  char colliding[64];
  uint64_t place = name_hash(key, strlen(key)) % LEASES_COUNT;
  size_t i = 0;
  do
    snprintf(colliding, sizeof(colliding), "mxway:1:d:%zu.test", i++);
  while (name_hash(colliding, strlen(colliding)) % LEASES_COUNT != place);
  struct redisReply ok = {.type = REDIS_REPLY_STATUS};
  win(0);
  assert_false(leases_has(&leases, colliding, NOW_MS));
  assert_int_equal(leases_on_reply(&leases, colliding, &ok, NOW_MS), LEASE_WON);
  assert_true(leases_has(&leases, colliding, NOW_MS));
  assert_false(leases_has(&leases, key, NOW_MS));
}

static void waits_in_vain_in_a_row_make_leases_rest(void **state) {
  (void)state;
  for (int i = 1; i < LEASES_VAIN_MAX; i++)
    leases_on_waited(&leases, false, NOW_MS);
  leases_on_waited(&leases, true, NOW_MS);
  for (int i = 1; i < LEASES_VAIN_MAX; i++)
    leases_on_waited(&leases, false, NOW_MS);
  assert_true(leases_are_of_use(&leases, NOW_MS));
  leases_on_waited(&leases, false, NOW_MS);
  assert_false(leases_are_of_use(&leases, NOW_MS));
  assert_false(leases_are_of_use(&leases, NOW_MS + LEASES_REST_MS - 1));
  assert_true(leases_are_of_use(&leases, NOW_MS + LEASES_REST_MS));
}

#define TEST(name) cmocka_unit_test_setup(name, open_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_lease_is_a_key_beside_that_ends_by_itself_and_says_who_has_it),
      TEST(what_is_won_is_held_until_it_ends),
      TEST(what_another_node_has_is_lost),
      TEST(an_error_or_silence_leaves_nothing_to_give_back),
      TEST(what_is_given_back_is_deleted_once),
      TEST(what_has_ended_is_not_given_back_as_another_node_may_have_it),
      TEST(what_cannot_be_sent_is_no_lease),
      TEST(waits_in_vain_in_a_row_make_leases_rest),
      TEST(of_two_that_collide_the_last_is_known_and_never_the_wrong_one),
  };
  return cmocka_run_group_tests_name("leases", tests, NULL, NULL);
}
