#include "cmocka_compat.h"

#include <ev.h>

#include "fake_link.h"
#include "loop_until.h"
#include "redis/sentinel.h"

static const char question[] = "SENTINEL get-master-addr-by-name mail";
static const char *const names[] = {"192.0.2.1:26379", "192.0.2.2:26379", "192.0.2.3:26379"};
enum { COUNT = 3 };

struct place {
  struct ev_loop *loop;
  struct sentinel *sentinel;
  size_t named_count;
  char named[LINK_TARGET_TEXT_SIZE];
};

static void on_named(void *context, const struct link_target *target, int64_t now_ms) {
  (void)now_ms;
  struct place *place = context;
  place->named_count++;
  link_target_text(target, place->named);
}

static int setup(void **state) {
  struct place *place = calloc(1, sizeof(*place));
  assert_non_null(place);
  place->loop = ev_loop_new(EVFLAG_AUTO);
  struct link_target targets[COUNT];
  for (size_t i = 0; i < COUNT; i++)
    targets[i] = fake_target(names[i]);
  const struct sentinel_options options = {
      .targets = targets,
      .count = COUNT,
      .master = "mail",
      .link = {.user = "watcher", .password = "secret", .database = 5, .max_commands = 10}};
  assert_int_equal(sentinel_create(place->loop, &options, on_named, place, &place->sentinel), 0);
  *state = place;
  return 0;
}

static int teardown(void **state) {
  struct place *place = *state;
  sentinel_destroy(place->sentinel);
  assert_int_equal(fake_link_count, 0);
  ev_loop_destroy(place->loop);
  free(place);
  return 0;
}

static redisReply *master_at(const char *host, const char *port) {
  return made_add(made_add(made_array(), made_string(host)), made_string(port));
}

/* Waits until sentinel `at` is asked, and answers. */
static void answer(struct place *place, size_t at, redisReply *reply) {
  LOOP_UNTIL(place->loop, fake_link_is_asked(names[at], question));
  fake_link_answer(fake_link_at(names[at]), question, reply);
}

static struct link *ear_of(size_t at) { return fake_link_find(names[at], "+switch-master"); }

static size_t asked_count(void) {
  size_t count = 0;
  for (size_t i = 0; i < COUNT; i++)
    count += fake_link_at(names[i])->sent_count;
  return count;
}

static void each_sentinel_has_a_link_and_a_subscription_with_its_own_credentials(void **state) {
  (void)state;
  assert_int_equal(fake_link_count, 2 * COUNT);
  for (size_t i = 0; i < COUNT; i++) {
    assert_non_null(ear_of(i));
    for (const struct link *link = fake_link_at(names[i]); link;
         link = link == ear_of(i) ? NULL : ear_of(i)) {
      assert_string_equal(link->options.user, "watcher");
      assert_string_equal(link->options.password, "secret");
      assert_int_equal(link->options.database, 0);
    }
  }
}

static void the_first_that_is_up_is_asked(void **state) {
  struct place *place = *state;
  loop_settle(place->loop);
  assert_string_not_equal(sentinel_complaint(place->sentinel), "");
  fake_link_up(names[1]);
  answer(place, 1, master_at("192.0.2.10", "6379"));
  assert_int_equal(place->named_count, 1);
  assert_string_equal(place->named, "192.0.2.10:6379");
  assert_string_equal(sentinel_complaint(place->sentinel), "");
  assert_int_equal(sentinel_up_count(place->sentinel), 1);
}

static void where_one_cannot_say_the_next_is_asked(void **state) {
  struct place *place = *state;
  for (size_t i = 0; i < COUNT; i++)
    fake_link_up(names[i]);
  answer(place, 0, made_nil());
  assert_string_equal(sentinel_complaint(place->sentinel), "a sentinel knows no master mail");
  answer(place, 1, made_error("NOAUTH Authentication required."));
  assert_string_equal(sentinel_complaint(place->sentinel), "NOAUTH Authentication required.");
  answer(place, 2, NULL);
  answer(place, 0, master_at("2001:db8::10", "6380"));
  assert_string_equal(place->named, "[2001:db8::10]:6380");
}

