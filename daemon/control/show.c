#include "control/show.h"

#include <stdlib.h>
#include <string.h>

enum { WARNINGS_MAX = 16 };

/* One exchange with the memory that its message points at. */
struct shown_exchange {
  Mxway__V1__ShownExchange message;
  Mxway__V1__ShownFamily families[FAMILY_COUNT];
  ProtobufCBinaryData addresses[FAMILY_COUNT][FACTS_ADDRESSES_MAX];
  char expanded[FACTS_NAME_SIZE];
};

struct show {
  struct cache *cache;
  const struct resolver *resolver;
  struct name name;
  const struct domain_facts *facts; /* held; NULL where nothing is known */
  struct cache_walk walk;
  size_t name_count;
  char names[SHOW_SHARING_MAX][FACTS_NAME_SIZE];
  /* The reply. */
  Mxway__V1__ShowReply reply;
  Mxway__V1__ShownLookup lookup;
  Mxway__V1__Warning warnings[WARNINGS_MAX];
  char canonical[FACTS_NAME_SIZE];
  char *name_list[SHOW_SHARING_MAX];
  Mxway__V1__ShownExchange *exchange_list[FACTS_EXCHANGES_MAX];
  struct shown_exchange *exchanges; /* as many as the set has */
};

static const Mxway__V1__Fact facts_of_kind[] = {
    [DOMAIN_MX] = MXWAY__V1__FACT__FACT_MX,
    [DOMAIN_NULL_MX] = MXWAY__V1__FACT__FACT_NULL_MX,
    [DOMAIN_NODATA] = MXWAY__V1__FACT__FACT_NODATA,
    [DOMAIN_NXDOMAIN] = MXWAY__V1__FACT__FACT_NXDOMAIN,
    [DOMAIN_ALL_INVALID] = MXWAY__V1__FACT__FACT_ALL_INVALID,
    [DOMAIN_FAILED] = MXWAY__V1__FACT__FACT_FAILED,
};

static const Mxway__V1__AddressState states_of_family[] = {
    [FAMILY_UNKNOWN] = MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_UNKNOWN,
    [FAMILY_OK] = MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_OK,
    [FAMILY_NODATA] = MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_NODATA,
    [FAMILY_NXDOMAIN] = MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_NXDOMAIN,
    [FAMILY_TEMPFAIL] = MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_TEMPFAIL,
    [FAMILY_LOOP] = MXWAY__V1__ADDRESS_STATE__ADDRESS_STATE_LOOP,
};

struct show *show_create(struct cache *cache, const struct resolver *resolver, const struct name *name) {
  struct show *show = calloc(1, sizeof(*show));
  if (!show)
    return NULL;
  show->cache = cache;
  show->resolver = resolver;
  show->name = *name;
  show->facts = cache_peek(cache, name->text, name->length, name_hash(name->text, name->length));
  cache_walk_start(&show->walk, cache);
  if (show->facts)
    cache_hold(show->facts);
  if (show->facts && show->facts->set) {
    show->exchanges = calloc(show->facts->set->count, sizeof(show->exchanges[0]));
    if (!show->exchanges) {
      show_destroy(show);
      return NULL;
    }
  }
  return show;
}

void show_destroy(struct show *show) {
  if (!show)
    return;
  cache_walk_stop(&show->walk);
  if (show->facts)
    cache_release(show->cache, show->facts);
  free(show->exchanges);
  free(show);
}

/* ---- who shares ---- */

/* Other domains with the same exchanges. */
static size_t sharing_count(const struct show *show) { return show->facts->set->refs - 1; }

/* A walk may meet a domain twice. */
static bool is_listed(const struct show *show, const struct domain_facts *facts) {
  for (size_t i = 0; i < show->name_count; i++)
    if (strlen(show->names[i]) == facts->name_length &&
        memcmp(show->names[i], facts->text, facts->name_length) == 0)
      return true;
  return false;
}

static void look_at(struct show *show, const struct domain_facts *facts) {
  if (facts->set != show->facts->set || facts == show->facts || is_listed(show, facts))
    return;
  char *name = show->names[show->name_count++];
  memcpy(name, facts->text, facts->name_length);
  name[facts->name_length] = '\0';
}

bool show_step(struct show *show, size_t most) {
  if (!show->facts || !show->facts->set)
    return true;
  for (; most > 0; most--) {
    if (show->name_count == SHOW_SHARING_MAX || show->name_count >= sharing_count(show))
      return true;
    const struct domain_facts *facts = cache_walk_next(&show->walk);
    if (!facts)
      return true;
    look_at(show, facts);
  }
  return false;
}

