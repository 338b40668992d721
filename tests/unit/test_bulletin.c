#include "cmocka_compat.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "made_seal.h"
#include "notice_samples.h"
#include "played_list.h"
#include "record_samples.h"
#include "store/bulletin.h"

enum { NODES = 3, ORDERS_SIZE = 4000 };

#define FRESH UINT64_MAX

/* The store writes with the wall clock; everything else is told the time. */
static struct image_time now;
int64_t clock_wall_ms(void) { return now.wall_ms; }
int64_t clock_now_ms(void) { return now.now_ms; }
int64_t clock_now_us(void) { return now.now_ms * 1000; }

static struct node {
  struct stats stats;
  struct store *store;
  struct bulletin *bulletin;
  char orders[ORDERS_SIZE]; /* what its memory was to be purged of: "S example;A;" */
  uint64_t settled;
} nodes[NODES];
static struct node *const one = &nodes[0], *const other = &nodes[1], *const third = &nodes[2];
static struct seal *seal;
static struct record record; /* shop.example */

static uint64_t counted(const struct node *node, enum stats_counter counter) {
  return atomic_load(&node->stats.counters[counter]);
}

static void on_purge(void *context, enum purge_what what, const struct name *name) {
  struct node *node = context;
  size_t length = strlen(node->orders);
  assert_int_equal(name != NULL, what <= PURGE_OF_EXCHANGE);
  if (length < ORDERS_SIZE - 300)
    snprintf(node->orders + length, ORDERS_SIZE - length, "%c%s%s;", "DSXNFA"[what], name ? " " : "",
             name ? name->text : "");
}

static void on_settled(void *context, uint64_t generation) { ((struct node *)context)->settled = generation; }

/* `generation` is that of what memory holds; FRESH: it is empty. */
static void open_node(struct node *node, bool is_read_only, const struct seal *with, uint64_t generation) {
  bool is_fresh = generation == FRESH;
  static const struct store_options storing = {
      .prefix = "mxway:1:", .origin = "node", .timeout_ms = 30, .max_commands = 1000, .max_writes = 100};
  const struct bulletin_options options = {
      .key = "mxway:1:purges", .channel = "mxway:1:purge", .seal = with, .read_only = is_read_only};
  const struct bulletin_calls calls = {on_purge, on_settled, node};
  memset(node, 0, sizeof(*node));
  assert_int_equal(store_create(NULL, &storing, &node->stats, &node->store), 0);
  assert_int_equal(bulletin_create(NULL, node->store, &options, &node->stats, &node->bulletin), 0);
  assert_int_equal(
      bulletin_start(node->bulletin, &calls, is_fresh ? 0 : generation, is_fresh ? now.wall_ms : 0), 0);
}

static void close_node(struct node *node) {
  bulletin_destroy(node->bulletin);
  store_destroy(node->store);
  node->bulletin = NULL;
  node->store = NULL;
}

static int open_it(void **state) {
  (void)state;
  name_hash_init();
  fake_fleet_init();
  list_init();
  now = record_sample_time;
  record_sample_provider(&record);
  log_set_level(LOG_LEVEL_ERROR);
  return 0;
}

static int close_it(void **state) {
  (void)state;
  for (size_t i = 0; i < NODES; i++)
    close_node(&nodes[i]);
  assert_int_equal(fake_fleet.open_count, 0);
  return 0;
}

/* The loops turn, for a moment. */
static void turn(void) {
  for (unsigned i = 0; i < 300; i++)
    for (size_t j = 0; j < NODES; j++)
      if (nodes[j].bulletin) {
        bulletin_run(nodes[j].bulletin, now.now_ms);
        list_answer(now.now_ms);
      }
}

static void pass(int64_t ms) {
  now.now_ms += ms;
  now.wall_ms += ms;
  turn();
}

static uint64_t generation_of(const struct node *node) {
  struct bulletin_view view;
  bulletin_look(node->bulletin, &view);
  return view.generation;
}

/* Both, before an empty list. */
static void open_both(void) {
  open_node(one, false, NULL, FRESH);
  open_node(other, false, NULL, FRESH);
  turn();
  pass(BULLETIN_PAUSE_MS);
  assert_true(generation_of(one) > 0);
  assert_int_equal(generation_of(one), generation_of(other));
  assert_string_equal(one->orders, "");
  assert_string_equal(other->orders, "");
}

static uint64_t tell(struct node *node, enum purge_what what, const char *text) {
  struct name name;
  if (text)
    name = notice_name(text);
  return bulletin_tell(node->bulletin, what, text ? &name : NULL);
}

static enum bulletin_outcome outcome_of(const struct node *node, uint64_t number) {
  const char *why;
  return bulletin_outcome(node->bulletin, number, &why);
}

/* What becomes of a value of this generation: STORE_FOUND, or STORE_MISSING where it has been purged. */
static enum store_outcome read_outcome;

static bool suffices(void *context, const struct record *found, int64_t now_ms) {
  (void)context, (void)found, (void)now_ms;
  return true;
}

static void on_refused(void *context, const char *why) { (void)context, (void)why; }

static void on_late(void *context, int64_t now_ms) { (void)context, (void)now_ms; }

