/*
 * resolver: what is done where memory has no answer.
 *
 * Looks in the cache again, and decides: answers from there, has the question wait for the flight that is
 * under way (ROUTING T8) or for a new one, or says why not. A question may end before its flight, at its own
 * deadline (L1), or earlier with records that have expired where the DNS is late (T6, RFC 8767), or be taken
 * back; the flight goes on and fills the cache. A refresh that a hit wants goes behind everything else (T7).
 * What the DNS said, and what becomes of it, is flight's. Knows no socket, no protobuf, no loop: whoever runs
 * it calls resolver_run when resolver_next_ms says so.
 *
 * One thread: the cache's writer. Time is an argument.
 *
 * Invariant: a question is among the waiters of exactly one flight from PENDING to its answer.
 */
#ifndef MXWAY_DAEMON_RESOLVER_H
#define MXWAY_DAEMON_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/stats.h"
#include "cache/cache.h"
#include "dns/dns.h"
#include "resolve/learn.h"
#include "resolve/question.h"
#include "rules/name.h"
#include "rules/route.h"
#include "store/store.h"

enum { RESOLVER_STALE_DOWN_MS = 100 };

struct resolver_options {
  struct learn_policy learn;
  uint32_t lookup_deadline_ms;
  uint32_t stale_after_ms; /* a question waits so long before it is answered stale, if that is possible; at
                            * most RESOLVER_STALE_DOWN_MS where the DNS is known to be down */
  uint32_t max_cname_hops;
};

/* Answers a pending question: exactly once, never before resolver_ask has
 * returned. The question is the caller's again. Must not call the resolver. */
typedef question_answer_fn resolver_answer_fn;

struct resolver;

/* `cache`, `store` (NULL: none), `dns`, `stats` are lent. Returns NULL without memory. */
struct resolver *resolver_create(struct cache *cache, struct store *store, struct dns *dns,
                                 const struct resolver_options *options, struct stats *stats,
                                 resolver_answer_fn *on_answer, void *context);

/* Forgets every flight; nobody is answered (see resolver_stop). Before store_destroy and dns_destroy. */
void resolver_destroy(struct resolver *resolver);

/* Asks. True: `answer` is filled, its facts lent until the next call. False: the
 * question is pending and belongs to the resolver until it is answered. */
bool resolver_ask(struct resolver *resolver, struct question *question, int64_t now_ms,
                  struct answer *answer);

/* Forgets a pending question, which is the caller's again and is not answered; its flight goes on
 * and fills the cache. One that is not pending is left alone; false then. */
bool resolver_leave(struct resolver *resolver, struct question *question);

/* Has what the lookups under way learn delivered to those who wait and not kept (ROUTING T11): of `suffix`
 * and all names below it, or of any name where it is NULL, where they turn out to be of `kinds` (bit n is
 * enum domain_kind n). What is asked for from now on is not concerned. Cost: constant. */
void resolver_forget(struct resolver *resolver, const struct name *suffix, unsigned kinds);

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

/* Takes a value of the shared store that was asked for ahead of any question into memory, as a lookup that
 * finds it there would: only what holds, and nothing in the place of what memory knows as well (mx_take,
 * hosts_take), or is being looked up. Evicts as any put: the caller sees to it that there is room. */
enum intake resolver_take(struct resolver *resolver, const struct record *record, int64_t now_ms);

/* How often something was to be forgotten: whoever asks the store for himself must not bring into memory what
 * was asked for before the last time. */
uint64_t resolver_forgotten_count(const struct resolver *resolver);

/* Ends what is due. */
void resolver_run(struct resolver *resolver, int64_t now_ms);

/* When resolver_run is due next; INT64_MAX: never. */
int64_t resolver_next_ms(const struct resolver *resolver);

/* Answers every pending question with VERDICT_SHUTDOWN, and every later one. */
void resolver_stop(struct resolver *resolver, int64_t now_ms);

#endif
