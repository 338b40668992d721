/*
 * dump: memory as an image, a piece at a time.
 *
 * Walks over the cache, first the domains and then the hosts, and packs what still holds, and what has
 * expired but may still be answered where the DNS fails (ROUTING T6, RFC 8767). Memory may change between the
 * pieces: what is there all the while is in the image, what comes or goes may be. Nothing is marked as used;
 * but how much it is used goes into the image, in the order of eviction, so that a smaller memory that loads
 * it keeps the right part. Who calls it: job and snapshot, in the writer's thread. Time is an argument.
 */
#ifndef MXWAY_DAEMON_DUMP_H
#define MXWAY_DAEMON_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"
#include "cache/image.h"

struct dump {
  struct cache *cache;
  struct cache_walk domains;
  struct cache_host_walk hosts;
  enum { DUMP_HEADER, DUMP_DOMAINS, DUMP_HOSTS, DUMP_ENDED } stage;
  uint64_t number;     /* of the next record */
  uint64_t generation; /* of the header: may be set between dump_start and the first step; 0: none */
  uint64_t domain_count, host_count;
};

/* Begins; `cache` is lent, and `dump` stays where it is, until dump_stop. */
void dump_start(struct dump *dump, struct cache *cache);

/* Looks at the next `most` things in memory and packs them, while there is room for any record
 * (IMAGE_RECORD_MAX). Returns the octets written. Call until dump_has_ended, the first time with more
 * room than that. */
size_t dump_step(struct dump *dump, uint8_t *bytes, size_t size, size_t most, const struct image_time *time);

/* Ends it, complete or not. */
void dump_stop(struct dump *dump);

static inline bool dump_has_ended(const struct dump *dump) { return dump->stage == DUMP_ENDED; }

#endif
