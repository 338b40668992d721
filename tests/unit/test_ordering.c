#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "made_facts.h"
#include "rules/ordering.h"

enum { LATER_MS = 1000000 };

static struct wishes wishes_for(enum order order, uint64_t key) {
  struct wishes wishes;
  wishes_init(&wishes);
  wishes.order = (uint8_t)order;
  wishes.key = key;
  return wishes;
}

static void open_level(struct zone *zone, unsigned count) {
  zone_init(zone, DOMAIN_MX, 0, LATER_MS);
  zone_add_level(zone, 10, count);
  zone_build(zone, "example.test");
}

static void order_level(const struct zone *zone, const struct wishes *wishes, uint8_t places[],
                        uint8_t count) {
  struct random random = {.state = 5};
  for (uint8_t i = 0; i < count; i++)
    places[i] = i;
  ordering_exchanges(wishes, zone->set, places, count, &random);
}

/* ---- exchanges ---- */

static void stable_exchanges_come_by_name(void **state) {
  (void)state;
  struct zone zone;
  struct wishes stable = wishes_for(ORDER_STABLE, 0);
  uint8_t places[20];
  open_level(&zone, 20);
  order_level(&zone, &stable, places, 20);
  for (uint8_t i = 0; i < 20; i++)
    assert_int_equal(places[i], i);
  zone_fini(&zone);
}

static void a_key_gives_the_same_order_every_time_and_everywhere(void **state) {
  (void)state;
  struct zone zone;
  struct wishes keyed = wishes_for(ORDER_KEYED, digest_64("sender-1", 8, 0));
  uint8_t places[100];
  open_level(&zone, 100);
  order_level(&zone, &keyed, places, 100);
  /* By its definition, so that another node comes to the same. */
  for (uint8_t i = 1; i < 100; i++) {
    const struct host *before = zone.hosts[places[i - 1]], *behind = zone.hosts[places[i]];
    assert_true(digest_64(before->name, before->length, keyed.key) >
                digest_64(behind->name, behind->length, keyed.key));
  }
  zone_fini(&zone);
}

static void a_removed_exchange_moves_only_its_own_keys(void **state) {
  (void)state;
  enum { KEYS = 3000, COUNT = 6, GONE = 2 };
  struct zone zone;
  open_level(&zone, COUNT);
  unsigned first[COUNT] = {0}, moved[COUNT] = {0};
  for (unsigned i = 0; i < KEYS; i++) {
    struct wishes keyed = wishes_for(ORDER_KEYED, digest_64(&i, sizeof(i), 0));
    struct random random = {.state = i};
    uint8_t all[COUNT], rest[COUNT - 1] = {0, 1, 3, 4, 5};
    order_level(&zone, &keyed, all, COUNT);
    ordering_exchanges(&keyed, zone.set, rest, COUNT - 1, &random);
    first[all[0]]++;
    if (all[0] == GONE)
      moved[rest[0]]++;
    assert_int_equal(rest[0], all[0] == GONE ? all[1] : all[0]);
  }
  double spread = 0, spread_moved = 0;
  for (unsigned i = 0; i < COUNT; i++) {
    double expected = KEYS / (double)COUNT, expected_moved = first[GONE] / (double)(COUNT - 1);
    spread += (first[i] - expected) * (first[i] - expected) / expected;
    if (i != GONE)
      spread_moved += (moved[i] - expected_moved) * (moved[i] - expected_moved) / expected_moved;
  }
  assert_true(spread < 20.52);       /* 5 degrees of freedom, 0.1 % */
  assert_true(spread_moved < 18.47); /* 4 degrees */
  zone_fini(&zone);
}

/* ---- addresses ---- */

/* Addresses of one host whose last octets are given, IPv6 then IPv4. */
struct host_case {
  struct zone zone;
  const struct host_facts *facts;
};