/* ---- the reply ---- */

static void fill_family(struct shown_exchange *shown, const struct host_facts *facts, enum family family,
                        int64_t now_ms) {
  Mxway__V1__ShownFamily *message = &shown->families[family];
  size_t octets = family == FAMILY_V6 ? 16 : 4, step = octets + 2; /* each is a packed field */
  mxway__v1__shown_family__init(message);
  if (!facts || facts->state[family] == FAMILY_UNKNOWN)
    return;
  message->state = states_of_family[facts->state[family]];
  message->left_ms =
      facts->expires_at_ms[family] == INT64_MAX ? INT64_MAX : facts->expires_at_ms[family] - now_ms;
  message->failures = facts->failures[family];
  message->authenticated = facts->authentic[family];
  message->n_addresses = facts->count[family];
  message->addresses = shown->addresses[family];
  const uint8_t *at = host_facts_addresses(facts, family);
  for (uint8_t i = 0; i < facts->count[family]; i++, at += step)
    shown->addresses[family][i] = (ProtobufCBinaryData){.len = octets, .data = (uint8_t *)at + 2};
}

static void fill_exchange(struct shown_exchange *shown, const struct exchange *exchange, int64_t now_ms) {
  struct host *host = exchange->host;
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  struct family_value value;
  host_facts_unpack(facts, FAMILY_V6, &value);
  memcpy(shown->expanded, value.expanded, FACTS_NAME_SIZE);
  mxway__v1__shown_exchange__init(&shown->message);
  shown->message.preference = exchange->preference;
  shown->message.host = host->name;
  shown->message.expanded = shown->expanded;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    fill_family(shown, facts, family, now_ms);
  shown->message.v6 = &shown->families[FAMILY_V6];
  shown->message.v4 = &shown->families[FAMILY_V4];
}

static void fill_exchanges(struct show *show, int64_t now_ms) {
  const struct exchange_set *set = show->facts->set;
  for (uint16_t i = 0; i < set->count; i++) {
    fill_exchange(&show->exchanges[i], &set->exchanges[i], now_ms);
    show->exchange_list[i] = &show->exchanges[i].message;
  }
  show->reply.n_exchanges = set->count;
  show->reply.exchanges = show->exchange_list;
  show->reply.sharing_count = sharing_count(show);
  for (size_t i = 0; i < show->name_count; i++)
    show->name_list[i] = show->names[i];
  show->reply.n_sharing_names = show->name_count;
  show->reply.sharing_names = show->name_list;
}

static void fill_facts(struct show *show, int64_t now_ms) {
  const struct domain_facts *facts = show->facts;
  Mxway__V1__ShowReply *reply = &show->reply;
  size_t length;
  const char *canonical = domain_canonical(facts, &length);
  memcpy(show->canonical, canonical, length);
  show->canonical[length] = '\0';
  reply->canonical = show->canonical;
  reply->fact = facts_of_kind[facts->kind];
  reply->cause = (Mxway__V1__Verdict)facts->cause;
  reply->failures = facts->failures;
  reply->authenticated = facts->authentic;
  reply->age_ms = now_ms > facts->stored_at_ms ? (uint64_t)(now_ms - facts->stored_at_ms) : 0;
  reply->left_ms = facts->expires_at_ms - now_ms;
  reply->hits = cache_hits(facts);
  for (unsigned bit = 0; bit < WARNINGS_MAX; bit++)
    if (facts->warnings >> bit & 1)
      show->warnings[reply->n_warnings++] = (Mxway__V1__Warning)bit;
  reply->warnings = show->warnings;
  if (facts->set)
    fill_exchanges(show, now_ms);
}

Mxway__V1__ShowReply *show_reply(struct show *show, int64_t now_ms) {
  struct resolver_view view;
  const struct name *name = &show->name;
  mxway__v1__show_reply__init(&show->reply);
  show->reply.name = show->name.text;
  if (show->facts)
    fill_facts(show, now_ms);
  if (resolver_look(show->resolver, name, name_hash(name->text, name->length), &view)) {
    mxway__v1__shown_lookup__init(&show->lookup);
    show->lookup.age_ms = (uint64_t)(now_ms - view.started_ms);
    show->lookup.waiting_count = view.waiting_count;
    show->lookup.refresh = view.is_refresh;
    show->lookup.has_facts = view.has_facts;
    show->reply.lookup = &show->lookup;
  }
  return &show->reply;
}
