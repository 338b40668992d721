#include "cache.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "name.h"
#include "queue.h"
#include "slots.h"

enum {
  SLACK_SHARE = 32,        /* of the bound: what may lie idle in the arena before pages are emptied */
  DENIED_SHARE = 10,       /* of the bound: what denials and failures get */
  SLOT_BYTES = 16,         /* what an entry costs in the table, about */
  STEPS_MOST = 1024,       /* of the hand, for one eviction */
  PAGES_OF_PUT_MOST = 8,   /* that one put empties */
  PAGE_LOOKS_MOST = 4,     /* for each of them */
  STEPS_OF_PUT_MOST = 8192 /* of the hand, for all evictions of one put */
};

/* Of an entry's `use`: a bit beside the hits. */
enum { CLAIMED = 0x80 };

/* Which queue an entry stands in. */
enum share { SHARE_GOOD, SHARE_DENIED, SHARE_COUNT, SHARE_NONE = SHARE_COUNT };

struct entry {
  struct queue_links links;
  uint32_t hash;             /* the low half: what the table goes by */
  uint16_t refs;             /* the writer's: one for the table, one a hold */
  _Atomic uint8_t use;       /* the one thing a hit writes: hits, and CLAIMED */
  uint8_t share;             /* enum share; SHARE_NONE: not in the table */
  struct domain_facts facts; /* ends in the text */
};

struct cache {
  struct slots slots; /* what readers read */
  /* The writer's. */
  _Alignas(64) struct arena arena; /* entries and slots */
  size_t bound_bytes;
  int64_t max_stale_ms;
  size_t bytes, retired_bytes; /* of malloc */
  size_t retired_blocks_bytes; /* of the arena */
  size_t denied_bytes;
  struct queue queues[SHARE_COUNT];
  enum share sweeping;
  struct table sets, hosts;
  struct host *newest_host;
  struct cache_host_walk *host_walks; /* from the newest to the oldest */
  struct qsbr qsbr;
  struct stats *stats;
};

static struct entry *entry_of(const struct domain_facts *facts) {
  return (struct entry *)((char *)facts - offsetof(struct entry, facts));
}

static size_t entry_bytes(const struct entry *entry) {
  return arena_size(offsetof(struct entry, facts.text) + entry->facts.name_length +
                    entry->facts.canonical_length);
}

/* ---- memory: entries and slots are of the arena; all else is one malloc block each, charged with its
 * overhead ---- */

static size_t block_bytes(void *block) { return malloc_usable_size(block) + sizeof(size_t); }

static void charge(struct cache *cache, void *block) { cache->bytes += block_bytes(block); }

static void release_block(void *context, void *block) {
  struct cache *cache = context;
  if (arena_owns(&cache->arena, block)) {
    cache->retired_blocks_bytes -= arena_block_bytes(&cache->arena, block);
    arena_free(&cache->arena, block);
  } else {
    cache->retired_bytes -= block_bytes(block);
    free(block);
  }
}

/* Takes what readers may still hold and what is not charged. */
static void retire_block(void *context, void *block) {
  struct cache *cache = context;
  if (arena_owns(&cache->arena, block))
    cache->retired_blocks_bytes += arena_block_bytes(&cache->arena, block);
  else
    cache->retired_bytes += block_bytes(block);
  qsbr_retire(&cache->qsbr, block);
}

static void retire(struct cache *cache, void *block) {
  cache->bytes -= block_bytes(block);
  retire_block(cache, block);
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
  bool good = arena_init(&cache->arena, 2 * size_bytes) == 0 &&
              slots_init(&cache->slots, &cache->arena, retire_block, cache) == 0 &&
              table_init(&cache->sets) == 0 && table_init(&cache->hosts) == 0 &&
              qsbr_init(&cache->qsbr, release_block, cache) == 0;
  if (!good) {
    table_fini(&cache->sets);
    table_fini(&cache->hosts);
    slots_fini(&cache->slots);
    arena_fini(&cache->arena);
    free(cache);
    return NULL;
  }
  return cache;
}

