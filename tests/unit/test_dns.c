#include "cmocka_compat.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/error.h"
#include "dns/dns.h"
#include "dns/health.h"
#include "dns_builder.h"
#include "loop_until.h"
#include "scripted_upstream.h"

/* ---- scripts ---- */

static void answer_servfail(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 2);
  end_reply(upstream, query);
}

static void answer_refused(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 5);
  end_reply(upstream, query);
}

static void answer_nxdomain(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 3);
  dns_add_soa(&builder, "test", 100, 200);
  end_reply(upstream, query);
}

/* About `note` octets of MX records. */
static void answer_big(struct upstream *upstream, const struct query_seen *query) {
  char host[] = "mx-with-a-name-of-some-length-00.test";
  start_reply(query, 0);
  for (unsigned i = 0; builder.length + 70 < upstream->note; i++) {
    host[30] = (char)('0' + i / 10);
    host[31] = (char)('0' + i % 10);
    dns_add_mx(&builder, NULL, 300, i, host);
  }
  end_reply(upstream, query);
}

static void answer_truncated_over_udp(struct upstream *upstream, const struct query_seen *query) {
  if (query->over_tcp) {
    upstream->note = 20000;
    answer_big(upstream, query);
    return;
  }
  start_reply(query, 0);
  dns_add_mx(&builder, NULL, 300, 10, "wrong.test");
  builder.bytes[2] |= 0x02;
  end_reply(upstream, query);
}

/* Knows no EDNS at all (RFC 6891 section 7). */
static void answer_formerr_to_edns(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, query->opt_size ? 1 : 0);
  if (!query->opt_size)
    dns_add_mx(&builder, NULL, 300, 10, "mx.test");
  send_reply(upstream, query);
}

/* Speaks EDNS, yet refuses it. */
static void answer_formerr_with_opt_to_edns(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, query->opt_size ? 1 : 0);
  if (!query->opt_size)
    dns_add_mx(&builder, NULL, 300, 10, "mx.test");
  end_reply(upstream, query);
}

static void answer_formerr_always(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 1);
  send_reply(upstream, query);
}

static void answer_formerr_always_with_opt(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 1);
  end_reply(upstream, query);
}

/* A header that is right and a record that ends in the middle. */
static void answer_garbage(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 0);
  dns_add_mx(&builder, NULL, 300, 10, "mx.test");
  builder.length -= 3;
  send_reply(upstream, query);
}

static void answer_with_the_query(struct upstream *upstream, const struct query_seen *query) {
  dns_start(&builder, 0x0100); /* not a reply */
  dns_put_question(&builder, query->name, query->qtype);
  send_reply(upstream, query);
}

static void answer_wrongly_then_rightly(struct upstream *upstream, const struct query_seen *query) {
  struct query_seen wrong = *query;
  wrong.id ^= 1;
  start_reply(query, 0);
  dns_add_mx(&builder, NULL, 300, 10, "spoofed.test");
  end_reply(upstream, &wrong);
  dns_reply(&builder, 0, "other.test", query->qtype);
  dns_add_mx(&builder, NULL, 300, 10, "spoofed.test");
  end_reply(upstream, query);
  dns_reply(&builder, 0, query->name, DNSMSG_AAAA);
  dns_add_aaaa(&builder, NULL, 300, 1);
  end_reply(upstream, query);
  answer(upstream, query);
}

static void answer_shortly_then_rightly(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 0);
  builder.length = 5;
  send_reply(upstream, query);
  answer(upstream, query);
}

static void answer_with_a_wrong_id(struct upstream *upstream, const struct query_seen *query) {
  struct query_seen wrong = *query;
  wrong.id ^= 1;
  answer(upstream, &wrong);
}

static void answer_to_another_question(struct upstream *upstream, const struct query_seen *query) {
  dns_reply(&builder, 0, "other.test", query->qtype);
  dns_add_mx(&builder, NULL, 300, 10, "spoofed.test");
  end_reply(upstream, query);
}

/* Answers the oldest when more than `note` are waiting. */
static void answer_the_oldest(struct upstream *upstream, const struct query_seen *query) {
  (void)query;
  if (upstream->seen_count > upstream->note)
    answer(upstream, &upstream->seen[upstream->seen_count - 1 - upstream->note]);
}

/* ---- asking ---- */

enum { SERVERS = 3, TIMEOUT_MS = 25 }; /* it is noticed within 50 ms, long before a hedge */

struct fixture {
  struct ev_loop *loop;
  struct stats stats;
  struct dns_options options;
  struct dns *dns;
  struct upstream upstreams[SERVERS];
  size_t upstream_count;
  struct sockaddr_storage extra; /* a server that is none */
  size_t done_count;             /* of all asked */
};

struct asked {
  struct fixture *fixture;
  struct dns_query *query;
  unsigned calls;
  size_t order; /* the how manieth to be done */
  enum dns_result result;
  enum dnsmsg_outcome outcome;
  unsigned mx_count;
  bool authentic;
  char host[DNSMSG_NAME_SIZE]; /* of the first MX */
  unsigned again;              /* ask so often again from inside the callback */
};

static int open_fixture(void **state) {
  struct fixture *fixture = aligned_alloc(64, (sizeof(*fixture) + 63) / 64 * 64);
  assert_non_null(fixture);
  memset(fixture, 0, sizeof(*fixture));
  fixture->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  assert_non_null(fixture->loop);
  fixture->options =
      (struct dns_options){.timeout_ms = 5000, .tries = 3, .max_queries = 1024, .max_queue = 65536};
  *state = fixture;
  return 0;
}

static int close_fixture(void **state) {
  struct fixture *fixture = *state;
  dns_destroy(fixture->dns);
  for (size_t i = 0; i < fixture->upstream_count; i++)
    close_upstream(&fixture->upstreams[i]);
  assert_false(ev_run(fixture->loop, EVRUN_NOWAIT)); /* no watcher is left */
  ev_loop_destroy(fixture->loop);
  free(fixture);
  return 0;
}

static struct upstream *add_upstream(struct fixture *fixture, bool with_tcp, script_fn *script) {
  assert_true(fixture->upstream_count < SERVERS);
  struct upstream *upstream = &fixture->upstreams[fixture->upstream_count++];
  open_upstream(upstream, fixture->loop, with_tcp, script);
  fixture->options.servers[fixture->options.server_count++] = &upstream->address;
  return upstream;
}

/* A server whose port is closed. */
static void add_closed(struct fixture *fixture) {
  uint16_t port = 0;
  close(bind_loopback(SOCK_DGRAM, &port));
  set_address(&fixture->extra, INADDR_LOOPBACK, port);
  fixture->options.servers[fixture->options.server_count++] = &fixture->extra;
}

/* A server to which not even a socket can be connected: the failure comes from inside ares_send. */
static void add_impossible(struct fixture *fixture) {
  set_address(&fixture->extra, INADDR_BROADCAST, 53);
  fixture->options.servers[fixture->options.server_count++] = &fixture->extra;
}

static void create(struct fixture *fixture) {
  assert_int_equal(dns_create(fixture->loop, &fixture->options, &fixture->stats, &fixture->dns), 0);
}

static uint64_t counter(const struct fixture *fixture, enum stats_counter which) {
  return fixture->stats.counters[which];
}

static void ask_name(struct fixture *fixture, struct asked *asked, const char *name);

static void on_done(void *context, enum dns_result result, const struct dnsmsg *message, int64_t now_ms) {
  struct asked *asked = context;
  struct fixture *fixture = asked->fixture;
  assert_non_null(asked->query); /* dns_ask has returned */
  int64_t late_ms = clock_now_ms() - now_ms;
  assert_true(late_ms >= 0 && late_ms < 10000);
  assert_int_equal(message == NULL, result != DNS_REPLIED);
  asked->calls++;
  asked->order = fixture->done_count++;
  asked->result = result;
  if (message) {
    asked->outcome = message->outcome;
    asked->authentic = message->authentic;
    asked->mx_count = message->outcome == DNSMSG_ANSWER ? message->mx_count : 0;
    if (asked->mx_count > 0)
      memcpy(asked->host, message->mx[0].host, sizeof(asked->host));
  }
  if (asked->again > 0) {
    asked->again--;
    ask_name(fixture, asked, "again.test");
  }
}

