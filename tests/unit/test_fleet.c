#include "cmocka_compat.h"

#include <stdbool.h>

#include "base/error.h"
#include "fleet_asker.h"

struct place {
  struct redis_server server, reader;
  struct asker asker;
};

static struct link_target target_of(const struct redis_server *server) {
  struct link_target target = {.host = "127.0.0.1", .port = server->port};
  return target;
}

static struct fleet_options options_of(const struct redis_server *server) {
  return (struct fleet_options){.topology = FLEET_SINGLE,
                                .seeds = {target_of(server)},
                                .seed_count = 1,
                                .connect_timeout_ms = ASKER_TIMEOUT_MS,
                                .max_commands = 1000};
}

static bool is_up(struct place *place, enum fleet_purpose purpose) {
  return fleet_is_up(place->asker.fleet, purpose);
}

static int setup(void **state) {
  struct place *place = calloc(1, sizeof(*place));
  assert_non_null(place);
  *state = place;
  return 0;
}

static int teardown(void **state) {
  struct place *place = *state;
  asker_close(&place->asker);
  redis_stop(&place->server);
  redis_stop(&place->reader);
  free(place);
  return 0;
}

/* One server that is up, and a fleet that has found it; `options` NULL: no more than that. */
static void open_one(struct place *place, const struct fleet_options *options) {
  const struct fleet_options usual = options_of(&place->server);
  asker_open(&place->asker, options ? options : &usual);
  LOOP_UNTIL(place->asker.loop, is_up(place, FLEET_WRITE));
}

static void one_server_is_read_and_written(void **state) {
  struct place *place = *state;
  redis_start(&place->server);
  open_one(place, NULL);
  assert_true(asker_hears(&place->asker, "k", "v", "OK"));
  assert_true(asker_hears(&place->asker, "k", NULL, "v"));
  assert_true(asker_hears(&place->asker, "none", NULL, "(nil)"));
  struct fleet_view view;
  assert_non_null(strstr(asker_view(&place->asker, &view), "up, 1 of 1 servers, "));
  assert_int_equal(view.server_count, 1);
  assert_int_equal(view.up_count, 1);
  assert_true(view.latency_us > 0);
}

static void a_server_that_is_away_costs_nothing_and_comes_back(void **state) {
  struct place *place = *state;
  struct fleet_view view;
  redis_start(&place->server);
  open_one(place, NULL);
  redis_kill(&place->server);
  LOOP_UNTIL(place->asker.loop, !is_up(place, FLEET_READ) && !is_up(place, FLEET_WRITE));
  assert_int_equal(asker_send(&place->asker, "k", NULL, NULL), ERR_NETWORK);
  LOOP_UNTIL(place->asker.loop, strncmp(asker_view(&place->asker, &view), "down: ", 6) == 0);
  assert_int_equal(view.up_count, 0);
  redis_start_again(&place->server);
  LOOP_UNTIL(place->asker.loop, is_up(place, FLEET_WRITE));
  assert_true(asker_hears(&place->asker, "k", NULL, "(nil)"));
}

static void a_command_under_way_when_the_server_dies_is_answered(void **state) {
  struct place *place = *state;
  redis_start(&place->server);
  open_one(place, NULL);
  redis_signal(&place->server, SIGSTOP);
  assert_int_equal(asker_send(&place->asker, "k", NULL, NULL), 0);
  loop_turn(place->asker.loop);
  assert_false(place->asker.has_answer);
  redis_kill(&place->server);
  LOOP_UNTIL(place->asker.loop, place->asker.has_answer);
  assert_true(place->asker.is_silent);
}

static void errors_of_the_server_are_answers(void **state) {
  struct place *place = *state;
  redis_start(&place->server);
  open_one(place, NULL);
  redis_say(&place->server, "RPUSH k x");
  assert_true(asker_ask(&place->asker, "k", NULL));
  assert_true(place->asker.is_error);
  assert_non_null(strstr(place->asker.text, "WRONGTYPE"));
}

