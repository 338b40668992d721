#include "cmocka_compat.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "cache/cache.h"
#include "malloc_watch.h"
#include "rules/name.h"
#include "rules/route.h"
#include "serve/reply.h"

enum { SMALL_BYTES = 1 << 20, NARROW_BYTES = 1 << 17, FOR_EVER_MS = 1 << 30 };

/* Far from every other place but at the end of every table: the hashes around it wrap. */
static const uint64_t last_place = UINT32_MAX;

struct fixture {
  struct stats stats;
  struct qsbr_reader reader;
  struct cache *cache;
};

static struct fixture *new_fixture(size_t size_bytes) {
  struct fixture *fixture = aligned_alloc(64, sizeof(*fixture));
  assert_non_null(fixture);
  memset(fixture, 0, sizeof(*fixture));
  fixture->cache = cache_create(size_bytes, 0, &fixture->stats);
  assert_non_null(fixture->cache);
  qsbr_add_reader(cache_qsbr(fixture->cache), &fixture->reader);
  return fixture;
}

static void free_fixture(struct fixture *fixture) {
  cache_destroy(fixture->cache);
  free(fixture);
}

static int set_up(void **state) {
  *state = new_fixture(SMALL_BYTES);
  return 0;
}

static int set_up_narrow(void **state) {
  *state = new_fixture(NARROW_BYTES);
  return 0;
}

static int tear_down(void **state) {
  free_fixture(*state);
  return 0;
}

/* ---- values ---- */

static struct domain_value *new_value(enum domain_kind kind, int64_t expires_at_ms) {
  struct domain_value *value = calloc(1, sizeof(*value));
  assert_non_null(value);
  value->kind = kind;
  value->expires_at_ms = expires_at_ms;
  return value;
}

static void add(struct domain_value *value, uint16_t preference, const char *host) {
  struct exchange_value *exchange = &value->exchanges[value->count++];
  exchange->preference = preference;
  snprintf(exchange->host, sizeof(exchange->host), "%s", host);
}

/* What puts `value`, which it frees, and keeps no hold; the facts live while they are in the table. Readers
 * that do not get on, because other work has their core, hold back what the cache would have to free: it
 * waits for them. */
static const struct domain_facts *put_at(struct cache *cache, const char *name, uint64_t hash,
                                         struct domain_value *value) {
  const struct timespec pause = {.tv_nsec = 1000000};
  const struct domain_facts *facts;
  for (int tries = 0; !(facts = cache_put(cache, name, strlen(name), hash, value)) && tries < 20000;
       tries++) {
    nanosleep(&pause, NULL);
    cache_collect(cache);
  }
  assert_non_null(facts);
  cache_release(cache, facts);
  free(value);
  return facts;
}

static uint64_t hash_of(const char *name) { return name_hash(name, strlen(name)); }

static const struct domain_facts *put(struct cache *cache, const char *name, struct domain_value *value) {
  return put_at(cache, name, hash_of(name), value);
}

/* A domain with one exchange that lives for ever. */
static const struct domain_facts *put_mx(struct cache *cache, const char *name, const char *host) {
  struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
  add(value, 10, host);
  return put(cache, name, value);
}

static const struct domain_facts *put_plain(struct cache *cache, const char *name, int64_t expires_at_ms) {
  return put(cache, name, new_value(DOMAIN_NULL_MX, expires_at_ms));
}

static const struct domain_facts *get_at(const struct cache *cache, const char *name, uint64_t hash) {
  const struct domain_facts *facts = cache_get(cache, name, strlen(name), hash);
  assert_ptr_equal(cache_peek(cache, name, strlen(name), hash), facts);
  return facts;
}

static const struct domain_facts *get(const struct cache *cache, const char *name) {
  return get_at(cache, name, hash_of(name));
}

static bool remove_name(struct cache *cache, const char *name) {
  return cache_remove(cache, name, strlen(name), hash_of(name));
}

static struct host *host_of(const struct domain_facts *facts, int index) {
  return facts->set->exchanges[index].host;
}

static const struct host_facts *facts_of(struct host *host) {
  return atomic_load_explicit(&host->facts, memory_order_acquire);
}

/* Facts of one IPv4 address each, of which the last octet is `octet`. */
static struct host_facts *new_host_facts(uint8_t octet) {
  struct family_value values[FAMILY_COUNT] = {
      [FAMILY_V6] = {.state = FAMILY_NODATA, .expires_at_ms = FOR_EVER_MS},
      [FAMILY_V4] = {.state = FAMILY_OK, .expires_at_ms = FOR_EVER_MS, .count = 1}};
  memcpy(values[FAMILY_V4].addresses[0], (uint8_t[]){192, 0, 2, octet}, 4);
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  return facts;
}

static uint64_t evictions(const struct fixture *fixture) {
  return atomic_load(&fixture->stats.counters[STATS_CACHE_EVICTIONS]);
}

static uint64_t expirations(const struct fixture *fixture) {
  return atomic_load(&fixture->stats.counters[STATS_CACHE_EXPIRATIONS]);
}

/* ---- put, get, replace, remove ---- */

static void cache_get_of_an_empty_cache_returns_nothing(void **state) {
  struct fixture *fixture = *state;
  assert_null(get(fixture->cache, "d.test"));
  assert_null(get_at(fixture->cache, "d.test", 0));
  assert_null(get_at(fixture->cache, "d.test", UINT64_MAX));
  assert_false(remove_name(fixture->cache, "d.test"));
  assert_int_equal(cache_count(fixture->cache), 0);
}

static void cache_get_returns_all_of_what_was_put(void **state) {
  struct fixture *fixture = *state;
  struct domain_value *value = new_value(DOMAIN_MX, 5000);
  value->stored_at_ms = 2000;
  value->warnings = WARNING_MX_IS_CNAME | WARNING_DUPLICATE_EXCHANGE;
  snprintf(value->canonical, sizeof(value->canonical), "canonical.example");
  add(value, 10, "a.test");
  add(value, 65535, "b.test");
  put(fixture->cache, "d.test", value);
  const struct domain_facts *facts = get(fixture->cache, "d.test");
  assert_non_null(facts);
  assert_int_equal(facts->kind, DOMAIN_MX);
  assert_true(facts->stored_at_ms == 2000 && facts->expires_at_ms == 5000);
  assert_int_equal(facts->warnings, WARNING_MX_IS_CNAME | WARNING_DUPLICATE_EXCHANGE);
  assert_int_equal(facts->name_length, 6);
  assert_memory_equal(facts->text, "d.test", 6);
  size_t length;
  assert_memory_equal(domain_canonical(facts, &length), "canonical.example", 17);
  assert_int_equal(length, 17);
  assert_int_equal(facts->set->count, 2);
  assert_int_equal(facts->set->exchanges[1].preference, 65535);
  assert_string_equal(host_of(facts, 0)->name, "a.test");
  assert_string_equal(host_of(facts, 1)->name, "b.test");
  assert_int_equal(host_of(facts, 1)->length, 6);
  assert_null(facts_of(host_of(facts, 0)));
}

static void kinds_without_exchanges_have_no_set(void **state) {
  struct fixture *fixture = *state;
  static const enum domain_kind kinds[] = {DOMAIN_NULL_MX, DOMAIN_NXDOMAIN, DOMAIN_ALL_INVALID,
                                           DOMAIN_FAILED};
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    struct domain_value *value = new_value(kinds[i], FOR_EVER_MS);
    value->cause = VERDICT_DNS_TIMEOUT;
    put(fixture->cache, "d.test", value);
    const struct domain_facts *facts = get(fixture->cache, "d.test");
    assert_int_equal(facts->kind, kinds[i]);
    assert_int_equal(facts->cause, VERDICT_DNS_TIMEOUT);
    assert_null(facts->set);
  }
  assert_int_equal(cache_set_count(fixture->cache), 0);
}

static void a_wrong_guess_does_not_hide_what_is_there(void **state) {
  struct fixture *fixture = *state;
  put_mx(fixture->cache, "d.test", "mx.test");
  const struct domain_facts *other = put_mx(fixture->cache, "other.test", "mx.test");
  uint64_t hash = hash_of("d.test");
  assert_ptr_equal(cache_get_guessed(fixture->cache, other, "d.test", 6, hash),
                   cache_get(fixture->cache, "d.test", 6, hash));
  assert_non_null(cache_get_guessed(fixture->cache, NULL, "d.test", 6, hash));
  assert_null(cache_get_guessed(fixture->cache, other, "e.test", 6, hash_of("e.test")));
}

static void cache_get_after_expiry_still_returns_the_facts(void **state) {
  struct fixture *fixture = *state;
  put_plain(fixture->cache, "d.test", INT64_MIN);
  assert_non_null(get(fixture->cache, "d.test"));
}

static void the_longest_names_are_kept_whole(void **state) {
  struct fixture *fixture = *state;
  char name[FACTS_NAME_SIZE], other[FACTS_NAME_SIZE];
  memset(name, 'n', NAME_TEXT_MAX);
  name[NAME_TEXT_MAX] = '\0';
  memcpy(other, name, sizeof(name));
  other[NAME_TEXT_MAX - 1] = 'o';
  struct domain_value *value = new_value(DOMAIN_NODATA, FOR_EVER_MS);
  memcpy(value->canonical, other, sizeof(other));
  add(value, 0, other);
  put_at(fixture->cache, name, 1, value);
  const struct domain_facts *facts = get_at(fixture->cache, name, 1);
  assert_null(get_at(fixture->cache, other, 1));
  size_t length;
  assert_memory_equal(domain_canonical(facts, &length), other, NAME_TEXT_MAX);
  assert_int_equal(length, NAME_TEXT_MAX);
  assert_string_equal(host_of(facts, 0)->name, other);
}

static void a_put_in_the_place_of_old_facts_replaces_them(void **state) {
  struct fixture *fixture = *state;
  put_mx(fixture->cache, "d.test", "old.example");
  put_mx(fixture->cache, "other.test", "other.example");
  const struct domain_facts *facts = put_mx(fixture->cache, "d.test", "new.example");
  assert_ptr_equal(get(fixture->cache, "d.test"), facts);
  assert_string_equal(host_of(facts, 0)->name, "new.example");
  assert_string_equal(host_of(get(fixture->cache, "other.test"), 0)->name, "other.example");
  assert_int_equal(cache_count(fixture->cache), 2);
  assert_int_equal(cache_set_count(fixture->cache), 2);
  assert_int_equal(cache_host_count(fixture->cache), 2);
  assert_int_equal(evictions(fixture), 0);
}

static void a_removed_name_is_not_found(void **state) {
  struct fixture *fixture = *state;
  put_mx(fixture->cache, "a.test", "mx.example");
  put_mx(fixture->cache, "b.test", "mx.example");
  assert_true(remove_name(fixture->cache, "a.test"));
  assert_null(get(fixture->cache, "a.test"));
  assert_non_null(get(fixture->cache, "b.test"));
  assert_int_equal(cache_count(fixture->cache), 1);
  assert_false(remove_name(fixture->cache, "a.test"));
  assert_int_equal(cache_count(fixture->cache), 1);
}

static void a_cache_of_a_size_that_holds_nothing_still_holds_one_name(void **state) {
  (void)state;
  struct fixture *fixture = new_fixture(1);
  put_mx(fixture->cache, "a.test", "a.example");
  put_mx(fixture->cache, "b.test", "b.example");
  assert_null(get(fixture->cache, "a.test"));
  assert_non_null(get(fixture->cache, "b.test"));
  assert_int_equal(cache_host_count(fixture->cache), 1);
  free_fixture(fixture);
}

static void destroying_nothing_is_fine(void **state) {
  (void)state;
  cache_destroy(NULL);
}

/* ---- collisions ---- */

static const char *numbered(int number) {
  static char names[8][32]; /* the last eight can be used at once */
  static unsigned next;
  char *name = names[next++ % 8];
  snprintf(name, sizeof(names[0]), "d%05d.test", number);
  return name;
}

