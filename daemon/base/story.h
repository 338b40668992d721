/*
 * story: what happened on the way to one answer, for a person (`mxway lookup --explain`).
 *
 * A bounded list of lines: when, which rule decided, what. Rooms tell it with story_add; without
 * a story (NULL, the usual case) telling costs one comparison. Several lookups may tell one
 * story, so references are counted. One thread. Reads the clock: its times are for the eye only.
 */
#ifndef MXWAY_DAEMON_STORY_H
#define MXWAY_DAEMON_STORY_H

#include <stddef.h>
#include <stdint.h>

/* What does not fit any more is counted and said in the last line. */
enum { STORY_LINES_MAX = 500, STORY_TEXT_SIZE = 1024 };

struct story;

struct story_line {
  uint32_t at_us;   /* since the story began, at most UINT32_MAX */
  const char *rule; /* "V8 (RFC 7505 3)", or "" */
  const char *text; /* printable ASCII, one line */
};

/* Begins a story now, with one reference. Returns NULL without memory. */
struct story *story_create(void);

/* Each of these is fine with NULL. The last unref frees it. */
struct story *story_ref(struct story *story);
void story_unref(struct story *story);

/* Adds a line. `rule` is copied, as is the text; octets that are not printable ASCII become '?'.
 * Without memory the line is lost. */
void story_add(struct story *story, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Lines so far, the one about those that did not fit included. */
size_t story_count(const struct story *story);

/* Line `at` < story_count; its texts are lent until the next story_add. */
struct story_line story_line(const struct story *story, size_t at);

#endif
