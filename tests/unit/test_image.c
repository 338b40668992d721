#include "cmocka_compat.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/image.h"
#include "made_facts.h"

enum {
  NOW_MS = 5000000,
  HOUR_MS = 3600000,
  NUMBER = 7, /* of the record in most tests */
};

static const int64_t WALL_MS = 1790000000000;

static const struct image_time written = {NOW_MS, WALL_MS};

/* A daemon that was started later: its monotonic clock has nothing to do with the first one's. */
static const struct image_time later = {20000, 1790000000000 + 60000};

static struct image_record record;
static uint8_t bytes[IMAGE_RECORD_MAX];

static enum image_status parse(const uint8_t *at, size_t length, uint64_t number,
                               const struct image_time *time, size_t *taken) {
  memset(&record, 0xa5, sizeof(record));
  return image_parse_record(at, length, number, time, &record, taken);
}

/* Packs the zone's domain facts, and reads them back into `record`. */
static size_t round_trip(struct zone *zone, const char *name, const struct image_time *time) {
  size_t taken;
  zone_build(zone, name);
  size_t length = image_pack_domain(bytes, NUMBER, zone->facts, 2, &written);
  assert_in_range(length, 1, IMAGE_RECORD_MAX);
  assert_int_equal(parse(bytes, length, NUMBER, time, &taken), IMAGE_GOOD);
  assert_int_equal(taken, length);
  assert_int_equal(record.kind, IMAGE_DOMAIN);
  assert_string_equal(record.name, name);
  return length;
}

static void make_route(struct zone *zone) {
  zone_init(zone, DOMAIN_MX, NOW_MS - 1000, NOW_MS + HOUR_MS);
  zone_add(zone, 10, "a.test");
  zone_add(zone, 10, "b.test");
  zone_add(zone, 65535, "192.0.2.7");
}

/* ---- domains ---- */

static void a_route_comes_back_as_it_was(void **state) {
  (void)state;
  struct zone zone;
  make_route(&zone);
  zone.value.warnings = WARNING_MX_IS_CNAME | WARNING_TOO_MANY_MX;
  round_trip(&zone, "d.test", &written);
  const struct domain_value *value = &record.domain;
  assert_int_equal(value->kind, DOMAIN_MX);
  assert_int_equal(value->warnings, zone.facts->warnings);
  assert_int_equal(value->stored_at_ms, NOW_MS - 1000);
  assert_int_equal(value->expires_at_ms, NOW_MS + HOUR_MS);
  assert_string_equal(value->canonical, "");
  assert_int_equal(value->failures, 0);
  assert_int_equal(value->refresh_lead_ms, 0);
  assert_int_equal(record.hits, 2);
  assert_int_equal(value->exchanges[0].port, 0);
  assert_int_equal(value->count, 3);
  for (uint16_t i = 0; i < value->count; i++) {
    assert_int_equal(value->exchanges[i].preference, zone.set->exchanges[i].preference);
    assert_string_equal(value->exchanges[i].host, zone.set->exchanges[i].host->name);
  }
  zone_fini(&zone);
}

static void every_kind_of_domain_comes_back(void **state) {
  (void)state;
  static const enum domain_kind kinds[] = {DOMAIN_NULL_MX, DOMAIN_NXDOMAIN, DOMAIN_ALL_INVALID};
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    struct zone zone;
    zone_init(&zone, kinds[i], NOW_MS, NOW_MS + 1000);
    round_trip(&zone, "d.test", &written);
    assert_int_equal(record.domain.kind, kinds[i]);
    assert_int_equal(record.domain.count, 0);
    zone_fini(&zone);
  }
}

static void an_alias_without_mx_comes_back_with_its_canonical_name(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_NODATA, NOW_MS, NOW_MS + 1000);
  snprintf(zone.value.canonical, FACTS_NAME_SIZE, "web.test");
  zone_add(&zone, 0, "web.test");
  round_trip(&zone, "www.test", &written);
  assert_int_equal(record.domain.kind, DOMAIN_NODATA);
  assert_string_equal(record.domain.canonical, "web.test");
  assert_string_equal(record.domain.exchanges[0].host, "web.test");
  zone_fini(&zone);
}

static void a_failure_is_not_written(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_FAILED, NOW_MS, NOW_MS + 1000);
  zone_build(&zone, "d.test");
  assert_int_equal(image_pack_domain(bytes, NUMBER, zone.facts, 0, &written), 0);
  zone_fini(&zone);
}

