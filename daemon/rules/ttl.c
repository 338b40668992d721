#include "rules/ttl.h"

enum { NO_SOA_S = 5, OWN_FAILURE_S = 1 };

static uint32_t lesser(uint32_t a, uint32_t b) { return a < b ? a : b; }

int64_t ttl_positive_ms(const struct ttl_policy *policy, uint32_t ttl_s) {
  uint32_t life_s = lesser(ttl_s, policy->max_s);
  return (int64_t)(life_s < policy->min_s ? policy->min_s : life_s) * 1000;
}

int64_t ttl_negative_ms(const struct ttl_policy *policy, int has_soa, uint32_t negative_s, uint32_t alias_s) {
  uint32_t life_s = has_soa ? negative_s : NO_SOA_S;
  return (int64_t)lesser(lesser(life_s, alias_s), policy->max_negative_s) * 1000;
}

/* Between -`percent` and +`percent` of `life_ms`; nothing for a `draw` of 0. */
static int64_t jitter_ms(int64_t life_ms, uint32_t percent, uint32_t draw) {
  return life_ms * percent / 100 * (int32_t)draw / (INT64_C(1) << 31);
}

int64_t ttl_failure_ms(const struct ttl_policy *policy, unsigned failures, uint32_t draw) {
  int64_t most_ms = (int64_t)policy->max_failure_s * 1000;
  int64_t life_ms = (int64_t)policy->failure_s * 1000;
  for (unsigned i = 1; i < failures && life_ms < most_ms; i++)
    life_ms *= 2;
  if (life_ms > most_ms)
    life_ms = most_ms;
  life_ms += jitter_ms(life_ms, policy->failure_jitter_percent, draw);
  return life_ms > most_ms ? most_ms : life_ms;
}

int64_t ttl_lead_ms(const struct ttl_policy *policy, int64_t life_ms, uint32_t draw) {
  int64_t most_ms = life_ms * policy->prefetch_percent / 100 * 3 / 2;
  return most_ms - (most_ms * (int64_t)(draw >> 16) / 3 >> 15);
}

int64_t ttl_own_failure_ms(void) { return OWN_FAILURE_S * 1000; }
