#include "tool_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tool.h"
#include "tool_utf8.h"

enum {
  TIMEOUT_MAX_MS = 3600000,
  EXCHANGES_MAX = 32, /* no daemon gives more */
  TEXT_COST_BYTES = 4 /* of the tag and the length of a text */
};

enum option_id {
  OPTION_SOCKET = 256, /* above every character */
  OPTION_DEPTH,
  OPTION_ORDER,
  OPTION_KEY,
  OPTION_FAMILY,
  OPTION_SELF,
  OPTION_EXCLUDE,
  OPTION_PRIMARY_ONLY,
  OPTION_MAX_EXCHANGES,
  OPTION_TIMEOUT,
  OPTION_NO_STALE,
  OPTION_REFRESH,
  OPTION_CACHE_ONLY,
  OPTION_EXPLAIN,
  OPTION_JSON,
};

static const struct option table[] = {
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"order", required_argument, NULL, OPTION_ORDER},
    {"key", required_argument, NULL, OPTION_KEY},
    {"family", required_argument, NULL, OPTION_FAMILY},
    {"self", required_argument, NULL, OPTION_SELF},
    {"exclude", required_argument, NULL, OPTION_EXCLUDE},
    {"primary-only", no_argument, NULL, OPTION_PRIMARY_ONLY},
    {"max-exchanges", required_argument, NULL, OPTION_MAX_EXCHANGES},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"no-stale", no_argument, NULL, OPTION_NO_STALE},
    {"refresh", no_argument, NULL, OPTION_REFRESH},
    {"cache-only", no_argument, NULL, OPTION_CACHE_ONLY},
    {"explain", no_argument, NULL, OPTION_EXPLAIN},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "Usage: mxway lookup [OPTION...] DOMAIN...\n"
    "       mxway lookup [OPTION...] -         names from standard input, one a line\n"
    "\n"
    "What is asked:\n"
    "  --depth DEPTH           exchanges: their names; addresses: also theirs (the default)\n"
    "  --timeout MS            milliseconds to wait for an answer (default: the daemon's)\n"
    "  --no-stale              no answer from expired facts\n"
    "  --refresh               ask the DNS even though the cache holds an answer\n"
    "  --cache-only            answer from memory or not at all\n"
    "\n"
    "Which exchanges, and in what order:\n"
    "  --order ORDER           of equal preferences: random (the default), stable\n"
    "                          (alphabetical) or keyed (by --key)\n"
    "  --key TEXT              who sends: one key keeps one exchange; implies --order keyed\n"
    "  --family FAMILY         of addresses: any (the default), v4, v6, v4-first, v6-first\n"
    "  --self NAME|ADDRESS     the sender's own: exchanges at and behind it are left out;\n"
    "                          repeatable\n"
    "  --exclude HOST|ADDRESS  leave this out; repeatable\n"
    "  --primary-only          only the exchanges of the best preference\n"
    "  --max-exchanges N       at most so many, 1 to 32\n"
    "\n"
    "How it is printed:\n"
    "  --explain               also how the answer came about and what it means\n"
    "  --json                  one JSON object a line\n"
    "\n"
    "  --socket PATH           the daemon's socket (else $MXWAY_SOCKET,\n"
    "                          else " MXWAY_DEFAULT_SOCKET
    ")\n"
    "  -h, --help              this text\n"
    "\n"
    "Examples:\n"
    "  Where does mail for a domain go, and why?\n"
    "      mxway lookup --explain example.com\n"
    "  As mx2.example.com sees it, the backup exchange, preferring IPv4:\n"
    "      mxway lookup --self mx2.example.com --family v4-first example.com\n"
    "  Which domains of a list bounce?\n"
    "      mxway lookup --json - <domains | jq -r 'select(.class == \"permanent\") | .domain'\n"
    "\n"
    "Exit status: 0 all have a route, 1 some never will (bounce), 75 some do not now (try\n"
    "again), 64 wrong usage, 69 no daemon.\n";

/* "mxway lookup: WHAT 'VALUE' (see mxway lookup --help)"; `value` may be NULL. */
static int fail_usage(const struct tool_options *options, const char *what, const char *value) {
  fprintf(options->run.err, "mxway lookup: %s", what);
  if (value) {
    size_t length;
    char *printable = tool_utf8_repair(value, strlen(value), true, &length);
    fprintf(options->run.err, " '%s'", printable ? printable : "");
    free(printable);
  }
  fputs(" (see mxway lookup --help)\n", options->run.err);
  return TOOL_USAGE;
}

/* ---- values ---- */

