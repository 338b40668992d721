#include "redis/sentinel.h"

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

static const char switch_channel[] = "+switch-master";

/* One sentinel. */
struct watch {
  struct sentinel *all;
  struct link *link, *ear; /* `ear` subscribes */
};

struct sentinel {
  struct ev_loop *loop;
  const char *master;
  sentinel_named_fn *on_named;
  void *context;
  ev_timer next; /* when to ask */
  int64_t next_at_ms, asked_at_ms;
  struct watch watches[SENTINEL_MAX];
  size_t count, at; /* `at`: whom to ask next */
  bool is_asking;
  bool is_wanted;    /* nobody was up to be asked: ask the first that is */
  size_t vain_count; /* questions in a row that have led to no master */
  uint32_t pause_ms;
  struct random random;
  char complaint[SENTINEL_COMPLAINT_SIZE];
  int64_t next_log_ms;
};

/* ---- when to ask ---- */

/* Asks at `at_ms`, or before if that was so already. */
static void ask_at(struct sentinel *sentinel, int64_t at_ms) {
  int64_t now_ms = clock_now_ms();
  if (at_ms < sentinel->asked_at_ms + SENTINEL_PACE_MS)
    at_ms = sentinel->asked_at_ms + SENTINEL_PACE_MS;
  if (ev_is_active(&sentinel->next) && sentinel->next_at_ms <= at_ms)
    return;
  sentinel->next_at_ms = at_ms;
  ev_timer_stop(sentinel->loop, &sentinel->next);
  ev_timer_set(&sentinel->next, at_ms > now_ms ? (double)(at_ms - now_ms) / 1000. : 0., 0.);
  ev_timer_start(sentinel->loop, &sentinel->next);
}

/* Up to a quarter more, so that the daemons of a cluster do not ask in step. */
static int64_t jittered(struct sentinel *sentinel, uint32_t ms) {
  return ms + random_below(&sentinel->random, ms / 4 + 1);
}

size_t sentinel_up_count(const struct sentinel *sentinel) {
  size_t up_count = 0;
  for (size_t i = 0; i < sentinel->count; i++)
    up_count += link_state(sentinel->watches[i].link) == LINK_UP;
  return up_count;
}

void sentinel_ask_again(struct sentinel *sentinel) {
  int64_t now_ms = clock_now_ms();
  if (sentinel->is_asking)
    return; /* what comes of it is judged when it is there */
  sentinel->vain_count++;
  if (sentinel->vain_count < sentinel_up_count(sentinel)) {
    ask_at(sentinel, now_ms);
    return;
  }
  sentinel->vain_count = 0;
  ask_at(sentinel, now_ms + jittered(sentinel, sentinel->pause_ms));
  sentinel->pause_ms *= 2;
  if (sentinel->pause_ms > SENTINEL_PAUSE_MOST_MS)
    sentinel->pause_ms = SENTINEL_PAUSE_MOST_MS;
}

void sentinel_believe(struct sentinel *sentinel) {
  sentinel->vain_count = 0;
  sentinel->pause_ms = SENTINEL_PAUSE_LEAST_MS;
}

/* ---- asking ---- */

static bool parse_port(const char *text, size_t length, uint16_t *port) {
  unsigned long number = 0;
  if (length == 0 || length > 5)
    return false;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9')
      return false;
    number = number * 10 + (unsigned long)(text[i] - '0');
  }
  *port = (uint16_t)number;
  return number > 0 && number <= UINT16_MAX;
}

static bool set_target(const char *host, size_t host_length, const char *port, size_t port_length,
                       struct link_target *target) {
  struct link_target set = {.port = 0};
  if (host_length == 0 || host_length >= sizeof(set.host) || memchr(host, '\0', host_length) ||
      !parse_port(port, port_length, &set.port))
    return false;
  memcpy(set.host, host, host_length);
  *target = set;
  return true;
}

/* [host, port], or null where it does not know the name. */
static bool parse_master(const redisReply *reply, struct link_target *target) {
  return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
         reply->element[0]->type == REDIS_REPLY_STRING && reply->element[1]->type == REDIS_REPLY_STRING &&
         set_target(reply->element[0]->str, reply->element[0]->len, reply->element[1]->str,
                    reply->element[1]->len, target);
}

static void complain(struct sentinel *sentinel, const redisReply *reply) {
  const char *text = "a sentinel does not answer";
  char unknown[SENTINEL_COMPLAINT_SIZE];
  if (reply && reply->type == REDIS_REPLY_ERROR) {
    text = reply->str;
  } else if (reply && reply->type == REDIS_REPLY_NIL) {
    snprintf(unknown, sizeof(unknown), "a sentinel knows no master %s", sentinel->master);
    text = unknown;
  } else if (reply) {
    text = "a sentinel's answer cannot be read";
  }
  snprintf(sentinel->complaint, sizeof(sentinel->complaint), "%s", text);
  if (log_is_due(&sentinel->next_log_ms, clock_now_ms()))
    log_warning("redis: %s", sentinel->complaint);
}

