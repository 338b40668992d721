#include "cmocka_compat.h"

#include <ev.h>

#include "loop_until.h"
#include "serve/acceptor.h"
#include "unix_peer.h"

struct fixture {
  struct ev_loop *loop;
  struct unix_place place;
  struct acceptor acceptor;
  unsigned count;
};

static void on_accepted(void *context, int fd) {
  struct fixture *fixture = context;
  fixture->count++;
  assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
  assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  close(fd);
}

static int open_fixture(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  assert_non_null(fixture);
  fixture->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  unix_place_open(&fixture->place);
  acceptor_start(&fixture->acceptor, fixture->loop, fixture->place.listener, on_accepted, fixture);
  *state = fixture;
  return 0;
}

static int close_fixture(void **state) {
  struct fixture *fixture = *state;
  acceptor_stop(&fixture->acceptor);
  unix_place_close(&fixture->place);
  ev_loop_destroy(fixture->loop);
  free(fixture);
  return 0;
}

static void one_connection_is_taken_each_time_the_loop_wakes_up(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peers[3];
  for (int i = 0; i < 3; i++)
    unix_peer_connect(&peers[i], &fixture->place);
  for (unsigned i = 1; i <= 3; i++) {
    ev_run(fixture->loop, EVRUN_NOWAIT);
    assert_int_equal(fixture->count, i);
  }
  for (int i = 0; i < 3; i++)
    unix_peer_close(&peers[i]);
}

static void nothing_is_taken_after_the_stop(void **state) {
  struct fixture *fixture = *state;
  struct unix_peer peer;
  acceptor_stop(&fixture->acceptor);
  acceptor_stop(&fixture->acceptor);
  unix_peer_connect(&peer, &fixture->place);
  loop_settle(fixture->loop);
  assert_int_equal(fixture->count, 0);
  unix_peer_close(&peer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(one_connection_is_taken_each_time_the_loop_wakes_up, open_fixture,
                                      close_fixture),
      cmocka_unit_test_setup_teardown(nothing_is_taken_after_the_stop, open_fixture, close_fixture),
  };
  return cmocka_run_group_tests_name("acceptor", tests, NULL, NULL);
}
