/*
 * sharing: what this node shares with the others of its cluster, put together from the configuration.
 *
 * Creates the keys (seal), the servers (fleet), the store and the bulletin over them, has these run whenever
 * the loop turns, and destroys them in reverse; and the warm start where one is wanted. Without `redis`, or
 * with `redis-mode off`, there is none of it: NULL, which costs nothing.
 *
 * Deadlines of the store are judged by when the loop last looked at its sockets: an answer that was there
 * before its time was over counts, however long the loop was held up afterwards.
 *
 * One thread, one libev loop. Who calls it: node.
 */
#ifndef MXWAY_DAEMON_SHARING_H
#define MXWAY_DAEMON_SHARING_H

#include <ev.h>

#include "base/stats.h"
#include "cache/cache.h"
#include "config/config.h"
#include "control/warm.h"
#include "resolve/resolver.h"
#include "store/bulletin.h"
#include "store/store.h"

struct sharing;

/* `loop`, `config` and `stats` are lent. Logs what fails. Returns 0 and gives `*sharing`, NULL where nothing
 * is shared; or ERR_CONFIG (a file cannot be used), ERR_NOMEM. */
int sharing_create(struct ev_loop *loop, const struct config *config, struct stats *stats,
                   struct sharing **sharing);

/* Has memory filled from the store from now on (warm), where `redis-warm-start` says so; nothing else, and
 * for a NULL `sharing` nothing at all. Once. `cache` is lent until sharing_destroy, `resolver` as long as the
 * loop runs. Returns 0 or ERR_NOMEM. */
int sharing_start_warm(struct sharing *sharing, const struct config *config, struct resolver *resolver,
                       struct cache *cache, struct stats *stats);

/* Lent; NULL where there is none. */
const struct warm *sharing_warm(const struct sharing *sharing);

/* Outside the loop. destroy(NULL) is fine. */
void sharing_destroy(struct sharing *sharing);

/* The store, lent; NULL where nothing is shared. */
struct store *sharing_store(const struct sharing *sharing);

/* The bulletin, lent, which has to be started; NULL where nothing is shared. */
struct bulletin *sharing_bulletin(const struct sharing *sharing);

#endif
