#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "made_facts.h"
#include "rules/route.h"

enum { NOW_MS = 1000000, LATER_MS = NOW_MS + 600000 };

static const struct route_policy plain_policy;

/* A zone of MX facts that hold, stored a moment ago. */
static void open_zone(struct zone *zone) { zone_init(zone, DOMAIN_MX, NOW_MS - 1000, LATER_MS); }

static void build(const struct zone *zone, enum depth depth, struct random *random, struct route *route) {
  memset(route, 0x5a, sizeof(*route)); /* everything a caller reads must be written */
  route_build(zone->facts, &(struct route_request){.depth = depth}, &plain_policy, NOW_MS, NOW_MS, random,
              route);
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
  route_build(zone->facts, &(struct route_request){.depth = DEPTH_ADDRESSES}, policy, since_ms, now_ms,
              &random, &route);
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
  static const struct route_policy reject = {.judge.reject_mx_cname = true};
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
  static const struct route_policy reject = {.judge.reject_mx_cname = true};
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
  static const struct route_policy reject = {.judge.reject_mx_cname = true};
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
  static const struct route_policy reject = {.judge.reject_mx_cname = true};
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
  static const struct route_policy reject = {.judge.reject_mx_cname = true};
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
  struct family_value expired = made_family(FAMILY_V4, FAMILY_NODATA, 0, NOW_MS - 1, "");
  for (int is_stale = 0; is_stale < 2; is_stale++) {
    expired.stale_until_ms = is_stale ? LATER_MS : 0;
    zone_give(&zone, 0, made_family(FAMILY_V6, FAMILY_NODATA, 0, LATER_MS, ""), expired);
    struct route route = build_with(&zone, &plain_policy, NOW_MS, NOW_MS);
    assert_int_equal(route.verdict, VERDICT_NO_MAIL_HOST);
    assert_true(route.transient);
  }
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

/* ---- what the caller wishes ---- */

/* One caller with room for wishes. */
struct caller {
  union wishes_block block;
  struct route_policy policy;
  struct random random;
  char detail[WISHES_DETAIL_SIZE];
};

static void caller_init(struct caller *caller) {
  memset(caller, 0, sizeof(*caller));
  wishes_init(&caller->block.wishes);
  caller->random.state = 1;
}

static void wish(struct caller *caller, enum wish what, const char *text) {
  assert_true(wishes_add_text(&caller->block.wishes, what, "field", (const uint8_t *)text, strlen(text),
                              caller->detail));
}

static struct route build_for(const struct zone *zone, struct caller *caller, enum depth depth) {
  const struct route_request request = {.depth = depth, .wishes = &caller->block.wishes};
  struct route route;
  memset(&route, 0x5a, sizeof(route));
  route_build(zone->facts, &request, &caller->policy, NOW_MS, NOW_MS, &caller->random, &route);
  return route;
}

/* "10 a.test" for each, as MX facts that hold. */
struct mx {
  unsigned preference;
  const char *host;
};

static void open_mx(struct zone *zone, const struct mx list[], size_t count) {
  open_zone(zone);
  for (size_t i = 0; i < count; i++)
    zone_add(zone, list[i].preference, list[i].host);
  zone_build(zone, "d.test");
}

/* "a.test b.test": the hosts of a route in their order. */
static void assert_hosts(const struct route *route, const char *expected) {
  char hosts[1024] = "";
  size_t length = 0;
  for (unsigned i = 0; i < route->count; i++)
    length += (size_t)snprintf(hosts + length, sizeof(hosts) - length, "%s%s", i ? " " : "",
                               route->exchanges[i].exchange->host->name);
  assert_string_equal(hosts, expected);
}

static const struct mx backup[] = {{10, "a.test"}, {20, "b.test"}, {20, "self.test"}, {30, "c.test"}};

static void the_callers_level_and_all_worse_are_left_out(void **state) {
  (void)state;
  static const struct {
    const char *self, *hosts;
  } rows[] = {{"self.test", "a.test"},
              {"b.test", "a.test"},
              {"c.test", "a.test b.test self.test"},
              {"x.test", "a.test b.test self.test c.test"}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    struct caller caller;
    open_mx(&zone, backup, 4);
    caller_init(&caller);
    caller.block.wishes.order = ORDER_STABLE;
    wish(&caller, WISH_SELF, rows[i].self);
    struct route route = build_for(&zone, &caller, DEPTH_EXCHANGES);
    assert_int_equal(route.verdict, VERDICT_ROUTE);
    assert_false(route.truncated);
    assert_hosts(&route, rows[i].hosts);
    zone_fini(&zone);
  }
}

static void a_caller_who_is_the_best_exchange_would_loop(void **state) {
  (void)state;
  static const char *const selves[] = {"a.test", "192.0.2.1"};
  for (size_t i = 0; i < 2; i++) {
    struct zone zone;
    struct caller caller;
    open_mx(&zone, backup, 4);
    for (unsigned j = 0; j < 4; j++)
      zone_give_addresses(&zone, j, 0, j == 0, LATER_MS);
    caller_init(&caller);
    wish(&caller, WISH_SELF, selves[i]);
    struct route route = build_for(&zone, &caller, DEPTH_ADDRESSES);
    assert_int_equal(route.verdict, VERDICT_LOOP_SELF_BEST);
    assert_int_equal(route.count, 0);
    zone_fini(&zone);
  }
}

static void self_is_seen_behind_every_limit(void **state) {
  (void)state;
  struct zone zone;
  struct caller caller;
  open_zone(&zone);
  zone_add_level(&zone, 10, 1);
  zone_add_level(&zone, 20, 80);
  zone_add(&zone, 20, "zz.test"); /* the last of a level that is cut */
  zone_build(&zone, "d.test");
  caller_init(&caller);
  caller.block.wishes.max_exchanges = 1;
  wish(&caller, WISH_SELF, "zz.test");
  struct route route = build_for(&zone, &caller, DEPTH_EXCHANGES);
  assert_hosts(&route, "h00.test");
  zone_fini(&zone);
}

/* Of what is better than the caller. */
static void better_exchanges_that_do_not_resolve_are_a_transient_failure(void **state) {
  (void)state;
  static const struct {
    enum family_state first, second;
    enum verdict verdict;
  } rows[] = {
      {FAMILY_NXDOMAIN, FAMILY_NXDOMAIN, VERDICT_PRIMARY_UNRESOLVED},
      {FAMILY_NODATA, FAMILY_NXDOMAIN, VERDICT_PRIMARY_UNRESOLVED},
      {FAMILY_TEMPFAIL, FAMILY_NXDOMAIN, VERDICT_PRIMARY_UNRESOLVED},
      {FAMILY_LOOP, FAMILY_LOOP, VERDICT_PRIMARY_UNRESOLVED},
      {FAMILY_UNKNOWN, FAMILY_UNKNOWN, VERDICT_PRIMARY_UNRESOLVED},
      {FAMILY_NXDOMAIN, FAMILY_OK, VERDICT_ROUTE},
  };
  static const struct mx list[] = {{10, "a.test"}, {10, "b.test"}, {20, "self.test"}, {30, "c.test"}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    struct caller caller;
    open_mx(&zone, list, 4);
    zone_give_state(&zone, 0, rows[i].first, LATER_MS, "");
    zone_give_state(&zone, 1, rows[i].second, LATER_MS, "");
    zone_give_state(&zone, 3, FAMILY_OK, LATER_MS, "");
    caller_init(&caller);
    caller.policy.defer_no_address = true;
    wish(&caller, WISH_SELF, "self.test");
    struct route route = build_for(&zone, &caller, DEPTH_ADDRESSES);
    assert_int_equal(route.verdict, rows[i].verdict);
    assert_int_equal(route.count, 2);
    zone_fini(&zone);
  }
}

static void an_implicit_exchange_that_is_the_caller_would_loop(void **state) {
  (void)state;
  struct zone zone;
  struct caller caller;
  zone_init(&zone, DOMAIN_NODATA, NOW_MS, LATER_MS);
  zone_add(&zone, 0, "d.test");
  zone_build(&zone, "d.test");
  caller_init(&caller);
  wish(&caller, WISH_SELF, "d.test");
  assert_int_equal(build_for(&zone, &caller, DEPTH_EXCHANGES).verdict, VERDICT_LOOP_SELF_BEST);
  zone_fini(&zone);
}

static void excluded_exchanges_give_their_place_to_others(void **state) {
  (void)state;
  struct zone zone;
  struct caller caller;
  open_mx(&zone, backup, 4);
  caller_init(&caller);
  wish(&caller, WISH_EXCLUDE, "a.test");
  wish(&caller, WISH_EXCLUDE, "b.test");
  struct route route = build_for(&zone, &caller, DEPTH_EXCHANGES);
  assert_hosts(&route, "self.test c.test");
  caller.block.wishes.primary_only = true; /* the best of what is left */
  route = build_for(&zone, &caller, DEPTH_EXCHANGES);
  assert_hosts(&route, "self.test");
  zone_fini(&zone);
}

static void where_everything_is_excluded_there_may_be_a_route_later(void **state) {
  (void)state;
  static const struct mx list[] = {{10, "a.test"}, {20, "gone.test"}};
  static const char *const excluded[] = {"a.test", "192.0.2.1"};
  for (size_t i = 0; i < 2; i++) {
    struct zone zone;
    struct caller caller;
    open_mx(&zone, list, 2);
    zone_give_addresses(&zone, 0, 0, 1, LATER_MS);
    zone_give_state(&zone, 1, FAMILY_NXDOMAIN, LATER_MS, "");
    caller_init(&caller);
    wish(&caller, WISH_EXCLUDE, excluded[i]);
    struct route route = build_for(&zone, &caller, DEPTH_ADDRESSES);
    assert_int_equal(route.verdict, VERDICT_NO_ROUTABLE_ADDRESS);
    assert_true(route.transient);
    assert_memory_equal(route.detail, "excluded: ", 10);
    if (i == 0) {
      wish(&caller, WISH_EXCLUDE, "gone.test");
      route = build_for(&zone, &caller, DEPTH_EXCHANGES);
      assert_int_equal(route.verdict, VERDICT_NO_ROUTABLE_ADDRESS);
      assert_true(route.transient);
      assert_int_equal(route.count, 0);
    }
    zone_fini(&zone);
  }
}

static void primary_only_stops_at_the_best_level(void **state) {
  (void)state;
  static const struct mx list[] = {{10, "a.test"}, {10, "b.test"}, {20, "c.test"}};
  struct zone zone;
  struct caller caller;
  open_mx(&zone, list, 3);
  zone_give_state(&zone, 0, FAMILY_NXDOMAIN, LATER_MS, "");
  zone_give_state(&zone, 1, FAMILY_OK, LATER_MS, "");
  zone_give_state(&zone, 2, FAMILY_OK, LATER_MS, "");
  caller_init(&caller);
  caller.block.wishes.primary_only = true;
  caller.block.wishes.order = ORDER_STABLE;
  struct route route = build_for(&zone, &caller, DEPTH_ADDRESSES);
  assert_int_equal(route.verdict, VERDICT_ROUTE);
  assert_false(route.truncated);
  assert_hosts(&route, "a.test b.test");
  zone_give_state(&zone, 1, FAMILY_NXDOMAIN, LATER_MS, "");
  route = build_for(&zone, &caller, DEPTH_ADDRESSES);
  assert_int_equal(route.verdict, VERDICT_NO_ROUTABLE_ADDRESS);
  assert_true(route.transient); /* the backup takes mail */
  assert_memory_equal(route.detail, "primary_only: ", 14);
  zone_fini(&zone);
}

static void max_exchanges_is_no_truncation(void **state) {
  (void)state;
  static const struct {
    uint8_t max;
    unsigned count;
    bool truncated;
  } rows[] = {{0, 32, true},   {1, 1, false},  {31, 31, false},
              {32, 32, false}, {33, 32, true}, {255, 32, true}};
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 40);
  zone_build(&zone, "d.test");
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct caller caller;
    caller_init(&caller);
    caller.block.wishes.max_exchanges = rows[i].max;
    struct route route = build_for(&zone, &caller, DEPTH_EXCHANGES);
    assert_int_equal(route.count, rows[i].count);
    assert_int_equal(route.truncated, rows[i].truncated);
  }
  zone_fini(&zone);
}

