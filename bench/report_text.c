#include "report.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "format.h"

enum { COLUMNS = 100, NAME_COLUMNS = 14, QUANTILE_COLUMNS = 11, LABEL_COLUMNS = 20, RATIO_COLUMNS = 20 };

/* The ratios of the table. */
static const struct {
  enum result_figure figure;
  const char *head;
} ratios[] = {
    {FIGURE_RATE, "rate"}, {FIGURE_SERVER_CPU, "CPU a lookup"}, {FIGURE_P50, "p50"}, {FIGURE_P99, "p99"}};

static void print_name(FILE *out, const char *name) { fprintf(out, "  %-*s", NAME_COLUMNS - 2, name); }

/* "1.24 M/s  (1.20 M/s to 1.27 M/s)"; the range only where there is one. */
static void print_spread(FILE *out, struct result_spread spread, struct format_text (*format)(double),
                         const char *per) {
  fprintf(out, "%s%s", format(spread.median).text, per);
  if (spread.least < spread.most)
    fprintf(out, "  (%s to %s)", format(spread.least).text, format(spread.most).text);
  fputc('\n', out);
}

static void print_counts(FILE *out, const struct result_target *target, const struct result_totals *totals) {
  print_name(out, "runs");
  fprintf(out, "%zu, %s in all", target->run_count, format_seconds(totals->length_s).text);
  if (totals->disturbed > 0)
    fprintf(out, ", %zu disturbed", totals->disturbed);
  if (totals->partial > 0)
    fprintf(out, ", %zu ended early", totals->partial);
  fputc('\n', out);
  print_name(out, "completed");
  fprintf(out, "%s\n", format_count(totals->completed).text);
  print_name(out, "lost");
  uint64_t lost = totals->timeouts + totals->errors;
  fprintf(out, "%s", format_count(lost).text);
  if (totals->sent > 0)
    fprintf(out, " (%s)", format_share((double)lost / (double)totals->sent).text);
  if (lost > 0)
    fprintf(out, ": %s timed out, %s failed", format_count(totals->timeouts).text,
            format_count(totals->errors).text);
  fputc('\n', out);
  if (totals->verified > 0) {
    print_name(out, "verified");
    fprintf(out, "%s, %s wrong\n", format_count(totals->verified).text, format_count(totals->wrong).text);
  }
}

static void print_quantile_head(FILE *out) {
  print_name(out, "");
  for (size_t i = 0; i < REPORT_QUANTILES; i++)
    fprintf(out, "%*s", QUANTILE_COLUMNS, report_quantiles[i].name);
  fprintf(out, "%*s\n", QUANTILE_COLUMNS, "max");
}

static void print_quantiles(FILE *out, const struct result_target *target, enum result_series series,
                            double max_us) {
  print_name(out, series == SERIES_LATENCY ? "latency" : "service time");
  for (size_t i = 0; i < REPORT_QUANTILES; i++) {
    double us = result_quantile(target, series, report_quantiles[i].quantile).median;
    fprintf(out, "%*s", QUANTILE_COLUMNS, format_time(us).text);
  }
  fprintf(out, "%*s\n", QUANTILE_COLUMNS, format_time(max_us).text);
}

/* "ROUTE 9,800 (98.0 %)", as many on a line as it holds. */
static void print_kinds(FILE *out, const struct result_totals *totals) {
  double sum = 0;
  for (size_t i = 0; i < totals->kind_count; i++)
    sum += (double)totals->kinds[i].count;
  size_t column = COLUMNS;
  for (size_t i = 0; i < totals->kind_count; i++) {
    char count[96];
    snprintf(count, sizeof count, " %s (%s)", format_count(totals->kinds[i].count).text,
             format_share(sum > 0 ? (double)totals->kinds[i].count / sum : NAN).text);
    size_t width = strlen(totals->kinds[i].name) + strlen(count);
    if (column + 3 + width > COLUMNS) {
      if (i > 0)
        fputc('\n', out);
      print_name(out, i == 0 ? "answers" : "");
      column = NAME_COLUMNS;
    } else {
      fputs("   ", out);
      column += 3;
    }
    column += format_print_clean(out, totals->kinds[i].name) + strlen(count);
    fputs(count, out);
  }
  if (totals->kind_count > 0)
    fputc('\n', out);
}

