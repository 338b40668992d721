#include "cache.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "name.h"

/* One slot: the top 16 bits of the hash, then 48 bits of address. 0 is empty. */
typedef _Atomic uint64_t slot;

enum { ENTRY_BYTES_LEAST = 96, ADDRESS_BITS = 48 };

struct entry {
  struct entry *newer, *older; /* the eviction list */
  uint32_t hash_low;           /* gives the entry's place; the tag has the top bits */
  uint16_t refs;               /* the writer's: one for the table, one a hold */
  _Atomic uint8_t used;        /* hits; the one thing a hit writes, but for the claim */
  _Atomic bool is_claimed;
  struct domain_facts facts; /* ends in the text */
};

struct cache {
  /* Read by every reader, written only at creation. */
  slot *slots;
  uint64_t mask;
  /* The writer's. */
  _Alignas(64) size_t bound_bytes;
  int64_t max_stale_ms;
  size_t bytes, retired_bytes, count;
  struct entry *newest, *oldest;
  struct entry *hand, *cursor; /* where eviction and sweeping go on; NULL: at the oldest */
  struct cache_walk *walks;    /* from the newest to the oldest, so that none meets what comes */
  struct table sets, hosts;
  struct host *newest_host;
  struct cache_host_walk *host_walks; /* from the newest to the oldest */
  struct qsbr qsbr;
  struct stats *stats;
};

static struct entry *entry_of(const struct domain_facts *facts) {
  return (struct entry *)((char *)facts - offsetof(struct entry, facts));
}

/* ---- memory: every object is one malloc block, charged with its overhead ---- */

static size_t block_bytes(void *block) { return malloc_usable_size(block) + sizeof(size_t); }

static void charge(struct cache *cache, void *block) { cache->bytes += block_bytes(block); }

static void release_block(void *context, void *block) {
  struct cache *cache = context;
  cache->retired_bytes -= block_bytes(block);
  free(block);
}

static void retire(struct cache *cache, void *block) {
  size_t bytes = block_bytes(block);
  cache->bytes -= bytes;
  cache->retired_bytes += bytes;
  qsbr_retire(&cache->qsbr, block);
}

struct cache *cache_create(size_t size_bytes, int64_t max_stale_ms, struct stats *stats) {
  struct cache *cache = aligned_alloc(64, sizeof(*cache));
  if (!cache)
    return NULL;
  memset(cache, 0, sizeof(*cache));
  size_t slot_count = 1024;
  while (slot_count < size_bytes / ENTRY_BYTES_LEAST)
    slot_count *= 2;
  cache->slots = calloc(slot_count, sizeof(slot));
  cache->mask = slot_count - 1;
  cache->bound_bytes = size_bytes;
  cache->max_stale_ms = max_stale_ms;
  cache->stats = stats;
  bool good = cache->slots && table_init(&cache->sets) == 0 && table_init(&cache->hosts) == 0 &&
              qsbr_init(&cache->qsbr, release_block, cache) == 0;
  if (!good) {
    table_fini(&cache->sets);
    table_fini(&cache->hosts);
    free(cache->slots);
    free(cache);
    return NULL;
  }
  return cache;
}

struct qsbr *cache_qsbr(struct cache *cache) {
  return &cache->qsbr;
}

size_t cache_count(const struct cache *cache) { return cache->count; }
size_t cache_set_count(const struct cache *cache) { return cache->sets.count; }
size_t cache_host_count(const struct cache *cache) { return cache->hosts.count; }

/* What the objects and tables take; the bound is held against this. */
static size_t live_bytes(const struct cache *cache) {
  return cache->bytes + (cache->mask + 1) * sizeof(slot) + table_bytes(&cache->sets) +
         table_bytes(&cache->hosts);
}

size_t cache_bytes(const struct cache *cache) { return live_bytes(cache) + cache->retired_bytes; }

/* ---- the table ---- */

static uint64_t pack_slot(uint64_t hash, struct entry *entry) {
  uint64_t address = (uint64_t)(uintptr_t)entry;
  assert(address >> ADDRESS_BITS == 0);
  return (hash >> ADDRESS_BITS << ADDRESS_BITS) | address;
}

