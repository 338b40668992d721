#include "config.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "conffile.h"
#include "error.h"

enum type { TYPE_PATH, TYPE_MODE, TYPE_NUMBER, TYPE_SIZE, TYPE_CHOICE, TYPE_LEVEL, TYPE_SERVERS };

struct setting {
  const char *name;
  enum type type;
  size_t offset;         /* of the field in struct config */
  const char *initial;   /* the default */
  uint64_t min, max;     /* of MODE, NUMBER and SIZE */
  const char *unit;      /* of NUMBER, behind the range */
  const char *off_on[2]; /* of CHOICE: the words for false and true */
  const char *sentence;
};

#define PATH(field, text)                                                                                    \
  TYPE_PATH, offsetof(struct config, field), text, 1, CONFIG_PATH_SIZE - 1, "", { 0 }
#define MODE(field, text)                                                                                    \
  TYPE_MODE, offsetof(struct config, field), text, 0, 0777, "", { 0 }
#define NUMBER(field, text, min, max, unit)                                                                  \
  TYPE_NUMBER, offsetof(struct config, field), text, min, max, unit, { 0 }
#define SIZE(field, text, min)                                                                               \
  TYPE_SIZE, offsetof(struct config, field), text, min, INT64_MAX, "", { 0 }
#define CHOICE(field, off, on)                                                                               \
  TYPE_CHOICE, offsetof(struct config, field), off, 0, 0, "", { off, on }
#define LEVEL(field, text)                                                                                   \
  TYPE_LEVEL, offsetof(struct config, field), text, 0, 0, "", { 0 }
#define SERVERS(field)                                                                                       \
  TYPE_SERVERS, offsetof(struct config, field), "", 0, CONFIG_UPSTREAM_MAX, "", { 0 }

static const struct setting settings[] = {
    {"listen", PATH(listen, "/run/mxway/lookup.sock"), "Path of the Unix socket that answers lookups."},
    {"listen-mode", MODE(listen_mode, "0666"), "Permission bits of that socket: who may ask."},
    {"frontends", NUMBER(frontends, "1", 1, 64, ""), "Threads that answer from memory."},
    {"max-connections", NUMBER(max_connections, "4096", 1, 100000, ""),
     "Clients connected at once; more are turned away."},
    {"upstream", SERVERS(upstreams),
     "DNS servers to ask, the first choice first. Without one: those of resolv-conf."},
    {"resolv-conf", PATH(resolv_conf, "/etc/resolv.conf"),
     "The file that names the DNS servers where upstream does not; changes of it are taken up."},
    {"cache-size", SIZE(cache_size_bytes, "64MiB", 1 << 20), "Memory for what the DNS said."},
    {"min-ttl", NUMBER(min_ttl_s, "0", 0, 3600, " s"),
     "Routes live at least this long, whatever their TTL says. 0 honours the TTL."},
    {"max-ttl", NUMBER(max_ttl_s, "86400", 60, 604800, " s"), "Routes live at most this long."},
    {"max-negative-ttl", NUMBER(max_negative_ttl_s, "3600", 0, 10800, " s"),
     "Denials (no such domain, no such record) live at most this long."},
    {"failure-ttl", NUMBER(failure_ttl_s, "5", 1, 300, " s"),
     "A failed lookup is remembered this long before the DNS is asked again."},
    {"max-failure-ttl", NUMBER(max_failure_ttl_s, "300", 1, 300, " s"),
     "Each further failure in a row is remembered twice as long, up to this."},
    {"lookup-deadline", NUMBER(lookup_deadline_ms, "5000", 200, 60000, " ms"),
     "Every lookup is answered within this time, whatever the DNS does."},
    {"query-timeout", NUMBER(query_timeout_ms, "800", 50, 60000, " ms"),
     "How long one DNS query waits for its reply."},
    {"query-case", CHOICE(plain_case, "random", "plain"),
     "Letters of the names asked for: random makes forged replies far less likely to pass."},
    {"trust-ad", CHOICE(trust_ad, "no", "yes"),
     "Believe servers beyond loopback, too, that say they have validated a reply (the AD bit)."},
    {"query-tries", NUMBER(query_tries, "3", 1, 10, ""),
     "Tries for one question, one after the other, before it fails, over all servers."},
    {"max-cname-hops", NUMBER(max_cname_hops, "8", 1, 16, ""), "Aliases followed from one name."},
    {"max-queries", NUMBER(max_queries, "1024", 1, 65536, ""), "DNS queries under way at once."},
    {"max-queue", NUMBER(max_queue, "65536", 0, 1000000, ""),
     "Lookups that wait behind those; more are answered OVERLOAD."},
    {"accept-bare-ip", CHOICE(accept_bare_ip, "no", "yes"),
     "Take 192.0.2.1 and 2001:db8::1 without brackets for address literals."},
    {"allow-single-label", CHOICE(allow_single_label, "no", "yes"), "Look up names without a dot."},
    {"notimp-as-nodata", CHOICE(notimp_as_nodata, "no", "yes"),
     "Take the reply NOTIMP for \"no such record\" rather than for a failure."},
    {"defer-no-address", CHOICE(defer_no_address, "no", "yes"),
     "Call MX_HOSTS_NO_ADDRESS transient, so that senders try again."},
    {"mx-cname", CHOICE(reject_mx_cname, "follow", "reject"),
     "What to do with an exchange that is an alias, which RFC 2181 section 10.3 forbids."},
    {"log-level", LEVEL(log_level, "info"), "The least important messages that are logged."},
};

