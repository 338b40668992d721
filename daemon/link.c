#include "link.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "address.h"
#include "clock.h"
#include "error.h"
#include "heap.h"
#include "hostname.h"
#include "log.h"
#include "rediserror.h"
#include "resp.h"

_Static_assert((int)LINK_REPLY_MAX == (int)RESP_REPLY_MAX, "resp keeps that promise");

enum { CONNECT_MS = 1000, REASON_SIZE = 256, LOG_MS = 60000 };

enum step { STEP_WAITING, STEP_RESOLVING, STEP_CONNECTING, STEP_GREETING, STEP_UP };

/* What is said first, one after the other, each when the one before it is answered. */
enum greeting { GREET_AUTH, GREET_SELECT, GREET_READONLY, GREET_PING, GREET_SUBSCRIBE, GREET_COUNT };

static const char *const greeting_words[GREET_COUNT] = {"AUTH", "SELECT", "READONLY", "PING", "SUBSCRIBE"};

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
  char name[LINK_TARGET_TEXT_SIZE]; /* of the server, for people */
  enum link_state state;
  enum step step;
  enum greeting greeting;
  struct breaker breaker;
  struct resp *resp;                                         /* from STEP_CONNECTING on */
  struct hostname *hostname;                                 /* in STEP_RESOLVING */
  struct sockaddr_storage addresses[HOSTNAME_ADDRESSES_MAX]; /* the last ones found */
  size_t address_count, address_at, tries;
  struct call_list sent;    /* without an answer yet, in order */
  struct call_list unheard; /* whose connection was lost: told NULL when the loop comes to it */
  uint32_t outstanding;     /* of those sent */
  struct heap dues;
  ev_timer start, deadline, due, beat;
  ev_prepare tell; /* never started: an event of it is pending while there are unheard ones */
  bool is_beating;
  uint64_t heard_at_beat;
  int64_t greeted_at_us;
  uint32_t latency_us;
  struct rediserror_log errors;
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

static uint32_t connect_timeout_ms(const struct link *link) {
  return link->options.connect_timeout_ms ? link->options.connect_timeout_ms : CONNECT_MS;
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
  if (now_ms < link->next_log_at_ms[is_down])
    return;
  link->next_log_at_ms[is_down] = now_ms + LOG_MS;
  link->is_told_up = link->is_told_up && !is_down;
  if (is_down)
    log_warning("redis %s is down: %s; nobody waits for it, and it is tried again every %d to %d s",
                link->name, reason, BREAKER_LEAST_MS / 1000, BREAKER_MOST_MS / 1000);
  else
    log_info("redis %s: %s; trying again", link->name, reason);
}

/* Closes, and tries again later. */
static void lose(struct link *link, const char *reason) {
  resp_destroy(link->resp);
  link->resp = NULL;
  if (link->hostname)
    hostname_cancel(link->hostname);
  link->hostname = NULL;
  ev_timer_stop(link->loop, &link->deadline);
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
  link->step = STEP_WAITING;
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
  ev_timer_stop(link->loop, &link->deadline);
  link->step = STEP_UP;
  link->is_beating = false;
  link->heard_at_beat = 0;
  ev_timer_again(link->loop, &link->beat);
  breaker_on_probe(&link->breaker);
  if (!link->is_told_up)
    log_notice("redis %s is up", link->name);
  link->is_told_up = true;
  set_state(link, LINK_UP, "connected");
}

static void log_error_reply(struct link *link, const struct redisReply *reply, enum rediserror error) {
  rediserror_log(&link->errors, error, reply->str, reply->len, link->name, clock_now_ms());
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
    enum rediserror error = rediserror_parse(reply->str, reply->len);
    log_error_reply(link, reply, error);
    if (rediserror_is_useless(error))
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
  link_reply_fn *done = call->done;
  void *context = call->context;
  link->outstanding -= !call->is_beat;
  heap_remove(&link->dues, &call->due);
  bool is_good = judge_answer(link, call, reply, now_ms);
  free(call);
  if (!is_good)
    lose(link, rediserror_advice(rediserror_parse(reply->str, reply->len)));
  if (done)
    done(context, reply, now_ms);
}

