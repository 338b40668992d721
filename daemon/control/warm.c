#include "control/warm.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/namelist.h"
#include "rules/name.h"
#include "store/keyscan.h"

enum { NAMES_AHEAD = WARM_OUTSTANDING_MAX };

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

/* One value that is wanted. */
struct get {
  struct warm *warm;
  bool is_used;
  struct fleet_call *call; /* NULL: it is to be sent (again) */
  uint8_t tries;
  uint64_t forgotten_count; /* of the resolver, when it was sent */
  enum record_kind kind;
  size_t length;
  char name[NAMELIST_TEXT_MAX + 1]; /* terminated */
};

enum stage { STAGE_WAITING, STAGE_DOMAINS, STAGE_HOSTS, STAGE_ENDED };

enum { COUNTS = STATS_WARM_LEFT - STATS_WARM_FOUND + 1 };

struct warm {
  struct fleet *fleet;
  struct store *store;
  struct resolver *resolver;
  struct cache *cache;
  struct stats *stats;
  int64_t interval_ns; /* between reads */
  size_t most;         /* of `gets` */
  enum stage stage;
  int64_t begun_ms, ended_ms, due_ms;
  int64_t rest_until_ms; /* nothing is sent before */
  int64_t next_ns;       /* nor before this, by the rate; on the clock of `now_ms` */
  uint64_t counts[COUNTS];
  struct keyscan *scan; /* STAGE_DOMAINS */
  size_t prefix_length;
  struct namelist names;        /* of domains that were found */
  bool has_scanned;             /* since the last GET: while there are names, one follows on the other */
  struct cache_host_walk hosts; /* STAGE_HOSTS */
  size_t under_way;             /* gets that are used */
  struct get gets[WARM_OUTSTANDING_MAX];
  struct record record; /* that was read */
};

static void count(struct warm *warm, enum stats_counter counter) {
  warm->counts[counter - STATS_WARM_FOUND]++;
  stats_add(warm->stats, counter);
}

static uint64_t counted(const struct warm *warm, enum stats_counter counter) {
  return warm->counts[counter - STATS_WARM_FOUND];
}

static void on_key(void *context, const char *key, size_t length) {
  struct warm *warm = context;
  char prefix[STORE_KEY_SIZE];
  count(warm, STATS_WARM_FOUND);
  store_key(warm->store, RECORD_DOMAIN, "", 0, prefix);
  if (length <= warm->prefix_length || memcmp(key, prefix, warm->prefix_length) != 0 ||
      length - warm->prefix_length > NAME_TEXT_MAX)
    count(warm, STATS_WARM_REFUSED);
  else if (!namelist_put(&warm->names, key + warm->prefix_length, length - warm->prefix_length))
    count(warm, STATS_WARM_LEFT);
}

/* ---- beginning and ending ---- */

static void begin(struct warm *warm, int64_t now_ms) {
  char prefix[STORE_KEY_SIZE];
  warm->prefix_length = store_key(warm->store, RECORD_DOMAIN, "", 0, prefix);
  warm->scan = keyscan_create(warm->fleet, prefix, on_key, warm);
  if (!warm->scan)
    return; /* tried again when it is next due */
  warm->stage = STAGE_DOMAINS;
  warm->begun_ms = now_ms;
  log_notice("warm start: reads what redis holds of %s*", prefix);
}

/* Takes back what is under way, and frees all that it took to get so far. */
static void drop(struct warm *warm) {
  for (size_t i = 0; i < WARM_OUTSTANDING_MAX; i++) {
    struct get *get = &warm->gets[i];
    if (get->is_used && get->call)
      fleet_cancel(get->call);
    get->is_used = false;
    get->call = NULL;
  }
  keyscan_destroy(warm->scan);
  if (warm->stage == STAGE_HOSTS)
    cache_host_walk_stop(&warm->hosts);
  namelist_fini(&warm->names);
}

static char *how_far(const struct warm *warm, int64_t now_ms, char text[WARM_TEXT_SIZE]) {
  int64_t ms = now_ms - warm->begun_ms;
  snprintf(text, WARM_TEXT_SIZE,
           "%" PRIu64 " of %" PRIu64 " values in %" PRId64 ".%" PRId64 " s, %" PRIu64 " refused",
           counted(warm, STATS_WARM_LOADED), counted(warm, STATS_WARM_FOUND), ms / 1000, ms / 100 % 10,
           counted(warm, STATS_WARM_REFUSED));
  return text;
}

