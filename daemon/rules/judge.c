#include "rules/judge.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_wanted(enum families families, enum family family) {
  return families != (family == FAMILY_V6 ? FAMILIES_V4 : FAMILIES_V6);
}

/* ---- the facts of one host as this answer sees them ---- */

struct view {
  const struct host_facts *facts; /* NULL: nothing is known */
  unsigned states;                /* a bit for the enum family_state of each family */
  uint8_t count[FAMILY_COUNT];
};

static const struct view unknown = {NULL, 1u << FAMILY_UNKNOWN, {0, 0}};

/* A denial whose time is over, though it may still be answered, is not definite any more. */
static unsigned state_in_view(const struct host_facts *facts, enum family family, int64_t since_ms) {
  bool is_stale = facts->expires_at_ms[family] < since_ms;
  return is_stale && facts->state[family] != FAMILY_OK ? FAMILY_TEMPFAIL : facts->state[family];
}

/* What has expired is not even an alias any more. */
static inline struct view view_of(const struct judge *judge, const struct exchange *exchange) {
  const struct host_facts *facts = atomic_load_explicit(&exchange->host->facts, memory_order_acquire);
  if (!facts)
    return unknown;
  struct view view = {NULL, 0, {0, 0}};
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    bool holds = host_facts_until_ms(facts, family, judge->no_stale) >= judge->since_ms;
    view.states |= 1u << (holds ? state_in_view(facts, family, judge->since_ms) : FAMILY_UNKNOWN);
    view.count[family] = holds ? facts->count[family] : 0;
  }
  view.facts = view.states != unknown.states ? facts : NULL;
  return view;
}

static bool has_state(const struct view *view, enum family_state state) { return view->states & 1u << state; }

static size_t length_of(enum family family) { return family == FAMILY_V6 ? 16 : 4; }

static const uint8_t *octets_at(const struct host_facts *facts, enum family family, unsigned at) {
  return host_facts_addresses(facts, family) + at * (length_of(family) + 2) + 2;
}

/* ---- names and addresses a caller has listed ---- */

/* The name in the packed field `expanded`. */
static const char *expanded_name(const struct host_facts *facts, size_t *length) {
  const uint8_t *field = host_facts_expanded(facts);
  size_t header = field[1] & 0x80 ? 3 : 2;
  *length = facts->expanded_length - header;
  return (const char *)field + header;
}

static bool lists_name(const struct wishes *wishes, enum wish wish, const struct exchange *exchange,
                       const struct view *view) {
  if (wishes_have_name(wishes, wish, exchange->host->name, exchange->host->length))
    return true;
  if (!view->facts || view->facts->expanded_length == 0)
    return false;
  size_t length;
  const char *expanded = expanded_name(view->facts, &length);
  return wishes_have_name(wishes, wish, expanded, length);
}

static bool lists_address(const struct wishes *wishes, enum wish wish, const struct view *view) {
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    for (uint8_t i = 0; i < view->count[family]; i++)
      if (wishes_have_address(wishes, wish, octets_at(view->facts, family, i), length_of(family)))
        return true;
  return false;
}

/* What may be looked at: an address in the place of a name is there at any depth. */
static struct view view_at_depth(const struct judge *judge, const struct exchange *exchange) {
  if (judge->with_addresses || exchange->host->is_address)
    return view_of(judge, exchange);
  return unknown;
}

static bool is_self(const struct wishes *wishes, const struct judge *judge, const struct exchange *exchange) {
  if (!wishes_have(wishes, WISH_SELF))
    return false;
  struct view view = view_at_depth(judge, exchange);
  const struct domain_facts *domain = judge->domain_facts;
  return lists_name(wishes, WISH_SELF, exchange, &view) || lists_address(wishes, WISH_SELF, &view) ||
         (domain->kind == DOMAIN_NODATA &&
          wishes_have_name(wishes, WISH_SELF, domain->text, domain->name_length));
}

bool judge_is_self(const struct judge *judge, const struct exchange *exchange) {
  return is_self(judge->wishes, judge, exchange) || is_self(judge->policy->self, judge, exchange);
}

