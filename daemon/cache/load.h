/*
 * load: an image into memory, piece by piece.
 *
 * The caller brings octets as they come and has them looked at a few records at a time, so that a loop
 * can turn between. A record is put where it is of use: not what claims to be of the future, nor what memory
 * knows as well from a later answer, nor what has expired; but what may be answered stale where the DNS fails
 * (ROUTING T6, RFC 8767) is put as what it is, expired, unless memory has what still holds. What a record
 * says lives no longer than max-ttl and max-negative-ttl of this daemon allow, counted from when the DNS said
 * it, and is answered stale no longer than its max-stale; a hit at the end of its life refreshes it as if it
 * had been learned here (ROUTING T7), and eviction spares it as it would have where it was dumped. Addresses
 * are kept only of hosts that some domain in memory names.
 *
 * A record that cannot be read ends the loading; what came before it stays. Who calls it: job and
 * snapshot, in the writer's thread. Time is an argument.
 */
#ifndef MXWAY_DAEMON_LOAD_H
#define MXWAY_DAEMON_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"
#include "cache/image.h"
#include "rules/ttl.h"

enum { LOAD_TEXT_SIZE = 160 };

/* What has become of the records. */
struct load_counts {
  uint64_t domains, hosts; /* put into memory */
  uint64_t stale;          /* of these domains: have expired, and are kept for stale answers */
  uint64_t expired;        /* of no use any more */
  uint64_t older;          /* memory knows as well, and later */
  uint64_t future;         /* created over 60 s after now: one of the clocks is wrong */
  uint64_t unused;         /* addresses of a host that nobody names */
};

struct load;

/* `cache` and `ttl` are lent. Returns NULL without memory. */
struct load *load_create(struct cache *cache, const struct ttl_policy *ttl);
void load_destroy(struct load *load);

/* Takes octets of the image, in order. Returns how many: fewer than `length` where load_step has to
 * make room first. */
size_t load_put(struct load *load, const uint8_t *bytes, size_t length);

/* Looks at the next `most` records. Returns IMAGE_GOOD when there may be more of them,
 * IMAGE_INCOMPLETE when octets are needed, or have all been read (load_has_ended); else what is wrong, and
 * so each later time. */
enum image_status load_step(struct load *load, size_t most, const struct image_time *time);

/* Whether the end of the image has been read. */
bool load_has_ended(const struct load *load);

const struct load_counts *load_counts(const struct load *load);

/* The generation of the image (image.h); 0 before its header has been read. */
uint64_t load_generation(const struct load *load);

/* Says what is wrong and where: "record 17: its checksum is wrong". For IMAGE_INCOMPLETE: that the image is
 * cut off. Into `text`, returned. */
const char *load_explain(const struct load *load, enum image_status status, char text[LOAD_TEXT_SIZE]);

#endif