/* `why` it has not read all, or "". */
static void end(struct warm *warm, const char *why, int64_t now_ms) {
  char text[WARM_TEXT_SIZE];
  drop(warm);
  warm->scan = NULL;
  warm->under_way = 0;
  warm->stage = STAGE_ENDED;
  warm->ended_ms = now_ms;
  warm->due_ms = INT64_MAX;
  log_notice("warm start: %s%s", how_far(warm, now_ms, text), why);
}

/* All domains are in memory: now the addresses of the hosts that these, and those there before, name. */
static void begin_hosts(struct warm *warm) {
  keyscan_destroy(warm->scan);
  warm->scan = NULL;
  warm->stage = STAGE_HOSTS;
  cache_host_walk_start(&warm->hosts, warm->cache);
}

/* ---- values ---- */

/* `outcome`: what has become of it. */
static void finish(struct get *get, enum stats_counter outcome) {
  get->is_used = false;
  get->warm->under_way--;
  count(get->warm, outcome);
}

static enum stats_counter take_record(const struct get *get, int64_t now_ms) {
  struct warm *warm = get->warm;
  const struct record *record = &warm->record;
  enum domain_kind kind = get->kind == RECORD_DOMAIN ? record->domain.kind : DOMAIN_MX;
  bool is_overtaken = get->forgotten_count != resolver_forgotten_count(warm->resolver);
  if (is_overtaken || !store_is_up(warm->store) || !cache_has_room(warm->cache, kind))
    return STATS_WARM_LEFT;
  switch (resolver_take(warm->resolver, record, now_ms)) {
  case INTAKE_TAKEN:
    return STATS_WARM_LOADED;
  case INTAKE_KNOWN:
    return STATS_WARM_KNOWN;
  case INTAKE_EXPIRED:
    return STATS_WARM_EXPIRED;
  case INTAKE_UNUSED:
  case INTAKE_NO_MEMORY:
    break;
  }
  return STATS_WARM_LEFT;
}

static void on_value(void *context, const struct redisReply *reply, int64_t now_ms) {
  struct get *get = context;
  struct warm *warm = get->warm;
  enum appraisal appraisal = APPRAISED_ERROR;
  get->call = NULL;
  if (reply)
    appraisal = store_appraise(warm->store, get->kind, get->name, reply, now_ms, &warm->record);
  switch (appraisal) {
  case APPRAISED_FACTS:
    finish(get, take_record(get, now_ms));
    break;
  case APPRAISED_NOTHING:
    finish(get, STATS_WARM_MISSING);
    break;
  case APPRAISED_REFUSED:
    finish(get, STATS_WARM_REFUSED);
    break;
  case APPRAISED_ERROR:
    warm->rest_until_ms = now_ms + WARM_PAUSE_MS;
    if (get->tries == WARM_TRIES)
      finish(get, STATS_WARM_FAILED);
  }
}

static void spend(struct warm *warm, int64_t reads) { warm->next_ns += reads * warm->interval_ns; }

/* Returns whether that has come to something. */
static bool send_get(struct get *get, int64_t now_ms) {
  struct warm *warm = get->warm;
  char key[STORE_KEY_SIZE];
  size_t length = store_key(warm->store, get->kind, get->name, get->length, key);
  const struct link_command command = {.count = 2, .words = {"GET", key}, .lengths = {3, length}};
  get->forgotten_count = resolver_forgotten_count(warm->resolver);
  int error =
      fleet_send(warm->fleet, FLEET_READ, key, length, &command, WARM_TIMEOUT_MS, on_value, get, &get->call);
  if (error == 0) {
    get->tries++;
    warm->has_scanned = false;
    spend(warm, 1);
    return true;
  }
  get->call = NULL;
  if (error == ERR_NETWORK && fleet_is_up(warm->fleet, FLEET_READ)) { /* that of several is away */
    finish(get, STATS_WARM_FAILED);
    return true;
  }
  warm->rest_until_ms = now_ms + WARM_PAUSE_MS;
  return false;
}

