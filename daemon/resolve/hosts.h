/*
 * hosts: the addresses of exchanges.
 *
 * Asks for A and AAAA of a host in parallel, only for the family whose facts have expired, and
 * publishes what it learns in the cache; what the DNS said is shared with the cluster, both families as one
 * value (fetch). A host that several domains share is asked for once at a time
 * (ROUTING T8). What fails softly becomes a fact of its own for a short while and never replaces
 * addresses that still hold (T5). Names that are addresses are never asked (V12).
 *
 * One thread: the cache's writer. Time is an argument.
 */
#ifndef MXWAY_DAEMON_HOSTS_H
#define MXWAY_DAEMON_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
#include "resolve/fetch.h"

struct hosts;
struct host_flight;

/* Tells one waiter that its host's facts are as good as they get. `origins` (enum fetch_origin, as bits):
 * what was not in memory came from there. */
typedef void hosts_done_fn(void *context, unsigned origins, int64_t now_ms);

/* Tells one waiter that the host has addresses now that have expired, from the shared store: there is
 * something to be answered stale while the DNS is late (ROUTING T6). Must not call this room. */
typedef void hosts_stale_fn(void *context, int64_t now_ms);

/* One waiter's interest in one host, inside an object of the waiter's. */
struct hosts_wait {
  hosts_done_fn *done;
  hosts_stale_fn *on_stale;
  void *context;
  struct host_flight *flight; /* NULL: not waiting */
  bool has_stale;             /* on_stale was called, or would have been before */
  struct hosts_wait *previous, *next;
};

/* How a waiter wants to be served. */
struct hosts_wish {
  bool refresh;  /* ask the DNS, although the facts hold */
  bool ahead;    /* ask also for what still holds but is due to be refreshed (ROUTING T7) */
  bool no_stale; /* facts that have expired are not good enough */
  enum dns_priority priority;
  struct story *story; /* told what happens, or NULL */
};

/* `cache` and `ways` are lent. Returns NULL without memory. */
struct hosts *hosts_create(struct cache *cache, const struct fetch_ways *ways);

/* Forgets every flight without a call. Before store_destroy and dns_destroy. */
void hosts_destroy(struct hosts *hosts);

/* Sees to it that `host` has facts that may be answered. False: nothing is to be waited for. True: `wait`
 * (its done, on_stale and context set) is called once, never before this returns. With a NULL `wait` nobody
 * waits. */
bool hosts_ask(struct hosts *hosts, struct host *host, const struct hosts_wish *wish, int64_t now_ms,
               struct hosts_wait *wait);

/* Takes `record`, of a host that some domain in memory names, that the store was asked for ahead of any
 * question: each family as a lookup would, where memory does not hold what it learned as late, and no lookup
 * is under way. A purge that came meanwhile is the caller's to see. Evicts as any put. */
enum intake hosts_take(struct hosts *hosts, const struct record *record, int64_t now_ms);

/* Lets addresses that have expired be answered for a while longer, as nothing better has come so far (ROUTING
 * T6). */
void hosts_put_stale(struct hosts *hosts, struct host *host, int64_t now_ms);

/* Waits no longer; the flight goes on. One that does not wait is left alone. */
void hosts_leave(struct hosts_wait *wait);

/* Has what is being learned of `host`, or of every host where it is NULL, delivered to those who wait and not
 * kept (ROUTING T11): families that turn out to be of `states` (bit n is enum family_state n) are published
 * as if their TTL were 0. Cost: constant. */
void hosts_forget(struct hosts *hosts, const struct host *host, unsigned states);

#endif
