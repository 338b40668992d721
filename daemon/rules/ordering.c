#include "rules/ordering.h"

#include <string.h>

#include "base/digest.h"

static enum order order_of(const struct wishes *wishes) {
  return wishes ? (enum order)wishes->order : ORDER_RANDOM;
}

static void swap_places(uint8_t *a, uint8_t *b) {
  uint8_t kept = *a;
  *a = *b;
  *b = kept;
}

/* The heaviest first; where weights are equal the places stay in order. */
static void sort_by_weight(uint8_t *places, uint64_t *weights, uint8_t count) {
  for (uint8_t i = 1; i < count; i++) {
    uint8_t place = places[i], at = i;
    uint64_t weight = weights[i];
    for (; at > 0 && weights[at - 1] < weight; at--) {
      places[at] = places[at - 1];
      weights[at] = weights[at - 1];
    }
    places[at] = place;
    weights[at] = weight;
  }
}

static void order_by_key(uint64_t key, const struct exchange_set *set, uint8_t places[], uint8_t count) {
  uint64_t weights[FACTS_EXCHANGES_MAX];
  for (uint8_t i = 0; i < count; i++) {
    const struct host *host = set->exchanges[places[i]].host;
    weights[i] = digest_64(host->name, host->length, key);
  }
  sort_by_weight(places, weights, count);
}

void ordering_exchanges(const struct wishes *wishes, const struct exchange_set *set, uint8_t places[],
                        uint8_t count, struct random *random) {
  switch (order_of(wishes)) {
  case ORDER_RANDOM:
    random_shuffle(random, places, count, count);
    break;
  case ORDER_KEYED:
    order_by_key(wishes->key, set, places, count);
    break;
  case ORDER_STABLE:
  case ORDER_COUNT:
    break;
  }
}

/* ---- addresses ---- */

static const uint8_t packed_length[FAMILY_COUNT] = {PACKED_V6_LENGTH, PACKED_V4_LENGTH};

/* The packed addresses of one family, and the places that are chosen from. */
struct pool {
  const uint8_t *packed;
  size_t each; /* octets of a packed address, two of them before the address */
  uint8_t count;
  uint8_t places[FACTS_ADDRESSES_MAX];
};

static const uint8_t *packed_at(const struct pool *pool, uint8_t place) {
  return pool->packed + place * pool->each;
}

static void sort_by_number(struct pool *pool) {
  for (uint8_t i = 1; i < pool->count; i++)
    for (uint8_t at = i; at > 0 && memcmp(packed_at(pool, pool->places[at - 1]),
                                          packed_at(pool, pool->places[at]), pool->each) > 0;
         at--)
      swap_places(&pool->places[at - 1], &pool->places[at]);
}

static void order_pool(const struct wishes *wishes, struct pool *pool, uint8_t most, struct random *random) {
  uint64_t weights[FACTS_ADDRESSES_MAX];
  switch (order_of(wishes)) {
  case ORDER_RANDOM:
    random_shuffle(random, pool->places, pool->count, most);
    break;
  case ORDER_STABLE:
    sort_by_number(pool);
    break;
  case ORDER_KEYED:
    for (uint8_t i = 0; i < pool->count; i++)
      weights[i] = digest_64(packed_at(pool, pool->places[i]) + 2, pool->each - 2, wishes->key);
    sort_by_weight(pool->places, weights, pool->count);
    break;
  case ORDER_COUNT:
    break;
  }
}

static uint8_t lesser(unsigned a, unsigned b) { return (uint8_t)(a < b ? a : b); }

/* All that fit of one family, then of the other, which keeps one at least. */
static void take_in_turn(const struct pool *first, const struct pool *second, uint8_t total,
                         const uint8_t *addresses[]) {
  uint8_t leading = lesser(first->count, (unsigned)total - (second->count > 0));
  for (uint8_t i = 0; i < leading; i++)
    *addresses++ = packed_at(first, first->places[i]);
  for (uint8_t i = 0; leading + i < total; i++)
    *addresses++ = packed_at(second, second->places[i]);
}

/* One of each family by turns, as long as both have any. */
static void take_alternating(const struct pool *first, const struct pool *second, uint8_t total,
                             const uint8_t *addresses[]) {
  uint8_t from_first = 0, from_second = 0;
  while (from_first + from_second < total) {
    if (from_first < first->count)
      *addresses++ = packed_at(first, first->places[from_first++]);
    if (from_second < second->count && from_first + from_second < total)
      *addresses++ = packed_at(second, second->places[from_second++]);
  }
}

/* The usable ones: all of them, as nearly always, or those of the bits. */
static inline void fill_pool(struct pool *pool, unsigned count, uint32_t usable) {
  static const uint8_t all[FACTS_ADDRESSES_MAX] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                                   11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                                   22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
  if (usable == host_facts_bits(count)) {
    memcpy(pool->places, all, sizeof(all));
    pool->count = (uint8_t)count;
    return;
  }
  pool->count = 0;
  for (; usable; usable &= usable - 1)
    pool->places[pool->count++] = (uint8_t)__builtin_ctz(usable);
}

static uint8_t choose(const struct wishes *wishes, enum families families, const struct host_facts *facts,
                      const uint32_t usable[FAMILY_COUNT], uint8_t most, struct random *random,
                      const uint8_t *addresses[ORDERING_ADDRESSES_MAX]) {
  struct pool pools[FAMILY_COUNT];
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    struct pool *pool = &pools[family];
    pool->packed = host_facts_addresses(facts, family);
    pool->each = packed_length[family];
    fill_pool(pool, facts->count[family], usable[family]);
    if (pool->count > 1)
      order_pool(wishes, pool, most, random);
  }
  const struct pool *v6 = &pools[FAMILY_V6], *v4 = &pools[FAMILY_V4];
  uint8_t total = lesser((unsigned)v6->count + v4->count, most);
  if (families == FAMILIES_V4_FIRST)
    take_in_turn(v4, v6, total, addresses);
  else if (families == FAMILIES_V6_FIRST)
    take_in_turn(v6, v4, total, addresses);
  else
    take_alternating(v6, v4, total, addresses);
  return total;
}

uint8_t ordering_addresses(const struct wishes *wishes, enum families families,
                           const struct host_facts *facts, const uint32_t usable[FAMILY_COUNT], uint8_t most,
                           struct random *random, const uint8_t *addresses[ORDERING_ADDRESSES_MAX]) {
  /* What most hosts have needs no choice: one address of each family, the first. */
  if (usable[FAMILY_V6] > 1 || usable[FAMILY_V4] > 1)
    return choose(wishes, families, facts, usable, most, random, addresses);
  enum family first = families == FAMILIES_V4_FIRST ? FAMILY_V4 : FAMILY_V6, second = !first;
  uint8_t count = 0;
  if (usable[first])
    addresses[count++] = host_facts_addresses(facts, first);
  if (usable[second])
    addresses[count++] = host_facts_addresses(facts, second);
  return count;
}
