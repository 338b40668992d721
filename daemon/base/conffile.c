#include "base/conffile.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { FILE_MAX = 1 << 20 };

/* The file under way. */
static struct {
  const char *path;
  const struct conffile_option *options;
  size_t option_count;
  const struct conffile_handlers *handlers;
  bool is_pair_told; /* of a keyed option, the last that was read */
  char *error;
  size_t error_size;
} reading;

static int fail(const char *reason) {
  snprintf(reading.error, reading.error_size, "%s: %s", reading.path, reason);
  return ERR_CONFIG;
}

static int fail_in_line(int line, const char *name, const char *reason) {
  snprintf(reading.error, reading.error_size, "%s:%d: %s%s%s", reading.path, line, name, *name ? ": " : "",
           reason);
  return ERR_CONFIG;
}

static int fail_at(const char *text, const char *at, const char *reason) {
  int line = 1;
  for (; text < at; text++)
    line += *text == '\n';
  return fail_in_line(line, "", reason);
}

static void blank(char *from, const char *end) {
  for (; from < end; from++)
    if (*from != '\n')
      *from = ' ';
}

/* The end of the string that begins at `at`; NULL with a reason if libconfuse could lose its way in it. */
static char *skip_string(char *at, const char **reason) {
  const char quote = *at++;
  for (; *at != quote; at++) {
    *reason = "a string is not closed";
    if (!*at)
      return NULL;
    if (*at == '\\' && quote == '"') {
      *reason = "a string has an escape by number";
      if (isdigit((unsigned char)at[1]) || at[1] == 'x')
        return NULL;
    }
    if (*at == '\\' && at[1]) {
      at++;
    } else if (strncmp(at, "${", 2) == 0 && quote == '"') {
      *reason = "a ${ is not closed";
      at += strcspn(at, "}\"\n");
      if (*at != '}')
        return NULL;
    }
  }
  return at + 1;
}

static char *skip_word(char *at, const char **reason) {
  size_t length = strcspn(at, " #\"'\t\n\r={}()+,*");
  if (length > 0 && strncmp(at + length - 1, "${", 2) == 0) {
    *reason = "a ${ outside of double quotes";
    return NULL;
  }
  return at + length;
}

static const char keyed_expected[] = "expected NAME \"KEY\" = \"VALUE\"", list_start[] = "+={";

enum token { TOKEN_BLANK, TOKEN_VALUE, TOKEN_SIGN };

/* The kind of the token at `at` (at the end of the text a sign) and its end, NULL with a reason where it
 * has none. A comment becomes a blank. */
static enum token next_token(char *at, char **end, const char **reason) {
  *end = at + 1;
  if (*at == '"' || *at == '\'') {
    *end = skip_string(at, reason);
    return TOKEN_VALUE;
  }
  if (strspn(at, " \t\n\r") > 0)
    return TOKEN_BLANK;
  if (*at == '#' || strncmp(at, "//", 2) == 0) {
    blank(at, *end = at + strcspn(at, "\n"));
    return TOKEN_BLANK;
  }
  if (strncmp(at, "/*", 2) == 0) {
    *reason = "a comment is not closed";
    *end = strstr(at + 2, "*/");
    if (*end)
      blank(at, *end += 2);
    return TOKEN_BLANK;
  }
  if (strchr("={}()+,*", *at))
    return TOKEN_SIGN;
  *end = skip_word(at, reason);
  return TOKEN_VALUE;
}

static const struct conffile_option *find_keyed(const char *name, size_t length) {
  for (size_t i = 0; i < reading.option_count; i++)
    if (reading.options[i].is_keyed && strncmp(reading.options[i].name, name, length) == 0 &&
        !reading.options[i].name[length])
      return &reading.options[i];
  return NULL;
}

static char *copy(char *out, const char *from, const char *end) {
  memcpy(out, from, (size_t)(end - from));
  return out + (end - from);
}

