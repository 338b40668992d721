/*
 * made_seal: a seal with a key of the test's own.
 */
#ifndef MXWAY_TESTS_MADE_SEAL_H
#define MXWAY_TESTS_MADE_SEAL_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/seal.h"

static inline struct seal *make_seal(unsigned number) {
  char path[] = "/tmp/mxway-test-XXXXXX", why[SEAL_TEXT_SIZE];
  struct seal *made = NULL;
  int fd = mkstemp(path);
  if (fd < 0 || dprintf(fd, "%064x\n", number) < 0 || seal_create(path, why, &made) != 0)
    abort();
  close(fd);
  unlink(path);
  return made;
}

#endif
