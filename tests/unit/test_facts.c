#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "mxway.pb-c.h"
#include "rules/facts.h"

enum { NAME_LONGEST = FACTS_NAME_SIZE - 1 };

/* ---- MX records to a set ---- */

static struct domain_value *new_value(void) {
  struct domain_value *value = calloc(1, sizeof(*value));
  assert_non_null(value);
  value->kind = DOMAIN_FAILED; /* to be set */
  return value;
}

static void add(struct domain_value *value, uint16_t preference, const char *host) {
  struct exchange_value *exchange = &value->exchanges[value->count++];
  exchange->preference = preference;
  snprintf(exchange->host, sizeof(exchange->host), "%s", host);
}

/* The exchanges as text, "10 a.test, 20 b.test". */
static const char *listed(const struct domain_value *value) {
  static char text[4096];
  size_t length = 0;
  text[0] = '\0';
  for (uint16_t i = 0; i < value->count; i++)
    length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%d %s", i ? ", " : "",
                               value->exchanges[i].preference, value->exchanges[i].host);
  return text;
}

/* Normalises, compares and frees. */
static void expect(struct domain_value *value, unsigned unusable_count, enum domain_kind kind,
                   unsigned warnings, const char *list) {
  domain_value_normalise(value, unusable_count, NULL);
  assert_int_equal(value->kind, kind);
  assert_int_equal(value->warnings, warnings);
  assert_string_equal(listed(value), list);
  free(value);
}

static void one_usable_exchange_is_left_as_it_is(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 10, "a.test");
  expect(value, 0, DOMAIN_MX, 0, "10 a.test");
}

static void exchanges_are_sorted_by_preference_as_unsigned_16_bit_numbers(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 32768, "a.test");
  add(value, 65535, "b.test");
  add(value, 32767, "c.test");
  add(value, 0, "d.test");
  add(value, 256, "e.test");
  add(value, 255, "f.test");
  expect(value, 0, DOMAIN_MX, 0,
         "0 d.test, 255 f.test, 256 e.test, 32767 c.test, 32768 a.test, 65535 b.test");
}

static void exchanges_of_one_preference_are_sorted_by_name(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 10, "b.test");
  add(value, 10, "b.test.example");
  add(value, 10, "a.test");
  add(value, 5, "z.test");
  expect(value, 0, DOMAIN_MX, 0, "5 z.test, 10 a.test, 10 b.test, 10 b.test.example");
}

static void a_duplicate_is_kept_once_at_its_lowest_preference_with_a_warning(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 30, "a.test");
  add(value, 20, "b.test");
  add(value, 10, "a.test");
  add(value, 40, "a.test");
  expect(value, 0, DOMAIN_MX, WARNING_DUPLICATE_EXCHANGE, "10 a.test, 20 b.test");
}

static void a_record_that_came_twice_is_a_duplicate(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 10, "a.test");
  add(value, 10, "a.test");
  expect(value, 0, DOMAIN_MX, WARNING_DUPLICATE_EXCHANGE, "10 a.test");
}

static void names_of_which_one_begins_the_other_are_no_duplicates(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 10, "a.test");
  add(value, 10, "a.tes");
  expect(value, 0, DOMAIN_MX, 0, "10 a.tes, 10 a.test");
}

static void the_root_alone_is_a_null_mx(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 0, "");
  expect(value, 0, DOMAIN_NULL_MX, 0, "");
}

static void a_null_mx_with_a_preference_is_one_with_a_warning(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 10, "");
  expect(value, 0, DOMAIN_NULL_MX, WARNING_NULL_MX_NONZERO_PREFERENCE, "");
}

static void the_root_twice_is_a_null_mx_without_a_warning(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 0, "");
  add(value, 0, "");
  expect(value, 0, DOMAIN_NULL_MX, 0, "");
}

static void the_preference_of_a_merged_null_mx_is_the_lowest(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 10, "");
  add(value, 0, "");
  expect(value, 0, DOMAIN_NULL_MX, 0, "");
  value = new_value();
  add(value, 20, "");
  add(value, 10, "");
  expect(value, 0, DOMAIN_NULL_MX, WARNING_NULL_MX_NONZERO_PREFERENCE, "");
}

static void a_root_beside_real_exchanges_is_dropped_with_a_warning(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 20, "b.test");
  add(value, 0, "");
  add(value, 10, "a.test");
  expect(value, 0, DOMAIN_MX, WARNING_NULL_MX_MIXED, "10 a.test, 20 b.test");
}

static void roots_beside_a_real_exchange_are_all_dropped(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 65535, "");
  add(value, 10, "a.test");
  add(value, 5, "");
  expect(value, 0, DOMAIN_MX, WARNING_NULL_MX_MIXED, "10 a.test");
}

static void a_root_beside_an_unusable_name_is_a_null_mx(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 0, "");
  expect(value, 1, DOMAIN_NULL_MX, WARNING_UNUSABLE_NAME, "");
}

static void unusable_names_are_warned_of_and_the_others_used(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 20, "b.test");
  expect(value, 3, DOMAIN_MX, WARNING_UNUSABLE_NAME, "20 b.test");
}