static void ask_name(struct fixture *fixture, struct asked *asked, const char *name) {
  unsigned before = asked->calls;
  struct dns_query *query = NULL;
  asked->fixture = fixture;
  asked->query = NULL;
  assert_int_equal(dns_ask(fixture->dns, &(struct dns_question){name, DNSMSG_MX, DNS_FOR_CLIENT, NULL},
                           on_done, asked, &query),
                   0);
  assert_non_null(query);
  asked->query = query;
  assert_int_equal(asked->calls, before);
}

/* Asks one question and waits for its end. */
static struct asked ask(struct fixture *fixture) {
  struct asked asked = {0};
  ask_name(fixture, &asked, "d.test");
  LOOP_UNTIL(fixture->loop, asked.calls > 0);
  loop_settle(fixture->loop);
  assert_int_equal(asked.calls, 1);
  return asked;
}

static void assert_answered(const struct asked *asked, const char *host) {
  assert_int_equal(asked->result, DNS_REPLIED);
  assert_int_equal(asked->outcome, DNSMSG_ANSWER);
  assert_string_equal(asked->host, host);
}

static void assert_outcome(const struct asked *asked, enum dnsmsg_outcome outcome) {
  assert_int_equal(asked->result, DNS_REPLIED);
  assert_int_equal(asked->outcome, outcome);
}

static size_t count_edns(const struct upstream *upstream) {
  size_t count = 0;
  for (size_t i = 0; i < upstream->seen_count; i++)
    count += upstream->seen[i].opt_size > 0;
  return count;
}

static void assert_all_whole(const struct upstream *upstream) {
  for (size_t i = 0; i < upstream->seen_count; i++)
    assert_true(upstream->seen[i].is_whole);
}

/* ---- one server ---- */

static void a_plain_answer_is_delivered(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(upstream->seen_count, 1);
  assert_int_equal(counter(fixture, STATS_DNS_QUERIES), 1);
  assert_int_equal(counter(fixture, STATS_DNS_ANSWERS), 1);
  assert_int_equal(counter(fixture, STATS_DNS_CHANNELS), 1);
}

static void a_query_is_recursive_with_one_question_and_edns(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer);
  create(fixture);
  ask(fixture);
  const struct query_seen *query = &upstream->seen[0];
  assert_true(query->is_whole);
  assert_string_equal(query->name, "d.test");
  assert_int_equal(query->qtype, DNSMSG_MX);
  assert_int_equal(query->flags, 0x0120); /* RD, AD */
  assert_int_equal(query->opt_size, 1232);
  static const uint16_t counts[4] = {1, 0, 0, 1};
  assert_memory_equal(query->counts, counts, sizeof(counts));
}

static void the_root_and_the_longest_name_can_be_asked(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer);
  char longest[DNSMSG_NAME_SIZE];
  struct asked asked = {0};
  memset(longest, 'x', 253);
  longest[63] = longest[127] = longest[191] = '.';
  longest[253] = '\0';
  create(fixture);
  ask_name(fixture, &asked, longest);
  LOOP_UNTIL(fixture->loop, asked.calls == 1);
  assert_answered(&asked, "mx.test");
  assert_string_equal(upstream->seen[0].name, longest);
  ask_name(fixture, &asked, "");
  LOOP_UNTIL(fixture->loop, asked.calls == 2);
  assert_string_equal(upstream->seen[1].name, "");
  assert_all_whole(upstream);
}

static void a_denial_is_an_answer(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, answer_nxdomain);
  struct upstream *second = add_upstream(fixture, true, answer);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_NXDOMAIN);
  assert_int_equal(first->seen_count, 1);
  assert_int_equal(second->seen_count, 0);
}

static void an_answer_of_more_than_512_octets_comes_over_udp(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_big);
  upstream->note = 1232 - 11;
  create(fixture);
  struct asked asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_ANSWER);
  assert_true(asked.mx_count > 15);
  assert_int_equal(upstream->seen_count, 1);
  assert_false(upstream->seen[0].over_tcp);
}

static void a_truncated_answer_is_asked_for_over_tcp(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_truncated_over_udp);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx-with-a-name-of-some-length-00.test");
  assert_int_equal(asked.mx_count, DNSMSG_MX_MAX);
  assert_int_equal(upstream->seen_count, 2);
  assert_true(upstream->seen[1].over_tcp);
  assert_all_whole(upstream);
}

static void tcp_refused_after_truncation_is_unreachable(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, false, answer_truncated_over_udp);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_int_equal(asked.result, DNS_UNREACHABLE);
  assert_true(upstream->seen_count >= 1 && upstream->seen_count <= 3);
}

static void be_truncated_and_silent_over_tcp(struct upstream *upstream, const struct query_seen *query) {
  if (!query->over_tcp)
    answer_truncated_over_udp(upstream, query);
}

/* Over UDP it answers: it is not the server that is missing (ROUTING V17). */
static void a_stall_over_tcp_after_truncation_is_unreachable_and_demotes_nobody(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, be_truncated_and_silent_over_tcp);
  fixture->options.timeout_ms = 60;
  fixture->options.tries = 2;
  create(fixture);
  for (int i = 0; i < 2; i++) {
    struct asked asked = ask(fixture);
    assert_int_equal(asked.result, DNS_UNREACHABLE);
  }
  assert_int_equal(upstream->seen_count, 8);
  assert_int_equal(counter(fixture, STATS_DNS_TCP), 4);
  assert_int_equal(counter(fixture, STATS_DNS_DEMOTIONS), 0);
  assert_int_equal(counter(fixture, STATS_DNS_MALFORMED), 0);
}

static void a_query_over_tcp_needs_no_edns(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_truncated_over_udp);
  create(fixture);
  ask(fixture);
  assert_int_equal(upstream->seen[0].opt_size, 1232);
  assert_int_equal(upstream->seen[1].opt_size, 0);
  assert_all_whole(upstream);
}

static void a_soft_failure_of_the_only_server_is_delivered_after_one_query(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_servfail);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_SERVFAIL);
  assert_int_equal(upstream->seen_count, 1);
  upstream->script = answer_refused;
  asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_REFUSED);
  assert_int_equal(upstream->seen_count, 2);
  assert_int_equal(counter(fixture, STATS_DNS_FAILOVERS), 0);
}

static void silence_is_a_timeout_after_all_tries(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, be_silent);
  fixture->options.timeout_ms = TIMEOUT_MS;
  create(fixture);
  int64_t before_ms = clock_now_ms();
  struct asked asked = ask(fixture);
  assert_int_equal(asked.result, DNS_TIMED_OUT);
  assert_true(clock_now_ms() - before_ms >= 3 * TIMEOUT_MS - 3);
  assert_int_equal(upstream->seen_count, 3);
  assert_int_equal(counter(fixture, STATS_DNS_TIMEOUTS), 3);
  assert_int_equal(counter(fixture, STATS_DNS_QUERIES), 3);
}

static void each_try_has_an_id_of_its_own(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, be_silent);
  fixture->options.timeout_ms = 20;
  fixture->options.tries = 6;
  create(fixture);
  ask(fixture);
  assert_int_equal(upstream->seen_count, 6);
  unsigned same = 0;
  for (size_t i = 1; i < 6; i++)
    same += upstream->seen[i].id == upstream->seen[0].id;
  assert_true(same < 2);
}

/* ---- EDNS that is not understood ---- */

/* Newer c-ares asks a query again by itself and forgets that it had to: one more may be seen. */
static size_t forgotten(void) {
  int version;
  ares_version(&version);
  return version < 0x011400 ? 0 : 1;
}

static void assert_seen(const struct upstream *upstream, size_t count) {
  assert_in_range(upstream->seen_count, count, count + forgotten());
}

static void formerr_to_edns_is_asked_again_without(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_formerr_to_edns);
  fixture->options.tries = 1;
  create(fixture);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(upstream->seen_count, 2);
  assert_int_equal(count_edns(upstream), 1);
  asked = ask(fixture); /* and believed for a while */
  assert_answered(&asked, "mx.test");
  assert_seen(upstream, 3);
  assert_in_range(count_edns(upstream), 1, 1 + forgotten());
  assert_all_whole(upstream);
}

static void formerr_with_opt_is_asked_again_without(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_formerr_with_opt_to_edns);
  fixture->options.tries = 1;
  create(fixture);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(upstream->seen_count, 2);
  assert_int_equal(count_edns(upstream), 1);
  assert_all_whole(upstream);
}

static void formerr_to_everything_is_delivered_after_one_query_without_edns(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_formerr_always);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_FORMERR);
  assert_all_whole(upstream);
  assert_int_equal(count_edns(upstream), 1);
  assert_seen(upstream, 2);
}

