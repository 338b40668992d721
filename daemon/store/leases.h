/*
 * leases: which node asks the DNS about a name that none of them knows.
 *
 * The lease for a key of the shared store is a key beside it: SET <prefix>l:<rest of the key> NX PX. Whoever
 * sets it has the lease; it ends by itself after LEASES_LIFE_MS, or when it is given back. It is advice, not
 * a lock: who does not get it asks the DNS a little later.
 *
 * Where LEASES_VAIN_MAX waits in a row came to nothing, no lease is asked for for LEASES_REST_MS: the DNS
 * takes longer than anybody waits, or who says that others have leases is wrong.
 *
 * A node never waits for itself: the leases that it has are remembered. What collides there is forgotten
 * early, at the cost of one wait: fixed memory, no allocation. One thread; time is an argument. Who calls it:
 * store.
 */
#ifndef MXWAY_DAEMON_LEASES_H
#define MXWAY_DAEMON_LEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "redis/fleet.h"

enum {
  LEASES_LIFE_MS = 1000,
  LEASES_COUNT = 4096, /* that are remembered */
  LEASES_KEY_SIZE = 512,
  LEASES_VAIN_MAX = 16,
  LEASES_REST_MS = 5000,
};

/* The first five are set by the caller, and lent; all else is zero before first use. */
struct leases {
  struct fleet *fleet;
  struct stats *stats;
  const char *prefix;  /* of all keys */
  const char *origin;  /* this node's name, for whoever looks into the store */
  uint32_t timeout_ms; /* of an answer */
  uint32_t vain_count; /* waits in a row */
  int64_t rest_until_ms;
  struct {
    uint64_t hash;
    int64_t until_ms;
  } held[LEASES_COUNT];
};

/* Whether this node has the lease for `key` (terminated). */
bool leases_has(const struct leases *leases, const char *key, int64_t now_ms);

/* Whether to ask for leases is of use now. */
bool leases_are_of_use(const struct leases *leases, int64_t now_ms);

/* A wait for who has a lease is over: a value has come, or not. */
void leases_on_waited(struct leases *leases, bool has_come, int64_t now_ms);

/* Asks for it; `done` gets a reply for leases_on_reply. Returns as fleet_send. */
int leases_ask(struct leases *leases, const char *key, link_reply_fn *done, void *context,
               struct fleet_call **call);

enum lease_outcome {
  LEASE_WON,
  LEASE_LOST,   /* another node has it */
  LEASE_FAILED, /* nobody knows: as good as won, but there is nothing to give back */
};

/* What the reply to leases_ask says; counts, and remembers what is won. */
enum lease_outcome leases_on_reply(struct leases *leases, const char *key, const struct redisReply *reply,
                                   int64_t now_ms);

/* Gives back the lease for `key`, where this node has it. Nobody waits for that to be done. */
void leases_release(struct leases *leases, const char *key, int64_t now_ms);

#endif
