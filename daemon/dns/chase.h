/*
 * chase: one question to the DNS, followed along its aliases.
 *
 * dns answers one query; where the reply stops at an alias about which it is silent, the
 * alias is asked for next, until the record, a denial, a failure or the bound
 * on hops (ROUTING V13, V14). Used for MX, A and AAAA alike.
 */
#ifndef MXWAY_DAEMON_CHASE_H
#define MXWAY_DAEMON_CHASE_H

#include <stdbool.h>
#include <stdint.h>

#include "dns/dns.h"

/* How it ended. `message` is NULL where none came; `outcome` is never DNSMSG_FOLLOW. */
struct chase_end {
  enum dns_result result;
  enum dnsmsg_outcome outcome;  /* with DNS_REPLIED */
  uint32_t alias_ttl_s;         /* least TTL of all aliases and records; UINT32_MAX without any */
  bool is_alias;                /* at least one alias was followed */
  bool authentic;               /* every reply on the way may be believed to have been validated */
  const char *canonical;        /* the chain's end */
  const struct dnsmsg *message; /* lent for the call */
};

struct chase;
typedef void chase_done_fn(struct chase *chase, const struct chase_end *end, int64_t now_ms);

struct chase {
  struct dns *dns;
  struct dns_query *query; /* NULL: not running */
  chase_done_fn *done;
  uint32_t max_hops, hops, ttl_s;
  bool authentic; /* all replies so far */
  uint16_t qtype;
  enum dns_priority priority;
  struct story *story;         /* lent until the end */
  char name[DNSMSG_NAME_SIZE]; /* asked for now */
};

/* Asks `question`. Returns 0, then `done` is called once, never before this
 * returns; or the error of dns_ask. `chase` stays in place until then. */
int chase_start(struct chase *chase, struct dns *dns, const struct dns_question *question, uint32_t max_hops,
                chase_done_fn *done);

/* Raises its priority, that of the query under way included. One that does not run is left alone. */
void chase_promote(struct chase *chase, enum dns_priority priority);

/* Whether the query under way has gone out, rather than waiting for others to end. */
bool chase_is_sent(const struct chase *chase);

/* Ends a chase without a call; one that does not run is left alone. */
void chase_cancel(struct chase *chase);

#endif
