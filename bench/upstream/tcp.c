#include "tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { FRAME_MAX = 2 + MESSAGE_TCP_MAX, OUT_MAX = 1 << 20 };

struct connection {
  int fd; /* -1: free */
  uint32_t generation;
  bool is_ended;  /* the peer sends no more */
  size_t waiting; /* delayed replies */
  uint64_t heard_ns;
  size_t in_length, out_length, out_capacity;
  uint8_t *in; /* FRAME_MAX octets */
  uint8_t *out;
};

struct tcp {
  int epoll_fd;
  uint64_t tag;
  const struct answerer *answerer;
  struct delays *delays;
  uint8_t reply[MESSAGE_TCP_MAX];
  struct connection connections[TCP_CONNECTIONS_MAX];
};

struct tcp *tcp_create(int epoll_fd, uint64_t tag, const struct answerer *answerer, struct delays *delays) {
  struct tcp *tcp = calloc(1, sizeof(*tcp));
  if (!tcp)
    return NULL;
  tcp->epoll_fd = epoll_fd;
  tcp->tag = tag;
  tcp->answerer = answerer;
  tcp->delays = delays;
  for (size_t i = 0; i < TCP_CONNECTIONS_MAX; i++)
    tcp->connections[i].fd = -1;
  return tcp;
}

static void hang_up(struct connection *connection) {
  close(connection->fd);
  free(connection->in);
  free(connection->out);
  *connection = (struct connection){.fd = -1, .generation = connection->generation + 1};
}

void tcp_destroy(struct tcp *tcp) {
  if (!tcp)
    return;
  for (size_t i = 0; i < TCP_CONNECTIONS_MAX; i++)
    if (tcp->connections[i].fd != -1)
      hang_up(&tcp->connections[i]);
  free(tcp);
}

static void take(struct tcp *tcp, int fd, uint64_t now_ns) {
  uint32_t index = 0;
  while (index < TCP_CONNECTIONS_MAX && tcp->connections[index].fd != -1)
    index++;
  struct connection *connection = &tcp->connections[index];
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = tcp->tag + index};
  uint8_t *in = index < TCP_CONNECTIONS_MAX ? malloc(FRAME_MAX) : NULL;
  if (!in || epoll_ctl(tcp->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
    free(in);
    close(fd);
    return;
  }
  connection->fd = fd;
  connection->in = in;
  connection->heard_ns = now_ns;
}

void tcp_accept(struct tcp *tcp, int listen_fd, uint64_t now_ns) {
  int fd;
  while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1)
    take(tcp, fd, now_ns);
}

static bool queue(struct connection *connection, const uint8_t *bytes, size_t length) {
  size_t needed = connection->out_length + 2 + length;
  if (needed > connection->out_capacity) {
    uint8_t *out = realloc(connection->out, needed * 2);
    if (!out)
      return false;
    connection->out = out;
    connection->out_capacity = needed * 2;
  }
  uint8_t *end = connection->out + connection->out_length;
  end[0] = (uint8_t)(length >> 8);
  end[1] = (uint8_t)length;
  memcpy(end + 2, bytes, length);
  connection->out_length = needed;
  return true;
}

/* Answers whole frames; false where the connection is of no use any more. */
static bool answer_frames(struct tcp *tcp, uint32_t index, uint64_t now_ns) {
  struct connection *connection = &tcp->connections[index];
  struct peer peer = {.is_tcp = true, .index = index, .generation = connection->generation};
  size_t used = 0;
  while (connection->in_length - used >= 2) {
    const uint8_t *frame = connection->in + used;
    size_t length = (size_t)frame[0] << 8 | frame[1];
    if (connection->in_length - used - 2 < length)
      break;
    used += 2 + length;
    struct answer answer = answer_query(tcp->answerer, frame + 2, length, true, tcp->reply);
    if (answer.length == 0)
      continue;
    if (answer.delay_ns == 0) {
      if (!queue(connection, tcp->reply, answer.length))
        return false;
    } else if (delays_put(tcp->delays, now_ns + answer.delay_ns, &peer, tcp->reply, answer.length) == 0) {
      counts_add(tcp->answerer->counts, COUNT_DELAYED);
      connection->waiting++;
    } else {
      counts_add(tcp->answerer->counts, COUNT_DROPPED);
    }
  }
  connection->in_length -= used;
  memmove(connection->in, connection->in + used, connection->in_length);
  return true;
}

/* Writes what it can, and asks for the events that are needed next; false where it has ended. */
static bool write_out(struct tcp *tcp, uint32_t index) {
  struct connection *connection = &tcp->connections[index];
  if (connection->out_length > 0) {
    ssize_t sent = send(connection->fd, connection->out, connection->out_length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
      return false;
    if (sent > 0) {
      connection->out_length -= (size_t)sent;
      memmove(connection->out, connection->out + sent, connection->out_length);
    }
  }
  if (connection->is_ended && connection->out_length == 0 && connection->waiting == 0)
    return false;
  bool reads = !connection->is_ended && connection->out_length < OUT_MAX;
  struct epoll_event event = {.events = (reads ? EPOLLIN : 0u) | (connection->out_length ? EPOLLOUT : 0u),
                              .data.u64 = tcp->tag + index};
  return epoll_ctl(tcp->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) == 0;
}

void tcp_on_event(struct tcp *tcp, uint32_t index, uint64_t now_ns) {
  struct connection *connection = &tcp->connections[index];
  if (connection->fd == -1)
    return;
  bool is_fine = true;
  if (!connection->is_ended && connection->out_length < OUT_MAX) {
    ssize_t got =
        recv(connection->fd, connection->in + connection->in_length, FRAME_MAX - connection->in_length, 0);
    if (got > 0) {
      connection->in_length += (size_t)got;
      connection->heard_ns = now_ns;
      is_fine = answer_frames(tcp, index, now_ns);
    } else if (got == 0) {
      connection->is_ended = true;
    } else if (errno != EAGAIN && errno != EINTR) {
      is_fine = false;
    }
  }
  if (!is_fine || !write_out(tcp, index))
    hang_up(connection);
}

void tcp_put(struct tcp *tcp, const struct peer *peer, const uint8_t *bytes, size_t length) {
  struct connection *connection = &tcp->connections[peer->index];
  if (connection->fd == -1 || connection->generation != peer->generation)
    return;
  connection->waiting--;
  if (!queue(connection, bytes, length) || !write_out(tcp, peer->index))
    hang_up(connection);
}

void tcp_sweep(struct tcp *tcp, uint64_t now_ns) {
  for (size_t i = 0; i < TCP_CONNECTIONS_MAX; i++) {
    struct connection *connection = &tcp->connections[i];
    if (connection->fd != -1 && connection->waiting == 0 &&
        now_ns - connection->heard_ns > TCP_IDLE_S * UINT64_C(1000000000))
      hang_up(connection);
  }
}
