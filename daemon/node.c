#include "node.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/stats.h"
#include "base/worker.h"
#include "cache/cache.h"
#include "cache/snapshot.h"
#include "config/resolvconf.h"
#include "control/control.h"
#include "control/orders.h"
#include "dns/dns.h"
#include "resolve/resolver.h"
#include "rules/name.h"
#include "rules/wishes.h"
#include "serve/api.h"
#include "serve/listen.h"
#include "serve/miss.h"
#include "sharing.h"

enum {
  SWEEP_COUNT = 8192,     /* entries looked at each second for expiry, */
  SWEEP_STEP_COUNT = 128, /* so many between which the loop turns */
  FINISH_MS = 2000,       /* how long lookups under way may finish after a stop */
  FLUSH_MS = 1500,        /* and then how long clients may take to read their answers */
  STOP_POLL_MS = 5,
  SNAPSHOT_READ_MS = 5000,     /* a start waits for the snapshot at most so long */
  STOP_MS = 4500,              /* from the stop until the last snapshot must be written; main allows 5 s */
  FAILURE_JITTER_PERCENT = 10, /* ROUTING T5 */
};

struct frontend {
  struct worker worker;
  struct api *api;
  ev_prepare prepare;
  _Atomic bool is_drained;
};

struct node {
  const struct config *config;
  struct cache *cache;
  struct pinned *pinned; /* NULL: no route is configured */
  struct api_shared shared;
  union wishes_block self; /* of the configuration */
  /* the resolver thread */
  struct worker worker;
  struct mailbox mailbox;
  struct dns *dns;
  struct sharing *sharing; /* NULL: nothing is shared */
  struct resolver *resolver;
  struct ttl_policy ttl;
  int control_fd; /* -1: none */
  struct control *control;
  struct snapshot *snapshot;
  struct orders *orders; /* NULL: nothing is shared */
  ev_timer due, sweep;
  size_t swept_count; /* of the entries of this second */
  ev_prepare prepare;
  struct resolvconf resolvconf; /* where the servers are those of that file */
  /* the others */
  size_t frontend_count;
  struct frontend *frontends;
};

/* ---- the resolver thread ---- */

static void on_mail(void *context, struct mail *mail) {
  struct node *node = context;
  miss_arrive(node->resolver, mail, clock_now_ms());
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct node *node = timer->data;
  resolver_run(node->resolver, clock_now_ms());
}

/* Takes up the servers that resolv.conf names now. */
static void follow_resolv_conf(struct node *node) {
  const struct resolvconf *resolvconf = &node->resolvconf;
  const struct sockaddr_storage *servers[CONFIG_UPSTREAM_MAX];
  for (size_t i = 0; i < resolvconf->count; i++)
    servers[i] = &resolvconf->upstreams[i].address;
  if (dns_set_servers(node->dns, servers, resolvconf->count) != 0)
    log_error("cannot change the upstream servers: %s", error_text(ERR_NOMEM));
}

static void on_sweep(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)events;
  struct node *node = timer->data;
  cache_sweep(node->cache, clock_now_ms(), SWEEP_STEP_COUNT);
  size_t swept = node->swept_count + SWEEP_STEP_COUNT, all = cache_count(node->cache);
  node->swept_count = swept < SWEEP_COUNT && swept < all ? swept : 0;
  timer->repeat = node->swept_count == 0 ? 1. : .001;
  ev_timer_again(loop, timer);
  if (node->swept_count == 0 && node->config->follows_resolv_conf && resolvconf_look(&node->resolvconf))
    follow_resolv_conf(node);
}

/* Before the loop sleeps: until the next deadline at most, or a moment where there is more to free. */
static void on_resolver_prepare(struct ev_loop *loop, ev_prepare *prepare, int events) {
  (void)events;
  struct node *node = prepare->data;
  int64_t next_ms = resolver_next_ms(node->resolver), now_ms = clock_now_ms();
  if (cache_collect(node->cache) > QSBR_COLLECT_LEAST && next_ms > now_ms + 1)
    next_ms = now_ms + 1;
  ev_timer_stop(loop, &node->due);
  ev_now_update(loop);
  ev_timer_set(&node->due, next_ms > now_ms ? (double)(next_ms - now_ms) / 1000 : 0., 0.);
  ev_timer_start(loop, &node->due);
}

