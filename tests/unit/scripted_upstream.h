/*
 * scripted_upstream: an upstream server that does what a test says, on the test's own loop.
 *
 * On loopback, over UDP and TCP. Every query is kept; the script is called with it and may answer now, later
 * (with the query kept) or never. Replies are made in `builder`.
 */
#ifndef MXWAY_TESTS_SCRIPTED_UPSTREAM_H
#define MXWAY_TESTS_SCRIPTED_UPSTREAM_H

#include "cmocka_compat.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/dnsmsg.h"
#include "dns_builder.h"

enum { QUERIES_MAX = 4096, TRANSPORTS_MAX = 8, QUERY_BYTES = 512 };

struct query_seen {
  uint16_t id, flags, qtype, opt_size; /* opt_size 0: without OPT */
  uint16_t counts[4];
  bool is_whole; /* a question and nothing behind it but an OPT */
  bool over_tcp;
  struct sockaddr_in from;
  int fd; /* of the TCP connection */
  char name[256];
};

struct upstream;
typedef void script_fn(struct upstream *upstream, const struct query_seen *query);

struct transport {
  struct upstream *upstream;
  ev_io io;
  uint8_t in[QUERY_BYTES];
  size_t length;
};

struct upstream {
  struct ev_loop *loop;
  ev_io udp, tcp;
  struct sockaddr_storage address;
  script_fn *script;
  size_t transport_count;
  struct transport transports[TRANSPORTS_MAX];
  unsigned note; /* for the script */
  size_t seen_count;
  struct query_seen seen[QUERIES_MAX];
};

static struct dns_builder builder; /* of the reply being made */

/* c-ares between 1.20 and 1.34 keeps what it cannot read to itself: it looks like silence. */
static inline void skip_where_garbage_is_silence(void) {
  int version;
  ares_version(&version);
  if (version >= 0x011400 && version < 0x012200)
    skip();
}

static inline unsigned get16(const uint8_t *at) { return (unsigned)(at[0] << 8 | at[1]); }

/* Reads what arrived without trusting it: a broken query of ours must show as one. */
static inline void read_query(const uint8_t *bytes, size_t length, struct query_seen *query) {
  size_t at = 12, out = 0;
  if (length < 12)
    return;
  query->id = (uint16_t)get16(bytes);
  query->flags = (uint16_t)get16(bytes + 2);
  for (size_t i = 0; i < 4; i++)
    query->counts[i] = (uint16_t)get16(bytes + 4 + 2 * i);
  while (at < length && bytes[at] != 0) {
    size_t label = bytes[at++];
    if (label > 63 || at + label > length || out + label + 1 >= sizeof(query->name))
      return;
    if (out > 0)
      query->name[out++] = '.';
    memcpy(query->name + out, bytes + at, label);
    out += label;
    at += label;
  }
  if (at + 5 > length)
    return;
  query->qtype = (uint16_t)get16(bytes + at + 1);
  bool is_in = get16(bytes + at + 3) == 1;
  at += 5;
  if (query->counts[3] == 1 && length >= at + 11 && bytes[at] == 0 && get16(bytes + at + 1) == DNSMSG_OPT) {
    query->opt_size = (uint16_t)get16(bytes + at + 3);
    at += 11 + get16(bytes + at + 9); /* newer c-ares adds a cookie */
  }
  query->is_whole = is_in && at == length;
}

static inline struct query_seen *note_query(struct upstream *upstream, const uint8_t *bytes, size_t length) {
  assert_true(upstream->seen_count < QUERIES_MAX);
  struct query_seen *query = &upstream->seen[upstream->seen_count++];
  *query = (struct query_seen){.fd = -1};
  read_query(bytes, length, query);
  return query;
}

/* Sends `builder` as the answer to `query`, with its id. */
static inline void send_reply(struct upstream *upstream, const struct query_seen *query) {
  builder.bytes[0] = (uint8_t)(query->id >> 8);
  builder.bytes[1] = (uint8_t)query->id;
  if (query->over_tcp) {
    uint8_t length[2] = {(uint8_t)(builder.length >> 8), (uint8_t)builder.length};
    send(query->fd, length, 2, MSG_NOSIGNAL); /* who asked may have gone */
    send(query->fd, builder.bytes, builder.length, MSG_NOSIGNAL);
  } else {
    sendto(upstream->udp.fd, builder.bytes, builder.length, 0, (const struct sockaddr *)&query->from,
           sizeof(query->from));
  }
}

