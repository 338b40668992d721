#include "cmocka_compat.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "config/config.h"

static char path[] = "/tmp/mxway-test-config-XXXXXX";

static int make_file(void **state) {
  (void)state;
  int file = mkstemp(path);
  return file < 0 ? -1 : close(file);
}

static int remove_file(void **state) {
  (void)state;
  return unlink(path);
}

static void write_file(const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
  assert_int_equal(fclose(file), 0);
}

static struct config parse_good(const char *text) {
  struct config config;
  char error[CONFIG_ERROR_SIZE];
  config_init(&config);
  write_file(text);
  if (config_parse_file(&config, path, error) != 0)
    fail_msg("%s", error);
  return config;
}

/* `message` is what follows the path. The config must be untouched. */
static void expect_error(const char *text, const char *message) {
  struct config before, after;
  char error[CONFIG_ERROR_SIZE], expected[CONFIG_ERROR_SIZE];
  config_init(&before);
  memcpy(&after, &before, sizeof(after));
  write_file(text);
  assert_int_equal(config_parse_file(&after, path, error), ERR_CONFIG);
  snprintf(expected, sizeof(expected), "%s%s", path, message);
  assert_string_equal(error, expected);
  assert_memory_equal(&after, &before, sizeof(after));
}

static void set_good(struct config *config, const char *assignment) {
  uint64_t seen[CONFIG_SEEN_WORDS] = {0};
  char error[CONFIG_ERROR_SIZE];
  if (config_parse_assignment(config, assignment, seen, error) != 0)
    fail_msg("%s", error);
}

static void expect_assignment_error(const char *assignment, const char *message) {
  struct config before, after;
  uint64_t seen[CONFIG_SEEN_WORDS] = {0};
  char error[CONFIG_ERROR_SIZE];
  config_init(&before);
  memcpy(&after, &before, sizeof(after));
  assert_int_equal(config_parse_assignment(&after, assignment, seen, error), ERR_CONFIG);
  assert_string_equal(error, message);
  assert_memory_equal(&after, &before, sizeof(after));
  for (size_t i = 0; i < CONFIG_SEEN_WORDS; i++)
    assert_true(seen[i] == 0);
}

static void assert_prefix(const struct address_prefix *prefix, const char *expected) {
  char text[ADDRESS_TEXT_SIZE];
  assert_string_equal(address_prefix_text(prefix, text), expected);
}

static void assert_upstream(const struct config *config, size_t i, const char *expected) {
  char text[64];
  assert_true(i < config->upstream_count);
  assert_string_equal(config_upstream_text(&config->upstreams[i], text), expected);
}

static void the_defaults_are_those_of_the_rules(void **state) {
  (void)state;
  struct config config;
  config_init(&config);
  assert_string_equal(config.listen, "/run/mxway/lookup.sock");
  assert_int_equal(config.listen_mode, 0666);
  assert_int_equal(config.frontends, 1);
  assert_int_equal(config.max_connections, 4096);
  assert_int_equal(config.upstream_count, 0);
  assert_int_equal(config.cache_size_bytes, 64 << 20);
  assert_int_equal(config.min_ttl_s, 0);
  assert_int_equal(config.max_ttl_s, 86400);
  assert_int_equal(config.max_negative_ttl_s, 3600);
  assert_int_equal(config.failure_ttl_s, 5);
  assert_int_equal(config.lookup_deadline_ms, 5000);
  assert_int_equal(config.query_timeout_ms, 800);
  assert_int_equal(config.query_tries, 3);
  assert_int_equal(config.max_cname_hops, 8);
  assert_int_equal(config.max_queries, 1024);
  assert_int_equal(config.max_queue, 65536);
  assert_false(config.accept_bare_ip || config.allow_single_label || config.resolve_special_use);
  assert_false(config.notimp_as_nodata || config.defer_no_address || config.reject_mx_cname);
  assert_false(config.reject_mx_address || config.strict_null_mx_mixed || config.drop_private);
  assert_int_equal(config.families, FAMILIES_ANY);
  assert_int_equal(config.self_name_count + config.self_address_count + config.allow_count, 0);
  assert_int_equal(config.log_level, LOG_LEVEL_INFO);
}

