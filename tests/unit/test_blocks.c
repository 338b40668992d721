#include "cmocka_compat.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cache/blocks.h"
#include "malloc_watch.h"

enum { ARENA_MOST = 1 << 20, BLOCK_BYTES = 40, MALLOC_BYTES = 1000 };

struct fixture {
  struct blocks blocks;
  struct qsbr_reader reader;
  size_t empty_bytes;
};

static int set_up(void **state) {
  struct fixture *fixture = aligned_alloc(64, sizeof(*fixture));
  assert_non_null(fixture);
  memset(fixture, 0, sizeof(*fixture));
  assert_int_equal(blocks_init(&fixture->blocks, ARENA_MOST), 0);
  qsbr_add_reader(&fixture->blocks.qsbr, &fixture->reader);
  fixture->empty_bytes = blocks_bytes(&fixture->blocks);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  blocks_fini(&fixture->blocks);
  free(fixture);
  return 0;
}

static size_t added_bytes(const struct fixture *fixture) {
  return blocks_bytes(&fixture->blocks) - fixture->empty_bytes;
}

static void a_charged_block_counts_with_its_overhead_until_no_reader_holds_it(void **state) {
  struct fixture *fixture = *state;
  void *block = malloc(MALLOC_BYTES);
  size_t bytes = malloc_usable_size(block) + sizeof(size_t);
  blocks_charge(&fixture->blocks, block);
  assert_int_equal(added_bytes(fixture), bytes);
  assert_int_equal(blocks_retired_bytes(&fixture->blocks), 0);
  qsbr_online(&fixture->blocks.qsbr, &fixture->reader);
  blocks_retire(&fixture->blocks, block);
  assert_int_equal(qsbr_collect(&fixture->blocks.qsbr), 1);
  assert_int_equal(added_bytes(fixture), bytes);
  assert_int_equal(blocks_retired_bytes(&fixture->blocks), bytes);
  qsbr_offline(&fixture->reader);
  assert_int_equal(qsbr_collect(&fixture->blocks.qsbr), 0);
  assert_int_equal(added_bytes(fixture), 0);
  assert_int_equal(blocks_retired_bytes(&fixture->blocks), 0);
}

static void a_block_of_the_arena_goes_back_to_it_when_no_reader_holds_it(void **state) {
  struct fixture *fixture = *state;
  struct arena *arena = &fixture->blocks.arena;
  void *kept = arena_get(arena, BLOCK_BYTES), *block = arena_get(arena, BLOCK_BYTES);
  size_t added = added_bytes(fixture), idle = arena_idle_bytes(arena);
  assert_int_equal(added, arena_bytes(arena) - fixture->empty_bytes);
  assert_true(added >= ARENA_PAGE_BYTES);
  qsbr_online(&fixture->blocks.qsbr, &fixture->reader);
  blocks_retire_uncharged(&fixture->blocks, block);
  qsbr_collect(&fixture->blocks.qsbr);
  assert_int_equal(added_bytes(fixture), added);
  assert_int_equal(arena_idle_bytes(arena), idle);
  assert_int_equal(blocks_retired_bytes(&fixture->blocks), BLOCK_BYTES);
  qsbr_offline(&fixture->reader);
  qsbr_collect(&fixture->blocks.qsbr);
  assert_int_equal(arena_idle_bytes(arena), idle + BLOCK_BYTES);
  assert_int_equal(blocks_retired_bytes(&fixture->blocks), 0);
  arena_free(arena, kept);
}

static void a_block_that_was_never_charged_counts_while_readers_hold_it(void **state) {
  struct fixture *fixture = *state;
  void *block = malloc(MALLOC_BYTES);
  size_t bytes = malloc_usable_size(block) + sizeof(size_t);
  qsbr_online(&fixture->blocks.qsbr, &fixture->reader);
  blocks_retire_uncharged(&fixture->blocks, block);
  assert_int_equal(added_bytes(fixture), bytes);
  assert_int_equal(blocks_retired_bytes(&fixture->blocks), bytes);
  qsbr_offline(&fixture->reader);
  qsbr_collect(&fixture->blocks.qsbr);
  assert_int_equal(added_bytes(fixture), 0);
}

static void blocks_without_memory_leave_nothing_behind(void **state) {
  (void)state;
  if (!malloc_is_watched())
    skip();
  struct blocks *blocks = aligned_alloc(64, sizeof(*blocks));
  long before = atomic_load(&malloc_blocks), allowed = 0;
  for (int rc = ERR_NOMEM; rc != 0; allowed++) {
    memset(blocks, 0, sizeof(*blocks));
    malloc_allow(allowed);
    rc = blocks_init(blocks, ARENA_MOST);
    malloc_allow(LONG_MAX);
    assert_true(rc == 0 || rc == ERR_NOMEM);
    if (rc == 0) {
      blocks_retire_uncharged(blocks, malloc(MALLOC_BYTES)); /* is freed at the end */
      blocks_fini(blocks);
    }
    assert_int_equal(atomic_load(&malloc_blocks), before);
  }
  assert_true(allowed > 1);
  free(blocks);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_charged_block_counts_with_its_overhead_until_no_reader_holds_it,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_block_of_the_arena_goes_back_to_it_when_no_reader_holds_it, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_block_that_was_never_charged_counts_while_readers_hold_it, set_up,
                                      tear_down),
      cmocka_unit_test(blocks_without_memory_leave_nothing_behind),
  };
  return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
