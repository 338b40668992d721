#include "cmocka_compat.h"

#include "cache/dump.h"
#include "cache/load.h"
#include "image_invariants.h"
#include "made_facts.h"
#include "rules/name.h"
#include "rules/verdict.h"

enum {
  CACHE_BYTES = 1 << 20,
  IMAGE_BYTES = 1 << 20,
  HOUR_MS = 3600000,
  MAX_S = 86400,
  MAX_NEGATIVE_S = 3600,
  MAX_STALE_MS = 2 * HOUR_MS,
  MANY = 500
};

/* When the image is written, and the moment on the clocks of the daemon that loads it. */
static const struct image_time written = {70000000, 1790000000000};
static const struct image_time now = {5000000, 1790000000000};

static const struct ttl_policy lives = {.max_s = MAX_S, .max_negative_s = MAX_NEGATIVE_S};
static struct stats stats;

/* An image being written, and a cache to load it into. */
struct trial {
  struct cache *cache;
  struct load *load;
  uint64_t number; /* of the next record */
  size_t length;
  uint8_t image[IMAGE_BYTES];
};

static int open_trial(void **state) {
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->cache = cache_create(CACHE_BYTES, MAX_STALE_MS, &stats);
  assert_non_null(trial->cache);
  trial->load = load_create(trial->cache, &lives);
  assert_non_null(trial->load);
  trial->length = image_pack_header(trial->image, written.wall_ms, 0);
  trial->number = 1;
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  load_destroy(trial->load);
  cache_destroy(trial->cache);
  free(trial);
  return 0;
}

/* ---- writing ---- */

static void write_value(struct trial *trial, const char *name, const struct domain_value *value) {
  struct zone zone;
  zone_init(&zone, value->kind, value->stored_at_ms, value->expires_at_ms);
  zone.value = *value;
  zone_build(&zone, name);
  trial->length += image_pack_domain(trial->image + trial->length, trial->number++, zone.facts, 0, &written);
  zone_fini(&zone);
}

/* A domain learned `age_ms` before the image was written, with `left_ms` to live, by way of `host`. */
static void write_route(struct trial *trial, const char *name, const char *host, int64_t age_ms,
                        int64_t left_ms) {
  struct domain_value value = {.kind = DOMAIN_MX,
                               .stored_at_ms = written.now_ms - age_ms,
                               .expires_at_ms = written.now_ms + left_ms,
                               .count = 1};
  value.exchanges[0].preference = 10;
  snprintf(value.exchanges[0].host, FACTS_NAME_SIZE, "%s", host);
  write_value(trial, name, &value);
}

static void write_kind(struct trial *trial, const char *name, enum domain_kind kind, int64_t left_ms) {
  struct domain_value value = {
      .kind = kind, .stored_at_ms = written.now_ms, .expires_at_ms = written.now_ms + left_ms};
  write_value(trial, name, &value);
}

static void write_host(struct trial *trial, const char *name, struct family_value v6,
                       struct family_value v4) {
  struct family_value values[FAMILY_COUNT];
  values[FAMILY_V6] = v6;
  values[FAMILY_V4] = v4;
  struct host *host = make_host(name);
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  trial->length += image_pack_host(trial->image + trial->length, trial->number++, host, facts, &written);
  free(facts);
  free(host);
}

static struct family_value family_of(enum family family, unsigned count, int64_t left_ms) {
  return made_family(family, count ? FAMILY_OK : FAMILY_NODATA, count, written.now_ms + left_ms, "");
}

static void write_end(struct trial *trial) {
  trial->length += image_pack_end(trial->image + trial->length, trial->number++);
}

/* ---- loading ---- */

/* Brings the image in pieces of `piece` octets, and looks at `most` records at a time. */
static enum image_status load_in(struct trial *trial, size_t piece, size_t most) {
  enum image_status status = IMAGE_INCOMPLETE;
  for (size_t at = 0; at < trial->length && status == IMAGE_INCOMPLETE;) {
    size_t left = trial->length - at;
    at += load_put(trial->load, trial->image + at, left < piece ? left : piece);
    do
      status = load_step(trial->load, most, &now);
    while (status == IMAGE_GOOD);
  }
  return status;
}

static const struct domain_facts *known(struct trial *trial, const char *name) {
  return cache_peek(trial->cache, name, strlen(name), name_hash(name, strlen(name)));
}

static const struct host_facts *known_host(struct trial *trial, const char *name) {
  struct host *host = cache_find_host(trial->cache, name, strlen(name));
  return host ? atomic_load(&host->facts) : NULL;
}

static void load_all(struct trial *trial) {
  write_end(trial);
  assert_int_equal(load_in(trial, trial->length, 1000), IMAGE_INCOMPLETE);
  assert_true(load_has_ended(trial->load));
}

/* What memory knows already: learned `age_ms` ago. */
static void remember(struct trial *trial, const char *name, enum domain_kind kind, int64_t age_ms,
                     int64_t left_ms) {
  struct domain_value value = {.kind = kind,
                               .cause = VERDICT_DNS_SERVFAIL,
                               .stored_at_ms = now.now_ms - age_ms,
                               .expires_at_ms = now.now_ms + left_ms};
  cache_release(trial->cache,
                cache_put(trial->cache, name, strlen(name), name_hash(name, strlen(name)), &value));
}

