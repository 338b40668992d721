#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "frame.h"
#include "made_facts.h"
#include "mxway.pb-c.h"
#include "rules/route.h"
#include "rules/verdict.h"
#include "serve/reply.h"

typedef Mxway__V1__LookupReply reply;
typedef Mxway__V1__Exchange exchange;

enum { NOW_MS = 1000000, LATER_MS = NOW_MS + 600000, CANARY_BYTES = 64, CANARY = 0xa5 };

static const struct route_policy plain_policy;

/* Room for one frame, as much as is promised and not an octet more. */
struct sheet {
  uint8_t bytes[REPLY_BYTES_MAX + CANARY_BYTES];
  size_t length; /* of the frame */
  size_t body_length;
};

static void sheet_init(struct sheet *sheet) { memset(sheet, CANARY, sizeof(*sheet)); }

/* Decodes the one frame on the sheet; nothing else may have been written. */
static reply *sheet_decode(struct sheet *sheet) {
  struct frame frame;
  assert_in_range(sheet->length, 1, REPLY_BYTES_MAX);
  for (size_t i = sheet->length; i < sizeof(sheet->bytes); i++)
    assert_int_equal(sheet->bytes[i], CANARY);
  assert_int_equal(frame_parse(sheet->bytes, sheet->length, FRAME_REPLY_MAX, &frame), FRAME_COMPLETE);
  assert_int_equal(frame.header_length + frame.body_length, sheet->length);
  sheet->body_length = frame.body_length;
  reply *decoded = mxway__v1__lookup_reply__unpack(NULL, frame.body_length, frame.body);
  assert_non_null(decoded);
  assert_int_equal(decoded->base.n_unknown_fields, 0);
  return decoded;
}

static void forget(reply *decoded) { mxway__v1__lookup_reply__free_unpacked(decoded, NULL); }

static reply *route_reply(struct sheet *sheet, uint64_t id, enum source source, const struct route *route) {
  sheet_init(sheet);
  sheet->length = reply_build_route(sheet->bytes, id, source, route);
  return sheet_decode(sheet);
}

static reply *verdict_reply(struct sheet *sheet, uint64_t id, enum verdict verdict, const struct name *name,
                            const char *detail) {
  sheet_init(sheet);
  sheet->length = reply_build_verdict(sheet->bytes, id, verdict, name, detail);
  return sheet_decode(sheet);
}

static struct route route_of(const struct zone *zone, enum depth depth) {
  struct random random = {.state = 1};
  struct route route;
  memset(&route, 0x5a, sizeof(route));
  route_build(zone->facts, &(struct route_request){.depth = depth}, &plain_policy, NOW_MS, NOW_MS, &random,
              &route);
  return route;
}

static void open_zone(struct zone *zone) { zone_init(zone, DOMAIN_MX, NOW_MS - 7000, LATER_MS); }

/* A name of `length` octets that differs by `number`. */
static void make_name(char name[FACTS_NAME_SIZE], size_t length, unsigned number) {
  char digits[8];
  snprintf(digits, sizeof(digits), "%03u", number);
  memset(name, 'x', length);
  name[length] = '\0';
  for (size_t i = 63; i < length; i += 64)
    name[i] = '.';
  if (length > 3)
    memcpy(name, digits, 3);
}

/* ---- a route, field by field ---- */

static void check_exchange(const exchange *got, const struct route_exchange *wanted, bool resolved) {
  assert_int_equal(got->base.n_unknown_fields, 0);
  assert_int_equal(got->preference, wanted->exchange->preference);
  assert_string_equal(got->host, wanted->exchange->host->name);
  assert_int_equal(got->status, wanted->status);
  if (!resolved) {
    assert_int_equal(got->n_addresses, 0);
    assert_string_equal(got->expanded, "");
    assert_int_equal(got->ttl, 0);
    return;
  }
  struct family_value value;
  host_facts_unpack(wanted->facts, FAMILY_V4, &value);
  assert_string_equal(got->expanded, value.expanded);
  assert_int_equal(got->ttl, wanted->ttl_s);
  assert_int_equal(got->n_addresses, wanted->address_count);
  for (size_t i = 0; i < got->n_addresses; i++) {
    assert_int_equal(got->addresses[i].len, wanted->addresses[i][1]);
    assert_true(got->addresses[i].len == 4 || got->addresses[i].len == 16);
    assert_memory_equal(got->addresses[i].data, wanted->addresses[i] + 2, got->addresses[i].len);
  }
}

/* A site belongs to the facts, whatever the verdict. */
static void check_site(const reply *got, const struct exchange_set *set) {
  struct site_host hosts[FACTS_EXCHANGES_MAX];
  struct site site;
  if (!set) {
    assert_int_equal(got->site_id.len, 0);
    assert_string_equal(got->site_name, "");
    return;
  }
  for (uint16_t i = 0; i < set->count; i++)
    hosts[i] = (struct site_host){set->exchanges[i].preference, set->exchanges[i].host->name};
  site_build(hosts, set->count, set->implicit, &site);
  assert_int_equal(got->site_id.len, sizeof(site.id));
  assert_memory_equal(got->site_id.data, site.id, sizeof(site.id));
  assert_int_equal(strlen(got->site_name), site.name_length);
  assert_memory_equal(got->site_name, site.name, site.name_length);
}

