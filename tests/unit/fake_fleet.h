/*
 * fake_fleet: servers of the shared store that a test plays: it sees each command and answers when it likes.
 *
 * Stands in for the room fleet. What is sent is kept as text, its words with spaces between them, in
 * fake_fleet.calls, the first sent first; fake_answer_* ends one.
 */
#ifndef MXWAY_TESTS_FAKE_FLEET_H
#define MXWAY_TESTS_FAKE_FLEET_H

#include "cmocka_compat.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "redis/fleet.h"

enum {
  FAKE_SERVERS_MAX = 4,
  FAKE_CALLS_MAX = 4096,
  FAKE_TEXT_SIZE = 700,
  FAKE_VALUE_SIZE = 4200,
  FAKE_SUBSCRIBERS_MAX = 4
};

struct fleet_call {
  enum fleet_purpose purpose;
  char key[FAKE_TEXT_SIZE];  /* that it was sent for; without one the path of the server */
  char text[FAKE_TEXT_SIZE]; /* the command; octets that are no text in it as '?', the value of SET, or XADD,
                                as '*' */
  uint8_t value[FAKE_VALUE_SIZE];
  size_t value_length; /* of SET or XADD */
  uint32_t timeout_ms;
  link_reply_fn *done;
  void *context;
  bool is_open, was_cancelled;
};

static struct {
  struct fleet_call calls[FAKE_CALLS_MAX];
  size_t count, open_count;
  bool is_down[FLEET_WRITE + 1];
  int error;        /* that fleet_send returns; 0: none */
  size_t most_open; /* over which it is ERR_OVERLOAD; 0: no bound */
  struct {
    const char *channel;
    link_message_fn *on_message;
    ear_up_fn *on_up;
    void *context;
  } subscribers[FAKE_SUBSCRIBERS_MAX];
  size_t subscriber_count;
  struct link_target servers[FAKE_SERVERS_MAX];
  size_t server_count;
  bool is_away[FAKE_SERVERS_MAX]; /* not up, while others may be */
} fake_fleet;

static inline void fake_fleet_init(void) { memset(&fake_fleet, 0, sizeof(fake_fleet)); }

static inline void fake_append(char text[FAKE_TEXT_SIZE], const char *word, size_t length) {
  size_t at = strlen(text);
  assert_true(at + length + 2 < FAKE_TEXT_SIZE);
  if (at > 0)
    text[at++] = ' ';
  memcpy(text + at, word, length);
  text[at + length] = '\0';
}

static inline void fake_take(struct fleet_call *call, const struct link_command *command) {
  bool is_set = command->lengths[0] == 3 && memcmp(command->words[0], "SET", 3) == 0;
  bool is_entry = command->lengths[0] == 4 && memcmp(command->words[0], "XADD", 4) == 0;
  int value_at = is_entry ? command->count - 1 : is_set && command->count == 5 /* no lease */ ? 2 : -1;
  for (int i = 0; i < command->count; i++) {
    bool is_value = i == value_at;
    fake_append(call->text, is_value ? "*" : command->words[i], is_value ? 1 : command->lengths[i]);
    if (!is_value)
      continue;
    assert_true(command->lengths[i] <= FAKE_VALUE_SIZE);
    memcpy(call->value, command->words[i], command->lengths[i]);
    call->value_length = command->lengths[i];
  }
}

/* `key` is kept as what it was sent for. */
static inline int fake_send(enum fleet_purpose purpose, const char *key, size_t key_length,
                            const struct link_command *command, uint32_t timeout_ms, link_reply_fn *done,
                            void *context, struct fleet_call **result) {
  if (fake_fleet.is_down[purpose])
    return ERR_NETWORK;
  if (fake_fleet.error)
    return fake_fleet.error;
  if (fake_fleet.most_open > 0 && fake_fleet.open_count >= fake_fleet.most_open)
    return ERR_OVERLOAD;
  assert_true(fake_fleet.count < FAKE_CALLS_MAX);
  struct fleet_call *call = &fake_fleet.calls[fake_fleet.count++];
  call->purpose = purpose;
  fake_append(call->key, key, key_length);
  fake_take(call, command);
  call->timeout_ms = timeout_ms;
  call->done = done;
  call->context = context;
  call->is_open = true;
  fake_fleet.open_count++;
  if (result)
    *result = call;
  return 0;
}

