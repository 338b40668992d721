#include "store/writebehind.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "rules/name.h"
#include "store/backlog.h"
#include "store/seen.h"

enum { LIFE_TEXT_SIZE = 24 };

/* No value has a life beyond this. */
static const int64_t life_most_ms = (RECORD_LIFE_MAX_S + RECORD_STALE_MAX_S) * INT64_C(1000);

/* One that is under way. */
struct write {
  struct writebehind *owner;
  struct fleet_call *call; /* NULL: free */
  uint64_t hash;           /* of the key */
  char *deleted;           /* the key of a deletion, a malloc block; else NULL */
  unsigned tries;          /* of a deletion, this one included */
  struct write *next_free;
};

struct writebehind {
  struct fleet *fleet;
  struct writebehind_options options;
  struct backlog *backlog;
  struct stats *stats;
  struct random random;
  struct seen seen;
  int64_t paused_until_ms; /* 0: the last answer was good */
  size_t sent_count;
  struct write *free;
  struct write writes[]; /* options.max_sent */
};

struct writebehind *writebehind_create(struct fleet *fleet, const struct writebehind_options *options,
                                       struct stats *stats) {
  struct writebehind *writebehind =
      calloc(1, sizeof(*writebehind) + options->max_sent * sizeof(struct write));
  if (!writebehind)
    return NULL;
  writebehind->fleet = fleet;
  writebehind->options = *options;
  writebehind->stats = stats;
  random_init(&writebehind->random);
  for (size_t i = 0; i < options->max_sent; i++) {
    writebehind->writes[i].owner = writebehind;
    writebehind->writes[i].next_free = writebehind->free;
    writebehind->free = &writebehind->writes[i];
  }
  writebehind->backlog = backlog_create(options->max_count, WRITEBEHIND_BYTES);
  if (!writebehind->backlog) {
    free(writebehind);
    return NULL;
  }
  return writebehind;
}

static void end_write(struct write *write) {
  if (write->call)
    fleet_cancel(write->call);
  free(write->deleted);
}

void writebehind_destroy(struct writebehind *writebehind) {
  if (!writebehind)
    return;
  for (size_t i = 0; i < writebehind->options.max_sent; i++)
    end_write(&writebehind->writes[i]);
  backlog_destroy(writebehind->backlog);
  free(writebehind);
}

/* ---- waiting ---- */

static void count_drops(const struct writebehind *writebehind, size_t count) {
  while (count-- > 0)
    stats_add(writebehind->stats, STATS_STORE_WRITES_DROPPED);
}

/* Returns whether it waits. */
static bool put(struct writebehind *writebehind, const struct backlog_entry *entry) {
  size_t dropped = 0;
  bool is_put = backlog_put(writebehind->backlog, entry, &dropped);
  count_drops(writebehind, dropped + !is_put);
  return is_put;
}

/* When facts are of no use any more, to nobody. */
static int64_t end_of(const struct record *record) {
  int64_t end_ms = record->stale_until_ms;
  if (record->kind == RECORD_DOMAIN)
    return record->domain.expires_at_ms > end_ms ? record->domain.expires_at_ms : end_ms;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if (record->families[family].expires_at_ms > end_ms)
      end_ms = record->families[family].expires_at_ms;
  return end_ms;
}

bool writebehind_put(struct writebehind *writebehind, const char *key, const struct record *record,
                     const struct image_time *time) {
  uint8_t value[RECORD_MAX];
  size_t length = record_pack(value, record, key, writebehind->options.seal, time);
  uint64_t hash = name_hash(key, strlen(key));
  if (length == 0)
    return false;
  if (seen_has(&writebehind->seen, hash, record, time->now_ms)) {
    stats_add(writebehind->stats, STATS_STORE_WRITES_SAME);
    return true;
  }
  int64_t life_ms = end_of(record) - time->now_ms;
  const struct backlog_entry entry = {.key = key,
                                      .key_length = strlen(key),
                                      .value = value,
                                      .value_length = length,
                                      .until_wall_ms =
                                          time->wall_ms + (life_ms < life_most_ms ? life_ms : life_most_ms)};
  if (put(writebehind, &entry))
    seen_put(&writebehind->seen, hash, record);
  return true;
}

/* Among what waits, no octets stand for a deletion: no value is empty. */
static void put_deletion(struct writebehind *writebehind, const char *key, unsigned tries) {
  const struct backlog_entry entry = {.key = key,
                                      .key_length = strlen(key),
                                      .value = (const uint8_t *)"",
                                      .until_wall_ms = INT64_MAX,
                                      .tries = tries};
  put(writebehind, &entry);
}

void writebehind_remove(struct writebehind *writebehind, const char *key) {
  seen_remove(&writebehind->seen, name_hash(key, strlen(key)));
  put_deletion(writebehind, key, 0);
}

void writebehind_saw(struct writebehind *writebehind, const char *key, const struct record *record) {
  uint64_t hash = name_hash(key, strlen(key));
  if (record)
    seen_put(&writebehind->seen, hash, record);
  else
    seen_remove(&writebehind->seen, hash);
}

void writebehind_forget(struct writebehind *writebehind) {
  memset(&writebehind->seen, 0, sizeof(writebehind->seen));
}

size_t writebehind_count(const struct writebehind *writebehind) {
  return backlog_count(writebehind->backlog);
}

size_t writebehind_bytes(const struct writebehind *writebehind) {
  return backlog_bytes(writebehind->backlog);
}

/* ---- sending ---- */

static void free_write(struct write *write) {
  struct writebehind *writebehind = write->owner;
  write->call = NULL;
  free(write->deleted);
  write->deleted = NULL;
  write->next_free = writebehind->free;
  writebehind->free = write;
  writebehind->sent_count--;
}

