#include "rules/facts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rules/name.h"
#include "rules/reach.h"
#include "rules/site.h"
#include "wire.h"

/* ---- hosts ---- */

static const size_t octets_of[FAMILY_COUNT] = {[FAMILY_V6] = 16, [FAMILY_V4] = 4};

/* The alias both families agree on; they differ only where one could not be asked. */
static const char *expanded_of(const struct family_value values[FAMILY_COUNT]) {
  const char *v6 = values[FAMILY_V6].expanded;
  return values[FAMILY_V4].expanded[0] ? values[FAMILY_V4].expanded : v6;
}

_Static_assert(FACTS_ADDRESSES_MAX <= 32, "a bit of host_facts.odd for each");
_Static_assert((int)FACTS_EXCHANGES_MAX <= (int)SITE_HOSTS_MAX, "a site describes a whole set");

/* A bit for each address that the address filter must look at. */
static uint32_t find_odd(const struct family_value *value, enum family family) {
  uint32_t odd = 0;
  for (uint8_t i = 0; i < value->count; i++)
    if (reach_of(value->addresses[i], octets_of[family]) != REACH_ORDINARY)
      odd |= UINT32_C(1) << i;
  return odd;
}

static bool is_plain(const struct host_facts *facts) {
  return facts->count[FAMILY_V6] + facts->count[FAMILY_V4] > 0 && !facts->odd[FAMILY_V6] &&
         !facts->odd[FAMILY_V4] && facts->expanded_length == 0 && facts->state[FAMILY_V6] != FAMILY_LOOP &&
         facts->state[FAMILY_V4] != FAMILY_LOOP;
}

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

/* Fills in what a hit asks, from what is there of each family. */
static void sum_up(struct host_facts *facts) {
  const int64_t *expires_at_ms = facts->expires_at_ms;
  facts->is_plain = is_plain(facts);
  facts->are_authentic = facts->authentic[FAMILY_V6] && facts->authentic[FAMILY_V4];
  facts->has_choice = facts->count[FAMILY_V6] > 1 || facts->count[FAMILY_V4] > 1;
  facts->plain_until_ms =
      facts->is_plain ? lesser(expires_at_ms[FAMILY_V6], expires_at_ms[FAMILY_V4]) : INT64_MIN;
  facts->given_until_ms = lesser(facts->count[FAMILY_V6] ? expires_at_ms[FAMILY_V6] : INT64_MAX,
                                 facts->count[FAMILY_V4] ? expires_at_ms[FAMILY_V4] : INT64_MAX);
  facts->refresh_from_ms = lesser(facts->refresh_at_ms[FAMILY_V6], facts->refresh_at_ms[FAMILY_V4]);
}

struct host_facts *host_facts_build(const struct family_value values[FAMILY_COUNT]) {
  const char *expanded = expanded_of(values);
  size_t expanded_length = strlen(expanded);
  size_t room = (size_t)FACTS_ADDRESSES_MAX * (PACKED_V6_LENGTH + PACKED_V4_LENGTH) + FACTS_NAME_SIZE + 4;
  uint8_t packed[room], *at = packed;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    for (uint8_t i = 0; i < values[family].count; i++)
      at = wire_put_string(at, FIELD_EXCHANGE_ADDRESSES, values[family].addresses[i], octets_of[family]);
  uint8_t *end = wire_put_string(at, FIELD_EXCHANGE_EXPANDED, expanded, expanded_length);
  size_t length = (size_t)(end - packed);

  struct host_facts *facts = malloc(sizeof(*facts) + length + FACTS_OVERREAD);
  if (!facts)
    return NULL;
  atomic_init(&facts->is_claimed, false);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    facts->expires_at_ms[family] = values[family].expires_at_ms;
    facts->stale_until_ms[family] = values[family].stale_until_ms;
    facts->life_ms[family] = values[family].life_ms;
    facts->refresh_at_ms[family] = values[family].refresh_at_ms ? values[family].refresh_at_ms : INT64_MAX;
    facts->state[family] = (uint8_t)values[family].state;
    facts->count[family] = values[family].count;
    facts->failures[family] = values[family].failures;
    facts->authentic[family] = values[family].authentic;
    facts->odd[family] = find_odd(&values[family], family);
  }
  facts->expanded_length = (uint16_t)(end - at);
  facts->addresses_length = (uint16_t)(at - packed);
  sum_up(facts);
  memcpy(facts->bytes, packed, length);
  memset(facts->bytes + length, 0, FACTS_OVERREAD);
  return facts;
}

