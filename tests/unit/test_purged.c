#include "cmocka_compat.h"

#include <stdlib.h>

#include "notice_samples.h"
#include "record_samples.h"
#include "store/purged.h"

static struct purged *purged;
static struct record domain,
    host; /* shop.example to aspmx.l.provider.example and others; mx1.hosting.example */

static int open_it(void **state) {
  (void)state;
  name_hash_init();
  purged = purged_create();
  record_sample_provider(&domain);
  record_sample_dual(&host);
  domain.generation = host.generation = 100;
  return purged ? 0 : -1;
}

static int close_it(void **state) {
  (void)state;
  purged_destroy(purged);
  return 0;
}

static void put(enum purge_what what, const char *text, uint64_t generation) {
  struct notice notice;
  notice_init(&notice, what);
  if (text) {
    struct name name = notice_name(text);
    assert_true(notice_add(&notice, &name));
  }
  purged_put(purged, &notice, generation);
}

static void assert_purged(bool is_domain, bool is_host) {
  assert_int_equal(purged_has(purged, &domain), is_domain);
  assert_int_equal(purged_has(purged, &host), is_host);
}

static void without_a_purge_nothing_is_purged(void **state) {
  (void)state;
  domain.generation = host.generation = 0;
  assert_purged(false, false);
}

static void a_purge_covers_what_is_older(void **state) {
  (void)state;
  put(PURGE_OF_DOMAIN, "shop.example", 101);
  assert_purged(true, false);
  domain.generation = 101;
  assert_purged(false, false);
  domain.generation = 102;
  assert_purged(false, false);
}

static void what_was_put_for_ever_can_be_lowered(void **state) {
  (void)state;
  put(PURGE_OF_DOMAIN, "shop.example", UINT64_MAX);
  put(PURGE_OF_NEGATIVE, NULL, UINT64_MAX);
  put(PURGE_OF_SUFFIX, "hosting.example", 99);
  purged_lower(purged, 101);
  assert_purged(true, false);
  domain.generation = 101;
  assert_purged(false, false);
  put(PURGE_OF_ALL, NULL, UINT64_MAX);
  assert_purged(true, true);
  purged_lower(purged, 101);
  assert_purged(false, true);
}

static void a_domain_is_it_alone(void **state) {
  (void)state;
  put(PURGE_OF_DOMAIN, "example", 101);
  put(PURGE_OF_DOMAIN, "www.shop.example", 102);
  put(PURGE_OF_DOMAIN, "aspmx.l.provider.example", 103);
  assert_purged(false, false);
  put(PURGE_OF_DOMAIN, "mx1.hosting.example", 104); /* which is its own exchange */
  assert_purged(false, true);
}

static void a_suffix_is_all_at_and_below_it(void **state) {
  (void)state;
  put(PURGE_OF_SUFFIX, "hop.example", 101);
  put(PURGE_OF_SUFFIX, "a.shop.example", 101);
  assert_purged(false, false);
  put(PURGE_OF_SUFFIX, "shop.example", 101);
  assert_purged(true, false);
  put(PURGE_OF_SUFFIX, "example", 99);
  assert_purged(true, false);
  put(PURGE_OF_SUFFIX, "example", 101);
  assert_purged(true, true);
}

static void an_exchange_is_the_domains_that_lead_there(void **state) {
  (void)state;
  put(PURGE_OF_EXCHANGE, "shop.example", 101);
  put(PURGE_OF_EXCHANGE, "provider.example", 101);
  assert_purged(false, false);
  put(PURGE_OF_EXCHANGE, "alt4.aspmx.l.provider.example", 101);
  assert_purged(true, false);
  put(PURGE_OF_EXCHANGE, "mx1.hosting.example", 101);
  assert_purged(true, true);
}

