/* The topology of a cluster, with a real one: three masters, each with a third of the slots. */
#include "cmocka_compat.h"

#include <stdbool.h>

#include "base/error.h"
#include "fleet_asker.h"
#include "redis/shardmap.h"

enum { COUNT = 3 };

struct place {
  struct redis_server nodes[COUNT], replica;
  char ids[COUNT][64];
  struct asker asker;
};

static unsigned first_slot(int node) { return (unsigned)(SHARDMAP_SLOTS * node / COUNT); }

static void add_slots(struct redis_server *node, unsigned first, unsigned end) {
  static char digits[SHARDMAP_SLOTS][12];
  static const char *words[2 + SHARDMAP_SLOTS] = {"CLUSTER", "ADDSLOTS"};
  int count = 2;
  for (unsigned slot = first; slot < end; slot++) {
    snprintf(digits[slot], sizeof(digits[slot]), "%u", slot);
    words[count++] = digits[slot];
  }
  redisReply *reply = redisCommandArgv(node->connection, count, words, NULL);
  assert_non_null(reply);
  assert_int_equal(reply->type, REDIS_REPLY_STATUS);
  freeReplyObject(reply);
}

static void start_node(struct redis_server *node) {
  snprintf(node->lines, sizeof(node->lines),
           "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 4000\n"
           "cluster-require-full-coverage no\n");
  redis_start(node);
}

static void make_node(struct place *place, int at) {
  struct redis_server *node = &place->nodes[at];
  start_node(node);
  redis_say(node, "CLUSTER SET-CONFIG-EPOCH %d", at + 1);
  redisReply *id = redis_ask(node, "CLUSTER MYID");
  snprintf(place->ids[at], sizeof(place->ids[at]), "%s", id->str);
  freeReplyObject(id);
  add_slots(node, first_slot(at), first_slot(at + 1));
}

/* Whether a node knows of all slots, and of all nodes. */
static bool knows_all(struct redis_server *node) {
  return redis_says(node, "CLUSTER INFO", "cluster_state:ok") &&
         redis_says(node, "CLUSTER INFO", "cluster_slots_ok:16384") &&
         redis_says(node, "CLUSTER INFO", "cluster_known_nodes:3");
}

/* All tests share the cluster, which needs seconds to find itself. */
static int make_cluster(void **state) {
  struct place *place = calloc(1, sizeof(*place));
  assert_non_null(place);
  for (int i = 0; i < COUNT; i++)
    make_node(place, i);
  for (int i = 1; i < COUNT; i++)
    redis_say(&place->nodes[0], "CLUSTER MEET 127.0.0.1 %u", place->nodes[i].port);
  *state = place;
  return 0;
}

static int end_cluster(void **state) {
  struct place *place = *state;
  for (int i = 0; i < COUNT; i++)
    redis_stop(&place->nodes[i]);
  redis_stop(&place->replica);
  free(place);
  return 0;
}

/* A cluster that is whole, and empty. */
static int setup(void **state) {
  struct place *place = *state;
  for (int i = 0; i < COUNT; i++)
    if (place->nodes[i].pid == 0)
      redis_start_again(&place->nodes[i]);
  for (int i = 0; i < COUNT; i++) {
    REDIS_UNTIL(knows_all(&place->nodes[i]));
    redis_say(&place->nodes[i], "FLUSHALL");
  }
  return 0;
}

static int teardown(void **state) {
  struct place *place = *state;
  asker_close(&place->asker);
  return 0;
}

static struct fleet_view view_of(struct place *place) {
  struct fleet_view view;
  fleet_look(place->asker.fleet, &view);
  return view;
}

/* A fleet that is told of one node, and has found all. */
static void open_usual(struct place *place) {
  const struct fleet_options options = {
      .topology = FLEET_CLUSTER,
      .seeds = {{.host = "127.0.0.1", .port = place->nodes[0].port}},
      .seed_count = 1,
      .connect_timeout_ms = ASKER_TIMEOUT_MS,
      .max_commands = 1000,
  };
  asker_open(&place->asker, &options);
  LOOP_UNTIL(place->asker.loop, view_of(place).up_count == COUNT);
}

