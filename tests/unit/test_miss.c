#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "loop_until.h"
#include "made_facts.h"
#include "mxway.pb-c.h"
#include "serve/miss.h"

/* ---- a resolver that does what a test says ---- */

struct resolver {
  bool answers; /* at once, with `answer` */
  struct answer answer;
  struct question *pending;
  unsigned asked_count, left_count, refreshed_count;
};

bool resolver_ask(struct resolver *resolver, struct question *question, int64_t now_ms,
                  struct answer *answer) {
  (void)now_ms;
  resolver->asked_count++;
  story_add(question->story, "T8", "asked");
  *answer = resolver->answer;
  if (!resolver->answers)
    resolver->pending = question;
  return resolver->answers;
}

bool resolver_leave(struct resolver *resolver, struct question *question) {
  if (resolver->pending != question)
    return false;
  resolver->pending = NULL;
  resolver->left_count++;
  return true;
}

void resolver_refresh(struct resolver *resolver, const struct name *name, uint64_t hash, enum depth depth,
                      int64_t now_ms) {
  (void)hash, (void)depth, (void)now_ms;
  assert_string_equal(name->text, "d.test");
  resolver->refreshed_count++;
}

/* ---- both mailboxes on one loop; the test lets each deliver ---- */

enum { MAILS_MAX = 8 };

struct box {
  struct mailbox mailbox;
  struct mail *mails[MAILS_MAX];
  size_t count;
};

struct trial {
  struct ev_loop *loop;
  struct box away, home;
  struct resolver resolver;
  struct miss *list;
};

static void on_mail(void *context, struct mail *mail) {
  struct box *box = context;
  assert_true(box->count < MAILS_MAX);
  box->mails[box->count++] = mail;
}

static int open_trial(void **state) {
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  mailbox_init(&trial->away.mailbox, trial->loop, on_mail, &trial->away);
  mailbox_init(&trial->home.mailbox, trial->loop, on_mail, &trial->home);
  trial->resolver.answer.verdict = VERDICT_DNS_REFUSED;
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  loop_settle(trial->loop);
  for (size_t i = 0; i < trial->away.count; i++)
    miss_drop(NULL, trial->away.mails[i]);
  for (size_t i = 0; i < trial->home.count; i++)
    miss_drop(NULL, trial->home.mails[i]);
  assert_null(trial->list);
  mailbox_fini(&trial->away.mailbox, miss_drop, NULL);
  mailbox_fini(&trial->home.mailbox, miss_drop, NULL);
  ev_loop_destroy(trial->loop);
  free(trial);
  return 0;
}

static struct miss *send_one(struct trial *trial, bool explain) {
  static const struct route_policy policy;
  struct miss *miss = miss_create(NULL, NULL);
  assert_non_null(miss);
  miss->policy = &policy;
  miss->id = 7;
  miss->explain = explain;
  miss->home = &trial->home.mailbox;
  miss->question.name.length = 6;
  memcpy(miss->question.name.text, "d.test", 7);
  miss_link(miss, &trial->list);
  miss_send(miss, &trial->away.mailbox);
  return miss;
}

/* The resolver takes what was sent to it. */
static void arrive(struct trial *trial) {
  loop_settle(trial->loop);
  size_t count = trial->away.count;
  trial->away.count = 0;
  for (size_t i = 0; i < count; i++)
    miss_arrive(&trial->resolver, trial->away.mails[i], 0);
  loop_settle(trial->loop);
}

/* The frontend takes what came home; the last miss that is all there, or NULL. */
static struct miss *take(struct trial *trial) {
  struct miss *whole = NULL;
  loop_settle(trial->loop);
  for (size_t i = 0; i < trial->home.count; i++) {
    struct miss *miss = miss_take(trial->home.mails[i]);
    if (miss)
      whole = miss;
  }
  trial->home.count = 0;
  return whole;
}

static Mxway__V1__LookupReply *reply_of(const struct miss *miss) {
  struct frame frame;
  assert_int_equal(frame_parse(miss->reply, miss->reply_length, FRAME_REPLY_MAX, &frame), FRAME_COMPLETE);
  assert_int_equal(frame.header_length + frame.body_length, miss->reply_length);
  Mxway__V1__LookupReply *reply = mxway__v1__lookup_reply__unpack(NULL, frame.body_length, frame.body);
  assert_non_null(reply);
  return reply;
}

