#include "store/keyscan.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "redis/rediserror.h"

enum { CURSOR_SIZE = 21 /* 64 bits in decimal digits */, COUNT_SIZE = 12 };

struct server {
  struct link_target target;
  enum { SERVER_OPEN, SERVER_DONE, SERVER_LEFT } state;
  char cursor[CURSOR_SIZE];
  uint8_t failures;      /* in a row */
  int64_t next_ms;       /* not asked before */
  int64_t away_since_ms; /* while others are up; INT64_MAX: it is not */
};

struct keyscan {
  struct fleet *fleet;
  keyscan_key_fn *on_key;
  void *context;
  char pattern[2 * KEYSCAN_PREFIX_SIZE + 2]; /* each character of the prefix may be escaped */
  char count[COUNT_SIZE];
  struct fleet_call *call; /* of servers[at]; NULL: none is under way */
  size_t at, server_count;
  bool has_ended;
  int64_t next_ms; /* nobody is to be asked before */
  struct server servers[FLEET_SERVERS_MAX];
};

/* ---- servers ---- */

static bool is_known(const struct keyscan *scan, const struct link_target *target) {
  for (size_t i = 0; i < scan->server_count; i++)
    if (link_target_is_same(&scan->servers[i].target, target))
      return true;
  return false;
}

/* Takes up those that were not there before. */
static void find_servers(struct keyscan *scan) {
  struct link_target target;
  for (size_t place = 0; place < FLEET_SERVERS_MAX && scan->server_count < FLEET_SERVERS_MAX; place++)
    if (fleet_server(scan->fleet, place, &target) && !is_known(scan, &target))
      scan->servers[scan->server_count++] =
          (struct server){.target = target, .cursor = "0", .next_ms = INT64_MIN, .away_since_ms = INT64_MAX};
}

static bool is_due(const struct server *server, int64_t now_ms) {
  return server->state == SERVER_OPEN && server->next_ms <= now_ms;
}

/* Nobody is due: looks when somebody will be, or whether all is done. */
static void rest(struct keyscan *scan, int64_t now_ms) {
  scan->next_ms = scan->server_count == 0 ? now_ms + KEYSCAN_PAUSE_MS : INT64_MAX;
  for (size_t i = 0; i < scan->server_count; i++)
    if (scan->servers[i].state == SERVER_OPEN && scan->servers[i].next_ms < scan->next_ms)
      scan->next_ms = scan->servers[i].next_ms;
  scan->has_ended = scan->next_ms == INT64_MAX;
}

/* The server to be asked: the same as before as long as it has more to tell. NULL: none now. */
static struct server *choose(struct keyscan *scan, int64_t now_ms) {
  if (scan->server_count > 0 && is_due(&scan->servers[scan->at], now_ms))
    return &scan->servers[scan->at];
  find_servers(scan);
  for (size_t i = 0; i < scan->server_count; i++) {
    scan->at = (scan->at + 1) % scan->server_count;
    if (is_due(&scan->servers[scan->at], now_ms))
      return &scan->servers[scan->at];
  }
  rest(scan, now_ms);
  return NULL;
}

static void leave(struct server *server, const char *why) {
  char text[LINK_TARGET_TEXT_SIZE];
  server->state = SERVER_LEFT;
  log_warning("redis: the keys of %s are not looked through any further: %s",
              link_target_text(&server->target, text), why);
}

/* ---- what a server says ---- */

static bool is_cursor(const struct redisReply *reply) {
  if (reply->type != REDIS_REPLY_STRING || reply->len == 0 || reply->len >= CURSOR_SIZE)
    return false;
  for (size_t i = 0; i < reply->len; i++)
    if (reply->str[i] < '0' || reply->str[i] > '9')
      return false;
  return true;
}

static bool are_keys(const struct redisReply *reply) {
  if (reply->type != REDIS_REPLY_ARRAY)
    return false;
  for (size_t i = 0; i < reply->elements; i++)
    if (reply->element[i]->type != REDIS_REPLY_STRING)
      return false;
  return true;
}

