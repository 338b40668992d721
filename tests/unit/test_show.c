#include "cmocka_compat.h"

#include "control/show.h"
#include "fake_dns.h"
#include "made_memory.h"
#include "resolve/resolver.h"
#include "rules/verdict.h"

enum { NOW_MS = 1000000, CACHE_BYTES = 4 << 20 };

static struct stats stats;

struct trial {
  struct dns *dns;
  struct cache *cache;
  struct resolver *resolver;
  struct show *show;
  struct question question;
};

static void on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  (void)context, (void)question, (void)answer, (void)now_ms;
}

static int open_trial(void **state) {
  static const struct resolver_options options = {.lookup_deadline_ms = 5000, .max_cname_hops = 8};
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->dns = fake_dns_create();
  trial->cache = cache_create(CACHE_BYTES, 0, &stats);
  assert_non_null(trial->cache);
  trial->resolver = resolver_create(trial->cache, NULL, trial->dns, &options, &stats, on_answer, trial);
  assert_non_null(trial->resolver);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  show_destroy(trial->show);
  resolver_destroy(trial->resolver);
  cache_destroy(trial->cache);
  dns_destroy(trial->dns);
  free(trial);
  return 0;
}

static struct domain_value *value_of(enum domain_kind kind) {
  static struct domain_value value;
  memset(&value, 0, sizeof(value));
  value.kind = kind;
  value.stored_at_ms = NOW_MS - 5000;
  value.expires_at_ms = NOW_MS + 7000;
  return &value;
}

static const struct domain_facts *put_route(struct trial *trial, const char *name, const char *host) {
  struct domain_value *value = value_of(DOMAIN_MX);
  memory_add(value, 10, host);
  return memory_put(trial->cache, name, value);
}

static const Mxway__V1__ShowReply *show_in(struct trial *trial, const char *text, size_t most) {
  struct name name;
  memory_name(&name, text);
  show_destroy(trial->show);
  trial->show = show_create(trial->cache, trial->resolver, &name);
  assert_non_null(trial->show);
  while (!show_step(trial->show, most)) {
  }
  return show_reply(trial->show, NOW_MS);
}

static const Mxway__V1__ShowReply *show(struct trial *trial, const char *text) {
  return show_in(trial, text, 100);
}

static void nothing_is_shown_of_what_is_not_known(void **state) {
  struct trial *trial = *state;
  const Mxway__V1__ShowReply *reply = show(trial, "D.test.");
  assert_string_equal(reply->name, "d.test");
  assert_int_equal(reply->fact, MXWAY__V1__FACT__FACT_NONE);
  assert_null(reply->lookup);
}

static void every_kind_has_its_fact(void **state) {
  struct trial *trial = *state;
  static const Mxway__V1__Fact facts[] = {
      [DOMAIN_NULL_MX] = MXWAY__V1__FACT__FACT_NULL_MX,
      [DOMAIN_NXDOMAIN] = MXWAY__V1__FACT__FACT_NXDOMAIN,
      [DOMAIN_ALL_INVALID] = MXWAY__V1__FACT__FACT_ALL_INVALID,
      [DOMAIN_FAILED] = MXWAY__V1__FACT__FACT_FAILED,
  };
  for (enum domain_kind kind = DOMAIN_MX; kind <= DOMAIN_FAILED; kind++) {
    if (kind == DOMAIN_MX || kind == DOMAIN_NODATA)
      continue;
    memory_put(trial->cache, "d.test", value_of(kind));
    assert_int_equal(show(trial, "d.test")->fact, facts[kind]);
  }
}

static void a_failure_has_its_cause_and_how_often(void **state) {
  struct trial *trial = *state;
  struct domain_value *value = value_of(DOMAIN_FAILED);
  value->cause = VERDICT_DNS_REFUSED;
  value->failures = 3;
  memory_put(trial->cache, "d.test", value);
  const Mxway__V1__ShowReply *reply = show(trial, "d.test");
  assert_int_equal(reply->cause, MXWAY__V1__VERDICT__VERDICT_DNS_REFUSED);
  assert_int_equal(reply->failures, 3);
}

static void a_life_has_an_age_and_what_is_left(void **state) {
  struct trial *trial = *state;
  struct domain_value *value = value_of(DOMAIN_NXDOMAIN);
  value->warnings = WARNING_DUPLICATE_EXCHANGE | WARNING_MX_IS_CNAME;
  value->authentic = true;
  snprintf(value->canonical, FACTS_NAME_SIZE, "c.test");
  memory_put(trial->cache, "d.test", value);
  const Mxway__V1__ShowReply *reply = show(trial, "d.test");
  assert_int_equal(reply->age_ms, 5000);
  assert_int_equal(reply->left_ms, 7000);
  assert_string_equal(reply->canonical, "c.test");
  assert_true(reply->authenticated);
  assert_int_equal(reply->n_warnings, 2);
  assert_int_equal(reply->warnings[0], MXWAY__V1__WARNING__WARNING_MX_IS_CNAME);
  assert_int_equal(reply->warnings[1], MXWAY__V1__WARNING__WARNING_DUPLICATE_EXCHANGE);
  value->expires_at_ms = NOW_MS - 300;
  memory_put(trial->cache, "d.test", value);
  assert_int_equal(show(trial, "d.test")->left_ms, -300);
}

