#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/log.h"
#include "fake_redis.h"
#include "loop_until.h"
#include "real_redis.h"
#include "redis/dial.h"
#include "redis/link_tls.h"

struct fixture {
  struct ev_loop *loop;
  struct fake_redis *fake;
  struct real_redis real;
  struct link_options options;
  struct dial *dial;
  ev_timer start; /* an attempt begins in a callback of the loop */
  int ready, replies, failed;
  char text[64], reason[300];
  bool stops, destroys; /* inside the next callback */
};

static void interfere(struct fixture *fixture) {
  if (fixture->stops)
    dial_stop(fixture->dial);
  if (fixture->destroys) {
    dial_destroy(fixture->dial);
    fixture->dial = NULL;
  }
}

static void on_ready(void *context) {
  struct fixture *fixture = context;
  fixture->ready++;
  interfere(fixture);
}

static void on_reply(void *context, const struct redisReply *reply) {
  struct fixture *fixture = context;
  fixture->replies++;
  snprintf(fixture->text, sizeof(fixture->text), "%s", reply->str ? reply->str : "");
  interfere(fixture);
}

static void on_failed(void *context, const char *reason) {
  struct fixture *fixture = context;
  fixture->failed++;
  snprintf(fixture->reason, sizeof(fixture->reason), "%s", reason);
  interfere(fixture);
}

static const struct dial_handlers handlers = {on_ready, on_reply, on_failed};

static void on_start(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  dial_start(((struct fixture *)timer->data)->dial);
}

static int open_loop(void **state) {
  static struct fixture fixture;
  fixture = (struct fixture){.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV)};
  log_set_level(LOG_LEVEL_ERROR); /* the errors are expected */
  *state = &fixture;
  return 0;
}

static int close_loop(void **state) {
  struct fixture *fixture = *state;
  dial_destroy(fixture->dial);
  if (fixture->fake)
    fake_redis_destroy(fixture->fake);
  real_redis_remove(&fixture->real);
  ev_timer_stop(fixture->loop, &fixture->start);
  ev_loop_destroy(fixture->loop);
  return 0;
}

/* Begins an attempt with `fixture->options`; of what was there before nothing is left. */
static void start(struct fixture *fixture, const char *channel) {
  dial_destroy(fixture->dial);
  fixture->ready = fixture->failed = 0;
  fixture->dial = dial_create(fixture->loop, &fixture->options, channel, &handlers, fixture);
  assert_non_null(fixture->dial);
  ev_timer_init(&fixture->start, on_start, 0., 0.);
  fixture->start.data = fixture;
  ev_timer_start(fixture->loop, &fixture->start);
}

/* ---- against the fake ---- */

static void use_fake(struct fixture *fixture, fake_answer_fn *answer) {
  if (!fixture->fake)
    fixture->fake = fake_redis_create(fixture->loop, answer);
  fixture->fake->answer = answer;
  snprintf(fixture->options.target.path, sizeof(fixture->options.target.path), "%s", fixture->fake->path);
}

static void expect_failure(struct fixture *fixture, const char *reason) {
  LOOP_UNTIL(fixture->loop, fixture->failed || fixture->ready);
  assert_int_equal(fixture->ready, 0);
  if (!strstr(fixture->reason, reason))
    fail_msg("%s", fixture->reason);
}

