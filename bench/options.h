/*
 * options: the command line of mxway-bench.
 */
#ifndef MXWAY_BENCH_OPTIONS_H
#define MXWAY_BENCH_OPTIONS_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "condition.h"
#include "target.h"

enum { OPTIONS_TARGETS_MAX = 16, OPTIONS_ASSERTIONS_MAX = 16, OPTIONS_ERROR_SIZE = 512 };

enum options_output { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_CSV };
enum options_action { ACTION_RUN, ACTION_HELP, ACTION_VERSION };

struct options {
  enum options_action action;
  size_t target_count;
  struct target targets[OPTIONS_TARGETS_MAX];
  const char *file, *generator; /* one of them, lent from argv as all text here */
  uint64_t seed;
  unsigned connections, threads, outstanding, runs, repeats_max, verbosity;
  double rate, length_s, timeout_s, interval_s, warm_up_s; /* 0: not given, but for timeout and interval */
  uint64_t passes;
  char find_max_text[256];
  struct condition *find_max; /* NULL: nothing is searched */
  size_t assertion_count;
  const char *assertion_texts[OPTIONS_ASSERTIONS_MAX];
  struct condition *assertions[OPTIONS_ASSERTIONS_MAX];
  const char *verify_file;
  uint64_t verify_every; /* 0: not given */
  bool pins_server, pins_client, holds_idle;
  cpu_set_t server_cpus, client_cpus;
  enum options_output output;
  const char *hgrm_file, *html_file;
};

/* Reads the command line. 0, or -1 with a sentence in `error` that names the option. Fini in either case.
 * With another action than ACTION_RUN nothing else is complete. */
int options_parse(struct options *options, int argc, char **argv, char error[OPTIONS_ERROR_SIZE]);
void options_fini(struct options *options);

/* ---- options_help.c ---- */

void options_print_help(FILE *out);

#endif
