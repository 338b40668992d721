#include "cache/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cache/dump.h"
#include "cache/load.h"

enum {
  PATH_SIZE = 256, /* over CONFIG_PATH_SIZE and what is added to it */
  PIECE_BYTES = 2 * IMAGE_RECORD_MAX,
  STEP_COUNT = 4, /* things looked at between two looks at the clock */
  SLICE_US = 300,
  RECORDS_COUNT = 256, /* loaded between two looks at the clock */
  MODE = 0600,
};

static struct image_time read_clocks(void) {
  return (struct image_time){.now_ms = clock_now_ms(), .wall_ms = clock_wall_ms()};
}

/* ---- a file that takes the place of another when it is whole ---- */

struct file {
  const char *path;
  char new_path[PATH_SIZE];
  int fd;
  int error; /* errno of what failed first; 0: nothing */
};

static void file_open(struct file *file, const char *path) {
  *file = (struct file){.path = path};
  snprintf(file->new_path, PATH_SIZE, "%s.new", path);
  file->fd = open(file->new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, MODE);
  if (file->fd < 0 || fchmod(file->fd, MODE) != 0)
    file->error = errno;
}

static void file_write(struct file *file, const uint8_t *bytes, size_t length) {
  while (length > 0 && file->error == 0) {
    ssize_t wrote = write(file->fd, bytes, length);
    if (wrote < 0 && errno != EINTR)
      file->error = errno;
    if (wrote > 0) {
      bytes += wrote;
      length -= (size_t)wrote;
    }
  }
}

/* Without this a power cut may bring the old name back, or none. */
static int sync_folder(const char *path) {
  char copy[PATH_SIZE];
  snprintf(copy, sizeof(copy), "%s", path);
  int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return errno;
  int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error;
}

/* Ends the file: in the other's place where `is_whole` and nothing failed, which it returns, else gone. */
static bool file_close(struct file *file, bool is_whole) {
  if (is_whole && file->error == 0 && fsync(file->fd) != 0)
    file->error = errno;
  if (file->fd >= 0 && close(file->fd) != 0 && file->error == 0)
    file->error = errno;
  if (is_whole && file->error == 0 && rename(file->new_path, file->path) != 0)
    file->error = errno;
  bool is_in_place = is_whole && file->error == 0;
  if (is_in_place)
    file->error = sync_folder(file->path);
  else if (file->fd >= 0)
    unlink(file->new_path);
  if (file->error != 0)
    log_error("cannot write the snapshot %s: %s", file->path, strerror(file->error));
  return is_in_place;
}

/* ---- the thread that writes one file ---- */

struct writer {
  pthread_t thread;
  const char *path;
  int pipe_fd;           /* where the pieces come from; closed at the end */
  _Atomic bool is_whole; /* set before the other end is closed */
  _Atomic bool has_ended;
  bool is_written; /* read after it has ended */
  struct ev_loop *loop;
  ev_async *wake; /* told when it has ended */
};

static void *write_file(void *context) {
  struct writer *writer = context;
  static uint8_t bytes[64 * 1024]; /* one writer at a time */
  struct file file;
  ssize_t got;
  file_open(&file, writer->path);
  while ((got = read(writer->pipe_fd, bytes, sizeof(bytes))) > 0 || (got < 0 && errno == EINTR))
    file_write(&file, bytes, got > 0 ? (size_t)got : 0);
  writer->is_written = file_close(&file, atomic_load(&writer->is_whole));
  close(writer->pipe_fd);
  atomic_store(&writer->has_ended, true);
  ev_async_send(writer->loop, writer->wake);
  return NULL;
}

/* ---- writing in the loop ---- */

struct snapshot {
  struct ev_loop *loop;
  struct cache *cache;
  const char *path;
  snapshot_generation_fn *generation; /* NULL: it is 0 */
  void *context;                      /* of that */
  ev_timer interval;
  ev_io writable;
  ev_async wake;
  /* While a file is written. */
  bool is_writing;
  int pipe_fd; /* -1: the writer has all of it */
  struct writer writer;
  struct dump dump;
  size_t piece_at, piece_length;
  uint8_t piece[PIECE_BYTES];
};

/* The writer gets no more. */
static void close_pipe(struct snapshot *snapshot) {
  if (snapshot->pipe_fd < 0)
    return;
  ev_io_stop(snapshot->loop, &snapshot->writable);
  dump_stop(&snapshot->dump);
  close(snapshot->pipe_fd);
  snapshot->pipe_fd = -1;
}

