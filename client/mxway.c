#include "mxway/mxway.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "frame.h"
#include "questions.h"
#include "reply.h"
#include "request.h"

enum {
  UNSENT_MAX_BYTES = 1 << 20, /* then MXWAY_ERR_FULL */
  READ_BYTES = 32768,
  READS_MAX = 16, /* in one mxway_process, so that the caller's loop gets its turn */
  WAIT_DEFAULT_MS = 30000,
  WAIT_EXTRA_MS = 1000, /* the daemon keeps the request's timeout; this is for the way */
};

struct mxway {
  struct sockaddr_un address;
  int fd;         /* -1: not connected */
  bool calling;   /* inside a callback */
  bool send_lost; /* the daemon takes no more; it may still have answers for us */
  struct mxway_buffer in, out;
  struct mxway_questions questions;
};

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct mxway *mxway_create(const char *socket_path) {
  if (!socket_path)
    socket_path = MXWAY_DEFAULT_SOCKET;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(socket_path);
  if (length >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return NULL;
  }
  struct mxway *mxway = calloc(1, sizeof *mxway);
  if (!mxway)
    return NULL;
  memcpy(address.sun_path, socket_path, length);
  mxway->address = address;
  mxway->fd = -1;
  mxway_questions_init(&mxway->questions);
  return mxway;
}

void mxway_destroy(struct mxway *mxway) {
  if (!mxway)
    return;
  if (mxway->fd >= 0)
    close(mxway->fd);
  mxway_buffer_fini(&mxway->in);
  mxway_buffer_fini(&mxway->out);
  free(mxway);
}

/* ---- the connection ---- */

/* Closes `fd` for a failed connect, whose errno the caller is promised. */
static int connect_failed(int fd) {
  int saved = errno;
  if (fd >= 0)
    close(fd);
  errno = saved;
  return MXWAY_ERR_CONNECT;
}

/* A Unix socket connects at once, or says EAGAIN while the daemon's backlog is full. */
static int connect_now(struct mxway *mxway) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&mxway->address, sizeof mxway->address) != 0)
    return connect_failed(fd);
  mxway->fd = fd;
  return 0;
}

/* Waits for a place in the backlog: in the kernel, which honours SO_SNDTIMEO here (unix(7)). */
static int connect_until(struct mxway *mxway, int64_t deadline_ms) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return connect_failed(fd);
  for (;;) {
    int64_t left_ms = deadline_ms - now_ms();
    if (left_ms <= 0) {
      close(fd);
      return MXWAY_ERR_TIMEOUT;
    }
    struct timeval left = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left) != 0)
      return connect_failed(fd);
    if (connect(fd, (struct sockaddr *)&mxway->address, sizeof mxway->address) == 0)
      break;
    if (errno != EAGAIN && errno != EINTR)
      return connect_failed(fd);
  }
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
    return connect_failed(fd);
  mxway->fd = fd;
  return 0;
}

static void call_back(struct mxway *mxway, const struct mxway_question *question, int error,
                      struct mxway_reply *reply) {
  if (question->answered) {
    mxway->calling = true;
    question->answered(question->context, error, reply);
    mxway->calling = false;
  }
  if (!question->answered || !question->keeps_reply)
    mxway_reply_free(reply);
}

/* Closes, and tells everybody who waited. A question put by one of these callbacks has a later serial and
 * goes to a new connection. */
static void end_connection(struct mxway *mxway, int error) {
  close(mxway->fd);
  mxway->fd = -1;
  mxway->send_lost = false;
  mxway_buffer_take(&mxway->in, mxway_buffer_length(&mxway->in));
  mxway_buffer_take(&mxway->out, mxway_buffer_length(&mxway->out));
  uint64_t serial = mxway->questions.serial;
  struct mxway_question question;
  while (mxway_questions_remove_oldest(&mxway->questions, serial, &question))
    call_back(mxway, &question, error, NULL);
}

