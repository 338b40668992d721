/*
 * rediserror: what an error reply of a Redis server means.
 *
 * Redis begins an error with a word of capitals: "-LOADING Redis is loading the dataset in memory". The word
 * is what is judged; the rest is for people, and comes from the server: log it, never act on it.
 *
 * Pure, but for rediserror_log, which writes to the log: each kind once a minute.
 */
#ifndef MXWAY_DAEMON_REDISERROR_H
#define MXWAY_DAEMON_REDISERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, "beginning of the text", what it concerns, "what to do about it") */
#define REDISERROR_TABLE(X)                                                                                  \
  X(LOADING, "LOADING", SERVER, "the server is still loading its data")                                      \
  X(BUSY, "BUSY", SERVER, "a script keeps the server busy")                                                  \
  X(MASTERDOWN, "MASTERDOWN", SERVER, "the replica has lost its master and answers nothing")                 \
  X(NOAUTH, "NOAUTH", SERVER,                                                                                \
    "the server wants a password: see redis-password-file (a sentinel: redis-sentinel-password-file)")       \
  X(WRONGPASS, "WRONGPASS", SERVER,                                                                          \
    "the server does not take the user and password of redis-user and "                                      \
    "redis-password-file (a sentinel: of redis-sentinel-user and -password-file)")                           \
  X(BAD_PASSWORD, "ERR invalid password", SERVER,                                                            \
    "the server does not take the password of "                                                              \
    "redis-password-file")                                                                                   \
  X(NO_PASSWORD, "ERR AUTH", SERVER,                                                                         \
    "the server has no password, or no users: see redis-password-file (a sentinel: "                         \
    "redis-sentinel-password-file)")                                                                         \
  X(NO_PASSWORD_SET, "ERR Client sent AUTH", SERVER, "the server has no password: see redis-password-file")  \
  X(DENIED, "DENIED", SERVER, "the server is in protected mode and takes connections of its machine only")   \
  X(FULL, "ERR max number of clients", SERVER, "the server has all the clients it takes")                    \
  X(NO_DATABASE, "ERR DB index", SERVER, "the server has no such database: see redis-database")              \
  X(NOPERM, "NOPERM", COMMAND, "the user may not do this: see the server's ACL and redis-user")              \
  X(MISCONF, "MISCONF", WRITE, "the server cannot save to its disk and takes no writes")                     \
  X(OOM, "OOM", WRITE, "the server is at its maxmemory and evicts nothing")                                  \
  X(READONLY, "READONLY", WRITE, "the server is a replica")                                                  \
  X(NOREPLICAS, "NOREPLICAS", WRITE, "the server has too few replicas and takes no writes")                  \
  X(CLUSTERDOWN, "CLUSTERDOWN", KEY, "the cluster does not serve this key now")                              \
  X(MOVED, "MOVED", KEY, "another server of a cluster has this key: see redis-topology")                     \
  X(ASK, "ASK", KEY, "another server of a cluster is about to have this key: see redis-topology")            \
  X(TRYAGAIN, "TRYAGAIN", KEY, "a cluster is moving this key")                                               \
  X(CROSSSLOT, "CROSSSLOT", COMMAND, "the keys of one command lie on different servers of a cluster")        \
  X(WRONGTYPE, "WRONGTYPE", COMMAND, "somebody else has put another type under this key")                    \
  X(TOOLARGE, "TOOLARGE", COMMAND, "somebody else has put too much under this key") /* of room link */       \
  X(OTHER, "", COMMAND, "not an answer that was expected")

enum rediserror {
#define REDISERROR_ENUM(name, word, scope, advice) REDISERROR_##name,
  REDISERROR_TABLE(REDISERROR_ENUM)
#undef REDISERROR_ENUM
      REDISERROR_COUNT
};

/* What an error concerns: every command to this server, every write to it, commands for one key (another
 * server may have it), or this command. */
enum rediserror_scope { REDISERROR_SERVER, REDISERROR_WRITE, REDISERROR_KEY, REDISERROR_COMMAND };

/* `text` is that of the error reply, without the '-', and need not end in a zero. */
enum rediserror rediserror_parse(const char *text, size_t length);

enum rediserror_scope rediserror_scope(enum rediserror error);

/* Whether the server is of no use to anybody for now: asking it again at once is in vain. */
bool rediserror_is_useless(enum rediserror error);

/* A clause for people; static storage. */
const char *rediserror_advice(enum rediserror error);

/* Copies what a server has said, for people and their terminals: octets that are not printable ASCII become
 * '?'; what does not fit into `size`, a zero included, is left out. `to` may be `text`. */
void rediserror_quote(char *to, size_t size, const char *text, size_t length);

enum { REDISERROR_LOG_MS = 60000 };

/* Who has logged what; zeroed before first use. */
struct rediserror_log {
  int64_t next_at_ms[REDISERROR_COUNT]; /* 0: at once */
  uint32_t unsaid[REDISERROR_COUNT];    /* since the last line */
};

/* Logs an error that `server` has answered, unless one of its kind was logged less than a minute ago.
 * Returns whether it was. */
bool rediserror_log(struct rediserror_log *log, enum rediserror error, const char *text, size_t length,
                    const char *server, int64_t now_ms);

#endif
