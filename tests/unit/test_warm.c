/* A warm start from servers that the test plays, which hold what it has put on a shelf; store, resolver and
 * cache are real. */
#include "cmocka_compat.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/warm.h"
#include "fake_dns.h"
#include "made_memory.h"
#include "record_samples.h"
#include "scan_replies.h"

enum {
  SHELF_MAX = 3000,
  RATE = 1000,
  MAX_COMMANDS = 1000,
  CACHE_BYTES = 4 << 20,
  MAX_STALE_MS = 86400000,
  S = 1000,
  PAGE = 100, /* keys for one SCAN */
};

static struct image_time now;
int64_t clock_wall_ms(void) { return now.wall_ms; }
int64_t clock_now_ms(void) { return now.now_ms; }
int64_t clock_now_us(void) { return now.now_ms * 1000; }

static struct stats stats;
static struct store *store;
static struct dns *dns;
static struct cache *cache;
static struct resolver *resolver;
static struct warm_options options;
static struct warm *warm;
static struct record made;

/* What the servers hold. */
static struct {
  char *keys[SHELF_MAX];
  uint8_t *values[SHELF_MAX]; /* NULL: gone when it is asked for */
  size_t lengths[SHELF_MAX];
  size_t count;
  bool is_endless; /* its scan never comes to its end */
} shelf;

static size_t served; /* of fake_fleet.calls */

static uint64_t counted(enum stats_counter counter) { return atomic_load(&stats.counters[counter]); }

static unsigned answer_count;

static void on_answer(void *context, struct question *question, const struct answer *answer, int64_t now_ms) {
  (void)context, (void)question, (void)now_ms;
  assert_true(answer->from_store);
  answer_count++;
}

static void create_cache(size_t bytes) {
  static const struct resolver_options resolving = {.learn = {.ttl = {.max_s = 86400,
                                                                      .max_negative_s = 3600,
                                                                      .failure_s = 5,
                                                                      .max_failure_s = 300,
                                                                      .prefetch_percent = 10},
                                                              .max_stale_ms = MAX_STALE_MS},
                                                    .lookup_deadline_ms = 5000,
                                                    .max_cname_hops = 8};
  cache = cache_create(bytes, MAX_STALE_MS, &stats);
  assert_non_null(cache);
  resolver = resolver_create(cache, store, dns, &resolving, &stats, on_answer, NULL);
  assert_non_null(resolver);
}

static void create(void) {
  assert_int_equal(warm_create(NULL, store, resolver, cache, &options, &stats, &warm), 0);
}

static int open_it(void **state) {
  static const struct store_options storing = {.prefix = "mxway:1:",
                                               .origin = "node",
                                               .timeout_ms = 30,
                                               .max_commands = MAX_COMMANDS,
                                               .max_writes = 100};
  (void)state;
  log_set_level(LOG_LEVEL_ERROR);
  fake_fleet_init();
  fake_add_server("/one");
  memset(&stats, 0, sizeof(stats));
  memset(&shelf, 0, sizeof(shelf));
  name_hash_init();
  served = 0;
  now = record_sample_time;
  options = (struct warm_options){.rate = RATE, .max_commands = MAX_COMMANDS};
  dns = fake_dns_create();
  assert_int_equal(store_create(NULL, &storing, &stats, &store), 0);
  create_cache(CACHE_BYTES);
  create();
  return 0;
}

static void destroy_cache(void) {
  resolver_destroy(resolver);
  resolver = NULL;
  warm_destroy(warm); /* may outlive the resolver, as it does in a node */
  warm = NULL;
  cache_destroy(cache);
}

static int close_it(void **state) {
  (void)state;
  assert_int_equal(dns->asked_count, 0);
  destroy_cache();
  store_destroy(store);
  dns_destroy(dns);
  assert_int_equal(fake_fleet.open_count, 0);
  for (size_t i = 0; i < shelf.count; i++) {
    free(shelf.keys[i]);
    free(shelf.values[i]);
  }
  return 0;
}

/* ---- what the servers hold ---- */

static void put_octets(const char *key, const void *bytes, size_t length) {
  assert_true(shelf.count < SHELF_MAX);
  shelf.keys[shelf.count] = strdup(key);
  shelf.values[shelf.count] = bytes ? malloc(length + 1) : NULL;
  if (bytes)
    memcpy(shelf.values[shelf.count], bytes, length);
  shelf.lengths[shelf.count++] = length;
}

static void put_made(void) {
  uint8_t bytes[RECORD_MAX];
  char key[STORE_KEY_SIZE];
  const struct image_time then = record_sample_time; /* when samples are made */
  store_key(store, made.kind, made.name, strlen(made.name), key);
  size_t length = record_pack(bytes, &made, key, NULL, &then);
  assert_in_range(length, 1, RECORD_MAX);
  put_octets(key, bytes, length);
}

static const char *numbered(const char *before, size_t number) {
  static char name[64];
  snprintf(name, sizeof(name), "%s%zu.example", before, number);
  return name;
}

