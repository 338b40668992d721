#include "config/config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/conffile.h"
#include "base/error.h"
#include "redis/link_tls.h"
#include "store/seal.h"

/* The one option with a key, which stands beside the table. */
static const char route_option[] = "route";
static const char route_sentence[] =
    "Where mail goes for a name of your choice, whatever the DNS says; one for each name.";
static const char route_expected[] =
    "\"DOMAIN\" or \"*.DOMAIN\" = \"EXCHANGE[:PORT] [PREFERENCE], ...\" or \"reject [TEXT]\"";
static const char route_example[] =
    "route \"example.com\" = \"mx1.example.net 10, mx2.example.net:2525 20, expires 2030-12-31\"";

enum {
  DNS_PORT = 53,
  REDIS_PORT = 6379,
  SENTINEL_PORT = 26379,
  REASON_SIZE = CONFFILE_REASON_SIZE,
  ROUTE_VALUE_SIZE = 16 * 1024
};
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
  for (size_t i = 0; i < OPTIONS_COUNT; i++)
    if (strcmp(options_table[i].name, name) == 0)
      return &options_table[i];
  return NULL;
}

static void explain_unknown(const char *name, char reason[REASON_SIZE]) {
  const struct setting *nearest = &options_table[0];
  for (size_t i = 1; i < OPTIONS_COUNT; i++)
    if (distance(name, options_table[i].name) < distance(name, nearest->name))
      nearest = &options_table[i];
  /* A name with half of its letters wrong is no misspelling. */
  if (distance(name, nearest->name) * 2 < strlen(nearest->name))
    snprintf(reason, REASON_SIZE, "unknown option %.60s; did you mean %s?", name, nearest->name);
  else
    snprintf(reason, REASON_SIZE, "unknown option %.60s; mxwayd --help lists them", name);
}

void config_init(struct config *config) {
  char reason[REASON_SIZE];
  memset(config, 0, sizeof(*config));
  for (size_t i = 0; i < OPTIONS_COUNT; i++)
    if (!setting_is_list(&options_table[i])) {
      int status = setting_set(&options_table[i], config, options_table[i].initial, reason);
      assert(status == 0);
    }
}

void config_fini(struct config *config) {
  override_list_fini(&config->routes);
  secret_wipe(config->redis_password, sizeof(config->redis_password));
  secret_wipe(config->redis_sentinel_password, sizeof(config->redis_sentinel_password));
}

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
  struct conffile_option options[OPTIONS_COUNT + 1];
  char reason[REASON_SIZE];
  struct config draft = *config;
  draft.routes = (struct override_list){0}; /* those of the file alone */
  const struct conffile_handlers handlers = {set_from_file, add_route_from_file, explain_unknown, &draft};
  for (size_t i = 0; i < OPTIONS_COUNT; i++) {
    options[i].name = options_table[i].name;
    options[i].is_list = setting_is_list(&options_table[i]);
    options[i].is_keyed = false;
  }
  options[OPTIONS_COUNT] = (struct conffile_option){.name = route_option, .is_keyed = true};
  int status = conffile_parse(path, options, OPTIONS_COUNT + 1, &handlers, error, CONFIG_ERROR_SIZE);
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

int config_parse_assignment(struct config *config, const char *assignment, uint64_t seen[CONFIG_SEEN_WORDS],
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
  size_t place = (size_t)(setting - options_table);
  uint64_t *word = &seen[place / 64], bit = (uint64_t)1 << place % 64;
  if (setting_is_list(setting) && !(*word & bit))
    setting_clear(setting, &draft);
  bool is_empty_list = setting_is_list(setting) && !*value;
  if (!is_empty_list && setting_set(setting, &draft, value, reason) != 0)
    return fail(error, "-o %.100s: %s", assignment, reason);
  *word |= bit;
  *config = draft;
  return 0;
}

/* Part of a key: it must mean the same to all, and nothing to SCAN or a Redis Cluster. */
static int check_key_part(const char *option, const char *text, char error[CONFIG_ERROR_SIZE]) {
  static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  if (text[strspn(text, good)] == '\0')
    return 0;
  return fail(error, "%s = \"%.64s\": expected letters, digits and . _ - alone", option, text);
}

static int check_tls(const struct config *config, char error[CONFIG_ERROR_SIZE]) {
  bool has_file = *config->redis_tls_ca || *config->redis_tls_cert || *config->redis_tls_key;
  if (!config->redis_tls && (has_file || *config->redis_tls_name))
    return fail(error, "redis-tls-%s is set, but redis-tls is no", has_file ? "ca, -cert or -key" : "name");
  if (strchr(config->redis_tls_name, '*'))
    return fail(error, "redis-tls-name = \"%.100s\": expected a name that certificates are for, no pattern",
                config->redis_tls_name);
  if (!*config->redis_tls_cert != !*config->redis_tls_key)
    return fail(error, "redis-tls-cert and redis-tls-key go together: set both or neither");
  const char *path = config->redis_read.path;
  for (size_t i = 0; i < config->redis_count; i++)
    path = *config->redis_targets[i].path ? config->redis_targets[i].path : path;
  if (config->redis_tls && *path)
    return fail(error, "redis-tls is for hosts, not for the Unix socket %.107s", path);
  return 0;
}

/* An option that means nothing without `redis`, and yet is set; NULL: there is none. */
static const char *find_idle(const struct config *config) {
  const struct {
    const char *name;
    bool is_set;
  } options[] = {{"redis-read", link_target_is_set(&config->redis_read)},
                 {"redis-user", *config->redis_user},
                 {"redis-password-file", *config->redis_password_file},
                 {"redis-sentinel-user", *config->redis_sentinel_user},
                 {"redis-sentinel-password-file", *config->redis_sentinel_password_file},
                 {"redis-tls", config->redis_tls},
                 {"redis-mac-key-file", *config->redis_mac_key_file},
                 {"redis-warm-start", config->redis_warm_start > 0}};
  for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
    if (options[i].is_set)
      return options[i].name;
  return NULL;
}

