#include "base/stats.h"

#include <stddef.h>

static const struct {
  const char *name;
  const char *text;
} rows[STATS_COUNT] = {
#define ROW(id, name, text) [STATS_##id] = {name, text},
    STATS_TABLE(ROW)
#undef ROW
};

static _Atomic(struct stats *) newest;

void stats_register(struct stats *stats) {
  stats->next = atomic_load_explicit(&newest, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&newest, &stats->next, stats, memory_order_release,
                                                memory_order_relaxed))
    continue;
}

void stats_forget_all(void) { atomic_store_explicit(&newest, NULL, memory_order_release); }

uint64_t stats_sum(enum stats_counter counter) {
  uint64_t sum = 0;
  struct stats *stats = atomic_load_explicit(&newest, memory_order_acquire);
  for (; stats; stats = stats->next)
    sum += atomic_load_explicit(&stats->counters[counter], memory_order_relaxed);
  return sum;
}

const char *stats_name(enum stats_counter counter) { return rows[counter].name; }

const char *stats_text(enum stats_counter counter) { return rows[counter].text; }
