#include "cmocka_compat.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/channel.h"
#include "loop_until.h"

enum { TIMEOUT_MS = 100, HEADER = 12, OPT_LENGTH = 11, REPLY_MAX = 512 };

/* A header, the question d.test MX, and OPT. */
static const uint8_t query[] =
    "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
    "\x01"
    "d\x04test\x00\x00\x0f\x00\x01"
    "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00";
enum { QUERY_LENGTH = sizeof(query), PLAIN_LENGTH = QUERY_LENGTH - OPT_LENGTH };

/* What came of one query. */
struct end {
  unsigned calls;
  enum channel_result result;
  size_t length;
  bool was_plain;
};

struct fixture {
  struct ev_loop *loop;
  struct stats stats;
  struct channels *channels;
  struct channel_server server;
  int socket; /* the upstream server's */
};

static struct channel *channel_in_use; /* whose `was_plain` on_done asks for */

static void on_done(void *context, enum channel_result result, const uint8_t *bytes, size_t length) {
  struct end *end = context;
  end->calls++;
  end->result = result;
  end->length = length;
  bool has_opt = bytes && bytes[11] > 0;
  if (result != CHANNEL_CLOSED && channel_in_use)
    end->was_plain = channel_was_plain(channel_in_use, has_opt, clock_now_ms());
}

static int setup(void **state) {
  struct fixture *fixture = aligned_alloc(64, sizeof(*fixture));
  memset(fixture, 0, sizeof(*fixture));
  struct sockaddr_in *address = (struct sockaddr_in *)&fixture->server.address;
  address->sin_family = AF_INET;
  address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(*address);
  fixture->socket = socket(AF_INET, SOCK_DGRAM, 0);
  assert_int_equal(bind(fixture->socket, (struct sockaddr *)address, length), 0);
  assert_int_equal(getsockname(fixture->socket, (struct sockaddr *)address, &length), 0);
  fixture->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  fixture->channels = channels_create(fixture->loop, TIMEOUT_MS, on_done, &fixture->stats);
  assert_non_null(fixture->channels);
  channel_in_use = NULL;
  *state = fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  channels_destroy(fixture->channels);
  ev_loop_destroy(fixture->loop);
  close(fixture->socket);
  free(fixture);
  return 0;
}

static bool send_query(struct fixture *fixture, bool with_edns, struct end *end,
                       enum channel_result *failure) {
  uint8_t bytes[QUERY_LENGTH];
  memcpy(bytes, query, QUERY_LENGTH);
  bytes[11] = with_edns;
  *end = (struct end){0};
  channel_in_use =
      channel_get(fixture->channels, &fixture->server, with_edns ? CHANNEL_UDP : CHANNEL_UDP_PLAIN);
  assert_non_null(channel_in_use);
  return channel_send(channel_in_use, bytes, with_edns ? QUERY_LENGTH : PLAIN_LENGTH, end, failure);
}

/* The upstream server takes one query; returns its length and who asked. */
static size_t take(struct fixture *fixture, uint8_t bytes[REPLY_MAX], struct sockaddr_in *from) {
  socklen_t from_length = sizeof(*from);
  ssize_t got = recvfrom(fixture->socket, bytes, REPLY_MAX, 0, (struct sockaddr *)from, &from_length);
  assert_true(got > HEADER);
  return (size_t)got;
}

/* It answers with the query itself as a reply, with `rcode`, and with or without its OPT. */
static void answer(struct fixture *fixture, unsigned rcode, bool with_opt) {
  uint8_t bytes[REPLY_MAX];
  struct sockaddr_in from;
  size_t length = take(fixture, bytes, &from); /* newer c-ares adds to the OPT */
  bytes[2] |= 0x80;
  bytes[3] = (uint8_t)rcode;
  bytes[11] = with_opt;
  sendto(fixture->socket, bytes, with_opt ? length : PLAIN_LENGTH, 0, (struct sockaddr *)&from, sizeof(from));
}

static void a_reply_is_handed_on_as_it_came(void **state) {
  struct fixture *fixture = *state;
  struct end end;
  enum channel_result failure;
  assert_true(send_query(fixture, true, &end, &failure));
  assert_int_equal(end.calls, 0);
  answer(fixture, 2, true); /* SERVFAIL too: judging is for dns */
  LOOP_UNTIL(fixture->loop, end.calls > 0);
  assert_int_equal(end.calls, 1);
  assert_int_equal(end.result, CHANNEL_MESSAGE);
  assert_true(end.length >= QUERY_LENGTH);
  assert_false(end.was_plain);
}

