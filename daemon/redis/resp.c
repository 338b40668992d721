#include "redis/resp.h"

#include <errno.h>
#include <ev.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/outbox.h"
#include "redis/link_tls.h"

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif
typedef void *create_array_fn(const redisReadTask *task, element_count elements);

enum { NAME_SIZE = 256, REASON_SIZE = 256, READ_SIZE = LINK_TLS_READ_SIZE };

struct resp {
  struct ev_loop *loop;
  const struct resp_handlers *handlers;
  void *context;
  int fd;
  redisReader *reader; /* NULL until connected */
  struct outbox outbox;
  redisReplyObjectFunctions functions;
  create_array_fn *create_array; /* hiredis' own */
  ev_io readable, writable;
  ev_prepare flush;   /* never started: an event of it is pending while something is to be sent */
  size_t reply_bytes; /* of the reply that has begun */
  uint64_t heard_bytes;
  bool is_too_wide, is_too_deep; /* a reply has had an array with too many elements, or in too many others */
  bool *is_gone;                 /* of who has called a handler: set by resp_destroy */
  const struct link_tls *tls;
  struct link_tls_session *session; /* NULL: no TLS, or not connected yet */
  char name[NAME_SIZE];
};

/* ---- replies ---- */

/* In the place of hiredis' own, which takes the server's word for the memory that an array needs. */
static void *create_array(const redisReadTask *task, element_count elements) {
  struct resp *resp = task->privdata;
  int depth = 1;
  for (const redisReadTask *outer = task->parent; outer; outer = outer->parent)
    depth++;
  resp->is_too_wide = elements > RESP_ELEMENTS_MAX;
  resp->is_too_deep = depth > RESP_DEPTH_MAX;
  return resp->is_too_wide || resp->is_too_deep ? NULL : resp->create_array(task, elements);
}

static size_t unread_bytes(const redisReader *reader) { return reader->len - reader->pos; }

/* Whether what is unread begins with a line that goes on and on. */
static bool is_endless_line(const redisReader *reader) {
  return unread_bytes(reader) > RESP_LINE_MAX && !memmem(reader->buf + reader->pos, RESP_LINE_MAX, "\r\n", 2);
}

/* As the last thing that is done to `resp` by its caller: it may be gone then. */
static void close_down(struct resp *resp, const char *reason) {
  ev_io_stop(resp->loop, &resp->readable);
  ev_io_stop(resp->loop, &resp->writable);
  ev_clear_pending(resp->loop, &resp->flush);
  resp->handlers->closed(resp->context, reason);
}

/* What came is no reply, or too much of one. */
static void refuse(struct resp *resp) {
  char reason[REASON_SIZE];
  if (resp->is_too_wide)
    snprintf(reason, sizeof(reason), "an array of more than %d elements came", RESP_ELEMENTS_MAX);
  else if (resp->is_too_deep)
    snprintf(reason, sizeof(reason), "arrays in more than %d others came", RESP_DEPTH_MAX - 1);
  else
    snprintf(reason, sizeof(reason), "%.200s", resp->reader->errstr);
  close_down(resp, reason);
}

/* The socket, or TLS, has ended with `status`, and errno where that is ERR_SYSTEM. */
static void fail(struct resp *resp, ssize_t status) {
  char reason[REASON_SIZE];
  const char *text = resp->session          ? link_tls_reason(resp->session)
                     : status == ERR_SYSTEM ? strerror(errno)
                                            : "the server closed the connection";
  snprintf(reason, sizeof(reason), "%s", text);
  close_down(resp, reason);
}

/* Hands on the replies that are complete. False: `resp` is gone, or closed. */
static bool deliver(struct resp *resp) {
  bool is_gone = false;
  void *reply = NULL;
  resp->is_gone = &is_gone;
  while (redisReaderGetReply(resp->reader, &reply) == REDIS_OK && reply) {
    resp->reply_bytes = unread_bytes(resp->reader);
    resp->handlers->reply(resp->context, reply);
    freeReplyObject(reply);
    if (is_gone)
      return false;
  }
  resp->is_gone = NULL;
  if (resp->reader->err) {
    refuse(resp);
    return false;
  }
  if (resp->reply_bytes > RESP_REPLY_MAX) {
    close_down(resp, RESP_TOO_LARGE);
    return false;
  }
  if (is_endless_line(resp->reader)) {
    close_down(resp, "a line came that does not end");
    return false;
  }
  return true;
}

