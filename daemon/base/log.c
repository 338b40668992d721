#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_LENGTH = 1000, ESCAPE_LENGTH = 4 };

static const struct {
  enum log_level level;
  const char *word;
} words[] = {
    {LOG_LEVEL_ERROR, "error"}, {LOG_LEVEL_WARNING, "warning"}, {LOG_LEVEL_NOTICE, "notice"},
    {LOG_LEVEL_INFO, "info"},   {LOG_LEVEL_DEBUG, "debug"},
};

static _Atomic int threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level) {
  atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

bool log_level_parse(const char *word, enum log_level *level) {
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
    if (strcmp(words[i].word, word) == 0) {
      *level = words[i].level;
      return true;
    }
  return false;
}

const char *log_level_name(enum log_level level) { return words[level - LOG_LEVEL_ERROR].word; }

static size_t put_prefix(char *line, enum log_level level) {
  int length = isatty(STDERR_FILENO) ? snprintf(line, LINE_MAX_LENGTH, "mxwayd: %s: ", log_level_name(level))
                                     : snprintf(line, LINE_MAX_LENGTH, "<%d>", (int)level);
  return (size_t)length;
}

/* Appends `text`, escaped, to the `length` octets of `line` and leaves room for
 * a newline. An escape is never cut in two. Returns the new length. */
static size_t put_escaped(char *line, size_t length, const char *text) {
  static const char digits[] = "0123456789abcdef";
  for (; *text; text++) {
    unsigned char octet = (unsigned char)*text;
    bool plain = octet >= 0x20 && octet < 0x7f;
    if (length + (plain ? 1 : ESCAPE_LENGTH) > LINE_MAX_LENGTH - 1)
      break;
    if (plain) {
      line[length++] = *text;
      continue;
    }
    line[length++] = '\\';
    line[length++] = 'x';
    line[length++] = digits[octet >> 4];
    line[length++] = digits[octet & 15];
  }
  return length;
}

static void put_line(enum log_level level, const char *format, va_list arguments) {
  if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
    return;
  int saved_errno = errno;
  char text[LINE_MAX_LENGTH + 1];
  char line[LINE_MAX_LENGTH];
  if (vsnprintf(text, sizeof(text), format, arguments) < 0)
    text[0] = '\0';
  size_t length = put_escaped(line, put_prefix(line, level), text);
  line[length++] = '\n';
  /* Nobody can be told of a log that cannot be written: the line is lost. */
  while (write(STDERR_FILENO, line, length) < 0 && errno == EINTR)
    continue;
  errno = saved_errno;
}

#define DEFINE_LOG(name, level)                                                                              \
  void name(const char *format, ...) {                                                                       \
    va_list arguments;                                                                                       \
    va_start(arguments, format);                                                                             \
    put_line(level, format, arguments);                                                                      \
    va_end(arguments);                                                                                       \
  }

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG(log_notice, LOG_LEVEL_NOTICE)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)
