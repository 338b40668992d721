#include "cmocka_compat.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "malloc_watch.h"
#include "store/backlog.h"

enum { MANY = 1000, LARGE = 1 << 20 };

static size_t dropped;

static bool put(struct backlog *backlog, const char *key, const char *value) {
  const struct backlog_entry entry = {key, strlen(key), (const uint8_t *)value, strlen(value), 7000, 0};
  return backlog_put(backlog, &entry, &dropped);
}

static bool is_entry(const struct backlog_entry *entry, const char *key, const char *value) {
  return entry->key_length == strlen(key) && memcmp(entry->key, key, entry->key_length) == 0 &&
         entry->value_length == strlen(value) &&
         (entry->value_length == 0 || memcmp(entry->value, value, entry->value_length) == 0);
}

static void assert_taken(struct backlog *backlog, const char *key, const char *value) {
  struct backlog_entry first, entry;
  assert_true(backlog_first(backlog, &first));
  assert_true(is_entry(&first, key, value));
  assert_true(backlog_take(backlog, &entry));
  if (!is_entry(&entry, key, value))
    fail_msg("expected %s, took %.*s", key, (int)entry.key_length, entry.key);
}

/* What an entry with a key and a value of these lengths takes. */
static size_t bytes_of_one(size_t key_length, size_t value_length) {
  static char text[LARGE];
  struct backlog *backlog = backlog_create(1, 2 * LARGE);
  const struct backlog_entry entry = {text, key_length, (const uint8_t *)text, value_length, 0, 0};
  assert_true(backlog_put(backlog, &entry, NULL));
  size_t bytes = backlog_bytes(backlog);
  backlog_destroy(backlog);
  return bytes;
}

/* ---- order ---- */

static void writes_are_taken_oldest_first(void **state) {
  (void)state;
  struct backlog *backlog = backlog_create(10, LARGE);
  struct backlog_entry entry;
  assert_false(backlog_first(backlog, &entry));
  assert_false(backlog_take(backlog, &entry));
  assert_true(put(backlog, "a", "1"));
  assert_true(put(backlog, "b", ""));
  assert_true(put(backlog, "c", "333"));
  assert_int_equal(backlog_count(backlog), 3);
  assert_taken(backlog, "a", "1");
  assert_taken(backlog, "b", "");
  assert_int_equal(backlog_count(backlog), 1);
  assert_true(backlog_take(backlog, &entry));
  assert_int_equal(entry.until_wall_ms, 7000);
  assert_false(backlog_take(backlog, &entry));
  assert_int_equal(backlog_bytes(backlog), 0);
  backlog_destroy(backlog);
}

static void a_later_write_of_a_key_has_the_turn_of_the_earlier(void **state) {
  (void)state;
  static const char *const keys[] = {"a", "b", "c"};
  for (size_t again = 0; again < 3; again++) {
    struct backlog *backlog = backlog_create(3, LARGE);
    for (size_t i = 0; i < 3; i++)
      assert_true(put(backlog, keys[i], "old"));
    assert_true(put(backlog, keys[again], "newer"));
    assert_int_equal(dropped, 0);
    assert_int_equal(backlog_count(backlog), 3);
    for (size_t i = 0; i < 3; i++)
      assert_taken(backlog, keys[i], i == again ? "newer" : "old");
    backlog_destroy(backlog);
  }
}

static void what_was_taken_is_put_anew_as_the_newest(void **state) {
  (void)state;
  struct backlog *backlog = backlog_create(3, LARGE);
  struct backlog_entry entry;
  put(backlog, "a", "1");
  put(backlog, "b", "2");
  assert_true(backlog_take(backlog, &entry));
  assert_true(backlog_put(backlog, &entry, NULL)); /* from what is lent */
  assert_true(backlog_first(backlog, &entry));
  assert_true(backlog_put(backlog, &entry, NULL));
  assert_taken(backlog, "b", "2");
  assert_taken(backlog, "a", "1");
  backlog_destroy(backlog);
}

