/*
 * route: facts and what one caller wants, to an ordered answer.
 *
 * Pure: facts, wishes, policy, time and a random source come in, a struct route goes
 * out. Everything that depends on who asks is decided here and in the rooms below it (`judge` for one
 * exchange, `ordering`), so that all callers share the same facts (ROUTING section 3). No allocation, no
 * lock: this is the hit path.
 *
 * The steps, each on what the one before has left: the caller's own level and those behind it go (O7); what
 * he excludes goes (O8); levels are ordered (O1-O3), with primary_only the first alone; each exchange is
 * judged (V12, V13, O4, O6); at most so many are listed, and where there are more the unusable give way
 * first (V16); addresses are chosen (O5). The verdict is judged on all exchanges, listed or not.
 *
 * What only the caller's own wishes leave out never makes an answer permanent: without them there may
 * be a route.
 *
 * A route points into the facts it was built from and lives no longer than they.
 */
#ifndef MXWAY_DAEMON_ROUTE_H
#define MXWAY_DAEMON_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/story.h"
#include "rules/facts.h"
#include "rules/judge.h"
#include "rules/name.h"
#include "rules/ordering.h"
#include "rules/verdict.h"
#include "rules/wishes.h"

enum {
  ROUTE_EXCHANGES_MAX = 32,                     /* ROUTING V16 */
  ROUTE_ADDRESSES_MAX = ORDERING_ADDRESSES_MAX, /* an exchange (ROUTING O5) */
  ROUTE_ADDRESSES_TOTAL_MAX = 64,               /* an answer (ROUTING O5) */
  ROUTE_STALE_TTL_S = 30,                       /* of what has expired (ROUTING T6) */
};

/* Numbers are those of mxway.v1.Depth. */
enum depth { DEPTH_EXCHANGES, DEPTH_ADDRESSES };

/* What the operator decides for all callers. */
struct route_policy {
  bool defer_no_address;     /* MX_HOSTS_NO_ADDRESS is transient (ROUTING V7) */
  bool strict_null_mx_mixed; /* a root beside real exchanges is a null MX (ROUTING V9) */
  struct judge_policy judge;
};

/* What one caller decides. */
struct route_request {
  enum depth depth;
  bool no_stale;               /* nothing that has expired (ROUTING T6) */
  const struct wishes *wishes; /* NULL: none */
  struct story *story;         /* NULL: nobody listens */
};

struct route_exchange {
  const struct exchange *exchange;
  const struct host_facts *facts; /* with DEPTH_ADDRESSES; NULL where nothing is known */
  enum status status;
  uint32_t ttl_s;
  uint32_t usable[FAMILY_COUNT]; /* bit n: address n may be tried */
  uint8_t address_count;
  const uint8_t *addresses[ROUTE_ADDRESSES_MAX]; /* packed fields, in the order to try them */
};

struct route {
  enum verdict verdict;
  bool transient;     /* of a verdict that has both classes */
  const char *detail; /* a sentence for people, or "" */
  bool implicit, authenticated;
  bool stale;     /* something in it has expired (RFC 8767) */
  bool truncated; /* over ROUTE_EXCHANGES_MAX exchanges; not what the caller left out */
  enum depth depth;
  uint32_t ttl_s, mx_ttl_s, age_s;
  uint32_t warnings; /* enum warning */
  const struct domain_facts *facts;
  uint8_t count;                                        /* at most ROUTE_EXCHANGES_MAX */
  struct route_exchange exchanges[FACTS_EXCHANGES_MAX]; /* the rest is scratch */
};

/* Whether `facts` can be answered from at `now_ms` without asking anybody; `no_stale`: nothing that has
 * expired (RFC 8767). */
bool route_is_ready(const struct domain_facts *facts, enum depth depth, bool no_stale, int64_t now_ms);

/* Whether a hit on `facts` at `now_ms` is to start a refresh (ROUTING T6, T7). */
bool route_wants_refresh(const struct domain_facts *facts, enum depth depth, int64_t now_ms);

/* Composes the answer. Host facts count if they held at `since_ms`, when the question was
 * asked, even if they have expired by `now_ms`: so facts with a TTL of 0 serve those who waited for
 * them (ROUTING T3). `facts` itself always counts. Fills `route`. Cost: one step an exchange,
 * with DEPTH_ADDRESSES one an address; what wishes cost is said in judge. */
void route_build(const struct domain_facts *facts, const struct route_request *request,
                 const struct route_policy *policy, int64_t since_ms, int64_t now_ms, struct random *random,
                 struct route *route);

/* The answer for an address literal: the filters hold for it too. Sets verdict, transient and detail; there
 * are no facts and no exchanges. */
void route_build_literal(const struct name *name, const struct route_request *request,
                         const struct route_policy *policy, struct route *route);

#endif
