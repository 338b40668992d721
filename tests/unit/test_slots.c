#include "cmocka_compat.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/qsbr.h"
#include "base/random.h"
#include "cache/slots.h"

struct fixture {
  struct arena arena;
  struct qsbr qsbr;
  struct slots slots;
  struct qsbr_reader reader;
  struct random random;
};

static void release(void *context, void *block) {
  struct fixture *fixture = context;
  if (arena_owns(&fixture->arena, block))
    arena_free(&fixture->arena, block);
  else
    free(block);
}

static void retire(void *context, void *block) {
  struct fixture *fixture = context;
  qsbr_retire(&fixture->qsbr, block);
}

static int set_up(void **state) {
  struct fixture *fixture = aligned_alloc(64, sizeof(*fixture));
  memset(fixture, 0, sizeof(*fixture));
  assert_int_equal(arena_init(&fixture->arena, 64 << 20), 0);
  assert_int_equal(qsbr_init(&fixture->qsbr, release, fixture), 0);
  qsbr_add_reader(&fixture->qsbr, &fixture->reader);
  assert_int_equal(slots_init(&fixture->slots, &fixture->arena, retire, fixture), 0);
  fixture->random.state = 5;
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  qsbr_fini(&fixture->qsbr);
  slots_fini(&fixture->slots);
  arena_fini(&fixture->arena);
  free(fixture);
  return 0;
}

/* How often `ref` is found with `hash`. */
static int count_of(const struct slots *slots, uint32_t hash, uint32_t ref) {
  struct slots_search search;
  int count = 0;
  slots_search(slots, hash, &search);
  for (uint32_t found; (found = slots_find(&search));)
    count += found == ref;
  return count;
}

/* A hash that follows from the ref, and is spread. */
static uint32_t hash_of(uint32_t ref) { return ref * UINT32_C(0x9e3779b1) ^ ref << 7; }

static void nothing_is_found_in_an_empty_table(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(count_of(&fixture->slots, 0, 0), 0);
  assert_int_equal(count_of(&fixture->slots, UINT32_MAX, 1), 0);
}

static void a_hundred_thousand_refs_are_found_while_the_table_grows(void **state) {
  struct fixture *fixture = *state;
  enum { REFS = 100000 };
  for (uint32_t ref = 1; ref <= REFS; ref++) {
    assert_int_equal(slots_put(&fixture->slots, hash_of(ref), ref), 0);
    qsbr_collect(&fixture->qsbr);
    uint32_t earlier = 1 + random_below(&fixture->random, ref);
    assert_int_equal(count_of(&fixture->slots, hash_of(earlier), earlier), 1);
  }
  for (uint32_t ref = 1; ref <= REFS; ref++)
    assert_int_equal(count_of(&fixture->slots, hash_of(ref), ref), 1);
  size_t segments = fixture->slots.segment_count;
  assert_in_range(segments, REFS / SLOTS_SEGMENT_MOST, REFS / (SLOTS_SEGMENT_MOST / 2) + 1);
  assert_int_equal(fixture->arena.used_count, segments);
  assert_true(slots_bytes(&fixture->slots) < segments * 4 * 8);
}

static void removed_refs_are_not_found_and_the_others_are(void **state) {
  struct fixture *fixture = *state;
  enum { REFS = 5000 };
  for (uint32_t ref = 1; ref <= REFS; ref++)
    slots_put(&fixture->slots, hash_of(ref), ref);
  for (uint32_t ref = 1; ref <= REFS; ref += 2)
    slots_remove(&fixture->slots, hash_of(ref), ref);
  for (uint32_t ref = 1; ref <= REFS; ref++)
    assert_int_equal(count_of(&fixture->slots, hash_of(ref), ref), ref % 2 == 0);
}

static void a_replaced_ref_is_found_in_its_place(void **state) {
  struct fixture *fixture = *state;
  for (uint32_t ref = 1; ref <= 100; ref++)
    slots_put(&fixture->slots, 9, ref);
  slots_replace(&fixture->slots, 9, 50, 1000);
  assert_int_equal(count_of(&fixture->slots, 9, 50), 0);
  assert_int_equal(count_of(&fixture->slots, 9, 1000), 1);
  assert_int_equal(count_of(&fixture->slots, 9, 51), 1);
}

