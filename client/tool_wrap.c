#include "tool_wrap.h"

#include <string.h>

#include "tool_utf8.h"

void tool_wrap_init(struct tool_wrap *wrap, FILE *out, size_t columns, size_t indent) {
  *wrap =
      (struct tool_wrap){.out = out, .columns = columns, .indent = indent, .at = indent, .is_fresh = true};
}

/* Puts octets that take `columns` columns, where there is room or nothing is gained by a new line. */
static void put(struct tool_wrap *wrap, const char *octets, size_t length, size_t columns) {
  if (!wrap->is_fresh && wrap->at + 1 + columns > wrap->columns) {
    fprintf(wrap->out, "\n%*s", (int)wrap->indent, "");
    wrap->at = wrap->indent;
    wrap->is_fresh = true;
  }
  if (!wrap->is_fresh) {
    fputc(' ', wrap->out);
    wrap->at++;
  }
  fwrite(octets, 1, length, wrap->out);
  wrap->at += columns;
  wrap->is_fresh = false;
}

/* The octets of the word at the start; a number takes the next word, perhaps its unit, along. */
static size_t word_length(const char *text) {
  size_t length = strcspn(text, " ");
  bool is_number = strspn(text, "0123456789.") == length;
  if (is_number && text[length] && text[length + 1] && text[length + 1] != ' ')
    length += 1 + strcspn(text + length + 1, " ");
  return length;
}

void tool_wrap_words(struct tool_wrap *wrap, const char *text) {
  for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
    size_t length = word_length(text);
    put(wrap, text, length, tool_utf8_columns_of(text, length));
    text += length;
  }
}

void tool_wrap_phrase(struct tool_wrap *wrap, const char *text) {
  size_t length = strlen(text), columns = tool_utf8_columns_of(text, length);
  if (wrap->indent + columns > wrap->columns)
    tool_wrap_words(wrap, text);
  else if (length > 0)
    put(wrap, text, length, columns);
}
