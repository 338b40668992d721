#include "cmocka_compat.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "made_facts.h"
#include "malloc_watch.h"
#include "record_invariants.h"
#include "record_samples.h"

enum { NOW_MS = RECORD_SAMPLE_NOW_MS, HOUR_MS = 3600000, MUTATIONS = 10000, BUFFER_SIZE = 2 * RECORD_MAX };

static const char key[] = "mxway:1:d:shop.example";

static struct record made, record;
static uint8_t bytes[BUFFER_SIZE];

static struct seal *seal, *other_seal;

/* The monotonic clock of another machine, `later_ms` later. */
static struct image_time elsewhere(int64_t later_ms) {
  return (struct image_time){7000 + later_ms, record_sample_time.wall_ms + later_ms};
}

static size_t pack(const struct seal *with) {
  memset(bytes, 0xa5, sizeof(bytes));
  size_t length = record_pack(bytes, &made, key, with, &record_sample_time);
  assert_in_range(length, 0, RECORD_MAX);
  assert_int_equal(bytes[RECORD_MAX], 0xa5);
  return length;
}

static enum record_status parse_at(size_t length, const struct seal *with, const struct image_time *time) {
  return record_parse_copy(bytes, length, made.kind, made.name, key, with, time, &record);
}

static enum record_status parse(size_t length, const struct seal *with) {
  return parse_at(length, with, &record_sample_time);
}

/* ---- round trips ---- */

static void every_sample_comes_back_as_it_was(void **state) {
  (void)state;
  for (size_t i = 0; i < RECORD_SAMPLE_COUNT; i++)
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
      const struct seal *with = is_sealed ? seal : NULL;
      record_samples[i].make(&made);
      size_t length = pack(with);
      assert_in_range(length, 60, 1024);
      assert_int_equal(parse(length, with), RECORD_GOOD);
      assert_int_equal(record.kind, made.kind);
      assert_string_equal(record.name, made.name);
      assert_string_equal(record.origin, made.origin);
      assert_int_equal(record.generation, made.generation);
      assert_int_equal(record.stale_until_ms, made.stale_until_ms);
      assert_true(record_is_same(&made, &record));
      const char *broken = record_check(bytes, length, key, with, &record_sample_time, &record);
      if (broken)
        fail_msg("%s: %s", record_samples[i].name, broken);
    }
}

static void a_domain_comes_back_with_all_it_says(void **state) {
  (void)state;
  record_sample_odd(&made);
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  const struct domain_value *value = &record.domain;
  assert_int_equal(value->kind, DOMAIN_MX);
  assert_int_equal(value->warnings, made.domain.warnings);
  assert_false(value->authentic);
  assert_string_equal(value->canonical, "_real.xn--bcher-kva.test");
  assert_int_equal(value->count, 2);
  assert_int_equal(value->exchanges[0].preference, 0);
  assert_string_equal(value->exchanges[0].host, "192.0.2.7");
  assert_int_equal(value->exchanges[1].preference, 65535);
  assert_string_equal(value->exchanges[1].host, "-a-.b_c.test");
  assert_int_equal(value->stored_at_ms, made.domain.stored_at_ms);
  assert_int_equal(value->expires_at_ms, made.domain.expires_at_ms);
  assert_int_equal(record.created_at_ms, made.domain.stored_at_ms);
  assert_int_equal(record.expires_at_ms, made.domain.expires_at_ms);
}

static void a_host_comes_back_with_all_it_says(void **state) {
  (void)state;
  record_sample_host_alias(&made);
  made.families[FAMILY_V6].expires_at_ms = made.learned_at_ms[FAMILY_V6] + HOUR_MS;
  made.learned_at_ms[FAMILY_V6] -= 1000;
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  assert_int_equal(record.created_at_ms, made.learned_at_ms[FAMILY_V4]);
  assert_int_equal(record.expires_at_ms, made.families[FAMILY_V6].expires_at_ms);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    const struct family_value *value = &record.families[family], *was = &made.families[family];
    assert_int_equal(record.learned_at_ms[family], made.learned_at_ms[family]);
    assert_int_equal(value->state, FAMILY_OK);
    assert_int_equal(value->expires_at_ms, was->expires_at_ms);
    assert_string_equal(value->expanded, "a-much-longer-name.of-another-zone.example");
    assert_int_equal(value->count, was->count);
    for (uint8_t i = 0; i < value->count; i++)
      assert_memory_equal(value->addresses[i], was->addresses[i], family == FAMILY_V6 ? 16 : 4);
  }
}

static void a_life_goes_on_on_another_machine(void **state) {
  (void)state;
  const struct image_time there = elsewhere(60000);
  record_sample_dual(&made);
  size_t length = pack(NULL);
  assert_int_equal(parse_at(length, NULL, &there), RECORD_GOOD);
  assert_int_equal(record.learned_at_ms[FAMILY_V4], there.now_ms - 60000 - 20);
  assert_int_equal(record.families[FAMILY_V4].expires_at_ms, there.now_ms - 60000 - 20 + 300000);
  assert_int_equal(record.families[FAMILY_V6].expires_at_ms, there.now_ms - 60000 - 40 + HOUR_MS);
  record_sample_provider(&made);
  length = pack(NULL);
  assert_int_equal(parse_at(length, NULL, &there), RECORD_GOOD);
  assert_int_equal(record.domain.expires_at_ms, there.now_ms + 240000);
  assert_int_equal(record.stale_until_ms, there.now_ms + 240000 + RECORD_SAMPLE_STALE_S * INT64_C(1000));
}

