/*
 * The options of the shared store, as config reads them. What all options have in common is in test_config.c.
 */
#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "config/config.h"

enum { ASSIGNMENTS_MAX = 8 };

static char folder[] = "/tmp/mxway-test-options-XXXXXX";
static char password_file[80], open_file[80], empty_file[80];

static void write_file(char path[80], const char *name, const char *text, mode_t mode) {
  snprintf(path, 80, "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
  assert_int_equal(chmod(path, mode), 0);
}

static int make_files(void **state) {
  (void)state;
  if (!mkdtemp(folder))
    return -1;
  write_file(password_file, "password", "s3cret\n", 0600);
  write_file(open_file, "open", "s3cret\n", 0644);
  write_file(empty_file, "empty", "", 0600);
  return 0;
}

static int remove_files(void **state) {
  (void)state;
  unlink(password_file);
  unlink(open_file);
  unlink(empty_file);
  return rmdir(folder);
}

static void set(struct config *config, const char *const assignments[ASSIGNMENTS_MAX]) {
  uint64_t seen[CONFIG_SEEN_WORDS] = {0};
  char error[CONFIG_ERROR_SIZE];
  config_init(config);
  for (size_t i = 0; i < ASSIGNMENTS_MAX && assignments[i]; i++)
    if (config_parse_assignment(config, assignments[i], seen, error) != 0)
      fail_msg("%s", error);
}

#define SET(config, ...) set(config, (const char *const[ASSIGNMENTS_MAX]){__VA_ARGS__})

static void the_defaults_share_nothing(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE];
  config_init(&config);
  assert_int_equal(config.redis_count, 0);
  assert_int_equal(config.redis_topology, CONFIG_SINGLE);
  assert_int_equal(config.redis_mode, CONFIG_REDIS_RW);
  assert_false(link_target_is_set(&config.redis_read));
  assert_string_equal(config.redis_prefix, "mxway");
  assert_string_equal(config.redis_cluster_name, "");
  assert_int_equal(config.redis_database, 0);
  assert_int_equal(config.redis_timeout_ms, 30);
  assert_int_equal(config.redis_head_start_ms, 10);
  assert_int_equal(config.redis_max_commands, 1000);
  assert_int_equal(config.redis_max_writes, 8192);
  assert_int_equal(config.redis_lease_ms, 50);
  assert_int_equal(config.redis_warm_start, 0);
  assert_false(config.redis_tls);
  assert_int_equal(config_check(&config, error), 0);
  assert_int_equal(config_complete(&config, error), 0);
  config_fini(&config);
}

static void each_option_sets_its_field(void **state) {
  (void)state;
  struct config config;
  SET(&config, "redis=unix:/r.sock,h.test:7", "redis-topology=cluster", "redis-mode=ro", "redis-read=[::1]:8",
      "redis-user=alice", "redis-password-file=/p", "redis-database=9999", "redis-tls=yes");
  assert_int_equal(config.redis_count, 2);
  assert_string_equal(config.redis_targets[0].path, "/r.sock");
  assert_string_equal(config.redis_targets[1].host, "h.test");
  assert_int_equal(config.redis_targets[1].port, 7);
  assert_int_equal(config.redis_topology, CONFIG_CLUSTER);
  assert_int_equal(config.redis_mode, CONFIG_REDIS_RO);
  assert_string_equal(config.redis_read.host, "::1");
  assert_string_equal(config.redis_user, "alice");
  assert_string_equal(config.redis_password_file, "/p");
  assert_int_equal(config.redis_database, 9999);
  assert_true(config.redis_tls);
  SET(&config, "redis-topology=sentinel", "redis-master=mymaster", "redis-mode=off",
      "redis-sentinel-user=bob", "redis-sentinel-password-file=/s", "redis-tls-ca=/ca",
      "redis-tls-cert=/cert", "redis-tls-key=/key");
  assert_int_equal(config.redis_topology, CONFIG_SENTINEL);
  assert_string_equal(config.redis_master, "mymaster");
  assert_int_equal(config.redis_mode, CONFIG_REDIS_OFF);
  assert_string_equal(config.redis_sentinel_user, "bob");
  assert_string_equal(config.redis_sentinel_password_file, "/s");
  assert_string_equal(config.redis_tls_ca, "/ca");
  assert_string_equal(config.redis_tls_cert, "/cert");
  assert_string_equal(config.redis_tls_key, "/key");
  SET(&config, "redis-tls-name=redis.test", "redis-prefix=p", "redis-cluster-name=c", "redis-mac-key-file=/k",
      "redis-timeout=1000", "redis-head-start=0", "redis-max-commands=1", "redis-max-writes=16");
  assert_string_equal(config.redis_tls_name, "redis.test");
  assert_string_equal(config.redis_prefix, "p");
  assert_string_equal(config.redis_cluster_name, "c");
  assert_string_equal(config.redis_mac_key_file, "/k");
  assert_int_equal(config.redis_timeout_ms, 1000);
  assert_int_equal(config.redis_head_start_ms, 0);
  assert_int_equal(config.redis_max_commands, 1);
  assert_int_equal(config.redis_max_writes, 16);
  SET(&config, "redis-lease=0", "redis-warm-start=100000", "node-name=mx-7");
  assert_int_equal(config.redis_lease_ms, 0);
  assert_int_equal(config.redis_warm_start, 100000);
  assert_string_equal(config.node_name, "mx-7");
}

