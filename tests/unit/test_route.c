#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "made_facts.h"
#include "route.h"

enum { NOW_MS = 1000000, LATER_MS = NOW_MS + 600000 };

static const struct route_policy plain_policy;

/* A zone of MX facts that hold, stored a moment ago. */
static void open_zone(struct zone *zone) { zone_init(zone, DOMAIN_MX, NOW_MS - 1000, LATER_MS); }

static void build(const struct zone *zone, enum depth depth, struct random *random, struct route *route) {
  memset(route, 0x5a, sizeof(*route)); /* everything a caller reads must be written */
  route_build(zone->facts, depth, &plain_policy, NOW_MS, NOW_MS, random, route);
}

static struct route build_once(const struct zone *zone, enum depth depth) {
  struct random random = {.state = 1};
  struct route route;
  build(zone, depth, &random, &route);
  return route;
}

static struct route build_with(const struct zone *zone, const struct route_policy *policy, int64_t since_ms,
                               int64_t now_ms) {
  struct random random = {.state = 1};
  struct route route;
  route_build(zone->facts, DEPTH_ADDRESSES, policy, since_ms, now_ms, &random, &route);
  return route;
}

/* The place of an exchange in its set. */
static unsigned place_of(const struct zone *zone, const struct route_exchange *exchange) {
  return (unsigned)(exchange->exchange - zone->set->exchanges);
}

/* Exchange `at` of the set as the route shows it. */
static const struct route_exchange *shown(const struct zone *zone, const struct route *route, unsigned at) {
  for (unsigned i = 0; i < route->count; i++)
    if (place_of(zone, &route->exchanges[i]) == at)
      return &route->exchanges[i];
  fail();
  return NULL;
}

static double chi_square(const unsigned *seen, unsigned cells, unsigned draws) {
  double expected = (double)draws / cells, sum = 0;
  for (unsigned i = 0; i < cells; i++)
    sum += ((double)seen[i] - expected) * ((double)seen[i] - expected) / expected;
  return sum;
}

/* ---- the order of exchanges ---- */

static void exchanges_come_by_preference_as_an_unsigned_number(void **state) {
  (void)state;
  static const uint16_t wire[] = {65535, 32768, 0, 32767, 1};
  static const uint16_t sorted[] = {0, 1, 32767, 32768, 65535};
  struct zone zone;
  open_zone(&zone);
  for (size_t i = 0; i < 5; i++)
    zone_add_level(&zone, wire[i], 1);
  zone_build(&zone, "example.test");
  struct route route = build_once(&zone, DEPTH_EXCHANGES);
  assert_int_equal(route.count, 5);
  for (size_t i = 0; i < 5; i++)
    assert_int_equal(route.exchanges[i].exchange->preference, sorted[i]);
  zone_fini(&zone);
}

static void levels_are_never_mixed_and_nobody_is_lost(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 3);
  zone_add_level(&zone, 20, 1);
  zone_add_level(&zone, 30, 7);
  zone_add_level(&zone, 40, 2);
  zone_build(&zone, "example.test");
  struct random random = {.state = 7};
  for (int round = 0; round < 2000; round++) {
    struct route route;
    build(&zone, DEPTH_EXCHANGES, &random, &route);
    assert_int_equal(route.count, 13);
    assert_false(route.truncated);
    unsigned seen = 0;
    for (unsigned i = 0; i < route.count; i++) {
      seen |= 1u << place_of(&zone, &route.exchanges[i]);
      if (i > 0)
        assert_true(route.exchanges[i - 1].exchange->preference <= route.exchanges[i].exchange->preference);
    }
    assert_int_equal(seen, (1u << 13) - 1);
  }
  zone_fini(&zone);
}

static void each_exchange_of_a_level_is_at_each_place_equally_often(void **state) {
  (void)state;
  enum { DRAWS = 8000, MOST = 8 };
  /* 0.1 % of chi-square, by the degrees of freedom */
  static const double limit[MOST] = {0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32};
  for (unsigned count = 2; count <= MOST; count++) {
    struct zone zone;
    open_zone(&zone);
    zone_add_level(&zone, 5, 1); /* a level before and one behind must not matter */
    zone_add_level(&zone, 10, count);
    zone_add_level(&zone, 20, 2);
    zone_build(&zone, "example.test");
    struct random random = {.state = count};
    unsigned seen[MOST][MOST] = {{0}};
    for (int round = 0; round < DRAWS; round++) {
      struct route route;
      build(&zone, DEPTH_EXCHANGES, &random, &route);
      for (unsigned i = 0; i < count; i++)
        seen[i][place_of(&zone, &route.exchanges[1 + i]) - 1]++;
    }
    for (unsigned i = 0; i < count; i++)
      assert_true(chi_square(seen[i], count, DRAWS) < limit[count - 1]);
    zone_fini(&zone);
  }
}

static void every_order_of_a_level_comes_equally_often(void **state) {
  (void)state;
  enum { COUNT = 4, ORDERS = COUNT * COUNT * COUNT * COUNT, DRAWS = 24000 };
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, COUNT);
  zone_build(&zone, "example.test");
  struct random random = {.state = 99};
  unsigned seen[ORDERS] = {0}, orders[24], found = 0;
  for (int round = 0; round < DRAWS; round++) {
    struct route route;
    build(&zone, DEPTH_EXCHANGES, &random, &route);
    unsigned order = 0;
    for (unsigned i = 0; i < COUNT; i++)
      order = order * COUNT + place_of(&zone, &route.exchanges[i]);
    seen[order]++;
  }
  for (unsigned i = 0; i < ORDERS; i++)
    if (seen[i] > 0) {
      assert_true(found < 24);
      orders[found++] = seen[i];
    }
  assert_int_equal(found, 24);
  assert_true(chi_square(orders, 24, DRAWS) < 49.73); /* 23 degrees, 0.1 % */
  zone_fini(&zone);
}

