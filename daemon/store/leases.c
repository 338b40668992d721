#include "store/leases.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "rules/name.h"

enum { LIFE_TEXT_SIZE = 12 };

/* Builds the key of the lease for `key`; returns its length. */
static size_t build_key(const struct leases *leases, char lease_key[LEASES_KEY_SIZE], const char *key) {
  return (size_t)snprintf(lease_key, LEASES_KEY_SIZE, "%sl:%s", leases->prefix, key + strlen(leases->prefix));
}

static uint64_t hash_of(const char *key) { return name_hash(key, strlen(key)); }

/* ---- those that this node has ---- */

bool leases_has(const struct leases *leases, const char *key, int64_t now_ms) {
  uint64_t hash = hash_of(key);
  return leases->held[hash % LEASES_COUNT].hash == hash &&
         leases->held[hash % LEASES_COUNT].until_ms > now_ms;
}

static void hold(struct leases *leases, const char *key, int64_t until_ms) {
  uint64_t hash = hash_of(key);
  leases->held[hash % LEASES_COUNT].hash = hash;
  leases->held[hash % LEASES_COUNT].until_ms = until_ms;
}

/* ---- waiting ---- */

bool leases_are_of_use(const struct leases *leases, int64_t now_ms) {
  return now_ms >= leases->rest_until_ms;
}

void leases_on_waited(struct leases *leases, bool has_come, int64_t now_ms) {
  leases->vain_count = has_come ? 0 : leases->vain_count + 1;
  if (leases->vain_count < LEASES_VAIN_MAX)
    return;
  leases->vain_count = 0;
  leases->rest_until_ms = now_ms + LEASES_REST_MS;
}

/* ---- the store ---- */

int leases_ask(struct leases *leases, const char *key, link_reply_fn *done, void *context,
               struct fleet_call **call) {
  char lease_key[LEASES_KEY_SIZE], life[LIFE_TEXT_SIZE];
  size_t length = build_key(leases, lease_key, key);
  size_t life_length = (size_t)snprintf(life, sizeof(life), "%d", LEASES_LIFE_MS);
  const struct link_command command = {.count = 6,
                                       .words = {"SET", lease_key, leases->origin, "NX", "PX", life},
                                       .lengths = {3, length, strlen(leases->origin), 2, 2, life_length}};
  return fleet_send(leases->fleet, FLEET_WRITE, lease_key, length, &command, leases->timeout_ms, done,
                    context, call);
}

enum lease_outcome leases_on_reply(struct leases *leases, const char *key, const struct redisReply *reply,
                                   int64_t now_ms) {
  if (reply && reply->type == REDIS_REPLY_NIL) {
    stats_add(leases->stats, STATS_STORE_LEASES_LOST);
    return LEASE_LOST;
  }
  if (!reply || reply->type != REDIS_REPLY_STATUS) {
    if (reply)
      stats_add(leases->stats, STATS_STORE_ERRORS);
    return LEASE_FAILED;
  }
  stats_add(leases->stats, STATS_STORE_LEASES_WON);
  hold(leases, key, now_ms + LEASES_LIFE_MS);
  return LEASE_WON;
}

/* What is not given back ends by itself. */
static void on_release(void *context, const struct redisReply *reply, int64_t now_ms) {
  (void)context, (void)reply, (void)now_ms;
}

void leases_release(struct leases *leases, const char *key, int64_t now_ms) {
  char lease_key[LEASES_KEY_SIZE];
  if (!leases_has(leases, key, now_ms))
    return;
  hold(leases, key, now_ms);
  size_t length = build_key(leases, lease_key, key);
  const struct link_command command = {.count = 2, .words = {"DEL", lease_key}, .lengths = {3, length}};
  fleet_send(leases->fleet, FLEET_WRITE, lease_key, length, &command, leases->timeout_ms, on_release, NULL,
             NULL);
}
