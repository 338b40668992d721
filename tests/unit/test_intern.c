#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/intern.h"
#include "malloc_watch.h"

enum { ARENA_MOST = 1 << 20, HOSTS = 5 };

struct fixture {
  struct blocks blocks;
  struct intern intern;
  struct qsbr_reader reader;
  size_t empty_bytes;
};

static int set_up(void **state) {
  struct fixture *fixture = aligned_alloc(64, sizeof(*fixture));
  assert_non_null(fixture);
  memset(fixture, 0, sizeof(*fixture));
  assert_int_equal(blocks_init(&fixture->blocks, ARENA_MOST), 0);
  assert_int_equal(intern_init(&fixture->intern, &fixture->blocks), 0);
  qsbr_add_reader(&fixture->blocks.qsbr, &fixture->reader);
  fixture->empty_bytes = blocks_bytes(&fixture->blocks);
  *state = fixture;
  return 0;
}

/* Each test lets go of all that it got. */
static int tear_down(void **state) {
  struct fixture *fixture = *state;
  while (qsbr_collect(&fixture->blocks.qsbr) > 0)
    continue;
  assert_int_equal(fixture->intern.sets.count, 0);
  assert_int_equal(fixture->intern.hosts.count, 0);
  assert_null(fixture->intern.newest_host);
  assert_int_equal(blocks_bytes(&fixture->blocks), fixture->empty_bytes);
  intern_fini(&fixture->intern);
  blocks_fini(&fixture->blocks);
  free(fixture);
  return 0;
}

/* The set of `host` at preference 10 and, if it is not NULL, `backup` at 20. */
static const struct exchange_set *get_set(struct intern *intern, enum domain_kind kind, const char *host,
                                          const char *backup) {
  struct domain_value *value = calloc(1, sizeof(*value));
  assert_non_null(value);
  value->kind = kind;
  value->count = backup ? 2 : 1;
  value->exchanges[0].preference = 10;
  snprintf(value->exchanges[0].host, sizeof(value->exchanges[0].host), "%s", host);
  value->exchanges[1].preference = 20;
  snprintf(value->exchanges[1].host, sizeof(value->exchanges[1].host), "%s", backup ? backup : "");
  const struct exchange_set *set = intern_get_set(intern, value);
  free(value);
  return set;
}

static const struct exchange_set *get_mx(struct intern *intern, const char *host) {
  return get_set(intern, DOMAIN_MX, host, NULL);
}

static const struct host_facts *facts_of(struct host *host) {
  return atomic_load_explicit(&host->facts, memory_order_acquire);
}

static struct host_facts *new_facts(void) {
  static const struct family_value values[FAMILY_COUNT] = {
      [FAMILY_V6] = {.state = FAMILY_NODATA},
      [FAMILY_V4] = {.state = FAMILY_OK, .count = 1, .addresses = {{192, 0, 2, 1}}}};
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  return facts;
}

/* ---- sets ---- */

static void equal_exchanges_are_one_set_until_the_last_reference_goes(void **state) {
  struct fixture *fixture = *state;
  const struct exchange_set *set = get_mx(&fixture->intern, "a.test");
  assert_ptr_equal(get_mx(&fixture->intern, "a.test"), set);
  intern_ref_set(set);
  assert_int_equal(set->refs, 3);
  assert_int_equal(set->exchanges[0].host->refs, 1);
  intern_unref_set(&fixture->intern, set);
  intern_unref_set(&fixture->intern, set);
  assert_int_equal(fixture->intern.sets.count, 1);
  intern_unref_set(&fixture->intern, set);
  assert_int_equal(fixture->intern.sets.count, 0);
  intern_unref_set(&fixture->intern, NULL);
}

