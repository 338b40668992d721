#include "svg.h"

#include <math.h>

static const double steps[] = {1, 2, 5, 10};

static double step_below(double value) {
  double power = pow(10, floor(log10(value)));
  size_t i = 3;
  /* A hair more, for a value that is a step but for rounding. */
  while (i > 0 && steps[i] * power > value * (1 + 1e-9))
    i--;
  return steps[i] * power;
}

static double step_above(double value) {
  double below = step_below(value);
  if (below >= value * (1 - 1e-9))
    return below;
  double power = pow(10, floor(log10(below) + 1e-9));
  for (size_t i = 0; i < 4; i++)
    if (steps[i] * power > below * (1 + 1e-9))
      return steps[i] * power;
  return below * 10;
}

void svg_scale_log(struct svg_scale *scale, double least, double most, double length) {
  double low = step_below(fmax(least, 1e-6));
  double high = step_above(fmax(most, low * 1.5));
  *scale = (struct svg_scale){low, high, true, length, 0, {0}};
  bool is_wide = high / low > 150;
  for (double at = low; at <= high * (1 + 1e-9) && scale->tick_count < SVG_TICKS_MAX;
       at = step_above(at * 1.01)) {
    double exponent = log10(at);
    if (!is_wide || fabs(exponent - round(exponent)) < 1e-6)
      scale->ticks[scale->tick_count++] = at;
  }
}

void svg_scale_linear(struct svg_scale *scale, double most, double length) {
  double step = most > 0 ? step_above(most / 4) : 1;
  double high = most > 0 ? ceil(most / step - 1e-9) * step : 1;
  *scale = (struct svg_scale){0, high, false, length, 0, {0}};
  for (double at = 0; at <= high * (1 + 1e-9) && scale->tick_count < SVG_TICKS_MAX; at += step)
    scale->ticks[scale->tick_count++] = at;
}

double svg_scale_at(const struct svg_scale *scale, double value) {
  if (scale->is_log)
    return log(fmax(value, scale->low) / scale->low) / log(scale->high / scale->low) * scale->length;
  return (value - scale->low) / (scale->high - scale->low) * scale->length;
}

void svg_open(FILE *out, const char *title, const char *description, double height) {
  fprintf(out,
          "<div class=\"plot\"><svg role=\"img\" width=\"100%%\" height=\"%.0f\"><title>%s</title>"
          "<desc>%s</desc>\n",
          height, title, description);
}

void svg_close(FILE *out) { fputs("</svg></div>\n", out); }

void svg_open_lines(FILE *out, double height) {
  fprintf(out,
          "<svg width=\"100%%\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\" preserveAspectRatio=\"none\" "
          "class=\"lines\">\n",
          height, SVG_WIDTH, height);
}

void svg_close_lines(FILE *out) { fputs("</svg>\n", out); }

void svg_spread_labels(double *places, size_t count, double gap, double length) {
  /* `order` by place, by insertion: they are few. */
  size_t order[64];
  if (count > sizeof order / sizeof *order)
    return;
  for (size_t i = 0; i < count; i++) {
    size_t j = i;
    for (; j > 0 && places[order[j - 1]] > places[i]; j--)
      order[j] = order[j - 1];
    order[j] = i;
  }
  for (size_t i = 1; i < count; i++)
    places[order[i]] = fmax(places[order[i]], places[order[i - 1]] + gap);
  double limit = length;
  for (size_t i = count; i-- > 0; limit = places[order[i]] - gap)
    places[order[i]] = fmin(places[order[i]], limit);
}