static bool is_text(const struct redisReply *reply, const char *text) {
  return (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) &&
         reply->len == strlen(text) && memcmp(reply->str, text, reply->len) == 0;
}

/* Of a subscriber: messages, and the answers to what on_beat has asked. */
static void on_push(struct link *link, const struct redisReply *reply) {
  bool is_array = reply->type == REDIS_REPLY_ARRAY;
  if (is_array && reply->elements == 3 && is_text(reply->element[0], "message") &&
      is_text(reply->element[1], link->channel) && reply->element[2]->type == REDIS_REPLY_STRING)
    link->on_message(link->context, reply->element[2]->str, reply->element[2]->len, clock_now_ms());
  else if (!is_array || reply->elements != 2 || !is_text(reply->element[0], "pong"))
    fail(link, "something else than a message came");
}

/* Nobody may have asked for anything for long: finds out whether the server is still there. */
static void on_beat(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  static const char *const words[] = {"PING"};
  static const size_t lengths[] = {4};
  struct link *link = timer->data;
  uint64_t heard = resp_heard(link->resp);
  bool has_heard = heard != link->heard_at_beat;
  link->heard_at_beat = heard;
  if (has_heard) {
    link->is_beating = false;
    return;
  }
  struct link_call *call = link->is_beating || link->channel ? NULL : calloc(1, sizeof(*call));
  if (link->is_beating) {
    fail(link, "nothing was heard of the server");
    return;
  }
  if ((!call && !link->channel) || !resp_send(link->resp, 1, words, lengths)) {
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

/* ---- greeting ---- */

static bool is_wanted(const struct link *link, enum greeting greeting) {
  const struct link_options *options = &link->options;
  switch (greeting) {
  case GREET_AUTH:
    return (options->user && *options->user) || (options->password && *options->password);
  case GREET_SELECT:
    return options->database != 0;
  case GREET_READONLY:
    return options->readonly;
  case GREET_PING:
    return true;
  case GREET_SUBSCRIBE:
    return link->channel != NULL;
  case GREET_COUNT:
    break;
  }
  return false;
}

/* Says what is next, or is up. */
static void greet(struct link *link) {
  const struct link_options *options = &link->options;
  const char *words[3];
  size_t lengths[3];
  int count = 0;
  char number[16];
  while (link->greeting < GREET_COUNT && !is_wanted(link, link->greeting))
    link->greeting++;
  if (link->greeting == GREET_COUNT) {
    come_up(link);
    return;
  }
  words[count++] = greeting_words[link->greeting];
  if (link->greeting == GREET_AUTH) {
    if (options->user && *options->user)
      words[count++] = options->user;
    words[count++] = options->password ? options->password : "";
  } else if (link->greeting == GREET_SELECT) {
    snprintf(number, sizeof(number), "%" PRIu32, options->database);
    words[count++] = number;
  } else if (link->greeting == GREET_SUBSCRIBE) {
    words[count++] = link->channel;
  }
  for (int i = 0; i < count; i++)
    lengths[i] = strlen(words[i]);
  link->greeted_at_us = clock_now_us();
  if (!resp_send(link->resp, count, words, lengths))
    fail(link, error_text(ERR_NOMEM));
}

/* An error at this point: true if the server can be used all the same. A PING is refused to users that may
 * not say it, and by servers that cannot save to their disk, which answer reads. */
static bool greets_well_enough(struct link *link, const struct redisReply *reply) {
  char reason[REASON_SIZE];
  enum rediserror error = rediserror_parse(reply->str, reply->len);
  log_error_reply(link, reply, error);
  if (link->greeting == GREET_PING && !rediserror_is_useless(error))
    return true;
  int shown = reply->len < 100 ? (int)reply->len : 100;
  snprintf(reason, sizeof(reason), "%s is answered \"%.*s\"", greeting_words[link->greeting], shown,
           reply->str);
  fail(link, reason);
  return false;
}

static bool is_expected(const struct link *link, const struct redisReply *reply) {
  if (link->greeting == GREET_SUBSCRIBE)
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
           is_text(reply->element[0], "subscribe") && is_text(reply->element[1], link->channel);
  return is_text(reply, link->greeting == GREET_PING ? "PONG" : "OK");
}

static void on_greeted(struct link *link, const struct redisReply *reply) {
  char reason[REASON_SIZE];
  const char *word = greeting_words[link->greeting];
  int64_t taken_ms = (clock_now_us() - link->greeted_at_us) / 1000;
  uint32_t limit_ms = link->options.answer_timeout_ms;
  if (reply->type == REDIS_REPLY_ERROR) {
    if (!greets_well_enough(link, reply))
      return;
  } else if (!is_expected(link, reply)) {
    snprintf(reason, sizeof(reason), "the answer to %s is none of Redis", word);
    fail(link, reason);
    return;
  }
  if (link->greeting == GREET_PING && limit_ms > 0 && taken_ms > limit_ms) {
    snprintf(reason, sizeof(reason), "%s was answered after %" PRId64 " ms", word, taken_ms);
    fail(link, reason);
    return;
  }
  link->greeting++;
  greet(link);
}

/* ---- connecting ---- */

static void on_open(void *context) {
  struct link *link = context;
  link->step = STEP_GREETING;
  link->greeting = GREET_AUTH;
  greet(link);
}

static void on_reply(void *context, const struct redisReply *reply) {
  struct link *link = context;
  if (link->step == STEP_GREETING)
    on_greeted(link, reply);
  else if (link->channel)
    on_push(link, reply);
  else
    on_answer(link, reply);
}

static void connect_next(struct link *link, const char *reason);

static void on_closed(void *context, const char *reason) {
  struct link *link = context;
  char copy[REASON_SIZE]; /* it lies in what is closed */
  snprintf(copy, sizeof(copy), "%s", reason);
  if (link->step != STEP_CONNECTING) {
    fail(link, copy);
    return;
  }
  resp_destroy(link->resp);
  link->resp = NULL;
  link->tries++;
  link->address_at++;
  connect_next(link, copy);
}

static int connect_to(struct link *link) {
  static const struct resp_handlers handlers = {on_open, on_reply, on_closed};
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  const struct sockaddr_storage *address = &link->addresses[link->address_at % HOSTNAME_ADDRESSES_MAX];
  struct resp_target target = {.tls = link->options.tls, .name = link->options.target.host};
  if (link->options.target.path[0]) {
    memcpy(local.sun_path, link->options.target.path, sizeof(local.sun_path));
    target.address = (const struct sockaddr *)&local;
    target.length = sizeof(local);
  } else {
    target.address = (const struct sockaddr *)address;
    target.length = address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  }
  return resp_create(link->loop, &target, &handlers, link, &link->resp);
}

/* Tries the addresses that have not been tried yet; `reason` is why the last one was of no use. */
static void connect_next(struct link *link, const char *reason) {
  char text[REASON_SIZE];
  link->step = STEP_CONNECTING;
  for (; link->tries < link->address_count; link->tries++, link->address_at++) {
    link->address_at %= link->address_count;
    int status = connect_to(link);
    if (status == 0)
      return;
    reason = status == ERR_SYSTEM ? strerror(errno) : error_text(status);
  }
  snprintf(text, sizeof(text), "cannot connect: %.200s", reason);
  fail(link, text);
}

static void on_resolved(void *context, const struct sockaddr_storage *addresses, size_t count,
                        const char *reason) {
  struct link *link = context;
  char text[REASON_SIZE];
  link->hostname = NULL;
  if (count > 0) {
    memcpy(link->addresses, addresses, count * sizeof(addresses[0]));
    link->address_count = count;
  }
  /* What was found earlier may well still hold: that the DNS is down must not take Redis away, too. */
  if (link->address_count > 0) {
    connect_next(link, "");
    return;
  }
  snprintf(text, sizeof(text), "cannot resolve the name: %.200s", reason);
  fail(link, text);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct link *link = timer->data;
  if (link->step == STEP_RESOLVING && link->address_count > 0) {
    hostname_cancel(link->hostname);
    start_timer(link, &link->deadline, connect_timeout_ms(link));
    on_resolved(link, NULL, 0, "");
    return;
  }
  char reason[REASON_SIZE];
  link->address_at++; /* another one answers, perhaps */
  snprintf(reason, sizeof(reason), "%s within %" PRIu32 " ms",
           link->step == STEP_RESOLVING    ? "the name was not resolved"
           : link->step == STEP_CONNECTING ? "there was no connection"
                                           : "the server did not answer",
           connect_timeout_ms(link));
  fail(link, reason);
}

static void on_start(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)events;
  struct link *link = timer->data;
  const struct link_target *target = &link->options.target;
  uint16_t port = target->port ? target->port : LINK_PORT;
  start_timer(link, &link->deadline, connect_timeout_ms(link));
  link->tries = 0;
  if (target->path[0] || address_parse(target->host, port, &link->addresses[0])) {
    link->address_count = 1;
    connect_next(link, "");
    return;
  }
  link->step = STEP_RESOLVING;
  int status = hostname_ask(loop, target->host, port, on_resolved, link, &link->hostname);
  if (status != 0)
    on_resolved(link, NULL, 0, error_text(status));
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
    link_reply_fn *done = call->done;
    void *context = call->context;
    heap_remove(&link->dues, &call->due);
    call->done = NULL;
    call->is_late = true;
    bool is_open = breaker_on_failure(&link->breaker, call->counted_from_ms, now_ms);
    call->counted_from_ms = now_ms;
    if (call == link->sent.first) /* there is room for what was just removed */
      heap_put(&link->dues, &call->due, now_ms + call->timeout_ms + 1);
    if (is_open)
      lose(link, "it does not answer in time");
    if (done)
      done(context, NULL, now_ms);
    if (is_gone)
      return;
  }
  link->is_gone = NULL;
  start_due_timer(link);
}

