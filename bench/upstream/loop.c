#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "tcp.h"
#include "udp.h"

enum { EVENTS = 64, PORT_TRIES = 64, RECEIVE_BUFFER_BYTES = 8 << 20, SWEEP_S = 5 };
#define SECOND_NS UINT64_C(1000000000)

/* What an event is of: the upper half of its tag; the lower is an index. */
enum tag { TAG_UDP, TAG_LISTENER, TAG_CONNECTION, TAG_TIMER, TAG_SIGNAL };

struct loop {
  const struct answerer *answerer;
  struct delays *delays;
  struct tcp *tcp;
  size_t count;
  struct udp *udp[LOOP_ADDRESSES_MAX];
  int listen_fds[LOOP_ADDRESSES_MAX];
  int epoll_fd, timer_fd, signal_fd;
  uint64_t timer_ns; /* what the timer is set to; UINT64_MAX: nothing */
  bool is_ended;
};

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static socklen_t length_of(const struct sockaddr_storage *address) {
  return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static int bind_one(const struct sockaddr_storage *address, int type) {
  int on = 1, fd = socket(address->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd == -1)
    return -1;
  if (address->ss_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  if (type == SOCK_STREAM)
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, (const struct sockaddr *)address, length_of(address)) == 0)
    return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* A burst of queries waits in the socket; the second way passes the limit of the system where it may. */
static void widen(int fd) {
  int bytes = RECEIVE_BUFFER_BYTES;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

/* UDP and TCP on one port. A chosen port may be taken for TCP: then another is chosen. */
static int bind_both(struct sockaddr_storage *address, int fds[2]) {
  const struct sockaddr_storage wanted = *address;
  bool is_chosen = ((const struct sockaddr_in *)address)->sin_port == 0; /* sin6_port is at its place */
  for (unsigned try = 0; try < (is_chosen ? PORT_TRIES : 1); try++) {
    *address = wanted;
    socklen_t length = sizeof(*address);
    fds[0] = bind_one(address, SOCK_DGRAM);
    if (fds[0] == -1)
      return -1;
    getsockname(fds[0], (struct sockaddr *)address, &length);
    fds[1] = bind_one(address, SOCK_STREAM);
    if (fds[1] != -1 && listen(fds[1], SOMAXCONN) == 0) {
      widen(fds[0]);
      return 0;
    }
    int error = errno;
    close(fds[0]);
    if (fds[1] != -1)
      close(fds[1]);
    errno = error;
  }
  return -1;
}

static int watch(const struct loop *loop, int fd, enum tag tag, size_t index) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)tag << 32 | index};
  return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_address(struct loop *loop, struct sockaddr_storage *address) {
  int fds[2];
  if (bind_both(address, fds) != 0)
    return -1;
  size_t at = loop->count;
  loop->udp[at] = udp_create(fds[0], (uint32_t)at, loop->answerer, loop->delays);
  loop->listen_fds[at] = fds[1];
  if (!loop->udp[at])
    close(fds[0]);
  loop->count++;
  if (!loop->udp[at] || watch(loop, fds[0], TAG_UDP, at) != 0)
    return -1;
  return watch(loop, fds[1], TAG_LISTENER, at);
}

static int open_services(struct loop *loop) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  loop->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  loop->delays = delays_create();
  loop->tcp = tcp_create(loop->epoll_fd, (uint64_t)TAG_CONNECTION << 32, loop->answerer, loop->delays);
  if (loop->epoll_fd == -1 || loop->timer_fd == -1 || loop->signal_fd == -1 || !loop->delays || !loop->tcp)
    return -1;
  return watch(loop, loop->timer_fd, TAG_TIMER, 0) || watch(loop, loop->signal_fd, TAG_SIGNAL, 0);
}

