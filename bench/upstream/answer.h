/*
 * answer: the reply to one query, with its faults; octets to octets.
 *
 * Knows the zones, the faults and the counters, and no socket and no clock. Lends what it is made of.
 * The questions of class CHAOS read the counters (mxway-upstream(1)); they are not counted.
 */
#ifndef MXWAY_BENCH_UPSTREAM_ANSWER_H
#define MXWAY_BENCH_UPSTREAM_ANSWER_H

#include "counts.h"
#include "faults.h"
#include "generated.h"
#include "message.h"
#include "zone.h"

struct answerer {
  uint64_t seed;
  const struct zone *zone;
  const struct generated *generated;
  struct faults *faults;
  struct counts *counts;
};

struct answer {
  size_t length; /* 0: no reply */
  uint64_t delay_ns;
};

/* Writes the reply to `query` into `reply`, which has room for MESSAGE_TCP_MAX octets with `is_tcp` and for
 * MESSAGE_UDP_MAX without. */
struct answer answer_query(const struct answerer *answerer, const uint8_t *query, size_t length, bool is_tcp,
                           uint8_t *reply);

#endif
