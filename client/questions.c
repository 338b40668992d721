#include "questions.h"

enum { SLOTS = MXWAY_OUTSTANDING_MAX, NONE = UINT16_MAX };

void mxway_questions_init(struct mxway_questions *questions) {
  for (uint16_t i = 0; i < SLOTS; i++) {
    questions->slots[i].id = 0;
    questions->slots[i].next = i + 1 < SLOTS ? (uint16_t)(i + 1) : (uint16_t)NONE;
  }
  questions->count = 0;
  questions->serial = 0;
  questions->free = 0;
  questions->oldest = questions->newest = NONE;
}

uint64_t mxway_questions_add(struct mxway_questions *questions, const struct mxway_question *question) {
  uint16_t at = questions->free;
  if (at == NONE)
    return 0;
  struct mxway_question *slot = &questions->slots[at];
  questions->free = slot->next;
  *slot = *question;
  slot->id = ++questions->serial * SLOTS + at;
  slot->next = NONE;
  slot->previous = questions->newest;
  if (questions->newest == NONE)
    questions->oldest = at;
  else
    questions->slots[questions->newest].next = at;
  questions->newest = at;
  questions->count++;
  return slot->id;
}

bool mxway_questions_remove(struct mxway_questions *questions, uint64_t id, struct mxway_question *taken) {
  uint16_t at = (uint16_t)(id % SLOTS);
  struct mxway_question *slot = &questions->slots[at];
  if (id == 0 || slot->id != id)
    return false;
  *taken = *slot;
  if (slot->previous == NONE)
    questions->oldest = slot->next;
  else
    questions->slots[slot->previous].next = slot->next;
  if (slot->next == NONE)
    questions->newest = slot->previous;
  else
    questions->slots[slot->next].previous = slot->previous;
  slot->id = 0;
  slot->next = questions->free;
  questions->free = at;
  questions->count--;
  return true;
}

bool mxway_questions_remove_oldest(struct mxway_questions *questions, uint64_t serial,
                                   struct mxway_question *taken) {
  if (questions->oldest == NONE)
    return false;
  uint64_t id = questions->slots[questions->oldest].id;
  return id / SLOTS <= serial && mxway_questions_remove(questions, id, taken);
}

void mxway_questions_abandon(struct mxway_questions *questions, uint64_t id) {
  questions->slots[id % SLOTS].answered = NULL;
}
