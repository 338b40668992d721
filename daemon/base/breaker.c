#include "base/breaker.h"

void breaker_init(struct breaker *breaker, uint64_t seed) {
  *breaker = (struct breaker){.random = {.state = seed}, .counted_at_ms = INT64_MIN};
}

bool breaker_on_failure(struct breaker *breaker, int64_t sent_at_ms, int64_t now_ms) {
  if (sent_at_ms < breaker->counted_at_ms)
    return breaker->is_open;
  breaker->counted_at_ms = now_ms;
  if (breaker->failures < BREAKER_FAILURES)
    breaker->failures++;
  if (breaker->failures < BREAKER_FAILURES)
    return false;
  breaker->is_open = true;
  uint32_t doubled_ms = 2 * breaker->pause_ms;
  breaker->pause_ms = doubled_ms < BREAKER_LEAST_MS  ? BREAKER_LEAST_MS
                      : doubled_ms > BREAKER_MOST_MS ? BREAKER_MOST_MS
                                                     : doubled_ms;
  return true;
}

void breaker_on_probe(struct breaker *breaker) {
  breaker->is_open = false;
  breaker->failures = 0;
}

void breaker_on_success(struct breaker *breaker) {
  breaker_on_probe(breaker);
  breaker->pause_ms = 0;
}

uint32_t breaker_wait_ms(struct breaker *breaker) {
  uint32_t wait_ms = breaker->is_open ? breaker->pause_ms : BREAKER_AGAIN_MS;
  /* From nine tenths to eleven tenths. */
  return wait_ms - wait_ms / 10 + random_below(&breaker->random, wait_ms / 5 + 1);
}
