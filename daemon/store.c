#include "store.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appraise.h"
#include "clock.h"
#include "dueline.h"
#include "error.h"
#include "leases.h"
#include "writebehind.h"

enum {
  KEY_SIZE = STORE_PREFIX_SIZE + 2 + FACTS_NAME_SIZE, /* 2 of "d:" */
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
  struct store *store;
  struct store_read *newer, *older; /* of all */
  enum phase phase;
  struct fleet_call *call;  /* NULL: none is under way */
  struct dueline_node turn; /* to be sent, or to look again */
  struct dueline_node head; /* the head start; in no line: it is over */
  struct dueline_node end;  /* the budget, or how long a lease is waited for */
  const struct store_calls *calls;
  void *context;
  bool wants_lease;
  uint8_t pause_count;
  enum record_kind kind;
  size_t key_length;
  const char *name; /* the end of the key */
  char key[];       /* terminated */
};

struct store {
  struct fleet *fleet;
  struct store_options options;
  struct stats *stats;
  struct writebehind *writebehind;
  struct store_read *newest;
  size_t read_count, first_count;            /* all; those in PHASE_FIRST */
  struct dueline unsent, lines[LINES_COUNT]; /* in `lines`: what may be due */
  uint64_t generation;
  struct appraise_expected expected; /* of every value */
  struct leases leases;
  struct record record; /* that was read */
  struct record out;    /* that is written */
};

_Static_assert((int)KEY_SIZE + 2 <= LEASES_KEY_SIZE, "the key of a lease has room");

/* ---- keys ---- */

/* Builds the key of a name; returns its length. */
static size_t build_key(const struct store *store, char key[KEY_SIZE], enum record_kind kind,
                        const char *name, size_t length) {
  return (size_t)snprintf(key, KEY_SIZE, "%s%c:%.*s", store->options.prefix,
                          kind == RECORD_DOMAIN ? 'd' : 'h', (int)length, name);
}

/* ---- what a read has found ---- */

/* What a server has answered to GET; NULL: nothing. The facts of FOUND are in store->record. */
static enum store_outcome judge(const struct store_read *read, const struct redisReply *reply,
                                int64_t now_ms) {
  struct store *store = read->store;
  struct record *record = &store->record;
  const struct image_time time = {.now_ms = now_ms, .wall_ms = clock_wall_ms()};
  struct appraise_expected expected = store->expected;
  enum stats_counter counter = now_ms >= read->end.at_ms ? STATS_STORE_TIMEOUTS : STATS_STORE_AWAY;
  expected.kind = read->kind;
  expected.name = read->name;
  expected.key = read->key;
  enum appraisal appraisal =
      reply ? appraise_reply(reply, &expected, &time, record, &counter) : APPRAISED_ERROR;
  if (appraisal == APPRAISED_ERROR) {
    stats_add(store->stats, counter);
    return STORE_AWAY;
  }
  writebehind_saw(store->writebehind, read->key, appraisal == APPRAISED_FACTS ? record : NULL);
  if (appraisal == APPRAISED_FACTS) {
    if (read->calls->suffices(read->context, record, now_ms))
      return STORE_FOUND;
    counter = record->expires_at_ms <= now_ms ? STATS_STORE_STALE : STATS_STORE_SHORT;
  }
  if (appraisal != APPRAISED_NOTHING && read->phase == PHASE_FIRST) /* once, however often it looks */
    stats_add(store->stats, counter);
  return STORE_MISSING;
}

/* ---- the end of a read ---- */

/* Its call is over, or there was none. */
static void end_call(struct store_read *read) {
  read->store->first_count -= read->phase == PHASE_FIRST && read->call;
  read->call = NULL;
}

static void free_read(struct store_read *read) {
  struct store *store = read->store;
  struct fleet_call *call = read->call;
  end_call(read);
  if (call)
    fleet_cancel(call);
  dueline_remove(&read->turn);
  dueline_remove(&read->head);
  dueline_remove(&read->end);
  *(read->newer ? &read->newer->older : &store->newest) = read->older;
  if (read->older)
    read->older->newer = read->newer;
  store->read_count--;
  free(read);
}

static void finish(struct store_read *read, enum store_outcome outcome, int64_t now_ms) {
  struct store *store = read->store;
  store_done_fn *done = read->calls->done;
  void *context = read->context;
  if (outcome != STORE_AWAY)
    stats_add(store->stats, outcome == STORE_FOUND ? STATS_STORE_HITS : STATS_STORE_MISSES);
  free_read(read);
  done(context, outcome, outcome == STORE_FOUND ? &store->record : NULL, now_ms);
}

/* ---- leases ---- */

static void on_value(void *context, const struct redisReply *reply, int64_t now_ms);

