#include "serve/demands.h"

#include <stdio.h>

/* Adds the names and addresses of one repeated field of a request. */
static bool add_texts(struct wishes *wishes, enum wish wish, const char *name, const struct request *request,
                      enum request_field field, char detail[WISHES_DETAIL_SIZE]) {
  struct request_bytes item;
  for (size_t at = 0; request_next(request, field, &at, &item);)
    if (!wishes_add_text(wishes, wish, name, item.bytes, item.length, detail))
      return false;
  return true;
}

static bool add_self_addresses(struct wishes *wishes, const struct request *request,
                               char detail[WISHES_DETAIL_SIZE]) {
  struct request_bytes item;
  for (size_t at = 0; request_next(request, REQUEST_SELF_ADDRESSES, &at, &item);)
    if (!wishes_add_address(wishes, WISH_SELF, "self_addresses", item.bytes, item.length, detail))
      return false;
  return true;
}

/* What is wrong with a number or its company, or NULL. A value that is not known here is refused, never
 * ignored. */
static const char *find_mistake(const struct request *request) {
  if ((unsigned)request->depth > DEPTH_ADDRESSES)
    return "depth: only DEPTH_EXCHANGES and DEPTH_ADDRESSES are implemented";
  if ((unsigned)request->order >= ORDER_COUNT)
    return "order: a value of the enumeration is due";
  if (request->order == ORDER_KEYED && request->order_key.length == 0)
    return "order_key: ORDER_KEYED needs one";
  if (request->order != ORDER_KEYED && request->order_key.length > 0)
    return "order_key: only ORDER_KEYED takes one";
  if ((unsigned)request->family >= FAMILIES_COUNT)
    return "family: a value of the enumeration is due";
  return NULL;
}

/* False with the mistake in `detail`. */
static bool decode(struct wishes *wishes, const struct request *request, char detail[WISHES_DETAIL_SIZE]) {
  wishes_init(wishes);
  wishes->order = (uint8_t)request->order;
  wishes->families = (uint8_t)request->family;
  wishes->primary_only = request->primary_only;
  wishes->max_exchanges = request->max_exchanges < UINT8_MAX ? (uint8_t)request->max_exchanges : UINT8_MAX;
  return wishes_set_key(wishes, "order_key", request->order_key.bytes, request->order_key.length, detail) &&
         add_texts(wishes, WISH_SELF, "self_names", request, REQUEST_SELF_NAMES, detail) &&
         add_self_addresses(wishes, request, detail) &&
         add_texts(wishes, WISH_EXCLUDE, "exclude", request, REQUEST_EXCLUDE, detail);
}

bool demands_read(const struct request *request, union wishes_block *block, char detail[WISHES_DETAIL_SIZE]) {
  const char *mistake = find_mistake(request);
  if (!mistake)
    return decode(&block->wishes, request, detail);
  snprintf(detail, WISHES_DETAIL_SIZE, "%s", mistake);
  return false;
}
