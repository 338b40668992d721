/*
 * facts: what the DNS said, neutral to who asks.
 *
 * Two kinds, immutable once published: domain facts (what the MX query said)
 * and host facts (the addresses of an exchange). Domain facts point at an
 * exchange set shared by all domains whose records are the same; a set points at
 * hosts shared by all sets that name them; a host points at its facts of the moment. `intern`
 * shares and counts references, the cache publishes; this room gives the shapes,
 * builds them and holds the rules that turn a list of MX records into one set.
 *
 * A set keeps its exchanges and its site, a host its addresses, as the protobuf bytes of
 * mxway.v1.LookupReply, so that an answer copies them (see wire.h).
 *
 * Time is monotonic milliseconds. Nothing here reads a clock or frees a thing.
 */
#ifndef MXWAY_DAEMON_FACTS_H
#define MXWAY_DAEMON_FACTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/story.h"
#include "base/table.h"
#include "rules/verdict.h"

enum {
  FACTS_EXCHANGES_MAX = 100, /* ROUTING V16 */
  FACTS_ADDRESSES_MAX = 32,  /* of one family of one host */
  FACTS_NAME_SIZE = 254,
  FACTS_ROW_KEPT_MS = 300000, /* of failures (RFC 9520 section 3.2) */
};

/* Field numbers of mxway.v1 that stored bytes are packed with. */
enum {
  FIELD_REPLY_EXCHANGES = 12,
  FIELD_REPLY_SITE_ID = 15,
  FIELD_REPLY_SITE_NAME = 16,
  FIELD_EXCHANGE_PREFERENCE = 1,
  FIELD_EXCHANGE_HOST = 2,
  FIELD_EXCHANGE_EXPANDED = 3,
  FIELD_EXCHANGE_STATUS = 4,
  FIELD_EXCHANGE_ADDRESSES = 5,
  FIELD_EXCHANGE_TTL = 6,
  FIELD_EXCHANGE_PORT = 7,
};

/* Bits; bit n is mxway.v1.Warning n. */
enum warning {
  WARNING_NULL_MX_NONZERO_PREFERENCE = 1 << 1,
  WARNING_NULL_MX_MIXED = 1 << 2,
  WARNING_MX_IS_ADDRESS = 1 << 3,
  WARNING_MX_IS_CNAME = 1 << 4,
  WARNING_DUPLICATE_EXCHANGE = 1 << 5,
  WARNING_UNUSABLE_NAME = 1 << 6,
  WARNING_TOO_MANY_MX = 1 << 7,
  WARNING_ALL = 0xfe,
};

/* So many octets behind the packed ones may be read, whatever they are: who copies a few at a time need not
 * count the last ones. */
enum { FACTS_OVERREAD = 15 };

/* ---- hosts ---- */

enum family { FAMILY_V6, FAMILY_V4, FAMILY_COUNT };

enum family_state {
  FAMILY_UNKNOWN,  /* never asked */
  FAMILY_OK,       /* at least one address */
  FAMILY_NODATA,   /* the name has no address of this family */
  FAMILY_NXDOMAIN, /* the name does not exist */
  FAMILY_TEMPFAIL, /* could not be learned */
  FAMILY_LOOP,     /* the aliases loop or are too many */
};

/* Whether addresses, or that there are none, may be answered when they have expired (ROUTING T6). */
static inline bool family_state_is_lasting(enum family_state state) {
  return state == FAMILY_OK || state == FAMILY_NODATA;
}

/* What one address query said. */
struct family_value {
  enum family_state state;
  bool authentic; /* every reply behind it had been validated (RFC 6840 section 5.7) */
  int64_t expires_at_ms;
  uint32_t life_ms;       /* it was learned so long before it expires */
  int64_t stale_until_ms; /* with OK and NODATA: still answered until then, though it has expired; 0: not */
  int64_t refresh_at_ms;  /* a hit from then on refreshes it; 0 or INT64_MAX: none does */
  uint8_t count;          /* with FAMILY_OK */
  uint8_t failures;       /* in a row, this one included; with TEMPFAIL and LOOP */
  uint8_t addresses[FACTS_ADDRESSES_MAX][16]; /* the first 4 octets for IPv4 */
  char expanded[FACTS_NAME_SIZE];             /* end of the alias chain; "" for no alias */
};

