#include <stdio.h>
#include <string.h>

#include "format.h"
#include "session_private.h"

static const double FIRST_RATE = 1000, LEAST_RATE = 1, MOST_RATE = 1e8;
/* The search ends when the rate that held and the one that did not are this close. */
static const double CLOSE = 1.03;

/* Climbing ends when so many rates in a row have failed: at a low one the condition may fail for the
 * noise of a machine whose cores sleep, and hold at the next. */
enum { FAILURES_MAX = 3 };

/* First upwards in doubling steps, then between the highest rate that held and the next that failed. */
struct search {
  double tried, held, failed; /* rates; 0: none yet; failed: the least above `held` */
  unsigned failures;          /* in a row, while climbing */
  bool is_above;              /* climbing is over */
  struct result_run best;
  bool has_best;
};

static double next_rate(const struct search *search) {
  if (!search->is_above)
    return search->tried == 0 ? FIRST_RATE : search->tried * 2;
  return search->held == 0 ? search->failed / 2 : (search->held + search->failed) / 2;
}

static void note_rate(struct search *search, double rate, bool is_held) {
  search->tried = rate;
  if (is_held) {
    search->held = rate;
    search->failures = 0;
    if (!search->is_above)
      search->failed = 0;
  } else {
    search->failures++;
    if (search->failed == 0 || rate < search->failed)
      search->failed = rate;
  }
  search->is_above |= search->failures == FAILURES_MAX || rate >= MOST_RATE;
}

static bool is_over(const struct search *search) {
  if (!search->is_above)
    return false;
  if (search->held == 0)
    return search->failed <= LEAST_RATE;
  return search->failed == 0 || search->failed / search->held < CLOSE;
}

/* Whether the condition holds for this run alone. */
static bool holds(const struct session *session, struct result_run *run) {
  struct result_target alone = {.run_count = 1, .runs = run};
  return !run->is_partial && condition_holds(session->options->find_max, &alone, NULL);
}

/* A run at one rate. One that failed is tried again: noise comes and goes, a limit stays. */
static int try_rate(struct session *session, size_t target_at, double rate, struct result_run *run,
                    bool *is_held) {
  struct target *target = &session->options->targets[target_at];
  for (unsigned tries = 0;; tries++) {
    int failed = session_measure(session, target, rate, run);
    *is_held = !failed && holds(session, run);
    if (failed || *is_held || tries == session->options->repeats_max || *session->stop)
      return failed;
    session->result->targets[target_at].repeated_count += run->is_disturbed;
    result_run_fini(run);
  }
}

/* Keeps a run that is better than the best, and the very last where none held. */
static void keep_best(struct search *search, struct result_run *run, bool is_held) {
  bool is_better = is_held || (!search->has_best && is_over(search));
  if (is_better && search->has_best)
    result_run_fini(&search->best);
  if (is_better)
    search->best = *run;
  else
    result_run_fini(run);
  search->has_best |= is_better;
}

int session_search(struct session *session, size_t target_at) {
  struct search search = {0};
  struct result_target *result = &session->result->targets[target_at];
  int failed = session_warm_up(session, &session->options->targets[target_at], 0);
  while (!failed && !*session->stop && !is_over(&search)) {
    double rate = next_rate(&search);
    snprintf(session->progress.place, sizeof session->progress.place, "target %zu/%zu, trying %s",
             target_at + 1, session->options->target_count, format_rate(rate).text);
    struct result_run run;
    bool is_held;
    failed = try_rate(session, target_at, rate, &run, &is_held);
    note_rate(&search, rate, is_held);
    keep_best(&search, &run, is_held);
  }
  result->held_rate = search.held;
  if (search.has_best && !session_keep(result, &search.best)) {
    result_run_fini(&search.best);
    snprintf(session->error, SESSION_ERROR_SIZE, "out of memory");
    failed = -1;
  }
  return failed;
}
