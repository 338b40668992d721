#include "queries.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum { NAME_MAX_OCTETS = 253 }; /* RFC 1035 section 2.3.4, as text */

struct line {
  size_t offset; /* into names */
  uint16_t type;
  uint8_t length;
};

/* What the rejection-inversion of Hormann and Derflinger (1996) needs: a Zipf law over any
 * number of names in constant memory and time. */
struct zipf {
  double exponent, integral_first, integral_last, shortcut;
};

struct queries {
  size_t count;
  uint64_t hash;
  bool is_file;
  /* of a file */
  char *names;
  size_t names_length, names_size, lines_size;
  struct line *lines;
  /* of a generator */
  uint64_t seed;
  bool is_zipf;
  double share_nx, share_new;
  struct zipf zipf;
};

/* ---- a file ---- */

static const struct {
  const char *name;
  uint16_t type;
} types[] = {
    {"A", 1},      {"NS", 2},     {"CNAME", 5},   {"SOA", 6},   {"PTR", 12},    {"HINFO", 13}, {"MX", 15},
    {"TXT", 16},   {"AAAA", 28},  {"LOC", 29},    {"SRV", 33},  {"NAPTR", 35},  {"DNAME", 39}, {"DS", 43},
    {"SSHFP", 44}, {"RRSIG", 46}, {"DNSKEY", 48}, {"TLSA", 52}, {"SMIMEA", 53}, {"CDS", 59},   {"SVCB", 64},
    {"HTTPS", 65}, {"SPF", 99},   {"ANY", 255},   {"URI", 256}, {"CAA", 257},
};

/* 0 for an unknown one; RFC 3597's TYPE123 is known. */
static uint16_t parse_type(const char *text) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcasecmp(text, types[i].name) == 0)
      return types[i].type;
  if (strncasecmp(text, "TYPE", 4) != 0 || text[4] < '0' || text[4] > '9')
    return 0;
  char *end;
  unsigned long number = strtoul(text + 4, &end, 10);
  return *end || number > UINT16_MAX ? 0 : (uint16_t)number;
}

/* Room for one more of `size` octets in an array that doubles. */
static bool grow(void **array, size_t *allocated, size_t needed, size_t size) {
  if (needed <= *allocated)
    return true;
  size_t count = *allocated ? *allocated * 2 : 1024;
  while (count < needed)
    count *= 2;
  void *larger = reallocarray(*array, count, size);
  if (!larger)
    return false;
  *array = larger;
  *allocated = count;
  return true;
}

static bool add_line(struct queries *queries, const char *name, size_t length, uint16_t type) {
  if (!grow((void **)&queries->names, &queries->names_size, queries->names_length + length, 1) ||
      !grow((void **)&queries->lines, &queries->lines_size, queries->count + 1, sizeof *queries->lines))
    return false;
  memcpy(queries->names + queries->names_length, name, length);
  queries->lines[queries->count++] = (struct line){queries->names_length, type, (uint8_t)length};
  queries->names_length += length;
  return true;
}

/* Takes one line apart; what is wrong with it, or NULL. */
static const char *read_line(struct queries *queries, char *line, size_t length) {
  if (memchr(line, '\0', length))
    return "a NUL octet";
  char *rest = line;
  char *words[3] = {NULL};
  for (size_t i = 0; i < 3; i++) {
    rest += strspn(rest, " \t\r\n");
    if (!*rest)
      break;
    words[i] = rest;
    rest += strcspn(rest, " \t\r\n");
    if (*rest)
      *rest++ = '\0';
  }
  if (!words[0] || words[0][0] == '#')
    return NULL;
  if (words[2])
    return "more than a name and a type";
  size_t name_length = strlen(words[0]);
  if (name_length > NAME_MAX_OCTETS + (words[0][name_length - 1] == '.'))
    return "the name is longer than 253 octets";
  uint16_t type = words[1] ? parse_type(words[1]) : 0;
  if (words[1] && type == 0)
    return "unknown type";
  return add_line(queries, words[0], name_length, type) ? NULL : "out of memory";
}

static bool read_lines(struct queries *queries, FILE *file, const char *path, char *error) {
  XXH3_state_t *hash = XXH3_createState();
  if (!hash)
    return false;
  XXH3_64bits_reset(hash);
  char *line = NULL;
  size_t size = 0, number = 0;
  ssize_t length;
  const char *wrong = NULL;
  while (!wrong && (length = getline(&line, &size, file)) >= 0) {
    number++;
    XXH3_64bits_update(hash, line, (size_t)length);
    wrong = read_line(queries, line, (size_t)length);
  }
  if (wrong)
    snprintf(error, QUERIES_ERROR_SIZE, "%s:%zu: %s", path, number, wrong);
  else if (ferror(file))
    snprintf(error, QUERIES_ERROR_SIZE, "%s: %s", path, strerror(errno));
  else if (queries->count == 0)
    snprintf(error, QUERIES_ERROR_SIZE, "%s: there is no query in it", path);
  queries->hash = XXH3_64bits_digest(hash);
  XXH3_freeState(hash);
  free(line);
  return !wrong && !ferror(file) && queries->count > 0;
}