static void nothing_but_unusable_names_is_all_invalid(void **state) {
  (void)state;
  expect(new_value(), 1, DOMAIN_ALL_INVALID, WARNING_UNUSABLE_NAME, "");
  expect(new_value(), 100, DOMAIN_ALL_INVALID, WARNING_UNUSABLE_NAME, "");
}

static void an_exchange_that_is_an_address_in_text_is_kept_with_a_warning(void **state) {
  (void)state;
  static const char *const addresses[] = {"192.0.2.7", "2001:db8::7"};
  for (size_t i = 0; i < 2; i++) {
    char list[64];
    struct domain_value *value = new_value();
    add(value, 20, addresses[i]);
    add(value, 10, "a.test");
    snprintf(list, sizeof(list), "10 a.test, 20 %s", addresses[i]);
    expect(value, 0, DOMAIN_MX, WARNING_MX_IS_ADDRESS, list);
  }
}

static void names_that_only_look_like_addresses_are_not_warned_of(void **state) {
  (void)state;
  static const char *const names[] = {"192.0.2", "192.0.2.256", "192.0.2.7.test", "1", "a.b.c.d"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    char list[64];
    struct domain_value *value = new_value();
    add(value, 10, names[i]);
    snprintf(list, sizeof(list), "10 %s", names[i]);
    expect(value, 0, DOMAIN_MX, 0, list);
  }
}

static void warnings_add_up_and_earlier_ones_stay(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  value->warnings = WARNING_TOO_MANY_MX;
  add(value, 10, "a.test");
  add(value, 20, "a.test");
  add(value, 30, "");
  add(value, 40, "192.0.2.1");
  expect(value, 1, DOMAIN_MX,
         WARNING_TOO_MANY_MX | WARNING_DUPLICATE_EXCHANGE | WARNING_NULL_MX_MIXED | WARNING_MX_IS_ADDRESS |
             WARNING_UNUSABLE_NAME,
         "10 a.test, 40 192.0.2.1");
}

static void a_hundred_exchanges_are_all_kept(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  for (int i = FACTS_EXCHANGES_MAX - 1; i >= 0; i--) {
    char host[32];
    snprintf(host, sizeof(host), "mx%02d.test", i);
    add(value, (uint16_t)(i / 10), host);
  }
  domain_value_normalise(value, 0, NULL);
  assert_int_equal(value->kind, DOMAIN_MX);
  assert_int_equal(value->warnings, 0);
  assert_int_equal(value->count, FACTS_EXCHANGES_MAX);
  for (int i = 0; i < FACTS_EXCHANGES_MAX; i++) {
    char host[32];
    snprintf(host, sizeof(host), "mx%02d.test", i);
    assert_string_equal(value->exchanges[i].host, host);
    assert_int_equal(value->exchanges[i].preference, i / 10);
  }
  free(value);
}

/* Against a plain table of the lowest preference of each of a few names; number 0 is the root. */
enum { NAMES = 12, ABSENT = 65536 };

static void check_random_list(struct random *random) {
  struct domain_value *value = new_value();
  unsigned lowest[NAMES], rounds = random_below(random, FACTS_EXCHANGES_MAX) + 1;
  unsigned names = random_below(random, NAMES) + 1, left = 0;
  for (unsigned i = 0; i < NAMES; i++)
    lowest[i] = ABSENT;
  for (unsigned i = 0; i < rounds; i++) {
    char host[24] = "";
    unsigned name = random_below(random, names);
    uint16_t preference = (uint16_t)random_below(random, 65536);
    if (name > 0)
      snprintf(host, sizeof(host), "h%u.test", name);
    add(value, preference, host);
    lowest[name] = preference < lowest[name] ? preference : lowest[name];
  }
  domain_value_normalise(value, 0, NULL);
  for (unsigned i = 1; i < NAMES; i++)
    left += lowest[i] != ABSENT;
  assert_int_equal(value->count, left);
  assert_int_equal(value->kind, left > 0 ? DOMAIN_MX : DOMAIN_NULL_MX);
  assert_int_equal((value->warnings & WARNING_NULL_MX_MIXED) != 0, left > 0 && lowest[0] != ABSENT);
  for (unsigned i = 0; i < left; i++) {
    const struct exchange_value *exchange = &value->exchanges[i];
    assert_int_equal(exchange->preference, lowest[strtoul(exchange->host + 1, NULL, 10)]);
    if (i == 0)
      continue;
    assert_true(
        exchange[-1].preference < exchange->preference ||
        (exchange[-1].preference == exchange->preference && strcmp(exchange[-1].host, exchange->host) < 0));
  }
  free(value);
}

/* Adds each line of the story as "rule: text;" and frees it. */
static const char *retold(struct story *story) {
  static char text[4096];
  size_t length = 0;
  text[0] = '\0';
  for (size_t i = 0; i < story_count(story); i++)
    length += (size_t)snprintf(text + length, sizeof(text) - length, "%s: %s;", story_line(story, i).rule,
                               story_line(story, i).text);
  story_unref(story);
  return text;
}

