#include "cmocka_compat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "made_results.h"

enum { VALUES = 20011 };

/* Quantiles as fractions, so that the exact rank needs no floating point. */
static const struct {
  uint64_t numerator, denominator;
} quantiles[] = {{0, 1},    {1, 1000}, {7, 100},    {1, 4},        {1, 2},          {9, 10},
                 {95, 100}, {99, 100}, {999, 1000}, {9999, 10000}, {99999, 100000}, {1, 1}};

static struct histogram *new_histogram(void) {
  struct histogram *histogram = malloc(sizeof *histogram);
  assert_non_null(histogram);
  histogram_init(histogram);
  return histogram;
}

static int compare_values(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

/* Sorts `values`. */
static void expect_exact_quantiles(const struct histogram *histogram, uint64_t *values, size_t count) {
  qsort(values, count, sizeof *values, compare_values);
  for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
    uint64_t n = quantiles[i].numerator, d = quantiles[i].denominator;
    uint64_t rank = (n * count + d - 1) / d;
    uint64_t exact = values[rank > 0 ? rank - 1 : 0];
    uint64_t found = histogram_quantile(histogram, (double)n / (double)d);
    if (found < exact || found > exact + exact / 1024 + 1 || found > values[count - 1])
      fail_msg("quantile %g of %zu: %llu, exactly %llu", (double)n / (double)d, count,
               (unsigned long long)found, (unsigned long long)exact);
  }
}

static uint64_t draw_uniform(uint64_t *random) { return made_random(random) % 5000; }
static uint64_t draw_exponential(uint64_t *random) { return (uint64_t)(-80000 * log(made_unit(random))); }
static uint64_t draw_constant(uint64_t *random) {
  (void)random;
  return 123457;
}
static uint64_t draw_two_hills(uint64_t *random) {
  return (made_random(random) % 100 < 98 ? 40000 : 200000000) + made_random(random) % 3000;
}
static uint64_t draw_any_magnitude(uint64_t *random) { return (uint64_t)exp2(40 * made_unit(random)) - 1; }
/* Around powers of two, where one row of buckets goes over into the next. */
static uint64_t draw_edges(uint64_t *random) {
  return (UINT64_C(1) << (made_random(random) % 39 + 1)) + made_random(random) % 3 - 1;
}

static void quantiles_are_those_of_the_sorted_values(void **state) {
  (void)state;
  static uint64_t (*const draws[])(uint64_t *) = {draw_uniform,   draw_exponential,   draw_constant,
                                                  draw_two_hills, draw_any_magnitude, draw_edges};
  static const size_t counts[] = {1, 2, 3, 10, 100, 1000, VALUES};
  uint64_t *values = calloc(VALUES, sizeof *values);
  assert_non_null(values);
  uint64_t random = 1;
  for (size_t i = 0; i < sizeof draws / sizeof *draws; i++)
    for (size_t j = 0; j < sizeof counts / sizeof *counts; j++) {
      struct histogram *histogram = new_histogram();
      for (size_t k = 0; k < counts[j]; k++) {
        values[k] = draws[i](&random);
        histogram_record(histogram, values[k]);
      }
      expect_exact_quantiles(histogram, values, counts[j]);
      free(histogram);
    }
  free(values);
}

static void mean_and_deviation_are_those_of_the_values(void **state) {
  (void)state;
  struct histogram *histogram = new_histogram();
  for (uint64_t i = 1; i <= 1000; i++)
    histogram_record(histogram, i * 1000);
  assert_true(fabs(histogram_mean(histogram) - 500500) < 1e-6);
  assert_true(fabs(histogram_deviation(histogram) - 288674.99) < 0.01);
  assert_int_equal(histogram->min_ns, 1000);
  assert_int_equal(histogram->max_ns, 1000000);
  assert_int_equal(histogram->count, 1000);
  free(histogram);
}

static void deviation_of_equal_values_is_no_nan(void **state) {
  (void)state;
  struct histogram *histogram = new_histogram();
  for (int i = 0; i < 1000; i++)
    histogram_record(histogram, 123456789);
  double deviation = histogram_deviation(histogram);
  assert_true(deviation >= 0 && deviation < 1000);
  free(histogram);
}

static void adding_equals_recording_all(void **state) {
  (void)state;
  struct histogram *parts[3], *all = new_histogram(), *sum = new_histogram();
  uint64_t random = 5;
  for (int i = 0; i < 3; i++) {
    parts[i] = new_histogram();
    for (int j = 0; j < 5000; j++) {
      uint64_t value = draw_any_magnitude(&random) + 1000;
      histogram_record(parts[i], value);
      histogram_record(all, value);
    }
  }
  struct histogram *empty = new_histogram();
  histogram_add(sum, empty);
  for (int i = 0; i < 3; i++)
    histogram_add(sum, parts[i]);
  histogram_add(sum, empty);
  assert_int_equal(sum->count, all->count);
  assert_int_equal(sum->min_ns, all->min_ns);
  assert_int_equal(sum->max_ns, all->max_ns);
  assert_memory_equal(sum->buckets, all->buckets, sizeof all->buckets);
  assert_true(fabs(histogram_mean(sum) / histogram_mean(all) - 1) < 1e-9);
  assert_true(fabs(histogram_deviation(sum) / histogram_deviation(all) - 1) < 1e-9);
  for (int i = 0; i < 3; i++)
    free(parts[i]);
  free(empty);
  free(all);
  free(sum);
}

