#include "store/record.h"

#include <string.h>

#include "base/digest.h"

static const char magic[4] = {'m', 'x', 'w', 'v'};

enum { CHECKSUM_BYTES = 8, HEAD_BYTES = sizeof(magic) + 3 };

#define LIFE_MAX_MS (RECORD_LIFE_MAX_S * INT64_C(1000))
#define STALE_MAX_MS (RECORD_STALE_MAX_S * INT64_C(1000))

static int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }
static int64_t most(int64_t one, int64_t other) { return one > other ? one : other; }

/* ---- writing ---- */

/* The end of a raw life, cut to the longest there may be. */
static int64_t end_of(int64_t learned_at_ms, int64_t expires_at_ms) {
  return least(expires_at_ms, learned_at_ms + LIFE_MAX_MS);
}

static bool is_shared(const struct record *record, enum family family) {
  const struct family_value *value = &record->families[family];
  return octets_is_definite(value->state) && value->expires_at_ms > record->learned_at_ms[family];
}

/* The times of a record as they are packed. */
struct times {
  int64_t created_at_ms, expires_at_ms, stale_until_ms;
};

/* Returns false where nothing in `record` may be shared. */
static bool find_times(const struct record *record, struct times *times) {
  int64_t raw_ms = INT64_MIN;
  *times = (struct times){INT64_MIN, INT64_MIN, 0};
  if (record->kind == RECORD_DOMAIN && octets_has_kind(record->domain.kind)) {
    times->created_at_ms = record->domain.stored_at_ms;
    raw_ms = record->domain.expires_at_ms;
    times->expires_at_ms = end_of(times->created_at_ms, raw_ms);
  }
  for (enum family family = 0; record->kind == RECORD_HOST && family < FAMILY_COUNT; family++) {
    if (!is_shared(record, family))
      continue;
    int64_t learned_at_ms = record->learned_at_ms[family];
    int64_t expires_at_ms = record->families[family].expires_at_ms;
    raw_ms = most(raw_ms, expires_at_ms);
    times->created_at_ms = most(times->created_at_ms, learned_at_ms);
    times->expires_at_ms = most(times->expires_at_ms, end_of(learned_at_ms, expires_at_ms));
  }
  if (times->expires_at_ms <= times->created_at_ms)
    return false;
  uint64_t stale_for_ms =
      record->stale_until_ms > raw_ms ? (uint64_t)record->stale_until_ms - (uint64_t)raw_ms : 0;
  times->stale_until_ms =
      times->expires_at_ms + (stale_for_ms < STALE_MAX_MS ? (int64_t)stale_for_ms : STALE_MAX_MS);
  return true;
}

static bool is_printable(char octet) { return octet > 0x20 && octet < 0x7f; }

static void put_origin(struct octets_writer *writer, const char *origin) {
  char text[RECORD_ORIGIN_SIZE];
  size_t length = strnlen(origin, RECORD_ORIGIN_SIZE - 1);
  for (size_t i = 0; i < length; i++)
    text[i] = is_printable(origin[i]) ? origin[i] : '?';
  octets_put_text(writer, text, length);
}

static void put_domain(struct octets_writer *writer, const struct domain_value *value) {
  octets_put_kind(writer, value->kind);
  octets_put_number(writer, value->authentic, 1);
  octets_put_number(writer, value->warnings, 2);
  octets_put_text(writer, value->canonical, strlen(value->canonical));
  octets_put_number(writer, value->count, 2);
  for (uint16_t i = 0; i < value->count; i++)
    octets_put_exchange(writer, value->exchanges[i].preference, value->exchanges[i].host,
                        strlen(value->exchanges[i].host));
}

/* The alias both families agree on; they differ only where one could not be asked. */
static const char *expanded_of(const struct record *record) {
  const char *v6 = record->families[FAMILY_V6].expanded, *v4 = record->families[FAMILY_V4].expanded;
  if (is_shared(record, FAMILY_V4) && v4[0])
    return v4;
  return is_shared(record, FAMILY_V6) ? v6 : "";
}