static void on_resolver_stop(void *context) {
  struct node *node = context;
  resolver_stop(node->resolver, clock_now_ms());
}

/* ---- a frontend's thread ---- */

static void on_frontend_stop(void *context) {
  struct frontend *frontend = context;
  api_stop(frontend->api);
}

static void on_frontend_prepare(struct ev_loop *loop, ev_prepare *prepare, int events) {
  (void)loop, (void)events;
  struct frontend *frontend = prepare->data;
  if (worker_is_stopping(&frontend->worker))
    atomic_store(&frontend->is_drained, api_is_drained(frontend->api));
}

/* ---- create, in order ---- */

static int create_resolver(struct node *node) {
  const struct config *config = node->config;
  struct dns_options dns = {.server_count = config->upstream_count,
                            .timeout_ms = config->query_timeout_ms,
                            .tries = config->query_tries,
                            .max_queries = config->max_queries,
                            .max_queue = config->max_queue,
                            .random_case = !config->plain_case,
                            .trust_ad = config->trust_ad};
  for (size_t i = 0; i < config->upstream_count; i++)
    dns.servers[i] = &config->upstreams[i].address;
  node->ttl = (struct ttl_policy){.min_s = config->min_ttl_s,
                                  .max_s = config->max_ttl_s,
                                  .max_negative_s = config->max_negative_ttl_s,
                                  .failure_s = config->failure_ttl_s,
                                  .max_failure_s = config->max_failure_ttl_s,
                                  .failure_jitter_percent = FAILURE_JITTER_PERCENT,
                                  .prefetch_percent = config->prefetch_percent};
  struct resolver_options options = {.learn = {.ttl = node->ttl,
                                               .max_stale_ms = (int64_t)config->max_stale_s * 1000,
                                               .notimp_as_nodata = config->notimp_as_nodata},
                                     .lookup_deadline_ms = config->lookup_deadline_ms,
                                     .stale_after_ms = config->stale_after_ms,
                                     .max_cname_hops = config->max_cname_hops};
  int error = worker_init(&node->worker, on_resolver_stop, node);
  if (error != 0)
    return error;
  mailbox_init(&node->mailbox, node->worker.loop, on_mail, node);
  node->shared.resolver = &node->mailbox;
  node->cache = node->shared.cache =
      cache_create(config->cache_size_bytes, (int64_t)config->max_stale_s * 1000, &node->worker.stats);
  if (!node->cache || dns_create(node->worker.loop, &dns, &node->worker.stats, &node->dns) != 0)
    return ERR_NOMEM;
  error = sharing_create(node->worker.loop, config, &node->worker.stats, &node->sharing);
  if (error != 0)
    return error;
  if (config->routes.count > 0 &&
      pinned_create(&config->routes, node->cache, clock_now_ms(), clock_wall_ms(), &node->pinned) != 0)
    return ERR_NOMEM;
  node->shared.pinned = node->pinned;
  node->resolver = resolver_create(node->cache, sharing_store(node->sharing), node->dns, &options,
                                   &node->worker.stats, miss_on_answer, NULL);
  if (!node->resolver)
    return ERR_NOMEM;
  ev_timer_init(&node->due, on_due, 0., 0.);
  ev_timer_init(&node->sweep, on_sweep, 1., 1.);
  ev_prepare_init(&node->prepare, on_resolver_prepare);
  node->due.data = node->sweep.data = node->prepare.data = node;
  ev_timer_start(node->worker.loop, &node->sweep);
  resolvconf_init(&node->resolvconf, config);
  ev_prepare_start(node->worker.loop, &node->prepare);
  return 0;
}

static uint64_t generation_of_memory(void *context) { return orders_generation(context); }

/* Follows the purges of other nodes, from the generation on that a snapshot had. */
static int follow_purges(struct node *node, uint64_t generation) {
  bool is_empty = cache_count(node->cache) == 0;
  if (!node->sharing)
    return 0;
  node->orders = orders_create(node->worker.loop, node->cache, node->resolver, is_empty ? 0 : generation);
  if (!node->orders)
    return ERR_NOMEM;
  if (node->snapshot)
    snapshot_set_generation(node->snapshot, generation_of_memory, node->orders);
  return orders_follow(node->orders, sharing_bulletin(node->sharing), is_empty ? clock_wall_ms() : 0);
}