bool judge_is_excluded(struct judge *judge, const struct exchange *exchange) {
  if (!wishes_have(judge->wishes, WISH_EXCLUDE))
    return false;
  struct view view = view_at_depth(judge, exchange);
  if (!lists_name(judge->wishes, WISH_EXCLUDE, exchange, &view) &&
      !(exchange->host->is_address && lists_address(judge->wishes, WISH_EXCLUDE, &view)))
    return false;
  judge->left_out |= LEFT_OUT_BY_EXCLUDE;
  story_add(judge->story, "O8", "left out %s: the request excludes it", exchange->host->name);
  return true;
}

/* ---- which addresses may be tried ---- */

static void tell_address(const struct judge *judge, const char *rule, const struct exchange *exchange,
                         enum family family, const uint8_t *octets, const char *why) {
  char text[INET6_ADDRSTRLEN];
  if (!judge->story)
    return;
  inet_ntop(family == FAMILY_V6 ? AF_INET6 : AF_INET, octets, text, sizeof(text));
  story_add(judge->story, rule, "left out %s of %s: %s", text, exchange->host->name, why);
}

/* Of the addresses in `odd` those that mail cannot go to (ROUTING O6). An address in a configured route is
 * the operator's own word. */
static uint32_t find_unreachable(const struct judge *judge, const struct exchange *exchange,
                                 const struct host_facts *facts, enum family family, uint32_t odd) {
  uint32_t dropped = 0;
  if (judge->domain_facts->kind == DOMAIN_ROUTE && exchange->host->is_address)
    return 0;
  for (; odd; odd &= odd - 1) {
    unsigned at = (unsigned)__builtin_ctz(odd);
    const uint8_t *octets = octets_at(facts, family, at);
    if (!reach_is_dropped(&judge->policy->reach, octets, length_of(family)))
      continue;
    dropped |= UINT32_C(1) << at;
    tell_address(judge, "O6", exchange, family, octets, reach_text(reach_of(octets, length_of(family))));
  }
  return dropped;
}

static uint32_t find_excluded(const struct judge *judge, const struct exchange *exchange,
                              const struct host_facts *facts, enum family family, uint32_t usable) {
  uint32_t dropped = 0;
  for (; usable; usable &= usable - 1) {
    unsigned at = (unsigned)__builtin_ctz(usable);
    const uint8_t *octets = octets_at(facts, family, at);
    if (!wishes_have_address(judge->wishes, WISH_EXCLUDE, octets, length_of(family)))
      continue;
    dropped |= UINT32_C(1) << at;
    tell_address(judge, "O8", exchange, family, octets, "the request excludes it");
  }
  return dropped;
}

/* What mail cannot go to is nobody's choice and is dropped first; then what the caller does not want. */
static uint32_t find_usable(struct judge *judge, const struct exchange *exchange, const struct view *view,
                            enum family family) {
  uint32_t usable = host_facts_bits(view->count[family]);
  uint32_t odd = usable ? usable & view->facts->odd[family] : 0;
  if (odd)
    usable &= ~find_unreachable(judge, exchange, view->facts, family, odd);
  if (usable && wishes_have(judge->wishes, WISH_EXCLUDE)) {
    uint32_t excluded = find_excluded(judge, exchange, view->facts, family, usable);
    usable &= ~excluded;
    if (excluded)
      judge->left_out |= LEFT_OUT_BY_EXCLUDE;
  }
  if (!usable || is_wanted(judge->families, family))
    return usable;
  judge->left_out |= LEFT_OUT_BY_FAMILY;
  story_add(judge->story, "O4", "left out the %s addresses of %s: that family is not wanted",
            family == FAMILY_V6 ? "IPv6" : "IPv4", exchange->host->name);
  return 0;
}

/* ---- the judgement ---- */

/* What a host without a usable address is worth. A family that failed softly might have had one, even
 * one that is not wanted: nothing definite is said then. */
