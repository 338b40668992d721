#include "cmocka_compat.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/random.h"

enum { MOST_BYTES = 8 << 20 };

static int set_up(void **state) {
  struct arena *arena = malloc(sizeof(*arena));
  assert_int_equal(arena_init(arena, MOST_BYTES), 0);
  *state = arena;
  return 0;
}

static int tear_down(void **state) {
  arena_fini(*state);
  free(*state);
  return 0;
}

static void an_arena_that_was_not_used_takes_nothing(void **state) {
  const struct arena *arena = *state;
  assert_int_equal(arena_bytes(arena), 0);
  assert_int_equal(arena_idle_bytes(arena), 0);
}

static void an_arena_of_zeroes_may_be_ended(void **state) {
  (void)state;
  struct arena arena = {0};
  arena_fini(&arena);
}

static void blocks_are_aligned_and_have_refs_that_are_not_zero(void **state) {
  struct arena *arena = *state;
  for (size_t size = ARENA_BLOCK_LEAST; size <= ARENA_BLOCK_MOST; size++) {
    void *block = arena_get(arena, size);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 8, 0);
    assert_int_not_equal(arena_ref(arena, block), 0);
    assert_ptr_equal(arena_at(arena, arena_ref(arena, block)), block);
    assert_true(arena_owns(arena, block));
    assert_int_equal(arena_block_bytes(arena, block), arena_size(size));
    memset(block, 0xff, size);
  }
  assert_false(arena_owns(arena, arena));
}

static void a_page_is_aligned_to_its_size_and_zero_even_when_it_was_used(void **state) {
  struct arena *arena = *state;
  static const uint8_t zeroes[ARENA_PAGE_BYTES];
  for (int round = 0; round < 3; round++) {
    uint8_t *page = arena_get_page(arena);
    assert_int_equal((uintptr_t)page % ARENA_PAGE_BYTES, 0);
    assert_memory_equal(page, zeroes, ARENA_PAGE_BYTES);
    assert_int_equal(*arena_page_word(arena, page), 0);
    *arena_page_word(arena, page) = 7;
    memset(page, round + 1, ARENA_PAGE_BYTES);
    assert_int_equal(arena_block_bytes(arena, page), ARENA_PAGE_BYTES);
    arena_free(arena, page);
  }
  assert_int_equal(arena_bytes(arena), 0);
}

static void what_is_free_again_is_used_again(void **state) {
  struct arena *arena = *state;
  void *blocks[1000];
  size_t most = 0;
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 1000; i++)
      blocks[i] = arena_get(arena, 72);
    if (round == 0)
      most = arena_bytes(arena);
    assert_int_equal(arena_bytes(arena), most);
    assert_true(most < 1000 * 72 * 105 / 100);
    for (int i = 0; i < 1000; i++)
      arena_free(arena, blocks[i * 7 % 1000]);
    assert_int_equal(arena_bytes(arena), 0);
  }
}

static void pages_without_blocks_serve_other_sizes(void **state) {
  struct arena *arena = *state;
  void *blocks[1000];
  for (size_t size = 40; size < 1000; size += 40) {
    int count = 0;
    while (count < 1000 && (blocks[count] = arena_get(arena, size)))
      count++;
    while (count > 0)
      arena_free(arena, blocks[--count]);
  }
  assert_int_equal(arena_bytes(arena), 0);
  assert_true(arena->fresh <= 1000 * 1024 / ARENA_PAGE_BYTES + 2);
}

static void a_full_arena_gives_nothing_until_something_is_freed(void **state) {
  struct arena *arena = *state;
  void *page, *last = NULL;
  size_t count = 0;
  for (; (page = arena_get_page(arena)); count++)
    last = page;
  assert_in_range(count, MOST_BYTES / ARENA_PAGE_BYTES - 1, MOST_BYTES / ARENA_PAGE_BYTES + 512);
  assert_null(arena_get(arena, 100));
  arena_free(arena, last);
  assert_non_null(arena_get(arena, 100));
  assert_null(arena_get_page(arena));
}

/* Each block is filled with its number and must have kept it. */
static void random_gets_and_frees_never_overlap(void **state) {
  struct arena *arena = *state;
  enum { BLOCKS = 2000 };
  static struct {
    uint8_t *block;
    size_t size;
  } held[BLOCKS];
  struct random random = {.state = 3};
  size_t taken = 0;
  memset(held, 0, sizeof(held));
  for (int i = 0; i < 100000; i++) {
    uint32_t n = random_below(&random, BLOCKS);
    if (held[n].block) {
      for (size_t at = 0; at < held[n].size; at += 8)
        assert_int_equal(held[n].block[at], (uint8_t)n);
      arena_free(arena, held[n].block);
      taken -= arena_size(held[n].size);
      held[n].block = NULL;
    } else {
      held[n].size = ARENA_BLOCK_LEAST + random_below(&random, (uint32_t)i / 20000 * 200 + 10);
      held[n].block = arena_get(arena, held[n].size);
      assert_non_null(held[n].block);
      memset(held[n].block, (uint8_t)n, held[n].size);
      taken += arena_size(held[n].size);
    }
    assert_int_equal(arena->taken_bytes, taken);
  }
  for (int n = 0; n < BLOCKS; n++)
    if (held[n].block)
      arena_free(arena, held[n].block);
  assert_int_equal(arena_bytes(arena), 0);
  assert_int_equal(arena_idle_bytes(arena), 0);
}

