#include "base/dueline.h"

#include <assert.h>

void dueline_put(struct dueline *line, struct dueline_node *node, void *owner, int64_t at_ms) {
  assert(!node->line);
  node->line = line;
  node->owner = owner;
  node->previous = line->last;
  node->next = NULL;
  node->at_ms = line->last && line->last->at_ms > at_ms ? line->last->at_ms : at_ms;
  *(line->last ? &line->last->next : &line->first) = node;
  line->last = node;
}

void dueline_remove(struct dueline_node *node) {
  struct dueline *line = node->line;
  if (!line)
    return;
  *(node->previous ? &node->previous->next : &line->first) = node->next;
  *(node->next ? &node->next->previous : &line->last) = node->previous;
  node->line = NULL;
}

struct dueline_node *dueline_due(const struct dueline *line, int64_t now_ms) {
  return line->first && line->first->at_ms <= now_ms ? line->first : NULL;
}

int64_t dueline_next_ms(const struct dueline *line) { return line->first ? line->first->at_ms : INT64_MAX; }
