#include "store/storeread.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/dueline.h"
#include "base/error.h"
#include "base/log.h"

enum {
  FIRST_PAUSE_MS = 3, /* before a node without the lease looks again; then twice as long each time */
  LAST_LOOK_MS = 5,   /* the last look is so long before the end, so that its answer counts */
  PAUSES_MAX = 16,
};

enum phase {
  PHASE_UNSENT, /* the first look, which waits for its turn */
  PHASE_FIRST,  /* the first look, sent */
  PHASE_LEASE,  /* the lease has been asked for */
  PHASE_AGAIN,  /* another node has it */
};

enum { LINE_HEAD_STARTS, LINE_BUDGETS, LINE_LEASES, LINE_PAUSES, LINES_COUNT = LINE_PAUSES + PAUSES_MAX };

struct store_read {
  struct storeread *owner;
  struct store_read *newer, *older; /* of all */
  enum phase phase;
  struct fleet_call *call;         /* NULL: none is under way */
  struct dueline_node turn;        /* to be sent, or to look again */
  struct dueline_node head;        /* the head start; in no line: it is over */
  struct dueline_node end;         /* the budget, or how long a lease is waited for */
  const struct store_calls *calls; /* NULL: cancelled */
  void *context;
  bool wants_lease;
  uint8_t pause_count;
  enum record_kind kind;
  size_t key_length;
  const char *name; /* the end of the key */
  char key[];       /* terminated */
};

struct storeread {
  struct fleet *fleet;
  struct storeread_options options;
  struct stats *stats;
  struct store_read *newest;
  size_t count, first_count;                 /* all; those in PHASE_FIRST */
  struct dueline unsent, lines[LINES_COUNT]; /* in `lines`: what may be due */
  struct appraise_expected expected;         /* of every value */
  struct leases leases;
  struct record record; /* that was read */
  int64_t mac_log_ms;
};

/* ---- what a read has found ---- */

/* As appraise_reply, of a value of this store. */
static enum appraisal appraise(struct storeread *reads, enum record_kind kind, const char *key,
                               const char *name, const struct redisReply *reply, int64_t now_ms,
                               struct record *record, enum stats_counter *counter) {
  const struct image_time time = {.now_ms = now_ms, .wall_ms = clock_wall_ms()};
  struct appraise_expected expected = reads->expected;
  expected.kind = kind;
  expected.name = name;
  expected.key = key;
  enum appraisal appraisal = appraise_reply(reply, &expected, &time, record, counter);
  if (appraisal == APPRAISED_REFUSED && *counter == STATS_STORE_BAD_MAC &&
      log_is_due(&reads->mac_log_ms, now_ms))
    log_warning(
        "redis: a value under %s is not sealed with a key of redis-mac-key-file (store-bad-mac counts "
        "these): is the file the same on every node?",
        key);
  return appraisal;
}

enum appraisal storeread_appraise(struct storeread *reads, enum record_kind kind, const char *key,
                                  const char *name, const struct redisReply *reply, int64_t now_ms,
                                  struct record *record) {
  enum stats_counter counter;
  enum appraisal appraisal = appraise(reads, kind, key, name, reply, now_ms, record, &counter);
  if (appraisal == APPRAISED_REFUSED || appraisal == APPRAISED_ERROR)
    stats_add(reads->stats, counter);
  return appraisal;
}

/* What a server has answered to GET; NULL: nothing. The facts of FOUND are in reads->record. */
static enum store_outcome judge(const struct store_read *read, const struct redisReply *reply,
                                int64_t now_ms) {
  struct storeread *reads = read->owner;
  struct record *record = &reads->record;
  enum stats_counter counter = now_ms >= read->end.at_ms ? STATS_STORE_TIMEOUTS : STATS_STORE_AWAY;
  enum appraisal appraisal = APPRAISED_ERROR;
  if (reply)
    appraisal = appraise(reads, read->kind, read->key, read->name, reply, now_ms, record, &counter);
  bool is_refused = reply && (appraisal == APPRAISED_REFUSED || appraisal == APPRAISED_ERROR);
  if (is_refused && read->phase == PHASE_FIRST) /* once, however often it looks */
    read->calls->refused(read->context, appraise_reason(counter));
  if (appraisal == APPRAISED_ERROR) {
    if (reply || read->phase == PHASE_FIRST)
      stats_add(reads->stats, counter);
    return STORE_AWAY;
  }
  reads->options.saw(reads->options.context, read->key, appraisal == APPRAISED_FACTS ? record : NULL);
  if (appraisal == APPRAISED_FACTS) {
    if (read->calls->suffices(read->context, record, now_ms))
      return STORE_FOUND;
    counter = record->expires_at_ms <= now_ms ? STATS_STORE_STALE : STATS_STORE_SHORT;
  }
  if (appraisal != APPRAISED_NOTHING && read->phase == PHASE_FIRST)
    stats_add(reads->stats, counter);
  return STORE_MISSING;
}

