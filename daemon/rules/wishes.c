#include "rules/wishes.h"

#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "rules/name.h"

/* The kind of an item: its list, and whether it is an address. */
static uint8_t kind_of(enum wish wish, bool is_address) { return (uint8_t)(wish << 1 | is_address); }

void wishes_init(struct wishes *wishes) { memset(wishes, 0, sizeof(*wishes)); }

size_t wishes_bytes(const struct wishes *wishes) { return wishes ? sizeof(*wishes) + wishes->length : 0; }

/* Counts what a caller has sent against the bound. */
static bool charge(struct wishes *wishes, const char *field, size_t length, char detail[WISHES_DETAIL_SIZE]) {
  if (length > (size_t)(WISHES_OCTETS_MAX - wishes->octets)) {
    snprintf(detail, WISHES_DETAIL_SIZE, "%s: more than %d octets of names, addresses and key", field,
             WISHES_OCTETS_MAX);
    return false;
  }
  wishes->octets = (uint16_t)(wishes->octets + length);
  return true;
}

bool wishes_set_key(struct wishes *wishes, const char *field, const void *key, size_t length,
                    char detail[WISHES_DETAIL_SIZE]) {
  if (!charge(wishes, field, length, detail))
    return false;
  wishes->key = digest_64(key, length, 0);
  return true;
}

static bool add(struct wishes *wishes, enum wish wish, bool is_address, const char *field, const void *octets,
                size_t length, char detail[WISHES_DETAIL_SIZE]) {
  unsigned count = 0;
  for (enum wish any = 0; any < WISH_COUNT; any++)
    count += wishes->counts[any];
  if (count == WISHES_ITEMS_MAX) {
    snprintf(detail, WISHES_DETAIL_SIZE, "%s: more than %d names and addresses", field, WISHES_ITEMS_MAX);
    return false;
  }
  if (!charge(wishes, field, length, detail))
    return false;
  uint8_t *at = wishes->items + wishes->length;
  at[0] = kind_of(wish, is_address);
  at[1] = (uint8_t)length;
  memcpy(at + 2, octets, length);
  wishes->length = (uint16_t)(wishes->length + 2 + length);
  wishes->counts[wish]++;
  return true;
}

/* Leaves the IPv4 address of a mapped one (RFC 4291 section 2.5.5.2). */
static void unmap(const uint8_t **octets, size_t *length) {
  static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
  if (*length == 16 && memcmp(*octets, mapped, sizeof(mapped)) == 0) {
    *octets += sizeof(mapped);
    *length -= sizeof(mapped);
  }
}

bool wishes_add_address(struct wishes *wishes, enum wish wish, const char *field, const uint8_t *octets,
                        size_t length, char detail[WISHES_DETAIL_SIZE]) {
  if (length != 4 && length != 16) {
    snprintf(detail, WISHES_DETAIL_SIZE, "%s: an address has 4 or 16 octets", field);
    return false;
  }
  unmap(&octets, &length);
  return add(wishes, wish, true, field, octets, length, detail);
}

bool wishes_add_text(struct wishes *wishes, enum wish wish, const char *field, const uint8_t *text,
                     size_t length, char detail[WISHES_DETAIL_SIZE]) {
  static const struct name_policy liberal = {.accept_bare_ip = true, .allow_single_label = true};
  struct name name;
  enum name_error error = name_parse(text, length, &liberal, &name);
  if (error != NAME_OK) {
    snprintf(detail, WISHES_DETAIL_SIZE, "%s: %s", field, name_error_text(error));
    return false;
  }
  if (name.kind == NAME_LITERAL)
    return wishes_add_address(wishes, wish, field, name.address, name.address_length, detail);
  return add(wishes, wish, false, field, name.text, name.length, detail);
}

static bool have(const struct wishes *wishes, uint8_t kind, const void *octets, size_t length) {
  const uint8_t *end = wishes->items + wishes->length;
  for (const uint8_t *at = wishes->items; at < end; at += 2 + at[1])
    if (at[0] == kind && at[1] == length && memcmp(at + 2, octets, length) == 0)
      return true;
  return false;
}

bool wishes_have_name(const struct wishes *wishes, enum wish wish, const char *text, size_t length) {
  return wishes_have(wishes, wish) && have(wishes, kind_of(wish, false), text, length);
}

bool wishes_have_address(const struct wishes *wishes, enum wish wish, const uint8_t *octets, size_t length) {
  if (!wishes_have(wishes, wish))
    return false;
  unmap(&octets, &length);
  return have(wishes, kind_of(wish, true), octets, length);
}