/* A key like those of the store, whose slot node `at` has to begin with. */
static const char *key_of(int at, int number) {
  static char key[64];
  for (int i = number * 1000;; i++) {
    snprintf(key, sizeof(key), "mxway:1:d:d%d.example", i);
    unsigned slot = shardmap_slot(key, strlen(key));
    if (slot >= first_slot(at) && slot < first_slot(at + 1))
      return key;
  }
}

static void each_key_is_read_and_written_where_it_is(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  open_usual(place);
  for (int i = 0; i < 10 * COUNT; i++) {
    const char *key = key_of(i % COUNT, i);
    assert_true(asker_hears(asker, key, "v", "OK"));
    assert_true(asker_hears(asker, key, NULL, "v"));
    char command[80];
    snprintf(command, sizeof(command), "GET %s", key);
    assert_true(redis_says(&place->nodes[i % COUNT], command, "v"));
  }
  struct fleet_view view = view_of(place);
  assert_int_equal(view.moved + view.asked, 0);
  assert_non_null(strstr(view.text, "up, 3 of 3 servers, 16384 of 16384 slots, "));
}

/* Clients of the fleet: its link, and the subscription where it is. */
static size_t connections_to(struct redis_server *node) {
  redisReply *reply = redis_ask(node, "CLIENT LIST TYPE normal");
  size_t count = 0;
  for (const char *at = reply->str; (at = strstr(at, "id=")); at++)
    count += at == reply->str || at[-1] == '\n';
  freeReplyObject(reply);
  return count - 1; /* the test's own */
}

static void there_is_one_connection_a_node(void **state) {
  struct place *place = *state;
  open_usual(place);
  for (int i = 0; i < 100; i++)
    assert_true(asker_hears(&place->asker, key_of(i % COUNT, i), NULL, "(nil)"));
  for (int i = 0; i < COUNT; i++)
    assert_int_equal(connections_to(&place->nodes[i]), 1);
}

static void set_slot(struct place *place, int node, unsigned slot, const char *what, int other) {
  redis_say(&place->nodes[node], "CLUSTER SETSLOT %u %s %s", slot, what, place->ids[other]);
}

/* Node 1 has `slot`, and nothing in it but `key`: node 0 gets it back. */
static void give_back(struct place *place, const char *key, unsigned slot) {
  redis_say(&place->nodes[1], "DEL %s", key);
  set_slot(place, 0, slot, "NODE", 0);
  set_slot(place, 1, slot, "NODE", 0);
  redis_say(&place->nodes[0], "CLUSTER BUMPEPOCH"); /* so that this word counts */
}

static bool goes_straight(struct place *place, const char *key) {
  uint64_t moved = view_of(place).moved;
  return asker_ask(&place->asker, key, NULL) && view_of(place).moved == moved;
}

static void a_slot_that_moves_is_followed(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  open_usual(place);
  char key[64];
  snprintf(key, sizeof(key), "%s", key_of(0, 1));
  unsigned slot = shardmap_slot(key, strlen(key));
  assert_true(asker_hears(asker, key, "v", "OK"));

  set_slot(place, 1, slot, "IMPORTING", 0);
  set_slot(place, 0, slot, "MIGRATING", 1);
  assert_true(asker_hears(asker, key, NULL, "v")); /* it is still where it was */
  assert_int_equal(view_of(place).asked, 0);
  redis_say(&place->nodes[0], "MIGRATE 127.0.0.1 %u %s 0 30000", place->nodes[1].port, key);
  assert_true(asker_hears(asker, key, NULL, "v"));
  assert_int_equal(view_of(place).asked, 1);
  assert_true(asker_hears(asker, key, "w", "OK"));
  assert_int_equal(view_of(place).asked, 2);
  assert_int_equal(view_of(place).moved, 0);

  set_slot(place, 1, slot, "NODE", 1);
  set_slot(place, 0, slot, "NODE", 1);
  assert_true(asker_hears(asker, key, NULL, "w"));
  assert_int_equal(view_of(place).moved, 1);
  LOOP_UNTIL(asker->loop,
             goes_straight(place, key)); /* not at once where it has asked a node that is behind */
  assert_int_equal(view_of(place).asked, 2);
  give_back(place, key, slot);
}

