#include "redis/dial.h"

#include <errno.h>
#include <ev.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hostname.h"
#include "redis/resp.h"

enum { REASON_SIZE = 256 };

enum step { STEP_NONE, STEP_RESOLVING, STEP_CONNECTING, STEP_GREETING, STEP_READY };

/* What is said first, one after the other, each when the one before it is answered. */
enum greeting { GREET_AUTH, GREET_SELECT, GREET_READONLY, GREET_PING, GREET_SUBSCRIBE, GREET_COUNT };

static const char *const greeting_words[GREET_COUNT] = {"AUTH", "SELECT", "READONLY", "PING", "SUBSCRIBE"};

struct dial {
  struct ev_loop *loop;
  const struct link_options *options;
  const char *channel;
  const struct dial_handlers *handlers;
  void *context;
  char name[LINK_TARGET_TEXT_SIZE + 16];
  enum step step;
  enum greeting greeting;
  struct hostname *hostname;                                 /* in STEP_RESOLVING */
  struct resp *resp;                                         /* from STEP_CONNECTING on */
  struct sockaddr_storage addresses[HOSTNAME_ADDRESSES_MAX]; /* the last ones found */
  size_t address_count, address_at, tries;
  ev_timer deadline;
  struct rediserror_log errors;
};

static uint32_t limit_ms(const struct dial *dial) {
  return dial->options->connect_timeout_ms ? dial->options->connect_timeout_ms : DIAL_CONNECT_MS;
}

static void start_deadline(struct dial *dial) {
  ev_timer_stop(dial->loop, &dial->deadline);
  ev_now_update(dial->loop); /* the time of the loop may lie behind */
  ev_timer_set(&dial->deadline, (double)limit_ms(dial) / 1000., 0.);
  ev_timer_start(dial->loop, &dial->deadline);
}

/* As the last thing that is done to `dial` by its caller: it may be gone then. */
static void fail(struct dial *dial, const char *reason) {
  if (dial->step == STEP_GREETING)
    dial->address_at++; /* another one is better, perhaps */
  dial_stop(dial);
  dial->handlers->failed(dial->context, reason);
}

enum rediserror dial_judge(struct dial *dial, const struct redisReply *reply) {
  enum rediserror error = rediserror_parse(reply->str, reply->len);
  rediserror_log(&dial->errors, error, reply->str, reply->len, dial->name, clock_now_ms());
  return error;
}

bool dial_is_text(const struct redisReply *reply, const char *text) {
  return (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) &&
         reply->len == strlen(text) && memcmp(reply->str, text, reply->len) == 0;
}

/* ---- greeting ---- */

static bool is_wanted(const struct dial *dial, enum greeting greeting) {
  const struct link_options *options = dial->options;
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
    return dial->channel != NULL;
  case GREET_COUNT:
    break;
  }
  return false;
}

/* Says what is next, or is up. */
static void greet(struct dial *dial) {
  const struct link_options *options = dial->options;
  const char *words[3];
  size_t lengths[3];
  int count = 0;
  char number[16];
  while (dial->greeting < GREET_COUNT && !is_wanted(dial, dial->greeting))
    dial->greeting++;
  if (dial->greeting == GREET_COUNT) {
    ev_timer_stop(dial->loop, &dial->deadline);
    dial->step = STEP_READY;
    dial->handlers->ready(dial->context);
    return;
  }
  words[count++] = greeting_words[dial->greeting];
  if (dial->greeting == GREET_AUTH) {
    if (options->user && *options->user)
      words[count++] = options->user;
    words[count++] = options->password ? options->password : "";
  } else if (dial->greeting == GREET_SELECT) {
    snprintf(number, sizeof(number), "%" PRIu32, options->database);
    words[count++] = number;
  } else if (dial->greeting == GREET_SUBSCRIBE) {
    words[count++] = dial->channel;
  }
  for (int i = 0; i < count; i++)
    lengths[i] = strlen(words[i]);
  if (!resp_send(dial->resp, count, words, lengths))
    fail(dial, error_text(ERR_NOMEM));
}

/* An error at this point: true if the server can be used all the same. A PING is refused to users that may
 * not say it, and by servers that cannot save to their disk, which answer reads. */
static bool greets_well_enough(struct dial *dial, const struct redisReply *reply) {
  char reason[REASON_SIZE];
  enum rediserror error = dial_judge(dial, reply);
  if (dial->greeting == GREET_PING && !rediserror_is_useless(error))
    return true;
  int shown = reply->len < 100 ? (int)reply->len : 100;
  snprintf(reason, sizeof(reason), "%s is answered \"%.*s\"", greeting_words[dial->greeting], shown,
           reply->str);
  fail(dial, reason);
  return false;
}

static bool is_expected(const struct dial *dial, const struct redisReply *reply) {
  if (dial->greeting == GREET_SUBSCRIBE)
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
           dial_is_text(reply->element[0], "subscribe") && dial_is_text(reply->element[1], dial->channel);
  return dial_is_text(reply, dial->greeting == GREET_PING ? "PONG" : "OK");
}

static void on_greeted(struct dial *dial, const struct redisReply *reply) {
  char reason[REASON_SIZE];
  const char *word = greeting_words[dial->greeting];
  if (reply->type == REDIS_REPLY_ERROR) {
    if (!greets_well_enough(dial, reply))
      return;
  } else if (!is_expected(dial, reply)) {
    snprintf(reason, sizeof(reason), "the answer to %s is none of Redis", word);
    fail(dial, reason);
    return;
  }
  dial->greeting++;
  greet(dial);
}

/* ---- connecting ---- */

static void on_open(void *context) {
  struct dial *dial = context;
  dial->step = STEP_GREETING;
  dial->greeting = GREET_AUTH;
  greet(dial);
}

