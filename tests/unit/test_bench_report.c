/*
 * With `--page PATH [four|one|open|search|hostile|empty|none]` this program writes a page made of invented
 * figures instead of testing: for tests/flow/test_bench_page.py, and for looking at it.
 */
#include "cmocka_compat.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "format.h"
#include "made_results.h"
#include "report.h"

/* Markup, quotes, control characters of a terminal and octets that are no UTF-8. */
#define NASTY "<script>alert(1)</script>&amp;\"'\x1b[31m\n\r\t\x01\x7f\xff\xc3\xa9,=cmd|x"

typedef int report_fn(const struct result_session *session, FILE *out);

/* What a report prints; the caller frees. */
static char *print(report_fn *report, const struct result_session *session) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  assert_int_equal(report(session, out), 0);
  assert_int_equal(fclose(out), 0);
  return text;
}

static char *page_of(const struct result_session *session) {
  char path[] = "/tmp/mxway-page-XXXXXX";
  int file = mkstemp(path);
  assert_true(file >= 0);
  assert_int_equal(report_html(session, path), 0);
  char *text = calloc(1, 1 << 21);
  assert_non_null(text);
  ssize_t length = read(file, text, (1 << 21) - 1);
  assert_true(length > 0);
  close(file);
  unlink(path);
  return text;
}

static json_t *json_of(const struct result_session *session) {
  char *text = print(report_json, session);
  json_error_t error;
  json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
  if (!object)
    fail_msg("%d: %s in %s", error.line, error.text, text);
  free(text);
  return object;
}

/* ---- sessions ---- */

static void mark_runs(struct result_session *session) {
  struct result_run *runs = session->targets[1].runs;
  runs[2].is_disturbed = true;
  runs[2].wait_s = 1.24;
  session->targets[1].repeated_count = 1;
  session->targets[2].runs[4].is_partial = true;
  session->targets[2].runs[4].length_s = 4.2;
  snprintf(session->targets[2].runs[4].error, RESULT_TEXT_SIZE, "the server closed all connections");
  session->targets[3].runs[1].is_client_bound = true;
  session->targets[0].runs[0].verified = 500;
  session->targets[0].runs[0].wrong = 2;
}

static void make_four(struct result_session *session) {
  made_session(session, made_four, 4, 5);
  mark_runs(session);
}

static void make_open(struct result_session *session) {
  made_session(session, made_four, 4, 5);
  session->is_open_loop = true;
  session->rate = 20000;
}

static void make_search(struct result_session *session) {
  made_session(session, made_four, 3, 1);
  session->is_open_loop = true;
  snprintf(session->find_max, sizeof session->find_max, "p99<500us,loss<0.1%%");
  session->targets[0].held_rate = 940000;
  session->targets[1].held_rate = 512000;
}

static void make_one(struct result_session *session) { made_session(session, made_four, 1, 3); }

static void make_empty(struct result_session *session) { made_session(session, made_four, 2, 0); }

static void make_none(struct result_session *session) { made_session(session, made_four, 0, 0); }

/* Cuts what is too long. */
static void fill(char *to, size_t size, const char *text) {
  size_t length = strnlen(text, size - 1);
  memcpy(to, text, length);
  to[length] = '\0';
}

