/*
 * keyscan: the keys of the shared store, from every server that has some.
 *
 * Walks over one server after the other with SCAN, a command at a time: the one server, the master, or each
 * master of a cluster, those too that come to be known while it goes on. A cursor is the server's own and is
 * kept while it is away. What fails is tried again, KEYSCAN_FAILURES times in a row; a server that still
 * fails, that forbids SCAN or does not know it, or is away for KEYSCAN_AWAY_MS while another is up, is left,
 * which is logged. While none is up it waits. A key may come twice, and one that moves from server to server
 * meanwhile not at all.
 *
 * What a server says is checked as to its form; the keys are whatever lies there. A server may say more and
 * more for ever: when that is enough is for whoever calls this (warm).
 *
 * Bounds: one SCAN under way; FLEET_SERVERS_MAX servers, later ones are left out; an answer is as long as a
 * reply may be (resp), from which on_key is called for each key. One thread; time is an argument.
 */
#ifndef MXWAY_DAEMON_KEYSCAN_H
#define MXWAY_DAEMON_KEYSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/fleet.h"

enum {
  KEYSCAN_COUNT = 100, /* keys that a server looks at for one SCAN, about */
  KEYSCAN_TIMEOUT_MS = 1000,
  KEYSCAN_PAUSE_MS = 250, /* before a server that could not be asked is looked at again */
  KEYSCAN_RETRY_MS = 1000,
  KEYSCAN_FAILURES = 5,
  KEYSCAN_AWAY_MS = 30000,
  KEYSCAN_PREFIX_SIZE = 256,
};

struct keyscan;

/* A key, lent, any octets at all. Must not call this room. */
typedef void keyscan_key_fn(void *context, const char *key, size_t length);

/* Of the keys that begin with `prefix`, shorter than KEYSCAN_PREFIX_SIZE, whatever characters it has; a
 * server that is not one may say others. `fleet` is lent. Returns NULL without memory. */
struct keyscan *keyscan_create(struct fleet *fleet, const char *prefix, keyscan_key_fn *on_key,
                               void *context);

/* No callback follows. Before fleet_destroy. destroy(NULL) is fine. */
void keyscan_destroy(struct keyscan *scan);

/* Sends the next SCAN; false where there is none to be sent now: one is under way, it waits, or has ended. */
bool keyscan_step(struct keyscan *scan, int64_t now_ms);

/* Whether every server has told all or is left. */
bool keyscan_has_ended(const struct keyscan *scan);

/* When keyscan_step is due next, however still the loop is; INT64_MAX: never. */
int64_t keyscan_next_ms(const struct keyscan *scan);

#endif
