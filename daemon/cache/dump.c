#include "cache/dump.h"

#include <assert.h>

_Static_assert((int)IMAGE_HITS_MAX == (int)CACHE_HITS_MAX, "the hits of an image");

void dump_start(struct dump *dump, struct cache *cache) {
  *dump = (struct dump){.cache = cache, .stage = DUMP_HEADER, .number = 1};
  cache_walk_start(&dump->domains, cache);
}

void dump_stop(struct dump *dump) {
  if (dump->stage == DUMP_HEADER || dump->stage == DUMP_DOMAINS)
    cache_walk_stop(&dump->domains);
  if (dump->stage == DUMP_HOSTS)
    cache_host_walk_stop(&dump->hosts);
  dump->stage = DUMP_ENDED;
}

static size_t begin(struct dump *dump, uint8_t *at, const struct image_time *time) {
  dump->stage = DUMP_DOMAINS;
  return image_pack_header(at, time->wall_ms, dump->generation);
}

/* Packs the next domain, unless it is of no use any more or has failed. */
static size_t pack_domain(struct dump *dump, uint8_t *at, const struct image_time *time) {
  const struct domain_facts *facts = cache_walk_next(&dump->domains);
  if (!facts) {
    dump->stage = DUMP_HOSTS;
    cache_walk_stop(&dump->domains);
    cache_host_walk_start(&dump->hosts, dump->cache);
    return 0;
  }
  if (!domain_facts_are_kept(facts, cache_max_stale_ms(dump->cache), time->now_ms))
    return 0;
  size_t length = image_pack_domain(at, dump->number, facts, cache_walk_hits(&dump->domains), time);
  dump->domain_count += length > 0;
  return length;
}

/* Packs the addresses of the next host, or the end behind the last. */
static size_t pack_host(struct dump *dump, uint8_t *at, const struct image_time *time) {
  const struct host *host = cache_host_walk_next(&dump->hosts);
  if (!host) {
    dump_stop(dump);
    return image_pack_end(at, dump->number);
  }
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  if (!facts || !host_facts_are_kept(facts, cache_max_stale_ms(dump->cache), time->now_ms))
    return 0;
  size_t length = image_pack_host(at, dump->number, host, facts, time);
  dump->host_count += length > 0;
  return length;
}

size_t dump_step(struct dump *dump, uint8_t *bytes, size_t size, size_t most, const struct image_time *time) {
  assert(dump->stage != DUMP_HEADER || size >= IMAGE_HEADER_BYTES);
  size_t length = 0;
  if (dump->stage == DUMP_HEADER)
    length = begin(dump, bytes, time);
  for (; most > 0 && dump->stage != DUMP_ENDED && size - length >= IMAGE_RECORD_MAX; most--) {
    size_t record = dump->stage == DUMP_DOMAINS ? pack_domain(dump, bytes + length, time)
                                                : pack_host(dump, bytes + length, time);
    dump->number += record > 0;
    length += record;
  }
  return length;
}
