#include "image.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char magic[8] = {'m', 'x', 'w', 'a', 'y', 'i', 'm', 'g'};

enum {
  LENGTH_BYTES = 4,
  CHECKSUM_BYTES = 8,
  LABEL_MAX = 63,
};

/* So far in the future that sums of such times cannot overflow. */
#define WALL_MAX_MS (UINT64_C(1) << 52)

/* The numbers of an image, which outlive a release; 0 has no place in one. */
static const uint8_t number_of_kind[] = {
    [DOMAIN_MX] = 1,       [DOMAIN_NULL_MX] = 2,     [DOMAIN_NODATA] = 3,
    [DOMAIN_NXDOMAIN] = 4, [DOMAIN_ALL_INVALID] = 5, [DOMAIN_FAILED] = 0,
};
static const uint8_t number_of_state[] = {
    [FAMILY_UNKNOWN] = 0,  [FAMILY_OK] = 1,       [FAMILY_NODATA] = 2,
    [FAMILY_NXDOMAIN] = 3, [FAMILY_TEMPFAIL] = 0, [FAMILY_LOOP] = 0,
};

static const size_t octets_of[FAMILY_COUNT] = {[FAMILY_V6] = 16, [FAMILY_V4] = 4};

/* ---- writing ---- */

static uint8_t *put_number(uint8_t *at, uint64_t value, size_t octets) {
  for (size_t i = 0; i < octets; i++, value >>= 8)
    *at++ = (uint8_t)value;
  return at;
}

static uint8_t *put_text(uint8_t *at, const char *text, size_t length) {
  *at++ = (uint8_t)length;
  memcpy(at, text, length);
  return at + length;
}

static int64_t to_wall(int64_t at_ms, const struct image_time *time) {
  return at_ms - time->now_ms + time->wall_ms;
}

static uint8_t *put_time(uint8_t *at, int64_t at_ms, const struct image_time *time) {
  return put_number(at, (uint64_t)to_wall(at_ms, time), 8);
}

static uint8_t *put_checksum(const uint8_t *start, uint8_t *end, uint64_t number) {
  return put_number(end, XXH3_64bits_withSeed(start, (size_t)(end - start), number), CHECKSUM_BYTES);
}

/* Closes the record that began at `start` and whose payload ends at `end`. */
static size_t finish_record(uint8_t *start, uint8_t *end, uint64_t number) {
  size_t length = (size_t)(end - start) - LENGTH_BYTES;
  assert(length <= IMAGE_PAYLOAD_MAX);
  put_number(start, length, LENGTH_BYTES);
  return (size_t)(put_checksum(start, end, number) - start);
}

size_t image_pack_header(uint8_t at[IMAGE_HEADER_BYTES], int64_t begun_wall_ms) {
  memcpy(at, magic, sizeof(magic));
  uint8_t *end = put_number(at + sizeof(magic), IMAGE_VERSION, 4);
  end = put_number(end, (uint64_t)begun_wall_ms, 8);
  return (size_t)(put_checksum(at, end, 0) - at);
}

static uint8_t *put_exchanges(uint8_t *at, const struct exchange_set *set) {
  at = put_number(at, set ? set->count : 0, 2);
  for (uint16_t i = 0; set && i < set->count; i++) {
    at = put_number(at, set->exchanges[i].preference, 2);
    at = put_text(at, set->exchanges[i].host->name, set->exchanges[i].host->length);
  }
  return at;
}

size_t image_pack_domain(uint8_t *at, uint64_t number, const struct domain_facts *facts, unsigned hits,
                         const struct image_time *time) {
  if (number_of_kind[facts->kind] == 0)
    return 0;
  uint8_t *end = at + LENGTH_BYTES;
  *end++ = IMAGE_DOMAIN;
  *end++ = number_of_kind[facts->kind];
  *end++ = facts->authentic;
  end = put_number(end, facts->warnings, 2);
  end = put_number(end, hits, 1);
  end = put_time(end, facts->stored_at_ms, time);
  end = put_time(end, facts->expires_at_ms, time);
  end = put_text(end, facts->text, facts->name_length);
  end = put_text(end, facts->text + facts->name_length, facts->canonical_length);
  end = put_exchanges(end, facts->set);
  return finish_record(at, end, number);
}

