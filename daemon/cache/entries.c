#include "cache/entries.h"

#include <string.h>

enum {
  SLOT_BYTES = 16,         /* what an entry costs in the table, about */
  STEPS_MOST = 1024,       /* of the hand, for one eviction */
  STEPS_OF_PUT_MOST = 8192 /* of the hand, for all evictions of one put */
};

/* A block for what `facts` say, but with these texts, of the lengths in `facts`. */
static struct entry *alloc_entry(struct arena *arena, const struct domain_facts *facts, const char *name,
                                 const char *canonical, uint32_t hash) {
  struct entry *entry =
      arena_get(arena, offsetof(struct entry, facts.text) + facts->name_length + facts->canonical_length);
  if (!entry)
    return NULL;
  entry->hash = hash;
  entry->refs = 2; /* the table's and the caller's */
  entry->share = SHARE_NONE;
  atomic_init(&entry->use, 0);
  entry->facts = *facts;
  memcpy(entry->facts.text, name, facts->name_length);
  memcpy(entry->facts.text + facts->name_length, canonical, facts->canonical_length);
  return entry;
}

struct entry *entry_build(struct arena *arena, const char *name, size_t length, uint32_t hash,
                          const struct domain_value *value) {
  const struct domain_facts facts = {.stored_at_ms = value->stored_at_ms,
                                     .expires_at_ms = value->expires_at_ms,
                                     .refresh_lead_ms = value->refresh_lead_ms,
                                     .warnings = value->warnings,
                                     .kind = (uint8_t)value->kind,
                                     .cause = value->cause,
                                     .failures = value->failures,
                                     .authentic = value->authentic,
                                     .name_length = (uint8_t)length,
                                     .canonical_length = (uint8_t)strlen(value->canonical)};
  return alloc_entry(arena, &facts, name, value->canonical, hash);
}

struct entry *entry_copy(struct arena *arena, const struct domain_facts *facts, uint32_t hash) {
  return alloc_entry(arena, facts, facts->text, facts->text + facts->name_length, hash);
}

struct entry *entry_move(struct arena *arena, const struct entry *entry) {
  struct entry *copy = arena_get(arena, entry_bytes(entry));
  if (!copy)
    return NULL;
  memcpy(&copy->facts, &entry->facts, entry_bytes(entry) - offsetof(struct entry, facts));
  copy->hash = entry->hash;
  copy->refs = entry->refs;
  copy->share = SHARE_NONE;
  atomic_init(&copy->use, atomic_load_explicit(&entry->use, memory_order_relaxed));
  return copy;
}

void entries_init(struct entries *entries, struct arena *arena) {
  *entries = (struct entries){.arena = arena};
}

struct entry *entries_newest(const struct entries *entries, enum share share) {
  uint32_t newest = entries->queues[share].newest;
  return newest ? arena_at(entries->arena, newest) : NULL;
}

static enum share share_for(const struct entry *entry) {
  return entry->facts.kind == DOMAIN_NXDOMAIN || entry->facts.kind == DOMAIN_FAILED ? SHARE_DENIED
                                                                                    : SHARE_GOOD;
}

void entries_put(struct entries *entries, struct entry *entry) {
  entry->share = (uint8_t)share_for(entry);
  queue_put(&entries->queues[entry->share], entries->arena, entry);
  if (entry->share == SHARE_DENIED)
    entries->denied_bytes += entry_bytes(entry) + SLOT_BYTES;
}

/* Has the walks that stand on `from` stand on `to`; both are refs. */
static void move_walks(struct entries *entries, uint32_t from, uint32_t to) {
  for (struct entries_walk *walk = entries->walks; walk; walk = walk->next)
    if (walk->at == from)
      walk->at = to;
}

void entries_remove(struct entries *entries, struct entry *entry) {
  if (entry->share == SHARE_DENIED)
    entries->denied_bytes -= entry_bytes(entry) + SLOT_BYTES;
  move_walks(entries, arena_ref(entries->arena, entry), entry->links.newer);
  queue_remove(&entries->queues[entry->share], entries->arena, entry);
  entry->share = SHARE_NONE;
}

