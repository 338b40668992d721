/*
 * histogram: latencies in constant memory, to three significant digits.
 *
 * Log-linear buckets as HdrHistogram has them: a value is found again to within
 * 1/1024. Values are nanoseconds, 0 to HISTOGRAM_MAX_NS; larger ones count as that.
 * One writer; add those of several threads when they are done.
 */
#ifndef MXWAY_BENCH_HISTOGRAM_H
#define MXWAY_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_MAX_NS ((UINT64_C(1) << 40) - 1) /* 18 minutes */
enum { HISTOGRAM_BUCKETS = 2048 + (40 - 11) * 1024 };

struct histogram {
  uint64_t count, min_ns, max_ns;
  double sum_ns, sum_of_squares;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *histogram);
void histogram_record(struct histogram *histogram, uint64_t value_ns);
void histogram_add(struct histogram *into, const struct histogram *from);

/* The least value that at least `quantile` (0 to 1) of all are not above, as the upper end of its
 * bucket, never above max_ns; 0 for an empty histogram. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);
double histogram_mean(const struct histogram *histogram);
double histogram_deviation(const struct histogram *histogram);

/* The text format of HdrHistogram's percentile output (.hgrm), in microseconds. */
void histogram_print_hgrm(const struct histogram *histogram, FILE *out);

#endif
