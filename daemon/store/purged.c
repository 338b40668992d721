#include "store/purged.h"

#include <stdlib.h>
#include <string.h>

#include "base/table.h"

/* A name that was purged. */
struct mark {
  struct table_node node; /* first: a node is its mark */
  struct mark *older, *newer;
  uint64_t generation;
  enum purge_what what;
  uint8_t length;
  char name[];
};

struct purged {
  struct table marks;
  struct mark *oldest, *newest;
  uint64_t floor;    /* what is older has been purged */
  uint64_t negative; /* denials that are older have */
  uint64_t last;     /* nothing has that is not older */
};

struct wanted {
  enum purge_what what;
  const char *name;
  size_t length;
};

static uint64_t greater(uint64_t one, uint64_t other) { return one > other ? one : other; }

/* ---- names ---- */

static bool is_wanted(const struct table_node *node, const void *key) {
  const struct mark *mark = (const struct mark *)node;
  const struct wanted *wanted = key;
  return mark->what == wanted->what && mark->length == wanted->length &&
         memcmp(mark->name, wanted->name, wanted->length) == 0;
}

/* Kinds of one name are apart. */
static uint64_t hash_of(const struct wanted *wanted) {
  return name_hash(wanted->name, wanted->length) + wanted->what * UINT64_C(0x9e3779b97f4a7c15);
}

static struct mark *find(const struct purged *purged, const struct wanted *wanted) {
  return (struct mark *)table_get(&purged->marks, hash_of(wanted), is_wanted, wanted);
}

static void unlink_mark(struct purged *purged, struct mark *mark) {
  *(mark->older ? &mark->older->newer : &purged->oldest) = mark->newer;
  *(mark->newer ? &mark->newer->older : &purged->newest) = mark->older;
}

static void link_newest(struct purged *purged, struct mark *mark) {
  mark->newer = NULL;
  mark->older = purged->newest;
  *(purged->newest ? &purged->newest->newer : &purged->oldest) = mark;
  purged->newest = mark;
}

static void free_oldest(struct purged *purged) {
  struct mark *mark = purged->oldest;
  unlink_mark(purged, mark);
  table_remove(&purged->marks, &mark->node);
  free(mark);
}

static void put_mark(struct purged *purged, const struct wanted *wanted, uint64_t generation) {
  struct mark *mark = find(purged, wanted);
  if (mark) {
    unlink_mark(purged, mark);
    link_newest(purged, mark);
    mark->generation = greater(mark->generation, generation);
    return;
  }
  if (purged->marks.count == PURGED_NAMES_MAX) {
    purged->floor = greater(purged->floor, purged->oldest->generation);
    free_oldest(purged);
  }
  mark = malloc(sizeof(*mark) + wanted->length);
  if (!mark) {
    purged->floor = greater(purged->floor, generation);
    return;
  }
  mark->generation = generation;
  mark->what = wanted->what;
  mark->length = (uint8_t)wanted->length;
  memcpy(mark->name, wanted->name, wanted->length);
  link_newest(purged, mark);
  table_put(&purged->marks, &mark->node, hash_of(wanted));
}

void purged_put_name(struct purged *purged, enum purge_what what, const struct name *name,
                     uint64_t generation) {
  switch (what) {
  case PURGE_OF_DOMAIN:
  case PURGE_OF_SUFFIX:
  case PURGE_OF_EXCHANGE:
    put_mark(purged, &(struct wanted){what, name->text, name->length}, generation);
    break;
  case PURGE_OF_NEGATIVE:
    purged->negative = greater(purged->negative, generation);
    break;
  case PURGE_OF_ALL:
    purged->floor = greater(purged->floor, generation);
    break;
  case PURGE_OF_FAILURES:
    return;
  }
  purged->last = greater(purged->last, generation);
}

void purged_put(struct purged *purged, const struct notice *notice, uint64_t generation) {
  struct name name;
  size_t at = 0;
  if (notice->is_beginning)
    return;
  if (notice->what > PURGE_OF_EXCHANGE)
    purged_put_name(purged, notice->what, NULL, generation);
  while (notice_next(notice, &at, &name))
    purged_put_name(purged, notice->what, &name, generation);
}

/* ---- records ---- */

/* Whether a purge after `generation` was of that. */
static bool has_mark(const struct purged *purged, enum purge_what what, const char *name, size_t length,
                     uint64_t generation) {
  const struct mark *mark = find(purged, &(struct wanted){what, name, length});
  return mark && mark->generation > generation;
}

static bool is_below_suffix(const struct purged *purged, const struct record *record, size_t length) {
  for (const char *at = record->name; at; at = strchr(at, '.')) {
    at += *at == '.';
    if (has_mark(purged, PURGE_OF_SUFFIX, at, length - (size_t)(at - record->name), record->generation))
      return true;
  }
  return false;
}

static bool has_exchange(const struct purged *purged, const struct record *record, size_t length) {
  if (record->kind == RECORD_HOST)
    return has_mark(purged, PURGE_OF_EXCHANGE, record->name, length, record->generation);
  for (uint16_t i = 0; i < record->domain.count; i++) {
    const char *host = record->domain.exchanges[i].host;
    if (has_mark(purged, PURGE_OF_EXCHANGE, host, strlen(host), record->generation))
      return true;
  }
  return false;
}

static bool is_denial(const struct record *record) {
  if (record->kind == RECORD_DOMAIN)
    return record->domain.kind == DOMAIN_NODATA || record->domain.kind == DOMAIN_NXDOMAIN;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    if (record->families[family].state == FAMILY_NODATA || record->families[family].state == FAMILY_NXDOMAIN)
      return true;
  return false;
}

bool purged_has(const struct purged *purged, const struct record *record) {
  if (record->generation < purged->floor)
    return true;
  if (record->generation >= purged->last)
    return false;
  size_t length = strlen(record->name);
  return (record->generation < purged->negative && is_denial(record)) ||
         has_mark(purged, PURGE_OF_DOMAIN, record->name, length, record->generation) ||
         is_below_suffix(purged, record, length) || has_exchange(purged, record, length);
}

/* ---- the room ---- */

struct purged *purged_create(void) {
  struct purged *purged = calloc(1, sizeof(*purged));
  if (purged && table_init(&purged->marks) == 0)
    return purged;
  free(purged);
  return NULL;
}

void purged_destroy(struct purged *purged) {
  if (!purged)
    return;
  while (purged->oldest)
    free_oldest(purged);
  table_fini(&purged->marks);
  free(purged);
}

void purged_reset(struct purged *purged, uint64_t floor) {
  while (purged->oldest)
    free_oldest(purged);
  purged->floor = floor;
  purged->negative = purged->last = 0;
}

static uint64_t lesser(uint64_t one, uint64_t other) { return one < other ? one : other; }

void purged_lower(struct purged *purged, uint64_t most) {
  for (struct mark *mark = purged->oldest; mark; mark = mark->newer)
    mark->generation = lesser(mark->generation, most);
  purged->floor = lesser(purged->floor, most);
  purged->negative = lesser(purged->negative, most);
  purged->last = lesser(purged->last, most);
}

size_t purged_count(const struct purged *purged) { return purged->marks.count; }