struct queries *queries_load(const char *path, char error[QUERIES_ERROR_SIZE]) {
  bool is_stdin = strcmp(path, "-") == 0;
  FILE *file = is_stdin ? stdin : fopen(path, "re");
  const char *shown = is_stdin ? "standard input" : path;
  struct queries *queries = calloc(1, sizeof *queries);
  if (!file || !queries) {
    snprintf(error, QUERIES_ERROR_SIZE, "%s: %s", shown, strerror(file ? ENOMEM : errno));
    free(queries);
    return NULL;
  }
  queries->is_file = true;
  bool is_read = read_lines(queries, file, shown, error);
  if (!is_stdin)
    fclose(file);
  if (is_read)
    return queries;
  queries_destroy(queries);
  return NULL;
}

void queries_destroy(struct queries *queries) {
  if (!queries)
    return;
  free(queries->names);
  free(queries->lines);
  free(queries);
}

/* ---- a generator ---- */

/* The integral of x^-s from 1 to x, also near s = 1. */
static double integral(double exponent, double x) {
  double logarithm = log(x), power = (1 - exponent) * logarithm;
  return fabs(power) > 1e-8 ? logarithm * expm1(power) / power : logarithm * (1 + power / 2);
}

static double integral_inverse(double exponent, double value) {
  double power = fmax(value * (1 - exponent), -1);
  return exp(fabs(power) > 1e-8 ? value * log1p(power) / power : value * (1 - power / 2));
}

static double density(double exponent, double x) { return exp(-exponent * log(x)); }

static void zipf_init(struct zipf *zipf, double exponent, size_t count) {
  zipf->exponent = exponent;
  zipf->integral_first = integral(exponent, 1.5) - 1;
  zipf->integral_last = integral(exponent, (double)count + 0.5);
  zipf->shortcut = 2 - integral_inverse(exponent, integral(exponent, 2.5) - density(exponent, 2));
}

/* splitmix64: a bijection, so that different inputs never meet. */
static uint64_t mix(uint64_t value) {
  value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
  return value ^ value >> 31;
}

static uint64_t draw(struct query_cursor *cursor) {
  return mix(cursor->random += UINT64_C(0x9e3779b97f4a7c15));
}

/* From 0 to below 1. */
static double draw_share(struct query_cursor *cursor) { return (double)(draw(cursor) >> 11) * 0x1p-53; }

static uint64_t draw_zipf(struct query_cursor *cursor, const struct zipf *zipf, size_t count) {
  for (;;) {
    double at = zipf->integral_last + draw_share(cursor) * (zipf->integral_first - zipf->integral_last);
    double x = integral_inverse(zipf->exponent, at);
    double rank = fmin(fmax(floor(x + 0.5), 1), (double)count);
    if (rank - x <= zipf->shortcut ||
        at >= integral(zipf->exponent, rank + 0.5) - density(zipf->exponent, rank))
      return (uint64_t)rank - 1;
  }
}

static uint64_t draw_below(struct query_cursor *cursor, size_t count) {
  return (uint64_t)(draw_share(cursor) * (double)count);
}

static bool parse_number(const char *text, double least, double most, double *number) {
  char *end;
  *number = strtod(text, &end);
  return end != text && !*end && *number >= least && *number <= most;
}

static bool set_option(struct queries *queries, const char *name, const char *value) {
  double number;
  if (strcmp(name, "n") == 0 && parse_number(value, 1, 1e12, &number) && floor(number) == number) {
    queries->count = (size_t)number;
    return true;
  }
  if (strcmp(name, "s") == 0 && queries->is_zipf)
    return parse_number(value, 0.01, 10, &queries->zipf.exponent);
  if (strcmp(name, "nx") == 0)
    return parse_number(value, 0, 1, &queries->share_nx);
  if (strcmp(name, "new") == 0)
    return parse_number(value, 0, 1, &queries->share_new);
  return false;
}

