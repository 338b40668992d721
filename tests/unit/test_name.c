#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "name_invariants.h"
#include "name_samples.h"
#include "rules/name.h"

enum { SEED = 20240607 };

static const struct name_policy strict;
static const struct name_policy bare_ip = {.accept_bare_ip = true};
static const struct name_policy single_label = {.allow_single_label = true};

static struct name out;

/* Parses and checks what holds of every text. */
static enum name_error parse_bytes(const void *text, size_t length, const struct name_policy *policy) {
  enum name_error error;
  const char *broken = name_check(text, length, policy, &out, &error);
  if (broken)
    fail_msg("%.*s: broken: %s", (int)length, (const char *)text, broken);
  return error;
}

static enum name_error parse(const char *text, const struct name_policy *policy) {
  return parse_bytes(text, strlen(text), policy);
}

static void assert_domain(const char *text, const char *canonical) {
  enum name_error error = parse(text, &strict);
  if (error != NAME_OK)
    fail_msg("%s: %s", text, name_error_text(error));
  assert_string_equal(out.text, canonical);
  assert_int_equal(out.length, strlen(canonical));
  assert_int_equal(out.kind, NAME_DOMAIN);
  assert_int_equal(out.address_length, 0);
}

static void assert_error(const char *text, const struct name_policy *policy, enum name_error expected) {
  enum name_error error = parse(text, policy);
  if (error != expected)
    fail_msg("%s: %s, expected: %s", text, name_error_text(error), name_error_text(expected));
}

struct pair {
  const char *text, *canonical;
};

static void spellings_of_a_domain_are_one_name(void **state) {
  (void)state;
  static const struct pair pairs[] = {
      {"example.com", "example.com"},
      {"EXAMPLE.com", "example.com"},
      {"example.com.", "example.com"},
      {"eXaMpLe.CoM.", "example.com"},
      {"a.b", "a.b"},
      {"AZ.az", "az.az"},
      {"XN--BCHER-KVA.test", "xn--bcher-kva.test"},
      {"1.2.3", "1.2.3"},
      {"192.0.2.1.test", "192.0.2.1.test"},
      {"256.0.2.1", "256.0.2.1"},
      {"192.0.2.01", "192.0.2.01"},
  };
  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
    assert_domain(pairs[i].text, pairs[i].canonical);
}

