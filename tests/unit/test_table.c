#include "cmocka_compat.h"

#include "base/error.h"
#include "base/random.h"
#include "base/table.h"
#include "malloc_watch.h"

enum { MANY = 5000 };

struct thing {
  struct table_node node;
  int number;
  bool is_in;
};

static bool has_number(const struct table_node *node, const void *key) {
  return ((const struct thing *)node)->number == *(const int *)key;
}

static struct thing *get(const struct table *table, uint64_t hash, int number) {
  return (struct thing *)table_get(table, hash, has_number, &number);
}

static void put(struct table *table, struct thing *thing, int number, uint64_t hash) {
  thing->number = number;
  table_put(table, &thing->node, hash);
}

static void an_empty_table_finds_nothing(void **state) {
  (void)state;
  struct table table;
  assert_int_equal(table_init(&table), 0);
  assert_null(get(&table, 0, 0));
  assert_int_equal(table.count, 0);
  table_fini(&table);
}

static void what_was_put_is_found_until_it_is_removed(void **state) {
  (void)state;
  struct table table;
  struct thing thing;
  assert_int_equal(table_init(&table), 0);
  put(&table, &thing, 5, 0x1234567890abcdef);
  assert_ptr_equal(get(&table, 0x1234567890abcdef, 5), &thing);
  assert_int_equal(table.count, 1);
  table_remove(&table, &thing.node);
  assert_null(get(&table, 0x1234567890abcdef, 5));
  assert_int_equal(table.count, 0);
  table_fini(&table);
}

static void a_node_of_the_same_bucket_and_another_hash_is_not_offered(void **state) {
  (void)state;
  struct table table;
  struct thing thing;
  assert_int_equal(table_init(&table), 0);
  put(&table, &thing, 5, 1);
  assert_null(get(&table, UINT64_C(1) << 63 | 1, 5));
  assert_null(get(&table, 1, 6));
  assert_ptr_equal(get(&table, 1, 5), &thing);
  table_fini(&table);
}

/* Equal hashes make one chain: its first, a middle and its last node go. */
static void any_node_of_a_chain_can_be_removed(void **state) {
  (void)state;
  enum { LENGTH = 9 };
  for (int removed = 0; removed < LENGTH; removed++) {
    struct table table;
    struct thing things[LENGTH];
    assert_int_equal(table_init(&table), 0);
    for (int i = 0; i < LENGTH; i++)
      put(&table, &things[i], i, 77);
    table_remove(&table, &things[removed].node);
    for (int i = 0; i < LENGTH; i++)
      assert_ptr_equal(get(&table, 77, i), i == removed ? NULL : &things[i]);
    assert_int_equal(table.count, LENGTH - 1);
    table_fini(&table);
  }
}

static void a_table_keeps_at_most_one_node_a_bucket_on_average(void **state) {
  (void)state;
  static struct thing things[MANY];
  struct random random = {.state = 3};
  struct table table;
  assert_int_equal(table_init(&table), 0);
  for (int i = 0; i < MANY; i++) {
    put(&table, &things[i], i, random_next(&random));
    assert_true(table.count <= table.capacity);
    assert_int_equal(table.capacity & (table.capacity - 1), 0);
    size_t places = table_bytes(&table) / sizeof(void *);
    assert_int_equal(places, table.old ? table.capacity / 2 * 3 : table.capacity);
  }
  assert_int_equal(table.count, MANY);
  assert_in_range(table.capacity, MANY, 2 * MANY);
  for (int i = 0; i < MANY; i++)
    assert_ptr_equal(get(&table, things[i].node.hash, i), &things[i]);
  table_fini(&table);
}

static void a_table_that_grows_finds_and_removes_what_has_not_moved_yet(void **state) {
  (void)state;
  enum { GROWN = 1025 };
  static struct thing things[GROWN + 1];
  struct table table;
  assert_int_equal(table_init(&table), 0);
  for (int i = 0; i < GROWN; i++)
    put(&table, &things[i], i, (uint64_t)i);
  assert_non_null(table.old);
  assert_int_equal(table.moved, 0);
  table_remove(&table, &things[5].node);
  table_remove(&table, &things[1023].node);
  put(&table, &things[GROWN], GROWN, 2000);
  assert_int_equal(table.moved, 4); /* a put moves a few and no more */
  for (int i = 0; i <= GROWN; i++)
    assert_ptr_equal(get(&table, i == GROWN ? 2000 : (uint64_t)i, i),
                     i == 5 || i == 1023 ? NULL : &things[i]);
  table_fini(&table);
}

