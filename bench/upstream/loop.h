/*
 * loop: the sockets of the server, and what happens on them until a signal ends it.
 *
 * Each address has a UDP and a TCP socket on the same port. SIGUSR1 prints the counters, SIGINT and SIGTERM
 * end the loop. One thread.
 */
#ifndef MXWAY_BENCH_UPSTREAM_LOOP_H
#define MXWAY_BENCH_UPSTREAM_LOOP_H

#include <sys/socket.h>

#include "answer.h"

enum { LOOP_ADDRESSES_MAX = 16, LOOP_ERROR_SIZE = 256 };

struct loop;

/* Binds `count` addresses; port 0 is replaced by the one that was chosen. NULL with a sentence in `error`. */
struct loop *loop_create(const struct answerer *answerer, struct sockaddr_storage *addresses, size_t count,
                         char error[LOOP_ERROR_SIZE]);
void loop_destroy(struct loop *loop);

/* Serves until SIGINT or SIGTERM, which it blocks together with SIGUSR1 from loop_create on. */
void loop_run(struct loop *loop);

#endif
