#include "cache/image.h"

#include <assert.h>
#include <string.h>

#include "base/digest.h"

static const char magic[8] = {'m', 'x', 'w', 'a', 'y', 'i', 'm', 'g'};

enum { LENGTH_BYTES = 4, CHECKSUM_BYTES = 8 };

/* ---- writing ---- */

static int64_t ahead_of(const struct image_time *time) { return time->now_ms - time->wall_ms; }

/* Writes what stands before `end` a checksum. Returns the octets from `start` to its end. */
static size_t put_checksum(const uint8_t *start, uint8_t *end, uint64_t number) {
  struct octets_writer writer = {.at = end, .end = end + CHECKSUM_BYTES, .is_good = true};
  octets_put_number(&writer, digest_64(start, (size_t)(end - start), number), CHECKSUM_BYTES);
  return (size_t)(writer.at - start);
}

/* The payload of the record that begins at `start`. */
static struct octets_writer start_record(uint8_t *start, enum image_kind kind) {
  struct octets_writer writer = {
      .at = start + LENGTH_BYTES, .end = start + LENGTH_BYTES + IMAGE_PAYLOAD_MAX, .is_good = true};
  octets_put_number(&writer, kind, 1);
  return writer;
}

static size_t finish_record(uint8_t *start, const struct octets_writer *payload, uint64_t number) {
  struct octets_writer writer = {.at = start, .end = start + LENGTH_BYTES, .is_good = true};
  assert(payload->is_good);
  octets_put_number(&writer, (uint64_t)(payload->at - writer.end), LENGTH_BYTES);
  return put_checksum(start, payload->at, number);
}

size_t image_pack_header(uint8_t at[IMAGE_HEADER_BYTES], int64_t begun_wall_ms, uint64_t generation) {
  struct octets_writer writer = {.at = at, .end = at + IMAGE_HEADER_BYTES, .is_good = true};
  octets_put_bytes(&writer, magic, sizeof(magic));
  octets_put_number(&writer, IMAGE_VERSION, 4);
  octets_put_time(&writer, begun_wall_ms, 0);
  octets_put_number(&writer, generation, 8);
  return put_checksum(at, writer.at, 0);
}

static void put_exchanges(struct octets_writer *writer, const struct exchange_set *set) {
  octets_put_number(writer, set ? set->count : 0, 2);
  for (uint16_t i = 0; set && i < set->count; i++)
    octets_put_exchange(writer, set->exchanges[i].preference, set->exchanges[i].host->name,
                        set->exchanges[i].host->length);
}

size_t image_pack_domain(uint8_t *at, uint64_t number, const struct domain_facts *facts, unsigned hits,
                         const struct image_time *time) {
  if (!octets_has_kind((enum domain_kind)facts->kind))
    return 0;
  struct octets_writer writer = start_record(at, IMAGE_DOMAIN);
  octets_put_kind(&writer, (enum domain_kind)facts->kind);
  octets_put_number(&writer, facts->authentic, 1);
  octets_put_number(&writer, facts->warnings, 2);
  octets_put_number(&writer, hits, 1);
  octets_put_time(&writer, facts->stored_at_ms, ahead_of(time));
  octets_put_time(&writer, facts->expires_at_ms, ahead_of(time));
  octets_put_text(&writer, facts->text, facts->name_length);
  octets_put_text(&writer, facts->text + facts->name_length, facts->canonical_length);
  put_exchanges(&writer, facts->set);
  return finish_record(at, &writer, number);
}

size_t image_pack_host(uint8_t *at, uint64_t number, const struct host *host, const struct host_facts *facts,
                       const struct image_time *time) {
  struct family_value value;
  if (!facts || host->is_address ||
      (!octets_is_definite((enum family_state)facts->state[FAMILY_V6]) &&
       !octets_is_definite((enum family_state)facts->state[FAMILY_V4])))
    return 0;
  struct octets_writer writer = start_record(at, IMAGE_HOST);
  host_facts_unpack(facts, FAMILY_V6, &value);
  octets_put_text(&writer, host->name, host->length);
  octets_put_text(&writer, value.expanded, strlen(value.expanded));
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    host_facts_unpack(facts, family, &value);
    octets_put_family(&writer, family, &value, ahead_of(time));
  }
  return finish_record(at, &writer, number);
}