static void what_is_dropped_or_odd_is_told(void **state) {
  (void)state;
  static const struct {
    const char *hosts[3]; /* at preferences 10, 20, 30; NULL: no more */
    unsigned unusable_count;
    const char *told;
  } rows[] = {
      {{"a.test", "b.test"}, 1, ""},
      {{"a.test", "b.test", "a.test"},
       0,
       "V15: dropped a.test at preference 30: the same exchange stands at 10;"},
      {{"", "a.test"}, 0, "V9 (RFC 7505 3): dropped the root, which stands beside real exchanges;"},
      {{""}, 0, "V8 (RFC 7505 3): the only exchange is the root: a null MX, no mail is accepted;"},
      {{"", ""},
       0,
       "V15: dropped the root at preference 20: the same exchange stands at 10;"
       "V8 (RFC 7505 3): the only exchange is the root: a null MX, no mail is accepted;"},
      {{NULL}, 1, "V11: no MX record names a possible host;"},
      {{"192.0.2.7"}, 0, "V12: the exchange 192.0.2.7 is an address: it is never asked for as a name;"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct domain_value *value = new_value();
    struct story *story = story_create();
    for (unsigned at = 0; at < 3 && rows[i].hosts[at]; at++)
      add(value, (uint16_t)(10 * (at + 1)), rows[i].hosts[at]);
    domain_value_normalise(value, rows[i].unusable_count, story);
    assert_string_equal(retold(story), rows[i].told);
    free(value);
  }
}

static void random_lists_become_what_the_model_says(void **state) {
  (void)state;
  struct random random = {.state = 5};
  for (int i = 0; i < 5000; i++)
    check_random_list(&random);
}

/* ---- packed sets ---- */

static void fill_name(char name[FACTS_NAME_SIZE], char letter) {
  memset(name, letter, NAME_LONGEST);
  for (int i = 49; i < NAME_LONGEST - 1; i += 50)
    name[i] = '.';
  name[NAME_LONGEST] = '\0';
}

/* Builds a set from `value` with hosts whose addresses are arbitrary. */
static struct exchange_set *build(const struct domain_value *value) {
  struct host *hosts[FACTS_EXCHANGES_MAX];
  for (uint16_t i = 0; i < value->count; i++)
    hosts[i] = (struct host *)&value->exchanges[i]; /* not looked into */
  struct exchange_set *set = exchange_set_build(value->exchanges, value->count, false, hosts);
  assert_non_null(set);
  assert_int_equal(set->refs, 0);
  assert_int_equal(set->count, value->count);
  for (uint16_t i = 0; i < value->count; i++)
    assert_ptr_equal(set->exchanges[i].host, hosts[i]);
  return set;
}

static void check_exchange(const Mxway__V1__Exchange *decoded, const struct exchange_value *value) {
  assert_non_null(decoded);
  assert_int_equal(decoded->preference, value->preference);
  assert_string_equal(decoded->host, value->host);
  assert_string_equal(decoded->expanded, "");
  assert_int_equal(decoded->status, MXWAY__V1__EXCHANGE_STATUS__EXCHANGE_STATUS_NOT_RESOLVED);
  assert_int_equal(decoded->n_addresses, 0);
  assert_int_equal(decoded->ttl, 0);
  assert_int_equal(decoded->port, value->port);
}

/* Each exchange alone, as a field of LookupReply and as an Exchange. */
static void check_pieces(const struct exchange_set *set, const struct domain_value *value) {
  uint32_t offset = set->site_length;
  for (uint16_t i = 0; i < set->count; i++) {
    const struct exchange *exchange = &set->exchanges[i];
    const uint8_t *field = exchange_set_bytes(set) + exchange->offset;
    assert_int_equal(exchange->preference, value->exchanges[i].preference);
    assert_int_equal(exchange->port, value->exchanges[i].port);
    assert_int_equal(exchange->offset, offset);
    offset += exchange->length;
    Mxway__V1__LookupReply *reply = mxway__v1__lookup_reply__unpack(NULL, exchange->length, field);
    assert_non_null(reply);
    assert_int_equal(reply->n_exchanges, 1);
    check_exchange(reply->exchanges[0], &value->exchanges[i]);
    assert_int_equal(reply->base.n_unknown_fields, 0);
    mxway__v1__lookup_reply__free_unpacked(reply, NULL);
    Mxway__V1__Exchange *inner = mxway__v1__exchange__unpack(
        NULL, exchange->inner_length, field + exchange->length - exchange->inner_length);
    check_exchange(inner, &value->exchanges[i]);
    mxway__v1__exchange__free_unpacked(inner, NULL);
  }
}

/* All exchanges one after the other, and as the generated code would have packed them. */
static void check_whole(const struct exchange_set *set, const struct domain_value *value) {
  const struct exchange *last = &set->exchanges[set->count - 1];
  const uint8_t *bytes = exchange_set_bytes(set) + set->site_length;
  size_t length = set->length - set->site_length;
  assert_int_equal(set->length, last->offset + last->length);
  Mxway__V1__LookupReply *reply = mxway__v1__lookup_reply__unpack(NULL, length, bytes);
  assert_non_null(reply);
  assert_int_equal(reply->n_exchanges, value->count);
  for (uint16_t i = 0; i < value->count; i++)
    check_exchange(reply->exchanges[i], &value->exchanges[i]);
  assert_int_equal(mxway__v1__lookup_reply__get_packed_size(reply), length);
  uint8_t *packed = malloc(length);
  mxway__v1__lookup_reply__pack(reply, packed);
  assert_memory_equal(packed, bytes, length);
  free(packed);
  mxway__v1__lookup_reply__free_unpacked(reply, NULL);
}

/* Which exchanges are of the same preference. */
static void check_levels(const struct exchange_set *set) {
  bool has_equals = false;
  for (uint16_t i = 0; i < set->count; i++) {
    uint16_t end = i;
    while (end < set->count && set->exchanges[end].preference == set->exchanges[i].preference)
      end++;
    assert_int_equal(set->exchanges[i].level_end, end);
    has_equals |= end - i > 1;
  }
  assert_int_equal(set->has_equals, has_equals);
}

static void check_set(struct domain_value *value) {
  struct exchange_set *set = build(value);
  check_levels(set);
  check_pieces(set, value);
  check_whole(set, value);
  free(set);
  free(value);
}

static void a_packed_set_decodes_to_its_exchanges(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 10, "a.test");
  add(value, 20, "mail.example");
  check_set(value);
}