/* ---- the end of a read ---- */

/* Its call is over, or there was none. */
static void end_call(struct store_read *read) {
  read->owner->first_count -= read->phase == PHASE_FIRST && read->call;
  read->call = NULL;
}

static void free_read(struct store_read *read) {
  struct storeread *reads = read->owner;
  struct fleet_call *call = read->call;
  end_call(read);
  if (call)
    fleet_cancel(call);
  dueline_remove(&read->turn);
  dueline_remove(&read->head);
  dueline_remove(&read->end);
  *(read->newer ? &read->newer->older : &reads->newest) = read->older;
  if (read->older)
    read->older->newer = read->newer;
  reads->count--;
  free(read);
}

/* Nobody waits for it any more. */
static void end_cancelled(struct store_read *read, bool is_answered, int64_t now_ms) {
  if (!is_answered && now_ms >= read->end.at_ms)
    stats_add(read->owner->stats, STATS_STORE_TIMEOUTS);
  free_read(read);
}

static void finish(struct store_read *read, enum store_outcome outcome, int64_t now_ms) {
  struct storeread *reads = read->owner;
  store_done_fn *done = read->calls->done;
  void *context = read->context;
  if (outcome != STORE_AWAY)
    stats_add(reads->stats, outcome == STORE_FOUND ? STATS_STORE_HITS : STATS_STORE_MISSES);
  free_read(read);
  done(context, outcome, outcome == STORE_FOUND ? &reads->record : NULL, now_ms);
}

/* ---- leases ---- */

static void on_value(void *context, const struct redisReply *reply, int64_t now_ms);

static int send_get(struct store_read *read, int64_t now_ms) {
  const struct link_command command = {
      .count = 2, .words = {"GET", read->key}, .lengths = {3, read->key_length}};
  int64_t left_ms = read->end.at_ms - now_ms, most_ms = read->owner->options.timeout_ms;
  return fleet_send(read->owner->fleet, FLEET_READ, read->key, read->key_length, &command,
                    (uint32_t)(left_ms < most_ms ? left_ms : most_ms), on_value, read, &read->call);
}

static void give_up_waiting(struct store_read *read, int64_t now_ms) {
  stats_add(read->owner->stats, STATS_STORE_LEASES_WAITED);
  leases_on_waited(&read->owner->leases, false, now_ms);
  finish(read, STORE_MISSING, now_ms);
}

/* Waits until it is time to look again. A read for which it never will be ends. */
static void pause_read(struct store_read *read, int64_t now_ms) {
  uint8_t step = read->pause_count < PAUSES_MAX ? read->pause_count : PAUSES_MAX - 1;
  int64_t at_ms = now_ms + ((int64_t)FIRST_PAUSE_MS << step), last_ms = read->end.at_ms - LAST_LOOK_MS;
  if (at_ms > last_ms)
    at_ms = last_ms;
  if (at_ms <= now_ms) {
    give_up_waiting(read, now_ms);
    return;
  }
  read->pause_count++;
  dueline_put(&read->owner->lines[LINE_PAUSES + step], &read->turn, read, at_ms);
}

static void look_again(struct store_read *read, int64_t now_ms) {
  int error = send_get(read, now_ms);
  if (error == ERR_OVERLOAD)
    pause_read(read, now_ms);
  else if (error != 0)
    give_up_waiting(read, now_ms);
}

