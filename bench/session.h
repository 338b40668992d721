/*
 * session: all runs of one call of mxway-bench.
 *
 * Checks that every target is there, prepares them (the null server, the store of Redis), then runs them
 * in turns, --runs times each: what disturbs the machine for a while then meets all of them. A warm-up goes
 * before each run and is thrown away. A disturbed run is measured again, at most --repeats times; the last is
 * kept. With --find-max each target instead gets runs of rising rate, then halved steps, and the
 * run with the highest rate that held is its result.
 *
 * Servers are pinned for the length of the session and set back after it; waking CPUs is
 * prevented for as long. An error ends the session with what has been measured; so does *stop.
 */
#ifndef MXWAY_BENCH_SESSION_H
#define MXWAY_BENCH_SESSION_H

#include <signal.h>

#include "options.h"
#include "queries.h"
#include "result.h"
#include "verify.h"

enum { SESSION_ERROR_SIZE = 600 };

/* Runs and fills `result` but for its environment; fini in either case. `verify` may be NULL. Prints
 * progress on standard error where that is a terminal. 0, or -1 with a sentence in `error`. */
int session_run(struct options *options, const struct queries *queries, struct verify *verify,
                const volatile sig_atomic_t *stop, struct result_session *result,
                char error[SESSION_ERROR_SIZE]);
void session_fini(struct result_session *result);

#endif
