/*
 * result: what a run measured, and the figures that the reports draw from it.
 *
 * A run is one target for one stretch of time. A session is all runs of one call: each target
 * --runs times, interleaved. Plain data; owned by whoever made it.
 *
 * Over several runs a figure is the median of the runs' own figures (one disturbed run does not move it), a
 * count is the sum, a maximum the greatest. What is not known is NAN: no server on this machine, nothing
 * completed, no run, division by zero. Runs where a figure is NAN are left out of its median.
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
  char name[64];                 /* as its option name= calls it; "" otherwise */
  char label[RESULT_LABEL_SIZE]; /* as given with -s */
  size_t run_count;
  struct result_run *runs;
  size_t repeated_count; /* disturbed runs that were thrown away and measured again; not in runs */
  double held_rate;      /* of --find-max: the highest that held; 0: none was searched, or none held */
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
  double rate; /* of the open loop, queries a second; 0: each target has its own (find_max) */
  char find_max[RESULT_TEXT_SIZE]; /* the condition of --find-max; "" where nothing is searched */
};

/* A run without anything measured yet; NULL histograms on no memory. */
void result_run_init(struct result_run *run);
void result_run_fini(struct result_run *run);

/* Counts answers of a kind; the last of RESULT_KINDS_MAX is "other", for all that have no place. */
void result_count_kind(struct result_run *run, const char *kind, uint64_t count);

/* Figures of a run, and of a target over its runs. */
enum result_figure {
  FIGURE_RATE,       /* completed a second */
  FIGURE_SERVER_CPU, /* server CPU microseconds a lookup; NAN where unknown */
  FIGURE_CLIENT_CPU, /* the generator's CPU microseconds a lookup */
  FIGURE_P50,        /* latency, microseconds */
  FIGURE_P99,
  FIGURE_P999,
  FIGURE_MEAN, /* latency, microseconds */
  FIGURE_LOSS, /* share of sent that timed out or failed */
};

struct result_spread {
  double median, least, most; /* all NAN where no run knows */
};

double result_run_figure(const struct result_run *run, enum result_figure figure);
struct result_spread result_figure(const struct result_target *target, enum result_figure figure);

/* The same as the ratio to the baseline's, run by run. */
struct result_spread result_ratio(const struct result_target *target, const struct result_target *baseline,
                                  enum result_figure figure);

/* A quantile (0 to 1) of latency or of service time, microseconds. */
enum result_series { SERIES_LATENCY, SERIES_SERVICE };
double result_run_quantile(const struct result_run *run, enum result_series series, double quantile);
struct result_spread result_quantile(const struct result_target *target, enum result_series series,
                                     double quantile);

/* The counts of all runs of a target together. */
struct result_totals {
  uint64_t sent, completed, timeouts, errors, wrong, verified;
  double length_s;                            /* of all runs */
  uint64_t rss_before_bytes, rss_after_bytes; /* before the first run, after the last; 0: unknown */
  double max_us;                              /* latency; NAN: nothing completed */
  double service_max_us;                      /* the same of service time */
  size_t disturbed, client_bound, partial;    /* runs */
  double steal_s, wait_s;
  size_t kind_count;
  struct result_kind kinds[RESULT_KINDS_MAX]; /* the most frequent first */
};
void result_total(const struct result_target *target, struct result_totals *totals);

#endif
