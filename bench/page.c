#include "page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "tool_utf8.h"

enum { NAME_COLUMNS_MAX = 24, SAID_MAX = 8 };

/* The target's own name, or what stands before the colon of its label, "mxway" of "mxway:/run/x.sock"; at
 * most NAME_COLUMNS_MAX letters. */
static void cut_name(char name[PAGE_NAME_SIZE], const struct result_target *target) {
  size_t length, columns = 0, end = 0;
  const char *text = target->name[0] ? target->name : target->label;
  char *clean = tool_utf8_repair(text, target->name[0] ? strlen(text) : strcspn(text, ":"), true, &length);
  const char *from = clean && length > 0 ? clean : "target";
  for (; from[end] && end < PAGE_NAME_SIZE - 16; end++) {
    bool begins_letter = ((unsigned char)from[end] & 0xc0) != 0x80;
    if (begins_letter && columns++ == NAME_COLUMNS_MAX)
      break;
  }
  while (end > 0 && from[end] && ((unsigned char)from[end] & 0xc0) == 0x80)
    end--;
  snprintf(name, PAGE_NAME_SIZE, "%.*s%s", (int)end, from, from[end] ? "\u2026" : "");
  free(clean);
}

/* Numbers the names that more than one target would have. */
static void number_names(struct page *page) {
  for (size_t i = 0; i < page->target_count; i++) {
    char first[PAGE_NAME_SIZE];
    memcpy(first, page->targets[i].name, sizeof first);
    bool is_shared = false;
    for (size_t j = 0; j < page->target_count; j++) {
      char *name = page->targets[j].name;
      if (j == i || strcmp(name, first) != 0)
        continue;
      is_shared = true;
      size_t length = strlen(name);
      snprintf(name + length, PAGE_NAME_SIZE - length, " %zu", j + 1);
    }
    if (is_shared)
      snprintf(page->targets[i].name + strlen(first), PAGE_NAME_SIZE - strlen(first), " %zu", i + 1);
  }
}

int page_init(struct page *page, const struct result_session *session, FILE *out) {
  *page = (struct page){.out = out, .session = session, .target_count = session->target_count};
  page->targets = calloc(session->target_count + 1, sizeof *page->targets);
  if (!page->targets)
    return -1;
  for (size_t i = 0; i < page->target_count; i++) {
    struct page_target *target = &page->targets[i];
    target->target = &session->targets[i];
    result_total(target->target, &target->totals);
    cut_name(target->name, target->target);
    target->colour = (unsigned)(i % PAGE_STYLES);
    target->marker = (unsigned)((i + i / PAGE_STYLES) % PAGE_STYLES);
    page->is_measured = page->is_measured || target->totals.completed > 0;
  }
  number_names(page);
  for (size_t i = 0; i < page->target_count; i++) {
    size_t columns = tool_utf8_columns(page->targets[i].name);
    page->name_columns = columns > page->name_columns ? columns : page->name_columns;
  }
  return 0;
}

void page_fini(struct page *page) { free(page->targets); }

void page_text(FILE *out, const char *text) {
  size_t length;
  char *clean = tool_utf8_repair(text, strlen(text), true, &length);
  for (const char *at = clean ? clean : "(out of memory)"; *at; at++) {
    switch (*at) {
    case '&':
      fputs("&amp;", out);
      break;
    case '<':
      fputs("&lt;", out);
      break;
    case '>':
      fputs("&gt;", out);
      break;
    case '"':
      fputs("&quot;", out);
      break;
    case '\'':
      fputs("&#39;", out);
      break;
    default:
      fputc(*at, out);
    }
  }
  free(clean);
}

void page_figure(FILE *out, struct format_text figure) {
  if (strcmp(figure.text, "-") == 0) {
    fputs("\u2013", out);
    return;
  }
  for (const char *at = figure.text; *at; at++) {
    if (*at == ' ')
      fputs("&nbsp;", out);
    else if (*at == '<')
      fputs("&lt;", out);
    else if (*at == '>')
      fputs("&gt;", out);
    else if (*at == 'u')
      fputs("\u00b5", out);
    else if (*at == 'x')
      fputs("\u00d7", out);
    else
      fputc(*at, out);
  }
}

void page_spread(FILE *out, struct result_spread spread, struct format_text (*format)(double)) {
  struct format_text least = format(spread.least), most = format(spread.most);
  page_figure(out, format(spread.median));
  if (strcmp(least.text, most.text) != 0) {
    fputs(" <small>", out);
    page_figure(out, least);
    fputs(" to ", out);
    page_figure(out, most);
    fputs("</small>", out);
  }
}

void page_swatch(FILE *out, const struct page_target *target) {
  fprintf(out,
          "<svg class=\"swatch\" width=\"30\" height=\"14\" aria-hidden=\"true\"><line x1=\"0\" x2=\"30\" "
          "y1=\"7\" "
          "y2=\"7\" class=\"line s%u\"/><use href=\"#m%u\" x=\"15\" y=\"7\" class=\"f%u\"/></svg> ",
          target->colour, target->marker, target->colour);
}

