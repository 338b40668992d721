/* Writes what a fuzzer starts from, a file a sample: fuzz_seeds FOLDER ROOM, where FOLDER/ROOM exists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dnsmsg_samples.h"
#include "image_samples.h"
#include "name_samples.h"
#include "notice_samples.h"
#include "record_invariants.h"
#include "record_samples.h"

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

static void write_messages(const char *folder) {
  static struct dns_builder builder;
  for (size_t i = 0; i < DNSMSG_SAMPLE_COUNT; i++) {
    dnsmsg_samples[i].build(&builder);
    write_file(folder, "dnsmsg", dnsmsg_samples[i].name, builder.bytes, builder.length);
  }
}

static void write_images(const char *folder) {
  static uint8_t bytes[IMAGE_SAMPLE_SIZE];
  name_hash_init();
  for (size_t i = 0; i < IMAGE_SAMPLE_COUNT; i++)
    write_file(folder, "image", image_samples[i].name, bytes, image_sample_build(&image_samples[i], bytes));
}

static void write_names(const char *folder) {
  for (size_t i = 0; i < NAME_SAMPLE_COUNT; i++) {
    char number[16], text[512] = "\3"; /* the policy that accepts all */
    snprintf(number, sizeof(number), "%zu", i);
    strncat(text, name_samples[i].text, sizeof(text) - 2);
    write_file(folder, "name", number, text, strlen(text));
  }
}

/* One request with every field. */
static void write_requests(const char *folder) {
  static const char request[] =
      "\x08\x07\x12\x06"
      "d.test\x18\x01\x20\xdc\x0b\x28\x02\x32\x03key\x38\x04\x42\x08one.test"
      "\x4a\x04\x7f\0\0\1\x52\x01"
      "a\x58\x01\x60\x03\x68\x01\x70\x01\x78\x01\x80\x01\x01";
  write_file(folder, "request", "full", request, sizeof(request) - 1);
}

/* Without MAC and checksum, which the target makes. */
static void write_records(const char *folder) {
  static struct record record;
  static uint8_t bytes[RECORD_MAX];
  for (size_t i = 0; i < RECORD_SAMPLE_COUNT; i++) {
    record_samples[i].make(&record);
    record.generation = (uint64_t)i << 56; /* chooses the time at which it is read */
    size_t length = record_pack(bytes, &record, "", NULL, &record_sample_time);
    write_file(folder, "record", record_samples[i].name, bytes, length - RECORD_CHECKSUM_BYTES);
  }
}

/* The same. */
static void write_notices(const char *folder) {
  static struct notice notice;
  static uint8_t bytes[NOTICE_MAX];
  for (size_t i = 0; i < NOTICE_SAMPLE_COUNT; i++) {
    char number[16];
    notice_sample(&notice, i);
    snprintf(number, sizeof(number), "%zu", i);
    size_t length = notice_pack(bytes, &notice, notice_sample_key, NULL);
    write_file(folder, "notice", number, bytes, length - NOTICE_CHECKSUM_BYTES);
  }
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[2], "dnsmsg") == 0)
    write_messages(argv[1]);
  else if (argc == 3 && strcmp(argv[2], "image") == 0)
    write_images(argv[1]);
  else if (argc == 3 && strcmp(argv[2], "name") == 0)
    write_names(argv[1]);
  else if (argc == 3 && strcmp(argv[2], "request") == 0)
    write_requests(argv[1]);
  else if (argc == 3 && strcmp(argv[2], "record") == 0)
    write_records(argv[1]);
  else if (argc == 3 && strcmp(argv[2], "notice") == 0)
    write_notices(argv[1]);
  else
    return fprintf(stderr, "usage: fuzz_seeds FOLDER dnsmsg|image|name|notice|record|request\n"), 64;
  return 0;
}
