#include "redis/link.h"

#include <assert.h>
#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/log.h"
#include "redis/dial.h"
#include "redis/rediserror.h"
#include "redis/resp.h"

_Static_assert((int)LINK_PORT == (int)DIAL_PORT, "dial fills it in");

/* One command, until its answer has come. */
struct link_call {
  struct heap_node due;
  struct link_call *next; /* sent after it, or told after it */
  link_reply_fn *done;    /* NULL: told, or cancelled */
  void *context;
  bool is_beat, is_late;
  uint32_t timeout_ms;
  int64_t counted_from_ms, sent_at_us;
};

struct call_list {
  struct link_call *first, **end;
};

struct link {
  struct ev_loop *loop;
  struct link_options options;
  link_state_fn *on_state;
  link_message_fn *on_message; /* of a subscriber, else NULL */
  char *channel;               /* of a subscriber */
  void *context;
  struct dial *dial;
  enum link_state state;
  bool is_ready; /* commands can be sent: as LINK_UP, but for the moment in which that is told */
  struct breaker breaker;
  struct call_list sent;    /* without an answer yet, in order */
  struct call_list unheard; /* whose connection was lost: told NULL when the loop comes to it */
  uint32_t outstanding;     /* of those sent */
  struct heap dues;
  ev_timer start, due, beat;
  ev_prepare tell; /* never started: an event of it is pending while there are unheard ones */
  bool is_beating;
  uint64_t heard_at_beat;
  uint32_t latency_us;
  int64_t next_log_at_ms[2]; /* that it is tried again; that it is down */
  bool is_told_up;           /* what the log said last */
  bool *is_gone;             /* of who calls back in a row: set by link_destroy */
};

/* ---- lists of calls ---- */

static void append(struct call_list *list, struct link_call *call) {
  call->next = NULL;
  *list->end = call;
  list->end = &call->next;
}

static struct link_call *take_first(struct call_list *list) {
  struct link_call *call = list->first;
  if (call && !(list->first = call->next))
    list->end = &list->first;
  return call;
}

static void free_all(struct call_list *list) {
  for (struct link_call *call; (call = take_first(list));)
    free(call);
}

/* ---- time ---- */

static void start_timer(struct link *link, ev_timer *timer, int64_t ms) {
  ev_timer_stop(link->loop, timer);
  ev_timer_set(timer, ms > 0 ? (double)ms / 1000. : 0., 0.);
  ev_timer_start(link->loop, timer);
}

static void start_due_timer(struct link *link) {
  const struct heap_node *first = heap_first(&link->dues);
  if (first)
    start_timer(link, &link->due, first->at_ms - clock_now_ms());
}

/* ---- states ---- */

static void set_state(struct link *link, enum link_state state, const char *reason) {
  if (state == link->state)
    return;
  link->state = state;
  link->on_state(link->context, state, reason);
}

static void log_failure(struct link *link, const char *reason, int64_t now_ms) {
  bool is_down = link->breaker.is_open;
  if (!log_is_due(&link->next_log_at_ms[is_down], now_ms))
    return;
  link->is_told_up = link->is_told_up && !is_down;
  if (is_down)
    log_warning("redis %s is down: %s; nobody waits for it, and it is tried again every %d to %d s",
                dial_name(link->dial), reason, BREAKER_LEAST_MS / 1000, BREAKER_MOST_MS / 1000);
  else
    log_info("redis %s: %s; trying again", dial_name(link->dial), reason);
}

/* Closes, and tries again later. */
static void lose(struct link *link, const char *reason) {
  dial_stop(link->dial);
  link->is_ready = false;
  ev_timer_stop(link->loop, &link->due);
  ev_timer_stop(link->loop, &link->beat);
  for (struct link_call *call; (call = take_first(&link->sent));) {
    heap_remove(&link->dues, &call->due);
    if (call->done)
      append(&link->unheard, call);
    else
      free(call);
  }
  link->outstanding = 0;
  if (link->unheard.first)
    ev_feed_event(link->loop, &link->tell, EV_CUSTOM);
  start_timer(link, &link->start, breaker_wait_ms(&link->breaker));
  log_failure(link, reason, clock_now_ms());
  set_state(link, link->breaker.is_open ? LINK_DOWN : LINK_CONNECTING, reason);
}

static void fail(struct link *link, const char *reason) {
  int64_t now_ms = clock_now_ms();
  breaker_on_failure(&link->breaker, now_ms, now_ms);
  lose(link, reason);
}

static void on_tell(struct ev_loop *loop, ev_prepare *tell, int events) {
  (void)loop, (void)events;
  struct link *link = tell->data;
  bool is_gone = false;
  int64_t now_ms = clock_now_ms();
  link->is_gone = &is_gone;
  for (struct link_call *call; (call = take_first(&link->unheard));) {
    link_reply_fn *done = call->done;
    void *context = call->context;
    free(call);
    if (done)
      done(context, NULL, now_ms);
    if (is_gone)
      return;
  }
  link->is_gone = NULL;
}

/* ---- up ---- */

