#include "cmocka_compat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/resolvconf.h"

enum { PATH_SIZE = 64 };

struct fixture {
  char folder[PATH_SIZE / 2], path[PATH_SIZE], other[PATH_SIZE], new[PATH_SIZE];
  struct config config;
  struct resolvconf resolvconf;
};

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

/* As most programs do it: another file takes the place of the old one. */
static void replace_file(struct fixture *fixture, const char *path, const char *text) {
  write_file(fixture->new, text);
  assert_return_code(rename(fixture->new, path), errno);
}

/* The daemon has started with a file that names 192.0.2.1. */
static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  assert_non_null(fixture);
  snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/mxway-test-XXXXXX");
  assert_non_null(mkdtemp(fixture->folder));
  snprintf(fixture->path, PATH_SIZE, "%s/resolv.conf", fixture->folder);
  snprintf(fixture->other, PATH_SIZE, "%s/other", fixture->folder);
  snprintf(fixture->new, PATH_SIZE, "%s/new", fixture->folder);
  write_file(fixture->path, "nameserver 192.0.2.1\n");
  config_init(&fixture->config);
  memcpy(fixture->config.resolv_conf, fixture->path, PATH_SIZE);
  config_resolve_upstreams(&fixture->config);
  resolvconf_init(&fixture->resolvconf, &fixture->config);
  log_set_level(LOG_LEVEL_ERROR);
  *state = fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  unlink(fixture->path);
  unlink(fixture->other);
  rmdir(fixture->folder);
  free(fixture);
  return 0;
}

static void assert_servers(const struct fixture *fixture, size_t count, const char *const *texts) {
  char text[ADDRESS_TEXT_SIZE];
  assert_int_equal(fixture->resolvconf.count, count);
  for (size_t i = 0; i < count; i++)
    assert_string_equal(config_upstream_text(&fixture->resolvconf.upstreams[i], text), texts[i]);
}

static void assert_one(const struct fixture *fixture, const char *text) { assert_servers(fixture, 1, &text); }

static void what_has_not_changed_since_the_start_is_no_news(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 3; i++)
    assert_false(resolvconf_look(&fixture->resolvconf));
  assert_one(fixture, "192.0.2.1:53");
}

static void a_change_between_the_reading_at_the_start_and_the_first_look_is_seen(void **state) {
  struct fixture *fixture = *state;
  replace_file(fixture, fixture->path, "nameserver 192.0.2.2\n");
  assert_true(resolvconf_look(&fixture->resolvconf));
  assert_one(fixture, "192.0.2.2:53");
}

static void a_file_that_takes_its_place_is_seen_once(void **state) {
  struct fixture *fixture = *state;
  static const char *const texts[] = {"192.0.2.3:53", "[2001:db8::1]:53"};
  assert_false(resolvconf_look(&fixture->resolvconf));
  replace_file(fixture, fixture->path, "search a.test\nnameserver 192.0.2.3\nnameserver 2001:db8::1\n");
  assert_true(resolvconf_look(&fixture->resolvconf));
  assert_servers(fixture, 2, texts);
  assert_false(resolvconf_look(&fixture->resolvconf));
}

static void a_file_that_is_written_anew_is_seen(void **state) {
  struct fixture *fixture = *state;
  assert_false(resolvconf_look(&fixture->resolvconf));
  write_file(fixture->path, "# by hand\nnameserver 192.0.2.4\n");
  assert_true(resolvconf_look(&fixture->resolvconf));
  assert_one(fixture, "192.0.2.4:53");
}

static void the_order_of_servers_is_a_change_and_a_comment_is_none(void **state) {
  struct fixture *fixture = *state;
  replace_file(fixture, fixture->path, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
  assert_true(resolvconf_look(&fixture->resolvconf));
  replace_file(fixture, fixture->path, "nameserver 192.0.2.2\nnameserver 192.0.2.1\n");
  assert_true(resolvconf_look(&fixture->resolvconf));
  replace_file(fixture, fixture->path, "# a comment\nnameserver 192.0.2.2\nnameserver 192.0.2.1\n");
  assert_false(resolvconf_look(&fixture->resolvconf));
}

/* systemd-resolved and resolvconf(8) leave a link in /etc and replace what it points to. */
static void behind_a_symbolic_link_both_ends_may_change(void **state) {
  struct fixture *fixture = *state;
  assert_return_code(rename(fixture->path, fixture->other), errno);
  assert_return_code(symlink("other", fixture->path), errno);
  assert_false(resolvconf_look(&fixture->resolvconf));
  replace_file(fixture, fixture->other, "nameserver 192.0.2.5\n");
  assert_true(resolvconf_look(&fixture->resolvconf));
  assert_one(fixture, "192.0.2.5:53");
  unlink(fixture->path);
  write_file(fixture->path, "nameserver 192.0.2.6\n");
  assert_true(resolvconf_look(&fixture->resolvconf));
  assert_one(fixture, "192.0.2.6:53");
}

static void one_that_is_gone_or_names_none_changes_nothing(void **state) {
  struct fixture *fixture = *state;
  static const char *const texts[] = {"", "nameserver\n", "nameserver nonsense\n",
                                      "\x7f"
                                      "ELF\n"};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    replace_file(fixture, fixture->path, texts[i]);
    assert_false(resolvconf_look(&fixture->resolvconf));
  }
  unlink(fixture->path);
  assert_false(resolvconf_look(&fixture->resolvconf));
  assert_one(fixture, "192.0.2.1:53");
  write_file(fixture->path, "nameserver 192.0.2.7\n");
  assert_true(resolvconf_look(&fixture->resolvconf));
  assert_one(fixture, "192.0.2.7:53");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_has_not_changed_since_the_start_is_no_news),
      TEST(a_change_between_the_reading_at_the_start_and_the_first_look_is_seen),
      TEST(a_file_that_takes_its_place_is_seen_once),
      TEST(a_file_that_is_written_anew_is_seen),
      TEST(the_order_of_servers_is_a_change_and_a_comment_is_none),
      TEST(behind_a_symbolic_link_both_ends_may_change),
      TEST(one_that_is_gone_or_names_none_changes_nothing),
  };
  return cmocka_run_group_tests_name("resolvconf", tests, NULL, NULL);
}
