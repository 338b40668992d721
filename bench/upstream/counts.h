/*
 * counts: how often what was asked, in all and of each name and type.
 *
 * Names are kept as 64-bit hashes, COUNTS_PAIRS_MAX pairs of name and type at most; beyond that new pairs are
 * counted in the totals only. One thread.
 */
#ifndef MXWAY_BENCH_UPSTREAM_COUNTS_H
#define MXWAY_BENCH_UPSTREAM_COUNTS_H

#include <stdio.h>

#include "record.h"

enum { COUNTS_PAIRS_MAX = 3 << 21 };

/* Each with its name in counter queries and in print-outs. */
#define COUNTS(X)                                                                                            \
  X(TOTAL, "total")                                                                                          \
  X(UDP, "udp")                                                                                              \
  X(TCP, "tcp")                                                                                              \
  X(TYPE_A, "a")                                                                                             \
  X(TYPE_AAAA, "aaaa")                                                                                       \
  X(TYPE_MX, "mx")                                                                                           \
  X(TYPE_NS, "ns")                                                                                           \
  X(TYPE_CNAME, "cname")                                                                                     \
  X(TYPE_SOA, "soa")                                                                                         \
  X(TYPE_TXT, "txt")                                                                                         \
  X(TYPE_OTHER, "other")                                                                                     \
  X(MALFORMED, "malformed")                                                                                  \
  X(PAIRS, "pairs")                                                                                          \
  X(OVERFLOW, "overflow")                                                                                    \
  X(DROPPED, "dropped")                                                                                      \
  X(DELAYED, "delayed")                                                                                      \
  X(LOST, "lost")

enum count {
#define COUNT_ID(id, name) COUNT_##id,
  COUNTS(COUNT_ID)
#undef COUNT_ID
      COUNT_COUNT
};

struct counts;

/* NULL without memory. */
struct counts *counts_create(void);
void counts_destroy(struct counts *counts);

void counts_add(struct counts *counts, enum count count);

/* Counts a query; returns how often this name and type was asked before. */
uint64_t counts_add_query(struct counts *counts, uint64_t name_hash, uint16_t type, bool is_tcp);

uint64_t counts_get(const struct counts *counts, enum count count);

/* How often a name was asked for `type`; 0: for any of the types that have a name here. */
uint64_t counts_get_query(const struct counts *counts, uint64_t name_hash, uint16_t type);

/* All to zero. */
void counts_reset(struct counts *counts);

/* The counter of a name, or COUNT_COUNT. */
enum count counts_parse(const char *name);

/* A line "counter NAME VALUE" for each. */
void counts_print(const struct counts *counts, FILE *out);

#endif
