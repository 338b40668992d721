#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "environment.h"
#include "format.h"
#include "options.h"
#include "report.h"
#include "session.h"

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 64, STATUS_INTERRUPTED = 130 };

static volatile sig_atomic_t stop;

/* The second one ends the program at once. */
static void on_signal(int number) {
  (void)number;
  stop = 1;
}

static int complain(const char *sentence) {
  fputs("mxway-bench: ", stderr);
  format_print_clean(stderr, sentence);
  fputc('\n', stderr);
  return STATUS_FAILED;
}

/* ---- what comes out ---- */

static int print_report(const struct options *options, const struct result_session *result) {
  switch (options->output) {
  case OUTPUT_TEXT:
    return report_text(result, stdout);
  case OUTPUT_JSON:
    return report_json(result, stdout);
  case OUTPUT_CSV:
    return report_csv(result, stdout);
  }
  return -1;
}

static int complain_of(const char *path) {
  char sentence[512];
  snprintf(sentence, sizeof sentence, "cannot write %.400s: %s", path, strerror(errno));
  return complain(sentence);
}

static int write_hgrm(const struct result_target *target, const char *path) {
  FILE *file = fopen(path, "we");
  if (!file)
    return complain_of(path);
  int failed = report_hgrm(target, file);
  if (fclose(file) != 0 || failed)
    return complain_of(path);
  return STATUS_OK;
}

static int write_hgrms(const struct result_session *result, const char *path) {
  int status = STATUS_OK;
  for (size_t i = 0; i < result->target_count; i++) {
    char numbered[4096];
    snprintf(numbered, sizeof numbered, "%s.%zu", path, i + 1);
    if (write_hgrm(&result->targets[i], result->target_count > 1 ? numbered : path) != STATUS_OK)
      status = STATUS_FAILED;
  }
  return status;
}

static int write_reports(const struct options *options, const struct result_session *result) {
  int status = STATUS_OK;
  if (print_report(options, result) != 0)
    status = complain_of("the report");
  if (options->hgrm_file && write_hgrms(result, options->hgrm_file) != STATUS_OK)
    status = STATUS_FAILED;
  if (options->html_file && report_html(result, options->html_file) != 0)
    status = complain_of(options->html_file);
  return status;
}

/* ---- what it means ---- */

static bool has_runs(const struct result_session *result) {
  for (size_t i = 0; i < result->target_count; i++)
    if (result->targets[i].run_count > 0)
      return true;
  return false;
}

static int judge_assertions(const struct options *options, const struct result_session *result) {
  int status = STATUS_OK;
  for (size_t i = 0; i < options->assertion_count; i++)
    for (size_t j = 0; j < result->target_count; j++) {
      char *why = NULL;
      size_t size;
      FILE *memory = open_memstream(&why, &size);
      if (memory && !condition_holds(options->assertions[i], &result->targets[j], memory)) {
        fclose(memory);
        fprintf(stderr, "mxway-bench: --assert fails for ");
        format_print_clean(stderr, result->targets[j].label);
        fprintf(stderr, ":\n%s", why);
        status = STATUS_FAILED;
      } else if (memory) {
        fclose(memory);
      }
      free(why);
    }
  return status;
}

static int judge_answers(struct verify *verify, const struct result_session *result) {
  if (!verify)
    return STATUS_OK;
  uint64_t verified = 0, wrong = 0;
  for (size_t i = 0; i < result->target_count; i++) {
    struct result_totals totals;
    result_total(&result->targets[i], &totals);
    verified += totals.verified;
    wrong += totals.wrong;
  }
  verify_print_wrong(verify, stderr);
  if (verified == 0 && !stop)
    return complain("--verify: not one answer was verified: other names, or a target without routes");
  return wrong ? STATUS_FAILED : STATUS_OK;
}

static int judge_search(const struct options *options, const struct result_session *result) {
  for (size_t i = 0; i < result->target_count && options->find_max && !stop; i++)
    if (!(result->targets[i].held_rate > 0))
      return complain("--find-max: no rate held");
  return STATUS_OK;
}

/* ---- the program ---- */

static int run_session(struct options *options, const struct queries *queries, struct verify *verify,
                       int argc, char **argv) {
  struct result_session result;
  memset(&result, 0, sizeof result);
  environment_read(&result.environment, argc, argv, options, queries);
  char error[SESSION_ERROR_SIZE];
  int status = STATUS_OK;
  int failed = session_run(options, queries, verify, &stop, &result, error);
  if (failed)
    status = complain(error);
  /* Where nothing was measured there is nothing to print but why. */
  if (has_runs(&result)) {
    status |= write_reports(options, &result);
    status |= judge_answers(verify, &result);
    if (!failed)
      status |= judge_assertions(options, &result) | judge_search(options, &result);
  }
  session_fini(&result);
  return stop ? STATUS_INTERRUPTED : status;
}

static int load_and_run(struct options *options, int argc, char **argv) {
  char error[QUERIES_ERROR_SIZE], verify_error[VERIFY_ERROR_SIZE];
  struct verify *verify = NULL;
  int status = STATUS_FAILED;
  struct queries *queries = options->file ? queries_load(options->file, error)
                                          : queries_generate(options->generator, options->seed, error);
  if (!queries) {
    complain(error);
    return options->file ? STATUS_FAILED : STATUS_USAGE;
  }
  if (options->verify_file && !(verify = verify_load(options->verify_file, verify_error)))
    complain(verify_error);
  else
    status = run_session(options, queries, verify, argc, argv);
  verify_destroy(verify);
  queries_destroy(queries);
  return status;
}

/* Each connection is a descriptor. */
static void raise_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  raise_descriptors();
  struct options options;
  char error[OPTIONS_ERROR_SIZE];
  int status = STATUS_OK;
  if (options_parse(&options, argc, argv, error) != 0) {
    complain(error);
    fputs("mxway-bench --help says how it is used.\n", stderr);
    status = STATUS_USAGE;
  } else if (options.action == ACTION_HELP) {
    options_print_help(stdout);
  } else if (options.action == ACTION_VERSION) {
    puts("mxway-bench " MXWAY_VERSION);
  } else {
    status = load_and_run(&options, argc, argv);
  }
  options_fini(&options);
  return status;
}