static int check_redis(const struct config *config, char error[CONFIG_ERROR_SIZE]) {
  enum config_topology topology = config->redis_topology;
  if (config->redis_head_start_ms > config->redis_timeout_ms)
    return fail(error, "redis-head-start (%" PRIu32 ") is more than redis-timeout (%" PRIu32 ")",
                config->redis_head_start_ms, config->redis_timeout_ms);
  if (check_key_part("redis-prefix", config->redis_prefix, error) != 0 ||
      check_key_part("redis-cluster-name", config->redis_cluster_name, error) != 0)
    return ERR_CONFIG;
  if (topology == CONFIG_SENTINEL && !*config->redis_master)
    return fail(error,
                "redis-topology is sentinel: redis-master must say by what name the sentinels know it");
  if (topology != CONFIG_SENTINEL && *config->redis_master)
    return fail(error, "redis-master is set, but redis-topology is not sentinel");
  if (topology == CONFIG_SINGLE && config->redis_count > 1)
    return fail(error, "redis names %zu servers, but redis-topology is single", config->redis_count);
  if (topology != CONFIG_SINGLE && link_target_is_set(&config->redis_read))
    return fail(error, "redis-read is for redis-topology single");
  if (topology == CONFIG_CLUSTER && config->redis_database != 0)
    return fail(error, "a Redis Cluster has no redis-database but 0");
  if (config->redis_count == 0 && find_idle(config))
    return fail(error, "%s is set, but redis names no server", find_idle(config));
  if (topology != CONFIG_SENTINEL && *config->redis_sentinel_password_file)
    return fail(error, "redis-sentinel-password-file is set, but redis-topology is not sentinel");
  if (*config->redis_user && !*config->redis_password_file)
    return fail(error, "redis-user is set without redis-password-file");
  if (*config->redis_sentinel_user && !*config->redis_sentinel_password_file)
    return fail(error, "redis-sentinel-user is set without redis-sentinel-password-file");
  return check_tls(config, error);
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
  return check_redis(config, error);
}

/* Reads a password, where a file is named. */
static int read_secret(const char *option, const char *path, char secret[SECRET_SIZE],
                       char error[CONFIG_ERROR_SIZE]) {
  char reason[SECRET_REASON_SIZE];
  if (!*path || secret_read(path, secret, reason) == 0)
    return 0;
  return fail(error, "%s: %s", option, reason);
}

/* What cannot be used is to be known at the start, not at the first connection. */
static int try_tls(const struct config *config, char error[CONFIG_ERROR_SIZE]) {
  const struct link_tls_options options = {.ca = config->redis_tls_ca,
                                           .cert = config->redis_tls_cert,
                                           .key = config->redis_tls_key,
                                           .name = config->redis_tls_name};
  char reason[LINK_TLS_ERROR_SIZE];
  struct link_tls *tls;
  if (!config->redis_tls)
    return 0;
  if (link_tls_create(&options, &tls, reason) != 0)
    return fail(error, "%s", reason);
  link_tls_destroy(tls);
  return 0;
}

static int try_seal(const struct config *config, char error[CONFIG_ERROR_SIZE]) {
  char reason[SEAL_TEXT_SIZE];
  struct seal *seal;
  if (!*config->redis_mac_key_file)
    return 0;
  if (seal_create(config->redis_mac_key_file, reason, &seal) != 0)
    return fail(error, "redis-mac-key-file: %s", reason);
  seal_destroy(seal);
  return 0;
}

static void name_node(struct config *config) {
  char host[CONFIG_WORD_SIZE] = "";
  if (*config->node_name)
    return;
  if (gethostname(host, sizeof(host) - 1) != 0 || !*host)
    snprintf(host, sizeof(host), "mxwayd");
  for (char *c = host; *c; c++)
    if (*c <= ' ' || *c > '~')
      *c = '-';
  snprintf(config->node_name, sizeof(config->node_name), "%s", host);
}

static void set_port(struct link_target *target, uint16_t port) {
  if (*target->host && target->port == 0)
    target->port = port;
}

int config_complete(struct config *config, char error[CONFIG_ERROR_SIZE]) {
  name_node(config);
  for (size_t i = 0; i < config->redis_count; i++)
    set_port(&config->redis_targets[i],
             config->redis_topology == CONFIG_SENTINEL ? SENTINEL_PORT : REDIS_PORT);
  set_port(&config->redis_read, REDIS_PORT);
  if (config->redis_count == 0 || config->redis_mode == CONFIG_REDIS_OFF)
    return 0;
  int status = read_secret("redis-password-file", config->redis_password_file, config->redis_password, error);
  if (status == 0)
    status = read_secret("redis-sentinel-password-file", config->redis_sentinel_password_file,
                         config->redis_sentinel_password, error);
  if (status == 0)
    status = try_tls(config, error);
  return status == 0 ? try_seal(config, error) : status;
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
  for (size_t i = 0; i < OPTIONS_COUNT; i++) {
    const struct setting *setting = &options_table[i];
    char expected[SETTING_EXPECTED_SIZE];
    setting_expected(setting, expected);
    fprintf(out, "%s# %s\n", i ? "\n" : "", setting->sentence);
    const char *nothing = setting_is_list(setting) ? "{}" : "\"\"";
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
  for (size_t i = 0; i < OPTIONS_COUNT; i++) {
    const struct setting *setting = &options_table[i];
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
