#include "cmocka_compat.h"

#include <time.h>

#include "base/log.h"
#include "cache/dump.h"
#include "control/control.h"
#include "control_requests.h"
#include "fake_dns.h"
#include "loop_until.h"
#include "made_memory.h"
#include "malloc_watch.h"
#include "played_list.h"
#include "resolve/resolver.h"
#include "unix_peer.h"

/* ---- the clock of the process: each look at the microseconds uses up a slice ---- */

static int64_t slices;

int64_t clock_now_us(void) { return (slices += CONTROL_SLICE_US); }

int64_t clock_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void) { return INT64_C(1790000000000) + clock_now_ms(); }

/* ---- a control socket over a cache ---- */

enum { CACHE_BYTES = 32 << 20, LIFE_MS = 3600000, STEP_COUNT = 64 };

static struct stats stats;
static const struct ttl_policy lives = {.max_s = 86400, .max_negative_s = 86400};

struct trial {
  struct ev_loop *loop;
  struct unix_place place;
  struct dns *dns;
  struct cache *cache;
  struct resolver *resolver;
  struct control *control;
  struct unix_peer peer, other;
  struct question question;
  ev_check check;
  size_t turns; /* of the loop */
  struct store *store;
  struct bulletin *bulletin; /* NULL: nothing is shared */
};

static void on_check(struct ev_loop *loop, ev_check *check, int events) {
  (void)loop, (void)events;
  ((struct trial *)check->data)->turns++;
}

static void on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  (void)context, (void)question, (void)answer, (void)now_ms;
}

static void share(struct trial *trial) {
  static const struct store_options storing = {
      .prefix = "mxway:1:", .origin = "node", .timeout_ms = 30, .max_commands = 100, .max_writes = 100};
  static const struct bulletin_options options = {.key = "mxway:1:purges", .channel = "mxway:1:purge"};
  fake_fleet_init();
  list_init();
  assert_int_equal(store_create(NULL, &storing, &stats, &trial->store), 0);
  assert_int_equal(bulletin_create(NULL, trial->store, &options, &stats, &trial->bulletin), 0);
}

static int open_with(void **state, bool is_shared) {
  static const struct resolver_options options = {
      .learn = {.ttl = {.max_s = 86400}}, .lookup_deadline_ms = 60000, .max_cname_hops = 8};
  struct trial *trial = calloc(1, sizeof(*trial));
  assert_non_null(trial);
  trial->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  unix_place_open(&trial->place);
  trial->dns = fake_dns_create();
  trial->cache = cache_create(CACHE_BYTES, 0, &stats);
  assert_non_null(trial->cache);
  trial->resolver = resolver_create(trial->cache, NULL, trial->dns, &options, &stats, on_answer, trial);
  assert_non_null(trial->resolver);
  if (is_shared)
    share(trial);
  const struct job_served served = {.cache = trial->cache,
                                    .resolver = trial->resolver,
                                    .store = trial->store,
                                    .bulletin = trial->bulletin,
                                    .ttl = &lives,
                                    .cache_size_bytes = CACHE_BYTES,
                                    .since_ms = clock_now_ms()};
  trial->control = control_create(trial->loop, trial->place.listener, &served);
  assert_non_null(trial->control);
  unix_peer_connect(&trial->peer, &trial->place);
  unix_peer_connect(&trial->other, &trial->place);
  ev_check_init(&trial->check, on_check);
  trial->check.data = trial;
  ev_check_start(trial->loop, &trial->check);
  *state = trial;
  return 0;
}

static int open_trial(void **state) { return open_with(state, false); }

static int open_shared(void **state) { return open_with(state, true); }

static int close_trial(void **state) {
  struct trial *trial = *state;
  unix_peer_close(&trial->peer);
  unix_peer_close(&trial->other);
  control_destroy(trial->control);
  bulletin_destroy(trial->bulletin);
  store_destroy(trial->store);
  resolver_destroy(trial->resolver);
  cache_destroy(trial->cache);
  dns_destroy(trial->dns);
  ev_check_stop(trial->loop, &trial->check);
  ev_loop_destroy(trial->loop);
  unix_place_close(&trial->place);
  free(trial);
  return 0;
}

