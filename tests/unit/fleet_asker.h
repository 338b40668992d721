/*
 * fleet_asker: a fleet on a loop of its own, and a test that asks it and waits for the answers.
 */
#ifndef MXWAY_TESTS_FLEET_ASKER_H
#define MXWAY_TESTS_FLEET_ASKER_H

#include <ev.h>

#include "base/error.h"
#include "loop_until.h"
#include "redis/fleet.h"
#include "redis_servers.h"

/* ASKER_TIMEOUT_MS: long, for a machine under load. */
enum { ASKER_TIMEOUT_MS = 20000, ASKER_TEXT_SIZE = 128 };

struct asker {
  struct ev_loop *loop;
  struct fleet *fleet;
  bool has_answer, is_silent, is_error; /* silent: answered NULL */
  char text[ASKER_TEXT_SIZE];           /* of the last answer; "(nil)" */
  size_t up_count, message_count;       /* of the subscription */
  char message[ASKER_TEXT_SIZE];
};

static inline void asker_open(struct asker *asker, const struct fleet_options *options) {
  memset(asker, 0, sizeof(*asker));
  asker->loop = ev_loop_new(EVFLAG_AUTO);
  assert_non_null(asker->loop);
  assert_int_equal(fleet_create(asker->loop, options, &asker->fleet), 0);
}

static inline void asker_close(struct asker *asker) {
  fleet_destroy(asker->fleet);
  if (asker->loop)
    ev_loop_destroy(asker->loop);
}

static inline void asker_on_reply(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct asker *asker = context;
  (void)now_ms;
  asker->has_answer = true;
  asker->is_silent = !reply;
  asker->is_error = reply && reply->type == REDIS_REPLY_ERROR;
  snprintf(asker->text, sizeof(asker->text), "%s",
           !reply                           ? ""
           : reply->type == REDIS_REPLY_NIL ? "(nil)"
           : reply->str                     ? reply->str
                                            : "?");
}

static inline struct link_command asker_command(const char *word, const char *key, const char *value) {
  struct link_command command = {.count = value ? 3 : 2, .words = {word, key, value}};
  for (int i = 0; i < command.count; i++)
    command.lengths[i] = strlen(command.words[i]);
  return command;
}

/* Sends "GET key" or, with a value, "SET key value"; what fleet_send returns. */
static inline int asker_send(struct asker *asker, const char *key, const char *value,
                             struct fleet_call **call) {
  const struct link_command command = asker_command(value ? "SET" : "GET", key, value);
  asker->has_answer = false;
  return fleet_send(asker->fleet, value ? FLEET_WRITE : FLEET_READ, key, strlen(key), &command,
                    ASKER_TIMEOUT_MS, asker_on_reply, asker, call);
}

/* Sends it and waits for what comes of it. False where it is refused at once. */
static inline bool asker_ask(struct asker *asker, const char *key, const char *value) {
  int error = asker_send(asker, key, value, NULL);
  if (error != 0) {
    assert_int_equal(error, ERR_NETWORK);
    return false;
  }
  LOOP_UNTIL(asker->loop, asker->has_answer);
  return true;
}

/* Sends "WORD key" to one server by itself; what fleet_send_to returns. */
static inline int asker_send_to(struct asker *asker, const struct link_target *target, const char *word,
                                const char *key) {
  const struct link_command command = asker_command(word, key, NULL);
  asker->has_answer = false;
  return fleet_send_to(asker->fleet, target, &command, ASKER_TIMEOUT_MS, asker_on_reply, asker, NULL);
}

/* Whether the fleet answers `expected`. */
static inline bool asker_hears(struct asker *asker, const char *key, const char *value,
                               const char *expected) {
  return asker_ask(asker, key, value) && !asker->is_silent && strcmp(asker->text, expected) == 0;
}

static inline void asker_on_message(void *context, const char *message, size_t length, int64_t now_ms) {
  (void)now_ms;
  struct asker *asker = context;
  snprintf(asker->message, sizeof(asker->message), "%.*s", (int)length, message);
  asker->message_count++;
}

static inline void asker_on_up(void *context, int64_t now_ms) {
  (void)now_ms;
  ((struct asker *)context)->up_count++;
}

static inline const char *asker_view(struct asker *asker, struct fleet_view *view) {
  fleet_look(asker->fleet, view);
  return view->text;
}

#endif