/* ---- what is put ---- */

static void what_was_written_is_known_again_with_what_is_left_of_its_life(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 5000, HOUR_MS);
  write_kind(trial, "none.test", DOMAIN_NXDOMAIN, 1000);
  write_host(trial, "a.test", family_of(FAMILY_V6, 0, 2000), family_of(FAMILY_V4, 3, 3000));
  load_all(trial);
  assert_int_equal(load_counts(trial->load)->domains, 2);
  assert_int_equal(load_counts(trial->load)->hosts, 1);
  const struct domain_facts *facts = known(trial, "d.test");
  assert_non_null(facts);
  assert_int_equal(facts->kind, DOMAIN_MX);
  assert_int_equal(facts->stored_at_ms, now.now_ms - 5000);
  assert_int_equal(facts->expires_at_ms, now.now_ms + HOUR_MS);
  assert_int_equal(known(trial, "none.test")->kind, DOMAIN_NXDOMAIN);
  const struct host_facts *host = known_host(trial, "a.test");
  assert_non_null(host);
  assert_int_equal(host->count[FAMILY_V4], 3);
  assert_int_equal(host->expires_at_ms[FAMILY_V4], now.now_ms + 3000);
  assert_int_equal(host->state[FAMILY_V6], FAMILY_NODATA);
}

static void it_does_not_matter_in_what_pieces_an_image_comes(void **state) {
  (void)state;
  static const size_t pieces[] = {1, 7, 100, 4096};
  for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
    void *own;
    open_trial(&own);
    struct trial *trial = own;
    char name[32];
    for (int j = 0; j < 2000; j++) {
      snprintf(name, sizeof(name), "d%d.test", j);
      write_route(trial, name, "a.test", 0, HOUR_MS);
    }
    write_end(trial);
    assert_int_equal(load_in(trial, pieces[i], 3), IMAGE_INCOMPLETE);
    assert_true(load_has_ended(trial->load));
    assert_int_equal(load_counts(trial->load)->domains, 2000);
    close_trial(&own);
  }
}

/* A host that has no address at all. */
static struct family_value denied_family(int64_t left_ms) {
  return made_family(FAMILY_V6, FAMILY_NXDOMAIN, 0, written.now_ms + left_ms, "");
}

static void what_has_expired_is_skipped_and_counted(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 3 * HOUR_MS, -MAX_STALE_MS);
  write_route(trial, "e.test", "a.test", 0, 1);
  write_route(trial, "zero.test", "a.test", 10, -10); /* its TTL was 0 */
  write_kind(trial, "none.test", DOMAIN_NXDOMAIN, 0);
  write_host(trial, "a.test", denied_family(-1), family_of(FAMILY_V4, 1, -MAX_STALE_MS));
  load_all(trial);
  assert_null(known(trial, "d.test"));
  assert_non_null(known(trial, "e.test"));
  assert_null(known(trial, "zero.test"));
  assert_null(known(trial, "none.test"));
  assert_null(known_host(trial, "a.test"));
  assert_int_equal(load_counts(trial->load)->expired, 4);
  assert_int_equal(load_counts(trial->load)->stale, 0);
}

/* ---- what may be answered stale ---- */

static void what_may_be_answered_stale_is_known_as_expired(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", HOUR_MS, -1);
  write_route(trial, "e.test", "a.test", 3 * HOUR_MS, 1 - MAX_STALE_MS);
  write_kind(trial, "null.test", DOMAIN_NULL_MX, HOUR_MS);
  write_host(trial, "a.test", family_of(FAMILY_V6, 0, -20), family_of(FAMILY_V4, 1, -10));
  load_all(trial);
  const struct domain_facts *facts = known(trial, "d.test");
  assert_non_null(facts);
  assert_int_equal(facts->expires_at_ms, now.now_ms - 1);
  assert_true(domain_facts_until_ms(facts, false) <= now.now_ms); /* not answered until the DNS has failed, */
  assert_true(domain_facts_are_kept(facts, MAX_STALE_MS, now.now_ms)); /* but kept for that */
  assert_non_null(known(trial, "e.test"));
  const struct host_facts *host = known_host(trial, "a.test");
  assert_non_null(host);
  assert_false(host_facts_are_ready(host, false, now.now_ms));
  assert_true(host_facts_are_kept(host, MAX_STALE_MS, now.now_ms));
  assert_int_equal(host->count[FAMILY_V4], 1);
  assert_int_equal(host->expires_at_ms[FAMILY_V4], now.now_ms - 10);
  assert_int_equal(host->life_ms[FAMILY_V4], MADE_LIFE_MS);
  assert_int_equal(load_counts(trial->load)->domains, 3);
  assert_int_equal(load_counts(trial->load)->stale, 2);
}

