#include "cmocka_compat.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/outbox.h"
#include "base/random.h"
#include "redis/link_tls.h"

enum { DAY_S = 24 * 3600, TURNS_MAX = 1000 };

/* A server of OpenSSL's at the other end of a socket, and the files of its certificate. */
struct fixture {
  char folder[32], cert[64], key[64];
  int ours, theirs;
  SSL_CTX *context;
  SSL *server;
  struct link_tls *tls;
  struct link_tls_session *session;
};

/* ---- certificates ---- */

/* A certificate that signs itself, good from `from_s` on for a day; `names` NULL: it has none but the common
 * one. */
static void make_certificate_for(struct fixture *fixture, const char *names, long from_s) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = X509_new();
  X509V3_CTX context;
  assert_non_null(key);
  assert_non_null(cert);
  X509_set_version(cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), from_s);
  X509_gmtime_adj(X509_getm_notAfter(cert), from_s + DAY_S);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const uint8_t *)"common.test",
                             -1, -1, 0);
  X509_set_issuer_name(cert, X509_get_subject_name(cert));
  X509_set_pubkey(cert, key);
  X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
  if (names) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, names);
    assert_non_null(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
  }
  assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
  umask(077);
  FILE *file = fopen(fixture->cert, "w");
  assert_non_null(file);
  assert_int_equal(PEM_write_X509(file, cert), 1);
  fclose(file);
  file = fopen(fixture->key, "w");
  assert_non_null(file);
  assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
  fclose(file);
  X509_free(cert);
  EVP_PKEY_free(key);
}

static void make_certificate(struct fixture *fixture, long from_s) {
  make_certificate_for(fixture, "DNS:redis.test,DNS:*.wild.test,IP:127.0.0.1", from_s);
}

static void read_certificate(struct fixture *fixture) {
  assert_int_equal(SSL_CTX_use_certificate_file(fixture->context, fixture->cert, SSL_FILETYPE_PEM), 1);
  assert_int_equal(SSL_CTX_use_PrivateKey_file(fixture->context, fixture->key, SSL_FILETYPE_PEM), 1);
}

static int set_up(void **state) {
  static struct fixture fixture;
  fixture = (struct fixture){.folder = "/tmp/mxway-tls-XXXXXX", .ours = -1, .theirs = -1};
  assert_non_null(mkdtemp(fixture.folder));
  snprintf(fixture.cert, sizeof(fixture.cert), "%s/cert.pem", fixture.folder);
  snprintf(fixture.key, sizeof(fixture.key), "%s/key.pem", fixture.folder);
  make_certificate(&fixture, -60);
  fixture.context = SSL_CTX_new(TLS_server_method());
  assert_non_null(fixture.context);
  SSL_CTX_set_mode(fixture.context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  read_certificate(&fixture);
  *state = &fixture;
  return 0;
}

static void hang_up(struct fixture *fixture) {
  link_tls_close(fixture->session);
  link_tls_destroy(fixture->tls);
  SSL_free(fixture->server);
  if (fixture->ours >= 0)
    close(fixture->ours);
  if (fixture->theirs >= 0)
    close(fixture->theirs);
  fixture->session = NULL;
  fixture->tls = NULL;
  fixture->server = NULL;
  fixture->ours = fixture->theirs = -1;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  hang_up(fixture);
  SSL_CTX_free(fixture->context);
  unlink(fixture->cert);
  unlink(fixture->key);
  rmdir(fixture->folder);
  return 0;
}

/* ---- both ends ---- */

static int connect_ends(struct fixture *fixture, const struct link_tls_options *options, const char *host) {
  int ends[2];
  char error[LINK_TLS_ERROR_SIZE] = "";
  assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), errno);
  fixture->ours = ends[0];
  fixture->theirs = ends[1];
  fixture->server = SSL_new(fixture->context);
  assert_non_null(fixture->server);
  SSL_set_fd(fixture->server, fixture->theirs);
  SSL_set_accept_state(fixture->server);
  if (link_tls_create(options, &fixture->tls, error) != 0)
    fail_msg("%s", error);
  return link_tls_open(fixture->tls, fixture->ours, host, &fixture->session);
}

/* With the server's own certificate as the CA. */
static void start(struct fixture *fixture, const char *host) {
  assert_int_equal(connect_ends(fixture, &(struct link_tls_options){.ca = fixture->cert}, host), 0);
}

