#include "resolver.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "chase.h"
#include "error.h"
#include "explain.h"
#include "random.h"
#include "table.h"

/* One domain that is being looked up, in two stages: the MX query, then the
 * addresses of the exchanges for those who want them. */
struct flight {
  struct table_node node; /* by name */
  struct resolver *resolver;
  struct name name;
  uint64_t hash;
  struct question *first, *last;
  struct heap_node due;
  int64_t started_ms;
  const struct exchange_set *pinned; /* of a configured route: there is no first stage */
  bool refresh;
  bool wants_addresses; /* somebody asked for them, whether he still waits or not */
  unsigned forgotten; /* bits of enum domain_kind: what it learns of these kinds is not kept (ROUTING T11) */
  struct chase mx;
  const struct domain_facts *facts; /* held; NULL in the first stage */
  struct hosts_wait *waits;         /* the second stage: one an exchange */
  unsigned pending;                 /* waits not done yet */
  struct story *story;              /* of the first question that wants one, held; or NULL */
};

struct resolver {
  struct cache *cache;
  struct dns *dns;
  struct hosts *hosts;
  struct resolver_options options;
  struct stats *stats;
  resolver_answer_fn *on_answer;
  void *context;
  struct table flights;
  struct heap flights_due, questions_due;
  bool is_stopped;
  struct random random;      /* jitter of failures */
  struct domain_value value; /* what the flight that lands has learned */
};

/* ---- questions ---- */

static void join(struct flight *flight, struct question *question) {
  question->flight = flight;
  question->next = NULL;
  question->previous = flight->last;
  *(flight->last ? &flight->last->next : &flight->first) = question;
  flight->last = question;
  flight->wants_addresses |= question->depth != DEPTH_EXCHANGES;
  if (!flight->story)
    flight->story = story_ref(question->story);
}

static void leave(struct question *question) {
  struct flight *flight = question->flight;
  *(question->previous ? &question->previous->next : &flight->first) = question->next;
  *(question->next ? &question->next->previous : &flight->last) = question->previous;
  heap_remove(&flight->resolver->questions_due, &question->due);
  question->flight = NULL;
}

static void answer_question(struct question *question, const struct answer *answer, int64_t now_ms) {
  struct resolver *resolver = question->flight->resolver;
  leave(question);
  resolver->on_answer(resolver->context, question, answer, now_ms);
}

/* Answers everyone in the flight, or only those for whom the exchanges are enough. */
static void answer_all(struct flight *flight, bool only_exchanges, const struct answer *answer,
                       int64_t now_ms) {
  for (struct question *question = flight->first, *next; question; question = next) {
    next = question->next;
    if (!only_exchanges || question->depth == DEPTH_EXCHANGES)
      answer_question(question, answer, now_ms);
  }
}

/* ---- flights ---- */

static const struct exchange_set *pinned_set(const struct question *question) {
  return question->pinned ? question->pinned->set : NULL;
}

/* A flight that has no first stage cannot go back to it: its refresh is another flight. */
static bool is_for_question(const struct table_node *node, const void *key) {
  const struct flight *flight = (const struct flight *)node;
  const struct question *wanted = key;
  const struct name *name = &flight->name;
  return flight->pinned == pinned_set(wanted) && (!flight->pinned || flight->refresh == wanted->refresh) &&
         name->length == wanted->name.length && memcmp(name->text, wanted->name.text, name->length) == 0;
}

static void leave_hosts(struct flight *flight) {
  for (uint16_t i = 0; flight->waits && i < flight->facts->set->count; i++)
    hosts_leave(&flight->waits[i]);
  free(flight->waits);
  flight->waits = NULL;
}

static void end_flight(struct flight *flight) {
  struct resolver *resolver = flight->resolver;
  assert(!flight->first);
  chase_cancel(&flight->mx);
  leave_hosts(flight);
  if (flight->facts)
    cache_release(resolver->cache, flight->facts);
  table_remove(&resolver->flights, &flight->node);
  heap_remove(&resolver->flights_due, &flight->due);
  story_unref(flight->story);
  free(flight);
}

/* Answers everyone who is left and ends the flight. */
static void land(struct flight *flight, const struct answer *answer, int64_t now_ms) {
  answer_all(flight, false, answer, now_ms);
  end_flight(flight);
}

