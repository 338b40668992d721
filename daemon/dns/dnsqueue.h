/*
 * dnsqueue: queries that wait for their turn, in classes of importance.
 *
 * The more important first, within a class the one that came first. Nodes live inside the caller's objects.
 * One thread.
 */
#ifndef MXWAY_DAEMON_DNSQUEUE_H
#define MXWAY_DAEMON_DNSQUEUE_H

#include <stdbool.h>

enum { DNSQUEUE_CLASSES = 3 }; /* 0 is the most important */

struct dnsqueue_list;

struct dnsqueue_node {
  struct dnsqueue_node *previous, *next;
  struct dnsqueue_list *list; /* that it is in; or NULL */
  unsigned priority;
  bool is_waiting; /* in a queue */
};

struct dnsqueue_list {
  struct dnsqueue_node *first, *last;
  unsigned count;
};

struct dnsqueue {
  struct dnsqueue_list classes[DNSQUEUE_CLASSES];
};

void dnsqueue_list_append(struct dnsqueue_list *list, struct dnsqueue_node *node);
void dnsqueue_list_remove(struct dnsqueue_list *list, struct dnsqueue_node *node);

/* Puts a node, which is in no list, behind those of its class. */
void dnsqueue_put(struct dnsqueue *queue, struct dnsqueue_node *node, unsigned priority);

/* Removes a node that waits. */
void dnsqueue_remove(struct dnsqueue *queue, struct dnsqueue_node *node);

/* Takes out the node whose turn it is; NULL: none waits. */
struct dnsqueue_node *dnsqueue_take(struct dnsqueue *queue);

/* Takes out the newest of the least important class, where that is less important than `priority`; else NULL.
 */
struct dnsqueue_node *dnsqueue_shed(struct dnsqueue *queue, unsigned priority);

/* How many wait. */
unsigned dnsqueue_count(const struct dnsqueue *queue);

#endif
