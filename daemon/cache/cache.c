#include "cache/cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cache/blocks.h"
#include "cache/entries.h"
#include "cache/slots.h"
#include "rules/name.h"

enum {
  SLACK_SHARE = 32,      /* of the bound: what may lie idle in the arena before pages are emptied */
  DENIED_SHARE = 10,     /* of the bound: what denials and failures get */
  PAGES_OF_PUT_MOST = 8, /* that one put empties */
  PAGE_LOOKS_MOST = 4,   /* for each of them */
  EXCHANGES_OF_LOOK = 8  /* removing an entry with so many takes as long as a look more */
};

_Static_assert((int)CACHE_HITS_MAX == (int)ENTRY_HITS_MAX, "the hits of an entry");

struct cache {
  struct slots slots; /* what readers read */
  /* The writer's. */
  _Alignas(64) struct blocks blocks; /* entries, slots, and what is interned */
  size_t bound_bytes;
  int64_t max_stale_ms;
  struct entries entries;
  struct intern intern;
  struct stats *stats;
};

/* Without its entries. */
static void free_cache(struct cache *cache) {
  intern_fini(&cache->intern);
  slots_fini(&cache->slots);
  blocks_fini(&cache->blocks);
  free(cache);
}

struct cache *cache_create(size_t size_bytes, int64_t max_stale_ms, struct stats *stats) {
  struct cache *cache = aligned_alloc(64, sizeof(*cache));
  if (!cache)
    return NULL;
  memset(cache, 0, sizeof(*cache));
  cache->bound_bytes = size_bytes;
  cache->max_stale_ms = max_stale_ms;
  cache->stats = stats;
  /* Twice, because what readers hold back is beside the bound. */
  bool good = blocks_init(&cache->blocks, 2 * size_bytes) == 0 &&
              slots_init(&cache->slots, &cache->blocks.arena, blocks_retire_uncharged, &cache->blocks) == 0 &&
              intern_init(&cache->intern, &cache->blocks) == 0;
  if (!good) {
    free_cache(cache);
    return NULL;
  }
  entries_init(&cache->entries, &cache->blocks.arena);
  return cache;
}

int64_t cache_max_stale_ms(const struct cache *cache) { return cache->max_stale_ms; }

struct qsbr *cache_qsbr(struct cache *cache) {
  return &cache->blocks.qsbr;
}

size_t cache_count(const struct cache *cache) { return entries_count(&cache->entries); }
size_t cache_set_count(const struct cache *cache) { return cache->intern.sets.count; }
size_t cache_host_count(const struct cache *cache) { return cache->intern.hosts.count; }

size_t cache_bytes(const struct cache *cache) {
  return blocks_bytes(&cache->blocks) + slots_bytes(&cache->slots) + intern_bytes(&cache->intern);
}

/* Without what readers hold back; the bound is held against this. */
static size_t own_bytes(const struct cache *cache) {
  return cache_bytes(cache) - blocks_retired_bytes(&cache->blocks);
}

bool cache_has_room(const struct cache *cache, enum domain_kind kind) {
  size_t most_bytes = cache->bound_bytes / 10 * 9;
  bool is_denial = kind == DOMAIN_NXDOMAIN || kind == DOMAIN_FAILED;
  return cache_bytes(cache) < most_bytes &&
         !(is_denial && cache->entries.denied_bytes >= most_bytes / DENIED_SHARE);
}

/* ---- the table ---- */

static struct entry *entry_at(const struct cache *cache, uint32_t ref) {
  return (struct entry *)(void *)(cache->slots.base + (size_t)ref * ARENA_UNIT_BYTES);
}

static uint32_t ref_of(const struct cache *cache, const struct entry *entry) {
  return arena_ref(&cache->blocks.arena, entry);
}

void cache_prefetch_directory(const struct cache *cache, uint64_t hash) {
  slots_prefetch_directory(&cache->slots, (uint32_t)hash);
}

void cache_prefetch_slot(const struct cache *cache, uint64_t hash) {
  slots_prefetch_slot(&cache->slots, (uint32_t)hash);
}

/* How much of each is loaded ahead; the rest, where there is any, is waited for. */
enum { ENTRY_USUAL_BYTES = 88, SET_LINES = 4, HOST_FACTS_LINES = 3, HOSTS_AHEAD = 8 };

static void prefetch_lines(const void *start, int count) {
  for (int i = 0; i < count; i++)
    __builtin_prefetch((const char *)start + i * 64);
}

const struct domain_facts *cache_guess(const struct cache *cache, uint64_t hash) {
  struct slots_search search;
  slots_search(&cache->slots, (uint32_t)hash, &search);
  uint32_t ref = slots_find(&search);
  if (!ref)
    return NULL;
  const struct entry *entry = entry_at(cache, ref);
  prefetch_lines(entry, 2);
  __builtin_prefetch((const char *)entry + ENTRY_USUAL_BYTES); /* where it lies across three lines */
  return &entry->facts;
}

