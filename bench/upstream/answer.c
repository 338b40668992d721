#include "answer.h"

#include <inttypes.h>
#include <string.h>

enum { ALIASES_MAX = 16 };

/* ---- what the zones say ---- */

struct sections {
  struct message *message;
  enum message_section section;
};

static void put_record(void *context, const struct dname *owner, uint16_t type, uint32_t ttl,
                       const uint8_t *rdata, size_t rdata_length) {
  const struct sections *sections = context;
  message_put(sections->message, sections->section, owner, type, CLASS_IN, ttl, rdata, rdata_length);
}

/* The zone with the nearest apex knows a name; a master file goes before the generated zone. */
static bool is_generated(const struct answerer *answerer, const struct dname *name) {
  return generated_apex_length(answerer->generated, name) > zone_apex_length(answerer->zone, name);
}

static enum found find(const struct answerer *answerer, const struct dname *name, uint16_t type,
                       struct sections *sections, struct dname *target) {
  if (is_generated(answerer, name))
    return generated_find(answerer->generated, name, type, put_record, sections);
  return zone_find(answerer->zone, name, type, put_record, sections, target);
}

/* Answers from the zones along aliases; loops end with what there is of the chain. */
static enum rcode put_answer(const struct answerer *answerer, const struct question *question,
                             struct message *message) {
  struct sections sections = {.message = message, .section = SECTION_ANSWER};
  struct dname name = question->name, target;
  enum found found = FOUND_ALIAS;
  for (unsigned hops = 0; found == FOUND_ALIAS && hops < ALIASES_MAX; hops++) {
    found = find(answerer, &name, question->type, &sections, &target);
    if (found == FOUND_ALIAS)
      name = target;
    else if (found == FOUND_OUTSIDE && hops == 0)
      return RCODE_REFUSED;
  }
  if (found != FOUND_NODATA && found != FOUND_NXDOMAIN)
    return RCODE_NOERROR;
  sections.section = SECTION_AUTHORITY;
  if (is_generated(answerer, &name))
    generated_put_soa(answerer->generated, put_record, &sections);
  else
    zone_put_soa(answerer->zone, &name, put_record, &sections);
  return found == FOUND_NXDOMAIN ? RCODE_NXDOMAIN : RCODE_NOERROR;
}

/* ---- counters ---- */

/* Reads "WHAT.counter" or "NAME.TYPE.counter". */
static bool read_counter(const struct answerer *answerer, const struct dname *name, uint64_t *value) {
  static const struct dname counter = {.length = 9, .bytes = "\7counter"};
  char label[DNAME_TEXT_SIZE];
  struct dname left = *name, asked = {.length = 0};
  if (!dname_is_within(name, &counter) || dname_equal(name, &counter))
    return false;
  /* All but the last two labels is the name asked about. */
  for (dname_parent(&left, &left); !dname_equal(&left, &counter); dname_parent(&left, &left))
    asked.length = (uint8_t)(name->length - left.length);
  size_t label_at = asked.length, label_length = name->bytes[label_at];
  memcpy(label, name->bytes + label_at + 1, label_length);
  label[label_length] = '\0';
  memcpy(asked.bytes, name->bytes, asked.length);
  asked.bytes[asked.length++] = 0;
  enum count count = counts_parse(label);
  uint16_t type = record_type_parse(label);
  if (label_at == 0 && strcmp(label, "reset") == 0) {
    counts_reset(answerer->counts);
    *value = 0;
  } else if (label_at == 0 && count != COUNT_COUNT) {
    *value = counts_get(answerer->counts, count);
  } else if (label_at != 0 && (type != 0 || count == COUNT_TOTAL)) {
    *value = counts_get_query(answerer->counts, dname_hash(&asked, answerer->seed), type);
  } else {
    return false;
  }
  return true;
}

static enum rcode put_counter(const struct answerer *answerer, const struct question *question,
                              struct message *message) {
  uint64_t value;
  if (question->type != TYPE_TXT && question->type != TYPE_ANY)
    return RCODE_NOTIMP;
  if (!read_counter(answerer, &question->name, &value))
    return RCODE_NXDOMAIN;
  char text[1 + 24];
  int length = snprintf(text + 1, sizeof(text) - 1, "%" PRIu64, value);
  text[0] = (char)length;
  message_put(message, SECTION_ANSWER, &question->name, TYPE_TXT, CLASS_CH, 0, (const uint8_t *)text,
              1 + (size_t)length);
  return RCODE_NOERROR;
}

/* ---- faults ---- */

static size_t bare_reply(const struct question *question, uint16_t flags, enum rcode rcode, uint8_t *reply) {
  struct message message;
  message_init(&message, reply, MESSAGE_UDP_MAX, question, true);
  return message_finish(&message, flags, rcode);
}