/* Its first FORMERR has an OPT, its second has none: c-ares must not cut what is not there. */
static void formerr_with_and_without_opt_ends_too(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_formerr_always_with_opt);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_FORMERR);
  assert_all_whole(upstream);
  assert_int_equal(count_edns(upstream), 1);
  assert_seen(upstream, 2);
}

static void many_queries_to_a_server_without_edns_are_all_answered(void **state) {
  enum { COUNT = 600 };
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_formerr_to_edns);
  struct asked *asked = calloc(COUNT, sizeof(*asked));
  assert_non_null(asked);
  fixture->options.max_queries = 100;
  create(fixture);
  for (int i = 0; i < COUNT; i++)
    ask_name(fixture, &asked[i], "d.test");
  LOOP_UNTIL(fixture->loop, fixture->done_count == COUNT);
  for (int i = 0; i < COUNT; i++) {
    assert_int_equal(asked[i].calls, 1);
    assert_answered(&asked[i], "mx.test");
  }
  assert_all_whole(upstream);
  assert_true(forgotten() || count_edns(upstream) <= 100);
  free(asked);
}

static void one_that_refuses_edns_does_not_change_how_another_is_asked(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, answer_formerr_always_with_opt);
  struct upstream *second = add_upstream(fixture, true, answer_formerr_always);
  struct upstream *third = add_upstream(fixture, true, answer);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_all_whole(first);
  assert_all_whole(second);
  assert_all_whole(third);
  assert_seen(first, 2);
  assert_seen(second, 2);
  assert_int_equal(third->seen_count, 1);
}

/* ---- several servers ---- */

/* `queries`: to the first server, before the next is asked. */
static void expect_failover(struct fixture *fixture, script_fn *script, size_t queries) {
  struct upstream *first = &fixture->upstreams[0], *second = &fixture->upstreams[1];
  size_t first_before = first->seen_count, second_before = second->seen_count;
  uint64_t failovers = counter(fixture, STATS_DNS_FAILOVERS);
  first->script = script;
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(first->seen_count, first_before + queries);
  assert_int_equal(second->seen_count, second_before + 1);
  assert_int_equal(counter(fixture, STATS_DNS_FAILOVERS), failovers + 1);
}

static void a_reply_that_helps_nobody_moves_the_query_to_the_next_server(void **state) {
  struct fixture *fixture = *state;
  add_upstream(fixture, true, answer);
  add_upstream(fixture, true, answer);
  create(fixture);
  expect_failover(fixture, answer_servfail, 1);
  expect_failover(fixture, answer_refused, 1);
  skip_where_garbage_is_silence();
  expect_failover(fixture, answer_garbage, 2); /* the second over TCP (ROUTING V11) */
  expect_failover(fixture, answer_with_the_query, 2);
  assert_int_equal(counter(fixture, STATS_DNS_MALFORMED), 4);
  assert_int_equal(counter(fixture, STATS_DNS_TCP), 2);
}

static void a_soft_failure_of_all_servers_asks_each_once(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < SERVERS; i++)
    add_upstream(fixture, true, answer_servfail);
  fixture->options.tries = 10;
  create(fixture);
  struct asked asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_SERVFAIL);
  for (int i = 0; i < SERVERS; i++)
    assert_int_equal(fixture->upstreams[i].seen_count, 1);
}

static void garbage_from_the_only_server_is_malformed(void **state) {
  struct fixture *fixture = *state;
  skip_where_garbage_is_silence();
  struct upstream *upstream = add_upstream(fixture, true, answer_garbage);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_MALFORMED);
  upstream->script = answer_with_the_query;
  asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_MALFORMED);
  assert_int_equal(counter(fixture, STATS_DNS_ANSWERS), 0);
}

static void a_server_that_was_silent_three_times_is_asked_last(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, be_silent);
  struct upstream *second = add_upstream(fixture, true, answer);
  fixture->options.timeout_ms = 15; /* sooner than a hedge */
  create(fixture);
  struct asked asked;
  for (int i = 0; i < 3; i++) {
    asked = ask(fixture);
    assert_answered(&asked, "mx.test");
  }
  assert_int_equal(first->seen_count, 3);
  assert_int_equal(counter(fixture, STATS_DNS_DEMOTIONS), 1);
  for (int i = 0; i < 10; i++) {
    asked = ask(fixture);
    assert_answered(&asked, "mx.test");
  }
  assert_int_equal(first->seen_count, 3);
  assert_int_equal(second->seen_count, 13);
  /* Still it is asked where the other one does not help, and is back once it has answered. */
  second->script = answer_servfail;
  first->script = answer;
  asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(first->seen_count, 4);
  asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(first->seen_count, 5);
  assert_int_equal(second->seen_count, 14);
}

/* A copy of a query asks it again later; nobody waits for that. */
static void a_demoted_server_is_probed_and_comes_back(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, be_silent);
  struct upstream *second = add_upstream(fixture, true, answer);
  fixture->options.timeout_ms = 15;
  create(fixture);
  for (int i = 0; i < 3; i++)
    ask(fixture);
  assert_false(dns_is_down(fixture->dns)); /* the second is well */
  first->script = answer;
  int64_t start_ms = clock_now_ms();
  LOOP_UNTIL(fixture->loop, (ask(fixture), counter(fixture, STATS_DNS_PROBES)) == 1);
  assert_true(clock_now_ms() - start_ms >= HEALTH_DEMOTED_LEAST_MS - 100);
  LOOP_UNTIL(fixture->loop, first->seen_count == 4);
  loop_settle(fixture->loop);
  size_t second_before = second->seen_count;
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(first->seen_count, 5);
  assert_int_equal(second->seen_count, second_before);
}

static void a_server_that_is_late_gets_company_and_the_first_reply_wins(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, be_silent);
  struct upstream *second = add_upstream(fixture, true, answer);
  struct asked asked = {0};
  create(fixture); /* a try takes 5 s */
  int64_t start_ms = clock_now_ms();
  ask_name(fixture, &asked, "d.test");
  LOOP_UNTIL(fixture->loop, asked.calls == 1);
  int64_t took_ms = clock_now_ms() - start_ms;
  assert_answered(&asked, "mx.test");
  assert_true(took_ms >= HEALTH_HEDGE_UNKNOWN_MS - 5 && took_ms < 2000);
  assert_int_equal(first->seen_count, 1);
  assert_int_equal(second->seen_count, 1);
  assert_int_equal(counter(fixture, STATS_DNS_HEDGES), 1);
  answer(first, &first->seen[0]); /* too late: nobody is told */
  loop_for(fixture->loop, 30);
  assert_int_equal(asked.calls, 1);
}

static void a_server_that_is_late_five_times_is_asked_last(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, be_silent);
  add_upstream(fixture, true, answer);
  create(fixture);
  for (int i = 0; i < HEALTH_LATES_MAX; i++)
    ask(fixture);
  assert_int_equal(counter(fixture, STATS_DNS_DEMOTIONS), 1);
  assert_int_equal(first->seen_count, HEALTH_LATES_MAX);
  ask(fixture);
  assert_int_equal(first->seen_count, HEALTH_LATES_MAX);
}

static void a_hedge_uses_up_no_try(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < SERVERS; i++)
    add_upstream(fixture, true, be_silent);
  fixture->options.timeout_ms = 3 * HEALTH_HEDGE_UNKNOWN_MS;
  create(fixture);
  int64_t start_ms = clock_now_ms();
  struct asked asked = ask(fixture);
  assert_int_equal(asked.result, DNS_TIMED_OUT);
  assert_true(clock_now_ms() - start_ms >= 3 * 3 * HEALTH_HEDGE_UNKNOWN_MS - 5);
  assert_true(counter(fixture, STATS_DNS_HEDGES) >= 2);
  assert_int_equal(counter(fixture, STATS_DNS_QUERIES), 3 + counter(fixture, STATS_DNS_HEDGES));
}

static void in_an_outage_only_the_first_try_is_hedged(void **state) {
  struct fixture *fixture = *state;
  for (int i = 0; i < SERVERS; i++)
    add_upstream(fixture, true, be_silent);
  fixture->options.timeout_ms = 3 * HEALTH_HEDGE_UNKNOWN_MS;
  create(fixture);
  for (int i = 0; i < 4 * HEALTH_FAILURES_MAX && counter(fixture, STATS_DNS_DEMOTIONS) < SERVERS; i++)
    ask(fixture);
  assert_true(counter(fixture, STATS_DNS_DEMOTIONS) >= SERVERS);
  uint64_t queries = counter(fixture, STATS_DNS_QUERIES);
  ask(fixture);
  assert_in_range(counter(fixture, STATS_DNS_QUERIES) - queries, 3, 3 + SERVERS - 1);
}

