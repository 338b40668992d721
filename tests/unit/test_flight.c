#include "cmocka_compat.h"

#include <limits.h>

#include "cache/cache.h"
#include "fake_dns.h"
#include "malloc_watch.h"
#include "resolve/flight.h"
#include "rules/name.h"

/* What becomes of a lookup is tested with the room resolver, through which all of it passes; here is what
 * the two rooms say to each other. */

enum { START_MS = 1000000, DEADLINE_MS = 5000, HOPS = 8 };

static struct stats stats;

struct trial {
  struct learn_policy policy;
  struct fetch_ways ways;
  struct dns *dns;
  struct cache *cache;
  struct questions questions;
  struct stale stale;
  struct flights flights;
  unsigned answered_count;
};

struct client {
  struct question question;
  unsigned answers;
  enum verdict verdict; /* where there were no facts */
  bool has_facts;
};

static void on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  (void)now_ms;
  struct client *client = (struct client *)question;
  client->answers++;
  client->has_facts = answer->facts != NULL;
  client->verdict = answer->verdict;
  ((struct trial *)context)->answered_count++;
}

static int open_trial(void **state) {
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->policy.ttl =
      (struct ttl_policy){.max_s = 86400, .max_negative_s = 3600, .failure_s = 7, .max_failure_s = 300};
  trial->dns = fake_dns_create();
  trial->cache = cache_create(1 << 20, 0, &stats);
  assert_non_null(trial->cache);
  trial->ways = (struct fetch_ways){.dns = trial->dns, .policy = &trial->policy, .max_cname_hops = HOPS};
  struct hosts *hosts = hosts_create(trial->cache, &trial->ways);
  assert_non_null(hosts);
  questions_init(&trial->questions, on_answer, trial);
  trial->stale = (struct stale){.cache = trial->cache, .hosts = hosts, .policy = &trial->policy};
  trial->flights = (struct flights){.cache = trial->cache,
                                    .ways = &trial->ways,
                                    .hosts = hosts,
                                    .questions = &trial->questions,
                                    .stale = &trial->stale,
                                    .lookup_deadline_ms = DEADLINE_MS};
  assert_int_equal(flights_init(&trial->flights), 0);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  unsigned answered_count = trial->answered_count;
  flights_fini(&trial->flights);
  assert_int_equal(trial->answered_count, answered_count); /* nobody is answered by that */
  questions_fini(&trial->questions);
  hosts_destroy(trial->stale.hosts);
  assert_int_equal(trial->dns->open_count, 0);
  cache_destroy(trial->cache);
  dns_destroy(trial->dns);
  free(trial);
  return 0;
}

static void prepare(struct client *client, const char *domain, enum depth depth) {
  static const struct name_policy policy;
  memset(client, 0, sizeof(*client));
  question_init(&client->question);
  client->question.depth = depth;
  assert_int_equal(name_parse((const uint8_t *)domain, strlen(domain), &policy, &client->question.name),
                   NAME_OK);
  client->question.hash = name_hash(domain, strlen(domain));
}

static int start_at(struct trial *trial, struct client *client, int64_t now_ms) {
  const struct domain_facts *facts = question_peek(&client->question, trial->cache);
  return flight_start(&trial->flights, &client->question, facts, now_ms);
}

static struct flight *start(struct trial *trial, struct client *client) {
  assert_int_equal(start_at(trial, client, START_MS), 0);
  struct flight *flight = flight_find(&trial->flights, &client->question);
  assert_non_null(flight);
  return flight;
}

static void deliver(struct trial *trial, const char *name, uint16_t qtype, struct dnsmsg message) {
  fake_dns_deliver(trial->dns, name, qtype, &message, START_MS);
}

static void a_flight_is_found_from_its_start_to_its_end(void **state) {
  struct trial *trial = *state;
  static struct client client, other;
  prepare(&client, "d.test", DEPTH_EXCHANGES);
  prepare(&other, "e.test", DEPTH_EXCHANGES);
  assert_null(flight_find(&trial->flights, &client.question));
  struct flight *flight = start(trial, &client);
  assert_ptr_equal(flight_find_name(&trial->flights, &client.question.name, client.question.hash), flight);
  assert_null(flight_find(&trial->flights, &other.question));
  assert_int_equal(flights_next_ms(&trial->flights), START_MS + DEADLINE_MS);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(client.answers, 1);
  assert_null(flight_find(&trial->flights, &client.question));
  assert_null(flight_find_name(&trial->flights, &client.question.name, client.question.hash));
  assert_true(flights_next_ms(&trial->flights) == INT64_MAX);
}