static void check_reply(const reply *got, uint64_t id, enum source source, const struct route *wanted) {
  size_t canonical_length;
  const char *canonical = domain_canonical(wanted->facts, &canonical_length);
  struct smtp_status smtp = verdict_smtp(wanted->verdict, wanted->transient);
  assert_true(got->id == id);
  assert_int_equal(got->verdict, wanted->verdict);
  assert_int_equal(got->ttl, wanted->ttl_s);
  assert_int_equal(got->mx_ttl, wanted->mx_ttl_s);
  assert_int_equal(got->age, wanted->age_s);
  assert_int_equal(got->source, source);
  assert_false(got->stale);
  assert_int_equal(strlen(got->canonical), canonical_length);
  assert_memory_equal(got->canonical, canonical, canonical_length);
  assert_int_equal(got->implicit, wanted->implicit);
  assert_int_equal(got->truncated, wanted->truncated);
  assert_int_equal(got->smtp_code, smtp.code);
  assert_string_equal(got->enhanced_status, smtp.enhanced);
  assert_string_equal(got->detail, wanted->detail);
  assert_int_equal(got->authenticated, wanted->authenticated);
  check_site(got, wanted->facts->set);
  uint32_t warnings = 0;
  for (size_t i = 0; i < got->n_warnings; i++) {
    assert_false(warnings & 1u << got->warnings[i]);
    warnings |= 1u << got->warnings[i];
  }
  assert_int_equal(warnings, wanted->warnings);
  assert_int_equal(got->n_exchanges, wanted->count);
  for (size_t i = 0; i < got->n_exchanges; i++)
    check_exchange(got->exchanges[i], &wanted->exchanges[i], wanted->depth != DEPTH_EXCHANGES);
}

static void check_both_depths(const struct zone *zone, uint64_t id, enum source source) {
  static struct sheet sheet;
  for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++) {
    struct route route = route_of(zone, depth);
    reply *got = route_reply(&sheet, id, source, &route);
    check_reply(got, id, source, &route);
    forget(got);
  }
}

static void a_route_is_read_as_it_was_written_at_both_depths(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add(&zone, 10, "a.test");
  zone_add(&zone, 0, "b.test");
  zone_add(&zone, 65535, "c.test");
  zone_build(&zone, "example.test");
  zone_give_addresses(&zone, 0, 2, 3, LATER_MS);
  zone_give_state(&zone, 1, FAMILY_OK, NOW_MS + 5000, "real.test");
  zone_give_state(&zone, 2, FAMILY_NXDOMAIN, LATER_MS, "");
  check_both_depths(&zone, 42, SOURCE_MEMORY);
  zone_fini(&zone);
}

static void what_a_client_reads_are_the_values_of_the_records(void **state) {
  (void)state;
  static struct sheet sheet;
  struct zone zone;
  open_zone(&zone);
  snprintf(zone.value.canonical, sizeof(zone.value.canonical), "canonical.test");
  zone_add(&zone, 10, "a.test");
  zone_build(&zone, "example.test");
  zone_give(&zone, 0, made_family(FAMILY_V6, FAMILY_OK, 1, NOW_MS + 300000, "real.test"),
            made_family(FAMILY_V4, FAMILY_OK, 1, NOW_MS + 200000, "real.test"));
  struct route route = route_of(&zone, DEPTH_ADDRESSES);
  reply *got = route_reply(&sheet, 7, SOURCE_DNS, &route);
  assert_int_equal(got->id, 7);
  assert_int_equal(got->verdict, MXWAY__V1__VERDICT__VERDICT_ROUTE);
  assert_int_equal(got->source, MXWAY__V1__SOURCE__SOURCE_DNS);
  assert_int_equal(got->ttl, 200);
  assert_int_equal(got->mx_ttl, 600);
  assert_int_equal(got->age, 7);
  assert_string_equal(got->canonical, "canonical.test");
  assert_int_equal(got->n_warnings, 1);
  assert_int_equal(got->warnings[0], MXWAY__V1__WARNING__WARNING_MX_IS_CNAME);
  assert_int_equal(got->smtp_code, 0);
  assert_int_equal(got->n_exchanges, 1);
  assert_string_equal(got->exchanges[0]->host, "a.test");
  assert_string_equal(got->exchanges[0]->expanded, "real.test");
  assert_int_equal(got->exchanges[0]->preference, 10);
  assert_int_equal(got->exchanges[0]->status, MXWAY__V1__EXCHANGE_STATUS__EXCHANGE_STATUS_OK);
  assert_int_equal(got->exchanges[0]->ttl, 200);
  assert_int_equal(got->exchanges[0]->n_addresses, 2);
  static const uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1}, v4[4] = {192, 0, 2, 1};
  assert_int_equal(got->exchanges[0]->addresses[0].len, 16);
  assert_memory_equal(got->exchanges[0]->addresses[0].data, v6, 16);
  assert_int_equal(got->exchanges[0]->addresses[1].len, 4);
  assert_memory_equal(got->exchanges[0]->addresses[1].data, v4, 4);
  forget(got);
  zone_fini(&zone);
}

