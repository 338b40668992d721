#include "leases.h"

void leases_put(struct leases *leases, uint64_t hash, int64_t until_ms) {
  leases->held[hash % LEASES_COUNT].hash = hash;
  leases->held[hash % LEASES_COUNT].until_ms = until_ms;
}

bool leases_has(const struct leases *leases, uint64_t hash, int64_t now_ms) {
  return leases->held[hash % LEASES_COUNT].hash == hash &&
         leases->held[hash % LEASES_COUNT].until_ms > now_ms;
}

bool leases_remove(struct leases *leases, uint64_t hash, int64_t now_ms) {
  bool had = leases_has(leases, hash, now_ms);
  if (had)
    leases->held[hash % LEASES_COUNT].until_ms = 0;
  return had;
}
