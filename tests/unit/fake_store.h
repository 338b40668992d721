/*
 * fake_store: stands in for the room store (its header is the seam).
 *
 * Records what is read and written; the test ends the reads, when and in the order it likes, or refuses them.
 * A value that is written is packed and parsed, so that a test sees what another node would read, and what
 * could not be shared fails it. A read is freed before its last callback runs, and a record right after each,
 * so that a sanitizer sees whoever keeps them. Cancelling or ending what is not under way fails the test, as
 * does whoever calls the store from where it must not.
 *
 * Include once in an executable: it defines the functions of store.h that the resolver's rooms call, so that
 * the linker leaves store.o in its archive.
 */
#ifndef MXWAY_TESTS_FAKE_STORE_H
#define MXWAY_TESTS_FAKE_STORE_H

#include "cmocka_compat.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "rules/facts.h"
#include "store/store.h"

enum { FAKE_WALL_MS = 1000000000 }; /* the wall clock is so much ahead of the monotonic one */

struct store_read {
  struct store *store;
  struct store_read *next; /* asked later */
  enum record_kind kind;
  char name[FACTS_NAME_SIZE];
  bool is_late;
  const struct store_calls *calls;
  void *context;
};

/* What was written last about a name. */
struct fake_value {
  struct fake_value *next;
  enum record_kind kind;
  char name[FACTS_NAME_SIZE];
  size_t length;
  uint8_t bytes[RECORD_MAX];
};

struct store {
  struct store_read *first; /* under way, oldest first */
  size_t open_count, asked_count, cancelled_count;
  size_t put_count, released_count, removed_count;
  int refusal; /* of reads; 0: none are refused */
  bool is_judging;
  struct fake_value *values;
};

static inline struct store *fake_store_create(void) {
  struct store *store = calloc(1, sizeof(*store));
  assert_non_null(store);
  return store;
}

static inline void fake_store_destroy(struct store *store) {
  if (!store)
    return;
  assert_int_equal(store->open_count, 0); /* every read is taken back */
  while (store->values) {
    struct fake_value *value = store->values;
    store->values = value->next;
    free(value);
  }
  free(store);
}

static inline void fake_store_free(struct store_read *read) {
  struct store_read **at = &read->store->first;
  while (*at && *at != read)
    at = &(*at)->next;
  assert_ptr_equal(*at, read); /* else it is not under way */
  *at = read->next;
  read->store->open_count--;
  free(read);
}

int store_get(struct store *store, const struct store_question *question, int64_t now_ms,
              const struct store_calls *calls, void *context, struct store_read **result) {
  (void)now_ms;
  assert_false(store->is_judging);
  assert_int_equal(strlen(question->name), question->length);
  assert_true(question->wants_lease);
  if (store->refusal)
    return store->refusal;
  struct store_read *read = calloc(1, sizeof(*read));
  assert_non_null(read);
  read->store = store;
  read->kind = question->kind;
  memcpy(read->name, question->name, question->length);
  read->calls = calls;
  read->context = context;
  struct store_read **last = &store->first;
  while (*last) {
    assert_false((*last)->kind == read->kind && strcmp((*last)->name, read->name) == 0); /* one at a time */
    last = &(*last)->next;
  }
  *last = read;
  store->open_count++;
  store->asked_count++;
  *result = read;
  return 0;
}

void store_cancel(struct store_read *read) {
  assert_false(read->store->is_judging);
  read->store->cancelled_count++;
  fake_store_free(read);
}

static inline struct fake_value *fake_store_value(struct store *store, enum record_kind kind,
                                                  const char *name) {
  for (struct fake_value *value = store->values; value; value = value->next)
    if (value->kind == kind && strcmp(value->name, name) == 0)
      return value;
  return NULL;
}

static inline struct image_time fake_store_time(int64_t now_ms) {
  return (struct image_time){.now_ms = now_ms, .wall_ms = now_ms + FAKE_WALL_MS};
}

void store_put(struct store *store, const struct record *record, int64_t now_ms) {
  const struct image_time time = fake_store_time(now_ms);
  if (!store)
    return;
  assert_false(store->is_judging);
  struct fake_value *value = fake_store_value(store, record->kind, record->name);
  if (!value) {
    value = calloc(1, sizeof(*value));
    assert_non_null(value);
    value->kind = record->kind;
    snprintf(value->name, sizeof(value->name), "%s", record->name);
    value->next = store->values;
    store->values = value;
  }
  struct record *named = malloc(sizeof(*named));
  assert_non_null(named);
  *named = *record;
  named->generation = 0;
  snprintf(named->origin, sizeof(named->origin), "node-a");
  value->length = record_pack(value->bytes, named, "key", NULL, &time);
  free(named);
  assert_int_not_equal(value->length, 0);
  store->put_count++;
}

void store_release(struct store *store, enum record_kind kind, const char *name, size_t length,
                   int64_t now_ms) {
  (void)kind, (void)now_ms;
  assert_int_equal(strlen(name), length);
  assert_false(store->is_judging);
  store->released_count++;
}

void store_remove(struct store *store, enum record_kind kind, const char *name, size_t length) {
  (void)kind;
  assert_int_equal(strlen(name), length);
  if (store)
    store->removed_count++;
}

/* What was written last about a name, as another node would read it; NULL: nothing, or too old. A malloc
 * block, the caller's. */
