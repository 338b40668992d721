#include "redis/fleet.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "redis/cluster.h"
#include "redis/ear.h"
#include "redis/master.h"
#include "redis/members.h"
#include "redis/rediserror.h"
#include "redis/shardmap.h"

struct fleet {
  struct ev_loop *loop;
  struct fleet_options options;
  struct members *members;
  struct member *server, *reader; /* single; `reader`: NULL where there is none */
  struct master *master;          /* sentinel */
  struct cluster *cluster;        /* cluster */
  struct fleet_call *first;       /* under way */
  size_t call_count;
  uint64_t moved, asked;
  struct ear *ear; /* NULL: nobody has subscribed */
};

struct fleet_call {
  struct fleet *fleet;
  struct fleet_call *previous, *next; /* of those under way */
  struct member *member;              /* held */
  struct link_call *sent;
  link_reply_fn *done;
  void *context;
  enum fleet_purpose purpose;
  int64_t due_ms;
  /* cluster: */
  uint16_t slot;
  uint8_t moves;
  struct link_command command; /* its words lie behind the call */
  char octets[];
};

/* ---- where to ---- */

static bool is_cluster(const struct fleet *fleet) { return fleet->options.topology == FLEET_CLUSTER; }

/* The server for it, or NULL where it is not up. */
static struct member *server_for(const struct fleet *fleet, enum fleet_purpose purpose, uint16_t slot) {
  struct member *member = NULL;
  switch (fleet->options.topology) {
  case FLEET_SINGLE:
    member =
        purpose == FLEET_READ && fleet->reader && member_is_up(fleet->reader) ? fleet->reader : fleet->server;
    break;
  case FLEET_SENTINEL:
    member = master_get(fleet->master);
    break;
  case FLEET_CLUSTER:
    member = cluster_get(fleet->cluster, slot);
    break;
  }
  return member && member_is_up(member) ? member : NULL;
}

bool fleet_is_up(const struct fleet *fleet, enum fleet_purpose purpose) {
  if (is_cluster(fleet))
    return cluster_is_up(fleet->cluster);
  return server_for(fleet, purpose, 0) != NULL;
}

/* ---- calls ---- */

static size_t octets_of(const struct link_command *command) {
  size_t length = 0;
  for (int i = 0; i < command->count; i++)
    length += command->lengths[i];
  return length;
}

/* As `wanted` says who is told, and of what. */
static struct fleet_call *open_call(struct fleet *fleet, const struct fleet_call *wanted,
                                    const struct link_command *command) {
  struct fleet_call *call = malloc(sizeof(*call) + (is_cluster(fleet) ? octets_of(command) : 0));
  if (!call)
    return NULL;
  *call = *wanted;
  call->fleet = fleet;
  call->next = fleet->first;
  if (is_cluster(fleet)) {
    char *at = call->octets;
    call->command = *command;
    for (int i = 0; i < command->count; i++) {
      memcpy(at, command->words[i], command->lengths[i]);
      call->command.words[i] = at;
      at += command->lengths[i];
    }
  }
  if (fleet->first)
    fleet->first->previous = call;
  fleet->first = call;
  fleet->call_count++;
  return call;
}

static void close_call(struct fleet_call *call) {
  *(call->previous ? &call->previous->next : &call->fleet->first) = call->next;
  if (call->next)
    call->next->previous = call->previous;
  call->fleet->call_count--;
  if (call->member)
    member_release(call->member);
  free(call);
}

static void on_reply(void *context, const struct redisReply *reply, int64_t now_ms);

static int send_to(struct fleet_call *call, struct member *member, const struct link_command *command,
                   uint32_t timeout_ms) {
  int error = link_send(member->link, command, timeout_ms, on_reply, call, &call->sent);
  if (error != 0)
    return error;
  member_hold(member);
  if (call->member)
    member_release(call->member);
  call->member = member;
  return 0;
}

static void ignore(void *context, const struct redisReply *reply, int64_t now_ms) {
  (void)context, (void)reply, (void)now_ms;
}

/* Sends it again where an error of a cluster says, as far as there is time. False where the error is not
 * about that, or has been followed often enough: then it is the answer. True where it is under way again, or
 * has ended. */