static void the_same_random_source_gives_the_same_route(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 20);
  zone_build(&zone, "example.test");
  struct route a = build_once(&zone, DEPTH_EXCHANGES), b = build_once(&zone, DEPTH_EXCHANGES);
  for (unsigned i = 0; i < 20; i++)
    assert_ptr_equal(a.exchanges[i].exchange, b.exchanges[i].exchange);
  zone_fini(&zone);
}

static void of_100_equal_exchanges_32_are_answered_and_each_has_its_turn(void **state) {
  (void)state;
  enum { DRAWS = 5000 };
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, FACTS_EXCHANGES_MAX);
  zone_build(&zone, "example.test");
  struct random random = {.state = 3};
  unsigned seen[FACTS_EXCHANGES_MAX] = {0}, first[FACTS_EXCHANGES_MAX] = {0};
  for (int round = 0; round < DRAWS; round++) {
    struct route route;
    build(&zone, DEPTH_EXCHANGES, &random, &route);
    assert_int_equal(route.count, ROUTE_EXCHANGES_MAX);
    assert_true(route.truncated);
    bool here[FACTS_EXCHANGES_MAX] = {false};
    first[place_of(&zone, &route.exchanges[0])]++;
    for (unsigned i = 0; i < route.count; i++) {
      unsigned place = place_of(&zone, &route.exchanges[i]);
      assert_false(here[place]);
      here[place] = true;
      seen[place]++;
    }
  }
  assert_true(chi_square(first, FACTS_EXCHANGES_MAX, DRAWS) < 148.2); /* 99 degrees, 0.1 % */
  assert_true(chi_square(seen, FACTS_EXCHANGES_MAX, DRAWS * ROUTE_EXCHANGES_MAX) < 148.2);
  zone_fini(&zone);
}

static void a_cut_falls_within_the_last_level_after_its_shuffle(void **state) {
  (void)state;
  enum { BEST = 10, REST = 60, DRAWS = 3000 };
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 1, BEST);
  zone_add_level(&zone, 2, REST);
  zone_add_level(&zone, 3, 5);
  zone_build(&zone, "example.test");
  struct random random = {.state = 5};
  unsigned seen[BEST + REST] = {0};
  for (int round = 0; round < DRAWS; round++) {
    struct route route;
    build(&zone, DEPTH_EXCHANGES, &random, &route);
    assert_int_equal(route.count, ROUTE_EXCHANGES_MAX);
    assert_true(route.truncated);
    for (unsigned i = 0; i < route.count; i++) {
      unsigned place = place_of(&zone, &route.exchanges[i]);
      assert_true(place < BEST + REST);
      assert_int_equal(i < BEST, place < BEST);
      seen[place]++;
    }
  }
  for (unsigned i = 0; i < BEST; i++)
    assert_int_equal(seen[i], DRAWS);
  assert_true(chi_square(seen + BEST, REST, DRAWS * (ROUTE_EXCHANGES_MAX - BEST)) < 98.3); /* 59 degrees */
  zone_fini(&zone);
}

static void only_what_is_over_32_exchanges_is_truncated(void **state) {
  (void)state;
  for (unsigned count = 31; count <= 34; count++) {
    struct zone zone;
    open_zone(&zone);
    for (unsigned i = 0; i < count; i++)
      zone_add_level(&zone, i, 1);
    zone_build(&zone, "example.test");
    struct route route = build_once(&zone, DEPTH_EXCHANGES);
    assert_int_equal(route.truncated, count > 32);
    assert_int_equal(route.count, count > 32 ? 32 : count);
    for (unsigned i = 0; i < route.count; i++)
      assert_int_equal(route.exchanges[i].exchange->preference, i);
    zone_fini(&zone);
  }
}

/* ---- addresses ---- */

/* "6464": the families of the addresses in their order. */
static void print_families(const struct route_exchange *exchange, char families[ROUTE_ADDRESSES_MAX + 1]) {
  for (unsigned i = 0; i < exchange->address_count; i++)
    families[i] = exchange->addresses[i][1] == 16 ? '6' : '4';
  families[exchange->address_count] = '\0';
}

static void families_alternate_from_ipv6_on_up_to_8_addresses(void **state) {
  (void)state;
  static const struct {
    unsigned v6_count, v4_count;
    const char *families;
  } rows[] = {
      {1, 0, "6"},         {0, 1, "4"},         {1, 1, "64"},        {3, 3, "646464"},
      {1, 5, "644444"},    {5, 1, "646666"},    {2, 4, "646444"},    {4, 4, "64646464"},
      {5, 5, "64646464"},  {8, 0, "66666666"},  {0, 9, "44444444"},  {32, 32, "64646464"},
      {32, 1, "64666666"}, {1, 32, "64444444"}, {3, 32, "64646444"}, {32, 3, "64646466"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    open_zone(&zone);
    zone_add_level(&zone, 10, 1);
    zone_build(&zone, "example.test");
    zone_give_addresses(&zone, 0, rows[i].v6_count, rows[i].v4_count, LATER_MS);
    struct route route = build_once(&zone, DEPTH_ADDRESSES);
    char families[ROUTE_ADDRESSES_MAX + 1];
    print_families(&route.exchanges[0], families);
    assert_string_equal(families, rows[i].families);
    zone_fini(&zone);
  }
}

/* Draws many routes of one exchange with so many addresses. */
static void check_spread_of_addresses(unsigned v6_count, unsigned v4_count) {
  enum { COUNT = 32, DRAWS = 6400 };
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 1);
  zone_build(&zone, "example.test");
  zone_give_addresses(&zone, 0, v6_count, v4_count, LATER_MS);
  struct random random = {.state = 11};
  unsigned seen[ROUTE_ADDRESSES_MAX][COUNT] = {{0}};
  for (int round = 0; round < DRAWS; round++) {
    struct route route;
    build(&zone, DEPTH_ADDRESSES, &random, &route);
    uint64_t here = 0;
    assert_int_equal(route.exchanges[0].address_count, ROUTE_ADDRESSES_MAX);
    for (unsigned i = 0; i < ROUTE_ADDRESSES_MAX; i++) {
      const uint8_t *packed = route.exchanges[0].addresses[i];
      unsigned last = packed[1 + packed[1]] - 1u;
      uint64_t bit = UINT64_C(1) << (last + (packed[1] == 16 ? COUNT : 0));
      assert_true(last < COUNT);
      assert_false(here & bit); /* no address twice */
      here |= bit;
      seen[i][last]++;
    }
  }
  for (unsigned i = 0; i < ROUTE_ADDRESSES_MAX; i++)
    assert_true(chi_square(seen[i], COUNT, DRAWS) < 61.1); /* 31 degrees, 0.1 % */
  zone_fini(&zone);
}

