/* Writes what the fuzzers start from, a file a sample: fuzz_seeds FOLDER, where FOLDER/dnsmsg and FOLDER/name
 * exist. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dnsmsg_samples.h"
#include "name_samples.h"

static void write_file(const char *folder, const char *kind, const char *name, const void *bytes,
                       size_t length) {
  char path[4096];
  snprintf(path, sizeof(path), "%s/%s/%s", folder, kind, name);
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(bytes, 1, length, file) != length || fclose(file) != 0) {
    perror(path);
    exit(1);
  }
}

int main(int argc, char **argv) {
  static struct dns_builder builder;
  if (argc != 2) {
    fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
    return 64;
  }
  for (size_t i = 0; i < DNSMSG_SAMPLE_COUNT; i++) {
    dnsmsg_samples[i].build(&builder);
    write_file(argv[1], "dnsmsg", dnsmsg_samples[i].name, builder.bytes, builder.length);
  }
  for (size_t i = 0; i < NAME_SAMPLE_COUNT; i++) {
    char number[16], text[512] = "\3"; /* the policy that accepts all */
    snprintf(number, sizeof(number), "%zu", i);
    strncat(text, name_samples[i].text, sizeof(text) - 2);
    write_file(argv[1], "name", number, text, strlen(text));
  }
  return 0;
}
