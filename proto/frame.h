/*
 * frame: varint-delimited messages on a byte stream.
 *
 * A frame is the length of its body as a varint, then the body: the delimited
 * stream of the protobuf libraries. Used by the daemon and by the client
 * library. Pure; every length is bounded before a byte of the body is touched.
 */
#ifndef MXWAY_PROTO_FRAME_H
#define MXWAY_PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum {
  FRAME_HEADER_MAX = 5,          /* octets of a length */
  FRAME_REQUEST_MAX = 64 * 1024, /* octets of a request's body */
  FRAME_REPLY_MAX = 1024 * 1024, /* octets of a reply's body */
};

enum frame_state {
  FRAME_COMPLETE,   /* a whole frame */
  FRAME_INCOMPLETE, /* so far good, more octets are needed */
  FRAME_BROKEN,     /* a length over the bound or not a varint: the stream is lost */
};

struct frame {
  const uint8_t *body; /* into the bytes given */
  size_t body_length;
  size_t header_length; /* 1 to FRAME_HEADER_MAX */
};

/* Reads the frame at the start of `bytes`. COMPLETE fills `frame`; INCOMPLETE
 * fills only header_length and body_length, and only where the whole header is
 * there (else header_length is 0). */
static inline enum frame_state frame_parse(const uint8_t *bytes, size_t length, size_t body_max,
                                           struct frame *frame);

/* As frame_parse, for a header of any length. */
enum frame_state frame_parse_any(const uint8_t *bytes, size_t length, size_t body_max, struct frame *frame);

/* Writes the header for a body of `body_length` octets; returns its length. */
size_t frame_build_header(uint8_t header[FRAME_HEADER_MAX], size_t body_length);

/* Most requests have less than 128 octets: one glance tells that they are there. */
static inline enum frame_state frame_parse(const uint8_t *bytes, size_t length, size_t body_max,
                                           struct frame *frame) {
  if (length == 0 || bytes[0] >= 0x80 || bytes[0] >= length || bytes[0] > body_max)
    return frame_parse_any(bytes, length, body_max, frame);
  *frame = (struct frame){bytes + 1, bytes[0], 1};
  return FRAME_COMPLETE;
}

#endif
