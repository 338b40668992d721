#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <string.h>

#include "rules/reach.h"

struct address {
  uint8_t octets[16];
  size_t length;
};

static struct address address_of(const char *text) {
  struct address address = {.length = strchr(text, ':') ? 16 : 4};
  assert_int_equal(inet_pton(address.length == 16 ? AF_INET6 : AF_INET, text, address.octets), 1);
  return address;
}

static enum reach reach_of_text(const char *text) {
  struct address address = address_of(text);
  return reach_of(address.octets, address.length);
}

static bool is_dropped(const struct reach_policy *policy, const char *text) {
  struct address address = address_of(text);
  return reach_is_dropped(policy, address.octets, address.length);
}

/* The first and the last of each range, and their neighbours. */
static const struct {
  const char *text;
  enum reach reach;
} v4_rows[] = {
    {"0.0.0.0", REACH_UNSPECIFIED},        {"0.255.255.255", REACH_UNSPECIFIED},
    {"1.0.0.0", REACH_ORDINARY},           {"9.255.255.255", REACH_ORDINARY},
    {"10.0.0.0", REACH_PRIVATE},           {"10.255.255.255", REACH_PRIVATE},
    {"11.0.0.0", REACH_ORDINARY},          {"100.63.255.255", REACH_ORDINARY},
    {"100.64.0.0", REACH_PRIVATE},         {"100.127.255.255", REACH_PRIVATE},
    {"100.128.0.0", REACH_ORDINARY},       {"126.255.255.255", REACH_ORDINARY},
    {"127.0.0.0", REACH_LOOPBACK},         {"127.0.0.1", REACH_LOOPBACK},
    {"127.255.255.255", REACH_LOOPBACK},   {"128.0.0.0", REACH_ORDINARY},
    {"169.253.255.255", REACH_ORDINARY},   {"169.254.0.0", REACH_LINK_LOCAL},
    {"169.254.255.255", REACH_LINK_LOCAL}, {"169.255.0.0", REACH_ORDINARY},
    {"172.15.255.255", REACH_ORDINARY},    {"172.16.0.0", REACH_PRIVATE},
    {"172.31.255.255", REACH_PRIVATE},     {"172.32.0.0", REACH_ORDINARY},
    {"192.0.2.1", REACH_ORDINARY},         {"192.167.255.255", REACH_ORDINARY},
    {"192.168.0.0", REACH_PRIVATE},        {"192.168.255.255", REACH_PRIVATE},
    {"192.169.0.0", REACH_ORDINARY},       {"223.255.255.255", REACH_ORDINARY},
    {"224.0.0.0", REACH_MULTICAST},        {"239.255.255.255", REACH_MULTICAST},
    {"240.0.0.0", REACH_ORDINARY},         {"255.255.255.254", REACH_ORDINARY},
    {"255.255.255.255", REACH_BROADCAST},
};

static const struct {
  const char *text;
  enum reach reach;
} v6_rows[] = {
    {"::", REACH_UNSPECIFIED},
    {"::1", REACH_LOOPBACK},
    {"::2", REACH_UNSPECIFIED}, /* compatible 0.0.0.2 */
    {"ff00::", REACH_MULTICAST},
    {"ff02::1", REACH_MULTICAST},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", REACH_MULTICAST},
    {"feff::1", REACH_ORDINARY},
    {"fe7f::1", REACH_ORDINARY},
    {"fe80::", REACH_LINK_LOCAL},
    {"febf:ffff::1", REACH_LINK_LOCAL},
    {"fec0::1", REACH_ORDINARY},
    {"fbff::1", REACH_ORDINARY},
    {"fc00::", REACH_PRIVATE},
    {"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", REACH_PRIVATE},
    {"100::", REACH_DISCARD},
    {"100::ffff:ffff:ffff:ffff", REACH_DISCARD},
    {"100:0:0:1::", REACH_ORDINARY},
    {"2001:db8::1", REACH_ORDINARY},
    {"2001:1::1", REACH_ORDINARY},
    {"2003:7f00:1::", REACH_ORDINARY},
    /* Mapped and compatible (RFC 4291 section 2.5.5). */
    {"::ffff:192.0.2.1", REACH_ORDINARY},
    {"::ffff:127.0.0.1", REACH_LOOPBACK},
    {"::ffff:0.0.0.0", REACH_UNSPECIFIED},
    {"::ffff:10.1.2.3", REACH_PRIVATE},
    {"::fffe:127.0.0.1", REACH_ORDINARY},
    {"::1:127.0.0.1", REACH_ORDINARY},
    {"::127.0.0.1", REACH_LOOPBACK},
    {"::192.0.2.1", REACH_ORDINARY},
    {"::224.0.0.1", REACH_MULTICAST},
    /* NAT64 (RFC 6052 section 2.1). */
    {"64:ff9b::192.0.2.1", REACH_ORDINARY},
    {"64:ff9b::127.0.0.1", REACH_LOOPBACK},
    {"64:ff9b::255.255.255.255", REACH_BROADCAST},
    {"64:ff9b::1:127.0.0.1", REACH_ORDINARY},
    /* Local NAT64 (RFC 8215) with 48, 56, 64 and 96 bits (RFC 6052 section 2.2). */
    {"64:ff9b:1:7f00:0:100::", REACH_LOOPBACK},
    {"64:ff9b:1:c000:2:100::", REACH_ORDINARY},
    {"64:ff9b:1:c07f:0:1::", REACH_LOOPBACK},
    {"64:ff9b:1:c0c0:0:201::", REACH_ORDINARY},
    {"64:ff9b:1:abcd:7f:0:100:0", REACH_LOOPBACK},
    {"64:ff9b:1:abcd:c0:2:100:0", REACH_ORDINARY},
    {"64:ff9b:1::127.0.0.1", REACH_LOOPBACK},
    {"64:ff9b:1::192.0.2.1", REACH_ORDINARY},
    {"64:ff9b:1:abcd:0:abcd:10.0.0.1", REACH_PRIVATE},
    {"64:ff9b:2::127.0.0.1", REACH_ORDINARY},
    /* 6to4 (RFC 3056). */
    {"2002:7f00:1::1", REACH_LOOPBACK},
    {"2002:c000:201::1", REACH_ORDINARY},
    {"2002:a01:203::1", REACH_PRIVATE},
    /* Teredo's client stands inverted (RFC 4380 section 4); its server does not count. */
    {"2001:0:c000:201:0:ffff:80ff:fffe", REACH_LOOPBACK},
    {"2001:0:7f00:1:0:ffff:3fff:fdfe", REACH_ORDINARY},
    {"2001:0:c000:201:0:ffff:3f57:fdfe", REACH_PRIVATE},
};

