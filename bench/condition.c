#include "condition.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_TIME, KIND_RATE, KIND_SHARE, KIND_COUNT };
enum subject {
  SUBJECT_QUANTILE,
  SUBJECT_FIGURE,
  SUBJECT_MAX,
  SUBJECT_LOSS,
  SUBJECT_ERRORS,
  SUBJECT_TIMEOUTS,
  SUBJECT_WRONG
};
enum relation { RELATION_LESS, RELATION_AT_MOST, RELATION_MORE, RELATION_AT_LEAST };

static const struct measure {
  const char *name;
  enum kind kind;
  enum subject subject;
  double quantile;
  enum result_figure figure;
} measures[] = {
    {"p50", KIND_TIME, SUBJECT_QUANTILE, .quantile = 0.5},
    {"p90", KIND_TIME, SUBJECT_QUANTILE, .quantile = 0.9},
    {"p95", KIND_TIME, SUBJECT_QUANTILE, .quantile = 0.95},
    {"p99", KIND_TIME, SUBJECT_QUANTILE, .quantile = 0.99},
    {"p99.9", KIND_TIME, SUBJECT_QUANTILE, .quantile = 0.999},
    {"p99.99", KIND_TIME, SUBJECT_QUANTILE, .quantile = 0.9999},
    {"max", KIND_TIME, SUBJECT_MAX, .quantile = 1},
    {"mean", KIND_TIME, SUBJECT_FIGURE, .figure = FIGURE_MEAN},
    {"rate", KIND_RATE, SUBJECT_FIGURE, .figure = FIGURE_RATE},
    {"loss", KIND_SHARE, SUBJECT_LOSS, .quantile = 0},
    {"cpu", KIND_TIME, SUBJECT_FIGURE, .figure = FIGURE_SERVER_CPU},
    {"errors", KIND_COUNT, SUBJECT_ERRORS, .quantile = 0},
    {"timeouts", KIND_COUNT, SUBJECT_TIMEOUTS, .quantile = 0},
    {"wrong", KIND_COUNT, SUBJECT_WRONG, .quantile = 0},
};

/* Longest first where one begins with another. */
static const struct {
  const char *text;
  enum relation relation;
} relations[] = {
    {"<=", RELATION_AT_MOST}, {">=", RELATION_AT_LEAST}, {"<", RELATION_LESS}, {">", RELATION_MORE}};

/* What a number is multiplied with to be in the measure's own unit: us, a second, %, one. */
static const struct unit {
  enum kind kind;
  const char *name;
  double factor;
} units[] = {
    {KIND_TIME, "ns", 1e-3}, {KIND_TIME, "us", 1},    {KIND_TIME, "ms", 1e3}, {KIND_TIME, "s", 1e6},
    {KIND_RATE, "", 1},      {KIND_RATE, "/s", 1},    {KIND_RATE, "k", 1e3},  {KIND_RATE, "k/s", 1e3},
    {KIND_RATE, "M", 1e6},   {KIND_RATE, "M/s", 1e6}, {KIND_SHARE, "%", 1},   {KIND_COUNT, "", 1},
};

struct comparison {
  const struct measure *measure;
  enum relation relation;
  double wanted; /* in the measure's own unit */
  const struct unit *unit;
  char relation_text[3], wanted_text[32];
};

struct condition {
  size_t count;
  struct comparison comparisons[CONDITION_COMPARISONS_MAX];
};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

__attribute__((format(printf, 2, 3))) static bool refuse(char *error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error, CONDITION_ERROR_SIZE, format, arguments);
  va_end(arguments);
  return false;
}

static const char *skip_spaces(const char *at) { return at + strspn(at, " \t"); }

