#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

void random_bytes(void *bytes, size_t length) {
  uint8_t *at = bytes;
  while (length > 0) {
    ssize_t got = getrandom(at, length, 0);
    assert(got >= 0 || errno == EINTR);
    if (got > 0) {
      at += got;
      length -= (size_t)got;
    }
  }
}

void random_init(struct random *random) { random_bytes(&random->state, sizeof(random->state)); }
