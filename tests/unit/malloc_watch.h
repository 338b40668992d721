/*
 * malloc_watch: counts what a test allocates and frees, and lets allocations fail.
 *
 * Include in one source of a test. Takes the place of malloc and its kin in the whole
 * executable, on top of glibc's own. Sanitizers and valgrind bring their own malloc: there
 * malloc_is_watched() says no, and the test skips.
 */
#ifndef MXWAY_TESTS_MALLOC_WATCH_H
#define MXWAY_TESTS_MALLOC_WATCH_H

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Calls that allocate or free, of all threads. */
static _Atomic long malloc_calls;

/* Blocks that are allocated now, less those of before main. */
__attribute__((unused)) static _Atomic long malloc_blocks;

/* Allocations that still succeed. */
static _Atomic long malloc_allowance = LONG_MAX;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static bool malloc_is_granted(void) {
  atomic_fetch_add(&malloc_calls, 1);
  if (atomic_load(&malloc_allowance) == LONG_MAX)
    return true;
  if (atomic_load(&malloc_allowance) > 0) {
    atomic_fetch_sub(&malloc_allowance, 1);
    return true;
  }
  errno = ENOMEM;
  return false;
}

static void *malloc_noted(void *block) {
  atomic_fetch_add(&malloc_blocks, block != NULL);
  return block;
}

void *malloc(size_t size) { return malloc_is_granted() ? malloc_noted(__libc_malloc(size)) : NULL; }

void *calloc(size_t count, size_t size) {
  return malloc_is_granted() ? malloc_noted(__libc_calloc(count, size)) : NULL;
}

void *realloc(void *block, size_t size) {
  if (!malloc_is_granted())
    return NULL;
  return block ? __libc_realloc(block, size) : malloc_noted(__libc_malloc(size));
}

void *aligned_alloc(size_t alignment, size_t size) {
  return malloc_is_granted() ? malloc_noted(__libc_memalign(alignment, size)) : NULL;
}

void free(void *block) {
  if (!block)
    return;
  atomic_fetch_add(&malloc_calls, 1);
  atomic_fetch_sub(&malloc_blocks, 1);
  __libc_free(block);
}

#endif

/* Whether the counters above count here. */
static bool malloc_is_watched(void) {
  long before = atomic_load(&malloc_calls);
  void *volatile block = malloc(1); /* volatile: the compiler must not leave it out */
  free(block);
  return atomic_load(&malloc_calls) == before + 2;
}

/* From now on `count` allocations succeed and all later ones fail; LONG_MAX ends that. */
static void malloc_allow(long count) { atomic_store(&malloc_allowance, count); }

#endif