static void put_domain(const char *name, const char *host, int64_t age_ms, int64_t ttl_s) {
  record_sample_domain(&made, name, DOMAIN_MX, age_ms, ttl_s);
  record_sample_add(&made, 10, host);
  put_made();
}

static void put_host(const char *name, int64_t age_ms, int64_t ttl_s) {
  record_sample_init(&made, RECORD_HOST, name);
  record_sample_family(&made, FAMILY_V6, FAMILY_NODATA, 0, age_ms, ttl_s);
  record_sample_family(&made, FAMILY_V4, FAMILY_OK, 2, age_ms, ttl_s);
  put_made();
}

/* So many domains, each with ten others at one host. */
static void put_many(size_t count) {
  char host[64];
  for (size_t i = 0; i < count; i++) {
    snprintf(host, sizeof(host), "mx%zu.example", i / 10);
    put_domain(numbered("d", i), host, 0, 3600);
    if (i % 10 == 0)
      put_host(host, 0, 3600);
  }
}

static void put_denials(size_t count) {
  for (size_t i = 0; i < count; i++) {
    record_sample_domain(&made, numbered("gone", i), DOMAIN_NXDOMAIN, 0, 3600);
    made.stale_until_ms = made.domain.expires_at_ms;
    put_made();
  }
}

/* ---- what they say ---- */

static bool is_word(const struct fleet_call *call, const char *word) {
  return strncmp(call->text, word, strlen(word)) == 0 && call->text[strlen(word)] == ' ';
}

static void serve_scan(size_t at) {
  const char *found[PAGE];
  size_t from = (size_t)strtoul(fake_fleet.calls[at].text + strlen("SCAN "), NULL, 10), count = 0, to = from;
  for (; to < shelf.count && count < PAGE; to++)
    if (strncmp(shelf.keys[to], "mxway:1:h:", 10) != 0)
      found[count++] = shelf.keys[to];
  char cursor[24];
  snprintf(cursor, sizeof(cursor), "%zu", shelf.is_endless ? from + 1 : to < shelf.count ? to : 0);
  scan_answer(at, cursor, found, count, now.now_ms);
}

static void serve_get(size_t at) {
  const char *key = fake_fleet.calls[at].text + strlen("GET ");
  for (size_t i = 0; i < shelf.count; i++)
    if (strcmp(shelf.keys[i], key) == 0 && shelf.values[i]) {
      fake_answer_octets(at, REDIS_REPLY_STRING, shelf.values[i], shelf.lengths[i], now.now_ms);
      return;
    }
  fake_answer_nil(at, now.now_ms);
}

/* Answers all that is open. */
static void serve(void) {
  for (; served < fake_fleet.count; served++) {
    const struct fleet_call *call = &fake_fleet.calls[served];
    if (!call->is_open)
      continue;
    if (is_word(call, "SCAN"))
      serve_scan(served);
    else
      serve_get(served);
  }
}

static void pass(int64_t ms) {
  now.now_ms += ms;
  now.wall_ms += ms;
}

/* The loop turns, as often as there is something to do now, or answers come; then time passes. */
static void turn(void) {
  size_t before;
  do {
    before = fake_fleet.count;
    warm_run(warm, now.now_ms);
    serve();
  } while (warm_next_ms(warm) <= now.now_ms || fake_fleet.count > before);
  if (!warm_has_ended(warm))
    pass(1);
}

static void run_to_the_end(void) {
  while (!warm_has_ended(warm))
    turn();
}

static size_t sent(const char *word) {
  size_t count = 0;
  for (size_t i = 0; i < fake_fleet.count; i++)
    count += is_word(&fake_fleet.calls[i], word);
  return count;
}

static bool is_sent(const char *text) {
  for (size_t i = 0; i < fake_fleet.count; i++)
    if (strcmp(fake_fleet.calls[i].text, text) == 0)
      return true;
  return false;
}

static uint64_t sum_of_outcomes(void) {
  uint64_t sum = 0;
  for (enum stats_counter counter = STATS_WARM_FOUND + 1; counter <= STATS_WARM_LEFT; counter++)
    sum += counted(counter);
  return sum;
}

static void assert_counts(uint64_t found, uint64_t loaded) {
  assert_int_equal(counted(STATS_WARM_FOUND), found);
  assert_int_equal(counted(STATS_WARM_LOADED), loaded);
  assert_int_equal(sum_of_outcomes(), found);
}

static bool has_addresses(const char *name) {
  const struct host *host = cache_find_host(cache, name, strlen(name));
  return host && host_facts_are_ready(atomic_load(&host->facts), true, now.now_ms);
}

/* ---- tests ---- */

static void all_that_the_store_holds_is_in_memory_afterwards(void **state) {
  (void)state;
  put_many(250);
  put_denials(3);
  run_to_the_end();
  assert_counts(250 + 3 + 25, 250 + 3 + 25);
  for (size_t i = 0; i < 250; i++) {
    const struct domain_facts *facts = memory_peek(cache, numbered("d", i));
    assert_non_null(facts);
    assert_int_equal(facts->kind, DOMAIN_MX);
    assert_int_equal(facts->stored_at_ms, RECORD_SAMPLE_NOW_MS);
    assert_int_equal(facts->expires_at_ms, RECORD_SAMPLE_NOW_MS + 3600 * S);
    assert_int_equal(cache_hits(facts), 0); /* the first to be evicted */
    assert_true(has_addresses(facts->set->exchanges[0].host->name));
  }
  assert_int_equal(memory_peek(cache, "gone2.example")->kind, DOMAIN_NXDOMAIN);
}