static void put_family(struct octets_writer *writer, const struct record *record, enum family family,
                       int64_t ahead_ms) {
  struct family_value value = {.state = FAMILY_UNKNOWN};
  if (is_shared(record, family)) {
    value = record->families[family];
    value.expires_at_ms = end_of(record->learned_at_ms[family], value.expires_at_ms);
    value.life_ms = (uint32_t)(value.expires_at_ms - record->learned_at_ms[family]);
  }
  octets_put_family(writer, family, &value, ahead_ms);
}

static void put_host(struct octets_writer *writer, const struct record *record, int64_t ahead_ms) {
  const char *expanded = expanded_of(record);
  octets_put_text(writer, expanded, strlen(expanded));
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    put_family(writer, record, family, ahead_ms);
}

size_t record_pack(uint8_t at[RECORD_MAX], const struct record *record, const char *key,
                   const struct seal *seal, const struct image_time *time) {
  struct octets_writer writer = {.at = at, .end = at + RECORD_MAX, .is_good = true};
  int64_t ahead_ms = time->now_ms - time->wall_ms;
  struct times times;
  if (!find_times(record, &times))
    return 0;
  octets_put_bytes(&writer, magic, sizeof(magic));
  octets_put_number(&writer, RECORD_VERSION, 1);
  octets_put_number(&writer, record->kind, 1);
  octets_put_number(&writer, seal != NULL, 1);
  octets_put_number(&writer, record->generation, 8);
  octets_put_time(&writer, times.created_at_ms, ahead_ms);
  octets_put_time(&writer, times.expires_at_ms, ahead_ms);
  octets_put_time(&writer, times.stale_until_ms, ahead_ms);
  put_origin(&writer, record->origin);
  octets_put_text(&writer, record->name, strlen(record->name));
  if (record->kind == RECORD_DOMAIN)
    put_domain(&writer, &record->domain);
  else
    put_host(&writer, record, ahead_ms);
  if (seal && writer.is_good) {
    uint8_t mac[SEAL_BYTES];
    seal_make(seal, key, strlen(key), at, (size_t)(writer.at - at), mac);
    octets_put_bytes(&writer, mac, SEAL_BYTES);
  }
  octets_put_number(&writer, digest_64(at, (size_t)(writer.at - at), 0), CHECKSUM_BYTES);
  return writer.is_good ? (size_t)(writer.at - at) : 0;
}

/* ---- reading ---- */

const char *record_status_text(enum record_status status) {
  switch (status) {
  case RECORD_GOOD:
    return "it is good";
  case RECORD_TOO_LONG:
    return "it is longer than any record";
  case RECORD_NO_RECORD:
    return "this is no record of mxway";
  case RECORD_UNKNOWN_VERSION:
    return "it is of a version that is not known here";
  case RECORD_BAD_CHECKSUM:
    return "its checksum is wrong";
  case RECORD_BAD_MAC:
    return "it is not sealed with a key that is known here";
  case RECORD_WRONG_NAME:
    return "it is about another name";
  case RECORD_IMPOSSIBLE:
    return "its checksum is right, but what it says cannot be";
  case RECORD_FROM_FUTURE:
    return "it comes from the future: a clock is wrong";
  case RECORD_EXPIRED:
    return "it expired too long ago";
  case RECORD_STATUS_COUNT:
    break;
  }
  return "unknown status";
}

