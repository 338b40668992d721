/*
 * dnsmsg_samples: whole replies about "d.test", one of each shape, with what they say.
 *
 * For the unit test, which cuts and changes them at every place, and the fuzzer, which starts from them.
 */
#ifndef MXWAY_TESTS_DNSMSG_SAMPLES_H
#define MXWAY_TESTS_DNSMSG_SAMPLES_H

#include <stdio.h>

#include "dns/dnsmsg.h"
#include "dns_builder.h"

struct dnsmsg_sample {
  const char *name;
  void (*build)(struct dns_builder *builder);
  uint16_t qtype;
  enum dnsmsg_outcome outcome;
};

static inline void sample_mx(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_MX);
  dns_add_mx(b, NULL, 300, 10, "a.test");
  dns_add_mx(b, NULL, 300, 20, "b\\.c.test");
  dns_add_mx(b, "d.test", 300, 30, NULL);
  dns_add_name(b, DNS_AUTHORITY, "test", DNSMSG_NS, 300, "ns1.test");
  dns_add_raw(b, DNS_ADDITIONAL, "a.test", DNSMSG_A, 300, "\xc0\x00\x02\x01", 4);
  dns_add_opt(b, 0);
}

/* Every name but the first is compressed, over two pointers. */
static inline void sample_compressed(struct dns_builder *b) {
  dns_reply(b, 0x20, "d.test", DNSMSG_MX);
  size_t rdata_at = dns_begin_record(b, DNS_ANSWER, NULL, DNSMSG_MX, 300);
  dns_put_u16(b, 10);
  size_t host_at = b->length;
  dns_put(b, "\2mX", 3);
  dns_put_pointer(b, DNS_HEADER_LENGTH);
  dns_end_record(b, rdata_at);
  rdata_at = dns_begin_record(b, DNS_ANSWER, NULL, DNSMSG_MX, 200);
  dns_put_u16(b, 20);
  dns_put(b, "\1a", 2);
  dns_put_pointer(b, host_at);
  dns_end_record(b, rdata_at);
  dns_add_opt(b, 0);
}

static inline void sample_null_mx(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_MX);
  dns_add_mx(b, NULL, 300, 0, "");
}

static inline void sample_more_mx_than_are_read(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_MX);
  for (unsigned i = 0; i <= DNSMSG_MX_MAX; i++)
    dns_add_mx(b, NULL, 300, i, "a");
}

static inline void sample_a(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_A);
  dns_add_cname(b, "e.test", 300, "f.test");
  dns_add_cname(b, NULL, 300, "e.test");
  dns_add_a(b, "f.test", 60, 0xc0000201);
  dns_add_a(b, "f.test", 60, 0xc0000202);
}

static inline void sample_more_a_than_are_read(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_A);
  for (uint32_t i = 0; i <= DNSMSG_ADDRESS_MAX; i++)
    dns_add_a(b, NULL, 60, 0xc0000200 + i);
}

static inline void sample_aaaa(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_AAAA);
  dns_add_aaaa(b, NULL, 60, 1);
  dns_add_aaaa(b, NULL, 60, 2);
  dns_add_aaaa(b, NULL, 60, 1);
  dns_add_opt(b, 0);
}

/* d.test -> n1.test -> ... of `hops` aliases, with an MX at the end. */
static inline void sample_chain_of(struct dns_builder *b, unsigned hops) {
  char owner[16] = "d.test", target[16];
  dns_reply(b, 0, "d.test", DNSMSG_MX);
  for (unsigned i = 1; i <= hops; i++) {
    snprintf(target, sizeof(target), "n%u.test", i);
    dns_add_cname(b, owner, 300, target);
    memcpy(owner, target, sizeof(owner));
  }
  dns_add_mx(b, owner, 300, 10, "a.test");
}

static inline void sample_chain(struct dns_builder *b) { sample_chain_of(b, DNSMSG_CNAME_HOPS_MAX); }

static inline void sample_dname(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_MX);
  dns_add_name(b, DNS_ANSWER, "test", 39, 300, "example");
  dns_add_cname(b, NULL, 300, "d.example");
  dns_add_mx(b, "d.example", 60, 10, "a.test");
}

static inline void sample_follow(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_MX);
  dns_add_cname(b, NULL, 300, "e.example");
  dns_add_soa(b, "test", 3600, 900); /* of the alias's zone */
}

static inline void sample_loop(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_AAAA);
  dns_add_cname(b, NULL, 300, "e.test");
  dns_add_cname(b, "e.test", 300, NULL);
}

