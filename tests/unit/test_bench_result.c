#include "cmocka_compat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "result.h"

enum { RUNS_MAX = 5 };

struct made {
  struct result_target target;
  struct result_run runs[RUNS_MAX];
};

static void make(struct made *made, size_t run_count) {
  memset(made, 0, sizeof *made);
  made->target.run_count = run_count;
  made->target.runs = made->runs;
  for (size_t i = 0; i < run_count; i++) {
    result_run_init(&made->runs[i]);
    assert_non_null(made->runs[i].latency);
    assert_non_null(made->runs[i].service);
    made->runs[i].length_s = 2;
  }
}

static void drop(struct made *made) {
  for (size_t i = 0; i < made->target.run_count; i++)
    result_run_fini(&made->runs[i]);
}

static bool is_near(double a, double b) { return fabs(a - b) < 1e-9 * fmax(1, fabs(b)); }

static void expect_spread(struct result_spread spread, double median, double least, double most) {
  if (!is_near(spread.median, median) || !is_near(spread.least, least) || !is_near(spread.most, most))
    fail_msg("%g [%g %g], expected %g [%g %g]", spread.median, spread.least, spread.most, median, least,
             most);
}

static void expect_unknown(struct result_spread spread) {
  assert_true(isnan(spread.median) && isnan(spread.least) && isnan(spread.most));
}

static void rate_is_the_median_of_the_runs_with_its_spread(void **state) {
  (void)state;
  static const uint64_t completed[] = {300, 100, 900, 200, 250};
  struct made made;
  make(&made, 5);
  for (size_t i = 0; i < 5; i++)
    made.runs[i].completed = completed[i];
  expect_spread(result_figure(&made.target, FIGURE_RATE), 125, 50, 450);
  assert_true(is_near(result_run_figure(&made.runs[2], FIGURE_RATE), 450));
  drop(&made);
}

static void median_of_an_even_number_of_runs_lies_between_the_middle_two(void **state) {
  (void)state;
  static const uint64_t completed[] = {400, 100, 200, 1000};
  struct made made;
  make(&made, 4);
  for (size_t i = 0; i < 4; i++)
    made.runs[i].completed = completed[i];
  expect_spread(result_figure(&made.target, FIGURE_RATE), 150, 50, 500);
  drop(&made);
}

static void cpu_of_the_server_is_for_one_lookup_and_leaves_out_runs_without_it(void **state) {
  (void)state;
  struct made made;
  make(&made, 3);
  for (size_t i = 0; i < 3; i++)
    made.runs[i].completed = 1000000;
  expect_unknown(result_figure(&made.target, FIGURE_SERVER_CPU));
  made.runs[0].has_server = made.runs[2].has_server = true;
  made.runs[0].server_cpu_s = 0.5;
  made.runs[1].server_cpu_s = 77;
  made.runs[2].server_cpu_s = 1.5;
  expect_spread(result_figure(&made.target, FIGURE_SERVER_CPU), 1, 0.5, 1.5);
  made.runs[0].client_cpu_s = made.runs[1].client_cpu_s = made.runs[2].client_cpu_s = 2;
  expect_spread(result_figure(&made.target, FIGURE_CLIENT_CPU), 2, 2, 2);
  drop(&made);
}

static void figures_of_a_run_without_anything_are_unknown_or_zero(void **state) {
  (void)state;
  struct made made;
  make(&made, 1);
  made.runs[0].has_server = true;
  made.runs[0].server_cpu_s = 1;
  expect_spread(result_figure(&made.target, FIGURE_RATE), 0, 0, 0);
  for (enum result_figure figure = FIGURE_SERVER_CPU; figure <= FIGURE_LOSS; figure++)
    expect_unknown(result_figure(&made.target, figure));
  made.runs[0].length_s = 0;
  made.runs[0].completed = 5;
  expect_unknown(result_figure(&made.target, FIGURE_RATE));
  drop(&made);
}

