#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/octets.h"
#include "mxway.pb-c.h"

enum { ROOM = 64 * 1024, AHEAD_MS = -1000000 };

static uint8_t bytes[ROOM];

static struct octets_writer writer(size_t room) {
  memset(bytes, 0xa5, sizeof(bytes));
  return (struct octets_writer){.at = bytes, .end = bytes + room, .is_good = true};
}

static struct octets_reader reader(size_t length) {
  return (struct octets_reader){.at = bytes, .end = bytes + length, .is_good = true};
}

static struct octets_reader reader_of(const char *octets, size_t length) {
  memcpy(bytes, octets, length);
  return reader(length);
}

/* ---- numbers, texts, times ---- */

static void numbers_are_little_endian_and_come_back(void **state) {
  (void)state;
  static const uint8_t expected[] = {0xff, 0x02, 0x01, 8, 7, 6, 5, 4, 3, 2, 1};
  struct octets_writer to = writer(ROOM);
  octets_put_number(&to, 0xff, 1);
  octets_put_number(&to, 0x0102, 2);
  octets_put_number(&to, 0x0102030405060708, 8);
  assert_true(to.is_good);
  assert_int_equal(to.at - bytes, sizeof(expected));
  assert_memory_equal(bytes, expected, sizeof(expected));
  struct octets_reader from = reader(sizeof(expected));
  assert_int_equal(octets_get_number(&from, 1), 0xff);
  assert_int_equal(octets_get_number(&from, 2), 0x0102);
  assert_int_equal(octets_get_number(&from, 8), 0x0102030405060708);
  assert_true(from.is_good && from.at == from.end);
}

static void what_does_not_fit_is_not_written_nor_is_anything_after_it(void **state) {
  (void)state;
  struct octets_writer to = writer(5);
  octets_put_number(&to, 0x01020304, 4);
  octets_put_text(&to, "", 0);
  assert_true(to.is_good);
  octets_put_number(&to, 7, 1);
  assert_false(to.is_good);
  to = writer(5);
  octets_put_text(&to, "too long", 8);
  const uint8_t *at = to.at;
  octets_put_number(&to, 7, 1); /* would fit */
  assert_ptr_equal(to.at, at);
  assert_false(to.is_good);
  assert_int_equal(bytes[5], 0xa5);
  to = writer(0);
  octets_put_bytes(&to, NULL, 0);
  assert_true(to.is_good);
}

static void what_is_not_there_is_not_read_nor_is_anything_after_it(void **state) {
  (void)state;
  struct octets_reader from = reader_of("\1\2\3", 3);
  assert_int_equal(octets_get_number(&from, 4), 0);
  assert_false(from.is_good);
  assert_int_equal(octets_get_number(&from, 1), 0);
  assert_null(octets_get_bytes(&from, 1));
  assert_false(octets_get_bool(&from));
  assert_ptr_equal(from.at, bytes);
  from = reader(3);
  assert_ptr_equal(octets_get_bytes(&from, 3), bytes);
  assert_non_null(octets_get_bytes(&from, 0));
  assert_true(from.is_good);
  assert_null(octets_get_bytes(&from, SIZE_MAX));
}

static void a_bool_is_0_or_1(void **state) {
  (void)state;
  for (unsigned octet = 0; octet < 256; octet++) {
    bytes[0] = (uint8_t)octet;
    struct octets_reader from = reader(1);
    assert_int_equal(octets_get_bool(&from), octet == 1);
    assert_int_equal(from.is_good, octet <= 1);
  }
}

static void a_time_comes_back_on_another_clock(void **state) {
  (void)state;
  struct octets_writer to = writer(ROOM);
  octets_put_time(&to, 5, AHEAD_MS);
  struct octets_reader from = reader(8);
  assert_int_equal(octets_get_time(&from, 0), 1000005);
  from = reader(8);
  assert_int_equal(octets_get_time(&from, AHEAD_MS), 5);
  assert_true(from.is_good);
}