struct host_facts {
  /* What a hit asks of nearly every host, at one place. Plain is one with addresses, none of them odd, and
   * without an alias. */
  int64_t plain_until_ms;       /* both families are fresh until then; INT64_MIN where it is not plain */
  int64_t given_until_ms;       /* the addresses are; INT64_MAX where there are none */
  int64_t refresh_from_ms;      /* a hit refreshes a family; INT64_MAX: none does */
  uint16_t addresses_length;    /* octets of the packed addresses */
  bool is_plain, are_authentic; /* both families */
  bool has_choice;              /* more than one address of a family */
  _Atomic bool is_claimed;      /* somebody refreshes it: the one thing here that changes */
  uint8_t count[FAMILY_COUNT];
  int64_t expires_at_ms[FAMILY_COUNT];
  int64_t stale_until_ms[FAMILY_COUNT];
  int64_t refresh_at_ms[FAMILY_COUNT];
  uint32_t life_ms[FAMILY_COUNT];
  uint8_t state[FAMILY_COUNT]; /* enum family_state */
  uint8_t failures[FAMILY_COUNT];
  bool authentic[FAMILY_COUNT];
  uint32_t odd[FAMILY_COUNT]; /* bit n: address n is not ordinary (see reach) */
  uint16_t expanded_length;   /* octets of the packed field `expanded`, 0 without an alias */
  uint8_t bytes[];            /* packed: addresses v6, addresses v4, expanded; then FACTS_OVERREAD octets */
};

enum { PACKED_V6_LENGTH = 18, PACKED_V4_LENGTH = 6 };

struct host {
  struct table_node node;                   /* intern's */
  struct host *newer, *older;               /* intern's: of all hosts */
  _Atomic(const struct host_facts *) facts; /* NULL before the first */
  uint32_t refs;                            /* intern's */
  uint8_t length;
  bool is_address; /* the name is an address (ROUTING V12) */
  char name[];     /* terminated */
};

/* The packed addresses of one family, each PACKED_V6_LENGTH or PACKED_V4_LENGTH. */
static inline const uint8_t *host_facts_addresses(const struct host_facts *facts, enum family family) {
  return facts->bytes + (family == FAMILY_V4 ? facts->count[FAMILY_V6] * (size_t)PACKED_V6_LENGTH : 0);
}

/* A bit for each of `count` addresses, as in `odd`. */
static inline uint32_t host_facts_bits(unsigned count) {
  return count < 32 ? (UINT32_C(1) << count) - 1 : UINT32_MAX;
}

/* The packed field `expanded`. */
static inline const uint8_t *host_facts_expanded(const struct host_facts *facts) {
  return facts->bytes + facts->addresses_length;
}

/* Until when a family is answered: its life, or beyond it where it may be stale (RFC 8767). */
static inline int64_t host_facts_until_ms(const struct host_facts *facts, enum family family, bool no_stale) {
  int64_t expires_at_ms = facts->expires_at_ms[family], stale_until_ms = facts->stale_until_ms[family];
  return no_stale || expires_at_ms > stale_until_ms ? expires_at_ms : stale_until_ms;
}

/* Whether every family is known and may be answered at `now_ms`. */
static inline bool host_facts_are_ready(const struct host_facts *facts, bool no_stale, int64_t now_ms) {
  return facts && host_facts_until_ms(facts, FAMILY_V6, no_stale) > now_ms &&
         host_facts_until_ms(facts, FAMILY_V4, no_stale) > now_ms;
}

/* Whether what an address query said may be answered when it has expired and nothing better is to be had
 * (ROUTING T6): addresses, or that the host has none of the family, unless the TTL was 0 (T3). */
static inline bool family_is_lasting(enum family_state state, uint32_t life_ms) {
  return family_state_is_lasting(state) && life_ms > 0;
}

/* Whether any family, fresh or not, is still of use, for a stale answer while it is no older than that. */
static inline bool host_facts_are_kept(const struct host_facts *facts, int64_t max_stale_ms, int64_t now_ms) {
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    bool is_lasting = family_is_lasting((enum family_state)facts->state[family], facts->life_ms[family]);
    if (facts->expires_at_ms[family] > now_ms - (is_lasting ? max_stale_ms : 0))
      return true;
  }
  return false;
}

