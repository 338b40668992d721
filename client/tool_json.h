/*
 * tool_json: a reply as one line of JSON, for programs.
 *
 * Always the same keys in the same order, and the story behind them where it was asked for. A name that is
 * not UTF-8 is repaired (tool_utf8), so that the line is always valid JSON.
 */
#ifndef MXWAY_CLIENT_TOOL_JSON_H
#define MXWAY_CLIENT_TOOL_JSON_H

#include "mxway/mxway.h"

/* Returns the line without its end (the caller frees), or NULL without memory. `domain` is the asker's
 * spelling. */
char *tool_json_build(const char *domain, size_t domain_length, const struct mxway_reply *reply,
                      bool with_story);

#endif
