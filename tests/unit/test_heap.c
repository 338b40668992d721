#include "cmocka_compat.h"

#include "base/error.h"
#include "base/heap.h"
#include "base/random.h"
#include "malloc_watch.h"

enum { MANY = 1000 };

static void an_empty_heap_has_no_first(void **state) {
  (void)state;
  struct heap heap;
  heap_init(&heap);
  assert_null(heap_first(&heap));
  heap_fini(&heap);
}

static void the_only_node_is_first_until_it_is_removed(void **state) {
  (void)state;
  struct heap heap;
  struct heap_node node = {0};
  heap_init(&heap);
  assert_int_equal(heap_put(&heap, &node, 7), 0);
  assert_ptr_equal(heap_first(&heap), &node);
  assert_true(node.at_ms == 7);
  heap_remove(&heap, &node);
  assert_null(heap_first(&heap));
  heap_fini(&heap);
}

static void removing_a_node_that_is_in_no_heap_does_nothing(void **state) {
  (void)state;
  struct heap heap;
  struct heap_node inside = {0}, outside = {0};
  heap_init(&heap);
  heap_remove(&heap, &outside);
  assert_int_equal(heap_put(&heap, &inside, 1), 0);
  heap_remove(&heap, &outside);
  assert_ptr_equal(heap_first(&heap), &inside);
  heap_remove(&heap, &inside);
  heap_remove(&heap, &inside);
  assert_int_equal(heap.count, 0);
  heap_fini(&heap);
}

static void a_removed_node_can_be_put_again_at_another_time(void **state) {
  (void)state;
  struct heap heap;
  struct heap_node a = {0}, b = {0};
  heap_init(&heap);
  assert_int_equal(heap_put(&heap, &a, 1), 0);
  assert_int_equal(heap_put(&heap, &b, 2), 0);
  heap_remove(&heap, &a);
  assert_int_equal(heap_put(&heap, &a, 3), 0);
  assert_ptr_equal(heap_first(&heap), &b);
  heap_remove(&heap, &b);
  assert_ptr_equal(heap_first(&heap), &a);
  heap_fini(&heap);
}