void page_key(const struct page *page) {
  if (page->target_count < 2)
    return;
  fputs("<p class=\"key\" aria-hidden=\"true\">", page->out);
  for (size_t i = 0; i < page->target_count; i++) {
    fputs("<span>", page->out);
    page_swatch(page->out, &page->targets[i]);
    page_text(page->out, page->targets[i].name);
    fputs("</span> ", page->out);
  }
  fputs("</p>\n", page->out);
}

static void say_runs(const struct page *page) {
  size_t runs = page->targets[page->session->baseline].target->run_count;
  if (runs > 1)
    fprintf(page->out, " (median of %zu runs)", runs);
}

/* "That is 3.10 times the rate of dns, 2.03 times that of redis and 0.71 times that of null." */
static void say_rate_ratios(const struct page *page) {
  const struct page_target *baseline = &page->targets[page->session->baseline];
  double ratios[SAID_MAX];
  size_t others[SAID_MAX], count = 0;
  for (size_t i = 0; i < page->target_count && count < SAID_MAX; i++) {
    ratios[count] = result_ratio(baseline->target, page->targets[i].target, FIGURE_RATE).median;
    others[count] = i;
    count += &page->targets[i] != baseline && !isnan(ratios[count]);
  }
  for (size_t i = 0; i < count; i++) {
    fputs(i == 0 ? " That is " : i + 1 == count ? " and " : ", ", page->out);
    page_figure(page->out, format_ratio(ratios[i]));
    fputs(i == 0 ? " times the rate of " : " times that of ", page->out);
    page_text(page->out, page->targets[others[i]].name);
  }
  if (count > 0)
    fputc('.', page->out);
}

static void say_closed(const struct page *page) {
  FILE *out = page->out;
  const struct page_target *baseline = &page->targets[page->session->baseline];
  double cpu = result_figure(baseline->target, FIGURE_SERVER_CPU).median;
  fputs("<b>", out);
  page_text(out, baseline->name);
  fputs("</b> answered <b>", out);
  page_figure(out, format_rate(result_figure(baseline->target, FIGURE_RATE).median));
  fputs("</b>", out);
  say_runs(page);
  if (!isnan(cpu)) {
    fputs(", with <b>", out);
    page_figure(out, format_time(cpu));
    fputs("</b> of server CPU a lookup", out);
  }
  fputc('.', out);
  say_rate_ratios(page);
}

static void say_open(const struct page *page) {
  FILE *out = page->out;
  const struct page_target *baseline = &page->targets[page->session->baseline];
  fputs("Asked at a fixed ", out);
  page_figure(out, format_rate(page->session->rate));
  fputs(", <b>", out);
  page_text(out, baseline->name);
  fputs("</b> answered half of the lookups within <b>", out);
  page_figure(out, format_time(result_figure(baseline->target, FIGURE_P50).median));
  fputs("</b> and 99&nbsp;% within <b>", out);
  page_figure(out, format_time(result_figure(baseline->target, FIGURE_P99).median));
  fputs("</b>", out);
  say_runs(page);
  const char *before = "; 99&nbsp;% within ";
  for (size_t i = 0; i < page->target_count; i++) {
    double us = result_figure(page->targets[i].target, FIGURE_P99).median;
    if (&page->targets[i] == baseline || isnan(us))
      continue;
    fputs(before, out);
    page_figure(out, format_time(us));
    fputs(" with ", out);
    page_text(out, page->targets[i].name);
    before = ", ";
  }
  fputc('.', out);
}

/* "940 k/s with mxway, 400 k/s with redis" */
static void say_search(const struct page *page) {
  FILE *out = page->out;
  fputs("The highest rate at which <code>", out);
  page_text(out, page->session->find_max);
  fputs("</code> holds: ", out);
  for (size_t i = 0; i < page->target_count; i++) {
    double rate = page->targets[i].target->held_rate;
    fputs(i > 0 ? ", <b>" : "<b>", out);
    if (rate > 0)
      page_figure(out, format_rate(rate));
    else
      fputs("none", out);
    fputs("</b> with ", out);
    page_text(out, page->targets[i].name);
  }
  fputc('.', out);
}

void page_lead(const struct page *page) {
  FILE *out = page->out;
  fputs("<p class=\"lead\">", out);
  if (!page->is_measured)
    fputs("Nothing was measured.", out);
  else if (page->session->find_max[0])
    say_search(page);
  else if (page->session->is_open_loop)
    say_open(page);
  else
    say_closed(page);
  fputs("</p>\n", out);
}

static void print_warning(void *context, const struct result_target *target, const char *sentence) {
  FILE *out = context;
  fputs("<li><b>", out);
  page_text(out, target->label);
  fputs("</b>: ", out);
  page_text(out, sentence);
  fputs("</li>\n", out);
}

static void count_warning(void *context, const struct result_target *target, const char *sentence) {
  (void)target;
  (void)sentence;
  ++*(size_t *)context;
}

void page_warnings(const struct page *page) {
  size_t count = 0;
  for (size_t i = 0; i < page->target_count; i++)
    report_warnings(page->targets[i].target, count_warning, &count);
  if (count == 0)
    return;
  fputs("<aside class=\"warnings\" aria-label=\"Warnings\"><h2>Before you rely on this</h2><ul>\n",
        page->out);
  for (size_t i = 0; i < page->target_count; i++)
    report_warnings(page->targets[i].target, print_warning, page->out);
  fputs("</ul></aside>\n", page->out);
}
