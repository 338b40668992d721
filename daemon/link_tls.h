/*
 * link_tls: TLS to Redis servers, where hiredis has it.
 *
 * hiredis has TLS from 1.0 on, in a library of its own (hiredis_ssl). Where the build has not found it,
 * link_tls_create says so. The certificate of the server is checked against a CA and against the name that
 * was connected to (RFC 9525), which hiredis itself does not do; TLS 1.2 at least.
 */
#ifndef MXWAY_DAEMON_LINK_TLS_H
#define MXWAY_DAEMON_LINK_TLS_H

#include <stdbool.h>

enum { LINK_TLS_ERROR_SIZE = 256 };

struct link_tls;
struct redisContext;

/* "" or NULL: none of it. */
struct link_tls_options {
  const char *ca;         /* file of certificates; none: those of the system */
  const char *cert, *key; /* files of ours, for servers that ask for them: both or neither */
  const char *name;       /* what the certificate must be for; none: the host connected to */
};

/* Whether this build has TLS at all. */
bool link_tls_is_built(void);

/* Reads the files. Returns 0; or ERR_CONFIG, with a sentence in `error`. */
int link_tls_create(const struct link_tls_options *options, struct link_tls **tls,
                    char error[LINK_TLS_ERROR_SIZE]);

void link_tls_destroy(struct link_tls *tls);

/* Begins TLS on a connected socket that does not block. `host` is the name or address connected to. False
 * with a clause for people in `error`. */
bool link_tls_start(const struct link_tls *tls, struct redisContext *redis, const char *host,
                    char error[LINK_TLS_ERROR_SIZE]);

/* Why TLS has failed last in this thread, which is forgotten then; NULL where it has not. Static storage. */
const char *link_tls_reason(void);

#endif
