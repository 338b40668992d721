#include "cmocka_compat.h"

#include "fake_dns.h"
#include "fake_store.h"
#include "resolve/fetch.h"

enum { NOW_MS = 1000000, HOPS = 8, PARTS = 2 };

static const uint16_t qtypes[PARTS] = {DNSMSG_AAAA, DNSMSG_A};

/* A fetch of two parts, and what it was told; copied. */
struct trial {
  struct learn_policy policy;
  struct dns *dns;
  struct store *store;
  struct fetch_ways ways;
  struct fetch fetch;
  struct fetch_part parts[PARTS];
  bool is_enough;   /* what is said of values that are offered */
  unsigned settles; /* bits of parts that they settle */
  unsigned offers, shared, done;
  unsigned ends[PARTS];
  enum dns_result results[PARTS];
  enum dnsmsg_outcome outcomes[PARTS];
  struct record *to_share; /* given to fetch_share */
  char shared_name[FACTS_NAME_SIZE];
};

static struct trial *trial_of(struct fetch *fetch) {
  return (struct trial *)((char *)fetch - offsetof(struct trial, fetch));
}

static bool suffices(struct fetch *fetch, const struct record *record, int64_t now_ms) {
  struct trial *trial = trial_of(fetch);
  assert_int_equal(now_ms, NOW_MS);
  assert_string_equal(record->name, "a.test");
  trial->offers++;
  for (size_t i = 0; i < PARTS; i++)
    if (trial->settles >> i & 1)
      fetch_settle(fetch, i);
  return trial->is_enough;
}

/* The fetch is over: nothing is under way any more, and it may be started anew or be gone. */
static void check_over(struct trial *trial) {
  assert_int_equal(trial->dns->open_count, 0);
  assert_int_equal(trial->store->open_count, 0);
  assert_int_equal(trial->shared + trial->done, 1);
}

static void on_shared(struct fetch *fetch, const struct record *record, int64_t now_ms) {
  struct trial *trial = trial_of(fetch);
  assert_int_equal(now_ms, NOW_MS);
  trial->shared++;
  snprintf(trial->shared_name, sizeof(trial->shared_name), "%s", record->name);
  check_over(trial);
  memset(&trial->fetch, 0x5a, sizeof(trial->fetch));
}

static void on_part(struct fetch *fetch, size_t part, const struct chase_end *end, int64_t now_ms) {
  struct trial *trial = trial_of(fetch);
  assert_int_equal(now_ms, NOW_MS);
  assert_int_equal(trial->shared + trial->done, 0);
  assert_non_null(end->canonical);
  if (end->result == DNS_REPLIED && !learn_failure(&trial->policy, end))
    assert_non_null(end->message);
  trial->ends[part]++;
  trial->results[part] = end->result;
  trial->outcomes[part] = end->outcome;
}

static void on_done(struct fetch *fetch, int64_t now_ms) {
  struct trial *trial = trial_of(fetch);
  trial->done++;
  check_over(trial);
  fetch_share(fetch, trial->to_share, now_ms);
  memset(&trial->fetch, 0x5a, sizeof(trial->fetch));
}

static const struct fetch_calls calls = {suffices, on_shared, on_part, on_done};

/* As its owner makes it, whatever came of an earlier one. */
static void prepare(struct trial *trial) {
  memset(trial->parts, 0, sizeof(trial->parts));
  for (size_t i = 0; i < PARTS; i++) {
    trial->parts[i].qtype = qtypes[i];
    trial->ends[i] = 0;
  }
  trial->offers = trial->shared = trial->done = trial->settles = 0;
  trial->is_enough = false;
  trial->to_share = NULL;
  trial->fetch = (struct fetch){.ways = &trial->ways,
                                .calls = &calls,
                                .kind = RECORD_HOST,
                                .name = "a.test",
                                .length = 6,
                                .parts = trial->parts,
                                .part_count = PARTS,
                                .priority = DNS_FOR_PREFETCH};
}

