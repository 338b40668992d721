#include "frame.h"

#include "wire.h"

enum frame_state frame_parse_any(const uint8_t *bytes, size_t length, size_t body_max, struct frame *frame) {
  uint64_t body_length = 0;
  size_t at = 0;
  frame->header_length = 0;
  frame->body_length = 0;
  for (;; at++) {
    if (at == FRAME_HEADER_MAX)
      return FRAME_BROKEN;
    if (at == length)
      return FRAME_INCOMPLETE;
    body_length |= (uint64_t)(bytes[at] & 0x7f) << (7 * at);
    if (!(bytes[at] & 0x80))
      break;
  }
  if (body_length > body_max)
    return FRAME_BROKEN;
  frame->header_length = at + 1;
  frame->body_length = (size_t)body_length;
  frame->body = bytes + frame->header_length;
  return length - frame->header_length < frame->body_length ? FRAME_INCOMPLETE : FRAME_COMPLETE;
}

size_t frame_build_header(uint8_t header[FRAME_HEADER_MAX], size_t body_length) {
  return (size_t)(wire_put_varint(header, body_length) - header);
}
