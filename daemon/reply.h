/*
 * reply: an answer as the bytes of a LookupReply frame.
 *
 * The per-request fields are packed here, the rest is copied from what facts keep
 * packed. Pure; writes at most REPLY_BYTES_MAX; no allocation.
 */
#ifndef MXWAY_DAEMON_REPLY_H
#define MXWAY_DAEMON_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "name.h"
#include "route.h"

/* A frame, header included: 32 exchanges of at most 268 octets of preference, port and host, 258 of
 * expanded, 8 addresses of 18, and a few for tags, status and TTL; 700 for the rest. */
enum { REPLY_BYTES_MAX = ROUTE_EXCHANGES_MAX * (268 + 258 + 8 * 18 + 20) + 700 };

/* Numbers are those of mxway.v1.Source. */
enum source {
  SOURCE_MEMORY = 1,
  SOURCE_SHARED,
  SOURCE_DNS,
  SOURCE_LITERAL,
  SOURCE_OVERRIDE,
  SOURCE_POLICY,
};

/* Each writes a whole frame at `at` and returns its length. */

size_t reply_build_route(uint8_t *at, uint64_t id, enum source source, const struct route *route);

/* The answer for an address literal: itself (RFC 5321 section 4.1.3). */
size_t reply_build_literal(uint8_t *at, uint64_t id, const struct name *name);

/* What the operator or a standard has decided: an answer that nobody was asked for. */
struct decision {
  enum verdict verdict;
  enum source source;
  uint32_t ttl_s;
  const char *detail; /* as of reply_build_verdict */
};

size_t reply_build_decision(uint8_t *at, uint64_t id, const struct decision *decision,
                            const struct name *name);

/* An answer without facts. `name` (canonical) may be NULL; `detail` is a sentence for people
 * of at most 200 octets, or "". */
size_t reply_build_verdict(uint8_t *at, uint64_t id, enum verdict verdict, const struct name *name,
                           const char *detail);

#endif
