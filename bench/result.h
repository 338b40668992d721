/*
 * result: what a run measured, for the reports.
 *
 * A run is one target for one stretch of time. A session is all runs of one call: each target
 * --runs times, interleaved. Plain data; owned by whoever made it.
 */
#ifndef MXWAY_BENCH_RESULT_H
#define MXWAY_BENCH_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

enum { RESULT_LABEL_SIZE = 128, RESULT_KINDS_MAX = 40, RESULT_TEXT_SIZE = 256 };

/* One stretch of -S seconds. */
struct result_interval {
  double at_s, length_s; /* since the run's start */
  uint64_t completed;
  uint64_t p50_ns, p99_ns, max_ns;
};

/* How often one kind of answer came: "ROUTE", "NXDOMAIN", "hit", ... */
struct result_kind {
  char name[32];
  uint64_t count;
};

struct result_run {
  double length_s;
  uint64_t sent, completed, timeouts, errors; /* errors: connection lost, garbage */
  uint64_t wrong, verified;                   /* of --verify */
  uint64_t request_bytes, reply_bytes;
  size_t kind_count;
  struct result_kind kinds[RESULT_KINDS_MAX];
  struct histogram *latency; /* from the moment it was scheduled (open loop) or sent */
  struct histogram *service; /* from the moment it was sent */
  size_t interval_count;
  struct result_interval *intervals;
  /* The server's process, where it is on this machine; else has_server is false. */
  bool has_server;
  double server_cpu_s;
  uint64_t server_rss_before_bytes, server_rss_after_bytes;
  /* The generator, and what disturbed the run. */
  double client_cpu_s, steal_s, wait_s; /* wait: runnable but not running, of all threads involved */
  bool is_disturbed, is_client_bound, is_partial;
  char error[RESULT_TEXT_SIZE]; /* why it ended early; "" otherwise */
};

struct result_target {
  char label[RESULT_LABEL_SIZE]; /* as given with -s */
  size_t run_count;
  struct result_run *runs;
};

struct result_environment {
  char cpu[RESULT_TEXT_SIZE], kernel[RESULT_TEXT_SIZE], host_cores[32], started_at[40];
  char version[64], command[1024], queries[RESULT_TEXT_SIZE], queries_hash[32];
};

struct result_session {
  struct result_environment environment;
  size_t target_count, baseline; /* ratios are to targets[baseline] */
  struct result_target *targets;
  bool is_open_loop;
  double rate; /* of the open loop, queries a second */
};

/* A run without anything measured yet; NULL histograms on no memory. */
void result_run_init(struct result_run *run);
void result_run_fini(struct result_run *run);

/* Counts one answer of a kind; beyond RESULT_KINDS_MAX kinds it counts as "other". */
void result_count_kind(struct result_run *run, const char *kind, uint64_t count);

/* Figures of a target over its runs. */
enum result_figure {
  FIGURE_RATE,       /* completed a second */
  FIGURE_SERVER_CPU, /* server CPU microseconds a lookup; NAN where unknown */
  FIGURE_P50,        /* latency, microseconds */
  FIGURE_P99,
  FIGURE_P999,
  FIGURE_LOSS, /* share of sent that timed out or failed */
};

struct result_spread {
  double median, least, most;
};

struct result_spread result_figure(const struct result_target *target, enum result_figure figure);

/* The same as the ratio to the baseline's, run by run. */
struct result_spread result_ratio(const struct result_target *target, const struct result_target *baseline,
                                  enum result_figure figure);

#endif
