#include "cache/octets.h"

#include <assert.h>
#include <string.h>

enum { LABEL_MAX = 63, TEXT_MAX = 255, UNKNOWN_BYTES = 1 + 8 + 8 + 1 };

#define WALL_MAX_MS (UINT64_C(1) << 52)

/* 0 has no place. */
static const uint8_t number_of_kind[] = {
    [DOMAIN_MX] = 1,       [DOMAIN_NULL_MX] = 2,     [DOMAIN_NODATA] = 3,
    [DOMAIN_NXDOMAIN] = 4, [DOMAIN_ALL_INVALID] = 5, [DOMAIN_FAILED] = 0,
};
static const uint8_t number_of_state[] = {
    [FAMILY_UNKNOWN] = 0,  [FAMILY_OK] = 1,       [FAMILY_NODATA] = 2,
    [FAMILY_NXDOMAIN] = 3, [FAMILY_TEMPFAIL] = 0, [FAMILY_LOOP] = 0,
};

static const size_t octets_of[FAMILY_COUNT] = {[FAMILY_V6] = 16, [FAMILY_V4] = 4};

bool octets_has_kind(enum domain_kind kind) { return number_of_kind[kind] != 0; }

bool octets_is_definite(enum family_state state) { return number_of_state[state] != 0; }

bool octets_is_life(int64_t learned_at_ms, int64_t expires_at_ms) {
  return learned_at_ms <= expires_at_ms && expires_at_ms - learned_at_ms <= OCTETS_LIFE_MAX_S * INT64_C(1000);
}

/* ---- writing ---- */

/* Room for the next `length` octets, or NULL. */
static uint8_t *take_room(struct octets_writer *writer, size_t length) {
  if (!writer->is_good || (size_t)(writer->end - writer->at) < length) {
    writer->is_good = false;
    return NULL;
  }
  uint8_t *room = writer->at;
  writer->at += length;
  return room;
}

void octets_put_number(struct octets_writer *writer, uint64_t value, size_t octets) {
  uint8_t *at = take_room(writer, octets);
  for (size_t i = 0; at && i < octets; i++, value >>= 8)
    at[i] = (uint8_t)value;
}

void octets_put_bytes(struct octets_writer *writer, const void *bytes, size_t length) {
  uint8_t *at = take_room(writer, length);
  if (at && length > 0)
    memcpy(at, bytes, length);
}

void octets_put_text(struct octets_writer *writer, const char *text, size_t length) {
  assert(length <= TEXT_MAX);
  octets_put_number(writer, length, 1);
  octets_put_bytes(writer, text, length);
}

void octets_put_time(struct octets_writer *writer, int64_t at_ms, int64_t ahead_ms) {
  octets_put_number(writer, (uint64_t)(at_ms - ahead_ms), 8);
}

void octets_put_kind(struct octets_writer *writer, enum domain_kind kind) {
  assert(octets_has_kind(kind));
  octets_put_number(writer, number_of_kind[kind], 1);
}

void octets_put_exchange(struct octets_writer *writer, uint16_t preference, const char *host, size_t length) {
  octets_put_number(writer, preference, 2);
  octets_put_text(writer, host, length);
}

static void put_addresses(struct octets_writer *writer, enum family family,
                          const struct family_value *value) {
  uint8_t count = value->state == FAMILY_OK ? value->count : 0;
  octets_put_number(writer, count, 1);
  for (uint8_t i = 0; i < count; i++)
    octets_put_bytes(writer, value->addresses[i], octets_of[family]);
}

void octets_put_family(struct octets_writer *writer, enum family family, const struct family_value *value,
                       int64_t ahead_ms) {
  octets_put_number(writer, number_of_state[value->state], 1);
  if (!octets_is_definite(value->state)) {
    octets_put_bytes(writer, (const uint8_t[UNKNOWN_BYTES]){0}, UNKNOWN_BYTES);
    return;
  }
  octets_put_number(writer, value->authentic, 1);
  octets_put_time(writer, value->expires_at_ms - value->life_ms, ahead_ms);
  octets_put_time(writer, value->expires_at_ms, ahead_ms);
  put_addresses(writer, family, value);
}

/* ---- reading ---- */

const uint8_t *octets_get_bytes(struct octets_reader *reader, size_t length) {
  if (!reader->is_good || (size_t)(reader->end - reader->at) < length) {
    reader->is_good = false;
    return NULL;
  }
  const uint8_t *bytes = reader->at;
  reader->at += length;
  return bytes;
}

uint64_t octets_get_number(struct octets_reader *reader, size_t octets) {
  uint64_t value = 0;
  const uint8_t *bytes = octets_get_bytes(reader, octets);
  for (size_t i = octets; bytes && i > 0; i--)
    value = value << 8 | bytes[i - 1];
  return value;
}

bool octets_get_bool(struct octets_reader *reader) {
  uint64_t value = octets_get_number(reader, 1);
  if (value > 1)
    reader->is_good = false;
  return value == 1;
}

int64_t octets_get_time(struct octets_reader *reader, int64_t ahead_ms) {
  uint64_t wall_ms = octets_get_number(reader, 8);
  if (wall_ms > WALL_MAX_MS)
    reader->is_good = false;
  return reader->is_good ? (int64_t)wall_ms + ahead_ms : 0;
}

