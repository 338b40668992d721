#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/image.h"
#include "cache/snapshot.h"
#include "loop_until.h"
#include "made_memory.h"

enum { CACHE_BYTES = 16 << 20, LIFE_MS = 3600000 };

static const struct ttl_policy lives = {.max_s = 86400, .max_negative_s = 86400};
static struct stats stats;

struct trial {
  struct ev_loop *loop;
  struct cache *cache;
  struct snapshot *snapshot;
  char folder[32];
  char path[64], new_path[64];
};

static int open_trial(void **state) {
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  snprintf(trial->folder, sizeof(trial->folder), "/tmp/mxway-test-XXXXXX");
  assert_non_null(mkdtemp(trial->folder));
  snprintf(trial->path, sizeof(trial->path), "%s/memory", trial->folder);
  snprintf(trial->new_path, sizeof(trial->new_path), "%s/memory.new", trial->folder);
  trial->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  trial->cache = cache_create(CACHE_BYTES, 0, &stats);
  assert_non_null(trial->cache);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  snapshot_destroy(trial->snapshot);
  cache_destroy(trial->cache);
  ev_loop_destroy(trial->loop);
  unlink(trial->path);
  unlink(trial->new_path);
  rmdir(trial->folder);
  free(trial);
  return 0;
}

static void start(struct trial *trial, uint32_t interval_s) {
  trial->snapshot = snapshot_create(trial->loop, trial->cache, trial->path, interval_s);
  assert_non_null(trial->snapshot);
}

static void put(struct cache *cache, const char *name) {
  struct domain_value value = {
      .kind = DOMAIN_NULL_MX, .stored_at_ms = clock_now_ms(), .expires_at_ms = clock_now_ms() + LIFE_MS};
  memory_put(cache, name, &value);
}

static void put_many(struct cache *cache, int count) {
  char name[32];
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof(name), "d%d.test", i);
    put(cache, name);
  }
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* How many domains another daemon learns from the file. */
static size_t count_in_file(const struct trial *trial) {
  struct cache *other = cache_create(CACHE_BYTES, 0, &stats);
  assert_non_null(other);
  snapshot_read(trial->path, other, &lives, 60000);
  size_t count = cache_count(other);
  cache_destroy(other);
  return count;
}

static int64_t soon(void) { return clock_now_ms() + 60000; }

static void what_is_written_at_the_end_is_read_at_the_start(void **state) {
  struct trial *trial = *state;
  struct stat status;
  put_many(trial->cache, 50000);
  start(trial, 0);
  snapshot_finish(trial->snapshot, soon());
  assert_int_equal(count_in_file(trial), 50000);
  assert_int_equal(stat(trial->path, &status), 0);
  assert_int_equal(status.st_mode & 0777, 0600);
  assert_false(exists(trial->new_path));
}

static uint64_t next_generation(void *context) { return ++*(uint64_t *)context; }

static uint64_t generation_of_file(const struct trial *trial) {
  struct cache *other = cache_create(CACHE_BYTES, 0, &stats);
  assert_non_null(other);
  uint64_t generation = snapshot_read(trial->path, other, &lives, 60000);
  cache_destroy(other);
  return generation;
}

static void a_file_has_the_generation_that_memory_had_when_it_was_begun(void **state) {
  struct trial *trial = *state;
  uint64_t generation = UINT64_C(1790000000000) << 20;
  assert_int_equal(generation_of_file(trial), 0);
  start(trial, 1);
  snapshot_set_generation(trial->snapshot, next_generation, &generation);
  LOOP_UNTIL(trial->loop, exists(trial->path));
  assert_int_equal(generation_of_file(trial), generation);
  snapshot_finish(trial->snapshot, soon());
  assert_int_equal(generation_of_file(trial), generation);
}

static void the_file_is_written_by_the_loop_every_interval(void **state) {
  struct trial *trial = *state;
  put_many(trial->cache, 20000);
  start(trial, 1);
  LOOP_UNTIL(trial->loop, exists(trial->path));
  assert_int_equal(count_in_file(trial), 20000);
  put(trial->cache, "late.test");
  unlink(trial->path);
  LOOP_UNTIL(trial->loop, exists(trial->path));
  assert_int_equal(count_in_file(trial), 20001);
}

static void without_an_interval_the_loop_writes_nothing(void **state) {
  struct trial *trial = *state;
  start(trial, 0);
  loop_for(trial->loop, 50);
  assert_false(exists(trial->path));
  assert_false(exists(trial->new_path));
}

static void memory_may_change_while_the_file_is_written(void **state) {
  struct trial *trial = *state;
  put_many(trial->cache, 20000);
  start(trial, 1);
  LOOP_UNTIL(trial->loop, exists(trial->new_path) || exists(trial->path));
  for (int i = 0; i < 20000; i++) {
    char name[32];
    snprintf(name, sizeof(name), "d%d.test", i);
    cache_remove(trial->cache, name, strlen(name), name_hash(name, strlen(name)));
  }
  LOOP_UNTIL(trial->loop, exists(trial->path));
  assert_in_range(count_in_file(trial), 0, 20000);
}

