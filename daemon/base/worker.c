#include "base/worker.h"

#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

enum stage { STAGE_RUNNING, STAGE_STOPPING, STAGE_ENDING };

static void on_nudge(struct ev_loop *loop, ev_async *nudge, int events) {
  (void)events;
  struct worker *worker = nudge->data;
  if (atomic_load(&worker->stage) == STAGE_ENDING)
    ev_break(loop, EVBREAK_ALL);
  else
    worker->on_stop(worker->context);
}

int worker_init(struct worker *worker, worker_stop_fn *on_stop, void *context) {
  worker->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  if (!worker->loop)
    return ERR_SYSTEM;
  worker->on_stop = on_stop;
  worker->context = context;
  ev_async_init(&worker->nudge, on_nudge);
  worker->nudge.data = worker;
  ev_async_start(worker->loop, &worker->nudge);
  stats_register(&worker->stats);
  return 0;
}

/* What sched_setattr(2) takes, which not every libc declares. */
struct scheduling {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime_ns, deadline_ns, period_ns;
};

/* Linux 6.12 and newer let a thread with a shorter slice run as soon as it wakes up, before one with a longer
 * one, and take the same share from it; older ones ignore it. */
static void shorten_slice(void) {
  struct scheduling scheduling = {.size = sizeof(scheduling)};
  if (syscall(SYS_sched_getattr, 0, &scheduling, sizeof(scheduling), 0) != 0 ||
      scheduling.policy != SCHED_OTHER)
    return;
  scheduling.runtime_ns = WORKER_SLICE_NS;
  (void)syscall(SYS_sched_setattr, 0, &scheduling, 0); /* if not, it waits longer for its core */
}

static void *run(void *context) {
  struct worker *worker = context;
  if (worker->is_prompt)
    shorten_slice();
  ev_run(worker->loop, 0);
  return NULL;
}

int worker_start(struct worker *worker, const char *name) {
  int error = pthread_create(&worker->thread, NULL, run, worker);
  if (error != 0) {
    log_error("cannot start a thread: %s", strerror(error));
    return ERR_SYSTEM;
  }
  pthread_setname_np(worker->thread, name);
  worker->is_started = true;
  return 0;
}

bool worker_is_started(const struct worker *worker) { return worker->is_started; }

bool worker_is_stopping(struct worker *worker) {
  return atomic_load_explicit(&worker->stage, memory_order_relaxed) != STAGE_RUNNING;
}

static void nudge(struct worker *worker, enum stage stage) {
  atomic_store(&worker->stage, stage);
  ev_async_send(worker->loop, &worker->nudge);
}

void worker_stop(struct worker *worker) {
  if (worker->is_started)
    nudge(worker, STAGE_STOPPING);
}

void worker_end(struct worker *worker) {
  if (!worker->is_started)
    return;
  nudge(worker, STAGE_ENDING);
  pthread_join(worker->thread, NULL);
  worker->is_started = false;
}

void worker_fini(struct worker *worker) {
  if (worker->loop)
    ev_loop_destroy(worker->loop);
  worker->loop = NULL;
}
