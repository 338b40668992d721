#include "serve/server.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/outbox.h"
#include "serve/acceptor.h"

enum {
  READ_BYTES = 64 * 1024, /* one read */
  GATHERED_BYTES = 1024,  /* of one connection, that wait for those of others */
  INPUT_BYTES = READ_BYTES + SERVER_BATCH_MAX * GATHERED_BYTES,
  PARTIAL_BYTES = FRAME_REQUEST_MAX + FRAME_HEADER_MAX, /* a frame half read */
  OUTPUT_BYTES = 256 * 1024,
};

struct connection {
  struct server *server;
  ev_io readable, writable;
  struct connection_ref ref;
  struct connection *next_free;
  /* Read but not handed on: at most one frame, or more while the client is paused. */
  uint8_t *partial;
  size_t partial_length;
  struct outbox outbox;
  unsigned gathered;    /* frames in server->gathered */
  unsigned outstanding; /* promised answers */
  void *word;           /* the context's */
  bool is_open, is_broken, at_end, is_paused;
};

struct server {
  struct ev_loop *loop;
  struct acceptor acceptor;
  _Atomic uint32_t *connection_count;
  uint32_t max_connections;
  struct stats *stats;
  server_frames_fn *on_frames;
  server_closed_fn *on_closed;
  void *context;
  struct connection **connections; /* by index; never freed before the server */
  size_t capacity, used;
  struct connection *free;
  /* Frames of connections that sent few, until all that are readable have been read. */
  struct arrival gathered[SERVER_BATCH_MAX];
  size_t gathered_count, gathered_bytes; /* they are the first of `input` */
  ev_timer settling;                     /* only to be called behind them */
  struct connection *current;            /* whose answers gather in `output` */
  size_t output_length;
  bool is_stopped;
  uint8_t input[INPUT_BYTES];
  uint8_t output[OUTPUT_BYTES];
};

static void update(struct connection *connection);

/* ---- output ---- */

static size_t unwritten(const struct connection *connection) { return outbox_left(&connection->outbox); }

static void put_output(struct connection *connection, const uint8_t *bytes, size_t length) {
  if (!connection->is_broken && outbox_put(&connection->outbox, connection->readable.fd, bytes, length) != 0)
    connection->is_broken = true;
}

/* Writes what has gathered for the connection that is being answered. */
static void flush(struct server *server) {
  size_t length = server->output_length;
  server->output_length = 0;
  if (length > 0)
    put_output(server->current, server->output, length);
}

uint8_t *server_reserve(struct connection *connection, size_t length) {
  struct server *server = connection->server;
  assert(length <= OUTPUT_BYTES);
  if (server->current != connection || server->output_length + length > OUTPUT_BYTES) {
    flush(server);
    server->current = connection;
  }
  return server->output + server->output_length;
}

void server_commit(struct connection *connection, size_t length) {
  connection->server->output_length += length;
}

/* ---- input ---- */

static bool must_pause(const struct connection *connection) {
  return connection->outstanding >= SERVER_OUTSTANDING_MAX ||
         unwritten(connection) > SERVER_OUTPUT_PAUSE_BYTES;
}

/* The most frames to hand on now, so that none goes beyond OUTSTANDING_MAX. */
static size_t batch_size(const struct connection *connection) {
  size_t left = SERVER_OUTSTANDING_MAX - connection->outstanding;
  return left < SERVER_BATCH_MAX ? left : SERVER_BATCH_MAX;
}

/* Cuts the frames at the start of `bytes` off, `most` of them; counts their octets in `*at`. */
static enum frame_state cut(struct connection *connection, const uint8_t *bytes, size_t length,
                            struct arrival arrivals[], size_t most, size_t *count, size_t *at) {
  enum frame_state state = FRAME_COMPLETE;
  for (*count = 0; *count < most; ++*count) {
    struct frame *frame = &arrivals[*count].frame;
    state = frame_parse(bytes + *at, length - *at, FRAME_REQUEST_MAX, frame);
    if (state != FRAME_COMPLETE)
      break;
    arrivals[*count].connection = connection;
    *at += frame->header_length + frame->body_length;
  }
  return state;
}