static void an_implicit_route_and_a_truncated_one_say_so(void **state) {
  (void)state;
  struct zone zone;
  zone_init(&zone, DOMAIN_NODATA, NOW_MS, LATER_MS);
  zone_add(&zone, 0, "example.test");
  zone_build(&zone, "example.test");
  zone_give_addresses(&zone, 0, 1, 0, LATER_MS);
  struct route route = route_of(&zone, DEPTH_ADDRESSES);
  assert_true(route.implicit);
  check_both_depths(&zone, 1, SOURCE_DNS);
  zone_fini(&zone);
  open_zone(&zone);
  zone_add_level(&zone, 10, 33);
  zone_build(&zone, "example.test");
  route = route_of(&zone, DEPTH_EXCHANGES);
  assert_true(route.truncated);
  check_both_depths(&zone, 1, SOURCE_DNS);
  zone_fini(&zone);
}

static void every_status_of_an_exchange_is_passed_on(void **state) {
  (void)state;
  struct zone zone;
  open_zone(&zone);
  zone_add_level(&zone, 10, 6);
  zone_build(&zone, "example.test");
  for (enum family_state of = FAMILY_UNKNOWN; of <= FAMILY_LOOP; of++)
    zone_give_state(&zone, of, of, LATER_MS, "");
  check_both_depths(&zone, 1, SOURCE_DNS);
  static struct sheet sheet;
  struct route route = route_of(&zone, DEPTH_ADDRESSES);
  for (enum status status = STATUS_OK; status <= STATUS_INVALID; status++) {
    route.exchanges[0].status = status;
    reply *got = route_reply(&sheet, 1, SOURCE_DNS, &route);
    assert_int_equal(got->exchanges[0]->status, status);
    forget(got);
  }
  zone_fini(&zone);
}

static void an_exchange_without_facts_has_only_its_status(void **state) {
  (void)state;
  static struct sheet sheet;
  struct zone zone;
  open_zone(&zone);
  zone_add(&zone, 10, "a.test");
  zone_build(&zone, "example.test");
  struct route route = route_of(&zone, DEPTH_ADDRESSES);
  assert_null(route.exchanges[0].facts);
  reply *got = route_reply(&sheet, 1, SOURCE_DNS, &route);
  check_reply(got, 1, SOURCE_DNS, &route);
  assert_int_equal(got->exchanges[0]->status, MXWAY__V1__EXCHANGE_STATUS__EXCHANGE_STATUS_TEMPFAIL);
  assert_int_equal(got->smtp_code, 451);
  forget(got);
  zone_fini(&zone);
}

static void every_warning_has_its_number(void **state) {
  (void)state;
  static struct sheet sheet;
  struct zone zone;
  open_zone(&zone);
  zone_add(&zone, 10, "a.test");
  zone_build(&zone, "example.test");
  struct route route = route_of(&zone, DEPTH_EXCHANGES);
  for (uint32_t warnings = 0; warnings < 256; warnings += 2) {
    route.warnings = warnings;
    reply *got = route_reply(&sheet, 1, SOURCE_DNS, &route);
    check_reply(got, 1, SOURCE_DNS, &route);
    forget(got);
  }
  zone_fini(&zone);
}

