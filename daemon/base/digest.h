/*
 * digest: hashes that are the same in every process, on every machine, for ever.
 *
 * For what several daemons must agree on: which exchange a key keeps, which domains are one site.
 * Strangers can compute them, so nothing that must stay balanced hangs on them (see name_hash).
 * XXH3 as its 0.8 specification fixes it. Pure.
 */
#ifndef MXWAY_DAEMON_DIGEST_H
#define MXWAY_DAEMON_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_LENGTH = 16 };

/* XXH3_64bits_withSeed. */
uint64_t digest_64(const void *bytes, size_t length, uint64_t seed);

/* XXH3_128bits in its canonical form: the most significant octet first. */
void digest_128(const void *bytes, size_t length, uint8_t digest[DIGEST_LENGTH]);

#endif
