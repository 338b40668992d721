/*
 * made_facts: facts for tests of the rooms that only read them.
 *
 * A struct zone owns the facts of one domain, its set and its hosts; nothing is shared.
 */
#ifndef MXWAY_TESTS_MADE_FACTS_H
#define MXWAY_TESTS_MADE_FACTS_H

#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/facts.h"

enum { MADE_LIFE_MS = 3600000 }; /* of addresses: so long before they expire they were learned */

struct zone {
  struct domain_value value; /* filled by the test, then zone_build */
  struct domain_facts *facts;
  struct exchange_set *set;
  struct host *hosts[FACTS_EXCHANGES_MAX]; /* in the order of the set */
};

static inline void zone_init(struct zone *zone, enum domain_kind kind, int64_t stored_at_ms,
                             int64_t expires_at_ms) {
  memset(zone, 0, sizeof(*zone));
  zone->value.kind = kind;
  zone->value.stored_at_ms = stored_at_ms;
  zone->value.expires_at_ms = expires_at_ms;
}

static inline void zone_add(struct zone *zone, unsigned preference, const char *host) {
  struct exchange_value *exchange = &zone->value.exchanges[zone->value.count++];
  exchange->preference = (uint16_t)preference;
  snprintf(exchange->host, sizeof(exchange->host), "%s", host);
}

/* `count` exchanges h00.test, h01.test, ... at one preference. */
static inline void zone_add_level(struct zone *zone, unsigned preference, unsigned count) {
  char host[FACTS_NAME_SIZE];
  while (count-- > 0) {
    snprintf(host, sizeof(host), "h%02u.test", zone->value.count);
    zone_add(zone, preference, host);
  }
}

static inline struct host *make_host(const char *name) {
  size_t length = strlen(name);
  struct host *host = calloc(1, sizeof(*host) + length + 1);
  assert_non_null(host);
  host->length = (uint8_t)length;
  memcpy(host->name, name, length + 1);
  return host;
}

/* Turns the value into facts about `name`, as the cache would. */
static inline void zone_build(struct zone *zone, const char *name) {
  struct domain_value *value = &zone->value;
  if (value->kind == DOMAIN_MX)
    domain_value_normalise(value, 0, NULL);
  for (uint16_t i = 0; i < value->count; i++)
    zone->hosts[i] = make_host(value->exchanges[i].host);
  if (value->count > 0) {
    zone->set = exchange_set_build(value->exchanges, value->count, value->kind == DOMAIN_NODATA, zone->hosts);
    assert_non_null(zone->set);
  }
  size_t name_length = strlen(name), canonical_length = strlen(value->canonical);
  zone->facts = calloc(1, sizeof(*zone->facts) + name_length + canonical_length);
  assert_non_null(zone->facts);
  zone->facts->set = zone->set;
  zone->facts->stored_at_ms = value->stored_at_ms;
  zone->facts->expires_at_ms = value->expires_at_ms;
  zone->facts->warnings = value->warnings;
  zone->facts->kind = (uint8_t)value->kind;
  zone->facts->cause = value->cause;
  zone->facts->authentic = value->authentic;
  zone->facts->name_length = (uint8_t)name_length;
  zone->facts->canonical_length = (uint8_t)canonical_length;
  memcpy(zone->facts->text, name, name_length);
  memcpy(zone->facts->text + name_length, value->canonical, canonical_length);
}

static inline void zone_fini(struct zone *zone) {
  for (uint16_t i = 0; i < zone->value.count; i++) {
    free((void *)atomic_load(&zone->hosts[i]->facts));
    free(zone->hosts[i]);
  }
  free(zone->set);
  free(zone->facts);
}

/* What one address query said: `count` addresses, 2001:db8::1... or 192.0.2.1... */
static inline struct family_value made_family(enum family family, enum family_state state, unsigned count,
                                              int64_t expires_at_ms, const char *expanded) {
  static const uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8}, v4[4] = {192, 0, 2};
  struct family_value value = {
      .state = state, .expires_at_ms = expires_at_ms, .life_ms = MADE_LIFE_MS, .count = (uint8_t)count};
  size_t length = family == FAMILY_V6 ? sizeof(v6) : sizeof(v4);
  for (unsigned i = 0; i < count; i++) {
    memcpy(value.addresses[i], family == FAMILY_V6 ? v6 : v4, length);
    value.addresses[i][length - 1] = (uint8_t)(i + 1);
  }
  snprintf(value.expanded, sizeof(value.expanded), "%s", expanded);
  return value;
}

/* Gives a host facts in the place of those it has. */
static inline void zone_give(struct zone *zone, unsigned at, struct family_value v6, struct family_value v4) {
  struct family_value values[FAMILY_COUNT];
  values[FAMILY_V6] = v6;
  values[FAMILY_V4] = v4;
  struct host *host = zone->hosts[at];
  free((void *)atomic_load(&host->facts));
  atomic_store(&host->facts, host_facts_build(values));
  assert_non_null(atomic_load(&host->facts));
}

/* `v6_count` and `v4_count` addresses that live as long as each other; none is a denial. */
static inline void zone_give_addresses(struct zone *zone, unsigned at, unsigned v6_count, unsigned v4_count,
                                       int64_t expires_at_ms) {
  zone_give(zone, at,
            made_family(FAMILY_V6, v6_count ? FAMILY_OK : FAMILY_NODATA, v6_count, expires_at_ms, ""),
            made_family(FAMILY_V4, v4_count ? FAMILY_OK : FAMILY_NODATA, v4_count, expires_at_ms, ""));
}

/* The same state for both families; FAMILY_OK has one address of each. */
static inline void zone_give_state(struct zone *zone, unsigned at, enum family_state state,
                                   int64_t expires_at_ms, const char *expanded) {
  unsigned count = state == FAMILY_OK;
  zone_give(zone, at, made_family(FAMILY_V6, state, count, expires_at_ms, expanded),
            made_family(FAMILY_V4, state, count, expires_at_ms, expanded));
}

#endif
