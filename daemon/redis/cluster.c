#include "redis/cluster.h"

#include <assert.h>
#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"

struct cluster {
  struct ev_loop *loop;
  struct members *members;
  cluster_change_fn *on_change;
  void *context;
  struct link_target seeds[CLUSTER_SEEDS_MAX];
  size_t seed_count;
  struct shardmap map;
  struct member *nodes[SHARDMAP_NODES_MAX]; /* of those of the map; NULL: no room, or no memory */
  size_t turn;                              /* who is next in cluster_any */
  ev_timer refresh;
  int64_t refresh_at_ms, asked_at_ms;
  struct member *asked;   /* for the map, and held; or NULL */
  struct link_call *call; /* of `asked` */
  bool is_wanted;         /* nobody was up to be asked: ask the first that is */
  uint32_t pause_ms;
  struct random random;
  char complaint[CLUSTER_COMPLAINT_SIZE];
};

/* ---- members ---- */

struct member *cluster_get(const struct cluster *cluster, uint16_t slot) {
  int place = shardmap_owner(&cluster->map, slot);
  return place < 0 ? NULL : cluster->nodes[place];
}

struct member *cluster_at(const struct cluster *cluster, size_t place) {
  return place < cluster->map.node_count ? cluster->nodes[place] : NULL;
}

bool cluster_has(const struct cluster *cluster, const struct link_target *target) {
  for (size_t i = 0; i < cluster->map.node_count; i++)
    if (cluster->nodes[i] && link_target_is_same(&cluster->nodes[i]->target, target))
      return true;
  return false;
}

struct member *cluster_any(struct cluster *cluster) {
  for (size_t i = 0; i < cluster->map.node_count; i++) {
    struct member *member = cluster->nodes[cluster->turn++ % cluster->map.node_count];
    if (member && member_is_up(member))
      return member;
  }
  return NULL;
}

/* A node as the map names it. Without a host it is where we have asked. */
static struct member *member_of(struct cluster *cluster, const struct shardmap_node *node,
                                const struct link_target *asked) {
  struct link_target target = {.port = node->port};
  memcpy(target.host, node->host, sizeof(target.host));
  return member_get(cluster->members, node->host[0] ? &target : asked);
}

static struct shardmap_node node_of(const struct member *member) {
  struct shardmap_node node = {.port = member->target.port};
  memcpy(node.host, member->target.host, sizeof(node.host));
  return node;
}

static size_t count_up(const struct cluster *cluster) {
  size_t up_count = 0;
  for (size_t i = 0; i < cluster->map.node_count; i++)
    up_count += cluster->nodes[i] && member_is_up(cluster->nodes[i]);
  return up_count;
}

bool cluster_is_up(const struct cluster *cluster) { return count_up(cluster) > 0; }

/* False where there is no room for one of them. */
static bool use_seeds(struct cluster *cluster) {
  bool has_all = true;
  for (size_t i = 0; i < cluster->seed_count; i++)
    has_all &= member_get(cluster->members, &cluster->seeds[i]) != NULL;
  return has_all;
}

/* Those that are neither in the map nor were sent to of late. */
static void retire_others(struct cluster *cluster, int64_t now_ms) {
  for (struct member *member = members_first(cluster->members); member; member = member->next)
    if (!member->is_retired && !cluster_has(cluster, &member->target) &&
        now_ms >= member->used_at_ms + CLUSTER_GUEST_MS)
      member_retire(member);
}

/* ---- when to ask for the map ---- */