static void names_of_one_hash_are_told_apart_by_their_octets(void **state) {
  struct fixture *fixture = *state;
  static const char *const names[] = {"a.test", "b.test", "a.tes", "aa.test", "a.testa", "a", "t"};
  enum { COUNT = sizeof(names) / sizeof(names[0]) };
  const struct domain_facts *facts[COUNT];
  for (int i = 0; i < COUNT; i++)
    facts[i] = put_at(fixture->cache, names[i], 7, new_value(DOMAIN_NXDOMAIN, FOR_EVER_MS));
  assert_int_equal(cache_count(fixture->cache), COUNT);
  for (int i = 0; i < COUNT; i++)
    assert_ptr_equal(get_at(fixture->cache, names[i], 7), facts[i]);
  assert_null(get_at(fixture->cache, "b", 7));
}

/* COUNT names whose hashes have one low half: all want the same place. After each removal, in an
 * order that `step` makes, the others are still found. */
static void check_removals(struct fixture *fixture, uint64_t low, int step) {
  enum { COUNT = 61 }; /* a prime: each step but 0 visits every name */
  struct cache *cache = fixture->cache;
  bool is_in[COUNT];
  for (int i = 0; i < COUNT; i++) {
    put_at(cache, numbered(i), (uint64_t)i % 3 << 62 | low, new_value(DOMAIN_NXDOMAIN, i));
    is_in[i] = true;
  }
  for (int round = 0; round < COUNT; round++) {
    int gone = round * step % COUNT;
    assert_true(cache_remove(cache, numbered(gone), strlen(numbered(gone)), (uint64_t)gone % 3 << 62 | low));
    is_in[gone] = false;
    for (int i = 0; i < COUNT; i++) {
      const struct domain_facts *facts = get_at(cache, numbered(i), (uint64_t)i % 3 << 62 | low);
      assert_int_equal(facts != NULL, is_in[i]);
      if (facts)
        assert_true(facts->expires_at_ms == i);
    }
  }
  assert_int_equal(cache_count(cache), 0);
}

static void many_names_in_one_place_are_removed_in_any_order(void **state) {
  for (int step = 1; step < 61; step += 4)
    check_removals(*state, 123, step);
}

static void names_that_wrap_around_the_end_of_the_table_are_removed_in_any_order(void **state) {
  for (int step = 1; step < 61; step += 4) {
    check_removals(*state, last_place - 10, step);
    check_removals(*state, last_place, step);
  }
}

enum { CLUSTER = 5, HOMES = 5 };

/* Names whose places are given by `code`, put in order; then one is removed. */
static void check_cluster(struct cache *cache, unsigned code, int gone) {
  uint64_t hashes[CLUSTER];
  const struct domain_facts *facts[CLUSTER];
  for (int i = 0; i < CLUSTER; i++, code /= HOMES) {
    hashes[i] = (uint32_t)(last_place - 2 + code % HOMES);
    facts[i] = put_at(cache, numbered(i), hashes[i], new_value(DOMAIN_NXDOMAIN, FOR_EVER_MS));
  }
  assert_true(cache_remove(cache, numbered(gone), strlen(numbered(gone)), hashes[gone]));
  for (int i = 0; i < CLUSTER; i++)
    assert_ptr_equal(get_at(cache, numbered(i), hashes[i]), i == gone ? NULL : facts[i]);
  for (int i = 0; i < CLUSTER; i++)
    assert_int_equal(cache_remove(cache, numbered(i), strlen(numbered(i)), hashes[i]), i != gone);
}

static void every_small_cluster_around_the_end_survives_every_removal(void **state) {
  struct fixture *fixture = *state;
  unsigned codes = 1;
  for (int i = 0; i < CLUSTER; i++)
    codes *= HOMES;
  for (unsigned code = 0; code < codes; code++)
    for (int gone = 0; gone < CLUSTER; gone++)
      check_cluster(fixture->cache, code, gone);
  assert_int_equal(cache_count(fixture->cache), 0);
}

/* ---- holds ---- */

static void facts_that_are_held_outlive_their_removal(void **state) {
  struct fixture *fixture = *state;
  const struct domain_facts *facts = put_mx(fixture->cache, "d.test", "mx.example");
  cache_hold(facts);
  assert_true(remove_name(fixture->cache, "d.test"));
  cache_sweep(fixture->cache, 0, 10);
  assert_null(get(fixture->cache, "d.test"));
  assert_int_equal(cache_count(fixture->cache), 0);
  assert_memory_equal(facts->text, "d.test", 6);
  assert_string_equal(host_of(facts, 0)->name, "mx.example");
  assert_int_equal(cache_set_count(fixture->cache), 1);
  cache_release(fixture->cache, facts);
  assert_int_equal(cache_set_count(fixture->cache), 0);
  assert_int_equal(cache_host_count(fixture->cache), 0);
}

static void facts_held_twice_need_two_releases(void **state) {
  struct fixture *fixture = *state;
  const struct domain_facts *facts = put_mx(fixture->cache, "d.test", "mx.example");
  cache_hold(facts);
  cache_hold(facts);
  put_mx(fixture->cache, "d.test", "new.example");
  cache_release(fixture->cache, facts);
  assert_int_equal(cache_set_count(fixture->cache), 2);
  assert_string_equal(host_of(facts, 0)->name, "mx.example");
  cache_release(fixture->cache, facts);
  assert_int_equal(cache_set_count(fixture->cache), 1);
}

static void cache_put_returns_facts_with_one_hold(void **state) {
  struct fixture *fixture = *state;
  struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
  add(value, 10, "mx.example");
  const struct domain_facts *facts = cache_put(fixture->cache, "d.test", 6, 1, value);
  free(value);
  assert_true(cache_remove(fixture->cache, "d.test", 6, 1));
  while (cache_collect(fixture->cache) > 0)
    continue;
  assert_int_equal(cache_set_count(fixture->cache), 1);
  assert_memory_equal(facts->text, "d.test", 6);
  cache_release(fixture->cache, facts);
  assert_int_equal(cache_set_count(fixture->cache), 0);
}

static void releasing_facts_that_are_in_the_table_leaves_them_there(void **state) {
  struct fixture *fixture = *state;
  const struct domain_facts *facts = put_mx(fixture->cache, "d.test", "mx.example");
  cache_hold(facts);
  cache_release(fixture->cache, facts);
  assert_ptr_equal(get(fixture->cache, "d.test"), facts);
}

static void facts_that_are_held_outlive_their_eviction(void **state) {
  struct fixture *fixture = *state;
  const struct domain_facts *facts = put_mx(fixture->cache, "held.test", "mx.example");
  cache_hold(facts);
  for (int i = 0; evictions(fixture) < 100; i++)
    put_plain(fixture->cache, numbered(i), FOR_EVER_MS);
  assert_null(get(fixture->cache, "held.test"));
  assert_memory_equal(facts->text, "held.test", 9);
  assert_string_equal(host_of(facts, 0)->name, "mx.example");
  cache_release(fixture->cache, facts);
}

static void a_host_that_is_held_outlives_its_sets(void **state) {
  struct fixture *fixture = *state;
  struct host *host = host_of(put_mx(fixture->cache, "d.test", "mx.example"), 0);
  cache_hold_host(host);
  cache_put_host(fixture->cache, host, new_host_facts(1), 0);
  remove_name(fixture->cache, "d.test");
  assert_int_equal(cache_set_count(fixture->cache), 0);
  assert_int_equal(cache_host_count(fixture->cache), 1);
  while (cache_collect(fixture->cache) > 0)
    continue;
  assert_string_equal(host->name, "mx.example");
  assert_int_equal(host_facts_addresses(facts_of(host), FAMILY_V4)[5], 1);
  /* The name finds its host again, with what was known. */
  assert_ptr_equal(host_of(put_mx(fixture->cache, "e.test", "mx.example"), 0), host);
  remove_name(fixture->cache, "e.test");
  cache_release_host(fixture->cache, host);
  assert_int_equal(cache_host_count(fixture->cache), 0);
}

static void what_a_reader_got_stays_readable_until_it_is_offline(void **state) {
  struct fixture *fixture = *state;
  put_mx(fixture->cache, "d.test", "mx.example");
  qsbr_online(cache_qsbr(fixture->cache), &fixture->reader);
  const struct domain_facts *facts = get(fixture->cache, "d.test");
  size_t bytes = cache_bytes(fixture->cache);
  remove_name(fixture->cache, "d.test");
  cache_sweep(fixture->cache, 0, 0);
  assert_memory_equal(facts->text, "d.test", 6);
  assert_string_equal(host_of(facts, 0)->name, "mx.example");
  assert_int_equal(cache_bytes(fixture->cache), bytes); /* still held for readers */
  qsbr_offline(&fixture->reader);
  cache_sweep(fixture->cache, 0, 0);
  assert_true(cache_bytes(fixture->cache) < bytes);
}

/* ---- interning ---- */

static void domains_with_the_same_exchanges_share_one_set(void **state) {
  struct fixture *fixture = *state;
  const struct exchange_set *set = put_mx(fixture->cache, "a.test", "mx.example")->set;
  assert_ptr_equal(put_mx(fixture->cache, "b.test", "mx.example")->set, set);
  assert_int_equal(set->refs, 2);
  assert_int_equal(cache_set_count(fixture->cache), 1);
  assert_int_equal(cache_host_count(fixture->cache), 1);
  remove_name(fixture->cache, "a.test");
  assert_int_equal(set->refs, 1);
  assert_int_equal(cache_set_count(fixture->cache), 1);
  remove_name(fixture->cache, "b.test");
  assert_int_equal(cache_set_count(fixture->cache), 0);
  assert_int_equal(cache_host_count(fixture->cache), 0);
}

static void an_implicit_exchange_shares_the_host_of_an_explicit_one_but_is_another_site(void **state) {
  struct fixture *fixture = *state;
  struct domain_value *nodata = new_value(DOMAIN_NODATA, FOR_EVER_MS),
                      *mx = new_value(DOMAIN_MX, FOR_EVER_MS);
  add(nodata, 0, "a.test");
  add(mx, 0, "a.test");
  const struct domain_facts *implicit = put(fixture->cache, "a.test", nodata);
  const struct domain_facts *explicit = put(fixture->cache, "b.test", mx);
  assert_ptr_not_equal(implicit->set, explicit->set);
  assert_ptr_equal(implicit->set->exchanges[0].host, explicit->set->exchanges[0].host);
  assert_true(implicit->set->implicit);
  assert_false(explicit->set->implicit);
  assert_memory_not_equal(exchange_set_bytes(implicit->set), exchange_set_bytes(explicit->set),
                          implicit->set->site_length);
  assert_int_equal(implicit->kind, DOMAIN_NODATA);
  assert_int_equal(explicit->kind, DOMAIN_MX);
}

static void replacing_facts_by_the_same_keeps_their_set_and_hosts(void **state) {
  struct fixture *fixture = *state;
  const struct exchange_set *set = put_mx(fixture->cache, "a.test", "mx.example")->set;
  cache_put_host(fixture->cache, set->exchanges[0].host, new_host_facts(9), 0);
  assert_ptr_equal(put_mx(fixture->cache, "a.test", "mx.example")->set, set);
  assert_int_equal(set->refs, 1);
  assert_int_equal(host_facts_addresses(facts_of(set->exchanges[0].host), FAMILY_V4)[5], 9);
}