static void the_greeting_is_said_in_its_order(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, fake_redis_answer_well);
  start(fixture, NULL);
  LOOP_UNTIL(fixture->loop, fixture->ready);
  assert_int_equal(fixture->fake->command_count, 1);
  assert_string_equal(fixture->fake->commands[0].words[0], "PING");
  fixture->options.user = "alice";
  fixture->options.password = "s3cret";
  fixture->options.database = 7;
  fixture->options.readonly = true;
  start(fixture, NULL);
  LOOP_UNTIL(fixture->loop, fixture->ready);
  const struct fake_command *commands = fixture->fake->commands + 1;
  assert_int_equal(fixture->fake->command_count, 5);
  assert_string_equal(commands[0].words[0], "AUTH");
  assert_int_equal(commands[0].count, 3);
  assert_string_equal(commands[0].words[1], "alice");
  assert_string_equal(commands[0].words[2], "s3cret");
  assert_string_equal(commands[1].words[0], "SELECT");
  assert_string_equal(commands[1].words[1], "7");
  assert_string_equal(commands[2].words[0], "READONLY");
  assert_string_equal(commands[3].words[0], "PING");
  fixture->options.user = ""; /* a password alone is that of the default user, also before Redis 6 */
  start(fixture, NULL);
  LOOP_UNTIL(fixture->loop, fixture->ready);
  assert_int_equal(commands[4].count, 2);
  assert_string_equal(commands[4].words[1], "s3cret");
}

static void answer_subscription(struct fake_redis *fake, const struct fake_command *command) {
  if (strcmp(command->words[0], "SUBSCRIBE") == 0)
    fake_redis_say(fake, fake->context ? fake->context : "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
  else
    fake_redis_answer_well(fake, command);
}

static void a_subscriber_is_ready_when_it_is_subscribed(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_subscription);
  start(fixture, "c");
  LOOP_UNTIL(fixture->loop, fixture->ready);
  assert_string_equal(fixture->fake->commands[1].words[0], "SUBSCRIBE");
  assert_string_equal(fixture->fake->commands[1].words[1], "c");
  static char *const others[] = {"*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:1\r\n", "+OK\r\n", "*0\r\n",
                                 "*3\r\n:1\r\n:1\r\n:1\r\n", "*1\r\n$9\r\nsubscribe\r\n"};
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
    fixture->fake->context = others[i];
    start(fixture, "c");
    expect_failure(fixture, "the answer to SUBSCRIBE is none of Redis");
  }
  fixture->fake->context = "-NOPERM no channel for you\r\n";
  start(fixture, "c");
  expect_failure(fixture, "SUBSCRIBE is answered \"NOPERM no channel for you\"");
}

/* Says to PING what `context` is. */
static void answer_ping(struct fake_redis *fake, const struct fake_command *command) {
  if (strcmp(command->words[0], "PING") == 0)
    fake_redis_say(fake, fake->context);
  else
    fake_redis_answer_well(fake, command);
}

static void errors_to_ping_decide_whether_the_server_is_of_use(void **state) {
  struct fixture *fixture = *state;
  static const struct {
    char *answer;
    bool is_of_use;
    const char *reason;
  } cases[] = {
      {"-LOADING Redis is loading\r\n", false, "PING is answered \"LOADING Redis is loading\""},
      {"-BUSY a script\r\n", false, "BUSY"},
      {"-MASTERDOWN x\r\n", false, "MASTERDOWN"},
      {"-NOAUTH Authentication required.\r\n", false, "NOAUTH"},
      {"-ERR max number of clients reached\r\n", false, "max number of clients"},
      {"-DENIED protected mode\r\n", false, "DENIED"},
      {"-MISCONF no disk\r\n", true, ""},
      {"-NOPERM no PING for you\r\n", true, ""},
      {"-NOREPLICAS\r\n", true, ""},
      {"-ERR unknown command\r\n", true, ""},
      {"$4\r\nPONG\r\n", true, ""},
      {"+HELLO\r\n", false, "the answer to PING is none of Redis"},
      {"*1\r\n+PONG\r\n", false, "the answer to PING is none of Redis"},
      {":1\r\n", false, "the answer to PING is none of Redis"},
      {"220 mail.example.test ESMTP\r\n", false, "Protocol error"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    use_fake(fixture, answer_ping);
    fixture->fake->context = cases[i].answer;
    start(fixture, NULL);
    if (!cases[i].is_of_use) {
      expect_failure(fixture, cases[i].reason);
      continue;
    }
    LOOP_UNTIL(fixture->loop, fixture->ready || fixture->failed);
    assert_int_equal(fixture->ready, 1);
  }
}

static void refuse_auth(struct fake_redis *fake, const struct fake_command *command) {
  if (strcmp(command->words[0], fake->context) == 0)
    fake_redis_say(fake, "-NOPERM no\r\n");
  else
    fake_redis_answer_well(fake, command);
}

static void an_error_to_anything_else_is_final(void **state) {
  struct fixture *fixture = *state;
  static char *const words[] = {"AUTH", "SELECT", "READONLY"};
  fixture->options.password = "s3cret";
  fixture->options.database = 1;
  fixture->options.readonly = true;
  for (int i = 0; i < 3; i++) {
    char reason[64];
    use_fake(fixture, refuse_auth);
    fixture->fake->context = words[i];
    start(fixture, NULL);
    snprintf(reason, sizeof(reason), "%s is answered \"NOPERM no\"", words[i]);
    expect_failure(fixture, reason);
    assert_null(strstr(fixture->reason, "s3cret"));
  }
}

static void a_server_that_says_nothing_is_given_up(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, fake_redis_answer_nothing);
  fixture->options.connect_timeout_ms = 50;
  start(fixture, NULL);
  expect_failure(fixture, "the server did not answer within 50 ms");
  LOOP_UNTIL(fixture->loop, fixture->fake->client < 0); /* closed */
}

