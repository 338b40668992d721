#include "base/qsbr.h"

#include <sched.h>
#include <stdlib.h>

#include "base/error.h"

static struct qsbr_chunk *new_chunk(void) { return malloc(sizeof(struct qsbr_chunk)); }

int qsbr_init(struct qsbr *qsbr, void (*release)(void *context, void *object), void *context) {
  struct qsbr_chunk *chunk = new_chunk();
  if (!chunk)
    return ERR_NOMEM;
  chunk->next = NULL;
  atomic_init(&qsbr->epoch, 1);
  qsbr->readers = NULL;
  qsbr->oldest = qsbr->newest = chunk;
  qsbr->spare = NULL;
  qsbr->first = qsbr->end = qsbr->count = qsbr->new_count = 0;
  qsbr->release = release;
  qsbr->context = context;
  return 0;
}

void qsbr_add_reader(struct qsbr *qsbr, struct qsbr_reader *reader) {
  atomic_init(&reader->epoch, 0);
  reader->next = qsbr->readers;
  qsbr->readers = reader;
}

/* The oldest chunk has nothing left: one such is kept for the next that is needed. */
static void drop_oldest_chunk(struct qsbr *qsbr) {
  struct qsbr_chunk *chunk = qsbr->oldest;
  qsbr->oldest = chunk->next;
  qsbr->first = 0;
  if (qsbr->spare)
    free(chunk);
  else
    qsbr->spare = chunk;
}

static void release_oldest(struct qsbr *qsbr) {
  void *object = qsbr->oldest->retired[qsbr->first++].object;
  qsbr->count--;
  if (qsbr->count == 0)
    qsbr->first = qsbr->end = 0; /* it is the only chunk */
  else if (qsbr->first == QSBR_CHUNK)
    drop_oldest_chunk(qsbr);
  qsbr->release(qsbr->context, object);
}

void qsbr_fini(struct qsbr *qsbr) {
  while (qsbr->count > 0)
    release_oldest(qsbr);
  free(qsbr->oldest);
  free(qsbr->spare);
  qsbr->oldest = qsbr->newest = qsbr->spare = NULL;
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

/* How many objects one collection may release. */
static size_t share_of_call(const struct qsbr *qsbr) {
  size_t share = QSBR_COLLECT_LEAST + 2 * qsbr->new_count;
  return share < QSBR_COLLECT_MOST ? share : QSBR_COLLECT_MOST;
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
  size_t left = share_of_call(qsbr);
  qsbr->new_count = 0;
  for (; left > 0 && qsbr->count > 0 && qsbr->oldest->retired[qsbr->first].epoch < oldest; left--)
    release_oldest(qsbr);
  return qsbr->count;
}

static struct qsbr_chunk *get_chunk(struct qsbr *qsbr) {
  struct qsbr_chunk *chunk = qsbr->spare ? qsbr->spare : new_chunk();
  qsbr->spare = NULL;
  return chunk;
}

/* Makes room for one more at the end. */
static void extend(struct qsbr *qsbr) {
  struct qsbr_chunk *chunk;
  while (!(chunk = get_chunk(qsbr))) {
    size_t count = qsbr->count;
    if (qsbr_collect(qsbr) == count)
      sched_yield();
    if (qsbr->end < QSBR_CHUNK)
      return; /* all are released, and the only chunk is empty */
  }
  chunk->next = NULL;
  qsbr->newest->next = chunk;
  qsbr->newest = chunk;
  qsbr->end = 0;
}

void qsbr_retire(struct qsbr *qsbr, void *object) {
  if (qsbr->end == QSBR_CHUNK)
    extend(qsbr);
  qsbr->newest->retired[qsbr->end++] = (struct qsbr_retired){
      .object = object, .epoch = atomic_load_explicit(&qsbr->epoch, memory_order_relaxed)};
  qsbr->count++;
  qsbr->new_count++;
}