static void sets_that_differ_in_anything_are_not_shared(void **state) {
  struct fixture *fixture = *state;
  static const struct {
    int count;
    struct exchange_value exchanges[3];
  } lists[] = {
      {1, {{10, "a.test", 0}}},
      {1, {{10, "a.test", 2525}}},
      {1, {{10, "a.test", 2526}}},
      {1, {{11, "a.test", 0}}},
      {1, {{10, "b.test", 0}}},
      {1, {{10, "a.test.example", 0}}},
      {2, {{10, "a.test", 0}, {10, "b.test", 0}}},
      {2, {{10, "a.test", 0}, {20, "b.test", 0}}},
      {2, {{10, "b.test", 0}, {20, "a.test", 0}}},
      {3, {{10, "a.test", 0}, {20, "b.test", 0}, {30, "c.test", 0}}},
  };
  enum { COUNT = sizeof(lists) / sizeof(lists[0]) };
  for (int i = 0; i < COUNT; i++) {
    struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
    value->count = (uint16_t)lists[i].count;
    memcpy(value->exchanges, lists[i].exchanges, sizeof(lists[i].exchanges));
    put(fixture->cache, numbered(i), value);
    assert_int_equal(cache_set_count(fixture->cache), i + 1);
  }
  assert_int_equal(cache_host_count(fixture->cache), 4);
}

static void sets_that_name_one_host_share_it(void **state) {
  struct fixture *fixture = *state;
  struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
  add(value, 10, "a.example");
  add(value, 20, "shared.example");
  struct host *shared = host_of(put_mx(fixture->cache, "d.test", "shared.example"), 0);
  const struct domain_facts *facts = put(fixture->cache, "e.test", value);
  assert_ptr_equal(host_of(facts, 1), shared);
  assert_int_equal(shared->refs, 2);
  assert_int_equal(cache_host_count(fixture->cache), 2);
  remove_name(fixture->cache, "d.test");
  assert_int_equal(shared->refs, 1);
  assert_string_equal(host_of(get(fixture->cache, "e.test"), 1)->name, "shared.example");
  remove_name(fixture->cache, "e.test");
  assert_int_equal(cache_host_count(fixture->cache), 0);
}

/* Domains with a few sets each of one to seven hosts out of twenty. */
static void a_host_is_found_while_a_set_names_it(void **state) {
  struct fixture *fixture = *state;
  assert_null(cache_find_host(fixture->cache, "a.test", 6));
  struct host *host = host_of(put_mx(fixture->cache, "d.test", "a.test"), 0);
  assert_ptr_equal(cache_find_host(fixture->cache, "a.test", 6), host);
  assert_null(cache_find_host(fixture->cache, "a.tes", 5));
  assert_true(remove_name(fixture->cache, "d.test"));
  assert_null(cache_find_host(fixture->cache, "a.test", 6));
}

static void a_host_that_is_forgotten_has_no_facts_and_no_memory_of_them(void **state) {
  struct fixture *fixture = *state;
  struct host *host = host_of(put_mx(fixture->cache, "d.test", "a.test"), 0);
  size_t before = cache_bytes(fixture->cache);
  assert_false(cache_forget_host(fixture->cache, host));
  cache_put_host(fixture->cache, host, new_host_facts(1), 0);
  qsbr_online(cache_qsbr(fixture->cache), &fixture->reader);
  const struct host_facts *seen = facts_of(host);
  assert_true(cache_forget_host(fixture->cache, host));
  assert_null(facts_of(host));
  assert_int_equal(seen->state[FAMILY_V4], FAMILY_OK); /* whoever reads them still may */
  qsbr_offline(&fixture->reader);
  cache_sweep(fixture->cache, 0, 0);
  assert_int_equal(cache_bytes(fixture->cache), before);
}

static void a_host_that_is_an_address_is_not_forgotten(void **state) {
  struct fixture *fixture = *state;
  struct host *host = host_of(put_mx(fixture->cache, "d.test", "192.0.2.7"), 0);
  assert_false(cache_forget_host(fixture->cache, host));
  assert_non_null(facts_of(host));
}

static void a_walk_over_the_hosts_meets_each_once_whatever_comes_and_goes(void **state) {
  struct fixture *fixture = *state;
  char name[32], host[32];
  unsigned seen[100] = {0}, number;
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof(name), "d%d.test", i);
    snprintf(host, sizeof(host), "h%d.test", i);
    put_mx(fixture->cache, name, host);
  }
  struct cache_host_walk walk, other;
  cache_host_walk_start(&walk, fixture->cache);
  cache_host_walk_start(&other, fixture->cache);
  struct host *found;
  for (int i = 0; (found = cache_host_walk_next(&walk)); i++) {
    assert_int_equal(sscanf(found->name, "h%u", &number), 1);
    assert_in_range(number, 0, 99); /* what comes is not met: the walk ends */
    seen[number]++;
    snprintf(name, sizeof(name), "d%u.test", number); /* the one that was met goes, */
    assert_true(remove_name(fixture->cache, name));
    if (number > 50 && number % 2 == 0) { /* sometimes the one that would be next, */
      snprintf(name, sizeof(name), "d%u.test", number - 1);
      assert_true(remove_name(fixture->cache, name));
    }
    snprintf(name, sizeof(name), "n%d.test", i); /* and another comes */
    snprintf(host, sizeof(host), "h%d.test", 1000 + i);
    put_mx(fixture->cache, name, host);
  }
  for (number = 0; number < 100; number++)
    assert_int_equal(seen[number], number < 50 || number == 99 || number % 2 == 0);
  cache_host_walk_stop(&walk);
  assert_null(cache_host_walk_next(&other)); /* all that it stood before are gone */
  cache_host_walk_stop(&other);
}

static void put_varied(struct cache *cache, int number) {
  struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
  for (int i = 0; i < 1 + number % 7; i++) {
    char host[32];
    snprintf(host, sizeof(host), "h%d.example", (number * 3 + i) % 20);
    add(value, (uint16_t)(number % 50), host);
  }
  put(cache, numbered(number), value);
}

static void after_every_name_is_removed_nothing_is_left_and_nothing_charged(void **state) {
  struct fixture *fixture = *state;
  size_t empty = 0;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 1000; i++)
      put_varied(fixture->cache, i);
    for (int i = 0; i < 1000; i += 5) {
      struct host *host = host_of(get(fixture->cache, numbered(i)), 0);
      cache_put_host(fixture->cache, host, new_host_facts((uint8_t)i), 0);
    }
    assert_int_equal(cache_count(fixture->cache), 1000);
    for (int i = 0; i < 1000; i++)
      assert_true(remove_name(fixture->cache, numbered(i)));
    while (cache_collect(fixture->cache) > 0)
      continue;
    assert_int_equal(cache_set_count(fixture->cache), 0);
    assert_int_equal(cache_host_count(fixture->cache), 0);
    if (round == 0) /* the interning tables have grown */
      empty = cache_bytes(fixture->cache);
    assert_int_equal(cache_bytes(fixture->cache), empty);
  }
}

static void a_cache_that_was_used_a_little_is_as_small_as_before(void **state) {
  struct fixture *fixture = *state;
  size_t empty = cache_bytes(fixture->cache);
  cache_put_host(fixture->cache, host_of(put_mx(fixture->cache, "d.test", "mx.example"), 0),
                 new_host_facts(1), 0);
  put_mx(fixture->cache, "d.test", "192.0.2.1");
  put_plain(fixture->cache, "d.test", 0);
  assert_true(cache_bytes(fixture->cache) > empty);
  remove_name(fixture->cache, "d.test");
  while (cache_collect(fixture->cache) > 0)
    continue;
  assert_int_equal(cache_bytes(fixture->cache), empty);
}

static void the_places_for_sets_and_hosts_are_charged_too(void **state) {
  struct fixture *fixture = *state;
  size_t empty = cache_bytes(fixture->cache);
  for (int i = 0; i < 1000; i++)
    put_mx(fixture->cache, numbered(i), numbered(i + 1000));
  for (int i = 0; i < 1000; i++)
    remove_name(fixture->cache, numbered(i));
  while (cache_collect(fixture->cache) > 0)
    continue;
  /* Both have grown from 64 places to 1024, and stay so; beside them there are three segments more. */
  size_t grown = cache_bytes(fixture->cache) - empty, places = 2 * (1024 - 64) * sizeof(void *);
  assert_in_range(grown, places + 3 * 4096, places + 3 * 4096 + 256);
}

/* ---- host facts ---- */

static void host_facts_replace_older_ones_that_readers_may_still_hold(void **state) {
  struct fixture *fixture = *state;
  struct host *host = host_of(put_mx(fixture->cache, "d.test", "mx.example"), 0);
  cache_put_host(fixture->cache, host, new_host_facts(1), 0);
  qsbr_online(cache_qsbr(fixture->cache), &fixture->reader);
  const struct host_facts *old = facts_of(host);
  cache_put_host(fixture->cache, host, new_host_facts(2), 0);
  cache_sweep(fixture->cache, 0, 0);
  assert_int_equal(host_facts_addresses(old, FAMILY_V4)[5], 1);
  assert_int_equal(host_facts_addresses(facts_of(host), FAMILY_V4)[5], 2);
  size_t bytes = cache_bytes(fixture->cache);
  qsbr_offline(&fixture->reader);
  cache_sweep(fixture->cache, 0, 0);
  assert_true(cache_bytes(fixture->cache) < bytes);
}

static void host_facts_are_seen_through_every_set(void **state) {
  struct fixture *fixture = *state;
  struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
  add(value, 5, "a.example");
  add(value, 10, "mx.example");
  const struct domain_facts *one = put_mx(fixture->cache, "d.test", "mx.example");
  const struct domain_facts *other = put(fixture->cache, "e.test", value);
  cache_put_host(fixture->cache, host_of(one, 0), new_host_facts(77), 0);
  assert_int_equal(host_facts_addresses(facts_of(host_of(other, 1)), FAMILY_V4)[5], 77);
  assert_null(facts_of(host_of(other, 0)));
}

static void a_host_that_is_an_address_has_facts_from_the_start(void **state) {
  struct fixture *fixture = *state;
  struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
  add(value, 10, "192.0.2.7");
  add(value, 20, "2001:db8::7");
  add(value, 30, "192.0.2.7.example");
  const struct domain_facts *facts = put(fixture->cache, "d.test", value);
  static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
  assert_true(host_of(facts, 0)->is_address);
  assert_true(host_of(facts, 1)->is_address);
  assert_false(host_of(facts, 2)->is_address);
  assert_null(facts_of(host_of(facts, 2)));
  for (int i = 0; i < 2; i++)
    assert_true(host_facts_are_ready(facts_of(host_of(facts, i)), false, INT64_MAX - 1));
  assert_memory_equal(host_facts_addresses(facts_of(host_of(facts, 0)), FAMILY_V4) + 2,
                      ((uint8_t[]){192, 0, 2, 7}), 4);
  assert_memory_equal(host_facts_addresses(facts_of(host_of(facts, 1)), FAMILY_V6) + 2, v6, 16);
}

/* ---- eviction ---- */

/* Puts denials of new names, from number `first` on, until one is evicted; returns the number after the
 * last. */
static int fill(struct fixture *fixture, int first) {
  uint64_t before = evictions(fixture);
  while (evictions(fixture) == before)
    put_plain(fixture->cache, numbered(first++), FOR_EVER_MS);
  return first;
}

static void put_range(struct fixture *fixture, int first, int end) {
  for (int i = first; i < end; i++)
    put_plain(fixture->cache, numbered(i), FOR_EVER_MS);
}

static void mark_range(struct fixture *fixture, int first, int end) {
  for (int i = first; i < end; i++)
    cache_mark(get(fixture->cache, numbered(i)));
}

static int count_range(const struct fixture *fixture, int first, int end) {
  int count = 0;
  for (int i = first; i < end; i++)
    count += get(fixture->cache, numbered(i)) != NULL;
  return count;
}

/* The oldest name of a cache that was filled in order up to `end`; a segment's split may have displaced many.
 */
static int oldest(const struct fixture *fixture, int end) { return end - (int)cache_count(fixture->cache); }

