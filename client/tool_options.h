/*
 * tool_options: the arguments of `mxway lookup`.
 *
 * Says of a wrong one which option it is, what is expected and what was given.
 * The daemon judges names; only what a question cannot carry, or what is
 * most likely a slip (a name that looks like an address), is refused here.
 */
#ifndef MXWAY_CLIENT_TOOL_OPTIONS_H
#define MXWAY_CLIENT_TOOL_OPTIONS_H

#include <arpa/inet.h>
#include <stdio.h>

#include "tool_run.h"

/* Octets of --key, --self and --exclude together, with a few for each: beside them a question holds any name
 * of TOOL_LINES_MAX octets. */
enum { TOOL_OPTIONS_MAX_BYTES = 5000 };

struct tool_options {
  struct tool_run_options run; /* its lists lie below, its texts in argv */
  const char **self_names, **exclude;
  struct mxway_address *self_addresses;
  char (*exclude_addresses)[INET6_ADDRSTRLEN];
  size_t left_bytes;
  bool has_order;
};

/* Reads the arguments over the defaults in `options->run`, whose `out` gets the help and whose `err` the
 * complaint. argv[0] is the command; argv is permuted and lent. Returns the exit status that ends
 * the command, or -1 to go on. In both cases the caller ends it with fini. */
int tool_options_parse(struct tool_options *options, int argc, char **argv);

void tool_options_fini(struct tool_options *options);

#endif
