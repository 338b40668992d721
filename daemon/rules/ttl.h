/*
 * ttl: from the TTLs that the DNS gave to how long facts live here, and when they are asked for anew.
 *
 * Pure. Lives are milliseconds; 0 is: deliver, then forget (ROUTING T3).
 */
#ifndef MXWAY_DAEMON_TTL_H
#define MXWAY_DAEMON_TTL_H

#include <stdint.h>

struct ttl_policy {
  uint32_t min_s, max_s, max_negative_s;
  uint32_t failure_s, max_failure_s; /* of the first failure, and of any; at most a day */
  uint32_t failure_jitter_percent;   /* by which each is moved either way, at most */
  uint32_t prefetch_percent;         /* of a life, at its end, in which a hit refreshes; 0: never */
};

/* Records: the least TTL, clamped (ROUTING T1, T2). One with its top bit set is
 * a large number and capped like one (RFC 8767 section 4). */
int64_t ttl_positive_ms(const struct ttl_policy *policy, uint32_t ttl_s);

/* A denial: `negative_s` is min(SOA TTL, SOA MINIMUM) (RFC 2308 section 5); without an SOA 5 s. `alias_s`
 * is the least TTL of the aliases on the way, UINT32_MAX without any. No floor (ROUTING T2, T4). */
int64_t ttl_negative_ms(const struct ttl_policy *policy, int has_soa, uint32_t negative_s, uint32_t alias_s);

/* The last of `failures` (>= 1) failures upstream in a row: the first lives failure_s, each next twice as
 * long, at most max_failure_s (RFC 9520 section 3.2; ROUTING T5). `draw`, any 32 bits, says how far it is
 * moved, so that what failed together is not asked for together; 0 moves nothing. */
int64_t ttl_failure_ms(const struct ttl_policy *policy, unsigned failures, uint32_t draw);

/* How long before the end of a life a hit refreshes: prefetch_percent of it, give or take half of that as
 * `draw`, any 32 bits, says, so that what was learned together is not asked for together (ROUTING T7).
 * 0: none does. */
int64_t ttl_lead_ms(const struct ttl_policy *policy, int64_t life_ms, uint32_t draw);

/* A failure on our side, such as no network: not charged to the domain (ROUTING T5). */
int64_t ttl_own_failure_ms(void);

#endif
