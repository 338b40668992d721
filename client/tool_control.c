#include "tool_control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "frame.h"
#include "tool.h"
#include "tool_utf8.h"

enum {
  PATIENCE_S = 60,
  READ_BYTES = 65536,
  COMPLAINT_SIZE = 1024,
};

void tool_control_complain(const char *command, const char *format, ...) {
  char text[COMPLAINT_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  size_t length;
  char *safe = tool_utf8_repair(text, strlen(text), true, &length);
  fprintf(stderr, "mxway %s: %s\n", command, safe ? safe : "out of memory");
  free(safe);
}

/* ---- the connection ---- */

static int explain_connect(const struct tool_control *control, int error) {
  if (error == EACCES || error == EPERM) {
    tool_control_complain(control->command,
                          "%s: %s (control-mode of mxwayd says who may: try as root or as its user)",
                          control->path, strerror(error));
    return TOOL_PERMISSION;
  }
  bool is_absent = error == ENOENT || error == ECONNREFUSED;
  tool_control_complain(control->command, "no daemon at %s: %s%s", control->path, strerror(error),
                        is_absent ? " (is mxwayd running, and is this its control socket?)" : "");
  return TOOL_NO_DAEMON;
}

int tool_control_open(struct tool_control *control, const char *command, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const struct timeval patience = {.tv_sec = PATIENCE_S};
  size_t length = strlen(path);
  *control = (struct tool_control){.command = command, .path = path, .fd = -1};
  if (length >= sizeof address.sun_path)
    return explain_connect(control, ENAMETOOLONG);
  memcpy(address.sun_path, path, length);
  control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (control->fd < 0 || setsockopt(control->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
      setsockopt(control->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
      connect(control->fd, (struct sockaddr *)&address, sizeof address) != 0)
    return explain_connect(control, errno);
  return TOOL_OK;
}

void tool_control_close(struct tool_control *control) {
  if (control->fd >= 0)
    close(control->fd);
  control->fd = -1;
  mxway_buffer_fini(&control->in);
}

/* ---- a call ---- */

static Mxway__V1__ControlReply *lose(const struct tool_control *control, int error) {
  if (error == EAGAIN || error == EWOULDBLOCK)
    tool_control_complain(control->command, "the daemon at %s did not answer in %d s", control->path,
                          PATIENCE_S);
  else if (error == EPROTO)
    tool_control_complain(control->command,
                          "what answers at %s does not speak the control protocol (is it the lookup socket?)",
                          control->path);
  else
    tool_control_complain(control->command, "lost the daemon at %s: %s", control->path,
                          error ? strerror(error) : "it ended the connection");
  return NULL;
}

static bool send_all(int fd, const uint8_t *octets, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, octets, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR)
      return false;
    if (sent > 0) {
      octets += sent;
      length -= (size_t)sent;
    }
  }
  return true;
}

static bool send_request(const struct tool_control *control, const Mxway__V1__ControlRequest *request) {
  size_t length = mxway__v1__control_request__get_packed_size(request);
  uint8_t *octets = malloc(FRAME_HEADER_MAX + length);
  if (!octets)
    return false;
  size_t at = frame_build_header(octets, length);
  at += mxway__v1__control_request__pack(request, octets + at);
  bool is_sent = send_all(control->fd, octets, at);
  free(octets);
  return is_sent;
}

/* One read. Returns 0, or the errno of what failed; the daemon's end is ESHUTDOWN. */
static int read_some(struct tool_control *control) {
  if (!mxway_buffer_reserve(&control->in, READ_BYTES))
    return ENOMEM;
  ssize_t got;
  do
    got = recv(control->fd, control->in.octets + control->in.end, READ_BYTES, 0);
  while (got < 0 && errno == EINTR);
  if (got > 0)
    control->in.end += (size_t)got;
  return got > 0 ? 0 : got < 0 ? errno : ESHUTDOWN;
}

Mxway__V1__ControlReply *tool_control_call(struct tool_control *control, Mxway__V1__ControlRequest *request) {
  struct frame frame;
  enum frame_state state;
  request->id = ++control->id;
  if (!send_request(control, request) && errno != EPIPE) /* where it hung up, it may have said why */
    return lose(control, errno);
  while ((state = frame_parse(control->in.octets + control->in.start, mxway_buffer_length(&control->in),
                              FRAME_REPLY_MAX, &frame)) == FRAME_INCOMPLETE) {
    int error = read_some(control);
    if (error)
      return lose(control, error == ESHUTDOWN ? 0 : error);
  }
  if (state == FRAME_BROKEN)
    return lose(control, EPROTO);
  Mxway__V1__ControlReply *reply = mxway__v1__control_reply__unpack(NULL, frame.body_length, frame.body);
  mxway_buffer_take(&control->in, frame.header_length + frame.body_length);
  if (!reply || (reply->id != request->id && !reply->error[0])) {
    if (reply)
      mxway__v1__control_reply__free_unpacked(reply, NULL);
    return lose(control, EPROTO);
  }
  return reply;
}

int tool_control_ask(const char *command, const char *path, Mxway__V1__ControlRequest *request,
                     Mxway__V1__ControlReply **reply) {
  struct tool_control control;
  int status = tool_control_open(&control, command, path);
  Mxway__V1__ControlReply *received = status == TOOL_OK ? tool_control_call(&control, request) : NULL;
  if (status == TOOL_OK && !received)
    status = TOOL_NO_DAEMON;
  if (received && received->error[0]) {
    tool_control_complain(command, "%s", received->error);
    status = TOOL_DATA;
  } else if (received && (int)received->result_case != (int)request->command_case + 1) {
    lose(&control, EPROTO);
    status = TOOL_NO_DAEMON;
  }
  tool_control_close(&control);
  if (status == TOOL_OK)
    *reply = received;
  else if (received)
    mxway__v1__control_reply__free_unpacked(received, NULL);
  return status;
}
