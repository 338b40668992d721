/*
 * store: the store that the daemons of a cluster share (Redis).
 *
 * What one node has learned, every node knows. The store is never on the path of a hit, never a reason to
 * wait, and never trusted blindly: a value that cannot be used is a miss with a counter of its own.
 *
 * A read has a budget (`timeout_ms`); after `head_start_ms` without an answer `late` is called, so that the
 * DNS is asked beside it. Where the store is away, store_get says so at once. What a value is worth is for
 * the reader to say (store_suffices_fn): his bounds of lives are his own, and of a host he may want one
 * family alone. Where it is not enough, or there is none, a lease (SET NX PX of <prefix>l:<d|h>:<name>)
 * decides which node asks the DNS: the others look again, with growing pauses, for at most `lease_wait_ms`,
 * and then ask the DNS all the same. What fails on the way to a lease is as good as the lease. A node does
 * not wait for a lease of its own.
 *
 * Writes go behind (writebehind): SET key value PX life, where life ends with the facts' stale-until. A TTL
 * of 0 and failures are never written, nor facts that the store is known to hold.
 *
 * Knows no loop: whoever runs it calls store_run when the loop turns and when store_next_ms says so. The
 * header is the seam: tests of resolver link a fake in its place.
 *
 * One thread. Time is an argument; the wall clock is read here, for what outlives this process (ROUTING T10).
 *
 * Bounds: STOREREAD_MAX reads; at most half of `max_commands` are first looks, a quarter writes.
 * Cost: constant a read, whatever else is under way; no timer of its own.
 */
#ifndef MXWAY_DAEMON_STORE_H
#define MXWAY_DAEMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "redis/fleet.h"
#include "store/appraise.h"
#include "store/record.h"
#include "store/storeread.h"

enum {
  STORE_PREFIX_SIZE = 160, /* "mxway:1:", with the cluster's name "mxway:east:1:" */
  STORE_KEY_SIZE = STORE_PREFIX_SIZE + 2 + FACTS_NAME_SIZE, /* 2 of "d:" */
};

struct store_options {
  const char *prefix;      /* of all keys, with its last colon; lent */
  const char *origin;      /* this node's name, told in what it writes; lent */
  const struct seal *seal; /* of values; NULL: none; lent */
  bool read_only;          /* write nothing, delete nothing, take no lease */
  uint32_t timeout_ms;     /* budget of a read */
  uint32_t head_start_ms;  /* at most timeout_ms */
  uint32_t lease_wait_ms;  /* 0: no leases */
  uint32_t max_commands;   /* outstanding at one server, as the fleet has it */
  uint32_t max_writes;     /* that wait */
};

struct store;

/* `fleet` is lent until store_destroy, `stats` too. Returns 0 and gives `*store`, or ERR_NOMEM. */
int store_create(struct fleet *fleet, const struct store_options *options, struct stats *stats,
                 struct store **store);

/* Forgets every read without a call. Before fleet_destroy. destroy(NULL) is fine. */
void store_destroy(struct store *store);

/* ---- reading: questions, calls and outcomes are in storeread.h ---- */

/* Reads. Returns 0 and gives `*read`, which lives until `done` has been called, exactly once and never before
 * this returns, or until store_cancel. Or ERR_NETWORK where the store is away, ERR_OVERLOAD where it has too
 * much to do, ERR_NOMEM: then nothing is called, and it cost nothing. A NULL `store`: ERR_NETWORK. `calls`
 * is lent as long as the read lives. No callback may destroy the store; of `late` and `done` all else may be
 * called. */
int store_get(struct store *store, const struct store_question *question, int64_t now_ms,
              const struct store_calls *calls, void *context, struct store_read **read);

/* Wants no answer any more: no callback follows, and `read` is the store's. */
void store_cancel(struct store_read *read);

/* ---- for who reads by himself (warm) ---- */

/* Whether it may be read now. */
bool store_is_up(const struct store *store);

/* The key of a name, terminated; of a name of no octets it is how all keys of the kind begin. Returns its
 * length. */
size_t store_key(const struct store *store, enum record_kind kind, const char *name, size_t length,
                 char key[STORE_KEY_SIZE]);

/* Appraises what a server has answered to GET of the key of `name` (terminated), as of every value that is
 * read here. FACTS fills `record`; REFUSED and ERROR are counted by their reason. */
enum appraisal store_appraise(struct store *store, enum record_kind kind, const char *name,
                              const struct redisReply *reply, int64_t now_ms, struct record *record);

/* ---- writing; a NULL store does nothing ---- */

/* Shares what the DNS has said. Copies; origin and generation are filled in here. Where it is nothing to
 * share (a TTL of 0, more than RECORD_MAX octets) it is as store_release. The same facts are not written
 * again while the store, as far as this node has seen by reading and writing there, holds them for at least
 * nine tenths of the new life. */
void store_put(struct store *store, const struct record *record, int64_t now_ms);

/* A lookup ended without anything to share: gives back the lease, if this node has it, so that nobody waits
 * for it. Cheap where it has none. */
void store_release(struct store *store, enum record_kind kind, const char *name, size_t length,
                   int64_t now_ms);

/* Takes back what waits to be written for a name, and deletes it in the store, at once or when the store is
 * there again. */
void store_remove(struct store *store, enum record_kind kind, const char *name, size_t length);

/* ---- running ---- */

/* Ends what is due, sends what waits. When the loop turns. */
void store_run(struct store *store, int64_t now_ms);

/* When store_run is due next, however still the loop is; INT64_MAX: never. */
int64_t store_next_ms(const struct store *store);

/* ---- purges (bulletin) ---- */

/* Whether the store is used at all, as it is at first: while it is not yet known what has been purged it is
 * as if it were away. What is put meanwhile is not written. */
void store_set_open(struct store *store, bool is_open);

/* Values are written with this generation from now on. At first 0. */
void store_set_generation(struct store *store, uint64_t generation);

/* Whether a value has been purged since it was written: it counts as missing then. */
void store_set_purged(struct store *store, appraise_purged_fn *is_purged, void *context);

/* ---- looking ---- */

struct store_view {
  bool is_up; /* it is read; else a breaker is open, it connects, or it is not open */
  struct fleet_view fleet;
  size_t read_count;  /* under way */
  size_t write_count; /* that wait */
  size_t write_bytes;
};
void store_look(const struct store *store, struct store_view *view);

#endif
