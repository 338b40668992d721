/*
 * namelist: names that wait for their turn, first in, first out, in one block of memory.
 *
 * Each is an octet with its length and then so many octets, whatever they are. Bounds: NAMELIST_MAX_BYTES in
 * all. Cost: constant a name, but for the growth of the block, and moving what is left of it to its start.
 */
#ifndef MXWAY_DAEMON_NAMELIST_H
#define MXWAY_DAEMON_NAMELIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAMELIST_LEAST_BYTES = 16384, NAMELIST_MAX_BYTES = 2 << 20, NAMELIST_TEXT_MAX = 255 };

/* Zeroed it is empty. */
struct namelist {
  uint8_t *octets;
  size_t at, end, size; /* names lie from `at` to `end` */
  size_t count;
};

/* Frees what it took; it is empty then. */
void namelist_fini(struct namelist *list);

/* Adds a name of at most NAMELIST_TEXT_MAX octets. False without room or memory, and nothing has changed. */
bool namelist_put(struct namelist *list, const char *text, size_t length);

/* Takes the first name, which must be there, into `text`, terminated. Returns its length. */
size_t namelist_take(struct namelist *list, char text[NAMELIST_TEXT_MAX + 1]);

#endif
