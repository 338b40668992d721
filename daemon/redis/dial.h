/*
 * dial: a connection to one Redis server, from its name to the point where commands can be sent.
 *
 * Resolves the name (off the loop), connects to its addresses in turn, begins TLS, says AUTH, SELECT and
 * READONLY where they are wanted, and proves with PING that the server answers; a subscriber also says
 * SUBSCRIBE. One attempt at a time, of which all together must take no longer than connect_timeout_ms; PING
 * has no bound of its own: whether a server that is slow is of use, its commands tell, and a PING that this
 * loop was too late to read would be held against it. When to try again is for link to decide. Addresses
 * found earlier are kept: that the DNS is down must not take Redis away, too.
 *
 * An error to PING that is no sign of a server of no use (rediserror) is an answer: users that may not say
 * PING, and servers that cannot save to their disk, have one, and are of use.
 *
 * One thread. Reads the clock.
 */
#ifndef MXWAY_DAEMON_DIAL_H
#define MXWAY_DAEMON_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/link_target.h"
#include "redis/rediserror.h"

enum { DIAL_PORT = 6379, DIAL_CONNECT_MS = 1000 };

struct ev_loop;
struct redisReply;
struct dial;

/* None is called from inside a function of this room; each may call dial_stop and dial_destroy. */
struct dial_handlers {
  void (*ready)(void *context);                                 /* commands can be sent */
  void (*reply)(void *context, const struct redisReply *reply); /* after that; lent for the call */
  /* The attempt has failed, or the connection is lost; `reason` is a clause for people, lent for the call.
   * All is closed already. */
  void (*failed)(void *context, const char *reason);
};

/* `options` and `handlers` are lent as long as it lives, `channel` (NULL: no subscriber) too. Nothing is
 * begun. Returns NULL without memory. */
struct dial *dial_create(struct ev_loop *loop, const struct link_options *options, const char *channel,
                         const struct dial_handlers *handlers, void *context);

void dial_destroy(struct dial *dial);

/* Begins an attempt; nothing is under way. Must be called from a callback of the loop that is none of the
 * handlers; `failed` may be called at once. */
void dial_start(struct dial *dial);

/* Closes whatever is open or under way; no handler follows. */
void dial_stop(struct dial *dial);

/* Sends a command; only between `ready` and `failed`. Copies. False without memory. */
bool dial_send(struct dial *dial, int count, const char *const *words, const size_t *lengths);

/* Octets that this connection has brought. */
uint64_t dial_heard(const struct dial *dial);

/* What an error reply means; logs it, each kind once a minute. */
enum rediserror dial_judge(struct dial *dial, const struct redisReply *error);

/* Whether a reply is a string or a status of just this text. */
bool dial_is_text(const struct redisReply *reply, const char *text);

/* The server, for people: "unix:/run/redis.sock", "redis.test:6379"; "redis.test:6379 (messages)" where a
 * channel is subscribed to. */
const char *dial_name(const struct dial *dial);

#endif
