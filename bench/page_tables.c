#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "page.h"
#include "report.h"

/* Roles are said beside the elements: the style shows rows as blocks on a narrow window, which would
 * otherwise take a table's meaning away from screen readers. */
static void open_table(FILE *out, const char *caption, const char *const *heads, size_t head_count) {
  fprintf(out, "<table role=\"table\"><caption>%s</caption><thead role=\"rowgroup\"><tr role=\"row\">",
          caption);
  for (size_t i = 0; i < head_count; i++)
    fprintf(out, "<th scope=\"col\" role=\"columnheader\">%s</th>", heads[i]);
  fputs("</tr></thead><tbody role=\"rowgroup\">\n", out);
}

static void close_table(FILE *out) { fputs("</tbody></table>\n", out); }

static void open_cell(FILE *out, const char *head) {
  fprintf(out, "<td role=\"cell\" data-head=\"%s\"><span>", head);
}

static void close_cell(FILE *out) { fputs("</span></td>", out); }

static void print_figure(FILE *out, const char *head, struct format_text figure) {
  open_cell(out, head);
  page_figure(out, figure);
  close_cell(out);
}

static void print_spread(FILE *out, const char *head, struct result_spread spread,
                         struct format_text (*format)(double)) {
  open_cell(out, head);
  page_spread(out, spread, format);
  close_cell(out);
}

