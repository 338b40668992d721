/*
 * generated: the zone bench.test, made from a seed, of any size and without memory for it.
 *
 * A name's answers follow from the seed and the name alone:
 *
 *   dN.bench.test       a domain: 68 % use a provider's exchange set, 25 % servers of their own
 *   uWORD.bench.test    (mx.<domain>, some with mx2.<domain>), 5 % have no MX but an address,
 *                       2 % a null MX; all have an A, some an AAAA
 *   nN.bench.test       NXDOMAIN, as is all that is not named here
 *   mxJ.pP.mail.bench.test  a provider's exchange, J from 1 to 8: 1 to 4 A, half of them with AAAA
 *   mail.bench.test, ns.bench.test  hosts
 *
 * Providers have four exchange sets each, of 1 to 5 exchanges; sets are chosen by a Zipf law, so that
 * few serve most domains. Read-only once made.
 */
#ifndef MXWAY_BENCH_UPSTREAM_GENERATED_H
#define MXWAY_BENCH_UPSTREAM_GENERATED_H

#include "record.h"

enum { GENERATED_SETS_DEFAULT = 5000, GENERATED_SETS_MAX = 1000000 };

struct generated;

/* `set_count` exchange sets (1 to GENERATED_SETS_MAX); `ttl_s` of all records, or -1 for those of the seed.
 * NULL without memory. */
struct generated *generated_create(uint64_t seed, uint32_t set_count, int64_t ttl_s);

/* From now on every domain uses one of the sets: none has servers of its own, no MX record or a null MX. */
void generated_share_all(struct generated *generated);
void generated_destroy(struct generated *generated);

/* Octets of the apex where `name` is within it, else 0. */
size_t generated_apex_length(const struct generated *generated, const struct dname *name);

/* Hands over the records of `type` at `name`. There are no aliases. */
enum found generated_find(const struct generated *generated, const struct dname *name, uint16_t type,
                          record_fn *put, void *context);

/* Hands over the SOA record for a denial. */
void generated_put_soa(const struct generated *generated, record_fn *put, void *context);

#endif
