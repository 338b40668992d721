/*
 * image_invariants: what holds of any octets that are read as an image.
 *
 * For the unit test and the fuzz target alike. Without the right checksums nothing is read: image_repair puts
 * them where they belong.
 */
#ifndef MXWAY_TESTS_IMAGE_INVARIANTS_H
#define MXWAY_TESTS_IMAGE_INVARIANTS_H

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/load.h"
#include "image_samples.h"

enum {
  IMAGE_CHECK_MAX = 1 << 16, /* octets that are looked at */
  IMAGE_LENGTH_BYTES = 4,
  IMAGE_CHECKSUM_BYTES = 8,
  IMAGE_FRAME_BYTES = IMAGE_LENGTH_BYTES + IMAGE_CHECKSUM_BYTES
};

static const struct ttl_policy image_check_lives = {
    .max_s = IMAGE_LIFE_MAX_S, .max_negative_s = 10800, .prefetch_percent = 10};

static inline void image_put_number(uint8_t *at, uint64_t number, size_t octets) {
  for (size_t i = 0; i < octets; i++)
    at[i] = (uint8_t)(number >> 8 * i);
}

/* Makes an image of octets: a header, and records with the right checksums, each as long as it says, or as
 * there is room. What is too short for a record stays behind as it is. */
static inline void image_repair(uint8_t *bytes, size_t length) {
  if (length < IMAGE_HEADER_BYTES)
    return;
  image_pack_header(bytes, image_sample_time.wall_ms, 0);
  size_t at = IMAGE_HEADER_BYTES;
  for (uint64_t number = 1; length - at > IMAGE_FRAME_BYTES; number++) {
    size_t said = bytes[at] | (size_t)bytes[at + 1] << 8, room = length - at - IMAGE_FRAME_BYTES;
    size_t payload = said < room ? said : room;
    payload = payload < IMAGE_PAYLOAD_MAX ? payload : IMAGE_PAYLOAD_MAX;
    image_put_number(bytes + at, payload, IMAGE_LENGTH_BYTES);
    uint64_t checksum = XXH3_64bits_withSeed(bytes + at, IMAGE_LENGTH_BYTES + payload, number);
    image_put_number(bytes + at + IMAGE_LENGTH_BYTES + payload, checksum, IMAGE_CHECKSUM_BYTES);
    at += IMAGE_FRAME_BYTES + payload;
  }
}

static inline void image_empty_cache(struct cache *cache) {
  struct cache_walk walk;
  cache_walk_start(&walk, cache);
  for (const struct domain_facts *facts; (facts = cache_walk_next(&walk));)
    cache_remove_facts(cache, facts);
  cache_walk_stop(&walk);
  cache_sweep(cache, image_sample_time.now_ms, 0);
}

/* ---- one record ---- */

/* Writes what a record says about a domain anew. */
static inline size_t image_rewrite_domain(struct cache *cache, const struct image_record *record,
                                          uint64_t number, uint8_t *bytes) {
  size_t length = strlen(record->name);
  const struct domain_facts *facts =
      cache_put(cache, record->name, length, name_hash(record->name, length), &record->domain);
  if (!facts)
    abort();
  size_t written = image_pack_domain(bytes, number, facts, record->hits, &image_sample_time);
  cache_release(cache, facts);
  return written;
}

/* The same about a host. One whose name is an address needs no record: `is_address` then. */
static inline size_t image_rewrite_host(struct cache *cache, const struct image_record *record,
                                        uint64_t number, uint8_t *bytes, bool *is_address) {
  sample_put(cache, "names.it.test", DOMAIN_MX, 1000, 0, record->name, NULL);
  struct host *host = cache_find_host(cache, record->name, strlen(record->name));
  struct host_facts *facts = host_facts_build(record->families);
  if (!host || !facts)
    abort();
  size_t written = image_pack_host(bytes, number, host, facts, &image_sample_time);
  free(facts);
  *is_address = host->is_address;
  return written;
}

/* Whether there is one way only to write what a good record says. */
static inline const char *image_broken_in_record(struct cache *cache, const struct image_record *record,
                                                 uint64_t number, const uint8_t *bytes, size_t length) {
  static uint8_t again[IMAGE_RECORD_MAX];
  bool is_address;
  size_t written = 0;
  switch (record->kind) {
  case IMAGE_DOMAIN:
    written = image_rewrite_domain(cache, record, number, again);
    break;
  case IMAGE_HOST:
    written = image_rewrite_host(cache, record, number, again, &is_address);
    if (is_address)
      return NULL;
    break;
  case IMAGE_END:
    written = image_pack_end(again, number);
    break;
  }
  return written == length && memcmp(again, bytes, length) == 0 ? NULL
                                                                : "a good record is written as it was read";
}

static inline const char *image_broken_in_records(struct cache *cache, const uint8_t *bytes, size_t length) {
  static struct image_record record;
  size_t at = IMAGE_HEADER_BYTES, taken;
  const char *broken = NULL;
  for (uint64_t number = 1; !broken && at < length; number++, at += taken) {
    memset(&record, 0xa5, sizeof(record));
    if (image_parse_record(bytes + at, length - at, number, &image_sample_time, &record, &taken) !=
        IMAGE_GOOD)
      break;
    if (taken > length - at)
      return "a record takes no more than there is";
    broken = image_broken_in_record(cache, &record, number, bytes + at, taken);
  }
  image_empty_cache(cache);
  return broken;
}

/* ---- the whole ---- */

/* Loads octets in pieces. */
static inline enum image_status image_load(struct cache *cache, const uint8_t *bytes, size_t length,
                                           size_t piece, bool *has_ended, struct load_counts *counts) {
  struct load *load = load_create(cache, &image_check_lives);
  enum image_status status = IMAGE_INCOMPLETE;
  if (!load)
    abort();
  for (size_t at = 0; at < length && status == IMAGE_INCOMPLETE;) {
    at += load_put(load, bytes + at, length - at < piece ? length - at : piece);
    while ((status = load_step(load, 3, &image_sample_time)) == IMAGE_GOOD)
      continue;
  }
  *has_ended = load_has_ended(load);
  *counts = *load_counts(load);
  load_destroy(load);
  return status;
}

/* Loads octets, and dumps what has come of them. Returns the broken rule, or NULL. The cache must be empty,
 * and is afterwards. */
static inline const char *image_check(struct cache *cache, const uint8_t *bytes, size_t length) {
  static uint8_t again[4 * IMAGE_CHECK_MAX];
  struct load_counts counts, second;
  struct dump dump;
  bool has_ended, second_has_ended;
  const char *broken = NULL;
  enum image_status status = image_load(cache, bytes, length, IMAGE_CHECK_MAX, &has_ended, &counts);
  size_t count = cache_count(cache), written = image_dump_whole(cache, again, sizeof(again), &dump);
  if (counts.domains < count || counts.stale > counts.domains)
    broken = "what was loaded was counted";
  if (dump.domain_count != count)
    broken = "all that was loaded is dumped";
  if (image_load(cache, bytes, length, 1 + length % 61, &second_has_ended, &second) != status ||
      second_has_ended != has_ended)
    broken = "the size of the pieces makes no difference";
  image_empty_cache(cache);
  if (image_load(cache, again, written, IMAGE_CHECK_MAX, &has_ended, &second) != IMAGE_INCOMPLETE ||
      !has_ended || second.domains != dump.domain_count || second.hosts != dump.host_count)
    broken = "what was dumped can be loaded";
  image_empty_cache(cache);
  return broken ? broken : image_broken_in_records(cache, bytes, length);
}

#endif
