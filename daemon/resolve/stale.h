/*
 * stale: routes that have expired, answered where the DNS fails or is late (ROUTING T6, RFC 8767).
 *
 * Says which facts may be answered so and to whom, and publishes them anew for a minute: until then they are
 * answered like any others, and the first hit in its second half asks again. That the DNS has failed is
 * remembered with them, for those who want no stale answer (RFC 9520). Asks nobody and decides neither when
 * the DNS is late nor that it has failed: that is resolver's and flight's.
 *
 * One thread: the cache's writer. Time is an argument.
 */
#ifndef MXWAY_DAEMON_STALE_H
#define MXWAY_DAEMON_STALE_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
#include "resolve/hosts.h"
#include "resolve/learn.h"
#include "resolve/question.h"
#include "rules/verdict.h"

/* What stale answers are made from, all lent. */
struct stale {
  struct cache *cache;
  struct hosts *hosts;
  const struct learn_policy *policy;
};

/* Whether it may come to a stale answer for a question. `facts`: what memory holds, or NULL. */
bool stale_is_possible(const struct stale *stale, const struct question *question,
                       const struct domain_facts *facts, int64_t now_ms);

/* Publishes facts that have expired and are in the cache as they may be answered for a while, with a hold for
 * the caller; `failure`: of their refresh, 0 where it is only late. NULL where they may not be, or there are
 * none, or without memory. */
const struct domain_facts *stale_put(const struct stale *stale, const struct domain_facts *facts,
                                     enum verdict failure, int64_t now_ms);

/* Makes what memory holds, though expired, the answer to a question for which nothing better comes in time.
 * False where it holds no answer. The facts are held by the cache alone. */
bool stale_answer(const struct stale *stale, const struct question *question, int64_t now_ms,
                  struct answer *answer);

/* Whether the refresh of facts that have expired has failed of late, so that the DNS is not to be asked again
 * for those who want no stale answer either (RFC 9520). `facts` may be NULL. */
bool stale_has_failed(const struct domain_facts *facts, int64_t now_ms);

#endif
