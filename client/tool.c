#include "tool.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct command {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *sentence;
} commands[] = {
    {"lookup", tool_lookup, "Say where mail for domains goes"},
    {"stats", tool_stats, "Say what the daemon has counted and how much it remembers"},
    {"show", tool_show, "Say what the daemon remembers of a domain"},
    {"purge", tool_purge, "Have the daemon forget"},
    {"dump", tool_dump, "Write to a file what the daemon remembers"},
    {"load", tool_load, "Have the daemon remember what is in such a file"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct command *find(const char *name) {
  for (size_t i = 0; i < COMMANDS; i++)
    if (strcmp(commands[i].name, name) == 0)
      return &commands[i];
  return NULL;
}

static void print_usage(FILE *out) {
  fputs("Usage: mxway COMMAND [OPTION...] [ARGUMENT...]\n\nCommands:\n", out);
  for (size_t i = 0; i < COMMANDS; i++)
    fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].sentence);
  fputs(
      "  help     Say how a command is used\n\n"
      "`mxway COMMAND --help` says more, `mxway --version` which version this is.\n",
      out);
}

static int fail_unknown(const char *name) {
  fprintf(stderr, "mxway: no command '%s'", name);
  if (strchr(name, '.'))
    fprintf(stderr, "; did you mean `mxway lookup %s`?", name);
  fputs(" (see mxway --help)\n", stderr);
  return TOOL_USAGE;
}

static int help(int argc, char **argv) {
  if (argc < 2) {
    print_usage(stdout);
    return TOOL_OK;
  }
  const struct command *command = find(argv[1]);
  if (!command)
    return fail_unknown(argv[1]);
  char option[] = "--help";
  char *arguments[] = {argv[1], option, NULL};
  return command->run(2, arguments);
}

int main(int argc, char **argv) {
  /* A reader that has seen enough shows as EPIPE, so that a progress line can be taken away. */
  signal(SIGPIPE, SIG_IGN);
  if (argc < 2) {
    print_usage(stderr);
    return TOOL_USAGE;
  }
  const char *name = argv[1];
  if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
    puts("mxway " MXWAY_VERSION);
    return TOOL_OK;
  }
  if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
    return help(argc - 1, argv + 1);
  if (name[0] == '-') {
    fprintf(stderr, "mxway: unknown option '%s' (see mxway --help)\n", name);
    return TOOL_USAGE;
  }
  const struct command *command = find(name);
  return command ? command->run(argc - 1, argv + 1) : fail_unknown(name);
}
