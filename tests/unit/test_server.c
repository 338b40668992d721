#include "cmocka_compat.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "loop_until.h"
#include "serve/server.h"
#include "unix_peer.h"

/* ---- every send of the process passes here: counted, and cut short on request ---- */

static _Atomic long send_count;
static size_t send_most = SIZE_MAX; /* octets one send takes */
static int send_interruptions;      /* so many sends fail with EINTR first */

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
  atomic_fetch_add(&send_count, 1);
  if (send_interruptions > 0) {
    send_interruptions--;
    errno = EINTR;
    return -1;
  }
  return syscall(SYS_sendto, fd, bytes, length < send_most ? length : send_most, flags, NULL, 0);
}

/* ---- a server and what is done with its frames ---- */

enum { MAX_CONNECTIONS = 100, PROMISES_MAX = 8192, BODY_BYTES = 5 };

struct promise {
  struct connection_ref ref;
  uint8_t frame[FRAME_HEADER_MAX + 32];
  size_t length;
};

struct fixture {
  struct ev_loop *loop;
  struct unix_place place;
  struct stats stats;
  _Atomic uint32_t connection_count;
  struct server *server;
  /* What to do. */
  bool defers;        /* promise answers to all frames */
  bool defers_odd;    /* promise an answer where the body's last octet is odd */
  size_t reply_bytes; /* of the body of an answer at once; 0: as asked */
  /* What was seen. */
  size_t frame_count, call_count, largest_batch, answered_bytes;
  size_t closed_count;
  void *last_word; /* of the connection that was closed last */
  size_t promise_count;
  struct promise promises[PROMISES_MAX];
};

static size_t build_reply(const struct fixture *fixture, const struct frame *frame, uint8_t *at) {
  size_t length = fixture->reply_bytes ? fixture->reply_bytes : frame->body_length;
  size_t header_length = frame_build_header(at, length);
  memset(at + header_length, 0, length);
  memcpy(at + header_length, frame->body, frame->body_length < length ? frame->body_length : length);
  return header_length + length;
}

static void keep_promise(struct fixture *fixture, struct connection *connection, const struct frame *frame) {
  assert_true(fixture->promise_count < PROMISES_MAX);
  struct promise *promise = &fixture->promises[fixture->promise_count++];
  promise->ref = server_defer(connection);
  assert_true(frame->body_length <= 32);
  promise->length = frame_build_header(promise->frame, frame->body_length);
  memcpy(promise->frame + promise->length, frame->body, frame->body_length);
  promise->length += frame->body_length;
}

static void on_frames(void *context, const struct arrival *arrivals, size_t count) {
  struct fixture *fixture = context;
  fixture->call_count++;
  if (count > fixture->largest_batch)
    fixture->largest_batch = count;
  for (size_t i = 0; i < count; i++) {
    struct connection *connection = arrivals[i].connection;
    const struct frame *frame = &arrivals[i].frame;
    *server_word(connection) = fixture;
    fixture->frame_count++;
    if (frame->body_length == 5 && memcmp(frame->body, "break", 5) == 0) {
      server_break(connection);
      continue;
    }
    bool is_odd = frame->body_length > 0 && frame->body[frame->body_length - 1] & 1;
    if (fixture->defers || (fixture->defers_odd && is_odd)) {
      keep_promise(fixture, connection, frame);
      continue;
    }
    size_t room = FRAME_HEADER_MAX + (fixture->reply_bytes ? fixture->reply_bytes : frame->body_length);
    uint8_t *at = server_reserve(connection, room);
    size_t length = build_reply(fixture, frame, at);
    server_commit(connection, length);
    fixture->answered_bytes += length;
  }
}

static void on_closed(void *context, struct connection *connection) {
  struct fixture *fixture = context;
  fixture->closed_count++;
  fixture->last_word = *server_word(connection);
}

static int open_server(void **state) {
  struct fixture *fixture = aligned_alloc(64, (sizeof(*fixture) + 63) / 64 * 64);
  assert_non_null(fixture);
  memset(fixture, 0, sizeof(*fixture));
  fixture->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  assert_non_null(fixture->loop);
  unix_place_open(&fixture->place);
  fixture->server = server_create(fixture->loop, fixture->place.listener, &fixture->connection_count,
                                  MAX_CONNECTIONS, &fixture->stats, on_frames, on_closed, fixture);
  assert_non_null(fixture->server);
  *state = fixture;
  return 0;
}

static int close_server(void **state) {
  struct fixture *fixture = *state;
  send_most = SIZE_MAX;
  send_interruptions = 0;
  server_destroy(fixture->server);
  assert_int_equal(fixture->connection_count, 0);
  unix_place_close(&fixture->place);
  ev_loop_destroy(fixture->loop);
  free(fixture);
  return 0;
}

static uint64_t counter(const struct fixture *fixture, enum stats_counter which) {
  return fixture->stats.counters[which];
}

static void connect_peer(struct fixture *fixture, struct unix_peer *peer) {
  uint64_t before = counter(fixture, STATS_CONNECTIONS);
  unix_peer_connect(peer, &fixture->place);
  LOOP_UNTIL(fixture->loop, counter(fixture, STATS_CONNECTIONS) == before + 1);
}

static int answer(struct fixture *fixture, size_t index) {
  const struct promise *promise = &fixture->promises[index];
  return server_answer(fixture->server, promise->ref, promise->frame, promise->length);
}

/* ---- numbered frames ---- */

static size_t put_number(uint8_t *at, uint32_t number) {
  at[0] = BODY_BYTES - 1;
  memcpy(at + 1, &number, sizeof(number));
  return BODY_BYTES;
}

/* `count` frames numbered from `first`; a malloc block. */
static uint8_t *build_numbers(uint32_t first, size_t count, size_t *length) {
  uint8_t *bytes = malloc(count * BODY_BYTES);
  assert_non_null(bytes);
  *length = 0;
  for (uint32_t i = 0; i < count; i++)
    *length += put_number(bytes + *length, first + i);
  return bytes;
}

static void send_numbers(const struct unix_peer *peer, uint32_t first, size_t count) {
  size_t length;
  uint8_t *bytes = build_numbers(first, count, &length);
  unix_peer_write_all(peer, bytes, length);
  free(bytes);
}

