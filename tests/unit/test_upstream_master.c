#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master.h"

/* What a lookup has handed over, as text: "ttl type rdata" in hexadecimal, one a line. */
struct found_records {
  size_t count;
  char text[65536];
};

static void note(void *context, const struct dname *owner, uint16_t type, uint32_t ttl, const uint8_t *rdata,
                 size_t rdata_length) {
  struct found_records *found = context;
  char name[DNAME_TEXT_SIZE];
  size_t used = strlen(found->text), size = sizeof(found->text);
  used += (size_t)snprintf(found->text + used, size - used, "%s %u %s ", dname_text(owner, name), ttl,
                           record_type_text(type));
  for (size_t i = 0; i < rdata_length && used + 3 < size; i++)
    used += (size_t)snprintf(found->text + used, size - used, "%02x", rdata[i]);
  snprintf(found->text + used, size - used, "\n");
  found->count++;
}

static struct zone *parse(const char *text) {
  char error[MASTER_ERROR_SIZE] = "";
  struct zone *zone = zone_create();
  assert_non_null(zone);
  if (master_parse(zone, "test.zone", text, strlen(text), error) != 0)
    fail_msg("%s", error);
  return zone;
}

static struct dname name_of(const char *text) {
  struct dname name;
  assert_true(dname_parse(text, strlen(text), NULL, &name));
  return name;
}

static enum found look(const struct zone *zone, const char *name, uint16_t type,
                       struct found_records *found) {
  struct dname target, wanted = name_of(name);
  found->count = 0;
  found->text[0] = '\0';
  return zone_find(zone, &wanted, type, note, found, &target);
}

static struct found_records found;

static void assert_found(const struct zone *zone, const char *name, uint16_t type, const char *expected) {
  assert_int_equal(look(zone, name, type, &found), FOUND_RECORDS);
  assert_string_equal(found.text, expected);
}

static void directives_and_defaults_apply_from_where_they_stand(void **state) {
  (void)state;
  struct zone *zone = parse(
      "$ORIGIN example.test.\n"
      "$TTL 1h30m\n"
      "@ SOA ns root 1 2 3 4 5\n"
      "a A 192.0.2.1 ; a comment\n"
      "  300 AAAA 2001:db8::1\n"
      "b 60 IN A 192.0.2.2\n"
      "c IN 61 A 192.0.2.3\n"
      "D A 192.0.2.4\n"
      "$TTL 7\n"
      "$ORIGIN sub\n"
      "a A 192.0.2.5\n"
      "far.test. A 192.0.2.6\n");
  assert_found(zone, "a.example.test", TYPE_A, "a.example.test 5400 A c0000201\n");
  assert_found(zone, "a.example.test", TYPE_AAAA,
               "a.example.test 300 AAAA 20010db8000000000000000000000001\n");
  assert_found(zone, "b.example.test", TYPE_A, "b.example.test 60 A c0000202\n");
  assert_found(zone, "c.example.test", TYPE_A, "c.example.test 61 A c0000203\n");
  assert_found(zone, "d.example.test", TYPE_A, "d.example.test 5400 A c0000204\n");
  assert_found(zone, "a.sub.example.test", TYPE_A, "a.sub.example.test 7 A c0000205\n");
  assert_int_equal(look(zone, "far.test", TYPE_A, &found), FOUND_OUTSIDE);
  zone_destroy(zone);
}

static void parentheses_hold_lines_together(void **state) {
  (void)state;
  struct zone *zone = parse(
      "test. 300 IN SOA ns.test. root.test. ( 1 ; serial\n"
      "  7200\n\n 900 1209600 60 )\n"
      "d.test. 5 MX ( 10\n mx.test. )\n");
  assert_found(zone, "test", TYPE_SOA,
               "test 300 SOA 026e7304746573740004726f6f74047465737400000000010000"
               "1c2000000384001275000000003c\n");
  assert_found(zone, "d.test", TYPE_MX, "d.test 5 MX 000a026d78047465737400\n");
  zone_destroy(zone);
}

static void strings_and_escapes_are_octets(void **state) {
  (void)state;
  struct zone *zone = parse(
      "a.test. 1 TXT \"two words; no comment\" plain \"\\\"\\065\" \"\"\n"
      "b\\032c.test. 1 A 192.0.2.1\n"
      "d\\.e.test. 1 A 192.0.2.2\n"
      "f.test. 1 MX 10 \\007bad.test.\n");
  assert_int_equal(look(zone, "a.test", TYPE_TXT, &found), FOUND_RECORDS);
  assert_non_null(strstr(found.text, "1574776f20776f7264733b206e6f20636f6d6d656e7405706c61696e02224100\n"));
  assert_found(zone, "b\\032c.test", TYPE_A, "b\\032c.test 1 A c0000201\n");
  assert_found(zone, "d\\046e.test", TYPE_A, "d\\046e.test 1 A c0000202\n");
  assert_int_equal(look(zone, "e.test", TYPE_A, &found), FOUND_NXDOMAIN);
  assert_found(zone, "f.test", TYPE_MX, "f.test 1 MX 000a0407626164047465737400\n");
  zone_destroy(zone);
}