struct qsbr *cache_qsbr(struct cache *cache) {
  return &cache->qsbr;
}

size_t cache_count(const struct cache *cache) {
  return cache->queues[SHARE_GOOD].count + cache->queues[SHARE_DENIED].count;
}
size_t cache_set_count(const struct cache *cache) { return cache->sets.count; }
size_t cache_host_count(const struct cache *cache) { return cache->hosts.count; }

size_t cache_bytes(const struct cache *cache) {
  return cache->bytes + cache->retired_bytes + arena_bytes(&cache->arena) + slots_bytes(&cache->slots) +
         table_bytes(&cache->sets) + table_bytes(&cache->hosts);
}

/* Without what readers hold back; the bound is held against this. */
static size_t own_bytes(const struct cache *cache) {
  return cache_bytes(cache) - cache->retired_bytes - cache->retired_blocks_bytes;
}

/* ---- the table ---- */

static struct entry *entry_at(const struct cache *cache, uint32_t ref) {
  return (struct entry *)(void *)(cache->slots.base + (size_t)ref * ARENA_UNIT_BYTES);
}

void cache_prefetch(const struct cache *cache, uint64_t hash) {
  slots_prefetch(&cache->slots, (uint32_t)hash);
}

/* The first entry with `hash`, of whatever name, or NULL. */
static const struct entry *first_entry(const struct cache *cache, uint64_t hash) {
  struct slots_search search;
  slots_search(&cache->slots, (uint32_t)hash, &search);
  uint32_t ref = slots_find(&search);
  return ref ? entry_at(cache, ref) : NULL;
}

static void prefetch_lines(const void *start, int count) {
  for (int i = 0; i < count; i++)
    __builtin_prefetch((const char *)start + i * 64);
}

void cache_prefetch_entry(const struct cache *cache, uint64_t hash) {
  const struct entry *entry = first_entry(cache, hash);
  if (entry)
    prefetch_lines(entry, 2);
}

void cache_prefetch_set(const struct cache *cache, uint64_t hash) {
  const struct entry *entry = first_entry(cache, hash);
  if (entry && entry->facts.set)
    prefetch_lines(entry->facts.set, 3);
}

static struct entry *find(const struct cache *cache, const char *name, size_t length, uint64_t hash) {
  struct slots_search search;
  slots_search(&cache->slots, (uint32_t)hash, &search);
  for (uint32_t ref; (ref = slots_find(&search));) {
    struct entry *entry = entry_at(cache, ref);
    if (entry->facts.name_length == length && memcmp(entry->facts.text, name, length) == 0)
      return entry;
  }
  return NULL;
}

const struct domain_facts *cache_get(const struct cache *cache, const char *name, size_t length,
                                     uint64_t hash) {
  struct entry *entry = find(cache, name, length, hash);
  return entry ? &entry->facts : NULL;
}

const struct domain_facts *cache_peek(const struct cache *cache, const char *name, size_t length,
                                      uint64_t hash) {
  return cache_get(cache, name, length, hash);
}

/* The hits of `use`; readers that count at the same moment may go beyond the most. */
static unsigned hits_of(uint8_t use) {
  unsigned hits = use & ~(unsigned)CLAIMED;
  return hits < CACHE_HITS_MAX ? hits : CACHE_HITS_MAX;
}

void cache_mark(const struct domain_facts *facts) {
  struct entry *entry = entry_of(facts);
  if (hits_of(atomic_load_explicit(&entry->use, memory_order_relaxed)) < CACHE_HITS_MAX)
    atomic_fetch_add_explicit(&entry->use, 1, memory_order_relaxed);
}

unsigned cache_hits(const struct domain_facts *facts) {
  return hits_of(atomic_load_explicit(&entry_of(facts)->use, memory_order_relaxed));
}