/* What runs in the resolver's thread beside lookups. */
static int create_keepers(struct node *node) {
  const struct config *config = node->config;
  uint64_t generation = 0;
  if (config->snapshot_file[0]) {
    generation = snapshot_read(config->snapshot_file, node->cache, &node->ttl, SNAPSHOT_READ_MS);
    node->snapshot =
        snapshot_create(node->worker.loop, node->cache, config->snapshot_file, config->snapshot_interval_s);
    if (!node->snapshot)
      return ERR_NOMEM;
  }
  int error = follow_purges(node, generation);
  if (error == 0)
    error = sharing_start_warm(node->sharing, config, node->resolver, node->cache, &node->worker.stats);
  if (error != 0 || node->control_fd < 0)
    return error;
  const struct job_served served = {.cache = node->cache,
                                    .resolver = node->resolver,
                                    .store = sharing_store(node->sharing),
                                    .bulletin = sharing_bulletin(node->sharing),
                                    .warm = sharing_warm(node->sharing),
                                    .ttl = &node->ttl,
                                    .cache_size_bytes = config->cache_size_bytes,
                                    .since_ms = clock_now_ms()};
  node->control = control_create(node->worker.loop, node->control_fd, &served);
  return node->control ? 0 : ERR_NOMEM;
}

static int create_frontend(struct node *node, struct frontend *frontend) {
  int error = worker_init(&frontend->worker, on_frontend_stop, frontend);
  if (error != 0)
    return error;
  frontend->worker.is_prompt = true;
  frontend->api = api_create(&node->shared, frontend->worker.loop, &frontend->worker.stats);
  if (!frontend->api)
    return ERR_NOMEM;
  ev_prepare_init(&frontend->prepare, on_frontend_prepare);
  frontend->prepare.data = frontend;
  ev_prepare_start(frontend->worker.loop, &frontend->prepare);
  return 0;
}

_Static_assert(CONFIG_SELF_NAMES_MAX + CONFIG_SELF_ADDRESSES_MAX <= WISHES_ITEMS_MAX &&
                   CONFIG_SELF_NAMES_MAX * CONFIG_NAME_SIZE + CONFIG_SELF_ADDRESSES_MAX * 16 <=
                       WISHES_OCTETS_MAX,
               "wishes have room for every self-name and self-address");

/* The names and addresses of the configuration that are this mail system (ROUTING O7). */
static const struct wishes *collect_self(struct node *node) {
  const struct config *config = node->config;
  struct wishes *self = &node->self.wishes;
  char detail[WISHES_DETAIL_SIZE];
  bool good = true;
  wishes_init(self);
  for (size_t i = 0; i < config->self_name_count; i++)
    good &= wishes_add_text(self, WISH_SELF, "self-name", (const uint8_t *)config->self_names[i],
                            strlen(config->self_names[i]), detail);
  for (size_t i = 0; i < config->self_address_count; i++)
    good &= wishes_add_address(self, WISH_SELF, "self-address", config->self_addresses[i].octets,
                               sizeof(config->self_addresses[i].octets), detail);
  assert(good);
  return wishes_have(self, WISH_SELF) ? self : NULL;
}

static struct route_policy make_route_policy(struct node *node) {
  const struct config *config = node->config;
  return (struct route_policy){.defer_no_address = config->defer_no_address,
                               .strict_null_mx_mixed = config->strict_null_mx_mixed,
                               .judge = {.reject_mx_cname = config->reject_mx_cname,
                                         .reject_mx_address = config->reject_mx_address,
                                         .families = config->families,
                                         .reach = {.drop_private = config->drop_private,
                                                   .allow_count = (uint16_t)config->allow_count,
                                                   .allow = config->allow},
                                         .self = collect_self(node)}};
}

