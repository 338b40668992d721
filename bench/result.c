#include "result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void result_run_init(struct result_run *run) {
  memset(run, 0, sizeof *run);
  run->latency = malloc(sizeof *run->latency);
  run->service = malloc(sizeof *run->service);
  if (!run->latency || !run->service) {
    result_run_fini(run);
    return;
  }
  histogram_init(run->latency);
  histogram_init(run->service);
}

void result_run_fini(struct result_run *run) {
  free(run->latency);
  free(run->service);
  free(run->intervals);
  run->latency = NULL;
  run->service = NULL;
  run->intervals = NULL;
  run->interval_count = 0;
}

static struct result_kind *find_kind(struct result_kind *kinds, size_t kind_count, const char *name) {
  for (size_t i = 0; i < kind_count; i++)
    if (strcmp(kinds[i].name, name) == 0)
      return &kinds[i];
  return NULL;
}

static void count_kind(struct result_kind *kinds, size_t *kind_count, const char *name, uint64_t count) {
  char cut[sizeof kinds->name];
  snprintf(cut, sizeof cut, "%s", name);
  struct result_kind *kind = find_kind(kinds, *kind_count, cut);
  if (!kind && *kind_count >= RESULT_KINDS_MAX - 1) {
    snprintf(cut, sizeof cut, "other");
    kind = find_kind(kinds, *kind_count, cut);
  }
  if (!kind) {
    kind = &kinds[(*kind_count)++];
    memcpy(kind->name, cut, sizeof cut);
    kind->count = 0;
  }
  kind->count += count;
}

void result_count_kind(struct result_run *run, const char *kind, uint64_t count) {
  count_kind(run->kinds, &run->kind_count, kind, count);
}

static double divided(double dividend, double divisor) { return divisor > 0 ? dividend / divisor : NAN; }

double result_run_quantile(const struct result_run *run, enum result_series series, double quantile) {
  const struct histogram *histogram = series == SERIES_LATENCY ? run->latency : run->service;
  if (!histogram || histogram->count == 0)
    return NAN;
  return (double)histogram_quantile(histogram, quantile) / 1e3;
}

double result_run_figure(const struct result_run *run, enum result_figure figure) {
  switch (figure) {
  case FIGURE_RATE:
    return divided((double)run->completed, run->length_s);
  case FIGURE_SERVER_CPU:
    return run->has_server ? divided(run->server_cpu_s * 1e6, (double)run->completed) : NAN;
  case FIGURE_CLIENT_CPU:
    return divided(run->client_cpu_s * 1e6, (double)run->completed);
  case FIGURE_P50:
    return result_run_quantile(run, SERIES_LATENCY, 0.5);
  case FIGURE_P99:
    return result_run_quantile(run, SERIES_LATENCY, 0.99);
  case FIGURE_P999:
    return result_run_quantile(run, SERIES_LATENCY, 0.999);
  case FIGURE_MEAN:
    return run->latency && run->latency->count > 0 ? histogram_mean(run->latency) / 1e3 : NAN;
  case FIGURE_LOSS:
    return divided((double)(run->timeouts + run->errors), (double)run->sent);
  }
  return NAN;
}

static int compare_values(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* Sorts `values` after leaving out what is not known. */
static struct result_spread spread_of(double *values, size_t count) {
  size_t known = 0;
  for (size_t i = 0; i < count; i++)
    if (!isnan(values[i]))
      values[known++] = values[i];
  if (known == 0)
    return (struct result_spread){NAN, NAN, NAN};
  qsort(values, known, sizeof *values, compare_values);
  double median = known % 2 ? values[known / 2] : (values[known / 2 - 1] + values[known / 2]) / 2;
  return (struct result_spread){median, values[0], values[known - 1]};
}

static struct result_spread spread_and_free(double *values, size_t count) {
  struct result_spread spread = spread_of(values, values ? count : 0);
  free(values);
  return spread;
}

struct result_spread result_figure(const struct result_target *target, enum result_figure figure) {
  double *values = calloc(target->run_count + 1, sizeof *values);
  for (size_t i = 0; values && i < target->run_count; i++)
    values[i] = result_run_figure(&target->runs[i], figure);
  return spread_and_free(values, target->run_count);
}

struct result_spread result_ratio(const struct result_target *target, const struct result_target *baseline,
                                  enum result_figure figure) {
  size_t count = target->run_count < baseline->run_count ? target->run_count : baseline->run_count;
  double *values = calloc(count + 1, sizeof *values);
  for (size_t i = 0; values && i < count; i++)
    values[i] =
        divided(result_run_figure(&target->runs[i], figure), result_run_figure(&baseline->runs[i], figure));
  return spread_and_free(values, count);
}

struct result_spread result_quantile(const struct result_target *target, enum result_series series,
                                     double quantile) {
  double *values = calloc(target->run_count + 1, sizeof *values);
  for (size_t i = 0; values && i < target->run_count; i++)
    values[i] = result_run_quantile(&target->runs[i], series, quantile);
  return spread_and_free(values, target->run_count);
}

static int compare_kinds(const void *left, const void *right) {
  const struct result_kind *a = left, *b = right;
  if (a->count != b->count)
    return a->count < b->count ? 1 : -1;
  return strcmp(a->name, b->name);
}

static void total_run(struct result_totals *totals, const struct result_run *run) {
  totals->sent += run->sent;
  totals->completed += run->completed;
  totals->timeouts += run->timeouts;
  totals->errors += run->errors;
  totals->wrong += run->wrong;
  totals->verified += run->verified;
  totals->length_s += run->length_s;
  totals->steal_s += run->steal_s;
  totals->wait_s += run->wait_s;
  totals->disturbed += run->is_disturbed;
  totals->client_bound += run->is_client_bound;
  totals->partial += run->is_partial;
  totals->max_us = fmax(totals->max_us, result_run_quantile(run, SERIES_LATENCY, 1));
  totals->service_max_us = fmax(totals->service_max_us, result_run_quantile(run, SERIES_SERVICE, 1));
  if (run->has_server) {
    if (totals->rss_before_bytes == 0)
      totals->rss_before_bytes = run->server_rss_before_bytes;
    totals->rss_after_bytes = run->server_rss_after_bytes;
  }
  for (size_t i = 0; i < run->kind_count; i++)
    count_kind(totals->kinds, &totals->kind_count, run->kinds[i].name, run->kinds[i].count);
}

void result_total(const struct result_target *target, struct result_totals *totals) {
  /* fmax takes the other where one is NAN. */
  *totals = (struct result_totals){.max_us = NAN, .service_max_us = NAN};
  for (size_t i = 0; i < target->run_count; i++)
    total_run(totals, &target->runs[i]);
  qsort(totals->kinds, totals->kind_count, sizeof *totals->kinds, compare_kinds);
}