static void open_host(struct host_case *host, const char *v6, const char *v4) {
  struct family_value values[FAMILY_COUNT] = {
      made_family(FAMILY_V6, FAMILY_OK, (unsigned)strlen(v6), LATER_MS, ""),
      made_family(FAMILY_V4, FAMILY_OK, (unsigned)strlen(v4), LATER_MS, "")};
  for (size_t i = 0; v6[i]; i++)
    values[FAMILY_V6].addresses[i][15] = (uint8_t)v6[i];
  for (size_t i = 0; v4[i]; i++)
    values[FAMILY_V4].addresses[i][3] = (uint8_t)v4[i];
  open_level(&host->zone, 1);
  zone_give(&host->zone, 0, values[FAMILY_V6], values[FAMILY_V4]);
  host->facts = atomic_load(&host->zone.hosts[0]->facts);
}

static uint32_t bits(size_t count) { return (uint32_t)((UINT64_C(1) << count) - 1); }

/* The last octets of the addresses chosen, in their order. */
static void choose(const struct host_case *host, const struct wishes *wishes, enum families families,
                   uint32_t v6, uint32_t v4, uint8_t most, char text[ORDERING_ADDRESSES_MAX + 1]) {
  const uint8_t *addresses[ORDERING_ADDRESSES_MAX];
  const uint32_t usable[FAMILY_COUNT] = {v6, v4};
  struct random random = {.state = 9};
  uint8_t count = ordering_addresses(wishes, families, host->facts, usable, most, &random, addresses);
  assert_true(count <= most);
  for (uint8_t i = 0; i < count; i++)
    text[i] = (char)addresses[i][1 + addresses[i][1]];
  text[count] = '\0';
}

static void check_stable(const char *v6, const char *v4, enum families families, uint8_t most,
                         const char *expected) {
  struct host_case host;
  struct wishes stable = wishes_for(ORDER_STABLE, 0);
  char text[ORDERING_ADDRESSES_MAX + 1];
  open_host(&host, v6, v4);
  choose(&host, &stable, families, bits(strlen(v6)), bits(strlen(v4)), most, text);
  assert_string_equal(text, expected);
  zone_fini(&host.zone);
}

static void stable_addresses_come_by_number(void **state) {
  (void)state;
  check_stable("CAB", "", FAMILIES_ANY, 8, "ABC");
  check_stable("", "cab", FAMILIES_ANY, 8, "abc");
  check_stable("CAB", "zx", FAMILIES_ANY, 8, "AxBzC");
  check_stable("A", "a", FAMILIES_ANY, 8, "Aa");
  check_stable("A", "", FAMILIES_ANY, 8, "A");
  check_stable("", "a", FAMILIES_V4_FIRST, 8, "a");
}

static void one_family_may_come_before_the_other(void **state) {
  (void)state;
  check_stable("CAB", "zx", FAMILIES_V6_FIRST, 8, "ABCxz");
  check_stable("CAB", "zx", FAMILIES_V4_FIRST, 8, "xzABC");
  check_stable("A", "a", FAMILIES_V6_FIRST, 8, "Aa");
  check_stable("A", "a", FAMILIES_V4_FIRST, 8, "aA");
  check_stable("A", "", FAMILIES_V4_FIRST, 8, "A");
}

