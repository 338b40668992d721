/*
 * tool_arguments: the command line of the commands that use the control socket.
 *
 * They share --socket, --json and --help; a command adds its own. Wrong usage is explained.
 */
#ifndef MXWAY_CLIENT_TOOL_ARGUMENTS_H
#define MXWAY_CLIENT_TOOL_ARGUMENTS_H

#include <stdbool.h>

struct tool_arguments {
  /* The command's. */
  const char *command;
  const char *usage;         /* the text of --help */
  bool has_json;             /* whether it takes --json */
  const char *const *flags;  /* its own options without a value, NULL at the end; or NULL */
  const char *const *values; /* its own options with a value, the same */
  /* What was read. */
  const char *socket_path;
  bool is_json;
  int chosen_count;                  /* of its own options: how many were given, */
  const char *chosen, *chosen_value; /* and the last */
};

/* Reads the options; optind is then that of the first argument. Returns the exit status that ends the
 * command, or -1 to go on. */
int tool_arguments_parse(struct tool_arguments *options, int argc, char **argv);

/* Complains about the usage; returns TOOL_USAGE. */
int tool_arguments_fail(const struct tool_arguments *options, const char *what, const char *value);

/* Flushes standard output. Returns `status`, or TOOL_IO after an explanation where that went wrong. */
int tool_arguments_end(const struct tool_arguments *options, int status);

#endif
