#include "resolve/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "resolve/fetch.h"
#include "resolve/forgotten.h"
#include "rules/explain.h"

_Static_assert((int)FAMILY_LOOP < (int)FORGOTTEN_KINDS_MAX, "a bit for every state");

struct host_flight {
  struct table_node node; /* by host */
  struct hosts *hosts;
  struct host *host; /* held */
  struct hosts_wait *waits;
  unsigned forgotten;   /* bits of enum family_state: families of these are not kept (ROUTING T11), */
  uint64_t asked_after; /* nor those that orders with later numbers than this mean */
  bool has_stale;       /* of the store, in memory now */
  struct story *story;  /* of the first who wants one, held; or NULL */
  struct fetch fetch;
  struct fetch_part parts[FAMILY_COUNT];
  struct family_value values[FAMILY_COUNT]; /* what memory holds, then what is learned */
  unsigned origins[FAMILY_COUNT];           /* enum fetch_origin; 0: memory alone */
  /* Lives by the DNS, for the store: of no length where that is not known, or there is nothing to share. */
  int64_t learned_at_ms[FAMILY_COUNT], raw_until_ms[FAMILY_COUNT];
};

struct hosts {
  struct cache *cache;
  const struct fetch_ways *ways;
  struct random random; /* jitter of failures */
  struct table flights;
  struct forgotten forgotten; /* of states of families, of every host */
  struct record record;       /* what is being shared */
};

static const uint16_t qtypes[FAMILY_COUNT] = {[FAMILY_V6] = DNSMSG_AAAA, [FAMILY_V4] = DNSMSG_A};

/* Of two ends so close in time neither is the later: reading two clocks is no exact science. */
enum { LATER_MS = 1000 };

struct hosts *hosts_create(struct cache *cache, const struct fetch_ways *ways) {
  struct hosts *hosts = calloc(1, sizeof(*hosts));
  if (!hosts)
    return NULL;
  if (table_init(&hosts->flights) != 0) {
    free(hosts);
    return NULL;
  }
  hosts->cache = cache;
  hosts->ways = ways;
  random_init(&hosts->random);
  return hosts;
}

static bool is_for_host(const struct table_node *node, const void *key) {
  return ((const struct host_flight *)node)->host == key;
}

static void end_flight(struct host_flight *flight) {
  struct hosts *hosts = flight->hosts;
  fetch_cancel(&flight->fetch);
  table_remove(&hosts->flights, &flight->node);
  cache_release_host(hosts->cache, flight->host);
  story_unref(flight->story);
  free(flight);
}

void hosts_destroy(struct hosts *hosts) {
  if (!hosts)
    return;
  size_t at = 0;
  for (struct table_node *node; (node = table_any(&hosts->flights, &at));)
    end_flight((struct host_flight *)node);
  table_fini(&hosts->flights);
  free(hosts);
}

/* ---- what is learned ---- */

/* A name is an alias for both families or for none: the latest word on it holds for the family, too,
 * that was not asked for and still has what it had. */
static void take_alias(struct host_flight *flight, const char *expanded) {
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    snprintf(flight->values[family].expanded, FACTS_NAME_SIZE, "%s", expanded);
}

/* Publishes; without memory the old facts stay, and a waiter sees them for what they are. */
static void publish(struct host_flight *flight, int64_t now_ms) {
  struct host_facts *facts = host_facts_build(flight->values);
  if (facts)
    cache_put_host(flight->hosts->cache, flight->host, facts, now_ms);
}

static bool is_forgotten(const struct host_flight *flight, enum family_state state) {
  const struct host *host = flight->host;
  return flight->forgotten >> state & 1 ||
         forgotten_has(&flight->hosts->forgotten, flight->asked_after, state, host->name, host->length);
}

/* A purge has overtaken the flight: what it brings, and what it knew before, is for those who wait. */
static void expire_forgotten(struct host_flight *flight, int64_t now_ms) {
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if (is_forgotten(flight, flight->values[family].state)) {
      flight->values[family].expires_at_ms = now_ms;
      flight->values[family].life_ms = 0; /* as what had a TTL of 0: never answered stale */
      flight->values[family].stale_until_ms = 0;
      flight->values[family].refresh_at_ms = INT64_MAX;
    }
}