static void put(struct trial *trial, const char *name) {
  struct domain_value value = {.kind = DOMAIN_MX,
                               .stored_at_ms = clock_now_ms(),
                               .expires_at_ms = clock_now_ms() + LIFE_MS,
                               .count = 1,
                               .exchanges = {{10, "a.test"}}};
  memory_put(trial->cache, name, &value);
}

static void put_many(struct trial *trial, int count) {
  char name[32];
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof(name), "d%d.test", i);
    put(trial, name);
  }
}

static bool is_known(struct trial *trial, const char *name) {
  return cache_peek(trial->cache, name, strlen(name), name_hash(name, strlen(name))) != NULL;
}

/* ---- requests ---- */

static void send_request(struct unix_peer *peer, const Mxway__V1__ControlRequest *request) {
  static uint8_t frame[FRAME_HEADER_MAX + FRAME_REQUEST_MAX];
  size_t length = mxway__v1__control_request__get_packed_size(request);
  assert_true(length <= FRAME_REQUEST_MAX);
  size_t at = frame_build_header(frame, length);
  at += mxway__v1__control_request__pack(request, frame + at);
  unix_peer_write_all(peer, frame, at);
}

static bool has_frame(struct unix_peer *peer) {
  struct frame frame;
  unix_peer_read(peer);
  return unix_peer_has_frame(peer, &frame);
}

/* The next reply; its id is checked. For free_unpacked. */
static Mxway__V1__ControlReply *receive(struct trial *trial, struct unix_peer *peer, uint64_t id) {
  struct frame frame;
  LOOP_UNTIL(trial->loop, has_frame(peer));
  assert_true(unix_peer_has_frame(peer, &frame));
  Mxway__V1__ControlReply *reply = mxway__v1__control_reply__unpack(NULL, frame.body_length, frame.body);
  assert_non_null(reply);
  unix_peer_take_frame(peer, &frame);
  assert_int_equal(reply->id, id);
  return reply;
}

static void forget(Mxway__V1__ControlReply *reply) { mxway__v1__control_reply__free_unpacked(reply, NULL); }

static Mxway__V1__ControlReply *call(struct trial *trial, Mxway__V1__ControlRequest request) {
  send_request(&trial->peer, &request);
  return receive(trial, &trial->peer, request.id);
}

static void check_refusal(struct trial *trial, Mxway__V1__ControlRequest request, const char *words) {
  Mxway__V1__ControlReply *reply = call(trial, request);
  assert_non_null(strstr(reply->error, words));
  forget(reply);
}

/* ---- commands ---- */

static void stats_are_all_counters_and_what_memory_holds(void **state) {
  struct trial *trial = *state;
  put_many(trial, 3);
  Mxway__V1__ControlReply *reply = call(trial, stats_request(5));
  assert_string_equal(reply->error, "");
  assert_int_equal(reply->result_case, MXWAY__V1__CONTROL_REPLY__RESULT_STATS);
  assert_int_equal(reply->stats->n_counters, STATS_COUNT);
  assert_string_equal(reply->stats->counters[0]->name, stats_name(0));
  assert_string_equal(reply->stats->counters[0]->text, stats_text(0));
  assert_int_equal(reply->stats->domain_count, 3);
  assert_int_equal(reply->stats->set_count, 1);
  assert_int_equal(reply->stats->host_count, 1);
  assert_int_equal(reply->stats->bound_bytes, CACHE_BYTES);
  assert_string_equal(reply->stats->version, MXWAY_VERSION);
  forget(reply);
}

