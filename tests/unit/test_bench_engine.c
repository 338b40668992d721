#include "cmocka_compat.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine.h"

/* A run against the null server, a process of its own that a test can stop and kill. */
struct bench {
  struct target target;
  struct queries *queries;
  struct engine_options options;
  struct result_run run;
  unsigned ticks;
  double stalled_at_s;
};

static struct bench bench;

static int set_up(void **state) {
  (void)state;
  char error[256];
  memset(&bench, 0, sizeof bench);
  assert_int_equal(target_parse(&bench.target, "null,reply=100", error), 0);
  bench.queries = queries_generate("uniform:n=100", 1, error);
  assert_non_null(bench.queries);
  assert_int_equal(bench.target.kind->prepare(&bench.target, bench.queries, 0, error), 0);
  bench.options = (struct engine_options){
      .threads = 1,
      .connections = 1,
      .outstanding = 4,
      .timeout_s = 30,
      .interval_s = 0.1,
      .lookups_max = 1000,
      .context = &bench,
  };
  result_run_init(&bench.run);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  if (bench.target.pid)
    kill(bench.target.pid, SIGCONT);
  target_fini(&bench.target);
  queries_destroy(bench.queries);
  result_run_fini(&bench.run);
  return 0;
}

static int run(void) { return engine_run(&bench.target, bench.queries, &bench.options, &bench.run); }

static void use_file(const char *text) {
  char path[] = "/tmp/mxway-test-XXXXXX", error[QUERIES_ERROR_SIZE];
  int fd = mkstemp(path);
  assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  close(fd);
  queries_destroy(bench.queries);
  bench.queries = queries_load(path, error);
  unlink(path);
  assert_non_null(bench.queries);
}

/* ---- how much is asked ---- */

static void a_run_ends_after_as_many_lookups_as_asked_for(void **state) {
  (void)state;
  bench.options.threads = 3;
  bench.options.connections = 7;
  bench.options.lookups_max = 10001;
  assert_int_equal(run(), 0);
  assert_int_equal(bench.run.sent, 10001);
  assert_int_equal(bench.run.completed, 10001);
  assert_int_equal(bench.run.timeouts + bench.run.errors, 0);
  assert_int_equal(bench.run.latency->count, 10001);
  assert_int_equal(bench.run.service->count, 10001);
  assert_int_equal(bench.run.kind_count, 1);
  assert_string_equal(bench.run.kinds[0].name, "ROUTE");
  assert_int_equal(bench.run.kinds[0].count, 10001);
  assert_false(bench.run.is_partial);
}

static void a_pass_asks_each_line_once_with_any_number_of_threads(void **state) {
  (void)state;
  use_file("a.test\nb.test\nc.test\nd.test\ne.test\n");
  bench.options.lookups_max = 0;
  bench.options.passes = 3;
  bench.options.connections = bench.options.threads = 8;
  assert_int_equal(run(), 0);
  assert_int_equal(bench.run.completed, 15);
}

static void octets_are_those_of_the_frames(void **state) {
  (void)state;
  use_file("a.test\n");
  bench.options.lookups_max = 10;
  assert_int_equal(run(), 0);
  /* Length, id, domain. */
  assert_int_equal(bench.run.request_bytes, 10 * (1 + 2 + 2 + 6));
  assert_in_range(bench.run.reply_bytes, 10 * 98, 10 * 102);
}

static void intervals_add_up_to_the_run(void **state) {
  (void)state;
  bench.options.lookups_max = 0;
  bench.options.length_s = 0.35;
  bench.options.threads = bench.options.connections = 2;
  assert_int_equal(run(), 0);
  assert_int_equal(bench.run.interval_count, 4);
  uint64_t completed = 0;
  for (size_t i = 0; i < 4; i++) {
    completed += bench.run.intervals[i].completed;
    assert_true(bench.run.intervals[i].p50_ns <= bench.run.intervals[i].p99_ns);
    assert_true(bench.run.intervals[i].p99_ns <= bench.run.intervals[i].max_ns);
  }
  assert_int_equal(completed, bench.run.completed);
  assert_true(bench.run.length_s >= 0.35);
}

/* ---- the open loop, and a server that stalls ---- */

static void the_open_loop_keeps_its_schedule(void **state) {
  (void)state;
  bench.options.lookups_max = 0;
  bench.options.rate = 2000;
  bench.options.length_s = 0.5;
  bench.options.outstanding = 1000;
  bench.options.threads = 2;
  bench.options.connections = 3;
  assert_int_equal(run(), 0);
  assert_int_equal(bench.run.sent, 1000);
  assert_int_equal(bench.run.completed, 1000);
}

/* Stops the server for 300 ms or a little longer, then lets it go on. */
static bool stall(void *context, double elapsed_s, uint64_t completed) {
  struct bench *stalled = context;
  (void)completed;
  if (elapsed_s >= 0.2 && stalled->ticks == 0) {
    kill(stalled->target.pid, SIGSTOP);
    stalled->ticks = 1;
    stalled->stalled_at_s = elapsed_s;
  } else if (elapsed_s >= stalled->stalled_at_s + 0.3 && stalled->ticks == 1) {
    kill(stalled->target.pid, SIGCONT);
    stalled->ticks = 2;
  }
  return true;
}

