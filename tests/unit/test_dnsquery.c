#include "cmocka_compat.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "dns/dnsmsg.h"
#include "dns/dnsquery.h"

static const struct dnsquery_options plain = {.edns_size = 1232};
static const struct dnsquery_options usual = {.with_edns = true, .random_case = true, .edns_size = 1232};

static void the_bytes_of_a_plain_query_are_these(void **state) {
  (void)state;
  static const uint8_t expected[] = "\x01\x20\0\1\0\0\0\0\0\0\1d\4test\0\0\x0f\0\1";
  struct dnsquery_source source = {.left = 0};
  uint8_t bytes[DNSQUERY_BYTES_MAX];
  size_t length = dnsquery_build(&source, "d.test", DNSMSG_MX, &plain, bytes);
  assert_int_equal(length, 2 + sizeof(expected) - 1);
  assert_memory_equal(bytes + 2, expected, sizeof(expected) - 1);
}

static void edns_is_the_last_eleven_octets(void **state) {
  (void)state;
  static const uint8_t opt[] = "\0\0\x29\x04\xd0\0\0\0\0\0";
  struct dnsquery_source source = {.left = 0};
  uint8_t bytes[DNSQUERY_BYTES_MAX];
  size_t without = dnsquery_build(&source, "d.test", DNSMSG_A, &plain, bytes);
  size_t length = dnsquery_build(&source, "d.test", DNSMSG_A, &usual, bytes);
  assert_int_equal(length, without + DNSQUERY_OPT_LENGTH);
  assert_memory_equal(bytes + length - DNSQUERY_OPT_LENGTH, opt, DNSQUERY_OPT_LENGTH);
  assert_int_equal(bytes[11], 1);
}

static void the_longest_name_fits(void **state) {
  (void)state;
  struct dnsquery_source source = {.left = 0};
  uint8_t bytes[DNSQUERY_BYTES_MAX];
  char name[254];
  memset(name, 'x', 253);
  name[63] = name[127] = name[191] = '.';
  name[253] = '\0';
  assert_int_equal(dnsquery_build(&source, name, DNSMSG_AAAA, &usual, bytes), DNSQUERY_BYTES_MAX);
}

/* Each letter is of either case half of the time, each bit of the id is set half of the time, and nothing
 * else changes. */
static void letters_and_ids_are_tossed_like_coins(void **state) {
  (void)state;
  enum { ROUNDS = 4000 };
  static const char name[] = "abcxyz-0189_.m.test";
  struct dnsquery_source source = {.left = 0};
  unsigned upper[sizeof(name)] = {0}, set[16] = {0};
  for (int i = 0; i < ROUNDS; i++) {
    uint8_t bytes[DNSQUERY_BYTES_MAX];
    dnsquery_build(&source, name, DNSMSG_MX, &usual, bytes);
    for (unsigned bit = 0; bit < 16; bit++)
      set[bit] += (unsigned)(bytes[0] << 8 | bytes[1]) >> bit & 1;
    for (size_t k = 0; name[k]; k++) {
      uint8_t octet = bytes[13 + k]; /* behind the length of the first label */
      if (name[k] == '.')
        continue;
      assert_int_equal(tolower(octet), name[k]);
      upper[k] += isupper(octet) != 0;
    }
  }
  for (size_t k = 0; name[k]; k++)
    if (isalpha((unsigned char)name[k]))
      assert_in_range(upper[k], ROUNDS / 2 - 200, ROUNDS / 2 + 200); /* 6 sigma */
    else
      assert_int_equal(upper[k], 0);
  for (unsigned bit = 0; bit < 16; bit++)
    assert_in_range(set[bit], ROUNDS / 2 - 200, ROUNDS / 2 + 200);
}

static void a_reply_is_compared_letter_by_letter(void **state) {
  (void)state;
  static const uint8_t question[] = "\1d\4teSt\0\0\x0f\0\1";
  const size_t length = sizeof(question) - 1;
  static const struct {
    const char *question;
    enum dnsquery_match match;
  } rows[] = {
      {"\1d\4teSt\0\0\x0f\0\1", DNSQUERY_EXACT},      {"\1d\4test\0\0\x0f\0\1", DNSQUERY_OTHER_CASE},
      {"\1D\4TEST\0\0\x0f\0\1", DNSQUERY_OTHER_CASE}, {"\1e\4teSt\0\0\x0f\0\1", DNSQUERY_OTHER},
      {"\1d\4teSt\0\0\x01\0\1", DNSQUERY_OTHER},   /* of another type */
      {"\1d\4teSt\0\0\x0f\0\3", DNSQUERY_OTHER},   /* of another class */
      {"\1d\x24teSt\0\0\x0f\0\1", DNSQUERY_OTHER}, /* 0x20 apart, but no letter */
      {"\1d\4teSt\0\0\x2f\0\1", DNSQUERY_OTHER},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint8_t reply[12 + sizeof(question)] = {[5] = 1};
    memcpy(reply + 12, rows[i].question, length);
    assert_int_equal(dnsquery_compare(question, length, reply, 12 + length), rows[i].match);
    assert_int_equal(dnsquery_compare(question, length, reply, 12 + length - 1), DNSQUERY_OTHER);
    reply[5] = 0; /* no question */
    assert_int_equal(dnsquery_compare(question, length, reply, 12 + length), DNSQUERY_OTHER);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_bytes_of_a_plain_query_are_these),
      cmocka_unit_test(edns_is_the_last_eleven_octets),
      cmocka_unit_test(the_longest_name_fits),
      cmocka_unit_test(letters_and_ids_are_tossed_like_coins),
      cmocka_unit_test(a_reply_is_compared_letter_by_letter),
  };
  return cmocka_run_group_tests_name("dnsquery", tests, NULL, NULL);
}
