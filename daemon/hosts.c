#include "hosts.h"

#include <stdlib.h>
#include <string.h>

#include "chase.h"
#include "table.h"

struct host_flight {
  struct table_node node; /* by host */
  struct hosts *hosts;
  struct host *host; /* held */
  struct hosts_wait *waits;
  unsigned running; /* of the chases */
  struct chase chases[FAMILY_COUNT];
  struct family_value values[FAMILY_COUNT];
};

struct hosts {
  struct cache *cache;
  struct dns *dns;
  const struct ttl_policy *policy;
  uint32_t max_cname_hops;
  bool notimp_as_nodata;
  struct table flights;
};

static const uint16_t qtypes[FAMILY_COUNT] = {[FAMILY_V6] = DNSMSG_AAAA, [FAMILY_V4] = DNSMSG_A};

struct hosts *hosts_create(struct cache *cache, struct dns *dns, const struct ttl_policy *policy,
                           uint32_t max_cname_hops, bool notimp_as_nodata) {
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
  hosts->notimp_as_nodata = notimp_as_nodata;
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

static enum family_state state_of(const struct hosts *hosts, const struct chase_end *end) {
  if (end->result != DNS_REPLIED)
    return FAMILY_TEMPFAIL;
  switch (end->outcome) {
  case DNSMSG_ANSWER:
    return FAMILY_OK;
  case DNSMSG_NODATA:
    return FAMILY_NODATA;
  case DNSMSG_NXDOMAIN:
    return FAMILY_NXDOMAIN;
  case DNSMSG_LOOP:
    return FAMILY_LOOP;
  case DNSMSG_NOTIMP:
    return hosts->notimp_as_nodata ? FAMILY_NODATA : FAMILY_TEMPFAIL;
  case DNSMSG_FOLLOW:
  case DNSMSG_FORMERR:
  case DNSMSG_SERVFAIL:
  case DNSMSG_OTHER_RCODE:
  case DNSMSG_REFUSED:
  case DNSMSG_MALFORMED:
    return FAMILY_TEMPFAIL;
  }
  return FAMILY_TEMPFAIL;
}

static int64_t life_of(const struct hosts *hosts, enum family_state state, const struct chase_end *end) {
  switch (state) {
  case FAMILY_OK:
    return ttl_positive_ms(hosts->policy, end->alias_ttl_s);
  case FAMILY_NODATA:
  case FAMILY_NXDOMAIN:
    return ttl_negative_ms(hosts->policy, end->message->has_soa, end->message->negative_ttl_s,
                           end->alias_ttl_s);
  case FAMILY_UNKNOWN:
  case FAMILY_TEMPFAIL:
  case FAMILY_LOOP:
    break;
  }
  return end->result == DNS_UNREACHABLE ? ttl_own_failure_ms() : ttl_failure_ms(hosts->policy);
}

static void take_addresses(struct family_value *value, const struct dnsmsg *message) {
  value->count = message->address_count;
  memcpy(value->addresses, message->addresses, value->count * sizeof(value->addresses[0]));
}

/* A name is an alias for both families or for none: the latest reply says so for the family, too,
 * that was not asked for and still has what it had. */
static void take_alias(struct host_flight *flight, const char *expanded) {
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    char *kept = flight->values[family].expanded;
    kept[0] = '\0';
    strncat(kept, expanded, FACTS_NAME_SIZE - 1);
  }
}

/* Whether what was known may stay although it was asked for again and failed. */
static bool still_holds(const struct family_value *value, int64_t now_ms) {
  return value->state == FAMILY_OK && value->expires_at_ms > now_ms;
}

static void learn(struct host_flight *flight, enum family family, const struct chase_end *end,
                  int64_t now_ms) {
  struct family_value *value = &flight->values[family];
  enum family_state state = state_of(flight->hosts, end);
  if ((state == FAMILY_TEMPFAIL || state == FAMILY_LOOP) && still_holds(value, now_ms))
    return;
  value->state = state;
  value->expires_at_ms = now_ms + life_of(flight->hosts, state, end);
  value->count = 0;
  value->expanded[0] = '\0';
  if (state != FAMILY_TEMPFAIL && state != FAMILY_LOOP)
    take_alias(flight, end->is_alias ? end->canonical : "");
  if (state == FAMILY_OK)
    take_addresses(value, end->message);
}

/* Publishes; without memory the old facts stay, and a waiter sees them for what they are. */
static void publish(struct host_flight *flight, int64_t now_ms) {
  struct host_facts *facts = host_facts_build(flight->values);
  if (facts)
    cache_put_host(flight->hosts->cache, flight->host, facts, now_ms);
}

/* Both queries have ended: publishes, then tells everyone. */
static void land(struct host_flight *flight, int64_t now_ms) {
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

static void start_family(struct host_flight *flight, enum family family, int64_t now_ms) {
  static chase_done_fn *const on_done[FAMILY_COUNT] = {[FAMILY_V6] = on_v6, [FAMILY_V4] = on_v4};
  struct hosts *hosts = flight->hosts;
  const struct dns_question question = {flight->host->name, qtypes[family], DNS_FOR_CLIENT, NULL};
  if (chase_start(&flight->chases[family], hosts->dns, &question, hosts->max_cname_hops, on_done[family]) ==
      0) {
    flight->running++;
    return;
  }
  /* Too much to do is ours, not the host's: nothing is remembered, and nothing good forgotten. */
  if (!still_holds(&flight->values[family], now_ms))
    flight->values[family] = (struct family_value){.state = FAMILY_TEMPFAIL, .expires_at_ms = now_ms};
}

static struct host_flight *start_flight(struct hosts *hosts, struct host *host, bool refresh,
                                        int64_t now_ms) {
  struct host_flight *flight = calloc(1, sizeof(*flight));
  if (!flight)
    return NULL;
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  flight->hosts = hosts;
  flight->host = host;
  cache_hold_host(host);
  table_put(&hosts->flights, &flight->node, host->node.hash);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    host_facts_unpack(facts, family, &flight->values[family]);
    if (refresh || flight->values[family].expires_at_ms <= now_ms)
      start_family(flight, family, now_ms);
  }
  if (flight->running > 0)
    return flight;
  publish(flight, now_ms);
  end_flight(flight);
  return NULL;
}

bool hosts_ask(struct hosts *hosts, struct host *host, bool refresh, int64_t now_ms,
               struct hosts_wait *wait) {
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  if (host->is_address || (!refresh && host_facts_are_fresh(facts, now_ms)))
    return false;
  struct host_flight *flight =
      (struct host_flight *)table_get(&hosts->flights, host->node.hash, is_for_host, host);
  if (!flight)
    flight = start_flight(hosts, host, refresh, now_ms);
  if (!flight)
    return false;
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
