#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tool_utf8.h"

/* RFC 4180: quoted where it has to be, with each quote doubled. */
static void print_text(FILE *out, const char *text) {
  size_t length;
  char *good = tool_utf8_repair(text, strlen(text), true, &length);
  const char *printed = good ? good : "(out of memory)";
  bool is_quoted = strpbrk(printed, "\",") != NULL || *printed == ' ';
  if (is_quoted)
    fputc('"', out);
  for (const char *at = printed; *at; at++) {
    if (*at == '"')
      fputc('"', out);
    fputc(*at, out);
  }
  if (is_quoted)
    fputc('"', out);
  free(good);
}

/* Nothing for what is not known. */
static void print_number(FILE *out, double value) {
  fputc(',', out);
  if (isfinite(value))
    fprintf(out, "%.9g", value);
}

static void print_count(FILE *out, uint64_t count) { fprintf(out, ",%" PRIu64, count); }

static void print_head(FILE *out) {
  fputs("target,run,length_s,sent,completed,timeouts,errors,wrong,verified,request_bytes,reply_bytes,rate",
        out);
  static const char *const series[] = {"latency", "service"};
  for (size_t i = 0; i < 2; i++) {
    fprintf(out, ",%s_mean_us", series[i]);
    for (size_t j = 0; j < REPORT_QUANTILES; j++)
      fprintf(out, ",%s_%s", series[i], report_quantiles[j].key);
    fprintf(out, ",%s_max_us", series[i]);
  }
  fputs(
      ",server_cpu_us,server_rss_before_bytes,server_rss_after_bytes,client_cpu_us,steal_s,wait_s,disturbed,"
      "client_bound,partial,error,kinds\n",
      out);
}

static void print_series(FILE *out, const struct result_run *run, enum result_series series) {
  const struct histogram *histogram = series == SERIES_LATENCY ? run->latency : run->service;
  print_number(out, histogram && histogram->count > 0 ? histogram_mean(histogram) / 1e3 : NAN);
  for (size_t i = 0; i < REPORT_QUANTILES; i++)
    print_number(out, result_run_quantile(run, series, report_quantiles[i].quantile));
  print_number(out, result_run_quantile(run, series, 1));
}

/* "ROUTE=9800 NXDOMAIN=200" */
static void print_kinds(FILE *out, const struct result_run *run) {
  char text[RESULT_KINDS_MAX * (sizeof run->kinds->name + 24)] = "";
  size_t length = 0;
  for (size_t i = 0; i < run->kind_count; i++)
    length += (size_t)snprintf(text + length, sizeof text - length, "%s%s=%" PRIu64, i > 0 ? " " : "",
                               run->kinds[i].name, run->kinds[i].count);
  print_text(out, text);
}

static void print_run(FILE *out, const struct result_target *target, size_t index) {
  const struct result_run *run = &target->runs[index];
  print_text(out, target->label);
  print_count(out, index + 1);
  print_number(out, run->length_s);
  const uint64_t counts[] = {run->sent,  run->completed, run->timeouts,      run->errors,
                             run->wrong, run->verified,  run->request_bytes, run->reply_bytes};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    print_count(out, counts[i]);
  print_number(out, result_run_figure(run, FIGURE_RATE));
  print_series(out, run, SERIES_LATENCY);
  print_series(out, run, SERIES_SERVICE);
  print_number(out, result_run_figure(run, FIGURE_SERVER_CPU));
  if (run->has_server)
    fprintf(out, ",%" PRIu64 ",%" PRIu64, run->server_rss_before_bytes, run->server_rss_after_bytes);
  else
    fputs(",,", out);
  print_number(out, result_run_figure(run, FIGURE_CLIENT_CPU));
  print_number(out, run->steal_s);
  print_number(out, run->wait_s);
  fprintf(out, ",%d,%d,%d,", run->is_disturbed, run->is_client_bound, run->is_partial);
  print_text(out, run->error);
  fputc(',', out);
  print_kinds(out, run);
  fputc('\n', out);
}

int report_csv(const struct result_session *session, FILE *out) {
  print_head(out);
  for (size_t i = 0; i < session->target_count; i++)
    for (size_t j = 0; j < session->targets[i].run_count; j++)
      print_run(out, &session->targets[i], j);
  return report_flush(out);
}
