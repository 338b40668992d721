#include "cmocka_compat.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "dns/dnsmsg.h"
#include "dns_builder.h"
#include "dnsmsg_invariants.h"
#include "dnsmsg_samples.h"

enum { NS = DNSMSG_NS, DNAME = 39, RRSIG = 46, SEED = 20240607 };

static struct dns_builder b;
static struct dnsmsg out;

/* Parses and checks what holds of every message. */
static enum dnsmsg_outcome parse_bytes(const uint8_t *bytes, size_t length, const char *qname,
                                       uint16_t qtype) {
  const char *broken = dnsmsg_check(bytes, length, qname, qtype, &out);
  if (broken)
    fail_msg("broken: %s", broken);
  return out.outcome;
}

static enum dnsmsg_outcome parse(uint16_t qtype) { return parse_bytes(b.bytes, b.length, "d.test", qtype); }

static void begin(unsigned rcode, uint16_t qtype) { dns_reply(&b, rcode, "d.test", qtype); }

static void assert_mx(size_t index, unsigned preference, const char *host) {
  assert_true(index < out.mx_count);
  assert_true(out.mx[index].usable);
  assert_int_equal(out.mx[index].preference, preference);
  assert_string_equal(out.mx[index].host, host);
}

static void mx_records_come_in_wire_order_with_duplicates(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 65535, "Z.Test");
  dns_add_mx(&b, "D.TEST", 300, 0, "a.test");
  dns_add_mx(&b, NULL, 300, 0, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_int_equal(out.mx_count, 3);
  assert_mx(0, 65535, "z.test");
  assert_mx(1, 0, "a.test");
  assert_mx(2, 0, "a.test");
  assert_string_equal(out.canonical, "d.test");
  assert_int_equal(out.hops, 0);
  assert_int_equal(out.ttl_s, 300);
  assert_false(out.has_soa || out.cut || out.authentic || out.has_opt);
}

static void a_records_are_deduplicated(void **state) {
  (void)state;
  begin(0, DNSMSG_A);
  dns_add_a(&b, "d.test", 60, 0xc0000201);
  dns_add_a(&b, "d.test", 60, 0xc0000202);
  dns_add_a(&b, "d.test", 60, 0xc0000201);
  assert_int_equal(parse(DNSMSG_A), DNSMSG_ANSWER);
  assert_int_equal(out.address_length, 4);
  assert_int_equal(out.address_count, 2);
  assert_memory_equal(out.addresses[0], "\xc0\x00\x02\x01", 4);
  assert_memory_equal(out.addresses[1], "\xc0\x00\x02\x02", 4);
}

static void aaaa_records_that_differ_in_the_last_octet_are_kept(void **state) {
  (void)state;
  begin(0, DNSMSG_AAAA);
  dns_add_aaaa(&b, "d.test", 60, 1);
  dns_add_aaaa(&b, "d.test", 60, 2);
  assert_int_equal(parse(DNSMSG_AAAA), DNSMSG_ANSWER);
  assert_int_equal(out.address_length, 16);
  assert_int_equal(out.address_count, 2);
  assert_memory_equal(out.addresses[1], "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02", 16);
}

static void root_exchange_is_usable_and_empty(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 0, "");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_mx(0, 0, "");
}

static void question_for_the_root_is_read(void **state) {
  (void)state;
  dns_reply(&b, 0, "", DNSMSG_MX);
  dns_add_mx(&b, "", 300, 5, "a.test");
  assert_int_equal(parse_bytes(b.bytes, b.length, "", DNSMSG_MX), DNSMSG_ANSWER);
}

static void unusable_name_is_not_taken_for_the_root(void **state) {
  (void)state;
  dns_reply(&b, 0, "", DNSMSG_MX);
  dns_add_mx(&b, "bad name", 300, 5, "a.test");
  assert_int_equal(parse_bytes(b.bytes, b.length, "", DNSMSG_MX), DNSMSG_MALFORMED);
  dns_reply(&b, 0, "bad name", DNSMSG_MX);
  assert_int_equal(parse_bytes(b.bytes, b.length, "", DNSMSG_MX), DNSMSG_MALFORMED);
}

static void least_ttl_of_the_set_counts(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 1, "a.test");
  dns_add_mx(&b, "d.test", 7, 2, "b.test");
  dns_add_mx(&b, "d.test", 900, 3, "c.test");
  dns_add_mx(&b, "other.test", 1, 3, "c.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_int_equal(out.mx_count, 3);
  assert_int_equal(out.ttl_s, 7);
}

static void ttl_with_the_top_bit_is_a_large_number(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 0x80000005, 1, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_true(out.ttl_s == 0x80000005);
}

static void hundred_exchanges_are_read_and_no_more(void **state) {
  (void)state;
  for (unsigned count = DNSMSG_MX_MAX; count <= DNSMSG_MX_MAX + 1; count++) {
    begin(0, DNSMSG_MX);
    for (unsigned i = 0; i < count; i++)
      dns_add_mx(&b, NULL, 300, i, "a.test");
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
    assert_int_equal(out.mx_count, DNSMSG_MX_MAX);
    assert_mx(99, 99, "a.test");
    assert_int_equal(out.cut, count > DNSMSG_MX_MAX);
  }
}

static void thirty_two_addresses_are_read_and_no_more(void **state) {
  (void)state;
  for (unsigned count = DNSMSG_ADDRESS_MAX; count <= DNSMSG_ADDRESS_MAX + 2; count++) {
    begin(0, DNSMSG_AAAA);
    for (unsigned i = 0; i < count; i++)
      dns_add_aaaa(&b, NULL, 300, i);
    assert_int_equal(parse(DNSMSG_AAAA), DNSMSG_ANSWER);
    assert_int_equal(out.address_count, DNSMSG_ADDRESS_MAX);
    assert_int_equal(out.cut, count > DNSMSG_ADDRESS_MAX);
  }
}