static void show_is_of_the_domain_that_is_asked_for(void **state) {
  struct trial *trial = *state;
  put_many(trial, 200);
  Mxway__V1__ControlReply *reply = call(trial, show_request(6, "D7.test"));
  assert_int_equal(reply->result_case, MXWAY__V1__CONTROL_REPLY__RESULT_SHOW);
  assert_string_equal(reply->show->name, "d7.test");
  assert_int_equal(reply->show->fact, MXWAY__V1__FACT__FACT_MX);
  assert_int_equal(reply->show->sharing_count, 199);
  forget(reply);
  check_refusal(trial, show_request(7, "a..test"), "label is empty");
  check_refusal(trial, show_request(8, "[192.0.2.1]"), "literal");
}

static void a_purge_of_domains_is_all_or_nothing(void **state) {
  struct trial *trial = *state;
  put_many(trial, 3);
  check_refusal(trial, purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_DOMAINS, 2, "d1.test", "d2..test"),
                "d2..test");
  assert_true(is_known(trial, "d1.test"));
  Mxway__V1__ControlReply *reply =
      call(trial, purge_request(2, MXWAY__V1__PURGE_WHAT__PURGE_DOMAINS, 2, "d1.test", "D2.test"));
  assert_int_equal(reply->purge->domain_count, 2);
  assert_false(is_known(trial, "d1.test"));
  assert_true(is_known(trial, "d0.test"));
  forget(reply);
}

static void a_purge_with_too_many_names_or_too_few_is_refused(void **state) {
  struct trial *trial = *state;
  put_many(trial, 3);
  check_refusal(trial, purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_ALL, 1, "d1.test", ""), "no names");
  check_refusal(trial, purge_request(2, MXWAY__V1__PURGE_WHAT__PURGE_SUFFIX, 0, "", ""), "one name");
  check_refusal(trial, purge_request(3, MXWAY__V1__PURGE_WHAT__PURGE_EXCHANGE, 2, "a.test", "b.test"),
                "one name");
  check_refusal(trial, purge_request(4, MXWAY__V1__PURGE_WHAT__PURGE_UNSPECIFIED, 0, "", ""),
                "what to purge");
  check_refusal(trial, purge_request(5, MXWAY__V1__PURGE_WHAT__PURGE_DOMAINS, 1, "[192.0.2.1]", ""),
                "an address");
  assert_int_equal(cache_count(trial->cache), 3);
}

static void a_purge_is_done_in_turns_of_the_loop(void **state) {
  struct trial *trial = *state;
  put_many(trial, 6400);
  size_t before = trial->turns;
  Mxway__V1__ControlReply *reply =
      call(trial, purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_SUFFIX, 1, ".test", ""));
  assert_int_equal(reply->purge->domain_count, 6400);
  assert_true(trial->turns - before >= 6400 / STEP_COUNT);
  forget(reply);
}

static void a_short_job_does_not_wait_for_the_end_of_a_long_one(void **state) {
  struct trial *trial = *state;
  put_many(trial, 20000);
  Mxway__V1__ControlRequest purge = purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_ALL, 0, "", "");
  Mxway__V1__ControlRequest look = stats_request(2);
  send_request(&trial->peer, &purge);
  send_request(&trial->other, &look);
  forget(receive(trial, &trial->other, 2));
  assert_false(has_frame(&trial->peer));
  assert_in_range(cache_count(trial->cache), 1, 20000);
  Mxway__V1__ControlReply *reply = receive(trial, &trial->peer, 1);
  assert_int_equal(reply->purge->domain_count, 20000);
  forget(reply);
}

static void a_connection_has_one_job_at_a_time(void **state) {
  struct trial *trial = *state;
  put_many(trial, 5000);
  Mxway__V1__ControlRequest purge = purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_ALL, 0, "", "");
  Mxway__V1__ControlRequest look = stats_request(2);
  send_request(&trial->peer, &purge);
  send_request(&trial->peer, &look);
  Mxway__V1__ControlReply *reply = receive(trial, &trial->peer, 2);
  assert_non_null(strstr(reply->error, "under way"));
  forget(reply);
  reply = receive(trial, &trial->peer, 1);
  assert_string_equal(reply->error, "");
  forget(reply);
}