static void a_file_sets_every_option(void **state) {
  (void)state;
  struct config config = parse_good(
      "listen = /tmp/a.sock\nlisten-mode = 600\nfrontends = 64\n"
      "max-connections = 7\nupstream = {192.0.2.1, \"[2001:db8::1]:5300\"}\n"
      "cache-size = 3GiB\nmin-ttl = 3600\nmax-ttl = 60\n"
      "max-negative-ttl = 0\nfailure-ttl = 300\nlookup-deadline = 60000\n"
      "query-timeout = 50\nquery-tries = 10\nmax-cname-hops = 16\n"
      "max-queries = 65536\nmax-queue = 0\naccept-bare-ip = yes\n"
      "allow-single-label = yes\nspecial-use = resolve\nnotimp-as-nodata = yes\n"
      "defer-no-address = yes\nmx-cname = reject\nmx-address = reject\nnull-mx-mixed = strict\n"
      "family = v4-first\nself-name = {Mx.Example.test., localhost}\n"
      "self-address = {192.0.2.1, 2001:db8::1}\ndrop-private = yes\n"
      "allow-address = {127.0.0.1, 10.0.0.0/8, fd00::/64}\nlog-level = debug\n");
  assert_string_equal(config.listen, "/tmp/a.sock");
  assert_int_equal(config.listen_mode, 0600);
  assert_int_equal(config.frontends, 64);
  assert_int_equal(config.max_connections, 7);
  assert_int_equal(config.upstream_count, 2);
  assert_upstream(&config, 0, "192.0.2.1:53");
  assert_upstream(&config, 1, "[2001:db8::1]:5300");
  assert_true(config.cache_size_bytes == (uint64_t)3 << 30);
  assert_int_equal(config.min_ttl_s, 3600);
  assert_int_equal(config.max_ttl_s, 60);
  assert_int_equal(config.max_negative_ttl_s, 0);
  assert_int_equal(config.failure_ttl_s, 300);
  assert_int_equal(config.lookup_deadline_ms, 60000);
  assert_int_equal(config.query_timeout_ms, 50);
  assert_int_equal(config.query_tries, 10);
  assert_int_equal(config.max_cname_hops, 16);
  assert_int_equal(config.max_queries, 65536);
  assert_int_equal(config.max_queue, 0);
  assert_true(config.accept_bare_ip && config.allow_single_label && config.resolve_special_use);
  assert_true(config.notimp_as_nodata && config.defer_no_address && config.reject_mx_cname);
  assert_true(config.reject_mx_address && config.strict_null_mx_mixed && config.drop_private);
  assert_int_equal(config.families, FAMILIES_V4_FIRST);
  assert_int_equal(config.self_name_count, 2);
  assert_string_equal(config.self_names[0], "mx.example.test"); /* canonical */
  assert_string_equal(config.self_names[1], "localhost");
  assert_int_equal(config.self_address_count, 2);
  assert_prefix(&config.self_addresses[0], "192.0.2.1");
  assert_prefix(&config.self_addresses[1], "2001:db8::1");
  assert_int_equal(config.allow_count, 3);
  assert_prefix(&config.allow[0], "127.0.0.1");
  assert_prefix(&config.allow[1], "10.0.0.0/8");
  assert_prefix(&config.allow[2], "fd00::/64");
  assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
}

static void an_empty_file_changes_nothing(void **state) {
  (void)state;
  struct config defaults, config = parse_good("");
  config_init(&defaults);
  assert_memory_equal(&config, &defaults, sizeof(config));
  config = parse_good(" \n\t# nothing \n\n");
  assert_memory_equal(&config, &defaults, sizeof(config));
}

static void a_file_is_read_over_what_was_set_before(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE];
  config_init(&config);
  set_good(&config, "min-ttl=7");
  set_good(&config, "frontends=3");
  write_file("frontends = 2\n");
  assert_int_equal(config_parse_file(&config, path, error), 0);
  assert_int_equal(config.frontends, 2);
  assert_int_equal(config.min_ttl_s, 7);
}

static void of_two_settings_of_one_option_the_last_wins(void **state) {
  (void)state;
  struct config config = parse_good(
      "min-ttl = 1\nupstream = {192.0.2.1, 192.0.2.2}\n"
      "min-ttl = 2\nupstream = {192.0.2.3}\n");
  assert_int_equal(config.min_ttl_s, 2);
  assert_int_equal(config.upstream_count, 1);
  assert_upstream(&config, 0, "192.0.2.3:53");
}

static void sizes_have_suffixes(void **state) {
  (void)state;
  static const struct {
    const char *assignment;
    uint64_t bytes;
  } cases[] = {
      {"cache-size=1MiB", 1 << 20},           {"cache-size=1024KiB", 1 << 20},
      {"cache-size=1048576", 1 << 20},        {"cache-size=1048577", (1 << 20) + 1},
      {"cache-size=2GiB", (uint64_t)2 << 30}, {"cache-size=8589934591GiB", (uint64_t)8589934591u << 30},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct config config;
    config_init(&config);
    set_good(&config, cases[i].assignment);
    assert_true(config.cache_size_bytes == cases[i].bytes);
  }
}

#define SIZE_EXPECTED "expected a number with KiB, MiB or GiB, at least 1MiB"

static void a_bad_size_is_refused(void **state) {
  (void)state;
  expect_assignment_error("cache-size=12apples",
                          "-o cache-size=12apples: \"12apples\" is not a size: " SIZE_EXPECTED);
  expect_assignment_error("cache-size=", "-o cache-size=: \"\" is not a size: " SIZE_EXPECTED);
  expect_assignment_error("cache-size=MiB", "-o cache-size=MiB: \"MiB\" is not a size: " SIZE_EXPECTED);
  expect_assignment_error("cache-size=-1MiB", "-o cache-size=-1MiB: \"-1MiB\" is not a size: " SIZE_EXPECTED);
  expect_assignment_error("cache-size=64mib", "-o cache-size=64mib: \"64mib\" is not a size: " SIZE_EXPECTED);
  expect_assignment_error("cache-size=1023KiB",
                          "-o cache-size=1023KiB: \"1023KiB\" is out of range: " SIZE_EXPECTED);
  expect_assignment_error("cache-size=18446744073709551615GiB",
                          "-o cache-size=18446744073709551615GiB: \"18446744073709551615GiB\" is out of "
                          "range: " SIZE_EXPECTED);
  expect_assignment_error("cache-size=99999999999999999999",
                          "-o cache-size=99999999999999999999: \"99999999999999999999\" is out of "
                          "range: " SIZE_EXPECTED);
}

