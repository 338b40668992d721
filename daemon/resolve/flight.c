#include "resolve/flight.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct flight {
  struct table_node node; /* by name */
  struct flights *flights;
  struct name name;
  uint64_t hash;
  struct waiters waiters;
  struct heap_node due;
  int64_t started_ms;
  const struct exchange_set *pinned; /* of a configured route: there is no first stage */
  bool refresh;
  bool ahead;                       /* of hosts, ask also for what is due to be refreshed */
  bool wants_addresses;             /* somebody asked for them, whether he still waits or not */
  struct mx mx;                     /* the first stage */
  const struct domain_facts *facts; /* held; NULL in the first stage */
  struct hosts_wait *waits;         /* the second stage: one an exchange */
  unsigned pending;                 /* waits not done yet */
  unsigned origins;    /* where what memory did not hold came from, enum fetch_origin; the addresses alone */
  struct story *story; /* of the first question that wants one, held; or NULL */
};

/* ---- finding one ---- */

static const struct exchange_set *pinned_set(const struct question *question) {
  return question->pinned ? question->pinned->set : NULL;
}

static bool has_name(const struct flight *flight, const struct name *name) {
  return flight->name.length == name->length && memcmp(flight->name.text, name->text, name->length) == 0;
}

/* A flight that has no first stage cannot go back to it: its refresh is another flight. */
static bool is_for_question(const struct table_node *node, const void *key) {
  const struct flight *flight = (const struct flight *)node;
  const struct question *wanted = key;
  return flight->pinned == pinned_set(wanted) && (!flight->pinned || flight->refresh == wanted->refresh) &&
         has_name(flight, &wanted->name);
}

static bool is_for_name(const struct table_node *node, const void *key) {
  const struct flight *flight = (const struct flight *)node;
  return !flight->pinned && has_name(flight, key);
}

struct flight *flight_find(const struct flights *flights, const struct question *question) {
  return (struct flight *)table_get(&flights->table, question->hash, is_for_question, question);
}

struct flight *flight_find_name(const struct flights *flights, const struct name *name, uint64_t hash) {
  return (struct flight *)table_get(&flights->table, hash, is_for_name, name);
}

static struct flight *first_due(const struct flights *flights, int64_t now_ms) {
  struct heap_node *node = heap_first(&flights->due);
  return node && node->at_ms <= now_ms ? (struct flight *)((char *)node - offsetof(struct flight, due))
                                       : NULL;
}

/* ---- start and end ---- */

static const struct mx_calls mx_calls;

static struct flight *create_flight(struct flights *flights, const struct name *name, uint64_t hash,
                                    enum dns_priority priority, int64_t now_ms) {
  struct flight *flight = calloc(1, sizeof(*flight));
  if (!flight)
    return NULL;
  flight->flights = flights;
  flight->name = *name;
  flight->hash = hash;
  mx_init(&flight->mx, &flights->mx, &mx_calls, &flight->name, hash);
  flight->mx.fetch.priority = priority;
  flight->started_ms = now_ms;
  if (heap_put(&flights->due, &flight->due, now_ms + flights->lookup_deadline_ms) != 0) {
    free(flight);
    return NULL;
  }
  table_put(&flights->table, &flight->node, flight->hash);
  return flight;
}

static void leave_hosts(struct flight *flight) {
  for (uint16_t i = 0; flight->waits && i < flight->facts->set->count; i++)
    hosts_leave(&flight->waits[i]);
  free(flight->waits);
  flight->waits = NULL;
}

static void end_flight(struct flight *flight) {
  struct flights *flights = flight->flights;
  assert(!flight->waiters.first);
  fetch_cancel(&flight->mx.fetch);
  leave_hosts(flight);
  if (flight->facts)
    cache_release(flights->cache, flight->facts);
  table_remove(&flights->table, &flight->node);
  heap_remove(&flights->due, &flight->due);
  story_unref(flight->story);
  free(flight);
}

/* Answer those whom `matches` accepts (NULL: everyone). */
static void tell_verdict(struct flight *flight, question_match_fn *matches, enum verdict verdict,
                         int64_t now_ms) {
  const struct answer answer = {.verdict = verdict};
  question_answer_all(flight->flights->questions, &flight->waiters, matches, &answer, now_ms);
}

