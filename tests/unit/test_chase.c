#include "cmocka_compat.h"

#include "dns/chase.h"
#include "fake_dns.h"

enum { NOW_MS = 5000, HOPS = 8 };

/* One chase and how it ended, copied. */
struct trial {
  struct dns *dns;
  struct chase chase;
  unsigned calls;
  enum dns_result result;
  enum dnsmsg_outcome outcome;
  uint32_t alias_ttl_s;
  bool is_alias, has_message;
  char canonical[DNSMSG_NAME_SIZE];
  struct dnsmsg message;
  int64_t now_ms;
};

static int open_trial(void **state) {
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->dns = fake_dns_create();
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  assert_int_equal(trial->dns->open_count, 0);
  dns_destroy(trial->dns);
  free(trial);
  return 0;
}

static void on_done(struct chase *chase, const struct chase_end *end, int64_t now_ms) {
  struct trial *trial = (struct trial *)((char *)chase - offsetof(struct trial, chase));
  trial->calls++;
  trial->result = end->result;
  trial->outcome = end->outcome;
  trial->alias_ttl_s = end->alias_ttl_s;
  trial->is_alias = end->is_alias;
  trial->has_message = end->message != NULL;
  snprintf(trial->canonical, sizeof(trial->canonical), "%s", end->canonical);
  if (end->message)
    trial->message = *end->message;
  trial->now_ms = now_ms;
  assert_null(chase->query); /* does not run any more: it may be started anew */
}

static int ask(struct trial *trial, const char *name, uint16_t qtype, uint32_t max_hops) {
  const struct dns_question question = {name, qtype, DNS_FOR_CLIENT, NULL};
  return chase_start(&trial->chase, trial->dns, &question, max_hops, on_done);
}

static void start(struct trial *trial, uint16_t qtype) {
  assert_int_equal(ask(trial, "a.test", qtype, HOPS), 0);
  assert_int_equal(trial->calls, 0);
}

static void deliver(struct trial *trial, const char *name, struct dnsmsg message) {
  fake_dns_deliver(trial->dns, name, trial->chase.qtype, &message, NOW_MS);
}

static void a_direct_answer_ends_the_chase(void **state) {
  struct trial *trial = *state;
  start(trial, DNSMSG_MX);
  assert_int_equal(trial->dns->asked_count, 1);
  deliver(trial, "a.test", fake_mx(300, 10, "mx.test"));
  assert_int_equal(trial->calls, 1);
  assert_int_equal(trial->result, DNS_REPLIED);
  assert_int_equal(trial->outcome, DNSMSG_ANSWER);
  assert_int_equal(trial->alias_ttl_s, 300);
  assert_false(trial->is_alias);
  assert_string_equal(trial->canonical, "a.test");
  assert_string_equal(trial->message.mx[0].host, "mx.test");
  assert_int_equal(trial->now_ms, NOW_MS);
}

static void each_type_is_asked_for_as_it_is(void **state) {
  struct trial *trial = *state;
  static const uint16_t types[] = {DNSMSG_MX, DNSMSG_A, DNSMSG_AAAA};
  for (size_t i = 0; i < 3; i++) {
    start(trial, types[i]);
    assert_true(fake_dns_is_asked(trial->dns, "a.test", types[i]));
    deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
    assert_true(fake_dns_is_asked(trial->dns, "b.test", types[i]));
    deliver(trial, "b.test", fake_reply(DNSMSG_SERVFAIL));
    assert_int_equal(trial->calls, 1);
    trial->calls = 0;
  }
}

static void aliases_within_one_answer_are_believed(void **state) {
  struct trial *trial = *state;
  struct dnsmsg message = fake_a(120, 1, 1);
  message.hops = 3;
  snprintf(message.canonical, sizeof(message.canonical), "d.test");
  start(trial, DNSMSG_A);
  deliver(trial, "a.test", message);
  assert_int_equal(trial->dns->asked_count, 1);
  assert_int_equal(trial->outcome, DNSMSG_ANSWER);
  assert_true(trial->is_alias);
  assert_string_equal(trial->canonical, "d.test");
  assert_int_equal(trial->alias_ttl_s, 120);
}

