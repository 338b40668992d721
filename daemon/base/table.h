/*
 * table: a hash table of nodes that live inside the caller's objects, for one
 * thread.
 *
 * Chained; doubles at a load of one. It never stops to do so: each node that is put moves four of the old
 * buckets. The hash is the caller's and should be keyed where strangers choose the names.
 */
#ifndef MXWAY_DAEMON_TABLE_H
#define MXWAY_DAEMON_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_node {
  struct table_node *next;
  uint64_t hash;
};

struct table {
  struct table_node **buckets;
  size_t capacity, count;  /* capacity is a power of two */
  struct table_node **old; /* half as many, or NULL; nodes of those below `moved` are in `buckets` */
  size_t moved;
};

/* Whether `node` is the one looked for. */
typedef bool table_match_fn(const struct table_node *node, const void *key);

/* Returns 0 or ERR_NOMEM. */
int table_init(struct table *table);

/* Frees the buckets, not the nodes. */
void table_fini(struct table *table);

/* The node with `hash` that `match` accepts, or NULL. */
struct table_node *table_get(const struct table *table, uint64_t hash, table_match_fn *match,
                             const void *key);

/* Adds `node`, lent until removed. Never fails: a table that cannot grow gets
 * longer chains. */
void table_put(struct table *table, struct table_node *node, uint64_t hash);

/* Removes `node`, which is in the table. */
void table_remove(struct table *table, struct table_node *node);

/* Some node, or NULL in an empty table: for who removes each that it gets, and puts none meanwhile. `*at`,
 * how far it has looked, is 0 at first. */
struct table_node *table_any(const struct table *table, size_t *at);

/* Octets of the buckets. */
size_t table_bytes(const struct table *table);

#endif
