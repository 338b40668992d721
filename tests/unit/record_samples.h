/*
 * record_samples: records as daemons share them, for the unit test and as seeds of the fuzzer.
 *
 * All are made at one moment, record_sample_time, which is also when they are learned (or shortly before).
 */
#ifndef MXWAY_TESTS_RECORD_SAMPLES_H
#define MXWAY_TESTS_RECORD_SAMPLES_H

#include <stdio.h>
#include <string.h>

#include "store/record.h"

enum { RECORD_SAMPLE_NOW_MS = 50000000, RECORD_SAMPLE_STALE_S = 86400 };

static const struct image_time record_sample_time = {RECORD_SAMPLE_NOW_MS, 1790000000000};

static inline void record_sample_init(struct record *record, enum record_kind kind, const char *name) {
  memset(record, 0, sizeof(*record));
  record->kind = kind;
  record->generation = 41;
  snprintf(record->name, sizeof(record->name), "%s", name);
  snprintf(record->origin, sizeof(record->origin), "mx-out-3.example.net");
}

/* A domain of `kind`, learned `age_ms` ago with a life of `ttl_s`. */
static inline void record_sample_domain(struct record *record, const char *name, enum domain_kind kind,
                                        int64_t age_ms, int64_t ttl_s) {
  record_sample_init(record, RECORD_DOMAIN, name);
  record->domain.kind = kind;
  record->domain.stored_at_ms = RECORD_SAMPLE_NOW_MS - age_ms;
  record->domain.expires_at_ms = record->domain.stored_at_ms + ttl_s * 1000;
  record->stale_until_ms = record->domain.expires_at_ms + RECORD_SAMPLE_STALE_S * INT64_C(1000);
}

static inline void record_sample_add(struct record *record, unsigned preference, const char *host) {
  struct exchange_value *exchange = &record->domain.exchanges[record->domain.count++];
  exchange->preference = (uint16_t)preference;
  snprintf(exchange->host, sizeof(exchange->host), "%s", host);
}

/* The addresses of a host: `count` of them where there are any, learned `age_ms` ago with a life of `ttl_s`.
 */
static inline void record_sample_family(struct record *record, enum family family, enum family_state state,
                                        unsigned count, int64_t age_ms, int64_t ttl_s) {
  static const uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8, 0, 1}, v4[4] = {198, 51, 100};
  struct family_value *value = &record->families[family];
  size_t length = family == FAMILY_V6 ? sizeof(v6) : sizeof(v4);
  value->state = state;
  value->count = (uint8_t)count;
  for (unsigned i = 0; i < count; i++) {
    memcpy(value->addresses[i], family == FAMILY_V6 ? v6 : v4, length);
    value->addresses[i][length - 1] = (uint8_t)(26 + i);
  }
  record->learned_at_ms[family] = RECORD_SAMPLE_NOW_MS - age_ms;
  value->expires_at_ms = record->learned_at_ms[family] + ttl_s * 1000;
  int64_t stale_until_ms = value->expires_at_ms + RECORD_SAMPLE_STALE_S * INT64_C(1000);
  if (record->stale_until_ms < stale_until_ms)
    record->stale_until_ms = stale_until_ms;
}

static inline void record_sample_alias(struct record *record, const char *expanded) {
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    snprintf(record->families[family].expanded, FACTS_NAME_SIZE, "%s", expanded);
}

static inline void record_sample_provider(struct record *record) {
  record_sample_domain(record, "shop.example", DOMAIN_MX, 0, 300);
  record->domain.authentic = true;
  record_sample_add(record, 1, "aspmx.l.provider.example");
  record_sample_add(record, 5, "alt1.aspmx.l.provider.example");
  record_sample_add(record, 5, "alt2.aspmx.l.provider.example");
  record_sample_add(record, 10, "alt3.aspmx.l.provider.example");
  record_sample_add(record, 10, "alt4.aspmx.l.provider.example");
}

static inline void record_sample_odd(struct record *record) {
  record_sample_domain(record, "xn--bcher-kva.test", DOMAIN_MX, 1500, 86400);
  snprintf(record->domain.canonical, FACTS_NAME_SIZE, "_real.xn--bcher-kva.test");
  record->domain.warnings = WARNING_MX_IS_ADDRESS | WARNING_NULL_MX_MIXED | WARNING_DUPLICATE_EXCHANGE;
  record_sample_add(record, 0, "192.0.2.7");
  record_sample_add(record, 65535, "-a-.b_c.test");
}