static void on_done(void *context, enum store_outcome outcome, const struct record *found, int64_t now_ms) {
  (void)context, (void)found, (void)now_ms;
  read_outcome = outcome;
}

static bool is_believed(struct node *node, uint64_t generation) {
  static const struct store_calls calls = {suffices, on_refused, on_late, on_done};
  const struct store_question question = {
      .kind = RECORD_DOMAIN, .name = record.name, .length = strlen(record.name)};
  uint8_t octets[RECORD_MAX];
  struct store_read *read;
  const struct image_time learned = record_sample_time;
  record.generation = generation;
  assert_int_equal(store_get(node->store, &question, now.now_ms, &calls, NULL, &read), 0);
  size_t at = fake_fleet.count - 1,
         length = record_pack(octets, &record, fake_fleet.calls[at].key, NULL, &learned);
  fake_answer_octets(at, REDIS_REPLY_STRING, octets, length, now.now_ms);
  list.answered = fake_fleet.count;
  return read_outcome == STORE_FOUND;
}

/* ---- following ---- */

static void the_first_node_begins_the_list(void **state) {
  (void)state;
  struct notice notice;
  open_node(one, false, NULL, FRESH);
  assert_int_equal(generation_of(one), 0);
  turn();
  assert_int_equal(list.count, 1);
  assert_int_equal(
      notice_parse(list.entries[0].octets, list.entries[0].length, "mxway:1:purges", NULL, &notice),
      NOTICE_GOOD);
  assert_true(notice.is_beginning);
  assert_int_equal(generation_of(one), UINT64_C(1790000000000) << BULLETIN_SEQUENCE_BITS);
  struct bulletin_view view;
  bulletin_look(one->bulletin, &view);
  assert_string_equal(view.followed, "1790000000000-0");
  assert_int_equal(one->settled, generation_of(one));
  assert_string_equal(one->orders, "");
}

static void a_purge_reaches_the_other_and_not_itself(void **state) {
  (void)state;
  open_both();
  uint64_t before = generation_of(one), number = tell(one, PURGE_OF_SUFFIX, "shop.example");
  assert_int_equal(outcome_of(one, number), BULLETIN_PENDING);
  turn();
  assert_int_equal(outcome_of(one, number), BULLETIN_TOLD);
  assert_string_equal(one->orders, "");
  assert_string_equal(other->orders, "S shop.example;");
  assert_true(generation_of(one) > before);
  assert_int_equal(generation_of(other), generation_of(one));
  assert_int_equal(other->settled, generation_of(one));
  assert_int_equal(counted(one, STATS_STORE_PURGES_TOLD), 1);
  assert_int_equal(counted(one, STATS_STORE_PURGES_HEARD), 0);
  assert_int_equal(counted(other, STATS_STORE_PURGES_HEARD), 1);
}

static void each_kind_and_each_name_is_followed(void **state) {
  (void)state;
  open_both();
  tell(one, PURGE_OF_DOMAIN, "a.example");
  tell(one, PURGE_OF_DOMAIN, "b.example");
  tell(one, PURGE_OF_EXCHANGE, "mx.example");
  tell(one, PURGE_OF_NEGATIVE, NULL);
  tell(one, PURGE_OF_FAILURES, NULL);
  tell(one, PURGE_OF_ALL, NULL);
  turn();
  pass(BULLETIN_PAUSE_MS);
  assert_string_equal(other->orders, "D a.example;D b.example;X mx.example;N;F;A;");
  pass(BULLETIN_LOOK_MS);
  on_purge(other, PURGE_OF_ALL, NULL); /* nothing came twice */
  assert_string_equal(other->orders, "D a.example;D b.example;X mx.example;N;F;A;A;");
}

static void a_message_that_is_lost_is_caught_up_with(void **state) {
  (void)state;
  open_both();
  list.is_deaf = true;
  tell(one, PURGE_OF_ALL, NULL);
  turn();
  assert_string_equal(other->orders, "");
  pass(BULLETIN_LOOK_MS - 1000);
  assert_string_equal(other->orders, "");
  pass(1000);
  assert_string_equal(other->orders, "A;");
}

static void a_subscription_that_is_back_has_it_look(void **state) {
  (void)state;
  open_both();
  list.is_deaf = true;
  tell(one, PURGE_OF_ALL, NULL);
  turn();
  fake_fleet.subscribers[1].on_up(other->bulletin, now.now_ms);
  list_answer(now.now_ms);
  assert_string_equal(other->orders, "A;");
  assert_int_equal(counted(other, STATS_STORE_PURGES_MISSED), 0);
}

static void all_that_is_kept_is_caught_up_with(void **state) {
  (void)state;
  char text[32];
  open_both();
  list.is_deaf = true;
  for (unsigned i = 0; i < NOTICE_KEPT - 2; i++) {
    snprintf(text, sizeof(text), "d%u.example", i);
    tell(one, PURGE_OF_SUFFIX, text);
    turn();
  }
  pass(BULLETIN_LOOK_MS);
  assert_int_equal(counted(other, STATS_STORE_PURGES_HEARD), NOTICE_KEPT - 2);
  assert_int_equal(counted(other, STATS_STORE_PURGES_MISSED), 0);
  assert_int_equal(generation_of(other), generation_of(one));
}