static void unusable_exchanges_give_way_to_usable_ones(void **state) {
  (void)state;
  struct zone zone;
  struct caller caller;
  open_zone(&zone);
  for (unsigned i = 0; i < 40; i++)
    zone_add_level(&zone, i, 1);
  zone_build(&zone, "d.test");
  for (unsigned i = 0; i < 40; i++)
    zone_give_state(&zone, i, i == 5 || i >= 35 ? FAMILY_OK : FAMILY_NXDOMAIN, LATER_MS, "");
  caller_init(&caller);
  struct route route = build_for(&zone, &caller, DEPTH_ADDRESSES);
  assert_int_equal(route.verdict, VERDICT_ROUTE);
  assert_true(route.truncated);
  assert_int_equal(route.count, 32);
  for (unsigned i = 0; i < 32; i++) /* the 26 best of those that are gone, and 6 good ones */
    assert_int_equal(route.exchanges[i].exchange->preference, i < 27 ? i : i + 8);
  caller.block.wishes.max_exchanges = 2;
  route = build_for(&zone, &caller, DEPTH_ADDRESSES);
  assert_hosts(&route, "h05.test h35.test");
  zone_fini(&zone);
}

static void the_verdict_does_not_depend_on_what_is_listed(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  for (unsigned i = 0; i < 40; i++)
    zone_add_level(&zone, i, 1);
  zone_build(&zone, "d.test");
  for (unsigned i = 0; i < 40; i++)
    zone_give_state(&zone, i, i == 39 ? FAMILY_TEMPFAIL : FAMILY_NXDOMAIN, LATER_MS, "");
  assert_int_equal(build_once(&zone, DEPTH_ADDRESSES).verdict, VERDICT_MX_HOSTS_TEMPFAIL);
  zone_fini(&zone);
}