static struct answer answer_of(const struct flight *flight, unsigned origins) {
  return (struct answer){.facts = flight->facts,
                         .from_store = (flight->mx.origin | origins) == FETCH_OF_STORE,
                         .since_ms = flight->started_ms};
}

static void tell_facts(struct flight *flight, question_match_fn *matches, int64_t now_ms) {
  const struct answer answer = answer_of(flight, flight->origins);
  question_answer_all(flight->flights->questions, &flight->waiters, matches, &answer, now_ms);
}

/* Answers everyone who is left and ends the flight. */
static void land_with_verdict(struct flight *flight, enum verdict verdict, int64_t now_ms) {
  tell_verdict(flight, NULL, verdict, now_ms);
  end_flight(flight);
}

static void land_with_facts(struct flight *flight, int64_t now_ms) {
  tell_facts(flight, NULL, now_ms);
  end_flight(flight);
}

static bool wants_exchanges(const struct question *question) { return question->depth == DEPTH_EXCHANGES; }

static bool wants_refresh(const struct question *question) { return question->refresh; }

static bool wants_fresh(const struct question *question) { return question->refresh || question->no_stale; }

/* ---- the second stage: addresses ---- */

static void on_host(void *context, unsigned origins, int64_t now_ms) {
  struct flight *flight = context;
  flight->origins |= origins;
  if (--flight->pending == 0)
    land_with_facts(flight, now_ms);
}

/* Those who wait may be answered stale now, if it comes to that. */
static void expect_stale(void *context, int64_t now_ms) {
  struct flight *flight = context;
  (void)now_ms;
  question_expect_stale(flight->flights->questions, &flight->waiters);
}

/* Asks for every exchange's addresses at once; false where nothing is to be waited for. */
static bool ask_hosts(struct flight *flight, int64_t now_ms) {
  const struct exchange_set *set = flight->facts->set;
  const struct hosts_wish wish = {.refresh = flight->refresh,
                                  .ahead = flight->ahead,
                                  .priority = flight->mx.fetch.priority,
                                  .story = flight->story};
  flight->waits = calloc(set->count, sizeof(flight->waits[0]));
  for (uint16_t i = 0; flight->waits && i < set->count; i++) {
    struct hosts_wait *wait = &flight->waits[i];
    *wait = (struct hosts_wait){.done = on_host, .on_stale = expect_stale, .context = flight};
    flight->pending += hosts_ask(flight->flights->hosts, set->exchanges[i].host, &wish, now_ms, wait);
    if (wait->has_stale)
      expect_stale(flight, now_ms);
  }
  return flight->pending > 0;
}

/* The domain's facts are there, with a hold: some are answered, some want more. What somebody wanted is
 * looked up to its end, so that the next to ask finds it (ROUTING L1). */
static void on_facts(struct flight *flight, const struct domain_facts *facts, int64_t now_ms) {
  flight->facts = facts;
  tell_facts(flight, facts->set ? wants_exchanges : NULL, now_ms);
  if (!facts->set || !flight->wants_addresses)
    end_flight(flight);
  else if (!ask_hosts(flight, now_ms))
    land_with_facts(flight, now_ms);
}

/* ---- the first stage: what the MX query said ---- */

static struct flight *flight_of(struct mx *mx) {
  return (struct flight *)((char *)mx - offsetof(struct flight, mx));
}

/* What the cache holds that a failure must not replace (ROUTING T5), or NULL: good facts, and where the
 * failure is ours what is known of an earlier one, too. */
static const struct domain_facts *good_facts(const struct flight *flight, enum verdict failure,
                                             int64_t now_ms) {
  bool is_ours = failure == VERDICT_DNS_NETWORK || failure == VERDICT_OVERLOAD;
  const struct domain_facts *facts = mx_peek(&flight->mx);
  return facts && facts->expires_at_ms > now_ms && (facts->kind != DOMAIN_FAILED || is_ours) ? facts : NULL;
}

/* A refresh has failed and good facts stay: who wanted it is told, the others go on with those. */
static void fail_refresh(struct flight *flight, enum verdict failure, int64_t now_ms) {
  story_add(flight->story, "T5", "the refresh failed; the facts in memory still hold and stay");
  tell_verdict(flight, wants_refresh, failure, now_ms);
}