/* Takes what a server has answered. Returns what is wrong with it, a clause for people, or NULL. */
static const char *take(struct keyscan *scan, struct server *server, const struct redisReply *reply) {
  if (!reply)
    return "it does not answer";
  if (reply->type == REDIS_REPLY_ERROR)
    return rediserror_advice(rediserror_parse(reply->str, reply->len));
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_cursor(reply->element[0]) ||
      !are_keys(reply->element[1]))
    return "what it says is no answer to SCAN";
  const struct redisReply *cursor = reply->element[0], *keys = reply->element[1];
  bool is_end = strcmp(cursor->str, "0") == 0;
  if (!is_end && strcmp(cursor->str, server->cursor) == 0)
    return "its scan does not get on";
  memcpy(server->cursor, cursor->str, cursor->len + 1);
  server->state = is_end ? SERVER_DONE : SERVER_OPEN;
  for (size_t i = 0; i < keys->elements; i++)
    scan->on_key(scan->context, keys->element[i]->str, keys->element[i]->len);
  return NULL;
}

/* SCAN is not for us, or not known there: that does not pass. */
static bool is_final(const struct redisReply *reply) {
  return reply && reply->type == REDIS_REPLY_ERROR &&
         rediserror_scope(rediserror_parse(reply->str, reply->len)) == REDISERROR_COMMAND;
}

static void on_answer(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct keyscan *scan = context;
  struct server *server = &scan->servers[scan->at];
  scan->call = NULL;
  scan->next_ms = now_ms;
  const char *problem = take(scan, server, reply);
  server->failures = problem ? (uint8_t)(server->failures + 1) : 0;
  if (problem && (server->failures == KEYSCAN_FAILURES || is_final(reply)))
    leave(server, problem);
  else if (problem)
    server->next_ms = now_ms + KEYSCAN_RETRY_MS;
}

/* ---- asking ---- */

/* It is not up, or the server of nothing any more. Where none is up, all wait. */
static void on_away(struct keyscan *scan, struct server *server, int64_t now_ms) {
  if (!fleet_is_up(scan->fleet, FLEET_READ))
    server->away_since_ms = INT64_MAX;
  else if (server->away_since_ms == INT64_MAX)
    server->away_since_ms = now_ms;
  else if (now_ms >= server->away_since_ms + KEYSCAN_AWAY_MS)
    leave(server, "it is away");
}

bool keyscan_step(struct keyscan *scan, int64_t now_ms) {
  struct server *server;
  if (scan->call || scan->has_ended || now_ms < scan->next_ms)
    return false;
  while ((server = choose(scan, now_ms))) {
    const struct link_command command = {
        .count = 6,
        .words = {"SCAN", server->cursor, "MATCH", scan->pattern, "COUNT", scan->count},
        .lengths = {4, strlen(server->cursor), 5, strlen(scan->pattern), 5, strlen(scan->count)}};
    int error = fleet_send_to(scan->fleet, &server->target, &command, KEYSCAN_TIMEOUT_MS, on_answer, scan,
                              &scan->call);
    if (error == 0) {
      server->away_since_ms = INT64_MAX;
      return true;
    }
    scan->call = NULL;
    server->next_ms = now_ms + KEYSCAN_PAUSE_MS;
    if (error == ERR_NETWORK)
      on_away(scan, server, now_ms);
  }
  return false;
}

bool keyscan_has_ended(const struct keyscan *scan) { return scan->has_ended; }

int64_t keyscan_next_ms(const struct keyscan *scan) {
  return scan->call || scan->has_ended ? INT64_MAX : scan->next_ms;
}

/* ---- the room ---- */

/* What a pattern means by itself is none of it in a prefix. */
static void build_pattern(struct keyscan *scan, const char *prefix) {
  size_t at = 0;
  for (; *prefix && at < 2 * KEYSCAN_PREFIX_SIZE - 2; prefix++) {
    if (strchr("*?[]\\", *prefix))
      scan->pattern[at++] = '\\';
    scan->pattern[at++] = *prefix;
  }
  scan->pattern[at++] = '*';
  scan->pattern[at] = '\0';
}

struct keyscan *keyscan_create(struct fleet *fleet, const char *prefix, keyscan_key_fn *on_key,
                               void *context) {
  struct keyscan *scan = calloc(1, sizeof(*scan));
  if (!scan)
    return NULL;
  scan->fleet = fleet;
  scan->on_key = on_key;
  scan->context = context;
  scan->next_ms = INT64_MIN;
  build_pattern(scan, prefix);
  snprintf(scan->count, sizeof(scan->count), "%d", KEYSCAN_COUNT);
  return scan;
}

void keyscan_destroy(struct keyscan *scan) {
  if (!scan)
    return;
  if (scan->call)
    fleet_cancel(scan->call);
  free(scan);
}