/* Whether a hit at `now_ms` is to start a refresh. */
static inline bool host_facts_want_refresh(const struct host_facts *facts, int64_t now_ms) {
  return facts->refresh_from_ms <= now_ms;
}

/* Whether a state is what the DNS said, rather than that it could not be learned. */
static inline bool family_state_is_definite(enum family_state state) {
  return state == FAMILY_OK || state == FAMILY_NODATA || state == FAMILY_NXDOMAIN;
}

/* Of families that were learned one by one the later answer says for both what the host's alias is. */
void host_values_agree(struct family_value values[FAMILY_COUNT]);

/* Builds facts from what the two queries said. Returns a block for free(), or NULL. */
struct host_facts *host_facts_build(const struct family_value values[FAMILY_COUNT]);

/* The facts of a host that is the address `octets` itself: they never expire. */
struct host_facts *host_facts_build_address(const uint8_t *octets, size_t length);

/* The inverse of host_facts_build for one family, so that the other can be
 * renewed alone. NULL facts give FAMILY_UNKNOWN, expired for ever. */
void host_facts_unpack(const struct host_facts *facts, enum family family, struct family_value *value);

/* ---- exchange sets ---- */

struct exchange {
  struct host *host;
  uint16_t preference;
  uint16_t length;       /* of the packed LookupReply.exchanges field */
  uint16_t inner_length; /* of the Exchange message in it: the field's last octets */
  uint16_t port;         /* 0: that of SMTP */
  uint16_t level_end;    /* the place behind the last exchange of the same preference */
  uint32_t offset;       /* of the field in exchange_set_bytes() */
};

struct exchange_set {
  struct table_node node;      /* intern's */
  uint32_t refs;               /* intern's */
  uint32_t length;             /* of exchange_set_bytes() */
  uint16_t site_length;        /* of LookupReply.site_id and site_name, the first of those octets */
  bool has_equals;             /* two exchanges of the same preference */
  bool implicit;               /* the one exchange stands for a domain without MX: its site is another */
  uint16_t count;              /* 1 to FACTS_EXCHANGES_MAX */
  struct exchange exchanges[]; /* by preference, name, port; but for ports no host twice; then the bytes */
};

/* The packed fields site_id, site_name and exchanges, in that order, then FACTS_OVERREAD octets. */
static inline const uint8_t *exchange_set_bytes(const struct exchange_set *set) {
  return (const uint8_t *)&set->exchanges[set->count];
}

/* ---- domains ---- */

enum domain_kind {
  DOMAIN_MX,      /* `set` holds the usable exchanges */
  DOMAIN_ROUTE,   /* a configured route: `set` is what the operator wrote, no MX record */
  DOMAIN_NULL_MX, /* RFC 7505 */
  DOMAIN_NODATA,  /* no MX: `set` is the canonical domain itself, preference 0 (RFC 5321 5.1) */
  DOMAIN_NXDOMAIN,
  DOMAIN_ALL_INVALID, /* MX records, none naming a possible host */
  DOMAIN_FAILED,      /* `cause` says which verdict */
};

struct domain_facts {
  const struct exchange_set *set; /* with DOMAIN_MX, DOMAIN_ROUTE and DOMAIN_NODATA, else NULL */
  int64_t stored_at_ms;           /* when the DNS said so */
  int64_t expires_at_ms;
  uint32_t stale_for_ms;    /* so long after it expired it is still answered: a refresh failed (RFC 8767) */
  uint32_t refresh_lead_ms; /* so long before its end a hit starts a refresh; 0: none does */
  uint16_t warnings;        /* enum warning */
  uint8_t kind;             /* enum domain_kind */
  uint8_t cause;    /* enum verdict, with DOMAIN_FAILED; else of the refresh that failed, 0 for none */
  uint8_t failures; /* in a row, this one included, with DOMAIN_FAILED */
  bool authentic;   /* every reply behind it had been validated (RFC 6840 section 5.7) */
  uint8_t name_length;
  uint8_t canonical_length; /* 0: the name is canonical itself */
  char text[];              /* name, then canonical where it differs; not terminated */
};

