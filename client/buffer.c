#include "buffer.h"

#include <stdlib.h>
#include <string.h>

bool mxway_buffer_reserve(struct mxway_buffer *buffer, size_t room) {
  if (buffer->capacity - buffer->end >= room)
    return true;
  size_t length = mxway_buffer_length(buffer);
  if (buffer->start > 0) {
    memmove(buffer->octets, buffer->octets + buffer->start, length);
    buffer->start = 0;
    buffer->end = length;
  }
  if (buffer->capacity - length >= room)
    return true;
  size_t capacity = buffer->capacity ? buffer->capacity : 4096;
  while (capacity - length < room)
    capacity *= 2;
  uint8_t *octets = realloc(buffer->octets, capacity);
  if (!octets)
    return false;
  buffer->octets = octets;
  buffer->capacity = capacity;
  return true;
}

void mxway_buffer_take(struct mxway_buffer *buffer, size_t length) {
  buffer->start += length;
  if (buffer->start == buffer->end)
    buffer->start = buffer->end = 0;
}

void mxway_buffer_fini(struct mxway_buffer *buffer) {
  free(buffer->octets);
  *buffer = (struct mxway_buffer){0};
}
