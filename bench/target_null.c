#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "null_server.h"
#include "target_kinds.h"

enum { REPLY_USUAL_BYTES = 100 };

struct options {
  size_t reply_bytes; /* 0: not given */
  pid_t pid;          /* of the process started, or 0 */
};

static bool set_option(struct target *target, const char *name, const char *value) {
  struct options *options = target->options;
  uint64_t bytes = strcmp(name, "reply") == 0 ? target_parse_number(value, NULL_SERVER_REPLY_MAX) : 0;
  options->reply_bytes = (size_t)bytes;
  return bytes >= NULL_SERVER_REPLY_MIN;
}

static int parse(struct target *target, const char *spec, char error[TARGET_ERROR_SIZE]) {
  target->options = calloc(1, sizeof(struct options));
  if (!target->options) {
    snprintf(error, TARGET_ERROR_SIZE, "out of memory");
    return -1;
  }
  return target_parse_options(target, spec, set_option, error);
}

static void destroy(struct target *target) {
  struct options *options = target->options;
  if (options && options->pid > 0)
    null_server_stop(options->pid);
  free(options);
}

static size_t reply_bytes_of(const struct options *options, size_t mean_bytes) {
  size_t bytes = options->reply_bytes ? options->reply_bytes : mean_bytes ? mean_bytes : REPLY_USUAL_BYTES;
  if (bytes < NULL_SERVER_REPLY_MIN)
    return NULL_SERVER_REPLY_MIN;
  return bytes > NULL_SERVER_REPLY_MAX ? NULL_SERVER_REPLY_MAX : bytes;
}

static int prepare(struct target *target, const struct queries *queries, size_t reply_bytes,
                   char error[TARGET_ERROR_SIZE]) {
  (void)queries;
  struct options *options = target->options;
  struct sockaddr_un address;
  pid_t pid = null_server_start(reply_bytes_of(options, reply_bytes), &address, &target->address_length);
  if (pid < 0) {
    snprintf(error, TARGET_ERROR_SIZE, "null: cannot start its server: %s", strerror(-pid));
    return -1;
  }
  options->pid = target->pid = pid;
  memcpy(&target->address, &address, sizeof address);
  return 0;
}

const struct target_kind target_null = {
    .name = "null",
    .help = "null[,reply=BYTES]: 16 to 65536 octets of a reply on the wire",
    .parse = parse,
    .destroy = destroy,
    .prepare = prepare,
    .open = target_mxway_open,
    .close = target_mxway_close,
    .ask = target_mxway_ask,
    .feed = target_mxway_feed,
    .forget = target_mxway_forget,
};