static void nothing_but_scans_and_reads_is_said_and_no_lookup_is_counted(void **state) {
  (void)state;
  put_many(250);
  run_to_the_end();
  assert_int_equal(sent("GET"), 275);
  assert_int_equal(sent("SCAN"), 3);
  assert_int_equal(fake_fleet.count, 278);
  for (size_t i = 0; i < fake_fleet.count; i++)
    assert_int_equal(fake_fleet.calls[i].purpose, FLEET_READ);
  assert_int_equal(counted(STATS_STORE_HITS) + counted(STATS_STORE_MISSES) + counted(STATS_HITS), 0);
}

static void what_it_is_about_is_told(void **state) {
  (void)state;
  char text[WARM_TEXT_SIZE];
  fake_fleet.is_down[FLEET_READ] = true;
  put_many(100);
  put_octets("mxway:1:d:bad.example", "bad", 3);
  turn();
  assert_string_equal(warm_text(warm, text), "waits for the shared store");
  fake_fleet.is_down[FLEET_READ] = false;
  while (counted(STATS_WARM_LOADED) < 40)
    turn();
  assert_string_equal(warm_text(warm, text), "40 of 101 values so far, 0 refused");
  run_to_the_end();
  assert_string_equal(warm_text(warm, text), "110 of 111 values in 0.1 s, 1 refused");
}

/* What has been sent, as reads. */
static size_t reads(void) { return sent("GET") + WARM_READS_OF_SCAN * sent("SCAN"); }

static void the_rate_is_kept(void **state) {
  (void)state;
  options.rate = 100;
  warm_destroy(warm);
  create();
  put_many(1000);
  int64_t begun_ms = now.now_ms;
  while (now.now_ms < begun_ms + 5 * S) {
    turn();
    int64_t most = WARM_READS_OF_SCAN + (now.now_ms - begun_ms + WARM_BURST_MS) / 10;
    assert_in_range(reads(), most > 23 ? most - 23 : 0, most);
  }
  size_t before = reads();
  pass(2 * S); /* the loop was held up: that is not made good */
  turn();
  assert_in_range(reads() - before, 1, 1 + WARM_READS_OF_SCAN);
}

static void the_highest_rate_is_kept_too(void **state) {
  (void)state;
  options.rate = 100000;
  warm_destroy(warm);
  create();
  put_many(2000);
  for (int64_t end_ms = now.now_ms + 5; now.now_ms < end_ms;)
    turn();
  /* Answers come at once here, so that nothing but the rate bounds it. */
  assert_in_range(reads(), 1000, 1000 + 500 + WARM_READS_OF_SCAN);
}

static void a_share_of_the_commands_is_outstanding_at_most(void **state) {
  (void)state;
  static const struct {
    uint32_t max_commands;
    size_t expected;
  } cases[] = {{1, 1}, {8, 1}, {80, 10}, {512, 64}, {65536, 64}};
  put_many(300);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    warm_destroy(warm);
    fake_fleet_init();
    fake_add_server("/one");
    served = 0;
    options.rate = 100000;
    options.max_commands = cases[i].max_commands;
    create();
    warm_run(warm, now.now_ms);
    serve(); /* the keys */
    size_t most = 0;
    for (int turns = 0; turns < 50; turns++, pass(1)) {
      warm_run(warm, now.now_ms);
      size_t gets = 0;
      for (size_t at = served; at < fake_fleet.count; at++)
        gets += fake_fleet.calls[at].is_open && is_word(&fake_fleet.calls[at], "GET");
      most = gets > most ? gets : most;
    }
    assert_int_equal(most, cases[i].expected);
  }
}

static void where_all_commands_are_taken_it_waits_and_loses_nothing(void **state) {
  (void)state;
  put_many(100);
  turn();
  fake_fleet.error = ERR_OVERLOAD;
  size_t before = fake_fleet.count;
  for (int i = 0; i < 2000; i++)
    turn();
  assert_int_equal(fake_fleet.count, before);
  fake_fleet.error = 0;
  run_to_the_end();
  assert_counts(110, 110);
}

static void put_known(const char *name, int64_t stored_at_ms, int64_t expires_at_ms, uint32_t lead_ms) {
  static struct domain_value value;
  memset(&value, 0, sizeof(value));
  value.stored_at_ms = stored_at_ms;
  value.expires_at_ms = expires_at_ms;
  value.refresh_lead_ms = lead_ms;
  memory_add(&value, 10, "known.example");
  domain_value_normalise(&value, 0, NULL);
  memory_put(cache, name, &value);
}