static char *copy_blanks(char *at, char **out, const char **reason) {
  char *end;
  while (next_token(at, &end, reason) == TOKEN_BLANK) {
    if (!end)
      return NULL;
    *out = copy(*out, at, end);
    at = end;
  }
  return at;
}

/* Copies the value that comes next, and the blanks before it. */
static char *copy_value(char *at, char **out, const char **reason) {
  char *end;
  at = copy_blanks(at, out, reason);
  if (!at)
    return NULL;
  if (next_token(at, &end, reason) != TOKEN_VALUE) {
    *reason = keyed_expected;
    return NULL;
  }
  if (end)
    *out = copy(*out, at, end);
  return end;
}

/* libconfuse knows no name "key" = value: from `at`, where the name has ended, it is copied as the list
 * name+={"key", value}. Returns its end, or NULL with a reason. */
static char *copy_keyed(char *at, char **out, const char **reason) {
  *out = copy(*out, list_start, list_start + strlen(list_start));
  at = copy_value(at, out, reason);
  if (at)
    at = copy_blanks(at, out, reason);
  if (at && *at != '=') {
    *reason = keyed_expected;
    return NULL;
  }
  if (!at)
    return NULL;
  *(*out)++ = ',';
  at = copy_value(at + 1, out, reason);
  *(*out)++ = '}';
  return at;
}

/* libconfuse counts a comment as several lines, stops at one inside a list,
 * takes an open one for the end of the file, and after an error inside a string
 * begins the next file there. So comments are blanked, strings checked and
 * keyed options made lists before it reads. Copies `text`; `out` has room for
 * twice its length: a keyed option has five octets or more and grows by four. */
static int prepare(char *text, char *out) {
  const char *reason = NULL;
  bool is_start = true; /* a statement may begin at `at` */
  for (char *at = text, *end; *at; at = end) {
    enum token kind = next_token(at, &end, &reason);
    if (!end)
      return fail_at(text, at, reason);
    out = copy(out, at, end);
    if (kind == TOKEN_VALUE && is_start && find_keyed(at, (size_t)(end - at)) &&
        !(end = copy_keyed(end, &out, &reason)))
      return fail_at(text, at, reason);
    if (kind != TOKEN_BLANK)
      is_start = kind == TOKEN_VALUE || *at == '}';
  }
  *out = '\0';
  return 0;
}

/* The error of a control character in `text`, or 0. */
static int check_octets(char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (iscntrl((unsigned char)text[i]) && !isspace((unsigned char)text[i]))
      return fail_at(text, text + i, "a control character: this is not text");
  return 0;
}

/* The file as a string for the caller to free(); NULL after an error. */
static char *read_text(void) {
  char reason[64];
  int status = 0;
  size_t length = 0;
  char *text = malloc(FILE_MAX + 1);
  FILE *file = fopen(reading.path, "re");
  if (text && file)
    length = fread(text, 1, FILE_MAX + 1, file);
  if (!text || !file || ferror(file)) {
    status = fail(strerror(errno));
  } else if (length > FILE_MAX) {
    snprintf(reason, sizeof(reason), "longer than %d octets", FILE_MAX);
    status = fail(reason);
  } else {
    text[length] = '\0';
    status = check_octets(text, length);
  }
  if (file)
    fclose(file);
  if (status == 0)
    return text;
  free(text);
  return NULL;
}

/* libconfuse calls this after each value, and once more at the end of a list. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt) {
  char reason[CONFFILE_REASON_SIZE];
  const struct conffile_handlers *handlers = reading.handlers;
  for (unsigned i = 0; i < cfg_opt_size(opt); i++)
    if (handlers->set(handlers->context, cfg_opt_name(opt), i, cfg_opt_getnstr(opt, i), reason) != 0)
      return fail_in_line(cfg->line, cfg_opt_name(opt), reason);
  return 0;
}

/* The same for a keyed option: a list of all keys and values so far. */
static int on_keyed(cfg_t *cfg, cfg_opt_t *opt) {
  char reason[CONFFILE_REASON_SIZE];
  const struct conffile_handlers *handlers = reading.handlers;
  unsigned size = cfg_opt_size(opt);
  bool is_pair = size % 2 == 0, was_told = reading.is_pair_told;
  reading.is_pair_told = is_pair;
  if (!is_pair || was_told)
    return 0; /* only the key yet, or the end of the list */
  if (handlers->set_keyed(handlers->context, cfg_opt_name(opt), cfg_opt_getnstr(opt, size - 2),
                          cfg_opt_getnstr(opt, size - 1), reason) != 0)
    return fail_in_line(cfg->line, cfg_opt_name(opt), reason);
  return 0;
}

