/*
 * acceptor: takes connections from a listening socket.
 *
 * One a wake-up, so that threads that listen to the same socket share them. While the process is out of
 * descriptors or the kernel out of memory it rests: the connection stays in the backlog, and asking again at
 * once would spin. One thread, one libev loop.
 */
#ifndef MXWAY_DAEMON_ACCEPTOR_H
#define MXWAY_DAEMON_ACCEPTOR_H

#include <ev.h>
#include <stdint.h>

enum { ACCEPTOR_REST_MS = 100 };

/* `fd` is non-blocking, closed on exec, and the callee's. */
typedef void acceptor_fn(void *context, int fd);

struct acceptor {
  struct ev_loop *loop;
  ev_io acceptable;
  ev_timer rest;
  acceptor_fn *on_accepted;
  void *context;
  int64_t next_log_ms;
};

/* Begins. `listen_fd` (non-blocking) and `loop` are lent until acceptor_stop. */
void acceptor_start(struct acceptor *acceptor, struct ev_loop *loop, int listen_fd, acceptor_fn *on_accepted,
                    void *context);

/* Takes no more. Fine a second time. */
void acceptor_stop(struct acceptor *acceptor);

#endif
