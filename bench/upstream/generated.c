#include "generated.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETS_OF_PROVIDER = 4, HOSTS_OF_PROVIDER = 8, EXCHANGES_MAX = 5, PERCENT = 100 };

/* How unequal the sets are: the share of the one of rank r is as 1/r^SKEW. */
static const double SKEW = 1.1;

/* What a number is drawn for, so that draws for one name do not depend on each other. */
enum purpose {
  FOR_KIND,
  FOR_SET,
  FOR_COUNT,
  FOR_STYLE,
  FOR_START,
  FOR_BACKUP,
  FOR_TTL,
  FOR_FAMILY,
  FOR_ADDRESS
};

struct generated {
  uint64_t seed;
  int64_t ttl_s;
  bool all_share;
  uint32_t set_count, provider_count;
  struct dname apex, mail;
  double cumulative[]; /* of set_count */
};

struct generated *generated_create(uint64_t seed, uint32_t set_count, int64_t ttl_s) {
  struct generated *generated = calloc(1, sizeof(*generated) + set_count * sizeof(double));
  if (!generated)
    return NULL;
  generated->seed = seed;
  generated->ttl_s = ttl_s;
  generated->set_count = set_count;
  generated->provider_count = (set_count + SETS_OF_PROVIDER - 1) / SETS_OF_PROVIDER;
  dname_parse("bench.test.", 11, NULL, &generated->apex);
  dname_prepend("mail", &generated->apex, &generated->mail);
  double sum = 0;
  for (uint32_t rank = 0; rank < set_count; rank++)
    generated->cumulative[rank] = sum += pow(rank + 1.0, -SKEW);
  for (uint32_t rank = 0; rank < set_count; rank++)
    generated->cumulative[rank] /= sum;
  return generated;
}

void generated_share_all(struct generated *generated) { generated->all_share = true; }

void generated_destroy(struct generated *generated) { free(generated); }

size_t generated_apex_length(const struct generated *generated, const struct dname *name) {
  return dname_is_within(name, &generated->apex) ? generated->apex.length : 0;
}

/* ---- what a name is ---- */

enum name_kind {
  NAME_NONE,
  NAME_EMPTY,
  NAME_APEX,
  NAME_HOST,
  NAME_NULL_MX,
  NAME_NO_MX,
  NAME_OWN,
  NAME_SHARED
};

static uint32_t percent_of(uint64_t hash, enum purpose purpose) {
  return (uint32_t)(dname_mix(hash, purpose) % PERCENT);
}

/* Digits without a leading zero after `letter`, in a label of `length` octets; -1 for anything else. */
static int64_t number_of(const uint8_t *label, size_t length, const char *letters) {
  size_t skip = strlen(letters);
  int64_t value = 0;
  if (length <= skip || length > skip + 15 || memcmp(label, letters, skip) != 0)
    return -1;
  if (label[skip] == '0' && length > skip + 1)
    return -1;
  for (size_t i = skip; i < length; i++) {
    if (label[i] < '0' || label[i] > '9')
      return -1;
    value = value * 10 + (label[i] - '0');
  }
  return value;
}

static enum name_kind kind_of_domain(const struct generated *generated, const struct dname *name) {
  size_t length = name->bytes[0];
  const uint8_t *label = name->bytes + 1;
  if (length < 2 || (label[0] != 'u' && number_of(label, length, "d") < 0))
    return NAME_NONE;
  if (generated->all_share)
    return NAME_SHARED;
  uint32_t percent = percent_of(dname_hash(name, generated->seed), FOR_KIND);
  if (percent < 2)
    return NAME_NULL_MX;
  if (percent < 7)
    return NAME_NO_MX;
  return percent < 32 ? NAME_OWN : NAME_SHARED;
}

static bool has_backup(const struct generated *generated, const struct dname *domain) {
  return percent_of(dname_hash(domain, generated->seed), FOR_BACKUP) < 30;
}

static bool is_label(const struct dname *name, const char *text) {
  return name->bytes[0] == strlen(text) && memcmp(name->bytes + 1, text, name->bytes[0]) == 0;
}