/* Every text is as long as it may be and nasty; more targets than styles; runs without anything. */
static void make_hostile(struct result_session *session) {
  struct made_target like[8];
  char text[1100] = NASTY;
  while (strlen(text) < 1050)
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s", strlen(text) < 300 ? "<&'\"" : "x");
  for (size_t i = 0; i < 8; i++)
    like[i] = (struct made_target){text, 1e5 * (double)(i + 1), 30, i % 2 ? NAN : 1e4};
  made_session(session, like, 8, 2);
  struct result_environment *environment = &session->environment;
  fill(environment->cpu, sizeof environment->cpu, text);
  fill(environment->kernel, sizeof environment->kernel, text);
  fill(environment->host_cores, sizeof environment->host_cores, text);
  fill(environment->started_at, sizeof environment->started_at, text);
  fill(environment->version, sizeof environment->version, text);
  fill(environment->command, sizeof environment->command, text);
  fill(environment->queries, sizeof environment->queries, text);
  fill(environment->queries_hash, sizeof environment->queries_hash, text);
  fill(session->find_max, sizeof session->find_max, text);
  for (size_t i = 0; i < 8; i++) {
    result_count_kind(&session->targets[i].runs[0], NASTY, 5);
    session->targets[i].runs[0].is_partial = true;
    fill(session->targets[i].runs[0].error, RESULT_TEXT_SIZE, text);
  }
  result_run_fini(&session->targets[6].runs[0]);
  result_run_fini(&session->targets[7].runs[0]);
  result_run_fini(&session->targets[7].runs[1]);
  session->targets[7].runs[1] = (struct result_run){.sent = UINT64_MAX / 2};
  session->targets[5].runs[0].intervals[0].length_s = 0;
}

static const struct made {
  const char *name;
  void (*make)(struct result_session *session);
} sessions[] = {{"four", make_four},     {"one", make_one},         {"open", make_open},
                {"search", make_search}, {"hostile", make_hostile}, {"empty", make_empty},
                {"none", make_none}};
enum { SESSIONS = sizeof sessions / sizeof *sessions };

/* ---- figures ---- */

static void figures_have_three_digits_and_a_unit(void **state) {
  (void)state;
  assert_string_equal(format_rate(0).text, "0.00 /s");
  assert_string_equal(format_rate(85.25).text, "85.2 /s");
  assert_string_equal(format_rate(999.4).text, "999 /s");
  assert_string_equal(format_rate(999.6).text, "1.00 k/s");
  assert_string_equal(format_rate(1236000).text, "1.24 M/s");
  assert_string_equal(format_rate(NAN).text, "-");
  assert_string_equal(format_time(0.41).text, "0.41 us");
  assert_string_equal(format_time(9.996).text, "10.0 us");
  assert_string_equal(format_time(812.3).text, "812 us");
  assert_string_equal(format_time(1240).text, "1.24 ms");
  assert_string_equal(format_time(3e6).text, "3.00 s");
  assert_string_equal(format_time(12e8).text, "1200 s");
  assert_string_equal(format_seconds(10).text, "10 s");
  assert_string_equal(format_seconds(3600).text, "3600 s");
  assert_string_equal(format_bytes(0).text, "0 B");
  assert_string_equal(format_bytes(13002342).text, "12.4 MiB");
  assert_string_equal(format_count(0).text, "0");
  assert_string_equal(format_count(999).text, "999");
  assert_string_equal(format_count(1234567).text, "1,234,567");
  assert_string_equal(format_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
  assert_string_equal(format_ratio(1.239).text, "1.24");
  assert_string_equal(format_ratio(0.0312).text, "0.031");
  assert_string_equal(format_ratio(0.0001).text, "<0.001");
  assert_string_equal(format_times(31.4).text, "31.4x");
  assert_string_equal(format_tick(1000).text, "1 ms");
  assert_string_equal(format_rate_tick(1500000).text, "1.5 M/s");
  assert_string_equal(format_rate_tick(500000).text, "500 k/s");
}

static void share_is_never_rounded_to_none_or_all(void **state) {
  (void)state;
  assert_string_equal(format_share(0).text, "0 %");
  assert_string_equal(format_share(1).text, "100 %");
  assert_string_equal(format_share(1e-9).text, "<0.01 %");
  assert_string_equal(format_share(1 - 1e-9).text, ">99.99 %");
  assert_string_equal(format_share(0.9996).text, "99.96 %");
  assert_string_equal(format_share(0.12345).text, "12.3 %");
  assert_string_equal(format_share(NAN).text, "-");
}

/* ---- all of them, of every session ---- */

static void reports_of_any_session_are_printed(void **state) {
  (void)state;
  static report_fn *const reports[] = {report_text, report_json, report_csv};
  for (size_t i = 0; i < SESSIONS; i++) {
    struct result_session session;
    sessions[i].make(&session);
    for (size_t j = 0; j < sizeof reports / sizeof *reports; j++) {
      char *text = print(reports[j], &session);
      assert_true(*text && text[strlen(text) - 1] == '\n');
      assert_null(strstr(text, "nan"));
      assert_null(strchr(text, '\x1b'));
      assert_true(reports[j] == report_json || !strchr(text, '\x7f'));
      assert_null(strchr(text, '\xff'));
      free(text);
    }
    made_session_free(&session);
  }
}

static void reports_that_cannot_be_written_fail(void **state) {
  (void)state;
  static report_fn *const reports[] = {report_text, report_json, report_csv};
  struct result_session session;
  make_four(&session);
  for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    errno = 0;
    assert_int_equal(reports[i](&session, full), -1);
    assert_int_not_equal(errno, 0);
    fclose(full);
  }
  /* Nothing is left in the buffer to fail anew. */
  FILE *unwritable = fopen("/dev/null", "r");
  assert_non_null(unwritable);
  assert_int_equal(report_text(&session, unwritable), -1);
  assert_int_equal(errno, EIO);
  fclose(unwritable);
  assert_int_equal(report_html(&session, "/dev/full"), -1);
  assert_int_equal(errno, ENOSPC);
  assert_int_equal(report_html(&session, "/nowhere/at/all.html"), -1);
  assert_int_equal(errno, ENOENT);
  made_session_free(&session);
}

