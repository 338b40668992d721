/*
 * resp: octets to and from one Redis server: a socket that never blocks, and commands and replies on it.
 *
 * hiredis writes the commands and reads the replies; connecting, sending and receiving, plainly or over TLS
 * (link_tls), are done here. Its asynchronous part (hiredis/async.h) is left out on purpose: it aborts the
 * process where a server says what nobody asked for, or sends a message of an unexpected shape, and what
 * comes from a server is never trusted so far. Nor does it bound what a server sends. Here a reply may have
 * RESP_REPLY_MAX octets, an array RESP_ELEMENTS_MAX elements, and a line (all but what a bulk string holds)
 * RESP_LINE_MAX octets that came without its end; what is more closes the connection before it is taken in.
 * hiredis looks for the end of a line from its start each time that something comes: the last bound keeps
 * that short.
 *
 * What is sent in one turn of the loop goes out in one write at its end. One thread.
 */
#ifndef MXWAY_DAEMON_RESP_H
#define MXWAY_DAEMON_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
  RESP_REPLY_MAX = 1 << 20,
  RESP_ELEMENTS_MAX = 1 << 16,
  RESP_DEPTH_MAX = 7, /* arrays in one another: hiredis before 1.0 takes no more, and 1.0 to 1.4 any number */
  RESP_LINE_MAX = 4096,
  RESP_KEEPALIVE_IDLE_S =
      15, /* then a probe of TCP each RESP_KEEPALIVE_EVERY_S, RESP_KEEPALIVE_COUNT times */
  RESP_KEEPALIVE_EVERY_S = 5,
  RESP_KEEPALIVE_COUNT = 3,
};

/* The reason of having closed the connection, where a reply was larger than RESP_REPLY_MAX. */
#define RESP_TOO_LARGE "a reply of more than 1 MiB came"

struct ev_loop;
struct link_tls;
struct redisReply;
struct resp;

/* None is called from inside a function of this room. Each may call resp_destroy. */
struct resp_handlers {
  void (*open)(void *context);
  void (*reply)(void *context, const struct redisReply *reply); /* lent for the call */
  /* Nothing more comes; the owner destroys it. `reason` is a clause for people, lent for the call. */
  void (*closed)(void *context, const char *reason);
};

/* Where to: an address of any stream socket, lent for the call. `name` is what a certificate must be for,
 * without TLS it is not looked at. */
struct resp_target {
  const struct sockaddr *address;
  socklen_t length;
  const struct link_tls *tls; /* NULL: none; lent as long as it lives */
  const char *name;           /* lent for the call */
};

/* Begins to connect. Returns 0; or ERR_NOMEM, or ERR_SYSTEM with errno where that has failed at once. */
int resp_create(struct ev_loop *loop, const struct resp_target *target, const struct resp_handlers *handlers,
                void *context, struct resp **resp);

/* Closes; no handler is called. */
void resp_destroy(struct resp *resp);

/* Sends a command; only after `open`. Copies. False without memory. */
bool resp_send(struct resp *resp, int count, const char *const *words, const size_t *lengths);

/* Octets read so far: whether anything was heard. */
uint64_t resp_heard(const struct resp *resp);

#endif
