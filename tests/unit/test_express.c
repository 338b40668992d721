#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "made_facts.h"
#include "rules/route.h"
#include "serve/express.h"
#include "serve/reply.h"

enum { NOW_MS = 1000000, LATER_MS = NOW_MS + 600000, GAMES = 20000, CANARY = 0xa5 };

static const struct route_policy plain_policy;

/* One frame, its length (0: not taken), and the generator after it. */
struct made {
  uint8_t bytes[REPLY_BYTES_MAX];
  size_t length;
  struct random random;
  bool is_due;
};

static struct name name_of(const struct domain_facts *facts) {
  struct name name = {.kind = NAME_DOMAIN, .length = facts->name_length};
  memcpy(name.text, facts->text, facts->name_length);
  return name;
}

static void make_express(struct made *made, const struct route_policy *policy, const struct zone *zone,
                         uint64_t id, enum depth depth, uint64_t seed) {
  struct express express;
  struct name name = name_of(zone->facts);
  express_init(&express, policy);
  memset(made->bytes, CANARY, sizeof(made->bytes));
  made->random = (struct random){.state = seed};
  made->length = express_build(&express, made->bytes, id, depth, &name, zone->facts, NOW_MS, &made->random,
                               &made->is_due);
}

static void make_slowly(struct made *made, const struct route_policy *policy, const struct zone *zone,
                        uint64_t id, enum depth depth, uint64_t seed) {
  static struct route route;
  made->random = (struct random){.state = seed};
  route_build(zone->facts, &(struct route_request){.depth = depth}, policy, NOW_MS, NOW_MS, &made->random,
              &route);
  made->length = reply_build_route(made->bytes, id, SOURCE_MEMORY, &route);
  made->is_due = route_wants_refresh(zone->facts, depth, NOW_MS);
}

/* Whether express takes the zone; if it does, all that it does is what route and reply do. */
static bool takes(const struct route_policy *policy, const struct zone *zone, uint64_t id, enum depth depth,
                  uint64_t seed) {
  static struct made fast, slow;
  make_express(&fast, policy, zone, id, depth, seed);
  if (fast.length == 0) {
    assert_int_equal(fast.random.state, seed);
    return false;
  }
  make_slowly(&slow, policy, zone, id, depth, seed);
  assert_int_equal(fast.length, slow.length);
  assert_memory_equal(fast.bytes, slow.bytes, slow.length);
  assert_int_equal(fast.random.state, slow.random.state);
  assert_int_equal(fast.is_due, slow.is_due);
  return true;
}

/* ---- a game: whatever the facts, what is taken is answered as ever ---- */

static unsigned below(struct random *random, unsigned bound) { return random_below(random, bound); }

static bool one_in(struct random *random, unsigned count) { return below(random, count) == 0; }

static int64_t draw_expiry(struct random *random) {
  static const int64_t lives_ms[] = {
      -1, 0, 1, 999, 1000, 1001, 127500, 86400000, INT64_C(4294966296), INT64_C(4294967296) * 1000};
  if (!one_in(random, 8))
    return NOW_MS + 1 + below(random, 90000000);
  return NOW_MS + lives_ms[below(random, sizeof(lives_ms) / sizeof(lives_ms[0]))];
}

static struct family_value draw_family(struct random *random, enum family family) {
  unsigned count = one_in(random, 3) ? below(random, FACTS_ADDRESSES_MAX + 1) : below(random, 3);
  struct family_value value =
      made_family(family, count ? FAMILY_OK : FAMILY_NODATA, count, draw_expiry(random), "");
  value.authentic = one_in(random, 2);
  value.refresh_at_ms = one_in(random, 4) ? NOW_MS - 1 + below(random, 3) : INT64_MAX;
  if (one_in(random, 16))
    snprintf(value.expanded, sizeof(value.expanded), "elsewhere.test");
  if (one_in(random, 16) && count > 0)
    memset(value.addresses[0], family == FAMILY_V4 ? 127 : 0, 4); /* loopback, or ::... */
  if (one_in(random, 16))
    value = made_family(family, FAMILY_TEMPFAIL, 0, draw_expiry(random), "");
  return value;
}

static void draw_zone(struct zone *zone, struct random *random) {
  static const char *const names[] = {"a.test", "twelve-octets.example",
                                      "a-name-of-fifty-octets-or-so.of-two-labels.example"};
  zone_init(zone, one_in(random, 8) ? DOMAIN_NODATA : DOMAIN_MX, NOW_MS - below(random, 100000),
            draw_expiry(random));
  unsigned count = zone->value.kind == DOMAIN_NODATA ? 1 : 1 + below(random, one_in(random, 8) ? 40 : 5);
  for (unsigned i = 0; i < count; i++) {
    char host[FACTS_NAME_SIZE];
    snprintf(host, sizeof(host), one_in(random, 30) ? "192.0.2.%u" : "mx%u.some-provider.test", i);
    zone_add(zone, zone->value.kind == DOMAIN_NODATA ? 0 : below(random, 3) * 200, host);
  }
  zone->value.authentic = one_in(random, 2);
  if (one_in(random, 4))
    snprintf(zone->value.canonical, sizeof(zone->value.canonical), "the.end.of.its.chain.example");
  zone_build(zone, names[below(random, 3)]);
  if (one_in(random, 16))
    zone->facts->warnings = WARNING_NULL_MX_MIXED;
  if (one_in(random, 4))
    zone->facts->refresh_lead_ms = 1 + below(random, 90000000);
  if (one_in(random, 8))
    zone->facts->stale_for_ms = 60000;
  for (unsigned i = 0; i < zone->value.count; i++) {
    zone->hosts[i]->is_address = zone->hosts[i]->name[0] == '1';
    if (zone->hosts[i]->is_address)
      atomic_store(&zone->hosts[i]->facts, host_facts_build_address((const uint8_t[]){192, 0, 2, 1}, 4));
    else if (!one_in(random, 20))
      zone_give(zone, i, draw_family(random, FAMILY_V6), draw_family(random, FAMILY_V4));
  }
}