static void keep_facts(struct flight *flight, const struct domain_facts *facts, enum verdict failure,
                       int64_t now_ms) {
  fail_refresh(flight, failure, now_ms);
  if (!flight->waiters.first) {
    end_flight(flight);
    return;
  }
  cache_hold(facts);
  on_facts(flight, facts, now_ms);
}

/* The MX query has failed: goes on with facts that have expired, where there are any; false where not. Those
 * who want nothing but fresh facts are told what went wrong. */
static bool go_on_stale(struct flight *flight, enum verdict failure, int64_t now_ms) {
  const struct domain_facts *facts = stale_put(flight->flights->stale, mx_peek(&flight->mx), failure, now_ms);
  if (!facts)
    return false;
  story_add(flight->story, "T6 (RFC 8767)", "goes on with MX facts that expired %" PRId64 " s ago",
            (now_ms - facts->expires_at_ms) / 1000);
  tell_verdict(flight, wants_fresh, failure, now_ms);
  on_facts(flight, facts, now_ms);
  return true;
}

static void on_failure(struct mx *mx, enum verdict failure, int64_t now_ms) {
  struct flight *flight = flight_of(mx);
  const struct domain_facts *good = good_facts(flight, failure, now_ms);
  story_add(flight->story, "V10", "the question for the MX records of %s ends with %s", flight->name.text,
            verdict_name(failure));
  if (good)
    keep_facts(flight, good, failure, now_ms);
  else if (go_on_stale(flight, failure, now_ms))
    return;
  else if (failure == VERDICT_OVERLOAD)
    land_with_verdict(flight, failure, now_ms);
  else
    mx_put_failure(mx, failure, now_ms);
}

static void on_learned(struct mx *mx, const struct domain_facts *facts, int64_t now_ms) {
  if (facts)
    on_facts(flight_of(mx), facts, now_ms);
  else
    land_with_verdict(flight_of(mx), VERDICT_OVERLOAD, now_ms);
}

static void on_expired(struct mx *mx, int64_t now_ms) { expect_stale(flight_of(mx), now_ms); }

static const struct mx_calls mx_calls = {on_learned, on_failure, on_expired};

/* ---- starting and joining ---- */

/* Returns 0, or ERR_OVERLOAD or ERR_NOMEM where nothing could be asked. */
static int begin(struct flight *flight, const struct domain_facts *facts, bool no_stale, int64_t now_ms) {
  if (flight->pinned) {
    flight->facts = cache_copy(flight->flights->cache, facts);
    return flight->facts && ask_hosts(flight, now_ms) ? 0 : ERR_OVERLOAD;
  }
  if (facts && domain_facts_until_ms(facts, no_stale) > now_ms && !flight->refresh) {
    cache_hold(facts);
    flight->facts = facts;
    return ask_hosts(flight, now_ms) ? 0 : ERR_OVERLOAD;
  }
  return mx_start(&flight->mx, !flight->refresh, now_ms);
}

int flight_start(struct flights *flights, struct question *question, const struct domain_facts *facts,
                 int64_t now_ms) {
  struct flight *flight = create_flight(flights, &question->name, question->hash, DNS_FOR_CLIENT, now_ms);
  if (!flight) {
    question_set_due(flights->questions, question, INT64_MAX);
    return ERR_NOMEM;
  }
  flight->pinned = pinned_set(question);
  flight->refresh = question->refresh;
  flight_join(flight, question);
  int error = begin(flight, facts, question->no_stale, now_ms);
  if (error != 0) {
    question_leave(flights->questions, question);
    end_flight(flight);
  }
  return error;
}

void flight_start_ahead(struct flights *flights, const struct name *name, uint64_t hash, enum depth depth,
                        enum dns_priority priority, int64_t now_ms) {
  struct flight *flight = create_flight(flights, name, hash, priority, now_ms);
  if (!flight)
    return;
  flight->wants_addresses = depth != DEPTH_EXCHANGES;
  flight->ahead = true;
  if (mx_start(&flight->mx, true, now_ms) != 0)
    end_flight(flight);
}

static void take_story(struct flight *flight, const struct question *question) {
  if (!flight->story)
    flight->mx.fetch.story = flight->story = story_ref(question->story);
}

void flight_join(struct flight *flight, struct question *question) {
  question_join(question, &flight->waiters);
  flight->wants_addresses |= question->depth != DEPTH_EXCHANGES;
  take_story(flight, question);
  fetch_promote(&flight->mx.fetch, DNS_FOR_CLIENT);
}

