#include "cmocka_compat.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/qsbr.h"
#include "malloc_watch.h"

enum { OBJECTS = 10000, READERS = 3 };

/* What is retired in the tests without threads: the address of one of these. */
static char objects[OBJECTS];

struct fixture {
  struct qsbr qsbr;
  struct qsbr_reader readers[2];
  size_t released; /* objects, each in the order it was retired */
};

static void release_next(void *context, void *object) {
  struct fixture *fixture = context;
  assert_ptr_equal(object, &objects[fixture->released]);
  fixture->released++;
}

static void init(struct fixture *fixture) {
  memset(fixture, 0, sizeof(*fixture));
  assert_int_equal(qsbr_init(&fixture->qsbr, release_next, fixture), 0);
  for (int i = 0; i < 2; i++)
    qsbr_add_reader(&fixture->qsbr, &fixture->readers[i]);
}

static int set_up(void **state) {
  struct fixture *fixture = aligned_alloc(64, sizeof(*fixture));
  assert_non_null(fixture);
  init(fixture);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  qsbr_fini(&fixture->qsbr);
  free(fixture);
  return 0;
}

static void retire(struct fixture *fixture, size_t from, size_t count) {
  for (size_t i = from; i < from + count; i++)
    qsbr_retire(&fixture->qsbr, &objects[i]);
}

static void nothing_is_released_before_the_writer_collects(void **state) {
  struct fixture *fixture = *state;
  retire(fixture, 0, 3);
  assert_int_equal(fixture->released, 0);
  assert_int_equal(qsbr_collect(&fixture->qsbr), 0);
  assert_int_equal(fixture->released, 3);
}

static void collecting_with_nothing_retired_does_nothing(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(qsbr_collect(&fixture->qsbr), 0);
  qsbr_online(&fixture->qsbr, &fixture->readers[0]);
  assert_int_equal(qsbr_collect(&fixture->qsbr), 0);
  assert_int_equal(fixture->released, 0);
}

static void readers_that_wait_hold_nothing(void **state) {
  struct fixture *fixture = *state;
  qsbr_online(&fixture->qsbr, &fixture->readers[0]);
  qsbr_offline(&fixture->readers[0]);
  retire(fixture, 0, 1);
  assert_int_equal(qsbr_collect(&fixture->qsbr), 0);
  assert_int_equal(fixture->released, 1);
}

static void a_reader_that_was_online_before_holds_what_is_retired(void **state) {
  struct fixture *fixture = *state;
  qsbr_online(&fixture->qsbr, &fixture->readers[0]);
  retire(fixture, 0, 2);
  for (int i = 0; i < 5; i++)
    assert_int_equal(qsbr_collect(&fixture->qsbr), 2);
  assert_int_equal(fixture->released, 0);
  qsbr_offline(&fixture->readers[0]);
  assert_int_equal(fixture->released, 0);
  assert_int_equal(qsbr_collect(&fixture->qsbr), 0);
  assert_int_equal(fixture->released, 2);
}

static void a_reader_that_has_come_online_anew_holds_only_what_is_retired_since(void **state) {
  struct fixture *fixture = *state;
  qsbr_online(&fixture->qsbr, &fixture->readers[0]);
  retire(fixture, 0, 1);
  assert_int_equal(qsbr_collect(&fixture->qsbr), 1);
  qsbr_offline(&fixture->readers[0]);
  qsbr_online(&fixture->qsbr, &fixture->readers[0]);
  retire(fixture, 1, 1);
  assert_int_equal(qsbr_collect(&fixture->qsbr), 1);
  assert_int_equal(fixture->released, 1);
  qsbr_offline(&fixture->readers[0]);
  assert_int_equal(qsbr_collect(&fixture->qsbr), 0);
  assert_int_equal(fixture->released, 2);
}

static void the_slowest_reader_decides(void **state) {
  struct fixture *fixture = *state;
  qsbr_online(&fixture->qsbr, &fixture->readers[0]);
  qsbr_online(&fixture->qsbr, &fixture->readers[1]);
  retire(fixture, 0, 1);
  for (int i = 0; i < 3; i++) {
    qsbr_offline(&fixture->readers[1]);
    qsbr_online(&fixture->qsbr, &fixture->readers[1]);
    assert_int_equal(qsbr_collect(&fixture->qsbr), 1);
  }
  qsbr_offline(&fixture->readers[0]);
  assert_int_equal(qsbr_collect(&fixture->qsbr), 0);
  assert_int_equal(fixture->released, 1);
}

