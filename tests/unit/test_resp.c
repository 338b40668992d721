#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>

#include "base/error.h"
#include "base/random.h"
#include "fake_redis.h"
#include "loop_until.h"
#include "redis/link_tls.h"
#include "redis/resp.h"

enum { REPLIES_MAX = 64 };

struct fixture {
  struct ev_loop *loop;
  struct fake_redis *fake;
  struct resp *resp;
  int opened, replies, closed;
  int types[REPLIES_MAX];
  char texts[REPLIES_MAX][32], reason[256];
  int destroy_at; /* the reply in whose callback the connection is destroyed; 0: never */
};

static void on_open(void *context) { ((struct fixture *)context)->opened++; }

static void on_reply(void *context, const struct redisReply *reply) {
  struct fixture *fixture = context;
  int at = fixture->replies % REPLIES_MAX;
  fixture->types[at] = reply->type;
  snprintf(fixture->texts[at], sizeof(fixture->texts[at]), "%s", reply->str ? reply->str : "");
  if (++fixture->replies == fixture->destroy_at) {
    resp_destroy(fixture->resp);
    fixture->resp = NULL;
  }
}

static void on_closed(void *context, const char *reason) {
  struct fixture *fixture = context;
  fixture->closed++;
  snprintf(fixture->reason, sizeof(fixture->reason), "%s", reason);
  resp_destroy(fixture->resp);
  fixture->resp = NULL;
}

static const struct resp_handlers handlers = {on_open, on_reply, on_closed};

static int create(struct fixture *fixture, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
  const struct resp_target target = {.address = (struct sockaddr *)&address, .length = sizeof(address)};
  return resp_create(fixture->loop, &target, &handlers, fixture, &fixture->resp);
}

static void open_resp(struct fixture *fixture) {
  fixture->opened = 0;
  assert_int_equal(create(fixture, fixture->fake->path), 0);
  assert_int_equal(fixture->opened, 0); /* never before it has returned */
  LOOP_UNTIL(fixture->loop, fixture->opened && fixture->fake->client >= 0);
}

static int open_loop(void **state) {
  static struct fixture fixture;
  fixture = (struct fixture){.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV)};
  fixture.fake = fake_redis_create(fixture.loop, fake_redis_answer_nothing);
  *state = &fixture;
  return 0;
}

static int close_loop(void **state) {
  struct fixture *fixture = *state;
  resp_destroy(fixture->resp);
  fake_redis_destroy(fixture->fake);
  ev_loop_destroy(fixture->loop);
  return 0;
}

static bool send_words(struct fixture *fixture, int count, const char *const *words) {
  size_t lengths[8];
  for (int i = 0; i < count; i++)
    lengths[i] = strlen(words[i]);
  return resp_send(fixture->resp, count, words, lengths);
}

#define SEND(fixture, ...)                                                                                   \
  assert_true(send_words(fixture, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),                    \
                         (const char *const[]){__VA_ARGS__}))

static void commands_go_out_and_replies_come_in(void **state) {
  struct fixture *fixture = *state;
  open_resp(fixture);
  SEND(fixture, "GET", "a");
  SEND(fixture, "SET", "b", "");
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count == 2);
  assert_string_equal(fixture->fake->commands[0].words[1], "a");
  assert_string_equal(fixture->fake->commands[1].words[0], "SET");
  assert_int_equal(fixture->fake->commands[1].count, 3);
  fake_redis_say(fixture->fake, "$3\r\nabc\r\n+OK\r\n:7\r\n$-1\r\n-ERR no\r\n*1\r\n$1\r\nx\r\n");
  LOOP_UNTIL(fixture->loop, fixture->replies == 6);
  static const int types[] = {REDIS_REPLY_STRING, REDIS_REPLY_STATUS, REDIS_REPLY_INTEGER,
                              REDIS_REPLY_NIL,    REDIS_REPLY_ERROR,  REDIS_REPLY_ARRAY};
  for (int i = 0; i < 6; i++)
    assert_int_equal(fixture->types[i], types[i]);
  assert_string_equal(fixture->texts[0], "abc");
  assert_string_equal(fixture->texts[4], "ERR no");
  assert_true(resp_heard(fixture->resp) > 30);
  assert_int_equal(fixture->closed, 0);
}

