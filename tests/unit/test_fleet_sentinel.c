/* The topology of sentinels, with real ones: two servers, one the other's replica, and who watches them. */
#include "cmocka_compat.h"

#include <stdbool.h>

#include "base/error.h"
#include "fleet_asker.h"

static const char server_password[] = "of-the-servers", sentinel_password[] = "of-the-sentinels";

struct place {
  struct redis_server servers[2], sentinels[2];
  struct asker asker;
};

/* Server 0 is the master, and 1 has followed it. */
static void start_servers(struct place *place) {
  for (int i = 0; i < 2; i++) {
    struct redis_server *server = &place->servers[i];
    int length = snprintf(server->lines, sizeof(server->lines), "requirepass %s\nmasterauth %s\n",
                          server_password, server_password);
    if (i > 0)
      snprintf(server->lines + length, sizeof(server->lines) - (size_t)length, "replicaof 127.0.0.1 %u\n",
               place->servers[0].port);
    snprintf(server->password, sizeof(server->password), "%s", server_password);
    redis_start(server);
  }
  REDIS_UNTIL(redis_says(&place->servers[1], "INFO replication", "master_link_status:up"));
}

/* Starts a sentinel that takes server `at` for the master. */
static void start_sentinel(struct redis_server *sentinel, const struct place *place, int at, int quorum) {
  sentinel->is_sentinel = true;
  snprintf(sentinel->lines, sizeof(sentinel->lines),
           "requirepass %s\n"
           "sentinel monitor mail 127.0.0.1 %u %d\n"
           "sentinel auth-pass mail %s\n"
           "sentinel down-after-milliseconds mail 1000\n"
           "sentinel failover-timeout mail 1000\n",
           sentinel_password, place->servers[at].port, quorum, server_password);
  snprintf(sentinel->password, sizeof(sentinel->password), "%s", sentinel_password);
  redis_start(sentinel);
}

static bool sees_a_replica(struct redis_server *sentinel) {
  redisReply *reply = redis_ask(sentinel, "SENTINEL slaves mail"); /* older ones know no other word */
  bool is_so = reply->type == REDIS_REPLY_ARRAY && reply->elements == 1;
  freeReplyObject(reply);
  return is_so;
}

static struct fleet_options options_of(const struct place *place, size_t sentinel_count) {
  struct fleet_options options = {.topology = FLEET_SENTINEL,
                                  .seed_count = sentinel_count,
                                  .master = "mail",
                                  .password = server_password,
                                  .sentinel_password = sentinel_password,
                                  .connect_timeout_ms = ASKER_TIMEOUT_MS,
                                  .max_commands = 1000};
  for (size_t i = 0; i < sentinel_count; i++)
    options.seeds[i] = (struct link_target){.host = "127.0.0.1", .port = place->sentinels[i].port};
  return options;
}

static bool is_up(const struct place *place) { return fleet_is_up(place->asker.fleet, FLEET_WRITE); }

static bool is_told(struct place *place, const char *text) {
  struct fleet_view view;
  return strstr(asker_view(&place->asker, &view), text) != NULL;
}

static int setup(void **state) {
  struct place *place = calloc(1, sizeof(*place));
  assert_non_null(place);
  start_servers(place);
  *state = place;
  return 0;
}

static int teardown(void **state) {
  struct place *place = *state;
  asker_close(&place->asker);
  for (int i = 0; i < 2; i++) {
    redis_stop(&place->sentinels[i]);
    redis_stop(&place->servers[i]);
  }
  free(place);
  return 0;
}

/* One sentinel, and a fleet that has found the master. */
static void open_usual(struct place *place) {
  start_sentinel(&place->sentinels[0], place, 0, 1);
  const struct fleet_options options = options_of(place, 1);
  asker_open(&place->asker, &options);
  LOOP_UNTIL(place->asker.loop, is_up(place));
}

static void the_master_that_a_sentinel_names_is_written_and_read(void **state) {
  struct place *place = *state;
  char text[64];
  open_usual(place);
  snprintf(text, sizeof(text), "up, the master is 127.0.0.1:%u", place->servers[0].port);
  assert_true(is_told(place, text));
  assert_true(asker_hears(&place->asker, "k", "v", "OK"));
  assert_true(asker_hears(&place->asker, "k", NULL, "v"));
  assert_true(redis_says(&place->servers[0], "GET k", "v"));
}

static void sentinels_have_credentials_of_their_own(void **state) {
  struct place *place = *state;
  start_sentinel(&place->sentinels[0], place, 0, 1);
  struct fleet_options options = options_of(place, 1);
  options.sentinel_password = server_password;
  asker_open(&place->asker, &options);
  LOOP_UNTIL(place->asker.loop, is_told(place, "down: no sentinel is up"));
  fleet_destroy(place->asker.fleet);
  options.sentinel_password = sentinel_password;
  options.password = sentinel_password;
  assert_int_equal(fleet_create(place->asker.loop, &options, &place->asker.fleet), 0);
  LOOP_UNTIL(place->asker.loop, is_told(place, "down: the server that a sentinel names: AUTH is answered"));
  assert_false(is_up(place));
}

