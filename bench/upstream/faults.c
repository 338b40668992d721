#include "faults.h"

#include <ctype.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum delay_kind { DELAY_NONE, DELAY_BETWEEN, DELAY_EXPONENTIAL };

struct rule {
  char *text, *pattern;
  uint16_t type; /* 0: any */
  bool has_answer, has_loss;
  enum fault_answer answer;
  enum delay_kind delay;
  double least_ms, most_ms, loss;
  uint64_t used;
};

struct faults {
  struct rule *rules;
  size_t count;
};

static const char *const answers[FAULT_COUNT] = {[FAULT_NONE] = "none",
                                                 [FAULT_SILENT] = "silent",
                                                 [FAULT_SERVFAIL] = "servfail",
                                                 [FAULT_REFUSED] = "refused",
                                                 [FAULT_NOTIMP] = "notimp",
                                                 [FAULT_FORMERR] = "formerr",
                                                 [FAULT_TC] = "tc",
                                                 [FAULT_GARBAGE] = "garbage",
                                                 [FAULT_TRUNCATE] = "truncate",
                                                 [FAULT_WRONG_ID] = "wrong-id",
                                                 [FAULT_NO_EDNS] = "no-edns",
                                                 [FAULT_WRONG_QUESTION] = "wrong-question"};

struct faults *faults_create(void) {
  return calloc(1, sizeof(struct faults));
}

static void rule_fini(struct rule *rule) {
  free(rule->text);
  free(rule->pattern);
}

void faults_destroy(struct faults *faults) {
  if (!faults)
    return;
  for (size_t i = 0; i < faults->count; i++)
    rule_fini(&faults->rules[i]);
  free(faults->rules);
  free(faults);
}

/* A number from 0 to `most`, up to `end`. */
static bool read_number(const char *text, char end, double most, double *out, const char **rest) {
  char *after;
  if (!isdigit((unsigned char)*text) && *text != '.')
    return false;
  *out = strtod(text, &after);
  if (after == text || *after != end || !(*out >= 0 && *out <= most))
    return false;
  *rest = after + (end != '\0');
  return true;
}

/* MS, MIN-MAX or exp:MEAN. */
static bool read_delay(const char *text, struct rule *rule) {
  const char *rest;
  if (strncmp(text, "exp:", 4) == 0) {
    rule->delay = DELAY_EXPONENTIAL;
    return read_number(text + 4, '\0', FAULT_DELAY_MAX_MS, &rule->most_ms, &rest);
  }
  rule->delay = DELAY_BETWEEN;
  if (read_number(text, '\0', FAULT_DELAY_MAX_MS, &rule->most_ms, &rest)) {
    rule->least_ms = rule->most_ms;
    return true;
  }
  return read_number(text, '-', FAULT_DELAY_MAX_MS, &rule->least_ms, &rest) &&
         read_number(rest, '\0', FAULT_DELAY_MAX_MS, &rule->most_ms, &rest) &&
         rule->least_ms <= rule->most_ms;
}

static int read_what(const char *what, struct rule *rule, char error[FAULTS_ERROR_SIZE]) {
  const char *rest;
  if (strncmp(what, "delay=", 6) == 0) {
    if (read_delay(what + 6, rule))
      return 0;
    snprintf(error, FAULTS_ERROR_SIZE, "'%.80s' is no delay: MS, MIN-MAX or exp:MEAN, %d ms at most",
             what + 6, FAULT_DELAY_MAX_MS);
    return -1;
  }
  if (strncmp(what, "loss=", 5) == 0) {
    rule->has_loss = true;
    if (read_number(what + 5, '\0', 1, &rule->loss, &rest))
      return 0;
    snprintf(error, FAULTS_ERROR_SIZE, "'%.80s' is no share: a number from 0 to 1", what + 5);
    return -1;
  }
  rule->has_answer = true;
  for (int i = 0; i < FAULT_COUNT; i++) {
    rule->answer = (enum fault_answer)i;
    if (strcmp(answers[i], what) == 0)
      return 0;
  }
  snprintf(error, FAULTS_ERROR_SIZE,
           "'%.80s' is no fault: delay=, loss=, silent, servfail, refused, notimp, formerr, tc, "
           "garbage, truncate, wrong-id, wrong-question, no-edns, none",
           what);
  return -1;
}

