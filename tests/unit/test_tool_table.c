#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "tool_table.h"

static const struct mxway_reply bare = {
    .verdict = MXWAY_ROUTE,
    .ttl_s = 300,
    .source = MXWAY_SOURCE_DNS,
    .canonical = "d.test",
    .enhanced_status = "",
    .site_name = "",
    .detail = "",
};

static void expect(const char *domain, const struct mxway_reply *reply, bool is_bold, const char *expected) {
  char *text;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  tool_table_print(out, domain, strlen(domain), reply, is_bold);
  fclose(out);
  assert_string_equal(text, expected);
  free(text);
}

static void columns_are_aligned(void **state) {
  (void)state;
  static const struct mxway_address addresses[] = {{16, {0x20, 1, 0xd, 0xb8, [15] = 1}}, {4, {192, 0, 2, 1}}};
  static const struct mxway_exchange exchanges[] = {
      {5, 0, "mx.test", "", MXWAY_STATUS_OK, 300, 2, addresses},
      {100, 0, "long.mx.test", "h.test", MXWAY_STATUS_OK, 300, 1, addresses + 1},
      {100, 0, "gone.test", "", MXWAY_STATUS_NXDOMAIN, 300, 0, NULL}};
  struct mxway_reply reply = bare;
  reply.exchange_count = 3;
  reply.exchanges = exchanges;
  expect("D.test.", &reply, false,
         "D.test.  ROUTE  ttl 300  from DNS\n"
         "    5  mx.test                 2001:db8::1 192.0.2.1\n"
         "  100  long.mx.test -> h.test  192.0.2.1\n"
         "  100  gone.test               does not exist\n");
}

static void addresses_go_on_below_when_a_line_is_full(void **state) {
  (void)state;
  struct mxway_address addresses[8];
  for (size_t i = 0; i < 8; i++) {
    addresses[i].length = 4;
    memcpy(addresses[i].octets, (uint8_t[]){198, 51, 100, (uint8_t)(200 + i)}, 4);
  }
  const struct mxway_exchange exchange = {10, 0, "mx.test", "", MXWAY_STATUS_OK, 300, 8, addresses};
  struct mxway_reply reply = bare;
  reply.exchange_count = 1;
  reply.exchanges = &exchange;
  expect("d.test", &reply, false,
         "d.test  ROUTE  ttl 300  from DNS\n"
         "  10  mx.test  198.51.100.200 198.51.100.201 198.51.100.202 198.51.100.203 198.51.100.204\n"
         "               198.51.100.205 198.51.100.206 198.51.100.207\n");
}

static void what_is_odd_is_said_in_words(void **state) {
  (void)state;
  static const struct mxway_exchange exchange = {0, 0, "c.test", "", MXWAY_STATUS_NOT_RESOLVED, 0, 0, NULL};
  static const char *const warnings[] = {"mx_is_cname", "UNKNOWN"};
  struct mxway_reply reply = bare;
  reply.canonical = "c.test";
  reply.source = MXWAY_SOURCE_MEMORY;
  reply.age_s = 12;
  reply.stale = reply.implicit = reply.truncated = true;
  reply.warning_count = 2;
  reply.warnings = warnings;
  reply.exchange_count = 1;
  reply.exchanges = &exchange;
  expect("d.test", &reply, false,
         "d.test  ROUTE  ttl 300  from memory, 12 s old, stale\n"
         "   0  c.test  not looked up\n"
         "  canonical name: c.test\n"
         "  no MX: mail goes to the domain itself\n"
         "  there are more exchanges than are shown\n"
         "  warning: an MX record names an alias (mx_is_cname)\n"
         "  warning: something this tool is too old to know (UNKNOWN)\n");
}

static void answer_without_a_route_is_one_line(void **state) {
  (void)state;
  struct mxway_reply reply = bare;
  reply.verdict = MXWAY_NULL_MX;
  reply.smtp_code = 556;
  reply.enhanced_status = "5.1.10";
  expect("d.test", &reply, true,
         "\x1b[1md.test\x1b[0m  NULL_MX  556 5.1.10  this domain accepts no mail  (ttl 300  from DNS)\n");
  reply.verdict = MXWAY_INVALID_NAME;
  reply.smtp_code = 501;
  reply.enhanced_status = "5.1.2";
  reply.source = MXWAY_SOURCE_POLICY;
  reply.ttl_s = 0;
  reply.canonical = "";
  reply.detail = "an empty label";
  expect("d..test", &reply, false,
         "d..test  INVALID_NAME  501 5.1.2  this is not a domain name: an empty label\n");
  reply.verdict = MXWAY_DEADLINE;
  reply.smtp_code = 451;
  reply.enhanced_status = "4.3.2";
  reply.detail = "";
  expect("d.test", &reply, false,
         "d.test  DEADLINE  451 4.3.2  there was no answer within the time asked for\n");
}

