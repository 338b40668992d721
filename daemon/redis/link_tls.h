/*
 * link_tls: TLS to Redis servers, on sockets that do not block.
 *
 * Read from and written to with OpenSSL itself, so that it works with every hiredis. The certificate of the
 * server is checked against a CA and against the name that was connected to, which must be among its subject
 * alternative names (RFC 9525, 6.3: not only its common name); TLS 1.2 at least, and no renegotiation. The
 * handshake is part of the first write or read. One thread a session; the settings may be shared.
 */
#ifndef MXWAY_DAEMON_LINK_TLS_H
#define MXWAY_DAEMON_LINK_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
  LINK_TLS_ERROR_SIZE = 256,
  LINK_TLS_READ_SIZE =
      16 * 1024, /* what a record holds: whoever reads so much at once leaves nothing behind */
};

struct link_tls;
struct link_tls_session;

/* "" or NULL: none of it. */
struct link_tls_options {
  const char *ca;         /* file of certificates; none: those of the system */
  const char *cert, *key; /* files of ours, for servers that ask for them: both or neither */
  const char *name;       /* what the certificate must be for; none: the host connected to */
};

/* Reads the files; no pass phrase is asked for, and a key that others than owner and group may read is
 * refused. Returns 0; or ERR_CONFIG, with a sentence in `error` that begins with the option (redis-tls-ca and
 * so on). */
int link_tls_create(const struct link_tls_options *options, struct link_tls **tls,
                    char error[LINK_TLS_ERROR_SIZE]);

/* Sessions may outlive it. */
void link_tls_destroy(struct link_tls *tls);

/* Begins TLS on the connected socket `fd`, which stays the caller's. `host` is the name or address connected
 * to. Returns 0; or ERR_NOMEM, or ERR_CONFIG: `host` is no name that a certificate could be for. */
int link_tls_open(const struct link_tls *tls, int fd, const char *host, struct link_tls_session **session);

/* Frees; nothing is said to the server. */
void link_tls_close(struct link_tls_session *session);

/* Reads at most `size` octets, LINK_TLS_READ_SIZE or more. Returns how many; 0 where there are none for now;
 * or ERR_NETWORK where it has ended: link_tls_reason says why. */
ssize_t link_tls_read(struct link_tls_session *session, void *bytes, size_t size);

/* Writes at most `length` octets, 1 or more. Returns how many; 0 where the socket takes none for now, the
 * next call is to begin with the same octets then; or ERR_NETWORK as above. */
ssize_t link_tls_write(struct link_tls_session *session, const void *bytes, size_t length);

/* Whether the last read, or the last write, returned 0 because TLS must do the other thing first. */
bool link_tls_reads_when_writable(const struct link_tls_session *session);
bool link_tls_writes_when_readable(const struct link_tls_session *session);

/* Why it has ended: a clause for people. Lent until the session is closed. When a write has ended because the
 * socket is gone, reading may still tell what the server said last. */
const char *link_tls_reason(const struct link_tls_session *session);

#endif
