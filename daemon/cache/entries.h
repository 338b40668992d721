/*
 * entries: domain facts in memory as blocks of an arena, in the order they came, and which of them goes next.
 *
 * The choice is SIEVE: a hit counts in the entry, up to 3, and writes nothing else; the hand walks from the
 * oldest to the newest, counts one less each time it passes and stops at what has none. It stops at what has
 * expired whatever its hits, and at what it stands on after 1024 steps. Denials and failures have a queue and
 * a hand of their own, their share. How much each share may take, and what else knows of an entry, is the
 * caller's.
 *
 * Invariants: an entry is in the queue of its share, or its share is SHARE_NONE; denied_bytes = what the
 * entries of SHARE_DENIED take, with their slots; a walk stands on an entry of the share it is in.
 *
 * Readers, at any time: entry_hits, entry_mark, entry_claim. All else is the writer's.
 * Cost: constant, but for the hand.
 */
#ifndef MXWAY_DAEMON_ENTRIES_H
#define MXWAY_DAEMON_ENTRIES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/queue.h"
#include "rules/facts.h"

enum { ENTRY_HITS_MAX = 3 };

/* Of an entry's `use`: a bit beside the hits. */
enum { ENTRY_CLAIMED = 0x80 };

/* Which queue an entry stands in. */
enum share { SHARE_GOOD, SHARE_DENIED, SHARE_COUNT, SHARE_NONE = SHARE_COUNT };

struct entry {
  struct queue_links links;
  uint32_t hash;             /* the low half: what the table goes by */
  uint16_t refs;             /* the writer's: one for the table, one a hold */
  _Atomic uint8_t use;       /* the one thing a hit writes: hits, and ENTRY_CLAIMED */
  uint8_t share;             /* enum share; SHARE_NONE: not in the table */
  struct domain_facts facts; /* ends in the text */
};

/* A walk over all entries; it must be stopped. */
struct entries_walk {
  struct entries *entries;
  struct entries_walk *next;
  enum share share; /* it is in; SHARE_NONE: at the end */
  uint32_t at;      /* ref of the entry that comes next; 0: none of this share */
  size_t left;      /* of this share: no more are given */
  bool is_behind;   /* the hand of this share has passed what comes next */
  unsigned hits;    /* of the entry last given */
};

struct entries {
  struct arena *arena;
  struct queue queues[SHARE_COUNT];
  size_t denied_bytes;
  enum share sweeping;
  struct entries_walk *walks;
};

static inline struct entry *entry_of(const struct domain_facts *facts) {
  return (struct entry *)((char *)facts - offsetof(struct entry, facts));
}

/* Octets of its block. */
static inline size_t entry_bytes(const struct entry *entry) {
  return arena_size(offsetof(struct entry, facts.text) + entry->facts.name_length +
                    entry->facts.canonical_length);
}

/* The hits of `use`; readers that count at the same moment may go beyond the most. */
static inline unsigned entry_hits(const struct entry *entry) {
  unsigned hits = atomic_load_explicit(&entry->use, memory_order_relaxed) & ~(unsigned)ENTRY_CLAIMED;
  return hits < ENTRY_HITS_MAX ? hits : ENTRY_HITS_MAX;
}

/* Counts a hit, where fewer than the most are counted. */
static inline void entry_mark(struct entry *entry) {
  if (entry_hits(entry) < ENTRY_HITS_MAX)
    atomic_fetch_add_explicit(&entry->use, 1, memory_order_relaxed);
}

/* Whether the caller is the first who claims the entry. */
static inline bool entry_claim(struct entry *entry) {
  return !(atomic_load_explicit(&entry->use, memory_order_relaxed) & ENTRY_CLAIMED) &&
         !(atomic_fetch_or_explicit(&entry->use, ENTRY_CLAIMED, memory_order_relaxed) & ENTRY_CLAIMED);
}

/* A block of `arena` that says what `value` says of a name; its set is the caller's to give. With two refs,
 * without hits, in no queue. NULL without memory. */
struct entry *entry_build(struct arena *arena, const char *name, size_t length, uint32_t hash,
                          const struct domain_value *value);

/* The same from facts, whose set it names. */
struct entry *entry_copy(struct arena *arena, const struct domain_facts *facts, uint32_t hash);

/* The same from an entry, with its refs and hits. */
struct entry *entry_move(struct arena *arena, const struct entry *entry);

/* No entries yet; they are to be of `arena`, lent. Nothing to be undone. */
void entries_init(struct entries *entries, struct arena *arena);

static inline size_t entries_count(const struct entries *entries) {
  return entries->queues[SHARE_GOOD].count + entries->queues[SHARE_DENIED].count;
}

/* The newest entry of a share, or NULL. */
struct entry *entries_newest(const struct entries *entries, enum share share);

/* Adds an entry, lent until removed or replaced, to the share of its kind, as the newest. */
void entries_put(struct entries *entries, struct entry *entry);

void entries_remove(struct entries *entries, struct entry *entry);

/* Puts `entry` in the place of `old`, which leaves; as the newest of the other share where they are not of
 * one kind. */
void entries_replace(struct entries *entries, struct entry *old, struct entry *entry);

/* Whether a share has an entry beside `spared` (or NULL). */
bool entries_have_victim(const struct entries *entries, enum share share, const struct entry *spared);

/* Moves the hand of `share`, which has a victim, to the next entry that is to go, and returns that: it is
 * still in its queue. `steps` counts those that the hand has made for one put: after 8192 it stops at the
 * first. */
struct entry *entries_choose(struct entries *entries, enum share share, const struct entry *spared,
                             int64_t now_ms, int *steps);

/* The next entry to be looked at: first the good ones, then the denials, and anew. There must be one. */
struct entry *entries_sweep_next(struct entries *entries);

/* Begins a walk, lent until stopped, from the oldest to the newest: first the denials, then the good ones.
 * Entries may come, go and be replaced between two steps: one that is there from start to end is given once;
 * one that changes its share or comes meanwhile, up to twice. It ends, however fast entries come. Any number
 * may be under way. */
void entries_walk_start(struct entries_walk *walk, struct entries *entries);

/* The next entry, or NULL at the end. walk->hits are its hits, one more where the hand has passed it already:
 * in another queue, of the same order but with the hand at its start, it stands with these as it does here.
 */
struct entry *entries_walk_next(struct entries_walk *walk);

/* Ends a walk: it gives nothing more. Fine for one that has been stopped. */
void entries_walk_stop(struct entries_walk *walk);

#endif
