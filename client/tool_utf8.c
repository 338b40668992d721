#include "tool_utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool is_continuation(uint8_t octet) { return (octet & 0xc0) == 0x80; }

/* The length of the well-formed character at the start, 0 for none (RFC 3629 section 4). */
static size_t character_length(const uint8_t *at, size_t left) {
  if (at[0] < 0x80)
    return 1;
  if (at[0] < 0xc2 || at[0] > 0xf4 || left < 2)
    return 0;
  if (at[0] < 0xe0)
    return is_continuation(at[1]) ? 2 : 0;
  uint8_t low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
  uint8_t high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
  if (at[1] < low || at[1] > high || left < 3 || !is_continuation(at[2]))
    return 0;
  if (at[0] < 0xf0)
    return 3;
  return left >= 4 && is_continuation(at[3]) ? 4 : 0;
}

static bool is_control(const uint8_t *at, size_t length) {
  if (length == 1)
    return at[0] < 0x20 || at[0] == 0x7f;
  return length == 2 && at[0] == 0xc2 && at[1] < 0xa0;
}

char *tool_utf8_repair(const char *text, size_t length, bool for_terminal, size_t *repaired_length) {
  static const char replacement[] = "\xef\xbf\xbd";
  const size_t replacement_length = sizeof replacement - 1;
  char *repaired = malloc(length * replacement_length + 1);
  if (!repaired)
    return NULL;
  char *to = repaired;
  const uint8_t *from = (const uint8_t *)text;
  for (size_t i = 0; i < length;) {
    size_t taken = character_length(from + i, length - i);
    if (taken == 0 || (for_terminal && is_control(from + i, taken))) {
      memcpy(to, replacement, replacement_length);
      to += replacement_length;
    } else {
      memcpy(to, from + i, taken);
      to += taken;
    }
    i += taken ? taken : 1;
  }
  *to = '\0';
  *repaired_length = (size_t)(to - repaired);
  return repaired;
}

size_t tool_utf8_columns_of(const char *text, size_t length) {
  size_t columns = 0;
  for (size_t i = 0; i < length; i++)
    columns += !is_continuation((uint8_t)text[i]);
  return columns;
}

size_t tool_utf8_columns(const char *text) { return tool_utf8_columns_of(text, strlen(text)); }