static void where_more_was_missed_all_is_purged(void **state) {
  (void)state;
  char text[32];
  open_both();
  list.is_deaf = true;
  for (unsigned i = 0; i < NOTICE_KEPT + 10; i++) {
    snprintf(text, sizeof(text), "d%u.example", i);
    tell(one, PURGE_OF_SUFFIX, text);
    turn();
  }
  pass(BULLETIN_LOOK_MS);
  assert_string_equal(other->orders, "A;");
  assert_int_equal(counted(other, STATS_STORE_PURGES_MISSED), 1);
  assert_int_equal(generation_of(other), generation_of(one));
  assert_int_equal(counted(one, STATS_STORE_PURGES_MISSED), 0);
}

static void a_flood_of_messages_is_a_few_looks(void **state) {
  (void)state;
  open_both();
  size_t before = fake_fleet.count;
  for (unsigned i = 0; i < 1000; i++)
    list_publish("nonsense", now.now_ms);
  turn();
  pass(BULLETIN_PAUSE_MS);
  assert_in_range(fake_fleet.count - before, 2, 6);
}

static void a_message_while_it_looks_has_it_look_again_soon(void **state) {
  (void)state;
  open_both();
  pass(BULLETIN_PAUSE_MS);
  now.now_ms = bulletin_next_ms(other->bulletin);
  bulletin_run(other->bulletin, now.now_ms);
  list_publish("1", now.now_ms);
  list_answer(now.now_ms);
  assert_int_equal(bulletin_next_ms(other->bulletin), now.now_ms + BULLETIN_PAUSE_MS);
}

/* ---- the start ---- */

static void a_node_that_starts_is_as_new_as_the_list(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  turn();
  tell(one, PURGE_OF_SUFFIX, "shop.example");
  turn();
  now.wall_ms += 2 * BULLETIN_MARGIN_MS;
  open_node(other, false, NULL, FRESH);
  turn();
  assert_int_equal(generation_of(other), generation_of(one));
  assert_string_equal(other->orders, "");
  tell(one, PURGE_OF_SUFFIX, "shop.example");
  turn();
  assert_string_equal(other->orders, "S shop.example;");
}

static void what_it_has_learned_before_it_looked_is_purged(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  turn();
  tell(one, PURGE_OF_SUFFIX, "shop.example");
  turn();
  open_node(other, false, NULL, FRESH); /* a moment after it was told */
  turn();
  assert_string_equal(other->orders, "S shop.example;");
}

static void a_memory_of_before_is_purged_of_what_came_since(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  turn();
  tell(one, PURGE_OF_SUFFIX, "a.example");
  turn();
  uint64_t generation = generation_of(one);
  tell(one, PURGE_OF_SUFFIX, "b.example");
  turn();
  open_node(other, false, NULL, generation);
  turn();
  assert_string_equal(other->orders, "S b.example;");
  assert_int_equal(other->settled, generation_of(one));
}

static void a_memory_that_is_as_new_as_the_list_stays(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  turn();
  tell(one, PURGE_OF_ALL, NULL);
  turn();
  open_node(other, false, NULL, generation_of(one));
  turn();
  assert_string_equal(other->orders, "");
  assert_int_equal(other->settled, generation_of(one));
  assert_true(is_believed(other, generation_of(one)));
}

static void a_memory_of_unknown_age_is_purged_of_all_that_was_ever_told(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  turn();
  tell(one, PURGE_OF_SUFFIX, "a.example");
  turn();
  open_node(other, false, NULL, 0);
  turn();
  assert_string_equal(other->orders, "S a.example;");
  tell(one, PURGE_OF_SUFFIX, "b.example");
  turn();
  close_node(other);
  list_forget(2); /* nobody knows what else was before */
  open_node(other, false, NULL, 0);
  turn();
  assert_string_equal(other->orders, "A;");
}

static void a_memory_stays_where_there_is_no_list(void **state) {
  (void)state;
  open_node(one, true, NULL, 0);
  turn();
  open_node(other, false, NULL, 12345);
  turn();
  tell(other, PURGE_OF_SUFFIX, "a.example");
  turn();
  pass(BULLETIN_PAUSE_MS);
  assert_string_equal(other->orders, "");
  assert_string_equal(one->orders, "A;S a.example;"); /* the other says that it knew an older list */
  assert_int_equal(generation_of(one), generation_of(other));
}

/* ---- a list that is lost ---- */

/* A server that keeps nothing is started again. */
static void lose_list(void) {
  list_forget(list.count);
  list.ms += 5000;
}

static void who_has_followed_a_list_that_is_lost_has_missed_nothing(void **state) {
  (void)state;
  open_both();
  tell(one, PURGE_OF_SUFFIX, "a.example");
  turn();
  uint64_t before = generation_of(one);
  lose_list();
  pass(BULLETIN_LOOK_MS);
  pass(BULLETIN_PAUSE_MS);
  assert_in_range(list.count, 1, 2);
  assert_string_equal(one->orders, "");
  assert_string_equal(other->orders, "S a.example;");
  assert_true(generation_of(one) > before);
  assert_int_equal(generation_of(one), generation_of(other));
  tell(one, PURGE_OF_SUFFIX, "b.example");
  turn();
  assert_string_equal(other->orders, "S a.example;S b.example;");
}

