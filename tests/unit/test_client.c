#include "cmocka_compat.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client_daemon.h"
#include "mxway/mxway.h"

struct scene {
  struct client_daemon *daemon;
  struct mxway *mxway;
};

static int scene_create(void **state) {
  struct scene *scene = calloc(1, sizeof *scene);
  scene->daemon = client_daemon_create();
  scene->mxway = mxway_create(scene->daemon->path);
  *state = scene;
  return 0;
}

static int scene_destroy(void **state) {
  struct scene *scene = *state;
  mxway_destroy(scene->mxway);
  client_daemon_destroy(scene->daemon);
  free(scene);
  return 0;
}

/* What became of a question. */
struct seen {
  int calls;
  int error;
  uint32_t ttl_s;
  struct mxway *ask_again; /* from inside the call, once */
  struct seen *again;
  int lookup_error, process_error;
};

static const struct mxway_request plain = {.domain = "example.test"};

static void on_seen(void *context, int error, const struct mxway_reply *reply) {
  struct seen *seen = context;
  seen->calls++;
  seen->error = error;
  assert_int_equal(error == 0, reply != NULL);
  if (reply)
    seen->ttl_s = reply->ttl_s;
  if (seen->ask_again) {
    struct mxway_reply *nothing;
    seen->lookup_error = mxway_lookup(seen->ask_again, &plain, &nothing);
    seen->process_error = mxway_process(seen->ask_again);
    assert_int_equal(mxway_ask(seen->ask_again, &plain, on_seen, seen->again), 0);
  }
}

static void ask(struct scene *scene, struct seen *seen) {
  assert_int_equal(mxway_ask(scene->mxway, &plain, on_seen, seen), 0);
}

/* Asks `count` questions and lets the daemon read them. */
static void ask_and_read(struct scene *scene, size_t count, struct seen *seen, uint64_t *ids) {
  for (size_t i = 0; i < count; i++)
    ask(scene, &seen[i]);
  assert_int_equal(mxway_process(scene->mxway), 0);
  client_daemon_accept(scene->daemon);
  for (size_t i = 0; i < count; i++) {
    ids[i] = client_daemon_read_id(scene->daemon);
    assert_int_not_equal(ids[i], 0);
  }
}

/* ---- blocking ---- */

static void answer_all(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  uint64_t id;
  while ((id = client_daemon_read_id(daemon)))
    client_daemon_answer(daemon, id);
}

static void lookup_returns_the_answer(void **state) {
  struct scene *scene = *state;
  client_daemon_play(scene->daemon, answer_all);
  for (int i = 0; i < 3; i++) {
    struct mxway_reply *reply = NULL;
    assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), 0);
    assert_int_equal(reply->verdict, MXWAY_ROUTE);
    assert_string_equal(reply->canonical, "");
    assert_int_equal(reply->exchange_count, 0);
    mxway_reply_free(reply);
  }
  assert_int_equal(mxway_outstanding(scene->mxway), 0);
  mxway_destroy(scene->mxway);
  scene->mxway = NULL;
  client_daemon_join(scene->daemon);
}

static void answer_with_every_field(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  uint8_t v4[] = {192, 0, 2, 1}, v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1}, site[16] = {1, 2, [15] = 9};
  ProtobufCBinaryData both[] = {{16, v6}, {4, v4}};
  Mxway__V1__Exchange first = MXWAY__V1__EXCHANGE__INIT, second = MXWAY__V1__EXCHANGE__INIT;
  first.preference = 0;
  first.host = (char *)"mx1.test";
  first.expanded = (char *)"host.test";
  first.status = MXWAY__V1__EXCHANGE_STATUS__EXCHANGE_STATUS_OK;
  first.n_addresses = 2;
  first.addresses = both;
  first.ttl = 300;
  first.port = 65535;
  second.preference = 65535;
  second.host = (char *)"mx2.test";
  second.status = MXWAY__V1__EXCHANGE_STATUS__EXCHANGE_STATUS_NXDOMAIN;
  second.n_addresses = 1;
  second.addresses = both + 1;
  Mxway__V1__Exchange *exchanges[] = {&first, &second};
  Mxway__V1__Warning warnings[] = {4, 99};
  Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
  reply.id = client_daemon_read_id(daemon);
  reply.verdict = 4;
  reply.ttl = 4000000000;
  reply.mx_ttl = 2;
  reply.age = 3;
  reply.source = 2;
  reply.stale = reply.implicit = reply.truncated = 1;
  reply.canonical = (char *)"canonical.test";
  reply.n_warnings = 2;
  reply.warnings = warnings;
  reply.n_exchanges = 2;
  reply.exchanges = exchanges;
  reply.smtp_code = 451;
  reply.enhanced_status = (char *)"4.4.4";
  reply.site_id = (ProtobufCBinaryData){16, site};
  reply.site_name = (char *)"(a|b).test";
  reply.detail = (char *)"a sentence";
  reply.authenticated = 1;
  Mxway__V1__StoryLine early = MXWAY__V1__STORY_LINE__INIT, late = MXWAY__V1__STORY_LINE__INIT;
  Mxway__V1__StoryLine *story[] = {&early, &late};
  early.text = (char *)"it began";
  late.at_us = UINT32_MAX;
  late.rule = (char *)"V8 (RFC 7505 3)";
  late.text = (char *)"it ended";
  reply.n_story = 2;
  reply.story = story;
  client_daemon_send(daemon, &reply);
}