static void land_with_verdict(struct flight *flight, enum verdict verdict, int64_t now_ms) {
  struct answer answer = {.verdict = verdict};
  land(flight, &answer, now_ms);
}

static void land_with_facts(struct flight *flight, int64_t now_ms) {
  struct answer answer = {.facts = flight->facts, .since_ms = flight->started_ms};
  land(flight, &answer, now_ms);
}

/* ---- the second stage: addresses ---- */

static void on_host(void *context, int64_t now_ms) {
  struct flight *flight = context;
  if (--flight->pending == 0)
    land_with_facts(flight, now_ms);
}

/* Asks for every exchange's addresses at once; false where nothing is to be waited for. */
static bool ask_hosts(struct flight *flight, int64_t now_ms) {
  const struct exchange_set *set = flight->facts->set;
  const struct hosts_wish wish = {flight->refresh, DNS_FOR_CLIENT, flight->story};
  flight->waits = calloc(set->count, sizeof(flight->waits[0]));
  for (uint16_t i = 0; flight->waits && i < set->count; i++) {
    flight->waits[i].done = on_host;
    flight->waits[i].context = flight;
    flight->pending +=
        hosts_ask(flight->resolver->hosts, set->exchanges[i].host, &wish, now_ms, &flight->waits[i]);
  }
  return flight->pending > 0;
}

/* The domain's facts are there: some are answered, some want more. What somebody wanted is looked
 * up to its end, so that the next to ask finds it (ROUTING L1). */
static void on_facts(struct flight *flight, const struct domain_facts *facts, int64_t now_ms) {
  flight->facts = facts;
  struct answer answer = {.facts = facts, .since_ms = flight->started_ms};
  answer_all(flight, facts->set != NULL, &answer, now_ms);
  if (!facts->set || !flight->wants_addresses)
    end_flight(flight);
  else if (!ask_hosts(flight, now_ms))
    land_with_facts(flight, now_ms);
}

/* ---- the first stage: what the MX query said ---- */

/* What the cache holds that a failure must not replace (ROUTING T5), or NULL. */
static const struct domain_facts *good_facts(const struct flight *flight, int64_t now_ms) {
  const struct domain_facts *facts =
      cache_peek(flight->resolver->cache, flight->name.text, flight->name.length, flight->hash);
  return facts && facts->kind != DOMAIN_FAILED && facts->expires_at_ms > now_ms ? facts : NULL;
}

/* A refresh has failed and good facts stay: who wanted it is told, the others go on with those. */
static void fail_refresh(struct flight *flight, enum verdict failure, int64_t now_ms) {
  struct answer answer = {.verdict = failure};
  story_add(flight->story, "T5", "the refresh failed; the facts in memory still hold and stay");
  for (struct question *question = flight->first, *next; question; question = next) {
    next = question->next;
    if (question->refresh)
      answer_question(question, &answer, now_ms);
  }
}

static void keep_facts(struct flight *flight, const struct domain_facts *facts, enum verdict failure,
                       int64_t now_ms) {
  fail_refresh(flight, failure, now_ms);
  if (!flight->first) {
    end_flight(flight);
    return;
  }
  cache_hold(facts);
  on_facts(flight, facts, now_ms);
}

/* Publishes what was learned, and goes on with it. What a purge has overtaken is published for no
 * longer than this call: only those who wait see it. */
static void put_value(struct flight *flight, int64_t now_ms) {
  struct resolver *resolver = flight->resolver;
  const struct name *name = &flight->name;
  const struct domain_facts *facts =
      cache_put(resolver->cache, name->text, name->length, flight->hash, &resolver->value);
  if (facts && flight->forgotten >> facts->kind & 1) {
    story_add(flight->story, "T11", "memory was purged meanwhile: this answer is not kept");
    cache_remove(resolver->cache, name->text, name->length, flight->hash);
  }
  if (facts)
    on_facts(flight, facts, now_ms);
  else
    land_with_verdict(flight, VERDICT_OVERLOAD, now_ms);
}

