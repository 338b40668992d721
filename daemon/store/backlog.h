/*
 * backlog: writes that wait for the shared store.
 *
 * Taken oldest first. A later write of one key takes the place of an earlier one and has its turn: a key
 * waits once, and one that is written again and again comes to its turn all the same. Bounded by count and by
 * octets (what memory they take, all in all): where a write would go over a bound the oldest are dropped.
 *
 *   backlog_count() <= max_count, backlog_bytes() <= max_bytes
 *
 * Pure; one thread. Putting and taking cost a look into a hash table (and two allocations at most).
 */
#ifndef MXWAY_DAEMON_BACKLOG_H
#define MXWAY_DAEMON_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backlog;

struct backlog_entry {
  const char *key;
  size_t key_length;
  const uint8_t *value;
  size_t value_length;
  int64_t until_wall_ms; /* the key's life ends then: PX is what is left of it when it is sent */
  unsigned tries;        /* how often it has been sent: the owner's, kept with it */
};

/* Returns NULL without memory. With a max_count of 0 it takes nothing. */
struct backlog *backlog_create(size_t max_count, size_t max_bytes);

void backlog_destroy(struct backlog *backlog);

/* Puts a copy of `entry`, which may be lent by backlog_first or backlog_take. Sets `dropped` (NULL: not
 * wanted) to how many others had to go. Returns false, and changes nothing, without memory, or where the
 * entry alone is over a bound. */
bool backlog_put(struct backlog *backlog, const struct backlog_entry *entry, size_t *dropped);

/* The oldest, lent until the next call that changes the backlog; it stays. False where there is none. */
bool backlog_first(const struct backlog *backlog, struct backlog_entry *entry);

/* The same, and it leaves: lent until the next is taken. */
bool backlog_take(struct backlog *backlog, struct backlog_entry *entry);

/* Whether a write of a key waits. */
bool backlog_has(const struct backlog *backlog, const char *key, size_t key_length);

size_t backlog_count(const struct backlog *backlog);

/* Octets of memory, each entry's and allocator's overhead and the hash table included; not what was taken
 * last. */
size_t backlog_bytes(const struct backlog *backlog);

#endif
