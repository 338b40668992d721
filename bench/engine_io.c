#include "engine_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct engine_options *options_of(const struct engine_connection *connection) {
  return connection->thread->engine->options;
}

static const struct target *target_of(const struct engine_connection *connection) {
  return connection->thread->engine->target;
}

/* ---- connecting ---- */

int engine_connect(struct engine_connection *connection) {
  const struct target *target = target_of(connection);
  int fd = socket(target->address.ss_family, target->socket_type | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  /* Bounds connect(2) too: a full backlog must not hold the run for ever. */
  struct timeval patience = {.tv_sec = 5};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (target->socket_type == SOCK_DGRAM) {
    int octets = 4 * 1024 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
  }
  int error = 0;
  if (connect(fd, (const struct sockaddr *)&target->address, target->address_length) != 0)
    error = errno == EAGAIN || errno == EINPROGRESS ? ETIMEDOUT : errno;
  else if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
    error = errno;
  if (!error) {
    connection->session = target->kind->open(target, connection, options_of(connection)->outstanding);
    error = connection->session ? 0 : ENOMEM;
  }
  if (error) {
    close(fd);
    return error;
  }
  connection->fd = fd;
  connection->answers = 0;
  return 0;
}

int engine_connection_init(struct engine_connection *connection, struct engine_thread *thread) {
  uint32_t count = thread->engine->options->outstanding;
  connection->thread = thread;
  connection->fd = -1;
  connection->slots = calloc(count, sizeof *connection->slots);
  connection->free_slots = calloc(count, sizeof *connection->free_slots);
  connection->batch = calloc(count, sizeof *connection->batch);
  if (!connection->slots || !connection->free_slots || !connection->batch)
    return ENOMEM;
  for (uint32_t i = 0; i < count; i++) {
    connection->slots[i].connection = connection;
    connection->slots[i].number = i;
    connection->free_slots[i] = count - 1 - i;
  }
  connection->free_count = count;
  thread->free_slots += count;
  return engine_connect(connection);
}

static void disconnect(struct engine_connection *connection) {
  if (connection->fd < 0)
    return;
  target_of(connection)->kind->close(connection->session);
  close(connection->fd);
  connection->fd = -1;
  connection->out_length = 0;
  connection->rest_length = 0;
  connection->batch_count = 0;
}

void engine_connection_fini(struct engine_connection *connection) {
  disconnect(connection);
  free(connection->slots);
  free(connection->free_slots);
  free(connection->batch);
  free(connection->out);
  free(connection->rest);
}

/* Ends a connection that is of no use any more and makes it again, or ends the run. */
static void on_lost(struct engine_connection *connection, const char *why) {
  struct engine_thread *thread = connection->thread;
  uint64_t answers = connection->answers;
  ev_io_stop(thread->loop, &connection->reader);
  ev_io_stop(thread->loop, &connection->writer);
  for (uint32_t i = 0; i < options_of(connection)->outstanding; i++)
    if (connection->slots[i].is_busy) {
      thread->run.errors++;
      engine_release(&connection->slots[i]);
    }
  disconnect(connection);
  if (target_of(connection)->socket_type == SOCK_DGRAM) {
    engine_fail(thread, "%s", why);
    return;
  }
  int error = answers == 0 ? 0 : engine_connect(connection);
  if (answers == 0 || error) {
    engine_fail(thread, "connection lost: %s%s%s", why, error ? "; connecting again: " : "",
                error ? strerror(error) : "");
    return;
  }
  engine_start_io(connection);
  engine_pump(thread, connection);
}

/* ---- writing ---- */

void engine_send(struct engine_connection *connection, const void *bytes, size_t length) {
  bool is_datagram = target_of(connection)->socket_type == SOCK_DGRAM;
  size_t needed = connection->out_length + length + 2;
  if (needed > connection->out_size) {
    size_t size = needed * 2 > 16384 ? needed * 2 : 16384;
    uint8_t *larger = realloc(connection->out, size);
    if (!larger) {
      engine_fail(connection->thread, "out of memory");
      return;
    }
    connection->out = larger;
    connection->out_size = size;
  }
  uint8_t *at = connection->out + connection->out_length;
  if (is_datagram) {
    uint16_t prefix = (uint16_t)length;
    memcpy(at, &prefix, sizeof prefix);
    at += sizeof prefix;
  }
  memcpy(at, bytes, length);
  connection->out_length = (size_t)(at - connection->out) + length;
  connection->thread->run.request_bytes += length;
}

/* Octets of `out` that the kernel has taken, or -1 with errno. */
static ssize_t write_datagrams(struct engine_connection *connection) {
  struct mmsghdr messages[ENGINE_DATAGRAMS];
  struct iovec parts[ENGINE_DATAGRAMS];
  unsigned count = 0;
  for (size_t at = 0; at < connection->out_length && count < ENGINE_DATAGRAMS; count++) {
    uint16_t length;
    memcpy(&length, connection->out + at, sizeof length);
    parts[count] = (struct iovec){connection->out + at + sizeof length, length};
    messages[count] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[count], .msg_iovlen = 1}};
    at += sizeof length + length;
  }
  int sent = sendmmsg(connection->fd, messages, count, MSG_NOSIGNAL);
  if (sent < 0)
    return -1;
  ssize_t taken = 0;
  for (int i = 0; i < sent; i++)
    taken += (ssize_t)parts[i].iov_len + (ssize_t)sizeof(uint16_t);
  return taken;
}

