#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "address.h"

enum { DNS_PORT = 53 };

static void an_address_is_read_in_each_of_its_forms(void **state) {
  (void)state;
  static const struct {
    const char *given, *text;
  } cases[] = {
      {"192.0.2.1", "192.0.2.1:53"},
      {"192.0.2.1:5300", "192.0.2.1:5300"},
      {"192.0.2.1:65535", "192.0.2.1:65535"},
      {"2001:db8::1", "[2001:db8::1]:53"},
      {"[2001:db8::1]", "[2001:db8::1]:53"},
      {"[2001:db8::1]:1", "[2001:db8::1]:1"},
      {"::1", "[::1]:53"},
      {"::", "[::]:53"},
      {"::ffff:192.0.2.1", "[::ffff:192.0.2.1]:53"},
      {"[fe80::1%4294967295]:65535", "[fe80::1%4294967295]:65535"},
      {"[2001:db8:1111:2222:3333:4444:5555:6666%4294967295]:65535",
       "[2001:db8:1111:2222:3333:4444:5555:6666%4294967295]:65535"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct sockaddr_storage address, again;
    char text[ADDRESS_TEXT_SIZE];
    assert_true(address_parse(cases[i].given, DNS_PORT, &address));
    assert_string_equal(address_text(&address, text), cases[i].text);
    assert_true(address_parse(text, 1, &again));
    assert_memory_equal(&again, &address, sizeof(address));
  }
}

static void what_is_no_address_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "dns.example",
      "192.0.2",
      "192.0.2.256",
      "192.0.2.1:",
      "192.0.2.1:0",
      "192.0.2.1:65536",
      "192.0.2.1:18446744073709551669",
      "192.0.2.1:dns",
      "192.0.2.1:-1",
      "192.0.2.1:+1",
      "192.0.2.1: 1",
      "[192.0.2.1]",
      "[192.0.2.1]:53",
      "[2001:db8::1",
      "2001:db8::1]:53",
      "[2001:db8::1]x",
      "[2001:db8::1]:",
      "[[::1]]",
      "2001:db8:::1",
      "[]",
      "[]:53",
      "[",
      "]",
      ":",
      ":53",
      "%",
      "fe80::1%",
      "fe80::1%0",
      "fe80::1%4294967296",
      "fe80::1%no-such-interface",
      "fe80::1%1%1",
      "192.0.2.1%1",
      "192.0.2.1 53",
      " 192.0.2.1",
      "[:]:1",
      "[::1]:53:53",
      "0000000000000000000000000000000000000000000000000000000000000000000000",
  };
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    struct sockaddr_storage address;
    if (address_parse(bad[i], DNS_PORT, &address))
      fail_msg("\"%s\" was taken for an address", bad[i]);
  }
}

static void an_address_is_ready_for_a_socket(void **state) {
  (void)state;
  struct sockaddr_storage address;
  assert_true(address_parse("192.0.2.7:5300", DNS_PORT, &address));
  const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
  assert_int_equal(v4->sin_family, AF_INET);
  assert_int_equal(ntohs(v4->sin_port), 5300);
  assert_int_equal(ntohl(v4->sin_addr.s_addr), 0xc0000207);
  assert_true(address_parse("[fe80::7%1]:5301", DNS_PORT, &address));
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
  assert_int_equal(v6->sin6_family, AF_INET6);
  assert_int_equal(ntohs(v6->sin6_port), 5301);
  assert_int_equal(v6->sin6_addr.s6_addr[0], 0xfe);
  assert_int_equal(v6->sin6_addr.s6_addr[15], 7);
  assert_int_equal(v6->sin6_scope_id, 1);
}

static void an_interface_is_known_by_its_name(void **state) {
  (void)state;
  char name[IF_NAMESIZE], text[ADDRESS_TEXT_SIZE];
  struct sockaddr_storage address;
  if (!if_indextoname(1, name))
    skip();
  snprintf(text, sizeof(text), "fe80::1%%%s", name);
  assert_true(address_parse(text, DNS_PORT, &address));
  assert_int_equal(((const struct sockaddr_in6 *)&address)->sin6_scope_id, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_address_is_read_in_each_of_its_forms),
      cmocka_unit_test(what_is_no_address_is_refused),
      cmocka_unit_test(an_address_is_ready_for_a_socket),
      cmocka_unit_test(an_interface_is_known_by_its_name),
  };
  return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
