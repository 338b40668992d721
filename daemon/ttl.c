#include "ttl.h"

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

int64_t ttl_failure_ms(const struct ttl_policy *policy) { return (int64_t)policy->failure_s * 1000; }

int64_t ttl_own_failure_ms(void) { return OWN_FAILURE_S * 1000; }
