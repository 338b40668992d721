/*
 * warm: what the shared store holds, read into the memory of a node that has just started.
 *
 * So that a new node need not miss each name once. Walks over the keys of domains (keyscan), asks for the
 * values of those that memory does not hold, and then for the addresses of the hosts that they name. Each
 * value is judged as any other that is read (store), and put into memory as a lookup would put it (resolver):
 * only what holds, nothing in the place of what memory knows as well, without hits, so that what nobody asks
 * for is evicted first.
 *
 * A guest everywhere: no more than `rate` reads a second, where a SCAN counts as WARM_READS_OF_SCAN, since
 * that is what it costs a server, about; an eighth of the commands that may be outstanding; it ends where
 * memory is nine tenths full, so that it evicts nothing, and leaves denials where those have nine tenths of
 * their share. Clients are served meanwhile as ever.
 *
 * Begins when the store is up for the first time, and waits while it is away. Ends for good when all has been
 * read, or after WARM_LONGEST_MS, whatever servers say. What could not be read in WARM_TRIES is left, and so
 * is what a purge has overtaken.
 *
 * Knows no loop: whoever runs it (sharing) calls warm_run when the loop turns and when warm_next_ms says so.
 * One thread: the cache's writer. Time is an argument.
 *
 * Cost: a turn looks at WARM_LOOKS names; at most WARM_OUTSTANDING_MAX values come in one.
 */
#ifndef MXWAY_DAEMON_WARM_H
#define MXWAY_DAEMON_WARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "cache/cache.h"
#include "redis/fleet.h"
#include "resolve/resolver.h"
#include "store/store.h"

enum {
  WARM_OUTSTANDING_MAX = 64,
  WARM_LOOKS = 128,
  WARM_TRIES = 3,
  WARM_READS_OF_SCAN = 20,
  WARM_BURST_MS = 10, /* reads of so long a time may go at once, where the loop was held up */
  WARM_TIMEOUT_MS = 1000,
  WARM_PAUSE_MS = 250, /* after a command that failed, or could not be sent */
  WARM_LONGEST_MS = 3600000,
  WARM_TEXT_SIZE = 160,
};

struct warm_options {
  uint32_t rate;         /* reads a second, at least 1 */
  uint32_t max_commands; /* outstanding at one server, as the fleet has it */
};

struct warm;

/* All lent until warm_destroy. Returns 0 and gives `*warm`, or ERR_NOMEM. */
int warm_create(struct fleet *fleet, struct store *store, struct resolver *resolver, struct cache *cache,
                const struct warm_options *options, struct stats *stats, struct warm **warm);

/* Ends it wherever it is. Before store_destroy, fleet_destroy and cache_destroy; the resolver may be gone.
 * destroy(NULL) is fine. */
void warm_destroy(struct warm *warm);

/* Takes it a part further. Never from inside a callback of the fleet. */
void warm_run(struct warm *warm, int64_t now_ms);

/* When warm_run is due next, however still the loop is; INT64_MAX: never. */
int64_t warm_next_ms(const struct warm *warm);

bool warm_has_ended(const struct warm *warm);

/* Where it is, for people: "38211 of 41230 values so far, 12 refused". Into `text`, returned. */
char *warm_text(const struct warm *warm, char text[WARM_TEXT_SIZE]);

#endif
