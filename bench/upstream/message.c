#include "message.h"

#include <string.h>

enum { OPT_LENGTH = 11, POINTER_MAX = 0x3fff, OPCODE_MASK = 0x7800 };

static uint16_t get_u16(const uint8_t *bytes) { return (uint16_t)(bytes[0] << 8 | bytes[1]); }

static void set_u16(uint8_t *bytes, uint16_t value) {
  bytes[0] = (uint8_t)(value >> 8);
  bytes[1] = (uint8_t)value;
}

/* Looks for the OPT record among `count` records at `at`; they must fill the message. */
static bool read_additional(const uint8_t *bytes, size_t length, size_t at, unsigned count,
                            struct question *question) {
  for (; count > 0; count--) {
    struct dname owner;
    if (!dname_read(bytes, length, &at, &owner) || length - at < 10)
      return false;
    size_t rdata_length = get_u16(bytes + at + 8);
    if (get_u16(bytes + at) == TYPE_OPT) {
      if (question->has_edns || owner.length != 1)
        return false;
      question->has_edns = true;
      question->edns_size = get_u16(bytes + at + 2);
    }
    at += 10;
    if (length - at < rdata_length)
      return false;
    at += rdata_length;
  }
  return at == length;
}

enum question_error question_parse(const uint8_t *bytes, size_t length, struct question *question) {
  if (length < MESSAGE_HEADER)
    return QUESTION_IGNORE;
  question->id = get_u16(bytes);
  question->flags = get_u16(bytes + 2);
  question->raw = NULL;
  question->raw_length = 0;
  question->has_edns = false;
  question->edns_size = 0;
  if (question->flags & FLAG_QR)
    return QUESTION_IGNORE;
  if (question->flags & OPCODE_MASK)
    return QUESTION_NOTIMP;
  size_t at = MESSAGE_HEADER;
  /* One question, and nothing in the sections of answers. */
  if (get_u16(bytes + 4) != 1 || get_u16(bytes + 6) != 0 || get_u16(bytes + 8) != 0 ||
      !dname_read(bytes, length, &at, &question->name) || length - at < 4)
    return QUESTION_FORMERR;
  question->type = get_u16(bytes + at);
  question->class_ = get_u16(bytes + at + 2);
  at += 4;
  if (!read_additional(bytes, length, at, get_u16(bytes + 10), question)) {
    question->has_edns = false;
    return QUESTION_FORMERR;
  }
  question->raw = bytes + MESSAGE_HEADER;
  question->raw_length = at - MESSAGE_HEADER;
  return QUESTION_OK;
}

void message_init(struct message *message, uint8_t *bytes, size_t limit, const struct question *question,
                  bool with_question) {
  message->bytes = bytes;
  message->length = MESSAGE_HEADER;
  message->limit = limit - (question->has_edns ? OPT_LENGTH : 0);
  message->question = question;
  message->flags = 0;
  message->counts[SECTION_ANSWER] = message->counts[SECTION_AUTHORITY] = 0;
  message->is_full = false;
  message->known_count = 0;
  if (with_question && question->raw_length > 0) {
    memcpy(bytes + message->length, question->raw, question->raw_length);
    message->length += question->raw_length;
    message->known[0].at = MESSAGE_HEADER;
    message->known[0].length = question->name.length;
    message->known_count = 1;
  }
  message->body_at = message->length;
}

/* Whether the name written at `at` ends in the `length` octets of `tail`. Follows our own pointers, which
 * go backwards. */
static bool is_written(const struct message *message, size_t at, const uint8_t *tail) {
  for (;;) {
    uint8_t label = message->bytes[at];
    if ((label & 0xc0) == 0xc0) {
      at = get_u16(message->bytes + at) & POINTER_MAX;
      continue;
    }
    if (label != *tail)
      return false;
    if (label == 0)
      return true;
    for (size_t i = 1; i <= label; i++) {
      uint8_t octet = message->bytes[at + i];
      octet = octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet + 32) : octet; /* the question's */
      if (octet != tail[i])
        return false;
    }
    at += label + 1u;
    tail += label + 1u;
  }
}