static void on_failure(struct flight *flight, enum verdict failure, int64_t now_ms) {
  struct resolver *resolver = flight->resolver;
  const struct name *name = &flight->name;
  const struct domain_facts *good = good_facts(flight, now_ms);
  story_add(flight->story, "V10", "the question for the MX records of %s ends with %s", name->text,
            verdict_name(failure));
  if (good) {
    keep_facts(flight, good, failure, now_ms);
  } else if (failure == VERDICT_OVERLOAD) {
    stats_add(resolver->stats, STATS_LOOKUPS_OVERLOAD);
    land_with_verdict(flight, failure, now_ms);
  } else {
    const struct domain_facts *before = cache_peek(resolver->cache, name->text, name->length, flight->hash);
    learn_domain_failure(&resolver->options.learn, failure, before, now_ms, &resolver->random,
                         &resolver->value);
    put_value(flight, now_ms);
  }
}

static void on_mx(struct chase *chase, const struct chase_end *end, int64_t now_ms) {
  struct flight *flight = (struct flight *)((char *)chase - offsetof(struct flight, mx));
  struct resolver *resolver = flight->resolver;
  enum verdict failure = learn_failure(&resolver->options.learn, end);
  if (failure) {
    on_failure(flight, failure, now_ms);
    return;
  }
  learn_domain(&resolver->options.learn, flight->name.text, end, now_ms, flight->story, &resolver->value);
  put_value(flight, now_ms);
}

/* ---- asking ---- */

static struct flight *start_flight(struct resolver *resolver, const struct question *question,
                                   int64_t now_ms) {
  struct flight *flight = calloc(1, sizeof(*flight));
  if (!flight)
    return NULL;
  flight->resolver = resolver;
  flight->name = question->name;
  flight->hash = question->hash;
  flight->pinned = pinned_set(question);
  flight->refresh = question->refresh;
  flight->started_ms = now_ms;
  flight->story = story_ref(question->story);
  if (heap_put(&resolver->flights_due, &flight->due, now_ms + resolver->options.lookup_deadline_ms) != 0) {
    story_unref(flight->story);
    free(flight);
    return NULL;
  }
  table_put(&resolver->flights, &flight->node, flight->hash);
  return flight;
}

static int ask_mx(struct flight *flight) {
  struct resolver *resolver = flight->resolver;
  const struct dns_question question = {flight->name.text, DNSMSG_MX, DNS_FOR_CLIENT, flight->story};
  return chase_start(&flight->mx, resolver->dns, &question, resolver->options.max_cname_hops, on_mx);
}

/* Where a new flight begins: with the MX query, or with the addresses where the
 * MX facts still hold (ROUTING T1) or a route is configured. Returns 0, or ERR_OVERLOAD or ERR_NOMEM where
 * nothing could be asked. */
static int begin(struct flight *flight, const struct domain_facts *facts, int64_t now_ms) {
  if (flight->pinned) {
    flight->facts = cache_copy(flight->resolver->cache, facts);
    return flight->facts && ask_hosts(flight, now_ms) ? 0 : ERR_OVERLOAD;
  }
  if (facts && facts->expires_at_ms > now_ms && !flight->refresh) {
    cache_hold(facts);
    flight->facts = facts;
    return ask_hosts(flight, now_ms) ? 0 : ERR_OVERLOAD;
  }
  return ask_mx(flight);
}

/* Goes back from the second stage to the first. Returns 0, or the error of dns_ask and all is as before. */
static int start_over(struct flight *flight) {
  int error = ask_mx(flight);
  if (error != 0)
    return error;
  leave_hosts(flight);
  flight->pending = 0;
  flight->forgotten = 0; /* what is asked for now comes after any purge */
  cache_release(flight->resolver->cache, flight->facts);
  flight->facts = NULL;
  return 0;
}

static bool overload(struct resolver *resolver, struct answer *answer) {
  stats_add(resolver->stats, STATS_LOOKUPS_OVERLOAD);
  *answer = (struct answer){.verdict = VERDICT_OVERLOAD};
  return true;
}

/* Only a deadline before the flight's needs a place of its own. */
static int set_deadline(struct resolver *resolver, struct question *question, int64_t now_ms) {
  if (question->timeout_ms == 0 || question->timeout_ms >= resolver->options.lookup_deadline_ms)
    return 0;
  return heap_put(&resolver->questions_due, &question->due, now_ms + question->timeout_ms);
}

