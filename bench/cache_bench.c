/*
 * mxway-bench-cache: the daemon's cache alone, in one process and without a socket.
 *
 * Puts N domains on 5,000 exchange sets and prints one line of JSON: octets a domain by the cache's own
 * accounts and by the kernel's, the longest put, and nanoseconds a lookup of uniformly drawn names, one at a
 * time and in batches that load ahead (see cache.h). Then as many domains again, which displace the first
 * ones where the bound is reached.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "cache/cache.h"
#include "made_domains.h"
#include "rules/name.h"

enum { LOOKUPS = 1 << 22, BATCH_MOST = 64 };

/* Of the thread: what others do on this core does not count. */
static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static size_t resident_bytes(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  size_t all, resident = 0;
  if (!file || fscanf(file, "%zu %zu", &all, &resident) != 2)
    resident = 0;
  if (file)
    fclose(file);
  return resident * (size_t)sysconf(_SC_PAGESIZE);
}

struct fill {
  double seconds;
  int64_t longest_ns;
};

static struct fill fill(struct cache *cache, uint64_t first, uint64_t count, struct random *random) {
  static struct domain_value value;
  struct fill result = {0};
  int64_t start_ns = now_ns();
  for (uint64_t i = first; i < first + count; i++) {
    char name[MADE_NAME_SIZE];
    size_t length = made_name(name, i);
    made_value(&value, random_below(random, MADE_SETS));
    uint64_t hash = name_hash(name, length);
    int64_t before_ns = now_ns();
    const struct domain_facts *facts = cache_put(cache, name, length, hash, &value);
    int64_t took_ns = now_ns() - before_ns;
    if (took_ns > result.longest_ns)
      result.longest_ns = took_ns;
    if (facts)
      cache_release(cache, facts);
  }
  result.seconds = (double)(now_ns() - start_ns) / 1e9;
  return result;
}

/* What a hit reads of what it found. */
static uint64_t use(const struct domain_facts *facts) {
  if (!facts)
    return 0;
  cache_mark(facts);
  return facts->set ? facts->set->count + exchange_set_bytes(facts->set)[0] : 1;
}

struct question {
  char name[MADE_NAME_SIZE];
  size_t length;
  uint64_t hash;
  const struct domain_facts *guess;
};

/* Nanoseconds a lookup; batches of one do not load ahead. */
static double measure(const struct cache *cache, uint64_t count, unsigned batch, struct random *random) {
  static struct question questions[BATCH_MOST];
  uint64_t found = 0;
  int64_t took_ns = 0;
  for (uint64_t done = 0; done < LOOKUPS; done += BATCH_MOST) {
    for (unsigned i = 0; i < BATCH_MOST; i++) {
      struct question *question = &questions[i];
      question->length = made_name(question->name, random_below(random, (uint32_t)count));
      question->hash = name_hash(question->name, question->length);
    }
    int64_t start_ns = now_ns();
    for (unsigned first = 0; first < BATCH_MOST; first += batch) {
      for (unsigned i = first; batch > 1 && i < first + batch; i++)
        cache_prefetch_directory(cache, questions[i].hash);
      for (unsigned i = first; batch > 1 && i < first + batch; i++)
        cache_prefetch_slot(cache, questions[i].hash);
      for (unsigned i = first; batch > 1 && i < first + batch; i++)
        questions[i].guess = cache_guess(cache, questions[i].hash);
      for (unsigned i = first; batch > 1 && i < first + batch; i++)
        if (questions[i].guess)
          cache_prefetch_set(questions[i].guess);
      for (unsigned i = first; i < first + batch; i++)
        found += use(cache_get_guessed(cache, questions[i].guess, questions[i].name, questions[i].length,
                                       questions[i].hash)) > 0;
    }
    took_ns += now_ns() - start_ns;
  }
  if (found == 0)
    fprintf(stderr, "nothing was found\n");
  return (double)took_ns / LOOKUPS;
}

int main(int argc, char **argv) {
  uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
  size_t bound = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) << 20;
  static struct stats stats;
  struct random random = {.state = 1};
  name_hash_init();
  size_t before = resident_bytes();
  struct cache *cache = cache_create(bound, 0, &stats);
  struct fill first = fill(cache, 0, count, &random);
  size_t grown = resident_bytes() - before;
  size_t kept = cache_count(cache);
  printf(
      "{\"domains\": %zu, \"octets\": %.1f, \"resident\": %.1f, \"put_ns\": %.0f, \"put_longest_us\": %.1f",
      kept, (double)cache_bytes(cache) / (double)kept, (double)grown / (double)kept,
      first.seconds / (double)count * 1e9, (double)first.longest_ns / 1e3);
  static const unsigned batches[] = {1, 8, 16, 32, 64};
  for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++)
    printf(", \"lookup_%u_ns\": %.0f", batches[i], measure(cache, count, batches[i], &random));
  struct fill second = fill(cache, count, count, &random);
  printf(
      ", \"again_put_ns\": %.0f, \"again_longest_us\": %.1f, \"resident_of_bound\": %.3f, \"count\": %zu}\n",
      second.seconds / (double)count * 1e9, (double)second.longest_ns / 1e3,
      (double)(resident_bytes() - before) / (double)bound, cache_count(cache));
  cache_destroy(cache);
  return 0;
}
