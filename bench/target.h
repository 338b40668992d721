/*
 * target: one kind of server that can be asked, as the engine sees it.
 *
 * The engine owns connections, slots (questions outstanding), time and sending; a target knows how a
 * question looks on the wire and what an answer says. A lookup may take several steps (an MX query, then the
 * addresses of each exchange): the target asks on with engine_send and ends it with engine_done.
 */
#ifndef MXWAY_BENCH_TARGET_H
#define MXWAY_BENCH_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "queries.h"

enum { TARGET_ERROR_SIZE = 256 };

struct engine_connection; /* the engine's; one thread's */

struct target {
  const struct target_kind *kind;
  char label[128];                 /* the spec as given */
  struct sockaddr_storage address; /* where to connect */
  socklen_t address_length;
  int socket_type; /* SOCK_STREAM or SOCK_DGRAM */
  pid_t pid;       /* the server's process; 0: unknown */
  void *options;   /* the kind's own */
};

struct target_kind {
  const char *name; /* "mxway", "dns", "redis", "null" */
  const char *help; /* a line for --help: the spec and what it measures */

  /* Parses what follows "name:" in -s; fills target. 0, or -1 with a sentence in `error`. */
  int (*parse)(struct target *target, const char *spec, char error[TARGET_ERROR_SIZE]);
  void (*destroy)(struct target *target);

  /* State of one connection with `slots` slots, numbered from 0. NULL without memory. */
  void *(*open)(const struct target *target, struct engine_connection *connection, uint32_t slots);
  void (*close)(void *session);

  /* Begins the lookup of `query` in a free slot: engine_send. */
  void (*ask)(void *session, uint32_t slot, const struct query *query);

  /* Takes what arrived; returns how many octets are used up (a datagram: all), or -1 where it is not
   * the protocol. Ends lookups with engine_done. */
  ssize_t (*feed)(void *session, const uint8_t *bytes, size_t length);

  /* The engine has given up on a slot: an answer that still comes is to be ignored. */
  void (*forget)(void *session, uint32_t slot);
};

/* ---- what a target may call, from inside ask and feed ---- */

/* Queues octets to be written (a datagram each call on SOCK_DGRAM). */
void engine_send(struct engine_connection *connection, const void *bytes, size_t length);

/* A lookup has ended. `kind` is the kind of answer (static text); `routes` is the answer in the form of
 * --verify files ("ROUTE 10 a.test 20 b.test", exchanges of one preference in alphabetical order) or NULL
 * where it was not asked for (see engine_wants_routes). */
void engine_done(struct engine_connection *connection, uint32_t slot, const char *kind, const char *routes);

/* Whether this lookup is to be verified, so that its routes are needed. */
bool engine_wants_routes(struct engine_connection *connection, uint32_t slot);

/* All kinds, NULL at the end. */
extern const struct target_kind *const target_kinds[];

/* Parses "mxway:SOCKET,depth=addresses" and so on; 0 or -1 with a sentence that names the spec. */
int target_parse(struct target *target, const char *spec, char error[TARGET_ERROR_SIZE]);

#endif
