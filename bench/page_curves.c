#include <math.h>

#include "page.h"
#include "report.h"
#include "svg.h"

/* The last decade of 1/(1-q) that is drawn: p99.999. */
enum { DECADES_MIN = 2, DECADES_MAX = 5, POINTS_PER_DECADE = 16, PLOT_HEIGHT = 300, LABEL_GAP = 18 };
enum { CURVES_MAX = 64 };
/* In decades; curves begin here, at p13: the luckiest answers say little and would need half of the height.
 */
#define FIRST_DECADE (1.0 / POINTS_PER_DECADE)

struct curves {
  const struct page *page;
  enum result_series series;
  struct svg_scale values;
  double decades;
};

/* How far a target's curve goes: to where one answer of its shortest run is all that is left. 0: no curve. */
static double decades_of(const struct page_target *target, enum result_series series) {
  double least = NAN;
  for (size_t i = 0; i < target->target->run_count; i++) {
    const struct result_run *run = &target->target->runs[i];
    const struct histogram *histogram = series == SERIES_LATENCY ? run->latency : run->service;
    if (histogram && histogram->count > 0)
      least = fmin(least, (double)histogram->count);
  }
  return isnan(least) ? 0 : fmin(log10(least), DECADES_MAX);
}

static double latency_at(const struct page_target *target, enum result_series series, double decade) {
  return result_quantile(target->target, series, 1 - pow(10, -decade)).median;
}

static double across(const struct curves *curves, double decade) { return decade / curves->decades; }

static double down(const struct curves *curves, double us) {
  return PLOT_HEIGHT - svg_scale_at(&curves->values, us);
}

/* False where there is nothing to draw. */
static bool scale_curves(struct curves *curves) {
  double least = NAN, most = NAN;
  curves->decades = DECADES_MIN;
  for (size_t i = 0; i < curves->page->target_count; i++) {
    const struct page_target *target = &curves->page->targets[i];
    double decades = decades_of(target, curves->series);
    if (decades <= 0)
      continue;
    curves->decades = fmax(curves->decades, decades);
    least = fmin(least, latency_at(target, curves->series, fmin(FIRST_DECADE, decades)));
    most = fmax(most, latency_at(target, curves->series, decades));
  }
  if (isnan(least))
    return false;
  svg_scale_log(&curves->values, least, most, PLOT_HEIGHT);
  return true;
}

static void print_axes(const struct curves *curves) {
  FILE *out = curves->page->out;
  for (size_t i = 0; i < curves->values.tick_count; i++) {
    double y = down(curves, curves->values.ticks[i]);
    fprintf(out, "<line x1=\"0\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>", y, y);
    fprintf(out, "<text x=\"0\" dx=\"-8\" y=\"%.1f\" class=\"tick end\">", y + 4);
    page_figure(out, format_tick(curves->values.ticks[i]));
    fputs("</text>\n", out);
  }
  fprintf(out, "<line x1=\"0\" x2=\"100%%\" y1=\"%d\" y2=\"%d\" class=\"grid\"/>\n", PLOT_HEIGHT,
          PLOT_HEIGHT);
  static const struct {
    double decade;
    const char *name;
  } ticks[] = {{0.30103, "p50"}, {1, "p90"}, {2, "p99"}, {3, "p99.9"}, {4, "p99.99"}, {5, "p99.999"}};
  for (size_t i = 0; i < sizeof ticks / sizeof *ticks; i++) {
    double x = across(curves, ticks[i].decade) * 100;
    bool is_crowded = ticks[i].decade >= 4 && curves->decades > 4.5 && ticks[i].decade < 5;
    if (x > 100.01)
      continue;
    fprintf(out,
            "<line x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" y2=\"%d\" class=\"grid\"/>"
            "<text x=\"%.2f%%\" y=\"%d\" class=\"tick middle%s\">%s</text>\n",
            x, x, PLOT_HEIGHT, x, PLOT_HEIGHT + 20, is_crowded ? " crowded" : "", ticks[i].name);
  }
}

static void print_line(const struct curves *curves, const struct page_target *target) {
  FILE *out = curves->page->out;
  double decades = decades_of(target, curves->series);
  if (decades <= 0)
    return;
  fprintf(out, "<polyline class=\"line s%u\" points=\"", target->colour);
  for (int i = 1; i <= POINTS_PER_DECADE * DECADES_MAX; i++) {
    double decade = fmin((double)i / POINTS_PER_DECADE, decades);
    fprintf(out, "%.1f,%.1f ", across(curves, decade) * SVG_WIDTH,
            down(curves, latency_at(target, curves->series, decade)));
    if (decade >= decades)
      break;
  }
  fputs("\"/>\n", out);
}

