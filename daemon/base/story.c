#include "base/story.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct line {
  uint32_t at_us;
  size_t rule_size; /* octets of the rule with its terminator */
  char text[];      /* rule, then text, both terminated */
};

struct story {
  int64_t began_us;
  unsigned refs;
  size_t count, lost;
  struct line *lines[STORY_LINES_MAX];
  char lost_text[64];
};

struct story *story_create(void) {
  struct story *story = calloc(1, sizeof(*story));
  if (!story)
    return NULL;
  story->began_us = clock_now_us();
  story->refs = 1;
  return story;
}

struct story *story_ref(struct story *story) {
  if (story)
    story->refs++;
  return story;
}

void story_unref(struct story *story) {
  if (!story || --story->refs > 0)
    return;
  for (size_t i = 0; i < story->count; i++)
    free(story->lines[i]);
  free(story);
}

static void make_printable(char *text) {
  for (; *text; text++)
    if (*text < 0x20 || *text > 0x7e)
      *text = '?';
}

void story_add(struct story *story, const char *rule, const char *format, ...) {
  char text[STORY_TEXT_SIZE];
  va_list arguments;
  if (!story)
    return;
  va_start(arguments, format);
  int printed = vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  size_t rule_size = strlen(rule) + 1, text_size = strlen(text) + 1;
  struct line *line = NULL;
  if (printed >= 0 && story->count < STORY_LINES_MAX)
    line = malloc(sizeof(*line) + rule_size + text_size);
  if (!line) {
    story->lost++;
    snprintf(story->lost_text, sizeof(story->lost_text), "and %zu lines more", story->lost);
    return;
  }
  int64_t at_us = clock_now_us() - story->began_us;
  line->at_us = at_us > UINT32_MAX ? UINT32_MAX : (uint32_t)at_us;
  line->rule_size = rule_size;
  memcpy(line->text, rule, rule_size);
  memcpy(line->text + rule_size, text, text_size);
  make_printable(line->text);
  make_printable(line->text + rule_size);
  story->lines[story->count++] = line;
}

size_t story_count(const struct story *story) { return story ? story->count + (story->lost > 0) : 0; }

struct story_line story_line(const struct story *story, size_t at) {
  if (at == story->count) {
    uint32_t last_us = at > 0 ? story->lines[at - 1]->at_us : 0;
    return (struct story_line){last_us, "", story->lost_text};
  }
  const struct line *line = story->lines[at];
  return (struct story_line){line->at_us, line->text, line->text + line->rule_size};
}