/* RFC 2181 section 11: DNS puts no restriction on labels; ROUTING Q5 puts few. */
static void unusual_but_allowed_names_pass(void **state) {
  (void)state;
  static const char *const names[] = {
      "_dc-mx.d.test", "_dmarc._x.test", "-a.test",   "a-.test",   "-.test",
      "a--b.test",     "*.test",         "a/b.test",  "xn--.test", "xn--zzzz-9999999.test",
      "a[b].test",     "a%b.test",       "{|}~!.test"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    assert_domain(names[i], names[i]);
}

static void every_ascii_octet_is_allowed_or_not_as_documented(void **state) {
  (void)state;
  for (unsigned octet = 0; octet < 128; octet++) {
    char text[] = {'a', (char)octet, 'b', '.', 't', 0};
    enum name_error expected =
        octet <= 0x20 || octet == 0x7f || octet == '@' || octet == '\\' ? NAME_BAD_CHARACTER : NAME_OK;
    assert_int_equal(parse_bytes(text, 5, &strict), expected);
    if (expected == NAME_OK) {
      text[1] = (char)(octet >= 'A' && octet <= 'Z' ? octet + 32 : octet);
      assert_string_equal(out.text, text);
    }
  }
}

static void bad_octet_is_found_at_every_place(void **state) {
  (void)state;
  static const char bad[] = {' ', '\0', '\t', '\n', '\r', '@', '\\', 0x7f};
  for (size_t i = 0; i < sizeof(bad); i++)
    for (size_t at = 0; at < 11; at++) {
      char text[] = "example.com";
      text[at] = bad[i];
      assert_int_equal(parse_bytes(text, 11, &strict), NAME_BAD_CHARACTER);
      char idn[] = "example.com\xc3\xbc";
      idn[at] = bad[i];
      assert_int_equal(parse_bytes(idn, 13, &strict), NAME_BAD_CHARACTER);
      char idn_first[] =
          "\xc3\xbc"
          "example.com";
      idn_first[at + 2] = bad[i];
      assert_int_equal(parse_bytes(idn_first, 13, &strict), NAME_BAD_CHARACTER);
    }
}

static void empty_names_and_labels_are_refused(void **state) {
  (void)state;
  assert_int_equal(name_parse(NULL, 0, &strict, &out), NAME_EMPTY);
  assert_error("", &strict, NAME_EMPTY);
  assert_error(".", &strict, NAME_EMPTY);
  static const char *const names[] = {"..",
                                      "...",
                                      ".com",
                                      "a..b",
                                      "example.com..",
                                      "a..",
                                      ".a.test",
                                      "a.b..c.",
                                      "\xc3\xbc..test",
                                      "..\xc3\xbc.test",
                                      "\xc3\xbc.test.."};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    assert_error(names[i], &strict, NAME_EMPTY_LABEL);
}

/* Labels of `length` octets 'a' until the text has `total` octets. */
static size_t fill(char *text, size_t total, size_t length) {
  for (size_t i = 0; i < total; i++)
    text[i] = (i + 1) % (length + 1) == 0 ? '.' : 'a';
  text[total] = '\0';
  return total;
}

static void label_of_63_octets_passes_and_of_64_does_not(void **state) {
  (void)state;
  char text[300];
  for (size_t length = 1; length <= 100; length++) {
    fill(text, length, 200);
    memcpy(text + length, ".test", 6);
    assert_error(text, &strict, length <= 63 ? NAME_OK : NAME_LABEL_TOO_LONG);
    memcpy(text, "b.", 2);
    fill(text + 2, length, 200);
    assert_error(text, &strict, length <= 63 ? NAME_OK : NAME_LABEL_TOO_LONG);
  }
}

static void name_of_253_octets_passes_and_of_254_does_not(void **state) {
  (void)state;
  char text[400];
  for (size_t total = 240; total <= 300; total++) {
    fill(text, total, 49); /* a dot at each fiftieth place */
    bool dot_at_end = total % 50 == 0;
    size_t length = dot_at_end ? total - 1 : total;
    assert_error(text, &strict, length <= 253 ? NAME_OK : NAME_TOO_LONG);
    if (dot_at_end)
      continue;
    memcpy(text + total, ".", 2);
    assert_error(text, &strict, length <= 253 ? NAME_OK : NAME_TOO_LONG);
    memcpy(text + total, "..", 3);
    assert_error(text, &strict, length <= 252 ? NAME_EMPTY_LABEL : NAME_TOO_LONG);
  }
}

static void huge_text_is_too_long(void **state) {
  (void)state;
  enum { HUGE_LENGTH = 1 << 20 };
  char *text = malloc(HUGE_LENGTH);
  assert_non_null(text);
  for (int octet = 0; octet < 256; octet += 5) {
    if (octet == '[')
      continue;
    memset(text, octet, HUGE_LENGTH);
    assert_int_equal(name_parse((uint8_t *)text, HUGE_LENGTH, &strict, &out), NAME_TOO_LONG);
  }
  memset(text, '[', HUGE_LENGTH);
  text[HUGE_LENGTH - 1] = ']';
  assert_int_equal(name_parse((uint8_t *)text, HUGE_LENGTH, &strict, &out), NAME_BAD_LITERAL);
  free(text);
}

/* UTS 46, non-transitional. */
static void utf8_names_become_a_labels(void **state) {
  (void)state;
  static const struct pair pairs[] = {
      {"b\u00fccher.test", "xn--bcher-kva.test"},
      {"B\u00dcCHER.TEST.", "xn--bcher-kva.test"},
      {"bu\u0308cher.test", "xn--bcher-kva.test"}, /* not NFC */
      {"fa\u00df.de", "xn--fa-hia.de"},            /* transitional: fass.de */
      {"\u03b2\u03cc\u03bb\u03bf\u03c2.com", "xn--nxasmm1c.com"},
      {"\u65e5\u672c\u8a9e\u3002\uff2a\uff30", "xn--wgv71a119e.jp"},
      {"b\u00fccher\u3002test\u3002", "xn--bcher-kva.test"},
      {"b\u00fccher\uff0etest\uff61", "xn--bcher-kva.test"},
      {"\uff25\uff38.test", "ex.test"},
      {"a\u00adb.test", "ab.test"},
      {"_dmarc.b\u00fccher.test", "_dmarc.xn--bcher-kva.test"},
      {"_d\u00fc.test", "xn--_d-yka.test"},
      {"xn--bcher-kva.\u00fc.test", "xn--bcher-kva.xn--tda.test"},
      {"albu\u00f1uelas.es", "xn--albuuelas-o6a.es"},
  };
  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
    assert_domain(pairs[i].text, pairs[i].canonical);
}

static void text_that_idna_refuses_is_refused(void **state) {
  (void)state;
  static const char *const names[] = {
      "\xff.test",
      "b\xc3.test",
      "b\xc3",
      "b\xc3(.test",
      "\xc0\xae.test",
      "\xed\xa0\x80.test",
      "\xf4\x90\x80\x80.test",
      "\xe2\x82",
      "\x80.test",
      "\xf8\x88\x80\x80\x80.test",
      "\u0301a.test",
      "\u0378.test",
      "a\u200db.test",
      "1\u05d0.test",
      "-\u00fc.test",
      "\u00fc-.test",

      "xn--b\u00fc.test",
      "\ufffd.test",
      "a\u2028b.test",
  };
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    assert_error(names[i], &strict, NAME_BAD_IDN);
}

/* What IDNA maps to ASCII is judged like ASCII. */
static void result_of_idna_is_checked_again(void **state) {
  (void)state;
  assert_error("a\u00a0\u00fc.test", &strict, NAME_BAD_CHARACTER); /* no-break space */
  assert_error("a\u3000b.test", &strict, NAME_BAD_CHARACTER);      /* ideographic space */
  assert_error("a\uff20b.test", &strict, NAME_BAD_CHARACTER);      /* full-width @ */
  assert_error("a\uff3cb.test", &strict, NAME_BAD_CHARACTER);      /* full-width backslash */
  assert_error("b\u00fccher.test.\u3002", &strict, NAME_EMPTY_LABEL);
  assert_error("a\u3002\u3002test", &strict, NAME_EMPTY_LABEL);
  assert_error("\u3002test", &strict, NAME_EMPTY_LABEL);
  assert_error("\u3002", &strict, NAME_EMPTY);
  assert_error("\u00ad.test", &strict, NAME_EMPTY_LABEL);
  assert_error("\uff11\uff19\uff12.0.2.1", &strict, NAME_BARE_ADDRESS);
  assert_error("\uff3b192.0.2.1]", &strict, NAME_BAD_LITERAL);
  assert_error("\u00fc", &strict, NAME_SINGLE_LABEL);
  assert_error("\u00fc\u3002", &strict, NAME_SINGLE_LABEL);
}

static void a_labels_too_long_are_refused(void **state) {
  (void)state;
  char text[300];
  size_t length = 0;
  for (int i = 0; i < 62; i++)
    text[length++] = 'a';
  memcpy(text + length, "\u00fc.test", sizeof("\u00fc.test"));
  assert_error(text, &strict, NAME_LABEL_TOO_LONG);
  for (length = 0; length + 10 < 253; length += 6)
    memcpy(text + length, "a\u00fc\u00fc.", 6); /* ten octets or more for these six */
  memcpy(text + length, "test", 5);
  assert_error(text, &strict, NAME_TOO_LONG);
}

static void utf8_text_over_253_octets_is_refused_before_idna(void **state) {
  (void)state;
  char text[600] = "";
  for (size_t length = 0; length < 300; length += 2)
    memcpy(text + length, "\u00ad", 3); /* nothing would be left of these */
  memcpy(text + 300, "a.test", 7);
  assert_error(text, &strict, NAME_TOO_LONG);
}

struct literal {
  const char *text, *canonical;
  uint8_t address[16];
  uint8_t address_length;
};

static void assert_literal(const struct literal *literal, const struct name_policy *policy) {
  assert_error(literal->text, policy, NAME_OK);
  assert_int_equal(out.kind, NAME_LITERAL);
  assert_string_equal(out.text, literal->canonical);
  assert_int_equal(out.length, strlen(literal->canonical));
  assert_int_equal(out.address_length, literal->address_length);
  assert_memory_equal(out.address, literal->address, literal->address_length);
}

/* RFC 5321 section 4.1.3 */
static void address_literals_become_addresses(void **state) {
  (void)state;
  static const struct literal literals[] = {
      {"[192.0.2.1]", "192.0.2.1", {192, 0, 2, 1}, 4},
      {"[0.0.0.0]", "0.0.0.0", {0}, 4},
      {"[255.255.255.255]", "255.255.255.255", {255, 255, 255, 255}, 4},
      {"[IPv6:2001:db8::1]", "2001:db8::1", {0x20, 1, 0xd, 0xb8, [15] = 1}, 16},
      {"[ipv6:2001:DB8:0:0:0:0:0:1]", "2001:db8::1", {0x20, 1, 0xd, 0xb8, [15] = 1}, 16},
      {"[IPV6:::]", "::", {0}, 16},
      {"[iPv6:::1]", "::1", {[15] = 1}, 16},
      {"[IPv6:::ffff:192.0.2.1]", "::ffff:192.0.2.1", {[10] = 255, 255, 192, 0, 2, 1}, 16},
      {"[IPv6:1:2:3:4:5:6:255.255.255.255]",
       "1:2:3:4:5:6:ffff:ffff",
       {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 255, 255, 255, 255},
       16},
  };
  for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
    assert_literal(&literals[i], &strict);
    assert_literal(&literals[i], &bare_ip);
  }
}

