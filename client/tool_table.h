/*
 * tool_table: a reply as a block of lines, for people.
 *
 * One line says what the answer is, then follow the exchanges in the order to
 * try them, in columns aligned over the block, then what is odd, in words.
 * Nothing a name holds can drive a terminal.
 */
#ifndef MXWAY_CLIENT_TOOL_TABLE_H
#define MXWAY_CLIENT_TOOL_TABLE_H

#include <stdio.h>

#include "mxway/mxway.h"

/* Prints the block to `out`, the asker's spelling of the domain in bold if wanted. */
void tool_table_print(FILE *out, const char *domain, size_t domain_length, const struct mxway_reply *reply,
                      bool is_bold);

/* What a verdict says, as a clause: "this domain accepts no mail". */
const char *tool_table_sentence(enum mxway_verdict verdict);

#endif