static int open_trial(void **state) {
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->dns = fake_dns_create();
  trial->store = fake_store_create();
  trial->ways = (struct fetch_ways){
      .store = trial->store, .dns = trial->dns, .policy = &trial->policy, .max_cname_hops = HOPS};
  prepare(trial);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  assert_int_equal(trial->dns->open_count, 0);
  dns_destroy(trial->dns);
  fake_store_destroy(trial->store);
  free(trial);
  return 0;
}

/* ---- what a test does ---- */

enum { BOTH = 3 };

static void start(struct trial *trial, unsigned wanted) {
  assert_int_equal(fetch_start(&trial->fetch, wanted, true, NOW_MS), 0);
  assert_true(fake_store_is_asked(trial->store, RECORD_HOST, "a.test"));
  assert_int_equal(trial->dns->open_count, 0);
}

static struct store_read *read_of(struct trial *trial) {
  struct store_read *read = fake_store_find(trial->store, RECORD_HOST, "a.test");
  assert_non_null(read);
  return read;
}

/* Starts, and the head start is over. */
static void start_late(struct trial *trial, unsigned wanted) {
  start(trial, wanted);
  fake_store_late(read_of(trial), NOW_MS);
}

static bool offer(struct trial *trial) {
  struct record record = fake_host_record("a.test");
  fake_add_family(&record, FAMILY_V4, FAMILY_OK, 1, 1000, 300000, NOW_MS);
  return fake_store_offer(read_of(trial), &record, NOW_MS);
}

static void end_read(struct trial *trial, enum store_outcome outcome) {
  fake_store_end(read_of(trial), outcome, NOW_MS);
}

static void deliver(struct trial *trial, size_t part, struct dnsmsg message) {
  fake_dns_deliver(trial->dns, "a.test", qtypes[part], &message, NOW_MS);
}

static void time_out(struct trial *trial, size_t part) {
  fake_dns_fail(trial->dns, "a.test", qtypes[part], DNS_TIMED_OUT, NOW_MS);
}

static void check_nothing_was_told(const struct trial *trial) {
  assert_int_equal(trial->shared + trial->done + trial->ends[0] + trial->ends[1], 0);
}

static void check_told(const struct trial *trial, size_t part, enum dns_result result,
                       enum dnsmsg_outcome outcome) {
  assert_int_equal(trial->ends[part], 1);
  assert_int_equal(trial->results[part], result);
  assert_int_equal(trial->outcomes[part], outcome);
}

/* ---- without a store ---- */

static void without_a_store_the_dns_is_asked_at_once(void **state) {
  struct trial *trial = *state;
  trial->ways.store = NULL;
  assert_int_equal(fetch_start(&trial->fetch, BOTH, true, NOW_MS), 0);
  assert_int_equal(trial->dns->open_count, 2);
  deliver(trial, 1, fake_a(300, 1, 1));
  check_told(trial, 1, DNS_REPLIED, DNSMSG_ANSWER);
  assert_int_equal(trial->done, 0);
  time_out(trial, 0); /* nobody knows better: it is told at once */
  check_told(trial, 0, DNS_TIMED_OUT, 0);
  assert_int_equal(trial->done, 1);
}

static void only_what_is_wanted_is_asked_for(void **state) {
  struct trial *trial = *state;
  for (size_t part = 0; part < PARTS; part++) {
    prepare(trial);
    start(trial, 1u << part);
    end_read(trial, STORE_MISSING);
    assert_int_equal(trial->dns->open_count, 1);
    deliver(trial, part, fake_denial(DNSMSG_NODATA, 300));
    check_told(trial, part, DNS_REPLIED, DNSMSG_NODATA);
    assert_int_equal(trial->ends[!part], 0);
    assert_int_equal(trial->done, 1);
  }
}

static void what_the_dns_will_not_take_is_an_error_where_it_takes_nothing(void **state) {
  struct trial *trial = *state;
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  assert_int_equal(fetch_start(&trial->fetch, BOTH, false, NOW_MS), ERR_OVERLOAD);
  assert_int_equal(trial->store->asked_count, 0);
  check_nothing_was_told(trial);
  fake_dns_refuse_after(trial->dns, 1, ERR_NOMEM);
  assert_int_equal(fetch_start(&trial->fetch, BOTH, false, NOW_MS), 0);
  check_nothing_was_told(trial);
  deliver(trial, 0, fake_aaaa(300, 1, 1));
  check_told(trial, 0, DNS_REPLIED, DNSMSG_ANSWER);
  check_told(trial, 1, DNS_SHED, trial->outcomes[1]);
  assert_int_equal(trial->done, 1);
}