static void check_every_exchange(const struct mxway_reply *reply) {
  static const uint8_t v4[] = {192, 0, 2, 1};
  assert_int_equal(reply->exchange_count, 2);
  const struct mxway_exchange *first = &reply->exchanges[0], *second = &reply->exchanges[1];
  assert_int_equal(first->preference, 0);
  assert_int_equal(first->port, 65535);
  assert_string_equal(first->host, "mx1.test");
  assert_string_equal(first->expanded, "host.test");
  assert_int_equal(first->status, MXWAY_STATUS_OK);
  assert_int_equal(first->ttl_s, 300);
  assert_int_equal(first->address_count, 2);
  assert_int_equal(first->addresses[0].length, 16);
  assert_int_equal(first->addresses[0].octets[15], 1);
  assert_int_equal(first->addresses[1].length, 4);
  assert_memory_equal(first->addresses[1].octets, v4, 4);
  assert_int_equal(second->preference, 65535);
  assert_int_equal(second->port, 0);
  assert_string_equal(second->host, "mx2.test");
  assert_string_equal(second->expanded, "");
  assert_int_equal(second->status, MXWAY_STATUS_NXDOMAIN);
  assert_int_equal(second->address_count, 1);
  assert_memory_equal(second->addresses[0].octets, v4, 4);
}

static void check_the_story(const struct mxway_reply *reply) {
  assert_int_equal(reply->story_count, 2);
  assert_int_equal(reply->story[0].at_us, 0);
  assert_string_equal(reply->story[0].rule, "");
  assert_string_equal(reply->story[0].text, "it began");
  assert_int_equal(reply->story[1].at_us, UINT32_MAX);
  assert_string_equal(reply->story[1].rule, "V8 (RFC 7505 3)");
  assert_string_equal(reply->story[1].text, "it ended");
}

static void lookup_gives_every_field_of_the_reply(void **state) {
  struct scene *scene = *state;
  client_daemon_play(scene->daemon, answer_with_every_field);
  struct mxway_reply *reply;
  assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), 0);
  client_daemon_join(scene->daemon);
  assert_int_equal(reply->verdict, MXWAY_NO_MAIL_HOST);
  assert_int_equal(mxway_reply_class(reply), MXWAY_CLASS_TRANSIENT);
  assert_int_equal(reply->ttl_s, 4000000000);
  assert_int_equal(reply->mx_ttl_s, 2);
  assert_int_equal(reply->age_s, 3);
  assert_int_equal(reply->source, MXWAY_SOURCE_SHARED);
  assert_true(reply->stale && reply->implicit && reply->truncated && reply->authenticated);
  assert_string_equal(reply->canonical, "canonical.test");
  assert_int_equal(reply->warning_count, 2);
  assert_string_equal(reply->warnings[0], "mx_is_cname");
  assert_string_equal(reply->warnings[1], "UNKNOWN");
  assert_int_equal(reply->smtp_code, 451);
  assert_string_equal(reply->enhanced_status, "4.4.4");
  assert_string_equal(reply->site_name, "(a|b).test");
  assert_int_equal(reply->site_id_length, 16);
  assert_int_equal(reply->site_id[1], 2);
  assert_int_equal(reply->site_id[15], 9);
  assert_string_equal(reply->detail, "a sentence");
  check_every_exchange(reply);
  check_the_story(reply);
  mxway_reply_free(reply);
}

static void answer_with_a_large_reply(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
  reply.id = client_daemon_read_id(daemon);
  reply.detail = malloc(1048001);
  memset(reply.detail, 'x', 1048000);
  reply.detail[1048000] = '\0';
  client_daemon_send(daemon, &reply);
  free(reply.detail);
}

static void lookup_takes_a_reply_of_nearly_a_mebibyte(void **state) {
  struct scene *scene = *state;
  client_daemon_play(scene->daemon, answer_with_a_large_reply);
  struct mxway_reply *reply;
  assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), 0);
  assert_int_equal(strlen(reply->detail), 1048000);
  mxway_reply_free(reply);
  client_daemon_join(scene->daemon);
}

static void answer_too_late(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  uint64_t late = client_daemon_read_id(daemon);
  uint64_t next = client_daemon_read_id(daemon);
  client_daemon_answer(daemon, late);
  client_daemon_answer(daemon, next);
}

static void lookup_ends_at_its_bound_and_a_late_answer_harms_nobody(void **state) {
  struct scene *scene = *state;
  client_daemon_play(scene->daemon, answer_too_late);
  struct mxway_request request = plain;
  request.timeout_ms = 1;
  struct mxway_reply *reply = NULL;
  assert_int_equal(mxway_lookup(scene->mxway, &request, &reply), MXWAY_ERR_TIMEOUT);
  assert_null(reply);
  assert_int_equal(mxway_outstanding(scene->mxway), 1);
  assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), 0);
  assert_int_equal(mxway_outstanding(scene->mxway), 0);
  mxway_reply_free(reply);
  client_daemon_join(scene->daemon);
}

static void answer_on_the_second_connection(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  client_daemon_answer(daemon, client_daemon_read_id(daemon));
  client_daemon_accept(daemon);
  client_daemon_answer(daemon, client_daemon_read_id(daemon));
}

static void lookup_after_a_restart_of_the_daemon_is_answered(void **state) {
  struct scene *scene = *state;
  client_daemon_play(scene->daemon, answer_on_the_second_connection);
  struct mxway_reply *reply;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), 0);
    mxway_reply_free(reply);
  }
  client_daemon_join(scene->daemon);
}

static void drop_what_is_asked(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  client_daemon_read_id(daemon);
  client_daemon_stop(daemon);
  client_daemon_close(daemon);
}

static void lookup_lost_on_its_own_connection_says_so(void **state) {
  struct scene *scene = *state;
  client_daemon_play(scene->daemon, drop_what_is_asked);
  struct mxway_reply *reply;
  assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), MXWAY_ERR_DISCONNECTED);
  client_daemon_join(scene->daemon);
  assert_int_equal(mxway_fd(scene->mxway), -1);
}