static void when_the_master_is_killed_its_replica_takes_over(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  open_usual(place);
  assert_int_equal(fleet_subscribe(asker->fleet, "purge", asker_on_message, asker_on_up, asker), 0);
  LOOP_UNTIL(asker->loop, asker->up_count == 1);
  assert_true(asker_hears(asker, "before", "v", "OK"));
  REDIS_UNTIL(redis_says(&place->servers[1], "GET before", "v") && sees_a_replica(&place->sentinels[0]));
  redis_kill(&place->servers[0]);
  LOOP_UNTIL(asker->loop, !is_up(place));
  assert_int_equal(asker_send(asker, "k", NULL, NULL), ERR_NETWORK);
  LOOP_UNTIL(asker->loop, is_up(place) && asker_hears(asker, "after", "v", "OK"));
  assert_true(asker_hears(asker, "before", NULL, "v"));
  assert_true(redis_says(&place->servers[1], "GET after", "v"));
  LOOP_UNTIL(asker->loop, asker->up_count >= 2); /* the subscription has followed */
  LOOP_UNTIL(asker->loop, redis_takes(&place->servers[1], "PUBLISH purge hello") && asker->message_count > 0);
}

/* The sentinel ends the connections to the old master, which goes on as a replica. */
static void a_planned_fail_over_is_followed(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  open_usual(place);
  REDIS_UNTIL(sees_a_replica(&place->sentinels[0]));
  REDIS_UNTIL(
      redis_takes(&place->sentinels[0], "SENTINEL failover mail")); /* not before it knows the replica well */
  LOOP_UNTIL(asker->loop, is_up(place) && asker_hears(asker, "k", "v", "OK") &&
                              redis_says(&place->servers[1], "GET k", "v") &&
                              redis_says(&place->servers[1], "INFO replication", "role:master"));
}

static void a_master_that_refuses_writes_is_one_no_more(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  open_usual(place);
  redis_say(&place->sentinels[0], "SENTINEL remove mail"); /* so that it does not interfere */
  redis_say(&place->servers[1], "REPLICAOF NO ONE");
  redis_say(&place->servers[0], "REPLICAOF 127.0.0.1 %u", place->servers[1].port);
  assert_true(is_up(place));
  assert_true(asker_ask(asker, "k", "v"));
  assert_true(asker->is_error); /* the caller is told */
  assert_non_null(strstr(asker->text, "READONLY"));
  assert_false(is_up(place));
  LOOP_UNTIL(asker->loop, is_told(place, "down: a sentinel knows no master mail"));
  redis_say(&place->sentinels[0], "SENTINEL monitor mail 127.0.0.1 %u 1", place->servers[1].port);
  LOOP_UNTIL(asker->loop, is_up(place));
  assert_true(asker_hears(asker, "k", "v", "OK"));
  assert_true(redis_says(&place->servers[1], "GET k", "v"));
}

static void a_sentinel_that_names_a_replica_is_caught(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  start_sentinel(&place->sentinels[0], place, 1, 2); /* it takes the replica for the master */
  start_sentinel(&place->sentinels[1], place, 0, 2);
  redis_signal(&place->sentinels[1], SIGSTOP);
  const struct fleet_options options = options_of(place, 2);
  asker_open(asker, &options);
  LOOP_UNTIL(asker->loop, is_told(place, "down: the server that a sentinel names: is no master"));
  assert_false(is_up(place));
  redis_signal(&place->sentinels[1], SIGCONT);
  LOOP_UNTIL(asker->loop, is_up(place));
  assert_true(asker_hears(asker, "k", "v", "OK"));
  assert_true(redis_says(&place->servers[1], "INFO replication", "role:slave"));
}

static void with_all_sentinels_away_the_master_goes_on(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  open_usual(place);
  redis_kill(&place->sentinels[0]);
  LOOP_UNTIL(asker->loop, is_told(place, "0 of 1 sentinels"));
  assert_true(asker_hears(asker, "k", "v", "OK"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_master_that_a_sentinel_names_is_written_and_read),
      TEST(sentinels_have_credentials_of_their_own),
      TEST(when_the_master_is_killed_its_replica_takes_over),
      TEST(a_planned_fail_over_is_followed),
      TEST(a_master_that_refuses_writes_is_one_no_more),
      TEST(a_sentinel_that_names_a_replica_is_caught),
      TEST(with_all_sentinels_away_the_master_goes_on),
  };
  if (!redis_is_there()) {
    print_message("there is no redis-server: skipped\n");
    return 0;
  }
  return cmocka_run_group_tests_name("fleet_sentinel", tests, NULL, NULL);
}