static bool is_known_still(const char *name) {
  return strcmp(memory_peek(cache, name)->set->exchanges[0].host->name, "known.example") == 0;
}

static void what_memory_holds_is_not_asked_for(void **state) {
  (void)state;
  put_known("a.example", now.now_ms - 10 * S, now.now_ms + 100 * S, 10 * S);
  put_domain("a.example", "mx.example", 0, 3600);
  run_to_the_end();
  assert_false(is_sent("GET mxway:1:d:a.example"));
  assert_true(is_known_still("a.example"));
  assert_int_equal(counted(STATS_WARM_KNOWN), 1);
}

static void what_is_about_to_expire_is_renewed(void **state) {
  (void)state;
  put_known("a.example", now.now_ms - 100 * S, now.now_ms + 5 * S, 10 * S);
  put_domain("a.example", "mx.example", 0, 3600);
  put_host("mx.example", 0, 3600);
  run_to_the_end();
  assert_false(is_known_still("a.example"));
}

static void what_was_learned_as_late_is_left_although_it_ends_sooner(void **state) {
  (void)state;
  put_known("a.example", now.now_ms - 100 * S, now.now_ms + 5 * S, 10 * S);
  put_domain("a.example", "mx.example", 99500, 3600);
  put_known("b.example", now.now_ms - 100 * S, now.now_ms + 5 * S, 10 * S);
  put_domain("b.example", "mx.example", 101 * S, 3600);
  put_known("c.example", now.now_ms - 100 * S, now.now_ms + 5 * S, 10 * S);
  put_domain("c.example", "mx.example", 98 * S, 3600);
  run_to_the_end();
  assert_true(is_known_still("a.example")); /* so close that neither clock says which was first */
  assert_true(is_known_still("b.example"));
  assert_false(is_known_still("c.example"));
  assert_int_equal(counted(STATS_WARM_KNOWN), 2);
}

static void what_ends_no_later_is_no_gain(void **state) {
  (void)state;
  put_known("a.example", now.now_ms - 100 * S, now.now_ms + 5 * S, 10 * S);
  put_domain("a.example", "mx.example", 50 * S, 60);
  run_to_the_end();
  assert_true(is_sent("GET mxway:1:d:a.example"));
  assert_true(is_known_still("a.example"));
  assert_int_equal(counted(STATS_WARM_KNOWN), 1);
}

static void what_comes_to_be_known_while_the_store_is_asked_is_left(void **state) {
  (void)state;
  put_domain("a.example", "mx.example", 50 * S, 3600);
  warm_run(warm, now.now_ms);
  serve();
  pass(20);
  warm_run(warm, now.now_ms);
  assert_true(is_sent("GET mxway:1:d:a.example"));
  put_known("a.example", now.now_ms, now.now_ms + 60 * S, 6 * S);
  run_to_the_end();
  assert_true(is_known_still("a.example"));
  assert_int_equal(counted(STATS_WARM_KNOWN), 1);
}

static void what_is_being_looked_up_is_left_to_the_lookup(void **state) {
  (void)state;
  struct question question = {.depth = DEPTH_EXCHANGES};
  struct answer answer;
  put_domain("a.example", "mx.example", 50 * S, 3600);
  warm_run(warm, now.now_ms);
  serve();
  memory_name(&question.name, "a.example");
  question.hash = name_hash(question.name.text, question.name.length);
  assert_false(resolver_ask(resolver, &question, now.now_ms, &answer));
  size_t looked_up = fake_fleet.count - 1;
  assert_string_equal(fake_fleet.calls[looked_up].text, "GET mxway:1:d:a.example");
  pass(20);
  warm_run(warm, now.now_ms);
  assert_int_equal(sent("GET"), 2);
  serve_get(fake_fleet.count - 1); /* that of the warm start is answered first */
  assert_null(memory_peek(cache, "a.example"));
  assert_int_equal(counted(STATS_WARM_KNOWN), 1);
  answer_count = 0;
  serve_get(looked_up);
  assert_int_equal(answer_count, 1);
  assert_non_null(memory_peek(cache, "a.example"));
  assert_int_equal(counted(STATS_STORE_HITS), 1); /* and the DNS was not asked: close_it looks */
}

static void addresses_that_are_being_looked_up_are_left_to_the_lookup(void **state) {
  (void)state;
  struct question question = {.depth = DEPTH_ADDRESSES};
  struct answer answer;
  put_known("a.example", now.now_ms, now.now_ms + 100 * S, 0);
  put_host("known.example", 0, 3600);
  warm_run(warm, now.now_ms);
  serve_scan(served++);
  memory_name(&question.name, "a.example");
  question.hash = name_hash(question.name.text, question.name.length);
  assert_false(resolver_ask(resolver, &question, now.now_ms, &answer));
  pass(20);
  for (int i = 0; i < 3; i++) /* that all domains are read is seen, then the hosts are */
    warm_run(warm, now.now_ms);
  assert_int_equal(sent("GET"), 2);
  assert_string_equal(fake_fleet.calls[1].text, fake_fleet.calls[2].text);
  serve_get(2);
  assert_null(atomic_load(&memory_host(cache, "known.example")->facts));
  answer_count = 0;
  serve_get(1);
  assert_int_equal(answer_count, 1);
  assert_true(has_addresses("known.example"));
  assert_int_equal(counted(STATS_STORE_HITS), 1);
}

