#include "base/hostname.h"

#include <errno.h>
#include <ev.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { STACK_BYTES = 256 * 1024 }; /* what resolvers and their modules need, with plenty to spare */

static atomic_int thread_count;

/* Of the loop and of the thread, freed by whoever is the last. */
struct hostname {
  struct ev_loop *loop;
  ev_async wake;
  hostname_done_fn *done;
  void *context;
  char *host;
  uint16_t port;
  pthread_mutex_t mutex;
  /* Under the mutex: */
  bool is_cancelled, is_over; /* is_over: the thread has given what it has to give */
  /* The thread's until is_over: */
  int code, system_error;
  size_t count;
  struct sockaddr_storage addresses[HOSTNAME_ADDRESSES_MAX];
};

static void destroy(struct hostname *hostname) {
  pthread_mutex_destroy(&hostname->mutex);
  free(hostname->host);
  free(hostname);
}

static void look_up(struct hostname *hostname) {
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
  struct addrinfo *found = NULL;
  hostname->code = getaddrinfo(hostname->host, NULL, &hints, &found);
  hostname->system_error = errno;
  if (hostname->code != 0)
    return;
  for (const struct addrinfo *info = found; info && hostname->count < HOSTNAME_ADDRESSES_MAX;
       info = info->ai_next) {
    struct sockaddr_storage *address = &hostname->addresses[hostname->count];
    if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
      continue;
    memcpy(address, info->ai_addr, info->ai_addrlen);
    if (info->ai_family == AF_INET)
      ((struct sockaddr_in *)address)->sin_port = htons(hostname->port);
    else
      ((struct sockaddr_in6 *)address)->sin6_port = htons(hostname->port);
    hostname->count++;
  }
  freeaddrinfo(found);
}

static void *run(void *argument) {
  struct hostname *hostname = argument;
  look_up(hostname);
  pthread_mutex_lock(&hostname->mutex);
  hostname->is_over = true;
  bool is_cancelled = hostname->is_cancelled;
  if (!is_cancelled) /* under the mutex: the loop lives until hostname_cancel has returned */
    ev_async_send(hostname->loop, &hostname->wake);
  pthread_mutex_unlock(&hostname->mutex);
  if (is_cancelled)
    destroy(hostname);
  atomic_fetch_sub(&thread_count, 1);
  return NULL;
}

static void on_wake(struct ev_loop *loop, ev_async *wake, int events) {
  (void)events;
  struct hostname *hostname = wake->data;
  pthread_mutex_lock(&hostname->mutex); /* the thread may still hold it */
  bool is_over = hostname->is_over;
  pthread_mutex_unlock(&hostname->mutex);
  if (!is_over)
    return;
  ev_async_stop(loop, wake);
  const char *reason = NULL;
  if (hostname->code != 0)
    reason = hostname->code == EAI_SYSTEM ? strerror(hostname->system_error) : gai_strerror(hostname->code);
  else if (hostname->count == 0)
    reason = "no address";
  hostname->done(hostname->context, hostname->addresses, hostname->count, reason);
  destroy(hostname);
}

/* A thread that takes no signal of the process, and that nobody waits for. */
static bool start_thread(struct hostname *hostname) {
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  if (pthread_attr_init(&attributes) != 0)
    return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool has_started = pthread_create(&thread, &attributes, run, hostname) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return has_started;
}

int hostname_ask(struct ev_loop *loop, const char *host, uint16_t port, hostname_done_fn *done, void *context,
                 struct hostname **hostname) {
  if (atomic_fetch_add(&thread_count, 1) >= HOSTNAME_THREADS_MAX) {
    atomic_fetch_sub(&thread_count, 1);
    return ERR_OVERLOAD;
  }
  struct hostname *made = calloc(1, sizeof(*made));
  if (!made || !(made->host = strdup(host))) {
    free(made);
    atomic_fetch_sub(&thread_count, 1);
    return ERR_NOMEM;
  }
  made->loop = loop;
  made->done = done;
  made->context = context;
  made->port = port;
  pthread_mutex_init(&made->mutex, NULL);
  ev_async_init(&made->wake, on_wake);
  made->wake.data = made;
  ev_async_start(loop, &made->wake);
  if (!start_thread(made)) {
    ev_async_stop(loop, &made->wake);
    destroy(made);
    atomic_fetch_sub(&thread_count, 1);
    return ERR_SYSTEM;
  }
  *hostname = made;
  return 0;
}

void hostname_cancel(struct hostname *hostname) {
  ev_async_stop(hostname->loop, &hostname->wake);
  pthread_mutex_lock(&hostname->mutex);
  hostname->is_cancelled = true;
  bool is_over = hostname->is_over;
  pthread_mutex_unlock(&hostname->mutex);
  if (is_over)
    destroy(hostname);
}