static void duplicate_beyond_the_bound_is_no_cut(void **state) {
  (void)state;
  begin(0, DNSMSG_A);
  for (unsigned i = 0; i <= DNSMSG_ADDRESS_MAX; i++)
    dns_add_a(&b, NULL, 300, 0xc0000200 + i % DNSMSG_ADDRESS_MAX);
  assert_int_equal(parse(DNSMSG_A), DNSMSG_ANSWER);
  assert_int_equal(out.address_count, DNSMSG_ADDRESS_MAX);
  assert_false(out.cut);
}

/* The class of a record of "d.test" that begins at `at`, as dns_builder writes it. */
static void set_class_chaos(size_t at) { b.bytes[at + 11] = 3; }

static void other_types_and_classes_beside_the_answer_are_ignored(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_raw(&b, DNS_ANSWER, "d.test", RRSIG, 1, "anything", 8);
  dns_add_raw(&b, DNS_ANSWER, "d.test", DNAME, 1, "", 0);
  size_t chaos_at = b.length;
  dns_add_mx(&b, "d.test", 1, 1, "chaos.test");
  set_class_chaos(chaos_at);
  dns_add_mx(&b, "d.test", 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_int_equal(out.mx_count, 1);
  assert_mx(0, 10, "a.test");
  assert_int_equal(out.ttl_s, 300);
}

static void records_of_another_class_alone_are_no_answer(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  size_t at = b.length;
  dns_add_mx(&b, "d.test", 300, 1, "a.test");
  set_class_chaos(at);
  at = b.length;
  dns_add_cname(&b, "d.test", 300, "e.test");
  set_class_chaos(at);
  at = b.length;
  dns_add_soa(&b, "d.test", 300, 300);
  set_class_chaos(at);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NODATA);
  assert_int_equal(out.hops, 0);
  assert_false(out.has_soa);
}

static void additional_section_gives_no_answer(void **state) {
  (void)state;
  begin(0, DNSMSG_A);
  dns_add_raw(&b, DNS_ADDITIONAL, "d.test", DNSMSG_A, 1, "\xc0\x00\x02\x01", 4);
  assert_int_equal(parse(DNSMSG_A), DNSMSG_NODATA);
}

static void ad_bit_and_opt_are_reported(void **state) {
  (void)state;
  begin(0x20, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 10, "a.test");
  dns_add_opt(&b, 0);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_true(out.authentic);
  assert_true(out.has_opt);
}

static void opt_outside_the_additional_section_is_not_edns(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, NULL, 300, 10, "a.test");
  dns_add_raw(&b, DNS_ANSWER, "", DNSMSG_OPT, 0x01000000, "", 0);
  dns_add_raw(&b, DNS_AUTHORITY, "", DNSMSG_OPT, 0x01000000, "", 0);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_false(out.has_opt);
}

static void octets_after_the_last_record_are_accepted(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 10, "a.test");
  dns_put(&b, "tail", 4);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
}

static void every_octet_in_a_host_is_usable_or_not_as_documented(void **state) {
  (void)state;
  for (unsigned octet = 0; octet < 256; octet++) {
    begin(0, DNSMSG_MX);
    size_t at = dns_begin_record(&b, DNS_ANSWER, NULL, DNSMSG_MX, 300);
    dns_put_u16(&b, 10);
    dns_put_u8(&b, 3);
    dns_put(&b, (uint8_t[]){'a', (uint8_t)octet, 'z'}, 3);
    dns_put_name(&b, "test");
    dns_end_record(&b, at);
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
    bool usable = octet > 0x20 && octet < 0x7f && octet != '.' && octet != '\\';
    assert_int_equal(out.mx[0].usable, usable);
    char expected[] = {
        'a', (char)(octet >= 'A' && octet <= 'Z' ? octet + 32 : octet), 'z', '.', 't', 'e', 's', 't', 0};
    assert_string_equal(out.mx[0].host, usable ? expected : "");
  }
}

static void one_unusable_exchange_leaves_the_others(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 10, "bad name.test");
  dns_add_mx(&b, "d.test", 300, 20, "b.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_int_equal(out.mx_count, 2);
  assert_false(out.mx[0].usable);
  assert_string_equal(out.mx[0].host, "");
  assert_mx(1, 20, "b.test");
}

/* A name of `labels` labels of `length` octets. */
static void put_labels(unsigned labels, unsigned length) {
  for (unsigned i = 0; i < labels; i++) {
    dns_put_u8(&b, length);
    for (unsigned j = 0; j < length; j++)
      dns_put_u8(&b, 'x');
  }
}

static void host_of_255_octets_fits_and_of_256_does_not(void **state) {
  (void)state;
  for (unsigned last = 61; last <= 62; last++) {
    begin(0, DNSMSG_MX);
    size_t at = dns_begin_record(&b, DNS_ANSWER, NULL, DNSMSG_MX, 300);
    dns_put_u16(&b, 10);
    put_labels(3, 63);
    put_labels(1, last);
    dns_put_u8(&b, 0);
    dns_end_record(&b, at);
    assert_int_equal(parse(DNSMSG_MX), last == 61 ? DNSMSG_ANSWER : DNSMSG_MALFORMED);
    if (last == 61)
      assert_int_equal(strlen(out.mx[0].host), 253);
  }
}

static void host_of_127_labels_is_read(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  size_t at = dns_begin_record(&b, DNS_ANSWER, NULL, DNSMSG_MX, 300);
  dns_put_u16(&b, 10);
  put_labels(127, 1);
  dns_put_u8(&b, 0);
  dns_end_record(&b, at);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_int_equal(strlen(out.mx[0].host), 253);
}