static void a_family_that_nobody_has_is_transient(void **state) {
  (void)state;
  struct zone zone;
  struct caller caller;
  static const struct mx list[] = {{10, "a.test"}, {20, "gone.test"}};
  open_mx(&zone, list, 2);
  zone_give_addresses(&zone, 0, 1, 0, LATER_MS);
  zone_give_state(&zone, 1, FAMILY_NXDOMAIN, LATER_MS, "");
  caller_init(&caller);
  caller.block.wishes.families = FAMILIES_V4;
  struct route route = build_for(&zone, &caller, DEPTH_ADDRESSES);
  assert_int_equal(route.verdict, VERDICT_NO_ROUTABLE_ADDRESS);
  assert_true(route.transient);
  assert_memory_equal(route.detail, "family_filtered: ", 17);
  assert_int_equal(route.exchanges[0].status, STATUS_FILTERED);
  assert_int_equal(route.exchanges[1].status, STATUS_NXDOMAIN);
  zone_fini(&zone);
}

/* ---- what the operator decides ---- */

static void give_loopback(struct zone *zone, unsigned at) {
  struct family_value v4 = made_family(FAMILY_V4, FAMILY_OK, 1, LATER_MS, "");
  memcpy(v4.addresses[0], (uint8_t[4]){127, 0, 0, 1}, 4);
  zone_give(zone, at, made_family(FAMILY_V6, FAMILY_NODATA, 0, LATER_MS, ""), v4);
}