static void malformed_literals_are_refused(void **state) {
  (void)state;
  static const char *const literals[] = {
      "[",
      "[]",
      "[[",
      "[192.0.2.1",
      "[192.0.2.12",
      "[192.0.2.1].",
      "[192.0.2.1]x",
      "[192.0.2]",
      "[192.0.2.256]",
      "[192.0.2.01]",
      "[192.0.2.1.]",
      "[ 192.0.2.1]",
      "[192.0.2.1 ]",
      "[0xc0.0.2.1]",
      "[3221225985]",
      "[192.0.2.1.5]",
      "[-1.0.2.1]",
      "[+1.0.2.1]",
      "[2001:db8::1]",
      "[IPv6:192.0.2.1]",
      "[IPv6:]",
      "[IPv6]",
      "[IPv6:2001:db8::1::2]",
      "[IPv6:2001:db8]",
      "[IPv6:2001:db8::12345]",
      "[IPv6:fe80::1%lo]",
      "[IPv6:fe80::1%1]",
      "[IPv6: ::1]",
      "[IPv6:::1 ]",
      "[IPv4:192.0.2.1]",
      "[example.com]",
      "[[192.0.2.1]]",
      "[IPv6:[::1]]",
      "[IPv7:1]",
      "[tag:x]",
      "[IPv6:0000:0000:0000:0000:0000:0000:255.255.255.2555]",
      "[IPv6:00000:0:0:0:0:0:0:1]",
      "[\xc3\xbc]",
      "[192.0.2.\xef\xbc\x91]",
      "[192.0.2.1]@",
      "[IPv6:1:2:3:4:5:6:7]",
      "[IPv6:1:2:3:4:5:6:7:8:9]",
  };
  for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
    assert_error(literals[i], &strict, NAME_BAD_LITERAL);
    assert_error(literals[i], &bare_ip, NAME_BAD_LITERAL);
    assert_error(literals[i], &single_label, NAME_BAD_LITERAL);
  }
}

