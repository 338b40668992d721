/*
 * purge: forgetting, a piece at a time.
 *
 * Removes from memory what an order names (and, of single domains, from the shared store), and has the
 * resolver keep nothing of it that is on its way (ROUTING T11). A domain is forgotten with the addresses of
 * its exchanges, though other domains share them: they are asked for again by whoever needs them. What is
 * learned after purge_start is not the order's concern, though some of it may go, too. Configured routes are
 * no memory.
 *
 * Who calls it: job and orders, in the writer's thread. Time is an argument.
 */
#ifndef MXWAY_DAEMON_PURGE_H
#define MXWAY_DAEMON_PURGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"
#include "resolve/resolver.h"
#include "rules/name.h"
#include "store/notice.h"

struct purge {
  struct cache *cache;
  struct resolver *resolver;
  struct store *store;
  enum purge_what what;
  struct name name;
  struct cache_host_walk hosts;
  struct cache_walk domains;
  enum { PURGE_IDLE, PURGE_AT_HOSTS, PURGE_AT_DOMAINS } stage;
  /* What has been forgotten. */
  uint64_t domain_count, host_count;
};

/* Begins; `cache`, `resolver` and `store` (NULL: none) are lent, and `purge` stays where it is, until the end
 * or purge_stop. `name` is canonical, NULL where `what` needs none. A PURGE_OF_DOMAIN is done with that; more
 * can be started one after the other in one struct that was zero before, and the counts add up. Cost of all
 * others: constant. */
void purge_start(struct purge *purge, struct cache *cache, struct resolver *resolver, struct store *store,
                 enum purge_what what, const struct name *name);

/* Looks at the next `most` things in memory, and frees a part of what is purged. Call until purge_has_ended.
 */
void purge_step(struct purge *purge, size_t most, int64_t now_ms);

/* Ends it before its end, or does nothing. */
void purge_stop(struct purge *purge);

static inline bool purge_has_ended(const struct purge *purge) { return purge->stage == PURGE_IDLE; }

#endif
