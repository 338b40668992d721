/*
 * tool_wrap: words filled into lines of a terminal's width.
 *
 * A line is broken at spaces only, so that a name stays one word to copy; what is longer than a line stands
 * on a line of its own and sticks out. A line that goes on below starts at the indent. Takes
 * printable UTF-8 (tool_utf8), one column a character. Pure but for the stream.
 */
#ifndef MXWAY_CLIENT_TOOL_WRAP_H
#define MXWAY_CLIENT_TOOL_WRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct tool_wrap {
  FILE *out;
  size_t columns; /* of a line */
  size_t indent;  /* of the lines that go on */
  size_t at;      /* the column reached; after a word, the one behind it */
  bool is_fresh;  /* nothing stands on this line behind the indent */
};

/* Goes on at the column that the caller has printed to, which is also the indent. */
void tool_wrap_init(struct tool_wrap *wrap, FILE *out, size_t columns, size_t indent);

/* Puts the words of `text`, each behind a space but the first of a line. A number is not parted from the word
 * behind it. */
void tool_wrap_words(struct tool_wrap *wrap, const char *text);

/* Puts `text` unbroken, spaces and all, on this line or the next; as words where no line holds it. */
void tool_wrap_phrase(struct tool_wrap *wrap, const char *text);

#endif