static void failures_in_memory_give_way(void **state) {
  (void)state;
  static struct domain_value value;
  memset(&value, 0, sizeof(value));
  value.kind = DOMAIN_FAILED;
  value.cause = VERDICT_DNS_TIMEOUT;
  value.failures = 1;
  value.stored_at_ms = now.now_ms;
  value.expires_at_ms = now.now_ms + 300 * S;
  memory_put(cache, "a.example", &value);
  put_domain("a.example", "mx.example", 50 * S, 3600);
  run_to_the_end();
  assert_int_equal(memory_peek(cache, "a.example")->kind, DOMAIN_MX);
}

static void a_family_that_was_learned_as_late_is_left(void **state) {
  (void)state;
  struct family_value values[FAMILY_COUNT];
  put_domain("a.example", "mx.example", 0, 3600);
  put_host("mx.example", 100 * S, 3600);
  put_known("known.test", now.now_ms, now.now_ms + 100 * S, 0);
  run_to_the_end();
  /* Once more, with IPv4 known from a later answer and about to expire, IPv6 expired. */
  const struct host_facts *facts = atomic_load(&memory_host(cache, "mx.example")->facts);
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    host_facts_unpack(facts, family, &values[family]);
  values[FAMILY_V4].count = 1;
  values[FAMILY_V4].expires_at_ms = now.now_ms + 2 * S;
  values[FAMILY_V4].life_ms = 50 * S;
  values[FAMILY_V4].refresh_at_ms = now.now_ms;
  snprintf(values[FAMILY_V4].expanded, FACTS_NAME_SIZE, "alias.example");
  values[FAMILY_V6].expires_at_ms = now.now_ms - 1;
  memory_give(cache, "mx.example", values, now.now_ms);
  warm_destroy(warm);
  create();
  run_to_the_end();
  facts = atomic_load(&memory_host(cache, "mx.example")->facts);
  assert_int_equal(facts->count[FAMILY_V4], 1);
  assert_int_equal(facts->state[FAMILY_V6], FAMILY_NODATA);
  assert_true(facts->expires_at_ms[FAMILY_V6] > now.now_ms + 3000 * S);
  assert_true(facts->expanded_length > 0); /* as the later answer says */
}

static void the_later_of_two_families_says_what_the_alias_is(void **state) {
  (void)state;
  struct family_value values[FAMILY_COUNT];
  put_known("a.example", now.now_ms, now.now_ms + 100 * S, 0);
  put_host("known.example", 100 * S, 3600);
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    host_facts_unpack(NULL, family, &values[family]);
  values[FAMILY_V4].state = FAMILY_NODATA;
  values[FAMILY_V4].expires_at_ms = now.now_ms + 10000 * S;
  values[FAMILY_V4].life_ms = 15000 * S;
  for (enum family family = 0; family < FAMILY_COUNT; family++)
    snprintf(values[family].expanded, FACTS_NAME_SIZE, "old-alias.example");
  memory_give(cache, "known.example", values, now.now_ms);
  run_to_the_end();
  const struct host_facts *facts = atomic_load(&memory_host(cache, "known.example")->facts);
  assert_int_equal(facts->state[FAMILY_V6], FAMILY_NODATA);
  assert_int_equal(facts->state[FAMILY_V4], FAMILY_NODATA); /* as it was: it holds for longer */
  assert_int_equal(facts->expanded_length, 0);
}

static bool was_purged(void *context, const struct record *record) {
  return record->generation < *(const uint64_t *)context;
}

static void values_that_cannot_be_used_are_refused(void **state) {
  (void)state;
  static uint64_t generation = 42;
  char key[STORE_KEY_SIZE];
  uint8_t bytes[RECORD_MAX + 1] = {0};
  store_set_purged(store, was_purged, &generation);
  put_domain("old.example", "mx.example", 0, 3600); /* from generation 41 */
  record_sample_domain(&made, "good.example", DOMAIN_MX, 0, 3600);
  record_sample_add(&made, 10, "mx.example");
  made.generation = 42;
  put_made();
  size_t last = shelf.count - 1;
  store_key(store, RECORD_DOMAIN, "moved.example", 13, key);
  put_octets(key, shelf.values[last], shelf.lengths[last]);
  store_key(store, RECORD_DOMAIN, "cut.example", 11, key);
  put_octets(key, shelf.values[last], shelf.lengths[last] - 1);
  put_octets("mxway:1:d:empty.example", "", 0);
  put_octets("mxway:1:d:long.example", bytes, sizeof(bytes));
  put_octets("mxway:1:d:missing.example", NULL, 0);
  put_host("mx.example", 0, 3600); /* from generation 41 */
  run_to_the_end();
  assert_counts(8, 1);
  assert_int_equal(counted(STATS_WARM_REFUSED), 6);
  assert_int_equal(counted(STATS_WARM_MISSING), 1);
  assert_int_equal(counted(STATS_STORE_PURGED), 2);
  assert_int_equal(counted(STATS_STORE_WRONG_NAME), 1);
  assert_int_equal(counted(STATS_STORE_CORRUPT), 1);
  assert_int_equal(counted(STATS_STORE_NO_RECORD), 1);
  assert_int_equal(counted(STATS_STORE_TOO_LONG), 1);
  assert_int_equal(cache_count(cache), 1);
  assert_non_null(memory_peek(cache, "good.example"));
}