static void it_comes_home_with_its_reply_and_out_of_its_list(void **state) {
  struct trial *trial = *state;
  struct miss *miss = send_one(trial, false);
  trial->resolver.answers = true;
  arrive(trial);
  assert_ptr_equal(trial->list, miss);
  assert_ptr_equal(take(trial), miss);
  assert_null(trial->list);
  Mxway__V1__LookupReply *reply = reply_of(miss);
  assert_int_equal(reply->id, 7);
  assert_int_equal(reply->verdict, MXWAY__V1__VERDICT__VERDICT_DNS_REFUSED);
  assert_string_equal(reply->canonical, "d.test");
  assert_int_equal(reply->n_story, 0);
  mxway__v1__lookup_reply__free_unpacked(reply, NULL);
  miss_destroy(miss);
}

/* Asks, is answered at once with what the resolver has; to be freed. */
static Mxway__V1__LookupReply *ask_once(struct trial *trial, bool explain, bool has_joined) {
  struct miss *miss = send_one(trial, explain);
  miss->question.depth = DEPTH_EXCHANGES;
  miss->question.has_joined = has_joined;
  trial->resolver.answers = true;
  arrive(trial);
  assert_ptr_equal(take(trial), miss);
  Mxway__V1__LookupReply *reply = reply_of(miss);
  miss_destroy(miss);
  return reply;
}

static void a_failure_from_memory_says_so(void **state) {
  struct trial *trial = *state;
  for (int i = 0; i < 2; i++) {
    trial->resolver.answer.from_memory = i;
    Mxway__V1__LookupReply *reply = ask_once(trial, false, false);
    assert_int_equal(reply->verdict, MXWAY__V1__VERDICT__VERDICT_DNS_REFUSED);
    assert_int_equal(reply->source, i ? MXWAY__V1__SOURCE__SOURCE_MEMORY : MXWAY__V1__SOURCE__SOURCE_DNS);
    assert_string_equal(reply->canonical, "d.test");
    assert_int_equal(reply->smtp_code, 451);
    mxway__v1__lookup_reply__free_unpacked(reply, NULL);
  }
}

static void what_was_just_learned_is_told_to_whom_the_lookups_story_does_not_tell_it(void **state) {
  struct trial *trial = *state;
  static const struct {
    enum domain_kind kind;
    bool has_joined, from_memory, is_told;
  } cases[] = {
      {DOMAIN_NULL_MX, false, false, false},
      {DOMAIN_NULL_MX, true, false, true},
      {DOMAIN_NULL_MX, true, true, false}, /* told when it was asked */
      {DOMAIN_FAILED, false, false, true}, /* for how long it is remembered */
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct zone zone;
    zone_init(&zone, cases[i].kind, 0, 5000);
    zone.value.cause = VERDICT_DNS_SERVFAIL;
    zone_build(&zone, "d.test");
    trial->resolver.answer = (struct answer){.facts = zone.facts, .from_memory = cases[i].from_memory};
    Mxway__V1__LookupReply *reply = ask_once(trial, true, cases[i].has_joined);
    const char *last = reply->story[reply->n_story - 1]->text;
    assert_int_equal(strstr(last, "memory knows") != NULL, cases[i].is_told);
    mxway__v1__lookup_reply__free_unpacked(reply, NULL);
    zone_fini(&zone);
  }
}

static void an_explained_one_brings_its_story_and_leaves_none_behind(void **state) {
  struct trial *trial = *state;
  struct miss *miss = send_one(trial, true);
  trial->resolver.answers = true;
  arrive(trial);
  assert_ptr_equal(take(trial), miss);
  assert_null(miss->question.story);
  Mxway__V1__LookupReply *reply = reply_of(miss);
  assert_int_equal(reply->verdict, MXWAY__V1__VERDICT__VERDICT_DNS_REFUSED);
  assert_int_equal(reply->n_story, 1);
  assert_string_equal(reply->story[0]->rule, "T8");
  assert_string_equal(reply->story[0]->text, "asked");
  mxway__v1__lookup_reply__free_unpacked(reply, NULL);
  miss_destroy(miss);
}

static void the_longest_story_fits_into_a_reply(void **state) {
  struct trial *trial = *state;
  struct miss *miss = send_one(trial, true);
  arrive(trial);
  for (int i = 0; i < 2 * STORY_LINES_MAX; i++)
    story_add(trial->resolver.pending->story, "a rule of some length", "%*s", 2 * STORY_TEXT_SIZE, "x");
  struct answer answer = {.verdict = VERDICT_DNS_TIMEOUT};
  miss_on_answer(NULL, trial->resolver.pending, &answer, 0);
  assert_ptr_equal(take(trial), miss);
  Mxway__V1__LookupReply *reply = reply_of(miss);
  assert_int_equal(reply->n_story, STORY_LINES_MAX + 1);
  mxway__v1__lookup_reply__free_unpacked(reply, NULL);
  miss_destroy(miss);
}