static void without_memory_a_request_is_refused_in_these_words(void **state) {
  struct trial *trial = *state;
  Mxway__V1__ControlRequest request = stats_request(7);
  unsigned refused_count = 0, known_count = 0;
  if (!malloc_is_watched())
    skip();
  send_request(&trial->other, &request); /* so that the loop has what it needs */
  forget(receive(trial, &trial->other, 7));
  loop_settle(trial->loop);
  for (long allowed = 0; !trial->peer.at_end && allowed < 100; allowed++) {
    struct frame frame;
    send_request(&trial->peer, &request);
    malloc_allow(allowed);
    loop_settle(trial->loop);
    malloc_allow(LONG_MAX);
    if (!has_frame(&trial->peer))
      continue; /* there was none for the answer, which ends the connection */
    assert_true(unix_peer_has_frame(&trial->peer, &frame));
    Mxway__V1__ControlReply *reply = mxway__v1__control_reply__unpack(NULL, frame.body_length, frame.body);
    assert_non_null(reply);
    unix_peer_take_frame(&trial->peer, &frame);
    assert_string_equal(reply->error, "the daemon has no memory");
    refused_count++;
    known_count += reply->id == 7;
    forget(reply);
  }
  assert_true(trial->peer.at_end);
  assert_true(known_count > 0 && refused_count > known_count);
  Mxway__V1__ControlRequest again = stats_request(8);
  send_request(&trial->other, &again);
  forget(receive(trial, &trial->other, 8));
}

/* ---- jobs that wait ---- */

static void who_waits_keeps_neither_the_loop_busy_nor_others_waiting(void **state) {
  struct trial *trial = *state;
  Mxway__V1__ControlRequest purge = purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_ALL, 0, "", "");
  Mxway__V1__ControlRequest look = stats_request(2);
  struct bulletin_view view = {0};
  send_request(&trial->peer, &purge);
  for (; view.untold_count == 0; bulletin_look(trial->bulletin, &view))
    loop_turn(trial->loop);
  loop_settle(trial->loop);
  size_t before = trial->turns;
  int64_t begun_ms = clock_now_ms();
  loop_for(trial->loop, 20 * CONTROL_WAIT_MS);
  int64_t most = 3 * ((clock_now_ms() - begun_ms) / CONTROL_WAIT_MS + 1);
  assert_in_range(trial->turns - before, 1, most);
  send_request(&trial->other, &look);
  forget(receive(trial, &trial->other, 2));
  assert_false(has_frame(&trial->peer));
  bulletin_run(trial->bulletin, clock_now_ms());
  list_answer(clock_now_ms());
  Mxway__V1__ControlReply *reply = receive(trial, &trial->peer, 1);
  assert_int_equal(reply->purge->shared, MXWAY__V1__PURGE_SHARED__PURGE_SHARED_TOLD);
  forget(reply);
}

static void who_waits_can_leave(void **state) {
  struct trial *trial = *state;
  Mxway__V1__ControlRequest purge = purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_ALL, 0, "", "");
  Mxway__V1__ControlRequest look = stats_request(2);
  send_request(&trial->peer, &purge);
  loop_for(trial->loop, 5 * CONTROL_WAIT_MS);
  unix_peer_close(&trial->peer);
  loop_for(trial->loop, 5 * CONTROL_WAIT_MS);
  send_request(&trial->other, &look);
  forget(receive(trial, &trial->other, 2));
  bulletin_run(trial->bulletin, clock_now_ms()); /* the others are told all the same */
  list_answer(clock_now_ms());
  assert_int_equal(list.count, 1);
}

/* ---- dump and load ---- */

