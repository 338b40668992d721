#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/story.h"
#include "made_facts.h"
#include "rules/judge.h"

enum { NOW_MS = 1000000, LATER_MS = NOW_MS + 600000 };

static const struct judge_policy plain_policy;

/* One exchange, one caller with room for wishes. */
struct fixture {
  struct zone zone;
  union wishes_block block;
  char detail[WISHES_DETAIL_SIZE];
  struct judge judge;
};

static void open_kind(struct fixture *fixture, enum domain_kind kind, const char *host, const char *domain) {
  zone_init(&fixture->zone, kind, NOW_MS - 1000, LATER_MS);
  zone_add(&fixture->zone, 10, host);
  zone_build(&fixture->zone, domain);
  wishes_init(&fixture->block.wishes);
  judge_init(&fixture->judge, &plain_policy, NULL, NULL);
  fixture->judge.domain_facts = fixture->zone.facts;
  fixture->judge.with_addresses = true;
  fixture->judge.no_stale = false;
  fixture->judge.since_ms = NOW_MS;
}

static void open_fixture(struct fixture *fixture) { open_kind(fixture, DOMAIN_MX, "mx.test", "d.test"); }

static void close_fixture(struct fixture *fixture) { zone_fini(&fixture->zone); }

/* Takes the wishes in the block and `policy` into account. */
static void look_again(struct fixture *fixture, const struct judge_policy *policy) {
  const struct judge before = fixture->judge;
  judge_init(&fixture->judge, policy, &fixture->block.wishes, before.story);
  fixture->judge.domain_facts = before.domain_facts;
  fixture->judge.with_addresses = before.with_addresses;
  fixture->judge.no_stale = before.no_stale;
  fixture->judge.since_ms = before.since_ms;
}

static void wish(struct fixture *fixture, enum wish what, const char *text) {
  if (!wishes_add_text(&fixture->block.wishes, what, "field", (const uint8_t *)text, strlen(text),
                       fixture->detail))
    fail_msg("%s", fixture->detail);
  look_again(fixture, fixture->judge.policy);
}

static void want(struct fixture *fixture, enum families families) {
  fixture->block.wishes.families = (uint8_t)families;
  look_again(fixture, fixture->judge.policy);
}

/* Addresses in text, separated by spaces, "" for a denial; `alias` "" for none. */
static struct family_value family_of(enum family family, const char *texts, const char *alias) {
  struct family_value value = made_family(family, *texts ? FAMILY_OK : FAMILY_NODATA, 0, LATER_MS, alias);
  char copy[1024], *rest = NULL;
  snprintf(copy, sizeof(copy), "%s", texts);
  for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
    assert_int_equal(
        inet_pton(family == FAMILY_V6 ? AF_INET6 : AF_INET, word, value.addresses[value.count++]), 1);
  return value;
}

static void give(struct fixture *fixture, const char *v6, const char *v4, const char *alias) {
  zone_give(&fixture->zone, 0, family_of(FAMILY_V6, v6, alias), family_of(FAMILY_V4, v4, alias));
}

static struct judgement judge(struct fixture *fixture) {
  struct judgement judgement;
  memset(&judgement, 0x5a, sizeof(judgement));
  fixture->judge.left_out = 0;
  judge_exchange(&fixture->judge, &fixture->zone.set->exchanges[0], &judgement);
  return judgement;
}

static bool is_self(const struct fixture *fixture) {
  return judge_is_self(&fixture->judge, &fixture->zone.set->exchanges[0]);
}

static bool is_excluded(struct fixture *fixture) {
  return judge_is_excluded(&fixture->judge, &fixture->zone.set->exchanges[0]);
}

static void assert_usable(struct fixture *fixture, enum status status, uint32_t v6, uint32_t v4,
                          unsigned left_out) {
  struct judgement judgement = judge(fixture);
  assert_int_equal(judgement.status, status);
  assert_int_equal(judgement.usable[FAMILY_V6], v6);
  assert_int_equal(judgement.usable[FAMILY_V4], v4);
  assert_int_equal(fixture->judge.left_out, left_out);
}