static void each_address_of_a_family_is_at_each_place_equally_often(void **state) {
  (void)state;
  check_spread_of_addresses(32, 32);
  check_spread_of_addresses(32, 0);
  check_spread_of_addresses(0, 32);
}

static void an_exchange_with_8_addresses_is_first_as_often_as_one_with_1(void **state) {
  (void)state;
  enum { DRAWS = 10000 };
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 2);
  zone_build(&zone, "example.test");
  zone_give_addresses(&zone, 0, 0, 8, LATER_MS);
  zone_give_addresses(&zone, 1, 0, 1, LATER_MS);
  struct random random = {.state = 13};
  unsigned first = 0;
  for (int round = 0; round < DRAWS; round++) {
    struct route route;
    build(&zone, DEPTH_ADDRESSES, &random, &route);
    first += place_of(&zone, &route.exchanges[0]) == 0;
  }
  assert_in_range(first, DRAWS * 48 / 100, DRAWS * 52 / 100);
  zone_fini(&zone);
}

static void addresses_are_those_of_their_own_exchange(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 3);
  zone_build(&zone, "example.test");
  for (unsigned i = 0; i < 3; i++)
    zone_give_addresses(&zone, i, i + 1, 3 - i, LATER_MS);
  struct route route = build_once(&zone, DEPTH_ADDRESSES);
  for (unsigned i = 0; i < 3; i++) {
    const struct route_exchange *exchange = shown(&zone, &route, i);
    assert_ptr_equal(exchange->facts, atomic_load(&zone.hosts[i]->facts));
    assert_int_equal(exchange->address_count, 4);
    for (unsigned j = 0; j < 4; j++) {
      enum family family = exchange->addresses[j][1] == 16 ? FAMILY_V6 : FAMILY_V4;
      size_t each = family == FAMILY_V6 ? PACKED_V6_LENGTH : PACKED_V4_LENGTH;
      size_t offset = (size_t)(exchange->addresses[j] - host_facts_addresses(exchange->facts, family));
      assert_int_equal(offset % each, 0);
      assert_true(offset / each < exchange->facts->count[family]);
    }
  }
  zone_fini(&zone);
}

/* ---- statuses and verdicts ---- */

enum { STATE_COUNT = FAMILY_LOOP + 1 };

/* What a host is worth, by the states of its families. */
static const enum status status_of[STATE_COUNT][STATE_COUNT] = {
    /* columns: UNKNOWN, OK, NODATA, NXDOMAIN, TEMPFAIL, LOOP */
    [FAMILY_UNKNOWN] = {STATUS_TEMPFAIL, STATUS_OK, STATUS_TEMPFAIL, STATUS_TEMPFAIL, STATUS_TEMPFAIL,
                        STATUS_CNAME_LOOP},
    [FAMILY_OK] = {STATUS_OK, STATUS_OK, STATUS_OK, STATUS_OK, STATUS_OK, STATUS_OK},
    [FAMILY_NODATA] = {STATUS_TEMPFAIL, STATUS_OK, STATUS_NO_ADDRESS, STATUS_NXDOMAIN, STATUS_TEMPFAIL,
                       STATUS_CNAME_LOOP},
    [FAMILY_NXDOMAIN] = {STATUS_TEMPFAIL, STATUS_OK, STATUS_NXDOMAIN, STATUS_NXDOMAIN, STATUS_TEMPFAIL,
                         STATUS_CNAME_LOOP},
    [FAMILY_TEMPFAIL] = {STATUS_TEMPFAIL, STATUS_OK, STATUS_TEMPFAIL, STATUS_TEMPFAIL, STATUS_TEMPFAIL,
                         STATUS_CNAME_LOOP},
    [FAMILY_LOOP] = {STATUS_CNAME_LOOP, STATUS_OK, STATUS_CNAME_LOOP, STATUS_CNAME_LOOP, STATUS_CNAME_LOOP,
                     STATUS_CNAME_LOOP},
};

/* The one exchange of a zone with these two states. */
static void open_host(struct zone *zone, enum domain_kind kind, enum family_state v6, enum family_state v4) {
  zone_init(zone, kind, NOW_MS - 1000, LATER_MS);
  zone_add(zone, 0, "example.test");
  zone_build(zone, "example.test");
  zone_give(zone, 0, made_family(FAMILY_V6, v6, v6 == FAMILY_OK, LATER_MS, ""),
            made_family(FAMILY_V4, v4, v4 == FAMILY_OK, LATER_MS, ""));
}

static void the_status_of_an_exchange_follows_from_its_families(void **state) {
  (void)state;
  for (enum family_state v6 = 0; v6 <= FAMILY_LOOP; v6++)
    for (enum family_state v4 = 0; v4 <= FAMILY_LOOP; v4++) {
      struct zone zone;
      open_host(&zone, DOMAIN_MX, v6, v4);
      struct route route = build_once(&zone, DEPTH_ADDRESSES);
      assert_int_equal(route.exchanges[0].status, status_of[v6][v4]);
      assert_int_equal(route.exchanges[0].address_count, (v6 == FAMILY_OK) + (v4 == FAMILY_OK));
      zone_fini(&zone);
    }
}

