#include "redis/link_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/secret.h"

enum { REASON_SIZE = 160 };

struct link_tls {
  SSL_CTX *context;
  char *name; /* NULL: the host */
};

struct link_tls_session {
  SSL *ssl;
  bool reads_when_writable, writes_when_readable;
  bool is_over; /* OpenSSL must not be asked again: the first reason stays */
  char reason[REASON_SIZE];
};

/* ---- settings ---- */

static bool is_given(const char *text) { return text && *text; }

/* What OpenSSL said last in this thread, which is forgotten then. */
static const char *last_error(void) {
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason ? reason : "unknown error";
}

static int fail(char error[LINK_TLS_ERROR_SIZE], const char *option, const char *file, const char *why) {
  snprintf(error, LINK_TLS_ERROR_SIZE, "%s: %.120s: %s", option, file, why);
  return ERR_CONFIG;
}

/* OpenSSL would wait for ever where a file is a pipe, and cannot say why a file cannot be opened. */
static int check_file(const char *option, const char *path, char error[LINK_TLS_ERROR_SIZE]) {
  struct stat about;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0 || fstat(file, &about) != 0) {
    int reason = errno;
    if (file >= 0)
      close(file);
    return fail(error, option, path, strerror(reason));
  }
  close(file);
  return S_ISREG(about.st_mode) ? 0 : fail(error, option, path, "is not a regular file");
}

/* Asks nobody for the pass phrase of a key, but notes that there should be one. */
static int on_pass_phrase(char *phrase, int size, int is_writing, void *is_wanted) {
  (void)phrase, (void)size, (void)is_writing;
  *(bool *)is_wanted = true;
  return -1;
}

static int read_key(SSL_CTX *context, const char *path, char error[LINK_TLS_ERROR_SIZE]) {
  char reason[SECRET_REASON_SIZE];
  bool is_locked = false;
  int file = secret_open(path, reason);
  if (file < 0) {
    snprintf(error, LINK_TLS_ERROR_SIZE, "redis-tls-key: %.200s", reason);
    return ERR_CONFIG;
  }
  close(file);
  SSL_CTX_set_default_passwd_cb(context, on_pass_phrase);
  SSL_CTX_set_default_passwd_cb_userdata(context, &is_locked);
  int is_read = SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM);
  SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
  if (is_read == 1)
    return 0;
  /* It may be that of another certificate, too. */
  return fail(error, "redis-tls-key", path,
              is_locked ? "has a pass phrase: expected a key without one" : last_error());
}

static int read_files(SSL_CTX *context, const struct link_tls_options *options,
                      char error[LINK_TLS_ERROR_SIZE]) {
  ERR_clear_error();
  int status = is_given(options->ca) ? check_file("redis-tls-ca", options->ca, error) : 0;
  if (status != 0)
    return status;
  if (is_given(options->ca) ? SSL_CTX_load_verify_locations(context, options->ca, NULL) != 1
                            : SSL_CTX_set_default_verify_paths(context) != 1)
    return fail(error, "redis-tls-ca", is_given(options->ca) ? options->ca : "those of the system",
                last_error());
  if (!is_given(options->cert))
    return 0;
  if ((status = check_file("redis-tls-cert", options->cert, error)) != 0)
    return status;
  if (SSL_CTX_use_certificate_chain_file(context, options->cert) != 1)
    return fail(error, "redis-tls-cert", options->cert, last_error());
  return read_key(context, options->key, error);
}

static SSL_CTX *make_context(void) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  if (!context)
    return NULL;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  /* What waits may have moved and grown since it was refused. */
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  /* Of what is no data one record at a time: else a flood of them would hold the loop up. */
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  return context;
}

int link_tls_create(const struct link_tls_options *options, struct link_tls **tls,
                    char error[LINK_TLS_ERROR_SIZE]) {
  struct link_tls *made = calloc(1, sizeof(*made));
  int status = ERR_CONFIG;
  snprintf(error, LINK_TLS_ERROR_SIZE, "%s", error_text(ERR_NOMEM));
  if (!made)
    return status;
  if (is_given(options->name) && !(made->name = strdup(options->name)))
    goto failed;
  if (!(made->context = make_context()))
    goto failed;
  if ((status = read_files(made->context, options, error)) != 0)
    goto failed;
  *tls = made;
  return 0;
failed:
  link_tls_destroy(made);
  return status;
}