static uint32_t number_of(const struct frame *frame) {
  uint32_t number;
  assert_true(frame->body_length >= sizeof(number));
  memcpy(&number, frame->body, sizeof(number));
  return number;
}

/* Takes the whole frames received, which must be numbered from `next` on; returns the next number. */
static uint32_t take_numbers(struct unix_peer *peer, uint32_t next) {
  struct frame frame;
  size_t at = 0;
  unix_peer_read(peer);
  while (frame_parse(peer->in + at, peer->length - at, FRAME_REPLY_MAX, &frame) == FRAME_COMPLETE) {
    assert_int_equal(number_of(&frame), next);
    next++;
    at += frame.header_length + frame.body_length;
  }
  unix_peer_take(peer, at);
  return next;
}

static bool has_received(struct unix_peer *peer, const void *bytes, size_t length) {
  unix_peer_read(peer);
  return peer->length == length && memcmp(peer->in, bytes, length) == 0;
}

static void assert_echoes(struct fixture *fixture, struct unix_peer *peer) {
  unix_peer_write_all(peer, "\004echo", 5);
  LOOP_UNTIL(fixture->loop, has_received(peer, "\004echo", 5));
  unix_peer_take(peer, 5);
}

/* ---- frames ---- */

static void a_whole_frame_is_answered(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  connect_peer(fixture, &peer);
  unix_peer_write_all(&peer, "\005hello", 6);
  LOOP_UNTIL(fixture->loop, has_received(&peer, "\005hello", 6));
  assert_int_equal(fixture->frame_count, 1);
  assert_int_equal(fixture->connection_count, 1);
  unix_peer_close(&peer);
  LOOP_UNTIL(fixture->loop, fixture->connection_count == 0);
}

static void an_empty_frame_is_a_frame(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  connect_peer(fixture, &peer);
  unix_peer_write_all(&peer, "\0\0\0", 3);
  LOOP_UNTIL(fixture->loop, has_received(&peer, "\0\0\0", 3));
  assert_int_equal(fixture->frame_count, 3);
  unix_peer_close(&peer);
}

/* Three frames, the second with a length of two octets. */
static size_t build_three(uint8_t bytes[512]) {
  uint8_t *at = bytes;
  at += put_number(at, 1);
  at += frame_build_header(at, 300);
  for (int i = 0; i < 300; i++)
    *at++ = (uint8_t)i;
  at += put_number(at, 2);
  return (size_t)(at - bytes);
}

static void frames_split_at_any_octet_are_put_together(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint8_t bytes[512];
  size_t length = build_three(bytes);
  connect_peer(fixture, &peer);
  for (size_t split = 1; split < length; split++) {
    unix_peer_write_all(&peer, bytes, split);
    loop_settle(fixture->loop);
    unix_peer_write_all(&peer, bytes + split, length - split);
    LOOP_UNTIL(fixture->loop, has_received(&peer, bytes, length));
    unix_peer_take(&peer, length);
  }
  assert_int_equal(fixture->frame_count, 3 * (length - 1));
  unix_peer_close(&peer);
}

static void frames_that_come_octet_by_octet_are_put_together(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint8_t bytes[512];
  size_t length = build_three(bytes);
  connect_peer(fixture, &peer);
  for (size_t i = 0; i < length; i++) {
    unix_peer_write_all(&peer, bytes + i, 1);
    ev_run(fixture->loop, EVRUN_NOWAIT);
  }
  LOOP_UNTIL(fixture->loop, has_received(&peer, bytes, length));
  assert_int_equal(fixture->frame_count, 3);
  unix_peer_close(&peer);
}

static void many_frames_in_one_write_are_handed_on_in_order_in_bounded_batches(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t next = 0;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 1000);
  LOOP_UNTIL(fixture->loop, (next = take_numbers(&peer, next)) == 1000);
  assert_int_equal(fixture->largest_batch, SERVER_BATCH_MAX);
  assert_int_equal(fixture->call_count, (1000 + SERVER_BATCH_MAX - 1) / SERVER_BATCH_MAX);
  unix_peer_close(&peer);
}

static void replies_to_one_read_are_one_write(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t next = 0;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 1000);
  send_count = 0;
  LOOP_UNTIL(fixture->loop, (next = take_numbers(&peer, next)) == 1000);
  assert_int_equal(send_count, 1);
  unix_peer_close(&peer);
}

/* ---- what many connections sent a little of ---- */

static void frames_of_connections_that_are_readable_together_are_handed_on_together(void **state) {
  struct fixture *fixture = *state;
  enum { PEERS = 20 };
  struct unix_peer peers[PEERS];
  for (int i = 0; i < PEERS; i++)
    connect_peer(fixture, &peers[i]);
  for (uint32_t i = 0; i < PEERS; i++)
    send_numbers(&peers[i], 100 * i, 1);
  ev_run(fixture->loop, EVRUN_NOWAIT);
  assert_int_equal(fixture->frame_count, PEERS);
  assert_int_equal(fixture->call_count, 1);
  for (uint32_t i = 0; i < PEERS; i++) {
    assert_int_equal(take_numbers(&peers[i], 100 * i), 100 * i + 1);
    unix_peer_close(&peers[i]);
  }
}

static void more_than_a_batch_from_many_connections_is_handed_on_in_batches(void **state) {
  struct fixture *fixture = *state;
  enum { PEERS = 30, EACH = 3 };
  struct unix_peer peers[PEERS];
  for (int i = 0; i < PEERS; i++)
    connect_peer(fixture, &peers[i]);
  send_count = 0;
  for (uint32_t i = 0; i < PEERS; i++)
    send_numbers(&peers[i], 100 * i, EACH);
  ev_run(fixture->loop, EVRUN_NOWAIT);
  assert_int_equal(fixture->frame_count, PEERS * EACH);
  assert_in_range(fixture->largest_batch, SERVER_BATCH_MAX - EACH, SERVER_BATCH_MAX);
  assert_int_equal(send_count, PEERS); /* one for each */
  for (uint32_t i = 0; i < PEERS; i++) {
    assert_int_equal(take_numbers(&peers[i], 100 * i), 100 * i + EACH);
    unix_peer_close(&peers[i]);
  }
}

