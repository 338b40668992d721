/*
 * master: a master file (RFC 1035 section 5) into a zone.
 *
 * The subset that tests need: $ORIGIN, $TTL, @, parentheses, quoted strings, \DDD, comments, TTLs with
 * units; class IN; records A AAAA MX CNAME SOA NS TXT. The first origin is the root. A text without any SOA
 * gets one at the root, so that a test need not write it.
 */
#ifndef MXWAY_BENCH_UPSTREAM_MASTER_H
#define MXWAY_BENCH_UPSTREAM_MASTER_H

#include "zone.h"

enum { MASTER_ERROR_SIZE = 512, MASTER_DEFAULT_TTL_S = 3600 };

/* Adds the records of the text to `zone`. `label` names the text in messages. Returns 0, or -1 with
 * "LABEL:LINE: what is wrong" in `error`; what came before the line has then been added. */
int master_parse(struct zone *zone, const char *label, const char *text, size_t length,
                 char error[MASTER_ERROR_SIZE]);

/* The same of a file. */
int master_load(struct zone *zone, const char *path, char error[MASTER_ERROR_SIZE]);

#endif