bool cache_claim(const struct domain_facts *facts) {
  struct entry *entry = entry_of(facts);
  return !(atomic_load_explicit(&entry->use, memory_order_relaxed) & CLAIMED) &&
         !(atomic_fetch_or_explicit(&entry->use, CLAIMED, memory_order_relaxed) & CLAIMED);
}

bool cache_claim_host(const struct host_facts *facts) {
  _Atomic bool *is_claimed = (_Atomic bool *)&facts->is_claimed;
  return !atomic_load_explicit(is_claimed, memory_order_relaxed) &&
         !atomic_exchange_explicit(is_claimed, true, memory_order_relaxed);
}

/* ---- interned hosts and sets ---- */

struct host_key {
  const char *name;
  size_t length;
};

static bool host_matches(const struct table_node *node, const void *key) {
  const struct host *host = (const struct host *)node;
  const struct host_key *wanted = key;
  return host->length == wanted->length && memcmp(host->name, wanted->name, wanted->length) == 0;
}

/* A host whose name is an address knows its facts from the start. */
static bool give_address_facts(struct cache *cache, struct host *host) {
  uint8_t octets[NAME_ADDRESS_MAX];
  size_t length = name_as_address(host->name, host->length, octets);
  host->is_address = length > 0;
  if (!host->is_address)
    return true;
  struct host_facts *facts = host_facts_build_address(octets, length);
  if (!facts)
    return false;
  charge(cache, facts);
  atomic_init(&host->facts, facts);
  return true;
}

static void list_host(struct cache *cache, struct host *host) {
  host->newer = NULL;
  host->older = cache->newest_host;
  if (host->older)
    host->older->newer = host;
  cache->newest_host = host;
}

/* Takes `host` out of the list and moves the walks that stand on it. */
static void unlist_host(struct cache *cache, struct host *host) {
  for (struct cache_host_walk *walk = cache->host_walks; walk; walk = walk->next)
    if (walk->at == host)
      walk->at = host->older;
  *(host->newer ? &host->newer->older : &cache->newest_host) = host->older;
  if (host->older)
    host->older->newer = host->newer;
}

/* The one object for a host name, with a hold; NULL without memory. */
static struct host *intern_host(struct cache *cache, const char *name) {
  struct host_key key = {name, strlen(name)};
  uint64_t hash = name_hash(key.name, key.length);
  struct host *host = (struct host *)table_get(&cache->hosts, hash, host_matches, &key);
  if (!host) {
    host = malloc(sizeof(*host) + key.length + 1);
    if (!host)
      return NULL;
    atomic_init(&host->facts, NULL);
    host->refs = 0;
    host->length = (uint8_t)key.length;
    memcpy(host->name, name, key.length + 1);
    if (!give_address_facts(cache, host)) {
      free(host);
      return NULL;
    }
    charge(cache, host);
    table_put(&cache->hosts, &host->node, hash);
    list_host(cache, host);
  }
  host->refs++;
  return host;
}

void cache_hold_host(struct host *host) { host->refs++; }

void cache_release_host(struct cache *cache, struct host *host) {
  if (--host->refs > 0)
    return;
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  if (facts)
    retire(cache, (void *)facts);
  table_remove(&cache->hosts, &host->node);
  unlist_host(cache, host);
  retire(cache, host);
}

static bool is_implicit(const struct domain_value *value) { return value->kind == DOMAIN_NODATA; }

static bool set_matches(const struct table_node *node, const void *key) {
  const struct exchange_set *set = (const struct exchange_set *)node;
  const struct domain_value *value = key;
  if (set->count != value->count || set->implicit != is_implicit(value))
    return false;
  for (uint16_t i = 0; i < set->count; i++)
    if (set->exchanges[i].preference != value->exchanges[i].preference ||
        set->exchanges[i].port != value->exchanges[i].port ||
        strcmp(set->exchanges[i].host->name, value->exchanges[i].host) != 0)
      return false;
  return true;
}