static void the_verdict_on_one_exchange_follows_from_its_families(void **state) {
  (void)state;
  for (enum family_state v6 = 0; v6 <= FAMILY_LOOP; v6++)
    for (enum family_state v4 = 0; v4 <= FAMILY_LOOP; v4++) {
      struct zone zone;
      open_host(&zone, DOMAIN_MX, v6, v4);
      struct route route = build_once(&zone, DEPTH_ADDRESSES);
      enum status status = status_of[v6][v4];
      if (status == STATUS_OK)
        assert_int_equal(route.verdict, VERDICT_ROUTE);
      else if (status == STATUS_TEMPFAIL || status == STATUS_CNAME_LOOP)
        assert_int_equal(route.verdict, VERDICT_MX_HOSTS_TEMPFAIL);
      else
        assert_int_equal(route.verdict, VERDICT_MX_HOSTS_NO_ADDRESS);
      assert_false(route.implicit);
      assert_false(route.transient);
      zone_fini(&zone);
    }
}

static void an_implicit_exchange_without_addresses_is_no_mail_host(void **state) {
  (void)state;
  for (enum family_state v6 = 0; v6 <= FAMILY_LOOP; v6++)
    for (enum family_state v4 = 0; v4 <= FAMILY_LOOP; v4++) {
      struct zone zone;
      open_host(&zone, DOMAIN_NODATA, v6, v4);
      struct route route = build_once(&zone, DEPTH_ADDRESSES);
      enum status status = status_of[v6][v4];
      assert_true(route.implicit);
      assert_int_equal(route.count, 1);
      assert_int_equal(route.verdict, status == STATUS_OK ? VERDICT_ROUTE : VERDICT_NO_MAIL_HOST);
      /* Permanent only where both denials are definite (ROUTING V4). */
      assert_int_equal(route.transient, status == STATUS_TEMPFAIL || status == STATUS_CNAME_LOOP);
      zone_fini(&zone);
    }
}

static void the_verdict_on_two_exchanges_is_the_best_that_is_true(void **state) {
  (void)state;
  static const enum family_state states[] = {FAMILY_OK,       FAMILY_NODATA, FAMILY_NXDOMAIN,
                                             FAMILY_TEMPFAIL, FAMILY_LOOP,   FAMILY_UNKNOWN};
  for (size_t a = 0; a < 6; a++)
    for (size_t b = 0; b < 6; b++) {
      struct zone zone;
      open_zone(&zone);
      zone_add_level(&zone, 10, 1);
      zone_add_level(&zone, 20, 1);
      zone_build(&zone, "example.test");
      zone_give_state(&zone, 0, states[a], LATER_MS, "");
      zone_give_state(&zone, 1, states[b], LATER_MS, "");
      struct route route = build_once(&zone, DEPTH_ADDRESSES);
      if (a == 0 || b == 0)
        assert_int_equal(route.verdict, VERDICT_ROUTE);
      else if (a >= 3 || b >= 3)
        assert_int_equal(route.verdict, VERDICT_MX_HOSTS_TEMPFAIL);
      else
        assert_int_equal(route.verdict, VERDICT_MX_HOSTS_NO_ADDRESS);
      /* One bad exchange spoils nothing: each is listed with its own status (ROUTING V6). */
      assert_int_equal(route.count, 2);
      assert_int_equal(route.exchanges[0].status, status_of[states[a]][states[a]]);
      assert_int_equal(route.exchanges[1].status, status_of[states[b]][states[b]]);
      zone_fini(&zone);
    }
}

static void a_host_nobody_has_asked_for_is_a_soft_failure(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 1);
  zone_build(&zone, "example.test");
  struct route route = build_once(&zone, DEPTH_ADDRESSES);
  assert_int_equal(route.verdict, VERDICT_MX_HOSTS_TEMPFAIL);
  assert_int_equal(route.exchanges[0].status, STATUS_TEMPFAIL);
  assert_null(route.exchanges[0].facts);
  assert_int_equal(route.exchanges[0].ttl_s, 0);
  assert_int_equal(route.exchanges[0].address_count, 0);
  assert_int_equal(route.ttl_s, 0);
  assert_int_equal(route.mx_ttl_s, 600);
  zone_fini(&zone);
}

static void defer_no_address_makes_only_that_verdict_transient(void **state) {
  (void)state;
  static const struct route_policy defer = {.defer_no_address = true};
  static const struct {
    enum domain_kind kind;
    enum family_state state;
    enum verdict verdict;
    bool transient;
  } rows[] = {
      {DOMAIN_MX, FAMILY_NODATA, VERDICT_MX_HOSTS_NO_ADDRESS, true},
      {DOMAIN_MX, FAMILY_NXDOMAIN, VERDICT_MX_HOSTS_NO_ADDRESS, true},
      {DOMAIN_NODATA, FAMILY_NODATA, VERDICT_NO_MAIL_HOST, false},
      {DOMAIN_MX, FAMILY_OK, VERDICT_ROUTE, false},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    open_host(&zone, rows[i].kind, rows[i].state, rows[i].state);
    struct route route = build_with(&zone, &defer, NOW_MS, NOW_MS);
    assert_int_equal(route.verdict, rows[i].verdict);
    assert_int_equal(route.transient, rows[i].transient);
    zone_fini(&zone);
  }
}

/* ---- aliases ---- */

static void an_exchange_that_is_an_alias_is_used_with_a_warning(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 1);
  zone_build(&zone, "example.test");
  zone_give_state(&zone, 0, FAMILY_OK, LATER_MS, "real.test");
  struct route route = build_once(&zone, DEPTH_ADDRESSES);
  assert_int_equal(route.verdict, VERDICT_ROUTE);
  assert_int_equal(route.exchanges[0].status, STATUS_OK);
  assert_int_equal(route.warnings, WARNING_MX_IS_CNAME);
  zone_fini(&zone);
}

