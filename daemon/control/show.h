/*
 * show: what memory holds of a domain, for a person, as mxway.v1.ShowReply.
 *
 * Asks nobody, marks nothing as used. Finding some of the domains that share the exchanges is a walk over the
 * cache, done a piece at a time; the rest is looked at when the reply is packed. Who calls it: job, in
 * the writer's thread. Time is an argument.
 */
#ifndef MXWAY_DAEMON_SHOW_H
#define MXWAY_DAEMON_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"
#include "control.pb-c.h"
#include "resolve/resolver.h"
#include "rules/name.h"

enum { SHOW_SHARING_MAX = 8 }; /* names of domains that share the exchanges */

struct show;

/* Begins to look for `name`, a domain. `cache` and `resolver` are lent until destroy. Returns NULL without
 * memory. */
struct show *show_create(struct cache *cache, const struct resolver *resolver, const struct name *name);
void show_destroy(struct show *show);

/* Looks at the next `most` domains in memory for those that share the exchanges. Call until true: there is
 * nothing more to look at. */
bool show_step(struct show *show, size_t most);

/* What there is to show at `now_ms`; lent until the cache changes or show_destroy. */
Mxway__V1__ShowReply *show_reply(struct show *show, int64_t now_ms);

#endif
