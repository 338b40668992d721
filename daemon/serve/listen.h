/*
 * listen: the socket file that clients connect to.
 *
 * A socket nobody listens on any more is replaced; a living one, or a file
 * that is no socket, is left alone and named. Blocking calls, at start only.
 */
#ifndef MXWAY_DAEMON_LISTEN_H
#define MXWAY_DAEMON_LISTEN_H

/* Binds `path` as a non-blocking listening stream socket with the permission bits `mode`.
 * Makes its directory where only that is missing. Logs what is wrong. Returns 0 and gives the
 * descriptor, or ERR_IN_USE (a living server has the path) or ERR_SYSTEM. */
int listen_start(const char *path, unsigned mode, int *listen_fd);

/* Closes the descriptor and removes the file, unless another server has
 * replaced it meanwhile. */
void listen_stop(const char *path, int listen_fd);

#endif
