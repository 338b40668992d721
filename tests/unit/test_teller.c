#include "cmocka_compat.h"

#include "notice_samples.h"
#include "played_list.h"
#include "store/teller.h"

static struct stats stats;
static struct teller *teller;
static int64_t now_ms;
static unsigned looked;
static uint64_t followed;

static void on_look(void *context, int64_t when_ms) {
  assert_ptr_equal(context, &looked);
  assert_int_equal(when_ms, now_ms);
  looked++;
}

static uint64_t counted(enum stats_counter counter) { return atomic_load(&stats.counters[counter]); }

static int open_it(void **state) {
  static const struct teller_options options = {.key = "mxway:1:purges",
                                                .channel = "mxway:1:purge",
                                                .origin = 77,
                                                .followed = &followed,
                                                .look = on_look,
                                                .context = &looked};
  (void)state;
  fake_fleet_init();
  list_init();
  memset(&stats, 0, sizeof(stats));
  looked = 0;
  now_ms = 1000;
  followed = 12345;
  teller = teller_create(NULL, &options, &stats);
  return teller ? 0 : -1;
}

static int close_it(void **state) {
  (void)state;
  teller_destroy(teller);
  assert_int_equal(fake_fleet.open_count, 0);
  return 0;
}

static uint64_t put(enum purge_what what, const char *text) {
  struct name name;
  if (text)
    name = notice_name(text);
  return teller_put(teller, what, text ? &name : NULL);
}

static void run(void) {
  teller_run(teller, now_ms);
  list_answer(now_ms);
}

/* The notice of an entry. */
static struct notice entry_at(size_t at) {
  struct notice notice;
  assert_true(at < list.count);
  struct list_entry *entry = &list.entries[list.first + at];
  assert_int_equal(notice_parse(entry->octets, entry->length, "mxway:1:purges", NULL, &notice), NOTICE_GOOD);
  assert_int_equal(notice.origin, 77);
  return notice;
}

static size_t count_names(const struct notice *notice) {
  struct name name;
  size_t at = 0, count = 0;
  while (notice_next(notice, &at, &name))
    count++;
  return count;
}

static enum teller_outcome outcome_of(uint64_t number) {
  const char *why;
  return teller_outcome(teller, number, &why);
}

static void a_purge_is_an_entry_and_a_message(void **state) {
  (void)state;
  uint64_t number = put(PURGE_OF_SUFFIX, "shop.example");
  assert_int_equal(fake_fleet.count, 0);
  assert_int_equal(outcome_of(number), TELLER_PENDING);
  assert_true(teller_next_ms(teller) <= now_ms);
  teller_run(teller, now_ms);
  assert_string_equal(fake_fleet.calls[0].text, "XADD mxway:1:purges MAXLEN 256 * n *");
  assert_string_equal(fake_fleet.calls[0].key, "mxway:1:purges");
  assert_int_equal(outcome_of(number), TELLER_PENDING);
  assert_int_equal(teller_next_ms(teller), INT64_MAX);
  list_answer(now_ms);
  assert_int_equal(outcome_of(number), TELLER_TOLD);
  assert_string_equal(fake_fleet.calls[1].text, "PUBLISH mxway:1:purge 1");
  assert_string_equal(fake_fleet.calls[1].key, "mxway:1:purge");
  assert_int_equal(looked, 1);
  assert_int_equal(teller_count(teller), 0);
  assert_int_equal(counted(STATS_STORE_PURGES_TOLD), 1);
  struct notice notice = entry_at(0);
  assert_int_equal(notice.what, PURGE_OF_SUFFIX);
  assert_int_equal(notice.followed, followed);
  assert_int_equal(count_names(&notice), 1);
}

static void domains_that_are_purged_together_are_told_together(void **state) {
  (void)state;
  uint64_t first = put(PURGE_OF_DOMAIN, "a.example"), second = put(PURGE_OF_DOMAIN, "b.example");
  assert_true(second > first);
  run();
  assert_int_equal(list.count, 1);
  struct notice notice = entry_at(0);
  assert_int_equal(count_names(&notice), 2);
  assert_int_equal(outcome_of(second), TELLER_TOLD);
  assert_int_equal(outcome_of(first), TELLER_TOLD);
}