static void lookup_without_a_daemon_says_why(void **state) {
  struct scene *scene = *state;
  client_daemon_stop(scene->daemon);
  struct mxway_reply *reply;
  errno = 0;
  assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), MXWAY_ERR_CONNECT);
  assert_int_equal(errno, ENOENT);
  errno = 0;
  assert_int_equal(mxway_ask(scene->mxway, &plain, on_seen, NULL), MXWAY_ERR_CONNECT);
  assert_int_equal(errno, ENOENT);
  assert_int_equal(mxway_outstanding(scene->mxway), 0);
}

static void lookup_also_answers_what_was_asked_before(void **state) {
  struct scene *scene = *state;
  client_daemon_play(scene->daemon, answer_all);
  struct seen seen[5] = {0};
  for (int i = 0; i < 5; i++)
    ask(scene, &seen[i]);
  struct mxway_reply *reply;
  assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), 0);
  mxway_reply_free(reply);
  for (int i = 0; i < 5; i++)
    assert_int_equal(seen[i].calls, 1);
  mxway_destroy(scene->mxway);
  scene->mxway = NULL;
  client_daemon_join(scene->daemon);
}

static void lookup_waits_for_a_free_place_in_the_window(void **state) {
  struct scene *scene = *state;
  client_daemon_play(scene->daemon, answer_all);
  static struct seen seen[MXWAY_OUTSTANDING_MAX];
  for (int i = 0; i < MXWAY_OUTSTANDING_MAX; i++)
    ask(scene, &seen[i]);
  struct mxway_reply *reply;
  assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), 0);
  mxway_reply_free(reply);
  mxway_destroy(scene->mxway);
  scene->mxway = NULL;
  client_daemon_join(scene->daemon);
}

static void full_backlog_is_waited_for_by_lookup_and_told_by_ask(void **state) {
  struct scene *scene = *state;
  client_daemon_stop(scene->daemon);
  client_daemon_listen(scene->daemon, 0);
  struct mxway *filler[8];
  size_t count = 0;
  int error = 0;
  while (!error && count < 8) {
    filler[count] = mxway_create(scene->daemon->path);
    error = mxway_ask(filler[count++], &plain, on_seen, NULL);
  }
  assert_int_equal(error, MXWAY_ERR_CONNECT);
  assert_int_equal(errno, EAGAIN);
  struct mxway_request request = plain;
  request.timeout_ms = 1;
  struct mxway_reply *reply;
  assert_int_equal(mxway_lookup(scene->mxway, &request, &reply), MXWAY_ERR_TIMEOUT);
  assert_int_equal(mxway_fd(scene->mxway), -1);
  while (count > 0)
    mxway_destroy(filler[--count]);
}

/* ---- from an event loop ---- */

/* Asks, and reads what reached the daemon; to be freed with client_daemon_forget. */
static Mxway__V1__LookupRequest *ask_this(struct scene *scene, const struct mxway_request *request,
                                          struct seen *seen) {
  assert_int_equal(mxway_ask(scene->mxway, request, on_seen, seen), 0);
  assert_int_equal(mxway_wants(scene->mxway), MXWAY_WANT_READ | MXWAY_WANT_WRITE);
  mxway_process(scene->mxway);
  assert_int_equal(mxway_wants(scene->mxway), MXWAY_WANT_READ);
  client_daemon_accept(scene->daemon);
  return client_daemon_read(scene->daemon);
}

static void request_carries_what_was_set(void **state) {
  struct scene *scene = *state;
  struct mxway_request request = {.domain = "nul\0inside",
                                  .domain_length = 10,
                                  .depth = MXWAY_DEPTH_ADDRESSES,
                                  .timeout_ms = 1234,
                                  .order = MXWAY_ORDER_KEYED,
                                  .order_key = "key\0",
                                  .order_key_length = 4,
                                  .family = MXWAY_FAMILY_V6_FIRST,
                                  .max_exchanges = 7,
                                  .primary_only = true,
                                  .no_stale = true,
                                  .refresh = true,
                                  .cache_only = true,
                                  .explain = true};
  struct seen seen = {0};
  Mxway__V1__LookupRequest *message = ask_this(scene, &request, &seen);
  assert_int_equal(message->domain.len, 10);
  assert_memory_equal(message->domain.data, "nul\0inside", 10);
  assert_int_equal(message->depth, MXWAY__V1__DEPTH__DEPTH_ADDRESSES);
  assert_int_equal(message->timeout_ms, 1234);
  assert_int_equal(message->order, MXWAY__V1__ORDER__ORDER_KEYED);
  assert_int_equal(message->order_key.len, 4);
  assert_memory_equal(message->order_key.data, "key\0", 4);
  assert_int_equal(message->family, MXWAY__V1__FAMILY__FAMILY_V6_FIRST);
  assert_int_equal(message->max_exchanges, 7);
  assert_true(message->primary_only && message->no_stale && message->refresh && message->cache_only &&
              message->explain);
  client_daemon_forget(message);
}

static void request_carries_its_lists_in_their_order(void **state) {
  struct scene *scene = *state;
  static const char *const names[] = {"mx1.test", ""}, *const exclude[] = {"192.0.2.1", "b.test", "c.test"};
  static const struct mxway_address addresses[] = {{4, {192, 0, 2, 1}}, {16, {0x20, 1, [15] = 9}}};
  struct mxway_request request = {.domain = "d.test",
                                  .order = MXWAY_ORDER_KEYED,
                                  .order_key = "text",
                                  .self_name_count = 2,
                                  .self_names = names,
                                  .self_address_count = 2,
                                  .self_addresses = addresses,
                                  .exclude_count = 3,
                                  .exclude = exclude};
  struct seen seen = {0};
  Mxway__V1__LookupRequest *message = ask_this(scene, &request, &seen);
  assert_int_equal(message->order_key.len, 4);
  assert_int_equal(message->n_self_names, 2);
  assert_memory_equal(message->self_names[0].data, "mx1.test", message->self_names[0].len);
  assert_int_equal(message->self_names[1].len, 0);
  assert_int_equal(message->n_self_addresses, 2);
  assert_int_equal(message->self_addresses[0].len, 4);
  assert_memory_equal(message->self_addresses[0].data, addresses[0].octets, 4);
  assert_int_equal(message->self_addresses[1].len, 16);
  assert_memory_equal(message->self_addresses[1].data, addresses[1].octets, 16);
  assert_int_equal(message->n_exclude, 3);
  assert_memory_equal(message->exclude[0].data, "192.0.2.1", message->exclude[0].len);
  assert_memory_equal(message->exclude[2].data, "c.test", message->exclude[2].len);
  client_daemon_forget(message);
}

