#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cache/pinned.h"
#include "malloc_watch.h"

enum { NOW_MS = 5000000 };
static const int64_t wall_ms = 1798675200000 - 90500; /* 90.5 s before 2026-12-31 */

struct fixture {
  struct stats stats;
  struct cache *cache;
  struct override_list list;
  struct pinned *pinned;
};

static int open_cache(void **state) {
  struct fixture *fixture = aligned_alloc(64, (sizeof(*fixture) + 63) / 64 * 64);
  assert_non_null(fixture);
  memset(fixture, 0, sizeof(*fixture));
  fixture->cache = cache_create(1 << 20, 0, &fixture->stats);
  assert_non_null(fixture->cache);
  *state = fixture;
  return 0;
}

static int close_cache(void **state) {
  struct fixture *fixture = *state;
  malloc_allow(LONG_MAX);
  pinned_destroy(fixture->pinned);
  assert_int_equal(cache_set_count(fixture->cache), 0);
  assert_int_equal(cache_host_count(fixture->cache), 0);
  cache_destroy(fixture->cache);
  override_list_fini(&fixture->list);
  free(fixture);
  return 0;
}

static void add(struct fixture *fixture, const char *pattern, const char *value) {
  struct override *override;
  char reason[OVERRIDE_REASON_SIZE];
  assert_int_equal(override_parse(pattern, value, &override, reason), 0);
  assert_int_equal(override_list_put(&fixture->list, override), 0);
}

static void build(struct fixture *fixture) {
  assert_int_equal(pinned_create(&fixture->list, fixture->cache, NOW_MS, wall_ms, &fixture->pinned), 0);
}

static struct name name_of(const char *text) {
  static const struct name_policy policy = {.allow_single_label = true};
  struct name name;
  assert_int_equal(name_parse((const uint8_t *)text, strlen(text), &policy, &name), NAME_OK);
  return name;
}

static const struct pin *find_at(const struct fixture *fixture, const char *text, int64_t now_ms) {
  const struct name name = name_of(text);
  return pinned_find(fixture->pinned, &name, name_hash(name.text, name.length), now_ms);
}

/* The first host of the route for `text`; "" without a route. */
static void expect_host(const struct fixture *fixture, const char *text, const char *host) {
  const struct pin *pin = find_at(fixture, text, NOW_MS);
  const char *found = pin ? pin->set->exchanges[0].host->name : "";
  if (strcmp(found, host) != 0)
    fail_msg("%s goes to \"%s\", not to \"%s\"", text, found, host);
}

static void the_exact_name_wins_and_then_the_longest_suffix(void **state) {
  struct fixture *fixture = *state;
  add(fixture, "b.example.org", "exact.test");
  add(fixture, "*.example.org", "short.test");
  add(fixture, "*.b.example.org", "long.test");
  add(fixture, "*.net", "net.test");
  build(fixture);
  expect_host(fixture, "B.Example.org.", "exact.test");
  expect_host(fixture, "a.example.org", "short.test");
  expect_host(fixture, "x.y.example.org", "short.test");
  expect_host(fixture, "a.b.example.org", "long.test");
  expect_host(fixture, "z.a.b.example.org", "long.test");
  expect_host(fixture, "x.net", "net.test");
  expect_host(fixture, "*.example.org", "short.test");
}

static void a_suffix_is_for_whole_labels_below_it_and_not_for_itself(void **state) {
  struct fixture *fixture = *state;
  add(fixture, "*.example.org", "a.test");
  add(fixture, "d.test", "a.test");
  build(fixture);
  expect_host(fixture, "example.org", "");
  expect_host(fixture, "notexample.org", "");
  expect_host(fixture, "x.notexample.org", "");
  expect_host(fixture, "example.org.x", "");
  expect_host(fixture, "org", "");
  expect_host(fixture, "x.d.test", "");
  expect_host(fixture, "test", "");
}