/* Both ends of each number's range, and one beyond each. */
static void numbers_have_the_ranges_of_the_rules(void **state) {
  (void)state;
  static const struct {
    const char *name;
    long min, max;
  } cases[] = {
      {"frontends", 1, 64},      {"max-connections", 1, 100000},  {"min-ttl", 0, 3600},
      {"max-ttl", 60, 604800},   {"max-negative-ttl", 0, 10800},  {"failure-ttl", 1, 300},
      {"query-tries", 1, 10},    {"lookup-deadline", 200, 60000}, {"query-timeout", 50, 60000},
      {"max-cname-hops", 1, 16}, {"max-queries", 1, 65536},       {"max-queue", 0, 1000000},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const long values[] = {cases[i].min, cases[i].max, cases[i].min - 1, cases[i].max + 1};
    for (int j = 0; j < 4; j++) {
      struct config config;
      uint64_t seen[CONFIG_SEEN_WORDS] = {0};
      char assignment[64], error[CONFIG_ERROR_SIZE];
      config_init(&config);
      snprintf(assignment, sizeof(assignment), "%s=%ld", cases[i].name, values[j]);
      assert_int_equal(config_parse_assignment(&config, assignment, seen, error), j < 2 ? 0 : ERR_CONFIG);
    }
  }
}

static void a_bad_number_is_refused(void **state) {
  (void)state;
  expect_assignment_error("min-ttl=3601", "-o min-ttl=3601: \"3601\" is out of range: expected 0 to 3600 s");
  expect_assignment_error("frontends=0", "-o frontends=0: \"0\" is out of range: expected 1 to 64");
  expect_assignment_error("query-timeout=fast",
                          "-o query-timeout=fast: \"fast\" is not a number: expected 50 to 60000 ms");
  expect_assignment_error("min-ttl=", "-o min-ttl=: \"\" is not a number: expected 0 to 3600 s");
  expect_assignment_error("min-ttl=-1", "-o min-ttl=-1: \"-1\" is not a number: expected 0 to 3600 s");
  expect_assignment_error("min-ttl= 1", "-o min-ttl= 1: \" 1\" is not a number: expected 0 to 3600 s");
  expect_assignment_error("min-ttl=1s", "-o min-ttl=1s: \"1s\" is not a number: expected 0 to 3600 s");
  expect_assignment_error("min-ttl=0x1", "-o min-ttl=0x1: \"0x1\" is not a number: expected 0 to 3600 s");
  expect_assignment_error("min-ttl=4294967297",
                          "-o min-ttl=4294967297: \"4294967297\" is out of range: expected 0 to 3600 s");
}

static void a_mode_is_octal(void **state) {
  (void)state;
  struct config config;
  config_init(&config);
  set_good(&config, "listen-mode=0660");
  assert_int_equal(config.listen_mode, 0660);
  set_good(&config, "listen-mode=777");
  assert_int_equal(config.listen_mode, 0777);
  expect_assignment_error("listen-mode=888",
                          "-o listen-mode=888: \"888\" is not a file mode: expected octal digits, 0 to 0777");
  expect_assignment_error("listen-mode=1777",
                          "-o listen-mode=1777: \"1777\" is out of range: expected octal digits, 0 to 0777");
}

static void a_path_fits_a_socket_address(void **state) {
  (void)state;
  char assignment[256];
  struct config config;
  config_init(&config);
  snprintf(assignment, sizeof(assignment), "listen=/%0106d", 0);
  set_good(&config, assignment);
  assert_int_equal(strlen(config.listen), 107);
  snprintf(assignment, sizeof(assignment), "listen=/%0107d", 0);
  uint64_t seen[CONFIG_SEEN_WORDS] = {0};
  char error[CONFIG_ERROR_SIZE];
  assert_int_equal(config_parse_assignment(&config, assignment, seen, error), ERR_CONFIG);
  assert_non_null(strstr(error, "is out of range: expected 1 to 107 octets without control characters"));
  expect_assignment_error("listen=",
                          "-o listen=: \"\" is not a path: expected 1 to 107 octets without "
                          "control characters");
  expect_assignment_error("listen=/a\nb",
                          "-o listen=/a\nb: \"/a\nb\" is not a path: expected 1 to 107 octets "
                          "without control characters");
}

static void a_choice_knows_its_two_words(void **state) {
  (void)state;
  struct config config;
  config_init(&config);
  set_good(&config, "accept-bare-ip=yes");
  assert_true(config.accept_bare_ip);
  set_good(&config, "accept-bare-ip=no");
  assert_false(config.accept_bare_ip);
  set_good(&config, "mx-cname=reject");
  assert_true(config.reject_mx_cname);
  set_good(&config, "mx-cname=follow");
  assert_false(config.reject_mx_cname);
  expect_assignment_error("accept-bare-ip=maybe",
                          "-o accept-bare-ip=maybe: \"maybe\" is not a choice: expected yes or no");
  expect_assignment_error("mx-cname=yes",
                          "-o mx-cname=yes: \"yes\" is not a choice: expected reject or follow");
  expect_assignment_error("log-level=loud",
                          "-o log-level=loud: \"loud\" is not a log level: expected error, "
                          "warning, notice, info or debug");
}

