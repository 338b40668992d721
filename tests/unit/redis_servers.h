/*
 * redis_servers: real Redis servers for a test, each with a folder of its own under /tmp, on a free port of
 * loopback.
 *
 * A server dies with the test. Nothing here turns the test's loop: what it says to a server waits for
 * the answer. Tests skip where there is no redis-server (redis_is_there).
 */
#ifndef MXWAY_TESTS_REDIS_SERVERS_H
#define MXWAY_TESTS_REDIS_SERVERS_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "cmocka_compat.h"

enum {
  REDIS_WAIT_MS = 60000,
  REDIS_LINES_SIZE = 2048,
  REDIS_WINDOWS = 90, /* of ports */
  REDIS_WINDOW = 100,
  REDIS_BUS = 10000 /* a cluster's servers talk to each other on ports higher by this */
};

struct redis_server {
  pid_t pid; /* 0: it does not run */
  bool is_sentinel;
  char folder[32];
  char lines[REDIS_LINES_SIZE]; /* its configuration, but for what all have */
  char password[32];            /* of the test's own connection; "": none */
  uint16_t port;
  redisContext *connection; /* the test's own; NULL: none yet */
};

static inline bool redis_is_there(void) {
  return system("redis-server --version >/dev/null 2>&1") == 0; /* NOLINT: a fixed command */
}

/* Whether nobody listens at `port` of loopback. */
static inline bool redis_port_is_free(unsigned port) {
  const struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  assert_return_code(fd, errno);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)); /* as Redis does */
  bool is_free = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
  close(fd);
  return is_free;
}

/* Below those that the kernel hands out for connections, and not where tests that run beside this one look:
 * a server that was killed must find its port free. */
static inline uint16_t redis_free_port(void) {
  struct random random;
  random_init(&random);
  for (unsigned tries = 0; tries < 1000; tries++) {
    unsigned window = ((unsigned)getpid() + tries / 100) % REDIS_WINDOWS;
    unsigned port = 11000 + window * REDIS_WINDOW + random_below(&random, REDIS_WINDOW);
    if (redis_port_is_free(port) && redis_port_is_free(port + REDIS_BUS))
      return (uint16_t)port;
  }
  fail_msg("there is no free port");
  return 0;
}

static inline void redis_pause(void) {
  const struct timespec pause = {.tv_nsec = 5000000};
  nanosleep(&pause, NULL);
}

static inline void redis_write_config(const struct redis_server *server) {
  char path[64];
  snprintf(path, sizeof(path), "%s/conf", server->folder);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fprintf(file, "port %u\nbind 127.0.0.1\ndir %s\nlogfile %s/log\ndaemonize no\n", server->port,
          server->folder, server->folder);
  if (!server->is_sentinel)
    fprintf(file, "save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n");
  fprintf(file, "%s\n", server->lines);
  assert_int_equal(fclose(file), 0);
}

/* Runs redis-server with `arguments` (the first is its name, the last NULL), silently; it ends with the test.
 */
static inline pid_t redis_spawn(const char *const *arguments) {
  pid_t parent = getpid(), pid = fork();
  assert_return_code(pid, errno);
  if (pid > 0)
    return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int null = open("/dev/null", O_RDWR);
  if (getppid() == parent && null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2)
    execvp("redis-server", (char *const *)arguments);
  _exit(127);
}

/* As a machine that loses its power; 0: it does not run. */
static inline void redis_end(pid_t *pid) {
  if (*pid <= 0)
    return;
  assert_return_code(kill(*pid, SIGKILL), errno);
  while (waitpid(*pid, NULL, 0) < 0)
    assert_int_equal(errno, EINTR);
  *pid = 0;
}

static inline void redis_run(struct redis_server *server) {
  char path[64];
  snprintf(path, sizeof(path), "%s/conf", server->folder);
  server->pid = redis_spawn(
      (const char *const[]){"redis-server", path, server->is_sentinel ? "--sentinel" : NULL, NULL});
}

static inline void redis_disconnect(struct redis_server *server) {
  if (server->connection)
    redisFree(server->connection);
  server->connection = NULL;
}

/* Connects; false where it does not answer yet. */
static inline bool redis_connect(struct redis_server *server) {
  const struct timeval patience = {.tv_sec = 30};
  redis_disconnect(server);
  server->connection = redisConnectWithTimeout("127.0.0.1", server->port, patience);
  assert_non_null(server->connection);
  if (server->connection->err)
    return false;
  redisSetTimeout(server->connection, patience);
  if (server->password[0]) {
    redisReply *reply = redisCommand(server->connection, "AUTH %s", server->password);
    bool is_in = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    if (!is_in)
      return false;
  }
  char process[32]; /* else it is another test's, which was faster to take the port */
  snprintf(process, sizeof(process), "process_id:%d\r", (int)server->pid);
  redisReply *reply = redisCommand(server->connection, "INFO server");
  bool is_there = reply && reply->str && strstr(reply->str, process);
  freeReplyObject(reply);
  return is_there;
}