static void on_lease(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct store_read *read = context;
  end_call(read);
  switch (leases_on_reply(&read->owner->leases, read->key, reply, now_ms)) {
  case LEASE_LOST:
    read->phase = PHASE_AGAIN;
    pause_read(read, now_ms);
    break;
  case LEASE_WON:
  case LEASE_FAILED:
    finish(read, STORE_MISSING, now_ms);
  }
}

/* Whether a lease is to decide who asks the DNS. Where it is being asked already, it is too late for that. */
static bool may_lease(const struct store_read *read, int64_t now_ms) {
  const struct storeread *reads = read->owner;
  return read->wants_lease && read->head.line && reads->options.lease_wait_ms > 0 &&
         leases_are_of_use(&reads->leases, now_ms) && !leases_has(&reads->leases, read->key, now_ms);
}

/* The first look was in vain. */
static void try_lease(struct store_read *read, int64_t now_ms) {
  struct storeread *reads = read->owner;
  uint32_t wait_ms = reads->options.lease_wait_ms;
  if (!may_lease(read, now_ms) || leases_ask(&reads->leases, read->key, on_lease, read, &read->call) != 0) {
    finish(read, STORE_MISSING, now_ms);
    return;
  }
  read->phase = PHASE_LEASE;
  dueline_remove(&read->head);
  dueline_remove(&read->end);
  dueline_put(&reads->lines[LINE_LEASES], &read->end, read, now_ms + wait_ms);
}

/* ---- reading ---- */

static void on_value(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct store_read *read = context;
  end_call(read);
  if (!read->calls) {
    end_cancelled(read, reply != NULL, now_ms);
    return;
  }
  enum store_outcome outcome = judge(read, reply, now_ms);
  if (outcome == STORE_FOUND && read->phase == PHASE_AGAIN)
    leases_on_waited(&read->owner->leases, true, now_ms);
  if (outcome == STORE_FOUND)
    finish(read, outcome, now_ms);
  else if (read->phase == PHASE_AGAIN && outcome == STORE_AWAY)
    give_up_waiting(read, now_ms);
  else if (read->phase == PHASE_AGAIN)
    pause_read(read, now_ms);
  else if (outcome == STORE_AWAY)
    finish(read, outcome, now_ms);
  else
    try_lease(read, now_ms);
}

/* Sends the first look; returns as fleet_send. */
static int send_first(struct store_read *read, int64_t now_ms) {
  struct storeread *reads = read->owner;
  int error = ERR_OVERLOAD;
  if (reads->first_count < (reads->options.max_commands + 1) / 2)
    error = send_get(read, now_ms);
  if (error == 0) {
    read->phase = PHASE_FIRST;
    reads->first_count++;
  }
  return error;
}

static struct store_read *create_read(struct storeread *reads, const struct store_question *question,
                                      const char *key) {
  size_t key_length = strlen(key);
  struct store_read *read = calloc(1, sizeof(*read) + key_length + 1);
  if (!read)
    return NULL;
  memcpy(read->key, key, key_length + 1);
  read->owner = reads;
  read->key_length = key_length;
  read->name = read->key + key_length - question->length;
  read->kind = question->kind;
  read->wants_lease = question->wants_lease;
  read->older = reads->newest;
  if (reads->newest)
    reads->newest->newer = read;
  reads->newest = read;
  reads->count++;
  return read;
}

static int start_read(struct storeread *reads, struct store_read *read, int64_t now_ms) {
  dueline_put(&reads->lines[LINE_HEAD_STARTS], &read->head, read, now_ms + reads->options.head_start_ms);
  dueline_put(&reads->lines[LINE_BUDGETS], &read->end, read, now_ms + reads->options.timeout_ms);
  int error = reads->unsent.first ? ERR_OVERLOAD : send_first(read, now_ms);
  if (error == ERR_OVERLOAD) {
    dueline_put(&reads->unsent, &read->turn, read, now_ms);
    return 0;
  }
  if (error != 0)
    free_read(read);
  return error;
}

