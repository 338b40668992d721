/*
 * session_private: what the files of the session share. session.c has targets and their turns, session_run.c
 * one measurement, session_search.c --find-max, progress.c the line on the terminal.
 */
#ifndef MXWAY_BENCH_SESSION_PRIVATE_H
#define MXWAY_BENCH_SESSION_PRIVATE_H

#include "engine.h"
#include "session.h"

/* A line on standard error while something runs; nothing where that is no terminal. */
struct progress {
  bool is_shown;
  const char *label;
  char place[64]; /* "target 2/3, run 1/5" */
  double shown_s; /* when the rate was last taken */
  uint64_t shown_completed;
  double rate;
};

void progress_show(struct progress *progress, double elapsed_s, uint64_t completed);
void progress_clear(const struct progress *progress);

struct session {
  struct options *options;
  const struct queries *queries;
  struct verify *verify;
  const volatile sig_atomic_t *stop;
  struct result_session *result;
  struct progress progress;
  uint64_t round; /* one for each stretch of asking */
  char *error;
};

/* One run of a target, or one of `warm-up`, which neither verifies nor repeats; rate 0: closed loop. 0, or
 * -1 with the session's error; the run is filled as far as it came in either case. */
int session_warm_up(struct session *session, const struct target *target, double rate);
int session_measure(struct session *session, struct target *target, double rate, struct result_run *run);

/* The same until it was not disturbed, as often as --repeats allows. */
int session_measure_well(struct session *session, size_t target_at, double rate, struct result_run *run);

/* Octets of a mean reply of a target, by asking it a moment; 0 where it does not answer. */
size_t session_reply_bytes(struct session *session, const struct target *target);

/* The highest rate at which the condition holds, and its run. */
int session_search(struct session *session, size_t target_at);

/* Keeps a run in the result, which takes it; false without memory. */
bool session_keep(struct result_target *result, struct result_run *run);

#endif
