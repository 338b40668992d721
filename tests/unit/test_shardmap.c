#include "cmocka_compat.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/random.h"
#include "made_replies.h"
#include "redis/shardmap.h"

static const struct shardmap_node asked = {"192.0.2.1", 6379};

/* Too large for some stacks. */
static struct shardmap map, before;

static uint16_t slot_of(const char *key) { return shardmap_slot(key, strlen(key)); }

/* ---- slots ---- */

static void slots_are_those_of_the_specification(void **state) {
  (void)state;
  assert_int_equal(slot_of("123456789"), 0x31c3); /* its test vector */
  assert_int_equal(slot_of(""), 0);
  assert_int_equal(slot_of("foo"), 12182); /* as CLUSTER KEYSLOT says */
  assert_int_equal(slot_of("mxway:1:d:example.com"), 5865);
}

static void only_the_tag_of_a_key_counts(void **state) {
  (void)state;
  assert_int_equal(slot_of("{user1000}.following"), slot_of("user1000"));
  assert_int_equal(slot_of("a{user1000}{b}"), slot_of("user1000"));
  assert_int_equal(slot_of("foo{{bar}}zap"), slot_of("{bar"));
  assert_int_equal(slot_of("foo}{bar}"), slot_of("bar"));
}

static void a_key_without_a_whole_tag_counts_all(void **state) {
  (void)state;
  assert_int_equal(slot_of("foo{}{bar}"), 8363); /* these, too, as CLUSTER KEYSLOT says */
  assert_int_equal(slot_of("foo{bar"), 15278);
  assert_int_equal(slot_of("foo{{bar}}zap"), 4015);
}

