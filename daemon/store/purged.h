/*
 * purged: which values of the shared store were written before a purge that covers them.
 *
 * A purge has a generation, and a value that of the last purge its writer knew. So no value need be found and
 * deleted, and no clock is asked: one with a generation below that of a purge that covers it counts as
 * purged.
 *
 *   a purge of     covers a domain                         covers the addresses of a host
 *   a domain       of that name                            of that name
 *   a suffix       at and below it                         at and below it
 *   an exchange    that has it                             of that name
 *   denials        that is one (NXDOMAIN, NODATA)          of which one family is one
 *   failures       never: they are not shared              never
 *   all            always                                  always
 *
 * The addresses of a purged domain's exchanges that have names elsewhere are not covered: which these are
 * only the memory of each node knows.
 *
 * Bounded: the last PURGED_NAMES_MAX names are known one by one; of those before only the generation, and
 * what is older counts as purged, whatever it is. The same where there is no memory. Cost: a look into a hash
 * table for each label of the name, and each exchange; nothing for what is as new as the last purge.
 *
 * Pure; one thread.
 */
#ifndef MXWAY_DAEMON_PURGED_H
#define MXWAY_DAEMON_PURGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/notice.h"
#include "store/record.h"

enum { PURGED_NAMES_MAX = 4096 };

struct purged;

/* Knows of no purge. Returns NULL without memory. */
struct purged *purged_create(void);
void purged_destroy(struct purged *purged);

/* Forgets every purge, but that all which is older than `floor` has been purged. */
void purged_reset(struct purged *purged, uint64_t floor);

/* What `notice` says has been purged, with this generation. */
void purged_put(struct purged *purged, const struct notice *notice, uint64_t generation);

/* The same of one name (NULL where `what` needs none). */
void purged_put_name(struct purged *purged, enum purge_what what, const struct name *name,
                     uint64_t generation);

/* What was put with a generation above `most` counts as put with that. */
void purged_lower(struct purged *purged, uint64_t most);

/* Whether a record was written before a purge that covers it. */
bool purged_has(const struct purged *purged, const struct record *record);

/* Names that are known. */
size_t purged_count(const struct purged *purged);

#endif
