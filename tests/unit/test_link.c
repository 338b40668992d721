#include "cmocka_compat.h"

#include <hiredis/hiredis.h>
#include <signal.h>

#include "base/error.h"
#include "base/log.h"
#include "fake_redis.h"
#include "loop_until.h"
#include "real_redis.h"
#include "redis/link.h"

/* What must end, and what must not end while a test does something: a machine may be busy. */
enum { TIMEOUT_MS = 30, STEADY_MS = 250, BEAT_MS = 250, CALLS_MAX = 2048, STATES_MAX = 64 };

struct call {
  struct fixture *fixture;
  struct link_call *call;
  int told;       /* how often */
  bool has_reply; /* else NULL */
  bool is_error;
  char text[48];
  int64_t told_at_ms;
  bool destroys, sends; /* in its callback */
};

struct fixture {
  struct ev_loop *loop;
  struct fake_redis *fake;
  struct real_redis real;
  struct link_options options;
  struct link *link;
  enum link_state states[STATES_MAX];
  char reason[300]; /* of the last state */
  size_t state_count;
  struct call calls[CALLS_MAX];
  size_t call_count;
  int told, told_at_destroy; /* of all calls */
  int messages;
  char message[64];
  bool destroys_on_message;
  struct call *cancelled_when_down;
};

static void on_state(void *context, enum link_state state, const char *reason) {
  struct fixture *fixture = context;
  assert_true(fixture->state_count < STATES_MAX);
  fixture->states[fixture->state_count++] = state;
  snprintf(fixture->reason, sizeof(fixture->reason), "%s", reason);
  if (state == LINK_DOWN && fixture->cancelled_when_down)
    link_cancel(fixture->cancelled_when_down->call);
}

static struct call *send_get(struct fixture *fixture, const char *key, uint32_t timeout_ms, int expected);

static void on_reply(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct call *call = context;
  struct fixture *fixture = call->fixture;
  call->told++;
  call->told_at_ms = now_ms;
  call->has_reply = reply != NULL;
  call->is_error = reply && reply->type == REDIS_REPLY_ERROR;
  snprintf(call->text, sizeof(call->text), "%s", reply && reply->str ? reply->str : "");
  if (call->sends)
    send_get(fixture, "again", TIMEOUT_MS, reply ? 0 : ERR_NETWORK);
  fixture->told++;
  if (call->destroys) {
    link_destroy(fixture->link);
    fixture->link = NULL;
    fixture->told_at_destroy = fixture->told;
  }
}

static struct call *send_get(struct fixture *fixture, const char *key, uint32_t timeout_ms, int expected) {
  struct link_command command = {.count = 2, .words = {"GET", key}, .lengths = {3, strlen(key)}};
  assert_true(fixture->call_count < CALLS_MAX);
  struct call *call = &fixture->calls[fixture->call_count++];
  *call = (struct call){.fixture = fixture};
  assert_int_equal(link_send(fixture->link, &command, timeout_ms, on_reply, call, &call->call), expected);
  assert_int_equal(call->told, 0); /* never before it has returned */
  return call;
}

static int open_loop(void **state) {
  static struct fixture fixture;
  memset(&fixture, 0, sizeof(fixture));
  fixture.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  fixture.options.max_commands = 1000;
  log_set_level(LOG_LEVEL_ERROR); /* what is logged is expected */
  *state = &fixture;
  return 0;
}

static int close_loop(void **state) {
  struct fixture *fixture = *state;
  link_destroy(fixture->link);
  if (fixture->fake)
    fake_redis_destroy(fixture->fake);
  real_redis_remove(&fixture->real);
  ev_loop_destroy(fixture->loop);
  return 0;
}

static void create(struct fixture *fixture) {
  assert_int_equal(link_create(fixture->loop, &fixture->options, on_state, fixture, &fixture->link), 0);
  assert_int_equal(link_state(fixture->link), LINK_CONNECTING);
  assert_int_equal(fixture->state_count, 0);
}

/* A link to the fake, which is up. */
static void use_fake(struct fixture *fixture, fake_answer_fn *answer) {
  fixture->fake = fake_redis_create(fixture->loop, fake_redis_answer_well);
  snprintf(fixture->options.target.path, sizeof(fixture->options.target.path), "%s", fixture->fake->path);
  create(fixture);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  fixture->fake->answer = answer;
}

static void use_real(struct fixture *fixture, const char *const *arguments) {
  real_redis_start(&fixture->real, arguments);
  snprintf(fixture->options.target.path, sizeof(fixture->options.target.path), "%s", fixture->real.path);
  create(fixture);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
}

/* Answers GET with its key. */
static void answer_key(struct fake_redis *fake, const struct fake_command *command) {
  char text[200];
  if (strcmp(command->words[0], "GET") != 0) {
    fake_redis_answer_well(fake, command);
    return;
  }
  snprintf(text, sizeof(text), "$%zu\r\n%s\r\n", strlen(command->words[1]), command->words[1]);
  fake_redis_say(fake, text);
}

