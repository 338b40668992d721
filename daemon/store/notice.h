/*
 * notice: what one node tells the others: what is to be purged; as octets, an entry of a list in the shared
 * store.
 *
 * In the pieces of `octets`:
 *
 *   4 octets "mxwp"; u8 version (1); u8 whether sealed; u8 what
 *   u64 origin: a random number of the process that tells
 *   u64 number of the purge that it had followed last, 0: none (see followed)
 *   u16 octets of the names; the names, each a text
 *   where sealed, 32 octets: MAC of all before it in the context of the list's key (see seal)
 *   u64 XXH3-64 of all before it
 *
 * What is a letter: 'D' domains, with one name or more; 'S' all at and below a name, 'X' what leads to an
 * exchange, with one; 'N' denials, 'F' failures, 'A' all, 'B' nothing, without: that begins a list, or says
 * how far one that was lost had been followed.
 *
 * Reading trusts nothing: what is not as it was written is refused, and so is what is but could not have been
 * written here. With a key only what is sealed with it is believed. A MAC says who told, not when: whoever
 * can write to the store can tell again what was told once, which makes a node forget, and believe nothing.
 *
 * Pure.
 */
#ifndef MXWAY_DAEMON_NOTICE_H
#define MXWAY_DAEMON_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/name.h"
#include "store/seal.h"

enum {
  NOTICE_VERSION = 1,
  NOTICE_KEPT = 256,         /* the last in the list */
  NOTICE_NAMES_BYTES = 1800, /* some hundred names */
  NOTICE_HEAD_BYTES = 25,
  NOTICE_MAX = NOTICE_HEAD_BYTES + NOTICE_NAMES_BYTES + SEAL_BYTES + 8,
};

enum purge_what {
  PURGE_OF_DOMAIN,   /* a name */
  PURGE_OF_SUFFIX,   /* a name and all below it */
  PURGE_OF_EXCHANGE, /* all domains with an exchange, and its addresses */
  PURGE_OF_NEGATIVE, /* denials: NXDOMAIN, NODATA (RFC 2308), of domains and of addresses */
  PURGE_OF_FAILURES,
  PURGE_OF_ALL,
};

struct notice {
  uint64_t origin;
  bool is_beginning; /* nothing is to be purged, and `what` says nothing */
  uint64_t followed; /* the purge that who tells it had followed last; 0: none */
  enum purge_what what;
  uint16_t length; /* of the names */
  uint8_t names[NOTICE_NAMES_BYTES];
};

/* Without names yet. */
void notice_init(struct notice *notice, enum purge_what what);

/* Adds a name that is canonical. False where it has no room. */
bool notice_add(struct notice *notice, const struct name *name);

/* Gives the name at `*at`, 0 at first, and moves on. False at the end. */
bool notice_next(const struct notice *notice, size_t *at, struct name *name);

/* Packs `notice`, which has the names that `what` needs, for the list at `key` (terminated), sealed where
 * there is a `seal` (NULL: none). Returns the octets written. */
size_t notice_pack(uint8_t at[NOTICE_MAX], const struct notice *notice, const char *key,
                   const struct seal *seal);

enum notice_status {
  NOTICE_GOOD,
  NOTICE_TOO_LONG,        /* over NOTICE_MAX: not looked into */
  NOTICE_NO_NOTICE,       /* it does not begin as one */
  NOTICE_UNKNOWN_VERSION, /* of another mxway */
  NOTICE_BAD_CHECKSUM,    /* changed, or cut off */
  NOTICE_BAD_MAC,         /* not sealed with a key of ours for this list */
  NOTICE_IMPOSSIBLE,      /* its checksum is right, what it says cannot be */
};

/* Reads an entry of the list at `key`. NOTICE_GOOD fills `notice`, else it is undefined. Any octets at all
 * may be given. */
enum notice_status notice_parse(const uint8_t *bytes, size_t length, const char *key, const struct seal *seal,
                                struct notice *notice);

/* What is wrong, as a clause for people; static storage. */
const char *notice_status_text(enum notice_status status);

#endif
