/*
 * queries: what is asked, from a file or from a generator.
 *
 * A file holds `name` or `name TYPE` a line, as dnsperf's do; "-" is standard
 * input; blank lines and lines that begin with # are skipped. A generator draws names of the zone
 * that mxway-upstream serves (bench/README.md): dN.bench.test by a Zipf law or uniformly,
 * nN.bench.test (NXDOMAIN) and uN-R.bench.test (never seen before) in the shares asked for.
 * Deterministic by seed. Read-only once made: any thread may draw with a cursor of its own.
 */
#ifndef MXWAY_BENCH_QUERIES_H
#define MXWAY_BENCH_QUERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUERY_NAME_SIZE = 256, QUERIES_ERROR_SIZE = 256 };

struct query {
  char name[QUERY_NAME_SIZE]; /* terminated */
  size_t length;
  uint16_t type; /* 0: none given, MX */
  size_t index;  /* of the line in the file; SIZE_MAX for a generated one */
};

struct queries;

struct query_cursor {
  const struct queries *queries;
  uint64_t random, serial, passes; /* passes: how often the file was used up */
  uint64_t unique;                 /* what new names of this cursor are mixed with */
  size_t at, first, step;
};

/* Reads `path`. NULL with a message that names file and line in `error`: a line that is no query, an
 * unknown type, a name over 253 octets, a file without a query. */
struct queries *queries_load(const char *path, char error[QUERIES_ERROR_SIZE]);

/* From `spec`: "zipf:s=1.0,n=1000000" or "uniform:n=100000", with nx=SHARE and new=SHARE (0 to 1) in
 * either. NULL with a message in `error`. */
struct queries *queries_generate(const char *spec, uint64_t seed, char error[QUERIES_ERROR_SIZE]);
void queries_destroy(struct queries *queries);

/* Queries in the file, or names (n) of the generator; whether it is a file; XXH3 of its content or spec. */
size_t queries_count(const struct queries *queries);
bool queries_is_file(const struct queries *queries);
uint64_t queries_hash(const struct queries *queries);

/* Name `index` < queries_count: the line of the file, or d<index> of the generator. */
void queries_name(const struct queries *queries, size_t index, struct query *query);

/* Cursor `index` of `count`: cursors of a file share it out evenly, those of a generator have
 * seeds of their own. `round` numbers the runs of a session: each draws the same, but for the names never
 * seen before, which are others in each round. */
void query_cursor_init(struct query_cursor *cursor, const struct queries *queries, size_t index, size_t count,
                       uint64_t round);

/* How many queries are one pass of this cursor: its share of the file or of the generator's names. */
uint64_t query_cursor_share(const struct query_cursor *cursor);

/* The next query; starts anew at the end of a file. */
void queries_next(struct query_cursor *cursor, struct query *query);

#endif