static void exchanges_that_differ_are_sets_of_their_own_and_share_their_hosts(void **state) {
  struct fixture *fixture = *state;
  const struct exchange_set *sets[] = {
      get_mx(&fixture->intern, "a.test"),
      get_set(&fixture->intern, DOMAIN_NODATA, "a.test", NULL), /* implicit */
      get_set(&fixture->intern, DOMAIN_MX, "a.test", "b.test"),
      get_set(&fixture->intern, DOMAIN_MX, "b.test", "a.test"),
  };
  assert_int_equal(fixture->intern.sets.count, 4);
  assert_int_equal(fixture->intern.hosts.count, 2);
  struct host *host = intern_find_host(&fixture->intern, "a.test", 6);
  assert_ptr_equal(sets[3]->exchanges[1].host, host);
  assert_int_equal(host->refs, 4);
  for (int i = 0; i < 4; i++)
    intern_unref_set(&fixture->intern, sets[i]);
}

static void a_set_that_is_let_go_of_stays_readable_until_no_reader_is_left(void **state) {
  struct fixture *fixture = *state;
  const struct exchange_set *set = get_mx(&fixture->intern, "a.test");
  size_t bytes = blocks_bytes(&fixture->blocks);
  assert_true(bytes > fixture->empty_bytes);
  qsbr_online(&fixture->blocks.qsbr, &fixture->reader);
  intern_unref_set(&fixture->intern, set);
  qsbr_collect(&fixture->blocks.qsbr);
  assert_string_equal(set->exchanges[0].host->name, "a.test");
  assert_int_equal(blocks_bytes(&fixture->blocks), bytes);
  assert_int_equal(blocks_retired_bytes(&fixture->blocks), bytes - fixture->empty_bytes);
  qsbr_offline(&fixture->reader);
}

static void a_set_without_memory_leaves_nothing_behind(void **state) {
  struct fixture *fixture = *state;
  if (!malloc_is_watched())
    skip();
  struct domain_value *value = calloc(1, sizeof(*value));
  value->count = 2;
  snprintf(value->exchanges[0].host, sizeof(value->exchanges[0].host), "a.test");
  snprintf(value->exchanges[1].host, sizeof(value->exchanges[1].host), "192.0.2.1");
  const struct exchange_set *set = NULL;
  long allowed = 0;
  for (; !set; allowed++) {
    malloc_allow(allowed);
    set = intern_get_set(&fixture->intern, value);
    malloc_allow(LONG_MAX);
    assert_int_equal(fixture->intern.hosts.count, set ? 2 : 0);
    qsbr_collect(&fixture->blocks.qsbr);
    assert_true(set || blocks_bytes(&fixture->blocks) == fixture->empty_bytes);
  }
  assert_int_equal(allowed, 5); /* two hosts, the facts of one, the set: the fifth time all are there */
  intern_unref_set(&fixture->intern, set);
  free(value);
}

/* ---- hosts ---- */

static void a_host_that_is_held_outlives_its_set(void **state) {
  struct fixture *fixture = *state;
  assert_null(intern_find_host(&fixture->intern, "a.test", 6));
  const struct exchange_set *set = get_mx(&fixture->intern, "a.test");
  struct host *host = intern_find_host(&fixture->intern, "a.test", 6);
  assert_ptr_equal(host, set->exchanges[0].host);
  assert_null(intern_find_host(&fixture->intern, "a.tes", 5));
  intern_ref_host(host);
  intern_unref_set(&fixture->intern, set);
  assert_ptr_equal(intern_find_host(&fixture->intern, "a.test", 6), host);
  intern_unref_host(&fixture->intern, host);
  assert_null(intern_find_host(&fixture->intern, "a.test", 6));
}

static void facts_are_charged_and_those_they_replace_are_not(void **state) {
  struct fixture *fixture = *state;
  const struct exchange_set *set = get_mx(&fixture->intern, "a.test");
  struct host *host = set->exchanges[0].host;
  size_t without_bytes = blocks_bytes(&fixture->blocks);
  assert_false(intern_forget_facts(&fixture->intern, host));
  struct host_facts *first = new_facts(), *second = new_facts();
  intern_put_facts(&fixture->intern, host, first);
  assert_ptr_equal(facts_of(host), first);
  size_t with_bytes = blocks_bytes(&fixture->blocks);
  assert_true(with_bytes > without_bytes);
  intern_put_facts(&fixture->intern, host, second);
  assert_ptr_equal(facts_of(host), second);
  while (qsbr_collect(&fixture->blocks.qsbr) > 0)
    continue;
  assert_int_equal(blocks_bytes(&fixture->blocks), with_bytes);
  assert_true(intern_forget_facts(&fixture->intern, host));
  assert_null(facts_of(host));
  while (qsbr_collect(&fixture->blocks.qsbr) > 0)
    continue;
  assert_int_equal(blocks_bytes(&fixture->blocks), without_bytes);
  intern_put_facts(&fixture->intern, host, new_facts()); /* go with their host */
  intern_unref_set(&fixture->intern, set);
}