enum { SETTING_COUNT = sizeof(settings) / sizeof(settings[0]) };
_Static_assert(SETTING_COUNT <= 64, "config_parse_assignment remembers a bit of each");

enum outcome { GOOD, BAD, OUT_OF_RANGE, TOO_MANY };

enum { REASON_SIZE = CONFFILE_REASON_SIZE, EXPECTED_SIZE = 128 };

static int fail(char error[CONFIG_ERROR_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(char error[CONFIG_ERROR_SIZE], const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error, CONFIG_ERROR_SIZE, format, arguments);
  va_end(arguments);
  return ERR_CONFIG;
}

/* Edit distance, for names short enough to be one of ours. */
static size_t distance(const char *a, const char *b) {
  size_t row[64];
  size_t width = strlen(b);
  assert(width < sizeof(row) / sizeof(row[0]));
  for (size_t j = 0; j <= width; j++)
    row[j] = j;
  for (size_t i = 1; a[i - 1]; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= width; j++) {
      size_t changed = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      row[j] = changed < shorter ? changed : shorter;
    }
  }
  return row[width];
}

static const struct setting *find(const char *name) {
  for (size_t i = 0; i < SETTING_COUNT; i++)
    if (strcmp(settings[i].name, name) == 0)
      return &settings[i];
  return NULL;
}

static void explain_unknown(const char *name, char reason[REASON_SIZE]) {
  const struct setting *nearest = &settings[0];
  for (size_t i = 1; i < SETTING_COUNT; i++)
    if (distance(name, settings[i].name) < distance(name, nearest->name))
      nearest = &settings[i];
  /* A name with half of its letters wrong is no misspelling. */
  if (distance(name, nearest->name) * 2 < strlen(nearest->name))
    snprintf(reason, REASON_SIZE, "unknown option %.60s; did you mean %s?", name, nearest->name);
  else
    snprintf(reason, REASON_SIZE, "unknown option %.60s; mxwayd --help lists them", name);
}

/* Reads decimal digits (or those of another base up to 10) up to `end`. */
static enum outcome parse_digits(const char *text, const char *end, unsigned base, uint64_t *number) {
  uint64_t value = 0;
  if (text == end)
    return BAD;
  for (; text < end; text++) {
    unsigned digit = (unsigned)(unsigned char)*text - '0';
    if (digit >= base)
      return BAD;
    if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
      return OUT_OF_RANGE;
  }
  *number = value;
  return GOOD;
}

static const struct {
  const char *suffix;
  unsigned shift;
} size_units[] = {{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"", 0}};

static enum outcome parse_size(const char *text, uint64_t *bytes) {
  size_t digits = strspn(text, "0123456789");
  for (size_t i = 0; i < sizeof(size_units) / sizeof(size_units[0]); i++)
    if (strcmp(text + digits, size_units[i].suffix) == 0) {
      uint64_t number;
      enum outcome outcome = parse_digits(text, text + digits, 10, &number);
      if (outcome == GOOD && __builtin_mul_overflow(number, (uint64_t)1 << size_units[i].shift, bytes))
        outcome = OUT_OF_RANGE;
      return outcome;
    }
  return BAD;
}

enum { DNS_PORT = 53 };