static void print_processes(FILE *out, const struct result_target *target,
                            const struct result_totals *totals) {
  struct result_spread server = result_figure(target, FIGURE_SERVER_CPU);
  if (!isnan(server.median)) {
    print_name(out, "server CPU");
    print_spread(out, server, format_time, " a lookup");
  }
  if (totals->rss_after_bytes > 0) {
    print_name(out, "server RSS");
    fprintf(out, "%s before, %s after\n", format_bytes(totals->rss_before_bytes).text,
            format_bytes(totals->rss_after_bytes).text);
  }
  struct result_spread client = result_figure(target, FIGURE_CLIENT_CPU);
  if (!isnan(client.median)) {
    print_name(out, "client CPU");
    print_spread(out, client, format_time, " a lookup");
  }
}

static void print_warning(void *out, const struct result_target *target, const char *sentence) {
  (void)target;
  print_name(out, "warning");
  format_print_clean(out, sentence);
  fputc('\n', out);
}

static void print_target(FILE *out, const struct result_session *session,
                         const struct result_target *target) {
  struct result_totals totals;
  result_total(target, &totals);
  fputc('\n', out);
  format_print_clean(out, target->label);
  fputs("\n", out);
  if (target->run_count > 0) {
    print_counts(out, target, &totals);
    print_name(out, "rate");
    print_spread(out, result_figure(target, FIGURE_RATE), format_rate, "");
    if (session->find_max[0]) {
      print_name(out, "held at");
      fprintf(out, "%s\n", target->held_rate > 0 ? format_rate(target->held_rate).text : "no rate");
    }
    print_quantile_head(out);
    print_quantiles(out, target, SERIES_LATENCY, totals.max_us);
    if (session->is_open_loop)
      print_quantiles(out, target, SERIES_SERVICE, totals.service_max_us);
    print_kinds(out, &totals);
    print_processes(out, target, &totals);
  }
  report_warnings(target, print_warning, out);
}

static void print_ratio(FILE *out, struct result_spread spread) {
  char text[128];
  if (spread.least < spread.most)
    snprintf(text, sizeof text, "%s [%s-%s]", format_ratio(spread.median).text,
             format_ratio(spread.least).text, format_ratio(spread.most).text);
  else
    snprintf(text, sizeof text, "%s", format_ratio(spread.median).text);
  fprintf(out, "%*s", RATIO_COLUMNS, text);
}

static void print_ratios(FILE *out, const struct result_session *session) {
  const struct result_target *baseline = &session->targets[session->baseline];
  fputs("\nRatios to ", out);
  format_print_clean(out, baseline->label);
  fputs(": median [least-most] of the runs\n", out);
  print_name(out, "");
  fprintf(out, "%*s", LABEL_COLUMNS - NAME_COLUMNS, "");
  for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++)
    fprintf(out, "%*s", RATIO_COLUMNS, ratios[i].head);
  fputc('\n', out);
  for (size_t i = 0; i < session->target_count; i++) {
    fputs("  ", out);
    size_t column = 2 + format_print_clean(out, session->targets[i].label);
    /* A long label has a line to itself, so that the columns stay. */
    if (column >= LABEL_COLUMNS) {
      fputc('\n', out);
      column = 0;
    }
    fprintf(out, "%*s", (int)(LABEL_COLUMNS - column), "");
    for (size_t j = 0; j < sizeof ratios / sizeof *ratios; j++)
      print_ratio(out, result_ratio(&session->targets[i], baseline, ratios[j].figure));
    fputc('\n', out);
  }
}

int report_text(const struct result_session *session, FILE *out) {
  if (session->find_max[0]) {
    fputs("Open loop at the highest rate that holds ", out);
    format_print_clean(out, session->find_max);
    fputs("\n  latency counts from the moment a question was due\n", out);
  } else if (session->is_open_loop)
    fprintf(out, "Open loop at %s: latency counts from the moment a question was due\n",
            format_rate(session->rate).text);
  else
    fputs("Closed loop: each answer brings the next question\n", out);
  for (size_t i = 0; i < session->target_count; i++)
    print_target(out, session, &session->targets[i]);
  if (session->target_count > 1)
    print_ratios(out, session);
  return report_flush(out);
}
