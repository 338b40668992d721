#include "dns/dnsquery.h"

#include <string.h>

#include "base/random.h"

enum { HEADER_LENGTH = 12, FLAGS_RD_AD = 0x0120, CLASS_IN = 1, TYPE_OPT = 41 };

static uint8_t draw(struct dnsquery_source *source) {
  if (source->left == 0) {
    random_bytes(source->octets, sizeof(source->octets));
    source->left = sizeof(source->octets);
  }
  return source->octets[--source->left];
}

static uint8_t *put16(uint8_t *at, unsigned value) {
  *at++ = (uint8_t)(value >> 8);
  *at++ = (uint8_t)value;
  return at;
}

static bool is_letter(uint8_t octet) { return (uint8_t)((octet | 0x20) - 'a') < 26; }

static uint8_t *put_name(uint8_t *at, const char *name) {
  while (*name) {
    size_t length = strcspn(name, ".");
    *at++ = (uint8_t)length;
    memcpy(at, name, length);
    at += length;
    name += name[length] == '.' ? length + 1 : length;
  }
  *at++ = 0;
  return at;
}

/* Tosses a coin for each letter. */
static void mix_case(struct dnsquery_source *source, uint8_t *name, const uint8_t *end) {
  uint8_t coins = 0;
  for (unsigned left = 0; name < end; name++) {
    if (!is_letter(*name)) /* the length of a label is none: it is at most 63 */
      continue;
    if (left == 0) {
      coins = draw(source);
      left = 8;
    }
    *name ^= (uint8_t)((coins >> --left & 1) << 5);
  }
}

size_t dnsquery_build(struct dnsquery_source *source, const char *name, uint16_t qtype,
                      const struct dnsquery_options *options, uint8_t bytes[DNSQUERY_BYTES_MAX]) {
  uint8_t *at = bytes;
  *at++ = draw(source);
  *at++ = draw(source);
  at = put16(at, FLAGS_RD_AD);
  at = put16(at, 1);
  at = put16(at, 0);
  at = put16(at, 0);
  at = put16(at, options->with_edns ? 1 : 0);
  uint8_t *question = at;
  at = put_name(at, name);
  if (options->random_case)
    mix_case(source, question, at);
  at = put16(at, qtype);
  at = put16(at, CLASS_IN);
  if (options->with_edns) {
    *at++ = 0;
    at = put16(at, TYPE_OPT);
    at = put16(at, options->edns_size);
    memset(at, 0, 6);
    at += 6;
  }
  return (size_t)(at - bytes);
}

enum dnsquery_match dnsquery_compare(const uint8_t *question, size_t length, const uint8_t *reply,
                                     size_t reply_length) {
  if (reply_length < HEADER_LENGTH + length || reply[4] != 0 || reply[5] != 1)
    return DNSQUERY_OTHER;
  const uint8_t *other = reply + HEADER_LENGTH;
  if (memcmp(question, other, length) == 0)
    return DNSQUERY_EXACT;
  for (size_t i = 0; i < length; i++) {
    bool differs_in_case = is_letter(question[i]) && (question[i] ^ other[i]) == 0x20;
    if (question[i] != other[i] && !differs_in_case)
      return DNSQUERY_OTHER;
  }
  return DNSQUERY_OTHER_CASE;
}