/* ---- addresses that mail cannot go to ---- */

static void unreachable_addresses_are_left_out_one_by_one(void **state) {
  (void)state;
  struct fixture fixture;
  open_fixture(&fixture);
  give(&fixture, "::1 2001:db8::1 ::ffff:127.0.0.1", "192.0.2.1 127.0.0.1 10.0.0.1", "");
  assert_usable(&fixture, STATUS_OK, 1 << 1, 1 << 0 | 1 << 2, 0);
  static const struct judge_policy strict = {.reach.drop_private = true};
  look_again(&fixture, &strict);
  assert_usable(&fixture, STATUS_OK, 1 << 1, 1 << 0, 0);
  close_fixture(&fixture);
}

static void an_exchange_that_loses_everything_is_filtered(void **state) {
  (void)state;
  struct fixture fixture;
  open_fixture(&fixture);
  give(&fixture, "", "127.0.0.1", "");
  assert_usable(&fixture, STATUS_FILTERED, 0, 0, 0);
  give(&fixture, "::1", "0.0.0.0 224.0.0.1", "");
  assert_usable(&fixture, STATUS_FILTERED, 0, 0, 0);
  close_fixture(&fixture);
}

static void a_soft_failure_beside_filtered_addresses_is_no_denial(void **state) {
  (void)state;
  struct fixture fixture;
  open_fixture(&fixture);
  zone_give(&fixture.zone, 0, made_family(FAMILY_V6, FAMILY_TEMPFAIL, 0, LATER_MS, ""),
            family_of(FAMILY_V4, "127.0.0.1", ""));
  assert_usable(&fixture, STATUS_TEMPFAIL, 0, 0, 0);
  close_fixture(&fixture);
}

/* ---- families ---- */

static void a_family_that_is_not_wanted_is_left_out(void **state) {
  (void)state;
  static const struct {
    enum families families;
    uint32_t v6, v4;
    unsigned left_out;
  } rows[] = {
      {FAMILIES_ANY, 1, 3, 0},
      {FAMILIES_V4, 0, 3, LEFT_OUT_BY_FAMILY},
      {FAMILIES_V6, 1, 0, LEFT_OUT_BY_FAMILY},
      {FAMILIES_V4_FIRST, 1, 3, 0},
      {FAMILIES_V6_FIRST, 1, 3, 0},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct fixture fixture;
    open_fixture(&fixture);
    give(&fixture, "2001:db8::1", "192.0.2.1 192.0.2.2", "");
    want(&fixture, rows[i].families);
    assert_usable(&fixture, STATUS_OK, rows[i].v6, rows[i].v4, rows[i].left_out);
    struct judge_policy policy = {.families = rows[i].families};
    want(&fixture, FAMILIES_ANY); /* as configured */
    look_again(&fixture, &policy);
    assert_usable(&fixture, STATUS_OK, rows[i].v6, rows[i].v4, rows[i].left_out);
    judge_init(&fixture.judge, &policy, NULL, NULL); /* and without any wishes */
    fixture.judge.domain_facts = fixture.zone.facts;
    fixture.judge.with_addresses = true;
    fixture.judge.since_ms = NOW_MS;
    assert_usable(&fixture, STATUS_OK, rows[i].v6, rows[i].v4, rows[i].left_out);
    close_fixture(&fixture);
  }
}

static void a_request_overrides_the_configured_family(void **state) {
  (void)state;
  struct fixture fixture;
  static const struct judge_policy policy = {.families = FAMILIES_V6};
  open_fixture(&fixture);
  give(&fixture, "2001:db8::1", "192.0.2.1", "");
  fixture.block.wishes.families = FAMILIES_V4;
  look_again(&fixture, &policy);
  assert_usable(&fixture, STATUS_OK, 0, 1, LEFT_OUT_BY_FAMILY);
  close_fixture(&fixture);
}