/* Where the name `tail` of `length` octets stands already; 0 where it does not. */
static size_t find_written(const struct message *message, const uint8_t *tail, size_t length) {
  for (size_t i = 0; i < message->known_count; i++) {
    size_t at = message->known[i].at, left = message->known[i].length;
    /* The end of a known name that is as long. */
    for (;;) {
      if ((message->bytes[at] & 0xc0) == 0xc0)
        at = get_u16(message->bytes + at) & POINTER_MAX;
      else if (left <= length)
        break;
      else {
        left -= message->bytes[at] + 1u;
        at += message->bytes[at] + 1u;
      }
    }
    if (left == length && at <= POINTER_MAX && is_written(message, at, tail))
      return at;
  }
  return 0;
}

static bool has_room(struct message *message, size_t length) {
  if (message->limit - message->length >= length)
    return true;
  message->is_full = true;
  return false;
}

static void put_bytes(struct message *message, const void *bytes, size_t length) {
  if (message->is_full || !has_room(message, length))
    return;
  memcpy(message->bytes + message->length, bytes, length);
  message->length += length;
}

static void put_u16(struct message *message, uint16_t value) {
  uint8_t bytes[2];
  set_u16(bytes, value);
  put_bytes(message, bytes, sizeof(bytes));
}

static void put_name(struct message *message, const uint8_t *name, size_t length) {
  size_t start = message->length;
  for (size_t at = 0; name[at] != 0; at += name[at] + 1u) {
    size_t found = find_written(message, name + at, length - at);
    if (found) {
      put_bytes(message, name, at);
      put_u16(message, (uint16_t)(0xc000 | found));
      goto known;
    }
  }
  put_bytes(message, name, length);
known:
  if (!message->is_full && start <= POINTER_MAX && length > 1 &&
      message->known_count < sizeof(message->known) / sizeof(message->known[0]) &&
      (message->bytes[start] & 0xc0) == 0) {
    message->known[message->known_count].at = (uint16_t)start;
    message->known[message->known_count++].length = (uint8_t)length;
  }
}

/* Octets before the names of a type's rdata, and how many names follow. */
static void shape_of(uint16_t type, size_t *skip, unsigned *names) {
  *skip = type == TYPE_MX ? 2 : 0;
  *names = type == TYPE_MX || type == TYPE_NS || type == TYPE_CNAME ? 1 : type == TYPE_SOA ? 2 : 0;
}

static void put_rdata(struct message *message, uint16_t type, const uint8_t *rdata, size_t length) {
  size_t at;
  unsigned names;
  shape_of(type, &at, &names);
  put_bytes(message, rdata, at);
  for (; names > 0; names--) {
    size_t end = at;
    while (rdata[end] != 0)
      end += rdata[end] + 1u;
    put_name(message, rdata + at, end + 1 - at);
    at = end + 1;
  }
  put_bytes(message, rdata + at, length - at);
}

void message_put(struct message *message, enum message_section section, const struct dname *owner,
                 uint16_t type, uint16_t class_, uint32_t ttl, const uint8_t *rdata, size_t rdata_length) {
  if (message->is_full)
    return;
  put_name(message, owner->bytes, owner->length);
  put_u16(message, type);
  put_u16(message, class_);
  put_u16(message, (uint16_t)(ttl >> 16));
  put_u16(message, (uint16_t)ttl);
  size_t length_at = message->length;
  put_u16(message, 0);
  put_rdata(message, type, rdata, rdata_length);
  if (message->is_full)
    return;
  set_u16(message->bytes + length_at, (uint16_t)(message->length - length_at - 2));
  message->counts[section]++;
}

size_t message_finish(struct message *message, uint16_t flags, enum rcode rcode) {
  const struct question *question = message->question;
  bool has_question = message->body_at > MESSAGE_HEADER;
  if (message->is_full) {
    message->length = message->body_at;
    message->counts[SECTION_ANSWER] = message->counts[SECTION_AUTHORITY] = 0;
    flags |= FLAG_TC;
  }
  uint8_t *header = message->bytes;
  set_u16(header, question->id);
  set_u16(header + 2, (uint16_t)(FLAG_QR | flags | (question->flags & (OPCODE_MASK | FLAG_RD)) | rcode));
  set_u16(header + 4, has_question);
  set_u16(header + 6, message->counts[SECTION_ANSWER]);
  set_u16(header + 8, message->counts[SECTION_AUTHORITY]);
  set_u16(header + 10, question->has_edns);
  if (question->has_edns) {
    uint8_t opt[OPT_LENGTH] = {0, 0, TYPE_OPT, MESSAGE_EDNS_OFFER >> 8, MESSAGE_EDNS_OFFER & 0xff};
    memcpy(message->bytes + message->length, opt, sizeof(opt));
    message->length += sizeof(opt);
  }
  return message->length;
}