static void what_is_no_server_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"dns.example",    "192.0.2.1,", ",",           " ",
                                    "192.0.2.1,,::1", "::1 53",     "192.0.2.1;53"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    char assignment[128], expected[CONFIG_ERROR_SIZE];
    snprintf(assignment, sizeof(assignment), "upstream=%s", bad[i]);
    snprintf(expected, sizeof(expected),
             "-o %s: \"%s\" is not a server: expected ADDRESS, IPV4:PORT or [IPV6]:PORT, at most 8",
             assignment, bad[i]);
    expect_assignment_error(assignment, expected);
  }
}

static void a_file_error_leaves_the_config_untouched(void **state) {
  (void)state;
  expect_error("min-ttl = 5\nupstream = {::1}\nlisten = \"/a\n", ":3: a string is not closed");
  expect_error("min-ttl = 5\n}\n", ":2: unexpected closing brace");
}

static void the_first_assignment_of_servers_replaces_and_the_later_extend(void **state) {
  (void)state;
  struct config config = parse_good("upstream = {192.0.2.1, 192.0.2.2}\n");
  uint64_t seen[CONFIG_SEEN_WORDS] = {0};
  char error[CONFIG_ERROR_SIZE];
  assert_int_equal(config_parse_assignment(&config, "upstream=192.0.2.3", seen, error), 0);
  assert_int_equal(config_parse_assignment(&config, "min-ttl=1", seen, error), 0);
  assert_int_equal(config_parse_assignment(&config, "upstream=192.0.2.4, ::5", seen, error), 0);
  assert_int_equal(config.upstream_count, 3);
  assert_upstream(&config, 0, "192.0.2.3:53");
  assert_upstream(&config, 1, "192.0.2.4:53");
  assert_upstream(&config, 2, "[::5]:53");
}

static void an_empty_assignment_of_servers_removes_those_of_the_file(void **state) {
  (void)state;
  struct config config = parse_good("upstream = {192.0.2.1}\n");
  set_good(&config, "upstream=");
  assert_int_equal(config.upstream_count, 0);
}

static void nine_servers_are_one_too_many(void **state) {
  (void)state;
  struct config config = parse_good("upstream = {::1, ::2, ::3, ::4,\n::5, ::6, ::7, ::8}\n");
  assert_int_equal(config.upstream_count, 8);
  assert_upstream(&config, 7, "[::8]:53");
  expect_error(
      "upstream = {::1, ::2, ::3, ::4,\n::5, ::6, ::7, ::8,\n::9}\n",
      ":3: upstream: \"::9\" is one too many: expected ADDRESS, IPV4:PORT or [IPV6]:PORT, at most 8");
}

static void a_list_in_a_file_has_many_spellings(void **state) {
  (void)state;
  struct config config = parse_good("upstream = 192.0.2.1\n");
  assert_int_equal(config.upstream_count, 1);
  config = parse_good("upstream = {192.0.2.1}\nupstream += {192.0.2.2}\n");
  assert_int_equal(config.upstream_count, 2);
  assert_upstream(&config, 1, "192.0.2.2:53");
  config = parse_good("upstream = {192.0.2.1, # the first\n /* the second */ 192.0.2.2 // the end\n}\n");
  assert_int_equal(config.upstream_count, 2);
  config = parse_good("upstream = \"192.0.2.1, 192.0.2.2\"\n");
  assert_int_equal(config.upstream_count, 2);
  config = parse_good("upstream = {192.0.2.1}\nupstream = {}\n");
  assert_int_equal(config.upstream_count, 0);
}

static void an_empty_list_in_a_file_removes_what_was_set_before(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE];
  config_init(&config);
  set_good(&config, "upstream=192.0.2.1");
  write_file("upstream = {}\n");
  assert_int_equal(config_parse_file(&config, path, error), 0);
  assert_int_equal(config.upstream_count, 0);
}

static void an_error_in_a_file_names_its_line(void **state) {
  (void)state;
  expect_error("cache-size = \"12 apples\"\n", ":1: cache-size: \"12 apples\" is not a size: " SIZE_EXPECTED);
  expect_error("\n\nmin-ttl = 1\ncache-size = 12apples",
               ":4: cache-size: \"12apples\" is not a size: " SIZE_EXPECTED);
  expect_error("cache-size =\n\n12apples\nmin-ttl = 0\n",
               ":3: cache-size: \"12apples\" is not a size: " SIZE_EXPECTED);
  expect_error("upstream = {192.0.2.1,\n192.0.2.2,\nx,\n192.0.2.3}\n",
               ":3: upstream: \"x\" is not a server: expected ADDRESS, IPV4:PORT or [IPV6]:PORT, at most 8");
  expect_error("min-ttl = 0 max-ttl = 1\n", ":1: max-ttl: \"1\" is out of range: expected 60 to 604800 s");
}