static void request_of_nothing_but_a_domain_is_its_id_and_domain(void **state) {
  struct scene *scene = *state;
  struct seen seen = {0};
  Mxway__V1__LookupRequest *message = ask_this(scene, &plain, &seen);
  Mxway__V1__LookupRequest expected = MXWAY__V1__LOOKUP_REQUEST__INIT;
  expected.id = message->id;
  expected.domain = message->domain;
  assert_int_equal(mxway__v1__lookup_request__get_packed_size(message),
                   mxway__v1__lookup_request__get_packed_size(&expected));
  client_daemon_forget(message);
}

static void expect_unaskable(struct scene *scene, const struct mxway_request *request) {
  struct seen seen = {0};
  assert_int_equal(mxway_ask(scene->mxway, request, on_seen, &seen), MXWAY_ERR_ARGUMENT);
  assert_int_equal(mxway_outstanding(scene->mxway), 0);
  assert_int_equal(mxway_wants(scene->mxway), MXWAY_WANT_READ);
  assert_int_equal(seen.calls, 0);
}

static void request_that_no_frame_holds_is_refused(void **state) {
  struct scene *scene = *state;
  enum { MANY = 70000 };
  static char octets[MANY + 1];
  static const char *texts[MANY];
  static struct mxway_address addresses[MANY];
  memset(octets, 'x', MANY);
  for (size_t i = 0; i < MANY; i++) {
    texts[i] = "";
    addresses[i].length = 4;
  }
  struct mxway_request request = plain;
  request.order_key = octets;
  expect_unaskable(scene, &request);
  request.order_key_length = SIZE_MAX;
  expect_unaskable(scene, &request);
  request = plain;
  request.self_names = request.exclude = texts;
  request.self_addresses = addresses;
  static const size_t counts[] = {20000, MANY, SIZE_MAX / 2, SIZE_MAX};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    request.self_name_count = counts[i];
    request.self_address_count = request.exclude_count = i == 0 ? counts[i] : 0;
    expect_unaskable(scene, &request);
    request.self_name_count = 0;
    request.self_address_count = counts[i];
    expect_unaskable(scene, &request);
    request.self_address_count = 0;
    request.exclude_count = i == 0 ? MANY : counts[i];
    expect_unaskable(scene, &request);
  }
}

static void request_up_to_the_size_of_a_frame_is_sent(void **state) {
  struct scene *scene = *state;
  char *key = malloc(FRAME_REQUEST_MAX + 1);
  memset(key, 'k', FRAME_REQUEST_MAX);
  /* id, domain, order and the head of the key */
  Mxway__V1__LookupRequest rest = MXWAY__V1__LOOKUP_REQUEST__INIT;
  rest.id = MXWAY_OUTSTANDING_MAX;
  rest.domain = (ProtobufCBinaryData){strlen(plain.domain), (uint8_t *)plain.domain};
  struct mxway_request request = plain;
  request.order_key = key;
  request.order_key_length = FRAME_REQUEST_MAX - mxway__v1__lookup_request__get_packed_size(&rest) - 4;
  struct seen seen = {0};
  assert_int_equal(mxway_ask(scene->mxway, &request, on_seen, &seen), 0);
  struct mxway *other = mxway_create(scene->daemon->path);
  request.order_key_length++;
  assert_int_equal(mxway_ask(other, &request, on_seen, &seen), MXWAY_ERR_ARGUMENT);
  mxway_destroy(other);
  free(key);
}

static void request_with_a_hole_in_a_list_is_refused(void **state) {
  struct scene *scene = *state;
  static const char *const texts[] = {"mx1.test", NULL};
  struct mxway_address address = {0};
  struct mxway_request request = plain;
  request.self_names = request.exclude = texts;
  request.self_name_count = 2;
  expect_unaskable(scene, &request);
  request.self_name_count = 0;
  request.exclude_count = 2;
  expect_unaskable(scene, &request);
  request.exclude_count = 0;
  request.self_addresses = &address;
  request.self_address_count = 1;
  static const uint8_t lengths[] = {0, 3, 5, 15, 17, 255};
  for (size_t i = 0; i < sizeof lengths; i++) {
    address.length = lengths[i];
    expect_unaskable(scene, &request);
  }
  request = plain;
  request.order_key_length = 3;
  expect_unaskable(scene, &request);
}

static void answers_in_any_order_reach_their_questions(void **state) {
  struct scene *scene = *state;
  enum { COUNT = MXWAY_OUTSTANDING_MAX };
  static struct seen seen[COUNT];
  static uint64_t ids[COUNT];
  memset(seen, 0, sizeof seen);
  ask_and_read(scene, COUNT, seen, ids);
  for (size_t i = 0; i < COUNT; i++) {
    client_daemon_answer(scene->daemon, ids[(i * 389 + 7) % COUNT]);
    if (i % 100 == 0)
      assert_int_equal(mxway_process(scene->mxway), 0);
  }
  assert_int_equal(mxway_process(scene->mxway), 0);
  for (size_t i = 0; i < COUNT; i++) {
    assert_int_equal(seen[i].calls, 1);
    assert_int_equal(seen[i].ttl_s, (uint32_t)ids[i]);
  }
  assert_int_equal(mxway_outstanding(scene->mxway), 0);
}

