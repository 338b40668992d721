#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"
#include "tool_arguments.h"
#include "tool_control.h"

enum {
  DOMAINS_MAX_BYTES = 32 * 1024, /* of one request */
  NAME_OVERHEAD_BYTES = 4,
  TOOL_WHY_SIZE = 256,
};

static const char usage[] =
    "Usage: mxway purge [OPTION...] DOMAIN...\n"
    "       mxway purge [OPTION...] --suffix NAME | --exchange HOST | --negative | --failures | --all\n"
    "Have the daemon forget, so that the DNS is asked anew, and the other daemons that share a store with "
    "it.\n"
    "Prints how much this one forgot, and whether the others have been told.\n"
    "\n"
    "  DOMAIN...        these domains, and the addresses of their exchanges\n"
    "  --suffix NAME    NAME and all domains below it, and the addresses of their exchanges\n"
    "  --exchange HOST  all domains whose mail goes to HOST, and its addresses\n"
    "  --negative       that domains do not exist or have no MX record, that hosts have no address\n"
    "  --failures       all failures of lookups\n"
    "  --all            everything\n"
    "  --socket PATH    the daemon's control socket (else $MXWAY_CONTROL, else\n"
    "                   " TOOL_CONTROL_DEFAULT_SOCKET
    ")\n"
    "  --json           all that as one JSON object\n"
    "  -h, --help       this text\n"
    "\n"
    "What a lookup under way brings is still answered to those who wait, and not kept.\n";

static const char *const flags[] = {"negative", "failures", "all", NULL};
static const char *const values[] = {"suffix", "exchange", NULL};

/* Of all requests. */
struct result {
  uint64_t domains, hosts;
  Mxway__V1__PurgeShared shared;
  char shared_error[TOOL_WHY_SIZE]; /* with LATER */
};

static Mxway__V1__PurgeWhat what_of(const char *option) {
  static const struct {
    const char *option;
    Mxway__V1__PurgeWhat what;
  } rows[] = {
      {"suffix", MXWAY__V1__PURGE_WHAT__PURGE_SUFFIX},
      {"exchange", MXWAY__V1__PURGE_WHAT__PURGE_EXCHANGE},
      {"negative", MXWAY__V1__PURGE_WHAT__PURGE_NEGATIVE},
      {"failures", MXWAY__V1__PURGE_WHAT__PURGE_FAILURES},
      {"all", MXWAY__V1__PURGE_WHAT__PURGE_ALL},
  };
  for (size_t i = 0; option && i < sizeof rows / sizeof *rows; i++)
    if (strcmp(option, rows[i].option) == 0)
      return rows[i].what;
  return MXWAY__V1__PURGE_WHAT__PURGE_DOMAINS;
}

/* What the other daemons know of all: the worst of all requests. */
static void add_shared(struct result *result, const Mxway__V1__PurgeReply *reply) {
  if (result->shared == MXWAY__V1__PURGE_SHARED__PURGE_SHARED_LATER)
    return;
  result->shared = reply->shared;
  snprintf(result->shared_error, TOOL_WHY_SIZE, "%s", reply->shared_error);
}

/* One request; adds to the result. */
static int purge(const struct tool_arguments *options, Mxway__V1__PurgeRequest *message,
                 struct result *result) {
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  Mxway__V1__ControlReply *reply;
  request.purge = message;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_PURGE;
  int status = tool_control_ask("purge", options->socket_path, &request, &reply);
  if (status != TOOL_OK)
    return status;
  result->domains += reply->purge->domain_count;
  result->hosts += reply->purge->host_count;
  add_shared(result, reply->purge);
  mxway__v1__control_reply__free_unpacked(reply, NULL);
  return TOOL_OK;
}

/* The names in as many requests as they need. */
static int purge_names(const struct tool_arguments *options, Mxway__V1__PurgeWhat what, char **names,
                       size_t count, struct result *result) {
  Mxway__V1__PurgeRequest message = MXWAY__V1__PURGE_REQUEST__INIT;
  ProtobufCBinaryData *list = calloc(count + 1, sizeof *list);
  int status = list ? TOOL_OK : TOOL_NO_MEMORY;
  message.what = what;
  message.names = list;
  for (size_t at = 0, bytes = 0; status == TOOL_OK && at < count; at++) {
    size_t length = strlen(names[at]);
    list[message.n_names++] = (ProtobufCBinaryData){.len = length, .data = (uint8_t *)names[at]};
    bytes += length + NAME_OVERHEAD_BYTES;
    bool is_full = at + 1 < count && bytes + strlen(names[at + 1]) > DOMAINS_MAX_BYTES;
    if (is_full || at + 1 == count) {
      status = purge(options, &message, result);
      message.n_names = bytes = 0;
    }
  }
  free(list);
  return status;
}

