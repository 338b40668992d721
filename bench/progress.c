#include <string.h>

#include "format.h"
#include "session_private.h"

/* The rate is that of the last half second, or it would hide what happens now. */
static const double RATE_S = 0.5;

void progress_show(struct progress *progress, double elapsed_s, uint64_t completed) {
  if (!progress->is_shown)
    return;
  if (elapsed_s < progress->shown_s) { /* another run */
    progress->shown_s = progress->rate = 0;
    progress->shown_completed = 0;
  }
  if (elapsed_s - progress->shown_s >= RATE_S || progress->rate == 0) {
    double length_s = elapsed_s - progress->shown_s;
    progress->rate = length_s > 0 ? (double)(completed - progress->shown_completed) / length_s : 0;
    progress->shown_s = elapsed_s;
    progress->shown_completed = completed;
  }
  fprintf(stderr, "\r\033[K%.1f s  %s  ", elapsed_s, format_rate(progress->rate).text);
  format_print_clean(stderr, progress->label);
  fprintf(stderr, "  %s", progress->place);
  fflush(stderr);
}

void progress_clear(const struct progress *progress) {
  if (progress->is_shown)
    fputs("\r\033[K", stderr);
}