/* One octet there and back; false where that fails: link_tls_reason says why. */
static bool greets(struct fixture *fixture) {
  static char bytes[LINK_TLS_READ_SIZE];
  bool is_written = false, is_echoed = false;
  for (int turn = 0; turn < TURNS_MAX; turn++) {
    ssize_t status = is_written ? 0 : link_tls_write(fixture->session, "?", 1);
    is_written |= status > 0;
    if (status < 0)
      return false;
    if (SSL_read(fixture->server, bytes, sizeof(bytes)) == 1)
      is_echoed = SSL_write(fixture->server, "!", 1) == 1;
    status = link_tls_read(fixture->session, bytes, sizeof(bytes));
    if (status < 0)
      return false;
    if (status > 0) {
      assert_int_equal(status, 1);
      assert_int_equal(bytes[0], '!');
      return is_echoed;
    }
  }
  fail_msg("neither well nor ended after %d turns", TURNS_MAX);
  return false;
}

static void expect_refusal(struct fixture *fixture, const char *reason) {
  assert_false(greets(fixture));
  if (!strstr(link_tls_reason(fixture->session), reason))
    fail_msg("'%s' is not in '%s'", reason, link_tls_reason(fixture->session));
  hang_up(fixture);
}

/* ---- tests ---- */

static void files_that_are_no_use_are_named(void **state) {
  struct fixture *fixture = *state;
  const struct link_tls_options cases[] = {{.ca = "/nonexistent/ca"},
                                           {.ca = "/dev/null"},
                                           {.cert = "/nonexistent/cert", .key = "/nonexistent/key"},
                                           {.cert = fixture->cert, .key = "/dev/null"}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct link_tls *tls = NULL;
    char error[LINK_TLS_ERROR_SIZE] = "", expected[100];
    snprintf(expected, sizeof(expected), "%s: %s: ",
             i < 2    ? "redis-tls-ca"
             : i == 2 ? "redis-tls-cert"
                      : "redis-tls-key",
             i < 2    ? cases[i].ca
             : i == 2 ? cases[i].cert
                      : cases[i].key);
    assert_int_equal(link_tls_create(&cases[i], &tls, error), ERR_CONFIG);
    assert_memory_equal(error, expected, strlen(expected));
    assert_null(tls);
  }
  link_tls_destroy(NULL);
  link_tls_close(NULL);
}

/* Neither a pipe nor a pass phrase is waited for, and a key is a secret. */
static void keys_that_cannot_be_used_are_refused_at_once(void **state) {
  struct fixture *fixture = *state;
  const struct link_tls_options options = {.ca = fixture->cert, .cert = fixture->cert, .key = fixture->key};
  struct link_tls *tls = NULL;
  char error[LINK_TLS_ERROR_SIZE] = "";
  assert_int_equal(chmod(fixture->key, 0644), 0);
  assert_int_equal(link_tls_create(&options, &tls, error), ERR_CONFIG);
  assert_non_null(strstr(error, "others than its owner and group may use it"));
  EVP_PKEY *key = EVP_EC_gen("P-256");
  unlink(fixture->key);
  FILE *file = fopen(fixture->key, "w");
  assert_non_null(file);
  assert_int_equal(
      PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), (const uint8_t *)"phrase", 6, NULL, NULL), 1);
  fclose(file);
  EVP_PKEY_free(key);
  assert_int_equal(link_tls_create(&options, &tls, error), ERR_CONFIG);
  assert_non_null(strstr(error, "has a pass phrase: expected a key without one"));
  for (int is_ca = 0; is_ca < 2; is_ca++) {
    const char *path = is_ca ? fixture->cert : fixture->key;
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(link_tls_create(&options, &tls, error), ERR_CONFIG);
    assert_non_null(strstr(error, "is not a regular file"));
  }
}

static void a_key_of_another_certificate_is_refused(void **state) {
  struct fixture *fixture = *state;
  struct link_tls *tls = NULL;
  char error[LINK_TLS_ERROR_SIZE] = "", old_cert[80];
  snprintf(old_cert, sizeof(old_cert), "%s.old", fixture->cert);
  assert_int_equal(rename(fixture->cert, old_cert), 0);
  make_certificate(fixture, -60);
  assert_int_equal(
      link_tls_create(&(struct link_tls_options){.cert = old_cert, .key = fixture->key}, &tls, error),
      ERR_CONFIG);
  assert_non_null(strstr(error, fixture->key));
  assert_non_null(strstr(error, "mismatch"));
  unlink(old_cert);
}