static void a_time_beyond_all_calendars_is_refused(void **state) {
  (void)state;
  static const uint64_t times[] = {UINT64_C(1) << 52, (UINT64_C(1) << 52) + 1, INT64_MAX, UINT64_MAX};
  for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
    struct octets_writer to = writer(ROOM);
    octets_put_number(&to, times[i], 8);
    struct octets_reader from = reader(8);
    octets_get_time(&from, AHEAD_MS);
    assert_int_equal(from.is_good, i == 0);
  }
}

/* ---- names ---- */

static bool is_name(const char *text) { return octets_is_name(text, strlen(text)); }

static void a_name_is_what_facts_hold(void **state) {
  (void)state;
  static const char *const good[] = {"a",         "a.test",    "xn--bcher-kva.test", "_dmarc.-a-.test",
                                     "192.0.2.7", "a@b/*'\"!~"};
  static const char *const bad[] = {"",    ".",     "a.",    ".a",    "a..b", "A.test",
                                    "a b", "a\\.b", "a\x7f", "a\x80", "\xff", "a\n"};
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
    assert_true(is_name(good[i]));
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    assert_false(is_name(bad[i]));
  assert_false(octets_is_name("a\0b", 3));
}

static void a_label_has_at_most_63_octets_and_a_name_253(void **state) {
  (void)state;
  char name[FACTS_NAME_SIZE + 1];
  memset(name, 'n', sizeof(name));
  name[63] = name[127] = name[191] = '.';
  assert_true(octets_is_name(name, 253));
  assert_false(octets_is_name(name, 254));
  assert_true(octets_is_name(name, 63));
  name[63] = 'n';
  assert_false(octets_is_name(name, 64));
}

static void names_come_back_and_others_leave_nothing(void **state) {
  (void)state;
  char name[FACTS_NAME_SIZE] = "x";
  struct octets_reader from = reader_of("\6a.test\0", 8);
  octets_get_name(&from, false, name);
  assert_string_equal(name, "a.test");
  octets_get_name(&from, true, name);
  assert_true(from.is_good && from.at == from.end);
  assert_string_equal(name, "");
  static const char *const bad[] = {"\7a.test", "\6A.test", "\0", "",
                                    "\xff"
                                    "a"};
  static const size_t lengths[] = {7, 7, 1, 0, 2};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    memset(name, 'x', sizeof(name));
    from = reader_of(bad[i], lengths[i]);
    octets_get_name(&from, false, name);
    assert_false(from.is_good);
    assert_string_equal(name, "");
  }
}

/* ---- kinds and states ---- */

static void kinds_have_numbers_that_outlive_a_release(void **state) {
  (void)state;
  static const enum domain_kind kinds[] = {DOMAIN_MX, DOMAIN_NULL_MX, DOMAIN_NODATA, DOMAIN_NXDOMAIN,
                                           DOMAIN_ALL_INVALID};
  for (unsigned i = 0; i < 256; i++) {
    bytes[0] = (uint8_t)i;
    struct octets_reader from = reader(1);
    enum domain_kind kind = octets_get_kind(&from);
    assert_int_equal(from.is_good, i >= 1 && i <= 5);
    assert_int_equal(kind, from.is_good ? kinds[i - 1] : DOMAIN_FAILED);
  }
  for (unsigned i = 1; i <= 5; i++) {
    struct octets_writer to = writer(ROOM);
    octets_put_kind(&to, kinds[i - 1]);
    assert_int_equal(bytes[0], i);
  }
}

static void failures_and_configured_routes_have_no_place(void **state) {
  (void)state;
  assert_false(octets_has_kind(DOMAIN_FAILED));
  assert_false(octets_has_kind(DOMAIN_ROUTE));
  assert_true(octets_has_kind(DOMAIN_NXDOMAIN));
  assert_false(octets_is_definite(FAMILY_TEMPFAIL));
  assert_false(octets_is_definite(FAMILY_LOOP));
  assert_false(octets_is_definite(FAMILY_UNKNOWN));
  assert_true(octets_is_definite(FAMILY_OK));
  assert_true(octets_is_definite(FAMILY_NODATA));
  assert_true(octets_is_definite(FAMILY_NXDOMAIN));
}

