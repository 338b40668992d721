#include "base/digest.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t digest_64(const void *bytes, size_t length, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes, length, seed);
}

void digest_128(const void *bytes, size_t length, uint8_t digest[DIGEST_LENGTH]) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, length));
  _Static_assert(sizeof(canonical.digest) == DIGEST_LENGTH, "128 bits");
  memcpy(digest, canonical.digest, DIGEST_LENGTH);
}