void cache_prefetch_set(const struct domain_facts *guess) {
  if (guess->set)
    prefetch_lines(guess->set, SET_LINES);
}

void cache_prefetch_hosts(const struct domain_facts *guess) {
  const struct exchange_set *set = guess->set;
  for (uint16_t i = 0; set && i < set->count && i < HOSTS_AHEAD; i++)
    __builtin_prefetch(&set->exchanges[i].host->facts);
}

void cache_prefetch_addresses(const struct domain_facts *guess) {
  const struct exchange_set *set = guess->set;
  for (uint16_t i = 0; set && i < set->count && i < HOSTS_AHEAD; i++)
    prefetch_lines(atomic_load_explicit(&set->exchanges[i].host->facts, memory_order_acquire),
                   HOST_FACTS_LINES);
}

static bool is_of(const struct domain_facts *facts, const char *name, size_t length) {
  return facts->name_length == length && memcmp(facts->text, name, length) == 0;
}

static struct entry *find(const struct cache *cache, const char *name, size_t length, uint64_t hash) {
  struct slots_search search;
  slots_search(&cache->slots, (uint32_t)hash, &search);
  for (uint32_t ref; (ref = slots_find(&search));) {
    struct entry *entry = entry_at(cache, ref);
    if (is_of(&entry->facts, name, length))
      return entry;
  }
  return NULL;
}

const struct domain_facts *cache_get(const struct cache *cache, const char *name, size_t length,
                                     uint64_t hash) {
  struct entry *entry = find(cache, name, length, hash);
  return entry ? &entry->facts : NULL;
}

const struct domain_facts *cache_get_guessed(const struct cache *cache, const struct domain_facts *guess,
                                             const char *name, size_t length, uint64_t hash) {
  return guess && is_of(guess, name, length) ? guess : cache_get(cache, name, length, hash);
}

const struct domain_facts *cache_peek(const struct cache *cache, const char *name, size_t length,
                                      uint64_t hash) {
  return cache_get(cache, name, length, hash);
}

void cache_mark(const struct domain_facts *facts) { entry_mark(entry_of(facts)); }

unsigned cache_hits(const struct domain_facts *facts) { return entry_hits(entry_of(facts)); }

bool cache_claim(const struct domain_facts *facts) { return entry_claim(entry_of(facts)); }

bool cache_claim_host(const struct host_facts *facts) {
  _Atomic bool *is_claimed = (_Atomic bool *)&facts->is_claimed;
  return !atomic_load_explicit(is_claimed, memory_order_relaxed) &&
         !atomic_exchange_explicit(is_claimed, true, memory_order_relaxed);
}

/* ---- what is interned ---- */

void cache_hold_host(struct host *host) { intern_ref_host(host); }

void cache_release_host(struct cache *cache, struct host *host) { intern_unref_host(&cache->intern, host); }

struct host *cache_find_host(const struct cache *cache, const char *name, size_t length) {
  return intern_find_host(&cache->intern, name, length);
}

bool cache_forget_host(struct cache *cache, struct host *host) {
  return intern_forget_facts(&cache->intern, host);
}

const struct exchange_set *cache_pin(struct cache *cache, const struct domain_value *value) {
  size_t before_bytes = own_bytes(cache);
  struct exchange_set *set = intern_get_set(&cache->intern, value);
  cache->bound_bytes += own_bytes(cache) - before_bytes;
  return set;
}

void cache_unpin(struct cache *cache, const struct exchange_set *set) {
  intern_unref_set(&cache->intern, set);
}

void cache_host_walk_start(struct cache_host_walk *walk, struct cache *cache) {
  intern_walk_start(&walk->walk, &cache->intern);
}

struct host *cache_host_walk_next(struct cache_host_walk *walk) {
  return intern_walk_next(&walk->walk);
}

void cache_host_walk_stop(struct cache_host_walk *walk) { intern_walk_stop(&walk->walk); }

/* ---- entries ---- */

static void unref_entry(struct cache *cache, struct entry *entry) {
  if (--entry->refs > 0)
    return;
  intern_unref_set(&cache->intern, entry->facts.set);
  blocks_retire_uncharged(&cache->blocks, entry);
}

static void unlink_entry(struct cache *cache, struct entry *entry) {
  slots_remove(&cache->slots, entry->hash, ref_of(cache, entry));
  entries_remove(&cache->entries, entry);
  unref_entry(cache, entry);
}

/* ---- eviction ---- */

