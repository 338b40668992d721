/*
 * made_replies: replies of a Redis server as hiredis hands them out, made by a test and freed by it.
 */
#ifndef MXWAY_TESTS_MADE_REPLIES_H
#define MXWAY_TESTS_MADE_REPLIES_H

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_compat.h"

static inline redisReply *made_reply(int type) {
  redisReply *reply = calloc(1, sizeof(*reply));
  assert_non_null(reply);
  reply->type = type;
  return reply;
}

static inline redisReply *made_integer(long long number) {
  redisReply *reply = made_reply(REDIS_REPLY_INTEGER);
  reply->integer = number;
  return reply;
}

static inline redisReply *made_nil(void) { return made_reply(REDIS_REPLY_NIL); }

/* `type`: REDIS_REPLY_STRING, _STATUS or _ERROR. */
static inline redisReply *made_text(int type, const char *text) {
  redisReply *reply = made_reply(type);
  reply->str = strdup(text);
  assert_non_null(reply->str);
  reply->len = strlen(text);
  return reply;
}

static inline redisReply *made_string(const char *text) { return made_text(REDIS_REPLY_STRING, text); }
static inline redisReply *made_error(const char *text) { return made_text(REDIS_REPLY_ERROR, text); }

static inline redisReply *made_array(void) { return made_reply(REDIS_REPLY_ARRAY); }

/* Adds `element`, which is the array's from then on; returns the array. */
static inline redisReply *made_add(redisReply *array, redisReply *element) {
  array->element = realloc(array->element, (array->elements + 1) * sizeof(*array->element));
  assert_non_null(array->element);
  array->element[array->elements++] = element;
  return array;
}

static inline void made_free(redisReply *reply) {
  for (size_t i = 0; i < reply->elements; i++)
    made_free(reply->element[i]);
  free(reply->element);
  free(reply->str);
  free(reply);
}

/* [host, port, id] as in CLUSTER SLOTS; `host` NULL: null. */
static inline redisReply *made_node(const char *host, long long port) {
  redisReply *node = made_add(made_array(), host ? made_string(host) : made_nil());
  return made_add(made_add(node, made_integer(port)),
                  made_string("07c37dfeb235213a872192d90877d0cd55635b91"));
}

/* [first, last, master] */
static inline redisReply *made_range(long long first, long long last, redisReply *master) {
  redisReply *range = made_add(made_add(made_array(), made_integer(first)), made_integer(last));
  return made_add(range, master);
}

#endif
