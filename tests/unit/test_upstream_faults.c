#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "faults.h"

static struct faults *made(const char *const *rules) {
  char error[FAULTS_ERROR_SIZE];
  struct faults *faults = faults_create();
  assert_non_null(faults);
  for (; *rules; rules++)
    if (faults_add(faults, *rules, error) != 0)
      fail_msg("%s: %s", *rules, error);
  return faults;
}

static struct fault judge(struct faults *faults, const char *text, uint16_t type, uint64_t draw) {
  struct dname name;
  assert_true(dname_parse(text, strlen(text), NULL, &name));
  return faults_judge(faults, &name, type, draw);
}

static void the_last_rule_that_matches_decides_on_each_part(void **state) {
  (void)state;
  struct faults *faults = made((const char *const[]){"*=delay=5", "*.test=servfail", "a.test/MX=refused",
                                                     "B.Test.=none", "b.test=delay=0", NULL});
  struct fault fault = judge(faults, "x.example", TYPE_MX, 1);
  assert_int_equal(fault.answer, FAULT_NONE);
  assert_int_equal(fault.delay_ns, 5000000);
  assert_int_equal(judge(faults, "c.test", TYPE_MX, 1).answer, FAULT_SERVFAIL);
  assert_int_equal(judge(faults, "a.test", TYPE_A, 1).answer, FAULT_SERVFAIL);
  assert_int_equal(judge(faults, "a.test", TYPE_MX, 1).answer, FAULT_REFUSED);
  assert_int_equal(judge(faults, "deep.a.test", TYPE_MX, 1).answer, FAULT_SERVFAIL);
  fault = judge(faults, "b.test", TYPE_MX, 1);
  assert_int_equal(fault.answer, FAULT_NONE);
  assert_int_equal(fault.delay_ns, 0);
  assert_int_equal(judge(faults, "test", TYPE_MX, 1).answer, FAULT_NONE);
  faults_destroy(faults);
}

static void delays_have_their_distribution_and_the_same_draw_the_same_delay(void **state) {
  (void)state;
  enum { DRAWS = 20000 };
  struct faults *faults = made((const char *const[]){"a.test=delay=2-4", "b.test=delay=exp:10", NULL});
  double sum_ms = 0;
  unsigned over_mean = 0;
  for (uint64_t draw = 0; draw < DRAWS; draw++) {
    assert_in_range(judge(faults, "a.test", TYPE_A, draw).delay_ns, 2000000, 4000000);
    double ms = (double)judge(faults, "b.test", TYPE_A, draw).delay_ns / 1e6;
    sum_ms += ms;
    over_mean += ms > 10;
  }
  assert_in_range(sum_ms / DRAWS * 100, 950, 1050);
  assert_in_range(over_mean * 1000 / DRAWS, 348, 388); /* 1/e */
  assert_int_equal(judge(faults, "b.test", TYPE_A, 7).delay_ns, judge(faults, "b.test", TYPE_A, 7).delay_ns);
  faults_destroy(faults);
}

static void a_share_is_lost(void **state) {
  (void)state;
  struct faults *faults =
      made((const char *const[]){"*=loss=0.1", "all.test=loss=1", "none.test=loss=0", NULL});
  unsigned lost = 0;
  for (uint64_t draw = 0; draw < 20000; draw++) {
    lost += judge(faults, "a.test", TYPE_A, draw).is_lost;
    assert_true(judge(faults, "all.test", TYPE_A, draw).is_lost);
    assert_false(judge(faults, "none.test", TYPE_A, draw).is_lost);
  }
  assert_in_range(lost, 1800, 2200);
  faults_destroy(faults);
}

static void what_is_no_rule_is_refused(void **state) {
  (void)state;
  static const char *const wrong[] = {
      "",          "a.test",     "=silent",      "a.test=",         "a.test=Silent", "a.test/=silent",
      "/A=silent", "a/PTR=none", "*=delay=",     "*=delay=-1",      "*=delay=5ms",   "*=delay=5-",
      "*=loss=2",  "*=loss=-0",  "*=delay=9-3",  "*=delay=3600001", "*=delay=exp:",  "*=delay=exp:x",
      "*=loss=",   "*=loss=nan", "*=loss=0.5x1", "*=delay=inf",     "*=delay=1-2-3"};
  char error[FAULTS_ERROR_SIZE];
  struct faults *faults = faults_create();
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    error[0] = '\0';
    if (faults_add(faults, wrong[i], error) != -1 || !error[0])
      fail_msg("'%s' is taken", wrong[i]);
  }
  faults_destroy(faults);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_last_rule_that_matches_decides_on_each_part),
      cmocka_unit_test(delays_have_their_distribution_and_the_same_draw_the_same_delay),
      cmocka_unit_test(a_share_is_lost),
      cmocka_unit_test(what_is_no_rule_is_refused),
  };
  return cmocka_run_group_tests_name("upstream_faults", tests, NULL, NULL);
}