static void compressed_host_is_expanded_over_several_pointers(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  size_t at = dns_begin_record(&b, DNS_ANSWER, NULL, DNSMSG_MX, 300);
  dns_put_u16(&b, 10);
  size_t first_at = b.length;
  dns_put_u8(&b, 2);
  dns_put(&b, "MX", 2);
  dns_put_pointer(&b, DNS_HEADER_LENGTH);
  dns_end_record(&b, at);
  at = dns_begin_record(&b, DNS_ANSWER, NULL, DNSMSG_MX, 300);
  dns_put_u16(&b, 20);
  dns_put_u8(&b, 1);
  dns_put(&b, "a", 1);
  dns_put_pointer(&b, first_at);
  dns_end_record(&b, at);
  dns_add_mx(&b, NULL, 300, 30, "c.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_int_equal(out.mx_count, 3);
  assert_mx(0, 10, "mx.d.test");
  assert_mx(1, 20, "a.mx.d.test");
  assert_mx(2, 30, "c.test");
}

/* An MX whose host is `count` octets of rdata. */
static enum dnsmsg_outcome parse_host(const void *bytes, size_t count) {
  begin(0, DNSMSG_MX);
  size_t at = dns_begin_record(&b, DNS_ANSWER, NULL, DNSMSG_MX, 300);
  dns_put_u16(&b, 10);
  dns_put(&b, bytes, count);
  dns_end_record(&b, at);
  return parse(DNSMSG_MX);
}

static void pointers_that_do_not_go_back_are_malformed(void **state) {
  (void)state;
  enum { HOST_AT = 12 + 8 + 4 + 2 + 10 + 2 }; /* header, question, owner, fixed part, preference */
  assert_int_equal(parse_host("\xc0\x0c", 2), DNSMSG_ANSWER);
  assert_mx(0, 10, "d.test");
  for (unsigned target = HOST_AT; target < 0x4000; target++)
    assert_int_equal(parse_host((uint8_t[]){(uint8_t)(0xc0 | target >> 8), (uint8_t)target}, 2),
                     DNSMSG_MALFORMED);
  for (unsigned target = 0; target < DNS_HEADER_LENGTH; target++)
    assert_int_equal(parse_host((uint8_t[]){0xc0, (uint8_t)target}, 2), DNSMSG_MALFORMED);
}

static void pointer_to_its_own_labels_is_malformed(void **state) {
  (void)state;
  enum { HOST_AT = 12 + 8 + 4 + 2 + 10 + 2 };
  assert_int_equal(parse_host((uint8_t[]){1, 'a', 0xc0, HOST_AT}, 4), DNSMSG_MALFORMED);
  /* The preference begins with a zero octet, which is the root and comes before: allowed. */
  assert_int_equal(parse_host((uint8_t[]){1, 'a', 0xc0, HOST_AT - 2}, 4), DNSMSG_ANSWER);
  assert_mx(0, 10, "a");
}

/* A pointer to a label that is longer than what was there before the pointer: no prior occurrence of a name.
 */
static void labels_behind_a_pointer_that_reach_its_own_name_are_malformed(void **state) {
  (void)state;
  enum { FIXED = 10 }; /* type, class, TTL and length of a record */
  for (uint8_t length = 1; length < 40; length++) {
    begin(0, DNSMSG_MX);
    dns_add_mx(&b, NULL, 300, 10, "a.test");
    size_t label_at = dns_begin_record(&b, DNS_ANSWER, NULL, RRSIG, 300);
    dns_put_u8(&b, length);
    dns_put(&b, (uint8_t[4]){0}, 4);
    dns_end_record(&b, label_at);
    size_t owner_at = b.length;
    dns_count(&b, DNS_ANSWER, 1);
    dns_put_pointer(&b, label_at);
    dns_put(&b, (uint8_t[FIXED]){0, RRSIG, 0, 1}, FIXED);
    static const uint8_t roots[40];
    dns_put(&b, roots, sizeof(roots)); /* behind the message */
    bool is_before = label_at + 1 + length < owner_at;
    assert_int_equal(parse(DNSMSG_MX), is_before ? DNSMSG_ANSWER : DNSMSG_MALFORMED);
  }
}

/* Puts a record that holds a chain of pointers that ends at `target`; returns where it begins. */
static size_t put_pointer_chain(unsigned pointers, size_t target) {
  size_t at = dns_begin_record(&b, DNS_ANSWER, NULL, RRSIG, 300);
  for (unsigned i = 0; i < pointers; i++) {
    size_t here = b.length;
    dns_put_pointer(&b, target);
    target = here;
  }
  dns_end_record(&b, at);
  return target;
}

static void chain_of_pointers_is_followed_up_to_the_bound(void **state) {
  (void)state;
  for (unsigned jumps = 127; jumps <= 128; jumps++) {
    begin(0, DNSMSG_MX);
    size_t last_at = put_pointer_chain(jumps - 1, DNS_HEADER_LENGTH);
    size_t at = dns_begin_record(&b, DNS_ANSWER, NULL, DNSMSG_MX, 300);
    dns_put_u16(&b, 10);
    dns_put_pointer(&b, last_at);
    dns_end_record(&b, at);
    assert_int_equal(parse(DNSMSG_MX), jumps == 127 ? DNSMSG_ANSWER : DNSMSG_MALFORMED);
  }
}

static void label_types_other_than_length_and_pointer_are_malformed(void **state) {
  (void)state;
  uint8_t host[0xc1] = {0}; /* as many octets as the first could mean, and the root */
  for (unsigned first = 0x40; first < 0xc0; first++) {
    host[0] = (uint8_t)first;
    assert_int_equal(parse_host(host, first + 2), DNSMSG_MALFORMED);
  }
}

static void host_that_ends_before_or_behind_its_rdata_is_malformed(void **state) {
  (void)state;
  assert_int_equal(parse_host("\1a", 3), DNSMSG_ANSWER);
  assert_int_equal(parse_host("\1a\0\0", 4), DNSMSG_MALFORMED);
  assert_int_equal(parse_host("\1a", 2), DNSMSG_MALFORMED);
  assert_int_equal(parse_host("\1", 1), DNSMSG_MALFORMED);
  assert_int_equal(parse_host("\xc0", 1), DNSMSG_MALFORMED);
  assert_int_equal(parse_host("", 0), DNSMSG_MALFORMED);
  begin(0, DNSMSG_MX);
  dns_add_raw(&b, DNS_ANSWER, NULL, DNSMSG_MX, 300, "\0", 1);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
  /* the name would end well in the record behind */
  begin(0, DNSMSG_MX);
  dns_add_raw(&b, DNS_ANSWER, NULL, DNSMSG_MX, 300, "\0\12\1", 3);
  dns_add_mx(&b, NULL, 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
}

static void addresses_of_a_wrong_length_are_malformed(void **state) {
  (void)state;
  for (size_t length = 0; length <= 32; length++) {
    static const uint8_t zeros[32];
    begin(0, DNSMSG_A);
    dns_add_raw(&b, DNS_ANSWER, NULL, DNSMSG_A, 300, zeros, length);
    assert_int_equal(parse(DNSMSG_A), length == 4 ? DNSMSG_ANSWER : DNSMSG_MALFORMED);
    begin(0, DNSMSG_AAAA);
    dns_add_raw(&b, DNS_ANSWER, NULL, DNSMSG_AAAA, 300, zeros, length);
    assert_int_equal(parse(DNSMSG_AAAA), length == 16 ? DNSMSG_ANSWER : DNSMSG_MALFORMED);
  }
}

static void chain_in_any_order_is_followed(void **state) {
  (void)state;
  static const char *const names[] = {"d.test", "E.test", "f.test", "g.test"};
  static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 3, 0, 2}};
  for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
    begin(0, DNSMSG_MX);
    for (int j = 0; j < 4; j++) {
      int record = orders[i][j];
      if (record == 3)
        dns_add_mx(&b, "G.test", 300, 10, "a.test");
      else
        dns_add_cname(&b, names[record], 100 - (uint32_t)record, names[record + 1]);
    }
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
    assert_string_equal(out.canonical, "g.test");
    assert_int_equal(out.hops, 3);
    assert_int_equal(out.ttl_s, 98);
    assert_int_equal(out.mx_count, 1);
  }
}