/* Appends the servers of `text`, separated by commas. */
static enum outcome append_servers(struct config *config, const char *text) {
  for (;;) {
    text += strspn(text, " ");
    size_t length = strcspn(text, ", ");
    char piece[ADDRESS_TEXT_SIZE];
    struct config_upstream upstream;
    if (length >= sizeof(piece))
      return BAD;
    memcpy(piece, text, length);
    piece[length] = '\0';
    if (!address_parse(piece, DNS_PORT, &upstream.address))
      return BAD;
    if (config->upstream_count == CONFIG_UPSTREAM_MAX)
      return TOO_MANY;
    config->upstreams[config->upstream_count++] = upstream;
    text += length;
    text += strspn(text, " ");
    if (!*text)
      return GOOD;
    if (*text++ != ',')
      return BAD;
  }
}

static enum outcome in_range(const struct setting *setting, enum outcome outcome, uint64_t number) {
  if (outcome == GOOD && (number < setting->min || number > setting->max))
    return OUT_OF_RANGE;
  return outcome;
}

static enum outcome set_path(char *field, const char *value) {
  size_t length = strlen(value);
  if (length == 0)
    return BAD;
  for (size_t i = 0; i < length; i++)
    if (iscntrl((unsigned char)value[i]))
      return BAD;
  if (length >= CONFIG_PATH_SIZE)
    return OUT_OF_RANGE;
  memcpy(field, value, length + 1);
  return GOOD;
}

static enum outcome set_choice(const struct setting *setting, bool *field, const char *value) {
  for (int on = 0; on < 2; on++)
    if (strcmp(value, setting->off_on[on]) == 0) {
      *field = on;
      return GOOD;
    }
  return BAD;
}

/* Sets the field of `setting`, or appends to a list. */
static enum outcome set_value(struct config *config, const struct setting *setting, const char *value) {
  void *field = (char *)config + setting->offset;
  uint64_t number = 0;
  enum outcome outcome = BAD;
  switch (setting->type) {
  case TYPE_PATH:
    return set_path(field, value);
  case TYPE_MODE:
  case TYPE_NUMBER:
    outcome = parse_digits(value, value + strlen(value), setting->type == TYPE_MODE ? 8 : 10, &number);
    outcome = in_range(setting, outcome, number);
    if (outcome == GOOD)
      *(uint32_t *)field = (uint32_t)number;
    return outcome;
  case TYPE_SIZE:
    outcome = parse_size(value, &number);
    outcome = in_range(setting, outcome, number);
    if (outcome == GOOD)
      *(uint64_t *)field = number;
    return outcome;
  case TYPE_CHOICE:
    return set_choice(setting, field, value);
  case TYPE_LEVEL:
    return log_level_parse(value, field) ? GOOD : BAD;
  case TYPE_SERVERS:
    return append_servers(config, value);
  }
  return outcome;
}

static const char *noun(enum type type) {
  switch (type) {
  case TYPE_PATH:
    return "a path";
  case TYPE_MODE:
    return "a file mode";
  case TYPE_NUMBER:
    return "a number";
  case TYPE_SIZE:
    return "a size";
  case TYPE_CHOICE:
    return "a choice";
  case TYPE_LEVEL:
    return "a log level";
  case TYPE_SERVERS:
    return "a server";
  }
  return "";
}

static void describe_size(uint64_t bytes, char *text, size_t size) {
  size_t i = 0;
  while (bytes & (((uint64_t)1 << size_units[i].shift) - 1))
    i++;
  snprintf(text, size, "%" PRIu64 "%s", bytes >> size_units[i].shift, size_units[i].suffix);
}

static void describe_expected(const struct setting *setting, char text[EXPECTED_SIZE]) {
  char size[32];
  switch (setting->type) {
  case TYPE_PATH:
    snprintf(text, EXPECTED_SIZE, "1 to %" PRIu64 " octets without control characters", setting->max);
    break;
  case TYPE_MODE:
    snprintf(text, EXPECTED_SIZE, "octal digits, 0 to 0%" PRIo64, setting->max);
    break;
  case TYPE_NUMBER:
    snprintf(text, EXPECTED_SIZE, "%" PRIu64 " to %" PRIu64 "%s", setting->min, setting->max, setting->unit);
    break;
  case TYPE_SIZE:
    describe_size(setting->min, size, sizeof(size));
    snprintf(text, EXPECTED_SIZE, "a number with KiB, MiB or GiB, at least %s", size);
    break;
  case TYPE_CHOICE:
    snprintf(text, EXPECTED_SIZE, "%s or %s", setting->off_on[1], setting->off_on[0]);
    break;
  case TYPE_LEVEL:
    snprintf(text, EXPECTED_SIZE, "error, warning, notice, info or debug");
    break;
  case TYPE_SERVERS:
    snprintf(text, EXPECTED_SIZE, "ADDRESS, IPV4:PORT or [IPV6]:PORT, at most %" PRIu64, setting->max);
    break;
  }
}

