/*
 * link: one connection to one Redis server, on a libev loop, kept up by itself.
 *
 * Connects (Unix socket, address, or a name that is resolved without blocking the loop), says AUTH (user and
 * password), SELECT, and READONLY where wanted, proves that the server answers (PING), and is then up.
 * Commands are refused at once while it is not. Answers are matched to their commands by order; what comes
 * too late for its command is read and dropped, never taken for another's. An error of the server that says
 * that it is of no use now (rediserror) counts as a failure, whatever the command.
 *
 * The breaker: after LINK_FAILURES failures in a row (no answer in time, connection lost, such an error) the
 * link closes and is down; it connects anew after 1 s, then with doubling to 10 s, jittered; until then it
 * costs nothing. A command that was cancelled still counts when its answer does not come in its time: else a
 * server that hangs behind a quick DNS would never be found out. A link that hears nothing for
 * LINK_BEAT_MS sends a PING, and closes where nothing is heard for as long again.
 *
 * Bounded: at most `max_commands` are outstanding, those given up but not answered yet included. A reply may
 * have at most RESP_REPLY_MAX octets (a 100 MB string closes the connection before it is taken in).
 *
 * Logs for all who use it: that the server is up or down and why, and each kind of error that it answers,
 * once a minute each. Reads the clock. Never calls back from inside link_create, link_send, link_cancel or
 * link_destroy. One thread.
 */
#ifndef MXWAY_DAEMON_LINK_H
#define MXWAY_DAEMON_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/breaker.h"
#include "redis/link_target.h"

enum {
  LINK_FAILURES = BREAKER_FAILURES,
  LINK_BEAT_MS = 5000,
  LINK_PORT = 6379, /* where a target names none */
  LINK_WORDS_MAX = 8,
};

struct ev_loop;
struct redisReply; /* hiredis/hiredis.h */

/* CONNECTING also shortly after a connection was lost, until it is back or the breaker opens; DOWN also while
 * a probe is under way. */
enum link_state { LINK_CONNECTING, LINK_UP, LINK_DOWN };

/* Told each change of state; `reason` is a clause for people ("connection refused"), lent. Must not destroy
 * the link. Comes before the answers NULL of the commands that the change has ended. */
typedef void link_state_fn(void *context, enum link_state state, const char *reason);

/* `reply` is lent for the call; NULL: no answer in time, or the connection was lost. An error reply of the
 * server comes as such, as does one of this room, "TOOLARGE ...", where the answer was too large to be taken
 * in (RESP_REPLY_MAX) and has ended the connection. */
typedef void link_reply_fn(void *context, const struct redisReply *reply, int64_t now_ms);

/* All lent. */
struct link_command {
  int count;
  const char *words[LINK_WORDS_MAX];
  size_t lengths[LINK_WORDS_MAX];
};

struct link;
struct link_call;

/* Begins to connect when the loop runs. Copies `*options`, but see there. Returns 0 or ERR_NOMEM. */
int link_create(struct ev_loop *loop, const struct link_options *options, link_state_fn *on_state,
                void *context, struct link **link);

/* Closes. No callback follows; safe inside any callback but its own on_state. destroy(NULL) is fine. */
void link_destroy(struct link *link);

enum link_state link_state(const struct link *link);

/* Sends. Returns 0 and gives `*call` (may be NULL: nobody will cancel); then `done` is called exactly once,
 * never before this returns and never after link_cancel. Or ERR_NETWORK (not up), ERR_OVERLOAD
 * (max_commands), ERR_NOMEM. */
int link_send(struct link *link, const struct link_command *command, uint32_t timeout_ms, link_reply_fn *done,
              void *context, struct link_call **call);

/* `done` will not be called; it has not been. The command may be carried out all the same. */
void link_cancel(struct link_call *call);

/* A message of the channel, lent. */
typedef void link_message_fn(void *context, const char *message, size_t length, int64_t now_ms);

/* Subscribes to a channel: a link of its own, that sends nothing else. Subscribes anew after each
 * reconnection; is LINK_UP only when subscribed. `channel` is copied. */
int link_create_subscriber(struct ev_loop *loop, const struct link_options *options, const char *channel,
                           link_message_fn *on_message, link_state_fn *on_state, void *context,
                           struct link **link);

/* Round trips: smoothed, in microseconds; 0 before the first. */
uint32_t link_latency_us(const struct link *link);

/* Commands that have no answer yet, those given up included. */
uint32_t link_outstanding(const struct link *link);

#endif
