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

#include "base/story.h"
#include "rules/name.h"
#include "rules/route.h"
#include "rules/site.h"

/* A frame, header included: 32 exchanges of at most 268 octets of preference, port and host, 258 of
 * expanded, and a few for tags, status and TTL; 64 addresses of 18; a site; 700 for the rest. */
enum {
  REPLY_BYTES_MAX = ROUTE_EXCHANGES_MAX * (268 + 258 + 20) + ROUTE_ADDRESSES_TOTAL_MAX * 18 + SITE_NAME_MAX +
                    DIGEST_LENGTH + 5 + 700,
};

/* Field numbers of mxway.v1.LookupReply, beside those in facts.h. */
enum {
  FIELD_REPLY_ID = 1,
  FIELD_REPLY_VERDICT = 2,
  FIELD_REPLY_TTL = 3,
  FIELD_REPLY_MX_TTL = 4,
  FIELD_REPLY_AGE = 5,
  FIELD_REPLY_SOURCE = 6,
  FIELD_REPLY_STALE = 7,
  FIELD_REPLY_CANONICAL = 8,
  FIELD_REPLY_IMPLICIT = 9,
  FIELD_REPLY_TRUNCATED = 10,
  FIELD_REPLY_WARNINGS = 11,
  FIELD_REPLY_SMTP_CODE = 13,
  FIELD_REPLY_ENHANCED_STATUS = 14,
  FIELD_REPLY_DETAIL = 17,
  FIELD_REPLY_AUTHENTICATED = 18,
  FIELD_REPLY_STORY = 19,
};

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

/* The answer for an address literal: itself (RFC 5321 section 4.1.3), where `route` (of route_build_literal)
 * does not say otherwise. */
size_t reply_build_literal(uint8_t *at, uint64_t id, const struct name *name, const struct route *route);

/* What the operator or a standard has decided: an answer that nobody was asked for. */
struct decision {
  enum verdict verdict;
  enum source source;
  uint32_t ttl_s;
  const char *detail; /* as of reply_build_verdict */
};

enum { DECISION_BYTES_MAX = 700 };

size_t reply_build_decision(uint8_t *at, uint64_t id, const struct decision *decision,
                            const struct name *name);

/* An answer without facts. `name` (canonical) may be NULL; `detail` is a sentence for people
 * of at most 200 octets, or "". */
size_t reply_build_verdict(uint8_t *at, uint64_t id, enum verdict verdict, const struct name *name,
                           const char *detail);

/* Copies the frame of `length` octets to `at` with `story` (NULL: none) in it; returns the new length. The
 * first says how many octets more that takes at most. */
size_t reply_story_bytes(const struct story *story);
size_t reply_add_story(uint8_t *at, const uint8_t *frame, size_t length, const struct story *story);

#endif
