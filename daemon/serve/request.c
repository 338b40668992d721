#include "serve/request.h"

#include <string.h>

enum { TYPE_VARINT = 0, TYPE_64_BIT = 1, TYPE_BYTES = 2, TYPE_32_BIT = 5, TYPE_BITS = 3 };

/* Octets of a varint: of any, and of a tag or a length. */
enum { VARINT_MAX = 10, SHORT_VARINT_MAX = 5 };

/* One field: its number, and its value as its wire type has it. */
struct field {
  uint32_t number;
  unsigned type;
  uint64_t number_value;
  struct request_bytes bytes_value;
};

static inline bool read_varint(const uint8_t **at, const uint8_t *end, unsigned most, uint64_t *value) {
  const uint8_t *from = *at;
  if (from < end && from[0] < 0x80) {
    *value = from[0];
    *at = from + 1;
    return true;
  }
  uint64_t sum = 0;
  for (unsigned i = 0; i < most && from + i < end; i++) {
    sum |= (uint64_t)(from[i] & 0x7f) << (7 * i);
    if (from[i] < 0x80) {
      *value = sum;
      *at = from + i + 1;
      return true;
    }
  }
  return false;
}

static inline bool read_bytes(const uint8_t **at, const uint8_t *end, struct request_bytes *value) {
  uint64_t length;
  if (!read_varint(at, end, SHORT_VARINT_MAX, &length) || length > (size_t)(end - *at))
    return false;
  *value = (struct request_bytes){*at, (size_t)length};
  *at += length;
  return true;
}

static bool skip(const uint8_t **at, const uint8_t *end, size_t length) {
  if ((size_t)(end - *at) < length)
    return false;
  *at += length;
  return true;
}

static inline bool read_field(const uint8_t **at, const uint8_t *end, struct field *field) {
  uint64_t tag;
  if (!read_varint(at, end, SHORT_VARINT_MAX, &tag))
    return false;
  field->number = (uint32_t)tag >> TYPE_BITS;
  field->type = tag & ((1u << TYPE_BITS) - 1);
  if (field->number == 0) /* there is no such field */
    return false;
  switch (field->type) {
  case TYPE_VARINT:
    return read_varint(at, end, VARINT_MAX, &field->number_value);
  case TYPE_BYTES:
    return read_bytes(at, end, &field->bytes_value);
  case TYPE_32_BIT:
    return skip(at, end, 4);
  case TYPE_64_BIT:
    return skip(at, end, 8);
  default: /* groups, and what is no type */
    return false;
  }
}

static inline unsigned type_of(uint32_t field) {
  switch (field) {
  case REQUEST_DOMAIN:
  case REQUEST_ORDER_KEY:
  case REQUEST_SELF_NAMES:
  case REQUEST_SELF_ADDRESSES:
  case REQUEST_EXCLUDE:
    return TYPE_BYTES;
  default:
    return TYPE_VARINT;
  }
}

static inline void take_field(const struct field *field, struct request *request) {
  switch (field->number) {
  case REQUEST_ID:
    request->id = field->number_value;
    request->has_id = true;
    break;
  case REQUEST_DOMAIN:
    request->domain = field->bytes_value;
    break;
  case REQUEST_DEPTH:
    request->depth = (int32_t)(uint32_t)field->number_value;
    break;
  case REQUEST_TIMEOUT_MS:
    request->timeout_ms = (uint32_t)field->number_value;
    break;
  case REQUEST_ORDER:
    request->order = (int32_t)(uint32_t)field->number_value;
    break;
  case REQUEST_ORDER_KEY:
    request->order_key = field->bytes_value;
    break;
  case REQUEST_FAMILY:
    request->family = (int32_t)(uint32_t)field->number_value;
    break;
  case REQUEST_SELF_NAMES:
  case REQUEST_SELF_ADDRESSES:
  case REQUEST_EXCLUDE:
    request->has_lists = true;
    break;
  case REQUEST_PRIMARY_ONLY:
    request->primary_only = field->number_value != 0;
    break;
  case REQUEST_MAX_EXCHANGES:
    request->max_exchanges = (uint32_t)field->number_value;
    break;
  case REQUEST_NO_STALE:
    request->no_stale = field->number_value != 0;
    break;
  case REQUEST_REFRESH:
    request->refresh = field->number_value != 0;
    break;
  case REQUEST_CACHE_ONLY:
    request->cache_only = field->number_value != 0;
    break;
  case REQUEST_EXPLAIN:
    request->explain = field->number_value != 0;
    break;
  }
}

/* Nearly every message is an id of up to four octets, a domain of less than 128, and perhaps a depth: reads
 * those, where they are there, and returns where the rest begins. */
static inline const uint8_t *read_usual(const uint8_t *at, const uint8_t *end, struct request *request) {
  const uint8_t *from = at + 1;
  if (end - at < 8 || *at != (REQUEST_ID << TYPE_BITS | TYPE_VARINT))
    return at;
  uint64_t id = *from & 0x7f;
  for (unsigned shift = 7; *from++ & 0x80; shift += 7) {
    if (shift > 21)
      return at;
    id |= (uint64_t)(*from & 0x7f) << shift;
  }
  if (from[0] != (REQUEST_DOMAIN << TYPE_BITS | TYPE_BYTES) || from[1] >= 0x80 || from[1] > end - from - 2)
    return at;
  request->id = id;
  request->has_id = true;
  request->domain = (struct request_bytes){from + 2, from[1]};
  from += 2 + from[1];
  if (end - from < 2 || from[0] != (REQUEST_DEPTH << TYPE_BITS | TYPE_VARINT) || from[1] >= 0x80)
    return from;
  request->depth = from[1];
  return from + 2;
}

bool request_parse(const uint8_t *bytes, size_t length, struct request *request) {
  const uint8_t *at, *end = bytes + length;
  struct field field;
  *request = (struct request){.message = {bytes, length}};
  at = read_usual(bytes, end, request);
  while (at < end) {
    if (!read_field(&at, end, &field))
      return false;
    bool is_known = field.number >= REQUEST_ID && field.number <= REQUEST_EXPLAIN;
    if (!is_known)
      continue;
    if (field.type != type_of(field.number))
      return false;
    take_field(&field, request);
  }
  return true;
}

bool request_next(const struct request *request, enum request_field field, size_t *at,
                  struct request_bytes *item) {
  const uint8_t *from = request->message.bytes + *at;
  const uint8_t *end = request->message.bytes + request->message.length;
  struct field found;
  while (from < end && read_field(&from, end, &found))
    if (found.number == (uint32_t)field && found.type == TYPE_BYTES) {
      *at = (size_t)(from - request->message.bytes);
      *item = found.bytes_value;
      return true;
    }
  *at = request->message.length;
  return false;
}
