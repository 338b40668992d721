#include "base/namelist.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void namelist_fini(struct namelist *list) {
  free(list->octets);
  *list = (struct namelist){0};
}

/* Room for `bytes` more behind the end; false where there is none. */
static bool make_room(struct namelist *list, size_t bytes) {
  if (list->at > 0) {
    list->end -= list->at;
    memmove(list->octets, list->octets + list->at, list->end);
    list->at = 0;
  }
  size_t size = list->size > 0 ? list->size : NAMELIST_LEAST_BYTES;
  while (size < list->end + bytes)
    size *= 2;
  if (size == list->size)
    return true;
  uint8_t *octets = size <= NAMELIST_MAX_BYTES ? realloc(list->octets, size) : NULL;
  if (!octets)
    return false;
  list->octets = octets;
  list->size = size;
  return true;
}

bool namelist_put(struct namelist *list, const char *text, size_t length) {
  assert(length <= NAMELIST_TEXT_MAX);
  if (list->end + 1 + length > list->size && !make_room(list, 1 + length))
    return false;
  list->octets[list->end] = (uint8_t)length;
  memcpy(list->octets + list->end + 1, text, length);
  list->end += 1 + length;
  list->count++;
  return true;
}

size_t namelist_take(struct namelist *list, char text[NAMELIST_TEXT_MAX + 1]) {
  assert(list->count > 0);
  size_t length = list->octets[list->at];
  memcpy(text, list->octets + list->at + 1, length);
  text[length] = '\0';
  list->at += 1 + length;
  if (--list->count == 0)
    list->at = list->end = 0;
  return length;
}