static void an_unknown_option_is_named_with_the_nearest_known_one(void **state) {
  (void)state;
  expect_error("\ncache_size = 1MiB\n", ":2: unknown option cache_size; did you mean cache-size?");
  expect_error("listne = /a\n", ":1: unknown option listne; did you mean listen?");
  expect_error("# x\n\nmemcached = unix:/a\n", ":3: unknown option memcached; mxwayd --help lists them");
  expect_assignment_error("upstreams=::1",
                          "-o upstreams=::1: unknown option upstreams; did you mean upstream?");
  expect_assignment_error("Min-TTL=1", "-o Min-TTL=1: unknown option Min-TTL; mxwayd --help lists them");
  expect_assignment_error("xyz=1", "-o xyz=1: unknown option xyz; mxwayd --help lists them");
}

static void an_assignment_needs_a_name_and_an_equals_sign(void **state) {
  (void)state;
  expect_assignment_error("", "-o : expected NAME=VALUE");
  expect_assignment_error("frontends", "-o frontends: expected NAME=VALUE");
  expect_assignment_error("=3", "-o =3: expected NAME=VALUE");
}

static void an_assignment_of_any_length_is_survived(void **state) {
  (void)state;
  char assignment[5000], error[CONFIG_ERROR_SIZE];
  struct config config;
  uint64_t seen[CONFIG_SEEN_WORDS] = {0};
  config_init(&config);
  for (size_t equals = 0; equals < 200; equals++) {
    memset(assignment, 'x', sizeof(assignment) - 1);
    assignment[sizeof(assignment) - 1] = '\0';
    assignment[equals] = '=';
    assert_int_equal(config_parse_assignment(&config, assignment, seen, error), ERR_CONFIG);
    assert_true(strlen(error) < CONFIG_ERROR_SIZE);
  }
}

static void options_that_contradict_each_other_are_refused(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE];
  config_init(&config);
  assert_int_equal(config_check(&config, error), 0);
  config.min_ttl_s = config.max_ttl_s = 60;
  config.query_timeout_ms = config.lookup_deadline_ms;
  assert_int_equal(config_check(&config, error), 0);
  config.min_ttl_s = 61;
  assert_int_equal(config_check(&config, error), ERR_CONFIG);
  assert_string_equal(error, "min-ttl (61) is more than max-ttl (60)");
  config.min_ttl_s = 0;
  config.query_timeout_ms = 5001;
  assert_int_equal(config_check(&config, error), ERR_CONFIG);
  assert_string_equal(error, "query-timeout (5001) is more than lookup-deadline (5000)");
}

static void assert_route(const struct config *config, size_t at, const char *pattern, const char *host) {
  char text[OVERRIDE_PATTERN_SIZE];
  assert_true(at < config->routes.count);
  assert_string_equal(override_pattern(config->routes.items[at], text), pattern);
  assert_string_equal(config->routes.items[at]->exchanges[0].host, host);
}

static void routes_are_read_from_a_file(void **state) {
  (void)state;
  struct config config = parse_good(
      "route \"b.test\" = \"x.test 10, y.test 20\"\nmin-ttl = 5\n"
      "route \"*.b.test\" = \"z.test\" # below\nroute A.test = x.test\n");
  assert_int_equal(config.routes.count, 3);
  assert_route(&config, 0, "a.test", "x.test");
  assert_route(&config, 1, "b.test", "x.test");
  assert_int_equal(config.routes.items[1]->count, 2);
  assert_route(&config, 2, "*.b.test", "z.test");
  assert_int_equal(config.min_ttl_s, 5);
  config_fini(&config);
  assert_int_equal(config.routes.count, 0);
}

static void a_route_of_the_command_line_comes_over_that_of_the_file(void **state) {
  (void)state;
  struct config config = parse_good("route a.test = x.test\nroute b.test = x.test\n");
  set_good(&config, "route b.test=y.test 5");
  set_good(&config, "route *.c.test = z.test");
  set_good(&config, "route \"*.c.test\" = \"w.test, [192.0.2.1]:26 20\""); /* as in the file */
  assert_int_equal(config.routes.count, 3);
  assert_route(&config, 0, "a.test", "x.test");
  assert_route(&config, 1, "b.test", "y.test");
  assert_route(&config, 2, "*.c.test", "w.test");
  config_fini(&config);
}

static void a_wrong_route_is_refused_with_its_line(void **state) {
  (void)state;
  expect_error("\nroute \"a b\" = x.test\n",
               ":2: route: \"a b\": the name contains a space, a control character, '@' or a backslash");
  expect_error("route a.test = x.test\nroute b.test = \"x.test, y.test ten\"\n",
               ":2: route: \"ten\": expected a preference, 0 to 65535");
  expect_error("route a.test = x.test\n\nroute \"A.TEST.\" = y.test\n",
               ":3: route: \"A.TEST.\" has a route already");
  expect_error("route = x.test\n", ":1: expected NAME \"KEY\" = \"VALUE\"");
  expect_error("route a.test x.test\n", ":1: expected NAME \"KEY\" = \"VALUE\"");
  expect_error("routes a.test = x.test\n", ":1: unknown option routes; mxwayd --help lists them");
  expect_error("route a.test = x.test\nmin-ttl = soon\n",
               ":2: min-ttl: \"soon\" is not a number: expected 0 to 3600 s");
}