static void nothing_recorded_is_zero_everywhere(void **state) {
  (void)state;
  struct histogram *histogram = new_histogram();
  assert_int_equal(histogram_quantile(histogram, 0), 0);
  assert_int_equal(histogram_quantile(histogram, 0.5), 0);
  assert_int_equal(histogram_quantile(histogram, 1), 0);
  assert_true(histogram_mean(histogram) == 0 && histogram_deviation(histogram) == 0);
  free(histogram);
}

static void extremes_stay_in_bounds(void **state) {
  (void)state;
  struct histogram *histogram = new_histogram();
  histogram_record(histogram, 0);
  assert_int_equal(histogram_quantile(histogram, 1), 0);
  histogram_record(histogram, HISTOGRAM_MAX_NS);
  assert_int_equal(histogram->buckets[HISTOGRAM_BUCKETS - 1], 1);
  histogram_record(histogram, HISTOGRAM_MAX_NS + 1);
  histogram_record(histogram, UINT64_MAX);
  assert_int_equal(histogram->buckets[HISTOGRAM_BUCKETS - 1], 3);
  assert_int_equal(histogram->max_ns, HISTOGRAM_MAX_NS);
  assert_int_equal(histogram_quantile(histogram, 1), HISTOGRAM_MAX_NS);
  assert_int_equal(histogram_quantile(histogram, 0.25), 0);
  /* What is no quantile is the nearest one. */
  assert_int_equal(histogram_quantile(histogram, -1), 0);
  assert_int_equal(histogram_quantile(histogram, NAN), 0);
  assert_int_equal(histogram_quantile(histogram, 7), HISTOGRAM_MAX_NS);
  free(histogram);
}

/* Prints it; the caller frees. */
static char *hgrm_of(const struct histogram *histogram) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  histogram_print_hgrm(histogram, out);
  assert_int_equal(fclose(out), 0);
  return text;
}

static void hgrm_lines_rise_to_all_values(void **state) {
  (void)state;
  struct histogram *histogram = new_histogram();
  uint64_t random = 3;
  for (int i = 0; i < VALUES; i++)
    histogram_record(histogram, draw_exponential(&random));
  char *text = hgrm_of(histogram), *rest = text;
  assert_true(strstr(text, "Value") < strstr(text, "Percentile"));
  double last_value = -1, last_quantile = -1;
  unsigned long long last_count = 0;
  int lines = 0;
  for (char *line; (line = strsep(&rest, "\n")) && *line != '#';) {
    double value, quantile, inverse;
    unsigned long long count;
    if (sscanf(line, " %lf %lf %llu %lf", &value, &quantile, &count, &inverse) != 4)
      continue;
    lines++;
    /* Some plotters know a line by the space before its first digit. */
    assert_int_equal(*line, ' ');
    assert_true(value >= last_value && quantile > last_quantile && count >= last_count);
    assert_true((double)count >= quantile * VALUES * (1 - 1e-9));
    assert_true(quantile >= 1 ? isinf(inverse) : fabs(inverse * (1 - quantile) - 1) < 0.01);
    last_value = value, last_quantile = quantile, last_count = count;
  }
  assert_true(lines > 40);
  assert_true(last_quantile >= 1);
  assert_int_equal(last_count, VALUES);
  assert_true(fabs(last_value - (double)histogram->max_ns / 1e3) < 0.001);
  free(text);
  free(histogram);
}

static void hgrm_ends_with_the_summary(void **state) {
  (void)state;
  struct histogram *histogram = new_histogram();
  char *text = hgrm_of(histogram);
  assert_null(strstr(text, "inf"));
  assert_null(strstr(text, "nan"));
  free(text);
  histogram_record(histogram, 1500);
  histogram_record(histogram, 2500);
  text = hgrm_of(histogram);
  assert_non_null(strstr(text,
                         "#[Mean    =        2.000, StdDeviation   =        0.500]\n"
                         "#[Max     =        2.500, Total count    =            2]\n"
                         "#[Buckets = "));
  free(text);
  free(histogram);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quantiles_are_those_of_the_sorted_values),
      cmocka_unit_test(mean_and_deviation_are_those_of_the_values),
      cmocka_unit_test(deviation_of_equal_values_is_no_nan),
      cmocka_unit_test(adding_equals_recording_all),
      cmocka_unit_test(nothing_recorded_is_zero_everywhere),
      cmocka_unit_test(extremes_stay_in_bounds),
      cmocka_unit_test(hgrm_lines_rise_to_all_values),
      cmocka_unit_test(hgrm_ends_with_the_summary),
  };
  return cmocka_run_group_tests_name("bench_histogram", tests, NULL, NULL);
}
