#include "dns/health.h"

enum { MUCH_SLOWER_US = 50000, STEADY_US = 5000, TROUBLE_SHARE = 16, TROUBLE_DOUBT = HEALTH_TROUBLE_ALL / 4 };

void health_init(struct health *health) { *health = (struct health){.is_known = false}; }

/* Demotes for `ms`; not again while it lasts, whatever else fails. */
static bool demote(struct health *health, uint32_t ms, int64_t now_ms) {
  if (health->is_demoted && now_ms < health->probe_at_ms)
    return false;
  health->demoted_ms = ms > HEALTH_DEMOTED_MOST_MS ? HEALTH_DEMOTED_MOST_MS : ms;
  health->is_demoted = true;
  health->probe_at_ms = now_ms + health->demoted_ms;
  return true;
}

/* Twice as long as the last time. */
static uint32_t longer_ms(const struct health *health) {
  return health->demoted_ms ? health->demoted_ms * 2 : HEALTH_DEMOTED_LEAST_MS;
}

void health_on_reply(struct health *health, uint32_t rtt_us, int64_t now_ms) {
  if (!health->is_known) {
    health->srtt_us = rtt_us;
    health->rttvar_us = rtt_us / 2;
  } else {
    uint32_t off_us = rtt_us > health->srtt_us ? rtt_us - health->srtt_us : health->srtt_us - rtt_us;
    health->rttvar_us = health->rttvar_us - health->rttvar_us / 4 + off_us / 4;
    health->srtt_us = health->srtt_us - health->srtt_us / 8 + rtt_us / 8;
  }
  bool was_silent = health->failures + health->lates > 0;
  bool was_probed = health->is_probed;
  health->is_known = true;
  health->is_probed = false;
  health->heard_at_ms = now_ms;
  health->failures = health->lates = 0;
  health->trouble = (uint16_t)(health->trouble - health->trouble / TROUBLE_SHARE);
  /* One that was silent is back; one that is lame has to help first. */
  if (was_silent && health->lames < HEALTH_LAME_MAX)
    health->is_demoted = false;
  if (health->is_demoted && was_probed)
    demote(health, longer_ms(health), now_ms);
}

void health_on_help(struct health *health) {
  health->lames = 0;
  health->is_demoted = false;
  health->demoted_ms = 0;
}

/* One more in a row; whether there are `most`. */
static bool count(uint16_t *in_a_row, uint16_t most) {
  if (*in_a_row < UINT16_MAX)
    ++*in_a_row;
  return *in_a_row >= most;
}

static void note_trouble(struct health *health) {
  health->trouble = (uint16_t)(health->trouble + (HEALTH_TROUBLE_ALL - health->trouble) / TROUBLE_SHARE);
}

bool health_on_failure(struct health *health, enum health_failure failure, int64_t sent_at_ms,
                       int64_t now_ms) {
  uint32_t ms = failure == HEALTH_UNREACHABLE ? HEALTH_DEMOTED_LEAST_MS : longer_ms(health);
  bool was_in_vain = health->is_probed && health->is_demoted;
  health->is_probed = false;
  note_trouble(health);
  if (was_in_vain)
    return demote(health, ms, now_ms);
  return sent_at_ms >= health->heard_at_ms && count(&health->failures, HEALTH_FAILURES_MAX) &&
         demote(health, ms, now_ms);
}

bool health_on_late(struct health *health, int64_t sent_at_ms, int64_t now_ms) {
  note_trouble(health);
  return sent_at_ms >= health->heard_at_ms && count(&health->lates, HEALTH_LATES_MAX) &&
         demote(health, longer_ms(health), now_ms);
}

bool health_on_lame(struct health *health, int64_t now_ms) {
  return count(&health->lames, HEALTH_LAME_MAX) && demote(health, longer_ms(health), now_ms);
}

bool health_start_probe(struct health *health, int64_t now_ms) {
  if (health->is_probed || now_ms < health->probe_at_ms)
    return false;
  health->is_probed = true;
  if (!health->is_demoted)
    health->probe_at_ms = now_ms + HEALTH_PROBE_SLOW_MS;
  return true;
}

void health_probe_soon(struct health *health, int64_t now_ms) {
  if (health->is_demoted && health->probe_at_ms > now_ms)
    health->probe_at_ms = now_ms;
}

bool health_is_in_doubt(const struct health *health) {
  return !health->is_known || health->failures + health->lates > 0 || health->is_demoted ||
         health->trouble > TROUBLE_DOUBT;
}

bool health_is_much_slower(const struct health *health, const struct health *other) {
  return health->is_known && other->is_known &&
         health->srtt_us > (uint64_t)other->srtt_us * 2 + MUCH_SLOWER_US;
}

uint32_t health_hedge_ms(const struct health *health) {
  if (!health->is_known)
    return HEALTH_HEDGE_UNKNOWN_MS;
  uint64_t usual_us = (uint64_t)health->rttvar_us * 4, least_us = health->srtt_us / 4 + STEADY_US;
  uint64_t usual_ms = (health->srtt_us + (usual_us > least_us ? usual_us : least_us)) / 1000;
  if (health->failures + health->lates > 0 || usual_ms < HEALTH_HEDGE_LEAST_MS)
    return HEALTH_HEDGE_LEAST_MS;
  return usual_ms > HEALTH_HEDGE_MOST_MS ? HEALTH_HEDGE_MOST_MS : (uint32_t)usual_ms;
}