static void whole_and_half_frames_of_many_connections_are_all_answered(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peers[3];
  for (int i = 0; i < 3; i++)
    connect_peer(fixture, &peers[i]);
  unix_peer_write_all(&peers[0], "\004echo", 5);
  unix_peer_write_all(&peers[1], "\004echo\004ec", 8);
  unix_peer_write_all(&peers[2], "\004echo", 5);
  ev_run(fixture->loop, EVRUN_NOWAIT);
  assert_int_equal(fixture->frame_count, 3);
  unix_peer_write_all(&peers[1], "ho", 2);
  LOOP_UNTIL(fixture->loop, has_received(&peers[1], "\004echo\004echo", 10));
  assert_true(has_received(&peers[0], "\004echo", 5) && has_received(&peers[2], "\004echo", 5));
  for (int i = 0; i < 3; i++)
    unix_peer_close(&peers[i]);
}

static void on_answer_now(struct ev_loop *loop, ev_check *check, int events) {
  (void)loop, (void)events;
  struct fixture *fixture = check->data;
  if (fixture->promise_count == 1)
    assert_int_equal(answer(fixture, 0), 0);
}

/* Its end is found by the answer to something else, after its frame was read and before it is handed on. */
static void what_has_gathered_of_a_connection_that_ends_is_forgotten(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer gone, other;
  ev_check check;
  connect_peer(fixture, &gone);
  connect_peer(fixture, &other);
  fixture->defers = true;
  send_numbers(&gone, 7, 1);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == 1);
  fixture->defers = false;
  send_numbers(&gone, 8, 1);
  send_numbers(&other, 9, 1);
  unix_peer_close(&gone);
  ev_check_init(&check, on_answer_now);
  ev_set_priority(&check, EV_MINPRI + 1); /* behind those that read */
  check.data = fixture;
  ev_check_start(fixture->loop, &check);
  ev_run(fixture->loop, EVRUN_NOWAIT);
  ev_check_stop(fixture->loop, &check);
  assert_int_equal(fixture->closed_count, 1);
  assert_int_equal(fixture->frame_count, 2); /* of both before, and of the other */
  assert_int_equal(take_numbers(&other, 9), 10);
  unix_peer_close(&other);
}

static void writes_cut_short_or_interrupted_lose_nothing(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t next = 0;
  connect_peer(fixture, &peer);
  send_most = 7;
  send_interruptions = 3;
  send_numbers(&peer, 0, 500);
  LOOP_UNTIL(fixture->loop, (next = take_numbers(&peer, next)) == 500);
  assert_int_equal(peer.length, 0);
  assert_int_equal(send_interruptions, 0);
  LOOP_UNTIL(fixture->loop, server_is_drained(fixture->server));
  unix_peer_close(&peer);
}

/* A frame of the largest body, which never fits into one read behind something else. */
static void a_frame_of_the_largest_size_is_taken(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  size_t length = 1 + FRAME_HEADER_MAX + FRAME_REQUEST_MAX, at = 0, sent = 0;
  uint8_t *bytes = calloc(1, length);
  assert_non_null(bytes);
  at += frame_build_header(bytes, 0);
  at += frame_build_header(bytes + at, FRAME_REQUEST_MAX);
  memset(bytes + at, 'x', FRAME_REQUEST_MAX);
  length = at + FRAME_REQUEST_MAX;
  connect_peer(fixture, &peer);
  LOOP_UNTIL(fixture->loop, (sent += unix_peer_write(&peer, bytes + sent, length - sent)) == length);
  LOOP_UNTIL(fixture->loop, has_received(&peer, bytes, length));
  assert_int_equal(fixture->frame_count, 2);
  free(bytes);
  unix_peer_close(&peer);
}

static void a_connection_that_waits_for_nothing_holds_no_memory(void **state) {
  enum { PEERS = 40, HALF = 20000 };
  struct fixture *fixture = *state;
  struct unix_peer peers[PEERS];
  uint8_t bytes[FRAME_HEADER_MAX + 2 * HALF] = {0};
  size_t length = frame_build_header(bytes, 2 * HALF) + 2 * HALF;
  for (int i = 0; i < PEERS; i++)
    connect_peer(fixture, &peers[i]);
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  fixture->reply_bytes = 4;
  size_t before = mallinfo2().uordblks;
#endif
  for (int i = 0; i < PEERS; i++)
    unix_peer_write_all(&peers[i], bytes, HALF);
  loop_settle(fixture->loop);
  for (int i = 0; i < PEERS; i++)
    unix_peer_write_all(&peers[i], bytes + HALF, length - HALF);
  LOOP_UNTIL(fixture->loop, fixture->frame_count == PEERS);
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  assert_true(mallinfo2().uordblks < before + 8192);
#endif
  for (int i = 0; i < PEERS; i++)
    unix_peer_close(&peers[i]);
}

/* ---- the end of a connection ---- */

static void a_client_that_closes_its_side_still_gets_its_answers(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t next = 0;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 100);
  shutdown(peer.fd, SHUT_WR);
  LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&peer));
  next = take_numbers(&peer, next);
  assert_int_equal(next, 100);
  assert_int_equal(fixture->connection_count, 0);
  unix_peer_close(&peer);
}

static void a_client_that_closes_its_side_still_gets_what_it_was_promised(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 2);
  shutdown(peer.fd, SHUT_WR);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == 2);
  loop_settle(fixture->loop);
  assert_int_equal(answer(fixture, 0), 1);
  loop_settle(fixture->loop);
  assert_int_equal(take_numbers(&peer, 0), 1);
  assert_false(peer.at_end);
  assert_int_equal(answer(fixture, 1), 1);
  LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&peer));
  assert_int_equal(take_numbers(&peer, 1), 2);
  assert_int_equal(fixture->connection_count, 0);
  unix_peer_close(&peer);
}