static void the_daemon_that_loads_says_how_stale_an_answer_may_be(void **state) {
  struct trial *trial = *state;
  cache_destroy(trial->cache);
  load_destroy(trial->load);
  trial->cache = cache_create(CACHE_BYTES, 0, &stats); /* never */
  trial->load = load_create(trial->cache, &lives);
  write_route(trial, "d.test", "a.test", HOUR_MS, -1);
  write_route(trial, "e.test", "a.test", HOUR_MS, HOUR_MS);
  write_host(trial, "a.test", family_of(FAMILY_V6, 0, -20), family_of(FAMILY_V4, 1, -10));
  load_all(trial);
  assert_null(known(trial, "d.test"));
  assert_null(known_host(trial, "a.test"));
  assert_int_equal(load_counts(trial->load)->expired, 2);
}

/* A denial that memory knows of, though it has expired, too, speaks against an earlier route. */
static void an_expired_record_gives_way_to_what_holds_and_to_what_is_later(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum domain_kind kind; /* of what memory knows */
    int64_t age_ms, left_ms;
    bool is_replaced;
  } rows[] = {
      {DOMAIN_NXDOMAIN, 2 * HOUR_MS, 1, false}, /* it holds, though it is earlier */
      {DOMAIN_NXDOMAIN, 1000, -1, false},       {DOMAIN_NXDOMAIN, 2 * HOUR_MS, -1, true},
      {DOMAIN_NULL_MX, 1000, -1, false},        {DOMAIN_NULL_MX, 2 * HOUR_MS, -1, true},
      {DOMAIN_FAILED, 0, 5000, true},
  };
  char name[32];
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    snprintf(name, sizeof(name), "d%zu.test", i);
    remember(trial, name, rows[i].kind, rows[i].age_ms, rows[i].left_ms);
    write_route(trial, name, "a.test", HOUR_MS, -10);
  }
  load_all(trial);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    snprintf(name, sizeof(name), "d%zu.test", i);
    assert_int_equal(known(trial, name)->kind, rows[i].is_replaced ? DOMAIN_MX : rows[i].kind);
  }
  assert_int_equal(load_counts(trial->load)->older, 3);
}

/* Memory has learned the addresses of a.test an hour ago. */
static void remember_host(struct trial *trial, int64_t left_ms) {
  struct family_value values[FAMILY_COUNT] = {
      made_family(FAMILY_V6, FAMILY_OK, 3, now.now_ms + left_ms, "old.test"),
      made_family(FAMILY_V4, FAMILY_OK, 3, now.now_ms + left_ms, "old.test")};
  cache_put_host(trial->cache, cache_find_host(trial->cache, "a.test", 6), host_facts_build(values),
                 now.now_ms);
}

static void of_addresses_too_what_holds_is_better_and_then_what_is_later(void **state) {
  (void)state;
  static const struct {
    int64_t known_left_ms, left_ms;
    unsigned count; /* of addresses afterwards */
  } rows[] = {{5000, -1, 3},  {-5000, -1, 1},  {-5000, 5000, 1},
              {-1, -5000, 3}, {5000, 9000, 1}, {9000, 5000, 3}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    void *own;
    open_trial(&own);
    struct trial *trial = own;
    write_route(trial, "d.test", "a.test", 0, HOUR_MS);
    load_in(trial, trial->length, 10);
    remember_host(trial, rows[i].known_left_ms);
    size_t before = trial->length;
    write_host(trial, "a.test", family_of(FAMILY_V6, 1, rows[i].left_ms),
               family_of(FAMILY_V4, 1, rows[i].left_ms));
    write_end(trial);
    load_put(trial->load, trial->image + before, trial->length - before);
    assert_int_equal(load_step(trial->load, 10, &now), IMAGE_INCOMPLETE);
    assert_int_equal(known_host(trial, "a.test")->count[FAMILY_V4], rows[i].count);
    close_trial(&own);
  }
}

/* The family that memory has learned later stays, and says for both whether the host is an alias. */
static void the_later_answer_says_what_the_alias_is(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  load_in(trial, trial->length, 10);
  remember_host(trial, 9000);
  size_t before = trial->length;
  struct family_value v6 = family_of(FAMILY_V6, 1, 50000), v4 = family_of(FAMILY_V4, 1, 50000);
  v4.life_ms = 2 * MADE_LIFE_MS; /* learned earlier, though it lives longer */
  v6.life_ms = MADE_LIFE_MS + 30000;
  write_host(trial, "a.test", v6, v4);
  write_end(trial);
  load_put(trial->load, trial->image + before, trial->length - before);
  assert_int_equal(load_step(trial->load, 10, &now), IMAGE_INCOMPLETE);
  struct family_value value;
  host_facts_unpack(known_host(trial, "a.test"), FAMILY_V4, &value);
  assert_int_equal(value.count, 3);
  assert_string_equal(value.expanded, "");
  host_facts_unpack(known_host(trial, "a.test"), FAMILY_V6, &value);
  assert_int_equal(value.count, 1);
}

static void what_comes_from_the_future_is_skipped_and_counted(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", -60000, HOUR_MS);
  write_route(trial, "e.test", "a.test", -60001, HOUR_MS);
  load_all(trial);
  assert_non_null(known(trial, "d.test"));
  assert_null(known(trial, "e.test"));
  assert_int_equal(load_counts(trial->load)->future, 1);
}

