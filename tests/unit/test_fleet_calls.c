/* What becomes of a call: sent on, cut short, cancelled. The links are played by the test. */
#include "cmocka_compat.h"

#include <ev.h>
#include <stdbool.h>
#include <time.h>

#include "fake_link.h"
#include "loop_until.h"
#include "redis/fleet.h"

static const char a[] = "192.0.2.1:7000", b[] = "192.0.2.2:7000", c[] = "192.0.2.3:7000";
static const char map_question[] = "CLUSTER SLOTS";

/* The clock of the test, in the place of the room clock: it can be put on. */
static int64_t skew_ms;

int64_t clock_now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + skew_ms * 1000;
}

int64_t clock_now_ms(void) { return clock_now_us() / 1000; }

int64_t clock_wall_ms(void) { return clock_now_ms(); }

enum { TIMEOUT_MS = 5000, MAX_COMMANDS = 5 };

struct place {
  struct ev_loop *loop;
  struct fleet *fleet;
  size_t answer_count;
  bool is_silent;
  char text[64];
  bool asks_again; /* from inside its answer */
};

static const char set_text[] = "SET foo bar"; /* the slot of foo is 12182 */

static void on_answer(void *context, const struct redisReply *reply, int64_t now_ms);

static int send(struct place *place, enum fleet_purpose purpose, struct fleet_call **call) {
  char words[3][8] = {"SET", "foo", "bar"}; /* lent for the call only */
  const struct link_command command = {
      .count = 3, .words = {words[0], words[1], words[2]}, .lengths = {3, 3, 3}};
  int error = fleet_send(place->fleet, purpose, words[1], 3, &command, TIMEOUT_MS, on_answer, place, call);
  memset(words, 'x', sizeof(words));
  return error;
}

static void on_answer(void *context, const struct redisReply *reply, int64_t now_ms) {
  (void)now_ms;
  struct place *place = context;
  place->answer_count++;
  place->is_silent = !reply;
  snprintf(place->text, sizeof(place->text), "%s", reply && reply->str ? reply->str : "");
  if (place->asks_again) {
    place->asks_again = false;
    assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  }
}

static void open_fleet(struct place *place, enum fleet_topology topology) {
  const struct fleet_options options = {.topology = topology,
                                        .seeds = {fake_target(a)},
                                        .seed_count = 1,
                                        .master = "mail",
                                        .max_commands = MAX_COMMANDS};
  assert_int_equal(fleet_create(place->loop, &options, &place->fleet), 0);
}

static int setup(void **state) {
  struct place *place = calloc(1, sizeof(*place));
  assert_non_null(place);
  place->loop = ev_loop_new(EVFLAG_AUTO);
  *state = place;
  return 0;
}

static int teardown(void **state) {
  struct place *place = *state;
  fleet_destroy(place->fleet);
  assert_int_equal(fake_link_count, 0);
  ev_loop_destroy(place->loop);
  free(place);
  return 0;
}

static redisReply *map_of_all(void) {
  redisReply *map = made_array();
  made_add(map, made_range(12000, 16383, made_node("192.0.2.1", 7000)));
  made_add(map, made_range(0, 999, made_node("192.0.2.2", 7000)));
  return made_add(map, made_range(1000, 11999, made_node("192.0.2.3", 7000)));
}

static const char *asked_for_the_map(void) {
  static const char *const all[] = {a, b, c};
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
    if (fake_link_is_asked(all[i], map_question))
      return all[i];
  return NULL;
}

/* A cluster of a, which has the slot of foo, b and c: all are up. */
static void open_cluster(struct place *place) {
  open_fleet(place, FLEET_CLUSTER);
  fake_link_up(a);
  LOOP_UNTIL(place->loop, asked_for_the_map());
  fake_link_answer(fake_link_at(a), map_question, map_of_all());
  fake_link_up(b);
  fake_link_up(c);
}

static void answer(const char *server, redisReply *reply) {
  fake_link_answer(fake_link_at(server), set_text, reply);
}

static void assert_answered(const struct place *place, const char *text) {
  assert_int_equal(place->answer_count, 1);
  assert_false(place->is_silent);
  assert_string_equal(place->text, text);
}

static void assert_silent(const struct place *place) {
  assert_int_equal(place->answer_count, 1);
  assert_true(place->is_silent);
}

static redisReply *ok(void) { return made_text(REDIS_REPLY_STATUS, "OK"); }

/* ---- moves ---- */

