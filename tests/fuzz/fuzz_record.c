/* Any octets as a value of the shared store: as they are; and as the octets before MAC and checksum, which
 * are then made as their writer would, sealed and not, so that what is read behind them is reached. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "record_invariants.h"
#include "record_samples.h"

static const char key[] = "mxway:1:d:shop.example";

static struct seal *seal, *other_seal;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop_if(const char *broken) {
  if (!broken)
    return;
  fprintf(stderr, "broken: %s\n", broken);
  abort();
}

static struct seal *make_seal(unsigned number) {
  char path[] = "/tmp/mxway-fuzz-XXXXXX", why[SEAL_TEXT_SIZE];
  struct seal *made = NULL;
  int fd = mkstemp(path);
  if (fd < 0 || dprintf(fd, "%064x\n", number) < 0 || seal_create(path, why, &made) != 0)
    abort();
  close(fd);
  unlink(path);
  return made;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  seal = make_seal(1);
  other_seal = make_seal(2);
  return 0;
}

/* The name that the octets say they are about, so that it is the one asked for. */
static void find_name(const uint8_t *bytes, size_t length, char name[FACTS_NAME_SIZE]) {
  size_t at = RECORD_AT_ORIGIN, name_length = 0;
  if (at < length)
    at += 1u + bytes[at];
  if (at < length)
    name_length = bytes[at++];
  if (name_length == 0 || name_length >= FACTS_NAME_SIZE || at + name_length > length) {
    memcpy(name, "shop.example", sizeof("shop.example"));
    return;
  }
  memcpy(name, bytes + at, name_length);
  name[name_length] = '\0';
}

/* The clocks of who reads: an octet of the generation, which says nothing to it, chooses how long after the
 * samples. */
static struct image_time time_of(const uint8_t *bytes, size_t length) {
  static const int64_t later_ms[] = {0, 1000, 3600000, 90000000, 2000000000, -1, -60000, -60001};
  size_t choice = length > RECORD_AT_GENERATION + 7 ? bytes[RECORD_AT_GENERATION + 7] & 7 : 0;
  return (struct image_time){record_sample_time.now_ms + later_ms[choice],
                             record_sample_time.wall_ms + later_ms[choice]};
}

static enum record_status parse(const uint8_t *bytes, size_t length, enum record_kind kind, const char *name,
                                const struct seal *with) {
  static struct record record;
  const struct image_time time = time_of(bytes, length);
  enum record_status status = record_parse_copy(bytes, length, kind, name, key, with, &time, &record);
  if (!record_status_text(status))
    stop_if("every status has a text");
  if (status == RECORD_GOOD) {
    stop_if(record.kind != kind || strcmp(record.name, name) != 0 ? "a record is about what is asked for"
                                                                  : NULL);
    stop_if(record_check(bytes, length, key, with, &time, &record));
  }
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t bytes[RECORD_MAX + SEAL_BYTES + RECORD_CHECKSUM_BYTES];
  char name[FACTS_NAME_SIZE];
  if (size > RECORD_MAX)
    return 0;
  enum record_kind kind = size > RECORD_AT_KIND && data[RECORD_AT_KIND] == 'H' ? RECORD_HOST : RECORD_DOMAIN;
  find_name(data, size, name);
  parse(data, size, kind, name, NULL);
  memcpy(bytes, data, size);
  size_t plain_length = record_close(bytes, size, key, NULL);
  enum record_status plain = parse(bytes, plain_length, kind, name, NULL);
  if (plain == RECORD_GOOD && parse(bytes, plain_length, kind, name, seal) != RECORD_BAD_MAC)
    stop_if("who has a key does not believe what has no MAC");
  size_t sealed_length = record_close(bytes, size, key, seal);
  enum record_status sealed = parse(bytes, sealed_length, kind, name, seal);
  if (size > RECORD_AT_SEALED && sealed_length <= RECORD_MAX && sealed != plain)
    stop_if("a seal changes nothing about what is in it");
  if (sealed == RECORD_GOOD && parse(bytes, sealed_length, kind, name, other_seal) != RECORD_BAD_MAC)
    stop_if("a seal is of its key");
  return 0;
}
