/*
 * reach: can mail go to an address at all (ROUTING O6)?
 *
 * Some addresses name no host that a sender could reach: this network, loopback, multicast,
 * broadcast, the discard prefix. They are dropped always; private ones only where the operator says so;
 * what his allow list holds is never dropped. An IPv4 address inside an IPv6 address is judged like
 * itself, because that is where a connection would end. Addresses outside of these, reserved ones
 * (240.0.0.0/4, fec0::/10) among them, are ordinary: who knows what they will be.
 *
 * Pure, and cheap: a few comparisons an address. An address is 4 or 16 octets in network order.
 */
#ifndef MXWAY_DAEMON_REACH_H
#define MXWAY_DAEMON_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

enum reach {
  REACH_ORDINARY,
  REACH_PRIVATE,    /* 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7 */
  REACH_LINK_LOCAL, /* 169.254/16, fe80::/10; private too */
  /* From here on always dropped. */
  REACH_UNSPECIFIED, /* 0.0.0.0/8 (RFC 1122 section 3.2.1.3), :: */
  REACH_LOOPBACK,    /* 127/8, ::1 */
  REACH_MULTICAST,   /* 224/4, ff00::/8 */
  REACH_BROADCAST,   /* 255.255.255.255 */
  REACH_DISCARD,     /* 100::/64 (RFC 6666) */
};

struct reach_policy {
  bool drop_private;
  uint16_t allow_count;
  const struct address_prefix *allow; /* lent */
};

/* What an address is, or the IPv4 address in it: mapped (RFC 4291 section 2.5.5), NAT64 (RFC 6052 section
 * 2.2, RFC 8215), 6to4 (RFC 3056), Teredo's client (RFC 4380 section 4). */
enum reach reach_of(const uint8_t *octets, size_t length);

/* Whether `policy` drops an address. The allow list is looked at only for those that are not
 * ordinary. */
bool reach_is_dropped(const struct reach_policy *policy, const uint8_t *octets, size_t length);

/* "loopback", ...; static storage. */
const char *reach_text(enum reach reach);

#endif