static struct entry *slot_entry(uint64_t word) {
  return (struct entry *)(uintptr_t)(word & ((UINT64_C(1) << ADDRESS_BITS) - 1));
}

void cache_prefetch(const struct cache *cache, uint64_t hash) {
  __builtin_prefetch((const void *)&cache->slots[(uint32_t)hash & cache->mask]);
}

/* The slot of a name, or of the empty slot where it would stand. */
static uint64_t find(const struct cache *cache, const char *name, size_t length, uint64_t hash,
                     struct entry **found) {
  for (uint64_t at = (uint32_t)hash & cache->mask;; at = (at + 1) & cache->mask) {
    uint64_t word = atomic_load_explicit(&cache->slots[at], memory_order_acquire);
    struct entry *entry = slot_entry(word);
    if (word == 0) {
      *found = NULL;
      return at;
    }
    if (word >> ADDRESS_BITS == hash >> ADDRESS_BITS && entry->facts.name_length == length &&
        memcmp(entry->facts.text, name, length) == 0) {
      *found = entry;
      return at;
    }
  }
}

const struct domain_facts *cache_get(const struct cache *cache, const char *name, size_t length,
                                     uint64_t hash) {
  struct entry *entry;
  find(cache, name, length, hash, &entry);
  return entry ? &entry->facts : NULL;
}

const struct domain_facts *cache_peek(const struct cache *cache, const char *name, size_t length,
                                      uint64_t hash) {
  return cache_get(cache, name, length, hash);
}

void cache_mark(const struct domain_facts *facts) {
  struct entry *entry = entry_of(facts);
  uint8_t used = atomic_load_explicit(&entry->used, memory_order_relaxed);
  if (used < CACHE_HITS_MAX) /* what two readers count at once is one hit */
    atomic_store_explicit(&entry->used, (uint8_t)(used + 1), memory_order_relaxed);
}

unsigned cache_hits(const struct domain_facts *facts) {
  return atomic_load_explicit(&entry_of(facts)->used, memory_order_relaxed);
}

static bool claim(_Atomic bool *is_claimed) {
  return !atomic_load_explicit(is_claimed, memory_order_relaxed) &&
         !atomic_exchange_explicit(is_claimed, true, memory_order_relaxed);
}

bool cache_claim(const struct domain_facts *facts) { return claim(&entry_of(facts)->is_claimed); }

bool cache_claim_host(const struct host_facts *facts) { return claim((_Atomic bool *)&facts->is_claimed); }

/* Empties slot `hole`, moving back what would not be found behind an empty
 * slot. Each move publishes the new place before it takes the old one away. */
static void vacate(struct cache *cache, uint64_t hole) {
  for (uint64_t at = (hole + 1) & cache->mask;; at = (at + 1) & cache->mask) {
    uint64_t word = atomic_load_explicit(&cache->slots[at], memory_order_relaxed);
    if (word == 0)
      break;
    uint64_t home = slot_entry(word)->hash_low & cache->mask;
    if (((at - home) & cache->mask) < ((at - hole) & cache->mask))
      continue; /* its place lies behind the hole */
    atomic_store_explicit(&cache->slots[hole], word, memory_order_release);
    hole = at;
  }
  atomic_store_explicit(&cache->slots[hole], 0, memory_order_release);
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
  size_t before_bytes = live_bytes(cache);
  struct exchange_set *set = intern_set(cache, value);
  cache->bound_bytes += live_bytes(cache) - before_bytes;
  return set;
}

void cache_unpin(struct cache *cache, const struct exchange_set *set) { release_set(cache, set); }

/* ---- entries ---- */

static void list_put_newest(struct cache *cache, struct entry *entry) {
  entry->newer = NULL;
  entry->older = cache->newest;
  *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
  cache->newest = entry;
}

/* Walks that stand on `entry` go on at `other`. */
static void move_walks(struct cache *cache, const struct entry *entry, struct entry *other) {
  for (struct cache_walk *walk = cache->walks; walk; walk = walk->next)
    if (walk->at == entry)
      walk->at = other;
}

