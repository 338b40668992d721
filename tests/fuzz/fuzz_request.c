/* Any octets as a LookupRequest: accepted or refused as protobuf-c does, with the same values. */
#include "request_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  request_pair_check(data, size);
  return 0;
}
