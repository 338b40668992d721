/*
 * notice_samples: notices as nodes tell them, for the unit test and as seeds of the fuzzer; and what holds of
 * every notice that was read, whatever a stranger wrote.
 */
#ifndef MXWAY_TESTS_NOTICE_SAMPLES_H
#define MXWAY_TESTS_NOTICE_SAMPLES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "store/notice.h"

enum { NOTICE_SAMPLE_COUNT = 8, NOTICE_AT_SEALED = 5, NOTICE_AT_WHAT = 6, NOTICE_CHECKSUM_BYTES = 8 };

static const char notice_sample_key[] = "mxway:1:purges";

static inline struct name notice_name(const char *text) {
  static const struct name_policy policy = {.accept_bare_ip = true, .allow_single_label = true};
  struct name name;
  if (name_parse((const uint8_t *)text, strlen(text), &policy, &name) != NAME_OK)
    abort();
  return name;
}

static inline void notice_sample(struct notice *notice, size_t number) {
  static const enum purge_what kinds[NOTICE_SAMPLE_COUNT] = {
      PURGE_OF_DOMAIN,   PURGE_OF_SUFFIX, PURGE_OF_EXCHANGE, PURGE_OF_NEGATIVE,
      PURGE_OF_FAILURES, PURGE_OF_ALL,    PURGE_OF_ALL,      PURGE_OF_DOMAIN};
  static const char *const names[NOTICE_SAMPLE_COUNT] = {"shop.example", "example", "2001:db8::1"};
  notice_init(notice, kinds[number]);
  notice->origin = UINT64_C(0x0123456789abcdef);
  notice->is_beginning = number == 6;
  notice->followed = number % 2 ? UINT64_C(1790000000000) << 20 : 0;
  if (names[number]) {
    struct name name = notice_name(names[number]);
    notice_add(notice, &name);
  }
  for (unsigned i = 0; number == 7; i++) { /* as many as there is room for */
    char text[32];
    snprintf(text, sizeof(text), "d%u.xn--bcher-kva.example", i);
    struct name name = notice_name(text);
    if (!notice_add(notice, &name))
      break;
  }
}

/* Parses a copy that ends where its block ends, so that AddressSanitizer sees a read beyond. */
static inline enum notice_status notice_parse_copy(const uint8_t *bytes, size_t length, const char *key,
                                                   const struct seal *seal, struct notice *notice) {
  uint8_t *copy = malloc(length ? length : 1);
  if (!copy)
    abort();
  if (length > 0)
    memcpy(copy, bytes, length);
  memset(notice, 0xa5, sizeof(*notice));
  enum notice_status status = notice_parse(copy, length, key, seal, notice);
  free(copy);
  return status;
}

/* Closes the `length` octets of a notice before MAC and checksum as its writer would. Returns its length. */
static inline size_t notice_close(uint8_t *bytes, size_t length, const char *key, const struct seal *seal) {
  if (length > NOTICE_AT_SEALED)
    bytes[NOTICE_AT_SEALED] = seal != NULL;
  if (seal) {
    seal_make(seal, key, strlen(key), bytes, length, bytes + length);
    length += SEAL_BYTES;
  }
  uint64_t checksum = digest_64(bytes, length, 0);
  for (size_t i = 0; i < NOTICE_CHECKSUM_BYTES; i++)
    bytes[length++] = (uint8_t)(checksum >> 8 * i);
  return length;
}

/* What is broken of a notice that was read from these octets; NULL: nothing. */
static inline const char *notice_check(const uint8_t *bytes, size_t length, const char *key,
                                       const struct seal *seal, const struct notice *notice) {
  uint8_t again[NOTICE_MAX];
  struct name name;
  size_t at = 0, count = 0;
  for (; notice_next(notice, &at, &name); count++)
    if (name.length == 0 || name.text[name.length] != '\0' ||
        (notice->what == PURGE_OF_DOMAIN && name.kind != NAME_DOMAIN))
      return "a name is canonical";
  bool has_name = !notice->is_beginning && notice->what <= PURGE_OF_EXCHANGE;
  if (at != notice->length || has_name != (count > 0) || (count > 1 && notice->what != PURGE_OF_DOMAIN))
    return "a notice has the names that it needs";
  if ((bytes[NOTICE_AT_SEALED] != 0) == (seal != NULL) &&
      (notice_pack(again, notice, key, seal) != length || memcmp(again, bytes, length) != 0))
    return "there is one way to write a notice";
  return NULL;
}

#endif