void link_tls_destroy(struct link_tls *tls) {
  if (!tls)
    return;
  SSL_CTX_free(tls->context);
  free(tls->name);
  free(tls);
}

/* ---- sessions ---- */

/* The certificate must be for `name`, which is an address or a name; a name is told to the server, too (SNI).
 */
static bool expect_name(SSL *ssl, const char *name) {
  unsigned char address[sizeof(struct in6_addr)];
  if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int link_tls_open(const struct link_tls *tls, int fd, const char *host, struct link_tls_session **session) {
  struct link_tls_session *made = calloc(1, sizeof(*made));
  if (!made)
    return ERR_NOMEM;
  int status = ERR_NOMEM;
  if (!(made->ssl = SSL_new(tls->context)) || SSL_set_fd(made->ssl, fd) != 1)
    goto failed;
  status = ERR_CONFIG;
  const char *name = tls->name ? tls->name : host;
  if (!*name || !expect_name(made->ssl, name)) /* SSL_set1_host takes "" for any name */
    goto failed;
  SSL_set_connect_state(made->ssl);
  *session = made;
  return 0;
failed:
  link_tls_close(made);
  ERR_clear_error();
  return status;
}

void link_tls_close(struct link_tls_session *session) {
  if (!session)
    return;
  SSL_free(session->ssl);
  free(session);
}

/* Keeps why it has ended. */
static int end(struct link_tls_session *session, int error, int system_error) {
  long verdict = SSL_get_verify_result(session->ssl);
  unsigned long code = ERR_peek_last_error();
  session->is_over = error != SSL_ERROR_SYSCALL;
  if (error == SSL_ERROR_ZERO_RETURN || (error == SSL_ERROR_SYSCALL && system_error == 0))
    snprintf(session->reason, REASON_SIZE, "the server closed the connection");
  else if (error == SSL_ERROR_SYSCALL)
    snprintf(session->reason, REASON_SIZE, "%s", strerror(system_error));
  else if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK)
    snprintf(session->reason, REASON_SIZE, "TLS: certificate verify failed: %.100s; see %s",
             X509_verify_cert_error_string(verdict),
             verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH
                 ? "redis-tls-name"
                 : "redis-tls-ca");
  else if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
    snprintf(session->reason, REASON_SIZE, "the server closed the connection");
  else if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
    snprintf(session->reason, REASON_SIZE, "TLS: the server does not speak it on this port");
  else if (ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET) /* an alert */
    snprintf(session->reason, REASON_SIZE, "TLS: the server says \"%.80s\"; see redis-tls-cert",
             last_error());
  else
    snprintf(session->reason, REASON_SIZE, "TLS: %.140s", last_error());
  ERR_clear_error();
  return ERR_NETWORK;
}

/* What a call that has returned `result` means; `*waits_for_other` is whether it waits for `other`. */
static ssize_t judge(struct link_tls_session *session, int result, int other, bool *waits_for_other) {
  int system_error = errno;
  *waits_for_other = false;
  if (result > 0)
    return result;
  int error = SSL_get_error(session->ssl, result);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
    return end(session, error, system_error);
  *waits_for_other = error == other;
  return 0;
}

static int limited(size_t length) { return length > INT_MAX ? INT_MAX : (int)length; }

ssize_t link_tls_read(struct link_tls_session *session, void *bytes, size_t size) {
  if (session->is_over)
    return ERR_NETWORK;
  ERR_clear_error();
  errno = 0;
  return judge(session, SSL_read(session->ssl, bytes, limited(size)), SSL_ERROR_WANT_WRITE,
               &session->reads_when_writable);
}

ssize_t link_tls_write(struct link_tls_session *session, const void *bytes, size_t length) {
  if (session->is_over)
    return ERR_NETWORK;
  ERR_clear_error();
  errno = 0;
  return judge(session, SSL_write(session->ssl, bytes, limited(length)), SSL_ERROR_WANT_READ,
               &session->writes_when_readable);
}

bool link_tls_reads_when_writable(const struct link_tls_session *session) {
  return session->reads_when_writable;
}

bool link_tls_writes_when_readable(const struct link_tls_session *session) {
  return session->writes_when_readable;
}

const char *link_tls_reason(const struct link_tls_session *session) { return session->reason; }