static void on_error(cfg_t *cfg, const char *format, va_list arguments) {
  static const char unknown[] = "no such option '";
  char reason[CONFFILE_REASON_SIZE];
  if (vsnprintf(reason, sizeof(reason), format, arguments) < 0)
    reason[0] = '\0';
  if (strncmp(reason, unknown, sizeof(unknown) - 1) == 0) {
    char name[CONFFILE_REASON_SIZE];
    snprintf(name, sizeof(name), "%s", reason + sizeof(unknown) - 1);
    name[strcspn(name, "'")] = '\0';
    reading.handlers->explain_unknown(name, reason);
  }
  fail_in_line(cfg->line, "", reason);
}

/* A tree that knows the options; NULL without memory. */
static cfg_t *create_tree(const struct conffile_option *options, size_t count) {
  const cfg_opt_t end = CFG_END();
  cfg_opt_t *opts = calloc(count + 1, sizeof(*opts));
  if (!opts)
    return NULL;
  for (size_t i = 0; i < count; i++) {
    bool is_list = options[i].is_list || options[i].is_keyed;
    const cfg_opt_t opt = CFG_STR(options[i].name, NULL, CFGF_NODEFAULT | (is_list ? CFGF_LIST : CFGF_NONE));
    opts[i] = opt;
    opts[i].validcb = options[i].is_keyed ? on_keyed : on_value;
  }
  opts[count] = end;
  cfg_t *cfg = cfg_init(opts, CFGF_NONE); /* copies them */
  free(opts);
  if (cfg)
    cfg_set_error_function(cfg, on_error);
  return cfg;
}

/* An empty list has no value that on_value would be called for. */
static void set_empty_lists(cfg_t *cfg) {
  char reason[CONFFILE_REASON_SIZE];
  const struct conffile_handlers *handlers = reading.handlers;
  cfg_opt_t *opt;
  for (unsigned i = 0; (opt = cfg_getnopt(cfg, i)); i++)
    if (cfg_opt_size(opt) == 0 && opt->flags & CFGF_MODIFIED)
      handlers->set(handlers->context, cfg_opt_name(opt), 0, NULL, reason);
}

int conffile_parse(const char *path, const struct conffile_option *options, size_t option_count,
                   const struct conffile_handlers *handlers, char *error, size_t error_size) {
  reading.path = path;
  reading.options = options;
  reading.option_count = option_count;
  reading.handlers = handlers;
  reading.is_pair_told = false;
  reading.error = error;
  reading.error_size = error_size;
  error[0] = '\0';
  char *text = read_text();
  if (!text)
    return ERR_CONFIG;
  char *prepared = malloc(2 * strlen(text) + 1);
  cfg_t *cfg = create_tree(options, option_count);
  int status = prepared && cfg ? prepare(text, prepared) : ERR_CONFIG;
  if (status == 0)
    status = cfg_parse_buf(cfg, prepared) == CFG_SUCCESS ? 0 : ERR_CONFIG;
  if (status == 0)
    set_empty_lists(cfg);
  else if (!*error)
    fail(error_text(ERR_NOMEM));
  cfg_free(cfg);
  free(prepared);
  free(text);
  return status;
}

void conffile_print_quoted(const char *text, FILE *out) {
  fputc('"', out);
  for (; *text; text++) {
    if (strchr("\"\\$", *text))
      fputc('\\', out);
    fputc(*text, out);
  }
  fputc('"', out);
}
