#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/dump.h"
#include "made_memory.h"
#include "rules/verdict.h"

enum { CACHE_BYTES = 4 << 20, IMAGE_BYTES = 4 << 20, HOUR_MS = 3600000, MAX_STALE_MS = HOUR_MS };

static const struct image_time now = {5000000, 1790000000000};
static struct stats stats;

struct trial {
  struct cache *cache;
  struct dump dump;
  size_t length;
  uint8_t image[IMAGE_BYTES];
  /* What was read of it. */
  size_t domain_count, host_count;
  bool has_ended;
  struct image_record record; /* the last but the end */
};

static int open_trial(void **state) {
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->cache = cache_create(CACHE_BYTES, MAX_STALE_MS, &stats);
  assert_non_null(trial->cache);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  cache_destroy(trial->cache);
  free(trial);
  return 0;
}

static const struct domain_facts *put(struct trial *trial, const char *name, enum domain_kind kind,
                                      const char *host, int64_t left_ms) {
  struct domain_value value = {.kind = kind,
                               .cause = VERDICT_DNS_SERVFAIL,
                               .stored_at_ms = now.now_ms + left_ms - 2 * HOUR_MS,
                               .expires_at_ms = now.now_ms + left_ms};
  if (host)
    memory_add(&value, 0, host);
  return memory_put(trial->cache, name, &value);
}

static void give_address(struct trial *trial, const char *name, int64_t left_ms) {
  struct family_value values[FAMILY_COUNT] = {
      {.state = FAMILY_NODATA, .expires_at_ms = now.now_ms + left_ms, .life_ms = HOUR_MS},
      {.state = FAMILY_OK,
       .expires_at_ms = now.now_ms + left_ms,
       .life_ms = HOUR_MS,
       .count = 1,
       .addresses = {{192, 0, 2, 1}}}};
  memory_give(trial->cache, name, values, now.now_ms);
}

/* Takes the rest of the dump, in pieces of `size` octets. */
static void take_rest(struct trial *trial, size_t size, size_t most) {
  while (!dump_has_ended(&trial->dump)) {
    uint8_t *piece = malloc(size); /* so that a sanitizer sees what is written behind it */
    assert_non_null(piece);
    size_t length = dump_step(&trial->dump, piece, size, most, &now);
    assert_true(length <= size);
    memcpy(trial->image + trial->length, piece, length);
    trial->length += length;
    free(piece);
  }
}

static void read_image(struct trial *trial) {
  int64_t begun_wall_ms;
  uint64_t generation;
  size_t at = IMAGE_HEADER_BYTES, taken;
  static struct image_record record;
  assert_int_equal(image_parse_header(trial->image, &begun_wall_ms, &generation), IMAGE_GOOD);
  assert_true(begun_wall_ms == now.wall_ms);
  assert_int_equal(generation, trial->dump.generation);
  for (uint64_t number = 1; !trial->has_ended; number++, at += taken) {
    assert_int_equal(image_parse_record(trial->image + at, trial->length - at, number, &now, &record, &taken),
                     IMAGE_GOOD);
    trial->domain_count += record.kind == IMAGE_DOMAIN;
    trial->host_count += record.kind == IMAGE_HOST;
    trial->has_ended = record.kind == IMAGE_END;
    if (!trial->has_ended)
      trial->record = record;
  }
  assert_int_equal(at, trial->length);
}

static void dump_all(struct trial *trial) {
  dump_start(&trial->dump, trial->cache);
  take_rest(trial, 2 * IMAGE_RECORD_MAX, 10);
  read_image(trial);
}

static void an_empty_memory_is_a_header_and_an_end(void **state) {
  struct trial *trial = *state;
  dump_all(trial);
  assert_int_equal(trial->domain_count, 0);
}

static void domains_come_first_and_then_the_addresses_of_their_hosts(void **state) {
  struct trial *trial = *state;
  put(trial, "d.test", DOMAIN_MX, "a.test", HOUR_MS);
  put(trial, "e.test", DOMAIN_NXDOMAIN, NULL, HOUR_MS);
  give_address(trial, "a.test", HOUR_MS);
  dump_all(trial);
  assert_int_equal(trial->domain_count, 2);
  assert_int_equal(trial->host_count, 1);
  assert_int_equal(trial->record.kind, IMAGE_HOST);
  assert_string_equal(trial->record.name, "a.test");
  assert_int_equal(trial->dump.domain_count, 2);
  assert_int_equal(trial->dump.host_count, 1);
}

static void failures_and_what_has_expired_are_left_out(void **state) {
  struct trial *trial = *state;
  put(trial, "d.test", DOMAIN_FAILED, NULL, HOUR_MS);
  put(trial, "e.test", DOMAIN_NXDOMAIN, NULL, 0);
  put(trial, "f.test", DOMAIN_MX, "a.test", HOUR_MS);
  put(trial, "g.test", DOMAIN_MX, "a.test", -MAX_STALE_MS);
  give_address(trial, "a.test", -MAX_STALE_MS);
  dump_all(trial);
  assert_int_equal(trial->domain_count, 1);
  assert_int_equal(trial->host_count, 0);
}

