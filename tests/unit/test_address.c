#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"

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

/* ---- prefixes ---- */

static void a_prefix_is_read_and_printed(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"192.0.2.0/24", "192.0.2.0/24"},
      {"0.0.0.0/0", "0.0.0.0/0"},
      {"192.0.2.1", "192.0.2.1"},
      {"192.0.2.1/32", "192.0.2.1"},
      {"192.0.2.128/25", "192.0.2.128/25"},
      {"2001:DB8::/32", "2001:db8::/32"},
      {"::/0", "::/0"},
      {"2001:db8::1", "2001:db8::1"},
      {"fe80::/10", "fe80::/10"},
      {"::ffff:192.0.2.0/120", "192.0.2.0/24"},
      {"::ffff:0:0/96", "0.0.0.0/0"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct address_prefix prefix;
    char text[ADDRESS_TEXT_SIZE];
    assert_true(address_prefix_parse(rows[i][0], &prefix));
    assert_string_equal(address_prefix_text(&prefix, text), rows[i][1]);
  }
}

static void what_is_no_prefix_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "/",
                                    "/24",
                                    "192.0.2.0/",
                                    "192.0.2.0/33",
                                    "192.0.2.1/24",
                                    "192.0.2/24",
                                    "2001:db8::/129",
                                    "2001:db8::1/64",
                                    "fe80::1%1",
                                    "192.0.2.0/-1",
                                    "192.0.2.0/ 24",
                                    "192.0.2.0/24/24",
                                    "a.test/24",
                                    "192.0.2.0/1a",
                                    "[2001:db8::]/32",
                                    "192.0.2.0/99999999999999999999",
                                    "0123456789012345678901234567890123456789012345678901234567890123456789"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    struct address_prefix prefix = {.bits = 77};
    if (address_prefix_parse(bad[i], &prefix))
      fail_msg("\"%s\" was taken", bad[i]);
    assert_int_equal(prefix.bits, 77);
  }
}

static void a_prefix_holds_its_own_addresses_in_either_spelling(void **state) {
  (void)state;
  static const struct {
    const char *prefix, *address;
    bool holds;
  } rows[] = {
      {"192.0.2.0/24", "192.0.2.0", true},
      {"192.0.2.0/24", "192.0.2.255", true},
      {"192.0.2.0/24", "192.0.3.0", false},
      {"192.0.2.0/24", "192.0.1.255", false},
      {"192.0.2.0/24", "::ffff:192.0.2.7", true},
      {"192.0.2.0/24", "::192.0.2.7", false},
      {"192.0.2.128/25", "192.0.2.127", false},
      {"192.0.2.128/25", "192.0.2.128", true},
      {"192.0.2.1", "192.0.2.1", true},
      {"192.0.2.1", "192.0.2.2", false},
      {"0.0.0.0/0", "203.0.113.9", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"::/0", "203.0.113.9", true},
      {"::/0", "2001:db8::1", true},
      {"2001:db8::/33", "2001:db8:7fff::1", true},
      {"2001:db8::/33", "2001:db8:8000::1", false},
      {"2001:db8::1", "2001:db8::1", true},
      {"2001:db8::1", "2001:db8::", false},
      {"2001:db8::/32", "192.0.2.1", false},
      {"::fffe:0:0/95", "192.0.2.1", true},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct address_prefix prefix;
    uint8_t octets[16];
    bool is_v6 = strchr(rows[i].address, ':');
    assert_true(address_prefix_parse(rows[i].prefix, &prefix));
    assert_int_equal(inet_pton(is_v6 ? AF_INET6 : AF_INET, rows[i].address, octets), 1);
    if (address_prefix_holds(&prefix, octets, is_v6 ? 16 : 4) != rows[i].holds)
      fail_msg("%s %s", rows[i].prefix, rows[i].address);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_address_is_read_in_each_of_its_forms),
      cmocka_unit_test(what_is_no_address_is_refused),
      cmocka_unit_test(an_address_is_ready_for_a_socket),
      cmocka_unit_test(an_interface_is_known_by_its_name),
      cmocka_unit_test(a_prefix_is_read_and_printed),
      cmocka_unit_test(what_is_no_prefix_is_refused),
      cmocka_unit_test(a_prefix_holds_its_own_addresses_in_either_spelling),
  };
  return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
