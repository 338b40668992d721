#include "serve/express.h"

#include <string.h>

#include "frame.h"
#include "serve/reply.h"
#include "wire.h"

enum {
  HEADER_USUAL = 2,          /* octets of the length of a frame of 128 to 16383 octets */
  EXCHANGE_HEADER_USUAL = 2, /* octets of the tag and length of an exchange of less than 128 octets */
  BODY_LEAST = 128,          /* of those */
  COPY = FACTS_OVERREAD + 1, /* octets copied at once */
};

/* Longer lives are for those who count more carefully. */
#define LIFE_MOST_MS ((int64_t)UINT32_MAX)

/* What an exchange's host adds to the answer. */
struct addressed {
  const struct host_facts *facts;
  uint32_t ttl_s;
};

void express_init(struct express *express, const struct route_policy *policy) {
  enum families families = policy->judge.families;
  express->is_open = !policy->judge.self && !policy->judge.reject_mx_address;
  express->gives_addresses = families != FAMILIES_V4 && families != FAMILIES_V6;
  express->families = families;
  express->is_v6_first = families != FAMILIES_V4_FIRST;
}

/* ---- copying: octets behind the end, of source and target, do not matter ---- */

static inline uint8_t *copy(uint8_t *at, const void *bytes, size_t length) {
  const uint8_t *from = bytes;
  for (size_t i = 0; i < length; i += COPY)
    memcpy(at + i, from + i, COPY);
  return at + length;
}

/* A name that was parsed has room behind it where it is not very long. */
static inline uint8_t *put_canonical(uint8_t *at, const struct name *name, const struct domain_facts *facts) {
  size_t length;
  const char *canonical = domain_canonical(facts, &length);
  *at++ = WIRE_TAG(FIELD_REPLY_CANONICAL, WIRE_TYPE_BYTES);
  at = wire_put_varint(at, length);
  if (canonical == facts->text && length <= NAME_TEXT_MAX + 1 - COPY)
    return copy(at, name->text, length);
  return wire_put_bytes(at, canonical, length);
}

/* ---- looking ---- */

static inline uint32_t seconds_left(int64_t expires_at_ms, int64_t now_ms) {
  return ((uint32_t)(expires_at_ms - now_ms) + 999u) / 1000u;
}

static inline int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

/* Whether the facts are such as nearly all: exchanges, fresh, nothing to warn of. */
static inline bool is_usual(const struct domain_facts *facts, int64_t now_ms) {
  int64_t left_ms = facts->expires_at_ms - now_ms;
  return facts->set && facts->kind != DOMAIN_ROUTE && !facts->warnings && left_ms > 0 &&
         left_ms < LIFE_MOST_MS - 1000 && facts->set->count <= EXPRESS_EXCHANGES_MAX;
}

/* What the hosts add to the head of the answer. */
struct sum {
  bool authentic, is_due;
  uint32_t ttl_s; /* the least */
};

/* Looks up the facts of each exchange; false where one is not usual. */
static inline bool look_at_hosts(const struct exchange_set *set, struct addressed hosts[], int64_t now_ms,
                                 struct sum *sum) {
  for (uint16_t i = 0; i < set->count; i++) {
    const struct host *host = set->exchanges[i].host;
    const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_acquire);
    bool is_usual =
        facts && facts->plain_until_ms > now_ms && facts->given_until_ms - now_ms < LIFE_MOST_MS - 1000;
    if (!is_usual)
      return false;
    hosts[i].facts = facts;
    hosts[i].ttl_s = seconds_left(facts->given_until_ms, now_ms);
    sum->ttl_s = hosts[i].ttl_s < sum->ttl_s ? hosts[i].ttl_s : sum->ttl_s;
    sum->authentic &= facts->are_authentic;
    sum->is_due |= host_facts_want_refresh(facts, now_ms);
  }
  return true;
}

/* ---- writing ---- */

/* Fills `order` with the places of the exchanges: by preference, each level in random order (ROUTING O1,
 * RFC 5321 section 5.1). */
static inline void shuffle(const struct exchange_set *set, uint8_t order[], struct random *random) {
  for (uint8_t i = 0; i < set->count; i++)
    order[i] = i;
  if (!set->has_equals)
    return;
  for (uint8_t at = 0, end; at < set->count; at = end) {
    end = (uint8_t)set->exchanges[at].level_end;
    random_shuffle(random, order + at, (uint8_t)(end - at), (uint8_t)(end - at));
  }
}