static void addresses_mail_cannot_go_to_are_a_permanent_failure(void **state) {
  (void)state;
  static const struct {
    enum family_state other;
    enum verdict verdict;
  } rows[] = {
      {FAMILY_NXDOMAIN, VERDICT_NO_ROUTABLE_ADDRESS},
      {FAMILY_NODATA, VERDICT_NO_ROUTABLE_ADDRESS},
      {FAMILY_TEMPFAIL, VERDICT_MX_HOSTS_TEMPFAIL},
      {FAMILY_OK, VERDICT_ROUTE},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    open_zone(&zone);
    zone_add_level(&zone, 10, 2);
    zone_build(&zone, "d.test");
    give_loopback(&zone, 0);
    zone_give_state(&zone, 1, rows[i].other, LATER_MS, "");
    struct route route = build_once(&zone, DEPTH_ADDRESSES);
    assert_int_equal(route.verdict, rows[i].verdict);
    assert_false(route.transient);
    assert_int_equal(shown(&zone, &route, 0)->status, STATUS_FILTERED);
    assert_int_equal(shown(&zone, &route, 0)->address_count, 0);
    zone_fini(&zone);
  }
}

static void an_implicit_exchange_is_filtered_like_any(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_NODATA, NOW_MS, LATER_MS);
  zone_add(&zone, 0, "d.test");
  zone_build(&zone, "d.test");
  give_loopback(&zone, 0);
  struct route route = build_once(&zone, DEPTH_ADDRESSES);
  assert_int_equal(route.verdict, VERDICT_NO_ROUTABLE_ADDRESS);
  assert_false(route.transient);
  zone_fini(&zone);
}