static void looking_marks_nothing_as_used(void **state) {
  struct trial *trial = *state;
  const struct domain_facts *facts = put_route(trial, "d.test", "a.test");
  assert_int_equal(show(trial, "d.test")->hits, 0);
  assert_int_equal(cache_hits(facts), 0);
  cache_mark(facts);
  assert_int_equal(show(trial, "d.test")->hits, 1);
}

static void exchanges_come_with_their_addresses(void **state) {
  struct trial *trial = *state;
  struct family_value values[FAMILY_COUNT] = {
      [FAMILY_V6] = {.state = FAMILY_NODATA, .expires_at_ms = NOW_MS + 100},
      [FAMILY_V4] = {.state = FAMILY_OK,
                     .expires_at_ms = NOW_MS + 200,
                     .count = 2,
                     .expanded = "real.test",
                     .addresses = {{192, 0, 2, 1}, {192, 0, 2, 2}}}};
  put_route(trial, "d.test", "a.test");
  memory_give(trial->cache, "a.test", values, NOW_MS);
  const Mxway__V1__ShowReply *reply = show(trial, "d.test");
  assert_int_equal(reply->n_exchanges, 1);
  const Mxway__V1__ShownExchange *exchange = reply->exchanges[0];
  assert_int_equal(exchange->preference, 10);
  assert_string_equal(exchange->host, "a.test");
  assert_string_equal(exchange->expanded, "real.test");
  assert_int_equal(exchange->v6->state, MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_NODATA);
  assert_int_equal(exchange->v6->left_ms, 100);
  assert_int_equal(exchange->v4->n_addresses, 2);
  assert_int_equal(exchange->v4->addresses[1].len, 4);
  assert_memory_equal(exchange->v4->addresses[1].data, ((uint8_t[]){192, 0, 2, 2}), 4);
}

static void a_host_nobody_has_asked_for_is_unknown_and_an_address_lives_for_ever(void **state) {
  struct trial *trial = *state;
  put_route(trial, "d.test", "a.test");
  assert_int_equal(show(trial, "d.test")->exchanges[0]->v4->state,
                   MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_UNKNOWN);
  put_route(trial, "d.test", "192.0.2.7");
  assert_true(show(trial, "d.test")->exchanges[0]->v4->left_ms == INT64_MAX);
}

static void those_who_share_the_exchanges_are_counted_and_some_named(void **state) {
  struct trial *trial = *state;
  char name[32];
  put_route(trial, "d.test", "a.test");
  assert_int_equal(show(trial, "d.test")->sharing_count, 0);
  assert_int_equal(show(trial, "d.test")->n_sharing_names, 0);
  put_route(trial, "e.test", "a.test");
  put_route(trial, "f.test", "b.test");
  const Mxway__V1__ShowReply *reply = show(trial, "d.test");
  assert_int_equal(reply->sharing_count, 1);
  assert_int_equal(reply->n_sharing_names, 1);
  assert_string_equal(reply->sharing_names[0], "e.test");
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof(name), "n%d.test", i);
    put_route(trial, name, "a.test");
  }
  reply = show_in(trial, "d.test", 3);
  assert_int_equal(reply->sharing_count, 101);
  assert_int_equal(reply->n_sharing_names, SHOW_SHARING_MAX);
}

static void what_is_purged_while_it_is_shown_is_shown_as_it_was(void **state) {
  struct trial *trial = *state;
  struct name name;
  put_route(trial, "d.test", "a.test");
  put_route(trial, "e.test", "a.test");
  memory_name(&name, "d.test");
  trial->show = show_create(trial->cache, trial->resolver, &name);
  assert_true(cache_remove(trial->cache, "d.test", 6, name_hash("d.test", 6)));
  assert_true(cache_remove(trial->cache, "e.test", 6, name_hash("e.test", 6)));
  while (!show_step(trial->show, 1)) {
  }
  assert_string_equal(show_reply(trial->show, NOW_MS)->exchanges[0]->host, "a.test");
}

static void a_lookup_under_way_is_seen(void **state) {
  struct trial *trial = *state;
  struct answer answer;
  memory_name(&trial->question.name, "d.test");
  trial->question.hash = name_hash("d.test", 6);
  trial->question.depth = DEPTH_EXCHANGES;
  assert_false(resolver_ask(trial->resolver, &trial->question, NOW_MS - 40, &answer));
  const Mxway__V1__ShowReply *reply = show(trial, "d.test");
  assert_non_null(reply->lookup);
  assert_int_equal(reply->lookup->age_ms, 40);
  assert_int_equal(reply->lookup->waiting_count, 1);
}

int main(void) {
  name_hash_init();
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(nothing_is_shown_of_what_is_not_known),
      TRIAL(every_kind_has_its_fact),
      TRIAL(a_failure_has_its_cause_and_how_often),
      TRIAL(a_life_has_an_age_and_what_is_left),
      TRIAL(looking_marks_nothing_as_used),
      TRIAL(exchanges_come_with_their_addresses),
      TRIAL(a_host_nobody_has_asked_for_is_unknown_and_an_address_lives_for_ever),
      TRIAL(those_who_share_the_exchanges_are_counted_and_some_named),
      TRIAL(what_is_purged_while_it_is_shown_is_shown_as_it_was),
      TRIAL(a_lookup_under_way_is_seen),
  };
  return cmocka_run_group_tests_name("show", tests, NULL, NULL);
}
