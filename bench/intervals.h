/*
 * intervals: the figures of each stretch of -S seconds, added up over threads.
 *
 * Each thread hands over what its latencies have grown by; when all have, the figures are made and
 * the sum is dropped, so that memory does not grow with histograms. Any thread may call.
 */
#ifndef MXWAY_BENCH_INTERVALS_H
#define MXWAY_BENCH_INTERVALS_H

#include "result.h"

struct intervals;

/* For `thread_count` threads and intervals of `length_s`; NULL without memory. */
struct intervals *intervals_create(unsigned thread_count, double length_s);
void intervals_destroy(struct intervals *intervals);

/* What a thread measured in interval `index`: the growth from `before` to `now`; then sets `before` to `now`.
 * Each thread calls it once for each index, in order. Without memory the interval is left out. */
void intervals_add(struct intervals *intervals, size_t index, const struct histogram *now,
                   struct histogram *before);

/* Moves the intervals into `run`, the last of them ending at `end_s`. */
void intervals_finish(struct intervals *intervals, double end_s, struct result_run *run);

#endif