static struct get *find_free(struct warm *warm) {
  for (size_t i = 0; i < warm->most; i++)
    if (!warm->gets[i].is_used)
      return &warm->gets[i];
  return NULL;
}

/* Of the values that are to be sent, now or again, that which was tried least; NULL: there is none. */
static struct get *find_unsent(struct warm *warm, bool *has_sent) {
  struct get *found = NULL;
  *has_sent = false;
  for (size_t i = 0; i < warm->most; i++) {
    struct get *get = &warm->gets[i];
    *has_sent |= get->call != NULL;
    if (get->is_used && !get->call && (!found || get->tries < found->tries))
      found = get;
  }
  return found;
}

static bool use(struct get *get, int64_t now_ms) {
  get->is_used = true;
  get->tries = 0;
  get->warm->under_way++;
  return send_get(get, now_ms);
}

/* ---- what is asked for ---- */

static bool is_name(const struct get *get) {
  static const struct name_policy policy = {.allow_single_label = true};
  struct name name;
  return name_parse((const uint8_t *)get->name, get->length, &policy, &name) == NAME_OK &&
         name.length == get->length && memcmp(name.text, get->name, get->length) == 0;
}

/* Whether memory holds it, and not just to the end of its life (ROUTING T7). */
static bool knows_domain(const struct warm *warm, const struct get *get, int64_t now_ms) {
  const struct domain_facts *facts =
      cache_peek(warm->cache, get->name, get->length, name_hash(get->name, get->length));
  return facts && facts->kind != DOMAIN_FAILED && facts->expires_at_ms > now_ms &&
         !domain_facts_want_refresh(facts, now_ms);
}

static bool knows_host(const struct host *host, int64_t now_ms) {
  const struct host_facts *facts = atomic_load_explicit(&host->facts, memory_order_relaxed);
  return host->is_address ||
         (host_facts_are_ready(facts, true, now_ms) && !host_facts_want_refresh(facts, now_ms));
}

/* Each of these does the next thing, with the free place `get`; false where there is nothing to do now. */
static bool step_domains(struct warm *warm, struct get *get, int64_t now_ms) {
  bool may_scan = warm->names.count == 0 || (warm->names.count < NAMES_AHEAD && !warm->has_scanned);
  if (may_scan && keyscan_step(warm->scan, now_ms)) {
    warm->has_scanned = true;
    spend(warm, WARM_READS_OF_SCAN);
    return true;
  }
  if (warm->names.count == 0) {
    bool is_over = keyscan_has_ended(warm->scan) && warm->under_way == 0;
    if (is_over)
      begin_hosts(warm);
    return is_over;
  }
  get->kind = RECORD_DOMAIN;
  get->length = namelist_take(&warm->names, get->name);
  if (is_name(get) && !knows_domain(warm, get, now_ms))
    return use(get, now_ms);
  count(warm, is_name(get) ? STATS_WARM_KNOWN : STATS_WARM_REFUSED);
  return true;
}

static bool step_hosts(struct warm *warm, struct get *get, int64_t now_ms) {
  const struct host *host = cache_host_walk_next(&warm->hosts);
  if (!host) {
    if (warm->under_way == 0)
      end(warm, "", now_ms);
    return false;
  }
  if (knows_host(host, now_ms))
    return true;
  count(warm, STATS_WARM_FOUND);
  get->kind = RECORD_HOST;
  get->length = host->length;
  memcpy(get->name, host->name, host->length + 1u);
  return use(get, now_ms);
}

/* What was not told is asked for again by itself: it may be what ends connections, and takes with it whatever
 * was asked for behind it. */
static bool step(struct warm *warm, int64_t now_ms) {
  bool has_sent;
  struct get *get = find_unsent(warm, &has_sent);
  if (get)
    return (get->tries == 0 || !has_sent) && send_get(get, now_ms);
  get = find_free(warm);
  if (!get || warm->stage == STAGE_ENDED)
    return false;
  return warm->stage == STAGE_DOMAINS ? step_domains(warm, get, now_ms) : step_hosts(warm, get, now_ms);
}

/* ---- running ---- */

static bool may_send(const struct warm *warm, int64_t now_ms) {
  return now_ms >= warm->rest_until_ms && warm->next_ns <= now_ms * NS_PER_MS;
}

