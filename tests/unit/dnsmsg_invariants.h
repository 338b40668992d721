/*
 * dnsmsg_invariants: what holds of every struct dnsmsg, whatever a stranger sent.
 *
 * For the unit test and the fuzz target alike.
 */
#ifndef MXWAY_TESTS_DNSMSG_INVARIANTS_H
#define MXWAY_TESTS_DNSMSG_INVARIANTS_H

#include <stdlib.h>
#include <string.h>

#include "dns/dnsmsg.h"

static inline bool dnsmsg_is_canonical(const char *text) {
  size_t length = strnlen(text, DNSMSG_NAME_SIZE), label_length = 0;
  if (length == DNSMSG_NAME_SIZE)
    return false;
  for (size_t i = 0; i < length; i++) {
    if (text[i] <= 0x20 || text[i] >= 0x7f || text[i] == '\\' || (text[i] >= 'A' && text[i] <= 'Z'))
      return false;
    if (text[i] == '.' && label_length == 0)
      return false;
    label_length = text[i] == '.' ? 0 : label_length + 1;
    if (label_length > 63)
      return false;
  }
  return length == 0 || label_length > 0;
}

/* The name a message of others asks about, if it is plain; else "d.test".
 * Returns where the question's type should be. */
static inline size_t dnsmsg_question_name(const uint8_t *bytes, size_t length, char name[DNSMSG_NAME_SIZE]) {
  size_t at = 12, used = 0;
  while (at < length && bytes[at] > 0 && bytes[at] < 64 && at + bytes[at] < length &&
         used + bytes[at] < DNSMSG_NAME_SIZE - 2) {
    if (used > 0)
      name[used++] = '.';
    for (size_t i = at + 1; i <= at + bytes[at]; i++)
      name[used++] = (char)(bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] + 32 : bytes[i]);
    at += 1u + bytes[at];
  }
  name[used] = '\0';
  if (strlen(name) != used || !dnsmsg_is_canonical(name))
    memcpy(name, "d.test", sizeof("d.test"));
  return at + 1;
}

/* Outcomes that say nothing about the name but that there was no answer. */
static inline bool dnsmsg_is_failure(enum dnsmsg_outcome outcome) { return outcome >= DNSMSG_FORMERR; }

static inline const char *dnsmsg_broken_in_chain(const struct dnsmsg *out, const char *qname) {
  bool is_denial = out->outcome == DNSMSG_NODATA || out->outcome == DNSMSG_NXDOMAIN;
  if (out->hops > DNSMSG_CNAME_HOPS_MAX || (out->outcome == DNSMSG_FOLLOW && out->hops == 0))
    return "hops are bounded, and FOLLOW has one";
  if (!dnsmsg_is_canonical(out->canonical) || (out->hops > 0 && out->canonical[0] == '\0'))
    return "the end of a chain is a canonical name";
  if (out->hops == 0 && strcmp(out->canonical, qname) != 0)
    return "without a chain the question's name is canonical";
  if (out->has_soa && !is_denial)
    return "only a denial has an SOA";
  if (!out->has_soa && out->negative_ttl_s != 0)
    return "without an SOA there is no negative TTL";
  if (is_denial && out->hops == 0 && out->ttl_s != UINT32_MAX)
    return "a denial without aliases has no TTL but its SOA's";
  if (dnsmsg_is_failure(out->outcome) && (out->hops > 0 || out->ttl_s != UINT32_MAX))
    return "a failure follows no alias";
  if (out->outcome == DNSMSG_MALFORMED && (out->authentic || out->has_opt))
    return "nothing of a malformed reply is believed";
  return NULL;
}

static inline const char *dnsmsg_broken_in_records(const struct dnsmsg *out, uint16_t qtype) {
  bool has_answer = out->mx_count > 0 || out->address_count > 0;
  if (out->mx_count > DNSMSG_MX_MAX || out->address_count > DNSMSG_ADDRESS_MAX)
    return "counts stay in their arrays";
  if ((out->outcome == DNSMSG_ANSWER) != has_answer)
    return "an answer, and nothing else, has records";
  if (qtype == DNSMSG_MX ? out->address_count > 0 : out->mx_count > 0)
    return "records are of the type asked";
  if (out->address_length != (qtype == DNSMSG_A ? 4 : qtype == DNSMSG_AAAA ? 16 : 0))
    return "an address is as long as its type says";
  if (out->cut && out->mx_count < DNSMSG_MX_MAX && out->address_count < DNSMSG_ADDRESS_MAX)
    return "only what is full is cut";
  for (size_t i = 0; i < out->mx_count; i++)
    if (!dnsmsg_is_canonical(out->mx[i].host) || (!out->mx[i].usable && out->mx[i].host[0] != '\0'))
      return "an exchange is canonical text or unusable";
  for (size_t i = 0; i < out->address_count; i++)
    for (size_t j = 0; j < i; j++)
      if (memcmp(out->addresses[i], out->addresses[j], out->address_length) == 0)
        return "an address comes once";
  return NULL;
}

