#include "resolve/question.h"

void questions_init(struct questions *questions, question_answer_fn *on_answer, void *context) {
  heap_init(&questions->due);
  questions->on_answer = on_answer;
  questions->context = context;
}

void questions_fini(struct questions *questions) { heap_fini(&questions->due); }

struct question *questions_first_due(const struct questions *questions, int64_t now_ms) {
  struct heap_node *node = heap_first(&questions->due);
  return node && node->at_ms <= now_ms ? (struct question *)((char *)node - offsetof(struct question, due))
                                       : NULL;
}

int64_t questions_next_ms(const struct questions *questions) {
  const struct heap_node *node = heap_first(&questions->due);
  return node ? node->at_ms : INT64_MAX;
}

void question_init(struct question *question) {
  question->due.place = 0;
  question->has_joined = false;
  question->waiters = NULL;
}

const struct domain_facts *question_peek(const struct question *question, const struct cache *cache) {
  return question->pinned ? question->pinned
                          : cache_peek(cache, question->name.text, question->name.length, question->hash);
}

int question_set_due(struct questions *questions, struct question *question, int64_t due_ms) {
  heap_remove(&questions->due, &question->due);
  return due_ms == INT64_MAX ? 0 : heap_put(&questions->due, &question->due, due_ms);
}

void question_expect_stale(struct questions *questions, struct waiters *waiters) {
  for (struct question *question = waiters->first; question; question = question->next)
    if (question->stale_ms < question->deadline_ms)
      question_set_due(questions, question, question->stale_ms); /* without memory he waits for what comes */
}

void question_join(struct question *question, struct waiters *waiters) {
  question->waiters = waiters;
  question->next = NULL;
  question->previous = waiters->last;
  *(waiters->last ? &waiters->last->next : &waiters->first) = question;
  waiters->last = question;
}

bool question_leave(struct questions *questions, struct question *question) {
  struct waiters *waiters = question->waiters;
  if (!waiters)
    return false;
  heap_remove(&questions->due, &question->due);
  *(question->previous ? &question->previous->next : &waiters->first) = question->next;
  *(question->next ? &question->next->previous : &waiters->last) = question->previous;
  question->waiters = NULL;
  return true;
}

void question_answer(struct questions *questions, struct question *question, const struct answer *answer,
                     int64_t now_ms) {
  question_leave(questions, question);
  questions->on_answer(questions->context, question, answer, now_ms);
}

void question_answer_all(struct questions *questions, struct waiters *waiters, question_match_fn *matches,
                         const struct answer *answer, int64_t now_ms) {
  for (struct question *question = waiters->first, *next; question; question = next) {
    next = question->next;
    if (!matches || matches(question))
      question_answer(questions, question, answer, now_ms);
  }
}
