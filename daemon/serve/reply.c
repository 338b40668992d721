#include "serve/reply.h"

#include <assert.h>
#include <string.h>

#include "frame.h"
#include "wire.h"

enum {
  FIELD_STORY_AT = 1,
  FIELD_STORY_RULE = 2,
  FIELD_STORY_TEXT = 3,
};

/* All of a reply but its exchanges and its site. */
enum { HEAD_BYTES_MAX = 640, WARNING_BITS = 16 };

static uint8_t *put_warnings(uint8_t *at, uint32_t warnings) {
  uint8_t numbers[WARNING_BITS], *end = numbers;
  for (uint8_t bit = 1; bit < WARNING_BITS; bit++)
    if (warnings & 1u << bit)
      *end++ = bit;
  return wire_put_string(at, FIELD_REPLY_WARNINGS, numbers, (size_t)(end - numbers));
}

static uint8_t *put_smtp(uint8_t *at, enum verdict verdict, bool transient) {
  struct smtp_status smtp = verdict_smtp(verdict, transient);
  at = wire_put_uint(at, FIELD_REPLY_SMTP_CODE, smtp.code);
  return wire_put_string(at, FIELD_REPLY_ENHANCED_STATUS, smtp.enhanced, strlen(smtp.enhanced));
}

static uint8_t *put_refusal(uint8_t *at, const struct route *route) {
  at = put_smtp(at, route->verdict, route->transient);
  return wire_put_string(at, FIELD_REPLY_DETAIL, route->detail, strlen(route->detail));
}

static uint8_t *put_head(uint8_t *at, uint64_t id, enum source source, const struct route *route) {
  size_t canonical_length;
  const char *canonical = domain_canonical(route->facts, &canonical_length);
  at = wire_put_uint(at, FIELD_REPLY_ID, id);
  at = wire_put_uint(at, FIELD_REPLY_VERDICT, route->verdict);
  at = wire_put_uint(at, FIELD_REPLY_TTL, route->ttl_s);
  at = wire_put_uint(at, FIELD_REPLY_MX_TTL, route->mx_ttl_s);
  at = wire_put_uint(at, FIELD_REPLY_AGE, route->age_s);
  at = wire_put_uint(at, FIELD_REPLY_SOURCE, source);
  at = wire_put_uint(at, FIELD_REPLY_STALE, route->stale);
  at = wire_put_string(at, FIELD_REPLY_CANONICAL, canonical, canonical_length);
  at = wire_put_uint(at, FIELD_REPLY_IMPLICIT, route->implicit);
  at = wire_put_uint(at, FIELD_REPLY_TRUNCATED, route->truncated);
  if (route->warnings)
    at = put_warnings(at, route->warnings);
  at = wire_put_uint(at, FIELD_REPLY_AUTHENTICATED, route->authenticated);
  return route->verdict == VERDICT_ROUTE ? at : put_refusal(at, route);
}

/* Octets of an Exchange message with what was learned about its host. */
static size_t resolved_length(const struct route_exchange *exchange) {
  size_t length = exchange->exchange->inner_length + 2; /* every status takes two octets */
  if (exchange->facts)
    length += exchange->facts->expanded_length;
  for (uint8_t i = 0; i < exchange->address_count; i++)
    length += 2u + exchange->addresses[i][1];
  return exchange->ttl_s ? length + 1 + wire_varint_length(exchange->ttl_s) : length;
}

static uint8_t *put_resolved(uint8_t *at, const struct route_exchange *exchange, const uint8_t *bytes,
                             size_t length) {
  const struct exchange *stored = exchange->exchange;
  *at++ = WIRE_TAG(FIELD_REPLY_EXCHANGES, WIRE_TYPE_BYTES);
  at = wire_put_varint(at, length);
  const uint8_t *inner = bytes + stored->offset + stored->length - stored->inner_length;
  at = wire_put_bytes(at, inner, stored->inner_length);
  if (exchange->facts && exchange->facts->expanded_length)
    at = wire_put_bytes(at, host_facts_expanded(exchange->facts), exchange->facts->expanded_length);
  at = wire_put_uint(at, FIELD_EXCHANGE_STATUS, exchange->status);
  for (uint8_t i = 0; i < exchange->address_count; i++)
    at = wire_put_bytes(at, exchange->addresses[i], 2u + exchange->addresses[i][1]);
  return wire_put_uint(at, FIELD_EXCHANGE_TTL, exchange->ttl_s);
}

/* Frame, head and room for exchanges of `tail_length` octets. */
static uint8_t *put_frame(uint8_t *at, const uint8_t *head, size_t head_length, size_t tail_length) {
  assert(head_length <= HEAD_BYTES_MAX);
  at += frame_build_header(at, head_length + tail_length);
  return wire_put_bytes(at, head, head_length);
}

size_t reply_build_route(uint8_t *at, uint64_t id, enum source source, const struct route *route) {
  uint8_t head[HEAD_BYTES_MAX];
  size_t head_length = (size_t)(put_head(head, id, source, route) - head);
  const struct exchange_set *set = route->facts->set;
  size_t lengths[ROUTE_EXCHANGES_MAX], tail_length = set ? set->site_length : 0;
  for (uint8_t i = 0; i < route->count; i++) {
    const struct route_exchange *exchange = &route->exchanges[i];
    bool resolved = exchange->status != STATUS_NOT_RESOLVED;
    lengths[i] = resolved ? resolved_length(exchange) : exchange->exchange->length;
    tail_length += resolved ? 1 + wire_varint_length(lengths[i]) + lengths[i] : lengths[i];
  }
  uint8_t *end = put_frame(at, head, head_length, tail_length);
  if (!set)
    return (size_t)(end - at);
  const uint8_t *bytes = exchange_set_bytes(set);
  end = wire_put_bytes(end, bytes, set->site_length);
  for (uint8_t i = 0; i < route->count; i++) {
    const struct route_exchange *exchange = &route->exchanges[i];
    end = exchange->status != STATUS_NOT_RESOLVED
              ? put_resolved(end, exchange, bytes, lengths[i])
              : wire_put_bytes(end, bytes + exchange->exchange->offset, lengths[i]);
  }
  return (size_t)(end - at);
}

