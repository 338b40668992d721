/*
 * mxway-plain-cares: what a program does that asks the DNS itself, with c-ares and nothing else.
 *
 * For each name the MX query, then A and AAAA of every exchange (of the name itself where it has no MX), -q
 * names at a time; nothing is remembered from one name to the next. It is the floor that `bench/run miss`
 * compares with.
 */
#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
  EXIT_WRONG_USAGE = 64,
  EXIT_UNAVAILABLE = 69,
  NAME_SIZE = 256,
  EVENTS = 64,
  TICK_MS = 50,
  TIMEOUT_MS = 800
};

static const char usage[] =
    "Usage: mxway-plain-cares -s ADDRESS:PORT [-q N] [FILE]\n"
    "Resolves the mail exchanges of each name of FILE (default: standard input), one a line, and all their\n"
    "addresses, N names at a time (default 64), with plain c-ares. Prints one line:\n"
    "  lookups N queries N failed N seconds S waited S rate N/s cpu US/lookup p50 US p99 US max US\n"
    "Waited is how long others had the CPU that it wanted: where that is much, its rate says nothing.\n"
    "\n"
    "Example: seq -f u%g.bench.test 20000 | mxway-plain-cares -s 127.0.0.1:5300 -q 64\n";

struct program {
  ares_channel channel;
  FILE *in;
  int epoll_fd;
  bool is_read; /* the names are used up */
  size_t limit, running, lookups, queries, failed, capacity;
  double *latencies_us;
};

struct lookup {
  struct program *program;
  char name[NAME_SIZE];
  double started_s;
  size_t pending; /* queries */
  bool has_failed;
};

static double seconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void keep(struct program *program, double latency_us) {
  if (program->lookups == program->capacity) {
    program->capacity = program->capacity ? program->capacity * 2 : 65536;
    program->latencies_us = realloc(program->latencies_us, program->capacity * sizeof(double));
    if (!program->latencies_us)
      abort();
  }
  program->latencies_us[program->lookups++] = latency_us;
}

static void end_query(struct lookup *lookup) {
  struct program *program = lookup->program;
  if (--lookup->pending > 0)
    return;
  keep(program, (seconds(CLOCK_MONOTONIC) - lookup->started_s) * 1e6);
  program->failed += lookup->has_failed;
  program->running--;
  free(lookup);
}

static void on_address(void *context, int status, int timeouts, unsigned char *answer, int length) {
  struct lookup *lookup = context;
  struct hostent *host = NULL;
  (void)timeouts;
  /* A program would keep the addresses; reading them is the work that counts. */
  if (status == ARES_SUCCESS && ares_parse_a_reply(answer, length, &host, NULL, NULL) == ARES_SUCCESS)
    ares_free_hostent(host);
  else if (status == ARES_SUCCESS && ares_parse_aaaa_reply(answer, length, &host, NULL, NULL) == ARES_SUCCESS)
    ares_free_hostent(host);
  else if (status != ARES_ENODATA && status != ARES_ENOTFOUND && status != ARES_SUCCESS)
    lookup->has_failed = true;
  end_query(lookup);
}

static void ask_addresses(struct lookup *lookup, const char *host) {
  static const int types[] = {ns_t_a, ns_t_aaaa};
  for (size_t i = 0; i < 2; i++) {
    lookup->pending++;
    lookup->program->queries++;
    ares_query(lookup->program->channel, host, ns_c_in, types[i], on_address, lookup);
  }
}

static void on_mx(void *context, int status, int timeouts, unsigned char *answer, int length) {
  struct lookup *lookup = context;
  struct ares_mx_reply *exchanges = NULL;
  (void)timeouts;
  if (status == ARES_SUCCESS)
    status = ares_parse_mx_reply(answer, length, &exchanges);
  if (status == ARES_ENODATA)
    ask_addresses(lookup, lookup->name);
  else if (status != ARES_SUCCESS && status != ARES_ENOTFOUND)
    lookup->has_failed = true;
  for (const struct ares_mx_reply *exchange = exchanges; exchange; exchange = exchange->next)
    if (exchange->host[0])
      ask_addresses(lookup, exchange->host);
  if (exchanges)
    ares_free_data(exchanges);
  end_query(lookup);
}

static void begin_lookups(struct program *program) {
  while (!program->is_read && program->running < program->limit) {
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
      abort();
    if (!fgets(lookup->name, sizeof(lookup->name), program->in)) {
      program->is_read = true;
      free(lookup);
      return;
    }
    lookup->name[strcspn(lookup->name, " \t\r\n")] = '\0';
    lookup->program = program;
    lookup->started_s = seconds(CLOCK_MONOTONIC);
    lookup->pending = 1;
    program->running++;
    program->queries++;
    ares_query(program->channel, lookup->name, ns_c_in, ns_t_mx, on_mx, lookup);
  }
}