/* Takes the word at *at off; it says in `error` what a measure is called where it is none. */
static const struct measure *parse_measure(const char **at, char *error) {
  size_t length = strcspn(*at, "<>=! \t");
  for (size_t i = 0; i < COUNT_OF(measures); i++)
    if (strlen(measures[i].name) == length && strncmp(measures[i].name, *at, length) == 0) {
      *at = skip_spaces(*at + length);
      return &measures[i];
    }
  refuse(error,
         "'%.*s' is nothing that is measured; expected p50 p90 p95 p99 p99.9 p99.99 max mean rate loss cpu "
         "errors timeouts or wrong",
         (int)(length < 40 ? length : 40), *at);
  return NULL;
}

static bool parse_relation(const char **at, struct comparison *comparison, char *error) {
  for (size_t i = 0; i < COUNT_OF(relations); i++) {
    size_t length = strlen(relations[i].text);
    if (strncmp(*at, relations[i].text, length) != 0)
      continue;
    comparison->relation = relations[i].relation;
    snprintf(comparison->relation_text, sizeof comparison->relation_text, "%s", relations[i].text);
    *at = skip_spaces(*at + length);
    return true;
  }
  return refuse(error, "'%s' is followed by '%.40s'; expected < <= > or >=", comparison->measure->name, *at);
}

static const char *units_of(enum kind kind) {
  switch (kind) {
  case KIND_TIME:
    return "a unit (ns, us, ms or s)";
  case KIND_RATE:
    return "nothing, k or M, and /s";
  case KIND_SHARE:
    return "the unit %";
  case KIND_COUNT:
    return "no unit";
  }
  return "";
}

static const struct unit *find_unit(enum kind kind, const char *name, bool is_zero) {
  const struct unit *first = NULL;
  for (size_t i = 0; i < COUNT_OF(units); i++) {
    if (units[i].kind != kind)
      continue;
    if (strcmp(units[i].name, name) == 0)
      return &units[i];
    if (!first || (kind == KIND_TIME && units[i].factor == 1))
      first = &units[i];
  }
  return is_zero && !*name ? first : NULL;
}

static bool parse_wanted(const char *at, struct comparison *comparison, char *error) {
  const struct measure *measure = comparison->measure;
  char *end;
  /* strtod would take "inf", "nan" and "0x1p3" as well. */
  double number = isdigit((unsigned char)*at) || *at == '.' ? strtod(at, &end) : NAN;
  if (isnan(number) || end == at || !isfinite(number) || memchr(at, 'x', (size_t)(end - at)))
    return refuse(error, "'%s %s %.40s': expected a number, with %s", measure->name,
                  comparison->relation_text, at, units_of(measure->kind));
  const char *unit = skip_spaces(end);
  comparison->unit = find_unit(measure->kind, unit, number <= 0);
  if (!comparison->unit && !*unit)
    return refuse(error, "'%s %s %.40s' lacks %s", measure->name, comparison->relation_text, at,
                  units_of(measure->kind));
  if (!comparison->unit)
    return refuse(error, "'%s %s %.40s': '%.20s' behind the number is wrong; expected %s", measure->name,
                  comparison->relation_text, at, unit, units_of(measure->kind));
  comparison->wanted = number * comparison->unit->factor;
  snprintf(comparison->wanted_text, sizeof comparison->wanted_text, "%.*s%s",
           (int)(end - at < 20 ? end - at : 20), at, comparison->unit->name);
  return true;
}

static bool parse_comparison(const char *text, struct comparison *comparison, char *error) {
  const char *at = text;
  comparison->measure = parse_measure(&at, error);
  return comparison->measure && parse_relation(&at, comparison, error) && parse_wanted(at, comparison, error);
}