static void target_without_runs_knows_nothing(void **state) {
  (void)state;
  struct made made;
  make(&made, 0);
  for (enum result_figure figure = FIGURE_RATE; figure <= FIGURE_LOSS; figure++) {
    expect_unknown(result_figure(&made.target, figure));
    expect_unknown(result_ratio(&made.target, &made.target, figure));
  }
  expect_unknown(result_quantile(&made.target, SERIES_LATENCY, 0.5));
  struct result_totals totals;
  result_total(&made.target, &totals);
  assert_true(isnan(totals.max_us) && totals.sent == 0 && totals.kind_count == 0);
}

static void run_without_memory_for_histograms_has_no_latency(void **state) {
  (void)state;
  struct made made;
  make(&made, 1);
  result_run_fini(&made.runs[0]);
  made.runs[0].completed = 10;
  expect_unknown(result_figure(&made.target, FIGURE_P50));
  expect_unknown(result_figure(&made.target, FIGURE_MEAN));
  expect_spread(result_figure(&made.target, FIGURE_RATE), 5, 5, 5);
  drop(&made);
}

static void quantiles_are_microseconds_and_the_median_of_the_runs(void **state) {
  (void)state;
  struct made made;
  make(&made, 3);
  for (size_t i = 0; i < 3; i++)
    for (uint64_t j = 1; j <= 100; j++) {
      histogram_record(made.runs[i].latency, j * 10 * (i + 1));
      histogram_record(made.runs[i].service, j * (i + 1));
    }
  expect_spread(result_figure(&made.target, FIGURE_P50), 1, 0.5, 1.5);
  expect_spread(result_figure(&made.target, FIGURE_P99), 1.98, 0.99, 2.971);
  expect_spread(result_figure(&made.target, FIGURE_P999), 2, 1, 3);
  expect_spread(result_figure(&made.target, FIGURE_MEAN), 1.01, 0.505, 1.515);
  expect_spread(result_quantile(&made.target, SERIES_SERVICE, 0.5), 0.1, 0.05, 0.15);
  struct result_totals totals;
  result_total(&made.target, &totals);
  assert_true(is_near(totals.max_us, 3) && is_near(totals.service_max_us, 0.3));
  drop(&made);
}

static void loss_counts_timeouts_and_errors(void **state) {
  (void)state;
  struct made made;
  make(&made, 1);
  made.runs[0].sent = 1000;
  made.runs[0].completed = 990;
  made.runs[0].timeouts = 7;
  made.runs[0].errors = 3;
  expect_spread(result_figure(&made.target, FIGURE_LOSS), 0.01, 0.01, 0.01);
  drop(&made);
}

static void ratios_are_taken_run_by_run(void **state) {
  (void)state;
  struct made target, baseline;
  make(&target, 3);
  make(&baseline, 3);
  static const uint64_t completed[][2] = {{100, 200}, {300, 200}, {900, 300}};
  for (size_t i = 0; i < 3; i++) {
    target.runs[i].completed = completed[i][0];
    baseline.runs[i].completed = completed[i][1];
  }
  expect_spread(result_ratio(&target.target, &baseline.target, FIGURE_RATE), 1.5, 0.5, 3);
  /* A run that its partner is missing for, or whose partner did nothing, is left out. */
  baseline.runs[2].completed = 0;
  expect_spread(result_ratio(&target.target, &baseline.target, FIGURE_RATE), 1, 0.5, 1.5);
  baseline.target.run_count = 1;
  expect_spread(result_ratio(&target.target, &baseline.target, FIGURE_RATE), 0.5, 0.5, 0.5);
  baseline.target.run_count = 3;
  expect_unknown(result_ratio(&target.target, &baseline.target, FIGURE_SERVER_CPU));
  drop(&target);
  drop(&baseline);
}

static void kinds_are_counted_by_name(void **state) {
  (void)state;
  struct made made;
  make(&made, 2);
  result_count_kind(&made.runs[0], "ROUTE", 5);
  result_count_kind(&made.runs[0], "NXDOMAIN", 3);
  result_count_kind(&made.runs[0], "ROUTE", 2);
  result_count_kind(&made.runs[1], "NXDOMAIN", 9);
  assert_int_equal(made.runs[0].kind_count, 2);
  assert_string_equal(made.runs[0].kinds[0].name, "ROUTE");
  assert_int_equal(made.runs[0].kinds[0].count, 7);
  struct result_totals totals;
  result_total(&made.target, &totals);
  assert_int_equal(totals.kind_count, 2);
  assert_string_equal(totals.kinds[0].name, "NXDOMAIN");
  assert_int_equal(totals.kinds[0].count, 12);
  assert_int_equal(totals.kinds[1].count, 7);
  drop(&made);
}

