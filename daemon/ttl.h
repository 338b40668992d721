/*
 * ttl: from the TTLs that the DNS gave to how long facts live here.
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

/* A failure on our side, such as no network: not charged to the domain (ROUTING T5). */
int64_t ttl_own_failure_ms(void);

#endif