size_t image_pack_end(uint8_t *at, uint64_t number) {
  struct octets_writer writer = start_record(at, IMAGE_END);
  octets_put_number(&writer, number - 1, 8);
  return finish_record(at, &writer, number);
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

static void get_domain(struct octets_reader *reader, int64_t ahead_ms, struct image_record *record) {
  struct domain_value *value = &record->domain;
  value->cause = value->failures = 0;
  value->refresh_lead_ms = 0;
  value->kind = octets_get_kind(reader);
  value->authentic = octets_get_bool(reader);
  value->warnings = octets_get_warnings(reader);
  record->hits = (unsigned)octets_get_number(reader, 1);
  value->stored_at_ms = octets_get_time(reader, ahead_ms);
  value->expires_at_ms = octets_get_time(reader, ahead_ms);
  octets_get_name(reader, false, record->name);
  octets_get_name(reader, true, value->canonical);
  octets_get_exchanges(reader, record->name, value);
  if (record->hits > IMAGE_HITS_MAX || !octets_is_life(value->stored_at_ms, value->expires_at_ms))
    reader->is_good = false;
}

static void get_host(struct octets_reader *reader, int64_t ahead_ms, struct image_record *record) {
  char expanded[FACTS_NAME_SIZE];
  octets_get_name(reader, false, record->name);
  octets_get_name(reader, true, expanded);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    octets_get_family(reader, family, ahead_ms, &record->families[family]);
    memcpy(record->families[family].expanded, expanded, strlen(expanded) + 1);
  }
  if (!octets_is_definite(record->families[FAMILY_V6].state) &&
      !octets_is_definite(record->families[FAMILY_V4].state))
    reader->is_good = false;
}

/* Reads a payload whose checksum is right. */
static enum image_status get_payload(struct octets_reader *reader, uint64_t number, int64_t ahead_ms,
                                     struct image_record *record) {
  record->kind = (enum image_kind)octets_get_number(reader, 1);
  bool is_known = false;
  switch (record->kind) {
  case IMAGE_DOMAIN:
    get_domain(reader, ahead_ms, record);
    is_known = true;
    break;
  case IMAGE_HOST:
    get_host(reader, ahead_ms, record);
    is_known = true;
    break;
  case IMAGE_END:
    is_known = octets_get_number(reader, 8) == number - 1;
    break;
  }
  return is_known && reader->is_good && reader->at == reader->end ? IMAGE_GOOD : IMAGE_BAD_RECORD;
}

/* Whether the checksum behind `length` octets is theirs. */
static bool is_intact(const uint8_t *bytes, size_t length, uint64_t number) {
  struct octets_reader checksum = {
      .at = bytes + length, .end = bytes + length + CHECKSUM_BYTES, .is_good = true};
  return octets_get_number(&checksum, CHECKSUM_BYTES) == digest_64(bytes, length, number);
}

enum image_status image_parse_header(const uint8_t *bytes, int64_t *begun_wall_ms, uint64_t *generation) {
  struct octets_reader reader = {
      .at = bytes + sizeof(magic), .end = bytes + IMAGE_HEADER_BYTES, .is_good = true};
  if (memcmp(bytes, magic, sizeof(magic)) != 0)
    return IMAGE_NO_IMAGE;
  uint64_t version = octets_get_number(&reader, 4);
  if (version != IMAGE_VERSION)
    return version < IMAGE_VERSION ? IMAGE_OLD_VERSION : IMAGE_UNKNOWN_VERSION;
  *begun_wall_ms = (int64_t)octets_get_number(&reader, 8);
  *generation = octets_get_number(&reader, 8);
  return is_intact(bytes, IMAGE_HEADER_BYTES - CHECKSUM_BYTES, 0) ? IMAGE_GOOD : IMAGE_BAD_CHECKSUM;
}

enum image_status image_parse_record(const uint8_t *bytes, size_t length, uint64_t number,
                                     const struct image_time *time, struct image_record *record,
                                     size_t *taken) {
  struct octets_reader start = {.at = bytes, .end = bytes + length, .is_good = true};
  size_t payload_length = (size_t)octets_get_number(&start, LENGTH_BYTES);
  if (!start.is_good)
    return IMAGE_INCOMPLETE;
  if (payload_length > IMAGE_PAYLOAD_MAX)
    return IMAGE_TOO_LARGE;
  if (length < LENGTH_BYTES + payload_length + CHECKSUM_BYTES)
    return IMAGE_INCOMPLETE;
  if (!is_intact(bytes, LENGTH_BYTES + payload_length, number))
    return IMAGE_BAD_CHECKSUM;
  struct octets_reader reader = {.at = start.at, .end = start.at + payload_length, .is_good = true};
  *taken = LENGTH_BYTES + payload_length + CHECKSUM_BYTES;
  return get_payload(&reader, number, ahead_of(time), record);
}
