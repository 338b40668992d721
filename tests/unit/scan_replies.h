/*
 * scan_replies: what a server says to SCAN, for fakes.
 */
#ifndef MXWAY_TESTS_SCAN_REPLIES_H
#define MXWAY_TESTS_SCAN_REPLIES_H

#include "fake_fleet.h"

enum { SCAN_KEYS_MAX = 512 };

/* Ends call `at` with a cursor and keys, each copied to where its end is guarded by a checker. */
static inline void scan_answer(size_t at, const char *cursor, const char *const keys[], size_t count,
                               int64_t now_ms) {
  static struct redisReply parts[SCAN_KEYS_MAX + 2];
  static struct redisReply *elements[SCAN_KEYS_MAX];
  struct redisReply *both[] = {&parts[0], &parts[1]};
  struct redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = both};
  assert_true(count <= SCAN_KEYS_MAX);
  parts[0] = (struct redisReply){.type = REDIS_REPLY_STRING, .str = strdup(cursor), .len = strlen(cursor)};
  parts[1] = (struct redisReply){.type = REDIS_REPLY_ARRAY, .elements = count, .element = elements};
  for (size_t i = 0; i < count; i++) {
    parts[2 + i] =
        (struct redisReply){.type = REDIS_REPLY_STRING, .str = strdup(keys[i]), .len = strlen(keys[i])};
    elements[i] = &parts[2 + i];
  }
  fake_answer(at, &reply, now_ms);
  free(parts[0].str);
  for (size_t i = 0; i < count; i++)
    free(parts[2 + i].str);
}

#endif
