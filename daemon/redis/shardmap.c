#include "redis/shardmap.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <string.h>

#include "base/error.h"

/* CRC-16/XMODEM, four bits at a time: polynomial 0x1021, which begins with 0. */
static uint16_t crc16(const char *octets, size_t length) {
  static const uint16_t remainders[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
                                          0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
  unsigned crc = 0;
  for (size_t i = 0; i < length; i++) {
    unsigned octet = (uint8_t)octets[i];
    crc = (crc << 4 & 0xffff) ^ remainders[crc >> 12 ^ octet >> 4];
    crc = (crc << 4 & 0xffff) ^ remainders[crc >> 12 ^ (octet & 15)];
  }
  return (uint16_t)crc;
}

uint16_t shardmap_slot(const char *key, size_t length) {
  const char *open = memchr(key, '{', length);
  if (open) {
    const char *tag = open + 1;
    const char *close = memchr(tag, '}', length - (size_t)(tag - key));
    if (close && close > tag) {
      key = tag;
      length = (size_t)(close - tag);
    }
  }
  return crc16(key, length) % SHARDMAP_SLOTS;
}

/* ---- nodes ---- */

/* A host as a server wrote it; a null one is "". False where it is too long or no text. */
static bool set_host(const char *host, size_t length, const struct shardmap_node *asked,
                     struct shardmap_node *node) {
  if (length == 0) {
    host = asked->host;
    length = strlen(asked->host);
  }
  if (length >= sizeof(node->host) || memchr(host, '\0', length))
    return false;
  memcpy(node->host, host, length);
  node->host[length] = '\0';
  return true;
}

static bool is_same(const struct shardmap_node *a, const struct shardmap_node *b) {
  return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* The place of `node`, which is added where it is new; or ERR_TOO_LARGE. */
static int place_of(struct shardmap *map, const struct shardmap_node *node) {
  for (size_t i = map->node_count; i-- > 0;) /* a server's ranges tend to follow each other */
    if (is_same(&map->nodes[i], node))
      return (int)i;
  if (map->node_count == SHARDMAP_NODES_MAX)
    return ERR_TOO_LARGE;
  map->nodes[map->node_count] = *node;
  return (int)map->node_count++;
}

static void give(struct shardmap *map, uint16_t slot, int place) {
  map->slot_count += map->owners[slot] == 0;
  map->owners[slot] = (uint8_t)(1 + place);
}

int shardmap_owner(const struct shardmap *map, uint16_t slot) {
  assert(slot < SHARDMAP_SLOTS);
  return map->owners[slot] - 1;
}

int shardmap_set(struct shardmap *map, uint16_t slot, const struct shardmap_node *node) {
  assert(slot < SHARDMAP_SLOTS);
  int place = place_of(map, node);
  if (place >= 0)
    give(map, slot, place);
  return place;
}

/* ---- CLUSTER SLOTS ---- */

static bool is_number(const redisReply *reply, long long least, long long most) {
  return reply->type == REDIS_REPLY_INTEGER && reply->integer >= least && reply->integer <= most;
}

/* [host, port, id, ...] */
static bool parse_node(const redisReply *reply, const struct shardmap_node *asked,
                       struct shardmap_node *node) {
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 || !is_number(reply->element[1], 1, UINT16_MAX))
    return false;
  const redisReply *host = reply->element[0];
  node->port = (uint16_t)reply->element[1]->integer;
  if (host->type == REDIS_REPLY_NIL)
    return set_host("", 0, asked, node);
  return host->type == REDIS_REPLY_STRING && set_host(host->str, host->len, asked, node);
}

/* [first slot, last slot, master, replicas...] */
static int parse_range(const redisReply *reply, const struct shardmap_node *asked, struct shardmap *map) {
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
      !is_number(reply->element[0], 0, SHARDMAP_SLOTS - 1) ||
      !is_number(reply->element[1], reply->element[0]->integer, SHARDMAP_SLOTS - 1))
    return ERR_MALFORMED;
  struct shardmap_node node;
  if (!parse_node(reply->element[2], asked, &node))
    return ERR_MALFORMED;
  if (strcmp(node.host, "?") == 0)
    return 0;
  int place = place_of(map, &node);
  if (place < 0)
    return place;
  for (long long slot = reply->element[0]->integer; slot <= reply->element[1]->integer; slot++) {
    if (map->owners[slot] != 0)
      return ERR_MALFORMED; /* which bounds the work as well */
    give(map, (uint16_t)slot, place);
  }
  return 0;
}

int shardmap_parse(const struct redisReply *reply, const struct shardmap_node *asked, struct shardmap *map) {
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements > SHARDMAP_SLOTS)
    return ERR_MALFORMED;
  struct shardmap parsed = {.node_count = 0};
  for (size_t i = 0; i < reply->elements; i++) {
    int error = parse_range(reply->element[i], asked, &parsed);
    if (error != 0)
      return error;
  }
  *map = parsed;
  return 0;
}

/* ---- MOVED and ASK ---- */

/* Decimal digits up to a space or the end, of a number up to `most`; false for none. */
static bool take_number(const char **at, const char *end, unsigned most, unsigned *number) {
  const char *first = *at;
  *number = 0;
  for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
    *number = *number * 10 + (unsigned)(**at - '0');
    if (*number > most)
      return false;
  }
  return *at > first;
}

static bool take_word(const char **at, const char *end, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(end - *at) < length || memcmp(*at, word, length) != 0)
    return false;
  *at += length;
  return true;
}

bool shardmap_move_parse(const char *text, size_t length, const struct shardmap_node *asked,
                         struct shardmap_move *move) {
  const char *at = text, *end = text + length;
  struct shardmap_move parsed = {.is_ask = false};
  if (!take_word(&at, end, "MOVED ")) {
    if (!take_word(&at, end, "ASK "))
      return false;
    parsed.is_ask = true;
  }
  unsigned slot, port;
  if (!take_number(&at, end, SHARDMAP_SLOTS - 1, &slot) || !take_word(&at, end, " "))
    return false;
  const char *colon = memrchr(at, ':', (size_t)(end - at)); /* an IPv6 address has more of them */
  const char *digits = colon ? colon + 1 : NULL;
  if (!colon || !take_number(&digits, end, UINT16_MAX, &port) || digits != end || port == 0 ||
      !set_host(at, (size_t)(colon - at), asked, &parsed.to) || strcmp(parsed.to.host, "?") == 0)
    return false;
  parsed.slot = (uint16_t)slot;
  parsed.to.port = (uint16_t)port;
  *move = parsed;
  return true;
}
