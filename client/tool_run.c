#include "tool_run.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"
#include "tool_json.h"
#include "tool_lines.h"
#include "tool_progress.h"
#include "tool_story.h"
#include "tool_table.h"
#include "tool_utf8.h"

enum {
  BACKLOG_WAIT_MS = 2000, /* for a place in the daemon's backlog */
  BACKLOG_RETRY_MS = 10,
  ANSWER_WAIT_MS = 30000, /* without --timeout: longer than any daemon's lookup-deadline should be */
  ANSWER_EXTRA_MS = 1000,
  OUTPUT_BYTES = 65536,
};

/* A name from when it is read until it is printed. */
struct item {
  struct item *previous, *next; /* in the order read */
  struct item *next_waiting;
  struct run *run;
  bool is_lost; /* was asked on a connection that was lost */
  char *output; /* answered, and waits for those before it; else NULL */
  size_t output_length;
  size_t length;
  char name[];
};

struct run {
  const struct tool_run_options *options;
  struct mxway *mxway;
  struct tool_lines lines;
  size_t next_domain;
  bool is_input_wanted; /* the stream holds no whole line */
  bool is_input_ended;
  bool has_printed; /* an answer */
  struct item *oldest, *newest;
  size_t item_count;
  struct item *first_waiting, *last_waiting; /* to be asked */
  uint64_t routed, permanent, transient, unusable;
  int64_t started_ms, heard_ms; /* heard: the last answer, or the first question since */
  int error;                    /* that ends the run; 0 */
  int write_errno;
  struct tool_progress progress;
};

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3))) static void complain(struct run *run, const char *format, ...) {
  tool_progress_hide(&run->progress);
  va_list arguments;
  va_start(arguments, format);
  fputs("mxway: ", run->options->err);
  vfprintf(run->options->err, format, arguments);
  fputc('\n', run->options->err);
  va_end(arguments);
}

/* ---- items ---- */

static void wait_to_be_asked(struct run *run, struct item *item) {
  item->next_waiting = NULL;
  if (run->last_waiting)
    run->last_waiting->next_waiting = item;
  else
    run->first_waiting = item;
  run->last_waiting = item;
}

/* Returns false without memory. */
static bool add_item(struct run *run, const char *name, size_t length) {
  struct item *item = malloc(sizeof *item + length + 1);
  if (!item)
    return false;
  *item = (struct item){.previous = run->newest, .run = run, .length = length};
  memcpy(item->name, name, length);
  item->name[length] = '\0';
  if (run->newest)
    run->newest->next = item;
  else
    run->oldest = item;
  run->newest = item;
  run->item_count++;
  wait_to_be_asked(run, item);
  return true;
}

static void remove_item(struct run *run, struct item *item) {
  if (item->previous)
    item->previous->next = item->next;
  else
    run->oldest = item->next;
  if (item->next)
    item->next->previous = item->previous;
  else
    run->newest = item->previous;
  run->item_count--;
  free(item->output);
  free(item);
}

/* ---- output ---- */

static void print_reply(const struct tool_run_options *options, FILE *out, const struct item *item,
                        const struct mxway_reply *reply) {
  if (!options->is_json) {
    tool_table_print(out, item->name, item->length, reply, options->is_bold);
    if (options->request.explain)
      tool_story_print(out, reply, options->columns);
    return;
  }
  char *line = tool_json_build(item->name, item->length, reply, options->request.explain);
  if (line)
    fprintf(out, "%s\n", line);
  else
    item->run->error = MXWAY_ERR_NOMEM;
  free(line);
}

static void note_write_error(struct run *run) {
  if (ferror(run->options->out) && run->write_errno == 0)
    run->write_errno = errno ? errno : EIO;
}

/* Keeps the output of an answer whose turn has not come. */
static void hold_reply(struct run *run, struct item *item, const struct mxway_reply *reply) {
  FILE *out = open_memstream(&item->output, &item->output_length);
  if (!out) {
    run->error = MXWAY_ERR_NOMEM;
    return;
  }
  print_reply(run->options, out, item, reply);
  if (fclose(out) != 0)
    run->error = MXWAY_ERR_NOMEM;
}