static void the_wanted_family_decides(void **state) {
  (void)state;
  static const struct {
    enum family_state v6, v4;
    enum status status;
    unsigned left_out;
  } rows[] = {
      /* As wanted: IPv4. */
      {FAMILY_OK, FAMILY_NODATA, STATUS_FILTERED, LEFT_OUT_BY_FAMILY},
      {FAMILY_OK, FAMILY_TEMPFAIL, STATUS_TEMPFAIL, LEFT_OUT_BY_FAMILY},
      {FAMILY_OK, FAMILY_UNKNOWN, STATUS_TEMPFAIL, LEFT_OUT_BY_FAMILY},
      {FAMILY_OK, FAMILY_LOOP, STATUS_CNAME_LOOP, LEFT_OUT_BY_FAMILY},
      {FAMILY_NODATA, FAMILY_NODATA, STATUS_NO_ADDRESS, 0},
      {FAMILY_NXDOMAIN, FAMILY_NXDOMAIN, STATUS_NXDOMAIN, 0},
      {FAMILY_TEMPFAIL, FAMILY_OK, STATUS_OK, 0},
      /* Perhaps there are addresses, but of the other family: not definite. */
      {FAMILY_TEMPFAIL, FAMILY_NODATA, STATUS_TEMPFAIL, 0},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct fixture fixture;
    open_fixture(&fixture);
    zone_give(&fixture.zone, 0, made_family(FAMILY_V6, rows[i].v6, rows[i].v6 == FAMILY_OK, LATER_MS, ""),
              made_family(FAMILY_V4, rows[i].v4, rows[i].v4 == FAMILY_OK, LATER_MS, ""));
    want(&fixture, FAMILIES_V4);
    assert_usable(&fixture, rows[i].status, 0, rows[i].v4 == FAMILY_OK, rows[i].left_out);
    close_fixture(&fixture);
  }
}

static void what_mail_cannot_go_to_is_nobodys_choice(void **state) {
  (void)state;
  struct fixture fixture;
  open_fixture(&fixture);
  give(&fixture, "::1", "", "");
  want(&fixture, FAMILIES_V4);
  assert_usable(&fixture, STATUS_FILTERED, 0, 0, 0);
  want(&fixture, FAMILIES_ANY);
  wish(&fixture, WISH_EXCLUDE, "::1");
  assert_usable(&fixture, STATUS_FILTERED, 0, 0, 0);
  close_fixture(&fixture);
}

/* ---- exclusions ---- */

static void excluded_addresses_are_left_out(void **state) {
  (void)state;
  struct fixture fixture;
  open_fixture(&fixture);
  give(&fixture, "2001:db8::1 ::ffff:192.0.2.9", "192.0.2.9 192.0.2.1", "");
  wish(&fixture, WISH_EXCLUDE, "192.0.2.9");
  assert_usable(&fixture, STATUS_OK, 1 << 0, 1 << 1, LEFT_OUT_BY_EXCLUDE);
  wish(&fixture, WISH_EXCLUDE, "2001:db8::1");
  wish(&fixture, WISH_EXCLUDE, "192.0.2.1");
  assert_usable(&fixture, STATUS_FILTERED, 0, 0, LEFT_OUT_BY_EXCLUDE);
  assert_false(is_excluded(&fixture)); /* the exchange is still shown */
  close_fixture(&fixture);
}

static void an_exchange_is_excluded_by_its_name_or_that_of_its_alias(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool excluded, without_addresses;
  } rows[] = {{"mx.test", true, true},      {"MX.test.", true, true}, {"real.test", true, false},
              {"other.test", false, false}, {"d.test", false, false}, {"192.0.2.1", false, false}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct fixture fixture;
    open_fixture(&fixture);
    give(&fixture, "", "192.0.2.1", "real.test");
    assert_false(is_excluded(&fixture));
    wish(&fixture, WISH_EXCLUDE, rows[i].name);
    assert_int_equal(is_excluded(&fixture), rows[i].excluded);
    assert_int_equal(fixture.judge.left_out, rows[i].excluded ? LEFT_OUT_BY_EXCLUDE : 0);
    fixture.judge.with_addresses = false;
    assert_int_equal(is_excluded(&fixture), rows[i].without_addresses);
    close_fixture(&fixture);
  }
}