static void records_of_the_alias_itself_do_not_count(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "e.test");
  dns_add_mx(&b, "d.test", 1, 10, "wrong.test");
  dns_add_mx(&b, "e.test", 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_int_equal(out.mx_count, 1);
  assert_mx(0, 10, "a.test");
  assert_int_equal(out.ttl_s, 300);
}

static void chain_without_records_and_soa_is_to_be_followed(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "e.test");
  dns_add_cname(&b, "e.test", 200, "f.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_FOLLOW);
  assert_string_equal(out.canonical, "f.test");
  assert_int_equal(out.hops, 2);
  assert_int_equal(out.ttl_s, 200);
  assert_false(out.has_soa);
}

static void chain_without_records_but_with_an_soa_is_nodata(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "e.test");
  dns_add_soa(&b, "test", 3600, 900);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NODATA);
  assert_string_equal(out.canonical, "e.test");
  assert_int_equal(out.ttl_s, 300);
  assert_int_equal(out.negative_ttl_s, 900);
  assert_true(out.has_soa);
}

static void nxdomain_at_the_end_of_a_chain_is_of_the_end(void **state) {
  (void)state;
  begin(3, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "gone.test");
  dns_add_soa(&b, "test", 60, 900);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NXDOMAIN);
  assert_string_equal(out.canonical, "gone.test");
  assert_int_equal(out.hops, 1);
  assert_int_equal(out.ttl_s, 300);
  assert_int_equal(out.negative_ttl_s, 60);
}

static void sixteen_hops_are_followed_and_more_are_a_loop(void **state) {
  (void)state;
  for (unsigned hops = 0; hops <= 100; hops++) {
    sample_chain_of(&b, hops);
    assert_int_equal(parse(DNSMSG_MX), hops <= DNSMSG_CNAME_HOPS_MAX ? DNSMSG_ANSWER : DNSMSG_LOOP);
    if (hops <= DNSMSG_CNAME_HOPS_MAX)
      assert_int_equal(out.hops, hops);
  }
}

static void alias_of_itself_is_a_loop(void **state) {
  (void)state;
  for (unsigned rcode = 0; rcode <= 3; rcode += 3) {
    begin(rcode, DNSMSG_MX);
    dns_add_cname(&b, "d.test", 300, "D.test");
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_LOOP);
    assert_int_equal(out.ttl_s, 300);
  }
}

static void aliases_of_each_other_are_a_loop_even_with_records(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "e.test");
  dns_add_cname(&b, "e.test", 300, "d.test");
  dns_add_mx(&b, "d.test", 300, 10, "a.test");
  dns_add_mx(&b, "e.test", 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_LOOP);
}

static void alias_with_two_targets_is_malformed(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "e.test");
  dns_add_cname(&b, "d.test", 300, "f.test");
  dns_add_mx(&b, "e.test", 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
}

static void alias_given_twice_counts_once_with_the_least_ttl(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "e.test");
  dns_add_cname(&b, "d.test", 30, "E.TEST");
  dns_add_mx(&b, "e.test", 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_int_equal(out.hops, 1);
  assert_int_equal(out.ttl_s, 30);
}

static void alias_to_the_root_or_to_an_unusable_name_is_malformed(void **state) {
  (void)state;
  static const char *const targets[] = {"", "bad name.test", "a\\.b.test", "b\xc3\xbc.test", "a\\\\b.test"};
  for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
    begin(0, DNSMSG_MX);
    dns_add_cname(&b, "d.test", 300, targets[i]);
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    assert_int_equal(out.hops, 0);
    assert_string_equal(out.canonical, "d.test");
  }
}

static void alias_whose_target_does_not_fill_its_rdata_is_malformed(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_raw(&b, DNS_ANSWER, NULL, DNSMSG_CNAME, 300, "\1e\0\0", 4);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
  begin(0, DNSMSG_MX);
  dns_add_raw(&b, DNS_ANSWER, NULL, DNSMSG_CNAME, 300, "\1e", 2);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
}