static void what_may_be_answered_stale_is_dumped_as_it_is(void **state) {
  struct trial *trial = *state;
  put(trial, "d.test", DOMAIN_MX, "a.test", 1 - MAX_STALE_MS);
  give_address(trial, "a.test", 1 - MAX_STALE_MS);
  dump_all(trial);
  assert_int_equal(trial->domain_count, 1);
  assert_int_equal(trial->host_count, 1);
  const struct family_value *v4 = &trial->record.families[FAMILY_V4];
  assert_int_equal(v4->expires_at_ms, now.now_ms + 1 - MAX_STALE_MS);
  assert_int_equal(v4->life_ms, HOUR_MS);
}

static void nothing_is_marked_as_used(void **state) {
  struct trial *trial = *state;
  const struct domain_facts *facts = put(trial, "d.test", DOMAIN_MX, "a.test", HOUR_MS);
  dump_all(trial);
  assert_int_equal(cache_hits(facts), 0);
}

static void a_memory_of_many_is_dumped_in_pieces_of_any_size(void **state) {
  struct trial *trial = *state;
  char name[32], host[32];
  for (int i = 0; i < 5000; i++) {
    snprintf(name, sizeof(name), "d%d.test", i);
    snprintf(host, sizeof(host), "mx%d.test", i % 40);
    put(trial, name, DOMAIN_MX, host, HOUR_MS);
    give_address(trial, host, HOUR_MS);
  }
  dump_start(&trial->dump, trial->cache);
  take_rest(trial, IMAGE_RECORD_MAX + 100, 64);
  read_image(trial);
  assert_int_equal(trial->domain_count, 5000);
  assert_int_equal(trial->host_count, 40);
}

static void a_step_looks_at_no_more_than_it_may(void **state) {
  struct trial *trial = *state;
  char name[32];
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof(name), "d%d.test", i);
    put(trial, name, DOMAIN_NXDOMAIN, NULL, HOUR_MS);
  }
  dump_start(&trial->dump, trial->cache);
  trial->length = dump_step(&trial->dump, trial->image, IMAGE_BYTES, 7, &now);
  assert_int_equal(trial->dump.domain_count, 7);
  take_rest(trial, IMAGE_BYTES, 7);
  read_image(trial);
  assert_int_equal(trial->domain_count, 100);
}

static void memory_may_change_while_it_is_dumped(void **state) {
  struct trial *trial = *state;
  char name[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof(name), "d%d.test", i);
    put(trial, name, DOMAIN_MX, i % 2 ? "a.test" : "b.test", HOUR_MS);
  }
  give_address(trial, "a.test", HOUR_MS);
  give_address(trial, "b.test", HOUR_MS);
  dump_start(&trial->dump, trial->cache);
  trial->length = dump_step(&trial->dump, trial->image, IMAGE_BYTES, 500, &now);
  for (int i = 0; i < 1000; i += 2) { /* with the last of them goes b.test */
    snprintf(name, sizeof(name), "d%d.test", i);
    assert_true(cache_remove(trial->cache, name, strlen(name), name_hash(name, strlen(name))));
    snprintf(name, sizeof(name), "new%d.test", i);
    put(trial, name, DOMAIN_MX, "c.test", HOUR_MS);
  }
  take_rest(trial, IMAGE_BYTES, 10);
  read_image(trial);
  assert_in_range(trial->domain_count, 500, 1500);
  assert_int_equal(trial->host_count, 1);
}

static void a_dump_may_be_given_up_at_any_stage(void **state) {
  struct trial *trial = *state;
  put(trial, "d.test", DOMAIN_MX, "a.test", HOUR_MS);
  give_address(trial, "a.test", HOUR_MS);
  for (size_t steps = 0; steps < 6; steps++) {
    dump_start(&trial->dump, trial->cache);
    for (size_t i = 0; i < steps; i++)
      dump_step(&trial->dump, trial->image, IMAGE_BYTES, 1, &now);
    dump_stop(&trial->dump);
    dump_stop(&trial->dump); /* once more is fine */
  }
  put(trial, "e.test", DOMAIN_MX, "b.test", HOUR_MS); /* no walk stands where it should not */
  assert_true(cache_remove(trial->cache, "d.test", 6, name_hash("d.test", 6)));
}

int main(void) {
  name_hash_init();
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(an_empty_memory_is_a_header_and_an_end),
      TRIAL(domains_come_first_and_then_the_addresses_of_their_hosts),
      TRIAL(failures_and_what_has_expired_are_left_out),
      TRIAL(what_may_be_answered_stale_is_dumped_as_it_is),
      TRIAL(nothing_is_marked_as_used),
      TRIAL(a_memory_of_many_is_dumped_in_pieces_of_any_size),
      TRIAL(a_step_looks_at_no_more_than_it_may),
      TRIAL(memory_may_change_while_it_is_dumped),
      TRIAL(a_dump_may_be_given_up_at_any_stage),
  };
  return cmocka_run_group_tests_name("dump", tests, NULL, NULL);
}
