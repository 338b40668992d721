/*
 * made_memory: what a test puts into a cache, for rooms that look into it.
 */
#ifndef MXWAY_TESTS_MADE_MEMORY_H
#define MXWAY_TESTS_MADE_MEMORY_H

#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "rules/name.h"

/* Any name, one of a single label too. */
static inline void memory_name(struct name *name, const char *text) {
  static const struct name_policy policy = {.allow_single_label = true};
  assert_int_equal(name_parse((const uint8_t *)text, strlen(text), &policy, name), NAME_OK);
}

static inline void memory_add(struct domain_value *value, unsigned preference, const char *host) {
  struct exchange_value *exchange = &value->exchanges[value->count++];
  exchange->preference = (uint16_t)preference;
  snprintf(exchange->host, sizeof(exchange->host), "%s", host);
}

/* Returns what is held by the cache alone. */
static inline const struct domain_facts *memory_put(struct cache *cache, const char *name,
                                                    const struct domain_value *value) {
  const struct domain_facts *facts =
      cache_put(cache, name, strlen(name), name_hash(name, strlen(name)), value);
  assert_non_null(facts);
  cache_release(cache, facts);
  return facts;
}

static inline const struct domain_facts *memory_peek(const struct cache *cache, const char *name) {
  return cache_peek(cache, name, strlen(name), name_hash(name, strlen(name)));
}

/* A host that some domain names. */
static inline struct host *memory_host(const struct cache *cache, const char *name) {
  struct host *host = cache_find_host(cache, name, strlen(name));
  assert_non_null(host);
  return host;
}

static inline void memory_give(struct cache *cache, const char *name,
                               const struct family_value values[FAMILY_COUNT], int64_t now_ms) {
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  cache_put_host(cache, memory_host(cache, name), facts, now_ms);
}

#endif
