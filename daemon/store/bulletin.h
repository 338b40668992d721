/*
 * bulletin: purges reach every node of the cluster, through the shared store.
 *
 * The purges are entries of one list in the store, the stream <prefix>purges: each has a number that only
 * grows, the last NOTICE_KEPT are kept. Room teller appends; this room reads, and has memory purged of what
 * other nodes have told. It looks when a message comes on the channel <prefix>purge, which has no other
 * meaning, whenever the subscription is there (again), and every BULLETIN_LOOK_MS for messages that are lost.
 * The list, not the channel, is what is believed: nothing is followed twice, in another order, or left out.
 *
 * The number of the last entry that a node has followed is the generation of what it writes. Of what it
 * reads, a value of another generation counts as purged where a purge since covers it (room purged), and
 * where it is newer than the list as far as this node knows it: another node is ahead, for a moment.
 *
 *   number of an entry -> generation: milliseconds << BULLETIN_SEQUENCE_BITS | sequence
 *
 * Nodes know which entries they have followed. Where the first that a node has not is also the first of the
 * list, it has missed more than NOTICE_KEPT: all its memory is purged, at once, and then once in
 * BULLETIN_ALL_MS at most, so that nobody keeps memory empty. A list may also be lost, as with a server that
 * keeps nothing on a disk, or have lost its end, as with a replica that has become the master too early. That
 * alone is no reason to purge: a node that had followed it to its end misses nothing. It says so, with an
 * entry that purges nothing and tells how far it had come; who hears of an entry that it has not followed has
 * missed something. The first node of all begins the list with such an entry, too.
 *
 * A node that starts with an empty memory has nothing to purge but what it has learned before it first read
 * the list: it follows what was told since BULLETIN_MARGIN_MS before its start, the one place where clocks
 * count. For values in the store it knows the purges in the list; what is older than its first entry counts
 * as purged.
 *
 * What others put there is refused and counted. An entry whose number is beyond all sense would make every
 * later one so, and behind one that is too large to be taken in nothing can be read: the list is deleted
 * then. With a key of `seal` nobody without it can say anything; who can write to the store can still make
 * nodes forget, as by destroying the list.
 *
 * Until the list has been read for the first time the store is closed (store_set_open), so that nothing is
 * taken from there which has been purged; for BULLETIN_WAIT_MS at most from when a server is up. Where the
 * list cannot be read, or is none (WRONGTYPE), what was known goes on to count, and reading is tried again
 * every BULLETIN_AGAIN_MS, after an error every BULLETIN_LOOK_MS.
 *
 * Knows no loop, but the fleet's callbacks: whoever runs it calls bulletin_run when the loop turns and when
 * bulletin_next_ms says so. One thread; time is an argument. Who calls it: sharing, job.
 *
 * Bounds: one read under way, of BULLETIN_PAGE entries; TELLER_WAITING_MAX to be told.
 */
#ifndef MXWAY_DAEMON_BULLETIN_H
#define MXWAY_DAEMON_BULLETIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "redis/fleet.h"
#include "store/notice.h"
#include "store/store.h"
#include "store/teller.h"

enum {
  BULLETIN_LOOK_MS = 30000,
  BULLETIN_AGAIN_MS = 1000,
  BULLETIN_FIRST_MS = 20, /* the first look, until a server is there */
  BULLETIN_WAIT_MS = 3000,
  BULLETIN_PAUSE_MS = 5, /* between looks, however many messages come */
  BULLETIN_ALL_MS = 60000,
  BULLETIN_MARGIN_MS = 600000,
  BULLETIN_PAGE = 8,
  BULLETIN_NUMBER_SIZE = 48,
  BULLETIN_SEQUENCE_BITS = 20,
  BULLETIN_TIME_BITS = 43, /* of the milliseconds: until the year 2248 */
};

/* Copied; what it names is lent. */
struct bulletin_options {
  const char *key;         /* of the list */
  const char *channel;     /* lent as long as the fleet lives */
  const struct seal *seal; /* NULL: none */
  bool read_only;          /* hear, and tell nothing */
};

/* What other nodes have had purged is to be purged here: `name` is canonical, NULL where `what` needs none.
 * It is begun, as purge_start would, when this returns. */
typedef void bulletin_purge_fn(void *context, enum purge_what what, const struct name *name);

/* Every purge up to this generation has been begun. */
typedef void bulletin_settled_fn(void *context, uint64_t generation);

struct bulletin_calls {
  bulletin_purge_fn *purge;
  bulletin_settled_fn *settled;
  void *context;
};

struct bulletin;

/* `fleet`, `store` and `stats` are lent until bulletin_destroy. Returns 0 and gives `*bulletin`, which does
 * nothing yet, or ERR_NOMEM. */
int bulletin_create(struct fleet *fleet, struct store *store, const struct bulletin_options *options,
                    struct stats *stats, struct bulletin **bulletin);

/* Before store_destroy. destroy(NULL) is fine. */
void bulletin_destroy(struct bulletin *bulletin);

/* Begins to follow; takes the fleet's subscription. Where memory holds facts from before, every purge up to
 * `generation` had been followed then (0: nobody knows), and `wall_ms` is 0. Where it is empty `generation`
 * is 0, and `wall_ms` the Unix time. Once. Returns as fleet_subscribe. */
int bulletin_start(struct bulletin *bulletin, const struct bulletin_calls *calls, uint64_t generation,
                   int64_t wall_ms);

/* ---- telling; a NULL bulletin does nothing, and one that only reads tells nobody ---- */

/* Has the other nodes purge as well what has been purged here (purge_start); values of it in the store count
 * as purged here until they are told. Where nobody can be told they do until they were written by who has
 * followed a later purge, whatever it was of. Returns a number for bulletin_outcome. */
uint64_t bulletin_tell(struct bulletin *bulletin, enum purge_what what, const struct name *name);

enum bulletin_outcome {
  BULLETIN_OFF, /* nothing is shared */
  BULLETIN_READ_ONLY,
  BULLETIN_PENDING,
  BULLETIN_TOLD,
  BULLETIN_LATER, /* it could not be told yet, and will be when the store is back */
};

/* What has become of it; with LATER `*why` is a clause for people, lent until the next call. */
enum bulletin_outcome bulletin_outcome(const struct bulletin *bulletin, uint64_t number, const char **why);

/* ---- running ---- */

void bulletin_run(struct bulletin *bulletin, int64_t now_ms);

/* INT64_MAX: never. */
int64_t bulletin_next_ms(const struct bulletin *bulletin);

/* ---- looking ---- */

struct bulletin_view {
  uint64_t generation;                 /* 0: the list has not been read yet */
  char followed[BULLETIN_NUMBER_SIZE]; /* the entry that was followed last, as Redis has its number; "" */
  size_t untold_count;                 /* notices that wait */
};

/* Of NULL all is 0. */
void bulletin_look(const struct bulletin *bulletin, struct bulletin_view *view);

#endif