static void a_loop_of_aliases_is_warned_of_without_an_expanded_name(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 2);
  zone_build(&zone, "example.test");
  zone_give_state(&zone, 0, FAMILY_LOOP, LATER_MS, "");
  zone_give_state(&zone, 1, FAMILY_OK, LATER_MS, "");
  struct route route = build_once(&zone, DEPTH_ADDRESSES);
  assert_int_equal(route.verdict, VERDICT_ROUTE);
  assert_int_equal(route.warnings, WARNING_MX_IS_CNAME);
  assert_int_equal(shown(&zone, &route, 0)->status, STATUS_CNAME_LOOP);
  assert_int_equal(shown(&zone, &route, 0)->facts->expanded_length, 0);
  assert_int_equal(shown(&zone, &route, 1)->status, STATUS_OK);
  zone_fini(&zone);
}

static void reject_mx_cname_makes_an_alias_unusable(void **state) {
  (void)state;
  static const struct route_policy reject = {.reject_mx_cname = true};
  for (int with_other = 0; with_other < 2; with_other++) {
    struct zone zone;
    open_zone(&zone);
    zone_add_level(&zone, 10, 2);
    zone_build(&zone, "example.test");
    zone_give_state(&zone, 0, FAMILY_OK, LATER_MS, "real.test");
    zone_give_state(&zone, 1, with_other ? FAMILY_OK : FAMILY_NODATA, LATER_MS, "");
    struct route route = build_with(&zone, &reject, NOW_MS, NOW_MS);
    assert_int_equal(route.verdict, with_other ? VERDICT_ROUTE : VERDICT_MX_HOSTS_NO_ADDRESS);
    assert_int_equal(route.warnings, WARNING_MX_IS_CNAME);
    const struct route_exchange *alias = shown(&zone, &route, 0);
    assert_int_equal(alias->status, STATUS_CNAME_REJECTED);
    assert_int_equal(alias->address_count, 0);
    assert_int_equal(shown(&zone, &route, 1)->status, with_other ? STATUS_OK : STATUS_NO_ADDRESS);
    zone_fini(&zone);
  }
}

static void reject_mx_cname_rejects_a_loop_of_aliases_too(void **state) {
  (void)state;
  static const struct route_policy reject = {.reject_mx_cname = true};
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 1);
  zone_build(&zone, "example.test");
  zone_give_state(&zone, 0, FAMILY_LOOP, LATER_MS, "");
  struct route route = build_with(&zone, &reject, NOW_MS, NOW_MS);
  assert_int_equal(route.exchanges[0].status, STATUS_CNAME_REJECTED);
  assert_int_equal(route.verdict, VERDICT_MX_HOSTS_NO_ADDRESS);
  zone_fini(&zone);
}

static void an_implicit_exchange_may_be_an_alias(void **state) {
  (void)state;
  static const struct route_policy reject = {.reject_mx_cname = true};
  struct zone zone;
  zone_init(&zone, DOMAIN_NODATA, NOW_MS, LATER_MS);
  snprintf(zone.value.canonical, sizeof(zone.value.canonical), "real.test");
  zone_add(&zone, 0, "real.test");
  zone_build(&zone, "example.test");
  zone_give_state(&zone, 0, FAMILY_OK, LATER_MS, "more-real.test");
  struct route route = build_with(&zone, &reject, NOW_MS, NOW_MS);
  assert_int_equal(route.verdict, VERDICT_ROUTE);
  assert_true(route.implicit);
  assert_int_equal(route.warnings, 0);
  assert_int_equal(route.exchanges[0].status, STATUS_OK);
  zone_fini(&zone);
}

static void an_exchange_of_a_configured_route_may_be_an_alias(void **state) {
  (void)state;
  static const struct route_policy reject = {.reject_mx_cname = true};
  struct zone zone;
  zone_init(&zone, DOMAIN_ROUTE, NOW_MS, LATER_MS);
  zone_add(&zone, 10, "relay.test");
  zone_build(&zone, "example.test");
  zone_give_state(&zone, 0, FAMILY_OK, LATER_MS, "real.test");
  struct route route = build_with(&zone, &reject, NOW_MS, NOW_MS);
  assert_int_equal(route.verdict, VERDICT_ROUTE);
  assert_false(route.implicit);
  assert_int_equal(route.warnings, 0);
  assert_int_equal(route.exchanges[0].status, STATUS_OK);
  zone_fini(&zone);
}

static void an_alias_that_has_expired_is_forgotten_with_its_addresses(void **state) {
  (void)state;
  static const struct route_policy reject = {.reject_mx_cname = true};
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 1);
  zone_build(&zone, "example.test");
  zone_give_state(&zone, 0, FAMILY_OK, NOW_MS - 1, "real.test");
  struct route route = build_with(&zone, &reject, NOW_MS, NOW_MS);
  assert_int_equal(route.exchanges[0].status, STATUS_TEMPFAIL);
  assert_null(route.exchanges[0].facts);
  assert_int_equal(route.warnings, 0);
  assert_int_equal(route.verdict, VERDICT_MX_HOSTS_TEMPFAIL);
  zone_fini(&zone);
}

/* ---- lives ---- */

static void seconds_left_are_rounded_up(void **state) {
  (void)state;
  static const struct {
    int64_t left_ms;
    uint32_t ttl_s;
  } rows[] = {{-1, 0},   {0, 0},        {1, 1},        {999, 1},          {1000, 1},
              {1001, 2}, {299001, 300}, {300000, 300}, {86400000, 86400}, {INT64_MAX - NOW_MS, UINT32_MAX}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    zone_init(&zone, DOMAIN_NXDOMAIN, NOW_MS, NOW_MS + rows[i].left_ms);
    zone_build(&zone, "example.test");
    struct route route = build_once(&zone, DEPTH_EXCHANGES);
    assert_int_equal(route.ttl_s, rows[i].ttl_s);
    assert_int_equal(route.mx_ttl_s, rows[i].ttl_s);
    zone_fini(&zone);
  }
}