static void a_text_without_soa_gets_one_at_the_root(void **state) {
  (void)state;
  struct zone *zone = parse("d.test. 1 MX 0 .\n");
  struct dname name = name_of("none.test");
  assert_int_equal(look(zone, "none.test", TYPE_A, &found), FOUND_NXDOMAIN);
  assert_found(zone, "d.test", TYPE_MX, "d.test 1 MX 000000\n");
  zone_put_soa(zone, &name, note, &found);
  assert_int_equal(found.count, 2);
  assert_non_null(strstr(found.text, ". 900 SOA "));
  zone_destroy(zone);
}

static void a_name_is_answered_as_an_authoritative_server_does(void **state) {
  (void)state;
  struct zone *zone = parse(
      "$ORIGIN test.\n@ SOA ns root 1 2 3 4 5\n"
      "a.b.c A 192.0.2.1\n"
      "*.w A 192.0.2.2\n"
      "x.y.w A 192.0.2.3\n"
      "alias CNAME a.b.c\n"
      "twice MX 10 m\ntwice MX 10 m\ntwice MX 20 n\n");
  struct dname target, alias = name_of("alias.test"), expected = name_of("a.b.c.test");
  assert_int_equal(look(zone, "b.c.test", TYPE_A, &found), FOUND_NODATA);
  assert_int_equal(look(zone, "a.b.c.test", TYPE_MX, &found), FOUND_NODATA);
  assert_int_equal(look(zone, "z.c.test", TYPE_A, &found), FOUND_NXDOMAIN);
  assert_found(zone, "any.thing.w.test", TYPE_A, "any.thing.w.test 3600 A c0000202\n");
  assert_int_equal(look(zone, "any.w.test", TYPE_MX, &found), FOUND_NODATA);
  /* y.w.test exists, so the wildcard is not for what is below it (RFC 4592 section 3.3.1). */
  assert_int_equal(look(zone, "z.y.w.test", TYPE_A, &found), FOUND_NXDOMAIN);
  assert_int_equal(look(zone, "example", TYPE_A, &found), FOUND_OUTSIDE);
  assert_int_equal(zone_find(zone, &alias, TYPE_MX, note, &found, &target), FOUND_ALIAS);
  assert_true(dname_equal(&target, &expected));
  assert_int_equal(zone_find(zone, &alias, TYPE_CNAME, note, &found, &target), FOUND_RECORDS);
  assert_int_equal(look(zone, "twice.test", TYPE_MX, &found), FOUND_RECORDS);
  assert_int_equal(found.count, 2);
  zone_destroy(zone);
}

