/*
 * sentinel: what the Redis sentinels say is the master.
 *
 * Has a link and a subscription to each sentinel that is configured. Asks one after the other (SENTINEL
 * get-master-addr-by-name): at the start, each SENTINEL_POLL_MS, when a sentinel is back, and when it is told
 * that the server last named is of no use; and hears +switch-master. A sentinel may be wrong, or behind: what
 * it names is for master to prove.
 *
 * Bounds: two connections a sentinel; one question at a time, SENTINEL_PACE_MS apart; when each that is up
 * has been asked in vain, a pause of SENTINEL_PAUSE_LEAST_MS that doubles to SENTINEL_PAUSE_MOST_MS.
 * One thread, one libev loop. Reads the clock.
 */
#ifndef MXWAY_DAEMON_SENTINEL_H
#define MXWAY_DAEMON_SENTINEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/link.h"

enum {
  SENTINEL_MAX = 16,
  SENTINEL_POLL_MS = 10000,
  SENTINEL_PACE_MS = 50,
  SENTINEL_PAUSE_LEAST_MS = 1000,
  SENTINEL_PAUSE_MOST_MS = 10000,
  SENTINEL_TIMEOUT_MS = 1000,
  SENTINEL_COMPLAINT_SIZE = 128,
};

struct sentinel_options {
  const struct link_target *targets; /* of the sentinels; lent for the call */
  size_t count;                      /* 1 to SENTINEL_MAX */
  const char *master;                /* the name they know it by; lent until sentinel_destroy */
  struct link_options link;          /* of each link, but for the target; what it lends is lent as long */
};

/* A sentinel says that `target`, lent for the call, is the master. May ask again. */
typedef void sentinel_named_fn(void *context, const struct link_target *target, int64_t now_ms);

struct ev_loop;
struct sentinel;

/* Begins. Returns 0 and gives `*sentinel`, or ERR_NOMEM or what link_create returns. */
int sentinel_create(struct ev_loop *loop, const struct sentinel_options *options, sentinel_named_fn *on_named,
                    void *context, struct sentinel **sentinel);

/* No callback follows. destroy(NULL) is fine. */
void sentinel_destroy(struct sentinel *sentinel);

/* The server last named is no master, or cannot be reached: asks the next sentinel, as soon as the pace
 * allows. */
void sentinel_ask_again(struct sentinel *sentinel);

/* The server last named has proved to be the master: the next trouble begins without a pause. */
void sentinel_believe(struct sentinel *sentinel);

size_t sentinel_up_count(const struct sentinel *sentinel);

/* Why no sentinel names a master, for people; "" where one did. */
const char *sentinel_complaint(const struct sentinel *sentinel);

/* Reads the message of +switch-master, "name old-host old-port host port", about the master `name`; false
 * where it is about another, or is no such message. Pure. */
bool sentinel_switch_parse(const char *message, size_t length, const char *name, struct link_target *target);

#endif