static void a_list_that_is_lost_before_all_have_seen_that_it_was_is_no_loss(void **state) {
  (void)state;
  open_both();
  tell(one, PURGE_OF_SUFFIX, "a.example");
  turn();
  for (unsigned i = 0; i < 20; i++) {
    struct node *quick = &nodes[i % 2]; /* the other has no connection meanwhile */
    lose_list();
    now.now_ms += BULLETIN_LOOK_MS;
    for (unsigned j = 0; j < 10; j++) {
      bulletin_run(quick->bulletin, now.now_ms);
      list.is_deaf = true;
      list_answer(now.now_ms);
      list.is_deaf = false;
    }
    assert_true(list.count > 0);
  }
  pass(BULLETIN_LOOK_MS);
  assert_string_equal(one->orders, "");
  assert_string_equal(other->orders, "S a.example;");
}

static void who_had_not_followed_it_to_its_end_has(void **state) {
  (void)state;
  open_both();
  list.is_deaf = true;
  tell(one, PURGE_OF_SUFFIX, "a.example");
  turn();
  lose_list();
  list.is_deaf = false;
  pass(BULLETIN_LOOK_MS); /* whoever of them is the first to see it */
  pass(BULLETIN_PAUSE_MS);
  pass(BULLETIN_PAUSE_MS);
  assert_string_equal(one->orders, "");
  assert_string_equal(other->orders, "A;");
  assert_int_equal(counted(other, STATS_STORE_PURGES_MISSED), 1);
  assert_int_equal(generation_of(one), generation_of(other));
}

static void a_node_that_knows_nothing_may_begin_the_next_one(void **state) {
  (void)state;
  open_both();
  list.is_deaf = true;
  tell(one, PURGE_OF_SUFFIX, "a.example");
  turn();
  lose_list();
  open_node(third, false, NULL, FRESH);
  turn();
  tell(third, PURGE_OF_SUFFIX, "b.example");
  turn();
  list.is_deaf = false;
  pass(BULLETIN_LOOK_MS);
  pass(BULLETIN_PAUSE_MS);
  pass(BULLETIN_PAUSE_MS);
  assert_string_equal(one->orders, "S b.example;");
  assert_non_null(strstr(other->orders, "A;"));
  assert_string_equal(third->orders, "");
}

static void a_list_that_has_lost_its_end_is_gone_on_with(void **state) {
  (void)state;
  open_both();
  uint64_t before = generation_of(one);
  list.is_deaf = true;
  tell(one, PURGE_OF_DOMAIN, "shop.example");
  turn();
  assert_int_equal(generation_of(other), before);
  list.count--; /* a replica that had not got it yet is the master now */
  list.ms += 1000;
  list.is_deaf = false;
  pass(BULLETIN_LOOK_MS);
  pass(BULLETIN_PAUSE_MS);
  assert_string_equal(one->orders, "");
  assert_string_equal(other->orders, "A;"); /* the first has told that there was more */
  assert_int_equal(counted(other, STATS_STORE_PURGES_MISSED), 1);
  for (size_t i = 0; i < 2; i++) {
    assert_false(is_believed(&nodes[i], before));
    assert_true(is_believed(&nodes[i], generation_of(one)));
  }
  tell(other, PURGE_OF_NEGATIVE, NULL);
  turn();
  assert_string_equal(one->orders, "N;");
}

static void numbers_that_go_back_are_followed_all_the_same(void **state) {
  (void)state;
  open_both();
  tell(one, PURGE_OF_NEGATIVE, NULL);
  turn();
  uint64_t before = generation_of(one);
  lose_list();
  list.ms -= 100000; /* a server whose clock goes behind */
  pass(BULLETIN_LOOK_MS);
  pass(BULLETIN_PAUSE_MS);
  assert_true(generation_of(one) > before);
  tell(one, PURGE_OF_DOMAIN, "shop.example");
  turn();
  pass(BULLETIN_PAUSE_MS);
  assert_string_equal(other->orders, "N;D shop.example;");
  assert_int_equal(generation_of(one), generation_of(other));
  assert_false(is_believed(other, before));
  assert_true(is_believed(other, generation_of(one)));
}

static void who_fills_the_list_all_the_time_does_not_keep_memory_empty(void **state) {
  (void)state;
  open_both();
  for (unsigned i = 0; i < 50; i++) {
    uint8_t octets[NOTICE_MAX];
    struct notice notice;
    notice_sample(&notice, 4);
    notice.followed = list.ms << BULLETIN_SEQUENCE_BITS; /* who had followed more than anybody here */
    list_forget(list.count);
    list_add(octets, notice_pack(octets, &notice, "mxway:1:purges", NULL));
    list_publish("1", now.now_ms);
    pass(1000);
  }
  assert_string_equal(other->orders, "A;");
  assert_true(counted(other, STATS_STORE_PURGES_MISSED) > 10);
  pass(BULLETIN_ALL_MS);
  assert_string_equal(other->orders, "A;A;");
  assert_int_equal(other->settled, generation_of(other));
  pass(BULLETIN_ALL_MS);
  assert_string_equal(other->orders, "A;A;");
}

