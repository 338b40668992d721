#include "cmocka_compat.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_daemon.h"
#include "dns_builder.h"
#include "engine.h"
#include "target_kinds.h"

/* One run of one target, over queries and expected answers given as text. */
struct bench {
  struct target target;
  struct queries *queries;
  struct verify *verify;
  struct engine_options options;
  struct result_run run;
};

static struct bench bench;

static int set_up(void **state) {
  (void)state;
  memset(&bench, 0, sizeof bench);
  bench.options = (struct engine_options){.threads = 1,
                                          .connections = 1,
                                          .outstanding = 4,
                                          .timeout_s = 30,
                                          .interval_s = 1,
                                          .passes = 1,
                                          .verify_every = 1};
  result_run_init(&bench.run);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  target_fini(&bench.target);
  queries_destroy(bench.queries);
  verify_destroy(bench.verify);
  result_run_fini(&bench.run);
  return 0;
}

static void write_file(char path[64], const char *text) {
  snprintf(path, 64, "/tmp/mxway-test-XXXXXX");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  close(fd);
}

static void use_queries(const char *text) {
  char path[64], error[QUERIES_ERROR_SIZE];
  write_file(path, text);
  bench.queries = queries_load(path, error);
  unlink(path);
  assert_non_null(bench.queries);
}

static void use_expected(const char *text) {
  char path[64], error[VERIFY_ERROR_SIZE];
  write_file(path, text);
  bench.verify = verify_load(path, error);
  unlink(path);
  assert_non_null(bench.verify);
  bench.options.verify = bench.verify;
}