static void the_certificate_must_be_for_the_host_or_the_name_that_is_set(void **state) {
  struct fixture *fixture = *state;
  static const struct {
    const char *host, *name;
    bool is_good;
  } cases[] = {{"redis.test", NULL, true},
               {"127.0.0.1", NULL, true},
               {"a.wild.test", NULL, true},
               {"other.test", NULL, false},
               {"127.0.0.2", NULL, false},
               {"a.b.wild.test", NULL, false},
               {"test", NULL, false},
               {"common.test", NULL, false},
               {"::1", NULL, false},
               {"192.0.2.1", "redis.test", true},
               {"redis.test", "other.test", false}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct link_tls_options options = {.ca = fixture->cert, .name = cases[i].name};
    assert_int_equal(connect_ends(fixture, &options, cases[i].host), 0);
    if (!cases[i].is_good) {
      expect_refusal(fixture, "TLS: certificate verify failed: ");
      continue;
    }
    assert_true(greets(fixture));
    const char *told = SSL_get_servername(fixture->server, TLSEXT_NAMETYPE_host_name);
    const char *name = cases[i].name ? cases[i].name : cases[i].host;
    if (*name < 'a')
      assert_null(told); /* SNI has no addresses (RFC 6066, 3) */
    else
      assert_string_equal(told, name);
    hang_up(fixture);
  }
}

static void without_a_host_nothing_is_trusted(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(connect_ends(fixture, &(struct link_tls_options){.ca = fixture->cert}, ""), ERR_CONFIG);
  assert_null(fixture->session);
}

static void an_unknown_or_expired_certificate_is_refused(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(connect_ends(fixture, &(struct link_tls_options){.ca = NULL}, "redis.test"), 0);
  expect_refusal(fixture, "TLS: certificate verify failed: self");
  static const struct {
    long from_s;
    const char *reason;
  } cases[] = {{-2 * DAY_S, "expired"}, {DAY_S, "not yet valid"}};
  for (size_t i = 0; i < 2; i++) {
    make_certificate(fixture, cases[i].from_s);
    read_certificate(fixture);
    start(fixture, "redis.test");
    expect_refusal(fixture, cases[i].reason);
  }
}

/* RFC 9525, 6.3. */
static void a_common_name_is_not_enough(void **state) {
  struct fixture *fixture = *state;
  make_certificate_for(fixture, NULL, -60);
  read_certificate(fixture);
  start(fixture, "common.test");
  expect_refusal(fixture, "TLS: certificate verify failed: ");
}

static void versions_before_1_2_are_refused(void **state) {
  struct fixture *fixture = *state;
  SSL_CTX_set_security_level(fixture->context, 0);
  SSL_CTX_set_min_proto_version(fixture->context, TLS1_VERSION);
  SSL_CTX_set_max_proto_version(fixture->context, TLS1_1_VERSION);
  start(fixture, "redis.test");
  expect_refusal(fixture, "TLS: ");
  SSL_CTX_set_max_proto_version(fixture->context, TLS1_2_VERSION);
  start(fixture, "redis.test");
  assert_true(greets(fixture));
  assert_int_equal(SSL_version(fixture->server), TLS1_2_VERSION);
}

