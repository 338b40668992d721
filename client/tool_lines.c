#include "tool_lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void tool_lines_init(struct tool_lines *lines) {
  lines->start = lines->end = 0;
  lines->number = 0;
  lines->is_skipping = lines->is_at_end = false;
}

int tool_lines_fill(struct tool_lines *lines, int fd) {
  memmove(lines->octets, lines->octets + lines->start, lines->end - lines->start);
  lines->end -= lines->start;
  lines->start = 0;
  ssize_t got = read(fd, lines->octets + lines->end, sizeof lines->octets - lines->end);
  if (got < 0)
    return errno == EINTR || errno == EAGAIN ? 0 : -1;
  lines->end += (size_t)got;
  lines->is_at_end = got == 0;
  return 0;
}

static bool is_blank(const char *line, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (line[i] != ' ' && line[i] != '\t')
      return false;
  return true;
}

/* Where there is no whole line inside. */
static enum tool_lines_result take_part(struct tool_lines *lines) {
  if (lines->is_skipping)
    lines->start = lines->end;
  if (lines->is_at_end)
    return TOOL_LINES_END;
  /* With the CR of a CR LF. */
  if (lines->end - lines->start <= TOOL_LINES_MAX + 1)
    return TOOL_LINES_MORE;
  bool is_comment = lines->octets[lines->start] == '#';
  lines->start = lines->end;
  lines->is_skipping = true;
  lines->number++;
  return is_comment ? TOOL_LINES_MORE : TOOL_LINES_TOO_LONG;
}

enum tool_lines_result tool_lines_next(struct tool_lines *lines, const char **name, size_t *length) {
  for (;;) {
    char *line = lines->octets + lines->start;
    size_t rest = lines->end - lines->start;
    char *newline = memchr(line, '\n', rest);
    if (!newline && (rest == 0 || !lines->is_at_end || lines->is_skipping))
      return take_part(lines);
    size_t line_length = newline ? (size_t)(newline - line) : rest;
    lines->start += line_length + (newline ? 1 : 0);
    if (lines->is_skipping) {
      lines->is_skipping = false;
      continue;
    }
    lines->number++;
    if (line_length > 0 && line[line_length - 1] == '\r')
      line_length--;
    if (is_blank(line, line_length) || line[0] == '#')
      continue;
    if (line_length > TOOL_LINES_MAX)
      return TOOL_LINES_TOO_LONG;
    *name = line;
    *length = line_length;
    return TOOL_LINES_NAME;
  }
}
