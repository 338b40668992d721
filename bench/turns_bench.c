/*
 * mxway-bench-turns: how long one turn of the daemon's loop is held up by a dump, a load, a purge, the sweep.
 *
 * In one process and without a socket: fills a cache with N domains of each of three shapes, has each job
 * done as the control socket does it, and prints a line of JSON a job: turns, and the longest, in
 * microseconds of the thread's CPU time and of the clock, which others on this machine may hold up.
 */
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/cache.h"
#include "control/control.h"
#include "control/job.h"
#include "rules/name.h"

enum { NAME_SIZE = 64, PIECE_BYTES = 48 * 1024, DAY_MS = 86400000 };

static const struct ttl_policy lives = {.max_s = 86400, .max_negative_s = 86400, .prefetch_percent = 10};

static int64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- what is in memory ---- */

struct shape {
  const char *name;
  unsigned exchange_count;
  unsigned set_count; /* different sets; 0: each domain has its own */
};

static const struct shape shapes[] = {
    {"shared", 2, 5000}, {"own", 2, 0}, {"largest", FACTS_EXCHANGES_MAX, 0}};

static void give_addresses(struct cache *cache, struct host *host) {
  static struct family_value values[FAMILY_COUNT];
  for (enum family family = 0; family < FAMILY_COUNT; family++) {
    values[family].state = FAMILY_OK;
    values[family].count = 2;
    values[family].life_ms = DAY_MS;
    values[family].expires_at_ms = clock_now_ms() + DAY_MS;
  }
  cache_put_host(cache, host, host_facts_build(values), clock_now_ms());
}

static void put(struct cache *cache, const struct shape *shape, uint64_t number) {
  static struct domain_value value;
  char name[NAME_SIZE];
  size_t length = (size_t)snprintf(name, NAME_SIZE, "d%" PRIu64 ".bench.test", number);
  uint64_t set = shape->set_count ? number % shape->set_count : number;
  value.kind = DOMAIN_MX;
  value.stored_at_ms = clock_now_ms();
  value.expires_at_ms = value.stored_at_ms + DAY_MS;
  value.count = (uint16_t)shape->exchange_count;
  for (uint16_t i = 0; i < value.count; i++) {
    value.exchanges[i].preference = i;
    snprintf(value.exchanges[i].host, FACTS_NAME_SIZE, "mx%u.p%" PRIu64 ".mail.bench.test", i, set);
  }
  const struct domain_facts *facts = cache_put(cache, name, length, name_hash(name, length), &value);
  for (uint16_t i = 0; facts && i < value.count; i++)
    if (!atomic_load(&facts->set->exchanges[i].host->facts))
      give_addresses(cache, facts->set->exchanges[i].host);
  if (facts)
    cache_release(cache, facts);
}

/* ---- turns ---- */

struct turns {
  const char *what;
  uint64_t count, over_count; /* over: a millisecond of CPU time */
  int64_t longest_cpu_ns, longest_ns, cpu_ns;
};

struct moment {
  int64_t cpu_ns, ns;
};

static struct moment begin_turn(void) {
  return (struct moment){now_ns(CLOCK_THREAD_CPUTIME_ID), now_ns(CLOCK_MONOTONIC)};
}

static void end_turn(struct turns *turns, struct moment start) {
  int64_t cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - start.cpu_ns, ns = now_ns(CLOCK_MONOTONIC) - start.ns;
  turns->count++;
  turns->cpu_ns += cpu_ns;
  turns->over_count += cpu_ns > 1000000;
  turns->longest_cpu_ns = cpu_ns > turns->longest_cpu_ns ? cpu_ns : turns->longest_cpu_ns;
  turns->longest_ns = ns > turns->longest_ns ? ns : turns->longest_ns;
}

static void print_turns(const struct shape *shape, uint64_t domains, const struct turns *turns) {
  printf("{\"shape\": \"%s\", \"domains\": %" PRIu64 ", \"job\": \"%s\", \"turns\": %" PRIu64
         ", \"mean_cpu_us\": %.0f, \"longest_cpu_us\": %.0f, \"over_1ms\": %" PRIu64
         ", \"longest_us\": %.0f}\n",
         shape->name, domains, turns->what, turns->count, (double)turns->cpu_ns / (double)turns->count / 1e3,
         (double)turns->longest_cpu_ns / 1e3, turns->over_count, (double)turns->longest_ns / 1e3);
}

/* A turn of control, and what the loop does before it sleeps. */
static bool take_turn(struct job *job, struct cache *cache, struct turns *turns, struct turns *frees) {
  struct moment start = begin_turn();
  int64_t end_us = clock_now_us() + CONTROL_SLICE_US;
  bool is_done;
  do
    is_done = job_step(job);
  while (!is_done && clock_now_us() < end_us);
  end_turn(turns, start);
  start = begin_turn();
  cache_collect(cache);
  end_turn(frees, start);
  return is_done;
}

/* Runs one request to its end, and packs the reply. Returns its octets, to be freed. */
static uint8_t *run(struct job *job, Mxway__V1__ControlRequest *request, struct turns *turns,
                    struct turns *frees, size_t *length) {
  static struct job_result result;
  static uint8_t packed[1 << 20];
  Mxway__V1__ControlReply reply = MXWAY__V1__CONTROL_REPLY__INIT;
  size_t octets = mxway__v1__control_request__get_packed_size(request);
  uint8_t *frame = malloc(octets);
  mxway__v1__control_request__pack(request, frame);
  struct moment start = begin_turn();
  job_start(job, mxway__v1__control_request__unpack(NULL, octets, frame));
  end_turn(turns, start);
  free(frame);
  while (!take_turn(job, job->served->cache, turns, frees))
    continue;
  start = begin_turn();
  job_fill(job, &result, &reply);
  *length = mxway__v1__control_reply__pack(&reply, packed);
  job_end(job);
  end_turn(turns, start);
  return memcpy(malloc(*length), packed, *length);
}