static void a_stall_over_tcp_gets_company_of_another_server(void **state) {
  struct fixture *fixture = *state;
  add_upstream(fixture, true, be_truncated_and_silent_over_tcp);
  add_upstream(fixture, true, answer);
  fixture->options.timeout_ms = 30000;
  create(fixture);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(counter(fixture, STATS_DNS_HEDGES), 1);
}

/* More are late at once than may be hedged: as soon as one hedge has won, the others follow. */
static void a_server_that_dies_under_load_delays_all_but_a_little(void **state) {
  enum { COUNT = 200 };
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, answer);
  struct asked asked[COUNT];
  memset(asked, 0, sizeof(asked));
  add_upstream(fixture, true, answer);
  fixture->options.timeout_ms = 30000;
  create(fixture);
  ask(fixture);
  first->script = be_silent;
  int64_t start_ms = clock_now_ms();
  for (int i = 0; i < COUNT; i++)
    ask_name(fixture, &asked[i], "d.test");
  LOOP_UNTIL(fixture->loop, fixture->done_count == 1 + COUNT);
  assert_true(clock_now_ms() - start_ms < 15000);
  for (int i = 0; i < COUNT; i++)
    assert_answered(&asked[i], "mx.test");
}

/* Where all are out of favour none is worth waiting for. */
static void a_late_server_gets_company_of_a_demoted_one_where_all_are(void **state) {
  struct fixture *fixture = *state;
  add_upstream(fixture, true, be_silent);
  struct upstream *second = add_upstream(fixture, true, be_silent);
  fixture->options.timeout_ms = HEALTH_HEDGE_UNKNOWN_MS + 60;
  create(fixture);
  for (int i = 0; i < HEALTH_FAILURES_MAX; i++)
    ask(fixture);
  assert_true(counter(fixture, STATS_DNS_DEMOTIONS) >= 2);
  assert_true(dns_is_down(fixture->dns));
  uint64_t hedges = counter(fixture, STATS_DNS_HEDGES);
  second->script = answer;
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_false(dns_is_down(fixture->dns));
  assert_int_equal(counter(fixture, STATS_DNS_HEDGES), hedges + 1);
}

static void a_late_reply_of_the_first_still_counts_where_the_second_does_not_help(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, be_silent);
  struct upstream *second = add_upstream(fixture, true, answer_servfail);
  struct asked asked = {0};
  create(fixture);
  ask_name(fixture, &asked, "d.test");
  LOOP_UNTIL(fixture->loop, second->seen_count == 1);
  loop_for(fixture->loop, 30);
  assert_int_equal(asked.calls, 0);
  answer(first, &first->seen[0]);
  LOOP_UNTIL(fixture->loop, asked.calls == 1);
  assert_answered(&asked, "mx.test");
}

static void a_lame_server_is_asked_last_and_back_when_it_helps(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, answer_refused);
  struct upstream *second = add_upstream(fixture, true, answer);
  create(fixture);
  for (int i = 0; i < HEALTH_LAME_MAX + 5; i++) {
    struct asked asked = ask(fixture);
    assert_answered(&asked, "mx.test");
  }
  assert_int_equal(first->seen_count, HEALTH_LAME_MAX);
  second->script = answer_servfail;
  first->script = answer;
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  ask(fixture);
  assert_int_equal(first->seen_count, HEALTH_LAME_MAX + 2);
}

/* One domain that is broken everywhere is no fault of the servers. */
static void a_failure_that_all_servers_share_demotes_none(void **state) {
  struct fixture *fixture = *state;
  add_upstream(fixture, true, answer_servfail);
  add_upstream(fixture, true, answer_servfail);
  create(fixture);
  for (int i = 0; i < 3 * HEALTH_LAME_MAX; i++)
    ask(fixture);
  assert_int_equal(counter(fixture, STATS_DNS_DEMOTIONS), 0);
}

static void of_all_failures_the_one_that_says_most_is_told(void **state) {
  static script_fn *const scripts[][2] = {{answer_servfail, be_silent},
                                          {be_silent, answer_servfail},
                                          {answer_refused, answer_servfail},
                                          {answer_servfail, answer_refused}};
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, be_silent);
  struct upstream *second = add_upstream(fixture, true, be_silent);
  fixture->options.timeout_ms = 15;
  fixture->options.tries = 2;
  create(fixture);
  for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
    first->script = scripts[i][0];
    second->script = scripts[i][1];
    struct asked asked = ask(fixture);
    assert_outcome(&asked, DNSMSG_SERVFAIL);
  }
}

/* ---- other servers while it runs ---- */

static void new_servers_are_asked_at_once_and_old_queries_end_where_they_are(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, be_silent);
  struct upstream *second = add_upstream(fixture, true, answer);
  struct asked old = {0};
  fixture->options.server_count = 1;
  create(fixture);
  ask_name(fixture, &old, "old.test");
  LOOP_UNTIL(fixture->loop, first->seen_count == 1);
  const struct sockaddr_storage *servers[] = {&second->address};
  assert_int_equal(dns_set_servers(fixture->dns, servers, 1), 0);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(first->seen_count, 1);
  answer(first, &first->seen[0]);
  LOOP_UNTIL(fixture->loop, old.calls == 1);
  assert_answered(&old, "mx.test");
}

static void what_is_known_of_a_server_that_stays_is_kept(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, answer_refused);
  struct upstream *second = add_upstream(fixture, true, answer);
  create(fixture);
  for (int i = 0; i < HEALTH_LAME_MAX; i++)
    ask(fixture);
  const struct sockaddr_storage *servers[] = {&first->address, &second->address};
  assert_int_equal(dns_set_servers(fixture->dns, servers, 2), 0);
  ask(fixture);
  assert_int_equal(first->seen_count, HEALTH_LAME_MAX); /* demoted as before */
}

static void silence_moves_through_the_servers_in_turn(void **state) {
  struct fixture *fixture = *state;
  add_upstream(fixture, true, be_silent);
  add_upstream(fixture, true, be_silent);
  fixture->options.timeout_ms = TIMEOUT_MS;
  create(fixture);
  struct asked asked = ask(fixture);
  assert_int_equal(asked.result, DNS_TIMED_OUT);
  assert_int_equal(fixture->upstreams[0].seen_count, 2);
  assert_int_equal(fixture->upstreams[1].seen_count, 1);
}

static void a_closed_port_is_unreachable(void **state) {
  struct fixture *fixture = *state;
  add_closed(fixture);
  create(fixture);
  struct asked asked = ask(fixture); /* asserts that nothing came before dns_ask returned */
  assert_int_equal(asked.result, DNS_UNREACHABLE);
}

/* The ICMP error of one query shows when the next is sent, and may take the others with it. */
static void every_query_to_a_closed_port_is_told_once(void **state) {
  enum { COUNT = 20 };
  struct fixture *fixture = *state;
  struct asked asked[COUNT];
  memset(asked, 0, sizeof(asked));
  add_closed(fixture);
  fixture->options.tries = 1;
  fixture->options.timeout_ms = TIMEOUT_MS;
  create(fixture);
  for (int i = 0; i < COUNT; i++)
    ask_name(fixture, &asked[i], "d.test");
  assert_int_equal(fixture->done_count, 0);
  LOOP_UNTIL(fixture->loop, fixture->done_count == COUNT);
  loop_settle(fixture->loop);
  for (int i = 0; i < COUNT; i++) {
    assert_int_equal(asked[i].calls, 1);
    assert_int_not_equal(asked[i].result, DNS_REPLIED); /* older c-ares sees the error of the last alone */
  }
}

static void a_server_that_cannot_be_sent_to_is_unreachable(void **state) {
  struct fixture *fixture = *state;
  add_impossible(fixture);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_int_equal(asked.result, DNS_UNREACHABLE);
  assert_int_equal(counter(fixture, STATS_DNS_QUERIES), 3);
}

