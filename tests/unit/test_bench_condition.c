#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "condition.h"

static struct result_run run;
static struct result_target target = {.label = "null", .run_count = 1, .runs = &run};

/* p50 50 us, p90 90 us, p99 99 us, max 100 us; 50 k/s; 0.5 % lost; 2 us of server CPU. */
static int make_target(void **state) {
  (void)state;
  result_run_init(&run);
  if (!run.latency || !run.service)
    return -1;
  for (uint64_t i = 1; i <= 100; i++)
    histogram_record(run.latency, i * 1000);
  run.length_s = 2;
  run.sent = 100000;
  run.completed = 99500;
  run.timeouts = 480;
  run.errors = 20;
  run.wrong = 1;
  run.has_server = true;
  run.server_cpu_s = 0.199;
  return 0;
}

static int drop_target(void **state) {
  (void)state;
  result_run_fini(&run);
  return 0;
}

/* Whether `text` holds; `explained` (to be freed) gets what is said about it. */
static bool holds(const char *text, const struct result_target *of, char **explained) {
  char error[CONDITION_ERROR_SIZE] = "";
  struct condition *condition = condition_parse(text, error);
  if (!condition)
    fail_msg("'%s': %s", text, error);
  size_t size;
  FILE *out = open_memstream(explained, &size);
  assert_non_null(out);
  bool is_met = condition_holds(condition, of, out);
  assert_int_equal(condition_holds(condition, of, NULL), is_met);
  assert_int_equal(fclose(out), 0);
  condition_destroy(condition);
  return is_met;
}

static void expect_holds(const char *text) {
  char *explained;
  bool is_met = holds(text, &target, &explained);
  if (!is_met || *explained)
    fail_msg("'%s' does not hold: %s", text, explained);
  free(explained);
}

static void expect_fails(const char *text, const char *expected) {
  char *explained;
  bool is_met = holds(text, &target, &explained);
  if (is_met || strcmp(explained, expected) != 0)
    fail_msg("'%s' says '%s', expected '%s'", text, explained, expected);
  free(explained);
}

static void every_measure_is_compared(void **state) {
  (void)state;
  expect_holds("p50 <= 51us, p90<91us,p95<96us,p99<100us,p99.9<101us,p99.99<101us,max<=100us,mean>50us");
  expect_holds("rate>49k,rate<50000,loss>0.4%,loss<0.6%,cpu<=2.01us,cpu>1999ns,errors<=20,timeouts>479");
  expect_holds("wrong<2");
}

static void every_unit_is_understood(void **state) {
  (void)state;
  expect_holds("p50<60000ns,p50<60us,p50<0.06ms,p50<.00006s");
  expect_holds("rate<50000,rate<50000/s,rate<50k,rate<50k/s,rate<0.05M,rate<0.05M/s");
  expect_holds("  p50 <\t60 us ,loss <  1 %  ");
  expect_holds("errors>=0,loss>=0,p50>0,rate>0");
}

static void relations_differ_where_values_are_equal(void **state) {
  (void)state;
  expect_holds("wrong<=1,wrong>=1,max<=100us,max>=100us");
  expect_fails("wrong<1", "wrong = 1, wanted < 1\n");
  expect_fails("wrong>1", "wrong = 1, wanted > 1\n");
  expect_fails("max<100us", "max = 100us, wanted < 100us\n");
  expect_fails("max>100us", "max = 100us, wanted > 100us\n");
}

static void what_fails_is_explained_in_the_unit_that_was_asked_in(void **state) {
  (void)state;
  expect_fails("p99<50us", "p99 = 99.0us, wanted < 50us\n");
  expect_fails("p99<0.05ms", "p99 = 0.0990ms, wanted < 0.05ms\n");
  expect_fails("rate>=1.2M/s", "rate = 0.0498M/s, wanted >= 1.2M/s\n");
  expect_fails("rate>=60k", "rate = 49.8k, wanted >= 60k\n");
  expect_fails("loss<0.1%", "loss = 0.500%, wanted < 0.1%\n");
  expect_fails("timeouts <= 12", "timeouts = 480, wanted <= 12\n");
}

