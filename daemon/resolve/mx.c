#include "resolve/mx.h"

#include <stddef.h>
#include <string.h>

/* Of two answers so close in time neither is the later: reading two clocks is no exact science. */
enum { LATER_MS = 1000 };

static struct mx *mx_of(struct fetch *fetch) {
  return (struct mx *)((char *)fetch - offsetof(struct mx, fetch));
}

_Static_assert((int)DOMAIN_FAILED < (int)FORGOTTEN_KINDS_MAX, "a bit for every kind");

static bool is_forgotten(const struct mx *mx, enum domain_kind kind) {
  return mx->forgotten >> kind & 1 ||
         forgotten_has(&mx->common->forgotten, mx->asked_after, kind, mx->name->text, mx->name->length);
}

const struct domain_facts *mx_peek(const struct mx *mx) {
  return cache_peek(mx->common->cache, mx->name->text, mx->name->length, mx->hash);
}

/* ---- publishing and sharing ---- */

static const struct domain_facts *put(struct mx *mx) {
  return cache_put(mx->common->cache, mx->name->text, mx->name->length, mx->hash, &mx->common->record.domain);
}

/* Gives the store what the DNS said, with the life it gave; with none there is nothing to share. */
static void share(struct mx *mx, uint32_t raw_life_s, int64_t now_ms) {
  struct record *record = &mx->common->record;
  struct domain_value *value = &record->domain;
  value->expires_at_ms = value->stored_at_ms + raw_life_s * INT64_C(1000);
  record->stale_until_ms = learn_stale_until_ms(mx->common->ways->policy, domain_kind_is_lasting(value->kind),
                                                value->expires_at_ms);
  fetch_share(&mx->fetch, raw_life_s > 0 ? record : NULL, now_ms);
}

/* Publishes what was learned. What a purge has overtaken is published for no longer than this call: only
 * those who wait see it. */
static void publish(struct mx *mx, enum fetch_origin origin, uint32_t raw_life_s, int64_t now_ms) {
  bool is_kept = !is_forgotten(mx, mx->common->record.domain.kind);
  const struct domain_facts *facts = put(mx);
  if (facts && !is_kept) {
    story_add(mx->fetch.story, "T11", "memory was purged meanwhile: this answer is not kept");
    cache_remove(mx->common->cache, mx->name->text, mx->name->length, mx->hash);
  }
  share(mx, is_kept ? raw_life_s : 0, now_ms);
  mx->origin = origin;
  mx->calls->on_facts(mx, facts, now_ms);
}

void mx_put_failure(struct mx *mx, enum verdict failure, int64_t now_ms) {
  struct mx_common *common = mx->common;
  learn_domain_failure(common->ways->policy, failure, mx_peek(mx), now_ms, &common->random,
                       &common->record.domain);
  publish(mx, FETCH_OF_DNS, 0, now_ms);
}

/* ---- the DNS ---- */

static void on_part(struct fetch *fetch, size_t part, const struct chase_end *end, int64_t now_ms) {
  struct mx *mx = mx_of(fetch);
  struct mx_common *common = mx->common;
  (void)part; /* there is one */
  mx->failure = learn_failure(common->ways->policy, end);
  if (mx->failure)
    return;
  learn_domain(common->ways->policy, mx->name->text, end, now_ms, &common->random, fetch->story,
               &common->record.domain);
  mx->raw_life_s = learn_raw_life_s(end);
}

static void on_done(struct fetch *fetch, int64_t now_ms) {
  struct mx *mx = mx_of(fetch);
  if (!mx->failure) {
    publish(mx, FETCH_OF_DNS, mx->raw_life_s, now_ms);
    return;
  }
  fetch_share(fetch, NULL, now_ms);
  mx->calls->on_failure(mx, mx->failure, now_ms);
}

/* ---- the store ---- */

/* Whether facts of the store that hold are better than what memory has: it has none that hold, or they end
 * sooner by more than the time in which a hit refreshes them (ROUTING T7). */
static bool is_gain(const struct domain_value *value, const struct domain_facts *known, int64_t now_ms) {
  return !known || known->kind == DOMAIN_FAILED || known->expires_at_ms <= now_ms ||
         value->expires_at_ms > known->expires_at_ms + known->refresh_lead_ms;
}