int fleet_send(struct fleet *fleet, enum fleet_purpose purpose, const char *key, size_t key_length,
               const struct link_command *command, uint32_t timeout_ms, link_reply_fn *done, void *context,
               struct fleet_call **result) {
  (void)fleet;
  return fake_send(purpose, key, key_length, command, timeout_ms, done, context, result);
}

/* One more server, by the path that it is known by. */
static inline void fake_add_server(const char *path) {
  assert_true(fake_fleet.server_count < FAKE_SERVERS_MAX);
  struct link_target *target = &fake_fleet.servers[fake_fleet.server_count++];
  snprintf(target->path, sizeof(target->path), "%s", path);
}

bool fleet_server(const struct fleet *fleet, size_t place, struct link_target *target) {
  (void)fleet;
  if (place < fake_fleet.server_count)
    *target = fake_fleet.servers[place];
  return place < fake_fleet.server_count;
}

int fleet_send_to(struct fleet *fleet, const struct link_target *target, const struct link_command *command,
                  uint32_t timeout_ms, link_reply_fn *done, void *context, struct fleet_call **call) {
  (void)fleet;
  for (size_t i = 0; i < fake_fleet.server_count; i++)
    if (strcmp(fake_fleet.servers[i].path, target->path) == 0 && !fake_fleet.is_away[i])
      return fake_send(FLEET_READ, target->path, strlen(target->path), command, timeout_ms, done, context,
                       call);
  return ERR_NETWORK;
}

void fleet_cancel(struct fleet_call *call) {
  assert_true(call->is_open);
  call->is_open = false;
  call->was_cancelled = true;
  fake_fleet.open_count--;
}

bool fleet_is_up(const struct fleet *fleet, enum fleet_purpose purpose) {
  (void)fleet;
  return !fake_fleet.is_down[purpose];
}

int fleet_subscribe(struct fleet *fleet, const char *channel, link_message_fn *on_message, ear_up_fn *on_up,
                    void *context) {
  (void)fleet;
  assert_true(fake_fleet.subscriber_count < FAKE_SUBSCRIBERS_MAX);
  size_t at = fake_fleet.subscriber_count++;
  fake_fleet.subscribers[at].channel = channel;
  fake_fleet.subscribers[at].on_message = on_message;
  fake_fleet.subscribers[at].on_up = on_up;
  fake_fleet.subscribers[at].context = context;
  return 0;
}

void fleet_look(const struct fleet *fleet, struct fleet_view *view) {
  (void)fleet;
  *view = (struct fleet_view){.server_count = 1, .up_count = 1, .latency_us = 84};
  snprintf(view->text, sizeof(view->text), "up, 1 of 1 servers, 84 us");
}

/* ---- answers ---- */

static inline void fake_answer(size_t at, const struct redisReply *reply, int64_t now_ms) {
  struct fleet_call *call = &fake_fleet.calls[at];
  assert_true(at < fake_fleet.count);
  assert_true(call->is_open);
  call->is_open = false;
  fake_fleet.open_count--;
  call->done(call->context, reply, now_ms);
}

/* A reply of `type`, its octets copied where their end is guarded by a checker. */
static inline void fake_answer_octets(size_t at, int type, const void *bytes, size_t length, int64_t now_ms) {
  char *copy = malloc(length + 1);
  assert_non_null(copy);
  memcpy(copy, bytes, length);
  copy[length] = '\0';
  struct redisReply reply = {.type = type, .str = copy, .len = length};
  fake_answer(at, &reply, now_ms);
  free(copy);
}

static inline void fake_answer_text(size_t at, int type, const char *text, int64_t now_ms) {
  fake_answer_octets(at, type, text, strlen(text), now_ms);
}

static inline void fake_answer_nil(size_t at, int64_t now_ms) {
  struct redisReply reply = {.type = REDIS_REPLY_NIL};
  fake_answer(at, &reply, now_ms);
}

static inline void fake_answer_ok(size_t at, int64_t now_ms) {
  fake_answer_text(at, REDIS_REPLY_STATUS, "OK", now_ms);
}

static inline void fake_answer_error(size_t at, const char *text, int64_t now_ms) {
  fake_answer_text(at, REDIS_REPLY_ERROR, text, now_ms);
}

#endif