static bool parse_generator(struct queries *queries, char *text, char *error) {
  char *options = text + strcspn(text, ":");
  if (*options)
    *options++ = '\0';
  queries->is_zipf = strcmp(text, "zipf") == 0;
  if (!queries->is_zipf && strcmp(text, "uniform") != 0) {
    snprintf(error, QUERIES_ERROR_SIZE, "no generator '%s': there are zipf and uniform", text);
    return false;
  }
  char *option;
  while ((option = strsep(&options, ",")) != NULL) {
    char *value = option + strcspn(option, "=");
    if (*value)
      *value++ = '\0';
    if (*option && !set_option(queries, option, value)) {
      snprintf(error, QUERIES_ERROR_SIZE, "bad '%s=%s': a generator has n=COUNT, nx=SHARE, new=SHARE%s",
               option, value, queries->is_zipf ? ", s=EXPONENT (0.01 to 10)" : "");
      return false;
    }
  }
  if (queries->share_nx + queries->share_new > 1) {
    snprintf(error, QUERIES_ERROR_SIZE, "the shares nx and new are more than 1 together");
    return false;
  }
  return true;
}

struct queries *queries_generate(const char *spec, uint64_t seed, char error[QUERIES_ERROR_SIZE]) {
  struct queries *queries = calloc(1, sizeof *queries);
  char *text = strdup(spec);
  snprintf(error, QUERIES_ERROR_SIZE, "out of memory");
  if (queries && text) {
    queries->seed = seed;
    queries->count = 100000;
    queries->zipf.exponent = 1;
  }
  if (!queries || !text || !parse_generator(queries, text, error)) {
    free(text);
    queries_destroy(queries);
    return NULL;
  }
  free(text);
  zipf_init(&queries->zipf, queries->zipf.exponent, queries->count);
  queries->hash = XXH3_64bits_withSeed(spec, strlen(spec), seed);
  return queries;
}

/* ---- drawing ---- */

size_t queries_count(const struct queries *queries) { return queries->count; }
bool queries_is_file(const struct queries *queries) { return queries->is_file; }
uint64_t queries_hash(const struct queries *queries) { return queries->hash; }

static size_t put_number(char *at, uint64_t number) {
  char digits[20];
  size_t length = 0;
  do
    digits[length++] = (char)('0' + number % 10);
  while (number /= 10);
  for (size_t i = 0; i < length; i++)
    at[i] = digits[length - 1 - i];
  return length;
}

/* By hand, because snprintf costs more than the rest of a question. */
static void build_name(struct query *query, char kind, uint64_t number, const uint64_t *unique) {
  static const char suffix[] = ".bench.test";
  char *at = query->name;
  *at++ = kind;
  at += put_number(at, number);
  if (unique) {
    *at++ = '-';
    at += put_number(at, *unique);
  }
  memcpy(at, suffix, sizeof suffix);
  query->length = (size_t)(at - query->name) + sizeof suffix - 1;
  query->type = 0;
  query->index = SIZE_MAX;
}

void queries_name(const struct queries *queries, size_t index, struct query *query) {
  if (!queries->is_file) {
    build_name(query, 'd', index, NULL);
    return;
  }
  const struct line *line = &queries->lines[index];
  memcpy(query->name, queries->names + line->offset, line->length);
  query->name[line->length] = '\0';
  query->length = line->length;
  query->type = line->type;
  query->index = index;
}

void query_cursor_init(struct query_cursor *cursor, const struct queries *queries, size_t index, size_t count,
                       uint64_t round) {
  *cursor = (struct query_cursor){.queries = queries, .step = count};
  cursor->first = cursor->at = index % queries->count;
  cursor->random = mix(mix(queries->seed) + index);
  cursor->unique = mix(cursor->random + mix(round + 1));
}

uint64_t query_cursor_share(const struct query_cursor *cursor) {
  return (cursor->queries->count - cursor->first + cursor->step - 1) / cursor->step;
}

void queries_next(struct query_cursor *cursor, struct query *query) {
  const struct queries *queries = cursor->queries;
  if (queries->is_file) {
    queries_name(queries, cursor->at, query);
    cursor->at += cursor->step;
    if (cursor->at >= queries->count) {
      cursor->at = cursor->first;
      cursor->passes++;
    }
    return;
  }
  double share = queries->share_nx + queries->share_new > 0 ? draw_share(cursor) : 1;
  if (share < queries->share_nx) {
    build_name(query, 'n', draw_below(cursor, queries->count), NULL);
  } else if (share < queries->share_nx + queries->share_new) {
    uint64_t unique = mix(cursor->unique + cursor->serial++);
    build_name(query, 'u', draw_below(cursor, queries->count), &unique);
  } else {
    build_name(query, 'd',
               queries->is_zipf ? draw_zipf(cursor, &queries->zipf, queries->count)
                                : draw_below(cursor, queries->count),
               NULL);
  }
}