static void explain(const struct setting *setting, enum outcome outcome, const char *value,
                    char reason[REASON_SIZE]) {
  char expected[EXPECTED_SIZE];
  describe_expected(setting, expected);
  switch (outcome) {
  case GOOD:
    break;
  case BAD:
    snprintf(reason, REASON_SIZE, "\"%.60s\" is not %s: expected %s", value, noun(setting->type), expected);
    break;
  case OUT_OF_RANGE:
    snprintf(reason, REASON_SIZE, "\"%.60s\" is out of range: expected %s", value, expected);
    break;
  case TOO_MANY:
    snprintf(reason, REASON_SIZE, "\"%.60s\" is one too many: expected %s", value, expected);
    break;
  }
}

void config_init(struct config *config) {
  memset(config, 0, sizeof(*config));
  for (size_t i = 0; i < SETTING_COUNT; i++)
    if (settings[i].type != TYPE_SERVERS) {
      enum outcome outcome = set_value(config, &settings[i], settings[i].initial);
      assert(outcome == GOOD);
    }
}

/* The handler of conffile; `context` is the draft of a config. */
static int set_from_file(void *context, const char *name, size_t position, const char *value,
                         char reason[CONFFILE_REASON_SIZE]) {
  struct config *draft = context;
  const struct setting *setting = find(name);
  if (setting->type == TYPE_SERVERS && position == 0)
    draft->upstream_count = 0;
  enum outcome outcome = value ? set_value(draft, setting, value) : GOOD;
  if (outcome == GOOD)
    return 0;
  explain(setting, outcome, value, reason);
  return ERR_CONFIG;
}

int config_parse_file(struct config *config, const char *path, char error[CONFIG_ERROR_SIZE]) {
  struct conffile_option options[SETTING_COUNT];
  struct config draft = *config;
  const struct conffile_handlers handlers = {set_from_file, explain_unknown, &draft};
  for (size_t i = 0; i < SETTING_COUNT; i++) {
    options[i].name = settings[i].name;
    options[i].is_list = settings[i].type == TYPE_SERVERS;
  }
  int status = conffile_parse(path, options, SETTING_COUNT, &handlers, error, CONFIG_ERROR_SIZE);
  if (status == 0)
    *config = draft;
  return status;
}

int config_parse_assignment(struct config *config, const char *assignment, uint64_t *seen,
                            char error[CONFIG_ERROR_SIZE]) {
  char name[64], reason[REASON_SIZE];
  size_t length = strcspn(assignment, "=");
  if (!assignment[length] || length == 0)
    return fail(error, "-o %.100s: expected NAME=VALUE", assignment);
  snprintf(name, sizeof(name), "%.*s", (int)(length < sizeof(name) ? length : sizeof(name)), assignment);
  const char *value = assignment + length + 1;
  const struct setting *setting = find(name);
  if (!setting) {
    explain_unknown(name, reason);
    return fail(error, "-o %.100s: %s", assignment, reason);
  }
  struct config draft = *config;
  uint64_t bit = (uint64_t)1 << (setting - settings);
  if (setting->type == TYPE_SERVERS && !(*seen & bit))
    draft.upstream_count = 0;
  bool empty_list = setting->type == TYPE_SERVERS && !*value;
  enum outcome outcome = empty_list ? GOOD : set_value(&draft, setting, value);
  if (outcome != GOOD) {
    explain(setting, outcome, value, reason);
    return fail(error, "-o %.100s: %s", assignment, reason);
  }
  *seen |= bit;
  *config = draft;
  return 0;
}

int config_check(const struct config *config, char error[CONFIG_ERROR_SIZE]) {
  if (config->min_ttl_s > config->max_ttl_s)
    return fail(error, "min-ttl (%" PRIu32 ") is more than max-ttl (%" PRIu32 ")", config->min_ttl_s,
                config->max_ttl_s);
  if (config->failure_ttl_s > config->max_failure_ttl_s)
    return fail(error, "failure-ttl (%" PRIu32 ") is more than max-failure-ttl (%" PRIu32 ")",
                config->failure_ttl_s, config->max_failure_ttl_s);
  if (config->query_timeout_ms > config->lookup_deadline_ms)
    return fail(error, "query-timeout (%" PRIu32 ") is more than lookup-deadline (%" PRIu32 ")",
                config->query_timeout_ms, config->lookup_deadline_ms);
  return 0;
}