static void options_behind_the_first_64_remember_what_they_replaced(void **state) {
  (void)state;
  struct config config;
  uint64_t seen[CONFIG_SEEN_WORDS] = {0};
  char error[CONFIG_ERROR_SIZE];
  config_init(&config);
  assert_true(CONFIG_SEEN_WORDS > 1);
  static const char *const assignments[] = {"upstream=::1",    "redis=a.test", "node-name=x",
                                            "log-level=debug", "upstream=::2", "redis=b.test"};
  for (size_t i = 0; i < sizeof(assignments) / sizeof(assignments[0]); i++)
    assert_int_equal(config_parse_assignment(&config, assignments[i], seen, error), 0);
  assert_int_equal(config.upstream_count, 2);
  assert_int_equal(config.redis_count, 2);
}

static void what_contradicts_itself_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *const assignments[ASSIGNMENTS_MAX];
    const char *error;
  } cases[] = {
      {{"redis-head-start=31"}, "redis-head-start (31) is more than redis-timeout (30)"},
      {{"redis-prefix=a:b"}, "redis-prefix = \"a:b\": expected letters"},
      {{"redis-cluster-name={a}"}, "redis-cluster-name = \"{a}\": expected letters"},
      {{"redis-tls=yes"}, "redis-tls is set, but redis names no server"},
      {{"redis-warm-start=1"}, "redis-warm-start is set, but redis names no server"},
      {{"redis-mac-key-file=/k"}, "redis-mac-key-file is set, but redis names no server"},
      {{"redis-read=a"}, "redis-read is set, but redis names no server"},
      {{"redis=a", "redis-sentinel-password-file=/p"}, "redis-topology is not sentinel"},
      {{"redis=a", "redis-tls=yes", "redis-tls-name=*.b"}, "no pattern"},
      {{"redis=a", "redis-topology=sentinel"}, "redis-master must say"},
      {{"redis=a", "redis-master=m"}, "redis-master is set, but redis-topology is not sentinel"},
      {{"redis=a,b"}, "redis names 2 servers, but redis-topology is single"},
      {{"redis=a", "redis-topology=cluster", "redis-read=b"}, "redis-read is for redis-topology single"},
      {{"redis=a", "redis-topology=cluster", "redis-database=1"}, "no redis-database but 0"},
      {{"redis=a", "redis-user=u"}, "redis-user is set without redis-password-file"},
      {{"redis=a", "redis-topology=sentinel", "redis-master=m", "redis-sentinel-user=u"},
       "redis-sentinel-user is set without"},
      {{"redis=a", "redis-tls-ca=/c"}, "redis-tls-ca, -cert or -key is set, but redis-tls is no"},
      {{"redis=a", "redis-tls-name=b"}, "redis-tls-name is set, but redis-tls is no"},
      {{"redis=a", "redis-tls=yes", "redis-tls-cert=/c"}, "set both or neither"},
      {{"redis=unix:/a", "redis-tls=yes"}, "not for the Unix socket /a"},
      {{"redis=a", "redis-read=unix:/b", "redis-tls=yes"}, "not for the Unix socket /b"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct config config;
    char error[CONFIG_ERROR_SIZE] = "";
    set(&config, cases[i].assignments);
    assert_int_equal(config_check(&config, error), ERR_CONFIG);
    if (!strstr(error, cases[i].error))
      fail_msg("%s", error);
  }
}

