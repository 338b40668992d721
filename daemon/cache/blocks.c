#include "cache/blocks.h"

#include <limits.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/error.h"

static size_t malloc_bytes(void *block) { return malloc_usable_size(block) + sizeof(size_t); }

/* Frees what no reader holds any more. */
static void release(void *context, void *block) {
  struct blocks *blocks = context;
  if (arena_owns(&blocks->arena, block)) {
    blocks->retired_arena_bytes -= arena_block_bytes(&blocks->arena, block);
    arena_free(&blocks->arena, block);
  } else {
    blocks->retired_malloc_bytes -= malloc_bytes(block);
    free(block);
  }
}

void blocks_even_malloc(void) {
#ifdef __GLIBC__
  mallopt(M_MXFAST, 0);
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
}

int blocks_init(struct blocks *blocks, size_t arena_bytes) {
  blocks->charged_bytes = blocks->retired_malloc_bytes = blocks->retired_arena_bytes = 0;
  if (arena_init(&blocks->arena, arena_bytes) != 0)
    return ERR_NOMEM;
  if (qsbr_init(&blocks->qsbr, release, blocks) != 0) {
    arena_fini(&blocks->arena);
    return ERR_NOMEM;
  }
  return 0;
}

void blocks_fini(struct blocks *blocks) {
  qsbr_fini(&blocks->qsbr);
  arena_fini(&blocks->arena);
}

void blocks_charge(struct blocks *blocks, void *block) { blocks->charged_bytes += malloc_bytes(block); }

void blocks_retire_uncharged(void *context, void *block) {
  struct blocks *blocks = context;
  if (arena_owns(&blocks->arena, block))
    blocks->retired_arena_bytes += arena_block_bytes(&blocks->arena, block);
  else
    blocks->retired_malloc_bytes += malloc_bytes(block);
  qsbr_retire(&blocks->qsbr, block);
}

void blocks_retire(struct blocks *blocks, void *block) {
  blocks->charged_bytes -= malloc_bytes(block);
  blocks_retire_uncharged(blocks, block);
}
