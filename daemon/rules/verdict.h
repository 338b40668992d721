/*
 * verdict: what kind of answer there is for a domain, and what a sender says
 * about it in SMTP.
 *
 * Numbers are those of mxway.v1.Verdict; a test holds the two together.
 */
#ifndef MXWAY_DAEMON_VERDICT_H
#define MXWAY_DAEMON_VERDICT_H

#include <stdint.h>

enum verdict {
  VERDICT_ROUTE = 1,
  VERDICT_NULL_MX,
  VERDICT_NO_SUCH_DOMAIN,
  VERDICT_NO_MAIL_HOST,
  VERDICT_MX_HOSTS_NO_ADDRESS,
  VERDICT_MX_HOSTS_TEMPFAIL,
  VERDICT_MX_ALL_INVALID,
  VERDICT_NO_ROUTABLE_ADDRESS,
  VERDICT_LOOP_SELF_BEST,
  VERDICT_PRIMARY_UNRESOLVED,
  VERDICT_INVALID_NAME,
  VERDICT_DNS_SERVFAIL,
  VERDICT_DNS_REFUSED,
  VERDICT_DNS_TIMEOUT,
  VERDICT_DNS_NETWORK,
  VERDICT_DNS_MALFORMED,
  VERDICT_CNAME_LOOP,
  VERDICT_OVERLOAD,
  VERDICT_SHUTDOWN,
  VERDICT_DEADLINE,
  VERDICT_NOT_CACHED,
  VERDICT_BAD_REQUEST,
  VERDICT_REJECTED,
};

struct smtp_status {
  uint16_t code;        /* 0 for VERDICT_ROUTE */
  const char *enhanced; /* RFC 3463, "5.1.10"; "" for VERDICT_ROUTE */
};

/* "ROUTE", "NULL_MX", ...; static storage. */
const char *verdict_name(enum verdict verdict);

/* The reply code and enhanced status (RFC 3463, RFC 7505 section 4) for a
 * verdict. 4xx is transient: a sender may expect another answer later; 5xx is
 * permanent. `transient` asks for the transient form of the verdicts that have
 * both forms, and is ignored for the others. */
struct smtp_status verdict_smtp(enum verdict verdict, int transient);

#endif
