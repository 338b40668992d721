/*
 * condition: what --assert and --find-max demand of a target's result.
 *
 * Comparisons, all of which must hold, with commas between: 'p99<500us, loss<0.1%'.
 *
 *   p50 p90 p95 p99 p99.9 p99.99 max mean   latency, with the unit: ns, us, ms or s
 *   rate                                    completed a second: 100000, 100k or 1.2M, "/s" as one likes
 *   loss                                    share of what was sent that got no answer, with %
 *   cpu                                     the server's CPU time a lookup, with the unit
 *   errors timeouts wrong                   a count
 *
 * Compared with < <= > or >=; spaces as one likes; only 0 needs no unit. Percentiles, mean, rate and cpu are
 * the median of the runs; loss and counts are of all runs together and max is the greatest (see result.h).
 * What is not known (cpu of a server elsewhere, anything of a target without runs) fails every comparison.
 */
#ifndef MXWAY_BENCH_CONDITION_H
#define MXWAY_BENCH_CONDITION_H

#include <stdbool.h>
#include <stdio.h>

#include "result.h"

enum { CONDITION_ERROR_SIZE = 256, CONDITION_COMPARISONS_MAX = 16 };

struct condition;

/* NULL with a sentence in `error` that names the part that is wrong and what would be right. */
struct condition *condition_parse(const char *text, char error[CONDITION_ERROR_SIZE]);
void condition_destroy(struct condition *condition);

/* Whether all comparisons hold. Prints a line to `explain` (NULL: none) for each that does not:
 * "p99 = 812us, wanted < 500us", with as many digits as it takes to see it fail. */
bool condition_holds(const struct condition *condition, const struct result_target *target, FILE *explain);

#endif
