/*
 * demands: what a request asks for beyond the routes of a name, judged, and made a block of wishes.
 *
 * A value that is not known here is refused with the name of its field, never ignored. Most requests ask for
 * nothing more: that is seen at one glance, because this is the hit path.
 *
 * Pure; no allocation. Cost: one pass over the message for each list of wishes.
 */
#ifndef MXWAY_DAEMON_DEMANDS_H
#define MXWAY_DAEMON_DEMANDS_H

#include <stdbool.h>

#include "rules/route.h"
#include "rules/wishes.h"
#include "serve/request.h"

/* Whether a request asks for nothing but a name, at some depth. Then there is nothing to read. */
static inline bool demands_are_none(const struct request *request) {
  bool has_wishes = request->order_key.length | (unsigned)request->order | (unsigned)request->family |
                    request->primary_only | request->max_exchanges | request->has_lists;
  return !has_wishes && (unsigned)request->depth <= DEPTH_ADDRESSES;
}

/* Makes a block of what the caller wishes. False where that is refused: `detail` is a sentence that begins
 * with the field. */
bool demands_read(const struct request *request, union wishes_block *block, char detail[WISHES_DETAIL_SIZE]);

#endif
