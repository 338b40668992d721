#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tool_json.h"

static const struct mxway_reply bare = {
    .verdict = MXWAY_NULL_MX,
    .ttl_s = 900,
    .source = MXWAY_SOURCE_DNS,
    .canonical = "nomail.test",
    .smtp_code = 556,
    .enhanced_status = "5.1.10",
    .site_name = "",
    .detail = "not in the object",
};

static void expect(const char *domain, size_t length, const struct mxway_reply *reply, const char *expected) {
  char *line = tool_json_build(domain, length, reply, false);
  assert_non_null(line);
  assert_string_equal(line, expected);
  json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
  assert_non_null(object);
  json_decref(object);
  free(line);
}

static void object_without_a_route_has_every_key_in_order(void **state) {
  (void)state;
  expect("NoMail.test.", 12, &bare,
         "{\"domain\":\"NoMail.test.\",\"canonical\":\"nomail.test\",\"verdict\":\"NULL_MX\",\"class\":"
         "\"permanent\","
         "\"smtp_code\":556,\"enhanced_status\":\"5.1.10\",\"ttl\":900,\"mx_ttl\":0,\"age\":0,\"source\":"
         "\"DNS\","
         "\"stale\":false,\"implicit\":false,\"truncated\":false,\"authenticated\":false,\"site_id\":\"\","
         "\"site_name\":\"\","
         "\"warnings\":[],\"exchanges\":[]}");
}

static void object_with_a_route_has_every_key_in_order(void **state) {
  (void)state;
  static const struct mxway_address addresses[] = {{16, {0x20, 1, 0xd, 0xb8, [15] = 1}}, {4, {192, 0, 2, 1}}};
  static const struct mxway_exchange exchanges[] = {
      {10, 0, "mx.test", "host.test", MXWAY_STATUS_OK, 4000000000, 2, addresses},
      {65535, 0, "gone.test", "", MXWAY_STATUS_NXDOMAIN, 0, 0, NULL}};
  static const char *const warnings[] = {"mx_is_cname", "UNKNOWN"};
  struct mxway_reply reply = {.verdict = MXWAY_ROUTE,
                              .ttl_s = 1,
                              .mx_ttl_s = 2,
                              .age_s = 3,
                              .source = (enum mxway_source)77,
                              .stale = true,
                              .implicit = true,
                              .truncated = true,
                              .authenticated = true,
                              .canonical = "c.test",
                              .enhanced_status = "",
                              .site_name = "(a|b).test",
                              .site_id_length = 16,
                              .site_id = {0xab, 1, [15] = 0xff},
                              .detail = "",
                              .warning_count = 2,
                              .warnings = warnings,
                              .exchange_count = 2,
                              .exchanges = exchanges};
  expect("d.test", 6, &reply,
         "{\"domain\":\"d.test\",\"canonical\":\"c.test\",\"verdict\":\"ROUTE\",\"class\":\"ok\","
         "\"smtp_code\":0,\"enhanced_status\":\"\",\"ttl\":1,\"mx_ttl\":2,\"age\":3,\"source\":\"UNKNOWN\","
         "\"stale\":true,\"implicit\":true,\"truncated\":true,\"authenticated\":true,\"site_id\":"
         "\"ab0100000000000000000000000000ff\","
         "\"site_name\":\"(a|b).test\",\"warnings\":[\"mx_is_cname\",\"UNKNOWN\"],\"exchanges\":["
         "{\"preference\":10,\"host\":\"mx.test\",\"expanded\":\"host.test\",\"status\":\"OK\",\"ttl\":"
         "4000000000,"
         "\"addresses\":[\"2001:db8::1\",\"192.0.2.1\"]},"
         "{\"preference\":65535,\"host\":\"gone.test\",\"expanded\":\"\",\"status\":\"NXDOMAIN\",\"ttl\":0,"
         "\"addresses\":[]}]}");
}

/* What the line of an explained answer has behind "exchanges":[]; to be freed. */
static char *build_story(const struct mxway_story_line *story, size_t count) {
  struct mxway_reply reply = bare;
  reply.story = story;
  reply.story_count = count;
  char *line = tool_json_build("d.test", 6, &reply, true);
  assert_non_null(line);
  json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
  assert_non_null(object);
  json_decref(object);
  static const char before[] = "\"exchanges\":[]";
  const char *found = strstr(line, before);
  assert_non_null(found);
  char *rest = strdup(found + sizeof before - 1);
  free(line);
  return rest;
}

