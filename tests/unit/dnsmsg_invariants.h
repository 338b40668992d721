/*
 * dnsmsg_invariants: what holds of every struct dnsmsg, whatever a stranger sent.
 *
 * For the unit test and the fuzz target alike.
 */
#ifndef MXWAY_TESTS_DNSMSG_INVARIANTS_H
#define MXWAY_TESTS_DNSMSG_INVARIANTS_H

#include <string.h>

#include "dnsmsg.h"

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

/* The name a message of others asks about, if it is plain; else one that is hardly in it.
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
  if (!dnsmsg_is_canonical(name))
    memcpy(name, "d.test", sizeof("d.test"));
  return at + 1;
}

/* The invariant broken, or NULL. */
static inline const char *dnsmsg_broken_invariant(const struct dnsmsg *out, const char *qname,
                                                  uint16_t qtype) {
  bool has_answer = out->mx_count > 0 || out->address_count > 0;
  if (out->mx_count > DNSMSG_MX_MAX || out->address_count > DNSMSG_ADDRESS_MAX)
    return "counts stay in their arrays";
  if ((out->outcome == DNSMSG_ANSWER) != has_answer)
    return "an answer, and nothing else, has records";
  if (qtype == DNSMSG_MX ? out->address_count > 0 : out->mx_count > 0)
    return "records are of the type asked";
  if (out->address_length != (qtype == DNSMSG_A ? 4 : qtype == DNSMSG_AAAA ? 16 : 0))
    return "an address is as long as its type says";
  if (out->hops > DNSMSG_CNAME_HOPS_MAX || (out->outcome == DNSMSG_FOLLOW && out->hops == 0))
    return "hops are bounded, and FOLLOW has one";
  if (!dnsmsg_is_canonical(out->canonical) || (out->hops > 0 && out->canonical[0] == '\0'))
    return "the end of a chain is a canonical name";
  if (out->outcome != DNSMSG_LOOP && out->hops == 0 && strcmp(out->canonical, qname) != 0)
    return "without a chain the question's name is canonical";
  if (out->has_soa && out->outcome != DNSMSG_NODATA && out->outcome != DNSMSG_NXDOMAIN)
    return "only a denial has an SOA";
  if (!out->has_soa && out->negative_ttl_s != 0)
    return "without an SOA there is no negative TTL";
  for (size_t i = 0; i < out->mx_count; i++)
    if (!dnsmsg_is_canonical(out->mx[i].host) || (!out->mx[i].usable && out->mx[i].host[0] != '\0'))
      return "an exchange is canonical text or unusable";
  return NULL;
}

#endif
