#include "base/arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(block, size) ((void)(block), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(block, size) ((void)(block), (void)(size))
#endif

enum {
  STEP_PAGES = 512, /* made accessible at once */
  SPARE_MOST = 64,  /* free pages that stay resident */
  LOOKS_MOST = 16,
  WHOLE = 0xff,                 /* `units` of a page that is given away whole */
  HUGE_LEAST_BYTES = 128 << 20, /* of half of which, a cache, two huge pages are a small part */
};

struct arena_page {
  uint64_t taken[ARENA_BLOCKS_MAX / 64]; /* bit n: block n; set beyond the last */
  uint32_t next, previous;               /* in its ring, or `next` in a list of free pages */
  uint32_t word;
  uint8_t units, count, capacity; /* blocks: their size, how many are taken, how many there are */
  bool is_closed;
};

static struct arena_page *page_of(const struct arena *arena, const void *block, uint32_t *number) {
  *number = (uint32_t)((size_t)((const uint8_t *)block - arena->base) / ARENA_PAGE_BYTES);
  return &arena->pages[*number];
}

static uint8_t *page_start(const struct arena *arena, uint32_t number) {
  return arena->base + (size_t)number * ARENA_PAGE_BYTES;
}

/* A range of addresses without memory, aligned to `alignment`, so that a step is one huge page; or NULL. */
static void *reserve(size_t bytes, size_t alignment) {
  uint8_t *range =
      mmap(NULL, bytes + alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED)
    return NULL;
  size_t before = (alignment - (uintptr_t)range % alignment) % alignment;
  if (before > 0)
    munmap(range, before);
  munmap(range + before + bytes, alignment - before);
  return range + before;
}

