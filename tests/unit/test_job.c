#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/image.h"
#include "control/job.h"
#include "control_requests.h"
#include "fake_dns.h"
#include "fake_fleet.h"
#include "made_memory.h"
#include "played_list.h"
#include "rules/name.h"

enum { CACHE_BYTES = 32 << 20, LIFE_MS = 3600000, UPTIME_MS = 5000, STEPS_MAX = 100000 };

static struct stats stats;
static const struct ttl_policy lives = {.max_s = 86400, .max_negative_s = 86400};

struct trial {
  struct dns *dns;
  struct cache *cache;
  struct resolver *resolver;
  struct job_served served;
  struct job job;
  struct job_result result;
  size_t steps; /* that the last job took */
};

static void on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  (void)context, (void)question, (void)answer, (void)now_ms;
}

static int open_trial(void **state) {
  static const struct resolver_options options = {
      .learn = {.ttl = {.max_s = 86400}}, .lookup_deadline_ms = 60000, .max_cname_hops = 8};
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->dns = fake_dns_create();
  trial->cache = cache_create(CACHE_BYTES, 0, &stats);
  assert_non_null(trial->cache);
  trial->resolver = resolver_create(trial->cache, NULL, trial->dns, &options, &stats, on_answer, trial);
  assert_non_null(trial->resolver);
  trial->served = (struct job_served){.cache = trial->cache,
                                      .resolver = trial->resolver,
                                      .ttl = &lives,
                                      .cache_size_bytes = CACHE_BYTES,
                                      .since_ms = clock_now_ms() - UPTIME_MS};
  job_init(&trial->job, &trial->served);
  *state = trial;
  return 0;
}

static int close_trial(void **state) {
  struct trial *trial = *state;
  job_fini(&trial->job);
  resolver_destroy(trial->resolver);
  cache_destroy(trial->cache);
  dns_destroy(trial->dns);
  free(trial);
  return 0;
}

static void put_many(struct trial *trial, int count) {
  char name[32];
  struct domain_value value = {.kind = DOMAIN_MX,
                               .stored_at_ms = clock_now_ms(),
                               .expires_at_ms = clock_now_ms() + LIFE_MS,
                               .count = 1,
                               .exchanges = {{10, "a.test"}}};
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof(name), "d%d.test", i);
    memory_put(trial->cache, name, &value);
  }
}

/* ---- one request ---- */

/* Begins with a request as it comes from a socket: in a block of its own. */
static void start(struct trial *trial, Mxway__V1__ControlRequest request) {
  size_t length = mxway__v1__control_request__get_packed_size(&request);
  uint8_t *packed = malloc(length + 1);
  assert_non_null(packed);
  mxway__v1__control_request__pack(&request, packed);
  Mxway__V1__ControlRequest *unpacked = mxway__v1__control_request__unpack(NULL, length, packed);
  assert_non_null(unpacked);
  free(packed);
  job_start(&trial->job, unpacked);
  trial->steps = 0;
}

/* What comes of the request that was begun; it lasts until job_end. */
static Mxway__V1__ControlReply finish(struct trial *trial) {
  Mxway__V1__ControlReply reply = MXWAY__V1__CONTROL_REPLY__INIT;
  bool is_done;
  do
    is_done = job_step(&trial->job);
  while (++trial->steps < STEPS_MAX && !is_done);
  assert_true(is_done);
  job_fill(&trial->job, &trial->result, &reply);
  return reply;
}

static Mxway__V1__ControlReply run(struct trial *trial, Mxway__V1__ControlRequest request) {
  start(trial, request);
  return finish(trial);
}

/* Runs a request for what it does. */
static void obey(struct trial *trial, Mxway__V1__ControlRequest request) {
  assert_string_equal(run(trial, request).error, "");
  job_end(&trial->job);
}

static void check_refusal(struct trial *trial, Mxway__V1__ControlRequest request, const char *words) {
  Mxway__V1__ControlReply reply = run(trial, request);
  assert_non_null(strstr(reply.error, words));
  assert_int_equal(reply.result_case, MXWAY__V1__CONTROL_REPLY__RESULT__NOT_SET);
  job_end(&trial->job);
}

static Mxway__V1__ControlRequest purge_all(uint64_t id) {
  return purge_request(id, MXWAY__V1__PURGE_WHAT__PURGE_ALL, 0, "", "");
}