/* Evicts one entry of `share`, which has one. `steps` are those that the put has taken. */
static void evict_one(struct cache *cache, enum share share, const struct entry *spared, int64_t now_ms,
                      int *steps) {
  struct entry *entry = entries_choose(&cache->entries, share, spared, now_ms, steps);
  if (entry->facts.expires_at_ms <= now_ms)
    stats_add(cache->stats, STATS_CACHE_EXPIRATIONS);
  else
    stats_add(cache->stats, share == SHARE_DENIED ? STATS_CACHE_DENIED_EVICTIONS : STATS_CACHE_EVICTIONS);
  unlink_entry(cache, entry);
}

/* Nobody but the table knows where it is. */
static bool is_movable(const struct entry *entry) { return entry->refs == 1 && entry->share != SHARE_NONE; }

/* Puts a copy in the place of `entry`. There must be room. */
static void move_entry(struct cache *cache, struct entry *entry) {
  struct entry *copy = entry_move(&cache->blocks.arena, entry);
  assert(copy);
  entries_replace(&cache->entries, entry, copy);
  slots_replace(&cache->slots, entry->hash, ref_of(cache, entry), ref_of(cache, copy));
  entry->refs = 0; /* the copy has its set */
  blocks_retire_uncharged(&cache->blocks, entry);
}

static bool are_movable(void *const entries[], size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!is_movable(entries[i]))
      return false;
  return true;
}

/* Empties a page that holds little, so that it can serve another size. Returns false where there is none, or
 * where the few that were looked at have entries that cannot be moved. */
static bool empty_page(struct cache *cache) {
  void *entries[ARENA_BLOCKS_MAX];
  for (int looks = 0; looks < PAGE_LOOKS_MOST; looks++) {
    size_t count = arena_choose_sparse(&cache->blocks.arena, entries);
    if (count == 0)
      return false;
    if (!are_movable(entries, count)) {
      arena_prefer(&cache->blocks.arena, entries[0]);
      continue;
    }
    arena_close(&cache->blocks.arena, entries[0]);
    for (size_t i = 0; i < count; i++)
      move_entry(cache, entries[i]);
    return true;
  }
  return false;
}

/* Brings the denials back into their share; `spared` (or NULL) was just put. */
static void evict_denied(struct cache *cache, const struct entry *spared, int64_t now_ms, int *steps) {
  while (cache->entries.denied_bytes > cache->bound_bytes / DENIED_SHARE &&
         entries_have_victim(&cache->entries, SHARE_DENIED, spared))
    evict_one(cache, SHARE_DENIED, spared, now_ms, steps);
}

/* Brings the cache back into its bound: what is in use, with a slack for what lies idle, by eviction; what
 * lies idle by moving entries together, or by eviction where that wins nothing. */
static void evict(struct cache *cache, const struct entry *spared, int64_t now_ms) {
  int steps = 0, pages = 0;
  evict_denied(cache, spared, now_ms, &steps);
  for (;;) {
    size_t own = own_bytes(cache), idle = arena_idle_bytes(&cache->blocks.arena),
           slack = cache->bound_bytes / SLACK_SHARE;
    if (own - idle <= cache->bound_bytes - slack) {
      cache_collect(cache); /* only what is freed makes a page empty */
      if (own_bytes(cache) <= cache->bound_bytes || pages == PAGES_OF_PUT_MOST)
        return;
      if (empty_page(cache)) {
        pages++;
        continue;
      }
    }
    enum share share = entries_have_victim(&cache->entries, SHARE_GOOD, spared) ? SHARE_GOOD : SHARE_DENIED;
    if (!entries_have_victim(&cache->entries, share, spared))
      return;
    evict_one(cache, share, spared, now_ms, &steps);
  }
}

/* A block that says what `value` says, with a reference to its set; NULL without memory. */
static struct entry *build_entry(struct cache *cache, const char *name, size_t length, uint64_t hash,
                                 const struct domain_value *value) {
  struct entry *entry = entry_build(&cache->blocks.arena, name, length, (uint32_t)hash, value);
  if (!entry)
    return NULL;
  if (value->count > 0 && !(entry->facts.set = intern_get_set(&cache->intern, value))) {
    arena_free(&cache->blocks.arena, entry);
    return NULL;
  }
  return entry;
}

/* Takes the place of `old`, whose hits show that the name is used, not that these facts are. */
static void replace(struct cache *cache, struct entry *old, struct entry *entry) {
  if (entry_hits(entry) == 0)
    atomic_init(&entry->use, entry_hits(old) > 0);
  entries_replace(&cache->entries, old, entry);
  slots_replace(&cache->slots, entry->hash, ref_of(cache, old), ref_of(cache, entry));
  unref_entry(cache, old);
}

