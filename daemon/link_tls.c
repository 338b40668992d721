#include "link_tls.h"

#include <stdio.h>

#include "error.h"

#ifdef MXWAY_HAS_TLS

#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct link_tls {
  SSL_CTX *context;
  char *name; /* NULL: the host */
};

bool link_tls_is_built(void) { return true; }

static bool is_given(const char *text) { return text && *text; }

static const char *last_error(void) {
  const char *reason = link_tls_reason();
  return reason ? reason : "unknown error";
}

static int fail(char error[LINK_TLS_ERROR_SIZE], const char *what, const char *file) {
  snprintf(error, LINK_TLS_ERROR_SIZE, "%s %.120s: %s", what, file, last_error());
  return ERR_CONFIG;
}

static int read_files(SSL_CTX *context, const struct link_tls_options *options,
                      char error[LINK_TLS_ERROR_SIZE]) {
  ERR_clear_error();
  if (is_given(options->ca) ? SSL_CTX_load_verify_locations(context, options->ca, NULL) != 1
                            : SSL_CTX_set_default_verify_paths(context) != 1)
    return fail(error, "cannot read the CA certificates",
                is_given(options->ca) ? options->ca : "of the system");
  if (!is_given(options->cert))
    return 0;
  if (SSL_CTX_use_certificate_chain_file(context, options->cert) != 1)
    return fail(error, "cannot read the certificate", options->cert);
  if (SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM) != 1)
    return fail(error, "cannot read the key", options->key);
  if (SSL_CTX_check_private_key(context) != 1)
    return fail(error, "the key is not that of the certificate", options->cert);
  return 0;
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
  if (!(made->context = SSL_CTX_new(TLS_client_method())))
    goto failed;
  SSL_CTX_set_min_proto_version(made->context, TLS1_2_VERSION);
  SSL_CTX_set_verify(made->context, SSL_VERIFY_PEER, NULL);
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

/* The certificate must be for `name`, which is an address or a name; a name is told to the server, too (SNI).
 */
static bool expect_name(SSL *ssl, const char *name) {
  unsigned char address[sizeof(struct in6_addr)];
  if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

bool link_tls_start(const struct link_tls *tls, struct redisContext *redis, const char *host,
                    char error[LINK_TLS_ERROR_SIZE]) {
  SSL *ssl = SSL_new(tls->context);
  if (!ssl || !expect_name(ssl, tls->name ? tls->name : host)) {
    snprintf(error, LINK_TLS_ERROR_SIZE, "TLS: %s", last_error());
  } else if (redisInitiateSSL(redis, ssl) == REDIS_OK) {
    return true;
  } else {
    snprintf(error, LINK_TLS_ERROR_SIZE, "TLS: %.120s", redis->errstr);
  }
  SSL_free(ssl);
  return false;
}

const char *link_tls_reason(void) {
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason;
}

#else

bool link_tls_is_built(void) { return false; }

int link_tls_create(const struct link_tls_options *options, struct link_tls **tls,
                    char error[LINK_TLS_ERROR_SIZE]) {
  (void)options, (void)tls;
  snprintf(
      error, LINK_TLS_ERROR_SIZE,
      "this mxwayd has no TLS: it was built without hiredis_ssl (hiredis 1.0 and newer). Use a TLS tunnel "
      "such as stunnel beside it, and give redis its socket or loopback port");
  return ERR_CONFIG;
}

void link_tls_destroy(struct link_tls *tls) { (void)tls; }

bool link_tls_start(const struct link_tls *tls, struct redisContext *redis, const char *host,
                    char error[LINK_TLS_ERROR_SIZE]) {
  (void)tls, (void)redis, (void)host;
  snprintf(error, LINK_TLS_ERROR_SIZE, "TLS: not built in");
  return false;
}

const char *link_tls_reason(void) { return NULL; }

#endif