static void only_warnings_that_there_are_are_read(void **state) {
  (void)state;
  unsigned count = mxway__v1__warning__descriptor.n_values; /* 0 is none */
  for (unsigned bit = 0; bit < 16; bit++) {
    struct octets_writer to = writer(ROOM);
    octets_put_number(&to, 1u << bit, 2);
    struct octets_reader from = reader(2);
    assert_int_equal(octets_get_warnings(&from), 1u << bit);
    assert_int_equal(from.is_good, bit >= 1 && bit < count);
  }
}

/* ---- exchanges ---- */

struct line {
  unsigned preference;
  const char *host;
};

/* Writes exchanges as they stand, and reads them into a domain of `kind` named d.test, an alias of
 * `canonical`. */
static bool are_read(enum domain_kind kind, const char *canonical, const struct line *lines, unsigned count,
                     struct domain_value *value) {
  struct octets_writer to = writer(ROOM);
  octets_put_number(&to, count, 2);
  for (unsigned i = 0; i < count; i++)
    octets_put_exchange(&to, (uint16_t)lines[i].preference, lines[i].host, strlen(lines[i].host));
  struct octets_reader from = reader((size_t)(to.at - bytes));
  memset(value, 0xa5, sizeof(*value));
  value->kind = kind;
  snprintf(value->canonical, sizeof(value->canonical), "%s", canonical);
  octets_get_exchanges(&from, "d.test", value);
  return from.is_good && from.at == from.end;
}

static void exchanges_in_order_come_back(void **state) {
  (void)state;
  static const struct line lines[] = {{0, "z.test"}, {10, "a.test"}, {10, "b.test"}, {65535, "192.0.2.7"}};
  struct domain_value value;
  assert_true(are_read(DOMAIN_MX, "", lines, 4, &value));
  assert_int_equal(value.count, 4);
  for (unsigned i = 0; i < 4; i++) {
    assert_int_equal(value.exchanges[i].preference, lines[i].preference);
    assert_string_equal(value.exchanges[i].host, lines[i].host);
    assert_int_equal(value.exchanges[i].port, 0);
  }
}

static void exchanges_that_the_rules_would_have_changed_are_refused(void **state) {
  (void)state;
  static const struct line lists[][3] = {
      {{10, "a.test"}, {10, "b.test"}, {9, "c.test"}},  {{10, "b.test"}, {10, "a.test"}, {20, "c.test"}},
      {{10, "a.test"}, {10, "a.test"}, {20, "c.test"}}, {{10, "a.test"}, {20, "b.test"}, {30, "a.test"}},
      {{10, ""}, {20, "b.test"}, {30, "c.test"}},
  };
  struct domain_value value;
  for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
    assert_false(are_read(DOMAIN_MX, "", lists[i], 3, &value));
  assert_false(are_read(DOMAIN_MX, "", lists[0], 0, &value));
}

static void the_most_exchanges_are_read_and_no_more(void **state) {
  (void)state;
  static struct line lines[FACTS_EXCHANGES_MAX + 1];
  struct domain_value value;
  for (unsigned i = 0; i <= FACTS_EXCHANGES_MAX; i++)
    lines[i] = (struct line){i, i % 2 ? "x.test" : "y.test"};
  static char names[FACTS_EXCHANGES_MAX + 1][16];
  for (unsigned i = 0; i <= FACTS_EXCHANGES_MAX; i++) {
    snprintf(names[i], sizeof(names[i]), "h%u.test", i);
    lines[i].host = names[i];
  }
  assert_true(are_read(DOMAIN_MX, "", lines, FACTS_EXCHANGES_MAX, &value));
  assert_int_equal(value.count, FACTS_EXCHANGES_MAX);
  assert_false(are_read(DOMAIN_MX, "", lines, FACTS_EXCHANGES_MAX + 1, &value));
  assert_in_range(value.count, 0, FACTS_EXCHANGES_MAX);
}