/* What was asked since the last write was sent now. */
static void stamp(struct engine_connection *connection) {
  if (connection->batch_count == 0)
    return;
  uint64_t now_ns = engine_clock_ns();
  for (uint32_t i = 0; i < connection->batch_count; i++) {
    struct engine_slot *slot = &connection->slots[connection->batch[i]];
    slot->sent_ns = now_ns;
    if (slot->due_ns == 0)
      slot->due_ns = now_ns;
  }
  connection->batch_count = 0;
}

void engine_flush(struct engine_connection *connection) {
  stamp(connection);
  bool is_datagram = target_of(connection)->socket_type == SOCK_DGRAM;
  /* While the socket is full it is the writer's turn, which keeps the order. */
  while (connection->out_length > 0 && connection->fd >= 0) {
    ssize_t taken = is_datagram ? write_datagrams(connection)
                                : send(connection->fd, connection->out, connection->out_length, MSG_NOSIGNAL);
    if (taken < 0 && errno == EINTR)
      continue;
    if (taken < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
      ev_io_start(connection->thread->loop, &connection->writer);
      return;
    }
    if (taken < 0) {
      on_lost(connection, strerror(errno));
      return;
    }
    connection->out_length -= (size_t)taken;
    if (connection->out_length > 0)
      memmove(connection->out, connection->out + taken, connection->out_length);
  }
  ev_io_stop(connection->thread->loop, &connection->writer);
}

static void on_writable(struct ev_loop *loop, struct ev_io *watcher, int events) {
  (void)loop;
  (void)events;
  engine_flush(watcher->data);
}

/* ---- reading ---- */

static void keep_rest(struct engine_connection *connection, const uint8_t *bytes, size_t length) {
  uint8_t *rest = length ? realloc(connection->rest, length) : connection->rest;
  if (length && !rest) {
    on_lost(connection, "out of memory");
    return;
  }
  connection->rest = rest;
  connection->rest_length = length;
  if (length)
    memcpy(rest, bytes, length);
}