/* Takes a whole dump; returns its octets, for free(). */
static uint8_t *take_dump(struct trial *trial, size_t *length) {
  uint8_t *image = NULL;
  *length = 0;
  for (bool is_last = false; !is_last;) {
    Mxway__V1__ControlReply *reply = call(trial, dump_request(9));
    assert_int_equal(reply->result_case, MXWAY__V1__CONTROL_REPLY__RESULT_DUMP);
    image = realloc(image, *length + reply->dump->piece.len + 1);
    assert_non_null(image);
    memcpy(image + *length, reply->dump->piece.data, reply->dump->piece.len);
    *length += reply->dump->piece.len;
    is_last = reply->dump->last;
    forget(reply);
  }
  return image;
}

static void what_was_dumped_can_be_loaded(void **state) {
  struct trial *trial = *state;
  size_t length;
  put_many(trial, 10000);
  uint8_t *image = take_dump(trial, &length);
  forget(call(trial, purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_ALL, 0, "", "")));
  assert_int_equal(cache_count(trial->cache), 0);
  for (size_t at = 0; at < length;) {
    size_t piece = length - at < 60000 ? length - at : 60000;
    Mxway__V1__ControlReply *reply = call(trial, load_request(2, image + at, piece, at + piece == length));
    assert_string_equal(reply->error, "");
    at += piece;
    if (at == length)
      assert_int_equal(reply->load->domain_count, 10000);
    forget(reply);
  }
  assert_int_equal(cache_count(trial->cache), 10000);
  free(image);
}

static void after_its_end_a_dump_begins_anew(void **state) {
  struct trial *trial = *state;
  size_t first, second;
  put_many(trial, 10);
  free(take_dump(trial, &first));
  put(trial, "another.test");
  free(take_dump(trial, &second));
  assert_true(second > first);
}

static void a_client_that_asks_for_no_more_of_its_dump_gets_no_more(void **state) {
  struct trial *trial = *state;
  put_many(trial, 20000);
  Mxway__V1__ControlReply *reply = call(trial, dump_request(1));
  assert_false(reply->dump->last);
  assert_in_range(reply->dump->piece.len, IMAGE_RECORD_MAX, 256 * 1024);
  forget(reply);
  loop_settle(trial->loop);
  assert_false(has_frame(&trial->peer));
}

static void a_broken_piece_is_refused_with_its_record_and_the_counts(void **state) {
  struct trial *trial = *state;
  size_t length;
  put_many(trial, 10);
  uint8_t *image = take_dump(trial, &length);
  forget(call(trial, purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_ALL, 0, "", "")));
  image[length / 2] ^= 1;
  Mxway__V1__ControlReply *reply = call(trial, load_request(2, image, length, true));
  assert_non_null(strstr(reply->error, "record"));
  assert_int_equal(reply->result_case, MXWAY__V1__CONTROL_REPLY__RESULT_LOAD);
  assert_int_equal(reply->load->domain_count, cache_count(trial->cache));
  assert_in_range(cache_count(trial->cache), 1, 9);
  forget(reply);
  image[length / 2] ^= 1; /* and the next begins anew */
  reply = call(trial, load_request(3, image, length, true));
  assert_string_equal(reply->error, "");
  assert_int_equal(cache_count(trial->cache), 10);
  forget(reply);
  free(image);
}

static void a_load_that_ends_too_early_is_refused(void **state) {
  struct trial *trial = *state;
  size_t length;
  put_many(trial, 10);
  uint8_t *image = take_dump(trial, &length);
  check_refusal(trial, load_request(2, image, length - 5, true), "cut off");
  check_refusal(trial, load_request(3, image, 0, true), "cut off");
  free(image);
}

static void a_refusal_between_the_pieces_of_a_load_is_of_its_own_kind(void **state) {
  struct trial *trial = *state;
  forget(call(trial, load_request(1, (const uint8_t *)"mxwayimg", 8, false)));
  Mxway__V1__ControlReply *reply = call(trial, show_request(2, "a..test"));
  assert_int_equal(reply->result_case, MXWAY__V1__CONTROL_REPLY__RESULT__NOT_SET);
  forget(reply);
}