/* ---- text ---- */

static void text_is_aligned_and_at_most_100_columns_wide(void **state) {
  (void)state;
  struct result_session session;
  make_open(&session);
  char *text = print(report_text, &session), *rest = text;
  int quantiles = 0, ratios = 0;
  for (char *line; (line = strsep(&rest, "\n"));) {
    size_t length = strlen(line);
    assert_true(length <= 100);
    assert_true(length == 0 || line[length - 1] != ' ');
    char *p50 = strstr(line, "p50 ");
    bool is_ratio = strchr(line, '[') && isdigit((unsigned char)line[length - 2]);
    if ((p50 && strstr(line, "p99.99")) || strncmp(line, "  latency", 9) == 0 ||
        strncmp(line, "  service time", 14) == 0) {
      quantiles++;
      assert_int_equal(length, 14 + 7 * 11);
    }
    if (is_ratio || (p50 && strstr(line, "CPU a lookup"))) {
      ratios++;
      assert_int_equal(length, 100);
    }
  }
  assert_int_equal(quantiles, 4 * 3);
  assert_int_equal(ratios, 1 + 3);
  free(text);
  made_session_free(&session);
}

static void text_says_what_there_is_to_know(void **state) {
  (void)state;
  static const char *const expected[] = {
      "\nmxway:/run/mxway/lookup.sock\n",
      "  lost        60 (<0.01 %): 45 timed out, 15 failed\n",
      "  verified    500, 2 wrong\n",
      "  warning     2 of 500 verified answers were wrong\n",
      "  warning     run 5 of 5 ended early, after 4.2 s: the server closed all connections\n",
      "  warning     1 of 5 runs disturbed by other work on this machine (0 s stolen, 1.24 s waiting",
      "  warning     1 disturbed run was measured again and left out\n",
      "  warning     the generator was the bottleneck in 1 of 5 runs",
      "  server RSS  200 MiB before, 201 MiB after\n",
      "ROUTE ",
      "Ratios to mxway:/run/mxway/lookup.sock: median [least-most] of the runs\n",
  };
  struct result_session session;
  make_four(&session);
  char *text = print(report_text, &session);
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    if (!strstr(text, expected[i]))
      fail_msg("'%s' is not in\n%s", expected[i], text);
  assert_null(strstr(text, "service time"));
  free(text);
  made_session_free(&session);
}

