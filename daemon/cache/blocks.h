/*
 * blocks: the memory that one writer shares with readers: what it takes is counted until it is free.
 *
 * Blocks are of an arena, or one malloc block each. Those of the arena are in its accounts from arena_get to
 * arena_free; those of malloc are charged here, with malloc's overhead. What the writer has unlinked is
 * retired: it goes to qsbr, and is freed when no reader can hold it. Until then it is in use, but it is told
 * apart, so that a bound can be held against the rest.
 *
 * Invariants: a block of malloc is in charged_bytes or in retired_malloc_bytes; retired <= bytes.
 *
 * The writer's, but for what qsbr gives to readers. Cost: constant, and what qsbr says.
 */
#ifndef MXWAY_DAEMON_BLOCKS_H
#define MXWAY_DAEMON_BLOCKS_H

#include <stddef.h>

#include "base/arena.h"
#include "base/qsbr.h"

struct blocks {
  struct arena arena;
  size_t charged_bytes;                             /* of malloc */
  size_t retired_malloc_bytes, retired_arena_bytes; /* held back for readers */
  struct qsbr qsbr;
};

/* Makes malloc (glibc's) take about as long for each call as for any other. It puts small blocks aside when
 * they are freed and joins all of them at some later call, and gives tens of MiB back to the kernel at once:
 * 5 ms and more, where a purge has freed millions. So blocks are joined one by one, in one heap for all
 * threads, and what is freed is kept, to be used again. Once, before there are threads. */
void blocks_even_malloc(void);

/* An arena of at most `arena_bytes`. Returns 0 or ERR_NOMEM. */
int blocks_init(struct blocks *blocks, size_t arena_bytes);

/* Frees the arena and what is retired, not what is charged. No reader may be left. Fine for zeroes. */
void blocks_fini(struct blocks *blocks);

/* Counts a block of malloc. */
void blocks_charge(struct blocks *blocks, void *block);

/* Takes a block that was charged and is unlinked. */
void blocks_retire(struct blocks *blocks, void *block);

/* Takes a block of the arena, or one of malloc that was never charged; unlinked too. `context` is the
 * struct blocks (see slots_init). */
void blocks_retire_uncharged(void *context, void *block);

/* Octets in use, what readers hold back and what lies idle in the arena included; and those held back. */
static inline size_t blocks_bytes(const struct blocks *blocks) {
  return blocks->charged_bytes + blocks->retired_malloc_bytes + arena_bytes(&blocks->arena);
}
static inline size_t blocks_retired_bytes(const struct blocks *blocks) {
  return blocks->retired_malloc_bytes + blocks->retired_arena_bytes;
}

#endif