static void ids_are_never_the_same_twice(void **state) {
  struct scene *scene = *state;
  struct seen seen[2] = {0};
  uint64_t first;
  ask_and_read(scene, 1, seen, &first);
  client_daemon_answer(scene->daemon, first);
  mxway_process(scene->mxway);
  ask(scene, &seen[1]);
  client_daemon_answer(scene->daemon, first);
  assert_int_equal(mxway_process(scene->mxway), MXWAY_ERR_PROTOCOL);
  assert_int_equal(seen[0].calls, 1);
  assert_int_equal(seen[1].error, MXWAY_ERR_PROTOCOL);
}

static void replies_octet_by_octet_are_put_together(void **state) {
  struct scene *scene = *state;
  struct seen seen[2] = {0};
  uint64_t ids[2];
  ask_and_read(scene, 2, seen, ids);
  for (int i = 0; i < 2; i++) {
    Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
    char detail[301] = "";
    memset(detail, 'd', 300);
    reply.id = ids[i];
    reply.detail = detail;
    size_t length;
    uint8_t *octets = client_daemon_pack(&reply, &length);
    for (size_t at = 0; at < length; at++) {
      assert_int_equal(seen[i].calls, 0);
      client_daemon_send_octets(scene->daemon, octets + at, 1);
      assert_int_equal(mxway_process(scene->mxway), 0);
    }
    free(octets);
    assert_int_equal(seen[i].calls, 1);
    assert_int_equal(seen[i].error, 0);
  }
}

/* Lets the daemon send `octets` with two questions open, and expects the end of the connection. */
static void expect_protocol_error(struct scene *scene, const void *octets, size_t length) {
  struct seen seen[2] = {0};
  uint64_t ids[2];
  ask_and_read(scene, 2, seen, ids);
  client_daemon_send_octets(scene->daemon, octets, length);
  assert_int_equal(mxway_process(scene->mxway), MXWAY_ERR_PROTOCOL);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(seen[i].calls, 1);
    assert_int_equal(seen[i].error, MXWAY_ERR_PROTOCOL);
  }
  assert_int_equal(mxway_outstanding(scene->mxway), 0);
  assert_int_equal(mxway_fd(scene->mxway), -1);
  assert_int_equal(mxway_wants(scene->mxway), 0);
}

static void what_is_no_reply_ends_the_connection(void **state) {
  struct scene *scene = *state;
  expect_protocol_error(scene, "\x03\xff\xff\xff", 4);
  expect_protocol_error(scene, "\xff\xff\xff\xff\xff\x01", 6);
  expect_protocol_error(
      scene, "HTTP/1.1 400 Bad Request\r\nServer: of something else altogether, with some more words\r\n",
      85);
  expect_protocol_error(scene, "\x00", 1);
  /* 1 MiB and one octet. */
  expect_protocol_error(scene, "\x81\x80\x40", 3);
}

static void expect_refused(struct scene *scene, Mxway__V1__LookupReply *reply) {
  struct seen seen = {0};
  ask_and_read(scene, 1, &seen, &reply->id);
  client_daemon_send(scene->daemon, reply);
  assert_int_equal(mxway_process(scene->mxway), MXWAY_ERR_PROTOCOL);
  assert_int_equal(seen.error, MXWAY_ERR_PROTOCOL);
}

static void reply_that_its_struct_cannot_hold_is_refused(void **state) {
  struct scene *scene = *state;
  uint8_t octets[17] = {0};
  static const size_t lengths[] = {0, 3, 5, 15, 17};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    ProtobufCBinaryData address = {lengths[i], octets};
    Mxway__V1__Exchange exchange = MXWAY__V1__EXCHANGE__INIT, *exchanges[] = {&exchange};
    exchange.n_addresses = 1;
    exchange.addresses = &address;
    Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
    reply.n_exchanges = 1;
    reply.exchanges = exchanges;
    expect_refused(scene, &reply);
  }
  Mxway__V1__Exchange exchange = MXWAY__V1__EXCHANGE__INIT, *exchanges[] = {&exchange};
  exchange.preference = 65536;
  Mxway__V1__LookupReply preference = MXWAY__V1__LOOKUP_REPLY__INIT;
  preference.n_exchanges = 1;
  preference.exchanges = exchanges;
  expect_refused(scene, &preference);
  exchange.preference = 0;
  exchange.port = 65536;
  expect_refused(scene, &preference);
  Mxway__V1__LookupReply site = MXWAY__V1__LOOKUP_REPLY__INIT;
  site.site_id = (ProtobufCBinaryData){17, octets};
  expect_refused(scene, &site);
  Mxway__V1__LookupReply code = MXWAY__V1__LOOKUP_REPLY__INIT;
  code.smtp_code = 65536 + 250;
  expect_refused(scene, &code);
}

/* Sends `filler` again and again, up to the size of a frame. */
static void send_a_bomb(struct client_daemon *daemon, const void *filler, size_t filler_length) {
  client_daemon_accept(daemon);
  Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
  reply.id = client_daemon_read_id(daemon);
  static uint8_t body[FRAME_REPLY_MAX];
  size_t length = mxway__v1__lookup_reply__pack(&reply, body);
  for (; length + filler_length <= sizeof body; length += filler_length)
    memcpy(body + length, filler, filler_length);
  client_daemon_send_body(daemon, body, length);
}

static void send_empty_exchanges(struct client_daemon *daemon) { send_a_bomb(daemon, "\x62\x00", 2); }