static void an_arena_without_free_blocks_has_no_sparse_page(void **state) {
  struct arena *arena = *state;
  void *blocks[ARENA_BLOCKS_MAX];
  assert_int_equal(arena_choose_sparse(arena, blocks), 0);
  for (int i = 0; i < 1000; i++)
    arena_get(arena, 64);
  assert_int_equal(arena_choose_sparse(arena, blocks), 0);
}

static void the_blocks_of_a_sparse_page_have_room_elsewhere(void **state) {
  struct arena *arena = *state;
  void *blocks[ARENA_BLOCKS_MAX], *all[1024];
  for (int i = 0; i < 1024; i++)
    all[i] = arena_get(arena, 64);
  for (int i = 0; i < 1024; i++) /* one in sixteen is left, and all of the first page */
    if (i % 16 && i >= 64)
      arena_free(arena, all[i]);
  size_t before = arena_bytes(arena), count, emptied = 0;
  while ((count = arena_choose_sparse(arena, blocks)) > 0) {
    assert_int_equal(count, emptied++ < 12 ? 4 : count);
    arena_close(arena, blocks[0]);
    for (size_t i = 0; i < count; i++)
      assert_non_null(arena_get(arena, 64));
    for (size_t i = 0; i < count; i++)
      arena_free(arena, blocks[i]);
    assert_true(arena_bytes(arena) < before);
    before = arena_bytes(arena);
  }
  assert_true(emptied >= 11);
  assert_true(arena_idle_bytes(arena) < 3 * ARENA_PAGE_BYTES);
}

static void a_page_that_is_preferred_is_filled_first(void **state) {
  struct arena *arena = *state;
  uint8_t *all[256];
  for (int i = 0; i < 256; i++)
    all[i] = arena_get(arena, 64);
  for (int i = 0; i < 256; i += 2)
    arena_free(arena, all[i]);
  arena_prefer(arena, all[1]);
  for (int i = 0; i < 64; i += 2)
    assert_ptr_equal(arena_get(arena, 64), all[i]);
}

static bool is_resident(void *page) {
  unsigned char is_there = 0;
  assert_int_equal(mincore(page, ARENA_PAGE_BYTES, &is_there), 0);
  return is_there & 1;
}

/* The page behind those in use is made resident by another thread, the last one of the next two MiB too. */
static void what_is_used_next_is_touched_ahead(void **state) {
  (void)state;
  enum { STEP_BYTES = 2 << 20, PATIENCE_MS = 20000 };
  struct arena arena;
  assert_int_equal(arena_init(&arena, 128 << 20), 0);
  uint8_t *page = arena_get_page(&arena), *last = arena.base + 2 * STEP_BYTES - ARENA_PAGE_BYTES;
  assert_non_null(page);
#ifdef MADV_POPULATE_WRITE
  uint8_t probe = 0;
  bool is_known = madvise((void *)((uintptr_t)&probe / ARENA_PAGE_BYTES * ARENA_PAGE_BYTES), ARENA_PAGE_BYTES,
                          MADV_POPULATE_WRITE) == 0;
  for (int64_t until_ms = clock_now_ms() + PATIENCE_MS;
       is_known && !is_resident(last) && clock_now_ms() < until_ms;)
    sched_yield();
  assert_true(!is_known || is_resident(last));
#endif
  assert_false(is_resident(last + STEP_BYTES));
  for (int i = 0; i < 2 * STEP_BYTES / ARENA_PAGE_BYTES; i++)
    memset(arena_get_page(&arena), 1, ARENA_PAGE_BYTES); /* they are there, touched or not */
  arena_fini(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(an_arena_that_was_not_used_takes_nothing, set_up, tear_down),
      cmocka_unit_test(an_arena_of_zeroes_may_be_ended),
      cmocka_unit_test_setup_teardown(blocks_are_aligned_and_have_refs_that_are_not_zero, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_page_is_aligned_to_its_size_and_zero_even_when_it_was_used, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(what_is_free_again_is_used_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(pages_without_blocks_serve_other_sizes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_full_arena_gives_nothing_until_something_is_freed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(random_gets_and_frees_never_overlap, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_arena_without_free_blocks_has_no_sparse_page, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_blocks_of_a_sparse_page_have_room_elsewhere, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_page_that_is_preferred_is_filled_first, set_up, tear_down),
      cmocka_unit_test(what_is_used_next_is_touched_ahead),
  };
  return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