const struct domain_facts *cache_put(struct cache *cache, const char *name, size_t length, uint64_t hash,
                                     const struct domain_value *value) {
  return cache_restore(cache, name, length, hash, value, 0, value->stored_at_ms);
}

const struct domain_facts *cache_restore(struct cache *cache, const char *name, size_t length, uint64_t hash,
                                         const struct domain_value *value, unsigned hits, int64_t now_ms) {
  assert(length >= 1 && length <= NAME_TEXT_MAX);
  assert((value->count > 0) == (value->kind == DOMAIN_MX || value->kind == DOMAIN_NODATA));
  struct entry *entry = build_entry(cache, name, length, hash, value);
  if (!entry)
    return NULL;
  atomic_init(&entry->use, (uint8_t)hits);
  struct entry *old = find(cache, name, length, hash);
  if (old) {
    replace(cache, old, entry);
  } else if (slots_put(&cache->slots, entry->hash, ref_of(cache, entry)) == 0) {
    entries_put(&cache->entries, entry);
  } else {
    entry->refs = 1;
    unref_entry(cache, entry);
    return NULL;
  }
  evict(cache, entry, now_ms);
  return &entry->facts;
}

/* A block that says what `facts` say, with a reference to their set; NULL without memory. */
static struct entry *copy_entry(struct cache *cache, const struct domain_facts *facts, uint32_t hash) {
  struct entry *entry = entry_copy(&cache->blocks.arena, facts, hash);
  if (entry && facts->set)
    intern_ref_set(facts->set);
  return entry;
}

const struct domain_facts *cache_copy(struct cache *cache, const struct domain_facts *facts) {
  struct entry *entry = copy_entry(cache, facts, 0);
  if (!entry)
    return NULL;
  entry->refs = 1;
  return &entry->facts;
}

const struct domain_facts *cache_put_stale(struct cache *cache, const struct domain_facts *facts,
                                           int64_t until_ms, int64_t refresh_at_ms, enum verdict cause) {
  struct entry *old = entry_of(facts);
  struct entry *entry = copy_entry(cache, facts, old->hash);
  if (!entry)
    return NULL;
  entry->facts.stale_for_ms = (uint32_t)(until_ms - facts->expires_at_ms);
  entry->facts.refresh_lead_ms = (uint32_t)(until_ms - refresh_at_ms);
  entry->facts.cause = (uint8_t)cause;
  replace(cache, old, entry);
  return &entry->facts;
}

void cache_put_host(struct cache *cache, struct host *host, struct host_facts *facts, int64_t now_ms) {
  intern_put_facts(&cache->intern, host, facts);
  evict(cache, NULL, now_ms);
}

bool cache_remove(struct cache *cache, const char *name, size_t length, uint64_t hash) {
  struct entry *entry = find(cache, name, length, hash);
  if (entry)
    unlink_entry(cache, entry);
  return entry != NULL;
}

void cache_remove_facts(struct cache *cache, const struct domain_facts *facts) {
  unlink_entry(cache, entry_of(facts));
}

void cache_hold(const struct domain_facts *facts) { entry_of(facts)->refs++; }

void cache_release(struct cache *cache, const struct domain_facts *facts) {
  unref_entry(cache, entry_of(facts));
}

size_t cache_collect(struct cache *cache) { return qsbr_collect(&cache->blocks.qsbr); }

void cache_sweep(struct cache *cache, int64_t now_ms, size_t count) {
  while (count > 0 && cache_count(cache) > 0) {
    struct entry *entry = entries_sweep_next(&cache->entries);
    size_t cost = 1;
    if (!domain_facts_are_kept(&entry->facts, cache->max_stale_ms, now_ms)) {
      cost += entry->facts.set ? entry->facts.set->count / EXCHANGES_OF_LOOK : 0;
      stats_add(cache->stats, STATS_CACHE_EXPIRATIONS);
      unlink_entry(cache, entry);
    }
    count -= cost < count ? cost : count;
  }
  cache_collect(cache);
}

/* ---- walks ---- */

void cache_walk_start(struct cache_walk *walk, struct cache *cache) {
  entries_walk_start(&walk->walk, &cache->entries);
}

const struct domain_facts *cache_walk_next(struct cache_walk *walk) {
  const struct entry *entry = entries_walk_next(&walk->walk);
  return entry ? &entry->facts : NULL;
}

void cache_walk_stop(struct cache_walk *walk) { entries_walk_stop(&walk->walk); }

void cache_destroy(struct cache *cache) {
  if (!cache)
    return;
  for (enum share share = 0; share < SHARE_COUNT; share++)
    for (struct entry *entry; (entry = entries_newest(&cache->entries, share));)
      unlink_entry(cache, entry);
  free_cache(cache);
}
