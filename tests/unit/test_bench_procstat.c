#include "cmocka_compat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "procstat.h"

static uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Spends CPU time of this thread. */
static void spend_ns(uint64_t ns) {
  for (uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns; clock_ns(CLOCK_THREAD_CPUTIME_ID) < end;)
    ;
}

static void what_a_thread_spends_is_counted(void **state) {
  (void)state;
  struct procstat_thread before, after;
  if (procstat_read_thread(&before) != 0)
    skip(); /* a kernel without schedstat */
  spend_ns(30000000);
  assert_int_equal(procstat_read_thread(&after), 0);
  assert_int_equal(after.id, gettid());
  /* The kernel may add up at its ticks only. */
  assert_true(after.run_ns - before.run_ns >= 20000000);
}

static void what_a_process_spends_is_counted(void **state) {
  (void)state;
  struct procstat *stats = calloc(2, sizeof *stats);
  if (procstat_read(getpid(), &stats[0]) == -ENOENT)
    skip();
  spend_ns(30000000);
  assert_int_equal(procstat_read(getpid(), &stats[1]), 0);
  struct procstat_cost cost = procstat_between(&stats[0], &stats[1]);
  assert_true(cost.run_ns >= 20000000);
  assert_true(cost.busiest_ns <= cost.run_ns);
  assert_true(stats[1].rss_bytes > 100 * 1024);
  assert_int_equal(stats[1].threads[0].id, getpid());
  free(stats);
}

static void a_cost_is_the_sum_over_threads_that_are_left(void **state) {
  (void)state;
  static struct procstat before = {.thread_count = 2, .threads = {{1, 100, 10}, {2, 200, 20}}};
  static struct procstat after = {.thread_count = 2, .threads = {{2, 250, 21}, {3, 7, 1}}};
  struct procstat_cost cost = procstat_between(&before, &after);
  assert_int_equal(cost.run_ns, 57);
  assert_int_equal(cost.wait_ns, 2);
  assert_int_equal(cost.busiest_ns, 50);
}

static void a_process_that_is_gone_is_said_so(void **state) {
  (void)state;
  pid_t pid = fork();
  if (pid == 0)
    _exit(0);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  struct procstat *stat = calloc(1, sizeof *stat);
  assert_int_equal(procstat_read(pid, stat), -ESRCH);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  assert_int_equal(procstat_pin(pid, &cpus), -ESRCH);
  free(stat);
}

static void a_pinned_process_runs_where_it_is_told(void **state) {
  (void)state;
  cpu_set_t usual, one, seen;
  assert_int_equal(sched_getaffinity(0, sizeof usual, &usual), 0);
  CPU_ZERO(&one);
  for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
    if (CPU_ISSET(cpu, &usual))
      CPU_SET(cpu, &one);
  assert_int_equal(procstat_pin(getpid(), &one), 0);
  assert_int_equal(sched_getaffinity(0, sizeof seen, &seen), 0);
  assert_true(CPU_EQUAL(&seen, &one));
  assert_int_equal(procstat_pin(getpid(), &usual), 0);
}

static void no_cpu_at_all_is_refused(void **state) {
  (void)state;
  cpu_set_t none;
  CPU_ZERO(&none);
  assert_int_equal(procstat_pin(getpid(), &none), -EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_a_thread_spends_is_counted),
      cmocka_unit_test(what_a_process_spends_is_counted),
      cmocka_unit_test(a_cost_is_the_sum_over_threads_that_are_left),
      cmocka_unit_test(a_process_that_is_gone_is_said_so),
      cmocka_unit_test(a_pinned_process_runs_where_it_is_told),
      cmocka_unit_test(no_cpu_at_all_is_refused),
  };
  return cmocka_run_group_tests_name("bench_procstat", tests, NULL, NULL);
}