/* Waits for the writer, which has got all it will. */
static void join_writer(struct snapshot *snapshot) {
  if (!snapshot->is_writing)
    return;
  pthread_join(snapshot->writer.thread, NULL);
  snapshot->is_writing = false;
}

static void on_writer_end(struct ev_loop *loop, ev_async *wake, int events) {
  (void)loop, (void)events;
  struct snapshot *snapshot = wake->data;
  if (!snapshot->is_writing || !atomic_load(&snapshot->writer.has_ended))
    return;
  close_pipe(snapshot); /* where it failed before the end */
  join_writer(snapshot);
  if (!snapshot->writer.is_written)
    return;
  log_debug("wrote %" PRIu64 " domains and the addresses of %" PRIu64 " hosts to %s",
            snapshot->dump.domain_count, snapshot->dump.host_count, snapshot->path);
}

/* Packs for a while. */
static void pack_piece(struct snapshot *snapshot) {
  struct image_time time = read_clocks();
  int64_t end_us = clock_now_us() + SLICE_US;
  snapshot->piece_at = snapshot->piece_length = 0;
  do
    snapshot->piece_length += dump_step(&snapshot->dump, snapshot->piece + snapshot->piece_length,
                                        PIECE_BYTES - snapshot->piece_length, STEP_COUNT, &time);
  while (!dump_has_ended(&snapshot->dump) && PIECE_BYTES - snapshot->piece_length >= IMAGE_RECORD_MAX &&
         clock_now_us() < end_us);
}

/* The pipe takes some octets: one slice. */
static void on_writable(struct ev_loop *loop, ev_io *io, int events) {
  (void)loop, (void)events;
  struct snapshot *snapshot = io->data;
  if (snapshot->piece_at == snapshot->piece_length && !dump_has_ended(&snapshot->dump))
    pack_piece(snapshot);
  size_t left = snapshot->piece_length - snapshot->piece_at;
  ssize_t wrote = left > 0 ? write(snapshot->pipe_fd, snapshot->piece + snapshot->piece_at, left) : 0;
  if (wrote > 0)
    snapshot->piece_at += (size_t)wrote;
  bool is_all = snapshot->piece_at == snapshot->piece_length && dump_has_ended(&snapshot->dump);
  if (is_all)
    atomic_store(&snapshot->writer.is_whole, true);
  if (is_all || (wrote < 0 && errno != EAGAIN && errno != EINTR))
    close_pipe(snapshot);
}

/* Starts the writer with the reading end of a pipe; the other is ours. */
static int start_writer(struct snapshot *snapshot) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return errno;
  snapshot->writer = (struct writer){
      .path = snapshot->path, .pipe_fd = ends[0], .loop = snapshot->loop, .wake = &snapshot->wake};
  int error = fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
  if (error == 0)
    error = pthread_create(&snapshot->writer.thread, NULL, write_file, &snapshot->writer);
  if (error != 0) {
    close(ends[0]);
    close(ends[1]);
    return error;
  }
  pthread_setname_np(snapshot->writer.thread, "snapshot");
  snapshot->pipe_fd = ends[1];
  snapshot->is_writing = true;
  return 0;
}

static void start_dump(struct snapshot *snapshot) {
  dump_start(&snapshot->dump, snapshot->cache);
  if (snapshot->generation)
    snapshot->dump.generation = snapshot->generation(snapshot->context);
}

static void on_interval(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)events;
  struct snapshot *snapshot = timer->data;
  if (snapshot->is_writing) /* a slow disk: the next interval will do */
    return;
  int error = start_writer(snapshot);
  if (error != 0) {
    log_error("cannot write the snapshot %s: %s", snapshot->path, strerror(error));
    return;
  }
  start_dump(snapshot);
  snapshot->piece_at = snapshot->piece_length = 0;
  ev_io_set(&snapshot->writable, snapshot->pipe_fd, EV_WRITE);
  ev_io_start(loop, &snapshot->writable);
}

/* ---- reading ---- */

/* Loads until the end, an error or the time is up. Returns octets that the file has no more of, or that
 * cannot be used, as a status. */