static void a_client_that_hangs_up_is_closed_at_once_whatever_it_was_promised(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 2);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == 2);
  assert_int_equal(fixture->closed_count, 0);
  unix_peer_close(&peer);
  LOOP_UNTIL(fixture->loop, fixture->closed_count == 1);
  assert_ptr_equal(fixture->last_word, fixture);
  assert_int_equal(fixture->connection_count, 0);
  assert_int_equal(answer(fixture, 0), 0);
  assert_int_equal(answer(fixture, 1), 0);
}

static void a_connection_object_used_again_has_forgotten_its_word(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 1);
  LOOP_UNTIL(fixture->loop, fixture->frame_count == 1);
  unix_peer_close(&peer);
  LOOP_UNTIL(fixture->loop, fixture->closed_count == 1);
  connect_peer(fixture, &peer);
  unix_peer_close(&peer);
  LOOP_UNTIL(fixture->loop, fixture->closed_count == 2);
  assert_null(fixture->last_word);
}

static void a_half_frame_at_the_end_is_forgotten(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  connect_peer(fixture, &peer);
  unix_peer_write_all(&peer, "\005hel", 4);
  shutdown(peer.fd, SHUT_WR);
  LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&peer));
  assert_int_equal(fixture->frame_count, 0);
  assert_int_equal(counter(fixture, STATS_CONNECTIONS_BROKEN), 0);
  unix_peer_close(&peer);
}

/* What is written behind three numbers is the end of the connection, but not of their answers. */
static void assert_broken_by(struct fixture *fixture, const void *bytes, size_t length, bool defers) {
  struct unix_peer peer;
  uint64_t broken = counter(fixture, STATS_CONNECTIONS_BROKEN);
  fixture->defers = defers;
  fixture->promise_count = 0;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 3);
  unix_peer_write_all(&peer, bytes, length);
  LOOP_UNTIL(fixture->loop, counter(fixture, STATS_CONNECTIONS_BROKEN) == broken + 1);
  for (size_t i = 0; i < fixture->promise_count; i++)
    assert_int_equal(answer(fixture, i), 1);
  LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&peer));
  assert_int_equal(take_numbers(&peer, 0), 3);
  assert_int_equal(peer.length, 0);
  assert_int_equal(counter(fixture, STATS_CONNECTIONS_BROKEN), broken + 1);
  assert_int_equal(fixture->connection_count, 0);
  unix_peer_close(&peer);
}

static void lost_framing_closes_behind_the_answers_to_what_came_before(void **state) {
  assert_broken_by(*state, "\xff\xff\xff\xff\xff\xff", 6, false);
  assert_broken_by(*state, "\x81\x80\x04", 3, false); /* 65537 */
  assert_broken_by(*state, "\xff\xff\xff\xff\x0f more", 10, false);
}

static void lost_framing_closes_behind_promised_answers(void **state) {
  assert_broken_by(*state, "\xff\xff\xff\xff\xff\xff", 6, true);
}

static void a_broken_request_closes_behind_the_answers_to_what_came_before(void **state) {
  assert_broken_by(*state, "\005break", 6, false);
}

static void nothing_is_read_behind_a_broken_request(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint8_t bytes[6 + 100 * BODY_BYTES] = "\005break";
  for (uint32_t i = 0; i < 100; i++)
    put_number(bytes + 6 + i * BODY_BYTES, i);
  connect_peer(fixture, &peer);
  unix_peer_write_all(&peer, bytes, sizeof(bytes));
  LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&peer));
  assert_true(fixture->frame_count <= SERVER_BATCH_MAX);
  assert_int_equal(fixture->connection_count, 0);
  unix_peer_close(&peer);
}

/* Lost framing while answers wait: no second look at the octets that were lost. */
static void lost_framing_is_counted_once(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t next = 0;
  fixture->reply_bytes = 30000;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 40);
  loop_settle(fixture->loop);
  unix_peer_write_all(&peer, "\xff\xff\xff\xff\xff", 5);
  LOOP_UNTIL(fixture->loop, ((next = take_numbers(&peer, next)), peer.at_end));
  assert_int_equal(next, 40);
  assert_int_equal(counter(fixture, STATS_CONNECTIONS_BROKEN), 1);
  assert_int_equal(fixture->connection_count, 0);
  unix_peer_close(&peer);
}

static void an_answer_for_a_client_that_has_gone_is_late(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 3);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == 3);
  unix_peer_close(&peer);
  assert_int_equal(answer(fixture, 0), 0); /* before the server has noticed */
  assert_int_equal(fixture->connection_count, 0);
  loop_settle(fixture->loop);
  assert_int_equal(answer(fixture, 1), 0);
  assert_int_equal(answer(fixture, 2), 0);
  assert_true(server_is_drained(fixture->server));
}

/* With unread octets at its close, a client resets: the connection ends although it is owed. */
static void reset_with_a_promise(struct fixture *fixture) {
  struct unix_peer peer;
  size_t before = fixture->promise_count;
  connect_peer(fixture, &peer);
  fixture->defers = false;
  send_numbers(&peer, 0, 1);
  LOOP_UNTIL(fixture->loop, fixture->answered_bytes > 0);
  fixture->defers = true;
  send_numbers(&peer, 77, 1);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == before + 1);
  unix_peer_close(&peer);
  LOOP_UNTIL(fixture->loop, fixture->connection_count == 0);
}

static void an_answer_never_reaches_the_next_client_in_the_same_place(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  reset_with_a_promise(fixture);
  fixture->defers = false;
  connect_peer(fixture, &peer);
  assert_echoes(fixture, &peer);
  assert_int_equal(answer(fixture, 0), 0);
  fixture->defers = true;
  send_numbers(&peer, 5, 1);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == 2);
  assert_int_equal(fixture->promises[0].ref.index, fixture->promises[1].ref.index);
  assert_int_equal(answer(fixture, 0), 0);
  assert_int_equal(answer(fixture, 1), 1);
  assert_int_equal(answer(fixture, 0), 0);
  loop_settle(fixture->loop);
  assert_int_equal(take_numbers(&peer, 5), 6);
  assert_int_equal(peer.length, 0);
  unix_peer_close(&peer);
}

