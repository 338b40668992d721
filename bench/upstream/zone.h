/*
 * zone: records by name, as a master file has them.
 *
 * Answers as an authoritative server does: wildcards and empty non-terminals (RFC 4592), NODATA
 * and NXDOMAIN apart; no delegations: an NS record is a record like any other. A zone is
 * what is below an SOA; there may be several. Grows while it is read, then is only read.
 */
#ifndef MXWAY_BENCH_UPSTREAM_ZONE_H
#define MXWAY_BENCH_UPSTREAM_ZONE_H

#include "record.h"

struct zone;

struct zone *zone_create(void);
void zone_destroy(struct zone *zone);

/* Adds a record; a duplicate is kept once. Returns 0, or -1 without memory. */
int zone_put(struct zone *zone, const struct dname *owner, uint16_t type, uint32_t ttl, const uint8_t *rdata,
             size_t rdata_length);

/* Octets of the nearest name at or above `name` that has an SOA; 0 where there is none. */
size_t zone_apex_length(const struct zone *zone, const struct dname *name);

/* Hands the records of `type` at `name` to `put`. Where an alias is in their place, hands over that and
 * gives its target. */
enum found zone_find(const struct zone *zone, const struct dname *name, uint16_t type, record_fn *put,
                     void *context, struct dname *target);

/* Hands over the SOA record that a denial of `name` needs. */
void zone_put_soa(const struct zone *zone, const struct dname *name, record_fn *put, void *context);

#endif
