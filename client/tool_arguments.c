#include "tool_arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"
#include "tool_control.h"

enum { OPTION_SOCKET = 256, OPTION_JSON, OPTION_OWN, OPTIONS_MAX = 16 };

int tool_arguments_fail(const struct tool_arguments *options, const char *what, const char *value) {
  tool_control_complain(options->command, "%s%s%s%s (see mxway %s --help)", what, value ? " '" : "",
                        value ? value : "", value ? "'" : "", options->command);
  return TOOL_USAGE;
}

static int add(struct option *table, int count, const char *const *names, int has_value) {
  for (; names && *names; names++)
    table[count++] = (struct option){*names, has_value, NULL, OPTION_OWN};
  return count;
}

int tool_arguments_parse(struct tool_arguments *options, int argc, char **argv) {
  struct option table[OPTIONS_MAX] = {{"socket", required_argument, NULL, OPTION_SOCKET},
                                      {"help", no_argument, NULL, 'h'}};
  int count = 2, index = 0;
  const char *path = getenv("MXWAY_CONTROL");
  options->socket_path = path && *path ? path : TOOL_CONTROL_DEFAULT_SOCKET;
  if (options->has_json)
    table[count++] = (struct option){"json", no_argument, NULL, OPTION_JSON};
  count = add(table, count, options->flags, no_argument);
  add(table, count, options->values, required_argument);
  opterr = 0;
  for (;;) {
    int at = optind; /* getopt_long may move past an option that fails or not */
    switch (getopt_long(argc, argv, ":h", table, &index)) {
    case -1:
      return -1;
    case OPTION_SOCKET:
      options->socket_path = optarg;
      break;
    case OPTION_JSON:
      options->is_json = true;
      break;
    case OPTION_OWN:
      options->chosen_count++;
      options->chosen = table[index].name;
      options->chosen_value = optarg;
      break;
    case 'h':
      fputs(options->usage, stdout);
      return TOOL_OK;
    case ':':
      return tool_arguments_fail(options, "a value is missing after", argv[optind - 1]);
    default:
      return tool_arguments_fail(options, "unknown option", argv[optind > at ? optind - 1 : at]);
    }
  }
}

int tool_arguments_end(const struct tool_arguments *options, int status) {
  if (fflush(stdout) == 0 || errno == EPIPE)
    return status;
  tool_control_complain(options->command, "cannot write: %s", strerror(errno));
  return TOOL_IO;
}
