/*
 * route: facts and what one caller wants, to an ordered answer.
 *
 * Pure: facts, options, time and a random source come in, a struct route goes
 * out. Everything that depends on who asks is decided here, so that all callers
 * share the same facts (ROUTING section 3). No allocation, no lock: this is the
 * hit path.
 *
 * A route points into the facts it was built from and lives no longer than they.
 */
#ifndef MXWAY_DAEMON_ROUTE_H
#define MXWAY_DAEMON_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "facts.h"
#include "random.h"
#include "verdict.h"

enum {
  ROUTE_EXCHANGES_MAX = 32, /* ROUTING V16 */
  ROUTE_ADDRESSES_MAX = 8,  /* an exchange (ROUTING O5) */
};

/* Numbers are those of mxway.v1.Depth. */
enum depth { DEPTH_EXCHANGES, DEPTH_ADDRESSES };

/* Numbers are those of mxway.v1.ExchangeStatus. */
enum status {
  STATUS_NOT_RESOLVED,
  STATUS_OK,
  STATUS_NXDOMAIN,
  STATUS_NO_ADDRESS,
  STATUS_TEMPFAIL,
  STATUS_CNAME_REJECTED,
  STATUS_CNAME_LOOP,
  STATUS_FILTERED,
  STATUS_INVALID,
};

/* What the operator decides for all callers. */
struct route_policy {
  bool defer_no_address; /* MX_HOSTS_NO_ADDRESS is transient (ROUTING V7) */
  bool reject_mx_cname;  /* an exchange that is an alias is unusable (ROUTING V13) */
};

struct route_exchange {
  const struct exchange *exchange;
  const struct host_facts *facts; /* with DEPTH_ADDRESSES; NULL where nothing is known */
  enum status status;
  uint32_t ttl_s;
  uint8_t address_count;
  const uint8_t *addresses[ROUTE_ADDRESSES_MAX]; /* packed fields, in the order to try them */
};

struct route {
  enum verdict verdict;
  bool transient; /* of a verdict that has both classes */
  bool implicit, truncated;
  enum depth depth;
  uint32_t ttl_s, mx_ttl_s, age_s;
  uint32_t warnings; /* enum warning */
  const struct domain_facts *facts;
  uint8_t count;
  struct route_exchange exchanges[ROUTE_EXCHANGES_MAX];
};

/* Whether `facts` can be answered from at `now_ms` without asking anybody. */
bool route_is_fresh(const struct domain_facts *facts, enum depth depth, int64_t now_ms);

/* Composes the answer. Host facts count if they held at `since_ms`, when the question was
 * asked, even if they have expired by `now_ms`: so facts with a TTL of 0 serve those who waited for
 * them (ROUTING T3). `facts` itself always counts. Fills `route`. Cost: one step an exchange,
 * with DEPTH_ADDRESSES one an address. */
void route_build(const struct domain_facts *facts, enum depth depth, const struct route_policy *policy,
                 int64_t since_ms, int64_t now_ms, struct random *random, struct route *route);

#endif
