#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target_kinds.h"

/* Keys are this and the name; they stay when the benchmark is done. */
static const char PREFIX[] = "mxway-bench:";
enum { PREFIX_LENGTH = sizeof PREFIX - 1 };
enum { VALUE_USUAL_BYTES = 100, VALUE_MAX = 65536, BATCH = 512, COMMAND_SIZE = 128 + QUERY_NAME_SIZE };
static const char OK[] = "+OK\r\n";

struct options {
  size_t value_bytes; /* 0: not given */
};

/* Redis answers in order: who waits, oldest first. A forgotten one stays until its answer has come. */
struct session {
  struct engine_connection *connection;
  uint32_t *waiting;
  size_t first, count, size; /* a ring; size is a power of two */
};

static const uint32_t FORGOTTEN = UINT32_MAX;

/* ---- the target ---- */

static bool set_option(struct target *target, const char *name, const char *value) {
  struct options *options = target->options;
  options->value_bytes = strcmp(name, "value") == 0 ? (size_t)target_parse_number(value, VALUE_MAX) : 0;
  return options->value_bytes > 0;
}

static int parse(struct target *target, const char *spec, char error[TARGET_ERROR_SIZE]) {
  size_t length = strcspn(spec, ",");
  char *address = strndup(spec, length);
  target->options = calloc(1, sizeof(struct options));
  int result = -1;
  snprintf(error, TARGET_ERROR_SIZE, "out of memory");
  if (address && target->options)
    result = strchr(address, '/') ? target_set_path(target, address, error)
                                  : target_set_address(target, address, 6379, error);
  free(address);
  return result ? result : target_parse_options(target, spec + length, set_option, error);
}

static void destroy(struct target *target) { free(target->options); }

/* ---- filling the store ---- */

static bool send_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR)
      return false;
    if (sent > 0) {
      bytes += sent;
      length -= (size_t)sent;
    }
  }
  return true;
}

/* Waits for `count` times +OK; 0, or -1 with a sentence. */
static int await_ok(int fd, size_t count, char *error) {
  char bytes[BATCH * (sizeof OK - 1)];
  size_t wanted = count * (sizeof OK - 1), length = 0;
  while (length < wanted) {
    ssize_t got = recv(fd, bytes + length, wanted - length, 0);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0) {
      snprintf(error, TARGET_ERROR_SIZE, "cannot fill the store: %s",
               got < 0 ? strerror(errno) : "connection closed");
      return -1;
    }
    length += (size_t)got;
    for (size_t i = 0; i < length; i++)
      if (bytes[i] != OK[i % (sizeof OK - 1)]) {
        size_t end = i + strcspn(bytes + i, "\r\n");
        snprintf(error, TARGET_ERROR_SIZE, "cannot fill the store: %.*s",
                 (int)((end < length ? end : length) - i), bytes + i);
        return -1;
      }
  }
  return 0;
}

/* Sets the keys from `from` on, at most BATCH; `batch` has room for them. */
static int set_some(int fd, const struct queries *queries, size_t from, const char *value, size_t value_bytes,
                    char *batch, char *error) {
  size_t length = 0, count = queries_count(queries) - from;
  if (count > BATCH)
    count = BATCH;
  for (size_t i = 0; i < count; i++) {
    struct query query;
    queries_name(queries, from + i, &query);
    length += (size_t)snprintf(batch + length, COMMAND_SIZE, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s%s\r\n$%zu\r\n",
                               PREFIX_LENGTH + query.length, PREFIX, query.name, value_bytes);
    memcpy(batch + length, value, value_bytes);
    memcpy(batch + length + value_bytes, "\r\n", 2);
    length += value_bytes + 2;
  }
  if (send_all(fd, batch, length))
    return await_ok(fd, count, error);
  snprintf(error, TARGET_ERROR_SIZE, "cannot fill the store: %s", strerror(errno));
  return -1;
}

static int prepare(struct target *target, const struct queries *queries, size_t reply_bytes,
                   char error[TARGET_ERROR_SIZE]) {
  const struct options *options = target->options;
  size_t value_bytes = options->value_bytes ? options->value_bytes
                       : reply_bytes        ? reply_bytes
                                            : VALUE_USUAL_BYTES;
  char *value = malloc(value_bytes), *batch = malloc(BATCH * (COMMAND_SIZE + value_bytes));
  int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int result = -1;
  char why[TARGET_ERROR_SIZE] = "out of memory";
  if (value && batch && fd >= 0) {
    memset(value, 'x', value_bytes);
    result = connect(fd, (const struct sockaddr *)&target->address, target->address_length);
    if (result)
      snprintf(why, sizeof why, "%s", strerror(errno));
  }
  for (size_t at = 0; result == 0 && at < queries_count(queries); at += BATCH)
    result = set_some(fd, queries, at, value, value_bytes, batch, why);
  if (result)
    snprintf(error, TARGET_ERROR_SIZE, "%.90s: %.160s", target->label, why);
  if (fd >= 0)
    close(fd);
  free(value);
  free(batch);
  return result;
}