/* A pipe in the place of the new file, which nobody reads: the disk is as slow as can be. */
static void make_slow(const struct trial *trial) { assert_int_equal(mkfifo(trial->new_path, 0600), 0); }

static void a_slow_disk_holds_up_nothing_and_no_second_file_is_begun(void **state) {
  struct trial *trial = *state;
  put_many(trial->cache, 20000);
  make_slow(trial);
  start(trial, 1);
  loop_for(trial->loop, 2500); /* which never ends where a turn waits for the disk */
  assert_false(exists(trial->path));
  /* Somebody does: all that was written comes, and the writer finds that a pipe cannot be synced. */
  FILE *reader = fopen(trial->new_path, "r");
  assert_non_null(reader);
  char bytes[4096];
  LOOP_UNTIL(trial->loop, fread(bytes, 1, sizeof(bytes), reader) == 0);
  fclose(reader);
  /* It is not put in the place of the file; the next one, which may be due at once, is. */
  struct stat status;
  LOOP_UNTIL(trial->loop, exists(trial->path));
  assert_int_equal(stat(trial->path, &status), 0);
  assert_true(S_ISREG(status.st_mode));
}

static void a_file_that_cannot_be_written_leaves_the_old_one(void **state) {
  struct trial *trial = *state;
  put_many(trial->cache, 10);
  start(trial, 0);
  snapshot_finish(trial->snapshot, soon());
  assert_int_equal(mkdir(trial->new_path, 0700), 0); /* in the way */
  put_many(trial->cache, 20);
  snapshot_finish(trial->snapshot, soon());
  assert_int_equal(count_in_file(trial), 10);
  rmdir(trial->new_path);
}

static void where_there_is_no_time_the_old_file_stays(void **state) {
  struct trial *trial = *state;
  put_many(trial->cache, 10);
  start(trial, 0);
  snapshot_finish(trial->snapshot, soon());
  put_many(trial->cache, 20);
  snapshot_finish(trial->snapshot, clock_now_ms() - 1);
  assert_int_equal(count_in_file(trial), 10);
  assert_false(exists(trial->new_path));
}

static void a_file_left_half_written_by_another_process_is_replaced(void **state) {
  struct trial *trial = *state;
  FILE *file = fopen(trial->new_path, "w");
  assert_non_null(file);
  for (int i = 0; i < 100000; i++)
    fputc('x', file);
  fclose(file);
  put_many(trial->cache, 10);
  start(trial, 0);
  snapshot_finish(trial->snapshot, soon());
  assert_int_equal(count_in_file(trial), 10);
}

static void destroying_in_the_middle_leaves_no_half_file(void **state) {
  struct trial *trial = *state;
  put_many(trial->cache, 100000);
  start(trial, 1);
  LOOP_UNTIL(trial->loop, exists(trial->new_path) || exists(trial->path));
  snapshot_destroy(trial->snapshot);
  trial->snapshot = NULL;
  assert_false(exists(trial->new_path));
  if (exists(trial->path))
    assert_int_equal(count_in_file(trial), 100000);
}

static void a_file_that_is_not_there_is_no_news(void **state) { assert_int_equal(count_in_file(*state), 0); }

static void garbage_and_a_cut_file_give_what_came_before(void **state) {
  struct trial *trial = *state;
  FILE *file = fopen(trial->path, "w");
  fputs("this is no snapshot at all, though it is longer than a header", file);
  fclose(file);
  assert_int_equal(count_in_file(trial), 0);
  put_many(trial->cache, 5000);
  start(trial, 0);
  snapshot_finish(trial->snapshot, soon());
  assert_int_equal(truncate(trial->path, 100000), 0);
  assert_in_range(count_in_file(trial), 1000, 4999);
}

static void reading_ends_when_its_time_is_up(void **state) {
  struct trial *trial = *state;
  put_many(trial->cache, 50000);
  start(trial, 0);
  snapshot_finish(trial->snapshot, soon());
  struct cache *other = cache_create(CACHE_BYTES, 0, &stats);
  snapshot_read(trial->path, other, &lives, 0);
  assert_int_equal(cache_count(other), 0);
  cache_destroy(other);
}

int main(void) {
  name_hash_init();
  log_set_level(LOG_LEVEL_ERROR);
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(what_is_written_at_the_end_is_read_at_the_start),
      TRIAL(a_file_has_the_generation_that_memory_had_when_it_was_begun),
      TRIAL(the_file_is_written_by_the_loop_every_interval),
      TRIAL(without_an_interval_the_loop_writes_nothing),
      TRIAL(memory_may_change_while_the_file_is_written),
      TRIAL(a_slow_disk_holds_up_nothing_and_no_second_file_is_begun),
      TRIAL(a_file_that_cannot_be_written_leaves_the_old_one),
      TRIAL(where_there_is_no_time_the_old_file_stays),
      TRIAL(a_file_left_half_written_by_another_process_is_replaced),
      TRIAL(destroying_in_the_middle_leaves_no_half_file),
      TRIAL(a_file_that_is_not_there_is_no_news),
      TRIAL(garbage_and_a_cut_file_give_what_came_before),
      TRIAL(reading_ends_when_its_time_is_up),
  };
  return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
