#include "sharing.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "redis/fleet.h"
#include "redis/link_tls.h"
#include "store/seal.h"

enum { CONNECT_TIMEOUT_MS = 1000, FORMAT = 1 /* of keys and values */ };

_Static_assert(2 * CONFIG_KEY_PART_SIZE + 8 <= STORE_PREFIX_SIZE, "a prefix has room");

struct sharing {
  struct ev_loop *loop;
  char prefix[STORE_PREFIX_SIZE];
  struct seal *seal;    /* NULL: none */
  struct link_tls *tls; /* NULL: none */
  struct fleet *fleet;
  struct store *store;
  char list[STORE_PREFIX_SIZE + 8], channel[STORE_PREFIX_SIZE + 8]; /* of purges */
  struct bulletin *bulletin;
  struct warm *warm;  /* NULL: none */
  ev_check check;     /* the loop has looked at its sockets */
  ev_prepare prepare; /* it is about to sleep */
  ev_timer due;
  int64_t looked_ms; /* when it did */
};

/* ---- the loop ---- */

static void on_check(struct ev_loop *loop, ev_check *check, int events) {
  (void)loop, (void)events;
  struct sharing *sharing = check->data;
  sharing->looked_ms = clock_now_ms();
}

/* Only so that the loop wakes up. */
static void on_due(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)timer, (void)events;
}

static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events) {
  (void)events;
  struct sharing *sharing = prepare->data;
  store_run(sharing->store, sharing->looked_ms);
  bulletin_run(sharing->bulletin, sharing->looked_ms);
  int64_t next_ms = store_next_ms(sharing->store), due_ms = bulletin_next_ms(sharing->bulletin);
  if (due_ms < next_ms)
    next_ms = due_ms;
  if (sharing->warm) {
    warm_run(sharing->warm, clock_now_ms());
    next_ms = warm_next_ms(sharing->warm) < next_ms ? warm_next_ms(sharing->warm) : next_ms;
  }
  ev_timer_stop(loop, &sharing->due);
  if (next_ms == INT64_MAX)
    return;
  int64_t left_ms = next_ms - clock_now_ms();
  ev_now_update(loop);
  ev_timer_set(&sharing->due, left_ms > 0 ? (double)left_ms / 1000 : 0., 0.);
  ev_timer_start(loop, &sharing->due);
}

/* First of all that the loop does when it wakes up, and before others look when they are due next. */
static void start_watching(struct sharing *sharing) {
  sharing->looked_ms = clock_now_ms();
  ev_check_init(&sharing->check, on_check);
  ev_prepare_init(&sharing->prepare, on_prepare);
  ev_timer_init(&sharing->due, on_due, 0., 0.);
  ev_set_priority(&sharing->check, EV_MAXPRI);
  ev_set_priority(&sharing->prepare, EV_MAXPRI);
  sharing->check.data = sharing->prepare.data = sharing;
  ev_check_start(sharing->loop, &sharing->check);
  ev_prepare_start(sharing->loop, &sharing->prepare);
}

/* ---- creating, in order ---- */

static int create_seal(struct sharing *sharing, const struct config *config) {
  char reason[SEAL_TEXT_SIZE];
  if (!*config->redis_mac_key_file)
    return 0;
  int error = seal_create(config->redis_mac_key_file, reason, &sharing->seal);
  if (error != 0)
    log_error("redis-mac-key-file: %s", reason);
  return error;
}

static int create_tls(struct sharing *sharing, const struct config *config) {
  const struct link_tls_options options = {.ca = config->redis_tls_ca,
                                           .cert = config->redis_tls_cert,
                                           .key = config->redis_tls_key,
                                           .name = config->redis_tls_name};
  char reason[LINK_TLS_ERROR_SIZE];
  if (!config->redis_tls)
    return 0;
  int error = link_tls_create(&options, &sharing->tls, reason);
  if (error != 0)
    log_error("redis-tls: %s", reason);
  return error;
}

static enum fleet_topology topology_of(const struct config *config) {
  switch (config->redis_topology) {
  case CONFIG_SENTINEL:
    return FLEET_SENTINEL;
  case CONFIG_CLUSTER:
    return FLEET_CLUSTER;
  case CONFIG_SINGLE:
    break;
  }
  return FLEET_SINGLE;
}

_Static_assert((int)CONFIG_REDIS_MAX <= (int)FLEET_SEEDS_MAX, "a fleet has room for every server");