static void a_key_waits_until_it_is_taken(void **state) {
  (void)state;
  struct backlog *backlog = backlog_create(3, LARGE);
  put(backlog, "a", "value");
  put(backlog, "b", "value");
  assert_true(backlog_has(backlog, "a", 1));
  assert_false(backlog_has(backlog, "c", 1));
  assert_taken(backlog, "a", "value");
  assert_false(backlog_has(backlog, "a", 1));
  assert_true(backlog_has(backlog, "b", 1));
  backlog_destroy(backlog);
}

/* ---- bounds ---- */

static void over_its_count_the_oldest_are_dropped(void **state) {
  (void)state;
  struct backlog *backlog = backlog_create(2, LARGE);
  put(backlog, "a", "1");
  put(backlog, "b", "2");
  assert_int_equal(dropped, 0);
  assert_true(put(backlog, "c", "3"));
  assert_int_equal(dropped, 1);
  assert_taken(backlog, "b", "2");
  assert_taken(backlog, "c", "3");
  backlog_destroy(backlog);
}

static void over_its_octets_the_oldest_are_dropped(void **state) {
  (void)state;
  size_t one = bytes_of_one(1, 10);
  struct backlog *backlog = backlog_create(100, 3 * one);
  put(backlog, "a", "0123456789");
  put(backlog, "b", "0123456789");
  put(backlog, "c", "0123456789");
  assert_int_equal(dropped, 0);
  assert_int_equal(backlog_bytes(backlog), 3 * one);
  assert_true(put(backlog, "d", "0123456789+"));
  assert_int_equal(dropped, 2);
  assert_taken(backlog, "c", "0123456789");
  assert_taken(backlog, "d", "0123456789+");
  backlog_destroy(backlog);
}

/* The oldest is written again and grows: others go, though they are younger. */
static void what_is_put_is_not_dropped_itself(void **state) {
  (void)state;
  size_t one = bytes_of_one(1, 10);
  struct backlog *backlog = backlog_create(100, 3 * one);
  put(backlog, "a", "0123456789");
  put(backlog, "b", "0123456789");
  put(backlog, "c", "0123456789");
  assert_true(put(backlog, "a", "0123456789+"));
  assert_int_equal(dropped, 1);
  assert_taken(backlog, "a", "0123456789+");
  assert_taken(backlog, "c", "0123456789");
  backlog_destroy(backlog);
}

static void a_write_that_is_over_a_bound_alone_is_refused_and_nothing_is_dropped(void **state) {
  (void)state;
  static char text[LARGE];
  size_t one = bytes_of_one(1, 1);
  struct backlog *backlog = backlog_create(10, one);
  struct backlog_entry entry = {text, 1, (const uint8_t *)text, 2, 0, 0};
  put(backlog, "a", "1");
  dropped = 7;
  assert_false(backlog_put(backlog, &entry, &dropped));
  assert_int_equal(dropped, 0);
  entry.value_length = SIZE_MAX; /* nor is it read */
  assert_false(backlog_put(backlog, &entry, &dropped));
  entry.value_length = 1;
  entry.key_length = SIZE_MAX;
  assert_false(backlog_put(backlog, &entry, &dropped));
  assert_taken(backlog, "a", "1");
  backlog_destroy(backlog);
  backlog = backlog_create(0, LARGE);
  assert_false(put(backlog, "a", "1"));
  backlog_destroy(backlog);
}

static void without_memory_a_write_is_refused_and_nothing_changes(void **state) {
  (void)state;
  struct backlog_entry entry;
  if (!malloc_is_watched())
    skip();
  struct backlog *backlog = backlog_create(2, LARGE);
  put(backlog, "a", "1");
  put(backlog, "b", "2");
  assert_true(backlog_take(backlog, &entry));
  malloc_allow(0);
  bool is_put = put(backlog, "b", "3") || put(backlog, "c", "4");
  struct backlog *other = backlog_create(2, LARGE);
  malloc_allow(1);
  struct backlog *half = backlog_create(2, LARGE);
  malloc_allow(LONG_MAX);
  assert_false(is_put);
  assert_null(other);
  assert_null(half);
  assert_true(is_entry(&entry, "a", "1")); /* still lent */
  assert_taken(backlog, "b", "2");
  backlog_destroy(backlog);
}