static void unused_names_are_evicted_oldest_first(void **state) {
  struct fixture *fixture = *state;
  int end = fill(fixture, 0);
  assert_null(get(fixture->cache, numbered(0)));
  for (int i = 0; i < 3 * end; i++) {
    put_plain(fixture->cache, numbered(end + i), FOR_EVER_MS);
    int count = (int)cache_count(fixture->cache);
    if (i % 100 == 0) /* all that is left is the newest */
      assert_int_equal(count_range(fixture, end + i + 1 - count, end + i + 1), count);
  }
}

static void used_names_outlive_unused_ones_that_are_newer(void **state) {
  struct fixture *fixture = *state;
  int end = fill(fixture, 0), used = oldest(fixture, end) + 10;
  mark_range(fixture, used, used + 10);
  put_range(fixture, end, end + end / 2);
  assert_int_equal(count_range(fixture, used, used + 10), 10);
  assert_int_equal(count_range(fixture, 0, used), 0);
  assert_int_equal(count_range(fixture, used + 10, end / 3), 0);
}

static void a_mark_saves_a_name_from_the_hand_once(void **state) {
  struct fixture *fixture = *state;
  int end = fill(fixture, 0), last = end + end / 2, used = oldest(fixture, end) + 10;
  mark_range(fixture, used, used + 10);
  put_range(fixture, end, last);
  int first = last + 10 - (int)cache_count(fixture->cache); /* all but those ten are the newest */
  assert_int_equal(count_range(fixture, used, used + 10), 10);
  mark_range(fixture, first, last);
  for (int i = last; i < last + 15; i++) /* the hand passes all that is used and begins anew */
    cache_mark(put_plain(fixture->cache, numbered(i), FOR_EVER_MS));
  assert_int_equal(count_range(fixture, used, used + 10), 0);
  assert_in_range(count_range(fixture, first, last), last - first - 150, last - first); /* a split may come */
}

static void a_name_that_is_used_again_and_again_is_never_evicted(void **state) {
  struct fixture *fixture = *state;
  int end = fill(fixture, 0), used = oldest(fixture, end) + 10;
  for (int lap = 4; lap < 24; lap++) {
    mark_range(fixture, used, used + 10);
    put_range(fixture, end * lap / 4, end * (lap + 1) / 4);
  }
  assert_int_equal(count_range(fixture, used, used + 10), 10);
}

static void a_scan_of_one_time_names_does_not_evict_a_used_hot_set(void **state) {
  struct fixture *fixture = *state;
  int end = fill(fixture, 0), hot = end - end / 2;
  for (int i = 0; i < 10 * end; i++) {
    if (i % (end / 8) == 0) {
      assert_int_equal(count_range(fixture, hot, end), end - hot);
      mark_range(fixture, hot, end);
    }
    put_plain(fixture->cache, numbered(end + i), FOR_EVER_MS);
  }
  assert_int_equal(count_range(fixture, hot, end), end - hot);
}

static void with_every_name_used_again_and_again_the_hand_does_not_walk_for_long(void **state) {
  struct fixture *fixture = *state;
  enum { STEPS = 1024 };
  int end = fill(fixture, 0);
  for (int hits = 0; hits < CACHE_HITS_MAX; hits++)
    mark_range(fixture, oldest(fixture, end), end);
  int first = oldest(fixture, end), last = fill(fixture, end);
  assert_non_null(get(fixture->cache, numbered(last - 1)));
  int gone = end - first - count_range(fixture, first, end);
  assert_int_equal(gone, 1);
  /* What the hand has passed has one hit less. */
  int passed = 0;
  for (int i = first; i < end; i++) {
    const struct domain_facts *facts = get(fixture->cache, numbered(i));
    passed += facts && cache_hits(facts) < CACHE_HITS_MAX;
  }
  assert_int_equal(passed, STEPS);
}

static void replaced_facts_are_as_used_as_the_old_ones(void **state) {
  struct fixture *fixture = *state;
  int end = fill(fixture, 0), used = oldest(fixture, end) + 10;
  mark_range(fixture, used, used + 10);
  put_range(fixture, used, used + 10);
  put_range(fixture, end, end + end / 2);
  assert_int_equal(count_range(fixture, used, used + 10), 10);
}

static unsigned restore(struct cache *cache, const char *name, unsigned hits) {
  struct domain_value *value = new_value(DOMAIN_NULL_MX, FOR_EVER_MS);
  const struct domain_facts *facts =
      cache_restore(cache, name, strlen(name), name_hash(name, strlen(name)), value, hits, 0);
  free(value);
  assert_non_null(facts);
  cache_release(cache, facts);
  return cache_hits(facts);
}

static void what_is_restored_has_the_hits_it_had_or_those_of_a_name_in_use(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(restore(fixture->cache, "a.test", 2), 2);
  assert_int_equal(restore(fixture->cache, "a.test", 3), 3);
  assert_int_equal(restore(fixture->cache, "a.test", 0), 1);
  assert_int_equal(restore(fixture->cache, "b.test", 0), 0);
}

static void hits_are_counted_up_to_the_most(void **state) {
  struct fixture *fixture = *state;
  const struct domain_facts *facts = put_plain(fixture->cache, "d.test", FOR_EVER_MS);
  assert_int_equal(cache_hits(facts), 0);
  for (unsigned hits = 1; hits < 10; hits++) {
    cache_mark(facts);
    assert_int_equal(cache_hits(facts), hits < CACHE_HITS_MAX ? hits : CACHE_HITS_MAX);
  }
}

static void facts_that_replace_used_ones_begin_with_one_hit(void **state) {
  struct fixture *fixture = *state;
  cache_mark(put_plain(fixture->cache, "d.test", FOR_EVER_MS));
  cache_mark(get(fixture->cache, "d.test"));
  assert_int_equal(cache_hits(put_plain(fixture->cache, "d.test", FOR_EVER_MS)), 1);
  put_plain(fixture->cache, "unused.test", FOR_EVER_MS);
  assert_int_equal(cache_hits(put_plain(fixture->cache, "unused.test", FOR_EVER_MS)), 0);
}

static void what_has_expired_is_evicted_whatever_its_mark(void **state) {
  struct fixture *fixture = *state;
  int end = fill(fixture, 0), first = oldest(fixture, end), short_lived = first + 4;
  for (int i = short_lived; i < short_lived + 4; i++)
    put_plain(fixture->cache, numbered(i), 1000);
  mark_range(fixture, first, end);
  uint64_t before = evictions(fixture);
  while (expirations(fixture) == 0) {
    struct domain_value *value = new_value(DOMAIN_NULL_MX, FOR_EVER_MS);
    value->stored_at_ms = 1000;
    put(fixture->cache, numbered(end++), value);
  }
  assert_null(get(fixture->cache, numbered(short_lived)));
  assert_int_equal(count_range(fixture, first, short_lived), 4);
  assert_true(evictions(fixture) == before);
}

static void what_has_not_expired_is_not_counted_as_an_expiration(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; evictions(fixture) + expirations(fixture) == 0; i++) {
    struct domain_value *value = new_value(DOMAIN_NULL_MX, 1000);
    value->stored_at_ms = 999;
    put(fixture->cache, numbered(i), value);
  }
  assert_int_equal(expirations(fixture), 0);
}

/* ---- the share of denials ---- */

static void put_denial(struct cache *cache, const char *name, enum domain_kind kind) {
  put(cache, name, new_value(kind, FOR_EVER_MS));
}

static uint64_t denied_evictions(const struct fixture *fixture) {
  return atomic_load(&fixture->stats.counters[STATS_CACHE_DENIED_EVICTIONS]);
}

static void check_flood(struct fixture *fixture, enum domain_kind kind) {
  int end = fill(fixture, 0), first = oldest(fixture, end);
  uint64_t before = evictions(fixture);
  for (int i = 0; i < 5 * end; i++)
    put_denial(fixture->cache, numbered(end + i), kind);
  int denied = count_range(fixture, end, 6 * end), good = count_range(fixture, first, end);
  assert_int_equal((int)cache_count(fixture->cache), denied + good);
  assert_in_range(denied, (end - first) / 15, (end - first) / 8);
  assert_true(good > (end - first) * 80 / 100);
  assert_true(denied_evictions(fixture) > (uint64_t)end * 4);
  assert_true(evictions(fixture) - before < (uint64_t)end / 5);
  assert_non_null(get(fixture->cache, numbered(6 * end - 1)));
}

static void a_flood_of_denials_takes_a_tenth_of_the_cache(void **state) {
  check_flood(*state, DOMAIN_NXDOMAIN);
}

static void a_flood_of_failures_takes_a_tenth_of_the_cache(void **state) {
  check_flood(*state, DOMAIN_FAILED);
}

static void denials_take_a_tenth_of_an_empty_cache_too(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; denied_evictions(fixture) == 0; i++) {
    put_denial(fixture->cache, numbered(i), DOMAIN_NXDOMAIN);
    assert_true(cache_count(fixture->cache) < NARROW_BYTES / 10 / 48);
  }
  assert_true(cache_bytes(fixture->cache) < NARROW_BYTES / 4);
  assert_int_equal(evictions(fixture), 0);
}

static void a_denial_that_is_asked_for_again_and_again_outlives_a_flood(void **state) {
  struct fixture *fixture = *state;
  put_denial(fixture->cache, "hot.test", DOMAIN_NXDOMAIN);
  for (int i = 0; denied_evictions(fixture) < 5000; i++) {
    if (i % 50 == 0)
      cache_mark(get(fixture->cache, "hot.test"));
    put_denial(fixture->cache, numbered(i), DOMAIN_NXDOMAIN);
  }
  assert_non_null(get(fixture->cache, "hot.test"));
}

static void a_name_changes_its_share_with_its_facts(void **state) {
  struct fixture *fixture = *state;
  for (int round = 0; round < 50000; round++)
    if (round % 2)
      put_denial(fixture->cache, numbered(round / 2 % 100), DOMAIN_NXDOMAIN);
    else
      put_plain(fixture->cache, numbered(round / 2 % 100), FOR_EVER_MS);
  assert_int_equal(cache_count(fixture->cache), 100);
  assert_int_equal(evictions(fixture) + denied_evictions(fixture), 0);
}

/* ---- sweeping ---- */

static void a_sweep_removes_what_has_expired_and_nothing_else(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 100; i++)
    put_plain(fixture->cache, numbered(i), i % 2 ? 1000 : 2000);
  mark_range(fixture, 0, 50);
  cache_sweep(fixture->cache, 999, 100);
  assert_int_equal(cache_count(fixture->cache), 100);
  cache_sweep(fixture->cache, 1000, 100);
  assert_int_equal(cache_count(fixture->cache), 50);
  for (int i = 0; i < 100; i++)
    assert_int_equal(get(fixture->cache, numbered(i)) != NULL, i % 2 == 0);
  assert_int_equal(expirations(fixture), 50);
  assert_int_equal(evictions(fixture), 0);
}

static void a_sweep_keeps_a_failure_for_as_long_again_as_it_lived(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 3; i++) {
    struct domain_value *value = new_value(DOMAIN_FAILED, 11000 + i * 1000);
    value->stored_at_ms = 1000;
    value->cause = VERDICT_DNS_SERVFAIL;
    value->failures = (uint8_t)(i + 1);
    put(fixture->cache, numbered(i), value);
  }
  cache_sweep(fixture->cache, 20999, 3);
  assert_int_equal(cache_count(fixture->cache), 3);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(get(fixture->cache, numbered(i))->failures, i + 1);
    cache_sweep(fixture->cache, 21000 + i * 2000, 3);
    assert_null(get(fixture->cache, numbered(i)));
    assert_int_equal(cache_count(fixture->cache), 2 - i);
  }
  assert_int_equal(expirations(fixture), 3);
}

