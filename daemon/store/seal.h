/*
 * seal: a keyed MAC over what lies in the shared store, so that nobody who can write there but has no key
 * can tell a daemon anything.
 *
 * The key is 32 octets, written as 64 hexadecimal digits on a line of a file (`openssl rand -hex 32`). A file
 * may have up to SEAL_KEYS_MAX lines: the first makes seals, each is good to check one with, so that a key is
 * changed without a moment in which the daemons do not believe each other. Empty lines, and lines that begin
 * with
 * '#', are skipped.
 *
 * The MAC is BLAKE2b with a key (RFC 7693 section 2.9), of 32 octets, over a context and the octets: what was
 * sealed in one context is nothing in another. It says who wrote, not when: what was once sealed can be put
 * back later, so what is sealed has to say until when it holds.
 *
 * Keys lie in memory that is locked, left out of dumps, readable only, between guard pages, and wiped when it
 * is given up. Checking takes as long whatever differs. One seal may be used by several threads at once.
 */
#ifndef MXWAY_DAEMON_SEAL_H
#define MXWAY_DAEMON_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEAL_BYTES = 32, SEAL_KEYS_MAX = 4, SEAL_TEXT_SIZE = 256 };

struct seal;

/* Reads the keys of the file `path`, which others cannot read (see secret). Returns 0; or ERR_CONFIG,
 * ERR_NOMEM and a sentence for people in `why`, which never holds a part of a key. */
int seal_create(const char *path, char why[SEAL_TEXT_SIZE], struct seal **seal);

/* Wipes the keys. */
void seal_destroy(struct seal *seal);

/* The MAC, with the first key. */
void seal_make(const struct seal *seal, const void *context, size_t context_length, const void *bytes,
               size_t length, uint8_t mac[SEAL_BYTES]);

/* Whether `mac` is theirs with any of the keys. */
bool seal_is_good(const struct seal *seal, const void *context, size_t context_length, const void *bytes,
                  size_t length, const uint8_t mac[SEAL_BYTES]);

#endif