static bool move_on(struct fleet_call *call, const redisReply *error, int64_t now_ms) {
  static const struct link_command asking = {.count = 1, .words = {"ASKING"}, .lengths = {6}};
  struct fleet *fleet = call->fleet;
  bool is_ask;
  struct member *member =
      cluster_follow(fleet->cluster, call->member, call->slot, error->str, error->len, &is_ask, now_ms);
  if (!member || call->moves == FLEET_MOVES_MAX)
    return false;
  call->moves++;
  *(is_ask ? &fleet->asked : &fleet->moved) += 1;
  uint32_t left_ms = call->due_ms > now_ms ? (uint32_t)(call->due_ms - now_ms) : 0;
  if (left_ms > 0 && (!is_ask || link_send(member->link, &asking, left_ms, ignore, NULL, NULL) == 0) &&
      send_to(call, member, &call->command, left_ms) == 0)
    return true;
  link_reply_fn *done = call->done;
  void *context = call->context;
  close_call(call);
  done(context, NULL, now_ms);
  return true;
}

static bool begins_with(const redisReply *error, const char *word) {
  size_t length = strlen(word);
  return error->len >= length && memcmp(error->str, word, length) == 0;
}

/* What an error says of the topology. True where it is no answer yet. */
static bool heed(struct fleet_call *call, const redisReply *error, int64_t now_ms) {
  struct fleet *fleet = call->fleet;
  switch (fleet->options.topology) {
  case FLEET_SINGLE:
    break;
  case FLEET_SENTINEL:
    if (call->purpose == FLEET_WRITE && begins_with(error, "READONLY"))
      master_doubt(fleet->master, call->member);
    break;
  case FLEET_CLUSTER:
    if (begins_with(error, "CLUSTERDOWN"))
      cluster_doubt(fleet->cluster);
    return move_on(call, error, now_ms);
  }
  return false;
}

static void on_reply(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct fleet_call *call = context;
  call->sent = NULL;
  if (reply && reply->type == REDIS_REPLY_ERROR && heed(call, reply, now_ms))
    return;
  link_reply_fn *done = call->done;
  void *asker = call->context;
  close_call(call);
  done(asker, reply, now_ms);
}

/* As fleet_send; `member`: NULL where no server is up for it. */
static int send_first(struct fleet *fleet, struct member *member, const struct fleet_call *wanted,
                      const struct link_command *command, uint32_t timeout_ms, struct fleet_call **result) {
  if (!member)
    return ERR_NETWORK;
  if (fleet->call_count >= fleet->options.max_commands)
    return ERR_OVERLOAD;
  struct fleet_call *call = open_call(fleet, wanted, command);
  if (!call)
    return ERR_NOMEM;
  call->due_ms = clock_now_ms() + timeout_ms;
  int error = send_to(call, member, command, timeout_ms);
  if (error != 0) {
    close_call(call);
    return error;
  }
  if (result)
    *result = call;
  return 0;
}

int fleet_send(struct fleet *fleet, enum fleet_purpose purpose, const char *key, size_t key_length,
               const struct link_command *command, uint32_t timeout_ms, link_reply_fn *done, void *context,
               struct fleet_call **call) {
  uint16_t slot = is_cluster(fleet) ? shardmap_slot(key, key_length) : 0;
  const struct fleet_call wanted = {.done = done, .context = context, .purpose = purpose, .slot = slot};
  return send_first(fleet, server_for(fleet, purpose, slot), &wanted, command, timeout_ms, call);
}

_Static_assert((int)FLEET_SERVERS_MAX == (int)SHARDMAP_NODES_MAX, "a place for every server");

static struct member *server_at(const struct fleet *fleet, size_t place) {
  if (is_cluster(fleet))
    return cluster_at(fleet->cluster, place);
  return place == 0 ? server_for(fleet, FLEET_READ, 0) : NULL;
}

bool fleet_server(const struct fleet *fleet, size_t place, struct link_target *target) {
  const struct member *member = server_at(fleet, place);
  if (member)
    *target = member->target;
  return member != NULL;
}

