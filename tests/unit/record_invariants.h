/*
 * record_invariants: what holds of every record that was read, whatever a stranger wrote; and octets like
 * those of a record, closed with the right checksum and MAC.
 *
 * For the unit test and the fuzz target alike.
 */
#ifndef MXWAY_TESTS_RECORD_INVARIANTS_H
#define MXWAY_TESTS_RECORD_INVARIANTS_H

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "cache/octets.h"
#include "store/record.h"

enum {
  RECORD_AT_VERSION = 4,
  RECORD_AT_KIND = 5,
  RECORD_AT_SEALED = 6,
  RECORD_AT_GENERATION = 7,
  RECORD_AT_CREATED = 15,
  RECORD_AT_EXPIRES = 23,
  RECORD_AT_STALE_UNTIL = 31,
  RECORD_AT_ORIGIN = 39,
  RECORD_CHECKSUM_BYTES = 8,
};

/* Parses a copy that ends where its block ends, so that AddressSanitizer sees a read beyond. */
static inline enum record_status record_parse_copy(const uint8_t *bytes, size_t length, enum record_kind kind,
                                                   const char *name, const char *key, const struct seal *seal,
                                                   const struct image_time *time, struct record *record) {
  uint8_t *copy = malloc(length ? length : 1);
  if (!copy)
    abort();
  if (length > 0)
    memcpy(copy, bytes, length);
  memset(record, 0xa5, sizeof(*record));
  enum record_status status = record_parse(copy, length, kind, name, key, seal, time, record);
  free(copy);
  return status;
}

/* Closes the `length` octets of a record before MAC and checksum as its writer would. Returns its length. */
static inline size_t record_close(uint8_t *bytes, size_t length, const char *key, const struct seal *seal) {
  if (length > RECORD_AT_SEALED)
    bytes[RECORD_AT_SEALED] = seal != NULL;
  if (seal) {
    seal_make(seal, key, strlen(key), bytes, length, bytes + length);
    length += SEAL_BYTES;
  }
  uint64_t checksum = digest_64(bytes, length, 0);
  for (size_t i = 0; i < RECORD_CHECKSUM_BYTES; i++)
    bytes[length++] = (uint8_t)(checksum >> 8 * i);
  return length;
}

static inline const char *record_broken_in_times(const struct record *record, const struct image_time *time) {
  const int64_t life_ms = RECORD_LIFE_MAX_S * INT64_C(1000), stale_ms = RECORD_STALE_MAX_S * INT64_C(1000);
  if (record->created_at_ms > time->now_ms)
    return "nothing is learned later than now";
  if (record->created_at_ms >= record->expires_at_ms && record->kind == RECORD_DOMAIN)
    return "a life is not empty";
  if (record->expires_at_ms - record->created_at_ms > life_ms)
    return "a life is bounded";
  if (record->stale_until_ms < record->expires_at_ms ||
      record->stale_until_ms - record->expires_at_ms > stale_ms)
    return "what is stale is so for a bounded time";
  return record->stale_until_ms <= time->now_ms ? "what is beyond its time is refused" : NULL;
}

static inline const char *record_broken_in_domain(const struct record *record) {
  const struct domain_value *value = &record->domain;
  static struct domain_value again;
  if (value->stored_at_ms != record->created_at_ms || value->expires_at_ms != record->expires_at_ms)
    return "a domain has the times of its record";
  if (value->cause || value->failures || value->refresh_lead_ms)
    return "what is not shared is 0";
  if (value->canonical[0] && !octets_is_name(value->canonical, strlen(value->canonical)))
    return "what a domain is an alias of is a name";
  for (uint16_t i = 0; i < value->count; i++)
    if (!octets_is_name(value->exchanges[i].host, strlen(value->exchanges[i].host)) ||
        value->exchanges[i].port)
      return "an exchange has a name and no port";
  if (value->kind != DOMAIN_MX)
    return (value->count == 1) == (value->kind == DOMAIN_NODATA) && value->count <= 1
               ? NULL
               : "only a domain without MX is its own exchange";
  memcpy(&again, value, sizeof(again));
  domain_value_normalise(&again, 0, NULL);
  if (again.kind != DOMAIN_MX || again.count != value->count)
    return "the rules of exchanges have been applied";
  for (uint16_t i = 0; i < value->count; i++)
    if (again.exchanges[i].preference != value->exchanges[i].preference ||
        strcmp(again.exchanges[i].host, value->exchanges[i].host) != 0)
      return "exchanges are in order";
  return NULL;
}

static inline const char *record_broken_in_family(const struct record *record, enum family family) {
  const struct family_value *value = &record->families[family];
  if ((value->state != FAMILY_UNKNOWN && !octets_is_definite(value->state)) ||
      (value->count > 0) != (value->state == FAMILY_OK))
    return "a family has addresses, or says that there are none, or is unknown";
  if (value->count > FACTS_ADDRESSES_MAX || value->failures || value->refresh_at_ms || value->stale_until_ms)
    return "what is not shared is 0";
  if (value->state == FAMILY_UNKNOWN)
    return value->expires_at_ms == INT64_MIN && value->life_ms == 0 ? NULL
                                                                    : "what is unknown has expired for ever";
  if (value->expanded[0] && !octets_is_name(value->expanded, strlen(value->expanded)))
    return "what a host is an alias of is a name";
  if (record->learned_at_ms[family] > record->created_at_ms || value->expires_at_ms > record->expires_at_ms ||
      value->expires_at_ms <= record->learned_at_ms[family] ||
      value->expires_at_ms - record->learned_at_ms[family] != value->life_ms)
    return "the times of a family are within those of its record";
  return NULL;
}

static inline const char *record_broken_in_host(const struct record *record) {
  const char *broken = record_broken_in_family(record, FAMILY_V6);
  if (!broken)
    broken = record_broken_in_family(record, FAMILY_V4);
  if (!broken && record->families[FAMILY_V6].state == FAMILY_UNKNOWN &&
      record->families[FAMILY_V4].state == FAMILY_UNKNOWN)
    broken = "something is known of a host";
  struct host_facts *facts = broken ? NULL : host_facts_build(record->families);
  if (!broken && !facts)
    broken = "facts can be made of it";
  free(facts);
  return broken;
}

/* The broken rule, or NULL, of the RECORD_GOOD that was made of `bytes`. */
static inline const char *record_check(const uint8_t *bytes, size_t length, const char *key,
                                       const struct seal *seal, const struct image_time *time,
                                       const struct record *record) {
  uint8_t again[RECORD_MAX];
  const char *broken = record_broken_in_times(record, time);
  if (!broken)
    broken = record->kind == RECORD_DOMAIN ? record_broken_in_domain(record) : record_broken_in_host(record);
  if (!broken && !record_is_same(record, record))
    broken = "a record is the same as itself";
  bool was_ahead = false;
  for (int i = 0; i < 8; i++)
    was_ahead |= ((uint64_t)(record->created_at_ms - time->now_ms + time->wall_ms) >> 8 * i & 0xff) !=
                 bytes[RECORD_AT_CREATED + i];
  if (!broken && !was_ahead && bytes[RECORD_AT_SEALED] == (seal != NULL) &&
      (record_pack(again, record, key, seal, time) != length || memcmp(again, bytes, length) != 0))
    broken = "there is one way to write a record";
  return broken;
}

#endif
