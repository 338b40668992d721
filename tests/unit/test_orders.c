#include "cmocka_compat.h"

#include <ev.h>

#include "base/clock.h"
#include "control/orders.h"
#include "fake_dns.h"
#include "fake_fleet.h"
#include "loop_until.h"
#include "made_memory.h"
#include "notice_samples.h"
#include "played_list.h"

enum { CACHE_BYTES = 16 << 20, LIFE_MS = 3600000 };

static struct stats stats;
static struct ev_loop *loop;
static struct dns *dns;
static struct cache *cache;
static struct resolver *resolver;
static struct orders *orders;

static void on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  (void)context, (void)question, (void)answer, (void)now_ms;
}

static int open_it(void **state) {
  static const struct resolver_options options = {
      .learn = {.ttl = {.max_s = 86400}}, .lookup_deadline_ms = 60000, .max_cname_hops = 8};
  (void)state;
  loop = ev_loop_new(EVFLAG_AUTO);
  dns = fake_dns_create();
  cache = cache_create(CACHE_BYTES, 0, &stats);
  assert_non_null(cache);
  resolver = resolver_create(cache, NULL, dns, &options, &stats, on_answer, NULL);
  assert_non_null(resolver);
  orders = orders_create(loop, cache, resolver, 5);
  return orders ? 0 : -1;
}

static int close_it(void **state) {
  (void)state;
  orders_destroy(orders);
  resolver_destroy(resolver);
  cache_destroy(cache);
  dns_destroy(dns);
  ev_loop_destroy(loop);
  return 0;
}

static void fill(unsigned count) {
  struct domain_value value = {
      .kind = DOMAIN_MX, .stored_at_ms = clock_now_ms(), .expires_at_ms = clock_now_ms() + LIFE_MS};
  memory_add(&value, 10, "mx.test");
  for (unsigned i = 0; i < count; i++) {
    char name[40];
    snprintf(name, sizeof(name), "d%u.s%u.test", i, i % 10);
    memory_put(cache, name, &value);
  }
}

static void put(enum purge_what what, const char *text) {
  struct name name;
  if (text)
    memory_name(&name, text);
  orders_put(orders, what, text ? &name : NULL);
}

static void a_domain_is_gone_at_once(void **state) {
  (void)state;
  fill(20);
  put(PURGE_OF_DOMAIN, "d3.s3.test");
  assert_null(memory_peek(cache, "d3.s3.test"));
  assert_int_equal(cache_count(cache), 19);
  assert_int_equal(orders_count(orders), 0);
}

static void all_others_are_done_while_the_loop_turns(void **state) {
  (void)state;
  fill(20000);
  put(PURGE_OF_SUFFIX, "s3.test");
  assert_int_equal(cache_count(cache), 20000);
  assert_int_equal(orders_count(orders), 1);
  LOOP_UNTIL(loop, orders_count(orders) == 0);
  assert_int_equal(cache_count(cache), 18000);
  assert_null(memory_peek(cache, "d13.s3.test"));
}

static void a_turn_is_short(void **state) {
  (void)state;
  unsigned turns = 0;
  fill(20000);
  put(PURGE_OF_ALL, NULL);
  for (; orders_count(orders) > 0; turns++)
    loop_turn(loop);
  assert_in_range(turns, 3, 1000000); /* 20,000 take some milliseconds, a turn 0.3 */
  assert_int_equal(cache_count(cache), 0);
}

static void each_is_carried_out(void **state) {
  (void)state;
  fill(2000);
  put(PURGE_OF_SUFFIX, "s1.test");
  put(PURGE_OF_SUFFIX, "s2.test");
  put(PURGE_OF_NEGATIVE, NULL);
  put(PURGE_OF_FAILURES, NULL);
  put(PURGE_OF_SUFFIX, "s5.test");
  assert_int_equal(orders_count(orders), 5);
  LOOP_UNTIL(loop, orders_count(orders) == 0);
  assert_int_equal(cache_count(cache), 1400);
  put(PURGE_OF_EXCHANGE, "mx.test");
  LOOP_UNTIL(loop, orders_count(orders) == 0);
  assert_int_equal(cache_count(cache), 0);
}

static void too_many_are_one_of_all(void **state) {
  (void)state;
  fill(2000);
  for (unsigned i = 0; i < ORDERS_MAX; i++)
    put(PURGE_OF_SUFFIX, "other.test");
  assert_int_equal(orders_count(orders), ORDERS_MAX);
  put(PURGE_OF_SUFFIX, "other.test");
  assert_int_equal(orders_count(orders), 1);
  LOOP_UNTIL(loop, orders_count(orders) == 0);
  assert_int_equal(cache_count(cache), 0);
}

