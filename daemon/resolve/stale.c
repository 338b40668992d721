#include "resolve/stale.h"

bool stale_is_possible(const struct stale *stale, const struct question *question,
                       const struct domain_facts *facts, int64_t now_ms) {
  return facts && !question->no_stale && !question->refresh && stale->policy->max_stale_ms > 0 &&
         (facts->expires_at_ms > now_ms ? facts->set != NULL
                                        : learn_may_be_stale(stale->policy, facts, now_ms));
}

const struct domain_facts *stale_put(const struct stale *stale, const struct domain_facts *facts,
                                     enum verdict failure, int64_t now_ms) {
  if (!facts || !learn_may_be_stale(stale->policy, facts, now_ms))
    return NULL;
  return cache_put_stale(stale->cache, facts, now_ms + LEARN_STALE_MS, now_ms + LEARN_RECHECK_MS, failure);
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

/* Lets the addresses that have expired be answered; false where no exchange has any then. `facts` are held:
 * what is put may evict or move those that are not. */
static bool put_addresses(const struct stale *stale, const struct domain_facts *facts, int64_t now_ms) {
  for (uint16_t i = 0; i < facts->set->count; i++)
    hosts_put_stale(stale->hosts, facts->set->exchanges[i].host, now_ms);
  return has_route(facts, now_ms);
}

bool stale_answer(const struct stale *stale, const struct question *question, int64_t now_ms,
                  struct answer *answer) {
  const struct domain_facts *facts = question_peek(question, stale->cache);
  if (!stale_is_possible(stale, question, facts, now_ms))
    return false;
  bool is_of_cache = facts != question->pinned;
  if (domain_facts_until_ms(facts, false) <= now_ms)
    facts = stale_put(stale, facts, 0, now_ms);
  else if (is_of_cache)
    cache_hold(facts);
  if (!facts)
    return false;
  bool with_addresses = question->depth != DEPTH_EXCHANGES && facts->set;
  bool is_route = !with_addresses || put_addresses(stale, facts, now_ms);
  if (is_of_cache)
    cache_release(stale->cache, facts); /* still there until the cache is changed */
  if (!is_route)
    return false;
  story_add(question->story, "T6 (RFC 8767)",
            "the DNS is late: answers from what memory holds, although it has expired");
  *answer = (struct answer){.facts = facts, .from_memory = true, .since_ms = now_ms};
  return true;
}

bool stale_has_failed(const struct domain_facts *facts, int64_t now_ms) {
  return facts && facts->kind != DOMAIN_FAILED && facts->cause && facts->expires_at_ms <= now_ms &&
         domain_facts_until_ms(facts, false) - facts->refresh_lead_ms > now_ms;
}
