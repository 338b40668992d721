#include "serve/acceptor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"

static void on_acceptable(struct ev_loop *loop, ev_io *io, int events) {
  (void)events;
  struct acceptor *acceptor = io->data;
  int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    acceptor->on_accepted(acceptor->context, fd);
  } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    if (log_is_due(&acceptor->next_log_ms, clock_now_ms()))
      log_warning("cannot accept a connection: %s; trying again ten times a second", strerror(errno));
    ev_io_stop(loop, &acceptor->acceptable);
    ev_timer_set(&acceptor->rest, ACCEPTOR_REST_MS / 1000., 0.);
    ev_timer_start(loop, &acceptor->rest);
  }
}

static void on_rested(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)events;
  struct acceptor *acceptor = timer->data;
  ev_io_start(loop, &acceptor->acceptable);
}

void acceptor_start(struct acceptor *acceptor, struct ev_loop *loop, int listen_fd, acceptor_fn *on_accepted,
                    void *context) {
  acceptor->loop = loop;
  acceptor->next_log_ms = 0;
  acceptor->on_accepted = on_accepted;
  acceptor->context = context;
  ev_io_init(&acceptor->acceptable, on_acceptable, listen_fd, EV_READ);
  ev_timer_init(&acceptor->rest, on_rested, 0., 0.);
  acceptor->acceptable.data = acceptor->rest.data = acceptor;
  ev_io_start(loop, &acceptor->acceptable);
}

void acceptor_stop(struct acceptor *acceptor) {
  ev_io_stop(acceptor->loop, &acceptor->acceptable);
  ev_timer_stop(acceptor->loop, &acceptor->rest);
}
