#include "cmocka_compat.h"

#include <string.h>

#include "dns/dnsqueue.h"

static void the_more_important_come_first_and_equals_in_order(void **state) {
  (void)state;
  struct dnsqueue queue = {0};
  struct dnsqueue_node nodes[6] = {0};
  static const unsigned priorities[6] = {2, 1, 0, 2, 0, 1};
  static const int order[6] = {2, 4, 1, 5, 0, 3};
  for (int i = 0; i < 6; i++)
    dnsqueue_put(&queue, &nodes[i], priorities[i]);
  assert_int_equal(dnsqueue_count(&queue), 6);
  for (int i = 0; i < 6; i++) {
    assert_true(nodes[order[i]].is_waiting);
    assert_ptr_equal(dnsqueue_take(&queue), &nodes[order[i]]);
    assert_false(nodes[order[i]].is_waiting);
  }
  assert_null(dnsqueue_take(&queue));
}

static void the_newest_of_the_least_important_is_shed_for_what_is_more_important(void **state) {
  (void)state;
  struct dnsqueue queue = {0};
  struct dnsqueue_node nodes[4] = {0};
  static const unsigned priorities[4] = {1, 2, 2, 0};
  for (int i = 0; i < 4; i++)
    dnsqueue_put(&queue, &nodes[i], priorities[i]);
  assert_null(dnsqueue_shed(&queue, 2));
  assert_ptr_equal(dnsqueue_shed(&queue, 1), &nodes[2]);
  assert_ptr_equal(dnsqueue_shed(&queue, 0), &nodes[1]);
  assert_ptr_equal(dnsqueue_shed(&queue, 0), &nodes[0]);
  assert_null(dnsqueue_shed(&queue, 0));
  assert_int_equal(dnsqueue_count(&queue), 1);
}

static void any_node_can_be_removed(void **state) {
  (void)state;
  for (int removed = 0; removed < 3; removed++) {
    struct dnsqueue queue = {0};
    struct dnsqueue_node nodes[3] = {0};
    for (int i = 0; i < 3; i++)
      dnsqueue_put(&queue, &nodes[i], 1);
    dnsqueue_remove(&queue, &nodes[removed]);
    assert_false(nodes[removed].is_waiting);
    assert_null(nodes[removed].list);
    for (int i = 0; i < 3; i++)
      if (i != removed)
        assert_ptr_equal(dnsqueue_take(&queue), &nodes[i]);
    assert_int_equal(dnsqueue_count(&queue), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_more_important_come_first_and_equals_in_order),
      cmocka_unit_test(the_newest_of_the_least_important_is_shed_for_what_is_more_important),
      cmocka_unit_test(any_node_can_be_removed),
  };
  return cmocka_run_group_tests_name("dnsqueue", tests, NULL, NULL);
}