/* Turns names about without end, as a year of a list's domains would; what comes back is what went in. */
static void random_records_come_back(void **state) {
  (void)state;
  struct random random = {42};
  unsigned packed = 0;
  for (int round = 0; round < 3000; round++) {
    char host[FACTS_NAME_SIZE];
    snprintf(host, sizeof(host), "d%08x.example", (unsigned)random_next(&random));
    record_sample_domain(&made, host, DOMAIN_MX, random_below(&random, HOUR_MS),
                         1 + random_below(&random, RECORD_LIFE_MAX_S));
    made.generation = random_next(&random);
    made.domain.authentic = random_below(&random, 2);
    made.domain.warnings = (uint16_t)(random_next(&random) & 0xfe);
    for (unsigned count = 1 + random_below(&random, FACTS_EXCHANGES_MAX); made.domain.count < count;) {
      snprintf(host, sizeof(host), "mx%u.%x.example", random_below(&random, 200),
               random_below(&random, 1 << 30));
      record_sample_add(&made, random_below(&random, 1 << 16), host);
    }
    uint16_t warnings = made.domain.warnings;
    domain_value_normalise(&made.domain, 0, NULL);
    made.domain.warnings = warnings;
    const struct seal *with = random_below(&random, 2) ? seal : NULL;
    size_t length = pack(with);
    if (length == 0) /* too long */
      continue;
    packed++;
    struct image_time there = elsewhere(0);
    enum record_status status = parse_at(length, with, &there);
    if (made.stale_until_ms > NOW_MS) {
      assert_int_equal(status, RECORD_GOOD);
      assert_null(record_check(bytes, length, key, with, &there, &record));
      assert_true(record_is_same(&made, &record));
      assert_int_equal(record.domain.expires_at_ms - there.now_ms, made.domain.expires_at_ms - NOW_MS);
    }
  }
  assert_in_range(packed, 2000, 3000);
}

/* ---- what is not shared ---- */

static void failures_and_configured_routes_are_not_packed(void **state) {
  (void)state;
  record_sample_provider(&made);
  made.domain.kind = DOMAIN_FAILED;
  assert_int_equal(pack(NULL), 0);
  made.domain.kind = DOMAIN_ROUTE;
  assert_int_equal(pack(NULL), 0);
  record_sample_dual(&made);
  made.families[FAMILY_V6].state = FAMILY_LOOP;
  made.families[FAMILY_V4].state = FAMILY_TEMPFAIL;
  assert_int_equal(pack(NULL), 0);
}

static void a_ttl_of_0_is_not_packed(void **state) {
  (void)state;
  record_sample_provider(&made);
  made.domain.expires_at_ms = made.domain.stored_at_ms;
  assert_int_equal(pack(NULL), 0);
  record_sample_dual(&made);
  made.families[FAMILY_V6].expires_at_ms = made.learned_at_ms[FAMILY_V6];
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  assert_int_equal(record.families[FAMILY_V6].state, FAMILY_UNKNOWN);
  assert_int_equal(record.families[FAMILY_V4].state, FAMILY_OK);
  assert_int_equal(record.expires_at_ms, made.families[FAMILY_V4].expires_at_ms);
  assert_true(record_is_same(&made, &record));
  made.families[FAMILY_V4].expires_at_ms = made.learned_at_ms[FAMILY_V4];
  assert_int_equal(pack(NULL), 0);
}

static void a_family_that_failed_is_packed_as_unknown(void **state) {
  (void)state;
  record_sample_dual(&made);
  made.families[FAMILY_V4].state = FAMILY_TEMPFAIL;
  made.families[FAMILY_V4].count = 0;
  made.families[FAMILY_V4].failures = 3;
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  assert_int_equal(record.families[FAMILY_V4].state, FAMILY_UNKNOWN);
  assert_int_equal(record.families[FAMILY_V4].expires_at_ms, INT64_MIN);
  assert_int_equal(record.created_at_ms, made.learned_at_ms[FAMILY_V6]);
}

static void the_longest_that_fits_is_packed_and_no_more(void **state) {
  (void)state;
  char host[FACTS_NAME_SIZE] = "";
  size_t last = 0;
  record_sample_domain(&made, "long.example", DOMAIN_MX, 0, 300);
  memset(host, 'h', 200);
  host[50] = host[100] = host[150] = '.';
  for (char first = 'a'; first < 'z'; first++) {
    host[0] = first;
    record_sample_add(&made, 10, host);
    size_t length = pack(NULL);
    if (length == 0)
      break;
    last = length;
  }
  assert_in_range(last, RECORD_MAX - 203, RECORD_MAX);
  struct exchange_value *exchange = &made.domain.exchanges[made.domain.count - 1];
  exchange->host[200 - (last + 203 - RECORD_MAX)] = '\0';
  assert_int_equal(pack(NULL), RECORD_MAX);
  assert_int_equal(parse(RECORD_MAX, NULL), RECORD_GOOD);
  assert_int_equal(pack(seal), 0);
}

static void a_raw_life_is_cut_to_the_longest(void **state) {
  (void)state;
  const int64_t life_ms = RECORD_LIFE_MAX_S * INT64_C(1000), stale_ms = RECORD_STALE_MAX_S * INT64_C(1000);
  record_sample_domain(&made, "long.example", DOMAIN_NULL_MX, 0,
                       UINT32_MAX); /* the top bit of its TTL is set */
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  assert_int_equal(record.domain.expires_at_ms, NOW_MS + life_ms);
  assert_int_equal(record.stale_until_ms, NOW_MS + life_ms + RECORD_SAMPLE_STALE_S * INT64_C(1000));
  made.domain.expires_at_ms = made.stale_until_ms = INT64_MAX;
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  assert_int_equal(record.stale_until_ms, NOW_MS + life_ms);
  record_sample_dual(&made);
  made.families[FAMILY_V4].expires_at_ms = NOW_MS + 2 * life_ms;
  made.stale_until_ms = INT64_MAX;
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  assert_int_equal(record.families[FAMILY_V4].expires_at_ms, made.learned_at_ms[FAMILY_V4] + life_ms);
  assert_int_equal(record.stale_until_ms, record.expires_at_ms + stale_ms);
}