static void text_of_one_target_has_no_ratios_and_of_none_says_so(void **state) {
  (void)state;
  struct result_session session;
  make_one(&session);
  char *text = print(report_text, &session);
  assert_null(strstr(text, "Ratios"));
  assert_null(strstr(text, "warning"));
  free(text);
  made_session_free(&session);
  make_empty(&session);
  text = print(report_text, &session);
  assert_non_null(strstr(text, "nothing was measured"));
  free(text);
  made_session_free(&session);
}

/* ---- JSON ---- */

static double number_at(json_t *object, const char *a, const char *b, const char *c) {
  json_t *value = json_object_get(json_object_get(json_object_get(object, a), b), c);
  assert_true(json_is_number(value));
  return json_number_value(value);
}

static void json_has_the_figures(void **state) {
  (void)state;
  struct result_session session;
  make_four(&session);
  json_t *object = json_of(&session);
  json_t *targets = json_object_get(object, "targets");
  assert_int_equal(json_array_size(targets), 4);
  assert_int_equal(json_array_size(json_object_get(object, "warnings")), 5);
  assert_string_equal(json_string_value(json_object_get(object, "mode")), "closed");
  for (size_t i = 0; i < 4; i++) {
    json_t *target = json_array_get(targets, i);
    const struct result_target *made = &session.targets[i];
    assert_string_equal(json_string_value(json_object_get(target, "label")), made->label);
    assert_true(
        fabs(number_at(target, "figures", "rate", "median") / result_figure(made, FIGURE_RATE).median - 1) <
        1e-6);
    assert_true(fabs(number_at(target, "latency", "p99_9_us", "most") /
                         result_quantile(made, SERIES_LATENCY, 0.999).most -
                     1) < 1e-6);
    assert_true(fabs(number_at(target, "ratios", "server_cpu", "least") /
                         result_ratio(made, &session.targets[0], FIGURE_SERVER_CPU).least -
                     1) < 1e-6);
    json_t *runs = json_object_get(target, "runs");
    assert_int_equal(json_array_size(runs), 5);
    json_t *run = json_array_get(runs, 4);
    assert_int_equal(json_integer_value(json_object_get(run, "completed")), made->runs[4].completed);
    assert_int_equal(json_array_size(json_object_get(run, "intervals")), 10);
    assert_int_equal(json_is_true(json_object_get(run, "partial")), i == 2);
    assert_int_equal(json_is_null(json_object_get(run, "error")), i != 2);
  }
  json_decref(object);
  made_session_free(&session);
}

static void json_of_any_session_has_the_same_keys(void **state) {
  (void)state;
  json_t *first = NULL;
  for (size_t i = 0; i < SESSIONS; i++) {
    struct result_session session;
    sessions[i].make(&session);
    json_t *object = json_of(&session);
    const char *key;
    json_t *value;
    assert_int_equal(json_object_size(object), 8);
    if (first)
      json_object_foreach(first, key, value) assert_non_null(json_object_get(object, key));
    json_t *target = json_array_get(json_object_get(object, "targets"), 0);
    assert_int_equal(target ? json_object_size(target) : 22, 22);
    if (!first)
      first = json_incref(object);
    json_decref(object);
    made_session_free(&session);
  }
  json_decref(first);
}

static void json_gives_null_for_what_is_not_known(void **state) {
  (void)state;
  struct result_session session;
  make_hostile(&session);
  json_t *object = json_of(&session);
  json_t *target = json_array_get(json_object_get(object, "targets"), 7);
  json_t *rate = json_object_get(json_object_get(target, "figures"), "server_cpu_us");
  assert_true(json_is_null(json_object_get(rate, "median")));
  json_t *run = json_array_get(json_object_get(target, "runs"), 1);
  assert_true(json_is_null(json_object_get(run, "server")));
  assert_true(json_is_null(json_object_get(json_object_get(run, "latency"), "max_us")));
  /* Text is what it was, but for octets that are no UTF-8. */
  const char *label = json_string_value(json_object_get(target, "label"));
  assert_true(strncmp(label, NASTY, (size_t)(strchr(NASTY, '\xff') - NASTY)) == 0);
  assert_non_null(strstr(label, "\x7f\xef\xbf\xbd\xc3\xa9"));
  json_decref(object);
  made_session_free(&session);
}

