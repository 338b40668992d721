#include "control/orders.h"

#include <ev.h>
#include <stdlib.h>

#include "base/clock.h"
#include "control/purge.h"

struct orders {
  struct ev_loop *loop;
  struct cache *cache;
  struct resolver *resolver;
  ev_timer turn;                   /* active while there are any */
  struct purge purges[ORDERS_MAX]; /* a ring */
  size_t first, count;
  uint64_t settled, carried_out; /* generations */
};

static void settle_if_idle(struct orders *orders) {
  if (orders->count == 0)
    orders->carried_out = orders->settled;
}

static void end_first(struct orders *orders) {
  purge_stop(&orders->purges[orders->first]);
  orders->first = (orders->first + 1) % ORDERS_MAX;
  orders->count--;
}

static void schedule(struct orders *orders) {
  if (orders->count == 0 || ev_is_active(&orders->turn))
    return;
  ev_timer_set(&orders->turn, 0., 0.);
  ev_timer_start(orders->loop, &orders->turn);
}

static void on_turn(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct orders *orders = timer->data;
  struct purge *purge = &orders->purges[orders->first];
  int64_t end_us = clock_now_us() + ORDERS_SLICE_US;
  do
    purge_step(purge, ORDERS_STEP_COUNT, clock_now_ms());
  while (!purge_has_ended(purge) && clock_now_us() < end_us);
  if (purge_has_ended(purge))
    end_first(orders);
  settle_if_idle(orders);
  schedule(orders);
}

void orders_put(struct orders *orders, enum purge_what what, const struct name *name) {
  struct purge once = {0};
  if (what == PURGE_OF_DOMAIN) {
    purge_start(&once, orders->cache, orders->resolver, NULL, what, name);
    return;
  }
  if (orders->count == ORDERS_MAX) {
    what = PURGE_OF_ALL;
    while (orders->count > 0)
      end_first(orders);
  }
  struct purge *purge = &orders->purges[(orders->first + orders->count++) % ORDERS_MAX];
  *purge = once;
  purge_start(purge, orders->cache, orders->resolver, NULL, what, what == PURGE_OF_ALL ? NULL : name);
  schedule(orders);
}

void orders_settle(struct orders *orders, uint64_t generation) {
  orders->settled = generation;
  settle_if_idle(orders);
}

uint64_t orders_generation(const struct orders *orders) { return orders->carried_out; }

size_t orders_count(const struct orders *orders) { return orders->count; }

static void on_purge(void *context, enum purge_what what, const struct name *name) {
  orders_put(context, what, name);
}

static void on_settled(void *context, uint64_t generation) { orders_settle(context, generation); }

int orders_follow(struct orders *orders, struct bulletin *bulletin, int64_t wall_ms) {
  const struct bulletin_calls calls = {on_purge, on_settled, orders};
  return bulletin_start(bulletin, &calls, orders->settled, wall_ms);
}

struct orders *orders_create(struct ev_loop *loop, struct cache *cache, struct resolver *resolver,
                             uint64_t generation) {
  struct orders *orders = calloc(1, sizeof(*orders));
  if (!orders)
    return NULL;
  orders->loop = loop;
  orders->cache = cache;
  orders->resolver = resolver;
  orders->settled = orders->carried_out = generation;
  ev_timer_init(&orders->turn, on_turn, 0., 0.);
  orders->turn.data = orders;
  return orders;
}

void orders_destroy(struct orders *orders) {
  if (!orders)
    return;
  ev_timer_stop(orders->loop, &orders->turn);
  while (orders->count > 0)
    end_first(orders);
  free(orders);
}