static void a_backup_whose_primary_is_unroutable_is_told_what_is_wrong(void **state) {
  (void)state;
  for (int other_is_gone = 0; other_is_gone < 2; other_is_gone++) {
    struct zone zone;
    struct caller caller;
    static const struct mx list[] = {{10, "a.test"}, {10, "b.test"}, {20, "self.test"}};
    open_mx(&zone, list, 3);
    give_loopback(&zone, 0);
    give_loopback(&zone, 1);
    if (other_is_gone)
      zone_give_state(&zone, 1, FAMILY_NXDOMAIN, LATER_MS, "");
    caller_init(&caller);
    wish(&caller, WISH_SELF, "self.test");
    assert_int_equal(build_for(&zone, &caller, DEPTH_ADDRESSES).verdict,
                     other_is_gone ? VERDICT_PRIMARY_UNRESOLVED : VERDICT_NO_ROUTABLE_ADDRESS);
    zone_fini(&zone);
  }
}

static void a_strict_operator_takes_a_mixed_null_mx_at_its_word(void **state) {
  (void)state;
  for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++) {
    struct zone zone;
    struct caller caller;
    open_zone(&zone);
    zone_add(&zone, 0, "");
    zone_add(&zone, 10, "a.test");
    zone_build(&zone, "d.test");
    zone_give_addresses(&zone, 0, 1, 1, LATER_MS);
    caller_init(&caller);
    assert_int_equal(build_for(&zone, &caller, depth).verdict, VERDICT_ROUTE);
    caller.policy.strict_null_mx_mixed = true;
    struct route route = build_for(&zone, &caller, depth);
    assert_int_equal(route.verdict, VERDICT_NULL_MX);
    assert_int_equal(route.warnings, WARNING_NULL_MX_MIXED);
    assert_int_equal(route.count, 0);
    assert_int_equal(route.ttl_s, 600);
    zone_fini(&zone);
  }
}

static void mx_address_reject_leaves_the_other_exchanges(void **state) {
  (void)state;
  static const struct mx list[] = {{10, "192.0.2.7"}, {20, "b.test"}};
  for (size_t count = 1; count <= 2; count++)
    for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++) {
      struct zone zone;
      struct caller caller;
      open_mx(&zone, list, count);
      zone.hosts[0]->is_address = true;
      atomic_store(&zone.hosts[0]->facts, host_facts_build_address((uint8_t[4]){192, 0, 2, 7}, 4));
      if (count == 2)
        zone_give_addresses(&zone, 1, 1, 1, LATER_MS);
      caller_init(&caller);
      assert_int_equal(build_for(&zone, &caller, depth).verdict, VERDICT_ROUTE);
      caller.policy.judge.reject_mx_address = true;
      struct route route = build_for(&zone, &caller, depth);
      assert_int_equal(route.verdict, count == 1 ? VERDICT_MX_ALL_INVALID : VERDICT_ROUTE);
      assert_int_equal(route.exchanges[0].status, STATUS_INVALID);
      assert_int_equal(route.exchanges[0].ttl_s, 600);
      assert_int_equal(route.ttl_s, 600);
      assert_int_equal(route.exchanges[0].address_count, 0);
      if (count == 2) {
        zone_give_state(&zone, 1, FAMILY_NXDOMAIN, LATER_MS, "");
        route = build_for(&zone, &caller, DEPTH_ADDRESSES);
        assert_int_equal(route.verdict, VERDICT_MX_HOSTS_NO_ADDRESS);
      }
      zone_fini(&zone);
    }
}