static struct family_value family_until(enum family family, enum family_state state, unsigned left_s) {
  return made_family(family, state, state == FAMILY_OK, NOW_MS + (int64_t)left_s * 1000, "");
}

static void an_answer_lives_as_long_as_the_least_in_it(void **state) {
  (void)state;
  static const struct {
    enum family_state v6, v4;
    unsigned v6_left_s, v4_left_s, mx_left_s;
    uint32_t exchange_ttl_s, ttl_s;
  } rows[] = {
      {FAMILY_OK, FAMILY_OK, 100, 200, 300, 100, 100},
      {FAMILY_OK, FAMILY_OK, 200, 100, 300, 100, 100},
      {FAMILY_OK, FAMILY_OK, 400, 500, 300, 400, 300},
      /* Of a usable exchange only the addresses are in the answer. */
      {FAMILY_OK, FAMILY_NODATA, 200, 10, 300, 200, 200},
      {FAMILY_NXDOMAIN, FAMILY_OK, 10, 200, 300, 200, 200},
      {FAMILY_TEMPFAIL, FAMILY_OK, 5, 200, 300, 200, 200},
      {FAMILY_LOOP, FAMILY_OK, 5, 200, 300, 200, 200},
      /* A denial lives as long as both. */
      {FAMILY_NODATA, FAMILY_NODATA, 50, 60, 300, 50, 50},
      {FAMILY_NODATA, FAMILY_NODATA, 60, 50, 300, 50, 50},
      {FAMILY_NXDOMAIN, FAMILY_NXDOMAIN, 400, 500, 300, 400, 300},
      /* A soft failure alone is what the answer is about. */
      {FAMILY_TEMPFAIL, FAMILY_TEMPFAIL, 5, 5, 300, 5, 5},
      {FAMILY_TEMPFAIL, FAMILY_NODATA, 5, 900, 300, 5, 5},
      {FAMILY_LOOP, FAMILY_LOOP, 5, 4, 300, 4, 4},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    zone_init(&zone, DOMAIN_MX, NOW_MS, NOW_MS + (int64_t)rows[i].mx_left_s * 1000);
    zone_add_level(&zone, 10, 1);
    zone_build(&zone, "example.test");
    zone_give(&zone, 0, family_until(FAMILY_V6, rows[i].v6, rows[i].v6_left_s),
              family_until(FAMILY_V4, rows[i].v4, rows[i].v4_left_s));
    struct route route = build_once(&zone, DEPTH_ADDRESSES);
    assert_int_equal(route.exchanges[0].ttl_s, rows[i].exchange_ttl_s);
    assert_int_equal(route.ttl_s, rows[i].ttl_s);
    assert_int_equal(route.mx_ttl_s, rows[i].mx_left_s);
    zone_fini(&zone);
  }
}

static void a_soft_failure_does_not_shorten_a_route_but_a_denial_does(void **state) {
  (void)state;
  static const struct {
    enum family_state state;
    uint32_t ttl_s;
  } rows[] = {{FAMILY_TEMPFAIL, 200}, {FAMILY_LOOP, 200}, {FAMILY_NODATA, 5}, {FAMILY_NXDOMAIN, 5}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    zone_init(&zone, DOMAIN_MX, NOW_MS, NOW_MS + 300000);
    zone_add_level(&zone, 10, 1);
    zone_add_level(&zone, 20, 1);
    zone_build(&zone, "example.test");
    zone_give_state(&zone, 0, rows[i].state, NOW_MS + 5000, "");
    zone_give_state(&zone, 1, FAMILY_OK, NOW_MS + 200000, "");
    struct route route = build_once(&zone, DEPTH_ADDRESSES);
    assert_int_equal(route.verdict, VERDICT_ROUTE);
    assert_int_equal(route.ttl_s, rows[i].ttl_s);
    assert_int_equal(route.exchanges[0].ttl_s, 5);
    assert_int_equal(route.exchanges[1].ttl_s, 200);
    zone_fini(&zone);
  }
}

static void host_facts_count_if_they_held_when_the_question_was_asked(void **state) {
  (void)state;
  enum { SINCE_MS = NOW_MS - 500 };
  static const struct {
    int64_t v6_expires_ms, v4_expires_ms;
    const char *families;
    uint32_t ttl_s;
  } rows[] = {
      {NOW_MS + 1000, NOW_MS + 1000, "64", 1},
      {NOW_MS, NOW_MS, "64", 0},
      {SINCE_MS + 1, NOW_MS + 1000, "64", 0},
      {SINCE_MS, NOW_MS + 1000, "64", 0}, /* a TTL of 0 that came in the moment of asking */
      {SINCE_MS - 1, NOW_MS + 1000, "4", 1},
      {NOW_MS + 1000, SINCE_MS - 1, "6", 1},
      {SINCE_MS - 1, SINCE_MS - 1, "", 0},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    open_zone(&zone);
    zone_add_level(&zone, 10, 1);
    zone_build(&zone, "example.test");
    zone_give(&zone, 0, made_family(FAMILY_V6, FAMILY_OK, 1, rows[i].v6_expires_ms, ""),
              made_family(FAMILY_V4, FAMILY_OK, 1, rows[i].v4_expires_ms, ""));
    struct route route = build_with(&zone, &plain_policy, SINCE_MS, NOW_MS);
    char families[ROUTE_ADDRESSES_MAX + 1];
    print_families(&route.exchanges[0], families);
    assert_string_equal(families, rows[i].families);
    assert_int_equal(route.exchanges[0].status, families[0] ? STATUS_OK : STATUS_TEMPFAIL);
    assert_int_equal(route.exchanges[0].ttl_s, rows[i].ttl_s);
    zone_fini(&zone);
  }
}

