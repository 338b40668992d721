#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/entries.h"

enum { ARENA_MOST = 1 << 21, COUNT = 5, MANY = 3000, FOR_EVER_MS = 1 << 30 };

struct fixture {
  struct arena arena;
  struct entries entries;
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  assert_non_null(fixture);
  assert_int_equal(arena_init(&fixture->arena, ARENA_MOST), 0);
  entries_init(&fixture->entries, &fixture->arena);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  arena_fini(&fixture->arena);
  free(fixture);
  return 0;
}

static struct entry *build(struct fixture *fixture, enum domain_kind kind, const char *name) {
  struct domain_value *value = calloc(1, sizeof(*value));
  assert_non_null(value);
  value->kind = kind;
  value->expires_at_ms = FOR_EVER_MS;
  struct entry *entry = entry_build(&fixture->arena, name, strlen(name), 7, value);
  assert_non_null(entry);
  free(value);
  return entry;
}

static struct entry *put(struct fixture *fixture, enum domain_kind kind) {
  struct entry *entry = build(fixture, kind, "d.test");
  entries_put(&fixture->entries, entry);
  return entry;
}

/* Puts `count` good ones. */
static void put_good(struct fixture *fixture, struct entry *entries[], int count) {
  for (int i = 0; i < count; i++)
    entries[i] = put(fixture, DOMAIN_NULL_MX);
}

static struct entry *choose(struct fixture *fixture, const struct entry *spared) {
  int steps = 0;
  return entries_choose(&fixture->entries, SHARE_GOOD, spared, 0, &steps);
}

/* ---- blocks ---- */

static void an_entry_says_what_its_value_says(void **state) {
  struct fixture *fixture = *state;
  struct domain_value *value = calloc(1, sizeof(*value));
  *value = (struct domain_value){.kind = DOMAIN_FAILED,
                                 .cause = VERDICT_DNS_TIMEOUT,
                                 .failures = 3,
                                 .authentic = true,
                                 .warnings = WARNING_MX_IS_CNAME,
                                 .stored_at_ms = 1000,
                                 .expires_at_ms = 2000,
                                 .refresh_lead_ms = 100,
                                 .canonical = "c.example"};
  struct entry *entry = entry_build(&fixture->arena, "d.test", 6, 7, value);
  free(value);
  assert_ptr_equal(entry_of(&entry->facts), entry);
  assert_int_equal(entry->hash, 7);
  assert_int_equal(entry->refs, 2);
  assert_int_equal(entry->share, SHARE_NONE);
  assert_int_equal(entry_hits(entry), 0);
  assert_null(entry->facts.set);
  assert_int_equal(entry->facts.kind, DOMAIN_FAILED);
  assert_int_equal(entry->facts.cause, VERDICT_DNS_TIMEOUT);
  assert_int_equal(entry->facts.failures, 3);
  assert_true(entry->facts.authentic);
  assert_int_equal(entry->facts.warnings, WARNING_MX_IS_CNAME);
  assert_int_equal(entry->facts.stored_at_ms, 1000);
  assert_int_equal(entry->facts.expires_at_ms, 2000);
  assert_int_equal(entry->facts.refresh_lead_ms, 100);
  assert_int_equal(entry->facts.name_length, 6);
  assert_int_equal(entry->facts.canonical_length, 9);
  assert_memory_equal(entry->facts.text, "d.testc.example", 15);
  assert_int_equal(entry_bytes(entry), arena_block_bytes(&fixture->arena, entry));
}

static void a_copy_is_new_and_a_moved_entry_is_as_used_as_it_was(void **state) {
  struct fixture *fixture = *state;
  struct entry *entry = put(fixture, DOMAIN_NULL_MX);
  entry->refs = 1;
  entry_mark(entry);
  assert_true(entry_claim(entry));
  struct entry *copy = entry_copy(&fixture->arena, &entry->facts, 8);
  assert_int_equal(copy->hash, 8);
  assert_int_equal(copy->refs, 2);
  assert_int_equal(entry_hits(copy), 0);
  assert_true(entry_claim(copy));
  struct entry *moved = entry_move(&fixture->arena, entry);
  assert_int_equal(moved->hash, 7);
  assert_int_equal(moved->refs, 1);
  assert_int_equal(moved->share, SHARE_NONE);
  assert_int_equal(entry_hits(moved), 1);
  assert_false(entry_claim(moved));
  assert_memory_equal(copy->facts.text, "d.test", 6);
  assert_memory_equal(moved->facts.text, "d.test", 6);
  assert_int_equal(moved->facts.expires_at_ms, FOR_EVER_MS);
}