static void moved_sends_the_same_command_there(void **state) {
  struct place *place = *state;
  open_cluster(place);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(a, made_error("MOVED 12182 192.0.2.2:7000"));
  assert_int_equal(place->answer_count, 0);
  answer(b, ok());
  assert_answered(place, "OK");
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  assert_true(fake_link_is_asked(b, set_text)); /* at once, now */
}

static void ask_says_asking_first(void **state) {
  struct place *place = *state;
  open_cluster(place);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(a, made_error("ASK 12182 192.0.2.2:7000"));
  fake_link_answer(fake_link_at(b), "ASKING", ok());
  answer(b, ok());
  assert_answered(place, "OK");
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  assert_true(fake_link_is_asked(a, set_text)); /* as before */
}

static void a_call_is_sent_on_twice_and_no_more(void **state) {
  struct place *place = *state;
  open_cluster(place);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(a, made_error("MOVED 12182 192.0.2.2:7000"));
  answer(b, made_error("MOVED 12182 192.0.2.3:7000"));
  answer(c, made_error("MOVED 12182 192.0.2.1:7000"));
  assert_answered(place, "MOVED 12182 192.0.2.1:7000");
  struct fleet_view view;
  fleet_look(place->fleet, &view);
  assert_int_equal(view.moved, FLEET_MOVES_MAX);
}

static void moved_to_a_server_that_is_not_up_is_no_answer(void **state) {
  struct place *place = *state;
  open_cluster(place);
  fake_link_down(b);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(a, made_error("MOVED 12182 192.0.2.2:7000"));
  assert_silent(place);
  assert_int_equal(send(place, FLEET_WRITE, NULL), ERR_NETWORK);
}

static void ask_to_a_server_that_takes_no_more_is_no_answer(void **state) {
  struct place *place = *state;
  open_cluster(place);
  fake_link_at(b)->refusal = ERR_OVERLOAD;
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(a, made_error("ASK 12182 192.0.2.2:7000"));
  assert_silent(place);
}

static void what_is_sent_on_has_only_the_time_that_is_left(void **state) {
  struct place *place = *state;
  open_cluster(place);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  assert_int_equal(fake_link_at(a)->first->timeout_ms, TIMEOUT_MS);
  skew_ms += TIMEOUT_MS / 2;
  answer(a, made_error("MOVED 12182 192.0.2.2:7000"));
  assert_in_range(fake_link_at(b)->first->timeout_ms, 1, TIMEOUT_MS / 2);
  skew_ms += TIMEOUT_MS / 2;
  answer(b, made_error("MOVED 12182 192.0.2.3:7000"));
  assert_silent(place);
  assert_null(fake_link_at(c)->first);
}

static void errors_of_another_slot_are_answers(void **state) {
  struct place *place = *state;
  open_cluster(place);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(a, made_error("MOVED 12183 192.0.2.2:7000"));
  assert_answered(place, "MOVED 12183 192.0.2.2:7000");
}

static void a_cluster_that_is_down_is_an_answer_and_a_reason_to_ask_for_the_map(void **state) {
  struct place *place = *state;
  open_cluster(place);
  LOOP_UNTIL(place->loop, asked_for_the_map()); /* all are up only now */
  skew_ms += 2000;                              /* so that it may be asked for at once, but need not be */
  fake_link_answer(fake_link_at(asked_for_the_map()), map_question, map_of_all());
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(a, made_error("CLUSTERDOWN The cluster is down"));
  assert_answered(place, "CLUSTERDOWN The cluster is down");
  LOOP_UNTIL(place->loop, asked_for_the_map());
}

static void in_other_topologies_moved_is_an_answer(void **state) {
  struct place *place = *state;
  open_fleet(place, FLEET_SINGLE);
  fake_link_up(a);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(a, made_error("MOVED 12182 192.0.2.2:7000"));
  assert_answered(place, "MOVED 12182 192.0.2.2:7000");
  assert_int_equal(fake_link_count, 1);
}

/* ---- how calls end ---- */

static void a_call_that_was_sent_on_can_be_cancelled(void **state) {
  struct place *place = *state;
  struct fleet_call *call;
  open_cluster(place);
  assert_int_equal(send(place, FLEET_WRITE, &call), 0);
  answer(a, made_error("MOVED 12182 192.0.2.2:7000"));
  fleet_cancel(call);
  assert_null(fake_link_at(b)->first);
  assert_int_equal(place->answer_count, 0);
}

static void a_lost_connection_is_no_answer(void **state) {
  struct place *place = *state;
  open_cluster(place);
  for (int i = 0; i < 3; i++)
    assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  fake_link_down(a);
  assert_int_equal(place->answer_count, 3);
  assert_true(place->is_silent);
}