static inline void record_sample_null_mx(struct record *record) {
  record_sample_domain(record, "noreply.example", DOMAIN_NULL_MX, 200, 3600);
}

static inline void record_sample_implicit(struct record *record) {
  record_sample_domain(record, "web.example", DOMAIN_NODATA, 0, 900);
  record_sample_add(record, 0, "web.example");
}

static inline void record_sample_implicit_alias(struct record *record) {
  record_sample_domain(record, "www.example", DOMAIN_NODATA, 0, 900);
  snprintf(record->domain.canonical, FACTS_NAME_SIZE, "host7.hosting.example");
  record_sample_add(record, 0, "host7.hosting.example");
}

static inline void record_sample_denied(struct record *record) {
  record_sample_domain(record, "gone.example", DOMAIN_NXDOMAIN, 10, 1800);
  record->stale_until_ms = record->domain.expires_at_ms;
}

static inline void record_sample_unusable(struct record *record) {
  record_sample_domain(record, "broken.example", DOMAIN_ALL_INVALID, 0, 60);
  record->domain.warnings = WARNING_UNUSABLE_NAME;
}

static inline void record_sample_dual(struct record *record) {
  record_sample_init(record, RECORD_HOST, "mx1.hosting.example");
  record_sample_family(record, FAMILY_V6, FAMILY_OK, 1, 40, 3600);
  record_sample_family(record, FAMILY_V4, FAMILY_OK, 2, 20, 300);
}

static inline void record_sample_v4_only(struct record *record) {
  record_sample_init(record, RECORD_HOST, "mail.example");
  record_sample_family(record, FAMILY_V6, FAMILY_NODATA, 0, 0, 900);
  record_sample_family(record, FAMILY_V4, FAMILY_OK, 1, 0, 60);
}

static inline void record_sample_host_alias(struct record *record) {
  record_sample_init(record, RECORD_HOST, "mx.alias.example");
  record_sample_family(record, FAMILY_V6, FAMILY_OK, 3, 0, 60);
  record_sample_family(record, FAMILY_V4, FAMILY_OK, 3, 0, 60);
  record_sample_alias(record, "a-much-longer-name.of-another-zone.example");
}

static inline void record_sample_half(struct record *record) {
  record_sample_init(record, RECORD_HOST, "mx.half.example");
  record_sample_family(record, FAMILY_V4, FAMILY_OK, 1, 0, 60);
  record->families[FAMILY_V4].authentic = true;
}

static inline void record_sample_no_host(struct record *record) {
  record_sample_init(record, RECORD_HOST, "mx.gone.example");
  record_sample_family(record, FAMILY_V6, FAMILY_NXDOMAIN, 0, 0, 300);
  record_sample_family(record, FAMILY_V4, FAMILY_NXDOMAIN, 0, 5, 300);
}

static inline void record_sample_crowd(struct record *record) {
  record_sample_init(record, RECORD_HOST, "pool.crowd.example");
  record_sample_family(record, FAMILY_V6, FAMILY_OK, FACTS_ADDRESSES_MAX, 0, 604800);
  record_sample_family(record, FAMILY_V4, FAMILY_OK, FACTS_ADDRESSES_MAX, 0, 1);
}

static const struct record_sample {
  const char *name;
  void (*make)(struct record *record);
} record_samples[] = {
    {"provider", record_sample_provider}, {"odd", record_sample_odd},
    {"null_mx", record_sample_null_mx},   {"implicit", record_sample_implicit},
    {"denied", record_sample_denied},     {"implicit_alias", record_sample_implicit_alias},
    {"unusable", record_sample_unusable}, {"dual", record_sample_dual},
    {"v4_only", record_sample_v4_only},   {"host_alias", record_sample_host_alias},
    {"half", record_sample_half},         {"no_host", record_sample_no_host},
    {"crowd", record_sample_crowd},
};

enum { RECORD_SAMPLE_COUNT = sizeof(record_samples) / sizeof(record_samples[0]) };

#endif
