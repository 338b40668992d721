#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "request_pair.h"
#include "serve/request.h"
#include "wire.h"

enum { MESSAGE_MAX = 512 };

struct message {
  uint8_t bytes[MESSAGE_MAX];
  size_t length;
};

static uint8_t *end_of(struct message *message) { return message->bytes + message->length; }

static void add_number(struct message *message, unsigned field, uint64_t value) {
  uint8_t *at = wire_put_varint(end_of(message), (uint64_t)field << 3 | WIRE_TYPE_VARINT);
  message->length = (size_t)(wire_put_varint(at, value) - message->bytes);
}

static void add_text(struct message *message, unsigned field, const char *text) {
  uint8_t *at = wire_put_varint(end_of(message), (uint64_t)field << 3 | WIRE_TYPE_BYTES);
  at = wire_put_varint(at, strlen(text));
  message->length = (size_t)(wire_put_bytes(at, text, strlen(text)) - message->bytes);
}

/* Reads a copy that ends where the message ends, so that a sanitizer sees a step beyond. */
static bool check(const uint8_t *bytes, size_t length) {
  uint8_t *copy = malloc(length ? length : 1);
  assert_non_null(copy);
  memcpy(copy, bytes, length);
  bool is_accepted = request_pair_check(copy, length);
  free(copy);
  return is_accepted;
}

static struct message make_full(void) {
  struct message message = {.length = 0};
  add_number(&message, REQUEST_ID, UINT64_MAX);
  add_text(&message, REQUEST_DOMAIN, "d.test");
  add_number(&message, REQUEST_DEPTH, 1);
  add_number(&message, REQUEST_TIMEOUT_MS, 1500);
  add_number(&message, REQUEST_ORDER, 2);
  add_text(&message, REQUEST_ORDER_KEY, "key");
  add_number(&message, REQUEST_FAMILY, 4);
  add_text(&message, REQUEST_SELF_NAMES, "one.test");
  add_text(&message, REQUEST_SELF_ADDRESSES, "\x7f\1\1\1");
  add_text(&message, REQUEST_SELF_NAMES, "two.test");
  add_text(&message, REQUEST_EXCLUDE, "");
  for (unsigned field = REQUEST_PRIMARY_ONLY; field <= REQUEST_EXPLAIN; field++)
    add_number(&message, field, 1);
  return message;
}

static void every_field_is_read(void **state) {
  (void)state;
  struct message message = make_full();
  struct request request;
  assert_true(check(message.bytes, message.length));
  assert_true(request_parse(message.bytes, message.length, &request));
  assert_true(request.id == UINT64_MAX);
  assert_int_equal(request.domain.length, 6);
  assert_memory_equal(request.domain.bytes, "d.test", 6);
  assert_int_equal(request.timeout_ms, 1500);
  assert_true(request.has_lists && request.explain && request.primary_only);
}

static void an_empty_message_is_a_request_of_defaults(void **state) {
  (void)state;
  struct request request;
  assert_true(check((const uint8_t *)"", 0));
  assert_true(request_parse((const uint8_t *)"", 0, &request));
  assert_true(request.id == 0 && request.domain.length == 0 && !request.has_lists);
}

static void the_items_of_a_list_come_in_order(void **state) {
  (void)state;
  struct message message = make_full();
  struct request request;
  struct request_bytes item;
  size_t at = 0;
  assert_true(request_parse(message.bytes, message.length, &request));
  assert_true(request_next(&request, REQUEST_SELF_NAMES, &at, &item));
  assert_memory_equal(item.bytes, "one.test", item.length);
  assert_true(request_next(&request, REQUEST_SELF_NAMES, &at, &item));
  assert_memory_equal(item.bytes, "two.test", item.length);
  assert_false(request_next(&request, REQUEST_SELF_NAMES, &at, &item));
  assert_false(request_next(&request, REQUEST_SELF_NAMES, &at, &item));
}

static void a_message_cut_anywhere_is_never_read_otherwise_than_protobuf(void **state) {
  (void)state;
  struct message message = make_full();
  for (size_t length = 0; length < message.length; length++)
    check(message.bytes, length);
}

static void one_octet_changed_is_never_read_otherwise_than_protobuf(void **state) {
  (void)state;
  struct message message = make_full();
  for (size_t i = 0; i < message.length; i++)
    for (unsigned octet = 0; octet < 256; octet++) {
      uint8_t kept = message.bytes[i];
      message.bytes[i] = (uint8_t)octet;
      check(message.bytes, message.length);
      message.bytes[i] = kept;
    }
}

static void odd_encodings_are_never_read_otherwise_than_protobuf(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t length;
    bool is_accepted;
  } rows[] = {
      {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, true},      /* ten octets of varint */
      {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, false}, /* eleven */
      {"\x12\x80\x80\x80\x80\x00", 6, true},                           /* five octets of length */
      {"\x12\xff\xff\xff\xff\x0f", 6, false},                          /* a length beyond the end */
      {"\x0d"
       "abcd",
       5, false}, /* id as 32 bits */
      {"\xfd\x01"
       "abcd",
       6, true}, /* an unknown field of 32 bits */
      {"\xf9\x01"
       "abcdefgh",
       10, true}, /* of 64 bits */
      {"\xf9\x01"
       "abc",
       5, false},                    /* cut */
      {"\x0b\x0c", 2, false},        /* a group */
      {"\x0e", 1, false},            /* no wire type */
      {"\x10\x01", 2, false},        /* domain as a number */
      {"\x80\x00\x01", 3, false},    /* a field numbered 0 */
      {"\x5a\x00", 2, false},        /* a bool as octets */
      {"\x08\x01\x08\x02", 4, true}, /* the last one counts */
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    assert_int_equal(check((const uint8_t *)rows[i].bytes, rows[i].length), rows[i].is_accepted);
}

static void octets_by_chance_are_never_read_otherwise_than_protobuf(void **state) {
  (void)state;
  struct random random = {.state = 11};
  unsigned accepted = 0;
  for (int i = 0; i < 200000; i++) {
    uint8_t bytes[12];
    size_t length = random_below(&random, sizeof(bytes) + 1);
    for (size_t k = 0; k < length; k++)
      bytes[k] = (uint8_t)random_below(&random, random_below(&random, 2) ? 0x20 : 0x100);
    accepted += check(bytes, length);
  }
  assert_true(accepted > 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_field_is_read),
      cmocka_unit_test(an_empty_message_is_a_request_of_defaults),
      cmocka_unit_test(the_items_of_a_list_come_in_order),
      cmocka_unit_test(a_message_cut_anywhere_is_never_read_otherwise_than_protobuf),
      cmocka_unit_test(one_octet_changed_is_never_read_otherwise_than_protobuf),
      cmocka_unit_test(odd_encodings_are_never_read_otherwise_than_protobuf),
      cmocka_unit_test(octets_by_chance_are_never_read_otherwise_than_protobuf),
  };
  return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
