#include "cmocka_compat.h"

#include <ev.h>

#include "fake_link.h"
#include "loop_until.h"
#include "redis/master.h"

static const char question[] = "SENTINEL get-master-addr-by-name mail";
static const char *const sentinels[] = {"192.0.2.1:26379", "192.0.2.2:26379"};
enum { COUNT = 2 };
static const char a[] = "192.0.2.10:6379", b[] = "192.0.2.11:6379", c[] = "192.0.2.12:6379";

struct place {
  struct ev_loop *loop;
  struct members *members;
  struct master *master;
  size_t change_count;
};

static void on_change(void *context) { ((struct place *)context)->change_count++; }

static void on_member(void *context, struct member *member, enum link_state state) {
  master_on_member(((struct place *)context)->master, member, state);
}

static int setup(void **state) {
  struct place *place = calloc(1, sizeof(*place));
  assert_non_null(place);
  place->loop = ev_loop_new(EVFLAG_AUTO);
  const struct link_options link = {.max_commands = 10};
  assert_int_equal(members_create(place->loop, &link, on_member, place, &place->members), 0);
  struct link_target targets[COUNT] = {fake_target(sentinels[0]), fake_target(sentinels[1])};
  const struct sentinel_options options = {
      .targets = targets, .count = COUNT, .master = "mail", .link = {.max_commands = 10}};
  assert_int_equal(master_create(place->loop, place->members, &options, on_change, place, &place->master), 0);
  *state = place;
  return 0;
}

static int teardown(void **state) {
  struct place *place = *state;
  master_destroy(place->master);
  members_destroy(place->members);
  assert_int_equal(fake_link_count, 0);
  ev_loop_destroy(place->loop);
  free(place);
  return 0;
}

static redisReply *named(const char *text) {
  struct link_target target = fake_target(text);
  char port[8];
  snprintf(port, sizeof(port), "%u", target.port);
  return made_add(made_add(made_array(), made_string(target.host)), made_string(port));
}

/* The sentinel `at` is asked, and names `text`. */
static void name(struct place *place, size_t at, const char *text) {
  LOOP_UNTIL(place->loop, fake_link_is_asked(sentinels[at], question));
  fake_link_answer(fake_link_at(sentinels[at]), question, named(text));
}

static redisReply *role(const char *word) {
  return made_add(made_add(made_array(), made_string(word)), made_integer(0));
}

/* `text` is asked for its role, and says `word`. */
static void prove(const char *text, const char *word) {
  fake_link_answer(fake_link_at(text), "ROLE", role(word));
}

static const char *master_text(const struct place *place) {
  static char text[LINK_TARGET_TEXT_SIZE];
  const struct member *member = master_get(place->master);
  return member ? link_target_text(&member->target, text) : "";
}

/* `a` is the master. */
static void settle_on_a(struct place *place) {
  for (size_t i = 0; i < COUNT; i++)
    fake_link_up(sentinels[i]);
  name(place, 0, a);
  fake_link_up(a);
  prove(a, "master");
  assert_string_equal(master_text(place), a);
}

static const char *complaint(const struct place *place) {
  static char text[MASTER_TEXT_SIZE];
  return master_complaint(place->master, text);
}

static void what_a_sentinel_names_is_the_master_once_it_has_said_so(void **state) {
  struct place *place = *state;
  loop_settle(place->loop);
  assert_string_equal(complaint(place), "no sentinel is up");
  fake_link_up(sentinels[0]);
  name(place, 0, a);
  assert_string_equal(master_text(place), "");
  fake_link_up(a);
  assert_string_equal(master_text(place), "");
  assert_int_equal(place->change_count, 0);
  prove(a, "master");
  assert_string_equal(master_text(place), a);
  assert_int_equal(place->change_count, 1);
}