/* Asks at `at_ms`, or before if that was so already; never before its pace allows. */
static void refresh_at(struct cluster *cluster, int64_t at_ms) {
  int64_t now_ms = clock_now_ms();
  if (at_ms < cluster->asked_at_ms + CLUSTER_PAUSE_LEAST_MS)
    at_ms = cluster->asked_at_ms + CLUSTER_PAUSE_LEAST_MS;
  if (ev_is_active(&cluster->refresh) && cluster->refresh_at_ms <= at_ms)
    return;
  cluster->refresh_at_ms = at_ms;
  ev_timer_stop(cluster->loop, &cluster->refresh);
  ev_timer_set(&cluster->refresh, at_ms > now_ms ? (double)(at_ms - now_ms) / 1000. : 0., 0.);
  ev_timer_start(cluster->loop, &cluster->refresh);
}

static bool is_whole(const struct cluster *cluster) {
  return cluster->map.slot_count == SHARDMAP_SLOTS && count_up(cluster) == cluster->map.node_count;
}

/* After an answer, or none. */
static void refresh_later(struct cluster *cluster, int64_t now_ms) {
  uint32_t pause_ms = CLUSTER_POLL_MS;
  if (is_whole(cluster) && !cluster->complaint[0]) {
    cluster->pause_ms = CLUSTER_PAUSE_LEAST_MS;
  } else {
    pause_ms = cluster->pause_ms;
    cluster->pause_ms = pause_ms * 2 < CLUSTER_PAUSE_MOST_MS ? pause_ms * 2 : CLUSTER_PAUSE_MOST_MS;
  }
  refresh_at(cluster, now_ms + pause_ms + random_below(&cluster->random, pause_ms / 4));
}

/* ---- asking for the map ---- */

static void adopt(struct cluster *cluster, const struct shardmap *map, int64_t now_ms) {
  const struct link_target *asked = &cluster->asked->target;
  size_t old_count = cluster->map.node_count;
  cluster->map = *map;
  for (size_t i = 0; i < map->node_count; i++)
    cluster->nodes[i] = member_of(cluster, &map->nodes[i], asked);
  retire_others(cluster, now_ms);
  if (old_count != map->node_count)
    log_notice("redis: the cluster's masters: %zu, of %zu of its %d slots", map->node_count, map->slot_count,
               SHARDMAP_SLOTS);
}

static void read_slots(struct cluster *cluster, const redisReply *reply, int64_t now_ms) {
  struct shardmap map;
  const struct shardmap_node asked = node_of(cluster->asked);
  const char *complaint = "";
  if (!reply)
    complaint = "a server does not tell its slots";
  else if (reply->type == REDIS_REPLY_ERROR)
    complaint = reply->str;
  else if (shardmap_parse(reply, &asked, &map) != 0)
    complaint = "what a server tells of its slots cannot be read";
  else if (map.slot_count == 0) /* it was told to forget the others, or has not met them yet */
    complaint = "a server knows of no slots";
  else
    adopt(cluster, &map, now_ms);
  snprintf(cluster->complaint, sizeof(cluster->complaint), "%s", complaint);
}

static void on_slots(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct cluster *cluster = context;
  read_slots(cluster, reply, now_ms);
  member_release(cluster->asked);
  cluster->asked = NULL;
  refresh_later(cluster, now_ms);
  cluster->on_change(cluster->context);
}

/* Whom to ask: masters in turn, so that one that is behind is not all we hear; else whoever is up. */
static struct member *pick(struct cluster *cluster) {
  struct member *member = cluster_any(cluster);
  if (member)
    return member;
  for (member = members_first(cluster->members); member; member = member->next)
    if (!member->is_retired && member_is_up(member))
      return member;
  return NULL;
}

static void on_refresh(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  static const struct link_command command = {.count = 2, .words = {"CLUSTER", "SLOTS"}, .lengths = {7, 5}};
  struct cluster *cluster = timer->data;
  int64_t now_ms = clock_now_ms();
  if (cluster->asked)
    return; /* whose answer begins the timer again */
  bool is_crowded = !cluster_is_up(cluster) && !use_seeds(cluster);
  if (is_crowded)
    retire_others(cluster, now_ms);
  struct member *member = pick(cluster);
  cluster->is_wanted = !member;
  if (!member) {
    snprintf(cluster->complaint, sizeof(cluster->complaint), "no server is up");
    if (is_crowded) /* until there is room for the seeds */
      refresh_later(cluster, now_ms);
    return;
  }
  cluster->asked_at_ms = now_ms;
  if (link_send(member->link, &command, CLUSTER_TIMEOUT_MS, on_slots, cluster, &cluster->call) != 0) {
    refresh_later(cluster, now_ms);
    return;
  }
  cluster->asked = member;
  member_hold(member);
}

