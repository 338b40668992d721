/*
 * mxway-bench-hit: the whole of a hit but for the socket, on one core and on two.
 *
 * N domains with the addresses of their exchanges; then each frontend, which is the daemon's own `api` on a
 * loop of its own, gets requests for uniformly drawn names in batches, and its answers are thrown away. Three
 * ways take turns: one frontend; two, as two threads of one process; two, as processes that share what they
 * only read and nothing that they write. Two threads that make twice as many lookups as one wait for nobody;
 * two processes show what two cores of this machine can do at all.
 *
 * Prints JSON: of each depth, round and way the lookups a second and the nanoseconds of CPU a lookup, and how
 * often of the run's time a frontend was not running.
 */
#include <assert.h>
#include <ev.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "made_domains.h"
#include "rules/name.h"
#include "serve/api.h"
#include "serve/reply.h"
#include "serve/server.h"
#include "wire.h"

enum {
  FRONTENDS = 2,
  REQUESTS = 1 << 20, /* of each frontend, over and over */
  REQUEST_BYTES = 48,
  MADE_MOST = 10000000,
  OUTPUT_BYTES = SERVER_BATCH_MAX * REPLY_BYTES_MAX,
  TURNS_UNTIMED = 16, /* between two looks at the clock */
  FIELD_ID = 1,
  FIELD_DOMAIN = 2,
  FIELD_DEPTH = 3,
};

/* Nothing is evicted. */
static const size_t CACHE_BYTES = (size_t)8 << 30;

enum way { ONE_FRONTEND, TWO_THREADS, TWO_PROCESSES, WAY_COUNT };

/* ---- a server without sockets, in the place of the daemon's ---- */

struct connection {
  struct server *server;
  void *word;
};

struct server {
  ev_idle idle;
  struct connection connection;
  server_frames_fn *on_frames;
  void *context;
  const uint8_t *at, *requests, *end;
  int64_t until_ms;
  uint64_t turn_count;
  size_t output_length;
  uint8_t output[OUTPUT_BYTES];
};

static void take_batch(struct server *server) {
  struct arrival arrivals[SERVER_BATCH_MAX];
  for (size_t i = 0; i < SERVER_BATCH_MAX; i++) {
    struct frame *frame = &arrivals[i].frame;
    arrivals[i].connection = &server->connection;
    if (server->at == server->end)
      server->at = server->requests;
    enum frame_state state =
        frame_parse(server->at, (size_t)(server->end - server->at), FRAME_REQUEST_MAX, frame);
    assert(state == FRAME_COMPLETE);
    server->at += frame->header_length + frame->body_length;
  }
  server->on_frames(server->context, arrivals, SERVER_BATCH_MAX);
  server->output_length = 0;
}

static void on_idle(struct ev_loop *loop, ev_idle *idle, int events) {
  (void)events;
  struct server *server = idle->data;
  take_batch(server);
  if (++server->turn_count % TURNS_UNTIMED == 0 && clock_now_ms() >= server->until_ms)
    ev_break(loop, EVBREAK_ALL);
}

static struct server *newest; /* for whoever has just called api_create */

struct server *server_create(struct ev_loop *loop, int listen_fd, _Atomic uint32_t *connection_count,
                             uint32_t max_connections, struct stats *stats, server_frames_fn *on_frames,
                             server_closed_fn *on_closed, void *context) {
  (void)listen_fd, (void)connection_count, (void)max_connections, (void)stats, (void)on_closed;
  struct server *server = newest = calloc(1, sizeof(*server));
  if (!server)
    return NULL;
  server->connection.server = server;
  server->on_frames = on_frames;
  server->context = context;
  ev_idle_init(&server->idle, on_idle);
  server->idle.data = server;
  ev_idle_start(loop, &server->idle);
  return server;
}

uint8_t *server_reserve(struct connection *connection, size_t length) {
  assert(connection->server->output_length + length <= OUTPUT_BYTES);
  return connection->server->output + connection->server->output_length;
}

void server_commit(struct connection *connection, size_t length) {
  connection->server->output_length += length;
}

void **server_word(struct connection *connection) { return &connection->word; }

void server_destroy(struct server *server) { free(server); }

void server_stop(struct server *server) { (void)server; }

int server_is_drained(const struct server *server) {
  (void)server;
  return true;
}

/* Every request is good and every name known: nothing is deferred and nothing breaks. */
struct connection_ref server_defer(struct connection *connection) {
  (void)connection;
  abort();
}

int server_answer(struct server *server, struct connection_ref ref, const uint8_t *bytes, size_t length) {
  (void)server, (void)ref, (void)bytes, (void)length;
  abort();
}

void server_break(struct connection *connection) {
  (void)connection;
  abort();
}

/* ---- what memory holds, and what is asked ---- */

static void *must(void *block) {
  if (!block) {
    fprintf(stderr, "mxway-bench-hit: out of memory\n");
    exit(1);
  }
  return block;
}

