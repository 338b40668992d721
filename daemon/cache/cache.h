/*
 * cache: canonical name to domain facts, for many readers and one writer.
 *
 * Readers are lock-free: they search a table of atomic words (slots) that gives 32-bit refs into a range of
 * memory (arena) where the entries are. Both grow with what is put, in steps of microseconds. A reader that
 * is overtaken by a change of the table may miss an entry that is there. That is harmless: a miss goes to the
 * writer, which looks again
 * (`cache_peek`).
 *
 * Facts are replaced, never changed; what is unlinked is handed to qsbr. A reader may follow what it got
 * until its qsbr_offline, the writer until it lets go of its hold.
 *
 * Of three rooms below, `entries` keeps the order of the facts and chooses what is evicted, `intern` shares
 * their sets and hosts, `blocks` counts what all of it takes. This room finds names, joins the three, and
 * holds the bound. Denials and failures get a tenth of it: whoever asks for names that do not exist displaces
 * those of others who do the same.
 *
 * An entry is one block of the arena. Where names of other lengths come than those that go, the writer moves
 * entries together, so that pages become free: facts without a hold may be elsewhere after a put.
 *
 * Invariants: bytes <= bound after every put, unless one entry alone exceeds it; what may lie idle of it is a
 * 32nd; denials take a tenth at most; each entry in the table is in one queue, and vice versa; a set's refs =
 * entries that point at it + pins.
 *
 * Cost: a put moves the entries of one page at most for each 4 KiB that it takes, and the hand makes 8192
 * steps at most.
 *
 * Time is an argument. No system call but those of malloc and the arena.
 */
#ifndef MXWAY_DAEMON_CACHE_H
#define MXWAY_DAEMON_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/qsbr.h"
#include "base/stats.h"
#include "cache/entries.h"
#include "cache/intern.h"
#include "rules/facts.h"
#include "rules/verdict.h"

struct cache;

enum { CACHE_HITS_MAX = 3 };

/* A cache of at most `size_bytes` (all told: table, entries, sets, hosts, malloc's
 * overhead, what lies idle). Entries get 32 GiB at most, less what readers hold back. What has expired is
 * kept `max_stale_ms` for stale answers, as far as there is room. `stats` counts evictions, lent. Returns
 * NULL without memory. */
struct cache *cache_create(size_t size_bytes, int64_t max_stale_ms, struct stats *stats);

/* No reader may be left. */
void cache_destroy(struct cache *cache);

/* How long what has expired is kept for stale answers. */
int64_t cache_max_stale_ms(const struct cache *cache);

/* The reclamation that readers announce themselves to. */
struct qsbr *cache_qsbr(struct cache *cache);

/* ---- readers, between qsbr_online and qsbr_offline ---- */

/* Questions that came together are best looked up so that their ways to memory overlap: each of these reads
 * what the one before has started to load. About 32 together are enough; far more are evicted from the
 * nearest cache before they are used. `hash` is name_hash of the name.
 *
 * First what tells where the slot is, as soon as the hash is known; then the slot. */
void cache_prefetch_directory(const struct cache *cache, uint64_t hash);
void cache_prefetch_slot(const struct cache *cache, uint64_t hash);

/* Reads the slot: gives the facts that are to be expected, and starts to load them. They may be of another
 * name, or NULL although the name is there; not to be read but by these functions. Lent until qsbr_offline.
 */
const struct domain_facts *cache_guess(const struct cache *cache, uint64_t hash);

/* Reads the facts expected, not NULL: starts to load their set. */
void cache_prefetch_set(const struct domain_facts *guess);

/* For who wants addresses: reads the set, starts to load its hosts; then these, and their facts. */
void cache_prefetch_hosts(const struct domain_facts *guess);
void cache_prefetch_addresses(const struct domain_facts *guess);

/* What cache_get gives, sooner where `guess` (may be NULL) was right. */
const struct domain_facts *cache_get_guessed(const struct cache *cache, const struct domain_facts *guess,
                                             const char *name, size_t length, uint64_t hash);

/* The facts for a canonical name, fresh or expired, or NULL; lent until qsbr_offline.
 * No allocation, no lock; writes nothing. */
const struct domain_facts *cache_get(const struct cache *cache, const char *name, size_t length,
                                     uint64_t hash);

/* Counts a hit; writes only where fewer than CACHE_HITS_MAX are counted. A hit that another thread counts at
 * the same moment may be lost. */
void cache_mark(const struct domain_facts *facts);

/* Hits counted, 0 to CACHE_HITS_MAX, less those that eviction has taken away. Facts that took the place of
 * used ones begin with 1. */
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

/* The same for what was known before, here or elsewhere: it begins with `hits`, or with those that cache_put
 * would give it if they are more. */
const struct domain_facts *cache_restore(struct cache *cache, const char *name, size_t length, uint64_t hash,
                                         const struct domain_value *value, unsigned hits, int64_t now_ms);

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

/* Frees what readers have left, a part at each call (qsbr_collect). Returns how many blocks are left. Puts do
 * it, too. Call again and again. */
size_t cache_collect(struct cache *cache);

/* Looks at the next `count` entries and removes those that are of no use any more (domain_facts_are_kept); at
 * fewer where those have many exchanges, which take their time. Frees what readers have left, as
 * cache_collect. Call now and then. */
void cache_sweep(struct cache *cache, int64_t now_ms, size_t count);

/* ---- walking over all entries, a slice at a time ---- */

struct cache_walk {
  struct entries_walk walk;
};

/* Begins a walk, which stays where it is until it is stopped: in the order in which eviction looks at them,
 * first the denials and failures. Between two steps the writer may do whatever it likes: each name that
 * is there from start to end is seen once, with its facts of the moment; one that comes or goes meanwhile, or
 * turns from a good one into a denial or back, up to twice. It ends, however fast names come. Any number may
 * be under way. */
void cache_walk_start(struct cache_walk *walk, struct cache *cache);

/* The next facts, fresh or not, lent until the writer next changes the cache; or NULL at the end. */
const struct domain_facts *cache_walk_next(struct cache_walk *walk);

/* What eviction makes of the facts last given: hits that are theirs in a cache that they are put into in the
 * order of this walk (cache_restore), 0 to CACHE_HITS_MAX. */
static inline unsigned cache_walk_hits(const struct cache_walk *walk) { return walk->walk.hits; }

/* Ends a walk: cache_walk_next gives nothing more. Fine for one that has been stopped. */
void cache_walk_stop(struct cache_walk *walk);

/* The same over all hosts that some set names. */
struct cache_host_walk {
  struct intern_walk walk;
};
void cache_host_walk_start(struct cache_host_walk *walk, struct cache *cache);
struct host *cache_host_walk_next(struct cache_host_walk *walk);
void cache_host_walk_stop(struct cache_host_walk *walk);

/* Whether facts of `kind` may still come that nobody has asked for: nine tenths of what these may take, and
 * of the whole, are not used yet, so that they evict nothing. */
bool cache_has_room(const struct cache *cache, enum domain_kind kind);

/* Entries, sets, hosts; octets in use, those still held for readers included. */
size_t cache_count(const struct cache *cache);
size_t cache_set_count(const struct cache *cache);
size_t cache_host_count(const struct cache *cache);
size_t cache_bytes(const struct cache *cache);

#endif