static void send_empty_lines(struct client_daemon *daemon) { send_a_bomb(daemon, "\x9a\x01\x00", 3); }

static void reply_that_would_swell_in_memory_is_refused(void **state) {
  struct scene *scene = *state;
  static void (*const scripts[])(struct client_daemon *) = {send_empty_exchanges, send_empty_lines};
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    client_daemon_play(scene->daemon, scripts[i]);
    struct mxway_reply *reply;
    assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), MXWAY_ERR_PROTOCOL);
    client_daemon_join(scene->daemon);
  }
}

enum { STORY_LINES = 9000 };

/* Of about 100 octets each: more than any daemon tells, less than a frame. */
static void tell_thousands_of_lines(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
  reply.id = client_daemon_read_id(daemon);
  static Mxway__V1__StoryLine line, *story[STORY_LINES];
  static char text[91];
  memset(text, 't', sizeof text - 1);
  mxway__v1__story_line__init(&line);
  line.at_us = 1;
  line.rule = (char *)"V1\x1b\xff";
  line.text = text;
  for (size_t i = 0; i < STORY_LINES; i++)
    story[i] = &line;
  reply.n_story = STORY_LINES;
  reply.story = story;
  client_daemon_send(daemon, &reply);
}

static void story_of_thousands_of_lines_arrives_whole_and_as_it_was_sent(void **state) {
  struct scene *scene = *state;
  client_daemon_play(scene->daemon, tell_thousands_of_lines);
  struct mxway_reply *reply;
  assert_int_equal(mxway_lookup(scene->mxway, &plain, &reply), 0);
  client_daemon_join(scene->daemon);
  assert_int_equal(reply->story_count, STORY_LINES);
  for (size_t i = 0; i < STORY_LINES; i++) {
    assert_int_equal(strlen(reply->story[i].text), 90);
    assert_string_equal(reply->story[i].rule, "V1\x1b\xff");
  }
  mxway_reply_free(reply);
}

static void story_that_is_cut_or_no_message_is_refused(void **state) {
  struct scene *scene = *state;
  static const struct {
    const char *octets;
    size_t length;
  } stories[] = {
      {"\x9a\x01\x05\x1a\x09"
       "abc",
       8}, /* a text over the end of its line */
      {"\x9a\x01\x7f\x1a\x01"
       "a",
       6},                                                              /* a line over the end of the reply */
      {"\x9a\x01\x02\x0a\x00", 5},                                      /* a time that is a text */
      {"\x9a\x01\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 14}, /* a time without end */
  };
  for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
    struct seen seen = {0};
    Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
    ask_and_read(scene, 1, &seen, &reply.id);
    uint8_t body[64];
    size_t length = mxway__v1__lookup_reply__pack(&reply, body);
    memcpy(body + length, stories[i].octets, stories[i].length);
    client_daemon_send_body(scene->daemon, body, length + stories[i].length);
    assert_int_equal(mxway_process(scene->mxway), MXWAY_ERR_PROTOCOL);
    assert_int_equal(seen.error, MXWAY_ERR_PROTOCOL);
  }
}

static void loss_tells_everybody_but_answers_that_came_first_count(void **state) {
  struct scene *scene = *state;
  struct seen seen[3] = {0};
  uint64_t ids[3];
  ask_and_read(scene, 3, seen, ids);
  client_daemon_answer(scene->daemon, ids[1]);
  client_daemon_send_octets(scene->daemon, "\x20half", 5);
  client_daemon_close(scene->daemon);
  int error = 0;
  for (int turn = 0; turn < 3 && !error; turn++)
    error = mxway_process(scene->mxway);
  assert_int_equal(error, MXWAY_ERR_DISCONNECTED);
  assert_int_equal(seen[1].error, 0);
  assert_int_equal(seen[0].error, MXWAY_ERR_DISCONNECTED);
  assert_int_equal(seen[2].error, MXWAY_ERR_DISCONNECTED);
  for (int i = 0; i < 3; i++)
    assert_int_equal(seen[i].calls, 1);
  assert_int_equal(mxway_process(scene->mxway), 0);

  /* Nothing of the old connection is left in the new one. */
  struct seen next = {0};
  uint64_t id;
  ask_and_read(scene, 1, &next, &id);
  client_daemon_answer(scene->daemon, id);
  assert_int_equal(mxway_process(scene->mxway), 0);
  assert_int_equal(next.calls, 1);
  assert_int_equal(next.error, 0);
}

static volatile sig_atomic_t sigpipe_count;
static void on_sigpipe(int signal_number) {
  (void)signal_number;
  sigpipe_count++;
}

static void sending_to_nobody_raises_no_signal(void **state) {
  struct scene *scene = *state;
  void (*before)(int) = signal(SIGPIPE, on_sigpipe);
  struct seen seen[2] = {0};
  uint64_t id;
  ask_and_read(scene, 1, seen, &id);
  client_daemon_answer(scene->daemon, id);
  client_daemon_close(scene->daemon);
  ask(scene, &seen[1]);
  assert_int_equal(mxway_process(scene->mxway), MXWAY_ERR_DISCONNECTED);
  assert_int_equal(seen[0].error, 0);
  assert_int_equal(seen[1].error, MXWAY_ERR_DISCONNECTED);
  assert_int_equal(sigpipe_count, 0);
  signal(SIGPIPE, before);
}

static void daemon_that_reads_no_more_is_lost_after_its_last_answer(void **state) {
  struct scene *scene = *state;
  struct seen seen[2] = {0};
  uint64_t id;
  ask_and_read(scene, 1, seen, &id);
  client_daemon_answer(scene->daemon, id);
  shutdown(scene->daemon->fd, SHUT_RD);
  ask(scene, &seen[1]);
  assert_int_equal(mxway_process(scene->mxway), MXWAY_ERR_DISCONNECTED);
  assert_int_equal(seen[0].error, 0);
  assert_int_equal(seen[1].error, MXWAY_ERR_DISCONNECTED);
}

