/*
 * dueline: deadlines that come in the order they were set, for one thread.
 *
 * Where all who wait wait equally long, a list is in order by itself: whoever comes last is due last. A node
 * lives inside the caller's object and knows its line, so that any can leave. O(1) each, no clock, no
 * allocation; what does not come in order belongs into a heap.
 */
#ifndef MXWAY_DAEMON_DUELINE_H
#define MXWAY_DAEMON_DUELINE_H

#include <stddef.h>
#include <stdint.h>

struct dueline;

struct dueline_node {
  struct dueline *line; /* NULL: in none. Zeroed by the caller before first use. */
  void *owner;          /* the caller's object */
  struct dueline_node *previous, *next;
  int64_t at_ms;
};

/* Zeroes are an empty one. It stays where it is while there are nodes in it. */
struct dueline {
  struct dueline_node *first, *last;
};

/* Adds `node` of `owner`, in no line, as the last; lent until removed. Due at `at_ms`, or with the last one
 * where that is later: then the clock that the caller reads has gone back. */
void dueline_put(struct dueline *line, struct dueline_node *node, void *owner, int64_t at_ms);

/* Takes `node` out of its line; one that is in none is left alone. */
void dueline_remove(struct dueline_node *node);

/* The first, where it is due at `now_ms`, or NULL. */
struct dueline_node *dueline_due(const struct dueline *line, int64_t now_ms);

/* When the first is due; INT64_MAX: never. */
int64_t dueline_next_ms(const struct dueline *line);

#endif