/* Finds the place of `text` among `words`, which end with NULL; -1 without one. */
static int find_word(const char *text, const char *const *words) {
  for (int i = 0; words[i]; i++)
    if (strcmp(text, words[i]) == 0)
      return i;
  return -1;
}

static bool parse_number(const char *text, unsigned long most, uint32_t *number) {
  char *end;
  errno = 0;
  unsigned long value = strtoul(text, &end, 10);
  if (errno || text[0] < '0' || text[0] > '9' || *end || value < 1 || value > most)
    return false;
  *number = (uint32_t)value;
  return true;
}

/* Reads an address, bare, in brackets, or as a literal (RFC 5321 section 4.1.3). */
static bool parse_address(const char *text, struct mxway_address *address) {
  char bare[INET6_ADDRSTRLEN];
  size_t length = strlen(text);
  if (length > 1 && text[0] == '[' && text[length - 1] == ']') {
    text++;
    length -= 2;
    if (strncasecmp(text, "IPv6:", 5) == 0) {
      text += 5;
      length -= 5;
    }
  }
  if (length >= sizeof bare)
    return false;
  memcpy(bare, text, length);
  bare[length] = '\0';
  bool is_v4 = inet_pton(AF_INET, bare, address->octets) == 1;
  address->length = is_v4 ? 4 : 16;
  return is_v4 || inet_pton(AF_INET6, bare, address->octets) == 1;
}

/* Whether this may be a name: no top-level label is all digits (RFC 3696 section 2). */
static bool is_name(const char *text) {
  size_t length = strlen(text);
  if (length > 0 && text[length - 1] == '.')
    length--;
  size_t label = length;
  while (label > 0 && text[label - 1] != '.')
    label--;
  return length > label && strspn(text + label, "0123456789") < length - label && !strpbrk(text, "[]:/% ");
}

/* Whether a question still holds a text of this length. */
static bool take_room(struct tool_options *options, size_t length) {
  if (length > options->left_bytes || options->left_bytes - length < TEXT_COST_BYTES)
    return false;
  options->left_bytes -= length + TEXT_COST_BYTES;
  return true;
}

/* ---- options ---- */

/* Each of these returns -1, or the exit status after a complaint. */

static int take_depth(struct tool_options *options, const char *text) {
  static const char *const words[] = {"exchanges", "addresses", NULL};
  int found = find_word(text, words);
  if (found < 0)
    return fail_usage(options, "--depth is exchanges or addresses, not", text);
  options->run.request.depth = (enum mxway_depth)found;
  return -1;
}

static int take_order(struct tool_options *options, const char *text) {
  static const char *const words[] = {"random", "stable", "keyed", NULL};
  int found = find_word(text, words);
  if (found < 0)
    return fail_usage(options, "--order is random, stable or keyed, not", text);
  options->run.request.order = (enum mxway_order)found;
  options->has_order = true;
  return -1;
}

static int take_family(struct tool_options *options, const char *text) {
  static const char *const words[] = {"any", "v4", "v6", "v4-first", "v6-first", NULL};
  int found = find_word(text, words);
  if (found < 0)
    return fail_usage(options, "--family is any, v4, v6, v4-first or v6-first, not", text);
  options->run.request.family = (enum mxway_family)found;
  return -1;
}

static int fail_room(const struct tool_options *options) {
  return fail_usage(options, "--key, --self and --exclude are over 5000 octets together", NULL);
}

static int take_self(struct tool_options *options, const char *text) {
  struct mxway_request *request = &options->run.request;
  struct mxway_address address;
  if (!take_room(options, strlen(text)))
    return fail_room(options);
  if (parse_address(text, &address))
    options->self_addresses[request->self_address_count++] = address;
  else if (is_name(text))
    options->self_names[request->self_name_count++] = text;
  else
    return fail_usage(options, "--self is a host name or an IPv4 or IPv6 address, not", text);
  return -1;
}

static int take_exclude(struct tool_options *options, const char *text) {
  size_t at = options->run.request.exclude_count;
  struct mxway_address address;
  if (!take_room(options, strlen(text)))
    return fail_room(options);
  if (parse_address(text, &address)) {
    char *bare = options->exclude_addresses[at];
    inet_ntop(address.length == 4 ? AF_INET : AF_INET6, address.octets, bare, INET6_ADDRSTRLEN);
    options->exclude[at] = bare;
  } else if (is_name(text)) {
    options->exclude[at] = text;
  } else {
    return fail_usage(options, "--exclude is a host name or an IPv4 or IPv6 address, not", text);
  }
  options->run.request.exclude_count++;
  return -1;
}

