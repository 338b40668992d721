/*
 * channel: ways to one upstream server, as c-ares channels with their sockets and timeouts.
 *
 * Takes a query as bytes and gives the raw reply, truncated or not, or why there is none. No retry, no
 * judgement: that is dns. Absorbs what c-ares does:
 * - its callback may come from inside ares_send: channel_send then returns the failure instead (but newer
 *   ones call back for others there too: see channel_send);
 * - its source port stays while queries are under way: after CHANNEL_QUERIES_MAX a
 *   server gets a new channel, and the old one is drained and destroyed from the tick, never inside a
 *   callback (a double free in 1.18);
 * - one FORMERR without OPT takes EDNS away from a channel for ever: noticed by
 *   channel_was_plain, and queries with and without OPT, and over TCP, have channels of their own;
 * - it cuts a reply over UDP that is longer than was asked for: such a one cannot be read;
 * - its own time-keeping is linear in the queries under way: a tick of 50 ms drives it;
 * - between 1.20 and 1.34 it keeps what it cannot read to itself, which then looks like silence, and calls
 *   errors of the network a timeout: told apart here by when they come;
 * - from 1.32 on it makes up timeouts of its own, 250 ms where servers are fast: they are kept here, and what
 *   has timed out is forgotten by c-ares when it can be.
 *
 * One thread, one libev loop. Reads the clock.
 */
#ifndef MXWAY_DAEMON_CHANNEL_H
#define MXWAY_DAEMON_CHANNEL_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/stats.h"

enum { CHANNEL_QUERIES_MAX = 256, CHANNEL_EDNS_SIZE = 1232 }; /* ROUTING V17 */

/* Plain: without EDNS. TCP needs none. */
enum channel_kind { CHANNEL_UDP, CHANNEL_UDP_PLAIN, CHANNEL_TCP, CHANNEL_KINDS };

enum channel_result {
  CHANNEL_MESSAGE,
  CHANNEL_TIMED_OUT,
  CHANNEL_UNREACHABLE, /* no socket, ICMP error, or TCP refused */
  CHANNEL_CLOSED,      /* by channels_destroy: only `context` is to be freed */
};

/* `bytes` are lent for the call, NULL unless CHANNEL_MESSAGE. */
typedef void channel_done_fn(void *context, enum channel_result result, const uint8_t *bytes, size_t length);

struct channels; /* all of one loop */
struct channel;  /* one c-ares channel */

/* One upstream server; zeroed but for `address`. */
struct channel_server {
  struct sockaddr_storage address;
  struct channel *current[CHANNEL_KINDS]; /* for new queries; NULL: none yet */
  int64_t plain_until_ms;                 /* it refused EDNS: asked without until then */
};

/* `timeout_ms` is that of every query. Returns NULL without memory. */
struct channels *channels_create(struct ev_loop *loop, uint32_t timeout_ms, channel_done_fn *done,
                                 struct stats *stats);

/* Ends what is under way with CHANNEL_CLOSED. destroy(NULL) is fine. */
void channels_destroy(struct channels *channels);

/* The channel for the next query to `server`; NULL without memory or descriptors. Holds until the next call.
 */
struct channel *channel_get(struct channels *channels, struct channel_server *server, enum channel_kind kind);

/* `server` is not asked any more for now: closes its sockets once what is under way has ended. */
void channel_release(struct channels *channels, struct channel_server *server);

/* Sends. True: `done` is called once with `context`, never before this returns. False:
 * `failure` says why, and it is not called. Meanwhile `done` may be called for other queries that
 * go under with this one's socket; it must not send then. */
bool channel_send(struct channel *channel, const uint8_t *bytes, size_t length, void *context,
                  enum channel_result *failure);

/* Called from inside `done`: whether the query that has ended had gone out without OPT, be it because the
 * channel is plain or because c-ares had asked again so. `has_opt`: of the reply. */
bool channel_was_plain(struct channel *channel, bool has_opt, int64_t now_ms);

#endif
