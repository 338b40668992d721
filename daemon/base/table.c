#include "base/table.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"

enum { FIRST_CAPACITY = 64, MOVES_OF_PUT = 4 };

static struct table_node **bucket(const struct table *table, uint64_t hash) {
  size_t old_index = hash & (table->capacity / 2 - 1);
  if (table->old && old_index >= table->moved)
    return &table->old[old_index];
  return &table->buckets[hash & (table->capacity - 1)];
}

int table_init(struct table *table) {
  table->buckets = calloc(FIRST_CAPACITY, sizeof(struct table_node *));
  if (!table->buckets)
    return ERR_NOMEM;
  table->capacity = FIRST_CAPACITY;
  table->count = table->moved = 0;
  table->old = NULL;
  return 0;
}

void table_fini(struct table *table) {
  free(table->buckets);
  free(table->old);
  *table = (struct table){0};
}

struct table_node *table_get(const struct table *table, uint64_t hash, table_match_fn *match,
                             const void *key) {
  for (struct table_node *node = *bucket(table, hash); node; node = node->next)
    if (node->hash == hash && match(node, key))
      return node;
  return NULL;
}

static void grow(struct table *table) {
  struct table_node **buckets = calloc(2 * table->capacity, sizeof(struct table_node *));
  if (!buckets)
    return;
  table->old = table->buckets;
  table->buckets = buckets;
  table->capacity *= 2;
  table->moved = 0;
}

/* Moves the nodes of the next old bucket. */
static void move_on(struct table *table) {
  struct table_node *node = table->old[table->moved++], *next;
  for (; node; node = next) {
    next = node->next;
    struct table_node **place = &table->buckets[node->hash & (table->capacity - 1)];
    node->next = *place;
    *place = node;
  }
  if (table->moved < table->capacity / 2)
    return;
  free(table->old);
  table->old = NULL;
}

void table_put(struct table *table, struct table_node *node, uint64_t hash) {
  for (int i = 0; i < MOVES_OF_PUT && table->old; i++)
    move_on(table);
  if (table->count >= table->capacity && !table->old)
    grow(table);
  struct table_node **place = bucket(table, hash);
  node->hash = hash;
  node->next = *place;
  *place = node;
  table->count++;
}

void table_remove(struct table *table, struct table_node *node) {
  struct table_node **link = bucket(table, node->hash);
  while (*link && *link != node)
    link = &(*link)->next;
  assert(*link);
  *link = node->next;
  table->count--;
}

struct table_node *table_any(const struct table *table, size_t *at) {
  for (; *at < table->capacity; ++*at)
    if (table->buckets[*at])
      return table->buckets[*at];
  for (size_t i; table->old && (i = *at - table->capacity) < table->capacity / 2; ++*at)
    if (i >= table->moved && table->old[i])
      return table->old[i];
  return NULL;
}

size_t table_bytes(const struct table *table) {
  return (table->capacity + (table->old ? table->capacity / 2 : 0)) * sizeof(struct table_node *);
}
