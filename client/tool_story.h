/*
 * tool_story: how an answer came about and what it means, for people (mxway lookup --explain).
 *
 * Stands below the table of the answer: the site, then the story line by line with its times in
 * milliseconds and the rule in brackets, then what a sender does with such an answer.
 * Long lines are wrapped. Nothing a daemon tells can drive a terminal.
 */
#ifndef MXWAY_CLIENT_TOOL_STORY_H
#define MXWAY_CLIENT_TOOL_STORY_H

#include <stddef.h>
#include <stdio.h>

#include "mxway/mxway.h"

/* Prints lines of at most `columns`, but never so narrow that there is no room for words. */
void tool_story_print(FILE *out, const struct mxway_reply *reply, size_t columns);

/* What a verdict tells beyond its class, as sentences; "" where there is nothing to add. */
const char *tool_story_advice(const struct mxway_reply *reply);

#endif
