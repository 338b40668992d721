/*
 * verify: what answers are expected, and which were otherwise.
 *
 * A file has lines `name<TAB>KIND[ preference host]...`, exchanges of one preference in alphabetical order,
 * such as "d1.bench.test<TAB>ROUTE 10 mx1.a.test 20 mx2.a.test"; blank lines and lines that begin with # are
 * skipped. Names are compared without regard to case and a final dot. What is expected is
 * read-only once loaded; wrong answers may be reported by any thread.
 */
#ifndef MXWAY_BENCH_VERIFY_H
#define MXWAY_BENCH_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { VERIFY_ERROR_SIZE = 256, VERIFY_SHOWN_MAX = 10 };

struct verify;

struct verify_entry {
  const char *name, *routes; /* lent until verify_destroy */
};

/* NULL with a message that names file and line in `error`. */
struct verify *verify_load(const char *path, char error[VERIFY_ERROR_SIZE]);
void verify_destroy(struct verify *verify);

/* What is expected for a name of `length` octets; NULL where the file does not say. Costs one hash. */
const struct verify_entry *verify_find(const struct verify *verify, const char *name, size_t length);

/* Whether `routes` is as expected; keeps the first VERIFY_SHOWN_MAX that are not, one for each
 * name and target. */
bool verify_check(struct verify *verify, const struct verify_entry *entry, const char *target,
                  const char *routes);

/* Prints the wrong answers that were kept; nothing without one. */
void verify_print_wrong(struct verify *verify, FILE *out);

#endif
