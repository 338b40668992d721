#include "null_server.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frame.h"
#include "wire.h"

enum { INPUT_SIZE = 65536, ID_USUAL_LENGTH = 3, REPLY_ROOM = FRAME_HEADER_MAX + WIRE_VARINT_MAX + 1 };
enum {
  REPLY_ID = 1,
  REPLY_VERDICT = 2,
  REPLY_TTL = 3,
  REPLY_SOURCE = 6,
  REPLY_EXCHANGES = 12,
  REPLY_DETAIL = 17
};

struct server {
  struct ev_loop *loop;
  struct ev_io acceptor;
  size_t tail_length;
  uint8_t tail[NULL_SERVER_REPLY_MAX + 64]; /* the reply behind its id */
};

struct client {
  struct ev_io reader, writer;
  struct server *server;
  int fd;
  size_t in_length, out_length, out_sent, out_size;
  uint8_t *out;
  uint8_t in[FRAME_HEADER_MAX + FRAME_REQUEST_MAX + INPUT_SIZE];
};

/* A valid LookupReply: a route, and `detail` as long as is needed. */
static void build_tail(struct server *server, size_t reply_bytes) {
  static const char exchange[] = "\x08\x0a\x12\x0cmx.null.test";
  uint8_t *at = server->tail;
  at = wire_put_uint(at, REPLY_VERDICT, 1);
  size_t wanted = reply_bytes - wire_varint_length(reply_bytes) - ID_USUAL_LENGTH;
  if (wanted >= 40) {
    at = wire_put_uint(at, REPLY_TTL, 300);
    at = wire_put_uint(at, REPLY_SOURCE, 1);
    at = wire_put_string(at, REPLY_EXCHANGES, exchange, sizeof exchange - 1);
  }
  size_t length = (size_t)(at - server->tail);
  if (wanted > length + 3) {
    char *padding = malloc(wanted);
    if (padding) {
      memset(padding, '.', wanted);
      size_t rest = wanted - length - 2; /* behind the tag */
      at = wire_put_string(at, REPLY_DETAIL, padding, rest - wire_varint_length(rest - 1));
    }
    free(padding);
  }
  server->tail_length = (size_t)(at - server->tail);
}

static void drop(struct client *client) {
  ev_io_stop(client->server->loop, &client->reader);
  ev_io_stop(client->server->loop, &client->writer);
  close(client->fd);
  free(client->out);
  free(client);
}

/* Whether there is room for one more reply. */
static bool make_room(struct client *client) {
  size_t needed = client->out_length + client->server->tail_length + REPLY_ROOM;
  if (needed <= client->out_size)
    return true;
  uint8_t *larger = realloc(client->out, needed * 2);
  if (!larger)
    return false;
  client->out = larger;
  client->out_size = needed * 2;
  return true;
}

static uint64_t id_of(const struct frame *frame) {
  uint64_t id = 0;
  if (frame->body_length < 2 || frame->body[0] != WIRE_TAG(REPLY_ID, WIRE_TYPE_VARINT))
    return 0;
  for (size_t i = 1, shift = 0; i < frame->body_length && shift < 64; i++, shift += 7) {
    id |= (uint64_t)(frame->body[i] & 0x7f) << shift;
    if (!(frame->body[i] & 0x80))
      break;
  }
  return id;
}

/* Answers all whole requests; false where framing is lost. */
static bool answer(struct client *client) {
  const struct server *server = client->server;
  size_t at = 0;
  struct frame frame;
  enum frame_state state;
  while ((state = frame_parse(client->in + at, client->in_length - at, FRAME_REQUEST_MAX, &frame)) ==
         FRAME_COMPLETE) {
    if (!make_room(client))
      return false;
    uint64_t id = id_of(&frame);
    size_t id_length = id ? 1 + wire_varint_length(id) : 0;
    uint8_t *out = client->out + client->out_length;
    out = wire_put_varint(out, id_length + server->tail_length);
    out = wire_put_uint(out, REPLY_ID, id);
    out = wire_put_bytes(out, server->tail, server->tail_length);
    client->out_length = (size_t)(out - client->out);
    at += frame.header_length + frame.body_length;
  }
  client->in_length -= at;
  memmove(client->in, client->in + at, client->in_length);
  return state != FRAME_BROKEN;
}

/* Writes what there is; while it does not fit nothing is read. Whether the client is still there. */
static bool flush(struct client *client) {
  while (client->out_sent < client->out_length) {
    ssize_t sent =
        send(client->fd, client->out + client->out_sent, client->out_length - client->out_sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) {
      ev_io_stop(client->server->loop, &client->reader);
      ev_io_start(client->server->loop, &client->writer);
      return true;
    }
    if (sent < 0) {
      drop(client);
      return false;
    }
    client->out_sent += (size_t)sent;
  }
  client->out_sent = client->out_length = 0;
  return true;
}

static void on_readable(struct ev_loop *loop, struct ev_io *watcher, int events) {
  (void)loop;
  (void)events;
  struct client *client = watcher->data;
  ssize_t got = recv(client->fd, client->in + client->in_length, sizeof client->in - client->in_length, 0);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got <= 0) {
    drop(client);
    return;
  }
  client->in_length += (size_t)got;
  if (!answer(client))
    drop(client);
  else
    flush(client);
}

static void on_writable(struct ev_loop *loop, struct ev_io *watcher, int events) {
  (void)events;
  struct client *client = watcher->data;
  if (!flush(client) || client->out_length > 0)
    return;
  ev_io_stop(loop, &client->writer);
  ev_io_start(loop, &client->reader);
}

static void on_connection(struct ev_loop *loop, struct ev_io *watcher, int events) {
  (void)events;
  struct server *server = watcher->data;
  int fd = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0)
    return;
  struct client *client = malloc(sizeof *client);
  if (!client) {
    close(fd);
    return;
  }
  /* Not cleared as a whole: a page of the input that is never used costs nothing. */
  client->in_length = client->out_length = client->out_sent = client->out_size = 0;
  client->out = NULL;
  client->server = server;
  client->fd = fd;
  ev_io_init(&client->reader, on_readable, fd, EV_READ);
  ev_io_init(&client->writer, on_writable, fd, EV_WRITE);
  client->reader.data = client->writer.data = client;
  ev_io_start(loop, &client->reader);
}

static _Noreturn void serve(int listener, size_t reply_bytes, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "mxway-null");
  /* ^C is for the parent, which still wants to print. */
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_DFL);
  struct server *server = calloc(1, sizeof *server);
  if (!server || getppid() != parent)
    _exit(1);
  build_tail(server, reply_bytes);
  server->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  if (!server->loop)
    _exit(1);
  ev_io_init(&server->acceptor, on_connection, listener, EV_READ);
  server->acceptor.data = server;
  ev_io_start(server->loop, &server->acceptor);
  ev_run(server->loop, 0);
  _exit(0);
}

pid_t null_server_start(size_t reply_bytes, struct sockaddr_un *address, socklen_t *address_length) {
  static unsigned started;
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  /* An abstract name: nothing is left behind in a file system. */
  int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "mxway-bench-%d-%u",
                        (int)getpid(), started++);
  *address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0)
    return -errno;
  if (bind(listener, (struct sockaddr *)address, *address_length) != 0 || listen(listener, 4096) != 0) {
    int error = errno;
    close(listener);
    return -error;
  }
  pid_t parent = getpid(), pid = fork();
  if (pid == 0)
    serve(listener, reply_bytes, parent);
  int error = errno;
  close(listener);
  return pid < 0 ? -error : pid;
}

void null_server_stop(pid_t pid) {
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    ;
}