static void use_target(const char *format, ...) {
  char spec[200], error[TARGET_ERROR_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(spec, sizeof spec, format, arguments);
  va_end(arguments);
  if (target_parse(&bench.target, spec, error) != 0)
    fail_msg("%s", error);
}

static int run(void) { return engine_run(&bench.target, bench.queries, &bench.options, &bench.run); }

static uint64_t count_of(const char *kind) {
  for (size_t i = 0; i < bench.run.kind_count; i++)
    if (strcmp(bench.run.kinds[i].name, kind) == 0)
      return bench.run.kinds[i].count;
  return 0;
}

/* ---- mxway ---- */

static struct { unsigned depth, refreshes, cache_onlys; } seen;

static Mxway__V1__Exchange made_exchange(uint32_t preference, char *host) {
  Mxway__V1__Exchange exchange = MXWAY__V1__EXCHANGE__INIT;
  exchange.preference = preference;
  exchange.host = host;
  return exchange;
}

static void answer(struct client_daemon *daemon, const Mxway__V1__LookupRequest *request) {
  static char a[] = "a.test", b[] = "b.test", c[] = "c.test";
  Mxway__V1__Exchange made[] = {made_exchange(10, c), made_exchange(10, b), made_exchange(20, a)};
  Mxway__V1__Exchange *exchanges[] = {&made[0], &made[1], &made[2]};
  Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
  reply.id = request->id;
  reply.verdict = MXWAY__V1__VERDICT__VERDICT_NULL_MX;
  if (request->domain.len == 10 && memcmp(request->domain.data, "route.test", 10) == 0) {
    reply.verdict = MXWAY__V1__VERDICT__VERDICT_ROUTE;
    reply.n_exchanges = 3;
    reply.exchanges = exchanges;
  }
  client_daemon_send(daemon, &reply);
}

static void answer_all(struct client_daemon *daemon) {
  Mxway__V1__LookupRequest *request;
  client_daemon_accept(daemon);
  while ((request = client_daemon_read(daemon)) != NULL) {
    seen.depth = request->depth;
    seen.refreshes += (unsigned)request->refresh;
    seen.cache_onlys += (unsigned)request->cache_only;
    answer(daemon, request);
    client_daemon_forget(request);
  }
}

static void mxway_is_asked_as_told_and_its_verdicts_are_counted(void **state) {
  (void)state;
  struct client_daemon *daemon = client_daemon_create();
  memset(&seen, 0, sizeof seen);
  use_queries("route.test\nroute.test\nother.test\n");
  use_target("mxway:%s,depth=addresses,refresh,cache-only", daemon->path);
  client_daemon_play(daemon, answer_all);
  assert_int_equal(run(), 0);
  client_daemon_join(daemon);
  assert_int_equal(count_of("ROUTE"), 2);
  assert_int_equal(count_of("NULL_MX"), 1);
  assert_int_equal(seen.depth, MXWAY__V1__DEPTH__DEPTH_ADDRESSES);
  assert_int_equal(seen.refreshes, 3);
  assert_int_equal(seen.cache_onlys, 3);
  client_daemon_destroy(daemon);
}

static void routes_are_verified_whatever_their_order(void **state) {
  (void)state;
  struct client_daemon *daemon = client_daemon_create();
  use_queries("route.test\nother.test\nunknown.test\n");
  use_expected("route.test\tROUTE 10 b.test 10 c.test 20 a.test\nother.test\tROUTE 10 b.test\n");
  use_target("mxway:%s", daemon->path);
  client_daemon_play(daemon, answer_all);
  assert_int_equal(run(), 0);
  client_daemon_join(daemon);
  assert_int_equal(bench.run.verified, 2);
  assert_int_equal(bench.run.wrong, 1);
  client_daemon_destroy(daemon);
}

static void send_garbage(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  client_daemon_forget(client_daemon_read(daemon));
  client_daemon_send_octets(daemon, "\xff\xff\xff\xff\xff\xff", 6);
  while (client_daemon_read_id(daemon))
    ;
}

static void what_is_not_the_protocol_ends_the_run(void **state) {
  (void)state;
  struct client_daemon *daemon = client_daemon_create();
  use_queries("a.test\n");
  use_target("mxway:%s", daemon->path);
  client_daemon_play(daemon, send_garbage);
  assert_int_equal(run(), -1);
  client_daemon_join(daemon);
  assert_non_null(strstr(bench.run.error, "not the protocol"));
  assert_int_equal(bench.run.errors, 1);
  client_daemon_destroy(daemon);
}

/* Answers one question in pieces, drops the connection with another on its way, then serves a second. */
static void drop_once(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
  reply.id = client_daemon_read_id(daemon);
  reply.verdict = MXWAY__V1__VERDICT__VERDICT_NULL_MX;
  size_t length;
  uint8_t *octets = client_daemon_pack(&reply, &length);
  for (size_t i = 0; i < length; i++)
    client_daemon_send_octets(daemon, octets + i, 1);
  free(octets);
  client_daemon_read_id(daemon);
  answer_all(daemon);
}

static void a_lost_connection_is_made_again(void **state) {
  (void)state;
  struct client_daemon *daemon = client_daemon_create();
  use_queries("a.test\nb.test\nc.test\nd.test\n");
  bench.options.outstanding = 1;
  use_target("mxway:%s", daemon->path);
  client_daemon_play(daemon, drop_once);
  assert_int_equal(run(), 0);
  client_daemon_join(daemon);
  assert_int_equal(bench.run.sent, 4);
  assert_int_equal(bench.run.completed, 3);
  assert_int_equal(bench.run.errors, 1);
  client_daemon_destroy(daemon);
}

/* ---- dns ---- */

struct dns_server {
  int fd, listener; /* listener: -1 over UDP */
  uint16_t port;
  pthread_t thread;
  unsigned queries; /* that were answered */
  struct sockaddr_in peer;
};

/* The name and type of a query's question. */
static unsigned read_question(const uint8_t *query, char name[256]) {
  const uint8_t *at = query + DNS_HEADER_LENGTH;
  size_t length = 0;
  for (; *at; at += *at + 1) {
    memcpy(name + length, at + 1, *at);
    length += *at;
    name[length++] = '.';
  }
  name[length ? length - 1 : 0] = '\0';
  return (unsigned)(at[1] << 8 | at[2]);
}

static void build_answer(struct dns_builder *builder, const char *name, unsigned type) {
  bool is_mx = type == 15, is_a = type == 1;
  unsigned rcode = strncmp(name, "gone", 4) == 0 ? 3 : strncmp(name, "fail", 4) == 0 ? 2 : 0;
  dns_reply(builder, rcode, name, type);
  if (strncmp(name, "cut", 3) == 0)
    builder->bytes[2] |= 2; /* TC */
  if (is_mx && strcmp(name, "mx.test") == 0) {
    dns_add_mx(builder, NULL, 60, 20, "has-a.test");
    dns_add_mx(builder, NULL, 60, 10, "fail.test");
    dns_add_mx(builder, NULL, 60, 10, "B.test");
  } else if (is_mx && strcmp(name, "null.test") == 0) {
    dns_add_mx(builder, NULL, 60, 0, "");
  } else if (is_mx && strcmp(name, "void.test") == 0) {
    dns_add_mx(builder, NULL, 60, 10, "gone.test");
  } else if (is_mx && strcmp(name, "broken.test") == 0) {
    dns_add_mx(builder, NULL, 60, 10, "fail.test");
  } else if (is_a && strncmp(name, "has-a", 5) == 0) {
    dns_add_a(builder, NULL, 60, 0xc0000201);
  } else {
    dns_add_soa(builder, "test", 60, 60);
  }
}

static void answer_query(struct dns_server *server, const uint8_t *query, bool is_tcp) {
  static struct dns_builder builder;
  char name[256];
  unsigned type = read_question(query, name);
  build_answer(&builder, name, type);
  memcpy(builder.bytes, query, 2);
  if (is_tcp) {
    const uint8_t prefix[2] = {(uint8_t)(builder.length >> 8), (uint8_t)builder.length};
    send(server->fd, prefix, 2, MSG_NOSIGNAL);
  }
  sendto(server->fd, builder.bytes, builder.length, MSG_NOSIGNAL,
         is_tcp ? NULL : (struct sockaddr *)&server->peer, is_tcp ? 0 : sizeof server->peer);
  server->queries++;
}

/* Serves one client; over UDP until a datagram of one octet comes. */
static void *serve_udp(void *context) {
  struct dns_server *server = context;
  socklen_t length = sizeof server->peer;
  uint8_t query[600];
  while (recvfrom(server->fd, query, sizeof query, 0, (struct sockaddr *)&server->peer, &length) > 1)
    answer_query(server, query, false);
  return NULL;
}

static void *serve_tcp(void *context) {
  struct dns_server *server = context;
  server->fd = accept(server->listener, NULL, NULL);
  uint8_t query[602];
  while (recv(server->fd, query, 2, MSG_WAITALL) == 2) {
    size_t length = (size_t)(query[0] << 8 | query[1]);
    if (length > 600 || recv(server->fd, query + 2, length, MSG_WAITALL) != (ssize_t)length)
      break;
    answer_query(server, query + 2, true);
  }
  close(server->fd);
  return NULL;
}

static void start_dns(struct dns_server *server, bool is_tcp) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
  if (is_tcp)
    assert_int_equal(listen(fd, 5), 0);
  *server = (struct dns_server){.fd = fd, .listener = is_tcp ? fd : -1, .port = ntohs(address.sin_port)};
  assert_int_equal(pthread_create(&server->thread, NULL, is_tcp ? serve_tcp : serve_udp, server), 0);
}

