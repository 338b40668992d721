/*
 * address: socket addresses of servers and prefixes of networks, read from text and printed.
 *
 * Numbers only: a name is never looked up. Pure but for the names of network interfaces.
 */
#ifndef MXWAY_DAEMON_ADDRESS_H
#define MXWAY_DAEMON_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Octets of the longest text, "[IPv6%scope]:port", with its terminator. */
enum { ADDRESS_TEXT_SIZE = 64 };

/* Reads IPV4, IPV6, IPV4:PORT, [IPV6] or [IPV6]:PORT; an IPv6 address may end in
 * %INTERFACE (RFC 4007 section 11), by name or number. False for anything else. */
bool address_parse(const char *text, uint16_t default_port, struct sockaddr_storage *address);

/* Prints IPV4:PORT or [IPV6]:PORT, which address_parse reads; returns `text`. */
const char *address_text(const struct sockaddr_storage *address, char text[ADDRESS_TEXT_SIZE]);

/* A network: IPv4 in its mapped form, ::ffff:0:0/96 and more bits, so that both spellings are one. */
struct address_prefix {
  uint8_t octets[16]; /* zero behind `bits` */
  uint8_t bits;       /* 0 to 128 */
};

/* Reads IPV4/BITS, IPV6/BITS or an address alone, whose every bit counts. Bits behind the prefix must
 * be zero: 192.0.2.1/24 is a mistake. False for anything else. */
bool address_prefix_parse(const char *text, struct address_prefix *prefix);

/* Prints what address_prefix_parse reads; returns `text`. */
const char *address_prefix_text(const struct address_prefix *prefix, char text[ADDRESS_TEXT_SIZE]);

/* Whether an address of 4 or 16 octets lies in `prefix`. */
bool address_prefix_holds(const struct address_prefix *prefix, const uint8_t *octets, size_t length);

#endif
