/*
 * loop_until: a test waits for what its loop will do, never for time alone.
 */
#ifndef MXWAY_TESTS_LOOP_UNTIL_H
#define MXWAY_TESTS_LOOP_UNTIL_H

#include <ev.h>

#include "base/clock.h"
#include "cmocka_compat.h"

enum { LOOP_UNTIL_MS = 60000, LOOP_SETTLE_TURNS = 30 };

static inline void loop_on_timer(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)timer, (void)events;
}

/* One turn of the loop, which waits for at most 20 ms. */
static inline void loop_turn(struct ev_loop *loop) {
  ev_timer timer;
  ev_timer_init(&timer, loop_on_timer, 0.02, 0.);
  ev_now_update(loop);
  ev_timer_start(loop, &timer);
  ev_run(loop, EVRUN_ONCE);
  ev_timer_stop(loop, &timer);
}

/* Turns that do not wait: whatever was ready has happened, and what follows from it. */
static inline void loop_settle(struct ev_loop *loop) {
  for (int i = 0; i < LOOP_SETTLE_TURNS; i++)
    ev_run(loop, EVRUN_NOWAIT);
}

/* Turns the loop for a time, so that what must not happen could. */
static inline void loop_for(struct ev_loop *loop, int64_t ms) {
  for (int64_t end_ms = clock_now_ms() + ms; clock_now_ms() < end_ms;)
    loop_turn(loop);
}

#define LOOP_UNTIL(loop, condition)                                                                          \
  do {                                                                                                       \
    int64_t loop_end_ms = clock_now_ms() + LOOP_UNTIL_MS;                                                    \
    while (!(condition)) {                                                                                   \
      assert_true(clock_now_ms() < loop_end_ms);                                                             \
      loop_turn(loop);                                                                                       \
    }                                                                                                        \
  } while (0)

#endif