static ev_timer late;

static void on_late(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  fake_redis_say(timer->data, "+PONG\r\n");
}

static void answer_late(struct fake_redis *fake, const struct fake_command *command) {
  (void)command;
  ev_timer_init(&late, on_late, 0.06, 0.);
  late.data = fake;
  ev_timer_start(fake->loop, &late);
}

static void a_server_that_answers_ping_late_is_waited_for(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_late);
  start(fixture, NULL);
  LOOP_UNTIL(fixture->loop, fixture->ready);
}

static void a_connection_that_is_lost_is_told_at_each_moment(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, fake_redis_answer_nothing);
  start(fixture, NULL);
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count == 1);
  fake_redis_hang_up(fixture->fake);
  expect_failure(fixture, "the server closed the connection");
  use_fake(fixture, fake_redis_answer_well);
  start(fixture, NULL);
  LOOP_UNTIL(fixture->loop, fixture->ready);
  fake_redis_hang_up(fixture->fake);
  LOOP_UNTIL(fixture->loop, fixture->failed);
  fake_redis_end(fixture->fake);
  start(fixture, NULL);
  expect_failure(fixture, "cannot connect: No such file or directory");
}

static void replies_come_behind_the_greeting(void **state) {
  struct fixture *fixture = *state;
  static const char *const words[] = {"GET", "a"};
  static const size_t lengths[] = {3, 1};
  use_fake(fixture, fake_redis_answer_well);
  start(fixture, NULL);
  LOOP_UNTIL(fixture->loop, fixture->ready);
  assert_int_equal(fixture->replies, 0);
  assert_true(dial_send(fixture->dial, 2, words, lengths));
  LOOP_UNTIL(fixture->loop, fixture->replies == 1);
  assert_true(dial_heard(fixture->dial) > 0);
}

static void it_can_be_stopped_and_destroyed_inside_its_callbacks(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < 4; i++) {
    use_fake(fixture, i < 2 ? fake_redis_answer_well : fake_redis_answer_nothing);
    fixture->options.connect_timeout_ms = i < 2 ? 0 : 20;
    fixture->destroys = i % 2;
    fixture->stops = !fixture->destroys;
    start(fixture, NULL);
    LOOP_UNTIL(fixture->loop, fixture->ready + fixture->failed == 1);
    loop_settle(fixture->loop);
    assert_int_equal(fixture->ready + fixture->failed, 1);
    fixture->stops = fixture->destroys = false;
  }
}