static void orders_that_never_end_are_carried_out_all_the_same(void **state) {
  (void)state;
  fill(20000);
  for (unsigned i = 0; cache_count(cache) > 0 && i < 100000; i++) {
    put(PURGE_OF_SUFFIX, "other.test");
    ev_run(loop, EVRUN_NOWAIT);
  }
  assert_int_equal(cache_count(cache), 0);
}

static void a_generation_is_reached_when_all_before_it_are_carried_out(void **state) {
  (void)state;
  fill(20000);
  assert_int_equal(orders_generation(orders), 5);
  put(PURGE_OF_SUFFIX, "s1.test");
  orders_settle(orders, 6);
  put(PURGE_OF_SUFFIX, "s2.test");
  orders_settle(orders, 7);
  assert_int_equal(orders_generation(orders), 5);
  LOOP_UNTIL(loop, orders_count(orders) == 0);
  assert_int_equal(orders_generation(orders), 7);
  orders_settle(orders, 8);
  assert_int_equal(orders_generation(orders), 8);
}

static void what_a_lookup_under_way_brings_is_not_kept(void **state) {
  (void)state;
  static struct question question;
  struct answer answer;
  struct dnsmsg message = fake_mx(300, 10, "a.test");
  memory_name(&question.name, "new.s1.test");
  question.hash = name_hash(question.name.text, question.name.length);
  question.depth = DEPTH_EXCHANGES;
  question_init(&question);
  assert_false(resolver_ask(resolver, &question, clock_now_ms(), &answer));
  fill(2000);
  for (unsigned i = 0; i < 3; i++) /* its own has not had a turn yet */
    put(PURGE_OF_NEGATIVE, NULL);
  put(PURGE_OF_SUFFIX, "s1.test");
  fake_dns_deliver(dns, "new.s1.test", DNSMSG_MX, &message, clock_now_ms());
  assert_null(memory_peek(cache, "new.s1.test"));
}

static void what_other_nodes_tell_is_carried_out(void **state) {
  (void)state;
  static const struct store_options storing = {
      .prefix = "mxway:1:", .origin = "node", .timeout_ms = 30, .max_commands = 100, .max_writes = 100};
  static const struct bulletin_options options = {.key = "mxway:1:purges", .channel = "mxway:1:purge"};
  uint8_t octets[NOTICE_MAX];
  struct notice notice;
  struct store *store;
  struct bulletin *bulletin;
  fake_fleet_init();
  list_init();
  fill(2000);
  assert_int_equal(store_create(NULL, &storing, &stats, &store), 0);
  assert_int_equal(bulletin_create(NULL, store, &options, &stats, &bulletin), 0);
  notice_sample(&notice, 6);
  notice.followed = 0;
  list_add(octets, notice_pack(octets, &notice, "mxway:1:purges", NULL))->ms = 0;
  list.entries[0].sequence = 5; /* the generation that memory has */
  notice_sample(&notice, 5);
  list_add(octets, notice_pack(octets, &notice, "mxway:1:purges", NULL));
  assert_int_equal(orders_follow(orders, bulletin, 0), 0);
  bulletin_run(bulletin, clock_now_ms());
  list_answer(clock_now_ms());
  assert_int_equal(orders_count(orders), 1);
  LOOP_UNTIL(loop, orders_count(orders) == 0);
  assert_int_equal(cache_count(cache), 0);
  assert_int_equal(orders_generation(orders), (list.ms - 1) << BULLETIN_SEQUENCE_BITS);
  bulletin_destroy(bulletin);
  store_destroy(store);
}

static void it_ends_with_some_under_way(void **state) {
  (void)state;
  fill(2000);
  put(PURGE_OF_ALL, NULL);
  put(PURGE_OF_SUFFIX, "s1.test");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_domain_is_gone_at_once),
      TEST(all_others_are_done_while_the_loop_turns),
      TEST(a_turn_is_short),
      TEST(each_is_carried_out),
      TEST(too_many_are_one_of_all),
      TEST(orders_that_never_end_are_carried_out_all_the_same),
      TEST(a_generation_is_reached_when_all_before_it_are_carried_out),
      TEST(what_a_lookup_under_way_brings_is_not_kept),
      TEST(what_other_nodes_tell_is_carried_out),
      TEST(it_ends_with_some_under_way),
  };
  return cmocka_run_group_tests_name("orders", tests, NULL, NULL);
}
