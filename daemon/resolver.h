/*
 * resolver: all policy of a miss.
 *
 * Looks in the cache again, asks the DNS for what is missing, publishes what it learns, and tells
 * everyone who waits. Any number of questions for one name are one flight (ROUTING T8); exchanges that
 * several domains share are asked for once. A flight ends by itself at the lookup deadline; a
 * question may end earlier, at its own, and the flight goes on and fills the cache
 * (ROUTING L1), or be taken back. What fails is remembered for longer each time, in memory alone, and never
 * in the place of good facts (T5, RFC 9520); what we had no means to ask is not remembered. Records that
 * have expired are answered stale where the DNS fails or is late (T6, RFC 8767), for a minute; the first hit
 * in the second half of that asks again. The first question that wants a refresh sends a flight back for the
 * MX; where the refresh fails only who wanted it is told. Knows no socket, no protobuf, no loop: whoever runs
 * it calls resolver_run when resolver_next_ms says so.
 *
 * One thread: the cache's writer. Time is an argument.
 *
 * Invariants: a question is in exactly one flight's list from PENDING to its answer; a flight is
 * in the table from its first question to its end; a name has at most one flight that asks for its MX.
 *
 * A configured route (question.pinned) begins with the second stage: a flight of its own, for those who ask
 * for the same set of exchanges, and have the same wish for a refresh.
 */
#ifndef MXWAY_DAEMON_RESOLVER_H
#define MXWAY_DAEMON_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "cache.h"
#include "dns.h"
#include "heap.h"
#include "hosts.h"
#include "learn.h"
#include "name.h"
#include "route.h"
#include "story.h"
#include "verdict.h"

struct resolver_options {
  struct learn_policy learn;
  uint32_t lookup_deadline_ms;
  uint32_t stale_after_ms; /* a question waits so long before it is answered stale, if that is possible */
  uint32_t max_cname_hops;
};

/* One caller's question, inside an object of the caller's. */
struct question {
  /* The caller's, constant while pending. */
  struct name name; /* NAME_DOMAIN */
  uint64_t hash;    /* name_hash of it */
  enum depth depth;
  bool refresh;                      /* ask although the cache has an answer */
  bool cache_only;                   /* ask nobody */
  bool no_stale;                     /* no answer from facts that have expired */
  uint32_t timeout_ms;               /* 0: the lookup deadline */
  const struct domain_facts *pinned; /* of a configured route, its set kept by the cache: only the addresses
                                      * are asked for. NULL: the DNS says where mail goes */
  struct story *story;               /* told what happens, lent; or NULL */
  /* The resolver's. */
  struct heap_node due; /* its deadline, or when it may be answered stale */
  int64_t deadline_ms;
  struct flight *flight;
  struct question *previous, *next;
};

struct answer {
  const struct domain_facts *facts; /* lent for the call; NULL: `verdict` alone */
  enum verdict verdict;             /* where there are no facts */
  bool from_memory;                 /* nobody was asked for this answer */
  int64_t since_ms;                 /* facts that had expired before this do not count */
};

/* Answers a pending question: exactly once, never before resolver_ask has
 * returned. The question is the caller's again. Must not call the resolver. */
typedef void resolver_answer_fn(void *context, struct question *question, const struct answer *answer,
                                int64_t now_ms);

struct resolver;

/* `cache`, `dns`, `stats` are lent. Returns NULL without memory. */
struct resolver *resolver_create(struct cache *cache, struct dns *dns, const struct resolver_options *options,
                                 struct stats *stats, resolver_answer_fn *on_answer, void *context);

/* Forgets every flight; nobody is answered (see resolver_stop). Before dns_destroy. */
void resolver_destroy(struct resolver *resolver);

/* Asks. True: `answer` is filled, its facts lent until the next call. False: the
 * question is pending and belongs to the resolver until it is answered. */
bool resolver_ask(struct resolver *resolver, struct question *question, int64_t now_ms,
                  struct answer *answer);

/* Forgets a pending question, which is the caller's again and is not answered; its flight goes on
 * and fills the cache. One that is not pending is left alone; false then. */
bool resolver_leave(struct resolver *resolver, struct question *question);

/* Whether a purge is for a domain. */
typedef bool resolver_match_fn(void *context, const char *name, size_t length);

/* Has what the lookups under way learn delivered to those who wait and not kept (ROUTING T11): of
 * domains that `matches` accepts and that turn out to be of `kinds` (bit n is enum domain_kind n). What is
 * asked for from now on is not concerned. Cost: one step a flight. */
void resolver_forget(struct resolver *resolver, resolver_match_fn *matches, void *context, unsigned kinds);

/* The same for one domain, whatever it turns out to be. Cost: one look into the table. */
void resolver_forget_domain(struct resolver *resolver, const struct name *name, uint64_t hash);

/* The same for the addresses of `host`, or of any host where it is NULL: of families that turn out to be of
 * `states` (bit n is enum family_state n). They are delivered as if their TTL were 0 (T3). */
void resolver_forget_host(struct resolver *resolver, const struct host *host, unsigned states);

/* A lookup under way, for a person to see. */
struct resolver_view {
  int64_t started_ms;
  size_t waiting_count; /* questions */
  bool is_refresh;
  bool has_facts; /* the MX facts are there, the addresses are being asked for */
};

/* Looks whether a domain is being looked up. False: it is not, and `view` is as before. */
bool resolver_look(const struct resolver *resolver, const struct name *name, uint64_t hash,
                   struct resolver_view *view);

/* A hit wants `name` refreshed, with DEPTH_ADDRESSES its exchanges' addresses too, as far as they are due
 * (ROUTING T6, T7). Nobody waits for it, and everything else goes first. */
void resolver_refresh(struct resolver *resolver, const struct name *name, uint64_t hash, enum depth depth,
                      int64_t now_ms);

/* Ends what is due. */
void resolver_run(struct resolver *resolver, int64_t now_ms);

/* When resolver_run is due next; INT64_MAX: never. */
int64_t resolver_next_ms(const struct resolver *resolver);

/* Answers every pending question with VERDICT_SHUTDOWN, and every later one. */
void resolver_stop(struct resolver *resolver, int64_t now_ms);

#endif
