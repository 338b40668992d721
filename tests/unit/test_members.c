#include "cmocka_compat.h"

#include <ev.h>

#include "fake_link.h"
#include "loop_until.h"
#include "redis/members.h"

struct place {
  struct ev_loop *loop;
  struct members *members;
  size_t change_count;
  enum link_state last;
  bool retire_at_change;
};

static void on_change(void *context, struct member *member, enum link_state state) {
  struct place *place = context;
  place->change_count++;
  place->last = state;
  if (place->retire_at_change)
    member_retire(member);
}

static int setup(void **state) {
  struct place *place = calloc(1, sizeof(*place));
  assert_non_null(place);
  const struct link_options options = {.user = "mx", .max_commands = 7};
  place->loop = ev_loop_new(EVFLAG_AUTO);
  assert_int_equal(members_create(place->loop, &options, on_change, place, &place->members), 0);
  *state = place;
  return 0;
}

static int teardown(void **state) {
  struct place *place = *state;
  members_destroy(place->members);
  assert_int_equal(fake_link_count, 0);
  ev_loop_destroy(place->loop);
  free(place);
  return 0;
}

static struct member *get(struct place *place, const char *text) {
  struct link_target target = fake_target(text);
  return member_get(place->members, &target);
}

static void a_server_has_one_link_with_the_options_of_all(void **state) {
  struct place *place = *state;
  struct member *one = get(place, "192.0.2.1:6379"), *other = get(place, "192.0.2.2:6379");
  assert_non_null(one);
  assert_ptr_not_equal(one, other);
  assert_ptr_equal(get(place, "192.0.2.1:6379"), one);
  assert_int_equal(fake_link_count, 2);
  assert_string_equal(fake_link_at("192.0.2.2:6379")->options.user, "mx");
  assert_int_equal(fake_link_at("192.0.2.2:6379")->options.max_commands, 7);
  assert_ptr_equal(get(place, "unix:/run/r.sock"), get(place, "unix:/run/r.sock"));
}

static void changes_are_told_and_the_reason_is_kept(void **state) {
  struct place *place = *state;
  struct member *member = get(place, "192.0.2.1:6379");
  assert_false(member_is_up(member));
  fake_link_down("192.0.2.1:6379");
  assert_string_equal(member->reason, "connection refused");
  fake_link_up("192.0.2.1:6379");
  assert_string_equal(member->reason, "");
  assert_true(member_is_up(member));
  assert_int_equal(place->change_count, 2);
  assert_int_equal(place->last, LINK_UP);
}

static void a_retired_server_is_closed_when_the_loop_turns(void **state) {
  struct place *place = *state;
  get(place, "192.0.2.2:6379");
  place->retire_at_change = true;
  get(place, "192.0.2.1:6379");
  fake_link_down("192.0.2.1:6379"); /* retires it inside its on_state */
  assert_int_equal(fake_link_count, 2);
  loop_settle(place->loop);
  assert_int_equal(fake_link_count, 1);
  assert_null(fake_link_find("192.0.2.1:6379", ""));
}

static void a_retired_server_that_is_held_stays_until_it_is_released(void **state) {
  struct place *place = *state;
  struct member *member = get(place, "192.0.2.1:6379");
  member_hold(member);
  member_hold(member);
  member_retire(member);
  loop_settle(place->loop);
  member_release(member);
  loop_settle(place->loop);
  assert_int_equal(fake_link_count, 1);
  fake_link_up("192.0.2.1:6379");
  assert_int_equal(place->change_count, 0); /* nobody wants to know any more */
  member_release(member);
  loop_settle(place->loop);
  assert_int_equal(fake_link_count, 0);
}

static void a_retired_server_that_is_wanted_again_keeps_its_link(void **state) {
  struct place *place = *state;
  struct member *member = get(place, "192.0.2.1:6379");
  member_retire(member);
  assert_ptr_equal(get(place, "192.0.2.1:6379"), member);
  loop_settle(place->loop);
  assert_int_equal(fake_link_count, 1);
  fake_link_up("192.0.2.1:6379");
  assert_int_equal(place->change_count, 1);
}

static void there_are_no_more_links_than_the_bound(void **state) {
  struct place *place = *state;
  char text[32];
  for (int i = 1; i <= MEMBERS_MAX; i++) {
    snprintf(text, sizeof(text), "192.0.2.1:%d", i);
    assert_non_null(get(place, text));
  }
  assert_null(get(place, "192.0.2.2:1"));
  member_retire(get(place, "192.0.2.1:5"));
  assert_null(get(place, "192.0.2.2:1")); /* it is not closed yet */
  loop_settle(place->loop);
  assert_non_null(get(place, "192.0.2.2:1"));
  assert_int_equal(fake_link_count, MEMBERS_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_server_has_one_link_with_the_options_of_all, setup, teardown),
      cmocka_unit_test_setup_teardown(changes_are_told_and_the_reason_is_kept, setup, teardown),
      cmocka_unit_test_setup_teardown(a_retired_server_is_closed_when_the_loop_turns, setup, teardown),
      cmocka_unit_test_setup_teardown(a_retired_server_that_is_held_stays_until_it_is_released, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(a_retired_server_that_is_wanted_again_keeps_its_link, setup, teardown),
      cmocka_unit_test_setup_teardown(there_are_no_more_links_than_the_bound, setup, teardown),
  };
  return cmocka_run_group_tests_name("members", tests, NULL, NULL);
}