/* ---- the store first ---- */

static void what_the_store_has_enough_of_is_not_asked_of_the_dns(void **state) {
  struct trial *trial = *state;
  start(trial, BOTH);
  trial->is_enough = true;
  assert_true(offer(trial));
  assert_int_equal(trial->shared, 1);
  assert_string_equal(trial->shared_name, "a.test");
  assert_int_equal(trial->dns->asked_count, 0);
}

static void what_the_store_does_not_know_is_asked_of_the_dns(void **state) {
  struct trial *trial = *state;
  static const enum store_outcome outcomes[] = {STORE_MISSING, STORE_AWAY};
  for (size_t i = 0; i < 2; i++) {
    prepare(trial);
    start(trial, BOTH);
    assert_false(offer(trial)); /* nor what is not enough */
    check_nothing_was_told(trial);
    end_read(trial, outcomes[i]);
    assert_int_equal(trial->dns->open_count, 2);
    deliver(trial, 0, fake_aaaa(300, 1, 1));
    deliver(trial, 1, fake_a(300, 1, 1));
    assert_int_equal(trial->done, 1);
  }
}

static void a_store_that_is_away_costs_nothing(void **state) {
  struct trial *trial = *state;
  trial->store->refusal = ERR_NETWORK;
  assert_int_equal(fetch_start(&trial->fetch, BOTH, true, NOW_MS), 0);
  assert_int_equal(trial->dns->open_count, 2);
  time_out(trial, 0);
  time_out(trial, 1);
  check_told(trial, 0, DNS_TIMED_OUT, 0);
  assert_int_equal(trial->done, 1);
  assert_int_equal(trial->store->released_count, 0);
}

static void who_wants_no_word_of_the_store_asks_the_dns_alone(void **state) {
  struct trial *trial = *state;
  assert_int_equal(fetch_start(&trial->fetch, BOTH, false, NOW_MS), 0);
  assert_int_equal(trial->store->asked_count, 0);
  deliver(trial, 0, fake_aaaa(300, 1, 1));
  struct record record = fake_host_record("x.test");
  fake_add_family(&record, FAMILY_V4, FAMILY_OK, 1, 0, 300000, NOW_MS);
  trial->to_share = &record;
  deliver(trial, 1, fake_a(300, 1, 1));
  assert_int_equal(trial->store->put_count, 1); /* and gives it what it said */
  assert_non_null(fake_store_value(trial->store, RECORD_HOST, "a.test"));
}

static void a_lease_is_given_back_by_whoever_has_nothing_to_share(void **state) {
  struct trial *trial = *state;
  start(trial, BOTH);
  end_read(trial, STORE_MISSING);
  time_out(trial, 0);
  assert_int_equal(trial->store->released_count, 0);
  time_out(trial, 1);
  assert_int_equal(trial->store->released_count, 1);
  prepare(trial);
  start(trial, BOTH);
  trial->is_enough = true;
  offer(trial);
  assert_int_equal(trial->store->released_count, 1); /* there is none */
}

/* ---- the race ---- */

static void the_store_may_win_though_it_is_late(void **state) {
  struct trial *trial = *state;
  start_late(trial, BOTH);
  assert_int_equal(trial->dns->open_count, 2);
  trial->is_enough = true;
  assert_true(offer(trial));
  assert_int_equal(trial->shared, 1);
  assert_int_equal(trial->dns->cancelled_count, 2);
}