static void denials_are_of_domains_and_of_addresses(void **state) {
  (void)state;
  put(PURGE_OF_NEGATIVE, NULL, 101);
  assert_purged(false, false);
  host.families[FAMILY_V6].state = FAMILY_NODATA;
  record_sample_domain(&domain, "gone.example", DOMAIN_NXDOMAIN, 0, 300);
  domain.generation = 100;
  assert_purged(true, true);
  domain.generation = host.generation = 101;
  assert_purged(false, false);
}

static void failures_are_not_in_the_store(void **state) {
  (void)state;
  put(PURGE_OF_FAILURES, NULL, 101);
  assert_purged(false, false);
}

static void all_is_all(void **state) {
  (void)state;
  put(PURGE_OF_ALL, NULL, 100);
  assert_purged(false, false);
  put(PURGE_OF_ALL, NULL, 101);
  assert_purged(true, true);
}

static void a_beginning_is_nothing(void **state) {
  (void)state;
  struct notice notice;
  notice_init(&notice, PURGE_OF_ALL);
  notice.is_beginning = true;
  purged_put(purged, &notice, 101);
  assert_purged(false, false);
}

static void each_name_of_a_notice_counts(void **state) {
  (void)state;
  struct notice notice;
  notice_sample(&notice, 7);
  purged_put(purged, &notice, 101);
  assert_true(purged_count(purged) > 50);
  snprintf(domain.name, sizeof(domain.name), "d50.xn--bcher-kva.example");
  assert_purged(true, false);
}

static void the_last_purge_of_a_name_counts(void **state) {
  (void)state;
  put(PURGE_OF_DOMAIN, "shop.example", 101);
  put(PURGE_OF_DOMAIN, "shop.example", 103);
  put(PURGE_OF_DOMAIN, "shop.example", 102);
  assert_int_equal(purged_count(purged), 1);
  domain.generation = 102;
  assert_purged(true, false);
  domain.generation = 103;
  assert_purged(false, false);
}

static void a_reset_forgets_but_for_its_floor(void **state) {
  (void)state;
  put(PURGE_OF_ALL, NULL, 150);
  put(PURGE_OF_DOMAIN, "shop.example", 150);
  put(PURGE_OF_NEGATIVE, NULL, 150);
  purged_reset(purged, 100);
  assert_int_equal(purged_count(purged), 0);
  assert_purged(false, false);
  domain.generation = 99;
  assert_purged(true, false);
}

static void what_is_forgotten_counts_for_all(void **state) {
  (void)state;
  char text[32];
  put(PURGE_OF_DOMAIN, "other.example", 110);
  for (unsigned i = 0; i < PURGED_NAMES_MAX - 1; i++) {
    snprintf(text, sizeof(text), "d%u.example", i);
    put(PURGE_OF_DOMAIN, text, 120 + i);
  }
  assert_int_equal(purged_count(purged), PURGED_NAMES_MAX);
  assert_purged(false, false);
  put(PURGE_OF_DOMAIN, "one.more.example", 20000);
  assert_int_equal(purged_count(purged), PURGED_NAMES_MAX);
  assert_purged(true, true);
  domain.generation = 110;
  assert_purged(false, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(without_a_purge_nothing_is_purged),
      TEST(a_purge_covers_what_is_older),
      TEST(what_was_put_for_ever_can_be_lowered),
      TEST(a_domain_is_it_alone),
      TEST(a_suffix_is_all_at_and_below_it),
      TEST(an_exchange_is_the_domains_that_lead_there),
      TEST(denials_are_of_domains_and_of_addresses),
      TEST(failures_are_not_in_the_store),
      TEST(all_is_all),
      TEST(a_beginning_is_nothing),
      TEST(each_name_of_a_notice_counts),
      TEST(the_last_purge_of_a_name_counts),
      TEST(a_reset_forgets_but_for_its_floor),
      TEST(what_is_forgotten_counts_for_all),
  };
  return cmocka_run_group_tests_name("purged", tests, NULL, NULL);
}