/* Gives the store what the DNS said, beside what the store was seen to hold of the other family. */
static void share(struct host_flight *flight, int64_t now_ms) {
  struct hosts *hosts = flight->hosts;
  struct record *record = &hosts->record;
  bool is_news = false;
  record->stale_until_ms = INT64_MIN;
  for (enum family family = 0; hosts->ways->store && family < FAMILY_COUNT; family++) {
    struct family_value *value = &record->families[family];
    int64_t until_ms = flight->raw_until_ms[family];
    *value = flight->values[family];
    record->learned_at_ms[family] = flight->learned_at_ms[family];
    if (until_ms <= flight->learned_at_ms[family] || is_forgotten(flight, value->state)) {
      value->state = FAMILY_UNKNOWN;
      continue;
    }
    int64_t stale_until_ms =
        learn_stale_until_ms(hosts->ways->policy, family_state_is_lasting(value->state), until_ms);
    value->expires_at_ms = until_ms;
    if (stale_until_ms > record->stale_until_ms)
      record->stale_until_ms = stale_until_ms;
    is_news |= flight->origins[family] == FETCH_OF_DNS;
  }
  fetch_share(&flight->fetch, is_news ? record : NULL, now_ms);
}

/* All is known that will be: publishes, then tells everyone. */
static void land(struct host_flight *flight, int64_t now_ms) {
  unsigned origins = flight->origins[FAMILY_V6] | flight->origins[FAMILY_V4];
  expire_forgotten(flight, now_ms);
  publish(flight, now_ms);
  while (flight->waits) {
    struct hosts_wait *wait = flight->waits;
    hosts_leave(wait);
    wait->done(wait->context, origins, now_ms);
  }
  end_flight(flight);
}

/* ---- the DNS ---- */

static struct host_flight *flight_of(struct fetch *fetch) {
  return (struct host_flight *)((char *)fetch - offsetof(struct host_flight, fetch));
}

static void on_part(struct fetch *fetch, size_t part, const struct chase_end *end, int64_t now_ms) {
  struct host_flight *flight = flight_of(fetch);
  struct hosts *hosts = flight->hosts;
  struct family_value *value = &flight->values[part];
  if (learn_family(hosts->ways->policy, end, now_ms, &hosts->random, value)) {
    take_alias(flight, end->is_alias ? end->canonical : "");
    flight->origins[part] = FETCH_OF_DNS;
    flight->learned_at_ms[part] = now_ms;
    flight->raw_until_ms[part] = now_ms + learn_raw_life_s(end) * INT64_C(1000);
  } else if (!family_state_is_definite(value->state)) {
    flight->origins[part] = FETCH_OF_DNS; /* its failure, in the place of whatever there was */
    flight->raw_until_ms[part] = flight->learned_at_ms[part];
  }
}

static void on_done(struct fetch *fetch, int64_t now_ms) {
  struct host_flight *flight = flight_of(fetch);
  share(flight, now_ms);
  land(flight, now_ms);
}

/* ---- the store ---- */

enum worth { WORTH_NOTHING, WORTH_STALE, WORTH_ALL };

/* What a family of the store is worth beside what is known: enough where it holds and what is known does not,
 * or not for as long by more than the time in which a hit refreshes it (ROUTING T7). */
static enum worth worth_of(const struct learn_policy *policy, const struct family_value *known,
                           const struct family_value *shared, int64_t now_ms) {
  bool holds = family_state_is_definite(known->state) && known->expires_at_ms > now_ms;
  if (shared->expires_at_ms > now_ms) {
    bool is_due = holds && known->refresh_at_ms > 0 && known->refresh_at_ms < known->expires_at_ms;
    int64_t lead_ms = is_due ? known->expires_at_ms - known->refresh_at_ms : 0;
    return !holds || shared->expires_at_ms > known->expires_at_ms + lead_ms ? WORTH_ALL : WORTH_NOTHING;
  }
  bool may_be_stale = family_is_lasting(shared->state, shared->life_ms) &&
                      shared->expires_at_ms + policy->max_stale_ms > now_ms;
  return may_be_stale &&
                 !(family_state_is_definite(known->state) && known->expires_at_ms >= shared->expires_at_ms)
             ? WORTH_STALE
             : WORTH_NOTHING;
}

static void take(struct host_flight *flight, enum family family, const struct family_value *shared,
                 const struct record *record) {
  flight->values[family] = *shared;
  flight->learned_at_ms[family] = record->learned_at_ms[family];
  flight->raw_until_ms[family] = record->families[family].expires_at_ms;
}

/* What the DNS has just said of the other family is the latest word. */
static void take_shared_alias(struct host_flight *flight, enum family family, const char *expanded) {
  enum family other = family == FAMILY_V6 ? FAMILY_V4 : FAMILY_V6;
  if (flight->parts[other].state == FETCH_ENDED)
    memcpy(flight->values[family].expanded, flight->values[other].expanded, FACTS_NAME_SIZE);
  else
    take_alias(flight, expanded);
}

/* Takes from the store what it can of one family; returns whether more is wanted. What is not wanted, as it
 * holds, is taken where the store has the same, for the sake of its life by the DNS. */