int fleet_send_to(struct fleet *fleet, const struct link_target *target, const struct link_command *command,
                  uint32_t timeout_ms, link_reply_fn *done, void *context, struct fleet_call **call) {
  /* No slot: so there is none to which an error could send it on. */
  const struct fleet_call wanted = {.done = done, .context = context, .slot = SHARDMAP_SLOTS};
  for (size_t place = 0; place < FLEET_SERVERS_MAX; place++) {
    struct member *member = server_at(fleet, place);
    if (member && member_is_up(member) && link_target_is_same(&member->target, target))
      return send_first(fleet, member, &wanted, command, timeout_ms, call);
  }
  return ERR_NETWORK;
}

void fleet_cancel(struct fleet_call *call) {
  link_cancel(call->sent);
  close_call(call);
}

/* ---- the subscription ---- */

static struct link_options link_options_of(const struct fleet_options *options) {
  return (struct link_options){.user = options->user,
                               .password = options->password,
                               .database = options->database,
                               .tls = options->tls,
                               .connect_timeout_ms = options->connect_timeout_ms,
                               .max_commands = options->max_commands};
}

/* Any server of a cluster that is up; another one than `at`, where there are two. */
static const struct member *another_of_cluster(struct fleet *fleet, const struct link_target *at) {
  const struct member *member = cluster_any(fleet->cluster);
  if (member && at && link_target_is_same(&member->target, at))
    member = cluster_any(fleet->cluster);
  return member;
}

static const struct link_target *place_to_listen(void *context, const struct link_target *at, bool is_lost) {
  struct fleet *fleet = context;
  const struct member *member = NULL;
  switch (fleet->options.topology) {
  case FLEET_SINGLE:
    member = fleet->server;
    break;
  case FLEET_SENTINEL:
    member = master_get(fleet->master);
    break;
  case FLEET_CLUSTER:
    if (!at || is_lost || !cluster_has(fleet->cluster, at))
      member = another_of_cluster(fleet, at);
    break;
  }
  return member ? &member->target : NULL;
}

int fleet_subscribe(struct fleet *fleet, const char *channel, link_message_fn *on_message, ear_up_fn *on_up,
                    void *context) {
  const struct ear_options options = {.link = link_options_of(&fleet->options),
                                      .channel = channel,
                                      .on_message = on_message,
                                      .on_up = on_up,
                                      .context = context,
                                      .place = place_to_listen,
                                      .place_context = fleet};
  return fleet->ear ? ERR_OVERLOAD : ear_create(fleet->loop, &options, &fleet->ear);
}

/* ---- what happens ---- */

static void on_change(void *context) {
  struct fleet *fleet = context;
  ear_settle(fleet->ear);
}

static void on_member(void *context, struct member *member, enum link_state state) {
  struct fleet *fleet = context;
  if (fleet->master)
    master_on_member(fleet->master, member, state);
  if (fleet->cluster)
    cluster_on_member(fleet->cluster, member, state);
}

/* ---- for people ---- */

static void look_at_servers(const struct fleet *fleet, struct fleet_view *view, char *what, size_t size) {
  const struct member *members[] = {fleet->server, fleet->reader};
  uint64_t latency_us = 0;
  for (size_t i = 0; i < 2 && members[i]; i++) {
    view->server_count++;
    if (!member_is_up(members[i])) {
      snprintf(what, size, "%s", members[i]->reason[0] ? members[i]->reason : "not connected yet");
      continue;
    }
    view->up_count++;
    latency_us += link_latency_us(members[i]->link);
  }
  if (view->up_count == 0)
    return;
  view->latency_us = (uint32_t)(latency_us / view->up_count);
  snprintf(what, size, "%zu of %zu servers", view->up_count, view->server_count);
}

static void look_at_master(const struct fleet *fleet, struct fleet_view *view, char *what, size_t size) {
  const struct member *member = master_get(fleet->master);
  view->server_count = 1;
  if (!member) {
    char complaint[MASTER_TEXT_SIZE];
    snprintf(what, size, "%s", master_complaint(fleet->master, complaint));
    return;
  }
  char text[LINK_TARGET_TEXT_SIZE];
  view->up_count = 1;
  view->latency_us = link_latency_us(member->link);
  snprintf(what, size, "the master is %.80s, %zu of %zu sentinels", link_target_text(&member->target, text),
           master_sentinel_count(fleet->master), fleet->options.seed_count);
}

