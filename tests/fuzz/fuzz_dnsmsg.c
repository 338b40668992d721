/* Any octets as the reply to the question they hold, for each type we ask. */
#include <stdio.h>
#include <stdlib.h>

#include "dnsmsg.h"
#include "dnsmsg_invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const uint16_t types[] = {DNSMSG_MX, DNSMSG_A, DNSMSG_AAAA};
  static struct dnsmsg out;
  char name[DNSMSG_NAME_SIZE];
  dnsmsg_question_name(data, size, name);
  for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
    dnsmsg_parse(data, size, name, types[i], &out);
    const char *broken = dnsmsg_broken_invariant(&out, name, types[i]);
    if (broken) {
      fprintf(stderr, "invariant broken: %s\n", broken);
      abort();
    }
  }
  return 0;
}