static void nul_inside_a_literal_ends_nothing(void **state) {
  (void)state;
  assert_int_equal(parse_bytes("[192.0.2.1\0]", 12, &strict), NAME_BAD_LITERAL);
  assert_int_equal(parse_bytes("[192.0.2.1\0x]", 13, &strict), NAME_BAD_LITERAL);
  assert_int_equal(parse_bytes("[IPv6:::1\0]", 11, &strict), NAME_BAD_LITERAL);
  assert_int_equal(parse_bytes("192.0.2.1\0", 10, &bare_ip), NAME_BAD_CHARACTER);
}

static void bare_addresses_are_refused_unless_accepted(void **state) {
  (void)state;
  static const struct literal literals[] = {
      {"192.0.2.1", "192.0.2.1", {192, 0, 2, 1}, 4},
      {"192.0.2.9", "192.0.2.9", {192, 0, 2, 9}, 4},
      {"192.0.2.0", "192.0.2.0", {192, 0, 2, 0}, 4},
      {"192.0.2.1.", "192.0.2.1", {192, 0, 2, 1}, 4},
      {"2001:db8::1", "2001:db8::1", {0x20, 1, 0xd, 0xb8, [15] = 1}, 16},
      {"2001:DB8::1", "2001:db8::1", {0x20, 1, 0xd, 0xb8, [15] = 1}, 16},
      {"2001:db8::", "2001:db8::", {0x20, 1, 0xd, 0xb8}, 16},
      {"::", "::", {0}, 16},
      {"::a", "::a", {[15] = 10}, 16},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.1", {[10] = 255, 255, 192, 0, 2, 1}, 16},
  };
  for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
    assert_error(literals[i].text, &strict, NAME_BARE_ADDRESS);
    assert_error(literals[i].text, &single_label, NAME_BARE_ADDRESS);
    assert_literal(&literals[i], &bare_ip);
  }
}

