/*
 * address: the socket address of a server, read from text and printed.
 *
 * Numbers only: a name is never looked up. Pure but for the names of network interfaces.
 */
#ifndef MXWAY_DAEMON_ADDRESS_H
#define MXWAY_DAEMON_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Octets of the longest text, "[IPv6%scope]:port", with its terminator. */
enum { ADDRESS_TEXT_SIZE = 64 };

/* Reads IPV4, IPV6, IPV4:PORT, [IPV6] or [IPV6]:PORT; an IPv6 address may end in
 * %INTERFACE (RFC 4007 section 11), by name or number. False for anything else. */
bool address_parse(const char *text, uint16_t default_port, struct sockaddr_storage *address);

/* Prints IPV4:PORT or [IPV6]:PORT, which address_parse reads; returns `text`. */
const char *address_text(const struct sockaddr_storage *address, char text[ADDRESS_TEXT_SIZE]);

#endif