static void put_domains(struct cache *cache, uint32_t count, struct random *random) {
  static struct domain_value value;
  for (uint32_t i = 0; i < count; i++) {
    char name[MADE_NAME_SIZE];
    size_t length = made_name(name, i);
    made_value(&value, random_below(random, MADE_SETS));
    const struct domain_facts *facts = cache_put(cache, name, length, name_hash(name, length), &value);
    cache_release(cache, must((void *)(uintptr_t)facts));
  }
}

/* Two addresses of IPv4 each, and one of IPv6 for every other host. */
static void put_addresses(struct cache *cache, struct random *random) {
  struct cache_host_walk walk;
  struct host *host;
  int64_t expires_at_ms = clock_now_ms() + MADE_LIFE_MS;
  cache_host_walk_start(&walk, cache);
  while ((host = cache_host_walk_next(&walk))) {
    static struct family_value values[FAMILY_COUNT];
    uint32_t number = random_below(random, 1 << 16);
    bool has_v6 = number % 2;
    values[FAMILY_V4] = (struct family_value){.state = FAMILY_OK, .expires_at_ms = expires_at_ms, .count = 2};
    values[FAMILY_V6] = (struct family_value){
        .state = has_v6 ? FAMILY_OK : FAMILY_NODATA, .expires_at_ms = expires_at_ms, .count = has_v6};
    for (uint8_t i = 0; i < 2; i++)
      memcpy(values[FAMILY_V4].addresses[i],
             (uint8_t[]){198, 18 + i, (uint8_t)(number >> 8), (uint8_t)number}, 4);
    memcpy(values[FAMILY_V6].addresses[0],
           (uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, (uint8_t)(number >> 8), (uint8_t)number}, 16);
    cache_put_host(cache, host, must(host_facts_build(values)), clock_now_ms());
  }
}

/* Counts as many hits of each as are counted: from then on none is written. */
static void mark_all(const struct cache *cache, uint32_t count) {
  for (uint32_t i = 0; i < count * CACHE_HITS_MAX; i++) {
    char name[MADE_NAME_SIZE];
    size_t length = made_name(name, i % count);
    const struct domain_facts *facts = cache_get(cache, name, length, name_hash(name, length));
    assert(facts);
    cache_mark(facts);
  }
}

/* REQUESTS frames, one behind the other; returns their end. */
static uint8_t *build_requests(uint8_t *at, uint32_t count, enum depth depth, uint64_t seed) {
  struct random random = {.state = seed};
  for (unsigned i = 0; i < REQUESTS; i++) {
    char name[MADE_NAME_SIZE];
    uint8_t body[REQUEST_BYTES], *end = wire_put_uint(body, FIELD_ID, 1 + i % 4096);
    size_t length = made_name(name, random_below(&random, count));
    end = wire_put_string(end, FIELD_DOMAIN, name, length);
    end = wire_put_uint(end, FIELD_DEPTH, depth);
    at += frame_build_header(at, (size_t)(end - body));
    at = wire_put_bytes(at, body, (size_t)(end - body));
  }
  return at;
}

/* ---- frontends ---- */

struct plan;

struct frontend {
  const struct plan *plan;
  struct ev_loop *loop;
  struct stats stats;
  struct api *api;
  struct server *server;
  pthread_t thread;
  size_t cpu;
  double seconds, cpu_s; /* that it took */
};

/* What one frontend made. */
struct made {
  double rate, cpu_ns, idle;
};

/* Memory that all processes write. */
struct common {
  pthread_barrier_t barrier; /* of all frontends of a way */
  struct made made[FRONTENDS];
};

struct plan {
  struct api_shared shared;
  uint8_t *requests[FRONTENDS], *ends[FRONTENDS];
  size_t cpus[FRONTENDS];
  int64_t run_ms;
  struct common *common;
};

static double seconds_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* As the daemon does it: all loops and frontends by one thread, before any runs. */
static void create_frontend(struct plan *plan, struct frontend *frontend, unsigned number) {
  frontend->loop = must(ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV));
  frontend->api = must(api_create(&plan->shared, frontend->loop, &frontend->stats));
  frontend->plan = plan;
  frontend->server = newest;
  frontend->server->requests = frontend->server->at = plan->requests[number];
  frontend->server->end = plan->ends[number];
  frontend->cpu = plan->cpus[number];
}

static void *run_frontend(void *context) {
  struct frontend *frontend = context;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(frontend->cpu, &cpus);
  sched_setaffinity(0, sizeof(cpus), &cpus);
  pthread_barrier_wait(&frontend->plan->common->barrier);
  double start_s = seconds_of(CLOCK_MONOTONIC), start_cpu_s = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  frontend->server->until_ms = clock_now_ms() + frontend->plan->run_ms;
  ev_run(frontend->loop, 0);
  frontend->seconds = seconds_of(CLOCK_MONOTONIC) - start_s;
  frontend->cpu_s = seconds_of(CLOCK_THREAD_CPUTIME_ID) - start_cpu_s;
  return NULL;
}