static void print_markers(const struct curves *curves, const struct page_target *target) {
  FILE *out = curves->page->out;
  double decades = decades_of(target, curves->series);
  for (size_t i = 0; i < REPORT_QUANTILES; i++) {
    double decade = -log10(1 - report_quantiles[i].quantile);
    double us = result_quantile(target->target, curves->series, report_quantiles[i].quantile).median;
    if (decade > decades + 1e-9)
      continue;
    fprintf(out, "<use href=\"#m%u\" x=\"%.2f%%\" y=\"%.1f\" class=\"f%u\"><title>", target->marker,
            across(curves, decade) * 100, down(curves, us), target->colour);
    page_text(out, target->name);
    fprintf(out, " %s ", report_quantiles[i].name);
    page_figure(out, format_time(us));
    fputs("</title></use>", out);
  }
  fputc('\n', out);
}

static void print_labels(const struct curves *curves) {
  FILE *out = curves->page->out;
  double places[CURVES_MAX];
  size_t targets[CURVES_MAX], count = 0;
  for (size_t i = 0; i < curves->page->target_count && count < CURVES_MAX; i++) {
    double decades = decades_of(&curves->page->targets[i], curves->series);
    if (decades <= 0)
      continue;
    targets[count] = i;
    places[count++] = down(curves, latency_at(&curves->page->targets[i], curves->series, decades));
  }
  svg_spread_labels(places, count, LABEL_GAP, PLOT_HEIGHT);
  for (size_t i = 0; i < count; i++) {
    const struct page_target *target = &curves->page->targets[targets[i]];
    fprintf(out, "<text x=\"100%%\" dx=\"10\" y=\"%.1f\" class=\"direct f%u\">", places[i] + 4,
            target->colour);
    page_text(out, target->name);
    fputs("</text>\n", out);
  }
}

static void print_quantile_table(const struct curves *curves) {
  FILE *out = curves->page->out;
  fprintf(out,
          "<table role=\"table\" class=\"many\"><caption>%s: median of the runs; max is the longest of "
          "all</caption><thead "
          "role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">Target</th>",
          curves->series == SERIES_LATENCY ? "Latency" : "Service time");
  for (size_t i = 0; i < REPORT_QUANTILES; i++)
    fprintf(out, "<th scope=\"col\" role=\"columnheader\">%s</th>", report_quantiles[i].name);
  fputs("<th scope=\"col\" role=\"columnheader\">max</th></tr></thead><tbody role=\"rowgroup\">\n", out);
  for (size_t i = 0; i < curves->page->target_count; i++) {
    const struct page_target *target = &curves->page->targets[i];
    fputs("<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">", out);
    page_swatch(out, target);
    page_text(out, target->name);
    fputs("</th>", out);
    for (size_t j = 0; j < REPORT_QUANTILES; j++) {
      fprintf(out, "<td role=\"cell\" data-head=\"%s\"><span>", report_quantiles[j].name);
      page_figure(
          out,
          format_time(result_quantile(target->target, curves->series, report_quantiles[j].quantile).median));
      fputs("</span></td>", out);
    }
    fputs("<td role=\"cell\" data-head=\"max\"><span>", out);
    page_figure(out, format_time(curves->series == SERIES_LATENCY ? target->totals.max_us
                                                                  : target->totals.service_max_us));
    fputs("</span></td></tr>\n", out);
  }
  fputs("</tbody></table>\n", out);
}

static void print_curves(const struct page *page, enum result_series series, const char *heading,
                         const char *subtitle) {
  struct curves curves = {.page = page, .series = series};
  if (!scale_curves(&curves))
    return;
  fprintf(page->out,
          "<section><figure class=\"curves\" "
          "style=\"--names:%zu\"><figcaption><h2>%s</h2><p>%s</p></figcaption>\n",
          page->name_columns, heading, subtitle);
  page_key(page);
  svg_open(
      page->out, heading,
      "One line for each target: across, the share of lookups answered; upwards, the time it took, both on "
      "logarithmic scales. The table below has the figures.",
      PLOT_HEIGHT);
  print_axes(&curves);
  svg_open_lines(page->out, PLOT_HEIGHT);
  for (size_t i = 0; i < page->target_count; i++)
    print_line(&curves, &page->targets[i]);
  svg_close_lines(page->out);
  for (size_t i = 0; i < page->target_count; i++)
    print_markers(&curves, &page->targets[i]);
  print_labels(&curves);
  svg_close(page->out);
  fputs("</figure>\n", page->out);
  print_quantile_table(&curves);
  fputs("</section>\n", page->out);
}

void page_curves(const struct page *page) {
  print_curves(page, SERIES_LATENCY, "Latency by percentile",
               page->session->is_open_loop
                   ? "From the moment a question was due to its answer. Lower is better"
                   : "From sending a question to its answer. Lower is better");
  if (page->session->is_open_loop)
    print_curves(page, SERIES_SERVICE, "Service time by percentile",
                 "From the moment a question was really sent; what it waited before is left out");
}