static void addresses_from_the_future_are_skipped_and_counted(void **state) {
  struct trial *trial = *state;
  int64_t left_ms = MADE_LIFE_MS + 60000; /* of what was learned a minute from now */
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  write_route(trial, "e.test", "b.test", 0, HOUR_MS);
  write_host(trial, "a.test", family_of(FAMILY_V6, 1, left_ms + 1), family_of(FAMILY_V4, 1, left_ms + 1));
  write_host(trial, "b.test", family_of(FAMILY_V6, 1, left_ms + 1), family_of(FAMILY_V4, 1, left_ms));
  load_all(trial);
  assert_null(known_host(trial, "a.test"));
  assert_int_equal(known_host(trial, "b.test")->state[FAMILY_V6], FAMILY_UNKNOWN);
  assert_int_equal(known_host(trial, "b.test")->count[FAMILY_V4], 1);
  assert_int_equal(load_counts(trial->load)->future, 1);
}

static void what_memory_has_learned_later_stays(void **state) {
  struct trial *trial = *state;
  remember(trial, "d.test", DOMAIN_NXDOMAIN, 1000, 500);
  remember(trial, "e.test", DOMAIN_NXDOMAIN, 20000, 500);
  write_route(trial, "d.test", "a.test", 5000, HOUR_MS);
  write_route(trial, "e.test", "a.test", 5000, HOUR_MS);
  load_all(trial);
  assert_int_equal(known(trial, "d.test")->kind, DOMAIN_NXDOMAIN);
  assert_int_equal(known(trial, "e.test")->kind, DOMAIN_MX);
  assert_int_equal(load_counts(trial->load)->older, 1);
  assert_int_equal(load_counts(trial->load)->domains, 1);
}

static void an_image_that_is_loaded_twice_changes_nothing_the_second_time(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 5000, HOUR_MS);
  write_host(trial, "a.test", family_of(FAMILY_V6, 1, 1000), family_of(FAMILY_V4, 1, 1000));
  load_all(trial);
  const struct domain_facts *facts = known(trial, "d.test");
  const struct host_facts *host = known_host(trial, "a.test");
  load_destroy(trial->load);
  trial->load = load_create(trial->cache, &lives);
  assert_int_equal(load_in(trial, trial->length, 1000), IMAGE_INCOMPLETE);
  assert_int_equal(load_counts(trial->load)->older, 2);
  assert_ptr_equal(known(trial, "d.test"), facts);
  assert_ptr_equal(known_host(trial, "a.test"), host);
}

static void a_record_replaces_a_failure_and_what_has_expired(void **state) {
  struct trial *trial = *state;
  remember(trial, "d.test", DOMAIN_FAILED, 0, 5000);
  remember(trial, "e.test", DOMAIN_NXDOMAIN, 1000, 0);
  write_route(trial, "d.test", "a.test", 5000, HOUR_MS);
  write_route(trial, "e.test", "a.test", 5000, HOUR_MS);
  load_all(trial);
  assert_int_equal(known(trial, "d.test")->kind, DOMAIN_MX);
  assert_int_equal(known(trial, "e.test")->kind, DOMAIN_MX);
}

static void of_a_host_only_the_family_that_improves_is_taken(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  write_host(trial, "a.test", family_of(FAMILY_V6, 1, 9000), family_of(FAMILY_V4, 1, 90000));
  load_all(trial);
  load_destroy(trial->load);
  trial->load = load_create(trial->cache, &lives);
  trial->length = image_pack_header(trial->image, written.wall_ms, 0);
  trial->number = 1;
  write_host(trial, "a.test", family_of(FAMILY_V6, 2, 50000), family_of(FAMILY_V4, 2, 50000));
  load_all(trial);
  const struct host_facts *facts = known_host(trial, "a.test");
  assert_int_equal(facts->count[FAMILY_V6], 2);
  assert_int_equal(facts->count[FAMILY_V4], 1);
  assert_int_equal(load_counts(trial->load)->hosts, 1);
}

static void addresses_of_a_host_that_nobody_names_are_not_kept(void **state) {
  struct trial *trial = *state;
  write_host(trial, "a.test", family_of(FAMILY_V6, 1, 1000), family_of(FAMILY_V4, 1, 1000));
  load_all(trial);
  assert_int_equal(load_counts(trial->load)->unused, 1);
  assert_int_equal(cache_host_count(trial->cache), 0);
}

static void a_life_is_bounded_by_the_limits_of_the_daemon_that_loads(void **state) {
  struct trial *trial = *state;
  int64_t long_ms = IMAGE_LIFE_MAX_S * INT64_C(1000) - HOUR_MS;
  write_route(trial, "d.test", "a.test", HOUR_MS, long_ms);
  write_kind(trial, "none.test", DOMAIN_NXDOMAIN, long_ms);
  write_kind(trial, "null.test", DOMAIN_NULL_MX, long_ms);
  struct family_value v6 = family_of(FAMILY_V6, 0, long_ms), v4 = family_of(FAMILY_V4, 1, long_ms);
  v6.life_ms = v4.life_ms = (uint32_t)long_ms + 1000; /* learned a second ago */
  write_host(trial, "a.test", v6, v4);
  load_all(trial);
  assert_int_equal(known(trial, "d.test")->expires_at_ms, now.now_ms - HOUR_MS + MAX_S * 1000);
  assert_int_equal(known(trial, "none.test")->expires_at_ms, now.now_ms + MAX_NEGATIVE_S * 1000);
  assert_int_equal(known(trial, "null.test")->expires_at_ms, now.now_ms + MAX_S * 1000);
  const struct host_facts *host = known_host(trial, "a.test");
  assert_int_equal(host->expires_at_ms[FAMILY_V4], now.now_ms - 1000 + MAX_S * 1000);
  assert_int_equal(host->life_ms[FAMILY_V4], MAX_S * 1000);
  assert_int_equal(host->expires_at_ms[FAMILY_V6], now.now_ms - 1000 + MAX_NEGATIVE_S * 1000);
}

