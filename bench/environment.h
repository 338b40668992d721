/*
 * environment: where and how a session was measured, for its reports.
 */
#ifndef MXWAY_BENCH_ENVIRONMENT_H
#define MXWAY_BENCH_ENVIRONMENT_H

#include "options.h"
#include "queries.h"
#include "result.h"

/* Reads the machine, the clock and the command line. What cannot be found out is "". */
void environment_read(struct result_environment *environment, int argc, char **argv,
                      const struct options *options, const struct queries *queries);

#endif
