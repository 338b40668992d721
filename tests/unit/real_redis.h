/*
 * real_redis: a redis-server of the test's own, in a temporary folder, on a Unix socket there.
 *
 * Started as a child and ended by its pid. Where there is no redis-server the test fails: tests/run installs
 * it.
 */
#ifndef MXWAY_TESTS_REAL_REDIS_H
#define MXWAY_TESTS_REAL_REDIS_H

#include "redis_servers.h"

enum { REAL_REDIS_ARGUMENTS_MAX = 40 };

struct real_redis {
  char folder[40], path[64], log[64];
  pid_t pid; /* 0: it does not run */
};

static inline void real_redis_show_log(const struct real_redis *redis) {
  char line[512];
  FILE *file = fopen(redis->log, "r");
  while (file && fgets(line, sizeof(line), file))
    fputs(line, stderr);
  if (file)
    fclose(file);
}

/* A connection for the test itself, which blocks; NULL where nobody listens. */
static inline redisContext *real_redis_connect(const struct real_redis *redis) {
  redisContext *context = redisConnectUnix(redis->path);
  if (context && !context->err)
    return context;
  redisFree(context);
  return NULL;
}

/* One command, whose answer does not matter but must be none that is an error. */
static inline void real_redis_do(const struct real_redis *redis, const char *command) {
  redisContext *context = real_redis_connect(redis);
  assert_non_null(context);
  redisReply *reply = redisCommand(context, command);
  assert_non_null(reply);
  if (reply->type == REDIS_REPLY_ERROR)
    fail_msg("%s: %s", command, reply->str);
  freeReplyObject(reply);
  redisFree(context);
}

static inline void real_redis_run(struct real_redis *redis, const char *const *more) {
  const char *arguments[REAL_REDIS_ARGUMENTS_MAX] = {
      "redis-server", "--port", "0", "--unixsocket", redis->path, "--dir", redis->folder, "--logfile",
      redis->log,     "--save", "",  "--daemonize",  "no"};
  size_t count = 13;
  for (; more && *more && count < REAL_REDIS_ARGUMENTS_MAX - 1; more++)
    arguments[count++] = *more;
  redis->pid = redis_spawn(arguments);
}

/* Waits until it listens. */
static inline void real_redis_wait(struct real_redis *redis) {
  redisContext *context;
  for (int64_t end_ms = clock_now_ms() + REDIS_WAIT_MS; !(context = real_redis_connect(redis));) {
    if (waitpid(redis->pid, NULL, WNOHANG) != 0 || clock_now_ms() > end_ms) {
      real_redis_show_log(redis);
      fail_msg("redis-server does not run: is it installed? ./tests/run installs it");
    }
    redis_pause();
  }
  redisFree(context);
}

/* `more`: arguments, ending with NULL. A server that was started before keeps its folder. */
static inline void real_redis_start(struct real_redis *redis, const char *const *more) {
  if (!redis->folder[0]) {
    snprintf(redis->folder, sizeof(redis->folder), "/tmp/mxway-real-redis-XXXXXX");
    assert_non_null(mkdtemp(redis->folder));
    snprintf(redis->path, sizeof(redis->path), "%s/sock", redis->folder);
    snprintf(redis->log, sizeof(redis->log), "%s/log", redis->folder);
  }
  real_redis_run(redis, more);
  real_redis_wait(redis);
}

static inline void real_redis_signal(const struct real_redis *redis, int number) {
  assert_true(redis->pid > 0);
  assert_int_equal(kill(redis->pid, number), 0);
}

/* As after kill -9: the file of the socket stays. */
static inline void real_redis_kill(struct real_redis *redis) { redis_end(&redis->pid); }

static inline void real_redis_remove(struct real_redis *redis) {
  real_redis_kill(redis);
  redis_remove_folder(redis->folder);
}

#endif
