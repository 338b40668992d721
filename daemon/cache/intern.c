#include "cache/intern.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "rules/name.h"

int intern_init(struct intern *intern, struct blocks *blocks) {
  *intern = (struct intern){.blocks = blocks};
  if (table_init(&intern->sets) == 0 && table_init(&intern->hosts) == 0)
    return 0;
  intern_fini(intern);
  return ERR_NOMEM;
}

void intern_fini(struct intern *intern) {
  table_fini(&intern->sets);
  table_fini(&intern->hosts);
}

size_t intern_bytes(const struct intern *intern) {
  return table_bytes(&intern->sets) + table_bytes(&intern->hosts);
}

/* ---- hosts ---- */

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
static bool give_address_facts(struct intern *intern, struct host *host) {
  uint8_t octets[NAME_ADDRESS_MAX];
  size_t length = name_as_address(host->name, host->length, octets);
  host->is_address = length > 0;
  if (!host->is_address)
    return true;
  struct host_facts *facts = host_facts_build_address(octets, length);
  if (!facts)
    return false;
  blocks_charge(intern->blocks, facts);
  atomic_init(&host->facts, facts);
  return true;
}

static void list_host(struct intern *intern, struct host *host) {
  host->newer = NULL;
  host->older = intern->newest_host;
  if (host->older)
    host->older->newer = host;
  intern->newest_host = host;
}

/* Takes `host` out of the list and moves the walks that stand on it. */
static void unlist_host(struct intern *intern, struct host *host) {
  for (struct intern_walk *walk = intern->walks; walk; walk = walk->next)
    if (walk->at == host)
      walk->at = host->older;
  *(host->newer ? &host->newer->older : &intern->newest_host) = host->older;
  if (host->older)
    host->older->newer = host->newer;
}

/* The one object for a host name, with a hold; NULL without memory. */
static struct host *intern_host(struct intern *intern, const char *name) {
  struct host_key key = {name, strlen(name)};
  uint64_t hash = name_hash(key.name, key.length);
  struct host *host = (struct host *)table_get(&intern->hosts, hash, host_matches, &key);
  if (!host) {
    host = malloc(sizeof(*host) + key.length + 1);
    if (!host)
      return NULL;
    atomic_init(&host->facts, NULL);
    host->refs = 0;
    host->length = (uint8_t)key.length;
    memcpy(host->name, name, key.length + 1);
    if (!give_address_facts(intern, host)) {
      free(host);
      return NULL;
    }
    blocks_charge(intern->blocks, host);
    table_put(&intern->hosts, &host->node, hash);
    list_host(intern, host);
  }
  host->refs++;
  return host;
}

void intern_ref_host(struct host *host) { host->refs++; }

void intern_unref_host(struct intern *intern, struct host *host) {
  if (--host->refs > 0)
    return;
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  if (facts)
    blocks_retire(intern->blocks, (void *)facts);
  table_remove(&intern->hosts, &host->node);
  unlist_host(intern, host);
  blocks_retire(intern->blocks, host);
}

struct host *intern_find_host(const struct intern *intern, const char *name, size_t length) {
  struct host_key key = {name, length};
  return (struct host *)table_get(&intern->hosts, name_hash(name, length), host_matches, &key);
}

void intern_put_facts(struct intern *intern, struct host *host, struct host_facts *facts) {
  blocks_charge(intern->blocks, facts);
  const struct host_facts *old = atomic_load_explicit(&host->facts, memory_order_relaxed);
  atomic_store_explicit(&host->facts, facts, memory_order_release);
  if (old)
    blocks_retire(intern->blocks, (void *)old);
}

bool intern_forget_facts(struct intern *intern, struct host *host) {
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  if (!facts || host->is_address)
    return false;
  atomic_store_explicit(&host->facts, NULL, memory_order_release);
  blocks_retire(intern->blocks, (void *)facts);
  return true;
}

void intern_walk_start(struct intern_walk *walk, struct intern *intern) {
  *walk = (struct intern_walk){.intern = intern, .next = intern->walks, .at = intern->newest_host};
  intern->walks = walk;
}

struct host *intern_walk_next(struct intern_walk *walk) {
  struct host *host = walk->at;
  if (host)
    walk->at = host->older;
  return host;
}

void intern_walk_stop(struct intern_walk *walk) {
  struct intern_walk **link = &walk->intern->walks;
  while (*link != walk)
    link = &(*link)->next;
  *link = walk->next;
}

/* ---- sets ---- */

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
static struct exchange_set *build_set(struct intern *intern, const struct domain_value *value,
                                      uint64_t hash) {
  struct host *hosts[FACTS_EXCHANGES_MAX] = {NULL};
  struct exchange_set *set = NULL;
  uint16_t held = 0;
  while (held < value->count && (hosts[held] = intern_host(intern, value->exchanges[held].host)))
    held++;
  if (held == value->count)
    set = exchange_set_build(value->exchanges, value->count, is_implicit(value), hosts);
  if (!set) {
    while (held > 0)
      intern_unref_host(intern, hosts[--held]);
    return NULL;
  }
  blocks_charge(intern->blocks, set);
  table_put(&intern->sets, &set->node, hash);
  return set;
}

struct exchange_set *intern_get_set(struct intern *intern, const struct domain_value *value) {
  uint64_t hash = set_hash(value);
  struct exchange_set *set = (struct exchange_set *)table_get(&intern->sets, hash, set_matches, value);
  if (!set)
    set = build_set(intern, value, hash);
  if (set)
    set->refs++;
  return set;
}

void intern_ref_set(const struct exchange_set *set) { ((struct exchange_set *)set)->refs++; }

void intern_unref_set(struct intern *intern, const struct exchange_set *shared) {
  struct exchange_set *set = (struct exchange_set *)shared;
  if (!set || --set->refs > 0)
    return;
  for (uint16_t i = 0; i < set->count; i++)
    intern_unref_host(intern, set->exchanges[i].host);
  table_remove(&intern->sets, &set->node);
  blocks_retire(intern->blocks, set);
}
