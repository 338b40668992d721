/*
 * memory_guard: makes memory read-only, to see who writes it.
 *
 * What a thread of its own has allocated lies, with glibc, in mappings of its own: a whole one can be guarded
 * without what others allocate.
 */
#ifndef MXWAY_TESTS_MEMORY_GUARD_H
#define MXWAY_TESTS_MEMORY_GUARD_H

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_compat.h"

struct memory_mapping {
  uintptr_t start, end; /* 0: none */
};

/* The mapping around `inside`. */
static inline struct memory_mapping memory_find(const void *inside) {
  struct memory_mapping mapping = {0, 0}, line;
  char text[512];
  FILE *file = fopen("/proc/self/maps", "re");
  assert_non_null(file);
  while (mapping.end == 0 && fgets(text, sizeof(text), file))
    if (sscanf(text, "%" SCNxPTR "-%" SCNxPTR, &line.start, &line.end) == 2 &&
        line.start <= (uintptr_t)inside && (uintptr_t)inside < line.end)
      mapping = line;
  fclose(file);
  assert_true(mapping.end > 0);
  return mapping;
}

static inline bool memory_contains(const struct memory_mapping *mapping, const void *block) {
  return mapping->start <= (uintptr_t)block && (uintptr_t)block < mapping->end;
}

/* Lets `act` run in a child that cannot write the mappings. Returns how it ended, as waitpid does: by SIGSEGV
 * where it tried to, with 0 where it did not and `act` returned true. */
static inline int memory_run_guarded(const struct memory_mapping *mappings, size_t count,
                                     bool (*act)(void *context), void *context) {
  int status;
  pid_t child = fork();
  assert_return_code(child, errno);
  if (child == 0) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL); /* cmocka has a handler */
    for (size_t i = 0; i < count; i++)
      if (mprotect((void *)mappings[i].start, mappings[i].end - mappings[i].start, PROT_READ) != 0)
        _exit(2);
    _exit(!act(context));
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

#endif