static void a_sentinel_that_is_not_up_is_passed_over(void **state) {
  struct place *place = *state;
  fake_link_up(names[2]);
  fake_link_up(names[0]);
  answer(place, 0, made_nil());
  answer(place, 2, made_nil());
  assert_int_equal(fake_link_at(names[1])->sent_count, 0);
}

static void answers_that_name_nothing_are_refused(void **state) {
  struct place *place = *state;
  char host[LINK_HOST_SIZE + 1];
  memset(host, 'a', sizeof(host) - 1);
  host[sizeof(host) - 1] = '\0';
  redisReply *const replies[] = {
      made_integer(1),
      made_array(),
      made_add(made_array(), made_string("192.0.2.10")),
      made_add(made_add(made_array(), made_string("192.0.2.10")), made_integer(6379)),
      master_at("", "6379"),
      master_at(host, "6379"),
      master_at("192.0.2.10", ""),
      master_at("192.0.2.10", "0"),
      master_at("192.0.2.10", "65536"),
      master_at("192.0.2.10", "6379x"),
      master_at("192.0.2.10", "-1"),
      master_at("192.0.2.10", "0000006379"),
  };
  for (size_t i = 0; i < COUNT; i++)
    fake_link_up(names[i]);
  for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
    sentinel_believe(place->sentinel); /* so that the pauses stay short */
    answer(place, i % COUNT, replies[i]);
    assert_string_equal(sentinel_complaint(place->sentinel), "a sentinel's answer cannot be read");
  }
  assert_int_equal(place->named_count, 0);
}

static void when_what_was_named_is_no_master_the_next_is_asked(void **state) {
  struct place *place = *state;
  for (size_t i = 0; i < COUNT; i++)
    fake_link_up(names[i]);
  answer(place, 0, master_at("192.0.2.10", "6379"));
  sentinel_ask_again(place->sentinel);
  answer(place, 1, master_at("192.0.2.11", "6379"));
  assert_string_equal(place->named, "192.0.2.11:6379");
}

static void after_a_round_in_vain_there_is_a_pause(void **state) {
  struct place *place = *state;
  for (size_t i = 0; i < COUNT; i++)
    fake_link_up(names[i]);
  int64_t begin_ms = clock_now_ms();
  for (size_t i = 0; i < COUNT; i++)
    answer(place, i, made_nil());
  LOOP_UNTIL(place->loop, asked_count() > COUNT);
  assert_true(clock_now_ms() - begin_ms >= SENTINEL_PAUSE_LEAST_MS);
}

static void however_often_it_is_called_for_questions_keep_their_pace(void **state) {
  struct place *place = *state;
  int64_t begin_ms = clock_now_ms();
  for (size_t i = 0; i < COUNT; i++)
    fake_link_up(names[i]);
  for (int i = 0; i < 200; i++) {
    for (size_t j = 0; j < COUNT; j++)
      if (fake_link_is_asked(names[j], question))
        fake_link_answer(fake_link_at(names[j]), question, master_at("192.0.2.10", "6379"));
    sentinel_believe(place->sentinel);
    sentinel_ask_again(place->sentinel);
    fake_link_set(ear_of(0), LINK_UP, "");
    loop_settle(place->loop);
  }
  assert_in_range(asked_count(), 1, 1 + (clock_now_ms() - begin_ms) / SENTINEL_PACE_MS);
}

