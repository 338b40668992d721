#include "rules/route.h"

#include <assert.h>

static const struct host_facts *facts_of(const struct exchange *exchange) {
  return atomic_load_explicit(&exchange->host->facts, memory_order_acquire);
}

bool route_is_ready(const struct domain_facts *facts, enum depth depth, bool no_stale, int64_t now_ms) {
  if (domain_facts_until_ms(facts, no_stale) <= now_ms)
    return false;
  if (depth == DEPTH_EXCHANGES || !facts->set)
    return true;
  for (uint16_t i = 0; i < facts->set->count; i++)
    if (!host_facts_are_ready(facts_of(&facts->set->exchanges[i]), no_stale, now_ms))
      return false;
  return true;
}

bool route_wants_refresh(const struct domain_facts *facts, enum depth depth, int64_t now_ms) {
  if (domain_facts_want_refresh(facts, now_ms))
    return true;
  if (depth == DEPTH_EXCHANGES || !facts->set)
    return false;
  for (uint16_t i = 0; i < facts->set->count; i++) {
    const struct host_facts *host = facts_of(&facts->set->exchanges[i]);
    if (host && host_facts_want_refresh(host, now_ms))
      return true;
  }
  return false;
}

/* Whole seconds left, rounded up, so that a fresh TTL of 300 s reads 300. */
static uint32_t seconds_left(int64_t expires_at_ms, int64_t now_ms) {
  if (expires_at_ms <= now_ms)
    return 0;
  int64_t left_ms = expires_at_ms - now_ms;
  return left_ms > (int64_t)UINT32_MAX * 1000 ? UINT32_MAX : (uint32_t)((left_ms + 999) / 1000);
}