static void a_server_that_wants_a_certificate_is_shown_one(void **state) {
  struct fixture *fixture = *state;
  SSL_CTX_set_verify(fixture->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  assert_int_equal(SSL_CTX_load_verify_locations(fixture->context, fixture->cert, NULL), 1);
  const struct link_tls_options options = {.ca = fixture->cert, .cert = fixture->cert, .key = fixture->key};
  assert_int_equal(connect_ends(fixture, &options, "redis.test"), 0);
  assert_true(greets(fixture));
  hang_up(fixture);
  start(fixture, "redis.test");
  expect_refusal(fixture, "certificate required");
}

/* A flood of what is no data does not hold up who reads: each call takes one record at most. */
static void records_without_data_are_read_one_at_a_time(void **state) {
  enum { UPDATES = 20 };
  struct fixture *fixture = *state;
  char bytes[LINK_TLS_READ_SIZE];
  start(fixture, "redis.test");
  assert_true(greets(fixture));
  while (link_tls_read(fixture->session, bytes, sizeof(bytes)) > 0)
    ;
  for (int i = 0; i < UPDATES; i++) {
    assert_int_equal(SSL_key_update(fixture->server, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(fixture->server), 1);
  }
  assert_int_equal(SSL_write(fixture->server, "!", 1), 1);
  int calls = 0;
  ssize_t got;
  while ((got = link_tls_read(fixture->session, bytes, sizeof(bytes))) == 0)
    assert_true(++calls < 1000);
  assert_int_equal(got, 1);
  assert_true(calls >= UPDATES);
}

/* What is written by one end in pieces of any size is read by the other: none lost, doubled or out of order,
 * while keys are changed now and then. */
static void play_streams(struct fixture *fixture, uint32_t total) {
  static uint8_t piece[100000], bytes[1 << 17];
  struct outbox outbox = {0};
  struct random random = {7};
  uint32_t put = 0, seen = 0, said = 0, heard = 0;
  bool has_waited = false;
  SSL_set_mode(fixture->server, SSL_MODE_ENABLE_PARTIAL_WRITE);
  while (seen < total || heard < total) {
    uint32_t length = random_below(&random, sizeof(piece));
    if (length > total - put)
      length = total - put;
    for (uint32_t i = 0; i < length; i++)
      piece[i] = (uint8_t)((put + i) * 2654435761u >> 24);
    assert_int_equal(outbox_add(&outbox, piece, length), 0);
    put += length;
    for (ssize_t sent = 1; sent > 0 && outbox_left(&outbox) > 0;) {
      sent = link_tls_write(fixture->session, outbox_bytes(&outbox), outbox_left(&outbox));
      assert_true(sent >= 0);
      has_waited |= sent == 0;
      outbox_drop(&outbox, (size_t)sent);
    }
    int got = SSL_read(fixture->server, bytes, (int)random_below(&random, sizeof(bytes)) + 1);
    for (int i = 0; i < got; i++, seen++)
      if (bytes[i] != (uint8_t)(seen * 2654435761u >> 24))
        fail_msg("octet %u is another one", seen);
    if (said < total && random_below(&random, 2)) {
      uint32_t most = sizeof(bytes) < total - said ? sizeof(bytes) : total - said;
      for (uint32_t i = 0; i < most; i++)
        bytes[i] = (uint8_t)((said + i) * 2246822519u >> 24);
      int sent = SSL_write(fixture->server, bytes, (int)most);
      said += sent > 0 ? (uint32_t)sent : 0;
      if (SSL_version(fixture->server) == TLS1_3_VERSION && random_below(&random, 8) == 0)
        SSL_key_update(fixture->server, SSL_KEY_UPDATE_NOT_REQUESTED);
    }
    ssize_t read = link_tls_read(fixture->session, bytes, LINK_TLS_READ_SIZE);
    if (read < 0)
      fail_msg("%s", link_tls_reason(fixture->session));
    for (ssize_t i = 0; i < read; i++, heard++)
      if (bytes[i] != (uint8_t)(heard * 2246822519u >> 24))
        fail_msg("octet %u is another one", heard);
  }
  assert_true(has_waited);
  assert_int_equal(outbox_left(&outbox), 0);
}

static void streams_are_whole_both_ways(void **state) {
  struct fixture *fixture = *state;
  static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
  for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
    SSL_CTX_set_max_proto_version(fixture->context, versions[i]);
    start(fixture, "redis.test");
    play_streams(fixture, 8000000);
    assert_int_equal(SSL_version(fixture->server), versions[i]);
    hang_up(fixture);
  }
}

/* So that a loop neither sleeps for ever nor turns in circles. */
static void a_write_that_waits_for_the_server_says_so(void **state) {
  struct fixture *fixture = *state;
  start(fixture, "redis.test");
  assert_int_equal(link_tls_write(fixture->session, "?", 1), 0);
  assert_true(link_tls_writes_when_readable(fixture->session)); /* the handshake */
  assert_false(link_tls_reads_when_writable(fixture->session));
  assert_true(greets(fixture));
  assert_false(link_tls_writes_when_readable(fixture->session));
  static char much[1 << 20];
  while (link_tls_write(fixture->session, much, sizeof(much)) > 0)
    ;
  assert_false(link_tls_writes_when_readable(fixture->session)); /* the socket is full: nothing but that */
  hang_up(fixture);
  start(fixture, "redis.test");
  while (write(fixture->ours, much, sizeof(much)) > 0)
    ;
  assert_int_equal(link_tls_read(fixture->session, much, sizeof(much)),
                   0); /* it has to say hello, and cannot */
  assert_true(link_tls_reads_when_writable(fixture->session));
}

static void a_server_that_ends_is_told(void **state) {
  struct fixture *fixture = *state;
  char bytes[LINK_TLS_READ_SIZE];
  for (int is_polite = 0; is_polite < 2; is_polite++) {
    start(fixture, "redis.test");
    assert_true(greets(fixture));
    assert_int_equal(SSL_write(fixture->server, "bye", 3), 3);
    if (is_polite)
      SSL_shutdown(fixture->server);
    close(fixture->theirs);
    fixture->theirs = -1;
    assert_int_equal(link_tls_read(fixture->session, bytes, sizeof(bytes)), 3);
    assert_int_equal(link_tls_read(fixture->session, bytes, sizeof(bytes)), ERR_NETWORK);
    assert_string_equal(link_tls_reason(fixture->session), "the server closed the connection");
    assert_int_equal(link_tls_write(fixture->session, "?", 1), ERR_NETWORK);
    hang_up(fixture);
  }
}

/* Such as why it does not want us. */
static void what_a_server_said_last_is_read_though_nothing_can_be_written(void **state) {
  struct fixture *fixture = *state;
  char bytes[LINK_TLS_READ_SIZE];
  start(fixture, "redis.test");
  assert_true(greets(fixture));
  assert_int_equal(SSL_write(fixture->server, "bye", 3), 3);
  close(fixture->theirs);
  fixture->theirs = -1;
  assert_int_equal(link_tls_write(fixture->session, "?", 1), ERR_NETWORK);
  assert_string_equal(link_tls_reason(fixture->session), strerror(EPIPE));
  assert_int_equal(link_tls_read(fixture->session, bytes, sizeof(bytes)), 3);
  assert_memory_equal(bytes, "bye", 3);
}

/* That the server hangs up because of it does not hide it. */
static void the_first_reason_stays(void **state) {
  struct fixture *fixture = *state;
  char bytes[LINK_TLS_READ_SIZE];
  start(fixture, "other.test");
  assert_false(greets(fixture));
  close(fixture->theirs);
  fixture->theirs = -1;
  assert_int_equal(link_tls_read(fixture->session, bytes, sizeof(bytes)), ERR_NETWORK);
  assert_int_equal(link_tls_write(fixture->session, "?", 1), ERR_NETWORK);
  assert_non_null(strstr(link_tls_reason(fixture->session), "certificate verify failed"));
}

static void a_server_without_tls_is_told(void **state) {
  struct fixture *fixture = *state;
  char bytes[LINK_TLS_READ_SIZE];
  static const char says[] = "-ERR Protocol error: unexpected\r\n";
  start(fixture, "redis.test");
  assert_int_equal(link_tls_write(fixture->session, "?", 1), 0);
  assert_true(write(fixture->theirs, says, sizeof(says) - 1) > 0);
  assert_int_equal(link_tls_read(fixture->session, bytes, sizeof(bytes)), ERR_NETWORK);
  assert_string_equal(link_tls_reason(fixture->session), "TLS: the server does not speak it on this port");
}

/* Octets that somebody on the way has changed are never handed on. */
static void a_changed_octet_ends_it(void **state) {
  struct fixture *fixture = *state;
  char bytes[LINK_TLS_READ_SIZE], sealed[64];
  for (size_t at = 0; at < 40; at++) {
    start(fixture, "redis.test");
    assert_true(greets(fixture));
    int way[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, way), errno);
    SSL_set_fd(fixture->server, way[0]);
    assert_int_equal(SSL_write(fixture->server, "a route to nowhere", 18), 18);
    ssize_t length = read(way[1], sealed, sizeof(sealed));
    assert_true(length == 40); /* a head of 5 octets, 18, the kind, 16 of the tag */
    sealed[at] ^= 4;
    assert_int_equal(write(fixture->theirs, sealed, (size_t)length), length);
    ssize_t got = link_tls_read(fixture->session, bytes, sizeof(bytes));
    if (got == 0) { /* it is longer now, and its end never comes */
      close(fixture->theirs);
      fixture->theirs = -1;
      got = link_tls_read(fixture->session, bytes, sizeof(bytes));
    }
    assert_int_equal(got, ERR_NETWORK);
    close(way[0]);
    close(way[1]);
    hang_up(fixture);
  }
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(files_that_are_no_use_are_named),
      TEST(keys_that_cannot_be_used_are_refused_at_once),
      TEST(a_key_of_another_certificate_is_refused),
      TEST(the_certificate_must_be_for_the_host_or_the_name_that_is_set),
      TEST(without_a_host_nothing_is_trusted),
      TEST(an_unknown_or_expired_certificate_is_refused),
      TEST(a_common_name_is_not_enough),
      TEST(versions_before_1_2_are_refused),
      TEST(a_server_that_wants_a_certificate_is_shown_one),
      TEST(records_without_data_are_read_one_at_a_time),
      TEST(streams_are_whole_both_ways),
      TEST(a_write_that_waits_for_the_server_says_so),
      TEST(a_server_that_ends_is_told),
      TEST(what_a_server_said_last_is_read_though_nothing_can_be_written),
      TEST(the_first_reason_stays),
      TEST(a_server_without_tls_is_told),
      TEST(a_changed_octet_ends_it),
  };
  return cmocka_run_group_tests_name("link_tls", tests, NULL, NULL);
}