static void any_gives_all_of_a_table_that_grows_one_after_the_other(void **state) {
  (void)state;
  enum { GROWN = 1025 };
  static struct thing things[GROWN + 1];
  struct table table;
  size_t at = 0;
  assert_int_equal(table_init(&table), 0);
  assert_null(table_any(&table, &at));
  for (int i = 0; i <= GROWN; i++)
    put(&table, &things[i], i, (uint64_t)i * 0x9e3779b97f4a7c15);
  assert_non_null(table.old);
  at = 0;
  for (struct table_node *node; (node = table_any(&table, &at));) {
    struct thing *thing = (struct thing *)node;
    assert_false(thing->is_in);
    thing->is_in = true;
    table_remove(&table, node);
  }
  assert_int_equal(table.count, 0);
  for (int i = 0; i <= GROWN; i++)
    assert_true(things[i].is_in);
  table_fini(&table);
}

static void random_puts_and_removals_leave_what_the_model_says(void **state) {
  (void)state;
  static struct thing things[MANY];
  struct random random = {.state = 4};
  struct table table;
  size_t inside = 0;
  assert_int_equal(table_init(&table), 0);
  for (int step = 0; step < 50000; step++) {
    int i = (int)random_below(&random, MANY);
    if (things[i].is_in)
      table_remove(&table, &things[i].node);
    else
      put(&table, &things[i], i, (uint64_t)i % 512 << 32 | (uint64_t)i % 300); /* long chains */
    things[i].is_in = !things[i].is_in;
    inside += things[i].is_in ? 1 : (size_t)-1;
    assert_int_equal(table.count, inside);
  }
  for (int i = 0; i < MANY; i++) {
    uint64_t hash = (uint64_t)i % 512 << 32 | (uint64_t)i % 300;
    assert_ptr_equal(get(&table, hash, i), things[i].is_in ? &things[i] : NULL);
  }
  table_fini(&table);
}

static void a_table_that_cannot_be_made_says_so(void **state) {
  (void)state;
  if (!malloc_is_watched())
    skip();
  struct table table;
  malloc_allow(0);
  int result = table_init(&table);
  malloc_allow(LONG_MAX);
  assert_int_equal(result, ERR_NOMEM);
}

static void a_table_that_cannot_grow_gets_longer_chains(void **state) {
  (void)state;
  if (!malloc_is_watched())
    skip();
  static struct thing things[MANY];
  struct table table;
  assert_int_equal(table_init(&table), 0);
  size_t capacity = table.capacity;
  malloc_allow(0);
  for (int i = 0; i < 500; i++)
    put(&table, &things[i], i, (uint64_t)i);
  malloc_allow(LONG_MAX);
  assert_int_equal(table.capacity, capacity);
  for (int i = 0; i < 500; i++)
    assert_ptr_equal(get(&table, (uint64_t)i, i), &things[i]);
  /* With memory it makes up for it. */
  for (int i = 500; i < 1500; i++)
    put(&table, &things[i], i, (uint64_t)i);
  assert_true(table.capacity >= table.count);
  for (int i = 0; i < 1500; i++)
    assert_ptr_equal(get(&table, (uint64_t)i, i), &things[i]);
  table_fini(&table);
}

static void an_ended_table_has_no_buckets_left(void **state) {
  (void)state;
  struct table table;
  assert_int_equal(table_init(&table), 0);
  table_fini(&table);
  assert_null(table.buckets);
  assert_int_equal(table_bytes(&table), 0);
  table_fini(&table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_table_finds_nothing),
      cmocka_unit_test(what_was_put_is_found_until_it_is_removed),
      cmocka_unit_test(a_node_of_the_same_bucket_and_another_hash_is_not_offered),
      cmocka_unit_test(any_node_of_a_chain_can_be_removed),
      cmocka_unit_test(a_table_keeps_at_most_one_node_a_bucket_on_average),
      cmocka_unit_test(any_gives_all_of_a_table_that_grows_one_after_the_other),
      cmocka_unit_test(a_table_that_grows_finds_and_removes_what_has_not_moved_yet),
      cmocka_unit_test(random_puts_and_removals_leave_what_the_model_says),
      cmocka_unit_test(a_table_that_cannot_be_made_says_so),
      cmocka_unit_test(a_table_that_cannot_grow_gets_longer_chains),
      cmocka_unit_test(an_ended_table_has_no_buckets_left),
  };
  return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