/* `name` is within mail.bench.test. */
static enum name_kind kind_of_exchange(const struct generated *generated, const struct dname *name) {
  struct dname parent, grandparent;
  dname_parent(name, &parent);
  if (dname_equal(&parent, &generated->mail)) {
    int64_t provider = number_of(name->bytes + 1, name->bytes[0], "p");
    return provider >= 0 && provider < generated->provider_count ? NAME_EMPTY : NAME_NONE;
  }
  dname_parent(&parent, &grandparent);
  if (!dname_equal(&grandparent, &generated->mail) || kind_of_exchange(generated, &parent) != NAME_EMPTY)
    return NAME_NONE;
  int64_t number = number_of(name->bytes + 1, name->bytes[0], "mx");
  return number >= 1 && number <= HOSTS_OF_PROVIDER ? NAME_HOST : NAME_NONE;
}

static enum name_kind kind_of(const struct generated *generated, const struct dname *name) {
  if (dname_equal(name, &generated->apex))
    return NAME_APEX;
  if (dname_equal(name, &generated->mail))
    return NAME_HOST;
  if (dname_is_within(name, &generated->mail))
    return kind_of_exchange(generated, name);
  struct dname parent, grandparent;
  dname_parent(name, &parent);
  if (dname_equal(&parent, &generated->apex))
    return is_label(name, "ns") ? NAME_HOST : kind_of_domain(generated, name);
  dname_parent(&parent, &grandparent);
  if (!dname_equal(&grandparent, &generated->apex) || kind_of_domain(generated, &parent) != NAME_OWN)
    return NAME_NONE;
  if (is_label(name, "mx") || (is_label(name, "mx2") && has_backup(generated, &parent)))
    return NAME_HOST;
  return NAME_NONE;
}

/* ---- its records ---- */

static uint32_t ttl_of(const struct generated *generated, uint64_t hash, uint16_t type) {
  static const struct {
    uint32_t percent, ttl_s;
  } ttls[] = {{4, 60},    {25, 300}, {6, 600},   {4, 900},   {6, 1800},
              {32, 3600}, {3, 7200}, {8, 14400}, {2, 43200}, {10, 86400}};
  if (generated->ttl_s >= 0)
    return (uint32_t)generated->ttl_s;
  uint32_t percent = percent_of(dname_mix(hash, type), FOR_TTL);
  size_t i = 0;
  while (percent >= ttls[i].percent)
    percent -= ttls[i++].percent;
  return ttls[i].ttl_s;
}

/* Addresses are of the networks for benchmarks (RFC 2544) and for documentation (RFC 3849). */
static enum found put_addresses(const struct generated *generated, const struct dname *name, uint16_t type,
                                bool is_exchange, record_fn *put, void *context) {
  uint64_t hash = dname_hash(name, generated->seed);
  uint32_t percent = percent_of(hash, FOR_COUNT), family = percent_of(hash, FOR_FAMILY);
  uint32_t count = !is_exchange || percent < 70 ? 1 : percent < 90 ? 2 : 4;
  if (type == TYPE_AAAA && family >= (is_exchange ? 50 : 30))
    return FOUND_NODATA;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t bits = dname_mix(hash + i, FOR_ADDRESS + type);
    uint32_t v4 = htonl(0xc6120000u | (uint32_t)(bits & 0x1ffff));
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8};
    memcpy(v6 + 8, &bits, sizeof(bits));
    bool is_v4 = type == TYPE_A;
    put(context, name, type, ttl_of(generated, hash, type), is_v4 ? (const uint8_t *)&v4 : v6,
        is_v4 ? 4 : 16);
  }
  return FOUND_RECORDS;
}

struct exchanges {
  const struct dname *owner;
  uint32_t ttl_s;
  record_fn *put;
  void *context;
};

static void put_mx(const struct exchanges *exchanges, uint16_t preference, const struct dname *host) {
  uint8_t rdata[2 + DNAME_MAX];
  memcpy(rdata, &(uint16_t){htons(preference)}, 2);
  memcpy(rdata + 2, host->bytes, host->length);
  exchanges->put(exchanges->context, exchanges->owner, TYPE_MX, exchanges->ttl_s, rdata, 2u + host->length);
}