static void no_hold_is_left_behind(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  write_host(trial, "a.test", family_of(FAMILY_V6, 1, 1000), family_of(FAMILY_V4, 1, 1000));
  load_all(trial);
  assert_true(cache_remove(trial->cache, "d.test", 6, name_hash("d.test", 6)));
  assert_int_equal(cache_set_count(trial->cache), 0);
  assert_int_equal(cache_host_count(trial->cache), 0);
}

/* ---- a memory that is smaller ---- */

enum { LARGE_BYTES = 8 << 20, CROWD = 20000 };

/* Puts d0.test and so on, all of one length, so that their order is known. */
static void put_crowd(struct cache *cache, int64_t left_ms, int from, int to) {
  struct domain_value value = {
      .kind = DOMAIN_NULL_MX, .stored_at_ms = now.now_ms - HOUR_MS, .expires_at_ms = now.now_ms + left_ms};
  for (int i = from; i < to; i++) {
    char name[32];
    size_t length = (size_t)snprintf(name, sizeof(name), "d%06d.test", i);
    cache_release(cache, cache_put(cache, name, length, name_hash(name, length), &value));
  }
}

static const struct domain_facts *of_crowd(const struct cache *cache, int number) {
  char name[32];
  size_t length = (size_t)snprintf(name, sizeof(name), "d%06d.test", number);
  return cache_peek(cache, name, length, name_hash(name, length));
}

/* Dumps `from` and loads it into a memory of half of its octets. */
static struct cache *move_into_half(struct cache *from) {
  static uint8_t piece[2 * IMAGE_RECORD_MAX];
  struct cache *half = cache_create(cache_bytes(from) / 2, MAX_STALE_MS, &stats);
  struct load *load = half ? load_create(half, &lives) : NULL;
  struct dump dump;
  assert_non_null(load);
  dump_start(&dump, from);
  while (!dump_has_ended(&dump)) {
    size_t length = dump_step(&dump, piece, sizeof(piece), 100, &now);
    assert_int_equal(load_put(load, piece, length), length);
    while (load_step(load, 100, &now) == IMAGE_GOOD)
      continue;
  }
  assert_true(load_has_ended(load));
  load_destroy(load);
  return half;
}

static int count_known(const struct cache *cache, int from, int to, int step) {
  int count = 0;
  for (int i = from; i < to; i += step)
    count += of_crowd(cache, i) != NULL;
  return count;
}

static void a_smaller_memory_keeps_what_is_used(void **state) {
  (void)state;
  struct cache *cache = cache_create(LARGE_BYTES, MAX_STALE_MS, &stats);
  put_crowd(cache, HOUR_MS, 0, CROWD);
  for (int i = 0; i < CROWD; i += 2) /* every other one, each as often as it may */
    for (int hits = 0; hits <= i % 3; hits++)
      cache_mark(of_crowd(cache, i));
  struct cache *half = move_into_half(cache);
  int hot = count_known(half, 0, CROWD, 2), cold = count_known(half, 1, CROWD, 2);
  assert_in_range(hot + cold, CROWD / 3, CROWD * 2 / 3); /* it holds about half, */
  assert_in_range(hot, CROWD / 2 * 9 / 10, CROWD / 2);   /* which is the half in use */
  cache_destroy(half);
  cache_destroy(cache);
}

static void a_smaller_memory_keeps_the_newest_of_what_is_not_used(void **state) {
  (void)state;
  struct cache *cache = cache_create(LARGE_BYTES, MAX_STALE_MS, &stats);
  put_crowd(cache, HOUR_MS, 0, CROWD);
  struct cache *half = move_into_half(cache);
  int kept = (int)cache_count(half);
  assert_in_range(kept, CROWD / 3, CROWD * 2 / 3);
  assert_int_equal(count_known(half, CROWD - kept, CROWD, 1), kept);
  cache_destroy(half);
  cache_destroy(cache);
}

/* The hand has just passed the old ones, and taken their hits: they have shown that they are used, which
 * those behind the hand have not. */
static void a_smaller_memory_keeps_what_eviction_has_just_spared(void **state) {
  (void)state;
  enum { OLD = 900, FULL_BYTES = 1 << 20 }; /* fewer than the hand passes for one put */
  struct cache *cache = cache_create(FULL_BYTES, MAX_STALE_MS, &stats);
  put_crowd(cache, HOUR_MS, 0, OLD);
  for (int i = 0; i < OLD; i++)
    cache_mark(of_crowd(cache, i));
  put_crowd(cache, HOUR_MS, OLD, CROWD);
  assert_int_equal(count_known(cache, 0, OLD, 1), OLD);
  assert_int_equal(cache_hits(of_crowd(cache, 0)), 0);
  struct cache *half = move_into_half(cache);
  assert_int_equal(count_known(half, 0, OLD, 1), OLD);
  cache_destroy(half);
  cache_destroy(cache);
}

