/*
 * format: figures as people read them: three digits and a unit.
 *
 * "1.24 M/s", "0.41 us", "12.4 MiB". What is not known (NAN) is "-". ASCII only, so that columns
 * can be padded by printf. Pure; each result is a value, good to the end of the full expression it is in.
 */
#ifndef MXWAY_BENCH_FORMAT_H
#define MXWAY_BENCH_FORMAT_H

#include <stdint.h>
#include <stdio.h>

struct format_text {
  char text[40];
};

struct format_text format_rate(double per_second); /* "1.24 M/s" */
struct format_text format_time(double us);         /* "0.41 us", "1.24 ms", "3.00 s" */
struct format_text format_seconds(double s);       /* "10 s", "0.25 s": a length someone chose */
struct format_text format_ratio(double ratio);     /* "1.24", "0.031" */
struct format_text format_times(double ratio);     /* "1.24x" */
struct format_text format_share(double share);     /* of 1: "99.5 %"; never rounded to 0 or to 100 */
struct format_text format_bytes(uint64_t bytes);   /* "12.4 MiB" */
struct format_text format_count(uint64_t count);   /* "1,234,567" */

/* Marks of an axis, which are round: "1 ms", "500 k/s". */
struct format_text format_tick(double us);
struct format_text format_rate_tick(double per_second);

/* Text from outside as UTF-8 without control characters: nothing in it drives a terminal. Returns the
 * columns it takes. */
size_t format_print_clean(FILE *out, const char *text);

#endif