/* The part up to the next comma, without the spaces around it. */
static bool parse_part(struct condition *condition, const char *text, size_t length, char *error) {
  char part[128];
  const char *start = text;
  while (length > 0 && isspace((unsigned char)start[length - 1]))
    length--;
  for (; length > 0 && isspace((unsigned char)*start); length--)
    start++;
  if (length == 0)
    return refuse(error, "a comparison is missing; expected one such as p99<500us");
  if (length >= sizeof part)
    return refuse(error, "'%.40s...' is too long for a comparison; expected one such as p99<500us", start);
  if (condition->count == CONDITION_COMPARISONS_MAX)
    return refuse(error, "'%.*s' is one comparison too many; at most %d are possible", (int)length, start,
                  CONDITION_COMPARISONS_MAX);
  snprintf(part, sizeof part, "%.*s", (int)length, start);
  return parse_comparison(part, &condition->comparisons[condition->count++], error);
}

struct condition *condition_parse(const char *text, char error[CONDITION_ERROR_SIZE]) {
  struct condition *condition = calloc(1, sizeof *condition);
  if (!condition) {
    refuse(error, "out of memory");
    return NULL;
  }
  for (;;) {
    size_t length = strcspn(text, ",");
    if (!parse_part(condition, text, length, error)) {
      condition_destroy(condition);
      return NULL;
    }
    if (text[length] == '\0')
      return condition;
    text += length + 1;
  }
}

void condition_destroy(struct condition *condition) { free(condition); }

static double measured(const struct measure *measure, const struct result_target *target,
                       const struct result_totals *totals) {
  if (target->run_count == 0)
    return NAN;
  switch (measure->subject) {
  case SUBJECT_QUANTILE:
    return result_quantile(target, SERIES_LATENCY, measure->quantile).median;
  case SUBJECT_FIGURE:
    return result_figure(target, measure->figure).median;
  case SUBJECT_MAX:
    return totals->max_us;
  case SUBJECT_LOSS:
    return totals->sent ? (double)(totals->timeouts + totals->errors) / (double)totals->sent * 100 : NAN;
  case SUBJECT_ERRORS:
    return (double)totals->errors;
  case SUBJECT_TIMEOUTS:
    return (double)totals->timeouts;
  case SUBJECT_WRONG:
    return (double)totals->wrong;
  }
  return NAN;
}

/* False for NAN, whatever the relation. */
static bool is_met(const struct comparison *comparison, double value) {
  switch (comparison->relation) {
  case RELATION_LESS:
    return value < comparison->wanted;
  case RELATION_AT_MOST:
    return value <= comparison->wanted;
  case RELATION_MORE:
    return value > comparison->wanted;
  case RELATION_AT_LEAST:
    return value >= comparison->wanted;
  }
  return false;
}

/* In the unit that was written, rounded as far as the rounded value still fails. */
static void explain_value(const struct comparison *comparison, double value, FILE *explain) {
  const double factor = comparison->unit->factor;
  double shown = value / factor;
  int magnitude = shown > 0 ? (int)floor(log10(shown)) : 0;
  char text[64];
  for (int digits = 3; digits <= 17; digits++) {
    int decimals = digits - 1 - magnitude;
    bool is_whole = decimals < 0 || comparison->measure->kind == KIND_COUNT;
    snprintf(text, sizeof text, "%.*f", is_whole ? 0 : decimals, shown);
    if (!is_met(comparison, strtod(text, NULL) * factor))
      break;
  }
  fprintf(explain, "%s = %s%s, wanted %s %s\n", comparison->measure->name, text, comparison->unit->name,
          comparison->relation_text, comparison->wanted_text);
}

bool condition_holds(const struct condition *condition, const struct result_target *target, FILE *explain) {
  struct result_totals totals;
  result_total(target, &totals);
  bool holds = true;
  for (size_t i = 0; i < condition->count; i++) {
    const struct comparison *comparison = &condition->comparisons[i];
    double value = measured(comparison->measure, target, &totals);
    if (is_met(comparison, value))
      continue;
    holds = false;
    if (explain && isnan(value))
      fprintf(explain, "%s is unknown, wanted %s %s\n", comparison->measure->name, comparison->relation_text,
              comparison->wanted_text);
    else if (explain)
      explain_value(comparison, value, explain);
  }
  return holds;
}