static void window_is_bounded_by_count(void **state) {
  struct scene *scene = *state;
  static struct seen seen[MXWAY_OUTSTANDING_MAX + 1];
  static uint64_t ids[MXWAY_OUTSTANDING_MAX];
  memset(seen, 0, sizeof seen);
  ask_and_read(scene, MXWAY_OUTSTANDING_MAX, seen, ids);
  struct seen *last = &seen[MXWAY_OUTSTANDING_MAX];
  assert_int_equal(mxway_ask(scene->mxway, &plain, on_seen, last), MXWAY_ERR_FULL);
  assert_int_equal(mxway_outstanding(scene->mxway), MXWAY_OUTSTANDING_MAX);
  client_daemon_answer(scene->daemon, ids[500]);
  assert_int_equal(mxway_process(scene->mxway), 0);
  assert_int_equal(mxway_ask(scene->mxway, &plain, on_seen, last), 0);
  assert_int_equal(last->calls, 0);
}

static void window_is_bounded_by_octets_unsent(void **state) {
  struct scene *scene = *state;
  char *domain = malloc(60002);
  memset(domain, 'x', 60001);
  domain[60001] = '\0';
  struct mxway_request request = {.domain = domain};
  struct seen seen = {0};
  assert_int_equal(mxway_ask(scene->mxway, &request, on_seen, &seen), MXWAY_ERR_ARGUMENT);
  request.domain = NULL;
  assert_int_equal(mxway_ask(scene->mxway, &request, on_seen, &seen), MXWAY_ERR_ARGUMENT);
  request.domain = domain + 1;
  int count = 0;
  while (count < 100 && mxway_ask(scene->mxway, &request, on_seen, &seen) == 0)
    count++;
  assert_in_range(count, 17, 19);
  assert_int_equal(mxway_ask(scene->mxway, &request, on_seen, &seen), MXWAY_ERR_FULL);

  /* What does not fit into the socket is sent as the daemon reads. */
  client_daemon_accept(scene->daemon);
  for (int i = 0; i < count; i++) {
    mxway_process(scene->mxway);
    Mxway__V1__LookupRequest *message = client_daemon_read(scene->daemon);
    assert_int_equal(message->domain.len, 60000);
    client_daemon_forget(message);
  }
  assert_int_equal(mxway_wants(scene->mxway), MXWAY_WANT_READ);
  free(domain);
}

static void callback_may_ask_again_but_not_wait(void **state) {
  struct scene *scene = *state;
  struct seen again = {0};
  struct seen seen = {.ask_again = scene->mxway, .again = &again};
  uint64_t id;
  ask_and_read(scene, 1, &seen, &id);
  client_daemon_answer(scene->daemon, id);
  assert_int_equal(mxway_process(scene->mxway), 0);
  assert_int_equal(seen.lookup_error, MXWAY_ERR_ARGUMENT);
  assert_int_equal(seen.process_error, MXWAY_ERR_ARGUMENT);
  client_daemon_answer(scene->daemon, client_daemon_read_id(scene->daemon));
  assert_int_equal(mxway_process(scene->mxway), 0);
  assert_int_equal(again.calls, 1);
  assert_int_equal(again.error, 0);
}

static void question_put_while_the_connection_ends_goes_to_the_next(void **state) {
  struct scene *scene = *state;
  struct seen again = {0};
  struct seen seen[2] = {{.ask_again = scene->mxway, .again = &again}, {0}};
  uint64_t ids[2];
  ask_and_read(scene, 2, seen, ids);
  client_daemon_close(scene->daemon);
  assert_int_equal(mxway_process(scene->mxway), MXWAY_ERR_DISCONNECTED);
  assert_int_equal(seen[0].calls, 1);
  assert_int_equal(seen[1].calls, 1);
  assert_int_equal(again.calls, 0);
  assert_int_equal(mxway_outstanding(scene->mxway), 1);
  assert_int_equal(mxway_process(scene->mxway), 0);
  client_daemon_accept(scene->daemon);
  client_daemon_answer(scene->daemon, client_daemon_read_id(scene->daemon));
  assert_int_equal(mxway_process(scene->mxway), 0);
  assert_int_equal(again.calls, 1);
  assert_int_equal(again.error, 0);
}

static void destroy_calls_nobody(void **state) {
  struct scene *scene = *state;
  struct seen seen[3] = {0};
  uint64_t ids[2];
  ask_and_read(scene, 2, seen, ids);
  ask(scene, &seen[2]);
  mxway_destroy(scene->mxway);
  scene->mxway = NULL;
  for (int i = 0; i < 3; i++)
    assert_int_equal(seen[i].calls, 0);
  mxway_destroy(NULL);
}

/* ---- values ---- */

static void create_refuses_a_path_that_no_socket_has(void **state) {
  (void)state;
  char path[200];
  memset(path, 'x', sizeof path);
  path[108] = '\0';
  errno = 0;
  assert_null(mxway_create(path));
  assert_int_equal(errno, ENAMETOOLONG);
  path[107] = '\0';
  struct mxway *mxway = mxway_create(path);
  assert_non_null(mxway);
  mxway_destroy(mxway);
}