/* Answers without asking anybody, where that is possible or wanted. */
static bool answer_at_once(struct resolver *resolver, const struct question *question,
                           const struct domain_facts *facts, int64_t now_ms, struct answer *answer) {
  *answer = (struct answer){.facts = facts, .from_memory = true, .since_ms = now_ms};
  if (resolver->is_stopped)
    *answer = (struct answer){.verdict = VERDICT_SHUTDOWN};
  else if (facts && !question->refresh && route_is_fresh(facts, question->depth, now_ms))
    return true;
  else if (question->cache_only)
    *answer = (struct answer){.verdict = VERDICT_NOT_CACHED};
  else
    return false;
  return true;
}

/* A question meets a flight for its name. The first to want a refresh sends it back for the MX; who
 * wants the exchanges alone need not wait where they are there already. True: `answer` is filled. */
static bool meet(struct flight *flight, const struct question *question, struct answer *answer) {
  stats_add(flight->resolver->stats, STATS_LOOKUPS_COALESCED);
  story_add(question->story, "T8", "%s is being looked up already: waits for that", question->name.text);
  if (question->refresh && !flight->refresh) {
    if (flight->facts && start_over(flight) != 0)
      return overload(flight->resolver, answer);
    flight->refresh = true;
  }
  if (!flight->facts || question->depth != DEPTH_EXCHANGES)
    return false;
  *answer = (struct answer){.facts = flight->facts, .since_ms = flight->started_ms};
  return true;
}

bool resolver_ask(struct resolver *resolver, struct question *question, int64_t now_ms,
                  struct answer *answer) {
  const struct name *name = &question->name;
  const struct domain_facts *facts = question->pinned;
  if (!facts)
    facts = cache_peek(resolver->cache, name->text, name->length, question->hash);
  question->due.place = 0;
  question->flight = NULL;
  explain_memory(question->story, name->text, facts, question->depth, now_ms);
  if (answer_at_once(resolver, question, facts, now_ms, answer))
    return true;
  struct flight *flight =
      (struct flight *)table_get(&resolver->flights, question->hash, is_for_question, question);
  bool is_new = !flight;
  if (!is_new && meet(flight, question, answer))
    return true;
  if (is_new && !(flight = start_flight(resolver, question, now_ms)))
    return overload(resolver, answer);
  if (set_deadline(resolver, question, now_ms) != 0) {
    if (is_new)
      end_flight(flight);
    return overload(resolver, answer);
  }
  join(flight, question);
  if (is_new && begin(flight, facts, now_ms) != 0) {
    leave(question);
    end_flight(flight);
    return overload(resolver, answer);
  }
  return false;
}

bool resolver_leave(struct resolver *resolver, struct question *question) {
  (void)resolver;
  if (!question->flight)
    return false;
  leave(question);
  return true;
}

/* ---- purging, looking ---- */

/* The flight that asks the DNS for a name's MX; a configured route has none to keep. */
static bool is_for_name(const struct table_node *node, const void *key) {
  const struct flight *flight = (const struct flight *)node;
  const struct name *name = &flight->name, *wanted = key;
  return !flight->pinned && name->length == wanted->length &&
         memcmp(name->text, wanted->text, name->length) == 0;
}

void resolver_forget(struct resolver *resolver, resolver_match_fn *matches, void *context, unsigned kinds) {
  for (size_t i = 0; i < resolver->flights.capacity; i++)
    for (struct table_node *node = resolver->flights.buckets[i]; node; node = node->next) {
      struct flight *flight = (struct flight *)node;
      if (matches(context, flight->name.text, flight->name.length))
        flight->forgotten |= kinds;
    }
}

void resolver_forget_domain(struct resolver *resolver, const struct name *name, uint64_t hash) {
  struct flight *flight = (struct flight *)table_get(&resolver->flights, hash, is_for_name, name);
  if (flight)
    flight->forgotten = UINT_MAX;
}

void resolver_forget_host(struct resolver *resolver, const struct host *host, unsigned states) {
  hosts_forget(resolver->hosts, host, states);
}

