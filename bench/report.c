#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "format.h"

const struct report_quantile report_quantiles[REPORT_QUANTILES] = {
    {0.5, "p50", "p50_us"},  {0.9, "p90", "p90_us"},       {0.95, "p95", "p95_us"},
    {0.99, "p99", "p99_us"}, {0.999, "p99.9", "p99_9_us"}, {0.9999, "p99.99", "p99_99_us"},
};

static void warn_of_partial_runs(const struct result_target *target, report_warn_fn *warn, void *context) {
  char sentence[RESULT_TEXT_SIZE + 128];
  for (size_t i = 0; i < target->run_count; i++) {
    const struct result_run *run = &target->runs[i];
    if (!run->is_partial && !run->error[0])
      continue;
    snprintf(sentence, sizeof sentence, "run %zu of %zu ended early, after %s: %s", i + 1, target->run_count,
             format_seconds(run->length_s).text, run->error[0] ? run->error : "interrupted");
    warn(context, target, sentence);
  }
}

static void warn_of_disturbance(const struct result_target *target, const struct result_totals *totals,
                                report_warn_fn *warn, void *context) {
  char sentence[200];
  if (totals->disturbed > 0) {
    snprintf(sentence, sizeof sentence,
             "%zu of %zu runs disturbed by other work on this machine (%s stolen, %s waiting for a core)",
             totals->disturbed, target->run_count, format_seconds(totals->steal_s).text,
             format_seconds(totals->wait_s).text);
    warn(context, target, sentence);
  }
  if (target->repeated_count > 0) {
    snprintf(sentence, sizeof sentence, "%zu disturbed run%s measured again and left out",
             target->repeated_count, target->repeated_count == 1 ? " was" : "s were");
    warn(context, target, sentence);
  }
}

void report_warnings(const struct result_target *target, report_warn_fn *warn, void *context) {
  struct result_totals totals;
  char sentence[200];
  result_total(target, &totals);
  if (target->run_count == 0)
    warn(context, target, "nothing was measured");
  if (totals.wrong > 0) {
    snprintf(sentence, sizeof sentence, "%" PRIu64 " of %" PRIu64 " verified answers were wrong",
             totals.wrong, totals.verified);
    warn(context, target, sentence);
  }
  warn_of_partial_runs(target, warn, context);
  if (totals.client_bound > 0) {
    snprintf(sentence, sizeof sentence,
             "the generator was the bottleneck in %zu of %zu runs: the server can do more than this",
             totals.client_bound, target->run_count);
    warn(context, target, sentence);
  }
  warn_of_disturbance(target, &totals, warn, context);
}

int report_hgrm(const struct result_target *target, FILE *out) {
  struct histogram *all = malloc(sizeof *all);
  if (!all)
    return -1;
  histogram_init(all);
  for (size_t i = 0; i < target->run_count; i++)
    if (target->runs[i].latency)
      histogram_add(all, target->runs[i].latency);
  histogram_print_hgrm(all, out);
  free(all);
  return report_flush(out);
}

int report_flush(FILE *out) {
  /* An error may lie back so far that errno is of something else. */
  bool was_good = !ferror(out);
  if (fflush(out) != 0)
    return -1;
  if (was_good)
    return 0;
  errno = EIO;
  return -1;
}