/* Goes back from the second stage to the first. Returns 0, or the error of mx_start and all is as before. */
static int start_over(struct flight *flight, bool from_store, int64_t now_ms) {
  int error = mx_start(&flight->mx, from_store, now_ms);
  if (error != 0)
    return error;
  leave_hosts(flight);
  flight->pending = flight->origins = 0;
  flight->mx.forgotten = 0; /* what is asked for now comes after any purge */
  cache_release(flight->flights->cache, flight->facts);
  flight->facts = NULL;
  return 0;
}

int flight_renew(struct flight *flight, const struct question *question, int64_t now_ms) {
  bool is_stale = flight->facts && domain_facts_until_ms(flight->facts, true) < flight->started_ms;
  bool wants_refresh = question->refresh && !flight->refresh;
  int error = 0;
  if (!wants_refresh && !(question->no_stale && is_stale))
    return 0;
  take_story(flight, question);
  if (flight->facts)
    error = start_over(flight, !flight->refresh && !wants_refresh, now_ms);
  else if (wants_refresh)
    error = fetch_insist(&flight->mx.fetch);
  if (error == 0)
    flight->refresh |= question->refresh;
  return error;
}

bool flight_answer(const struct flight *flight, const struct question *question, struct answer *answer) {
  if (!flight->facts || question->depth != DEPTH_EXCHANGES)
    return false;
  *answer = answer_of(flight, 0);
  return true;
}

bool flight_is_of_store(const struct flight *flight) {
  return (flight->mx.origin | flight->origins) == FETCH_OF_STORE;
}

/* ---- purging, looking ---- */

void flight_forget(struct flight *flight, unsigned kinds) { flight->mx.forgotten |= kinds; }

void flights_forget(struct flights *flights, const struct name *suffix, unsigned kinds) {
  forgotten_add(&flights->mx.forgotten, suffix, kinds);
}

int64_t flight_started_ms(const struct flight *flight) { return flight->started_ms; }

bool flight_is_refresh(const struct flight *flight) { return flight->refresh; }

bool flight_has_facts(const struct flight *flight) { return flight->facts != NULL; }

size_t flight_waiting_count(const struct flight *flight) {
  size_t count = 0;
  for (const struct question *question = flight->waiters.first; question; question = question->next)
    count++;
  return count;
}

/* ---- all flights ---- */

int flights_init(struct flights *flights) {
  mx_common_init(&flights->mx, flights->cache, flights->ways);
  heap_init(&flights->due);
  return table_init(&flights->table);
}

void flights_fini(struct flights *flights) {
  struct flight *flight;
  while ((flight = first_due(flights, INT64_MAX))) {
    while (flight->waiters.first)
      question_leave(flights->questions, flight->waiters.first);
    end_flight(flight);
  }
  heap_fini(&flights->due);
  table_fini(&flights->table);
}

/* What some exchanges said is a route (ROUTING V6). Without the MX there is none: silence is remembered as
 * such (RFC 9520 section 2.2), but not a query that never went out. */
static void time_out(struct flight *flight, int64_t now_ms) {
  story_add(flight->story, "L1", "the lookup ends at its deadline of %" PRIu32 " ms",
            flight->flights->lookup_deadline_ms);
  enum verdict failure = fetch_is_sent(&flight->mx.fetch) ? VERDICT_DNS_TIMEOUT : VERDICT_OVERLOAD;
  const struct domain_facts *good = flight->facts ? NULL : good_facts(flight, failure, now_ms);
  if (good) {
    fail_refresh(flight, failure, now_ms);
    cache_hold(good);
    flight->facts = good;
  }
  if (flight->facts)
    land_with_facts(flight, now_ms);
  else
    on_failure(&flight->mx, failure, now_ms);
}

void flights_run(struct flights *flights, int64_t now_ms) {
  struct flight *flight;
  while ((flight = first_due(flights, now_ms)))
    time_out(flight, now_ms);
}

int64_t flights_next_ms(const struct flights *flights) {
  const struct heap_node *node = heap_first(&flights->due);
  return node ? node->at_ms : INT64_MAX;
}

void flights_stop(struct flights *flights, int64_t now_ms) {
  struct flight *flight;
  while ((flight = first_due(flights, INT64_MAX)))
    land_with_verdict(flight, VERDICT_SHUTDOWN, now_ms);
}
