#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine_private.h"
#include "procstat.h"

static const double NS_PER_S = 1e9;
enum { START_DELAY_NS = 5000000, TICK_MS = 100 };

/* Shares beyond which a run was disturbed, and a generator or server is at its end. */
static const double DISTURBED = 0.05, CLIENT_FULL = 0.95, SERVER_FULL = 0.90;

static uint64_t share_of(uint64_t all, unsigned number, unsigned count) {
  return all / count + (number < all % count);
}

static unsigned count_threads(const struct engine_options *options, const struct queries *queries) {
  unsigned count = options->threads;
  if (count > options->connections)
    count = options->connections;
  /* Each thread has a line of its own, or a pass would ask some twice. */
  if (options->passes && queries_is_file(queries) && count > queries_count(queries))
    count = (unsigned)queries_count(queries);
  return count;
}

static uint64_t limit_of(const struct engine_thread *thread, const struct engine_options *options) {
  uint64_t limit = UINT64_MAX;
  if (options->passes)
    limit = options->passes * query_cursor_share(&thread->cursor);
  if (options->lookups_max) {
    uint64_t share = share_of(options->lookups_max, thread->number, thread->engine->thread_count);
    limit = share < limit ? share : limit;
  }
  return limit;
}

/* 0 or an errno. */
static int init_thread(struct engine_thread *thread, struct engine *engine, unsigned number) {
  const struct engine_options *options = engine->options;
  thread->engine = engine;
  thread->number = number;
  int error = engine_thread_init(thread);
  if (error)
    return error;
  query_cursor_init(&thread->cursor, engine->queries, number, engine->thread_count, options->round);
  thread->asked_max = limit_of(thread, options);
  unsigned count = (unsigned)share_of(options->connections, number, engine->thread_count);
  thread->connections = calloc(count, sizeof *thread->connections);
  thread->unwritten = calloc(count, sizeof(struct engine_connection *));
  if (!thread->connections || !thread->unwritten)
    return ENOMEM;
  for (unsigned i = 0; i < count && !error; i++) {
    thread->connection_count++;
    error = engine_connection_init(&thread->connections[i], thread);
  }
  return error;
}

static int init_engine(struct engine *engine, struct result_run *run) {
  engine->threads = calloc(engine->thread_count, sizeof *engine->threads);
  engine->finished_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  engine->intervals = intervals_create(engine->thread_count, engine->options->interval_s);
  if (!engine->threads || engine->finished_fd < 0 || !engine->intervals) {
    snprintf(run->error, sizeof run->error, "%s", strerror(ENOMEM));
    return -1;
  }
  for (unsigned i = 0; i < engine->thread_count; i++)
    engine->threads[i].timer_fd = -1;
  for (unsigned i = 0; i < engine->thread_count; i++) {
    int error = init_thread(&engine->threads[i], engine, i);
    if (error) {
      snprintf(run->error, sizeof run->error, "%s", strerror(error));
      return -1;
    }
  }
  return 0;
}

static void fini_engine(struct engine *engine) {
  for (unsigned i = 0; engine->threads && i < engine->thread_count; i++)
    engine_thread_fini(&engine->threads[i]);
  free(engine->threads);
  if (engine->finished_fd >= 0)
    close(engine->finished_fd);
  intervals_destroy(engine->intervals);
}

static void stop_threads(struct engine *engine) {
  atomic_store(&engine->is_stopped, true);
  for (unsigned i = 0; i < engine->thread_count; i++)
    ev_async_send(engine->threads[i].loop, &engine->threads[i].stopper);
}