static void ids_and_sources_come_back_as_they_are(void **state) {
  (void)state;
  static const uint64_t ids[] = {0, 1, 127, 128, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
  struct zone zone;
  open_zone(&zone);
  zone_add(&zone, 10, "a.test");
  zone_build(&zone, "example.test");
  zone_give_addresses(&zone, 0, 1, 1, LATER_MS);
  for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
    for (enum source source = SOURCE_MEMORY; source <= SOURCE_POLICY; source++)
      check_both_depths(&zone, ids[i], source);
  zone_fini(&zone);
}

static void times_of_every_size_come_back_as_they_are(void **state) {
  (void)state;
  static struct sheet sheet;
  static const uint32_t times[] = {0, 1, 127, 128, 16383, 16384, 86400, UINT32_MAX};
  struct zone zone;
  open_zone(&zone);
  zone_add(&zone, 10, "a.test");
  zone_build(&zone, "example.test");
  zone_give_addresses(&zone, 0, 1, 1, LATER_MS);
  struct route route = route_of(&zone, DEPTH_ADDRESSES);
  for (size_t i = 0; i < 8; i++) {
    route.ttl_s = times[i];
    route.mx_ttl_s = times[(i + 1) % 8];
    route.age_s = times[(i + 2) % 8];
    route.exchanges[0].ttl_s = times[(i + 3) % 8];
    reply *got = route_reply(&sheet, 1, SOURCE_DNS, &route);
    check_reply(got, 1, SOURCE_DNS, &route);
    forget(got);
  }
  zone_fini(&zone);
}

static void facts_without_exchanges_give_a_reply_without_exchanges(void **state) {
  (void)state;
  static const enum domain_kind kinds[] = {DOMAIN_NULL_MX, DOMAIN_NXDOMAIN, DOMAIN_ALL_INVALID,
                                           DOMAIN_FAILED};
  for (size_t i = 0; i < 4; i++) {
    struct zone zone;
    zone_init(&zone, kinds[i], NOW_MS - 3000, LATER_MS);
    zone.value.cause = VERDICT_DNS_TIMEOUT;
    zone_build(&zone, "example.test");
    check_both_depths(&zone, 9, SOURCE_MEMORY);
    zone_fini(&zone);
  }
}

/* ---- SMTP ---- */

static const struct {
  enum verdict verdict;
  unsigned code;
  const char *enhanced;
  unsigned transient_code;
  const char *transient_enhanced;
} smtp_rows[] = {
    {VERDICT_ROUTE, 0, "", 0, ""},
    {VERDICT_NULL_MX, 556, "5.1.10", 556, "5.1.10"},
    {VERDICT_NO_SUCH_DOMAIN, 550, "5.1.2", 550, "5.1.2"},
    {VERDICT_NO_MAIL_HOST, 550, "5.4.4", 451, "4.4.4"},
    {VERDICT_MX_HOSTS_NO_ADDRESS, 550, "5.4.4", 451, "4.4.4"},
    {VERDICT_MX_HOSTS_TEMPFAIL, 451, "4.4.3", 451, "4.4.3"},
    {VERDICT_MX_ALL_INVALID, 550, "5.4.4", 550, "5.4.4"},
    {VERDICT_NO_ROUTABLE_ADDRESS, 550, "5.4.4", 451, "4.4.4"},
    {VERDICT_LOOP_SELF_BEST, 554, "5.4.6", 554, "5.4.6"},
    {VERDICT_PRIMARY_UNRESOLVED, 451, "4.4.4", 451, "4.4.4"},
    {VERDICT_INVALID_NAME, 501, "5.1.2", 501, "5.1.2"},
    {VERDICT_DNS_SERVFAIL, 451, "4.4.3", 451, "4.4.3"},
    {VERDICT_DNS_REFUSED, 451, "4.4.3", 451, "4.4.3"},
    {VERDICT_DNS_TIMEOUT, 451, "4.4.3", 451, "4.4.3"},
    {VERDICT_DNS_NETWORK, 451, "4.4.3", 451, "4.4.3"},
    {VERDICT_DNS_MALFORMED, 451, "4.4.3", 451, "4.4.3"},
    {VERDICT_CNAME_LOOP, 451, "4.4.4", 451, "4.4.4"},
    {VERDICT_OVERLOAD, 451, "4.3.2", 451, "4.3.2"},
    {VERDICT_SHUTDOWN, 451, "4.3.2", 451, "4.3.2"},
    {VERDICT_DEADLINE, 451, "4.3.2", 451, "4.3.2"},
    {VERDICT_NOT_CACHED, 451, "4.3.2", 451, "4.3.2"},
    {VERDICT_BAD_REQUEST, 501, "5.5.4", 501, "5.5.4"},
    {VERDICT_REJECTED, 550, "5.7.1", 550, "5.7.1"},
};

enum { VERDICTS = sizeof(smtp_rows) / sizeof(smtp_rows[0]) };

static void every_verdict_says_what_to_say_in_smtp(void **state) {
  (void)state;
  static struct sheet sheet;
  struct zone zone;
  open_zone(&zone);
  zone_add(&zone, 10, "a.test");
  zone_build(&zone, "example.test");
  struct route route = route_of(&zone, DEPTH_EXCHANGES);
  for (size_t i = 0; i < VERDICTS; i++)
    for (int transient = 0; transient < 2; transient++) {
      route.verdict = smtp_rows[i].verdict;
      route.transient = transient;
      reply *got = route_reply(&sheet, 1, SOURCE_DNS, &route);
      assert_int_equal(got->verdict, smtp_rows[i].verdict);
      assert_int_equal(got->smtp_code, transient ? smtp_rows[i].transient_code : smtp_rows[i].code);
      assert_string_equal(got->enhanced_status,
                          transient ? smtp_rows[i].transient_enhanced : smtp_rows[i].enhanced);
      forget(got);
    }
  zone_fini(&zone);
}

/* ---- the other builders ---- */

static void make_domain(struct name *name, size_t length) {
  memset(name, 0, sizeof(*name));
  name->kind = NAME_DOMAIN;
  name->length = (uint8_t)length;
  make_name(name->text, length, 1);
}

static void a_verdict_without_facts_is_a_reply_of_its_own(void **state) {
  (void)state;
  static struct sheet sheet;
  struct name name;
  make_domain(&name, 20);
  for (size_t i = 1; i < VERDICTS; i++) {
    reply *got = verdict_reply(&sheet, 3 + i, smtp_rows[i].verdict, i % 2 ? &name : NULL, "a sentence");
    assert_int_equal(got->id, 3 + i);
    assert_int_equal(got->verdict, smtp_rows[i].verdict);
    bool is_dns = strncmp(verdict_name(smtp_rows[i].verdict), "DNS_", 4) == 0 ||
                  smtp_rows[i].verdict == VERDICT_CNAME_LOOP;
    assert_int_equal(got->source, is_dns ? MXWAY__V1__SOURCE__SOURCE_DNS : MXWAY__V1__SOURCE__SOURCE_POLICY);
    assert_string_equal(got->canonical, i % 2 ? name.text : "");
    assert_int_equal(got->smtp_code, smtp_rows[i].code);
    assert_string_equal(got->enhanced_status, smtp_rows[i].enhanced);
    assert_string_equal(got->detail, "a sentence");
    assert_int_equal(got->ttl, 0);
    assert_int_equal(got->mx_ttl, 0);
    assert_int_equal(got->n_exchanges, 0);
    assert_int_equal(got->n_warnings, 0);
    forget(got);
  }
}

static void a_decision_says_whose_it_is_and_how_long_it_holds(void **state) {
  (void)state;
  const struct decision decision = {VERDICT_REJECTED, SOURCE_OVERRIDE, 60, "not there"};
  struct name name = {.kind = NAME_DOMAIN, .length = 6, .text = "d.test"};
  struct sheet sheet;
  sheet_init(&sheet);
  sheet.length = reply_build_decision(sheet.bytes, 7, &decision, &name);
  reply *decoded = sheet_decode(&sheet);
  assert_int_equal(decoded->id, 7);
  assert_int_equal(decoded->verdict, VERDICT_REJECTED);
  assert_int_equal(decoded->source, SOURCE_OVERRIDE);
  assert_int_equal(decoded->ttl, 60);
  assert_int_equal(decoded->mx_ttl, 60);
  assert_int_equal(decoded->age, 0);
  assert_string_equal(decoded->canonical, "d.test");
  assert_string_equal(decoded->detail, "not there");
  assert_int_equal(decoded->smtp_code, 550);
  assert_string_equal(decoded->enhanced_status, "5.7.1");
  forget(decoded);
}

static void a_verdict_may_have_the_longest_name_and_detail(void **state) {
  (void)state;
  static struct sheet sheet;
  char detail[201];
  struct name name;
  memset(detail, 'd', 200);
  detail[200] = '\0';
  make_domain(&name, NAME_TEXT_MAX);
  reply *got = verdict_reply(&sheet, UINT64_MAX, VERDICT_INVALID_NAME, &name, detail);
  assert_string_equal(got->canonical, name.text);
  assert_string_equal(got->detail, detail);
  assert_true(got->id == UINT64_MAX);
  forget(got);
  got = verdict_reply(&sheet, 0, VERDICT_INVALID_NAME, NULL, "");
  assert_string_equal(got->canonical, "");
  assert_string_equal(got->detail, "");
  forget(got);
}

static void a_literal_is_its_own_exchange(void **state) {
  (void)state;
  static struct sheet sheet;
  static const struct {
    const char *text, *canonical;
  } rows[] = {{"[192.0.2.1]", "192.0.2.1"},
              {"[0.0.0.0]", "0.0.0.0"},
              {"[IPv6:2001:db8::1]", "2001:db8::1"},
              {"[IPv6:2001:0db8:1111:2222:3333:4444:5555:6666]", "2001:db8:1111:2222:3333:4444:5555:6666"}};
  static const struct name_policy policy;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct name name;
    assert_int_equal(name_parse((const uint8_t *)rows[i].text, strlen(rows[i].text), &policy, &name),
                     NAME_OK);
    sheet_init(&sheet);
    sheet.length = reply_build_literal(sheet.bytes, 77, &name, &(struct route){.verdict = VERDICT_ROUTE});
    reply *got = sheet_decode(&sheet);
    assert_int_equal(got->id, 77);
    assert_int_equal(got->verdict, MXWAY__V1__VERDICT__VERDICT_ROUTE);
    assert_int_equal(got->source, MXWAY__V1__SOURCE__SOURCE_LITERAL);
    assert_string_equal(got->canonical, rows[i].canonical);
    assert_int_equal(got->ttl, 0);
    assert_int_equal(got->smtp_code, 0);
    assert_false(got->implicit);
    assert_int_equal(got->n_exchanges, 1);
    const exchange *only = got->exchanges[0];
    assert_int_equal(only->preference, 0);
    assert_string_equal(only->host, rows[i].canonical);
    assert_int_equal(only->status, MXWAY__V1__EXCHANGE_STATUS__EXCHANGE_STATUS_OK);
    assert_int_equal(only->n_addresses, 1);
    assert_int_equal(only->addresses[0].len, name.address_length);
    assert_memory_equal(only->addresses[0].data, name.address, name.address_length);
    forget(got);
  }
}