/* Hands on the frames at the start of `bytes`, a batch at a time; stops where the
 * client must wait. Returns how many octets are used up. */
static size_t hand_on(struct connection *connection, const uint8_t *bytes, size_t length) {
  struct server *server = connection->server;
  size_t at = 0;
  enum frame_state state = FRAME_COMPLETE;
  while (state == FRAME_COMPLETE && !connection->is_broken && !connection->at_end &&
         !must_pause(connection)) {
    struct arrival arrivals[SERVER_BATCH_MAX];
    size_t count;
    state = cut(connection, bytes, length, arrivals, batch_size(connection), &count, &at);
    if (count > 0)
      server->on_frames(server->context, arrivals, count);
    if (server->output_length > OUTPUT_BYTES / 2)
      flush(server);
  }
  flush(server);
  if (state == FRAME_BROKEN)
    server_break(connection);
  return at;
}

/* ---- gathering: what many connections sent a little of is looked up together ---- */

/* Hands on what has gathered. */
static void settle(struct server *server) {
  struct arrival arrivals[SERVER_BATCH_MAX];
  size_t count = server->gathered_count;
  memcpy(arrivals, server->gathered, count * sizeof(arrivals[0]));
  server->gathered_count = server->gathered_bytes = 0;
  for (size_t i = 0; i < count; i++)
    arrivals[i].connection->gathered = 0;
  if (count > 0)
    server->on_frames(server->context, arrivals, count);
  flush(server);
  for (size_t i = 0; i < count; i++)
    if (i + 1 == count || arrivals[i + 1].connection != arrivals[i].connection)
      update(arrivals[i].connection);
}

static void on_settling(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  settle(timer->data);
}

/* Whether the `length` octets read behind those that have gathered gather as well: whole frames, and few. */
static bool gather(struct connection *connection, size_t length) {
  struct server *server = connection->server;
  size_t room = SERVER_BATCH_MAX - server->gathered_count, count, at = 0;
  const uint8_t *bytes = server->input + server->gathered_bytes;
  bool has_room = server->gathered_bytes + length <= INPUT_BYTES - READ_BYTES; /* those dropped count, too */
  if (length > GATHERED_BYTES || !has_room || must_pause(connection) || batch_size(connection) < room)
    return false;
  cut(connection, bytes, length, server->gathered + server->gathered_count, room, &count, &at);
  if (at < length)
    return false;
  if (server->gathered_count == 0)
    ev_feed_event(server->loop, &server->settling, EV_CUSTOM);
  server->gathered_count += count;
  server->gathered_bytes += length;
  connection->gathered = (unsigned)count;
  if (server->gathered_count == SERVER_BATCH_MAX)
    settle(server);
  return true;
}

/* Forgets what has gathered of a connection that ends. */
static void drop_gathered(struct connection *connection) {
  struct server *server = connection->server;
  size_t kept = 0;
  for (size_t i = 0; connection->gathered > 0 && i < server->gathered_count; i++)
    if (server->gathered[i].connection != connection)
      server->gathered[kept++] = server->gathered[i];
  if (connection->gathered > 0)
    server->gathered_count = kept;
  connection->gathered = 0;
}

/* ---- half frames ---- */

static void drop_partial(struct connection *connection) {
  free(connection->partial);
  connection->partial = NULL;
  connection->partial_length = 0;
}

/* Keeps what was not used up; true unless there is no memory. */
static bool keep_partial(struct connection *connection, const uint8_t *bytes, size_t length) {
  if (length == 0) {
    drop_partial(connection);
    return true;
  }
  if (!connection->partial && !(connection->partial = malloc(PARTIAL_BYTES)))
    return false;
  memmove(connection->partial, bytes, length);
  connection->partial_length = length;
  return true;
}

