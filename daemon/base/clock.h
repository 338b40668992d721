/*
 * clock: the time. Read here once per wake-up and passed on as `now_ms`.
 */
#ifndef MXWAY_DAEMON_CLOCK_H
#define MXWAY_DAEMON_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in milliseconds: a step of the wall clock does not move it. */
int64_t clock_now_ms(void);

/* The same in microseconds, for what is measured. */
int64_t clock_now_us(void);

/* The wall clock, Unix time in milliseconds, which may jump: for dates that people write, read once, and for
 * what outlives this process. */
int64_t clock_wall_ms(void);

#endif
