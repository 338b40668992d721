/*
 * store_readers: who reads the shared store in a test, and when: for the tests of store and storeread.
 *
 * The test gives the calls of the room it is about (declared below), and the options.
 */
#ifndef MXWAY_TESTS_STORE_READERS_H
#define MXWAY_TESTS_STORE_READERS_H

#include "cmocka_compat.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/stats.h"
#include "fake_fleet.h"
#include "record_samples.h"
#include "rules/name.h"
#include "store/storeread.h"

enum {
  TIMEOUT_MS = 30,
  HEAD_START_MS = 10,
  LEASE_MS = 50,
  MAX_COMMANDS = 8, /* 4 first reads, 2 writes */
  READERS = 64,
};

/* The store reads the wall clock for what outlives the process; everything else is told the time. */
static struct image_time now;
int64_t clock_wall_ms(void) { return now.wall_ms; }
int64_t clock_now_ms(void) { return now.now_ms; }
int64_t clock_now_us(void) { return now.now_ms * 1000; }

static struct stats stats;
static struct record made, found;

static uint64_t counted(enum stats_counter counter) { return atomic_load(&stats.counters[counter]); }

struct reader;

/* What the test gives of the room that it is about. */
struct tested {
  int (*open)(void **state); /* all of it, with the test's usual options */
  void (*create)(void);      /* from the options as they are */
  void (*destroy)(void);
  void (*set_lease_wait)(uint32_t ms);
  const struct seal *(*seal)(void);
  int (*ask)(struct reader *own, const struct store_question *question);
  void (*cancel)(struct store_read *read);
  void (*run)(void);
  int64_t (*next_ms)(void);
};

static const struct tested tested; /* defined by the test */

/* Who asks. */
struct reader {
  struct store_read *read;
  bool is_content; /* what the store holds is enough */
  unsigned shown_count, late_count, done_count;
  enum store_outcome outcome;
  const char *why;            /* what was read is of no use; NULL: nothing was said */
  struct store_read *cancels; /* what its `done` cancels; NULL: nothing */
  bool asks_again;            /* its `done` asks for the same */
};

static struct reader readers[READERS];
static struct reader *const reader = &readers[0];

static bool on_value(void *context, const struct record *record, int64_t now_ms) {
  struct reader *own = context;
  assert_int_equal(now_ms, now.now_ms);
  assert_int_equal(own->done_count, 0);
  own->shown_count++;
  found = *record;
  return own->is_content;
}

static void on_refused(void *context, const char *why) {
  struct reader *own = context;
  assert_int_equal(own->done_count, 0);
  assert_null(own->why);
  own->why = why;
}

static void on_late(void *context, int64_t now_ms) {
  struct reader *own = context;
  assert_int_equal(now_ms, now.now_ms);
  assert_int_equal(own->done_count, 0);
  own->late_count++;
}

static void on_done(void *context, enum store_outcome outcome, const struct record *record, int64_t now_ms);

static const struct store_calls calls = {on_value, on_refused, on_late, on_done};

static int get_named(struct reader *own, const char *name) {
  const struct store_question question = {
      .kind = made.kind, .name = name, .length = strlen(name), .wants_lease = true};
  return tested.ask(own, &question);
}

static void on_done(void *context, enum store_outcome outcome, const struct record *record, int64_t now_ms) {
  struct reader *own = context;
  assert_int_equal(now_ms, now.now_ms);
  assert_int_equal(record != NULL, outcome == STORE_FOUND);
  own->done_count++;
  own->outcome = outcome;
  own->read = NULL;
  if (record)
    found = *record;
  if (own->cancels)
    tested.cancel(own->cancels);
  if (own->asks_again)
    assert_int_equal(get_named(own + 1, "shop.example"), 0);
}

/* What every test begins with, before its options. */
static void init_readers(void) {
  fake_fleet_init();
  memset(&stats, 0, sizeof(stats));
  memset(readers, 0, sizeof(readers));
  name_hash_init();
  now = record_sample_time;
  record_sample_provider(&made);
}

/* The same with leases. */
static int open_leased(void **state) {
  tested.open(state);
  tested.destroy();
  tested.set_lease_wait(LEASE_MS);
  tested.create();
  return 0;
}

static int close_it(void **state) {
  (void)state;
  tested.destroy();
  assert_int_equal(fake_fleet.open_count, 0);
  return 0;
}

static void pass(int64_t ms) {
  now.now_ms += ms;
  now.wall_ms += ms;
}

/* Time passes and the loop turns, as it does when something is due. */
static void run_until(int64_t end_ms) {
  for (;;) {
    tested.run();
    int64_t due_ms = tested.next_ms();
    assert_true(due_ms > now.now_ms);
    if (due_ms > end_ms)
      break;
    pass(due_ms - now.now_ms);
  }
  pass(end_ms - now.now_ms);
}

static void run_for(int64_t ms) { run_until(now.now_ms + ms); }

static void get(struct reader *own) { assert_int_equal(get_named(own, made.name), 0); }

static void answer_record(size_t at) {
  uint8_t bytes[RECORD_MAX];
  size_t length = record_pack(bytes, &made, fake_fleet.calls[at].key, tested.seal(), &now);
  assert_in_range(length, 1, RECORD_MAX);
  fake_answer_octets(at, REDIS_REPLY_STRING, bytes, length, now.now_ms);
}

static void assert_text(size_t at, const char *text) {
  assert_true(at < fake_fleet.count);
  assert_string_equal(fake_fleet.calls[at].text, text);
}

static void assert_ended(const struct reader *own, enum store_outcome outcome) {
  assert_int_equal(own->done_count, 1);
  assert_int_equal(own->outcome, outcome);
}

#endif
