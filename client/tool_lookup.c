#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"
#include "tool_run.h"

enum { TIMEOUT_MAX_MS = 3600000 };

enum option_id {
  OPTION_SOCKET = 256, /* above every character */
  OPTION_DEPTH,
  OPTION_TIMEOUT,
  OPTION_NO_STALE,
  OPTION_REFRESH,
  OPTION_CACHE_ONLY,
  OPTION_JSON,
};

static const char usage[] =
    "Usage: mxway lookup [OPTION...] DOMAIN...\n"
    "       mxway lookup [OPTION...] -      names from standard input, one a line\n"
    "\n"
    "  --socket PATH      the daemon's socket (else $MXWAY_SOCKET, else " MXWAY_DEFAULT_SOCKET
    ")\n"
    "  --depth DEPTH      exchanges: their names; addresses: also theirs (the default)\n"
    "  --timeout MS       milliseconds to wait for an answer (default: the daemon's)\n"
    "  --no-stale         no answer from expired facts\n"
    "  --refresh          ask the DNS even though the cache holds an answer\n"
    "  --cache-only       answer from memory or not at all\n"
    "  --json             one JSON object a line\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit status: 0 all have a route, 1 some never will (bounce), 75 some do not now (try\n"
    "again), 64 wrong usage, 69 no daemon.\n";

static int fail_usage(const char *what, const char *value) {
  fprintf(stderr, "mxway lookup: %s '%s' (see mxway lookup --help)\n", what, value);
  return TOOL_USAGE;
}

static bool parse_depth(const char *text, enum mxway_depth *depth) {
  if (strcmp(text, "exchanges") == 0)
    *depth = MXWAY_DEPTH_EXCHANGES;
  else if (strcmp(text, "addresses") == 0)
    *depth = MXWAY_DEPTH_ADDRESSES;
  else
    return false;
  return true;
}

static bool parse_timeout(const char *text, uint32_t *timeout_ms) {
  char *end;
  errno = 0;
  unsigned long value = strtoul(text, &end, 10);
  if (errno || text[0] < '0' || text[0] > '9' || *end || value < 1 || value > TIMEOUT_MAX_MS)
    return false;
  *timeout_ms = (uint32_t)value;
  return true;
}

/* Returns the exit status that ends the command, or -1 to go on. */
static int parse(int argc, char **argv, struct tool_run_options *options) {
  static const struct option table[] = {
      {"socket", required_argument, NULL, OPTION_SOCKET},
      {"depth", required_argument, NULL, OPTION_DEPTH},
      {"timeout", required_argument, NULL, OPTION_TIMEOUT},
      {"no-stale", no_argument, NULL, OPTION_NO_STALE},
      {"refresh", no_argument, NULL, OPTION_REFRESH},
      {"cache-only", no_argument, NULL, OPTION_CACHE_ONLY},
      {"json", no_argument, NULL, OPTION_JSON},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0},
  };
  opterr = 0;
  for (;;) {
    /* What a failing option was written as: getopt_long may move `optind` past it or not. */
    int at = optind;
    switch (getopt_long(argc, argv, ":h", table, NULL)) {
    case -1:
      return -1;
    case OPTION_SOCKET:
      options->socket_path = optarg;
      break;
    case OPTION_DEPTH:
      if (!parse_depth(optarg, &options->request.depth))
        return fail_usage("--depth is exchanges or addresses, not", optarg);
      break;
    case OPTION_TIMEOUT:
      if (!parse_timeout(optarg, &options->request.timeout_ms))
        return fail_usage("--timeout is 1 to 3600000 milliseconds, not", optarg);
      break;
    case OPTION_NO_STALE:
      options->request.no_stale = true;
      break;
    case OPTION_REFRESH:
      options->request.refresh = true;
      break;
    case OPTION_CACHE_ONLY:
      options->request.cache_only = true;
      break;
    case OPTION_JSON:
      options->is_json = true;
      break;
    case 'h':
      fputs(usage, stdout);
      return TOOL_OK;
    case ':':
      return fail_usage("a value is missing after", argv[optind - 1]);
    default:
      return fail_usage("unknown option", argv[optind > at ? optind - 1 : at]);
    }
  }
}

/* Whether bold is welcome (https://no-color.org). */
static bool is_bold_wanted(void) {
  const char *no_color = getenv("NO_COLOR");
  const char *terminal = getenv("TERM");
  return isatty(STDOUT_FILENO) && !(no_color && *no_color) && terminal && strcmp(terminal, "dumb") != 0;
}

int tool_lookup(int argc, char **argv) {
  const char *socket_path = getenv("MXWAY_SOCKET");
  struct tool_run_options options = {
      .socket_path = socket_path && *socket_path ? socket_path : MXWAY_DEFAULT_SOCKET,
      .request = {.depth = MXWAY_DEPTH_ADDRESSES},
      .input_fd = -1,
      .is_bold = is_bold_wanted(),
      .is_output_terminal = isatty(STDOUT_FILENO),
      .is_error_terminal = isatty(STDERR_FILENO),
      .out = stdout,
      .err = stderr,
  };
  int status = parse(argc, argv, &options);
  if (status >= 0)
    return status;
  options.domains = argv + optind;
  options.domain_count = (size_t)(argc - optind);
  if (options.domain_count == 0) {
    fputs("mxway lookup: no domain given (see mxway lookup --help)\n", stderr);
    return TOOL_USAGE;
  }
  for (size_t i = 0; i < options.domain_count; i++)
    if (strcmp(options.domains[i], "-") == 0)
      options.input_fd = STDIN_FILENO;
  if (options.input_fd >= 0 && options.domain_count > 1) {
    fputs("mxway lookup: - stands for standard input and goes alone\n", stderr);
    return TOOL_USAGE;
  }
  return tool_run(&options);
}
