/*
 * cache: canonical name to domain facts, for many readers and one writer.
 *
 * Readers are lock-free: an open-addressing table of atomic words, linear
 * probing, one word a slot (16 bits of the hash and the entry's address), so that a probe
 * touches an entry only where the tag agrees. The table is sized once from the
 * byte bound and never grows: there is no pause. Removal shifts entries back
 * towards their place; a reader that is overtaken by a shift may miss an entry that is there.
 * That is harmless: a miss goes to the writer, which looks again (`cache_peek`).
 *
 * Sets and hosts are interned and counted; facts are replaced, never changed;
 * what is unlinked is handed to qsbr. A reader may follow what it got until its
 * qsbr_offline, the writer until it lets go of its hold.
 *
 * Eviction is SIEVE: a hit sets the entry's mark and writes nothing else; the hand walks
 * from the oldest to the newest, takes marks away and evicts what has none. What has
 * expired is evicted whatever its mark.
 *
 * Invariants: bytes <= bound after every put, unless one entry alone exceeds it;
 * entries <= 3/4 of the slots; each entry in the table is in the list, and vice versa;
 * a host's refs = exchanges of sets that name it + holds; a set's refs = entries that point at it + pins.
 *
 * Time is an argument. No system call but those of malloc.
 */
#ifndef MXWAY_DAEMON_CACHE_H
#define MXWAY_DAEMON_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts.h"
#include "qsbr.h"
#include "stats.h"
#include "verdict.h"

enum { CACHE_HITS_MAX = 3 };

struct cache;

/* A cache of at most `size_bytes` (all told: table, entries, sets, hosts, malloc's
 * overhead). What has expired is kept `max_stale_ms` for stale answers, as far as there is room. `stats`
 * counts evictions, lent. Returns NULL without memory. */
struct cache *cache_create(size_t size_bytes, int64_t max_stale_ms, struct stats *stats);

/* No reader may be left. */
void cache_destroy(struct cache *cache);

/* The reclamation that readers announce themselves to. */
struct qsbr *cache_qsbr(struct cache *cache);

/* ---- readers, between qsbr_online and qsbr_offline ---- */

/* Starts loading the slot of `hash` (name_hash of the name). */
void cache_prefetch(const struct cache *cache, uint64_t hash);

/* The facts for a canonical name, fresh or expired, or NULL; lent until qsbr_offline.
 * No allocation, no lock; writes nothing. */
const struct domain_facts *cache_get(const struct cache *cache, const char *name, size_t length,
                                     uint64_t hash);

/* Marks facts as used; counts up to CACHE_HITS_MAX and then writes no more. */
void cache_mark(const struct domain_facts *facts);

/* Hits that were marked since the last time the hand of eviction passed, at most CACHE_HITS_MAX. */
unsigned cache_hits(const struct domain_facts *facts);

/* Whether the caller, of all who want to refresh facts, is the first and is to see to it. Facts are claimed
 * once. */
bool cache_claim(const struct domain_facts *facts);
bool cache_claim_host(const struct host_facts *facts);

/* ---- the writer ---- */

/* As cache_get, never missing what is there. */
const struct domain_facts *cache_peek(const struct cache *cache, const char *name, size_t length,
                                      uint64_t hash);

/* Publishes `value` for `name`, in the place of what was there. Evicts as needed.
 * Returns the facts with one hold for the caller, or NULL without memory (then
 * what was there stays). */
const struct domain_facts *cache_put(struct cache *cache, const char *name, size_t length, uint64_t hash,
                                     const struct domain_value *value);

/* Publishes `facts`, which are in the table, anew: as they are, but answered until `until_ms` although they
 * have expired, with a refresh on a hit from `refresh_at_ms` on, and `cause`. Returns what is in their place
 * now, with one hold for the caller, or NULL without memory. */
const struct domain_facts *cache_put_stale(struct cache *cache, const struct domain_facts *facts,
                                           int64_t until_ms, int64_t refresh_at_ms, enum verdict cause);

/* Removes a name; returns whether it was there. */
bool cache_remove(struct cache *cache, const char *name, size_t length, uint64_t hash);

/* Removes facts that are in the table: those that cache_peek or cache_walk_next has just given. */
void cache_remove_facts(struct cache *cache, const struct domain_facts *facts);

/* A copy of `facts` (which need not be in this cache, but whose set must be interned in it) that stands in no
 * table, with one hold for the caller; NULL without memory. */
const struct domain_facts *cache_copy(struct cache *cache, const struct domain_facts *facts);

/* Keeps facts alive whatever happens to the table; and lets go again. */
void cache_hold(const struct domain_facts *facts);
void cache_release(struct cache *cache, const struct domain_facts *facts);

/* Publishes a host's facts; takes `facts` (a malloc block). Evicts as needed. */
void cache_put_host(struct cache *cache, struct host *host, struct host_facts *facts, int64_t now_ms);

/* The same two for a host. */
void cache_hold_host(struct host *host);
void cache_release_host(struct cache *cache, struct host *host);

/* The object of a host that some set in memory names, or NULL. */
struct host *cache_find_host(const struct cache *cache, const char *name, size_t length);

/* Forgets the facts of a host; returns whether there were any. One that is an address keeps its own. */
bool cache_forget_host(struct cache *cache, struct host *host);

/* The one set for the exchanges of `value`, kept whatever is evicted; what it takes is added to the
 * cache's bound. NULL without memory. And gives it up, before cache_destroy. */
const struct exchange_set *cache_pin(struct cache *cache, const struct domain_value *value);
void cache_unpin(struct cache *cache, const struct exchange_set *set);

/* Looks at the next `count` entries and removes those that are of no use any more (domain_facts_are_kept);
 * frees what readers have left. Call now and then. */
void cache_sweep(struct cache *cache, int64_t now_ms, size_t count);

/* ---- walking over all entries, a slice at a time ---- */

/* The caller's, at a fixed place from start to stop. Nothing in it is for the caller. */
struct cache_walk {
  struct cache *cache;
  struct cache_walk *next; /* the other walks that are under way */
  struct entry *at;        /* what comes next; NULL at the end */
};

/* Begins a walk. Between two steps the writer may do whatever it likes: each name that is there from
 * start to end is seen exactly once, with its facts of the moment; one that comes or goes meanwhile may be
 * seen or not. It ends, however fast names come. Any number may be under way. */
void cache_walk_start(struct cache_walk *walk, struct cache *cache);

/* The next facts, fresh or not, lent until the writer next changes the cache; or NULL at the end. */
const struct domain_facts *cache_walk_next(struct cache_walk *walk);

/* Ends a walk, at its end or before. Before the cache is destroyed. */
void cache_walk_stop(struct cache_walk *walk);

/* The same over all hosts that some set names. */
struct cache_host_walk {
  struct cache *cache;
  struct cache_host_walk *next;
  struct host *at;
};
void cache_host_walk_start(struct cache_host_walk *walk, struct cache *cache);
struct host *cache_host_walk_next(struct cache_host_walk *walk);
void cache_host_walk_stop(struct cache_host_walk *walk);

/* Entries, sets, hosts; octets in use, those still held for readers included. */
size_t cache_count(const struct cache *cache);
size_t cache_set_count(const struct cache *cache);
size_t cache_host_count(const struct cache *cache);
size_t cache_bytes(const struct cache *cache);

#endif