static void a_number_beyond_all_sense_has_the_list_deleted(void **state) {
  (void)state;
  open_both();
  list_add("x", 1)->ms = UINT64_C(1) << BULLETIN_TIME_BITS;
  list_publish("1", now.now_ms);
  turn();
  assert_int_equal(list.count, 0);
  assert_int_equal(counted(one, STATS_STORE_PURGES_REFUSED), 1);
  pass(BULLETIN_AGAIN_MS);
  pass(BULLETIN_AGAIN_MS);
  assert_in_range(list.count, 1, 2);
  assert_int_equal(generation_of(one), generation_of(other));
  uint64_t number = tell(one, PURGE_OF_NEGATIVE, NULL);
  turn();
  assert_int_equal(outcome_of(one, number), BULLETIN_TOLD);
  assert_string_equal(other->orders, "N;");
}

static void it_is_not_deleted_all_the_time(void **state) {
  (void)state;
  open_both();
  for (unsigned i = 0; i < 3; i++) {
    list_add("x", 1)->ms = UINT64_C(1) << BULLETIN_TIME_BITS;
    list_publish("1", now.now_ms);
    pass(2 * BULLETIN_AGAIN_MS);
  }
  assert_true(list.count > 0);
  pass(BULLETIN_ALL_MS);
  pass(BULLETIN_AGAIN_MS);
  assert_true(list.entries[list.first + list.count - 1].ms < UINT64_C(1) << BULLETIN_TIME_BITS);
}

/* ---- what strangers write ---- */

static void what_is_no_notice_is_counted_and_passed_over(void **state) {
  (void)state;
  open_both();
  list_add("", 0);
  list_add("nonsense", 8);
  list_add("n", 1)->field = "m";
  list_publish("1", now.now_ms);
  turn();
  tell(one, PURGE_OF_ALL, NULL);
  turn();
  pass(BULLETIN_PAUSE_MS);
  assert_int_equal(counted(other, STATS_STORE_PURGES_REFUSED), 3);
  assert_string_equal(other->orders, "A;");
}

static void entries_that_are_not_in_order_are_no_list_of_redis(void **state) {
  (void)state;
  struct notice notice;
  uint8_t octets[NOTICE_MAX];
  open_both();
  notice_sample(&notice, 5);
  size_t length = notice_pack(octets, &notice, "mxway:1:purges", NULL);
  list_add(octets, length)->ms += 100;
  list_add(octets, length);
  list_publish("1", now.now_ms);
  list_answer(now.now_ms);
  assert_string_equal(other->orders, "");
  assert_int_equal(counted(other, STATS_STORE_PURGES_REFUSED), 1);
}

static void with_a_key_only_what_is_sealed_is_followed(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH); /* who has none */
  open_node(other, false, seal, FRESH);
  turn();
  pass(BULLETIN_PAUSE_MS);
  memset(other->orders, 0, sizeof(other->orders));
  tell(one, PURGE_OF_ALL, NULL);
  turn();
  assert_string_equal(other->orders, "");
  assert_true(counted(other, STATS_STORE_PURGES_REFUSED) > 0);
  assert_int_equal(generation_of(other), generation_of(one));
  tell(other, PURGE_OF_NEGATIVE, NULL);
  turn();
  assert_string_equal(one->orders, "N;"); /* without a key everybody is believed */
}

static void replies_of_any_shape_are_borne(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  redisReply text = {.type = REDIS_REPLY_STRING, .str = "1-1", .len = 3};
  redisReply number = {.type = REDIS_REPLY_INTEGER, .integer = 7};
  redisReply none = {.type = REDIS_REPLY_ARRAY};
  redisReply *two[] = {&text, &text}, *mixed[] = {&number, &none}, *hollow[] = {&text, &none};
  redisReply pair = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = two};
  redisReply odd = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = mixed};
  redisReply bare = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = hollow};
  redisReply *lists[][1] = {{&text}, {&number}, {&none}, {&pair}, {&odd}, {&bare}};
  for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 1, .element = lists[i]};
    bulletin_run(one->bulletin, now.now_ms);
    for (size_t at = 0; at < fake_fleet.count; at++)
      if (fake_fleet.calls[at].is_open)
        fake_answer(at, strncmp(fake_fleet.calls[at].text, "XRANGE", 6) == 0 ? &reply : &number, now.now_ms);
    now.now_ms += BULLETIN_ALL_MS;
  }
  assert_true(counted(one, STATS_STORE_PURGES_REFUSED) >= 5);
  list.answered = fake_fleet.count;
}

static void a_list_that_cannot_be_read_is_tried_again(void **state) {
  (void)state;
  open_both();
  uint64_t before = generation_of(other);
  list.error = "WRONGTYPE Operation against a key holding the wrong kind of value";
  uint64_t number = tell(one, PURGE_OF_ALL, NULL);
  turn();
  assert_int_equal(outcome_of(one, number), BULLETIN_LATER);
  pass(BULLETIN_LOOK_MS);
  assert_true(counted(other, STATS_STORE_ERRORS) > 0);
  assert_int_equal(generation_of(other), before);
  list.error = NULL;
  pass(BULLETIN_LOOK_MS);
  assert_int_equal(outcome_of(one, number), BULLETIN_TOLD);
  assert_string_equal(other->orders, "A;");
}

