/*
 * storeread: the reading half of the store: budgets, head starts, leases.
 *
 * What a read is, and what is called when, is in store.h, whose words this room has. It knows keys, not how
 * they are made; what was seen under one is told to whoever has an interest (the writing half).
 *
 * A read that is cancelled while the server has it stays until it is answered or its budget is over, so that
 * a server that is too late is seen to be, however quick the DNS is.
 *
 * Bounds: STOREREAD_MAX reads, those cancelled included; half of `max_commands` are first looks, the others
 * wait for their turn, in order, within their time. Cost: constant a read: whatever is due is due in the
 * order in which it began.
 *
 * One thread; time is an argument, but for the wall clock, which lives of values are reckoned in.
 */
#ifndef MXWAY_DAEMON_STOREREAD_H
#define MXWAY_DAEMON_STOREREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "redis/fleet.h"
#include "store/appraise.h"
#include "store/leases.h"
#include "store/record.h"

enum { STOREREAD_MAX = 8192 };

struct store_read;

enum store_outcome {
  STORE_FOUND,   /* a value that is enough */
  STORE_MISSING, /* there is none: ask the DNS, then store_put or store_release */
  STORE_AWAY,    /* no answer: ask the DNS */
};

/* The store holds `record`, lent for the call: good as record_parse has it, fresh or expired. Returns whether
 * it is all that is wanted, and then `done` follows at once with it. Where it is not, the reader takes what
 * is of use to him (what may be answered stale, one family of a host), and the store goes on as if it held
 * nothing. May be called again where a later value has come. Must not call the store. */
typedef bool store_suffices_fn(void *context, const struct record *record, int64_t now_ms);

/* What the store has answered first is of no use; `why` is a clause for people (appraise_reason), and never
 * freed. At most once; `done` follows, later where other looks come between, which may find more. Must not
 * call the store. */
typedef void store_refused_fn(void *context, const char *why);

/* The DNS is to be asked beside the store, which may still answer. At most once, before `done`. */
typedef void store_late_fn(void *context, int64_t now_ms);

/* How a read ended. `record` is lent for the call, NULL unless FOUND. */
typedef void store_done_fn(void *context, enum store_outcome outcome, const struct record *record,
                           int64_t now_ms);

struct store_calls {
  store_suffices_fn *suffices;
  store_refused_fn *refused;
  store_late_fn *late;
  store_done_fn *done;
};

struct store_question {
  enum record_kind kind;
  const char *name; /* canonical, at most FACTS_NAME_SIZE - 1 octets; lent for the call */
  size_t length;
  bool wants_lease; /* one node at a time is to ask the DNS */
};

/* ---- the room ---- */

/* What is under `key` has been found to be `record`; NULL: nothing of use. */
typedef void storeread_saw_fn(void *context, const char *key, const struct record *record);

/* Copied; what it names is lent. */
struct storeread_options {
  const char *prefix, *origin; /* of leases */
  const struct seal *seal;
  uint32_t timeout_ms, head_start_ms;
  uint32_t lease_wait_ms; /* 0: no leases */
  uint32_t max_commands;
  storeread_saw_fn *saw;
  void *context; /* of `saw` */
};

struct storeread;

/* Returns NULL without memory. */
struct storeread *storeread_create(struct fleet *fleet, const struct storeread_options *options,
                                   struct stats *stats);

/* Forgets every read without a call. Before fleet_destroy. destroy(NULL) is fine. */
void storeread_destroy(struct storeread *reads);

/* As store_get, of the value under `key`, which ends with the name. */
int storeread_get(struct storeread *reads, const struct store_question *question, const char *key,
                  int64_t now_ms, const struct store_calls *calls, void *context, struct store_read **read);

void storeread_cancel(struct store_read *read);

/* Appraises what a server has answered to GET of `key`, as of every value that is read; `name` is what it has
 * to be about. FACTS fills `record`; REFUSED and ERROR are counted by their reason. */
enum appraisal storeread_appraise(struct storeread *reads, enum record_kind kind, const char *key,
                                  const char *name, const struct redisReply *reply, int64_t now_ms,
                                  struct record *record);

/* Gives back the lease for `key`, where this node has it. */
void storeread_release(struct storeread *reads, const char *key, int64_t now_ms);

/* Whether a value has been purged since it was written: it counts as missing then. */
void storeread_set_purged(struct storeread *reads, appraise_purged_fn *is_purged, void *context);

/* As store_run and store_next_ms. */
void storeread_run(struct storeread *reads, int64_t now_ms);
int64_t storeread_next_ms(const struct storeread *reads);

/* Under way. */
size_t storeread_count(const struct storeread *reads);

#endif
