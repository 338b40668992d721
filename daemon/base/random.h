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

enum { RANDOM_PLACES_OF_DRAW = 4 };

/* Makes the first `wanted` of `count` places a random choice in random order (Fisher and Yates, stopped
 * early). Each outcome is equally likely to within 2^-32: a draw serves four places, of which its product
 * with each number of choices has one above its point, and what the next is drawn from below it. */
static inline void random_shuffle(struct random *random, uint8_t places[], uint8_t count, uint8_t wanted) {
  __extension__ typedef unsigned __int128 product;
  uint64_t rest = 0;
  size_t last = wanted < count ? wanted : count - 1u; /* nothing is left to choose then */
  for (size_t i = 0; count > 0 && i < last; i++) {
    if (i % RANDOM_PLACES_OF_DRAW == 0)
      rest = random_next(random);
    product choice = (product)rest * (count - i);
    uint8_t *other = &places[i + (size_t)(choice >> 64)], kept = places[i];
    rest = (uint64_t)choice;
    places[i] = *other;
    *other = kept;
  }
}

#endif