static bool take_family(struct host_flight *flight, enum family family, const struct record *record,
                        int64_t now_ms) {
  enum fetch_state state = flight->parts[family].state;
  struct family_value shared;
  bool is_wanted = state == FETCH_WANTED || state == FETCH_ASKED || state == FETCH_FAILED;
  if (state == FETCH_ENDED ||
      !learn_family_shared(flight->hosts->ways->policy, record, family, &flight->hosts->random, &shared))
    return is_wanted;
  enum worth worth = is_forgotten(flight, shared.state) /* what a purge is for is not taken (T11) */
                         ? WORTH_NOTHING
                         : worth_of(flight->hosts->ways->policy, &flight->values[family], &shared, now_ms);
  if (!is_wanted) {
    if (shared.expires_at_ms + LATER_MS >= flight->values[family].expires_at_ms)
      take(flight, family, &shared, record);
    return false;
  }
  if (worth == WORTH_NOTHING)
    return true;
  take(flight, family, &shared, record);
  flight->origins[family] = FETCH_OF_STORE;
  if (worth == WORTH_STALE) {
    flight->has_stale = true;
    return true;
  }
  take_shared_alias(flight, family, shared.expanded);
  fetch_settle(&flight->fetch, family);
  return false;
}

/* What is taken may be answered by those who will not wait for the rest (ROUTING T6); not after a purge,
 * which may have been for what was known before (T11). */
static void publish_taken(struct host_flight *flight, int64_t now_ms) {
  bool is_overtaken = flight->forgotten || flight->asked_after != flight->hosts->forgotten.number;
  if (is_overtaken || (flight->origins[FAMILY_V6] | flight->origins[FAMILY_V4]) != FETCH_OF_STORE)
    return;
  publish(flight, now_ms);
  for (struct hosts_wait *wait = flight->waits; wait && flight->has_stale; wait = wait->next) {
    wait->has_stale = true;
    wait->on_stale(wait->context, now_ms);
  }
}

static bool suffices(struct fetch *fetch, const struct record *record, int64_t now_ms) {
  struct host_flight *flight = flight_of(fetch);
  bool is_more_wanted = false;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    is_more_wanted |= take_family(flight, family, record, now_ms);
  if (is_more_wanted)
    publish_taken(flight, now_ms);
  return !is_more_wanted;
}

static void on_shared(struct fetch *fetch, const struct record *record, int64_t now_ms) {
  (void)record; /* has been taken */
  land(flight_of(fetch), now_ms);
}

static int64_t learned_at_ms(const struct family_value *value) {
  return value->expires_at_ms - value->life_ms;
}

/* Whether a family of the store, which nobody waits for, is better than what is known: not than what still
 * holds and was learned as late. */
static bool is_better(const struct learn_policy *policy, const struct family_value *known,
                      const struct family_value *shared, int64_t now_ms) {
  bool holds = family_state_is_definite(known->state) && known->expires_at_ms > now_ms;
  return worth_of(policy, known, shared, now_ms) == WORTH_ALL &&
         !(holds && learned_at_ms(known) + LATER_MS >= learned_at_ms(shared));
}

enum intake hosts_take(struct hosts *hosts, const struct record *record, int64_t now_ms) {
  struct host *host = cache_find_host(hosts->cache, record->name, strlen(record->name));
  if (!host || host->is_address)
    return INTAKE_UNUSED;
  if (table_get(&hosts->flights, host->node.hash, is_for_host, host))
    return INTAKE_KNOWN; /* or it would find nothing new in the store any more */
  const struct host_facts *before = atomic_load_explicit(&host->facts, memory_order_relaxed);
  struct family_value values[FAMILY_COUNT], shared;
  enum intake intake = INTAKE_EXPIRED;
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    host_facts_unpack(before, family, &values[family]);
    if (!learn_family_shared(hosts->ways->policy, record, family, &hosts->random, &shared) ||
        shared.expires_at_ms <= now_ms)
      continue;
    bool is_taken = is_better(hosts->ways->policy, &values[family], &shared, now_ms);
    if (is_taken)
      values[family] = shared;
    if (intake != INTAKE_TAKEN)
      intake = is_taken ? INTAKE_TAKEN : INTAKE_KNOWN;
  }
  if (intake != INTAKE_TAKEN)
    return intake;
  host_values_agree(values);
  struct host_facts *facts = host_facts_build(values);
  if (!facts)
    return INTAKE_NO_MEMORY;
  cache_put_host(hosts->cache, host, facts, now_ms);
  return INTAKE_TAKEN;
}

/* ---- asking ---- */

/* Whether what is known of a family is not good enough for a wish. */
static bool is_wanted(const struct host_facts *facts, enum family family, const struct hosts_wish *wish,
                      int64_t now_ms) {
  return !facts || wish->refresh || host_facts_until_ms(facts, family, wish->no_stale) <= now_ms ||
         (wish->ahead && facts->refresh_at_ms[family] <= now_ms);
}

