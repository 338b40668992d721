#include "tool_progress.h"

#include <inttypes.h>

void tool_progress_init(struct tool_progress *progress, FILE *out, int64_t now_ms) {
  *progress = (struct tool_progress){.out = out, .started_ms = now_ms, .drawn_ms = now_ms};
}

void tool_progress_show(struct tool_progress *progress, uint64_t count, int64_t now_ms) {
  if (!progress->out || now_ms - progress->drawn_ms < TOOL_PROGRESS_INTERVAL_MS)
    return;
  double elapsed_s = (double)(now_ms - progress->started_ms) / 1000;
  fprintf(progress->out, "\r\x1b[K%" PRIu64 " answered, %.0f a second, %.0f s", count,
          (double)count / elapsed_s, elapsed_s);
  fflush(progress->out);
  progress->drawn_ms = now_ms;
  progress->is_shown = true;
}

void tool_progress_hide(struct tool_progress *progress) {
  if (!progress->is_shown)
    return;
  fputs("\r\x1b[K", progress->out);
  fflush(progress->out);
  progress->is_shown = false;
}
