/*
 * error: the one list of things that go wrong in us.
 *
 * Negative numbers, returned where 0 or a positive number is success. What
 * DNS says about the world is a verdict (verdict.h), never one of these.
 */
#ifndef MXWAY_DAEMON_ERROR_H
#define MXWAY_DAEMON_ERROR_H

enum error {
  ERR_NOMEM = -1,     /* no memory */
  ERR_OVERLOAD = -2,  /* a bound of ours is reached: try again later */
  ERR_MALFORMED = -3, /* input breaks its own format */
  ERR_TOO_LARGE = -4, /* input is over its bound */
  ERR_CONFIG = -5,    /* configuration is not usable; the text says why */
  ERR_SYSTEM = -6,    /* a system call failed; errno says why */
  ERR_IN_USE = -7,    /* a socket path belongs to a living server */
  ERR_NETWORK = -8,   /* there is no connection to a server now */
};

/* The text of `error`, one of the list; static storage. */
const char *error_text(int error);

#endif