static void the_end_releases_all_in_order(void **state) {
  (void)state;
  struct fixture fixture;
  init(&fixture);
  qsbr_online(&fixture.qsbr, &fixture.readers[0]);
  retire(&fixture, 0, 100);
  qsbr_collect(&fixture.qsbr);
  qsbr_offline(&fixture.readers[0]);
  qsbr_fini(&fixture.qsbr);
  assert_int_equal(fixture.released, 100);
}

static void held_objects_without_number_are_kept_and_released_in_order(void **state) {
  struct fixture *fixture = *state;
  qsbr_online(&fixture->qsbr, &fixture->readers[1]);
  retire(fixture, 0, OBJECTS);
  assert_int_equal(qsbr_collect(&fixture->qsbr), OBJECTS);
  assert_int_equal(fixture->released, 0);
  qsbr_offline(&fixture->readers[1]);
  while (qsbr_collect(&fixture->qsbr) > 0)
    continue;
  assert_int_equal(fixture->released, OBJECTS);
}

/* ---- a part at each call ---- */

static void a_call_releases_no_more_than_its_part(void **state) {
  struct fixture *fixture = *state;
  qsbr_online(&fixture->qsbr, &fixture->readers[0]);
  retire(fixture, 0, OBJECTS);
  qsbr_collect(&fixture->qsbr);
  qsbr_offline(&fixture->readers[0]);
  assert_int_equal(qsbr_collect(&fixture->qsbr), OBJECTS - QSBR_COLLECT_LEAST);
  assert_int_equal(fixture->released, QSBR_COLLECT_LEAST);
  assert_int_equal(qsbr_collect(&fixture->qsbr), OBJECTS - 2 * QSBR_COLLECT_LEAST);
}

static void the_part_is_at_most_so_large_however_much_was_retired(void **state) {
  struct fixture *fixture = *state;
  retire(fixture, 0, OBJECTS);
  assert_int_equal(qsbr_collect(&fixture->qsbr), OBJECTS - QSBR_COLLECT_MOST);
}

/* What has piled up goes down although as much comes as may between two calls. */
static void more_is_released_than_is_retired(void **state) {
  struct fixture *fixture = *state;
  enum { PILE = 5000, EACH = 300 };
  qsbr_online(&fixture->qsbr, &fixture->readers[0]);
  retire(fixture, 0, PILE);
  qsbr_collect(&fixture->qsbr);
  qsbr_offline(&fixture->readers[0]);
  size_t before = PILE;
  for (size_t at = PILE; at + EACH <= OBJECTS; at += EACH) {
    retire(fixture, at, EACH);
    size_t left = qsbr_collect(&fixture->qsbr);
    size_t less = EACH + QSBR_COLLECT_LEAST;
    assert_int_equal(left, before > less ? before - less : 0);
    before = left;
  }
}

/* What is retired begins at every kind of place in its chunk, and goes over some of them. */
static void the_order_survives_from_chunk_to_chunk(void **state) {
  (void)state;
  for (size_t first = 0; first <= QSBR_CHUNK + 1; first += 128) {
    struct fixture fixture;
    init(&fixture);
    retire(&fixture, 0, first);
    assert_int_equal(qsbr_collect(&fixture.qsbr), 0);
    qsbr_online(&fixture.qsbr, &fixture.readers[0]);
    retire(&fixture, first, 1000);
    assert_int_equal(qsbr_collect(&fixture.qsbr), 1000);
    retire(&fixture, first + 1000, 3000);
    assert_int_equal(fixture.released, first);
    qsbr_offline(&fixture.readers[0]);
    while (qsbr_collect(&fixture.qsbr) > 0)
      continue;
    assert_int_equal(fixture.released, first + 4000);
    qsbr_fini(&fixture.qsbr);
  }
}