static void a_wrong_route_of_the_command_line_is_refused(void **state) {
  (void)state;
  expect_assignment_error("route a.test=", "-o route a.test=: \"\": expected EXCHANGE[:PORT] [PREFERENCE]");
  expect_assignment_error("route=x.test", "-o route=x.test: expected route PATTERN=VALUE");
  expect_assignment_error("route =x.test", "-o route =x.test: \"\": the name is empty");
  expect_assignment_error("route \"a.test=x.test",
                          "-o route \"a.test=x.test: \"\"a.test\": a name has no quotation marks");
  expect_assignment_error("route a.test=x.test\" 10",
                          "-o route a.test=x.test\" 10: \"x.test\"\": a name has no quotation marks");
  expect_assignment_error("route a.test", "-o route a.test: expected NAME=VALUE");
  expect_assignment_error("routea.test=x",
                          "-o routea.test=x: unknown option routea.test; mxwayd --help lists them");
}

static void one_route_too_many_is_refused(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE], message[128];
  config_init(&config);
  set_good(&config, "route x.test=y.test");
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  for (int i = 0; i < OVERRIDES_MAX; i++)
    fprintf(file, "route d%d.test = a.test\n", i);
  fclose(file);
  assert_int_equal(config_parse_file(&config, path, error), ERR_CONFIG);
  assert_string_equal(error + strlen(path), ": one route too many: expected at most 10000");
  assert_int_equal(config.routes.count, 1);
  config_fini(&config);
  assert_int_equal(config_parse_file(&config, path, error), 0);
  assert_int_equal(config.routes.count, OVERRIDES_MAX);
  uint64_t seen[CONFIG_SEEN_WORDS] = {0};
  assert_int_equal(config_parse_assignment(&config, "route x.test=y.test", seen, error), ERR_CONFIG);
  assert_string_equal(error, "-o route x.test=y.test: one route too many: expected at most 10000");
  set_good(&config, "route d5.test=y.test");
  config_fini(&config);
  file = fopen(path, "a");
  assert_non_null(file);
  fputs("\nroute x.test = y.test\n", file);
  fclose(file);
  assert_int_equal(config_parse_file(&config, path, error), ERR_CONFIG);
  snprintf(message, sizeof(message), "%s:10002: route: one route too many: expected at most 10000", path);
  assert_string_equal(error, message);
}

static char *printed_routes(const struct config *config) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  for (size_t i = 0; i < config->routes.count; i++)
    override_print(config->routes.items[i], out);
  assert_int_equal(fclose(out), 0);
  return text;
}

/* Compares the routes of both and takes them out. */
static void assert_same_routes(struct config *a, struct config *b) {
  char *of_a = printed_routes(a), *of_b = printed_routes(b);
  assert_string_equal(of_a, of_b);
  free(of_a);
  free(of_b);
  config_fini(a);
  config_fini(b);
}

static void print_to_file(const struct config *config) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  config_print(config, file);
  assert_int_equal(fclose(file), 0);
}

static void a_printed_config_is_read_back_the_same(void **state) {
  (void)state;
  static const char *const variants[] = {
      "listen = /tmp/a.sock\nlisten-mode = 0600\nfrontends = 64\nmax-connections = 7\n"
      "upstream = {192.0.2.1, [2001:db8::1]:5300, fe80::1%3}\ncache-size = 3GiB\nmin-ttl = 3600\n"
      "max-ttl = 60\nmax-negative-ttl = 0\nfailure-ttl = 300\nlookup-deadline = 60000\n"
      "query-timeout = 50\nquery-tries = 10\nmax-cname-hops = 16\nmax-queries = 65536\nmax-queue = 0\n"
      "accept-bare-ip = yes\nallow-single-label = yes\nnotimp-as-nodata = yes\n"
      "defer-no-address = yes\nmx-cname = reject\nmx-address = reject\nnull-mx-mixed = strict\n"
      "family = v6\nself-name = {a.test, 'b\"c${x}.test'}\nself-address = {192.0.2.1, ::1}\n"
      "drop-private = yes\nallow-address = {127.0.0.0/8, ::1}\nlog-level = debug\n",
      "listen = '/a \"b\" ${HOME} \\\\ c#d//e'\ncache-size = 1048577\nlisten-mode = 0\n",
      "listen = \"/a'b\"\ncache-size = 1025KiB\n",
      "route \"*.d.test\" = \"b.test:26,a.test 10, expires 2030-01-01\"\nroute d.test = 'reject a \"$b\"'\n",
      "",
  };
  for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
    struct config before = parse_good(variants[i]), after;
    char error[CONFIG_ERROR_SIZE];
    config_init(&after);
    /* What the file leaves out would show as a default. */
    set_good(&after, "min-ttl=17");
    set_good(&after, "upstream=::17");
    print_to_file(&before);
    if (config_parse_file(&after, path, error) != 0)
      fail_msg("%s", error);
    assert_int_equal(after.upstream_count, before.upstream_count);
    assert_same_routes(&after, &before);
    memset(after.upstreams + after.upstream_count, 0,
           sizeof(after.upstreams) - after.upstream_count * sizeof(after.upstreams[0]));
    memset(after.listen + strlen(after.listen), 0, sizeof(after.listen) - strlen(after.listen));
    memset(before.listen + strlen(before.listen), 0, sizeof(before.listen) - strlen(before.listen));
    assert_memory_equal(&after, &before, sizeof(after));
  }
}