static void a_literal_may_be_refused(void **state) {
  (void)state;
  static struct sheet sheet;
  static const struct name_policy policy;
  static const struct route refusals[] = {
      {.verdict = VERDICT_LOOP_SELF_BEST, .detail = ""},
      {.verdict = VERDICT_NO_ROUTABLE_ADDRESS, .detail = ""},
      {.verdict = VERDICT_NO_ROUTABLE_ADDRESS, .transient = true, .detail = "family_filtered: x"},
  };
  struct name name;
  assert_int_equal(name_parse((const uint8_t *)"[192.0.2.1]", 11, &policy, &name), NAME_OK);
  for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
    struct smtp_status smtp = verdict_smtp(refusals[i].verdict, refusals[i].transient);
    sheet_init(&sheet);
    sheet.length = reply_build_literal(sheet.bytes, 77, &name, &refusals[i]);
    reply *got = sheet_decode(&sheet);
    assert_int_equal(got->verdict, refusals[i].verdict);
    assert_int_equal(got->source, MXWAY__V1__SOURCE__SOURCE_LITERAL);
    assert_string_equal(got->canonical, "192.0.2.1");
    assert_int_equal(got->smtp_code, smtp.code);
    assert_string_equal(got->enhanced_status, smtp.enhanced);
    assert_string_equal(got->detail, refusals[i].detail);
    assert_int_equal(got->n_exchanges, 0);
    forget(got);
  }
}

