#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "redis/link_target.h"

static void targets_are_read_and_printed(void **state) {
  (void)state;
  static const struct {
    const char *text, *path, *host;
    uint16_t port;
    const char *printed;
  } cases[] = {
      {"unix:/run/redis.sock", "/run/redis.sock", "", 0, "unix:/run/redis.sock"},
      {"unix:/a:b c", "/a:b c", "", 0, "unix:/a:b c"},
      {"redis.example.test", "", "redis.example.test", 6379, "redis.example.test:6379"},
      {"redis_1.test:1", "", "redis_1.test", 1, "redis_1.test:1"},
      {"localhost:65535", "", "localhost", 65535, "localhost:65535"},
      {"7up.test", "", "7up.test", 6379, "7up.test:6379"},
      {"192.0.2.1", "", "192.0.2.1", 6379, "192.0.2.1:6379"},
      {"192.0.2.1:7000", "", "192.0.2.1", 7000, "192.0.2.1:7000"},
      {"2001:db8::1", "", "2001:db8::1", 6379, "[2001:db8::1]:6379"},
      {"[2001:db8::1]", "", "2001:db8::1", 6379, "[2001:db8::1]:6379"},
      {"[2001:db8::1]:7", "", "2001:db8::1", 7, "[2001:db8::1]:7"},
      {"[fe80::1%eth0]:7", "", "fe80::1%eth0", 7, "[fe80::1%eth0]:7"},
      {"::1", "", "::1", 6379, "[::1]:6379"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct link_target target, again;
    char text[LINK_TARGET_TEXT_SIZE];
    if (!link_target_parse(cases[i].text, 6379, &target))
      fail_msg("%s", cases[i].text);
    assert_string_equal(target.path, cases[i].path);
    assert_string_equal(target.host, cases[i].host);
    assert_int_equal(target.port, cases[i].port);
    assert_string_equal(link_target_text(&target, text), cases[i].printed);
    assert_true(link_target_parse(text, 1, &again));
    assert_true(link_target_is_same(&target, &again));
    assert_true(link_target_is_set(&target));
  }
}

static void without_a_default_the_port_is_left_open(void **state) {
  (void)state;
  struct link_target target;
  char text[LINK_TARGET_TEXT_SIZE];
  assert_true(link_target_parse("::1", 0, &target));
  assert_int_equal(target.port, 0);
  assert_string_equal(link_target_text(&target, text), "::1");
}

static void what_is_no_target_is_refused_and_changes_nothing(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "unix:",
      "unix:run/r.sock",
      "unix:/a\nb",
      ":6379",
      "host:",
      "host:0",
      "host:65536",
      "host:6379x",
      "host:-1",
      "host: 1",
      "ho st",
      "a/b",
      "-a.test",
      ".test",
      "300.0.0.1",
      "127.1",
      "1",
      "[::1",
      "::1]",
      "[::1]x",
      "[::1]:",
      "[host]:1",
      "[192.0.2.1]:1",
      "2001:db8:",
      "fe80::1%",
      "[fe80::1%]]:1",
      "fe80::1%a/b",
      "redis://a:1",
      "h\303\266st",
      "a:1:2",
      "host:99999999",
      "[]:1",
  };
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    struct link_target target, before;
    memset(&target, 0x55, sizeof(target));
    before = target;
    if (link_target_parse(bad[i], 6379, &target))
      fail_msg("%s", bad[i]);
    assert_memory_equal(&target, &before, sizeof(target));
  }
}

static void lengths_are_bounded(void **state) {
  (void)state;
  char text[400];
  struct link_target target;
  memset(text, 'a', sizeof(text));
  memcpy(text, "unix:/", 6);
  text[5 + LINK_PATH_SIZE - 1] = '\0';
  assert_true(link_target_parse(text, 1, &target));
  assert_int_equal(strlen(target.path), LINK_PATH_SIZE - 1);
  text[5 + LINK_PATH_SIZE - 1] = 'a';
  text[5 + LINK_PATH_SIZE] = '\0';
  assert_false(link_target_parse(text, 1, &target));
  memset(text, 'a', sizeof(text));
  text[LINK_HOST_SIZE - 1] = '\0';
  assert_true(link_target_parse(text, 1, &target));
  assert_int_equal(strlen(target.host), LINK_HOST_SIZE - 1);
  text[LINK_HOST_SIZE - 1] = 'a';
  text[LINK_HOST_SIZE] = '\0';
  assert_false(link_target_parse(text, 1, &target));
}

static void targets_are_compared_by_all_they_have(void **state) {
  (void)state;
  static const char *const texts[] = {"unix:/a", "unix:/b", "a", "b", "a:1"};
  struct link_target targets[5], none = {.port = 0};
  for (size_t i = 0; i < 5; i++)
    assert_true(link_target_parse(texts[i], 6379, &targets[i]));
  for (size_t i = 0; i < 5; i++)
    for (size_t j = 0; j < 5; j++)
      assert_int_equal(link_target_is_same(&targets[i], &targets[j]), i == j);
  assert_false(link_target_is_set(&none));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(targets_are_read_and_printed),
      cmocka_unit_test(without_a_default_the_port_is_left_open),
      cmocka_unit_test(what_is_no_target_is_refused_and_changes_nothing),
      cmocka_unit_test(lengths_are_bounded),
      cmocka_unit_test(targets_are_compared_by_all_they_have),
  };
  return cmocka_run_group_tests_name("link_target", tests, NULL, NULL);
}