static inline struct record *fake_store_read(struct store *store, enum record_kind kind, const char *name,
                                             int64_t now_ms) {
  const struct image_time time = fake_store_time(now_ms);
  struct fake_value *value = fake_store_value(store, kind, name);
  if (!value)
    return NULL;
  struct record *record = malloc(sizeof(*record));
  assert_non_null(record);
  enum record_status status =
      record_parse(value->bytes, value->length, kind, name, "key", NULL, &time, record);
  if (status == RECORD_GOOD)
    return record;
  assert_int_equal(status, RECORD_EXPIRED);
  free(record);
  return NULL;
}

/* ---- what a test does ---- */

/* The read under way for a name, or NULL. */
static inline struct store_read *fake_store_find(struct store *store, enum record_kind kind,
                                                 const char *name) {
  for (struct store_read *read = store->first; read; read = read->next)
    if (read->kind == kind && strcmp(read->name, name) == 0)
      return read;
  return NULL;
}

static inline bool fake_store_is_asked(struct store *store, enum record_kind kind, const char *name) {
  return fake_store_find(store, kind, name) != NULL;
}

/* The head start of a read is over. */
static inline void fake_store_late(struct store_read *read, int64_t now_ms) {
  assert_false(read->is_late);
  read->is_late = true;
  read->calls->late(read->context, now_ms);
}

/* Shows a value to who reads; where it is enough the read ends. Returns whether it was. */
static inline bool fake_store_offer(struct store_read *read, const struct record *record, int64_t now_ms) {
  struct store_read ended = *read;
  struct record *lent = malloc(sizeof(*lent));
  assert_non_null(lent);
  *lent = *record;
  read->store->is_judging = true;
  bool is_enough = read->calls->suffices(read->context, lent, now_ms);
  read->store->is_judging = false;
  if (is_enough) {
    fake_store_free(read);
    ended.calls->done(ended.context, STORE_FOUND, lent, now_ms);
  }
  free(lent);
  return is_enough;
}

/* What was read is of no use. */
static inline void fake_store_refuse(struct store_read *read, const char *why) {
  read->store->is_judging = true;
  read->calls->refused(read->context, why);
  read->store->is_judging = false;
}

/* Ends a read without a value. */
static inline void fake_store_end(struct store_read *read, enum store_outcome outcome, int64_t now_ms) {
  struct store_read ended = *read;
  assert_int_not_equal(outcome, STORE_FOUND);
  fake_store_free(read);
  ended.calls->done(ended.context, outcome, NULL, now_ms);
}

/* ---- records, as record_parse fills them ---- */

/* Facts about a domain that were learned `age_ms` ago and live `life_ms` by the DNS. */
static inline struct record fake_record(enum domain_kind kind, const char *name, int64_t age_ms,
                                        int64_t life_ms, int64_t now_ms) {
  static struct record record;
  memset(&record, 0, sizeof(record));
  record.kind = RECORD_DOMAIN;
  snprintf(record.name, sizeof(record.name), "%s", name);
  snprintf(record.origin, sizeof(record.origin), "node-b");
  record.created_at_ms = record.domain.stored_at_ms = now_ms - age_ms;
  record.expires_at_ms = record.domain.expires_at_ms = now_ms - age_ms + life_ms;
  record.stale_until_ms = record.expires_at_ms + RECORD_STALE_MAX_S * INT64_C(1000);
  record.domain.kind = kind;
  if (kind == DOMAIN_MX || kind == DOMAIN_NODATA) {
    record.domain.count = 1;
    record.domain.exchanges[0].preference = kind == DOMAIN_MX ? 10 : 0;
    snprintf(record.domain.exchanges[0].host, FACTS_NAME_SIZE, "%s", kind == DOMAIN_MX ? "a.test" : name);
  }
  return record;
}

/* An empty record of a host. */
static inline struct record fake_host_record(const char *name) {
  static struct record record;
  memset(&record, 0, sizeof(record));
  record.kind = RECORD_HOST;
  snprintf(record.name, sizeof(record.name), "%s", name);
  snprintf(record.origin, sizeof(record.origin), "node-b");
  record.created_at_ms = record.expires_at_ms = INT64_MIN;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    record.families[family].expires_at_ms = record.learned_at_ms[family] = INT64_MIN;
  return record;
}

/* Gives it a family: with FAMILY_OK one address, 192.0.2.`last` or 2001:db8::`last`. */
static inline void fake_add_family(struct record *record, enum family family, enum family_state state,
                                   unsigned last, int64_t age_ms, int64_t life_ms, int64_t now_ms) {
  static const uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8}, v4[4] = {192, 0, 2};
  struct family_value *value = &record->families[family];
  value->state = state;
  value->count = state == FAMILY_OK;
  if (family == FAMILY_V6)
    memcpy(value->addresses[0], v6, sizeof(v6));
  else
    memcpy(value->addresses[0], v4, sizeof(v4));
  value->addresses[0][family == FAMILY_V6 ? 15 : 3] = (uint8_t)last;
  record->learned_at_ms[family] = now_ms - age_ms;
  value->expires_at_ms = now_ms - age_ms + life_ms;
  if (record->learned_at_ms[family] > record->created_at_ms)
    record->created_at_ms = record->learned_at_ms[family];
  if (value->expires_at_ms > record->expires_at_ms)
    record->expires_at_ms = value->expires_at_ms;
  record->stale_until_ms = record->expires_at_ms + RECORD_STALE_MAX_S * INT64_C(1000);
}

#endif
