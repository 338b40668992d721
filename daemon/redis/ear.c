#include "redis/ear.h"

#include <ev.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"

struct ear {
  struct ev_loop *loop;
  struct ear_options options;
  struct link *link; /* NULL: nowhere yet; its target is in `options` */
  bool is_lost;
  int64_t moved_at_ms;
  ev_timer turn; /* a link must not be destroyed where it tells its state */
};

void ear_settle(struct ear *ear) {
  if (!ear || ev_is_active(&ear->turn))
    return;
  int64_t wait_ms = ear->moved_at_ms + EAR_MOVES_MS - clock_now_ms();
  ev_timer_set(&ear->turn, wait_ms > 0 ? (double)wait_ms / 1000. : 0., 0.);
  ev_timer_start(ear->loop, &ear->turn);
}

static void on_state(void *context, enum link_state state, const char *reason) {
  (void)reason;
  struct ear *ear = context;
  ear->is_lost = state == LINK_DOWN;
  if (state == LINK_UP)
    ear->options.on_up(ear->options.context, clock_now_ms());
  else if (state == LINK_DOWN)
    ear_settle(ear);
}

static void on_message(void *context, const char *message, size_t length, int64_t now_ms) {
  struct ear *ear = context;
  ear->options.on_message(ear->options.context, message, length, now_ms);
}

static void move(struct ear *ear, const struct link_target *target) {
  link_destroy(ear->link);
  ear->link = NULL;
  ear->is_lost = false;
  ear->options.link.target = *target;
  ear->moved_at_ms = clock_now_ms();
  if (link_create_subscriber(ear->loop, &ear->options.link, ear->options.channel, on_message, on_state, ear,
                             &ear->link) != 0) {
    ear->link = NULL;
    ear_settle(ear);
  }
}

static void on_turn(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct ear *ear = timer->data;
  const struct link_target *at = ear->link ? &ear->options.link.target : NULL;
  const struct link_target *target = ear->options.place(ear->options.place_context, at, ear->is_lost);
  if (target && !(at && link_target_is_same(at, target)))
    move(ear, target);
}

int ear_create(struct ev_loop *loop, const struct ear_options *options, struct ear **result) {
  struct ear *ear = calloc(1, sizeof(*ear));
  if (!ear)
    return ERR_NOMEM;
  ear->loop = loop;
  ear->options = *options;
  ear->moved_at_ms = INT64_MIN / 2;
  ev_timer_init(&ear->turn, on_turn, 0., 0.);
  ear->turn.data = ear;
  ear_settle(ear);
  *result = ear;
  return 0;
}

void ear_destroy(struct ear *ear) {
  if (!ear)
    return;
  ev_timer_stop(ear->loop, &ear->turn);
  link_destroy(ear->link);
  free(ear);
}