static inline const char *domain_canonical(const struct domain_facts *facts, size_t *length) {
  *length = facts->canonical_length ? facts->canonical_length : facts->name_length;
  return facts->canonical_length ? facts->text + facts->name_length : facts->text;
}

/* Until when facts are answered: their life, or beyond it where they may be stale (RFC 8767). */
static inline int64_t domain_facts_until_ms(const struct domain_facts *facts, bool no_stale) {
  return facts->expires_at_ms + (no_stale ? 0 : facts->stale_for_ms);
}

/* Whether a hit at `now_ms` is to start a refresh. */
static inline bool domain_facts_want_refresh(const struct domain_facts *facts, int64_t now_ms) {
  return now_ms >= domain_facts_until_ms(facts, false) - facts->refresh_lead_ms && facts->refresh_lead_ms > 0;
}

/* Whether facts of a kind are a route that may be answered when it has expired and nothing better is to be
 * had (ROUTING T6), the domain itself as its own exchange included: a domain that does not exist, or a
 * failure, is not. */
static inline bool domain_kind_is_lasting(enum domain_kind kind) {
  return kind == DOMAIN_MX || kind == DOMAIN_NODATA || kind == DOMAIN_NULL_MX || kind == DOMAIN_ALL_INVALID;
}

/* Whether facts with such a life are such: what had a TTL of 0 is forgotten (ROUTING T3). */
static inline bool domain_is_lasting(enum domain_kind kind, int64_t life_ms) {
  return domain_kind_is_lasting(kind) && life_ms > 0;
}

static inline bool domain_facts_are_lasting(const struct domain_facts *facts) {
  return domain_is_lasting((enum domain_kind)facts->kind, facts->expires_at_ms - facts->stored_at_ms);
}

/* How long a failure that has expired is kept, so that the next one is known to follow on it (RFC 9520
 * section 3.2): as long again as it lived. One of ours lived for a moment only: the row it interrupts is kept
 * for as long as any failure may live. */
static inline int64_t domain_facts_row_ms(const struct domain_facts *facts) {
  if (facts->kind != DOMAIN_FAILED || facts->failures == 0)
    return 0;
  return facts->cause == VERDICT_DNS_NETWORK ? FACTS_ROW_KEPT_MS : facts->expires_at_ms - facts->stored_at_ms;
}

/* Whether facts, fresh or not, are still of use: for a stale answer while they are no older than that, or for
 * the row of failures. */
static inline bool domain_facts_are_kept(const struct domain_facts *facts, int64_t max_stale_ms,
                                         int64_t now_ms) {
  int64_t again_ms = domain_facts_are_lasting(facts) ? max_stale_ms : domain_facts_row_ms(facts);
  return facts->expires_at_ms + again_ms > now_ms;
}

/* What is to become domain facts. */
struct exchange_value {
  uint16_t preference;
  char host[FACTS_NAME_SIZE];
  uint16_t port; /* of a configured route; 0: that of SMTP */
};

struct domain_value {
  enum domain_kind kind;
  uint8_t cause, failures;
  bool authentic;
  uint16_t warnings;
  int64_t stored_at_ms, expires_at_ms;
  uint32_t refresh_lead_ms;
  char canonical[FACTS_NAME_SIZE]; /* "" where it is the name itself */
  uint16_t count;
  struct exchange_value exchanges[FACTS_EXCHANGES_MAX];
};

/* Turns `value->exchanges` as the wire had them into a set: sorted by preference
 * (ROUTING V1) then name, duplicates merged at the lowest preference (V15), the root ("")
 * alone as DOMAIN_NULL_MX (V8, RFC 7505 section 3) or dropped beside others (V9). Sets
 * kind, count and warnings. `unusable_count` records had no possible host name and are not
 * in the list; with nothing left the kind is DOMAIN_ALL_INVALID (V11). Tells `story` (NULL: nobody). */
void domain_value_normalise(struct domain_value *value, unsigned unusable_count, struct story *story);

/* Builds a set of `count` exchanges whose hosts are `hosts`, in the same order, with its site (ROUTING
 * section 6). Returns a block for free() with refs 0, or NULL. */
struct exchange_set *exchange_set_build(const struct exchange_value *exchanges, uint16_t count, bool implicit,
                                        struct host *const hosts[]);

#endif