static void hits_are_counted_up_to_the_most_beside_the_claim(void **state) {
  struct entry *entry = build(*state, DOMAIN_NULL_MX, "d.test");
  assert_true(entry_claim(entry));
  assert_false(entry_claim(entry));
  for (unsigned hits = 0; hits < ENTRY_HITS_MAX; hits++) {
    assert_int_equal(entry_hits(entry), hits);
    entry_mark(entry);
  }
  uint8_t use = atomic_load(&entry->use);
  assert_int_equal(use, ENTRY_HITS_MAX | ENTRY_CLAIMED);
  entry_mark(entry);
  assert_int_equal(atomic_load(&entry->use), use); /* writes no more */
}

/* ---- shares ---- */

static void denials_and_failures_stand_apart_and_are_counted(void **state) {
  struct fixture *fixture = *state;
  struct entry *good = put(fixture, DOMAIN_NULL_MX);
  assert_int_equal(fixture->entries.denied_bytes, 0);
  struct entry *denied = put(fixture, DOMAIN_NXDOMAIN), *failed = put(fixture, DOMAIN_FAILED);
  assert_int_equal(fixture->entries.denied_bytes, 2 * (entry_bytes(denied) + 16));
  assert_int_equal(entries_count(&fixture->entries), 3);
  assert_ptr_equal(entries_newest(&fixture->entries, SHARE_GOOD), good);
  assert_ptr_equal(entries_newest(&fixture->entries, SHARE_DENIED), failed);
  entries_remove(&fixture->entries, failed);
  assert_int_equal(failed->share, SHARE_NONE);
  assert_ptr_equal(entries_newest(&fixture->entries, SHARE_DENIED), denied);
  entries_remove(&fixture->entries, denied);
  assert_null(entries_newest(&fixture->entries, SHARE_DENIED));
  assert_int_equal(fixture->entries.denied_bytes, 0);
  assert_int_equal(entries_count(&fixture->entries), 1);
}

static void an_entry_of_one_kind_with_the_old_one_takes_its_place(void **state) {
  struct fixture *fixture = *state;
  struct entry *old = put(fixture, DOMAIN_NXDOMAIN), *newest = put(fixture, DOMAIN_NXDOMAIN);
  struct entry *entry = build(fixture, DOMAIN_FAILED, "a-longer-name.test");
  size_t before = fixture->entries.denied_bytes;
  entries_replace(&fixture->entries, old, entry);
  assert_int_equal(old->share, SHARE_NONE);
  assert_int_equal(entry->share, SHARE_DENIED);
  assert_ptr_equal(entries_newest(&fixture->entries, SHARE_DENIED), newest);
  assert_int_equal(fixture->entries.denied_bytes, before + entry_bytes(entry) - entry_bytes(old));
}

static void an_entry_of_another_kind_is_the_newest_of_the_other_share(void **state) {
  struct fixture *fixture = *state;
  struct entry *old = put(fixture, DOMAIN_NXDOMAIN);
  put(fixture, DOMAIN_NULL_MX);
  struct entry *entry = build(fixture, DOMAIN_NULL_MX, "d.test");
  entries_replace(&fixture->entries, old, entry);
  assert_ptr_equal(entries_newest(&fixture->entries, SHARE_GOOD), entry);
  assert_null(entries_newest(&fixture->entries, SHARE_DENIED));
  assert_int_equal(old->share, SHARE_NONE);
  assert_int_equal(fixture->entries.denied_bytes, 0);
}

