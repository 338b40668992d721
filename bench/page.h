/*
 * page: the parts of the HTML report.
 *
 * report_html puts them in order. Each part prints one section to page->out, or nothing where the session has
 * nothing for it. Nothing here scales with the width of the window: positions across are percentages of the
 * plot, positions down are pixels, so that letters keep their size on a phone. A target has the same colour,
 * line style and marker everywhere, by its place in the session.
 */
#ifndef MXWAY_BENCH_PAGE_H
#define MXWAY_BENCH_PAGE_H

#include <stdbool.h>
#include <stdio.h>

#include "format.h"
#include "result.h"

enum { PAGE_NAME_SIZE = 40, PAGE_STYLES = 6 };

/* A target with what is said of it in several places. */
struct page_target {
  const struct result_target *target;
  struct result_totals totals;
  char name[PAGE_NAME_SIZE]; /* short: "mxway", "dns 3"; cleaned, not escaped */
  unsigned colour, marker;   /* 0 to PAGE_STYLES - 1 */
};

struct page {
  FILE *out;
  const struct result_session *session;
  size_t target_count;
  struct page_target *targets;
  size_t name_columns; /* of the longest name */
  bool is_measured;    /* of any target */
};

/* 0, or -1 without memory. */
int page_init(struct page *page, const struct result_session *session, FILE *out);
void page_fini(struct page *page);

extern const char page_style[];

/* Text from outside, as UTF-8, without control characters, escaped for text and quoted attributes. */
void page_text(FILE *out, const char *text);
/* A figure with its unit: "0.41 us" with the signs for micro and times, and no break; "-" as a dash. */
void page_figure(FILE *out, struct format_text figure);
/* "median" and, smaller, "least to most" where they differ. */
void page_spread(FILE *out, struct result_spread spread, struct format_text (*format)(double));
/* A bit of the target's line with its marker. */
void page_swatch(FILE *out, const struct page_target *target);
/* All targets with swatch and name, for where the window is too narrow to label lines at their ends. */
void page_key(const struct page *page);

/* ---- the sections, in order ---- */
void page_lead(const struct page *page);
void page_warnings(const struct page *page);
void page_results(const struct page *page);
void page_bars(const struct page *page);
void page_curves(const struct page *page);
void page_ratios(const struct page *page);
void page_rates(const struct page *page);
void page_kinds(const struct page *page);
void page_runs(const struct page *page);
void page_environment(const struct page *page);

#endif
