/*
 * express: the answer for an ordinary caller, straight from the facts.
 *
 * Nearly every hit is for a caller without wishes, on fresh facts with nothing odd about them. For those this
 * room writes, octet for octet and with the same draws from `random`, what route and reply would write, and
 * leaves out the steps between. Whatever it does not take, it leaves to them: a room to be fast in, not to
 * decide in.
 *
 * Pure. No allocation, no lock: this is the hit path. Cost: a few instructions an exchange, and what is
 * copied.
 */
#ifndef MXWAY_DAEMON_EXPRESS_H
#define MXWAY_DAEMON_EXPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "rules/facts.h"
#include "rules/name.h"
#include "rules/route.h"

enum {
  EXPRESS_EXCHANGES_MAX = 8, /* so many that their addresses cannot be too many together (ROUTING O5) */
};

/* What the operator decides for all callers, as far as it is to be looked at. */
struct express {
  bool is_open; /* else it takes nothing */
  bool gives_addresses;
  enum families families;
  bool is_v6_first; /* of one address of each */
};

void express_init(struct express *express, const struct route_policy *policy);

/* Writes the whole frame for request `id` at `at`, which has room for REPLY_BYTES_MAX, and returns its
 * length. 0, with octets at `at` undefined and `random` as it was, where the facts are not for this room.
 * `name` is what was asked for, `facts` what the cache holds for it. `is_due` tells whether the hit is to
 * start a refresh (see route_wants_refresh). */
size_t express_build(const struct express *express, uint8_t *at, uint64_t id, enum depth depth,
                     const struct name *name, const struct domain_facts *facts, int64_t now_ms,
                     struct random *random, bool *is_due);

#endif
