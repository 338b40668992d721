#include "cmocka_compat.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dns/nameserver.h"
#include "loop_until.h"
#include "scripted_upstream.h"

enum { TIMEOUT_MS = 80 };

static const char name[] = "a-name-of-many-letters-so-that-chance-spells-it-so-very-seldom.test";

struct fixture {
  struct ev_loop *loop;
  struct stats stats;
  struct nameserver_options options;
  struct nameservers *all;
  struct nameserver *server;
  struct upstream upstream;
};

/* What came of one question. */
struct end {
  struct nameserver_try *sent;
  unsigned calls;
  enum nameserver_result result;
  enum dnsmsg_outcome outcome;
  bool authentic;
};

static void on_done(void *context, struct nameserver_try *sent, enum nameserver_result result,
                    const struct dnsmsg *message, int64_t now_ms) {
  struct end *end = context;
  assert_ptr_equal(sent, end->sent); /* nameserver_ask has returned */
  assert_int_equal(message == NULL, result != NAMESERVER_REPLIED);
  assert_true(clock_now_ms() >= now_ms);
  end->calls++;
  end->result = result;
  if (message) {
    end->outcome = message->outcome;
    end->authentic = message->authentic;
  }
}

static int setup(void **state) {
  struct fixture *fixture = aligned_alloc(64, (sizeof(*fixture) + 63) / 64 * 64);
  assert_non_null(fixture);
  memset(fixture, 0, sizeof(*fixture));
  fixture->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  fixture->options =
      (struct nameserver_options){.timeout_ms = TIMEOUT_MS, .random_case = true, .done = on_done};
  *state = fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  nameservers_destroy(fixture->all);
  close_upstream(&fixture->upstream);
  assert_false(ev_run(fixture->loop, EVRUN_NOWAIT)); /* no watcher is left */
  ev_loop_destroy(fixture->loop);
  free(fixture);
  return 0;
}

static void open_server(struct fixture *fixture, bool with_tcp, script_fn *script) {
  open_upstream(&fixture->upstream, fixture->loop, with_tcp, script);
  fixture->all = nameservers_create(fixture->loop, &fixture->options, &fixture->stats);
  assert_non_null(fixture->all);
  fixture->server = nameserver_get(fixture->all, &fixture->upstream.address);
  assert_non_null(fixture->server);
}

static const struct nameserver_question question = {name, DNSMSG_MX, NULL};

static void start(struct fixture *fixture, struct end *end) {
  *end = (struct end){0};
  end->sent = nameserver_ask(fixture->all, fixture->server, &question, end);
  assert_non_null(end->sent);
  assert_int_equal(end->calls, 0);
}

static struct end ask(struct fixture *fixture) {
  struct end end;
  start(fixture, &end);
  LOOP_UNTIL(fixture->loop, end.calls > 0);
  loop_settle(fixture->loop);
  assert_int_equal(end.calls, 1);
  return end;
}

static uint64_t counter(const struct fixture *fixture, enum stats_counter which) {
  return fixture->stats.counters[which];
}

static void in_lower_case(struct upstream *upstream, const struct query_seen *query) {
  struct query_seen lower = *query;
  for (char *at = lower.name; *at; at++)
    *at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
  answer(upstream, &lower);
}

static void truncated_over_udp(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 0);
  dns_add_mx(&builder, NULL, 300, 10, "mx.test");
  if (!query->over_tcp)
    builder.bytes[2] |= 0x02;
  end_reply(upstream, query);
}

static void broken(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 0);
  dns_add_mx(&builder, NULL, 300, 10, "mx.test");
  builder.length -= 3;
  send_reply(upstream, query);
}

static void refused(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 5);
  end_reply(upstream, query);
}

static void authentic(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 0);
  builder.bytes[3] |= 0x20;
  dns_add_mx(&builder, NULL, 300, 10, "mx.test");
  end_reply(upstream, query);
}

static void an_answer_is_told_and_measured(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture, true, answer);
  struct end end = ask(fixture);
  assert_int_equal(end.result, NAMESERVER_REPLIED);
  assert_int_equal(end.outcome, DNSMSG_ANSWER);
  assert_true(fixture->server->health.is_known);
}

static void one_address_is_one_server(void **state) {
  struct fixture *fixture = *state;
  struct sockaddr_storage other;
  open_server(fixture, true, answer);
  assert_ptr_equal(nameserver_get(fixture->all, &fixture->upstream.address), fixture->server);
  set_address(&other, INADDR_LOOPBACK, 1);
  struct nameserver *second = nameserver_get(fixture->all, &other);
  assert_ptr_not_equal(second, fixture->server);
  assert_true((second->bit & fixture->server->bit) == 0);
}