/* ---- values ---- */

static void values_of_before_a_purge_that_covers_them_are_not_believed(void **state) {
  (void)state;
  open_both();
  uint64_t before = generation_of(one);
  tell(one, PURGE_OF_DOMAIN, "shop.example");
  turn();
  uint64_t after = generation_of(one);
  for (size_t i = 0; i < 2; i++) {
    assert_false(is_believed(&nodes[i], before));
    assert_true(is_believed(&nodes[i], after));
    assert_false(is_believed(&nodes[i], after + 1)); /* who wrote it knows more than we do */
    assert_int_equal(counted(&nodes[i], STATS_STORE_PURGED), 2);
  }
}

static void a_purge_counts_at_once_for_who_tells_it(void **state) {
  (void)state;
  open_both();
  assert_true(is_believed(one, generation_of(one)));
  tell(one, PURGE_OF_DOMAIN, "shop.example");
  assert_false(is_believed(one, generation_of(one)));
  assert_true(is_believed(other, generation_of(other)));
}

static void what_is_written_has_the_generation_that_is_known(void **state) {
  (void)state;
  static struct record written;
  open_both();
  tell(one, PURGE_OF_ALL, NULL);
  turn();
  store_put(other->store, &record, now.now_ms);
  store_run(other->store, now.now_ms);
  size_t at = fake_fleet.count - 1;
  const struct fleet_call *call = &fake_fleet.calls[at];
  assert_int_equal(record_parse(call->value, call->value_length, RECORD_DOMAIN, record.name, call->key, NULL,
                                &now, &written),
                   RECORD_GOOD);
  assert_int_equal(written.generation, generation_of(one));
  fake_answer_ok(at, now.now_ms);
  list.answered = fake_fleet.count;
}

static void a_node_that_starts_knows_what_has_been_purged(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  turn();
  uint64_t begun = generation_of(one);
  tell(one, PURGE_OF_DOMAIN, "other.example");
  turn();
  uint64_t between = generation_of(one);
  tell(one, PURGE_OF_DOMAIN, "shop.example");
  turn();
  open_node(other, false, NULL, FRESH);
  turn();
  assert_false(is_believed(other, begun));
  assert_false(is_believed(other, between));
  assert_true(is_believed(other, generation_of(one)));
  snprintf(record.name, sizeof(record.name), "third.example");
  assert_true(is_believed(other, begun));
  assert_false(is_believed(other, begun - 1)); /* what was before the list nobody knows */
}

static bool is_open(struct node *node) {
  struct store_view view;
  store_look(node->store, &view);
  return view.is_up;
}

static void before_the_list_has_been_read_the_store_is_as_if_away(void **state) {
  (void)state;
  struct store_view view;
  open_node(one, false, NULL, FRESH);
  assert_false(is_open(one));
  store_look(one->store, &view);
  assert_non_null(strstr(view.fleet.text, "list of purges"));
  bulletin_run(one->bulletin, now.now_ms);
  assert_false(is_open(one));
  turn();
  assert_true(is_open(one));
  list.error = "LOADING";
  pass(BULLETIN_LOOK_MS);
  assert_true(is_open(one)); /* for good */
}

static void a_list_that_cannot_be_read_is_done_without(void **state) {
  (void)state;
  list.error = "NOPERM this user has no permissions to run the 'xrange' command";
  open_node(one, false, NULL, FRESH);
  turn();
  assert_true(is_open(one));
  assert_int_equal(generation_of(one), 0);
  assert_true(is_believed(one, 0));
  assert_true(is_believed(one, UINT64_C(1) << 62));
  tell(one, PURGE_OF_DOMAIN, "shop.example");
  assert_false(is_believed(one, UINT64_C(1) << 62)); /* it knows of its own purge at least */
}

static void a_list_that_cannot_be_begun_is_done_without(void **state) {
  (void)state;
  open_node(one, true, NULL, FRESH);
  open_node(other, false, NULL, FRESH);
  turn();
  assert_true(is_open(one));
  close_node(other);
  lose_list();
  open_node(other, false, NULL, FRESH);
  bulletin_run(other->bulletin, now.now_ms);
  list_answer(now.now_ms);
  assert_false(is_open(other));
  bulletin_run(other->bulletin, now.now_ms);
  size_t at = fake_fleet.count - 1;
  assert_memory_equal(fake_fleet.calls[at].text, "XADD", 4);
  fake_answer_error(at, "OOM command not allowed", now.now_ms);
  list_answer(now.now_ms);
  assert_true(is_open(other));
}