static void places_of_connections_are_used_again(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peers[70];
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 70; i++)
      connect_peer(fixture, &peers[i]);
    for (int i = 0; i < 70; i++)
      assert_echoes(fixture, &peers[i]);
    for (int i = 0; i < 70; i++)
      unix_peer_close(&peers[i]);
    LOOP_UNTIL(fixture->loop, fixture->connection_count == 0);
  }
}

/* ---- back-pressure ---- */

/* Writes numbers from `*next` on until neither the socket nor the server takes more. */
static void flood(struct fixture *fixture, struct unix_peer *peer, uint32_t *next) {
  enum { CHUNK = 200 };
  for (;;) {
    uint8_t bytes[CHUNK * BODY_BYTES];
    size_t length = 0, wrote;
    for (uint32_t i = 0; i < CHUNK; i++)
      length += put_number(bytes + length, *next + i);
    wrote = unix_peer_write(peer, bytes, length);
    *next += (uint32_t)(wrote / BODY_BYTES);
    if (wrote % BODY_BYTES) { /* the rest of a frame: wait for room */
      size_t rest = BODY_BYTES - wrote % BODY_BYTES;
      LOOP_UNTIL(fixture->loop, unix_peer_write(peer, bytes + wrote, rest) == rest);
      (*next)++;
    }
    size_t before = fixture->frame_count;
    loop_settle(fixture->loop);
    if (wrote < length && fixture->frame_count == before)
      return;
  }
}

static void a_client_that_does_not_read_is_not_read(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer deaf, other;
  uint32_t sent = 0, next = 0;
  fixture->reply_bytes = 10000;
  connect_peer(fixture, &deaf);
  connect_peer(fixture, &other);
  flood(fixture, &deaf, &sent);
  /* The pause, one more batch, and what the kernel holds. */
  assert_true(fixture->answered_bytes < SERVER_OUTPUT_PAUSE_BYTES + 2 * 32 * 10002 + 512 * 1024);
  assert_int_equal(counter(fixture, STATS_CONNECTIONS_PAUSED), 1);
  assert_false(server_is_drained(fixture->server));

  size_t before = fixture->frame_count;
  fixture->reply_bytes = 0;
  for (int i = 0; i < 100; i++)
    assert_echoes(fixture, &other);
  assert_int_equal(fixture->frame_count, before + 100);

  fixture->reply_bytes = 10000;
  LOOP_UNTIL(fixture->loop, (next = take_numbers(&deaf, next)) == sent);
  assert_int_equal(deaf.length, 0);
  LOOP_UNTIL(fixture->loop, server_is_drained(fixture->server));
  unix_peer_close(&deaf);
  unix_peer_close(&other);
}

static void a_paused_client_that_closes_its_side_gets_everything(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t sent = 0, next = 0;
  fixture->reply_bytes = 10000;
  connect_peer(fixture, &peer);
  flood(fixture, &peer, &sent);
  shutdown(peer.fd, SHUT_WR);
  loop_settle(fixture->loop);
  assert_int_equal(fixture->connection_count, 1);
  LOOP_UNTIL(fixture->loop, ((next = take_numbers(&peer, next)), peer.at_end));
  assert_int_equal(next, sent);
  unix_peer_close(&peer);
}

static void a_paused_client_that_goes_away_is_closed(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t sent = 0;
  fixture->reply_bytes = 10000;
  connect_peer(fixture, &peer);
  flood(fixture, &peer, &sent);
  unix_peer_close(&peer);
  LOOP_UNTIL(fixture->loop, fixture->connection_count == 0);
}

static void no_more_than_the_bound_of_promises_is_outstanding(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 3000); /* one read of the server's */
  LOOP_UNTIL(fixture->loop, fixture->promise_count >= SERVER_OUTSTANDING_MAX);
  loop_settle(fixture->loop);
  assert_int_equal(fixture->promise_count, SERVER_OUTSTANDING_MAX);
  assert_int_equal(counter(fixture, STATS_CONNECTIONS_PAUSED), 1);
  for (uint32_t i = 0; i < 3000; i++) {
    assert_int_equal(answer(fixture, i), 1);
    loop_settle(fixture->loop);
    size_t bound = i + 1 + SERVER_OUTSTANDING_MAX;
    assert_int_equal(fixture->promise_count, bound < 3000 ? bound : 3000);
    assert_int_equal(take_numbers(&peer, i), i + 1);
  }
  assert_true(server_is_drained(fixture->server));
  unix_peer_close(&peer);
}

static void frames_read_before_a_pause_and_after_it_keep_their_order(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t next = 0;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 1500);
  unix_peer_write_all(&peer, "\004\xdc\x05", 3); /* 1500, in two pieces */
  LOOP_UNTIL(fixture->loop, fixture->promise_count == SERVER_OUTSTANDING_MAX);
  loop_settle(fixture->loop);
  unix_peer_write_all(&peer, "\0\0", 2);
  send_numbers(&peer, 1501, 2000);
  for (size_t i = 0; i < 3501; i++) {
    LOOP_UNTIL(fixture->loop, i < fixture->promise_count);
    assert_int_equal(answer(fixture, i), 1);
  }
  LOOP_UNTIL(fixture->loop, (next = take_numbers(&peer, next)) == 3501);
  unix_peer_close(&peer);
}

static void a_client_paused_by_its_promises_that_closes_its_side_gets_everything(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 2500);
  shutdown(peer.fd, SHUT_WR);
  for (size_t i = 0; i < 2500; i++) {
    LOOP_UNTIL(fixture->loop, i < fixture->promise_count);
    assert_int_equal(answer(fixture, i), 1);
  }
  LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&peer));
  assert_int_equal(take_numbers(&peer, 0), 2500);
  unix_peer_close(&peer);
}