static void come_up(struct link *link) {
  link->is_ready = true;
  link->is_beating = false;
  link->heard_at_beat = 0;
  ev_timer_again(link->loop, &link->beat);
  if (link->breaker
          .is_open) /* else who answers PING and then hangs up would be tried for ever without a pause */
    breaker_on_probe(&link->breaker);
  if (!link->is_told_up)
    log_notice("redis %s is up", dial_name(link->dial));
  link->is_told_up = true;
  set_state(link, LINK_UP, "connected");
}

static void smooth_latency(struct link *link, int64_t us) {
  uint32_t measured_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
  link->latency_us =
      link->latency_us ? (uint32_t)(((uint64_t)link->latency_us * 7 + measured_us) / 8) : measured_us;
}

/* What an answer says of the server. False: it is to be left alone. */
static bool judge_answer(struct link *link, const struct link_call *call, const struct redisReply *reply,
                         int64_t now_ms) {
  if (reply->type == REDIS_REPLY_ERROR) {
    if (rediserror_is_useless(dial_judge(link->dial, reply)))
      return !breaker_on_failure(&link->breaker, call->counted_from_ms, now_ms);
  }
  if (!call->is_late && !call->is_beat) {
    smooth_latency(link, clock_now_us() - call->sent_at_us);
    breaker_on_success(&link->breaker);
  }
  return true;
}

static void on_answer(struct link *link, const struct redisReply *reply) {
  int64_t now_ms = clock_now_ms();
  struct link_call *call = take_first(&link->sent);
  if (!call) {
    fail(link, "an answer came that nobody had asked for");
    return;
  }
  link->outstanding -= !call->is_beat;
  heap_remove(&link->dues, &call->due);
  if (!judge_answer(link, call, reply, now_ms))
    lose(link, rediserror_advice(rediserror_parse(reply->str, reply->len)));
  /* Who is told of that may have cancelled this very call. */
  link_reply_fn *done = call->done;
  void *context = call->context;
  free(call);
  if (done)
    done(context, reply, now_ms);
}

/* Of a subscriber: messages, and the answers to what on_beat has asked. */
static void on_push(struct link *link, const struct redisReply *reply) {
  bool is_array = reply->type == REDIS_REPLY_ARRAY;
  if (is_array && reply->elements == 3 && dial_is_text(reply->element[0], "message") &&
      dial_is_text(reply->element[1], link->channel) && reply->element[2]->type == REDIS_REPLY_STRING)
    link->on_message(link->context, reply->element[2]->str, reply->element[2]->len, clock_now_ms());
  else if (!is_array || reply->elements != 2 || !dial_is_text(reply->element[0], "pong"))
    fail(link, "something else than a message came");
}

/* Nobody may have asked for anything for long: finds out whether the server is still there. */
static void on_beat(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  static const char *const words[] = {"PING"};
  static const size_t lengths[] = {4};
  struct link *link = timer->data;
  uint64_t heard = dial_heard(link->dial);
  bool has_heard = heard != link->heard_at_beat;
  link->heard_at_beat = heard;
  if (has_heard) { /* since it came up, or since the last beat: it keeps up */
    breaker_on_probe(&link->breaker);
    link->is_beating = false;
    return;
  }
  struct link_call *call = link->is_beating || link->channel ? NULL : calloc(1, sizeof(*call));
  if (link->is_beating) {
    fail(link, "nothing was heard of the server");
    return;
  }
  if ((!call && !link->channel) || !dial_send(link->dial, 1, words, lengths)) {
    free(call);
    return; /* without memory: the next beat tries again */
  }
  link->is_beating = true;
  if (call) {
    call->is_beat = true;
    call->counted_from_ms = clock_now_ms();
    append(&link->sent, call);
  }
}

/* ---- attempts ---- */

static void on_ready(void *context) { come_up(context); }

static void on_reply(void *context, const struct redisReply *reply) {
  struct link *link = context;
  if (link->channel)
    on_push(link, reply);
  else
    on_answer(link, reply);
}

/* Who has asked for too much is told so, not that there is no answer: the same question would end the
 * connection again. */
static void on_failed(void *context, const char *reason) {
  static const char too_large[] = "TOOLARGE " RESP_TOO_LARGE;
  const redisReply error = {
      .type = REDIS_REPLY_ERROR, .str = (char *)too_large, .len = sizeof(too_large) - 1};
  struct link *link = context;
  struct link_call *call = strcmp(reason, RESP_TOO_LARGE) == 0 ? take_first(&link->sent) : NULL;
  if (call)
    heap_remove(&link->dues, &call->due);
  fail(link, reason);
  if (call && call->done)
    call->done(call->context, &error, clock_now_ms());
  free(call);
}

static void on_start(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct link *link = timer->data;
  dial_start(link->dial);
}

/* ---- commands ---- */

/* Counts what has no answer in its time. The oldest one goes on being counted, as long as it has none: where
 * no further command is taken nobody else would notice that the server hangs. */