static void ports_are_the_usual_ones_where_none_is_given(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE];
  SET(&config, "redis=a.test", "redis-read=b.test");
  assert_int_equal(config_complete(&config, error), 0);
  assert_int_equal(config.redis_targets[0].port, 6379);
  assert_int_equal(config.redis_read.port, 6379);
  SET(&config, "redis=a.test,b.test:7,unix:/c", "redis-topology=sentinel", "redis-master=m");
  assert_int_equal(config_complete(&config, error), 0);
  assert_int_equal(config.redis_targets[0].port, 26379);
  assert_int_equal(config.redis_targets[1].port, 7);
  assert_int_equal(config.redis_targets[2].port, 0);
  assert_false(link_target_is_set(&config.redis_read));
}

static void a_node_has_the_name_of_its_host_or_its_own(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE];
  SET(&config, "node-name=mx-7");
  assert_int_equal(config_complete(&config, error), 0);
  assert_string_equal(config.node_name, "mx-7");
  config_init(&config);
  assert_int_equal(config_complete(&config, error), 0);
  assert_true(config.node_name[0] > ' ');
}

static void passwords_are_read_from_their_files(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE], main_file[200], sentinel_file[200], zeroes[SECRET_SIZE] = "";
  snprintf(main_file, sizeof(main_file), "redis-password-file=%s", password_file);
  snprintf(sentinel_file, sizeof(sentinel_file), "redis-sentinel-password-file=%s", password_file);
  SET(&config, "redis=a.test", main_file, sentinel_file);
  assert_string_equal(config.redis_password, "");
  assert_int_equal(config_complete(&config, error), 0);
  assert_string_equal(config.redis_password, "s3cret");
  assert_string_equal(config.redis_sentinel_password, "s3cret");
  config_fini(&config);
  assert_memory_equal(config.redis_password, zeroes, sizeof(zeroes));
  assert_memory_equal(config.redis_sentinel_password, zeroes, sizeof(zeroes));
}

static void a_password_file_that_others_may_read_is_refused(void **state) {
  (void)state;
  static const char *const options[] = {"redis-password-file", "redis-sentinel-password-file"};
  const struct {
    const char *file, *error;
  } cases[] = {{open_file, "others than its owner and group may use it"},
               {empty_file, "is empty"},
               {"/nonexistent", "No such file or directory"}};
  for (size_t i = 0; i < 6; i++) {
    struct config config;
    char error[CONFIG_ERROR_SIZE], assignment[200], expected[300];
    snprintf(assignment, sizeof(assignment), "%s=%s", options[i % 2], cases[i / 2].file);
    snprintf(expected, sizeof(expected), "%s: %s: ", options[i % 2], cases[i / 2].file);
    SET(&config, "redis=a.test", "redis-topology=sentinel", "redis-master=m", assignment);
    assert_int_equal(config_check(&config, error), 0); /* which reads nothing */
    assert_int_equal(config_complete(&config, error), ERR_CONFIG);
    assert_memory_equal(error, expected, strlen(expected));
    assert_non_null(strstr(error, cases[i / 2].error));
    SET(&config, "redis=a.test", assignment, "redis-mode=off"); /* who asks nobody needs no password */
    assert_int_equal(config_complete(&config, error), 0);
  }
}