static void on_reply(void *context, const struct redisReply *reply) {
  struct dial *dial = context;
  if (dial->step == STEP_READY)
    dial->handlers->reply(dial->context, reply);
  else
    on_greeted(dial, reply);
}

static void connect_next(struct dial *dial, const char *reason);

static void on_closed(void *context, const char *reason) {
  struct dial *dial = context;
  char copy[REASON_SIZE]; /* it lies in what is closed */
  snprintf(copy, sizeof(copy), "%s", reason);
  if (dial->step != STEP_CONNECTING) {
    fail(dial, copy);
    return;
  }
  resp_destroy(dial->resp);
  dial->resp = NULL;
  dial->tries++;
  dial->address_at++;
  connect_next(dial, copy);
}

static int connect_to(struct dial *dial) {
  static const struct resp_handlers handlers = {on_open, on_reply, on_closed};
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  const struct sockaddr_storage *address = &dial->addresses[dial->address_at % HOSTNAME_ADDRESSES_MAX];
  struct resp_target target = {.tls = dial->options->tls, .name = dial->options->target.host};
  if (dial->options->target.path[0]) {
    memcpy(local.sun_path, dial->options->target.path, sizeof(local.sun_path));
    target.address = (const struct sockaddr *)&local;
    target.length = sizeof(local);
  } else {
    target.address = (const struct sockaddr *)address;
    target.length = address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  }
  return resp_create(dial->loop, &target, &handlers, dial, &dial->resp);
}

/* Tries the addresses that have not been tried yet; `reason` is why the last one was of no use. */
static void connect_next(struct dial *dial, const char *reason) {
  char text[REASON_SIZE];
  dial->step = STEP_CONNECTING;
  for (; dial->tries < dial->address_count; dial->tries++, dial->address_at++) {
    dial->address_at %= dial->address_count;
    int status = connect_to(dial);
    if (status == 0)
      return;
    reason = status == ERR_SYSTEM ? strerror(errno) : error_text(status);
  }
  snprintf(text, sizeof(text), "cannot connect: %.200s", reason);
  fail(dial, text);
}

static void on_resolved(void *context, const struct sockaddr_storage *addresses, size_t count,
                        const char *reason) {
  struct dial *dial = context;
  char text[REASON_SIZE];
  dial->hostname = NULL;
  if (count > 0) {
    memcpy(dial->addresses, addresses, count * sizeof(addresses[0]));
    dial->address_count = count;
  }
  /* What was found earlier may well still hold: that the DNS is down must not take Redis away, too. */
  if (dial->address_count > 0) {
    connect_next(dial, "");
    return;
  }
  snprintf(text, sizeof(text), "cannot resolve the name: %.200s", reason);
  fail(dial, text);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct dial *dial = timer->data;
  if (dial->step == STEP_RESOLVING && dial->address_count > 0) {
    hostname_cancel(dial->hostname);
    start_deadline(dial);
    on_resolved(dial, NULL, 0, "");
    return;
  }
  char reason[REASON_SIZE];
  if (dial->step == STEP_CONNECTING)
    dial->address_at++; /* another one answers, perhaps */
  snprintf(reason, sizeof(reason), "%s within %" PRIu32 " ms",
           dial->step == STEP_RESOLVING                  ? "the name was not resolved"
           : dial->step == STEP_CONNECTING               ? "there was no connection"
           : dial->options->tls && dial_heard(dial) == 0 ? "the server did not answer TLS"
                                                         : "the server did not answer",
           limit_ms(dial));
  fail(dial, reason);
}

void dial_start(struct dial *dial) {
  const struct link_target *target = &dial->options->target;
  uint16_t port = target->port ? target->port : DIAL_PORT;
  start_deadline(dial);
  dial->tries = 0;
  if (target->path[0] || address_parse(target->host, port, &dial->addresses[0])) {
    dial->address_count = 1;
    connect_next(dial, "");
    return;
  }
  dial->step = STEP_RESOLVING;
  int status = hostname_ask(dial->loop, target->host, port, on_resolved, dial, &dial->hostname);
  if (status != 0)
    on_resolved(dial, NULL, 0, error_text(status));
}

void dial_stop(struct dial *dial) {
  ev_timer_stop(dial->loop, &dial->deadline);
  resp_destroy(dial->resp);
  dial->resp = NULL;
  if (dial->hostname)
    hostname_cancel(dial->hostname);
  dial->hostname = NULL;
  dial->step = STEP_NONE;
}

bool dial_send(struct dial *dial, int count, const char *const *words, const size_t *lengths) {
  return resp_send(dial->resp, count, words, lengths);
}

uint64_t dial_heard(const struct dial *dial) { return resp_heard(dial->resp); }

const char *dial_name(const struct dial *dial) { return dial->name; }

struct dial *dial_create(struct ev_loop *loop, const struct link_options *options, const char *channel,
                         const struct dial_handlers *handlers, void *context) {
  struct dial *dial = calloc(1, sizeof(*dial));
  if (!dial)
    return NULL;
  dial->loop = loop;
  dial->options = options;
  dial->channel = channel;
  dial->handlers = handlers;
  dial->context = context;
  char text[LINK_TARGET_TEXT_SIZE];
  snprintf(dial->name, sizeof(dial->name), "%s%s", link_target_text(&options->target, text),
           channel ? " (messages)" : "");
  ev_timer_init(&dial->deadline, on_deadline, 0., 0.);
  ev_set_priority(&dial->deadline, EV_MINPRI); /* behind an answer that is there: the loop was late */
  dial->deadline.data = dial;
  return dial;
}

void dial_destroy(struct dial *dial) {
  if (!dial)
    return;
  dial_stop(dial);
  free(dial);
}
