/*
 * wishes: what one caller wants of an answer (ROUTING sections 3 and 7), decoded and made canonical.
 *
 * One flat block that can be copied by its bytes: fixed fields and a packed list of names and
 * addresses. An ordinary request has none at all (NULL), and every function here takes that as "no wish". The
 * operator's own names and addresses (self-name, self-address) are a block of the same shape.
 *
 * Names are canonical as in `name`; an IPv4 address in its mapped IPv6 form is the IPv4 address.
 * Bounds: WISHES_ITEMS_MAX names and addresses and WISHES_OCTETS_MAX octets of them, the order key
 * included. Pure.
 */
#ifndef MXWAY_DAEMON_WISHES_H
#define MXWAY_DAEMON_WISHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WISHES_ITEMS_MAX = 64, WISHES_OCTETS_MAX = 4096, WISHES_DETAIL_SIZE = 160 };

/* Numbers are those of mxway.v1.Order. */
enum order { ORDER_RANDOM, ORDER_STABLE, ORDER_KEYED, ORDER_COUNT };

/* Numbers are those of mxway.v1.Family; in a request FAMILIES_ANY is "as the daemon is configured". */
enum families {
  FAMILIES_ANY, /* both, alternating, IPv6 first */
  FAMILIES_V4,
  FAMILIES_V6,
  FAMILIES_V4_FIRST,
  FAMILIES_V6_FIRST,
  FAMILIES_COUNT,
};

/* What a list of names and addresses is for. */
enum wish { WISH_SELF, WISH_EXCLUDE, WISH_COUNT };

struct wishes {
  uint16_t length;            /* octets of `items` */
  uint16_t octets;            /* of names, addresses and key, against WISHES_OCTETS_MAX */
  uint8_t counts[WISH_COUNT]; /* items of each list */
  uint8_t order;              /* enum order */
  uint8_t families;           /* enum families */
  bool primary_only;
  uint8_t max_exchanges; /* 0: no bound */
  uint64_t key;          /* with ORDER_KEYED: the digest of the caller's key */
  uint8_t items[];       /* packed: kind, length, octets of each */
};

/* Octets of the largest block, rounded up to whole words. */
enum {
  WISHES_ITEMS_BYTES = WISHES_OCTETS_MAX + 2 * WISHES_ITEMS_MAX,
  WISHES_BYTES_MAX = sizeof(struct wishes) + WISHES_ITEMS_BYTES,
};

/* Room for any. */
union wishes_block {
  struct wishes wishes;
  uint8_t bytes[WISHES_BYTES_MAX];
};

/* Empties a block that has room for any wishes. */
void wishes_init(struct wishes *wishes);

/* Each adds to the block. False where it cannot: then a sentence for people that begins with `field` is
 * in `detail`. */
bool wishes_set_key(struct wishes *wishes, const char *field, const void *key, size_t length,
                    char detail[WISHES_DETAIL_SIZE]);

/* A name in any spelling that `name` takes, single labels too, or an address, bare or a literal. */
bool wishes_add_text(struct wishes *wishes, enum wish wish, const char *field, const uint8_t *text,
                     size_t length, char detail[WISHES_DETAIL_SIZE]);

/* An address of 4 or 16 octets. */
bool wishes_add_address(struct wishes *wishes, enum wish wish, const char *field, const uint8_t *octets,
                        size_t length, char detail[WISHES_DETAIL_SIZE]);

/* Octets of the block that count; 0 for NULL. */
size_t wishes_bytes(const struct wishes *wishes);

static inline bool wishes_have(const struct wishes *wishes, enum wish wish) {
  return wishes && wishes->counts[wish] > 0;
}

/* Whether a list has this canonical name, or this address of 4 or 16 octets. Cost: one step an item. */
bool wishes_have_name(const struct wishes *wishes, enum wish wish, const char *text, size_t length);
bool wishes_have_address(const struct wishes *wishes, enum wish wish, const uint8_t *octets, size_t length);

#endif