/* ---- jobs ---- */

static void a_job_is_under_way_from_its_start_to_its_end(void **state) {
  struct trial *trial = *state;
  assert_false(job_is_under_way(&trial->job));
  Mxway__V1__ControlReply reply = run(trial, stats_request(7));
  assert_int_equal(reply.id, 7);
  assert_true(job_is_under_way(&trial->job));
  job_end(&trial->job);
  assert_false(job_is_under_way(&trial->job));
}

static void stats_are_of_the_moment_and_take_one_step(void **state) {
  struct trial *trial = *state;
  put_many(trial, 3);
  Mxway__V1__ControlReply reply = run(trial, stats_request(1));
  assert_int_equal(trial->steps, 1);
  assert_int_equal(reply.result_case, MXWAY__V1__CONTROL_REPLY__RESULT_STATS);
  assert_int_equal(reply.stats->domain_count, 3);
  assert_int_equal(reply.stats->bound_bytes, CACHE_BYTES);
  assert_in_range(reply.stats->uptime_ms, UPTIME_MS, UPTIME_MS + 60000);
  assert_int_equal(reply.stats->n_counters, STATS_COUNT);
  assert_string_equal(reply.stats->counters[STATS_COUNT - 1]->name, stats_name(STATS_COUNT - 1));
}

static void stats_say_how_the_shared_store_is(void **state) {
  static const struct store_options options = {
      .prefix = "mxway:1:", .origin = "node", .timeout_ms = 30, .max_commands = 1000, .max_writes = 100};
  struct trial *trial = *state;
  Mxway__V1__ControlReply reply = run(trial, stats_request(1));
  assert_non_null(reply.stats->store);
  assert_false(reply.stats->store->is_configured);
  job_end(&trial->job);
  fake_fleet_init();
  assert_int_equal(store_create(NULL, &options, &stats, &trial->served.store), 0);
  store_remove(trial->served.store, RECORD_DOMAIN, "a.test", 6);
  reply = run(trial, stats_request(2));
  const Mxway__V1__StoreState *store = reply.stats->store;
  assert_true(store->is_configured);
  assert_true(store->is_up);
  assert_string_equal(store->text, "up, 1 of 1 servers, 84 us");
  assert_int_equal(store->server_count, 1);
  assert_int_equal(store->up_count, 1);
  assert_int_equal(store->latency_us, 84);
  assert_int_equal(store->read_count, 0);
  assert_int_equal(store->write_count, 1);
  assert_true(store->write_bytes > 0);
  job_end(&trial->job);
  fake_fleet.is_down[FLEET_READ] = true;
  reply = run(trial, stats_request(3));
  assert_false(reply.stats->store->is_up);
  store_destroy(trial->served.store);
}

static void a_step_looks_at_so_many_things_at_most(void **state) {
  struct trial *trial = *state;
  put_many(trial, 10 * JOB_STEP_COUNT);
  Mxway__V1__ControlReply reply = run(trial, dump_request(1));
  assert_int_equal(reply.dump->domain_count, 10 * JOB_STEP_COUNT);
  assert_true(trial->steps >= 10);
  job_end(&trial->job);
  reply = run(trial, purge_all(2));
  assert_int_equal(reply.purge->domain_count, 10 * JOB_STEP_COUNT);
  assert_true(trial->steps >= 10);
}

/* More names than one step looks at, and the last of them is none. */
static void no_name_is_purged_before_all_have_been_read(void **state) {
  struct trial *trial = *state;
  static char names[3 * JOB_STEP_COUNT][16];
  static ProtobufCBinaryData texts[3 * JOB_STEP_COUNT];
  const int count = 3 * JOB_STEP_COUNT;
  put_many(trial, count);
  for (int i = 0; i < count; i++) {
    snprintf(names[i], sizeof(names[i]), "d%d.test", i);
    texts[i] = text(names[i]);
  }
  Mxway__V1__ControlRequest request =
      purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_DOMAINS, (size_t)count, "", "");
  request.purge->names = texts;
  texts[count - 1] = text("a..test");
  check_refusal(trial, request, "\"a..test\"");
  assert_int_equal(cache_count(trial->cache), count);
  texts[count - 1] = text(names[count - 1]);
  Mxway__V1__ControlReply reply = run(trial, request);
  assert_int_equal(reply.purge->domain_count, count);
  assert_int_equal(cache_count(trial->cache), 0);
}