static void known_numbers_have_texts_and_others_are_unknown(void **state) {
  (void)state;
  assert_string_equal(mxway_verdict_text(MXWAY_ROUTE), "ROUTE");
  assert_string_equal(mxway_verdict_text(MXWAY_BAD_REQUEST), "BAD_REQUEST");
  const ProtobufCEnumDescriptor *verdicts = &mxway__v1__verdict__descriptor;
  for (unsigned i = 0; i < verdicts->n_values; i++)
    if (verdicts->values[i].value > 0)
      assert_string_equal(mxway_verdict_text((enum mxway_verdict)verdicts->values[i].value),
                          verdicts->values[i].name + strlen("VERDICT_"));
  const ProtobufCEnumDescriptor *sources = &mxway__v1__source__descriptor;
  for (unsigned i = 0; i < sources->n_values; i++)
    if (sources->values[i].value > 0)
      assert_string_equal(mxway_source_text((enum mxway_source)sources->values[i].value),
                          sources->values[i].name + strlen("SOURCE_"));
  const ProtobufCEnumDescriptor *statuses = &mxway__v1__exchange_status__descriptor;
  for (unsigned i = 0; i < statuses->n_values; i++)
    assert_string_equal(mxway_status_text((enum mxway_status)statuses->values[i].value),
                        statuses->values[i].name + strlen("EXCHANGE_STATUS_"));
  static const int strange[] = {-1, 24, 99, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
    assert_string_equal(mxway_verdict_text((enum mxway_verdict)strange[i]), "UNKNOWN");
    assert_string_equal(mxway_source_text((enum mxway_source)strange[i]), "UNKNOWN");
    assert_string_equal(mxway_status_text((enum mxway_status)strange[i]), "UNKNOWN");
    assert_string_equal(mxway_class_text((enum mxway_class)strange[i]), "UNKNOWN");
  }
  assert_int_equal(mxway__v1__order__descriptor.n_values, MXWAY_ORDER_KEYED + 1);
  assert_int_equal(mxway__v1__family__descriptor.n_values, MXWAY_FAMILY_V6_FIRST + 1);
  assert_string_equal(mxway_error_text(-99), "UNKNOWN");
  for (int error = 0; error >= MXWAY_ERR_ARGUMENT; error--)
    assert_string_not_equal(mxway_error_text(error), "UNKNOWN");
}

static void class_follows_the_code_and_then_the_verdict(void **state) {
  (void)state;
  static const struct {
    int verdict;
    uint16_t smtp_code;
    enum mxway_class class_;
  } rows[] = {
      {MXWAY_ROUTE, 0, MXWAY_CLASS_OK},
      {MXWAY_NO_MAIL_HOST, 550, MXWAY_CLASS_PERMANENT},
      {MXWAY_NO_MAIL_HOST, 451, MXWAY_CLASS_TRANSIENT},
      {MXWAY_DNS_TIMEOUT, 550, MXWAY_CLASS_PERMANENT},
      {MXWAY_NULL_MX, 0, MXWAY_CLASS_PERMANENT},
      {MXWAY_DNS_TIMEOUT, 0, MXWAY_CLASS_TRANSIENT},
      {MXWAY_DEADLINE, 0, MXWAY_CLASS_TRANSIENT},
      {99, 0, MXWAY_CLASS_TRANSIENT},
      {99, 550, MXWAY_CLASS_PERMANENT},
      {-1, 0, MXWAY_CLASS_TRANSIENT},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct mxway_reply reply = {.verdict = (enum mxway_verdict)rows[i].verdict,
                                .smtp_code = rows[i].smtp_code};
    assert_int_equal(mxway_reply_class(&reply), rows[i].class_);
  }
}

#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_create, scene_destroy)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_SCENE(lookup_returns_the_answer),
      IN_SCENE(lookup_gives_every_field_of_the_reply),
      IN_SCENE(lookup_takes_a_reply_of_nearly_a_mebibyte),
      IN_SCENE(lookup_ends_at_its_bound_and_a_late_answer_harms_nobody),
      IN_SCENE(lookup_after_a_restart_of_the_daemon_is_answered),
      IN_SCENE(lookup_lost_on_its_own_connection_says_so),
      IN_SCENE(lookup_without_a_daemon_says_why),
      IN_SCENE(lookup_also_answers_what_was_asked_before),
      IN_SCENE(lookup_waits_for_a_free_place_in_the_window),
      IN_SCENE(full_backlog_is_waited_for_by_lookup_and_told_by_ask),
      IN_SCENE(request_carries_what_was_set),
      IN_SCENE(request_carries_its_lists_in_their_order),
      IN_SCENE(request_of_nothing_but_a_domain_is_its_id_and_domain),
      IN_SCENE(request_that_no_frame_holds_is_refused),
      IN_SCENE(request_up_to_the_size_of_a_frame_is_sent),
      IN_SCENE(request_with_a_hole_in_a_list_is_refused),
      IN_SCENE(answers_in_any_order_reach_their_questions),
      IN_SCENE(ids_are_never_the_same_twice),
      IN_SCENE(replies_octet_by_octet_are_put_together),
      IN_SCENE(what_is_no_reply_ends_the_connection),
      IN_SCENE(reply_that_its_struct_cannot_hold_is_refused),
      IN_SCENE(reply_that_would_swell_in_memory_is_refused),
      IN_SCENE(story_of_thousands_of_lines_arrives_whole_and_as_it_was_sent),
      IN_SCENE(story_that_is_cut_or_no_message_is_refused),
      IN_SCENE(loss_tells_everybody_but_answers_that_came_first_count),
      IN_SCENE(sending_to_nobody_raises_no_signal),
      IN_SCENE(daemon_that_reads_no_more_is_lost_after_its_last_answer),
      IN_SCENE(window_is_bounded_by_count),
      IN_SCENE(window_is_bounded_by_octets_unsent),
      IN_SCENE(callback_may_ask_again_but_not_wait),
      IN_SCENE(question_put_while_the_connection_ends_goes_to_the_next),
      IN_SCENE(destroy_calls_nobody),
      cmocka_unit_test(create_refuses_a_path_that_no_socket_has),
      cmocka_unit_test(known_numbers_have_texts_and_others_are_unknown),
      cmocka_unit_test(class_follows_the_code_and_then_the_verdict),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