static void nobody_listening_is_told_at_once_or_by_closed(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(create(fixture, "/tmp/mxway-nobody-listens-here"), ERR_SYSTEM);
  assert_int_equal(errno, ENOENT);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int taken = socket(AF_INET, SOCK_STREAM, 0); /* bound, and not listening: its port is refused */
  socklen_t length = sizeof(address);
  assert_int_equal(bind(taken, (struct sockaddr *)&address, sizeof(address)), 0);
  assert_int_equal(getsockname(taken, (struct sockaddr *)&address, &length), 0);
  const struct resp_target target = {.address = (struct sockaddr *)&address, .length = sizeof(address)};
  if (resp_create(fixture->loop, &target, &handlers, fixture, &fixture->resp) == 0) {
    LOOP_UNTIL(fixture->loop, fixture->closed);
    assert_string_equal(fixture->reason, strerror(ECONNREFUSED));
  }
  close(taken);
}

/* The descriptor whose other end is `peer`. */
static int find_socket(const struct sockaddr_in *peer) {
  for (int fd = 3; fd < 256; fd++) {
    struct sockaddr_in other = {.sin_family = AF_UNSPEC};
    socklen_t length = sizeof(other);
    if (getpeername(fd, (struct sockaddr *)&other, &length) == 0 && other.sin_family == AF_INET &&
        other.sin_port == peer->sin_port)
      return fd;
  }
  fail_msg("there is no such socket");
  return -1;
}

static int int_option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof(value);
  assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

static void sockets_are_kept_alive_and_closed_on_exec(void **state) {
  struct fixture *fixture = *state;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof(address);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
  assert_int_equal(listen(listener, 1), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
  const struct resp_target target = {.address = (struct sockaddr *)&address, .length = sizeof(address)};
  assert_int_equal(resp_create(fixture->loop, &target, &handlers, fixture, &fixture->resp), 0);
  LOOP_UNTIL(fixture->loop, fixture->opened);
  int fd = find_socket(&address);
  assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
  assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
  assert_int_equal(int_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), RESP_KEEPALIVE_IDLE_S);
  assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), RESP_KEEPALIVE_EVERY_S);
  assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_KEEPCNT), RESP_KEEPALIVE_COUNT);
  close(listener);
}

static void what_is_sent_in_one_turn_goes_out_together(void **state) {
  struct fixture *fixture = *state;
  open_resp(fixture);
  for (int i = 0; i < 500; i++)
    SEND(fixture, "GET", "a");
  ssize_t got = recv(fixture->fake->client, fixture->fake->input, 1, MSG_PEEK);
  assert_int_equal(got, -1); /* nothing yet */
  ev_run(fixture->loop, EVRUN_NOWAIT);
  ev_run(fixture->loop, EVRUN_NOWAIT);
  assert_int_equal(fixture->fake->command_count, 500);
}

/* More than a socket holds: the rest goes when the server reads. */
static void a_server_that_does_not_read_blocks_nobody(void **state) {
  struct fixture *fixture = *state;
  static char value[64 * 1024];
  memset(value, 'v', sizeof(value) - 1);
  open_resp(fixture);
  ev_io_stop(fixture->loop, &fixture->fake->reading);
  for (int i = 0; i < 100; i++)
    SEND(fixture, "SET", "a", value);
  loop_settle(fixture->loop);
  size_t received = 0;
  static char bytes[1 << 16];
  for (int idle = 0; idle < 100; idle++) {
    ssize_t got;
    while ((got = recv(fixture->fake->client, bytes, sizeof(bytes), 0)) > 0) {
      received += (size_t)got;
      idle = 0;
    }
    ev_run(fixture->loop, EVRUN_NOWAIT);
  }
  assert_in_range(received, 100 * (sizeof(value) - 1), 100 * (sizeof(value) + 64));
}