static void show_is_of_the_domain_that_is_asked_for(void **state) {
  struct trial *trial = *state;
  put_many(trial, 10);
  Mxway__V1__ControlReply reply = run(trial, show_request(1, "D7.test"));
  assert_int_equal(reply.result_case, MXWAY__V1__CONTROL_REPLY__RESULT_SHOW);
  assert_string_equal(reply.show->name, "d7.test");
  assert_int_equal(reply.show->sharing_count, 9);
}

static void what_is_refused_changes_nothing_and_the_next_job_is_as_ever(void **state) {
  struct trial *trial = *state;
  put_many(trial, 3);
  check_refusal(trial, show_request(1, "[192.0.2.1]"), "needs no DNS");
  check_refusal(trial, purge_request(2, MXWAY__V1__PURGE_WHAT__PURGE_ALL, 1, "d1.test", ""), "no names");
  check_refusal(trial, purge_request(3, MXWAY__V1__PURGE_WHAT__PURGE_SUFFIX, 0, "", ""), "one name");
  check_refusal(trial, purge_request(4, MXWAY__V1__PURGE_WHAT__PURGE_UNSPECIFIED, 0, "", ""), "newer");
  assert_int_equal(cache_count(trial->cache), 3);
  Mxway__V1__ControlReply reply = run(trial, purge_all(5));
  assert_string_equal(reply.error, "");
  assert_int_equal(reply.purge->domain_count, 3);
}

static void a_suffix_may_begin_with_a_dot(void **state) {
  struct trial *trial = *state;
  put_many(trial, 3);
  obey(trial, purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_SUFFIX, 1, ".d1.test", ""));
  assert_int_equal(cache_count(trial->cache), 2);
  check_refusal(trial, purge_request(2, MXWAY__V1__PURGE_WHAT__PURGE_SUFFIX, 1, ".", ""), "\".\"");
}

/* ---- dump and load, over several requests ---- */

/* All that is in memory; for free(). */
static uint8_t *dump_all(struct trial *trial, size_t *length) {
  uint8_t *image = NULL;
  bool is_last = false;
  *length = 0;
  while (!is_last) {
    Mxway__V1__ControlReply reply = run(trial, dump_request(1));
    assert_string_equal(reply.error, "");
    image = realloc(image, *length + reply.dump->piece.len);
    assert_non_null(image);
    memcpy(image + *length, reply.dump->piece.data, reply.dump->piece.len);
    *length += reply.dump->piece.len;
    is_last = reply.dump->last;
    job_end(&trial->job);
    obey(trial, stats_request(2)); /* what comes between does not matter */
  }
  return image;
}

static void a_dump_goes_on_with_the_next_request_and_so_does_a_load(void **state) {
  struct trial *trial = *state;
  enum { DOMAINS = 10000, PIECE = 50000 };
  size_t length;
  put_many(trial, DOMAINS);
  uint8_t *image = dump_all(trial, &length);
  assert_true(length > 2 * PIECE);
  obey(trial, purge_all(3));
  for (size_t at = 0; at < length; at += PIECE) {
    size_t piece = length - at < PIECE ? length - at : PIECE;
    bool is_last = at + piece == length;
    Mxway__V1__ControlReply reply = run(trial, load_request(4, image + at, piece, is_last));
    assert_string_equal(reply.error, "");
    assert_int_equal(reply.load->domain_count, cache_count(trial->cache));
    job_end(&trial->job);
    check_refusal(trial, show_request(5, "a..test"), "empty");
  }
  assert_int_equal(cache_count(trial->cache), DOMAINS);
  free(image);
}

static void a_refused_load_says_what_came_before_and_the_next_begins_anew(void **state) {
  struct trial *trial = *state;
  size_t length;
  put_many(trial, 10);
  uint8_t *image = dump_all(trial, &length);
  obey(trial, purge_all(1));
  image[length / 2] ^= 1;
  Mxway__V1__ControlReply reply = run(trial, load_request(2, image, length, false));
  assert_non_null(strstr(reply.error, "checksum"));
  assert_int_equal(reply.result_case, MXWAY__V1__CONTROL_REPLY__RESULT_LOAD);
  assert_in_range(reply.load->domain_count, 1, 9);
  job_end(&trial->job);
  image[length / 2] ^= 1;
  obey(trial, load_request(3, image, length, true));
  assert_int_equal(cache_count(trial->cache), 10);
  free(image);
}