static void a_switch_is_heard_from_any(void **state) {
  struct place *place = *state;
  fake_link_set(ear_of(2), LINK_UP, "");
  fake_link_publish(ear_of(2), "mail 192.0.2.10 6379 192.0.2.11 6380");
  assert_int_equal(place->named_count, 1);
  assert_string_equal(place->named, "192.0.2.11:6380");
  fake_link_publish(ear_of(2), "other 192.0.2.10 6379 192.0.2.12 6380");
  assert_int_equal(place->named_count, 1);
}

/* What was said while it did not listen is asked for. */
static void a_subscription_that_is_back_leads_to_a_question(void **state) {
  struct place *place = *state;
  fake_link_up(names[0]);
  answer(place, 0, master_at("192.0.2.10", "6379"));
  fake_link_set(ear_of(1), LINK_UP, "");
  answer(place, 0, master_at("192.0.2.11", "6379"));
  assert_int_equal(place->named_count, 2);
}

static void a_subscription_that_is_back_while_a_question_is_under_way_leads_to_another(void **state) {
  struct place *place = *state;
  fake_link_up(names[0]);
  LOOP_UNTIL(place->loop, fake_link_is_asked(names[0], question));
  fake_link_set(ear_of(1), LINK_UP, "");
  loop_for(place->loop, 3 * SENTINEL_PACE_MS); /* its turn comes while the first is under way */
  answer(place, 0, master_at("192.0.2.10", "6379"));
  int64_t answered_at_ms = clock_now_ms();
  answer(place, 0, master_at("192.0.2.11", "6379"));
  assert_true(clock_now_ms() - answered_at_ms < SENTINEL_POLL_MS); /* else it was only its turn */
  assert_int_equal(place->named_count, 2);
}

static void messages_of_a_switch_are_read(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "mail",
      "mail 192.0.2.10 6379 192.0.2.11",
      "mail 192.0.2.10 6379 192.0.2.11 ",
      "mail 192.0.2.10 6379 192.0.2.11 0",
      "mail 192.0.2.10 6379 192.0.2.11 70000",
      "mail 192.0.2.10 6379 192.0.2.11 6380 x",
      "mail 192.0.2.10 6379  6380",
      " mail 192.0.2.10 6379 192.0.2.11 6380",
      "mai 192.0.2.10 6379 192.0.2.11 6380",
      "mail2 192.0.2.10 6379 192.0.2.11 6380",
  };
  static const char good[] = "mail 192.0.2.10 6379 mx.example 6380";
  struct link_target target = {.port = 77};
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    assert_false(sentinel_switch_parse(bad[i], strlen(bad[i]), "mail", &target));
  for (size_t length = 0; length < sizeof(good) - 1; length++) {
    char *copy = malloc(length + 1); /* so that a sanitizer sees */
    assert_non_null(copy);
    memcpy(copy, good, length);
    assert_true(sentinel_switch_parse(copy, length, "mail", &target) ==
                (length > strlen("mail 192.0.2.10 6379 mx.example ")));
    free(copy);
  }
  assert_true(sentinel_switch_parse(good, sizeof(good) - 1, "mail", &target));
  assert_string_equal(target.host, "mx.example");
  assert_int_equal(target.port, 6380);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_sentinel_has_a_link_and_a_subscription_with_its_own_credentials),
      TEST(the_first_that_is_up_is_asked),
      TEST(where_one_cannot_say_the_next_is_asked),
      TEST(a_sentinel_that_is_not_up_is_passed_over),
      TEST(answers_that_name_nothing_are_refused),
      TEST(when_what_was_named_is_no_master_the_next_is_asked),
      TEST(after_a_round_in_vain_there_is_a_pause),
      TEST(however_often_it_is_called_for_questions_keep_their_pace),
      TEST(a_switch_is_heard_from_any),
      TEST(a_subscription_that_is_back_leads_to_a_question),
      TEST(a_subscription_that_is_back_while_a_question_is_under_way_leads_to_another),
      cmocka_unit_test(messages_of_a_switch_are_read),
  };
  return cmocka_run_group_tests_name("sentinel", tests, NULL, NULL);
}
