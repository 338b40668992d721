#include "counts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct pair {
  uint64_t key; /* 0: free */
  uint64_t count;
};

struct counts {
  uint64_t values[COUNT_COUNT];
  size_t capacity; /* a power of two, filled to three quarters at most */
  struct pair *pairs;
};

static const char *const names[] = {
#define COUNT_NAME(id, name) name,
    COUNTS(COUNT_NAME)
#undef COUNT_NAME
};

static const struct {
  uint16_t type;
  enum count count;
} types[] = {{TYPE_A, COUNT_TYPE_A},    {TYPE_AAAA, COUNT_TYPE_AAAA},   {TYPE_MX, COUNT_TYPE_MX},
             {TYPE_NS, COUNT_TYPE_NS},  {TYPE_CNAME, COUNT_TYPE_CNAME}, {TYPE_SOA, COUNT_TYPE_SOA},
             {TYPE_TXT, COUNT_TYPE_TXT}};

enum { TYPE_COUNT = sizeof(types) / sizeof(types[0]), PAIRS_AT_FIRST = 4096 };

struct counts *counts_create(void) {
  struct counts *counts = calloc(1, sizeof(*counts));
  if (!counts)
    return NULL;
  counts->capacity = PAIRS_AT_FIRST;
  counts->pairs = calloc(counts->capacity, sizeof(struct pair));
  if (!counts->pairs) {
    free(counts);
    return NULL;
  }
  return counts;
}

void counts_destroy(struct counts *counts) {
  if (!counts)
    return;
  free(counts->pairs);
  free(counts);
}

void counts_add(struct counts *counts, enum count count) { counts->values[count]++; }

/* The place of `key`, or the free one it would take. */
static struct pair *place_of(const struct counts *counts, uint64_t key) {
  size_t at = key & (counts->capacity - 1);
  while (counts->pairs[at].key != 0 && counts->pairs[at].key != key)
    at = (at + 1) & (counts->capacity - 1);
  return &counts->pairs[at];
}

static bool grow(struct counts *counts) {
  struct counts wider = {.capacity = counts->capacity * 2};
  wider.pairs = calloc(wider.capacity, sizeof(struct pair));
  if (!wider.pairs)
    return false;
  for (size_t i = 0; i < counts->capacity; i++)
    if (counts->pairs[i].key != 0)
      *place_of(&wider, counts->pairs[i].key) = counts->pairs[i];
  free(counts->pairs);
  counts->pairs = wider.pairs;
  counts->capacity = wider.capacity;
  return true;
}

static uint64_t key_of(uint64_t name_hash, uint16_t type) {
  uint64_t key = dname_mix(name_hash, type);
  return key ? key : 1;
}

static enum count count_of(uint16_t type) {
  for (size_t i = 0; i < TYPE_COUNT; i++)
    if (types[i].type == type)
      return types[i].count;
  return COUNT_TYPE_OTHER;
}

uint64_t counts_add_query(struct counts *counts, uint64_t name_hash, uint16_t type, bool is_tcp) {
  counts_add(counts, COUNT_TOTAL);
  counts_add(counts, is_tcp ? COUNT_TCP : COUNT_UDP);
  counts_add(counts, count_of(type));
  uint64_t key = key_of(name_hash, type);
  struct pair *pair = place_of(counts, key);
  if (pair->key == 0) {
    bool has_room = counts->values[COUNT_PAIRS] < counts->capacity / 4 * 3;
    if (counts->values[COUNT_PAIRS] >= COUNTS_PAIRS_MAX || (!has_room && !grow(counts))) {
      counts_add(counts, COUNT_OVERFLOW);
      return counts->values[COUNT_TOTAL];
    }
    pair = place_of(counts, key);
    pair->key = key;
    counts_add(counts, COUNT_PAIRS);
  }
  return pair->count++;
}

uint64_t counts_get(const struct counts *counts, enum count count) { return counts->values[count]; }

uint64_t counts_get_query(const struct counts *counts, uint64_t name_hash, uint16_t type) {
  uint64_t sum = 0;
  if (type != 0)
    return place_of(counts, key_of(name_hash, type))->count;
  for (size_t i = 0; i < TYPE_COUNT; i++)
    sum += place_of(counts, key_of(name_hash, types[i].type))->count;
  return sum;
}

void counts_reset(struct counts *counts) {
  memset(counts->values, 0, sizeof(counts->values));
  memset(counts->pairs, 0, counts->capacity * sizeof(struct pair));
}

enum count counts_parse(const char *name) {
  size_t count = 0;
  while (count < COUNT_COUNT && strcmp(names[count], name) != 0)
    count++;
  return (enum count)count;
}

void counts_print(const struct counts *counts, FILE *out) {
  for (size_t i = 0; i < COUNT_COUNT; i++)
    fprintf(out, "counter %s %" PRIu64 "\n", names[i], counts->values[i]);
}