static void preferences_of_every_length_are_packed(void **state) {
  (void)state;
  static const uint16_t preferences[] = {0, 1, 127, 128, 16383, 16384, 32767, 32768, 65535};
  struct domain_value *value = new_value();
  for (size_t i = 0; i < sizeof(preferences) / sizeof(preferences[0]); i++)
    add(value, preferences[i], "a.test");
  check_set(value);
}

/* Around 127 octets the lengths of the name and of the message around it become two octets long. */
static void names_of_every_length_are_packed(void **state) {
  (void)state;
  for (int length = 1; length <= NAME_LONGEST; length++)
    for (int preference = 0; preference <= 65535; preference += 65535) {
      struct domain_value *value = new_value();
      char name[FACTS_NAME_SIZE];
      fill_name(name, 'x');
      name[length] = '\0';
      add(value, (uint16_t)preference, name);
      check_set(value);
    }
}

static void a_set_of_the_most_and_longest_exchanges_is_packed(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  for (int i = 0; i < FACTS_EXCHANGES_MAX; i++) {
    char name[FACTS_NAME_SIZE];
    fill_name(name, (char)('a' + i % 26));
    add(value, (uint16_t)(65535 - i % 3), name);
  }
  check_set(value);
}

static void a_port_is_packed_and_one_host_may_have_several(void **state) {
  (void)state;
  static const uint16_t ports[] = {0, 1, 127, 128, 16384, 65535};
  struct domain_value *value = new_value();
  char longest[FACTS_NAME_SIZE];
  fill_name(longest, 'x');
  for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
    add(value, 65535, i % 2 ? longest : "a.test");
    value->exchanges[i].port = ports[i];
  }
  check_set(value);
}

static void an_address_as_exchange_is_packed_as_its_text(void **state) {
  (void)state;
  struct domain_value *value = new_value();
  add(value, 0, "2001:db8::7");
  check_set(value);
}

/* ---- hosts ---- */

static const size_t octets_of[FAMILY_COUNT] = {[FAMILY_V6] = 16, [FAMILY_V4] = 4};

static void fill_family(struct family_value *value, enum family family, uint8_t count,
                        int64_t expires_at_ms) {
  value->state = count ? FAMILY_OK : FAMILY_NODATA;
  value->expires_at_ms = expires_at_ms;
  value->count = count;
  for (uint8_t i = 0; i < count; i++)
    for (size_t octet = 0; octet < octets_of[family]; octet++)
      value->addresses[i][octet] = (uint8_t)(i * 16 + octet + (family == FAMILY_V4 ? 100 : 0));
}

static void check_family(const struct host_facts *facts, enum family family, const struct family_value *value,
                         const char *expanded) {
  struct family_value unpacked;
  memset(&unpacked, 0x5a, sizeof(unpacked));
  host_facts_unpack(facts, family, &unpacked);
  assert_int_equal(unpacked.state, value->state);
  assert_true(unpacked.expires_at_ms == value->expires_at_ms);
  assert_int_equal(unpacked.count, value->count);
  assert_int_equal(unpacked.failures, value->failures);
  assert_int_equal(unpacked.authentic, value->authentic);
  for (uint8_t i = 0; i < value->count; i++)
    assert_memory_equal(unpacked.addresses[i], value->addresses[i], octets_of[family]);
  assert_string_equal(unpacked.expanded, expanded);
}

/* The stored bytes are fields of Exchange. */
static void check_bytes(const struct host_facts *facts, const struct family_value values[FAMILY_COUNT],
                        const char *expanded) {
  size_t addresses_length =
      (size_t)values[FAMILY_V6].count * PACKED_V6_LENGTH + (size_t)values[FAMILY_V4].count * PACKED_V4_LENGTH;
  assert_ptr_equal(host_facts_addresses(facts, FAMILY_V6), facts->bytes);
  assert_ptr_equal(host_facts_expanded(facts), facts->bytes + addresses_length);
  Mxway__V1__Exchange *decoded =
      mxway__v1__exchange__unpack(NULL, addresses_length + facts->expanded_length, facts->bytes);
  assert_non_null(decoded);
  assert_string_equal(decoded->expanded, expanded);
  assert_int_equal(decoded->n_addresses, values[FAMILY_V6].count + values[FAMILY_V4].count);
  size_t at = 0;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    for (uint8_t i = 0; i < values[family].count; i++, at++) {
      assert_int_equal(decoded->addresses[at].len, octets_of[family]);
      assert_memory_equal(decoded->addresses[at].data, values[family].addresses[i], octets_of[family]);
    }
  mxway__v1__exchange__free_unpacked(decoded, NULL);
}