static void a_value_of_4_kib_is_sent_on_whole(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  open_usual(place);
  char key[64], value[4097];
  memset(value, 'x', sizeof(value) - 1);
  value[sizeof(value) - 1] = '\0';
  snprintf(key, sizeof(key), "%s", key_of(0, 2));
  unsigned slot = shardmap_slot(key, strlen(key));
  set_slot(place, 1, slot, "NODE", 1);
  set_slot(place, 0, slot, "NODE", 1);
  assert_true(asker_hears(asker, key, value, "OK"));
  assert_int_equal(view_of(place).moved, 1);
  redisReply *reply = redis_ask(&place->nodes[1], "GET %s", key);
  assert_int_equal(reply->len, sizeof(value) - 1);
  assert_string_equal(reply->str, value);
  freeReplyObject(reply);
  give_back(place, key, slot);
}

static void a_node_that_is_killed_takes_only_its_keys_away(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  open_usual(place);
  assert_true(asker_hears(asker, key_of(0, 1), "v0", "OK"));
  assert_true(asker_hears(asker, key_of(1, 1), "v1", "OK"));
  redis_kill(&place->nodes[2]);
  LOOP_UNTIL(asker->loop, view_of(place).up_count == COUNT - 1);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(asker_send(asker, key_of(2, i), NULL, NULL), ERR_NETWORK);
    assert_true(asker_hears(asker, key_of(0, 1), NULL, "v0"));
    assert_true(asker_hears(asker, key_of(1, 1), NULL, "v1"));
  }
  assert_true(fleet_is_up(asker->fleet, FLEET_READ));
  assert_non_null(strstr(view_of(place).text, "up, 2 of 3 servers"));
  redis_start_again(&place->nodes[2]);
  LOOP_UNTIL(asker->loop, asker_ask(asker, key_of(2, 1), "v2") && strcmp(asker->text, "OK") == 0);
}

static void a_fleet_begins_with_whatever_seed_is_there(void **state) {
  struct place *place = *state;
  struct fleet_options options = {
      .topology = FLEET_CLUSTER,
      .seed_count = 2,
      .connect_timeout_ms = ASKER_TIMEOUT_MS,
      .max_commands = 1000,
  };
  for (int i = 0; i < 2; i++)
    options.seeds[i] = (struct link_target){.host = "127.0.0.1", .port = place->nodes[i].port};
  redis_kill(&place->nodes[0]);
  asker_open(&place->asker, &options);
  LOOP_UNTIL(place->asker.loop, view_of(place).up_count == COUNT - 1);
  assert_true(asker_hears(&place->asker, key_of(2, 1), "v", "OK"));
  redis_start_again(&place->nodes[0]);
  LOOP_UNTIL(place->asker.loop, view_of(place).up_count == COUNT);
}

static bool is_listening(struct redis_server *node) {
  redisReply *reply = redis_ask(node, "PUBSUB NUMSUB purge");
  assert_int_equal(reply->elements, 2);
  bool is_so = reply->element[1]->integer == 1;
  freeReplyObject(reply);
  return is_so;
}

static void messages_are_heard_from_any_node_and_the_subscription_moves(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  open_usual(place);
  assert_int_equal(fleet_subscribe(asker->fleet, "purge", asker_on_message, asker_on_up, asker), 0);
  LOOP_UNTIL(asker->loop, asker->up_count == 1);
  for (int i = 0; i < COUNT; i++) {
    redis_say(&place->nodes[i], "PUBLISH purge %d", i);
    LOOP_UNTIL(asker->loop, asker->message_count == (size_t)i + 1);
  }
  int at = 0;
  while (!is_listening(&place->nodes[at]))
    assert_in_range(++at, 0, COUNT - 1);
  redis_kill(&place->nodes[at]);
  LOOP_UNTIL(asker->loop, asker->up_count == 2);
  redis_say(&place->nodes[(at + 1) % COUNT], "PUBLISH purge moved");
  LOOP_UNTIL(asker->loop, asker->message_count == COUNT + 1);
  assert_string_equal(asker->message, "moved");
}