static bool is_definite(enum family_state state) { return number_of_state[state] != 0; }

static uint8_t *put_family(uint8_t *at, enum family family, const struct family_value *value,
                           const struct image_time *time) {
  bool is_known = is_definite(value->state);
  uint8_t count = is_known ? value->count : 0;
  *at++ = number_of_state[value->state];
  *at++ = is_known && value->authentic;
  at = is_known ? put_time(at, value->expires_at_ms - value->life_ms, time) : put_number(at, 0, 8);
  at = is_known ? put_time(at, value->expires_at_ms, time) : put_number(at, 0, 8);
  *at++ = count;
  for (uint8_t i = 0; i < count; i++, at += octets_of[family])
    memcpy(at, value->addresses[i], octets_of[family]);
  return at;
}

size_t image_pack_host(uint8_t *at, uint64_t number, const struct host *host, const struct host_facts *facts,
                       const struct image_time *time) {
  struct family_value value;
  if (!facts || host->is_address ||
      (!is_definite(facts->state[FAMILY_V6]) && !is_definite(facts->state[FAMILY_V4])))
    return 0;
  host_facts_unpack(facts, FAMILY_V6, &value);
  uint8_t *end = at + LENGTH_BYTES;
  *end++ = IMAGE_HOST;
  end = put_text(end, host->name, host->length);
  end = put_text(end, value.expanded, strlen(value.expanded));
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    host_facts_unpack(facts, family, &value);
    end = put_family(end, family, &value, time);
  }
  return finish_record(at, end, number);
}

size_t image_pack_end(uint8_t *at, uint64_t number) {
  uint8_t *end = at + LENGTH_BYTES;
  *end++ = IMAGE_END;
  end = put_number(end, number - 1, 8);
  return finish_record(at, end, number);
}

/* ---- reading ---- */

const char *image_status_text(enum image_status status) {
  switch (status) {
  case IMAGE_GOOD:
    return "it is good";
  case IMAGE_INCOMPLETE:
    return "it is cut off";
  case IMAGE_NO_IMAGE:
    return "this is no dump of mxway";
  case IMAGE_OLD_VERSION:
    return "this dump is of an older version, whose format is not read any more";
  case IMAGE_UNKNOWN_VERSION:
    return "this dump is of a newer version, whose format is not known here";
  case IMAGE_TOO_LARGE:
    return "it is longer than any record";
  case IMAGE_BAD_CHECKSUM:
    return "its checksum is wrong";
  case IMAGE_BAD_RECORD:
    return "its checksum is right, but what it says cannot be";
  case IMAGE_BEHIND_END:
    return "something follows the end of the dump";
  }
  return "unknown status";
}

/* A payload, or a header, as far as it has been read. */
struct reader {
  const uint8_t *at, *end;
  const struct image_time *time;
  bool is_good;
};

static uint64_t get_number(struct reader *reader, size_t octets) {
  uint64_t value = 0;
  if ((size_t)(reader->end - reader->at) < octets) {
    reader->is_good = false;
    return 0;
  }
  for (size_t i = octets; i > 0; i--)
    value = value << 8 | reader->at[i - 1];
  reader->at += octets;
  return value;
}

static bool get_bool(struct reader *reader) {
  uint64_t value = get_number(reader, 1);
  if (value > 1)
    reader->is_good = false;
  return value == 1;
}

static enum domain_kind get_kind(struct reader *reader) {
  uint64_t number = get_number(reader, 1);
  for (size_t kind = 0; number > 0 && kind < sizeof(number_of_kind); kind++)
    if (number_of_kind[kind] == number)
      return (enum domain_kind)kind;
  reader->is_good = false;
  return DOMAIN_FAILED;
}