static void it_can_be_destroyed_at_each_moment(void **state) {
  struct fixture *fixture = *state;
  for (int turns = 0; turns < 12; turns++) {
    use_fake(fixture, fake_redis_answer_well);
    fixture->options.password = "s3cret";
    start(fixture, NULL);
    for (int i = 0; i < turns; i++)
      ev_run(fixture->loop, EVRUN_NOWAIT);
    dial_destroy(fixture->dial);
    fixture->dial = NULL;
    ev_timer_stop(fixture->loop, &fixture->start);
    int before = fixture->ready;
    loop_settle(fixture->loop);
    assert_int_equal(fixture->ready, before);
    assert_int_equal(fixture->failed, 0);
  }
}

/* ---- against real servers ---- */

static void use_real(struct fixture *fixture, const char *const *arguments) {
  real_redis_start(&fixture->real, arguments);
  snprintf(fixture->options.target.path, sizeof(fixture->options.target.path), "%s", fixture->real.path);
}

static void expect_ready(struct fixture *fixture) {
  LOOP_UNTIL(fixture->loop, fixture->failed || fixture->ready);
  if (fixture->failed)
    fail_msg("%s", fixture->reason);
}

static void a_real_server_wants_the_right_password(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, (const char *const[]){"--requirepass", "s3cret", NULL});
  start(fixture, NULL);
  expect_failure(fixture, "PING is answered \"NOAUTH ");
  fixture->options.password = "wrong";
  start(fixture, NULL);
  expect_failure(fixture, "AUTH is answered \"WRONGPASS ");
  assert_null(strstr(fixture->reason, "\"wrong"));
  fixture->options.password = "s3cret";
  start(fixture, NULL);
  expect_ready(fixture);
  fixture->options.database = 15;
  start(fixture, NULL);
  expect_ready(fixture);
  fixture->options.database = 16;
  start(fixture, NULL);
  expect_failure(fixture, "SELECT is answered \"ERR DB index is out of range");
}

static void a_real_server_without_a_password_is_offered_none_in_vain(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, NULL);
  fixture->options.password = "s3cret";
  start(fixture, NULL);
  expect_failure(fixture, "AUTH is answered \"ERR AUTH ");
  fixture->options.password = NULL;
  fixture->options.readonly = true; /* it is no node of a cluster */
  start(fixture, NULL);
  expect_failure(fixture, "READONLY is answered \"ERR ");
}

static void a_real_server_knows_users(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, NULL);
  real_redis_do(&fixture->real, "ACL SETUSER mx on >s3cret ~mxway:* +get +set");
  real_redis_do(&fixture->real, "ACL SETUSER sub on >s3cret +ping +subscribe resetchannels &c");
  real_redis_do(&fixture->real, "ACL SETUSER gone off >s3cret +@all");
  fixture->options.user = "mx";
  fixture->options.password = "s3cret";
  start(fixture, NULL);
  expect_ready(fixture); /* though it may not say PING */
  fixture->options.user = "gone";
  start(fixture, NULL);
  expect_failure(fixture, "AUTH is answered \"WRONGPASS ");
  fixture->options.user = "sub";
  start(fixture, "c");
  expect_ready(fixture);
  start(fixture, "d");
  expect_failure(fixture, "SUBSCRIBE is answered \"NOPERM ");
}

static void a_real_server_that_is_loading_is_of_no_use_until_it_has(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, NULL);
  redisContext *context = real_redis_connect(&fixture->real);
  char value[1001];
  memset(value, 'v', 1000);
  value[1000] = '\0';
  for (int i = 0; i < 300; i++)
    freeReplyObject(redisCommand(context, "SET k%d %s", i, value));
  freeReplyObject(redisCommand(context, "SAVE"));
  redisFree(context);
  real_redis_kill(&fixture->real);
  /* 5 ms for each key. */
  real_redis_start(&fixture->real, (const char *const[]){"--key-load-delay", "5000",
                                                         "--loading-process-events-interval-bytes", "1024",
                                                         "--rdbcompression", "no", NULL});
  start(fixture, NULL);
  expect_failure(fixture, "PING is answered \"LOADING ");
  for (int64_t end_ms = clock_now_ms() + LOOP_UNTIL_MS; !fixture->ready;) {
    assert_true(clock_now_ms() < end_ms);
    start(fixture, NULL);
    LOOP_UNTIL(fixture->loop, fixture->ready || fixture->failed);
  }
}