static void a_chain_is_followed_over_several_replies(void **state) {
  struct trial *trial = *state;
  start(trial, DNSMSG_A);
  deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 600, "b.test"));
  assert_int_equal(trial->calls, 0);
  deliver(trial, "b.test", fake_alias(DNSMSG_FOLLOW, 2, 60, "d.test"));
  assert_int_equal(trial->calls, 0);
  deliver(trial, "d.test", fake_a(300, 7, 2));
  assert_int_equal(trial->calls, 1);
  assert_int_equal(trial->dns->asked_count, 3);
  assert_int_equal(trial->outcome, DNSMSG_ANSWER);
  assert_true(trial->is_alias);
  assert_string_equal(trial->canonical, "d.test");
  assert_int_equal(trial->alias_ttl_s, 60); /* the least of 600, 60 and 300 */
  assert_int_equal(trial->message.address_count, 2);
}

static void the_least_ttl_may_be_anywhere_in_the_chain(void **state) {
  struct trial *trial = *state;
  static const uint32_t ttls[3][3] = {{5, 60, 600}, {60, 5, 600}, {600, 60, 5}};
  for (size_t i = 0; i < 3; i++) {
    start(trial, DNSMSG_A);
    deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, ttls[i][0], "b.test"));
    deliver(trial, "b.test", fake_alias(DNSMSG_FOLLOW, 1, ttls[i][1], "c.test"));
    deliver(trial, "c.test", fake_a(ttls[i][2], 1, 1));
    assert_int_equal(trial->alias_ttl_s, 5);
    trial->calls = 0;
  }
}

static void a_denial_at_the_end_keeps_the_ttl_of_the_aliases(void **state) {
  struct trial *trial = *state;
  static const enum dnsmsg_outcome denials[] = {DNSMSG_NODATA, DNSMSG_NXDOMAIN};
  for (size_t i = 0; i < 2; i++) {
    start(trial, DNSMSG_MX);
    deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 40, "b.test"));
    deliver(trial, "b.test", fake_denial(denials[i], 900));
    assert_int_equal(trial->outcome, denials[i]);
    assert_int_equal(trial->alias_ttl_s, 40);
    assert_int_equal(trial->message.negative_ttl_s, 900);
    assert_true(trial->is_alias);
    assert_string_equal(trial->canonical, "b.test");
    trial->calls = 0;
  }
}

static void a_denial_without_aliases_has_no_ttl_of_aliases(void **state) {
  struct trial *trial = *state;
  start(trial, DNSMSG_MX);
  deliver(trial, "a.test", fake_denial(DNSMSG_NODATA, 900));
  assert_true(trial->alias_ttl_s == UINT32_MAX);
  assert_false(trial->is_alias);
}

/* Follows `hops` aliases one reply at a time, then gives `last`. */
static void walk(struct trial *trial, unsigned hops, struct dnsmsg last) {
  char name[DNSMSG_NAME_SIZE] = "a.test", next[DNSMSG_NAME_SIZE];
  start(trial, DNSMSG_A);
  for (unsigned i = 0; i < hops && trial->calls == 0; i++) {
    snprintf(next, sizeof(next), "n%u.test", i);
    deliver(trial, name, fake_alias(DNSMSG_FOLLOW, 1, 60, next));
    memcpy(name, next, sizeof(name));
  }
  if (trial->calls == 0)
    deliver(trial, name, last);
}

static void eight_hops_are_followed(void **state) {
  struct trial *trial = *state;
  walk(trial, HOPS, fake_a(300, 1, 1));
  assert_int_equal(trial->calls, 1);
  assert_int_equal(trial->outcome, DNSMSG_ANSWER);
  assert_int_equal(trial->dns->asked_count, HOPS + 1);
  assert_string_equal(trial->canonical, "n7.test");
}

static void nine_hops_are_a_loop_and_the_ninth_is_not_asked_for(void **state) {
  struct trial *trial = *state;
  walk(trial, HOPS + 1, fake_a(300, 1, 1));
  assert_int_equal(trial->calls, 1);
  assert_int_equal(trial->result, DNS_REPLIED);
  assert_int_equal(trial->outcome, DNSMSG_LOOP);
  assert_int_equal(trial->dns->asked_count, HOPS + 1);
  assert_true(trial->is_alias);
}

static void the_bound_holds_for_the_hops_within_one_reply(void **state) {
  struct trial *trial = *state;
  for (unsigned hops = HOPS; hops <= HOPS + 1; hops++) {
    struct dnsmsg message = fake_a(300, 1, 1);
    message.hops = (uint8_t)hops;
    start(trial, DNSMSG_A);
    deliver(trial, "a.test", message);
    assert_int_equal(trial->outcome, hops > HOPS ? DNSMSG_LOOP : DNSMSG_ANSWER);
    trial->calls = 0;
  }
}