static void check_host(const struct family_value values[FAMILY_COUNT], const char *expanded) {
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    assert_int_equal(facts->state[family], values[family].state);
    assert_int_equal(facts->count[family], values[family].count);
    assert_true(facts->expires_at_ms[family] == values[family].expires_at_ms);
    check_family(facts, family, &values[family], expanded);
  }
  check_bytes(facts, values, expanded);
  free(facts);
}

/* Bit n for address n, so that an answer need not look at the others. */
static void odd_addresses_are_known_from_the_start(void **state) {
  (void)state;
  static struct family_value values[FAMILY_COUNT];
  static const uint8_t v6_loopback[16] = {[15] = 1}, v4_loopback[4] = {127, 0, 0, 1},
                       v4_private[4] = {10, 0, 0, 1};
  fill_family(&values[FAMILY_V6], FAMILY_V6, FACTS_ADDRESSES_MAX, 1000);
  fill_family(&values[FAMILY_V4], FAMILY_V4, FACTS_ADDRESSES_MAX, 1000);
  memset(values[FAMILY_V6].addresses, 0x20, sizeof(values[FAMILY_V6].addresses));
  memset(values[FAMILY_V4].addresses, 0x20, sizeof(values[FAMILY_V4].addresses));
  struct host_facts *facts = host_facts_build(values);
  assert_int_equal(facts->odd[FAMILY_V6] | facts->odd[FAMILY_V4], 0);
  assert_true(facts->is_plain);
  free(facts);
  memcpy(values[FAMILY_V6].addresses[31], v6_loopback, 16);
  memcpy(values[FAMILY_V4].addresses[0], v4_loopback, 4);
  memcpy(values[FAMILY_V4].addresses[2], v4_private, 4);
  facts = host_facts_build(values);
  assert_true(facts->odd[FAMILY_V6] == UINT32_C(1) << 31);
  assert_true(facts->odd[FAMILY_V4] == (1 << 0 | 1 << 2));
  assert_false(facts->is_plain);
  free(facts);
}

/* What a hit asks of a host, summed up. */
static void a_host_sums_up_its_families(void **state) {
  (void)state;
  static struct family_value values[FAMILY_COUNT];
  fill_family(&values[FAMILY_V6], FAMILY_V6, 1, 2000);
  fill_family(&values[FAMILY_V4], FAMILY_V4, 1, 1000);
  memset(values[FAMILY_V6].addresses, 0x20, sizeof(values[FAMILY_V6].addresses));
  memset(values[FAMILY_V4].addresses, 0x20, sizeof(values[FAMILY_V4].addresses));
  values[FAMILY_V6].authentic = true;
  values[FAMILY_V4].authentic = false;
  values[FAMILY_V6].refresh_at_ms = values[FAMILY_V4].refresh_at_ms = 0;
  struct host_facts *facts = host_facts_build(values);
  assert_int_equal(facts->plain_until_ms, values[FAMILY_V4].expires_at_ms);
  assert_int_equal(facts->given_until_ms, values[FAMILY_V4].expires_at_ms);
  assert_true(facts->refresh_from_ms == INT64_MAX);
  assert_int_equal(facts->addresses_length, PACKED_V6_LENGTH + PACKED_V4_LENGTH);
  assert_false(facts->are_authentic);
  assert_false(facts->has_choice);
  free(facts);
  /* That there is none of a family counts for its life, not for that of the addresses. */
  values[FAMILY_V4].count = 0;
  values[FAMILY_V4].state = FAMILY_NODATA;
  values[FAMILY_V4].authentic = true;
  values[FAMILY_V6].refresh_at_ms = 700;
  facts = host_facts_build(values);
  assert_int_equal(facts->plain_until_ms, values[FAMILY_V4].expires_at_ms);
  assert_int_equal(facts->given_until_ms, values[FAMILY_V6].expires_at_ms);
  assert_int_equal(facts->refresh_from_ms, 700);
  assert_true(facts->are_authentic);
  free(facts);
  memset(values[FAMILY_V6].addresses[0], 0, 16);
  values[FAMILY_V6].count = 2;
  facts = host_facts_build(values);
  assert_true(facts->has_choice);
  assert_true(facts->plain_until_ms == INT64_MIN);
  free(facts);
}