int link_send(struct link *link, const struct link_command *command, uint32_t timeout_ms, link_reply_fn *done,
              void *context, struct link_call **call) {
  assert(command->count > 0 && command->count <= LINK_WORDS_MAX && !link->channel);
  if (link->step != STEP_UP)
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
  if (!resp_send(link->resp, command->count, command->words, command->lengths)) {
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

static int create(struct ev_loop *loop, const struct link_options *options, link_state_fn *on_state,
                  void *context, struct link **link) {
  struct link *made = calloc(1, sizeof(*made));
  uint64_t seed;
  if (!made)
    return ERR_NOMEM;
  random_bytes(&seed, sizeof(seed));
  made->loop = loop;
  made->options = *options;
  made->on_state = on_state;
  made->context = context;
  made->sent.end = &made->sent.first;
  made->unheard.end = &made->unheard.first;
  link_target_text(&options->target, made->name);
  breaker_init(&made->breaker, seed);
  heap_init(&made->dues);
  ev_timer_init(&made->start, on_start, 0., 0.);
  ev_timer_init(&made->deadline, on_deadline, 0., 0.);
  ev_timer_init(&made->due, on_due, 0., 0.);
  ev_timer_init(&made->beat, on_beat, 0., LINK_BEAT_MS / 1000.);
  ev_prepare_init(&made->tell, on_tell);
  made->start.data = made->deadline.data = made->due.data = made->beat.data = made->tell.data = made;
  ev_timer_start(loop, &made->start);
  *link = made;
  return 0;
}

int link_create(struct ev_loop *loop, const struct link_options *options, link_state_fn *on_state,
                void *context, struct link **link) {
  return create(loop, options, on_state, context, link);
}

int link_create_subscriber(struct ev_loop *loop, const struct link_options *options, const char *channel,
                           link_message_fn *on_message, link_state_fn *on_state, void *context,
                           struct link **link) {
  struct link *made;
  char *copy = strdup(channel);
  if (!copy)
    return ERR_NOMEM;
  int status = create(loop, options, on_state, context, &made);
  if (status != 0) {
    free(copy);
    return status;
  }
  made->channel = copy;
  made->on_message = on_message;
  *link = made;
  return 0;
}

void link_destroy(struct link *link) {
  if (!link)
    return;
  if (link->is_gone)
    *link->is_gone = true;
  resp_destroy(link->resp);
  if (link->hostname)
    hostname_cancel(link->hostname);
  ev_timer_stop(link->loop, &link->start);
  ev_timer_stop(link->loop, &link->deadline);
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