static uint64_t set_hash(const struct domain_value *value) {
  uint64_t hash = (uint64_t)value->count << 1 | is_implicit(value);
  for (uint16_t i = 0; i < value->count; i++)
    hash = (hash ^ value->exchanges[i].preference ^ (uint64_t)value->exchanges[i].port << 16) *
               0x9e3779b97f4a7c15u +
           name_hash(value->exchanges[i].host, strlen(value->exchanges[i].host));
  return hash;
}

/* Builds a set that is not there yet; takes over a hold on each host. */
static struct exchange_set *build_set(struct cache *cache, const struct domain_value *value, uint64_t hash) {
  struct host *hosts[FACTS_EXCHANGES_MAX] = {NULL};
  struct exchange_set *set = NULL;
  uint16_t held = 0;
  while (held < value->count && (hosts[held] = intern_host(cache, value->exchanges[held].host)))
    held++;
  if (held == value->count)
    set = exchange_set_build(value->exchanges, value->count, is_implicit(value), hosts);
  if (!set) {
    while (held > 0)
      cache_release_host(cache, hosts[--held]);
    return NULL;
  }
  charge(cache, set);
  table_put(&cache->sets, &set->node, hash);
  return set;
}

/* The one set for the exchanges of `value`, with a reference; NULL without memory. */
static struct exchange_set *intern_set(struct cache *cache, const struct domain_value *value) {
  uint64_t hash = set_hash(value);
  struct exchange_set *set = (struct exchange_set *)table_get(&cache->sets, hash, set_matches, value);
  if (!set)
    set = build_set(cache, value, hash);
  if (set)
    set->refs++;
  return set;
}

static void release_set(struct cache *cache, const struct exchange_set *shared) {
  struct exchange_set *set = (struct exchange_set *)shared;
  if (!set || --set->refs > 0)
    return;
  for (uint16_t i = 0; i < set->count; i++)
    cache_release_host(cache, set->exchanges[i].host);
  table_remove(&cache->sets, &set->node);
  retire(cache, set);
}

const struct exchange_set *cache_pin(struct cache *cache, const struct domain_value *value) {
  size_t before_bytes = own_bytes(cache);
  struct exchange_set *set = intern_set(cache, value);
  cache->bound_bytes += own_bytes(cache) - before_bytes;
  return set;
}

void cache_unpin(struct cache *cache, const struct exchange_set *set) { release_set(cache, set); }

/* ---- entries ---- */

static void unref_entry(struct cache *cache, struct entry *entry) {
  if (--entry->refs > 0)
    return;
  release_set(cache, entry->facts.set);
  retire_block(cache, entry);
}

static enum share share_for(const struct entry *entry) {
  return entry->facts.kind == DOMAIN_NXDOMAIN || entry->facts.kind == DOMAIN_FAILED ? SHARE_DENIED
                                                                                    : SHARE_GOOD;
}

/* Into the queue of its kind, as the newest. */
static void join_share(struct cache *cache, struct entry *entry) {
  entry->share = (uint8_t)share_for(entry);
  queue_put(&cache->queues[entry->share], &cache->arena, entry);
  if (entry->share == SHARE_DENIED)
    cache->denied_bytes += entry_bytes(entry) + SLOT_BYTES;
}

static void leave_share(struct cache *cache, struct entry *entry) {
  if (entry->share == SHARE_DENIED)
    cache->denied_bytes -= entry_bytes(entry) + SLOT_BYTES;
  queue_remove(&cache->queues[entry->share], &cache->arena, entry);
  entry->share = SHARE_NONE;
}

/* Where the places in the queue stay as they are: `old` and `entry` are of one kind. */
static void inherit_share(struct cache *cache, struct entry *old, struct entry *entry) {
  entry->share = old->share;
  queue_replace(&cache->queues[entry->share], &cache->arena, old, entry);
  if (entry->share == SHARE_DENIED)
    cache->denied_bytes += entry_bytes(entry) - entry_bytes(old);
  old->share = SHARE_NONE;
}

