#include "report.h"

#include <errno.h>

#include "page.h"

/* One path for each marker, around the point 0,0. */
static const char *const markers[PAGE_STYLES] = {
    "M4.5 0A4.5 4.5 0 1 1-4.5 0A4.5 4.5 0 1 1 4.5 0Z",
    "M-4-4H4V4H-4Z",
    "M0-5L5 4H-5Z",
    "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
    "M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z",
    "M-1.7-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z",
};

static void print_title(const struct page *page) {
  fputs(page->target_count > 1 ? "Lookups compared: " : "Lookups answered", page->out);
  if (page->target_count == 1)
    fputs(" by ", page->out);
  for (size_t i = 0; i < page->target_count; i++) {
    fputs(i == 0 ? "" : i + 1 == page->target_count ? " and " : ", ", page->out);
    page_text(page->out, page->targets[i].name);
  }
}

static void print_head(const struct page *page) {
  FILE *out = page->out;
  fputs(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\"><title>",
      out);
  print_title(page);
  fprintf(out, "</title>\n<style>\n%s</style></head>\n<body>\n", page_style);
  fputs("<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\"><defs>", out);
  for (size_t i = 0; i < PAGE_STYLES; i++)
    fprintf(out, "<path id=\"m%zu\" d=\"%s\"/>", i, markers[i]);
  fputs("</defs></svg>\n<header><p class=\"kicker\">", out);
  page_text(out, page->session->environment.version);
  fputs(" &middot; ", out);
  page_text(out, page->session->environment.started_at);
  fputs("</p><h1>", out);
  print_title(page);
  fputs("</h1>\n", out);
}

static void print_page(const struct page *page) {
  print_head(page);
  page_lead(page);
  page_warnings(page);
  fputs("</header>\n<main>\n", page->out);
  page_bars(page);
  page_results(page);
  page_ratios(page);
  page_curves(page);
  page_rates(page);
  page_kinds(page);
  page_runs(page);
  page_environment(page);
  fputs("</main></body></html>\n", page->out);
}

int report_html(const struct result_session *session, const char *path) {
  struct page page;
  FILE *out = fopen(path, "w");
  if (!out)
    return -1;
  int status = page_init(&page, session, out);
  if (status == 0) {
    print_page(&page);
    page_fini(&page);
    status = report_flush(out);
  }
  int error = errno;
  if (fclose(out) != 0 && status == 0)
    return -1;
  errno = error;
  return status;
}
