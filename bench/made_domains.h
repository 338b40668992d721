/*
 * made_domains: the domains that the programs without a socket put into the daemon's cache: N of them on
 * 5,000 exchange sets.
 */
#ifndef MXWAY_BENCH_MADE_DOMAINS_H
#define MXWAY_BENCH_MADE_DOMAINS_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rules/facts.h"

enum { MADE_SETS = 5000, MADE_NAME_SIZE = 32, MADE_LIFE_MS = 86400000 };

/* Returns the name's length. */
static inline size_t made_name(char name[MADE_NAME_SIZE], uint64_t number) {
  return (size_t)snprintf(name, MADE_NAME_SIZE, "d%" PRIu64 ".bench.test", number);
}

/* One to four exchanges, as the number of the set says. */
static inline void made_value(struct domain_value *value, uint32_t set) {
  value->kind = DOMAIN_MX;
  value->count = (uint16_t)(1 + set % 4);
  value->stored_at_ms = clock_now_ms();
  value->expires_at_ms = value->stored_at_ms + MADE_LIFE_MS;
  for (uint16_t i = 0; i < value->count; i++) {
    value->exchanges[i].preference = (uint16_t)(10 * i);
    snprintf(value->exchanges[i].host, FACTS_NAME_SIZE, "mx%u.p%u.mail.bench.test", i + 1u, set);
  }
}

#endif