static int send_get(struct store_read *read, int64_t now_ms) {
  const struct link_command command = {
      .count = 2, .words = {"GET", read->key}, .lengths = {3, read->key_length}};
  return fleet_send(read->store->fleet, FLEET_READ, read->key, read->key_length, &command,
                    (uint32_t)(read->end.at_ms - now_ms), on_value, read, &read->call);
}

static void give_up_waiting(struct store_read *read, int64_t now_ms) {
  stats_add(read->store->stats, STATS_STORE_LEASES_WAITED);
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
  dueline_put(&read->store->lines[LINE_PAUSES + step], &read->turn, read, at_ms);
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
  switch (leases_on_reply(&read->store->leases, read->key, reply, now_ms)) {
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
  const struct store *store = read->store;
  return read->wants_lease && read->head.line && store->options.lease_wait_ms > 0 &&
         !store->options.read_only && !leases_has(&store->leases, read->key, now_ms);
}

/* The first look was in vain. */
static void try_lease(struct store_read *read, int64_t now_ms) {
  struct store *store = read->store;
  uint32_t wait_ms = store->options.lease_wait_ms;
  if (!may_lease(read, now_ms) ||
      leases_ask(&store->leases, read->key, wait_ms, on_lease, read, &read->call) != 0) {
    finish(read, STORE_MISSING, now_ms);
    return;
  }
  read->phase = PHASE_LEASE;
  dueline_remove(&read->head);
  dueline_remove(&read->end);
  dueline_put(&store->lines[LINE_LEASES], &read->end, read, now_ms + wait_ms);
}

/* ---- reading ---- */

static void on_value(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct store_read *read = context;
  end_call(read);
  enum store_outcome outcome = judge(read, reply, now_ms);
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
  struct store *store = read->store;
  int error = ERR_OVERLOAD;
  if (store->first_count < (store->options.max_commands + 1) / 2)
    error = send_get(read, now_ms);
  if (error == 0) {
    read->phase = PHASE_FIRST;
    store->first_count++;
  }
  return error;
}

static struct store_read *create_read(struct store *store, const struct store_question *question) {
  char key[KEY_SIZE];
  size_t key_length = build_key(store, key, question->kind, question->name, question->length);
  struct store_read *read = calloc(1, sizeof(*read) + key_length + 1);
  if (!read)
    return NULL;
  memcpy(read->key, key, key_length + 1);
  read->store = store;
  read->key_length = key_length;
  read->name = read->key + key_length - question->length;
  read->kind = question->kind;
  read->wants_lease = question->wants_lease;
  read->older = store->newest;
  if (store->newest)
    store->newest->newer = read;
  store->newest = read;
  store->read_count++;
  return read;
}

static int start_read(struct store *store, struct store_read *read, int64_t now_ms) {
  dueline_put(&store->lines[LINE_HEAD_STARTS], &read->head, read, now_ms + store->options.head_start_ms);
  dueline_put(&store->lines[LINE_BUDGETS], &read->end, read, now_ms + store->options.timeout_ms);
  int error = store->unsent.first ? ERR_OVERLOAD : send_first(read, now_ms);
  if (error == ERR_OVERLOAD) {
    dueline_put(&store->unsent, &read->turn, read, now_ms);
    return 0;
  }
  if (error != 0)
    free_read(read);
  return error;
}

int store_get(struct store *store, const struct store_question *question, int64_t now_ms,
              const struct store_calls *calls, void *context, struct store_read **result) {
  if (!store)
    return ERR_NETWORK;
  if (!fleet_is_up(store->fleet, FLEET_READ)) {
    stats_add(store->stats, STATS_STORE_AWAY);
    return ERR_NETWORK;
  }
  if (store->read_count >= STORE_READS_MAX) {
    stats_add(store->stats, STATS_STORE_BUSY);
    return ERR_OVERLOAD;
  }
  struct store_read *read = create_read(store, question);
  if (!read)
    return ERR_NOMEM;
  read->calls = calls;
  read->context = context;
  int error = start_read(store, read, now_ms);
  if (error == ERR_NETWORK)
    stats_add(store->stats, STATS_STORE_AWAY);
  if (error == 0)
    *result = read;
  return error;
}

void store_cancel(struct store_read *read) { free_read(read); }

/* ---- writing ---- */

static bool writes(const struct store *store) { return store && !store->options.read_only; }

void store_put(struct store *store, const struct record *record, int64_t now_ms) {
  const struct image_time time = {.now_ms = now_ms, .wall_ms = clock_wall_ms()};
  char key[KEY_SIZE];
  if (!writes(store))
    return;
  build_key(store, key, record->kind, record->name, strlen(record->name));
  store->out = *record;
  store->out.generation = store->generation;
  snprintf(store->out.origin, RECORD_ORIGIN_SIZE, "%s", store->options.origin);
  if (!writebehind_put(store->writebehind, key, &store->out, &time))
    leases_release(&store->leases, key, now_ms);
}

void store_release(struct store *store, enum record_kind kind, const char *name, size_t length,
                   int64_t now_ms) {
  char key[KEY_SIZE];
  if (!writes(store))
    return;
  build_key(store, key, kind, name, length);
  leases_release(&store->leases, key, now_ms);
}

void store_remove(struct store *store, enum record_kind kind, const char *name, size_t length) {
  char key[KEY_SIZE];
  if (!writes(store))
    return;
  build_key(store, key, kind, name, length);
  writebehind_remove(store->writebehind, key);
}

/* ---- running ---- */

static void end_due(struct store *store, int64_t now_ms) {
  struct dueline_node *node;
  while ((node = dueline_due(&store->lines[LINE_BUDGETS], now_ms))) {
    stats_add(store->stats, STATS_STORE_TIMEOUTS);
    finish(node->owner, STORE_AWAY, now_ms);
  }
  while ((node = dueline_due(&store->lines[LINE_LEASES], now_ms)))
    give_up_waiting(node->owner, now_ms);
}

/* The DNS gets its chance. */
static void call_late(struct store *store, int64_t now_ms) {
  struct dueline_node *node;
  while ((node = dueline_due(&store->lines[LINE_HEAD_STARTS], now_ms))) {
    struct store_read *read = node->owner;
    dueline_remove(node);
    stats_add(store->stats, STATS_STORE_LATE);
    read->calls->late(read->context, now_ms);
  }
}

static void send_waiting(struct store *store, int64_t now_ms) {
  struct dueline_node *node;
  for (size_t i = 0; i < PAUSES_MAX; i++)
    while ((node = dueline_due(&store->lines[LINE_PAUSES + i], now_ms))) {
      dueline_remove(node);
      look_again(node->owner, now_ms);
    }
  while ((node = store->unsent.first)) {
    struct store_read *read = node->owner;
    int error = send_first(read, now_ms);
    if (error == ERR_OVERLOAD)
      return;
    dueline_remove(node);
    if (error == 0)
      continue;
    stats_add(store->stats, STATS_STORE_AWAY);
    finish(read, STORE_AWAY, now_ms);
  }
}

void store_run(struct store *store, int64_t now_ms) {
  const struct image_time time = {.now_ms = now_ms, .wall_ms = clock_wall_ms()};
  end_due(store, now_ms);
  call_late(store, now_ms);
  send_waiting(store, now_ms);
  writebehind_run(store->writebehind, &time);
}

int64_t store_next_ms(const struct store *store) {
  int64_t next_ms = writebehind_next_ms(store->writebehind);
  for (size_t i = 0; i < LINES_COUNT; i++)
    if (dueline_next_ms(&store->lines[i]) < next_ms)
      next_ms = dueline_next_ms(&store->lines[i]);
  return next_ms;
}

/* ---- the room ---- */

int store_create(struct fleet *fleet, const struct store_options *options, struct stats *stats,
                 struct store **result) {
  const struct writebehind_options behind = {
      .seal = options->seal, .max_count = options->max_writes, .max_sent = (options->max_commands + 3) / 4};
  struct store *store = calloc(1, sizeof(*store));
  if (!store)
    return ERR_NOMEM;
  store->fleet = fleet;
  store->options = *options;
  store->stats = stats;
  store->expected.seal = options->seal;
  store->leases.fleet = fleet;
  store->leases.stats = stats;
  store->leases.prefix = options->prefix;
  store->leases.origin = options->origin;
  store->writebehind = writebehind_create(fleet, &behind, stats);
  if (!store->writebehind) {
    free(store);
    return ERR_NOMEM;
  }
  *result = store;
  return 0;
}

void store_destroy(struct store *store) {
  if (!store)
    return;
  while (store->newest)
    free_read(store->newest);
  writebehind_destroy(store->writebehind);
  free(store);
}

void store_set_generation(struct store *store, uint64_t generation) {
  store->generation = generation;
  writebehind_forget(store->writebehind);
}

void store_set_purged(struct store *store, appraise_purged_fn *is_purged, void *context) {
  store->expected.is_purged = is_purged;
  store->expected.context = context;
}

void store_look(const struct store *store, struct store_view *view) {
  view->is_up = fleet_is_up(store->fleet, FLEET_READ);
  fleet_look(store->fleet, &view->fleet);
  view->read_count = store->read_count;
  view->write_count = writebehind_count(store->writebehind);
  view->write_bytes = writebehind_bytes(store->writebehind);
}
