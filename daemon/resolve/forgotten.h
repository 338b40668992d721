/*
 * forgotten: what has been ordered to be forgotten, for lookups that are under way then (ROUTING T11).
 *
 * An order has a number, and costs the same however many lookups are under way: a lookup notes the number of
 * the last one when it asks, and finds out when it lands whether a later one means what it has learned.
 * Orders for every name are kept for ever, a number a kind. Of those for a domain and all below it the last
 * FORGOTTEN_BELOW_MAX are kept: the one that makes room for another is taken, from then on, for one for every
 * name. So nothing is kept that was to be forgotten; a lookup that so many orders have overtaken, in
 * the few seconds that it may last, is asked for once more.
 *
 * One thread. Knows no lookup. Cost: constant; forgotten_has, a comparison for each order since.
 */
#ifndef MXWAY_DAEMON_FORGOTTEN_H
#define MXWAY_DAEMON_FORGOTTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/name.h"

enum { FORGOTTEN_KINDS_MAX = 8, FORGOTTEN_BELOW_MAX = 16 };

struct forgotten_below {
  uint64_t number;
  unsigned kinds;
  struct name suffix;
};

/* Zero is: nothing. */
struct forgotten {
  uint64_t number;                                   /* of the last order */
  uint64_t every[FORGOTTEN_KINDS_MAX];               /* of the last for every name, by kind; 0: none */
  struct forgotten_below below[FORGOTTEN_BELOW_MAX]; /* the last for some names */
  size_t next;                                       /* the place of the next one in `below` */
};

/* Orders that what is of `kinds` (bit n is the kind n; those from FORGOTTEN_KINDS_MAX on mean nothing) be
 * forgotten: of `suffix`, canonical, and all names below it, or of every name where it is NULL. */
void forgotten_add(struct forgotten *forgotten, const struct name *suffix, unsigned kinds);

/* Whether an order since that number means what is of `kind`, below FORGOTTEN_KINDS_MAX, about a name. */
bool forgotten_has(const struct forgotten *forgotten, uint64_t since, unsigned kind, const char *name,
                   size_t length);

#endif
