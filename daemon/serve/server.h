/*
 * server: sockets, connections, buffers, back-pressure, drain. Bytes only.
 *
 * One server a frontend thread; all accept from one listening socket. What arrives is cut into
 * frames and handed on, many at a time, those of connections that sent little together when all that are
 * readable have been read; what is answered at once is gathered and written with one send a connection. A
 * client that does not read is not read: input stops while more than OUTPUT_PAUSE octets wait for it or
 * OUTSTANDING_MAX of its requests are unanswered, so that neither memory nor another client suffers. Where
 * framing is lost nothing more is read, and the connection is closed behind the answers to what came before.
 *
 * Buffers belong to the thread; a connection owns memory only while a frame is
 * half read or an answer half written. One thread, no clock.
 */
#ifndef MXWAY_DAEMON_SERVER_H
#define MXWAY_DAEMON_SERVER_H

#include <ev.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "frame.h"

enum {
  SERVER_BATCH_MAX = 32,         /* frames handed on together */
  SERVER_OUTSTANDING_MAX = 1024, /* unanswered requests of one connection */
  SERVER_OUTPUT_PAUSE_BYTES = 256 * 1024,
};

struct server;
struct connection;

/* A connection that may have ended meanwhile: never dereferenced, only looked up. */
struct connection_ref {
  uint32_t index, generation;
};

/* A whole frame from a connection. */
struct arrival {
  struct connection *connection;
  struct frame frame;
};

/* Whole frames, lent for the call; those of one connection stand together, oldest first. Each is to be
 * answered once: now (server_reserve, server_commit; those of one connection together) or later
 * (server_defer, server_answer). May call server_break. */
typedef void server_frames_fn(void *context, const struct arrival *arrivals, size_t count);

/* `connection` ends, with all answers it is still owed. Must not call back into the server. */
typedef void server_closed_fn(void *context, struct connection *connection);

/* Makes a server for `listen_fd` (non-blocking, lent). `connection_count` is shared by all servers
 * of the process and held below `max_connections`. Returns NULL without memory. */
struct server *server_create(struct ev_loop *loop, int listen_fd, _Atomic uint32_t *connection_count,
                             uint32_t max_connections, struct stats *stats, server_frames_fn *on_frames,
                             server_closed_fn *on_closed, void *context);

/* A word of the connection for whoever handles its frames; NULL at first. */
void **server_word(struct connection *connection);

/* Stops accepting and reading; answers still go out. */
void server_stop(struct server *server);

/* Whether nothing is unanswered or unwritten any more. */
int server_is_drained(const struct server *server);

/* Closes all connections. */
void server_destroy(struct server *server);

/* Room for an answer of at most `length` octets (bounded by REPLY sizes), in a call of server_frames_fn. Then
 * server_commit says how many were written, 0 for none. */
uint8_t *server_reserve(struct connection *connection, size_t length);
void server_commit(struct connection *connection, size_t length);

/* Promises an answer later. */
struct connection_ref server_defer(struct connection *connection);

/* Gives a promised answer and writes it. Returns 0 when the client is gone. */
int server_answer(struct server *server, struct connection_ref ref, const uint8_t *bytes, size_t length);

/* Takes no more from the connection, and closes it once it has the answers it is owed. */
void server_break(struct connection *connection);

#endif