static void a_list_whose_server_is_gone_is_not_waited_for_for_ever(void **state) {
  (void)state;
  fake_fleet.is_down[FLEET_READ] = fake_fleet.is_down[FLEET_WRITE] = true;
  open_node(one, false, NULL, FRESH);
  pass(10 * BULLETIN_WAIT_MS); /* no server at all */
  fake_fleet.is_down[FLEET_READ] = false;
  pass(BULLETIN_FIRST_MS);
  assert_false(is_open(one));
  pass(BULLETIN_WAIT_MS - 1);
  assert_false(is_open(one));
  pass(1);
  assert_true(is_open(one));
}

static void a_server_that_is_not_there_yet_is_looked_for_often(void **state) {
  (void)state;
  fake_fleet.is_down[FLEET_WRITE] = true;
  open_node(one, false, NULL, FRESH);
  bulletin_run(one->bulletin, now.now_ms);
  assert_int_equal(bulletin_next_ms(one->bulletin), now.now_ms + BULLETIN_FIRST_MS);
  fake_fleet.is_down[FLEET_WRITE] = false;
  pass(BULLETIN_FIRST_MS);
  assert_true(is_open(one));
}

/* ---- telling ---- */

static void who_only_reads_tells_nothing(void **state) {
  (void)state;
  open_node(one, true, NULL, FRESH);
  open_node(other, false, NULL, FRESH);
  turn();
  pass(BULLETIN_LOOK_MS);
  size_t count = list.count;
  uint64_t number = tell(one, PURGE_OF_DOMAIN, "shop.example");
  turn();
  assert_int_equal(outcome_of(one, number), BULLETIN_READ_ONLY);
  assert_int_equal(list.count, count);
  tell(other, PURGE_OF_NEGATIVE, NULL);
  turn();
  assert_string_equal(one->orders, "N;");
}

static void without_a_bulletin_nothing_is_told(void **state) {
  (void)state;
  const char *why;
  struct bulletin_view view = {.generation = 1};
  assert_int_equal(bulletin_tell(NULL, PURGE_OF_ALL, NULL), 0);
  assert_int_equal(bulletin_outcome(NULL, 0, &why), BULLETIN_OFF);
  bulletin_look(NULL, &view);
  assert_int_equal(view.generation, 0);
}

static void what_could_not_be_told_is_told_when_the_server_is_back(void **state) {
  (void)state;
  open_both();
  fake_fleet.is_down[FLEET_WRITE] = true;
  uint64_t number = tell(one, PURGE_OF_SUFFIX, "shop.example");
  turn();
  assert_int_equal(outcome_of(one, number), BULLETIN_LATER);
  struct bulletin_view view;
  bulletin_look(one->bulletin, &view);
  assert_int_equal(view.untold_count, 1);
  fake_fleet.is_down[FLEET_WRITE] = false;
  fake_fleet.subscribers[0].on_up(one->bulletin, now.now_ms);
  turn();
  assert_int_equal(outcome_of(one, number), BULLETIN_TOLD);
  assert_string_equal(other->orders, "S shop.example;");
}

static void it_is_still_between_what_is_due(void **state) {
  (void)state;
  open_both();
  pass(BULLETIN_PAUSE_MS);
  for (size_t i = 0; i < 2; i++)
    assert_in_range(bulletin_next_ms(nodes[i].bulletin), now.now_ms + BULLETIN_LOOK_MS - 1000,
                    now.now_ms + BULLETIN_LOOK_MS);
  tell(one, PURGE_OF_ALL, NULL);
  assert_true(bulletin_next_ms(one->bulletin) <= now.now_ms);
}

static void it_ends_with_a_look_under_way(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  bulletin_run(one->bulletin, now.now_ms);
  assert_int_equal(fake_fleet.open_count, 1);
}

static int set_up(void **state) {
  (void)state;
  seal = make_seal(1);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  seal_destroy(seal);
  return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)

/* Whatever the list says, and whatever generation values have: until the others know of it. */
static void what_this_node_has_purged_is_not_believed_before_it_is_told(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  turn();
  pass(BULLETIN_PAUSE_MS);
  uint64_t generation = generation_of(one);
  fake_fleet.is_down[FLEET_WRITE] = fake_fleet.is_down[FLEET_READ] = true;
  open_node(other, false, NULL, generation); /* it starts while the server is away */
  turn();
  uint64_t number = tell(other, PURGE_OF_ALL, NULL);
  for (int i = 0; i < 100; i++)
    pass(100);
  assert_int_equal(outcome_of(other, number), BULLETIN_LATER);
  fake_fleet.is_down[FLEET_WRITE] = fake_fleet.is_down[FLEET_READ] = false;
  bool was_open = false;
  while (outcome_of(other, number) != BULLETIN_TOLD) {
    was_open |= is_open(other);
    assert_false(is_open(other) && is_believed(other, generation));
    pass(10);
  }
  assert_true(was_open);
  pass(BULLETIN_LOOK_MS);
  assert_false(is_believed(other, generation));
  assert_true(is_believed(other, generation_of(other)));
}