/* Reads what there is, READ_SIZE at most. Returns how many octets, 0 where there are none for now; or what
 * fail() understands. */
static ssize_t receive(struct resp *resp, char bytes[READ_SIZE]) {
  if (resp->session)
    return link_tls_read(resp->session, bytes, READ_SIZE);
  ssize_t got;
  do
    got = recv(resp->fd, bytes, READ_SIZE, 0);
  while (got < 0 && errno == EINTR);
  if (got > 0)
    return got;
  if (got == 0)
    return ERR_NETWORK;
  return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : ERR_SYSTEM;
}

/* Reads once. False: `resp` is gone, or closed. */
static bool take_in(struct resp *resp) {
  char bytes[READ_SIZE];
  ssize_t got = receive(resp, bytes);
  if (got < 0) {
    fail(resp, got);
    return false;
  }
  if (got == 0)
    return true;
  if (redisReaderFeed(resp->reader, bytes, (size_t)got) != REDIS_OK) {
    refuse(resp);
    return false;
  }
  resp->heard_bytes += (uint64_t)got;
  resp->reply_bytes += (size_t)got;
  return deliver(resp);
}

/* ---- sending ---- */

/* Writes what TLS takes. Returns 0 or ERR_NETWORK. */
static int write_sealed(struct resp *resp) {
  while (outbox_left(&resp->outbox) > 0) {
    ssize_t sent = link_tls_write(resp->session, outbox_bytes(&resp->outbox), outbox_left(&resp->outbox));
    if (sent <= 0)
      return (int)sent;
    outbox_drop(&resp->outbox, (size_t)sent);
  }
  return 0;
}

/* Whether there is something to do as soon as the socket takes something. */
static bool waits_to_write(const struct resp *resp) {
  if (!resp->session)
    return outbox_left(&resp->outbox) > 0;
  return link_tls_reads_when_writable(resp->session) ||
         (outbox_left(&resp->outbox) > 0 && !link_tls_writes_when_readable(resp->session));
}

static void watch(struct resp *resp) {
  if (waits_to_write(resp))
    ev_io_start(resp->loop, &resp->writable);
  else
    ev_io_stop(resp->loop, &resp->writable);
  /* What cannot be read before something is written would wake the loop for nothing. */
  if (resp->session && link_tls_reads_when_writable(resp->session))
    ev_io_stop(resp->loop, &resp->readable);
  else
    ev_io_start(resp->loop, &resp->readable);
}

/* Writes what there is. False: `resp` is gone, or closed. */
static bool write_out(struct resp *resp) {
  int status = resp->session ? write_sealed(resp) : outbox_send(&resp->outbox, resp->fd);
  if (status != 0) {
    if (take_in(resp)) /* what the server said last tells more than that the socket is gone */
      fail(resp, status);
    return false;
  }
  watch(resp);
  return true;
}

static void on_flush(struct ev_loop *loop, ev_prepare *flush, int events) {
  (void)loop, (void)events;
  write_out(flush->data);
}

bool resp_send(struct resp *resp, int count, const char *const *words, const size_t *lengths) {
  char *command;
  long long length = redisFormatCommandArgv(&command, count, (const char **)words, lengths);
  if (length < 0)
    return false;
  int status = outbox_add(&resp->outbox, (const uint8_t *)command, (size_t)length);
  redisFreeCommand(command);
  if (status != 0)
    return false;
  ev_feed_event(resp->loop, &resp->flush, EV_CUSTOM);
  return true;
}

/* ---- connecting ---- */

