#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "name.h"
#include "random.h"

enum {
  BUFFER_BYTES = 2 * IMAGE_RECORD_MAX,
  FUTURE_MS = 60000, /* ROUTING T10 */
  /* Reading two clocks is no exact science: of two answers so close in time neither is the later. */
  LATER_MS = 1000,
};

struct load {
  struct cache *cache;
  const struct ttl_policy *ttl;
  struct random random; /* so that what is loaded together is not refreshed together */
  struct load_counts counts;
  uint64_t number; /* of the record that is looked at next; 0: the header */
  int64_t begun_wall_ms;
  bool has_ended;
  enum image_status broken; /* IMAGE_GOOD: nothing is */
  size_t start, end;        /* of what `buffer` holds */
  uint8_t buffer[BUFFER_BYTES];
  struct image_record record;
};

struct load *load_create(struct cache *cache, const struct ttl_policy *ttl) {
  struct load *load = calloc(1, sizeof(*load));
  if (!load)
    return NULL;
  load->cache = cache;
  load->ttl = ttl;
  random_init(&load->random);
  return load;
}

void load_destroy(struct load *load) { free(load); }

bool load_has_ended(const struct load *load) { return load->has_ended; }

const struct load_counts *load_counts(const struct load *load) { return &load->counts; }

size_t load_put(struct load *load, const uint8_t *bytes, size_t length) {
  if (load->start > 0) {
    load->end -= load->start;
    memmove(load->buffer, load->buffer + load->start, load->end);
    load->start = 0;
  }
  size_t room = BUFFER_BYTES - load->end;
  size_t taken = length < room ? length : room;
  if (taken > 0)
    memcpy(load->buffer + load->end, bytes, taken);
  load->end += taken;
  return taken;
}

/* ---- one record ---- */

/* The latest a fact that holds until `expires_at_ms`, and was learned at `since_ms`, may live here. */
static int64_t bound_life(int64_t expires_at_ms, int64_t since_ms, uint32_t most_s) {
  int64_t latest_ms = since_ms + (int64_t)most_s * 1000;
  return expires_at_ms < latest_ms ? expires_at_ms : latest_ms;
}

/* How long before the end of a life a hit refreshes. */
static int64_t draw_lead_ms(struct load *load, int64_t life_ms) {
  return ttl_lead_ms(load->ttl, life_ms, (uint32_t)random_next(&load->random));
}

/* Whether what memory holds of a domain is worth more than what the record says. */
static bool is_known_better(const struct domain_facts *facts, const struct domain_value *value,
                            int64_t now_ms) {
  return facts && facts->kind != DOMAIN_FAILED && facts->expires_at_ms > now_ms &&
         facts->stored_at_ms + LATER_MS >= value->stored_at_ms;
}

static void put_domain(struct load *load, const struct image_time *time) {
  struct domain_value *value = &load->record.domain;
  const char *name = load->record.name;
  size_t length = strlen(name);
  uint64_t hash = name_hash(name, length);
  bool is_denial = value->kind == DOMAIN_NODATA || value->kind == DOMAIN_NXDOMAIN;
  value->expires_at_ms = bound_life(value->expires_at_ms, value->stored_at_ms,
                                    is_denial ? load->ttl->max_negative_s : load->ttl->max_s);
  if (value->stored_at_ms > time->now_ms + FUTURE_MS) {
    load->counts.future++;
  } else if (value->expires_at_ms <= time->now_ms) {
    load->counts.expired++;
  } else if (is_known_better(cache_peek(load->cache, name, length, hash), value, time->now_ms)) {
    load->counts.older++;
  } else {
    value->refresh_lead_ms = (uint32_t)draw_lead_ms(load, value->expires_at_ms - value->stored_at_ms);
    const struct domain_facts *facts = cache_put(load->cache, name, length, hash, value);
    if (!facts)
      return;
    cache_release(load->cache, facts);
    load->counts.domains++;
  }
}

static bool is_failure(enum family_state state) { return state == FAMILY_TEMPFAIL || state == FAMILY_LOOP; }

enum use { USE_EXPIRED, USE_OLDER, USE_TAKEN };

/* Puts one family of the record over what is known, where that is an improvement. When its life began is not
 * known: addresses are refreshed in the last part of what is left of it. */