/* Greets, and does not answer GET. */
static void answer_greeting_alone(struct fake_redis *fake, const struct fake_command *command) {
  if (strcmp(command->words[0], "GET") != 0)
    fake_redis_answer_well(fake, command);
}

static void answer_context(struct fake_redis *fake, const struct fake_command *command) {
  if (strcmp(command->words[0], "GET") == 0)
    fake_redis_say(fake, fake->context);
  else
    fake_redis_answer_well(fake, command);
}

/* ---- commands ---- */

static void each_command_gets_its_answer(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_key);
  struct call *calls[100];
  for (int i = 0; i < 100; i++) {
    char key[16];
    snprintf(key, sizeof(key), "key%d", i);
    calls[i] = send_get(fixture, key, TIMEOUT_MS * 100, 0);
  }
  assert_int_equal(link_outstanding(fixture->link), 100);
  LOOP_UNTIL(fixture->loop, calls[99]->told);
  for (int i = 0; i < 100; i++) {
    char key[16];
    snprintf(key, sizeof(key), "key%d", i);
    assert_int_equal(calls[i]->told, 1);
    assert_string_equal(calls[i]->text, key);
  }
  assert_int_equal(link_outstanding(fixture->link), 0);
  assert_in_range(link_latency_us(fixture->link), 1, 10 * 1000 * 1000);
  assert_int_equal(fixture->state_count, 1);
}

static void nothing_is_taken_while_it_is_not_up(void **state) {
  struct fixture *fixture = *state;
  snprintf(fixture->options.target.path, sizeof(fixture->options.target.path), "/tmp/mxway-nobody-here");
  create(fixture);
  send_get(fixture, "a", TIMEOUT_MS, ERR_NETWORK);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_DOWN);
  assert_string_equal(fixture->reason, "cannot connect: No such file or directory");
  send_get(fixture, "a", TIMEOUT_MS, ERR_NETWORK);
  loop_settle(fixture->loop);
  assert_int_equal(fixture->calls[0].told + fixture->calls[1].told, 0);
}

static void a_command_may_be_sent_inside_the_answer_to_another(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_key);
  send_get(fixture, "a", TIMEOUT_MS * 100, 0)->sends = true;
  LOOP_UNTIL(fixture->loop, fixture->call_count == 2 && fixture->calls[1].told);
  assert_string_equal(fixture->calls[1].text, "again");
}

static void outstanding_commands_are_bounded_with_those_given_up(void **state) {
  struct fixture *fixture = *state;
  fixture->options.max_commands = 5;
  use_fake(fixture, answer_greeting_alone);
  struct call *calls[5];
  for (int i = 0; i < 5; i++)
    calls[i] = send_get(fixture, "a", STEADY_MS, 0);
  send_get(fixture, "b", STEADY_MS, ERR_OVERLOAD);
  link_cancel(calls[0]->call);
  send_get(fixture, "b", STEADY_MS, ERR_OVERLOAD);
  LOOP_UNTIL(fixture->loop, calls[1]->told);
  send_get(fixture, "b", STEADY_MS, ERR_OVERLOAD); /* their answers may still come */
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count == 6);
  fake_redis_say(fixture->fake, "$1\r\nx\r\n$1\r\nx\r\n");
  LOOP_UNTIL(fixture->loop, link_outstanding(fixture->link) == 3);
  send_get(fixture, "c", TIMEOUT_MS * 100, 0);
  send_get(fixture, "d", TIMEOUT_MS * 100, 0);
  send_get(fixture, "e", STEADY_MS, ERR_OVERLOAD);
  assert_int_equal(calls[0]->told, 0);
}

static void with_no_commands_allowed_none_is_taken(void **state) {
  struct fixture *fixture = *state;
  fixture->options.max_commands = 0;
  use_fake(fixture, answer_key);
  send_get(fixture, "a", TIMEOUT_MS, ERR_OVERLOAD);
}

/* ---- time ---- */

static void a_late_answer_is_nobodys(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  int64_t sent_at_ms = clock_now_ms();
  struct call *late = send_get(fixture, "late", STEADY_MS, 0);
  LOOP_UNTIL(fixture->loop, late->told);
  assert_false(late->has_reply);
  assert_true(late->told_at_ms - sent_at_ms >= STEADY_MS);
  struct call *next = send_get(fixture, "next", TIMEOUT_MS * 100, 0);
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count == 3);
  fake_redis_say(fixture->fake, "$4\r\nlate\r\n");
  loop_settle(fixture->loop);
  assert_int_equal(next->told, 0);
  fake_redis_say(fixture->fake, "$4\r\nnext\r\n");
  LOOP_UNTIL(fixture->loop, next->told);
  assert_string_equal(next->text, "next");
  assert_int_equal(late->told, 1);
  assert_int_equal(fixture->fake->connections, 1);
}