static void what_is_under_way_is_not_changed_any_more(void **state) {
  (void)state;
  put(PURGE_OF_DOMAIN, "a.example");
  teller_run(teller, now_ms);
  uint64_t second = put(PURGE_OF_DOMAIN, "b.example");
  list_answer(now_ms);
  assert_int_equal(list.count, 1);
  assert_int_equal(outcome_of(second), TELLER_PENDING);
  run();
  assert_int_equal(list.count, 2);
  assert_int_equal(outcome_of(second), TELLER_TOLD);
  for (size_t i = 0; i < 2; i++) {
    struct notice notice = entry_at(i);
    assert_int_equal(count_names(&notice), 1);
  }
}

static void kinds_are_told_one_by_one_in_order(void **state) {
  (void)state;
  static const enum purge_what kinds[] = {PURGE_OF_SUFFIX,   PURGE_OF_SUFFIX,   PURGE_OF_EXCHANGE,
                                          PURGE_OF_NEGATIVE, PURGE_OF_FAILURES, PURGE_OF_ALL};
  for (size_t i = 0; i < 6; i++)
    put(kinds[i], kinds[i] <= PURGE_OF_EXCHANGE ? "a.example" : NULL);
  put(PURGE_OF_ALL, NULL);
  put(PURGE_OF_DOMAIN, "b.example"); /* one of all is one of that, too */
  for (size_t i = 0; i < 6; i++)
    run();
  assert_int_equal(list.count, 6);
  for (size_t i = 0; i < 6; i++)
    assert_int_equal(entry_at(i).what, kinds[i]);
  assert_int_equal(teller_count(teller), 0);
}

static void a_thousand_domains_are_a_few_notices(void **state) {
  (void)state;
  size_t names = 0;
  for (unsigned i = 0; i < 1000; i++) {
    char text[32];
    snprintf(text, sizeof(text), "d%u.example", i);
    put(PURGE_OF_DOMAIN, text);
  }
  while (teller_count(teller) > 0)
    run();
  assert_in_range(list.count, 2, 10);
  for (size_t i = 0; i < list.count; i++) {
    struct notice notice = entry_at(i);
    names += count_names(&notice);
  }
  assert_int_equal(names, 1000);
}

static void without_a_server_it_waits(void **state) {
  (void)state;
  const char *why = NULL;
  fake_fleet.is_down[FLEET_WRITE] = true;
  uint64_t number = put(PURGE_OF_ALL, NULL);
  teller_run(teller, now_ms);
  assert_int_equal(teller_outcome(teller, number, &why), TELLER_LATER);
  assert_string_equal(why, "up, 1 of 1 servers, 84 us"); /* what the fleet says of itself */
  assert_int_equal(counted(STATS_STORE_PURGES_UNTOLD), 1);
  fake_fleet.is_down[FLEET_WRITE] = false;
  run();
  assert_int_equal(fake_fleet.count, 0); /* not yet */
  teller_retry(teller);
  run();
  assert_int_equal(outcome_of(number), TELLER_TOLD);
}

static void it_is_tried_again_less_and_less_often(void **state) {
  (void)state;
  static const int64_t pauses_ms[] = {1000, 2000, 4000, 8000, 10000, 10000};
  fake_fleet.is_down[FLEET_WRITE] = true;
  put(PURGE_OF_ALL, NULL);
  for (size_t i = 0; i < 6; i++) {
    teller_run(teller, now_ms);
    assert_int_equal(counted(STATS_STORE_PURGES_UNTOLD), i + 1);
    assert_int_equal(teller_next_ms(teller), now_ms + pauses_ms[i]);
    now_ms = teller_next_ms(teller) - 1;
    teller_run(teller, now_ms);
    assert_int_equal(counted(STATS_STORE_PURGES_UNTOLD), i + 1);
    now_ms++;
  }
}

static void who_asks_for_another_has_it_tried_at_once(void **state) {
  (void)state;
  fake_fleet.is_down[FLEET_WRITE] = true;
  put(PURGE_OF_NEGATIVE, NULL);
  teller_run(teller, now_ms);
  fake_fleet.is_down[FLEET_WRITE] = false;
  uint64_t number = put(PURGE_OF_FAILURES, NULL);
  assert_int_equal(outcome_of(number), TELLER_PENDING);
  run();
  run();
  assert_int_equal(list.count, 2);
  assert_int_equal(outcome_of(number), TELLER_TOLD);
}