/* ---- sizes ---- */

/* A zone of `count` exchanges with long names, each with `v6_count` and `v4_count` addresses and,
 * where it is not 0, an expanded name of that length. */
static void build_large(struct zone *zone, unsigned count, unsigned v6_count, unsigned v4_count,
                        size_t expanded_length) {
  char host[FACTS_NAME_SIZE], expanded[FACTS_NAME_SIZE];
  zone_init(zone, DOMAIN_MX, 0, INT64_MAX);
  for (unsigned i = 0; i < count; i++) {
    make_name(host, FACTS_NAME_SIZE - 1, i);
    zone_add(zone, 65535, host);
  }
  make_name(zone->value.canonical, FACTS_NAME_SIZE - 1, 500);
  make_name(host, FACTS_NAME_SIZE - 1, 501);
  zone_build(zone, host);
  make_name(expanded, expanded_length, 502);
  for (unsigned i = 0; i < count; i++)
    zone_give(zone, i,
              made_family(FAMILY_V6, v6_count ? FAMILY_OK : FAMILY_NODATA, v6_count, INT64_MAX, expanded),
              made_family(FAMILY_V4, v4_count ? FAMILY_OK : FAMILY_NODATA, v4_count, INT64_MAX, expanded));
}

static void the_largest_reply_stays_within_its_bound(void **state) {
  (void)state;
  static struct sheet sheet;
  static const unsigned counts[][2] = {{32, 0}, {32, 32}, {4, 4}, {0, 32}};
  for (size_t i = 0; i < 4; i++)
    for (enum depth depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++)
      for (enum verdict verdict = VERDICT_ROUTE; verdict <= VERDICT_REJECTED; verdict++) {
        struct zone zone;
        build_large(&zone, 33, counts[i][0], counts[i][1], FACTS_NAME_SIZE - 1);
        struct route route = route_of(&zone, depth);
        route.verdict = verdict;
        route.implicit = true;
        route.authenticated = true;
        route.detail =
            verdict == VERDICT_ROUTE
                ? ""
                : "primary_only: no exchange of the best preference is usable, and the others are not wanted";
        route.warnings = 0xfe;
        route.age_s = UINT32_MAX;
        assert_int_equal(route.count, ROUTE_EXCHANGES_MAX);
        assert_true(route.truncated);
        reply *got = route_reply(&sheet, UINT64_MAX, SOURCE_DNS, &route);
        check_reply(got, UINT64_MAX, SOURCE_DNS, &route);
        size_t total = 0;
        for (size_t j = 0; j < got->n_exchanges; j++)
          total += got->exchanges[j]->n_addresses;
        assert_int_equal(total, depth == DEPTH_ADDRESSES ? ROUTE_ADDRESSES_TOTAL_MAX : 0);
        if (depth == DEPTH_ADDRESSES)
          assert_true(got->exchanges[31]->ttl == UINT32_MAX);
        forget(got);
        zone_fini(&zone);
      }
  /* The bound is no empty promise either. */
  assert_true(sheet.length > REPLY_BYTES_MAX / 2);
}

static void names_of_every_length_are_packed_right(void **state) {
  (void)state;
  for (size_t length = 1; length < FACTS_NAME_SIZE; length++) {
    struct zone zone;
    char name[FACTS_NAME_SIZE];
    make_name(name, length, 7);
    open_zone(&zone);
    zone_add(&zone, (unsigned)length * 250, name);
    zone_build(&zone, name);
    zone_give_state(&zone, 0, FAMILY_OK, LATER_MS, name);
    check_both_depths(&zone, length, SOURCE_DNS);
    zone_fini(&zone);
  }
}

/* The least header that holds a length. */
static size_t header_of(size_t body_length) { return body_length < 128 ? 1 : body_length < 16384 ? 2 : 3; }

