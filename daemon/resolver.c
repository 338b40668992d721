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
  enum dns_priority priority;
  bool refresh;
  bool ahead;           /* of hosts, ask also for what is due to be refreshed */
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

static void take_story(struct flight *flight, const struct question *question) {
  if (!flight->story)
    flight->story = story_ref(question->story);
}

static void join(struct flight *flight, struct question *question) {
  question->flight = flight;
  question->next = NULL;
  question->previous = flight->last;
  *(flight->last ? &flight->last->next : &flight->first) = question;
  flight->last = question;
  flight->wants_addresses |= question->depth != DEPTH_EXCHANGES;
  take_story(flight, question);
  flight->priority = DNS_FOR_CLIENT;
  chase_promote(&flight->mx, DNS_FOR_CLIENT);
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
  if (!answer->facts && answer->verdict == VERDICT_OVERLOAD)
    stats_add(resolver->stats, STATS_LOOKUPS_OVERLOAD);
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
  const struct hosts_wish wish = {.refresh = flight->refresh,
                                  .ahead = flight->ahead,
                                  .priority = flight->priority,
                                  .story = flight->story};
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

/* What the cache holds that a failure must not replace (ROUTING T5), or NULL: good facts, and where the
 * failure is ours what is known of an earlier one, too. */
static const struct domain_facts *good_facts(const struct flight *flight, enum verdict failure,
                                             int64_t now_ms) {
  bool is_ours = failure == VERDICT_DNS_NETWORK || failure == VERDICT_OVERLOAD;
  const struct domain_facts *facts =
      cache_peek(flight->resolver->cache, flight->name.text, flight->name.length, flight->hash);
  return facts && facts->expires_at_ms > now_ms && (facts->kind != DOMAIN_FAILED || is_ours) ? facts : NULL;
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

/* Tells those who want nothing but fresh facts what went wrong. */
static void fail_strict(struct flight *flight, enum verdict failure, int64_t now_ms) {
  struct answer answer = {.verdict = failure};
  for (struct question *question = flight->first, *next; question; question = next) {
    next = question->next;
    if (question->refresh || question->no_stale)
      answer_question(question, &answer, now_ms);
  }
}

/* Facts that have expired, as they may be answered for a while (ROUTING T6), with a hold; NULL where they may
 * not be. `failure`: of the refresh, 0 where it is only late. */
static const struct domain_facts *make_stale(struct resolver *resolver, const struct domain_facts *facts,
                                             enum verdict failure, int64_t now_ms) {
  if (!facts || !learn_may_be_stale(&resolver->options.learn, facts, now_ms))
    return NULL;
  return cache_put_stale(resolver->cache, facts, now_ms + LEARN_STALE_MS, now_ms + LEARN_RECHECK_MS, failure);
}

/* The MX query has failed: goes on with facts that have expired, where there are any; false where not. */
static bool go_on_stale(struct flight *flight, enum verdict failure, int64_t now_ms) {
  struct resolver *resolver = flight->resolver;
  const struct domain_facts *facts =
      cache_peek(resolver->cache, flight->name.text, flight->name.length, flight->hash);
  facts = make_stale(resolver, facts, failure, now_ms);
  if (!facts)
    return false;
  story_add(flight->story, "T6 (RFC 8767)", "goes on with MX facts that expired %" PRId64 " s ago",
            (now_ms - facts->expires_at_ms) / 1000);
  fail_strict(flight, failure, now_ms);
  on_facts(flight, facts, now_ms);
  return true;
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
  const struct domain_facts *good = good_facts(flight, failure, now_ms);
  story_add(flight->story, "V10", "the question for the MX records of %s ends with %s", name->text,
            verdict_name(failure));
  if (good) {
    keep_facts(flight, good, failure, now_ms);
  } else if (go_on_stale(flight, failure, now_ms)) {
    return;
  } else if (failure == VERDICT_OVERLOAD) {
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
  learn_domain(&resolver->options.learn, flight->name.text, end, now_ms, &resolver->random, flight->story,
               &resolver->value);
  put_value(flight, now_ms);
}

/* ---- asking ---- */

static struct flight *start_flight(struct resolver *resolver, const struct name *name, uint64_t hash,
                                   enum dns_priority priority, int64_t now_ms) {
  struct flight *flight = calloc(1, sizeof(*flight));
  if (!flight)
    return NULL;
  flight->resolver = resolver;
  flight->name = *name;
  flight->hash = hash;
  flight->priority = priority;
  flight->started_ms = now_ms;
  if (heap_put(&resolver->flights_due, &flight->due, now_ms + resolver->options.lookup_deadline_ms) != 0) {
    free(flight);
    return NULL;
  }
  table_put(&resolver->flights, &flight->node, flight->hash);
  return flight;
}

static int ask_mx(struct flight *flight) {
  struct resolver *resolver = flight->resolver;
  const struct dns_question question = {flight->name.text, DNSMSG_MX, flight->priority, flight->story};
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
  if (facts && domain_facts_until_ms(facts, flight->first->no_stale) > now_ms && !flight->refresh) {
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

/* Whether any exchange has an address that may be answered. */
static bool has_route(const struct domain_facts *facts, int64_t now_ms) {
  for (uint16_t i = 0; i < facts->set->count; i++) {
    const struct host_facts *host =
        atomic_load_explicit(&facts->set->exchanges[i].host->facts, memory_order_relaxed);
    for (enum family family = 0; host && family < FAMILY_COUNT; family++)
      if (host->count[family] > 0 && host_facts_until_ms(host, family, false) > now_ms)
        return true;
  }
  return false;
}

/* Whether it may come to a stale answer for a question (ROUTING T6). */
static bool may_be_stale(const struct resolver *resolver, const struct question *question,
                         const struct domain_facts *facts, int64_t now_ms) {
  return facts && !question->no_stale && !question->refresh && resolver->options.learn.max_stale_ms > 0 &&
         (facts->expires_at_ms > now_ms ? facts->set != NULL
                                        : learn_may_be_stale(&resolver->options.learn, facts, now_ms));
}

/* Makes what memory holds, though expired, the answer to a question for which nothing better comes in time.
 * False where it holds no answer. The facts are held by the cache alone. */
static bool answer_stale(struct resolver *resolver, const struct question *question, int64_t now_ms,
                         struct answer *answer) {
  const struct name *name = &question->name;
  const struct domain_facts *facts = question->pinned;
  if (!facts)
    facts = cache_peek(resolver->cache, name->text, name->length, question->hash);
  if (!may_be_stale(resolver, question, facts, now_ms))
    return false;
  if (domain_facts_until_ms(facts, false) <= now_ms) {
    facts = make_stale(resolver, facts, 0, now_ms);
    if (!facts)
      return false;
    cache_release(resolver->cache, facts);
  }
  bool with_addresses = question->depth != DEPTH_EXCHANGES && facts->set;
  for (uint16_t i = 0; with_addresses && i < facts->set->count; i++)
    hosts_put_stale(resolver->hosts, facts->set->exchanges[i].host, now_ms);
  if (with_addresses && !has_route(facts, now_ms))
    return false;
  story_add(question->story, "T6 (RFC 8767)",
            "the DNS is late: answers from what memory holds, although it has expired");
  *answer = (struct answer){.facts = facts, .from_memory = true, .since_ms = now_ms};
  return true;
}

/* There is no means to ask: stale facts are better than nothing. */
static bool overload(struct resolver *resolver, const struct question *question, int64_t now_ms,
                     struct answer *answer) {
  stats_add(resolver->stats, STATS_LOOKUPS_OVERLOAD);
  if (!answer_stale(resolver, question, now_ms, answer))
    *answer = (struct answer){.verdict = VERDICT_OVERLOAD};
  return true;
}

/* Puts a question where it is looked at when it may be answered stale, or at its own deadline; one that has
 * neither ends with its flight. */
static int set_deadline(struct resolver *resolver, struct question *question,
                        const struct domain_facts *facts, int64_t now_ms) {
  bool is_own = question->timeout_ms > 0 && question->timeout_ms < resolver->options.lookup_deadline_ms;
  question->deadline_ms = is_own ? now_ms + question->timeout_ms : INT64_MAX;
  int64_t due_ms = question->deadline_ms, stale_ms = now_ms + resolver->options.stale_after_ms;
  if (stale_ms < due_ms && may_be_stale(resolver, question, facts, now_ms))
    due_ms = stale_ms;
  return due_ms == INT64_MAX ? 0 : heap_put(&resolver->questions_due, &question->due, due_ms);
}

/* Whether the refresh of facts that have expired has failed of late, so that the DNS is not to be asked again
 * for those who want no stale answer either (RFC 9520). */
static bool has_failed_of_late(const struct domain_facts *facts, int64_t now_ms) {
  return facts && facts->kind != DOMAIN_FAILED && facts->cause && facts->expires_at_ms <= now_ms &&
         domain_facts_until_ms(facts, false) - facts->refresh_lead_ms > now_ms;
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
  else if (question->no_stale && !question->refresh && has_failed_of_late(facts, now_ms))
    *answer = (struct answer){.verdict = (enum verdict)facts->cause};
  else
    return false;
  return true;
}

/* A question meets a flight for its name. The first to want a refresh, or no stale facts where it has those,
 * sends it back for the MX; who wants the exchanges alone need not wait where they are there already. True:
 * `answer` is filled. */
static bool meet(struct flight *flight, const struct question *question, int64_t now_ms,
                 struct answer *answer) {
  stats_add(flight->resolver->stats, STATS_LOOKUPS_COALESCED);
  story_add(question->story, "T8", "%s is being looked up already: waits for that", question->name.text);
  bool is_stale = flight->facts && domain_facts_until_ms(flight->facts, true) < flight->started_ms;
  if ((question->refresh && !flight->refresh) || (question->no_stale && is_stale)) {
    take_story(flight, question);
    if (flight->facts && start_over(flight) != 0)
      return overload(flight->resolver, question, now_ms, answer);
    flight->refresh |= question->refresh;
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
  if (!is_new && meet(flight, question, now_ms, answer))
    return true;
  if (is_new && !(flight = start_flight(resolver, name, question->hash, DNS_FOR_CLIENT, now_ms)))
    return overload(resolver, question, now_ms, answer);
  if (is_new)
    flight->pinned = pinned_set(question);
  flight->refresh |= question->refresh;
  if (set_deadline(resolver, question, facts, now_ms) != 0) {
    if (is_new)
      end_flight(flight);
    return overload(resolver, question, now_ms, answer);
  }
  join(flight, question);
  if (is_new && begin(flight, facts, now_ms) != 0) {
    leave(question);
    end_flight(flight);
    return overload(resolver, question, now_ms, answer);
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

/* ---- refreshing ahead ---- */

static void refresh_domain(struct resolver *resolver, const struct name *name, uint64_t hash,
                           enum depth depth, enum dns_priority priority, int64_t now_ms) {
  struct flight *flight = start_flight(resolver, name, hash, priority, now_ms);
  if (!flight)
    return;
  flight->wants_addresses = depth != DEPTH_EXCHANGES;
  flight->ahead = true;
  if (ask_mx(flight) != 0)
    end_flight(flight);
}

void resolver_refresh(struct resolver *resolver, const struct name *name, uint64_t hash, enum depth depth,
                      int64_t now_ms) {
  const struct domain_facts *facts = cache_peek(resolver->cache, name->text, name->length, hash);
  const struct question question = {.name = *name};
  if (!facts || resolver->is_stopped || table_get(&resolver->flights, hash, is_for_question, &question))
    return;
  bool is_stale = facts->expires_at_ms <= now_ms;
  enum dns_priority priority = is_stale ? DNS_FOR_REFRESH : DNS_FOR_PREFETCH;
  const struct hosts_wish wish = {.ahead = true, .priority = priority};
  stats_add(resolver->stats, STATS_REFRESHES);
  if (domain_facts_want_refresh(facts, now_ms))
    refresh_domain(resolver, name, hash, depth, priority, now_ms);
  else
    for (uint16_t i = 0; facts->set && i < facts->set->count; i++)
      hosts_ask(resolver->hosts, facts->set->exchanges[i].host, &wish, now_ms, NULL);
}

/* ---- time ---- */

/* A question is due: it is answered stale, or goes on waiting until its deadline, or ends there. */
static void end_question(struct question *question, int64_t now_ms) {
  struct resolver *resolver = question->flight->resolver;
  struct answer answer = {.verdict = VERDICT_DEADLINE};
  if (answer_stale(resolver, question, now_ms, &answer)) {
    answer_question(question, &answer, now_ms);
  } else if (question->deadline_ms <= now_ms) {
    stats_add(resolver->stats, STATS_LOOKUPS_DEADLINE);
    answer_question(question, &answer, now_ms);
  } else {
    heap_remove(&resolver->questions_due, &question->due);
    if (question->deadline_ms != INT64_MAX) {
      int error = heap_put(&resolver->questions_due, &question->due, question->deadline_ms);
      assert(error == 0); /* there is room: it was in there */
    }
  }
}

/* What some exchanges said is a route (ROUTING V6). Without the MX there is none: silence is remembered as
 * such (RFC 9520 section 2.2), but not a query that never went out. */
static void time_out(struct flight *flight, int64_t now_ms) {
  story_add(flight->story, "L1", "the lookup ends at its deadline of %" PRIu32 " ms",
            flight->resolver->options.lookup_deadline_ms);
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
