/*
 * udp: one datagram socket, read and written in batches.
 *
 * Answers what has come with answer_query; what is delayed goes to `delays`. Never waits for more than
 * UDP_PATIENCE_MS, when the socket takes no more.
 */
#ifndef MXWAY_BENCH_UPSTREAM_UDP_H
#define MXWAY_BENCH_UPSTREAM_UDP_H

#include "answer.h"
#include "delays.h"

enum { UDP_PATIENCE_MS = 100 };

struct udp;

/* On the bound, non-blocking socket `fd`, which it then owns; `index` is put into peers. NULL without memory.
 */
struct udp *udp_create(int fd, uint32_t index, const struct answerer *answerer, struct delays *delays);
void udp_destroy(struct udp *udp);

/* Reads and answers a few batches; more may be left. */
void udp_read(struct udp *udp, uint64_t now_ns);

/* Queues a reply; udp_flush sends what is queued. */
void udp_put(struct udp *udp, const struct peer *peer, const uint8_t *bytes, size_t length);
void udp_flush(struct udp *udp);

#endif
