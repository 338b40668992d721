#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "conffile.h"
#include "error.h"
#include "setting.h"

/* Each gives of struct setting what stands between its name and its sentence. */
#define PATH(field, text)                                                                                    \
  SETTING_PATH, offsetof(struct config, field), 0, text, 1, CONFIG_PATH_SIZE - 1, "", { 0 }
#define PATH_OR_NONE(field, text)                                                                            \
  SETTING_PATH, offsetof(struct config, field), 0, text, 0, CONFIG_PATH_SIZE - 1, "", { 0 }
#define MODE(field, text)                                                                                    \
  SETTING_MODE, offsetof(struct config, field), 0, text, 0, 0777, "", { 0 }
#define NUMBER(field, text, min, max, unit)                                                                  \
  SETTING_NUMBER, offsetof(struct config, field), 0, text, min, max, unit, { 0 }
#define SIZE(field, text, min)                                                                               \
  SETTING_SIZE, offsetof(struct config, field), 0, text, min, INT64_MAX, "", { 0 }
#define CHOICE(field, off, on)                                                                               \
  SETTING_CHOICE, offsetof(struct config, field), 0, off, 0, 0, "", { off, on }
#define LEVEL(field, text)                                                                                   \
  SETTING_LEVEL, offsetof(struct config, field), 0, text, 0, 0, "", { 0 }
#define FAMILIES(field)                                                                                      \
  SETTING_FAMILIES, offsetof(struct config, field), 0, "any", 0, 0, "", { 0 }
#define LIST(type, field, count, most)                                                                       \
  type, offsetof(struct config, field), offsetof(struct config, count), "", 0, most, "", { 0 }

