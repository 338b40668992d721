/*
 * link_target: where a Redis server is, from text and back to it: unix:/PATH, HOST:PORT or HOST; and how to
 * be let in.
 *
 * HOST is a name, an IPv4 address or an IPv6 address (in brackets where a port follows). Pure: nothing is
 * looked up here (hostname does that).
 */
#ifndef MXWAY_DAEMON_LINK_TARGET_H
#define MXWAY_DAEMON_LINK_TARGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
  LINK_PATH_SIZE = 108, /* of sockaddr_un */
  LINK_HOST_SIZE = 256,
  LINK_TARGET_TEXT_SIZE = LINK_HOST_SIZE + 8, /* "[HOST]:65535" */
};

struct link_tls;

/* A Unix socket, or a host and port. All zero: none. */
struct link_target {
  char path[LINK_PATH_SIZE]; /* "": host and port */
  char host[LINK_HOST_SIZE]; /* a name or an address, no brackets */
  uint16_t port;             /* 0: the usual one */
};

/* Reads a target; `default_port` (0: left open) where the text names none. False, and `*target` as it was,
 * where the text is none: a path that is relative or too long, a port of 0, a host with characters that
 * neither a name nor an address has. */
bool link_target_parse(const char *text, uint16_t default_port, struct link_target *target);

/* What link_target_parse reads, without a port where it is 0; returns `text`. */
const char *link_target_text(const struct link_target *target, char text[LINK_TARGET_TEXT_SIZE]);

/* Whether it names a server at all. */
bool link_target_is_set(const struct link_target *target);

bool link_target_is_same(const struct link_target *one, const struct link_target *other);

/* How to be let in there, and how long that may take: what a link is made with. */
struct link_options {
  struct link_target target;
  const char *user, *password; /* "" or NULL where there is none; lent as long as the link lives */
  uint32_t database;
  const struct link_tls *tls;  /* NULL: none; lent */
  bool readonly;               /* say READONLY: a replica of a cluster answers reads then */
  uint32_t connect_timeout_ms; /* for all that comes before the link is up; 0: 1000 */
  uint32_t beat_ms;            /* after so long without a word a PING; 0: LINK_BEAT_MS */
  uint32_t max_commands;       /* 0: none is taken */
};

#endif
