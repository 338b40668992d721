/*
 * request_pair: a message read by `request` and by protobuf-c, which must agree.
 */
#ifndef MXWAY_TESTS_REQUEST_PAIR_H
#define MXWAY_TESTS_REQUEST_PAIR_H

#include <assert.h>
#include <string.h>

#include "mxway.pb-c.h"
#include "serve/request.h"

static inline void request_pair_list(const struct request *request, enum request_field field, size_t count,
                                     const ProtobufCBinaryData *items) {
  struct request_bytes item;
  size_t at = 0, found = 0;
  for (; request_next(request, field, &at, &item); found++) {
    assert(found < count && item.length == items[found].len);
    assert(item.length == 0 || memcmp(item.bytes, items[found].data, item.length) == 0);
  }
  assert(found == count);
}

static inline void request_pair_bytes(const struct request_bytes *ours, const ProtobufCBinaryData *theirs) {
  assert(ours->length == theirs->len);
  assert(ours->length == 0 || memcmp(ours->bytes, theirs->data, ours->length) == 0);
}

/* Returns whether both accept it; fails where they differ. protobuf-c takes two things more: a field numbered
 * 0 with a long tag, and a bool of another wire type. */
static inline bool request_pair_check(const uint8_t *bytes, size_t length) {
  struct request ours;
  bool accepts = request_parse(bytes, length, &ours);
  Mxway__V1__LookupRequest *theirs = mxway__v1__lookup_request__unpack(NULL, length, bytes);
  assert(!accepts || theirs);
  if (!accepts) {
    if (theirs)
      mxway__v1__lookup_request__free_unpacked(theirs, NULL);
    return false;
  }
  assert(ours.id == theirs->id);
  request_pair_bytes(&ours.domain, &theirs->domain);
  request_pair_bytes(&ours.order_key, &theirs->order_key);
  assert(ours.depth == (int32_t)theirs->depth && ours.order == (int32_t)theirs->order);
  assert(ours.family == (int32_t)theirs->family);
  assert(ours.timeout_ms == theirs->timeout_ms && ours.max_exchanges == theirs->max_exchanges);
  assert(ours.primary_only == !!theirs->primary_only && ours.no_stale == !!theirs->no_stale);
  assert(ours.refresh == !!theirs->refresh && ours.cache_only == !!theirs->cache_only);
  assert(ours.explain == !!theirs->explain);
  request_pair_list(&ours, REQUEST_SELF_NAMES, theirs->n_self_names, theirs->self_names);
  request_pair_list(&ours, REQUEST_SELF_ADDRESSES, theirs->n_self_addresses, theirs->self_addresses);
  request_pair_list(&ours, REQUEST_EXCLUDE, theirs->n_exclude, theirs->exclude);
  assert(ours.has_lists == (theirs->n_self_names + theirs->n_self_addresses + theirs->n_exclude > 0));
  mxway__v1__lookup_request__free_unpacked(theirs, NULL);
  return true;
}

#endif