static void silence_ends_after_the_timeout_and_without_a_second_query(void **state) {
  struct fixture *fixture = *state;
  struct end end;
  enum channel_result failure;
  uint8_t bytes[REPLY_MAX];
  int64_t start_ms = clock_now_ms();
  assert_true(send_query(fixture, true, &end, &failure));
  LOOP_UNTIL(fixture->loop, end.calls > 0);
  assert_int_equal(end.result, CHANNEL_TIMED_OUT);
  assert_true(clock_now_ms() - start_ms >= TIMEOUT_MS);
  struct sockaddr_in from;
  take(fixture, bytes, &from);
  assert_int_equal(recv(fixture->socket, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
}

static void a_closed_port_is_unreachable(void **state) {
  struct fixture *fixture = *state;
  struct end end;
  enum channel_result failure;
  close(fixture->socket);
  fixture->socket = -1;
  if (send_query(fixture, true, &end, &failure)) {
    LOOP_UNTIL(fixture->loop, end.calls > 0);
    failure = end.result;
  }
  assert_int_equal(failure, CHANNEL_UNREACHABLE);
}

static void a_formerr_without_opt_takes_edns_from_the_server_for_a_while(void **state) {
  struct fixture *fixture = *state;
  struct end end;
  enum channel_result failure;
  int version;
  ares_version(&version);
  if (version >= 0x011400)
    skip(); /* newer ones ask again, too, but do not lose EDNS by that */
  assert_true(send_query(fixture, true, &end, &failure));
  answer(fixture, 1, false);
  loop_settle(fixture->loop); /* now it is asked again without OPT */
  answer(fixture, 0, false);
  LOOP_UNTIL(fixture->loop, end.calls > 0);
  assert_int_equal(end.result, CHANNEL_MESSAGE);
  assert_true(end.was_plain);
  assert_true(fixture->server.plain_until_ms > clock_now_ms());
  assert_null(fixture->server.current[CHANNEL_UDP]); /* the spoilt channel serves no new query */
}

static void each_kind_has_a_channel_of_its_own(void **state) {
  struct fixture *fixture = *state;
  struct channel *channels[CHANNEL_KINDS];
  for (enum channel_kind kind = 0; kind < CHANNEL_KINDS; kind++)
    channels[kind] = channel_get(fixture->channels, &fixture->server, kind);
  assert_ptr_not_equal(channels[CHANNEL_UDP], channels[CHANNEL_UDP_PLAIN]);
  assert_ptr_not_equal(channels[CHANNEL_UDP], channels[CHANNEL_TCP]);
  assert_ptr_not_equal(channels[CHANNEL_UDP_PLAIN], channels[CHANNEL_TCP]);
  for (enum channel_kind kind = 0; kind < CHANNEL_KINDS; kind++)
    assert_ptr_equal(channel_get(fixture->channels, &fixture->server, kind), channels[kind]);
}

static void the_source_port_changes_under_load(void **state) {
  struct fixture *fixture = *state;
  uint8_t bytes[REPLY_MAX];
  struct sockaddr_in first, last;
  static struct end end; /* told of the end of all when the fixture is torn down */
  enum channel_result failure;
  for (unsigned i = 0; i <= CHANNEL_QUERIES_MAX; i++) {
    assert_true(send_query(fixture, true, &end, &failure));
    take(fixture, bytes, i == 0 ? &first : &last); /* none is answered: all are under way */
    if (i == CHANNEL_QUERIES_MAX - 1)
      assert_int_equal(first.sin_port, last.sin_port);
  }
  assert_int_not_equal(first.sin_port, last.sin_port);
  assert_int_equal(atomic_load(&fixture->stats.counters[STATS_DNS_CHANNELS]), 2);
  assert_int_equal(atomic_load(&fixture->stats.counters[STATS_DNS_QUERIES]), CHANNEL_QUERIES_MAX + 1);
}

static void a_released_server_ends_what_is_under_way_and_keeps_no_socket(void **state) {
  struct fixture *fixture = *state;
  struct end end;
  enum channel_result failure;
  assert_true(send_query(fixture, true, &end, &failure));
  channel_release(fixture->channels, &fixture->server);
  for (size_t kind = 0; kind < CHANNEL_KINDS; kind++)
    assert_null(fixture->server.current[kind]);
  answer(fixture, 0, true);
  LOOP_UNTIL(fixture->loop, end.calls > 0);
  assert_int_equal(end.result, CHANNEL_MESSAGE);
  loop_for(fixture->loop, 120); /* the next tick closes it */
  assert_false(ev_run(fixture->loop, EVRUN_NOWAIT));
}

static void destroying_ends_what_is_under_way(void **state) {
  struct fixture *fixture = *state;
  struct end end;
  enum channel_result failure;
  assert_true(send_query(fixture, true, &end, &failure));
  channels_destroy(fixture->channels);
  fixture->channels = NULL;
  assert_int_equal(end.calls, 1);
  assert_int_equal(end.result, CHANNEL_CLOSED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_reply_is_handed_on_as_it_came, setup, teardown),
      cmocka_unit_test_setup_teardown(silence_ends_after_the_timeout_and_without_a_second_query, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(a_closed_port_is_unreachable, setup, teardown),
      cmocka_unit_test_setup_teardown(a_formerr_without_opt_takes_edns_from_the_server_for_a_while, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(each_kind_has_a_channel_of_its_own, setup, teardown),
      cmocka_unit_test_setup_teardown(the_source_port_changes_under_load, setup, teardown),
      cmocka_unit_test_setup_teardown(a_released_server_ends_what_is_under_way_and_keeps_no_socket, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(destroying_ends_what_is_under_way, setup, teardown),
  };
  return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
