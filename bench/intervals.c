#include "intervals.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct interval {
  struct result_interval result;
  struct histogram *sum; /* NULL before the first thread and after the last */
  unsigned threads;
};

struct intervals {
  pthread_mutex_t lock;
  unsigned thread_count;
  double length_s;
  size_t count, size;
  struct interval *all;
};

struct intervals *intervals_create(unsigned thread_count, double length_s) {
  struct intervals *intervals = calloc(1, sizeof *intervals);
  if (!intervals)
    return NULL;
  pthread_mutex_init(&intervals->lock, NULL);
  intervals->thread_count = thread_count;
  intervals->length_s = length_s;
  return intervals;
}

void intervals_destroy(struct intervals *intervals) {
  if (!intervals)
    return;
  for (size_t i = 0; i < intervals->count; i++)
    free(intervals->all[i].sum);
  free(intervals->all);
  pthread_mutex_destroy(&intervals->lock);
  free(intervals);
}

static struct interval *reach(struct intervals *intervals, size_t index) {
  if (index >= intervals->size) {
    size_t size = index + 64;
    struct interval *larger = reallocarray(intervals->all, size, sizeof *larger);
    if (!larger)
      return NULL;
    intervals->all = larger;
    intervals->size = size;
  }
  for (; intervals->count <= index; intervals->count++) {
    struct interval *added = &intervals->all[intervals->count];
    *added = (struct interval){.threads = 0};
    added->result.at_s = (double)intervals->count * intervals->length_s;
    added->result.length_s = intervals->length_s;
  }
  struct interval *interval = &intervals->all[index];
  if (!interval->sum) {
    interval->sum = malloc(sizeof *interval->sum);
    if (interval->sum)
      histogram_init(interval->sum);
  }
  return interval->sum ? interval : NULL;
}

static void add_growth(struct histogram *sum, const struct histogram *now, const struct histogram *before) {
  if (now->count == before->count)
    return;
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
    sum->buckets[i] += now->buckets[i] - before->buckets[i];
  sum->count += now->count - before->count;
  /* The largest so far bounds the largest of this stretch; its bucket tells it closely enough. */
  if (now->max_ns > sum->max_ns)
    sum->max_ns = now->max_ns;
}

static void make_figures(struct interval *interval) {
  interval->result.completed = interval->sum->count;
  interval->result.p50_ns = histogram_quantile(interval->sum, 0.5);
  interval->result.p99_ns = histogram_quantile(interval->sum, 0.99);
  interval->result.max_ns = histogram_quantile(interval->sum, 1);
  free(interval->sum);
  interval->sum = NULL;
}

void intervals_add(struct intervals *intervals, size_t index, const struct histogram *now,
                   struct histogram *before) {
  pthread_mutex_lock(&intervals->lock);
  struct interval *interval = reach(intervals, index);
  if (interval) {
    add_growth(interval->sum, now, before);
    if (++interval->threads == intervals->thread_count)
      make_figures(interval);
  }
  pthread_mutex_unlock(&intervals->lock);
  if (now->count != before->count)
    memcpy(before, now, sizeof *before);
}

void intervals_finish(struct intervals *intervals, double end_s, struct result_run *run) {
  run->intervals = calloc(intervals->count ? intervals->count : 1, sizeof *run->intervals);
  if (!run->intervals)
    return;
  for (size_t i = 0; i < intervals->count; i++) {
    struct interval *interval = &intervals->all[i];
    if (interval->sum)
      make_figures(interval);
    struct result_interval *result = &interval->result;
    /* The last is what is left of the run; what came after the end belongs to it. */
    if (i + 1 == intervals->count && end_s > result->at_s)
      result->length_s = end_s - result->at_s;
    run->intervals[run->interval_count++] = *result;
  }
}