static void consume(struct connection *connection, const uint8_t *bytes, size_t length) {
  size_t used = hand_on(connection, bytes, length);
  if (connection->at_end)
    drop_partial(connection);
  else if (!connection->is_broken && !keep_partial(connection, bytes + used, length - used))
    connection->is_broken = true;
}

/* Whether the client has closed its socket rather than only its sending side (shutdown(2)). */
static bool has_hung_up(const struct connection *connection) {
  struct pollfd state = {.fd = connection->readable.fd};
  return poll(&state, 1, 0) == 1 && state.revents & (POLLHUP | POLLERR);
}

/* One read: behind a half-read frame into the connection's buffer, otherwise into the thread's. Returns false
 * where what was read has gathered. */
static bool read_some(struct connection *connection) {
  struct server *server = connection->server;
  bool behind = connection->partial_length > 0;
  uint8_t *buffer = behind ? connection->partial : server->input + server->gathered_bytes;
  size_t at = behind ? connection->partial_length : 0;
  size_t room = (behind ? (size_t)PARTIAL_BYTES : (size_t)READ_BYTES) - at;
  ssize_t got = recv(connection->readable.fd, buffer + at, room, 0);
  if (got > 0 && !behind && gather(connection, (size_t)got))
    return false;
  if (got > 0)
    consume(connection, buffer, at + (size_t)got);
  else if (got == 0 && !has_hung_up(connection))
    connection->at_end = true;
  else if (got == 0 || (errno != EAGAIN && errno != EINTR))
    connection->is_broken = true;
  return true;
}

/* ---- connections ---- */

static void close_connection(struct connection *connection) {
  struct server *server = connection->server;
  ev_io_stop(server->loop, &connection->readable);
  ev_io_stop(server->loop, &connection->writable);
  close(connection->readable.fd);
  drop_partial(connection);
  drop_gathered(connection);
  outbox_clear(&connection->outbox);
  connection->is_open = false;
  server->on_closed(server->context, connection);
  connection->ref.generation++;
  connection->next_free = server->free;
  server->free = connection;
  atomic_fetch_sub_explicit(server->connection_count, 1, memory_order_relaxed);
}

static void watch(struct ev_loop *loop, ev_io *io, bool wanted) {
  if (wanted && !ev_is_active(io))
    ev_io_start(loop, io);
  else if (!wanted && ev_is_active(io))
    ev_io_stop(loop, io);
}

/* Brings the connection's watchers, or its end, in line with its state. A client that
 * has closed its side still gets what it is owed. */
static void update(struct connection *connection) {
  struct server *server = connection->server;
  bool is_owed = connection->outstanding > 0 || unwritten(connection) > 0;
  if (connection->is_broken || (connection->at_end && !is_owed)) {
    close_connection(connection);
    return;
  }
  bool pause = must_pause(connection);
  if (pause && !connection->is_paused)
    stats_add(server->stats, STATS_CONNECTIONS_PAUSED);
  connection->is_paused = pause;
  watch(server->loop, &connection->readable, !pause && !connection->at_end && !server->is_stopped);
  watch(server->loop, &connection->writable, unwritten(connection) > 0);
}

/* Goes on with what was read before the client had to wait. */
static void resume(struct connection *connection) {
  if (connection->is_paused && !must_pause(connection) && connection->partial_length > 0 &&
      !connection->server->is_stopped)
    consume(connection, connection->partial, connection->partial_length);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events) {
  (void)loop, (void)events;
  struct connection *connection = io->data;
  if (read_some(connection))
    update(connection);
}

static void on_writable(struct ev_loop *loop, ev_io *io, int events) {
  (void)loop, (void)events;
  struct connection *connection = io->data;
  if (outbox_send(&connection->outbox, io->fd) != 0)
    connection->is_broken = true;
  resume(connection);
  update(connection);
}

void **server_word(struct connection *connection) { return &connection->word; }

struct connection_ref server_defer(struct connection *connection) {
  connection->outstanding++;
  return connection->ref;
}

