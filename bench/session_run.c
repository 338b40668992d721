#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "session_private.h"

enum { PROBE_LOOKUPS = 2000, VERIFY_EVERY = 100, VERIFY_ALL_LINES = 1000 };
static const double PROBE_S = 2;

static bool on_tick(void *context, double elapsed_s, uint64_t completed) {
  struct session *session = context;
  progress_show(&session->progress, elapsed_s, completed);
  return !*session->stop;
}

static struct engine_options base_options(struct session *session) {
  const struct options *options = session->options;
  return (struct engine_options){
      .threads = options->threads,
      .connections = options->connections,
      .outstanding = options->outstanding,
      .timeout_s = options->timeout_s,
      .interval_s = options->interval_s,
      .round = session->round++,
      .cpus = options->pins_client ? &options->client_cpus : NULL,
      .on_tick = on_tick,
      .context = session,
  };
}

static int run(struct session *session, const struct target *target, const struct engine_options *options,
               struct result_run *result) {
  session->progress.label = target->label;
  int failed = engine_run(target, session->queries, options, result);
  progress_clear(&session->progress);
  if (failed)
    snprintf(session->error, SESSION_ERROR_SIZE, "%s: %s", target->label, result->error);
  return failed;
}

int session_warm_up(struct session *session, const struct target *target, double rate) {
  if (session->options->warm_up_s == 0 || *session->stop)
    return 0;
  struct engine_options options = base_options(session);
  options.length_s = session->options->warm_up_s;
  options.rate = rate;
  struct result_run thrown_away;
  result_run_init(&thrown_away);
  int failed = run(session, target, &options, &thrown_away);
  result_run_fini(&thrown_away);
  return failed;
}

static uint64_t verify_every(const struct session *session) {
  if (session->options->verify_every)
    return session->options->verify_every;
  return queries_is_file(session->queries) && queries_count(session->queries) <= VERIFY_ALL_LINES
             ? 1
             : VERIFY_EVERY;
}

int session_measure(struct session *session, struct target *target, double rate, struct result_run *result) {
  struct engine_options options = base_options(session);
  options.rate = rate;
  options.length_s = session->options->length_s;
  options.passes = session->options->passes;
  options.verify = session->verify;
  options.verify_every = verify_every(session);
  result_run_init(result);
  int failed = run(session, target, &options, result);
  if (session->options->verbosity > 0) {
    fputs("mxway-bench: ", stderr);
    format_print_clean(stderr, target->label);
    fprintf(stderr, ": %s, p50 %s, p99 %s, lost %s%s%s\n",
            format_rate(result_run_figure(result, FIGURE_RATE)).text,
            format_time(result_run_figure(result, FIGURE_P50)).text,
            format_time(result_run_figure(result, FIGURE_P99)).text,
            format_share(result_run_figure(result, FIGURE_LOSS)).text,
            result->is_disturbed ? ", disturbed" : "", result->is_client_bound ? ", generator-bound" : "");
  }
  return failed;
}

int session_measure_well(struct session *session, size_t target_at, double rate, struct result_run *result) {
  struct target *target = &session->options->targets[target_at];
  int failed = session_measure(session, target, rate, result);
  for (unsigned i = 0; i < session->options->repeats_max; i++) {
    if (failed || !result->is_disturbed || result->wrong || *session->stop)
      break;
    result_run_fini(result);
    session->result->targets[target_at].repeated_count++;
    failed = session_measure(session, target, rate, result);
  }
  return failed;
}

size_t session_reply_bytes(struct session *session, const struct target *target) {
  struct engine_options options = base_options(session);
  options.length_s = PROBE_S;
  options.lookups_max = PROBE_LOOKUPS;
  struct result_run probe;
  result_run_init(&probe);
  run(session, target, &options, &probe);
  size_t bytes = probe.completed ? (size_t)((probe.reply_bytes + probe.completed / 2) / probe.completed) : 0;
  result_run_fini(&probe);
  return bytes;
}
