/*
 * tool_progress: one line on a terminal that says how far a long run is.
 *
 * Does nothing where the stream is no terminal. Drawn at most five times a
 * second; the caller hides it before anything else is printed on that terminal.
 */
#ifndef MXWAY_CLIENT_TOOL_PROGRESS_H
#define MXWAY_CLIENT_TOOL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { TOOL_PROGRESS_INTERVAL_MS = 200 };

struct tool_progress {
  FILE *out; /* NULL: off */
  int64_t started_ms, drawn_ms;
  bool is_shown;
};

/* `out` NULL switches it off. */
void tool_progress_init(struct tool_progress *progress, FILE *out, int64_t now_ms);

/* Draws the line, if it is time to. */
void tool_progress_show(struct tool_progress *progress, uint64_t count, int64_t now_ms);

/* Takes the line away, if it is there. */
void tool_progress_hide(struct tool_progress *progress);

#endif