/* Whether facts of the store that have expired are to be had in memory: they may be answered stale, and there
 * are none there that are younger. */
static bool is_last_resort(const struct mx *mx, const struct domain_value *value,
                           const struct domain_facts *known, int64_t now_ms) {
  bool is_known = known && known->kind != DOMAIN_FAILED && known->stored_at_ms >= value->stored_at_ms;
  return domain_kind_is_lasting(value->kind) && value->expires_at_ms > value->stored_at_ms && !is_known &&
         value->expires_at_ms + mx->common->ways->policy->max_stale_ms > now_ms;
}

static bool suffices(struct fetch *fetch, const struct record *record, int64_t now_ms) {
  struct mx *mx = mx_of(fetch);
  struct domain_value *value = &mx->common->record.domain;
  const struct domain_facts *known = mx_peek(mx), *expired;
  learn_domain_shared(mx->common->ways->policy, record, &mx->common->random, value);
  if (is_forgotten(mx, value->kind))
    return false;
  if (value->expires_at_ms > now_ms)
    return is_gain(value, known, now_ms);
  if (is_last_resort(mx, value, known, now_ms) && (expired = put(mx))) {
    story_add(fetch->story, "T6", "memory takes what the shared store holds, in case the DNS fails");
    cache_release(mx->common->cache, expired);
    mx->origin = FETCH_OF_STORE;
    mx->calls->on_expired(mx, now_ms);
  }
  return false;
}

static void on_shared(struct fetch *fetch, const struct record *record, int64_t now_ms) {
  struct mx *mx = mx_of(fetch);
  learn_domain_shared(mx->common->ways->policy, record, &mx->common->random, &mx->common->record.domain);
  publish(mx, FETCH_OF_STORE, 0, now_ms);
}

/* Whether what is known still holds, and was learned as late. */
static bool is_as_late(const struct domain_value *value, const struct domain_facts *known, int64_t now_ms) {
  return known && known->kind != DOMAIN_FAILED && known->expires_at_ms > now_ms &&
         known->stored_at_ms + LATER_MS >= value->stored_at_ms;
}

enum intake mx_take(struct mx_common *common, const struct record *record, int64_t now_ms) {
  struct domain_value *value = &common->record.domain;
  size_t length = strlen(record->name);
  uint64_t hash = name_hash(record->name, length);
  const struct domain_facts *known = cache_peek(common->cache, record->name, length, hash);
  learn_domain_shared(common->ways->policy, record, &common->random, value);
  if (value->expires_at_ms <= now_ms)
    return INTAKE_EXPIRED;
  if (!is_gain(value, known, now_ms) || is_as_late(value, known, now_ms))
    return INTAKE_KNOWN;
  const struct domain_facts *facts = cache_put(common->cache, record->name, length, hash, value);
  if (!facts)
    return INTAKE_NO_MEMORY;
  cache_release(common->cache, facts);
  return INTAKE_TAKEN;
}

/* ---- the owner ---- */

void mx_common_init(struct mx_common *common, struct cache *cache, const struct fetch_ways *ways) {
  common->cache = cache;
  common->ways = ways;
  random_init(&common->random);
}

void mx_init(struct mx *mx, struct mx_common *common, const struct mx_calls *calls, const struct name *name,
             uint64_t hash) {
  static const struct fetch_calls fetch_calls = {suffices, on_shared, on_part, on_done};
  *mx = (struct mx){.common = common, .calls = calls, .name = name, .hash = hash};
  mx->part.qtype = DNSMSG_MX;
  mx->fetch = (struct fetch){.ways = common->ways,
                             .calls = &fetch_calls,
                             .kind = RECORD_DOMAIN,
                             .name = name->text,
                             .length = name->length,
                             .parts = &mx->part,
                             .part_count = 1};
}

int mx_start(struct mx *mx, bool from_store, int64_t now_ms) {
  int error = fetch_start(&mx->fetch, 1, from_store, now_ms);
  if (error == 0)
    mx->asked_after = mx->common->forgotten.number;
  return error;
}
