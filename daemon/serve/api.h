/*
 * api: requests to answers, one struct api a frontend thread.
 *
 * The hit path: the frames of one read are decoded and hashed and their slots prefetched, then
 * looked up and answered one after the other into the connection's output. A
 * hit makes no allocation, takes no lock and no system call of its own. What the
 * cache cannot answer becomes a struct miss, is mailed to the resolver thread, comes back with
 * its reply as bytes, and is written; those of a client that goes away are called back.
 *
 * Before the cache come the operator's routes (pinned), and then the names that the DNS does not have.
 *
 * The thread's reading of the cache is announced here: online from the loop's waking
 * (ev_check) to its sleeping (ev_prepare).
 */
#ifndef MXWAY_DAEMON_API_H
#define MXWAY_DAEMON_API_H

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "base/stats.h"
#include "cache/cache.h"
#include "cache/pinned.h"
#include "rules/name.h"
#include "rules/route.h"

/* What all frontends share; constant while they run. */
struct api_shared {
  struct cache *cache;
  const struct pinned *pinned; /* the configured routes; NULL: there are none */
  struct mailbox *resolver;    /* takes misses: see miss_arrive */
  struct name_policy name_policy;
  struct route_policy route_policy;
  bool resolve_special_use;   /* ask the DNS for names that it does not have (ROUTING Q7) */
  uint32_t special_use_ttl_s; /* of the answer that there is no such domain */
  int listen_fd;
  uint32_t max_connections;
  _Atomic uint32_t connection_count;
};

struct api;

/* `shared`, `loop` and `stats` are lent. Adds a reader to the cache: before any
 * thread starts. Returns NULL without memory. */
struct api *api_create(struct api_shared *shared, struct ev_loop *loop, struct stats *stats);

/* After its loop has ended and no miss of its is under way. */
void api_destroy(struct api *api);

/* In the frontend's thread: stops reading; true from api_is_drained when
 * every client has what it is owed. */
void api_stop(struct api *api);
bool api_is_drained(const struct api *api);

#endif
