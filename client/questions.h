/*
 * questions: what was asked on a connection and is not answered yet.
 *
 * A table of MXWAY_OUTSTANDING_MAX slots. An id is the serial number of the
 * question times the size of the table, plus its slot: found in O(1), and never the
 * same twice, so that an answer to anything but an open question is noticed. The
 * open ones are also a list, oldest first.
 */
#ifndef MXWAY_CLIENT_QUESTIONS_H
#define MXWAY_CLIENT_QUESTIONS_H

#include "mxway/mxway.h"

struct mxway_question {
  uint64_t id;              /* 0: the slot is free */
  mxway_reply_fn *answered; /* NULL: nobody waits any more */
  void *context;
  bool keeps_reply;        /* `answered` takes the reply */
  uint16_t next, previous; /* slots; of a free one, the next free one */
};

struct mxway_questions {
  struct mxway_question slots[MXWAY_OUTSTANDING_MAX];
  size_t count;
  uint64_t serial; /* of the question last added */
  uint16_t free, oldest, newest;
};

void mxway_questions_init(struct mxway_questions *questions);

/* Adds `question` (its answered, context, keeps_reply). Returns its id, or 0 when all slots are taken. */
uint64_t mxway_questions_add(struct mxway_questions *questions, const struct mxway_question *question);

/* Removes the open question `id` into `taken`; false where there is none. */
bool mxway_questions_remove(struct mxway_questions *questions, uint64_t id, struct mxway_question *taken);

/* Removes the oldest open question with a serial of at most `serial`. */
bool mxway_questions_remove_oldest(struct mxway_questions *questions, uint64_t serial,
                                   struct mxway_question *taken);

/* Nobody waits for `id`, which is open, any more; its slot stays taken until the answer comes. */
void mxway_questions_abandon(struct mxway_questions *questions, uint64_t id);

#endif