static void only_an_entry_beside_the_spared_one_is_a_victim(void **state) {
  struct fixture *fixture = *state;
  assert_false(entries_have_victim(&fixture->entries, SHARE_GOOD, NULL));
  struct entry *spared = put(fixture, DOMAIN_NULL_MX);
  assert_true(entries_have_victim(&fixture->entries, SHARE_GOOD, NULL));
  assert_false(entries_have_victim(&fixture->entries, SHARE_GOOD, spared));
  put(fixture, DOMAIN_NXDOMAIN);
  assert_true(entries_have_victim(&fixture->entries, SHARE_DENIED, spared));
}

/* ---- the hand ---- */

static void the_hand_stops_at_the_oldest_without_hits_and_spares_one(void **state) {
  struct fixture *fixture = *state;
  struct entry *entries[COUNT];
  put_good(fixture, entries, COUNT);
  entry_mark(entries[0]);
  assert_ptr_equal(choose(fixture, entries[1]), entries[2]);
  assert_int_equal(entry_hits(entries[0]), 0); /* it was passed once */
  assert_int_equal(entries[2]->share, SHARE_GOOD);
  assert_ptr_equal(choose(fixture, NULL), entries[3]); /* goes on from there */
  assert_ptr_equal(choose(fixture, NULL), entries[4]);
  assert_ptr_equal(choose(fixture, NULL), entries[0]);
}

static void the_hand_stops_at_what_has_expired_whatever_its_hits(void **state) {
  struct fixture *fixture = *state;
  struct entry *entries[COUNT];
  put_good(fixture, entries, COUNT);
  for (int i = 0; i < COUNT; i++)
    entry_mark(entries[i]);
  entries[2]->facts.expires_at_ms = 500;
  int steps = 0;
  assert_ptr_equal(entries_choose(&fixture->entries, SHARE_GOOD, NULL, 500, &steps), entries[2]);
  assert_int_equal(steps, 2);
  assert_int_equal(entry_hits(entries[2]), 1);
}

static void the_hand_stops_after_so_many_steps_of_its_own_and_of_the_put(void **state) {
  struct fixture *fixture = *state;
  static struct entry *entries[MANY];
  put_good(fixture, entries, MANY);
  for (int i = 0; i < MANY; i++)
    entry_mark(entries[i]);
  int steps = 0;
  assert_ptr_equal(entries_choose(&fixture->entries, SHARE_GOOD, NULL, 0, &steps), entries[1024]);
  assert_int_equal(steps, 1024);
  steps = 8192 - 10;
  assert_ptr_equal(entries_choose(&fixture->entries, SHARE_GOOD, NULL, 0, &steps), entries[1025 + 10]);
  assert_ptr_equal(entries_choose(&fixture->entries, SHARE_GOOD, NULL, 0, &steps), entries[1025 + 11]);
  assert_int_equal(steps, 8192);
  assert_int_equal(entry_hits(entries[1025 + 11]), 1);
}

static void a_sweep_looks_at_the_good_ones_then_at_the_denials_and_anew(void **state) {
  struct fixture *fixture = *state;
  struct entry *denied = put(fixture, DOMAIN_NXDOMAIN), *entries[2];
  put_good(fixture, entries, 2);
  for (int round = 0; round < 2; round++) {
    assert_ptr_equal(entries_sweep_next(&fixture->entries), entries[0]);
    assert_ptr_equal(entries_sweep_next(&fixture->entries), entries[1]);
    assert_ptr_equal(entries_sweep_next(&fixture->entries), denied);
  }
  entries_remove(&fixture->entries, denied);
  assert_ptr_equal(entries_sweep_next(&fixture->entries), entries[0]);
  assert_ptr_equal(entries_sweep_next(&fixture->entries), entries[1]);
  assert_ptr_equal(entries_sweep_next(&fixture->entries), entries[0]);
}

/* ---- walks ---- */

static void a_walk_goes_over_the_denials_and_then_from_the_oldest_good_one_to_the_newest(void **state) {
  struct fixture *fixture = *state;
  struct entry *entries[COUNT];
  struct entries_walk walk;
  put_good(fixture, entries, COUNT);
  struct entry *denied = put(fixture, DOMAIN_NXDOMAIN);
  entries_walk_start(&walk, &fixture->entries);
  assert_ptr_equal(entries_walk_next(&walk), denied);
  for (int i = 0; i < COUNT; i++)
    assert_ptr_equal(entries_walk_next(&walk), entries[i]);
  assert_null(entries_walk_next(&walk));
  put(fixture, DOMAIN_NULL_MX);
  assert_null(entries_walk_next(&walk));
  entries_walk_stop(&walk);
  entries_walk_stop(&walk);
  assert_null(entries_walk_next(&walk));
  assert_null(fixture->entries.walks);
}

