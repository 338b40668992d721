/*
 * svg: scales and marks of the page's charts.
 *
 * A plot is an <svg> as wide as its place and of a fixed height in pixels, with labels in the padding around
 * it (overflow is visible). Lines live in an inner <svg> that is stretched to it, its strokes are not.
 */
#ifndef MXWAY_BENCH_SVG_H
#define MXWAY_BENCH_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { SVG_TICKS_MAX = 16, SVG_WIDTH = 1000 }; /* SVG_WIDTH: units across of the inner <svg> */

struct svg_scale {
  double low, high;
  bool is_log;
  double length; /* high is here, low at 0 */
  size_t tick_count;
  double ticks[SVG_TICKS_MAX];
};

/* Ends at the 1, 2 or 5 below and above; ticks at each of them, or at powers of ten where they are many. */
void svg_scale_log(struct svg_scale *scale, double least, double most, double length);
/* From 0 to the round number above `most`, with three or four steps. */
void svg_scale_linear(struct svg_scale *scale, double most, double length);
double svg_scale_at(const struct svg_scale *scale, double value);

/* Opens a plot; `title` and `description` are plain words of ours. */
void svg_open(FILE *out, const char *title, const char *description, double height);
void svg_close(FILE *out);
void svg_open_lines(FILE *out, double height);
void svg_close_lines(FILE *out);

/* Moves `places` (at least `gap` apart afterwards, inside 0 to `length` where they fit) as little as need be.
 */
void svg_spread_labels(double *places, size_t count, double gap, double length);

#endif