static void unlink_entry(struct cache *cache, struct entry *entry) {
  slots_remove(&cache->slots, entry->hash, arena_ref(&cache->arena, entry));
  leave_share(cache, entry);
  unref_entry(cache, entry);
}

/* ---- eviction ---- */

/* One step of SIEVE's hand: evicts an entry or counts one hit less. Returns whether it evicted. */
static bool evict_step(struct cache *cache, enum share share, const struct entry *spared, bool is_forced,
                       int64_t now_ms) {
  struct entry *entry = queue_next(&cache->queues[share], &cache->arena, QUEUE_HAND);
  if (entry == spared)
    return false;
  bool is_expired = entry->facts.expires_at_ms <= now_ms;
  if (!is_expired && !is_forced && cache_hits(&entry->facts) > 0) {
    atomic_fetch_sub_explicit(&entry->use, 1, memory_order_relaxed);
    return false;
  }
  if (is_expired)
    stats_add(cache->stats, STATS_CACHE_EXPIRATIONS);
  else
    stats_add(cache->stats, share == SHARE_DENIED ? STATS_CACHE_DENIED_EVICTIONS : STATS_CACHE_EVICTIONS);
  unlink_entry(cache, entry);
  return true;
}

static bool has_victim(const struct cache *cache, enum share share, const struct entry *spared) {
  return cache->queues[share].count > (spared && spared->share == share);
}

/* Evicts one entry of `share`, which has one. `steps` are those that the put has taken. */
static void evict_one(struct cache *cache, enum share share, const struct entry *spared, int64_t now_ms,
                      int *steps) {
  for (int own = 0;; own++, ++*steps)
    if (evict_step(cache, share, spared, own >= STEPS_MOST || *steps >= STEPS_OF_PUT_MOST, now_ms))
      return;
}

/* Nobody but the table knows where it is. */
static bool is_movable(const struct entry *entry) { return entry->refs == 1 && entry->share != SHARE_NONE; }

/* Puts a copy in the place of `entry`. There must be room. */
static void move_entry(struct cache *cache, struct entry *entry) {
  struct entry *copy = arena_get(&cache->arena, entry_bytes(entry));
  assert(copy);
  memcpy(&copy->facts, &entry->facts, entry_bytes(entry) - offsetof(struct entry, facts));
  copy->hash = entry->hash;
  copy->refs = entry->refs;
  atomic_init(&copy->use, atomic_load_explicit(&entry->use, memory_order_relaxed));
  inherit_share(cache, entry, copy);
  slots_replace(&cache->slots, entry->hash, arena_ref(&cache->arena, entry), arena_ref(&cache->arena, copy));
  entry->refs = 0; /* the copy has its set */
  retire_block(cache, entry);
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
    size_t count = arena_choose_sparse(&cache->arena, entries);
    if (count == 0)
      return false;
    if (!are_movable(entries, count)) {
      arena_prefer(&cache->arena, entries[0]);
      continue;
    }
    arena_close(&cache->arena, entries[0]);
    for (size_t i = 0; i < count; i++)
      move_entry(cache, entries[i]);
    return true;
  }
  return false;
}

/* Brings the denials back into their share; `spared` (or NULL) was just put. */
static void evict_denied(struct cache *cache, const struct entry *spared, int64_t now_ms, int *steps) {
  while (cache->denied_bytes > cache->bound_bytes / DENIED_SHARE && has_victim(cache, SHARE_DENIED, spared))
    evict_one(cache, SHARE_DENIED, spared, now_ms, steps);
}

/* Brings the cache back into its bound: what is in use, with a slack for what lies idle, by eviction; what
 * lies idle by moving entries together, or by eviction where that wins nothing. */