static void hashes_that_no_split_tells_apart_are_refused(void **state) {
  struct fixture *fixture = *state;
  uint32_t ref = 1;
  while (ref <= 2 * SLOTS_SEGMENT && slots_put(&fixture->slots, 77, ref) == 0)
    ref++;
  assert_int_equal(ref - 1, SLOTS_SEGMENT_MOST);
  assert_true(slots_bytes(&fixture->slots) < 1 << 16);
  for (uint32_t each = 1; each < ref; each++)
    assert_int_equal(count_of(&fixture->slots, 77, each), 1);
  assert_int_equal(slots_put(&fixture->slots, UINT32_MAX, ref), 0);
}

static void a_reader_that_stays_finds_what_was_there_before_every_split(void **state) {
  struct fixture *fixture = *state;
  slots_put(&fixture->slots, hash_of(1), 1);
  qsbr_online(&fixture->qsbr, &fixture->reader);
  struct slots_search search;
  slots_search(&fixture->slots, hash_of(1), &search);
  for (uint32_t ref = 2; ref < 20000; ref++) {
    slots_put(&fixture->slots, hash_of(ref), ref);
    qsbr_collect(&fixture->qsbr);
  }
  assert_int_equal(slots_find(&search), 1);
  qsbr_offline(&fixture->reader);
  qsbr_collect(&fixture->qsbr);
  assert_int_equal(fixture->arena.used_count, fixture->slots.segment_count);
}

/* ---- a reader beside the writer ---- */

enum { STEADY = 3000, PASSING = 3000 };

struct reading {
  struct fixture *fixture;
  _Atomic bool is_over;
  uint64_t wrong;
  _Atomic uint64_t found;
};

/* Whatever is found has the hash of its ref: a slot is never half written, a segment never another's. */
static void *read_on(void *argument) {
  struct reading *reading = argument;
  struct fixture *fixture = reading->fixture;
  struct random random = {.state = 1};
  while (!atomic_load_explicit(&reading->is_over, memory_order_relaxed)) {
    qsbr_online(&fixture->qsbr, &fixture->reader);
    for (int i = 0; i < 20; i++) {
      struct slots_search search;
      uint32_t hash = hash_of(1 + random_below(&random, STEADY + PASSING));
      slots_prefetch_directory(&fixture->slots, hash);
      slots_prefetch_slot(&fixture->slots, hash);
      slots_search(&fixture->slots, hash, &search);
      for (uint32_t ref; (ref = slots_find(&search));
           atomic_fetch_add_explicit(&reading->found, 1, memory_order_relaxed))
        reading->wrong += hash_of(ref) != hash;
    }
    qsbr_offline(&fixture->reader);
  }
  return NULL;
}

static void a_reader_finds_nothing_wrong_while_refs_come_and_go(void **state) {
  struct reading reading = {.fixture = *state};
  struct slots *slots = &reading.fixture->slots;
  static bool is_in[PASSING];
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, read_on, &reading), 0);
  for (uint32_t ref = 1; ref <= STEADY; ref++)
    slots_put(slots, hash_of(ref), ref);
  while (atomic_load(&reading.found) == 0) /* a busy machine may let it begin late */
    sched_yield();
  for (int i = 0; i < 200000; i++) {
    uint32_t n = random_below(&reading.fixture->random, PASSING), ref = STEADY + 1 + n;
    if (is_in[n])
      slots_remove(slots, hash_of(ref), ref);
    else
      assert_int_equal(slots_put(slots, hash_of(ref), ref), 0);
    is_in[n] = !is_in[n];
    qsbr_collect(&reading.fixture->qsbr);
  }
  atomic_store(&reading.is_over, true);
  pthread_join(thread, NULL);
  assert_int_equal(reading.wrong, 0);
  for (uint32_t ref = 1; ref <= STEADY + PASSING; ref++)
    assert_int_equal(count_of(slots, hash_of(ref), ref), ref <= STEADY || is_in[ref - STEADY - 1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(nothing_is_found_in_an_empty_table, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_hundred_thousand_refs_are_found_while_the_table_grows, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(removed_refs_are_not_found_and_the_others_are, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_replaced_ref_is_found_in_its_place, set_up, tear_down),
      cmocka_unit_test_setup_teardown(hashes_that_no_split_tells_apart_are_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_reader_that_stays_finds_what_was_there_before_every_split, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_reader_finds_nothing_wrong_while_refs_come_and_go, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