static struct route_policy draw_policy(struct random *random) {
  struct route_policy policy = {.strict_null_mx_mixed = one_in(random, 8)};
  policy.judge.families = (enum families)below(random, FAMILIES_COUNT);
  policy.judge.reject_mx_address = one_in(random, 8);
  policy.judge.reject_mx_cname = one_in(random, 8);
  policy.judge.reach.drop_private = one_in(random, 4);
  return policy;
}

static void what_it_takes_is_answered_octet_for_octet_as_by_route_and_reply(void **state) {
  (void)state;
  static struct zone zone;
  struct random random = {.state = 1};
  unsigned taken[2] = {0, 0};
  for (unsigned i = 0; i < GAMES; i++) {
    draw_zone(&zone, &random);
    struct route_policy policy = draw_policy(&random);
    for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++)
      taken[depth] += takes(&policy, &zone, random_next(&random) >> below(&random, 64), depth, i);
    zone_fini(&zone);
  }
  assert_in_range(taken[DEPTH_EXCHANGES], GAMES / 4, GAMES - 1);
  assert_in_range(taken[DEPTH_ADDRESSES], GAMES / 20, GAMES / 2);
}

/* ---- what it takes, and what not ---- */

static void open_usual(struct zone *zone, unsigned count) {
  zone_init(zone, DOMAIN_MX, NOW_MS - 7000, LATER_MS);
  zone_add_level(zone, 10, count);
  zone_build(zone, "d.test");
  for (unsigned i = 0; i < count; i++)
    zone_give_addresses(zone, i, 1, 2, LATER_MS);
}

static bool takes_at(const struct zone *zone, enum depth depth) {
  return takes(&plain_policy, zone, 7, depth, 1);
}

static void usual_facts_are_taken_at_both_depths(void **state) {
  (void)state;
  struct zone zone;
  for (unsigned count = 1; count <= EXPRESS_EXCHANGES_MAX; count++) {
    open_usual(&zone, count);
    assert_true(takes_at(&zone, DEPTH_EXCHANGES));
    assert_true(takes_at(&zone, DEPTH_ADDRESSES));
    zone_fini(&zone);
  }
}

static void too_many_exchanges_are_left_to_route(void **state) {
  (void)state;
  struct zone zone;
  open_usual(&zone, EXPRESS_EXCHANGES_MAX + 1);
  assert_false(takes_at(&zone, DEPTH_EXCHANGES));
  assert_false(takes_at(&zone, DEPTH_ADDRESSES));
  zone_fini(&zone);
}

static void what_has_expired_is_left_to_route(void **state) {
  (void)state;
  struct zone zone;
  open_usual(&zone, 2);
  zone.facts->expires_at_ms = NOW_MS;
  zone.facts->stale_for_ms = 60000;
  assert_false(takes_at(&zone, DEPTH_EXCHANGES));
  zone.facts->expires_at_ms = NOW_MS + 1;
  assert_true(takes_at(&zone, DEPTH_EXCHANGES));
  zone_give_addresses(&zone, 1, 1, 1, NOW_MS);
  assert_false(takes_at(&zone, DEPTH_ADDRESSES));
  assert_true(takes_at(&zone, DEPTH_EXCHANGES));
  zone_fini(&zone);
}

static void facts_without_exchanges_are_left_to_route(void **state) {
  (void)state;
  static const enum domain_kind kinds[] = {DOMAIN_NULL_MX, DOMAIN_NXDOMAIN, DOMAIN_ALL_INVALID,
                                           DOMAIN_FAILED};
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    struct zone zone;
    zone_init(&zone, kinds[i], NOW_MS, LATER_MS);
    zone_build(&zone, "d.test");
    assert_false(takes_at(&zone, DEPTH_EXCHANGES));
    assert_false(takes_at(&zone, DEPTH_ADDRESSES));
    zone_fini(&zone);
  }
}

static void a_policy_that_looks_at_each_exchange_is_left_to_route(void **state) {
  (void)state;
  struct zone zone;
  open_usual(&zone, 2);
  union wishes_block self;
  wishes_init(&self.wishes);
  struct route_policy policy = {.judge.self = &self.wishes};
  assert_false(takes(&policy, &zone, 7, DEPTH_EXCHANGES, 1));
  policy = (struct route_policy){.judge.reject_mx_address = true};
  assert_false(takes(&policy, &zone, 7, DEPTH_EXCHANGES, 1));
  policy = (struct route_policy){.judge.families = FAMILIES_V4};
  assert_true(takes(&policy, &zone, 7, DEPTH_EXCHANGES, 1));
  assert_false(takes(&policy, &zone, 7, DEPTH_ADDRESSES, 1));
  zone_fini(&zone);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_it_takes_is_answered_octet_for_octet_as_by_route_and_reply),
      cmocka_unit_test(usual_facts_are_taken_at_both_depths),
      cmocka_unit_test(too_many_exchanges_are_left_to_route),
      cmocka_unit_test(what_has_expired_is_left_to_route),
      cmocka_unit_test(facts_without_exchanges_are_left_to_route),
      cmocka_unit_test(a_policy_that_looks_at_each_exchange_is_left_to_route),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