static void stop_dns(struct dns_server *server) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(server->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  if (server->listener < 0) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sendto(fd, "", 1, 0, (struct sockaddr *)&address, sizeof address);
    close(fd);
  }
  pthread_join(server->thread, NULL);
  close(server->listener < 0 ? server->fd : server->listener);
}

static const char dns_names[] =
    "mx.test\nnull.test\ngone.test\nFAIL.test.\ncut.test\nplain.test\nbad..name\n";

static void check_mx_answers(void) {
  assert_int_equal(bench.run.completed, 7);
  assert_int_equal(count_of("ROUTE"), 2);
  assert_int_equal(count_of("NULL_MX"), 1);
  assert_int_equal(count_of("NO_SUCH_DOMAIN"), 1);
  assert_int_equal(count_of("DNS_SERVFAIL"), 1);
  assert_int_equal(count_of("TRUNCATED"), 1);
  assert_int_equal(count_of("INVALID_NAME"), 1);
}

static void dns_is_asked_one_mx_query_over_udp(void **state) {
  (void)state;
  struct dns_server server;
  start_dns(&server, false);
  use_queries(dns_names);
  use_expected(
      "mx.test\tROUTE 10 b.test 10 fail.test 20 has-a.test\n"
      "null.test\tNULL_MX\nplain.test\tROUTE 0 plain.test\ngone.test\tNO_SUCH_DOMAIN\n");
  use_target("dns:127.0.0.1:%u", server.port);
  assert_int_equal(run(), 0);
  stop_dns(&server);
  check_mx_answers();
  assert_int_equal(server.queries, 6);
  assert_int_equal(bench.run.verified, 4);
  assert_int_equal(bench.run.wrong, 0);
}

