/*
 * shardmap: which server of a Redis Cluster has a key.
 *
 * The hash slot of a key (CRC16 of the key, or of its {tag}), the servers that have the slots, and what
 * servers say of both: the reply to CLUSTER SLOTS, and the errors MOVED and ASK. Only the masters count.
 *
 * Pure. What servers say is checked and bounded: a reply that breaks its form changes nothing.
 * Invariant: node_count <= SHARDMAP_NODES_MAX, and owners[slot] <= node_count.
 */
#ifndef MXWAY_DAEMON_SHARDMAP_H
#define MXWAY_DAEMON_SHARDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHARDMAP_SLOTS = 16384, SHARDMAP_NODES_MAX = 128, SHARDMAP_HOST_SIZE = 256 };

struct redisReply;

/* A server as the cluster names it. */
struct shardmap_node {
  char host[SHARDMAP_HOST_SIZE]; /* an address or a name, no brackets */
  uint16_t port;                 /* 1 to 65535 */
};

/* Zeroed it is the map that knows nothing. */
struct shardmap {
  struct shardmap_node nodes[SHARDMAP_NODES_MAX];
  size_t node_count;
  size_t slot_count;              /* slots that have an owner */
  uint8_t owners[SHARDMAP_SLOTS]; /* 0: nobody that is known; else 1 + the place of the owner in `nodes` */
};

/* What MOVED or ASK says. */
struct shardmap_move {
  bool is_ask; /* ask there this once; else the slot is there from now on */
  uint16_t slot;
  struct shardmap_node to;
};

/* The slot of a key, 0 to SHARDMAP_SLOTS - 1: where the key has a '{' and a '}' somewhere behind it, and
 * something between the first of each, that alone counts. */
uint16_t shardmap_slot(const char *key, size_t length);

/* Reads the reply of the server `asked` to CLUSTER SLOTS. A server without a host in it (null or "") is at
 * the host that was asked; one whose host is "?" is not known, and its slots are nobody's. Returns 0 and
 * gives `*map`, ERR_MALFORMED (a slot that has two masters, too), or ERR_TOO_LARGE where there are more than
 * SHARDMAP_NODES_MAX masters; then `*map` is as before. */
int shardmap_parse(const struct redisReply *reply, const struct shardmap_node *asked, struct shardmap *map);

/* The place of the owner of `slot` in `nodes`, or -1. Requires slot < SHARDMAP_SLOTS. */
int shardmap_owner(const struct shardmap *map, uint16_t slot);

/* `node` has `slot` from now on. Returns its place in `nodes`, or ERR_TOO_LARGE where there is no room for
 * one more. */
int shardmap_set(struct shardmap *map, uint16_t slot, const struct shardmap_node *node);

/* Reads "MOVED 3999 host:port" or "ASK 3999 host:port", the text of an error of the server `asked`, at whose
 * host the new one is where none is named. False for anything else. */
bool shardmap_move_parse(const char *text, size_t length, const struct shardmap_node *asked,
                         struct shardmap_move *move);

#endif
