/*
 * arena: memory for millions of small blocks, for one thread that takes and frees; others may read them.
 *
 * One range of addresses is reserved and used from its start, in pages of 4 KiB. A page is given away whole,
 * or cut into blocks of one size, a multiple of eight octets. A block has no header and no neighbour to merge
 * with: a page's bits say which of its blocks are taken, and a page without any serves another size. A block
 * is named by its address or by 32 bits (its ref), so that links between blocks are half as long as pointers.
 *
 * What can be lost is what lies idle in pages that are partly taken. Where sizes stay as common as they are,
 * that is little. Where they change, the owner moves what is left in a page elsewhere: arena_choose_sparse
 * finds such a page, arena_close keeps it from being filled again.
 *
 * A range of 128 MiB or more asks the kernel for huge pages: then memory becomes resident in steps of 2 MiB.
 * The kernel fills a step with zeroes when it is touched first, which can take 5 ms: a thread of the arena's
 * own touches the next one while the last is in use.
 *
 * Invariants: taken octets + idle octets = pages in use * 4096; refs are never 0.
 * Cost: each call but arena_choose_sparse is constant; a new page costs one or two more, and a system call
 * for every 2 MiB of the first use.
 */
#ifndef MXWAY_DAEMON_ARENA_H
#define MXWAY_DAEMON_ARENA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  ARENA_PAGE_BYTES = 4096,
  ARENA_UNIT_BYTES = 8, /* of sizes and of refs */
  ARENA_BLOCK_LEAST = 32,
  ARENA_BLOCK_MOST = 1024,
  ARENA_BLOCKS_MAX = ARENA_PAGE_BYTES / ARENA_BLOCK_LEAST, /* of a page */
  ARENA_SIZES = ARENA_BLOCK_MOST / ARENA_UNIT_BYTES + 1,
};

/* The most that 32 bits can name. */
#define ARENA_BYTES_MOST (UINT64_C(1) << 35)

struct arena_page; /* what is known of one page */

struct arena {
  uint8_t *base; /* of the range; readers may use it */
  struct arena_page *pages;
  uint32_t page_count;    /* in the range; page 0 is never given away */
  uint32_t fresh, usable; /* never used from here on; accessible below */
  bool is_huge;           /* a step is a huge page */
  struct {
    pthread_t thread;
    bool is_started;
    _Atomic bool is_done;
    void *step;
  } toucher;
  uint32_t spare, spare_count; /* free pages that are resident */
  uint32_t bare;               /* free pages that are not */
  size_t used_count;           /* pages in use */
  size_t taken_bytes;          /* of blocks and whole pages */
  struct {
    uint32_t open;       /* a ring of the pages with free blocks, those that are filled next first */
    uint32_t idle_count; /* free blocks in them */
  } sizes[ARENA_SIZES];  /* by size in units */
};

/* Reserves addresses for `most_bytes` (ARENA_BYTES_MOST at most); takes no memory yet but for a table of 1 %,
 * which becomes resident with use. Returns 0 or ERR_NOMEM. */
int arena_init(struct arena *arena, size_t most_bytes);

/* Frees everything. Fine for an arena of zeroes. */
void arena_fini(struct arena *arena);

/* A block of `size` octets (ARENA_BLOCK_LEAST to ARENA_BLOCK_MOST), aligned to 8, undefined; or NULL. */
void *arena_get(struct arena *arena, size_t size);

/* A page of zeroes, aligned to its size; or NULL. */
void *arena_get_page(struct arena *arena);

/* Frees a block or a page. */
void arena_free(struct arena *arena, void *block);

/* Octets that a block of `size` takes, and that `block` does. */
static inline size_t arena_size(size_t size) {
  return (size + ARENA_UNIT_BYTES - 1) / ARENA_UNIT_BYTES * ARENA_UNIT_BYTES;
}
size_t arena_block_bytes(const struct arena *arena, const void *block);

/* Whether `block` is of this arena. */
static inline bool arena_owns(const struct arena *arena, const void *block) {
  return (uintptr_t)block - (uintptr_t)arena->base < (uint64_t)arena->page_count * ARENA_PAGE_BYTES;
}

static inline uint32_t arena_ref(const struct arena *arena, const void *block) {
  return (uint32_t)((size_t)((const uint8_t *)block - arena->base) / ARENA_UNIT_BYTES);
}

static inline void *arena_at(const struct arena *arena, uint32_t ref) {
  return arena->base + (size_t)ref * ARENA_UNIT_BYTES;
}

/* A word for each whole page, its owner's. 0 at first. */
uint32_t *arena_page_word(const struct arena *arena, const void *page);

/* Octets of pages in use, with what is known of them; and those of them that lie idle. */
size_t arena_bytes(const struct arena *arena);
size_t arena_idle_bytes(const struct arena *arena);

/* Of the size that has most free blocks, looks at a few pages and chooses the emptiest: what it holds has
 * room in the others. Writes its taken blocks to `blocks` and returns how many, or 0 where no page can be
 * won. */
size_t arena_choose_sparse(const struct arena *arena, void *blocks[ARENA_BLOCKS_MAX]);

/* The page of `block` takes no new ones until it is empty. */
void arena_close(struct arena *arena, void *block);

/* The page of `block` is filled next, and chosen last. */
void arena_prefer(struct arena *arena, void *block);

#endif
