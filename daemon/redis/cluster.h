/*
 * cluster: the servers of a Redis Cluster, and who of them has a slot.
 *
 * Asks a server that is up for the map (CLUSTER SLOTS): each CLUSTER_POLL_MS, and sooner where there is
 * trouble: a server is down, slots are nobody's, MOVED, CLUSTERDOWN, a server is back. A link to each master
 * of the map; the seeds are in use only while none of these is up. Replicas are not asked.
 *
 * Bounds: SHARDMAP_NODES_MAX masters; the map is asked for once in CLUSTER_PAUSE_LEAST_MS, and less often the
 * longer the trouble lasts, up to CLUSTER_PAUSE_MOST_MS. One thread, one libev loop. Reads the clock.
 */
#ifndef MXWAY_DAEMON_CLUSTER_H
#define MXWAY_DAEMON_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/members.h"
#include "redis/shardmap.h"

enum {
  CLUSTER_POLL_MS = 60000,
  CLUSTER_PAUSE_LEAST_MS = 1000,
  CLUSTER_PAUSE_MOST_MS = 10000,
  CLUSTER_TIMEOUT_MS = 1000,
  CLUSTER_GUEST_MS = 60000, /* a server that is not in the map, but was sent to, is kept so long */
  CLUSTER_SEEDS_MAX = 16,
  CLUSTER_COMPLAINT_SIZE = 128,
};

struct ev_loop;
struct cluster;

/* Other servers are up, or have slots, than before. May send. */
typedef void cluster_change_fn(void *context);

/* `seeds` are copied, 1 to CLUSTER_SEEDS_MAX; `members` is lent until cluster_destroy. Returns 0 and gives
 * `*cluster`, or ERR_NOMEM. */
int cluster_create(struct ev_loop *loop, struct members *members, const struct link_target *seeds,
                   size_t seed_count, cluster_change_fn *on_change, void *context, struct cluster **cluster);

/* No callback follows. Before members_destroy. destroy(NULL) is fine. */
void cluster_destroy(struct cluster *cluster);

/* The master of `slot`, up or not; NULL where none is known. */
struct member *cluster_get(const struct cluster *cluster, uint16_t slot);

/* The master at `place` of the map, from 0 to SHARDMAP_NODES_MAX - 1, up or not; NULL where there is none. */
struct member *cluster_at(const struct cluster *cluster, size_t place);

/* Whether a master is up. */
bool cluster_is_up(const struct cluster *cluster);

/* A master that is up, another one each time where there are more; or NULL. */
struct member *cluster_any(struct cluster *cluster);

/* Whether a master of the map is at `target`. */
bool cluster_has(const struct cluster *cluster, const struct link_target *target);

/* What the error `text` of `from`, about `slot`, says where to go. Returns the server there, and learns from
 * MOVED; NULL where the error says nothing of the kind, is about another slot, or there is no room for one
 * more server. */
struct member *cluster_follow(struct cluster *cluster, const struct member *from, uint16_t slot,
                              const char *text, size_t length, bool *is_ask, int64_t now_ms);

/* A link has changed its state. */
void cluster_on_member(struct cluster *cluster, struct member *member, enum link_state state);

/* A server says that the cluster is down. */
void cluster_doubt(struct cluster *cluster);

struct cluster_view {
  size_t node_count, up_count, slot_count; /* masters of the map */
  uint32_t latency_us;                     /* the mean of those that are up */
  const char *complaint; /* about the map; "" where it is there. Lent until the loop turns */
};

void cluster_look(const struct cluster *cluster, struct cluster_view *view);

#endif