static void a_kind_has_the_exchanges_that_it_can_have(void **state) {
  (void)state;
  static const struct line itself[] = {{0, "d.test"}, {1, "e.test"}}, worse[] = {{1, "d.test"}};
  static const struct line alias[] = {{0, "real.test"}};
  struct domain_value value;
  assert_true(are_read(DOMAIN_NODATA, "", itself, 1, &value));
  assert_true(are_read(DOMAIN_NODATA, "real.test", alias, 1, &value));
  assert_false(are_read(DOMAIN_NODATA, "real.test", itself, 1, &value));
  assert_false(are_read(DOMAIN_NODATA, "", alias, 1, &value));
  assert_false(are_read(DOMAIN_NODATA, "", worse, 1, &value));
  assert_false(are_read(DOMAIN_NODATA, "", itself, 2, &value));
  assert_false(are_read(DOMAIN_NODATA, "", itself, 0, &value));
  static const enum domain_kind without[] = {DOMAIN_NULL_MX, DOMAIN_NXDOMAIN, DOMAIN_ALL_INVALID};
  for (size_t i = 0; i < 3; i++) {
    assert_true(are_read(without[i], "", itself, 0, &value));
    assert_false(are_read(without[i], "", itself, 1, &value));
  }
  assert_false(are_read(DOMAIN_FAILED, "", itself, 0, &value));
  assert_false(are_read(DOMAIN_ROUTE, "", itself, 1, &value));
}

static void exchanges_that_are_cut_off_are_refused(void **state) {
  (void)state;
  static const struct line lines[] = {{10, "a.test"}, {20, "b.test"}};
  struct domain_value value;
  assert_true(are_read(DOMAIN_MX, "", lines, 2, &value));
  for (size_t length = 0; length < 20; length++) {
    uint8_t *copy = malloc(length ? length : 1); /* so that a sanitizer sees a read behind it */
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    struct octets_reader from = {.at = copy, .end = copy + length, .is_good = true};
    octets_get_exchanges(&from, "d.test", &value);
    assert_false(from.is_good);
    free(copy);
  }
}

/* ---- families ---- */

enum { LEARNED_MS = 5000, WALL_MS = LEARNED_MS - AHEAD_MS, TTL_MS = 300000, FAMILY_HEAD_BYTES = 19 };

/* Writes what one address query said octet by octet, and reads it. */
static bool family_is_read(enum family family, unsigned number, unsigned authentic, int64_t learned_wall_ms,
                           int64_t expires_wall_ms, unsigned count, size_t address_bytes,
                           struct family_value *value) {
  struct octets_writer to = writer(ROOM);
  octets_put_number(&to, number, 1);
  octets_put_number(&to, authentic, 1);
  octets_put_number(&to, (uint64_t)learned_wall_ms, 8);
  octets_put_number(&to, (uint64_t)expires_wall_ms, 8);
  octets_put_number(&to, count, 1);
  assert_int_equal(to.at - bytes, FAMILY_HEAD_BYTES);
  for (size_t i = 0; i < address_bytes; i++)
    octets_put_number(&to, i + 1, 1);
  uint8_t *copy = malloc((size_t)(to.at - bytes)); /* so that a sanitizer sees a read behind it */
  assert_non_null(copy);
  memcpy(copy, bytes, (size_t)(to.at - bytes));
  struct octets_reader from = {.at = copy, .end = copy + (to.at - bytes), .is_good = true};
  memset(value, 0xa5, sizeof(*value));
  octets_get_family(&from, family, AHEAD_MS, value);
  bool is_read = from.is_good && from.at == from.end;
  free(copy);
  return is_read;
}