/* An exchange that is an address, as the cache would make it. */
static void open_address(struct fixture *fixture, const char *text) {
  uint8_t octets[4];
  assert_int_equal(inet_pton(AF_INET, text, octets), 1);
  open_kind(fixture, DOMAIN_MX, text, "d.test");
  fixture->zone.hosts[0]->is_address = true;
  atomic_store(&fixture->zone.hosts[0]->facts, host_facts_build_address(octets, 4));
}

static void an_exchange_that_is_an_address_is_named_by_it(void **state) {
  (void)state;
  for (int with_addresses = 0; with_addresses < 2; with_addresses++) {
    struct fixture fixture;
    open_address(&fixture, "192.0.2.7");
    fixture.judge.with_addresses = with_addresses;
    assert_false(is_self(&fixture));
    wish(&fixture, WISH_SELF, "::ffff:192.0.2.7");
    assert_true(is_self(&fixture));
    wish(&fixture, WISH_EXCLUDE, "192.0.2.7");
    assert_true(is_excluded(&fixture));
    close_fixture(&fixture);
  }
}

/* ---- self ---- */

static void the_caller_is_an_exchange_by_name_alias_or_address(void **state) {
  (void)state;
  static const struct {
    const char *self;
    bool is_self, without_addresses;
  } rows[] = {
      {"mx.test", true, true},      {"Mx.TEST.", true, true},     {"real.test", true, false},
      {"192.0.2.1", true, false},   {"192.0.2.20", true, false},  {"::ffff:192.0.2.1", true, false},
      {"2001:db8::1", true, false}, {"192.0.2.99", false, false}, {"d.test", false, false},
      {"test", false, false},       {"x.mx.test", false, false},
  };
  static const char many[] =
      "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 "
      "192.0.2.8 192.0.2.9 192.0.2.20";
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct fixture fixture;
    open_fixture(&fixture);
    give(&fixture, "2001:db8::1", many, "real.test");
    want(&fixture, FAMILIES_V4); /* a family that is not wanted counts all the same */
    wish(&fixture, WISH_SELF, rows[i].self);
    assert_int_equal(is_self(&fixture), rows[i].is_self);
    fixture.judge.with_addresses = false;
    assert_int_equal(is_self(&fixture), rows[i].without_addresses);
    close_fixture(&fixture);
  }
}

static void an_address_of_ones_own_in_mapped_form_counts(void **state) {
  (void)state;
  struct fixture fixture;
  open_fixture(&fixture);
  give(&fixture, "::ffff:192.0.2.1", "", "");
  wish(&fixture, WISH_SELF, "192.0.2.1");
  assert_true(is_self(&fixture));
  close_fixture(&fixture);
}

static void expired_addresses_are_nobodys(void **state) {
  (void)state;
  struct fixture fixture;
  open_fixture(&fixture);
  give(&fixture, "", "192.0.2.1", "real.test");
  wish(&fixture, WISH_SELF, "192.0.2.1");
  wish(&fixture, WISH_SELF, "real.test");
  assert_true(is_self(&fixture));
  fixture.judge.since_ms = LATER_MS + 1;
  assert_false(is_self(&fixture));
  close_fixture(&fixture);
}

static void an_implicit_exchange_is_the_caller_by_either_name_of_the_domain(void **state) {
  (void)state;
  static const char *const names[] = {"alias.test", "real.test"};
  for (size_t i = 0; i < 2; i++) {
    struct fixture fixture;
    open_kind(&fixture, DOMAIN_NODATA, "real.test", "alias.test");
    fixture.judge.with_addresses = false;
    assert_false(is_self(&fixture));
    wish(&fixture, WISH_SELF, names[i]);
    assert_true(is_self(&fixture));
    close_fixture(&fixture);
  }
}

