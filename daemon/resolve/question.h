/*
 * question: what one caller asks about one domain, and those who wait for one answer together.
 *
 * Keeps who waits in the order they came, and when something is to be done about one of them. Does not know
 * what is waited for, nor decide what is answered: that is flight's and resolver's.
 *
 * One thread: the cache's writer. Time is an argument.
 *
 * Invariants: a question is among the waiters of exactly one thing from question_join to its answer, and then
 * the caller's again; only one that waits, or is about to, is due.
 */
#ifndef MXWAY_DAEMON_QUESTION_H
#define MXWAY_DAEMON_QUESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/story.h"
#include "cache/cache.h"
#include "rules/name.h"
#include "rules/route.h"
#include "rules/verdict.h"

struct waiters {
  struct question *first, *last;
};

/* One caller's question, inside an object of the caller's. */
struct question {
  /* The caller's, constant while pending. */
  struct name name; /* NAME_DOMAIN */
  uint64_t hash;    /* name_hash of it */
  enum depth depth;
  bool refresh;                      /* ask although the cache has an answer */
  bool cache_only;                   /* ask nobody */
  bool no_stale;                     /* no answer from facts that have expired */
  uint32_t timeout_ms;               /* 0: the lookup deadline */
  const struct domain_facts *pinned; /* of a configured route, its set kept by the cache: only the addresses
                                      * are asked for. NULL: the DNS says where mail goes */
  struct story *story;               /* told what happens, lent; or NULL */
  /* The resolver's. */
  struct heap_node due; /* its deadline, or when it may be answered stale */
  int64_t deadline_ms;
  bool has_joined;         /* a lookup that was under way already, whose story may be another's */
  int64_t stale_ms;        /* when it takes a stale answer; INT64_MAX: never */
  struct waiters *waiters; /* those it is among; NULL: it does not wait */
  struct question *previous, *next;
};

struct answer {
  const struct domain_facts *facts; /* lent for the call; NULL: `verdict` alone */
  enum verdict verdict;             /* where there are no facts */
  bool from_memory;                 /* nobody was asked for this answer */
  bool from_store;                  /* the shared store gave what memory did not hold, and the DNS nothing */
  int64_t since_ms;                 /* facts that had expired before this do not count */
};

/* Answers a pending question, which is the caller's again. Must not call back into who answers. */
typedef void question_answer_fn(void *context, struct question *question, const struct answer *answer,
                                int64_t now_ms);

/* Whether a question is one of those meant. */
typedef bool question_match_fn(const struct question *question);

/* All questions that wait: by when they are due, and who is told the answers. */
struct questions {
  struct heap due;
  question_answer_fn *on_answer;
  void *context;
};

void questions_init(struct questions *questions, question_answer_fn *on_answer, void *context);

/* No question may be due any more. */
void questions_fini(struct questions *questions);

/* A question that is due at `now_ms`, or NULL. */
struct question *questions_first_due(const struct questions *questions, int64_t now_ms);

/* When the first will be due; INT64_MAX: none. */
int64_t questions_next_ms(const struct questions *questions);

/* Makes a question of the caller's one that does not wait. */
void question_init(struct question *question);

/* What memory holds of the question's domain, fresh or not: its configured route, where it has one. NULL:
 * nothing. As long as the cache is not changed. */
const struct domain_facts *question_peek(const struct question *question, const struct cache *cache);

/* Has the question due at `due_ms`, in the place of what was before; INT64_MAX: never. Returns 0, or
 * ERR_NOMEM where it was not due before. */
int question_set_due(struct questions *questions, struct question *question, int64_t due_ms);

/* Has those of `waiters` who take a stale answer before their deadline be due when they do: memory now holds
 * what there was none of when they asked. */
void question_expect_stale(struct questions *questions, struct waiters *waiters);

/* Puts a question that does not wait at the end of `waiters`. */
void question_join(struct question *question, struct waiters *waiters);

/* Has a question wait no longer, and not be due; one that does not wait is left alone. Returns whether it
 * did. */
bool question_leave(struct questions *questions, struct question *question);

/* Answers a question that waits. */
void question_answer(struct questions *questions, struct question *question, const struct answer *answer,
                     int64_t now_ms);

/* Answers those of `waiters` whom `matches` accepts (NULL: all of them), in the order they came. */
void question_answer_all(struct questions *questions, struct waiters *waiters, question_match_fn *matches,
                         const struct answer *answer, int64_t now_ms);

#endif