/* ---- 64 addresses ---- */

static unsigned count_family(const struct route_exchange *exchange, unsigned length) {
  unsigned count = 0;
  for (unsigned i = 0; i < exchange->address_count; i++)
    count += exchange->addresses[i][1] == length;
  return count;
}

static void at_most_64_addresses_are_answered_and_everybody_keeps_some(void **state) {
  (void)state;
  static const struct {
    unsigned exchanges, v6, v4;
  } rows[] = {{8, 32, 32}, {9, 8, 8},  {10, 0, 8}, {20, 4, 4}, {32, 8, 8},
              {32, 1, 1},  {32, 2, 0}, {32, 0, 3}, {33, 9, 1}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    open_zone(&zone);
    zone_add_level(&zone, 10, rows[i].exchanges);
    zone_build(&zone, "d.test");
    for (unsigned j = 0; j < rows[i].exchanges; j++)
      zone_give_addresses(&zone, j, rows[i].v6, rows[i].v4, LATER_MS);
    struct route route = build_once(&zone, DEPTH_ADDRESSES);
    unsigned each = rows[i].v6 + rows[i].v4 < 8 ? rows[i].v6 + rows[i].v4 : 8, total = 0, before = 8;
    for (unsigned j = 0; j < route.count; j++) {
      const struct route_exchange *exchange = &route.exchanges[j];
      assert_int_equal(count_family(exchange, 16) > 0, rows[i].v6 > 0);
      assert_int_equal(count_family(exchange, 4) > 0, rows[i].v4 > 0);
      assert_true(exchange->address_count <= before); /* the best first served */
      before = exchange->address_count;
      total += exchange->address_count;
    }
    assert_int_equal(total, each * route.count < 64 ? each * route.count : 64);
    zone_fini(&zone);
  }
}

static void what_is_not_used_up_goes_to_the_next(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  for (unsigned i = 0; i < 12; i++)
    zone_add_level(&zone, i, 1);
  zone_build(&zone, "d.test");
  for (unsigned i = 0; i < 12; i++)
    zone_give_addresses(&zone, i, 0, i == 0 ? 1 : 8, LATER_MS);
  zone_give_state(&zone, 1, FAMILY_TEMPFAIL, LATER_MS, "");
  struct route route = build_once(&zone, DEPTH_ADDRESSES);
  static const unsigned counts[12] = {1, 0, 8, 8, 8, 8, 8, 8, 8, 5, 1, 1};
  for (unsigned i = 0; i < 12; i++)
    assert_int_equal(route.exchanges[i].address_count, counts[i]);
  zone_fini(&zone);
}

/* ---- authentic, literal, story ---- */

static void an_answer_is_authentic_where_all_in_it_is(void **state) {
  (void)state;
  for (unsigned i = 0; i < 8; i++) {
    bool domain = i & 1, first = i & 2, second = i & 4;
    struct zone zone;
    open_zone(&zone);
    zone.value.authentic = domain;
    zone_add_level(&zone, 10, 2);
    zone_build(&zone, "d.test");
    for (unsigned at = 0; at < 2; at++) {
      struct family_value v6 = made_family(FAMILY_V6, FAMILY_NODATA, 0, LATER_MS, "");
      struct family_value v4 = made_family(FAMILY_V4, FAMILY_OK, 1, LATER_MS, "");
      v6.authentic = true;
      v4.authentic = at ? second : first;
      zone_give(&zone, at, v6, v4);
    }
    assert_int_equal(build_once(&zone, DEPTH_EXCHANGES).authenticated, domain);
    assert_int_equal(build_once(&zone, DEPTH_ADDRESSES).authenticated, domain && first && second);
    zone_fini(&zone);
  }
}