static inline void on_udp(struct ev_loop *loop, ev_io *io, int events) {
  (void)loop, (void)events;
  struct upstream *upstream = io->data;
  uint8_t bytes[QUERY_BYTES];
  struct sockaddr_in from;
  socklen_t from_length = sizeof(from);
  ssize_t got = recvfrom(io->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_length);
  if (got < 0)
    return;
  struct query_seen *query = note_query(upstream, bytes, (size_t)got);
  query->from = from;
  upstream->script(upstream, query);
}

static inline void on_transport(struct ev_loop *loop, ev_io *io, int events) {
  (void)events;
  struct transport *transport = io->data;
  ssize_t got = recv(io->fd, transport->in + transport->length, QUERY_BYTES - transport->length, 0);
  if (got <= 0) {
    ev_io_stop(loop, io);
    close(io->fd);
    io->fd = -1;
    return;
  }
  transport->length += (size_t)got;
  while (transport->length >= 2 && transport->length >= 2 + get16(transport->in)) {
    size_t length = get16(transport->in);
    struct query_seen *query = note_query(transport->upstream, transport->in + 2, length);
    query->over_tcp = true;
    query->fd = io->fd;
    transport->length -= 2 + length;
    memmove(transport->in, transport->in + 2 + length, transport->length);
    transport->upstream->script(transport->upstream, query);
  }
}

static inline void on_tcp(struct ev_loop *loop, ev_io *io, int events) {
  (void)events;
  struct upstream *upstream = io->data;
  int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0)
    return;
  assert_true(upstream->transport_count < TRANSPORTS_MAX);
  struct transport *transport = &upstream->transports[upstream->transport_count++];
  transport->upstream = upstream;
  transport->length = 0;
  ev_io_init(&transport->io, on_transport, fd, EV_READ);
  transport->io.data = transport;
  ev_io_start(loop, &transport->io);
}

/* A bound socket on loopback with a port of the kernel's choice, or `*port`; -1: taken. */
static inline int bind_loopback(int type, uint16_t *port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof(address);
  int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  assert_return_code(fd, errno);
  if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
    close(fd);
    return -1;
  }
  assert_return_code(getsockname(fd, (struct sockaddr *)&address, &length), errno);
  *port = ntohs(address.sin_port);
  return fd;
}

static inline void set_address(struct sockaddr_storage *storage, uint32_t host, uint16_t port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
  memset(storage, 0, sizeof(*storage));
  memcpy(storage, &address, sizeof(address));
}

/* Without TCP its port is held, so that nobody listens there. */
static inline void open_upstream(struct upstream *upstream, struct ev_loop *loop, bool with_tcp,
                                 script_fn *script) {
  int udp = -1, tcp = -1;
  uint16_t port;
  memset(upstream, 0, sizeof(*upstream));
  for (int i = 0; tcp < 0; i++) {
    assert_true(i < 50);
    if (udp >= 0)
      close(udp);
    port = 0;
    udp = bind_loopback(SOCK_DGRAM, &port);
    tcp = bind_loopback(SOCK_STREAM, &port);
  }
  setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &(int){1 << 22}, sizeof(int));
  upstream->loop = loop;
  upstream->script = script;
  set_address(&upstream->address, INADDR_LOOPBACK, port);
  ev_io_init(&upstream->udp, on_udp, udp, EV_READ);
  ev_io_init(&upstream->tcp, on_tcp, tcp, EV_READ);
  upstream->udp.data = upstream->tcp.data = upstream;
  ev_io_start(loop, &upstream->udp);
  if (with_tcp) {
    assert_return_code(listen(tcp, 16), errno);
    ev_io_start(loop, &upstream->tcp);
  }
}

static inline void close_upstream(struct upstream *upstream) {
  for (size_t i = 0; i < upstream->transport_count; i++)
    if (upstream->transports[i].io.fd >= 0) {
      ev_io_stop(upstream->loop, &upstream->transports[i].io);
      close(upstream->transports[i].io.fd);
    }
  ev_io_stop(upstream->loop, &upstream->udp);
  ev_io_stop(upstream->loop, &upstream->tcp);
  close(upstream->udp.fd);
  close(upstream->tcp.fd);
}

static inline void start_reply(const struct query_seen *query, unsigned rcode) {
  dns_reply(&builder, rcode, query->name, query->qtype);
}

static inline void end_reply(struct upstream *upstream, const struct query_seen *query) {
  if (query->opt_size)
    dns_add_opt(&builder, 0);
  send_reply(upstream, query);
}

static inline void be_silent(struct upstream *upstream, const struct query_seen *query) {
  (void)upstream, (void)query;
}

static inline void answer(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 0);
  dns_add_mx(&builder, NULL, 300, 10, "mx.test");
  end_reply(upstream, query);
}

#endif
