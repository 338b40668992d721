/*
 * engine_private: what the files of the engine share. engine.c makes threads and adds up, engine_thread.c
 * decides when to ask and when to give up, engine_io.c has the connections and their octets.
 */
#ifndef MXWAY_BENCH_ENGINE_PRIVATE_H
#define MXWAY_BENCH_ENGINE_PRIVATE_H

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

#include "engine.h"
#include "intervals.h"

enum { ENGINE_INPUT_SIZE = 2 * 1024 * 1024, ENGINE_DATAGRAMS = 64, ENGINE_DATAGRAM_SIZE = 8192 };

struct engine_slot {
  struct engine_slot *older, *newer; /* of the thread's busy slots, in the order of asking */
  struct engine_connection *connection;
  uint64_t due_ns, sent_ns;
  const struct verify_entry *expected; /* NULL: not to be verified */
  uint32_t number;
  bool is_busy;
};

struct engine_connection {
  struct engine_thread *thread;
  struct ev_io reader, writer;
  int fd;
  void *session; /* the target's */
  struct engine_slot *slots;
  uint32_t *free_slots, free_count; /* a stack */
  uint32_t *batch, batch_count;     /* asked, not yet written */
  uint8_t *out;                     /* datagrams each behind two octets of length */
  size_t out_length, out_size;
  uint8_t *rest; /* the beginning of an answer that has not arrived whole */
  size_t rest_length;
  uint64_t answers; /* since it was connected */
};

struct engine_kind {
  const char *name;
  uint64_t count;
};

struct engine_thread {
  struct engine *engine;
  pthread_t id;
  unsigned number;
  struct ev_loop *loop;
  struct ev_io timer;
  struct ev_async stopper;
  int timer_fd;
  uint64_t armed_ns; /* when timer_fd fires; UINT64_MAX: never */

  struct engine_connection *connections;
  unsigned connection_count, next_connection;
  /* Open loop: those with a batch, each once; written before the thread waits again. */
  struct engine_connection **unwritten;
  unsigned unwritten_count;
  uint64_t free_slots, busy_slots;
  struct engine_slot *oldest, *newest;

  struct query_cursor cursor;
  uint64_t asked, asked_max; /* asked <= asked_max */
  uint64_t verify_count;
  uint64_t now_ns, end_ns, last_answer_ns;
  double step_ns; /* of the schedule; 0: closed loop */
  double first_ns;
  bool is_asking, is_aborted;

  uint64_t interval_at;     /* number of the running interval */
  struct histogram *before; /* latency at its beginning */

  struct engine_kind kinds[RESULT_KINDS_MAX];
  size_t kind_count;
  struct result_run run;
  uint64_t cpu_ns, wait_ns;
  uint8_t *input;
  _Atomic uint64_t completed;
};

struct engine {
  const struct target *target;
  const struct engine_options *options;
  const struct queries *queries;
  struct engine_thread *threads;
  unsigned thread_count;
  uint64_t start_ns, timeout_ns;
  struct intervals *intervals;
  int finished_fd; /* an eventfd: a thread has ended */
  _Atomic unsigned running;
  _Atomic bool is_stopped; /* by an error or the caller */
};

uint64_t engine_clock_ns(void);

/* ---- engine_thread.c ---- */

/* Makes loop, timer and buffers; 0 or an errno. Fini also after a failed init, of a zeroed
 * thread whose timer_fd is -1. */
int engine_thread_init(struct engine_thread *thread);
void engine_thread_fini(struct engine_thread *thread);

/* What pthread_create runs. */
void *engine_thread_main(void *thread);

/* Asks as far as slots, schedule and limits allow on `connection` (closed loop) or any (open loop), and
 * writes. */
void engine_pump(struct engine_thread *thread, struct engine_connection *connection);

/* Sets the timer to what is next. */
void engine_arm(struct engine_thread *thread);

/* Takes what has been given up on off the busy slots. */
void engine_release(struct engine_slot *slot);

/* After a batch of answers: progress, and the end of what was only waited for. */
void engine_settle(struct engine_thread *thread);

/* Ends the run of all threads; the first error stays. */
void engine_fail(struct engine_thread *thread, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- engine_io.c ---- */

/* Connects; 0 or an errno. Requires the slots to be there. */
int engine_connect(struct engine_connection *connection);
int engine_connection_init(struct engine_connection *connection, struct engine_thread *thread);
void engine_connection_fini(struct engine_connection *connection);
void engine_start_io(struct engine_connection *connection);

/* Writes what is queued; the moment before is when its questions were sent. */
void engine_flush(struct engine_connection *connection);

#endif
