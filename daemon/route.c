#include "route.h"

#include <assert.h>

bool route_is_fresh(const struct domain_facts *facts, enum depth depth, int64_t now_ms) {
  if (facts->expires_at_ms <= now_ms)
    return false;
  if (depth == DEPTH_EXCHANGES || !facts->set)
    return true;
  for (uint16_t i = 0; i < facts->set->count; i++) {
    struct host *host = facts->set->exchanges[i].host;
    if (!host_facts_are_fresh(atomic_load_explicit(&host->facts, memory_order_acquire), now_ms))
      return false;
  }
  return true;
}

/* Whole seconds left, rounded up, so that a fresh TTL of 300 s reads 300. */
static uint32_t seconds_left(int64_t expires_at_ms, int64_t now_ms) {
  if (expires_at_ms <= now_ms)
    return 0;
  int64_t left_ms = expires_at_ms - now_ms;
  return left_ms > (int64_t)UINT32_MAX * 1000 ? UINT32_MAX : (uint32_t)((left_ms + 999) / 1000);
}

static uint32_t lesser(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void swap_indices(uint8_t *a, uint8_t *b) {
  uint8_t kept = *a;
  *a = *b;
  *b = kept;
}

/* Fills `order` with 0 to count-1 of which the first `wanted` are a random choice
 * in random order (Fisher and Yates, stopped early). */
static void shuffle(uint8_t *order, uint8_t first, uint8_t count, uint8_t wanted, struct random *random) {
  for (uint8_t i = 0; i < count; i++)
    order[i] = (uint8_t)(first + i);
  for (uint8_t i = 0; i < wanted && i + 1 < count; i++)
    swap_indices(&order[i], &order[i + random_below(random, (uint32_t)(count - i))]);
}

/* The exchanges in the order to try them: by preference, each level shuffled
 * anew (ROUTING O1, RFC 5321 section 5.1); best first up to the limit. */
static uint8_t order_exchanges(const struct exchange_set *set, struct random *random,
                               uint8_t order[FACTS_EXCHANGES_MAX]) {
  uint16_t at = 0;
  while (at < set->count && at < ROUTE_EXCHANGES_MAX) {
    uint16_t end = at + 1;
    while (end < set->count && set->exchanges[end].preference == set->exchanges[at].preference)
      end++;
    uint8_t count = (uint8_t)(end - at);
    shuffle(order + at, (uint8_t)at, count, count, random);
    at = end;
  }
  return (uint8_t)(set->count < ROUTE_EXCHANGES_MAX ? set->count : ROUTE_EXCHANGES_MAX);
}

/* The facts of one host as this answer sees them. */
struct view {
  enum family_state state[FAMILY_COUNT];
  uint8_t count[FAMILY_COUNT];
};

static struct view view_of(const struct host_facts *facts, int64_t since_ms) {
  struct view view = {{FAMILY_UNKNOWN, FAMILY_UNKNOWN}, {0, 0}};
  for (enum family family = 0; facts && family < FAMILY_COUNT; family++)
    if (facts->expires_at_ms[family] >= since_ms) {
      view.state[family] = facts->state[family];
      view.count[family] = facts->count[family];
    }
  return view;
}

static bool has_state(const struct view *view, enum family_state state) {
  return view->state[FAMILY_V6] == state || view->state[FAMILY_V4] == state;
}

/* Whether the facts count at all: what has expired is not even an alias any more. */
static bool is_known(const struct view *view) {
  return view->state[FAMILY_V6] != FAMILY_UNKNOWN || view->state[FAMILY_V4] != FAMILY_UNKNOWN;
}

/* What a host is worth. One family that fails softly leaves the other usable. */
static enum status judge(const struct view *view, bool is_rejected_alias) {
  if (is_rejected_alias)
    return STATUS_CNAME_REJECTED;
  if (has_state(view, FAMILY_OK))
    return STATUS_OK;
  if (has_state(view, FAMILY_LOOP))
    return STATUS_CNAME_LOOP;
  if (has_state(view, FAMILY_TEMPFAIL) || has_state(view, FAMILY_UNKNOWN))
    return STATUS_TEMPFAIL;
  return has_state(view, FAMILY_NXDOMAIN) ? STATUS_NXDOMAIN : STATUS_NO_ADDRESS;
}

/* Addresses to try: the families alternate, IPv6 first, each shuffled, so that
 * every address of an exchange is first equally often within its family (ROUTING O2). */
static void choose_addresses(struct route_exchange *out, const struct view *view, struct random *random) {
  static const uint8_t packed_length[FAMILY_COUNT] = {PACKED_V6_LENGTH, PACKED_V4_LENGTH};
  const struct host_facts *facts = out->facts;
  uint8_t order[FAMILY_COUNT][FACTS_ADDRESSES_MAX], taken[FAMILY_COUNT] = {0};
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    shuffle(order[family], 0, view->count[family], ROUTE_ADDRESSES_MAX, random);
  unsigned total = (unsigned)view->count[FAMILY_V6] + view->count[FAMILY_V4];
  if (total > ROUTE_ADDRESSES_MAX)
    total = ROUTE_ADDRESSES_MAX;
  enum family family = FAMILY_V6;
  while (out->address_count < total) {
    if (taken[family] < view->count[family])
      out->addresses[out->address_count++] = host_facts_addresses(facts, family) +
                                             (size_t)order[family][taken[family]++] * packed_length[family];
    family = family == FAMILY_V6 ? FAMILY_V4 : FAMILY_V6;
  }
}

/* The life of what an exchange shows: with addresses theirs, else that of the denials. */
static uint32_t exchange_ttl(const struct route_exchange *exchange, const struct view *view, int64_t now_ms) {
  uint32_t ttl_s = UINT32_MAX;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if (exchange->status != STATUS_OK || view->count[family] > 0)
      ttl_s = lesser(ttl_s, seconds_left(exchange->facts->expires_at_ms[family], now_ms));
  return ttl_s;
}

static bool is_soft(enum status status) { return status == STATUS_TEMPFAIL || status == STATUS_CNAME_LOOP; }

/* Resolves one exchange from its host's facts of this moment. */
static void fill_exchange(struct route_exchange *out, const struct route_policy *policy, struct route *route,
                          int64_t since_ms, int64_t now_ms, struct random *random) {
  const struct host_facts *facts = atomic_load_explicit(&out->exchange->host->facts, memory_order_acquire);
  struct view view = view_of(facts, since_ms);
  out->facts = is_known(&view) ? facts : NULL;
  /* The implicit exchange is the end of the domain's own alias chain, which is allowed; what a
   * configured route may name is the operator's. */
  bool is_alias = route->facts->kind == DOMAIN_MX &&
                  ((out->facts && out->facts->expanded_length) || has_state(&view, FAMILY_LOOP));
  if (is_alias)
    route->warnings |= WARNING_MX_IS_CNAME;
  out->status = judge(&view, is_alias && policy->reject_mx_cname);
  out->ttl_s = 0;
  if (out->status == STATUS_OK)
    choose_addresses(out, &view, random);
  /* An address that stands in the MX record itself lives as long as the record. */
  if (out->exchange->host->is_address)
    out->ttl_s = route->mx_ttl_s;
  else if (out->facts)
    out->ttl_s = exchange_ttl(out, &view, now_ms);
}

/* The verdict where every exchange has been looked at (ROUTING V4, V6, V7). */
static void judge_route(struct route *route, const struct route_policy *policy) {
  bool usable = false, soft = false;
  for (uint8_t i = 0; i < route->count; i++) {
    usable |= route->exchanges[i].status == STATUS_OK;
    soft |= is_soft(route->exchanges[i].status);
  }
  if (usable)
    return;
  if (route->implicit) {
    route->verdict = VERDICT_NO_MAIL_HOST;
    route->transient = soft;
  } else if (soft) {
    route->verdict = VERDICT_MX_HOSTS_TEMPFAIL;
  } else {
    route->verdict = VERDICT_MX_HOSTS_NO_ADDRESS;
    route->transient = policy->defer_no_address;
  }
}

/* The answer lives as long as the least in it (ROUTING T9). What failed softly beside
 * usable exchanges is no fact and does not shorten it. */
static void limit_ttl(struct route *route) {
  for (uint8_t i = 0; i < route->count; i++)
    if (route->verdict != VERDICT_ROUTE || !is_soft(route->exchanges[i].status))
      route->ttl_s = lesser(route->ttl_s, route->exchanges[i].ttl_s);
}

static enum verdict verdict_of(const struct domain_facts *facts) {
  switch ((enum domain_kind)facts->kind) {
  case DOMAIN_MX:
  case DOMAIN_ROUTE:
  case DOMAIN_NODATA:
    return VERDICT_ROUTE;
  case DOMAIN_NULL_MX:
    return VERDICT_NULL_MX;
  case DOMAIN_NXDOMAIN:
    return VERDICT_NO_SUCH_DOMAIN;
  case DOMAIN_ALL_INVALID:
    return VERDICT_MX_ALL_INVALID;
  case DOMAIN_FAILED:
    return (enum verdict)facts->cause;
  }
  assert(!"a kind of domain facts");
  return VERDICT_DNS_SERVFAIL;
}

void route_build(const struct domain_facts *facts, enum depth depth, const struct route_policy *policy,
                 int64_t since_ms, int64_t now_ms, struct random *random, struct route *route) {
  route->facts = facts;
  route->verdict = verdict_of(facts);
  route->transient = false;
  route->implicit = facts->kind == DOMAIN_NODATA;
  route->truncated = false;
  route->depth = depth;
  route->mx_ttl_s = route->ttl_s = seconds_left(facts->expires_at_ms, now_ms);
  route->age_s = (uint32_t)((now_ms - facts->stored_at_ms) / 1000);
  route->warnings = facts->warnings;
  route->count = 0;
  if (!facts->set)
    return;
  uint8_t order[FACTS_EXCHANGES_MAX];
  route->count = order_exchanges(facts->set, random, order);
  route->truncated = route->count < facts->set->count;
  for (uint8_t i = 0; i < route->count; i++) {
    struct route_exchange *out = &route->exchanges[i];
    out->exchange = &facts->set->exchanges[order[i]];
    out->status = STATUS_NOT_RESOLVED;
    out->address_count = 0;
    if (depth != DEPTH_EXCHANGES)
      fill_exchange(out, policy, route, since_ms, now_ms, random);
  }
  if (depth == DEPTH_EXCHANGES)
    return;
  judge_route(route, policy);
  limit_ttl(route);
}
