/* Any octets as a client's domain; the first octet chooses the policy. */
#include "name_invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  const struct name_policy policy = {.accept_bare_ip = data[0] & 1, .allow_single_label = data[0] & 2};
  struct name name;
  enum name_error error;
  const char *broken = name_check(data + 1, size - 1, &policy, &name, &error);
  if (!name_error_text(error))
    broken = "every error has a text";
  if (broken) {
    fprintf(stderr, "broken: %s\n", broken);
    abort();
  }
  return 0;
}
