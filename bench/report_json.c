#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tool_utf8.h"

enum { FORMAT = 1, DIGITS = 9 };

/* One failure (only memory can) spoils the whole object, so that nothing has to be checked on the way. */
struct builder {
  bool has_failed;
  const struct result_session *session;
};

static void put(struct builder *builder, json_t *object, const char *key, json_t *value) {
  if (json_object_set_new(object, key, value) != 0)
    builder->has_failed = true;
}

static void append(struct builder *builder, json_t *array, json_t *value) {
  if (json_array_append_new(array, value) != 0)
    builder->has_failed = true;
}

static char *repaired(const char *text) {
  size_t length;
  return tool_utf8_repair(text, strlen(text), false, &length);
}

static json_t *text_value(const char *text) {
  char *good = repaired(text);
  json_t *value = good ? json_string(good) : NULL;
  free(good);
  return value;
}

static json_t *real(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *count_value(uint64_t count) { return json_integer((json_int_t)count); }

static void put_text(struct builder *builder, json_t *object, const char *key, const char *text) {
  put(builder, object, key, text_value(text));
}

static void put_count(struct builder *builder, json_t *object, const char *key, uint64_t count) {
  put(builder, object, key, count_value(count));
}

static json_t *spread_value(struct builder *builder, struct result_spread spread) {
  json_t *object = json_object();
  put(builder, object, "median", real(spread.median));
  put(builder, object, "least", real(spread.least));
  put(builder, object, "most", real(spread.most));
  return object;
}

static json_t *kinds_value(struct builder *builder, const struct result_kind *kinds, size_t kind_count) {
  json_t *object = json_object();
  for (size_t i = 0; i < kind_count; i++) {
    char *name = repaired(kinds[i].name);
    put(builder, object, name, count_value(kinds[i].count));
    free(name);
  }
  return object;
}

static json_t *run_latency(struct builder *builder, const struct result_run *run, enum result_series series) {
  const struct histogram *histogram = series == SERIES_LATENCY ? run->latency : run->service;
  bool is_known = histogram && histogram->count > 0;
  json_t *object = json_object();
  put_count(builder, object, "count", is_known ? histogram->count : 0);
  put(builder, object, "min_us", real(is_known ? (double)histogram->min_ns / 1e3 : NAN));
  put(builder, object, "mean_us", real(is_known ? histogram_mean(histogram) / 1e3 : NAN));
  put(builder, object, "deviation_us", real(is_known ? histogram_deviation(histogram) / 1e3 : NAN));
  for (size_t i = 0; i < REPORT_QUANTILES; i++)
    put(builder, object, report_quantiles[i].key,
        real(result_run_quantile(run, series, report_quantiles[i].quantile)));
  put(builder, object, "max_us", real(result_run_quantile(run, series, 1)));
  return object;
}

static json_t *server_value(struct builder *builder, const struct result_run *run) {
  if (!run->has_server)
    return json_null();
  json_t *object = json_object();
  put(builder, object, "cpu_s", real(run->server_cpu_s));
  put(builder, object, "cpu_us", real(result_run_figure(run, FIGURE_SERVER_CPU)));
  put_count(builder, object, "rss_before_bytes", run->server_rss_before_bytes);
  put_count(builder, object, "rss_after_bytes", run->server_rss_after_bytes);
  return object;
}

static json_t *client_value(struct builder *builder, const struct result_run *run) {
  json_t *object = json_object();
  put(builder, object, "cpu_s", real(run->client_cpu_s));
  put(builder, object, "cpu_us", real(result_run_figure(run, FIGURE_CLIENT_CPU)));
  return object;
}

static json_t *intervals_value(struct builder *builder, const struct result_run *run) {
  json_t *array = json_array();
  for (size_t i = 0; i < run->interval_count; i++) {
    const struct result_interval *interval = &run->intervals[i];
    json_t *object = json_object();
    put(builder, object, "at_s", real(interval->at_s));
    put(builder, object, "length_s", real(interval->length_s));
    put_count(builder, object, "completed", interval->completed);
    put(builder, object, "rate", real((double)interval->completed / interval->length_s));
    put(builder, object, "p50_us", real((double)interval->p50_ns / 1e3));
    put(builder, object, "p99_us", real((double)interval->p99_ns / 1e3));
    put(builder, object, "max_us", real((double)interval->max_ns / 1e3));
    append(builder, array, object);
  }
  return array;
}

static json_t *run_value(struct builder *builder, const struct result_run *run) {
  json_t *object = json_object();
  put(builder, object, "length_s", real(run->length_s));
  put_count(builder, object, "sent", run->sent);
  put_count(builder, object, "completed", run->completed);
  put_count(builder, object, "timeouts", run->timeouts);
  put_count(builder, object, "errors", run->errors);
  put_count(builder, object, "wrong", run->wrong);
  put_count(builder, object, "verified", run->verified);
  put_count(builder, object, "request_bytes", run->request_bytes);
  put_count(builder, object, "reply_bytes", run->reply_bytes);
  put(builder, object, "rate", real(result_run_figure(run, FIGURE_RATE)));
  put(builder, object, "kinds", kinds_value(builder, run->kinds, run->kind_count));
  put(builder, object, "latency", run_latency(builder, run, SERIES_LATENCY));
  put(builder, object, "service", run_latency(builder, run, SERIES_SERVICE));
  put(builder, object, "server", server_value(builder, run));
  put(builder, object, "client", client_value(builder, run));
  put(builder, object, "steal_s", real(run->steal_s));
  put(builder, object, "wait_s", real(run->wait_s));
  put(builder, object, "disturbed", json_boolean(run->is_disturbed));
  put(builder, object, "client_bound", json_boolean(run->is_client_bound));
  put(builder, object, "partial", json_boolean(run->is_partial));
  put(builder, object, "error", run->error[0] ? text_value(run->error) : json_null());
  put(builder, object, "intervals", intervals_value(builder, run));
  return object;
}

static json_t *figures_value(struct builder *builder, const struct result_target *target) {
  json_t *object = json_object();
  put(builder, object, "rate", spread_value(builder, result_figure(target, FIGURE_RATE)));
  put(builder, object, "server_cpu_us", spread_value(builder, result_figure(target, FIGURE_SERVER_CPU)));
  put(builder, object, "client_cpu_us", spread_value(builder, result_figure(target, FIGURE_CLIENT_CPU)));
  put(builder, object, "mean_us", spread_value(builder, result_figure(target, FIGURE_MEAN)));
  put(builder, object, "loss", spread_value(builder, result_figure(target, FIGURE_LOSS)));
  return object;
}

static json_t *latency_value(struct builder *builder, const struct result_target *target,
                             enum result_series series, double max_us) {
  json_t *object = json_object();
  for (size_t i = 0; i < REPORT_QUANTILES; i++)
    put(builder, object, report_quantiles[i].key,
        spread_value(builder, result_quantile(target, series, report_quantiles[i].quantile)));
  put(builder, object, "max_us", real(max_us));
  return object;
}

static json_t *ratios_value(struct builder *builder, const struct result_target *target) {
  const struct result_target *baseline = &builder->session->targets[builder->session->baseline];
  json_t *object = json_object();
  put(builder, object, "rate", spread_value(builder, result_ratio(target, baseline, FIGURE_RATE)));
  put(builder, object, "server_cpu",
      spread_value(builder, result_ratio(target, baseline, FIGURE_SERVER_CPU)));
  put(builder, object, "p50", spread_value(builder, result_ratio(target, baseline, FIGURE_P50)));
  put(builder, object, "p99", spread_value(builder, result_ratio(target, baseline, FIGURE_P99)));
  return object;
}

static void put_totals(struct builder *builder, json_t *object, const struct result_totals *totals) {
  put_count(builder, object, "sent", totals->sent);
  put_count(builder, object, "completed", totals->completed);
  put_count(builder, object, "timeouts", totals->timeouts);
  put_count(builder, object, "errors", totals->errors);
  put_count(builder, object, "wrong", totals->wrong);
  put_count(builder, object, "verified", totals->verified);
  put(builder, object, "length_s", real(totals->length_s));
  bool has_rss = totals->rss_after_bytes > 0;
  put(builder, object, "rss_before_bytes", has_rss ? count_value(totals->rss_before_bytes) : json_null());
  put(builder, object, "rss_after_bytes", has_rss ? count_value(totals->rss_after_bytes) : json_null());
  put_count(builder, object, "disturbed", totals->disturbed);
  put_count(builder, object, "client_bound", totals->client_bound);
  put_count(builder, object, "partial", totals->partial);
  put(builder, object, "kinds", kinds_value(builder, totals->kinds, totals->kind_count));
}

static json_t *target_value(struct builder *builder, const struct result_target *target) {
  struct result_totals totals;
  result_total(target, &totals);
  json_t *object = json_object();
  put_text(builder, object, "name", target->name);
  put_text(builder, object, "label", target->label);
  put_count(builder, object, "repeated", target->repeated_count);
  put(builder, object, "held_rate", target->held_rate > 0 ? real(target->held_rate) : json_null());
  put_totals(builder, object, &totals);
  put(builder, object, "figures", figures_value(builder, target));
  put(builder, object, "latency", latency_value(builder, target, SERIES_LATENCY, totals.max_us));
  put(builder, object, "service", latency_value(builder, target, SERIES_SERVICE, totals.service_max_us));
  put(builder, object, "ratios", ratios_value(builder, target));
  json_t *runs = json_array();
  put(builder, object, "runs", runs);
  for (size_t i = 0; i < target->run_count; i++)
    append(builder, runs, run_value(builder, &target->runs[i]));
  return object;
}

static json_t *environment_value(struct builder *builder) {
  const struct result_environment *environment = &builder->session->environment;
  json_t *object = json_object();
  put_text(builder, object, "cpu", environment->cpu);
  put_text(builder, object, "kernel", environment->kernel);
  put_text(builder, object, "cores", environment->host_cores);
  put_text(builder, object, "started_at", environment->started_at);
  put_text(builder, object, "version", environment->version);
  put_text(builder, object, "command", environment->command);
  put_text(builder, object, "queries", environment->queries);
  put_text(builder, object, "queries_hash", environment->queries_hash);
  return object;
}

struct warnings {
  struct builder *builder;
  json_t *array;
};

static void add_warning(void *context, const struct result_target *target, const char *sentence) {
  struct warnings *warnings = context;
  char text[RESULT_LABEL_SIZE + 512];
  snprintf(text, sizeof text, "%s: %s", target->label, sentence);
  append(warnings->builder, warnings->array, text_value(text));
}

static json_t *session_value(struct builder *builder) {
  const struct result_session *session = builder->session;
  struct warnings warnings = {builder, json_array()};
  json_t *object = json_object();
  put(builder, object, "format", json_integer(FORMAT));
  put(builder, object, "environment", environment_value(builder));
  put_text(builder, object, "mode", session->is_open_loop ? "open" : "closed");
  put(builder, object, "rate",
      session->is_open_loop && session->rate > 0 ? real(session->rate) : json_null());
  put(builder, object, "find_max", session->find_max[0] ? text_value(session->find_max) : json_null());
  put(builder, object, "baseline", session->target_count > 0 ? count_value(session->baseline) : json_null());
  put(builder, object, "warnings", warnings.array);
  json_t *targets = json_array();
  put(builder, object, "targets", targets);
  for (size_t i = 0; i < session->target_count; i++) {
    report_warnings(&session->targets[i], add_warning, &warnings);
    append(builder, targets, target_value(builder, &session->targets[i]));
  }
  return object;
}

int report_json(const struct result_session *session, FILE *out) {
  struct builder builder = {false, session};
  json_t *object = session_value(&builder);
  /* jansson gives up on a write that fails without a word about errno. */
  int status = -1;
  if (!object || builder.has_failed)
    errno = ENOMEM;
  else if (json_dumpf(object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(DIGITS)) == 0)
    status = fputc('\n', out) == EOF ? -1 : report_flush(out);
  else if (!ferror(out))
    errno = ENOMEM;
  json_decref(object);
  return status;
}