static const struct setting settings[] = {
    {"listen", PATH(listen, "/run/mxway/lookup.sock"), "Path of the Unix socket that answers lookups."},
    {"listen-mode", MODE(listen_mode, "0666"), "Permission bits of that socket: who may ask."},
    {"control", PATH_OR_NONE(control, "/run/mxway/control.sock"),
     "Path of the Unix socket for mxway stats, show, purge, dump and load. Empty: none."},
    {"control-mode", MODE(control_mode, "0600"), "Permission bits of that socket: who may control."},
    {"frontends", NUMBER(frontends, "1", 1, 64, ""), "Threads that answer from memory."},
    {"max-connections", NUMBER(max_connections, "4096", 1, 100000, ""),
     "Clients connected at once; more are turned away."},
    {"upstream", LIST(SETTING_SERVERS, upstreams, upstream_count, CONFIG_UPSTREAM_MAX),
     "DNS servers to ask, the first choice first. Without one: those of resolv-conf."},
    {"resolv-conf", PATH(resolv_conf, "/etc/resolv.conf"),
     "The file that names the DNS servers where upstream does not; changes of it are taken up."},
    {"cache-size", SIZE(cache_size_bytes, "64MiB", 1 << 20), "Memory for what the DNS said."},
    {"snapshot-file", PATH_OR_NONE(snapshot_file, ""),
     "File in which memory outlives the daemon: read at its start, written at its end. Empty: none."},
    {"snapshot-interval", NUMBER(snapshot_interval_s, "300", 0, 86400, " s"),
     "The file is also written so often. 0: only at the end."},
    {"min-ttl", NUMBER(min_ttl_s, "0", 0, 3600, " s"),
     "Routes live at least this long, whatever their TTL says. 0 honours the TTL."},
    {"max-ttl", NUMBER(max_ttl_s, "86400", 60, 604800, " s"), "Routes live at most this long."},
    {"max-negative-ttl", NUMBER(max_negative_ttl_s, "3600", 0, 10800, " s"),
     "Denials (no such domain, no such record) live at most this long."},
    {"failure-ttl", NUMBER(failure_ttl_s, "5", 1, 300, " s"),
     "A failed lookup is remembered this long before the DNS is asked again."},
    {"max-failure-ttl", NUMBER(max_failure_ttl_s, "300", 1, 300, " s"),
     "Each further failure in a row is remembered twice as long, up to this."},
    {"max-stale", NUMBER(max_stale_s, "86400", 0, 259200, " s"),
     "Routes that expired at most this long ago are answered while the DNS fails or is late. 0: never."},
    {"stale-after", NUMBER(stale_after_ms, "1800", 0, 60000, " ms"),
     "How long a client waits for the DNS before it is answered from an expired route."},
    {"prefetch", NUMBER(prefetch_percent, "10", 0, 50, " percent"),
     "A hit in this last part of a route's life asks for it anew, ahead of its end. 0: never."},
    {"lookup-deadline", NUMBER(lookup_deadline_ms, "5000", 200, 60000, " ms"),
     "Every lookup is answered within this time, whatever the DNS does."},
    {"query-timeout", NUMBER(query_timeout_ms, "800", 50, 60000, " ms"),
     "How long one DNS query waits for its reply."},
    {"query-case", CHOICE(plain_case, "random", "plain"),
     "Letters of the names asked for: random makes forged replies far less likely to pass."},
    {"trust-ad", CHOICE(trust_ad, "no", "yes"),
     "Believe servers beyond loopback, too, that say they have validated a reply (the AD bit)."},
    {"query-tries", NUMBER(query_tries, "3", 1, 10, ""),
     "Queries sent for one question before it fails, over all servers."},
    {"max-cname-hops", NUMBER(max_cname_hops, "8", 1, 16, ""), "Aliases followed from one name."},
    {"max-queries", NUMBER(max_queries, "1024", 1, 65536, ""), "DNS queries under way at once."},
    {"max-queue", NUMBER(max_queue, "65536", 0, 1000000, ""),
     "Lookups that wait behind those; more are answered OVERLOAD."},
    {"accept-bare-ip", CHOICE(accept_bare_ip, "no", "yes"),
     "Take 192.0.2.1 and 2001:db8::1 without brackets for address literals."},
    {"allow-single-label", CHOICE(allow_single_label, "no", "yes"), "Look up names without a dot."},
    {"special-use", CHOICE(resolve_special_use, "refuse", "resolve"),
     "What to do with .invalid, .localhost, .local, .onion and .alt, which the DNS does not have."},
    {"notimp-as-nodata", CHOICE(notimp_as_nodata, "no", "yes"),
     "Take the reply NOTIMP for \"no such record\" rather than for a failure."},
    {"defer-no-address", CHOICE(defer_no_address, "no", "yes"),
     "Call MX_HOSTS_NO_ADDRESS transient, so that senders try again."},
    {"mx-cname", CHOICE(reject_mx_cname, "follow", "reject"),
     "What to do with an exchange that is an alias, which RFC 2181 section 10.3 forbids."},
    {"mx-address", CHOICE(reject_mx_address, "accept", "reject"),
     "What to do with an exchange that is an address rather than a name."},
    {"null-mx-mixed", CHOICE(strict_null_mx_mixed, "drop", "strict"),
     "A null MX beside real exchanges: drop it and use those, or be strict and take no mail to be meant."},
    {"family", FAMILIES(families),
     "Which addresses are answered, and in what order, where the request leaves it open."},
    {"self-name", LIST(SETTING_NAMES, self_names, self_name_count, CONFIG_SELF_NAMES_MAX),
     "Names of this mail system: exchanges at and behind itself are left out for every sender."},
    {"self-address", LIST(SETTING_ADDRESSES, self_addresses, self_address_count, CONFIG_SELF_ADDRESSES_MAX),
     "The same by address."},
    {"drop-private", CHOICE(drop_private, "no", "yes"),
     "Leave out private, shared and link-local addresses, as loopback and multicast ones are always."},
    {"allow-address", LIST(SETTING_PREFIXES, allow, allow_count, CONFIG_ALLOW_MAX),
     "Networks whose addresses are never left out for what they are."},
    {"log-level", LEVEL(log_level, "info"), "The least important messages that are logged."},
};

enum { SETTING_COUNT = sizeof(settings) / sizeof(settings[0]) };
_Static_assert(SETTING_COUNT <= 64, "config_parse_assignment remembers a bit of each");

/* The one option with a key, which stands beside the table. */
static const char route_option[] = "route";
static const char route_sentence[] =
    "Where mail goes for a name of your choice, whatever the DNS says; one for each name.";
static const char route_expected[] =
    "\"DOMAIN\" or \"*.DOMAIN\" = \"EXCHANGE[:PORT] [PREFERENCE], ...\" or \"reject [TEXT]\"";
static const char route_example[] =
    "route \"example.com\" = \"mx1.example.net 10, mx2.example.net:2525 20, expires 2030-12-31\"";

enum { DNS_PORT = 53, REASON_SIZE = CONFFILE_REASON_SIZE, ROUTE_VALUE_SIZE = 16 * 1024 };
_Static_assert((int)CONFFILE_REASON_SIZE == (int)SETTING_REASON_SIZE &&
                   (int)CONFFILE_REASON_SIZE == (int)OVERRIDE_REASON_SIZE,
               "a reason goes from setting and override to conffile");
