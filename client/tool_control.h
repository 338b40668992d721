/*
 * tool_control: the control socket of mxwayd, for the commands of mxway.
 *
 * One request at a time, and the caller blocks until it is answered. What fails is explained on standard
 * error, with the command's name before it, and becomes an exit status.
 */
#ifndef MXWAY_CLIENT_TOOL_CONTROL_H
#define MXWAY_CLIENT_TOOL_CONTROL_H

#include "buffer.h"
#include "control.pb-c.h"

#define TOOL_CONTROL_DEFAULT_SOCKET "/run/mxway/control.sock"

struct tool_control {
  const char *command; /* "stats", for messages */
  const char *path;
  int fd;
  uint64_t id; /* of the last request */
  struct mxway_buffer in;
};

/* Complains on standard error: "mxway COMMAND: ...". What could drive a terminal is replaced. */
void tool_control_complain(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Connects. Returns TOOL_OK, or an exit status after an explanation. close is due either way. */
int tool_control_open(struct tool_control *control, const char *command, const char *path);
void tool_control_close(struct tool_control *control);

/* Sends `request`, whose id it sets, and waits for the reply. Returns the reply, for
 * mxway__v1__control_reply__free_unpacked, which may hold an error; or NULL after an explanation, for which
 * TOOL_NO_DAEMON is the status. */
Mxway__V1__ControlReply *tool_control_call(struct tool_control *control, Mxway__V1__ControlRequest *request);

/* Opens, calls, closes; a refusal is explained. Returns TOOL_OK and gives the reply, or an exit status. */
int tool_control_ask(const char *command, const char *path, Mxway__V1__ControlRequest *request,
                     Mxway__V1__ControlReply **reply);

#endif
