/*
 * Sessions made up for the tests of the reports: the figures are plausible, and the same each time.
 */
#ifndef MXWAY_TESTS_MADE_RESULTS_H
#define MXWAY_TESTS_MADE_RESULTS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "result.h"

/* What a made target is like. */
struct made_target {
  const char *label;
  double rate, latency_us, server_cpu_us; /* server_cpu_us NAN: elsewhere */
};

static inline uint64_t made_random(uint64_t *state) {
  *state += 0x9e3779b97f4a7c15;
  uint64_t z = *state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

static inline double made_unit(uint64_t *state) {
  return ((double)(made_random(state) >> 11) + 0.5) / 9007199254740992.0;
}

static inline void made_intervals(struct result_run *run, double rate, uint64_t *random) {
  run->interval_count = 10;
  run->intervals = calloc(run->interval_count, sizeof *run->intervals);
  if (!run->intervals)
    abort();
  for (size_t i = 0; i < run->interval_count; i++) {
    double share = 0.96 + 0.08 * made_unit(random);
    run->intervals[i] = (struct result_interval){.at_s = (double)i,
                                                 .length_s = 1,
                                                 .completed = (uint64_t)(rate * share),
                                                 .p50_ns = 50000,
                                                 .p99_ns = 700000,
                                                 .max_ns = 2000000};
  }
}

static inline void made_run(struct result_run *run, const struct made_target *like, uint64_t *random) {
  result_run_init(run);
  if (!run->latency || !run->service)
    abort();
  double rate = like->rate * (0.97 + 0.06 * made_unit(random));
  run->length_s = 10;
  run->completed = (uint64_t)(rate * run->length_s);
  run->sent = run->completed + 12;
  run->timeouts = 9;
  run->errors = 3;
  run->request_bytes = run->sent * 30;
  run->reply_bytes = run->completed * 255;
  result_count_kind(run, "ROUTE", run->completed / 100 * 97);
  result_count_kind(run, "NO_SUCH_DOMAIN", run->completed - run->completed / 100 * 97);
  for (int i = 0; i < 20000; i++) {
    /* Log-normal by the sum of twelve, with a tail of one in 500. */
    double normal = -6;
    for (int j = 0; j < 12; j++)
      normal += made_unit(random);
    double us = like->latency_us * exp(0.35 * normal) * (made_random(random) % 500 == 0 ? 12 : 1);
    histogram_record(run->service, (uint64_t)(us * 700));
    histogram_record(run->latency, (uint64_t)(us * 1000));
  }
  made_intervals(run, rate, random);
  run->client_cpu_s = 8.5;
  if (!isnan(like->server_cpu_us)) {
    run->has_server = true;
    run->server_cpu_s =
        like->server_cpu_us * (0.98 + 0.04 * made_unit(random)) * (double)run->completed / 1e6;
    run->server_rss_before_bytes = 200 << 20;
    run->server_rss_after_bytes = 201 << 20;
  }
}

/* Fills a session that made_session_free takes. */
static inline void made_session(struct result_session *session, const struct made_target *like,
                                size_t target_count, size_t run_count) {
  uint64_t random = 7;
  memset(session, 0, sizeof *session);
  session->target_count = target_count;
  session->targets = calloc(target_count + 1, sizeof *session->targets);
  if (!session->targets)
    abort();
  for (size_t i = 0; i < target_count; i++) {
    struct result_target *target = &session->targets[i];
    snprintf(target->label, sizeof target->label, "%s", like[i].label);
    target->run_count = run_count;
    target->runs = calloc(run_count + 1, sizeof *target->runs);
    if (!target->runs)
      abort();
    for (size_t j = 0; j < run_count; j++)
      made_run(&target->runs[j], &like[i], &random);
  }
  struct result_environment *environment = &session->environment;
  snprintf(environment->cpu, sizeof environment->cpu, "AMD EPYC 7B13, 2 threads");
  snprintf(environment->kernel, sizeof environment->kernel, "Linux 6.1.0-28-amd64");
  snprintf(environment->host_cores, sizeof environment->host_cores, "2");
  snprintf(environment->started_at, sizeof environment->started_at, "2026-11-23 08:30:00 UTC");
  snprintf(environment->version, sizeof environment->version, "mxway-bench 0.1.0");
  snprintf(environment->command, sizeof environment->command,
           "mxway-bench -s mxway:/run/mxway/lookup.sock -s redis:/run/redis.sock -s dns:127.0.0.1:5353,full "
           "-s null --gen zipf:s=1.0,n=1000000 -c 64 -q 64 --runs 5 -l 10");
  snprintf(environment->queries, sizeof environment->queries, "zipf:s=1.0,n=1000000, seed 1");
  snprintf(environment->queries_hash, sizeof environment->queries_hash, "4f1c2a9be07d5538");
}

static inline void made_session_free(struct result_session *session) {
  for (size_t i = 0; i < session->target_count; i++) {
    for (size_t j = 0; j < session->targets[i].run_count; j++)
      result_run_fini(&session->targets[i].runs[j]);
    free(session->targets[i].runs);
  }
  free(session->targets);
}

/* Four targets as bench/run hit has them. */
static const struct made_target made_four[] = {
    {"mxway:/run/mxway/lookup.sock", 1240000, 51, 0.41},
    {"redis:/run/redis/redis.sock", 610000, 104, 1.43},
    {"dns:127.0.0.1:5353,full", 39500, 1540, 21.6},
    {"null", 1730000, 37, 0.27},
};

#endif