static void a_truncated_reply_is_asked_for_over_tcp(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture, true, truncated_over_udp);
  struct end end = ask(fixture);
  assert_int_equal(end.outcome, DNSMSG_ANSWER);
  assert_int_equal(fixture->upstream.seen_count, 2);
  assert_true(fixture->upstream.seen[1].over_tcp);
  assert_int_equal(counter(fixture, STATS_DNS_TCP), 1);
}

static void where_tcp_is_refused_after_truncation_there_is_no_way(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture, false, truncated_over_udp);
  for (int i = 0; i < 2 * HEALTH_FAILURES_MAX; i++) {
    struct end end = ask(fixture);
    assert_int_equal(end.result, NAMESERVER_UNREACHABLE);
  }
  assert_false(fixture->server->health.is_demoted);
}

static void a_reply_that_is_broken_over_tcp_too_is_malformed(void **state) {
  struct fixture *fixture = *state;
  skip_where_garbage_is_silence();
  open_server(fixture, true, broken);
  struct end end = ask(fixture);
  assert_int_equal(end.result, NAMESERVER_REPLIED);
  assert_int_equal(end.outcome, DNSMSG_MALFORMED);
  assert_int_equal(fixture->upstream.seen_count, 2);
}

static void other_letters_over_udp_and_tcp_are_the_servers_own_way(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture, true, in_lower_case);
  for (int i = 0; i < 3; i++)
    assert_int_equal(ask(fixture).outcome, DNSMSG_ANSWER);
  assert_int_equal(fixture->upstream.seen_count, 4); /* the second alone over TCP */
  assert_true(fixture->upstream.seen[1].over_tcp);
  assert_string_equal(fixture->upstream.seen[3].name, name);
  assert_true(fixture->server->plain_case_until_ms > clock_now_ms());
}

static void without_random_case_any_case_is_accepted(void **state) {
  struct fixture *fixture = *state;
  fixture->options.random_case = false;
  open_server(fixture, true, in_lower_case);
  assert_int_equal(ask(fixture).outcome, DNSMSG_ANSWER);
  assert_string_equal(fixture->upstream.seen[0].name, name);
  assert_int_equal(fixture->upstream.seen_count, 1);
}

static void silence_three_times_demotes(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture, true, be_silent);
  for (int i = 0; i < HEALTH_FAILURES_MAX; i++)
    assert_int_equal(ask(fixture).result, NAMESERVER_TIMED_OUT);
  assert_true(fixture->server->health.is_demoted);
  assert_int_equal(counter(fixture, STATS_DNS_DEMOTIONS), 1);
  assert_int_equal(counter(fixture, STATS_DNS_TIMEOUTS), HEALTH_FAILURES_MAX);
}

static void a_probe_is_sent_when_it_is_due_and_brings_the_server_back(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture, true, be_silent);
  for (int i = 0; i < HEALTH_FAILURES_MAX; i++)
    ask(fixture);
  fixture->upstream.script = answer;
  size_t before = fixture->upstream.seen_count;
  int64_t due_ms = fixture->server->health.probe_at_ms;
  nameserver_probe(fixture->all, fixture->server, &question, due_ms - 1);
  assert_int_equal(counter(fixture, STATS_DNS_PROBES), 0);
  nameserver_probe(fixture->all, fixture->server, &question, due_ms);
  nameserver_probe(fixture->all, fixture->server, &question, due_ms); /* one is enough */
  assert_int_equal(counter(fixture, STATS_DNS_PROBES), 1);
  LOOP_UNTIL(fixture->loop, !fixture->server->health.is_demoted);
  assert_int_equal(fixture->upstream.seen_count, before + 1);
  assert_int_equal(counter(fixture, STATS_DNS_ANSWERS), 0);
}

static void a_lame_server_is_not_brought_back_by_a_reply_that_does_not_help(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture, true, refused);
  for (int i = 0; i < HEALTH_LAME_MAX; i++)
    nameserver_note_lame(fixture->all, fixture->server, clock_now_ms());
  assert_true(fixture->server->health.is_demoted);
  assert_int_equal(ask(fixture).outcome, DNSMSG_REFUSED);
  assert_true(fixture->server->health.is_demoted);
  fixture->upstream.script = answer;
  ask(fixture);
  assert_false(fixture->server->health.is_demoted);
}

