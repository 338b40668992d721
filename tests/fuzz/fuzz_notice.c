/* Any octets as an entry of the list of purges: as they are; and as the octets before MAC and checksum, which
 * are then made as their writer would, sealed and not, so that what is read behind them is reached. */
#include "made_seal.h"
#include "notice_samples.h"

static struct seal *seal, *other_seal;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop_if(const char *broken) {
  if (!broken)
    return;
  fprintf(stderr, "broken: %s\n", broken);
  abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  seal = make_seal(1);
  other_seal = make_seal(2);
  return 0;
}

static enum notice_status parse(const uint8_t *bytes, size_t length, const struct seal *with) {
  static struct notice notice;
  enum notice_status status = notice_parse_copy(bytes, length, notice_sample_key, with, &notice);
  if (!notice_status_text(status))
    stop_if("every status has a text");
  if (status == NOTICE_GOOD)
    stop_if(notice_check(bytes, length, notice_sample_key, with, &notice));
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t bytes[NOTICE_MAX + SEAL_BYTES + NOTICE_CHECKSUM_BYTES];
  if (size > NOTICE_MAX)
    return 0;
  parse(data, size, NULL);
  memcpy(bytes, data, size);
  size_t plain_length = notice_close(bytes, size, notice_sample_key, NULL);
  enum notice_status plain = parse(bytes, plain_length, NULL);
  if (plain == NOTICE_GOOD && parse(bytes, plain_length, seal) != NOTICE_BAD_MAC)
    stop_if("who has a key does not believe what has no MAC");
  size_t sealed_length = notice_close(bytes, size, notice_sample_key, seal);
  enum notice_status sealed = parse(bytes, sealed_length, seal);
  if (size > NOTICE_AT_SEALED && sealed_length <= NOTICE_MAX && sealed != plain)
    stop_if("a seal changes nothing about what is in it");
  if (sealed == NOTICE_GOOD && parse(bytes, sealed_length, other_seal) != NOTICE_BAD_MAC)
    stop_if("a seal is of its key");
  return 0;
}
