#include "cmocka_compat.h"

#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/worker.h"

/* What runs on the worker's loop: says when it was woken. */
struct owner {
  struct worker worker;
  ev_async wake;
  sem_t woken, stopped;
  pthread_t stopped_in;
  unsigned stops;
};

static struct owner owner;

static void on_wake(struct ev_loop *loop, ev_async *wake, int events) {
  (void)loop, (void)wake, (void)events;
  sem_post(&owner.woken);
}

static void on_stop(void *context) {
  assert_ptr_equal(context, &owner);
  owner.stopped_in = pthread_self();
  owner.stops++;
  sem_post(&owner.stopped);
}

static int make(void **state) {
  (void)state;
  memset(&owner, 0, sizeof(owner));
  sem_init(&owner.woken, 0, 0);
  sem_init(&owner.stopped, 0, 0);
  assert_int_equal(worker_init(&owner.worker, on_stop, &owner), 0);
  ev_async_init(&owner.wake, on_wake);
  ev_async_start(owner.worker.loop, &owner.wake);
  return 0;
}

static int end(void **state) {
  (void)state;
  worker_end(&owner.worker);
  worker_fini(&owner.worker);
  stats_forget_all();
  sem_destroy(&owner.woken);
  sem_destroy(&owner.stopped);
  return 0;
}

static void await(sem_t *semaphore) {
  while (sem_wait(semaphore) != 0)
    continue;
}

static void wake(void) {
  ev_async_send(owner.worker.loop, &owner.wake);
  await(&owner.woken);
}

static void its_loop_runs_in_a_thread_with_its_name(void **state) {
  (void)state;
  char name[16] = "";
  assert_false(worker_is_started(&owner.worker));
  assert_int_equal(worker_start(&owner.worker, "my-worker"), 0);
  assert_true(worker_is_started(&owner.worker));
  wake();
  assert_false(pthread_equal(owner.worker.thread, pthread_self()));
  assert_int_equal(pthread_getname_np(owner.worker.thread, name, sizeof(name)), 0);
  assert_string_equal(name, "my-worker");
}

static void one_that_stops_goes_on_until_it_is_ended(void **state) {
  (void)state;
  worker_start(&owner.worker, "worker");
  pthread_t thread = owner.worker.thread;
  assert_false(worker_is_stopping(&owner.worker));
  worker_stop(&owner.worker);
  await(&owner.stopped);
  assert_true(worker_is_stopping(&owner.worker));
  assert_true(pthread_equal(owner.stopped_in, thread));
  wake();
  worker_end(&owner.worker);
  assert_false(worker_is_started(&owner.worker));
  assert_int_equal(owner.stops, 1);
}

static void one_may_be_ended_without_being_stopped(void **state) {
  (void)state;
  worker_start(&owner.worker, "worker");
  worker_end(&owner.worker);
  assert_int_equal(owner.stops, 0);
  worker_end(&owner.worker);
}

static void one_that_does_not_run_is_left_alone(void **state) {
  (void)state;
  worker_stop(&owner.worker);
  worker_end(&owner.worker);
  assert_false(worker_is_stopping(&owner.worker));
  assert_int_equal(owner.stops, 0);
  struct worker none;
  memset(&none, 0, sizeof(none));
  worker_stop(&none);
  worker_end(&none);
  worker_fini(&none);
}

static void its_counters_count(void **state) {
  (void)state;
  stats_add(&owner.worker.stats, STATS_STORE_HITS);
  assert_int_equal(stats_sum(STATS_STORE_HITS), 1);
}

/* policy, nice and slice of a thread, as sched_getattr(2) has them. */
struct scheduling {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t slice_ns, unused[2];
};

static struct scheduling seen;

static void on_look(struct ev_loop *loop, ev_async *wake, int events) {
  seen.size = sizeof(seen);
  if (syscall(SYS_sched_getattr, 0, &seen, sizeof(seen), 0) != 0)
    seen.size = 0;
  on_wake(loop, wake, events);
}

/* Its slice is short where the kernel knows such slices: what is told of another thread then is not 0. */
static void one_that_is_prompt_has_a_short_slice_and_is_else_as_others(void **state) {
  (void)state;
  struct scheduling own = {.size = sizeof(own)};
  if (syscall(SYS_sched_getattr, 0, &own, sizeof(own), 0) != 0)
    skip();
  owner.worker.is_prompt = true;
  ev_set_cb(&owner.wake, on_look);
  assert_int_equal(worker_start(&owner.worker, "prompt"), 0);
  wake();
  assert_true(seen.size > 0);
  assert_int_equal(seen.policy, own.policy);
  assert_int_equal(seen.nice, own.nice);
  if (own.slice_ns > 0 && own.policy == SCHED_OTHER)
    assert_int_equal(seen.slice_ns, WORKER_SLICE_NS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(its_loop_runs_in_a_thread_with_its_name),
      TEST(one_that_is_prompt_has_a_short_slice_and_is_else_as_others),
      TEST(one_that_stops_goes_on_until_it_is_ended),
      TEST(one_may_be_ended_without_being_stopped),
      TEST(one_that_does_not_run_is_left_alone),
      TEST(its_counters_count),
  };
  return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
