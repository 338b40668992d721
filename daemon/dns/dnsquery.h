/*
 * dnsquery: a question to the DNS as bytes, hard to answer for anybody who has not seen it.
 *
 * Ids, and the case of the letters of the name where that is wanted, come from the kernel's generator. Who
 * forges a reply has to guess both: a name of ten letters alone is a thousand times the guesses
 * (draft-vixie-dnsext-dns0x20). Pure but for that generator.
 */
#ifndef MXWAY_DAEMON_DNSQUERY_H
#define MXWAY_DAEMON_DNSQUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  DNSQUERY_QUESTION_MAX = 255 + 4,
  DNSQUERY_OPT_LENGTH = 11,
  DNSQUERY_BYTES_MAX = 12 + DNSQUERY_QUESTION_MAX + DNSQUERY_OPT_LENGTH,
};

/* Unpredictable octets, drawn many at a time. Zeroed at first. */
struct dnsquery_source {
  uint8_t octets[512];
  size_t left;
};

struct dnsquery_options {
  bool with_edns;   /* OPT last, where c-ares cuts it off after a FORMERR */
  bool random_case; /* of the letters of the name */
  uint16_t edns_size;
};

/* Writes the query for `name` (canonical text) and `qtype`, recursive, with the AD bit set, which says that
 * the bit is understood in the reply (RFC 6840 section 5.7). Returns its length. */
size_t dnsquery_build(struct dnsquery_source *source, const char *name, uint16_t qtype,
                      const struct dnsquery_options *options, uint8_t bytes[DNSQUERY_BYTES_MAX]);

/* How a reply's question compares with that of the query it is for. */
enum dnsquery_match {
  DNSQUERY_EXACT,
  DNSQUERY_OTHER_CASE, /* the same but for the case of letters */
  DNSQUERY_OTHER,      /* another, or none */
};

/* Compares; `question` and `length`: of the query, as its bytes have it behind the header. */
enum dnsquery_match dnsquery_compare(const uint8_t *question, size_t length, const uint8_t *reply,
                                     size_t reply_length);

#endif
