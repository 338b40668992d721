/*
 * image_samples: images of small memories, dumped at one moment.
 *
 * For the unit test, which changes them at every place, and the fuzzer, which starts from them.
 */
#ifndef MXWAY_TESTS_IMAGE_SAMPLES_H
#define MXWAY_TESTS_IMAGE_SAMPLES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/dump.h"
#include "rules/name.h"

enum {
  IMAGE_SAMPLE_CACHE_BYTES = 1 << 20,
  IMAGE_SAMPLE_STALE_MS = 86400000,
  IMAGE_SAMPLE_SIZE = 3 * IMAGE_RECORD_MAX
};

static const struct image_time image_sample_time = {5000000000, 1790000000000};

struct image_sample {
  const char *name;
  void (*fill)(struct cache *cache);
};

/* Puts a domain with the exchanges `first` and `second` (or NULL), learned an hour before its end. */
static inline void sample_put(struct cache *cache, const char *name, enum domain_kind kind, int64_t left_ms,
                              unsigned hits, const char *first, const char *second) {
  static struct domain_value value;
  memset(&value, 0, sizeof(value));
  value.kind = kind;
  value.authentic = hits == 1;
  value.warnings = second ? WARNING_MX_IS_CNAME : 0;
  value.expires_at_ms = image_sample_time.now_ms + left_ms;
  value.stored_at_ms = value.expires_at_ms - 3600000;
  if (kind == DOMAIN_NODATA && strcmp(name, first) != 0)
    snprintf(value.canonical, FACTS_NAME_SIZE, "%s", first);
  for (const char *host = first; host; host = host == first ? second : NULL) {
    value.exchanges[value.count].preference = kind == DOMAIN_MX ? (uint16_t)(10 + value.count) : 0;
    snprintf(value.exchanges[value.count++].host, FACTS_NAME_SIZE, "%s", host);
  }
  size_t length = strlen(name);
  const struct domain_facts *facts =
      cache_restore(cache, name, length, name_hash(name, length), &value, hits, image_sample_time.now_ms);
  if (!facts)
    abort();
  cache_release(cache, facts);
}

/* Gives a host addresses: `count` of a family that is FAMILY_OK. */
static inline void sample_give(struct cache *cache, const char *name, enum family_state v6,
                               enum family_state v4, uint8_t count, int64_t left_ms, const char *expanded) {
  static struct family_value values[FAMILY_COUNT];
  const enum family_state states[FAMILY_COUNT] = {[FAMILY_V6] = v6, [FAMILY_V4] = v4};
  memset(values, 0, sizeof(values));
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    struct family_value *value = &values[family];
    value->state = states[family];
    value->expires_at_ms = image_sample_time.now_ms + left_ms;
    value->life_ms = 600000;
    value->count = value->state == FAMILY_OK ? count : 0;
    for (uint8_t i = 0; i < value->count; i++)
      memset(value->addresses[i], i + 1, sizeof(value->addresses[i]));
    snprintf(value->expanded, FACTS_NAME_SIZE, "%s", expanded);
  }
  struct host *host = cache_find_host(cache, name, strlen(name));
  struct host_facts *facts = host_facts_build(values);
  if (!host || !facts)
    abort();
  cache_put_host(cache, host, facts, image_sample_time.now_ms);
}

static inline void sample_nothing(struct cache *cache) { (void)cache; }

static inline void sample_kinds(struct cache *cache) {
  sample_put(cache, "d.test", DOMAIN_MX, 1000, 3, "a.test", "b.test");
  sample_put(cache, "address.test", DOMAIN_MX, 1000, 0, "192.0.2.7", NULL);
  sample_put(cache, "null.test", DOMAIN_NULL_MX, 1000, 1, NULL, NULL);
  sample_put(cache, "web.test", DOMAIN_NODATA, 1000, 0, "web.test", NULL);
  sample_put(cache, "www.test", DOMAIN_NODATA, 1000, 0, "web.test", NULL);
  sample_put(cache, "none.test", DOMAIN_NXDOMAIN, 1000, 2, NULL, NULL);
  sample_put(cache, "odd.test", DOMAIN_ALL_INVALID, 1000, 0, NULL, NULL);
}

static inline void sample_addresses(struct cache *cache) {
  sample_put(cache, "d.test", DOMAIN_MX, 1000, 1, "a.test", "b.test");
  sample_put(cache, "e.test", DOMAIN_MX, 1000, 1, "c.test", "e.test");
  sample_give(cache, "a.test", FAMILY_OK, FAMILY_OK, 2, 1000, "");
  sample_give(cache, "b.test", FAMILY_NODATA, FAMILY_OK, 3, 1000, "real.test");
  sample_give(cache, "c.test", FAMILY_NXDOMAIN, FAMILY_NXDOMAIN, 0, 1000, "");
  sample_give(cache, "e.test", FAMILY_TEMPFAIL, FAMILY_OK, FACTS_ADDRESSES_MAX, 1000, "");
}

static inline void sample_expired(struct cache *cache) {
  sample_put(cache, "d.test", DOMAIN_MX, -1, 0, "a.test", "b.test");
  sample_put(cache, "e.test", DOMAIN_NULL_MX, -80000000, 0, NULL, NULL);
  sample_give(cache, "a.test", FAMILY_OK, FAMILY_OK, 1, -1000, "");
  sample_give(cache, "b.test", FAMILY_NODATA, FAMILY_OK, 1, -2000, "");
}

static const struct image_sample image_samples[] = {
    {"nothing", sample_nothing},
    {"kinds", sample_kinds},
    {"addresses", sample_addresses},
    {"expired", sample_expired},
};

enum { IMAGE_SAMPLE_COUNT = sizeof(image_samples) / sizeof(image_samples[0]) };

/* Dumps the whole cache; gives the dump's counts, too. */
static inline size_t image_dump_whole(struct cache *cache, uint8_t *bytes, size_t size, struct dump *dump) {
  size_t length = 0;
  dump_start(dump, cache);
  while (!dump_has_ended(dump) && size - length >= IMAGE_RECORD_MAX)
    length += dump_step(dump, bytes + length, size - length, 100, &image_sample_time);
  if (!dump_has_ended(dump))
    abort();
  return length;
}

/* Builds a sample. Returns its octets. */
static inline size_t image_sample_build(const struct image_sample *sample, uint8_t bytes[IMAGE_SAMPLE_SIZE]) {
  static struct stats stats;
  struct dump dump;
  struct cache *cache = cache_create(IMAGE_SAMPLE_CACHE_BYTES, IMAGE_SAMPLE_STALE_MS, &stats);
  if (!cache)
    abort();
  sample->fill(cache);
  size_t length = image_dump_whole(cache, bytes, IMAGE_SAMPLE_SIZE, &dump);
  cache_destroy(cache);
  return length;
}

#endif
