#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procstat.h"
#include "session_private.h"

void session_fini(struct result_session *result) {
  for (size_t i = 0; result->targets && i < result->target_count; i++) {
    for (size_t j = 0; j < result->targets[i].run_count; j++)
      result_run_fini(&result->targets[i].runs[j]);
    free(result->targets[i].runs);
  }
  free(result->targets);
  result->targets = NULL;
  result->target_count = 0;
}

bool session_keep(struct result_target *result, struct result_run *run) {
  struct result_run *larger = reallocarray(result->runs, result->run_count + 1, sizeof *larger);
  if (!larger)
    return false;
  result->runs = larger;
  result->runs[result->run_count++] = *run;
  return true;
}

static int fail(struct session *session, const char *what, const char *why) {
  snprintf(session->error, SESSION_ERROR_SIZE, "%s: %s", what, why);
  return -1;
}

/* ---- before the runs ---- */

static int check_server(struct session *session, struct target *target) {
  char error[TARGET_ERROR_SIZE], what[64];
  /* Without an address yet it makes its own server. */
  if (target->address_length > 0 && target_probe(target, error) != 0) {
    snprintf(session->error, SESSION_ERROR_SIZE, "%s", error);
    return -1;
  }
  struct procstat *stat = malloc(sizeof *stat);
  int failed = target->pid && stat ? procstat_read(target->pid, stat) : 0;
  free(stat);
  snprintf(what, sizeof what, "process %d", (int)target->pid);
  return failed ? fail(session, what, strerror(-failed)) : 0;
}

static bool is_mxway(const struct target *target) { return strcmp(target->kind->name, "mxway") == 0; }

/* The mxway target that the one at `at` is to be compared with: the last before it, or else the first; `at`
 * itself where there is none. */
static size_t find_model(const struct options *options, size_t at) {
  for (size_t i = at; i > 0; i--)
    if (is_mxway(&options->targets[i - 1]))
      return i - 1;
  for (size_t i = at + 1; i < options->target_count; i++)
    if (is_mxway(&options->targets[i]))
      return i;
  return at;
}

/* Stores and null servers answer as many octets as the daemon does. */
static int prepare(struct session *session) {
  struct options *options = session->options;
  size_t reply_bytes[OPTIONS_TARGETS_MAX] = {0}; /* of the models, as far as they were asked */
  for (size_t i = 0; i < options->target_count; i++) {
    char error[TARGET_ERROR_SIZE];
    struct target *target = &options->targets[i];
    if (!target->kind->prepare)
      continue;
    size_t model = find_model(options, i);
    if (model != i && reply_bytes[model] == 0) {
      snprintf(session->progress.place, sizeof session->progress.place, "length of replies");
      reply_bytes[model] = session_reply_bytes(session, &options->targets[model]);
    }
    if (target->kind->prepare(target, session->queries, reply_bytes[model], error) != 0) {
      snprintf(session->error, SESSION_ERROR_SIZE, "%s", error);
      return -1;
    }
  }
  return 0;
}

/* Affinities as they were, of the servers that were pinned. */
struct pinned {
  pid_t pids[OPTIONS_TARGETS_MAX];
  cpu_set_t before[OPTIONS_TARGETS_MAX];
  size_t count;
};

static int pin_servers(struct session *session, struct pinned *pinned) {
  const struct options *options = session->options;
  pinned->count = 0;
  for (size_t i = 0; i < options->target_count && options->pins_server; i++) {
    pid_t pid = options->targets[i].pid;
    if (pid == 0)
      return fail(session, options->targets[i].label, "--pin server: its process is not known, add pid=N");
    if (sched_getaffinity(pid, sizeof *pinned->before, &pinned->before[pinned->count]) != 0)
      return fail(session, "--pin server", strerror(errno));
    pinned->pids[pinned->count++] = pid;
    int failed = procstat_pin(pid, &options->server_cpus);
    if (failed)
      return fail(session, "--pin server", strerror(-failed));
  }
  return 0;
}

/* A server that is measured as two targets was pinned before: its first affinity is the real one. */
static void unpin_servers(const struct pinned *pinned) {
  for (size_t i = pinned->count; i > 0; i--)
    procstat_pin(pinned->pids[i - 1], &pinned->before[i - 1]);
}

/* A descriptor that keeps CPUs awake until it is closed, or -1. */
static int hold_idle(void) {
  int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
  int32_t most_us = 0;
  if (fd >= 0 && write(fd, &most_us, sizeof most_us) == sizeof most_us)
    return fd;
  fprintf(stderr, "mxway-bench: --hold-idle: /dev/cpu_dma_latency: %s; latencies include waking CPUs\n",
          strerror(errno));
  if (fd >= 0)
    close(fd);
  return -1;
}

/* ---- the runs ---- */

static int run_one(struct session *session, size_t target_at, unsigned number) {
  struct options *options = session->options;
  snprintf(session->progress.place, sizeof session->progress.place, "target %zu/%zu, run %u/%u",
           target_at + 1, options->target_count, number + 1, options->runs);
  struct result_run run;
  if (session_warm_up(session, &options->targets[target_at], options->rate) != 0)
    return -1;
  if (*session->stop)
    return 0;
  int failed = session_measure_well(session, target_at, options->rate, &run);
  if (session_keep(&session->result->targets[target_at], &run))
    return failed;
  result_run_fini(&run);
  return fail(session, "mxway-bench", "out of memory");
}

static int run_all(struct session *session) {
  const struct options *options = session->options;
  int failed = 0;
  for (size_t i = 0; i < options->target_count && options->find_max && !failed && !*session->stop; i++)
    failed = session_search(session, i);
  for (unsigned number = 0; number < options->runs && !options->find_max; number++)
    for (size_t i = 0; i < options->target_count && !failed && !*session->stop; i++)
      failed = run_one(session, i, number);
  return failed;
}

static int init_result(struct session *session) {
  const struct options *options = session->options;
  struct result_session *result = session->result;
  result->targets = calloc(options->target_count, sizeof *result->targets);
  if (!result->targets)
    return fail(session, "mxway-bench", "out of memory");
  result->target_count = options->target_count;
  result->is_open_loop = options->rate > 0 || options->find_max;
  result->rate = options->rate;
  snprintf(result->find_max, sizeof result->find_max, "%s", options->find_max_text);
  for (size_t i = 0; i < options->target_count; i++) {
    snprintf(result->targets[i].name, sizeof result->targets[i].name, "%s", options->targets[i].name);
    snprintf(result->targets[i].label, sizeof result->targets[i].label, "%s", options->targets[i].label);
  }
  return 0;
}

int session_run(struct options *options, const struct queries *queries, struct verify *verify,
                const volatile sig_atomic_t *stop, struct result_session *result,
                char error[SESSION_ERROR_SIZE]) {
  struct session session = {
      .options = options,
      .queries = queries,
      .verify = verify,
      .stop = stop,
      .result = result,
      .error = error,
      .progress = {.is_shown = isatty(STDERR_FILENO)},
  };
  struct pinned pinned = {.count = 0};
  error[0] = '\0';
  int failed = init_result(&session);
  for (size_t i = 0; i < options->target_count && !failed; i++)
    failed = check_server(&session, &options->targets[i]);
  int idle_fd = !failed && options->holds_idle ? hold_idle() : -1;
  if (!failed)
    failed = prepare(&session);
  if (!failed)
    failed = pin_servers(&session, &pinned);
  if (!failed)
    failed = run_all(&session);
  unpin_servers(&pinned);
  if (idle_fd >= 0)
    close(idle_fd);
  return failed;
}
