/*
 * intern: exchange sets and hosts, one object for all that are the same.
 *
 * A set is kept while something refers to it, a host while a set names it or somebody holds it. Both are
 * found here by what they say; readers come to them by pointers alone, so that what is let go of is retired.
 * A host's facts are replaced, never changed.
 *
 * Invariants: a host's refs = sets that name it + holds; a set's refs = those that were given and not let go
 * of; each host in the table is in the list, and vice versa.
 *
 * The writer's. Cost: a set, a hash and a comparison of its names; where it is new, the same for each host.
 */
#ifndef MXWAY_DAEMON_INTERN_H
#define MXWAY_DAEMON_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/table.h"
#include "cache/blocks.h"
#include "rules/facts.h"

/* A walk over all hosts; it must be stopped. */
struct intern_walk {
  struct intern *intern;
  struct intern_walk *next;
  struct host *at;
};

struct intern {
  struct blocks *blocks;
  struct table sets, hosts;
  struct host *newest_host;
  struct intern_walk *walks; /* from the newest to the oldest */
};

/* Charges and retires with `blocks`, lent until intern_fini. Returns 0 or ERR_NOMEM. */
int intern_init(struct intern *intern, struct blocks *blocks);

/* Nothing may be referred to any more. Fine for zeroes. */
void intern_fini(struct intern *intern);

/* Octets of the tables. What is in them is charged to the blocks. */
size_t intern_bytes(const struct intern *intern);

/* The one set for the exchanges of `value`, with a reference; NULL without memory. */
struct exchange_set *intern_get_set(struct intern *intern, const struct domain_value *value);

/* One reference more to a set of this room; and one less (NULL: nothing to let go of). */
void intern_ref_set(const struct exchange_set *set);
void intern_unref_set(struct intern *intern, const struct exchange_set *set);

/* The host of this name, or NULL; lent until the writer lets go of what names it. */
struct host *intern_find_host(const struct intern *intern, const char *name, size_t length);

/* One hold more on a host; and one less. */
void intern_ref_host(struct host *host);
void intern_unref_host(struct intern *intern, struct host *host);

/* Publishes a host's facts; takes `facts` (a malloc block). */
void intern_put_facts(struct intern *intern, struct host *host, struct host_facts *facts);

/* Forgets the facts of a host; returns whether there were any. One that is an address keeps its own. */
bool intern_forget_facts(struct intern *intern, struct host *host);

/* Walks over all hosts, from the newest to the oldest. Hosts may come and go between two steps: those that
 * come are not seen. Any number may be under way. */
void intern_walk_start(struct intern_walk *walk, struct intern *intern);
struct host *intern_walk_next(struct intern_walk *walk);
void intern_walk_stop(struct intern_walk *walk);

#endif