static void dns_is_asked_over_tcp(void **state) {
  (void)state;
  struct dns_server server;
  start_dns(&server, true);
  use_queries(dns_names);
  use_target("dns:127.0.0.1:%u,tcp", server.port);
  assert_int_equal(run(), 0);
  stop_dns(&server);
  check_mx_answers();
  assert_int_equal(server.queries, 6);
}

static void a_full_lookup_asks_the_addresses_of_every_exchange(void **state) {
  (void)state;
  struct dns_server server;
  start_dns(&server, false);
  use_queries("mx.test\nvoid.test\nbroken.test\nhas-a.test\nplain.test\nnull.test\n");
  use_expected("mx.test\tROUTE 10 b.test 10 fail.test 20 has-a.test\nhas-a.test\tROUTE 0 has-a.test\n");
  use_target("dns:127.0.0.1:%u,full", server.port);
  bench.options.outstanding = 2;
  assert_int_equal(run(), 0);
  stop_dns(&server);
  assert_int_equal(bench.run.completed, 6);
  assert_int_equal(count_of("ROUTE"), 2);
  assert_int_equal(count_of("MX_HOSTS_NO_ADDRESS"), 1);
  assert_int_equal(count_of("MX_HOSTS_TEMPFAIL"), 1);
  assert_int_equal(count_of("NO_MAIL_HOST"), 1);
  assert_int_equal(count_of("NULL_MX"), 1);
  /* Six MX queries, and two for each of 3 + 1 + 1 + 1 + 1 exchanges. */
  assert_int_equal(server.queries, 6 + 14);
  assert_int_equal(bench.run.verified, 2);
  assert_int_equal(bench.run.wrong, 0);
}

static void a_type_of_the_query_file_is_asked(void **state) {
  (void)state;
  struct dns_server server;
  start_dns(&server, false);
  use_queries("has-a.test A\nhas-a.test AAAA\ngone.test TXT\n");
  use_target("dns:127.0.0.1:%u", server.port);
  assert_int_equal(run(), 0);
  stop_dns(&server);
  assert_int_equal(count_of("ANSWER"), 1);
  assert_int_equal(count_of("NODATA"), 1);
  assert_int_equal(count_of("NXDOMAIN"), 1);
}

static void a_port_where_nobody_is_ends_the_run(void **state) {
  (void)state;
  struct dns_server server;
  start_dns(&server, false);
  use_queries("a.test\n");
  use_target("dns:127.0.0.1:%u", server.port);
  stop_dns(&server);
  assert_int_equal(run(), -1);
  assert_string_equal(bench.run.error, "Connection refused");
}

