#include "control/purge.h"

#include <limits.h>
#include <string.h>

enum {
  NEGATIVE_KINDS = 1 << DOMAIN_NODATA | 1 << DOMAIN_NXDOMAIN,
  FAILED_KINDS = 1 << DOMAIN_FAILED,
  ROUTE_KINDS = 1 << DOMAIN_MX | 1 << DOMAIN_NODATA,
  NEGATIVE_STATES = 1 << FAMILY_NODATA | 1 << FAMILY_NXDOMAIN,
  FAILED_STATES = 1 << FAMILY_TEMPFAIL | 1 << FAMILY_LOOP,
};

static const unsigned EVERY_KIND = UINT_MAX, EVERY_STATE = UINT_MAX;

/* ---- what an order is for ---- */

/* The kinds of domain facts an order is for, as bits. */
static unsigned kinds_of(enum purge_what what) {
  switch (what) {
  case PURGE_OF_EXCHANGE:
    return ROUTE_KINDS;
  case PURGE_OF_NEGATIVE:
    return NEGATIVE_KINDS;
  case PURGE_OF_FAILURES:
    return FAILED_KINDS;
  case PURGE_OF_DOMAIN:
  case PURGE_OF_SUFFIX:
  case PURGE_OF_ALL:
    break;
  }
  return EVERY_KIND;
}

/* The states of addresses of any host an order is for; 0 where it is for those of some hosts. */
static unsigned states_of(enum purge_what what) {
  switch (what) {
  case PURGE_OF_NEGATIVE:
    return NEGATIVE_STATES;
  case PURGE_OF_FAILURES:
    return FAILED_STATES;
  case PURGE_OF_ALL:
    return EVERY_STATE;
  case PURGE_OF_DOMAIN:
  case PURGE_OF_SUFFIX:
  case PURGE_OF_EXCHANGE:
    break;
  }
  return 0;
}

/* ---- hosts ---- */

static void forget_host(struct purge *purge, struct host *host) {
  resolver_forget_host(purge->resolver, host, EVERY_STATE);
  purge->host_count += cache_forget_host(purge->cache, host);
}

/* Forgets the families of a host that are of `states`, and keeps the others. */
static void forget_families(struct purge *purge, struct host *host, unsigned states, int64_t now_ms) {
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  struct family_value values[FAMILY_COUNT];
  unsigned forgotten = 0;
  if (!facts || host->is_address)
    return;
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    bool is_forgotten = states >> facts->state[family] & 1;
    host_facts_unpack(is_forgotten ? NULL : facts, family, &values[family]);
    forgotten += is_forgotten;
  }
  if (forgotten == 0)
    return;
  struct host_facts *kept = forgotten < FAMILY_COUNT ? host_facts_build(values) : NULL;
  purge->host_count++;
  if (kept)
    cache_put_host(purge->cache, host, kept, now_ms);
  else /* or without memory: rather too much than too little */
    cache_forget_host(purge->cache, host);
}

/* ---- domains ---- */

static bool has_exchange(const struct domain_facts *facts, const struct name *exchange) {
  for (uint16_t i = 0; facts->set && i < facts->set->count; i++) {
    const struct host *host = facts->set->exchanges[i].host;
    if (host->length == exchange->length && memcmp(host->name, exchange->text, host->length) == 0)
      return true;
  }
  return false;
}

static bool is_ordered(struct purge *purge, const struct domain_facts *facts) {
  if (!(kinds_of(purge->what) >> facts->kind & 1))
    return false;
  if (purge->what == PURGE_OF_EXCHANGE)
    return has_exchange(facts, &purge->name);
  return purge->what != PURGE_OF_SUFFIX || name_is_below(facts->text, facts->name_length, &purge->name);
}

static void forget_domain(struct purge *purge, const struct domain_facts *facts) {
  bool with_hosts = purge->what == PURGE_OF_DOMAIN || purge->what == PURGE_OF_SUFFIX;
  for (uint16_t i = 0; with_hosts && facts->set && i < facts->set->count; i++) {
    struct host *host = facts->set->exchanges[i].host;
    forget_host(purge, host);
    if (purge->what == PURGE_OF_DOMAIN)
      store_remove(purge->store, RECORD_HOST, host->name, host->length);
  }
  cache_remove_facts(purge->cache, facts);
  purge->domain_count++;
}

/* ---- the order ---- */

static void purge_domain(struct purge *purge) {
  const struct name *name = &purge->name;
  uint64_t hash = name_hash(name->text, name->length);
  const struct domain_facts *facts = cache_peek(purge->cache, name->text, name->length, hash);
  resolver_forget_domain(purge->resolver, name, hash);
  store_remove(purge->store, RECORD_DOMAIN, name->text, name->length);
  if (facts)
    forget_domain(purge, facts);
  cache_collect(purge->cache);
}

static void walk_hosts(struct purge *purge) {
  cache_host_walk_start(&purge->hosts, purge->cache);
  purge->stage = PURGE_AT_HOSTS;
}

static void walk_domains(struct purge *purge) {
  cache_walk_start(&purge->domains, purge->cache);
  purge->stage = PURGE_AT_DOMAINS;
}

void purge_start(struct purge *purge, struct cache *cache, struct resolver *resolver, struct store *store,
                 enum purge_what what, const struct name *name) {
  purge->cache = cache;
  purge->resolver = resolver;
  purge->store = store;
  purge->what = what;
  purge->stage = PURGE_IDLE;
  if (name)
    purge->name = *name;
  if (what == PURGE_OF_DOMAIN) {
    purge_domain(purge);
    return;
  }
  /* What a lookup will find nobody knows: any may name the exchange. */
  resolver_forget(resolver, what == PURGE_OF_SUFFIX ? name : NULL, kinds_of(what));
  if (states_of(what))
    resolver_forget_host(resolver, NULL, states_of(what));
  struct host *host = what == PURGE_OF_EXCHANGE ? cache_find_host(cache, name->text, name->length) : NULL;
  if (host)
    forget_host(purge, host);
  if (states_of(what)) /* the hosts first: they go with the last domain that names them, uncounted */
    walk_hosts(purge);
  else
    walk_domains(purge);
}

void purge_stop(struct purge *purge) {
  if (purge->stage == PURGE_AT_HOSTS)
    cache_host_walk_stop(&purge->hosts);
  if (purge->stage == PURGE_AT_DOMAINS)
    cache_walk_stop(&purge->domains);
  purge->stage = PURGE_IDLE;
}

static void step_host(struct purge *purge, int64_t now_ms) {
  struct host *host = cache_host_walk_next(&purge->hosts);
  if (host) {
    forget_families(purge, host, states_of(purge->what), now_ms);
    return;
  }
  purge_stop(purge);
  walk_domains(purge);
}

static void step_domain(struct purge *purge) {
  const struct domain_facts *facts = cache_walk_next(&purge->domains);
  if (!facts)
    purge_stop(purge);
  else if (is_ordered(purge, facts))
    forget_domain(purge, facts);
}

void purge_step(struct purge *purge, size_t most, int64_t now_ms) {
  for (; most > 0 && purge->stage != PURGE_IDLE; most--)
    if (purge->stage == PURGE_AT_HOSTS)
      step_host(purge, now_ms);
    else
      step_domain(purge);
  cache_collect(purge->cache);
}
