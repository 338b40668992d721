/*
 * tool_utf8: octets made fit for JSON, or for a terminal.
 *
 * Every octet that is no part of well-formed UTF-8 (RFC 3629: no overlong form, no
 * surrogate, nothing over U+10FFFF) becomes U+FFFD. Pure.
 */
#ifndef MXWAY_CLIENT_TOOL_UTF8_H
#define MXWAY_CLIENT_TOOL_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Returns `text` repaired, with a NUL behind it, and its length (it may hold NULs); or
 * NULL without memory. With `for_terminal` control characters (C0, DEL, C1) become U+FFFD
 * too, so that no name can drive the terminal. The caller frees. */
char *tool_utf8_repair(const char *text, size_t length, bool for_terminal, size_t *repaired_length);

/* The columns that well-formed `text` takes: one a character, as for all but a few scripts. */
size_t tool_utf8_columns(const char *text);

/* The same of `length` octets. */
size_t tool_utf8_columns_of(const char *text, size_t length);

#endif
