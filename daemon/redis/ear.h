/*
 * ear: one subscription to one channel, which goes from server to server as the topology changes.
 *
 * Has a link of its own. Where to listen is asked of who made it, when something has changed (ear_settle) and
 * when the link is down. What is published while it is not subscribed is lost: `on_up` tells each time it is.
 *
 * Bounds: one connection; it moves once in EAR_MOVES_MS. One thread, one libev loop. Reads the clock.
 */
#ifndef MXWAY_DAEMON_EAR_H
#define MXWAY_DAEMON_EAR_H

#include <stdbool.h>
#include <stdint.h>

#include "redis/link.h"

enum { EAR_MOVES_MS = 1000 };

struct ev_loop;
struct ear;

/* Subscribed (again). */
typedef void ear_up_fn(void *context, int64_t now_ms);

/* Where to listen: `at` is where it does, NULL for nowhere; `is_lost`: there it is in vain. Returns a target,
 * lent until the loop turns, be it `at` itself; NULL: stay. */
typedef const struct link_target *ear_place_fn(void *context, const struct link_target *at, bool is_lost);

struct ear_options {
  struct link_options link; /* but for the target; what it lends is lent until ear_destroy */
  const char *channel;      /* lent until ear_destroy */
  link_message_fn *on_message;
  ear_up_fn *on_up;
  void *context; /* of these two */
  ear_place_fn *place;
  void *place_context;
};

/* Looks for a place when the loop turns. Returns 0 and gives `*ear`, or ERR_NOMEM. */
int ear_create(struct ev_loop *loop, const struct ear_options *options, struct ear **ear);

/* No callback follows. Never inside a callback of its own. destroy(NULL) is fine. */
void ear_destroy(struct ear *ear);

/* There may be a better place. Fine with NULL. */
void ear_settle(struct ear *ear);

#endif
