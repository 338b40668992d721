/*
 * learn: how a question ended, as facts.
 *
 * Pure: what a chase found or the shared store holds, what was known before and the policy of lives come in;
 * the value that is to be published goes out. Says which end is a fact about the domain and which a failure,
 * and how long each lives (ROUTING V2-V15, T1-T5). Does not decide whether a failure may replace what is
 * known: that is the caller's (flight, hosts).
 *
 * Lives in the shared store are raw, as the DNS said; each node keeps its own bounds for what it takes from
 * there, counted from when the DNS was asked.
 */
#ifndef MXWAY_DAEMON_LEARN_H
#define MXWAY_DAEMON_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/story.h"
#include "dns/chase.h"
#include "rules/facts.h"
#include "rules/ttl.h"
#include "rules/verdict.h"
#include "store/record.h"

enum {
  LEARN_RECHECK_MS = 30000, /* after a failure, a hit on stale facts asks again from then on (ROUTING T6) */
  LEARN_STALE_MS = 60000,   /* and so long they are answered without waiting for that */
};

/* What becomes of a value of the shared store that nobody waits for. */
enum intake {
  INTAKE_TAKEN,   /* it is in memory now */
  INTAKE_KNOWN,   /* memory knows as well, from as late an answer */
  INTAKE_EXPIRED, /* it holds no more: left where it is */
  INTAKE_UNUSED,  /* of a host that no domain in memory names */
  INTAKE_NO_MEMORY
};

struct learn_policy {
  struct ttl_policy ttl;
  int64_t max_stale_ms;  /* how long records are answered after they expired; 0: never (RFC 8767) */
  bool notimp_as_nodata; /* the reply NOTIMP denies the record (ROUTING V10) */
};

/* The verdict for an MX query that failed; 0 where it did not (ROUTING V10). VERDICT_OVERLOAD is
 * ours and is not to be remembered. */
enum verdict learn_failure(const struct learn_policy *policy, const struct chase_end *end);

/* Fills `value` with what the MX query for `name` (canonical text) said. Requires that it did not fail. Tells
 * `story` (NULL: nobody) which records are dropped and why. */
void learn_domain(const struct learn_policy *policy, const char *name, const struct chase_end *end,
                  int64_t now_ms, struct random *random, struct story *story, struct domain_value *value);

/* Fills `value` with a failure, which is a fact for a short while. `before`: what is known of the
 * name, or NULL; a failure that follows on one lives twice as long (RFC 9520 section 3.2). */
void learn_domain_failure(const struct learn_policy *policy, enum verdict failure,
                          const struct domain_facts *before, int64_t now_ms, struct random *random,
                          struct domain_value *value);

/* Brings `value`, what was known of one family of a host, up to date. A soft failure leaves
 * facts that still hold as they are (ROUTING T5), one of ours whatever holds, lets addresses that have
 * expired be answered stale (T6), else counts failures in a row. `value->expanded` is left alone where the
 * end is a fact. Returns whether the end was a fact, and so says what the host's alias is. */
bool learn_family(const struct learn_policy *policy, const struct chase_end *end, int64_t now_ms,
                  struct random *random, struct family_value *value);

/* The same where the query could not be asked at all: ours, so nothing is remembered. What holds stays, as
 * does a failure that has expired, for the sake of its row. */
void learn_family_overload(const struct learn_policy *policy, int64_t now_ms, struct family_value *value);

/* Lets addresses that have expired, or that there are none of the family, be answered for LEARN_STALE_MS from
 * now on. False where neither is known, or it has been expired for too long. */
bool learn_family_stale(const struct learn_policy *policy, int64_t now_ms, struct family_value *value);

/* Whether domain facts that have expired may still be answered (ROUTING T6). */
bool learn_may_be_stale(const struct learn_policy *policy, const struct domain_facts *facts, int64_t now_ms);

/* ---- the shared store ---- */

/* How long what the DNS said lives by itself, in seconds. 0 where it is not to be shared: it had a TTL of 0
 * (ROUTING T3), or is nothing but our own word (a failure, a denial without an SOA: T4, T5). */
uint32_t learn_raw_life_s(const struct chase_end *end);

/* Until when what memory holds of a family does so by the DNS, or somewhat less: as it lives here, but for a
 * life that may be of our own making. When it was learned, where that cannot be told. */
int64_t learn_family_raw_until_ms(const struct learn_policy *policy, const struct family_value *value);

/* Until when facts of the store may be answered stale: `expires_at_ms` where they are not lasting. */
int64_t learn_stale_until_ms(const struct learn_policy *policy, bool is_lasting, int64_t expires_at_ms);

/* Fills `value` with what `record`, of a domain, says, with the life it has here. It may have expired. */
void learn_domain_shared(const struct learn_policy *policy, const struct record *record,
                         struct random *random, struct domain_value *value);

/* The same for one family of `record`, of a host. False where it knows nothing of that, and `value` is as
 * before. */
bool learn_family_shared(const struct learn_policy *policy, const struct record *record, enum family family,
                         struct random *random, struct family_value *value);

#endif