/* Where the places in the queue stay as they are: `old` and `entry` are of one kind. */
static void inherit_share(struct entries *entries, struct entry *old, struct entry *entry) {
  entry->share = old->share;
  queue_replace(&entries->queues[entry->share], entries->arena, old, entry);
  move_walks(entries, arena_ref(entries->arena, old), arena_ref(entries->arena, entry));
  if (entry->share == SHARE_DENIED)
    entries->denied_bytes += entry_bytes(entry) - entry_bytes(old);
  old->share = SHARE_NONE;
}

void entries_replace(struct entries *entries, struct entry *old, struct entry *entry) {
  if (share_for(entry) == old->share) {
    inherit_share(entries, old, entry);
  } else {
    entries_remove(entries, old);
    entries_put(entries, entry);
  }
}

bool entries_have_victim(const struct entries *entries, enum share share, const struct entry *spared) {
  return entries->queues[share].count > (spared && spared->share == share);
}

/* Whether the hand stops at `entry`. */
static bool is_to_go(const struct entry *entry, int64_t now_ms) {
  return entry->facts.expires_at_ms <= now_ms || entry_hits(entry) == 0;
}

struct entry *entries_choose(struct entries *entries, enum share share, const struct entry *spared,
                             int64_t now_ms, int *steps) {
  for (int own = 0;; own++, ++*steps) {
    struct entry *entry = queue_next(&entries->queues[share], entries->arena, QUEUE_HAND);
    if (entry == spared)
      continue;
    if (own >= STEPS_MOST || *steps >= STEPS_OF_PUT_MOST || is_to_go(entry, now_ms))
      return entry;
    atomic_fetch_sub_explicit(&entry->use, 1, memory_order_relaxed);
  }
}

struct entry *entries_sweep_next(struct entries *entries) {
  struct queue *queue = &entries->queues[entries->sweeping];
  struct entry *entry = queue_next(queue, entries->arena, QUEUE_CURSOR);
  if (queue->places[QUEUE_CURSOR] == 0)
    entries->sweeping = entries->sweeping == SHARE_GOOD ? SHARE_DENIED : SHARE_GOOD;
  return entry ? entry : entries_sweep_next(entries);
}

/* ---- walks ---- */

static void enter_share(struct entries_walk *walk, enum share share) {
  const struct queue *queue = &walk->entries->queues[share];
  walk->share = share;
  walk->at = queue->oldest;
  walk->left = queue->count;
  walk->is_behind = queue->places[QUEUE_HAND] != 0;
}

void entries_walk_start(struct entries_walk *walk, struct entries *entries) {
  *walk = (struct entries_walk){.entries = entries, .next = entries->walks};
  entries->walks = walk;
  enter_share(walk, SHARE_DENIED);
}

struct entry *entries_walk_next(struct entries_walk *walk) {
  if (walk->share == SHARE_DENIED && (walk->at == 0 || walk->left == 0))
    enter_share(walk, SHARE_GOOD);
  if (walk->share == SHARE_NONE || walk->at == 0 || walk->left == 0)
    return NULL;
  struct entry *entry = arena_at(walk->entries->arena, walk->at);
  walk->is_behind = walk->is_behind && walk->at != walk->entries->queues[walk->share].places[QUEUE_HAND];
  walk->hits = entry_hits(entry) + walk->is_behind;
  walk->hits = walk->hits < ENTRY_HITS_MAX ? walk->hits : ENTRY_HITS_MAX;
  walk->at = entry->links.newer;
  walk->left--;
  return entry;
}

void entries_walk_stop(struct entries_walk *walk) {
  struct entries_walk **link = &walk->entries->walks;
  while (*link && *link != walk)
    link = &(*link)->next;
  if (*link)
    *link = walk->next;
  walk->share = SHARE_NONE;
}