static void foreign_alias_beside_the_chain_is_ignored(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_cname(&b, "x.test", 1, "y.test");
  dns_add_raw(&b, DNS_ANSWER, "z.test", DNSMSG_CNAME, 1, "\xff", 1);
  dns_add_cname(&b, "a\\.b.test", 1, "d.test");
  dns_add_mx(&b, "d.test", 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_int_equal(out.hops, 0);
  assert_int_equal(out.ttl_s, 300);
}

static void label_with_a_dot_is_not_the_name_it_looks_like(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, "d\\.test", 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
  dns_reply(&b, 0, "d\\.test", DNSMSG_MX);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
}

/* As long as a message can be, every foreign owner as dear as a name can be, and as many aliases
 * to read again at each hop as are allowed. */
static void build_worst(void) {
  sample_chain_of(&b, DNSMSG_CNAME_HOPS_MAX);
  size_t dear_at = put_pointer_chain(126, DNS_HEADER_LENGTH + 2);
  for (unsigned i = DNSMSG_CNAME_HOPS_MAX; sizeof(b.bytes) - b.length > 12; i++) {
    dns_count(&b, DNS_ANSWER, 1);
    dns_put_pointer(&b, dear_at);
    dns_put_u16(&b, i < 64 ? DNSMSG_CNAME : DNSMSG_MX);
    dns_put_u16(&b, 1);
    dns_put_u32(&b, 300);
    dns_put_u16(&b, 0);
  }
}

static void worst_message_takes_milliseconds(void **state) {
  (void)state;
  build_worst();
  clock_t start = clock();
  dnsmsg_parse(b.bytes, b.length, "d.test", DNSMSG_MX, &out);
  assert_int_equal(out.outcome, DNSMSG_ANSWER);
  assert_int_equal(out.mx_count, 1);
  assert_true(clock() - start < CLOCKS_PER_SEC / 4); /* a few milliseconds, times what sanitizers cost */
}

static void nodata_without_soa_has_no_negative_ttl(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NODATA);
  assert_false(out.has_soa);
  assert_true(out.ttl_s == UINT32_MAX);
}

/* RFC 2308 section 2.2: without an SOA it is the NS records that tell a referral from NODATA. */
static void referral_is_refused_recursion_and_no_denial(void **state) {
  (void)state;
  static const char *const zones[] = {"", "test", "d.test"};
  for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
    for (unsigned authoritative = 0; authoritative <= 0x400; authoritative += 0x400) {
      begin(authoritative, DNSMSG_MX);
      dns_add_name(&b, DNS_AUTHORITY, zones[i], NS, 3600, "ns1.test");
      assert_int_equal(parse(DNSMSG_MX), DNSMSG_REFUSED);
    }
}

static void name_servers_beside_an_answer_or_a_denial_do_not_count(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 10, "a.test");
  dns_add_name(&b, DNS_AUTHORITY, "test", NS, 3600, "ns1.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  begin(0, DNSMSG_MX);
  dns_add_name(&b, DNS_AUTHORITY, "test", NS, 3600, "ns1.test");
  dns_add_soa(&b, "test", 300, 300);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NODATA);
  begin(3, DNSMSG_MX); /* RFC 2308 section 2.1, type 4 */
  dns_add_name(&b, DNS_AUTHORITY, "test", NS, 3600, "ns1.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NXDOMAIN);
  begin(0, DNSMSG_MX);
  size_t at = b.length;
  dns_add_name(&b, DNS_AUTHORITY, "d.test", NS, 3600, "ns1.test");
  set_class_chaos(at);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NODATA);
}

/* As an authoritative server answers whose zone ends at the alias. */
static void chain_with_a_referral_is_to_be_followed(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "e.example");
  dns_add_name(&b, DNS_AUTHORITY, "example", NS, 3600, "ns1.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_FOLLOW);
  assert_string_equal(out.canonical, "e.example");
}

static void soa_counts_only_of_a_zone_that_holds_the_name(void **state) {
  (void)state;
  static const struct {
    const char *zone;
    bool holds;
  } cases[] = {{"", true},          {"test", true},     {"d.test", true},    {"D.Test", true},
               {"x.d.test", false}, {"example", false}, {"e.test", false},   {"est", false},
               {"xd.test", false},  {"te\\.st", false}, {"d\\.test", false}, {"bad name", false}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    for (unsigned rcode = 0; rcode <= 3; rcode += 3) {
      begin(rcode, DNSMSG_MX);
      dns_add_soa(&b, cases[i].zone, 300, 200);
      assert_int_equal(parse(DNSMSG_MX), rcode ? DNSMSG_NXDOMAIN : DNSMSG_NODATA);
      assert_int_equal(out.has_soa, cases[i].holds);
      assert_int_equal(out.negative_ttl_s, cases[i].holds ? 200 : 0);
    }
}

static void soa_of_the_alias_denies_nothing_about_its_target(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "e.example");
  dns_add_soa(&b, "test", 300, 300);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_FOLLOW);
  assert_string_equal(out.canonical, "e.example");
  begin(3, DNSMSG_MX);
  dns_add_cname(&b, "d.test", 300, "e.example");
  dns_add_soa(&b, "test", 300, 300);
  dns_add_soa(&b, "example", 60, 60);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NXDOMAIN);
  assert_int_equal(out.negative_ttl_s, 60);
}

static void foreign_soa_makes_no_denial_of_a_referral(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_name(&b, DNS_AUTHORITY, "test", NS, 3600, "ns1.test");
  dns_add_soa(&b, "example", 300, 300);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_REFUSED);
}

static void negative_ttl_is_the_lesser_of_soa_ttl_and_minimum(void **state) {
  (void)state;
  static const struct {
    uint32_t ttl_s, minimum, expected;
  } cases[] = {
      {3600, 900, 900}, {300, 600, 300}, {0, 600, 0}, {600, 0, 0}, {0xffffffff, 0x80000000, 0x80000000}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    for (unsigned rcode = 0; rcode <= 3; rcode += 3) {
      begin(rcode, DNSMSG_MX);
      dns_add_soa(&b, "test", cases[i].ttl_s, cases[i].minimum);
      assert_int_equal(parse(DNSMSG_MX), rcode ? DNSMSG_NXDOMAIN : DNSMSG_NODATA);
      assert_true(out.has_soa);
      assert_true(out.negative_ttl_s == cases[i].expected);
      assert_true(out.ttl_s == UINT32_MAX);
    }
}

static void first_soa_counts(void **state) {
  (void)state;
  begin(3, DNSMSG_MX);
  dns_add_soa(&b, "test", 300, 300);
  dns_add_soa(&b, "test", 10, 10);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NXDOMAIN);
  assert_int_equal(out.negative_ttl_s, 300);
}

static void soa_in_the_answer_section_is_no_denial(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_raw(&b, DNS_ANSWER, "d.test", DNSMSG_SOA, 300, "", 0);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NODATA);
  assert_false(out.has_soa);
}

