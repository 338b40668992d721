/*
 * fake_link: stands in for the room link (its header is the seam).
 *
 * The test says which link is up, reads what is sent, and answers. A link or call is freed before its
 * callback could be missed, and a reply right after, so that a sanitizer sees whoever keeps them. Calling a
 * link that is gone, or destroying one inside its own on_state, fails the test.
 *
 * Include once in an executable: it defines the functions of link.h, so that the linker leaves link.o in its
 * archive.
 */
#ifndef MXWAY_TESTS_FAKE_LINK_H
#define MXWAY_TESTS_FAKE_LINK_H

#include "cmocka_compat.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "made_replies.h"
#include "redis/link.h"

enum { FAKE_TEXT_SIZE = 256 };

struct link_call {
  struct link *link;
  struct link_call *next; /* sent later */
  char text[FAKE_TEXT_SIZE];
  uint32_t timeout_ms;
  link_reply_fn *done;
  void *context;
};

struct link {
  struct link *next; /* older */
  struct link_options options;
  char target[LINK_TARGET_TEXT_SIZE];
  char channel[FAKE_TEXT_SIZE]; /* "": sends commands */
  enum link_state state;
  link_state_fn *on_state;
  link_message_fn *on_message;
  void *context;
  bool is_telling;
  int refusal; /* of link_send while it is up; 0: none */
  struct link_call *first;
  size_t sent_count;
};

static struct link *fake_links;
static size_t fake_link_count, fake_link_created_count;

static inline int fake_link_open(const struct link_options *options, const char *channel,
                                 link_message_fn *on_message, link_state_fn *on_state, void *context,
                                 struct link **result) {
  struct link *link = calloc(1, sizeof(*link));
  assert_non_null(link);
  link->options = *options;
  link_target_text(&options->target, link->target);
  snprintf(link->channel, sizeof(link->channel), "%s", channel);
  link->on_message = on_message;
  link->on_state = on_state;
  link->context = context;
  link->next = fake_links;
  fake_links = link;
  fake_link_count++;
  fake_link_created_count++;
  *result = link;
  return 0;
}

int link_create(struct ev_loop *loop, const struct link_options *options, link_state_fn *on_state,
                void *context, struct link **link) {
  (void)loop;
  return fake_link_open(options, "", NULL, on_state, context, link);
}

int link_create_subscriber(struct ev_loop *loop, const struct link_options *options, const char *channel,
                           link_message_fn *on_message, link_state_fn *on_state, void *context,
                           struct link **link) {
  (void)loop;
  return fake_link_open(options, channel, on_message, on_state, context, link);
}

void link_destroy(struct link *link) {
  if (!link)
    return;
  assert_false(link->is_telling);
  struct link **at = &fake_links;
  while (*at && *at != link)
    at = &(*at)->next;
  assert_ptr_equal(*at, link);
  *at = link->next;
  fake_link_count--;
  while (link->first) {
    struct link_call *call = link->first;
    link->first = call->next;
    free(call);
  }
  free(link);
}

enum link_state link_state(const struct link *link) { return link->state; }
uint32_t link_latency_us(const struct link *link) { return link->state == LINK_UP ? 84 : 0; }
uint32_t link_outstanding(const struct link *link) {
  uint32_t count = 0;
  for (const struct link_call *call = link->first; call; call = call->next)
    count++;
  return count;
}

int link_send(struct link *link, const struct link_command *command, uint32_t timeout_ms, link_reply_fn *done,
              void *context, struct link_call **result) {
  assert_true(link->channel[0] == '\0');
  if (link->state != LINK_UP)
    return ERR_NETWORK;
  if (link->refusal != 0)
    return link->refusal;
  struct link_call *call = calloc(1, sizeof(*call)), **last = &link->first;
  assert_non_null(call);
  *call = (struct link_call){.link = link, .timeout_ms = timeout_ms, .done = done, .context = context};
  for (int i = 0; i < command->count; i++)
    snprintf(call->text + strlen(call->text), sizeof(call->text) - strlen(call->text), "%s%.*s",
             i > 0 ? " " : "", (int)command->lengths[i], command->words[i]);
  while (*last)
    last = &(*last)->next;
  *last = call;
  link->sent_count++;
  if (result)
    *result = call;
  return 0;
}

void link_cancel(struct link_call *call) {
  struct link_call **at = &call->link->first;
  while (*at && *at != call)
    at = &(*at)->next;
  assert_ptr_equal(*at, call); /* else it is not under way */
  *at = call->next;
  free(call);
}

/* ---- the test's side ---- */

/* The newest link to `target` for commands (`channel` ""), or that listens to `channel`; or NULL. */
static inline struct link *fake_link_find(const char *target, const char *channel) {
  for (struct link *link = fake_links; link; link = link->next)
    if (strcmp(link->target, target) == 0 && strcmp(link->channel, channel) == 0)
      return link;
  return NULL;
}

static inline struct link *fake_link_at(const char *target) {
  struct link *link = fake_link_find(target, "");
  if (!link)
    print_error("there is no link to %s\n", target);
  assert_non_null(link);
  return link;
}

/* Answers the oldest command, which is `text`, with `reply` (NULL: no answer), and frees it. */
static inline void fake_link_answer(struct link *link, const char *text, redisReply *reply) {
  assert_non_null(link->first);
  assert_string_equal(link->first->text, text);
  struct link_call *call = link->first, ended = *call;
  link->first = call->next;
  free(call);
  ended.done(ended.context, reply, clock_now_ms());
  if (reply)
    made_free(reply);
}

static inline void fake_link_set(struct link *link, enum link_state state, const char *reason) {
  link->state = state;
  link->is_telling = true;
  link->on_state(link->context, state, reason);
  link->is_telling = false;
  while (state != LINK_UP && link->first) {
    char text[FAKE_TEXT_SIZE];
    memcpy(text, link->first->text, sizeof(text));
    fake_link_answer(link, text, NULL);
  }
}

static inline void fake_link_up(const char *target) { fake_link_set(fake_link_at(target), LINK_UP, ""); }

static inline void fake_link_down(const char *target) {
  fake_link_set(fake_link_at(target), LINK_DOWN, "connection refused");
}

static inline bool fake_link_is_asked(const char *target, const char *text) {
  const struct link *link = fake_link_find(target, "");
  return link && link->first && strcmp(link->first->text, text) == 0;
}

static inline void fake_link_publish(struct link *link, const char *message) {
  assert_true(link->state == LINK_UP);
  link->on_message(link->context, message, strlen(message), clock_now_ms());
}

static inline struct link_target fake_target(const char *text) {
  struct link_target target;
  assert_true(link_target_parse(text, 0, &target));
  return target;
}

#endif