static void explanation_has_the_digits_it_takes_to_see_the_failure(void **state) {
  (void)state;
  histogram_init(run.latency);
  histogram_record(run.latency, 500040);
  expect_fails("max<=500us", "max = 500.04us, wanted <= 500us\n");
}

static void only_what_fails_is_explained(void **state) {
  (void)state;
  expect_fails("p50<1us,rate>1,wrong<1", "p50 = 50.0us, wanted < 1us\nwrong = 1, wanted < 1\n");
}

static void what_is_not_known_fails(void **state) {
  (void)state;
  run.has_server = false;
  expect_fails("cpu<1s", "cpu is unknown, wanted < 1s\n");
  expect_fails("cpu>0", "cpu is unknown, wanted > 0us\n");
  const struct result_target empty = {.run_count = 0};
  char *explained;
  assert_false(holds("errors<1,p50<1s", &empty, &explained));
  assert_string_equal(explained, "errors is unknown, wanted < 1\np50 is unknown, wanted < 1s\n");
  free(explained);
}

static void bad_conditions_are_refused_with_the_part_that_is_wrong(void **state) {
  (void)state;
  static const char *const bad[][2] = {
      {"", "missing"},
      {"p99<1us,", "missing"},
      {",p99<1us", "missing"},
      {"p99<1us,,p50<1us", "missing"},
      {"p98<1us", "'p98' is nothing that is measured"},
      {"P99<1us", "'P99'"},
      {"p99.<1us", "'p99.'"},
      {"<1us", "''"},
      {"p99", "expected < <= > or >="},
      {"p99=1us", "'=1us'; expected < <= > or >="},
      {"p99!=1us", "expected < <="},
      {"p99<", "expected a number"},
      {"p99<us", "expected a number"},
      {"p99<-1us", "expected a number"},
      {"p99<=>1us", "expected a number"},
      {"p99<<1us", "expected a number"},
      {"p99<nan", "expected a number"},
      {"p99<infus", "expected a number"},
      {"p99<0x10us", "expected a number"},
      {"p99<1e999us", "expected a number"},
      {"p99<500", "lacks a unit (ns, us, ms or s)"},
      {"p99<500m", "'m' behind the number is wrong; expected a unit (ns, us, ms or s)"},
      {"p99<500us x", "'us x' behind"},
      {"p99<500 us 3", "behind the number"},
      {"p99<1%", "'%' behind"},
      {"loss<0.1", "lacks the unit %"},
      {"loss<1us", "the unit %"},
      {"cpu<1", "lacks a unit"},
      {"rate>1us", "nothing, k or M, and /s"},
      {"rate>1K", "'K' behind"},
      {"errors<1k", "no unit"},
      {"p50<1us;p99<2us", "'us;p99<2us' behind"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char error[CONDITION_ERROR_SIZE] = "";
    struct condition *condition = condition_parse(bad[i][0], error);
    if (condition || !strstr(error, bad[i][1]))
      fail_msg("'%s' says '%s', expected '%s'", bad[i][0], error, bad[i][1]);
  }
}

static void huge_conditions_are_refused(void **state) {
  (void)state;
  char error[CONDITION_ERROR_SIZE], text[4096];
  memset(text, 'p', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  assert_null(condition_parse(text, error));
  assert_non_null(strstr(error, "too long"));
  size_t length = 0;
  for (int i = 0; i <= CONDITION_COMPARISONS_MAX; i++)
    length += (size_t)snprintf(text + length, sizeof text - length, "%sp50<1us", i ? "," : "");
  assert_null(condition_parse(text, error));
  assert_non_null(strstr(error, "at most 16"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_target, drop_target)
  const struct CMUnitTest tests[] = {
      TEST(every_measure_is_compared),
      TEST(every_unit_is_understood),
      TEST(relations_differ_where_values_are_equal),
      TEST(what_fails_is_explained_in_the_unit_that_was_asked_in),
      TEST(explanation_has_the_digits_it_takes_to_see_the_failure),
      TEST(only_what_fails_is_explained),
      TEST(what_is_not_known_fails),
      TEST(bad_conditions_are_refused_with_the_part_that_is_wrong),
      TEST(huge_conditions_are_refused),
  };
  return cmocka_run_group_tests_name("bench_condition", tests, NULL, NULL);
}