static void the_dns_may_win_where_the_store_is_late(void **state) {
  struct trial *trial = *state;
  start_late(trial, BOTH);
  deliver(trial, 0, fake_aaaa(300, 1, 1));
  check_told(trial, 0, DNS_REPLIED, DNSMSG_ANSWER);
  assert_int_equal(trial->store->open_count, 1); /* it may know the other part */
  deliver(trial, 1, fake_denial(DNSMSG_NXDOMAIN, 60));
  assert_int_equal(trial->store->cancelled_count, 1);
  assert_int_equal(trial->done, 1);
}

static void a_store_that_is_late_and_knows_nothing_changes_nothing(void **state) {
  struct trial *trial = *state;
  start_late(trial, BOTH);
  end_read(trial, STORE_MISSING);
  assert_int_equal(trial->dns->asked_count, 2);
  deliver(trial, 0, fake_aaaa(300, 1, 1));
  deliver(trial, 1, fake_a(300, 1, 1));
  assert_int_equal(trial->done, 1);
}

static void a_failure_is_not_told_while_the_store_may_know(void **state) {
  struct trial *trial = *state;
  start_late(trial, BOTH);
  time_out(trial, 0);
  deliver(trial, 1, fake_reply(DNSMSG_SERVFAIL));
  check_nothing_was_told(trial);
  trial->is_enough = true;
  assert_true(offer(trial));
  assert_int_equal(trial->shared, 1);
  assert_int_equal(trial->ends[0] + trial->ends[1], 0);
}

static void a_failure_is_told_when_the_store_has_had_its_say(void **state) {
  struct trial *trial = *state;
  static const enum store_outcome outcomes[] = {STORE_MISSING, STORE_AWAY};
  for (size_t i = 0; i < 2; i++) {
    prepare(trial);
    start_late(trial, BOTH);
    deliver(trial, 0, fake_reply(DNSMSG_SERVFAIL));
    deliver(trial, 1, fake_a(300, 1, 1));
    check_told(trial, 1, DNS_REPLIED, DNSMSG_ANSWER);
    assert_int_equal(trial->ends[0], 0);
    end_read(trial, outcomes[i]);
    check_told(trial, 0, DNS_REPLIED, DNSMSG_SERVFAIL);
    assert_int_equal(trial->done, 1);
  }
}

static void a_failure_is_told_with_the_last_query_where_the_store_has_gone_before(void **state) {
  struct trial *trial = *state;
  start_late(trial, BOTH);
  time_out(trial, 0);
  end_read(trial, STORE_MISSING);
  assert_int_equal(trial->done, 0);
  deliver(trial, 1, fake_a(300, 1, 1));
  check_told(trial, 0, DNS_TIMED_OUT, trial->outcomes[0]);
  assert_int_equal(trial->done, 1);
}

static void a_dns_that_takes_nothing_is_a_failure_like_any(void **state) {
  struct trial *trial = *state;
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  start_late(trial, BOTH);
  check_nothing_was_told(trial);
  trial->is_enough = true;
  assert_true(offer(trial)); /* the store helps out */
  assert_int_equal(trial->shared, 1);
  prepare(trial);
  start(trial, BOTH);
  end_read(trial, STORE_AWAY);
  check_told(trial, 0, DNS_SHED, trial->outcomes[0]);
  check_told(trial, 1, DNS_SHED, trial->outcomes[1]);
  assert_int_equal(trial->done, 1);
}

static void notimp_is_no_failure_where_it_denies(void **state) {
  struct trial *trial = *state;
  for (unsigned denies = 0; denies < 2; denies++) {
    prepare(trial);
    trial->policy.notimp_as_nodata = denies;
    start_late(trial, 1);
    deliver(trial, 0, fake_reply(DNSMSG_NOTIMP));
    assert_int_equal(trial->done, denies);
    if (!denies)
      end_read(trial, STORE_MISSING);
    check_told(trial, 0, DNS_REPLIED, DNSMSG_NOTIMP);
    assert_int_equal(trial->done, 1);
  }
}

/* ---- one part of two ---- */

static void what_the_store_settles_is_not_asked_of_the_dns(void **state) {
  struct trial *trial = *state;
  start(trial, BOTH);
  trial->settles = 1;
  assert_false(offer(trial));
  end_read(trial, STORE_MISSING);
  assert_int_equal(trial->dns->open_count, 1);
  deliver(trial, 1, fake_a(300, 1, 1));
  assert_int_equal(trial->ends[0], 0);
  assert_int_equal(trial->done, 1);
}

