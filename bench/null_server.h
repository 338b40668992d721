/*
 * null_server: the least that a server on a lookup socket can be, in a process of its own.
 *
 * libev and one thread like a frontend of the daemon; reads frames, takes the id out and sends a constant
 * reply of the length asked for with that id: what the socket, the loop and the frames cost, and nothing
 * else. Listens on an abstract Unix socket and dies with its parent.
 */
#ifndef MXWAY_BENCH_NULL_SERVER_H
#define MXWAY_BENCH_NULL_SERVER_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

enum { NULL_SERVER_REPLY_MIN = 16, NULL_SERVER_REPLY_MAX = 65536 };

/* Starts the process; replies have `reply_bytes` octets with their frame's header (one or two more or
 * fewer with the length of the id). Returns its pid and fills the address, or a negative errno. Requires that
 * no other thread runs. */
pid_t null_server_start(size_t reply_bytes, struct sockaddr_un *address, socklen_t *address_length);

/* Ends the process and waits for its end. */
void null_server_stop(pid_t pid);

#endif
