#include "cmocka_compat.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "record_samples.h"
#include "store/appraise.h"

static const char key[] = "mxway:1:d:shop.example";

static struct record made, record;
static uint8_t bytes[RECORD_MAX];
static enum stats_counter counter;
static struct appraise_expected expected;
static struct image_time now;

static int open_it(void **state) {
  (void)state;
  expected = (struct appraise_expected){.kind = RECORD_DOMAIN, .name = "shop.example", .key = key};
  now = record_sample_time;
  counter = STATS_COUNT;
  record_sample_provider(&made);
  return 0;
}

static enum appraisal appraise(int type, const void *octets, size_t length) {
  char *copy = malloc(length + 1);
  assert_non_null(copy);
  memcpy(copy, octets, length);
  copy[length] = '\0';
  struct redisReply reply = {.type = type, .str = copy, .len = length};
  enum appraisal appraisal = appraise_reply(&reply, &expected, &now, &record, &counter);
  free(copy);
  return appraisal;
}

static size_t pack(void) {
  size_t length = record_pack(bytes, &made, key, NULL, &record_sample_time);
  assert_in_range(length, 1, RECORD_MAX);
  return length;
}

static void assert_refused(size_t length, enum stats_counter wanted) {
  counter = STATS_COUNT;
  assert_int_equal(appraise(REDIS_REPLY_STRING, bytes, length), APPRAISED_REFUSED);
  assert_int_equal(counter, wanted);
  assert_non_null(appraise_reason(counter));
}

static void a_good_value_is_facts(void **state) {
  (void)state;
  assert_int_equal(appraise(REDIS_REPLY_STRING, bytes, pack()), APPRAISED_FACTS);
  assert_true(record_is_same(&record, &made));
}

static void no_value_is_nothing(void **state) {
  (void)state;
  struct redisReply nil = {.type = REDIS_REPLY_NIL};
  assert_int_equal(appraise_reply(&nil, &expected, &now, &record, &counter), APPRAISED_NOTHING);
}

static void each_thing_that_is_wrong_with_a_value_has_its_counter(void **state) {
  (void)state;
  size_t length = pack();
  assert_refused(0, STATS_STORE_NO_RECORD);
  bytes[4]++;
  assert_refused(length, STATS_STORE_UNKNOWN_VERSION);
  bytes[4]--;
  bytes[length - 9] ^= 1;
  assert_refused(length, STATS_STORE_CORRUPT);
  assert_string_equal(appraise_reason(counter), "the checksum of its value is wrong");
  bytes[length - 9] ^= 1;
  bytes[0] ^= 1;
  assert_refused(length, STATS_STORE_NO_RECORD);
  bytes[0] ^= 1;
  expected.name = "other.example";
  assert_refused(length, STATS_STORE_WRONG_NAME);
  expected.name = "shop.example";
  expected.kind = RECORD_HOST;
  assert_refused(length, STATS_STORE_WRONG_NAME);
  expected.kind = RECORD_DOMAIN;
  now.wall_ms -= RECORD_FUTURE_MS + 1;
  assert_refused(length, STATS_STORE_SKEWED);
  now.wall_ms = record_sample_time.wall_ms + made.stale_until_ms - RECORD_SAMPLE_NOW_MS;
  assert_refused(length, STATS_STORE_EXPIRED);
  now = record_sample_time;
  made.domain.exchanges[0].host[0] = '\0'; /* the root among others */
  assert_refused(pack(), STATS_STORE_IMPOSSIBLE);
  static uint8_t long_value[RECORD_MAX + 1];
  assert_int_equal(appraise(REDIS_REPLY_STRING, long_value, sizeof(long_value)), APPRAISED_REFUSED);
  assert_int_equal(counter, STATS_STORE_TOO_LONG);
}

static bool is_purged(void *context, const struct record *purged) {
  assert_ptr_equal(context, &made);
  return purged->generation < 42;
}

static void what_was_purged_is_refused(void **state) {
  (void)state;
  expected.is_purged = is_purged;
  expected.context = &made;
  assert_refused(pack(), STATS_STORE_PURGED);
  made.generation = 42;
  assert_int_equal(appraise(REDIS_REPLY_STRING, bytes, pack()), APPRAISED_FACTS);
  made.generation = 41;
  assert_refused(pack(), STATS_STORE_PURGED);
  bytes[0] ^= 1; /* what is no record is no purged one */
  assert_refused(sizeof(bytes), STATS_STORE_NO_RECORD);
}

static void a_key_of_another_type_is_a_value_that_is_refused(void **state) {
  (void)state;
  static const char text[] = "WRONGTYPE Operation against a key holding the wrong kind of value";
  assert_int_equal(appraise(REDIS_REPLY_ERROR, text, strlen(text)), APPRAISED_REFUSED);
  assert_int_equal(counter, STATS_STORE_NO_RECORD);
}

static void every_other_error_and_answer_is_none(void **state) {
  (void)state;
  static const char loading[] = "LOADING Redis is loading the dataset in memory";
  struct redisReply integer = {.type = REDIS_REPLY_INTEGER}, array = {.type = REDIS_REPLY_ARRAY};
  assert_int_equal(appraise(REDIS_REPLY_ERROR, loading, strlen(loading)), APPRAISED_ERROR);
  assert_int_equal(counter, STATS_STORE_ERRORS);
  assert_string_equal(appraise_reason(counter), "its server answers with an error");
  assert_int_equal(appraise(REDIS_REPLY_STATUS, "OK", 2), APPRAISED_ERROR);
  assert_int_equal(appraise_reply(&integer, &expected, &now, &record, &counter), APPRAISED_ERROR);
  assert_int_equal(appraise_reply(&array, &expected, &now, &record, &counter), APPRAISED_ERROR);
}

#define TEST(name) cmocka_unit_test_setup(name, open_it)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_good_value_is_facts),
      TEST(no_value_is_nothing),
      TEST(each_thing_that_is_wrong_with_a_value_has_its_counter),
      TEST(what_was_purged_is_refused),
      TEST(a_key_of_another_type_is_a_value_that_is_refused),
      TEST(every_other_error_and_answer_is_none),
  };
  return cmocka_run_group_tests_name("appraise", tests, NULL, NULL);
}
