/*
 * tool: what the commands of `mxway` have in common.
 */
#ifndef MXWAY_CLIENT_TOOL_H
#define MXWAY_CLIENT_TOOL_H

/* Exit statuses; sysexits.h where it has one. */
enum {
  TOOL_OK = 0,
  TOOL_PERMANENT = 1,
  TOOL_USAGE = 64,
  TOOL_NO_DAEMON = 69,
  TOOL_NO_MEMORY = 71,
  TOOL_IO = 74,
  TOOL_TRANSIENT = 75,
};

/* Each command: argv[0] is its name; returns the exit status. */
int tool_lookup(int argc, char **argv);

#endif
