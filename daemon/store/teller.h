/*
 * teller: purges on their way to the other nodes of the cluster.
 *
 * A purge is an entry (notice) of one list in the shared store, a Redis stream: XADD appends it and gives it
 * its number, which only grows, in one step. A message without meaning on a channel (PUBLISH) then has the
 * other nodes look. Names of domains that are purged together are told together.
 *
 * Nothing is lost while the store is away: what could not be told waits, and is told when it is back (it is
 * tried at once when teller_retry says so, after each further put, and after TELLER_AGAIN_MS, then twice as
 * long each time up to TELLER_AGAIN_MOST_MS). Of TELLER_WAITING_MAX that wait all but the first become one
 * purge of all. What was sent and not answered is sent again: purged twice is purged. What waits when the
 * process ends is lost.
 *
 * Knows no loop, but the fleet's callbacks; time is an argument. One thread. Who calls it: bulletin.
 */
#ifndef MXWAY_DAEMON_TELLER_H
#define MXWAY_DAEMON_TELLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "redis/fleet.h"
#include "store/notice.h"

enum {
  TELLER_WAITING_MAX = 64,
  TELLER_TIMEOUT_MS = 500,
  TELLER_AGAIN_MS = 1000,
  TELLER_AGAIN_MOST_MS = 10000,
  TELLER_WHY_SIZE = 200,
};

/* There is something to see in the list: an entry has been added, or the server says why none can be. */
typedef void teller_look_fn(void *context, int64_t now_ms);

/* Lent. */
struct teller_options {
  const char *key, *channel;
  const struct seal *seal; /* NULL: none */
  uint64_t origin;
  const uint64_t *followed; /* the purge that this node has followed last, at any time */
  teller_look_fn *look;
  void *context;
};

struct teller;

/* `fleet` and `stats` are lent. Returns NULL without memory. */
struct teller *teller_create(struct fleet *fleet, const struct teller_options *options, struct stats *stats);

/* What waits is lost. Before fleet_destroy. destroy(NULL) is fine. */
void teller_destroy(struct teller *teller);

/* Has a purge told when teller_run is called next. `name` is canonical, NULL where `what` needs none. Returns
 * its number: those that are put later have none that is lower. */
uint64_t teller_put(struct teller *teller, enum purge_what what, const struct name *name);

/* Has it told that this node has followed up to an entry that is not in the list (0: up to none): an entry
 * that purges nothing, and begins the list where there is none. */
void teller_put_beginning(struct teller *teller, uint64_t followed);

enum teller_outcome {
  TELLER_PENDING,
  TELLER_TOLD,
  TELLER_LATER, /* it could not be told yet */
};

/* What has become of a purge; with LATER `*why` is a clause for people, lent until the next call. */
enum teller_outcome teller_outcome(const struct teller *teller, uint64_t number, const char **why);

/* The store may be back. */
void teller_retry(struct teller *teller);

/* Sends what is due. */
void teller_run(struct teller *teller, int64_t now_ms);

/* When teller_run is due though the loop is still; INT64_MAX: never. */
int64_t teller_next_ms(const struct teller *teller);

/* Those that wait. */
size_t teller_count(const struct teller *teller);

#endif
