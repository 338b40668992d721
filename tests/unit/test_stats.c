#include "cmocka_compat.h"

#include <pthread.h>
#include <string.h>

#include "base/stats.h"

enum { THREADS = 4, ROUNDS = 50000 };

static int forget(void **state) {
  (void)state;
  stats_forget_all();
  return 0;
}

static void without_a_thread_every_sum_is_zero(void **state) {
  (void)state;
  for (int i = 0; i < STATS_COUNT; i++)
    assert_true(stats_sum((enum stats_counter)i) == 0);
}

static void a_count_shows_in_its_counter_only(void **state) {
  (void)state;
  struct stats stats = {0};
  stats_register(&stats);
  stats_add(&stats, STATS_MISSES);
  stats_add(&stats, STATS_MISSES);
  for (int i = 0; i < STATS_COUNT; i++)
    assert_true(stats_sum((enum stats_counter)i) == (i == STATS_MISSES ? 2 : 0));
}

static void a_sum_is_over_all_sets(void **state) {
  (void)state;
  struct stats sets[3] = {0};
  for (int i = 0; i < 3; i++) {
    stats_register(&sets[i]);
    for (int count = 0; count <= i; count++)
      stats_add(&sets[i], STATS_HITS);
  }
  assert_true(stats_sum(STATS_HITS) == 6);
}

static void forgotten_sets_are_not_summed(void **state) {
  (void)state;
  struct stats old = {0}, current = {0};
  stats_register(&old);
  stats_add(&old, STATS_HITS);
  stats_forget_all();
  assert_true(stats_sum(STATS_HITS) == 0);
  stats_register(&current);
  stats_add(&current, STATS_HITS);
  assert_true(stats_sum(STATS_HITS) == 1);
}

struct worker {
  pthread_t thread;
  struct stats stats;
};

static void *count(void *argument) {
  struct worker *worker = argument;
  stats_register(&worker->stats);
  for (int i = 0; i < ROUNDS; i++) {
    stats_add(&worker->stats, STATS_REQUESTS);
    if (i % 2)
      stats_add(&worker->stats, STATS_HITS);
  }
  return NULL;
}

static void threads_count_at_once_and_nothing_is_lost(void **state) {
  (void)state;
  struct worker workers[THREADS] = {0};
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&workers[i].thread, NULL, count, &workers[i]), 0);
  uint64_t before = 0;
  for (int i = 0; i < 1000; i++) {
    uint64_t sum = stats_sum(STATS_REQUESTS);
    assert_true(sum >= before);
    before = sum;
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(workers[i].thread, NULL);
  assert_true(stats_sum(STATS_REQUESTS) == (uint64_t)THREADS * ROUNDS);
  assert_true(stats_sum(STATS_HITS) == (uint64_t)THREADS * ROUNDS / 2);
}

static void every_counter_has_a_name_and_a_text_of_its_own(void **state) {
  (void)state;
  for (int i = 0; i < STATS_COUNT; i++) {
    const char *name = stats_name((enum stats_counter)i);
    assert_true(strlen(name) > 0 && strspn(name, "abcdefghijklmnopqrstuvwxyz-") == strlen(name));
    assert_true(strlen(stats_text((enum stats_counter)i)) > 0);
    for (int j = 0; j < i; j++)
      assert_string_not_equal(name, stats_name((enum stats_counter)j));
  }
  assert_string_equal(stats_name(STATS_DNS_TIMEOUTS), "dns-timeouts");
  assert_string_equal(stats_text(STATS_HITS), "answers from memory");
}

static void sets_of_two_threads_share_no_cache_line(void **state) {
  (void)state;
  assert_int_equal(_Alignof(struct stats), 64);
  assert_int_equal(sizeof(struct stats) % 64, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(without_a_thread_every_sum_is_zero, forget),
      cmocka_unit_test_teardown(a_count_shows_in_its_counter_only, forget),
      cmocka_unit_test_teardown(a_sum_is_over_all_sets, forget),
      cmocka_unit_test_teardown(forgotten_sets_are_not_summed, forget),
      cmocka_unit_test_teardown(threads_count_at_once_and_nothing_is_lost, forget),
      cmocka_unit_test(every_counter_has_a_name_and_a_text_of_its_own),
      cmocka_unit_test(sets_of_two_threads_share_no_cache_line),
  };
  return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
