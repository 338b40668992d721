#include "reply.h"

#include <assert.h>
#include <string.h>

#include "frame.h"
#include "wire.h"

enum {
  FIELD_REPLY_ID = 1,
  FIELD_REPLY_VERDICT = 2,
  FIELD_REPLY_TTL = 3,
  FIELD_REPLY_MX_TTL = 4,
  FIELD_REPLY_AGE = 5,
  FIELD_REPLY_SOURCE = 6,
  FIELD_REPLY_CANONICAL = 8,
  FIELD_REPLY_IMPLICIT = 9,
  FIELD_REPLY_TRUNCATED = 10,
  FIELD_REPLY_WARNINGS = 11,
  FIELD_REPLY_SMTP_CODE = 13,
  FIELD_REPLY_ENHANCED_STATUS = 14,
  FIELD_REPLY_DETAIL = 17,
};

/* All of a reply but its exchanges. */
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

static uint8_t *put_head(uint8_t *at, uint64_t id, enum source source, const struct route *route) {
  size_t canonical_length;
  const char *canonical = domain_canonical(route->facts, &canonical_length);
  at = wire_put_uint(at, FIELD_REPLY_ID, id);
  at = wire_put_uint(at, FIELD_REPLY_VERDICT, route->verdict);
  at = wire_put_uint(at, FIELD_REPLY_TTL, route->ttl_s);
  at = wire_put_uint(at, FIELD_REPLY_MX_TTL, route->mx_ttl_s);
  at = wire_put_uint(at, FIELD_REPLY_AGE, route->age_s);
  at = wire_put_uint(at, FIELD_REPLY_SOURCE, source);
  at = wire_put_string(at, FIELD_REPLY_CANONICAL, canonical, canonical_length);
  at = wire_put_uint(at, FIELD_REPLY_IMPLICIT, route->implicit);
  at = wire_put_uint(at, FIELD_REPLY_TRUNCATED, route->truncated);
  if (route->warnings)
    at = put_warnings(at, route->warnings);
  return route->verdict == VERDICT_ROUTE ? at : put_smtp(at, route->verdict, route->transient);
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
  size_t lengths[ROUTE_EXCHANGES_MAX], tail_length = 0;
  bool resolved = route->depth != DEPTH_EXCHANGES;
  for (uint8_t i = 0; i < route->count; i++) {
    const struct route_exchange *exchange = &route->exchanges[i];
    lengths[i] = resolved ? resolved_length(exchange) : exchange->exchange->length;
    tail_length += resolved ? 1 + wire_varint_length(lengths[i]) + lengths[i] : lengths[i];
  }
  uint8_t *end = put_frame(at, head, head_length, tail_length);
  const uint8_t *bytes = route->count ? exchange_set_bytes(route->facts->set) : NULL;
  for (uint8_t i = 0; i < route->count; i++) {
    const struct route_exchange *exchange = &route->exchanges[i];
    end = resolved ? put_resolved(end, exchange, bytes, lengths[i])
                   : wire_put_bytes(end, bytes + exchange->exchange->offset, lengths[i]);
  }
  return (size_t)(end - at);
}

size_t reply_build_literal(uint8_t *at, uint64_t id, const struct name *name) {
  uint8_t head[HEAD_BYTES_MAX], *end = wire_put_uint(head, FIELD_REPLY_ID, id);
  end = wire_put_uint(end, FIELD_REPLY_VERDICT, VERDICT_ROUTE);
  end = wire_put_uint(end, FIELD_REPLY_SOURCE, SOURCE_LITERAL);
  end = wire_put_string(end, FIELD_REPLY_CANONICAL, name->text, name->length);
  uint8_t exchange[NAME_TEXT_MAX], *last;
  last = wire_put_string(exchange, FIELD_EXCHANGE_HOST, name->text, name->length);
  last = wire_put_uint(last, FIELD_EXCHANGE_STATUS, STATUS_OK);
  last = wire_put_string(last, FIELD_EXCHANGE_ADDRESSES, name->address, name->address_length);
  end = wire_put_string(end, FIELD_REPLY_EXCHANGES, exchange, (size_t)(last - exchange));
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