/* ---- CSV ---- */

/* Takes a field off the front of *at (RFC 4180), in place; *end gets what stood behind it. */
static char *next_field(char **at, char *end) {
  char *from = *at, *to = *at, *field = *at;
  bool is_quoted = *from == '"';
  if (is_quoted)
    from++;
  while (*from && (is_quoted || (*from != ',' && *from != '\n'))) {
    assert_true(is_quoted || *from != '"');
    if (is_quoted && *from == '"') {
      if (from[1] != '"') {
        from++;
        break;
      }
      from++;
    }
    *to++ = *from++;
  }
  *end = *from;
  assert_true(*end == ',' || *end == '\n');
  *to = '\0';
  *at = from + 1;
  return field;
}

static void csv_has_a_line_for_each_run_with_all_columns(void **state) {
  (void)state;
  for (size_t i = 0; i < SESSIONS; i++) {
    struct result_session session;
    sessions[i].make(&session);
    char *text = print(report_csv, &session), *at = text;
    size_t lines = 0, columns = 0, runs = 0;
    for (size_t j = 0; j < session.target_count; j++)
      runs += session.targets[j].run_count;
    while (*at) {
      size_t count = 0;
      char end = ',';
      for (; end == ','; count++)
        next_field(&at, &end);
      if (lines++ == 0)
        columns = count;
      assert_int_equal(count, columns);
    }
    assert_int_equal(lines, runs + 1);
    free(text);
    made_session_free(&session);
  }
}

static void csv_keeps_commas_and_quotes_of_text(void **state) {
  (void)state;
  struct result_session session;
  make_one(&session);
  snprintf(session.targets[0].label, RESULT_LABEL_SIZE, "a \"b\", c\nd");
  char *text = print(report_csv, &session), *at = strchr(text, '\n') + 1, end;
  assert_string_equal(next_field(&at, &end),
                      "a \"b\", c\xef\xbf\xbd"
                      "d");
  assert_string_equal(next_field(&at, &end), "1");
  free(text);
  made_session_free(&session);
}

/* ---- HdrHistogram ---- */

static void hgrm_is_of_all_runs_together(void **state) {
  (void)state;
  struct result_session session;
  make_hostile(&session);
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  assert_int_equal(report_hgrm(&session.targets[0], out), 0);
  assert_int_equal(report_hgrm(&session.targets[7], out), 0);
  fclose(out);
  assert_non_null(strstr(text, "Total count    =        40000]"));
  assert_non_null(strstr(text, "Total count    =            0]"));
  free(text);
  made_session_free(&session);
}

/* ---- HTML ---- */

static bool is_void(const char *name) { return strcmp(name, "meta") == 0 || strcmp(name, "!DOCTYPE") == 0; }

