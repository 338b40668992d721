/*
 * wire: the few pieces of protobuf's encoding that are written by hand, so
 * that bytes packed once can be copied into many replies.
 *
 * Concatenated encodings are one message by the protobuf rules.
 */
#ifndef MXWAY_PROTO_WIRE_H
#define MXWAY_PROTO_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { WIRE_VARINT_MAX = 10 };
enum { WIRE_TYPE_VARINT = 0, WIRE_TYPE_BYTES = 2 };

/* The one-octet tag of a field numbered 1 to 15. */
#define WIRE_TAG(field, type) ((uint8_t)((field) << 3 | (type)))

static inline size_t wire_varint_length(uint64_t value) {
  size_t length = 1;
  for (; value >= 0x80; value >>= 7)
    length++;
  return length;
}

/* Each writes at `at`, which has room, and returns the end of what it wrote. */
static inline uint8_t *wire_put_varint(uint8_t *at, uint64_t value) {
  if (value < 1u << 7) { /* the usual lengths, without a loop */
    at[0] = (uint8_t)value;
    return at + 1;
  }
  if (value < 1u << 14) {
    at[0] = (uint8_t)(value | 0x80);
    at[1] = (uint8_t)(value >> 7);
    return at + 2;
  }
  if (value < 1u << 21) {
    at[0] = (uint8_t)(value | 0x80);
    at[1] = (uint8_t)(value >> 7 | 0x80);
    at[2] = (uint8_t)(value >> 14);
    return at + 3;
  }
  for (; value >= 0x80; value >>= 7)
    *at++ = (uint8_t)(value | 0x80);
  *at++ = (uint8_t)value;
  return at;
}

static inline uint8_t *wire_put_bytes(uint8_t *at, const void *bytes, size_t length) {
  memcpy(at, bytes, length);
  return at + length;
}

/* A varint field; nothing for 0, the default. The tag may need two octets. */
static inline uint8_t *wire_put_uint(uint8_t *at, unsigned field, uint64_t value) {
  if (value == 0)
    return at;
  at = wire_put_varint(at, (uint64_t)field << 3 | WIRE_TYPE_VARINT);
  return wire_put_varint(at, value);
}

/* A string or bytes field; nothing for an empty one. */
static inline uint8_t *wire_put_string(uint8_t *at, unsigned field, const void *bytes, size_t length) {
  if (length == 0)
    return at;
  at = wire_put_varint(at, (uint64_t)field << 3 | WIRE_TYPE_BYTES);
  at = wire_put_varint(at, length);
  return wire_put_bytes(at, bytes, length);
}

#endif
