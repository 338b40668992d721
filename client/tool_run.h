/*
 * tool_run: many names asked over one connection, each answer printed.
 *
 * Names from arguments are printed in their order; names from a stream as they are
 * answered. With request.explain each has its story below it. At most TOOL_RUN_WINDOW names are in memory.
 * When the connection is lost, what was unanswered is asked once more on a new one. Waits in one poll(2) for
 * the stream and the daemon, and flushes the output before it waits.
 */
#ifndef MXWAY_CLIENT_TOOL_RUN_H
#define MXWAY_CLIENT_TOOL_RUN_H

#include <stdio.h>

#include "mxway/mxway.h"

enum { TOOL_RUN_WINDOW = 512 };

struct tool_run_options {
  const char *socket_path;
  struct mxway_request request; /* without the domain */
  int input_fd;                 /* the stream; -1: `domains` */
  char *const *domains;
  size_t domain_count;
  bool is_json;
  size_t columns; /* of the terminal, for what is explained */
  bool is_bold;
  bool is_output_terminal, is_error_terminal;
  FILE *out, *err;
};

/* Returns an exit status (tool.h). */
int tool_run(const struct tool_run_options *options);

#endif