static void the_open_loop_shows_a_stall_in_latency_and_not_in_service_time(void **state) {
  (void)state;
  bench.options.lookups_max = 0;
  bench.options.length_s = 1.5;
  bench.options.rate = 2000;
  bench.options.outstanding = 1;
  bench.options.on_tick = stall;
  assert_int_equal(run(), 0);
  /* 600 and more of 3000 were due while nothing was answered; of these one was on its way. */
  assert_true(histogram_quantile(bench.run.latency, 0.999) > 250000000);
  assert_true(histogram_quantile(bench.run.latency, 0.9) > 100000000);
  assert_true(histogram_quantile(bench.run.service, 0.999) < 100000000);
  assert_true(bench.run.service->max_ns > 250000000);
}

static void the_closed_loop_hides_the_same_stall(void **state) {
  (void)state;
  bench.options.lookups_max = 0;
  bench.options.length_s = 1.5;
  bench.options.outstanding = 1;
  bench.options.on_tick = stall;
  assert_int_equal(run(), 0);
  assert_true(histogram_quantile(bench.run.latency, 0.999) < 100000000);
  assert_true(bench.run.latency->max_ns > 250000000);
}

static void what_was_due_and_found_no_slot_until_the_end_is_lost(void **state) {
  (void)state;
  kill(bench.target.pid, SIGSTOP);
  bench.options.lookups_max = 0;
  bench.options.length_s = 0.3;
  bench.options.timeout_s = 0.4;
  bench.options.rate = 1000;
  assert_int_equal(run(), 0);
  assert_int_equal(bench.run.sent, 300);
  assert_int_equal(bench.run.completed, 0);
  assert_int_equal(bench.run.timeouts, 4);
  assert_int_equal(bench.run.errors, 296);
}

/* ---- answers that do not come, or too late ---- */

static void a_late_answer_is_ignored(void **state) {
  (void)state;
  bench.options.lookups_max = 0;
  bench.options.length_s = 1;
  bench.options.timeout_s = 0.1;
  bench.options.on_tick = stall;
  assert_int_equal(run(), 0);
  /* Three timeouts fit into the stall; what was given up on is answered when it is over. */
  assert_true(bench.run.timeouts >= 4);
  assert_int_equal(bench.run.sent, bench.run.completed + bench.run.timeouts);
  assert_int_equal(bench.run.latency->count, bench.run.completed);
  assert_int_equal(bench.run.errors, 0);
}

static bool kill_server(void *context, double elapsed_s, uint64_t completed) {
  struct bench *killed = context;
  (void)elapsed_s;
  if (completed > 100 && killed->ticks++ == 0)
    kill(killed->target.pid, SIGKILL);
  return true;
}

static void a_server_that_dies_ends_the_run_with_what_there_is(void **state) {
  (void)state;
  bench.options.lookups_max = 0;
  bench.options.length_s = 30;
  bench.options.threads = bench.options.connections = 2;
  bench.options.on_tick = kill_server;
  assert_int_equal(run(), -1);
  assert_non_null(strstr(bench.run.error, "connection lost"));
  assert_true(bench.run.completed > 100);
  assert_true(bench.run.is_partial);
  assert_false(bench.run.has_server);
  assert_true(bench.run.length_s < 20);
}

static bool interrupt(void *context, double elapsed_s, uint64_t completed) {
  (void)context;
  (void)elapsed_s;
  return completed == 0;
}

static void the_caller_can_end_a_run(void **state) {
  (void)state;
  bench.options.lookups_max = 0;
  bench.options.length_s = 30;
  bench.options.on_tick = interrupt;
  assert_int_equal(run(), 0);
  assert_true(bench.run.is_partial);
  assert_true(bench.run.completed > 0);
  assert_int_equal(bench.run.sent, bench.run.completed);
  assert_true(bench.run.length_s < 20);
}

static void a_server_that_is_not_there_is_said_so(void **state) {
  (void)state;
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
  memcpy(&bench.target.address, &address, sizeof address);
  bench.target.address_length = sizeof address;
  assert_int_equal(run(), -1);
  assert_string_equal(bench.run.error, "No such file or directory");
  assert_int_equal(bench.run.sent, 0);
}

/* ---- what it costs ---- */

static void the_server_is_accounted_by_its_pid(void **state) {
  (void)state;
  bench.options.lookups_max = 200000;
  bench.options.outstanding = 64;
  assert_int_equal(run(), 0);
  if (!bench.run.has_server)
    skip(); /* a kernel without schedstat */
  assert_true(bench.run.server_cpu_s > 0);
  assert_true(bench.run.server_rss_after_bytes > 0);
  assert_true(bench.run.client_cpu_s > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_run_ends_after_as_many_lookups_as_asked_for),
      TEST(a_pass_asks_each_line_once_with_any_number_of_threads),
      TEST(octets_are_those_of_the_frames),
      TEST(intervals_add_up_to_the_run),
      TEST(the_open_loop_keeps_its_schedule),
      TEST(the_open_loop_shows_a_stall_in_latency_and_not_in_service_time),
      TEST(the_closed_loop_hides_the_same_stall),
      TEST(what_was_due_and_found_no_slot_until_the_end_is_lost),
      TEST(a_late_answer_is_ignored),
      TEST(a_server_that_dies_ends_the_run_with_what_there_is),
      TEST(the_caller_can_end_a_run),
      TEST(a_server_that_is_not_there_is_said_so),
      TEST(the_server_is_accounted_by_its_pid),
  };
  return cmocka_run_group_tests_name("bench_engine", tests, NULL, NULL);
}