static void the_deepest_name_finds_its_suffix(void **state) {
  struct fixture *fixture = *state;
  char text[NAME_TEXT_MAX + 1];
  add(fixture, "*.z", "a.test");
  build(fixture);
  for (size_t i = 0; i < NAME_TEXT_MAX; i++)
    text[i] = i % 2 ? '.' : 'z';
  text[NAME_TEXT_MAX] = '\0';
  expect_host(fixture, text, "a.test");
  text[NAME_TEXT_MAX - 1] = 'y';
  expect_host(fixture, text, "");
}

static void an_expired_route_gives_way_to_the_next_best(void **state) {
  struct fixture *fixture = *state;
  add(fixture, "a.example.org", "exact.test, expires 2026-12-31");
  add(fixture, "*.example.org", "suffix.test, expires 2026-12-31T00:00:10Z");
  add(fixture, "gone.example.org", "gone.test, expires 2026-12-30");
  build(fixture);
  expect_host(fixture, "gone.example.org", "suffix.test");
  const struct pin *exact = find_at(fixture, "a.example.org", NOW_MS + 90499);
  assert_string_equal(exact->set->exchanges[0].host->name, "exact.test");
  const struct pin *suffix = find_at(fixture, "a.example.org", NOW_MS + 90500);
  assert_string_equal(suffix->set->exchanges[0].host->name, "suffix.test");
  assert_non_null(find_at(fixture, "a.example.org", NOW_MS + 100499));
  assert_null(find_at(fixture, "a.example.org", NOW_MS + 100500));
}

static void an_answer_lives_a_minute_or_what_is_left_of_the_route(void **state) {
  struct fixture *fixture = *state;
  add(fixture, "a.test", "x.test");
  add(fixture, "b.test", "x.test, expires 2026-12-31");
  build(fixture);
  assert_int_equal(pinned_ttl_s(find_at(fixture, "a.test", NOW_MS), NOW_MS), 60);
  const struct pin *pin = find_at(fixture, "b.test", NOW_MS);
  assert_int_equal(pinned_ttl_s(pin, NOW_MS), 60);
  assert_int_equal(pinned_ttl_s(pin, NOW_MS + 30500), 60);
  assert_int_equal(pinned_ttl_s(pin, NOW_MS + 31500), 59);
  assert_int_equal(pinned_ttl_s(pin, NOW_MS + 90499), 1);
  assert_int_equal(pinned_ttl_s(pin, NOW_MS + 90500), 0);
  assert_int_equal(pinned_ttl_s(pin, NOW_MS + 99999), 0);
}

static void the_facts_are_about_the_name_that_was_asked(void **state) {
  struct fixture *fixture = *state;
  add(fixture, "*.example.org", "a.test 10, b.test:26 20, expires 2026-12-31");
  build(fixture);
  const struct name name = name_of("X.Example.org");
  struct domain_facts *facts = malloc(PINNED_FACTS_SIZE);
  assert_non_null(facts);
  pinned_build_facts(find_at(fixture, "x.example.org", NOW_MS), &name, NOW_MS + 60500, facts);
  size_t length;
  assert_memory_equal(domain_canonical(facts, &length), "x.example.org", 13);
  assert_int_equal(length, 13);
  assert_int_equal(facts->kind, DOMAIN_ROUTE);
  assert_true(facts->stored_at_ms == NOW_MS + 60500);
  assert_true(facts->expires_at_ms == NOW_MS + 90500);
  assert_int_equal(facts->warnings, 0);
  assert_int_equal(facts->set->count, 2);
  assert_int_equal(facts->set->exchanges[1].port, 26);
  free(facts);
}

static void facts_fit_the_longest_name(void **state) {
  struct fixture *fixture = *state;
  char text[NAME_TEXT_MAX + 1];
  memset(text, 'x', NAME_TEXT_MAX);
  for (size_t i = 49; i < NAME_TEXT_MAX - 2; i += 50)
    text[i] = '.';
  text[NAME_TEXT_MAX] = '\0';
  add(fixture, text, "a.test");
  build(fixture);
  const struct name name = name_of(text);
  struct domain_facts *facts = malloc(PINNED_FACTS_SIZE);
  assert_non_null(facts);
  pinned_build_facts(find_at(fixture, text, NOW_MS), &name, NOW_MS, facts);
  assert_memory_equal(facts->text, text, NAME_TEXT_MAX);
  free(facts);
}

