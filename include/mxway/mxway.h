/*
 * libmxway: ask mxwayd where mail for a domain goes.
 *
 * One struct mxway is one connection to the daemon's lookup socket. It is used
 * either by blocking calls (mxway_lookup) or from any event loop (mxway_ask,
 * mxway_fd, mxway_wants, mxway_process); both may be mixed in one thread. It is not
 * thread-safe: one per thread, or a lock of your own.
 *
 * The library never aborts, prints, installs a signal handler or raises
 * SIGPIPE. A connection that is lost is made anew on the next call; what was
 * outstanding on it ends with MXWAY_ERR_DISCONNECTED.
 */
#ifndef MXWAY_MXWAY_H
#define MXWAY_MXWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define MXWAY_DEFAULT_SOCKET "/run/mxway/lookup.sock"
#define MXWAY_OUTSTANDING_MAX 1024 /* unanswered questions on one connection */

/* Numbers are those of mxway.v1 in mxway.proto, whose comments say more. */
enum mxway_depth { MXWAY_DEPTH_EXCHANGES = 0, MXWAY_DEPTH_ADDRESSES = 1 };

enum mxway_verdict {
  MXWAY_ROUTE = 1,
  MXWAY_NULL_MX = 2,
  MXWAY_NO_SUCH_DOMAIN = 3,
  MXWAY_NO_MAIL_HOST = 4,
  MXWAY_MX_HOSTS_NO_ADDRESS = 5,
  MXWAY_MX_HOSTS_TEMPFAIL = 6,
  MXWAY_MX_ALL_INVALID = 7,
  MXWAY_NO_ROUTABLE_ADDRESS = 8,
  MXWAY_LOOP_SELF_BEST = 9,
  MXWAY_PRIMARY_UNRESOLVED = 10,
  MXWAY_INVALID_NAME = 11,
  MXWAY_DNS_SERVFAIL = 12,
  MXWAY_DNS_REFUSED = 13,
  MXWAY_DNS_TIMEOUT = 14,
  MXWAY_DNS_NETWORK = 15,
  MXWAY_DNS_MALFORMED = 16,
  MXWAY_CNAME_LOOP = 17,
  MXWAY_OVERLOAD = 18,
  MXWAY_SHUTDOWN = 19,
  MXWAY_DEADLINE = 20,
  MXWAY_NOT_CACHED = 21,
  MXWAY_BAD_REQUEST = 22,
  MXWAY_REJECTED = 23
};

enum mxway_class { MXWAY_CLASS_OK, MXWAY_CLASS_PERMANENT, MXWAY_CLASS_TRANSIENT };

enum mxway_source {
  MXWAY_SOURCE_MEMORY = 1,
  MXWAY_SOURCE_SHARED = 2,
  MXWAY_SOURCE_DNS = 3,
  MXWAY_SOURCE_LITERAL = 4,
  MXWAY_SOURCE_OVERRIDE = 5,
  MXWAY_SOURCE_POLICY = 6
};

enum mxway_status {
  MXWAY_STATUS_NOT_RESOLVED = 0,
  MXWAY_STATUS_OK = 1,
  MXWAY_STATUS_NXDOMAIN = 2,
  MXWAY_STATUS_NO_ADDRESS = 3,
  MXWAY_STATUS_TEMPFAIL = 4,
  MXWAY_STATUS_CNAME_REJECTED = 5,
  MXWAY_STATUS_CNAME_LOOP = 6,
  MXWAY_STATUS_FILTERED = 7,
  MXWAY_STATUS_INVALID = 8
};

/* The order of exchanges that share one preference. */
enum mxway_order {
  MXWAY_ORDER_RANDOM = 0, /* shuffled anew for every answer */
  MXWAY_ORDER_STABLE = 1, /* alphabetical */
  MXWAY_ORDER_KEYED = 2   /* by a hash of order_key: one key keeps one exchange */
};

/* Which addresses are wanted, and in what order. ANY is what the daemon is configured to, by default both
 * families alternating, IPv6 first. */
