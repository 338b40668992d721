/*
 * dns_builder: DNS messages for tests, octet by octet, valid or not.
 *
 * Nothing is checked but the buffer's bounds. Names are text ("a.test", "" for the root), where a
 * backslash makes the octet after it an ordinary one; NULL is a pointer to the question's name.
 * Records must come in the order of their sections.
 */
#ifndef MXWAY_TESTS_DNS_BUILDER_H
#define MXWAY_TESTS_DNS_BUILDER_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct dns_builder {
  size_t length;
  uint8_t bytes[65535];
};

enum dns_section { DNS_QUESTION, DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

enum { DNS_HEADER_LENGTH = 12, DNS_FLAGS_REPLY = 0x8180 };

static inline void dns_put(struct dns_builder *builder, const void *bytes, size_t length) {
  assert(sizeof(builder->bytes) - builder->length >= length);
  memcpy(builder->bytes + builder->length, bytes, length);
  builder->length += length;
}

static inline void dns_put_u8(struct dns_builder *builder, unsigned value) {
  dns_put(builder, &(uint8_t){(uint8_t)value}, 1);
}

static inline void dns_put_u16(struct dns_builder *builder, unsigned value) {
  dns_put_u8(builder, value >> 8);
  dns_put_u8(builder, value);
}

static inline void dns_put_u32(struct dns_builder *builder, uint32_t value) {
  dns_put_u16(builder, value >> 16);
  dns_put_u16(builder, value);
}

static inline void dns_put_pointer(struct dns_builder *builder, size_t target) {
  dns_put_u16(builder, 0xc000u | (unsigned)target);
}

static inline void dns_put_name(struct dns_builder *builder, const char *name) {
  if (!name) {
    dns_put_pointer(builder, DNS_HEADER_LENGTH);
    return;
  }
  while (*name) {
    size_t label_at = builder->length;
    dns_put_u8(builder, 0);
    for (; *name && *name != '.'; name++) {
      if (*name == '\\')
        name++;
      dns_put(builder, name, 1);
    }
    builder->bytes[label_at] = (uint8_t)(builder->length - label_at - 1);
    if (*name == '.')
      name++;
  }
  dns_put_u8(builder, 0);
}

/* Adds to the count of a section in the header. */
static inline void dns_count(struct dns_builder *builder, enum dns_section section, int more) {
  uint8_t *at = builder->bytes + 4 + 2 * (size_t)section;
  unsigned count = (unsigned)((at[0] << 8 | at[1]) + more);
  at[0] = (uint8_t)(count >> 8);
  at[1] = (uint8_t)count;
}

static inline void dns_put_question(struct dns_builder *builder, const char *name, unsigned type) {
  dns_put_name(builder, name);
  dns_put_u16(builder, type);
  dns_put_u16(builder, 1);
  dns_count(builder, DNS_QUESTION, 1);
}

/* Starts a message: a header alone. */
static inline void dns_start(struct dns_builder *builder, unsigned flags) {
  static const uint8_t counts[8];
  builder->length = 0;
  dns_put_u16(builder, 0x1234);
  dns_put_u16(builder, flags);
  dns_put(builder, counts, sizeof(counts));
}

/* Starts a reply to a question. */
static inline void dns_reply(struct dns_builder *builder, unsigned rcode, const char *name, unsigned type) {
  dns_start(builder, DNS_FLAGS_REPLY | rcode);
  dns_put_question(builder, name, type);
}

/* Starts a record; what is put next is its rdata. Returns what dns_end_record takes. */
static inline size_t dns_begin_record(struct dns_builder *builder, enum dns_section section,
                                      const char *owner, unsigned type, uint32_t ttl_s) {
  dns_count(builder, section, 1);
  dns_put_name(builder, owner);
  dns_put_u16(builder, type);
  dns_put_u16(builder, 1);
  dns_put_u32(builder, ttl_s);
  dns_put_u16(builder, 0);
  return builder->length;
}

static inline void dns_end_record(struct dns_builder *builder, size_t rdata_at) {
  size_t length = builder->length - rdata_at;
  builder->bytes[rdata_at - 2] = (uint8_t)(length >> 8);
  builder->bytes[rdata_at - 1] = (uint8_t)length;
}

static inline void dns_add_raw(struct dns_builder *builder, enum dns_section section, const char *owner,
                               unsigned type, uint32_t ttl_s, const void *rdata, size_t length) {
  size_t at = dns_begin_record(builder, section, owner, type, ttl_s);
  dns_put(builder, rdata, length);
  dns_end_record(builder, at);
}

/* A record whose rdata is one name: CNAME 5, NS 2, DNAME 39. */
static inline void dns_add_name(struct dns_builder *builder, enum dns_section section, const char *owner,
                                unsigned type, uint32_t ttl_s, const char *target) {
  size_t at = dns_begin_record(builder, section, owner, type, ttl_s);
  dns_put_name(builder, target);
  dns_end_record(builder, at);
}

static inline void dns_add_cname(struct dns_builder *builder, const char *owner, uint32_t ttl_s,
                                 const char *target) {
  dns_add_name(builder, DNS_ANSWER, owner, 5, ttl_s, target);
}

static inline void dns_add_mx(struct dns_builder *builder, const char *owner, uint32_t ttl_s,
                              unsigned preference, const char *host) {
  size_t at = dns_begin_record(builder, DNS_ANSWER, owner, 15, ttl_s);
  dns_put_u16(builder, preference);
  dns_put_name(builder, host);
  dns_end_record(builder, at);
}

static inline void dns_add_a(struct dns_builder *builder, const char *owner, uint32_t ttl_s,
                             uint32_t address) {
  size_t at = dns_begin_record(builder, DNS_ANSWER, owner, 1, ttl_s);
  dns_put_u32(builder, address);
  dns_end_record(builder, at);
}

/* 2001:db8::`last` */
static inline void dns_add_aaaa(struct dns_builder *builder, const char *owner, uint32_t ttl_s,
                                unsigned last) {
  size_t at = dns_begin_record(builder, DNS_ANSWER, owner, 28, ttl_s);
  dns_put_u32(builder, 0x20010db8);
  dns_put_u32(builder, 0);
  dns_put_u32(builder, 0);
  dns_put_u32(builder, last);
  dns_end_record(builder, at);
}

static inline void dns_add_soa(struct dns_builder *builder, const char *owner, uint32_t ttl_s,
                               uint32_t minimum) {
  size_t at = dns_begin_record(builder, DNS_AUTHORITY, owner, 6, ttl_s);
  dns_put_name(builder, "ns1.test");
  dns_put_name(builder, "host\\.master.test");
  for (uint32_t i = 1; i <= 4; i++) /* serial, refresh, retry, expire: never the least */
    dns_put_u32(builder, 1000000000u + i);
  dns_put_u32(builder, minimum);
  dns_end_record(builder, at);
}

/* OPT with the upper eight bits of the rcode. */
static inline void dns_add_opt(struct dns_builder *builder, unsigned extended_rcode) {
  dns_count(builder, DNS_ADDITIONAL, 1);
  dns_put_u8(builder, 0);
  dns_put_u16(builder, 41);
  dns_put_u16(builder, 1232);
  dns_put_u32(builder, (uint32_t)extended_rcode << 24);
  dns_put_u16(builder, 0);
}

#endif