static void whom_nobody_waits_for_tells_of_the_server_alone(void **state) {
  struct fixture *fixture = *state;
  struct end end;
  open_server(fixture, true, truncated_over_udp);
  start(fixture, &end);
  nameserver_let_go(end.sent);
  LOOP_UNTIL(fixture->loop, fixture->server->health.is_known);
  loop_settle(fixture->loop);
  assert_int_equal(end.calls, 0);
  assert_int_equal(fixture->upstream.seen_count, 1); /* no other way is tried */
}

static void a_try_sent_before_the_winner_to_another_server_was_late(void **state) {
  struct fixture *fixture = *state;
  struct end first, again, winner;
  struct sockaddr_storage silent;
  open_server(fixture, true, be_silent);
  set_address(&silent, INADDR_LOOPBACK + 1, 53);
  struct nameserver *other = nameserver_get(fixture->all, &silent);
  start(fixture, &first);
  loop_for(fixture->loop, 2);
  start(fixture, &again);
  winner = (struct end){0};
  winner.sent = nameserver_ask(fixture->all, other, &question, &winner);
  nameserver_note_late(again.sent, first.sent, clock_now_ms()); /* the same server */
  assert_int_equal(fixture->server->health.lates, 0);
  nameserver_note_late(first.sent, winner.sent, clock_now_ms());
  assert_int_equal(fixture->server->health.lates, 1);
  nameserver_note_late(winner.sent, first.sent, clock_now_ms()); /* sent after it */
  assert_int_equal(other->health.lates, 0);
}

static void the_ad_bit_is_believed_from_loopback_or_by_configuration(void **state) {
  struct fixture *fixture = *state;
  struct sockaddr_storage elsewhere;
  open_server(fixture, true, authentic);
  assert_true(ask(fixture).authentic);
  set_address(&elsewhere, 0xc0000201 /* 192.0.2.1 */, 53);
  assert_false(nameserver_get(fixture->all, &elsewhere)->is_trusted);
  nameservers_destroy(fixture->all);
  fixture->options.trust_ad = true;
  fixture->all = nameservers_create(fixture->loop, &fixture->options, &fixture->stats);
  assert_true(nameserver_get(fixture->all, &elsewhere)->is_trusted);
}

static void the_ad_bit_of_another_server_is_taken_away_and_told(void **state) {
  struct fixture *fixture = *state;
  struct story *story = story_create();
  const struct nameserver_question told = {name, DNSMSG_MX, story};
  struct end end = {0};
  open_server(fixture, true, authentic);
  fixture->server->is_trusted = false;
  end.sent = nameserver_ask(fixture->all, fixture->server, &told, &end);
  LOOP_UNTIL(fixture->loop, end.calls == 1);
  assert_false(end.authentic);
  assert_int_equal(story_count(story), 2);
  assert_non_null(strstr(story_line(story, 1).text, "not believed"));
  story_unref(story);
}

static void destroying_ends_everything_without_a_call(void **state) {
  struct fixture *fixture = *state;
  struct end ends[3];
  struct sockaddr_storage broadcast;
  open_server(fixture, true, be_silent);
  set_address(&broadcast, INADDR_BROADCAST, 53); /* fails while it is being sent */
  start(fixture, &ends[0]);
  fixture->server = nameserver_get(fixture->all, &broadcast);
  start(fixture, &ends[1]);
  start(fixture, &ends[2]);
  nameservers_destroy(fixture->all);
  fixture->all = NULL;
  loop_settle(fixture->loop);
  assert_int_equal(ends[0].calls + ends[1].calls + ends[2].calls, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_answer_is_told_and_measured),
      TEST(one_address_is_one_server),
      TEST(a_truncated_reply_is_asked_for_over_tcp),
      TEST(where_tcp_is_refused_after_truncation_there_is_no_way),
      TEST(a_reply_that_is_broken_over_tcp_too_is_malformed),
      TEST(other_letters_over_udp_and_tcp_are_the_servers_own_way),
      TEST(without_random_case_any_case_is_accepted),
      TEST(silence_three_times_demotes),
      TEST(a_probe_is_sent_when_it_is_due_and_brings_the_server_back),
      TEST(a_lame_server_is_not_brought_back_by_a_reply_that_does_not_help),
      TEST(whom_nobody_waits_for_tells_of_the_server_alone),
      TEST(a_try_sent_before_the_winner_to_another_server_was_late),
      TEST(the_ad_bit_is_believed_from_loopback_or_by_configuration),
      TEST(the_ad_bit_of_another_server_is_taken_away_and_told),
      TEST(destroying_ends_everything_without_a_call),
  };
  return cmocka_run_group_tests_name("nameserver", tests, NULL, NULL);
}
