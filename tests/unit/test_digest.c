#include "cmocka_compat.h"

#include <string.h>

#include "base/digest.h"

/* Of the reference implementation: other machines and later versions must agree. */

static void digests_of_64_bits_are_those_of_xxh3(void **state) {
  (void)state;
  assert_true(digest_64("", 0, 0) == UINT64_C(0x2d06800538d394c2));
  assert_true(digest_64("mx1.example.test", 16, 0) == UINT64_C(0xf2612f87bf7ddbf5));
  assert_true(digest_64("mx1.example.test", 16, 1) == UINT64_C(0x6beb32cc99a8cb2d));
}

static void digests_of_128_bits_begin_with_the_most_significant_octet(void **state) {
  (void)state;
  static const uint8_t of_nothing[DIGEST_LENGTH] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                                    0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
  uint8_t digest[DIGEST_LENGTH];
  digest_128("", 0, digest);
  assert_memory_equal(digest, of_nothing, DIGEST_LENGTH);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(digests_of_64_bits_are_those_of_xxh3),
      cmocka_unit_test(digests_of_128_bits_begin_with_the_most_significant_octet),
  };
  return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
