#include "cmocka_compat.h"

#include <string.h>

#include "base/dueline.h"

enum { COUNT = 4, NOW_MS = 1000 };

/* COUNT nodes in a line, node i due at NOW_MS + i. */
struct trial {
  struct dueline line;
  struct dueline_node nodes[COUNT];
};

static void open_it(struct trial *trial) {
  memset(trial, 0, sizeof(*trial));
  for (int i = 0; i < COUNT; i++)
    dueline_put(&trial->line, &trial->nodes[i], trial, NOW_MS + i);
}

static void an_empty_line_is_never_due(void **state) {
  (void)state;
  struct dueline line = {0};
  assert_null(dueline_due(&line, INT64_MAX));
  assert_true(dueline_next_ms(&line) == INT64_MAX);
}

static void the_first_is_due_at_its_time_and_not_before(void **state) {
  (void)state;
  struct trial trial;
  open_it(&trial);
  assert_int_equal(dueline_next_ms(&trial.line), NOW_MS);
  assert_null(dueline_due(&trial.line, NOW_MS - 1));
  assert_ptr_equal(dueline_due(&trial.line, NOW_MS), &trial.nodes[0]);
  assert_ptr_equal(dueline_due(&trial.line, NOW_MS + 9), &trial.nodes[0]);
  assert_ptr_equal(trial.nodes[0].owner, &trial);
}

static void whoever_leaves_the_others_keep_their_order(void **state) {
  (void)state;
  for (int leaver = 0; leaver < COUNT; leaver++) {
    struct trial trial;
    open_it(&trial);
    dueline_remove(&trial.nodes[leaver]);
    dueline_remove(&trial.nodes[leaver]);
    for (int i = 0; i < COUNT; i++) {
      if (i == leaver)
        continue;
      struct dueline_node *first = dueline_due(&trial.line, INT64_MAX);
      assert_ptr_equal(first, &trial.nodes[i]);
      dueline_remove(first);
    }
    assert_null(trial.line.first);
    assert_null(trial.line.last);
    dueline_put(&trial.line, &trial.nodes[leaver], &trial, NOW_MS);
    assert_ptr_equal(trial.line.last, &trial.nodes[leaver]);
  }
}

static void what_is_put_with_an_earlier_time_stays_behind_the_last(void **state) {
  (void)state;
  struct trial trial;
  open_it(&trial);
  struct dueline_node early = {0};
  dueline_put(&trial.line, &early, NULL, 0);
  assert_int_equal(dueline_next_ms(&trial.line), NOW_MS);
  for (int i = 0; i < COUNT; i++)
    dueline_remove(&trial.nodes[i]);
  assert_null(dueline_due(&trial.line, NOW_MS + COUNT - 2));
  assert_ptr_equal(dueline_due(&trial.line, NOW_MS + COUNT - 1), &early);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_line_is_never_due),
      cmocka_unit_test(the_first_is_due_at_its_time_and_not_before),
      cmocka_unit_test(whoever_leaves_the_others_keep_their_order),
      cmocka_unit_test(what_is_put_with_an_earlier_time_stays_behind_the_last),
  };
  return cmocka_run_group_tests_name("dueline", tests, NULL, NULL);
}
