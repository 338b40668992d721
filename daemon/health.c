#include "health.h"

enum { MUCH_SLOWER_US = 50000 };

void health_init(struct health *health) { *health = (struct health){.is_known = false}; }

void health_on_reply(struct health *health, uint32_t rtt_us) {
  if (!health->is_known) {
    health->srtt_us = rtt_us;
    health->rttvar_us = rtt_us / 2;
  } else {
    uint32_t off_us = rtt_us > health->srtt_us ? rtt_us - health->srtt_us : health->srtt_us - rtt_us;
    health->rttvar_us = health->rttvar_us - health->rttvar_us / 4 + off_us / 4;
    health->srtt_us = health->srtt_us - health->srtt_us / 8 + rtt_us / 8;
  }
  bool was_silent = health->failures + health->lates > 0;
  health->is_known = true;
  health->is_probed = false;
  health->failures = health->lates = 0;
  /* One that was silent is back; one that is lame has to help first. */
  if (was_silent && health->lames < HEALTH_LAME_MAX)
    health->is_demoted = false;
}

void health_on_help(struct health *health) {
  health->lames = 0;
  health->is_demoted = false;
  health->demoted_ms = 0;
}

/* Demotes for twice as long as the last time; not again while it lasts, whatever else fails. */
static bool demote(struct health *health, int64_t now_ms) {
  if (health->is_demoted && now_ms < health->probe_at_ms)
    return false;
  uint32_t ms = health->demoted_ms ? health->demoted_ms * 2 : HEALTH_DEMOTED_LEAST_MS;
  health->demoted_ms = ms > HEALTH_DEMOTED_MOST_MS ? HEALTH_DEMOTED_MOST_MS : ms;
  health->is_demoted = true;
  health->probe_at_ms = now_ms + health->demoted_ms;
  return true;
}

/* One more in a row; demotes where there are `most`. */
static bool count(struct health *health, uint16_t *in_a_row, uint16_t most, int64_t now_ms) {
  if (*in_a_row < UINT16_MAX)
    ++*in_a_row;
  return *in_a_row >= most && demote(health, now_ms);
}

bool health_on_failure(struct health *health, int64_t now_ms) {
  bool was_in_vain = health->is_probed && health->is_demoted;
  health->is_probed = false;
  if (was_in_vain)
    return demote(health, now_ms);
  return count(health, &health->failures, HEALTH_FAILURES_MAX, now_ms);
}

bool health_on_late(struct health *health, int64_t now_ms) {
  return count(health, &health->lates, HEALTH_LATES_MAX, now_ms);
}

bool health_on_lame(struct health *health, int64_t now_ms) {
  return count(health, &health->lames, HEALTH_LAME_MAX, now_ms);
}

bool health_start_probe(struct health *health, int64_t now_ms) {
  if (health->is_probed || now_ms < health->probe_at_ms)
    return false;
  health->is_probed = true;
  if (!health->is_demoted)
    health->probe_at_ms = now_ms + HEALTH_PROBE_SLOW_MS;
  return true;
}

bool health_is_much_slower(const struct health *health, const struct health *other) {
  return health->is_known && other->is_known &&
         health->srtt_us > (uint64_t)other->srtt_us * 2 + MUCH_SLOWER_US;
}

uint32_t health_hedge_ms(const struct health *health) {
  if (!health->is_known)
    return HEALTH_HEDGE_UNKNOWN_MS;
  uint64_t usual_ms = (health->srtt_us + (uint64_t)health->rttvar_us * 4) / 1000;
  if (health->failures + health->lates > 0 || usual_ms < HEALTH_HEDGE_LEAST_MS)
    return HEALTH_HEDGE_LEAST_MS;
  return usual_ms > HEALTH_HEDGE_MOST_MS ? HEALTH_HEDGE_MOST_MS : (uint32_t)usual_ms;
}