/* The invariant of the header that is broken, or NULL. */
static inline const char *dnsmsg_broken_invariant(const struct dnsmsg *out, const char *qname,
                                                  uint16_t qtype) {
  const char *broken = dnsmsg_broken_in_chain(out, qname);
  return broken ? broken : dnsmsg_broken_in_records(out, qtype);
}

/* Whether two say the same in all that the counts cover. */
static inline bool dnsmsg_is_same(const struct dnsmsg *x, const struct dnsmsg *y) {
  if (x->outcome != y->outcome || x->authentic != y->authentic || x->has_opt != y->has_opt ||
      x->has_soa != y->has_soa || x->hops != y->hops || x->ttl_s != y->ttl_s ||
      x->negative_ttl_s != y->negative_ttl_s || strcmp(x->canonical, y->canonical) != 0 || x->cut != y->cut ||
      x->mx_count != y->mx_count || x->address_count != y->address_count)
    return false;
  for (size_t i = 0; i < x->mx_count; i++)
    if (x->mx[i].preference != y->mx[i].preference || x->mx[i].usable != y->mx[i].usable ||
        strcmp(x->mx[i].host, y->mx[i].host) != 0)
      return false;
  for (size_t i = 0; i < x->address_count; i++)
    if (memcmp(x->addresses[i], y->addresses[i], x->address_length) != 0)
      return false;
  return true;
}

/* Parses a copy that ends where its block ends, so that AddressSanitizer sees a read beyond, into
 * a struct full of `filler`, so that what is not written is seen by comparison. */
static inline void dnsmsg_parse_copy(const uint8_t *bytes, size_t length, const char *qname, uint16_t qtype,
                                     uint8_t filler, struct dnsmsg *out) {
  uint8_t *copy = malloc(length ? length : 1);
  if (!copy)
    abort();
  memcpy(copy, bytes, length);
  memset(out, filler, sizeof(*out));
  dnsmsg_parse(copy, length, qname, qtype, out);
  free(copy);
}

/* What is left of a message of `length` octets when `cut` are taken off its end, or `more` put there, and
 * when the bits that nobody reads change, must say the same. Returns the broken rule, or NULL. */
static inline const char *dnsmsg_broken_relation(const uint8_t *bytes, size_t length, const char *qname,
                                                 uint16_t qtype, const struct dnsmsg *first) {
  enum { UNREAD_BITS_2 = 0x05 /* AA, RD */, UNREAD_BITS_3 = 0xd0 /* RA, Z, CD */ };
  static struct dnsmsg other;
  static uint8_t changed[65536 + 3];
  dnsmsg_parse_copy(bytes, length, qname, qtype, 0x5a, &other);
  if (!dnsmsg_is_same(first, &other))
    return "the same octets say the same";
  if (first->outcome == DNSMSG_MALFORMED || length < 12 || length > 65536)
    return NULL;
  memcpy(changed, bytes, length);
  memcpy(changed + length, "\xc0\x0c\xff", 3);
  changed[0] ^= 0xff; /* the id */
  changed[2] ^= UNREAD_BITS_2;
  changed[3] ^= UNREAD_BITS_3;
  dnsmsg_parse_copy(changed, length + 3, qname, qtype, 0xa5, &other);
  if (!dnsmsg_is_same(first, &other))
    return "octets behind the message, its id and its other flags say nothing";
  dnsmsg_parse_copy(bytes, length - 1, qname, qtype, 0xa5, &other);
  if (other.outcome != DNSMSG_MALFORMED && !dnsmsg_is_same(first, &other))
    return "a message cut short says the same or is malformed";
  return NULL;
}

/* Parses and checks all of the above. Returns the broken rule, or NULL. */
static inline const char *dnsmsg_check(const uint8_t *bytes, size_t length, const char *qname, uint16_t qtype,
                                       struct dnsmsg *out) {
  dnsmsg_parse_copy(bytes, length, qname, qtype, 0xa5, out);
  const char *broken = dnsmsg_broken_invariant(out, qname, qtype);
  return broken ? broken : dnsmsg_broken_relation(bytes, length, qname, qtype, out);
}

/* Any octets, as they are and as a reply to each question of ours about the name they hold. The octets
 * are changed. Returns the broken rule, or NULL. */
static inline const char *dnsmsg_check_foreign(uint8_t *bytes, size_t length) {
  static const uint16_t types[] = {DNSMSG_MX, DNSMSG_A, DNSMSG_AAAA};
  static struct dnsmsg out;
  char name[DNSMSG_NAME_SIZE];
  const char *broken = NULL;
  size_t type_at = dnsmsg_question_name(bytes, length, name);
  for (size_t i = 0; i < 3 && !broken; i++)
    broken = dnsmsg_check(bytes, length, name, types[i], &out);
  if (type_at + 4 > length)
    return broken;
  bytes[2] = 0x81;
  memcpy(bytes + 4, "\0\1", 2);
  for (size_t i = 0; i < 3 && !broken; i++) {
    memcpy(bytes + type_at, (uint8_t[]){0, (uint8_t)types[i], 0, 1}, 4);
    broken = dnsmsg_check(bytes, length, name, types[i], &out);
  }
  return broken;
}

#endif