/* Splits PATTERN[/TYPE] of `length` octets. */
static int read_pattern(const char *text, size_t length, struct rule *rule, char error[FAULTS_ERROR_SIZE]) {
  rule->pattern = strndup(text, length);
  if (!rule->pattern) {
    snprintf(error, FAULTS_ERROR_SIZE, "not enough memory");
    return -1;
  }
  char *type = strrchr(rule->pattern, '/');
  if (type) {
    *type++ = '\0';
    rule->type = record_type_parse(type);
    if (rule->type == 0) {
      snprintf(error, FAULTS_ERROR_SIZE, "'%.40s' is no type: A, AAAA, MX, CNAME, SOA, NS or TXT", type);
      return -1;
    }
  }
  length = strlen(rule->pattern);
  if (length > 1 && rule->pattern[length - 1] == '.')
    rule->pattern[length - 1] = '\0';
  for (char *c = rule->pattern; *c; c++)
    *c = (char)tolower((unsigned char)*c);
  if (rule->pattern[0])
    return 0;
  snprintf(error, FAULTS_ERROR_SIZE, "a fault without a pattern; '*' is every name");
  return -1;
}

int faults_add(struct faults *faults, const char *text, char error[FAULTS_ERROR_SIZE]) {
  struct rule rule = {.text = strdup(text)};
  const char *equals = strchr(text, '=');
  struct rule *more = realloc(faults->rules, (faults->count + 1) * sizeof(rule));
  if (more)
    faults->rules = more;
  if (!more || !rule.text) {
    snprintf(error, FAULTS_ERROR_SIZE, "not enough memory");
  } else if (!equals) {
    snprintf(error, FAULTS_ERROR_SIZE, "'%.80s' is no rule: PATTERN[/TYPE]=WHAT", text);
  } else if (!read_pattern(text, (size_t)(equals - text), &rule, error) &&
             !read_what(equals + 1, &rule, error)) {
    faults->rules[faults->count++] = rule;
    return 0;
  }
  rule_fini(&rule);
  return -1;
}

/* From 0 up to 1, another one for each `salt`. */
static double share_of(uint64_t draw, uint64_t salt) {
  return (double)(dname_mix(draw, salt) >> 11) * 0x1p-53;
}

static uint64_t delay_of(const struct rule *rule, double share) {
  double ms = rule->delay == DELAY_EXPONENTIAL ? -rule->most_ms * log(1 - share)
                                               : rule->least_ms + (rule->most_ms - rule->least_ms) * share;
  return (uint64_t)(ms * 1e6);
}

struct fault faults_judge(struct faults *faults, const struct dname *name, uint16_t type, uint64_t draw) {
  struct fault fault = {.answer = FAULT_NONE};
  char text[DNAME_TEXT_SIZE] = "";
  for (size_t i = 0; i < faults->count; i++) {
    struct rule *rule = &faults->rules[i];
    if (rule->type != 0 && rule->type != type)
      continue;
    if (strcmp(rule->pattern, "*") != 0) {
      if (!text[0])
        dname_text(name, text);
      if (fnmatch(rule->pattern, text, 0) != 0)
        continue;
    }
    rule->used++;
    if (rule->has_answer)
      fault.answer = rule->answer;
    if (rule->has_loss)
      fault.is_lost = share_of(draw, 1) < rule->loss;
    if (rule->delay != DELAY_NONE)
      fault.delay_ns = delay_of(rule, share_of(draw, 2));
  }
  return fault;
}

void faults_print(const struct faults *faults, FILE *out) {
  for (size_t i = 0; i < faults->count; i++)
    fprintf(out, "fault %s %" PRIu64 "\n", faults->rules[i].text, faults->rules[i].used);
}