/* A deletion that has failed: somebody has asked for it. */
static void try_again(const struct write *write) {
  struct writebehind *writebehind = write->owner;
  if (write->tries < WRITEBEHIND_TRIES &&
      !backlog_has(writebehind->backlog, write->deleted, strlen(write->deleted)))
    put_deletion(writebehind, write->deleted, write->tries);
}

static void on_reply(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct write *write = context;
  struct writebehind *writebehind = write->owner;
  bool is_error = reply && reply->type == REDIS_REPLY_ERROR, has_failed = is_error || !reply;
  if (has_failed && write->deleted)
    try_again(write);
  free_write(write);
  if (is_error)
    writebehind->paused_until_ms = now_ms + WRITEBEHIND_PAUSE_MS;
  else if (reply)
    writebehind->paused_until_ms = 0;
  if (has_failed)
    seen_remove(&writebehind->seen, write->hash);
  stats_add(writebehind->stats, has_failed ? STATS_STORE_WRITES_FAILED : STATS_STORE_WRITES);
}

/* The life that a key gets, with its jitter; 0 where it is over. */
static int64_t life_of(struct writebehind *writebehind, const struct backlog_entry *entry, int64_t wall_ms) {
  int64_t life_ms = entry->until_wall_ms - wall_ms;
  if (life_ms <= 0)
    return 0;
  int64_t most = life_ms / WRITEBEHIND_JITTER < INT32_MAX ? life_ms / WRITEBEHIND_JITTER : INT32_MAX;
  life_ms -= random_below(&writebehind->random, (uint32_t)most + 1);
  return life_ms > WRITEBEHIND_LIFE_LEAST_MS ? life_ms : WRITEBEHIND_LIFE_LEAST_MS;
}

/* Sends one command. Returns 0, or as fleet_send. */
static int send_command(struct writebehind *writebehind, const struct backlog_entry *entry,
                        const struct link_command *command) {
  struct write *write = writebehind->free;
  struct fleet_call *call = NULL;
  int error = fleet_send(writebehind->fleet, FLEET_WRITE, entry->key, entry->key_length, command,
                         writebehind->options.timeout_ms, on_reply, write, &call);
  if (error != 0)
    return error;
  writebehind->free = write->next_free;
  write->call = call;
  write->hash = name_hash(entry->key, entry->key_length);
  writebehind->sent_count++;
  return 0;
}

static int send_deletion(struct writebehind *writebehind, const struct backlog_entry *entry) {
  const struct link_command command = {
      .count = 2, .words = {"DEL", entry->key}, .lengths = {3, entry->key_length}};
  struct write *write = writebehind->free;
  char *key = strndup(entry->key, entry->key_length);
  if (!key)
    return ERR_NOMEM;
  int error = send_command(writebehind, entry, &command);
  if (error != 0) {
    free(key);
    return error;
  }
  write->deleted = key;
  write->tries = entry->tries + 1;
  return 0;
}

static int send_value(struct writebehind *writebehind, const struct backlog_entry *entry, int64_t life_ms) {
  char life[LIFE_TEXT_SIZE];
  size_t life_length = (size_t)snprintf(life, sizeof(life), "%" PRId64, life_ms);
  const struct link_command command = {
      .count = 5,
      .words = {"SET", entry->key, (const char *)entry->value, "PX", life},
      .lengths = {3, entry->key_length, entry->value_length, 2, life_length}};
  return send_command(writebehind, entry, &command);
}

static void drop(struct writebehind *writebehind, const struct backlog_entry *entry) {
  seen_remove(&writebehind->seen, name_hash(entry->key, entry->key_length));
  count_drops(writebehind, 1);
}

/* Sends or drops the oldest. False: it waits on, and so does all behind it. */
static bool send_oldest(struct writebehind *writebehind, int64_t wall_ms) {
  struct backlog_entry entry;
  if (!backlog_first(writebehind->backlog, &entry))
    return false;
  int64_t life_ms = life_of(writebehind, &entry, wall_ms);
  int error = 0;
  if (entry.value_length == 0)
    error = send_deletion(writebehind, &entry);
  else if (life_ms > 0)
    error = send_value(writebehind, &entry, life_ms);
  else
    drop(writebehind, &entry);
  if (error != 0 && (error != ERR_NETWORK || !fleet_is_up(writebehind->fleet, FLEET_WRITE)))
    return false;
  if (error != 0) /* of several servers that of its key is away: the others need not wait for it */
    drop(writebehind, &entry);
  backlog_take(writebehind->backlog, &entry);
  return true;
}

static bool may_send(const struct writebehind *writebehind, int64_t now_ms) {
  size_t most = writebehind->paused_until_ms ? 1 : writebehind->options.max_sent;
  return now_ms >= writebehind->paused_until_ms && writebehind->sent_count < most;
}

void writebehind_run(struct writebehind *writebehind, const struct image_time *time) {
  if (backlog_count(writebehind->backlog) == 0 || !fleet_is_up(writebehind->fleet, FLEET_WRITE))
    return;
  while (may_send(writebehind, time->now_ms) && send_oldest(writebehind, time->wall_ms))
    continue;
  bool is_paused = writebehind->paused_until_ms > 0 && writebehind->sent_count == 0;
  if (is_paused && writebehind->paused_until_ms <= time->now_ms) /* nothing could be tried */
    writebehind->paused_until_ms = time->now_ms + WRITEBEHIND_PAUSE_MS;
}

int64_t writebehind_next_ms(const struct writebehind *writebehind) {
  bool is_due = writebehind->paused_until_ms > 0 && writebehind->sent_count == 0 &&
                backlog_count(writebehind->backlog) > 0 && fleet_is_up(writebehind->fleet, FLEET_WRITE);
  return is_due ? writebehind->paused_until_ms : INT64_MAX;
}