/* In a child: `count` frontends from `first` on, each in a thread. */
static void run_process(struct plan *plan, unsigned first, unsigned count) {
  struct frontend *frontends = must(aligned_alloc(64, FRONTENDS * sizeof(struct frontend)));
  memset(frontends, 0, FRONTENDS * sizeof(struct frontend));
  for (unsigned i = first; i < first + count; i++)
    create_frontend(plan, &frontends[i], i);
  for (unsigned i = first; i < first + count; i++) {
    if (pthread_create(&frontends[i].thread, NULL, run_frontend, &frontends[i]) != 0)
      _exit(1);
  }
  for (unsigned i = first; i < first + count; i++) {
    pthread_join(frontends[i].thread, NULL);
    uint64_t hits = frontends[i].stats.counters[STATS_HITS];
    assert(hits == frontends[i].server->turn_count * SERVER_BATCH_MAX);
    plan->common->made[i] = (struct made){.rate = (double)hits / frontends[i].seconds,
                                          .cpu_ns = frontends[i].cpu_s / (double)hits * 1e9,
                                          .idle = 1 - frontends[i].cpu_s / frontends[i].seconds};
  }
}

/* Runs one way once, in processes of its own: lookups a second of all; CPU and idleness of the mean. */
static struct made run_way(struct plan *plan, enum way way) {
  unsigned frontends = way == ONE_FRONTEND ? 1 : FRONTENDS, processes = way == TWO_PROCESSES ? FRONTENDS : 1;
  pid_t pids[FRONTENDS];
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&plan->common->barrier, &attributes, frontends);
  for (unsigned i = 0; i < processes; i++) {
    pids[i] = fork();
    if (pids[i] == 0) {
      run_process(plan, i, frontends / processes);
      _exit(0);
    }
  }
  struct made all = {0, 0, 0};
  for (unsigned i = 0; i < processes; i++) {
    int status;
    if (pids[i] < 0 || waitpid(pids[i], &status, 0) != pids[i] || status != 0) {
      fprintf(stderr, "mxway-bench-hit: a run failed\n");
      exit(1);
    }
  }
  for (unsigned i = 0; i < frontends; i++) {
    all.rate += plan->common->made[i].rate;
    all.cpu_ns += plan->common->made[i].cpu_ns / frontends;
    all.idle += plan->common->made[i].idle / frontends;
  }
  return all;
}

static void run_depth(struct plan *plan, enum depth depth, unsigned rounds, uint32_t count, bool is_first) {
  static const char *const ways[] = {"one frontend", "two threads", "two processes"};
  for (unsigned i = 0; i < FRONTENDS; i++)
    plan->ends[i] = build_requests(plan->requests[i], count, depth, i + 1);
  for (unsigned round = 0; round < rounds; round++)
    for (unsigned way = 0; way < WAY_COUNT; way++) {
      struct made made = run_way(plan, way);
      printf(
          "%s\n  {\"depth\": \"%s\", \"round\": %u, \"way\": \"%s\", \"rate\": %.0f, \"cpu_ns\": %.2f, "
          "\"idle\": %.4f}",
          is_first && round + way == 0 ? "" : ",", depth == DEPTH_ADDRESSES ? "addresses" : "exchanges",
          round, ways[way], made.rate, made.cpu_ns, made.idle > 0 ? made.idle : 0);
      fflush(stdout);
    }
}

/* The first two CPUs that this process may use; false where there is one only. */
static bool choose_cpus(size_t chosen[FRONTENDS]) {
  cpu_set_t allowed;
  unsigned count = 0;
  sched_getaffinity(0, sizeof(allowed), &allowed);
  for (size_t i = 0; i < CPU_SETSIZE && count < FRONTENDS; i++)
    if (CPU_ISSET(i, &allowed))
      chosen[count++] = i;
  return count == FRONTENDS;
}

int main(int argc, char **argv) {
  uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
  unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 5;
  static struct plan plan;
  static struct stats stats;
  struct random random = {.state = 1};
  plan.run_ms = argc > 3 ? (int64_t)(strtod(argv[3], NULL) * 1000) : 2000;
  if (count == 0 || count > MADE_MOST || rounds == 0 || plan.run_ms <= 0 || !choose_cpus(plan.cpus)) {
    fprintf(stderr, "usage: mxway-bench-hit [DOMAINS [ROUNDS [SECONDS]]], on two cores\n");
    return 64;
  }
  plan.common = mmap(NULL, sizeof(*plan.common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (plan.common == MAP_FAILED)
    must(NULL);
  for (unsigned i = 0; i < FRONTENDS; i++)
    plan.requests[i] = must(malloc((size_t)REQUESTS * REQUEST_BYTES));
  name_hash_init();
  struct cache *cache = must(cache_create(CACHE_BYTES, 0, &stats));
  put_domains(cache, count, &random);
  put_addresses(cache, &random);
  mark_all(cache, count);
  plan.shared = (struct api_shared){.cache = cache, .listen_fd = -1};
  printf("[");
  run_depth(&plan, DEPTH_EXCHANGES, rounds, count, true);
  run_depth(&plan, DEPTH_ADDRESSES, rounds, count, false);
  printf("\n]\n");
  cache_destroy(cache);
  return 0;
}