/* With some that are always held, over many chunks: the same two serve. */
static void steady_use_takes_no_memory(void **state) {
  struct fixture *fixture = *state;
  if (!malloc_is_watched())
    skip();
  size_t most = 0, at = 2 * QSBR_CHUNK - 100;
  retire(fixture, 0, at);
  while (qsbr_collect(&fixture->qsbr) > 0)
    continue;
  malloc_allow(0);
  for (size_t reader = 0; at < OBJECTS - 100; at += 100, reader = !reader) {
    qsbr_online(&fixture->qsbr, &fixture->readers[reader]);
    retire(fixture, at, 100);
    size_t left = qsbr_collect(&fixture->qsbr);
    most = left > most ? left : most;
    qsbr_offline(&fixture->readers[!reader]);
  }
  malloc_allow(LONG_MAX);
  assert_in_range(most, 100, 200);
}

static void without_memory_for_a_longer_list_the_writer_collects(void **state) {
  struct fixture *fixture = *state;
  if (!malloc_is_watched())
    skip();
  retire(fixture, 0, QSBR_CHUNK);
  malloc_allow(0);
  retire(fixture, QSBR_CHUNK, 1);
  malloc_allow(LONG_MAX);
  assert_int_equal(fixture->released, QSBR_CHUNK);
  assert_int_equal(qsbr_collect(&fixture->qsbr), 0);
  assert_int_equal(fixture->released, QSBR_CHUNK + 1);
}

/* ---- all orders of what two readers and the writer can do, against a model ---- */

enum event { TOGGLE_A, TOGGLE_B, RETIRE, COLLECT, EVENTS };
enum { STEPS = 9 };

struct model {
  struct fixture fixture;
  bool online[2];
  bool renewed[2];           /* came online after a collection that followed the last retirement */
  size_t retired, collected; /* `collected`: how many were retired at the last collection */
  unsigned holders[STEPS];   /* bit n: reader n is online since before that object was retired */
};

static void toggle(struct model *model, int reader) {
  model->online[reader] = !model->online[reader];
  if (model->online[reader]) {
    qsbr_online(&model->fixture.qsbr, &model->fixture.readers[reader]);
    model->renewed[reader] = model->collected == model->retired;
    return;
  }
  qsbr_offline(&model->fixture.readers[reader]);
  for (size_t i = 0; i < model->retired; i++)
    model->holders[i] &= ~(1u << reader);
}

static void retire_next(struct model *model) {
  model->holders[model->retired] = (unsigned)model->online[0] | (unsigned)model->online[1] << 1;
  model->renewed[0] = model->renewed[1] = false;
  retire(&model->fixture, model->retired++, 1);
}

static void collect(struct model *model) {
  size_t held = qsbr_collect(&model->fixture.qsbr);
  model->collected = model->retired;
  assert_int_equal(held, model->retired - model->fixture.released);
  bool all_new = true;
  for (int i = 0; i < 2; i++)
    all_new = all_new && (!model->online[i] || model->renewed[i]);
  if (all_new)
    assert_int_equal(held, 0);
}

static void check_order(unsigned code) {
  struct model model = {0};
  init(&model.fixture);
  for (int step = 0; step < STEPS; step++, code /= EVENTS) {
    switch ((enum event)(code % EVENTS)) {
    case TOGGLE_A:
    case TOGGLE_B:
      toggle(&model, code % EVENTS == TOGGLE_B);
      break;
    case RETIRE:
      retire_next(&model);
      break;
    case COLLECT:
      collect(&model);
      break;
    case EVENTS:
      break;
    }
    for (size_t i = 0; i < model.fixture.released; i++)
      assert_int_equal(model.holders[i], 0);
  }
  qsbr_fini(&model.fixture.qsbr);
  assert_int_equal(model.fixture.released, model.retired);
}

static void in_no_order_is_an_object_released_too_early_or_kept_too_long(void **state) {
  (void)state;
  unsigned orders = 1;
  for (int i = 0; i < STEPS; i++)
    orders *= EVENTS;
  for (unsigned code = 0; code < orders; code++)
    check_order(code);
}

/* ---- threads ---- */

struct pair {
  uint64_t number, complement;
};

struct shared {
  struct qsbr qsbr;
  struct qsbr_reader readers[READERS];
  _Atomic(struct pair *) current;
  _Atomic bool is_over;
  _Atomic uint64_t torn, reads;
  uint64_t released;
};

static void release_pair(void *context, void *object) {
  struct shared *shared = context;
  struct pair *pair = object;
  pair->number = pair->complement = 0; /* seen by a reader who should not */
  free(pair);
  shared->released++;
}

