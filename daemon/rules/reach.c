#include "rules/reach.h"

#include <string.h>

static enum reach reach_of_v4(const uint8_t octets[4]) {
  switch (octets[0]) {
  case 0:
    return REACH_UNSPECIFIED;
  case 10:
    return REACH_PRIVATE;
  case 100:
    return (octets[1] & 0xc0) == 64 ? REACH_PRIVATE : REACH_ORDINARY;
  case 127:
    return REACH_LOOPBACK;
  case 169:
    return octets[1] == 254 ? REACH_LINK_LOCAL : REACH_ORDINARY;
  case 172:
    return (octets[1] & 0xf0) == 16 ? REACH_PRIVATE : REACH_ORDINARY;
  case 192:
    return octets[1] == 168 ? REACH_PRIVATE : REACH_ORDINARY;
  case 255:
    return octets[1] == 255 && octets[2] == 255 && octets[3] == 255 ? REACH_BROADCAST : REACH_ORDINARY;
  }
  return octets[0] >= 224 && octets[0] < 240 ? REACH_MULTICAST : REACH_ORDINARY;
}

static bool are_zero(const uint8_t *octets, size_t count) {
  static const uint8_t zeros[16];
  return memcmp(octets, zeros, count) == 0;
}

/* In 64:ff9b:1::/48 operators choose the length of their prefix (RFC 8215 section 5); what stands behind
 * the IPv4 address is zero (RFC 6052 section 2.2), which tells the length. Octet 8 is never used. */
static void take_local_nat64(const uint8_t octets[16], uint8_t v4[4]) {
  static const uint8_t place_of[3][4] = {{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}};
  for (size_t i = 0; i < 3; i++) {
    const uint8_t *place = place_of[i];
    size_t behind = place[3] + 1u;
    if (octets[8] != 0 || !are_zero(octets + behind, 16 - behind))
      continue;
    for (size_t j = 0; j < 4; j++)
      v4[j] = octets[place[j]];
    return;
  }
  memcpy(v4, octets + 12, 4);
}

/* Takes the IPv4 address out of an IPv6 address that holds one. */
static bool take_v4(const uint8_t octets[16], uint8_t v4[4]) {
  static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
  static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
  static const uint8_t local_nat64[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
  static const uint8_t teredo[4] = {0x20, 1};
  if (are_zero(octets, 12) || memcmp(octets, mapped, 12) == 0 || memcmp(octets, nat64, 12) == 0) {
    memcpy(v4, octets + 12, 4);
  } else if (memcmp(octets, local_nat64, 6) == 0) {
    take_local_nat64(octets, v4);
  } else if (octets[0] == 0x20 && octets[1] == 2) { /* 6to4 */
    memcpy(v4, octets + 2, 4);
  } else if (memcmp(octets, teredo, 4) == 0) {
    for (size_t i = 0; i < 4; i++)
      v4[i] = octets[12 + i] ^ 0xff;
  } else {
    return false;
  }
  return true;
}

static enum reach reach_of_v6(const uint8_t octets[16]) {
  static const uint8_t loopback[16] = {[15] = 1}, discard[8] = {1};
  uint8_t v4[4];
  if (octets[0] == 0xff)
    return REACH_MULTICAST;
  if (octets[0] == 0xfe && (octets[1] & 0xc0) == 0x80)
    return REACH_LINK_LOCAL;
  if ((octets[0] & 0xfe) == 0xfc)
    return REACH_PRIVATE;
  if (memcmp(octets, loopback, 16) == 0)
    return REACH_LOOPBACK;
  if (memcmp(octets, discard, 8) == 0)
    return REACH_DISCARD;
  return take_v4(octets, v4) ? reach_of_v4(v4) : REACH_ORDINARY;
}

enum reach reach_of(const uint8_t *octets, size_t length) {
  return length == 4 ? reach_of_v4(octets) : reach_of_v6(octets);
}

static bool is_allowed(const struct reach_policy *policy, const uint8_t *octets, size_t length) {
  for (uint16_t i = 0; i < policy->allow_count; i++)
    if (address_prefix_holds(&policy->allow[i], octets, length))
      return true;
  return false;
}

bool reach_is_dropped(const struct reach_policy *policy, const uint8_t *octets, size_t length) {
  enum reach reach = reach_of(octets, length);
  uint8_t v4[4];
  if (reach == REACH_ORDINARY || (reach < REACH_UNSPECIFIED && !policy->drop_private))
    return false;
  if (is_allowed(policy, octets, length))
    return false;
  return length == 4 || !take_v4(octets, v4) || !is_allowed(policy, v4, 4);
}

const char *reach_text(enum reach reach) {
  switch (reach) {
  case REACH_ORDINARY:
    return "ordinary";
  case REACH_PRIVATE:
    return "private";
  case REACH_LINK_LOCAL:
    return "link-local";
  case REACH_UNSPECIFIED:
    return "unspecified";
  case REACH_LOOPBACK:
    return "loopback";
  case REACH_MULTICAST:
    return "multicast";
  case REACH_BROADCAST:
    return "broadcast";
  case REACH_DISCARD:
    return "discard-only";
  }
  return "";
}