enum mxway_family {
  MXWAY_FAMILY_ANY = 0,
  MXWAY_FAMILY_V4 = 1,
  MXWAY_FAMILY_V6 = 2,
  MXWAY_FAMILY_V4_FIRST = 3,
  MXWAY_FAMILY_V6_FIRST = 4
};

/* What goes wrong between you and the daemon. 0 is success. */
enum mxway_error {
  MXWAY_ERR_NOMEM = -1,
  MXWAY_ERR_CONNECT = -2,      /* no daemon at the socket; errno says why */
  MXWAY_ERR_DISCONNECTED = -3, /* the connection was lost before the answer */
  MXWAY_ERR_PROTOCOL = -4,     /* the daemon sent what is no reply */
  MXWAY_ERR_TIMEOUT = -5,      /* a blocking call waited longer than its bound */
  MXWAY_ERR_FULL = -6,         /* MXWAY_OUTSTANDING_MAX unanswered, or 1 MiB unsent: process first */
  MXWAY_ERR_ARGUMENT = -7      /* what cannot be asked: no domain, one over 60,000 octets, a question over
                                * 64 KiB, a NULL in a list, an address of neither 4 nor 16 octets; or a call
                                * that a callback may not make */
};

struct mxway_address {
  uint8_t length; /* 4 or 16 */
  uint8_t octets[16];
};

/* A question. Zero every field you do not set: the zero of each is its default. Texts and lists are lent for
 * the call. Until version 1.0 fields may be added anywhere: compile anew with each version. What the daemon
 * does not accept (an order_key without MXWAY_ORDER_KEYED, over 64 names and addresses) is answered
 * MXWAY_BAD_REQUEST with a `detail`. */
struct mxway_request {
  const char *domain;   /* what stands right of the @; any octets */
  size_t domain_length; /* 0: strlen(domain) */
  enum mxway_depth depth;
  uint32_t timeout_ms; /* 0: the daemon's lookup-deadline */
  enum mxway_order order;
  enum mxway_family family;
  const char *order_key;   /* with MXWAY_ORDER_KEYED; any octets; NULL: none */
  size_t order_key_length; /* 0: strlen(order_key) */
  /* The caller's own host names and addresses: exchanges at and behind itself are left out. */
  size_t self_name_count;
  const char *const *self_names;
  size_t self_address_count;
  const struct mxway_address *self_addresses;
  /* Hosts, or addresses as text, to leave out. */
  size_t exclude_count;
  const char *const *exclude;
  uint32_t max_exchanges; /* 0: the daemon's limit, 32 */
  bool primary_only;      /* only the exchanges of the best preference */
  bool no_stale;          /* no answer from expired facts */
  bool refresh;           /* ask the DNS even though the cache holds an answer */
  bool cache_only;        /* answer from memory or MXWAY_NOT_CACHED */
  bool explain;           /* tell the story of the answer; costs the daemon time */
};

struct mxway_exchange {
  uint16_t preference;
  uint16_t port; /* of a configured route; 0: 25 */
  const char *host;
  const char *expanded; /* "" where the host is no alias */
  enum mxway_status status;
  uint32_t ttl_s;
  size_t address_count;
  const struct mxway_address *addresses; /* in the order to try them */
};

/* One line of the story of an answer, for a person. */
struct mxway_story_line {
  uint32_t at_us;   /* microseconds since the daemon took the question up */
  const char *rule; /* the rule that decided and its standard: "V8 (RFC 7505 3)", or "" */
  const char *text; /* what happened */
};

/* An answer, freed by mxway_reply_free as a whole. Strings are never NULL; they
 * are as the daemon sent them, so look at them before a terminal does. Numbers
 * of enumerations may be newer than this library. */
