#include "cmocka_compat.h"

#include <stdlib.h>

#include "base/queue.h"

enum { BLOCKS = 10, BLOCK_BYTES = 40 };

struct fixture {
  struct arena arena;
  struct queue queue;
  struct queue_links *blocks[BLOCKS]; /* in the queue, oldest first */
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  assert_int_equal(arena_init(&fixture->arena, 1 << 20), 0);
  for (int i = 0; i < BLOCKS; i++) {
    fixture->blocks[i] = arena_get(&fixture->arena, BLOCK_BYTES);
    queue_put(&fixture->queue, &fixture->arena, fixture->blocks[i]);
  }
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  arena_fini(&fixture->arena);
  free(fixture);
  return 0;
}

static void assert_next(struct fixture *fixture, enum queue_place place, int index) {
  assert_ptr_equal(queue_next(&fixture->queue, &fixture->arena, place), fixture->blocks[index]);
}

static void a_place_goes_from_the_oldest_to_the_newest_and_begins_anew(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture->queue.count, BLOCKS);
  for (int i = 0; i < 3 * BLOCKS; i++)
    assert_next(fixture, QUEUE_HAND, i % BLOCKS);
  assert_next(fixture, QUEUE_CURSOR, 0);
}

static void an_empty_queue_has_no_next(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < BLOCKS; i++)
    queue_remove(&fixture->queue, &fixture->arena, fixture->blocks[i * 3 % BLOCKS]);
  assert_int_equal(fixture->queue.count, 0);
  assert_null(queue_next(&fixture->queue, &fixture->arena, QUEUE_HAND));
  assert_int_equal(fixture->queue.newest, 0);
  assert_int_equal(fixture->queue.oldest, 0);
}

static void a_block_that_leaves_moves_the_places_on(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 4; i++)
    assert_next(fixture, QUEUE_HAND, i);
  queue_remove(&fixture->queue, &fixture->arena, fixture->blocks[4]);
  queue_remove(&fixture->queue, &fixture->arena, fixture->blocks[0]);
  assert_next(fixture, QUEUE_HAND, 5);
  assert_next(fixture, QUEUE_CURSOR, 1);
}

static void the_newest_leaving_sends_the_places_to_the_oldest(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < BLOCKS - 1; i++)
    assert_next(fixture, QUEUE_HAND, i);
  queue_remove(&fixture->queue, &fixture->arena, fixture->blocks[BLOCKS - 1]);
  assert_next(fixture, QUEUE_HAND, 0);
}

static void a_replaced_block_keeps_its_place(void **state) {
  struct fixture *fixture = *state;
  for (int which = 0; which < BLOCKS; which++) {
    struct queue_links *block = arena_get(&fixture->arena, BLOCK_BYTES);
    queue_replace(&fixture->queue, &fixture->arena, fixture->blocks[which], block);
    fixture->blocks[which] = block;
    assert_next(fixture, QUEUE_CURSOR, which); /* it stood on the one that was replaced */
  }
  for (int i = 0; i < BLOCKS; i++)
    assert_next(fixture, QUEUE_HAND, i);
  assert_int_equal(fixture->queue.count, BLOCKS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_place_goes_from_the_oldest_to_the_newest_and_begins_anew, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(an_empty_queue_has_no_next, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_block_that_leaves_moves_the_places_on, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_newest_leaving_sends_the_places_to_the_oldest, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_replaced_block_keeps_its_place, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
