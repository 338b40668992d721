/*
 * health: how well one upstream server does.
 *
 * Smoothed latency as TCP keeps it (RFC 6298 section 2), failures in a row, and demotion: a server that keeps
 * failing is asked last for a while that doubles, and comes back when a probe, a copy of somebody's query, is
 * answered. So nobody's lookup waits to find out whether it is well again.
 *
 * Pure: what happened comes in, with the time. Silence and network errors are failures; a reply, whatever it
 * says, is not. A query that was sent before the last reply came says nothing against the server: only the
 * query, or its reply, was lost. An error of the network is told at once and costs nobody any time, so that
 * the time to the next probe stays at its least: a network that is back is found back. A server whose replies
 * help nobody while those of others do is lame, and demoted like one that fails.
 */
#ifndef MXWAY_DAEMON_HEALTH_H
#define MXWAY_DAEMON_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum health_failure { HEALTH_SILENT, HEALTH_UNREACHABLE };

enum {
  HEALTH_FAILURES_MAX = 3, /* in a row, then it is demoted; nobody is for a single lost packet */
  HEALTH_LATES_MAX = 5,    /* times in a row that another server answered before it */
  HEALTH_LAME_MAX = 8,     /* times in a row that another server knew what it did not */
  HEALTH_DEMOTED_LEAST_MS = 1000,
  HEALTH_DEMOTED_MOST_MS = 60000,
  HEALTH_PROBE_SLOW_MS = 10000, /* a server that is passed over for being slow is measured so often */
  HEALTH_HEDGE_LEAST_MS = 20,
  HEALTH_HEDGE_UNKNOWN_MS = 100,
  HEALTH_HEDGE_MOST_MS = 250,
  HEALTH_TROUBLE_ALL = 1024,
};

struct health {
  bool is_known; /* it has answered once, so that the next two mean something */
  uint32_t srtt_us, rttvar_us;
  int64_t heard_at_ms;             /* when the last reply came */
  uint16_t failures, lates, lames; /* each in a row */
  uint16_t trouble;                /* the smoothed share of failures and lates, of HEALTH_TROUBLE_ALL */
  bool is_demoted, is_probed;      /* is_probed: a probe is under way */
  uint32_t demoted_ms;             /* for how long, the last time */
  int64_t probe_at_ms;
};

/* Of a server that nothing is known of. */
void health_init(struct health *health);

/* A reply came, `rtt_us` after its query. */
void health_on_reply(struct health *health, uint32_t rtt_us, int64_t now_ms);

/* The reply was of use. */
void health_on_help(struct health *health);

/* Each of these three returns whether the server is demoted by it. No reply came in time to what was sent at
 * `sent_at_ms`, or none can. */
bool health_on_failure(struct health *health, enum health_failure failure, int64_t sent_at_ms,
                       int64_t now_ms);

/* Another server, asked later, has answered first. */
bool health_on_late(struct health *health, int64_t sent_at_ms, int64_t now_ms);

/* Its reply was of no use, and that of another was. */
bool health_on_lame(struct health *health, int64_t now_ms);

/* Whether a probe of a server that is passed over is due; if so it counts as under way until the server
 * answers or fails. */
bool health_start_probe(struct health *health, int64_t now_ms);

/* Another server is back: a demoted one is probed at the next opportunity. */
void health_probe_soon(struct health *health, int64_t now_ms);

/* Whether nothing speaks for it: nothing is known, its last query failed or was late, or every fourth is. */
bool health_is_in_doubt(const struct health *health);

/* Whether it is so much slower than `other` that it is passed over: more than twice as slow and 50 ms more.
 */
bool health_is_much_slower(const struct health *health, const struct health *other);

/* How long to wait for its reply before another server is asked as well: beyond what is usual for it, and by
 * a margin however steady it is. */
uint32_t health_hedge_ms(const struct health *health);

#endif
