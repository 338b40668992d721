/*
 * seen: what the shared store is known to hold, so that it need not be written again.
 *
 * Of the keys that this node has lately read or written: a digest of the facts, and until when they hold.
 * What collides is forgotten early, at the cost of one more write: fixed memory, no allocation. It is a
 * memory, not a promise: the store may have lost what it held. Pure; one thread; time is an argument.
 */
#ifndef MXWAY_DAEMON_SEEN_H
#define MXWAY_DAEMON_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include "store/record.h"

enum {
  SEEN_COUNT = 4096,
  SEEN_TENTHS = 9, /* of the new life, that the one in the store must have left */
};

/* Zeroes know nothing. */
struct seen {
  struct seen_row {
    uint64_t hash, digest;
    int64_t expires_at_ms[FAMILY_COUNT]; /* of a domain twice the same */
  } rows[SEEN_COUNT];
};

/* The store holds `record` under the key with `hash` (of 64 bits, keyed). */
void seen_put(struct seen *seen, uint64_t hash, const struct record *record);

/* Whether it holds the same facts as `record` there (in the sense of record_is_same), each of them for at
 * least SEEN_TENTHS tenths of the life that it has in `record`. */
bool seen_has(const struct seen *seen, uint64_t hash, const struct record *record, int64_t now_ms);

/* It holds nothing of use under the key with `hash`. */
void seen_remove(struct seen *seen, uint64_t hash);

#endif