static void a_file_of_mac_keys_that_cannot_be_used_is_refused(void **state) {
  (void)state;
  const char *const files[] = {password_file, open_file, empty_file, "/nonexistent"};
  char error[CONFIG_ERROR_SIZE], assignment[200], good_file[80];
  struct config config;
  for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
    snprintf(assignment, sizeof(assignment), "redis-mac-key-file=%s", files[i]);
    SET(&config, "redis=a.test", assignment);
    assert_int_equal(config_check(&config, error), 0);
    assert_int_equal(config_complete(&config, error), ERR_CONFIG);
    assert_memory_equal(error, "redis-mac-key-file: ", strlen("redis-mac-key-file: "));
    assert_null(strstr(error, "s3cret"));
  }
  write_file(good_file, "keys", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n", 0600);
  snprintf(assignment, sizeof(assignment), "redis-mac-key-file=%s", good_file);
  SET(&config, "redis=a.test", assignment);
  assert_int_equal(config_complete(&config, error), 0);
  unlink(good_file);
}

static void a_file_of_tls_that_cannot_be_read_is_named(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE];
  SET(&config, "redis=a.test", "redis-tls=yes", "redis-tls-ca=/nonexistent");
  assert_int_equal(config_check(&config, error), 0);
  assert_int_equal(config_complete(&config, error), ERR_CONFIG);
  assert_string_equal(error, "redis-tls-ca: /nonexistent: No such file or directory");
}

static void a_file_that_holds_no_mac_key_is_refused(void **state) {
  (void)state;
  struct config config;
  char error[CONFIG_ERROR_SIZE], assignment[200];
  snprintf(assignment, sizeof(assignment), "redis-mac-key-file=%s", password_file);
  SET(&config, "redis=a.test", assignment);
  assert_int_equal(config_complete(&config, error), ERR_CONFIG);
  assert_memory_equal(error, "redis-mac-key-file: ", strlen("redis-mac-key-file: "));
}

static void printed_options_are_read_back_without_passwords(void **state) {
  (void)state;
  struct config before, after;
  char error[CONFIG_ERROR_SIZE], assignment[200], path[80];
  snprintf(assignment, sizeof(assignment), "redis-password-file=%s", password_file);
  SET(&before, "redis=unix:/r.sock,[::1]:7,h.test", "redis-topology=sentinel", "redis-master=m", assignment,
      "redis-mode=ro", "redis-read=", "redis-prefix=p-1", "node-name=n\"$");
  assert_int_equal(config_complete(&before, error), 0);
  before.redis_targets[2].port = 0; /* as it was given */
  snprintf(path, sizeof(path), "%s/printed", folder);
  FILE *out = fopen(path, "w+");
  assert_non_null(out);
  config_print(&before, out);
  rewind(out);
  for (char line[512]; fgets(line, sizeof(line), out);)
    assert_null(strstr(line, "s3cret"));
  fclose(out);
  config_init(&after);
  if (config_parse_file(&after, path, error) != 0)
    fail_msg("%s", error);
  unlink(path);
  assert_int_equal(after.redis_count, 3);
  for (size_t i = 0; i < 3; i++)
    assert_true(link_target_is_same(&after.redis_targets[i], &before.redis_targets[i]));
  assert_int_equal(after.redis_topology, CONFIG_SENTINEL);
  assert_string_equal(after.redis_master, "m");
  assert_string_equal(after.redis_password_file, password_file);
  assert_string_equal(after.redis_password, "");
  assert_int_equal(after.redis_mode, CONFIG_REDIS_RO);
  assert_false(link_target_is_set(&after.redis_read));
  assert_string_equal(after.redis_prefix, "p-1");
  assert_string_equal(after.node_name, "n\"$");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_defaults_share_nothing),
      cmocka_unit_test(each_option_sets_its_field),
      cmocka_unit_test(options_behind_the_first_64_remember_what_they_replaced),
      cmocka_unit_test(what_contradicts_itself_is_refused),
      cmocka_unit_test(ports_are_the_usual_ones_where_none_is_given),
      cmocka_unit_test(a_node_has_the_name_of_its_host_or_its_own),
      cmocka_unit_test(passwords_are_read_from_their_files),
      cmocka_unit_test(a_password_file_that_others_may_read_is_refused),
      cmocka_unit_test(a_file_of_mac_keys_that_cannot_be_used_is_refused),
      cmocka_unit_test(a_file_of_tls_that_cannot_be_read_is_named),
      cmocka_unit_test(a_file_that_holds_no_mac_key_is_refused),
      cmocka_unit_test(printed_options_are_read_back_without_passwords),
  };
  return cmocka_run_group_tests_name("options", tests, make_files, remove_files);
}
