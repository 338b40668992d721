#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/writebehind.h"

_Static_assert((int)STORE_KEY_SIZE + 2 <= LEASES_KEY_SIZE, "the key of a lease has room");

struct store {
  struct fleet *fleet;
  struct store_options options;
  struct stats *stats;
  struct storeread *reads;
  struct writebehind *writebehind;
  uint64_t generation;
  bool is_closed;
  struct record out; /* that is written */
};

size_t store_key(const struct store *store, enum record_kind kind, const char *name, size_t length,
                 char key[STORE_KEY_SIZE]) {
  return (size_t)snprintf(key, STORE_KEY_SIZE, "%s%c:%.*s", store->options.prefix,
                          kind == RECORD_DOMAIN ? 'd' : 'h', (int)length, name);
}

/* ---- reading ---- */

static void saw(void *context, const char *key, const struct record *record) {
  struct store *store = context;
  writebehind_saw(store->writebehind, key, record);
}

int store_get(struct store *store, const struct store_question *question, int64_t now_ms,
              const struct store_calls *calls, void *context, struct store_read **read) {
  char key[STORE_KEY_SIZE];
  if (!store)
    return ERR_NETWORK;
  if (store->is_closed) {
    stats_add(store->stats, STATS_STORE_AWAY);
    return ERR_NETWORK;
  }
  store_key(store, question->kind, question->name, question->length, key);
  return storeread_get(store->reads, question, key, now_ms, calls, context, read);
}

bool store_is_up(const struct store *store) {
  return fleet_is_up(store->fleet, FLEET_READ) && !store->is_closed;
}

enum appraisal store_appraise(struct store *store, enum record_kind kind, const char *name,
                              const struct redisReply *reply, int64_t now_ms, struct record *record) {
  char key[STORE_KEY_SIZE];
  store_key(store, kind, name, strlen(name), key);
  return storeread_appraise(store->reads, kind, key, name, reply, now_ms, record);
}

void store_cancel(struct store_read *read) { storeread_cancel(read); }

/* ---- writing ---- */

static bool writes(const struct store *store) { return store && !store->options.read_only; }

void store_put(struct store *store, const struct record *record, int64_t now_ms) {
  const struct image_time time = {.now_ms = now_ms, .wall_ms = clock_wall_ms()};
  char key[STORE_KEY_SIZE];
  if (!writes(store) || store->is_closed)
    return;
  store_key(store, record->kind, record->name, strlen(record->name), key);
  store->out = *record;
  store->out.generation = store->generation;
  snprintf(store->out.origin, RECORD_ORIGIN_SIZE, "%s", store->options.origin);
  if (!writebehind_put(store->writebehind, key, &store->out, &time))
    storeread_release(store->reads, key, now_ms);
}

void store_release(struct store *store, enum record_kind kind, const char *name, size_t length,
                   int64_t now_ms) {
  char key[STORE_KEY_SIZE];
  if (!writes(store))
    return;
  store_key(store, kind, name, length, key);
  storeread_release(store->reads, key, now_ms);
}

void store_remove(struct store *store, enum record_kind kind, const char *name, size_t length) {
  char key[STORE_KEY_SIZE];
  if (!writes(store))
    return;
  store_key(store, kind, name, length, key);
  writebehind_remove(store->writebehind, key);
}

/* ---- running ---- */

void store_run(struct store *store, int64_t now_ms) {
  const struct image_time time = {.now_ms = now_ms, .wall_ms = clock_wall_ms()};
  storeread_run(store->reads, now_ms);
  writebehind_run(store->writebehind, &time);
}

int64_t store_next_ms(const struct store *store) {
  int64_t read_ms = storeread_next_ms(store->reads), write_ms = writebehind_next_ms(store->writebehind);
  return read_ms < write_ms ? read_ms : write_ms;
}

/* ---- the room ---- */

static struct storeread *create_reads(struct store *store, struct stats *stats) {
  const struct store_options *options = &store->options;
  const struct storeread_options reading = {.prefix = options->prefix,
                                            .origin = options->origin,
                                            .seal = options->seal,
                                            .timeout_ms = options->timeout_ms,
                                            .head_start_ms = options->head_start_ms,
                                            .lease_wait_ms = options->read_only ? 0 : options->lease_wait_ms,
                                            .max_commands = options->max_commands,
                                            .saw = saw,
                                            .context = store};
  return storeread_create(store->fleet, &reading, stats);
}

int store_create(struct fleet *fleet, const struct store_options *options, struct stats *stats,
                 struct store **result) {
  const struct writebehind_options writing = {.seal = options->seal,
                                              .timeout_ms = options->timeout_ms,
                                              .max_count = options->max_writes,
                                              .max_sent = (options->max_commands + 3) / 4};
  struct store *store = calloc(1, sizeof(*store));
  if (!store)
    return ERR_NOMEM;
  store->fleet = fleet;
  store->options = *options;
  store->stats = stats;
  store->reads = create_reads(store, stats);
  store->writebehind = writebehind_create(fleet, &writing, stats);
  if (!store->reads || !store->writebehind) {
    store_destroy(store);
    return ERR_NOMEM;
  }
  *result = store;
  return 0;
}

void store_destroy(struct store *store) {
  if (!store)
    return;
  storeread_destroy(store->reads);
  writebehind_destroy(store->writebehind);
  free(store);
}

void store_set_open(struct store *store, bool is_open) { store->is_closed = !is_open; }

void store_set_generation(struct store *store, uint64_t generation) {
  store->generation = generation;
  writebehind_forget(store->writebehind);
}

void store_set_purged(struct store *store, appraise_purged_fn *is_purged, void *context) {
  storeread_set_purged(store->reads, is_purged, context);
}

void store_look(const struct store *store, struct store_view *view) {
  view->is_up = store_is_up(store);
  fleet_look(store->fleet, &view->fleet);
  if (store->is_closed && view->fleet.up_count > 0)
    snprintf(view->fleet.text, sizeof(view->fleet.text),
             "connected, the list of purges has not been read yet");
  view->read_count = storeread_count(store->reads);
  view->write_count = writebehind_count(store->writebehind);
  view->write_bytes = writebehind_bytes(store->writebehind);
}