static void a_load_whose_last_piece_is_not_the_end_is_refused(void **state) {
  struct trial *trial = *state;
  size_t length;
  put_many(trial, 10);
  uint8_t *image = dump_all(trial, &length);
  for (int is_last = 0; is_last < 2; is_last++) {
    Mxway__V1__ControlReply reply = run(trial, load_request(1, image, length - 5, is_last));
    assert_int_equal(strstr(reply.error, "cut off") != NULL, is_last);
    job_end(&trial->job);
    if (!is_last)
      obey(trial, load_request(2, image + length - 5, 5, true));
  }
  free(image);
}

static void a_job_may_be_left_after_every_step(void **state) {
  struct trial *trial = *state;
  put_many(trial, 5 * JOB_STEP_COUNT);
  const Mxway__V1__ControlRequest requests[] = {
      stats_request(1), show_request(2, "d1.test"), dump_request(3),
      load_request(4, (const uint8_t *)"mxwayimg", 8, false),
      purge_request(5, MXWAY__V1__PURGE_WHAT__PURGE_NEGATIVE, 0, "", "")};
  for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
    for (int steps = 0; steps < 8; steps++) {
      start(trial, requests[i]);
      for (int j = 0; j < steps && !job_step(&trial->job);)
        j++;
      job_fini(&trial->job);
      job_init(&trial->job, &trial->served);
    }
  obey(trial, purge_all(6)); /* which finds no walk that was left behind */
  assert_int_equal(cache_count(trial->cache), 0);
}

/* ---- the other nodes ---- */

/* A bulletin that tells; what it sends is answered when the test says so. */
static struct bulletin *share(struct trial *trial, bool is_read_only) {
  static const struct store_options storing = {
      .prefix = "mxway:1:", .origin = "node", .timeout_ms = 30, .max_commands = 100, .max_writes = 100};
  const struct bulletin_options options = {
      .key = "mxway:1:purges", .channel = "mxway:1:purge", .read_only = is_read_only};
  fake_fleet_init();
  list_init();
  assert_int_equal(store_create(NULL, &storing, &stats, &trial->served.store), 0);
  assert_int_equal(bulletin_create(NULL, trial->served.store, &options, &stats, &trial->served.bulletin), 0);
  return trial->served.bulletin;
}

static void end_sharing(struct trial *trial) {
  job_fini(&trial->job);
  bulletin_destroy(trial->served.bulletin);
  store_destroy(trial->served.store);
  trial->served.bulletin = NULL;
  trial->served.store = NULL;
  job_init(&trial->job, &trial->served);
}

/* Goes on until the job waits. */
static void step_until_it_waits(struct trial *trial) {
  for (size_t i = 0; !job_waits(&trial->job) && i < STEPS_MAX; i++)
    assert_false(job_step(&trial->job));
  assert_true(job_waits(&trial->job));
}

static void check_shared(struct trial *trial, Mxway__V1__PurgeShared shared, const char *why) {
  Mxway__V1__ControlReply reply = MXWAY__V1__CONTROL_REPLY__INIT;
  job_fill(&trial->job, &trial->result, &reply);
  assert_string_equal(reply.error, "");
  assert_int_equal(reply.purge->shared, shared);
  assert_string_equal(reply.purge->shared_error, why);
  job_end(&trial->job);
}

static void a_purge_waits_until_the_others_have_been_told(void **state) {
  struct trial *trial = *state;
  struct bulletin *bulletin = share(trial, false);
  put_many(trial, 50);
  start(trial, purge_all(1));
  assert_false(job_waits(&trial->job));
  step_until_it_waits(trial);
  assert_int_equal(cache_count(trial->cache), 0);
  assert_false(job_step(&trial->job));
  bulletin_run(bulletin, clock_now_ms());
  assert_false(job_step(&trial->job));
  list_answer(clock_now_ms());
  assert_true(job_step(&trial->job));
  check_shared(trial, MXWAY__V1__PURGE_SHARED__PURGE_SHARED_TOLD, "");
  assert_false(job_waits(&trial->job));
  end_sharing(trial);
}