static void a_call_may_be_made_inside_an_answer(void **state) {
  struct place *place = *state;
  open_cluster(place);
  place->asks_again = true;
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(a, ok());
  answer(a, ok());
  assert_int_equal(place->answer_count, 2);
}

static void calls_to_all_servers_together_are_bounded(void **state) {
  struct place *place = *state;
  struct fleet_call *call;
  open_cluster(place);
  for (int i = 0; i < MAX_COMMANDS; i++) {
    assert_int_equal(send(place, FLEET_WRITE, &call), 0);
    if (i == 0)
      answer(a, made_error("MOVED 12182 192.0.2.2:7000"));
  }
  assert_int_equal(send(place, FLEET_WRITE, NULL), ERR_OVERLOAD);
  fleet_cancel(call);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
}

/* ---- read-only ---- */

static const char sentinel_question[] = "SENTINEL get-master-addr-by-name mail";

static void open_sentinel(struct place *place) {
  open_fleet(place, FLEET_SENTINEL);
  fake_link_up(a); /* the sentinel, which says that b is the master */
  LOOP_UNTIL(place->loop, fake_link_is_asked(a, sentinel_question));
  redisReply *named = made_add(made_add(made_array(), made_string("192.0.2.2")), made_string("7000"));
  fake_link_answer(fake_link_at(a), sentinel_question, named);
  fake_link_up(b);
  fake_link_answer(fake_link_at(b), "ROLE", made_add(made_array(), made_string("master")));
  assert_true(fleet_is_up(place->fleet, FLEET_WRITE));
}

static void a_write_that_is_refused_as_read_only_puts_the_master_in_doubt(void **state) {
  struct place *place = *state;
  open_sentinel(place);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(b, made_error("READONLY You can't write against a read only replica."));
  assert_answered(place, "READONLY You can't write against a read only replica.");
  assert_false(fleet_is_up(place->fleet, FLEET_READ));
  assert_int_equal(send(place, FLEET_WRITE, NULL), ERR_NETWORK);
  LOOP_UNTIL(place->loop, fake_link_is_asked(a, sentinel_question));
}

static void an_old_master_is_closed_when_its_last_answer_has_come(void **state) {
  struct place *place = *state;
  open_sentinel(place);
  assert_int_equal(send(place, FLEET_READ, NULL), 0);
  struct link *ear = fake_link_find(a, "+switch-master");
  fake_link_set(ear, LINK_UP, "");
  fake_link_publish(ear, "mail 192.0.2.2 7000 192.0.2.3 7000");
  fake_link_up(c);
  fake_link_answer(fake_link_at(c), "ROLE", made_add(made_array(), made_string("master")));
  assert_int_equal(send(place, FLEET_READ, NULL), 0);
  loop_settle(place->loop);
  answer(b, ok());
  assert_answered(place, "OK");
  loop_settle(place->loop);
  assert_null(fake_link_find(b, ""));
  answer(c, ok());
  assert_int_equal(place->answer_count, 2);
}

static void other_errors_do_not(void **state) {
  struct place *place = *state;
  open_sentinel(place);
  assert_int_equal(send(place, FLEET_WRITE, NULL), 0);
  answer(b, made_error("OOM command not allowed when used memory > 'maxmemory'."));
  assert_int_equal(send(place, FLEET_READ, NULL), 0);
  answer(b, made_error("READONLY a reader that writes is the caller's mistake"));
  assert_true(fleet_is_up(place->fleet, FLEET_WRITE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(moved_sends_the_same_command_there),
      TEST(ask_says_asking_first),
      TEST(a_call_is_sent_on_twice_and_no_more),
      TEST(moved_to_a_server_that_is_not_up_is_no_answer),
      TEST(ask_to_a_server_that_takes_no_more_is_no_answer),
      TEST(what_is_sent_on_has_only_the_time_that_is_left),
      TEST(errors_of_another_slot_are_answers),
      TEST(a_cluster_that_is_down_is_an_answer_and_a_reason_to_ask_for_the_map),
      TEST(in_other_topologies_moved_is_an_answer),
      TEST(a_call_that_was_sent_on_can_be_cancelled),
      TEST(a_lost_connection_is_no_answer),
      TEST(a_call_may_be_made_inside_an_answer),
      TEST(calls_to_all_servers_together_are_bounded),
      TEST(a_write_that_is_refused_as_read_only_puts_the_master_in_doubt),
      TEST(other_errors_do_not),
      TEST(an_old_master_is_closed_when_its_last_answer_has_come),
  };
  return cmocka_run_group_tests_name("fleet_calls", tests, NULL, NULL);
}
