#include "cmocka_compat.h"

#include <ev.h>

#include "fake_link.h"
#include "loop_until.h"
#include "redis/ear.h"

static const char channel[] = "mxway:1:purge";

struct place {
  struct ev_loop *loop;
  struct ear *ear;
  struct link_target target; /* where to listen */
  bool has_target;
  bool was_lost; /* what the ear said last */
  size_t up_count, message_count, asked_count;
  char last[64];
};

static const struct link_target *place_of(void *context, const struct link_target *at, bool is_lost) {
  struct place *place = context;
  (void)at;
  place->asked_count++;
  place->was_lost = is_lost;
  return place->has_target ? &place->target : NULL;
}

static void on_up(void *context, int64_t now_ms) {
  (void)now_ms;
  ((struct place *)context)->up_count++;
}

static void on_message(void *context, const char *message, size_t length, int64_t now_ms) {
  (void)now_ms;
  struct place *place = context;
  snprintf(place->last, sizeof(place->last), "%.*s", (int)length, message);
  place->message_count++;
}

static int setup(void **state) {
  struct place *place = calloc(1, sizeof(*place));
  assert_non_null(place);
  place->loop = ev_loop_new(EVFLAG_AUTO);
  const struct ear_options options = {.link = {.user = "mx"},
                                      .channel = channel,
                                      .on_message = on_message,
                                      .on_up = on_up,
                                      .context = place,
                                      .place = place_of,
                                      .place_context = place};
  assert_int_equal(ear_create(place->loop, &options, &place->ear), 0);
  *state = place;
  return 0;
}

static int teardown(void **state) {
  struct place *place = *state;
  ear_destroy(place->ear);
  assert_int_equal(fake_link_count, 0);
  ev_loop_destroy(place->loop);
  free(place);
  return 0;
}

static void send_to(struct place *place, const char *text) {
  place->target = fake_target(text);
  place->has_target = true;
  ear_settle(place->ear);
}

static struct link *ear_at(const char *target) { return fake_link_find(target, channel); }

static void it_listens_as_soon_as_there_is_a_place(void **state) {
  struct place *place = *state;
  loop_settle(place->loop);
  assert_int_equal(fake_link_count, 0);
  send_to(place, "192.0.2.1:6379");
  loop_settle(place->loop);
  struct link *link = ear_at("192.0.2.1:6379");
  assert_non_null(link);
  assert_string_equal(link->options.user, "mx");
  assert_int_equal(place->up_count, 0);
  fake_link_set(link, LINK_UP, "");
  assert_int_equal(place->up_count, 1);
  fake_link_publish(link, "5 d example.com");
  assert_int_equal(place->message_count, 1);
  assert_string_equal(place->last, "5 d example.com");
}

static void each_return_of_the_subscription_is_told(void **state) {
  struct place *place = *state;
  send_to(place, "192.0.2.1:6379");
  loop_settle(place->loop);
  struct link *link = ear_at("192.0.2.1:6379");
  fake_link_set(link, LINK_UP, "");
  fake_link_set(link, LINK_CONNECTING, "connection lost");
  fake_link_set(link, LINK_UP, "");
  assert_int_equal(place->up_count, 2);
  assert_int_equal(fake_link_created_count, 1);
}

static void it_moves_with_the_place(void **state) {
  struct place *place = *state;
  send_to(place, "192.0.2.1:6379");
  loop_settle(place->loop);
  send_to(place, "192.0.2.2:6379");
  LOOP_UNTIL(place->loop, ear_at("192.0.2.2:6379"));
  assert_null(ear_at("192.0.2.1:6379"));
  assert_int_equal(fake_link_count, 1);
}

static void it_does_not_move_more_often_than_it_may(void **state) {
  struct place *place = *state;
  int64_t begin_ms = clock_now_ms();
  for (int i = 1; i <= 40; i++) {
    char text[32];
    snprintf(text, sizeof(text), "192.0.2.1:%d", i);
    send_to(place, text);
    loop_settle(place->loop);
  }
  int64_t moves = 1 + (clock_now_ms() - begin_ms) / EAR_MOVES_MS;
  assert_in_range(fake_link_created_count, 1, moves);
  LOOP_UNTIL(place->loop, ear_at("192.0.2.1:40")); /* the last word counts */
}

static void it_stays_where_nothing_better_is(void **state) {
  struct place *place = *state;
  send_to(place, "192.0.2.1:6379");
  loop_settle(place->loop);
  place->has_target = false;
  struct link *link = ear_at("192.0.2.1:6379");
  size_t asked = place->asked_count;
  fake_link_set(link, LINK_DOWN, "connection refused");
  LOOP_UNTIL(place->loop, place->asked_count > asked);
  assert_true(place->was_lost);
  assert_ptr_equal(ear_at("192.0.2.1:6379"), link);
  fake_link_set(link, LINK_UP, "");
  assert_int_equal(place->up_count, 1);
}

static int setup_counted(void **state) {
  fake_link_created_count = 0;
  return setup(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(it_listens_as_soon_as_there_is_a_place, setup_counted, teardown),
      cmocka_unit_test_setup_teardown(each_return_of_the_subscription_is_told, setup_counted, teardown),
      cmocka_unit_test_setup_teardown(it_moves_with_the_place, setup_counted, teardown),
      cmocka_unit_test_setup_teardown(it_does_not_move_more_often_than_it_may, setup_counted, teardown),
      cmocka_unit_test_setup_teardown(it_stays_where_nothing_better_is, setup_counted, teardown),
  };
  return cmocka_run_group_tests_name("ear", tests, NULL, NULL);
}