/* ---- redis ---- */

enum { KEYS_MAX = 8 };

struct redis_server {
  struct client_daemon *daemon; /* for its socket */
  pthread_t thread;
  unsigned connections;
  size_t key_count;
  char keys[KEYS_MAX][64];
  size_t value_bytes;
};

/* The next line without its end; false at the end of the connection. */
static bool read_line(FILE *in, char *line, size_t size) {
  if (!fgets(line, (int)size, in))
    return false;
  line[strcspn(line, "\r\n")] = '\0';
  return true;
}

static void answer_get(const struct redis_server *server, FILE *out, const char *key) {
  if (strcmp(key, "mxway-bench:error.test") == 0) {
    fputs("-ERR on purpose\r\n", out);
    return;
  }
  for (size_t i = 0; i < server->key_count; i++)
    if (strcmp(server->keys[i], key) == 0 && strcmp(key, "mxway-bench:evicted.test") != 0) {
      fprintf(out, "$%zu\r\n%0*d\r\n", server->value_bytes, (int)server->value_bytes, 0);
      return;
    }
  fputs("$-1\r\n", out);
}

static void serve_connection(struct redis_server *server, int fd) {
  FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
  char count[16], length[16], command[16], key[64], value[4096];
  while (read_line(in, count, sizeof count) && read_line(in, length, sizeof length) &&
         read_line(in, command, sizeof command) && read_line(in, length, sizeof length) &&
         read_line(in, key, sizeof key)) {
    if (strcmp(command, "SET") == 0 && read_line(in, length, sizeof length) &&
        read_line(in, value, sizeof value)) {
      snprintf(server->keys[server->key_count++ % KEYS_MAX], sizeof key, "%s", key);
      server->value_bytes = strlen(value);
      fputs("+OK\r\n", out);
    } else {
      answer_get(server, out, key);
    }
    fflush(out);
  }
  fclose(in);
  fclose(out);
}

static void *serve_redis(void *context) {
  struct redis_server *server = context;
  for (unsigned i = 0; i < server->connections; i++)
    serve_connection(server, accept(server->daemon->listener, NULL, NULL));
  return NULL;
}

static void redis_is_filled_and_then_asked(void **state) {
  (void)state;
  char error[TARGET_ERROR_SIZE];
  struct redis_server server = {.daemon = client_daemon_create(), .connections = 2};
  use_queries("a.test\nb.test\nevicted.test\nerror.test\n");
  use_target("redis:%s,value=100", server.daemon->path);
  assert_int_equal(pthread_create(&server.thread, NULL, serve_redis, &server), 0);
  assert_int_equal(bench.target.kind->prepare(&bench.target, bench.queries, 5, error), 0);
  assert_int_equal(run(), 0);
  pthread_join(server.thread, NULL);
  assert_int_equal(server.key_count, 4);
  assert_string_equal(server.keys[0], "mxway-bench:a.test");
  assert_int_equal(server.value_bytes, 100);
  assert_int_equal(count_of("hit"), 2);
  assert_int_equal(count_of("miss"), 1);
  assert_int_equal(count_of("error"), 1);
  assert_int_equal(bench.run.reply_bytes, 2 * (6 + 100 + 2) + 5 + 17);
  client_daemon_destroy(server.daemon);
}

static void values_are_as_long_as_the_replies_of_mxway(void **state) {
  (void)state;
  char error[TARGET_ERROR_SIZE];
  struct redis_server server = {.daemon = client_daemon_create(), .connections = 1};
  use_queries("a.test\n");
  use_target("redis:%s", server.daemon->path);
  assert_int_equal(pthread_create(&server.thread, NULL, serve_redis, &server), 0);
  assert_int_equal(bench.target.kind->prepare(&bench.target, bench.queries, 321, error), 0);
  pthread_join(server.thread, NULL);
  assert_int_equal(server.value_bytes, 321);
  client_daemon_destroy(server.daemon);
}