static void commands_with_different_times_each_have_their_own(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  struct call *slow = send_get(fixture, "slow", 100000, 0);
  struct call *quick = send_get(fixture, "quick", TIMEOUT_MS, 0);
  LOOP_UNTIL(fixture->loop, quick->told);
  assert_int_equal(slow->told, 0);
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count == 3);
  fake_redis_say(fixture->fake, "$4\r\nslow\r\n$5\r\nquick\r\n");
  LOOP_UNTIL(fixture->loop, slow->told);
  assert_string_equal(slow->text, "slow");
  loop_settle(fixture->loop);
  assert_int_equal(quick->told, 1);
}

/* The three failures are each of what was sent after the one before it. */
static void a_server_that_stops_answering_is_left_alone(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  for (int i = 0; i < LINK_FAILURES; i++) {
    assert_int_equal(link_state(fixture->link), LINK_UP);
    struct call *call = send_get(fixture, "a", STEADY_MS, 0);
    LOOP_UNTIL(fixture->loop, call->told);
    assert_false(call->has_reply);
  }
  assert_int_equal(link_state(fixture->link), LINK_DOWN);
  assert_string_equal(fixture->reason, "it does not answer in time");
  send_get(fixture, "a", STEADY_MS, ERR_NETWORK);
  LOOP_UNTIL(fixture->loop, fixture->fake->client < 0);
  int64_t down_at_ms = clock_now_ms();
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP); /* it answers the PING */
  assert_in_range(clock_now_ms() - down_at_ms, 850, 60000);
  assert_int_equal(fixture->fake->connections, 2);
  static const enum link_state states[] = {LINK_UP, LINK_DOWN, LINK_UP};
  assert_int_equal(fixture->state_count, 3);
  assert_memory_equal(fixture->states, states, sizeof(states));
}

static void a_pause_that_catches_many_is_one_failure(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  for (int i = 0; i < 100; i++)
    send_get(fixture, "a", STEADY_MS, 0);
  LOOP_UNTIL(fixture->loop, fixture->calls[99].told);
  assert_int_equal(link_state(fixture->link), LINK_UP);
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count == 101);
  for (int i = 0; i < 100; i++)
    fake_redis_say(fixture->fake, "$1\r\nx\r\n");
  LOOP_UNTIL(fixture->loop, link_outstanding(fixture->link) == 0);
  fixture->fake->answer = answer_key;
  struct call *call = send_get(fixture, "b", TIMEOUT_MS * 100, 0);
  LOOP_UNTIL(fixture->loop, call->told);
  assert_string_equal(call->text, "b");
}

/* No further command is taken, and yet the server is found out. */
static void a_server_that_hangs_with_all_commands_is_left_alone(void **state) {
  struct fixture *fixture = *state;
  fixture->options.max_commands = 3;
  use_fake(fixture, answer_greeting_alone);
  for (int i = 0; i < 3; i++)
    send_get(fixture, "a", TIMEOUT_MS, 0);
  int64_t sent_at_ms = clock_now_ms();
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_DOWN);
  assert_true(clock_now_ms() - sent_at_ms >= LINK_FAILURES * TIMEOUT_MS);
  for (int i = 0; i < 3; i++)
    assert_int_equal(fixture->calls[i].told, 1);
}

/* The DNS was quicker each time. */
static void cancelled_commands_without_an_answer_count(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  for (int i = 0; link_state(fixture->link) == LINK_UP; i++) {
    assert_true(i < 1000);
    link_cancel(send_get(fixture, "a", TIMEOUT_MS, 0)->call);
    loop_for(fixture->loop, 2);
  }
  assert_int_equal(link_state(fixture->link), LINK_DOWN);
  for (size_t i = 0; i < fixture->call_count; i++)
    assert_int_equal(fixture->calls[i].told, 0);
}

static void answers_in_time_between_failures_keep_it_up(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  for (int i = 0; i < 8; i++) {
    struct call *call = send_get(fixture, "a", i % 2 ? TIMEOUT_MS * 100 : STEADY_MS, 0);
    if (i % 2) {
      LOOP_UNTIL(fixture->loop, fixture->fake->command_count == (size_t)i + 2);
      fake_redis_say(fixture->fake, "$1\r\nx\r\n$1\r\ny\r\n"); /* of the one before it, too */
    }
    LOOP_UNTIL(fixture->loop, call->told);
    assert_int_equal(call->has_reply, i % 2);
  }
  assert_int_equal(link_state(fixture->link), LINK_UP);
  assert_int_equal(fixture->state_count, 1);
}

/* One that answers everything, and everything too late, is of no use. */
static void late_answers_speak_for_nobody(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  for (int i = 0; i < LINK_FAILURES; i++) {
    struct call *call = send_get(fixture, "a", STEADY_MS, 0);
    LOOP_UNTIL(fixture->loop, call->told);
    fake_redis_say(fixture->fake, "$1\r\nx\r\n");
    loop_settle(fixture->loop);
  }
  assert_int_equal(link_state(fixture->link), LINK_DOWN);
  assert_int_equal(link_latency_us(fixture->link), 0);
}