static void an_origin_is_made_printable(void **state) {
  (void)state;
  record_sample_provider(&made);
  memset(made.origin, 'o', sizeof(made.origin)); /* not even terminated */
  made.origin[0] = '\xc3';
  made.origin[1] = ' ';
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  assert_int_equal(strlen(record.origin), RECORD_ORIGIN_SIZE - 1);
  assert_memory_equal(record.origin, "??ooo", 5);
  made.origin[0] = '\0';
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  assert_string_equal(record.origin, "");
}

/* ---- time ---- */

static void what_expired_is_good_until_it_is_too_stale(void **state) {
  (void)state;
  record_sample_provider(&made);
  size_t length = pack(NULL);
  struct image_time there = elsewhere(300000);
  assert_int_equal(parse_at(length, NULL, &there), RECORD_GOOD);
  assert_int_equal(record.expires_at_ms, there.now_ms);
  there = elsewhere(300000 + RECORD_SAMPLE_STALE_S * INT64_C(1000) - 1);
  assert_int_equal(parse_at(length, NULL, &there), RECORD_GOOD);
  there = elsewhere(300000 + RECORD_SAMPLE_STALE_S * INT64_C(1000));
  assert_int_equal(parse_at(length, NULL, &there), RECORD_EXPIRED);
}

static void what_comes_from_the_future_is_refused(void **state) {
  (void)state;
  record_sample_provider(&made);
  size_t length = pack(NULL);
  struct image_time there = elsewhere(-RECORD_FUTURE_MS);
  assert_int_equal(parse_at(length, NULL, &there), RECORD_GOOD);
  there = elsewhere(-RECORD_FUTURE_MS - 1);
  assert_int_equal(parse_at(length, NULL, &there), RECORD_FROM_FUTURE);
}

static void what_a_clock_ahead_wrote_counts_as_written_now(void **state) {
  (void)state;
  struct image_time there = elsewhere(-5000);
  record_sample_provider(&made);
  size_t length = pack(NULL);
  assert_int_equal(parse_at(length, NULL, &there), RECORD_GOOD);
  assert_int_equal(record.created_at_ms, there.now_ms);
  assert_int_equal(record.domain.stored_at_ms, there.now_ms);
  assert_int_equal(record.domain.expires_at_ms, there.now_ms + 300000);
  assert_int_equal(record.stale_until_ms, there.now_ms + 300000 + RECORD_SAMPLE_STALE_S * INT64_C(1000));
  record_sample_dual(&made);
  length = pack(NULL);
  assert_int_equal(parse_at(length, NULL, &there), RECORD_GOOD);
  assert_int_equal(record.learned_at_ms[FAMILY_V4], there.now_ms);
  assert_int_equal(record.learned_at_ms[FAMILY_V6], there.now_ms - 20);
  assert_int_equal(record.families[FAMILY_V6].expires_at_ms, there.now_ms - 20 + HOUR_MS);
  record_sample_half(&made);
  length = pack(NULL);
  assert_int_equal(parse_at(length, NULL, &there), RECORD_GOOD);
  assert_int_equal(record.families[FAMILY_V6].expires_at_ms, INT64_MIN);
}

/* ---- another place, another name, another key ---- */

static enum record_status parse_as(size_t length, enum record_kind kind, const char *name, const char *at_key,
                                   const struct seal *with) {
  return record_parse_copy(bytes, length, kind, name, at_key, with, &record_sample_time, &record);
}

static void another_domains_value_is_refused(void **state) {
  (void)state;
  record_sample_provider(&made);
  size_t length = pack(NULL);
  assert_int_equal(parse_as(length, RECORD_DOMAIN, "shop.example", key, NULL), RECORD_GOOD);
  assert_int_equal(parse_as(length, RECORD_DOMAIN, "shop.exampl", key, NULL), RECORD_WRONG_NAME);
  assert_int_equal(parse_as(length, RECORD_DOMAIN, "hop.example", key, NULL), RECORD_WRONG_NAME);
  assert_int_equal(parse_as(length, RECORD_DOMAIN, "", key, NULL), RECORD_WRONG_NAME);
  assert_int_equal(parse_as(length, RECORD_HOST, "shop.example", key, NULL), RECORD_WRONG_NAME);
}

static void a_value_of_another_version_is_refused(void **state) {
  (void)state;
  for (unsigned version = 0; version < 256; version += version == 0 ? 2 : 1) {
    record_sample_provider(&made);
    size_t length = pack(NULL);
    bytes[RECORD_AT_VERSION] = (uint8_t)version;
    length = record_close(bytes, length - RECORD_CHECKSUM_BYTES, key, NULL);
    assert_int_equal(parse(length, NULL), RECORD_UNKNOWN_VERSION);
  }
}

static void a_sealed_value_is_good_under_its_key_in_the_store_alone(void **state) {
  (void)state;
  record_sample_provider(&made);
  size_t length = pack(seal);
  assert_int_equal(parse_as(length, made.kind, made.name, key, seal), RECORD_GOOD);
  assert_int_equal(parse_as(length, made.kind, made.name, "mxway:x:1:d:shop.example", seal), RECORD_BAD_MAC);
  assert_int_equal(parse_as(length, made.kind, made.name, "", seal), RECORD_BAD_MAC);
}

