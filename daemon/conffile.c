#include "conffile.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

enum { FILE_MAX = 1 << 20 };

/* The file under way. */
static struct {
  const char *path;
  const struct conffile_handlers *handlers;
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
  return at + (length ? length : 1);
}

/* libconfuse counts a comment as several lines, stops at one inside a list,
 * takes an open one for the end of the file, and after an error inside a string
 * begins the next file there. So comments are blanked and strings checked
 * before it reads. */
static int prepare(char *text) {
  const char *reason = "a comment is not closed";
  for (char *at = text; *at;) {
    char *end = at;
    if (*at == '"' || *at == '\'') {
      end = skip_string(at, &reason);
    } else if (*at == '#' || strncmp(at, "//", 2) == 0) {
      end = at + strcspn(at, "\n");
      blank(at, end);
    } else if (strncmp(at, "/*", 2) == 0) {
      end = strstr(at + 2, "*/");
      if (end)
        blank(at, end += 2);
    } else {
      end = skip_word(at, &reason);
    }
    if (!end)
      return fail_at(text, at, reason);
    at = end;
  }
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
    const cfg_opt_t opt =
        CFG_STR(options[i].name, NULL, CFGF_NODEFAULT | (options[i].is_list ? CFGF_LIST : CFGF_NONE));
    opts[i] = opt;
    opts[i].validcb = on_value;
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
  reading.handlers = handlers;
  reading.error = error;
  reading.error_size = error_size;
  error[0] = '\0';
  char *text = read_text();
  if (!text)
    return ERR_CONFIG;
  int status = prepare(text);
  cfg_t *cfg = create_tree(options, option_count);
  if (status == 0)
    status = cfg && cfg_parse_buf(cfg, text) == CFG_SUCCESS ? 0 : ERR_CONFIG;
  if (status == 0)
    set_empty_lists(cfg);
  else if (!*error)
    fail(error_text(ERR_NOMEM));
  cfg_free(cfg);
  free(text);
  return status;
}
