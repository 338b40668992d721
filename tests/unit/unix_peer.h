/*
 * unix_peer: a listening Unix socket in a folder of its own, and clients of it.
 *
 * Nothing here blocks: a client writes what the socket takes and reads what is there.
 */
#ifndef MXWAY_TESTS_UNIX_PEER_H
#define MXWAY_TESTS_UNIX_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmocka_compat.h"
#include "frame.h"

struct unix_place {
  char folder[32];
  char path[64];
  int listener;
};

static inline void unix_place_open(struct unix_place *place) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(place->folder, sizeof(place->folder), "/tmp/mxway-test-XXXXXX");
  assert_non_null(mkdtemp(place->folder));
  snprintf(place->path, sizeof(place->path), "%s/s", place->folder);
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", place->path);
  place->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  assert_return_code(place->listener, errno);
  assert_return_code(bind(place->listener, (struct sockaddr *)&address, sizeof(address)), errno);
  assert_return_code(listen(place->listener, 512), errno);
}

static inline void unix_place_close(struct unix_place *place) {
  close(place->listener);
  unlink(place->path);
  rmdir(place->folder);
}

/* A client. `in` is all it has received and not taken yet. */
struct unix_peer {
  int fd;
  bool at_end; /* the server has closed, or reset */
  uint8_t *in;
  size_t length, capacity;
};

static inline void unix_peer_connect(struct unix_peer *peer, const struct unix_place *place) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", place->path);
  *peer = (struct unix_peer){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  assert_return_code(peer->fd, errno);
  assert_return_code(connect(peer->fd, (struct sockaddr *)&address, sizeof(address)), errno);
}

static inline void unix_peer_close(struct unix_peer *peer) {
  if (peer->fd >= 0)
    close(peer->fd);
  free(peer->in);
  *peer = (struct unix_peer){.fd = -1};
}

/* Writes what the socket takes. */
static inline size_t unix_peer_write(const struct unix_peer *peer, const void *bytes, size_t length) {
  ssize_t wrote = write(peer->fd, bytes, length);
  if (wrote < 0)
    assert_int_equal(errno, EAGAIN);
  return wrote < 0 ? 0 : (size_t)wrote;
}

static inline void unix_peer_write_all(const struct unix_peer *peer, const void *bytes, size_t length) {
  assert_int_equal(unix_peer_write(peer, bytes, length), length);
}

/* Reads at most `most` octets of what is there; returns how many. */
static inline size_t unix_peer_read_some(struct unix_peer *peer, size_t most) {
  if (peer->capacity - peer->length < most) {
    peer->capacity = 2 * (peer->length + most);
    peer->in = realloc(peer->in, peer->capacity);
    assert_non_null(peer->in);
  }
  ssize_t got = read(peer->fd, peer->in + peer->length, most);
  if (got == 0 || (got < 0 && errno == ECONNRESET))
    peer->at_end = true;
  else if (got < 0)
    assert_int_equal(errno, EAGAIN);
  if (got <= 0)
    return 0;
  peer->length += (size_t)got;
  return (size_t)got;
}

/* Reads all that is there. Returns how much the peer holds. */
static inline size_t unix_peer_read(struct unix_peer *peer) {
  while (unix_peer_read_some(peer, 65536) > 0) {
  }
  return peer->length;
}

static inline bool unix_peer_is_at_end(struct unix_peer *peer) {
  unix_peer_read(peer);
  return peer->at_end;
}

/* Forgets the first `length` octets received. */
static inline void unix_peer_take(struct unix_peer *peer, size_t length) {
  assert_true(length <= peer->length);
  peer->length -= length;
  if (peer->length > 0)
    memmove(peer->in, peer->in + length, peer->length);
}

/* The frame at the start of what was received; false where none is whole. */
static inline bool unix_peer_has_frame(const struct unix_peer *peer, struct frame *frame) {
  enum frame_state state = frame_parse(peer->in, peer->length, FRAME_REPLY_MAX, frame);
  assert_int_not_equal(state, FRAME_BROKEN);
  return state == FRAME_COMPLETE;
}

static inline void unix_peer_take_frame(struct unix_peer *peer, const struct frame *frame) {
  unix_peer_take(peer, frame->header_length + frame->body_length);
}

#endif