static void the_configuration_names_every_caller(void **state) {
  (void)state;
  struct fixture fixture;
  union wishes_block own;
  char detail[WISHES_DETAIL_SIZE];
  open_fixture(&fixture);
  wishes_init(&own.wishes);
  assert_true(wishes_add_text(&own.wishes, WISH_SELF, "self-name", (const uint8_t *)"mx.test", 7, detail));
  struct judge_policy policy = {.self = &own.wishes};
  fixture.judge.policy = &policy;
  assert_true(is_self(&fixture)); /* with no wishes of his own */
  wish(&fixture, WISH_SELF, "other.test");
  assert_true(is_self(&fixture)); /* or with others */
  close_fixture(&fixture);
}

/* ---- the short way and the long ---- */

/* A caller with wishes that wish nothing is judged in full. */
static void an_ordinary_caller_gets_what_the_full_judgement_says(void **state) {
  (void)state;
  static const int64_t expiries[] = {NOW_MS - 1, NOW_MS, NOW_MS + 5000, LATER_MS};
  for (enum family_state v6 = 0; v6 <= FAMILY_LOOP; v6++)
    for (enum family_state v4 = 0; v4 <= FAMILY_LOOP; v4++)
      for (unsigned i = 0; i < 4 * 4 * 8; i++) {
        struct fixture fixture;
        open_fixture(&fixture);
        const char *alias = i & 1 ? "real.test" : "";
        struct family_value six =
            made_family(FAMILY_V6, v6, v6 == FAMILY_OK ? 1 + i % 32 : 0, expiries[i / 8 % 4], alias);
        struct family_value four =
            made_family(FAMILY_V4, v4, v4 == FAMILY_OK ? 32 - i % 32 : 0, expiries[i / 32], alias);
        if (i & 2 && four.count > 0)
          memcpy(four.addresses[0], (uint8_t[4]){127, 0, 0, 1}, 4);
        six.authentic = i & 4;
        four.authentic = v4 % 2;
        zone_give(&fixture.zone, 0, six, four);
        struct judgement shorter = judge(&fixture);
        look_again(&fixture, &plain_policy);
        struct judgement longer = judge(&fixture);
        assert_int_equal(shorter.status, longer.status);
        assert_int_equal(shorter.is_alias, longer.is_alias);
        assert_int_equal(shorter.authentic, longer.authentic);
        assert_ptr_equal(shorter.facts, longer.facts);
        assert_int_equal(shorter.usable[FAMILY_V6], longer.usable[FAMILY_V6]);
        assert_int_equal(shorter.usable[FAMILY_V4], longer.usable[FAMILY_V4]);
        assert_true(shorter.expires_at_ms == longer.expires_at_ms);
        close_fixture(&fixture);
      }
}

/* ---- refusals ---- */

static void mx_address_reject_makes_an_address_invalid_at_any_depth(void **state) {
  (void)state;
  static const struct judge_policy reject = {.reject_mx_address = true};
  for (int with_addresses = 0; with_addresses < 2; with_addresses++) {
    struct fixture fixture;
    open_address(&fixture, "192.0.2.7");
    fixture.judge.with_addresses = with_addresses;
    assert_int_equal(judge(&fixture).status, with_addresses ? STATUS_OK : STATUS_NOT_RESOLVED);
    look_again(&fixture, &reject);
    assert_usable(&fixture, STATUS_INVALID, 0, 0, 0);
    close_fixture(&fixture);
  }
}

static void nothing_is_looked_at_without_addresses(void **state) {
  (void)state;
  struct fixture fixture;
  open_fixture(&fixture);
  give(&fixture, "::1", "", "real.test");
  fixture.judge.with_addresses = false;
  struct judgement judgement = judge(&fixture);
  assert_int_equal(judgement.status, STATUS_NOT_RESOLVED);
  assert_null(judgement.facts);
  assert_false(judgement.is_alias);
  close_fixture(&fixture);
}