static void back_from_down_a_single_failure_does_not_open_it_again(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_key);
  fake_redis_end(fixture->fake);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_DOWN);
  fake_redis_listen(fixture->fake);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  fake_redis_hang_up(fixture->fake);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) != LINK_UP);
  assert_int_equal(link_state(fixture->link), LINK_CONNECTING);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
}

static void a_server_that_falls_silent_while_idle_is_found_out(void **state) {
  struct fixture *fixture = *state;
  fixture->options.beat_ms = BEAT_MS;
  use_fake(fixture, fake_redis_answer_well);
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count > 3); /* it is asked, and answers */
  assert_int_equal(link_state(fixture->link), LINK_UP);
  assert_int_equal(fixture->fake->connections, 1);
  assert_int_equal(link_outstanding(fixture->link), 0);
  fixture->fake->answer = fake_redis_answer_nothing;
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) != LINK_UP);
  assert_string_equal(fixture->reason, "nothing was heard of the server");
}

/* ---- cancelling and destroying ---- */

static void a_command_can_be_cancelled_at_each_moment(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_key);
  for (int turns = 0; turns < 8; turns++) {
    struct call *before = send_get(fixture, "before", TIMEOUT_MS * 100, 0);
    struct call *call = send_get(fixture, "cancelled", TIMEOUT_MS * 100, 0);
    struct call *behind = send_get(fixture, "behind", TIMEOUT_MS * 100, 0);
    for (int i = 0; i < turns && !call->told; i++)
      ev_run(fixture->loop, EVRUN_NOWAIT);
    int told = call->told;
    if (!told)
      link_cancel(call->call);
    LOOP_UNTIL(fixture->loop, behind->told);
    assert_int_equal(call->told, told);
    assert_string_equal(before->text, "before");
    assert_string_equal(behind->text, "behind");
  }
}

static void a_cancelled_command_is_not_told_of_a_lost_connection(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  struct call *call = send_get(fixture, "a", TIMEOUT_MS * 100, 0);
  struct call *other = send_get(fixture, "b", TIMEOUT_MS * 100, 0);
  link_cancel(call->call);
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count == 3);
  fake_redis_hang_up(fixture->fake);
  LOOP_UNTIL(fixture->loop, other->told);
  assert_int_equal(call->told, 0);
}

static struct call *to_cancel;

static void cancel_another(void *context, const struct redisReply *reply, int64_t now_ms) {
  on_reply(context, reply, now_ms);
  if (to_cancel)
    link_cancel(to_cancel->call);
  to_cancel = NULL;
}

/* Of commands that end together one cancels another, which then is not told. */
static void a_callback_may_cancel_who_would_be_told_next(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  for (int way = 0; way < 2; way++) {
    struct link_command command = {.count = 2, .words = {"GET", "a"}, .lengths = {3, 1}};
    struct call *first = &fixture->calls[fixture->call_count++];
    *first = (struct call){.fixture = fixture};
    assert_int_equal(
        link_send(fixture->link, &command, TIMEOUT_MS * (way ? 100 : 1), cancel_another, first, NULL), 0);
    struct call *second = send_get(fixture, "b", TIMEOUT_MS * (way ? 100 : 1), 0);
    struct call *third = send_get(fixture, "c", TIMEOUT_MS * (way ? 100 : 1), 0);
    to_cancel = second;
    if (way) {
      loop_settle(fixture->loop);
      fake_redis_hang_up(fixture->fake);
    }
    LOOP_UNTIL(fixture->loop, third->told);
    assert_int_equal(first->told, 1);
    assert_int_equal(second->told, 0);
  }
}

/* The very one whose answer, or silence, has the server left alone. */
static void a_command_may_be_cancelled_when_its_own_end_is_told_as_down(void **state) {
  struct fixture *fixture = *state;
  for (int is_silent = 0; is_silent < 2; is_silent++) {
    if (!fixture->fake)
      use_fake(fixture, answer_context);
    fixture->fake->answer = is_silent ? answer_greeting_alone : answer_context;
    fixture->fake->context = (char *)"-LOADING x\r\n";
    LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
    for (int i = 1; i < LINK_FAILURES; i++) {
      struct call *call = send_get(fixture, "a", STEADY_MS, 0);
      LOOP_UNTIL(fixture->loop, call->told);
    }
    assert_int_equal(link_state(fixture->link), LINK_UP);
    fixture->cancelled_when_down = send_get(fixture, "a", STEADY_MS, 0);
    LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_DOWN);
    loop_settle(fixture->loop);
    assert_int_equal(fixture->cancelled_when_down->told, 0);
    fixture->cancelled_when_down = NULL;
  }
}

enum ending { ENDING_ANSWER, ENDING_TIME, ENDING_LOSS, ENDING_USELESS, ENDING_COUNT };