static void on_answer(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct sentinel *sentinel = context;
  struct link_target target;
  sentinel->is_asking = false;
  if (!reply || !parse_master(reply, &target)) {
    complain(sentinel, reply);
    sentinel_ask_again(sentinel);
    return;
  }
  sentinel->complaint[0] = '\0';
  ask_at(sentinel, now_ms + jittered(sentinel, SENTINEL_POLL_MS));
  sentinel->on_named(sentinel->context, &target, now_ms);
}

static void on_next(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  struct sentinel *sentinel = timer->data;
  const struct link_command command = {
      .count = 3,
      .words = {"SENTINEL", "get-master-addr-by-name", sentinel->master},
      .lengths = {strlen("SENTINEL"), strlen("get-master-addr-by-name"), strlen(sentinel->master)}};
  if (sentinel->is_asking) { /* what is under way may be older than the reason to ask */
    ask_at(sentinel, clock_now_ms());
    return;
  }
  for (size_t i = 0; i < sentinel->count; i++) {
    struct link *link = sentinel->watches[sentinel->at].link;
    sentinel->at = (sentinel->at + 1) % sentinel->count;
    if (link_send(link, &command, SENTINEL_TIMEOUT_MS, on_answer, sentinel, NULL) == 0) {
      sentinel->asked_at_ms = clock_now_ms();
      sentinel->is_asking = true;
      sentinel->is_wanted = false;
      return;
    }
  }
  snprintf(sentinel->complaint, sizeof(sentinel->complaint), "no sentinel is up");
  sentinel->is_wanted = true;
}

/* ---- what sentinels tell ---- */

static void on_link_state(void *context, enum link_state state, const char *reason) {
  (void)reason;
  struct watch *watch = context;
  if (state == LINK_UP && watch->all->is_wanted)
    ask_at(watch->all, 0);
}

/* What was said before it listened is lost. */
static void on_ear_state(void *context, enum link_state state, const char *reason) {
  (void)reason;
  struct watch *watch = context;
  if (state == LINK_UP)
    ask_at(watch->all, 0);
}

bool sentinel_switch_parse(const char *message, size_t length, const char *name, struct link_target *target) {
  enum { NAME, OLD_HOST, OLD_PORT, HOST, PORT, FIELDS };
  const char *fields[FIELDS], *end = message + length;
  size_t lengths[FIELDS];
  for (int i = 0; i < FIELDS; i++) {
    const char *space = memchr(message, ' ', (size_t)(end - message));
    if ((i < PORT) != (space != NULL))
      return false;
    fields[i] = message;
    lengths[i] = (size_t)((space ? space : end) - message);
    message = space ? space + 1 : end;
  }
  return lengths[NAME] == strlen(name) && memcmp(fields[NAME], name, lengths[NAME]) == 0 &&
         set_target(fields[HOST], lengths[HOST], fields[PORT], lengths[PORT], target);
}

static void on_message(void *context, const char *message, size_t length, int64_t now_ms) {
  struct watch *watch = context;
  struct link_target target;
  if (sentinel_switch_parse(message, length, watch->all->master, &target))
    watch->all->on_named(watch->all->context, &target, now_ms);
}

/* ---- life ---- */

static int open_watch(struct sentinel *sentinel, const struct link_target *target,
                      const struct link_options *template) {
  struct watch *watch = &sentinel->watches[sentinel->count++];
  struct link_options options = *template;
  options.target = *target;
  options.database = 0; /* a sentinel has none */
  watch->all = sentinel;
  int error = link_create(sentinel->loop, &options, on_link_state, watch, &watch->link);
  if (error != 0)
    return error;
  return link_create_subscriber(sentinel->loop, &options, switch_channel, on_message, on_ear_state, watch,
                                &watch->ear);
}

int sentinel_create(struct ev_loop *loop, const struct sentinel_options *options, sentinel_named_fn *on_named,
                    void *context, struct sentinel **result) {
  assert(options->count > 0 && options->count <= SENTINEL_MAX);
  struct sentinel *sentinel = calloc(1, sizeof(*sentinel));
  if (!sentinel)
    return ERR_NOMEM;
  sentinel->loop = loop;
  sentinel->master = options->master;
  sentinel->on_named = on_named;
  sentinel->context = context;
  sentinel->pause_ms = SENTINEL_PAUSE_LEAST_MS;
  sentinel->asked_at_ms = INT64_MIN / 2;
  sentinel->is_wanted = true;
  random_init(&sentinel->random);
  snprintf(sentinel->complaint, sizeof(sentinel->complaint), "no sentinel is up");
  ev_timer_init(&sentinel->next, on_next, 0., 0.);
  sentinel->next.data = sentinel;
  for (size_t i = 0; i < options->count; i++) {
    int error = open_watch(sentinel, &options->targets[i], &options->link);
    if (error != 0) {
      sentinel_destroy(sentinel);
      return error;
    }
  }
  *result = sentinel;
  return 0;
}

void sentinel_destroy(struct sentinel *sentinel) {
  if (!sentinel)
    return;
  ev_timer_stop(sentinel->loop, &sentinel->next);
  for (size_t i = 0; i < sentinel->count; i++) {
    if (sentinel->watches[i].ear)
      link_destroy(sentinel->watches[i].ear);
    if (sentinel->watches[i].link)
      link_destroy(sentinel->watches[i].link);
  }
  free(sentinel);
}

const char *sentinel_complaint(const struct sentinel *sentinel) { return sentinel->complaint; }