static void only_wanted_families_must_be_authentic(void **state) {
  (void)state;
  static const struct {
    bool v6, v4;
    enum families families;
    bool authentic;
  } rows[] = {
      {true, true, FAMILIES_ANY, true},   {true, false, FAMILIES_ANY, false},
      {false, true, FAMILIES_ANY, false}, {false, true, FAMILIES_V4, true},
      {true, false, FAMILIES_V4, false},  {true, false, FAMILIES_V6, true},
      {false, true, FAMILIES_V6, false},  {true, false, FAMILIES_V6_FIRST, false},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct fixture fixture;
    open_fixture(&fixture);
    struct family_value v6 = family_of(FAMILY_V6, "2001:db8::1", "");
    struct family_value v4 = family_of(FAMILY_V4, "192.0.2.1", "");
    v6.authentic = rows[i].v6;
    v4.authentic = rows[i].v4;
    zone_give(&fixture.zone, 0, v6, v4);
    want(&fixture, rows[i].families);
    assert_int_equal(judge(&fixture).authentic, rows[i].authentic);
    close_fixture(&fixture);
  }
}

/* ---- the story ---- */

static void every_decision_is_told_with_its_rule(void **state) {
  (void)state;
  struct fixture fixture;
  static const char *const told[][2] = {
      {"O6", "left out 127.0.0.1 of mx.test: loopback"},
      {"O8", "left out 192.0.2.9 of mx.test: the request excludes it"},
      {"O4", "left out the IPv6 addresses of mx.test: that family is not wanted"},
  };
  open_fixture(&fixture);
  give(&fixture, "2001:db8::1", "127.0.0.1 192.0.2.9 192.0.2.1", "");
  fixture.judge.story = story_create();
  assert_non_null(fixture.judge.story);
  want(&fixture, FAMILIES_V4);
  wish(&fixture, WISH_EXCLUDE, "192.0.2.9");
  judge(&fixture);
  assert_int_equal(story_count(fixture.judge.story), 3);
  for (size_t i = 0; i < 3; i++) {
    bool found = false;
    for (size_t j = 0; j < 3; j++) {
      struct story_line line = story_line(fixture.judge.story, j);
      found |= strcmp(line.rule, told[i][0]) == 0 && strcmp(line.text, told[i][1]) == 0;
    }
    assert_true(found);
  }
  story_unref(fixture.judge.story);
  close_fixture(&fixture);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(unreachable_addresses_are_left_out_one_by_one),
      cmocka_unit_test(an_exchange_that_loses_everything_is_filtered),
      cmocka_unit_test(a_soft_failure_beside_filtered_addresses_is_no_denial),
      cmocka_unit_test(a_family_that_is_not_wanted_is_left_out),
      cmocka_unit_test(a_request_overrides_the_configured_family),
      cmocka_unit_test(the_wanted_family_decides),
      cmocka_unit_test(what_mail_cannot_go_to_is_nobodys_choice),
      cmocka_unit_test(excluded_addresses_are_left_out),
      cmocka_unit_test(an_exchange_is_excluded_by_its_name_or_that_of_its_alias),
      cmocka_unit_test(an_exchange_that_is_an_address_is_named_by_it),
      cmocka_unit_test(the_caller_is_an_exchange_by_name_alias_or_address),
      cmocka_unit_test(an_address_of_ones_own_in_mapped_form_counts),
      cmocka_unit_test(expired_addresses_are_nobodys),
      cmocka_unit_test(an_implicit_exchange_is_the_caller_by_either_name_of_the_domain),
      cmocka_unit_test(the_configuration_names_every_caller),
      cmocka_unit_test(an_ordinary_caller_gets_what_the_full_judgement_says),
      cmocka_unit_test(mx_address_reject_makes_an_address_invalid_at_any_depth),
      cmocka_unit_test(nothing_is_looked_at_without_addresses),
      cmocka_unit_test(only_wanted_families_must_be_authentic),
      cmocka_unit_test(every_decision_is_told_with_its_rule),
  };
  return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
