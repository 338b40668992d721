#include "udp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 64, QUERY_MAX = 2048, ROUNDS = 8 };

struct udp {
  int fd;
  uint32_t index;
  const struct answerer *answerer;
  struct delays *delays;
  size_t queued;
  struct mmsghdr in[BATCH], out[BATCH];
  struct iovec in_vectors[BATCH], out_vectors[BATCH];
  struct peer from[BATCH], to[BATCH];
  uint8_t queries[BATCH][QUERY_MAX];
  uint8_t replies[BATCH][MESSAGE_UDP_MAX];
};

struct udp *udp_create(int fd, uint32_t index, const struct answerer *answerer, struct delays *delays) {
  struct udp *udp = calloc(1, sizeof(*udp));
  if (!udp)
    return NULL;
  udp->fd = fd;
  udp->index = index;
  udp->answerer = answerer;
  udp->delays = delays;
  for (size_t i = 0; i < BATCH; i++) {
    udp->in_vectors[i] = (struct iovec){.iov_base = udp->queries[i], .iov_len = QUERY_MAX};
    udp->out_vectors[i].iov_base = udp->replies[i];
    udp->in[i].msg_hdr =
        (struct msghdr){.msg_name = &udp->from[i].address, .msg_iov = &udp->in_vectors[i], .msg_iovlen = 1};
    udp->out[i].msg_hdr =
        (struct msghdr){.msg_name = &udp->to[i].address, .msg_iov = &udp->out_vectors[i], .msg_iovlen = 1};
  }
  return udp;
}

void udp_destroy(struct udp *udp) {
  if (!udp)
    return;
  close(udp->fd);
  free(udp);
}

void udp_flush(struct udp *udp) {
  size_t sent = 0;
  while (sent < udp->queued) {
    int count = sendmmsg(udp->fd, udp->out + sent, (unsigned)(udp->queued - sent), 0);
    if (count > 0) {
      sent += (size_t)count;
    } else if (errno == EAGAIN || errno == ENOBUFS) {
      struct pollfd writable = {.fd = udp->fd, .events = POLLOUT};
      if (poll(&writable, 1, UDP_PATIENCE_MS) <= 0)
        break;
    } else if (errno != EINTR) {
      sent++; /* This one cannot be sent, as to an address without a route. */
      counts_add(udp->answerer->counts, COUNT_DROPPED);
    }
  }
  for (; sent < udp->queued; sent++)
    counts_add(udp->answerer->counts, COUNT_DROPPED);
  udp->queued = 0;
}

/* The reply of `length` octets is in the next free place already. */
static void queue(struct udp *udp, const struct peer *peer, size_t length) {
  udp->to[udp->queued] = *peer;
  udp->out[udp->queued].msg_hdr.msg_namelen = peer->address_length;
  udp->out_vectors[udp->queued].iov_len = length;
  if (++udp->queued == BATCH)
    udp_flush(udp);
}

void udp_put(struct udp *udp, const struct peer *peer, const uint8_t *bytes, size_t length) {
  memcpy(udp->replies[udp->queued], bytes, length);
  queue(udp, peer, length);
}

static void answer_one(struct udp *udp, size_t at, uint64_t now_ns) {
  struct peer *peer = &udp->from[at];
  uint8_t *reply = udp->replies[udp->queued];
  if (udp->in[at].msg_hdr.msg_flags & MSG_TRUNC) {
    counts_add(udp->answerer->counts, COUNT_MALFORMED);
    return;
  }
  struct answer answer = answer_query(udp->answerer, udp->queries[at], udp->in[at].msg_len, false, reply);
  peer->index = udp->index;
  peer->address_length = udp->in[at].msg_hdr.msg_namelen;
  if (answer.length == 0)
    return;
  if (answer.delay_ns == 0) {
    queue(udp, peer, answer.length);
    return;
  }
  bool is_put = delays_put(udp->delays, now_ns + answer.delay_ns, peer, reply, answer.length) == 0;
  counts_add(udp->answerer->counts, is_put ? COUNT_DELAYED : COUNT_DROPPED);
}

void udp_read(struct udp *udp, uint64_t now_ns) {
  for (unsigned round = 0; round < ROUNDS; round++) {
    for (size_t i = 0; i < BATCH; i++)
      udp->in[i].msg_hdr.msg_namelen = sizeof(udp->from[i].address);
    int count = recvmmsg(udp->fd, udp->in, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
      answer_one(udp, (size_t)i, now_ns);
    udp_flush(udp);
    if (count < BATCH)
      return;
  }
}