static void a_set_says_whether_it_is_implicit_in_its_site(void **state) {
  (void)state;
  struct exchange_value exchange = {.preference = 0, .host = "d.test"};
  struct host *hosts[1] = {NULL};
  Mxway__V1__LookupReply *replies[2];
  for (int implicit = 0; implicit < 2; implicit++) {
    struct exchange_set *set = exchange_set_build(&exchange, 1, implicit, hosts);
    assert_int_equal(set->implicit, implicit);
    replies[implicit] = mxway__v1__lookup_reply__unpack(NULL, set->site_length, exchange_set_bytes(set));
    assert_non_null(replies[implicit]);
    assert_int_equal(replies[implicit]->base.n_unknown_fields, 0);
    assert_string_equal(replies[implicit]->site_name, "d.test");
    assert_int_equal(replies[implicit]->site_id.len, 16);
    free(set);
  }
  assert_memory_not_equal(replies[0]->site_id.data, replies[1]->site_id.data, 16);
  mxway__v1__lookup_reply__free_unpacked(replies[0], NULL);
  mxway__v1__lookup_reply__free_unpacked(replies[1], NULL);
}

static void any_number_of_addresses_goes_round(void **state) {
  (void)state;
  static const uint8_t counts[] = {0, 1, 2, 8, FACTS_ADDRESSES_MAX - 1, FACTS_ADDRESSES_MAX};
  for (size_t six = 0; six < sizeof(counts); six++)
    for (size_t four = 0; four < sizeof(counts); four++) {
      static struct family_value values[FAMILY_COUNT];
      fill_family(&values[FAMILY_V6], FAMILY_V6, counts[six], 1000);
      fill_family(&values[FAMILY_V4], FAMILY_V4, counts[four], INT64_MAX);
      values[FAMILY_V6].authentic = six % 2;
      values[FAMILY_V4].authentic = four % 2;
      check_host(values, "");
    }
}

static void expanded_names_of_every_length_go_round(void **state) {
  (void)state;
  for (int length = 1; length <= NAME_LONGEST; length++) {
    static struct family_value values[FAMILY_COUNT];
    fill_family(&values[FAMILY_V6], FAMILY_V6, 1, 1);
    fill_family(&values[FAMILY_V4], FAMILY_V4, 2, 2);
    for (enum family family = 0; family < FAMILY_COUNT; family++) {
      fill_name(values[family].expanded, 'e');
      values[family].expanded[length] = '\0';
    }
    check_host(values, values[FAMILY_V4].expanded);
  }
}

static void the_most_addresses_with_the_longest_expanded_name_go_round(void **state) {
  (void)state;
  static struct family_value values[FAMILY_COUNT];
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    fill_family(&values[family], family, FACTS_ADDRESSES_MAX, INT64_MIN);
    fill_name(values[family].expanded, 'z');
  }
  check_host(values, values[FAMILY_V6].expanded);
}

static void an_alias_that_only_one_family_saw_is_kept(void **state) {
  (void)state;
  for (enum family seen = 0; seen < FAMILY_COUNT; seen++) {
    struct family_value values[FAMILY_COUNT] = {0};
    fill_family(&values[seen], seen, 1, 5);
    values[FAMILY_COUNT - 1 - seen].state = FAMILY_TEMPFAIL;
    snprintf(values[seen].expanded, FACTS_NAME_SIZE, "h.example");
    check_host(values, "h.example");
  }
}

static void facts_of_nothing_are_unknown_and_expired(void **state) {
  (void)state;
  static const struct family_value values[FAMILY_COUNT];
  check_host(values, "");
  struct host_facts *facts = host_facts_build(values);
  assert_int_equal(facts->state[FAMILY_V6], FAMILY_UNKNOWN);
  assert_int_equal(facts->expanded_length, 0);
  assert_false(host_facts_are_ready(facts, false, 0));
  free(facts);
}

static void every_state_goes_round(void **state) {
  (void)state;
  for (enum family_state v6 = FAMILY_UNKNOWN; v6 <= FAMILY_LOOP; v6++)
    for (enum family_state v4 = FAMILY_UNKNOWN; v4 <= FAMILY_LOOP; v4++) {
      struct family_value values[FAMILY_COUNT] = {
          [FAMILY_V6] = {.state = v6, .expires_at_ms = -7}, [FAMILY_V4] = {.state = v4, .expires_at_ms = 7}};
      check_host(values, "");
    }
}

static void failures_in_a_row_go_round(void **state) {
  (void)state;
  static const uint8_t failures[] = {0, 1, 7, UINT8_MAX};
  for (size_t six = 0; six < sizeof(failures); six++)
    for (size_t four = 0; four < sizeof(failures); four++) {
      struct family_value values[FAMILY_COUNT] = {
          [FAMILY_V6] = {.state = FAMILY_TEMPFAIL, .failures = failures[six]},
          [FAMILY_V4] = {.state = FAMILY_LOOP, .failures = failures[four]}};
      check_host(values, "");
    }
}

static void without_facts_a_family_unpacks_as_unknown_and_expired_for_ever(void **state) {
  (void)state;
  const struct family_value nothing = {.state = FAMILY_UNKNOWN, .expires_at_ms = INT64_MIN};
  check_family(NULL, FAMILY_V6, &nothing, "");
  check_family(NULL, FAMILY_V4, &nothing, "");
}