static void what_has_expired_is_left(void **state) {
  (void)state;
  put_domain("stale.example", "mx.example", 3600 * S, 60);
  put_domain("bounded.example", "mx.example", 90000 * S, 604800); /* by max-ttl of this node */
  put_domain("dead.example", "mx.example", 3600 * S, 60);
  put_domain("good.example", "mx.example", 10 * S, 60);
  put_host("mx.example", 3600 * S, 60);
  pass(86400 * S - 3540 * S); /* dead, but for those that the samples say live longer */
  pass(1 - (86400 * S - 3540 * S));
  run_to_the_end();
  assert_counts(5, 1);
  assert_int_equal(counted(STATS_WARM_EXPIRED), 4);
  assert_int_equal(counted(STATS_WARM_REFUSED), 0);
  assert_int_equal(cache_count(cache), 1);
  assert_null(atomic_load(&memory_host(cache, "mx.example")->facts));
}

static void keys_that_are_no_names_are_not_asked_for(void **state) {
  (void)state;
  static char longest[1200];
  static const char *const keys[] = {"mxway:1:d:",
                                     "mxway:1:d:two words.example",
                                     "mxway:1:d:UPPER.example",
                                     "mxway:1:d:dot.example.",
                                     "mxway:1:d:a..example",
                                     "mxway:1:d:192.0.2.1",
                                     "mxway:1:d:[192.0.2.1]",
                                     "mxway:1:d:a@b.example",
                                     "mxway:1:x:a.example",
                                     "other",
                                     "",
                                     "mxway:1:d:b\xc3\xbc.example"};
  enum { COUNT = sizeof(keys) / sizeof(keys[0]) };
  for (size_t i = 0; i < COUNT; i++)
    put_octets(keys[i], "x", 1);
  memset(longest, 'a', sizeof(longest) - 1);
  memcpy(longest, "mxway:1:d:", 10);
  put_octets(longest, "x", 1);
  longest[10 + 254] = '\0';
  put_octets(longest, "x", 1);
  run_to_the_end();
  assert_int_equal(sent("GET"), 0);
  assert_counts(COUNT + 2, 0);
  assert_int_equal(counted(STATS_WARM_REFUSED), COUNT + 2);
}

static void a_key_that_comes_twice_is_asked_for_once(void **state) {
  (void)state;
  put_many(200);
  put_domain("d3.example", "mx0.example", 0, 3600);
  run_to_the_end();
  assert_int_equal(sent("GET"), 220);
  assert_counts(221, 220);
  assert_int_equal(counted(STATS_WARM_KNOWN), 1);
}

static void reopen_with_cache_of(size_t bytes) {
  destroy_cache();
  create_cache(bytes);
  create();
}

static void it_ends_where_memory_is_nine_tenths_full(void **state) {
  (void)state;
  enum { BYTES = 1 << 18 };
  reopen_with_cache_of(BYTES);
  for (size_t i = 0; i < 2500; i++) {
    char host[64];
    snprintf(host, sizeof(host), "mx%zu.example", i);
    put_domain(numbered("d", i), host, 0, 3600);
  }
  run_to_the_end();
  assert_true(counted(STATS_WARM_LOADED) > 100);
  assert_true(counted(STATS_WARM_LOADED) < 2000);
  assert_in_range(cache_bytes(cache), BYTES / 10 * 9 - 4096, BYTES / 10 * 9 + 8192);
  assert_int_equal(counted(STATS_CACHE_EVICTIONS) + counted(STATS_CACHE_EXPIRATIONS), 0);
}

static void denials_displace_no_denials(void **state) {
  (void)state;
  reopen_with_cache_of(1 << 18);
  put_denials(1500);
  put_many(20);
  run_to_the_end();
  assert_int_equal(counted(STATS_CACHE_DENIED_EVICTIONS), 0);
  assert_in_range(counted(STATS_WARM_LEFT), 200, 1400);
  assert_int_equal(counted(STATS_WARM_LOADED) + counted(STATS_WARM_LEFT), 1522);
  for (size_t i = 0; i < 20; i++)
    assert_non_null(memory_peek(cache, numbered("d", i)));
}

static void it_begins_when_the_store_is_up_and_only_once(void **state) {
  (void)state;
  put_many(10);
  fake_fleet.is_down[FLEET_READ] = true;
  for (int i = 0; i < 5000; i++)
    turn();
  assert_int_equal(fake_fleet.count, 0);
  fake_fleet.is_down[FLEET_READ] = false;
  run_to_the_end();
  assert_counts(11, 11);
  size_t before = fake_fleet.count;
  fake_fleet.is_down[FLEET_READ] = true;
  turn();
  fake_fleet.is_down[FLEET_READ] = false;
  for (int i = 0; i < 100; i++, pass(S))
    turn();
  assert_int_equal(fake_fleet.count, before);
  assert_int_equal(warm_next_ms(warm), INT64_MAX);
}