static void soa_beside_an_answer_is_not_reported(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 10, "a.test");
  dns_add_soa(&b, "test", 60, 60);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_false(out.has_soa);
  assert_int_equal(out.negative_ttl_s, 0);
  assert_int_equal(out.ttl_s, 300);
}

static void soa_of_a_wrong_length_is_malformed(void **state) {
  (void)state;
  static const uint8_t rdata[40]; /* two roots and twenty octets are right */
  for (size_t length = 0; length <= sizeof(rdata); length++) {
    begin(3, DNSMSG_MX);
    dns_add_raw(&b, DNS_AUTHORITY, "test", DNSMSG_SOA, 300, rdata, length);
    assert_int_equal(parse(DNSMSG_MX), length == 22 ? DNSMSG_NXDOMAIN : DNSMSG_MALFORMED);
  }
}

static void answer_with_only_foreign_owners_is_malformed(void **state) {
  (void)state;
  for (unsigned rcode = 0; rcode <= 3; rcode += 3) {
    begin(rcode, DNSMSG_MX);
    dns_add_mx(&b, "other.test", 300, 10, "a.test");
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    begin(rcode, DNSMSG_MX);
    dns_add_cname(&b, "other.test", 300, "a.test");
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    begin(rcode, DNSMSG_MX);
    dns_add_cname(&b, "d.test", 300, "e.test");
    dns_add_mx(&b, "d.test", 300, 10, "a.test");
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
  }
}

static void nxdomain_with_the_records_it_denies_is_malformed(void **state) {
  (void)state;
  begin(3, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
}

static void answer_of_another_type_only_is_nodata(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_a(&b, "d.test", 300, 0xc0000201);
  dns_add_raw(&b, DNS_ANSWER, "d.test", RRSIG, 300, "", 0);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NODATA);
}

/* An alias of the type DNAME redirects what is below its owner (RFC 6672 section 3). */
static void answer_of_other_types_with_foreign_owners_is_malformed(void **state) {
  (void)state;
  for (unsigned rcode = 0; rcode <= 3; rcode += 3) {
    begin(rcode, DNSMSG_MX);
    dns_add_name(&b, DNS_ANSWER, "test", DNAME, 300, "example");
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    begin(rcode, DNSMSG_MX);
    dns_add_a(&b, "other.test", 300, 0xc0000201);
    dns_add_soa(&b, "test", 60, 60);
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
  }
}

static void alias_made_of_a_dname_is_followed(void **state) {
  (void)state;
  begin(0, DNSMSG_MX);
  dns_add_name(&b, DNS_ANSWER, "test", DNAME, 300, "example");
  dns_add_cname(&b, "d.test", 300, "d.example");
  dns_add_mx(&b, "d.example", 60, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_string_equal(out.canonical, "d.example");
  assert_int_equal(out.ttl_s, 60);
  begin(3, DNSMSG_MX);
  dns_add_name(&b, DNS_ANSWER, "test", DNAME, 300, "example");
  dns_add_cname(&b, "d.test", 300, "d.example");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_NXDOMAIN);
  assert_string_equal(out.canonical, "d.example");
}

static const enum dnsmsg_outcome rcodes[16] = {
    DNSMSG_NODATA,      DNSMSG_FORMERR,     DNSMSG_SERVFAIL,    DNSMSG_NXDOMAIN,
    DNSMSG_NOTIMP,      DNSMSG_REFUSED,     DNSMSG_OTHER_RCODE, DNSMSG_OTHER_RCODE,
    DNSMSG_OTHER_RCODE, DNSMSG_OTHER_RCODE, DNSMSG_OTHER_RCODE, DNSMSG_OTHER_RCODE,
    DNSMSG_OTHER_RCODE, DNSMSG_OTHER_RCODE, DNSMSG_OTHER_RCODE, DNSMSG_OTHER_RCODE};

static void every_rcode_has_its_outcome(void **state) {
  (void)state;
  for (unsigned rcode = 0; rcode < 16; rcode++) {
    begin(rcode, DNSMSG_MX);
    assert_int_equal(parse(DNSMSG_MX), rcodes[rcode]);
    begin(rcode, DNSMSG_MX);
    dns_add_opt(&b, 0);
    assert_int_equal(parse(DNSMSG_MX), rcodes[rcode]);
    assert_true(out.has_opt);
  }
}

static void extended_rcode_is_not_mistaken_for_its_lower_half(void **state) {
  (void)state;
  for (unsigned extended = 1; extended < 256; extended++)
    for (unsigned rcode = 0; rcode < 16; rcode++) {
      begin(rcode, DNSMSG_MX);
      dns_add_opt(&b, extended);
      assert_int_equal(parse(DNSMSG_MX), DNSMSG_OTHER_RCODE);
    }
}

static void failure_with_records_is_still_a_failure(void **state) {
  (void)state;
  begin(2, DNSMSG_MX);
  dns_add_mx(&b, "d.test", 300, 10, "a.test");
  dns_add_soa(&b, "test", 60, 60);
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_SERVFAIL);
  assert_false(out.has_soa);
}

static void empty_question_is_accepted_with_a_failure_only(void **state) {
  (void)state;
  for (unsigned rcode = 0; rcode < 16; rcode++) {
    bool failure = rcode != 0 && rcode != 3;
    dns_start(&b, DNS_FLAGS_REPLY | rcode);
    assert_int_equal(parse(DNSMSG_MX), failure ? rcodes[rcode] : DNSMSG_MALFORMED);
    dns_add_opt(&b, 1); /* BADVERS and the like have an rcode above 15 */
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_OTHER_RCODE);
  }
}

static void two_questions_are_malformed(void **state) {
  (void)state;
  for (unsigned rcode = 0; rcode < 16; rcode++) {
    begin(rcode, DNSMSG_MX);
    dns_put_question(&b, "d.test", DNSMSG_MX);
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
  }
}