static void single_labels_are_refused_unless_allowed(void **state) {
  (void)state;
  static const struct pair pairs[] = {{"localhost", "localhost"}, {"AI.", "ai"},       {"a", "a"}, {"1", "1"},
                                      {"\u00fc", "xn--tda"},      {"IPv6:x", "ipv6:x"}};
  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
    assert_error(pairs[i].text, &strict, NAME_SINGLE_LABEL);
    assert_error(pairs[i].text, &bare_ip, NAME_SINGLE_LABEL);
    assert_error(pairs[i].text, &single_label, NAME_OK);
    assert_string_equal(out.text, pairs[i].canonical);
    assert_int_equal(out.kind, NAME_DOMAIN);
  }
}

static void every_error_has_a_sentence_of_its_own(void **state) {
  (void)state;
  for (int i = NAME_OK; i <= NAME_SINGLE_LABEL; i++) {
    assert_true(strlen(name_error_text((enum name_error)i)) > 8);
    for (int j = NAME_OK; j < i; j++)
      assert_string_not_equal(name_error_text((enum name_error)i), name_error_text((enum name_error)j));
  }
}

static size_t as_address(const char *text, uint8_t address[NAME_ADDRESS_MAX]) {
  size_t length = strlen(text);
  char *copy = malloc(length);
  assert_non_null(copy);
  memcpy(copy, text, length);
  size_t found = name_as_address(copy, length, address);
  free(copy);
  return found;
}