static size_t allocated(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

static void a_reply_of_100_mb_closes_it_before_it_is_taken_in(void **state) {
  struct fixture *fixture = *state;
  static char piece[16 * 1024];
  size_t before = allocated(), most = 0, said = 0;
  open_resp(fixture);
  fake_redis_say(fixture->fake, "$100000000\r\n");
  memset(piece, 'x', sizeof(piece));
  while (!fixture->closed && said < 100000000) {
    ssize_t sent = send(fixture->fake->client, piece, sizeof(piece), MSG_NOSIGNAL);
    said += sent > 0 ? (size_t)sent : 0;
    ev_run(fixture->loop, EVRUN_NOWAIT);
    most = allocated() > most ? allocated() : most;
  }
  assert_int_equal(fixture->closed, 1);
  assert_int_equal(fixture->replies, 0);
  assert_string_equal(fixture->reason, "a reply of more than 1 MiB came");
  assert_true(said < 3 * RESP_REPLY_MAX);
  assert_true(most - before < 4 * RESP_REPLY_MAX);
}

static void the_largest_reply_is_taken_in(void **state) {
  struct fixture *fixture = *state;
  size_t length = RESP_REPLY_MAX - 32, said = 0;
  char *reply = malloc(length + 32);
  assert_non_null(reply);
  int head = snprintf(reply, 32, "$%zu\r\n", length);
  memset(reply + head, 'x', length);
  memcpy(reply + (size_t)head + length, "\r\n", 2);
  open_resp(fixture);
  for (size_t whole = (size_t)head + length + 2; said < whole;) {
    ssize_t sent = send(fixture->fake->client, reply + said, whole - said, MSG_NOSIGNAL);
    said += sent > 0 ? (size_t)sent : 0;
    ev_run(fixture->loop, EVRUN_NOWAIT);
  }
  LOOP_UNTIL(fixture->loop, fixture->replies == 1);
  assert_int_equal(fixture->closed, 0);
  free(reply);
}

static void many_replies_may_be_more_than_one(void **state) {
  struct fixture *fixture = *state;
  static char reply[10 * 1024];
  int head = snprintf(reply, 32, "$%zu\r\n", sizeof(reply) - 32);
  memset(reply + head, 'x', sizeof(reply) - 32);
  size_t length = (size_t)head + sizeof(reply) - 32;
  memcpy(reply + length, "\r\n", 2);
  open_resp(fixture);
  for (int i = 1; i <= 300; i++) {
    fake_redis_say_bytes(fixture->fake, reply, length + 2);
    LOOP_UNTIL(fixture->loop, fixture->replies == i || fixture->closed);
  }
  assert_int_equal(fixture->closed, 0);
}

/* Many elements, none of them large: together they are too much. */
static void an_endless_array_closes_it(void **state) {
  struct fixture *fixture = *state;
  open_resp(fixture);
  fake_redis_say(fixture->fake, "*65536\r\n");
  while (!fixture->closed) {
    static const char elements[] = "$40\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";
    (void)!send(fixture->fake->client, elements, sizeof(elements) - 1, MSG_NOSIGNAL);
    ev_run(fixture->loop, EVRUN_NOWAIT);
  }
  assert_string_equal(fixture->reason, "a reply of more than 1 MiB came");
}

/* Not only the whole of it is bounded: its end would be looked for from its start with each octet that comes.
 */
static void an_endless_line_closes_it(void **state) {
  struct fixture *fixture = *state;
  static const char *const beginnings[] = {"+", "-", ":", "$", "*", "*2\r\n:1\r\n+"};
  static const char piece[] = "11111111111111111111111111111111";
  for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
    size_t said = 0;
    open_resp(fixture);
    fake_redis_say(fixture->fake, beginnings[i]);
    while (fixture->closed == (int)i && said < RESP_REPLY_MAX) {
      ssize_t sent = send(fixture->fake->client, piece, sizeof(piece) - 1, MSG_NOSIGNAL);
      said += sent > 0 ? (size_t)sent : 0;
      ev_run(fixture->loop, EVRUN_NOWAIT);
    }
    assert_int_equal(fixture->closed, (int)i + 1);
    assert_string_equal(fixture->reason, "a line came that does not end");
    assert_true(said < 2 * RESP_LINE_MAX);
  }
}

static void a_long_line_that_ends_is_taken_in(void **state) {
  struct fixture *fixture = *state;
  open_resp(fixture);
  fake_redis_say(fixture->fake, "-ERR ");
  for (int i = 0; i < RESP_LINE_MAX - 100; i++) {
    fake_redis_say(fixture->fake, "x");
    ev_run(fixture->loop, EVRUN_NOWAIT);
  }
  fake_redis_say(fixture->fake, "\r\n");
  LOOP_UNTIL(fixture->loop, fixture->replies == 1);
  assert_int_equal(fixture->types[0], REDIS_REPLY_ERROR);
  assert_int_equal(fixture->closed, 0);
}

static void an_array_that_promises_too_much_closes_it(void **state) {
  struct fixture *fixture = *state;
  static const char *const promises[] = {"*65537\r\n", "*2147483647\r\n", "*2\r\n*100000000\r\n",
                                         "*1\r\n*1\r\n*1\r\n*99999999\r\n"};
  size_t before = allocated();
  for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]); i++) {
    open_resp(fixture);
    fake_redis_say(fixture->fake, promises[i]);
    LOOP_UNTIL(fixture->loop, fixture->closed == (int)i + 1);
    assert_string_equal(fixture->reason, "an array of more than 65536 elements came");
    assert_true(allocated() < before + (1 << 20));
  }
}

