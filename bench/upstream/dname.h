/*
 * dname: a DNS name in wire form, in small letters.
 *
 * Pure. Octets of any value; 255 octets at most with the root's (RFC 1035 section 2.3.4).
 */
#ifndef MXWAY_BENCH_UPSTREAM_DNAME_H
#define MXWAY_BENCH_UPSTREAM_DNAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DNAME_MAX = 255, DNAME_TEXT_SIZE = 4 * DNAME_MAX + 1 };

struct dname {
  uint8_t length; /* with the root's octet: at least 1 */
  uint8_t bytes[DNAME_MAX];
};

/* Reads master-file text (\DDD, \C; RFC 1035 section 5.1). What does not end in a dot is relative to
 * `origin`, or to the root where that is NULL. "@" is no name here. */
bool dname_parse(const char *text, size_t length, const struct dname *origin, struct dname *out);

/* Reads the name at *at of a message and moves *at behind it. Compression is refused: no
 * question needs it. */
bool dname_read(const uint8_t *message, size_t length, size_t *at, struct dname *out);

/* Prints without the last dot, the root as ".". Returns `text`. */
const char *dname_text(const struct dname *name, char text[DNAME_TEXT_SIZE]);

bool dname_equal(const struct dname *a, const struct dname *b);

/* The name without its first label; the root's is the root. */
void dname_parent(const struct dname *name, struct dname *parent);

/* Whether `name` is `apex` or below it. */
bool dname_is_within(const struct dname *name, const struct dname *apex);

/* `label` in front of `parent`; false where that is too long. */
bool dname_prepend(const char *label, const struct dname *parent, struct dname *out);

uint64_t dname_hash(const struct dname *name, uint64_t seed);

/* A well-mixed number of two. */
uint64_t dname_mix(uint64_t a, uint64_t b);

#endif
