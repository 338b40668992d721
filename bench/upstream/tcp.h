/*
 * tcp: connections with DNS messages behind their lengths (RFC 1035 section 4.2.2).
 *
 * TCP_CONNECTIONS_MAX at most, more are closed at once; one that sends nothing for TCP_IDLE_S and waits for
 * nothing is closed. A connection whose replies are not read is not read either.
 */
#ifndef MXWAY_BENCH_UPSTREAM_TCP_H
#define MXWAY_BENCH_UPSTREAM_TCP_H

#include "answer.h"
#include "delays.h"

enum { TCP_CONNECTIONS_MAX = 1024, TCP_IDLE_S = 60 };

struct tcp;

/* Registers connections with `epoll_fd` with `tag` + their index. NULL without memory. */
struct tcp *tcp_create(int epoll_fd, uint64_t tag, const struct answerer *answerer, struct delays *delays);
void tcp_destroy(struct tcp *tcp);

/* Accepts what waits on a listening socket. */
void tcp_accept(struct tcp *tcp, int listen_fd, uint64_t now_ns);

/* A connection can be read or written. */
void tcp_on_event(struct tcp *tcp, uint32_t index, uint64_t now_ns);

/* Sends a delayed reply, if its connection is still there. */
void tcp_put(struct tcp *tcp, const struct peer *peer, const uint8_t *bytes, size_t length);

/* Closes those that have been idle for too long. */
void tcp_sweep(struct tcp *tcp, uint64_t now_ns);

#endif
