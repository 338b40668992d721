#include "dns/dnsqueue.h"

#include <assert.h>
#include <stddef.h>

void dnsqueue_list_append(struct dnsqueue_list *list, struct dnsqueue_node *node) {
  node->list = list;
  node->previous = list->last;
  node->next = NULL;
  *(list->last ? &list->last->next : &list->first) = node;
  list->last = node;
  list->count++;
}

void dnsqueue_list_remove(struct dnsqueue_list *list, struct dnsqueue_node *node) {
  *(node->previous ? &node->previous->next : &list->first) = node->next;
  *(node->next ? &node->next->previous : &list->last) = node->previous;
  node->list = NULL;
  list->count--;
}

void dnsqueue_put(struct dnsqueue *queue, struct dnsqueue_node *node, unsigned priority) {
  assert(priority < DNSQUEUE_CLASSES);
  node->priority = priority;
  node->is_waiting = true;
  dnsqueue_list_append(&queue->classes[priority], node);
}

void dnsqueue_remove(struct dnsqueue *queue, struct dnsqueue_node *node) {
  dnsqueue_list_remove(&queue->classes[node->priority], node);
  node->is_waiting = false;
}

struct dnsqueue_node *dnsqueue_take(struct dnsqueue *queue) {
  for (unsigned i = 0; i < DNSQUEUE_CLASSES; i++) {
    struct dnsqueue_node *node = queue->classes[i].first;
    if (node) {
      dnsqueue_remove(queue, node);
      return node;
    }
  }
  return NULL;
}

struct dnsqueue_node *dnsqueue_shed(struct dnsqueue *queue, unsigned priority) {
  for (unsigned i = DNSQUEUE_CLASSES - 1; i > priority; i--) {
    struct dnsqueue_node *node = queue->classes[i].last;
    if (node) {
      dnsqueue_remove(queue, node);
      return node;
    }
  }
  return NULL;
}

unsigned dnsqueue_count(const struct dnsqueue *queue) {
  unsigned count = 0;
  for (unsigned i = 0; i < DNSQUEUE_CLASSES; i++)
    count += queue->classes[i].count;
  return count;
}
