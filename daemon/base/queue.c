#include "base/queue.h"

static struct queue_links *links(const struct arena *arena, uint32_t ref) { return arena_at(arena, ref); }

static void move_places(struct queue *queue, uint32_t from, uint32_t to) {
  for (enum queue_place place = 0; place < QUEUE_PLACES; place++)
    if (queue->places[place] == from)
      queue->places[place] = to;
}

void queue_put(struct queue *queue, const struct arena *arena, void *block) {
  struct queue_links *own = block;
  uint32_t ref = arena_ref(arena, block);
  own->newer = 0;
  own->older = queue->newest;
  *(queue->newest ? &links(arena, queue->newest)->newer : &queue->oldest) = ref;
  queue->newest = ref;
  queue->count++;
}

void queue_remove(struct queue *queue, const struct arena *arena, void *block) {
  struct queue_links *own = block;
  move_places(queue, arena_ref(arena, block), own->newer);
  *(own->newer ? &links(arena, own->newer)->older : &queue->newest) = own->older;
  *(own->older ? &links(arena, own->older)->newer : &queue->oldest) = own->newer;
  queue->count--;
}

void queue_replace(struct queue *queue, const struct arena *arena, void *old, void *block) {
  struct queue_links *own = block;
  uint32_t ref = arena_ref(arena, block);
  *own = *(struct queue_links *)old;
  *(own->newer ? &links(arena, own->newer)->older : &queue->newest) = ref;
  *(own->older ? &links(arena, own->older)->newer : &queue->oldest) = ref;
  move_places(queue, arena_ref(arena, old), ref);
}

void *queue_next(struct queue *queue, const struct arena *arena, enum queue_place place) {
  uint32_t ref = queue->places[place] ? queue->places[place] : queue->oldest;
  if (ref == 0)
    return NULL;
  queue->places[place] = links(arena, ref)->newer;
  return arena_at(arena, ref);
}
