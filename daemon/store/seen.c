#include "store/seen.h"

#include <string.h>

#include "base/digest.h"

/* Far from the ends of the numbers, as it is reckoned with. */
static const int64_t for_ever_ms = INT64_MAX / 2;

/* ---- digests ---- */

static uint64_t add_octets(uint64_t digest, const void *bytes, size_t length) {
  return digest_64(bytes, length, digest);
}

/* With its end, so that two texts are not one. */
static uint64_t add_text(uint64_t digest, const char *text) {
  return add_octets(digest, text, strlen(text) + 1);
}

static uint64_t add_number(uint64_t digest, uint64_t number) {
  return add_octets(digest, &number, sizeof(number));
}

static uint64_t digest_of_domain(const struct domain_value *value) {
  uint64_t digest =
      add_number(0, (uint64_t)value->kind << 32 | (uint64_t)value->authentic << 16 | value->warnings);
  digest = add_text(digest, value->canonical);
  for (uint16_t i = 0; i < value->count; i++)
    digest = add_text(add_number(digest, value->exchanges[i].preference), value->exchanges[i].host);
  return digest;
}

/* Whether a family is among what is shared: record_pack. */
static bool is_known(const struct record *record, enum family family) {
  enum family_state state = record->families[family].state;
  return (state == FAMILY_OK || state == FAMILY_NODATA || state == FAMILY_NXDOMAIN) &&
         record->families[family].expires_at_ms > record->learned_at_ms[family];
}

/* The order of addresses says nothing: their digests are summed. */
static uint64_t add_family(uint64_t digest, const struct record *record, enum family family) {
  const struct family_value *value = &record->families[family];
  uint64_t sum = 0;
  if (!is_known(record, family))
    return add_number(digest, 0);
  for (uint8_t i = 0; i < value->count; i++)
    sum += add_octets(0, value->addresses[i], family == FAMILY_V6 ? 16 : 4);
  digest = add_number(digest, (uint64_t)value->state << 16 | (uint64_t)value->authentic << 8 | value->count);
  return add_number(digest, sum);
}

static const char *expanded_of(const struct record *record) {
  const char *v6 = record->families[FAMILY_V6].expanded, *v4 = record->families[FAMILY_V4].expanded;
  if (is_known(record, FAMILY_V4) && v4[0])
    return v4;
  return is_known(record, FAMILY_V6) ? v6 : "";
}

static uint64_t digest_of_host(const struct record *record) {
  uint64_t digest = add_text(0, expanded_of(record));
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    digest = add_family(digest, record, family);
  return digest;
}

static struct seen_row build_row(uint64_t hash, const struct record *record) {
  struct seen_row row = {.hash = hash};
  bool is_domain = record->kind == RECORD_DOMAIN;
  row.digest = is_domain ? digest_of_domain(&record->domain) : digest_of_host(record);
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if (is_domain)
      row.expires_at_ms[family] = record->domain.expires_at_ms;
    else
      row.expires_at_ms[family] =
          is_known(record, family) ? record->families[family].expires_at_ms : for_ever_ms;
  return row;
}

/* ---- the room ---- */

void seen_put(struct seen *seen, uint64_t hash, const struct record *record) {
  seen->rows[hash % SEEN_COUNT] = build_row(hash, record);
}

bool seen_has(const struct seen *seen, uint64_t hash, const struct record *record, int64_t now_ms) {
  const struct seen_row *old = &seen->rows[hash % SEEN_COUNT], new = build_row(hash, record);
  if (old->hash != hash || old->digest != new.digest)
    return false;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if (old->expires_at_ms[family] - now_ms < (new.expires_at_ms[family] - now_ms) / 10 * SEEN_TENTHS)
      return false;
  return true;
}

void seen_remove(struct seen *seen, uint64_t hash) {
  if (seen->rows[hash % SEEN_COUNT].hash == hash)
    seen->rows[hash % SEEN_COUNT] = (struct seen_row){0};
}