int storeread_get(struct storeread *reads, const struct store_question *question, const char *key,
                  int64_t now_ms, const struct store_calls *calls, void *context,
                  struct store_read **result) {
  if (!fleet_is_up(reads->fleet, FLEET_READ)) {
    stats_add(reads->stats, STATS_STORE_AWAY);
    return ERR_NETWORK;
  }
  if (reads->count >= STOREREAD_MAX) {
    stats_add(reads->stats, STATS_STORE_BUSY);
    return ERR_OVERLOAD;
  }
  struct store_read *read = create_read(reads, question, key);
  if (!read)
    return ERR_NOMEM;
  read->calls = calls;
  read->context = context;
  int error = start_read(reads, read, now_ms);
  if (error == ERR_NETWORK)
    stats_add(reads->stats, STATS_STORE_AWAY);
  if (error == 0)
    *result = read;
  return error;
}

void storeread_cancel(struct store_read *read) {
  if (read->phase != PHASE_FIRST) {
    free_read(read);
    return;
  }
  read->calls = NULL;
  dueline_remove(&read->head);
}

/* ---- running ---- */

static void end_due(struct storeread *reads, int64_t now_ms) {
  struct dueline_node *node;
  while ((node = dueline_due(&reads->lines[LINE_BUDGETS], now_ms))) {
    struct store_read *read = node->owner;
    if (!read->calls) {
      end_cancelled(read, false, now_ms);
      continue;
    }
    stats_add(reads->stats, STATS_STORE_TIMEOUTS);
    finish(read, STORE_AWAY, now_ms);
  }
  while ((node = dueline_due(&reads->lines[LINE_LEASES], now_ms)))
    give_up_waiting(node->owner, now_ms);
}

/* The DNS gets its chance. */
static void call_late(struct storeread *reads, int64_t now_ms) {
  struct dueline_node *node;
  while ((node = dueline_due(&reads->lines[LINE_HEAD_STARTS], now_ms))) {
    struct store_read *read = node->owner;
    dueline_remove(node);
    stats_add(reads->stats, STATS_STORE_LATE);
    read->calls->late(read->context, now_ms);
  }
}

static void send_waiting(struct storeread *reads, int64_t now_ms) {
  struct dueline_node *node;
  for (size_t i = 0; i < PAUSES_MAX; i++)
    while ((node = dueline_due(&reads->lines[LINE_PAUSES + i], now_ms))) {
      dueline_remove(node);
      look_again(node->owner, now_ms);
    }
  while ((node = reads->unsent.first)) {
    struct store_read *read = node->owner;
    int error = send_first(read, now_ms);
    if (error == ERR_OVERLOAD)
      return;
    dueline_remove(node);
    if (error == 0)
      continue;
    stats_add(reads->stats, STATS_STORE_AWAY);
    finish(read, STORE_AWAY, now_ms);
  }
}

void storeread_run(struct storeread *reads, int64_t now_ms) {
  end_due(reads, now_ms);
  call_late(reads, now_ms);
  send_waiting(reads, now_ms);
}

int64_t storeread_next_ms(const struct storeread *reads) {
  int64_t next_ms = INT64_MAX;
  for (size_t i = 0; i < LINES_COUNT; i++)
    if (dueline_next_ms(&reads->lines[i]) < next_ms)
      next_ms = dueline_next_ms(&reads->lines[i]);
  return next_ms;
}

/* ---- the room ---- */

struct storeread *storeread_create(struct fleet *fleet, const struct storeread_options *options,
                                   struct stats *stats) {
  struct storeread *reads = calloc(1, sizeof(*reads));
  if (!reads)
    return NULL;
  reads->fleet = fleet;
  reads->options = *options;
  reads->stats = stats;
  reads->expected.seal = options->seal;
  reads->leases.fleet = fleet;
  reads->leases.stats = stats;
  reads->leases.prefix = options->prefix;
  reads->leases.origin = options->origin;
  reads->leases.timeout_ms = options->timeout_ms;
  return reads;
}

void storeread_destroy(struct storeread *reads) {
  if (!reads)
    return;
  while (reads->newest)
    free_read(reads->newest);
  free(reads);
}

void storeread_release(struct storeread *reads, const char *key, int64_t now_ms) {
  leases_release(&reads->leases, key, now_ms);
}

void storeread_set_purged(struct storeread *reads, appraise_purged_fn *is_purged, void *context) {
  reads->expected.is_purged = is_purged;
  reads->expected.context = context;
}

size_t storeread_count(const struct storeread *reads) { return reads->count; }