static void it_can_be_destroyed_inside_each_callback(void **state) {
  struct fixture *fixture = *state;
  for (enum ending ending = 0; ending < ENDING_COUNT; ending++) {
    if (!fixture->fake)
      use_fake(fixture, NULL);
    else
      create(fixture), fixture->state_count = 0;
    fixture->fake->answer = fake_redis_answer_well;
    LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
    fixture->fake->answer = ending == ENDING_ANSWER    ? answer_key
                            : ending == ENDING_USELESS ? answer_context
                                                       : answer_greeting_alone;
    fixture->fake->context = "-LOADING x\r\n";
    struct call *calls[6];
    for (int i = 0; i < 6; i++) {
      calls[i] = send_get(fixture, "a", ending == ENDING_TIME ? TIMEOUT_MS : TIMEOUT_MS * 100, 0);
      calls[i]->destroys = i == 2;
    }
    if (ending == ENDING_LOSS) {
      loop_settle(fixture->loop);
      fake_redis_hang_up(fixture->fake);
    }
    LOOP_UNTIL(fixture->loop, !fixture->link);
    loop_settle(fixture->loop);
    assert_int_equal(fixture->told, fixture->told_at_destroy);
    for (int i = 0; i < 6; i++)
      assert_in_range(calls[i]->told, i == 2, 1);
    for (int i = 3; i < 6 && ending != ENDING_TIME; i++)
      assert_int_equal(calls[i]->told, 0);
    fixture->state_count = 0;
  }
}

static void it_can_be_destroyed_at_each_moment(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_key);
  for (int turns = 0; turns < 12; turns++) {
    link_destroy(fixture->link);
    fixture->state_count = 0;
    create(fixture);
    for (int i = 0; i < turns; i++) {
      ev_run(fixture->loop, EVRUN_NOWAIT);
      if (link_state(fixture->link) == LINK_UP)
        send_get(fixture, "a", TIMEOUT_MS, 0);
    }
    size_t told = 0, told_later = 0;
    for (size_t i = 0; i < fixture->call_count; i++)
      told += (size_t)fixture->calls[i].told;
    link_destroy(fixture->link);
    fixture->link = NULL;
    loop_settle(fixture->loop);
    for (size_t i = 0; i < fixture->call_count; i++)
      told_later += (size_t)fixture->calls[i].told;
    assert_int_equal(told, told_later);
  }
}

/* ---- lost connections ---- */

static void a_lost_connection_ends_all_commands_once_and_comes_back(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_greeting_alone);
  for (int i = 0; i < 50; i++)
    send_get(fixture, "a", TIMEOUT_MS * 100, 0)->sends = true; /* which is refused then */
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count == 51);
  fake_redis_hang_up(fixture->fake);
  LOOP_UNTIL(fixture->loop, fixture->calls[49].told);
  assert_string_equal(fixture->reason, "the server closed the connection");
  for (int i = 0; i < 50; i++) {
    assert_int_equal(fixture->calls[i].told, 1);
    assert_false(fixture->calls[i].has_reply);
  }
  assert_int_equal(link_outstanding(fixture->link), 0);
  fixture->fake->answer = answer_key;
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  struct call *call = send_get(fixture, "b", TIMEOUT_MS * 100, 0);
  LOOP_UNTIL(fixture->loop, call->told);
  assert_string_equal(call->text, "b");
  static const enum link_state states[] = {LINK_UP, LINK_CONNECTING, LINK_UP};
  assert_int_equal(fixture->state_count, 3);
  assert_memory_equal(fixture->states, states, sizeof(states));
}

static void answer_and_hang_up(struct fake_redis *fake, const struct fake_command *command) {
  fake_redis_answer_well(fake, command);
  fake_redis_hang_up(fake);
}

/* Nor is one that answers PING, as each new connection asks, and then hangs up. */
static void a_server_that_hangs_up_each_time_is_left_alone(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_and_hang_up);
  fake_redis_hang_up(fixture->fake);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_DOWN);
  assert_in_range(fixture->fake->connections, LINK_FAILURES, LINK_FAILURES + 1);
  size_t before = fixture->fake->connections;
  loop_for(fixture->loop, 500);
  assert_int_equal(fixture->fake->connections, before);
}

static void down_it_is_tried_seldom(void **state) {
  struct fixture *fixture = *state;
  use_fake(fixture, answer_key);
  fake_redis_end(fixture->fake);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_DOWN);
  fixture->fake->answer = fake_redis_answer_nothing; /* a server that takes connections and says nothing */
  fixture->options.connect_timeout_ms = 1000;
  fake_redis_listen(fixture->fake);
  size_t before = fixture->fake->connections;
  loop_for(fixture->loop, 700);
  assert_int_equal(fixture->fake->connections, before);
  LOOP_UNTIL(fixture->loop, fixture->fake->connections == before + 1);
  assert_int_equal(link_state(fixture->link), LINK_DOWN); /* while it is tried */
  send_get(fixture, "a", TIMEOUT_MS, ERR_NETWORK);
}

static void what_nobody_asked_for_closes_it(void **state) {
  struct fixture *fixture = *state;
  static const char *const strays[] = {"+OK\r\n", "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n",
                                       "*0\r\n",  "-ERR max number of clients reached\r\n",
                                       ":1\r\n",  "*1\r\n:1\r\n"};
  use_fake(fixture, answer_key);
  for (size_t i = 0; i < sizeof(strays) / sizeof(strays[0]); i++) {
    fake_redis_say(fixture->fake, strays[i]);
    LOOP_UNTIL(fixture->loop, link_state(fixture->link) != LINK_UP);
    assert_string_equal(fixture->reason, "an answer came that nobody had asked for");
    LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  }
}

