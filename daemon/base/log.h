/*
 * log: messages to standard error, one line each.
 *
 * On a terminal a line reads "mxwayd: warning: ...", elsewhere it begins with
 * the "<4>" that journald and syslog take for its level (sd-daemon(3)). Any thread;
 * one write(2) a line. Control characters and 8-bit octets of foreign text are
 * escaped as \xNN, lines are cut at 1000 octets.
 */
#ifndef MXWAY_DAEMON_LOG_H
#define MXWAY_DAEMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* syslog's numbers. */
enum log_level {
  LOG_LEVEL_ERROR = 3,
  LOG_LEVEL_WARNING = 4,
  LOG_LEVEL_NOTICE = 5,
  LOG_LEVEL_INFO = 6,
  LOG_LEVEL_DEBUG = 7
};

/* Messages above `level` are dropped. Default LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* "error", "warning", "notice", "info", "debug" to a level; false for another word. */
bool log_level_parse(const char *word, enum log_level *level);

/* The word of `level`; static storage. */
const char *log_level_name(enum log_level level);

enum { LOG_PAUSE_MS = 60000 };

/* Whether a line is due that is to come once in LOG_PAUSE_MS, however often there is reason for it: for what
 * strangers can cause. `*next_ms` is 0 before the first. */
static inline bool log_is_due(int64_t *next_ms, int64_t now_ms) {
  if (now_ms < *next_ms)
    return false;
  *next_ms = now_ms + LOG_PAUSE_MS;
  return true;
}

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