static void a_life_goes_on_while_the_image_lies(void **state) {
  (void)state;
  struct zone zone;
  make_route(&zone);
  round_trip(&zone, "d.test", &later);
  assert_int_equal(record.domain.expires_at_ms, later.now_ms + HOUR_MS - 60000);
  assert_int_equal(record.domain.stored_at_ms, later.now_ms - 1000 - 60000);
  zone_fini(&zone);
}

static void the_largest_domain_fits(void **state) {
  (void)state;
  struct zone zone;
  char name[FACTS_NAME_SIZE], host[FACTS_NAME_SIZE];
  memset(name, 'n', sizeof(name) - 1);
  name[63] = name[127] = name[191] = '.';
  name[FACTS_NAME_SIZE - 1] = '\0';
  zone_init(&zone, DOMAIN_MX, NOW_MS, NOW_MS + 1000);
  memcpy(zone.value.canonical, name, sizeof(name));
  zone.value.canonical[0] = 'c';
  for (unsigned i = 0; i < FACTS_EXCHANGES_MAX; i++) {
    memcpy(host, name, sizeof(host));
    host[0] = (char)('a' + i / 26);
    host[1] = (char)('a' + i % 26);
    zone_add(&zone, 65535, host);
  }
  size_t length = round_trip(&zone, name, &written);
  assert_in_range(length, 25000, IMAGE_RECORD_MAX);
  assert_int_equal(record.domain.count, FACTS_EXCHANGES_MAX);
  zone_fini(&zone);
}

/* ---- hosts ---- */

static size_t pack_host(const struct family_value values[FAMILY_COUNT]) {
  struct host *host = make_host("mx.test");
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  size_t length = image_pack_host(bytes, NUMBER, host, facts, &written);
  free(facts);
  free(host);
  return length;
}

static void the_addresses_of_a_host_come_back(void **state) {
  (void)state;
  size_t taken;
  struct family_value values[FAMILY_COUNT];
  values[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_OK, FACTS_ADDRESSES_MAX, NOW_MS + 500, "real.test");
  values[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_OK, 2, NOW_MS + 900, "real.test");
  values[FAMILY_V4].life_ms = 1000;
  size_t length = pack_host(values);
  assert_int_equal(parse(bytes, length, NUMBER, &written, &taken), IMAGE_GOOD);
  assert_int_equal(taken, length);
  assert_int_equal(record.kind, IMAGE_HOST);
  assert_string_equal(record.name, "mx.test");
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    const struct family_value *read = &record.families[family];
    assert_int_equal(read->state, FAMILY_OK);
    assert_int_equal(read->stale_until_ms, 0);
    assert_int_equal(read->count, values[family].count);
    assert_int_equal(read->expires_at_ms, values[family].expires_at_ms);
    assert_int_equal(read->life_ms, values[family].life_ms);
    assert_string_equal(read->expanded, "real.test");
    for (uint8_t i = 0; i < read->count; i++)
      assert_memory_equal(read->addresses[i], values[family].addresses[i], family == FAMILY_V6 ? 16 : 4);
  }
}

static void denials_of_addresses_come_back(void **state) {
  (void)state;
  size_t taken;
  struct family_value values[FAMILY_COUNT];
  values[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + 500, "");
  values[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_NXDOMAIN, 0, NOW_MS + 900, "");
  size_t length = pack_host(values);
  assert_int_equal(parse(bytes, length, NUMBER, &written, &taken), IMAGE_GOOD);
  assert_int_equal(record.families[FAMILY_V6].state, FAMILY_NODATA);
  assert_int_equal(record.families[FAMILY_V4].state, FAMILY_NXDOMAIN);
  assert_int_equal(record.families[FAMILY_V4].expires_at_ms, NOW_MS + 900);
}

static void a_family_that_failed_comes_back_as_unknown(void **state) {
  (void)state;
  size_t taken;
  struct family_value values[FAMILY_COUNT];
  values[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_TEMPFAIL, 0, NOW_MS + 500, "");
  values[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_OK, 1, NOW_MS + 900, "");
  size_t length = pack_host(values);
  assert_int_equal(parse(bytes, length, NUMBER, &written, &taken), IMAGE_GOOD);
  assert_int_equal(record.families[FAMILY_V6].state, FAMILY_UNKNOWN);
  assert_int_equal(record.families[FAMILY_V6].expires_at_ms, INT64_MIN);
  assert_int_equal(record.families[FAMILY_V4].state, FAMILY_OK);
}

