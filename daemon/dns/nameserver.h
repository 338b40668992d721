/*
 * nameserver: asks one upstream server one question and gives its reply or why there is none.
 *
 * Knows all ways to that server and takes the next one by itself: without OPT after FORMERR to EDNS (RFC 6891
 * section 7), over TCP where the reply is truncated (ROUTING V17), cannot be read (V11), or is not for the
 * very letters that were asked, which a forger cannot know (dnsquery). A server that answers so over TCP as
 * well has its own way with letters, and is asked in lower case for a while. After TC and after other letters
 * silence over TCP is no way there: over UDP the server has just answered.
 *
 * Believes the AD bit of servers on loopback, or of all (RFC 6840 section 5.8); from others it is taken away.
 * Keeps the health of each server. Which server is asked, and what follows from a failure, is for dns.
 *
 * One thread, one libev loop. Reads the clock for its callbacks.
 */
#ifndef MXWAY_DAEMON_NAMESERVER_H
#define MXWAY_DAEMON_NAMESERVER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/stats.h"
#include "base/story.h"
#include "dns/channel.h"
#include "dns/dnsmsg.h"
#include "dns/health.h"

/* One upstream server. Others read `health`, `bit` and `text`. */
struct nameserver {
  struct channel_server channel;
  struct health health;
  struct nameserver *next;     /* of all that were ever asked */
  int64_t plain_case_until_ms; /* it keeps no case */
  uint64_t bit;                /* its own among the last 64 */
  bool is_trusted;             /* its AD bit is believed */
  char text[ADDRESS_TEXT_SIZE];
};

enum nameserver_result { NAMESERVER_REPLIED, NAMESERVER_TIMED_OUT, NAMESERVER_UNREACHABLE };

struct nameserver_question {
  const char *name; /* canonical text; lent for the call */
  uint16_t qtype;
  struct story *story; /* or NULL; held while it is under way */
};

struct nameserver_try; /* one question under way to one server, whatever the way */

/* `message` is lent for the call, NULL unless NAMESERVER_REPLIED. `sent` goes when this returns. */
typedef void nameserver_done_fn(void *context, struct nameserver_try *sent, enum nameserver_result result,
                                const struct dnsmsg *message, int64_t now_ms);

struct nameserver_options {
  uint32_t timeout_ms; /* in each way */
  bool random_case, trust_ad;
  nameserver_done_fn *done;
};

struct nameservers; /* all of one loop */

/* Returns NULL without memory. `loop` and `stats` are lent. */
struct nameservers *nameservers_create(struct ev_loop *loop, const struct nameserver_options *options,
                                       struct stats *stats);

/* Ends everything without a call. destroy(NULL) is fine. */
void nameservers_destroy(struct nameservers *all);

/* The one object for an address, lent until nameservers_destroy; NULL without memory. */
struct nameserver *nameserver_get(struct nameservers *all, const struct sockaddr_storage *address);

/* It is not asked any more for now: its sockets are closed. What is known of it is kept. */
void nameserver_release(struct nameservers *all, struct nameserver *server);

/* Asks. Returns the try; then `done` is called once with `context`, never before this returns and never after
 * nameserver_let_go. NULL without memory. */
struct nameserver_try *nameserver_ask(struct nameservers *all, struct nameserver *server,
                                      const struct nameserver_question *question, void *context);

/* Asks a server, if it is time, only to see whether it is well again, or how fast it is. */
void nameserver_probe(struct nameservers *all, struct nameserver *server,
                      const struct nameserver_question *question, int64_t now_ms);

/* Nobody waits for it any more; what becomes of it still tells of its server. */
void nameserver_let_go(struct nameserver_try *sent);

/* Whom `sent` has asked. */
struct nameserver *nameserver_of(const struct nameserver_try *sent);

/* `winner`, of the same question, has been answered: `late` is, if it was sent before to another server. */
void nameserver_note_late(const struct nameserver_try *late, const struct nameserver_try *winner,
                          int64_t now_ms);

/* Another server knew what this one did not. */
void nameserver_note_lame(struct nameservers *all, struct nameserver *server, int64_t now_ms);

/* Whether another server might say more than a reply of this outcome. */
bool nameserver_is_unhelpful(enum dnsmsg_outcome outcome);

#endif