/* Blocks that are explained are long: an empty line stands between them. */
static void separate(struct run *run) {
  if (run->has_printed && run->options->request.explain && !run->options->is_json)
    fputc('\n', run->options->out);
  run->has_printed = true;
}

/* Prints the oldest items as far as they are answered; with `is_all`, also those behind unanswered ones. */
static void print_held(struct run *run, bool is_all) {
  for (struct item *item = run->oldest, *next; item && (item->output || is_all); item = next) {
    next = item->next;
    if (!item->output)
      continue;
    separate(run);
    fwrite(item->output, 1, item->output_length, run->options->out);
    remove_item(run, item);
  }
}

static void count_reply(struct run *run, const struct mxway_reply *reply) {
  switch (mxway_reply_class(reply)) {
  case MXWAY_CLASS_OK:
    run->routed++;
    break;
  case MXWAY_CLASS_PERMANENT:
    run->permanent++;
    break;
  case MXWAY_CLASS_TRANSIENT:
    run->transient++;
    break;
  }
}

static void on_answer(void *context, int error, const struct mxway_reply *reply) {
  struct item *item = context;
  struct run *run = item->run;
  if (error) {
    if (error != MXWAY_ERR_DISCONNECTED || item->is_lost)
      run->error = error;
    item->is_lost = true;
    wait_to_be_asked(run, item);
    return;
  }
  run->heard_ms = now_ms();
  count_reply(run, reply);
  errno = 0;
  if (run->options->input_fd < 0 && item != run->oldest) {
    hold_reply(run, item, reply);
    return;
  }
  if (run->options->is_output_terminal)
    tool_progress_hide(&run->progress);
  separate(run);
  print_reply(run->options, run->options->out, item, reply);
  remove_item(run, item);
  print_held(run, false);
  note_write_error(run);
}

/* ---- input ---- */

/* Takes the next name there is, if any. Returns false without memory. */
static bool read_name(struct run *run) {
  const struct tool_run_options *options = run->options;
  if (options->input_fd < 0) {
    const char *name = options->domains[run->next_domain++];
    run->is_input_ended = run->next_domain == options->domain_count;
    if (strlen(name) <= TOOL_LINES_MAX)
      return add_item(run, name, strlen(name));
    run->unusable++;
    complain(run, "argument %zu is over %d octets and was skipped", run->next_domain, TOOL_LINES_MAX);
    return true;
  }
  const char *name;
  size_t length;
  switch (tool_lines_next(&run->lines, &name, &length)) {
  case TOOL_LINES_NAME:
    return add_item(run, name, length);
  case TOOL_LINES_TOO_LONG:
    run->unusable++;
    complain(run, "line %" PRIu64 " is over %d octets and was skipped", run->lines.number, TOOL_LINES_MAX);
    break;
  case TOOL_LINES_MORE:
    run->is_input_wanted = true;
    break;
  case TOOL_LINES_END:
    run->is_input_ended = true;
    break;
  }
  return true;
}

/* ---- the daemon ---- */

static int ask(struct run *run, struct item *item) {
  struct mxway_request request = run->options->request;
  request.domain = item->name;
  request.domain_length = item->length;
  if (mxway_outstanding(run->mxway) == 0)
    run->heard_ms = now_ms();
  int64_t give_up_ms = now_ms() + BACKLOG_WAIT_MS;
  for (;;) {
    int error = mxway_ask(run->mxway, &request, on_answer, item);
    if (error != MXWAY_ERR_CONNECT || errno != EAGAIN || now_ms() >= give_up_ms)
      return error;
    poll(NULL, 0, BACKLOG_RETRY_MS);
  }
}

