/*
 * target_kinds: the kinds of targets, and what they share.
 */
#ifndef MXWAY_BENCH_TARGET_KINDS_H
#define MXWAY_BENCH_TARGET_KINDS_H

#include "target.h"

extern const struct target_kind target_mxway, target_dns, target_redis, target_null;

/* The session of a lookup socket, which null speaks too: frames of LookupRequest and LookupReply. */
void *target_mxway_open(const struct target *target, struct engine_connection *connection, uint32_t slots);
void target_mxway_close(void *session);
void target_mxway_ask(void *session, uint32_t slot, const struct query *query);
ssize_t target_mxway_feed(void *session, const uint8_t *bytes, size_t length);
void target_mxway_forget(void *session, uint32_t slot);

/* ---- the answer as --verify files have it ---- */

enum { TARGET_EXCHANGES_MAX = 128, TARGET_ROUTES_SIZE = 64 + TARGET_EXCHANGES_MAX * 264 };

struct target_exchange {
  unsigned preference;
  const char *host;
};

/* Writes "KIND preference host..." with the exchanges sorted; those that are there twice once, with the
 * better preference. Reorders `exchanges`. Requires count <= TARGET_EXCHANGES_MAX, hosts of DNS length. */
void target_build_routes(char routes[TARGET_ROUTES_SIZE], const char *kind, struct target_exchange *exchanges,
                         size_t count);

#endif
