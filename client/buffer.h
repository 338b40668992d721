/*
 * buffer: octets between a socket and whoever makes or reads them.
 *
 * Octets are appended at `end` and taken from `start`; start <= end <= capacity.
 * The caller bounds what is inside. Memory is kept until fini.
 */
#ifndef MXWAY_CLIENT_BUFFER_H
#define MXWAY_CLIENT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mxway_buffer {
  uint8_t *octets; /* NULL before the first reserve */
  size_t start, end, capacity;
};

static inline size_t mxway_buffer_length(const struct mxway_buffer *buffer) {
  return buffer->end - buffer->start;
}

/* Makes room for `room` octets behind the end; moves what is inside. Returns false without memory. */
bool mxway_buffer_reserve(struct mxway_buffer *buffer, size_t room);

/* Takes `length` octets, which are there, from the start. */
void mxway_buffer_take(struct mxway_buffer *buffer, size_t length);

void mxway_buffer_fini(struct mxway_buffer *buffer);

#endif
