/*
 * slots: hash to refs into an arena, for many readers and one writer.
 *
 * Extendible hashing: a directory, indexed by the top bits of the hash, of segments of 512 slots (a page of
 * the arena each), which are open-addressing tables by themselves (linear probing, by the low bits). A slot
 * is one atomic word: 32 bits of hash, 32 of ref, so that a probe touches what it refers to only where all 32
 * bits agree. A segment over three quarters is split into two new ones: a few microseconds, whatever the size
 * of the whole; nothing else ever grows but the directory, which is 4 octets a segment.
 *
 * Readers need no lock: a slot is published with one store; a segment that was split and a directory that was
 * doubled stay as they were until the readers are gone. Removal shifts slots back towards their place; a
 * reader that is overtaken by a shift or a split may miss what is there. It never finds what was removed
 * before it looked.
 *
 * Invariants: a segment has 384 refs at most; each ref stands in the one segment of its hash, with no empty
 * slot between its place and itself.
 */
#ifndef MXWAY_DAEMON_SLOTS_H
#define MXWAY_DAEMON_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum { SLOTS_SEGMENT = ARENA_PAGE_BYTES / 8, SLOTS_SEGMENT_MOST = SLOTS_SEGMENT / 4 * 3 };

/* 0 is empty. */
typedef _Atomic uint64_t slot;

struct slots_directory {
  uint32_t shift;           /* the index is hash >> shift */
  _Atomic uint32_t pages[]; /* of the segments, in pages from the arena's base */
};

struct slots {
  _Atomic(struct slots_directory *) directory;
  uint8_t *base; /* the arena's */
  /* The writer's. */
  struct arena *arena;
  size_t segment_count;
  void (*retire)(void *context, void *block);
  void *context;
};

/* Takes segments from `arena`, lent until slots_fini. What was split or doubled goes to `retire`, which frees
 * it when no reader can hold it: pages of the arena and blocks of malloc. Returns 0 or ERR_NOMEM. */
int slots_init(struct slots *slots, struct arena *arena, void (*retire)(void *context, void *block),
               void *context);

/* Frees the directory; the segments go with the arena. */
void slots_fini(struct slots *slots);

/* Octets of the directory. The segments are the arena's. */
size_t slots_bytes(const struct slots *slots);

/* ---- readers ---- */

static inline slot *slots_segment(const struct slots *slots, uint32_t hash) {
  struct slots_directory *directory = atomic_load_explicit(&slots->directory, memory_order_acquire);
  uint64_t index = (uint64_t)hash >> directory->shift;
  size_t page = atomic_load_explicit(&directory->pages[index], memory_order_acquire);
  return (slot *)(void *)(slots->base + page * ARENA_PAGE_BYTES);
}

/* A search: slots_find gives the refs that have `hash` one after the other, then 0. */
struct slots_search {
  slot *segment;
  uint32_t hash, at; /* `at` is the slot after the one last given */
};

static inline void slots_search(const struct slots *slots, uint32_t hash, struct slots_search *search) {
  *search = (struct slots_search){slots_segment(slots, hash), hash, hash % SLOTS_SEGMENT};
}

static inline uint32_t slots_find(struct slots_search *search) {
  for (;;) {
    uint64_t word = atomic_load_explicit(&search->segment[search->at], memory_order_acquire);
    if (word == 0)
      return 0;
    search->at = (search->at + 1) % SLOTS_SEGMENT;
    if (word >> 32 == search->hash)
      return (uint32_t)word;
  }
}

/* Starts loading what tells where the segment is. */
static inline void slots_prefetch_directory(const struct slots *slots, uint32_t hash) {
  const struct slots_directory *directory = atomic_load_explicit(&slots->directory, memory_order_acquire);
  __builtin_prefetch((const void *)&directory->pages[(uint64_t)hash >> directory->shift]);
}

/* Starts loading the slot where a search for `hash` begins. */
static inline void slots_prefetch_slot(const struct slots *slots, uint32_t hash) {
  __builtin_prefetch((const void *)&slots_segment(slots, hash)[hash % SLOTS_SEGMENT]);
}

/* ---- the writer ---- */

/* Adds `ref`. Returns 0, or ERR_NOMEM without memory or where hashes are so alike that no split tells them
 * apart, which those of a keyed hash are not. */
int slots_put(struct slots *slots, uint32_t hash, uint32_t ref);

/* Puts `ref` in the place of `old`, which is there. */
void slots_replace(struct slots *slots, uint32_t hash, uint32_t old, uint32_t ref);

/* Removes `ref`, which is there. */
void slots_remove(struct slots *slots, uint32_t hash, uint32_t ref);

#endif