_Static_assert(sizeof(struct config_upstream) == sizeof(struct sockaddr_storage), "a list of them");
_Static_assert((int)CONFIG_NAME_SIZE == (int)SETTING_NAME_SIZE, "a list of them");

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

void config_init(struct config *config) {
  char reason[REASON_SIZE];
  memset(config, 0, sizeof(*config));
  for (size_t i = 0; i < SETTING_COUNT; i++)
    if (!setting_is_list(&settings[i])) {
      int status = setting_set(&settings[i], config, settings[i].initial, reason);
      assert(status == 0);
    }
}

void config_fini(struct config *config) { override_list_fini(&config->routes); }

/* The handler of conffile; `context` is the draft of a config. */
static int set_from_file(void *context, const char *name, size_t position, const char *value,
                         char reason[CONFFILE_REASON_SIZE]) {
  struct config *draft = context;
  const struct setting *setting = find(name);
  if (setting_is_list(setting) && position == 0)
    setting_clear(setting, draft);
  return value ? setting_set(setting, draft, value, reason) : 0;
}

static int parse_route(const char *pattern, const char *value, struct override **route,
                       char reason[REASON_SIZE]) {
  int status = override_parse(pattern, value, route, reason);
  if (status == ERR_NOMEM)
    snprintf(reason, REASON_SIZE, "%s", error_text(status));
  return status == 0 ? 0 : ERR_CONFIG;
}

/* Says why a list did not take a route. */
static int explain_full(int status, char reason[REASON_SIZE]) {
  if (status == ERR_TOO_LARGE)
    snprintf(reason, REASON_SIZE, "one route too many: expected at most %d", OVERRIDES_MAX);
  else
    snprintf(reason, REASON_SIZE, "%s", error_text(status));
  return ERR_CONFIG;
}

/* The other handler: the one option with a key is a route. */
static int add_route_from_file(void *context, const char *name, const char *pattern, const char *value,
                               char reason[CONFFILE_REASON_SIZE]) {
  struct config *draft = context;
  struct override *route;
  (void)name;
  if (parse_route(pattern, value, &route, reason) != 0)
    return ERR_CONFIG;
  bool is_twice = override_list_has(&draft->routes, route);
  int status = is_twice ? ERR_CONFIG : override_list_put(&draft->routes, route);
  if (is_twice)
    snprintf(reason, REASON_SIZE, "\"%.100s\" has a route already", pattern);
  else if (status != 0)
    explain_full(status, reason);
  if (status != 0)
    free(route);
  return status == 0 ? 0 : ERR_CONFIG;
}

int config_parse_file(struct config *config, const char *path, char error[CONFIG_ERROR_SIZE]) {
  struct conffile_option options[SETTING_COUNT + 1];
  char reason[REASON_SIZE];
  struct config draft = *config;
  draft.routes = (struct override_list){0}; /* those of the file alone */
  const struct conffile_handlers handlers = {set_from_file, add_route_from_file, explain_unknown, &draft};
  for (size_t i = 0; i < SETTING_COUNT; i++) {
    options[i].name = settings[i].name;
    options[i].is_list = setting_is_list(&settings[i]);
    options[i].is_keyed = false;
  }
  options[SETTING_COUNT] = (struct conffile_option){.name = route_option, .is_keyed = true};
  int status = conffile_parse(path, options, SETTING_COUNT + 1, &handlers, error, CONFIG_ERROR_SIZE);
  if (status == 0 && (status = override_list_move(&config->routes, &draft.routes)) != 0) {
    explain_full(status, reason);
    status = fail(error, "%s: %s", path, reason);
  }
  if (status != 0) {
    override_list_fini(&draft.routes);
    return status;
  }
  draft.routes = config->routes;
  *config = draft;
  return 0;
}

/* What stands behind `route` in an assignment, or NULL. */
static const char *route_assignment(const char *assignment) {
  size_t length = strlen(route_option);
  return strncmp(assignment, route_option, length) == 0 && strchr(" \t=", assignment[length])
             ? assignment + length
             : NULL;
}

/* A copy of a part of an assignment, without the spaces around it and the quotation marks that the file has;
 * false where there is no room. */
static bool copy_unquoted(char *to, size_t size, const char *from, size_t length) {
  while (length > 0 && (from[0] == ' ' || from[0] == '\t'))
    from++, length--;
  while (length > 0 && (from[length - 1] == ' ' || from[length - 1] == '\t'))
    length--;
  if (length >= 2 && (from[0] == '"' || from[0] == '\'') && from[length - 1] == from[0])
    from++, length -= 2;
  if (length >= size)
    return false;
  memcpy(to, from, length);
  to[length] = '\0';
  return true;
}