static void a_host_of_which_nothing_definite_is_known_is_not_written(void **state) {
  (void)state;
  struct family_value values[FAMILY_COUNT];
  values[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_TEMPFAIL, 0, NOW_MS + 500, "");
  values[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_LOOP, 0, NOW_MS + 900, "");
  assert_int_equal(pack_host(values), 0);
  struct host *host = make_host("mx.test");
  assert_int_equal(image_pack_host(bytes, NUMBER, host, NULL, &written), 0);
  free(host);
}

static void a_host_that_is_an_address_is_not_written(void **state) {
  (void)state;
  struct host *host = make_host("192.0.2.7");
  host->is_address = true;
  struct host_facts *facts = host_facts_build_address((const uint8_t[]){192, 0, 2, 7}, 4);
  assert_int_equal(image_pack_host(bytes, NUMBER, host, facts, &written), 0);
  free(facts);
  free(host);
}

static void what_has_expired_comes_back_as_it_was(void **state) {
  (void)state;
  struct zone zone;
  size_t taken;
  struct family_value values[FAMILY_COUNT];
  zone_init(&zone, DOMAIN_MX, NOW_MS - HOUR_MS, NOW_MS - 1000);
  zone_add(&zone, 10, "a.test");
  round_trip(&zone, "d.test", &later);
  assert_int_equal(record.domain.stored_at_ms, later.now_ms - 60000 - HOUR_MS);
  assert_int_equal(record.domain.expires_at_ms, later.now_ms - 60000 - 1000);
  zone_fini(&zone);
  values[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_NODATA, 0, NOW_MS - 500, "");
  values[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_OK, 2, NOW_MS - 900, "");
  size_t length = pack_host(values);
  assert_int_equal(parse(bytes, length, NUMBER, &later, &taken), IMAGE_GOOD);
  assert_int_equal(record.families[FAMILY_V6].expires_at_ms, later.now_ms - 60000 - 500);
  assert_int_equal(record.families[FAMILY_V4].expires_at_ms, later.now_ms - 60000 - 900);
  assert_int_equal(record.families[FAMILY_V4].life_ms, MADE_LIFE_MS);
}

/* ---- header and end ---- */

static void a_header_gives_when_the_image_was_begun_and_its_generation(void **state) {
  (void)state;
  uint8_t header[IMAGE_HEADER_BYTES];
  int64_t begun_ms = 0;
  uint64_t generation = 0;
  assert_int_equal(image_pack_header(header, WALL_MS, UINT64_C(0x1122334455667788)), IMAGE_HEADER_BYTES);
  assert_int_equal(image_parse_header(header, &begun_ms, &generation), IMAGE_GOOD);
  assert_int_equal(begun_ms, WALL_MS);
  assert_int_equal(generation, UINT64_C(0x1122334455667788));
}

