/*
 * procstat: what processes cost, from /proc.
 *
 * CPU time and waiting (runnable, but another ran) are nanoseconds from schedstat, which is exact where the
 * ticks of /proc/PID/stat are not. A thread that ends between two readings takes its share along.
 * Each function returns 0, or a negative errno: the process is gone or the kernel does not say.
 */
#ifndef MXWAY_BENCH_PROCSTAT_H
#define MXWAY_BENCH_PROCSTAT_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCSTAT_THREADS_MAX = 512 };

struct procstat_thread {
  pid_t id;
  uint64_t run_ns, wait_ns;
};

struct procstat {
  uint64_t rss_bytes;
  size_t thread_count; /* further threads are not seen */
  struct procstat_thread threads[PROCSTAT_THREADS_MAX];
};

struct procstat_cost {
  uint64_t run_ns, wait_ns;
  uint64_t busiest_ns; /* of the thread that ran most */
};

int procstat_read(pid_t pid, struct procstat *stat);

/* What was spent between two readings of one process. */
struct procstat_cost procstat_between(const struct procstat *before, const struct procstat *after);

/* Of the calling thread. */
int procstat_read_thread(struct procstat_thread *thread);

/* Time that the hypervisor has given to others, of all CPUs since the start of the machine. */
uint64_t procstat_steal_ns(void);

/* Lets all threads of a process run on `cpus` only. */
int procstat_pin(pid_t pid, const cpu_set_t *cpus);

#endif