struct reading {
  struct shared *shared;
  int index;
};

static void *read_pairs(void *argument) {
  struct reading *reading = argument;
  struct shared *shared = reading->shared;
  struct qsbr_reader *reader = &shared->readers[reading->index];
  uint64_t torn = 0, last = 0;
  while (!atomic_load_explicit(&shared->is_over, memory_order_relaxed)) {
    qsbr_online(&shared->qsbr, reader);
    struct pair *pair = atomic_load_explicit(&shared->current, memory_order_acquire);
    for (int i = 0; i < 20; i++)
      torn += *(volatile uint64_t *)&pair->number != ~*(volatile uint64_t *)&pair->complement;
    torn += pair->number < last;
    last = pair->number;
    qsbr_offline(reader);
    atomic_fetch_add_explicit(&shared->reads, 1, memory_order_relaxed);
  }
  atomic_fetch_add(&shared->torn, torn);
  return NULL;
}

static struct pair *new_pair(uint64_t number) {
  struct pair *pair = malloc(sizeof(*pair));
  assert_non_null(pair);
  *pair = (struct pair){number, ~number};
  return pair;
}

static void threads_read_only_what_is_alive(void **state) {
  (void)state;
  enum { ROUNDS_LEAST = 100000, READS_LEAST = 10000 };
  static struct shared shared;
  pthread_t threads[READERS];
  struct reading readings[READERS];
  assert_int_equal(qsbr_init(&shared.qsbr, release_pair, &shared), 0);
  atomic_init(&shared.current, new_pair(0));
  for (int i = 0; i < READERS; i++)
    qsbr_add_reader(&shared.qsbr, &shared.readers[i]);
  for (int i = 0; i < READERS; i++) {
    readings[i] = (struct reading){&shared, i};
    assert_int_equal(pthread_create(&threads[i], NULL, read_pairs, &readings[i]), 0);
  }
  uint64_t rounds = 0;
  while (rounds < ROUNDS_LEAST || atomic_load(&shared.reads) < READS_LEAST) {
    struct pair *old = atomic_load_explicit(&shared.current, memory_order_relaxed);
    atomic_store_explicit(&shared.current, new_pair(++rounds), memory_order_release);
    qsbr_retire(&shared.qsbr, old);
    if (rounds % 3 == 0)
      qsbr_collect(&shared.qsbr);
  }
  atomic_store(&shared.is_over, true);
  for (int i = 0; i < READERS; i++)
    pthread_join(threads[i], NULL);
  assert_true(shared.torn == 0);
  while (qsbr_collect(&shared.qsbr) > 0)
    continue;
  assert_true(shared.released == rounds);
  qsbr_fini(&shared.qsbr);
  free(shared.current);
}

static void marks_of_two_readers_share_no_cache_line(void **state) {
  (void)state;
  assert_int_equal(_Alignof(struct qsbr_reader), 64);
  assert_int_equal(sizeof(struct qsbr_reader) % 64, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(nothing_is_released_before_the_writer_collects, set_up, tear_down),
      cmocka_unit_test_setup_teardown(collecting_with_nothing_retired_does_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(readers_that_wait_hold_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_reader_that_was_online_before_holds_what_is_retired, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_reader_that_has_come_online_anew_holds_only_what_is_retired_since,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_slowest_reader_decides, set_up, tear_down),
      cmocka_unit_test(the_end_releases_all_in_order),
      cmocka_unit_test_setup_teardown(held_objects_without_number_are_kept_and_released_in_order, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_call_releases_no_more_than_its_part, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_part_is_at_most_so_large_however_much_was_retired, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(more_is_released_than_is_retired, set_up, tear_down),
      cmocka_unit_test(the_order_survives_from_chunk_to_chunk),
      cmocka_unit_test_setup_teardown(steady_use_takes_no_memory, set_up, tear_down),
      cmocka_unit_test_setup_teardown(without_memory_for_a_longer_list_the_writer_collects, set_up,
                                      tear_down),
      cmocka_unit_test(in_no_order_is_an_object_released_too_early_or_kept_too_long),
      cmocka_unit_test(threads_read_only_what_is_alive),
      cmocka_unit_test(marks_of_two_readers_share_no_cache_line),
  };
  return cmocka_run_group_tests_name("qsbr", tests, NULL, NULL);
}