static void every_changed_bit_of_a_header_is_seen(void **state) {
  (void)state;
  uint8_t header[IMAGE_HEADER_BYTES];
  int64_t begun_ms;
  uint64_t generation;
  image_pack_header(header, WALL_MS, 0);
  for (size_t bit = 0; bit < 8 * sizeof(header); bit++) {
    header[bit / 8] ^= (uint8_t)(1 << bit % 8);
    uint32_t version = IMAGE_VERSION ^ (bit >= 64 && bit < 96 ? UINT32_C(1) << (bit - 64) : 0);
    enum image_status expected = bit < 64                  ? IMAGE_NO_IMAGE
                                 : version < IMAGE_VERSION ? IMAGE_OLD_VERSION
                                 : version > IMAGE_VERSION ? IMAGE_UNKNOWN_VERSION
                                                           : IMAGE_BAD_CHECKSUM;
    assert_int_equal(image_parse_header(header, &begun_ms, &generation), expected);
    header[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
}

static void the_end_says_how_many_records_there_were(void **state) {
  (void)state;
  size_t taken;
  size_t length = image_pack_end(bytes, NUMBER);
  assert_int_equal(parse(bytes, length, NUMBER, &written, &taken), IMAGE_GOOD);
  assert_int_equal(taken, length);
  assert_int_equal(record.kind, IMAGE_END);
}

/* ---- what a file may have suffered ---- */

static size_t pack_route(void) {
  struct zone zone;
  make_route(&zone);
  zone_build(&zone, "d.test");
  size_t length = image_pack_domain(bytes, NUMBER, zone.facts, 0, &written);
  zone_fini(&zone);
  return length;
}

static void every_truncation_is_incomplete(void **state) {
  (void)state;
  size_t taken, length = pack_route();
  for (size_t cut = 0; cut < length; cut++) {
    uint8_t *copy = malloc(cut + !cut); /* so that a sanitizer sees a read behind it */
    assert_non_null(copy);
    memcpy(copy, bytes, cut);
    assert_int_equal(parse(copy, cut, NUMBER, &written, &taken), IMAGE_INCOMPLETE);
    free(copy);
  }
}

static void every_changed_bit_of_a_record_is_seen(void **state) {
  (void)state;
  size_t taken, length = pack_route();
  for (size_t bit = 0; bit < 8 * length; bit++) {
    bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    assert_int_not_equal(parse(bytes, length, NUMBER, &written, &taken), IMAGE_GOOD);
    bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
  assert_int_equal(parse(bytes, length, NUMBER, &written, &taken), IMAGE_GOOD);
}

static void a_record_in_another_place_is_seen(void **state) {
  (void)state;
  size_t taken, length = pack_route();
  assert_int_equal(parse(bytes, length, NUMBER + 1, &written, &taken), IMAGE_BAD_CHECKSUM);
}

static void a_length_over_the_bound_is_refused_at_once(void **state) {
  (void)state;
  size_t taken;
  const uint32_t length = IMAGE_PAYLOAD_MAX + 1;
  const uint8_t start[4] = {(uint8_t)length, (uint8_t)(length >> 8), (uint8_t)(length >> 16), 0};
  assert_int_equal(parse(start, sizeof(start), 1, &written, &taken), IMAGE_TOO_LARGE);
}

/* ---- what somebody may have forged: the checksum is right, the rest is not ---- */

/* Packs `value` about `name` as it stands, without the care of the cache, and reads it. */
static enum image_status forge(const char *name, const struct domain_value *value) {
  size_t taken;
  struct zone zone;
  memset(&zone, 0, sizeof(zone));
  zone.value = *value;
  enum domain_kind kind = zone.value.kind;
  if (kind == DOMAIN_MX)
    zone.value.kind = DOMAIN_NODATA; /* zone_build must not put it in order */
  zone_build(&zone, name);
  zone.facts->kind = (uint8_t)kind;
  size_t length = image_pack_domain(bytes, NUMBER, zone.facts, 0, &written);
  zone_fini(&zone);
  return parse(bytes, length, NUMBER, &written, &taken);
}

static struct domain_value route_to(const char *first, unsigned first_preference, const char *second,
                                    unsigned second_preference) {
  struct domain_value value = {
      .kind = DOMAIN_MX, .stored_at_ms = NOW_MS, .expires_at_ms = NOW_MS + HOUR_MS, .count = 2};
  snprintf(value.exchanges[0].host, FACTS_NAME_SIZE, "%s", first);
  snprintf(value.exchanges[1].host, FACTS_NAME_SIZE, "%s", second);
  value.exchanges[0].preference = (uint16_t)first_preference;
  value.exchanges[1].preference = (uint16_t)second_preference;
  return value;
}

static void exchanges_out_of_order_are_refused(void **state) {
  (void)state;
  struct domain_value value = route_to("a.test", 10, "b.test", 10);
  assert_int_equal(forge("d.test", &value), IMAGE_GOOD);
  value = route_to("b.test", 10, "a.test", 10);
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD);
  value = route_to("a.test", 20, "b.test", 10);
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD);
  value = route_to("a.test", 10, "a.test", 20);
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD);
}

static void names_that_are_none_are_refused(void **state) {
  (void)state;
  static const char *const names[] = {"A.test", "a b.test", "a..test",    ".test",
                                      "test.",  "a\\.test", "a\x80.test", "\x01.test"};
  struct domain_value value = route_to("a.test", 10, "b.test", 10);
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    assert_int_equal(forge(names[i], &value), IMAGE_BAD_RECORD);
    struct domain_value to_it = route_to(names[i], 10, "zz.test", 20);
    assert_int_equal(forge("d.test", &to_it), IMAGE_BAD_RECORD);
  }
  char longest[80] = "";
  memset(longest, 'l', 64);
  memcpy(longest + 64, ".test", 6);
  assert_int_equal(forge(longest, &value), IMAGE_BAD_RECORD);
  assert_int_equal(forge(longest + 1, &value), IMAGE_GOOD);
}

