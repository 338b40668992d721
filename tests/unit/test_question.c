#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "resolve/question.h"

enum { COUNT = 4, NOW_MS = 1000000, GARBAGE = 0x5a5a };

/* COUNT questions that wait together, question i due at NOW_MS + i. */
struct trial {
  struct questions questions;
  struct waiters waiters;
  struct question question[COUNT];
  size_t answered[COUNT], answered_count; /* places in `question` */
  const struct answer *expected;
  struct question *freed; /* a malloc block, freed when it is answered */
};

static void on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  struct trial *trial = context;
  assert_ptr_equal(answer, trial->expected);
  assert_int_equal(now_ms, NOW_MS);
  assert_null(question->waiters);
  assert_int_equal(question->due.place, 0);
  if (question == trial->freed)
    free(question);
  else
    trial->answered[trial->answered_count++] = (size_t)(question - trial->question);
}

static void open_it(struct trial *trial) {
  memset(trial, 0, sizeof(*trial));
  questions_init(&trial->questions, on_answer, trial);
  for (size_t i = 0; i < COUNT; i++) {
    trial->question[i].due.place = GARBAGE;
    question_init(&trial->question[i]);
    assert_int_equal(question_set_due(&trial->questions, &trial->question[i], NOW_MS + (int64_t)i), 0);
    question_join(&trial->question[i], &trial->waiters);
  }
}

static void answer_all(struct trial *trial, question_match_fn *matches) {
  static const struct answer answer = {.verdict = VERDICT_DEADLINE};
  trial->expected = &answer;
  question_answer_all(&trial->questions, &trial->waiters, matches, &answer, NOW_MS);
}

static void the_first_that_is_due_is_found_and_no_other(void **state) {
  (void)state;
  struct trial trial;
  open_it(&trial);
  assert_null(questions_first_due(&trial.questions, NOW_MS - 1));
  assert_ptr_equal(questions_first_due(&trial.questions, NOW_MS), &trial.question[0]);
  assert_int_equal(question_set_due(&trial.questions, &trial.question[0], NOW_MS + 9), 0);
  assert_null(questions_first_due(&trial.questions, NOW_MS));
  assert_int_equal(questions_next_ms(&trial.questions), NOW_MS + 1);
  for (size_t i = 1; i < COUNT; i++)
    assert_int_equal(question_set_due(&trial.questions, &trial.question[i], INT64_MAX), 0);
  assert_int_equal(questions_next_ms(&trial.questions), NOW_MS + 9);
  answer_all(&trial, NULL);
  assert_true(questions_next_ms(&trial.questions) == INT64_MAX);
  assert_null(questions_first_due(&trial.questions, INT64_MAX));
  questions_fini(&trial.questions);
}

static void whoever_leaves_the_others_keep_their_order(void **state) {
  (void)state;
  for (size_t leaver = 0; leaver < COUNT; leaver++) {
    struct trial trial;
    open_it(&trial);
    assert_true(question_leave(&trial.questions, &trial.question[leaver]));
    answer_all(&trial, NULL);
    assert_int_equal(trial.answered_count, COUNT - 1);
    for (size_t i = 0; i < COUNT - 1; i++)
      assert_int_equal(trial.answered[i], i < leaver ? i : i + 1);
    assert_null(trial.waiters.first);
    assert_null(trial.waiters.last);
    questions_fini(&trial.questions);
  }
}

static void one_that_does_not_wait_is_left_alone(void **state) {
  (void)state;
  struct trial trial;
  open_it(&trial);
  answer_all(&trial, NULL);
  trial.question[0].due.place = GARBAGE; /* the caller's again */
  assert_false(question_leave(&trial.questions, &trial.question[0]));
  assert_int_equal(trial.question[0].due.place, GARBAGE);
  questions_fini(&trial.questions);
}

static bool wants_refresh(const struct question *question) { return question->refresh; }

