/*
 * tool_lines: names out of standard input, one a line, without ever waiting.
 *
 * The caller fills when the descriptor is readable and takes lines until MORE.
 * Blank lines and lines starting with # are skipped, CR LF is tolerated, a last
 * line needs no end. Any other octet, NUL too, belongs to the name. A line over
 * TOOL_LINES_MAX octets is reported once and skipped; memory stays the same.
 */
#ifndef MXWAY_CLIENT_TOOL_LINES_H
#define MXWAY_CLIENT_TOOL_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOOL_LINES_MAX = 60000 }; /* octets of a line, as many as libmxway takes */

enum tool_lines_result {
  TOOL_LINES_NAME,     /* a name */
  TOOL_LINES_TOO_LONG, /* a line that is no name; `number` says which */
  TOOL_LINES_MORE,     /* fill first */
  TOOL_LINES_END,
};

struct tool_lines {
  size_t start, end;
  uint64_t number;  /* of the line last taken, from 1 */
  bool is_skipping; /* inside a line that was too long */
  bool is_at_end;
  char octets[2 * 65536];
};

void tool_lines_init(struct tool_lines *lines);

/* Reads once from `fd`. Returns 0, also at the end, or -1 with errno. Requires MORE. */
int tool_lines_fill(struct tool_lines *lines, int fd);

/* The next name; with NAME, lends `*name` until the next call. */
enum tool_lines_result tool_lines_next(struct tool_lines *lines, const char **name, size_t *length);

#endif