static void look_at_cluster(const struct fleet *fleet, struct fleet_view *view, char *what, size_t size) {
  struct cluster_view of_cluster;
  cluster_look(fleet->cluster, &of_cluster);
  view->server_count = of_cluster.node_count;
  view->up_count = of_cluster.up_count;
  view->latency_us = of_cluster.latency_us;
  if (view->up_count == 0)
    snprintf(what, size, "%s", of_cluster.complaint[0] ? of_cluster.complaint : "no server is up");
  else
    snprintf(what, size, "%zu of %zu servers, %zu of %d slots", view->up_count, view->server_count,
             of_cluster.slot_count, SHARDMAP_SLOTS);
}

void fleet_look(const struct fleet *fleet, struct fleet_view *view) {
  char what[FLEET_TEXT_SIZE - 30];
  *view = (struct fleet_view){.moved = fleet->moved, .asked = fleet->asked};
  switch (fleet->options.topology) {
  case FLEET_SINGLE:
    look_at_servers(fleet, view, what, sizeof(what));
    break;
  case FLEET_SENTINEL:
    look_at_master(fleet, view, what, sizeof(what));
    break;
  case FLEET_CLUSTER:
    look_at_cluster(fleet, view, what, sizeof(what));
    break;
  }
  if (view->up_count == 0)
    snprintf(view->text, sizeof(view->text), "down: %s", what);
  else if (view->latency_us == 0)
    snprintf(view->text, sizeof(view->text), "up, %s", what);
  else
    snprintf(view->text, sizeof(view->text), "up, %s, %" PRIu32 " us", what, view->latency_us);
  rediserror_quote(view->text, sizeof(view->text), view->text, strlen(view->text));
}

/* ---- life ---- */

static int open_single(struct fleet *fleet) {
  fleet->server = member_get(fleet->members, &fleet->options.seeds[0]);
  if (fleet->options.has_read)
    fleet->reader = member_get(fleet->members, &fleet->options.read);
  return fleet->server && (fleet->reader || !fleet->options.has_read) ? 0 : ERR_NOMEM;
}

static int open_sentinel(struct fleet *fleet) {
  struct fleet_options *options = &fleet->options;
  struct sentinel_options sentinel = {.targets = options->seeds,
                                      .count = options->seed_count,
                                      .master = options->master,
                                      .link = link_options_of(options)};
  sentinel.link.user = options->sentinel_user;
  sentinel.link.password = options->sentinel_password;
  for (size_t i = 0; i < options->seed_count; i++)
    if (!options->seeds[i].path[0] && options->seeds[i].port == 0)
      options->seeds[i].port = FLEET_SENTINEL_PORT;
  return master_create(fleet->loop, fleet->members, &sentinel, on_change, fleet, &fleet->master);
}

static int open_topology(struct fleet *fleet) {
  struct link_options options = link_options_of(&fleet->options);
  int error = members_create(fleet->loop, &options, on_member, fleet, &fleet->members);
  if (error != 0)
    return error;
  switch (fleet->options.topology) {
  case FLEET_SINGLE:
    return open_single(fleet);
  case FLEET_SENTINEL:
    return open_sentinel(fleet);
  case FLEET_CLUSTER:
    break;
  }
  return cluster_create(fleet->loop, fleet->members, fleet->options.seeds, fleet->options.seed_count,
                        on_change, fleet, &fleet->cluster);
}

int fleet_create(struct ev_loop *loop, const struct fleet_options *options, struct fleet **result) {
  assert(options->seed_count > 0 && options->seed_count <= FLEET_SEEDS_MAX);
  struct fleet *fleet = calloc(1, sizeof(*fleet));
  if (!fleet)
    return ERR_NOMEM;
  fleet->loop = loop;
  fleet->options = *options;
  int error = open_topology(fleet);
  if (error != 0) {
    fleet_destroy(fleet);
    return error;
  }
  *result = fleet;
  return 0;
}

void fleet_destroy(struct fleet *fleet) {
  if (!fleet)
    return;
  while (fleet->first)
    fleet_cancel(fleet->first);
  ear_destroy(fleet->ear);
  master_destroy(fleet->master);
  cluster_destroy(fleet->cluster);
  members_destroy(fleet->members);
  free(fleet);
}