static void exchange_that_is_an_address_is_recognized(void **state) {
  (void)state;
  uint8_t address[NAME_ADDRESS_MAX];
  assert_int_equal(as_address("192.0.2.7", address), 4);
  assert_memory_equal(address, "\xc0\x00\x02\x07", 4);
  assert_int_equal(as_address("2001:db8::7", address), 16);
  assert_memory_equal(address, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16);
  static const char *const names[] = {"",
                                      "192.0.2",
                                      "192.0.2.256",
                                      "192.0.2.7.test",
                                      "a.192.0.2.7",
                                      "[192.0.2.7]",
                                      "192.0.2.7.",
                                      "mx1.test",
                                      "7",
                                      ":",
                                      "a:b",
                                      "mx.test:25",
                                      "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20",
                                      "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    assert_int_equal(as_address(names[i], address), 0);
}

static bool is_special_use(const char *text) {
  assert_error(text, &single_label, NAME_OK);
  return name_is_special_use(out.text, out.length);
}

static void names_of_special_use_are_told_by_their_last_label(void **state) {
  (void)state;
  static const char *const special[] = {"x.invalid", "x.localhost", "x.onion", "x.alt",       "x.local",
                                        "x.LOCAL.",  "a.b.c.ALT",   "invalid", "localhost",   "onion.",
                                        "alt",       "local",       "_.local", "local.local", "x.test.local"};
  static const char *const ordinary[] = {
      "notlocal",    "local.example", "x.test",      "test",         "x.locals",
      "x.loca",      "x.ocal",        "xlocal",      "x.not-local",  "alt.com",
      "x.alternate", "x.org",         "x.home.arpa", "x.localhosts", "l"};
  for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
    if (!is_special_use(special[i]))
      fail_msg("%s", special[i]);
  for (size_t i = 0; i < sizeof(ordinary) / sizeof(ordinary[0]); i++)
    if (is_special_use(ordinary[i]))
      fail_msg("%s", ordinary[i]);
}

static void the_end_of_a_special_use_name_is_its_length(void **state) {
  (void)state;
  assert_true(name_is_special_use("x.localx", 7));
  assert_false(name_is_special_use("x.local", 6));
  assert_false(name_is_special_use("x.local.test", 12));
}

static void hash_depends_on_text_length_and_seed(void **state) {
  (void)state;
  uint64_t unseeded = name_hash("example.com", 11);
  assert_true(name_hash("example.com", 11) == unseeded);
  assert_true(name_hash("example.com", 10) != unseeded);
  assert_true(name_hash("example.org", 11) != unseeded);
  name_hash_init();
  uint64_t seeded = name_hash("example.com", 11);
  assert_true(seeded != unseeded);
  assert_true(name_hash("example.com", 11) == seeded);
}

static void every_sample_is_what_it_is_made_for(void **state) {
  (void)state;
  static const struct name_policy generous = {.accept_bare_ip = true, .allow_single_label = true};
  for (size_t i = 0; i < NAME_SAMPLE_COUNT; i++) {
    assert_error(name_samples[i].text, &generous, name_samples[i].error);
    if (name_samples[i].error == NAME_OK)
      assert_string_equal(out.text, name_samples[i].canonical);
  }
}

static void samples_cut_or_changed_anywhere_keep_the_invariants(void **state) {
  (void)state;
  for (size_t i = 0; i < NAME_SAMPLE_COUNT; i++) {
    char text[512];
    size_t length = strlen(name_samples[i].text);
    memcpy(text, name_samples[i].text, length);
    for (size_t at = 0; at < length; at++) {
      parse_bytes(text, at, &strict);
      for (unsigned change = 1; change < 256; change *= 2) {
        text[at] ^= (char)change;
        parse_bytes(text, length, &bare_ip);
        text[at] ^= (char)change;
      }
    }
  }
}

static void random_texts_keep_the_invariants(void **state) {
  (void)state;
  static const char *const parts[] = {
      "a",           "B",    ".",      ".",      "test",   "[",          "]",
      "192.0.2.",    "1",    "IPv6:",  "::",     "\u00fc", "\u3002",     "\u00df",
      "\u05d0",      "xn--", "-",      "_",      " ",      "@",          "\\",
      "\xc3",        "\xff", "\u0308", "\u200d", "\uff11", "\U0001f4a9", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "\u65e5\u672c"};
  struct random random = {SEED};
  const struct name_policy policies[] = {strict, bare_ip, single_label};
  int passed = 0;
  for (int i = 0; i < 60000; i++) {
    char text[512] = "";
    size_t length = 0;
    for (uint32_t count = random_below(&random, 10); count > 0; count--) {
      const char *part = parts[random_below(&random, sizeof(parts) / sizeof(parts[0]))];
      memcpy(text + length, part, strlen(part) + 1);
      length += strlen(part);
    }
    const struct name_policy *policy = &policies[random_below(&random, 3)];
    passed += parse_bytes(text, length, policy) == NAME_OK;
  }
  assert_true(passed > 1000);
}

/* The rules of ASCII names that are no addresses, octet by octet. */
static enum name_error judge(const char *text, size_t length) {
  size_t label_length = 0, labels = 1;
  if (length > 0 && text[length - 1] == '.')
    length--;
  if (length == 0)
    return NAME_EMPTY;
  if (length > NAME_TEXT_MAX)
    return NAME_TOO_LONG;
  for (size_t i = 0; i < length; i++) {
    uint8_t octet = (uint8_t)text[i];
    if (octet == '.') {
      if (label_length == 0)
        return NAME_EMPTY_LABEL;
      label_length = 0;
      labels++;
    } else if (octet <= 0x20 || octet == 0x7f || octet == '@' || octet == '\\') {
      return NAME_BAD_CHARACTER;
    } else if (++label_length > NAME_LABEL_MAX) {
      return NAME_LABEL_TOO_LONG;
    }
  }
  if (label_length == 0)
    return NAME_EMPTY_LABEL;
  return labels == 1 ? NAME_SINGLE_LABEL : NAME_OK;
}

/* Names are read many octets at a time: every place of everything must be tried. */
static void ascii_names_of_any_length_are_judged_as_octet_by_octet(void **state) {
  (void)state;
  static const char odd[] = "..AZaz@[\\]^_`{|}~-/:;<=>?!#0189 \t\x01\x7f";
  struct random random = {SEED};
  unsigned good = 0, bad = 0;
  for (int i = 0; i < 400000; i++) {
    char text[272];
    size_t length = random_below(&random, random_below(&random, 8) ? 40 : sizeof(text) - 1);
    uint32_t dots = 1 + random_below(&random, 40);
    for (size_t k = 0; k < length; k++)
      text[k] = random_below(&random, dots) ? (char)('A' + random_below(&random, 26)) : '.';
    if (length > 0 && random_below(&random, 2))
      text[random_below(&random, (uint32_t)length)] = odd[random_below(&random, sizeof(odd) - 1)];
    if (length > 0 && text[0] == '[')
      continue;
    enum name_error expected = judge(text, length), error = parse_bytes(text, length, &strict);
    if (error == NAME_BARE_ADDRESS) /* judged elsewhere; here only "::" and its like */
      continue;
    assert_int_equal(error, expected);
    good += error == NAME_OK;
    bad += error != NAME_OK;
    for (size_t k = 0; error == NAME_OK && k < out.length; k++)
      assert_int_equal(out.text[k], text[k] >= 'A' && text[k] <= 'Z' ? text[k] | 0x20 : text[k]);
  }
  assert_true(good > 50000 && bad > 50000);
}

static void below_a_name_is_it_and_what_ends_in_it_behind_a_dot(void **state) {
  (void)state;
  static const struct {
    const char *text, *suffix;
    bool is_below;
  } rows[] = {{"d.test", "d.test", true}, {"a.d.test", "d.test", true}, {"ad.test", "d.test", false},
              {"test", "d.test", false},  {"d.test", "test", true},     {"d.tesu", "test", false}};
  static const struct name_policy policy = {.allow_single_label = true};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct name suffix;
    const char *text = rows[i].suffix;
    assert_int_equal(name_parse((const uint8_t *)text, strlen(text), &policy, &suffix), NAME_OK);
    assert_int_equal(name_is_below(rows[i].text, strlen(rows[i].text), &suffix), rows[i].is_below);
  }
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(below_a_name_is_it_and_what_ends_in_it_behind_a_dot),
      cmocka_unit_test(ascii_names_of_any_length_are_judged_as_octet_by_octet),
      cmocka_unit_test(spellings_of_a_domain_are_one_name),
      cmocka_unit_test(unusual_but_allowed_names_pass),
      cmocka_unit_test(every_ascii_octet_is_allowed_or_not_as_documented),
      cmocka_unit_test(bad_octet_is_found_at_every_place),
      cmocka_unit_test(empty_names_and_labels_are_refused),
      cmocka_unit_test(label_of_63_octets_passes_and_of_64_does_not),
      cmocka_unit_test(name_of_253_octets_passes_and_of_254_does_not),
      cmocka_unit_test(huge_text_is_too_long),
      cmocka_unit_test(utf8_names_become_a_labels),
      cmocka_unit_test(text_that_idna_refuses_is_refused),
      cmocka_unit_test(result_of_idna_is_checked_again),
      cmocka_unit_test(a_labels_too_long_are_refused),
      cmocka_unit_test(utf8_text_over_253_octets_is_refused_before_idna),
      cmocka_unit_test(address_literals_become_addresses),
      cmocka_unit_test(malformed_literals_are_refused),
      cmocka_unit_test(nul_inside_a_literal_ends_nothing),
      cmocka_unit_test(bare_addresses_are_refused_unless_accepted),
      cmocka_unit_test(single_labels_are_refused_unless_allowed),
      cmocka_unit_test(every_error_has_a_sentence_of_its_own),
      cmocka_unit_test(exchange_that_is_an_address_is_recognized),
      cmocka_unit_test(names_of_special_use_are_told_by_their_last_label),
      cmocka_unit_test(the_end_of_a_special_use_name_is_its_length),
      cmocka_unit_test(hash_depends_on_text_length_and_seed),
      cmocka_unit_test(every_sample_is_what_it_is_made_for),
      cmocka_unit_test(samples_cut_or_changed_anywhere_keep_the_invariants),
      cmocka_unit_test(random_texts_keep_the_invariants),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