static void a_family_comes_back(void **state) {
  (void)state;
  struct family_value value, again;
  memset(&again, 0xa5, sizeof(again));
  assert_true(family_is_read(FAMILY_V4, 1, 1, WALL_MS, WALL_MS + TTL_MS, 2, 8, &value));
  assert_int_equal(value.state, FAMILY_OK);
  assert_true(value.authentic);
  assert_int_equal(value.expires_at_ms, LEARNED_MS + TTL_MS);
  assert_int_equal(value.life_ms, TTL_MS);
  assert_int_equal(value.count, 2);
  assert_memory_equal(value.addresses[1], "\5\6\7\10", 4);
  assert_int_equal(value.failures, 0);
  assert_int_equal(value.stale_until_ms, 0);
  assert_int_equal(value.refresh_at_ms, 0);
  assert_true(family_is_read(FAMILY_V6, 1, 0, WALL_MS, WALL_MS, FACTS_ADDRESSES_MAX, 16 * FACTS_ADDRESSES_MAX,
                             &value));
  struct octets_writer to = writer(ROOM);
  octets_put_family(&to, FAMILY_V6, &value, AHEAD_MS);
  assert_int_equal(to.at - bytes, FAMILY_HEAD_BYTES + 16 * FACTS_ADDRESSES_MAX);
  struct octets_reader from = reader((size_t)(to.at - bytes));
  octets_get_family(&from, FAMILY_V6, AHEAD_MS, &again);
  assert_true(from.is_good && from.at == from.end);
  assert_int_equal(again.expires_at_ms, value.expires_at_ms);
  assert_int_equal(again.life_ms, 0);
  assert_false(again.authentic);
  assert_memory_equal(again.addresses, value.addresses, sizeof(value.addresses));
}

static void states_have_numbers_that_outlive_a_release(void **state) {
  (void)state;
  struct family_value value;
  static const enum family_state states[] = {FAMILY_UNKNOWN, FAMILY_OK, FAMILY_NODATA, FAMILY_NXDOMAIN};
  for (unsigned number = 1; number < 256; number++) {
    bool has_address = number == 1;
    bool is_read =
        family_is_read(FAMILY_V4, number, 0, WALL_MS, WALL_MS, has_address, 4 * has_address, &value);
    assert_int_equal(is_read, number <= 3);
    assert_int_equal(value.state, is_read ? states[number] : FAMILY_UNKNOWN);
    if (!is_read)
      continue;
    struct octets_writer to = writer(ROOM);
    octets_put_family(&to, FAMILY_V4, &value, AHEAD_MS);
    assert_int_equal(bytes[0], number);
  }
}

static void a_state_has_the_addresses_that_it_can_have(void **state) {
  (void)state;
  struct family_value value;
  static const int64_t end_ms = WALL_MS + TTL_MS;
  assert_false(family_is_read(FAMILY_V4, 1, 0, WALL_MS, end_ms, 0, 0, &value));
  assert_true(family_is_read(FAMILY_V4, 2, 0, WALL_MS, end_ms, 0, 0, &value));
  assert_false(family_is_read(FAMILY_V4, 2, 0, WALL_MS, end_ms, 1, 4, &value));
  assert_false(family_is_read(FAMILY_V4, 1, 0, WALL_MS, end_ms, 1, 3, &value));
  assert_false(family_is_read(FAMILY_V6, 1, 0, WALL_MS, end_ms, 2, 31, &value));
  assert_false(family_is_read(FAMILY_V4, 1, 0, WALL_MS, end_ms, FACTS_ADDRESSES_MAX + 1,
                              4 * (FACTS_ADDRESSES_MAX + 1), &value));
  assert_false(family_is_read(FAMILY_V4, 1, 2, WALL_MS, end_ms, 1, 4, &value));
}

static void a_life_that_no_ttl_gives_is_refused(void **state) {
  (void)state;
  struct family_value value;
  const int64_t most_ms = OCTETS_LIFE_MAX_S * INT64_C(1000);
  assert_true(family_is_read(FAMILY_V4, 3, 0, WALL_MS, WALL_MS + most_ms, 0, 0, &value));
  assert_int_equal(value.life_ms, most_ms);
  assert_false(family_is_read(FAMILY_V4, 3, 0, WALL_MS, WALL_MS + most_ms + 1, 0, 0, &value));
  assert_false(family_is_read(FAMILY_V4, 3, 0, WALL_MS, WALL_MS - 1, 0, 0, &value));
  assert_false(family_is_read(FAMILY_V4, 3, 0, INT64_MAX, INT64_MAX, 0, 0, &value));
  assert_false(family_is_read(FAMILY_V4, 3, 0, 0, INT64_MIN, 0, 0, &value));
}