static void what_has_expired_makes_room_first_though_it_is_used(void **state) {
  (void)state;
  enum { EXPIRED = 500 };
  struct cache *cache = cache_create(LARGE_BYTES, MAX_STALE_MS, &stats);
  put_crowd(cache, -1000, 0, EXPIRED);
  for (int i = 0; i < EXPIRED * CACHE_HITS_MAX; i++)
    cache_mark(of_crowd(cache, i % EXPIRED));
  put_crowd(cache, HOUR_MS, EXPIRED, CROWD);
  struct cache *half = move_into_half(cache);
  assert_int_equal(count_known(half, 0, EXPIRED, 1), 0);
  assert_in_range(cache_count(half), CROWD / 3, CROWD);
  cache_destroy(half);
  cache_destroy(cache);
}

/* ---- refreshing ahead ---- */

static const struct ttl_policy ahead = {
    .max_s = MAX_S, .max_negative_s = MAX_NEGATIVE_S, .prefetch_percent = 10};

static void load_with(struct trial *trial, const struct ttl_policy *policy) {
  load_destroy(trial->load);
  trial->load = load_create(trial->cache, policy);
  assert_non_null(trial->load);
}

static void what_is_loaded_is_refreshed_at_the_end_of_its_life(void **state) {
  struct trial *trial = *state;
  load_with(trial, &ahead);
  write_route(trial, "d.test", "a.test", HOUR_MS / 2, HOUR_MS / 2);
  write_kind(trial, "none.test", DOMAIN_NXDOMAIN, HOUR_MS / 2);
  write_host(trial, "a.test", family_of(FAMILY_V6, 0, HOUR_MS / 4), family_of(FAMILY_V4, 1, HOUR_MS / 2));
  load_all(trial);
  assert_in_range(known(trial, "d.test")->refresh_lead_ms, HOUR_MS / 20, HOUR_MS * 3 / 20);
  assert_false(domain_facts_want_refresh(known(trial, "d.test"), now.now_ms));
  assert_in_range(known(trial, "none.test")->refresh_lead_ms, HOUR_MS / 40, HOUR_MS * 3 / 40);
  const struct host_facts *host = known_host(trial, "a.test"); /* learned half an hour ago, too */
  assert_in_range(host->expires_at_ms[FAMILY_V4] - host->refresh_at_ms[FAMILY_V4], HOUR_MS / 20,
                  HOUR_MS * 3 / 20);
  assert_false(host_facts_want_refresh(host, now.now_ms));
  assert_true(host_facts_want_refresh(host, now.now_ms + HOUR_MS / 2));
  assert_true(host->refresh_at_ms[FAMILY_V6] == INT64_MAX); /* it has no addresses */
}

static void what_is_loaded_at_the_end_of_its_life_is_refreshed_at_once(void **state) {
  struct trial *trial = *state;
  load_with(trial, &ahead);
  write_route(trial, "d.test", "a.test", HOUR_MS, HOUR_MS / 25);
  load_all(trial);
  assert_true(domain_facts_want_refresh(known(trial, "d.test"), now.now_ms));
}

static void the_share_is_of_the_life_as_it_is_bounded_here(void **state) {
  struct trial *trial = *state;
  load_with(trial, &ahead);
  write_kind(trial, "null.test", DOMAIN_NULL_MX, 2 * MAX_S * INT64_C(1000));
  load_all(trial);
  assert_in_range(known(trial, "null.test")->refresh_lead_ms, MAX_S * 50, MAX_S * 150);
}

static void what_is_loaded_together_is_not_refreshed_together(void **state) {
  struct trial *trial = *state;
  load_with(trial, &ahead);
  char names[MANY][32], hosts[MANY][32];
  for (int i = 0; i < MANY; i++) {
    snprintf(names[i], sizeof(names[i]), "d%d.test", i);
    snprintf(hosts[i], sizeof(hosts[i]), "a%d.test", i);
    write_route(trial, names[i], hosts[i], 0, HOUR_MS);
    write_host(trial, hosts[i], family_of(FAMILY_V6, 0, HOUR_MS), family_of(FAMILY_V4, 1, HOUR_MS));
  }
  load_all(trial);
  int early_domains = 0, early_hosts = 0; /* in the first half of the time that there is */
  for (int i = 0; i < MANY; i++) {
    early_domains += known(trial, names[i])->refresh_lead_ms > HOUR_MS / 10;
    early_hosts += host_facts_want_refresh(known_host(trial, hosts[i]), now.now_ms + HOUR_MS / 10 * 9);
  }
  assert_in_range(early_domains, MANY / 4, MANY * 3 / 4);
  assert_in_range(early_hosts, MANY / 4, MANY * 3 / 4);
}

