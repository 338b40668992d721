/*
 * writebehind: writes to the shared store, behind everything else.
 *
 * Facts wait in a `backlog`, packed and merged per key, and are sent when the loop turns: SET key value PX
 * life, or DEL. The life is what is left of them, until they may not even be answered stale, when the command
 * goes; less a random part of up to a twentieth, so that what was learned together does not end together; at
 * least WRITEBEHIND_LIFE_LEAST_MS. What the store is known to hold (`seen`) is not written again.
 *
 * Where the store is away they wait; the oldest are dropped where there are too many, and what has waited
 * until its life was over. A value that was sent and is lost with its connection, or refused, is not sent
 * again: it costs another node a question to the DNS, and one that is sent again behind a deletion of its key
 * would bring back what was purged. A deletion is, up to WRITEBEHIND_TRIES times in all, where nothing newer
 * waits under its key: somebody has asked for it. A server that refuses one refuses them all (no memory, a
 * replica, no permission): after an error there is a pause of WRITEBEHIND_PAUSE_MS, and then one at a time
 * until one is taken.
 *
 * One thread; time is an argument, on both clocks, as lives wait on the one that outlives the process. Who
 * calls it: store. Bounds: `max_count` and WRITEBEHIND_BYTES wait; `max_sent` are under way.
 */
#ifndef MXWAY_DAEMON_WRITEBEHIND_H
#define MXWAY_DAEMON_WRITEBEHIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "cache/image.h"
#include "redis/fleet.h"
#include "store/record.h"

enum {
  WRITEBEHIND_BYTES = 4 << 20,
  WRITEBEHIND_LIFE_LEAST_MS = 1000,
  WRITEBEHIND_JITTER = 20, /* at most one part in so many */
  WRITEBEHIND_PAUSE_MS = 1000,
  WRITEBEHIND_TRIES = 5, /* of a deletion */
};

/* Lent. */
struct writebehind_options {
  const struct seal *seal; /* NULL: none */
  size_t max_count, max_sent;
  uint32_t timeout_ms; /* of an answer: that of reads, as a longer one would call a server well that is not */
};

struct writebehind;

/* `fleet` and `stats` are lent. Returns NULL without memory. */
struct writebehind *writebehind_create(struct fleet *fleet, const struct writebehind_options *options,
                                       struct stats *stats);

/* What waits is gone, what is under way is nobody's. Before fleet_destroy. destroy(NULL) is fine. */
void writebehind_destroy(struct writebehind *writebehind);

/* Has `record` written under `key` (terminated). False where it is nothing to share (record_pack). */
bool writebehind_put(struct writebehind *writebehind, const char *key, const struct record *record,
                     const struct image_time *time);

/* Has `key` (terminated) deleted, in the place of what waits for it. */
void writebehind_remove(struct writebehind *writebehind, const char *key);

/* What the store has been found to hold under `key`; NULL: nothing of use. */
void writebehind_saw(struct writebehind *writebehind, const char *key, const struct record *record);

/* Whatever was seen has to be written again. */
void writebehind_forget(struct writebehind *writebehind);

/* Sends what can be sent. */
void writebehind_run(struct writebehind *writebehind, const struct image_time *time);

/* When writebehind_run is due though the loop is still; INT64_MAX: never. */
int64_t writebehind_next_ms(const struct writebehind *writebehind);

size_t writebehind_count(const struct writebehind *writebehind);
size_t writebehind_bytes(const struct writebehind *writebehind);

#endif