/* `equals` is the one in `assignment`, whose pattern begins at `at`. */
static int assign_route(struct config *config, const char *assignment, const char *at, const char *equals,
                        char error[CONFIG_ERROR_SIZE]) {
  char pattern[2 * OVERRIDE_PATTERN_SIZE], value[ROUTE_VALUE_SIZE], reason[REASON_SIZE];
  struct override *route;
  if (equals == at)
    return fail(error, "-o %.100s: expected route PATTERN=VALUE", assignment);
  if (!copy_unquoted(pattern, sizeof(pattern), at, (size_t)(equals - at)))
    return fail(error, "-o %.100s: the pattern is too long", assignment);
  if (!copy_unquoted(value, sizeof(value), equals + 1, strlen(equals + 1)))
    return fail(error, "-o %.100s: the route is too long", assignment);
  if (parse_route(pattern, value, &route, reason) != 0)
    return fail(error, "-o %.100s: %s", assignment, reason);
  int status = override_list_put(&config->routes, route);
  if (status == 0)
    return 0;
  free(route);
  explain_full(status, reason);
  return fail(error, "-o %.100s: %s", assignment, reason);
}

int config_parse_assignment(struct config *config, const char *assignment, uint64_t *seen,
                            char error[CONFIG_ERROR_SIZE]) {
  char name[64], reason[REASON_SIZE];
  size_t length = strcspn(assignment, "=");
  if (!assignment[length] || length == 0)
    return fail(error, "-o %.100s: expected NAME=VALUE", assignment);
  const char *pattern = route_assignment(assignment);
  if (pattern)
    return assign_route(config, assignment, pattern, assignment + length, error);
  snprintf(name, sizeof(name), "%.*s", (int)(length < sizeof(name) ? length : sizeof(name)), assignment);
  const char *value = assignment + length + 1;
  const struct setting *setting = find(name);
  if (!setting) {
    explain_unknown(name, reason);
    return fail(error, "-o %.100s: %s", assignment, reason);
  }
  struct config draft = *config;
  uint64_t bit = (uint64_t)1 << (setting - settings);
  if (setting_is_list(setting) && !(*seen & bit))
    setting_clear(setting, &draft);
  bool is_empty_list = setting_is_list(setting) && !*value;
  if (!is_empty_list && setting_set(setting, &draft, value, reason) != 0)
    return fail(error, "-o %.100s: %s", assignment, reason);
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
  if (config->upstream_count > 0)
    return;
  address_parse("127.0.0.1", DNS_PORT, &config->upstreams[0].address);
  address_parse("::1", DNS_PORT, &config->upstreams[1].address);
  config->upstream_count = 2;
}

const char *config_upstream_text(const struct config_upstream *upstream, char text[ADDRESS_TEXT_SIZE]) {
  return address_text(&upstream->address, text);
}

void config_print(const struct config *config, FILE *out) {
  for (size_t i = 0; i < SETTING_COUNT; i++) {
    const struct setting *setting = &settings[i];
    char expected[SETTING_EXPECTED_SIZE];
    setting_expected(setting, expected);
    fprintf(out, "%s# %s\n", i ? "\n" : "", setting->sentence);
    const char *nothing = setting->type == SETTING_PATH ? "\"\"" : "{}";
    fprintf(out, "# Default: %s. Expected: %s.\n", *setting->initial ? setting->initial : nothing, expected);
    fprintf(out, "%s = ", setting->name);
    setting_print(setting, config, out);
    fputc('\n', out);
  }
  fprintf(out, "\n# %s\n# Expected: %s.\n", route_sentence, route_expected);
  fprintf(out, "# For example: %s\n", route_example);
  for (size_t i = 0; i < config->routes.count; i++)
    override_print(config->routes.items[i], out);
}

void config_print_help(FILE *out) {
  for (size_t i = 0; i < SETTING_COUNT; i++) {
    const struct setting *setting = &settings[i];
    char expected[SETTING_EXPECTED_SIZE];
    setting_expected(setting, expected);
    fprintf(out, "  %s: %s\n", setting->name, expected);
    fprintf(out, "      %s", setting->sentence);
    if (*setting->initial)
      fprintf(out, " Default %s.", setting->initial);
    fputc('\n', out);
  }
  fprintf(out, "  %s: %s\n      %s\n", route_option, route_expected, route_sentence);
}