static void of_what_is_unknown_nothing_is_said(void **state) {
  (void)state;
  struct family_value value;
  assert_true(family_is_read(FAMILY_V4, 0, 0, 0, 0, 0, 0, &value));
  assert_int_equal(value.state, FAMILY_UNKNOWN);
  assert_int_equal(value.expires_at_ms, INT64_MIN);
  assert_int_equal(value.life_ms, 0);
  assert_int_equal(value.count, 0);
  assert_false(family_is_read(FAMILY_V4, 0, 1, 0, 0, 0, 0, &value));
  assert_false(family_is_read(FAMILY_V4, 0, 0, 1, 0, 0, 0, &value));
  assert_false(family_is_read(FAMILY_V4, 0, 0, 0, 1, 0, 0, &value));
  assert_false(family_is_read(FAMILY_V4, 0, 0, 0, 0, 1, 4, &value));
}

static void what_is_not_definite_is_written_as_unknown(void **state) {
  (void)state;
  static const uint8_t nothing[FAMILY_HEAD_BYTES];
  static const enum family_state states[] = {FAMILY_UNKNOWN, FAMILY_TEMPFAIL, FAMILY_LOOP};
  for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
    struct family_value value = {
        .state = states[i], .authentic = true, .expires_at_ms = LEARNED_MS, .count = 3, .failures = 2};
    struct octets_writer to = writer(ROOM);
    octets_put_family(&to, FAMILY_V6, &value, AHEAD_MS);
    assert_int_equal(to.at - bytes, FAMILY_HEAD_BYTES);
    assert_memory_equal(bytes, nothing, FAMILY_HEAD_BYTES);
  }
}

static void only_addresses_are_written_as_such(void **state) {
  (void)state;
  struct family_value value = {.state = FAMILY_NODATA, .count = 3};
  struct octets_writer to = writer(ROOM);
  octets_put_family(&to, FAMILY_V6, &value, AHEAD_MS);
  assert_int_equal(to.at - bytes, FAMILY_HEAD_BYTES);
  assert_int_equal(bytes[FAMILY_HEAD_BYTES - 1], 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_are_little_endian_and_come_back),
      cmocka_unit_test(what_does_not_fit_is_not_written_nor_is_anything_after_it),
      cmocka_unit_test(what_is_not_there_is_not_read_nor_is_anything_after_it),
      cmocka_unit_test(a_bool_is_0_or_1),
      cmocka_unit_test(a_time_comes_back_on_another_clock),
      cmocka_unit_test(a_time_beyond_all_calendars_is_refused),
      cmocka_unit_test(a_name_is_what_facts_hold),
      cmocka_unit_test(a_label_has_at_most_63_octets_and_a_name_253),
      cmocka_unit_test(names_come_back_and_others_leave_nothing),
      cmocka_unit_test(kinds_have_numbers_that_outlive_a_release),
      cmocka_unit_test(failures_and_configured_routes_have_no_place),
      cmocka_unit_test(only_warnings_that_there_are_are_read),
      cmocka_unit_test(exchanges_in_order_come_back),
      cmocka_unit_test(exchanges_that_the_rules_would_have_changed_are_refused),
      cmocka_unit_test(the_most_exchanges_are_read_and_no_more),
      cmocka_unit_test(a_kind_has_the_exchanges_that_it_can_have),
      cmocka_unit_test(exchanges_that_are_cut_off_are_refused),
      cmocka_unit_test(a_family_comes_back),
      cmocka_unit_test(states_have_numbers_that_outlive_a_release),
      cmocka_unit_test(a_state_has_the_addresses_that_it_can_have),
      cmocka_unit_test(a_life_that_no_ttl_gives_is_refused),
      cmocka_unit_test(of_what_is_unknown_nothing_is_said),
      cmocka_unit_test(what_is_not_definite_is_written_as_unknown),
      cmocka_unit_test(only_addresses_are_written_as_such),
  };
  return cmocka_run_group_tests_name("octets", tests, NULL, NULL);
}