static void a_start_that_cannot_ask_leaves_no_flight_and_nobody_waiting(void **state) {
  struct trial *trial = *state;
  static struct client client;
  prepare(&client, "d.test", DEPTH_ADDRESSES);
  assert_int_equal(question_set_due(&trial->questions, &client.question, START_MS), 0);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  assert_int_equal(start_at(trial, &client, START_MS), ERR_OVERLOAD);
  assert_null(client.question.waiters);
  assert_true(questions_next_ms(&trial->questions) == INT64_MAX);
  assert_null(flight_find(&trial->flights, &client.question));
  flight_start_ahead(&trial->flights, &client.question.name, client.question.hash, DEPTH_ADDRESSES,
                     DNS_FOR_PREFETCH, START_MS);
  assert_null(flight_find(&trial->flights, &client.question));
  assert_true(flights_next_ms(&trial->flights) == INT64_MAX);
  assert_int_equal(client.answers, 0);
}

static void a_start_without_memory_leaves_nobody_waiting(void **state) {
  struct trial *trial = *state;
  static struct client client;
  if (!malloc_is_watched())
    skip();
  prepare(&client, "d.test", DEPTH_ADDRESSES);
  for (long allowed = 0; allowed < 2; allowed++) { /* the flight, its place among those due */
    assert_int_equal(question_set_due(&trial->questions, &client.question, START_MS), 0);
    malloc_allow(allowed);
    int error = start_at(trial, &client, START_MS);
    malloc_allow(LONG_MAX);
    assert_int_equal(error, ERR_NOMEM);
    assert_null(client.question.waiters);
    assert_true(questions_next_ms(&trial->questions) == INT64_MAX);
    assert_null(flight_find(&trial->flights, &client.question));
  }
}

static void what_is_to_be_seen_of_a_flight(void **state) {
  struct trial *trial = *state;
  static struct client first, second;
  struct answer answer = {.facts = NULL};
  prepare(&first, "d.test", DEPTH_ADDRESSES);
  first.question.refresh = true;
  prepare(&second, "d.test", DEPTH_EXCHANGES);
  struct flight *flight = start(trial, &first);
  assert_int_equal(flight_started_ms(flight), START_MS);
  assert_true(flight_is_refresh(flight));
  assert_false(flight_has_facts(flight));
  assert_false(flight_answer(flight, &second.question, &answer));
  assert_null(answer.facts);
  flight_join(flight, &second.question);
  assert_int_equal(flight_waiting_count(flight), 2);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(second.answers, 1);
  assert_int_equal(flight_waiting_count(flight), 1);
  assert_true(flight_has_facts(flight));
  assert_true(flight_answer(flight, &second.question, &answer));
  assert_ptr_equal(answer.facts, question_peek(&second.question, trial->cache));
  assert_int_equal(answer.since_ms, START_MS);
  assert_false(flight_answer(flight, &first.question, &answer)); /* the addresses are not there */
}

static void the_first_refresh_alone_sends_a_flight_back(void **state) {
  struct trial *trial = *state;
  static struct client client, refresh;
  prepare(&client, "d.test", DEPTH_ADDRESSES);
  prepare(&refresh, "d.test", DEPTH_ADDRESSES);
  refresh.question.refresh = true;
  struct flight *flight = start(trial, &client);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_int_equal(flight_renew(flight, &client.question, START_MS), 0);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 1);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  assert_int_equal(flight_renew(flight, &refresh.question, START_MS), ERR_OVERLOAD);
  assert_true(flight_has_facts(flight)); /* all is as before */
  assert_false(flight_is_refresh(flight));
  fake_dns_accept(trial->dns);
  assert_int_equal(flight_renew(flight, &refresh.question, START_MS), 0);
  assert_false(flight_has_facts(flight));
  assert_true(flight_is_refresh(flight));
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 2);
  deliver(trial, "d.test", DNSMSG_MX, fake_mx(300, 10, "b.test"));
  assert_int_equal(flight_renew(flight, &refresh.question, START_MS), 0);
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 2);
}