static void what_the_store_settles_late_is_taken_back_from_the_dns(void **state) {
  struct trial *trial = *state;
  start_late(trial, BOTH);
  trial->settles = 1;
  assert_false(offer(trial));
  assert_int_equal(trial->dns->open_count, 1);
  deliver(trial, 1, fake_a(300, 1, 1)); /* nothing is left to wait for */
  assert_int_equal(trial->store->cancelled_count, 1);
  assert_int_equal(trial->done, 1);
  prepare(trial);
  start_late(trial, BOTH);
  time_out(trial, 0);
  trial->settles = 1;
  assert_false(offer(trial)); /* the failure is forgotten */
  time_out(trial, 1);
  assert_int_equal(trial->done, 0);
  end_read(trial, STORE_MISSING);
  assert_int_equal(trial->ends[0], 0);
  check_told(trial, 1, DNS_TIMED_OUT, trial->outcomes[1]);
  assert_int_equal(trial->done, 1);
}

static void what_the_dns_has_said_is_not_settled_by_a_store_that_has_enough(void **state) {
  struct trial *trial = *state;
  start_late(trial, BOTH);
  deliver(trial, 0, fake_aaaa(300, 1, 1));
  trial->is_enough = true;
  assert_true(offer(trial));
  assert_int_equal(trial->ends[0], 1);
  assert_int_equal(trial->ends[1], 0);
  assert_int_equal(trial->parts[0].state, FETCH_ENDED);
  assert_int_equal(trial->parts[1].state, FETCH_SETTLED);
}

/* ---- insisting on the DNS ---- */

static void who_insists_waits_for_the_store_no_longer(void **state) {
  struct trial *trial = *state;
  start(trial, 1);
  assert_int_equal(fetch_insist(&trial->fetch), 0);
  assert_int_equal(trial->store->cancelled_count, 1);
  assert_int_equal(trial->dns->open_count, 2); /* the part that was not wanted, too */
  assert_int_equal(fetch_insist(&trial->fetch), 0);
  assert_int_equal(trial->dns->asked_count, 2);
  time_out(trial, 0);
  check_told(trial, 0, DNS_TIMED_OUT, 0);
  deliver(trial, 1, fake_a(300, 1, 1));
  assert_int_equal(trial->done, 1);
}

static void who_insists_is_told_the_dns_s_word_on_what_was_settled_or_failed(void **state) {
  struct trial *trial = *state;
  start_late(trial, BOTH);
  trial->settles = 1;
  assert_false(offer(trial));
  time_out(trial, 1);
  assert_int_equal(fetch_insist(&trial->fetch), 0);
  assert_int_equal(trial->dns->open_count, 2);
  deliver(trial, 0, fake_aaaa(300, 1, 1));
  deliver(trial, 1, fake_a(300, 1, 1));
  check_told(trial, 0, DNS_REPLIED, DNSMSG_ANSWER);
  check_told(trial, 1, DNS_REPLIED, DNSMSG_ANSWER);
  assert_int_equal(trial->done, 1);
}

static void who_insists_in_vain_leaves_all_as_it_was(void **state) {
  struct trial *trial = *state;
  start(trial, BOTH);
  fake_dns_refuse_after(trial->dns, 0, ERR_OVERLOAD);
  assert_int_equal(fetch_insist(&trial->fetch), ERR_OVERLOAD);
  assert_int_equal(trial->store->open_count, 1);
  fake_dns_accept(trial->dns);
  fake_store_late(read_of(trial), NOW_MS);
  assert_int_equal(trial->dns->open_count, 2);
  trial->is_enough = true;
  assert_true(offer(trial));
  assert_int_equal(trial->shared, 1);
}

/* ---- the rest ---- */

