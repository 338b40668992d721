/*
 * tool_command: the frame of a command that is one question on the control socket.
 *
 * Asks, has the answer printed for people or as one JSON object, and says with which status the command ends.
 */
#ifndef MXWAY_CLIENT_TOOL_COMMAND_H
#define MXWAY_CLIENT_TOOL_COMMAND_H

#include <jansson.h>

#include "control.pb-c.h"
#include "tool_arguments.h"

/* What a command does with its answer, which has the result that was asked for. */
struct tool_printer {
  void (*print_text)(const Mxway__V1__ControlReply *reply);
  json_t *(*make_json)(const Mxway__V1__ControlReply *reply); /* a new reference; NULL without memory */
  int (*status)(const Mxway__V1__ControlReply *reply);        /* NULL: always TOOL_OK */
};

/* Sends `request`, which has its command, by `options` that were parsed. Returns the exit status. */
int tool_command_run(const struct tool_arguments *options, Mxway__V1__ControlRequest *request,
                     const struct tool_printer *printer);

#endif
