/*
 * qsbr: when may the writer free what readers might still look at?
 *
 * Quiescent-state-based reclamation for one writer and many readers. A reader
 * is online while it handles one wake-up of its loop and offline while it
 * waits. What the writer has unlinked is freed once every reader has been
 * offline, or has come online anew, since. Readers never wait and never take a lock;
 * the writer never waits either: it frees at its next calls what has become free, a bounded part at each, so
 * that no call takes long however much there is; but twice as much as was retired since the call before,
 * where that is not too much itself, so that what has piled up while a reader was online goes down again.
 *
 * Invariants: an epoch only grows; a reader's epoch is 0 while offline, else
 * not above the writer's; an object retired at epoch e is freed only when every reader's
 * epoch is 0 or above e.
 *
 * C11 atomics throughout, so that ThreadSanitizer sees the ordering, and the
 * frees happen in the writer's thread, so that its accounts stay exact.
 */
#ifndef MXWAY_DAEMON_QSBR_H
#define MXWAY_DAEMON_QSBR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* One reading thread's mark. Alone on its cache line. */
struct qsbr_reader {
  _Alignas(64) _Atomic uint64_t epoch;
  struct qsbr_reader *next;
};
_Static_assert(sizeof(struct qsbr_reader) == 64, "no cache line has the marks of two threads");

struct qsbr_retired {
  void *object;
  uint64_t epoch;
};

enum {
  QSBR_CHUNK = 1023,
  QSBR_COLLECT_LEAST = 256, /* what a call releases, at most, where nothing was retired since the last */
  QSBR_COLLECT_MOST = 1024  /* and whatever was */
};

struct qsbr_chunk {
  struct qsbr_chunk *next; /* retired later */
  struct qsbr_retired retired[QSBR_CHUNK];
};

struct qsbr {
  _Alignas(64) _Atomic uint64_t epoch; /* written by the writer alone */
  struct qsbr_reader *readers;         /* fixed before the threads start */
  struct qsbr_chunk *oldest, *newest;  /* a list of what is retired */
  struct qsbr_chunk *spare;            /* an empty one, or NULL */
  size_t first, end;                   /* what is used of the oldest chunk, and of the newest */
  size_t count;                        /* retired and not released */
  size_t new_count;                    /* retired since the last collection */
  void (*release)(void *context, void *object);
  void *context;
};

/* `release` frees an object; called in the writer's thread only.
 * Returns 0 or ERR_NOMEM. */
int qsbr_init(struct qsbr *qsbr, void (*release)(void *context, void *object), void *context);

/* Frees everything retired. No reader may be online. */
void qsbr_fini(struct qsbr *qsbr);

/* Adds a reader, lent until fini. Before any thread uses `qsbr`. */
void qsbr_add_reader(struct qsbr *qsbr, struct qsbr_reader *reader);

/* Reader: from here until qsbr_offline, what is found by following published
 * pointers stays alive. Cost: one load, one store, one fence. */
static inline void qsbr_online(struct qsbr *qsbr, struct qsbr_reader *reader) {
  uint64_t epoch = atomic_load_explicit(&qsbr->epoch, memory_order_acquire);
  atomic_store_explicit(&reader->epoch, epoch, memory_order_relaxed);
  /* Pairs with the fence in qsbr_collect: either the writer sees this reader, or
   * this reader sees what the writer has unlinked. */
  atomic_thread_fence(memory_order_seq_cst);
}

/* Reader: keeps nothing it found. */
static inline void qsbr_offline(struct qsbr_reader *reader) {
  atomic_store_explicit(&reader->epoch, 0, memory_order_release);
}

/* Writer: takes `object`, already unlinked, and releases it when no reader can hold it.
 * Never fails: without memory for the list it waits for the readers. Cost: constant. */
void qsbr_retire(struct qsbr *qsbr, void *object);

/* Writer: releases what has become free, the oldest first: QSBR_COLLECT_LEAST objects and twice as many as
 * were retired since the last call, QSBR_COLLECT_MOST at most. Returns how many are left: held by readers, or
 * for the next call. Cost: one load a reader, then one step an object. */
size_t qsbr_collect(struct qsbr *qsbr);

#endif