/* Takes `entry` out and moves whoever stood on it to the next one. */
static void list_remove(struct cache *cache, struct entry *entry) {
  move_walks(cache, entry, entry->older);
  if (cache->hand == entry)
    cache->hand = entry->newer;
  if (cache->cursor == entry)
    cache->cursor = entry->newer;
  *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
  *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void unref_entry(struct cache *cache, struct entry *entry) {
  if (--entry->refs > 0)
    return;
  release_set(cache, entry->facts.set);
  retire(cache, entry);
}

/* `at` is the entry's slot. */
static void unlink_entry(struct cache *cache, struct entry *entry, uint64_t at) {
  vacate(cache, at);
  list_remove(cache, entry);
  cache->count--;
  unref_entry(cache, entry);
}

/* The entry's slot, found by its address. */
static uint64_t slot_of(const struct cache *cache, const struct entry *entry) {
  uint64_t at = entry->hash_low & cache->mask;
  while (slot_entry(atomic_load_explicit(&cache->slots[at], memory_order_relaxed)) != entry)
    at = (at + 1) & cache->mask;
  return at;
}

/* One step of SIEVE's hand: evicts an entry or takes its mark away. */
static void evict_step(struct cache *cache, const struct entry *spared, int64_t now_ms) {
  struct entry *entry = cache->hand ? cache->hand : cache->oldest;
  cache->hand = entry->newer;
  if (entry == spared)
    return;
  bool expired = entry->facts.expires_at_ms <= now_ms;
  if (!expired && atomic_load_explicit(&entry->used, memory_order_relaxed)) {
    atomic_store_explicit(&entry->used, 0, memory_order_relaxed);
    return;
  }
  stats_add(cache->stats, expired ? STATS_CACHE_EXPIRATIONS : STATS_CACHE_EVICTIONS);
  unlink_entry(cache, entry, slot_of(cache, entry));
}

/* Brings the cache back into its bounds; `spared` was just put. */
static void evict(struct cache *cache, const struct entry *spared, int64_t now_ms) {
  size_t most = (cache->mask + 1) / 4 * 3;
  while (cache->count > 1 && (live_bytes(cache) > cache->bound_bytes || cache->count > most))
    evict_step(cache, spared, now_ms);
}

/* A block for an entry whose facts are `facts` with these texts; NULL without memory. */
static struct entry *alloc_entry(const struct domain_facts *facts, const char *name, const char *canonical,
                                 uint32_t hash_low) {
  struct entry *entry = malloc(sizeof(*entry) + facts->name_length + facts->canonical_length);
  if (!entry)
    return NULL;
  entry->newer = entry->older = NULL;
  entry->hash_low = hash_low;
  entry->refs = 2; /* the table's and the caller's */
  atomic_init(&entry->used, 0);
  atomic_init(&entry->is_claimed, false);
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
  struct entry *entry = alloc_entry(&facts, name, value->canonical, (uint32_t)hash);
  if (!entry)
    return NULL;
  if (value->count > 0 && !(entry->facts.set = intern_set(cache, value))) {
    free(entry);
    return NULL;
  }
  charge(cache, entry);
  return entry;
}

/* Takes the place of `old` in the table and in the list. */
static void replace(struct cache *cache, struct entry *old, struct entry *entry, uint64_t at, uint64_t word) {
  atomic_init(&entry->used, atomic_load_explicit(&old->used, memory_order_relaxed));
  entry->newer = old->newer;
  entry->older = old->older;
  *(old->newer ? &old->newer->older : &cache->newest) = entry;
  *(old->older ? &old->older->newer : &cache->oldest) = entry;
  if (cache->hand == old)
    cache->hand = entry;
  if (cache->cursor == old)
    cache->cursor = entry;
  move_walks(cache, old, entry);
  atomic_store_explicit(&cache->slots[at], word, memory_order_release);
  unref_entry(cache, old);
}

const struct domain_facts *cache_put(struct cache *cache, const char *name, size_t length, uint64_t hash,
                                     const struct domain_value *value) {
  assert(length >= 1 && length <= NAME_TEXT_MAX);
  assert((value->count > 0) == (value->kind == DOMAIN_MX || value->kind == DOMAIN_NODATA));
  struct entry *entry = build_entry(cache, name, length, hash, value);
  if (!entry)
    return NULL;
  struct entry *old;
  uint64_t at = find(cache, name, length, hash, &old);
  if (old) {
    replace(cache, old, entry, at, pack_slot(hash, entry));
  } else {
    list_put_newest(cache, entry);
    atomic_store_explicit(&cache->slots[at], pack_slot(hash, entry), memory_order_release);
    cache->count++;
  }
  evict(cache, entry, value->stored_at_ms);
  qsbr_collect(&cache->qsbr);
  return &entry->facts;
}

/* A block that says what `facts` say, with a reference to their set; NULL without memory. */
static struct entry *copy_entry(struct cache *cache, const struct domain_facts *facts, uint32_t hash_low) {
  struct entry *entry = alloc_entry(facts, facts->text, facts->text + facts->name_length, hash_low);
  if (!entry)
    return NULL;
  if (facts->set)
    ((struct exchange_set *)facts->set)->refs++;
  charge(cache, entry);
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
  struct entry *entry = copy_entry(cache, facts, old->hash_low);
  if (!entry)
    return NULL;
  entry->facts.stale_for_ms = (uint32_t)(until_ms - facts->expires_at_ms);
  entry->facts.refresh_lead_ms = (uint32_t)(until_ms - refresh_at_ms);
  entry->facts.cause = (uint8_t)cause;
  uint64_t at = slot_of(cache, old);
  uint64_t tag = atomic_load_explicit(&cache->slots[at], memory_order_relaxed) >> ADDRESS_BITS
                                                                                      << ADDRESS_BITS;
  replace(cache, old, entry, at, pack_slot(tag, entry));
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
  struct entry *entry;
  uint64_t at = find(cache, name, length, hash, &entry);
  if (entry)
    unlink_entry(cache, entry, at);
  return entry != NULL;
}

void cache_remove_facts(struct cache *cache, const struct domain_facts *facts) {
  struct entry *entry = entry_of(facts);
  unlink_entry(cache, entry, slot_of(cache, entry));
}

void cache_hold(const struct domain_facts *facts) { entry_of(facts)->refs++; }

void cache_release(struct cache *cache, const struct domain_facts *facts) {
  unref_entry(cache, entry_of(facts));
}

void cache_sweep(struct cache *cache, int64_t now_ms, size_t count) {
  for (; count > 0 && cache->count > 0; count--) {
    struct entry *entry = cache->cursor ? cache->cursor : cache->oldest;
    cache->cursor = entry->newer;
    if (!domain_facts_are_kept(&entry->facts, cache->max_stale_ms, now_ms)) {
      stats_add(cache->stats, STATS_CACHE_EXPIRATIONS);
      unlink_entry(cache, entry, slot_of(cache, entry));
    }
  }
  qsbr_collect(&cache->qsbr);
}

/* ---- walks ---- */

void cache_walk_start(struct cache_walk *walk, struct cache *cache) {
  *walk = (struct cache_walk){.cache = cache, .next = cache->walks, .at = cache->newest};
  cache->walks = walk;
}

const struct domain_facts *cache_walk_next(struct cache_walk *walk) {
  struct entry *entry = walk->at;
  if (!entry)
    return NULL;
  walk->at = entry->older;
  return &entry->facts;
}

void cache_walk_stop(struct cache_walk *walk) {
  struct cache_walk **link = &walk->cache->walks;
  while (*link != walk)
    link = &(*link)->next;
  *link = walk->next;
}

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
  while (cache->newest)
    unlink_entry(cache, cache->newest, slot_of(cache, cache->newest));
  qsbr_fini(&cache->qsbr);
  table_fini(&cache->sets);
  table_fini(&cache->hosts);
  free((void *)cache->slots);
  free(cache);
}