static void who_is_more_important_goes_first_whenever_the_dns_is_asked(void **state) {
  struct trial *trial = *state;
  start(trial, BOTH);
  fetch_promote(&trial->fetch, DNS_FOR_REFRESH);
  fake_store_late(read_of(trial), NOW_MS);
  assert_int_equal(fake_dns_find(trial->dns, "a.test", qtypes[0])->priority, DNS_FOR_REFRESH);
  fetch_promote(&trial->fetch, DNS_FOR_PREFETCH);
  assert_int_equal(trial->fetch.priority, DNS_FOR_REFRESH);
  fetch_promote(&trial->fetch, DNS_FOR_CLIENT);
  assert_int_equal(fake_dns_find(trial->dns, "a.test", qtypes[1])->priority, DNS_FOR_CLIENT);
  fetch_cancel(&trial->fetch);
}

static void it_is_sent_when_the_dns_has_been_asked_in_earnest(void **state) {
  struct trial *trial = *state;
  start(trial, BOTH);
  assert_false(fetch_is_sent(&trial->fetch));
  fake_store_late(read_of(trial), NOW_MS);
  assert_true(fetch_is_sent(&trial->fetch));
  fake_dns_find(trial->dns, "a.test", qtypes[0])->is_waiting = true;
  fake_dns_find(trial->dns, "a.test", qtypes[1])->is_waiting = true;
  assert_false(fetch_is_sent(&trial->fetch));
  fake_dns_fail(trial->dns, "a.test", qtypes[0], DNS_SHED, NOW_MS);
  assert_false(fetch_is_sent(&trial->fetch));
  time_out(trial, 1);
  assert_true(fetch_is_sent(&trial->fetch));
  fetch_cancel(&trial->fetch);
}

static void it_is_cancelled_at_any_moment_without_a_call(void **state) {
  struct trial *trial = *state;
  for (int moment = 0; moment < 5; moment++) {
    prepare(trial);
    start(trial, BOTH);
    if (moment == 1 || moment == 2)
      fake_store_late(read_of(trial), NOW_MS);
    if (moment == 2)
      time_out(trial, 0);
    if (moment == 3)
      end_read(trial, STORE_MISSING);
    if (moment == 4) {
      trial->settles = 1;
      offer(trial);
    }
    fetch_cancel(&trial->fetch);
    assert_int_equal(trial->dns->open_count, 0);
    assert_int_equal(trial->store->open_count, 0);
    check_nothing_was_told(trial);
    fetch_cancel(&trial->fetch);
  }
}

/* How many lines of the story hold `piece`. */
static unsigned times_told(const struct story *story, const char *piece) {
  unsigned times = 0;
  for (size_t i = 0; i < story_count(story); i++)
    times += strstr(story_line(story, i).text, piece) != NULL;
  return times;
}

static void each_step_is_told(void **state) {
  struct trial *trial = *state;
  struct story *story = trial->fetch.story = story_create();
  start_late(trial, BOTH);
  assert_false(offer(trial));
  time_out(trial, 0);
  deliver(trial, 1, fake_a(300, 1, 1));
  end_read(trial, STORE_MISSING);
  assert_int_equal(times_told(story, "asks the shared store for a.test"), 1);
  assert_int_equal(times_told(story, "the shared store is late: the DNS is asked beside it"), 1);
  assert_int_equal(times_told(story,
                              "the shared store knows a.test: node-b learned it 1 s ago, good for 299 s "
                              "more by the DNS, which is not enough"),
                   1);
  assert_int_equal(times_told(story, "the DNS has failed; the shared store may still know"), 1);
  assert_int_equal(times_told(story, "the shared store has no answer for a.test"), 1);

  prepare(trial);
  trial->fetch.story = story;
  start_late(trial, 1);
  struct record record = fake_host_record("x.test");
  fake_add_family(&record, FAMILY_V4, FAMILY_OK, 1, 0, 300000, NOW_MS);
  trial->to_share = &record;
  deliver(trial, 0, fake_a(300, 1, 1));
  assert_int_equal(times_told(story, "the DNS was first: the shared store is not waited for"), 1);
  assert_int_equal(times_told(story, "shared with the cluster: what the DNS said of a.test"), 1);

  prepare(trial);
  trial->fetch.story = story;
  trial->store->refusal = ERR_NETWORK;
  fake_dns_refuse_after(trial->dns, 1, ERR_OVERLOAD);
  assert_int_equal(fetch_start(&trial->fetch, BOTH, true, NOW_MS), 0);
  assert_int_equal(times_told(story, "the shared store is away"), 1);
  assert_int_equal(times_told(story, "too much to do: the addresses of a.test are not asked for"), 1);
  fetch_cancel(&trial->fetch);
  story_unref(story);
}