static void a_host_that_is_an_address_always_has_its_facts(void **state) {
  struct fixture *fixture = *state;
  const struct exchange_set *set = get_mx(&fixture->intern, "192.0.2.7");
  struct host *host = set->exchanges[0].host;
  assert_non_null(facts_of(host));
  assert_int_equal(facts_of(host)->state[FAMILY_V4], FAMILY_OK);
  assert_false(intern_forget_facts(&fixture->intern, host));
  assert_non_null(facts_of(host));
  intern_unref_set(&fixture->intern, set);
}

static void walks_go_from_the_newest_to_the_oldest_past_what_goes_meanwhile(void **state) {
  struct fixture *fixture = *state;
  const struct exchange_set *sets[HOSTS + 1];
  char name[16];
  for (int i = 0; i < HOSTS; i++) {
    snprintf(name, sizeof(name), "h%d.test", i);
    sets[i] = get_mx(&fixture->intern, name);
  }
  struct intern_walk oldest, first, second;
  intern_walk_start(&oldest, &fixture->intern);
  intern_walk_start(&first, &fixture->intern);
  intern_walk_start(&second, &fixture->intern);
  assert_string_equal(intern_walk_next(&first)->name, "h4.test");
  sets[HOSTS] = get_mx(&fixture->intern, "new.test"); /* is not met */
  intern_unref_set(&fixture->intern, sets[4]);        /* where two stand */
  intern_unref_set(&fixture->intern, sets[3]);        /* where all stand */
  assert_string_equal(intern_walk_next(&first)->name, "h2.test");
  assert_string_equal(intern_walk_next(&second)->name, "h2.test");
  assert_string_equal(intern_walk_next(&oldest)->name, "h2.test");
  intern_walk_stop(&first); /* those on both sides go on being told */
  intern_unref_set(&fixture->intern, sets[1]);
  assert_string_equal(intern_walk_next(&second)->name, "h0.test");
  assert_string_equal(intern_walk_next(&oldest)->name, "h0.test");
  assert_null(intern_walk_next(&second));
  intern_walk_stop(&oldest);
  intern_walk_stop(&second);
  assert_null(fixture->intern.walks);
  intern_unref_set(&fixture->intern, sets[0]);
  intern_unref_set(&fixture->intern, sets[2]);
  intern_unref_set(&fixture->intern, sets[HOSTS]);
}

static void the_places_of_many_hosts_are_counted(void **state) {
  struct fixture *fixture = *state;
  enum { MANY = 1000 };
  const struct exchange_set *sets[MANY];
  char name[16];
  size_t before = intern_bytes(&fixture->intern);
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof(name), "h%d.test", i);
    sets[i] = get_mx(&fixture->intern, name);
  }
  assert_int_equal(fixture->intern.hosts.count, MANY);
  assert_true(intern_bytes(&fixture->intern) >= before + 2 * (MANY - 64) * sizeof(void *));
  for (int i = 0; i < MANY; i++)
    intern_unref_set(&fixture->intern, sets[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(equal_exchanges_are_one_set_until_the_last_reference_goes, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(exchanges_that_differ_are_sets_of_their_own_and_share_their_hosts,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_set_that_is_let_go_of_stays_readable_until_no_reader_is_left, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_set_without_memory_leaves_nothing_behind, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_host_that_is_held_outlives_its_set, set_up, tear_down),
      cmocka_unit_test_setup_teardown(facts_are_charged_and_those_they_replace_are_not, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_host_that_is_an_address_always_has_its_facts, set_up, tear_down),
      cmocka_unit_test_setup_teardown(walks_go_from_the_newest_to_the_oldest_past_what_goes_meanwhile, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(the_places_of_many_hosts_are_counted, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("intern", tests, NULL, NULL);
}
