#include "redis/rediserror.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

enum { TEXT_MAX = 200 };

static const struct {
  const char *word;
  enum rediserror_scope scope;
  const char *advice;
} table[REDISERROR_COUNT] = {
#define REDISERROR_ROW(name, word, scope, advice) [REDISERROR_##name] = {word, REDISERROR_##scope, advice},
    REDISERROR_TABLE(REDISERROR_ROW)
#undef REDISERROR_ROW
};

/* Whether `text` begins with `word`, as a whole. */
static bool has_word(const char *text, size_t length, const char *word) {
  size_t size = strlen(word);
  return length >= size && memcmp(text, word, size) == 0 &&
         (length == size || !((text[size] >= 'A' && text[size] <= 'Z') || text[size] == '_'));
}

enum rediserror rediserror_parse(const char *text, size_t length) {
  for (enum rediserror error = 0; error < REDISERROR_OTHER; error++)
    if (has_word(text, length, table[error].word))
      return error;
  return REDISERROR_OTHER;
}

enum rediserror_scope rediserror_scope(enum rediserror error) { return table[error].scope; }

bool rediserror_is_useless(enum rediserror error) { return table[error].scope == REDISERROR_SERVER; }

void rediserror_quote(char *to, size_t size, const char *text, size_t length) {
  if (length >= size)
    length = size - 1;
  for (size_t i = 0; i < length; i++)
    to[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
  to[length] = '\0';
}

const char *rediserror_advice(enum rediserror error) { return table[error].advice; }

/* Redirections are the daily bread of a cluster, and no trouble. */
static bool is_ordinary(enum rediserror error) {
  return error == REDISERROR_MOVED || error == REDISERROR_ASK || error == REDISERROR_TRYAGAIN;
}

bool rediserror_log(struct rediserror_log *log, enum rediserror error, const char *text, size_t length,
                    const char *server, int64_t now_ms) {
  if (now_ms < log->next_at_ms[error]) {
    log->unsaid[error]++;
    return false;
  }
  char unsaid[48] = "";
  if (log->unsaid[error] > 0)
    snprintf(unsaid, sizeof(unsaid), " (and %" PRIu32 " more like it before)", log->unsaid[error]);
  int shown = length < TEXT_MAX ? (int)length : TEXT_MAX;
  (is_ordinary(error) ? log_info : log_warning)("redis %s answers \"%.*s\": %s%s", server, shown, text,
                                                rediserror_advice(error), unsaid);
  log->next_at_ms[error] = now_ms + REDISERROR_LOG_MS;
  log->unsaid[error] = 0;
  return true;
}
