/*
 * random: a fast generator for shuffles and jitter, and the kernel's for what
 * strangers must not guess.
 *
 * struct random is one thread's; it is not for secrets.
 */
#ifndef MXWAY_DAEMON_RANDOM_H
#define MXWAY_DAEMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
  uint64_t state;
};

/* Fills `bytes` from getrandom(2); does not fail once the machine has booted. */
void random_bytes(void *bytes, size_t length);

/* Seeds from the kernel. */
void random_init(struct random *random);

/* The next 64 bits (SplitMix64). */
static inline uint64_t random_next(struct random *random) {
  uint64_t z = (random->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* A number in [0, bound), each equally likely to within 2^-32. Requires 0 < bound. */
static inline uint32_t random_below(struct random *random, uint32_t bound) {
  return (uint32_t)(((random_next(random) >> 32) * bound) >> 32);
}

#endif