static void late_answers_for_a_client_that_does_not_read_are_kept_whole(void **state) {
  enum { LENGTH = 300000 };
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t next = 0;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 4);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == 4);
  uint8_t *bytes = calloc(1, FRAME_HEADER_MAX + LENGTH);
  assert_non_null(bytes);
  size_t header_length = frame_build_header(bytes, LENGTH);
  for (uint32_t i = 0; i < 4; i++) {
    memcpy(bytes + header_length, &i, sizeof(i));
    assert_int_equal(server_answer(fixture->server, fixture->promises[i].ref, bytes, header_length + LENGTH),
                     1);
    unix_peer_read(&peer); /* there is room before the server is told: nothing may overtake */
  }
  free(bytes);
  LOOP_UNTIL(fixture->loop, (next = take_numbers(&peer, next)) == 4);
  assert_int_equal(peer.length, 0);
  LOOP_UNTIL(fixture->loop, server_is_drained(fixture->server));
  unix_peer_close(&peer);
}

static void a_promise_kept_with_nothing_frees_its_place(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 1);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == 1);
  assert_int_equal(server_answer(fixture->server, fixture->promises[0].ref, NULL, 0), 1);
  assert_true(server_is_drained(fixture->server));
  fixture->defers = false;
  assert_echoes(fixture, &peer);
  unix_peer_close(&peer);
}

/* A client that always has more, and reads all it gets, does not keep another one waiting. */
static void a_busy_client_does_not_starve_another(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer busy, other;
  size_t length;
  uint8_t *bytes = build_numbers(0, 30000, &length);
  connect_peer(fixture, &busy);
  connect_peer(fixture, &other);
  for (int round = 0; round < 20; round++) {
    int turns = 0;
    unix_peer_write_all(&other, "\004echo", 5);
    do {
      for (size_t wrote = 1; wrote > 0;)
        wrote = unix_peer_write(&busy, bytes, length); /* numbers may be cut: they are not looked at */
      size_t before = fixture->frame_count;
      ev_run(fixture->loop, EVRUN_NOWAIT);
      assert_true(fixture->frame_count - before <= 64 * 1024);
      unix_peer_read(&busy);
      unix_peer_take(&busy, busy.length);
      turns++;
    } while (!has_received(&other, "\004echo", 5));
    assert_true(turns <= 2);
    unix_peer_take(&other, 5);
    if (busy.at_end) { /* a cut number that lost the framing */
      unix_peer_close(&busy);
      connect_peer(fixture, &busy);
    }
  }
  free(bytes);
  unix_peer_close(&busy);
  unix_peer_close(&other);
}

/* ---- accepting ---- */

static void a_connection_over_the_bound_is_closed_at_once(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peers[3], refused;
  server_destroy(fixture->server);
  fixture->server = server_create(fixture->loop, fixture->place.listener, &fixture->connection_count, 3,
                                  &fixture->stats, on_frames, on_closed, fixture);
  for (int i = 0; i < 3; i++)
    connect_peer(fixture, &peers[i]);
  unix_peer_connect(&refused, &fixture->place);
  LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&refused));
  assert_int_equal(counter(fixture, STATS_CONNECTIONS_REFUSED), 1);
  assert_int_equal(counter(fixture, STATS_CONNECTIONS), 3);
  assert_int_equal(fixture->connection_count, 3);
  unix_peer_close(&refused);
  unix_peer_close(&peers[1]);
  LOOP_UNTIL(fixture->loop, fixture->connection_count == 2);
  connect_peer(fixture, &peers[1]);
  for (int i = 0; i < 3; i++)
    assert_echoes(fixture, &peers[i]);
  for (int i = 0; i < 3; i++)
    unix_peer_close(&peers[i]);
}

static void the_bound_counts_the_connections_of_all_servers(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  fixture->connection_count = MAX_CONNECTIONS; /* elsewhere */
  unix_peer_connect(&peer, &fixture->place);
  LOOP_UNTIL(fixture->loop, unix_peer_is_at_end(&peer));
  assert_int_equal(fixture->connection_count, MAX_CONNECTIONS);
  unix_peer_close(&peer);
  fixture->connection_count = 0;
}

static void accepting_rests_while_there_are_no_descriptors(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer, next;
  struct rlimit kept, none;
  unix_peer_connect(&peer, &fixture->place);
  assert_return_code(getrlimit(RLIMIT_NOFILE, &kept), errno);
  int lowest = dup(peer.fd); /* the lowest that is free */
  close(lowest);
  none = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = kept.rlim_max};
  assert_return_code(setrlimit(RLIMIT_NOFILE, &none), errno);
  unsigned before = ev_iteration(fixture->loop);
  loop_for(fixture->loop, 250);
  unsigned turns = ev_iteration(fixture->loop) - before;
  assert_return_code(setrlimit(RLIMIT_NOFILE, &kept), errno);
  assert_true(turns < 60); /* those of loop_for are 12 */
  assert_int_equal(fixture->connection_count, 0);
  unix_peer_connect(&next, &fixture->place);
  unix_peer_write_all(&next, "\004echo", 5);
  LOOP_UNTIL(fixture->loop, has_received(&next, "\004echo", 5));
  unix_peer_close(&peer);
  unix_peer_close(&next);
}

/* ---- the end ---- */

static void a_stopped_server_neither_accepts_nor_reads_but_answers(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer, late;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 2);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == 2);
  server_stop(fixture->server);
  assert_false(server_is_drained(fixture->server));
  unix_peer_connect(&late, &fixture->place);
  send_numbers(&peer, 2, 5);
  loop_settle(fixture->loop);
  assert_int_equal(fixture->promise_count, 2);
  assert_int_equal(fixture->connection_count, 1);
  assert_int_equal(answer(fixture, 0), 1);
  assert_false(server_is_drained(fixture->server));
  assert_int_equal(answer(fixture, 1), 1);
  assert_true(server_is_drained(fixture->server));
  loop_settle(fixture->loop);
  assert_int_equal(fixture->promise_count, 2);
  assert_int_equal(take_numbers(&peer, 0), 2);
  unix_peer_close(&peer);
  unix_peer_close(&late);
}

static void a_stopped_server_hands_on_nothing_it_had_read(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  fixture->defers = true;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 2000);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == SERVER_OUTSTANDING_MAX);
  server_stop(fixture->server);
  for (size_t i = 0; i < SERVER_OUTSTANDING_MAX; i++)
    assert_int_equal(answer(fixture, i), 1);
  uint32_t next = 0;
  LOOP_UNTIL(fixture->loop, (next = take_numbers(&peer, next)) == SERVER_OUTSTANDING_MAX);
  LOOP_UNTIL(fixture->loop, server_is_drained(fixture->server));
  assert_int_equal(fixture->promise_count, SERVER_OUTSTANDING_MAX);
  unix_peer_close(&peer);
}