static void arrays_in_too_many_others_close_it(void **state) {
  struct fixture *fixture = *state;
  open_resp(fixture);
  for (int i = 0; i < RESP_DEPTH_MAX; i++)
    fake_redis_say(fixture->fake, "*1\r\n");
  fake_redis_say(fixture->fake, ":1\r\n");
  LOOP_UNTIL(fixture->loop, fixture->replies == 1);
  for (int i = 0; i <= RESP_DEPTH_MAX; i++)
    fake_redis_say(fixture->fake, "*1\r\n");
  LOOP_UNTIL(fixture->loop, fixture->closed);
  assert_string_equal(fixture->reason, "arrays in more than 6 others came");
}

static void what_is_no_reply_closes_it(void **state) {
  struct fixture *fixture = *state;
  static const char *const nonsense[] = {
      "HTTP/1.1 400 Bad Request\r\n", "\r\n", "$x\r\n", ":1x\r\n", "*-2\r\n", "$-2\r\n", "\0\0\0\0"};
  for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
    open_resp(fixture);
    fake_redis_say_bytes(fixture->fake, nonsense[i], i + 1 < 7 ? strlen(nonsense[i]) : 4);
    LOOP_UNTIL(fixture->loop, fixture->closed == (int)i + 1);
    assert_int_equal(fixture->replies, 0);
    assert_true(strlen(fixture->reason) > 0);
  }
}

static void a_server_that_closes_is_told(void **state) {
  struct fixture *fixture = *state;
  open_resp(fixture);
  fake_redis_say(fixture->fake, "+one\r\n$5\r\nha");
  fake_redis_hang_up(fixture->fake);
  LOOP_UNTIL(fixture->loop, fixture->closed);
  assert_int_equal(fixture->replies, 1);
  assert_string_equal(fixture->reason, "the server closed the connection");
}

static void it_can_be_destroyed_inside_its_callbacks(void **state) {
  struct fixture *fixture = *state;
  for (int at = 1; at <= 3; at++) {
    fixture->destroy_at = fixture->replies + at;
    open_resp(fixture);
    fake_redis_say(fixture->fake, "+1\r\n+2\r\n+3\r\n+4\r\n");
    LOOP_UNTIL(fixture->loop, !fixture->resp);
    loop_settle(fixture->loop);
    assert_int_equal(fixture->replies, fixture->destroy_at);
  }
  assert_int_equal(fixture->closed, 0);
}

static void it_can_be_destroyed_while_it_connects_and_with_something_to_send(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(create(fixture, fixture->fake->path), 0);
  resp_destroy(fixture->resp);
  fixture->resp = NULL;
  open_resp(fixture);
  SEND(fixture, "GET", "a");
  resp_destroy(fixture->resp);
  fixture->resp = NULL;
  loop_settle(fixture->loop);
  assert_int_equal(fixture->fake->command_count, 0);
}

static const char all_kinds[] =
    "+OK\r\n-ERR x\r\n:42\r\n$5\r\nhello\r\n$-1\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n*0\r\n*-1\r\n$0\r\n\r\n";

/* Cut at every place: the replies before it are whole, and nothing else comes. */
static void a_stream_cut_at_every_place_is_survived(void **state) {
  struct fixture *fixture = *state;
  for (size_t cut = 0; cut < sizeof(all_kinds); cut++) {
    fixture->replies = fixture->closed = 0;
    open_resp(fixture);
    fake_redis_say_bytes(fixture->fake, all_kinds, cut);
    fake_redis_hang_up(fixture->fake);
    LOOP_UNTIL(fixture->loop, fixture->closed);
    assert_in_range(fixture->replies, 0, 10);
    assert_true(cut < 5 || strcmp(fixture->texts[0], "OK") == 0);
  }
  assert_int_equal(fixture->replies, 9);
}

static void a_stream_in_single_octets_is_the_same(void **state) {
  struct fixture *fixture = *state;
  open_resp(fixture);
  for (size_t i = 0; i < sizeof(all_kinds) - 1; i++) {
    fake_redis_say_bytes(fixture->fake, all_kinds + i, 1);
    ev_run(fixture->loop, EVRUN_NOWAIT);
  }
  LOOP_UNTIL(fixture->loop, fixture->replies == 9);
  assert_int_equal(fixture->closed, 0);
}

