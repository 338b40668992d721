/*
 * faults: what is done wrong on purpose, by name pattern and type.
 *
 * All rules that match a question apply, in the order given: the last one decides on each of delay, loss and
 * answer. Chances depend on nothing but the number that the caller hands in.
 */
#ifndef MXWAY_BENCH_UPSTREAM_FAULTS_H
#define MXWAY_BENCH_UPSTREAM_FAULTS_H

#include <stdio.h>

#include "record.h"

enum fault_answer {
  FAULT_NONE,
  FAULT_SILENT,
  FAULT_SERVFAIL,
  FAULT_REFUSED,
  FAULT_NOTIMP,
  FAULT_FORMERR,
  FAULT_TC,
  FAULT_GARBAGE,
  FAULT_TRUNCATE,
  FAULT_WRONG_ID,
  FAULT_WRONG_QUESTION,
  FAULT_NO_EDNS,
  FAULT_COUNT
};

enum { FAULTS_ERROR_SIZE = 256, FAULT_DELAY_MAX_MS = 3600000 };

struct fault {
  enum fault_answer answer;
  uint64_t delay_ns;
  bool is_lost;
};

struct faults;

struct faults *faults_create(void);
void faults_destroy(struct faults *faults);

/* Adds a rule "PATTERN[/TYPE]=WHAT". Returns 0, or -1 with a sentence in `error`. */
int faults_add(struct faults *faults, const char *rule, char error[FAULTS_ERROR_SIZE]);

/* What happens to a question; `draw` is a random number. Counts the rules' use. */
struct fault faults_judge(struct faults *faults, const struct dname *name, uint16_t type, uint64_t draw);

/* A line "fault RULE COUNT" for each. */
void faults_print(const struct faults *faults, FILE *out);

#endif