/* Whether the connection is still the one that was read from. */
static bool read_stream(struct engine_connection *connection) {
  struct engine_thread *thread = connection->thread;
  if (connection->rest_length)
    memcpy(thread->input, connection->rest, connection->rest_length);
  ssize_t got = recv(connection->fd, thread->input + connection->rest_length,
                     ENGINE_INPUT_SIZE - connection->rest_length, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return true;
  if (got <= 0) {
    on_lost(connection, got < 0 ? strerror(errno) : "the server has closed it");
    return false;
  }
  thread->now_ns = engine_clock_ns();
  thread->run.reply_bytes += (uint64_t)got;
  size_t length = connection->rest_length + (size_t)got;
  connection->rest_length = 0;
  ssize_t used = target_of(connection)->kind->feed(connection->session, thread->input, length);
  if (used < 0 || length - (size_t)used >= ENGINE_INPUT_SIZE) {
    on_lost(connection, "what came is not the protocol");
    return false;
  }
  keep_rest(connection, thread->input + used, length - (size_t)used);
  return true;
}

static bool read_datagrams(struct engine_connection *connection) {
  struct engine_thread *thread = connection->thread;
  struct mmsghdr messages[ENGINE_DATAGRAMS];
  struct iovec parts[ENGINE_DATAGRAMS];
  for (unsigned i = 0; i < ENGINE_DATAGRAMS; i++) {
    parts[i] = (struct iovec){thread->input + i * ENGINE_DATAGRAM_SIZE, ENGINE_DATAGRAM_SIZE};
    messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
  }
  int count = recvmmsg(connection->fd, messages, ENGINE_DATAGRAMS, 0, NULL);
  if (count < 0 && (errno == EAGAIN || errno == EINTR))
    return true;
  if (count < 0) {
    on_lost(connection, strerror(errno));
    return false;
  }
  thread->now_ns = engine_clock_ns();
  for (int i = 0; i < count; i++) {
    thread->run.reply_bytes += messages[i].msg_len;
    /* A datagram that is not the protocol may be anybody's: it is as if it had not come. */
    target_of(connection)->kind->feed(connection->session, parts[i].iov_base, messages[i].msg_len);
  }
  return true;
}

static void on_readable(struct ev_loop *loop, struct ev_io *watcher, int events) {
  (void)loop;
  (void)events;
  struct engine_connection *connection = watcher->data;
  struct engine_thread *thread = connection->thread;
  bool is_datagram = target_of(connection)->socket_type == SOCK_DGRAM;
  bool is_same = is_datagram ? read_datagrams(connection) : read_stream(connection);
  if (is_same && connection->fd >= 0)
    engine_pump(thread, connection);
  engine_settle(thread);
}

void engine_start_io(struct engine_connection *connection) {
  struct ev_loop *loop = connection->thread->loop;
  ev_io_init(&connection->reader, on_readable, connection->fd, EV_READ);
  ev_io_init(&connection->writer, on_writable, connection->fd, EV_WRITE);
  connection->reader.data = connection->writer.data = connection;
  ev_io_start(loop, &connection->reader);
}

/* ---- answers ---- */

static void count_kind(struct engine_thread *thread, const char *kind) {
  size_t at = 0;
  while (at < thread->kind_count && thread->kinds[at].name != kind)
    at++;
  if (at == thread->kind_count) {
    if (at == RESULT_KINDS_MAX)
      at--; /* result_count_kind would call the last ones "other" */
    else
      thread->kinds[thread->kind_count++] = (struct engine_kind){kind, 0};
  }
  thread->kinds[at].count++;
}

void engine_done(struct engine_connection *connection, uint32_t number, const char *kind,
                 const char *routes) {
  struct engine_thread *thread = connection->thread;
  assert(number < options_of(connection)->outstanding);
  struct engine_slot *slot = &connection->slots[number];
  if (!slot->is_busy)
    return;
  /* An answer from inside ask, before anything was sent, took no time. */
  uint64_t now_ns = thread->now_ns;
  uint64_t sent_ns = slot->sent_ns ? slot->sent_ns : now_ns;
  uint64_t due_ns = slot->due_ns ? slot->due_ns : sent_ns;
  histogram_record(thread->run.latency, now_ns > due_ns ? now_ns - due_ns : 0);
  if (thread->step_ns > 0)
    histogram_record(thread->run.service, now_ns > sent_ns ? now_ns - sent_ns : 0);
  count_kind(thread, kind);
  if (slot->expected && routes) {
    thread->run.verified++;
    if (!verify_check(options_of(connection)->verify, slot->expected, target_of(connection)->label, routes))
      thread->run.wrong++;
  }
  thread->run.completed++;
  thread->last_answer_ns = now_ns;
  connection->answers++;
  engine_release(slot);
}

bool engine_wants_routes(struct engine_connection *connection, uint32_t number) {
  return connection->slots[number].expected != NULL;
}