static int create_fleet(struct sharing *sharing, const struct config *config) {
  struct fleet_options options = {.topology = topology_of(config),
                                  .seed_count = config->redis_count,
                                  .read = config->redis_read,
                                  .has_read = link_target_is_set(&config->redis_read),
                                  .master = config->redis_master,
                                  .user = config->redis_user,
                                  .password = config->redis_password,
                                  .sentinel_user = config->redis_sentinel_user,
                                  .sentinel_password = config->redis_sentinel_password,
                                  .database = config->redis_database,
                                  .tls = sharing->tls,
                                  .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                  .max_commands = config->redis_max_commands};
  for (size_t i = 0; i < config->redis_count; i++)
    options.seeds[i] = config->redis_targets[i];
  return fleet_create(sharing->loop, &options, &sharing->fleet);
}

static int create_store(struct sharing *sharing, const struct config *config, struct stats *stats) {
  const struct store_options options = {.prefix = sharing->prefix,
                                        .origin = config->node_name,
                                        .seal = sharing->seal,
                                        .read_only = config->redis_mode == CONFIG_REDIS_RO,
                                        .timeout_ms = config->redis_timeout_ms,
                                        .head_start_ms = config->redis_head_start_ms,
                                        .lease_wait_ms = config->redis_lease_ms,
                                        .max_commands = config->redis_max_commands,
                                        .max_writes = config->redis_max_writes};
  return store_create(sharing->fleet, &options, stats, &sharing->store);
}

static int create_bulletin(struct sharing *sharing, const struct config *config, struct stats *stats) {
  const struct bulletin_options options = {.key = sharing->list,
                                           .channel = sharing->channel,
                                           .seal = sharing->seal,
                                           .read_only = config->redis_mode == CONFIG_REDIS_RO};
  snprintf(sharing->list, sizeof(sharing->list), "%spurges", sharing->prefix);
  snprintf(sharing->channel, sizeof(sharing->channel), "%spurge", sharing->prefix);
  return bulletin_create(sharing->fleet, sharing->store, &options, stats, &sharing->bulletin);
}

static void build_prefix(struct sharing *sharing, const struct config *config) {
  const char *name = config->redis_cluster_name;
  snprintf(sharing->prefix, sizeof(sharing->prefix), "%s%s%s:%d:", config->redis_prefix, *name ? ":" : "",
           name, FORMAT);
}

int sharing_create(struct ev_loop *loop, const struct config *config, struct stats *stats,
                   struct sharing **result) {
  *result = NULL;
  if (config->redis_count == 0 || config->redis_mode == CONFIG_REDIS_OFF)
    return 0;
  struct sharing *sharing = calloc(1, sizeof(*sharing));
  if (!sharing)
    return ERR_NOMEM;
  sharing->loop = loop;
  build_prefix(sharing, config);
  int error = create_seal(sharing, config);
  if (error == 0)
    error = create_tls(sharing, config);
  if (error == 0)
    error = create_fleet(sharing, config);
  if (error == 0)
    error = create_store(sharing, config, stats);
  if (error == 0)
    error = create_bulletin(sharing, config, stats);
  if (error != 0) {
    sharing_destroy(sharing);
    return error;
  }
  start_watching(sharing);
  *result = sharing;
  return 0;
}

int sharing_start_warm(struct sharing *sharing, const struct config *config, struct resolver *resolver,
                       struct cache *cache, struct stats *stats) {
  if (!sharing || config->redis_warm_start == 0)
    return 0;
  const struct warm_options options = {.rate = config->redis_warm_start,
                                       .max_commands = config->redis_max_commands};
  return warm_create(sharing->fleet, sharing->store, resolver, cache, &options, stats, &sharing->warm);
}

const struct warm *sharing_warm(const struct sharing *sharing) { return sharing ? sharing->warm : NULL; }

void sharing_destroy(struct sharing *sharing) {
  if (!sharing)
    return;
  ev_check_stop(sharing->loop, &sharing->check);
  ev_prepare_stop(sharing->loop, &sharing->prepare);
  ev_timer_stop(sharing->loop, &sharing->due);
  warm_destroy(sharing->warm);
  bulletin_destroy(sharing->bulletin);
  store_destroy(sharing->store);
  fleet_destroy(sharing->fleet);
  link_tls_destroy(sharing->tls);
  seal_destroy(sharing->seal);
  free(sharing);
}

struct store *sharing_store(const struct sharing *sharing) {
  return sharing ? sharing->store : NULL;
}

struct bulletin *sharing_bulletin(const struct sharing *sharing) {
  return sharing ? sharing->bulletin : NULL;
}