struct loop *loop_create(const struct answerer *answerer, struct sockaddr_storage *addresses, size_t count,
                         char error[LOOP_ERROR_SIZE]) {
  char text[ADDRESS_TEXT_SIZE];
  struct loop *loop = calloc(1, sizeof(*loop));
  if (!loop) {
    snprintf(error, LOOP_ERROR_SIZE, "not enough memory");
    return NULL;
  }
  loop->epoll_fd = loop->timer_fd = loop->signal_fd = -1;
  loop->timer_ns = UINT64_MAX;
  loop->answerer = answerer;
  if (open_services(loop) != 0) {
    snprintf(error, LOOP_ERROR_SIZE, "cannot begin: %s", strerror(errno));
    goto failed;
  }
  for (size_t i = 0; i < count; i++) {
    if (open_address(loop, &addresses[i]) != 0) {
      snprintf(error, LOOP_ERROR_SIZE, "cannot listen on %s: %s", address_text(&addresses[i], text),
               strerror(errno));
      goto failed;
    }
  }
  return loop;
failed:
  loop_destroy(loop);
  return NULL;
}

void loop_destroy(struct loop *loop) {
  if (!loop)
    return;
  for (size_t i = 0; i < loop->count; i++) {
    udp_destroy(loop->udp[i]);
    close(loop->listen_fds[i]);
  }
  tcp_destroy(loop->tcp);
  delays_destroy(loop->delays);
  int fds[] = {loop->epoll_fd, loop->timer_fd, loop->signal_fd};
  for (size_t i = 0; i < 3; i++)
    if (fds[i] != -1)
      close(fds[i]);
  free(loop);
}

static void send_due(struct loop *loop, uint64_t now) {
  struct delayed *delayed;
  while ((delayed = delays_take(loop->delays, now))) {
    if (delayed->peer.is_tcp)
      tcp_put(loop->tcp, &delayed->peer, delayed->bytes, delayed->length);
    else
      udp_put(loop->udp[delayed->peer.index], &delayed->peer, delayed->bytes, delayed->length);
    free(delayed);
  }
  for (size_t i = 0; i < loop->count; i++)
    udp_flush(loop->udp[i]);
}

static void set_timer(struct loop *loop) {
  uint64_t next = delays_next_ns(loop->delays);
  if (next == loop->timer_ns)
    return;
  struct itimerspec at = {.it_value = {0}};
  if (next != UINT64_MAX) {
    at.it_value.tv_sec = (time_t)(next / SECOND_NS);
    at.it_value.tv_nsec = (long)(next % SECOND_NS);
  }
  timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
  loop->timer_ns = next;
}

static void on_signal(struct loop *loop) {
  struct signalfd_siginfo info;
  while (read(loop->signal_fd, &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo != SIGUSR1) {
      loop->is_ended = true;
      continue;
    }
    counts_print(loop->answerer->counts, stdout);
    faults_print(loop->answerer->faults, stdout);
    fflush(stdout);
  }
}

static void on_event(struct loop *loop, uint64_t tag, uint64_t now) {
  uint32_t index = (uint32_t)tag;
  switch ((enum tag)(tag >> 32)) {
  case TAG_UDP:
    udp_read(loop->udp[index], now);
    break;
  case TAG_LISTENER:
    tcp_accept(loop->tcp, loop->listen_fds[index], now);
    break;
  case TAG_CONNECTION:
    tcp_on_event(loop->tcp, index, now);
    break;
  case TAG_TIMER:
    loop->timer_ns = UINT64_MAX; /* It has fired: send_due follows, and sets it anew. */
    if (read(loop->timer_fd, &tag, sizeof(tag)) < 0)
      break;
    break;
  case TAG_SIGNAL:
    on_signal(loop);
    break;
  }
}

void loop_run(struct loop *loop) {
  struct epoll_event events[EVENTS];
  uint64_t swept_ns = now_ns();
  while (!loop->is_ended) {
    set_timer(loop);
    int count = epoll_wait(loop->epoll_fd, events, EVENTS, SWEEP_S * 1000);
    uint64_t now = now_ns();
    for (int i = 0; i < count; i++)
      on_event(loop, events[i].data.u64, now);
    send_due(loop, now);
    if (now - swept_ns > SWEEP_S * SECOND_NS) {
      tcp_sweep(loop->tcp, now);
      swept_ns = now;
    }
  }
}