static enum status status_without_address(const struct view *view) {
  if (has_state(view, FAMILY_LOOP))
    return STATUS_CNAME_LOOP;
  if (has_state(view, FAMILY_TEMPFAIL) || has_state(view, FAMILY_UNKNOWN))
    return STATUS_TEMPFAIL;
  if (view->count[FAMILY_V6] + view->count[FAMILY_V4] > 0)
    return STATUS_FILTERED;
  return has_state(view, FAMILY_NXDOMAIN) ? STATUS_NXDOMAIN : STATUS_NO_ADDRESS;
}

/* The life of what an exchange shows: with addresses theirs, else that of everything. */
static int64_t find_expiry(const struct judgement *judgement) {
  int64_t expires_at_ms = INT64_MAX;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if ((judgement->status != STATUS_OK || judgement->usable[family]) &&
        judgement->facts->expires_at_ms[family] < expires_at_ms)
      expires_at_ms = judgement->facts->expires_at_ms[family];
  return expires_at_ms;
}

/* The implicit exchange is the end of the domain's own alias chain, which is allowed; what a configured route
 * may name is the operator's. */
static bool is_bad_alias(const struct judge *judge, const struct view *view) {
  return judge->domain_facts->kind == DOMAIN_MX &&
         ((view->facts && view->facts->expanded_length) || has_state(view, FAMILY_LOOP));
}

static void judge_addresses(struct judge *judge, const struct exchange *exchange,
                            struct judgement *judgement) {
  struct view view = view_of(judge, exchange);
  judgement->facts = view.facts;
  judgement->is_alias = is_bad_alias(judge, &view);
  if (judgement->is_alias && judge->policy->reject_mx_cname) {
    judgement->status = STATUS_CNAME_REJECTED;
    story_add(judge->story, "V13 (RFC 2181 10.3)", "refused %s: it is an alias", exchange->host->name);
  } else {
    for (enum family family = 0; family < FAMILY_COUNT; family++)
      judgement->usable[family] = find_usable(judge, exchange, &view, family);
    judgement->status = judgement->usable[FAMILY_V6] | judgement->usable[FAMILY_V4]
                            ? STATUS_OK
                            : status_without_address(&view);
  }
  if (!view.facts)
    return;
  judgement->expires_at_ms = find_expiry(judgement);
  judgement->stale = judgement->status == STATUS_OK && judgement->expires_at_ms < judge->since_ms;
  judgement->authentic = (view.facts->authentic[FAMILY_V6] || judge->families == FAMILIES_V4) &&
                         (view.facts->authentic[FAMILY_V4] || judge->families == FAMILIES_V6);
}

/* Nearly every judgement at one glance: an ordinary caller and a host with addresses, nothing odd about
 * them. Says what judge_addresses would say, or false. */
static bool judge_plain(const struct judge *judge, const struct host_facts *facts,
                        struct judgement *judgement) {
  if (!judge->is_plain || !facts || !facts->is_plain || facts->plain_until_ms < judge->since_ms)
    return false;
  judgement->status = STATUS_OK;
  judgement->is_alias = judgement->stale = false;
  judgement->authentic = facts->are_authentic;
  judgement->facts = facts;
  judgement->usable[FAMILY_V6] = host_facts_bits(facts->count[FAMILY_V6]);
  judgement->usable[FAMILY_V4] = host_facts_bits(facts->count[FAMILY_V4]);
  judgement->expires_at_ms = facts->given_until_ms;
  return true;
}

void judge_exchange(struct judge *judge, const struct exchange *exchange, struct judgement *judgement) {
  const struct host *host = exchange->host;
  bool is_refused =
      host->is_address && judge->policy->reject_mx_address && judge->domain_facts->kind != DOMAIN_ROUTE;
  if (!is_refused && judge->with_addresses &&
      judge_plain(judge, atomic_load_explicit(&host->facts, memory_order_acquire), judgement))
    return;
  *judgement = (struct judgement){.status = STATUS_NOT_RESOLVED, .expires_at_ms = INT64_MIN};
  if (is_refused) {
    judgement->status = STATUS_INVALID;
    judgement->authentic = true;
    story_add(judge->story, "V12 (RFC 1035 3.3.9)", "refused %s: an address in the place of a name",
              host->name);
  } else if (judge->with_addresses) {
    judge_addresses(judge, exchange, judgement);
  }
}