struct host_facts *host_facts_build_address(const uint8_t *octets, size_t length) {
  enum family own = length == 16 ? FAMILY_V6 : FAMILY_V4;
  struct family_value values[FAMILY_COUNT] = {
      {.state = FAMILY_NODATA, .authentic = true, .expires_at_ms = INT64_MAX},
      {.state = FAMILY_NODATA, .authentic = true, .expires_at_ms = INT64_MAX},
  };
  values[own].state = FAMILY_OK;
  values[own].count = 1;
  memcpy(values[own].addresses[0], octets, length);
  return host_facts_build(values);
}

void host_values_agree(struct family_value values[FAMILY_COUNT]) {
  int64_t learned_at_ms[FAMILY_COUNT];
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    learned_at_ms[family] = family_state_is_definite(values[family].state)
                                ? values[family].expires_at_ms - values[family].life_ms
                                : INT64_MIN;
  bool is_v4 = learned_at_ms[FAMILY_V4] > learned_at_ms[FAMILY_V6];
  const struct family_value *later = &values[is_v4 ? FAMILY_V4 : FAMILY_V6];
  struct family_value *earlier = &values[is_v4 ? FAMILY_V6 : FAMILY_V4];
  memcpy(earlier->expanded, later->expanded, FACTS_NAME_SIZE);
}

void host_facts_unpack(const struct host_facts *facts, enum family family, struct family_value *value) {
  value->state = FAMILY_UNKNOWN;
  value->expires_at_ms = INT64_MIN;
  value->life_ms = 0;
  value->stale_until_ms = 0;
  value->refresh_at_ms = INT64_MAX;
  value->count = value->failures = 0;
  value->authentic = false;
  value->expanded[0] = '\0';
  if (!facts)
    return;
  value->state = facts->state[family];
  value->authentic = facts->authentic[family];
  value->expires_at_ms = facts->expires_at_ms[family];
  value->life_ms = facts->life_ms[family];
  value->stale_until_ms = facts->stale_until_ms[family];
  value->refresh_at_ms = facts->refresh_at_ms[family];
  value->count = facts->count[family];
  value->failures = facts->failures[family];
  const uint8_t *at = host_facts_addresses(facts, family);
  for (uint8_t i = 0; i < value->count; i++, at += 2 + octets_of[family])
    memcpy(value->addresses[i], at + 2, octets_of[family]);
  if (facts->expanded_length) {
    const uint8_t *field = host_facts_expanded(facts);
    size_t length = field[1] & 0x7f, header = 2;
    if (field[1] & 0x80)
      length |= (size_t)field[header++] << 7;
    memcpy(value->expanded, field + header, length);
    value->expanded[length] = '\0';
  }
}

/* ---- MX records to a set ---- */

static int by_host_then_preference(const void *a, const void *b) {
  const struct exchange_value *x = a, *y = b;
  int order = strcmp(x->host, y->host);
  return order ? order : (int)x->preference - (int)y->preference;
}

static int by_preference_then_host(const void *a, const void *b) {
  const struct exchange_value *x = a, *y = b;
  int order = (int)x->preference - (int)y->preference;
  return order ? order : strcmp(x->host, y->host);
}

static const char *shown(const char *host) { return *host ? host : "the root"; }

/* Keeps the first of equal hosts, which is the one with the lowest preference. */
static void merge_duplicates(struct domain_value *value, struct story *story) {
  uint16_t kept = 0;
  for (uint16_t i = 0; i < value->count; i++) {
    if (kept > 0 && strcmp(value->exchanges[kept - 1].host, value->exchanges[i].host) == 0) {
      if (value->exchanges[i].host[0])
        value->warnings |= WARNING_DUPLICATE_EXCHANGE;
      story_add(story, "V15", "dropped %s at preference %u: the same exchange stands at %u",
                shown(value->exchanges[i].host), value->exchanges[i].preference,
                value->exchanges[kept - 1].preference);
      continue;
    }
    if (kept != i)
      value->exchanges[kept] = value->exchanges[i];
    kept++;
  }
  value->count = kept;
}

