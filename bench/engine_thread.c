#include "engine_private.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "procstat.h"

enum { NS_PER_S = 1000000000 };

uint64_t engine_clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void engine_fail(struct engine_thread *thread, const char *format, ...) {
  if (!thread->run.error[0]) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(thread->run.error, sizeof thread->run.error, format, arguments);
    va_end(arguments);
  }
  struct engine *engine = thread->engine;
  atomic_store(&engine->is_stopped, true);
  for (unsigned i = 0; i < engine->thread_count; i++)
    ev_async_send(engine->threads[i].loop, &engine->threads[i].stopper);
}

/* ---- slots ---- */

static void hold(struct engine_slot *slot) {
  struct engine_thread *thread = slot->connection->thread;
  slot->is_busy = true;
  slot->newer = NULL;
  slot->older = thread->newest;
  *(thread->newest ? &thread->newest->newer : &thread->oldest) = slot;
  thread->newest = slot;
  thread->busy_slots++;
  thread->free_slots--;
}

void engine_release(struct engine_slot *slot) {
  struct engine_connection *connection = slot->connection;
  struct engine_thread *thread = connection->thread;
  *(slot->older ? &slot->older->newer : &thread->oldest) = slot->newer;
  *(slot->newer ? &slot->newer->older : &thread->newest) = slot->older;
  slot->is_busy = false;
  thread->busy_slots--;
  thread->free_slots++;
  connection->free_slots[connection->free_count++] = slot->number;
}

/* Asks the next question in a free slot of `connection`. `due_ns` 0: when it is sent. */
static void ask(struct engine_connection *connection, uint64_t due_ns) {
  struct engine_thread *thread = connection->thread;
  const struct engine_options *options = thread->engine->options;
  struct engine_slot *slot = &connection->slots[connection->free_slots[--connection->free_count]];
  struct query query;
  queries_next(&thread->cursor, &query);
  slot->due_ns = due_ns;
  slot->sent_ns = 0;
  slot->expected = NULL;
  if (options->verify && thread->verify_count++ % options->verify_every == 0)
    slot->expected = verify_find(options->verify, query.name, query.length);
  hold(slot);
  if (thread->step_ns > 0 && connection->batch_count == 0)
    thread->unwritten[thread->unwritten_count++] = connection;
  connection->batch[connection->batch_count++] = slot->number;
  thread->asked++;
  thread->run.sent++;
  thread->engine->target->kind->ask(connection->session, slot->number, &query);
}

/* ---- when to ask ---- */

static uint64_t due_of(const struct engine_thread *thread) {
  return (uint64_t)(thread->first_ns + (double)thread->asked * thread->step_ns);
}

/* Whether more is to be asked; notes when the number or the time is used up. */
static bool may_ask(struct engine_thread *thread) {
  if (thread->asked >= thread->asked_max || thread->now_ns >= thread->end_ns)
    thread->is_asking = false;
  return thread->is_asking;
}

/* One batch: a slot that is answered from inside ask is used again in the next. */
static void fill(struct engine_connection *connection) {
  struct engine_thread *thread = connection->thread;
  uint32_t room = thread->engine->options->outstanding - connection->batch_count;
  for (uint32_t left = connection->free_count < room ? connection->free_count : room;
       left > 0 && may_ask(thread); left--)
    ask(connection, 0);
}

/* The next connection with a free slot and room in its batch, or NULL. */
static struct engine_connection *choose(struct engine_thread *thread) {
  for (unsigned i = 0; i < thread->connection_count; i++) {
    struct engine_connection *connection = &thread->connections[thread->next_connection];
    thread->next_connection = (thread->next_connection + 1) % thread->connection_count;
    if (connection->fd >= 0 && connection->free_count > 0 &&
        connection->batch_count < thread->engine->options->outstanding)
      return connection;
  }
  return NULL;
}

