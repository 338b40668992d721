#include <math.h>

#include "page.h"
#include "svg.h"

/* Over as many runs only every second, third... has its number below. */
enum { PLOT_HEIGHT = 110, LABELS_MAX = 8 };

struct rates {
  FILE *out;
  const struct page_target *target;
  struct svg_scale scale;
  double length_s; /* of all runs, one after the other */
};

static double interval_rate(const struct result_interval *interval) {
  return interval->length_s > 0 ? (double)interval->completed / interval->length_s : NAN;
}

/* False where nothing can be drawn. */
static bool scale_rates(struct rates *rates) {
  double most = 0;
  for (size_t i = 0; i < rates->target->target->run_count; i++) {
    const struct result_run *run = &rates->target->target->runs[i];
    most = fmax(most, result_run_figure(run, FIGURE_RATE));
    for (size_t j = 0; j < run->interval_count; j++)
      most = fmax(most, interval_rate(&run->intervals[j]));
    rates->length_s += fmax(run->length_s, 0);
  }
  svg_scale_linear(&rates->scale, most, PLOT_HEIGHT);
  return most > 0 && rates->length_s > 0;
}

static void print_axes(const struct rates *rates) {
  for (size_t i = 0; i < rates->scale.tick_count; i++) {
    double y = PLOT_HEIGHT - svg_scale_at(&rates->scale, rates->scale.ticks[i]);
    fprintf(rates->out,
            "<line x1=\"0\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>"
            "<text x=\"0\" dx=\"-8\" y=\"%.1f\" class=\"tick end\">",
            y, y, y + 4);
    if (rates->scale.ticks[i] > 0)
      page_figure(rates->out, format_rate_tick(rates->scale.ticks[i]));
    else
      fputc('0', rates->out);
    fputs("</text>\n", rates->out);
  }
}

/* What lies behind the lines of one run: its number, a shade where it was disturbed, where the next begins.
 */
static void print_run_ground(const struct rates *rates, size_t index, double from_s) {
  const struct result_target *target = rates->target->target;
  const struct result_run *run = &target->runs[index];
  double from = from_s / rates->length_s * 100, width = run->length_s / rates->length_s * 100;
  size_t stride = (target->run_count + LABELS_MAX - 1) / LABELS_MAX;
  if (run->is_disturbed)
    fprintf(rates->out, "<rect x=\"%.2f%%\" width=\"%.2f%%\" y=\"0\" height=\"%d\" class=\"shade\"/>", from,
            width, PLOT_HEIGHT);
  if (index > 0)
    fprintf(rates->out, "<line x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" y2=\"%d\" class=\"between\"/>", from,
            from, PLOT_HEIGHT);
  if (index % stride == 0)
    fprintf(rates->out, "<text x=\"%.2f%%\" y=\"%d\" class=\"tick middle\">run %zu</text>\n",
            from + width / 2, PLOT_HEIGHT + 18, index + 1);
}

/* A step of `run`, which began at `from_s`; nothing reaches over into the next run. */
static void print_step(const struct rates *rates, const struct result_run *run, double from_s,
                       struct result_interval step, double rate) {
  double y = PLOT_HEIGHT - svg_scale_at(&rates->scale, rate);
  double begin_s = from_s + fmin(step.at_s, run->length_s);
  double end_s = from_s + fmin(step.at_s + step.length_s, run->length_s);
  if (end_s > begin_s)
    fprintf(rates->out, "%.1f,%.1f %.1f,%.1f ", begin_s / rates->length_s * SVG_WIDTH, y,
            end_s / rates->length_s * SVG_WIDTH, y);
}

static void print_run_line(const struct rates *rates, const struct result_run *run, double from_s) {
  const struct result_interval whole = {.length_s = run->length_s, .completed = run->completed};
  fprintf(rates->out, "<polyline class=\"line s%u solid\" points=\"", rates->target->colour);
  for (size_t i = 0; i < run->interval_count; i++)
    if (!isnan(interval_rate(&run->intervals[i])))
      print_step(rates, run, from_s, run->intervals[i], interval_rate(&run->intervals[i]));
  if (run->interval_count == 0 && !isnan(interval_rate(&whole)))
    print_step(rates, run, from_s, whole, interval_rate(&whole));
  fputs("\"/>\n", rates->out);
}

static void print_rates(const struct page *page, const struct page_target *target) {
  FILE *out = page->out;
  struct rates rates = {.out = out, .target = target};
  if (!scale_rates(&rates))
    return;
  fputs("<figure class=\"rates\"><figcaption><h3>", out);
  page_swatch(out, target);
  page_text(out, target->name);
  fputs("</h3></figcaption>\n", out);
  svg_open(out, "Lookups a second over time",
           "The runs one after the other, as steps of one interval each; upwards, lookups a second from 0.",
           PLOT_HEIGHT);
  double from_s = 0;
  for (size_t i = 0; i < target->target->run_count; i++) {
    print_run_ground(&rates, i, from_s);
    from_s += fmax(target->target->runs[i].length_s, 0);
  }
  print_axes(&rates);
  svg_open_lines(out, PLOT_HEIGHT);
  from_s = 0;
  for (size_t i = 0; i < target->target->run_count; i++) {
    print_run_line(&rates, &target->target->runs[i], from_s);
    from_s += fmax(target->target->runs[i].length_s, 0);
  }
  svg_close_lines(out);
  svg_close(out);
  fputs("</figure>\n", out);
}

void page_rates(const struct page *page) {
  size_t disturbed = 0;
  for (size_t i = 0; i < page->target_count; i++)
    disturbed += page->targets[i].totals.disturbed;
  if (!page->is_measured)
    return;
  fprintf(page->out,
          "<section><h2>Rate over time</h2><p class=\"sub\">Lookups a second, run after run%s%s</p>\n",
          page->target_count > 1 ? "; each target has its own scale" : "",
          disturbed > 0 ? ". Shaded runs were disturbed by other work on the machine" : "");
  fputs("<div class=\"pair\">\n", page->out);
  for (size_t i = 0; i < page->target_count; i++)
    print_rates(page, &page->targets[i]);
  fputs("</div></section>\n", page->out);
}
