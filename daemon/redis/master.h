/*
 * master: the one server that sentinels name, once it has proved to be a master.
 *
 * What a sentinel names is a candidate: its link must come up, and it must say that it is a master (ROLE), in
 * MASTER_PROOF_MS. Until then the master from before goes on, as long as it is one. So a sentinel that is
 * behind and names a server that is a replica now, or is gone, changes nothing; the next sentinel is asked.
 * A master whose link was lost, or that answered a write with READONLY, has to prove itself again.
 *
 * Bounds: at most two servers; a candidate has at least MASTER_TRIAL_MS before another may take its place.
 * One thread, one libev loop. Reads the clock.
 */
#ifndef MXWAY_DAEMON_MASTER_H
#define MXWAY_DAEMON_MASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/members.h"
#include "redis/sentinel.h"

enum { MASTER_PROOF_MS = 3000, MASTER_TRIAL_MS = 200, MASTER_TEXT_SIZE = 128 };

struct ev_loop;
struct master;

/* There is another master, or one at last, or none any more. May send. */
typedef void master_change_fn(void *context);

/* `members` is lent until master_destroy. Returns 0 and gives `*master`, or what sentinel_create returns. */
int master_create(struct ev_loop *loop, struct members *members, const struct sentinel_options *options,
                  master_change_fn *on_change, void *context, struct master **master);

/* No callback follows. Before members_destroy. destroy(NULL) is fine. */
void master_destroy(struct master *master);

/* The master, proved and up; or NULL. */
struct member *master_get(const struct master *master);

/* A link has changed its state. */
void master_on_member(struct master *master, struct member *member, enum link_state state);

/* `member` has refused a write because it is read-only: the topology has changed. */
void master_doubt(struct master *master, const struct member *member);

/* How many of the sentinels are up. */
size_t master_sentinel_count(const struct master *master);

/* Why there is no master, for people; returns `text`. */
const char *master_complaint(const struct master *master, char text[MASTER_TEXT_SIZE]);

#endif
