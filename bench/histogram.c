#include "histogram.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Below 2^EXACT_BITS each value has a bucket of its own; each doubling above has STEPS of them. */
enum { EXACT_BITS = 11, STEP_BITS = EXACT_BITS - 1, STEPS = 1 << STEP_BITS };
/* Lines of the text format for each halving of what is left above: what HdrHistogram's tools use. */
enum { TICKS_PER_HALF = 5 };

static size_t bucket_of(uint64_t value_ns) {
  if (value_ns < UINT64_C(1) << EXACT_BITS)
    return (size_t)value_ns;
  unsigned shift = 63 - (unsigned)__builtin_clzll(value_ns) - STEP_BITS;
  return ((size_t)shift << STEP_BITS) + (size_t)(value_ns >> shift);
}

/* The greatest value that falls into a bucket. */
static uint64_t upper_end(size_t bucket) {
  if (bucket < (size_t)1 << EXACT_BITS)
    return bucket;
  unsigned shift = (unsigned)(bucket >> STEP_BITS) - 1;
  uint64_t step = (bucket & (STEPS - 1)) + STEPS;
  return ((step + 1) << shift) - 1;
}

void histogram_init(struct histogram *histogram) { memset(histogram, 0, sizeof *histogram); }

void histogram_record(struct histogram *histogram, uint64_t value_ns) {
  if (value_ns > HISTOGRAM_MAX_NS)
    value_ns = HISTOGRAM_MAX_NS;
  if (histogram->count == 0 || value_ns < histogram->min_ns)
    histogram->min_ns = value_ns;
  if (value_ns > histogram->max_ns)
    histogram->max_ns = value_ns;
  histogram->count++;
  histogram->sum_ns += (double)value_ns;
  histogram->sum_of_squares += (double)value_ns * (double)value_ns;
  histogram->buckets[bucket_of(value_ns)]++;
}

void histogram_add(struct histogram *into, const struct histogram *from) {
  if (from->count == 0)
    return;
  if (into->count == 0 || from->min_ns < into->min_ns)
    into->min_ns = from->min_ns;
  if (from->max_ns > into->max_ns)
    into->max_ns = from->max_ns;
  into->count += from->count;
  into->sum_ns += from->sum_ns;
  into->sum_of_squares += from->sum_of_squares;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
    into->buckets[i] += from->buckets[i];
}

/* How many values a quantile is over or at: at least one, at most all. */
static uint64_t rank_of(const struct histogram *histogram, double quantile) {
  if (!(quantile > 0))
    return 1;
  if (quantile >= 1)
    return histogram->count;
  /* 0.07 * 100 is 7.000000000000001: the next lower double keeps the eighth out. */
  double rank = ceil(nextafter(quantile, 0) * (double)histogram->count);
  return rank < 1 ? 1 : rank >= (double)histogram->count ? histogram->count : (uint64_t)rank;
}

static uint64_t value_of(const struct histogram *histogram, size_t bucket) {
  uint64_t value_ns = upper_end(bucket);
  return value_ns < histogram->max_ns ? value_ns : histogram->max_ns;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile) {
  if (histogram->count == 0)
    return 0;
  const uint64_t rank = rank_of(histogram, quantile);
  uint64_t seen = 0;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += histogram->buckets[i];
    if (seen >= rank)
      return value_of(histogram, i);
  }
  return histogram->max_ns;
}

double histogram_mean(const struct histogram *histogram) {
  return histogram->count == 0 ? 0 : histogram->sum_ns / (double)histogram->count;
}

double histogram_deviation(const struct histogram *histogram) {
  if (histogram->count == 0)
    return 0;
  double mean = histogram_mean(histogram);
  double variance = histogram->sum_of_squares / (double)histogram->count - mean * mean;
  /* The difference of two great sums may be rounded to just below 0. */
  return variance > 0 ? sqrt(variance) : 0;
}

static void print_tick(const struct histogram *histogram, double quantile, size_t bucket, uint64_t seen,
                       FILE *out) {
  fprintf(out, "%16.3f %14.12f %12" PRIu64 " %16.2f\n", (double)value_of(histogram, bucket) / 1e3, quantile,
          seen, 1 / (1 - quantile));
}

void histogram_print_hgrm(const struct histogram *histogram, FILE *out) {
  fprintf(out, "%16s %14s %12s %16s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
  double quantile = 0;
  size_t bucket = 0;
  uint64_t seen = histogram->buckets[0];
  while (histogram->count > 0 && rank_of(histogram, quantile) < histogram->count) {
    while (seen < rank_of(histogram, quantile))
      seen += histogram->buckets[++bucket];
    print_tick(histogram, quantile, bucket, seen, out);
    double halvings = floor(log2(1 / (1 - quantile))) + 1;
    quantile += 1 / (TICKS_PER_HALF * exp2(halvings));
  }
  if (histogram->count > 0)
    fprintf(out, "%16.3f %14.12f %12" PRIu64 " %16s\n", (double)histogram->max_ns / 1e3, 1.0,
            histogram->count, "inf");
  fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", histogram_mean(histogram) / 1e3,
          histogram_deviation(histogram) / 1e3);
  fprintf(out, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", (double)histogram->max_ns / 1e3,
          histogram->count);
  fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", HISTOGRAM_BUCKETS / STEPS - 1, 2 * STEPS);
}
