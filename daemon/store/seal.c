#include "store/seal.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/secret.h"

enum { KEY_BYTES = 32, FILE_MAX = 4096 };

_Static_assert(KEY_BYTES <= (int)crypto_generichash_KEYBYTES_MAX, "the key of BLAKE2b");
_Static_assert((int)SEAL_TEXT_SIZE == (int)SECRET_REASON_SIZE, "a reason of one is one of the other");
_Static_assert(SEAL_BYTES <= (int)crypto_generichash_BYTES_MAX, "the digest of BLAKE2b");

struct seal {
  size_t count;
  uint8_t keys[SEAL_KEYS_MAX][KEY_BYTES];
};

/* ---- the file ---- */

/* What of a key file is read, in memory like that of the keys. */
struct text {
  size_t length;
  char octets[FILE_MAX + 1];
};

/* One line as a key, or not one. */
static bool read_key(const char *line, size_t length, uint8_t key[KEY_BYTES]) {
  return length == 2 * (size_t)KEY_BYTES &&
         sodium_hex2bin(key, KEY_BYTES, line, length, NULL, NULL, NULL) == 0;
}

static bool is_space(char octet) { return octet == ' ' || octet == '\t' || octet == '\r'; }

static int read_keys(const char *path, const struct text *text, char why[SEAL_TEXT_SIZE], struct seal *seal) {
  const char *at = text->octets, *end = at + text->length;
  seal->count = 0;
  for (unsigned number = 1; at < end; number++) {
    const char *start = at, *stop = memchr(at, '\n', (size_t)(end - at));
    stop = stop ? stop : end;
    at = stop + 1;
    while (start < stop && is_space(*start))
      start++;
    while (stop > start && is_space(stop[-1]))
      stop--;
    if (start == stop || *start == '#')
      continue;
    if (seal->count == SEAL_KEYS_MAX) {
      snprintf(why, SEAL_TEXT_SIZE, "%.120s: has more than %d keys", path, SEAL_KEYS_MAX);
      return ERR_CONFIG;
    }
    if (!read_key(start, (size_t)(stop - start), seal->keys[seal->count++])) {
      snprintf(why, SEAL_TEXT_SIZE, "%.120s: line %u is no key: expected %d hexadecimal digits", path, number,
               2 * KEY_BYTES);
      return ERR_CONFIG;
    }
  }
  if (seal->count > 0)
    return 0;
  snprintf(why, SEAL_TEXT_SIZE, "%.120s: has no key", path);
  return ERR_CONFIG;
}

static int read_file(const char *path, struct text *text, char why[SEAL_TEXT_SIZE]) {
  int error = ERR_CONFIG;
  ssize_t got = 1;
  int fd = secret_open(path, why);
  if (fd < 0)
    return fd;
  text->length = 0;
  while (text->length <= FILE_MAX && got != 0) {
    got = read(fd, text->octets + text->length, FILE_MAX + 1 - text->length);
    if (got < 0 && errno != EINTR) {
      snprintf(why, SEAL_TEXT_SIZE, "%.120s: %s", path, strerror(errno));
      goto done;
    }
    text->length += got > 0 ? (size_t)got : 0;
  }
  if (got == 0)
    error = 0;
  else
    snprintf(why, SEAL_TEXT_SIZE, "%.120s: is too long: expected at most %d octets", path, FILE_MAX);
done:
  close(fd);
  return error;
}

/* ---- the room ---- */

int seal_create(const char *path, char why[SEAL_TEXT_SIZE], struct seal **seal) {
  struct seal *made = NULL;
  struct text *text = NULL;
  int error = ERR_NOMEM;
  snprintf(why, SEAL_TEXT_SIZE, "%.120s: no memory for its keys", path);
  if (sodium_init() < 0)
    goto done;
  made = sodium_malloc(sizeof(*made));
  text = sodium_malloc(sizeof(*text));
  if (!made || !text)
    goto done;
  error = read_file(path, text, why);
  if (error == 0)
    error = read_keys(path, text, why, made);
  if (error == 0) {
    sodium_mprotect_readonly(made);
    *seal = made;
    made = NULL;
  }
done:
  sodium_free(text);
  sodium_free(made);
  return error;
}

void seal_destroy(struct seal *seal) { sodium_free(seal); }

static void digest_with(const uint8_t key[KEY_BYTES], const void *context, size_t context_length,
                        const void *bytes, size_t length, uint8_t mac[SEAL_BYTES]) {
  crypto_generichash_state state;
  uint8_t before[8];
  for (size_t i = 0; i < sizeof(before); i++)
    before[i] = (uint8_t)((uint64_t)context_length >> 8 * i);
  crypto_generichash_init(&state, key, KEY_BYTES, SEAL_BYTES);
  crypto_generichash_update(&state, before, sizeof(before));
  crypto_generichash_update(&state, context, context_length);
  crypto_generichash_update(&state, bytes, length);
  crypto_generichash_final(&state, mac, SEAL_BYTES);
  sodium_memzero(&state, sizeof(state));
}

void seal_make(const struct seal *seal, const void *context, size_t context_length, const void *bytes,
               size_t length, uint8_t mac[SEAL_BYTES]) {
  digest_with(seal->keys[0], context, context_length, bytes, length, mac);
}

bool seal_is_good(const struct seal *seal, const void *context, size_t context_length, const void *bytes,
                  size_t length, const uint8_t mac[SEAL_BYTES]) {
  uint8_t own[SEAL_BYTES];
  bool is_good = false;
  for (size_t i = 0; i < seal->count; i++) {
    digest_with(seal->keys[i], context, context_length, bytes, length, own);
    is_good |= sodium_memcmp(own, mac, SEAL_BYTES) == 0;
  }
  sodium_memzero(own, sizeof(own));
  return is_good;
}