/* The connection is lost with all that is under way. */
static void lose_connection(void) {
  fake_fleet.is_down[FLEET_READ] = fake_fleet.is_away[0] = true;
  fake_fleet.error = ERR_NETWORK;
  for (size_t i = served; i < fake_fleet.count; i++)
    if (fake_fleet.calls[i].is_open)
      fake_answer(i, NULL, now.now_ms);
  served = fake_fleet.count;
}

static void find_connection(void) {
  fake_fleet.is_down[FLEET_READ] = fake_fleet.is_away[0] = false;
  fake_fleet.error = 0;
}

static void it_pauses_while_the_store_is_away_and_goes_on(void **state) {
  (void)state;
  put_many(500);
  for (int outage = 0; outage < 4; outage++) {
    for (int i = 0; i < 50; i++)
      turn();
    for (; fake_fleet.open_count == 0; pass(1))
      warm_run(warm, now.now_ms);
    lose_connection();
    size_t before = fake_fleet.count;
    for (int i = 0; i < 60 * 4; i++, pass(250))
      turn();
    assert_int_equal(fake_fleet.count, before);
    find_connection();
  }
  run_to_the_end();
  assert_counts(550, 550);
}

static void a_value_that_is_never_told_is_left(void **state) {
  (void)state;
  put_many(10);
  warm_run(warm, now.now_ms);
  serve();
  while (!warm_has_ended(warm)) {
    pass(1);
    warm_run(warm, now.now_ms);
    for (; served < fake_fleet.count; served++) {
      if (strstr(fake_fleet.calls[served].text, ":d:d3.") && served % 2 == 0)
        fake_answer_error(served, "TRYAGAIN Multiple keys request during rehashing of slot", now.now_ms);
      else if (strstr(fake_fleet.calls[served].text, ":d:d3."))
        fake_answer(served, NULL, now.now_ms);
      else
        serve_get(served);
    }
  }
  assert_counts(11, 10);
  assert_int_equal(counted(STATS_WARM_FAILED), 1);
  assert_int_equal(sent("GET"), 10 + WARM_TRIES);
}

/* A server that hangs is found out by three commands that are not answered: by different ones. */
static void a_server_that_hangs_costs_no_value(void **state) {
  (void)state;
  put_many(300);
  for (int i = 0; i < 100; i++)
    turn();
  for (int failures = 0; failures < LINK_FAILURES; failures++) {
    for (int i = 0; i < 2 * WARM_PAUSE_MS; i++, pass(1))
      warm_run(warm, now.now_ms);
    assert_in_range(fake_fleet.open_count, 1, failures == 0 ? WARM_OUTSTANDING_MAX + 1 : 2); /* 1: a SCAN */
    for (; served < fake_fleet.count; served++)
      fake_answer(served, NULL, now.now_ms);
  }
  run_to_the_end();
  assert_counts(330, 330);
}

/* One value ends the connection, and all that is asked for behind it has no answer either. */
static void a_value_that_ends_the_connection_takes_no_other_with_it(void **state) {
  (void)state;
  put_many(100);
  while (!warm_has_ended(warm)) {
    bool is_lost = false;
    warm_run(warm, now.now_ms);
    for (; served < fake_fleet.count; served++) {
      is_lost |= strstr(fake_fleet.calls[served].text, ":d:d3.") != NULL;
      if (is_lost)
        fake_answer(served, NULL, now.now_ms);
      else if (is_word(&fake_fleet.calls[served], "SCAN"))
        serve_scan(served);
      else
        serve_get(served);
    }
    pass(1);
  }
  assert_counts(110, 109);
  assert_int_equal(counted(STATS_WARM_FAILED), 1);
}

static void a_server_of_several_that_is_away_is_not_waited_for(void **state) {
  (void)state;
  put_many(20);
  warm_run(warm, now.now_ms);
  serve();
  fake_fleet.error = ERR_NETWORK; /* that of the key, while others are up */
  pass(100);
  for (int i = 0; i < 10 && !warm_has_ended(warm); i++)
    turn();
  fake_fleet.error = 0;
  run_to_the_end();
  assert_true(counted(STATS_WARM_FAILED) >= 20);
  assert_int_equal(sum_of_outcomes(), counted(STATS_WARM_FOUND));
}

