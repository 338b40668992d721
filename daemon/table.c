#include "table.h"

#include <assert.h>
#include <stdlib.h>

#include "error.h"

enum { FIRST_CAPACITY = 64 };

static struct table_node **bucket(const struct table *table, uint64_t hash) {
  return &table->buckets[hash & (table->capacity - 1)];
}

int table_init(struct table *table) {
  table->buckets = calloc(FIRST_CAPACITY, sizeof(struct table_node *));
  if (!table->buckets)
    return ERR_NOMEM;
  table->capacity = FIRST_CAPACITY;
  table->count = 0;
  return 0;
}

void table_fini(struct table *table) {
  free(table->buckets);
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
  struct table larger = {.capacity = 2 * table->capacity, .count = table->count};
  larger.buckets = calloc(larger.capacity, sizeof(struct table_node *));
  if (!larger.buckets)
    return;
  for (size_t i = 0; i < table->capacity; i++)
    for (struct table_node *node = table->buckets[i], *next; node; node = next) {
      next = node->next;
      struct table_node **place = bucket(&larger, node->hash);
      node->next = *place;
      *place = node;
    }
  free(table->buckets);
  *table = larger;
}

void table_put(struct table *table, struct table_node *node, uint64_t hash) {
  if (table->count >= table->capacity)
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

size_t table_bytes(const struct table *table) { return table->capacity * sizeof(struct table_node *); }