/* The remainder as its definition says, bit by bit. */
static unsigned crc_by_bits(const uint8_t *octets, size_t length) {
  unsigned crc = 0;
  for (size_t i = 0; i < length; i++) {
    crc ^= (unsigned)octets[i] << 8;
    for (int bit = 0; bit < 8; bit++)
      crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}

static void any_octets_have_the_slot_that_the_definition_gives(void **state) {
  (void)state;
  struct random random = {1};
  for (int round = 0; round < 20000; round++) {
    uint8_t key[64];
    size_t length = random_below(&random, sizeof(key) + 1);
    for (size_t i = 0; i < length; i++)
      do
        key[i] = (uint8_t)random_next(&random);
      while (key[i] == '{');
    assert_int_equal(shardmap_slot((const char *)key, length), crc_by_bits(key, length) % SHARDMAP_SLOTS);
  }
}

/* ---- CLUSTER SLOTS ---- */

static int parse(redisReply *reply) {
  int error = shardmap_parse(reply, &asked, &map);
  made_free(reply);
  return error;
}

/* Refused, and the map is as it was. */
static void assert_refused(redisReply *reply, int error) {
  shardmap_set(&map, 7, &asked);
  before = map;
  assert_int_equal(parse(reply), error);
  assert_memory_equal(&map, &before, sizeof(map));
}

static const struct shardmap_node *owner_of(uint16_t slot) {
  int place = shardmap_owner(&map, slot);
  assert_in_range(place, 0, map.node_count - 1);
  return &map.nodes[place];
}

static void each_slot_has_the_master_of_its_range(void **state) {
  (void)state;
  redisReply *reply = made_array();
  made_add(reply, made_range(0, 5460, made_node("192.0.2.1", 7000)));
  redisReply *second = made_range(5461, 10922, made_node("2001:db8::2", 7001));
  made_add(reply, made_add(second, made_node("192.0.2.9", 7009))); /* a replica */
  made_add(reply, made_range(10923, 10923, made_node("192.0.2.1", 7000)));
  assert_int_equal(parse(reply), 0);
  assert_int_equal(map.node_count, 2);
  assert_int_equal(map.slot_count, 10924);
  assert_string_equal(owner_of(0)->host, "192.0.2.1");
  assert_int_equal(owner_of(5460)->port, 7000);
  assert_string_equal(owner_of(5461)->host, "2001:db8::2");
  assert_int_equal(owner_of(10922)->port, 7001);
  assert_ptr_equal(owner_of(10923), owner_of(0));
  assert_int_equal(shardmap_owner(&map, 10924), -1);
  assert_int_equal(shardmap_owner(&map, SHARDMAP_SLOTS - 1), -1);
}

static void a_server_without_a_host_is_where_the_asked_one_is(void **state) {
  (void)state;
  redisReply *reply = made_add(made_array(), made_range(0, 1, made_node("", 7000)));
  made_add(reply, made_range(2, 3, made_node(NULL, 7001)));
  assert_int_equal(parse(reply), 0);
  assert_string_equal(owner_of(0)->host, asked.host);
  assert_string_equal(owner_of(2)->host, asked.host);
  assert_int_equal(owner_of(2)->port, 7001);
}

static void slots_of_a_server_that_is_not_known_are_nobodys(void **state) {
  (void)state;
  redisReply *reply = made_add(made_array(), made_range(0, 1, made_node("?", 7000)));
  made_add(reply, made_range(2, 3, made_node("192.0.2.1", 7001)));
  assert_int_equal(parse(reply), 0);
  assert_int_equal(shardmap_owner(&map, 1), -1);
  assert_int_equal(map.slot_count, 2);
}

static void a_cluster_without_slots_is_an_empty_map(void **state) {
  (void)state;
  assert_int_equal(parse(made_array()), 0);
  assert_int_equal(map.slot_count, 0);
  assert_int_equal(map.node_count, 0);
}

static redisReply *one(redisReply *range) { return made_add(made_array(), range); }

static void a_reply_that_breaks_its_form_changes_nothing(void **state) {
  (void)state;
  assert_refused(made_nil(), ERR_MALFORMED);
  assert_refused(made_error("ERR This instance has cluster support disabled"), ERR_MALFORMED);
  assert_refused(one(made_integer(1)), ERR_MALFORMED);
  assert_refused(one(made_array()), ERR_MALFORMED);
  assert_refused(one(made_range(-1, 5, made_node("192.0.2.1", 1))), ERR_MALFORMED);
  assert_refused(one(made_range(5, 4, made_node("192.0.2.1", 1))), ERR_MALFORMED);
  assert_refused(one(made_range(0, 16384, made_node("192.0.2.1", 1))), ERR_MALFORMED);
  assert_refused(one(made_range(0, INT64_MAX, made_node("192.0.2.1", 1))), ERR_MALFORMED);
  assert_refused(one(made_range(0, 1, made_node("192.0.2.1", 0))), ERR_MALFORMED);
  assert_refused(one(made_range(0, 1, made_node("192.0.2.1", 65536))), ERR_MALFORMED);
  assert_refused(one(made_range(0, 1, made_string("192.0.2.1"))), ERR_MALFORMED);
  assert_refused(one(made_range(0, 1, made_add(made_array(), made_string("192.0.2.1")))), ERR_MALFORMED);
  assert_refused(one(made_add(made_add(made_array(), made_integer(0)), made_integer(1))), ERR_MALFORMED);
  redisReply *texts = made_add(made_add(made_array(), made_string("0")), made_string("1"));
  assert_refused(one(made_add(texts, made_node("192.0.2.1", 1))), ERR_MALFORMED);
  char host[SHARDMAP_HOST_SIZE + 1];
  memset(host, 'a', sizeof(host) - 1);
  host[sizeof(host) - 1] = '\0';
  assert_refused(one(made_range(0, 1, made_node(host, 1))), ERR_MALFORMED);
  redisReply *cut = made_node("192.0.2.1", 1);
  cut->element[0]->str[3] = '\0';
  assert_refused(one(made_range(0, 1, cut)), ERR_MALFORMED);
}

static void a_slot_of_two_masters_is_refused(void **state) {
  (void)state;
  redisReply *reply = made_add(made_array(), made_range(0, 16383, made_node("192.0.2.1", 7000)));
  assert_refused(made_add(reply, made_range(9, 9, made_node("192.0.2.2", 7000))), ERR_MALFORMED);
}

static void more_masters_than_fit_are_refused(void **state) {
  (void)state;
  for (int count = SHARDMAP_NODES_MAX; count <= SHARDMAP_NODES_MAX + 1; count++) {
    redisReply *reply = made_array();
    for (int i = 0; i < count; i++)
      made_add(reply, made_range(i, i, made_node("192.0.2.1", 1 + i)));
    if (count > SHARDMAP_NODES_MAX) {
      assert_refused(reply, ERR_TOO_LARGE);
      continue;
    }
    assert_int_equal(parse(reply), 0);
    for (int i = 0; i < count; i++)
      assert_int_equal(owner_of((uint16_t)i)->port, 1 + i);
  }
}

/* Any cluster, cut into ranges at random, is read as it is. */
static void any_cluster_is_read_back(void **state) {
  (void)state;
  struct random random = {2};
  static int expected[SHARDMAP_SLOTS];
  for (int round = 0; round < 50; round++) {
    redisReply *reply = made_array();
    uint32_t nodes = 1 + random_below(&random, SHARDMAP_NODES_MAX);
    unsigned covered = 0;
    for (unsigned slot = 0; slot < SHARDMAP_SLOTS;) {
      unsigned last = slot + random_below(&random, 1 + random_below(&random, 2000));
      last = last < SHARDMAP_SLOTS ? last : SHARDMAP_SLOTS - 1;
      int port = random_below(&random, 8) == 0 ? 0 : 1 + (int)random_below(&random, nodes);
      if (port > 0)
        made_add(reply, made_range(slot, last, made_node("192.0.2.1", port)));
      for (; slot <= last; slot++) {
        expected[slot] = port;
        covered += port > 0;
      }
    }
    assert_int_equal(parse(reply), 0);
    assert_int_equal(map.slot_count, covered);
    for (uint16_t slot = 0; slot < SHARDMAP_SLOTS; slot++) {
      int place = shardmap_owner(&map, slot);
      assert_int_equal(place < 0 ? 0 : map.nodes[place].port, expected[slot]);
    }
  }
}

/* ---- one slot moves ---- */

static void a_slot_that_has_moved_has_its_new_owner(void **state) {
  (void)state;
  assert_int_equal(parse(one(made_range(0, 9, made_node("192.0.2.1", 7000)))), 0);
  const struct shardmap_node other = {"192.0.2.2", 7000};
  assert_int_equal(shardmap_set(&map, 4, &other), 1);
  assert_int_equal(shardmap_set(&map, 10, &other), 1);
  assert_string_equal(owner_of(3)->host, "192.0.2.1");
  assert_string_equal(owner_of(4)->host, "192.0.2.2");
  assert_string_equal(owner_of(5)->host, "192.0.2.1");
  assert_int_equal(map.slot_count, 11);
  assert_int_equal(map.node_count, 2);
}

static void a_full_map_takes_no_new_owner(void **state) {
  (void)state;
  memset(&map, 0, sizeof(map));
  struct shardmap_node node = {"192.0.2.1", 1};
  for (uint16_t i = 0; i < SHARDMAP_NODES_MAX; i++, node.port++)
    assert_int_equal(shardmap_set(&map, i, &node), i);
  assert_int_equal(shardmap_set(&map, 0, &node), ERR_TOO_LARGE);
  assert_int_equal(owner_of(0)->port, 1);
  node.port = 5;
  assert_int_equal(shardmap_set(&map, 0, &node), 4);
}

/* ---- MOVED and ASK ---- */

static bool parse_move(const char *text, struct shardmap_move *move) {
  return shardmap_move_parse(text, strlen(text), &asked, move);
}

static void moved_and_ask_are_read(void **state) {
  (void)state;
  struct shardmap_move move;
  assert_true(parse_move("MOVED 3999 127.0.0.1:6381", &move));
  assert_false(move.is_ask);
  assert_int_equal(move.slot, 3999);
  assert_string_equal(move.to.host, "127.0.0.1");
  assert_int_equal(move.to.port, 6381);
  assert_true(parse_move("ASK 16383 2001:db8::1:65535", &move));
  assert_true(move.is_ask);
  assert_int_equal(move.slot, 16383);
  assert_string_equal(move.to.host, "2001:db8::1");
  assert_int_equal(move.to.port, 65535);
  assert_true(parse_move("MOVED 0 :6381", &move));
  assert_string_equal(move.to.host, asked.host);
}

static void other_errors_move_nothing(void **state) {
  (void)state;
  static const char *const texts[] = {
      "",
      "MOVED",
      "MOVED ",
      "MOVED 1",
      "MOVED 1 ",
      "MOVED 1 host",
      "MOVED 1 host:",
      "MOVED 1 host:0",
      "MOVED 1 host:65536",
      "MOVED 1 host:1 ",
      "MOVED 1 ?:7000",
      "MOVED 16384 host:1",
      "MOVED -1 host:1",
      "MOVED 99999999999999999999 host:1",
      "MOVED  1 host:1",
      "MOVED x host:1",
      "moved 1 host:1",
      "ASKING 1 host:1",
      "CLUSTERDOWN Hash slot not served",
      "ERR MOVED 1 host:1",
  };
  struct shardmap_move move = {.slot = 77};
  for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
    assert_false(parse_move(texts[i], &move));
    assert_int_equal(move.slot, 77);
  }
}

