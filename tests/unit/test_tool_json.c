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
  char *line = tool_json_build(domain, length, reply);
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
         "\"stale\":false,\"implicit\":false,\"truncated\":false,\"site_id\":\"\",\"site_name\":\"\","
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
  expect(
      "d.test", 6, &reply,
      "{\"domain\":\"d.test\",\"canonical\":\"c.test\",\"verdict\":\"ROUTE\",\"class\":\"ok\","
      "\"smtp_code\":0,\"enhanced_status\":\"\",\"ttl\":1,\"mx_ttl\":2,\"age\":3,\"source\":\"UNKNOWN\","
      "\"stale\":true,\"implicit\":true,\"truncated\":true,\"site_id\":\"ab0100000000000000000000000000ff\","
      "\"site_name\":\"(a|b).test\",\"warnings\":[\"mx_is_cname\",\"UNKNOWN\"],\"exchanges\":["
      "{\"preference\":10,\"host\":\"mx.test\",\"expanded\":\"host.test\",\"status\":\"OK\",\"ttl\":"
      "4000000000,"
      "\"addresses\":[\"2001:db8::1\",\"192.0.2.1\"]},"
      "{\"preference\":65535,\"host\":\"gone.test\",\"expanded\":\"\",\"status\":\"NXDOMAIN\",\"ttl\":0,"
      "\"addresses\":[]}]}");
}

static void any_octets_of_a_name_give_valid_json(void **state) {
  (void)state;
  char name[256];
  for (size_t i = 0; i < sizeof name; i++)
    name[i] = (char)i;
  struct mxway_reply reply = bare;
  reply.canonical = "\xff\"\\";
  char *line = tool_json_build(name, sizeof name, &reply);
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
      cmocka_unit_test(any_octets_of_a_name_give_valid_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