static void why_what_the_store_holds_is_of_no_use_is_told(void **state) {
  struct trial *trial = *state;
  start(trial, 1);
  fake_store_refuse(read_of(trial), "nobody waits for a story");
  struct story *story = trial->fetch.story = story_create();
  fake_store_refuse(read_of(trial), "the checksum of its value is wrong");
  assert_int_equal(trial->dns->open_count, 0);
  end_read(trial, STORE_MISSING);
  assert_int_equal(trial->dns->open_count, 1);
  assert_string_equal(story_line(story, 0).rule, "C4");
  assert_string_equal(story_line(story, 0).text,
                      "the shared store has nothing of use about a.test: the checksum of its value is wrong");
  assert_int_equal(times_told(story, "the shared store has no answer for a.test"), 1);
  fetch_cancel(&trial->fetch);
  story_unref(story);
}

static void without_a_store_nothing_is_told_of_one(void **state) {
  struct trial *trial = *state;
  struct record record = fake_host_record("x.test");
  struct story *story = trial->fetch.story = story_create();
  trial->ways.store = NULL;
  trial->to_share = &record;
  assert_int_equal(fetch_start(&trial->fetch, 1, true, NOW_MS), 0);
  deliver(trial, 0, fake_aaaa(300, 1, 1));
  assert_int_equal(trial->done, 1);
  assert_int_equal(story_count(story), 0);
  story_unref(story);
}

int main(void) {
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(without_a_store_the_dns_is_asked_at_once),
      TRIAL(only_what_is_wanted_is_asked_for),
      TRIAL(what_the_dns_will_not_take_is_an_error_where_it_takes_nothing),
      TRIAL(what_the_store_has_enough_of_is_not_asked_of_the_dns),
      TRIAL(what_the_store_does_not_know_is_asked_of_the_dns),
      TRIAL(a_store_that_is_away_costs_nothing),
      TRIAL(who_wants_no_word_of_the_store_asks_the_dns_alone),
      TRIAL(a_lease_is_given_back_by_whoever_has_nothing_to_share),
      TRIAL(the_store_may_win_though_it_is_late),
      TRIAL(the_dns_may_win_where_the_store_is_late),
      TRIAL(a_store_that_is_late_and_knows_nothing_changes_nothing),
      TRIAL(a_failure_is_not_told_while_the_store_may_know),
      TRIAL(a_failure_is_told_when_the_store_has_had_its_say),
      TRIAL(a_failure_is_told_with_the_last_query_where_the_store_has_gone_before),
      TRIAL(a_dns_that_takes_nothing_is_a_failure_like_any),
      TRIAL(notimp_is_no_failure_where_it_denies),
      TRIAL(what_the_store_settles_is_not_asked_of_the_dns),
      TRIAL(what_the_store_settles_late_is_taken_back_from_the_dns),
      TRIAL(what_the_dns_has_said_is_not_settled_by_a_store_that_has_enough),
      TRIAL(who_insists_waits_for_the_store_no_longer),
      TRIAL(who_insists_is_told_the_dns_s_word_on_what_was_settled_or_failed),
      TRIAL(who_insists_in_vain_leaves_all_as_it_was),
      TRIAL(who_is_more_important_goes_first_whenever_the_dns_is_asked),
      TRIAL(it_is_sent_when_the_dns_has_been_asked_in_earnest),
      TRIAL(it_is_cancelled_at_any_moment_without_a_call),
      TRIAL(each_step_is_told),
      TRIAL(why_what_the_store_holds_is_of_no_use_is_told),
      TRIAL(without_a_store_nothing_is_told_of_one),
  };
  return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