static void print_shared(const struct result *result) {
  switch ((int)result->shared) {
  case MXWAY__V1__PURGE_SHARED__PURGE_SHARED_OFF:
    break;
  case MXWAY__V1__PURGE_SHARED__PURGE_SHARED_TOLD:
    puts("the other daemons of the cluster have been told");
    break;
  case MXWAY__V1__PURGE_SHARED__PURGE_SHARED_READ_ONLY:
    puts("the other daemons of the cluster have not been told: this one only reads (redis-mode)");
    break;
  default:
    printf("the other daemons of the cluster will be told later: %s\n", result->shared_error);
    break;
  }
}

static const char *name_of(Mxway__V1__PurgeShared shared) {
  static const char *const names[] = {"off", "told", "later", "read-only"};
  return (unsigned)shared < sizeof names / sizeof *names ? names[shared] : "UNKNOWN";
}

/* Returns TOOL_OK or TOOL_NO_MEMORY. */
static int print_json(const struct result *result) {
  json_t *object = json_pack("{s:I, s:I, s:s, s:s}", "domains", (json_int_t)result->domains, "hosts",
                             (json_int_t)result->hosts, "shared", name_of(result->shared), "shared_error",
                             result->shared_error);
  int status = object && json_dumpf(object, stdout, JSON_COMPACT) == 0 ? TOOL_OK : TOOL_NO_MEMORY;
  json_decref(object);
  putchar('\n');
  return status;
}

static int print_result(const struct tool_arguments *options, const struct result *result) {
  if (options->is_json)
    return print_json(result);
  printf("forgot %" PRIu64 " domain%s and the addresses of %" PRIu64 " host%s\n", result->domains,
         result->domains == 1 ? "" : "s", result->hosts, result->hosts == 1 ? "" : "s");
  print_shared(result);
  return TOOL_OK;
}

/* This daemon has purged; whether the others do. */
static int status_of(const struct result *result) {
  switch ((int)result->shared) {
  case MXWAY__V1__PURGE_SHARED__PURGE_SHARED_OFF:
  case MXWAY__V1__PURGE_SHARED__PURGE_SHARED_TOLD:
    return TOOL_OK;
  case MXWAY__V1__PURGE_SHARED__PURGE_SHARED_READ_ONLY:
    return TOOL_PERMANENT;
  default:
    return TOOL_TRANSIENT;
  }
}

int tool_purge(int argc, char **argv) {
  struct tool_arguments options = {
      .command = "purge", .usage = usage, .has_json = true, .flags = flags, .values = values};
  struct result result = {0};
  int status = tool_arguments_parse(&options, argc, argv);
  if (status >= 0)
    return status;
  char **names = argv + optind;
  size_t count = (size_t)(argc - optind);
  if (options.chosen_count > 1)
    return tool_arguments_fail(&options, "one purge at a time: another is also", options.chosen);
  if (options.chosen && count > 0)
    return tool_arguments_fail(&options, "beside an option that says what to purge there is", names[0]);
  if (!options.chosen && count == 0)
    return tool_arguments_fail(&options, "what is to be purged?", NULL);
  char *value = (char *)options.chosen_value;
  Mxway__V1__PurgeRequest whole = MXWAY__V1__PURGE_REQUEST__INIT;
  whole.what = what_of(options.chosen);
  if (value)
    status = purge_names(&options, whole.what, &value, 1, &result);
  else if (options.chosen)
    status = purge(&options, &whole, &result);
  else
    status = purge_names(&options, whole.what, names, count, &result);
  if (status != TOOL_OK && result.domains + result.hosts == 0)
    return tool_arguments_end(&options, status);
  int printed = print_result(&options, &result);
  if (status == TOOL_OK)
    status = printed == TOOL_OK ? status_of(&result) : printed;
  return tool_arguments_end(&options, status);
}
