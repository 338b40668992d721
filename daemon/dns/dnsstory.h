/*
 * dnsstory: what happens between us and the upstream servers, as lines of a story.
 *
 * For the person who asked `mxway lookup --explain`. Each of these costs a comparison where there is no
 * story.
 */
#ifndef MXWAY_DAEMON_DNSSTORY_H
#define MXWAY_DAEMON_DNSSTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/story.h"
#include "dns/dnsmsg.h"

/* One question to one server; the texts are lent for the call. */
struct dnsstory_try {
  const char *server, *name, *transport; /* transport: "UDP", "UDP without EDNS" or "TCP" */
  uint16_t qtype;
};

enum dnsstory_again { DNSSTORY_NO_EDNS, DNSSTORY_TRUNCATED, DNSSTORY_BROKEN, DNSSTORY_OTHER_CASE };

/* As many queries as may be are under way. */
void dnsstory_waits(struct story *story, const char *name, uint16_t qtype, unsigned under_way);

/* `server` is asked as well. */
void dnsstory_late(struct story *story, const char *late, const char *server);

/* The same server is asked the same in another way. */
void dnsstory_again(struct story *story, const char *server, enum dnsstory_again again);

/* A reply that is used: `message` read from `bytes`. `is_doubted`: it had the AD bit, which was taken away.
 */
void dnsstory_replied(struct story *story, const struct dnsstory_try *sent, const struct dnsmsg *message,
                      const uint8_t *bytes, size_t length, bool is_doubted, int64_t took_us);

void dnsstory_failed(struct story *story, const struct dnsstory_try *sent, bool was_silent);

#endif
