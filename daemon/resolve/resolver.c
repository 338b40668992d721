#include "resolve/resolver.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "resolve/flight.h"
#include "resolve/hosts.h"
#include "resolve/stale.h"
#include "rules/explain.h"

struct resolver {
  struct cache *cache;
  struct hosts *hosts;
  struct resolver_options options;
  struct fetch_ways ways;
  struct stats *stats;
  resolver_answer_fn *on_answer;
  void *context;
  struct questions questions;
  struct stale stale;
  struct flights flights;
  uint64_t forgotten_count;
  bool is_stopped;
};

/* ---- asking ---- */

/* There is no means to ask: stale facts are better than nothing. */
static bool overload(struct resolver *resolver, const struct question *question, int64_t now_ms,
                     struct answer *answer) {
  stats_add(resolver->stats, STATS_LOOKUPS_OVERLOAD);
  if (!stale_answer(&resolver->stale, question, now_ms, answer))
    *answer = (struct answer){.verdict = VERDICT_OVERLOAD};
  return true;
}

/* How long a question waits before it is answered stale: where no upstream server is well, nothing much is
 * to be waited for. */
static uint32_t patience_ms(const struct resolver *resolver) {
  uint32_t patience_ms = resolver->options.stale_after_ms;
  return patience_ms > RESOLVER_STALE_DOWN_MS && dns_is_down(resolver->ways.dns) ? RESOLVER_STALE_DOWN_MS
                                                                                 : patience_ms;
}

/* Puts a question where it is looked at when it may be answered stale, or at its own deadline; one that has
 * neither ends with its flight. */
static int set_deadline(struct resolver *resolver, struct question *question,
                        const struct domain_facts *facts, int64_t now_ms) {
  bool is_own = question->timeout_ms > 0 && question->timeout_ms < resolver->options.lookup_deadline_ms;
  question->deadline_ms = is_own ? now_ms + question->timeout_ms : INT64_MAX;
  bool takes_stale = !question->no_stale && !question->refresh && resolver->options.learn.max_stale_ms > 0;
  question->stale_ms = takes_stale ? now_ms + patience_ms(resolver) : INT64_MAX;
  int64_t due_ms = question->deadline_ms;
  if (question->stale_ms < due_ms && stale_is_possible(&resolver->stale, question, facts, now_ms))
    due_ms = question->stale_ms;
  return question_set_due(&resolver->questions, question, due_ms);
}

/* Answers without asking anybody, where that is possible or wanted. */
static bool answer_at_once(struct resolver *resolver, const struct question *question,
                           const struct domain_facts *facts, int64_t now_ms, struct answer *answer) {
  *answer = (struct answer){.facts = facts, .from_memory = true, .since_ms = now_ms};
  if (resolver->is_stopped)
    *answer = (struct answer){.verdict = VERDICT_SHUTDOWN};
  else if (facts && !question->refresh && route_is_ready(facts, question->depth, question->no_stale, now_ms))
    return true;
  else if (question->cache_only)
    *answer = (struct answer){.verdict = VERDICT_NOT_CACHED};
  else if (question->no_stale && !question->refresh && stale_has_failed(facts, now_ms))
    *answer = (struct answer){.verdict = (enum verdict)facts->cause, .from_memory = true};
  else
    return false;
  return true;
}

/* A question meets a flight for its name, which may have to go back for it; who wants the exchanges alone
 * need not wait where they are there already. True: `answer` is filled. */
static bool meet(struct resolver *resolver, struct flight *flight, struct question *question, int64_t now_ms,
                 struct answer *answer) {
  stats_add(resolver->stats, STATS_LOOKUPS_COALESCED);
  story_add(question->story, "T8", "%s is being looked up already: waits for that", question->name.text);
  question->has_joined = true;
  if (flight_renew(flight, question, now_ms) != 0)
    return overload(resolver, question, now_ms, answer);
  return flight_answer(flight, question, answer);
}

