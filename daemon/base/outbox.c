#include "base/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

enum { CAPACITY_FIRST = 4096 };

/* Sends what the socket takes. Returns how many octets, or ERR_NETWORK. */
static ssize_t send_some(int fd, const uint8_t *bytes, size_t length) {
  ssize_t sent;
  do
    sent = send(fd, bytes, length, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0)
    return sent;
  return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : ERR_NETWORK;
}

/* Makes room for `length` more octets behind those that wait. */
static int make_room(struct outbox *outbox, size_t length) {
  size_t left = outbox_left(outbox), capacity = outbox->capacity ? outbox->capacity : CAPACITY_FIRST;
  if (outbox->at > 0) {
    memmove(outbox->bytes, outbox->bytes + outbox->at, left);
    outbox->at = 0;
    outbox->end = left;
  }
  if (left + length <= outbox->capacity)
    return 0;
  while (capacity < left + length)
    capacity *= 2;
  uint8_t *bytes = realloc(outbox->bytes, capacity);
  if (!bytes)
    return ERR_NOMEM;
  outbox->bytes = bytes;
  outbox->capacity = capacity;
  return 0;
}

int outbox_put(struct outbox *outbox, int fd, const uint8_t *bytes, size_t length) {
  ssize_t sent = length > 0 && outbox_left(outbox) == 0 ? send_some(fd, bytes, length) : 0;
  if (sent < 0)
    return (int)sent;
  bytes += sent;
  length -= (size_t)sent;
  return outbox_add(outbox, bytes, length);
}

int outbox_add(struct outbox *outbox, const uint8_t *bytes, size_t length) {
  if (length == 0)
    return 0;
  int error = make_room(outbox, length);
  if (error != 0)
    return error;
  memcpy(outbox->bytes + outbox->end, bytes, length);
  outbox->end += length;
  return 0;
}

int outbox_send(struct outbox *outbox, int fd) {
  ssize_t sent = outbox_left(outbox) > 0 ? send_some(fd, outbox_bytes(outbox), outbox_left(outbox)) : 0;
  if (sent < 0)
    return (int)sent;
  outbox_drop(outbox, (size_t)sent);
  return 0;
}

void outbox_drop(struct outbox *outbox, size_t length) {
  outbox->at += length;
  if (outbox_left(outbox) == 0)
    outbox_clear(outbox);
}

void outbox_clear(struct outbox *outbox) {
  free(outbox->bytes);
  *outbox = (struct outbox){0};
}