struct mxway_reply {
  enum mxway_verdict verdict;
  uint32_t ttl_s, mx_ttl_s, age_s;
  enum mxway_source source;
  bool stale, implicit, truncated;
  bool authenticated; /* every DNS reply behind it was validated by a server trusted with that */
  const char *canonical;
  uint16_t smtp_code;          /* 0 with MXWAY_ROUTE */
  const char *enhanced_status; /* "" with MXWAY_ROUTE */
  const char *site_name;
  size_t site_id_length; /* 0 or 16 */
  uint8_t site_id[16];
  const char *detail; /* a sentence for people, why there is no route; mostly "" */
  size_t warning_count;
  const char *const *warnings; /* "mx_is_cname", ...; "UNKNOWN" */
  size_t exchange_count;
  const struct mxway_exchange *exchanges; /* in the order to try them */
  size_t story_count;                     /* 0 unless explained */
  const struct mxway_story_line *story;   /* oldest first */
};

struct mxway; /* a connection */

/* Makes a client of the daemon at `socket_path` (NULL: MXWAY_DEFAULT_SOCKET). Does not
 * connect yet. Returns NULL without memory or with too long a path; errno says
 * which (ENOMEM, ENAMETOOLONG). */
struct mxway *mxway_create(const char *socket_path);

/* Ends the connection. Every outstanding question is dropped without a call.
 * destroy(NULL) is fine. Not from inside a callback. */
void mxway_destroy(struct mxway *mxway);

/* ---- blocking ---- */

/* Asks and waits for the answer. Returns 0 and gives `*reply` (free it), or a
 * negative enum mxway_error. Waits at most the request's timeout, or 30 s, and one
 * second more; also for a place in the daemon's backlog. Calls back other questions
 * that are answered meanwhile. Where the connection had been made before this call and is
 * lost, asks once more on a new one. After MXWAY_ERR_TIMEOUT the question counts as
 * outstanding until the daemon answers it after all. */
int mxway_lookup(struct mxway *mxway, const struct mxway_request *request, struct mxway_reply **reply);

/* ---- from an event loop ---- */

/* Called once for each question, only from inside mxway_process (or a
 * blocking call): `error` 0 and `reply` lent for the time of the call, or a negative
 * error and NULL. It may ask again; it must not destroy. mxway_lookup and
 * mxway_process return MXWAY_ERR_ARGUMENT in it. */
typedef void mxway_reply_fn(void *context, int error, const struct mxway_reply *reply);

/* Puts a question. Returns 0, then `answered` is called exactly once unless the client is
 * destroyed; or a negative error, then never. Copies the request. Connects where
 * needed, but sends nothing yet: look at mxway_wants. Never waits: a full backlog is
 * MXWAY_ERR_CONNECT with errno EAGAIN. Has no deadline but the daemon's. */
int mxway_ask(struct mxway *mxway, const struct mxway_request *request, mxway_reply_fn *answered,
              void *context);

#define MXWAY_WANT_READ 1
#define MXWAY_WANT_WRITE 2

/* The descriptor to watch, -1 while not connected. May change after any call. */
int mxway_fd(const struct mxway *mxway);

/* What to watch it for: MXWAY_WANT_READ | MXWAY_WANT_WRITE; 0 without a connection. */
int mxway_wants(const struct mxway *mxway);

/* Reads and writes what is possible without blocking and calls back. Stops after
 * some 500 KiB, so watch the level, not the edge. Call when the descriptor is ready. Returns 0, or the error
 * that ended the connection, after every outstanding question was called back with it. */
int mxway_process(struct mxway *mxway);

/* Questions asked and not answered yet. */
size_t mxway_outstanding(const struct mxway *mxway);

/* ---- values ---- */

void mxway_reply_free(struct mxway_reply *reply);

/* Static texts: "ROUTE", "permanent", "DNS", "NO_ADDRESS", a sentence. A number
 * that this library does not know gives "UNKNOWN". */
const char *mxway_verdict_text(enum mxway_verdict verdict);
const char *mxway_class_text(enum mxway_class class_);
const char *mxway_source_text(enum mxway_source source);
const char *mxway_status_text(enum mxway_status status);
const char *mxway_error_text(int error);

/* Whether a sender should deliver, bounce or wait. */
enum mxway_class mxway_reply_class(const struct mxway_reply *reply);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
