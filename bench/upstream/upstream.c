/*
 * mxway-upstream: a deterministic DNS server for benchmarks and tests. Here: its command line.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "loop.h"
#include "master.h"

enum { EXIT_WRONG_USAGE = 64, EXIT_NO_INPUT = 66, EXIT_UNAVAILABLE = 69 };
enum { ANY_ADDRESS = 256, SEED, SETS, ALL_SHARE, TTL, ZONE, FAULT, DELAY, LOSS };

static const char usage[] =
    "Usage: mxway-upstream [OPTION]...\n"
    "A DNS server that makes up answers for benchmarks and tests: the same for the same seed, and wrong on "
    "demand.\n"
    "\n"
    "  -l ADDRESS[:PORT]     listen here over UDP and TCP (default 127.0.0.1:0; 0: a free port); "
    "repeatable.\n"
    "                        Prints \"listening on ADDRESS:PORT\" when ready\n"
    "      --any-address     allow an address that is not of the loopback\n"
    "      --seed N          of all that is made up (default 1)\n"
    "      --sets N          exchange sets that the domains of bench.test share (default 5000)\n"
    "      --all-share       every domain of bench.test uses one of them (default: 68 %)\n"
    "      --ttl SECONDS     TTL of all records of bench.test (default: realistic ones, 60 to 86400)\n"
    "      --zone FILE       also answer from a master file; repeatable\n"
    "      --fault RULE      'PATTERN[/TYPE]=WHAT', repeatable; of those that match the last one decides. "
    "WHAT is:\n"
    "                          delay=MS  delay=MIN-MAX  delay=exp:MEAN   answer later\n"
    "                          loss=SHARE                                answer nothing to this share (0 to "
    "1)\n"
    "                          silent servfail refused notimp formerr tc garbage truncate\n"
    "                          wrong-id wrong-question no-edns none\n"
    "      --delay D         the same as --fault '*=delay=D', and --loss SHARE likewise; before all other "
    "rules\n"
    "  -h, --help            this\n"
    "  -V, --version         the version\n"
    "\n"
    "bench.test has dN.bench.test and uWORD.bench.test (domains), nN.bench.test (NXDOMAIN), and their "
    "exchanges.\n"
    "Counters: SIGUSR1 and the end print them; class CHAOS, type TXT reads them:\n"
    "total.counter. mx.counter. d7.bench.test.mx.counter. reset.counter. (mxway-upstream(1) has all).\n"
    "\n"
    "Examples:\n"
    "  mxway-upstream -l 127.0.0.1:5300 &            a million domains, and\n"
    "  mxwayd -o upstream=127.0.0.1:5300             a daemon that asks it\n"
    "  mxway-upstream --delay exp:20 --loss 0.01     a far away server over a bad line\n"
    "  mxway-upstream --zone test.zone --fault 'slow.test/MX=delay=3000' --fault '*.broken.test=servfail'\n"
    "  dig -p 5300 @127.0.0.1 d1.bench.test MX\n"
    "  dig -p 5300 @127.0.0.1 +short CH TXT total.counter.\n";

struct options {
  uint64_t seed, sets;
  int64_t ttl_s;
  bool is_any_address, all_share;
  size_t address_count;
  struct sockaddr_storage addresses[LOOP_ADDRESSES_MAX];
  struct zone *zone;
  struct faults *faults;
};

/* Prints a sentence and where help is. */
static int complain(int status, const char *sentence) {
  fprintf(stderr, "mxway-upstream: %s\n", sentence);
  if (status == EXIT_WRONG_USAGE)
    fprintf(stderr, "mxway-upstream --help explains the options.\n");
  return status;
}

static int read_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *out) {
  char *rest, sentence[256];
  errno = 0;
  *out = strtoull(text, &rest, 10);
  if (text[0] >= '0' && text[0] <= '9' && !*rest && errno == 0 && *out >= least && *out <= most)
    return 0;
  snprintf(sentence, sizeof(sentence), "--%s '%.80s': a number from %llu to %llu is due", option, text,
           (unsigned long long)least, (unsigned long long)most);
  return complain(EXIT_WRONG_USAGE, sentence);
}

static bool is_loopback(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET6)
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
  return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
}

/* address_parse takes no port 0: that one is left off for it, and is its default here. */
static bool parse_address(const char *text, struct sockaddr_storage *address) {
  char shorter[ADDRESS_TEXT_SIZE];
  size_t length = strlen(text);
  if (address_parse(text, 0, address))
    return true;
  if (length < 3 || length >= sizeof(shorter) || strcmp(text + length - 2, ":0") != 0)
    return false;
  memcpy(shorter, text, length - 2);
  shorter[length - 2] = '\0';
  return address_parse(shorter, 0, address);
}

static int read_address(struct options *options, const char *text) {
  char sentence[256];
  if (options->address_count == LOOP_ADDRESSES_MAX)
    return complain(EXIT_WRONG_USAGE, "more than 16 addresses");
  if (parse_address(text, &options->addresses[options->address_count])) {
    options->address_count++;
    return 0;
  }
  snprintf(sentence, sizeof(sentence), "-l '%.80s': ADDRESS, ADDRESS:PORT or [IPv6]:PORT is due", text);
  return complain(EXIT_WRONG_USAGE, sentence);
}

static int check_addresses(struct options *options) {
  char text[ADDRESS_TEXT_SIZE], sentence[256];
  if (options->address_count == 0)
    return read_address(options, "127.0.0.1:0");
  for (size_t i = 0; i < options->address_count && !options->is_any_address; i++) {
    if (is_loopback(&options->addresses[i]))
      continue;
    snprintf(sentence, sizeof(sentence),
             "%s is no loopback address: what is made up here is not for others; --any-address allows it",
             address_text(&options->addresses[i], text));
    return complain(EXIT_WRONG_USAGE, sentence);
  }
  return 0;
}

