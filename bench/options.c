#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum {
  OPTION_GEN = 256,
  OPTION_SEED,
  OPTION_RUNS,
  OPTION_REPEATS,
  OPTION_WARM_UP,
  OPTION_FIND_MAX,
  OPTION_PID,
  OPTION_PIN,
  OPTION_HOLD_IDLE,
  OPTION_VERIFY,
  OPTION_VERIFY_EVERY,
  OPTION_HGRM,
  OPTION_HTML,
  OPTION_ASSERT,
  OPTION_VERSION,
};

static const struct option long_options[] = {
    {"gen", required_argument, NULL, OPTION_GEN},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"runs", required_argument, NULL, OPTION_RUNS},
    {"repeats", required_argument, NULL, OPTION_REPEATS},
    {"warm-up", required_argument, NULL, OPTION_WARM_UP},
    {"find-max", required_argument, NULL, OPTION_FIND_MAX},
    {"pid", required_argument, NULL, OPTION_PID},
    {"pin", required_argument, NULL, OPTION_PIN},
    {"hold-idle", no_argument, NULL, OPTION_HOLD_IDLE},
    {"verify", required_argument, NULL, OPTION_VERIFY},
    {"verify-every", required_argument, NULL, OPTION_VERIFY_EVERY},
    {"hgrm", required_argument, NULL, OPTION_HGRM},
    {"html", required_argument, NULL, OPTION_HTML},
    {"assert", required_argument, NULL, OPTION_ASSERT},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* What is being read, for messages. */
struct reading {
  struct options *options;
  char name[40]; /* "-c", "--runs" */
  const char *value;
  pid_t pid;
  char *error;
};