static void kinds_and_exchanges_that_do_not_fit_are_refused(void **state) {
  (void)state;
  struct domain_value value = route_to("a.test", 10, "b.test", 10);
  value.kind = DOMAIN_NXDOMAIN;
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD);
  value.kind = DOMAIN_NODATA;
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD);
  value.count = 1;
  value.exchanges[0].preference = 0;
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD); /* another host than itself */
  assert_int_equal(forge("a.test", &value), IMAGE_GOOD);
}

/* Puts `octet` in the place `at` of the payload of a record of `length` octets, and reads it. */
static enum image_status forge_octet(size_t length, size_t at, uint8_t octet) {
  enum { BEFORE = 4, BEHIND = 8 };
  size_t taken;
  bytes[BEFORE + at] = octet;
  uint64_t checksum = XXH3_64bits_withSeed(bytes, length - BEHIND, NUMBER);
  for (size_t i = 0; i < BEHIND; i++)
    bytes[length - BEHIND + i] = (uint8_t)(checksum >> 8 * i);
  return parse(bytes, length, NUMBER, &written, &taken);
}

static void numbers_that_stand_for_nothing_are_refused(void **state) {
  (void)state;
  struct family_value values[FAMILY_COUNT];
  size_t length = pack_route();
  assert_int_equal(forge_octet(length, 0, 'D'), IMAGE_GOOD);
  assert_int_equal(forge_octet(length, 0, 'X'), IMAGE_BAD_RECORD);
  for (unsigned kind = 0; kind < 256; kind += kind == 0 ? 6 : 1) {
    length = pack_route();
    assert_int_equal(forge_octet(length, 1, (uint8_t)kind), IMAGE_BAD_RECORD);
  }
  length = pack_route();
  assert_int_equal(forge_octet(length, 2, 2), IMAGE_BAD_RECORD); /* neither authentic nor not */
  length = pack_route();
  assert_int_equal(forge_octet(length, 5, IMAGE_HITS_MAX), IMAGE_GOOD);
  assert_int_equal(forge_octet(length, 5, IMAGE_HITS_MAX + 1), IMAGE_BAD_RECORD);
  values[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_NODATA, 0, NOW_MS + 500, "");
  values[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_NODATA, 0, NOW_MS + 500, "");
  const size_t at = 1 + 1 + 7 + 1; /* behind "mx.test" and the empty text */
  length = pack_host(values);
  assert_int_equal(forge_octet(length, at, 3), IMAGE_GOOD);
  assert_int_equal(forge_octet(length, at, 1), IMAGE_BAD_RECORD); /* addresses, and none there */
  assert_int_equal(forge_octet(length, at, 4), IMAGE_BAD_RECORD);
}

static void what_the_configuration_says_is_not_written(void **state) {
  (void)state;
  struct zone zone;
  make_route(&zone);
  zone_build(&zone, "d.test");
  zone.facts->kind = DOMAIN_ROUTE;
  assert_int_equal(image_pack_domain(bytes, NUMBER, zone.facts, 0, &written), 0);
  zone_fini(&zone);
}

static void a_life_that_no_ttl_gives_is_refused(void **state) {
  (void)state;
  struct domain_value value = route_to("a.test", 10, "b.test", 10);
  value.expires_at_ms = NOW_MS + IMAGE_LIFE_MAX_S * INT64_C(1000);
  assert_int_equal(forge("d.test", &value), IMAGE_GOOD);
  value.expires_at_ms++;
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD);
  value.expires_at_ms = NOW_MS - 1;
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD);
}

static void a_life_of_addresses_that_no_ttl_gives_is_refused(void **state) {
  (void)state;
  static const struct {
    uint32_t life_ms;
    int64_t expires_at_ms;
    enum image_status expected;
  } rows[] = {{0, NOW_MS, IMAGE_GOOD},
              {IMAGE_LIFE_MAX_S * 1000u, NOW_MS, IMAGE_GOOD},
              {IMAGE_LIFE_MAX_S * 1000u + 1, NOW_MS, IMAGE_BAD_RECORD},
              {1000, NOW_MS - WALL_MS, IMAGE_BAD_RECORD},
              {1000, INT64_MAX / 2, IMAGE_BAD_RECORD}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    size_t taken;
    struct family_value values[FAMILY_COUNT];
    values[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_TEMPFAIL, 0, NOW_MS, "");
    values[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_OK, 1, rows[i].expires_at_ms, "");
    values[FAMILY_V4].life_ms = rows[i].life_ms;
    size_t length = pack_host(values);
    assert_int_equal(parse(bytes, length, NUMBER, &written, &taken), rows[i].expected);
  }
}