static struct route build_literal(const char *text, const struct caller *caller) {
  static const struct name_policy policy;
  const struct route_request request = {.wishes = &caller->block.wishes};
  struct name name;
  struct route route;
  assert_int_equal(name_parse((const uint8_t *)text, strlen(text), &policy, &name), NAME_OK);
  memset(&route, 0x5a, sizeof(route));
  route_build_literal(&name, &request, &caller->policy, &route);
  assert_int_equal(route.count, 0);
  return route;
}

static void the_filters_hold_for_literals_too(void **state) {
  (void)state;
  static const struct {
    const char *literal, *self, *exclude;
    enum families families;
    enum verdict verdict;
    bool transient;
  } rows[] = {
      {"[192.0.2.1]", NULL, NULL, FAMILIES_ANY, VERDICT_ROUTE, false},
      {"[127.0.0.1]", NULL, NULL, FAMILIES_ANY, VERDICT_NO_ROUTABLE_ADDRESS, false},
      {"[IPv6:::ffff:127.0.0.1]", NULL, NULL, FAMILIES_ANY, VERDICT_NO_ROUTABLE_ADDRESS, false},
      {"[192.0.2.1]", "192.0.2.1", NULL, FAMILIES_ANY, VERDICT_LOOP_SELF_BEST, false},
      {"[127.0.0.1]", "127.0.0.1", NULL, FAMILIES_ANY, VERDICT_LOOP_SELF_BEST, false},
      {"[192.0.2.1]", "192.0.2.2", "192.0.2.1", FAMILIES_ANY, VERDICT_NO_ROUTABLE_ADDRESS, true},
      {"[192.0.2.1]", NULL, NULL, FAMILIES_V6, VERDICT_NO_ROUTABLE_ADDRESS, true},
      {"[192.0.2.1]", NULL, NULL, FAMILIES_V4, VERDICT_ROUTE, false},
      {"[IPv6:2001:db8::1]", NULL, NULL, FAMILIES_V4, VERDICT_NO_ROUTABLE_ADDRESS, true},
      {"[IPv6:2001:db8::1]", NULL, NULL, FAMILIES_V6_FIRST, VERDICT_ROUTE, false},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct caller caller;
    caller_init(&caller);
    caller.block.wishes.families = (uint8_t)rows[i].families;
    if (rows[i].self)
      wish(&caller, WISH_SELF, rows[i].self);
    if (rows[i].exclude)
      wish(&caller, WISH_EXCLUDE, rows[i].exclude);
    struct route route = build_literal(rows[i].literal, &caller);
    assert_int_equal(route.verdict, rows[i].verdict);
    assert_int_equal(route.transient, rows[i].transient);
    assert_int_equal(*route.detail != '\0', rows[i].transient);
  }
}

static void a_story_tells_the_order_and_the_verdict(void **state) {
  (void)state;
  static const char *const told[][2] = {
      {"O7 (RFC 5321 5.1)", "self.test is the sender itself: its preference 20 and all worse are left out"},
      {"O3", "exchanges of one preference stand in the order of their names"},
      {"verdicts", "the verdict is ROUTE with 1 exchange, good for 600 s"},
  };
  struct zone zone;
  struct caller caller;
  struct route route;
  struct story *story = story_create();
  assert_non_null(story);
  open_mx(&zone, backup, 4);
  caller_init(&caller);
  caller.block.wishes.order = ORDER_STABLE;
  wish(&caller, WISH_SELF, "self.test");
  const struct route_request request = {.wishes = &caller.block.wishes, .story = story};
  route_build(zone.facts, &request, &caller.policy, NOW_MS, NOW_MS, &caller.random, &route);
  assert_int_equal(story_count(story), 3);
  for (size_t i = 0; i < 3; i++) {
    assert_string_equal(story_line(story, i).rule, told[i][0]);
    assert_string_equal(story_line(story, i).text, told[i][1]);
  }
  story_unref(story);
  zone_fini(&zone);
}