static void a_replica_that_a_sentinel_names_is_caught(void **state) {
  struct place *place = *state;
  for (size_t i = 0; i < COUNT; i++)
    fake_link_up(sentinels[i]);
  name(place, 0, b);
  fake_link_up(b);
  prove(b, "slave");
  assert_string_equal(master_text(place), "");
  assert_string_equal(complaint(place), "the server that a sentinel names: is no master");
  loop_settle(place->loop);
  assert_null(fake_link_find(b, ""));
  name(place, 1, a);
  fake_link_up(a);
  prove(a, "master");
  assert_string_equal(master_text(place), a);
}

static void roles_that_cannot_be_read_are_no_proof(void **state) {
  struct place *place = *state;
  redisReply *const replies[] = {
      made_nil(),
      made_integer(1),
      made_array(),
      made_string("master"),
      made_add(made_array(), made_integer(1)),
      role("sentinel"),
      role("masterful"),
      made_error("NOPERM this user has no permissions to run the 'role' command"),
      NULL,
  };
  for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
    struct link *ear = fake_link_find(sentinels[0], "+switch-master"); /* which needs no pause */
    fake_link_set(ear, LINK_UP, "");
    fake_link_publish(ear, "mail 192.0.2.9 6379 192.0.2.10 6379");
    fake_link_up(a);
    fake_link_answer(fake_link_at(a), "ROLE", replies[i]);
    assert_string_equal(master_text(place), "");
    loop_settle(place->loop);
    assert_null(fake_link_find(a, ""));
  }
}

static void a_switch_is_followed_once_the_new_master_has_proved_itself(void **state) {
  struct place *place = *state;
  settle_on_a(place);
  struct link *ear = fake_link_find(sentinels[1], "+switch-master");
  fake_link_set(ear, LINK_UP, "");
  fake_link_publish(ear, "mail 192.0.2.10 6379 192.0.2.11 6379");
  assert_string_equal(master_text(place), a); /* until then it goes on */
  fake_link_up(b);
  assert_string_equal(master_text(place), a);
  prove(b, "master");
  assert_string_equal(master_text(place), b);
  assert_int_equal(place->change_count, 2);
  loop_settle(place->loop);
  assert_null(fake_link_find(a, ""));
}

static void a_sentinel_that_is_behind_changes_nothing(void **state) {
  struct place *place = *state;
  settle_on_a(place);
  struct link *ear = fake_link_find(sentinels[1], "+switch-master");
  fake_link_set(ear, LINK_UP, "");
  fake_link_publish(ear, "mail 192.0.2.10 6379 192.0.2.11 6379");
  fake_link_up(b);
  prove(b, "slave");
  assert_string_equal(master_text(place), a);
  loop_settle(place->loop);
  assert_null(fake_link_find(b, ""));
  name(place, 1, a);
  assert_string_equal(master_text(place), a);
  assert_int_equal(place->change_count, 1);
  assert_int_equal(fake_link_at(a)->sent_count, 1); /* it need not prove itself again */
}

static void a_master_that_is_gone_is_asked_for(void **state) {
  struct place *place = *state;
  settle_on_a(place);
  fake_link_down(a);
  assert_string_equal(master_text(place), "");
  assert_int_equal(place->change_count, 2);
  name(place, 1, b);
  fake_link_up(b);
  prove(b, "master");
  assert_string_equal(master_text(place), b);
}

static void a_master_that_is_back_proves_itself_again(void **state) {
  struct place *place = *state;
  settle_on_a(place);
  fake_link_set(fake_link_at(a), LINK_CONNECTING, "connection lost");
  assert_string_equal(master_text(place), "");
  fake_link_up(a);
  assert_string_equal(master_text(place), ""); /* it may have come back as a replica */
  prove(a, "master");
  assert_string_equal(master_text(place), a);
  fake_link_set(fake_link_at(a), LINK_CONNECTING, "connection lost");
  fake_link_up(a);
  prove(a, "slave");
  assert_string_equal(master_text(place), "");
  name(place, 1, b);
  fake_link_up(b);
  prove(b, "master");
  assert_string_equal(master_text(place), b);
}

