#include "resolve/forgotten.h"

#include <assert.h>

static void forget_every(struct forgotten *forgotten, uint64_t number, unsigned kinds) {
  for (unsigned kind = 0; kind < FORGOTTEN_KINDS_MAX; kind++)
    if (kinds >> kind & 1 && forgotten->every[kind] < number)
      forgotten->every[kind] = number;
}

static void forget_below(struct forgotten *forgotten, uint64_t number, const struct name *suffix,
                         unsigned kinds) {
  struct forgotten_below *below = &forgotten->below[forgotten->next];
  forget_every(forgotten, below->number, below->kinds);
  *below = (struct forgotten_below){number, kinds, *suffix};
  forgotten->next = (forgotten->next + 1) % FORGOTTEN_BELOW_MAX;
}

void forgotten_add(struct forgotten *forgotten, const struct name *suffix, unsigned kinds) {
  uint64_t number = ++forgotten->number;
  if (suffix)
    forget_below(forgotten, number, suffix, kinds);
  else
    forget_every(forgotten, number, kinds);
}

bool forgotten_has(const struct forgotten *forgotten, uint64_t since, unsigned kind, const char *name,
                   size_t length) {
  assert(kind < FORGOTTEN_KINDS_MAX);
  if (forgotten->every[kind] > since)
    return true;
  for (size_t i = 0; since < forgotten->number && i < FORGOTTEN_BELOW_MAX; i++) {
    const struct forgotten_below *below = &forgotten->below[i];
    if (below->number > since && below->kinds >> kind & 1 && name_is_below(name, length, &below->suffix))
      return true;
  }
  return false;
}