static void what_a_server_says_is_passed_on_in_letters(void **state) {
  (void)state;
  const char *why = NULL;
  list.error = "WRONGTYPE Operation \x1b[31m\xff against";
  uint64_t number = put(PURGE_OF_ALL, NULL);
  run();
  assert_int_equal(teller_outcome(teller, number, &why), TELLER_LATER);
  assert_string_equal(why, "WRONGTYPE Operation ?[31m? against");
  assert_int_equal(looked, 1); /* it may be for what is there */
}

static void a_server_that_says_too_much_is_cut_short(void **state) {
  (void)state;
  char text[2000];
  const char *why = NULL;
  memset(text, 'x', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  list.error = text;
  uint64_t number = put(PURGE_OF_ALL, NULL);
  run();
  assert_int_equal(teller_outcome(teller, number, &why), TELLER_LATER);
  assert_int_equal(strlen(why), TELLER_WHY_SIZE - 1);
}

static void silence_is_no_answer(void **state) {
  (void)state;
  uint64_t number = put(PURGE_OF_ALL, NULL);
  teller_run(teller, now_ms);
  assert_int_equal(fake_fleet.calls[0].timeout_ms, TELLER_TIMEOUT_MS);
  fake_answer(0, NULL, now_ms);
  assert_int_equal(outcome_of(number), TELLER_LATER);
  now_ms = teller_next_ms(teller);
  run();
  assert_int_equal(outcome_of(number), TELLER_TOLD);
}

static void nonsense_is_no_answer(void **state) {
  (void)state;
  uint64_t number = put(PURGE_OF_ALL, NULL);
  teller_run(teller, now_ms);
  fake_answer_nil(0, now_ms);
  assert_int_equal(outcome_of(number), TELLER_LATER);
}

static void too_many_that_wait_become_one_of_all(void **state) {
  (void)state;
  uint64_t numbers[TELLER_WAITING_MAX + 1];
  fake_fleet.is_down[FLEET_WRITE] = true;
  for (unsigned i = 0; i <= TELLER_WAITING_MAX; i++) {
    char text[32];
    snprintf(text, sizeof(text), "d%u.example", i);
    numbers[i] = put(PURGE_OF_SUFFIX, text);
    teller_run(teller, now_ms);
  }
  assert_int_equal(teller_count(teller), 2);
  fake_fleet.is_down[FLEET_WRITE] = false;
  teller_retry(teller);
  run();
  assert_int_equal(outcome_of(numbers[0]), TELLER_TOLD);
  assert_int_not_equal(outcome_of(numbers[1]), TELLER_TOLD);
  run();
  assert_int_equal(list.count, 2);
  assert_int_equal(entry_at(1).what, PURGE_OF_ALL);
  for (size_t i = 0; i <= TELLER_WAITING_MAX; i++)
    assert_int_equal(outcome_of(numbers[i]), TELLER_TOLD);
}

static void a_beginning_is_told_once(void **state) {
  (void)state;
  teller_put_beginning(teller, 7);
  teller_put_beginning(teller, 7);
  teller_put_beginning(teller, 3); /* which says less */
  uint64_t number = put(PURGE_OF_ALL, NULL);
  run();
  run();
  assert_int_equal(list.count, 2);
  assert_true(entry_at(0).is_beginning);
  assert_int_equal(entry_at(0).followed, 7);
  assert_false(entry_at(1).is_beginning);
  assert_int_equal(outcome_of(number), TELLER_TOLD);
  assert_int_equal(counted(STATS_STORE_PURGES_TOLD), 1);
}

static void it_ends_with_one_under_way(void **state) {
  (void)state;
  put(PURGE_OF_ALL, NULL);
  teller_run(teller, now_ms);
  assert_int_equal(fake_fleet.open_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_purge_is_an_entry_and_a_message),
      TEST(domains_that_are_purged_together_are_told_together),
      TEST(what_is_under_way_is_not_changed_any_more),
      TEST(kinds_are_told_one_by_one_in_order),
      TEST(a_thousand_domains_are_a_few_notices),
      TEST(without_a_server_it_waits),
      TEST(it_is_tried_again_less_and_less_often),
      TEST(who_asks_for_another_has_it_tried_at_once),
      TEST(what_a_server_says_is_passed_on_in_letters),
      TEST(a_server_that_says_too_much_is_cut_short),
      TEST(silence_is_no_answer),
      TEST(nonsense_is_no_answer),
      TEST(too_many_that_wait_become_one_of_all),
      TEST(a_beginning_is_told_once),
      TEST(it_ends_with_one_under_way),
  };
  return cmocka_run_group_tests_name("teller", tests, NULL, NULL);
}