/* One line of resolv.conf(5): a keyword at its start, and what it names. True: it names a server. */
static bool read_resolv_line(char *line, struct config_upstream *upstream) {
  static const char keyword[] = "nameserver";
  const size_t length = sizeof(keyword) - 1;
  if (strncmp(line, keyword, length) != 0 || !strchr(" \t", line[length]))
    return false;
  char *host = line + length + strspn(line + length, " \t");
  host[strcspn(host, " \t\r\n")] = '\0';
  if (address_parse(host, DNS_PORT, &upstream->address))
    return true;
  log_warning("resolv.conf: nameserver \"%s\" is not an address", host);
  return false;
}

size_t config_read_resolv_conf(const char *path, struct config_upstream upstreams[CONFIG_UPSTREAM_MAX]) {
  FILE *file = fopen(path, "re");
  char *line = NULL;
  size_t size = 0, count = 0;
  while (file && count < CONFIG_UPSTREAM_MAX && getline(&line, &size, file) >= 0)
    count += read_resolv_line(line, &upstreams[count]);
  free(line);
  if (file)
    fclose(file);
  return count;
}

void config_resolve_upstreams(struct config *config) {
  if (config->upstream_count > 0)
    return;
  config->follows_resolv_conf = true;
  config->upstream_count = config_read_resolv_conf(config->resolv_conf, config->upstreams);
  if (config->upstream_count == 0)
    append_servers(config, "127.0.0.1,::1");
}

const char *config_upstream_text(const struct config_upstream *upstream, char text[ADDRESS_TEXT_SIZE]) {
  return address_text(&upstream->address, text);
}

/* A double-quoted string of libconfuse. */
static void print_quoted(const char *text, FILE *out) {
  fputc('"', out);
  for (; *text; text++) {
    if (strchr("\"\\$", *text))
      fputc('\\', out);
    fputc(*text, out);
  }
  fputc('"', out);
}

static void print_servers(const struct config *config, FILE *out) {
  char text[ADDRESS_TEXT_SIZE];
  fputc('{', out);
  for (size_t i = 0; i < config->upstream_count; i++)
    fprintf(out, "%s\"%s\"", i ? ", " : "", config_upstream_text(&config->upstreams[i], text));
  fputc('}', out);
}

static void print_value(const struct config *config, const struct setting *setting, FILE *out) {
  const void *field = (const char *)config + setting->offset;
  char size[32];
  switch (setting->type) {
  case TYPE_PATH:
    print_quoted(field, out);
    break;
  case TYPE_MODE:
    fprintf(out, "0%" PRIo32, *(const uint32_t *)field);
    break;
  case TYPE_NUMBER:
    fprintf(out, "%" PRIu32, *(const uint32_t *)field);
    break;
  case TYPE_SIZE:
    describe_size(*(const uint64_t *)field, size, sizeof(size));
    fputs(size, out);
    break;
  case TYPE_CHOICE:
    fputs(setting->off_on[*(const bool *)field], out);
    break;
  case TYPE_LEVEL:
    fputs(log_level_name(*(const enum log_level *)field), out);
    break;
  case TYPE_SERVERS:
    print_servers(config, out);
    break;
  }
}

void config_print(const struct config *config, FILE *out) {
  for (size_t i = 0; i < SETTING_COUNT; i++) {
    const struct setting *setting = &settings[i];
    char expected[EXPECTED_SIZE];
    describe_expected(setting, expected);
    fprintf(out, "%s# %s\n", i ? "\n" : "", setting->sentence);
    fprintf(out, "# Default: %s. Expected: %s.\n", *setting->initial ? setting->initial : "{}", expected);
    fprintf(out, "%s = ", setting->name);
    print_value(config, setting, out);
    fputc('\n', out);
  }
}

void config_print_help(FILE *out) {
  for (size_t i = 0; i < SETTING_COUNT; i++) {
    const struct setting *setting = &settings[i];
    char expected[EXPECTED_SIZE];
    describe_expected(setting, expected);
    fprintf(out, "  %s: %s\n", setting->name, expected);
    fprintf(out, "      %s", setting->sentence);
    if (*setting->initial)
      fprintf(out, " Default %s.", setting->initial);
    fputc('\n', out);
  }
}