static void a_failure_that_has_expired_is_evicted_before_what_holds(void **state) {
  struct fixture *fixture = *state;
  struct domain_value *value = new_value(DOMAIN_FAILED, 6000);
  value->stored_at_ms = 1000;
  value->failures = 1;
  cache_mark(put(fixture->cache, "failed.test", value));
  for (int i = 0; evictions(fixture) + expirations(fixture) == 0; i++) {
    struct domain_value *denial = new_value(DOMAIN_NXDOMAIN, FOR_EVER_MS);
    denial->stored_at_ms = 6000;
    put(fixture->cache, numbered(i), denial);
  }
  assert_null(get(fixture->cache, "failed.test"));
  assert_int_equal(expirations(fixture), 1);
}

static void a_sweep_looks_at_so_many_and_the_next_goes_on_from_there(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 100; i++)
    put_plain(fixture->cache, numbered(i), i < 50 ? 2000 : 1000);
  cache_sweep(fixture->cache, 1000, 40);
  assert_int_equal(cache_count(fixture->cache), 100);
  cache_sweep(fixture->cache, 1000, 40);
  assert_int_equal(cache_count(fixture->cache), 70);
  cache_sweep(fixture->cache, 1000, 19);
  assert_int_equal(cache_count(fixture->cache), 51);
  assert_non_null(get(fixture->cache, numbered(99)));
  cache_sweep(fixture->cache, 1000, 1);
  assert_int_equal(cache_count(fixture->cache), 50);
  cache_sweep(fixture->cache, 2000, 50); /* from the oldest again */
  assert_int_equal(cache_count(fixture->cache), 0);
  cache_sweep(fixture->cache, 2000, 50);
}

static void a_sweep_goes_on_although_the_name_it_stands_on_is_gone_or_replaced(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 10; i++)
    put_plain(fixture->cache, numbered(i), i < 5 ? 2000 : 1000);
  cache_sweep(fixture->cache, 1000, 4);
  remove_name(fixture->cache, numbered(4)); /* the next to be looked at */
  put_plain(fixture->cache, numbered(5), 2000);
  cache_sweep(fixture->cache, 1000, 1);
  assert_int_equal(cache_count(fixture->cache), 9);
  put_plain(fixture->cache, numbered(6), 1000);
  cache_sweep(fixture->cache, 1000, 1);
  assert_null(get(fixture->cache, numbered(6)));
  cache_sweep(fixture->cache, 1000, 3);
  assert_int_equal(cache_count(fixture->cache), 5);
}

/* ---- walking ---- */

enum { WALK_NAMES = 100, ALL_STEPS = 1 << 20 };

/* A walk and what it has to see. */
struct walking {
  struct cache_walk walk;
  bool stays[WALK_NAMES]; /* was there at the start, and has been since */
  unsigned char seen[WALK_NAMES];
};

static void start_walking(struct walking *walking, const struct fixture *fixture) {
  memset(walking, 0, sizeof(*walking));
  for (int i = 0; i < WALK_NAMES; i++)
    walking->stays[i] = get(fixture->cache, numbered(i)) != NULL;
  cache_walk_start(&walking->walk, fixture->cache);
}

/* Goes `steps` on, or to the end; returns how many it took. */
static int walk_on(struct walking *walking, int steps) {
  const struct domain_facts *facts;
  int taken = 0;
  for (; taken < steps && (facts = cache_walk_next(&walking->walk)); taken++) {
    int number = 0;
    for (const char *digit = facts->text + 1; *digit != '.'; digit++)
      number = number * 10 + (*digit - '0');
    assert_in_range(number, 0, WALK_NAMES - 1);
    walking->seen[number]++;
  }
  return taken;
}

/* At the end: what stayed was seen once. */
static void stop_walking(struct walking *walking) {
  assert_null(cache_walk_next(&walking->walk));
  cache_walk_stop(&walking->walk);
  for (int i = 0; i < WALK_NAMES; i++)
    if (walking->stays[i])
      assert_int_equal(walking->seen[i], 1);
}

static void a_walk_over_an_empty_cache_sees_nothing(void **state) {
  struct fixture *fixture = *state;
  struct cache_walk walk;
  cache_walk_start(&walk, fixture->cache);
  assert_null(cache_walk_next(&walk));
  assert_null(cache_walk_next(&walk));
  cache_walk_stop(&walk);
}

static void a_walk_sees_every_name_once(void **state) {
  struct fixture *fixture = *state;
  struct walking walking;
  put_range(fixture, 0, WALK_NAMES);
  start_walking(&walking, fixture);
  assert_int_equal(walk_on(&walking, 30), 30);
  assert_int_equal(walk_on(&walking, ALL_STEPS), WALK_NAMES - 30);
  stop_walking(&walking);
}

static void names_that_come_without_end_do_not_keep_a_walk_from_its_end(void **state) {
  struct fixture *fixture = *state;
  put_range(fixture, 0, WALK_NAMES);
  struct cache_walk walk;
  cache_walk_start(&walk, fixture->cache);
  int steps = 0;
  for (; cache_walk_next(&walk); steps++)
    put_range(fixture, WALK_NAMES + steps * 2, WALK_NAMES + steps * 2 + 2);
  cache_walk_stop(&walk);
  assert_in_range(steps, WALK_NAMES, 10 * WALK_NAMES);
}

static void a_walk_may_remove_all_that_it_sees(void **state) {
  struct fixture *fixture = *state;
  put_range(fixture, 0, WALK_NAMES);
  struct cache_walk walk, other;
  cache_walk_start(&other, fixture->cache);
  cache_walk_start(&walk, fixture->cache);
  for (const struct domain_facts *facts; (facts = cache_walk_next(&walk));)
    cache_remove_facts(fixture->cache, facts);
  cache_walk_stop(&walk);
  assert_int_equal(cache_count(fixture->cache), 0);
  assert_null(cache_walk_next(&other));
  cache_walk_stop(&other);
}

static void a_walk_finds_the_domains_that_share_a_set(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 20; i++)
    put_mx(fixture->cache, numbered(i), i % 4 ? "shared.example" : "other.example");
  const struct exchange_set *set = get(fixture->cache, numbered(1))->set;
  struct cache_walk walk;
  uint32_t sharing = 0;
  cache_walk_start(&walk, fixture->cache);
  for (const struct domain_facts *facts; (facts = cache_walk_next(&walk));)
    sharing += facts->set == set;
  cache_walk_stop(&walk);
  assert_int_equal(sharing, 15);
  assert_int_equal(sharing, set->refs);
}

/* A name comes, is replaced, or goes. */
static void change_one(struct fixture *fixture, struct random *random, struct walking walkings[2]) {
  int number = (int)random_below(random, WALK_NAMES);
  if (random_below(random, 3)) {
    put_plain(fixture->cache, numbered(number), FOR_EVER_MS);
  } else {
    remove_name(fixture->cache, numbered(number));
    walkings[0].stays[number] = walkings[1].stays[number] = false;
  }
}

static void a_walk_while_names_come_and_go_sees_those_that_stay_once(void **state) {
  struct fixture *fixture = *state;
  struct random random = {.state = 11};
  struct walking walkings[2];
  for (int round = 0; round < 500; round++) {
    put_range(fixture, 0, WALK_NAMES / 2);
    start_walking(&walkings[0], fixture);
    walk_on(&walkings[0], (int)random_below(&random, 40));
    start_walking(&walkings[1], fixture);
    for (int taken = 1; taken > 0;) {
      for (uint32_t i = random_below(&random, 3); i > 0; i--)
        change_one(fixture, &random, walkings);
      taken = walk_on(&walkings[0], 1) + walk_on(&walkings[1], (int)random_below(&random, 3) + 1);
    }
    int first = (int)random_below(&random, 2);
    stop_walking(&walkings[first]);
    stop_walking(&walkings[1 - first]);
  }
}

/* ---- the bound and the accounts ---- */

/* A value of any kind and size. */
static struct domain_value *random_value(struct random *random) {
  struct domain_value *value = new_value(DOMAIN_NXDOMAIN, FOR_EVER_MS);
  uint32_t count = random_below(random, 4) ? random_below(random, 6) : random_below(random, 101);
  for (uint32_t i = 0; i < count; i++) {
    char host[FACTS_NAME_SIZE];
    snprintf(host, sizeof(host), "%0*u.example", (int)random_below(random, 200) + 1,
             random_below(random, 5000));
    add(value, (uint16_t)i, host);
  }
  if (count > 0)
    value->kind = DOMAIN_MX;
  snprintf(value->canonical, sizeof(value->canonical), "%0*d", (int)random_below(random, 250) + 1, 1);
  return value;
}

static struct host_facts *random_host_facts(struct random *random) {
  static struct family_value values[FAMILY_COUNT];
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    values[family].count = (uint8_t)random_below(random, FACTS_ADDRESSES_MAX + 1);
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  return facts;
}

/* Puts a name of random facts and gives its hosts facts; the bound must hold after each step. */
static void put_random(struct fixture *fixture, int number, size_t bound_bytes, struct random *random) {
  const struct domain_facts *facts = put(fixture->cache, numbered(number), random_value(random));
  assert_true(cache_bytes(fixture->cache) <= bound_bytes);
  cache_hold(facts);
  for (uint16_t i = 0; facts->set && i < facts->set->count; i += 3) {
    cache_put_host(fixture->cache, host_of(facts, i), random_host_facts(random), 0);
    while (cache_collect(fixture->cache) > 0)
      continue;
    assert_true(cache_bytes(fixture->cache) <= bound_bytes);
  }
  cache_release(fixture->cache, facts);
}

static void the_bound_is_kept_after_each_put_and_used(void **state) {
  struct fixture *fixture = *state;
  struct random random = {.state = 6};
  for (int i = 0; i < 3000; i++) {
    put_random(fixture, i % 2500, SMALL_BYTES, &random);
    if (i >= 500)
      assert_true(cache_bytes(fixture->cache) > SMALL_BYTES / 10 * 9);
  }
  assert_true(evictions(fixture) > 1000);
}

static void what_readers_hold_back_is_beside_the_bound(void **state) {
  struct fixture *fixture = *state;
  int end = fill(fixture, 0);
  size_t bytes = cache_bytes(fixture->cache);
  qsbr_online(cache_qsbr(fixture->cache), &fixture->reader);
  put_range(fixture, end, end + 1000);
  assert_in_range(cache_bytes(fixture->cache), bytes + 56 * 1000, bytes + 80 * 1000);
  qsbr_offline(&fixture->reader);
  put_range(fixture, end + 1000, end + 1020); /* which move together what is left */
  assert_true(cache_bytes(fixture->cache) <= NARROW_BYTES);
  assert_true(cache_count(fixture->cache) > 1400);
}