static void a_configured_route_has_a_flight_for_each_wish_of_a_refresh(void **state) {
  struct trial *trial = *state;
  static struct client plain, pinned, refresh;
  static struct domain_value value = {.kind = DOMAIN_ROUTE, .count = 1, .exchanges = {{.host = "a.test"}}};
  struct domain_facts facts = {.kind = DOMAIN_ROUTE, .expires_at_ms = INT64_MAX, .name_length = 0};
  facts.set = cache_pin(trial->cache, &value);
  assert_non_null(facts.set);
  prepare(&plain, "d.test", DEPTH_ADDRESSES);
  prepare(&pinned, "d.test", DEPTH_ADDRESSES);
  prepare(&refresh, "d.test", DEPTH_ADDRESSES);
  pinned.question.pinned = refresh.question.pinned = &facts;
  refresh.question.refresh = true;
  struct flight *flight = start(trial, &pinned);
  assert_true(flight_has_facts(flight));
  assert_int_equal(trial->dns->of_type[DNSMSG_MX], 0);
  assert_null(flight_find(&trial->flights, &plain.question));
  assert_null(flight_find(&trial->flights, &refresh.question));
  assert_null(flight_find_name(&trial->flights, &plain.question.name, plain.question.hash));
  assert_ptr_not_equal(start(trial, &refresh), flight);
  assert_ptr_equal(flight_find(&trial->flights, &pinned.question), flight);
  flights_stop(&trial->flights, START_MS);
  cache_unpin(trial->cache, facts.set);
}

static void what_a_flight_is_to_forget_is_delivered_and_not_kept(void **state) {
  struct trial *trial = *state;
  static struct client d, e;
  for (unsigned is_of_kind = 0; is_of_kind < 2; is_of_kind++) {
    prepare(&d, "d.test", DEPTH_EXCHANGES);
    prepare(&e, "e.test", DEPTH_EXCHANGES);
    start(trial, &d);
    start(trial, &e);
    flights_forget(&trial->flights, &d.question.name, 1u << (is_of_kind ? DOMAIN_MX : DOMAIN_NXDOMAIN));
    deliver(trial, "d.test", DNSMSG_MX, fake_mx(0, 10, "a.test"));
    deliver(trial, "e.test", DNSMSG_MX, fake_mx(0, 10, "a.test"));
    assert_true(d.has_facts && e.has_facts);
    assert_int_equal(question_peek(&d.question, trial->cache) == NULL, is_of_kind);
    assert_non_null(question_peek(&e.question, trial->cache));
  }
  prepare(&e, "e.test", DEPTH_EXCHANGES);
  flight_forget(start(trial, &e), UINT_MAX);
  deliver(trial, "e.test", DNSMSG_MX, fake_mx(300, 10, "a.test"));
  assert_null(question_peek(&e.question, trial->cache));
}

static void at_the_deadline_and_at_the_stop_everyone_is_told(void **state) {
  struct trial *trial = *state;
  static struct client late, stopped;
  prepare(&late, "d.test", DEPTH_EXCHANGES);
  start(trial, &late);
  flights_run(&trial->flights, START_MS + DEADLINE_MS - 1);
  assert_int_equal(late.answers, 0);
  flights_run(&trial->flights, START_MS + DEADLINE_MS);
  assert_int_equal(late.answers, 1);
  assert_int_equal(question_peek(&late.question, trial->cache)->cause, VERDICT_DNS_TIMEOUT);
  prepare(&stopped, "e.test", DEPTH_EXCHANGES);
  start(trial, &stopped);
  flights_stop(&trial->flights, START_MS + 1);
  assert_int_equal(stopped.verdict, VERDICT_SHUTDOWN);
  assert_true(flights_next_ms(&trial->flights) == INT64_MAX);
}

static void who_waits_at_the_end_of_all_is_forgotten(void **state) {
  struct trial *trial = *state;
  static struct client client;
  prepare(&client, "d.test", DEPTH_ADDRESSES);
  start(trial, &client); /* close_trial does the rest */
}

int main(void) {
  name_hash_init();
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(a_flight_is_found_from_its_start_to_its_end),
      TRIAL(a_start_that_cannot_ask_leaves_no_flight_and_nobody_waiting),
      TRIAL(a_start_without_memory_leaves_nobody_waiting),
      TRIAL(what_is_to_be_seen_of_a_flight),
      TRIAL(the_first_refresh_alone_sends_a_flight_back),
      TRIAL(a_configured_route_has_a_flight_for_each_wish_of_a_refresh),
      TRIAL(what_a_flight_is_to_forget_is_delivered_and_not_kept),
      TRIAL(at_the_deadline_and_at_the_stop_everyone_is_told),
      TRIAL(who_waits_at_the_end_of_all_is_forgotten),
  };
  return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