/* ---- errors ---- */

static void errors_of_a_server_of_no_use_count(void **state) {
  struct fixture *fixture = *state;
  static char *const errors[] = {"-LOADING x\r\n", "-BUSY x\r\n", "-MASTERDOWN x\r\n", "-NOAUTH x\r\n"};
  for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
    if (!fixture->fake)
      use_fake(fixture, answer_context);
    fixture->fake->context = errors[i];
    LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
    for (int j = 0; j < LINK_FAILURES; j++) {
      assert_int_equal(link_state(fixture->link), LINK_UP);
      struct call *call = send_get(fixture, "a", TIMEOUT_MS * 100, 0);
      LOOP_UNTIL(fixture->loop, call->told);
      assert_true(call->is_error); /* it is told what it was */
    }
    assert_int_equal(link_state(fixture->link), LINK_DOWN);
    link_destroy(fixture->link);
    fixture->state_count = 0;
    create(fixture);
  }
}

static void errors_of_one_command_do_not_count(void **state) {
  struct fixture *fixture = *state;
  static char *const errors[] = {"-OOM x\r\n",       "-MISCONF x\r\n",   "-READONLY x\r\n",
                                 "-NOPERM x\r\n",    "-WRONGTYPE x\r\n", "-CLUSTERDOWN x\r\n",
                                 "-MOVED 1 a:1\r\n", "-ERR x\r\n"};
  use_fake(fixture, answer_context);
  for (size_t i = 0; i < 10 * sizeof(errors) / sizeof(errors[0]); i++) {
    fixture->fake->context = errors[i / 10];
    struct call *call = send_get(fixture, "a", TIMEOUT_MS * 100, 0);
    LOOP_UNTIL(fixture->loop, call->told);
    assert_true(call->is_error);
  }
  assert_int_equal(fixture->state_count, 1);
}

/* ---- subscribers ---- */

static void on_message(void *context, const char *message, size_t length, int64_t now_ms) {
  struct fixture *fixture = context;
  (void)now_ms;
  fixture->messages++;
  snprintf(fixture->message, sizeof(fixture->message), "%.*s", (int)length, message);
  if (fixture->destroys_on_message) {
    link_destroy(fixture->link);
    fixture->link = NULL;
  }
}

static void create_subscriber(struct fixture *fixture) {
  char channel[] = "c";
  assert_int_equal(link_create_subscriber(fixture->loop, &fixture->options, channel, on_message, on_state,
                                          fixture, &fixture->link),
                   0);
  channel[0] = 'd'; /* it was copied */
}

static size_t subscribed; /* the number of the connection */

static void answer_subscription(struct fake_redis *fake, const struct fake_command *command) {
  bool is_ping = strcmp(command->words[0], "PING") == 0;
  if (strcmp(command->words[0], "SUBSCRIBE") == 0) {
    subscribed = fake->connections;
    fake_redis_say(fake, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
  } else if (is_ping && subscribed == fake->connections) {
    fake_redis_say(fake, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
  } else {
    fake_redis_answer_well(fake, command);
  }
}

static void use_subscriber(struct fixture *fixture) {
  subscribed = 0;
  fixture->fake = fake_redis_create(fixture->loop, answer_subscription);
  snprintf(fixture->options.target.path, sizeof(fixture->options.target.path), "%s", fixture->fake->path);
  create_subscriber(fixture);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
}

static const char message[] = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n";

static void a_subscriber_hears_and_subscribes_anew(void **state) {
  struct fixture *fixture = *state;
  use_subscriber(fixture);
  fake_redis_say(fixture->fake, message);
  fake_redis_say(fixture->fake, message);
  LOOP_UNTIL(fixture->loop, fixture->messages == 2);
  assert_string_equal(fixture->message, "hello");
  fake_redis_hang_up(fixture->fake);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) != LINK_UP);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  fake_redis_say(fixture->fake, message);
  LOOP_UNTIL(fixture->loop, fixture->messages == 3);
}

static void a_subscriber_may_be_destroyed_inside_a_message(void **state) {
  struct fixture *fixture = *state;
  use_subscriber(fixture);
  fixture->destroys_on_message = true;
  fake_redis_say(fixture->fake, message);
  fake_redis_say(fixture->fake, message);
  LOOP_UNTIL(fixture->loop, !fixture->link);
  loop_settle(fixture->loop);
  assert_int_equal(fixture->messages, 1);
}

