/*
 * queue: blocks of an arena in the order they came, for one thread.
 *
 * A doubly linked list with links of 32 bits, which are the first octets of each block. Two places go along
 * it from the oldest to the newest and begin anew at the end: a block that leaves moves on the places that
 * stand on it.
 */
#ifndef MXWAY_DAEMON_QUEUE_H
#define MXWAY_DAEMON_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum queue_place { QUEUE_HAND, QUEUE_CURSOR, QUEUE_PLACES };

/* Refs; 0 is none. */
struct queue_links {
  uint32_t newer, older;
};

struct queue {
  uint32_t newest, oldest;
  uint32_t places[QUEUE_PLACES]; /* what comes next; 0: the oldest */
  size_t count;
};

/* Puts a block, lent until removed, as the newest. */
void queue_put(struct queue *queue, const struct arena *arena, void *block);

void queue_remove(struct queue *queue, const struct arena *arena, void *block);

/* Puts `block` where `old` is, which leaves; places that stand on `old` stand on `block` then. */
void queue_replace(struct queue *queue, const struct arena *arena, void *old, void *block);

/* The next block of a place that moves on, NULL where there is none at all. */
void *queue_next(struct queue *queue, const struct arena *arena, enum queue_place place);

#endif