bool resolver_ask(struct resolver *resolver, struct question *question, int64_t now_ms,
                  struct answer *answer) {
  question_init(question);
  const struct domain_facts *facts = question_peek(question, resolver->cache);
  explain_memory(question->story, question->name.text, facts, question->depth, now_ms);
  if (answer_at_once(resolver, question, facts, now_ms, answer))
    return true;
  struct flight *flight = flight_find(&resolver->flights, question);
  if (flight && meet(resolver, flight, question, now_ms, answer))
    return true;
  if (set_deadline(resolver, question, facts, now_ms) != 0)
    return overload(resolver, question, now_ms, answer);
  if (flight)
    flight_join(flight, question);
  else if (flight_start(&resolver->flights, question, facts, now_ms) != 0)
    return overload(resolver, question, now_ms, answer);
  return false;
}

bool resolver_leave(struct resolver *resolver, struct question *question) {
  return question_leave(&resolver->questions, question);
}

/* ---- purging, looking ---- */

void resolver_forget(struct resolver *resolver, const struct name *suffix, unsigned kinds) {
  resolver->forgotten_count++;
  flights_forget(&resolver->flights, suffix, kinds);
}

void resolver_forget_domain(struct resolver *resolver, const struct name *name, uint64_t hash) {
  struct flight *flight = flight_find_name(&resolver->flights, name, hash);
  resolver->forgotten_count++;
  if (flight)
    flight_forget(flight, UINT_MAX);
}

void resolver_forget_host(struct resolver *resolver, const struct host *host, unsigned states) {
  resolver->forgotten_count++;
  hosts_forget(resolver->hosts, host, states);
}

uint64_t resolver_forgotten_count(const struct resolver *resolver) { return resolver->forgotten_count; }

bool resolver_look(const struct resolver *resolver, const struct name *name, uint64_t hash,
                   struct resolver_view *view) {
  const struct flight *flight = flight_find_name(&resolver->flights, name, hash);
  if (!flight)
    return false;
  *view = (struct resolver_view){.started_ms = flight_started_ms(flight),
                                 .waiting_count = flight_waiting_count(flight),
                                 .is_refresh = flight_is_refresh(flight),
                                 .has_facts = flight_has_facts(flight)};
  return true;
}

/* ---- refreshing ahead ---- */

void resolver_refresh(struct resolver *resolver, const struct name *name, uint64_t hash, enum depth depth,
                      int64_t now_ms) {
  const struct domain_facts *facts = cache_peek(resolver->cache, name->text, name->length, hash);
  if (!facts || resolver->is_stopped || flight_find_name(&resolver->flights, name, hash))
    return;
  bool is_stale = facts->expires_at_ms <= now_ms;
  enum dns_priority priority = is_stale ? DNS_FOR_REFRESH : DNS_FOR_PREFETCH;
  const struct hosts_wish wish = {.ahead = true, .priority = priority};
  stats_add(resolver->stats, STATS_REFRESHES);
  if (domain_facts_want_refresh(facts, now_ms)) {
    flight_start_ahead(&resolver->flights, name, hash, depth, priority, now_ms);
    return;
  }
  cache_hold(facts); /* a host that cannot be asked for is put, which may evict or move what nobody holds */
  for (uint16_t i = 0; facts->set && i < facts->set->count; i++)
    hosts_ask(resolver->hosts, facts->set->exchanges[i].host, &wish, now_ms, NULL);
  cache_release(resolver->cache, facts);
}

/* ---- what the store holds, ahead of any question ---- */

/* A lookup under way is about to know as well: to it the store would have nothing new any more. */
static enum intake take_domain(struct resolver *resolver, const struct record *record, int64_t now_ms) {
  struct name name = {.length = (uint8_t)strlen(record->name)};
  memcpy(name.text, record->name, name.length + 1u);
  if (flight_find_name(&resolver->flights, &name, name_hash(name.text, name.length)))
    return INTAKE_KNOWN;
  return mx_take(&resolver->flights.mx, record, now_ms);
}