static void a_real_server_that_cannot_save_is_of_use(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, (const char *const[]){"--enable-protected-configs", "yes", "--save", "3600 1",
                                          "--rdbcompression", "no", NULL});
  real_redis_do(&fixture->real, "SET a b");
  real_redis_do(&fixture->real, "CONFIG SET dbfilename no-such-folder");
  char path[128];
  snprintf(path, sizeof(path), "%s/no-such-folder", fixture->real.folder);
  assert_int_equal(mkdir(path, 0700), 0); /* a folder in the place of its file, for root, too */
  real_redis_do(&fixture->real, "BGSAVE");
  bool has_failed = false;
  for (int64_t end_ms = clock_now_ms() + REDIS_WAIT_MS; !has_failed;) {
    redisContext *context = real_redis_connect(&fixture->real);
    redisReply *reply = redisCommand(context, "PING");
    has_failed = reply->type == REDIS_REPLY_ERROR;
    freeReplyObject(reply);
    redisFree(context);
    assert_true(clock_now_ms() < end_ms);
    redis_pause();
  }
  start(fixture, NULL);
  expect_ready(fixture);
  rmdir(path);
}

/* A port of loopback that nobody has just now. */
static uint16_t free_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof(address);
  int taken = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(taken, (struct sockaddr *)&address, sizeof(address)), 0);
  assert_int_equal(getsockname(taken, (struct sockaddr *)&address, &length), 0);
  close(taken);
  return ntohs(address.sin_port);
}

static void hosts_are_connected_to_by_name_and_by_address(void **state) {
  struct fixture *fixture = *state;
  static const char *const hosts[] = {"127.0.0.1", "localhost"};
  char port[16];
  uint16_t number = free_port();
  snprintf(port, sizeof(port), "%u", number);
  use_real(fixture, (const char *const[]){"--port", port, "--bind", "127.0.0.1", NULL});
  fixture->options.target.path[0] = '\0';
  fixture->options.target.port = number;
  for (int i = 0; i < 2; i++) { /* of localhost ::1 may come first, which is refused: then the other */
    snprintf(fixture->options.target.host, sizeof(fixture->options.target.host), "%s", hosts[i]);
    start(fixture, NULL);
    expect_ready(fixture);
  }
  real_redis_kill(&fixture->real);
  start(fixture, NULL);
  expect_failure(fixture, "cannot connect: Connection refused");
}

/* A name of the test with two addresses, always in this order; others as the system has them (linked with
 * --wrap). */
static const char two_names[] = "two.test", *const two_addresses[] = {"127.0.0.2", "127.0.0.3"};

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found) {
  if (!host || strcmp(host, two_names) != 0)
    return __real_getaddrinfo(host, port, hints, found);
  struct addrinfo *second;
  int status = __real_getaddrinfo(two_addresses[0], port, hints, found);
  if (status == 0 && (status = __real_getaddrinfo(two_addresses[1], port, hints, &second)) == 0)
    (*found)->ai_next = second; /* freeaddrinfo frees both */
  return status;
}

static void on_visitor(struct ev_loop *loop, ev_io *listener, int events) {
  (void)loop, (void)events;
  int visitor = accept(listener->fd, NULL, NULL);
  if (visitor >= 0)
    close(visitor);
}