static void the_bound_is_on_the_sum_of_all_replies(void **state) {
  struct trial *trial = *state;
  for (unsigned more = 3; more <= 4; more++) {
    struct dnsmsg message = fake_a(300, 1, 1);
    message.hops = (uint8_t)more;
    start(trial, DNSMSG_A);
    deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 5, 60, "b.test"));
    deliver(trial, "b.test", message);
    assert_int_equal(trial->outcome, 5 + more > HOPS ? DNSMSG_LOOP : DNSMSG_ANSWER);
    trial->calls = 0;
  }
}

static void the_bound_is_the_caller_s(void **state) {
  struct trial *trial = *state;
  assert_int_equal(ask(trial, "a.test", DNSMSG_A, 1), 0);
  deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
  assert_int_equal(trial->calls, 0);
  deliver(trial, "b.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "c.test"));
  assert_int_equal(trial->calls, 1);
  assert_int_equal(trial->outcome, DNSMSG_LOOP);
}

static void an_alias_of_itself_over_two_replies_ends(void **state) {
  struct trial *trial = *state;
  start(trial, DNSMSG_A);
  unsigned replies = 0;
  for (; trial->calls == 0; replies++) {
    assert_true(replies <= HOPS);
    bool is_a = fake_dns_is_asked(trial->dns, "a.test", DNSMSG_A);
    deliver(trial, is_a ? "a.test" : "b.test", fake_alias(DNSMSG_FOLLOW, 1, 60, is_a ? "b.test" : "a.test"));
  }
  assert_int_equal(replies, HOPS + 1);
  assert_int_equal(trial->outcome, DNSMSG_LOOP);
}

static void a_loop_that_a_reply_shows_is_a_loop(void **state) {
  struct trial *trial = *state;
  start(trial, DNSMSG_A);
  deliver(trial, "a.test", fake_alias(DNSMSG_LOOP, 2, 60, "b.test"));
  assert_int_equal(trial->calls, 1);
  assert_int_equal(trial->outcome, DNSMSG_LOOP);
  assert_true(trial->is_alias);
  assert_int_equal(trial->dns->asked_count, 1);
}

static void other_outcomes_end_the_chase_as_they_are(void **state) {
  struct trial *trial = *state;
  static const enum dnsmsg_outcome outcomes[] = {DNSMSG_FORMERR, DNSMSG_SERVFAIL,    DNSMSG_NOTIMP,
                                                 DNSMSG_REFUSED, DNSMSG_OTHER_RCODE, DNSMSG_MALFORMED};
  for (size_t i = 0; i < 6; i++)
    for (int midway = 0; midway < 2; midway++) {
      start(trial, DNSMSG_A);
      if (midway)
        deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
      deliver(trial, midway ? "b.test" : "a.test", fake_reply(outcomes[i]));
      assert_int_equal(trial->calls, 1);
      assert_int_equal(trial->result, DNS_REPLIED);
      assert_int_equal(trial->outcome, outcomes[i]);
      assert_int_equal(trial->is_alias, midway);
      trial->calls = 0;
    }
}

static void silence_ends_the_chase_without_a_message(void **state) {
  struct trial *trial = *state;
  static const enum dns_result results[] = {DNS_TIMED_OUT, DNS_UNREACHABLE, DNS_SHED};
  for (size_t i = 0; i < 3; i++)
    for (int midway = 0; midway < 2; midway++) {
      start(trial, DNSMSG_A);
      if (midway)
        deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
      fake_dns_fail(trial->dns, midway ? "b.test" : "a.test", DNSMSG_A, results[i], NOW_MS);
      assert_int_equal(trial->calls, 1);
      assert_int_equal(trial->result, results[i]);
      assert_false(trial->has_message);
      assert_int_equal(trial->is_alias, midway);
      assert_string_equal(trial->canonical, midway ? "b.test" : "a.test");
      assert_true(trial->alias_ttl_s == (midway ? 60 : UINT32_MAX));
      trial->calls = 0;
    }
}

static void a_query_refused_at_the_start_is_an_error_and_no_call(void **state) {
  struct trial *trial = *state;
  static const int errors[] = {ERR_OVERLOAD, ERR_NOMEM};
  for (size_t i = 0; i < 2; i++) {
    fake_dns_refuse_after(trial->dns, 0, errors[i]);
    assert_int_equal(ask(trial, "a.test", DNSMSG_A, HOPS), errors[i]);
    assert_int_equal(trial->calls, 0);
    chase_cancel(&trial->chase);
  }
  assert_int_equal(trial->dns->cancelled_count, 0);
}

static void a_query_refused_midway_ends_the_chase_as_shed(void **state) {
  struct trial *trial = *state;
  start(trial, DNSMSG_A);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
  assert_int_equal(trial->calls, 1);
  assert_int_equal(trial->result, DNS_SHED);
  chase_cancel(&trial->chase);
  assert_int_equal(trial->dns->cancelled_count, 0);
}

static void a_cancelled_chase_makes_no_call(void **state) {
  struct trial *trial = *state;
  for (int midway = 0; midway < 2; midway++) {
    start(trial, DNSMSG_A);
    if (midway)
      deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
    chase_cancel(&trial->chase);
    assert_int_equal(trial->dns->open_count, 0);
    assert_int_equal(trial->dns->cancelled_count, midway + 1);
    assert_int_equal(trial->calls, 0);
    chase_cancel(&trial->chase); /* once more is no harm */
    assert_int_equal(trial->dns->cancelled_count, midway + 1);
  }
}

static void a_chase_that_never_ran_or_has_ended_can_be_cancelled(void **state) {
  struct trial *trial = *state;
  chase_cancel(&trial->chase);
  start(trial, DNSMSG_A);
  deliver(trial, "a.test", fake_a(300, 1, 1));
  chase_cancel(&trial->chase);
  assert_int_equal(trial->dns->cancelled_count, 0);
}

static enum dns_priority priority_of(struct trial *trial, const char *name) {
  struct dns_query *query = fake_dns_find(trial->dns, name, trial->chase.qtype);
  assert_non_null(query);
  return query->priority;
}

static void start_with(struct trial *trial, enum dns_priority priority) {
  const struct dns_question question = {"a.test", DNSMSG_A, priority, NULL};
  assert_int_equal(chase_start(&trial->chase, trial->dns, &question, HOPS, on_done), 0);
}

static void every_query_of_a_chase_has_its_priority(void **state) {
  struct trial *trial = *state;
  for (enum dns_priority priority = 0; priority < DNS_PRIORITY_COUNT; priority++) {
    start_with(trial, priority);
    assert_int_equal(priority_of(trial, "a.test"), priority);
    deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
    assert_int_equal(priority_of(trial, "b.test"), priority);
    deliver(trial, "b.test", fake_a(300, 1, 1));
  }
}

static void promoting_raises_the_query_under_way_and_those_after_it_and_never_lowers(void **state) {
  struct trial *trial = *state;
  start_with(trial, DNS_FOR_PREFETCH);
  chase_promote(&trial->chase, DNS_FOR_REFRESH);
  assert_int_equal(priority_of(trial, "a.test"), DNS_FOR_REFRESH);
  chase_promote(&trial->chase, DNS_FOR_PREFETCH);
  assert_int_equal(priority_of(trial, "a.test"), DNS_FOR_REFRESH);
  chase_promote(&trial->chase, DNS_FOR_CLIENT);
  assert_int_equal(priority_of(trial, "a.test"), DNS_FOR_CLIENT);
  deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
  assert_int_equal(priority_of(trial, "b.test"), DNS_FOR_CLIENT);
  deliver(trial, "b.test", fake_a(300, 1, 1));
}

static void a_chase_that_does_not_run_is_not_promoted_and_not_sent(void **state) {
  struct trial *trial = *state;
  chase_promote(&trial->chase, DNS_FOR_CLIENT);
  assert_false(chase_is_sent(&trial->chase));
  start(trial, DNSMSG_A);
  deliver(trial, "a.test", fake_a(300, 1, 1));
  chase_promote(&trial->chase, DNS_FOR_CLIENT);
  assert_false(chase_is_sent(&trial->chase));
}

static void a_chase_is_sent_when_its_query_under_way_is(void **state) {
  struct trial *trial = *state;
  start(trial, DNSMSG_A);
  assert_true(chase_is_sent(&trial->chase));
  fake_dns_find(trial->dns, "a.test", DNSMSG_A)->is_waiting = true;
  assert_false(chase_is_sent(&trial->chase));
  deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
  assert_true(chase_is_sent(&trial->chase));
  deliver(trial, "b.test", fake_a(300, 1, 1));
}

/* Its steps, told where they are taken; every query tells the same story. */
static void a_story_is_told_of_aliases_and_of_loops(void **state) {
  struct trial *trial = *state;
  struct story *story = story_create();
  const struct dns_question question = {"a.test", DNSMSG_A, DNS_FOR_CLIENT, story};
  assert_int_equal(chase_start(&trial->chase, trial->dns, &question, 1, on_done), 0);
  assert_ptr_equal(fake_dns_find(trial->dns, "a.test", DNSMSG_A)->story, story);
  assert_int_equal(story_count(story), 0);
  deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "b.test"));
  assert_ptr_equal(fake_dns_find(trial->dns, "b.test", DNSMSG_A)->story, story);
  assert_int_equal(story_count(story), 1);
  assert_string_equal(story_line(story, 0).rule, "V13, V14 (RFC 2181 10.1)");
  assert_non_null(strstr(story_line(story, 0).text, "a.test leads to b.test"));
  deliver(trial, "b.test", fake_alias(DNSMSG_FOLLOW, 1, 60, "c.test"));
  assert_int_equal(trial->outcome, DNSMSG_LOOP);
  assert_int_equal(story_count(story), 2);
  assert_string_equal(story_line(story, 1).rule, "V13, V14");
  assert_non_null(strstr(story_line(story, 1).text, "more than 1"));
  story_unref(story);
}