enum intake resolver_take(struct resolver *resolver, const struct record *record, int64_t now_ms) {
  return record->kind == RECORD_HOST ? hosts_take(resolver->hosts, record, now_ms)
                                     : take_domain(resolver, record, now_ms);
}

/* ---- time ---- */

/* A question is due: it is answered stale, or goes on waiting until its deadline, or ends there. */
static void end_question(struct resolver *resolver, struct question *question, int64_t now_ms) {
  struct answer answer = {.verdict = VERDICT_DEADLINE};
  const struct flight *flight = flight_find(&resolver->flights, question);
  if (stale_answer(&resolver->stale, question, now_ms, &answer)) {
    answer.from_store = flight && flight_is_of_store(flight);
    answer.from_memory = !answer.from_store;
    question_answer(&resolver->questions, question, &answer, now_ms);
  } else if (question->deadline_ms <= now_ms) {
    stats_add(resolver->stats, STATS_LOOKUPS_DEADLINE);
    question_answer(&resolver->questions, question, &answer, now_ms);
  } else {
    int error = question_set_due(&resolver->questions, question, question->deadline_ms);
    assert(error == 0); /* there is room: it was due */
  }
}

void resolver_run(struct resolver *resolver, int64_t now_ms) {
  struct question *question;
  while ((question = questions_first_due(&resolver->questions, now_ms)))
    end_question(resolver, question, now_ms);
  flights_run(&resolver->flights, now_ms);
}

int64_t resolver_next_ms(const struct resolver *resolver) {
  int64_t question_ms = questions_next_ms(&resolver->questions);
  int64_t flight_ms = flights_next_ms(&resolver->flights);
  return question_ms < flight_ms ? question_ms : flight_ms;
}

/* ---- the room ---- */

static void tell(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  struct resolver *resolver = context;
  if (!answer->facts && answer->verdict == VERDICT_OVERLOAD)
    stats_add(resolver->stats, STATS_LOOKUPS_OVERLOAD);
  resolver->on_answer(resolver->context, question, answer, now_ms);
}

struct resolver *resolver_create(struct cache *cache, struct store *store, struct dns *dns,
                                 const struct resolver_options *options, struct stats *stats,
                                 resolver_answer_fn *on_answer, void *context) {
  struct resolver *resolver = calloc(1, sizeof(*resolver));
  if (!resolver)
    return NULL;
  resolver->cache = cache;
  resolver->options = *options;
  resolver->stats = stats;
  resolver->on_answer = on_answer;
  resolver->context = context;
  questions_init(&resolver->questions, tell, resolver);
  const struct learn_policy *policy = &resolver->options.learn;
  resolver->ways = (struct fetch_ways){store, dns, policy, options->max_cname_hops};
  struct hosts *hosts = hosts_create(cache, &resolver->ways);
  resolver->hosts = hosts;
  resolver->stale = (struct stale){.cache = cache, .hosts = hosts, .policy = policy};
  resolver->flights = (struct flights){.cache = cache,
                                       .ways = &resolver->ways,
                                       .hosts = hosts,
                                       .questions = &resolver->questions,
                                       .stale = &resolver->stale,
                                       .lookup_deadline_ms = options->lookup_deadline_ms};
  if (flights_init(&resolver->flights) != 0 || !hosts) {
    resolver_destroy(resolver);
    return NULL;
  }
  return resolver;
}

void resolver_stop(struct resolver *resolver, int64_t now_ms) {
  resolver->is_stopped = true;
  flights_stop(&resolver->flights, now_ms);
}

void resolver_destroy(struct resolver *resolver) {
  if (!resolver)
    return;
  flights_fini(&resolver->flights);
  questions_fini(&resolver->questions);
  hosts_destroy(resolver->hosts);
  free(resolver);
}