static void without_prefetching_nothing_that_is_loaded_is_refreshed_ahead(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  write_host(trial, "a.test", family_of(FAMILY_V6, 1, HOUR_MS), family_of(FAMILY_V4, 1, HOUR_MS));
  load_all(trial);
  assert_int_equal(known(trial, "d.test")->refresh_lead_ms, 0);
  assert_false(host_facts_want_refresh(known_host(trial, "a.test"), now.now_ms + 2 * HOUR_MS));
}

/* The family that is known for longer keeps what it has: its own time of refresh too. */
static void a_family_that_stays_keeps_its_time_of_refresh(void **state) {
  struct trial *trial = *state;
  load_with(trial, &ahead);
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  write_host(trial, "a.test", family_of(FAMILY_V6, 1, HOUR_MS / 2), family_of(FAMILY_V4, 1, HOUR_MS));
  load_all(trial);
  int64_t kept_ms = known_host(trial, "a.test")->refresh_at_ms[FAMILY_V4];
  load_with(trial, &ahead);
  trial->length = image_pack_header(trial->image, written.wall_ms, 0);
  trial->number = 1;
  write_host(trial, "a.test", family_of(FAMILY_V6, 1, HOUR_MS), family_of(FAMILY_V4, 1, HOUR_MS));
  load_all(trial);
  const struct host_facts *host = known_host(trial, "a.test");
  assert_true(host->refresh_at_ms[FAMILY_V4] == kept_ms);
  assert_in_range(host->expires_at_ms[FAMILY_V6] - host->refresh_at_ms[FAMILY_V6], HOUR_MS / 20,
                  HOUR_MS * 3 / 20);
}

/* ---- what is refused ---- */

static void check_refusal(struct trial *trial, enum image_status status, const char *text) {
  char explained[LOAD_TEXT_SIZE];
  assert_int_equal(load_in(trial, trial->length, 1000), status);
  assert_string_equal(load_explain(trial->load, status, explained), text);
}

static void a_broken_record_is_named_and_what_came_before_it_stays(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  size_t second = trial->length;
  write_route(trial, "e.test", "a.test", 0, HOUR_MS);
  write_route(trial, "f.test", "a.test", 0, HOUR_MS);
  trial->image[second + 30] ^= 1;
  check_refusal(trial, IMAGE_BAD_CHECKSUM, "record 2: its checksum is wrong");
  assert_non_null(known(trial, "d.test"));
  assert_null(known(trial, "f.test"));
  assert_int_equal(load_counts(trial->load)->domains, 1);
  assert_int_equal(load_step(trial->load, 1, &now), IMAGE_BAD_CHECKSUM); /* and so it stays */
}

static void a_record_that_is_missing_is_seen(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  trial->number++;
  write_route(trial, "e.test", "a.test", 0, HOUR_MS);
  check_refusal(trial, IMAGE_BAD_CHECKSUM, "record 2: its checksum is wrong");
}

static void an_image_of_another_version_is_refused(void **state) {
  struct trial *trial = *state;
  trial->image[8] = 1;
  check_refusal(trial, IMAGE_OLD_VERSION,
                "this dump is of an older version, whose format is not read any more");
  load_destroy(trial->load);
  trial->load = load_create(trial->cache, &lives);
  trial->image[8] = IMAGE_VERSION + 1;
  check_refusal(trial, IMAGE_UNKNOWN_VERSION,
                "this dump is of a newer version, whose format is not known here");
}

static void what_is_no_image_is_refused(void **state) {
  struct trial *trial = *state;
  memset(trial->image, 'x', 5000);
  trial->length = 5000;
  check_refusal(trial, IMAGE_NO_IMAGE, "this is no dump of mxway");
}

static void an_image_that_was_cut_off_has_not_ended_and_says_where(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  write_route(trial, "e.test", "a.test", 0, HOUR_MS);
  trial->length -= 3;
  check_refusal(trial, IMAGE_INCOMPLETE, "record 2: it is cut off");
  assert_false(load_has_ended(trial->load));
  assert_non_null(known(trial, "d.test"));
}

static void a_header_that_was_cut_off_says_so(void **state) {
  struct trial *trial = *state;
  trial->length = 10;
  check_refusal(trial, IMAGE_INCOMPLETE, "the header: it is cut off");
}

static void nothing_may_follow_the_end(void **state) {
  struct trial *trial = *state;
  write_route(trial, "d.test", "a.test", 0, HOUR_MS);
  write_end(trial);
  trial->image[trial->length++] = 0;
  check_refusal(trial, IMAGE_BEHIND_END, "something follows the end of the dump");
  assert_non_null(known(trial, "d.test"));
}

static void random_octets_behind_a_header_never_get_in(void **state) {
  struct trial *trial = *state;
  uint32_t random = 1;
  for (size_t i = 0; i < 60000; i++) {
    random = random * 1664525 + 1013904223;
    trial->image[trial->length++] = i < 4 ? 0 : (uint8_t)(random >> 24); /* a length within the bound */
  }
  trial->image[IMAGE_HEADER_BYTES + 1] = 100;
  check_refusal(trial, IMAGE_BAD_CHECKSUM, "record 1: its checksum is wrong");
  assert_int_equal(cache_count(trial->cache), 0);
}