/* Each cut is read as what it is, and nothing behind it is. */
static void a_cut_move_is_never_read_beyond_its_end(void **state) {
  (void)state;
  static const char text[] = "MOVED 3999 127.0.0.1:6381";
  struct shardmap_move move;
  for (size_t length = 0; length < sizeof(text) - 1; length++) {
    char *copy = malloc(length + 1); /* so that a sanitizer sees */
    assert_non_null(copy);
    memcpy(copy, text, length);
    bool is_read = shardmap_move_parse(copy, length, &asked, &move);
    assert_true(is_read == (length > strlen("MOVED 3999 127.0.0.1:")));
    free(copy);
  }
  assert_false(shardmap_move_parse("MOVED 1 ho\0st:1", 15, &asked, &move));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slots_are_those_of_the_specification),
      cmocka_unit_test(only_the_tag_of_a_key_counts),
      cmocka_unit_test(a_key_without_a_whole_tag_counts_all),
      cmocka_unit_test(any_octets_have_the_slot_that_the_definition_gives),
      cmocka_unit_test(each_slot_has_the_master_of_its_range),
      cmocka_unit_test(a_server_without_a_host_is_where_the_asked_one_is),
      cmocka_unit_test(slots_of_a_server_that_is_not_known_are_nobodys),
      cmocka_unit_test(a_cluster_without_slots_is_an_empty_map),
      cmocka_unit_test(a_reply_that_breaks_its_form_changes_nothing),
      cmocka_unit_test(a_slot_of_two_masters_is_refused),
      cmocka_unit_test(more_masters_than_fit_are_refused),
      cmocka_unit_test(any_cluster_is_read_back),
      cmocka_unit_test(a_slot_that_has_moved_has_its_new_owner),
      cmocka_unit_test(a_full_map_takes_no_new_owner),
      cmocka_unit_test(moved_and_ask_are_read),
      cmocka_unit_test(other_errors_move_nothing),
      cmocka_unit_test(a_cut_move_is_never_read_beyond_its_end),
  };
  return cmocka_run_group_tests_name("shardmap", tests, NULL, NULL);
}