/* A signal is for the thread that waits, not for those that measure. */
static int start_threads(struct engine *engine, struct result_run *run) {
  const struct engine_options *options = engine->options;
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  engine->start_ns = engine_clock_ns() + START_DELAY_NS;
  atomic_store(&engine->running, engine->thread_count);
  unsigned started = 0;
  for (; started < engine->thread_count; started++) {
    struct engine_thread *thread = &engine->threads[started];
    thread->end_ns =
        options->length_s > 0 ? engine->start_ns + (uint64_t)(options->length_s * NS_PER_S) : UINT64_MAX;
    if (options->rate > 0) {
      thread->step_ns = NS_PER_S / options->rate * engine->thread_count;
      thread->first_ns = (double)engine->start_ns + NS_PER_S / options->rate * started;
    }
    if (pthread_create(&thread->id, NULL, engine_thread_main, thread) != 0)
      break;
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (started == engine->thread_count)
    return 0;
  snprintf(run->error, sizeof run->error, "cannot start thread %u: %s", started + 1, strerror(errno));
  stop_threads(engine);
  while (started > 0)
    pthread_join(engine->threads[--started].id, NULL);
  return -1;
}

static uint64_t count_completed(struct engine *engine) {
  uint64_t completed = 0;
  for (unsigned i = 0; i < engine->thread_count; i++)
    completed += atomic_load_explicit(&engine->threads[i].completed, memory_order_relaxed);
  return completed;
}

static void await_threads(struct engine *engine) {
  const struct engine_options *options = engine->options;
  struct pollfd finished = {.fd = engine->finished_fd, .events = POLLIN};
  while (atomic_load(&engine->running) > 0) {
    eventfd_t ended;
    if (poll(&finished, 1, TICK_MS) > 0)
      eventfd_read(engine->finished_fd, &ended);
    double elapsed_s = ((double)engine_clock_ns() - (double)engine->start_ns) / NS_PER_S;
    if (options->on_tick && !atomic_load(&engine->is_stopped) &&
        !options->on_tick(options->context, elapsed_s > 0 ? elapsed_s : 0, count_completed(engine)))
      stop_threads(engine);
  }
  for (unsigned i = 0; i < engine->thread_count; i++)
    pthread_join(engine->threads[i].id, NULL);
}

/* ---- adding up ---- */

static void add_thread(const struct engine_thread *thread, struct result_run *run) {
  const struct result_run *part = &thread->run;
  run->sent += part->sent;
  run->completed += part->completed;
  run->timeouts += part->timeouts;
  run->errors += part->errors;
  run->wrong += part->wrong;
  run->verified += part->verified;
  run->request_bytes += part->request_bytes;
  run->reply_bytes += part->reply_bytes;
  run->is_partial |= thread->is_aborted;
  histogram_add(run->latency, part->latency);
  histogram_add(run->service, thread->step_ns > 0 ? part->service : part->latency);
  for (size_t i = 0; i < thread->kind_count; i++)
    result_count_kind(run, thread->kinds[i].name, thread->kinds[i].count);
  if (part->error[0] && !run->error[0])
    snprintf(run->error, sizeof run->error, "%s", part->error);
}

/* From the start to the end asked for, or to the last answer where that came later or ended the run. */
static double length_of(const struct engine *engine) {
  uint64_t last_ns = engine->start_ns;
  for (unsigned i = 0; i < engine->thread_count; i++) {
    const struct engine_thread *thread = &engine->threads[i];
    uint64_t end_ns = thread->last_answer_ns;
    if (thread->is_aborted)
      end_ns = thread->now_ns;
    else if (thread->asked < thread->asked_max && thread->end_ns > end_ns)
      end_ns = thread->end_ns;
    if (end_ns > last_ns)
      last_ns = end_ns;
  }
  return (double)(last_ns - engine->start_ns) / NS_PER_S;
}

struct marks {
  bool has_server;
  struct procstat server;
  uint64_t steal_ns;
};

static void mark(struct marks *marks, const struct target *target) {
  marks->steal_ns = procstat_steal_ns();
  marks->has_server = target->pid > 0 && procstat_read(target->pid, &marks->server) == 0;
}

/* What the run has cost, and whether it can be trusted. */
static void account(const struct engine *engine, const struct marks *before, const struct marks *after,
                    struct result_run *run) {
  struct procstat_cost server = {0, 0, 0};
  uint64_t client_ns = 0, client_wait_ns = 0, busiest_ns = 0;
  for (unsigned i = 0; i < engine->thread_count; i++) {
    const struct engine_thread *thread = &engine->threads[i];
    client_ns += thread->cpu_ns;
    client_wait_ns += thread->wait_ns;
    busiest_ns = thread->cpu_ns > busiest_ns ? thread->cpu_ns : busiest_ns;
  }
  /* What a dying server still shows is not what it has cost. */
  run->has_server = before->has_server && after->has_server && !run->error[0];
  if (run->has_server) {
    server = procstat_between(&before->server, &after->server);
    run->server_cpu_s = (double)server.run_ns / NS_PER_S;
    run->server_rss_before_bytes = before->server.rss_bytes;
    run->server_rss_after_bytes = after->server.rss_bytes;
  }
  run->client_cpu_s = (double)client_ns / NS_PER_S;
  run->wait_s = (double)(client_wait_ns + server.wait_ns) / NS_PER_S;
  run->steal_s =
      after->steal_ns > before->steal_ns ? (double)(after->steal_ns - before->steal_ns) / NS_PER_S : 0;
  double length_ns = run->length_s * NS_PER_S;
  run->is_disturbed = run->steal_s * NS_PER_S + (double)server.wait_ns > DISTURBED * length_ns;
  run->is_client_bound =
      (double)busiest_ns > CLIENT_FULL * length_ns && (double)server.busiest_ns < SERVER_FULL * length_ns;
}

static void add_up(struct engine *engine, struct result_run *run) {
  for (unsigned i = 0; i < engine->thread_count; i++)
    add_thread(&engine->threads[i], run);
  run->length_s = length_of(engine);
  run->is_partial |= run->error[0] != '\0';
  intervals_finish(engine->intervals, run->length_s, run);
}

int engine_run(const struct target *target, const struct queries *queries,
               const struct engine_options *options, struct result_run *run) {
  struct engine engine = {
      .target = target,
      .options = options,
      .queries = queries,
      .thread_count = count_threads(options, queries),
      .timeout_ns = (uint64_t)(options->timeout_s * NS_PER_S),
      .finished_fd = -1,
  };
  struct marks *marks = calloc(2, sizeof *marks);
  int result = marks && run->latency && run->service ? 0 : -1;
  if (result)
    snprintf(run->error, sizeof run->error, "%s", strerror(ENOMEM));
  else
    result = init_engine(&engine, run);
  if (result == 0) {
    mark(&marks[0], target);
    result = start_threads(&engine, run);
  }
  if (result == 0) {
    await_threads(&engine);
    mark(&marks[1], target);
    add_up(&engine, run);
    account(&engine, &marks[0], &marks[1], run);
  }
  fini_engine(&engine);
  free(marks);
  return run->error[0] ? -1 : 0;
}