static void a_server_that_cannot_be_reached_gives_way_to_the_next(void **state) {
  struct fixture *fixture = *state;
  add_impossible(fixture);
  struct upstream *second = add_upstream(fixture, true, answer);
  create(fixture);
  for (int i = 0; i < 5; i++) {
    struct asked asked = ask(fixture);
    assert_answered(&asked, "mx.test");
  }
  assert_int_equal(second->seen_count, 5);
  assert_int_equal(counter(fixture, STATS_DNS_QUERIES), 5 + HEALTH_FAILURES_MAX);
}

/* More than one channel's worth of queries turn to a server that fails them at once, all in one
 * tick: the channel they failed on is retired before their failure is delivered. */
static void many_queries_that_fail_at_once_outlive_their_channel(void **state) {
  enum { COUNT = 600 };
  struct fixture *fixture = *state;
  struct asked *asked = calloc(COUNT, sizeof(*asked));
  assert_non_null(asked);
  add_upstream(fixture, true, be_silent);
  add_impossible(fixture);
  fixture->options.timeout_ms = 30;
  fixture->options.tries = 2;
  create(fixture);
  for (int i = 0; i < COUNT; i++)
    ask_name(fixture, &asked[i], "d.test");
  LOOP_UNTIL(fixture->loop, fixture->done_count == COUNT);
  for (int i = 0; i < COUNT; i++) {
    assert_int_equal(asked[i].calls, 1);
    assert_int_equal(asked[i].result, DNS_TIMED_OUT); /* silence says more than no way there */
  }
  free(asked);
}

/* ---- what strangers send ---- */

static void answer_in_lower_case(struct upstream *upstream, const struct query_seen *query) {
  struct query_seen lower = *query;
  for (char *at = lower.name; *at; at++)
    *at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
  answer(upstream, &lower);
}

/* A forger who has guessed the id and the name, but has not seen its letters, is faster over UDP. */
static void answer_forged_over_udp(struct upstream *upstream, const struct query_seen *query) {
  if (query->over_tcp) {
    answer(upstream, query);
    return;
  }
  struct query_seen lower = *query;
  for (char *at = lower.name; *at; at++)
    *at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
  start_reply(&lower, 0);
  dns_add_mx(&builder, NULL, 300, 10, "forged.test");
  end_reply(upstream, &lower);
}

static const char long_name[] = "a-name-of-many-letters-so-that-chance-spells-it-so-very-seldom.test";

static struct asked ask_long(struct fixture *fixture) {
  struct asked asked = {0};
  ask_name(fixture, &asked, long_name);
  LOOP_UNTIL(fixture->loop, asked.calls == 1);
  loop_settle(fixture->loop);
  return asked;
}

static void letters_are_of_random_case_and_mean_the_same(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer);
  fixture->options.random_case = true;
  create(fixture);
  for (int i = 0; i < 2; i++) {
    struct asked asked = ask_long(fixture);
    assert_answered(&asked, "mx.test");
    assert_int_equal(strcasecmp(upstream->seen[i].name, long_name), 0);
    assert_string_not_equal(upstream->seen[i].name, long_name);
  }
  assert_string_not_equal(upstream->seen[0].name, upstream->seen[1].name);
}

static void a_reply_in_other_letters_is_asked_for_over_tcp(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_forged_over_udp);
  fixture->options.random_case = true;
  create(fixture);
  for (int i = 1; i <= 3; i++) { /* the server itself keeps case: it is never trusted less than that */
    struct asked asked = ask_long(fixture);
    assert_answered(&asked, "mx.test");
    assert_int_equal(counter(fixture, STATS_DNS_FORGED), i);
    assert_int_equal(upstream->seen_count, 2 * (size_t)i);
    assert_true(upstream->seen[2 * i - 1].over_tcp);
  }
}

static void a_server_that_keeps_no_case_is_found_out_and_asked_in_lower_case(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_in_lower_case);
  fixture->options.random_case = true;
  create(fixture);
  struct asked asked = ask_long(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(upstream->seen_count, 2);
  for (int i = 0; i < 3; i++) {
    asked = ask_long(fixture);
    assert_answered(&asked, "mx.test");
    assert_string_equal(upstream->seen[2 + i].name, long_name);
    assert_false(upstream->seen[2 + i].over_tcp);
  }
  assert_int_equal(counter(fixture, STATS_DNS_FORGED), 1);
}

static void other_letters_without_tcp_are_no_answer(void **state) {
  struct fixture *fixture = *state;
  add_upstream(fixture, false, answer_in_lower_case);
  fixture->options.random_case = true;
  fixture->options.tries = 1;
  fixture->options.timeout_ms = 100;
  create(fixture);
  struct asked asked = ask_long(fixture);
  assert_int_equal(asked.result, DNS_UNREACHABLE);
}

static void answer_garbage_over_udp(struct upstream *upstream, const struct query_seen *query) {
  if (query->over_tcp)
    answer(upstream, query);
  else
    answer_garbage(upstream, query);
}

static void what_cannot_be_read_over_udp_is_asked_for_over_tcp(void **state) {
  struct fixture *fixture = *state;
  skip_where_garbage_is_silence();
  struct upstream *upstream = add_upstream(fixture, true, answer_garbage_over_udp);
  fixture->options.tries = 1;
  create(fixture);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(upstream->seen_count, 2);
  assert_true(upstream->seen[1].over_tcp);
}

static void what_cannot_be_read_is_malformed_even_where_tcp_is_refused(void **state) {
  struct fixture *fixture = *state;
  skip_where_garbage_is_silence();
  struct upstream *upstream = add_upstream(fixture, false, answer_garbage);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_outcome(&asked, DNSMSG_MALFORMED);
  assert_int_equal(upstream->seen_count, 1); /* once over TCP, and no more (ROUTING V11) */
}

static void answer_authentic(struct upstream *upstream, const struct query_seen *query) {
  start_reply(query, 0);
  builder.bytes[3] |= 0x20;
  dns_add_mx(&builder, NULL, 300, 10, "mx.test");
  end_reply(upstream, query);
}

static void the_ad_bit_of_a_server_on_loopback_is_believed(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_authentic);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_true(asked.authentic);
  upstream->script = answer;
  asked = ask(fixture);
  assert_false(asked.authentic);
}

static void replies_that_do_not_fit_are_passed_over(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_wrongly_then_rightly);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
  assert_int_equal(upstream->seen_count, 1);
}

/* Newer c-ares gives up at once, older ones wait for the answer. */
static void octets_that_are_no_message_are_no_answer(void **state) {
  struct fixture *fixture = *state;
  add_upstream(fixture, true, answer_shortly_then_rightly);
  create(fixture);
  struct asked asked = ask(fixture);
  assert_int_equal(asked.result, DNS_REPLIED);
  assert_true(asked.outcome == DNSMSG_ANSWER || asked.outcome == DNSMSG_MALFORMED);
}

static void a_reply_with_a_wrong_id_or_question_is_no_answer(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_with_a_wrong_id);
  fixture->options.timeout_ms = 30;
  create(fixture);
  struct asked asked = ask(fixture);
  assert_int_equal(asked.result, DNS_TIMED_OUT);
  upstream->script = answer_to_another_question;
  asked = ask(fixture);
  assert_true(asked.result == DNS_TIMED_OUT || asked.outcome == DNSMSG_MALFORMED);
  assert_int_equal(asked.mx_count, 0);
}

/* An answer from another address than the server's, with everything else right. */
static void a_reply_from_elsewhere_is_no_answer(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, be_silent);
  struct asked asked = {0};
  uint16_t port = 0;
  int elsewhere = bind_loopback(SOCK_DGRAM, &port);
  fixture->options.timeout_ms = 30;
  fixture->options.tries = 1;
  create(fixture);
  ask_name(fixture, &asked, "d.test");
  LOOP_UNTIL(fixture->loop, upstream->seen_count == 1);
  start_reply(&upstream->seen[0], 0);
  dns_add_mx(&builder, NULL, 300, 10, "spoofed.test");
  builder.bytes[0] = (uint8_t)(upstream->seen[0].id >> 8);
  builder.bytes[1] = (uint8_t)upstream->seen[0].id;
  sendto(elsewhere, builder.bytes, builder.length, 0, (struct sockaddr *)&upstream->seen[0].from,
         sizeof(upstream->seen[0].from));
  LOOP_UNTIL(fixture->loop, asked.calls == 1);
  assert_int_equal(asked.result, DNS_TIMED_OUT);
  close(elsewhere);
}

