/*
 * fetch: one fact, asked of the shared store and then of the DNS.
 *
 * A fact has a part for each question to the DNS: the MX of a domain; AAAA and A of a host. One value of the
 * store holds them all. The store is asked first. Where what it holds is not enough, or it is away, the DNS
 * is asked for each part that is wanted; where the store is late, beside it, and the first good answer
 * counts: the other is taken back. A failure of the DNS is not told while the store may still know better.
 *
 * What an answer is worth, what becomes of it and who waits for it is the owner's (flight, hosts), as is the
 * deadline. Without a store this is no more than a chase for each part.
 *
 * Invariants: from fetch_start to its last call something is under way: the store, or a query; the DNS is
 * asked for a part once, but for fetch_insist; nothing is called from inside any of these functions.
 *
 * One thread. Time is an argument.
 */
#ifndef MXWAY_DAEMON_FETCH_H
#define MXWAY_DAEMON_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/story.h"
#include "dns/chase.h"
#include "dns/dns.h"
#include "resolve/learn.h"
#include "store/record.h"
#include "store/store.h"

/* Where answers come from, as bits. */
enum fetch_origin { FETCH_OF_STORE = 1 << 0, FETCH_OF_DNS = 1 << 1 };

/* Who is asked, and how; constant, all lent. */
struct fetch_ways {
  struct store *store; /* NULL: none */
  struct dns *dns;
  const struct learn_policy *policy;
  uint32_t max_cname_hops;
};

struct fetch;

struct fetch_calls {
  /* Whether what the store holds is all that is wanted; on_shared follows then. Else takes what is of use
   * (fetch_settle). May be called several times. */
  bool (*suffices)(struct fetch *fetch, const struct record *record, int64_t now_ms);
  /* The store has enough, `record`, lent for the call. The last call. */
  void (*on_shared)(struct fetch *fetch, const struct record *record, int64_t now_ms);
  /* Part `part` has ended at the DNS; `end` is lent for the call, where it is a failure without a message.
   * Once a part, unless it is settled. Must not end the fetch. */
  void (*on_part)(struct fetch *fetch, size_t part, const struct chase_end *end, int64_t now_ms);
  /* Every part that was wanted has ended or is settled; then fetch_share. The last call. */
  void (*on_done)(struct fetch *fetch, int64_t now_ms);
};

enum fetch_state {
  FETCH_IDLE,    /* not wanted */
  FETCH_WANTED,  /* the store is being asked, the DNS not */
  FETCH_ASKED,   /* the DNS is being asked */
  FETCH_FAILED,  /* the DNS has failed, or would not take the question; the store may still know */
  FETCH_ENDED,   /* told */
  FETCH_SETTLED, /* the store knew */
};

struct fetch_part {
  struct chase chase;
  struct fetch *fetch;
  uint16_t qtype;
  enum fetch_state state;
  enum dns_result result;      /* with FETCH_FAILED */
  enum dnsmsg_outcome outcome; /* with FETCH_FAILED */
};

struct fetch {
  /* The owner's, constant, all lent. */
  const struct fetch_ways *ways;
  const struct fetch_calls *calls;
  enum record_kind kind;
  const char *name; /* canonical, terminated */
  size_t length;
  struct fetch_part *parts; /* their qtype set, zeroed else */
  size_t part_count;        /* at least 1 */
  /* The owner's, may change. */
  enum dns_priority priority; /* of what the DNS is asked from now on */
  struct story *story;        /* lent; or NULL */
  /* Of this room. */
  struct store_read *read; /* NULL: nothing is to be expected of the store */
  bool may_hold_lease;     /* the store was asked: others may wait for what becomes of it */
};

/* Asks for the parts in `wanted` (bit n is part n, at least one): the store first where `from_store`, then
 * the DNS. Requires that nothing is under way. Returns 0; or ERR_OVERLOAD or ERR_NOMEM where nothing could be
 * asked, and nothing is called. */
int fetch_start(struct fetch *fetch, unsigned wanted, bool from_store, int64_t now_ms);

/* Somebody wants to know what the DNS says now: asks it for all parts, and waits for the store no longer.
 * What the DNS has been asked is left alone. Returns 0, or the error of dns_ask where not all could be asked:
 * what could not is as it was, and the store, too. Requires that something is under way. */
int fetch_insist(struct fetch *fetch);

/* The store knew part `part`: the DNS is not asked for it, or no longer. Only from `suffices`. */
void fetch_settle(struct fetch *fetch, size_t part);

/* Raises the priority of what the DNS is asked, and is being asked. */
void fetch_promote(struct fetch *fetch, enum dns_priority priority);

/* What came of it: `record` is what the DNS said, for the store (kind and name are filled in here); NULL
 * where there is nothing to share. Once, from on_done. */
void fetch_share(struct fetch *fetch, struct record *record, int64_t now_ms);

/* Whether the DNS has been asked for anything in earnest, rather than waiting for others to end. */
bool fetch_is_sent(const struct fetch *fetch);

/* Ends it without a call; one of which nothing is under way is left alone. */
void fetch_cancel(struct fetch *fetch);

#endif
