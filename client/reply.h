/*
 * reply: the body of a reply frame made into a struct mxway_reply.
 *
 * Pure. Everything is judged before it is believed: what the struct cannot hold
 * (a preference or port over 65535, an address of 5 octets) is no reply. Numbers of
 * enumerations pass through, so that an old library lives with a new daemon.
 * A reply is one block of memory.
 */
#ifndef MXWAY_CLIENT_REPLY_H
#define MXWAY_CLIENT_REPLY_H

#include "mxway/mxway.h"

/* Returns 0 and gives the id and the reply (free it with mxway_reply_free),
 * or MXWAY_ERR_PROTOCOL or MXWAY_ERR_NOMEM. */
int mxway_reply_decode(const uint8_t *body, size_t length, uint64_t *id, struct mxway_reply **reply);

#endif