static void a_recalled_one_is_taken_back_and_comes_home_without_a_reply(void **state) {
  struct trial *trial = *state;
  struct miss *miss = send_one(trial, true);
  arrive(trial);
  assert_non_null(trial->resolver.pending);
  miss_recall_all(&trial->list, &trial->away.mailbox);
  assert_null(trial->list);
  arrive(trial);
  assert_int_equal(trial->resolver.left_count, 1);
  assert_ptr_equal(take(trial), miss);
  assert_true(miss->is_recalled);
  assert_null(miss->reply);
  miss_destroy(miss);
}

static void a_recall_that_arrives_with_its_question_finds_it_asked(void **state) {
  struct trial *trial = *state;
  struct miss *miss = send_one(trial, false);
  miss_recall_all(&trial->list, &trial->away.mailbox);
  arrive(trial);
  assert_int_equal(trial->resolver.asked_count, 1);
  assert_int_equal(trial->resolver.left_count, 1);
  assert_ptr_equal(take(trial), miss);
  miss_destroy(miss);
}

static void a_recall_that_meets_its_answer_waits_for_both_mails(void **state) {
  struct trial *trial = *state;
  struct miss *miss = send_one(trial, false);
  trial->resolver.answers = true;
  arrive(trial);
  miss_recall_all(&trial->list, &trial->away.mailbox);
  assert_null(take(trial)); /* the answer alone is not all of it */
  arrive(trial);
  assert_int_equal(trial->resolver.left_count, 0);
  assert_ptr_equal(take(trial), miss);
  miss_destroy(miss);
}

static void a_list_is_recalled_as_a_whole_and_can_lose_any_member_before(void **state) {
  struct trial *trial = *state;
  struct miss *misses[3];
  trial->resolver.answers = true;
  for (int i = 0; i < 3; i++)
    misses[i] = send_one(trial, false);
  loop_settle(trial->loop);
  miss_arrive(&trial->resolver, trial->away.mails[1], 0); /* the one in the middle */
  assert_ptr_equal(take(trial), misses[1]);
  miss_destroy(misses[1]);
  trial->away.mails[1] = trial->away.mails[2];
  trial->away.count = 2;
  miss_recall_all(&trial->list, &trial->away.mailbox);
  assert_true(misses[0]->is_recalled && misses[2]->is_recalled);
  assert_null(trial->list);
} /* and the teardown drops four mails of two misses */

static void the_reply_says_who_gave_the_facts(void **state) {
  struct trial *trial = *state;
  static const struct route_policy policy;
  static const struct domain_facts facts = {.kind = DOMAIN_NULL_MX, .expires_at_ms = 1000};
  static const struct {
    bool from_memory, from_store;
    Mxway__V1__Source source;
  } rows[] = {
      {true, false, MXWAY__V1__SOURCE__SOURCE_MEMORY},
      {false, true, MXWAY__V1__SOURCE__SOURCE_SHARED},
      {false, false, MXWAY__V1__SOURCE__SOURCE_DNS},
  };
  for (size_t i = 0; i < 3; i++) {
    struct miss *miss = send_one(trial, false);
    miss->policy = &policy;
    arrive(trial);
    const struct answer answer = {
        .facts = &facts, .from_memory = rows[i].from_memory, .from_store = rows[i].from_store};
    miss_on_answer(NULL, trial->resolver.pending, &answer, 0);
    assert_ptr_equal(take(trial), miss);
    Mxway__V1__LookupReply *reply = reply_of(miss);
    assert_int_equal(reply->verdict, MXWAY__V1__VERDICT__VERDICT_NULL_MX);
    assert_int_equal(reply->source, rows[i].source);
    mxway__v1__lookup_reply__free_unpacked(reply, NULL);
    miss_destroy(miss);
  }
}

int main(void) {
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(it_comes_home_with_its_reply_and_out_of_its_list),
      TRIAL(a_failure_from_memory_says_so),
      TRIAL(what_was_just_learned_is_told_to_whom_the_lookups_story_does_not_tell_it),
      TRIAL(an_explained_one_brings_its_story_and_leaves_none_behind),
      TRIAL(the_longest_story_fits_into_a_reply),
      TRIAL(the_reply_says_who_gave_the_facts),
      TRIAL(a_recalled_one_is_taken_back_and_comes_home_without_a_reply),
      TRIAL(a_recall_that_arrives_with_its_question_finds_it_asked),
      TRIAL(a_recall_that_meets_its_answer_waits_for_both_mails),
      TRIAL(a_list_is_recalled_as_a_whole_and_can_lose_any_member_before),
  };
  return cmocka_run_group_tests_name("miss", tests, NULL, NULL);
}