/* Runs it (again), and waits until it answers. False where it has ended: its port was taken, say. */
static inline bool redis_try(struct redis_server *server) {
  redis_run(server);
  for (int64_t end_ms = clock_now_ms() + REDIS_WAIT_MS; clock_now_ms() < end_ms; redis_pause()) {
    if (redis_connect(server))
      return true;
    if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
      server->pid = 0;
      return false;
    }
  }
  fail_msg("a Redis server does not begin to answer");
  return false;
}

/* Starts a server, `server` being zeroed but for `is_sentinel`, `password` and `lines`. */
static inline void redis_start(struct redis_server *server) {
  snprintf(server->folder, sizeof(server->folder), "/tmp/mxway-test-XXXXXX");
  assert_non_null(mkdtemp(server->folder));
  for (int tries = 0; tries < 20; tries++) {
    server->port = redis_free_port();
    redis_write_config(server);
    if (redis_try(server))
      return;
  }
  fail_msg("no Redis server can be started");
}

static inline void redis_signal(const struct redis_server *server, int signal) {
  assert_true(server->pid > 0);
  assert_return_code(kill(server->pid, signal), errno);
}

/* As redis_end. */
static inline void redis_kill(struct redis_server *server) {
  redis_disconnect(server);
  redis_end(&server->pid);
}

/* It comes back at its port, with its configuration as it left it. */
static inline void redis_start_again(struct redis_server *server) {
  assert_int_equal(server->pid, 0);
  for (int64_t end_ms = clock_now_ms() + REDIS_WAIT_MS; !redis_try(server); redis_pause())
    assert_true(clock_now_ms() < end_ms); /* somebody else has its port for now */
}

static inline int redis_remove(const char *path, const struct stat *status, int type, struct FTW *walk) {
  (void)status, (void)type, (void)walk;
  return remove(path);
}

/* Removes a folder with all that is in it; "": there is none. */
static inline void redis_remove_folder(char *folder) {
  if (folder[0])
    nftw(folder, redis_remove, 8, FTW_DEPTH | FTW_PHYS);
  folder[0] = '\0';
}

/* Ends it, and removes its folder. Fine with one that was never started. */
static inline void redis_stop(struct redis_server *server) {
  redis_kill(server);
  redis_remove_folder(server->folder);
}

/* Says a command, as redisvCommand. A sentinel that makes a server master or replica ends its connections,
 * this one too. */
static inline redisReply *redis_query(struct redis_server *server, const char *format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  redisReply *reply = redisvCommand(server->connection, format, arguments);
  if (!reply) {
    assert_true(redis_connect(server));
    reply = redisvCommand(server->connection, format, again);
  }
  va_end(again);
  assert_non_null(reply);
  return reply;
}

static inline redisReply *redis_check(redisReply *reply) {
  if (reply->type == REDIS_REPLY_ERROR)
    print_error("%s\n", reply->str);
  assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
  return reply;
}

/* Says a command, as redisCommand; the reply, which is no error, is freed by the caller. */
static inline redisReply *redis_ask(struct redis_server *server, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  redisReply *reply = redis_check(redis_query(server, format, arguments));
  va_end(arguments);
  return reply;
}

/* Says a command whose answer does not matter, as long as it is no error. */
static inline void redis_say(struct redis_server *server, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  freeReplyObject(redis_check(redis_query(server, format, arguments)));
  va_end(arguments);
}

/* Whether a command is answered with anything but an error. */
static inline bool redis_takes(struct redis_server *server, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  redisReply *reply = redis_query(server, format, arguments);
  va_end(arguments);
  bool is_so = reply->type != REDIS_REPLY_ERROR;
  freeReplyObject(reply);
  return is_so;
}

/* Whether the answer to `command`, a text, holds `part`. */
static inline bool redis_says(struct redis_server *server, const char *command, const char *part) {
  redisReply *reply = redis_ask(server, command);
  bool is_so = reply->str && strstr(reply->str, part);
  freeReplyObject(reply);
  return is_so;
}

/* Waits for what servers do among themselves. */
#define REDIS_UNTIL(condition)                                                                               \
  do {                                                                                                       \
    int64_t redis_end_ms = clock_now_ms() + REDIS_WAIT_MS;                                                   \
    while (!(condition)) {                                                                                   \
      assert_true(clock_now_ms() < redis_end_ms);                                                            \
      redis_pause();                                                                                         \
    }                                                                                                        \
  } while (0)

#endif
