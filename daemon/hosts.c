#include "hosts.h"

#include <stdlib.h>
#include <string.h>

#include "chase.h"
#include "explain.h"
#include "forgotten.h"
#include "table.h"

_Static_assert((int)FAMILY_LOOP < (int)FORGOTTEN_KINDS_MAX, "a bit for every state");

struct host_flight {
  struct table_node node; /* by host */
  struct hosts *hosts;
  struct host *host; /* held */
  struct hosts_wait *waits;
  unsigned running;     /* of the chases */
  unsigned forgotten;   /* bits of enum family_state: families of these are not kept (ROUTING T11), */
  uint64_t asked_after; /* nor those that orders with later numbers than this mean */
  struct story *story;  /* of the first who wants one, held; or NULL */
  struct chase chases[FAMILY_COUNT];
  struct family_value values[FAMILY_COUNT];
};

struct hosts {
  struct cache *cache;
  struct dns *dns;
  const struct learn_policy *policy;
  uint32_t max_cname_hops;
  struct random random; /* jitter of failures */
  struct table flights;
  struct forgotten forgotten; /* of states of families, of every host */
};

static const uint16_t qtypes[FAMILY_COUNT] = {[FAMILY_V6] = DNSMSG_AAAA, [FAMILY_V4] = DNSMSG_A};

struct hosts *hosts_create(struct cache *cache, struct dns *dns, const struct learn_policy *policy,
                           uint32_t max_cname_hops) {
  struct hosts *hosts = calloc(1, sizeof(*hosts));
  if (!hosts)
    return NULL;
  if (table_init(&hosts->flights) != 0) {
    free(hosts);
    return NULL;
  }
  hosts->cache = cache;
  hosts->dns = dns;
  hosts->policy = policy;
  hosts->max_cname_hops = max_cname_hops;
  random_init(&hosts->random);
  return hosts;
}

static bool is_for_host(const struct table_node *node, const void *key) {
  return ((const struct host_flight *)node)->host == key;
}

static void end_flight(struct host_flight *flight) {
  struct hosts *hosts = flight->hosts;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    chase_cancel(&flight->chases[family]);
  table_remove(&hosts->flights, &flight->node);
  cache_release_host(hosts->cache, flight->host);
  story_unref(flight->story);
  free(flight);
}

void hosts_destroy(struct hosts *hosts) {
  if (!hosts)
    return;
  for (size_t i = 0; i < hosts->flights.capacity; i++)
    while (hosts->flights.buckets[i])
      end_flight((struct host_flight *)hosts->flights.buckets[i]);
  table_fini(&hosts->flights);
  free(hosts);
}

/* ---- one query's end, as facts ---- */

/* A name is an alias for both families or for none: the latest reply says so for the family, too,
 * that was not asked for and still has what it had. */
static void take_alias(struct host_flight *flight, const char *expanded) {
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    char *kept = flight->values[family].expanded;
    kept[0] = '\0';
    strncat(kept, expanded, FACTS_NAME_SIZE - 1);
  }
}

static void learn(struct host_flight *flight, enum family family, const struct chase_end *end,
                  int64_t now_ms) {
  struct hosts *hosts = flight->hosts;
  if (learn_family(hosts->policy, end, now_ms, &hosts->random, &flight->values[family]))
    take_alias(flight, end->is_alias ? end->canonical : "");
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

/* Both queries have ended: publishes, then tells everyone. */
static void land(struct host_flight *flight, int64_t now_ms) {
  expire_forgotten(flight, now_ms);
  publish(flight, now_ms);
  while (flight->waits) {
    struct hosts_wait *wait = flight->waits;
    hosts_leave(wait);
    wait->done(wait->context, now_ms);
  }
  end_flight(flight);
}

static void on_chased(struct host_flight *flight, enum family family, const struct chase_end *end,
                      int64_t now_ms) {
  learn(flight, family, end, now_ms);
  if (--flight->running == 0)
    land(flight, now_ms);
}

static void on_v6(struct chase *chase, const struct chase_end *end, int64_t now_ms) {
  char *chases = (char *)(chase - FAMILY_V6);
  on_chased((struct host_flight *)(chases - offsetof(struct host_flight, chases)), FAMILY_V6, end, now_ms);
}

static void on_v4(struct chase *chase, const struct chase_end *end, int64_t now_ms) {
  char *chases = (char *)(chase - FAMILY_V4);
  on_chased((struct host_flight *)(chases - offsetof(struct host_flight, chases)), FAMILY_V4, end, now_ms);
}

/* ---- asking ---- */

static void start_family(struct host_flight *flight, enum family family, enum dns_priority priority,
                         int64_t now_ms) {
  static chase_done_fn *const on_done[FAMILY_COUNT] = {[FAMILY_V6] = on_v6, [FAMILY_V4] = on_v4};
  struct hosts *hosts = flight->hosts;
  const struct dns_question question = {flight->host->name, qtypes[family], priority, flight->story};
  if (chase_start(&flight->chases[family], hosts->dns, &question, hosts->max_cname_hops, on_done[family]) ==
      0) {
    flight->running++;
    return;
  }
  story_add(flight->story, "L2", "too much to do: the addresses of %s are not asked for", flight->host->name);
  learn_family_overload(hosts->policy, now_ms, &flight->values[family]);
}

/* Whether what is known of a family is not good enough for a wish. */
static bool is_wanted(const struct host_facts *facts, enum family family, const struct hosts_wish *wish,
                      int64_t now_ms) {
  return !facts || wish->refresh || host_facts_until_ms(facts, family, wish->no_stale) <= now_ms ||
         (wish->ahead && facts->refresh_at_ms[family] <= now_ms);
}

static struct host_flight *start_flight(struct hosts *hosts, struct host *host, const struct hosts_wish *wish,
                                        int64_t now_ms) {
  struct host_flight *flight = calloc(1, sizeof(*flight));
  if (!flight)
    return NULL;
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  flight->hosts = hosts;
  flight->host = host;
  flight->asked_after = hosts->forgotten.number;
  flight->story = story_ref(wish->story);
  cache_hold_host(host);
  table_put(&hosts->flights, &flight->node, host->node.hash);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    host_facts_unpack(facts, family, &flight->values[family]);
    if (is_wanted(facts, family, wish, now_ms))
      start_family(flight, family, wish->priority, now_ms);
  }
  if (flight->running > 0)
    return flight;
  publish(flight, now_ms);
  end_flight(flight);
  return NULL;
}

static bool was_asked(const struct host_flight *flight, enum family family) {
  return flight->chases[family].done != NULL;
}

/* A wish meets a flight that is under way. One for a refresh asks for the family, too, that was left out
 * because it held. */
static void meet(struct host_flight *flight, const struct hosts_wish *wish, int64_t now_ms) {
  if (flight->story != wish->story)
    story_add(wish->story, "T8", "the addresses of %s are being asked for already: waits for those",
              flight->host->name);
  if (!flight->story)
    flight->story = story_ref(wish->story);
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if (wish->refresh && !was_asked(flight, family))
      start_family(flight, family, wish->priority, now_ms);
    else
      chase_promote(&flight->chases[family], wish->priority);
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
    meet(flight, wish, now_ms);
  else
    flight = start_flight(hosts, host, wish, now_ms);
  if (!flight || !wait)
    return flight != NULL;
  wait->flight = flight;
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
      is_changed |= learn_family_stale(hosts->policy, now_ms, &values[family]);
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