/* Asks all that may be asked now. Returns 0 or the error that ends the run. */
static int ask_all(struct run *run) {
  for (;;) {
    while (run->first_waiting) {
      int error = ask(run, run->first_waiting);
      if (error == MXWAY_ERR_FULL)
        return 0;
      if (error)
        return error;
      run->first_waiting = run->first_waiting->next_waiting;
      if (!run->first_waiting)
        run->last_waiting = NULL;
    }
    if (run->is_input_ended || run->is_input_wanted || run->item_count >= TOOL_RUN_WINDOW)
      return 0;
    if (!read_name(run))
      return MXWAY_ERR_NOMEM;
  }
}

static int64_t answer_wait_ms(const struct run *run) {
  uint32_t timeout_ms = run->options->request.timeout_ms;
  return (timeout_ms ? timeout_ms : ANSWER_WAIT_MS) + ANSWER_EXTRA_MS;
}

/* How long poll may sleep. */
static int sleep_ms(const struct run *run) {
  if (run->progress.out)
    return TOOL_PROGRESS_INTERVAL_MS;
  if (mxway_outstanding(run->mxway) == 0)
    return -1;
  int64_t left_ms = run->heard_ms + answer_wait_ms(run) - now_ms();
  return left_ms < 0 ? 0 : (int)left_ms;
}

/* Waits for the daemon and the stream; what is printed is out before we sleep. */
static int wait_ready(struct run *run, struct pollfd ready[2]) {
  int wants = mxway_wants(run->mxway);
  ready[0] = (struct pollfd){.fd = mxway_fd(run->mxway)};
  ready[0].events =
      (short)((wants & MXWAY_WANT_READ ? POLLIN : 0) | (wants & MXWAY_WANT_WRITE ? POLLOUT : 0));
  ready[1] = (struct pollfd){.fd = run->is_input_wanted ? run->options->input_fd : -1, .events = POLLIN};
  int count = poll(ready, 2, 0);
  if (count != 0)
    return count;
  errno = 0;
  fflush(run->options->out);
  note_write_error(run);
  if (run->write_errno)
    return 0;
  count = poll(ready, 2, sleep_ms(run));
  tool_progress_show(&run->progress, run->routed + run->permanent + run->transient, now_ms());
  return count;
}

/* One turn. Returns 0 or the error that ends the run. */
static int turn(struct run *run) {
  struct pollfd ready[2];
  int count = wait_ready(run, ready);
  if (count < 0)
    return errno == EINTR ? 0 : MXWAY_ERR_NOMEM;
  if (count > 0 && ready[1].revents) {
    run->is_input_wanted = false;
    if (tool_lines_fill(&run->lines, run->options->input_fd) != 0) {
      complain(run, "cannot read the names: %s", strerror(errno));
      run->is_input_ended = true;
      run->unusable++;
    }
  }
  /* A lost connection has put its questions back (on_answer), unless it was lost twice. */
  if (count > 0 && ready[0].revents) {
    int error = mxway_process(run->mxway);
    if (error && error != MXWAY_ERR_DISCONNECTED)
      return error;
  }
  if (mxway_outstanding(run->mxway) > 0 && now_ms() - run->heard_ms >= answer_wait_ms(run))
    return MXWAY_ERR_TIMEOUT;
  return run->error;
}

/* Whether any question ever reached a daemon. */
static bool was_connected(const struct run *run) {
  return run->routed + run->permanent + run->transient > 0 || (run->oldest && run->oldest->is_lost);
}

static int tell_error(struct run *run, int error, int connect_errno) {
  const char *path = run->options->socket_path;
  const char *hint = connect_errno == ENOENT || connect_errno == ECONNREFUSED ? " (is mxwayd running?)" : "";
  switch (error) {
  case MXWAY_ERR_NOMEM:
    complain(run, "out of memory");
    return TOOL_NO_MEMORY;
  case MXWAY_ERR_CONNECT:
    complain(run, "%s daemon at %s: %s%s", was_connected(run) ? "lost the" : "no", path,
             strerror(connect_errno), hint);
    break;
  case MXWAY_ERR_DISCONNECTED:
    complain(run, "the daemon at %s ended the connection twice", path);
    break;
  case MXWAY_ERR_PROTOCOL:
    complain(run, "what answers at %s does not speak as mxwayd does", path);
    break;
  case MXWAY_ERR_TIMEOUT:
    complain(run, "the daemon at %s has not answered for %" PRId64 " ms", path, answer_wait_ms(run));
    break;
  default:
    complain(run, "%s: %s", path, mxway_error_text(error));
  }
  return TOOL_NO_DAEMON;
}