static struct host_flight *create_flight(struct hosts *hosts, struct host *host,
                                         const struct hosts_wish *wish) {
  static const struct fetch_calls calls = {suffices, on_shared, on_part, on_done};
  struct host_flight *flight = calloc(1, sizeof(*flight));
  if (!flight)
    return NULL;
  flight->hosts = hosts;
  flight->host = host;
  flight->asked_after = hosts->forgotten.number;
  flight->story = story_ref(wish->story);
  flight->fetch = (struct fetch){.ways = hosts->ways,
                                 .calls = &calls,
                                 .kind = RECORD_HOST,
                                 .name = host->name,
                                 .length = host->length,
                                 .parts = flight->parts,
                                 .part_count = FAMILY_COUNT,
                                 .priority = wish->priority,
                                 .story = wish->story};
  cache_hold_host(host);
  table_put(&hosts->flights, &flight->node, host->node.hash);
  return flight;
}

static struct host_flight *start_flight(struct hosts *hosts, struct host *host, const struct hosts_wish *wish,
                                        int64_t now_ms) {
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  struct host_flight *flight = create_flight(hosts, host, wish);
  if (!flight)
    return NULL;
  unsigned wanted = 0;
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    flight->parts[family].qtype = qtypes[family];
    struct family_value *value = &flight->values[family];
    host_facts_unpack(facts, family, value);
    flight->learned_at_ms[family] = value->expires_at_ms - value->life_ms;
    flight->raw_until_ms[family] = learn_family_raw_until_ms(hosts->ways->policy, value);
    if (is_wanted(facts, family, wish, now_ms))
      wanted |= 1u << family;
  }
  if (fetch_start(&flight->fetch, wanted, !wish->refresh, now_ms) == 0)
    return flight;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if (wanted >> family & 1)
      learn_family_overload(hosts->ways->policy, now_ms, &flight->values[family]);
  publish(flight, now_ms);
  end_flight(flight);
  return NULL;
}

/* A wish meets a flight that is under way. One for a refresh asks the DNS for the family, too, that was left
 * out because it held, or which the store knew. */
static void meet(struct host_flight *flight, const struct hosts_wish *wish) {
  if (flight->story != wish->story)
    story_add(wish->story, "T8", "the addresses of %s are being asked for already: waits for those",
              flight->host->name);
  if (!flight->story)
    flight->fetch.story = flight->story = story_ref(wish->story);
  fetch_promote(&flight->fetch, wish->priority);
  if (wish->refresh)
    fetch_insist(&flight->fetch); /* what cannot be asked stays as it is, which its story says */
}

bool hosts_ask(struct hosts *hosts, struct host *host, const struct hosts_wish *wish, int64_t now_ms,
               struct hosts_wait *wait) {
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  if (host->is_address ||
      (!is_wanted(facts, FAMILY_V6, wish, now_ms) && !is_wanted(facts, FAMILY_V4, wish, now_ms))) {
    explain_host(wish->story, host, now_ms);
    return false;
  }
  struct host_flight *flight =
      (struct host_flight *)table_get(&hosts->flights, host->node.hash, is_for_host, host);
  if (flight)
    meet(flight, wish);
  else
    flight = start_flight(hosts, host, wish, now_ms);
  if (!flight || !wait)
    return flight != NULL;
  wait->flight = flight;
  wait->has_stale = flight->has_stale;
  wait->previous = NULL;
  wait->next = flight->waits;
  if (flight->waits)
    flight->waits->previous = wait;
  flight->waits = wait;
  return true;
}

void hosts_leave(struct hosts_wait *wait) {
  if (!wait->flight)
    return;
  *(wait->previous ? &wait->previous->next : &wait->flight->waits) = wait->next;
  if (wait->next)
    wait->next->previous = wait->previous;
  wait->flight = NULL;
}

void hosts_put_stale(struct hosts *hosts, struct host *host, int64_t now_ms) {
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  struct family_value values[FAMILY_COUNT];
  bool is_changed = false;
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    host_facts_unpack(facts, family, &values[family]);
    if (values[family].expires_at_ms <= now_ms)
      is_changed |= learn_family_stale(hosts->ways->policy, now_ms, &values[family]);
  }
  struct host_facts *renewed = is_changed ? host_facts_build(values) : NULL;
  if (renewed)
    cache_put_host(hosts->cache, host, renewed, now_ms);
}

void hosts_forget(struct hosts *hosts, const struct host *host, unsigned states) {
  if (!host) {
    forgotten_add(&hosts->forgotten, NULL, states);
    return;
  }
  struct host_flight *flight =
      (struct host_flight *)table_get(&hosts->flights, host->node.hash, is_for_host, host);
  if (flight)
    flight->forgotten |= states;
}
