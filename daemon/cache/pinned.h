/*
 * pinned: the configured routes, ready to be looked up.
 *
 * Built once at the start from what the operator wrote (override), read by every frontend without a lock,
 * constant until the end. An exact route wins over those for a suffix, and of these the longest. A route
 * that has expired is passed over, as if it were not there. Routes are not followed: their exchanges'
 * addresses come from the DNS, whatever other routes say.
 *
 * A route keeps its exchanges as a set interned in the cache, so that they share hosts with all other
 * domains; the facts are made for each answer, since name and life differ. Time is an argument.
 */
#ifndef MXWAY_DAEMON_PINNED_H
#define MXWAY_DAEMON_PINNED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"
#include "rules/name.h"
#include "rules/override.h"

enum {
  PINNED_TTL_S = 60, /* an answer's life: a new configuration is noticed by then */
  PINNED_FACTS_SIZE = sizeof(struct domain_facts) + NAME_TEXT_MAX,
};

struct pin {
  struct table_node node; /* by name */
  const struct override *override;
  const struct exchange_set *set; /* NULL where the route rejects */
  int64_t expires_at_ms;          /* INT64_MAX: never */
  bool is_settled;                /* all exchanges are addresses: there is nothing to ask for */
};

struct pinned;

/* Logs the routes of `list` that have expired by `wall_ms` (Unix time): they are passed over. */
void pinned_warn(const struct override_list *list, int64_t wall_ms);

/* Makes the routes of `list` ready; logs those that have expired by `wall_ms`, which is `now_ms`.
 * `list` and `cache` are lent. After name_hash_init. Returns 0 or ERR_NOMEM. */
int pinned_create(const struct override_list *list, struct cache *cache, int64_t now_ms, int64_t wall_ms,
                  struct pinned **result);

/* Before cache_destroy, after the last reader. */
void pinned_destroy(struct pinned *pinned);

/* The route for `name`, whose hash (name_hash) is `hash`, or NULL. Cost: one look into a table,
 * and where there are suffixes one for each label. */
const struct pin *pinned_find(const struct pinned *pinned, const struct name *name, uint64_t hash,
                              int64_t now_ms);

/* Seconds for which an answer from `pin` holds, rounded up: PINNED_TTL_S, or what is left. */
uint32_t pinned_ttl_s(const struct pin *pin, int64_t now_ms);

/* Writes the facts that `pin`, which does not reject, gives for `name` at `now_ms`, in
 * PINNED_FACTS_SIZE octets at `facts`. They live as long as the route. */
void pinned_build_facts(const struct pin *pin, const struct name *name, int64_t now_ms,
                        struct domain_facts *facts);

#endif
