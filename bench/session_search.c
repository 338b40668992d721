#include <stdio.h>
#include <string.h>

#include "format.h"
#include "session_private.h"

static const double FIRST_RATE = 1000, LEAST_RATE = 1, MOST_RATE = 1e8;
/* The search ends when the rate that held and the one that did not are this close. */
static const double CLOSE = 1.03;

struct search {
  double held, failed; /* rates; 0: none yet */
  struct result_run best;
  bool has_best;
};

static double next_rate(const struct search *search) {
  if (search->failed == 0)
    return search->held == 0 ? FIRST_RATE : search->held * 2;
  return search->held == 0 ? search->failed / 2 : (search->held + search->failed) / 2;
}

static bool is_over(const struct search *search) {
  if (search->failed == 0)
    return search->held >= MOST_RATE;
  return search->held == 0 ? search->failed <= LEAST_RATE : search->failed / search->held < CLOSE;
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
static void keep_best(struct search *search, struct result_run *run, double rate, bool is_held) {
  bool is_better = is_held || (!search->has_best && is_over(search));
  if (is_held)
    search->held = rate;
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
    if (!is_held)
      search.failed = rate;
    keep_best(&search, &run, rate, is_held);
  }
  result->held_rate = search.held;
  if (search.has_best && !session_keep(result, &search.best)) {
    result_run_fini(&search.best);
    snprintf(session->error, SESSION_ERROR_SIZE, "out of memory");
    failed = -1;
  }
  return failed;
}