static void all_memory_is_given_back(void **state) {
  (void)state;
  struct backlog_entry entry;
  if (!malloc_is_watched())
    skip();
  long before = atomic_load(&malloc_blocks);
  struct backlog *backlog = backlog_create(MANY / 2, LARGE);
  for (int i = 0; i < MANY; i++) {
    char key[16];
    snprintf(key, sizeof(key), "%d", i % 700);
    put(backlog, key, "value");
  }
  assert_true(backlog_take(backlog, &entry));
  assert_in_range(atomic_load(&malloc_blocks) - before, MANY / 2, MANY / 2 + 4);
  backlog_destroy(backlog);
  backlog_destroy(NULL);
  assert_int_equal(atomic_load(&malloc_blocks), before);
}

/* What it says it takes is what it takes: an outage must not make the daemon grow without bound. */
static void its_octets_are_those_of_the_heap(void **state) {
  (void)state;
  static char value[4096];
  if (!malloc_is_watched())
    skip();
  for (size_t length = 0; length < sizeof(value); length += 511) {
    struct mallinfo2 before = mallinfo2();
    struct backlog *backlog = backlog_create(SIZE_MAX, 2 * LARGE);
    for (unsigned i = 0; dropped == 0 || i == 0; i++) {
      char key[40];
      int key_length = snprintf(key, sizeof(key), "mxway:1:d:domain-%u.example", i);
      const struct backlog_entry entry = {key, (size_t)key_length, (const uint8_t *)value, length, 0, 0};
      assert_true(backlog_put(backlog, &entry, &dropped));
    }
    size_t taken = mallinfo2().uordblks - before.uordblks;
    assert_in_range(taken, LARGE, 2 * LARGE + LARGE / 8);
    backlog_destroy(backlog);
    dropped = 0;
  }
}

/* ---- against a model ---- */

enum { KEYS = 24, MODEL_MAX = 64, STEPS = 200000 };

struct waiting {
  unsigned key, value_length;
  uint8_t value_octet;
  int64_t until_wall_ms;
  unsigned tries;
};

/* The same, by hand: a list, oldest first. */
struct model {
  struct waiting list[MODEL_MAX];
  size_t count, max_count, max_bytes, bytes_of_nothing;
};

static size_t key_text(unsigned key, char text[32]) {
  return (size_t)snprintf(text, 32, "mxway:1:d:%u.test", key);
}

static size_t model_bytes_of(const struct model *model, const struct waiting *waiting) {
  char text[32];
  return model->bytes_of_nothing + key_text(waiting->key, text) + waiting->value_length;
}

static size_t model_bytes(const struct model *model) {
  size_t bytes = 0;
  for (size_t i = 0; i < model->count; i++)
    bytes += model_bytes_of(model, &model->list[i]);
  return bytes;
}

static void model_drop(struct model *model, size_t at) {
  model->count--;
  memmove(&model->list[at], &model->list[at + 1], (model->count - at) * sizeof(model->list[0]));
}

static size_t model_find(const struct model *model, unsigned key) {
  size_t at = 0;
  while (at < model->count && model->list[at].key != key)
    at++;
  return at;
}

static bool model_put(struct model *model, struct waiting waiting, size_t *count) {
  *count = 0;
  if (model->max_count == 0 || model_bytes_of(model, &waiting) > model->max_bytes)
    return false;
  size_t at = model_find(model, waiting.key);
  model->list[at] = waiting;
  model->count += at == model->count;
  while (model->count > model->max_count || model_bytes(model) > model->max_bytes) {
    size_t oldest = model->list[0].key == waiting.key ? 1 : 0;
    model_drop(model, oldest);
    ++*count;
  }
  return true;
}

static void assert_is(const struct backlog_entry *entry, const struct waiting *waiting) {
  char text[32];
  assert_int_equal(entry->key_length, key_text(waiting->key, text));
  assert_memory_equal(entry->key, text, entry->key_length);
  assert_int_equal(entry->value_length, waiting->value_length);
  for (size_t i = 0; i < entry->value_length; i++)
    assert_int_equal(entry->value[i], waiting->value_octet);
  assert_true(entry->until_wall_ms == waiting->until_wall_ms);
  assert_int_equal(entry->tries, waiting->tries);
}