bool resolver_look(const struct resolver *resolver, const struct name *name, uint64_t hash,
                   struct resolver_view *view) {
  const struct flight *flight = (const struct flight *)table_get(&resolver->flights, hash, is_for_name, name);
  if (!flight)
    return false;
  *view = (struct resolver_view){
      .started_ms = flight->started_ms, .is_refresh = flight->refresh, .has_facts = flight->facts != NULL};
  for (const struct question *question = flight->first; question; question = question->next)
    view->waiting_count++;
  return true;
}

/* ---- time ---- */

static void end_question(struct question *question, int64_t now_ms) {
  struct answer answer = {.verdict = VERDICT_DEADLINE};
  stats_add(question->flight->resolver->stats, STATS_LOOKUPS_DEADLINE);
  answer_question(question, &answer, now_ms);
}

/* What some exchanges said is a route (ROUTING V6). Without the MX there is none: silence is remembered as
 * such (RFC 9520 section 2.2), but not a query that never went out. */
static void time_out(struct flight *flight, int64_t now_ms) {
  story_add(flight->story, "L1", "the lookup ends at its deadline of %" PRIu32 " ms",
            flight->resolver->options.lookup_deadline_ms);
  const struct domain_facts *good = flight->facts ? NULL : good_facts(flight, now_ms);
  if (good) {
    fail_refresh(flight, VERDICT_DNS_TIMEOUT, now_ms);
    cache_hold(good);
    flight->facts = good;
  }
  if (flight->facts)
    land_with_facts(flight, now_ms);
  else
    on_failure(flight, chase_is_sent(&flight->mx) ? VERDICT_DNS_TIMEOUT : VERDICT_OVERLOAD, now_ms);
}

void resolver_run(struct resolver *resolver, int64_t now_ms) {
  struct heap_node *node;
  while ((node = heap_first(&resolver->questions_due)) && node->at_ms <= now_ms)
    end_question((struct question *)((char *)node - offsetof(struct question, due)), now_ms);
  while ((node = heap_first(&resolver->flights_due)) && node->at_ms <= now_ms) {
    struct flight *flight = (struct flight *)((char *)node - offsetof(struct flight, due));
    time_out(flight, now_ms);
  }
}

int64_t resolver_next_ms(const struct resolver *resolver) {
  const struct heap_node *question = heap_first(&resolver->questions_due);
  const struct heap_node *flight = heap_first(&resolver->flights_due);
  int64_t next_ms = flight ? flight->at_ms : INT64_MAX;
  return question && question->at_ms < next_ms ? question->at_ms : next_ms;
}

/* ---- the room ---- */

struct resolver *resolver_create(struct cache *cache, struct dns *dns, const struct resolver_options *options,
                                 struct stats *stats, resolver_answer_fn *on_answer, void *context) {
  struct resolver *resolver = calloc(1, sizeof(*resolver));
  if (!resolver)
    return NULL;
  resolver->cache = cache;
  resolver->dns = dns;
  resolver->options = *options;
  resolver->stats = stats;
  resolver->on_answer = on_answer;
  resolver->context = context;
  random_init(&resolver->random);
  heap_init(&resolver->flights_due);
  heap_init(&resolver->questions_due);
  if (table_init(&resolver->flights) != 0) {
    free(resolver);
    return NULL;
  }
  resolver->hosts = hosts_create(cache, dns, &resolver->options.learn, options->max_cname_hops);
  if (!resolver->hosts) {
    resolver_destroy(resolver);
    return NULL;
  }
  return resolver;
}

void resolver_stop(struct resolver *resolver, int64_t now_ms) {
  resolver->is_stopped = true;
  struct heap_node *node;
  while ((node = heap_first(&resolver->flights_due)))
    land_with_verdict((struct flight *)((char *)node - offsetof(struct flight, due)), VERDICT_SHUTDOWN,
                      now_ms);
}

void resolver_destroy(struct resolver *resolver) {
  if (!resolver)
    return;
  struct heap_node *node;
  while ((node = heap_first(&resolver->flights_due))) {
    struct flight *flight = (struct flight *)((char *)node - offsetof(struct flight, due));
    while (flight->first)
      leave(flight->first);
    end_flight(flight);
  }
  hosts_destroy(resolver->hosts);
  heap_fini(&resolver->flights_due);
  heap_fini(&resolver->questions_due);
  table_fini(&resolver->flights);
  free(resolver);
}
