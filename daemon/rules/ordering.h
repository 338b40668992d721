/*
 * ordering: which exchange of a level first, and which address of an exchange (ROUTING O1-O5).
 *
 * Random: shuffled anew for every answer. Stable: exchanges by name, addresses by number. Keyed: by
 * rendezvous hashing, so that one key keeps its first choice for as long as that is there, and what goes
 * moves only the keys that had chosen it; the weight of an exchange is digest_64 of its name, that of an
 * address of its octets, each seeded with the key's digest, the heaviest first: the same on every machine.
 *
 * Pure. No allocation, no lock: this is the hit path.
 */
#ifndef MXWAY_DAEMON_ORDERING_H
#define MXWAY_DAEMON_ORDERING_H

#include <stdint.h>

#include "base/random.h"
#include "rules/facts.h"
#include "rules/wishes.h"

enum { ORDERING_ADDRESSES_MAX = 8 }; /* an exchange (ROUTING O5) */

/* Orders `count` places of `set` that have one preference. They come in the order of the names. */
void ordering_exchanges(const struct wishes *wishes, const struct exchange_set *set, uint8_t places[],
                        uint8_t count, struct random *random);

/* Chooses at most `most` (ORDERING_ADDRESSES_MAX at most) of the addresses whose bits are set in
 * `usable`, in the order to try them. Where both families are usable both are chosen from; `most`
 * must be 2 at least then. Writes pointers to packed fields; returns how many. */
uint8_t ordering_addresses(const struct wishes *wishes, enum families families,
                           const struct host_facts *facts, const uint32_t usable[FAMILY_COUNT], uint8_t most,
                           struct random *random, const uint8_t *addresses[ORDERING_ADDRESSES_MAX]);

#endif
