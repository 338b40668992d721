#include "dname.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { LABEL_MAX = 63 };

static uint8_t small(uint8_t octet) {
  return octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet + ('a' - 'A')) : octet;
}

/* One character or escape of master-file text at *at; false for a broken escape. */
static bool read_octet(const char *text, size_t length, size_t *at, uint8_t *octet) {
  if (text[*at] != '\\') {
    *octet = (uint8_t)text[(*at)++];
    return true;
  }
  const char *escape = text + *at + 1;
  size_t left = length - *at - 1;
  if (left == 0)
    return false;
  if (!isdigit((unsigned char)escape[0])) {
    *octet = (uint8_t)escape[0];
    *at += 2;
    return true;
  }
  if (left < 3 || !isdigit((unsigned char)escape[1]) || !isdigit((unsigned char)escape[2]))
    return false;
  int value = (escape[0] - '0') * 100 + (escape[1] - '0') * 10 + (escape[2] - '0');
  if (value > 255)
    return false;
  *octet = (uint8_t)value;
  *at += 4;
  return true;
}

/* One label at *at, up to a dot or the end. */
static bool read_label(const char *text, size_t length, size_t *at, struct dname *out) {
  size_t label_at = out->length, label_length = 0;
  if (label_at >= DNAME_MAX)
    return false;
  while (*at < length && text[*at] != '.') {
    uint8_t octet;
    if (!read_octet(text, length, at, &octet) || label_length == LABEL_MAX ||
        label_at + 1 + label_length >= DNAME_MAX)
      return false;
    out->bytes[label_at + 1 + label_length++] = small(octet);
  }
  if (label_length == 0)
    return false;
  out->bytes[label_at] = (uint8_t)label_length;
  out->length = (uint8_t)(label_at + 1 + label_length);
  return true;
}

bool dname_parse(const char *text, size_t length, const struct dname *origin, struct dname *out) {
  static const struct dname root = {.length = 1};
  struct dname name = {.length = 0};
  bool is_absolute = length == 1 && text[0] == '.';
  for (size_t at = is_absolute ? 1 : 0; at < length;) {
    if (!read_label(text, length, &at, &name))
      return false;
    if (at < length && ++at == length)
      is_absolute = true;
  }
  if (length == 0)
    return false;
  const struct dname *tail = is_absolute || !origin ? &root : origin;
  if (name.length + (size_t)tail->length > DNAME_MAX)
    return false;
  memcpy(name.bytes + name.length, tail->bytes, tail->length);
  name.length = (uint8_t)(name.length + tail->length);
  *out = name;
  return true;
}

bool dname_read(const uint8_t *message, size_t length, size_t *at, struct dname *out) {
  size_t from = *at, used = 0;
  for (;;) {
    if (from + used >= length)
      return false;
    size_t label = message[from + used];
    if (label > LABEL_MAX || used + 1 + label > DNAME_MAX || from + used + 1 + label > length)
      return false;
    out->bytes[used++] = (uint8_t)label;
    if (label == 0)
      break;
    for (size_t i = 0; i < label; i++, used++)
      out->bytes[used] = small(message[from + used]);
    if (used >= DNAME_MAX)
      return false;
  }
  out->length = (uint8_t)used;
  *at = from + used;
  return true;
}

const char *dname_text(const struct dname *name, char text[DNAME_TEXT_SIZE]) {
  size_t used = 0;
  for (size_t at = 0; name->bytes[at] != 0;) {
    size_t end = at + 1 + name->bytes[at];
    if (at > 0)
      text[used++] = '.';
    for (at++; at < end; at++) {
      uint8_t octet = name->bytes[at];
      if (octet == '.' || octet == '\\' || octet <= ' ' || octet >= 0x7f)
        used += (size_t)snprintf(text + used, 5, "\\%03u", octet);
      else
        text[used++] = (char)octet;
    }
  }
  if (used == 0)
    text[used++] = '.';
  text[used] = '\0';
  return text;
}

bool dname_equal(const struct dname *a, const struct dname *b) {
  return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

void dname_parent(const struct dname *name, struct dname *parent) {
  size_t first = name->bytes[0] ? (size_t)name->bytes[0] + 1 : 0;
  parent->length = (uint8_t)(name->length - first);
  memmove(parent->bytes, name->bytes + first, parent->length);
}

bool dname_is_within(const struct dname *name, const struct dname *apex) {
  size_t at = 0;
  while (name->length - at > apex->length)
    at += (size_t)name->bytes[at] + 1;
  return name->length - at == apex->length && memcmp(name->bytes + at, apex->bytes, apex->length) == 0;
}

bool dname_prepend(const char *label, const struct dname *parent, struct dname *out) {
  size_t length = strlen(label);
  if (length == 0 || length > LABEL_MAX || 1 + length + parent->length > DNAME_MAX)
    return false;
  struct dname name = {.length = (uint8_t)(1 + length + parent->length)};
  name.bytes[0] = (uint8_t)length;
  memcpy(name.bytes + 1, label, length);
  memcpy(name.bytes + 1 + length, parent->bytes, parent->length);
  *out = name;
  return true;
}

uint64_t dname_hash(const struct dname *name, uint64_t seed) {
  return XXH3_64bits_withSeed(name->bytes, name->length, seed);
}

uint64_t dname_mix(uint64_t a, uint64_t b) {
  /* splitmix64 of both, by Sebastiano Vigna. */
  uint64_t x = a + b * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}
