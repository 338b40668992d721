#include "cmocka_compat.h"

#include "store/followed.h"

enum { OWN = 77, OTHER = 78 };

static struct followed followed;
static uint64_t generation; /* of the entry that was taken last */

/* Another node's, who had followed up to `up_to`. */
static bool take_of(uint64_t number, uint64_t origin, uint64_t up_to) {
  struct notice notice;
  notice_init(&notice, PURGE_OF_ALL);
  notice.origin = origin;
  notice.followed = up_to;
  return followed_take(&followed, number, &notice, OWN, &generation);
}

static bool take_from(uint64_t number, uint64_t origin) { return take_of(number, origin, number - 1); }

static bool take(uint64_t number) { return take_from(number, OTHER); }

/* A beginning of a node that had followed up to `up_to`. */
static void take_beginning(uint64_t number, uint64_t up_to) {
  struct notice notice;
  notice_init(&notice, PURGE_OF_ALL);
  notice.is_beginning = true;
  notice.followed = up_to;
  assert_false(followed_take(&followed, number, &notice, OWN, &generation));
}

static void end(enum followed_outcome outcome, uint64_t expected_lost) {
  uint64_t lost = 12345;
  assert_int_equal(followed_end(&followed, &lost), outcome);
  assert_int_equal(lost, expected_lost);
}

/* A node that has followed 100 to 110. */
static int open_it(void **state) {
  (void)state;
  followed_init(&followed, 0, 50);
  take_beginning(100, 0);
  for (uint64_t i = 101; i <= 110; i++)
    assert_true(take(i));
  end(FOLLOWED_ALL, 0);
  assert_int_equal(followed.generation, 110);
  return 0;
}

static void what_comes_next_is_followed(void **state) {
  (void)state;
  assert_true(take(111));
  assert_int_equal(generation, 111);
  assert_false(take_from(112, OWN));
  assert_false(followed_take(&followed, 113, NULL, OWN, &generation)); /* what cannot be read counts, too */
  end(FOLLOWED_ALL, 0);
  assert_int_equal(followed.generation, 113);
}

static void nothing_new_is_no_change(void **state) {
  (void)state;
  end(FOLLOWED_ALL, 0);
  assert_int_equal(followed.generation, 110);
}

static void what_was_followed_is_not_followed_again(void **state) {
  (void)state;
  followed_begin(&followed);
  take_beginning(100, 0);
  for (uint64_t i = 101; i <= 110; i++)
    assert_false(take(i));
  assert_true(take(111));
  end(FOLLOWED_ALL, 0);
}

static void a_list_that_begins_later_has_been_missed_in_part(void **state) {
  (void)state;
  followed_begin(&followed);
  assert_false(take(112));
  assert_false(take(113));
  end(FOLLOWED_NOT_ALL, 0);
  assert_int_equal(followed.generation, 113);
  assert_true(take(114)); /* and that is over */
  end(FOLLOWED_ALL, 0);
}

static void a_list_of_nothing_that_is_known_has_been_missed(void **state) {
  (void)state;
  followed_begin(&followed);
  assert_false(take_from(120, OWN));
  end(FOLLOWED_NOT_ALL, 0);
}

static void another_list_that_has_begun_is_followed_as_a_whole(void **state) {
  (void)state;
  followed_begin(&followed);
  take_beginning(200, 0);
  assert_true(take(201));
  end(FOLLOWED_ALL, 110); /* which nobody has told of yet */
  assert_int_equal(followed.generation, 201);
}

static void a_list_that_is_lost_again_and_again_takes_nothing_along(void **state) {
  (void)state;
  for (uint64_t begin = 200; begin < 300; begin += 10) {
    followed_begin(&followed);
    take_beginning(begin, 110); /* by who has followed more of them than we have */
    end(FOLLOWED_ALL, 0);
    assert_int_equal(followed.number, 110);
    assert_int_equal(followed.generation, begin);
  }
}

static void a_purge_may_begin_another_list(void **state) {
  (void)state;
  followed_begin(&followed);
  assert_true(take_of(200, OTHER, 108)); /* of a node that had not followed all */
  assert_true(take(201));
  end(FOLLOWED_ALL, 110);
  followed_begin(&followed);
  assert_false(take(200));
  end(FOLLOWED_ALL, 201);
  followed_begin(&followed);
  assert_false(take_of(300, OTHER, 290));
  end(FOLLOWED_NOT_ALL, 0);
}

static void a_list_that_is_full_may_have_been_cut(void **state) {
  (void)state;
  followed_begin(&followed);
  for (uint64_t i = 0; i < NOTICE_KEPT - 1; i++)
    take_of(200 + i, OTHER, 110);
  end(FOLLOWED_ALL, 0);
  open_it(state);
  followed_begin(&followed);
  for (uint64_t i = 0; i < NOTICE_KEPT; i++)
    take_of(200 + i, OTHER, 110);
  end(FOLLOWED_NOT_ALL, 0);
}

static void what_was_missed_stays_so_where_the_list_is_read_again(void **state) {
  (void)state;
  followed_begin(&followed);
  take(112);
  take(113);
  followed_begin(&followed); /* meanwhile it has lost the first */
  take(113);
  take(114);
  end(FOLLOWED_NOT_ALL, 0);
  open_it(state);
  followed_begin(&followed);
  take_of(200, OTHER, 110);
  followed_begin(&followed);
  for (uint64_t i = 0; i < NOTICE_KEPT; i++)
    take(200 + i);
  end(FOLLOWED_NOT_ALL, 0);
  take(1000);
  end(FOLLOWED_ALL, 0);
}

