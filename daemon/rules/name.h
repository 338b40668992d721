/*
 * name: a domain as a client spells it, made canonical.
 *
 * The canonical form is the cache's key: lower-case ASCII A-labels without
 * the trailing dot (RFC 1034 section 3.1), or an address for an address
 * literal (RFC 5321 section 4.1.3). Pure: no clock, no state, no query.
 *
 * Invariants of a domain: 1 <= length <= 253, every label 1 to 63 octets, only
 * octets 0x21 to 0x7e, no '@', no '\\' (an escape in the text form of names, RFC 1035
 * section 5.1), no upper case, text[length] == '\0'.
 */
#ifndef MXWAY_DAEMON_NAME_H
#define MXWAY_DAEMON_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { NAME_TEXT_MAX = 253, NAME_LABEL_MAX = 63, NAME_ADDRESS_MAX = 16 };

enum name_kind { NAME_DOMAIN, NAME_LITERAL };

struct name {
  enum name_kind kind;
  uint8_t length;                    /* of text */
  uint8_t address_length;            /* 4 or 16 with NAME_LITERAL, else 0 */
  uint8_t address[NAME_ADDRESS_MAX]; /* network order */
  char text[NAME_TEXT_MAX + 1];      /* a literal: the address as inet_ntop prints it */
};

/* What ROUTING Q4 and Q6 leave to the operator. */
struct name_policy {
  bool accept_bare_ip;     /* "192.0.2.1" is the literal "[192.0.2.1]" */
  bool allow_single_label; /* "localhost", "ai" (RFC 7085) */
};

/* Why a text is not a name. 0 is success. */
enum name_error {
  NAME_OK = 0,
  NAME_EMPTY,
  NAME_TOO_LONG, /* over 253 octets, before or after IDNA */
  NAME_LABEL_TOO_LONG,
  NAME_EMPTY_LABEL,
  NAME_BAD_CHARACTER, /* space, NUL, control, @ or backslash */
  NAME_BAD_IDN,       /* not UTF-8, or IDNA (UTS 46) refuses it */
  NAME_BAD_LITERAL,
  NAME_BARE_ADDRESS, /* an IP address without brackets */
  NAME_SINGLE_LABEL,
};

/* Makes `text` canonical (ROUTING Q1-Q6): lower case, exactly one trailing dot
 * stripped, UTF-8 to A-labels (UTS 46 non-transitional, libidn2), `[192.0.2.1]` and
 * `[IPv6:2001:db8::1]` to addresses. `text` needs no terminator and may hold any
 * octets. Plain ASCII names cost one pass and no allocation.
 * Returns NAME_OK and fills `out`, or the reason and leaves `out` undefined. */
enum name_error name_parse(const uint8_t *text, size_t length, const struct name_policy *policy,
                           struct name *out);

/* A sentence that says what is wrong, for people; static storage. */
const char *name_error_text(enum name_error error);

/* Whether a canonical `text` is an IPv4 or IPv6 address in text rather than a
 * name, as in `MX 10 192.0.2.7.` (ROUTING V12). Writes 4 or 16 octets to
 * `address` and returns how many, or returns 0. */
size_t name_as_address(const char *text, size_t length, uint8_t address[NAME_ADDRESS_MAX]);

/* As name_is_special_use, without its glance. */
bool name_ends_in_special_use(const char *text, size_t length);

static inline bool name_ends_in_four(const char *end, const char four[5]) {
  return memcmp(end - 4, four, 4) == 0;
}

/* Whether a canonical `text` is, or ends in, a name that the DNS does not have: .invalid and .localhost (RFC
 * 6761), .local (RFC 6762), .onion (RFC 7686) and .alt (RFC 9476) (ROUTING Q7). Not .test, which private
 * networks use. Almost none is: its last four octets tell. */
static inline bool name_is_special_use(const char *text, size_t length) {
  const char *end = text + length;
  bool may_be = length < 4 || name_ends_in_four(end, ".alt") || name_ends_in_four(end, "ocal") ||
                name_ends_in_four(end, "nion") || name_ends_in_four(end, "alid") ||
                name_ends_in_four(end, "host");
  return may_be && name_ends_in_special_use(text, length);
}

/* Whether a canonical `text` is `suffix` or a name below it. */
bool name_is_below(const char *text, size_t length, const struct name *suffix);

/* Draws the seed of name_hash for this process from the kernel. Names are
 * chosen by strangers: call once, before any hash is taken. */
void name_hash_init(void);

/* The hash of a canonical name (XXH3, seeded for this process). */
uint64_t name_hash(const char *text, size_t length);

#endif
