#include "resp.h"

#include <errno.h>
#include <ev.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "link_tls.h"

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif
typedef void *create_array_fn(const redisReadTask *task, element_count elements);

enum { NAME_SIZE = 256, REASON_SIZE = 256 };

struct resp {
  struct ev_loop *loop;
  const struct resp_handlers *handlers;
  void *context;
  int fd;              /* while it connects; then that of `redis` */
  redisContext *redis; /* NULL until connected */
  redisReplyObjectFunctions functions;
  create_array_fn *create_array; /* hiredis' own */
  ev_io readable, writable;
  ev_prepare flush;   /* never started: an event of it is pending while something is to be sent */
  size_t reply_bytes; /* of the reply that has begun */
  uint64_t heard_bytes;
  bool is_too_wide; /* a reply has had an array with too many elements */
  bool *is_gone;    /* of who has called a handler: set by resp_destroy */
  const struct link_tls *tls;
  char name[NAME_SIZE];
};

/* ---- replies ---- */

/* In the place of hiredis' own, which takes the server's word for the memory that an array needs. */
static void *create_array(const redisReadTask *task, element_count elements) {
  struct resp *resp = task->privdata;
  if (elements <= RESP_ELEMENTS_MAX)
    return resp->create_array(task, elements);
  resp->is_too_wide = true;
  return NULL;
}

static size_t unread_bytes(const redisContext *redis) { return redis->reader->len - redis->reader->pos; }

/* Whether what is unread begins with a line that goes on and on. */
static bool is_endless_line(const redisReader *reader) {
  return reader->len - reader->pos > RESP_LINE_MAX &&
         !memmem(reader->buf + reader->pos, RESP_LINE_MAX, "\r\n", 2);
}

/* As the last thing that is done to `resp` by its caller: it may be gone then. */
static void close_down(struct resp *resp, const char *reason) {
  ev_io_stop(resp->loop, &resp->readable);
  ev_io_stop(resp->loop, &resp->writable);
  ev_clear_pending(resp->loop, &resp->flush);
  resp->handlers->closed(resp->context, reason);
}

static void fail(struct resp *resp) {
  char reason[REASON_SIZE];
  const char *tls_reason = resp->tls ? link_tls_reason() : NULL;
  if (tls_reason)
    snprintf(reason, sizeof(reason), "TLS: %.200s", tls_reason);
  else if (resp->is_too_wide)
    snprintf(reason, sizeof(reason), "an array of more than %d elements came", RESP_ELEMENTS_MAX);
  else if (resp->redis->err == REDIS_ERR_EOF)
    snprintf(reason, sizeof(reason), "the server closed the connection");
  else
    snprintf(reason, sizeof(reason), "%.200s", resp->redis->errstr);
  close_down(resp, reason);
}

/* Hands on the replies that are complete. False: `resp` is gone, or closed. */
static bool deliver(struct resp *resp) {
  bool is_gone = false;
  void *reply = NULL;
  resp->is_gone = &is_gone;
  while (redisGetReplyFromReader(resp->redis, &reply) == REDIS_OK && reply) {
    resp->reply_bytes = unread_bytes(resp->redis);
    resp->handlers->reply(resp->context, reply);
    freeReplyObject(reply);
    if (is_gone)
      return false;
  }
  resp->is_gone = NULL;
  if (resp->redis->err) {
    fail(resp);
    return false;
  }
  if (resp->reply_bytes > RESP_REPLY_MAX) {
    close_down(resp, "a reply of more than 1 MiB came");
    return false;
  }
  if (is_endless_line(resp->redis->reader)) {
    close_down(resp, "a line came that does not end");
    return false;
  }
  return true;
}

/* Reads once. False: `resp` is gone, or closed. */
static bool take_in(struct resp *resp) {
  size_t before = unread_bytes(resp->redis);
  if (redisBufferRead(resp->redis) != REDIS_OK) {
    fail(resp);
    return false;
  }
  size_t read_bytes = unread_bytes(resp->redis) - before;
  resp->heard_bytes += read_bytes;
  resp->reply_bytes += read_bytes;
  return read_bytes == 0 || deliver(resp);
}

/* ---- sending ---- */

/* Whether TLS has something to read before it can write: it has written nothing though the socket would take
 * it. To wait for writability would be to turn in circles. */
static bool must_read_first(const struct resp *resp) {
  struct pollfd polled = {.fd = resp->fd, .events = POLLOUT};
  return resp->tls && poll(&polled, 1, 0) == 1 && (polled.revents & POLLOUT);
}

/* Writes what there is. False: `resp` is gone. */
static bool write_out(struct resp *resp) {
  int is_done = 0;
  size_t before;
  do {
    before = sdslen(resp->redis->obuf);
    if (redisBufferWrite(resp->redis, &is_done) != REDIS_OK) {
      fail(resp);
      return false;
    }
  } while (!is_done && sdslen(resp->redis->obuf) < before);
  if (is_done || must_read_first(resp))
    ev_io_stop(resp->loop, &resp->writable);
  else
    ev_io_start(resp->loop, &resp->writable);
  return true;
}

static void on_flush(struct ev_loop *loop, ev_prepare *flush, int events) {
  (void)loop, (void)events;
  write_out(flush->data);
}

bool resp_send(struct resp *resp, int count, const char *const *words, const size_t *lengths) {
  if (redisAppendCommandArgv(resp->redis, count, (const char **)words, lengths) != REDIS_OK)
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

/* Gives the connected socket to hiredis. False with a reason. */
static bool attach(struct resp *resp, char reason[REASON_SIZE]) {
  snprintf(reason, REASON_SIZE, "%s", error_text(ERR_NOMEM));
  resp->redis = redisConnectFd(resp->fd);
  if (!resp->redis)
    return false;
  resp->redis->flags &= ~REDIS_BLOCK;
  redisReader *reader = resp->redis->reader;
  resp->functions = *reader->fn;
  resp->create_array = resp->functions.createArray;
  resp->functions.createArray = create_array;
  reader->fn = &resp->functions;
  reader->privdata = resp;
  if (resp->redis->err) {
    snprintf(reason, REASON_SIZE, "%.200s", resp->redis->errstr);
    return false;
  }
  _Static_assert((int)REASON_SIZE == (int)LINK_TLS_ERROR_SIZE, "a reason comes from link_tls");
  return !resp->tls || link_tls_start(resp->tls, resp->redis, resp->name, reason);
}

static void finish_connecting(struct resp *resp) {
  char reason[REASON_SIZE];
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
  if (!attach(resp, reason)) {
    close_down(resp, reason);
    return;
  }
  ev_io_start(resp->loop, &resp->readable);
  resp->handlers->open(resp->context);
}

static void on_writable(struct ev_loop *loop, ev_io *writable, int events) {
  (void)loop, (void)events;
  struct resp *resp = writable->data;
  if (!resp->redis)
    finish_connecting(resp);
  else
    write_out(resp);
}

static void on_readable(struct ev_loop *loop, ev_io *readable, int events) {
  (void)loop, (void)events;
  struct resp *resp = readable->data;
  if (take_in(resp) && resp->tls && sdslen(resp->redis->obuf) > 0)
    write_out(resp);
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
  if (resp->redis)
    redisFree(resp->redis);
  else
    close(resp->fd);
  free(resp);
}

uint64_t resp_heard(const struct resp *resp) { return resp->heard_bytes; }
