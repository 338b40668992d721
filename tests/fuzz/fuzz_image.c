/* Any octets as a file for `mxway load`: as they are, and with the checksums that they lack. */
#include "image_invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop_if(const char *broken) {
  if (!broken)
    return;
  fprintf(stderr, "broken: %s\n", broken);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t repaired[IMAGE_CHECK_MAX];
  static struct stats stats;
  static struct cache *cache;
  if (!cache) {
    name_hash_init();
    cache = cache_create(IMAGE_SAMPLE_CACHE_BYTES, IMAGE_SAMPLE_STALE_MS, &stats);
  }
  if (!cache || size > IMAGE_CHECK_MAX)
    return 0;
  stop_if(image_check(cache, data, size));
  memcpy(repaired, data, size);
  image_repair(repaired, size);
  stop_if(image_check(cache, repaired, size));
  return 0;
}
