#include <math.h>

#include "page.h"
#include "svg.h"

/* Of the width, for the longest bar; the rest is for the value at its end. */
#define BAR_SHARE 74.0
enum { ROW_HEIGHT = 46, BAR_TOP = 20, BAR_HEIGHT = 16 };

struct bars {
  enum result_figure figure;
  const char *heading, *better, *title;
  struct format_text (*format)(double);
};

static void print_bar(FILE *out, const struct page_target *target, size_t row, struct result_spread spread,
                      double most, const struct bars *bars) {
  double top = (double)(row * ROW_HEIGHT);
  fprintf(out, "<text x=\"0\" y=\"%.0f\" class=\"name\">", top + 14);
  page_text(out, target->name);
  fputs("</text>", out);
  if (isnan(spread.median)) {
    fprintf(out, "<text x=\"0\" y=\"%.0f\" class=\"quiet\">not known: its process is elsewhere</text>\n",
            top + BAR_TOP + 13);
    return;
  }
  double share = BAR_SHARE / most;
  fprintf(out, "<rect x=\"0\" y=\"%.0f\" width=\"%.2f%%\" height=\"%d\" rx=\"2\" class=\"f%u\"/>",
          top + BAR_TOP, spread.median * share, BAR_HEIGHT, target->colour);
  if (spread.least < spread.most)
    fprintf(out, "<line x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%.0f\" y2=\"%.0f\" class=\"range\"/>",
            spread.least * share, spread.most * share, top + BAR_TOP + BAR_HEIGHT / 2.0,
            top + BAR_TOP + BAR_HEIGHT / 2.0);
  fprintf(out, "<text x=\"%.2f%%\" dx=\"8\" y=\"%.0f\" class=\"value\">", spread.most * share,
          top + BAR_TOP + 13);
  page_figure(out, bars->format(spread.median));
  fputs("</text>\n", out);
}

static void print_bars(const struct page *page, const struct bars *bars) {
  FILE *out = page->out;
  double most = 0;
  for (size_t i = 0; i < page->target_count; i++)
    most = fmax(most, result_figure(page->targets[i].target, bars->figure).most);
  if (!(most > 0))
    return;
  fprintf(out, "<figure><figcaption><h2>%s</h2><p>%s</p></figcaption>\n", bars->heading, bars->better);
  double height = (double)(page->target_count * ROW_HEIGHT);
  fprintf(
      out,
      "<svg role=\"img\" width=\"100%%\" height=\"%.0f\"><title>%s</title><desc>A bar for each target, as in "
      "the table of results; the thin line is the range of the runs.</desc>\n",
      height, bars->title);
  for (size_t i = 0; i < page->target_count; i++)
    print_bar(out, &page->targets[i], i, result_figure(page->targets[i].target, bars->figure), most, bars);
  fputs("</svg></figure>\n", out);
}

void page_bars(const struct page *page) {
  static const struct bars rate = {FIGURE_RATE, "Lookups a second", "Longer is better",
                                   "Lookups a second of each target", format_rate};
  static const struct bars cpu = {FIGURE_SERVER_CPU, "Server CPU for one lookup", "Shorter is better",
                                  "Server CPU time for one lookup of each target", format_time};
  /* One bar compares with nothing. */
  if (page->target_count < 2 || !page->is_measured)
    return;
  fputs("<section class=\"pair\">\n", page->out);
  /* At a fixed rate all are alike. */
  if (!page->session->is_open_loop || page->session->find_max[0])
    print_bars(page, &rate);
  print_bars(page, &cpu);
  fputs("</section>\n", page->out);
}
