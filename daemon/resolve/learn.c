#include "resolve/learn.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the MX query ---- */

enum verdict learn_failure(const struct learn_policy *policy, const struct chase_end *end) {
  switch (end->result) {
  case DNS_REPLIED:
    break;
  case DNS_TIMED_OUT:
    return VERDICT_DNS_TIMEOUT;
  case DNS_UNREACHABLE:
    return VERDICT_DNS_NETWORK;
  case DNS_SHED:
    return VERDICT_OVERLOAD;
  }
  switch (end->outcome) {
  case DNSMSG_ANSWER:
  case DNSMSG_NODATA:
  case DNSMSG_NXDOMAIN:
    return 0;
  case DNSMSG_NOTIMP:
    return policy->notimp_as_nodata ? 0 : VERDICT_DNS_REFUSED;
  case DNSMSG_REFUSED:
    return VERDICT_DNS_REFUSED;
  case DNSMSG_SERVFAIL:
  case DNSMSG_OTHER_RCODE:
    return VERDICT_DNS_SERVFAIL;
  case DNSMSG_LOOP:
    return VERDICT_CNAME_LOOP;
  case DNSMSG_FOLLOW:
  case DNSMSG_FORMERR:
  case DNSMSG_MALFORMED:
    return VERDICT_DNS_MALFORMED;
  }
  return VERDICT_DNS_MALFORMED;
}

/* Copies the records with a possible host name; returns how many have none. */
static unsigned take_exchanges(struct domain_value *value, const struct dnsmsg *message,
                               struct story *story) {
  unsigned unusable = 0;
  for (uint8_t i = 0; i < message->mx_count; i++) {
    const struct dnsmsg_mx *mx = &message->mx[i];
    if (!mx->usable) {
      unusable++;
      story_add(story, "V11", "dropped an MX record of preference %u: what it names cannot be a host",
                mx->preference);
      continue;
    }
    struct exchange_value *exchange = &value->exchanges[value->count++];
    exchange->preference = mx->preference;
    exchange->port = 0;
    memcpy(exchange->host, mx->host, sizeof(exchange->host));
  }
  if (message->cut) {
    value->warnings |= WARNING_TOO_MANY_MX;
    story_add(story, "V16", "read only the first %u MX records", message->mx_count);
  }
  return unusable;
}

/* A domain without MX is its own exchange at preference 0. */
static void take_implicit(struct domain_value *value, const char *name, struct story *story) {
  const char *canonical = value->canonical[0] ? value->canonical : name;
  value->kind = DOMAIN_NODATA;
  value->count = 1;
  value->exchanges[0].preference = value->exchanges[0].port = 0;
  memcpy(value->exchanges[0].host, canonical, strlen(canonical) + 1);
  story_add(story, "V3 (RFC 5321 5.1)", "%s has no MX record, so it is its own exchange at preference 0",
            canonical);
}

static uint32_t draw(struct random *random) { return (uint32_t)random_next(random); }

static void tell_life(struct story *story, const struct learn_policy *policy, const struct chase_end *end,
                      int64_t life_ms) {
  int64_t life_s = life_ms / 1000;
  char aliases[48] = "";
  if (end->alias_ttl_s != UINT32_MAX)
    snprintf(aliases, sizeof(aliases), ", no longer than its aliases' %" PRIu32 " s", end->alias_ttl_s);
  const char *zero = life_ms == 0 ? ", that is, for this answer alone" : "";
  if (end->outcome == DNSMSG_ANSWER)
    story_add(story, "T1 (RFC 2181 5.2), T2",
              "the MX facts live %" PRId64 " s: the least TTL is %" PRIu32 ", within %" PRIu32 " to %" PRIu32
              "%s",
              life_s, end->alias_ttl_s, policy->ttl.min_s, policy->ttl.max_s, zero);
  else if (end->message->has_soa)
    story_add(story, "T4 (RFC 2308 5)",
              "the denial lives %" PRId64 " s: the SOA says %" PRIu32 ", at most %" PRIu32 "%s%s", life_s,
              end->message->negative_ttl_s, policy->ttl.max_negative_s, aliases, zero);
  else
    story_add(story, "T4 (RFC 2308 5)", "the denial came without an SOA and lives %" PRId64 " s%s%s", life_s,
              aliases, zero);
}

void learn_domain(const struct learn_policy *policy, const char *name, const struct chase_end *end,
                  int64_t now_ms, struct random *random, struct story *story, struct domain_value *value) {
  const struct dnsmsg *message = end->message;
  int64_t life_ms;
  value->count = value->warnings = value->cause = value->failures = 0;
  value->authentic = end->authentic;
  value->canonical[0] = '\0';
  if (end->is_alias)
    memcpy(value->canonical, end->canonical, strlen(end->canonical) + 1);
  if (end->outcome == DNSMSG_ANSWER) {
    domain_value_normalise(value, take_exchanges(value, message, story), story);
    life_ms = ttl_positive_ms(&policy->ttl, end->alias_ttl_s);
  } else {
    life_ms = ttl_negative_ms(&policy->ttl, message->has_soa, message->negative_ttl_s, end->alias_ttl_s);
    if (end->outcome == DNSMSG_NXDOMAIN)
      value->kind = DOMAIN_NXDOMAIN;
    else
      take_implicit(value, name, story);
  }
  tell_life(story, policy, end, life_ms);
  value->stored_at_ms = now_ms;
  value->expires_at_ms = now_ms + life_ms;
  value->refresh_lead_ms = (uint32_t)ttl_lead_ms(&policy->ttl, life_ms, draw(random));
}