bool octets_is_name(const char *text, size_t length) {
  size_t label_length = 0;
  if (length >= FACTS_NAME_SIZE)
    return false;
  for (size_t i = 0; i < length; i++) {
    uint8_t octet = (uint8_t)text[i];
    if (octet == '.' && label_length > 0) {
      label_length = 0;
      continue;
    }
    bool is_upper = (uint8_t)(octet - 'A') < 26;
    if (octet <= 0x20 || octet >= 0x7f || octet == '\\' || octet == '.' || is_upper ||
        ++label_length > LABEL_MAX)
      return false;
  }
  return label_length > 0;
}

void octets_get_name(struct octets_reader *reader, bool may_be_empty, char name[FACTS_NAME_SIZE]) {
  size_t length = (size_t)octets_get_number(reader, 1);
  const char *text = (const char *)octets_get_bytes(reader, length);
  name[0] = '\0';
  if (!text || !(octets_is_name(text, length) || (may_be_empty && length == 0))) {
    reader->is_good = false;
    return;
  }
  memcpy(name, text, length);
  name[length] = '\0';
}

enum domain_kind octets_get_kind(struct octets_reader *reader) {
  uint64_t number = octets_get_number(reader, 1);
  for (size_t kind = 0; number > 0 && kind < sizeof(number_of_kind); kind++)
    if (number_of_kind[kind] == number)
      return (enum domain_kind)kind;
  reader->is_good = false;
  return DOMAIN_FAILED;
}

static enum family_state get_state(struct octets_reader *reader) {
  uint64_t number = octets_get_number(reader, 1);
  for (size_t state = 0; state < sizeof(number_of_state); state++)
    if (number_of_state[state] == number)
      return (enum family_state)state;
  reader->is_good = false;
  return FAMILY_UNKNOWN;
}

uint16_t octets_get_warnings(struct octets_reader *reader) {
  uint16_t warnings = (uint16_t)octets_get_number(reader, 2);
  if (warnings & ~WARNING_ALL)
    reader->is_good = false;
  return warnings;
}

/* By preference, then by name, no host twice. */
static bool are_in_order(const struct domain_value *value) {
  for (uint16_t i = 1; i < value->count; i++) {
    const struct exchange_value *before = &value->exchanges[i - 1], *exchange = &value->exchanges[i];
    int order = (int)before->preference - (int)exchange->preference;
    if (order > 0 || (order == 0 && strcmp(before->host, exchange->host) >= 0))
      return false;
    for (uint16_t j = 0; j < i; j++)
      if (strcmp(value->exchanges[j].host, exchange->host) == 0)
        return false;
  }
  return true;
}

static bool has_right_exchanges(const char *name, const struct domain_value *value) {
  const char *canonical = value->canonical[0] ? value->canonical : name;
  switch (value->kind) {
  case DOMAIN_MX:
    return value->count > 0 && are_in_order(value);
  case DOMAIN_NODATA:
    return value->count == 1 && value->exchanges[0].preference == 0 &&
           strcmp(value->exchanges[0].host, canonical) == 0;
  case DOMAIN_NULL_MX:
  case DOMAIN_NXDOMAIN:
  case DOMAIN_ALL_INVALID:
    return value->count == 0;
  case DOMAIN_FAILED:
  case DOMAIN_ROUTE:
    break;
  }
  return false;
}

void octets_get_exchanges(struct octets_reader *reader, const char *name, struct domain_value *value) {
  uint64_t count = octets_get_number(reader, 2);
  value->count = 0;
  if (count > FACTS_EXCHANGES_MAX)
    reader->is_good = false;
  while (reader->is_good && value->count < count) {
    struct exchange_value *exchange = &value->exchanges[value->count++];
    exchange->port = 0;
    exchange->preference = (uint16_t)octets_get_number(reader, 2);
    octets_get_name(reader, false, exchange->host);
  }
  reader->is_good = reader->is_good && has_right_exchanges(name, value);
}

static void get_addresses(struct octets_reader *reader, enum family family, struct family_value *value) {
  uint64_t count = octets_get_number(reader, 1);
  if (count > FACTS_ADDRESSES_MAX || (count > 0) != (value->state == FAMILY_OK))
    reader->is_good = false;
  while (reader->is_good && value->count < count) {
    const uint8_t *bytes = octets_get_bytes(reader, octets_of[family]);
    if (bytes)
      memcpy(value->addresses[value->count++], bytes, octets_of[family]);
  }
}

/* The rest of a family of which nothing is known. */
static void get_unknown(struct octets_reader *reader) {
  const uint8_t *bytes = octets_get_bytes(reader, UNKNOWN_BYTES);
  if (bytes && memcmp(bytes, (const uint8_t[UNKNOWN_BYTES]){0}, UNKNOWN_BYTES) != 0)
    reader->is_good = false;
}

void octets_get_family(struct octets_reader *reader, enum family family, int64_t ahead_ms,
                       struct family_value *value) {
  value->count = value->failures = 0;
  value->authentic = false;
  value->life_ms = 0;
  value->expires_at_ms = INT64_MIN;
  value->stale_until_ms = value->refresh_at_ms = 0;
  value->state = get_state(reader);
  if (value->state == FAMILY_UNKNOWN) {
    get_unknown(reader);
    return;
  }
  value->authentic = octets_get_bool(reader);
  int64_t learned_at_ms = octets_get_time(reader, ahead_ms),
          expires_at_ms = octets_get_time(reader, ahead_ms);
  get_addresses(reader, family, value);
  reader->is_good = reader->is_good && octets_is_life(learned_at_ms, expires_at_ms);
  if (!reader->is_good)
    return;
  value->expires_at_ms = expires_at_ms;
  value->life_ms = (uint32_t)(expires_at_ms - learned_at_ms);
}