static void another_question_is_malformed(void **state) {
  (void)state;
  static const char *const names[] = {"", "e.test", "d.tes", "d.testx", "x.d.test", "test", "d\xff.test"};
  for (unsigned rcode = 0; rcode < 16; rcode++) {
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
      dns_reply(&b, rcode, names[i], DNSMSG_MX);
      assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    }
    begin(rcode, DNSMSG_A);
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    begin(rcode, DNSMSG_MX);
    b.bytes[b.length - 1] = 3; /* class CH */
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
  }
}

static void question_in_another_case_is_ours(void **state) {
  (void)state;
  dns_reply(&b, 0, "D.TeSt", DNSMSG_MX);
  dns_add_mx(&b, NULL, 300, 10, "a.test");
  assert_int_equal(parse(DNSMSG_MX), DNSMSG_ANSWER);
  assert_string_equal(out.canonical, "d.test");
}

static void query_other_opcode_or_truncated_reply_is_malformed(void **state) {
  (void)state;
  for (unsigned rcode = 0; rcode < 16; rcode++) {
    begin(rcode, DNSMSG_MX);
    b.bytes[2] &= 0x7f; /* QR */
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    begin(rcode, DNSMSG_MX);
    b.bytes[2] |= 0x02; /* TC */
    assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    for (unsigned opcode = 1; opcode < 16; opcode++) {
      begin(rcode, DNSMSG_MX);
      b.bytes[2] = (uint8_t)(0x80 | opcode << 3);
      assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    }
  }
}

static void count_larger_than_the_message_is_malformed(void **state) {
  (void)state;
  for (enum dns_section section = DNS_ANSWER; section <= DNS_ADDITIONAL; section++)
    for (int more = 1; more <= 0xffff; more = more * 2 + 1) {
      begin(0, DNSMSG_MX);
      dns_count(&b, section, more);
      assert_int_equal(parse(DNSMSG_MX), DNSMSG_MALFORMED);
    }
}

static void every_sample_says_what_it_is_made_for(void **state) {
  (void)state;
  for (size_t i = 0; i < DNSMSG_SAMPLE_COUNT; i++) {
    dnsmsg_samples[i].build(&b);
    if (parse(dnsmsg_samples[i].qtype) != dnsmsg_samples[i].outcome)
      fail_msg("%s: outcome %d", dnsmsg_samples[i].name, out.outcome);
  }
}

static void message_cut_anywhere_is_malformed(void **state) {
  (void)state;
  for (size_t i = 0; i < DNSMSG_SAMPLE_COUNT; i++) {
    dnsmsg_samples[i].build(&b);
    for (size_t length = 0; length < b.length; length++)
      assert_int_equal(parse_bytes(b.bytes, length, "d.test", dnsmsg_samples[i].qtype), DNSMSG_MALFORMED);
  }
}

static void malformed_reply_leaves_nothing_to_believe(void **state) {
  (void)state;
  sample_mx(&b);
  b.bytes[3] |= 0x20;
  assert_int_equal(parse_bytes(b.bytes, b.length - 1, "d.test", DNSMSG_MX), DNSMSG_MALFORMED);
  assert_false(out.authentic || out.has_opt || out.has_soa || out.cut || out.hops);
  assert_int_equal(out.mx_count, 0);
  assert_string_equal(out.canonical, "d.test");
  assert_true(out.ttl_s == UINT32_MAX);
}

static void every_flipped_bit_is_survived(void **state) {
  (void)state;
  for (size_t i = 0; i < DNSMSG_SAMPLE_COUNT; i++) {
    dnsmsg_samples[i].build(&b);
    for (size_t at = 0; at < b.length; at++)
      for (unsigned change = 1; change < 256; change *= 2) {
        b.bytes[at] ^= (uint8_t)change;
        parse(dnsmsg_samples[i].qtype);
        b.bytes[at] ^= (uint8_t)change;
      }
  }
}

/* But for the case of letters. */
static void flipped_bit_of_the_question_makes_it_another(void **state) {
  (void)state;
  static const size_t end_at = DNS_HEADER_LENGTH + sizeof("\1d\4test") + 4;
  for (size_t i = 0; i < DNSMSG_SAMPLE_COUNT; i++) {
    dnsmsg_samples[i].build(&b);
    if (b.length < end_at)
      continue;
    for (size_t at = DNS_HEADER_LENGTH; at < end_at; at++)
      for (unsigned change = 1; change < 256; change *= 2) {
        bool is_case = change == 0x20 && b.bytes[at] >= 'a' && b.bytes[at] <= 'z';
        b.bytes[at] ^= (uint8_t)change;
        assert_int_equal(parse(dnsmsg_samples[i].qtype),
                         is_case ? dnsmsg_samples[i].outcome : DNSMSG_MALFORMED);
        b.bytes[at] ^= (uint8_t)change;
      }
  }
}

static void random_mutations_are_survived(void **state) {
  (void)state;
  struct random random = {SEED};
  for (int i = 0; i < 20000; i++) {
    size_t sample = random_below(&random, DNSMSG_SAMPLE_COUNT);
    dnsmsg_samples[sample].build(&b);
    for (uint32_t changes = 1 + random_below(&random, 6); changes > 0; changes--) {
      uint32_t at = random_below(&random, (uint32_t)b.length);
      b.bytes[at] = random_below(&random, 4) ? (uint8_t)random_next(&random) : 0xc0;
    }
    parse(dnsmsg_samples[sample].qtype);
  }
}