static void who_has_a_key_believes_only_what_is_sealed_with_it(void **state) {
  (void)state;
  record_sample_provider(&made);
  size_t length = pack(NULL);
  assert_int_equal(parse(length, seal), RECORD_BAD_MAC);
  length = pack(other_seal);
  assert_int_equal(parse(length, other_seal), RECORD_GOOD);
  assert_int_equal(parse(length, seal), RECORD_BAD_MAC);
}

static void who_has_no_key_reads_what_is_sealed(void **state) {
  (void)state;
  record_sample_provider(&made);
  assert_int_equal(parse(pack(seal), NULL), RECORD_GOOD);
  assert_true(record_is_same(&made, &record));
}

static void a_seal_cannot_be_taken_off(void **state) {
  (void)state;
  record_sample_provider(&made);
  size_t length = pack(seal) - SEAL_BYTES - RECORD_CHECKSUM_BYTES;
  length = record_close(bytes, length, key, NULL);
  assert_int_equal(parse(length, NULL), RECORD_GOOD);
  assert_int_equal(parse(length, seal), RECORD_BAD_MAC);
}

/* ---- what may lie there instead ---- */

static void what_is_too_long_is_not_looked_into(void **state) {
  (void)state;
  record_sample_provider(&made);
  pack(NULL);
  const uint8_t *nowhere = NULL;
  for (size_t length = RECORD_MAX + 1; length <= (size_t)100 << 20; length = 2 * length + 1)
    assert_int_equal(
        record_parse(nowhere, length, made.kind, made.name, key, seal, &record_sample_time, &record),
        RECORD_TOO_LONG);
  assert_int_equal(
      record_parse(nowhere, (size_t)100 << 20, made.kind, made.name, key, NULL, &record_sample_time, &record),
      RECORD_TOO_LONG);
}

static void texts_of_others_are_no_records(void **state) {
  (void)state;
  static const char *const texts[] = {"", "m", "mxw", "mxwv", "OK", "mxwayimg", "{\"mx\": []}", "1"};
  record_sample_provider(&made);
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    memcpy(bytes, texts[i], strlen(texts[i]));
    assert_int_equal(parse(strlen(texts[i]), NULL), RECORD_NO_RECORD);
  }
  memset(bytes, 0, RECORD_MAX);
  assert_int_equal(parse(RECORD_MAX, NULL), RECORD_NO_RECORD);
}

static void every_truncation_is_refused(void **state) {
  (void)state;
  for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
    const struct seal *with = is_sealed ? seal : NULL;
    record_sample_host_alias(&made);
    size_t length = pack(with);
    for (size_t cut = 0; cut < length; cut++)
      assert_int_equal(parse(cut, with),
                       cut <= RECORD_AT_SEALED + 1 ? RECORD_NO_RECORD : RECORD_BAD_CHECKSUM);
    /* And with a checksum that is right for it. */
    for (size_t cut = 0; cut < length - RECORD_CHECKSUM_BYTES; cut++) {
      pack(with);
      uint8_t was_sealed = bytes[RECORD_AT_SEALED];
      size_t closed = record_close(bytes, cut, key, NULL);
      assert_int_not_equal(parse(closed, with), RECORD_GOOD);
      bytes[RECORD_AT_SEALED] = was_sealed;
    }
  }
}

