/*
 * fake_redis: a server that speaks as much of Redis' protocol as a test wants, on a Unix socket and the loop
 * of the test: real servers do not send nonsense on request.
 *
 * What comes is read as commands; each is handed to `answer`, which says what it likes with fake_redis_say.
 */
#ifndef MXWAY_TESTS_FAKE_REDIS_H
#define MXWAY_TESTS_FAKE_REDIS_H

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmocka_compat.h"

enum { FAKE_WORDS_MAX = 8, FAKE_WORD_SIZE = 128, FAKE_COMMANDS_MAX = 4096, FAKE_INPUT_SIZE = 1 << 16 };

struct fake_command {
  int count;
  char words[FAKE_WORDS_MAX][FAKE_WORD_SIZE];
};

struct fake_redis;

typedef void fake_answer_fn(struct fake_redis *fake, const struct fake_command *command);

struct fake_redis {
  struct ev_loop *loop;
  char folder[40], path[64];
  int listener, client; /* one client at a time; -1: none */
  ev_io accepting, reading;
  fake_answer_fn *answer;
  void *context;
  char input[FAKE_INPUT_SIZE];
  size_t input_length;
  size_t connections, command_count;
  struct fake_command *commands; /* all that came, of all connections */
};

static inline void fake_redis_hang_up(struct fake_redis *fake) {
  if (fake->client < 0)
    return;
  ev_io_stop(fake->loop, &fake->reading);
  close(fake->client);
  fake->client = -1;
}

/* All of it, which must fit into the socket; to who has closed it nothing. */
static inline void fake_redis_say_bytes(struct fake_redis *fake, const char *bytes, size_t length) {
  if (fake->client >= 0 && send(fake->client, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
    assert_true(errno == EPIPE || errno == ECONNRESET);
}

static inline void fake_redis_say(struct fake_redis *fake, const char *text) {
  fake_redis_say_bytes(fake, text, strlen(text));
}

/* As a server that wants no password, and has nothing. */
static inline void fake_redis_answer_well(struct fake_redis *fake, const struct fake_command *command) {
  fake_redis_say(fake, strcmp(command->words[0], "PING") == 0  ? "+PONG\r\n"
                       : strcmp(command->words[0], "GET") == 0 ? "$-1\r\n"
                                                               : "+OK\r\n");
}

/* Says nothing to anything. */
static inline void fake_redis_answer_nothing(struct fake_redis *fake, const struct fake_command *command) {
  (void)fake, (void)command;
}

/* Reads one command from the `length` octets at `bytes`; returns what it took, 0: not complete yet. */
static inline size_t fake_redis_read(const char *bytes, size_t length, struct fake_command *command) {
  size_t at = 0;
  memset(command, 0, sizeof(*command));
  for (int i = -1; i < command->count; i++) {
    const char *end = memchr(bytes + at, '\n', length - at);
    if (!end)
      return 0;
    long number = strtol(bytes + at + 1, NULL, 10);
    assert_int_equal(bytes[at], i < 0 ? '*' : '$');
    at = (size_t)(end - bytes) + 1;
    if (i < 0) {
      assert_in_range(number, 1, FAKE_WORDS_MAX);
      command->count = (int)number;
      continue;
    }
    if (length - at < (size_t)number + 2)
      return 0;
    snprintf(command->words[i], FAKE_WORD_SIZE, "%.*s", (int)number, bytes + at);
    at += (size_t)number + 2;
  }
  return at;
}

static inline void fake_redis_on_input(struct ev_loop *loop, ev_io *io, int events) {
  (void)loop, (void)events;
  struct fake_redis *fake = io->data;
  ssize_t got =
      recv(fake->client, fake->input + fake->input_length, sizeof(fake->input) - fake->input_length, 0);
  if (got <= 0) {
    fake_redis_hang_up(fake);
    return;
  }
  fake->input_length += (size_t)got;
  struct fake_command command;
  for (size_t taken; fake->client >= 0 && fake->input_length > 0 &&
                     (taken = fake_redis_read(fake->input, fake->input_length, &command)) > 0;) {
    fake->input_length -= taken;
    memmove(fake->input, fake->input + taken, fake->input_length);
    assert_true(fake->command_count < FAKE_COMMANDS_MAX);
    fake->commands[fake->command_count++] = command;
    fake->answer(fake, &command);
  }
}

static inline void fake_redis_on_client(struct ev_loop *loop, ev_io *io, int events) {
  (void)loop, (void)events;
  struct fake_redis *fake = io->data;
  int client = accept(fake->listener, NULL, NULL);
  if (client < 0)
    return;
  fake_redis_hang_up(fake);
  fake->client = client;
  fake->input_length = 0;
  fake->connections++;
  fcntl(client, F_SETFL, O_NONBLOCK);
  ev_io_init(&fake->reading, fake_redis_on_input, client, EV_READ);
  fake->reading.data = fake;
  ev_io_start(fake->loop, &fake->reading);
}

static inline void fake_redis_listen(struct fake_redis *fake) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", fake->path);
  fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
  assert_int_equal(listen(fake->listener, 8), 0);
  ev_io_init(&fake->accepting, fake_redis_on_client, fake->listener, EV_READ);
  fake->accepting.data = fake;
  ev_io_start(fake->loop, &fake->accepting);
}

/* As if the server had ended: new connections are refused. */
static inline void fake_redis_end(struct fake_redis *fake) {
  fake_redis_hang_up(fake);
  if (fake->listener < 0)
    return;
  ev_io_stop(fake->loop, &fake->accepting);
  close(fake->listener);
  fake->listener = -1;
  unlink(fake->path);
}

static inline struct fake_redis *fake_redis_create(struct ev_loop *loop, fake_answer_fn *answer) {
  struct fake_redis *fake = calloc(1, sizeof(*fake));
  assert_non_null(fake);
  fake->commands = calloc(FAKE_COMMANDS_MAX, sizeof(*fake->commands));
  assert_non_null(fake->commands);
  fake->loop = loop;
  fake->answer = answer;
  fake->client = -1;
  snprintf(fake->folder, sizeof(fake->folder), "/tmp/mxway-fake-redis-XXXXXX");
  assert_non_null(mkdtemp(fake->folder));
  snprintf(fake->path, sizeof(fake->path), "%s/sock", fake->folder);
  fake_redis_listen(fake);
  return fake;
}

static inline void fake_redis_destroy(struct fake_redis *fake) {
  fake_redis_end(fake);
  rmdir(fake->folder);
  free(fake->commands);
  free(fake);
}

#endif
