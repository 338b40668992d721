#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/outbox.h"
#include "base/random.h"

struct ends {
  int ours, theirs;
  struct outbox outbox;
};

static int open_ends(void **state) {
  struct ends *ends = calloc(1, sizeof(*ends));
  int fds[2];
  assert_non_null(ends);
  assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), errno);
  ends->ours = fds[0];
  ends->theirs = fds[1];
  *state = ends;
  return 0;
}

static int close_ends(void **state) {
  struct ends *ends = *state;
  outbox_clear(&ends->outbox);
  close(ends->ours);
  if (ends->theirs >= 0)
    close(ends->theirs);
  free(ends);
  return 0;
}

static size_t read_all(struct ends *ends, uint8_t *bytes, size_t room) {
  ssize_t got = read(ends->theirs, bytes, room);
  return got > 0 ? (size_t)got : 0;
}

static void what_the_socket_takes_does_not_wait(void **state) {
  struct ends *ends = *state;
  uint8_t bytes[8];
  assert_int_equal(outbox_put(&ends->outbox, ends->ours, (const uint8_t *)"abc", 3), 0);
  assert_int_equal(outbox_put(&ends->outbox, ends->ours, (const uint8_t *)"", 0), 0);
  assert_int_equal(outbox_left(&ends->outbox), 0);
  assert_null(ends->outbox.bytes);
  assert_int_equal(read_all(ends, bytes, sizeof(bytes)), 3);
  assert_memory_equal(bytes, "abc", 3);
}

/* Numbers in pieces of any size, read now and then: none is lost, doubled or out of order. */
static void what_waits_goes_out_in_order_and_its_memory_is_given_back(void **state) {
  struct ends *ends = *state;
  enum { TOTAL = 4000000, PIECE_MOST = 30000 };
  static uint8_t bytes[1 << 16], piece[PIECE_MOST];
  struct random random = {3};
  uint32_t put = 0, got = 0;
  bool has_waited = false;
  while (got < TOTAL) {
    uint32_t length = random_below(&random, PIECE_MOST);
    for (uint32_t i = 0; put < TOTAL && i < length; i++)
      piece[i] = (uint8_t)((put + i) * 2654435761u >> 24);
    if (put < TOTAL) {
      assert_int_equal(outbox_put(&ends->outbox, ends->ours, piece, length), 0);
      put += length;
    }
    has_waited |= outbox_left(&ends->outbox) > 0;
    if (put < TOTAL && random_below(&random, 3) > 0)
      continue;
    size_t count = read_all(ends, bytes, random_below(&random, sizeof(bytes)));
    for (size_t i = 0; i < count; i++, got++)
      if (bytes[i] != (uint8_t)(got * 2654435761u >> 24))
        fail();
    assert_int_equal(outbox_send(&ends->outbox, ends->ours), 0);
  }
  assert_true(has_waited);
  while (got < put) {
    got += (uint32_t)read_all(ends, bytes, sizeof(bytes));
    assert_int_equal(outbox_send(&ends->outbox, ends->ours), 0);
  }
  assert_int_equal(outbox_left(&ends->outbox), 0);
  assert_null(ends->outbox.bytes);
}

static void what_is_added_waits_until_it_is_sent_or_dropped(void **state) {
  struct ends *ends = *state;
  uint8_t bytes[8];
  assert_int_equal(outbox_add(&ends->outbox, (const uint8_t *)"", 0), 0);
  assert_null(ends->outbox.bytes);
  assert_int_equal(outbox_add(&ends->outbox, (const uint8_t *)"abc", 3), 0);
  assert_int_equal(outbox_add(&ends->outbox, (const uint8_t *)"def", 3), 0);
  assert_int_equal(read_all(ends, bytes, sizeof(bytes)), 0);
  outbox_drop(&ends->outbox, 2);
  assert_int_equal(outbox_left(&ends->outbox), 4);
  assert_memory_equal(outbox_bytes(&ends->outbox), "cdef", 4);
  assert_int_equal(outbox_put(&ends->outbox, ends->ours, (const uint8_t *)"g", 1), 0); /* behind them */
  assert_int_equal(outbox_send(&ends->outbox, ends->ours), 0);
  assert_int_equal(read_all(ends, bytes, sizeof(bytes)), 5);
  assert_memory_equal(bytes, "cdefg", 5);
  assert_null(ends->outbox.bytes);
}

static void a_socket_that_is_gone_is_told(void **state) {
  struct ends *ends = *state;
  static uint8_t much[1 << 20];
  assert_int_equal(outbox_put(&ends->outbox, ends->ours, much, sizeof(much)), 0);
  assert_true(outbox_left(&ends->outbox) > 0);
  close(ends->theirs);
  ends->theirs = -1;
  assert_int_equal(outbox_send(&ends->outbox, ends->ours), ERR_NETWORK);
  outbox_clear(&ends->outbox);
  assert_int_equal(outbox_put(&ends->outbox, ends->ours, much, 1), ERR_NETWORK);
  assert_int_equal(outbox_left(&ends->outbox), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_the_socket_takes_does_not_wait, open_ends, close_ends),
      cmocka_unit_test_setup_teardown(what_waits_goes_out_in_order_and_its_memory_is_given_back, open_ends,
                                      close_ends),
      cmocka_unit_test_setup_teardown(what_is_added_waits_until_it_is_sent_or_dropped, open_ends, close_ends),
      cmocka_unit_test_setup_teardown(a_socket_that_is_gone_is_told, open_ends, close_ends),
  };
  return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