static void kinds_without_a_place_are_other(void **state) {
  (void)state;
  struct made made;
  make(&made, 1);
  for (int i = 0; i < 100; i++) {
    char name[64];
    snprintf(name, sizeof name, "KIND%d", i);
    result_count_kind(&made.runs[0], name, 1);
  }
  const struct result_run *run = &made.runs[0];
  assert_int_equal(run->kind_count, RESULT_KINDS_MAX);
  assert_string_equal(run->kinds[RESULT_KINDS_MAX - 1].name, "other");
  assert_int_equal(run->kinds[RESULT_KINDS_MAX - 1].count, 100 - (RESULT_KINDS_MAX - 1));
  drop(&made);
}

static void kind_with_a_long_name_is_cut_and_found_again(void **state) {
  (void)state;
  struct made made;
  make(&made, 1);
  result_count_kind(&made.runs[0], "A_KIND_WHOSE_NAME_IS_TOO_LONG_FOR_ITS_PLACE", 1);
  result_count_kind(&made.runs[0], "A_KIND_WHOSE_NAME_IS_TOO_LONG_FOR_ITS_PLACE", 1);
  assert_int_equal(made.runs[0].kind_count, 1);
  assert_int_equal(made.runs[0].kinds[0].count, 2);
  drop(&made);
}

static void totals_add_up_all_runs(void **state) {
  (void)state;
  struct made made;
  make(&made, 3);
  for (size_t i = 0; i < 3; i++) {
    made.runs[i].sent = 10;
    made.runs[i].completed = 7;
    made.runs[i].timeouts = 2;
    made.runs[i].errors = 1;
    made.runs[i].wrong = 4;
    made.runs[i].verified = 5;
    made.runs[i].has_server = i > 0;
    made.runs[i].server_rss_before_bytes = 100 + i;
    made.runs[i].server_rss_after_bytes = 200 + i;
  }
  made.runs[1].is_disturbed = made.runs[1].is_partial = made.runs[2].is_partial = true;
  made.runs[0].is_client_bound = true;
  struct result_totals totals;
  result_total(&made.target, &totals);
  assert_true(totals.sent == 30 && totals.completed == 21 && totals.timeouts == 6 && totals.errors == 3);
  assert_true(totals.wrong == 12 && totals.verified == 15 && is_near(totals.length_s, 6));
  assert_true(totals.rss_before_bytes == 101 && totals.rss_after_bytes == 202);
  assert_true(totals.disturbed == 1 && totals.partial == 2 && totals.client_bound == 1);
  drop(&made);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rate_is_the_median_of_the_runs_with_its_spread),
      cmocka_unit_test(median_of_an_even_number_of_runs_lies_between_the_middle_two),
      cmocka_unit_test(cpu_of_the_server_is_for_one_lookup_and_leaves_out_runs_without_it),
      cmocka_unit_test(figures_of_a_run_without_anything_are_unknown_or_zero),
      cmocka_unit_test(target_without_runs_knows_nothing),
      cmocka_unit_test(run_without_memory_for_histograms_has_no_latency),
      cmocka_unit_test(quantiles_are_microseconds_and_the_median_of_the_runs),
      cmocka_unit_test(loss_counts_timeouts_and_errors),
      cmocka_unit_test(ratios_are_taken_run_by_run),
      cmocka_unit_test(kinds_are_counted_by_name),
      cmocka_unit_test(kinds_without_a_place_are_other),
      cmocka_unit_test(kind_with_a_long_name_is_cut_and_found_again),
      cmocka_unit_test(totals_add_up_all_runs),
  };
  return cmocka_run_group_tests_name("bench_result", tests, NULL, NULL);
}
