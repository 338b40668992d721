#include "qsbr.h"

#include <sched.h>
#include <stdlib.h>

#include "error.h"

enum { FIRST_CAPACITY = 1024 };

int qsbr_init(struct qsbr *qsbr, void (*release)(void *context, void *object), void *context) {
  qsbr->ring = malloc(FIRST_CAPACITY * sizeof(*qsbr->ring));
  if (!qsbr->ring)
    return ERR_NOMEM;
  atomic_init(&qsbr->epoch, 1);
  qsbr->readers = NULL;
  qsbr->capacity = FIRST_CAPACITY;
  qsbr->head = qsbr->count = 0;
  qsbr->release = release;
  qsbr->context = context;
  return 0;
}

void qsbr_add_reader(struct qsbr *qsbr, struct qsbr_reader *reader) {
  atomic_init(&reader->epoch, 0);
  reader->next = qsbr->readers;
  qsbr->readers = reader;
}

static void release_oldest(struct qsbr *qsbr) {
  void *object = qsbr->ring[qsbr->head].object;
  qsbr->head = (qsbr->head + 1) & (qsbr->capacity - 1);
  qsbr->count--;
  qsbr->release(qsbr->context, object);
}

void qsbr_fini(struct qsbr *qsbr) {
  while (qsbr->count > 0)
    release_oldest(qsbr);
  free(qsbr->ring);
  qsbr->ring = NULL;
}

/* The oldest epoch a reader may still be in; UINT64_MAX when all are offline. */
static uint64_t oldest_reader(const struct qsbr *qsbr) {
  uint64_t oldest = UINT64_MAX;
  for (const struct qsbr_reader *reader = qsbr->readers; reader; reader = reader->next) {
    uint64_t epoch = atomic_load_explicit(&reader->epoch, memory_order_acquire);
    if (epoch != 0 && epoch < oldest)
      oldest = epoch;
  }
  return oldest;
}

size_t qsbr_collect(struct qsbr *qsbr) {
  if (qsbr->count == 0)
    return 0;
  /* Readers that come online from here on are not counted among the holders of
   * what is retired already. */
  uint64_t epoch = atomic_load_explicit(&qsbr->epoch, memory_order_relaxed);
  atomic_store_explicit(&qsbr->epoch, epoch + 1, memory_order_release);
  atomic_thread_fence(memory_order_seq_cst); /* pairs with qsbr_online */
  uint64_t oldest = oldest_reader(qsbr);
  while (qsbr->count > 0 && qsbr->ring[qsbr->head].epoch < oldest)
    release_oldest(qsbr);
  return qsbr->count;
}

static int grow(struct qsbr *qsbr) {
  struct qsbr_retired *ring = malloc(2 * qsbr->capacity * sizeof(*ring));
  if (!ring)
    return ERR_NOMEM;
  for (size_t i = 0; i < qsbr->count; i++)
    ring[i] = qsbr->ring[(qsbr->head + i) & (qsbr->capacity - 1)];
  free(qsbr->ring);
  qsbr->ring = ring;
  qsbr->capacity *= 2;
  qsbr->head = 0;
  return 0;
}

void qsbr_retire(struct qsbr *qsbr, void *object) {
  while (qsbr->count == qsbr->capacity)
    if (grow(qsbr) != 0 && qsbr_collect(qsbr) == qsbr->capacity)
      sched_yield();
  qsbr->ring[(qsbr->head + qsbr->count) & (qsbr->capacity - 1)] = (struct qsbr_retired){
      .object = object, .epoch = atomic_load_explicit(&qsbr->epoch, memory_order_relaxed)};
  qsbr->count++;
}
