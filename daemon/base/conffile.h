/*
 * conffile: a file of options in libconfuse's syntax.
 *
 * It knows the syntax and the lines; what the options mean is its caller's
 * (config). One file at a time in a process: libconfuse's scanner is global and
 * hands no context to its callbacks. Files over 1 MiB, and those with control
 * characters, are refused.
 *
 * name = value     name = {value, value}     name += {value}     name "key" = value
 * # comment    // comment    a block comment of C
 * "a ${VARIABLE} of the environment"    'nothing special'
 */
#ifndef MXWAY_DAEMON_CONFFILE_H
#define MXWAY_DAEMON_CONFFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CONFFILE_REASON_SIZE = 256 };

struct conffile_option {
  const char *name;
  bool is_list;
  bool is_keyed; /* name "key" = value, as often as there are keys */
};

struct conffile_handlers {
  /* Takes value `position` of an option. 0 begins the option anew: a list comes again as a
   * whole whenever a value was read, and with NULL if it is empty. Returns 0, or
   * ERR_CONFIG with what is wrong in `reason`. */
  int (*set)(void *context, const char *name, size_t position, const char *value,
             char reason[CONFFILE_REASON_SIZE]);
  /* Takes the value that a keyed option has for `key`. Returns as `set`. NULL where none is keyed. */
  int (*set_keyed)(void *context, const char *name, const char *key, const char *value,
                   char reason[CONFFILE_REASON_SIZE]);
  /* Says of a name that is no option what to tell the user. */
  void (*explain_unknown)(const char *name, char reason[CONFFILE_REASON_SIZE]);
  void *context;
};

/* Reads the file at `path`. Returns 0; or ERR_CONFIG after the first error, with
 * "path:line: reason" in `error`, of `error_size` octets. Values before the error have been set. */
int conffile_parse(const char *path, const struct conffile_option *options, size_t option_count,
                   const struct conffile_handlers *handlers, char *error, size_t error_size);

/* Prints a string in the double quotes of a file. */
void conffile_print_quoted(const char *text, FILE *out);

#endif