static void open_row(FILE *out, const struct page_target *target) {
  fputs("<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">", out);
  page_swatch(out, target);
  page_text(out, target->name);
}

static void close_row(FILE *out) { fputs("</tr>\n", out); }

static void print_result(const struct page *page, const struct page_target *target) {
  FILE *out = page->out;
  const struct result_totals *totals = &target->totals;
  double lost = (double)(totals->timeouts + totals->errors);
  open_row(out, target);
  if (strcmp(target->name, target->target->label) != 0) {
    fputs(" <small class=\"label\">", out);
    page_text(out, target->target->label);
    fputs("</small>", out);
  }
  fputs("</th>", out);
  print_spread(out, "Rate", result_figure(target->target, FIGURE_RATE), format_rate);
  if (page->session->find_max[0])
    print_figure(out, "Highest rate held",
                 format_rate(target->target->held_rate > 0 ? target->target->held_rate : NAN));
  print_spread(out, "Server CPU", result_figure(target->target, FIGURE_SERVER_CPU), format_time);
  print_spread(out, "p50", result_figure(target->target, FIGURE_P50), format_time);
  print_spread(out, "p99", result_figure(target->target, FIGURE_P99), format_time);
  print_figure(out, "Lost", format_share(totals->sent ? lost / (double)totals->sent : NAN));
  open_cell(out, "Memory");
  if (totals->rss_after_bytes > 0)
    page_figure(out, format_bytes(totals->rss_after_bytes));
  else
    fputs("\u2013", out);
  close_cell(out);
  close_row(out);
}

void page_results(const struct page *page) {
  static const char *const plain[] = {"Target", "Rate", "Server CPU", "p50", "p99", "Lost", "Memory"};
  static const char *const searched[] = {"Target", "Rate",  "Highest rate held", "Server CPU", "p50", "p99",
                                         "Lost",   "Memory"};
  FILE *out = page->out;
  if (page->target_count == 0)
    return;
  fputs("<section><h2>Results</h2>\n", out);
  bool is_search = page->session->find_max[0] != '\0';
  open_table(out, "Median of the runs, and from the least to the most; server CPU is for one lookup",
             is_search ? searched : plain, is_search ? 8 : 7);
  for (size_t i = 0; i < page->target_count; i++)
    print_result(page, &page->targets[i]);
  close_table(out);
  fputs("</section>\n", out);
}

void page_ratios(const struct page *page) {
  static const char *const heads[] = {"Target", "Rate", "Server CPU", "p50", "p99"};
  static const enum result_figure figures[] = {FIGURE_RATE, FIGURE_SERVER_CPU, FIGURE_P50, FIGURE_P99};
  FILE *out = page->out;
  if (page->target_count < 2 || !page->is_measured)
    return;
  const struct page_target *baseline = &page->targets[page->session->baseline];
  fputs("<section><h2>Compared with ", out);
  page_text(out, baseline->name);
  fputs("</h2>\n", out);
  open_table(out, "Ratio to the same figure, run by run: median, and from the least to the most", heads, 5);
  for (size_t i = 0; i < page->target_count; i++) {
    open_row(out, &page->targets[i]);
    fputs("</th>", out);
    for (size_t j = 0; j < 4; j++) {
      struct result_spread ratio = result_ratio(page->targets[i].target, baseline->target, figures[j]);
      open_cell(out, heads[j + 1]);
      page_spread(out, ratio, format_times);
      close_cell(out);
    }
    close_row(out);
  }
  close_table(out);
  fputs("</section>\n", out);
}

/* All kinds of all targets; returns how many, at most RESULT_KINDS_MAX. */
static size_t collect_kinds(const struct page *page, const char *names[RESULT_KINDS_MAX]) {
  size_t count = 0;
  for (size_t i = 0; i < page->target_count; i++) {
    const struct result_totals *totals = &page->targets[i].totals;
    for (size_t j = 0; j < totals->kind_count; j++) {
      size_t k = 0;
      while (k < count && strcmp(names[k], totals->kinds[j].name) != 0)
        k++;
      if (k == count && count < RESULT_KINDS_MAX)
        names[count++] = totals->kinds[j].name;
    }
  }
  return count;
}

static void print_kind(FILE *out, const struct page_target *target, const char *name) {
  double sum = 0;
  uint64_t count = 0;
  for (size_t i = 0; i < target->totals.kind_count; i++) {
    const struct result_kind *kind = &target->totals.kinds[i];
    sum += (double)kind->count;
    if (strcmp(kind->name, name) == 0)
      count = kind->count;
  }
  fputs("<td role=\"cell\" data-head=\"", out);
  page_text(out, target->name);
  fputs("\"><span>", out);
  page_figure(out, format_share(sum > 0 ? (double)count / sum : NAN));
  fprintf(out, " <small>%s</small>", format_count(count).text);
  close_cell(out);
}

/* Targets side by side: that they gave the same answers is what makes their figures comparable. */
void page_kinds(const struct page *page) {
  FILE *out = page->out;
  const char *names[RESULT_KINDS_MAX];
  size_t count = collect_kinds(page, names);
  if (count == 0)
    return;
  fputs(
      "<section><h2>What was answered</h2>\n<table role=\"table\" class=\"kinds\"><caption>Share of each "
      "kind of answer and "
      "its count, over all runs</caption><thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" "
      "role=\"columnheader\">Answer</th>",
      out);
  for (size_t i = 0; i < page->target_count; i++) {
    fputs("<th scope=\"col\" role=\"columnheader\">", out);
    page_text(out, page->targets[i].name);
    fputs("</th>", out);
  }
  fputs("</tr></thead><tbody role=\"rowgroup\">\n", out);
  for (size_t i = 0; i < count; i++) {
    fputs("<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">", out);
    page_text(out, names[i]);
    fputs("</th>", out);
    for (size_t j = 0; j < page->target_count; j++)
      print_kind(out, &page->targets[j], names[i]);
    close_row(out);
  }
  close_table(out);
  fputs("</section>\n", out);
}

static void print_notes(FILE *out, const struct result_run *run) {
  const char *const notes[] = {run->is_disturbed ? "disturbed" : NULL,
                               run->is_client_bound ? "generator bound" : NULL,
                               run->is_partial ? "ended early" : NULL};
  const char *between = "";
  for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
    if (!notes[i])
      continue;
    fprintf(out, "%s%s", between, notes[i]);
    between = ", ";
  }
  if (!*between)
    fputs("\u2013", out);
}

static void print_run(FILE *out, const struct page_target *target, size_t index) {
  const struct result_run *run = &target->target->runs[index];
  open_row(out, target);
  fprintf(out, " <small>run&nbsp;%zu</small></th>", index + 1);
  print_figure(out, "Rate", format_rate(result_run_figure(run, FIGURE_RATE)));
  print_figure(out, "Server CPU", format_time(result_run_figure(run, FIGURE_SERVER_CPU)));
  for (size_t i = 0; i < REPORT_QUANTILES; i++)
    print_figure(out, report_quantiles[i].name,
                 format_time(result_run_quantile(run, SERIES_LATENCY, report_quantiles[i].quantile)));
  print_figure(out, "max", format_time(result_run_quantile(run, SERIES_LATENCY, 1)));
  print_figure(out, "Lost", format_count(run->timeouts + run->errors));
  open_cell(out, "Note");
  print_notes(out, run);
  close_cell(out);
  close_row(out);
}

void page_runs(const struct page *page) {
  static const char *const heads[] = {"Run", "Rate",  "Server CPU", "p50", "p90",  "p95",
                                      "p99", "p99.9", "p99.99",     "max", "Lost", "Note"};
  FILE *out = page->out;
  size_t count = 0;
  for (size_t i = 0; i < page->target_count; i++)
    count += page->targets[i].target->run_count;
  if (count == 0)
    return;
  fprintf(out, "<section><details><summary><h2>Every run</h2> (%zu)</summary>\n<div class=\"wide\">", count);
  open_table(out, "In the order they were measured; targets took turns", heads, 12);
  for (size_t i = 0; i < page->target_count; i++)
    for (size_t j = 0; j < page->targets[i].target->run_count; j++)
      print_run(out, &page->targets[i], j);
  close_table(out);
  fputs("</div></details></section>\n", out);
}

void page_environment(const struct page *page) {
  const struct result_environment *environment = &page->session->environment;
  const struct {
    const char *name, *text;
  } facts[] = {{"Date", environment->started_at},        {"CPU", environment->cpu},
               {"Cores", environment->host_cores},       {"Kernel", environment->kernel},
               {"Version", environment->version},        {"Queries", environment->queries},
               {"Their hash", environment->queries_hash}};
  FILE *out = page->out;
  fputs("<section><h2>How it was measured</h2>\n<dl>", out);
  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
    fprintf(out, "<div><dt>%s</dt><dd>", facts[i].name);
    page_text(out, facts[i].text[0] ? facts[i].text : "\u2013");
    fputs("</dd></div>\n", out);
  }
  fputs("<div class=\"command\"><dt>Command</dt><dd><code>", out);
  page_text(out, environment->command);
  fputs("</code></dd></div></dl>\n", out);
  if (page->session->is_open_loop)
    fputs(
        "<p>Questions were sent at a fixed rate. Latency counts from the moment a question was due, so a "
        "server that stalls cannot hide the questions that had to wait; service time counts from the moment "
        "it was sent.</p>\n",
        out);
  else
    fputs(
        "<p>Each answer brought the next question, so the rate is the most that this number of connections "
        "could get, and latency counts from the moment a question was sent.</p>\n",
        out);
  fputs(
      "<p>p99 is the time within which 99&nbsp;% of the lookups were answered. Targets took turns, so that "
      "what "
      "changes on the machine meets all of them. CPU time is what the kernel accounted to the server's "
      "process.</p></section>\n",
      out);
}