/* The octets between head and MAC, and whether they may be looked into. */
static enum record_status open_record(const uint8_t *bytes, size_t length, const char *key,
                                      const struct seal *seal, struct octets_reader *reader) {
  if (length > RECORD_MAX)
    return RECORD_TOO_LONG;
  if (length <= HEAD_BYTES || memcmp(bytes, magic, sizeof(magic)) != 0)
    return RECORD_NO_RECORD;
  if (bytes[sizeof(magic)] != RECORD_VERSION)
    return RECORD_UNKNOWN_VERSION;
  if (length < HEAD_BYTES + CHECKSUM_BYTES)
    return RECORD_BAD_CHECKSUM;
  const uint8_t *end = bytes + length - CHECKSUM_BYTES;
  struct octets_reader checksum = {.at = end, .end = bytes + length, .is_good = true};
  if (octets_get_number(&checksum, CHECKSUM_BYTES) != digest_64(bytes, (size_t)(end - bytes), 0))
    return RECORD_BAD_CHECKSUM;
  uint8_t is_sealed = bytes[HEAD_BYTES - 1];
  if (is_sealed > 1 || (is_sealed && end - bytes < HEAD_BYTES + SEAL_BYTES))
    return RECORD_IMPOSSIBLE;
  if (is_sealed)
    end -= SEAL_BYTES;
  if (seal && !(is_sealed && seal_is_good(seal, key, strlen(key), bytes, (size_t)(end - bytes), end)))
    return RECORD_BAD_MAC;
  *reader = (struct octets_reader){.at = bytes + sizeof(magic) + 1, .end = end, .is_good = true};
  return RECORD_GOOD;
}

static void get_origin(struct octets_reader *reader, char origin[RECORD_ORIGIN_SIZE]) {
  size_t length = (size_t)octets_get_number(reader, 1);
  const uint8_t *text = octets_get_bytes(reader, length);
  origin[0] = '\0';
  if (!text || length >= RECORD_ORIGIN_SIZE) {
    reader->is_good = false;
    return;
  }
  for (size_t i = 0; i < length; i++)
    if (!is_printable((char)text[i]))
      reader->is_good = false;
  memcpy(origin, text, length);
  origin[length] = '\0';
}

static void get_domain(struct octets_reader *reader, struct record *record) {
  struct domain_value *value = &record->domain;
  value->cause = value->failures = 0;
  value->refresh_lead_ms = 0;
  value->stored_at_ms = record->created_at_ms;
  value->expires_at_ms = record->expires_at_ms;
  value->kind = octets_get_kind(reader);
  value->authentic = octets_get_bool(reader);
  value->warnings = octets_get_warnings(reader);
  octets_get_name(reader, true, value->canonical);
  octets_get_exchanges(reader, record->name, value);
}

static void get_host(struct octets_reader *reader, int64_t ahead_ms, struct record *record) {
  char expanded[FACTS_NAME_SIZE];
  int64_t created_at_ms = INT64_MIN, expires_at_ms = INT64_MIN;
  octets_get_name(reader, true, expanded);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    struct family_value *value = &record->families[family];
    octets_get_family(reader, family, ahead_ms, value);
    memcpy(value->expanded, expanded, strlen(expanded) + 1);
    if (octets_is_definite(value->state) && value->life_ms == 0)
      reader->is_good = false;
    record->learned_at_ms[family] = value->expires_at_ms - value->life_ms;
    created_at_ms = most(created_at_ms, record->learned_at_ms[family]);
    expires_at_ms = most(expires_at_ms, value->expires_at_ms);
  }
  if (created_at_ms != record->created_at_ms || expires_at_ms != record->expires_at_ms)
    reader->is_good = false;
}

/* Takes what a clock ahead of ours wrote for written now. */
static void set_back(struct record *record, int64_t now_ms) {
  int64_t by_ms = record->created_at_ms - now_ms;
  if (by_ms <= 0)
    return;
  record->created_at_ms -= by_ms;
  record->expires_at_ms -= by_ms;
  record->stale_until_ms -= by_ms;
  if (record->kind == RECORD_DOMAIN) {
    record->domain.stored_at_ms -= by_ms;
    record->domain.expires_at_ms -= by_ms;
    return;
  }
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if (record->families[family].state != FAMILY_UNKNOWN) {
      record->learned_at_ms[family] -= by_ms;
      record->families[family].expires_at_ms -= by_ms;
    }
}