static void a_list_has_elements_of_its_own_kind(void **state) {
  (void)state;
  expect_error("self-name = {a.test, \"b c\"}\n",
               ":1: self-name: \"b c\" is not a name: expected host names, at most 12");
  expect_assignment_error(
      "self-name=192.0.2.1",
      "-o self-name=192.0.2.1: \"192.0.2.1\" is not a name: expected host names, at most 12");
  expect_assignment_error("self-address=192.0.2.0/24",
                          "-o self-address=192.0.2.0/24: \"192.0.2.0/24\" is not an address: expected IPv4 "
                          "or IPv6 addresses, at most 32");
  expect_assignment_error(
      "allow-address=192.0.2.1/24",
      "-o allow-address=192.0.2.1/24: \"192.0.2.1/24\" is not a network: expected ADDRESS or "
      "ADDRESS/BITS with nothing behind the bits, at most 32");
  expect_assignment_error(
      "family=ipv4", "-o family=ipv4: \"ipv4\" is not a choice: expected any, v4, v6, v4-first or v6-first");
}

static void every_list_has_a_bound(void **state) {
  (void)state;
  static const struct {
    const char *name, *element;
    size_t most;
  } lists[] = {{"self-name", "a.test", CONFIG_SELF_NAMES_MAX},
               {"self-address", "192.0.2.1", CONFIG_SELF_ADDRESSES_MAX},
               {"allow-address", "192.0.2.0/24", CONFIG_ALLOW_MAX}};
  for (size_t i = 0; i < 3; i++) {
    struct config config;
    char assignment[80], error[CONFIG_ERROR_SIZE];
    uint64_t seen[CONFIG_SEEN_WORDS] = {0};
    config_init(&config);
    snprintf(assignment, sizeof(assignment), "%s=%s", lists[i].name, lists[i].element);
    for (size_t j = 0; j < lists[i].most; j++)
      assert_int_equal(config_parse_assignment(&config, assignment, seen, error), 0);
    assert_int_equal(config_parse_assignment(&config, assignment, seen, error), ERR_CONFIG);
    assert_non_null(strstr(error, "is one too many"));
    snprintf(assignment, sizeof(assignment), "%s=a b", lists[i].name);
    assert_int_equal(config_parse_assignment(&config, assignment, seen, error), ERR_CONFIG);
  }
}

static void the_help_lists_every_option_that_is_printed(void **state) {
  (void)state;
  struct config config;
  char *help = NULL, line[256];
  size_t size = 0;
  int options = 0;
  config_init(&config);
  FILE *out = open_memstream(&help, &size);
  config_print_help(out);
  fclose(out);
  print_to_file(&config);
  FILE *file = fopen(path, "r");
  while (fgets(line, sizeof(line), file)) {
    char heading[300];
    if (line[0] == '#' || line[0] == '\n')
      continue;
    line[strcspn(line, " ")] = '\0';
    snprintf(heading, sizeof(heading), "  %s: ", line);
    assert_non_null(strstr(help, heading));
    options++;
  }
  fclose(file);
  free(help);
  assert_int_equal(options, 66);
}

static struct config resolve(const char *text) {
  struct config config;
  config_init(&config);
  write_file(text);
  snprintf(config.resolv_conf, sizeof(config.resolv_conf), "%s", path);
  config_resolve_upstreams(&config);
  return config;
}

static void without_an_upstream_resolv_conf_decides(void **state) {
  (void)state;
  struct config config = resolve(
      "# a comment\n; another\nsearch example.test\noptions ndots:5 edns0\n"
      "nameserver 192.0.2.1\n#nameserver 192.0.2.2\nnameserver\t2001:db8::1\n"
      "nameserver   192.0.2.3   # with a comment\n nameserver 192.0.2.4\n"
      "nameserver192.0.2.5\nnameserver 192.0.2.6\r\nnameserver 192.0.2.7");
  assert_true(config.follows_resolv_conf);
  assert_int_equal(config.upstream_count, 5);
  assert_upstream(&config, 0, "192.0.2.1:53");
  assert_upstream(&config, 1, "[2001:db8::1]:53");
  assert_upstream(&config, 2, "192.0.2.3:53");
  assert_upstream(&config, 3, "192.0.2.6:53");
  assert_upstream(&config, 4, "192.0.2.7:53");
}

static void garbage_in_resolv_conf_is_passed_over(void **state) {
  (void)state;
  log_set_level(LOG_LEVEL_ERROR); /* the warnings are expected */
  struct config config = resolve(
      "nameserver dns.example\nnameserver\nnameserver \n"
      "nameserver 192.0.2.999\n\x01\xff\xfe\n\n\nnameserver 192.0.2.1\n");
  assert_int_equal(config.upstream_count, 1);
  assert_upstream(&config, 0, "192.0.2.1:53");
  char *text = malloc(100000);
  assert_non_null(text);
  memset(text, 'x', 99999);
  memcpy(text, "nameserver ", 11);
  text[99999] = '\0';
  config = resolve(text);
  free(text);
  log_set_level(LOG_LEVEL_INFO);
  assert_upstream(&config, 0, "127.0.0.1:53");
}