/* ---- what is no request ---- */

static void garbage_is_answered_and_the_connection_ends(void **state) {
  struct trial *trial = *state;
  unix_peer_write_all(&trial->peer, "\x03\xff\xff\xff", 4);
  Mxway__V1__ControlReply *reply = receive(trial, &trial->peer, 0);
  assert_non_null(strstr(reply->error, "no request"));
  forget(reply);
  LOOP_UNTIL(trial->loop, unix_peer_is_at_end(&trial->peer));
}

static void a_command_of_a_newer_protocol_is_refused_and_the_connection_stays(void **state) {
  struct trial *trial = *state;
  unix_peer_write_all(&trial->peer, "\x04\x08\x07\x7a\x00", 5); /* field 15 */
  Mxway__V1__ControlReply *reply = receive(trial, &trial->peer, 7);
  assert_non_null(strstr(reply->error, "newer"));
  forget(reply);
  forget(call(trial, stats_request(8)));
}

static void clients_may_go_in_the_middle_of_every_job(void **state) {
  struct trial *trial = *state;
  put_many(trial, 20000);
  const Mxway__V1__ControlRequest requests[] = {
      show_request(1, "d1.test"), dump_request(2), load_request(3, (const uint8_t *)"mxwayimg", 8, false),
      purge_request(4, MXWAY__V1__PURGE_WHAT__PURGE_NEGATIVE, 0, "", "")};
  for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
    for (int turns = 1; turns < 5; turns++) {
      struct unix_peer peer;
      unix_peer_connect(&peer, &trial->place);
      send_request(&peer, &requests[i]);
      for (int j = 0; j < turns; j++)
        loop_turn(trial->loop);
      unix_peer_close(&peer);
    }
  loop_settle(trial->loop);
  forget(call(trial, stats_request(8)));
}

static void destroying_in_the_middle_of_a_job_is_fine(void **state) {
  struct trial *trial = *state;
  put_many(trial, 20000);
  Mxway__V1__ControlRequest request = purge_request(1, MXWAY__V1__PURGE_WHAT__PURGE_NEGATIVE, 0, "", "");
  send_request(&trial->peer, &request);
  for (int i = 0; i < 5; i++)
    loop_turn(trial->loop);
}

int main(void) {
  name_hash_init();
  log_set_level(LOG_LEVEL_ERROR);
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, open_trial, close_trial)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(who_waits_keeps_neither_the_loop_busy_nor_others_waiting, open_shared,
                                      close_trial),
      cmocka_unit_test_setup_teardown(who_waits_can_leave, open_shared, close_trial),
      TRIAL(stats_are_all_counters_and_what_memory_holds),
      TRIAL(show_is_of_the_domain_that_is_asked_for),
      TRIAL(a_purge_of_domains_is_all_or_nothing),
      TRIAL(a_purge_with_too_many_names_or_too_few_is_refused),
      TRIAL(a_purge_is_done_in_turns_of_the_loop),
      TRIAL(a_short_job_does_not_wait_for_the_end_of_a_long_one),
      TRIAL(a_connection_has_one_job_at_a_time),
      TRIAL(without_memory_a_request_is_refused_in_these_words),
      TRIAL(what_was_dumped_can_be_loaded),
      TRIAL(after_its_end_a_dump_begins_anew),
      TRIAL(a_client_that_asks_for_no_more_of_its_dump_gets_no_more),
      TRIAL(a_broken_piece_is_refused_with_its_record_and_the_counts),
      TRIAL(a_load_that_ends_too_early_is_refused),
      TRIAL(a_refusal_between_the_pieces_of_a_load_is_of_its_own_kind),
      TRIAL(garbage_is_answered_and_the_connection_ends),
      TRIAL(a_command_of_a_newer_protocol_is_refused_and_the_connection_stays),
      TRIAL(clients_may_go_in_the_middle_of_every_job),
      TRIAL(destroying_in_the_middle_of_a_job_is_fine),
  };
  return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