static void domains_are_told_together_when_all_have_been_read(void **state) {
  struct trial *trial = *state;
  struct bulletin *bulletin = share(trial, false);
  struct bulletin_view view;
  check_refusal(trial, purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_DOMAINS, 2, "d.test", "a..test"),
                "\"a..test\"");
  bulletin_look(bulletin, &view);
  assert_int_equal(view.untold_count, 0);
  start(trial, purge_request(2, MXWAY__V1__PURGE_WHAT__PURGE_DOMAINS, 2, "d.test", "e.test"));
  step_until_it_waits(trial);
  bulletin_look(bulletin, &view);
  assert_int_equal(view.untold_count, 1);
  end_sharing(trial);
}

static void a_server_that_is_away_is_not_waited_for(void **state) {
  struct trial *trial = *state;
  struct bulletin *bulletin = share(trial, false);
  fake_fleet.is_down[FLEET_WRITE] = true;
  start(trial, purge_all(1));
  step_until_it_waits(trial);
  bulletin_run(bulletin, clock_now_ms());
  assert_true(job_step(&trial->job));
  check_shared(trial, MXWAY__V1__PURGE_SHARED__PURGE_SHARED_LATER, "up, 1 of 1 servers, 84 us");
  end_sharing(trial);
}

static void a_server_that_is_silent_is_waited_for_so_long_and_no_longer(void **state) {
  struct trial *trial = *state;
  struct bulletin *bulletin = share(trial, false);
  int64_t begun_ms = clock_now_ms();
  start(trial, purge_all(1));
  step_until_it_waits(trial);
  assert_in_range(trial->job.told_by_ms, begun_ms + JOB_TELL_MS, clock_now_ms() + JOB_TELL_MS);
  bulletin_run(bulletin, clock_now_ms());
  trial->job.told_by_ms = clock_now_ms();
  assert_true(job_step(&trial->job));
  check_shared(trial, MXWAY__V1__PURGE_SHARED__PURGE_SHARED_LATER, "Redis has not answered yet");
  end_sharing(trial);
}

static void who_only_reads_says_so(void **state) {
  struct trial *trial = *state;
  share(trial, true);
  assert_string_equal(run(trial, purge_all(1)).error, "");
  check_shared(trial, MXWAY__V1__PURGE_SHARED__PURGE_SHARED_READ_ONLY, "");
  end_sharing(trial);
}

static void without_a_store_it_concerns_nobody_else(void **state) {
  struct trial *trial = *state;
  assert_string_equal(run(trial, purge_all(1)).error, "");
  check_shared(trial, MXWAY__V1__PURGE_SHARED__PURGE_SHARED_OFF, "");
}

int main(void) {
  name_hash_init();
  log_set_level(LOG_LEVEL_ERROR);
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      TRIAL(a_job_is_under_way_from_its_start_to_its_end),
      TRIAL(stats_are_of_the_moment_and_take_one_step),
      TRIAL(stats_say_how_the_shared_store_is),
      TRIAL(a_step_looks_at_so_many_things_at_most),
      TRIAL(no_name_is_purged_before_all_have_been_read),
      TRIAL(show_is_of_the_domain_that_is_asked_for),
      TRIAL(what_is_refused_changes_nothing_and_the_next_job_is_as_ever),
      TRIAL(a_suffix_may_begin_with_a_dot),
      TRIAL(a_dump_goes_on_with_the_next_request_and_so_does_a_load),
      TRIAL(a_refused_load_says_what_came_before_and_the_next_begins_anew),
      TRIAL(a_load_whose_last_piece_is_not_the_end_is_refused),
      TRIAL(a_job_may_be_left_after_every_step),
      TRIAL(a_purge_waits_until_the_others_have_been_told),
      TRIAL(domains_are_told_together_when_all_have_been_read),
      TRIAL(a_server_that_is_away_is_not_waited_for),
      TRIAL(a_server_that_is_silent_is_waited_for_so_long_and_no_longer),
      TRIAL(who_only_reads_says_so),
      TRIAL(without_a_store_it_concerns_nobody_else),
  };
  return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
