#include "cache/pinned.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/table.h"

struct pinned {
  struct cache *cache;
  struct table exact, suffixes;
  size_t longest_suffix; /* octets */
  size_t count;
  struct pin pins[];
};

/* ---- looking up ---- */

struct key {
  const char *text;
  size_t length;
  int64_t now_ms;
};

static bool matches(const struct table_node *node, const void *key) {
  const struct pin *pin = (const struct pin *)node;
  const struct key *wanted = key;
  return pin->override->length == wanted->length &&
         memcmp(pin->override->name, wanted->text, wanted->length) == 0 &&
         pin->expires_at_ms > wanted->now_ms;
}

/* The route for the longest suffix, behind one of the dots. */
static const struct pin *find_suffix(const struct pinned *pinned, const struct name *name, int64_t now_ms) {
  const char *end = name->text + name->length;
  for (const char *dot = name->text; (dot = memchr(dot, '.', (size_t)(end - dot)));) {
    const struct key key = {++dot, (size_t)(end - dot), now_ms};
    if (key.length > pinned->longest_suffix)
      continue;
    const struct table_node *node =
        table_get(&pinned->suffixes, name_hash(key.text, key.length), matches, &key);
    if (node)
      return (const struct pin *)node;
  }
  return NULL;
}

const struct pin *pinned_find(const struct pinned *pinned, const struct name *name, uint64_t hash,
                              int64_t now_ms) {
  const struct key key = {name->text, name->length, now_ms};
  const struct pin *pin = (const struct pin *)table_get(&pinned->exact, hash, matches, &key);
  return pin || pinned->suffixes.count == 0 ? pin : find_suffix(pinned, name, now_ms);
}

/* ---- answering ---- */

static int64_t answer_expires_at_ms(const struct pin *pin, int64_t now_ms) {
  int64_t usual_ms = now_ms + PINNED_TTL_S * 1000;
  return pin->expires_at_ms < usual_ms ? pin->expires_at_ms : usual_ms;
}

uint32_t pinned_ttl_s(const struct pin *pin, int64_t now_ms) {
  int64_t left_ms = answer_expires_at_ms(pin, now_ms) - now_ms;
  return left_ms > 0 ? (uint32_t)((left_ms + 999) / 1000) : 0;
}

void pinned_build_facts(const struct pin *pin, const struct name *name, int64_t now_ms,
                        struct domain_facts *facts) {
  *facts = (struct domain_facts){.set = pin->set,
                                 .stored_at_ms = now_ms,
                                 .expires_at_ms = answer_expires_at_ms(pin, now_ms),
                                 .kind = DOMAIN_ROUTE,
                                 .name_length = name->length};
  memcpy(facts->text, name->text, name->length);
}

/* ---- building ---- */

/* When a route ends, on the monotonic clock. */
static int64_t expiry_ms(const struct override *override, int64_t now_ms, int64_t wall_ms) {
  return override->expires_at_s == INT64_MAX ? INT64_MAX : now_ms + (override->expires_at_s * 1000 - wall_ms);
}

static bool all_are_addresses(const struct exchange_set *set) {
  for (uint16_t i = 0; i < set->count; i++)
    if (!set->exchanges[i].host->is_address)
      return false;
  return true;
}

/* Interns the exchanges of `pin`; `value` is room for them. */
static bool take_exchanges(struct pinned *pinned, struct pin *pin, struct domain_value *value) {
  const struct override *override = pin->override;
  value->count = override->count;
  memcpy(value->exchanges, override->exchanges, override->count * sizeof(value->exchanges[0]));
  pin->set = cache_pin(pinned->cache, value);
  pin->is_settled = pin->set && all_are_addresses(pin->set);
  return pin->set != NULL;
}

static int add(struct pinned *pinned, const struct override *override, int64_t expires_at_ms,
               struct domain_value *value) {
  struct pin *pin = &pinned->pins[pinned->count];
  *pin = (struct pin){.override = override, .expires_at_ms = expires_at_ms};
  if (!override->rejects && !take_exchanges(pinned, pin, value))
    return ERR_NOMEM;
  pinned->count++;
  table_put(override->is_suffix ? &pinned->suffixes : &pinned->exact, &pin->node,
            name_hash(override->name, override->length));
  if (override->is_suffix && override->length > pinned->longest_suffix)
    pinned->longest_suffix = override->length;
  return 0;
}

void pinned_warn(const struct override_list *list, int64_t wall_ms) {
  char pattern[OVERRIDE_PATTERN_SIZE];
  for (size_t i = 0; i < list->count; i++)
    if (expiry_ms(list->items[i], 0, wall_ms) <= 0)
      log_warning("route %s has expired and is passed over", override_pattern(list->items[i], pattern));
}

static int add_all(struct pinned *pinned, const struct override_list *list, int64_t now_ms, int64_t wall_ms) {
  struct domain_value *value = calloc(1, sizeof(*value));
  int error = value ? 0 : ERR_NOMEM;
  for (size_t i = 0; error == 0 && i < list->count; i++) {
    int64_t expires_at_ms = expiry_ms(list->items[i], now_ms, wall_ms);
    if (expires_at_ms > now_ms)
      error = add(pinned, list->items[i], expires_at_ms, value);
  }
  free(value);
  return error;
}

int pinned_create(const struct override_list *list, struct cache *cache, int64_t now_ms, int64_t wall_ms,
                  struct pinned **result) {
  struct pinned *pinned = calloc(1, sizeof(*pinned) + list->count * sizeof(pinned->pins[0]));
  if (!pinned)
    return ERR_NOMEM;
  pinned->cache = cache;
  pinned_warn(list, wall_ms);
  int error = table_init(&pinned->exact);
  if (error == 0)
    error = table_init(&pinned->suffixes);
  if (error == 0)
    error = add_all(pinned, list, now_ms, wall_ms);
  if (error != 0) {
    pinned_destroy(pinned);
    return error;
  }
  *result = pinned;
  return 0;
}

void pinned_destroy(struct pinned *pinned) {
  if (!pinned)
    return;
  for (size_t i = 0; i < pinned->count; i++)
    cache_unpin(pinned->cache, pinned->pins[i].set);
  table_fini(&pinned->exact);
  table_fini(&pinned->suffixes);
  free(pinned);
}