static void every_changed_bit_is_seen(void **state) {
  (void)state;
  for (size_t i = 0; i < RECORD_SAMPLE_COUNT; i++) {
    record_samples[i].make(&made);
    size_t length = pack(NULL);
    for (size_t bit = 0; bit < 8 * length; bit++) {
      bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
      enum record_status expected = bit / 8 < RECORD_AT_VERSION    ? RECORD_NO_RECORD
                                    : bit / 8 == RECORD_AT_VERSION ? RECORD_UNKNOWN_VERSION
                                                                   : RECORD_BAD_CHECKSUM;
      assert_int_equal(
          record_parse(bytes, length, made.kind, made.name, key, NULL, &record_sample_time, &record),
          expected);
      bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(parse(length, NULL), RECORD_GOOD);
  }
}

/* Whoever can write to the store can make the checksum right, and the MAC not. */
static void every_changed_bit_of_a_sealed_record_is_seen_whatever_its_checksum(void **state) {
  (void)state;
  record_sample_dual(&made);
  size_t length = pack(seal), end = length - RECORD_CHECKSUM_BYTES;
  for (size_t bit = 8 * (RECORD_AT_VERSION + 1); bit < 8 * end; bit++) {
    pack(seal);
    bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    uint64_t checksum = digest_64(bytes, end, 0);
    for (size_t i = 0; i < RECORD_CHECKSUM_BYTES; i++)
      bytes[end + i] = (uint8_t)(checksum >> 8 * i);
    enum record_status status = parse(length, seal);
    assert_true(status == RECORD_BAD_MAC || (bit / 8 == RECORD_AT_SEALED && status == RECORD_IMPOSSIBLE));
  }
}

/* ---- 10,000 mutated values ---- */

static size_t flip_bits(struct random *random, uint8_t *at, size_t length) {
  for (unsigned count = 1 + random_below(random, 8); count > 0; count--)
    at[random_below(random, (uint32_t)length)] ^= (uint8_t)(1 << random_below(random, 8));
  return length;
}

static size_t cut_off(struct random *random, uint8_t *at, size_t length) {
  (void)at;
  return random_below(random, (uint32_t)length);
}

static size_t extend(struct random *random, uint8_t *at, size_t length) {
  for (unsigned count = 1 + random_below(random, RECORD_MAX); count > 0; count--)
    at[length++] = (uint8_t)random_next(random);
  return length;
}

static size_t cut_out(struct random *random, uint8_t *at, size_t length) {
  size_t from = random_below(random, (uint32_t)length), count = 1 + random_below(random, 16);
  count = count < length - from ? count : length - from;
  memmove(at + from, at + from + count, length - from - count);
  return length - count;
}

static size_t overwrite(struct random *random, uint8_t *at, size_t length) {
  size_t from = random_below(random, (uint32_t)length), count = 1 + random_below(random, 16);
  for (; count > 0 && from < length; from++, count--)
    at[from] = (uint8_t)random_next(random);
  return length;
}

static size_t move_piece(struct random *random, uint8_t *at, size_t length) {
  size_t count = 1 + random_below(random, (uint32_t)length / 2);
  size_t from = random_below(random, (uint32_t)(length - count + 1));
  memmove(at + random_below(random, (uint32_t)(length - count + 1)), at + from, count);
  return length;
}

static size_t (*const mutations[])(struct random *, uint8_t *, size_t) = {flip_bits, cut_off,   extend,
                                                                          cut_out,   overwrite, move_piece};

/* Another record in the place of the one that is asked for. */
static size_t put_another(struct random *random, size_t sample, const struct seal *with) {
  struct record *another = &record;
  size_t other = (sample + 1 + random_below(random, RECORD_SAMPLE_COUNT - 1)) % RECORD_SAMPLE_COUNT;
  record_samples[other].make(another);
  return record_pack(bytes, another, key, with, &record_sample_time);
}

/* A record with one thing about it wrong, well made otherwise. */
static size_t put_wrong(struct random *random, const struct seal *with) {
  struct image_time time = record_sample_time;
  switch (random_below(random, 4)) {
  case 0: /* a clock that is ahead */
    time.wall_ms += RECORD_FUTURE_MS + HOUR_MS + 1 + random_below(random, 1 << 30);
    return record_pack(bytes, &made, key, with, &time);
  case 1: /* long ago */
    time.wall_ms -= (RECORD_LIFE_MAX_S + RECORD_STALE_MAX_S) * INT64_C(1000) + random_below(random, 1 << 30);
    return record_pack(bytes, &made, key, with, &time);
  case 2: /* another key */
    return with ? record_pack(bytes, &made, key, other_seal, &time) : 0;
  default: /* another version */
    pack(NULL);
    bytes[RECORD_AT_VERSION] = (uint8_t)(RECORD_VERSION + 1 + random_below(random, 255));
    return record_close(bytes, 40 + random_below(random, 100), key, with);
  }
}

static void ten_thousand_mutated_values_are_all_refused(void **state) {
  (void)state;
  static uint8_t good[RECORD_MAX];
  struct random random = {20261125};
  unsigned seen[RECORD_STATUS_COUNT] = {0}, mutated = 0;
  while (mutated < MUTATIONS) {
    size_t sample = random_below(&random, RECORD_SAMPLE_COUNT);
    const struct seal *with = random_below(&random, 2) ? seal : NULL;
    record_samples[sample].make(&made);
    size_t length = pack(with), good_length = length;
    assert_int_equal(parse(length, with), RECORD_GOOD);
    memcpy(good, bytes, length);
    unsigned kind = random_below(&random, 10);
    if (kind == 0)
      length = put_another(&random, sample, with);
    else if (kind == 1)
      length = put_wrong(&random, with);
    else
      length =
          mutations[random_below(&random, sizeof(mutations) / sizeof(mutations[0]))](&random, bytes, length);
    /* Who has no key but can write here closes what has been changed anew. */
    if (with && kind > 1 && random_below(&random, 2) && length >= RECORD_CHECKSUM_BYTES &&
        length <= RECORD_MAX) {
      uint64_t checksum = digest_64(bytes, length - RECORD_CHECKSUM_BYTES, 0);
      for (size_t i = 0; i < RECORD_CHECKSUM_BYTES; i++)
        bytes[length - RECORD_CHECKSUM_BYTES + i] = (uint8_t)(checksum >> 8 * i);
    }
    if (length == good_length && memcmp(bytes, good, length) == 0)
      continue;
    mutated++;
    enum record_status status = parse(length, with);
    assert_int_not_equal(status, RECORD_GOOD);
    seen[status]++;
  }
  for (enum record_status status = RECORD_GOOD + 1; status < RECORD_STATUS_COUNT; status++)
    assert_in_range(seen[status], status == RECORD_IMPOSSIBLE ? 0 : 20, MUTATIONS);
}

/* ---- what somebody may have forged: the checksum is right, the rest is not ---- */

/* Closes what `made` says with `octet` in the place `at`, and reads it. */
static enum record_status forge_octet(size_t at, uint8_t octet) {
  size_t length = pack(NULL);
  assert_in_range(at, 0, length - RECORD_CHECKSUM_BYTES - 1);
  bytes[at] = octet;
  return parse(record_close(bytes, length - RECORD_CHECKSUM_BYTES, key, NULL), NULL);
}

static void forge_time(size_t at, int64_t wall_ms) {
  for (int i = 0; i < 8; i++)
    bytes[at + (size_t)i] = (uint8_t)((uint64_t)wall_ms >> 8 * i);
}

static enum record_status forge_times(int64_t created_ms, int64_t expires_ms, int64_t stale_until_ms) {
  size_t length = pack(NULL);
  int64_t wall_ms = record_sample_time.wall_ms;
  forge_time(RECORD_AT_CREATED, wall_ms + created_ms);
  forge_time(RECORD_AT_EXPIRES, wall_ms + expires_ms);
  forge_time(RECORD_AT_STALE_UNTIL, wall_ms + stale_until_ms);
  return parse(record_close(bytes, length - RECORD_CHECKSUM_BYTES, key, NULL), NULL);
}

static void times_that_no_ttl_gives_are_refused(void **state) {
  (void)state;
  const int64_t life_ms = RECORD_LIFE_MAX_S * INT64_C(1000), stale_ms = RECORD_STALE_MAX_S * INT64_C(1000);
  const int64_t wall_ms = record_sample_time.wall_ms;
  record_sample_null_mx(&made);
  assert_int_equal(forge_times(0, life_ms, life_ms + stale_ms), RECORD_GOOD);
  assert_int_equal(forge_times(0, life_ms + 1, life_ms + 2), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(0, life_ms, life_ms + stale_ms + 1), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(0, 1, 1), RECORD_GOOD);
  assert_int_equal(forge_times(0, 0, 1000), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(0, -1, 1000), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(0, 1000, 999), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(INT64_MAX - wall_ms, INT64_MAX - wall_ms, INT64_MAX - wall_ms),
                   RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(-wall_ms - 1, 1000, 2000), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(INT64_MIN, INT64_MAX - wall_ms, 0), RECORD_IMPOSSIBLE);
}

static void times_of_families_that_are_not_those_of_the_host_are_refused(void **state) {
  (void)state;
  record_sample_dual(&made);
  const int64_t created_ms = -20, expires_ms = HOUR_MS - 40, stale_ms = RECORD_SAMPLE_STALE_S * INT64_C(1000);
  assert_int_equal(forge_times(created_ms, expires_ms, expires_ms + stale_ms), RECORD_GOOD);
  assert_int_equal(forge_times(created_ms - 1, expires_ms, expires_ms + stale_ms), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(created_ms + 1, expires_ms, expires_ms + stale_ms), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(created_ms, expires_ms + 1, expires_ms + stale_ms), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_times(created_ms, expires_ms - 1, expires_ms + stale_ms), RECORD_IMPOSSIBLE);
}

/* Where the facts of `made` begin. */
static size_t facts_at(void) { return RECORD_AT_ORIGIN + 1 + strlen(made.origin) + 1 + strlen(made.name); }

static void numbers_that_stand_for_nothing_are_refused(void **state) {
  (void)state;
  record_sample_provider(&made);
  size_t at = facts_at();
  assert_int_equal(forge_octet(at, 1), RECORD_GOOD);
  for (unsigned kind = 0; kind < 256; kind += kind == 0 ? 2 : 1)
    assert_int_equal(forge_octet(at, (uint8_t)kind), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_octet(at + 1, 2), RECORD_IMPOSSIBLE); /* neither authentic nor not */
  assert_int_equal(forge_octet(at + 2, 1), RECORD_IMPOSSIBLE); /* a warning that there is not */
  assert_int_equal(forge_octet(at + 3, 1), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_octet(at + 2, 0xfe), RECORD_GOOD);
  assert_int_equal(forge_octet(RECORD_AT_KIND, 'X'), RECORD_WRONG_NAME);
  record_sample_half(&made);
  at = facts_at() + 1; /* behind the text that it is no alias of */
  assert_int_equal(forge_octet(at, 0), RECORD_GOOD);
  for (unsigned number = 1; number < 256; number++)
    assert_int_equal(forge_octet(at, (uint8_t)number), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_octet(at + 1, 1), RECORD_IMPOSSIBLE); /* authentic, but nothing is known */
  assert_int_equal(forge_octet(at + 2, 1), RECORD_IMPOSSIBLE); /* learned, but nothing is known */
  assert_int_equal(forge_octet(at + 10, 1), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_octet(at + 18, 1), RECORD_IMPOSSIBLE); /* an address, but nothing is known */
}

static void a_record_is_sealed_or_not(void **state) {
  (void)state;
  record_sample_provider(&made);
  for (unsigned octet = 0; octet < 256; octet++) {
    size_t length = pack(seal);
    bytes[RECORD_AT_SEALED] = (uint8_t)octet;
    uint64_t checksum = digest_64(bytes, length - RECORD_CHECKSUM_BYTES, 0);
    for (size_t i = 0; i < RECORD_CHECKSUM_BYTES; i++)
      bytes[length - RECORD_CHECKSUM_BYTES + i] = (uint8_t)(checksum >> 8 * i);
    assert_int_equal(parse(length, NULL), octet == 1 ? RECORD_GOOD : RECORD_IMPOSSIBLE);
    assert_int_equal(parse(length, seal), octet == 0   ? RECORD_BAD_MAC
                                          : octet == 1 ? RECORD_GOOD
                                                       : RECORD_IMPOSSIBLE);
  }
}

static void an_origin_that_is_too_long_is_refused(void **state) {
  (void)state;
  record_sample_provider(&made);
  memset(made.origin, 'o', sizeof(made.origin));
  size_t length = pack(NULL) - RECORD_CHECKSUM_BYTES, at = RECORD_AT_ORIGIN;
  assert_int_equal(bytes[at], RECORD_ORIGIN_SIZE - 1);
  memmove(bytes + at + 2, bytes + at + 1, length - at - 1);
  bytes[at]++;
  assert_int_equal(parse(record_close(bytes, length + 1, key, NULL), NULL), RECORD_IMPOSSIBLE);
}

static void an_octet_too_many_or_too_few_is_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < RECORD_SAMPLE_COUNT; i++) {
    record_samples[i].make(&made);
    size_t length = pack(NULL) - RECORD_CHECKSUM_BYTES;
    bytes[length] = 0;
    assert_int_equal(parse(record_close(bytes, length + 1, key, NULL), NULL), RECORD_IMPOSSIBLE);
    assert_int_equal(parse(record_close(bytes, length - 1, key, NULL), NULL), RECORD_IMPOSSIBLE);
  }
}