/* The literal as its own exchange. */
static uint8_t *put_literal(uint8_t *at, const struct name *name) {
  uint8_t exchange[NAME_TEXT_MAX], *last;
  last = wire_put_string(exchange, FIELD_EXCHANGE_HOST, name->text, name->length);
  last = wire_put_uint(last, FIELD_EXCHANGE_STATUS, STATUS_OK);
  last = wire_put_string(last, FIELD_EXCHANGE_ADDRESSES, name->address, name->address_length);
  return wire_put_string(at, FIELD_REPLY_EXCHANGES, exchange, (size_t)(last - exchange));
}

size_t reply_build_literal(uint8_t *at, uint64_t id, const struct name *name, const struct route *route) {
  uint8_t head[HEAD_BYTES_MAX], *end = wire_put_uint(head, FIELD_REPLY_ID, id);
  end = wire_put_uint(end, FIELD_REPLY_VERDICT, route->verdict);
  end = wire_put_uint(end, FIELD_REPLY_SOURCE, SOURCE_LITERAL);
  end = wire_put_string(end, FIELD_REPLY_CANONICAL, name->text, name->length);
  end = route->verdict == VERDICT_ROUTE ? put_literal(end, name) : put_refusal(end, route);
  return (size_t)(put_frame(at, head, (size_t)(end - head), 0) - at);
}

/* Without facts it was still the DNS that failed, or a decision of ours. */
static enum source source_of(enum verdict verdict) {
  return verdict >= VERDICT_DNS_SERVFAIL && verdict <= VERDICT_CNAME_LOOP ? SOURCE_DNS : SOURCE_POLICY;
}

size_t reply_build_decision(uint8_t *at, uint64_t id, const struct decision *decision,
                            const struct name *name) {
  uint8_t head[HEAD_BYTES_MAX], *end = wire_put_uint(head, FIELD_REPLY_ID, id);
  end = wire_put_uint(end, FIELD_REPLY_VERDICT, decision->verdict);
  end = wire_put_uint(end, FIELD_REPLY_TTL, decision->ttl_s);
  end = wire_put_uint(end, FIELD_REPLY_MX_TTL, decision->ttl_s);
  end = wire_put_uint(end, FIELD_REPLY_SOURCE, decision->source);
  if (name)
    end = wire_put_string(end, FIELD_REPLY_CANONICAL, name->text, name->length);
  end = put_smtp(end, decision->verdict, false);
  end = wire_put_string(end, FIELD_REPLY_DETAIL, decision->detail, strlen(decision->detail));
  return (size_t)(put_frame(at, head, (size_t)(end - head), 0) - at);
}

size_t reply_build_verdict(uint8_t *at, uint64_t id, enum verdict verdict, const struct name *name,
                           const char *detail) {
  const struct decision decision = {verdict, source_of(verdict), 0, detail};
  return reply_build_decision(at, id, &decision, name);
}

/* ---- the story ---- */

static size_t line_length(const struct story_line *line) {
  uint8_t scratch[1 + WIRE_VARINT_MAX];
  size_t rule = strlen(line->rule), text = strlen(line->text);
  size_t length = (size_t)(wire_put_uint(scratch, FIELD_STORY_AT, line->at_us) - scratch);
  length += rule ? 1 + wire_varint_length(rule) + rule : 0;
  return length + (text ? 1 + wire_varint_length(text) + text : 0);
}

static uint8_t *put_line(uint8_t *at, const struct story_line *line) {
  at = wire_put_varint(at, FIELD_REPLY_STORY << 3 | WIRE_TYPE_BYTES);
  at = wire_put_varint(at, line_length(line));
  at = wire_put_uint(at, FIELD_STORY_AT, line->at_us);
  at = wire_put_string(at, FIELD_STORY_RULE, line->rule, strlen(line->rule));
  return wire_put_string(at, FIELD_STORY_TEXT, line->text, strlen(line->text));
}

static size_t story_length(const struct story *story) {
  size_t length = 0;
  for (size_t i = 0; i < story_count(story); i++) {
    struct story_line line = story_line(story, i);
    size_t inner = line_length(&line);
    length += 2 + wire_varint_length(inner) + inner;
  }
  return length;
}

size_t reply_story_bytes(const struct story *story) { return story_length(story) + FRAME_HEADER_MAX; }

size_t reply_add_story(uint8_t *at, const uint8_t *frame, size_t length, const struct story *story) {
  struct frame parts;
  enum frame_state state = frame_parse(frame, length, FRAME_REPLY_MAX, &parts);
  assert(state == FRAME_COMPLETE);
  uint8_t *end = at + frame_build_header(at, parts.body_length + story_length(story));
  end = wire_put_bytes(end, parts.body, parts.body_length);
  for (size_t i = 0; i < story_count(story); i++) {
    struct story_line line = story_line(story, i);
    end = put_line(end, &line);
  }
  return (size_t)(end - at);
}