/* It is named although it is down, and comes back later: no sentinel need name it again. */
static void a_master_that_is_named_while_it_is_down_is_taken_when_it_is_back(void **state) {
  struct place *place = *state;
  settle_on_a(place);
  fake_link_down(a);
  name(place, 1, a);
  assert_string_equal(complaint(place), "the server that a sentinel names: connection refused");
  fake_link_up(a);
  prove(a, "master");
  assert_string_equal(master_text(place), a);
  assert_string_equal(complaint(place), "no master yet");
}

/* A sentinel that is behind names one that is gone; the master was away for a moment only. */
static void a_master_that_is_back_while_another_one_is_on_trial_is_tried_after_it(void **state) {
  struct place *place = *state;
  settle_on_a(place);
  fake_link_down(a);
  name(place, 1, b);
  fake_link_up(a);
  assert_string_equal(master_text(place), ""); /* b has its time */
  fake_link_down(b);
  prove(a, "master");
  assert_string_equal(master_text(place), a);
}

static void a_master_that_is_read_only_has_to_prove_itself(void **state) {
  struct place *place = *state;
  settle_on_a(place);
  struct member *old = master_get(place->master);
  master_doubt(place->master, old);
  assert_string_equal(master_text(place), "");
  assert_int_equal(place->change_count, 2);
  master_doubt(place->master, old); /* a second write that came back */
  assert_int_equal(place->change_count, 2);
  name(place, 1, b);
  fake_link_up(b);
  prove(b, "master");
  assert_string_equal(master_text(place), b);
  member_hold(old);
  master_doubt(place->master, old); /* a late one of the old master says nothing of the new */
  member_release(old);
  assert_string_equal(master_text(place), b);
}

static void a_server_that_does_not_answer_is_given_up(void **state) {
  struct place *place = *state;
  for (size_t i = 0; i < COUNT; i++)
    fake_link_up(sentinels[i]);
  int64_t begin_ms = clock_now_ms();
  name(place, 0, a); /* whose link goes on connecting */
  name(place, 1, b); /* asked once it is given up */
  assert_true(clock_now_ms() - begin_ms >= MASTER_PROOF_MS);
  assert_null(fake_link_find(a, ""));
  assert_non_null(fake_link_find(b, ""));
}

static void a_candidate_has_its_time_before_another_takes_its_place(void **state) {
  struct place *place = *state;
  struct link *ear = fake_link_find(sentinels[0], "+switch-master");
  fake_link_set(ear, LINK_UP, "");
  for (int64_t end_ms = clock_now_ms() + 500; clock_now_ms() < end_ms;) { /* two that do not agree */
    fake_link_publish(ear, "mail 192.0.2.9 6379 192.0.2.11 6379");
    fake_link_publish(ear, "mail 192.0.2.9 6379 192.0.2.12 6379");
    loop_settle(place->loop);
    assert_true(!fake_link_find(b, "") || !fake_link_find(c, ""));
  }
  assert_in_range(fake_link_created_count - 2 * COUNT, 1, 2 + 500 / MASTER_TRIAL_MS);
}

static int setup_counted(void **state) {
  fake_link_created_count = 0;
  return setup(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_counted, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_a_sentinel_names_is_the_master_once_it_has_said_so),
      TEST(a_replica_that_a_sentinel_names_is_caught),
      TEST(roles_that_cannot_be_read_are_no_proof),
      TEST(a_switch_is_followed_once_the_new_master_has_proved_itself),
      TEST(a_sentinel_that_is_behind_changes_nothing),
      TEST(a_master_that_is_gone_is_asked_for),
      TEST(a_master_that_is_back_proves_itself_again),
      TEST(a_master_that_is_named_while_it_is_down_is_taken_when_it_is_back),
      TEST(a_master_that_is_back_while_another_one_is_on_trial_is_tried_after_it),
      TEST(a_master_that_is_read_only_has_to_prove_itself),
      TEST(a_server_that_does_not_answer_is_given_up),
      TEST(a_candidate_has_its_time_before_another_takes_its_place),
  };
  return cmocka_run_group_tests_name("master", tests, NULL, NULL);
}
