/*
 * job: what one client of the control socket wants done, from its request to the result.
 *
 * Stats, show, purge, dump and load of control.proto: checks what is asked for, has the room do it whose task
 * it is, a step at a time, and puts what has come of it into the reply. A struct job serves one connection,
 * one request after the other; a dump and a load go over several of them and stay in it between.
 *
 * What cannot be done is said in a sentence, which ends the job. A refused load has a result none the less:
 * what came before stays in memory. Knows no socket and no loop. Who calls it: control, in the thread of the
 * cache's writer.
 *
 * Cost: a step looks at JOB_STEP_COUNT things at most, and loads one record, which may make room for itself:
 * the largest take some hundred microseconds.
 */
#ifndef MXWAY_DAEMON_JOB_H
#define MXWAY_DAEMON_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"
#include "cache/cache.h"
#include "control.pb-c.h"
#include "control/purge.h"
#include "control/warm.h"
#include "resolve/resolver.h"
#include "rules/ttl.h"
#include "store/bulletin.h"
#include "store/store.h"

enum {
  JOB_STEP_COUNT = 4, /* things looked at between two looks at the clock */
  JOB_ERROR_SIZE = 512,
  JOB_TELL_MS = 1000, /* a purge's answer waits so long until the other nodes have been told */
};

/* What the jobs are about; what it names is lent. */
struct job_served {
  struct cache *cache;
  struct resolver *resolver;
  struct store *store;          /* NULL: none */
  struct bulletin *bulletin;    /* NULL: none */
  const struct ttl_policy *ttl; /* of what is loaded */
  uint64_t cache_size_bytes;
  int64_t since_ms;        /* the daemon has been up since then */
  const struct warm *warm; /* NULL: none */
};

/* All of it is the room's. */
struct job {
  const struct job_served *served;
  Mxway__V1__ControlRequest *request; /* NULL: none */
  char error[JOB_ERROR_SIZE];         /* what is wrong with it, or "" */
  size_t at;                          /* how far it is: names, or octets */
  struct purge purge;
  enum { JOB_AT_MEMORY, JOB_AT_OTHERS } stage; /* of a purge */
  uint64_t told;                               /* what the bulletin has been given last */
  int64_t told_by_ms;                          /* nobody waits for it longer */
  enum bulletin_outcome outcome;
  char why[TELLER_WHY_SIZE]; /* of the outcome */
  struct show *show;         /* of a request; else NULL */
  struct dump *dump;         /* over several requests; NULL: none has begun */
  struct load *load;         /* the same */
  size_t piece_length;
  uint8_t *piece; /* with `dump` */
};

/* What a reply points at until it has been packed. */
struct job_result {
  union {
    Mxway__V1__StatsReply stats;
    Mxway__V1__PurgeReply purge;
    Mxway__V1__DumpReply dump;
    Mxway__V1__LoadReply load;
  };
  Mxway__V1__StoreState store;
  struct store_view store_view;
  struct bulletin_view bulletin_view;
  char warm_text[WARM_TEXT_SIZE];
  Mxway__V1__Counter counters[STATS_COUNT];
  Mxway__V1__Counter *counter_list[STATS_COUNT];
};

/* `served` is lent until job_fini. */
void job_init(struct job *job, const struct job_served *served);

/* Ends everything, wherever it is. */
void job_fini(struct job *job);

/* Begins what `request` asks for, and takes it. Requires that it has a command, and that the job is not under
 * way. */
void job_start(struct job *job, Mxway__V1__ControlRequest *request);

/* Whether there is nothing to do but to wait: job_step is to be called in a moment, not at once. */
bool job_waits(const struct job *job);

/* Whether there is a request that has not ended. */
bool job_is_under_way(const struct job *job);

/* Does a part of it: true when it is done, or refused. Requires that it is under way and not done. */
bool job_step(struct job *job);

/* Puts what has come of it into `reply`, which points into `result` and the job until job_end. Requires that
 * it is done. */
void job_fill(struct job *job, struct job_result *result, Mxway__V1__ControlReply *reply);

/* Ends the request; a dump or load that has not ended stays for the next. */
void job_end(struct job *job);

#endif