static void what_a_purge_overtakes_is_not_brought_back(void **state) {
  (void)state;
  struct name name;
  memory_name(&name, "d0.example");
  for (int way = 0; way < 4; way++) {
    close_it(state);
    open_it(state);
    put_domain("d0.example", "mx.example", 0, 3600);
    warm_run(warm, now.now_ms);
    serve();
    pass(20);
    warm_run(warm, now.now_ms);
    assert_true(is_sent("GET mxway:1:d:d0.example"));
    switch (way) {
    case 0:
      resolver_forget_domain(resolver, &name, name_hash(name.text, name.length));
      break;
    case 1:
      resolver_forget(resolver, NULL, UINT32_MAX);
      break;
    case 2:
      resolver_forget(resolver, &name, UINT32_MAX);
      break;
    default:
      resolver_forget_host(resolver, NULL, UINT32_MAX);
    }
    run_to_the_end();
    assert_null(memory_peek(cache, "d0.example"));
    assert_counts(1, 0);
    assert_int_equal(counted(STATS_WARM_LEFT), 1);
  }
}

static void a_scan_without_end_ends_after_an_hour(void **state) {
  (void)state;
  options.rate = 1;
  warm_destroy(warm);
  create();
  put_many(5);
  shelf.is_endless = true;
  int64_t begun_ms = now.now_ms;
  run_to_the_end();
  assert_int_equal(now.now_ms, begun_ms + WARM_LONGEST_MS);
  assert_in_range(reads(), 3500, 3600 + WARM_READS_OF_SCAN);
  assert_int_equal(counted(STATS_WARM_LOADED), 5);
}

static void it_can_be_ended_at_any_moment(void **state) {
  for (size_t turns = 0; turns < 120; turns++) {
    close_it(state);
    open_it(state);
    put_many(40);
    for (size_t i = 0; i < turns && !warm_has_ended(warm); i++) {
      warm_run(warm, now.now_ms);
      if (i % 3 == 2)
        serve();
      pass(i % 2);
    }
  }
}

/* Answers come one at a time, as from a server: others are under way when memory is full. */
static void it_ends_while_answers_are_under_way(void **state) {
  (void)state;
  reopen_with_cache_of(1 << 18);
  for (size_t i = 0; i < 2500; i++) {
    char host[64];
    snprintf(host, sizeof(host), "mx%zu.example", i);
    put_domain(numbered("d", i), host, 0, 3600);
  }
  size_t under_way = 0;
  while (!warm_has_ended(warm)) {
    warm_run(warm, now.now_ms);
    bool is_scan = fake_fleet.count > served && is_word(&fake_fleet.calls[served], "SCAN");
    if (fake_fleet.count - served > 8 || is_scan) {
      under_way = fake_fleet.open_count - 1;
      (is_scan ? serve_scan : serve_get)(served);
      served++;
    }
    pass(1);
  }
  assert_true(under_way > 0);
  assert_int_equal(fake_fleet.open_count, 0);
}

static void several_servers_are_read(void **state) {
  (void)state;
  fake_add_server("/two");
  put_many(30); /* both say that they have all of it */
  run_to_the_end();
  assert_int_equal(counted(STATS_WARM_LOADED), 33);
  assert_int_equal(counted(STATS_WARM_KNOWN), 30);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)
      TEST(all_that_the_store_holds_is_in_memory_afterwards),
      TEST(nothing_but_scans_and_reads_is_said_and_no_lookup_is_counted),
      TEST(what_it_is_about_is_told),
      TEST(the_rate_is_kept),
      TEST(the_highest_rate_is_kept_too),
      TEST(a_share_of_the_commands_is_outstanding_at_most),
      TEST(where_all_commands_are_taken_it_waits_and_loses_nothing),
      TEST(what_memory_holds_is_not_asked_for),
      TEST(what_is_about_to_expire_is_renewed),
      TEST(what_was_learned_as_late_is_left_although_it_ends_sooner),
      TEST(what_ends_no_later_is_no_gain),
      TEST(what_comes_to_be_known_while_the_store_is_asked_is_left),
      TEST(what_is_being_looked_up_is_left_to_the_lookup),
      TEST(addresses_that_are_being_looked_up_are_left_to_the_lookup),
      TEST(failures_in_memory_give_way),
      TEST(a_family_that_was_learned_as_late_is_left),
      TEST(the_later_of_two_families_says_what_the_alias_is),
      TEST(values_that_cannot_be_used_are_refused),
      TEST(what_has_expired_is_left),
      TEST(keys_that_are_no_names_are_not_asked_for),
      TEST(a_key_that_comes_twice_is_asked_for_once),
      TEST(it_ends_where_memory_is_nine_tenths_full),
      TEST(denials_displace_no_denials),
      TEST(it_begins_when_the_store_is_up_and_only_once),
      TEST(it_pauses_while_the_store_is_away_and_goes_on),
      TEST(a_value_that_is_never_told_is_left),
      TEST(a_server_that_hangs_costs_no_value),
      TEST(a_value_that_ends_the_connection_takes_no_other_with_it),
      TEST(a_server_of_several_that_is_away_is_not_waited_for),
      TEST(what_a_purge_overtakes_is_not_brought_back),
      TEST(a_scan_without_end_ends_after_an_hour),
      TEST(it_can_be_ended_at_any_moment),
      TEST(it_ends_while_answers_are_under_way),
      TEST(several_servers_are_read),
  };
  return cmocka_run_group_tests_name("warm", tests, NULL, NULL);
}
