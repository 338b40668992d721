#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/site.h"

enum { HOSTS_MAX = SITE_HOSTS_MAX };

static int by_preference_then_name(const void *a, const void *b) {
  const struct site_host *x = a, *y = b;
  int order = (int)x->preference - (int)y->preference;
  return order ? order : strcmp(x->name, y->name);
}

/* A site of hosts as they come, "10 a.test 20 b.test". */
static struct site site_of(const char *text, bool implicit) {
  char copy[16384];
  struct site_host hosts[HOSTS_MAX];
  struct site site;
  uint16_t count = 0;
  char *rest = NULL;
  snprintf(copy, sizeof(copy), "%s", text);
  for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
    assert_true(count < HOSTS_MAX);
    hosts[count].preference = (uint16_t)strtoul(word, NULL, 10);
    hosts[count++].name = strtok_r(NULL, " ", &rest);
  }
  qsort(hosts, count, sizeof(hosts[0]), by_preference_then_name);
  memset(&site, 0x5a, sizeof(site));
  site_build(hosts, count, implicit, &site);
  assert_in_range(site.name_length, 1, SITE_NAME_MAX);
  return site;
}

static bool are_one(const char *a, const char *b) {
  struct site x = site_of(a, false), y = site_of(b, false);
  return memcmp(x.id, y.id, sizeof(x.id)) == 0;
}

static void assert_name(const char *hosts, const char *name) {
  struct site site = site_of(hosts, false);
  if (site.name_length != strlen(name) || memcmp(site.name, name, site.name_length) != 0)
    fail_msg("%s is \"%.*s\", not \"%s\"", hosts, site.name_length, site.name, name);
}

static void levels_count_by_their_rank(void **state) {
  (void)state;
  assert_true(are_one("10 a.test 20 b.test", "5 a.test 7 b.test"));
  assert_true(are_one("0 a.test", "65535 a.test"));
  assert_false(are_one("10 a.test 10 b.test", "10 a.test 20 b.test"));
  assert_false(are_one("10 a.test 20 b.test", "20 a.test 10 b.test"));
  assert_false(are_one("10 a.test", "10 b.test"));
  assert_false(are_one("10 a.test", "10 a.test 10 b.test"));
  assert_false(are_one("10 a.test 20 b.test 20 c.test", "10 a.test 10 b.test 20 c.test"));
  assert_false(are_one("10 ab 10 c", "10 a 10 bc"));
}

static void the_order_on_the_wire_does_not_matter(void **state) {
  (void)state;
  assert_true(are_one("10 a.test 10 b.test 20 c.test", "20 c.test 10 b.test 10 a.test"));
}

static void an_implicit_mx_is_another_site(void **state) {
  (void)state;
  struct site explicit_site = site_of("0 a.test", false), implicit_site = site_of("0 a.test", true);
  assert_memory_not_equal(explicit_site.id, implicit_site.id, sizeof(explicit_site.id));
  assert_int_equal(explicit_site.name_length, implicit_site.name_length);
}

/* Stored ids outlive this program: XXH3-128 of 00 "a.test" 00 "b.test" 00 00 "c.test" 00 00. */
static void the_id_of_a_site_is_for_ever(void **state) {
  (void)state;
  static const uint8_t encoding[] = "\0a.test\0b.test\0\0c.test\0"; /* and a last NUL */
  uint8_t digest[DIGEST_LENGTH];
  static const uint8_t known[DIGEST_LENGTH] = {0xd7, 0x97, 0x4b, 0xa0, 0xc1, 0xf0, 0x41, 0xf7,
                                               0xf8, 0x5c, 0xef, 0xd6, 0x4d, 0x20, 0xed, 0xe5};
  digest_128(encoding, sizeof(encoding), digest);
  struct site site = site_of("10 a.test 10 b.test 20 c.test", false);
  assert_memory_equal(site.id, digest, DIGEST_LENGTH);
  assert_memory_equal(site.id, known, DIGEST_LENGTH);
}