/* Keeps the id and the flag of a reply, so that it is taken for one. */
static size_t put_garbage(const struct question *question, uint64_t draw, uint8_t *reply) {
  size_t length = 24 + dname_mix(draw, 3) % 200;
  bare_reply(question, 0, RCODE_NOERROR, reply);
  for (size_t i = 4; i < length; i++)
    reply[i] = (uint8_t)dname_mix(draw, 4 + i);
  return length;
}

/* Another name of the same length in the question; a root's gets another type. */
static void change_question(const struct question *question, uint8_t *reply) {
  if (question->name.length > 1)
    reply[MESSAGE_HEADER + 1] = reply[MESSAGE_HEADER + 1] == 'x' ? 'y' : 'x';
  else
    reply[MESSAGE_HEADER + 2] ^= 1;
}

static size_t put_zone_reply(const struct answerer *answerer, const struct question *question, bool is_tcp,
                             uint8_t *reply) {
  struct message message;
  size_t limit = question->edns_size > MESSAGE_PLAIN_SIZE ? question->edns_size : MESSAGE_PLAIN_SIZE;
  if (limit > MESSAGE_UDP_MAX)
    limit = MESSAGE_UDP_MAX;
  message_init(&message, reply, is_tcp ? MESSAGE_TCP_MAX : limit, question, true);
  enum rcode rcode = RCODE_NOTIMP;
  if (question->class_ == CLASS_CH)
    rcode = put_counter(answerer, question, &message);
  else if (question->class_ != CLASS_IN)
    rcode = RCODE_REFUSED;
  else if (question->type != TYPE_ANY)
    rcode = put_answer(answerer, question, &message);
  return message_finish(&message, FLAG_AA | FLAG_RA, rcode);
}

static size_t put_faulty_reply(const struct answerer *answerer, const struct question *question, bool is_tcp,
                               enum fault_answer fault, uint64_t draw, uint8_t *reply) {
  struct question without = *question;
  size_t length;
  switch (fault) {
  case FAULT_SILENT:
    return 0;
  case FAULT_SERVFAIL:
    return bare_reply(question, FLAG_RA, RCODE_SERVFAIL, reply);
  case FAULT_REFUSED:
    return bare_reply(question, 0, RCODE_REFUSED, reply);
  case FAULT_NOTIMP:
    return bare_reply(question, 0, RCODE_NOTIMP, reply);
  case FAULT_GARBAGE:
    return put_garbage(question, draw, reply);
  case FAULT_NO_EDNS:
    if (!question->has_edns)
      break;
    /* As a server that does not know EDNS: no OPT in the reply (RFC 6891 section 7). */
    __attribute__((fallthrough));
  case FAULT_FORMERR:
    without.has_edns = false;
    return bare_reply(fault == FAULT_NO_EDNS ? &without : question, 0, RCODE_FORMERR, reply);
  case FAULT_TC:
    if (is_tcp)
      break;
    return bare_reply(question, FLAG_AA | FLAG_RA | FLAG_TC, RCODE_NOERROR, reply);
  case FAULT_NONE:
  case FAULT_TRUNCATE:
  case FAULT_WRONG_ID:
  case FAULT_WRONG_QUESTION:
  case FAULT_COUNT:
    break;
  }
  length = put_zone_reply(answerer, question, is_tcp, reply);
  if (fault == FAULT_TRUNCATE)
    return MESSAGE_HEADER + (length - MESSAGE_HEADER) / 2;
  if (fault == FAULT_WRONG_ID)
    reply[0] ^= 0x55;
  if (fault == FAULT_WRONG_QUESTION)
    change_question(question, reply);
  return length;
}

/* ---- all together ---- */

struct answer answer_query(const struct answerer *answerer, const uint8_t *query, size_t length, bool is_tcp,
                           uint8_t *reply) {
  struct question question;
  struct answer answer = {.length = 0};
  enum question_error error = question_parse(query, length, &question);
  if (error != QUESTION_OK) {
    counts_add(answerer->counts, COUNT_MALFORMED);
    if (error != QUESTION_IGNORE)
      answer.length =
          bare_reply(&question, 0, error == QUESTION_NOTIMP ? RCODE_NOTIMP : RCODE_FORMERR, reply);
    return answer;
  }
  if (question.class_ == CLASS_CH) {
    answer.length = put_zone_reply(answerer, &question, is_tcp, reply);
    return answer;
  }
  uint64_t hash = dname_hash(&question.name, answerer->seed);
  uint64_t before = counts_add_query(answerer->counts, hash, question.type, is_tcp);
  uint64_t draw = dname_mix(dname_mix(hash, question.type), before);
  struct fault fault = faults_judge(answerer->faults, &question.name, question.type, draw);
  if (fault.is_lost) {
    counts_add(answerer->counts, COUNT_LOST);
    return answer;
  }
  answer.delay_ns = fault.delay_ns;
  answer.length = put_faulty_reply(answerer, &question, is_tcp, fault.answer, draw, reply);
  return answer;
}