static int fail(const struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(const struct reading *reading, const char *format, ...) {
  char why[OPTIONS_ERROR_SIZE - 100];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  snprintf(reading->error, OPTIONS_ERROR_SIZE, "%s%s%s", reading->name, *reading->name ? ": " : "", why);
  return -1;
}

/* ---- values ---- */

static int read_count(const struct reading *reading, uint64_t least, uint64_t most, uint64_t *count) {
  char *end;
  errno = 0;
  unsigned long long number = strtoull(reading->value, &end, 10);
  if (reading->value[0] < '0' || reading->value[0] > '9' || *end || errno || number < least || number > most)
    return fail(reading, "'%.40s' is not a whole number from %llu to %llu", reading->value,
                (unsigned long long)least, (unsigned long long)most);
  *count = number;
  return 0;
}

static int read_unsigned(const struct reading *reading, unsigned least, unsigned most, unsigned *number) {
  uint64_t count;
  if (read_count(reading, least, most, &count) != 0)
    return -1;
  *number = (unsigned)count;
  return 0;
}

static int read_seconds(const struct reading *reading, double least, double most, double *seconds) {
  char *end;
  double number = strtod(reading->value, &end);
  if (end == reading->value || *end || !(number >= least && number <= most))
    return fail(reading, "'%.40s' is not a number of seconds from %g to %g", reading->value, least, most);
  *seconds = number;
  return 0;
}

static int read_rate(const struct reading *reading, double *rate) {
  char *end;
  double number = strtod(reading->value, &end);
  if (end != reading->value && (*end == 'k' || *end == 'M'))
    number *= *end++ == 'k' ? 1e3 : 1e6;
  if (end == reading->value || *end || !(number >= 0.001 && number <= 1e9))
    return fail(reading, "'%.40s' is not a rate such as 5000, 100k or 1.2M (lookups a second)",
                reading->value);
  *rate = number;
  return 0;
}

static int read_target(const struct reading *reading) {
  struct options *options = reading->options;
  if (options->target_count == OPTIONS_TARGETS_MAX)
    return fail(reading, "there are at most %d targets", OPTIONS_TARGETS_MAX);
  char error[TARGET_ERROR_SIZE];
  if (target_parse(&options->targets[options->target_count], reading->value, error) != 0)
    return fail(reading, "%s", error);
  options->target_count++;
  return 0;
}

static int read_condition(const struct reading *reading, struct condition **condition) {
  char error[CONDITION_ERROR_SIZE];
  condition_destroy(*condition);
  *condition = condition_parse(reading->value, error);
  return *condition ? 0 : fail(reading, "%s", error);
}

static int read_assertion(const struct reading *reading) {
  struct options *options = reading->options;
  if (options->assertion_count == OPTIONS_ASSERTIONS_MAX)
    return fail(reading, "may be given %d times", OPTIONS_ASSERTIONS_MAX);
  options->assertion_texts[options->assertion_count] = reading->value;
  int result = read_condition(reading, &options->assertions[options->assertion_count]);
  options->assertion_count += result == 0;
  return result;
}

static int read_output(const struct reading *reading) {
  static const char *const names[] = {"text", "json", "csv"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(reading->value, names[i]) == 0) {
      reading->options->output = (enum options_output)i;
      return 0;
    }
  return fail(reading, "'%.40s' is none of text, json, csv", reading->value);
}

/* "0", "0-3", "0+2+4": the comma is between server= and client=. */
static bool read_cpus(const char *text, cpu_set_t *cpus) {
  CPU_ZERO(cpus);
  for (;;) {
    char *end;
    unsigned long first = strtoul(text, &end, 10), last = first;
    if (end == text || *text == '-')
      return false;
    if (*end == '-') {
      text = end + 1;
      last = strtoul(text, &end, 10);
      if (end == text || *text == '-')
        return false;
    }
    if (last < first || last >= CPU_SETSIZE)
      return false;
    for (; first <= last; first++)
      CPU_SET(first, cpus);
    if (*end != '+')
      return *end == '\0';
    text = end + 1;
  }
}

static int read_pins(const struct reading *reading) {
  struct options *options = reading->options;
  char copy[256], *rest = copy, *word;
  if (snprintf(copy, sizeof copy, "%s", reading->value) >= (int)sizeof copy)
    return fail(reading, "too long");
  while ((word = strsep(&rest, ",")) != NULL) {
    bool is_server = strncmp(word, "server=", 7) == 0, is_client = strncmp(word, "client=", 7) == 0;
    if ((!is_server && !is_client) ||
        !read_cpus(word + 7, is_server ? &options->server_cpus : &options->client_cpus))
      return fail(reading, "'%.40s' is not server=CPUS or client=CPUS, such as server=0,client=1-3+5", word);
    options->pins_server |= is_server;
    options->pins_client |= is_client;
  }
  return 0;
}

/* ---- options ---- */

static int read_long(struct reading *reading, int option) {
  struct options *options = reading->options;
  uint64_t pid;
  switch (option) {
  case OPTION_GEN:
    options->generator = reading->value;
    return 0;
  case OPTION_SEED:
    return read_count(reading, 0, UINT64_MAX, &options->seed);
  case OPTION_RUNS:
    return read_unsigned(reading, 1, 1000, &options->runs);
  case OPTION_REPEATS:
    return read_unsigned(reading, 0, 100, &options->repeats_max);
  case OPTION_WARM_UP:
    return read_seconds(reading, 0, 86400, &options->warm_up_s);
  case OPTION_FIND_MAX:
    snprintf(options->find_max_text, sizeof options->find_max_text, "%s", reading->value);
    return read_condition(reading, &options->find_max);
  case OPTION_PID:
    if (read_count(reading, 1, INT32_MAX, &pid) != 0)
      return -1;
    reading->pid = (pid_t)pid;
    return 0;
  case OPTION_PIN:
    return read_pins(reading);
  case OPTION_HOLD_IDLE:
    options->holds_idle = true;
    return 0;
  case OPTION_VERIFY:
    options->verify_file = reading->value;
    return 0;
  case OPTION_VERIFY_EVERY:
    return read_count(reading, 1, UINT64_MAX, &options->verify_every);
  case OPTION_HGRM:
    options->hgrm_file = reading->value;
    return 0;
  case OPTION_HTML:
    options->html_file = reading->value;
    return 0;
  default:
    return read_assertion(reading);
  }
}

static int read_letter(const struct reading *reading, int option) {
  struct options *options = reading->options;
  switch (option) {
  case 's':
    return read_target(reading);
  case 'd':
    options->file = reading->value;
    return 0;
  case 'c':
    return read_unsigned(reading, 1, ENGINE_CONNECTIONS_MAX, &options->connections);
  case 'T':
    return read_unsigned(reading, 1, ENGINE_THREADS_MAX, &options->threads);
  case 'q':
    return read_unsigned(reading, 1, ENGINE_OUTSTANDING_MAX, &options->outstanding);
  case 'Q':
    return read_rate(reading, &options->rate);
  case 'l':
    return read_seconds(reading, 0.01, 86400 * 365, &options->length_s);
  case 'n':
    return read_count(reading, 1, UINT32_MAX, &options->passes);
  case 't':
    return read_seconds(reading, 0.001, 3600, &options->timeout_s);
  case 'S':
    return read_seconds(reading, 0.01, 86400, &options->interval_s);
  case 'o':
    return read_output(reading);
  default:
    options->verbosity++;
    return 0;
  }
}

static void name_option(struct reading *reading, int option) {
  snprintf(reading->name, sizeof reading->name, "-%c", option);
  for (const struct option *known = long_options; option >= OPTION_GEN && known->name; known++)
    if (known->val == option)
      snprintf(reading->name, sizeof reading->name, "--%s", known->name);
}

static int complain(struct reading *reading, int option, const char *word) {
  reading->name[0] = '\0';
  if (option == ':')
    return fail(reading, "%s needs a value", word);
  if (optopt > 0 && optopt < 256 && word[0] == '-' && word[1] != '-')
    return fail(reading, "there is no option -%c", optopt);
  return fail(reading, "there is no option %s, or it takes no value", word);
}

/* What only shows when all is read. */
static int check(struct reading *reading) {
  struct options *options = reading->options;
  reading->name[0] = '\0';
  if (!options->file == !options->generator)
    return fail(reading, options->file ? "-d and --gen: only one of them says what is asked"
                                       : "nothing to ask: give -d FILE or --gen SPEC");
  if (options->find_max && options->rate > 0)
    return fail(reading, "-Q and --find-max: the rate is what is searched");
  if (reading->pid && options->target_count > 1)
    return fail(reading, "--pid is for one target; with several add pid=N to each");
  if (options->target_count == 0) {
    snprintf(reading->name, sizeof reading->name, "-s");
    reading->value = "mxway:";
    if (read_target(reading) != 0)
      return -1;
  }
  if (reading->pid)
    options->targets[0].pid = reading->pid;
  return 0;
}

static void set_defaults(struct options *options) {
  *options = (struct options){
      .seed = 1,
      .connections = 1,
      .threads = 1,
      .outstanding = 64,
      .runs = 1,
      .repeats_max = 2,
      .timeout_s = 5,
  };
}

/* -l, or what is usual: a search takes many runs, a file is asked once through. */
static void set_length(struct options *options) {
  if (options->length_s == 0 && options->find_max)
    options->length_s = 2;
  else if (options->length_s == 0 && options->passes == 0 && options->generator)
    options->length_s = 10;
  else if (options->length_s == 0 && options->passes == 0)
    options->passes = 1;
  if (options->interval_s == 0)
    options->interval_s = options->length_s > 0 ? fmin(fmax(options->length_s / 20, 0.05), 1) : 1;
}

int options_parse(struct options *options, int argc, char **argv, char error[OPTIONS_ERROR_SIZE]) {
  set_defaults(options);
  struct reading reading = {.options = options, .error = error};
  optind = 0; /* glibc and musl start anew then, also in the middle of a word */
  opterr = 0;
  int option;
  while ((option = getopt_long(argc, argv, ":s:d:c:T:q:Q:l:n:t:S:o:vh", long_options, NULL)) != -1) {
    reading.value = optarg;
    if (option == '?' || option == ':')
      return complain(&reading, option, argv[optind - 1]);
    if (option == 'h' || option == OPTION_VERSION) {
      options->action = option == 'h' ? ACTION_HELP : ACTION_VERSION;
      return 0;
    }
    name_option(&reading, option);
    if ((option < OPTION_GEN ? read_letter(&reading, option) : read_long(&reading, option)) != 0)
      return -1;
  }
  if (optind < argc) {
    reading.name[0] = '\0';
    return fail(&reading, "'%.60s' belongs to no option (a target is given with -s)", argv[optind]);
  }
  if (check(&reading) != 0)
    return -1;
  set_length(options);
  return 0;
}

void options_fini(struct options *options) {
  for (size_t i = 0; i < options->target_count; i++)
    target_fini(&options->targets[i]);
  for (size_t i = 0; i < options->assertion_count; i++)
    condition_destroy(options->assertions[i]);
  condition_destroy(options->find_max);
}
