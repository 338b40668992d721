#include "procstat.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_schedstat(const char *path, struct procstat_thread *thread) {
  FILE *file = fopen(path, "re");
  if (!file)
    return -errno;
  int fields = fscanf(file, "%" SCNu64 " %" SCNu64, &thread->run_ns, &thread->wait_ns);
  fclose(file);
  return fields == 2 ? 0 : -ENODATA;
}

/* Calls `each` for every thread of a process until one call fails. */
static int walk_threads(pid_t pid, int (*each)(pid_t thread, void *context), void *context) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *folder = opendir(path);
  if (!folder)
    return errno == ENOENT ? -ESRCH : -errno;
  struct dirent *entry;
  int result = 0;
  while (result == 0 && (entry = readdir(folder)) != NULL)
    if (entry->d_name[0] != '.')
      result = each((pid_t)strtol(entry->d_name, NULL, 10), context);
  closedir(folder);
  return result;
}

struct reading {
  pid_t pid;
  struct procstat *stat;
};

static int read_one(pid_t id, void *context) {
  struct reading *reading = context;
  struct procstat *stat = reading->stat;
  if (stat->thread_count == PROCSTAT_THREADS_MAX)
    return 0;
  struct procstat_thread *thread = &stat->threads[stat->thread_count];
  char path[96];
  snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)reading->pid, (int)id);
  thread->id = id;
  int result = read_schedstat(path, thread);
  if (result == 0)
    stat->thread_count++;
  /* A thread may end while we look. */
  return result == -ENOENT || result == -ESRCH ? 0 : result;
}

int procstat_read(pid_t pid, struct procstat *stat) {
  stat->thread_count = 0;
  stat->rss_bytes = 0;
  struct reading reading = {pid, stat};
  int result = walk_threads(pid, read_one, &reading);
  if (result != 0)
    return result;
  if (stat->thread_count == 0)
    return -ENODATA;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
  FILE *file = fopen(path, "re");
  if (!file)
    return -errno;
  uint64_t total, resident;
  if (fscanf(file, "%" SCNu64 " %" SCNu64, &total, &resident) == 2)
    stat->rss_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
  fclose(file);
  return 0;
}

static const struct procstat_thread *find(const struct procstat *stat, pid_t id) {
  for (size_t i = 0; i < stat->thread_count; i++)
    if (stat->threads[i].id == id)
      return &stat->threads[i];
  return NULL;
}

struct procstat_cost procstat_between(const struct procstat *before, const struct procstat *after) {
  struct procstat_cost cost = {0, 0, 0};
  for (size_t i = 0; i < after->thread_count; i++) {
    const struct procstat_thread *thread = &after->threads[i];
    const struct procstat_thread *old = find(before, thread->id);
    uint64_t run_ns = thread->run_ns - (old ? old->run_ns : 0);
    cost.run_ns += run_ns;
    cost.wait_ns += thread->wait_ns - (old ? old->wait_ns : 0);
    if (run_ns > cost.busiest_ns)
      cost.busiest_ns = run_ns;
  }
  return cost;
}

int procstat_read_thread(struct procstat_thread *thread) {
  thread->id = gettid();
  return read_schedstat("/proc/thread-self/schedstat", thread);
}

uint64_t procstat_steal_ns(void) {
  FILE *file = fopen("/proc/stat", "re");
  if (!file)
    return 0;
  uint64_t ticks = 0;
  /* user nice system idle iowait irq softirq steal */
  if (fscanf(file, "cpu %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &ticks) != 1)
    ticks = 0;
  fclose(file);
  return ticks * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
}

static int pin_one(pid_t id, void *context) {
  const cpu_set_t *cpus = context;
  if (sched_setaffinity(id, sizeof *cpus, cpus) == 0 || errno == ESRCH)
    return 0;
  return -errno;
}

int procstat_pin(pid_t pid, const cpu_set_t *cpus) {
  cpu_set_t copy = *cpus;
  return walk_threads(pid, pin_one, &copy);
}