static void on_socket(void *context, ares_socket_t fd, int readable, int writable) {
  const struct program *program = context;
  struct epoll_event event = {.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u),
                              .data.fd = fd};
  if (!readable && !writable)
    epoll_ctl(program->epoll_fd, EPOLL_CTL_DEL, fd, &event);
  else if (epoll_ctl(program->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
    epoll_ctl(program->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_channel(struct program *program, const char *server) {
  struct ares_options options = {.flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
                                 .timeout = TIMEOUT_MS,
                                 .tries = 3,
                                 .ednspsz = 1232,
                                 .socket_receive_buffer_size = 4 << 20,
                                 .socket_send_buffer_size = 4 << 20,
                                 .lookups = (char[]){"b"},
                                 .sock_state_cb = on_socket,
                                 .sock_state_cb_data = program};
  int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
             ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_SNDBUF | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
  mask |= ARES_OPT_QUERY_CACHE; /* with a maximum of zero: no cache */
#endif
  int status = ares_init_options(&program->channel, &options, mask);
  if (status == ARES_SUCCESS)
    status = ares_set_servers_ports_csv(program->channel, server);
  if (status == ARES_SUCCESS)
    return 0;
  fprintf(stderr, "mxway-plain-cares: %s: %s\n", server, ares_strerror(status));
  return -1;
}

static void run(struct program *program) {
  struct epoll_event events[EVENTS];
  double ticked_s = 0;
  begin_lookups(program);
  while (program->running > 0) {
    int count = epoll_wait(program->epoll_fd, events, EVENTS, TICK_MS);
    for (int i = 0; i < count; i++) {
      ares_socket_t fd = events[i].data.fd;
      ares_process_fd(program->channel, events[i].events & ~(unsigned)EPOLLOUT ? fd : ARES_SOCKET_BAD,
                      events[i].events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
    }
    if (seconds(CLOCK_MONOTONIC) - ticked_s > TICK_MS * 1e-3) {
      ares_process_fd(program->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      ticked_s = seconds(CLOCK_MONOTONIC);
    }
    begin_lookups(program);
  }
}

/* How long this process was ready to run and others did. 0 where the kernel does not tell. */
static double waited_s(void) {
  unsigned long long ran_ns, waited_ns = 0;
  FILE *file = fopen("/proc/self/schedstat", "re");
  if (!file)
    return 0;
  if (fscanf(file, "%llu %llu", &ran_ns, &waited_ns) != 2)
    waited_ns = 0;
  fclose(file);
  return (double)waited_ns * 1e-9;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void report(struct program *program, double length_s, double cpu_s) {
  size_t count = program->lookups;
  if (count == 0)
    return;
  qsort(program->latencies_us, count, sizeof(double), compare);
  printf(
      "lookups %zu queries %zu failed %zu seconds %.3f waited %.3f rate %.0f/s cpu %.2f us/lookup p50 %.0f "
      "us p99 %.0f us max %.0f us\n",
      count, program->queries, program->failed, length_s, waited_s(), (double)count / length_s,
      cpu_s * 1e6 / (double)count, program->latencies_us[count / 2], program->latencies_us[count * 99 / 100],
      program->latencies_us[count - 1]);
}

static int read_options(struct program *program, int argc, char **argv, const char **server) {
  static char name[] = "mxway-plain-cares";
  int option;
  if (argc > 0)
    argv[0] = name; /* what getopt complains as, wherever it lies */
  while ((option = getopt(argc, argv, "s:q:h")) != -1) {
    if (option == 's')
      *server = optarg;
    else if (option == 'q')
      program->limit = strtoul(optarg, NULL, 10);
    else {
      fputs(usage, option == 'h' ? stdout : stderr);
      return option == 'h' ? EXIT_SUCCESS : EXIT_WRONG_USAGE;
    }
  }
  if (!*server || program->limit == 0 || argc - optind > 1) {
    fputs(usage, stderr);
    return EXIT_WRONG_USAGE;
  }
  if (optind == argc || strcmp(argv[optind], "-") == 0)
    return -1;
  program->in = fopen(argv[optind], "re");
  if (program->in)
    return -1;
  fprintf(stderr, "mxway-plain-cares: %s: %s\n", argv[optind], strerror(errno));
  return EXIT_UNAVAILABLE;
}

int main(int argc, char **argv) {
  struct program program = {.in = stdin, .limit = 64};
  const char *server = NULL;
  int status = read_options(&program, argc, argv, &server);
  if (status != -1)
    return status;
  program.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (program.epoll_fd == -1 || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
      open_channel(&program, server) != 0)
    return EXIT_UNAVAILABLE;
  double start_s = seconds(CLOCK_MONOTONIC), start_cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID);
  run(&program);
  report(&program, seconds(CLOCK_MONOTONIC) - start_s, seconds(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_s);
  ares_destroy(program.channel);
  ares_library_cleanup();
  free(program.latencies_us);
  return program.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
