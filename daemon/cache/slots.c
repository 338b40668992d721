#include "cache/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* A directory with this many entries for each segment is that of hashes that are no hashes. */
enum { DEPTH_MAX = 23, DIRECTORY_SPARSE = 64 };

/* What the arena's word of a segment's page holds. */
static uint32_t pack_word(uint32_t depth, uint32_t count) { return depth << 16 | count; }
static uint32_t word_depth(uint32_t word) { return word >> 16; }
static uint32_t word_count(uint32_t word) { return word & 0xffff; }

static uint64_t pack_slot(uint32_t hash, uint32_t ref) { return (uint64_t)hash << 32 | ref; }
static uint32_t slot_hash(uint64_t word) { return (uint32_t)(word >> 32); }

static struct slots_directory *directory_of(const struct slots *slots) {
  return atomic_load_explicit(&slots->directory, memory_order_relaxed);
}

static uint32_t depth_of(const struct slots_directory *directory) { return 32 - directory->shift; }

static uint32_t *word_of(const struct slots *slots, const slot *segment) {
  return arena_page_word(slots->arena, (const void *)segment);
}

static uint32_t page_of(const struct slots *slots, const slot *segment) {
  return (uint32_t)((size_t)((const uint8_t *)(const void *)segment - slots->base) / ARENA_PAGE_BYTES);
}

static struct slots_directory *new_directory(uint32_t depth) {
  struct slots_directory *directory = malloc(sizeof(*directory) + (sizeof(directory->pages[0]) << depth));
  if (directory)
    directory->shift = 32 - depth;
  return directory;
}

int slots_init(struct slots *slots, struct arena *arena, void (*retire)(void *context, void *block),
               void *context) {
  *slots = (struct slots){
      .base = arena->base, .arena = arena, .segment_count = 1, .retire = retire, .context = context};
  struct slots_directory *directory = new_directory(0);
  slot *segment = directory ? arena_get_page(arena) : NULL;
  if (!segment) {
    free(directory);
    return ERR_NOMEM;
  }
  atomic_init(&directory->pages[0], page_of(slots, segment));
  atomic_init(&slots->directory, directory);
  return 0;
}

void slots_fini(struct slots *slots) {
  free(directory_of(slots));
  atomic_init(&slots->directory, NULL);
}

size_t slots_bytes(const struct slots *slots) {
  const struct slots_directory *directory = directory_of(slots);
  return sizeof(*directory) + (sizeof(directory->pages[0]) << depth_of(directory));
}

/* ---- growth ---- */

static int double_directory(struct slots *slots) {
  struct slots_directory *old = directory_of(slots);
  uint32_t depth = depth_of(old);
  if (depth == DEPTH_MAX || (size_t)1 << depth > DIRECTORY_SPARSE * (slots->segment_count + 1))
    return ERR_NOMEM;
  struct slots_directory *directory = new_directory(depth + 1);
  if (!directory)
    return ERR_NOMEM;
  for (size_t i = 0; i < (size_t)1 << depth; i++) {
    uint32_t page = atomic_load_explicit(&old->pages[i], memory_order_relaxed);
    atomic_init(&directory->pages[2 * i], page);
    atomic_init(&directory->pages[2 * i + 1], page);
  }
  atomic_store_explicit(&slots->directory, directory, memory_order_release);
  slots->retire(slots->context, old);
  return 0;
}

/* Puts where nobody reads yet, or where one store makes it seen. */
static void put_in(slot *segment, uint64_t word) {
  uint32_t at = slot_hash(word) % SLOTS_SEGMENT;
  while (atomic_load_explicit(&segment[at], memory_order_relaxed) != 0)
    at = (at + 1) % SLOTS_SEGMENT;
  atomic_store_explicit(&segment[at], word, memory_order_release);
}