static void exchanges_that_facts_could_not_hold_are_refused(void **state) {
  (void)state;
  record_sample_provider(&made);
  made.domain.exchanges[1].preference = 0; /* out of order */
  assert_int_equal(parse(pack(NULL), NULL), RECORD_IMPOSSIBLE);
  record_sample_provider(&made);
  snprintf(made.domain.exchanges[4].host, FACTS_NAME_SIZE, "aspmx.l.provider.example"); /* twice */
  assert_int_equal(parse(pack(NULL), NULL), RECORD_IMPOSSIBLE);
  record_sample_provider(&made);
  made.domain.count = 0;
  assert_int_equal(parse(pack(NULL), NULL), RECORD_IMPOSSIBLE);
  record_sample_null_mx(&made);
  record_sample_add(&made, 0, "a.example"); /* a null MX with an exchange */
  assert_int_equal(parse(pack(NULL), NULL), RECORD_IMPOSSIBLE);
  record_sample_implicit(&made);
  snprintf(made.domain.exchanges[0].host, FACTS_NAME_SIZE, "evil.example"); /* not itself */
  assert_int_equal(parse(pack(NULL), NULL), RECORD_IMPOSSIBLE);
  record_sample_provider(&made);
  snprintf(made.domain.exchanges[0].host, FACTS_NAME_SIZE, "A.example");
  assert_int_equal(parse(pack(NULL), NULL), RECORD_IMPOSSIBLE);
}