static void a_cut_leaves_the_last_address_of_a_family(void **state) {
  (void)state;
  static const struct {
    const char *v6, *v4;
    enum families families;
    uint8_t most;
    const char *chosen;
  } rows[] = {
      {"ABCDEFGHIJ", "a", FAMILIES_ANY, 8, "AaBCDEFG"},
      {"ABCDEFGHIJ", "a", FAMILIES_V6_FIRST, 8, "ABCDEFGa"},
      {"ABCDEFGHIJ", "a", FAMILIES_V4_FIRST, 8, "aABCDEFG"},
      {"A", "abcdefghij", FAMILIES_V4_FIRST, 8, "abcdefgA"},
      {"A", "abcdefghij", FAMILIES_ANY, 8, "Aabcdefg"},
      {"ABCDE", "abcde", FAMILIES_V4_FIRST, 8, "abcdeABC"},
      {"ABCDE", "abcde", FAMILIES_V6_FIRST, 2, "Aa"},
      {"ABCDE", "abcde", FAMILIES_ANY, 2, "Aa"},
      {"ABCDE", "abcde", FAMILIES_ANY, 3, "AaB"},
      {"ABCDE", "", FAMILIES_ANY, 1, "A"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    check_stable(rows[i].v6, rows[i].v4, rows[i].families, rows[i].most, rows[i].chosen);
}

static void only_usable_addresses_are_chosen(void **state) {
  (void)state;
  struct host_case host;
  struct wishes stable = wishes_for(ORDER_STABLE, 0);
  char text[ORDERING_ADDRESSES_MAX + 1];
  open_host(&host, "CAB", "zxy");
  choose(&host, &stable, FAMILIES_ANY, 1 << 0 | 1 << 2, 1 << 1, 8, text);
  assert_string_equal(text, "BxC");
  choose(&host, &stable, FAMILIES_ANY, 1 << 1, 1 << 2, 8, text);
  assert_string_equal(text, "Ay");
  choose(&host, NULL, FAMILIES_ANY, 0, 1 << 2, 8, text);
  assert_string_equal(text, "y");
  choose(&host, NULL, FAMILIES_ANY, 1 << 0, 1 << 0, 8, text);
  assert_string_equal(text, "Cz");
  choose(&host, NULL, FAMILIES_ANY, 0, 0, 8, text);
  assert_string_equal(text, "");
  zone_fini(&host.zone);
}

static void all_32_of_a_family_can_be_usable(void **state) {
  (void)state;
  struct host_case host;
  char all[FACTS_ADDRESSES_MAX + 1] = {0}, text[ORDERING_ADDRESSES_MAX + 1];
  struct wishes stable = wishes_for(ORDER_STABLE, 0);
  for (unsigned i = 0; i < FACTS_ADDRESSES_MAX; i++)
    all[i] = (char)('A' + (FACTS_ADDRESSES_MAX - 1 - i));
  open_host(&host, "", all);
  choose(&host, &stable, FAMILIES_ANY, 0, UINT32_MAX, 8, text);
  assert_string_equal(text, "ABCDEFGH");
  zone_fini(&host.zone);
}

static void a_key_keeps_its_address(void **state) {
  (void)state;
  enum { KEYS = 2000 };
  struct host_case host;
  char all[ORDERING_ADDRESSES_MAX + 1], rest[ORDERING_ADDRESSES_MAX + 1];
  unsigned first[4] = {0};
  open_host(&host, "", "abcd");
  for (unsigned i = 0; i < KEYS; i++) {
    struct wishes keyed = wishes_for(ORDER_KEYED, digest_64(&i, sizeof(i), 0));
    choose(&host, &keyed, FAMILIES_ANY, 0, bits(4), 8, all);
    choose(&host, &keyed, FAMILIES_ANY, 0, bits(4) & ~(1u << 1), 8, rest); /* without b */
    assert_int_equal(rest[0], all[0] == 'b' ? all[1] : all[0]);
    first[all[0] - 'a']++;
  }
  for (unsigned i = 0; i < 4; i++)
    assert_in_range(first[i], KEYS / 5, KEYS * 3 / 10);
  zone_fini(&host.zone);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stable_exchanges_come_by_name),
      cmocka_unit_test(a_key_gives_the_same_order_every_time_and_everywhere),
      cmocka_unit_test(a_removed_exchange_moves_only_its_own_keys),
      cmocka_unit_test(stable_addresses_come_by_number),
      cmocka_unit_test(one_family_may_come_before_the_other),
      cmocka_unit_test(a_cut_leaves_the_last_address_of_a_family),
      cmocka_unit_test(only_usable_addresses_are_chosen),
      cmocka_unit_test(all_32_of_a_family_can_be_usable),
      cmocka_unit_test(a_key_keeps_its_address),
  };
  return cmocka_run_group_tests_name("ordering", tests, NULL, NULL);
}