/* Says which names have no answer, and why. */
static int give_up(struct run *run, int error, int connect_errno) {
  print_held(run, true);
  fflush(run->options->out);
  bool is_listed = error != MXWAY_ERR_CONNECT || was_connected(run);
  for (struct item *item = run->oldest; is_listed && item; item = item->next) {
    size_t length;
    char *name = tool_utf8_repair(item->name, item->length, true, &length);
    complain(run, "not answered: %s", name ? name : "");
    free(name);
  }
  int status = tell_error(run, error, connect_errno);
  if (is_listed && !run->is_input_ended)
    complain(run, "the rest of the names was not asked");
  return status;
}

static void print_summary(struct run *run) {
  if (run->options->input_fd < 0 || !run->options->is_error_terminal)
    return;
  double elapsed_s = (double)(now_ms() - run->started_ms) / 1000;
  uint64_t answered = run->routed + run->permanent + run->transient;
  fprintf(run->options->err, "%" PRIu64 " answered in %.1f s", answered, elapsed_s);
  if (elapsed_s > 0)
    fprintf(run->options->err, " (%.0f a second)", (double)answered / elapsed_s);
  fprintf(run->options->err, ": %" PRIu64 " routes, %" PRIu64 " permanent, %" PRIu64 " transient",
          run->routed, run->permanent, run->transient);
  if (run->unusable)
    fprintf(run->options->err, "; %" PRIu64 " not asked", run->unusable);
  fputc('\n', run->options->err);
}

static int finish(struct run *run) {
  errno = 0;
  fflush(run->options->out);
  note_write_error(run);
  tool_progress_hide(&run->progress);
  /* A reader that has seen enough is no failure. */
  if (run->write_errno && run->write_errno != EPIPE) {
    complain(run, "cannot write: %s", strerror(run->write_errno));
    return TOOL_IO;
  }
  print_summary(run);
  if (run->transient)
    return TOOL_TRANSIENT;
  return run->permanent || run->unusable ? TOOL_PERMANENT : TOOL_OK;
}

static int run_all(struct run *run) {
  while (!run->write_errno) {
    int error = ask_all(run);
    int connect_errno = errno;
    if (!error && run->is_input_ended && run->item_count == 0)
      break;
    if (!error)
      error = turn(run);
    if (error)
      return give_up(run, error, connect_errno);
  }
  return finish(run);
}

int tool_run(const struct tool_run_options *options) {
  struct run *run = calloc(1, sizeof *run);
  struct mxway *mxway = run ? mxway_create(options->socket_path) : NULL;
  if (!mxway) {
    fprintf(options->err, "mxway: %s: %s\n", options->socket_path, strerror(errno));
    free(run);
    return errno == ENOMEM ? TOOL_NO_MEMORY : TOOL_USAGE;
  }
  run->options = options;
  run->mxway = mxway;
  run->started_ms = now_ms();
  run->is_input_ended = options->input_fd < 0 && options->domain_count == 0;
  tool_lines_init(&run->lines);
  bool has_progress = options->input_fd >= 0 && options->is_error_terminal;
  tool_progress_init(&run->progress, has_progress ? options->err : NULL, run->started_ms);
  setvbuf(options->out, NULL, _IOFBF, OUTPUT_BYTES);
  int status = run_all(run);
  mxway_destroy(mxway);
  while (run->oldest)
    remove_item(run, run->oldest);
  free(run);
  return status;
}