static void what_is_no_message_closes_a_subscriber(void **state) {
  struct fixture *fixture = *state;
  static const char *const others[] = {"+OK\r\n",
                                       "*0\r\n",
                                       "*-1\r\n",
                                       "$-1\r\n",
                                       ":1\r\n",
                                       "*1\r\n:1\r\n",
                                       "-ERR x\r\n",
                                       "*3\r\n$7\r\nmessage\r\n$1\r\nd\r\n$1\r\nx\r\n",
                                       "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:1\r\n",
                                       "*3\r\n:1\r\n*0\r\n*-1\r\n",
                                       "*2\r\n$7\r\nmessage\r\n$1\r\nc\r\n",
                                       "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n",
                                       "*4\r\n$8\r\npmessage\r\n$1\r\nc\r\n$1\r\nc\r\n$1\r\nx\r\n",
                                       "*3\r\n*-1\r\n$1\r\nc\r\n$1\r\nx\r\n"};
  use_subscriber(fixture);
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
    fake_redis_say(fixture->fake, others[i]);
    LOOP_UNTIL(fixture->loop, link_state(fixture->link) != LINK_UP);
    assert_string_equal(fixture->reason, "something else than a message came");
    LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
    fixture->state_count = 0;
  }
  assert_int_equal(fixture->messages, 0);
}

static void a_subscriber_whose_server_falls_silent_finds_out(void **state) {
  struct fixture *fixture = *state;
  fixture->options.beat_ms = BEAT_MS;
  use_subscriber(fixture);
  size_t before = fixture->fake->command_count;
  LOOP_UNTIL(fixture->loop, fixture->fake->command_count == before + 2);
  assert_int_equal(fixture->fake->connections, 1);
  fixture->fake->answer = fake_redis_answer_nothing;
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) != LINK_UP);
  assert_string_equal(fixture->reason, "nothing was heard of the server");
}

/* ---- real servers ---- */

static struct call *get_well(struct fixture *fixture, const char *key) {
  struct call *call = send_get(fixture, key, TIMEOUT_MS * 100, 0);
  LOOP_UNTIL(fixture->loop, call->told);
  assert_true(call->has_reply);
  return call;
}

static void a_real_server_down_at_the_start_is_found_when_it_comes(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, NULL);
  real_redis_kill(&fixture->real);
  link_destroy(fixture->link);
  fixture->state_count = 0;
  create(fixture);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_DOWN);
  assert_string_equal(fixture->reason, "cannot connect: Connection refused");
  real_redis_start(&fixture->real, NULL);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  get_well(fixture, "a");
}

static void a_real_server_that_is_killed_comes_back(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, NULL);
  for (int i = 0; i < 200; i++)
    send_get(fixture, "a", TIMEOUT_MS * 100, 0);
  real_redis_kill(&fixture->real);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_DOWN);
  loop_settle(fixture->loop);
  for (int i = 0; i < 200; i++)
    assert_int_equal(fixture->calls[i].told, 1);
  real_redis_start(&fixture->real, NULL);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  get_well(fixture, "b");
}

static void a_real_server_that_is_stopped_costs_nothing_and_comes_back(void **state) {
  struct fixture *fixture = *state;
  fixture->options.connect_timeout_ms = 200;
  use_real(fixture, NULL);
  real_redis_do(&fixture->real, "SET a right");
  real_redis_do(&fixture->real, "SET b wrong");
  real_redis_signal(&fixture->real, SIGSTOP);
  for (size_t i = 0; link_state(fixture->link) == LINK_UP; i++) {
    assert_true(i < 1000);
    struct call *call = send_get(fixture, "b", TIMEOUT_MS, 0);
    LOOP_UNTIL(fixture->loop, call->told);
    assert_false(call->has_reply);
  }
  assert_int_equal(link_state(fixture->link), LINK_DOWN);
  loop_for(fixture->loop, 1500); /* at least one probe fails */
  assert_int_equal(link_state(fixture->link), LINK_DOWN);
  real_redis_signal(&fixture->real, SIGCONT);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  assert_string_equal(get_well(fixture, "a")->text, "right");
}

static void a_real_value_of_100_mb_is_not_taken_in(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, NULL);
  real_redis_do(&fixture->real, "SETRANGE large 100000000 x");
  real_redis_do(&fixture->real, "SET small s");
  struct call *large = send_get(fixture, "large", TIMEOUT_MS * 1000, 0);
  struct call *behind = send_get(fixture, "small", TIMEOUT_MS * 1000, 0);
  LOOP_UNTIL(fixture->loop, large->told && behind->told);
  assert_true(large->is_error); /* the same question would end the connection again */
  assert_string_equal(large->text, "TOOLARGE a reply of more than 1 MiB came");
  assert_false(behind->has_reply);
  assert_string_equal(fixture->reason, "a reply of more than 1 MiB came");
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  assert_string_equal(get_well(fixture, "small")->text, "s");
}

