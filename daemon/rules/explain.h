/*
 * explain: what memory holds about a domain, told to a person.
 *
 * Adds lines to a story; reads facts as a reader of the cache does. Costs nothing without a story.
 */
#ifndef MXWAY_DAEMON_EXPLAIN_H
#define MXWAY_DAEMON_EXPLAIN_H

#include <stdint.h>

#include "base/story.h"
#include "rules/facts.h"
#include "rules/route.h"

/* Tells what is known of `name` at `now_ms` and until when: the MX facts and, with DEPTH_ADDRESSES,
 * the addresses of each exchange. `facts` is NULL where nothing is known. */
void explain_memory(struct story *story, const char *name, const struct domain_facts *facts, enum depth depth,
                    int64_t now_ms);

/* The same of the addresses of one exchange alone. */
void explain_host(struct story *story, struct host *host, int64_t now_ms);

#endif