static void messages_of_other_projects_are_survived(void **state) {
  (void)state;
  const char *data = getenv("MXWAY_DATA");
  char pattern[4096];
  glob_t found = {0};
  snprintf(pattern, sizeof(pattern), "%s/dns-messages/*/*", data ? data : "");
  if (!data || glob(pattern, 0, NULL, &found) != 0) {
    print_message("SKIPPED: no messages of other projects; set MXWAY_DATA to their folder\n");
    skip();
  }
  for (size_t i = 0; i < found.gl_pathc; i++) {
    FILE *file = fopen(found.gl_pathv[i], "rb");
    assert_non_null(file);
    b.length = fread(b.bytes, 1, sizeof(b.bytes), file);
    fclose(file);
    const char *broken = dnsmsg_check_foreign(b.bytes, b.length);
    if (broken)
      fail_msg("%s breaks: %s", found.gl_pathv[i], broken);
  }
  print_message("%zu messages of other projects read\n", found.gl_pathc);
  globfree(&found);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(mx_records_come_in_wire_order_with_duplicates),
      cmocka_unit_test(a_records_are_deduplicated),
      cmocka_unit_test(aaaa_records_that_differ_in_the_last_octet_are_kept),
      cmocka_unit_test(root_exchange_is_usable_and_empty),
      cmocka_unit_test(question_for_the_root_is_read),
      cmocka_unit_test(unusable_name_is_not_taken_for_the_root),
      cmocka_unit_test(least_ttl_of_the_set_counts),
      cmocka_unit_test(ttl_with_the_top_bit_is_a_large_number),
      cmocka_unit_test(hundred_exchanges_are_read_and_no_more),
      cmocka_unit_test(thirty_two_addresses_are_read_and_no_more),
      cmocka_unit_test(duplicate_beyond_the_bound_is_no_cut),
      cmocka_unit_test(other_types_and_classes_beside_the_answer_are_ignored),
      cmocka_unit_test(records_of_another_class_alone_are_no_answer),
      cmocka_unit_test(additional_section_gives_no_answer),
      cmocka_unit_test(ad_bit_and_opt_are_reported),
      cmocka_unit_test(opt_outside_the_additional_section_is_not_edns),
      cmocka_unit_test(octets_after_the_last_record_are_accepted),
      cmocka_unit_test(every_octet_in_a_host_is_usable_or_not_as_documented),
      cmocka_unit_test(one_unusable_exchange_leaves_the_others),
      cmocka_unit_test(host_of_255_octets_fits_and_of_256_does_not),
      cmocka_unit_test(host_of_127_labels_is_read),
      cmocka_unit_test(compressed_host_is_expanded_over_several_pointers),
      cmocka_unit_test(pointers_that_do_not_go_back_are_malformed),
      cmocka_unit_test(pointer_to_its_own_labels_is_malformed),
      cmocka_unit_test(labels_behind_a_pointer_that_reach_its_own_name_are_malformed),
      cmocka_unit_test(chain_of_pointers_is_followed_up_to_the_bound),
      cmocka_unit_test(label_types_other_than_length_and_pointer_are_malformed),
      cmocka_unit_test(host_that_ends_before_or_behind_its_rdata_is_malformed),
      cmocka_unit_test(addresses_of_a_wrong_length_are_malformed),
      cmocka_unit_test(chain_in_any_order_is_followed),
      cmocka_unit_test(records_of_the_alias_itself_do_not_count),
      cmocka_unit_test(chain_without_records_and_soa_is_to_be_followed),
      cmocka_unit_test(chain_without_records_but_with_an_soa_is_nodata),
      cmocka_unit_test(nxdomain_at_the_end_of_a_chain_is_of_the_end),
      cmocka_unit_test(sixteen_hops_are_followed_and_more_are_a_loop),
      cmocka_unit_test(alias_of_itself_is_a_loop),
      cmocka_unit_test(aliases_of_each_other_are_a_loop_even_with_records),
      cmocka_unit_test(alias_with_two_targets_is_malformed),
      cmocka_unit_test(alias_given_twice_counts_once_with_the_least_ttl),
      cmocka_unit_test(alias_to_the_root_or_to_an_unusable_name_is_malformed),
      cmocka_unit_test(alias_whose_target_does_not_fill_its_rdata_is_malformed),
      cmocka_unit_test(foreign_alias_beside_the_chain_is_ignored),
      cmocka_unit_test(label_with_a_dot_is_not_the_name_it_looks_like),
      cmocka_unit_test(worst_message_takes_milliseconds),
      cmocka_unit_test(nodata_without_soa_has_no_negative_ttl),
      cmocka_unit_test(referral_is_refused_recursion_and_no_denial),
      cmocka_unit_test(name_servers_beside_an_answer_or_a_denial_do_not_count),
      cmocka_unit_test(chain_with_a_referral_is_to_be_followed),
      cmocka_unit_test(soa_counts_only_of_a_zone_that_holds_the_name),
      cmocka_unit_test(soa_of_the_alias_denies_nothing_about_its_target),
      cmocka_unit_test(foreign_soa_makes_no_denial_of_a_referral),
      cmocka_unit_test(negative_ttl_is_the_lesser_of_soa_ttl_and_minimum),
      cmocka_unit_test(first_soa_counts),
      cmocka_unit_test(soa_in_the_answer_section_is_no_denial),
      cmocka_unit_test(soa_beside_an_answer_is_not_reported),
      cmocka_unit_test(soa_of_a_wrong_length_is_malformed),
      cmocka_unit_test(answer_with_only_foreign_owners_is_malformed),
      cmocka_unit_test(nxdomain_with_the_records_it_denies_is_malformed),
      cmocka_unit_test(answer_of_another_type_only_is_nodata),
      cmocka_unit_test(answer_of_other_types_with_foreign_owners_is_malformed),
      cmocka_unit_test(alias_made_of_a_dname_is_followed),
      cmocka_unit_test(every_rcode_has_its_outcome),
      cmocka_unit_test(extended_rcode_is_not_mistaken_for_its_lower_half),
      cmocka_unit_test(failure_with_records_is_still_a_failure),
      cmocka_unit_test(empty_question_is_accepted_with_a_failure_only),
      cmocka_unit_test(two_questions_are_malformed),
      cmocka_unit_test(another_question_is_malformed),
      cmocka_unit_test(question_in_another_case_is_ours),
      cmocka_unit_test(query_other_opcode_or_truncated_reply_is_malformed),
      cmocka_unit_test(count_larger_than_the_message_is_malformed),
      cmocka_unit_test(every_sample_says_what_it_is_made_for),
      cmocka_unit_test(message_cut_anywhere_is_malformed),
      cmocka_unit_test(malformed_reply_leaves_nothing_to_believe),
      cmocka_unit_test(every_flipped_bit_is_survived),
      cmocka_unit_test(flipped_bit_of_the_question_makes_it_another),
      cmocka_unit_test(random_mutations_are_survived),
      cmocka_unit_test(messages_of_other_projects_are_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
