#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target_kinds.h"

static int compare(const void *a, const void *b) {
  const struct target_exchange *one = a, *other = b;
  if (one->preference != other->preference)
    return one->preference < other->preference ? -1 : 1;
  return strcmp(one->host, other->host);
}

static bool is_there_before(const struct target_exchange *exchanges, size_t at) {
  for (size_t i = 0; i < at; i++)
    if (strcmp(exchanges[i].host, exchanges[at].host) == 0)
      return true;
  return false;
}

void target_build_routes(char routes[TARGET_ROUTES_SIZE], const char *kind, struct target_exchange *exchanges,
                         size_t count) {
  if (count > 0) /* qsort takes no NULL */
    qsort(exchanges, count, sizeof *exchanges, compare);
  size_t length = (size_t)snprintf(routes, TARGET_ROUTES_SIZE, "%s", kind);
  for (size_t i = 0; i < count && length < TARGET_ROUTES_SIZE; i++)
    if (!is_there_before(exchanges, i))
      length += (size_t)snprintf(routes + length, TARGET_ROUTES_SIZE - length, " %u %s",
                                 exchanges[i].preference, exchanges[i].host);
}
