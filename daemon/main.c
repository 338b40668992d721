/*
 * main: arguments, configuration, signals. Everything that serves is in node.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/stats.h"
#include "cache/blocks.h"
#include "cache/pinned.h"
#include "config/config.h"
#include "node.h"

static const char default_file[] = "/etc/mxway/mxwayd.conf";

enum { EXIT_FORCED = 1, STOP_MAX_S = 5 };

enum action { ACTION_RUN, ACTION_TEST, ACTION_PRINT, ACTION_HELP, ACTION_VERSION };

struct arguments {
  enum action action;
  const char *file; /* NULL: default_file, where it exists */
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"option", required_argument, NULL, 'o'},
    {"test", no_argument, NULL, 't'},
    {"print-config", no_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const char short_options[] = "c:o:thV";

static void print_help(void) {
  printf(
      "Usage: mxwayd [-c FILE] [-o NAME=VALUE]...\n"
      "Answers where mail for a domain goes, on a Unix socket, in the foreground.\n"
      "\n"
      "  -c, --config FILE        read FILE rather than %s\n"
      "                           (which is read only where it exists)\n"
      "  -o, --option NAME=VALUE  set one option over those of the file;\n"
      "                           a route with \"route DOMAIN=EXCHANGES\"\n"
      "  -t, --test               check the configuration and exit\n"
      "      --print-config       print the configuration in effect and exit\n"
      "  -h, --help               print this text and exit\n"
      "  -V, --version            print the version and exit\n"
      "\n"
      "Examples:\n"
      "  mxwayd\n"
      "  mxwayd -o listen=/tmp/mxway.sock -o upstream=127.0.0.1:5300\n"
      "  mxwayd -o cache-size=1GiB --print-config > mxwayd.conf\n"
      "  mxwayd -t -c mxwayd.conf\n"
      "\n"
      "SIGTERM and SIGINT stop it, SIGUSR1 logs its counters, SIGHUP does nothing.\n"
      "Exit: 0 stopped or good, 64 usage, 69 socket in use, 71 cannot start, 78 configuration.\n"
      "\n"
      "Options of the file and of -o:\n",
      default_file);
  config_print_help(stdout);
}

/* A full disk must not pass for a printed configuration. */
static int close_output(void) { return fclose(stdout) == 0 ? EX_OK : EX_IOERR; }

static int usage_error(void) {
  fputs("mxwayd: try mxwayd --help\n", stderr);
  return EX_USAGE;
}

/* Finds what is to be done and which file is read; -o waits for the file. */
static int parse_arguments(int count, char **words, struct arguments *arguments) {
  int letter;
  while ((letter = getopt_long(count, words, short_options, long_options, NULL)) != -1)
    switch (letter) {
    case 'c':
      arguments->file = optarg;
      break;
    case 'o':
      if (optarg[0] == '=' || !strchr(optarg, '=')) {
        fprintf(stderr, "mxwayd: -o %s: expected NAME=VALUE\n", optarg);
        return usage_error();
      }
      break;
    case 't':
      arguments->action = ACTION_TEST;
      break;
    case 'p':
      arguments->action = ACTION_PRINT;
      break;
    case 'h':
      arguments->action = ACTION_HELP;
      return EX_OK;
    case 'V':
      arguments->action = ACTION_VERSION;
      return EX_OK;
    default:
      return usage_error();
    }
  if (optind < count) {
    fprintf(stderr, "mxwayd: unexpected argument %s\n", words[optind]);
    return usage_error();
  }
  return EX_OK;
}

/* The defaults, the file over them, each -o over that. */
static int read_config(int count, char **words, const char *file, struct config *config,
                       char error[CONFIG_ERROR_SIZE]) {
  uint64_t seen[CONFIG_SEEN_WORDS] = {0};
  int letter;
  config_init(config);
  if (!file && (access(default_file, F_OK) == 0 || errno != ENOENT))
    file = default_file;
  if (file && config_parse_file(config, file, error) != 0)
    return ERR_CONFIG;
  optind = 0; /* getopt starts anew */
  while ((letter = getopt_long(count, words, short_options, long_options, NULL)) != -1)
    if (letter == 'o' && config_parse_assignment(config, optarg, seen, error) != 0)
      return ERR_CONFIG;
  return config_check(config, error);
}

static void raise_file_limit(const struct config *config) {
  enum { FILES_BESIDE_CONNECTIONS = 256 }; /* upstream sockets, loops, the log */
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
    log_warning("cannot raise the limit of open files: %s", strerror(errno));
  if (limit.rlim_cur < config->max_connections + FILES_BESIDE_CONNECTIONS)
    log_warning("at most %ju files may be open, too few for max-connections %" PRIu32,
                (uintmax_t)limit.rlim_cur, config->max_connections);
}

/* Blocked in every thread that starts later, so that main alone takes them. */
static void block_signals(sigset_t *set) {
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(set);
  sigaddset(set, SIGTERM);
  sigaddset(set, SIGINT);
  sigaddset(set, SIGUSR1);
  sigaddset(set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, set, NULL);
}

static void log_counters(void (*log_line)(const char *format, ...)) {
  for (int i = 0; i < STATS_COUNT; i++) {
    enum stats_counter counter = (enum stats_counter)i;
    log_line("counter %s %" PRIu64, stats_name(counter), stats_sum(counter));
  }
}

static void log_start(const struct config *config) {
  char servers[CONFIG_UPSTREAM_MAX * (ADDRESS_TEXT_SIZE + 2)] = "";
  size_t length = 0;
  for (size_t i = 0; i < config->upstream_count; i++) {
    char text[ADDRESS_TEXT_SIZE];
    int put = snprintf(servers + length, sizeof(servers) - length, "%s%s", i ? ", " : "",
                       config_upstream_text(&config->upstreams[i], text));
    length += (size_t)put;
  }
  log_notice("mxwayd %s answers on %s with %" PRIu32 " frontend%s; upstream %s", MXWAY_VERSION,
             config->listen, config->frontends, config->frontends == 1 ? "" : "s", servers);
}

static void on_impatience(int number) {
  (void)number;
  _exit(EXIT_FORCED);
}

/* From here a second signal, or STOP_MAX_S seconds, end the process at once. */
static void limit_stop(const sigset_t *set) {
  struct sigaction action = {.sa_handler = on_impatience};
  signal(SIGUSR1, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  sigaction(SIGALRM, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  pthread_sigmask(SIG_UNBLOCK, set, NULL);
  alarm(STOP_MAX_S);
}

static void wait_for_stop(const sigset_t *set) {
  for (;;) {
    int number = sigwaitinfo(set, NULL);
    if (number == SIGUSR1)
      log_counters(log_notice);
    else if (number == SIGHUP)
      log_notice("SIGHUP: the configuration is read at the start alone; a restart reads it again");
    else if (number == SIGTERM || number == SIGINT)
      return;
  }
}

static int run(struct config *config) {
  sigset_t set;
  struct node *node;
  blocks_even_malloc();
  config_resolve_upstreams(config);
  raise_file_limit(config);
  block_signals(&set);
  int status = node_create(config, &node);
  if (status != 0)
    return status == ERR_IN_USE ? EX_UNAVAILABLE : status == ERR_CONFIG ? EX_CONFIG : EX_OSERR;
  log_start(config); /* before a client can have its first answer */
  status = node_start(node);
  if (status != 0) {
    log_error("cannot start: %s", error_text(status));
    node_destroy(node);
    return EX_OSERR;
  }
  wait_for_stop(&set);
  log_notice("stopping");
  limit_stop(&set);
  node_stop(node);
  log_counters(log_info);
  node_destroy(node);
  return EX_OK;
}

int main(int count, char **words) {
  static char program[] = "mxwayd";
  struct arguments arguments = {.action = ACTION_RUN};
  struct config config;
  char error[CONFIG_ERROR_SIZE];
  if (count > 0)
    words[0] = program; /* what getopt complains as, wherever it lies */
  int status = parse_arguments(count, words, &arguments);
  if (status != EX_OK)
    return status;
  if (arguments.action == ACTION_HELP) {
    print_help();
    return close_output();
  }
  if (arguments.action == ACTION_VERSION) {
    puts("mxwayd " MXWAY_VERSION);
    return close_output();
  }
  bool is_to_print = arguments.action == ACTION_PRINT;
  if (read_config(count, words, arguments.file, &config, error) != 0 ||
      (!is_to_print && config_complete(&config, error) != 0)) {
    log_error("%s", error);
    status = EX_CONFIG;
  } else if (arguments.action == ACTION_TEST) {
    pinned_warn(&config.routes, clock_wall_ms());
    fputs("mxwayd: configuration is good\n", stderr);
  } else if (arguments.action == ACTION_PRINT) {
    config_print(&config, stdout);
    status = close_output();
  } else {
    log_set_level(config.log_level);
    status = run(&config);
  }
  config_fini(&config);
  return status;
}
