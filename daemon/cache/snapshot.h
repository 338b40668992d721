/*
 * snapshot: memory in a file, so that a daemon that starts again knows what it knew.
 *
 * A file is an image (image.h). It is read once, before anything is served; what is wrong with it is
 * logged, and what came before stays. It is written every so often and at the end, always to a file beside it
 * (".new"), which takes its place only when all of it is on the disk: write, fsync, rename, fsync of the
 * folder. Whatever ends the process, a whole file is there, the old or the new. Mode 0600.
 *
 * The loop never waits for a disk: it packs a piece at a time, as image and dump do, into a pipe, and a
 * thread that lives as long as one file writes it down. While the disk is slow, the pipe is full and the
 * walk rests. Who calls it: node. The walk runs in the writer's thread.
 */
#ifndef MXWAY_DAEMON_SNAPSHOT_H
#define MXWAY_DAEMON_SNAPSHOT_H

#include <ev.h>
#include <stdint.h>

#include "cache/cache.h"
#include "rules/ttl.h"

struct snapshot;

/* For the file `path` (lent), written in `loop` every `interval_s`; 0: only by snapshot_finish. Begins its
 * first interval. Returns NULL without memory. */
struct snapshot *snapshot_create(struct ev_loop *loop, struct cache *cache, const char *path,
                                 uint32_t interval_s);

/* Loads the file into memory, for at most `most_ms`: what was not read by then is not known. Blocks; before
 * the loop runs. `ttl` bounds the lives. Returns the generation of the file, 0 where it has none. */
uint64_t snapshot_read(const char *path, struct cache *cache, const struct ttl_policy *ttl, uint32_t most_ms);

/* Says of what generation memory is (image.h). */
typedef uint64_t snapshot_generation_fn(void *context);

/* Files have a generation from now on. */
void snapshot_set_generation(struct snapshot *snapshot, snapshot_generation_fn *generation, void *context);

/* Writes the file once more, until `until_ms` (monotonic) at the latest: else the file stays as it was.
 * Blocks; after the loop has ended, in any thread. */
void snapshot_finish(struct snapshot *snapshot, int64_t until_ms);

/* Leaves a file that is half written; what was there stays. After the loop has ended, before it is destroyed.
 */
void snapshot_destroy(struct snapshot *snapshot);

#endif