static inline uint8_t *put_head(uint8_t *at, uint64_t id, const struct name *name,
                                const struct domain_facts *facts, int64_t now_ms, const struct sum *sum) {
  uint32_t mx_ttl_s = seconds_left(facts->expires_at_ms, now_ms);
  at = wire_put_uint(at, FIELD_REPLY_ID, id);
  at = wire_put_uint(at, FIELD_REPLY_VERDICT, VERDICT_ROUTE);
  at = wire_put_uint(at, FIELD_REPLY_TTL, sum->ttl_s < mx_ttl_s ? sum->ttl_s : mx_ttl_s);
  at = wire_put_uint(at, FIELD_REPLY_MX_TTL, mx_ttl_s);
  at = wire_put_uint(at, FIELD_REPLY_AGE, (uint32_t)((now_ms - facts->stored_at_ms) / 1000));
  at = wire_put_uint(at, FIELD_REPLY_SOURCE, SOURCE_MEMORY);
  at = put_canonical(at, name, facts);
  at = wire_put_uint(at, FIELD_REPLY_IMPLICIT, facts->kind == DOMAIN_NODATA);
  return wire_put_uint(at, FIELD_REPLY_AUTHENTICATED, sum->authentic);
}

/* The addresses that a caller gets of a host with more than one of a family. */
static uint8_t *put_choice(const struct express *express, uint8_t *at, const struct host_facts *facts,
                           struct random *random) {
  const uint8_t *addresses[ORDERING_ADDRESSES_MAX];
  const uint32_t usable[FAMILY_COUNT] = {host_facts_bits(facts->count[FAMILY_V6]),
                                         host_facts_bits(facts->count[FAMILY_V4])};
  uint8_t count =
      ordering_addresses(NULL, express->families, facts, usable, ORDERING_ADDRESSES_MAX, random, addresses);
  for (uint8_t i = 0; i < count; i++)
    at = addresses[i][1] == 16 ? wire_put_bytes(at, addresses[i], PACKED_V6_LENGTH)
                               : wire_put_bytes(at, addresses[i], PACKED_V4_LENGTH);
  return at;
}

/* An exchange with its addresses. The message is written first, behind the octets that its length usually
 * takes. */
static inline uint8_t *put_exchange(const struct express *express, uint8_t *at,
                                    const struct exchange_set *set, const struct exchange *exchange,
                                    const struct addressed *host, struct random *random) {
  const struct host_facts *facts = host->facts;
  const uint8_t *inner =
      exchange_set_bytes(set) + exchange->offset + exchange->length - exchange->inner_length;
  uint8_t *message = at + EXCHANGE_HEADER_USUAL, *end = copy(message, inner, exchange->inner_length);
  *end++ = WIRE_TAG(FIELD_EXCHANGE_STATUS, WIRE_TYPE_VARINT);
  *end++ = STATUS_OK;
  end = facts->has_choice || !express->is_v6_first ? put_choice(express, end, facts, random)
                                                   : copy(end, facts->bytes, facts->addresses_length);
  end = wire_put_uint(end, FIELD_EXCHANGE_TTL, host->ttl_s);
  size_t length = (size_t)(end - message);
  at[0] = WIRE_TAG(FIELD_REPLY_EXCHANGES, WIRE_TYPE_BYTES);
  at[1] = (uint8_t)length;
  if (length < 0x80)
    return end;
  memmove(message + 1, message, length);
  wire_put_varint(at + 1, length);
  return end + 1;
}

/* Writes the length in front of a body that was begun HEADER_USUAL behind `at`. */
static inline size_t finish(uint8_t *at, const uint8_t *end) {
  size_t length = (size_t)(end - at) - HEADER_USUAL;
  if (length >= BODY_LEAST) {
    at[0] = (uint8_t)(length | 0x80);
    at[1] = (uint8_t)(length >> 7);
    return HEADER_USUAL + length;
  }
  at[0] = (uint8_t)length;
  memmove(at + 1, at + HEADER_USUAL, length);
  return 1 + length;
}

size_t express_build(const struct express *express, uint8_t *at, uint64_t id, enum depth depth,
                     const struct name *name, const struct domain_facts *facts, int64_t now_ms,
                     struct random *random, bool *is_due) {
  const struct exchange_set *set = facts->set;
  struct addressed hosts[EXPRESS_EXCHANGES_MAX];
  uint8_t order[EXPRESS_EXCHANGES_MAX];
  struct sum sum = {facts->authentic, domain_facts_want_refresh(facts, now_ms), UINT32_MAX};
  bool with_addresses = depth != DEPTH_EXCHANGES;
  if (!express->is_open || !is_usual(facts, now_ms) ||
      (with_addresses && (!express->gives_addresses || !look_at_hosts(set, hosts, now_ms, &sum))))
    return 0;
  uint8_t *end = put_head(at + HEADER_USUAL, id, name, facts, now_ms, &sum);
  const uint8_t *bytes = exchange_set_bytes(set);
  if (!with_addresses && !set->has_equals) {
    *is_due = sum.is_due;
    return finish(at, copy(end, bytes, set->length));
  }
  shuffle(set, order, random);
  end = copy(end, bytes, set->site_length);
  for (uint16_t i = 0; i < set->count; i++) {
    const struct exchange *exchange = &set->exchanges[order[i]];
    end = with_addresses ? put_exchange(express, end, set, exchange, &hosts[order[i]], random)
                         : copy(end, bytes + exchange->offset, exchange->length);
  }
  *is_due = sum.is_due;
  return finish(at, end);
}