static enum image_status read_file(int fd, struct load *load, int64_t end_ms) {
  static uint8_t bytes[64 * 1024];
  enum image_status status = IMAGE_INCOMPLETE;
  ssize_t got;
  while (status == IMAGE_INCOMPLETE && (got = read(fd, bytes, sizeof(bytes))) > 0)
    for (size_t at = 0; at < (size_t)got;) {
      struct image_time time = read_clocks();
      if (time.now_ms >= end_ms)
        return IMAGE_GOOD;
      at += load_put(load, bytes + at, (size_t)got - at);
      while ((status = load_step(load, RECORDS_COUNT, &time)) == IMAGE_GOOD && time.now_ms < end_ms)
        time = read_clocks();
      if (status != IMAGE_INCOMPLETE)
        return status;
    }
  return status;
}

uint64_t snapshot_read(const char *path, struct cache *cache, const struct ttl_policy *ttl,
                       uint32_t most_ms) {
  uint64_t generation = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno != ENOENT) /* the first start of all */
      log_error("cannot read the snapshot %s: %s; starting without it", path, strerror(errno));
    return 0;
  }
  struct load *load = load_create(cache, ttl);
  char text[LOAD_TEXT_SIZE];
  if (load) {
    enum image_status status = read_file(fd, load, clock_now_ms() + most_ms);
    const struct load_counts *counts = load_counts(load);
    if (status == IMAGE_GOOD)
      log_warning("stopped reading the snapshot %s after %" PRIu32 " ms", path, most_ms);
    else if (status != IMAGE_INCOMPLETE || !load_has_ended(load))
      log_error("the snapshot %s cannot be read: %s; going on with what came before", path,
                load_explain(load, status, text));
    log_notice("%s: %" PRIu64 " domains and the addresses of %" PRIu64 " hosts are known, %" PRIu64
               " of the domains for stale answers only; %" PRIu64 " records are too old",
               path, counts->domains, counts->hosts, counts->stale, counts->expired);
    generation = load_generation(load);
  }
  load_destroy(load);
  close(fd);
  return generation;
}

/* ---- the room ---- */

/* Says at the start rather than after the first interval that nothing can be written there. */
static void check_folder(const char *path) {
  char copy[PATH_SIZE];
  snprintf(copy, sizeof(copy), "%s", path);
  const char *folder = dirname(copy);
  if (access(folder, W_OK | X_OK) != 0)
    log_error("the snapshot %s cannot be written: %s: %s", path, folder, strerror(errno));
}

struct snapshot *snapshot_create(struct ev_loop *loop, struct cache *cache, const char *path,
                                 uint32_t interval_s) {
  struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
  if (!snapshot)
    return NULL;
  snapshot->loop = loop;
  snapshot->cache = cache;
  snapshot->path = path;
  snapshot->pipe_fd = -1;
  check_folder(path);
  ev_timer_init(&snapshot->interval, on_interval, interval_s, interval_s);
  ev_init(&snapshot->writable, on_writable);
  ev_async_init(&snapshot->wake, on_writer_end);
  snapshot->interval.data = snapshot->writable.data = snapshot->wake.data = snapshot;
  ev_async_start(loop, &snapshot->wake);
  if (interval_s > 0)
    ev_timer_start(loop, &snapshot->interval);
  return snapshot;
}

void snapshot_set_generation(struct snapshot *snapshot, snapshot_generation_fn *generation, void *context) {
  snapshot->generation = generation;
  snapshot->context = context;
}

/* Ends the file that is being written, whole or not. */
static void abandon(struct snapshot *snapshot) {
  close_pipe(snapshot);
  join_writer(snapshot);
}

void snapshot_finish(struct snapshot *snapshot, int64_t until_ms) {
  struct file file;
  abandon(snapshot);
  start_dump(snapshot);
  file_open(&file, snapshot->path);
  while (!dump_has_ended(&snapshot->dump) && file.error == 0 && clock_now_ms() < until_ms) {
    pack_piece(snapshot);
    file_write(&file, snapshot->piece, snapshot->piece_length);
  }
  bool is_whole = dump_has_ended(&snapshot->dump);
  dump_stop(&snapshot->dump);
  if (!is_whole && file.error == 0)
    log_warning("no time to write the snapshot %s: it stays as it was", snapshot->path);
  file_close(&file, is_whole);
}

void snapshot_destroy(struct snapshot *snapshot) {
  if (!snapshot)
    return;
  abandon(snapshot);
  ev_timer_stop(snapshot->loop, &snapshot->interval);
  ev_async_stop(snapshot->loop, &snapshot->wake);
  free(snapshot);
}