static enum use improve_family(struct load *load, struct family_value *known, struct family_value *read,
                               int64_t now_ms) {
  read->expires_at_ms = bound_life(read->expires_at_ms, now_ms,
                                   read->state == FAMILY_OK ? load->ttl->max_s : load->ttl->max_negative_s);
  if (read->state == FAMILY_UNKNOWN || read->expires_at_ms <= now_ms)
    return USE_EXPIRED;
  if (known->state != FAMILY_UNKNOWN && !is_failure(known->state) && known->expires_at_ms > now_ms &&
      known->expires_at_ms + LATER_MS >= read->expires_at_ms)
    return USE_OLDER;
  if (read->state == FAMILY_OK && load->ttl->prefetch_percent)
    read->refresh_at_ms = read->expires_at_ms - draw_lead_ms(load, read->expires_at_ms - now_ms);
  *known = *read;
  return USE_TAKEN;
}

/* Neither the record nor memory says when a family was asked for: the later expiry is taken for the later
 * answer, which says for both families what the host's alias is. */
static void improve_host(struct load *load, struct host *host, const struct image_time *time) {
  struct family_value known[FAMILY_COUNT];
  enum use best = USE_EXPIRED;
  const struct host_facts *before = atomic_load_explicit(&host->facts, memory_order_relaxed);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    host_facts_unpack(before, family, &known[family]);
    enum use use = improve_family(load, &known[family], &load->record.families[family], time->now_ms);
    best = use > best ? use : best;
  }
  for (enum family family = 0; best == USE_TAKEN && family < FAMILY_COUNT; family++)
    memcpy(known[family].expanded, load->record.families[0].expanded, FACTS_NAME_SIZE);
  struct host_facts *facts = best == USE_TAKEN ? host_facts_build(known) : NULL;
  if (facts) {
    cache_put_host(load->cache, host, facts, time->now_ms);
    load->counts.hosts++;
  }
  load->counts.older += best == USE_OLDER;
  load->counts.expired += best == USE_EXPIRED;
}

static void put_host(struct load *load, const struct image_time *time) {
  const char *name = load->record.name;
  struct host *host = cache_find_host(load->cache, name, strlen(name));
  if (load->begun_wall_ms > time->wall_ms + FUTURE_MS)
    load->counts.future++;
  else if (!host || host->is_address)
    load->counts.unused++;
  else
    improve_host(load, host, time);
}

/* ---- the image ---- */

static enum image_status read_header(struct load *load) {
  if (load->end - load->start < IMAGE_HEADER_BYTES)
    return IMAGE_INCOMPLETE;
  enum image_status status = image_parse_header(load->buffer + load->start, &load->begun_wall_ms);
  if (status == IMAGE_GOOD)
    load->start += IMAGE_HEADER_BYTES;
  return status;
}

static enum image_status read_record(struct load *load, const struct image_time *time) {
  size_t taken;
  enum image_status status = image_parse_record(load->buffer + load->start, load->end - load->start,
                                                load->number, time, &load->record, &taken);
  if (status != IMAGE_GOOD)
    return status;
  load->start += taken;
  switch (load->record.kind) {
  case IMAGE_DOMAIN:
    put_domain(load, time);
    break;
  case IMAGE_HOST:
    put_host(load, time);
    break;
  case IMAGE_END:
    load->has_ended = true;
    break;
  }
  return IMAGE_GOOD;
}

static enum image_status read_next(struct load *load, const struct image_time *time) {
  if (load->has_ended)
    return load->start < load->end ? IMAGE_BEHIND_END : IMAGE_INCOMPLETE;
  return load->number == 0 ? read_header(load) : read_record(load, time);
}

enum image_status load_step(struct load *load, size_t most, const struct image_time *time) {
  if (load->broken != IMAGE_GOOD)
    return load->broken;
  for (; most > 0; most--) {
    enum image_status status = read_next(load, time);
    if (status == IMAGE_INCOMPLETE)
      return status;
    if (status != IMAGE_GOOD)
      return load->broken = status;
    load->number++;
  }
  return IMAGE_GOOD;
}

const char *load_explain(const struct load *load, enum image_status status, char text[LOAD_TEXT_SIZE]) {
  const char *problem = image_status_text(status);
  if (status == IMAGE_NO_IMAGE || status == IMAGE_UNKNOWN_VERSION || status == IMAGE_BEHIND_END)
    snprintf(text, LOAD_TEXT_SIZE, "%s", problem);
  else if (load->number == 0)
    snprintf(text, LOAD_TEXT_SIZE, "the header: %s", problem);
  else
    snprintf(text, LOAD_TEXT_SIZE, "record %" PRIu64 ": %s", load->number, problem);
  return text;
}