/* The whole dump; `length` octets, to be freed. */
static uint8_t *dump(struct job *job, struct turns *turns, struct turns *frees, size_t *length) {
  uint8_t *image = NULL;
  *length = 0;
  for (bool is_last = false; !is_last;) {
    Mxway__V1__DumpRequest dump = MXWAY__V1__DUMP_REQUEST__INIT;
    Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
    request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_DUMP;
    request.dump = &dump;
    size_t packed;
    uint8_t *frame = run(job, &request, turns, frees, &packed);
    Mxway__V1__ControlReply *reply = mxway__v1__control_reply__unpack(NULL, packed, frame);
    image = realloc(image, *length + reply->dump->piece.len);
    memcpy(image + *length, reply->dump->piece.data, reply->dump->piece.len);
    *length += reply->dump->piece.len;
    is_last = reply->dump->last;
    mxway__v1__control_reply__free_unpacked(reply, NULL);
    free(frame);
  }
  return image;
}

static void load(struct job *job, const uint8_t *image, size_t length, struct turns *turns,
                 struct turns *frees) {
  for (size_t at = 0, piece; at < length; at += piece) {
    Mxway__V1__LoadRequest load = MXWAY__V1__LOAD_REQUEST__INIT;
    Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
    size_t packed;
    piece = length - at < PIECE_BYTES ? length - at : PIECE_BYTES;
    load.piece = (ProtobufCBinaryData){.len = piece, .data = (uint8_t *)image + at};
    load.last = at + piece == length;
    request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_LOAD;
    request.load = &load;
    free(run(job, &request, turns, frees, &packed));
  }
}

static void purge(struct job *job, struct turns *turns, struct turns *frees) {
  Mxway__V1__PurgeRequest purge = MXWAY__V1__PURGE_REQUEST__INIT;
  Mxway__V1__ControlRequest request = MXWAY__V1__CONTROL_REQUEST__INIT;
  size_t packed;
  purge.what = MXWAY__V1__PURGE_WHAT__PURGE_ALL;
  request.command_case = MXWAY__V1__CONTROL_REQUEST__COMMAND_PURGE;
  request.purge = &purge;
  free(run(job, &request, turns, frees, &packed));
}

/* The sweep of node, over domains that have all expired. */
static void sweep(struct cache *cache, struct turns *turns) {
  while (cache_count(cache) > 0) {
    struct moment start = begin_turn();
    cache_sweep(cache, clock_now_ms() + 2 * DAY_MS, 128);
    end_turn(turns, start);
  }
}

/* A daemon's memory, and a client of its control socket. */
struct daemon {
  struct stats stats;
  struct cache *cache;
  struct resolver *resolver;
  struct job_served served;
  struct job job;
};

static void start(struct daemon *daemon, size_t size_bytes) {
  static const struct resolver_options options = {.learn = {.ttl = lives}};
  daemon->cache = cache_create(size_bytes, 0, &daemon->stats);
  daemon->resolver = resolver_create(daemon->cache, NULL, NULL, &options, &daemon->stats, NULL, NULL);
  daemon->served = (struct job_served){.cache = daemon->cache, .resolver = daemon->resolver, .ttl = &lives};
  job_init(&daemon->job, &daemon->served);
}

static void stop(struct daemon *daemon) {
  job_fini(&daemon->job);
  resolver_destroy(daemon->resolver);
  cache_destroy(daemon->cache);
}

static void measure(const struct shape *shape, uint64_t count) {
  struct turns dumping = {.what = "dump"}, over = {.what = "load over it"}, purging = {.what = "purge"},
               loading = {.what = "load"}, half = {.what = "load into half"}, sweeping = {.what = "sweep"},
               freeing = {.what = "collect"};
  static struct daemon large, small;
  size_t length;
  start(&large, (size_t)8 << 30);
  for (uint64_t i = 0; i < count; i++)
    put(large.cache, shape, i);
  start(&small, cache_bytes(large.cache) / 2);
  uint8_t *image = dump(&large.job, &dumping, &freeing, &length);
  load(&large.job, image, length, &over, &freeing);
  purge(&large.job, &purging, &freeing);
  load(&large.job, image, length, &loading, &freeing);
  load(&small.job, image, length, &half, &freeing);
  sweep(large.cache, &sweeping);
  const struct turns *all[] = {&dumping, &over, &purging, &loading, &half, &sweeping, &freeing};
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
    print_turns(shape, count, all[i]);
  free(image);
  stop(&small);
  stop(&large);
}

/* In a thread, as in the daemon: malloc gives its memory back in other steps than to the first one. */
static void *measure_all(void *count) {
  for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
    measure(&shapes[i], *(uint64_t *)count / (shapes[i].exchange_count / 2));
  return NULL;
}

int main(int argc, char **argv) {
  uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
  pthread_t thread;
#ifdef M_MXFAST
  mallopt(M_MXFAST, 0); /* as main does */
#endif
  name_hash_init();
  log_set_level(LOG_LEVEL_ERROR);
  if (pthread_create(&thread, NULL, measure_all, &count) != 0)
    return 1;
  pthread_join(thread, NULL);
  return 0;
}