/* The channel it went out on has been replaced long before the answer comes. */
static void a_slow_answer_outlives_the_change_of_source_ports(void **state) {
  enum { COUNT = 600 };
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, be_silent);
  struct asked slow = {0}, quick = {.again = COUNT};
  fixture->options.timeout_ms = 60000;
  create(fixture);
  ask_name(fixture, &slow, "slow.test");
  LOOP_UNTIL(fixture->loop, upstream->seen_count == 1);
  upstream->script = answer;
  ask_name(fixture, &quick, "d.test");
  LOOP_UNTIL(fixture->loop, quick.calls == COUNT + 1);
  loop_for(fixture->loop, 150); /* several ticks, which end what is drained */
  assert_int_equal(slow.calls, 0);
  answer(upstream, &upstream->seen[0]);
  LOOP_UNTIL(fixture->loop, slow.calls == 1);
  assert_answered(&slow, "mx.test");
}

/* How many different numbers there are among those of the queries seen. */
static size_t count_distinct(const struct upstream *upstream, bool of_ports) {
  static uint8_t seen[65536];
  size_t count = 0;
  memset(seen, 0, sizeof(seen));
  for (size_t i = 0; i < upstream->seen_count; i++) {
    uint16_t number = of_ports ? upstream->seen[i].from.sin_port : upstream->seen[i].id;
    count += !seen[number];
    seen[number] = 1;
  }
  return count;
}

static void ids_and_source_ports_change(void **state) {
  enum { COUNT = 2000, KEPT = 40 };
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_the_oldest);
  struct asked *asked = calloc(COUNT, sizeof(*asked));
  assert_non_null(asked);
  upstream->note = KEPT; /* so that no socket is ever idle */
  fixture->options.max_queries = KEPT + 20;
  fixture->options.timeout_ms = 60000;
  create(fixture);
  for (int i = 0; i < COUNT; i++)
    ask_name(fixture, &asked[i], "d.test");
  LOOP_UNTIL(fixture->loop, fixture->done_count == COUNT - KEPT);
  assert_int_equal(upstream->seen_count, COUNT);
  assert_true(count_distinct(upstream, true) > 4);
  assert_true(count_distinct(upstream, false) > COUNT - 150); /* 30 twins are expected */
  for (unsigned bit = 0; bit < 16; bit++) {
    size_t set = 0;
    for (size_t i = 0; i < COUNT; i++)
      set += upstream->seen[i].id >> bit & 1;
    assert_true(set > COUNT / 2 - 200 && set < COUNT / 2 + 200); /* 9 sigma */
  }
  dns_destroy(fixture->dns);
  fixture->dns = NULL;
  free(asked);
}

/* ---- bounds ---- */

static void no_more_than_the_bound_are_under_way_and_the_rest_keep_their_order(void **state) {
  enum { COUNT = 200, BOUND = 7 };
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, be_silent);
  struct asked asked[COUNT];
  memset(asked, 0, sizeof(asked));
  fixture->options.max_queries = BOUND;
  fixture->options.timeout_ms = 60000;
  create(fixture);
  for (int i = 0; i < COUNT; i++) {
    char name[32];
    snprintf(name, sizeof(name), "n%d.test", i);
    ask_name(fixture, &asked[i], name);
  }
  for (size_t i = 0; i < COUNT; i++) {
    size_t expected = i + BOUND < COUNT ? i + BOUND : COUNT;
    LOOP_UNTIL(fixture->loop, upstream->seen_count >= expected);
    loop_settle(fixture->loop);
    assert_int_equal(upstream->seen_count, expected);
    answer(upstream, &upstream->seen[i]);
    LOOP_UNTIL(fixture->loop, fixture->done_count == i + 1);
  }
  for (size_t i = 0; i < COUNT; i++) {
    char name[32];
    snprintf(name, sizeof(name), "n%zu.test", i);
    assert_string_equal(upstream->seen[i].name, name);
    assert_int_equal(asked[i].calls, 1);
    assert_int_equal(asked[i].order, i);
  }
}

static void who_asks_again_from_a_callback_waits_behind_the_others(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer);
  struct asked first = {.again = 1}, second = {0};
  fixture->options.max_queries = 1;
  create(fixture);
  ask_name(fixture, &first, "first.test");
  ask_name(fixture, &second, "second.test");
  LOOP_UNTIL(fixture->loop, first.calls == 2);
  assert_int_equal(upstream->seen_count, 3);
  assert_string_equal(upstream->seen[1].name, "second.test");
  assert_string_equal(upstream->seen[2].name, "again.test");
}

static void a_full_queue_is_an_overload(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, be_silent);
  struct asked asked[7];
  struct dns_query *untouched = (struct dns_query *)&fixture->extra, *query = untouched;
  memset(asked, 0, sizeof(asked));
  fixture->options.max_queries = 2;
  fixture->options.max_queue = 3;
  fixture->options.timeout_ms = 60000;
  create(fixture);
  for (int i = 0; i < 5; i++)
    ask_name(fixture, &asked[i], "d.test");
  assert_int_equal(dns_ask(fixture->dns, &(struct dns_question){"d.test", DNSMSG_MX, DNS_FOR_CLIENT, NULL},
                           on_done, &asked[5], &query),
                   ERR_OVERLOAD);
  assert_ptr_equal(query, untouched);
  dns_cancel(asked[3].query); /* makes room */
  ask_name(fixture, &asked[6], "d.test");
  upstream->script = answer;
  LOOP_UNTIL(fixture->loop, upstream->seen_count == 2);
  answer(upstream, &upstream->seen[0]);
  answer(upstream, &upstream->seen[1]);
  LOOP_UNTIL(fixture->loop, fixture->done_count == 5);
  assert_int_equal(asked[3].calls + asked[5].calls, 0);
  assert_int_equal(asked[6].calls, 1);
}

static void without_a_queue_only_the_bound_is_taken(void **state) {
  struct fixture *fixture = *state;
  struct asked asked = {0};
  struct dns_query *query;
  add_upstream(fixture, true, answer);
  fixture->options.max_queries = 1;
  fixture->options.max_queue = 0;
  create(fixture);
  ask_name(fixture, &asked, "d.test");
  assert_int_equal(dns_ask(fixture->dns, &(struct dns_question){"d.test", DNSMSG_MX, DNS_FOR_CLIENT, NULL},
                           on_done, &asked, &query),
                   ERR_OVERLOAD);
  LOOP_UNTIL(fixture->loop, asked.calls == 1);
  ask_name(fixture, &asked, "d.test");
  LOOP_UNTIL(fixture->loop, asked.calls == 2);
}

/* ---- who goes first ---- */

static void ask_for(struct fixture *fixture, struct asked *asked, const char *name,
                    enum dns_priority priority) {
  const struct dns_question question = {name, DNSMSG_MX, priority, NULL};
  asked->fixture = fixture;
  assert_int_equal(dns_ask(fixture->dns, &question, on_done, asked, &asked->query), 0);
}

static void clients_go_before_refreshes(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer);
  struct asked asked[4];
  memset(asked, 0, sizeof(asked));
  fixture->options.max_queries = 1;
  create(fixture);
  ask_for(fixture, &asked[0], "first.test", DNS_FOR_CLIENT);
  ask_for(fixture, &asked[1], "refresh.test", DNS_FOR_REFRESH);
  ask_for(fixture, &asked[2], "promoted.test", DNS_FOR_REFRESH);
  ask_for(fixture, &asked[3], "client.test", DNS_FOR_CLIENT);
  assert_false(dns_is_sent(asked[1].query));
  assert_true(dns_is_sent(asked[0].query));
  dns_promote(asked[2].query, DNS_FOR_CLIENT);
  dns_promote(asked[3].query, DNS_FOR_REFRESH); /* never down */
  LOOP_UNTIL(fixture->loop, fixture->done_count == 4);
  static const char *const order[] = {"first.test", "client.test", "promoted.test", "refresh.test"};
  for (size_t i = 0; i < 4; i++)
    assert_string_equal(upstream->seen[i].name, order[i]);
}