static void only_those_meant_are_answered(void **state) {
  (void)state;
  for (unsigned wanting = 0; wanting < 1u << COUNT; wanting++) {
    struct trial trial;
    open_it(&trial);
    for (size_t i = 0; i < COUNT; i++)
      trial.question[i].refresh = wanting >> i & 1;
    answer_all(&trial, wants_refresh);
    assert_int_equal(trial.answered_count, __builtin_popcount(wanting));
    for (size_t i = 0; i < COUNT; i++)
      assert_int_equal(trial.question[i].waiters != NULL, !(wanting >> i & 1));
    answer_all(&trial, NULL);
    assert_int_equal(trial.answered_count, COUNT);
    questions_fini(&trial.questions);
  }
}

static void a_question_may_be_freed_when_it_is_answered(void **state) {
  (void)state;
  struct trial trial;
  open_it(&trial);
  trial.freed = calloc(1, sizeof(*trial.freed));
  assert_non_null(trial.freed);
  assert_true(question_leave(&trial.questions, &trial.question[0]));
  question_join(trial.freed, &trial.waiters);
  question_join(&trial.question[0], &trial.waiters);
  answer_all(&trial, NULL);
  assert_int_equal(trial.answered_count, COUNT);
  assert_int_equal(trial.answered[COUNT - 1], 0);
  questions_fini(&trial.questions);
}

static void those_who_take_a_stale_answer_before_their_deadline_are_due_for_it(void **state) {
  (void)state;
  struct trial trial;
  static const struct {
    int64_t deadline_ms, stale_ms, due_ms;
  } rows[COUNT] = {
      {NOW_MS + 500, NOW_MS + 100, NOW_MS + 100},
      {INT64_MAX, NOW_MS + 200, NOW_MS + 200}, /* none of its own: it was not due */
      {NOW_MS + 50, NOW_MS + 100, NOW_MS + 50},
      {INT64_MAX, INT64_MAX, INT64_MAX}, /* takes none */
  };
  open_it(&trial);
  for (size_t i = 0; i < COUNT; i++) {
    trial.question[i].deadline_ms = rows[i].deadline_ms;
    trial.question[i].stale_ms = rows[i].stale_ms;
    assert_int_equal(question_set_due(&trial.questions, &trial.question[i], rows[i].deadline_ms), 0);
  }
  question_expect_stale(&trial.questions, &trial.waiters);
  for (size_t i = 0; i < COUNT; i++)
    assert_true((trial.question[i].due.place ? trial.question[i].due.at_ms : INT64_MAX) == rows[i].due_ms);
  answer_all(&trial, NULL);
  assert_true(questions_next_ms(&trial.questions) == INT64_MAX);
  questions_fini(&trial.questions);
}

static void memory_is_looked_into_unless_the_route_is_configured(void **state) {
  (void)state;
  static const struct name_policy policy;
  static struct domain_value value = {.kind = DOMAIN_NULL_MX, .expires_at_ms = NOW_MS};
  static struct stats stats;
  const struct domain_facts pinned = {.kind = DOMAIN_ROUTE};
  struct cache *cache = cache_create(1 << 20, 0, &stats);
  assert_non_null(cache);
  struct question question = {.refresh = false};
  assert_int_equal(name_parse((const uint8_t *)"d.test", 6, &policy, &question.name), NAME_OK);
  question.hash = name_hash("d.test", 6);
  assert_null(question_peek(&question, cache));
  const struct domain_facts *facts = cache_put(cache, "d.test", 6, question.hash, &value);
  assert_non_null(facts);
  assert_ptr_equal(question_peek(&question, cache), facts); /* although it has expired */
  question.pinned = &pinned;
  assert_ptr_equal(question_peek(&question, cache), &pinned);
  cache_release(cache, facts);
  cache_destroy(cache);
}

int main(void) {
  name_hash_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_that_is_due_is_found_and_no_other),
      cmocka_unit_test(whoever_leaves_the_others_keep_their_order),
      cmocka_unit_test(one_that_does_not_wait_is_left_alone),
      cmocka_unit_test(only_those_meant_are_answered),
      cmocka_unit_test(a_question_may_be_freed_when_it_is_answered),
      cmocka_unit_test(those_who_take_a_stale_answer_before_their_deadline_are_due_for_it),
      cmocka_unit_test(memory_is_looked_into_unless_the_route_is_configured),
  };
  return cmocka_run_group_tests_name("question", tests, NULL, NULL);
}