static void routes_share_sets_and_hosts_with_the_cache(void **state) {
  struct fixture *fixture = *state;
  add(fixture, "a.test", "x.test 1, y.test 2");
  add(fixture, "b.test", "y.test 2, x.test 1");
  add(fixture, "c.test", "x.test:26 1, y.test 2");
  build(fixture);
  assert_ptr_equal(find_at(fixture, "a.test", NOW_MS)->set, find_at(fixture, "b.test", NOW_MS)->set);
  assert_ptr_not_equal(find_at(fixture, "a.test", NOW_MS)->set, find_at(fixture, "c.test", NOW_MS)->set);
  assert_int_equal(cache_set_count(fixture->cache), 2);
  assert_int_equal(cache_host_count(fixture->cache), 2);
}

static void a_route_to_addresses_alone_has_nothing_to_ask(void **state) {
  struct fixture *fixture = *state;
  add(fixture, "a.test", "[192.0.2.1] 1, [IPv6:2001:db8::1] 2");
  add(fixture, "b.test", "[192.0.2.1] 1, x.test 2");
  add(fixture, "c.test", "reject no");
  build(fixture);
  assert_true(find_at(fixture, "a.test", NOW_MS)->is_settled);
  assert_false(find_at(fixture, "b.test", NOW_MS)->is_settled);
  assert_null(find_at(fixture, "c.test", NOW_MS)->set);
  assert_string_equal(find_at(fixture, "c.test", NOW_MS)->override->detail, "no");
}

static void ten_thousand_routes_are_all_found(void **state) {
  struct fixture *fixture = *state;
  char text[64];
  for (int i = 0; i < OVERRIDES_MAX; i++) {
    snprintf(text, sizeof(text), "%sd%d.test", i % 2 ? "*." : "", i);
    add(fixture, text, "a.test");
  }
  build(fixture);
  for (int i = 0; i < OVERRIDES_MAX; i++) {
    snprintf(text, sizeof(text), "%sd%d.test", i % 2 ? "x." : "", i);
    const struct pin *pin = find_at(fixture, text, NOW_MS);
    assert_non_null(pin);
    assert_string_equal(pin->override->name, i % 2 ? text + 2 : text);
  }
  expect_host(fixture, "d10000.test", "");
}

static void without_memory_nothing_is_left_behind(void **state) {
  struct fixture *fixture = *state;
  if (!malloc_is_watched())
    skip();
  add(fixture, "a.test", "x.test 1, y.test 2");
  add(fixture, "*.b.test", "[192.0.2.1]");
  int error = ERR_NOMEM;
  for (long allowed = 0; error != 0; allowed++) {
    assert_in_range(allowed, 0, 100);
    malloc_allow(allowed);
    error = pinned_create(&fixture->list, fixture->cache, NOW_MS, wall_ms, &fixture->pinned);
    malloc_allow(LONG_MAX);
    assert_true(error == 0 || error == ERR_NOMEM);
    assert_true(error == 0 || cache_set_count(fixture->cache) == 0);
  }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_cache, close_cache)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_exact_name_wins_and_then_the_longest_suffix),
      TEST(a_suffix_is_for_whole_labels_below_it_and_not_for_itself),
      TEST(the_deepest_name_finds_its_suffix),
      TEST(an_expired_route_gives_way_to_the_next_best),
      TEST(an_answer_lives_a_minute_or_what_is_left_of_the_route),
      TEST(the_facts_are_about_the_name_that_was_asked),
      TEST(facts_fit_the_longest_name),
      TEST(routes_share_sets_and_hosts_with_the_cache),
      TEST(a_route_to_addresses_alone_has_nothing_to_ask),
      TEST(ten_thousand_routes_are_all_found),
      TEST(without_memory_nothing_is_left_behind),
  };
  name_hash_init();
  return cmocka_run_group_tests_name("pinned", tests, NULL, NULL);
}