static void user_password_and_database_are_those_configured(void **state) {
  struct place *place = *state;
  snprintf(place->server.lines, sizeof(place->server.lines),
           "user mx on >secret ~mxway:* +@all\nuser default on >other ~* +@all\n");
  snprintf(place->server.password, sizeof(place->server.password), "other");
  redis_start(&place->server);
  struct fleet_options options = options_of(&place->server);
  options.user = "mx";
  options.password = "secret";
  options.database = 3;
  open_one(place, &options);
  assert_true(asker_hears(&place->asker, "mxway:k", "v", "OK"));
  assert_true(asker_ask(&place->asker, "other", "v"));
  assert_non_null(strstr(place->asker.text, "NOPERM"));
  redis_say(&place->server, "SELECT 3");
  assert_true(redis_says(&place->server, "GET mxway:k", "v"));
}

/* ---- a server for reading ---- */

static void open_two(struct place *place) {
  redis_start(&place->server);
  redis_start(&place->reader);
  redis_say(&place->server, "SET who server");
  redis_say(&place->reader, "SET who reader");
  struct fleet_options options = options_of(&place->server);
  options.read = target_of(&place->reader);
  options.has_read = true;
  open_one(place, &options);
}

static void reads_go_to_the_reader_and_writes_to_the_server(void **state) {
  struct place *place = *state;
  struct fleet_view view;
  open_two(place);
  LOOP_UNTIL(place->asker.loop, strstr(asker_view(&place->asker, &view), "2 of 2 servers"));
  assert_true(asker_hears(&place->asker, "who", NULL, "reader"));
  assert_true(asker_hears(&place->asker, "k", "v", "OK"));
  assert_true(redis_says(&place->server, "GET k", "v"));
  assert_false(redis_says(&place->reader, "GET k", "v"));
}

static void while_the_reader_is_away_the_server_is_read(void **state) {
  struct place *place = *state;
  open_two(place);
  LOOP_UNTIL(place->asker.loop, asker_hears(&place->asker, "who", NULL, "reader"));
  redis_kill(&place->reader);
  LOOP_UNTIL(place->asker.loop, asker_hears(&place->asker, "who", NULL, "server"));
  redis_start_again(&place->reader);
  redis_say(&place->reader, "SET who reader");
  LOOP_UNTIL(place->asker.loop, asker_hears(&place->asker, "who", NULL, "reader"));
}

static void without_the_server_reads_go_on_and_writes_are_away(void **state) {
  struct place *place = *state;
  open_two(place);
  LOOP_UNTIL(place->asker.loop, asker_hears(&place->asker, "who", NULL, "reader"));
  redis_kill(&place->server);
  LOOP_UNTIL(place->asker.loop, !is_up(place, FLEET_WRITE));
  assert_true(is_up(place, FLEET_READ));
  assert_true(asker_hears(&place->asker, "who", NULL, "reader"));
  assert_int_equal(asker_send(&place->asker, "k", "v", NULL), ERR_NETWORK);
}

/* ---- calls ---- */

static void no_more_calls_are_taken_than_may_be_under_way(void **state) {
  struct place *place = *state;
  redis_start(&place->server);
  struct fleet_options options = options_of(&place->server);
  options.max_commands = 3;
  open_one(place, &options);
  for (int i = 0; i < 3; i++)
    assert_int_equal(asker_send(&place->asker, "k", NULL, NULL), 0);
  assert_int_equal(asker_send(&place->asker, "k", NULL, NULL), ERR_OVERLOAD);
  LOOP_UNTIL(place->asker.loop, place->asker.has_answer);
  loop_settle(place->asker.loop);
  assert_true(asker_hears(&place->asker, "k", NULL, "(nil)"));
}

