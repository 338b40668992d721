/*
 * tool: what the commands of `mxway` have in common.
 */
#ifndef MXWAY_CLIENT_TOOL_H
#define MXWAY_CLIENT_TOOL_H

/* Exit statuses; sysexits.h where it has one. */
enum {
  TOOL_OK = 0,
  TOOL_PERMANENT = 1, /* or: nothing is known */
  TOOL_USAGE = 64,
  TOOL_DATA = 65, /* what was given cannot be used */
  TOOL_NO_DAEMON = 69,
  TOOL_NO_MEMORY = 71,
  TOOL_IO = 74,
  TOOL_TRANSIENT = 75,
  TOOL_PERMISSION = 77,
};

/* Each command: argv[0] is its name; returns the exit status. */
int tool_lookup(int argc, char **argv);
int tool_stats(int argc, char **argv);
int tool_show(int argc, char **argv);
int tool_purge(int argc, char **argv);
int tool_dump(int argc, char **argv);
int tool_load(int argc, char **argv);

#endif