static void who_told_as_much_need_not_be_told(void **state) {
  (void)state;
  followed_begin(&followed);
  take_beginning(200, 110);
  take_beginning(201, 105);
  end(FOLLOWED_ALL, 0);
}

static void who_knows_more_of_a_lost_list_says_what_was_missed(void **state) {
  (void)state;
  followed_begin(&followed);
  take_beginning(200, 111);
  assert_false(take(201));
  end(FOLLOWED_NOT_ALL, 0);
  take_beginning(202, 112); /* in time it can be said later, too */
  end(FOLLOWED_NOT_ALL, 0);
  take_beginning(203, 108);
  end(FOLLOWED_ALL, 0);
}

static void a_list_that_has_lost_its_end_is_told_of(void **state) {
  (void)state;
  followed_begin(&followed);
  take_beginning(100, 0);
  assert_false(take(101));
  end(FOLLOWED_ALL, 110);
  assert_int_equal(followed.generation, 110);
  assert_true(take(102 + 50)); /* what is told now is new */
  end(FOLLOWED_ALL, 0);
}

static void numbers_that_go_back_have_generations_that_do_not(void **state) {
  (void)state;
  followed_begin(&followed);
  take_beginning(20, 0); /* another list: these are no old entries */
  assert_int_equal(generation, 111);
  assert_true(take(21));
  assert_int_equal(generation, 112);
  end(FOLLOWED_ALL, 110);
  assert_true(take(22));
  assert_int_equal(generation, 113);
  followed_begin(&followed);
  take_beginning(20, 0);
  assert_false(take(21));
  assert_false(take(22));
  assert_true(take(500));
  assert_int_equal(generation, 500);
  end(FOLLOWED_ALL, 0);
}

static void more_entries_than_are_known_one_by_one_are_known_by_their_number(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 2 * FOLLOWED_COUNT; i++)
    assert_true(take(1000 + i));
  end(FOLLOWED_ALL, 0);
  followed_begin(&followed);
  for (uint64_t i = 0; i < 2 * FOLLOWED_COUNT; i++)
    assert_false(take(1000 + i));
  end(FOLLOWED_ALL, 0);
}

static void a_memory_of_unknown_age_follows_a_list_from_its_beginning(void **state) {
  (void)state;
  followed_init(&followed, 0, 0);
  take_beginning(100, 0);
  assert_true(take(101));
  end(FOLLOWED_ALL, 0);
  followed_init(&followed, 0, 0);
  assert_false(take(101));
  end(FOLLOWED_UNKNOWN_AGE, 0);
  assert_true(take(102));
  end(FOLLOWED_ALL, 0);
}

static void a_memory_of_a_generation_follows_what_came_since(void **state) {
  (void)state;
  followed_init(&followed, 105, 0);
  take_beginning(100, 0);
  for (uint64_t i = 101; i <= 110; i++)
    assert_int_equal(take(i), i > 105);
  end(FOLLOWED_ALL, 0);
  followed_init(&followed, 90, 0);
  assert_false(take(101));
  end(FOLLOWED_NOT_ALL, 0);
}

static void an_empty_memory_has_missed_nothing(void **state) {
  (void)state;
  followed_init(&followed, 0, 1000);
  assert_false(take(900));
  take_beginning(950, 940);
  assert_true(take(1001));
  end(FOLLOWED_ALL, 0);
  assert_int_equal(followed.generation, 1001);
  followed_init(&followed, 0, 1000); /* whose clock goes before that of the list */
  assert_false(take(900));
  end(FOLLOWED_ALL, 0);
  assert_int_equal(followed.generation, 900);
  assert_true(take(901));
  end(FOLLOWED_ALL, 0);
  followed_begin(&followed);
  assert_false(take(900));
  assert_false(take(901));
  assert_true(take(902));
  end(FOLLOWED_ALL, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, open_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_comes_next_is_followed),
      TEST(nothing_new_is_no_change),
      TEST(what_was_followed_is_not_followed_again),
      TEST(a_list_that_begins_later_has_been_missed_in_part),
      TEST(a_list_of_nothing_that_is_known_has_been_missed),
      TEST(another_list_that_has_begun_is_followed_as_a_whole),
      TEST(a_list_that_is_lost_again_and_again_takes_nothing_along),
      TEST(a_purge_may_begin_another_list),
      TEST(a_list_that_is_full_may_have_been_cut),
      TEST(what_was_missed_stays_so_where_the_list_is_read_again),
      TEST(who_told_as_much_need_not_be_told),
      TEST(who_knows_more_of_a_lost_list_says_what_was_missed),
      TEST(a_list_that_has_lost_its_end_is_told_of),
      TEST(numbers_that_go_back_have_generations_that_do_not),
      TEST(more_entries_than_are_known_one_by_one_are_known_by_their_number),
      TEST(a_memory_of_unknown_age_follows_a_list_from_its_beginning),
      TEST(a_memory_of_a_generation_follows_what_came_since),
      TEST(an_empty_memory_has_missed_nothing),
  };
  return cmocka_run_group_tests_name("followed", tests, NULL, NULL);
}
