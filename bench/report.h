/*
 * report: a session as text, JSON, CSV, HdrHistogram text or a page.
 *
 * All of them print any session: without targets, without runs, with runs that ended early or without
 * histograms. Figures over several runs are those of result.h (median, least and most; counts are sums).
 * Labels, commands and all other text are arbitrary octets: what is not UTF-8 becomes U+FFFD, and no text
 * leaves the place it has (no control character reaches a terminal; JSON, CSV and HTML are escaped). None of
 * them writes to the session.
 *
 * JSON: one object; keys are never renamed or removed, new ones may come. Times are microseconds (_us),
 * seconds (_s); shares are 0 to 1; a spread is {"median", "least", "most"}; null is "not known".
 *
 *   format       1
 *   environment  {cpu, kernel, cores, started_at, version, command, queries, queries_hash}: text
 *   mode         "closed" (each answer brings the next question) or "open" (a fixed rate)
 *   rate         of the open loop, lookups a second; null in the closed loop and with find_max
 *   find_max     the condition searched for, or null
 *   baseline     index into targets; null without targets
 *   warnings     [text]
 *   targets      [target]
 *
 *   target       name          of the option name=, or ""
 *                label         as given with -s
 *                repeated      disturbed runs measured again
 *                held_rate     of find_max, or null
 *                sent, completed, timeouts, errors, wrong, verified, length_s
 *                rss_before_bytes, rss_after_bytes     or null
 *                disturbed, client_bound, partial      numbers of runs
 *                kinds         {NAME: count}, the most frequent first
 *                figures       {rate, server_cpu_us, client_cpu_us, mean_us, loss}: spreads
 *                latency, service  {p50_us, p90_us, p95_us, p99_us, p99_9_us, p99_99_us: spreads; max_us}
 *                ratios        {rate, server_cpu, p50, p99}: spreads of the run-by-run ratio to the baseline
 *                runs          [run]
 *
 *   run          length_s, sent, completed, timeouts, errors, wrong, verified, request_bytes, reply_bytes,
 * rate kinds         as above latency, service  {count, min_us, mean_us, deviation_us, p50_us ... p99_99_us,
 * max_us} server        {cpu_s, cpu_us, rss_before_bytes, rss_after_bytes}; null: not on this machine client
 * {cpu_s, cpu_us} steal_s, wait_s, disturbed, client_bound, partial, error (text or null) intervals [{at_s,
 * length_s, completed, rate, p50_us, p99_us, max_us}]
 *
 * CSV: a head line, then a line for each run (RFC 4180 quoting, ends of line \n; empty is "not known");
 * columns are only ever added at the right end.
 */
#ifndef MXWAY_BENCH_REPORT_H
#define MXWAY_BENCH_REPORT_H

#include <stdio.h>

#include "result.h"

/* Each returns 0, or -1 with errno: ENOMEM, or what writing met. */

/* For people, at most 100 columns wide where labels are not longer. */
int report_text(const struct result_session *session, FILE *out);
int report_json(const struct result_session *session, FILE *out);
int report_csv(const struct result_session *session, FILE *out);

/* The latencies of all runs of one target together, as HdrHistogram prints percentiles, in microseconds. */
int report_hgrm(const struct result_target *target, FILE *out);

/* Writes one self-contained page to `path`, over what is there. */
int report_html(const struct result_session *session, const char *path);

/* ---- parts that the reports share ---- */

/* The quantiles of every report, lowest first. */
enum { REPORT_QUANTILES = 6 };
extern const struct report_quantile {
  double quantile;
  const char *name; /* "p99.9" */
  const char *key;  /* of JSON and CSV: "p99_9_us" */
} report_quantiles[REPORT_QUANTILES];

/* Calls `warn` with each sentence that a reader of a target's figures has to know: it ended early and why,
 * the generator was the bottleneck, runs were disturbed, answers were wrong. */
typedef void report_warn_fn(void *context, const struct result_target *target, const char *sentence);
void report_warnings(const struct result_target *target, report_warn_fn *warn, void *context);

/* 0 where all that was printed has left the buffer, or -1 with errno. */
int report_flush(FILE *out);

#endif