/* What gets in stands by the rules of the cache, which asserts them, and by those of image_invariants.h. */
static void samples_that_are_changed_at_every_place_are_refused_or_harmless(void **state) {
  (void)state;
  static uint8_t sample[IMAGE_SAMPLE_SIZE], changed[IMAGE_SAMPLE_SIZE];
  struct cache *cache = cache_create(IMAGE_SAMPLE_CACHE_BYTES, IMAGE_SAMPLE_STALE_MS, &stats);
  assert_non_null(cache);
  for (size_t i = 0; i < IMAGE_SAMPLE_COUNT; i++) {
    size_t length = image_sample_build(&image_samples[i], sample);
    for (size_t at = 0; at < length; at++) {
      const uint8_t values[] = {sample[at], 0, 1, 0xff, sample[at] ^ 1, (uint8_t)(sample[at] + 1)};
      for (size_t j = 0; j < sizeof(values); j++) {
        memcpy(changed, sample, length);
        changed[at] = values[j];
        image_repair(changed, length);
        const char *broken = image_check(cache, changed, length);
        if (broken)
          fail_msg("%s, octet %zu is %u: %s", image_samples[i].name, at, values[j], broken);
      }
    }
  }
  cache_destroy(cache);
}

static void samples_are_loaded_whole(void **state) {
  (void)state;
  static const unsigned domains[IMAGE_SAMPLE_COUNT] = {0, 7, 2, 2}, hosts[IMAGE_SAMPLE_COUNT] = {0, 0, 4, 2};
  static uint8_t sample[IMAGE_SAMPLE_SIZE];
  for (size_t i = 0; i < IMAGE_SAMPLE_COUNT; i++) {
    struct cache *cache = cache_create(IMAGE_SAMPLE_CACHE_BYTES, IMAGE_SAMPLE_STALE_MS, &stats);
    struct load_counts counts;
    bool has_ended;
    size_t length = image_sample_build(&image_samples[i], sample);
    assert_int_equal(image_load(cache, sample, length, length, &has_ended, &counts), IMAGE_INCOMPLETE);
    assert_true(has_ended);
    assert_int_equal(counts.domains, domains[i]);
    assert_int_equal(counts.hosts, hosts[i]);
    cache_destroy(cache);
  }
}

int main(void) {
  name_hash_init();
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(what_was_written_is_known_again_with_what_is_left_of_its_life),
      cmocka_unit_test(it_does_not_matter_in_what_pieces_an_image_comes),
      TRIAL(what_has_expired_is_skipped_and_counted),
      TRIAL(what_comes_from_the_future_is_skipped_and_counted),
      TRIAL(addresses_from_the_future_are_skipped_and_counted),
      TRIAL(what_may_be_answered_stale_is_known_as_expired),
      TRIAL(the_daemon_that_loads_says_how_stale_an_answer_may_be),
      TRIAL(an_expired_record_gives_way_to_what_holds_and_to_what_is_later),
      cmocka_unit_test(of_addresses_too_what_holds_is_better_and_then_what_is_later),
      TRIAL(the_later_answer_says_what_the_alias_is),
      TRIAL(what_memory_has_learned_later_stays),
      TRIAL(an_image_that_is_loaded_twice_changes_nothing_the_second_time),
      TRIAL(a_record_replaces_a_failure_and_what_has_expired),
      TRIAL(of_a_host_only_the_family_that_improves_is_taken),
      TRIAL(addresses_of_a_host_that_nobody_names_are_not_kept),
      TRIAL(a_life_is_bounded_by_the_limits_of_the_daemon_that_loads),
      TRIAL(no_hold_is_left_behind),
      cmocka_unit_test(a_smaller_memory_keeps_what_is_used),
      cmocka_unit_test(a_smaller_memory_keeps_the_newest_of_what_is_not_used),
      cmocka_unit_test(a_smaller_memory_keeps_what_eviction_has_just_spared),
      cmocka_unit_test(what_has_expired_makes_room_first_though_it_is_used),
      TRIAL(what_is_loaded_is_refreshed_at_the_end_of_its_life),
      TRIAL(what_is_loaded_at_the_end_of_its_life_is_refreshed_at_once),
      TRIAL(the_share_is_of_the_life_as_it_is_bounded_here),
      TRIAL(what_is_loaded_together_is_not_refreshed_together),
      TRIAL(without_prefetching_nothing_that_is_loaded_is_refreshed_ahead),
      TRIAL(a_family_that_stays_keeps_its_time_of_refresh),
      TRIAL(a_broken_record_is_named_and_what_came_before_it_stays),
      TRIAL(a_record_that_is_missing_is_seen),
      TRIAL(an_image_of_another_version_is_refused),
      TRIAL(what_is_no_image_is_refused),
      TRIAL(an_image_that_was_cut_off_has_not_ended_and_says_where),
      TRIAL(a_header_that_was_cut_off_says_so),
      TRIAL(nothing_may_follow_the_end),
      TRIAL(random_octets_behind_a_header_never_get_in),
      cmocka_unit_test(samples_are_loaded_whole),
      cmocka_unit_test(samples_that_are_changed_at_every_place_are_refused_or_harmless),
  };
  return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