static void every_range_ends_where_it_should(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(v4_rows) / sizeof(v4_rows[0]); i++)
    if (reach_of_text(v4_rows[i].text) != v4_rows[i].reach)
      fail_msg("%s is %s", v4_rows[i].text, reach_text(reach_of_text(v4_rows[i].text)));
}

static void ipv6_is_judged_and_the_ipv4_in_it(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(v6_rows) / sizeof(v6_rows[0]); i++)
    if (reach_of_text(v6_rows[i].text) != v6_rows[i].reach)
      fail_msg("%s is %s", v6_rows[i].text, reach_text(reach_of_text(v6_rows[i].text)));
}

static void a_mapped_address_is_judged_like_the_address(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(v4_rows) / sizeof(v4_rows[0]); i++) {
    struct address v4 = address_of(v4_rows[i].text);
    uint8_t mapped[16] = {[10] = 0xff, 0xff};
    memcpy(mapped + 12, v4.octets, 4);
    assert_int_equal(reach_of(mapped, 16), v4_rows[i].reach);
  }
}

static void private_addresses_are_dropped_only_where_that_is_wanted(void **state) {
  (void)state;
  static const struct reach_policy usual, strict = {.drop_private = true};
  for (size_t i = 0; i < sizeof(v4_rows) / sizeof(v4_rows[0]); i++) {
    enum reach reach = v4_rows[i].reach;
    bool is_private = reach == REACH_PRIVATE || reach == REACH_LINK_LOCAL;
    assert_int_equal(is_dropped(&usual, v4_rows[i].text), reach != REACH_ORDINARY && !is_private);
    assert_int_equal(is_dropped(&strict, v4_rows[i].text), reach != REACH_ORDINARY);
  }
  assert_false(is_dropped(&usual, "fd00::1"));
  assert_true(is_dropped(&strict, "fd00::1"));
  assert_false(is_dropped(&usual, "fe80::1"));
  assert_true(is_dropped(&strict, "fe80::1"));
}

static void the_allow_list_wins_over_everything(void **state) {
  (void)state;
  struct address_prefix allow[3];
  assert_true(address_prefix_parse("127.0.0.1", &allow[0]));
  assert_true(address_prefix_parse("10.1.0.0/16", &allow[1]));
  assert_true(address_prefix_parse("64:ff9b::7f00:0/104", &allow[2]));
  struct reach_policy policy = {.drop_private = true, .allow_count = 3, .allow = allow};
  static const struct {
    const char *text;
    bool dropped;
  } rows[] = {
      {"127.0.0.1", false},
      {"127.0.0.2", true},
      {"10.1.255.255", false},
      {"10.2.0.0", true},
      {"::ffff:127.0.0.1", false},
      {"::ffff:127.0.0.2", true},
      {"2002:7f00:1::", false},
      {"2002:7f00:2::", true},
      {"64:ff9b::127.9.9.9", false},
      {"::ffff:10.1.2.3", false},
      {"64:ff9b:1::127.0.0.1", false},
      {"::1", true},
      {"192.0.2.1", false},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    if (is_dropped(&policy, rows[i].text) != rows[i].dropped)
      fail_msg("%s", rows[i].text);
}

static void every_kind_has_a_text(void **state) {
  (void)state;
  for (enum reach reach = REACH_ORDINARY; reach <= REACH_DISCARD; reach++)
    assert_true(strlen(reach_text(reach)) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_range_ends_where_it_should),
      cmocka_unit_test(ipv6_is_judged_and_the_ipv4_in_it),
      cmocka_unit_test(a_mapped_address_is_judged_like_the_address),
      cmocka_unit_test(private_addresses_are_dropped_only_where_that_is_wanted),
      cmocka_unit_test(the_allow_list_wins_over_everything),
      cmocka_unit_test(every_kind_has_a_text),
  };
  return cmocka_run_group_tests_name("reach", tests, NULL, NULL);
}