/* The times of a family of which nothing is known are 0. */
static void times_of_what_is_not_known_are_refused(void **state) {
  (void)state;
  struct family_value values[FAMILY_COUNT];
  values[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_TEMPFAIL, 0, NOW_MS, "");
  values[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_OK, 1, NOW_MS, "");
  const size_t state_at = 1 + 1 + 7 + 1, learned_at = state_at + 2, expiry_at = learned_at + 8;
  size_t length = pack_host(values);
  assert_int_equal(forge_octet(length, state_at, 0), IMAGE_GOOD);
  assert_int_equal(forge_octet(length, learned_at, 1), IMAGE_BAD_RECORD);
  length = pack_host(values);
  assert_int_equal(forge_octet(length, expiry_at, 1), IMAGE_BAD_RECORD);
}

static void what_is_not_known_is_not_authentic_and_a_host_has_something_that_is_known(void **state) {
  (void)state;
  struct family_value values[FAMILY_COUNT];
  values[FAMILY_V6] = made_family(FAMILY_V6, FAMILY_TEMPFAIL, 0, NOW_MS, "");
  values[FAMILY_V4] = made_family(FAMILY_V4, FAMILY_NODATA, 0, NOW_MS, "");
  const size_t state_at = 1 + 1 + 7 + 1, next_at = state_at + 1 + 1 + 8 + 8 + 1;
  size_t length = pack_host(values);
  assert_int_equal(forge_octet(length, state_at + 1, 0), IMAGE_GOOD);
  assert_int_equal(forge_octet(length, state_at + 1, 1), IMAGE_BAD_RECORD);
  length = pack_host(values);
  memset(bytes + 4 + next_at, 0, 1 + 1 + 8 + 8 + 1);
  assert_int_equal(forge_octet(length, next_at, 0), IMAGE_BAD_RECORD);
}

static void a_time_beyond_all_calendars_is_refused(void **state) {
  (void)state;
  struct domain_value value = route_to("a.test", 10, "b.test", 10);
  value.stored_at_ms = value.expires_at_ms = INT64_MAX / 2;
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD);
  value.stored_at_ms = value.expires_at_ms = -WALL_MS;
  assert_int_equal(forge("d.test", &value), IMAGE_BAD_RECORD);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_route_comes_back_as_it_was),
      cmocka_unit_test(every_kind_of_domain_comes_back),
      cmocka_unit_test(an_alias_without_mx_comes_back_with_its_canonical_name),
      cmocka_unit_test(a_failure_is_not_written),
      cmocka_unit_test(a_life_goes_on_while_the_image_lies),
      cmocka_unit_test(what_has_expired_comes_back_as_it_was),
      cmocka_unit_test(the_largest_domain_fits),
      cmocka_unit_test(the_addresses_of_a_host_come_back),
      cmocka_unit_test(denials_of_addresses_come_back),
      cmocka_unit_test(a_family_that_failed_comes_back_as_unknown),
      cmocka_unit_test(a_host_of_which_nothing_definite_is_known_is_not_written),
      cmocka_unit_test(a_host_that_is_an_address_is_not_written),
      cmocka_unit_test(a_header_gives_when_the_image_was_begun_and_its_generation),
      cmocka_unit_test(every_changed_bit_of_a_header_is_seen),
      cmocka_unit_test(the_end_says_how_many_records_there_were),
      cmocka_unit_test(every_truncation_is_incomplete),
      cmocka_unit_test(every_changed_bit_of_a_record_is_seen),
      cmocka_unit_test(a_record_in_another_place_is_seen),
      cmocka_unit_test(a_length_over_the_bound_is_refused_at_once),
      cmocka_unit_test(exchanges_out_of_order_are_refused),
      cmocka_unit_test(names_that_are_none_are_refused),
      cmocka_unit_test(kinds_and_exchanges_that_do_not_fit_are_refused),
      cmocka_unit_test(numbers_that_stand_for_nothing_are_refused),
      cmocka_unit_test(what_the_configuration_says_is_not_written),
      cmocka_unit_test(a_life_that_no_ttl_gives_is_refused),
      cmocka_unit_test(a_life_of_addresses_that_no_ttl_gives_is_refused),
      cmocka_unit_test(times_of_what_is_not_known_are_refused),
      cmocka_unit_test(what_is_not_known_is_not_authentic_and_a_host_has_something_that_is_known),
      cmocka_unit_test(a_time_beyond_all_calendars_is_refused),
  };
  return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