static void evict(struct cache *cache, const struct entry *spared, int64_t now_ms) {
  int steps = 0, pages = 0;
  evict_denied(cache, spared, now_ms, &steps);
  for (;;) {
    size_t own = own_bytes(cache), idle = arena_idle_bytes(&cache->arena),
           slack = cache->bound_bytes / SLACK_SHARE;
    if (own - idle <= cache->bound_bytes - slack) {
      qsbr_collect(&cache->qsbr); /* only what is freed makes a page empty */
      if (own_bytes(cache) <= cache->bound_bytes || pages == PAGES_OF_PUT_MOST)
        return;
      if (empty_page(cache)) {
        pages++;
        continue;
      }
    }
    enum share share = has_victim(cache, SHARE_GOOD, spared) ? SHARE_GOOD : SHARE_DENIED;
    if (!has_victim(cache, share, spared))
      return;
    evict_one(cache, share, spared, now_ms, &steps);
  }
}

/* A block for an entry whose facts are `facts` with these texts; NULL without memory. */
static struct entry *alloc_entry(struct cache *cache, const struct domain_facts *facts, const char *name,
                                 const char *canonical, uint32_t hash) {
  struct entry *entry = arena_get(&cache->arena, offsetof(struct entry, facts.text) + facts->name_length +
                                                     facts->canonical_length);
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

static struct entry *build_entry(struct cache *cache, const char *name, size_t length, uint64_t hash,
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
  struct entry *entry = alloc_entry(cache, &facts, name, value->canonical, (uint32_t)hash);
  if (!entry)
    return NULL;
  if (value->count > 0 && !(entry->facts.set = intern_set(cache, value))) {
    arena_free(&cache->arena, entry);
    return NULL;
  }
  return entry;
}

/* Takes the place of `old`. Its hits show that the name is used, not that these facts are. */
static void replace(struct cache *cache, struct entry *old, struct entry *entry) {
  atomic_init(&entry->use, cache_hits(&old->facts) > 0);
  if (share_for(entry) == old->share) {
    inherit_share(cache, old, entry);
  } else {
    leave_share(cache, old);
    join_share(cache, entry);
  }
  slots_replace(&cache->slots, entry->hash, arena_ref(&cache->arena, old), arena_ref(&cache->arena, entry));
  unref_entry(cache, old);
}

const struct domain_facts *cache_put(struct cache *cache, const char *name, size_t length, uint64_t hash,
                                     const struct domain_value *value) {
  assert(length >= 1 && length <= NAME_TEXT_MAX);
  assert((value->count > 0) == (value->kind == DOMAIN_MX || value->kind == DOMAIN_NODATA));
  struct entry *entry = build_entry(cache, name, length, hash, value);
  if (!entry)
    return NULL;
  struct entry *old = find(cache, name, length, hash);
  if (old) {
    replace(cache, old, entry);
  } else if (slots_put(&cache->slots, entry->hash, arena_ref(&cache->arena, entry)) == 0) {
    join_share(cache, entry);
  } else {
    entry->refs = 1;
    unref_entry(cache, entry);
    return NULL;
  }
  evict(cache, entry, value->stored_at_ms);
  return &entry->facts;
}

/* A block that says what `facts` say, with a reference to their set; NULL without memory. */
static struct entry *copy_entry(struct cache *cache, const struct domain_facts *facts, uint32_t hash) {
  struct entry *entry = alloc_entry(cache, facts, facts->text, facts->text + facts->name_length, hash);
  if (entry && facts->set)
    ((struct exchange_set *)facts->set)->refs++;
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
  charge(cache, facts);
  const struct host_facts *old = atomic_load_explicit(&host->facts, memory_order_relaxed);
  atomic_store_explicit(&host->facts, facts, memory_order_release);
  if (old)
    retire(cache, (void *)old);
  evict(cache, NULL, now_ms);
}

struct host *cache_find_host(const struct cache *cache, const char *name, size_t length) {
  struct host_key key = {name, length};
  return (struct host *)table_get(&cache->hosts, name_hash(name, length), host_matches, &key);
}

bool cache_forget_host(struct cache *cache, struct host *host) {
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  if (!facts || host->is_address)
    return false;
  atomic_store_explicit(&host->facts, NULL, memory_order_release);
  retire(cache, (void *)facts);
  return true;
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

/* The next entry to be looked at: first the good ones, then the denials, and anew. */
static struct entry *sweep_next(struct cache *cache) {
  struct queue *queue = &cache->queues[cache->sweeping];
  struct entry *entry = queue_next(queue, &cache->arena, QUEUE_CURSOR);
  if (queue->places[QUEUE_CURSOR] == 0)
    cache->sweeping = cache->sweeping == SHARE_GOOD ? SHARE_DENIED : SHARE_GOOD;
  return entry ? entry : sweep_next(cache);
}

void cache_sweep(struct cache *cache, int64_t now_ms, size_t count) {
  for (; count > 0 && cache_count(cache) > 0; count--) {
    struct entry *entry = sweep_next(cache);
    if (!domain_facts_are_kept(&entry->facts, cache->max_stale_ms, now_ms)) {
      stats_add(cache->stats, STATS_CACHE_EXPIRATIONS);
      unlink_entry(cache, entry);
    }
  }
  qsbr_collect(&cache->qsbr);
}

/* ---- walks: by hash, and by name where hashes are the same ---- */

void cache_walk_start(struct cache_walk *walk, const struct cache *cache) {
  walk->cache = cache;
  walk->hash = 0;
  walk->length = 0;
}

static int compare_text(const char *a, size_t a_length, const char *b, size_t b_length) {
  int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
  return order ? order : (int)a_length - (int)b_length;
}

static int compare_names(const struct entry *a, const struct entry *b) {
  return compare_text(a->facts.text, a->facts.name_length, b->facts.text, b->facts.name_length);
}

/* Of the entries with the walk's hash, the one whose name comes next after the walk's. */
static const struct entry *least_above(const struct cache_walk *walk) {
  const struct entry *least = NULL;
  struct slots_search search;
  slots_search(&walk->cache->slots, walk->hash, &search);
  for (uint32_t ref; (ref = slots_find(&search));) {
    const struct entry *entry = entry_at(walk->cache, ref);
    if (compare_text(entry->facts.text, entry->facts.name_length, walk->name, walk->length) > 0 &&
        (!least || compare_names(entry, least) < 0))
      least = entry;
  }
  return least;
}

const struct domain_facts *cache_walk_next(struct cache_walk *walk) {
  const struct entry *entry;
  while (walk->cache && !(entry = least_above(walk))) {
    walk->length = 0;
    if (walk->hash == UINT32_MAX || !slots_ceiling(&walk->cache->slots, walk->hash + 1, &walk->hash))
      walk->cache = NULL;
  }
  if (!walk->cache)
    return NULL;
  walk->length = entry->facts.name_length;
  memcpy(walk->name, entry->facts.text, walk->length);
  return &entry->facts;
}

void cache_walk_stop(struct cache_walk *walk) { walk->cache = NULL; }

void cache_host_walk_start(struct cache_host_walk *walk, struct cache *cache) {
  *walk = (struct cache_host_walk){.cache = cache, .next = cache->host_walks, .at = cache->newest_host};
  cache->host_walks = walk;
}

struct host *cache_host_walk_next(struct cache_host_walk *walk) {
  struct host *host = walk->at;
  if (host)
    walk->at = host->older;
  return host;
}

void cache_host_walk_stop(struct cache_host_walk *walk) {
  struct cache_host_walk **link = &walk->cache->host_walks;
  while (*link != walk)
    link = &(*link)->next;
  *link = walk->next;
}

void cache_destroy(struct cache *cache) {
  if (!cache)
    return;
  for (enum share share = 0; share < SHARE_COUNT; share++)
    while (cache->queues[share].newest)
      unlink_entry(cache, entry_at(cache, cache->queues[share].newest));
  qsbr_fini(&cache->qsbr);
  table_fini(&cache->sets);
  table_fini(&cache->hosts);
  slots_fini(&cache->slots);
  arena_fini(&cache->arena);
  free(cache);
}