/* Best effort: without them it works, but finds out late that a server has vanished. */
static void tune(int fd, int family) {
  const int yes = 1, idle_s = RESP_KEEPALIVE_IDLE_S, every_s = RESP_KEEPALIVE_EVERY_S,
            count = RESP_KEEPALIVE_COUNT;
  if (family == AF_UNIX)
    return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* Begins to speak on the connected socket. Returns 0; or as link_tls_open does. */
static int attach(struct resp *resp) {
  int status = resp->tls ? link_tls_open(resp->tls, resp->fd, resp->name, &resp->session) : 0;
  if (status != 0)
    return status;
  if (!(resp->reader = redisReaderCreate()))
    return ERR_NOMEM;
  resp->functions = *resp->reader->fn;
  resp->create_array = resp->functions.createArray;
  resp->functions.createArray = create_array;
  resp->reader->fn = &resp->functions;
  resp->reader->privdata = resp;
  return 0;
}

static void finish_connecting(struct resp *resp) {
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(resp->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
    error = errno;
  if (error == EINPROGRESS || error == EAGAIN)
    return;
  if (error != 0) {
    close_down(resp, strerror(error));
    return;
  }
  ev_io_stop(resp->loop, &resp->writable);
  int status = attach(resp);
  if (status != 0) {
    close_down(resp, status == ERR_CONFIG ? "TLS: no certificate can be for this name" : error_text(status));
    return;
  }
  ev_io_start(resp->loop, &resp->readable);
  resp->handlers->open(resp->context);
}

static void on_writable(struct ev_loop *loop, ev_io *writable, int events) {
  (void)loop, (void)events;
  struct resp *resp = writable->data;
  if (!resp->reader)
    finish_connecting(resp);
  else if (write_out(resp) && resp->session && link_tls_reads_when_writable(resp->session) && take_in(resp))
    watch(resp);
}

static void on_readable(struct ev_loop *loop, ev_io *readable, int events) {
  (void)loop, (void)events;
  struct resp *resp = readable->data;
  if (take_in(resp) && resp->session)
    write_out(resp); /* which may have waited for what was read */
}

static int connect_to(const struct sockaddr *address, socklen_t length, int *fd) {
  int made = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made < 0)
    return ERR_SYSTEM;
  tune(made, address->sa_family);
  if (connect(made, address, length) != 0 && errno != EINPROGRESS) {
    int error = errno;
    close(made);
    errno = error;
    return ERR_SYSTEM;
  }
  *fd = made;
  return 0;
}

int resp_create(struct ev_loop *loop, const struct resp_target *target, const struct resp_handlers *handlers,
                void *context, struct resp **resp) {
  struct resp *made = calloc(1, sizeof(*made));
  if (!made)
    return ERR_NOMEM;
  int status = connect_to(target->address, target->length, &made->fd);
  if (status != 0) {
    int error = errno;
    free(made);
    errno = error;
    return status;
  }
  made->loop = loop;
  made->handlers = handlers;
  made->context = context;
  made->tls = target->tls;
  snprintf(made->name, sizeof(made->name), "%s", target->name ? target->name : "");
  ev_io_init(&made->readable, on_readable, made->fd, EV_READ);
  ev_io_init(&made->writable, on_writable, made->fd, EV_WRITE);
  ev_prepare_init(&made->flush, on_flush);
  ev_set_priority(&made->flush, EV_MINPRI); /* behind everybody who may still have something to send */
  made->readable.data = made->writable.data = made->flush.data = made;
  ev_io_start(loop, &made->writable);
  *resp = made;
  return 0;
}

void resp_destroy(struct resp *resp) {
  if (!resp)
    return;
  if (resp->is_gone)
    *resp->is_gone = true;
  ev_io_stop(resp->loop, &resp->readable);
  ev_io_stop(resp->loop, &resp->writable);
  ev_clear_pending(resp->loop, &resp->flush);
  link_tls_close(resp->session);
  close(resp->fd);
  redisReaderFree(resp->reader);
  outbox_clear(&resp->outbox);
  free(resp);
}

uint64_t resp_heard(const struct resp *resp) { return resp->heard_bytes; }