static inline void sample_more_aliases_than_are_read(struct dns_builder *b) { sample_chain_of(b, 65); }

static inline void sample_nodata(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_MX);
  dns_add_cname(b, NULL, 300, "e.test");
  dns_add_soa(b, "test", 3600, 900);
}

static inline void sample_nodata_without_soa(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_A);
  dns_add_raw(b, DNS_ANSWER, NULL, 16, 300, "\1x", 2);
}

static inline void sample_nxdomain(struct dns_builder *b) {
  dns_reply(b, 3, "d.test", DNSMSG_MX);
  dns_add_soa(b, "example", 3600, 900);
  dns_add_soa(b, "", 3600, 900);
  dns_add_opt(b, 0);
}

static inline void sample_nxdomain_of_an_alias(struct dns_builder *b) {
  dns_reply(b, 3, "d.test", DNSMSG_AAAA);
  dns_add_cname(b, NULL, 300, "gone.test");
  dns_add_soa(b, "gone.test", 60, 900);
}

static inline void sample_referral(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_MX);
  dns_add_name(b, DNS_AUTHORITY, "test", DNSMSG_NS, 3600, "ns1.test");
  dns_add_raw(b, DNS_ADDITIONAL, "ns1.test", DNSMSG_A, 300, "\xc0\x00\x02\x01", 4);
}

static inline void sample_formerr(struct dns_builder *b) { dns_start(b, DNS_FLAGS_REPLY | 1); }
static inline void sample_servfail(struct dns_builder *b) { dns_start(b, DNS_FLAGS_REPLY | 2); }
static inline void sample_notimp(struct dns_builder *b) { dns_reply(b, 4, "d.test", DNSMSG_MX); }
static inline void sample_refused(struct dns_builder *b) { dns_reply(b, 5, "d.test", DNSMSG_MX); }

static inline void sample_badvers(struct dns_builder *b) {
  dns_reply(b, 0, "d.test", DNSMSG_MX);
  dns_add_opt(b, 1);
}

static const struct dnsmsg_sample dnsmsg_samples[] = {
    {"mx", sample_mx, DNSMSG_MX, DNSMSG_ANSWER},
    {"compressed", sample_compressed, DNSMSG_MX, DNSMSG_ANSWER},
    {"null-mx", sample_null_mx, DNSMSG_MX, DNSMSG_ANSWER},
    {"more-mx-than-are-read", sample_more_mx_than_are_read, DNSMSG_MX, DNSMSG_ANSWER},
    {"a", sample_a, DNSMSG_A, DNSMSG_ANSWER},
    {"more-a-than-are-read", sample_more_a_than_are_read, DNSMSG_A, DNSMSG_ANSWER},
    {"aaaa", sample_aaaa, DNSMSG_AAAA, DNSMSG_ANSWER},
    {"chain", sample_chain, DNSMSG_MX, DNSMSG_ANSWER},
    {"dname", sample_dname, DNSMSG_MX, DNSMSG_ANSWER},
    {"follow", sample_follow, DNSMSG_MX, DNSMSG_FOLLOW},
    {"loop", sample_loop, DNSMSG_AAAA, DNSMSG_LOOP},
    {"more-aliases-than-are-read", sample_more_aliases_than_are_read, DNSMSG_MX, DNSMSG_LOOP},
    {"nodata", sample_nodata, DNSMSG_MX, DNSMSG_NODATA},
    {"nodata-without-soa", sample_nodata_without_soa, DNSMSG_A, DNSMSG_NODATA},
    {"nxdomain", sample_nxdomain, DNSMSG_MX, DNSMSG_NXDOMAIN},
    {"nxdomain-of-an-alias", sample_nxdomain_of_an_alias, DNSMSG_AAAA, DNSMSG_NXDOMAIN},
    {"referral", sample_referral, DNSMSG_MX, DNSMSG_REFUSED},
    {"formerr", sample_formerr, DNSMSG_MX, DNSMSG_FORMERR},
    {"servfail", sample_servfail, DNSMSG_A, DNSMSG_SERVFAIL},
    {"notimp", sample_notimp, DNSMSG_MX, DNSMSG_NOTIMP},
    {"refused", sample_refused, DNSMSG_MX, DNSMSG_REFUSED},
    {"badvers", sample_badvers, DNSMSG_MX, DNSMSG_OTHER_RCODE},
};

enum { DNSMSG_SAMPLE_COUNT = sizeof(dnsmsg_samples) / sizeof(dnsmsg_samples[0]) };

#endif