static void names_that_are_none_are_refused(void **state) {
  (void)state;
  static const char *const names[] = {"",      "A.test", "a b.test", "a..test",
                                      ".test", "test.",  "a\\.test", "a\x80.test"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    record_sample_provider(&made);
    snprintf(made.name, sizeof(made.name), "%s", names[i]);
    assert_int_equal(parse(pack(NULL), NULL), RECORD_IMPOSSIBLE); /* though it is asked for */
    record_sample_provider(&made);
    snprintf(made.domain.canonical, FACTS_NAME_SIZE, "%s", names[i]);
    assert_int_equal(parse(pack(NULL), NULL), names[i][0] ? RECORD_IMPOSSIBLE : RECORD_GOOD);
    record_sample_dual(&made);
    record_sample_alias(&made, names[i]);
    assert_int_equal(parse(pack(NULL), NULL), names[i][0] ? RECORD_IMPOSSIBLE : RECORD_GOOD);
  }
  record_sample_provider(&made);
  assert_int_equal(forge_octet(RECORD_AT_ORIGIN + 1, ' '), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_octet(RECORD_AT_ORIGIN, RECORD_ORIGIN_SIZE), RECORD_IMPOSSIBLE);
  assert_int_equal(forge_octet(RECORD_AT_ORIGIN, 255), RECORD_IMPOSSIBLE);
}

/* ---- comparing ---- */

static void the_same_facts_at_another_time_are_the_same(void **state) {
  (void)state;
  for (size_t i = 0; i < RECORD_SAMPLE_COUNT; i++) {
    record_samples[i].make(&made);
    record_samples[i].make(&record);
    record.generation++;
    record.origin[0] = 'X';
    record.domain.stored_at_ms += 5;
    record.domain.expires_at_ms += HOUR_MS;
    record.families[FAMILY_V4].expires_at_ms +=
        made.families[FAMILY_V4].state != FAMILY_UNKNOWN ? HOUR_MS : 0;
    assert_true(record_is_same(&made, &record));
    for (size_t other = 0; other < RECORD_SAMPLE_COUNT; other++) {
      record_samples[other].make(&record);
      assert_int_equal(record_is_same(&made, &record), i == other);
    }
  }
}

static void the_order_of_addresses_says_nothing(void **state) {
  (void)state;
  record_sample_dual(&made);
  record_sample_dual(&record);
  memcpy(record.families[FAMILY_V4].addresses[0], made.families[FAMILY_V4].addresses[1], 4);
  memcpy(record.families[FAMILY_V4].addresses[1], made.families[FAMILY_V4].addresses[0], 4);
  assert_true(record_is_same(&made, &record));
  memcpy(record.families[FAMILY_V4].addresses[1], record.families[FAMILY_V4].addresses[0], 4);
  assert_false(record_is_same(&made, &record));
  assert_false(record_is_same(&record, &made));
}

static void other_facts_are_not_the_same(void **state) {
  (void)state;
  static const size_t at[] = {offsetof(struct record, domain.authentic),
                              offsetof(struct record, domain.warnings),
                              offsetof(struct record, domain.canonical[0]),
                              offsetof(struct record, domain.exchanges[1].host[0]),
                              offsetof(struct record, domain.exchanges[1].preference),
                              offsetof(struct record, name[0])};
  record_sample_provider(&made);
  for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
    record_sample_provider(&record);
    ((uint8_t *)&record)[at[i]] ^= 1;
    assert_false(record_is_same(&made, &record));
  }
  record_sample_provider(&record);
  record.domain.count--;
  assert_false(record_is_same(&made, &record));
  record_sample_dual(&made);
  record_sample_dual(&record);
  record.families[FAMILY_V6].authentic = true;
  assert_false(record_is_same(&made, &record));
  record_sample_dual(&record);
  record.families[FAMILY_V6].count = 0;
  record.families[FAMILY_V6].state = FAMILY_NODATA;
  assert_false(record_is_same(&made, &record));
  record_sample_no_host(&made);
  record_sample_no_host(&record);
  record.families[FAMILY_V6].state = FAMILY_NODATA;
  assert_false(record_is_same(&made, &record));
  record_sample_dual(&made);
  record_sample_dual(&record);
  record.families[FAMILY_V6].addresses[0][15] ^= 1;
  assert_false(record_is_same(&made, &record));
  record_sample_dual(&record);
  record_sample_alias(&record, "other.example");
  assert_false(record_is_same(&made, &record));
}