static void in_a_full_queue_the_newest_of_the_least_important_gives_way(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, be_silent);
  struct asked asked[5];
  struct dns_query *query;
  memset(asked, 0, sizeof(asked));
  fixture->options.max_queries = 1;
  fixture->options.max_queue = 2;
  create(fixture);
  ask_for(fixture, &asked[0], "first.test", DNS_FOR_CLIENT);
  ask_for(fixture, &asked[1], "older.test", DNS_FOR_REFRESH);
  ask_for(fixture, &asked[2], "newer.test", DNS_FOR_REFRESH);
  ask_for(fixture, &asked[3], "client.test", DNS_FOR_CLIENT);
  assert_int_equal(asked[2].calls, 0); /* not from inside dns_ask */
  LOOP_UNTIL(fixture->loop, asked[2].calls == 1);
  assert_int_equal(asked[2].result, DNS_SHED);
  assert_int_equal(counter(fixture, STATS_DNS_SHED), 1);
  ask_for(fixture, &asked[4], "client2.test", DNS_FOR_CLIENT);
  LOOP_UNTIL(fixture->loop, asked[1].calls == 1);
  assert_int_equal(asked[1].result, DNS_SHED);
  const struct dns_question third = {"third.test", DNSMSG_MX, DNS_FOR_CLIENT, NULL};
  assert_int_equal(dns_ask(fixture->dns, &third, on_done, &asked[0], &query), ERR_OVERLOAD);
  upstream->script = answer;
  answer(upstream, &upstream->seen[0]);
  LOOP_UNTIL(fixture->loop, asked[4].calls == 1);
}

static void a_prefetch_waits_for_nobody(void **state) {
  struct fixture *fixture = *state;
  struct asked asked = {0};
  struct dns_query *query;
  add_upstream(fixture, true, answer);
  fixture->options.max_queries = 1;
  create(fixture);
  ask_for(fixture, &asked, "first.test", DNS_FOR_CLIENT);
  const struct dns_question prefetch = {"prefetch.test", DNSMSG_MX, DNS_FOR_PREFETCH, NULL};
  assert_int_equal(dns_ask(fixture->dns, &prefetch, on_done, &asked, &query), ERR_OVERLOAD);
  LOOP_UNTIL(fixture->loop, asked.calls == 1);
  ask_for(fixture, &asked, "prefetch.test", DNS_FOR_PREFETCH);
  LOOP_UNTIL(fixture->loop, asked.calls == 2);
}

/* ---- the story ---- */

static void expect_line(const struct story *story, const char *piece) {
  for (size_t i = 0; i < story_count(story); i++)
    if (strstr(story_line(story, i).text, piece))
      return;
  print_error("no line with \"%s\"\n", piece);
  for (size_t i = 0; i < story_count(story); i++)
    print_error("  %s\n", story_line(story, i).text);
  fail();
}

static void every_try_is_told(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, answer_servfail);
  add_upstream(fixture, true, answer_formerr_to_edns);
  struct story *story = story_create();
  struct asked asked = {.fixture = fixture};
  create(fixture);
  const struct dns_question question = {"d.test", DNSMSG_MX, DNS_FOR_CLIENT, story};
  assert_int_equal(dns_ask(fixture->dns, &question, on_done, &asked, &asked.query), 0);
  LOOP_UNTIL(fixture->loop, asked.calls == 1);
  char address[ADDRESS_TEXT_SIZE], line[128];
  snprintf(line, sizeof(line), "%s asked for d.test MX over UDP: SERVFAIL in ",
           address_text(&first->address, address));
  expect_line(story, line);
  expect_line(story, "1 record, TTL 300 s");
  story_unref(story);
}

static void silence_and_hedges_are_told(void **state) {
  struct fixture *fixture = *state;
  add_upstream(fixture, true, be_silent);
  add_upstream(fixture, true, answer_nxdomain);
  struct story *story = story_create();
  struct asked asked = {.fixture = fixture};
  create(fixture);
  const struct dns_question question = {"d.test", DNSMSG_MX, DNS_FOR_CLIENT, story};
  assert_int_equal(dns_ask(fixture->dns, &question, on_done, &asked, &asked.query), 0);
  LOOP_UNTIL(fixture->loop, asked.calls == 1);
  expect_line(story, " is late: asks ");
  expect_line(story, "NXDOMAIN in ");
  expect_line(story, "no such name, negative TTL 100 s");
  story_unref(story);
}

/* ---- cancelling and ending ---- */

static void a_cancelled_query_does_not_call_back(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer);
  struct asked waiting = {0}, under_way = {0}, other = {0};
  fixture->options.max_queries = 1;
  create(fixture);
  ask_name(fixture, &under_way, "a.test");
  ask_name(fixture, &waiting, "b.test");
  ask_name(fixture, &other, "c.test");
  dns_cancel(under_way.query);
  dns_cancel(waiting.query);
  LOOP_UNTIL(fixture->loop, other.calls == 1);
  loop_settle(fixture->loop);
  assert_int_equal(under_way.calls + waiting.calls, 0);
  assert_int_equal(upstream->seen_count, 2); /* b.test was never sent */
  assert_string_equal(upstream->seen[1].name, "c.test");
}

static void a_query_cancelled_after_it_failed_at_once_does_not_call_back(void **state) {
  struct fixture *fixture = *state;
  struct asked asked[3];
  memset(asked, 0, sizeof(asked));
  add_impossible(fixture);
  create(fixture);
  for (int i = 0; i < 3; i++)
    ask_name(fixture, &asked[i], "d.test");
  dns_cancel(asked[1].query);
  LOOP_UNTIL(fixture->loop, fixture->done_count == 2);
  loop_settle(fixture->loop);
  assert_int_equal(asked[0].calls, 1);
  assert_int_equal(asked[1].calls, 0);
  assert_int_equal(asked[2].calls, 1);
}

static void a_cancelled_query_is_not_tried_again(void **state) {
  struct fixture *fixture = *state;
  struct upstream *first = add_upstream(fixture, true, be_silent);
  struct upstream *second = add_upstream(fixture, true, answer);
  struct asked asked = {0};
  fixture->options.timeout_ms = 30;
  create(fixture);
  ask_name(fixture, &asked, "d.test");
  LOOP_UNTIL(fixture->loop, first->seen_count == 1);
  dns_cancel(asked.query);
  LOOP_UNTIL(fixture->loop, counter(fixture, STATS_DNS_TIMEOUTS) == 1);
  loop_for(fixture->loop, 100);
  assert_int_equal(asked.calls, 0);
  assert_int_equal(first->seen_count, 1);
  assert_int_equal(second->seen_count, 0);
}

/* Each of a pair cancels the other from inside its callback. */
struct pair {
  struct dns_query *queries[2];
  unsigned calls;
};

struct half {
  struct pair *pair;
  int index;
};

static void cancel_the_other(void *context, enum dns_result result, const struct dnsmsg *message,
                             int64_t now_ms) {
  (void)result, (void)message, (void)now_ms;
  struct half *half = context;
  half->pair->calls++;
  dns_cancel(half->pair->queries[1 - half->index]);
}

static void expect_one_of_a_pair(struct fixture *fixture) {
  struct pair pair = {0};
  struct half halves[2] = {{&pair, 0}, {&pair, 1}};
  for (int i = 0; i < 2; i++)
    assert_int_equal(dns_ask(fixture->dns, &(struct dns_question){"d.test", DNSMSG_MX, DNS_FOR_CLIENT, NULL},
                             cancel_the_other, &halves[i], &pair.queries[i]),
                     0);
  LOOP_UNTIL(fixture->loop, pair.calls > 0);
  loop_for(fixture->loop, 20);
  assert_int_equal(pair.calls, 1);
}

static void a_callback_may_cancel_another_query(void **state) {
  struct fixture *fixture = *state;
  add_upstream(fixture, true, answer);
  create(fixture);
  expect_one_of_a_pair(fixture);
  expect_one_of_a_pair(fixture);
}

static void a_callback_may_cancel_another_query_that_failed_at_once(void **state) {
  struct fixture *fixture = *state;
  add_impossible(fixture);
  fixture->options.tries = 1;
  create(fixture);
  expect_one_of_a_pair(fixture);
}

static void a_callback_may_cancel_another_query_of_a_closed_port(void **state) {
  struct fixture *fixture = *state;
  add_closed(fixture);
  fixture->options.tries = 1;
  create(fixture);
  expect_one_of_a_pair(fixture);
}

static void a_callback_may_ask_again(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer);
  struct asked asked = {.again = 700}; /* over several channels */
  fixture->options.max_queries = 2;
  create(fixture);
  ask_name(fixture, &asked, "d.test");
  LOOP_UNTIL(fixture->loop, asked.calls == 701);
  assert_int_equal(upstream->seen_count, 701);
  assert_true(counter(fixture, STATS_DNS_CHANNELS) >= 3);
}

