/*
 * hostname: the addresses of a name, by the system's resolver, without blocking a loop.
 *
 * getaddrinfo(3) blocks, for half a minute where a DNS server is silent, and cannot be stopped: each question
 * has a thread of its own, which is left to itself when the question is cancelled. At most
 * HOSTNAME_THREADS_MAX are under way in the process; more are refused, so that a resolver that hangs
 * costs no more than that.
 */
#ifndef MXWAY_DAEMON_HOSTNAME_H
#define MXWAY_DAEMON_HOSTNAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { HOSTNAME_THREADS_MAX = 16, HOSTNAME_ADDRESSES_MAX = 8 };

struct ev_loop;
struct hostname;

/* `addresses`, with the port, are lent for the call; at least one, else `reason` says why there is none
 * ("Name or service not known"), lent too. The question is over. */
typedef void hostname_done_fn(void *context, const struct sockaddr_storage *addresses, size_t count,
                              const char *reason);

/* Asks for the addresses of stream sockets of `host`, which is copied. Returns 0 and gives `*hostname`; then
 * `done` is called once from the loop, never after hostname_cancel. Or ERR_OVERLOAD, ERR_NOMEM, ERR_SYSTEM.
 */
int hostname_ask(struct ev_loop *loop, const char *host, uint16_t port, hostname_done_fn *done, void *context,
                 struct hostname **hostname);

/* Only before `done` was called. Does not wait for the thread. */
void hostname_cancel(struct hostname *hostname);

#endif
