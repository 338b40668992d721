#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "wire.h"

/* Both sides of every length of a varint, and of both bounds. */
static const size_t lengths[] = {0,
                                 1,
                                 0x7f,
                                 0x80,
                                 0x3fff,
                                 0x4000,
                                 FRAME_REQUEST_MAX - 1,
                                 FRAME_REQUEST_MAX,
                                 FRAME_REPLY_MAX - 1,
                                 FRAME_REPLY_MAX};

enum { LENGTH_COUNT = sizeof(lengths) / sizeof(lengths[0]) };

static uint8_t *build(size_t body_length, size_t *length) {
  uint8_t header[FRAME_HEADER_MAX];
  size_t header_length = frame_build_header(header, body_length);
  uint8_t *bytes = malloc(header_length + body_length);
  assert_non_null(bytes);
  memcpy(bytes, header, header_length);
  memset(bytes + header_length, 0xff, body_length);
  *length = header_length + body_length;
  return bytes;
}

static void a_frame_that_was_built_is_parsed_to_the_same_length(void **state) {
  (void)state;
  for (int i = 0; i < LENGTH_COUNT; i++) {
    size_t length;
    uint8_t *bytes = build(lengths[i], &length);
    struct frame frame;
    assert_int_equal(frame_parse(bytes, length, FRAME_REPLY_MAX, &frame), FRAME_COMPLETE);
    assert_int_equal(frame.body_length, lengths[i]);
    assert_int_equal(frame.header_length, length - lengths[i]);
    assert_ptr_equal(frame.body, bytes + frame.header_length);
    free(bytes);
  }
}

static void the_header_of_a_length_is_its_shortest_varint(void **state) {
  (void)state;
  static const struct {
    size_t body_length, header_length;
    uint8_t header[FRAME_HEADER_MAX];
  } cases[] = {
      {0, 1, {0x00}},
      {0x7f, 1, {0x7f}},
      {0x80, 2, {0x80, 0x01}},
      {0x3fff, 2, {0xff, 0x7f}},
      {0x4000, 3, {0x80, 0x80, 0x01}},
      {FRAME_REPLY_MAX, 3, {0x80, 0x80, 0x40}},
      {0xffffffff, 5, {0xff, 0xff, 0xff, 0xff, 0x0f}},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    uint8_t header[FRAME_HEADER_MAX];
    assert_int_equal(frame_build_header(header, cases[i].body_length), cases[i].header_length);
    assert_memory_equal(header, cases[i].header, cases[i].header_length);
  }
}

/* The octets are copied to a block of just their length, so that AddressSanitizer sees
 * a read beyond them. */
static enum frame_state parse_copy(const uint8_t *bytes, size_t length, size_t max, struct frame *frame) {
  uint8_t *copy = malloc(length ? length : 1);
  assert_non_null(copy);
  memcpy(copy, bytes, length);
  enum frame_state result = frame_parse(copy, length, max, frame);
  free(copy);
  return result;
}

static void a_frame_cut_anywhere_is_incomplete(void **state) {
  (void)state;
  static const size_t bodies[] = {1, 0x7f, 0x80, 300, 0x4000};
  for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
    size_t length;
    uint8_t *bytes = build(bodies[i], &length);
    size_t header_length = length - bodies[i];
    for (size_t cut = 0; cut < length; cut += cut < 400 ? 1 : 97) {
      struct frame frame;
      assert_int_equal(parse_copy(bytes, cut, FRAME_REQUEST_MAX, &frame), FRAME_INCOMPLETE);
      assert_int_equal(frame.header_length, cut < header_length ? 0 : header_length);
      assert_int_equal(frame.body_length, cut < header_length ? 0 : bodies[i]);
    }
    free(bytes);
  }
}

static void frames_that_follow_each_other_are_parsed_one_by_one(void **state) {
  (void)state;
  const uint8_t bytes[] = {0x00, 0x02, 'a', 'b', 0x01, 'c', 0x05, 'd'};
  static const size_t bodies[] = {0, 2, 1};
  size_t at = 0;
  struct frame frame;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(frame_parse(bytes + at, sizeof(bytes) - at, 100, &frame), FRAME_COMPLETE);
    assert_int_equal(frame.body_length, bodies[i]);
    at += frame.header_length + frame.body_length;
  }
  assert_int_equal(frame_parse(bytes + at, sizeof(bytes) - at, 100, &frame), FRAME_INCOMPLETE);
}

static void a_length_over_the_bound_is_broken_before_its_body_comes(void **state) {
  (void)state;
  for (int i = 1; i < LENGTH_COUNT; i++) {
    uint8_t header[FRAME_HEADER_MAX];
    size_t header_length = frame_build_header(header, lengths[i]);
    struct frame frame;
    assert_int_equal(parse_copy(header, header_length, lengths[i], &frame), FRAME_INCOMPLETE);
    assert_int_equal(parse_copy(header, header_length, lengths[i] - 1, &frame), FRAME_BROKEN);
  }
}