/* Comes last: the cluster is another one after it. */
static void when_a_master_is_killed_its_replica_takes_its_keys_over(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  struct redis_server *replica = &place->replica;
  start_node(replica);
  redis_say(replica, "CLUSTER MEET 127.0.0.1 %u", place->nodes[0].port);
  REDIS_UNTIL(redis_takes(replica, "CLUSTER REPLICATE %s", place->ids[2])); /* not before it knows that one */
  for (int i = 0; i < COUNT; i++)                                           /* who vote for it */
    REDIS_UNTIL(redis_says(&place->nodes[i], "CLUSTER NODES", "slave"));
  REDIS_UNTIL(redis_says(replica, "INFO replication", "master_link_status:up"));
  open_usual(place);
  assert_true(asker_hears(asker, key_of(2, 1), "v", "OK"));
  redis_say(&place->nodes[2], "SET %s v", key_of(2, 2)); /* WAIT is for what its own connection has written */
  redisReply *replicas = redis_ask(&place->nodes[2], "WAIT 1 30000");
  assert_int_equal(replicas->integer, 1);
  freeReplyObject(replicas);
  redis_kill(&place->nodes[2]);
  LOOP_UNTIL(asker->loop, asker_hears(asker, key_of(2, 1), NULL, "v"));
  assert_true(redis_says(replica, "INFO replication", "role:master"));
  LOOP_UNTIL(asker->loop, view_of(place).up_count == COUNT); /* in the place of the one that is gone */
}

/* The node at `place` as the fleet has it. */
static int node_at(struct place *place, size_t at, struct link_target *target) {
  assert_true(fleet_server(place->asker.fleet, at, target));
  for (int i = 0; i < COUNT; i++)
    if (place->nodes[i].port == target->port)
      return i;
  fail_msg("the fleet names a server that is none");
  return -1;
}

static void each_node_can_be_asked_by_itself_and_sends_nobody_on(void **state) {
  struct place *place = *state;
  struct asker *asker = &place->asker;
  struct link_target target;
  unsigned seen = 0;
  open_usual(place);
  for (size_t at = 0; at < COUNT; at++) {
    int node = node_at(place, at, &target);
    seen |= 1u << node;
    redis_say(&place->nodes[node], "SET %s here", key_of(node, 1));
    assert_int_equal(asker_send_to(asker, &target, "GET", key_of(node, 1)), 0);
    LOOP_UNTIL(asker->loop, asker->has_answer);
    assert_string_equal(asker->text, "here");
    assert_int_equal(asker_send_to(asker, &target, "GET", key_of((node + 1) % COUNT, 1)), 0);
    LOOP_UNTIL(asker->loop, asker->has_answer);
    assert_true(asker->is_error);
    assert_int_equal(strncmp(asker->text, "MOVED ", 6), 0);
  }
  assert_int_equal(seen, (1u << COUNT) - 1);
  assert_false(fleet_server(asker->fleet, COUNT, &target));
  assert_false(fleet_server(asker->fleet, FLEET_SERVERS_MAX, &target));
  assert_int_equal(view_of(place).moved, 0);
  node_at(place, 0, &target);
  target.port = place->replica.port ? place->replica.port : 1;
  assert_int_equal(asker_send_to(asker, &target, "GET", "k"), ERR_NETWORK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_key_is_read_and_written_where_it_is),
      TEST(each_node_can_be_asked_by_itself_and_sends_nobody_on),
      TEST(there_is_one_connection_a_node),
      TEST(a_slot_that_moves_is_followed),
      TEST(a_value_of_4_kib_is_sent_on_whole),
      TEST(a_node_that_is_killed_takes_only_its_keys_away),
      TEST(a_fleet_begins_with_whatever_seed_is_there),
      TEST(messages_are_heard_from_any_node_and_the_subscription_moves),
      TEST(when_a_master_is_killed_its_replica_takes_its_keys_over),
  };
  if (!redis_is_there()) {
    print_message("there is no redis-server: skipped\n");
    return 0;
  }
  return cmocka_run_group_tests_name("fleet_cluster", tests, make_cluster, end_cluster);
}
