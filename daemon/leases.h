/*
 * leases: those that this node holds, so that it never waits for itself.
 *
 * A lease in the shared store says that some node asks the DNS about a name, not which. This remembers the
 * keys whose lease was won here and for how long. What collides is forgotten early, at the cost of one wait:
 * fixed memory, no allocation. Pure; one thread; time is an argument.
 */
#ifndef MXWAY_DAEMON_LEASES_H
#define MXWAY_DAEMON_LEASES_H

#include <stdbool.h>
#include <stdint.h>

enum { LEASES_COUNT = 4096 };

/* Zeroes hold none. */
struct leases {
  struct {
    uint64_t hash;
    int64_t until_ms;
  } held[LEASES_COUNT];
};

/* This node has the lease of the key with `hash` (of 64 bits, keyed) until `until_ms`. */
void leases_put(struct leases *leases, uint64_t hash, int64_t until_ms);

/* Whether it has it at `now_ms`. */
bool leases_has(const struct leases *leases, uint64_t hash, int64_t now_ms);

/* Gives it up: whether it had it. */
bool leases_remove(struct leases *leases, uint64_t hash, int64_t now_ms);

#endif