static void what_could_not_be_asked_takes_the_alias_of_the_other_family(void **state) {
  (void)state;
  record_sample_half(&made);
  snprintf(made.families[FAMILY_V4].expanded, FACTS_NAME_SIZE, "real.example");
  assert_int_equal(parse(pack(NULL), NULL), RECORD_GOOD);
  assert_string_equal(record.families[FAMILY_V4].expanded, "real.example");
  assert_true(record_is_same(&made, &record));
}

/* ---- cost, words ---- */

static void packing_and_parsing_allocate_nothing(void **state) {
  (void)state;
  if (!malloc_is_watched())
    skip();
  record_sample_provider(&made);
  long before = atomic_load(&malloc_calls);
  malloc_allow(0);
  size_t length = record_pack(bytes, &made, key, seal, &record_sample_time);
  enum record_status status =
      record_parse(bytes, length, made.kind, made.name, key, seal, &record_sample_time, &record);
  malloc_allow(LONG_MAX);
  assert_int_equal(atomic_load(&malloc_calls), before);
  assert_int_equal(status, RECORD_GOOD);
}

static void every_status_has_a_text_of_its_own(void **state) {
  (void)state;
  for (enum record_status status = 0; status < RECORD_STATUS_COUNT; status++)
    for (enum record_status other = 0; other < status; other++)
      assert_string_not_equal(record_status_text(status), record_status_text(other));
}

/* A seal with a key of its own. */
static struct seal *make_seal(unsigned number) {
  char path[] = "/tmp/mxway-test-XXXXXX", line[80], why[SEAL_TEXT_SIZE];
  struct seal *made_seal = NULL;
  int fd = mkstemp(path);
  int length = snprintf(line, sizeof(line), "%064x\n", number);
  bool is_made =
      fd >= 0 && write(fd, line, (size_t)length) == length && seal_create(path, why, &made_seal) == 0;
  if (fd >= 0) {
    close(fd);
    unlink(path);
  }
  return is_made ? made_seal : NULL;
}

static int set_up(void **state) {
  (void)state;
  seal = make_seal(1);
  other_seal = make_seal(2);
  return seal && other_seal ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  seal_destroy(seal);
  seal_destroy(other_seal);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_sample_comes_back_as_it_was),
      cmocka_unit_test(a_domain_comes_back_with_all_it_says),
      cmocka_unit_test(a_host_comes_back_with_all_it_says),
      cmocka_unit_test(a_life_goes_on_on_another_machine),
      cmocka_unit_test(random_records_come_back),
      cmocka_unit_test(failures_and_configured_routes_are_not_packed),
      cmocka_unit_test(a_ttl_of_0_is_not_packed),
      cmocka_unit_test(a_family_that_failed_is_packed_as_unknown),
      cmocka_unit_test(the_longest_that_fits_is_packed_and_no_more),
      cmocka_unit_test(a_raw_life_is_cut_to_the_longest),
      cmocka_unit_test(an_origin_is_made_printable),
      cmocka_unit_test(what_expired_is_good_until_it_is_too_stale),
      cmocka_unit_test(what_comes_from_the_future_is_refused),
      cmocka_unit_test(what_a_clock_ahead_wrote_counts_as_written_now),
      cmocka_unit_test(another_domains_value_is_refused),
      cmocka_unit_test(a_value_of_another_version_is_refused),
      cmocka_unit_test(a_sealed_value_is_good_under_its_key_in_the_store_alone),
      cmocka_unit_test(who_has_a_key_believes_only_what_is_sealed_with_it),
      cmocka_unit_test(who_has_no_key_reads_what_is_sealed),
      cmocka_unit_test(a_seal_cannot_be_taken_off),
      cmocka_unit_test(what_is_too_long_is_not_looked_into),
      cmocka_unit_test(texts_of_others_are_no_records),
      cmocka_unit_test(every_truncation_is_refused),
      cmocka_unit_test(every_changed_bit_is_seen),
      cmocka_unit_test(every_changed_bit_of_a_sealed_record_is_seen_whatever_its_checksum),
      cmocka_unit_test(ten_thousand_mutated_values_are_all_refused),
      cmocka_unit_test(times_that_no_ttl_gives_are_refused),
      cmocka_unit_test(times_of_families_that_are_not_those_of_the_host_are_refused),
      cmocka_unit_test(numbers_that_stand_for_nothing_are_refused),
      cmocka_unit_test(a_record_is_sealed_or_not),
      cmocka_unit_test(an_origin_that_is_too_long_is_refused),
      cmocka_unit_test(an_octet_too_many_or_too_few_is_refused),
      cmocka_unit_test(exchanges_that_facts_could_not_hold_are_refused),
      cmocka_unit_test(names_that_are_none_are_refused),
      cmocka_unit_test(the_same_facts_at_another_time_are_the_same),
      cmocka_unit_test(the_order_of_addresses_says_nothing),
      cmocka_unit_test(other_facts_are_not_the_same),
      cmocka_unit_test(what_could_not_be_asked_takes_the_alias_of_the_other_family),
      cmocka_unit_test(packing_and_parsing_allocate_nothing),
      cmocka_unit_test(every_status_has_a_text_of_its_own),
  };
  return cmocka_run_group_tests_name("record", tests, set_up, tear_down);
}