static int create_rooms(struct node *node) {
  const struct config *config = node->config;
  name_hash_init();
  node->shared.name_policy = (struct name_policy){.accept_bare_ip = config->accept_bare_ip,
                                                  .allow_single_label = config->allow_single_label};
  node->shared.route_policy = make_route_policy(node);
  node->shared.resolve_special_use = config->resolve_special_use;
  node->shared.special_use_ttl_s = config->max_negative_ttl_s;
  node->shared.max_connections = config->max_connections;
  /* The control socket first, so that it is there for whoever has found the other. Where it cannot be had,
   * which is logged, lookups are answered without it. */
  if (config->control[0])
    listen_start(config->control, config->control_mode, &node->control_fd);
  int error = listen_start(config->listen, config->listen_mode, &node->shared.listen_fd);
  if (error == 0)
    error = create_resolver(node);
  if (error == 0)
    error = create_keepers(node);
  node->frontends = aligned_alloc(64, config->frontends * sizeof(struct frontend));
  if (!node->frontends)
    return ERR_NOMEM;
  memset(node->frontends, 0, config->frontends * sizeof(struct frontend));
  while (error == 0 && node->frontend_count < config->frontends)
    error = create_frontend(node, &node->frontends[node->frontend_count++]);
  return error;
}

int node_create(const struct config *config, struct node **result) {
  struct node *node = aligned_alloc(64, sizeof(*node));
  if (!node)
    return ERR_NOMEM;
  memset(node, 0, sizeof(*node));
  node->config = config;
  node->shared.listen_fd = node->control_fd = -1;
  int error = create_rooms(node);
  if (error != 0) {
    if (error == ERR_NOMEM)
      log_error("cannot start: %s", error_text(error));
    node_destroy(node);
    return error;
  }
  *result = node;
  return 0;
}

int node_start(struct node *node) {
  int error = worker_start(&node->worker, "resolver");
  for (size_t i = 0; error == 0 && i < node->frontend_count; i++)
    error = worker_start(&node->frontends[i].worker, "frontend");
  if (error != 0)
    node_stop(node);
  return error;
}

/* ---- stop, in reverse ---- */

static bool all_are_drained(struct node *node) {
  for (size_t i = 0; i < node->frontend_count; i++)
    if (worker_is_started(&node->frontends[i].worker) && !atomic_load(&node->frontends[i].is_drained))
      return false;
  return true;
}

static void await_drain(struct node *node, int64_t most_ms) {
  const struct timespec pause = {.tv_nsec = STOP_POLL_MS * 1000000};
  int64_t end_ms = clock_now_ms() + most_ms;
  while (!all_are_drained(node) && clock_now_ms() < end_ms)
    nanosleep(&pause, NULL);
}

void node_stop(struct node *node) {
  int64_t until_ms = clock_now_ms() + STOP_MS;
  for (size_t i = 0; i < node->frontend_count; i++)
    worker_stop(&node->frontends[i].worker);
  await_drain(node, FINISH_MS);
  worker_stop(&node->worker);
  await_drain(node, FLUSH_MS);
  for (size_t i = 0; i < node->frontend_count; i++)
    worker_end(&node->frontends[i].worker);
  worker_end(&node->worker);
  if (node->snapshot)
    snapshot_finish(node->snapshot, until_ms);
}

static void destroy_resolver(struct node *node) {
  if (!node->worker.loop)
    return;
  control_destroy(node->control);
  snapshot_destroy(node->snapshot);
  orders_destroy(node->orders);
  /* What was answered too late for its frontend, or not taken up any more. */
  mailbox_fini(&node->mailbox, miss_drop, NULL);
  resolver_destroy(node->resolver);
  sharing_destroy(node->sharing);
  dns_destroy(node->dns);
  pinned_destroy(node->pinned);
  cache_destroy(node->cache);
  worker_fini(&node->worker);
}

void node_destroy(struct node *node) {
  if (!node)
    return;
  for (size_t i = 0; i < node->frontend_count; i++) {
    api_destroy(node->frontends[i].api);
    worker_fini(&node->frontends[i].worker);
  }
  destroy_resolver(node);
  if (node->shared.listen_fd >= 0)
    listen_stop(node->config->listen, node->shared.listen_fd);
  if (node->control_fd >= 0)
    listen_stop(node->config->control, node->control_fd);
  stats_forget_all();
  free(node->frontends);
  free(node);
}