static void times_are_ordered_over_their_whole_range(void **state) {
  (void)state;
  static const int64_t times[] = {INT64_MAX, 0, INT64_MIN, -1, 1, INT64_MIN + 1, INT64_MAX - 1};
  static const int64_t sorted[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
  enum { COUNT = sizeof(times) / sizeof(times[0]) };
  struct heap heap;
  struct heap_node nodes[COUNT] = {0};
  heap_init(&heap);
  for (int i = 0; i < COUNT; i++)
    assert_int_equal(heap_put(&heap, &nodes[i], times[i]), 0);
  for (int i = 0; i < COUNT; i++) {
    assert_true(heap_first(&heap)->at_ms == sorted[i]);
    heap_remove(&heap, heap_first(&heap));
  }
  heap_fini(&heap);
}

/* Every permutation of COUNT keys, equal ones among them, and from each the removal of each node: what
 * is left comes out sorted. */
enum { COUNT = 6 };

static void check_removal_of(const int keys[COUNT], int removed) {
  struct heap heap;
  struct heap_node nodes[COUNT] = {0};
  int left[10] = {0};
  heap_init(&heap);
  for (int i = 0; i < COUNT; i++) {
    assert_int_equal(heap_put(&heap, &nodes[i], keys[i]), 0);
    left[keys[i]] += i != removed;
  }
  heap_remove(&heap, &nodes[removed]);
  int64_t last_ms = INT64_MIN;
  for (struct heap_node *node; (node = heap_first(&heap)); heap_remove(&heap, node)) {
    assert_ptr_not_equal(node, &nodes[removed]);
    assert_true(node->at_ms >= last_ms);
    last_ms = node->at_ms;
    left[node->at_ms]--;
  }
  for (int key = 0; key < 10; key++)
    assert_int_equal(left[key], 0);
  heap_fini(&heap);
}

static void any_node_of_any_order_can_be_removed(void **state) {
  (void)state;
  for (int code = 0; code < 5 * 5 * 5 * 5 * 5 * 5; code++) {
    int keys[COUNT];
    for (int i = 0, rest = code; i < COUNT; i++, rest /= 5)
      keys[i] = rest % 5;
    for (int removed = 0; removed < COUNT; removed++)
      check_removal_of(keys, removed);
  }
}

/* The model: all nodes that are in, looked through. */
static int64_t least_time(const struct heap_node nodes[], size_t count) {
  int64_t least = INT64_MAX;
  for (size_t i = 0; i < count; i++)
    if (nodes[i].place != 0 && nodes[i].at_ms < least)
      least = nodes[i].at_ms;
  return least;
}

static void the_first_is_the_least_through_random_puts_and_removals(void **state) {
  (void)state;
  struct random random = {.state = 1};
  static struct heap_node nodes[MANY];
  size_t inside = 0;
  struct heap heap;
  heap_init(&heap);
  for (int step = 0; step < 20000; step++) {
    struct heap_node *node = &nodes[random_below(&random, MANY)];
    if (node->place == 0) {
      /* Few different times, so that many are equal. */
      assert_int_equal(heap_put(&heap, node, random_below(&random, 100)), 0);
      inside++;
    } else {
      heap_remove(&heap, step % 3 ? node : heap_first(&heap));
      inside--;
    }
    assert_int_equal(heap.count, inside);
    if (inside == 0) {
      assert_null(heap_first(&heap));
      continue;
    }
    assert_true(heap_first(&heap)->at_ms == least_time(nodes, MANY));
  }
  assert_true(inside > 300);
  int64_t last_ms = 0;
  for (struct heap_node *node; (node = heap_first(&heap)); heap_remove(&heap, node), inside--) {
    assert_true(node->at_ms >= last_ms);
    last_ms = node->at_ms;
  }
  assert_int_equal(inside, 0);
  heap_fini(&heap);
}

static void a_node_knows_its_place(void **state) {
  (void)state;
  struct random random = {.state = 2};
  static struct heap_node nodes[MANY];
  struct heap heap;
  heap_init(&heap);
  for (int i = 0; i < MANY; i++)
    assert_int_equal(heap_put(&heap, &nodes[i], random_below(&random, 500)), 0);
  for (int i = 0; i < MANY; i += 3)
    heap_remove(&heap, &nodes[i]);
  for (size_t i = 0; i < MANY; i++) {
    if (i % 3 == 0)
      assert_int_equal(nodes[i].place, 0);
    else
      assert_ptr_equal(heap.nodes[nodes[i].place - 1], &nodes[i]);
  }
  heap_fini(&heap);
}

static void without_memory_a_put_says_so_and_changes_nothing(void **state) {
  (void)state;
  if (!malloc_is_watched())
    skip();
  static struct heap_node nodes[MANY];
  struct heap heap;
  heap_init(&heap);
  malloc_allow(0);
  int result = heap_put(&heap, &nodes[0], 5);
  malloc_allow(LONG_MAX);
  assert_int_equal(result, ERR_NOMEM);
  assert_int_equal(nodes[0].place, 0);
  assert_null(heap_first(&heap));

  int count = 0;
  malloc_allow(1);
  while (count < MANY && heap_put(&heap, &nodes[count], -count) == 0)
    count++;
  malloc_allow(LONG_MAX);
  assert_in_range(count, 1, MANY - 1);
  assert_int_equal(heap.count, count);
  assert_int_equal(nodes[count].place, 0);
  assert_ptr_equal(heap_first(&heap), &nodes[count - 1]);
  assert_int_equal(heap_put(&heap, &nodes[count], -count), 0);
  assert_ptr_equal(heap_first(&heap), &nodes[count]);
  heap_fini(&heap);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_heap_has_no_first),
      cmocka_unit_test(the_only_node_is_first_until_it_is_removed),
      cmocka_unit_test(removing_a_node_that_is_in_no_heap_does_nothing),
      cmocka_unit_test(a_removed_node_can_be_put_again_at_another_time),
      cmocka_unit_test(times_are_ordered_over_their_whole_range),
      cmocka_unit_test(any_node_of_any_order_can_be_removed),
      cmocka_unit_test(the_first_is_the_least_through_random_puts_and_removals),
      cmocka_unit_test(a_node_knows_its_place),
      cmocka_unit_test(without_memory_a_put_says_so_and_changes_nothing),
  };
  return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
