#include "base/address.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Decimal digits only, of a number up to `max`. */
static bool parse_number(const char *text, uint64_t max, uint64_t *number) {
  uint64_t value = 0;
  if (!*text)
    return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9')
      return false;
    value = value * 10 + (uint64_t)(*text - '0');
    if (value > max)
      return false;
  }
  *number = value;
  return true;
}

static bool parse_scope(const char *scope, uint32_t *index) {
  uint64_t number;
  *index = parse_number(scope, UINT32_MAX, &number) ? (uint32_t)number : if_nametoindex(scope);
  return *index != 0;
}

static bool parse_v4(const char *host, uint16_t port, struct sockaddr_storage *address) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)address;
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

static bool parse_v6(char *host, uint16_t port, struct sockaddr_storage *address) {
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
  char *percent = strchr(host, '%');
  if (percent) {
    *percent = '\0';
    if (!parse_scope(percent + 1, &v6->sin6_scope_id))
      return false;
  }
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
}

bool address_parse(const char *text, uint16_t default_port, struct sockaddr_storage *address) {
  char host[ADDRESS_TEXT_SIZE];
  bool bracketed = text[0] == '[';
  if (strlen(text) >= sizeof(host))
    return false;
  memcpy(host, text + bracketed, strlen(text + bracketed) + 1);
  char *colon = strchr(host, ':');
  bool is_v6 = bracketed || (colon && strchr(colon + 1, ':'));
  if (is_v6)
    colon = NULL; /* this one belongs to the address */
  if (bracketed) {
    char *bracket = strchr(host, ']');
    if (!bracket || (bracket[1] && bracket[1] != ':'))
      return false;
    *bracket = '\0';
    colon = bracket[1] ? bracket + 1 : NULL;
  }
  uint64_t port = default_port;
  if (colon) {
    *colon = '\0';
    if (!parse_number(colon + 1, UINT16_MAX, &port) || port == 0)
      return false;
  }
  memset(address, 0, sizeof(*address));
  return is_v6 ? parse_v6(host, (uint16_t)port, address) : parse_v4(host, (uint16_t)port, address);
}

const char *address_text(const struct sockaddr_storage *address, char text[ADDRESS_TEXT_SIZE]) {
  char host[40]; /* the longest IPv6 address and its terminator */
  if (address->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
    snprintf(text, ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(v4->sin_port));
    return text;
  }
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
  inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
  if (v6->sin6_scope_id)
    snprintf(text, ADDRESS_TEXT_SIZE, "[%s%%%" PRIu32 "]:%u", host, v6->sin6_scope_id, ntohs(v6->sin6_port));
  else
    snprintf(text, ADDRESS_TEXT_SIZE, "[%s]:%u", host, ntohs(v6->sin6_port));
  return text;
}

/* ---- prefixes ---- */

static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
enum { MAPPED_BITS = 96 };

static bool bits_agree(const uint8_t *a, const uint8_t *b, unsigned bits) {
  unsigned octets = bits / 8, rest = bits % 8;
  if (memcmp(a, b, octets) != 0)
    return false;
  return rest == 0 || (uint8_t)((a[octets] ^ b[octets]) >> (8 - rest)) == 0;
}

/* Whether nothing is set behind the first `bits`. */
static bool is_clean(const uint8_t octets[16], unsigned bits) {
  for (unsigned i = bits; i < 128; i++)
    if (octets[i / 8] & 0x80 >> i % 8)
      return false;
  return true;
}

bool address_prefix_parse(const char *text, struct address_prefix *prefix) {
  char host[ADDRESS_TEXT_SIZE];
  size_t length = strcspn(text, "/");
  if (length >= sizeof(host))
    return false;
  memcpy(host, text, length);
  host[length] = '\0';
  struct address_prefix parsed = {.bits = 0};
  bool is_v4 = inet_pton(AF_INET, host, parsed.octets + sizeof(mapped)) == 1;
  if (is_v4)
    memcpy(parsed.octets, mapped, sizeof(mapped));
  else if (inet_pton(AF_INET6, host, parsed.octets) != 1)
    return false;
  unsigned least = is_v4 ? MAPPED_BITS : 0;
  uint64_t bits = 128 - least;
  if (text[length] && !parse_number(text + length + 1, 128 - least, &bits))
    return false;
  parsed.bits = (uint8_t)(least + bits);
  if (!is_clean(parsed.octets, parsed.bits))
    return false;
  *prefix = parsed;
  return true;
}

const char *address_prefix_text(const struct address_prefix *prefix, char text[ADDRESS_TEXT_SIZE]) {
  char host[INET6_ADDRSTRLEN];
  bool is_v4 = prefix->bits >= MAPPED_BITS && memcmp(prefix->octets, mapped, sizeof(mapped)) == 0;
  unsigned least = is_v4 ? MAPPED_BITS : 0;
  inet_ntop(is_v4 ? AF_INET : AF_INET6, prefix->octets + least / 8, host, sizeof(host));
  if (prefix->bits == 128)
    snprintf(text, ADDRESS_TEXT_SIZE, "%s", host);
  else
    snprintf(text, ADDRESS_TEXT_SIZE, "%s/%u", host, prefix->bits - least);
  return text;
}

bool address_prefix_holds(const struct address_prefix *prefix, const uint8_t *octets, size_t length) {
  if (length == 16)
    return bits_agree(prefix->octets, octets, prefix->bits);
  if (prefix->bits < MAPPED_BITS)
    return bits_agree(prefix->octets, mapped, prefix->bits);
  return memcmp(prefix->octets, mapped, sizeof(mapped)) == 0 &&
         bits_agree(prefix->octets + sizeof(mapped), octets, prefix->bits - MAPPED_BITS);
}