static void names_are_rolled_up_as_kumomta_does(void **state) {
  (void)state;
  assert_name("1 mta5.am0.yahoodns.net 1 mta6.am0.yahoodns.net 1 mta7.am0.yahoodns.net",
              "(mta5|mta6|mta7).am0.yahoodns.net");
  assert_name(
      "5 gmail-smtp-in.l.google.com 10 alt1.gmail-smtp-in.l.google.com "
      "20 alt2.gmail-smtp-in.l.google.com 30 alt3.gmail-smtp-in.l.google.com "
      "40 alt4.gmail-smtp-in.l.google.com",
      "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com");
  assert_name("10 mx.example.test", "mx.example.test");
  assert_name("10 a.test 20 mx.a.test", "mx?.a.test");
  assert_name("10 localhost", "localhost");
  /* First seen in the order of preference, then of names. */
  assert_name("20 a.test 10 c.test 10 b.test", "(b|c|a).test");
  assert_name("10 mx1.x.test 20 mx1.y.test", "mx1.(x|y).test");
  assert_name("10 a.b.c 20 d", "a?.b?.(c|d)");
  assert_name("10 a.x.test 10 b.x.example", "(a|b).x.(test|example)");
}

/* `count` hosts of one preference: `before`, a number of three digits, `behind`. */
static void fill(char *text, size_t size, unsigned count, const char *before, const char *behind) {
  size_t length = 0;
  for (unsigned i = 0; i < count; i++)
    length += (size_t)snprintf(text + length, size - length, "10 %s%03u%s ", before, i, behind);
}

static void a_long_name_keeps_its_end_behind_the_id(void **state) {
  (void)state;
  char hosts[16384];
  fill(hosts, sizeof(hosts), 100, "exchange-number-", ".mail.example.test");
  struct site site = site_of(hosts, false);
  char name[64] = "~", *end = name + 1;
  for (size_t i = 0; i < DIGEST_LENGTH; i++)
    end += snprintf(end, 3, "%02x", site.id[i]);
  memcpy(end, ".mail.example.test", 19);
  assert_int_equal(site.name_length, strlen(name));
  assert_memory_equal(site.name, name, site.name_length);
}

static void a_name_is_cut_only_where_it_does_not_fit(void **state) {
  (void)state;
  /* Each host adds a label of 4 octets and a bar. */
  char hosts[16384];
  for (unsigned count = 95; count <= 100; count++) {
    fill(hosts, sizeof(hosts), count, "h", ".x.tst");
    struct site site = site_of(hosts, false);
    size_t whole = 5 * (size_t)count + 1 + 6;
    assert_int_equal(site.name[0] == '~', whole > SITE_NAME_MAX);
    assert_int_equal(site.name_length, whole > SITE_NAME_MAX ? 1 + 32 + 6 : whole);
  }
  fill(hosts, sizeof(hosts), 100, "h", ".a.bcd");
  assert_int_equal(site_of(hosts, false).name_length, 507);
  fill(hosts, sizeof(hosts), 100, "h", ".ab.bcdefgh");
  assert_int_equal(site_of(hosts, false).name_length, 512);
  fill(hosts, sizeof(hosts), 100, "h", ".ab.bcdefghi");
  assert_int_equal(site_of(hosts, false).name_length, 1 + 32 + 12);
}

static void nothing_but_the_id_may_be_left(void **state) {
  (void)state;
  char hosts[16384];
  fill(hosts, sizeof(hosts), 100, "a-single-label-", "");
  assert_int_equal(site_of(hosts, false).name_length, 1 + 32);
}

static void the_largest_set_stays_within_its_bounds(void **state) {
  (void)state;
  char hosts[SITE_HOSTS_MAX][254];
  struct site_host list[SITE_HOSTS_MAX];
  struct site site;
  for (unsigned i = 0; i < SITE_HOSTS_MAX; i++) {
    for (unsigned j = 0; j < 253; j++)
      hosts[i][j] = j % 2 ? '.' : (char)('a' + (i + j) % 26);
    hosts[i][253] = '\0';
    hosts[i][0] = (char)('!' + i % 94);
    hosts[i][252] = (char)('!' + i / 94);
    list[i] = (struct site_host){(uint16_t)i, hosts[i]};
  }
  site_build(list, SITE_HOSTS_MAX, false, &site);
  assert_in_range(site.name_length, 1, SITE_NAME_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(levels_count_by_their_rank),
      cmocka_unit_test(the_order_on_the_wire_does_not_matter),
      cmocka_unit_test(an_implicit_mx_is_another_site),
      cmocka_unit_test(the_id_of_a_site_is_for_ever),
      cmocka_unit_test(names_are_rolled_up_as_kumomta_does),
      cmocka_unit_test(a_long_name_keeps_its_end_behind_the_id),
      cmocka_unit_test(a_name_is_cut_only_where_it_does_not_fit),
      cmocka_unit_test(nothing_but_the_id_may_be_left),
      cmocka_unit_test(the_largest_set_stays_within_its_bounds),
  };
  return cmocka_run_group_tests_name("site", tests, NULL, NULL);
}
