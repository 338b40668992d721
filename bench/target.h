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
  char name[64];                   /* of the option name=, for the reports; "" otherwise */
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

  /* What is to be done once before the first run: a server to start, a store to fill. `reply_bytes` is
   * the mean length of the replies of the last mxway target before this one, or else of the first; 0 without
   * one. 0, or -1 with a sentence in `error`. NULL where there is nothing to do. */
  int (*prepare)(struct target *target, const struct queries *queries, size_t reply_bytes,
                 char error[TARGET_ERROR_SIZE]);

  /* State of one connection with `slots` slots, numbered from 0. NULL without memory. */
  void *(*open)(const struct target *target, struct engine_connection *connection, uint32_t slots);
  void (*close)(void *session);

  /* Begins the lookup of `query` in a free slot: engine_send, or engine_done at once. */
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

/* Frees what parse and prepare have made, a server that was started too. */
void target_fini(struct target *target);

/* Connects once, so that a server that is not there is told before anything runs, and learns the pid of
 * the server behind a Unix socket where it is not known. 0, or -1 with a sentence in `error`. */
int target_probe(struct target *target, char error[TARGET_ERROR_SIZE]);

/* ---- for the kinds ---- */

/* Walks the options behind the address, "full,pid=7"; `value` is NULL where there is no "=". pid=N is common
 * to all kinds, the rest is for `set`, which returns false for what it does not know. */
int target_parse_options(struct target *target, const char *options,
                         bool (*set)(struct target *target, const char *name, const char *value),
                         char error[TARGET_ERROR_SIZE]);

/* Fills address, address_length: of a Unix socket at `path`, or of "ADDRESS:PORT" ("[2001:db8::1]:53"; the
 * port may be left out). 0, or -1 with a sentence in `error`. */
int target_set_path(struct target *target, const char *path, char error[TARGET_ERROR_SIZE]);
int target_set_address(struct target *target, const char *text, uint16_t port, char error[TARGET_ERROR_SIZE]);

/* A number from 1 to `most`, or 0 for what is none (NULL too). */
uint64_t target_parse_number(const char *text, uint64_t most);

#endif
