#include "store/backlog.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/random.h"
#include "base/table.h"

/* Of an entry, beside itself: what the allocator adds, and its part of the table's buckets while that grows.
 */
enum { OVERHEAD_BYTES = 16 + 3 * sizeof(void *) };

struct node {
  struct table_node node;
  struct node *newer, *older;
  int64_t until_wall_ms;
  unsigned tries;
  size_t key_length, value_length;
  uint8_t bytes[]; /* the key, then the value */
};

struct backlog {
  struct table by_key;
  struct node *newest, *oldest;
  struct node *taken; /* lent; in neither list nor table */
  size_t max_count, max_bytes, bytes;
  uint64_t seed; /* keys hold names that strangers choose */
};

struct key {
  const void *bytes;
  size_t length;
};

static bool has_key(const struct table_node *node, const void *context) {
  const struct node *own = (const struct node *)node;
  const struct key *key = context;
  return own->key_length == key->length && memcmp(own->bytes, key->bytes, key->length) == 0;
}

static uint64_t hash_of(const struct backlog *backlog, const void *key, size_t length) {
  return digest_64(key, length, backlog->seed);
}

static struct node *find(const struct backlog *backlog, const void *key, size_t length) {
  const struct key looked_for = {key, length};
  return (struct node *)table_get(&backlog->by_key, hash_of(backlog, key, length), has_key, &looked_for);
}

static size_t bytes_of(size_t key_length, size_t value_length) {
  return sizeof(struct node) + OVERHEAD_BYTES + key_length + value_length;
}

/* ---- the order ---- */

static void link_before(struct backlog *backlog, struct node *node, struct node *newer) {
  node->newer = newer;
  node->older = newer ? newer->older : backlog->newest;
  *(node->newer ? &node->newer->older : &backlog->newest) = node;
  *(node->older ? &node->older->newer : &backlog->oldest) = node;
  table_put(&backlog->by_key, &node->node, hash_of(backlog, node->bytes, node->key_length));
  backlog->bytes += bytes_of(node->key_length, node->value_length);
}

static void unlink_node(struct backlog *backlog, struct node *node) {
  *(node->newer ? &node->newer->older : &backlog->newest) = node->older;
  *(node->older ? &node->older->newer : &backlog->oldest) = node->newer;
  table_remove(&backlog->by_key, &node->node);
  backlog->bytes -= bytes_of(node->key_length, node->value_length);
}

static void forget_taken(struct backlog *backlog) {
  free(backlog->taken);
  backlog->taken = NULL;
}

/* ---- the room ---- */

struct backlog *backlog_create(size_t max_count, size_t max_bytes) {
  struct backlog *backlog = calloc(1, sizeof(*backlog));
  if (!backlog)
    return NULL;
  if (table_init(&backlog->by_key) != 0) {
    free(backlog);
    return NULL;
  }
  backlog->max_count = max_count;
  backlog->max_bytes = max_bytes;
  random_bytes(&backlog->seed, sizeof(backlog->seed));
  return backlog;
}

void backlog_destroy(struct backlog *backlog) {
  if (!backlog)
    return;
  forget_taken(backlog);
  for (struct node *node = backlog->oldest, *newer; node; node = newer) {
    newer = node->newer;
    free(node);
  }
  table_fini(&backlog->by_key);
  free(backlog);
}

static struct node *copy(const struct backlog_entry *entry) {
  struct node *node = malloc(sizeof(*node) + entry->key_length + entry->value_length);
  if (!node)
    return NULL;
  node->until_wall_ms = entry->until_wall_ms;
  node->tries = entry->tries;
  node->key_length = entry->key_length;
  node->value_length = entry->value_length;
  memcpy(node->bytes, entry->key, entry->key_length);
  if (entry->value_length > 0)
    memcpy(node->bytes + entry->key_length, entry->value, entry->value_length);
  return node;
}

/* Drops the oldest but `kept` until what is left is within the bounds. Returns how many. */
static size_t make_room(struct backlog *backlog, const struct node *kept) {
  size_t dropped = 0;
  while (backlog->by_key.count > backlog->max_count || backlog->bytes > backlog->max_bytes) {
    struct node *node = backlog->oldest == kept ? kept->newer : backlog->oldest;
    unlink_node(backlog, node);
    free(node);
    dropped++;
  }
  return dropped;
}

bool backlog_put(struct backlog *backlog, const struct backlog_entry *entry, size_t *dropped) {
  if (dropped)
    *dropped = 0;
  if (backlog->max_count == 0 || entry->key_length > backlog->max_bytes ||
      entry->value_length > backlog->max_bytes ||
      bytes_of(entry->key_length, entry->value_length) > backlog->max_bytes)
    return false;
  struct node *node = copy(entry);
  if (!node)
    return false;
  struct node *earlier = find(backlog, node->bytes, node->key_length), *newer = NULL;
  if (earlier) {
    newer = earlier->newer;
    unlink_node(backlog, earlier);
    free(earlier);
  }
  link_before(backlog, node, newer);
  size_t count = make_room(backlog, node);
  if (dropped)
    *dropped = count;
  return true;
}

static void lend(const struct node *node, struct backlog_entry *entry) {
  *entry = (struct backlog_entry){.key = (const char *)node->bytes,
                                  .key_length = node->key_length,
                                  .value = node->bytes + node->key_length,
                                  .value_length = node->value_length,
                                  .until_wall_ms = node->until_wall_ms,
                                  .tries = node->tries};
}

bool backlog_first(const struct backlog *backlog, struct backlog_entry *entry) {
  if (!backlog->oldest)
    return false;
  lend(backlog->oldest, entry);
  return true;
}

bool backlog_take(struct backlog *backlog, struct backlog_entry *entry) {
  struct node *node = backlog->oldest;
  forget_taken(backlog);
  if (!node)
    return false;
  unlink_node(backlog, node);
  backlog->taken = node;
  lend(node, entry);
  return true;
}

bool backlog_has(const struct backlog *backlog, const char *key, size_t key_length) {
  return find(backlog, key, key_length) != NULL;
}

size_t backlog_count(const struct backlog *backlog) { return backlog->by_key.count; }

size_t backlog_bytes(const struct backlog *backlog) { return backlog->bytes; }