static void the_longest_name_is_asked_for_whole(void **state) {
  struct trial *trial = *state;
  char longest[DNSMSG_NAME_SIZE];
  memset(longest, 'x', sizeof(longest) - 1);
  longest[sizeof(longest) - 1] = '\0';
  for (size_t i = 63; i < sizeof(longest) - 1; i += 64)
    longest[i] = '.';
  assert_int_equal(ask(trial, longest, DNSMSG_A, HOPS), 0);
  deliver(trial, longest, fake_alias(DNSMSG_FOLLOW, 1, 60, "a.test"));
  deliver(trial, "a.test", fake_alias(DNSMSG_FOLLOW, 1, 60, longest));
  deliver(trial, longest, fake_a(300, 1, 1));
  assert_string_equal(trial->canonical, longest);
}

int main(void) {
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(a_direct_answer_ends_the_chase),
      TRIAL(each_type_is_asked_for_as_it_is),
      TRIAL(aliases_within_one_answer_are_believed),
      TRIAL(a_chain_is_followed_over_several_replies),
      TRIAL(the_least_ttl_may_be_anywhere_in_the_chain),
      TRIAL(a_denial_at_the_end_keeps_the_ttl_of_the_aliases),
      TRIAL(a_denial_without_aliases_has_no_ttl_of_aliases),
      TRIAL(eight_hops_are_followed),
      TRIAL(nine_hops_are_a_loop_and_the_ninth_is_not_asked_for),
      TRIAL(the_bound_holds_for_the_hops_within_one_reply),
      TRIAL(the_bound_is_on_the_sum_of_all_replies),
      TRIAL(the_bound_is_the_caller_s),
      TRIAL(an_alias_of_itself_over_two_replies_ends),
      TRIAL(a_loop_that_a_reply_shows_is_a_loop),
      TRIAL(other_outcomes_end_the_chase_as_they_are),
      TRIAL(silence_ends_the_chase_without_a_message),
      TRIAL(a_query_refused_at_the_start_is_an_error_and_no_call),
      TRIAL(a_query_refused_midway_ends_the_chase_as_shed),
      TRIAL(a_cancelled_chase_makes_no_call),
      TRIAL(a_chase_that_never_ran_or_has_ended_can_be_cancelled),
      TRIAL(every_query_of_a_chase_has_its_priority),
      TRIAL(promoting_raises_the_query_under_way_and_those_after_it_and_never_lowers),
      TRIAL(a_chase_that_does_not_run_is_not_promoted_and_not_sent),
      TRIAL(a_chase_is_sent_when_its_query_under_way_is),
      TRIAL(a_story_is_told_of_aliases_and_of_loops),
      TRIAL(the_longest_name_is_asked_for_whole),
  };
  return cmocka_run_group_tests_name("chase", tests, NULL, NULL);
}
