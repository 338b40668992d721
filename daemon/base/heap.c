#include "base/heap.h"

#include <stdlib.h>

#include "base/error.h"

void heap_init(struct heap *heap) { *heap = (struct heap){0}; }

void heap_fini(struct heap *heap) {
  free(heap->nodes);
  *heap = (struct heap){0};
}

static void set(struct heap *heap, size_t index, struct heap_node *node) {
  heap->nodes[index] = node;
  node->place = index + 1;
}

static void sift_up(struct heap *heap, size_t index) {
  struct heap_node *node = heap->nodes[index];
  while (index > 0) {
    size_t parent = (index - 1) / 2;
    if (heap->nodes[parent]->at_ms <= node->at_ms)
      break;
    set(heap, index, heap->nodes[parent]);
    index = parent;
  }
  set(heap, index, node);
}

static void sift_down(struct heap *heap, size_t index) {
  struct heap_node *node = heap->nodes[index];
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= heap->count)
      break;
    if (child + 1 < heap->count && heap->nodes[child + 1]->at_ms < heap->nodes[child]->at_ms)
      child++;
    if (node->at_ms <= heap->nodes[child]->at_ms)
      break;
    set(heap, index, heap->nodes[child]);
    index = child;
  }
  set(heap, index, node);
}

int heap_put(struct heap *heap, struct heap_node *node, int64_t at_ms) {
  if (heap->count == heap->capacity) {
    size_t capacity = heap->capacity ? 2 * heap->capacity : 64;
    struct heap_node **nodes = realloc(heap->nodes, capacity * sizeof(struct heap_node *));
    if (!nodes)
      return ERR_NOMEM;
    heap->nodes = nodes;
    heap->capacity = capacity;
  }
  node->at_ms = at_ms;
  heap->nodes[heap->count++] = node;
  sift_up(heap, heap->count - 1);
  return 0;
}

void heap_remove(struct heap *heap, struct heap_node *node) {
  if (node->place == 0)
    return;
  size_t index = node->place - 1;
  node->place = 0;
  struct heap_node *last = heap->nodes[--heap->count];
  if (last == node)
    return;
  set(heap, index, last);
  sift_up(heap, index);
  sift_down(heap, last->place - 1);
}

struct heap_node *heap_first(const struct heap *heap) {
  return heap->count ? heap->nodes[0] : NULL;
}
