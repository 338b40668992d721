/*
 * breaker: when a server that fails is left alone, and when it is tried again.
 *
 * Closed: the server is used. After BREAKER_FAILURES failures in a row it opens: nothing is asked until a
 * probe is due, after BREAKER_LEAST_MS and then twice as long each time up to BREAKER_MOST_MS. A
 * probe that is answered closes it; the pause starts from its least again only when the server has
 * been of use (breaker_on_success), so that one which answers probes and nothing else is tried less and less
 * often.
 *
 * What was sent before the last counted failure counts with it: a pause of the server that catches a hundred
 * commands is one failure, not a hundred. Pauses vary by a tenth, so that many nodes do not come back
 * together.
 *
 * Pure: what happened comes in, with the time.
 */
#ifndef MXWAY_DAEMON_BREAKER_H
#define MXWAY_DAEMON_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

enum {
  BREAKER_FAILURES = 3,
  BREAKER_AGAIN_MS = 50, /* between tries while it is closed */
  BREAKER_LEAST_MS = 1000,
  BREAKER_MOST_MS = 10000,
};

struct breaker {
  struct random random;
  bool is_open;
  uint16_t failures; /* in a row */
  uint32_t pause_ms; /* of the last opening, before it was varied; 0: none yet */
  int64_t counted_at_ms;
};

/* Closed; `seed` varies the pauses. */
void breaker_init(struct breaker *breaker, uint64_t seed);

/* What was sent (or begun) at `sent_at_ms` has failed at `now_ms`. Returns whether the breaker is open now.
 */
bool breaker_on_failure(struct breaker *breaker, int64_t sent_at_ms, int64_t now_ms);

/* A probe was answered, or the server goes on being there: closes, and failures are not in a row any more. */
void breaker_on_probe(struct breaker *breaker);

/* The server was of use. */
void breaker_on_success(struct breaker *breaker);

/* How long to wait, from now on, before the server is tried again, after a failure. Each call varies anew. */
uint32_t breaker_wait_ms(struct breaker *breaker);

#endif
