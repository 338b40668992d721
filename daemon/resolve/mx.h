/*
 * mx: what the DNS says of one domain's MX, asked for, published and shared.
 *
 * Asks the shared store and the DNS (fetch), and puts what it learns into the cache and, if it came from the
 * DNS, into the store. What the store holds that has expired goes into the cache as such, so that it may be
 * answered while the DNS fails (ROUTING T6). What a purge has overtaken is published for no longer than a
 * call, and not shared; what the store holds of it is not believed (T11). A failure is the owner's to judge
 * (flight), as is who waits and how long.
 *
 * One thread: the cache's writer. Time is an argument.
 */
#ifndef MXWAY_DAEMON_MX_H
#define MXWAY_DAEMON_MX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "cache/cache.h"
#include "resolve/fetch.h"
#include "resolve/forgotten.h"
#include "rules/facts.h"
#include "rules/name.h"
#include "rules/verdict.h"
#include "store/record.h"

/* What all of them share. */
struct mx_common {
  /* Lent, constant. */
  struct cache *cache;
  const struct fetch_ways *ways;
  /* Of this room. */
  struct random random;       /* jitter */
  struct record record;       /* what is being learned; its `domain` as it lives here until it is shared */
  struct forgotten forgotten; /* of kinds of domain facts */
};

struct mx;

struct mx_calls {
  /* The facts are published, with one hold for the owner; NULL where there was no memory for them. The last
   * call. */
  void (*on_facts)(struct mx *mx, const struct domain_facts *facts, int64_t now_ms);
  /* The DNS has failed, and the store knows nothing. The last call. */
  void (*on_failure)(struct mx *mx, enum verdict failure, int64_t now_ms);
  /* The cache now has facts of the store that have expired. */
  void (*on_expired)(struct mx *mx, int64_t now_ms);
};

/* One domain, inside an object of its owner's. */
struct mx {
  struct fetch fetch; /* its story and priority are the owner's to set */
  struct fetch_part part;
  struct mx_common *common;
  const struct mx_calls *calls;
  const struct name *name; /* lent */
  uint64_t hash;
  unsigned forgotten;   /* the owner's: bits of enum domain_kind, what a purge is for (ROUTING T11), */
  uint64_t asked_after; /* as are orders with later numbers than this */
  unsigned origin;      /* where what was published came from, enum fetch_origin; 0: nothing was */
  enum verdict failure; /* of the DNS */
  uint32_t raw_life_s;  /* of what the DNS said (learn_raw_life_s) */
};

/* Makes ready what is of this room. */
void mx_common_init(struct mx_common *common, struct cache *cache, const struct fetch_ways *ways);

/* Makes ready one; `calls` and `name` are lent. Nothing is asked. */
void mx_init(struct mx *mx, struct mx_common *common, const struct mx_calls *calls, const struct name *name,
             uint64_t hash);

/* Asks: the store first where `from_store`. Returns 0, or the error of fetch_start and nothing is called.
 * Requires that nothing is under way. */
int mx_start(struct mx *mx, bool from_store, int64_t now_ms);

/* Takes `record`, of a domain, that the store was asked for ahead of any question, as mx_start would: where
 * it holds and memory has nothing as good, nor what it learned as late. A purge that came meanwhile is the
 * caller's to see. Evicts as any put. */
enum intake mx_take(struct mx_common *common, const struct record *record, int64_t now_ms);

/* What the cache holds of the domain, or NULL. */
const struct domain_facts *mx_peek(const struct mx *mx);

/* Publishes a failure in the place of what is known, which ends in on_facts. Not VERDICT_OVERLOAD. */
void mx_put_failure(struct mx *mx, enum verdict failure, int64_t now_ms);

#endif