static int read_zone(struct zone *zone, const char *path) {
  char error[MASTER_ERROR_SIZE];
  return master_load(zone, path, error) == 0 ? 0 : complain(EXIT_NO_INPUT, error);
}

/* `prefix`: "" for a whole rule. */
static int read_fault(struct faults *faults, const char *prefix, const char *text) {
  char error[FAULTS_ERROR_SIZE], *rule = malloc(strlen(prefix) + strlen(text) + 1);
  if (!rule)
    return complain(EXIT_UNAVAILABLE, "not enough memory");
  memcpy(rule, prefix, strlen(prefix));
  memcpy(rule + strlen(prefix), text, strlen(text) + 1);
  int status = faults_add(faults, rule, error) == 0 ? 0 : complain(EXIT_WRONG_USAGE, error);
  free(rule);
  return status;
}

/* One option; -1 to go on, else the status to end with. */
static int take_option(struct options *options, int option) {
  uint64_t number = 0;
  int status = 0;
  switch (option) {
  case 'h':
    fputs(usage, stdout);
    return EXIT_SUCCESS;
  case 'V':
    puts("mxway-upstream " MXWAY_VERSION);
    return EXIT_SUCCESS;
  case 'l':
    status = read_address(options, optarg);
    break;
  case ANY_ADDRESS:
    options->is_any_address = true;
    break;
  case SEED:
    status = read_number("seed", optarg, 0, UINT64_MAX, &options->seed);
    break;
  case SETS:
    status = read_number("sets", optarg, 1, GENERATED_SETS_MAX, &options->sets);
    break;
  case ALL_SHARE:
    options->all_share = true;
    break;
  case TTL:
    status = read_number("ttl", optarg, 0, UINT32_MAX, &number);
    options->ttl_s = (int64_t)number;
    break;
  case ZONE:
    status = read_zone(options->zone, optarg);
    break;
  case FAULT:
    status = read_fault(options->faults, "", optarg);
    break;
  case DELAY:
    status = read_fault(options->faults, "*=delay=", optarg);
    break;
  case LOSS:
    status = read_fault(options->faults, "*=loss=", optarg);
    break;
  default:
    return complain(EXIT_WRONG_USAGE, "that is not understood");
  }
  return status ? status : -1;
}

static int read_options(struct options *options, int argc, char **argv, bool is_general) {
  static const struct option names[] = {{"any-address", no_argument, NULL, ANY_ADDRESS},
                                        {"seed", required_argument, NULL, SEED},
                                        {"sets", required_argument, NULL, SETS},
                                        {"all-share", no_argument, NULL, ALL_SHARE},
                                        {"ttl", required_argument, NULL, TTL},
                                        {"zone", required_argument, NULL, ZONE},
                                        {"fault", required_argument, NULL, FAULT},
                                        {"delay", required_argument, NULL, DELAY},
                                        {"loss", required_argument, NULL, LOSS},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'},
                                        {NULL, 0, NULL, 0}};
  int option, status = -1;
  optind = 1;
  while (status == -1 && (option = getopt_long(argc, argv, "l:hV", names, NULL)) != -1) {
    bool is_of_all = option == DELAY || option == LOSS;
    if (is_of_all == is_general)
      status = take_option(options, option);
    else if (option == '?')
      status = EXIT_WRONG_USAGE;
  }
  if (status == -1 && optind < argc)
    status = complain(EXIT_WRONG_USAGE, "there are words that belong to no option");
  return status;
}

static int serve(struct options *options) {
  char error[LOOP_ERROR_SIZE], text[ADDRESS_TEXT_SIZE];
  struct answerer answerer = {.seed = options->seed, .zone = options->zone, .faults = options->faults};
  struct generated *generated = generated_create(options->seed, (uint32_t)options->sets, options->ttl_s);
  struct counts *counts = counts_create();
  struct loop *loop = NULL;
  int status = EXIT_UNAVAILABLE;
  answerer.generated = generated;
  if (generated && options->all_share)
    generated_share_all(generated);
  answerer.counts = counts;
  if (!generated || !counts) {
    complain(status, "not enough memory");
    goto done;
  }
  loop = loop_create(&answerer, options->addresses, options->address_count, error);
  if (!loop) {
    complain(status, error);
    goto done;
  }
  for (size_t i = 0; i < options->address_count; i++)
    printf("listening on %s\n", address_text(&options->addresses[i], text));
  fflush(stdout);
  loop_run(loop);
  counts_print(counts, stdout);
  faults_print(options->faults, stdout);
  status = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_UNAVAILABLE;
done:
  loop_destroy(loop);
  counts_destroy(counts);
  generated_destroy(generated);
  return status;
}

int main(int argc, char **argv) {
  static char program[] = "mxway-upstream";
  if (argc > 0)
    argv[0] = program; /* what getopt complains as, wherever it lies */
  struct options options = {.seed = 1, .sets = GENERATED_SETS_DEFAULT, .ttl_s = -1};
  options.zone = zone_create();
  options.faults = faults_create();
  int status = EXIT_UNAVAILABLE;
  if (!options.zone || !options.faults) {
    complain(status, "not enough memory");
    goto done;
  }
  /* What holds for all names goes before the rules of some, wherever it stands. */
  status = read_options(&options, argc, argv, true);
  if (status == -1)
    status = read_options(&options, argc, argv, false);
  if (status == -1) {
    status = check_addresses(&options);
    if (status == 0)
      status = serve(&options);
  }
done:
  faults_destroy(options.faults);
  zone_destroy(options.zone);
  return status;
}