/* The hits that a walk gives to `count` good ones are those of `expected`. */
static void check_walked_hits(struct fixture *fixture, const unsigned expected[], int count) {
  struct entries_walk walk;
  entries_walk_start(&walk, &fixture->entries);
  for (int i = 0; i < count; i++) {
    assert_non_null(entries_walk_next(&walk));
    assert_int_equal(walk.hits, expected[i]);
  }
  entries_walk_stop(&walk);
}

static void a_walk_gives_back_the_hit_that_the_hand_has_taken(void **state) {
  struct fixture *fixture = *state;
  struct entry *entries[COUNT];
  put_good(fixture, entries, COUNT);
  for (int hits = 0; hits < 3; hits++)
    entry_mark(entries[0]);
  entry_mark(entries[1]);
  entry_mark(entries[3]);
  check_walked_hits(fixture, (unsigned[]){3, 1, 0, 1, 0}, COUNT); /* the hand is at the start */
  assert_ptr_equal(choose(fixture, NULL), entries[2]);
  assert_int_equal(entry_hits(entries[1]), 0);
  check_walked_hits(fixture, (unsigned[]){3, 1, 1, 1, 0}, COUNT);
  entry_mark(entries[0]); /* no more than the most */
  check_walked_hits(fixture, (unsigned[]){3, 1, 1, 1, 0}, COUNT);
}

static void a_walk_goes_on_where_the_entry_that_is_next_leaves_or_is_replaced(void **state) {
  struct fixture *fixture = *state;
  struct entry *entries[COUNT];
  struct entries_walk walk, other;
  put_good(fixture, entries, COUNT);
  entries_walk_start(&walk, &fixture->entries);
  entries_walk_start(&other, &fixture->entries);
  assert_ptr_equal(entries_walk_next(&walk), entries[0]);
  entries_remove(&fixture->entries, entries[0]); /* the first of the other */
  entries_remove(&fixture->entries, entries[1]);
  struct entry *copy = entry_copy(&fixture->arena, &entries[2]->facts, 7);
  entries_replace(&fixture->entries, entries[2], copy);
  assert_ptr_equal(entries_walk_next(&walk), copy);
  struct entry *denied = build(fixture, DOMAIN_NXDOMAIN, "d.test");
  entries_replace(&fixture->entries, entries[3], denied); /* which leaves this share */
  assert_ptr_equal(entries_walk_next(&walk), entries[4]);
  assert_null(entries_walk_next(&walk));
  entries_walk_stop(&walk);
  assert_ptr_equal(entries_walk_next(&other), copy); /* it had left the denials: there were none */
  assert_ptr_equal(entries_walk_next(&other), entries[4]);
  assert_null(entries_walk_next(&other));
  entries_walk_stop(&other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(an_entry_says_what_its_value_says, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_copy_is_new_and_a_moved_entry_is_as_used_as_it_was, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(hits_are_counted_up_to_the_most_beside_the_claim, set_up, tear_down),
      cmocka_unit_test_setup_teardown(denials_and_failures_stand_apart_and_are_counted, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_entry_of_one_kind_with_the_old_one_takes_its_place, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(an_entry_of_another_kind_is_the_newest_of_the_other_share, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(only_an_entry_beside_the_spared_one_is_a_victim, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_hand_stops_at_the_oldest_without_hits_and_spares_one, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(the_hand_stops_at_what_has_expired_whatever_its_hits, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(the_hand_stops_after_so_many_steps_of_its_own_and_of_the_put, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(
          a_walk_goes_over_the_denials_and_then_from_the_oldest_good_one_to_the_newest, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_walk_gives_back_the_hit_that_the_hand_has_taken, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_walk_goes_on_where_the_entry_that_is_next_leaves_or_is_replaced,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_sweep_looks_at_the_good_ones_then_at_the_denials_and_anew, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests_name("entries", tests, NULL, NULL);
}