static void a_denial_that_has_expired_is_no_denial(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_NODATA, NOW_MS, LATER_MS);
  zone_add(&zone, 0, "example.test");
  zone_build(&zone, "example.test");
  zone_give(&zone, 0, made_family(FAMILY_V6, FAMILY_NODATA, 0, LATER_MS, ""),
            made_family(FAMILY_V4, FAMILY_NODATA, 0, NOW_MS - 1, ""));
  struct route route = build_with(&zone, &plain_policy, NOW_MS, NOW_MS);
  assert_int_equal(route.verdict, VERDICT_NO_MAIL_HOST);
  assert_true(route.transient);
  zone_fini(&zone);
}

static void the_domain_facts_count_although_they_have_expired(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_MX, NOW_MS - 5000, NOW_MS - 5000);
  zone_add_level(&zone, 10, 1);
  zone_build(&zone, "example.test");
  zone_give_addresses(&zone, 0, 1, 1, LATER_MS);
  struct route route = build_once(&zone, DEPTH_ADDRESSES);
  assert_int_equal(route.verdict, VERDICT_ROUTE);
  assert_int_equal(route.ttl_s, 0);
  assert_int_equal(route.mx_ttl_s, 0);
  zone_fini(&zone);
}

static void age_is_whole_seconds_since_the_dns_said_so(void **state) {
  (void)state;
  static const int64_t ages_ms[] = {0, 999, 1000, 1999, 86400000};
  for (size_t i = 0; i < 5; i++) {
    struct zone zone;
    zone_init(&zone, DOMAIN_NXDOMAIN, NOW_MS - ages_ms[i], LATER_MS);
    zone_build(&zone, "example.test");
    assert_int_equal(build_once(&zone, DEPTH_EXCHANGES).age_s, ages_ms[i] / 1000);
    zone_fini(&zone);
  }
}

/* ---- kinds of facts, depth ---- */

static void every_kind_of_facts_has_its_verdict(void **state) {
  (void)state;
  static const struct {
    enum domain_kind kind;
    enum verdict cause, verdict;
  } rows[] = {
      {DOMAIN_MX, 0, VERDICT_ROUTE},
      {DOMAIN_NODATA, 0, VERDICT_ROUTE},
      {DOMAIN_NULL_MX, 0, VERDICT_NULL_MX},
      {DOMAIN_NXDOMAIN, 0, VERDICT_NO_SUCH_DOMAIN},
      {DOMAIN_ALL_INVALID, 0, VERDICT_MX_ALL_INVALID},
      {DOMAIN_FAILED, VERDICT_DNS_SERVFAIL, VERDICT_DNS_SERVFAIL},
      {DOMAIN_FAILED, VERDICT_DNS_REFUSED, VERDICT_DNS_REFUSED},
      {DOMAIN_FAILED, VERDICT_DNS_TIMEOUT, VERDICT_DNS_TIMEOUT},
      {DOMAIN_FAILED, VERDICT_DNS_NETWORK, VERDICT_DNS_NETWORK},
      {DOMAIN_FAILED, VERDICT_DNS_MALFORMED, VERDICT_DNS_MALFORMED},
      {DOMAIN_FAILED, VERDICT_CNAME_LOOP, VERDICT_CNAME_LOOP},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++) {
      struct zone zone;
      bool has_set = rows[i].kind == DOMAIN_MX || rows[i].kind == DOMAIN_NODATA;
      zone_init(&zone, rows[i].kind, NOW_MS, LATER_MS);
      zone.value.cause = (uint8_t)rows[i].cause;
      if (has_set)
        zone_add(&zone, 0, "example.test");
      zone_build(&zone, "example.test");
      if (has_set)
        zone_give_addresses(&zone, 0, 1, 1, LATER_MS);
      struct route route = build_once(&zone, depth);
      assert_int_equal(route.verdict, rows[i].verdict);
      assert_int_equal(route.implicit, rows[i].kind == DOMAIN_NODATA);
      assert_int_equal(route.count, has_set);
      assert_int_equal(route.depth, depth);
      assert_false(route.transient);
      assert_false(route.truncated);
      assert_ptr_equal(route.facts, zone.facts);
      zone_fini(&zone);
    }
}

static void depth_exchanges_looks_at_no_host(void **state) {
  (void)state;
  static const enum domain_kind kinds[] = {DOMAIN_MX, DOMAIN_NODATA};
  for (size_t i = 0; i < 2; i++) {
    struct zone zone;
    zone_init(&zone, kinds[i], NOW_MS, LATER_MS);
    zone_add(&zone, 0, "example.test");
    zone_build(&zone, "example.test");
    zone_give_state(&zone, 0, FAMILY_TEMPFAIL, NOW_MS + 5000, "real.test");
    struct route route = build_once(&zone, DEPTH_EXCHANGES);
    assert_int_equal(route.verdict, VERDICT_ROUTE);
    assert_int_equal(route.ttl_s, 600);
    assert_int_equal(route.warnings, 0);
    assert_int_equal(route.exchanges[0].status, STATUS_NOT_RESOLVED);
    assert_int_equal(route.exchanges[0].address_count, 0);
    zone_fini(&zone);
  }
}

static void warnings_of_the_facts_are_passed_on(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 1);
  zone.value.warnings = WARNING_TOO_MANY_MX | WARNING_NULL_MX_MIXED;
  zone_build(&zone, "example.test");
  zone_give_state(&zone, 0, FAMILY_OK, LATER_MS, "real.test");
  assert_int_equal(build_once(&zone, DEPTH_EXCHANGES).warnings, WARNING_TOO_MANY_MX | WARNING_NULL_MX_MIXED);
  assert_int_equal(build_once(&zone, DEPTH_ADDRESSES).warnings,
                   WARNING_TOO_MANY_MX | WARNING_NULL_MX_MIXED | WARNING_MX_IS_CNAME);
  zone_fini(&zone);
}