static int take(struct tool_options *options, int id, const char *value) {
  struct mxway_request *request = &options->run.request;
  switch ((enum option_id)id) {
  case OPTION_SOCKET:
    options->run.socket_path = value;
    break;
  case OPTION_DEPTH:
    return take_depth(options, value);
  case OPTION_ORDER:
    return take_order(options, value);
  case OPTION_KEY:
    request->order_key = value;
    break;
  case OPTION_FAMILY:
    return take_family(options, value);
  case OPTION_SELF:
    return take_self(options, value);
  case OPTION_EXCLUDE:
    return take_exclude(options, value);
  case OPTION_PRIMARY_ONLY:
    request->primary_only = true;
    break;
  case OPTION_MAX_EXCHANGES:
    if (!parse_number(value, EXCHANGES_MAX, &request->max_exchanges))
      return fail_usage(options, "--max-exchanges is a number from 1 to 32, not", value);
    break;
  case OPTION_TIMEOUT:
    if (!parse_number(value, TIMEOUT_MAX_MS, &request->timeout_ms))
      return fail_usage(options, "--timeout is 1 to 3600000 milliseconds, not", value);
    break;
  case OPTION_NO_STALE:
    request->no_stale = true;
    break;
  case OPTION_REFRESH:
    request->refresh = true;
    break;
  case OPTION_CACHE_ONLY:
    request->cache_only = true;
    break;
  case OPTION_EXPLAIN:
    request->explain = true;
    break;
  case OPTION_JSON:
    options->run.is_json = true;
    break;
  }
  return -1;
}

static int take_all(struct tool_options *options, int argc, char **argv) {
  opterr = 0;
  optind = 0; /* glibc and musl: begin anew */
  for (;;) {
    /* What a failing option was written as: getopt_long may move `optind` past it or not. */
    int at = optind > 0 ? optind : 1;
    int id = getopt_long(argc, argv, ":h", table, NULL);
    int status = -1;
    switch (id) {
    case -1:
      return -1;
    case 'h':
      fputs(usage, options->run.out);
      return TOOL_OK;
    case ':':
      return fail_usage(options, "a value is missing after", argv[optind - 1]);
    case '?':
      return fail_usage(options, "unknown option", argv[optind > at ? optind - 1 : at]);
    default:
      status = take(options, id, optarg);
    }
    if (status >= 0)
      return status;
  }
}

/* What one option asks of another. */
static int check_key(struct tool_options *options) {
  static const char *const texts[] = {"--key goes with --order keyed, not with --order random",
                                      "--key goes with --order keyed, not with --order stable"};
  struct mxway_request *request = &options->run.request;
  if (!request->order_key)
    return request->order == MXWAY_ORDER_KEYED ? fail_usage(options, "--order keyed needs a --key", NULL)
                                               : -1;
  if (options->has_order && request->order != MXWAY_ORDER_KEYED)
    return fail_usage(options, texts[request->order], NULL);
  if (!*request->order_key)
    return fail_usage(options, "--key is a text of at least one octet, not", request->order_key);
  if (!take_room(options, strlen(request->order_key)))
    return fail_room(options);
  request->order = MXWAY_ORDER_KEYED;
  return -1;
}

static int take_domains(struct tool_options *options, int count, char **domains) {
  if (count == 0)
    return fail_usage(options, "no domain given", NULL);
  for (int i = 0; i < count; i++)
    if (strcmp(domains[i], "-") == 0)
      options->run.input_fd = STDIN_FILENO;
  if (options->run.input_fd >= 0 && count > 1)
    return fail_usage(options, "- stands for standard input and goes alone", NULL);
  options->run.domains = domains;
  options->run.domain_count = (size_t)count;
  return -1;
}

int tool_options_parse(struct tool_options *options, int argc, char **argv) {
  size_t most = (size_t)argc;
  options->self_names = calloc(most, sizeof *options->self_names);
  options->exclude = calloc(most, sizeof *options->exclude);
  options->self_addresses = calloc(most, sizeof *options->self_addresses);
  options->exclude_addresses = calloc(most, sizeof *options->exclude_addresses);
  options->left_bytes = TOOL_OPTIONS_MAX_BYTES;
  if (!options->self_names || !options->exclude || !options->self_addresses || !options->exclude_addresses) {
    fputs("mxway: out of memory\n", options->run.err);
    return TOOL_NO_MEMORY;
  }
  options->run.request.self_names = options->self_names;
  options->run.request.self_addresses = options->self_addresses;
  options->run.request.exclude = options->exclude;
  int status = take_all(options, argc, argv);
  if (status < 0)
    status = check_key(options);
  return status < 0 ? take_domains(options, argc - optind, argv + optind) : status;
}

void tool_options_fini(struct tool_options *options) {
  free(options->self_names);
  free(options->exclude);
  free(options->self_addresses);
  free(options->exclude_addresses);
}