/* What malloc has given out itself, mapped or not. */
static size_t malloc_bytes(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

static size_t resident_bytes(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  size_t all, resident = 0;
  assert_non_null(file);
  assert_int_equal(fscanf(file, "%zu %zu", &all, &resident), 2);
  fclose(file);
  return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void the_accounts_agree_with_those_of_malloc_and_of_the_kernel(void **state) {
  (void)state;
  if (!malloc_is_watched()) /* nor is there the right mallinfo2 then */
    skip();
  enum { BOUND = 24 << 20 };
  struct random random = {.state = 7};
  malloc_trim(0);
  size_t malloced = malloc_bytes(), resident = resident_bytes();
  struct fixture *fixture = new_fixture(BOUND);
  size_t empty = malloc_bytes() - malloced; /* with what is known of pages: resident only with use */
  for (int i = 0; i < 160000; i++) {
    if (i % 8 == 0)
      put_random(fixture, i, BOUND, &random);
    else
      put_varied(fixture->cache, i);
    if (i % 20000 != 19999)
      continue;
    size_t claimed = cache_bytes(fixture->cache);
    assert_in_range(resident_bytes() - resident, claimed / 10 * 9, claimed / 10 * 11);
    assert_true(malloc_bytes() - malloced - empty < claimed);
  }
  assert_true(evictions(fixture) > 1000);
  assert_true(resident_bytes() - resident < BOUND / 10 * 11);
  free_fixture(fixture);
}

static struct domain_value *plain_value(void) { return new_value(DOMAIN_NULL_MX, FOR_EVER_MS); }

/* Puts names of `length` octets from `first` on until `count` are evicted. */
static int put_long(struct fixture *fixture, int length, int first, uint64_t count) {
  uint64_t before = evictions(fixture);
  for (; evictions(fixture) - before < count; first++) {
    char name[FACTS_NAME_SIZE];
    snprintf(name, sizeof(name), "%0*d.test", length - 5, first);
    put(fixture->cache, name, plain_value());
    assert_true(cache_bytes(fixture->cache) <= SMALL_BYTES);
  }
  return first;
}

/* Octets that the entries themselves take, with their slots. */
static size_t used_bytes(struct fixture *fixture) {
  struct cache_walk walk;
  size_t bytes = 0;
  cache_walk_start(&walk, fixture->cache);
  for (const struct domain_facts *facts; (facts = cache_walk_next(&walk));)
    bytes += 56u + facts->name_length + 8u;
  cache_walk_stop(&walk);
  return bytes;
}

/* One in three is used, so that the others leave holes. */
static void mark_some(struct fixture *fixture) {
  struct cache_walk walk;
  int number = 0;
  cache_walk_start(&walk, fixture->cache);
  for (const struct domain_facts *facts; (facts = cache_walk_next(&walk)); number++)
    for (int hits = 0; number % 3 == 0 && hits < CACHE_HITS_MAX; hits++)
      cache_mark(facts);
  cache_walk_stop(&walk);
}

/* While entries of all lengths are there, little of the memory lies idle. */
static void names_of_other_lengths_get_the_memory_of_those_that_go(void **state) {
  struct fixture *fixture = *state;
  static const int lengths[] = {12, 60, 200, 20, 120, 12};
  int end = 0;
  for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
    end = put_long(fixture, lengths[i], end, 100);
    mark_some(fixture);
    for (int slice = 0; slice < 8; slice++) {
      end = put_long(fixture, lengths[i], end, cache_count(fixture->cache) / 8 + 1);
      assert_true(used_bytes(fixture) > SMALL_BYTES / 100 * 78);
    }
  }
}

static void facts_that_are_held_stay_in_place_while_others_are_moved(void **state) {
  struct fixture *fixture = *state;
  enum { COUNT = 200 };
  const struct domain_facts *facts[COUNT];
  int end = put_long(fixture, 12, 0, 1);
  for (int i = 0; i < COUNT; i++) {
    char name[FACTS_NAME_SIZE];
    snprintf(name, sizeof(name), "%07d.test", end - 1 - i * 20);
    facts[i] = get(fixture->cache, name);
    cache_hold(facts[i]);
  }
  put_long(fixture, 100, 0, 20000);
  for (int i = 0; i < COUNT; i++) {
    char name[FACTS_NAME_SIZE];
    snprintf(name, sizeof(name), "%07d.test", end - 1 - i * 20);
    assert_memory_equal(facts[i]->text, name, 12);
    cache_release(fixture->cache, facts[i]);
  }
  assert_true(cache_bytes(fixture->cache) <= SMALL_BYTES);
}

/* ---- without memory ---- */

static void a_put_without_memory_leaves_what_was_there(void **state) {
  struct fixture *fixture = *state;
  if (!malloc_is_watched())
    skip();
  struct cache *cache = fixture->cache;
  put_mx(cache, "other.test", "shared.example");
  const struct domain_facts *old = put_mx(cache, "d.test", "old.example"), *facts = NULL;
  struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
  add(value, 10, "new.example");
  add(value, 20, "shared.example");
  add(value, 30, "192.0.2.1");
  size_t bytes = cache_bytes(cache);
  long allowed = 0;
  for (; !facts; allowed++) {
    malloc_allow(allowed);
    facts = cache_put(cache, "d.test", 6, hash_of("d.test"), value);
    malloc_allow(LONG_MAX);
    if (facts)
      continue;
    qsbr_collect(cache_qsbr(cache));
    assert_ptr_equal(get(cache, "d.test"), old);
    assert_int_equal(cache_bytes(cache), bytes);
    assert_int_equal(cache_set_count(cache), 2);
    assert_int_equal(cache_host_count(cache), 2);
    assert_int_equal(host_of(get(cache, "other.test"), 0)->refs, 1);
  }
  assert_in_range(allowed, 5, 7); /* a set, two hosts, the address's facts; the entry is of the arena */
  assert_ptr_equal(get(cache, "d.test"), facts);
  assert_int_equal(cache_host_count(cache), 3);
  cache_release(cache, facts);
  free(value);
}

static void a_cache_that_cannot_be_made_leaves_nothing_behind(void **state) {
  (void)state;
  if (!malloc_is_watched())
    skip();
  struct stats stats = {0};
  struct cache *cache = NULL;
  for (long allowed = 0; !cache; allowed++) {
    long blocks = atomic_load(&malloc_blocks);
    malloc_allow(allowed);
    cache = cache_create(SMALL_BYTES, 0, &stats);
    malloc_allow(LONG_MAX);
    assert_true(cache || atomic_load(&malloc_blocks) == blocks);
    assert_true(!cache || allowed >= 5);
  }
  cache_destroy(cache);
}

static void a_destroyed_cache_leaves_nothing_behind(void **state) {
  (void)state;
  if (!malloc_is_watched())
    skip();
  struct random random = {.state = 8};
  long blocks = atomic_load(&malloc_blocks);
  struct fixture *fixture = new_fixture(SMALL_BYTES);
  for (int i = 0; i < 500; i++)
    put_random(fixture, i, SMALL_BYTES, &random);
  qsbr_online(cache_qsbr(fixture->cache), &fixture->reader);
  put_range(fixture, 0, 100);
  qsbr_offline(&fixture->reader);
  free_fixture(fixture);
  assert_int_equal(atomic_load(&malloc_blocks), blocks);
}

static void a_hit_allocates_nothing(void **state) {
  struct fixture *fixture = *state;
  if (!malloc_is_watched())
    skip();
  static struct route route;
  static uint8_t bytes[REPLY_BYTES_MAX];
  const struct route_policy policy = {0};
  struct random random = {.state = 9};
  struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
  for (int i = 0; i < 40; i++)
    add(value, (uint16_t)(i / 3), i == 20 ? "192.0.2.1" : numbered(i));
  const struct domain_facts *facts = put(fixture->cache, "d.test", value);
  for (int i = 0; i < 40; i++)
    if (i != 20)
      cache_put_host(fixture->cache, host_of(facts, i), new_host_facts((uint8_t)i), 0);
  uint64_t hash = hash_of("d.test");
  long calls = atomic_load(&malloc_calls);
  for (int i = 0; i < 1000; i++) {
    enum depth depth = i % 2 ? DEPTH_ADDRESSES : DEPTH_EXCHANGES;
    qsbr_online(cache_qsbr(fixture->cache), &fixture->reader);
    cache_prefetch_directory(fixture->cache, hash);
    cache_prefetch_slot(fixture->cache, hash);
    const struct domain_facts *guess = cache_guess(fixture->cache, hash);
    assert_non_null(guess);
    cache_prefetch_set(guess);
    cache_prefetch_hosts(guess);
    cache_prefetch_addresses(guess);
    facts = cache_get_guessed(fixture->cache, guess, "d.test", 6, hash);
    assert_ptr_equal(facts, cache_get(fixture->cache, "d.test", 6, hash));
    assert_true(route_is_ready(facts, depth, false, 0));
    cache_mark(facts);
    route_build(facts, &(struct route_request){.depth = depth}, &policy, 0, 0, &random, &route);
    assert_int_equal(route.verdict, VERDICT_ROUTE);
    assert_true(reply_build_route(bytes, 1, SOURCE_MEMORY, &route) > 500);
    qsbr_offline(&fixture->reader);
  }
  assert_int_equal(atomic_load(&malloc_calls), calls);
}

/* ---- random operations against a model ---- */

enum { NAMES = 600, POOL = 40, HOSTS = 30, HELD = 16 };

/* One thread: ThreadSanitizer has nothing to find in many. */
#ifdef __SANITIZE_THREAD__
enum { OPERATIONS = 20000 };
#else
enum { OPERATIONS = 100000 };
#endif

/* What was put for one name. */
struct record {
  bool is_in;
  int name, pool;
  int64_t stored_at_ms, expires_at_ms;
};

struct model {
  bool evicts; /* so that names may be gone */
  struct fixture *fixture;
  struct random random;
  int64_t now_ms;
  struct record records[NAMES];
  struct {
    const struct domain_facts *facts;
    struct record record;
  } held[HELD];
  uint8_t octets[HOSTS]; /* of the facts that each host was last given */
  unsigned found, resolved;
};

/* Few places, of which half lie behind the end of the table; five tags. */
static uint64_t crowded_hash(int name) {
  return (uint64_t)name % 5 << 60 | (uint32_t)(last_place - 40 + (uint64_t)name * 7 % 80);
}

/* The set number `pool`; the first five are none. */
static int pool_count(int pool) { return pool < 5 ? 0 : 1 + pool % 4; }

static int pool_host(int pool, int index) { return (pool * 2 + index) % HOSTS; }

static struct domain_value *pool_value(const struct record *record) {
  struct domain_value *value =
      new_value(pool_count(record->pool) ? DOMAIN_MX : DOMAIN_NXDOMAIN, record->expires_at_ms);
  value->stored_at_ms = record->stored_at_ms;
  for (int i = 0; i < pool_count(record->pool); i++)
    add(value, (uint16_t)(record->pool * 10 + i), numbered(pool_host(record->pool, i)));
  return value;
}

static void check_record(struct model *model, const struct domain_facts *facts, const struct record *record) {
  assert_int_equal(facts->name_length, 11);
  assert_memory_equal(facts->text, numbered(record->name), 11);
  assert_true(facts->stored_at_ms == record->stored_at_ms);
  assert_true(facts->expires_at_ms == record->expires_at_ms);
  assert_int_equal(facts->set ? facts->set->count : 0, pool_count(record->pool));
  for (int i = 0; i < pool_count(record->pool); i++) {
    assert_int_equal(facts->set->exchanges[i].preference, record->pool * 10 + i);
    assert_string_equal(host_of(facts, i)->name, numbered(pool_host(record->pool, i)));
    const struct host_facts *host_facts = facts_of(host_of(facts, i));
    if (host_facts) {
      assert_int_equal(host_facts_addresses(host_facts, FAMILY_V4)[5],
                       model->octets[pool_host(record->pool, i)]);
      model->resolved++;
    }
  }
}

static bool has_evicted(const struct fixture *fixture) {
  return evictions(fixture) + denied_evictions(fixture) > 0;
}

static const struct domain_facts *find_record(struct model *model, int name) {
  return get_at(model->fixture->cache, numbered(name), crowded_hash(name));
}

/* Compares one name; the cache may have evicted it. */
static void check_name(struct model *model, int name) {
  struct record *record = &model->records[name];
  const struct domain_facts *facts = find_record(model, name);
  if (!facts && model->evicts)
    record->is_in = false;
  assert_int_equal(facts != NULL, record->is_in);
  if (!facts)
    return;
  check_record(model, facts, record);
  model->found++;
  if (random_below(&model->random, 2))
    cache_mark(facts);
}

static void check_counts(struct model *model) {
  bool sets[POOL] = {0}, hosts[HOSTS] = {0};
  size_t names = 0, set_count = 0, host_count = 0;
  for (int i = 0; i < NAMES; i++) {
    check_name(model, i);
    names += model->records[i].is_in;
    sets[model->records[i].pool] |= model->records[i].is_in;
  }
  for (int i = 0; i < HELD; i++)
    sets[model->held[i].record.pool] |= model->held[i].facts != NULL;
  for (int pool = 5; pool < POOL; pool++) {
    set_count += sets[pool];
    for (int i = 0; sets[pool] && i < pool_count(pool); i++)
      hosts[pool_host(pool, i)] = true;
  }
  for (int i = 0; i < HOSTS; i++)
    host_count += hosts[i];
  assert_int_equal(cache_count(model->fixture->cache), names);
  assert_int_equal(cache_set_count(model->fixture->cache), set_count);
  assert_int_equal(cache_host_count(model->fixture->cache), host_count);
}

static void release_held(struct model *model, int index) {
  if (!model->held[index].facts)
    return;
  check_record(model, model->held[index].facts, &model->held[index].record);
  cache_release(model->fixture->cache, model->held[index].facts);
  model->held[index].facts = NULL;
}

/* Puts, and keeps the hold now and then. */
static void put_one(struct model *model, int name, bool keep) {
  struct record *record = &model->records[name];
  *record = (struct record){true, name, (int)random_below(&model->random, POOL), model->now_ms,
                            model->now_ms + random_below(&model->random, 20000)};
  struct domain_value *value = pool_value(record);
  const struct domain_facts *facts =
      cache_put(model->fixture->cache, numbered(name), 11, crowded_hash(name), value);
  assert_non_null(facts);
  free(value);
  if (keep) {
    int index = (int)random_below(&model->random, HELD);
    release_held(model, index);
    model->held[index].facts = facts;
    model->held[index].record = *record;
  } else {
    cache_release(model->fixture->cache, facts);
  }
}

static void resolve_one(struct model *model, int name) {
  const struct domain_facts *facts = find_record(model, name);
  if (!facts || !facts->set)
    return;
  uint32_t index = random_below(&model->random, facts->set->count);
  uint8_t octet = (uint8_t)random_below(&model->random, 256);
  model->octets[pool_host(model->records[name].pool, (int)index)] = octet;
  cache_put_host(model->fixture->cache, host_of(facts, (int)index), new_host_facts(octet), model->now_ms);
}

/* A sweep as long as there are names visits each once, wherever it begins. */
static void sweep_all(struct model *model) {
  cache_sweep(model->fixture->cache, model->now_ms, cache_count(model->fixture->cache));
  for (int i = 0; i < NAMES; i++)
    if (model->records[i].expires_at_ms <= model->now_ms)
      model->records[i].is_in = false;
}

static void remove_one(struct model *model, int name) {
  bool removed = cache_remove(model->fixture->cache, numbered(name), 11, crowded_hash(name));
  assert_true(removed == model->records[name].is_in || model->evicts);
  assert_true(!removed || model->records[name].is_in);
  model->records[name].is_in = false;
}

static void operate(struct model *model) {
  uint32_t choice = random_below(&model->random, 1000);
  int name = (int)random_below(&model->random, NAMES);
  model->now_ms += 10;
  if (choice < 400)
    put_one(model, name, choice < 10);
  else if (choice < 550)
    remove_one(model, name);
  else if (choice < 900)
    check_name(model, name);
  else if (choice < 980)
    resolve_one(model, name);
  else if (choice < 999)
    release_held(model, (int)random_below(&model->random, HELD));
  else
    sweep_all(model);
}

static void run_model(size_t size_bytes, bool evicts) {
  struct model *model = calloc(1, sizeof(*model));
  assert_non_null(model);
  model->fixture = new_fixture(size_bytes);
  model->random.state = size_bytes;
  model->evicts = evicts;
  for (int i = 0; i < OPERATIONS; i++) {
    operate(model);
    qsbr_collect(cache_qsbr(model->fixture->cache));
    assert_true(cache_bytes(model->fixture->cache) <= size_bytes);
    if (i % 2000 == 0)
      check_counts(model);
  }
  assert_true(model->found > OPERATIONS / 10 && model->resolved > OPERATIONS / 10);
  assert_int_equal(has_evicted(model->fixture), evicts);
  assert_true(expirations(model->fixture) > 100);
  for (int i = 0; i < HELD; i++)
    release_held(model, i);
  for (int i = 0; i < NAMES; i++)
    remove_one(model, i);
  check_counts(model);
  free_fixture(model->fixture);
  free(model);
}

static void random_operations_leave_what_the_model_says(void **state) {
  (void)state;
  run_model(80 * 1024, false);
}

static void random_operations_with_evictions_leave_part_of_what_the_model_says(void **state) {
  (void)state;
  run_model(40 * 1024, true);
}

/* ---- threads ---- */

enum { READERS = 3, RUN_MS = 1000, THREAD_NAMES = 2000, THREAD_HOSTS = 50, THREAD_BYTES = 96 << 10 };

struct reading {
  pthread_t thread;
  struct cache *cache;
  struct qsbr_reader reader;
  struct random random;
  _Atomic bool *is_over;
  uint64_t found, resolved, wrong;
};

static uint16_t drawn_count(int name, int64_t version) {
  return (uint16_t)(version % 5 == 0 ? 0 : 1 + (name + version) % 3);
}

static uint16_t drawn_preference(int64_t version, int index) { return (uint16_t)(version % 7 + index * 10); }

static int drawn_host(int name, int64_t version, int index) {
  return (int)((name * 7 + version + index * 11) % THREAD_HOSTS);
}

/* Two names a place over and over, so that removals move many. */
static uint64_t drawn_hash(int name) {
  return (uint64_t)name % 3 << 60 | (uint32_t)(last_place - 400 + (uint64_t)name % 800);
}

/* Everything about a name follows from its number and the time it was stored. */
static struct domain_value *drawn_value(int name, int64_t version) {
  uint16_t count = drawn_count(name, version);
  struct domain_value *value = new_value(count ? DOMAIN_MX : DOMAIN_NXDOMAIN, version + name * 10);
  value->stored_at_ms = version;
  snprintf(value->canonical, sizeof(value->canonical), "c%05d.v%d", name, (int)(version % 1000));
  for (int i = 0; i < count; i++) {
    char host[32];
    snprintf(host, sizeof(host), "h%02d.example", drawn_host(name, version, i));
    add(value, drawn_preference(version, i), host);
  }
  return value;
}

/* Everything about a host's facts follows from its number and their life. */
static void draw_address(uint8_t octets[4], int host, int64_t version, int index) {
  octets[0] = (uint8_t)host;
  octets[1] = (uint8_t)version;
  octets[2] = (uint8_t)(version >> 8);
  octets[3] = (uint8_t)index;
}

static struct host_facts *drawn_host_facts(int host, int64_t version) {
  static struct family_value values[FAMILY_COUNT];
  values[FAMILY_V6].state = FAMILY_NODATA;
  values[FAMILY_V4].state = FAMILY_OK;
  values[FAMILY_V4].count = (uint8_t)(1 + version % 5);
  values[FAMILY_V6].expires_at_ms = values[FAMILY_V4].expires_at_ms = version;
  for (int i = 0; i < values[FAMILY_V4].count; i++)
    draw_address(values[FAMILY_V4].addresses[i], host, version, i);
  snprintf(values[FAMILY_V4].expanded, FACTS_NAME_SIZE, "e%02d.example", host);
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  return facts;
}

static bool host_is_as_drawn(struct host *host, int number, uint64_t *resolved) {
  char text[32];
  snprintf(text, sizeof(text), "h%02d.example", number);
  if (strcmp(host->name, text) != 0 || host->length != strlen(text))
    return false;
  const struct host_facts *facts = facts_of(host);
  if (!facts)
    return true;
  ++*resolved;
  int64_t version = facts->expires_at_ms[FAMILY_V4];
  const uint8_t *at = host_facts_addresses(facts, FAMILY_V4);
  if (facts->count[FAMILY_V4] != 1 + version % 5 || facts->count[FAMILY_V6] != 0)
    return false;
  for (int i = 0; i < facts->count[FAMILY_V4]; i++, at += PACKED_V4_LENGTH) {
    uint8_t octets[4];
    draw_address(octets, number, version, i);
    if (at[1] != 4 || memcmp(at + 2, octets, 4) != 0)
      return false;
  }
  text[0] = 'e';
  return at[1] == strlen(text) && memcmp(at + 2, text, strlen(text)) == 0;
}

static bool facts_are_as_drawn(const struct domain_facts *facts, int name, uint64_t *resolved) {
  char text[64];
  int64_t version = facts->stored_at_ms;
  int length = snprintf(text, sizeof(text), "d%05d.testc%05d.v%d", name, name, (int)(version % 1000));
  uint16_t count = drawn_count(name, version);
  if (facts->name_length != 11 || facts->canonical_length != length - 11 ||
      memcmp(facts->text, text, (size_t)length) != 0 || facts->expires_at_ms != version + name * 10 ||
      (facts->set ? facts->set->count : 0) != count)
    return false;
  for (int i = 0; i < count; i++) {
    const struct exchange *exchange = &facts->set->exchanges[i];
    const uint8_t *end = exchange_set_bytes(facts->set) + exchange->offset + exchange->length;
    if (exchange->preference != drawn_preference(version, i) ||
        !host_is_as_drawn(exchange->host, drawn_host(name, version, i), resolved) ||
        memcmp(end - exchange->host->length, exchange->host->name, exchange->host->length) != 0)
      return false;
  }
  return true;
}

/* One question as a frontend asks it. Not through `numbered`, which is one thread's. */
static void read_one(struct reading *reading, struct route *route, uint8_t *bytes) {
  const struct route_policy policy = {0};
  int name = (int)random_below(&reading->random, THREAD_NAMES);
  char text[32];
  snprintf(text, sizeof(text), "d%05d.test", name);
  uint64_t hash = drawn_hash(name);
  cache_prefetch_directory(reading->cache, hash);
  cache_prefetch_slot(reading->cache, hash);
  const struct domain_facts *guess = cache_guess(reading->cache, hash);
  if (guess) {
    cache_prefetch_set(guess);
    cache_prefetch_hosts(guess);
    cache_prefetch_addresses(guess);
  }
  const struct domain_facts *facts = cache_get_guessed(reading->cache, guess, text, 11, hash);
  if (!facts)
    return;
  reading->found++;
  reading->wrong += !facts_are_as_drawn(facts, name, &reading->resolved);
  if (name % 2)
    cache_mark(facts);
  enum depth depth = route_is_ready(facts, DEPTH_ADDRESSES, false, 0) ? DEPTH_ADDRESSES : DEPTH_EXCHANGES;
  route_build(facts, &(struct route_request){.depth = depth}, &policy, 0, facts->stored_at_ms,
              &reading->random, route);
  reading->wrong += reply_build_route(bytes, 1, SOURCE_MEMORY, route) > REPLY_BYTES_MAX;
  reading->wrong += !facts_are_as_drawn(facts, name, &reading->resolved);
}

static void *read_on(void *argument) {
  struct reading *reading = argument;
  struct route *route = malloc(sizeof(*route));
  uint8_t *bytes = malloc(REPLY_BYTES_MAX);
  while (!atomic_load_explicit(reading->is_over, memory_order_relaxed)) {
    qsbr_online(cache_qsbr(reading->cache), &reading->reader);
    for (uint32_t count = random_below(&reading->random, 20); count > 0; count--)
      read_one(reading, route, bytes);
    qsbr_offline(&reading->reader);
  }
  free(bytes);
  free(route);
  return NULL;
}

static void write_one(struct cache *cache, struct random *random, int64_t now_ms) {
  int name = (int)random_below(random, THREAD_NAMES);
  uint32_t choice = random_below(random, 100);
  if (choice < 60) {
    const struct domain_facts *facts =
        put_at(cache, numbered(name), drawn_hash(name), drawn_value(name, now_ms));
    if (facts->set && choice < 20)
      cache_put_host(cache, host_of(facts, 0), drawn_host_facts(drawn_host(name, now_ms, 0), now_ms), now_ms);
  } else if (choice < 90) {
    cache_remove(cache, numbered(name), 11, drawn_hash(name));
  } else {
    cache_sweep(cache, now_ms, 10);
  }
}

static void start_reading(struct reading *reading, struct cache *cache, _Atomic bool *is_over, int index) {
  *reading = (struct reading){.cache = cache, .is_over = is_over, .random = {.state = (uint64_t)index}};
  qsbr_add_reader(cache_qsbr(cache), &reading->reader);
}

static void readers_see_only_what_was_put_while_everything_changes(void **state) {
  (void)state;
  static struct reading readings[READERS];
  _Atomic bool is_over = false;
  struct random random = {.state = 10};
  struct fixture *fixture = new_fixture(THREAD_BYTES);
  for (int i = 0; i < READERS; i++)
    start_reading(&readings[i], fixture->cache, &is_over, i);
  for (int i = 0; i < READERS; i++)
    assert_int_equal(pthread_create(&readings[i].thread, NULL, read_on, &readings[i]), 0);
  int64_t version = 0, end_ms = clock_now_ms() + RUN_MS;
  while (clock_now_ms() < end_ms)
    for (int i = 0; i < 50; i++)
      write_one(fixture->cache, &random, ++version);
  atomic_store(&is_over, true);
  for (int i = 0; i < READERS; i++) {
    pthread_join(readings[i].thread, NULL);
    assert_true(readings[i].wrong == 0);
    assert_true(readings[i].found > 0 && readings[i].resolved > 0);
  }
  assert_true(evictions(fixture) > 0 && expirations(fixture) > 0);
  for (int i = 0; i < THREAD_NAMES; i++)
    cache_remove(fixture->cache, numbered(i), 11, drawn_hash(i));
  while (cache_collect(fixture->cache) > 0)
    continue;
  assert_int_equal(cache_count(fixture->cache), 0);
  assert_int_equal(cache_set_count(fixture->cache), 0);
  assert_int_equal(cache_host_count(fixture->cache), 0);
  free_fixture(fixture);
}

/* ---- pinned sets and copies of facts ---- */

static void a_pinned_set_is_shared_and_stays_when_nobody_names_it(void **state) {
  struct fixture *fixture = *state;
  struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
  add(value, 10, "a.test");
  const struct exchange_set *set = cache_pin(fixture->cache, value);
  assert_non_null(set);
  free(value);
  assert_ptr_equal(put_mx(fixture->cache, "d.test", "a.test")->set, set);
  assert_true(remove_name(fixture->cache, "d.test"));
  assert_int_equal(cache_set_count(fixture->cache), 1);
  assert_ptr_equal(put_mx(fixture->cache, "e.test", "a.test")->set, set);
  assert_true(remove_name(fixture->cache, "e.test"));
  cache_unpin(fixture->cache, set);
  assert_int_equal(cache_set_count(fixture->cache), 0);
  assert_int_equal(cache_host_count(fixture->cache), 0);
}

static void what_is_pinned_takes_no_room_from_the_rest(void **state) {
  enum { PINNED = 2000, DOMAINS = 200 };
  struct fixture *fixture = *state;
  static const struct exchange_set *sets[PINNED];
  for (int i = 0; i < PINNED; i++) {
    struct domain_value *value = new_value(DOMAIN_MX, FOR_EVER_MS);
    add(value, 10, numbered(i));
    sets[i] = cache_pin(fixture->cache, value);
    assert_non_null(sets[i]);
    free(value);
  }
  assert_true(cache_bytes(fixture->cache) > NARROW_BYTES);
  for (int i = 0; i < DOMAINS; i++)
    put_plain(fixture->cache, numbered(i), FOR_EVER_MS);
  assert_int_equal(cache_count(fixture->cache), DOMAINS);
  assert_int_equal(fixture->stats.counters[STATS_CACHE_EVICTIONS], 0);
  for (int i = 0; i < PINNED; i++)
    cache_unpin(fixture->cache, sets[i]);
}

static void a_copy_of_facts_stands_in_no_table_and_keeps_their_set(void **state) {
  struct fixture *fixture = *state;
  const struct domain_facts *facts = put_mx(fixture->cache, "d.test", "a.test");
  const struct domain_facts *copy = cache_copy(fixture->cache, facts);
  assert_non_null(copy);
  assert_ptr_not_equal(copy, facts);
  assert_true(remove_name(fixture->cache, "d.test"));
  assert_null(get(fixture->cache, "d.test"));
  assert_int_equal(cache_count(fixture->cache), 0);
  size_t length;
  assert_memory_equal(domain_canonical(copy, &length), "d.test", 6);
  assert_int_equal(length, 6);
  assert_int_equal(copy->kind, DOMAIN_MX);
  assert_true(copy->expires_at_ms == FOR_EVER_MS);
  assert_string_equal(copy->set->exchanges[0].host->name, "a.test");
  cache_hold(copy);
  cache_release(fixture->cache, copy);
  assert_int_equal(cache_set_count(fixture->cache), 1);
  cache_release(fixture->cache, copy);
  assert_int_equal(cache_set_count(fixture->cache), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(cache_get_of_an_empty_cache_returns_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(cache_get_returns_all_of_what_was_put, set_up, tear_down),
      cmocka_unit_test_setup_teardown(kinds_without_exchanges_have_no_set, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_wrong_guess_does_not_hide_what_is_there, set_up, tear_down),
      cmocka_unit_test_setup_teardown(cache_get_after_expiry_still_returns_the_facts, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_longest_names_are_kept_whole, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_put_in_the_place_of_old_facts_replaces_them, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_removed_name_is_not_found, set_up, tear_down),
      cmocka_unit_test(a_cache_of_a_size_that_holds_nothing_still_holds_one_name),
      cmocka_unit_test(destroying_nothing_is_fine),
      cmocka_unit_test_setup_teardown(names_of_one_hash_are_told_apart_by_their_octets, set_up, tear_down),
      cmocka_unit_test_setup_teardown(many_names_in_one_place_are_removed_in_any_order, set_up, tear_down),
      cmocka_unit_test_setup_teardown(names_that_wrap_around_the_end_of_the_table_are_removed_in_any_order,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(every_small_cluster_around_the_end_survives_every_removal, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(facts_that_are_held_outlive_their_removal, set_up, tear_down),
      cmocka_unit_test_setup_teardown(facts_held_twice_need_two_releases, set_up, tear_down),
      cmocka_unit_test_setup_teardown(cache_put_returns_facts_with_one_hold, set_up, tear_down),
      cmocka_unit_test_setup_teardown(releasing_facts_that_are_in_the_table_leaves_them_there, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(facts_that_are_held_outlive_their_eviction, set_up_narrow, tear_down),
      cmocka_unit_test_setup_teardown(a_host_that_is_held_outlives_its_sets, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_a_reader_got_stays_readable_until_it_is_offline, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(domains_with_the_same_exchanges_share_one_set, set_up, tear_down),
      cmocka_unit_test_setup_teardown(
          an_implicit_exchange_shares_the_host_of_an_explicit_one_but_is_another_site, set_up, tear_down),
      cmocka_unit_test_setup_teardown(replacing_facts_by_the_same_keeps_their_set_and_hosts, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(sets_that_differ_in_anything_are_not_shared, set_up, tear_down),
      cmocka_unit_test_setup_teardown(sets_that_name_one_host_share_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_host_is_found_while_a_set_names_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_host_that_is_forgotten_has_no_facts_and_no_memory_of_them, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_host_that_is_an_address_is_not_forgotten, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_walk_over_the_hosts_meets_each_once_whatever_comes_and_goes, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(after_every_name_is_removed_nothing_is_left_and_nothing_charged, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(the_places_for_sets_and_hosts_are_charged_too, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_cache_that_was_used_a_little_is_as_small_as_before, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(host_facts_replace_older_ones_that_readers_may_still_hold, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(host_facts_are_seen_through_every_set, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_host_that_is_an_address_has_facts_from_the_start, set_up, tear_down),
      cmocka_unit_test_setup_teardown(unused_names_are_evicted_oldest_first, set_up_narrow, tear_down),
      cmocka_unit_test_setup_teardown(used_names_outlive_unused_ones_that_are_newer, set_up_narrow,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_mark_saves_a_name_from_the_hand_once, set_up_narrow, tear_down),
      cmocka_unit_test_setup_teardown(a_name_that_is_used_again_and_again_is_never_evicted, set_up_narrow,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_scan_of_one_time_names_does_not_evict_a_used_hot_set, set_up_narrow,
                                      tear_down),
      cmocka_unit_test_setup_teardown(with_every_name_used_again_and_again_the_hand_does_not_walk_for_long,
                                      set_up_narrow, tear_down),
      cmocka_unit_test_setup_teardown(replaced_facts_are_as_used_as_the_old_ones, set_up_narrow, tear_down),
      cmocka_unit_test_setup_teardown(what_is_restored_has_the_hits_it_had_or_those_of_a_name_in_use, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(hits_are_counted_up_to_the_most, set_up, tear_down),
      cmocka_unit_test_setup_teardown(facts_that_replace_used_ones_begin_with_one_hit, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_has_expired_is_evicted_whatever_its_mark, set_up_narrow,
                                      tear_down),
      cmocka_unit_test_setup_teardown(what_has_not_expired_is_not_counted_as_an_expiration, set_up_narrow,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_flood_of_denials_takes_a_tenth_of_the_cache, set_up_narrow,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_flood_of_failures_takes_a_tenth_of_the_cache, set_up_narrow,
                                      tear_down),
      cmocka_unit_test_setup_teardown(denials_take_a_tenth_of_an_empty_cache_too, set_up_narrow, tear_down),
      cmocka_unit_test_setup_teardown(a_denial_that_is_asked_for_again_and_again_outlives_a_flood,
                                      set_up_narrow, tear_down),
      cmocka_unit_test_setup_teardown(a_name_changes_its_share_with_its_facts, set_up_narrow, tear_down),
      cmocka_unit_test_setup_teardown(a_sweep_removes_what_has_expired_and_nothing_else, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_sweep_keeps_a_failure_for_as_long_again_as_it_lived, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_failure_that_has_expired_is_evicted_before_what_holds, set_up_narrow,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_sweep_looks_at_so_many_and_the_next_goes_on_from_there, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_sweep_goes_on_although_the_name_it_stands_on_is_gone_or_replaced,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_walk_over_an_empty_cache_sees_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_walk_sees_every_name_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(names_that_come_without_end_do_not_keep_a_walk_from_its_end, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_walk_may_remove_all_that_it_sees, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_walk_finds_the_domains_that_share_a_set, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_walk_while_names_come_and_go_sees_those_that_stay_once, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(the_bound_is_kept_after_each_put_and_used, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_readers_hold_back_is_beside_the_bound, set_up_narrow, tear_down),
      cmocka_unit_test(the_accounts_agree_with_those_of_malloc_and_of_the_kernel),
      cmocka_unit_test_setup_teardown(names_of_other_lengths_get_the_memory_of_those_that_go, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(facts_that_are_held_stay_in_place_while_others_are_moved, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_pinned_set_is_shared_and_stays_when_nobody_names_it, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(what_is_pinned_takes_no_room_from_the_rest, set_up_narrow, tear_down),
      cmocka_unit_test_setup_teardown(a_copy_of_facts_stands_in_no_table_and_keeps_their_set, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_put_without_memory_leaves_what_was_there, set_up, tear_down),
      cmocka_unit_test(a_cache_that_cannot_be_made_leaves_nothing_behind),
      cmocka_unit_test(a_destroyed_cache_leaves_nothing_behind),
      cmocka_unit_test_setup_teardown(a_hit_allocates_nothing, set_up, tear_down),
      cmocka_unit_test(random_operations_leave_what_the_model_says),
      cmocka_unit_test(random_operations_with_evictions_leave_part_of_what_the_model_says),
      cmocka_unit_test(readers_see_only_what_was_put_while_everything_changes),
  };
  return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
