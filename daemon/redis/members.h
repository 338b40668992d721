/*
 * members: the Redis servers that are in use, one link each.
 *
 * Gives a server by its target, keeps its link while it is wanted, and closes it when it is not wanted any
 * more and all that is under way there has ended. Which servers are wanted, and what is sent to which, is for
 * master, cluster and fleet.
 *
 * Invariant: one member a target. Bounds: MEMBERS_MAX, those that are being given up included.
 * One thread, one libev loop.
 */
#ifndef MXWAY_DAEMON_MEMBERS_H
#define MXWAY_DAEMON_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/link.h"

enum { MEMBERS_MAX = 192, MEMBER_REASON_SIZE = 96 };

/* Others read all but `next`, and write `used_at_ms`. */
struct member {
  struct members *all;
  struct member *next; /* older */
  struct link_target target;
  struct link *link;
  size_t hold_count; /* whoever has something under way here */
  bool is_retired;
  int64_t used_at_ms;              /* as its user says */
  char reason[MEMBER_REASON_SIZE]; /* why it is down, or "" */
};

struct ev_loop;
struct members;

/* Told each change of state of a link. May get and retire members, and send. */
typedef void member_change_fn(void *context, struct member *member, enum link_state state);

/* `options` are those of each link, whose target is set here; what they lend is lent until
 * members_destroy. Returns 0 and gives `*members`, or ERR_NOMEM. */
int members_create(struct ev_loop *loop, const struct link_options *options, member_change_fn *on_change,
                   void *context, struct members **members);

/* Closes every link; no callback follows. destroy(NULL) is fine. */
void members_destroy(struct members *members);

/* The member for `target`, whose link is begun where it is new; one that was retired is wanted again. Lent
 * until it is retired and nobody holds it. NULL where there are MEMBERS_MAX, or without memory. */
struct member *member_get(struct members *members, const struct link_target *target);

/* It is not wanted any more. Its link is closed when the loop turns and nobody holds it. */
void member_retire(struct member *member);

/* Holds it, be it retired meanwhile, until member_release. */
void member_hold(struct member *member);
void member_release(struct member *member);

bool member_is_up(const struct member *member);

/* The newest member, then by `next`; retired ones among them. */
struct member *members_first(const struct members *members);

#endif