static void a_varint_longer_than_a_header_is_broken(void **state) {
  (void)state;
  const uint8_t bytes[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
  struct frame frame;
  for (size_t length = 0; length < FRAME_HEADER_MAX; length++)
    assert_int_equal(parse_copy(bytes, length, FRAME_REPLY_MAX, &frame), FRAME_INCOMPLETE);
  for (size_t length = FRAME_HEADER_MAX; length <= sizeof(bytes); length++)
    assert_int_equal(parse_copy(bytes, length, FRAME_REPLY_MAX, &frame), FRAME_BROKEN);
}

static void a_length_of_35_bits_does_not_wrap_to_a_small_one(void **state) {
  (void)state;
  const uint8_t bytes[] = {0x81, 0x80, 0x80, 0x80, 0x10, 'a'}; /* 2^32 + 1 */
  struct frame frame;
  assert_int_equal(parse_copy(bytes, sizeof(bytes), FRAME_REPLY_MAX, &frame), FRAME_BROKEN);
}

static void a_padded_length_is_taken_as_other_libraries_take_it(void **state) {
  (void)state;
  const uint8_t bytes[] = {0x81, 0x80, 0x80, 0x80, 0x00, 'a'};
  struct frame frame;
  assert_int_equal(frame_parse(bytes, sizeof(bytes), 1, &frame), FRAME_COMPLETE);
  assert_int_equal(frame.body_length, 1);
  assert_int_equal(frame.header_length, FRAME_HEADER_MAX);
}

static void a_varint_is_as_long_as_wire_varint_length_says(void **state) {
  (void)state;
  for (unsigned bit = 0; bit < 64; bit++)
    for (int less = 0; less <= 1; less++) {
      uint8_t bytes[WIRE_VARINT_MAX];
      uint64_t value = ((uint64_t)1 << bit) - (uint64_t)less;
      size_t length = (size_t)(wire_put_varint(bytes, value) - bytes);
      assert_int_equal(length, wire_varint_length(value));
      uint64_t back = 0;
      for (size_t i = 0; i < length; i++) {
        assert_int_equal(bytes[i] >> 7, i + 1 < length);
        back |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
      }
      assert_true(back == value);
    }
  assert_int_equal(wire_varint_length(UINT64_MAX), WIRE_VARINT_MAX);
}

static void fields_are_written_as_protobuf_says(void **state) {
  (void)state;
  /* The examples of the protobuf encoding guide: field 1 = 150, field 2 = "testing". */
  static const uint8_t expected[] = {0x08, 0x96, 0x01, 0x12, 0x07, 't', 'e', 's', 't', 'i', 'n', 'g'};
  uint8_t bytes[32];
  uint8_t *end = wire_put_uint(bytes, 1, 150);
  end = wire_put_string(end, 2, "testing", 7);
  assert_int_equal(end - bytes, sizeof(expected));
  assert_memory_equal(bytes, expected, sizeof(expected));
}

static void a_field_over_15_has_a_tag_of_two_octets(void **state) {
  (void)state;
  static const uint8_t expected[] = {0x80, 0x01, 0x05, 0x82, 0x01, 0x01, 'x'};
  uint8_t bytes[16];
  uint8_t *end = wire_put_uint(bytes, 16, 5);
  end = wire_put_string(end, 16, "x", 1);
  assert_int_equal(end - bytes, sizeof(expected));
  assert_memory_equal(bytes, expected, sizeof(expected));
}

static void defaults_are_not_written(void **state) {
  (void)state;
  uint8_t bytes[4];
  assert_ptr_equal(wire_put_uint(bytes, 1, 0), bytes);
  assert_ptr_equal(wire_put_string(bytes, 1, "", 0), bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_frame_that_was_built_is_parsed_to_the_same_length),
      cmocka_unit_test(the_header_of_a_length_is_its_shortest_varint),
      cmocka_unit_test(a_frame_cut_anywhere_is_incomplete),
      cmocka_unit_test(frames_that_follow_each_other_are_parsed_one_by_one),
      cmocka_unit_test(a_length_over_the_bound_is_broken_before_its_body_comes),
      cmocka_unit_test(a_varint_longer_than_a_header_is_broken),
      cmocka_unit_test(a_length_of_35_bits_does_not_wrap_to_a_small_one),
      cmocka_unit_test(a_padded_length_is_taken_as_other_libraries_take_it),
      cmocka_unit_test(a_varint_is_as_long_as_wire_varint_length_says),
      cmocka_unit_test(fields_are_written_as_protobuf_says),
      cmocka_unit_test(a_field_over_15_has_a_tag_of_two_octets),
      cmocka_unit_test(defaults_are_not_written),
  };
  return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