static void purges_of_others_do_not_make_up_for_one_that_is_untold(void **state) {
  (void)state;
  open_both();
  fake_fleet.is_down[FLEET_WRITE] = true; /* for the other one, alone */
  uint64_t number = tell(other, PURGE_OF_DOMAIN, record.name);
  for (int i = 0; i < 300; i++)
    bulletin_run(other->bulletin, now.now_ms);
  fake_fleet.is_down[FLEET_WRITE] = false;
  tell(one, PURGE_OF_DOMAIN, "unrelated.example");
  for (int i = 0; i < 300; i++) {
    bulletin_run(one->bulletin, now.now_ms);
    list_answer(now.now_ms);
  }
  uint64_t generation = generation_of(one);
  assert_int_equal(generation_of(other), generation);
  assert_int_equal(outcome_of(other, number), BULLETIN_LATER);
  assert_false(is_believed(other, generation));
  pass(TELLER_AGAIN_MOST_MS);
  pass(BULLETIN_PAUSE_MS);
  assert_int_equal(outcome_of(other, number), BULLETIN_TOLD);
  assert_false(is_believed(other, generation));
  assert_true(is_believed(other, generation_of(other)));
}

/* It cannot have the others write it anew; it does without what may be as old. */
static void what_a_reader_has_purged_is_believed_again_after_a_further_purge(void **state) {
  (void)state;
  open_node(one, false, NULL, FRESH);
  turn();
  open_node(other, true, NULL, FRESH);
  assert_int_equal(tell(other, PURGE_OF_SUFFIX, "example"), 0);
  turn();
  pass(BULLETIN_PAUSE_MS);
  uint64_t generation = generation_of(one);
  assert_int_equal(generation_of(other), generation);
  assert_false(is_believed(other, generation));
  assert_true(is_believed(one, generation));
  tell(other, PURGE_OF_ALL, NULL);
  tell(one, PURGE_OF_DOMAIN, "unrelated.example");
  turn();
  pass(BULLETIN_PAUSE_MS);
  assert_false(is_believed(other, generation));
  generation = generation_of(one);
  assert_int_equal(generation_of(other), generation);
  tell(one, PURGE_OF_DOMAIN, "unrelated.example");
  turn();
  pass(BULLETIN_LOOK_MS);
  assert_true(is_believed(other, generation_of(one)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_first_node_begins_the_list),
      TEST(a_purge_reaches_the_other_and_not_itself),
      TEST(each_kind_and_each_name_is_followed),
      TEST(a_message_that_is_lost_is_caught_up_with),
      TEST(a_subscription_that_is_back_has_it_look),
      TEST(all_that_is_kept_is_caught_up_with),
      TEST(where_more_was_missed_all_is_purged),
      TEST(a_flood_of_messages_is_a_few_looks),
      TEST(a_message_while_it_looks_has_it_look_again_soon),
      TEST(a_node_that_starts_is_as_new_as_the_list),
      TEST(what_it_has_learned_before_it_looked_is_purged),
      TEST(a_memory_of_before_is_purged_of_what_came_since),
      TEST(a_memory_that_is_as_new_as_the_list_stays),
      TEST(a_memory_of_unknown_age_is_purged_of_all_that_was_ever_told),
      TEST(a_memory_stays_where_there_is_no_list),
      TEST(who_has_followed_a_list_that_is_lost_has_missed_nothing),
      TEST(a_list_that_is_lost_before_all_have_seen_that_it_was_is_no_loss),
      TEST(who_had_not_followed_it_to_its_end_has),
      TEST(a_node_that_knows_nothing_may_begin_the_next_one),
      TEST(a_list_that_has_lost_its_end_is_gone_on_with),
      TEST(numbers_that_go_back_are_followed_all_the_same),
      TEST(who_fills_the_list_all_the_time_does_not_keep_memory_empty),
      TEST(a_number_beyond_all_sense_has_the_list_deleted),
      TEST(it_is_not_deleted_all_the_time),
      TEST(what_is_no_notice_is_counted_and_passed_over),
      TEST(entries_that_are_not_in_order_are_no_list_of_redis),
      TEST(with_a_key_only_what_is_sealed_is_followed),
      TEST(replies_of_any_shape_are_borne),
      TEST(a_list_that_cannot_be_read_is_tried_again),
      TEST(values_of_before_a_purge_that_covers_them_are_not_believed),
      TEST(a_purge_counts_at_once_for_who_tells_it),
      TEST(what_is_written_has_the_generation_that_is_known),
      TEST(a_node_that_starts_knows_what_has_been_purged),
      TEST(before_the_list_has_been_read_the_store_is_as_if_away),
      TEST(a_list_that_cannot_be_read_is_done_without),
      TEST(a_list_that_cannot_be_begun_is_done_without),
      TEST(a_list_whose_server_is_gone_is_not_waited_for_for_ever),
      TEST(a_server_that_is_not_there_yet_is_looked_for_often),
      TEST(who_only_reads_tells_nothing),
      TEST(without_a_bulletin_nothing_is_told),
      TEST(what_could_not_be_told_is_told_when_the_server_is_back),
      TEST(it_is_still_between_what_is_due),
      TEST(it_ends_with_a_look_under_way),
      TEST(what_this_node_has_purged_is_not_believed_before_it_is_told),
      TEST(purges_of_others_do_not_make_up_for_one_that_is_untold),
      TEST(what_a_reader_has_purged_is_believed_again_after_a_further_purge),
  };
  return cmocka_run_group_tests_name("bulletin", tests, set_up, tear_down);
}