static void one_family_can_be_renewed_alone(void **state) {
  (void)state;
  static struct family_value values[FAMILY_COUNT], renewed[FAMILY_COUNT];
  fill_family(&values[FAMILY_V6], FAMILY_V6, 3, 100);
  fill_family(&values[FAMILY_V4], FAMILY_V4, 4, 200);
  struct host_facts *facts = host_facts_build(values);
  assert_non_null(facts);
  host_facts_unpack(facts, FAMILY_V6, &renewed[FAMILY_V6]);
  fill_family(&renewed[FAMILY_V4], FAMILY_V4, 0, 300);
  free(facts);
  check_host(renewed, "");
  assert_int_equal(renewed[FAMILY_V6].count, 3);
}

static void facts_are_fresh_until_the_first_family_expires(void **state) {
  (void)state;
  for (int first = 0; first < FAMILY_COUNT; first++) {
    struct family_value values[FAMILY_COUNT] = {{.expires_at_ms = 300}, {.expires_at_ms = 300}};
    values[first].expires_at_ms = 200;
    struct host_facts *facts = host_facts_build(values);
    assert_non_null(facts);
    assert_true(host_facts_are_ready(facts, false, 199));
    assert_false(host_facts_are_ready(facts, false, 200));
    assert_false(host_facts_are_ready(facts, false, 300));
    free(facts);
  }
  assert_false(host_facts_are_ready(NULL, false, INT64_MIN));
}

static void a_host_that_is_an_address_has_it_for_ever(void **state) {
  (void)state;
  static const uint8_t octets[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    static struct family_value expected[FAMILY_COUNT];
    for (enum family each = 0; each < FAMILY_COUNT; each++)
      expected[each] = (struct family_value){.state = each == family ? FAMILY_OK : FAMILY_NODATA,
                                             .authentic = true, /* nobody was asked */
                                             .expires_at_ms = INT64_MAX,
                                             .count = each == family};
    memcpy(expected[family].addresses[0], octets, octets_of[family]);
    struct host_facts *facts = host_facts_build_address(octets, octets_of[family]);
    assert_non_null(facts);
    for (enum family each = 0; each < FAMILY_COUNT; each++)
      check_family(facts, each, &expected[each], "");
    check_bytes(facts, expected, "");
    assert_true(host_facts_are_ready(facts, false, INT64_MAX - 1));
    free(facts);
  }
}

/* ---- domains ---- */

static void the_canonical_name_is_the_name_itself_or_what_stands_behind_it(void **state) {
  (void)state;
  static const char text[] = "d.testc.example";
  struct domain_facts *facts = calloc(1, sizeof(*facts) + sizeof(text));
  assert_non_null(facts);
  memcpy(facts->text, text, sizeof(text));
  size_t length;
  facts->name_length = 6;
  assert_memory_equal(domain_canonical(facts, &length), "d.test", 6);
  assert_int_equal(length, 6);
  facts->canonical_length = 9;
  assert_memory_equal(domain_canonical(facts, &length), "c.example", 9);
  assert_int_equal(length, 9);
  free(facts);
}

/* Stored at 1000 and good until 6000. */
static void facts_are_kept_until_they_expire_and_failures_as_long_again(void **state) {
  (void)state;
  static const struct {
    enum domain_kind kind;
    enum verdict cause;
    uint8_t failures;
    int64_t kept_until_ms;
  } rows[] = {
      {DOMAIN_MX, 0, 0, 6000},
      {DOMAIN_NULL_MX, 0, 0, 6000},
      {DOMAIN_NODATA, 0, 0, 6000},
      {DOMAIN_NXDOMAIN, 0, 0, 6000},
      {DOMAIN_ALL_INVALID, 0, 0, 6000},
      {DOMAIN_FAILED, VERDICT_DNS_SERVFAIL, 1, 11000},
      {DOMAIN_FAILED, VERDICT_CNAME_LOOP, UINT8_MAX, 11000},
      {DOMAIN_FAILED, VERDICT_DNS_NETWORK, 0, 6000}, /* no row to go on with */
      {DOMAIN_FAILED, VERDICT_DNS_NETWORK, 1, 6000 + FACTS_ROW_KEPT_MS},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct domain_facts facts = {.stored_at_ms = 1000,
                                 .expires_at_ms = 6000,
                                 .kind = (uint8_t)rows[i].kind,
                                 .cause = (uint8_t)rows[i].cause,
                                 .failures = rows[i].failures};
    assert_true(domain_facts_are_kept(&facts, 0, rows[i].kept_until_ms - 1));
    assert_false(domain_facts_are_kept(&facts, 0, rows[i].kept_until_ms));
  }
}

