/*
 * engine: asks a target for a stretch of time and measures.
 *
 * Each thread has a loop of its own with its share of the connections, the rate and the queries; while
 * running, threads share counters of progress, and once an interval a lock.
 *
 * Closed loop (rate 0): a slot that has its answer asks again at once, so the server decides the rate.
 * Latency and service time are the same, and a server that stalls is hardly seen: nobody asks meanwhile.
 *
 * Open loop: questions are due on a fixed schedule, thread t of n shifted by t/n of a step. Latency counts
 * from the moment a question was due, service time from its sending. When all slots are taken the
 * schedule goes on and questions wait for a slot: there is no coordinated omission. What was due before
 * the end and found no slot until then counts as sent and as an error.
 *
 * A question without an answer for timeout_s after its sending is forgotten and counts as a timeout; its late
 * answer is ignored. A lost connection is made again, its questions count as errors; where that
 * fails, or a connection is lost before it has given one answer, the run ends with result_run.error.
 *
 * Time: CLOCK_MONOTONIC in nanoseconds, read once for what arrived together and once for
 * what is sent together.
 */
#ifndef MXWAY_BENCH_ENGINE_H
#define MXWAY_BENCH_ENGINE_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "queries.h"
#include "result.h"
#include "target.h"
#include "verify.h"

enum { ENGINE_THREADS_MAX = 256, ENGINE_CONNECTIONS_MAX = 65536, ENGINE_OUTSTANDING_MAX = 16384 };

struct engine_options {
  unsigned threads, connections; /* of all threads; no more threads run than there are connections */
  unsigned outstanding;          /* of one connection */
  double rate;                   /* questions a second of all threads; 0: closed loop */
  double length_s;               /* 0: no end by time */
  uint64_t passes, lookups_max;  /* of the queries, lookups of all threads; 0: no end by number */
  double timeout_s, interval_s;
  uint64_t round;        /* of the session, see query_cursor_init */
  const cpu_set_t *cpus; /* of the generator's threads; NULL: any */
  struct verify *verify; /* NULL: nothing is verified */
  uint64_t verify_every; /* every so many lookups one is verified */
  /* Called ten times a second; false ends the run, which then counts as partial. */
  bool (*on_tick)(void *context, double elapsed_s, uint64_t completed);
  void *context;
};

/* Runs and fills `run`, which was made by result_run_init. Returns 0, or -1 where the run
 * ended early by an error: run->error says why, the rest of `run` is what was measured until then. */
int engine_run(const struct target *target, const struct queries *queries,
               const struct engine_options *options, struct result_run *run);

#endif
