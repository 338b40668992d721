/*
 * flight: one domain being looked up, for everyone who wants to know of it.
 *
 * Two stages: the MX (mx), then the addresses of the exchanges (hosts) for those who want them. Any number of
 * questions for one name are one flight (ROUTING T8). Answers those who wait, and
 * ends by itself at the lookup deadline; when nobody waits any more it goes on and fills the cache (L1).
 * What fails is remembered for longer each time and never in the place of good facts (T5, RFC 9520); facts
 * that have expired go on in the place of a failure (T6); what we had no means to ask is not remembered.
 * Where a refresh fails only who wanted it is told. Whether anybody needs to be asked at all is resolver's.
 *
 * A configured route (question.pinned) begins with the second stage: a flight of its own, for those who ask
 * for the same set of exchanges, and have the same wish for a refresh.
 *
 * One thread: the cache's writer. Time is an argument.
 *
 * Invariants: a flight is in the table, and due, from its start to its end; a name has at most one flight
 * that asks for its MX; one that is over has no waiters.
 */
#ifndef MXWAY_DAEMON_FLIGHT_H
#define MXWAY_DAEMON_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/table.h"
#include "cache/cache.h"
#include "dns/dns.h"
#include "resolve/hosts.h"
#include "resolve/mx.h"
#include "resolve/question.h"
#include "resolve/stale.h"
#include "rules/facts.h"
#include "rules/name.h"

struct flight;

/* All flights, and what they share. */
struct flights {
  /* Set by the caller before the first flight, constant, all lent. */
  struct cache *cache;
  const struct fetch_ways *ways;
  struct hosts *hosts;
  struct questions *questions;
  const struct stale *stale;
  uint32_t lookup_deadline_ms;
  /* Of this room. */
  struct table table; /* by name */
  struct heap due;
  struct mx_common mx;
};

/* Makes ready what is of this room. Returns 0 or ERR_NOMEM. */
int flights_init(struct flights *flights);

/* Forgets every flight; nobody is answered. Before the rooms it was lent are destroyed. */
void flights_fini(struct flights *flights);

/* Ends the flights that are due. */
void flights_run(struct flights *flights, int64_t now_ms);

/* When flights_run is due next; INT64_MAX: never. */
int64_t flights_next_ms(const struct flights *flights);

/* Ends every flight with VERDICT_SHUTDOWN. */
void flights_stop(struct flights *flights, int64_t now_ms);

/* ---- finding one ---- */

/* The flight that would answer a question, or NULL. */
struct flight *flight_find(const struct flights *flights, const struct question *question);

/* The flight that asks the DNS for a name's MX, or NULL: a configured route has none. */
struct flight *flight_find_name(const struct flights *flights, const struct name *name, uint64_t hash);

/* ---- starting and joining ---- */

/* Starts a flight that `question` waits for; `facts`: what memory holds (question_peek). With the MX query,
 * or with the addresses where the MX facts still hold (ROUTING T1) or a route is configured. Returns 0, or an
 * error where nothing could be asked: then there is no flight and the question neither waits
 * nor is due. */
int flight_start(struct flights *flights, struct question *question, const struct domain_facts *facts,
                 int64_t now_ms);

/* Starts a flight that nobody waits for, to refresh a name ahead of its end (ROUTING T7), with
 * DEPTH_ADDRESSES its exchanges' addresses too, as far as they are due. It is none where it cannot ask.
 * Requires that the name has none. */
void flight_start_ahead(struct flights *flights, const struct name *name, uint64_t hash, enum depth depth,
                        enum dns_priority priority, int64_t now_ms);

/* Sends a flight back for the MX where `question` is the first to want a refresh, or no stale facts while it
 * has those; who wants a refresh waits for the DNS alone, whatever the shared store holds. Returns 0, or an
 * error where it could not be asked and all is as before. Takes its story where nobody wanted one yet. */
int flight_renew(struct flight *flight, const struct question *question, int64_t now_ms);

/* Whether a flight has what a question wants already: the exchanges alone. Fills `answer` then. */
bool flight_answer(const struct flight *flight, const struct question *question, struct answer *answer);

/* Has a question wait for a flight under way. */
void flight_join(struct flight *flight, struct question *question);

/* Whether what a flight brought into memory so far came from the shared store alone. */
bool flight_is_of_store(const struct flight *flight);

/* ---- purging, looking ---- */

/* Has what a flight learns delivered to those who wait and not kept (ROUTING T11), where it turns out to be
 * of `kinds` (bit n is enum domain_kind n). */
void flight_forget(struct flight *flight, unsigned kinds);

/* The same for every flight of `suffix` and all names below it, or of any name where it is NULL. Cost:
 * constant. */
void flights_forget(struct flights *flights, const struct name *suffix, unsigned kinds);

int64_t flight_started_ms(const struct flight *flight);
bool flight_is_refresh(const struct flight *flight);
bool flight_has_facts(const struct flight *flight); /* the second stage */
size_t flight_waiting_count(const struct flight *flight);

#endif