int server_answer(struct server *server, struct connection_ref ref, const uint8_t *bytes, size_t length) {
  struct connection *connection = server->connections[ref.index];
  if (!connection->is_open || connection->ref.generation != ref.generation)
    return 0;
  connection->outstanding--;
  put_output(connection, bytes, length);
  int is_there = !connection->is_broken;
  resume(connection);
  update(connection);
  return is_there;
}

void server_break(struct connection *connection) {
  if (!connection->at_end)
    stats_add(connection->server->stats, STATS_CONNECTIONS_BROKEN);
  connection->at_end = true; /* as if the client had closed its side */
}

/* A connection object, used before or new; NULL without memory. */
static struct connection *get_connection(struct server *server) {
  struct connection *connection = server->free;
  if (connection) {
    server->free = connection->next_free;
    return connection;
  }
  if (server->used == server->capacity) {
    size_t capacity = server->capacity ? 2 * server->capacity : 64;
    struct connection **connections = realloc(server->connections, capacity * sizeof(struct connection *));
    if (!connections)
      return NULL;
    server->connections = connections;
    server->capacity = capacity;
  }
  connection = calloc(1, sizeof(*connection));
  if (!connection)
    return NULL;
  connection->ref.index = (uint32_t)server->used;
  server->connections[server->used++] = connection;
  return connection;
}

static void open_connection(void *context, int fd) {
  struct server *server = context;
  uint32_t before = atomic_fetch_add_explicit(server->connection_count, 1, memory_order_relaxed);
  struct connection *connection = before < server->max_connections ? get_connection(server) : NULL;
  if (!connection) {
    atomic_fetch_sub_explicit(server->connection_count, 1, memory_order_relaxed);
    stats_add(server->stats, STATS_CONNECTIONS_REFUSED);
    close(fd);
    return;
  }
  stats_add(server->stats, STATS_CONNECTIONS);
  *connection = (struct connection){.server = server, .ref = connection->ref, .is_open = true};
  ev_io_init(&connection->readable, on_readable, fd, EV_READ);
  ev_io_init(&connection->writable, on_writable, fd, EV_WRITE);
  connection->readable.data = connection->writable.data = connection;
  ev_io_start(server->loop, &connection->readable);
}

/* ---- the room ---- */

struct server *server_create(struct ev_loop *loop, int listen_fd, _Atomic uint32_t *connection_count,
                             uint32_t max_connections, struct stats *stats, server_frames_fn *on_frames,
                             server_closed_fn *on_closed, void *context) {
  struct server *server = calloc(1, sizeof(*server));
  if (!server)
    return NULL;
  server->loop = loop;
  server->connection_count = connection_count;
  server->max_connections = max_connections;
  server->stats = stats;
  server->on_frames = on_frames;
  server->on_closed = on_closed;
  server->context = context;
  ev_timer_init(&server->settling, on_settling, 0., 0.);
  ev_set_priority(&server->settling, EV_MINPRI);
  server->settling.data = server;
  acceptor_start(&server->acceptor, loop, listen_fd, open_connection, server);
  return server;
}

void server_stop(struct server *server) {
  server->is_stopped = true;
  acceptor_stop(&server->acceptor);
  for (size_t i = 0; i < server->used; i++)
    if (server->connections[i]->is_open)
      ev_io_stop(server->loop, &server->connections[i]->readable);
}

int server_is_drained(const struct server *server) {
  for (size_t i = 0; i < server->used; i++) {
    const struct connection *connection = server->connections[i];
    if (connection->is_open && connection->outstanding + connection->gathered + unwritten(connection) > 0)
      return 0;
  }
  return 1;
}

void server_destroy(struct server *server) {
  if (!server)
    return;
  server_stop(server);
  for (size_t i = 0; i < server->used; i++) {
    if (server->connections[i]->is_open)
      close_connection(server->connections[i]);
    free(server->connections[i]);
  }
  ev_clear_pending(server->loop, &server->settling);
  free(server->connections);
  free(server);
}