static void a_call_that_was_cancelled_is_not_answered(void **state) {
  struct place *place = *state;
  struct fleet_call *call;
  redis_start(&place->server);
  open_one(place, NULL);
  assert_int_equal(asker_send(&place->asker, "cancelled", NULL, &call), 0);
  fleet_cancel(call);
  assert_true(asker_hears(&place->asker, "k", "v", "OK"));          /* which comes after it */
  assert_int_equal(asker_send(&place->asker, "k", NULL, &call), 0); /* left to fleet_destroy */
}

/* ---- one server by itself ---- */

static void the_server_that_is_read_is_the_one_with_keys(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  struct link_target target = {0};
  redis_start(&place->server);
  redis_start(&place->reader);
  struct fleet_options options = options_of(&place->server);
  options.read = target_of(&place->reader);
  options.has_read = true;
  open_one(place, &options);
  LOOP_UNTIL(asker->loop, fleet_server(asker->fleet, 0, &target) && target.port == place->reader.port);
  assert_false(fleet_server(asker->fleet, 1, &target));
  redis_say(&place->reader, "SET k of-the-reader");
  assert_int_equal(asker_send_to(asker, &target, "GET", "k"), 0);
  LOOP_UNTIL(asker->loop, asker->has_answer);
  assert_string_equal(asker->text, "of-the-reader");
  redis_kill(&place->reader);
  LOOP_UNTIL(asker->loop, fleet_server(asker->fleet, 0, &target) && target.port == place->server.port);
  const struct link_target reader = target_of(&place->reader), nobody = {.host = "127.0.0.1", .port = 1};
  assert_int_equal(asker_send_to(asker, &reader, "GET", "k"), ERR_NETWORK);
  assert_int_equal(asker_send_to(asker, &nobody, "GET", "k"), ERR_NETWORK);
  redis_kill(&place->server);
  LOOP_UNTIL(asker->loop, !fleet_server(asker->fleet, 0, &target));
  assert_int_equal(asker_send_to(asker, &target, "GET", "k"), ERR_NETWORK);
}

/* ---- the subscription ---- */

static void messages_are_heard_and_each_return_is_told(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  redis_start(&place->server);
  open_one(place, NULL);
  assert_int_equal(fleet_subscribe(asker->fleet, "purge", asker_on_message, asker_on_up, asker), 0);
  assert_int_equal(fleet_subscribe(asker->fleet, "purge", asker_on_message, asker_on_up, asker),
                   ERR_OVERLOAD);
  LOOP_UNTIL(asker->loop, asker->up_count == 1);
  redis_say(&place->server, "PUBLISH purge one");
  LOOP_UNTIL(asker->loop, asker->message_count == 1);
  assert_string_equal(asker->message, "one");
  redis_kill(&place->server);
  LOOP_UNTIL(asker->loop, !is_up(place, FLEET_READ));
  redis_start_again(&place->server);
  LOOP_UNTIL(asker->loop, asker->up_count == 2);
  redis_say(&place->server, "PUBLISH purge two");
  LOOP_UNTIL(asker->loop, asker->message_count == 2);
  assert_string_equal(asker->message, "two");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(one_server_is_read_and_written),
      TEST(a_server_that_is_away_costs_nothing_and_comes_back),
      TEST(a_command_under_way_when_the_server_dies_is_answered),
      TEST(errors_of_the_server_are_answers),
      TEST(user_password_and_database_are_those_configured),
      TEST(reads_go_to_the_reader_and_writes_to_the_server),
      TEST(while_the_reader_is_away_the_server_is_read),
      TEST(without_the_server_reads_go_on_and_writes_are_away),
      TEST(no_more_calls_are_taken_than_may_be_under_way),
      TEST(a_call_that_was_cancelled_is_not_answered),
      TEST(the_server_that_is_read_is_the_one_with_keys),
      TEST(messages_are_heard_and_each_return_is_told),
  };
  if (!redis_is_there()) {
    print_message("there is no redis-server: skipped\n");
    return 0;
  }
  return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
