#include "flight.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chase.h"
#include "error.h"

_Static_assert((int)DOMAIN_FAILED < (int)FORGOTTEN_KINDS_MAX, "a bit for every kind");

struct flight {
  struct table_node node; /* by name */
  struct flights *flights;
  struct name name;
  uint64_t hash;
  struct waiters waiters;
  struct heap_node due;
  int64_t started_ms;
  const struct exchange_set *pinned; /* of a configured route: there is no first stage */
  enum dns_priority priority;
  bool refresh;
  bool ahead;           /* of hosts, ask also for what is due to be refreshed */
  bool wants_addresses; /* somebody asked for them, whether he still waits or not */
  unsigned forgotten; /* bits of enum domain_kind: what it learns of these kinds is not kept (ROUTING T11), */
  uint64_t asked_after; /* nor what orders with later numbers than this mean */
  struct chase mx;
  const struct domain_facts *facts; /* held; NULL in the first stage */
  struct hosts_wait *waits;         /* the second stage: one an exchange */
  unsigned pending;                 /* waits not done yet */
  struct story *story;              /* of the first question that wants one, held; or NULL */
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

static struct flight *create_flight(struct flights *flights, const struct name *name, uint64_t hash,
                                    enum dns_priority priority, int64_t now_ms) {
  struct flight *flight = calloc(1, sizeof(*flight));
  if (!flight)
    return NULL;
  flight->flights = flights;
  flight->name = *name;
  flight->hash = hash;
  flight->priority = priority;
  flight->asked_after = flights->forgotten.number;
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
  chase_cancel(&flight->mx);
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

static void tell_facts(struct flight *flight, question_match_fn *matches, int64_t now_ms) {
  const struct answer answer = {.facts = flight->facts, .since_ms = flight->started_ms};
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

static void on_host(void *context, int64_t now_ms) {
  struct flight *flight = context;
  if (--flight->pending == 0)
    land_with_facts(flight, now_ms);
}

/* Asks for every exchange's addresses at once; false where nothing is to be waited for. */
static bool ask_hosts(struct flight *flight, int64_t now_ms) {
  const struct exchange_set *set = flight->facts->set;
  const struct hosts_wish wish = {.refresh = flight->refresh,
                                  .ahead = flight->ahead,
                                  .priority = flight->priority,
                                  .story = flight->story};
  flight->waits = calloc(set->count, sizeof(flight->waits[0]));
  for (uint16_t i = 0; flight->waits && i < set->count; i++) {
    flight->waits[i].done = on_host;
    flight->waits[i].context = flight;
    flight->pending +=
        hosts_ask(flight->flights->hosts, set->exchanges[i].host, &wish, now_ms, &flight->waits[i]);
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

static const struct domain_facts *peek(const struct flight *flight) {
  return cache_peek(flight->flights->cache, flight->name.text, flight->name.length, flight->hash);
}

/* What the cache holds that a failure must not replace (ROUTING T5), or NULL: good facts, and where the
 * failure is ours what is known of an earlier one, too. */
static const struct domain_facts *good_facts(const struct flight *flight, enum verdict failure,
                                             int64_t now_ms) {
  bool is_ours = failure == VERDICT_DNS_NETWORK || failure == VERDICT_OVERLOAD;
  const struct domain_facts *facts = peek(flight);
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
  const struct domain_facts *facts = stale_put(flight->flights->stale, peek(flight), failure, now_ms);
  if (!facts)
    return false;
  story_add(flight->story, "T6 (RFC 8767)", "goes on with MX facts that expired %" PRId64 " s ago",
            (now_ms - facts->expires_at_ms) / 1000);
  tell_verdict(flight, wants_fresh, failure, now_ms);
  on_facts(flight, facts, now_ms);
  return true;
}

static bool is_forgotten(const struct flight *flight, unsigned kind) {
  const struct name *name = &flight->name;
  return flight->forgotten >> kind & 1 ||
         forgotten_has(&flight->flights->forgotten, flight->asked_after, kind, name->text, name->length);
}

/* Publishes what was learned, and goes on with it. What a purge has overtaken is published for no
 * longer than this call: only those who wait see it. */
static void put_value(struct flight *flight, int64_t now_ms) {
  struct flights *flights = flight->flights;
  const struct name *name = &flight->name;
  const struct domain_facts *facts =
      cache_put(flights->cache, name->text, name->length, flight->hash, &flights->value);
  if (facts && is_forgotten(flight, facts->kind)) {
    story_add(flight->story, "T11", "memory was purged meanwhile: this answer is not kept");
    cache_remove(flights->cache, name->text, name->length, flight->hash);
  }
  if (facts)
    on_facts(flight, facts, now_ms);
  else
    land_with_verdict(flight, VERDICT_OVERLOAD, now_ms);
}

static void on_failure(struct flight *flight, enum verdict failure, int64_t now_ms) {
  struct flights *flights = flight->flights;
  const struct domain_facts *good = good_facts(flight, failure, now_ms);
  story_add(flight->story, "V10", "the question for the MX records of %s ends with %s", flight->name.text,
            verdict_name(failure));
  if (good) {
    keep_facts(flight, good, failure, now_ms);
  } else if (go_on_stale(flight, failure, now_ms)) {
    return;
  } else if (failure == VERDICT_OVERLOAD) {
    land_with_verdict(flight, failure, now_ms);
  } else {
    learn_domain_failure(flights->policy, failure, peek(flight), now_ms, &flights->random, &flights->value);
    put_value(flight, now_ms);
  }
}

static void on_mx(struct chase *chase, const struct chase_end *end, int64_t now_ms) {
  struct flight *flight = (struct flight *)((char *)chase - offsetof(struct flight, mx));
  struct flights *flights = flight->flights;
  enum verdict failure = learn_failure(flights->policy, end);
  if (failure) {
    on_failure(flight, failure, now_ms);
    return;
  }
  learn_domain(flights->policy, flight->name.text, end, now_ms, &flights->random, flight->story,
               &flights->value);
  put_value(flight, now_ms);
}

static int ask_mx(struct flight *flight) {
  struct flights *flights = flight->flights;
  const struct dns_question question = {flight->name.text, DNSMSG_MX, flight->priority, flight->story};
  return chase_start(&flight->mx, flights->dns, &question, flights->max_cname_hops, on_mx);
}

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
  return ask_mx(flight);
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
  if (ask_mx(flight) != 0)
    end_flight(flight);
}

static void take_story(struct flight *flight, const struct question *question) {
  if (!flight->story)
    flight->story = story_ref(question->story);
}

void flight_join(struct flight *flight, struct question *question) {
  question_join(question, &flight->waiters);
  flight->wants_addresses |= question->depth != DEPTH_EXCHANGES;
  take_story(flight, question);
  flight->priority = DNS_FOR_CLIENT;
  chase_promote(&flight->mx, DNS_FOR_CLIENT);
}

/* Goes back from the second stage to the first. Returns 0, or the error of dns_ask and all is as before. */
static int start_over(struct flight *flight) {
  int error = ask_mx(flight);
  if (error != 0)
    return error;
  leave_hosts(flight);
  flight->pending = 0;
  flight->forgotten = 0; /* what is asked for now comes after any purge */
  flight->asked_after = flight->flights->forgotten.number;
  cache_release(flight->flights->cache, flight->facts);
  flight->facts = NULL;
  return 0;
}

int flight_renew(struct flight *flight, const struct question *question) {
  bool is_stale = flight->facts && domain_facts_until_ms(flight->facts, true) < flight->started_ms;
  bool wants_refresh = question->refresh && !flight->refresh;
  if (!wants_refresh && !(question->no_stale && is_stale))
    return 0;
  take_story(flight, question);
  int error = flight->facts ? start_over(flight) : 0;
  if (error == 0)
    flight->refresh |= question->refresh;
  return error;
}

bool flight_answer(const struct flight *flight, const struct question *question, struct answer *answer) {
  if (!flight->facts || question->depth != DEPTH_EXCHANGES)
    return false;
  *answer = (struct answer){.facts = flight->facts, .since_ms = flight->started_ms};
  return true;
}

/* ---- purging, looking ---- */

void flight_forget(struct flight *flight, unsigned kinds) { flight->forgotten |= kinds; }

void flights_forget(struct flights *flights, const struct name *suffix, unsigned kinds) {
  forgotten_add(&flights->forgotten, suffix, kinds);
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
  random_init(&flights->random);
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
  enum verdict failure = chase_is_sent(&flight->mx) ? VERDICT_DNS_TIMEOUT : VERDICT_OVERLOAD;
  const struct domain_facts *good = flight->facts ? NULL : good_facts(flight, failure, now_ms);
  if (good) {
    fail_refresh(flight, failure, now_ms);
    cache_hold(good);
    flight->facts = good;
  }
  if (flight->facts)
    land_with_facts(flight, now_ms);
  else
    on_failure(flight, failure, now_ms);
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