static void step_put(struct backlog *backlog, struct model *model, struct random *random) {
  char text[32];
  uint8_t value[512];
  size_t expected;
  struct waiting waiting = {.key = random_below(random, KEYS),
                            .value_length = random_below(random, sizeof(value)),
                            .value_octet = (uint8_t)random_next(random),
                            .until_wall_ms = (int64_t)random_next(random),
                            .tries = random_below(random, 100)};
  memset(value, waiting.value_octet, sizeof(value));
  const struct backlog_entry entry = {
      text, key_text(waiting.key, text), value, waiting.value_length, waiting.until_wall_ms, waiting.tries};
  bool is_expected = model_put(model, waiting, &expected);
  assert_int_equal(backlog_put(backlog, &entry, &dropped), is_expected);
  assert_int_equal(dropped, expected);
}

static void step_take(struct backlog *backlog, struct model *model) {
  struct backlog_entry first, entry;
  assert_int_equal(backlog_first(backlog, &first), model->count > 0);
  assert_int_equal(backlog_take(backlog, &entry), model->count > 0);
  if (model->count == 0)
    return;
  assert_is(&first, &model->list[0]);
  assert_is(&entry, &model->list[0]);
  model_drop(model, 0);
}

static void step_look(const struct backlog *backlog, const struct model *model, struct random *random) {
  char text[32];
  unsigned key = random_below(random, KEYS);
  size_t length = key_text(key, text);
  assert_int_equal(backlog_has(backlog, text, length), model_find(model, key) < model->count);
}

static void it_does_as_the_model_does(void **state) {
  (void)state;
  struct random random = {7};
  for (unsigned round = 0; round < 40; round++) {
    struct model model = {.max_count = random_below(&random, KEYS + 4),
                          .max_bytes = random_below(&random, 8000),
                          .bytes_of_nothing = bytes_of_one(0, 0)};
    struct backlog *backlog = backlog_create(model.max_count, model.max_bytes);
    unsigned puts = 30 + random_below(&random, 65); /* of a hundred steps: it is often empty, or full */
    for (unsigned i = 0; i < STEPS / 40; i++) {
      unsigned draw = random_below(&random, 100);
      if (draw < puts)
        step_put(backlog, &model, &random);
      else if (draw % 4)
        step_take(backlog, &model);
      else
        step_look(backlog, &model, &random);
      assert_int_equal(backlog_count(backlog), model.count);
      assert_int_equal(backlog_bytes(backlog), model_bytes(&model));
      assert_true(model.count <= model.max_count && backlog_bytes(backlog) <= model.max_bytes);
    }
    backlog_destroy(backlog);
  }
}

static void many_writes_are_found_again(void **state) {
  (void)state;
  struct backlog *backlog = backlog_create(100000, 100 << 20);
  char key[16];
  for (unsigned i = 0; i < 100000; i++) {
    snprintf(key, sizeof(key), "%u", i);
    assert_true(put(backlog, key, key));
  }
  for (unsigned i = 0; i < 100000; i += 2) {
    int length = snprintf(key, sizeof(key), "%u", i);
    assert_true(backlog_has(backlog, key, (size_t)length));
  }
  for (unsigned i = 0; i < 100000; i++) {
    snprintf(key, sizeof(key), "%u", i);
    assert_taken(backlog, key, key);
  }
  backlog_destroy(backlog);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(writes_are_taken_oldest_first),
      cmocka_unit_test(a_later_write_of_a_key_has_the_turn_of_the_earlier),
      cmocka_unit_test(what_was_taken_is_put_anew_as_the_newest),
      cmocka_unit_test(a_key_waits_until_it_is_taken),
      cmocka_unit_test(over_its_count_the_oldest_are_dropped),
      cmocka_unit_test(over_its_octets_the_oldest_are_dropped),
      cmocka_unit_test(what_is_put_is_not_dropped_itself),
      cmocka_unit_test(a_write_that_is_over_a_bound_alone_is_refused_and_nothing_is_dropped),
      cmocka_unit_test(without_memory_a_write_is_refused_and_nothing_changes),
      cmocka_unit_test(all_memory_is_given_back),
      cmocka_unit_test(its_octets_are_those_of_the_heap),
      cmocka_unit_test(it_does_as_the_model_does),
      cmocka_unit_test(many_writes_are_found_again),
  };
  return cmocka_run_group_tests_name("backlog", tests, NULL, NULL);
}