void domain_value_normalise(struct domain_value *value, unsigned unusable_count, struct story *story) {
  value->kind = DOMAIN_MX;
  if (unusable_count > 0)
    value->warnings |= WARNING_UNUSABLE_NAME;
  qsort(value->exchanges, value->count, sizeof(value->exchanges[0]), by_host_then_preference);
  merge_duplicates(value, story);
  bool has_root = value->count > 0 && value->exchanges[0].host[0] == '\0'; /* "" sorts first */
  if (has_root && value->count == 1) {
    value->kind = DOMAIN_NULL_MX;
    if (value->exchanges[0].preference != 0)
      value->warnings |= WARNING_NULL_MX_NONZERO_PREFERENCE;
    value->count = 0;
    story_add(story, "V8 (RFC 7505 3)", "the only exchange is the root: a null MX, no mail is accepted");
    return;
  }
  if (has_root) {
    value->warnings |= WARNING_NULL_MX_MIXED;
    story_add(story, "V9 (RFC 7505 3)", "dropped the root, which stands beside real exchanges");
    memmove(value->exchanges, value->exchanges + 1, --value->count * sizeof(value->exchanges[0]));
  }
  if (value->count == 0) {
    value->kind = DOMAIN_ALL_INVALID;
    story_add(story, "V11", "no MX record names a possible host");
  }
  qsort(value->exchanges, value->count, sizeof(value->exchanges[0]), by_preference_then_host);
  uint8_t octets[NAME_ADDRESS_MAX];
  for (uint16_t i = 0; i < value->count; i++)
    if (name_as_address(value->exchanges[i].host, strlen(value->exchanges[i].host), octets)) {
      value->warnings |= WARNING_MX_IS_ADDRESS;
      story_add(story, "V12", "the exchange %s is an address: it is never asked for as a name",
                value->exchanges[i].host);
    }
}

/* Packs one LookupReply.exchanges field; returns its end and the length of the message in it. */
static uint8_t *pack_exchange(uint8_t *at, const struct exchange_value *value, size_t *inner_length) {
  uint8_t inner[FACTS_NAME_SIZE + 16];
  uint8_t *end = wire_put_uint(inner, FIELD_EXCHANGE_PREFERENCE, value->preference);
  end = wire_put_string(end, FIELD_EXCHANGE_HOST, value->host, strlen(value->host));
  end = wire_put_uint(end, FIELD_EXCHANGE_PORT, value->port);
  *inner_length = (size_t)(end - inner);
  return wire_put_string(at, FIELD_REPLY_EXCHANGES, inner, *inner_length);
}

/* Packs LookupReply.site_id and site_name; returns their end. */
static uint8_t *pack_site(uint8_t *at, const struct exchange_value *exchanges, uint16_t count,
                          bool implicit) {
  struct site_host hosts[FACTS_EXCHANGES_MAX];
  struct site site;
  for (uint16_t i = 0; i < count; i++)
    hosts[i] = (struct site_host){exchanges[i].preference, exchanges[i].host};
  site_build(hosts, count, implicit, &site);
  at = wire_put_string(at, FIELD_REPLY_SITE_ID, site.id, sizeof(site.id));
  return wire_put_string(at, FIELD_REPLY_SITE_NAME, site.name, site.name_length);
}

static void find_levels(struct exchange_set *set) {
  struct exchange *exchanges = set->exchanges;
  set->has_equals = false;
  for (uint16_t i = set->count; i-- > 0;) {
    bool is_last = i + 1 == set->count || exchanges[i + 1].preference != exchanges[i].preference;
    exchanges[i].level_end = is_last ? (uint16_t)(i + 1) : exchanges[i + 1].level_end;
    set->has_equals |= !is_last;
  }
}

struct exchange_set *exchange_set_build(const struct exchange_value *exchanges, uint16_t count, bool implicit,
                                        struct host *const hosts[]) {
  assert(count >= 1 && count <= FACTS_EXCHANGES_MAX);
  uint8_t packed[FACTS_NAME_SIZE + 32], site[SITE_NAME_MAX + 32];
  size_t site_length = (size_t)(pack_site(site, exchanges, count, implicit) - site);
  size_t length = site_length, inner_length;
  for (uint16_t i = 0; i < count; i++)
    length += (size_t)(pack_exchange(packed, &exchanges[i], &inner_length) - packed);
  struct exchange_set *set =
      malloc(sizeof(*set) + count * sizeof(set->exchanges[0]) + length + FACTS_OVERREAD);
  if (!set)
    return NULL;
  set->refs = 0;
  set->count = count;
  set->implicit = implicit;
  set->length = (uint32_t)length;
  set->site_length = (uint16_t)site_length;
  uint8_t *bytes = (uint8_t *)&set->exchanges[count], *at = wire_put_bytes(bytes, site, site_length);
  for (uint16_t i = 0; i < count; i++) {
    uint8_t *end = pack_exchange(at, &exchanges[i], &inner_length);
    set->exchanges[i] = (struct exchange){.host = hosts[i],
                                          .preference = exchanges[i].preference,
                                          .port = exchanges[i].port,
                                          .length = (uint16_t)(end - at),
                                          .inner_length = (uint16_t)inner_length,
                                          .offset = (uint32_t)(at - bytes)};
    at = end;
  }
  memset(at, 0, FACTS_OVERREAD);
  find_levels(set);
  return set;
}