/* ---- a session ---- */

static void *open_session(const struct target *target, struct engine_connection *connection, uint32_t slots) {
  (void)target;
  struct session *session = calloc(1, sizeof *session);
  if (!session)
    return NULL;
  session->connection = connection;
  session->size = 64;
  while (session->size < slots)
    session->size *= 2;
  session->waiting = malloc(session->size * sizeof *session->waiting);
  if (session->waiting)
    return session;
  free(session);
  return NULL;
}

static void close_session(void *context) {
  struct session *session = context;
  free(session->waiting);
  free(session);
}

/* Those that were forgotten hold places too, so the ring may have to grow. */
static bool push(struct session *session, uint32_t slot) {
  if (session->count == session->size) {
    uint32_t *larger = malloc(2 * session->size * sizeof *larger);
    if (!larger)
      return false;
    for (size_t i = 0; i < session->count; i++)
      larger[i] = session->waiting[(session->first + i) & (session->size - 1)];
    free(session->waiting);
    session->waiting = larger;
    session->first = 0;
    session->size *= 2;
  }
  session->waiting[(session->first + session->count++) & (session->size - 1)] = slot;
  return true;
}

static void ask(void *context, uint32_t slot, const struct query *query) {
  struct session *session = context;
  static const char begin[] = "*2\r\n$3\r\nGET\r\n$";
  char command[COMMAND_SIZE];
  char *at = mempcpy(command, begin, sizeof begin - 1);
  size_t length = PREFIX_LENGTH + query->length; /* two or three digits */
  if (length >= 100)
    *at++ = (char)('0' + length / 100);
  *at++ = (char)('0' + length / 10 % 10);
  *at++ = (char)('0' + length % 10);
  at = mempcpy(at, "\r\n", 2);
  at = mempcpy(at, PREFIX, PREFIX_LENGTH);
  at = mempcpy(at, query->name, query->length);
  at = mempcpy(at, "\r\n", 2);
  if (push(session, slot))
    engine_send(session->connection, command, (size_t)(at - command));
  else
    engine_done(session->connection, slot, "error", NULL);
}

static void forget(void *context, uint32_t slot) {
  struct session *session = context;
  for (size_t i = 0; i < session->count; i++) {
    uint32_t *waiting = &session->waiting[(session->first + i) & (session->size - 1)];
    if (*waiting == slot)
      *waiting = FORGOTTEN;
  }
}

/* The reply at the start of `bytes`: its length, 0 where it is not whole, -1 where it is none. */
static ssize_t read_reply(const uint8_t *bytes, size_t length, const char **kind) {
  const uint8_t *end = memchr(bytes, '\n', length);
  if (!end)
    return length > 4096 ? -1 : 0;
  size_t line = (size_t)(end - bytes) + 1;
  *kind = "miss";
  if (bytes[0] == '-') {
    *kind = "error";
    return (ssize_t)line;
  }
  if (bytes[0] == '_' || (bytes[0] == '$' && bytes[1] == '-'))
    return (ssize_t)line;
  if (bytes[0] != '$')
    return -1;
  size_t value_length = 0;
  for (const uint8_t *at = bytes + 1; *at >= '0' && *at <= '9' && value_length <= VALUE_MAX * 16; at++)
    value_length = value_length * 10 + (size_t)(*at - '0');
  *kind = "hit";
  return length < line + value_length + 2 ? 0 : (ssize_t)(line + value_length + 2);
}

static ssize_t feed(void *context, const uint8_t *bytes, size_t length) {
  struct session *session = context;
  size_t at = 0;
  while (at < length) {
    const char *kind;
    ssize_t taken = read_reply(bytes + at, length - at, &kind);
    if (taken < 0 || (taken > 0 && session->count == 0))
      return -1;
    if (taken == 0)
      break;
    at += (size_t)taken;
    uint32_t slot = session->waiting[session->first];
    session->first = (session->first + 1) & (session->size - 1);
    session->count--;
    if (slot != FORGOTTEN)
      engine_done(session->connection, slot, kind, NULL);
  }
  return (ssize_t)at;
}

const struct target_kind target_redis = {
    .name = "redis",
    .help = "redis:SOCKET|ADDRESS:PORT[,value=BYTES][,pid=N]",
    .parse = parse,
    .destroy = destroy,
    .prepare = prepare,
    .open = open_session,
    .close = close_session,
    .ask = ask,
    .feed = feed,
    .forget = forget,
};