/* At the first address somebody takes connections and hangs up; Redis is at the second. */
static void an_address_that_is_of_no_use_gives_way_to_the_next(void **state) {
  struct fixture *fixture = *state;
  char port[16];
  uint16_t number = free_port();
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(number)};
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  ev_io visitors;
  inet_pton(AF_INET, two_addresses[0], &address.sin_addr);
  assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
  assert_int_equal(listen(listener, 8), 0);
  ev_io_init(&visitors, on_visitor, listener, EV_READ);
  ev_io_start(fixture->loop, &visitors);
  snprintf(port, sizeof(port), "%u", number);
  use_real(fixture, (const char *const[]){"--port", port, "--bind", two_addresses[1], NULL});
  fixture->options.target.path[0] = '\0';
  fixture->options.target.port = number;
  snprintf(fixture->options.target.host, sizeof(fixture->options.target.host), "%s", two_names);
  start(fixture, NULL);
  expect_failure(fixture, "");
  fixture->failed = 0;
  ev_timer_start(fixture->loop, &fixture->start); /* the next attempt of the same */
  expect_ready(fixture);
  ev_io_stop(fixture->loop, &visitors);
  close(listener);
}

/* The loop was late, not the server. */
static void an_answer_that_is_there_is_in_time(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, fake_redis_answer_well);
  fixture->options.connect_timeout_ms = 50;
  start(fixture, NULL);
  while (fixture->fake->command_count == 0)
    ev_run(fixture->loop, EVRUN_ONCE);
  assert_int_equal(fixture->ready, 0);
  for (int64_t end_ms = clock_now_ms() + 100; clock_now_ms() < end_ms;)
    ; /* the loop is held up */
  expect_ready(fixture);
}

/* ---- TLS ---- */

/* Runs a program of the system, which must be there and do well. */
static void run(const char *const *words) {
  int status = -1;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execvp(words[0], (char *const *)words);
    _exit(127);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  if (status != 0)
    fail_msg("%s does not work: status %d", words[0], status);
}

/* A server with a certificate for redis.test and 127.0.0.1. */
static void use_tls(struct fixture *fixture, char cert[128]) {
  char key[128], port[16];
  uint16_t number = free_port();
  real_redis_start(&fixture->real, NULL); /* for its folder */
  real_redis_kill(&fixture->real);
  snprintf(cert, 128, "%s/cert.pem", fixture->real.folder);
  snprintf(key, sizeof(key), "%s/key.pem", fixture->real.folder);
  snprintf(port, sizeof(port), "%u", number);
  run((const char *const[]){"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                            "/CN=redis.test", "-addext", "subjectAltName=DNS:redis.test,IP:127.0.0.1",
                            "-keyout", key, "-out", cert, NULL});
  real_redis_start(&fixture->real,
                   (const char *const[]){"--tls-port", port, "--bind", "127.0.0.1", "--tls-cert-file", cert,
                                         "--tls-key-file", key, "--tls-ca-cert-file", cert,
                                         "--tls-auth-clients", "optional", NULL});
  fixture->options.target.path[0] = '\0';
  fixture->options.target.port = number;
  snprintf(fixture->options.target.host, sizeof(fixture->options.target.host), "127.0.0.1");
}

static void make_tls(struct fixture *fixture, const char *ca, const char *name, struct link_tls **tls) {
  char error[LINK_TLS_ERROR_SIZE];
  if (link_tls_create(&(struct link_tls_options){.ca = ca, .name = name}, tls, error) != 0)
    fail_msg("%s", error);
  fixture->options.tls = *tls;
}

static void a_certificate_must_be_of_the_ca_and_for_the_name(void **state) {
  struct fixture *fixture = *state;
  static const struct {
    const char *name;
    bool is_good;
  } cases[] = {{NULL, true}, {"redis.test", true}, {"other.test", false}, {"127.0.0.2", false}};
  char cert[128];
  struct link_tls *tls;
  use_tls(fixture, cert);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    make_tls(fixture, cert, cases[i].name, &tls);
    start(fixture, NULL);
    if (cases[i].is_good)
      expect_ready(fixture);
    else
      expect_failure(fixture, "certificate verify failed");
    dial_destroy(fixture->dial);
    fixture->dial = NULL;
    link_tls_destroy(tls);
  }
  make_tls(fixture, NULL, NULL, &tls); /* those of the system do not know it */
  start(fixture, NULL);
  expect_failure(fixture, "certificate verify failed");
  dial_destroy(fixture->dial);
  fixture->dial = NULL;
  link_tls_destroy(tls);
}