/* All that is due by now, as far as there are slots. */
static void fill_by_schedule(struct engine_thread *thread) {
  while (thread->free_slots > 0 && thread->asked < thread->asked_max) {
    uint64_t due_ns = due_of(thread);
    if (due_ns > thread->now_ns || due_ns >= thread->end_ns)
      break;
    struct engine_connection *connection = choose(thread);
    if (!connection)
      break;
    ask(connection, due_ns);
  }
  may_ask(thread);
}

static void flush_all(struct engine_thread *thread) {
  while (thread->unwritten_count > 0)
    engine_flush(thread->unwritten[--thread->unwritten_count]);
}

void engine_pump(struct engine_thread *thread, struct engine_connection *connection) {
  if (thread->is_asking && thread->step_ns == 0)
    fill(connection);
  else if (thread->is_asking && due_of(thread) <= thread->now_ns)
    fill_by_schedule(thread);
  flush_all(thread);
  engine_flush(connection); /* the next steps of lookups too */
}

/* ---- time ---- */

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

void engine_arm(struct engine_thread *thread) {
  uint64_t next_ns = UINT64_MAX;
  if (thread->is_asking) {
    next_ns = thread->end_ns;
    if (thread->step_ns > 0 && thread->free_slots > 0)
      next_ns = least(next_ns, due_of(thread));
    /* Slots that were answered without anything being sent: no event will come of them. */
    if (thread->step_ns == 0 && thread->busy_slots == 0)
      next_ns = thread->now_ns;
  }
  if (thread->oldest)
    next_ns = least(next_ns, (thread->oldest->sent_ns ? thread->oldest->sent_ns : thread->now_ns) +
                                 thread->engine->timeout_ns);
  /* A timer that fires too early is set anew then, which spares a system call an answer. */
  if (next_ns >= thread->armed_ns)
    return;
  thread->armed_ns = next_ns;
  struct itimerspec when = {.it_value = {(time_t)(next_ns / NS_PER_S), (long)(next_ns % NS_PER_S)}};
  timerfd_settime(thread->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void give_up_old(struct engine_thread *thread) {
  struct engine_slot *slot;
  while ((slot = thread->oldest) != NULL && slot->sent_ns &&
         slot->sent_ns + thread->engine->timeout_ns <= thread->now_ns) {
    thread->run.timeouts++;
    thread->engine->target->kind->forget(slot->connection->session, slot->number);
    engine_release(slot);
  }
}

static void pass_intervals(struct engine_thread *thread) {
  uint64_t length_ns = (uint64_t)(thread->engine->options->interval_s * NS_PER_S);
  while (thread->now_ns < thread->end_ns &&
         thread->now_ns >= thread->engine->start_ns + (thread->interval_at + 1) * length_ns)
    intervals_add(thread->engine->intervals, thread->interval_at++, thread->run.latency, thread->before);
}

void engine_settle(struct engine_thread *thread) {
  atomic_store_explicit(&thread->completed, thread->run.completed, memory_order_relaxed);
  pass_intervals(thread);
  if (!thread->is_asking && thread->busy_slots == 0)
    ev_break(thread->loop, EVBREAK_ALL);
  else
    engine_arm(thread);
}

static void on_timer(struct ev_loop *loop, struct ev_io *watcher, int events) {
  (void)loop;
  (void)events;
  struct engine_thread *thread = watcher->data;
  uint64_t fired;
  if (read(thread->timer_fd, &fired, sizeof fired) < 0 && errno == EAGAIN)
    return;
  thread->armed_ns = UINT64_MAX;
  thread->now_ns = engine_clock_ns();
  give_up_old(thread);
  if (thread->step_ns > 0 && thread->is_asking)
    fill_by_schedule(thread);
  flush_all(thread);
  for (unsigned i = 0; thread->step_ns == 0 && i < thread->connection_count; i++)
    if (thread->is_asking && thread->connections[i].fd >= 0) {
      fill(&thread->connections[i]);
      engine_flush(&thread->connections[i]);
    }
  engine_settle(thread);
}

static void on_stop(struct ev_loop *loop, struct ev_async *watcher, int events) {
  (void)events;
  struct engine_thread *thread = watcher->data;
  thread->now_ns = engine_clock_ns();
  thread->is_asking = false;
  thread->is_aborted = true;
  ev_break(loop, EVBREAK_ALL);
}

/* ---- a thread ---- */

/* What was due before the end and found no slot. */
static void count_unasked(struct engine_thread *thread) {
  if (thread->step_ns == 0 || thread->is_aborted || thread->asked >= thread->asked_max)
    return;
  double due = ceil(((double)thread->end_ns - thread->first_ns) / thread->step_ns);
  if (due <= (double)thread->asked)
    return;
  uint64_t unasked = (uint64_t)due - thread->asked;
  if (unasked > thread->asked_max - thread->asked)
    unasked = thread->asked_max - thread->asked;
  thread->run.sent += unasked;
  thread->run.errors += unasked;
}

static void run_loop(struct engine_thread *thread) {
  ev_io_init(&thread->timer, on_timer, thread->timer_fd, EV_READ);
  thread->timer.data = thread;
  ev_io_start(thread->loop, &thread->timer);
  for (unsigned i = 0; i < thread->connection_count; i++)
    engine_start_io(&thread->connections[i]);
  thread->armed_ns = thread->engine->start_ns;
  struct itimerspec when = {
      .it_value = {(time_t)(thread->armed_ns / NS_PER_S), (long)(thread->armed_ns % NS_PER_S)}};
  timerfd_settime(thread->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
  if (!atomic_load(&thread->engine->is_stopped))
    ev_run(thread->loop, 0);
  /* After an end from outside nobody waits for these any more: they are neither answered nor lost. */
  thread->run.sent -= thread->busy_slots;
  count_unasked(thread);
  intervals_add(thread->engine->intervals, thread->interval_at, thread->run.latency, thread->before);
}

void *engine_thread_main(void *context) {
  struct engine_thread *thread = context;
  struct engine *engine = thread->engine;
  if (engine->options->cpus)
    pthread_setaffinity_np(pthread_self(), sizeof *engine->options->cpus, engine->options->cpus);
  struct procstat_thread before = {0}, after = {0};
  bool is_known = procstat_read_thread(&before) == 0;
  run_loop(thread);
  if (is_known && procstat_read_thread(&after) == 0) {
    thread->cpu_ns = after.run_ns - before.run_ns;
    thread->wait_ns = after.wait_ns - before.wait_ns;
  }
  atomic_fetch_sub(&engine->running, 1);
  eventfd_write(engine->finished_fd, 1);
  return NULL;
}

int engine_thread_init(struct engine_thread *thread) {
  thread->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (thread->timer_fd < 0)
    return errno;
  thread->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  thread->input = malloc(ENGINE_INPUT_SIZE);
  thread->before = malloc(sizeof *thread->before);
  result_run_init(&thread->run);
  if (!thread->loop || !thread->input || !thread->before || !thread->run.latency || !thread->run.service)
    return ENOMEM;
  histogram_init(thread->before);
  ev_async_init(&thread->stopper, on_stop);
  thread->stopper.data = thread;
  ev_async_start(thread->loop, &thread->stopper);
  thread->armed_ns = UINT64_MAX;
  thread->is_asking = true;
  return 0;
}

void engine_thread_fini(struct engine_thread *thread) {
  for (unsigned i = 0; i < thread->connection_count; i++)
    engine_connection_fini(&thread->connections[i]);
  free(thread->connections);
  free(thread->unwritten);
  free(thread->input);
  free(thread->before);
  result_run_fini(&thread->run);
  if (thread->loop)
    ev_loop_destroy(thread->loop);
  if (thread->timer_fd >= 0)
    close(thread->timer_fd);
}