/* ---- null ---- */

static void null_replies_are_valid_and_of_the_length_asked_for(void **state) {
  (void)state;
  static const size_t lengths[] = {16, 40, 46, 47, 60, 130, 131, 132, 255, 5000, 65536};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    char error[TARGET_ERROR_SIZE];
    use_target("null");
    assert_int_equal(bench.target.kind->prepare(&bench.target, NULL, lengths[i], error), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&bench.target.address, bench.target.address_length), 0);
    assert_int_equal(send(fd, "\x03\x08\x81\x01", 4, MSG_NOSIGNAL), 4); /* id 129 */
    static uint8_t bytes[70000];
    struct frame frame;
    size_t length = 0;
    while (frame_parse(bytes, length, FRAME_REPLY_MAX, &frame) != FRAME_COMPLETE) {
      ssize_t got = recv(fd, bytes + length, sizeof bytes - length, 0);
      assert_true(got > 0);
      length += (size_t)got;
    }
    assert_in_range(length, lengths[i] - 2, lengths[i] + 2);
    Mxway__V1__LookupReply *reply = mxway__v1__lookup_reply__unpack(NULL, frame.body_length, frame.body);
    assert_non_null(reply);
    assert_int_equal(reply->id, 129);
    assert_int_equal(reply->verdict, MXWAY__V1__VERDICT__VERDICT_ROUTE);
    mxway__v1__lookup_reply__free_unpacked(reply, NULL);
    close(fd);
    target_fini(&bench.target);
  }
}

/* ---- all ---- */

static void a_probe_learns_who_listens_and_says_who_does_not(void **state) {
  (void)state;
  char error[TARGET_ERROR_SIZE], expected[TARGET_ERROR_SIZE];
  struct client_daemon *daemon = client_daemon_create();
  use_target("mxway:%s", daemon->path);
  assert_int_equal(target_probe(&bench.target, error), 0);
  assert_int_equal(bench.target.pid, getpid());
  client_daemon_stop(daemon);
  assert_int_equal(target_probe(&bench.target, error), -1);
  snprintf(expected, sizeof expected, "mxway:%s: cannot connect: No such file or directory", daemon->path);
  assert_string_equal(error, expected);
  client_daemon_destroy(daemon);
}

static void routes_are_sorted_and_without_repetition(void **state) {
  (void)state;
  static char routes[TARGET_ROUTES_SIZE];
  struct target_exchange exchanges[] = {{20, "a.test"}, {10, "c.test"}, {10, "b.test"}, {5, "a.test"}};
  target_build_routes(routes, "ROUTE", exchanges, 4);
  assert_string_equal(routes, "ROUTE 5 a.test 10 b.test 10 c.test");
  target_build_routes(routes, "NULL_MX", NULL, 0);
  assert_string_equal(routes, "NULL_MX");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(mxway_is_asked_as_told_and_its_verdicts_are_counted),
      TEST(routes_are_verified_whatever_their_order),
      TEST(what_is_not_the_protocol_ends_the_run),
      TEST(a_lost_connection_is_made_again),
      TEST(dns_is_asked_one_mx_query_over_udp),
      TEST(dns_is_asked_over_tcp),
      TEST(a_full_lookup_asks_the_addresses_of_every_exchange),
      TEST(a_type_of_the_query_file_is_asked),
      TEST(a_port_where_nobody_is_ends_the_run),
      TEST(redis_is_filled_and_then_asked),
      TEST(values_are_as_long_as_the_replies_of_mxway),
      TEST(null_replies_are_valid_and_of_the_length_asked_for),
      TEST(a_probe_learns_who_listens_and_says_who_does_not),
      TEST(routes_are_sorted_and_without_repetition),
  };
  return cmocka_run_group_tests_name("bench_targets", tests, NULL, NULL);
}