static enum family_state get_state(struct reader *reader) {
  uint64_t number = get_number(reader, 1);
  for (size_t state = 0; state < sizeof(number_of_state); state++)
    if (number_of_state[state] == number)
      return (enum family_state)state;
  reader->is_good = false;
  return FAMILY_UNKNOWN;
}

/* A time on the monotonic clock. */
static int64_t get_time(struct reader *reader) {
  uint64_t wall_ms = get_number(reader, 8);
  if (wall_ms > WALL_MAX_MS)
    reader->is_good = false;
  return reader->is_good ? (int64_t)wall_ms - reader->time->wall_ms + reader->time->now_ms : 0;
}

/* A name as facts hold it: what name_parse and dnsmsg let through. */
static bool is_name(const char *text, size_t length) {
  size_t label_length = 0;
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

static void get_text(struct reader *reader, bool may_be_empty, char text[FACTS_NAME_SIZE]) {
  size_t length = (size_t)get_number(reader, 1);
  text[0] = '\0';
  if (length >= FACTS_NAME_SIZE || (size_t)(reader->end - reader->at) < length ||
      !(is_name((const char *)reader->at, length) || (may_be_empty && length == 0))) {
    reader->is_good = false;
    return;
  }
  memcpy(text, reader->at, length);
  text[length] = '\0';
  reader->at += length;
}

/* By preference, then by name, no host twice: as domain_value_normalise leaves them. */
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

/* Whether a life is one that a TTL can give. */
static bool is_life(int64_t stored_at_ms, int64_t expires_at_ms) {
  return stored_at_ms <= expires_at_ms && expires_at_ms - stored_at_ms <= IMAGE_LIFE_MAX_S * INT64_C(1000);
}

static void get_domain(struct reader *reader, struct image_record *record) {
  struct domain_value *value = &record->domain;
  value->cause = value->failures = 0;
  value->refresh_lead_ms = 0;
  value->kind = get_kind(reader);
  value->authentic = get_bool(reader);
  value->warnings = (uint16_t)get_number(reader, 2);
  record->hits = (unsigned)get_number(reader, 1);
  value->stored_at_ms = get_time(reader);
  value->expires_at_ms = get_time(reader);
  get_text(reader, false, record->name);
  get_text(reader, true, value->canonical);
  value->count = (uint16_t)get_number(reader, 2);
  if (value->count > FACTS_EXCHANGES_MAX || record->hits > IMAGE_HITS_MAX)
    reader->is_good = false;
  for (uint16_t i = 0; reader->is_good && i < value->count; i++) {
    value->exchanges[i].port = 0;
    value->exchanges[i].preference = (uint16_t)get_number(reader, 2);
    get_text(reader, false, value->exchanges[i].host);
  }
  reader->is_good = reader->is_good && is_life(value->stored_at_ms, value->expires_at_ms) &&
                    has_right_exchanges(record->name, value);
}

/* Of a family of which nothing is known all is 0. */
static void get_life(struct reader *reader, struct family_value *value) {
  value->expires_at_ms = INT64_MIN;
  value->life_ms = 0;
  if (!is_definite(value->state)) {
    if (value->authentic || get_number(reader, 8) != 0 || get_number(reader, 8) != 0)
      reader->is_good = false;
    return;
  }
  int64_t stored_at_ms = get_time(reader), expires_at_ms = get_time(reader);
  if (!reader->is_good || !is_life(stored_at_ms, expires_at_ms)) {
    reader->is_good = false;
    return;
  }
  value->expires_at_ms = expires_at_ms;
  value->life_ms = (uint32_t)(expires_at_ms - stored_at_ms);
}

static void get_family(struct reader *reader, enum family family, const char *expanded,
                       struct family_value *value) {
  value->failures = 0;
  value->stale_until_ms = value->refresh_at_ms = 0;
  value->state = get_state(reader);
  value->authentic = get_bool(reader);
  get_life(reader, value);
  value->count = (uint8_t)get_number(reader, 1);
  if (value->count > FACTS_ADDRESSES_MAX || (value->count > 0) != (value->state == FAMILY_OK) ||
      (size_t)(reader->end - reader->at) < value->count * octets_of[family])
    reader->is_good = false;
  for (uint8_t i = 0; reader->is_good && i < value->count; i++, reader->at += octets_of[family])
    memcpy(value->addresses[i], reader->at, octets_of[family]);
  memcpy(value->expanded, expanded, strlen(expanded) + 1);
}

static void get_host(struct reader *reader, struct image_record *record) {
  char expanded[FACTS_NAME_SIZE];
  get_text(reader, false, record->name);
  get_text(reader, true, expanded);
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    get_family(reader, family, expanded, &record->families[family]);
  if (!is_definite(record->families[FAMILY_V6].state) && !is_definite(record->families[FAMILY_V4].state))
    reader->is_good = false;
}

/* Reads a payload whose checksum is right. */
static enum image_status get_payload(struct reader *reader, uint64_t number, struct image_record *record) {
  record->kind = (enum image_kind)get_number(reader, 1);
  bool is_known = false;
  switch (record->kind) {
  case IMAGE_DOMAIN:
    get_domain(reader, record);
    is_known = true;
    break;
  case IMAGE_HOST:
    get_host(reader, record);
    is_known = true;
    break;
  case IMAGE_END:
    is_known = get_number(reader, 8) == number - 1;
    break;
  }
  return is_known && reader->is_good && reader->at == reader->end ? IMAGE_GOOD : IMAGE_BAD_RECORD;
}

/* Whether the checksum behind `length` octets is theirs. */
static bool is_intact(const uint8_t *bytes, size_t length, uint64_t number) {
  struct reader checksum = {.at = bytes + length, .end = bytes + length + CHECKSUM_BYTES};
  return get_number(&checksum, CHECKSUM_BYTES) == XXH3_64bits_withSeed(bytes, length, number);
}

enum image_status image_parse_header(const uint8_t *bytes, int64_t *begun_wall_ms) {
  struct reader reader = {.at = bytes + sizeof(magic), .end = bytes + IMAGE_HEADER_BYTES};
  if (memcmp(bytes, magic, sizeof(magic)) != 0)
    return IMAGE_NO_IMAGE;
  uint64_t version = get_number(&reader, 4);
  if (version != IMAGE_VERSION)
    return version < IMAGE_VERSION ? IMAGE_OLD_VERSION : IMAGE_UNKNOWN_VERSION;
  *begun_wall_ms = (int64_t)get_number(&reader, 8);
  return is_intact(bytes, IMAGE_HEADER_BYTES - CHECKSUM_BYTES, 0) ? IMAGE_GOOD : IMAGE_BAD_CHECKSUM;
}

enum image_status image_parse_record(const uint8_t *bytes, size_t length, uint64_t number,
                                     const struct image_time *time, struct image_record *record,
                                     size_t *taken) {
  struct reader start = {.at = bytes, .end = bytes + length, .is_good = true};
  size_t payload_length = (size_t)get_number(&start, LENGTH_BYTES);
  if (!start.is_good)
    return IMAGE_INCOMPLETE;
  if (payload_length > IMAGE_PAYLOAD_MAX)
    return IMAGE_TOO_LARGE;
  if (length < LENGTH_BYTES + payload_length + CHECKSUM_BYTES)
    return IMAGE_INCOMPLETE;
  if (!is_intact(bytes, LENGTH_BYTES + payload_length, number))
    return IMAGE_BAD_CHECKSUM;
  struct reader reader = {.at = start.at, .end = start.at + payload_length, .time = time, .is_good = true};
  *taken = LENGTH_BYTES + payload_length + CHECKSUM_BYTES;
  return get_payload(&reader, number, record);
}