static void what_is_wrong_is_named_with_its_line(void **state) {
  (void)state;
  static const struct {
    const char *text, *error;
  } cases[] = {
      {"a.test. A 192.0.2.1\nb.test. A 192.0.2.999\n", "test.zone:2: '192.0.2.999' is no IPv4 address"},
      {"a.test. AAAA 192.0.2.1\n", "test.zone:1: '192.0.2.1' is no IPv6 address"},
      {"\n\na.test. SRV 1 2 3 x.\n", "test.zone:3: 'SRV' is no type known here (A AAAA MX CNAME SOA NS TXT)"},
      {"a.test. MX mx.test.\n", "test.zone:1: MX with 1 values where 2 are due"},
      {"a.test. MX 70000 mx.test.\n", "test.zone:1: '70000' is no preference (0 to 65535)"},
      {"a.test. A 192.0.2.1 192.0.2.2\n", "test.zone:1: A with 2 values where 1 are due"},
      {"a.test. TXT\n", "test.zone:1: TXT with 0 values where 1 are due"},
      {"  A 192.0.2.1\n", "test.zone:1: no name, and none before to take"},
      {"a.test.\n", "test.zone:1: a name without a record"},
      {"a..test. A 192.0.2.1\n", "test.zone:1: 'a..test.' is no name"},
      {"a\\256.test. A 192.0.2.1\n", "test.zone:1: 'a\\256.test.' is no name"},
      {"a.test. MX ( 10\nmx.test.\n", "test.zone:1: an opening parenthesis without its closing one"},
      {"a.test. MX 10 ) mx.test.\n", "test.zone:1: a closing parenthesis without its opening one"},
      {"\na.test. TXT \"open\n\n", "test.zone:2: a string without its closing quote"},
      {"$INCLUDE other.zone\n", "test.zone:1: $INCLUDE is not known here"},
      {"$TTL soon\n", "test.zone:1: 'soon' is no TTL"},
      {"$TTL 5h3\n", "test.zone:1: '5h3' is no TTL"},
      {"$ORIGIN\n", "test.zone:1: $ORIGIN takes one value"},
      {"a.test. TXT \"\\300\"\n", "test.zone:1: '\\300' is no octet"},
      {"a.test. 5 SOA ns root 1 2 3 4 long\n", "test.zone:1: 'long' is no number of seconds"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char error[MASTER_ERROR_SIZE] = "";
    struct zone *zone = zone_create();
    assert_int_equal(master_parse(zone, "test.zone", cases[i].text, strlen(cases[i].text), error), -1);
    assert_string_equal(error, cases[i].error);
    zone_destroy(zone);
  }
}

static void long_names_labels_and_strings_are_refused(void **state) {
  (void)state;
  char text[1024], error[MASTER_ERROR_SIZE];
  struct zone *zone = zone_create();
  snprintf(text, sizeof(text), "%064d.test. A 192.0.2.1\n", 0);
  assert_int_equal(master_parse(zone, "z", text, strlen(text), error), -1);
  snprintf(text, sizeof(text), "%060d.%060d.%060d.%060d.%011d. A 192.0.2.1\n", 0, 0, 0, 0, 0);
  assert_int_equal(master_parse(zone, "z", text, strlen(text), error), -1);
  snprintf(text, sizeof(text), "%060d.%060d.%060d.%060d.%08d. A 192.0.2.1\n", 0, 0, 0, 0, 0);
  assert_int_equal(master_parse(zone, "z", text, strlen(text), error), 0);
  snprintf(text, sizeof(text), "a. TXT %0256d\n", 0);
  assert_int_equal(master_parse(zone, "z", text, strlen(text), error), -1);
  zone_destroy(zone);
}

/* Any octets are refused or taken, and do no harm. */
static void random_texts_do_no_harm(void **state) {
  (void)state;
  static const char *const words[] = {"a.test.", "@",   "IN",  "300", "MX",   "A",   "TXT", "(", ")",  "\"",
                                      "\\",      "\n",  ";",   "10",  "$TTL", "1.2", "SOA", "x", "\t", "\\0",
                                      "CNAME",   "*.w", "\\.", "::1", "AAAA", "NS",  ".",   " ", " ",  "\n"};
  char text[512], error[MASTER_ERROR_SIZE];
  uint64_t serial = 20240607;
  for (unsigned round = 0; round < 20000; round++) {
    size_t length = 0;
    for (unsigned i = 0; i < 24; i++) {
      const char *word = words[dname_mix(serial++, 0) % (sizeof(words) / sizeof(words[0]))];
      memcpy(text + length, word, strlen(word));
      length += strlen(word);
      text[length++] = ' ';
    }
    /* A copy that ends where its block ends, so that AddressSanitizer sees a read beyond. */
    char *copy = malloc(length);
    struct zone *zone = zone_create();
    assert_non_null(copy);
    memcpy(copy, text, length);
    master_parse(zone, "random", copy, length, error);
    zone_destroy(zone);
    free(copy);
  }
}

static void a_file_that_cannot_be_read_is_named(void **state) {
  (void)state;
  char error[MASTER_ERROR_SIZE], path[] = "/tmp/test_upstream_master-XXXXXX";
  struct zone *zone = zone_create();
  assert_int_equal(master_load(zone, "/nowhere/test.zone", error), -1);
  assert_string_equal(error, "/nowhere/test.zone: No such file or directory");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "a.test. 9 A 192.0.2.9", 21), 21);
  close(fd);
  assert_int_equal(master_load(zone, path, error), 0);
  unlink(path);
  assert_found(zone, "a.test", TYPE_A, "a.test 9 A c0000209\n");
  zone_destroy(zone);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(directives_and_defaults_apply_from_where_they_stand),
      cmocka_unit_test(parentheses_hold_lines_together),
      cmocka_unit_test(strings_and_escapes_are_octets),
      cmocka_unit_test(a_text_without_soa_gets_one_at_the_root),
      cmocka_unit_test(a_name_is_answered_as_an_authoritative_server_does),
      cmocka_unit_test(what_is_wrong_is_named_with_its_line),
      cmocka_unit_test(long_names_labels_and_strings_are_refused),
      cmocka_unit_test(random_texts_do_no_harm),
      cmocka_unit_test(a_file_that_cannot_be_read_is_named),
  };
  return cmocka_run_group_tests_name("upstream_master", tests, NULL, NULL);
}