static void warnings_and_fields_have_the_numbers_of_the_protocol(void **state) {
  (void)state;
  static const struct {
    unsigned bit;
    Mxway__V1__Warning number;
  } warnings[] = {
      {WARNING_NULL_MX_NONZERO_PREFERENCE, MXWAY__V1__WARNING__WARNING_NULL_MX_NONZERO_PREFERENCE},
      {WARNING_NULL_MX_MIXED, MXWAY__V1__WARNING__WARNING_NULL_MX_MIXED},
      {WARNING_MX_IS_ADDRESS, MXWAY__V1__WARNING__WARNING_MX_IS_ADDRESS},
      {WARNING_MX_IS_CNAME, MXWAY__V1__WARNING__WARNING_MX_IS_CNAME},
      {WARNING_DUPLICATE_EXCHANGE, MXWAY__V1__WARNING__WARNING_DUPLICATE_EXCHANGE},
      {WARNING_UNUSABLE_NAME, MXWAY__V1__WARNING__WARNING_UNUSABLE_NAME},
      {WARNING_TOO_MANY_MX, MXWAY__V1__WARNING__WARNING_TOO_MANY_MX},
  };
  enum { COUNT = sizeof(warnings) / sizeof(warnings[0]) };
  for (int i = 0; i < COUNT; i++)
    assert_int_equal(warnings[i].bit, 1u << warnings[i].number);
  assert_int_equal(mxway__v1__warning__descriptor.n_values, COUNT + 1); /* and UNSPECIFIED */
  static const struct {
    int number;
    const char *name;
  } fields[] = {{FIELD_EXCHANGE_PREFERENCE, "preference"}, {FIELD_EXCHANGE_HOST, "host"},
                {FIELD_EXCHANGE_EXPANDED, "expanded"},     {FIELD_EXCHANGE_STATUS, "status"},
                {FIELD_EXCHANGE_ADDRESSES, "addresses"},   {FIELD_EXCHANGE_TTL, "ttl"}};
  for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
    assert_int_equal(
        protobuf_c_message_descriptor_get_field_by_name(&mxway__v1__exchange__descriptor, fields[i].name)->id,
        fields[i].number);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_usable_exchange_is_left_as_it_is),
      cmocka_unit_test(exchanges_are_sorted_by_preference_as_unsigned_16_bit_numbers),
      cmocka_unit_test(exchanges_of_one_preference_are_sorted_by_name),
      cmocka_unit_test(a_duplicate_is_kept_once_at_its_lowest_preference_with_a_warning),
      cmocka_unit_test(a_record_that_came_twice_is_a_duplicate),
      cmocka_unit_test(names_of_which_one_begins_the_other_are_no_duplicates),
      cmocka_unit_test(the_root_alone_is_a_null_mx),
      cmocka_unit_test(a_null_mx_with_a_preference_is_one_with_a_warning),
      cmocka_unit_test(the_root_twice_is_a_null_mx_without_a_warning),
      cmocka_unit_test(the_preference_of_a_merged_null_mx_is_the_lowest),
      cmocka_unit_test(a_root_beside_real_exchanges_is_dropped_with_a_warning),
      cmocka_unit_test(roots_beside_a_real_exchange_are_all_dropped),
      cmocka_unit_test(a_root_beside_an_unusable_name_is_a_null_mx),
      cmocka_unit_test(unusable_names_are_warned_of_and_the_others_used),
      cmocka_unit_test(nothing_but_unusable_names_is_all_invalid),
      cmocka_unit_test(an_exchange_that_is_an_address_in_text_is_kept_with_a_warning),
      cmocka_unit_test(names_that_only_look_like_addresses_are_not_warned_of),
      cmocka_unit_test(warnings_add_up_and_earlier_ones_stay),
      cmocka_unit_test(a_hundred_exchanges_are_all_kept),
      cmocka_unit_test(what_is_dropped_or_odd_is_told),
      cmocka_unit_test(random_lists_become_what_the_model_says),
      cmocka_unit_test(a_packed_set_decodes_to_its_exchanges),
      cmocka_unit_test(preferences_of_every_length_are_packed),
      cmocka_unit_test(names_of_every_length_are_packed),
      cmocka_unit_test(a_set_of_the_most_and_longest_exchanges_is_packed),
      cmocka_unit_test(a_port_is_packed_and_one_host_may_have_several),
      cmocka_unit_test(an_address_as_exchange_is_packed_as_its_text),
      cmocka_unit_test(odd_addresses_are_known_from_the_start),
      cmocka_unit_test(a_host_sums_up_its_families),
      cmocka_unit_test(a_set_says_whether_it_is_implicit_in_its_site),
      cmocka_unit_test(any_number_of_addresses_goes_round),
      cmocka_unit_test(expanded_names_of_every_length_go_round),
      cmocka_unit_test(the_most_addresses_with_the_longest_expanded_name_go_round),
      cmocka_unit_test(an_alias_that_only_one_family_saw_is_kept),
      cmocka_unit_test(facts_of_nothing_are_unknown_and_expired),
      cmocka_unit_test(every_state_goes_round),
      cmocka_unit_test(failures_in_a_row_go_round),
      cmocka_unit_test(without_facts_a_family_unpacks_as_unknown_and_expired_for_ever),
      cmocka_unit_test(one_family_can_be_renewed_alone),
      cmocka_unit_test(facts_are_fresh_until_the_first_family_expires),
      cmocka_unit_test(a_host_that_is_an_address_has_it_for_ever),
      cmocka_unit_test(the_canonical_name_is_the_name_itself_or_what_stands_behind_it),
      cmocka_unit_test(facts_are_kept_until_they_expire_and_failures_as_long_again),
      cmocka_unit_test(warnings_and_fields_have_the_numbers_of_the_protocol),
  };
  return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