static void at_most_eight_nameservers_are_taken(void **state) {
  (void)state;
  struct config config = resolve(
      "nameserver ::1\nnameserver ::2\nnameserver ::3\nnameserver ::4\n"
      "nameserver ::5\nnameserver ::6\nnameserver ::7\nnameserver ::8\n"
      "nameserver ::9\nnameserver ::a\n");
  assert_int_equal(config.upstream_count, 8);
  assert_upstream(&config, 7, "[::8]:53");
}

static void a_link_local_nameserver_keeps_its_interface(void **state) {
  (void)state;
  char name[IF_NAMESIZE], text[64], expected[64];
  if (!if_indextoname(1, name))
    skip();
  snprintf(text, sizeof(text), "nameserver fe80::1%%%s\n", name);
  struct config config = resolve(text);
  snprintf(expected, sizeof(expected), "[fe80::1%%%u]:53", if_nametoindex(name));
  assert_upstream(&config, 0, expected);
}

static void without_nameservers_the_machine_itself_is_asked(void **state) {
  (void)state;
  struct config config = resolve("search example.test\n");
  assert_int_equal(config.upstream_count, 2);
  assert_upstream(&config, 0, "127.0.0.1:53");
  assert_upstream(&config, 1, "[::1]:53");
  config_init(&config);
  set_good(&config, "resolv-conf=/nonexistent/resolv.conf");
  config_resolve_upstreams(&config);
  assert_int_equal(config.upstream_count, 2);
}

static void a_configured_upstream_is_not_overruled_by_resolv_conf(void **state) {
  (void)state;
  struct config config;
  config_init(&config);
  set_good(&config, "upstream=192.0.2.9");
  write_file("nameserver 192.0.2.1\n");
  snprintf(config.resolv_conf, sizeof(config.resolv_conf), "%s", path);
  config_resolve_upstreams(&config);
  assert_false(config.follows_resolv_conf);
  assert_int_equal(config.upstream_count, 1);
  assert_upstream(&config, 0, "192.0.2.9:53");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_defaults_are_those_of_the_rules),
      cmocka_unit_test(a_file_sets_every_option),
      cmocka_unit_test(an_empty_file_changes_nothing),
      cmocka_unit_test(a_file_is_read_over_what_was_set_before),
      cmocka_unit_test(of_two_settings_of_one_option_the_last_wins),
      cmocka_unit_test(sizes_have_suffixes),
      cmocka_unit_test(a_bad_size_is_refused),
      cmocka_unit_test(numbers_have_the_ranges_of_the_rules),
      cmocka_unit_test(a_bad_number_is_refused),
      cmocka_unit_test(a_mode_is_octal),
      cmocka_unit_test(a_path_fits_a_socket_address),
      cmocka_unit_test(a_choice_knows_its_two_words),
      cmocka_unit_test(what_is_no_server_is_refused),
      cmocka_unit_test(a_file_error_leaves_the_config_untouched),
      cmocka_unit_test(the_first_assignment_of_servers_replaces_and_the_later_extend),
      cmocka_unit_test(an_empty_assignment_of_servers_removes_those_of_the_file),
      cmocka_unit_test(nine_servers_are_one_too_many),
      cmocka_unit_test(a_list_in_a_file_has_many_spellings),
      cmocka_unit_test(an_empty_list_in_a_file_removes_what_was_set_before),
      cmocka_unit_test(an_error_in_a_file_names_its_line),
      cmocka_unit_test(an_unknown_option_is_named_with_the_nearest_known_one),
      cmocka_unit_test(an_assignment_needs_a_name_and_an_equals_sign),
      cmocka_unit_test(an_assignment_of_any_length_is_survived),
      cmocka_unit_test(options_that_contradict_each_other_are_refused),
      cmocka_unit_test(routes_are_read_from_a_file),
      cmocka_unit_test(a_route_of_the_command_line_comes_over_that_of_the_file),
      cmocka_unit_test(a_wrong_route_is_refused_with_its_line),
      cmocka_unit_test(a_wrong_route_of_the_command_line_is_refused),
      cmocka_unit_test(one_route_too_many_is_refused),
      cmocka_unit_test(a_printed_config_is_read_back_the_same),
      cmocka_unit_test(a_list_has_elements_of_its_own_kind),
      cmocka_unit_test(every_list_has_a_bound),
      cmocka_unit_test(the_help_lists_every_option_that_is_printed),
      cmocka_unit_test(without_an_upstream_resolv_conf_decides),
      cmocka_unit_test(garbage_in_resolv_conf_is_passed_over),
      cmocka_unit_test(at_most_eight_nameservers_are_taken),
      cmocka_unit_test(a_link_local_nameserver_keeps_its_interface),
      cmocka_unit_test(without_nameservers_the_machine_itself_is_asked),
      cmocka_unit_test(a_configured_upstream_is_not_overruled_by_resolv_conf),
  };
  return cmocka_run_group_tests_name("config", tests, make_file, remove_file);
}
