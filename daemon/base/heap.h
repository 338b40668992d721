/*
 * heap: deadlines in order, for one thread.
 *
 * A binary heap of nodes that live inside the caller's objects; a node knows
 * its place, so that any can be removed. O(log n) each, no clock.
 */
#ifndef MXWAY_DAEMON_HEAP_H
#define MXWAY_DAEMON_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct heap_node {
  int64_t at_ms;
  size_t place; /* index + 1; 0: in no heap. Zeroed by the caller before first use. */
};

struct heap {
  struct heap_node **nodes;
  size_t count, capacity;
};

void heap_init(struct heap *heap);

/* Frees the array, not the nodes. */
void heap_fini(struct heap *heap);

/* Adds `node`, due at `at_ms`; `node` is in no heap and is lent until removed.
 * Returns 0 or ERR_NOMEM. */
int heap_put(struct heap *heap, struct heap_node *node, int64_t at_ms);

/* Removes `node`; one that is in no heap is left alone. */
void heap_remove(struct heap *heap, struct heap_node *node);

/* The node due first, or NULL. */
struct heap_node *heap_first(const struct heap *heap);

#endif