/* When there may be more to do, but for answers, which turn the loop by themselves. */
static int64_t next_step_ms(const struct warm *warm, bool has_more, int64_t now_ms) {
  int64_t next_ms = (warm->next_ns + NS_PER_MS - 1) / NS_PER_MS;
  int64_t until_ms = warm->begun_ms + WARM_LONGEST_MS;
  if (next_ms < warm->rest_until_ms)
    next_ms = warm->rest_until_ms;
  if (next_ms > now_ms)
    return next_ms;
  if (has_more)
    return now_ms;
  int64_t scan_ms = warm->scan ? keyscan_next_ms(warm->scan) : INT64_MAX;
  return scan_ms > now_ms && scan_ms < until_ms ? scan_ms : until_ms;
}

static void go_on(struct warm *warm, int64_t now_ms) {
  int64_t least_ns = (now_ms - WARM_BURST_MS) * NS_PER_MS;
  bool has_more = true;
  if (warm->next_ns < least_ns)
    warm->next_ns = least_ns;
  for (size_t looks = 0; looks < WARM_LOOKS && has_more && may_send(warm, now_ms); looks++)
    has_more = step(warm, now_ms);
  if (warm->stage != STAGE_ENDED)
    warm->due_ms = next_step_ms(warm, has_more, now_ms);
}

void warm_run(struct warm *warm, int64_t now_ms) {
  if (warm->stage == STAGE_ENDED)
    return;
  bool is_up = store_is_up(warm->store);
  if (warm->stage == STAGE_WAITING && is_up)
    begin(warm, now_ms);
  if (warm->stage != STAGE_WAITING && now_ms >= warm->begun_ms + WARM_LONGEST_MS)
    end(warm, "; what is left would take too long", now_ms);
  else if (warm->stage != STAGE_WAITING && !cache_has_room(warm->cache, DOMAIN_MX))
    end(warm, "; the rest is left: memory is nine tenths full", now_ms);
  else if (warm->stage == STAGE_WAITING || !is_up)
    warm->due_ms = now_ms + WARM_PAUSE_MS;
  else
    go_on(warm, now_ms);
}

int64_t warm_next_ms(const struct warm *warm) { return warm->due_ms; }

bool warm_has_ended(const struct warm *warm) { return warm->stage == STAGE_ENDED; }

char *warm_text(const struct warm *warm, char text[WARM_TEXT_SIZE]) {
  switch (warm->stage) {
  case STAGE_WAITING:
    snprintf(text, WARM_TEXT_SIZE, "waits for the shared store");
    break;
  case STAGE_DOMAINS:
  case STAGE_HOSTS:
    snprintf(text, WARM_TEXT_SIZE, "%" PRIu64 " of %" PRIu64 " values so far, %" PRIu64 " refused",
             counted(warm, STATS_WARM_LOADED), counted(warm, STATS_WARM_FOUND),
             counted(warm, STATS_WARM_REFUSED));
    break;
  case STAGE_ENDED:
    return how_far(warm, warm->ended_ms, text);
  }
  return text;
}

/* ---- the room ---- */

int warm_create(struct fleet *fleet, struct store *store, struct resolver *resolver, struct cache *cache,
                const struct warm_options *options, struct stats *stats, struct warm **result) {
  struct warm *warm = calloc(1, sizeof(*warm));
  if (!warm)
    return ERR_NOMEM;
  size_t share = options->max_commands / 8;
  warm->fleet = fleet;
  warm->store = store;
  warm->resolver = resolver;
  warm->cache = cache;
  warm->stats = stats;
  warm->interval_ns = NS_PER_S / options->rate;
  warm->most = share < 1 ? 1 : share < WARM_OUTSTANDING_MAX ? share : WARM_OUTSTANDING_MAX;
  warm->rest_until_ms = INT64_MIN;
  warm->next_ns = INT64_MIN;
  for (size_t i = 0; i < WARM_OUTSTANDING_MAX; i++)
    warm->gets[i].warm = warm;
  *result = warm;
  return 0;
}

void warm_destroy(struct warm *warm) {
  if (!warm)
    return;
  drop(warm);
  free(warm);
}
