/*
 * hosts: the addresses of exchanges.
 *
 * Asks A and AAAA of a host in parallel, only the family whose facts have expired, and
 * publishes what it learns in the cache. A host that several domains share is asked for once at a time
 * (ROUTING T8). What fails softly becomes a fact of its own for a short while and never replaces
 * addresses that still hold (T5). Names that are addresses are never asked (V12).
 *
 * One thread: the cache's writer. Time is an argument.
 */
#ifndef MXWAY_DAEMON_HOSTS_H
#define MXWAY_DAEMON_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "cache.h"
#include "dns.h"
#include "learn.h"

struct hosts;
struct host_flight;

/* Tells one waiter that its host's facts are as good as they get. */
typedef void hosts_done_fn(void *context, int64_t now_ms);

/* One waiter's interest in one host, inside an object of the waiter's. */
struct hosts_wait {
  hosts_done_fn *done;
  void *context;
  struct host_flight *flight; /* NULL: not waiting */
  struct hosts_wait *previous, *next;
};

/* How a waiter wants to be served. */
struct hosts_wish {
  bool refresh;  /* ask although the facts hold */
  bool ahead;    /* ask also for what still holds but is due to be refreshed (ROUTING T7) */
  bool no_stale; /* facts that have expired are not good enough */
  enum dns_priority priority;
  struct story *story; /* told what happens, or NULL */
};

/* `cache` and `dns` are lent, `policy` too. Returns NULL without memory. */
struct hosts *hosts_create(struct cache *cache, struct dns *dns, const struct learn_policy *policy,
                           uint32_t max_cname_hops);

/* Forgets every flight without a call. Before dns_destroy. */
void hosts_destroy(struct hosts *hosts);

/* Sees to it that `host` has facts that may be answered. False: nothing is to be waited for. True: `wait`
 * (its done and context set) is called once, never before this returns. With a NULL `wait` nobody waits. */
bool hosts_ask(struct hosts *hosts, struct host *host, const struct hosts_wish *wish, int64_t now_ms,
               struct hosts_wait *wait);

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