/* Like pow, log is not the same to the last bit everywhere: a draw this near to an edge is 1 in 2^40. */
static uint32_t draw_set(const struct generated *generated, uint64_t hash) {
  double draw = (double)(dname_mix(hash, FOR_SET) >> 11) * 0x1p-53;
  uint32_t low = 0, high = generated->set_count - 1;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (generated->cumulative[middle] > draw)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static void put_shared_set(const struct generated *generated, uint32_t set,
                           const struct exchanges *exchanges) {
  static const uint8_t counts[] = {1, 1, 1, 2, 2, 2, 2, 3, 4, 5}; /* of ten sets */
  uint64_t hash = dname_mix(generated->seed, set + 1u);
  /* The first few are the big ones, which have many exchanges. */
  uint32_t count = set < 8 ? EXCHANGES_MAX : counts[dname_mix(hash, FOR_COUNT) % sizeof(counts)];
  uint32_t style = percent_of(hash, FOR_STYLE), start = set % SETS_OF_PROVIDER;
  char label[16];
  struct dname provider, host;
  snprintf(label, sizeof(label), "p%u", set / SETS_OF_PROVIDER);
  dname_prepend(label, &generated->mail, &provider);
  for (uint32_t i = 0; i < count; i++) {
    /* Equal ones, pairs, or one after the other. */
    uint32_t level = style < 40 ? 0 : style < 60 ? i / 2 : i;
    snprintf(label, sizeof(label), "mx%u", (start + i) % HOSTS_OF_PROVIDER + 1);
    dname_prepend(label, &provider, &host);
    put_mx(exchanges, (uint16_t)(10 + 10 * level), &host);
  }
}

static enum found put_exchanges(const struct generated *generated, const struct dname *name,
                                enum name_kind kind, record_fn *put, void *context) {
  uint64_t hash = dname_hash(name, generated->seed);
  struct exchanges exchanges = {
      .owner = name, .ttl_s = ttl_of(generated, hash, TYPE_MX), .put = put, .context = context};
  struct dname host = {.length = 1};
  if (kind == NAME_NULL_MX) {
    put_mx(&exchanges, 0, &host);
  } else if (kind == NAME_SHARED) {
    put_shared_set(generated, draw_set(generated, hash), &exchanges);
  } else if (kind == NAME_OWN) {
    if (dname_prepend("mx", name, &host))
      put_mx(&exchanges, 10, &host);
    if (has_backup(generated, name) && dname_prepend("mx2", name, &host))
      put_mx(&exchanges, 20, &host);
  } else {
    return FOUND_NODATA;
  }
  return FOUND_RECORDS;
}

static enum found find_at_apex(const struct generated *generated, uint16_t type, record_fn *put,
                               void *context) {
  struct dname server;
  if (type == TYPE_SOA) {
    generated_put_soa(generated, put, context);
    return FOUND_RECORDS;
  }
  if (type != TYPE_NS || !dname_prepend("ns", &generated->apex, &server))
    return FOUND_NODATA;
  put(context, &generated->apex, TYPE_NS, ttl_of(generated, generated->seed, TYPE_NS), server.bytes,
      server.length);
  return FOUND_RECORDS;
}

enum found generated_find(const struct generated *generated, const struct dname *name, uint16_t type,
                          record_fn *put, void *context) {
  if (!dname_is_within(name, &generated->apex))
    return FOUND_OUTSIDE;
  enum name_kind kind = kind_of(generated, name);
  if (kind == NAME_NONE)
    return FOUND_NXDOMAIN;
  if (kind == NAME_APEX)
    return find_at_apex(generated, type, put, context);
  if (kind != NAME_EMPTY && (type == TYPE_A || type == TYPE_AAAA))
    return put_addresses(generated, name, type, kind == NAME_HOST, put, context);
  return type == TYPE_MX ? put_exchanges(generated, name, kind, put, context) : FOUND_NODATA;
}

void generated_put_soa(const struct generated *generated, record_fn *put, void *context) {
  enum { DENIAL_S = 900 };
  static const uint32_t numbers[] = {1, 7200, 900, 1209600};
  uint32_t denial_s = generated->ttl_s >= 0 ? (uint32_t)generated->ttl_s : DENIAL_S;
  uint8_t rdata[2 * DNAME_MAX + 20];
  size_t length = 0;
  struct dname name;
  const char *labels[] = {"ns", "root"};
  for (size_t i = 0; i < 2; i++) {
    dname_prepend(labels[i], &generated->apex, &name);
    memcpy(rdata + length, name.bytes, name.length);
    length += name.length;
  }
  for (size_t i = 0; i < 5; i++, length += 4)
    memcpy(rdata + length, &(uint32_t){htonl(i < 4 ? numbers[i] : denial_s)}, 4);
  put(context, &generated->apex, TYPE_SOA, denial_s, rdata, length);
}
