/*
 * dns: asks upstream servers one question and gets one reply or a reason.
 *
 * A query goes to the first server, in the order configured, that is well (health) and not much slower than
 * another; silence and network errors move it to the next one, `tries` in all, a reply that helps nobody
 * (SERVFAIL, REFUSED, NOTIMP, FORMERR, malformed) to each other server once. In what ways one server is asked
 * is nameserver's. Where no server is well, the one that has been demoted least is asked all the same.
 *
 * A server that is late gets company: the same question goes to the next one (a hedge, which is no try), and
 * the first good reply wins; hedges stay within a tenth of all queries, with ten lent at the start, unless
 * the late one is in doubt. A server that is passed over is probed with a copy of somebody's query, for which
 * nobody waits. Of all failures the one that says most is told: a reply (SERVFAIL, then REFUSED, NOTIMP,
 * FORMERR, malformed), then silence, then no way there. The deadline of a whole lookup is the caller's.
 *
 * Bounded: at most `max_queries` are under way (hedges and probes on top), `max_queue` wait behind them, the
 * more important first; the least important give way where the queue is full.
 *
 * One thread, one libev loop. Reads the clock for its callbacks.
 */
#ifndef MXWAY_DAEMON_DNS_H
#define MXWAY_DAEMON_DNS_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/stats.h"
#include "base/story.h"
#include "dns/dnsmsg.h"

enum { DNS_SERVERS_MAX = 8 };

struct dns_options {
  const struct sockaddr_storage *servers[DNS_SERVERS_MAX]; /* lent for dns_create */
  size_t server_count;                                     /* 1 to DNS_SERVERS_MAX */
  uint32_t timeout_ms;                                     /* of one try */
  uint32_t tries;                                          /* of a question, hedges not counted */
  uint32_t max_queries, max_queue;
  bool random_case; /* ask in letters of random case */
  bool trust_ad;    /* believe the AD bit of servers beyond loopback, too (RFC 6840 section 5.7) */
};

enum dns_result {
  DNS_REPLIED,     /* a reply, of any outcome */
  DNS_TIMED_OUT,   /* silence from every server that was tried */
  DNS_UNREACHABLE, /* no server could be reached, or refused TCP after TC */
  DNS_SHED,        /* pushed out of the full queue by something more important */
};

/* Who wants to know (ROUTING L2): the first wait least, the last are the first to be shed. */
enum dns_priority { DNS_FOR_CLIENT, DNS_FOR_REFRESH, DNS_FOR_PREFETCH, DNS_PRIORITY_COUNT };

struct dns_question {
  const char *name; /* canonical text, at most 253 octets, no '\\'; lent for dns_ask */
  uint16_t qtype;   /* DNSMSG_MX, DNSMSG_A or DNSMSG_AAAA */
  enum dns_priority priority;
  struct story *story; /* told what happens, or NULL; dns takes a reference of its own */
};

/* `message` is lent for the call, NULL unless DNS_REPLIED; its `authentic` is what may be believed of it. */
typedef void dns_done_fn(void *context, enum dns_result result, const struct dnsmsg *message, int64_t now_ms);

struct dns;
struct dns_query;

/* Returns 0 and gives `*dns`, or ERR_NOMEM. `loop` and `stats` are lent. */
int dns_create(struct ev_loop *loop, const struct dns_options *options, struct stats *stats,
               struct dns **dns);

/* Asks other servers from now on; what is under way ends where it is. What is known of a server that stays is
 * kept. Returns 0, or ERR_NOMEM and all is as before. */
int dns_set_servers(struct dns *dns, const struct sockaddr_storage *const servers[], size_t server_count);

/* Ends everything; no callback follows. */
void dns_destroy(struct dns *dns);

/* Asks. Returns 0 and gives `*query`; then `done` is called exactly once, never before this returns
 * and never after dns_cancel; the query is gone when it is called. Or ERR_OVERLOAD when the
 * queue is full, or ERR_NOMEM. */
int dns_ask(struct dns *dns, const struct dns_question *question, dns_done_fn *done, void *context,
            struct dns_query **query);

/* Somebody more important wants the answer, too: a query that waits moves up. Never down. */
void dns_promote(struct dns_query *query, enum dns_priority priority);

/* Whether a query has gone out, rather than waiting in the queue. */
bool dns_is_sent(const struct dns_query *query);

/* Whether no server is in favour: each has failed, or helped nobody, of late. Queries go out all the same. */
bool dns_is_down(const struct dns *dns);

/* Forgets a query that has not called back. Takes `query`. */
void dns_cancel(struct dns_query *query);

#endif