static void a_callback_may_ask_again_after_each_kind_of_failure(void **state) {
  struct fixture *fixture = *state;
  struct asked silent = {.again = 3}, closed = {.again = 50}, impossible = {.again = 300};
  add_upstream(fixture, true, be_silent);
  fixture->options.timeout_ms = 20;
  fixture->options.tries = 1;
  create(fixture);
  ask_name(fixture, &silent, "d.test");
  LOOP_UNTIL(fixture->loop, silent.calls == 4);
  dns_destroy(fixture->dns);
  fixture->options.server_count = 0;
  fixture->options.timeout_ms = 5000;
  add_closed(fixture);
  create(fixture);
  ask_name(fixture, &closed, "d.test");
  LOOP_UNTIL(fixture->loop, closed.calls == 51);
  dns_destroy(fixture->dns);
  fixture->options.server_count = 0;
  add_impossible(fixture);
  create(fixture);
  ask_name(fixture, &impossible, "d.test");
  LOOP_UNTIL(fixture->loop, impossible.calls == 301);
}

static void destroying_ends_everything_without_a_callback(void **state) {
  struct fixture *fixture = *state;
  struct asked asked[600];
  memset(asked, 0, sizeof(asked));
  struct upstream *upstream = add_upstream(fixture, true, be_silent);
  fixture->options.max_queries = 500;
  create(fixture);
  for (int i = 0; i < 600; i++)
    ask_name(fixture, &asked[i], "d.test");
  dns_cancel(asked[1].query);   /* under way */
  dns_cancel(asked[599].query); /* waiting */
  LOOP_UNTIL(fixture->loop, upstream->seen_count == 500);
  dns_destroy(fixture->dns);
  fixture->dns = NULL;
  loop_settle(fixture->loop);
  assert_int_equal(fixture->done_count, 0);
}

static void destroying_forgets_what_failed_at_once(void **state) {
  struct fixture *fixture = *state;
  struct asked asked[3];
  memset(asked, 0, sizeof(asked));
  add_impossible(fixture);
  create(fixture);
  for (int i = 0; i < 3; i++)
    ask_name(fixture, &asked[i], "d.test");
  dns_destroy(fixture->dns);
  fixture->dns = NULL;
  loop_settle(fixture->loop);
  assert_int_equal(fixture->done_count, 0);
}

static void destroying_ends_a_query_over_tcp(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer_truncated_over_udp);
  struct asked asked = {0};
  create(fixture);
  ask_name(fixture, &asked, "d.test");
  LOOP_UNTIL(fixture->loop, upstream->transport_count == 1);
  dns_destroy(fixture->dns);
  fixture->dns = NULL;
  LOOP_UNTIL(fixture->loop, upstream->transports[0].io.fd == -1);
  assert_int_equal(asked.calls, 0);
}

static void an_idle_one_keeps_its_loop_asleep(void **state) {
  struct fixture *fixture = *state;
  struct upstream *upstream = add_upstream(fixture, true, answer);
  create(fixture);
  ask(fixture);
  loop_for(fixture->loop, 120); /* the last tick */
  ev_io_stop(fixture->loop, &upstream->udp);
  ev_io_stop(fixture->loop, &upstream->tcp);
  assert_false(ev_run(fixture->loop, EVRUN_NOWAIT));
  ev_io_start(fixture->loop, &upstream->udp);
  ev_io_start(fixture->loop, &upstream->tcp);
  struct asked asked = ask(fixture);
  assert_answered(&asked, "mx.test");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_plain_answer_is_delivered),
      TEST(a_query_is_recursive_with_one_question_and_edns),
      TEST(the_root_and_the_longest_name_can_be_asked),
      TEST(a_denial_is_an_answer),
      TEST(an_answer_of_more_than_512_octets_comes_over_udp),
      TEST(a_truncated_answer_is_asked_for_over_tcp),
      TEST(tcp_refused_after_truncation_is_unreachable),
      TEST(a_stall_over_tcp_after_truncation_is_unreachable_and_demotes_nobody),
      TEST(a_query_over_tcp_needs_no_edns),
      TEST(a_soft_failure_of_the_only_server_is_delivered_after_one_query),
      TEST(silence_is_a_timeout_after_all_tries),
      TEST(each_try_has_an_id_of_its_own),
      TEST(formerr_to_edns_is_asked_again_without),
      TEST(formerr_with_opt_is_asked_again_without),
      TEST(formerr_to_everything_is_delivered_after_one_query_without_edns),
      TEST(formerr_with_and_without_opt_ends_too),
      TEST(many_queries_to_a_server_without_edns_are_all_answered),
      TEST(one_that_refuses_edns_does_not_change_how_another_is_asked),
      TEST(a_reply_that_helps_nobody_moves_the_query_to_the_next_server),
      TEST(a_soft_failure_of_all_servers_asks_each_once),
      TEST(garbage_from_the_only_server_is_malformed),
      TEST(a_server_that_was_silent_three_times_is_asked_last),
      TEST(a_demoted_server_is_probed_and_comes_back),
      TEST(a_server_that_is_late_gets_company_and_the_first_reply_wins),
      TEST(a_server_that_is_late_five_times_is_asked_last),
      TEST(a_hedge_uses_up_no_try),
      TEST(in_an_outage_only_the_first_try_is_hedged),
      TEST(a_stall_over_tcp_gets_company_of_another_server),
      TEST(a_server_that_dies_under_load_delays_all_but_a_little),
      TEST(a_late_server_gets_company_of_a_demoted_one_where_all_are),
      TEST(a_late_reply_of_the_first_still_counts_where_the_second_does_not_help),
      TEST(a_lame_server_is_asked_last_and_back_when_it_helps),
      TEST(a_failure_that_all_servers_share_demotes_none),
      TEST(of_all_failures_the_one_that_says_most_is_told),
      TEST(new_servers_are_asked_at_once_and_old_queries_end_where_they_are),
      TEST(what_is_known_of_a_server_that_stays_is_kept),
      TEST(letters_are_of_random_case_and_mean_the_same),
      TEST(a_reply_in_other_letters_is_asked_for_over_tcp),
      TEST(a_server_that_keeps_no_case_is_found_out_and_asked_in_lower_case),
      TEST(other_letters_without_tcp_are_no_answer),
      TEST(what_cannot_be_read_over_udp_is_asked_for_over_tcp),
      TEST(what_cannot_be_read_is_malformed_even_where_tcp_is_refused),
      TEST(the_ad_bit_of_a_server_on_loopback_is_believed),
      TEST(clients_go_before_refreshes),
      TEST(in_a_full_queue_the_newest_of_the_least_important_gives_way),
      TEST(a_prefetch_waits_for_nobody),
      TEST(every_try_is_told),
      TEST(silence_and_hedges_are_told),
      TEST(silence_moves_through_the_servers_in_turn),
      TEST(a_closed_port_is_unreachable),
      TEST(every_query_to_a_closed_port_is_told_once),
      TEST(a_server_that_cannot_be_sent_to_is_unreachable),
      TEST(a_server_that_cannot_be_reached_gives_way_to_the_next),
      TEST(many_queries_that_fail_at_once_outlive_their_channel),
      TEST(replies_that_do_not_fit_are_passed_over),
      TEST(octets_that_are_no_message_are_no_answer),
      TEST(a_reply_with_a_wrong_id_or_question_is_no_answer),
      TEST(a_reply_from_elsewhere_is_no_answer),
      TEST(a_slow_answer_outlives_the_change_of_source_ports),
      TEST(ids_and_source_ports_change),
      TEST(no_more_than_the_bound_are_under_way_and_the_rest_keep_their_order),
      TEST(who_asks_again_from_a_callback_waits_behind_the_others),
      TEST(a_full_queue_is_an_overload),
      TEST(without_a_queue_only_the_bound_is_taken),
      TEST(a_cancelled_query_does_not_call_back),
      TEST(a_query_cancelled_after_it_failed_at_once_does_not_call_back),
      TEST(a_cancelled_query_is_not_tried_again),
      TEST(a_callback_may_cancel_another_query),
      TEST(a_callback_may_cancel_another_query_that_failed_at_once),
      TEST(a_callback_may_cancel_another_query_of_a_closed_port),
      TEST(a_callback_may_ask_again),
      TEST(a_callback_may_ask_again_after_each_kind_of_failure),
      TEST(destroying_ends_everything_without_a_callback),
      TEST(destroying_forgets_what_failed_at_once),
      TEST(destroying_ends_a_query_over_tcp),
      TEST(an_idle_one_keeps_its_loop_asleep),
  };
  return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
