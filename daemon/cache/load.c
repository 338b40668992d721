#include "cache/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "rules/name.h"

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
  uint64_t generation;
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

uint64_t load_generation(const struct load *load) { return load->generation; }

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

/* ---- what is of use ---- */

/* The latest a fact that holds until `expires_at_ms`, and was learned at `since_ms`, may live here. */
static int64_t bound_life(int64_t expires_at_ms, int64_t since_ms, uint32_t most_s) {
  int64_t latest_ms = since_ms + (int64_t)most_s * 1000;
  return expires_at_ms < latest_ms ? expires_at_ms : latest_ms;
}

/* How long before the end of a life a hit refreshes. */
static int64_t draw_lead_ms(struct load *load, int64_t life_ms) {
  return ttl_lead_ms(load->ttl, life_ms, (uint32_t)random_next(&load->random));
}

/* Whether something is of use: it holds, or `is_lasting` and may still be answered stale. */
static bool is_of_use(const struct load *load, int64_t expires_at_ms, bool is_lasting, int64_t now_ms) {
  return expires_at_ms + (is_lasting ? cache_max_stale_ms(load->cache) : 0) > now_ms;
}

/* When something was learned, and until when it holds. */
struct span {
  int64_t learned_at_ms, expires_at_ms;
};

/* Whether what memory holds, which is no failure, is worth more than what the record says: it was learned as
 * late, unless it has expired and the record has not; or it has not and the record has. */
static bool is_better(struct span known, struct span read, int64_t now_ms) {
  bool holds = known.expires_at_ms > now_ms, read_holds = read.expires_at_ms > now_ms;
  if (holds != read_holds)
    return holds;
  return known.learned_at_ms + LATER_MS >= read.learned_at_ms;
}

/* ---- domains ---- */

static bool is_known_better(const struct domain_facts *facts, const struct domain_value *value,
                            int64_t now_ms) {
  return facts && facts->kind != DOMAIN_FAILED &&
         is_better((struct span){facts->stored_at_ms, facts->expires_at_ms},
                   (struct span){value->stored_at_ms, value->expires_at_ms}, now_ms);
}

static void put_domain(struct load *load, const struct image_time *time) {
  struct domain_value *value = &load->record.domain;
  const char *name = load->record.name;
  size_t length = strlen(name);
  uint64_t hash = name_hash(name, length);
  bool is_denial = value->kind == DOMAIN_NODATA || value->kind == DOMAIN_NXDOMAIN;
  value->expires_at_ms = bound_life(value->expires_at_ms, value->stored_at_ms,
                                    is_denial ? load->ttl->max_negative_s : load->ttl->max_s);
  int64_t life_ms = value->expires_at_ms - value->stored_at_ms;
  if (value->stored_at_ms > time->now_ms + FUTURE_MS) {
    load->counts.future++;
  } else if (!is_of_use(load, value->expires_at_ms, domain_is_lasting(value->kind, life_ms), time->now_ms)) {
    load->counts.expired++;
  } else if (is_known_better(cache_peek(load->cache, name, length, hash), value, time->now_ms)) {
    load->counts.older++;
  } else {
    value->refresh_lead_ms = (uint32_t)draw_lead_ms(load, life_ms);
    const struct domain_facts *facts =
        cache_restore(load->cache, name, length, hash, value, load->record.hits, time->now_ms);
    if (!facts)
      return;
    cache_release(load->cache, facts);
    load->counts.domains++;
    load->counts.stale += value->expires_at_ms <= time->now_ms;
  }
}

/* ---- addresses ---- */

static struct span span_of(const struct family_value *value) {
  return (struct span){value->expires_at_ms - value->life_ms, value->expires_at_ms};
}

static void bound_family(const struct load *load, struct family_value *value) {
  int64_t learned_at_ms = span_of(value).learned_at_ms;
  value->expires_at_ms = bound_life(value->expires_at_ms, learned_at_ms,
                                    value->state == FAMILY_OK ? load->ttl->max_s : load->ttl->max_negative_s);
  value->life_ms = (uint32_t)(value->expires_at_ms - learned_at_ms);
}

enum use { USE_EXPIRED, USE_OLDER, USE_FUTURE, USE_TAKEN };

/* Puts one family of the record over what is known, where that is an improvement. */
static enum use improve_family(struct load *load, struct family_value *known, struct family_value *read,
                               int64_t now_ms) {
  if (!family_state_is_definite(read->state))
    return USE_EXPIRED;
  bound_family(load, read);
  if (span_of(read).learned_at_ms > now_ms + FUTURE_MS)
    return USE_FUTURE;
  if (!is_of_use(load, read->expires_at_ms, family_is_lasting(read->state, read->life_ms), now_ms))
    return USE_EXPIRED;
  if (family_state_is_definite(known->state) && is_better(span_of(known), span_of(read), now_ms))
    return USE_OLDER;
  if (read->state == FAMILY_OK && load->ttl->prefetch_percent)
    read->refresh_at_ms = read->expires_at_ms - draw_lead_ms(load, read->life_ms);
  *known = *read;
  return USE_TAKEN;
}

static void improve_host(struct load *load, struct host *host, const struct image_time *time) {
  struct family_value known[FAMILY_COUNT];
  enum use best = USE_EXPIRED;
  const struct host_facts *before = atomic_load_explicit(&host->facts, memory_order_relaxed);
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    host_facts_unpack(before, family, &known[family]);
    enum use use = improve_family(load, &known[family], &load->record.families[family], time->now_ms);
    best = use > best ? use : best;
  }
  load->counts.older += best == USE_OLDER;
  load->counts.expired += best == USE_EXPIRED;
  load->counts.future += best == USE_FUTURE;
  if (best != USE_TAKEN)
    return;
  host_values_agree(known);
  struct host_facts *facts = host_facts_build(known);
  if (!facts)
    return;
  cache_put_host(load->cache, host, facts, time->now_ms);
  load->counts.hosts++;
}

static void put_host(struct load *load, const struct image_time *time) {
  const char *name = load->record.name;
  struct host *host = cache_find_host(load->cache, name, strlen(name));
  if (!host || host->is_address)
    load->counts.unused++;
  else
    improve_host(load, host, time);
}

/* ---- the image ---- */

static enum image_status read_header(struct load *load) {
  int64_t begun_wall_ms; /* of no use here: each record says when it was learned */
  if (load->end - load->start < IMAGE_HEADER_BYTES)
    return IMAGE_INCOMPLETE;
  enum image_status status =
      image_parse_header(load->buffer + load->start, &begun_wall_ms, &load->generation);
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
  if (status == IMAGE_NO_IMAGE || status == IMAGE_OLD_VERSION || status == IMAGE_UNKNOWN_VERSION ||
      status == IMAGE_BEHIND_END)
    snprintf(text, LOAD_TEXT_SIZE, "%s", problem);
  else if (load->number == 0)
    snprintf(text, LOAD_TEXT_SIZE, "the header: %s", problem);
  else
    snprintf(text, LOAD_TEXT_SIZE, "record %" PRIu64 ": %s", load->number, problem);
  return text;
}
