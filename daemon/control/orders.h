/*
 * orders: purges that other nodes of the cluster have ordered, carried out beside everything else.
 *
 * Each is begun at once, so that nothing which is on its way is kept (purge_start), and then goes over memory
 * a slice at a time, ORDERS_SLICE_US in each turn of the loop, the oldest first. Of single domains it is done
 * with that. Only memory is purged: what the store holds is the concern of who ordered.
 *
 * Bounded: where ORDERS_MAX are under way, another one makes all of them one purge of all.
 *
 * One thread, the cache's writer, one libev loop. Reads the clock. Who calls it: bulletin, and node.
 */
#ifndef MXWAY_DAEMON_ORDERS_H
#define MXWAY_DAEMON_ORDERS_H

#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"
#include "resolve/resolver.h"
#include "rules/name.h"
#include "store/bulletin.h"
#include "store/notice.h"

enum { ORDERS_MAX = 8, ORDERS_SLICE_US = 300, ORDERS_STEP_COUNT = 4 };

struct ev_loop;
struct orders;

/* What it is given is lent. `generation` is that of what memory holds at the start. Returns NULL without
 * memory. */
struct orders *orders_create(struct ev_loop *loop, struct cache *cache, struct resolver *resolver,
                             uint64_t generation);

/* Ends what is under way. Before the cache and the resolver are destroyed. destroy(NULL) is fine. */
void orders_destroy(struct orders *orders);

/* Begins to follow what is told (bulletin_start). Memory is of the generation that was given, or, where it is
 * empty, of `wall_ms`. Returns as that does. */
int orders_follow(struct orders *orders, struct bulletin *bulletin, int64_t wall_ms);

/* Begins a purge; `name` is canonical, NULL where `what` needs none. */
void orders_put(struct orders *orders, enum purge_what what, const struct name *name);

/* Every purge up to this generation has been put. */
void orders_settle(struct orders *orders, uint64_t generation);

/* The last generation up to which every purge has been carried out: what memory holds now is at least as new.
 */
uint64_t orders_generation(const struct orders *orders);

/* Under way. */
size_t orders_count(const struct orders *orders);

#endif