static void why_there_is_no_route_stands_behind_every_verdict(void **state) {
  (void)state;
  struct mxway_reply reply = bare;
  reply.verdict = MXWAY_NO_ROUTABLE_ADDRESS;
  reply.smtp_code = 451;
  reply.enhanced_status = "4.4.4";
  reply.detail = "family_filtered: only\x1b[2J IPv6";
  expect("d.test", &reply, false,
         "d.test  NO_ROUTABLE_ADDRESS  451 4.4.4  no exchange has an address that mail may go to: "
         "family_filtered: only\xef\xbf\xbd[2J IPv6  (ttl 300  from DNS)\n");
}

static void port_of_a_configured_route_stands_behind_its_host(void **state) {
  (void)state;
  static const struct mxway_address address = {4, {192, 0, 2, 1}};
  static const struct mxway_exchange exchanges[] = {
      {10, 2525, "mx.test", "", MXWAY_STATUS_OK, 300, 1, &address},
      {10, 65535, "2001:db8::1", "", MXWAY_STATUS_NO_ADDRESS, 300, 0, NULL},
      {20, 25, "c.test", "h.test", MXWAY_STATUS_OK, 300, 1, &address},
      {20, 0, "2001:db8::2", "", MXWAY_STATUS_OK, 300, 1, &address}};
  struct mxway_reply reply = bare;
  reply.source = MXWAY_SOURCE_OVERRIDE;
  reply.exchange_count = 4;
  reply.exchanges = exchanges;
  expect("d.test", &reply, false,
         "d.test  ROUTE  ttl 300  as configured\n"
         "  10  mx.test:2525         192.0.2.1\n"
         "  10  [2001:db8::1]:65535  has no address\n"
         "  20  c.test:25 -> h.test  192.0.2.1\n"
         "  20  2001:db8::2          192.0.2.1\n");
}

static void literal_has_no_other_name(void **state) {
  (void)state;
  static const struct mxway_address address = {4, {192, 0, 2, 1}};
  static const struct mxway_exchange exchange = {0, 0, "192.0.2.1", "", MXWAY_STATUS_OK, 0, 1, &address};
  struct mxway_reply reply = bare;
  reply.source = MXWAY_SOURCE_LITERAL;
  reply.ttl_s = 0;
  reply.canonical = "192.0.2.1";
  reply.exchange_count = 1;
  reply.exchanges = &exchange;
  expect("[192.0.2.1]", &reply, false,
         "[192.0.2.1]  ROUTE  ttl 0  an address literal\n"
         "   0  192.0.2.1  192.0.2.1\n");
}

static void names_cannot_drive_the_terminal(void **state) {
  (void)state;
  const struct mxway_exchange exchange = {10, 0, "\x1b[2Jmx", "\x9b", MXWAY_STATUS_OK, 0, 0, NULL};
  struct mxway_reply reply = bare;
  reply.canonical = "\x1b]0;x\x07";
  reply.exchange_count = 1;
  reply.exchanges = &exchange;
  expect("\x1b[1A\xff", &reply, false,
         "\xef\xbf\xbd[1A\xef\xbf\xbd  ROUTE  ttl 300  from DNS\n"
         "  10  \xef\xbf\xbd[2Jmx -> \xef\xbf\xbd  no address given\n"
         "  canonical name: \xef\xbf\xbd]0;x\xef\xbf\xbd\n");
}

static void every_verdict_and_status_has_words(void **state) {
  (void)state;
  const char *unknown = tool_table_sentence((enum mxway_verdict)99);
  for (int verdict = MXWAY_ROUTE; verdict <= MXWAY_REJECTED; verdict++)
    assert_string_not_equal(tool_table_sentence((enum mxway_verdict)verdict), unknown);
  struct mxway_exchange exchange = {1, 0, "mx.test", "", (enum mxway_status)99, 0, 0, NULL};
  struct mxway_reply reply = bare;
  reply.verdict = (enum mxway_verdict)99;
  reply.source = (enum mxway_source)99;
  reply.exchange_count = 1;
  reply.exchanges = &exchange;
  expect("d.test", &reply, false,
         "d.test  UNKNOWN  the daemon says what this tool is too old to know  (ttl 300  from elsewhere)\n"
         "   1  mx.test  in a state this tool is too old to know\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(columns_are_aligned),
      cmocka_unit_test(addresses_go_on_below_when_a_line_is_full),
      cmocka_unit_test(what_is_odd_is_said_in_words),
      cmocka_unit_test(answer_without_a_route_is_one_line),
      cmocka_unit_test(why_there_is_no_route_stands_behind_every_verdict),
      cmocka_unit_test(port_of_a_configured_route_stands_behind_its_host),
      cmocka_unit_test(literal_has_no_other_name),
      cmocka_unit_test(names_cannot_drive_the_terminal),
      cmocka_unit_test(every_verdict_and_status_has_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
