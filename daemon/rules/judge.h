/*
 * judge: what one exchange is worth to one caller.
 *
 * Looks at an exchange with a caller's eyes: is it himself, has he excluded it, which of its addresses
 * may he try, and if none, why not (ROUTING V7, V12, V13, O4, O6-O8). Facts are never changed. What happens
 * to the exchanges together is the business of route.
 *
 * Pure; tells a story where somebody listens. No allocation, no lock: this is the hit path. An ordinary
 * caller costs a few comparisons an exchange; a wish costs one step for each item of its list and
 * name or address it is held against.
 */
#ifndef MXWAY_DAEMON_JUDGE_H
#define MXWAY_DAEMON_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/story.h"
#include "rules/facts.h"
#include "rules/reach.h"
#include "rules/wishes.h"

/* Numbers are those of mxway.v1.ExchangeStatus. */
enum status {
  STATUS_NOT_RESOLVED,
  STATUS_OK,
  STATUS_NXDOMAIN,
  STATUS_NO_ADDRESS,
  STATUS_TEMPFAIL,
  STATUS_CNAME_REJECTED,
  STATUS_CNAME_LOOP,
  STATUS_FILTERED, /* it has addresses, none that this caller may try */
  STATUS_INVALID,
};

/* What the operator decides for all callers. */
struct judge_policy {
  bool reject_mx_cname;      /* an exchange that is an alias is unusable (ROUTING V13) */
  bool reject_mx_address;    /* an exchange that is an address is unusable (ROUTING V12) */
  enum families families;    /* where the caller leaves it open */
  struct reach_policy reach; /* ROUTING O6 */
  const struct wishes *self; /* its WISH_SELF names every caller; lent; NULL for nobody */
};

/* What would have been usable but for the caller's own wishes, or the operator's family. */
enum left_out {
  LEFT_OUT_BY_FAMILY = 1 << 0,
  LEFT_OUT_BY_EXCLUDE = 1 << 1,
  LEFT_OUT_BY_PRIMARY_ONLY = 1 << 2, /* set by route */
};

/* One caller and one set of exchanges; see judge_init. */
struct judge {
  const struct judge_policy *policy;
  const struct wishes *wishes;             /* NULL: none */
  struct story *story;                     /* NULL: nobody listens */
  const struct domain_facts *domain_facts; /* which the exchanges belong to */
  int64_t since_ms;                        /* host facts count if they held then (ROUTING T3) */
  bool no_stale;                           /* those that have expired do not (ROUTING T6) */
  enum families families;                  /* that this caller gets */
  bool is_plain;                           /* he gets whatever there is */
  bool with_addresses;                     /* else names alone are looked at */
  uint8_t left_out;                        /* enum left_out, gathered */
};

struct judgement {
  enum status status;
  bool is_alias;                  /* although it must not be (RFC 2181 section 10.3) */
  bool stale;                     /* what `status` rests on has expired (RFC 8767) */
  bool authentic;                 /* all that was looked at had been validated */
  const struct host_facts *facts; /* NULL where nothing is known or looked at */
  uint32_t usable[FAMILY_COUNT];  /* with STATUS_OK; bit n: address n may be tried */
  int64_t expires_at_ms;          /* of what `status` rests on; INT64_MIN without facts */
};

/* The families a caller gets. */
static inline enum families judge_families(const struct judge_policy *policy, const struct wishes *wishes) {
  return wishes && wishes->families != FAMILIES_ANY ? (enum families)wishes->families : policy->families;
}

/* Begins with one caller; all pointers are lent. `wishes` and `story` may be NULL. */
static inline void judge_init(struct judge *judge, const struct judge_policy *policy,
                              const struct wishes *wishes, struct story *story) {
  judge->policy = policy;
  judge->wishes = wishes;
  judge->story = story;
  judge->families = judge_families(policy, wishes);
  judge->is_plain = !wishes && judge->families != FAMILIES_V4 && judge->families != FAMILIES_V6;
  judge->left_out = 0;
}

/* Whether an exchange is the caller himself (ROUTING O7, RFC 5321 section 5.1): by its name, the name it
 * is an alias of, the domain's name where the MX is implicit, or one of its addresses whatever their
 * order, family and number. Without addresses by name alone. */
bool judge_is_self(const struct judge *judge, const struct exchange *exchange);

/* Whether the caller has excluded an exchange: by its name, the name it is an alias of, or the address that
 * it is. Notes that in `left_out`. */
bool judge_is_excluded(struct judge *judge, const struct exchange *exchange);

/* Judges an exchange. */
void judge_exchange(struct judge *judge, const struct exchange *exchange, struct judgement *judgement);

#endif