static void send_some(struct mxway *mxway) {
  while (mxway_buffer_length(&mxway->out) > 0) {
    ssize_t sent =
        send(mxway->fd, mxway->out.octets + mxway->out.start, mxway_buffer_length(&mxway->out), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return;
    if (sent < 0) {
      mxway->send_lost = true;
      mxway_buffer_take(&mxway->out, mxway_buffer_length(&mxway->out));
      return;
    }
    mxway_buffer_take(&mxway->out, (size_t)sent);
  }
}

static int answer_frames(struct mxway *mxway) {
  for (;;) {
    struct frame frame;
    switch (frame_parse(mxway->in.octets + mxway->in.start, mxway_buffer_length(&mxway->in), FRAME_REPLY_MAX,
                        &frame)) {
    case FRAME_INCOMPLETE:
      return 0;
    case FRAME_BROKEN:
      return MXWAY_ERR_PROTOCOL;
    case FRAME_COMPLETE:
      break;
    }
    uint64_t id;
    struct mxway_reply *reply;
    int error = mxway_reply_decode(frame.body, frame.body_length, &id, &reply);
    if (error)
      return error;
    mxway_buffer_take(&mxway->in, frame.header_length + frame.body_length);
    struct mxway_question question;
    if (!mxway_questions_remove(&mxway->questions, id, &question)) {
      mxway_reply_free(reply);
      return MXWAY_ERR_PROTOCOL;
    }
    call_back(mxway, &question, 0, reply);
  }
}

/* Whole frames are answered after each read, so that never more than one frame and one read are inside. */
static int receive_some(struct mxway *mxway) {
  for (int reads = 0; reads < READS_MAX; reads++) {
    if (!mxway_buffer_reserve(&mxway->in, READ_BYTES))
      return MXWAY_ERR_NOMEM;
    size_t room = mxway->in.capacity - mxway->in.end;
    ssize_t received = recv(mxway->fd, mxway->in.octets + mxway->in.end, room, 0);
    if (received < 0 && errno == EINTR)
      continue;
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return mxway->send_lost ? MXWAY_ERR_DISCONNECTED : 0;
    if (received <= 0)
      return MXWAY_ERR_DISCONNECTED;
    mxway->in.end += (size_t)received;
    int error = answer_frames(mxway);
    if (error)
      return error;
    if ((size_t)received < room && !mxway->send_lost)
      return 0;
  }
  return 0;
}

/* ---- asking ---- */

static int put(struct mxway *mxway, const struct mxway_request *request,
               const struct mxway_question *question, uint64_t *id) {
  if (mxway_buffer_length(&mxway->out) >= UNSENT_MAX_BYTES)
    return MXWAY_ERR_FULL;
  *id = mxway_questions_add(&mxway->questions, question);
  if (*id == 0)
    return MXWAY_ERR_FULL;
  int error = mxway_request_encode(request, *id, &mxway->out);
  if (error) {
    struct mxway_question taken;
    mxway_questions_remove(&mxway->questions, *id, &taken);
  }
  return error;
}

int mxway_ask(struct mxway *mxway, const struct mxway_request *request, mxway_reply_fn *answered,
              void *context) {
  int error = mxway->fd < 0 ? connect_now(mxway) : 0;
  if (error)
    return error;
  struct mxway_question question = {.answered = answered, .context = context};
  uint64_t id;
  return put(mxway, request, &question, &id);
}

int mxway_fd(const struct mxway *mxway) { return mxway->fd; }

int mxway_wants(const struct mxway *mxway) {
  if (mxway->fd < 0)
    return 0;
  return mxway_buffer_length(&mxway->out) > 0 ? MXWAY_WANT_READ | MXWAY_WANT_WRITE : MXWAY_WANT_READ;
}

size_t mxway_outstanding(const struct mxway *mxway) { return mxway->questions.count; }

int mxway_process(struct mxway *mxway) {
  if (mxway->calling)
    return MXWAY_ERR_ARGUMENT;
  if (mxway->fd < 0)
    return 0;
  send_some(mxway);
  int error = receive_some(mxway);
  if (error)
    end_connection(mxway, error);
  else
    send_some(mxway);
  return error;
}

/* ---- blocking ---- */

/* Whoever is blocked in mxway_lookup. */
struct waiter {
  bool is_done;
  int error;
  struct mxway_reply *reply;
};

static void on_waited(void *context, int error, const struct mxway_reply *reply) {
  struct waiter *waiter = context;
  waiter->is_done = true;
  waiter->error = error;
  waiter->reply = (struct mxway_reply *)reply;
}

/* Waits once for the socket and processes. Returns 0 after whatever happened, or why not to wait on. */
static int wait_some(struct mxway *mxway, int64_t deadline_ms) {
  send_some(mxway);
  int64_t left_ms = deadline_ms - now_ms();
  if (left_ms <= 0)
    return MXWAY_ERR_TIMEOUT;
  struct pollfd ready = {.fd = mxway->fd, .events = POLLIN};
  if (mxway_wants(mxway) & MXWAY_WANT_WRITE)
    ready.events |= POLLOUT;
  int count = poll(&ready, 1, left_ms < INT32_MAX ? (int)left_ms : INT32_MAX);
  if (count < 0 && errno != EINTR)
    return MXWAY_ERR_NOMEM;
  if (count > 0)
    mxway_process(mxway);
  return 0;
}

static int lookup_once(struct mxway *mxway, const struct mxway_request *request, int64_t deadline_ms,
                       struct mxway_reply **reply) {
  struct waiter waiter = {0};
  struct mxway_question question = {.answered = on_waited, .context = &waiter, .keeps_reply = true};
  uint64_t id;
  int error;
  for (;;) {
    error = mxway->fd < 0 ? connect_until(mxway, deadline_ms) : 0;
    if (!error)
      error = put(mxway, request, &question, &id);
    if (error == MXWAY_ERR_FULL)
      error = wait_some(mxway, deadline_ms);
    else
      break;
    if (error)
      return error;
  }
  while (!error && !waiter.is_done) {
    error = wait_some(mxway, deadline_ms);
    if (error)
      mxway_questions_abandon(&mxway->questions, id);
  }
  if (error)
    return error;
  if (!waiter.error)
    *reply = waiter.reply;
  return waiter.error;
}

int mxway_lookup(struct mxway *mxway, const struct mxway_request *request, struct mxway_reply **reply) {
  if (mxway->calling)
    return MXWAY_ERR_ARGUMENT;
  int64_t wait_ms = request->timeout_ms ? request->timeout_ms : WAIT_DEFAULT_MS;
  int64_t deadline_ms = now_ms() + wait_ms + WAIT_EXTRA_MS;
  bool was_connected = mxway->fd >= 0;
  int error = lookup_once(mxway, request, deadline_ms, reply);
  /* An idle connection dies unseen when the daemon is restarted: that is no news for the caller. */
  if (error == MXWAY_ERR_DISCONNECTED && was_connected)
    error = lookup_once(mxway, request, deadline_ms, reply);
  return error;
}
