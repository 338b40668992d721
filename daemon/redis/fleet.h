/*
 * fleet: the Redis servers of the shared store: one, the master that sentinels name, or a cluster. Finds the
 * server that has a key, sends a command there, and follows the topology as it changes.
 *
 * single: one server, and another one for reading where `read` is set; while that is away the first is read.
 * sentinel: the master (room master). A write that is refused with READONLY puts it in doubt.
 * cluster: the server that has the slot of the key (room cluster). MOVED and ASK are followed,
 * FLEET_MOVES_MAX a call, within its time; only commands of one key.
 *
 * All else that a server answers is the caller's: errors, too. Nothing waits for a connection: a command
 * whose server is not up is refused at once, or, where it was sent on to such a server, answered NULL.
 *
 * Bounds: `max_commands` that are not answered yet, in all and on each connection; MEMBERS_MAX connections,
 * and those to the sentinels; in a cluster a command is copied until it is answered.
 * One thread, one libev loop. Reads the clock.
 */
#ifndef MXWAY_DAEMON_FLEET_H
#define MXWAY_DAEMON_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/ear.h"
#include "redis/link.h"

enum fleet_topology { FLEET_SINGLE, FLEET_SENTINEL, FLEET_CLUSTER };
enum fleet_purpose { FLEET_READ, FLEET_WRITE };
enum { FLEET_SEEDS_MAX = 16, FLEET_MOVES_MAX = 2, FLEET_SENTINEL_PORT = 26379, FLEET_TEXT_SIZE = 160 };
enum { FLEET_SERVERS_MAX = 128 }; /* that have keys */

/* Texts are "" or NULL where there is none, and lent as long as the fleet lives. */
struct fleet_options {
  enum fleet_topology topology;
  struct link_target seeds[FLEET_SEEDS_MAX]; /* the server; the sentinels; servers of the cluster */
  size_t seed_count;                         /* 1 to FLEET_SEEDS_MAX; single: 1 */
  struct link_target read;                   /* single only */
  bool has_read;
  const char *master; /* sentinel: the name that they know it by */
  const char *user, *password, *sentinel_user, *sentinel_password;
  uint32_t database;           /* a cluster has only 0 */
  const struct link_tls *tls;  /* of all connections; NULL: none; lent */
  uint32_t connect_timeout_ms; /* as in link_options */
  uint32_t max_commands;
};

struct ev_loop;
struct fleet;
struct fleet_call;

/* Begins to connect when the loop runs. Copies `*options`, but see there. Returns 0 and gives `*fleet`, or
 * ERR_NOMEM. */
int fleet_create(struct ev_loop *loop, const struct fleet_options *options, struct fleet **fleet);

/* Ends everything; no callback follows. Never inside a callback of the fleet. destroy(NULL) is fine. */
void fleet_destroy(struct fleet *fleet);

/* Sends `command`, lent for the call, to the server that has `key`. Returns 0 and gives `*call` (may be NULL:
 * nobody will cancel); then `done` is called exactly once, within `timeout_ms` however often the command is
 * sent on, never before this returns and never after fleet_cancel; the call is gone when it is called. Or
 * ERR_NETWORK (the server is not up, or not known; costs nothing), ERR_OVERLOAD (max_commands), ERR_NOMEM. */
int fleet_send(struct fleet *fleet, enum fleet_purpose purpose, const char *key, size_t key_length,
               const struct link_command *command, uint32_t timeout_ms, link_reply_fn *done, void *context,
               struct fleet_call **call);

/* The servers whose keys together are all that there is to read, as far as they are known now (not all need
 * be up): the one at `place`, from 0 to FLEET_SERVERS_MAX - 1. False where there is none; others may have
 * one. */
bool fleet_server(const struct fleet *fleet, size_t place, struct link_target *target);

/* As fleet_send, a command for reading that names no key, to the one of these servers that is at `target`:
 * ERR_NETWORK where it is none of them any more, too. */
int fleet_send_to(struct fleet *fleet, const struct link_target *target, const struct link_command *command,
                  uint32_t timeout_ms, link_reply_fn *done, void *context, struct fleet_call **call);

/* `done` will not be called; it has not been. The command may be carried out all the same. */
void fleet_cancel(struct fleet_call *call);

/* Whether some server is up for `purpose`. */
bool fleet_is_up(const struct fleet *fleet, enum fleet_purpose purpose);

/* For `mxway stats`. */
struct fleet_view {
  size_t server_count, up_count; /* servers that are asked: the sentinels do not count */
  uint32_t latency_us;           /* smoothed, the mean of those that are up; 0: none yet */
  uint64_t moved, asked;         /* times that a command was sent on, by MOVED and by ASK */
  char text[FLEET_TEXT_SIZE];    /* "up, 1 of 1 servers, 84 us", "down: connection refused" */
};

void fleet_look(const struct fleet *fleet, struct fleet_view *view);

/* Subscribes to a channel, for as long as the fleet lives: at the server, at whatever server is the master,
 * or at any of the cluster, which pass messages on to each other. `on_up` is called each time that it is
 * subscribed (again): what was published before is lost. `channel` is lent as long as the fleet lives.
 * Returns 0, ERR_NOMEM, or ERR_OVERLOAD: there is one already. */
int fleet_subscribe(struct fleet *fleet, const char *channel, link_message_fn *on_message, ear_up_fn *on_up,
                    void *context);

#endif