/* Skips one tag at *at ("<..."), with quoted attributes; elements opened and closed must match. */
static const char *check_tag(const char *at, char stack[][16], size_t *depth) {
  bool is_end = at[1] == '/';
  char name[16] = "";
  size_t length = strspn(at + 1 + is_end, "!abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
  snprintf(name, sizeof name, "%.*s", (int)length, at + 1 + is_end);
  if (length == 0 || length >= sizeof name)
    fail_msg("no tag: %.80s", at);
  at += 1 + is_end + length;
  for (; *at != '>'; at++) {
    assert_true(*at != '\0' && *at != '<');
    if (*at == '"')
      at += 1 + strcspn(at + 1, "\"<>");
    assert_true(*at != '<' && (*at != '>' || at[-1] != '='));
  }
  if (is_end) {
    assert_true(*depth > 0);
    assert_string_equal(stack[--*depth], name);
  } else if (at[-1] != '/' && !is_void(name)) {
    assert_true(*depth < 32);
    memcpy(stack[(*depth)++], name, sizeof name);
  }
  return at + 1;
}

static void expect_well_formed(const char *page) {
  static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&nbsp;", "&middot;"};
  char stack[32][16];
  size_t depth = 0;
  for (const char *at = page; *at;) {
    if (*at == '<') {
      bool is_style = strncmp(at, "<style>", 7) == 0;
      at = check_tag(at, stack, &depth);
      if (is_style)
        at = strstr(at, "</style>");
      continue;
    }
    bool is_known = *at != '&';
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
      is_known = is_known || strncmp(at, entities[i], strlen(entities[i])) == 0;
    if (!is_known || *at == '>' || (iscntrl((unsigned char)*at) && *at != '\n'))
      fail_msg("not escaped: %.80s", at);
    at++;
  }
  assert_int_equal(depth, 0);
}

static void page_of_any_session_is_well_formed_and_needs_nothing_else(void **state) {
  (void)state;
  static const char *const banned[] = {
      "<script", "http:", "https:", "url(", "@import", "src=", "<link", "nan%", ">nan", "inf%", "-nan"};
  for (size_t i = 0; i < SESSIONS; i++) {
    struct result_session session;
    sessions[i].make(&session);
    char *page = page_of(&session);
    expect_well_formed(page);
    for (size_t j = 0; j < sizeof banned / sizeof *banned; j++)
      if (strstr(page, banned[j]))
        fail_msg("%s of '%s': %.80s", banned[j], sessions[i].name, strstr(page, banned[j]));
    assert_null(strchr(page, '\xff'));
    free(page);
    made_session_free(&session);
  }
}

static void page_escapes_text_from_outside(void **state) {
  (void)state;
  struct result_session session;
  make_hostile(&session);
  char *page = page_of(&session);
  assert_non_null(strstr(page, "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;&quot;&#39;\xef\xbf\xbd[31m"));
  free(page);
  made_session_free(&session);
}

static void page_shows_every_part(void **state) {
  (void)state;
  static const char *const expected[] = {
      "<title>Lookups compared: mxway, redis, dns and null</title>",
      "<b>mxway</b> answered <b>1.25&nbsp;M/s</b> (median of 5 runs), with <b>0.41&nbsp;\u00b5s</b>",
      "times the rate of redis, ",
      " times that of null.",
      "Before you rely on this",
      "the server closed all connections",
      "<h2>Lookups a second</h2>",
      "<h2>Server CPU for one lookup</h2>",
      "<h2>Results</h2>",
      "<h2>Compared with mxway</h2>",
      "<h2>Latency by percentile</h2>",
      "<h2>Rate over time</h2>",
      "<h2>What was answered</h2>",
      "NO_SUCH_DOMAIN",
      "<h2>Every run</h2>",
      "AMD EPYC 7B13",
      "4f1c2a9be07d5538",
      "--gen zipf:s=1.0,n=1000000",
      "class=\"shade\""};
  struct result_session session;
  make_four(&session);
  char *page = page_of(&session);
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    if (!strstr(page, expected[i]))
      fail_msg("'%s' is not in the page", expected[i]);
  assert_null(strstr(page, "Service time by percentile"));
  free(page);
  made_session_free(&session);
  make_open(&session);
  page = page_of(&session);
  assert_non_null(strstr(page, "Asked at a fixed 20.0&nbsp;k/s"));
  assert_non_null(strstr(page, "<h2>Service time by percentile</h2>"));
  free(page);
  made_session_free(&session);
}

static void searched_rates_are_reported(void **state) {
  (void)state;
  struct result_session session;
  make_search(&session);
  char *page = page_of(&session);
  assert_non_null(strstr(page,
                         "The highest rate at which <code>p99&lt;500us,loss&lt;0.1%</code> holds: "
                         "<b>940&nbsp;k/s</b> with mxway, <b>512&nbsp;k/s</b> with redis, "
                         "<b>none</b> with dns."));
  assert_non_null(strstr(page, "Highest rate held"));
  assert_non_null(strstr(page, "<h2>Lookups a second</h2>"));
  free(page);
  char *text = print(report_text, &session);
  assert_non_null(strstr(text, "Open loop at the highest rate that holds p99<500us,loss<0.1%\n"));
  assert_non_null(strstr(text, "  held at     940 k/s\n"));
  assert_non_null(strstr(text, "  held at     no rate\n"));
  free(text);
  json_t *object = json_of(&session);
  assert_true(json_is_null(json_object_get(object, "rate")));
  assert_string_equal(json_string_value(json_object_get(object, "find_max")), "p99<500us,loss<0.1%");
  json_t *targets = json_object_get(object, "targets");
  assert_true(json_number_value(json_object_get(json_array_get(targets, 0), "held_rate")) > 939999);
  assert_true(json_is_null(json_object_get(json_array_get(targets, 2), "held_rate")));
  json_decref(object);
  made_session_free(&session);
}

static void page_numbers_targets_of_one_kind(void **state) {
  (void)state;
  static const struct made_target like[] = {
      {"mxway:/a", 1e6, 50, 1}, {"null", 1e6, 50, 1}, {"mxway:/b", 1e6, 50, 1}};
  struct result_session session;
  made_session(&session, like, 3, 1);
  char *page = page_of(&session);
  assert_non_null(strstr(page, "<title>Lookups compared: mxway 1, null and mxway 3</title>"));
  free(page);
  made_session_free(&session);
}

static int write_page(const char *path, const char *name) {
  for (size_t i = 0; i < SESSIONS; i++) {
    if (strcmp(sessions[i].name, name) != 0)
      continue;
    struct result_session session;
    sessions[i].make(&session);
    int status = report_html(&session, path);
    if (status != 0)
      perror(path);
    made_session_free(&session);
    return status == 0 ? 0 : 1;
  }
  fprintf(stderr, "there is no session '%s'\n", name);
  return 64;
}

int main(int argc, char **argv) {
  if (argc >= 3 && strcmp(argv[1], "--page") == 0)
    return write_page(argv[2], argc > 3 ? argv[3] : "four");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(figures_have_three_digits_and_a_unit),
      cmocka_unit_test(share_is_never_rounded_to_none_or_all),
      cmocka_unit_test(reports_of_any_session_are_printed),
      cmocka_unit_test(reports_that_cannot_be_written_fail),
      cmocka_unit_test(text_is_aligned_and_at_most_100_columns_wide),
      cmocka_unit_test(text_says_what_there_is_to_know),
      cmocka_unit_test(text_of_one_target_has_no_ratios_and_of_none_says_so),
      cmocka_unit_test(json_has_the_figures),
      cmocka_unit_test(json_of_any_session_has_the_same_keys),
      cmocka_unit_test(json_gives_null_for_what_is_not_known),
      cmocka_unit_test(csv_has_a_line_for_each_run_with_all_columns),
      cmocka_unit_test(csv_keeps_commas_and_quotes_of_text),
      cmocka_unit_test(hgrm_is_of_all_runs_together),
      cmocka_unit_test(page_of_any_session_is_well_formed_and_needs_nothing_else),
      cmocka_unit_test(page_escapes_text_from_outside),
      cmocka_unit_test(page_shows_every_part),
      cmocka_unit_test(searched_rates_are_reported),
      cmocka_unit_test(page_numbers_targets_of_one_kind),
  };
  return cmocka_run_group_tests_name("bench_report", tests, NULL, NULL);
}
