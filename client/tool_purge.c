#include <inttypes.h>
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
};

static const char usage[] =
    "Usage: mxway purge [OPTION...] DOMAIN...\n"
    "       mxway purge [OPTION...] --suffix NAME | --exchange HOST | --negative | --failures | --all\n"
    "Have the daemon forget, so that the DNS is asked anew. Prints how much was forgotten.\n"
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
    "  --json           the counts as one JSON object\n"
    "  -h, --help       this text\n"
    "\n"
    "What a lookup under way brings is still answered to those who wait, and not kept.\n";

static const char *const flags[] = {"negative", "failures", "all", NULL};
static const char *const values[] = {"suffix", "exchange", NULL};

struct counts {
  uint64_t domains, hosts;
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

/* One request; adds to the counts. */
static int purge(const struct tool_arguments *options, Mxway__V1__PurgeRequest *message,
                 struct counts *counts) {
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  Mxway__V1__ControlReply *reply;
  request.purge = message;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_PURGE;
  int status = tool_control_ask("purge", options->socket_path, &request, &reply);
  if (status != TOOL_OK)
    return status;
  counts->domains += reply->purge->domain_count;
  counts->hosts += reply->purge->host_count;
  mxway__v1__control_reply__free_unpacked(reply, NULL);
  return TOOL_OK;
}

/* The names in as many requests as they need. */
static int purge_names(const struct tool_arguments *options, Mxway__V1__PurgeWhat what, char **names,
                       size_t count, struct counts *counts) {
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
      status = purge(options, &message, counts);
      message.n_names = bytes = 0;
    }
  }
  free(list);
  return status;
}

static void print_counts(const struct tool_arguments *options, const struct counts *counts) {
  if (options->is_json)
    printf("{\"domains\":%" PRIu64 ",\"hosts\":%" PRIu64 "}\n", counts->domains, counts->hosts);
  else
    printf("forgot %" PRIu64 " domain%s and the addresses of %" PRIu64 " host%s\n", counts->domains,
           counts->domains == 1 ? "" : "s", counts->hosts, counts->hosts == 1 ? "" : "s");
}

int tool_purge(int argc, char **argv) {
  struct tool_arguments options = {
      .command = "purge", .usage = usage, .has_json = true, .flags = flags, .values = values};
  struct counts counts = {0};
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
    status = purge_names(&options, whole.what, &value, 1, &counts);
  else if (options.chosen)
    status = purge(&options, &whole, &counts);
  else
    status = purge_names(&options, whole.what, names, count, &counts);
  if (status == TOOL_OK || counts.domains + counts.hosts > 0)
    print_counts(&options, &counts);
  return tool_arguments_end(&options, status);
}