static void story_stands_behind_the_other_keys_when_it_was_asked_for(void **state) {
  (void)state;
  static const struct mxway_story_line story[] = {{0, "", "it began"},
                                                  {4000000000, "V8 (RFC 7505 3)", "it \"ended\""}};
  char *rest = build_story(story, 2);
  assert_string_equal(rest,
                      ",\"story\":[{\"at_us\":0,\"rule\":\"\",\"text\":\"it began\"},"
                      "{\"at_us\":4000000000,\"rule\":\"V8 (RFC 7505 3)\",\"text\":\"it \\\"ended\\\"\"}]}");
  free(rest);
  rest = build_story(NULL, 0);
  assert_string_equal(rest, ",\"story\":[]}");
  free(rest);
}

static void story_that_was_not_asked_for_is_left_out(void **state) {
  (void)state;
  static const struct mxway_story_line story = {0, "", "told all the same"};
  struct mxway_reply reply = bare;
  reply.story = &story;
  reply.story_count = 1;
  char *told = tool_json_build("d.test", 6, &reply, false),
       *plain = tool_json_build("d.test", 6, &bare, false);
  assert_string_equal(told, plain);
  free(told);
  free(plain);
}

static void hostile_story_gives_valid_json_of_one_line(void **state) {
  (void)state;
  enum { COUNT = 10000 };
  static struct mxway_story_line story[COUNT];
  for (size_t i = 0; i < COUNT; i++)
    story[i] = (struct mxway_story_line){1, "\x1b[2J\n", "\xff\xc0\xaf\n\"}"};
  char *rest = build_story(story, COUNT);
  assert_null(strchr(rest, '\n'));
  assert_null(strchr(rest, '\x1b'));
  assert_non_null(strstr(rest, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\n\\\"}"));
  free(rest);
}

static void port_is_a_key_only_where_there_is_one(void **state) {
  (void)state;
  static const struct mxway_exchange exchanges[] = {
      {10, 2525, "mx.test", "", MXWAY_STATUS_NOT_RESOLVED, 0, 0, NULL},
      {10, 0, "b.test", "", MXWAY_STATUS_NOT_RESOLVED, 0, 0, NULL}};
  struct mxway_reply reply = bare;
  reply.exchange_count = 2;
  reply.exchanges = exchanges;
  char *line = tool_json_build("d.test", 6, &reply, false);
  assert_non_null(
      strstr(line,
             "\"exchanges\":[{\"preference\":10,\"host\":\"mx.test\",\"expanded\":\"\",\"status\":"
             "\"NOT_RESOLVED\",\"ttl\":0,\"addresses\":[],\"port\":2525},"
             "{\"preference\":10,\"host\":\"b.test\",\"expanded\":\"\",\"status\":"
             "\"NOT_RESOLVED\",\"ttl\":0,\"addresses\":[]}]}"));
  free(line);
}

static void any_octets_of_a_name_give_valid_json(void **state) {
  (void)state;
  char name[256];
  for (size_t i = 0; i < sizeof name; i++)
    name[i] = (char)i;
  struct mxway_reply reply = bare;
  reply.canonical = "\xff\"\\";
  char *line = tool_json_build(name, sizeof name, &reply, false);
  json_t *object = json_loads(line, JSON_ALLOW_NUL, NULL);
  assert_non_null(object);
  assert_null(strchr(line, '\n'));
  assert_string_equal(json_string_value(json_object_get(object, "canonical")), "\xef\xbf\xbd\"\\");
  json_t *domain = json_object_get(object, "domain");
  assert_int_equal(json_string_length(domain), 128 + 128 * 3);
  assert_memory_equal(json_string_value(domain), name, 128);
  json_decref(object);
  free(line);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(object_without_a_route_has_every_key_in_order),
      cmocka_unit_test(object_with_a_route_has_every_key_in_order),
      cmocka_unit_test(story_stands_behind_the_other_keys_when_it_was_asked_for),
      cmocka_unit_test(story_that_was_not_asked_for_is_left_out),
      cmocka_unit_test(hostile_story_gives_valid_json_of_one_line),
      cmocka_unit_test(port_is_a_key_only_where_there_is_one),
      cmocka_unit_test(any_octets_of_a_name_give_valid_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