/* Both ways more than a record of TLS, and than a socket takes at once. */
static void large_commands_and_replies_go_over_tls(void **state) {
  struct fixture *fixture = *state;
  static char value[700 * 1000];
  const char *words[] = {"ECHO", value};
  const size_t lengths[] = {4, sizeof(value)};
  char cert[128];
  struct link_tls *tls;
  use_tls(fixture, cert);
  make_tls(fixture, cert, NULL, &tls);
  memset(value, 'v', sizeof(value));
  start(fixture, NULL);
  expect_ready(fixture);
  for (int i = 0; i < 10; i++)
    assert_true(dial_send(fixture->dial, 2, words, lengths));
  LOOP_UNTIL(fixture->loop, fixture->replies == 10 || fixture->failed);
  assert_int_equal(fixture->failed, 0);
  assert_true(dial_heard(fixture->dial) > 10 * sizeof(value));
  real_redis_kill(&fixture->real);
  LOOP_UNTIL(fixture->loop, fixture->failed);
  dial_destroy(fixture->dial);
  fixture->dial = NULL;
  link_tls_destroy(tls);
}

/* A server that speaks no TLS, or nothing at all. */
static void what_is_no_tls_is_given_up(void **state) {
  struct fixture *fixture = *state;
  char port[16];
  uint16_t number = free_port();
  struct link_tls *tls;
  snprintf(port, sizeof(port), "%u", number);
  use_real(fixture, (const char *const[]){"--port", port, "--bind", "127.0.0.1", NULL});
  fixture->options.target.path[0] = '\0';
  fixture->options.target.port = number;
  snprintf(fixture->options.target.host, sizeof(fixture->options.target.host), "127.0.0.1");
  fixture->options.connect_timeout_ms = 200;
  make_tls(fixture, NULL, NULL, &tls);
  start(fixture, NULL);
  expect_failure(fixture, "");
  real_redis_signal(&fixture->real, SIGSTOP);
  start(fixture, NULL);
  clock_t before = clock();
  expect_failure(fixture, "the server did not answer TLS within 200 ms");
  assert_true(clock() - before < CLOCKS_PER_SEC / 20); /* it waits, and does not turn in circles */
  dial_destroy(fixture->dial);
  fixture->dial = NULL;
  link_tls_destroy(tls);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
  const struct CMUnitTest tests[] = {
      TEST(the_greeting_is_said_in_its_order),
      TEST(a_subscriber_is_ready_when_it_is_subscribed),
      TEST(errors_to_ping_decide_whether_the_server_is_of_use),
      TEST(an_error_to_anything_else_is_final),
      TEST(a_server_that_says_nothing_is_given_up),
      TEST(a_server_that_answers_ping_late_is_waited_for),
      TEST(a_connection_that_is_lost_is_told_at_each_moment),
      TEST(replies_come_behind_the_greeting),
      TEST(it_can_be_stopped_and_destroyed_inside_its_callbacks),
      TEST(it_can_be_destroyed_at_each_moment),
      TEST(a_real_server_wants_the_right_password),
      TEST(a_real_server_without_a_password_is_offered_none_in_vain),
      TEST(a_real_server_knows_users),
      TEST(a_real_server_that_is_loading_is_of_no_use_until_it_has),
      TEST(a_real_server_that_cannot_save_is_of_use),
      TEST(hosts_are_connected_to_by_name_and_by_address),
      TEST(an_address_that_is_of_no_use_gives_way_to_the_next),
      TEST(an_answer_that_is_there_is_in_time),
      TEST(a_certificate_must_be_of_the_ca_and_for_the_name),
      TEST(large_commands_and_replies_go_over_tls),
      TEST(what_is_no_tls_is_given_up),
  };
  return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