static void a_real_server_busy_with_a_script_is_left_alone(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, (const char *const[]){"--busy-reply-threshold", "10", NULL});
  redisContext *script = real_redis_connect(&fixture->real);
  redisAppendCommand(script, "EVAL %s 0", "while true do end");
  int done = 0;
  while (!done)
    assert_int_equal(redisBufferWrite(script, &done), REDIS_OK);
  for (size_t i = 0; link_state(fixture->link) != LINK_DOWN; i++) {
    assert_true(i < 1000);
    if (link_state(fixture->link) == LINK_UP) {
      struct call *call = send_get(fixture, "a", TIMEOUT_MS * 100, 0);
      LOOP_UNTIL(fixture->loop, call->told);
    }
    loop_turn(fixture->loop);
  }
  real_redis_do(&fixture->real, "SCRIPT KILL");
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  redisFree(script);
  get_well(fixture, "a");
}

static void a_real_server_at_its_memory_still_answers_reads(void **state) {
  struct fixture *fixture = *state;
  use_real(fixture, NULL);
  real_redis_do(&fixture->real, "SET a b");
  real_redis_do(&fixture->real, "CONFIG SET maxmemory 1");
  struct link_command set = {.count = 3, .words = {"SET", "c", "d"}, .lengths = {3, 1, 1}};
  for (int i = 0; i < 10; i++) {
    struct call *call = &fixture->calls[fixture->call_count++];
    *call = (struct call){.fixture = fixture};
    assert_int_equal(link_send(fixture->link, &set, TIMEOUT_MS * 100, on_reply, call, NULL), 0);
    LOOP_UNTIL(fixture->loop, call->told);
    assert_true(call->is_error);
    assert_memory_equal(call->text, "OOM ", 4);
  }
  assert_string_equal(get_well(fixture, "a")->text, "b");
}

static void real_messages_are_heard(void **state) {
  struct fixture *fixture = *state;
  fixture->options.beat_ms = BEAT_MS; /* real PINGs between them */
  real_redis_start(&fixture->real, NULL);
  snprintf(fixture->options.target.path, sizeof(fixture->options.target.path), "%s", fixture->real.path);
  create_subscriber(fixture);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  for (int i = 1; i <= 3; i++) {
    real_redis_do(&fixture->real, "PUBLISH c hello");
    real_redis_do(&fixture->real, "PUBLISH d nobody");
    LOOP_UNTIL(fixture->loop, fixture->messages == i);
    loop_for(fixture->loop, BEAT_MS + 100);
  }
  real_redis_do(&fixture->real, "CLIENT KILL TYPE pubsub");
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) != LINK_UP);
  LOOP_UNTIL(fixture->loop, link_state(fixture->link) == LINK_UP);
  real_redis_do(&fixture->real, "PUBLISH c again");
  LOOP_UNTIL(fixture->loop, fixture->messages == 4);
  assert_string_equal(fixture->message, "again");
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
  const struct CMUnitTest tests[] = {
      TEST(each_command_gets_its_answer),
      TEST(nothing_is_taken_while_it_is_not_up),
      TEST(a_command_may_be_sent_inside_the_answer_to_another),
      TEST(outstanding_commands_are_bounded_with_those_given_up),
      TEST(with_no_commands_allowed_none_is_taken),
      TEST(a_late_answer_is_nobodys),
      TEST(commands_with_different_times_each_have_their_own),
      TEST(a_server_that_stops_answering_is_left_alone),
      TEST(a_pause_that_catches_many_is_one_failure),
      TEST(a_server_that_hangs_with_all_commands_is_left_alone),
      TEST(cancelled_commands_without_an_answer_count),
      TEST(answers_in_time_between_failures_keep_it_up),
      TEST(late_answers_speak_for_nobody),
      TEST(back_from_down_a_single_failure_does_not_open_it_again),
      TEST(a_server_that_falls_silent_while_idle_is_found_out),
      TEST(a_command_can_be_cancelled_at_each_moment),
      TEST(a_cancelled_command_is_not_told_of_a_lost_connection),
      TEST(a_callback_may_cancel_who_would_be_told_next),
      TEST(a_command_may_be_cancelled_when_its_own_end_is_told_as_down),
      TEST(it_can_be_destroyed_inside_each_callback),
      TEST(it_can_be_destroyed_at_each_moment),
      TEST(a_lost_connection_ends_all_commands_once_and_comes_back),
      TEST(a_server_that_hangs_up_each_time_is_left_alone),
      TEST(down_it_is_tried_seldom),
      TEST(what_nobody_asked_for_closes_it),
      TEST(errors_of_a_server_of_no_use_count),
      TEST(errors_of_one_command_do_not_count),
      TEST(a_subscriber_hears_and_subscribes_anew),
      TEST(a_subscriber_may_be_destroyed_inside_a_message),
      TEST(what_is_no_message_closes_a_subscriber),
      TEST(a_subscriber_whose_server_falls_silent_finds_out),
      TEST(a_real_server_down_at_the_start_is_found_when_it_comes),
      TEST(a_real_server_that_is_killed_comes_back),
      TEST(a_real_server_that_is_stopped_costs_nothing_and_comes_back),
      TEST(a_real_value_of_100_mb_is_not_taken_in),
      TEST(a_real_server_busy_with_a_script_is_left_alone),
      TEST(a_real_server_at_its_memory_still_answers_reads),
      TEST(real_messages_are_heard),
  };
  return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
