/*
 * message: DNS messages read and written.
 *
 * Pure. A question is read as far as a server needs it; a reply is written with names
 * compressed, and says TC where it does not fit.
 */
#ifndef MXWAY_BENCH_UPSTREAM_MESSAGE_H
#define MXWAY_BENCH_UPSTREAM_MESSAGE_H

#include "record.h"

enum {
  MESSAGE_HEADER = 12,
  MESSAGE_PLAIN_SIZE = 512, /* without EDNS (RFC 1035 section 4.2.1) */
  MESSAGE_UDP_MAX = 4096,
  MESSAGE_TCP_MAX = 65535,
  MESSAGE_EDNS_OFFER = 1232
};

enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080 };

struct question {
  uint16_t id, flags, type, class_;
  struct dname name;
  const uint8_t *raw; /* name, type and class as they came; lent from the message */
  size_t raw_length;
  bool has_edns;
  uint16_t edns_size;
};

enum question_error {
  QUESTION_OK,
  QUESTION_IGNORE, /* too short, or no query: to be left without an answer */
  QUESTION_FORMERR,
  QUESTION_NOTIMP /* an operation other than QUERY */
};

/* Reads a query. With FORMERR and NOTIMP only id and flags are set. */
enum question_error question_parse(const uint8_t *bytes, size_t length, struct question *question);

enum message_section { SECTION_ANSWER, SECTION_AUTHORITY };

struct message {
  uint8_t *bytes;
  size_t length, limit, body_at;
  const struct question *question;
  uint16_t flags, counts[2];
  bool is_full;
  size_t known_count;
  struct {
    uint16_t at;
    uint8_t length; /* of the name in wire form */
  } known[48];      /* names that a pointer can point at */
};

/* Begins a reply to `question`, of at most `limit` octets, in `bytes`. `with_question`: whether
 * its raw part is echoed. */
void message_init(struct message *message, uint8_t *bytes, size_t limit, const struct question *question,
                  bool with_question);

/* Adds a record; sections come in order. What does not fit empties the message and sets TC. */
void message_put(struct message *message, enum message_section section, const struct dname *owner,
                 uint16_t type, uint16_t class_, uint32_t ttl, const uint8_t *rdata, size_t rdata_length);

/* Writes header and OPT (where the question has one); returns the length. */
size_t message_finish(struct message *message, uint16_t flags, enum rcode rcode);

#endif
