/*
 * record: facts as octets, one value of the shared store.
 *
 * In the pieces of `octets`:
 *
 *   4 octets "mxwv"; u8 version (1); u8 kind, 'D' a domain or 'H' a host; u8 whether sealed
 *   u64 generation: that of the last purge its writer knew (see bulletin)
 *   time created; time expires; time until when it may be answered stale
 *   text origin, the node that wrote it; text name
 *   'D'  u8 kind; u8 whether authentic; u16 warnings; text canonical, "" where it is the name; exchanges
 *   'H'  text expanded, "" where it is no alias; the families AAAA and A
 *   where sealed, 32 octets: MAC of all before it in the context of the key it lies under (see seal)
 *   u64 XXH3-64 of all before it
 *
 * A host is created when the later of its families was learned and expires when the later of them does. Lives
 * are raw: as the DNS said, clamped by nobody's options but to RECORD_LIFE_MAX_S, which no option goes over.
 *
 *   created <= expires <= stale until, expires <= created + life, stale until <= expires + RECORD_STALE_MAX_S
 *
 * Reading trusts nothing: what is not as it was written is refused, and so is what is, but could not have
 * been written here (a name that is none, exchanges out of order, a life over the longest TTL). A reader
 * without a key believes what is sealed as it believes all else; one with a key believes only what is sealed
 * with it. What was written with a clock that goes ahead of ours, by RECORD_FUTURE_MS at most, counts as
 * written now and ends as much earlier: a record that is read was never learned later than now.
 *
 * Pure; the caller gives both clocks at one moment.
 */
#ifndef MXWAY_DAEMON_RECORD_H
#define MXWAY_DAEMON_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/image.h"
#include "cache/octets.h"
#include "rules/facts.h"
#include "store/seal.h"

enum {
  RECORD_VERSION = 1,
  RECORD_MAX = 4096, /* octets: what is longer is not shared */
  RECORD_ORIGIN_SIZE = 64,
  RECORD_FUTURE_MS = 60000,
  RECORD_LIFE_MAX_S = OCTETS_LIFE_MAX_S,
  RECORD_STALE_MAX_S = 259200, /* the most that max-stale may be */
};

enum record_kind { RECORD_DOMAIN = 'D', RECORD_HOST = 'H' };

/* Times are monotonic here. */
struct record {
  enum record_kind kind;
  char name[FACTS_NAME_SIZE];      /* canonical; a host's is not an address */
  char origin[RECORD_ORIGIN_SIZE]; /* printable ASCII without spaces; "" where it is not known */
  uint64_t generation;
  int64_t created_at_ms, expires_at_ms, stale_until_ms;
  struct domain_value domain;                 /* RECORD_DOMAIN: not FAILED nor ROUTE */
  struct family_value families[FAMILY_COUNT]; /* RECORD_HOST: OK, NODATA, NXDOMAIN or UNKNOWN */
  int64_t learned_at_ms[FAMILY_COUNT];        /* RECORD_HOST; what counts in the place of life_ms */
};

/* Every reason but RECORD_GOOD is a miss. In the order in which they are looked for. */
enum record_status {
  RECORD_GOOD,            /* fresh, or stale but not beyond stale_until_ms: compare expires_at_ms */
  RECORD_TOO_LONG,        /* over RECORD_MAX: not looked into */
  RECORD_NO_RECORD,       /* it does not begin as one */
  RECORD_UNKNOWN_VERSION, /* of another mxway */
  RECORD_BAD_CHECKSUM,    /* changed, or cut off */
  RECORD_BAD_MAC,         /* not sealed with a key of ours for the key it lies under */
  RECORD_WRONG_NAME,      /* about another name, or of the other kind */
  RECORD_IMPOSSIBLE,      /* its checksum is right, what it says cannot be */
  RECORD_FROM_FUTURE,     /* created more than RECORD_FUTURE_MS from now */
  RECORD_EXPIRED,         /* beyond its stale_until_ms */
  RECORD_STATUS_COUNT
};

/* Packs `record` for the place `key` (terminated) of the store, sealed where there is a `seal` (NULL: none).
 * Of a domain, name, origin, generation, stale_until_ms and `domain` with its stored_at_ms and expires_at_ms
 * count; of a host, `families` and `learned_at_ms` in the place of `domain`: a family that failed or had a
 * TTL of 0 is packed as unknown. Octets of the origin that have no place there become '?'. Returns the octets
 * written, or 0 where there is nothing to share: a failure, what the configuration says, a TTL of 0, or more
 * than RECORD_MAX octets. */
size_t record_pack(uint8_t at[RECORD_MAX], const struct record *record, const char *key,
                   const struct seal *seal, const struct image_time *time);

/* Reads what lies under `key` and is to be about `name`, both terminated. RECORD_GOOD fills `record`: all of
 * it that counts for its kind, in `domain` and `families` also what is not shared (no failures, no
 * refresh_at_ms nor stale_until_ms, families that are unknown expired for ever). Else `record` is undefined.
 * Any octets at all may be given. */
enum record_status record_parse(const uint8_t *bytes, size_t length, enum record_kind kind, const char *name,
                                const char *key, const struct seal *seal, const struct image_time *time,
                                struct record *record);

/* What is wrong, as a clause for people: "its checksum is wrong"; static storage. */
const char *record_status_text(enum record_status status);

/* Whether two say the same about the same name: the facts, not when they were learned nor until when they
 * hold. The order of addresses says nothing. */
bool record_is_same(const struct record *one, const struct record *other);

#endif