int arena_init(struct arena *arena, size_t most_bytes) {
  *arena = (struct arena){.fresh = 1, .is_huge = most_bytes >= HUGE_LEAST_BYTES};
  size_t step_bytes = (size_t)STEP_PAGES * ARENA_PAGE_BYTES;
  size_t bytes =
      (most_bytes < ARENA_BYTES_MOST ? most_bytes : ARENA_BYTES_MOST - 1) / step_bytes * step_bytes +
      step_bytes;
  void *range = reserve(bytes, step_bytes);
  if (!range)
    return ERR_NOMEM;
  arena->base = range;
  arena->page_count = (uint32_t)(bytes / ARENA_PAGE_BYTES);
  arena->pages = calloc(arena->page_count, sizeof(*arena->pages));
  if (!arena->pages) {
    arena_fini(arena);
    return ERR_NOMEM;
  }
  /* What is read at random in many pages waits mostly for their addresses. Without huge pages it works, too.
   */
  (void)madvise(range, bytes, arena->is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return 0;
}

/* ---- touching steps ahead of their use ---- */

static void *touch(void *context) {
  struct arena *arena = context;
#ifdef MADV_POPULATE_WRITE
  /* Without it whoever takes the pages waits for them, as he would have. */
  (void)madvise(arena->toucher.step, (size_t)STEP_PAGES * ARENA_PAGE_BYTES, MADV_POPULATE_WRITE);
#endif
  atomic_store(&arena->toucher.is_done, true);
  return NULL;
}

static void await_toucher(struct arena *arena) {
  if (arena->toucher.is_started)
    pthread_join(arena->toucher.thread, NULL);
  arena->toucher.is_started = false;
}

/* Has the last accessible step touched, but waits for nobody. */
static void start_toucher(struct arena *arena) {
  if (arena->toucher.is_started && !atomic_load(&arena->toucher.is_done))
    return;
  await_toucher(arena);
  arena->toucher.step = page_start(arena, arena->usable - STEP_PAGES);
  atomic_store(&arena->toucher.is_done, false);
  arena->toucher.is_started = pthread_create(&arena->toucher.thread, NULL, touch, arena) == 0;
}

void arena_fini(struct arena *arena) {
  await_toucher(arena);
  size_t bytes = (size_t)arena->page_count * ARENA_PAGE_BYTES;
  if (arena->base) {
    ASAN_UNPOISON_MEMORY_REGION(arena->base, bytes);
    munmap(arena->base, bytes);
  }
  free(arena->pages);
  *arena = (struct arena){0};
}

/* ---- pages ---- */

/* Makes the next step of the range accessible. */
static bool extend(struct arena *arena) {
  if (arena->usable >= arena->page_count)
    return false;
  size_t bytes = (size_t)STEP_PAGES * ARENA_PAGE_BYTES;
  if (mprotect(page_start(arena, arena->usable), bytes, PROT_READ | PROT_WRITE) != 0)
    return false;
  arena->usable += STEP_PAGES;
  return true;
}

/* The number of a free page, or 0. */
static uint32_t take_page(struct arena *arena) {
  uint32_t number;
  if ((number = arena->spare)) {
    arena->spare = arena->pages[number].next;
    arena->spare_count--;
  } else if ((number = arena->bare)) {
    arena->bare = arena->pages[number].next;
  } else if (arena->fresh < arena->usable || extend(arena)) {
    number = arena->fresh++;
    if (arena->is_huge && arena->fresh > arena->usable - STEP_PAGES && extend(arena))
      start_toucher(arena);
  } else {
    return 0;
  }
  arena->used_count++;
  return number;
}

static void give_page(struct arena *arena, uint32_t number) {
  bool stays = arena->spare_count < SPARE_MOST;
  uint32_t *list = stays ? &arena->spare : &arena->bare;
  arena->pages[number] = (struct arena_page){.next = *list};
  *list = number;
  arena->used_count--;
  if (stays) {
    arena->spare_count++;
    return;
  }
  uint8_t *start = page_start(arena, number);
  (void)madvise(start, ARENA_PAGE_BYTES, MADV_DONTNEED); /* if not, it stays resident */
}

void *arena_get_page(struct arena *arena) {
  uint32_t number = take_page(arena);
  if (number == 0)
    return NULL;
  arena->pages[number] = (struct arena_page){.units = WHOLE};
  arena->taken_bytes += ARENA_PAGE_BYTES;
  uint8_t *start = page_start(arena, number);
  ASAN_UNPOISON_MEMORY_REGION(start, ARENA_PAGE_BYTES);
  return memset(start, 0, ARENA_PAGE_BYTES);
}

uint32_t *arena_page_word(const struct arena *arena, const void *page) {
  uint32_t number;
  return &page_of(arena, page, &number)->word;
}

/* ---- rings of pages with free blocks ---- */

static void ring_remove(struct arena *arena, uint32_t number) {
  struct arena_page *page = &arena->pages[number];
  uint32_t *open = &arena->sizes[page->units].open;
  arena->pages[page->next].previous = page->previous;
  arena->pages[page->previous].next = page->next;
  if (*open == number)
    *open = page->next == number ? 0 : page->next;
}

/* In front: what was used last is warm, and what was full is nearly so. */
static void ring_put(struct arena *arena, uint32_t number) {
  struct arena_page *page = &arena->pages[number];
  uint32_t *open = &arena->sizes[page->units].open;
  page->next = *open ? *open : number;
  page->previous = *open ? arena->pages[*open].previous : number;
  arena->pages[page->previous].next = number;
  arena->pages[page->next].previous = number;
  *open = number;
}

/* ---- blocks ---- */

/* Cuts a free page into blocks. */
static bool open_page(struct arena *arena, uint8_t units) {
  uint32_t number = take_page(arena);
  if (number == 0)
    return false;
  struct arena_page *page = &arena->pages[number];
  *page = (struct arena_page){.units = units,
                              .capacity = (uint8_t)(ARENA_PAGE_BYTES / (units * ARENA_UNIT_BYTES))};
  for (unsigned i = page->capacity; i < ARENA_BLOCKS_MAX; i++)
    page->taken[i / 64] |= UINT64_C(1) << i % 64;
  arena->sizes[units].idle_count += page->capacity;
  ring_put(arena, number);
  uint8_t *start = page_start(arena, number);
  ASAN_POISON_MEMORY_REGION(start, ARENA_PAGE_BYTES);
  return true;
}

void *arena_get(struct arena *arena, size_t size) {
  assert(size >= ARENA_BLOCK_LEAST && size <= ARENA_BLOCK_MOST);
  uint8_t units = (uint8_t)(arena_size(size) / ARENA_UNIT_BYTES);
  if (!arena->sizes[units].open && !open_page(arena, units))
    return NULL;
  uint32_t number = arena->sizes[units].open;
  struct arena_page *page = &arena->pages[number];
  unsigned word = page->taken[0] == UINT64_MAX;
  unsigned bit = (unsigned)__builtin_ctzll(~page->taken[word]);
  page->taken[word] |= UINT64_C(1) << bit;
  if (++page->count == page->capacity)
    ring_remove(arena, number);
  arena->sizes[units].idle_count--;
  arena->taken_bytes += (size_t)units * ARENA_UNIT_BYTES;
  uint8_t *block = page_start(arena, number) + (size_t)(word * 64 + bit) * units * ARENA_UNIT_BYTES;
  ASAN_UNPOISON_MEMORY_REGION(block, (size_t)units * ARENA_UNIT_BYTES);
  return block;
}

static void free_block(struct arena *arena, struct arena_page *page, uint32_t number, uint8_t *block) {
  size_t size = (size_t)page->units * ARENA_UNIT_BYTES;
  size_t index = (size_t)(block - page_start(arena, number)) / size;
  uint64_t bit = UINT64_C(1) << index % 64;
  assert(page->taken[index / 64] & bit);
  ASAN_POISON_MEMORY_REGION(block, size);
  page->taken[index / 64] &= ~bit;
  arena->taken_bytes -= size;
  if (!page->is_closed) {
    arena->sizes[page->units].idle_count++;
    if (page->count == page->capacity)
      ring_put(arena, number);
  }
  if (--page->count > 0)
    return;
  if (!page->is_closed) {
    arena->sizes[page->units].idle_count -= page->capacity;
    ring_remove(arena, number);
  }
  give_page(arena, number);
}

void arena_free(struct arena *arena, void *block) {
  uint32_t number;
  struct arena_page *page = page_of(arena, block, &number);
  assert(page->units > 0);
  if (page->units != WHOLE) {
    free_block(arena, page, number, block);
    return;
  }
  ASAN_POISON_MEMORY_REGION(block, ARENA_PAGE_BYTES);
  arena->taken_bytes -= ARENA_PAGE_BYTES;
  give_page(arena, number);
}

size_t arena_block_bytes(const struct arena *arena, const void *block) {
  uint32_t number;
  const struct arena_page *page = page_of(arena, block, &number);
  return page->units == WHOLE ? ARENA_PAGE_BYTES : (size_t)page->units * ARENA_UNIT_BYTES;
}

size_t arena_bytes(const struct arena *arena) {
  return arena->used_count * (ARENA_PAGE_BYTES + sizeof(struct arena_page));
}

size_t arena_idle_bytes(const struct arena *arena) {
  return arena->used_count * ARENA_PAGE_BYTES - arena->taken_bytes;
}

/* ---- pages worth emptying ---- */

/* The size whose free blocks take most, or 0 where none has two pages full of them. */
static size_t most_idle(const struct arena *arena) {
  size_t most = 0, most_bytes = 0;
  for (size_t units = 0; units < ARENA_SIZES; units++) {
    size_t bytes = arena->sizes[units].idle_count * units * ARENA_UNIT_BYTES;
    if (bytes > 2 * ARENA_PAGE_BYTES && bytes > most_bytes) {
      most = units;
      most_bytes = bytes;
    }
  }
  return most;
}

size_t arena_choose_sparse(const struct arena *arena, void *blocks[ARENA_BLOCKS_MAX]) {
  size_t units = most_idle(arena), count = 0;
  if (units == 0)
    return 0;
  uint32_t first = arena->sizes[units].open, number = arena->pages[first].previous, best = number;
  for (int looks = 1; looks < LOOKS_MOST && number != first; looks++) {
    number = arena->pages[number].previous;
    if (arena->pages[number].count < arena->pages[best].count)
      best = number;
  }
  const struct arena_page *page = &arena->pages[best];
  for (unsigned i = 0; i < page->capacity; i++)
    if (page->taken[i / 64] >> i % 64 & 1)
      blocks[count++] = page_start(arena, best) + i * units * ARENA_UNIT_BYTES;
  return count;
}

void arena_close(struct arena *arena, void *block) {
  uint32_t number;
  struct arena_page *page = page_of(arena, block, &number);
  arena->sizes[page->units].idle_count -= (uint32_t)(page->capacity - page->count);
  ring_remove(arena, number);
  page->is_closed = true;
}

void arena_prefer(struct arena *arena, void *block) {
  uint32_t number;
  (void)page_of(arena, block, &number);
  ring_remove(arena, number);
  ring_put(arena, number);
}