static void a_story_says_why_an_exchange_cannot_be_used(void **state) {
  (void)state;
  static const struct {
    enum family_state state;
    const char *text;
  } rows[] = {
      {FAMILY_NXDOMAIN, "cannot use a.test: its name does not exist"},
      {FAMILY_NODATA, "cannot use a.test: it has no address"},
      {FAMILY_TEMPFAIL, "cannot use a.test: its addresses cannot be had now"},
      {FAMILY_UNKNOWN, "cannot use a.test: its addresses cannot be had now"},
      {FAMILY_LOOP, "cannot use a.test: its aliases loop, or are too many"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct zone zone;
    struct random random = {.state = 1};
    struct route route;
    struct story *story = story_create();
    const struct route_request request = {.depth = DEPTH_ADDRESSES, .story = story};
    assert_non_null(story);
    open_mx(&zone, backup, 1);
    zone_give_state(&zone, 0, rows[i].state, LATER_MS, "");
    route_build(zone.facts, &request, &plain_policy, NOW_MS, NOW_MS, &random, &route);
    assert_string_equal(story_line(story, 0).rule, "V6");
    assert_string_equal(story_line(story, 0).text, rows[i].text);
    story_unref(story);
    zone_fini(&zone);
  }
}

/* ---- freshness ---- */

static void facts_without_exchanges_are_fresh_until_they_expire(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_NXDOMAIN, NOW_MS, LATER_MS);
  zone_build(&zone, "example.test");
  for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++) {
    assert_true(route_is_ready(zone.facts, depth, false, NOW_MS));
    assert_true(route_is_ready(zone.facts, depth, false, LATER_MS - 1));
    assert_false(route_is_ready(zone.facts, depth, false, LATER_MS));
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
      assert_int_equal(route_is_ready(zone.facts, DEPTH_ADDRESSES, false, NOW_MS), rows[i].is_fresh);
      assert_true(route_is_ready(zone.facts, DEPTH_EXCHANGES, false, NOW_MS));
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
  assert_false(route_is_ready(zone.facts, DEPTH_ADDRESSES, false, NOW_MS));
  assert_true(route_is_ready(zone.facts, DEPTH_EXCHANGES, false, NOW_MS));
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
      cmocka_unit_test(the_callers_level_and_all_worse_are_left_out),
      cmocka_unit_test(a_caller_who_is_the_best_exchange_would_loop),
      cmocka_unit_test(self_is_seen_behind_every_limit),
      cmocka_unit_test(better_exchanges_that_do_not_resolve_are_a_transient_failure),
      cmocka_unit_test(an_implicit_exchange_that_is_the_caller_would_loop),
      cmocka_unit_test(excluded_exchanges_give_their_place_to_others),
      cmocka_unit_test(where_everything_is_excluded_there_may_be_a_route_later),
      cmocka_unit_test(primary_only_stops_at_the_best_level),
      cmocka_unit_test(max_exchanges_is_no_truncation),
      cmocka_unit_test(unusable_exchanges_give_way_to_usable_ones),
      cmocka_unit_test(the_verdict_does_not_depend_on_what_is_listed),
      cmocka_unit_test(a_family_that_nobody_has_is_transient),
      cmocka_unit_test(addresses_mail_cannot_go_to_are_a_permanent_failure),
      cmocka_unit_test(an_implicit_exchange_is_filtered_like_any),
      cmocka_unit_test(a_backup_whose_primary_is_unroutable_is_told_what_is_wrong),
      cmocka_unit_test(a_strict_operator_takes_a_mixed_null_mx_at_its_word),
      cmocka_unit_test(mx_address_reject_leaves_the_other_exchanges),
      cmocka_unit_test(at_most_64_addresses_are_answered_and_everybody_keeps_some),
      cmocka_unit_test(what_is_not_used_up_goes_to_the_next),
      cmocka_unit_test(an_answer_is_authentic_where_all_in_it_is),
      cmocka_unit_test(the_filters_hold_for_literals_too),
      cmocka_unit_test(a_story_tells_the_order_and_the_verdict),
      cmocka_unit_test(a_story_says_why_an_exchange_cannot_be_used),
      cmocka_unit_test(facts_without_exchanges_are_fresh_until_they_expire),
      cmocka_unit_test(addresses_of_every_exchange_must_be_fresh_where_they_are_wanted),
      cmocka_unit_test(a_host_nobody_has_asked_for_is_not_fresh),
  };
  return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
