#include "cmocka_compat.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "mxway.pb-c.h"
#include "rules/verdict.h"

enum { NO = 0, TRANSIENT = 1 };
enum verdict_class { CLASS_OK, CLASS_PERMANENT, CLASS_TRANSIENT };

/* The table of verdicts: section 7 of the routing rules, and the two of the protocol. */
static const struct {
  enum verdict verdict;
  enum verdict_class usual;
  int code;
  const char *enhanced;
  int transient_code; /* 0: no transient form of its own */
  const char *transient_enhanced;
} rules[] = {
    {VERDICT_ROUTE, CLASS_OK, 0, "", 0, ""},
    {VERDICT_NULL_MX, CLASS_PERMANENT, 556, "5.1.10", 0, ""},
    {VERDICT_NO_SUCH_DOMAIN, CLASS_PERMANENT, 550, "5.1.2", 0, ""},
    {VERDICT_NO_MAIL_HOST, CLASS_PERMANENT, 550, "5.4.4", 451, "4.4.4"},
    {VERDICT_MX_HOSTS_NO_ADDRESS, CLASS_PERMANENT, 550, "5.4.4", 451, "4.4.4"},
    {VERDICT_MX_HOSTS_TEMPFAIL, CLASS_TRANSIENT, 451, "4.4.3", 0, ""},
    {VERDICT_MX_ALL_INVALID, CLASS_PERMANENT, 550, "5.4.4", 0, ""},
    {VERDICT_NO_ROUTABLE_ADDRESS, CLASS_PERMANENT, 550, "5.4.4", 451, "4.4.4"},
    {VERDICT_LOOP_SELF_BEST, CLASS_PERMANENT, 554, "5.4.6", 0, ""},
    {VERDICT_PRIMARY_UNRESOLVED, CLASS_TRANSIENT, 451, "4.4.4", 0, ""},
    {VERDICT_INVALID_NAME, CLASS_PERMANENT, 501, "5.1.2", 0, ""},
    {VERDICT_DNS_SERVFAIL, CLASS_TRANSIENT, 451, "4.4.3", 0, ""},
    {VERDICT_DNS_REFUSED, CLASS_TRANSIENT, 451, "4.4.3", 0, ""},
    {VERDICT_DNS_TIMEOUT, CLASS_TRANSIENT, 451, "4.4.3", 0, ""},
    {VERDICT_DNS_NETWORK, CLASS_TRANSIENT, 451, "4.4.3", 0, ""},
    {VERDICT_DNS_MALFORMED, CLASS_TRANSIENT, 451, "4.4.3", 0, ""},
    {VERDICT_CNAME_LOOP, CLASS_TRANSIENT, 451, "4.4.4", 0, ""},
    {VERDICT_OVERLOAD, CLASS_TRANSIENT, 451, "4.3.2", 0, ""},
    {VERDICT_SHUTDOWN, CLASS_TRANSIENT, 451, "4.3.2", 0, ""},
    {VERDICT_DEADLINE, CLASS_TRANSIENT, 451, "4.3.2", 0, ""},
    {VERDICT_NOT_CACHED, CLASS_TRANSIENT, 451, "4.3.2", 0, ""},
    {VERDICT_BAD_REQUEST, CLASS_PERMANENT, 501, "5.5.4", 0, ""},
    {VERDICT_REJECTED, CLASS_PERMANENT, 550, "5.7.1", 0, ""},
};

enum { RULE_COUNT = sizeof(rules) / sizeof(rules[0]) };

static void the_smtp_status_is_that_of_the_rules(void **state) {
  (void)state;
  for (int i = 0; i < RULE_COUNT; i++) {
    struct smtp_status status = verdict_smtp(rules[i].verdict, NO);
    assert_int_equal(status.code, rules[i].code);
    assert_string_equal(status.enhanced, rules[i].enhanced);
  }
}

static void only_verdicts_with_two_classes_have_a_transient_form(void **state) {
  (void)state;
  for (int i = 0; i < RULE_COUNT; i++) {
    struct smtp_status status = verdict_smtp(rules[i].verdict, TRANSIENT);
    bool both = rules[i].transient_code != 0;
    assert_int_equal(status.code, both ? rules[i].transient_code : rules[i].code);
    assert_string_equal(status.enhanced, both ? rules[i].transient_enhanced : rules[i].enhanced);
  }
}

static void code_and_enhanced_status_agree_with_the_class(void **state) {
  (void)state;
  for (int i = 0; i < RULE_COUNT; i++) {
    struct smtp_status status = verdict_smtp(rules[i].verdict, NO);
    int digit = rules[i].usual == CLASS_OK ? 0 : rules[i].usual == CLASS_PERMANENT ? 5 : 4;
    assert_int_equal(status.code / 100, digit);
    assert_int_equal(status.enhanced[0], digit ? '0' + digit : '\0');
  }
}

static void numbers_and_names_are_those_of_the_protocol(void **state) {
  (void)state;
  /* The protocol has one more: UNSPECIFIED. */
  assert_int_equal(mxway__v1__verdict__descriptor.n_values, RULE_COUNT + 1);
  for (int i = 0; i < RULE_COUNT; i++) {
    char name[64];
    snprintf(name, sizeof(name), "VERDICT_%s", verdict_name(rules[i].verdict));
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value_by_name(&mxway__v1__verdict__descriptor, name);
    assert_non_null(value);
    assert_int_equal(value->value, rules[i].verdict);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_smtp_status_is_that_of_the_rules),
      cmocka_unit_test(only_verdicts_with_two_classes_have_a_transient_form),
      cmocka_unit_test(code_and_enhanced_status_agree_with_the_class),
      cmocka_unit_test(numbers_and_names_are_those_of_the_protocol),
  };
  return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
