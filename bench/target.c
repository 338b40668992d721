#include "target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "target_kinds.h"

const struct target_kind *const target_kinds[] = {&target_mxway, &target_dns, &target_redis, &target_null,
                                                  NULL};

static const struct target_kind *find_kind(const char *spec, size_t length) {
  for (size_t i = 0; target_kinds[i]; i++)
    if (strlen(target_kinds[i]->name) == length && strncmp(spec, target_kinds[i]->name, length) == 0)
      return target_kinds[i];
  return NULL;
}

int target_parse(struct target *target, const char *spec, char error[TARGET_ERROR_SIZE]) {
  memset(target, 0, sizeof *target);
  target->socket_type = SOCK_STREAM;
  snprintf(target->label, sizeof target->label, "%s", spec);
  size_t length = strcspn(spec, ":,");
  const struct target_kind *kind = find_kind(spec, length);
  if (!kind) {
    snprintf(error, TARGET_ERROR_SIZE, "no kind of target '%.*s': there are mxway, dns, redis and null",
             (int)(length < 40 ? length : 40), spec);
    return -1;
  }
  target->kind = kind;
  char why[TARGET_ERROR_SIZE];
  if (kind->parse(target, spec + length + (spec[length] == ':'), why) == 0)
    return 0;
  snprintf(error, TARGET_ERROR_SIZE, "%.90s: %.160s", spec, why);
  target_fini(target);
  return -1;
}

void target_fini(struct target *target) {
  if (target->kind)
    target->kind->destroy(target);
  target->kind = NULL;
}

uint64_t target_parse_number(const char *text, uint64_t most) {
  if (!text || text[0] < '0' || text[0] > '9')
    return 0;
  char *end;
  errno = 0;
  unsigned long long number = strtoull(text, &end, 10);
  return *end || errno || number > most ? 0 : number;
}

static bool set_option(struct target *target, const char *name, const char *value,
                       bool (*set)(struct target *, const char *, const char *)) {
  if (strcmp(name, "name") == 0) {
    snprintf(target->name, sizeof target->name, "%s", value ? value : "");
    return target->name[0] != '\0';
  }
  if (strcmp(name, "pid") != 0)
    return set(target, name, value);
  target->pid = (pid_t)target_parse_number(value, INT32_MAX);
  return target->pid > 0;
}

int target_parse_options(struct target *target, const char *options,
                         bool (*set)(struct target *target, const char *name, const char *value),
                         char error[TARGET_ERROR_SIZE]) {
  char *copy = strdup(options);
  char *rest = copy, *name;
  bool is_good = copy != NULL;
  snprintf(error, TARGET_ERROR_SIZE, "out of memory");
  while (is_good && (name = strsep(&rest, ",")) != NULL) {
    if (!*name)
      continue;
    char *value = strchr(name, '=');
    if (value)
      *value++ = '\0';
    is_good = set_option(target, name, value, set);
    if (!is_good)
      snprintf(error, TARGET_ERROR_SIZE, "bad option '%.40s%s%.40s' (%s)", name, value ? "=" : "",
               value ? value : "", target->kind->help);
  }
  free(copy);
  return is_good ? 0 : -1;
}

int target_set_path(struct target *target, const char *path, char error[TARGET_ERROR_SIZE]) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address.sun_path) {
    snprintf(error, TARGET_ERROR_SIZE, "a socket's path has 1 to %zu octets", sizeof address.sun_path - 1);
    return -1;
  }
  memcpy(address.sun_path, path, length + 1);
  memcpy(&target->address, &address, sizeof address);
  target->address_length = sizeof address;
  return 0;
}

/* Copies address and port out of "ADDRESS", "ADDRESS:PORT", "[ADDRESS]:PORT"; false for another form. */
static bool split_address(const char *text, char host[INET6_ADDRSTRLEN], uint16_t *port) {
  bool is_bracketed = text[0] == '[';
  const char *begin = text + is_bracketed;
  const char *colon = strrchr(text, ':');
  const char *end = is_bracketed ? strchr(text, ']') : colon && strchr(text, ':') == colon ? colon : NULL;
  if (is_bracketed && (!end || (end[1] && end[1] != ':')))
    return false;
  const char *number = end && end[is_bracketed] ? end + is_bracketed + 1 : NULL;
  if (!end)
    end = text + strlen(text);
  if (end == begin || end - begin >= INET6_ADDRSTRLEN)
    return false;
  memcpy(host, begin, (size_t)(end - begin));
  host[end - begin] = '\0';
  if (number)
    *port = (uint16_t)target_parse_number(number, UINT16_MAX);
  return *port != 0;
}

int target_set_address(struct target *target, const char *text, uint16_t port,
                       char error[TARGET_ERROR_SIZE]) {
  char host[INET6_ADDRSTRLEN];
  struct sockaddr_in v4 = {.sin_family = AF_INET};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
  bool is_split = split_address(text, host, &port);
  v4.sin_port = v6.sin6_port = htons(port);
  if (is_split && inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
    memcpy(&target->address, &v4, sizeof v4);
    target->address_length = sizeof v4;
  } else if (is_split && inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
    memcpy(&target->address, &v6, sizeof v6);
    target->address_length = sizeof v6;
  } else {
    snprintf(error, TARGET_ERROR_SIZE, "'%.60s' is not ADDRESS:PORT, such as 127.0.0.1:53 or [::1]:53", text);
    return -1;
  }
  return 0;
}

/* Process 1 listens for what it starts: it is not the server. */
static void learn_pid(struct target *target, int fd) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (target->pid == 0 && target->address.ss_family == AF_UNIX &&
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid > 1)
    target->pid = peer.pid;
}

int target_probe(struct target *target, char error[TARGET_ERROR_SIZE]) {
  int fd = socket(target->address.ss_family, target->socket_type | SOCK_CLOEXEC, 0);
  struct timeval patience = {.tv_sec = 5};
  if (fd >= 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (fd < 0 || connect(fd, (const struct sockaddr *)&target->address, target->address_length) != 0) {
    snprintf(error, TARGET_ERROR_SIZE, "%s: cannot connect: %s", target->label,
             strerror(errno == EINPROGRESS || errno == EAGAIN ? ETIMEDOUT : errno));
    if (fd >= 0)
      close(fd);
    return -1;
  }
  learn_pid(target, fd);
  close(fd);
  return 0;
}
