#include "tool_command.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "tool.h"
#include "tool_control.h"

/* Takes the reference. False without memory. */
static bool print_object(json_t *object) {
  char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;
  if (line)
    puts(line);
  free(line);
  json_decref(object);
  return line != NULL;
}

int tool_command_run(const struct tool_arguments *options, Mxway__V1__ControlRequest *request,
                     const struct tool_printer *printer) {
  Mxway__V1__ControlReply *reply;
  int status = tool_control_ask(options->command, options->socket_path, request, &reply);
  if (status != TOOL_OK)
    return status;
  if (printer->status)
    status = printer->status(reply);
  if (!options->is_json)
    printer->print_text(reply);
  else if (!print_object(printer->make_json(reply)))
    status = TOOL_NO_MEMORY;
  mxway__v1__control_reply__free_unpacked(reply, NULL);
  return tool_arguments_end(options, status);
}
