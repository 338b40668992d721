/*
 * override: a route that the operator has configured, from its text and back to it.
 *
 * route "PATTERN" = "VALUE"
 *   PATTERN   example.com, or *.example.com for every name below it, not for itself
 *   VALUE     EXCHANGE[:PORT] [PREFERENCE], ... [, expires DATE]
 *             reject [TEXT] [, expires DATE]
 *   EXCHANGE  a host name, [192.0.2.1] or [IPv6:2001:db8::1]
 *   DATE      2026-12-31, which is its first second, or 2026-12-31T23:59:59Z; both in UTC
 *
 * Names are made canonical by the rules of domains (name), single labels included. Pure but for memory; what
 * the routes do is the business of pinned.
 */
#ifndef MXWAY_DAEMON_OVERRIDE_H
#define MXWAY_DAEMON_OVERRIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "rules/facts.h"

enum {
  OVERRIDE_EXCHANGES_MAX = 32, /* of one route: ROUTING V16 cuts none of them */
  OVERRIDES_MAX = 10000,
  OVERRIDE_DETAIL_MAX = 200,
  OVERRIDE_PREFERENCE = 10, /* where none is given */
  OVERRIDE_REASON_SIZE = 256,
  OVERRIDE_PATTERN_SIZE = FACTS_NAME_SIZE + 2,
};

struct override {
  bool is_suffix;       /* for every name below `name` */
  bool rejects;         /* no mail may go there: there are no exchanges */
  uint8_t length;       /* of name */
  uint16_t count;       /* of exchanges */
  int64_t expires_at_s; /* Unix time; INT64_MAX: never */
  char name[FACTS_NAME_SIZE];
  char detail[OVERRIDE_DETAIL_MAX + 1]; /* with `rejects`: printable ASCII for people, or "" */
  struct exchange_value exchanges[];    /* by preference, host and port; no two the same */
};

/* Reads a route into a block for free(). Returns 0; or ERR_CONFIG with what is wrong, or ERR_NOMEM. */
int override_parse(const char *pattern, const char *value, struct override **result,
                   char reason[OVERRIDE_REASON_SIZE]);

/* "example.com" or "*.example.com", into `text`, returned. */
const char *override_pattern(const struct override *override, char text[OVERRIDE_PATTERN_SIZE]);

/* Prints route "PATTERN" = "VALUE" as a file has it, with a newline. */
void override_print(const struct override *override, FILE *out);

/* ---- lists: sorted by name, no pattern twice; {0} is an empty one ---- */

struct override_list {
  struct override **items; /* owned */
  size_t count, capacity;
};

void override_list_fini(struct override_list *list);

/* Whether there is a route for the pattern of `override`. */
bool override_list_has(const struct override_list *list, const struct override *override);

/* Takes `override`, in the place of one with its pattern. Returns 0; or ERR_NOMEM, or ERR_TOO_LARGE over
 * OVERRIDES_MAX, and has not taken it. */
int override_list_put(struct override_list *list, struct override *override);

/* Takes all of `from`, which is empty then. Returns 0; or as override_list_put, and nothing has moved. */
int override_list_move(struct override_list *list, struct override_list *from);

#endif
