/*
 * worker: a thread with a loop of its own, and counters.
 *
 * Made in place, started, told to stop and ended by the thread that owns it; whatever runs on the loop is the
 * owner's, and is attached before the start and destroyed between the end and worker_fini. Stopping has two
 * steps: `on_stop` lets what is under way finish while the loop goes on; worker_end breaks the loop and waits
 * for the thread.
 */
#ifndef MXWAY_DAEMON_WORKER_H
#define MXWAY_DAEMON_WORKER_H

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/stats.h"

enum { WORKER_SLICE_NS = 100000 };

/* In the worker's thread, after worker_stop; several of those may be one call. */
typedef void worker_stop_fn(void *context);

struct worker {
  struct ev_loop *loop; /* NULL: not made */
  struct stats stats;
  bool is_prompt; /* set before the start: others of this process that are at work let it run when it wakes up
                   */
  /* Of this room. */
  pthread_t thread;
  bool is_started;
  ev_async nudge; /* look at `stage` */
  _Atomic int stage;
  worker_stop_fn *on_stop;
  void *context;
};

/* Makes the loop, and registers the counters (stats_forget_all before they go). `worker` is zeroed, and stays
 * where it is. Returns 0 or ERR_SYSTEM. */
int worker_init(struct worker *worker, worker_stop_fn *on_stop, void *context);

/* Runs the loop in a thread called `name` (at most 15 octets). Returns 0; or ERR_SYSTEM, which is logged. */
int worker_start(struct worker *worker, const char *name);

bool worker_is_started(const struct worker *worker);

/* In any thread: whether worker_stop has been called. */
bool worker_is_stopping(struct worker *worker);

/* Has `on_stop` called; one that does not run is left alone. */
void worker_stop(struct worker *worker);

/* Ends the thread, and waits for that; one that does not run is left alone. */
void worker_end(struct worker *worker);

/* Destroys the loop. Not while it runs; fine with one that is zeroed. */
void worker_fini(struct worker *worker);

#endif