/* Moves what `segment` holds to `halves`, by the bit behind its first `depth` ones. */
static void share_out(struct slots *slots, const slot *segment, uint32_t depth, slot *const halves[2]) {
  uint32_t counts[2] = {0, 0};
  for (uint32_t at = 0; at < SLOTS_SEGMENT; at++) {
    uint64_t word = atomic_load_explicit(&segment[at], memory_order_relaxed);
    if (word == 0)
      continue;
    uint32_t half = slot_hash(word) >> (31 - depth) & 1;
    put_in(halves[half], word);
    counts[half]++;
  }
  for (int half = 0; half < 2; half++)
    *word_of(slots, halves[half]) = pack_word(depth + 1, counts[half]);
}

/* Puts two new segments in the place of the one for `hash`. */
static int split(struct slots *slots, uint32_t hash) {
  slot *segment = slots_segment(slots, hash);
  uint32_t depth = word_depth(*word_of(slots, segment));
  if (depth == depth_of(directory_of(slots)) && double_directory(slots) != 0)
    return ERR_NOMEM;
  slot *halves[2] = {arena_get_page(slots->arena), arena_get_page(slots->arena)};
  if (!halves[0] || !halves[1]) {
    for (int half = 0; half < 2; half++)
      if (halves[half])
        arena_free(slots->arena, (void *)halves[half]);
    return ERR_NOMEM;
  }
  share_out(slots, segment, depth, halves);
  struct slots_directory *directory = directory_of(slots);
  size_t count = (size_t)1 << (depth_of(directory) - depth);
  size_t first = (size_t)((uint64_t)hash >> directory->shift) / count * count;
  for (size_t i = 0; i < count; i++)
    atomic_store_explicit(&directory->pages[first + i], page_of(slots, halves[i >= count / 2]),
                          memory_order_release);
  slots->segment_count++;
  slots->retire(slots->context, (void *)segment);
  return 0;
}

/* ---- the writer ---- */

int slots_put(struct slots *slots, uint32_t hash, uint32_t ref) {
  slot *segment = slots_segment(slots, hash);
  while (word_count(*word_of(slots, segment)) >= SLOTS_SEGMENT_MOST) {
    if (split(slots, hash) != 0)
      return ERR_NOMEM;
    segment = slots_segment(slots, hash);
  }
  put_in(segment, pack_slot(hash, ref));
  ++*word_of(slots, segment);
  return 0;
}

/* Where `ref` stands in its segment. */
static uint32_t place_of(const slot *segment, uint32_t hash, uint32_t ref) {
  uint32_t at = hash % SLOTS_SEGMENT;
  for (uint64_t word;; at = (at + 1) % SLOTS_SEGMENT) {
    word = atomic_load_explicit(&segment[at], memory_order_relaxed);
    assert(word != 0);
    if (word == pack_slot(hash, ref))
      return at;
  }
}

void slots_replace(struct slots *slots, uint32_t hash, uint32_t old, uint32_t ref) {
  slot *segment = slots_segment(slots, hash);
  atomic_store_explicit(&segment[place_of(segment, hash, old)], pack_slot(hash, ref), memory_order_release);
}

/* Moves back what would not be found behind an empty slot. Each move publishes the new place before it takes
 * the old one away. */
void slots_remove(struct slots *slots, uint32_t hash, uint32_t ref) {
  slot *segment = slots_segment(slots, hash);
  uint32_t hole = place_of(segment, hash, ref);
  for (uint32_t at = (hole + 1) % SLOTS_SEGMENT;; at = (at + 1) % SLOTS_SEGMENT) {
    uint64_t word = atomic_load_explicit(&segment[at], memory_order_relaxed);
    if (word == 0)
      break;
    uint32_t home = slot_hash(word) % SLOTS_SEGMENT;
    if ((at - home) % SLOTS_SEGMENT < (at - hole) % SLOTS_SEGMENT)
      continue; /* its place lies behind the hole */
    atomic_store_explicit(&segment[hole], word, memory_order_release);
    hole = at;
  }
  atomic_store_explicit(&segment[hole], 0, memory_order_release);
  --*word_of(slots, segment);
}