static void the_frame_of_a_small_body_has_the_least_header(void **state) {
  (void)state;
  static struct sheet sheet;
  char detail[201];
  size_t least = SIZE_MAX, most = 0;
  for (size_t length = 0; length <= 200; length++) {
    memset(detail, 'd', length);
    detail[length] = '\0';
    reply *got = verdict_reply(&sheet, 1, VERDICT_BAD_REQUEST, NULL, detail);
    assert_string_equal(got->detail, detail);
    assert_int_equal(sheet.length - sheet.body_length, header_of(sheet.body_length));
    least = sheet.body_length < least ? sheet.body_length : least;
    most = sheet.body_length > most ? sheet.body_length : most;
    forget(got);
  }
  /* Each length adds one octet, so that 127 and 128 have been among them. */
  assert_in_range(least, 0, 127);
  assert_in_range(most, 128, 300);
}

static void the_frame_of_a_large_body_has_the_least_header(void **state) {
  (void)state;
  static struct sheet sheet;
  bool seen[2] = {false, false};
  for (unsigned count = 22; count <= ROUTE_EXCHANGES_MAX; count++)
    for (size_t expanded_length = 4; expanded_length < FACTS_NAME_SIZE; expanded_length++) {
      struct zone zone;
      build_large(&zone, count, 4, 4, expanded_length);
      struct route route = route_of(&zone, DEPTH_ADDRESSES);
      sheet_init(&sheet);
      sheet.length = reply_build_route(sheet.bytes, 1, SOURCE_DNS, &route);
      /* An id may add up to nine octets to come to the very length. */
      for (unsigned bits = 0; bits < 63 && sheet.length > 16370 && sheet.length < 16390; bits += 7) {
        reply *got = route_reply(&sheet, (uint64_t)1 << bits, SOURCE_DNS, &route);
        check_reply(got, (uint64_t)1 << bits, SOURCE_DNS, &route);
        assert_int_equal(sheet.length - sheet.body_length, header_of(sheet.body_length));
        if (sheet.body_length == 16383 || sheet.body_length == 16384)
          seen[sheet.body_length - 16383] = true;
        forget(got);
      }
      zone_fini(&zone);
      if (seen[0] && seen[1])
        return;
    }
  fail();
}

static void random_routes_are_read_as_they_were_written(void **state) {
  (void)state;
  struct random random = {.state = 2024};
  for (int round = 0; round < 300; round++) {
    struct zone zone;
    char name[FACTS_NAME_SIZE];
    bool is_implicit = random_below(&random, 8) == 0;
    zone_init(&zone, is_implicit ? DOMAIN_NODATA : DOMAIN_MX, NOW_MS - random_below(&random, 100000),
              NOW_MS + random_below(&random, 100000));
    unsigned count = is_implicit ? 1 : 1 + random_below(&random, 40);
    for (unsigned i = 0; i < count; i++) {
      make_name(name, 4 + random_below(&random, 250), i);
      zone_add(&zone, random_below(&random, 4) * 20000, name);
    }
    make_name(name, 4 + random_below(&random, 250), 999);
    zone_build(&zone, name);
    for (unsigned i = 0; i < count; i++) {
      unsigned v6_count = random_below(&random, 4), v4_count = random_below(&random, 12);
      make_name(name, random_below(&random, 2) ? 4 + random_below(&random, 250) : 0, 888);
      zone_give(&zone, i,
                made_family(FAMILY_V6, v6_count ? FAMILY_OK : FAMILY_TEMPFAIL, v6_count,
                            NOW_MS + random_below(&random, 1000000), name),
                made_family(FAMILY_V4, v4_count ? FAMILY_OK : FAMILY_NXDOMAIN, v4_count,
                            NOW_MS + random_below(&random, 1000000), name));
    }
    check_both_depths(&zone, random_next(&random), 1 + random_below(&random, 6));
    zone_fini(&zone);
  }
}

/* ---- numbers ---- */