enum record_status record_parse(const uint8_t *bytes, size_t length, enum record_kind kind, const char *name,
                                const char *key, const struct seal *seal, const struct image_time *time,
                                struct record *record) {
  struct octets_reader reader;
  int64_t ahead_ms = time->now_ms - time->wall_ms;
  enum record_status status = open_record(bytes, length, key, seal, &reader);
  if (status != RECORD_GOOD)
    return status;
  record->kind = (enum record_kind)octets_get_number(&reader, 1);
  octets_get_number(&reader, 1);
  record->generation = octets_get_number(&reader, 8);
  record->created_at_ms = octets_get_time(&reader, ahead_ms);
  record->expires_at_ms = octets_get_time(&reader, ahead_ms);
  record->stale_until_ms = octets_get_time(&reader, ahead_ms);
  get_origin(&reader, record->origin);
  octets_get_name(&reader, false, record->name);
  if (!reader.is_good)
    return RECORD_IMPOSSIBLE;
  if (record->kind != kind || strcmp(record->name, name) != 0)
    return RECORD_WRONG_NAME;
  if (kind == RECORD_DOMAIN) {
    get_domain(&reader, record);
    reader.is_good = reader.is_good && record->created_at_ms < record->expires_at_ms &&
                     octets_is_life(record->created_at_ms, record->expires_at_ms);
  } else {
    get_host(&reader, ahead_ms, record);
  }
  int64_t stale_for_ms = record->stale_until_ms - record->expires_at_ms;
  if (!reader.is_good || reader.at != reader.end || stale_for_ms < 0 || stale_for_ms > STALE_MAX_MS)
    return RECORD_IMPOSSIBLE;
  if (record->created_at_ms - time->now_ms > RECORD_FUTURE_MS)
    return RECORD_FROM_FUTURE;
  set_back(record, time->now_ms);
  return record->stale_until_ms <= time->now_ms ? RECORD_EXPIRED : RECORD_GOOD;
}

/* ---- comparing ---- */

static bool is_same_domain(const struct domain_value *one, const struct domain_value *other) {
  if (one->kind != other->kind || one->authentic != other->authentic || one->warnings != other->warnings ||
      one->count != other->count || strcmp(one->canonical, other->canonical) != 0)
    return false;
  for (uint16_t i = 0; i < one->count; i++)
    if (one->exchanges[i].preference != other->exchanges[i].preference ||
        strcmp(one->exchanges[i].host, other->exchanges[i].host) != 0)
      return false;
  return true;
}

static size_t octets_of_family(enum family family) { return family == FAMILY_V6 ? 16 : 4; }

/* Whether each address of `one` is one of `other`. */
static bool is_within(const struct family_value *one, const struct family_value *other, size_t octets) {
  for (uint8_t i = 0; i < one->count; i++) {
    uint8_t j = 0;
    while (j < other->count && memcmp(one->addresses[i], other->addresses[j], octets) != 0)
      j++;
    if (j == other->count)
      return false;
  }
  return true;
}

static bool is_same_family(const struct record *one, const struct record *other, enum family family) {
  const struct family_value *first = &one->families[family], *second = &other->families[family];
  bool is_known = is_shared(one, family);
  if (is_known != is_shared(other, family))
    return false;
  return !is_known || (first->state == second->state && first->authentic == second->authentic &&
                       first->count == second->count && is_within(first, second, octets_of_family(family)) &&
                       is_within(second, first, octets_of_family(family)));
}

bool record_is_same(const struct record *one, const struct record *other) {
  if (one->kind != other->kind || strcmp(one->name, other->name) != 0)
    return false;
  if (one->kind == RECORD_DOMAIN)
    return is_same_domain(&one->domain, &other->domain);
  return strcmp(expanded_of(one), expanded_of(other)) == 0 && is_same_family(one, other, FAMILY_V6) &&
         is_same_family(one, other, FAMILY_V4);
}
