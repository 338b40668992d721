/*
 * outbox: what a socket has not taken yet.
 *
 * Octets go straight to the socket while nothing waits; what it does not take, and what is only added, waits,
 * in order, in memory that is given back when all has gone. The bound is the caller's. One thread.
 */
#ifndef MXWAY_DAEMON_OUTBOX_H
#define MXWAY_DAEMON_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

/* Zero is empty. */
struct outbox {
  uint8_t *bytes; /* NULL while nothing waits */
  size_t at, end, capacity;
};

/* Octets that wait. */
static inline size_t outbox_left(const struct outbox *outbox) { return outbox->end - outbox->at; }

/* Sends `bytes` on the non-blocking socket `fd`, behind what waits. Returns 0; or ERR_NETWORK, the socket is
 * gone, or ERR_NOMEM, and the rest of them is lost. */
int outbox_put(struct outbox *outbox, int fd, const uint8_t *bytes, size_t length);

/* Puts `bytes` behind what waits, and sends nothing. Returns 0; or ERR_NOMEM, and nothing has changed. */
int outbox_add(struct outbox *outbox, const uint8_t *bytes, size_t length);

/* Sends of what waits as much as the socket takes. Returns 0 or ERR_NETWORK. */
int outbox_send(struct outbox *outbox, int fd);

/* The octets that wait, outbox_left of them: for those who send them themselves. Lent until the next call. */
static inline const uint8_t *outbox_bytes(const struct outbox *outbox) { return outbox->bytes + outbox->at; }

/* Drops the first `length` octets of those that wait: they have gone. */
void outbox_drop(struct outbox *outbox, size_t length);

/* Forgets what waits. */
void outbox_clear(struct outbox *outbox);

#endif