/* ---- freshness ---- */

static void facts_without_exchanges_are_fresh_until_they_expire(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_NXDOMAIN, NOW_MS, LATER_MS);
  zone_build(&zone, "example.test");
  for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++) {
    assert_true(route_is_fresh(zone.facts, depth, NOW_MS));
    assert_true(route_is_fresh(zone.facts, depth, LATER_MS - 1));
    assert_false(route_is_fresh(zone.facts, depth, LATER_MS));
  }
  zone_fini(&zone);
}

static void addresses_of_every_exchange_must_be_fresh_where_they_are_wanted(void **state) {
  (void)state;
  static const struct {
    int64_t v6_expires_ms, v4_expires_ms;
    bool is_fresh;
  } rows[] = {
      {NOW_MS + 1, NOW_MS + 1, true}, {NOW_MS, NOW_MS + 1, false},     {NOW_MS + 1, NOW_MS, false},
      {NOW_MS, NOW_MS, false},        {NOW_MS - 1, NOW_MS + 1, false}, {INT64_MAX, INT64_MAX, true},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    for (unsigned at = 0; at < 3; at++) {
      struct zone zone;
      open_zone(&zone);
      zone_add_level(&zone, 10, 3);
      zone_build(&zone, "example.test");
      for (unsigned j = 0; j < 3; j++)
        zone_give_addresses(&zone, j, 1, 1, LATER_MS);
      zone_give(&zone, at, made_family(FAMILY_V6, FAMILY_NODATA, 0, rows[i].v6_expires_ms, ""),
                made_family(FAMILY_V4, FAMILY_TEMPFAIL, 0, rows[i].v4_expires_ms, ""));
      assert_int_equal(route_is_fresh(zone.facts, DEPTH_ADDRESSES, NOW_MS), rows[i].is_fresh);
      assert_true(route_is_fresh(zone.facts, DEPTH_EXCHANGES, NOW_MS));
      zone_fini(&zone);
    }
}

static void a_host_nobody_has_asked_for_is_not_fresh(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 2);
  zone_build(&zone, "example.test");
  zone_give_addresses(&zone, 0, 1, 1, LATER_MS);
  assert_false(route_is_fresh(zone.facts, DEPTH_ADDRESSES, NOW_MS));
  assert_true(route_is_fresh(zone.facts, DEPTH_EXCHANGES, NOW_MS));
  zone_fini(&zone);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exchanges_come_by_preference_as_an_unsigned_number),
      cmocka_unit_test(levels_are_never_mixed_and_nobody_is_lost),
      cmocka_unit_test(each_exchange_of_a_level_is_at_each_place_equally_often),
      cmocka_unit_test(every_order_of_a_level_comes_equally_often),
      cmocka_unit_test(the_same_random_source_gives_the_same_route),
      cmocka_unit_test(of_100_equal_exchanges_32_are_answered_and_each_has_its_turn),
      cmocka_unit_test(a_cut_falls_within_the_last_level_after_its_shuffle),
      cmocka_unit_test(only_what_is_over_32_exchanges_is_truncated),
      cmocka_unit_test(families_alternate_from_ipv6_on_up_to_8_addresses),
      cmocka_unit_test(each_address_of_a_family_is_at_each_place_equally_often),
      cmocka_unit_test(an_exchange_with_8_addresses_is_first_as_often_as_one_with_1),
      cmocka_unit_test(addresses_are_those_of_their_own_exchange),
      cmocka_unit_test(the_status_of_an_exchange_follows_from_its_families),
      cmocka_unit_test(the_verdict_on_one_exchange_follows_from_its_families),
      cmocka_unit_test(an_implicit_exchange_without_addresses_is_no_mail_host),
      cmocka_unit_test(the_verdict_on_two_exchanges_is_the_best_that_is_true),
      cmocka_unit_test(a_host_nobody_has_asked_for_is_a_soft_failure),
      cmocka_unit_test(defer_no_address_makes_only_that_verdict_transient),
      cmocka_unit_test(an_exchange_that_is_an_alias_is_used_with_a_warning),
      cmocka_unit_test(a_loop_of_aliases_is_warned_of_without_an_expanded_name),
      cmocka_unit_test(reject_mx_cname_makes_an_alias_unusable),
      cmocka_unit_test(reject_mx_cname_rejects_a_loop_of_aliases_too),
      cmocka_unit_test(an_implicit_exchange_may_be_an_alias),
      cmocka_unit_test(an_exchange_of_a_configured_route_may_be_an_alias),
      cmocka_unit_test(an_alias_that_has_expired_is_forgotten_with_its_addresses),
      cmocka_unit_test(seconds_left_are_rounded_up),
      cmocka_unit_test(an_answer_lives_as_long_as_the_least_in_it),
      cmocka_unit_test(a_soft_failure_does_not_shorten_a_route_but_a_denial_does),
      cmocka_unit_test(host_facts_count_if_they_held_when_the_question_was_asked),
      cmocka_unit_test(a_denial_that_has_expired_is_no_denial),
      cmocka_unit_test(the_domain_facts_count_although_they_have_expired),
      cmocka_unit_test(age_is_whole_seconds_since_the_dns_said_so),
      cmocka_unit_test(every_kind_of_facts_has_its_verdict),
      cmocka_unit_test(depth_exchanges_looks_at_no_host),
      cmocka_unit_test(warnings_of_the_facts_are_passed_on),
      cmocka_unit_test(facts_without_exchanges_are_fresh_until_they_expire),
      cmocka_unit_test(addresses_of_every_exchange_must_be_fresh_where_they_are_wanted),
      cmocka_unit_test(a_host_nobody_has_asked_for_is_not_fresh),
  };
  return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
