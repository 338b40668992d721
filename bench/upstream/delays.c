#include "delays.h"

#include <stdlib.h>
#include <string.h>

struct delays {
  struct delayed **heap;
  size_t count, capacity;
  uint64_t order;
};

struct delays *delays_create(void) {
  return calloc(1, sizeof(struct delays));
}

void delays_destroy(struct delays *delays) {
  if (!delays)
    return;
  for (size_t i = 0; i < delays->count; i++)
    free(delays->heap[i]);
  free(delays->heap);
  free(delays);
}

static bool is_before(const struct delayed *a, const struct delayed *b) {
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static bool has_room(struct delays *delays) {
  if (delays->count < delays->capacity)
    return true;
  size_t capacity = delays->capacity ? delays->capacity * 2 : 1024;
  if (capacity > DELAYS_MAX)
    return false;
  struct delayed **heap = realloc(delays->heap, capacity * sizeof(struct delayed *));
  if (!heap)
    return false;
  delays->heap = heap;
  delays->capacity = capacity;
  return true;
}

int delays_put(struct delays *delays, uint64_t due_ns, const struct peer *peer, const uint8_t *bytes,
               size_t length) {
  struct delayed *delayed = has_room(delays) ? malloc(sizeof(*delayed) + length) : NULL;
  if (!delayed)
    return -1;
  *delayed = (struct delayed){.due_ns = due_ns, .order = delays->order++, .peer = *peer, .length = length};
  memcpy(delayed->bytes, bytes, length);
  size_t at = delays->count++;
  for (; at > 0 && is_before(delayed, delays->heap[(at - 1) / 2]); at = (at - 1) / 2)
    delays->heap[at] = delays->heap[(at - 1) / 2];
  delays->heap[at] = delayed;
  return 0;
}

uint64_t delays_next_ns(const struct delays *delays) {
  return delays->count ? delays->heap[0]->due_ns : UINT64_MAX;
}

struct delayed *delays_take(struct delays *delays, uint64_t now_ns) {
  if (delays_next_ns(delays) > now_ns || delays->count == 0)
    return NULL;
  struct delayed *first = delays->heap[0], *last = delays->heap[--delays->count];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < delays->count; at = child) {
    if (child + 1 < delays->count && is_before(delays->heap[child + 1], delays->heap[child]))
      child++;
    if (!is_before(delays->heap[child], last))
      break;
    delays->heap[at] = delays->heap[child];
  }
  delays->heap[at] = last;
  return first;
}