static void a_stopped_server_is_not_drained_before_all_is_written(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  uint32_t next = 0;
  fixture->reply_bytes = 10000;
  connect_peer(fixture, &peer);
  send_numbers(&peer, 0, 40);
  LOOP_UNTIL(fixture->loop, fixture->frame_count == 40);
  server_stop(fixture->server);
  loop_settle(fixture->loop);
  assert_false(server_is_drained(fixture->server));
  LOOP_UNTIL(fixture->loop, (next = take_numbers(&peer, next)) == 40);
  LOOP_UNTIL(fixture->loop, server_is_drained(fixture->server));
  unix_peer_close(&peer);
}

static void destroying_closes_whatever_is_owed(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer promised, deaf, half;
  uint32_t sent = 0;
  connect_peer(fixture, &promised);
  connect_peer(fixture, &deaf);
  connect_peer(fixture, &half);
  unix_peer_write_all(&half, "\005hel", 4);
  fixture->reply_bytes = 10000;
  flood(fixture, &deaf, &sent);
  fixture->defers = true;
  send_numbers(&promised, 0, 1);
  LOOP_UNTIL(fixture->loop, fixture->promise_count == 1);
  server_destroy(fixture->server);
  fixture->server = NULL;
  assert_int_equal(fixture->connection_count, 0);
  assert_true(unix_peer_is_at_end(&promised));
  assert_true(unix_peer_is_at_end(&half));
  assert_true(unix_peer_is_at_end(&deaf));
  unix_peer_close(&promised);
  unix_peer_close(&deaf);
  unix_peer_close(&half);
}

/* ---- all of it together ---- */