/* ---- failures ---- */

static uint8_t one_more(uint8_t failures) {
  return failures < UINT8_MAX ? (uint8_t)(failures + 1) : failures;
}

void learn_domain_failure(const struct learn_policy *policy, enum verdict failure,
                          const struct domain_facts *before, int64_t now_ms, struct random *random,
                          struct domain_value *value) {
  assert(failure != VERDICT_OVERLOAD);
  value->count = value->warnings = 0;
  value->authentic = false;
  value->refresh_lead_ms = 0;
  value->canonical[0] = '\0';
  value->kind = DOMAIN_FAILED;
  value->cause = (uint8_t)failure;
  value->failures = before && domain_facts_are_kept(before, 0, now_ms) ? before->failures : 0;
  value->stored_at_ms = now_ms;
  if (failure == VERDICT_DNS_NETWORK) { /* ours: not charged to the domain */
    value->expires_at_ms = now_ms + ttl_own_failure_ms();
    return;
  }
  value->failures = one_more(value->failures);
  value->expires_at_ms = now_ms + ttl_failure_ms(&policy->ttl, value->failures, draw(random));
}

/* ---- the address queries ---- */

static enum family_state state_of(const struct learn_policy *policy, const struct chase_end *end) {
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
    return policy->notimp_as_nodata ? FAMILY_NODATA : FAMILY_TEMPFAIL;
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

static bool is_failure(enum family_state state) { return state == FAMILY_TEMPFAIL || state == FAMILY_LOOP; }

/* Whether what was known stays although it was asked for again and failed: a fact, a denial too, whose time
 * is not over (ROUTING T5). */
static bool still_holds(const struct family_value *value, int64_t now_ms) {
  return value->state != FAMILY_UNKNOWN && !is_failure(value->state) && value->expires_at_ms > now_ms;
}

bool learn_family_stale(const struct learn_policy *policy, int64_t now_ms, struct family_value *value) {
  if (!family_is_lasting(value->state, value->life_ms) ||
      value->expires_at_ms + policy->max_stale_ms <= now_ms)
    return false;
  value->stale_until_ms = now_ms + LEARN_STALE_MS;
  value->refresh_at_ms = now_ms + LEARN_RECHECK_MS;
  return true;
}

static void set_life(struct family_value *value, int64_t now_ms, int64_t life_ms) {
  value->life_ms = (uint32_t)life_ms;
  value->expires_at_ms = now_ms + life_ms;
}

bool learn_may_be_stale(const struct learn_policy *policy, const struct domain_facts *facts, int64_t now_ms) {
  return domain_facts_are_lasting(facts) && facts->expires_at_ms + policy->max_stale_ms > now_ms;
}

/* Failures in a row until now: those of long ago do not count. */
static uint8_t failures_before(const struct learn_policy *policy, const struct family_value *value,
                               int64_t now_ms) {
  if (!is_failure(value->state) || value->failures == 0)
    return 0;
  return now_ms - value->expires_at_ms < ttl_failure_ms(&policy->ttl, value->failures, 0) ? value->failures
                                                                                          : 0;
}

/* When a hit refreshes addresses that live so long (ROUTING T7). */
static int64_t refresh_at_ms(const struct learn_policy *policy, const struct family_value *value,
                             int64_t life_ms, struct random *random) {
  return value->state == FAMILY_OK && policy->ttl.prefetch_percent
             ? value->expires_at_ms - ttl_lead_ms(&policy->ttl, life_ms, draw(random))
             : INT64_MAX;
}

static void learn_family_failure(const struct learn_policy *policy, enum family_state state,
                                 const struct chase_end *end, int64_t now_ms, struct random *random,
                                 struct family_value *value) {
  if (end->result == DNS_SHED) {
    learn_family_overload(policy, now_ms, value);
    return;
  }
  bool is_ours = end->result == DNS_UNREACHABLE;
  uint8_t failures = failures_before(policy, value, now_ms);
  if (still_holds(value, now_ms) || (is_ours && value->expires_at_ms > now_ms) ||
      learn_family_stale(policy, now_ms, value))
    return;
  value->state = state;
  value->authentic = false;
  value->count = 0;
  value->expanded[0] = '\0';
  value->refresh_at_ms = INT64_MAX;
  value->stale_until_ms = 0;
  value->failures = failures;
  if (!is_ours)
    value->failures = one_more(failures);
  set_life(value, now_ms,
           is_ours ? ttl_own_failure_ms() : ttl_failure_ms(&policy->ttl, value->failures, draw(random)));
}

bool learn_family(const struct learn_policy *policy, const struct chase_end *end, int64_t now_ms,
                  struct random *random, struct family_value *value) {
  enum family_state state = state_of(policy, end);
  if (is_failure(state)) {
    learn_family_failure(policy, state, end, now_ms, random, value);
    return false;
  }
  value->state = state;
  value->authentic = end->authentic;
  value->failures = 0;
  value->count = 0;
  int64_t life_ms = state == FAMILY_OK ? ttl_positive_ms(&policy->ttl, end->alias_ttl_s)
                                       : ttl_negative_ms(&policy->ttl, end->message->has_soa,
                                                         end->message->negative_ttl_s, end->alias_ttl_s);
  set_life(value, now_ms, life_ms);
  value->stale_until_ms = 0;
  value->refresh_at_ms = refresh_at_ms(policy, value, life_ms, random);
  if (state == FAMILY_OK) {
    value->count = end->message->address_count;
    memcpy(value->addresses, end->message->addresses, value->count * sizeof(value->addresses[0]));
  }
  return true;
}

void learn_family_overload(const struct learn_policy *policy, int64_t now_ms, struct family_value *value) {
  if (value->expires_at_ms > now_ms || is_failure(value->state) || learn_family_stale(policy, now_ms, value))
    return;
  value->state = FAMILY_TEMPFAIL;
  value->authentic = false;
  value->count = 0;
  value->expanded[0] = '\0';
  value->refresh_at_ms = INT64_MAX;
  value->stale_until_ms = 0;
  set_life(value, now_ms, 0);
}

/* ---- the shared store ---- */

uint32_t learn_raw_life_s(const struct chase_end *end) {
  if (end->result != DNS_REPLIED)
    return 0;
  if (end->outcome == DNSMSG_ANSWER)
    return end->alias_ttl_s;
  bool is_denial = end->outcome == DNSMSG_NODATA || end->outcome == DNSMSG_NXDOMAIN;
  if (!is_denial || !end->message->has_soa)
    return 0;
  uint32_t denial_s = end->message->negative_ttl_s;
  return denial_s < end->alias_ttl_s ? denial_s : end->alias_ttl_s;
}

int64_t learn_family_raw_until_ms(const struct learn_policy *policy, const struct family_value *value) {
  uint32_t own_ms = value->state == FAMILY_OK
                        ? policy->ttl.min_s * 1000
                        : (uint32_t)ttl_negative_ms(&policy->ttl, false, 0, UINT32_MAX); /* without an SOA */
  bool is_told = !is_failure(value->state) && value->life_ms > own_ms;
  return is_told ? value->expires_at_ms : value->expires_at_ms - value->life_ms;
}

int64_t learn_stale_until_ms(const struct learn_policy *policy, bool is_lasting, int64_t expires_at_ms) {
  return is_lasting ? expires_at_ms + policy->max_stale_ms : expires_at_ms;
}

/* What lives from `since_ms` to `until_ms` in the store lives so long here. */
static int64_t own_life_ms(const struct learn_policy *policy, bool is_denial, int64_t since_ms,
                           int64_t until_ms) {
  uint32_t life_s = (uint32_t)((until_ms - since_ms) / 1000); /* record bounds it */
  return is_denial ? ttl_negative_ms(&policy->ttl, true, life_s, UINT32_MAX)
                   : ttl_positive_ms(&policy->ttl, life_s);
}

void learn_domain_shared(const struct learn_policy *policy, const struct record *record,
                         struct random *random, struct domain_value *value) {
  const struct domain_value *shared = &record->domain;
  memcpy(value, shared,
         offsetof(struct domain_value, exchanges) + shared->count * sizeof(value->exchanges[0]));
  bool is_denial = value->kind == DOMAIN_NODATA || value->kind == DOMAIN_NXDOMAIN;
  int64_t life_ms = own_life_ms(policy, is_denial, shared->stored_at_ms, shared->expires_at_ms);
  value->cause = value->failures = 0;
  value->expires_at_ms = value->stored_at_ms + life_ms;
  value->refresh_lead_ms = (uint32_t)ttl_lead_ms(&policy->ttl, life_ms, draw(random));
}

bool learn_family_shared(const struct learn_policy *policy, const struct record *record, enum family family,
                         struct random *random, struct family_value *value) {
  const struct family_value *shared = &record->families[family];
  if (shared->state == FAMILY_UNKNOWN)
    return false;
  int64_t learned_at_ms = record->learned_at_ms[family];
  int64_t life_ms = own_life_ms(policy, shared->state != FAMILY_OK, learned_at_ms, shared->expires_at_ms);
  *value = *shared;
  value->failures = 0;
  set_life(value, learned_at_ms, life_ms);
  value->stale_until_ms = 0;
  value->refresh_at_ms = refresh_at_ms(policy, value, life_ms, random);
  return true;
}
