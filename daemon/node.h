/*
 * node: the running daemon.
 *
 * Creates every room in order, runs their threads (one resolver, the
 * configured number of frontends), stops and destroys them in reverse. With main the
 * only one that knows all rooms; the upward calls are handed out here.
 */
#ifndef MXWAY_DAEMON_NODE_H
#define MXWAY_DAEMON_NODE_H

#include "config/config.h"

struct node;

/* Creates everything and binds the socket; logs what fails. `config` is lent until destroy.
 * Returns 0 and gives `*node`, or ERR_IN_USE, ERR_CONFIG, ERR_SYSTEM or ERR_NOMEM. */
int node_create(const struct config *config, struct node **node);

/* Starts the threads. Returns 0, or ERR_SYSTEM with no thread left running. */
int node_start(struct node *node);

/* Stops reading from clients; lets lookups under way finish for 2 s, then answers them
 * with SHUTDOWN; joins the threads; writes the last snapshot. Takes at most 4.5 s, and what fsync takes. */
void node_stop(struct node *node);

/* destroy(NULL) is fine. Not between start and stop. */
void node_destroy(struct node *node);

#endif