static void the_numbers_of_our_enums_are_those_of_the_protocol(void **state) {
  (void)state;
#define SAME(ours, theirs) assert_int_equal(ours, MXWAY__V1__##theirs)
#define SAME_VERDICT(verdict) SAME(VERDICT_##verdict, VERDICT__VERDICT_##verdict)
  SAME_VERDICT(ROUTE), SAME_VERDICT(NULL_MX), SAME_VERDICT(NO_SUCH_DOMAIN), SAME_VERDICT(NO_MAIL_HOST);
  SAME_VERDICT(MX_HOSTS_NO_ADDRESS), SAME_VERDICT(MX_HOSTS_TEMPFAIL), SAME_VERDICT(MX_ALL_INVALID);
  SAME_VERDICT(NO_ROUTABLE_ADDRESS), SAME_VERDICT(LOOP_SELF_BEST), SAME_VERDICT(PRIMARY_UNRESOLVED);
  SAME_VERDICT(INVALID_NAME), SAME_VERDICT(DNS_SERVFAIL), SAME_VERDICT(DNS_REFUSED);
  SAME_VERDICT(DNS_TIMEOUT), SAME_VERDICT(DNS_NETWORK), SAME_VERDICT(DNS_MALFORMED);
  SAME_VERDICT(CNAME_LOOP), SAME_VERDICT(OVERLOAD), SAME_VERDICT(SHUTDOWN), SAME_VERDICT(DEADLINE);
  SAME_VERDICT(NOT_CACHED), SAME_VERDICT(BAD_REQUEST), SAME_VERDICT(REJECTED);
  assert_int_equal(mxway__v1__verdict__descriptor.n_values, VERDICT_REJECTED + 1);

#define SAME_STATUS(status) SAME(STATUS_##status, EXCHANGE_STATUS__EXCHANGE_STATUS_##status)
  SAME_STATUS(NOT_RESOLVED), SAME_STATUS(OK), SAME_STATUS(NXDOMAIN), SAME_STATUS(NO_ADDRESS);
  SAME_STATUS(TEMPFAIL), SAME_STATUS(CNAME_REJECTED), SAME_STATUS(CNAME_LOOP), SAME_STATUS(FILTERED);
  SAME_STATUS(INVALID);
  assert_int_equal(mxway__v1__exchange_status__descriptor.n_values, STATUS_INVALID + 1);

#define SAME_SOURCE(source) SAME(SOURCE_##source, SOURCE__SOURCE_##source)
  SAME_SOURCE(MEMORY), SAME_SOURCE(SHARED), SAME_SOURCE(DNS), SAME_SOURCE(LITERAL), SAME_SOURCE(OVERRIDE);
  SAME_SOURCE(POLICY);
  assert_int_equal(mxway__v1__source__descriptor.n_values, SOURCE_POLICY + 1);

#define SAME_WARNING(warning) assert_int_equal(WARNING_##warning, 1 << MXWAY__V1__WARNING__WARNING_##warning)
  SAME_WARNING(NULL_MX_NONZERO_PREFERENCE), SAME_WARNING(NULL_MX_MIXED), SAME_WARNING(MX_IS_ADDRESS);
  SAME_WARNING(MX_IS_CNAME), SAME_WARNING(DUPLICATE_EXCHANGE), SAME_WARNING(UNUSABLE_NAME);
  SAME_WARNING(TOO_MANY_MX);
  assert_int_equal(1 << (mxway__v1__warning__descriptor.n_values - 1), WARNING_TOO_MANY_MX);

  SAME(DEPTH_EXCHANGES, DEPTH__DEPTH_EXCHANGES), SAME(DEPTH_ADDRESSES, DEPTH__DEPTH_ADDRESSES);
}

static unsigned field_number(const ProtobufCMessageDescriptor *message, const char *name) {
  const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message, name);
  assert_non_null(field);
  return field->id;
}

static void stored_bytes_are_packed_with_the_numbers_of_the_protocol(void **state) {
  (void)state;
  const ProtobufCMessageDescriptor *of = &mxway__v1__exchange__descriptor;
  assert_int_equal(field_number(&mxway__v1__lookup_reply__descriptor, "exchanges"), FIELD_REPLY_EXCHANGES);
  assert_int_equal(field_number(of, "preference"), FIELD_EXCHANGE_PREFERENCE);
  assert_int_equal(field_number(of, "host"), FIELD_EXCHANGE_HOST);
  assert_int_equal(field_number(of, "expanded"), FIELD_EXCHANGE_EXPANDED);
  assert_int_equal(field_number(of, "status"), FIELD_EXCHANGE_STATUS);
  assert_int_equal(field_number(of, "addresses"), FIELD_EXCHANGE_ADDRESSES);
  assert_int_equal(field_number(of, "ttl"), FIELD_EXCHANGE_TTL);
  assert_int_equal(field_number(of, "port"), FIELD_EXCHANGE_PORT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_route_is_read_as_it_was_written_at_both_depths),
      cmocka_unit_test(what_a_client_reads_are_the_values_of_the_records),
      cmocka_unit_test(an_implicit_route_and_a_truncated_one_say_so),
      cmocka_unit_test(every_status_of_an_exchange_is_passed_on),
      cmocka_unit_test(an_exchange_without_facts_has_only_its_status),
      cmocka_unit_test(every_warning_has_its_number),
      cmocka_unit_test(ids_and_sources_come_back_as_they_are),
      cmocka_unit_test(times_of_every_size_come_back_as_they_are),
      cmocka_unit_test(facts_without_exchanges_give_a_reply_without_exchanges),
      cmocka_unit_test(every_verdict_says_what_to_say_in_smtp),
      cmocka_unit_test(a_verdict_without_facts_is_a_reply_of_its_own),
      cmocka_unit_test(a_decision_says_whose_it_is_and_how_long_it_holds),
      cmocka_unit_test(a_verdict_may_have_the_longest_name_and_detail),
      cmocka_unit_test(a_literal_is_its_own_exchange),
      cmocka_unit_test(a_literal_may_be_refused),
      cmocka_unit_test(the_largest_reply_stays_within_its_bound),
      cmocka_unit_test(names_of_every_length_are_packed_right),
      cmocka_unit_test(the_frame_of_a_small_body_has_the_least_header),
      cmocka_unit_test(the_frame_of_a_large_body_has_the_least_header),
      cmocka_unit_test(random_routes_are_read_as_they_were_written),
      cmocka_unit_test(the_numbers_of_our_enums_are_those_of_the_protocol),
      cmocka_unit_test(stored_bytes_are_packed_with_the_numbers_of_the_protocol),
  };
  return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