/* ---- what happens ---- */

struct member *cluster_follow(struct cluster *cluster, const struct member *from, uint16_t slot,
                              const char *text, size_t length, bool *is_ask, int64_t now_ms) {
  struct shardmap_move move;
  const struct shardmap_node asked = node_of(from);
  if (!shardmap_move_parse(text, length, &asked, &move) || move.slot != slot)
    return NULL;
  struct member *member = member_of(cluster, &move.to, &from->target);
  if (!move.is_ask) {
    int place = member ? shardmap_set(&cluster->map, slot, &move.to) : ERR_OVERLOAD;
    if (place >= 0)
      cluster->nodes[place] = member;
    refresh_at(cluster, now_ms);
  }
  if (member)
    member->used_at_ms = now_ms;
  *is_ask = move.is_ask;
  return member;
}

void cluster_on_member(struct cluster *cluster, struct member *member, enum link_state state) {
  (void)member;
  if (state == LINK_UP && cluster->is_wanted)
    refresh_at(cluster, 0);
  else if (state == LINK_DOWN)
    refresh_at(cluster, clock_now_ms() + CLUSTER_PAUSE_LEAST_MS);
  cluster->on_change(cluster->context);
}

void cluster_doubt(struct cluster *cluster) { refresh_at(cluster, clock_now_ms()); }

void cluster_look(const struct cluster *cluster, struct cluster_view *view) {
  uint64_t latency_us = 0;
  *view = (struct cluster_view){.node_count = cluster->map.node_count,
                                .up_count = count_up(cluster),
                                .slot_count = cluster->map.slot_count,
                                .complaint = cluster->complaint};
  for (size_t i = 0; i < cluster->map.node_count; i++)
    if (cluster->nodes[i] && member_is_up(cluster->nodes[i]))
      latency_us += link_latency_us(cluster->nodes[i]->link);
  if (view->up_count > 0)
    view->latency_us = (uint32_t)(latency_us / view->up_count);
}

/* ---- life ---- */

int cluster_create(struct ev_loop *loop, struct members *members, const struct link_target *seeds,
                   size_t seed_count, cluster_change_fn *on_change, void *context, struct cluster **result) {
  assert(seed_count > 0 && seed_count <= CLUSTER_SEEDS_MAX);
  struct cluster *cluster = calloc(1, sizeof(*cluster));
  if (!cluster)
    return ERR_NOMEM;
  cluster->loop = loop;
  cluster->members = members;
  cluster->on_change = on_change;
  cluster->context = context;
  memcpy(cluster->seeds, seeds, seed_count * sizeof(*seeds));
  cluster->seed_count = seed_count;
  cluster->pause_ms = CLUSTER_PAUSE_LEAST_MS;
  cluster->asked_at_ms = INT64_MIN / 2;
  cluster->is_wanted = true;
  random_init(&cluster->random);
  snprintf(cluster->complaint, sizeof(cluster->complaint), "no server is up");
  ev_timer_init(&cluster->refresh, on_refresh, 0., 0.);
  cluster->refresh.data = cluster;
  use_seeds(cluster);
  *result = cluster;
  return 0;
}

void cluster_destroy(struct cluster *cluster) {
  if (!cluster)
    return;
  ev_timer_stop(cluster->loop, &cluster->refresh);
  if (cluster->asked)
    link_cancel(cluster->call);
  free(cluster);
}
