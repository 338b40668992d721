/*
 * octets: facts as octets, piece by piece: what an image (memory that outlives the process) and a record (a
 * value of the shared store) are made of.
 *
 * A number is little-endian; a text is a length of one octet and the octets; a time is Unix time in
 * milliseconds, 8 octets. Kinds and states have numbers of their own, which outlive a release:
 *
 *   kind of a domain     1 MX, 2 null MX, 3 NODATA, 4 NXDOMAIN, 5 MX records that name no host
 *   state of a family    0 unknown, 1 addresses, 2 NODATA, 3 NXDOMAIN
 *   warnings             bit n is mxway.v1.Warning n
 *   exchanges            u16 count; as many times u16 preference, text host
 *   family               u8 state; u8 whether authentic; time learned; time expires; u8 count; as many
 *                        addresses of 16 or 4 octets; all of it 0 where it is unknown
 *
 * Failures and configured routes have none. Reading trusts nothing: what is not there, or what facts could
 * not hold, leaves `is_good` false, for good, and gives nothing that a later piece could stumble over.
 * Writing is bounded likewise. Pure.
 */
#ifndef MXWAY_DAEMON_OCTETS_H
#define MXWAY_DAEMON_OCTETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/facts.h"

enum { OCTETS_LIFE_MAX_S = 604800 }; /* the most that max-ttl may be */

/* ---- writing ---- */

/* Where the next octet goes. Begins with `is_good`; what does not fit before `end` is left out, and all
 * after. */
struct octets_writer {
  uint8_t *at;
  const uint8_t *end;
  bool is_good;
};

void octets_put_number(struct octets_writer *writer, uint64_t value, size_t octets);
void octets_put_bytes(struct octets_writer *writer, const void *bytes, size_t length);

/* Requires length <= 255. */
void octets_put_text(struct octets_writer *writer, const char *text, size_t length);

/* A time of the monotonic clock; `ahead_ms` is what that clock shows less what the wall clock shows. */
void octets_put_time(struct octets_writer *writer, int64_t at_ms, int64_t ahead_ms);

/* Requires octets_has_kind. */
void octets_put_kind(struct octets_writer *writer, enum domain_kind kind);

/* u16 preference, text host. */
void octets_put_exchange(struct octets_writer *writer, uint16_t preference, const char *host, size_t length);

/* What is not definite is written as unknown. */
void octets_put_family(struct octets_writer *writer, enum family family, const struct family_value *value,
                       int64_t ahead_ms);

/* ---- reading ---- */

/* What has not been read yet. Begins with `is_good`. */
struct octets_reader {
  const uint8_t *at, *end;
  bool is_good;
};

/* 0 where there are not so many octets (at most 8). */
uint64_t octets_get_number(struct octets_reader *reader, size_t octets);

/* One octet, 0 or 1. */
bool octets_get_bool(struct octets_reader *reader);

/* The next octets, lent as long as what is read; NULL where there are not so many. */
const uint8_t *octets_get_bytes(struct octets_reader *reader, size_t length);

/* A time, on the monotonic clock. At most 2^52 ms of Unix time, so that no sum of such times overflows. */
int64_t octets_get_time(struct octets_reader *reader, int64_t ahead_ms);

/* A text that is a name (octets_is_name), or "" where that may be. */
void octets_get_name(struct octets_reader *reader, bool may_be_empty, char name[FACTS_NAME_SIZE]);

enum domain_kind octets_get_kind(struct octets_reader *reader);

/* u16: bits of enum warning, no others. */
uint16_t octets_get_warnings(struct octets_reader *reader);

/* u16 count and as many exchanges, into `value`, whose kind and canonical are read already. Good where they
 * are what domain_value_normalise leaves for that kind: in order, no host twice; none with a denial; with
 * NODATA the domain itself, `name` or what it is an alias of. */
void octets_get_exchanges(struct octets_reader *reader, const char *name, struct domain_value *value);

/* All of `value` but `expanded`: what has no place in octets is 0, and what is unknown has expired for ever.
 * Good where there are addresses with FAMILY_OK and none else, and it has a life that there may be. */
void octets_get_family(struct octets_reader *reader, enum family family, int64_t ahead_ms,
                       struct family_value *value);

/* ---- what has a place in octets ---- */

/* Whether a text is a name as facts hold it: what name_parse and dnsmsg let through. */
bool octets_is_name(const char *text, size_t length);

/* Whether a life is one that a TTL can give: from 0 to OCTETS_LIFE_MAX_S. */
bool octets_is_life(int64_t learned_at_ms, int64_t expires_at_ms);

/* Not a failure, not what the configuration says. */
bool octets_has_kind(enum domain_kind kind);

/* Addresses, or that there are none: neither a failure nor unknown. */
bool octets_is_definite(enum family_state state);

#endif