static uint32_t lesser(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* ---- which exchanges, in which order ---- */

/* How many exchanges stand before the caller's own level; all where he is none of them (ROUTING O7,
 * RFC 5321 section 5.1). */
static uint16_t count_before_self(const struct judge *judge, const struct exchange_set *set) {
  if (!wishes_have(judge->wishes, WISH_SELF) && !judge->policy->self)
    return set->count;
  uint16_t level = 0;
  for (uint16_t i = 0; i < set->count; i++) {
    if (set->exchanges[i].preference != set->exchanges[level].preference)
      level = i;
    if (judge_is_self(judge, &set->exchanges[i])) {
      story_add(judge->story, "O7 (RFC 5321 5.1)",
                "%s is the sender itself: its preference %u and all worse are left out",
                set->exchanges[i].host->name, set->exchanges[i].preference);
      return level;
    }
  }
  return set->count;
}

/* As nobody has looked at it yet. */
static void list_exchange(struct route_exchange *out, const struct exchange *exchange) {
  out->exchange = exchange;
  out->facts = NULL;
  out->status = STATUS_NOT_RESOLVED;
  out->ttl_s = 0;
  out->address_count = 0;
}

/* Lists the exchanges before `end` in the order to try them: by preference, each level in the order
 * wanted (RFC 5321 section 5.1). */
static void list_exchanges(struct route *route, struct judge *judge, uint16_t end, struct random *random) {
  const struct exchange_set *set = route->facts->set;
  bool has_excluded = wishes_have(judge->wishes, WISH_EXCLUDE);
  uint8_t order[FACTS_EXCHANGES_MAX], listed = 0;
  for (uint16_t at = 0, level = 0; at < end; level = at) {
    uint8_t *places = order + listed, count = 0;
    do {
      if (!has_excluded || !judge_is_excluded(judge, &set->exchanges[at]))
        places[count++] = (uint8_t)at;
    } while (++at < end && set->exchanges[at].preference == set->exchanges[level].preference);
    if (count > 1)
      ordering_exchanges(judge->wishes, set, places, count, random);
    listed = (uint8_t)(listed + count);
    if (count > 0 && at < end && judge->wishes && judge->wishes->primary_only) {
      judge->left_out |= LEFT_OUT_BY_PRIMARY_ONLY;
      story_add(judge->story, "O8", "left out what is behind preference %u: the request wants the best",
                set->exchanges[level].preference);
      break;
    }
  }
  for (uint8_t i = 0; i < listed; i++)
    list_exchange(&route->exchanges[i], &set->exchanges[order[i]]);
  route->count = listed;
}

/* What has been refused was told by who refused it. */
static void tell_unusable(const struct judge *judge, const struct route_exchange *out) {
  static const char *const reasons[] = {
      [STATUS_NXDOMAIN] = "its name does not exist",
      [STATUS_NO_ADDRESS] = "it has no address",
      [STATUS_TEMPFAIL] = "its addresses cannot be had now",
      [STATUS_CNAME_LOOP] = "its aliases loop, or are too many",
      [STATUS_FILTERED] = "none of its addresses may be tried",
      [STATUS_INVALID] = NULL,
  };
  if (reasons[out->status])
    story_add(judge->story, "V6", "cannot use %s: %s", out->exchange->host->name, reasons[out->status]);
}

/* Judges one listed exchange; returns its status as a bit. */
static unsigned judge_listed(struct route *route, struct judge *judge, struct route_exchange *out,
                             int64_t now_ms) {
  struct judgement judgement;
  judge_exchange(judge, out->exchange, &judgement);
  out->facts = judgement.facts;
  out->status = judgement.status;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    out->usable[family] = judgement.usable[family];
  /* An address that stands in the MX record itself lives as long as the record. */
  bool is_of_mx = out->exchange->host->is_address && judgement.status != STATUS_NOT_RESOLVED;
  out->ttl_s = is_of_mx          ? route->mx_ttl_s
               : judgement.stale ? ROUTE_STALE_TTL_S
                                 : seconds_left(judgement.expires_at_ms, now_ms);
  route->stale |= judgement.stale;
  if (judgement.is_alias)
    route->warnings |= WARNING_MX_IS_CNAME;
  if (judge->with_addresses)
    route->authenticated &= judgement.authentic;
  if (judge->story)
    tell_unusable(judge, out);
  return 1u << judgement.status;
}

static bool is_usable(enum status status) { return status == STATUS_OK || status == STATUS_NOT_RESOLVED; }

static bool is_soft(enum status status) { return status == STATUS_TEMPFAIL || status == STATUS_CNAME_LOOP; }

/* Keeps at most `limit` exchanges, the best first; those that cannot be used give way to those that
 * can (ROUTING V6, V16). */
static void limit_exchanges(struct route *route, uint8_t limit) {
  uint8_t usable = 0, kept = 0;
  if (route->count <= limit)
    return;
  for (uint8_t i = 0; i < route->count; i++)
    usable += is_usable(route->exchanges[i].status);
  uint8_t usable_room = usable < limit ? usable : limit;
  uint8_t other_room = (uint8_t)(limit - usable_room);
  for (uint8_t i = 0; i < route->count; i++) {
    uint8_t *room = is_usable(route->exchanges[i].status) ? &usable_room : &other_room;
    if (*room == 0)
      continue;
    --*room;
    if (kept != i)
      route->exchanges[kept] = route->exchanges[i];
    kept++;
  }
  route->count = kept;
}

static void apply_limits(struct route *route, const struct judge *judge) {
  uint8_t wanted = judge->wishes ? judge->wishes->max_exchanges : 0, had = route->count;
  bool is_wish = wanted > 0 && wanted <= ROUTE_EXCHANGES_MAX;
  route->truncated = !is_wish && had > ROUTE_EXCHANGES_MAX;
  limit_exchanges(route, is_wish ? wanted : ROUTE_EXCHANGES_MAX);
  if (judge->story && route->count < had)
    story_add(judge->story, is_wish ? "O8" : "V16", "left out %u of %u exchanges: at most %u are %s",
              had - route->count, had, route->count, is_wish ? "wanted" : "answered");
}

/* ---- addresses ---- */

/* One address of each family is never cut; with 32 exchanges these make up the bound exactly. */
static uint8_t count_least(const struct route_exchange *exchange) {
  return (uint8_t)((exchange->usable[FAMILY_V6] != 0) + (exchange->usable[FAMILY_V4] != 0));
}

/* How many addresses there are beyond the least, for the best exchanges first (ROUTING O5). */
static unsigned count_spare(const struct route *route) {
  unsigned spare = ROUTE_ADDRESSES_TOTAL_MAX;
  for (uint8_t i = 0; i < route->count; i++)
    spare -= count_least(&route->exchanges[i]);
  return spare;
}

static void tell_addresses(const struct judge *judge, const struct route_exchange *exchange) {
  int count =
      __builtin_popcount(exchange->usable[FAMILY_V6]) + __builtin_popcount(exchange->usable[FAMILY_V4]);
  if (count > exchange->address_count)
    story_add(judge->story, "O5", "left out %d of %d addresses of %s: the answer has room for %d",
              count - exchange->address_count, count, exchange->exchange->host->name,
              exchange->address_count);
}

static void choose_addresses(struct route *route, const struct judge *judge, struct random *random) {
  /* So few exchanges cannot have too many together. */
  bool is_bounded = route->count * ROUTE_ADDRESSES_MAX <= ROUTE_ADDRESSES_TOTAL_MAX;
  unsigned spare = is_bounded ? ROUTE_ADDRESSES_TOTAL_MAX : count_spare(route);
  for (uint8_t i = 0; i < route->count; i++) {
    struct route_exchange *exchange = &route->exchanges[i];
    if (exchange->status != STATUS_OK)
      continue;
    uint8_t least = count_least(exchange);
    uint8_t most = (uint8_t)lesser(ROUTE_ADDRESSES_MAX, least + spare);
    exchange->address_count = ordering_addresses(judge->wishes, judge->families, exchange->facts,
                                                 exchange->usable, most, random, exchange->addresses);
    if (!is_bounded)
      spare -= exchange->address_count - least;
    if (judge->story)
      tell_addresses(judge, exchange);
  }
}

/* ---- the verdict ---- */

static void set_verdict(struct route *route, enum verdict verdict, bool transient, const char *detail) {
  route->verdict = verdict;
  route->transient = transient;
  route->detail = detail;
}

/* Why there is no route although there might be one without a wish. */
static const char *left_out_text(unsigned left_out) {
  if (left_out & LEFT_OUT_BY_FAMILY)
    return "family_filtered: there are addresses, but of the other family";
  if (left_out & LEFT_OUT_BY_EXCLUDE)
    return "excluded: the request excludes what might be usable";
  return "primary_only: no exchange of the best preference is usable, and the others are not wanted";
}

/* The verdict where every exchange has been looked at (ROUTING V4, V6, V7, O4, O6, O7). `seen` has a bit for
 * each status that one of them has. */
static void judge_route(struct route *route, const struct route_policy *policy, unsigned seen,
                        unsigned left_out, bool is_cut_by_self) {
  const unsigned filtered = 1u << STATUS_FILTERED, soft = 1u << STATUS_TEMPFAIL | 1u << STATUS_CNAME_LOOP;
  if (seen & (1u << STATUS_OK | 1u << STATUS_NOT_RESOLVED))
    return;
  if (seen & soft && route->implicit)
    set_verdict(route, VERDICT_NO_MAIL_HOST, true, "");
  else if (seen & soft)
    set_verdict(route, is_cut_by_self ? VERDICT_PRIMARY_UNRESOLVED : VERDICT_MX_HOSTS_TEMPFAIL, false, "");
  else if (left_out)
    set_verdict(route, VERDICT_NO_ROUTABLE_ADDRESS, true, left_out_text(left_out));
  else if (seen == filtered || (seen & filtered && !is_cut_by_self))
    set_verdict(route, VERDICT_NO_ROUTABLE_ADDRESS, false, "");
  else if (is_cut_by_self)
    set_verdict(route, VERDICT_PRIMARY_UNRESOLVED, false, "");
  else if (route->implicit)
    set_verdict(route, VERDICT_NO_MAIL_HOST, false, "");
  else if (seen == 1u << STATUS_INVALID)
    set_verdict(route, VERDICT_MX_ALL_INVALID, false, "");
  else
    set_verdict(route, VERDICT_MX_HOSTS_NO_ADDRESS, policy->defer_no_address, "");
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

/* ---- the answer ---- */

static void build_from_set(struct route *route, struct judge *judge, const struct route_policy *policy,
                           int64_t now_ms, struct random *random) {
  const struct exchange_set *set = route->facts->set;
  uint16_t end = count_before_self(judge, set);
  if (end == 0) {
    set_verdict(route, VERDICT_LOOP_SELF_BEST, false, "");
    return;
  }
  list_exchanges(route, judge, end, random);
  bool is_plain = !judge->with_addresses && !judge->policy->reject_mx_address; /* nothing to be judged */
  unsigned seen = is_plain && route->count > 0 ? 1u << STATUS_NOT_RESOLVED : 0;
  for (uint8_t i = 0; !is_plain && i < route->count; i++)
    seen |= judge_listed(route, judge, &route->exchanges[i], now_ms);
  judge_route(route, policy, seen, judge->left_out, end < set->count);
  if (route->count > ROUTE_EXCHANGES_MAX || judge->wishes)
    apply_limits(route, judge);
  if (!judge->with_addresses)
    return;
  choose_addresses(route, judge, random);
  limit_ttl(route);
}

static void tell_verdict(const struct route *route, const struct route_request *request) {
  static const char *const orders[] = {
      [ORDER_RANDOM] = "in random order, new for every answer",
      [ORDER_STABLE] = "in the order of their names",
      [ORDER_KEYED] = "in the order that the key of the request gives",
  };
  enum order order = request->wishes ? (enum order)request->wishes->order : ORDER_RANDOM;
  if (route->count > 0)
    story_add(request->story, order == ORDER_RANDOM ? "O1 (RFC 5321 5.1)" : "O3",
              "exchanges of one preference stand %s", orders[order]);
  struct smtp_status smtp = verdict_smtp(route->verdict, route->transient);
  if (route->verdict == VERDICT_ROUTE)
    story_add(request->story, "verdicts", "the verdict is ROUTE with %u exchange%s, good for %u s",
              route->count, route->count == 1 ? "" : "s", route->ttl_s);
  else
    story_add(request->story, "verdicts", "the verdict is %s, %u %s, good for %u s%s%s",
              verdict_name(route->verdict), smtp.code, smtp.enhanced, route->ttl_s,
              *route->detail ? "; " : "", route->detail);
}

void route_build(const struct domain_facts *facts, const struct route_request *request,
                 const struct route_policy *policy, int64_t since_ms, int64_t now_ms, struct random *random,
                 struct route *route) {
  route->facts = facts;
  set_verdict(route, verdict_of(facts), false, "");
  route->implicit = facts->kind == DOMAIN_NODATA;
  route->authenticated = facts->authentic;
  route->truncated = false;
  route->depth = request->depth;
  route->stale = facts->stale_for_ms > 0 && facts->expires_at_ms <= since_ms;
  route->mx_ttl_s = route->stale ? ROUTE_STALE_TTL_S : seconds_left(facts->expires_at_ms, now_ms);
  route->ttl_s = route->mx_ttl_s;
  route->age_s = (uint32_t)((now_ms - facts->stored_at_ms) / 1000);
  route->warnings = facts->warnings;
  route->count = 0;
  if (policy->strict_null_mx_mixed && facts->warnings & WARNING_NULL_MX_MIXED) {
    set_verdict(route, VERDICT_NULL_MX, false, "");
    story_add(request->story, "V9 (RFC 7505 3)",
              "the root stands beside real exchanges: taken for a null MX");
  } else if (facts->set) {
    struct judge judge;
    judge_init(&judge, &policy->judge, request->wishes, request->story);
    judge.domain_facts = facts;
    judge.with_addresses = request->depth != DEPTH_EXCHANGES;
    judge.since_ms = since_ms;
    judge.no_stale = request->no_stale;
    build_from_set(route, &judge, policy, now_ms, random);
  }
  if (request->story)
    tell_verdict(route, request);
}

void route_build_literal(const struct name *name, const struct route_request *request,
                         const struct route_policy *policy, struct route *route) {
  const uint8_t *octets = name->address;
  size_t length = name->address_length;
  enum families families = judge_families(&policy->judge, request->wishes);
  set_verdict(route, VERDICT_ROUTE, false, "");
  route->count = 0;
  if (wishes_have_address(request->wishes, WISH_SELF, octets, length) ||
      wishes_have_address(policy->judge.self, WISH_SELF, octets, length))
    set_verdict(route, VERDICT_LOOP_SELF_BEST, false, "");
  else if (reach_is_dropped(&policy->judge.reach, octets, length))
    set_verdict(route, VERDICT_NO_ROUTABLE_ADDRESS, false, "");
  else if (wishes_have_address(request->wishes, WISH_EXCLUDE, octets, length))
    set_verdict(route, VERDICT_NO_ROUTABLE_ADDRESS, true, left_out_text(LEFT_OUT_BY_EXCLUDE));
  else if (families == (length == 4 ? FAMILIES_V6 : FAMILIES_V4))
    set_verdict(route, VERDICT_NO_ROUTABLE_ADDRESS, true, left_out_text(LEFT_OUT_BY_FAMILY));
}