static uint32_t next_random(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

struct talk {
  struct unix_peer peer;
  uint8_t *bytes;
  size_t length, sent;
  size_t seen_count;
  uint8_t *seen; /* by number */
};

enum { TALKS = 4, NUMBERS = 4000 };

/* Every number comes back once, whole, whatever the pieces. */
static void take_seen(struct talk *talk, uint32_t first) {
  struct frame frame;
  size_t at = 0;
  while (frame_parse(talk->peer.in + at, talk->peer.length - at, FRAME_REPLY_MAX, &frame) == FRAME_COMPLETE) {
    uint32_t number = number_of(&frame) - first;
    assert_true(number < NUMBERS);
    assert_int_equal(talk->seen[number], 0);
    talk->seen[number] = 1;
    talk->seen_count++;
    at += frame.header_length + frame.body_length;
  }
  unix_peer_take(&talk->peer, at);
}

static void nothing_is_lost_or_doubled_in_pieces_of_any_size(void **state) {
  struct fixture *fixture = *state;
  struct talk talks[TALKS] = {0};
  uint32_t seed = 1;
  size_t answered = 0, finished = 0;
  fixture->defers_odd = true;
  for (uint32_t i = 0; i < TALKS; i++) {
    connect_peer(fixture, &talks[i].peer);
    talks[i].bytes = malloc(NUMBERS * BODY_BYTES);
    assert_non_null(talks[i].bytes);
    for (uint32_t n = 0; n < NUMBERS; n++) { /* the last octet tells who is promised */
      uint32_t number = (n & 0xffffff) | (n % 3 == 0 ? 1u << 24 : 0);
      talks[i].length += put_number(talks[i].bytes + talks[i].length, number);
    }
    talks[i].seen = calloc(1, NUMBERS);
    assert_non_null(talks[i].seen);
  }
  for (int round = 0; finished < TALKS; round++) {
    assert_true(round < 1000000);
    struct talk *talk = &talks[next_random(&seed) % TALKS];
    size_t most = next_random(&seed) % 3000, left = talk->length - talk->sent;
    talk->sent += unix_peer_write(&talk->peer, talk->bytes + talk->sent, most < left ? most : left);
    if (next_random(&seed) % 2)
      ev_run(fixture->loop, EVRUN_NOWAIT);
    for (uint32_t n = next_random(&seed) % 200; n > 0 && answered < fixture->promise_count; n--)
      assert_int_equal(answer(fixture, answered++), 1);
    if (next_random(&seed) % 4 == 0)
      unix_peer_read_some(&talk->peer, 1 + next_random(&seed) % 5000);
    for (size_t at = 0; at + BODY_BYTES <= talk->peer.length; at += BODY_BYTES)
      talk->peer.in[at + BODY_BYTES - 1] = 0; /* back to plain numbers */
    take_seen(talk, 0);
    finished = 0;
    for (int i = 0; i < TALKS; i++)
      finished += talks[i].seen_count == NUMBERS;
  }
  for (int i = 0; i < TALKS; i++) {
    assert_int_equal(talks[i].peer.length, 0);
    unix_peer_close(&talks[i].peer);
    free(talks[i].bytes);
    free(talks[i].seen);
  }
}

/* ---- several servers, a thread each ---- */

enum { WORKERS = 2, CLIENTS = 40 };

struct worker {
  pthread_t thread;
  struct ev_loop *loop;
  ev_async end;
  struct stats stats;
  struct server *server;
};

static void echo_closed(void *context, struct connection *connection) { (void)context, (void)connection; }

static void echo_frames(void *context, const struct arrival *arrivals, size_t count) {
  (void)context;
  for (size_t i = 0; i < count; i++) {
    uint8_t *at = server_reserve(arrivals[i].connection, FRAME_HEADER_MAX + arrivals[i].frame.body_length);
    size_t header_length = frame_build_header(at, arrivals[i].frame.body_length);
    memcpy(at + header_length, arrivals[i].frame.body, arrivals[i].frame.body_length);
    server_commit(arrivals[i].connection, header_length + arrivals[i].frame.body_length);
  }
}

static void on_end(struct ev_loop *loop, ev_async *end, int events) {
  (void)end, (void)events;
  ev_break(loop, EVBREAK_ALL);
}

static void *run_worker(void *context) {
  struct worker *worker = context;
  ev_run(worker->loop, 0);
  return NULL;
}

/* Waits for the answer to one number. */
static void ask_number(const struct unix_peer *peer, uint32_t number) {
  uint8_t bytes[BODY_BYTES], got[BODY_BYTES];
  put_number(bytes, number);
  unix_peer_write_all(peer, bytes, sizeof(bytes));
  for (size_t at = 0; at < sizeof(got);) {
    ssize_t length = recv(peer->fd, got + at, sizeof(got) - at, 0);
    assert_true(length > 0);
    at += (size_t)length;
  }
  assert_memory_equal(got, bytes, sizeof(bytes));
}

static void servers_in_several_threads_share_a_socket_and_a_bound(void **state) {
  (void)state;
  struct worker *workers = aligned_alloc(64, WORKERS * sizeof(*workers));
  struct unix_place place;
  struct unix_peer peers[CLIENTS], over;
  _Atomic uint32_t connection_count = 0;
  assert_non_null(workers);
  memset(workers, 0, WORKERS * sizeof(*workers));
  unix_place_open(&place);
  for (int i = 0; i < WORKERS; i++) {
    workers[i].loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    workers[i].server = server_create(workers[i].loop, place.listener, &connection_count, CLIENTS,
                                      &workers[i].stats, echo_frames, echo_closed, NULL);
    ev_async_init(&workers[i].end, on_end);
    ev_async_start(workers[i].loop, &workers[i].end);
    assert_int_equal(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]), 0);
  }
  for (int i = 0; i < CLIENTS; i++) {
    unix_peer_connect(&peers[i], &place);
    fcntl(peers[i].fd, F_SETFL, 0); /* may wait: the servers run by themselves */
  }
  for (uint32_t round = 0; round < 20; round++)
    for (uint32_t i = 0; i < CLIENTS; i++)
      ask_number(&peers[i], round * CLIENTS + i);
  unix_peer_connect(&over, &place);
  fcntl(over.fd, F_SETFL, 0);
  char octet;
  assert_int_equal(recv(over.fd, &octet, 1, 0), 0);
  unix_peer_close(&over);
  for (int i = 0; i < WORKERS; i++) {
    ev_async_send(workers[i].loop, &workers[i].end);
    pthread_join(workers[i].thread, NULL);
  }
  assert_int_equal(connection_count, CLIENTS);
  uint64_t accepted = 0, refused = 0;
  for (int i = 0; i < WORKERS; i++) {
    accepted += workers[i].stats.counters[STATS_CONNECTIONS];
    refused += workers[i].stats.counters[STATS_CONNECTIONS_REFUSED];
    ev_async_stop(workers[i].loop, &workers[i].end);
    server_destroy(workers[i].server);
    ev_loop_destroy(workers[i].loop);
  }
  assert_int_equal(accepted, CLIENTS);
  assert_int_equal(refused, 1);
  assert_int_equal(connection_count, 0);
  for (int i = 0; i < CLIENTS; i++)
    unix_peer_close(&peers[i]);
  unix_place_close(&place);
  free(workers);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_whole_frame_is_answered),
      TEST(an_empty_frame_is_a_frame),
      TEST(frames_split_at_any_octet_are_put_together),
      TEST(frames_that_come_octet_by_octet_are_put_together),
      TEST(many_frames_in_one_write_are_handed_on_in_order_in_bounded_batches),
      TEST(replies_to_one_read_are_one_write),
      TEST(frames_of_connections_that_are_readable_together_are_handed_on_together),
      TEST(more_than_a_batch_from_many_connections_is_handed_on_in_batches),
      TEST(whole_and_half_frames_of_many_connections_are_all_answered),
      TEST(what_has_gathered_of_a_connection_that_ends_is_forgotten),
      TEST(writes_cut_short_or_interrupted_lose_nothing),
      TEST(a_frame_of_the_largest_size_is_taken),
      TEST(a_connection_that_waits_for_nothing_holds_no_memory),
      TEST(a_client_that_closes_its_side_still_gets_its_answers),
      TEST(a_client_that_closes_its_side_still_gets_what_it_was_promised),
      TEST(a_client_that_hangs_up_is_closed_at_once_whatever_it_was_promised),
      TEST(a_connection_object_used_again_has_forgotten_its_word),
      TEST(a_half_frame_at_the_end_is_forgotten),
      TEST(lost_framing_closes_behind_the_answers_to_what_came_before),
      TEST(lost_framing_closes_behind_promised_answers),
      TEST(a_broken_request_closes_behind_the_answers_to_what_came_before),
      TEST(nothing_is_read_behind_a_broken_request),
      TEST(lost_framing_is_counted_once),
      TEST(an_answer_for_a_client_that_has_gone_is_late),
      TEST(an_answer_never_reaches_the_next_client_in_the_same_place),
      TEST(places_of_connections_are_used_again),
      TEST(a_client_that_does_not_read_is_not_read),
      TEST(a_paused_client_that_closes_its_side_gets_everything),
      TEST(a_paused_client_that_goes_away_is_closed),
      TEST(no_more_than_the_bound_of_promises_is_outstanding),
      TEST(frames_read_before_a_pause_and_after_it_keep_their_order),
      TEST(a_client_paused_by_its_promises_that_closes_its_side_gets_everything),
      TEST(late_answers_for_a_client_that_does_not_read_are_kept_whole),
      TEST(a_promise_kept_with_nothing_frees_its_place),
      TEST(a_busy_client_does_not_starve_another),
      TEST(a_connection_over_the_bound_is_closed_at_once),
      TEST(the_bound_counts_the_connections_of_all_servers),
      TEST(accepting_rests_while_there_are_no_descriptors),
      TEST(a_stopped_server_neither_accepts_nor_reads_but_answers),
      TEST(a_stopped_server_hands_on_nothing_it_had_read),
      TEST(a_stopped_server_is_not_drained_before_all_is_written),
      TEST(destroying_closes_whatever_is_owed),
      TEST(nothing_is_lost_or_doubled_in_pieces_of_any_size),
      cmocka_unit_test(servers_in_several_threads_share_a_socket_and_a_bound),
  };
  return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