static void on_due(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct link *link = timer->data;
  bool is_gone = false;
  int64_t now_ms = clock_now_ms();
  const struct heap_node *node;
  link->is_gone = &is_gone;
  while ((node = heap_first(&link->dues)) && node->at_ms <= now_ms) {
    struct link_call *call = (struct link_call *)node;
    heap_remove(&link->dues, &call->due);
    call->is_late = true;
    if (breaker_on_failure(&link->breaker, call->counted_from_ms, now_ms)) {
      lose(link, "it does not answer in time"); /* all of them are told when the loop comes to it */
      break;
    }
    link_reply_fn *done = call->done;
    call->done = NULL;
    call->counted_from_ms = now_ms;
    if (call == link->sent.first) /* there is room for what was just removed */
      heap_put(&link->dues, &call->due, now_ms + call->timeout_ms + 1);
    if (done)
      done(call->context, NULL, now_ms);
    if (is_gone)
      return;
  }
  link->is_gone = NULL;
  start_due_timer(link);
}

int link_send(struct link *link, const struct link_command *command, uint32_t timeout_ms, link_reply_fn *done,
              void *context, struct link_call **call) {
  assert(command->count > 0 && command->count <= LINK_WORDS_MAX && !link->channel);
  if (!link->is_ready)
    return ERR_NETWORK;
  if (link->outstanding >= link->options.max_commands)
    return ERR_OVERLOAD;
  struct link_call *made = calloc(1, sizeof(*made));
  if (!made)
    return ERR_NOMEM;
  made->done = done;
  made->context = context;
  made->timeout_ms = timeout_ms;
  made->counted_from_ms = clock_now_ms();
  made->sent_at_us = clock_now_us();
  if (heap_put(&link->dues, &made->due, made->counted_from_ms + timeout_ms + 1) != 0) {
    free(made);
    return ERR_NOMEM;
  }
  if (!dial_send(link->dial, command->count, command->words, command->lengths)) {
    heap_remove(&link->dues, &made->due);
    free(made);
    return ERR_NOMEM;
  }
  append(&link->sent, made);
  link->outstanding++;
  if (heap_first(&link->dues) == &made->due)
    start_due_timer(link);
  if (call)
    *call = made;
  return 0;
}

void link_cancel(struct link_call *call) { call->done = NULL; }

/* ---- its life ---- */

static int create(struct ev_loop *loop, const struct link_options *options, const char *channel,
                  link_state_fn *on_state, void *context, struct link **link) {
  static const struct dial_handlers handlers = {on_ready, on_reply, on_failed};
  struct link *made = calloc(1, sizeof(*made));
  uint64_t seed;
  if (!made)
    return ERR_NOMEM;
  made->options = *options;
  made->channel = channel ? strdup(channel) : NULL;
  made->dial = dial_create(loop, &made->options, made->channel, &handlers, made);
  if (!made->dial || (channel && !made->channel)) {
    dial_destroy(made->dial);
    free(made->channel);
    free(made);
    return ERR_NOMEM;
  }
  random_bytes(&seed, sizeof(seed));
  breaker_init(&made->breaker, seed);
  made->loop = loop;
  made->on_state = on_state;
  made->context = context;
  made->sent.end = &made->sent.first;
  made->unheard.end = &made->unheard.first;
  heap_init(&made->dues);
  ev_timer_init(&made->start, on_start, 0., 0.);
  ev_timer_init(&made->due, on_due, 0., 0.);
  ev_timer_init(&made->beat, on_beat, 0., (options->beat_ms ? options->beat_ms : LINK_BEAT_MS) / 1000.);
  ev_prepare_init(&made->tell, on_tell);
  /* Behind answers that are there: the loop was late, not the server. */
  ev_set_priority(&made->due, EV_MINPRI);
  ev_set_priority(&made->beat, EV_MINPRI);
  made->start.data = made->due.data = made->beat.data = made->tell.data = made;
  ev_timer_start(loop, &made->start);
  *link = made;
  return 0;
}

int link_create(struct ev_loop *loop, const struct link_options *options, link_state_fn *on_state,
                void *context, struct link **link) {
  return create(loop, options, NULL, on_state, context, link);
}

int link_create_subscriber(struct ev_loop *loop, const struct link_options *options, const char *channel,
                           link_message_fn *on_message, link_state_fn *on_state, void *context,
                           struct link **link) {
  int status = create(loop, options, channel, on_state, context, link);
  if (status == 0)
    (*link)->on_message = on_message; /* before the loop runs */
  return status;
}

void link_destroy(struct link *link) {
  if (!link)
    return;
  if (link->is_gone)
    *link->is_gone = true;
  dial_destroy(link->dial);
  ev_timer_stop(link->loop, &link->start);
  ev_timer_stop(link->loop, &link->due);
  ev_timer_stop(link->loop, &link->beat);
  ev_clear_pending(link->loop, &link->tell);
  free_all(&link->sent);
  free_all(&link->unheard);
  heap_fini(&link->dues);
  free(link->channel);
  free(link);
}

enum link_state link_state(const struct link *link) { return link->state; }

uint32_t link_latency_us(const struct link *link) { return link->latency_us; }

uint32_t link_outstanding(const struct link *link) { return link->outstanding; }