/* Bits flipped in what servers say: whatever comes of it, it ends or goes on. */
static void streams_with_flipped_bits_are_survived(void **state) {
  struct fixture *fixture = *state;
  struct random random = {.state = 11};
  for (int round = 0; round < 2000; round++) {
    char bytes[sizeof(all_kinds)];
    memcpy(bytes, all_kinds, sizeof(bytes));
    for (int flips = 0; flips < 3; flips++)
      bytes[random_below(&random, sizeof(bytes) - 1)] ^= (char)(1u << random_below(&random, 8));
    open_resp(fixture);
    fake_redis_say_bytes(fixture->fake, bytes, sizeof(bytes) - 1);
    loop_settle(fixture->loop);
    resp_destroy(fixture->resp);
    fixture->resp = NULL;
    fake_redis_hang_up(fixture->fake);
  }
}

/* ---- TLS ---- */

/* The descriptor whose other end is the fake's. */
static int find_local_socket(const struct fake_redis *fake) {
  for (int fd = 3; fd < 256; fd++) {
    struct sockaddr_un peer = {.sun_family = AF_UNSPEC};
    socklen_t length = sizeof(peer);
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && peer.sun_family == AF_UNIX &&
        length > sizeof(sa_family_t) && strcmp(peer.sun_path, fake->path) == 0)
      return fd;
  }
  fail_msg("there is no such socket");
  return -1;
}

/* The socket is full, so that nothing can be said, and yet there is something to read, which TLS takes only
 * when it has said hello: the loop is not to turn in circles. */
static void what_tls_cannot_read_yet_does_not_wake_the_loop(void **state) {
  struct fixture *fixture = *state;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char error[LINK_TLS_ERROR_SIZE];
  struct link_tls *tls;
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->fake->path);
  assert_int_equal(link_tls_create(&(struct link_tls_options){.ca = NULL}, &tls, error), 0);
  const struct resp_target target = {
      .address = (struct sockaddr *)&address, .length = sizeof(address), .tls = tls, .name = "redis.test"};
  assert_int_equal(resp_create(fixture->loop, &target, &handlers, fixture, &fixture->resp), 0);
  LOOP_UNTIL(fixture->loop, fixture->opened && fixture->fake->client >= 0);
  ev_io_stop(fixture->loop, &fixture->fake->reading);
  int fd = find_local_socket(fixture->fake);
  while (send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
    ;
  fake_redis_say(fixture->fake, "hello");
  SEND(fixture, "PING");
  loop_turn(fixture->loop);
  unsigned before = ev_iteration(fixture->loop);
  loop_for(fixture->loop, 100);
  assert_in_range(ev_iteration(fixture->loop) - before, 1, 50); /* a turn of it waits for up to 20 ms */
  if (fixture->closed)
    fail_msg("%s", fixture->reason);
  resp_destroy(fixture->resp);
  fixture->resp = NULL;
  link_tls_destroy(tls);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
  const struct CMUnitTest tests[] = {
      TEST(commands_go_out_and_replies_come_in),
      TEST(nobody_listening_is_told_at_once_or_by_closed),
      TEST(sockets_are_kept_alive_and_closed_on_exec),
      TEST(what_is_sent_in_one_turn_goes_out_together),
      TEST(a_server_that_does_not_read_blocks_nobody),
      TEST(a_reply_of_100_mb_closes_it_before_it_is_taken_in),
      TEST(the_largest_reply_is_taken_in),
      TEST(many_replies_may_be_more_than_one),
      TEST(an_endless_array_closes_it),
      TEST(an_endless_line_closes_it),
      TEST(a_long_line_that_ends_is_taken_in),
      TEST(an_array_that_promises_too_much_closes_it),
      TEST(arrays_in_too_many_others_close_it),
      TEST(what_is_no_reply_closes_it),
      TEST(a_server_that_closes_is_told),
      TEST(it_can_be_destroyed_inside_its_callbacks),
      TEST(it_can_be_destroyed_while_it_connects_and_with_something_to_send),
      TEST(a_stream_cut_at_every_place_is_survived),
      TEST(a_stream_in_single_octets_is_the_same),
      TEST(streams_with_flipped_bits_are_survived),
      TEST(what_tls_cannot_read_yet_does_not_wake_the_loop),
  };
  return cmocka_run_group_tests_name("resp", tests, NULL, NULL);
}
