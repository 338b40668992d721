/*
 * request: a LookupRequest read where it lies.
 *
 * The hand-written reader of the one message of the hit path: no allocation, no copy, one pass. What it
 * accepts protobuf's own readers accept, with the same values (a test and a fuzz target compare it with
 * protobuf-c). Refused are a varint or a field that runs over the end, groups, a field numbered 0, a known
 * field of the wrong wire type. The last of a repeated plain field counts, unknown fields are skipped. What
 * the values mean is api's to judge.
 *
 * Texts and lists point into the bytes given and live as long as they.
 */
#ifndef MXWAY_DAEMON_REQUEST_H
#define MXWAY_DAEMON_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request_bytes {
  const uint8_t *bytes;
  size_t length;
};

/* Numbers are those of the fields of mxway.v1.LookupRequest. */
enum request_field {
  REQUEST_ID = 1,
  REQUEST_DOMAIN,
  REQUEST_DEPTH,
  REQUEST_TIMEOUT_MS,
  REQUEST_ORDER,
  REQUEST_ORDER_KEY,
  REQUEST_FAMILY,
  REQUEST_SELF_NAMES,
  REQUEST_SELF_ADDRESSES,
  REQUEST_EXCLUDE,
  REQUEST_PRIMARY_ONLY,
  REQUEST_MAX_EXCHANGES,
  REQUEST_NO_STALE,
  REQUEST_REFRESH,
  REQUEST_CACHE_ONLY,
  REQUEST_EXPLAIN,
};

struct request {
  struct request_bytes message; /* all of it */
  uint64_t id;
  struct request_bytes domain, order_key;
  int32_t depth, order, family; /* any number: to be judged */
  uint32_t timeout_ms, max_exchanges;
  bool primary_only, no_stale, refresh, cache_only, explain;
  bool has_lists; /* at least one item of a repeated field */
  bool has_id;    /* the id was read, perhaps before what makes this no message */
};

/* Reads a message. False where it is none; the id holds all the same if it was read before that showed. */
bool request_parse(const uint8_t *bytes, size_t length, struct request *request);

/* The next item of a repeated field of a message that was parsed; `*at` is 0 at first and is moved on.
 * False at the end. One pass over the message for all items of a field. */
bool request_next(const struct request *request, enum request_field field, size_t *at,
                  struct request_bytes *item);

#endif
