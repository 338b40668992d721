#include "cmocka_compat.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_daemon.h"
#include "tool.h"
#include "tool_lines.h"
#include "tool_run.h"

struct scene {
  struct client_daemon *daemon;
  struct tool_run_options options;
  int input; /* the writing end of the stream, if one is opened */
  char out[65536], err[65536];
};

static int scene_create(void **state) {
  struct scene *scene = calloc(1, sizeof *scene);
  scene->daemon = client_daemon_create();
  scene->options.socket_path = scene->daemon->path;
  scene->options.input_fd = -1;
  scene->options.is_json = true;
  scene->options.out = tmpfile();
  scene->options.err = tmpfile();
  scene->input = -1;
  *state = scene;
  return 0;
}

static int scene_destroy(void **state) {
  struct scene *scene = *state;
  if (scene->options.input_fd >= 0)
    close(scene->options.input_fd);
  fclose(scene->options.out);
  fclose(scene->options.err);
  client_daemon_destroy(scene->daemon);
  free(scene);
  return 0;
}

static void open_stream(struct scene *scene) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  scene->options.input_fd = ends[0];
  scene->input = ends[1];
}

static void feed(int fd, const char *text) {
  assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* The whole stream, less than a pipe holds. */
static void feed_all(struct scene *scene, const char *text) {
  open_stream(scene);
  feed(scene->input, text);
  close(scene->input);
}

static void read_back(FILE *file, char *text, size_t size) {
  rewind(file);
  text[fread(text, 1, size - 1, file)] = '\0';
}

static int run(struct scene *scene) {
  int status = tool_run(&scene->options);
  read_back(scene->options.out, scene->out, sizeof scene->out);
  read_back(scene->options.err, scene->err, sizeof scene->err);
  return status;
}

/* The domains of the objects printed, "a b c ". */
static const char *domains(const struct scene *scene) {
  static char text[65536];
  size_t length = 0;
  static const char key[] = "{\"domain\":\"";
  for (const char *at = scene->out; (at = strstr(at, key));) {
    at += sizeof key - 1;
    size_t name_length = strcspn(at, "\"");
    memcpy(text + length, at, name_length);
    length += name_length;
    text[length++] = ' ';
  }
  text[length] = '\0';
  return text;
}

/* ---- how the daemon plays ---- */

/* Names that begin so get that answer; all others a route. */
static void answer_by_name(struct client_daemon *daemon, const Mxway__V1__LookupRequest *request) {
  Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
  reply.id = request->id;
  char first = request->domain.len ? (char)request->domain.data[0] : '\0';
  reply.verdict = first == 'p'   ? MXWAY__V1__VERDICT__VERDICT_NULL_MX
                  : first == 't' ? MXWAY__V1__VERDICT__VERDICT_DNS_TIMEOUT
                                 : MXWAY__V1__VERDICT__VERDICT_ROUTE;
  client_daemon_send(daemon, &reply);
}

/* Tells each name back in its story, if it is asked to explain. */
static void explain_by_name(struct client_daemon *daemon, const Mxway__V1__LookupRequest *request) {
  char text[64];
  snprintf(text, sizeof text, "about %.*s\x1b", (int)request->domain.len, (const char *)request->domain.data);
  Mxway__V1__StoryLine line = MXWAY__V1__STORY_LINE__INIT, *story[] = {&line};
  line.at_us = 1500;
  line.rule = (char *)"V8 (RFC 7505 3)";
  line.text = text;
  Mxway__V1__LookupReply reply = MXWAY__V1__LOOKUP_REPLY__INIT;
  reply.id = request->id;
  reply.verdict = MXWAY__V1__VERDICT__VERDICT_NULL_MX;
  reply.n_story = request->explain ? 1 : 0;
  reply.story = story;
  client_daemon_send(daemon, &reply);
}

static void explain_backwards(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  Mxway__V1__LookupRequest *requests[2];
  for (size_t i = 0; i < 2; i++)
    requests[i] = client_daemon_read(daemon);
  for (size_t i = 2; i-- > 0;) {
    explain_by_name(daemon, requests[i]);
    client_daemon_forget(requests[i]);
  }
  client_daemon_read_id(daemon);
}

static void serve(struct client_daemon *daemon) {
  Mxway__V1__LookupRequest *request;
  while ((request = client_daemon_read(daemon))) {
    answer_by_name(daemon, request);
    client_daemon_forget(request);
  }
}

static void answer_everything(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  serve(daemon);
}

/* Answers three at a time, the last first. */
static void answer_backwards(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  Mxway__V1__LookupRequest *requests[3];
  for (size_t i = 0; i < 3; i++)
    requests[i] = client_daemon_read(daemon);
  for (size_t i = 3; i-- > 0;) {
    answer_by_name(daemon, requests[i]);
    client_daemon_forget(requests[i]);
  }
  serve(daemon);
}

static void read_three_and_answer_the_middle(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  for (size_t i = 0; i < 3; i++) {
    Mxway__V1__LookupRequest *request = client_daemon_read(daemon);
    if (i == 1)
      answer_by_name(daemon, request);
    client_daemon_forget(request);
  }
}

static void lose_the_first_connection(struct client_daemon *daemon) {
  read_three_and_answer_the_middle(daemon);
  client_daemon_accept(daemon);
  serve(daemon);
}

static void lose_both_connections(struct client_daemon *daemon) {
  read_three_and_answer_the_middle(daemon);
  client_daemon_accept(daemon);
  client_daemon_read_id(daemon);
  client_daemon_close(daemon);
}

static void die(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  client_daemon_answer(daemon, client_daemon_read_id(daemon));
  client_daemon_read_id(daemon);
  client_daemon_stop(daemon);
  client_daemon_close(daemon);
}

static void talk_nonsense(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  client_daemon_read_id(daemon);
  client_daemon_send_octets(daemon, "\x03\xff\xff\xff", 4);
  client_daemon_read_id(daemon);
}

static void say_nothing(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  while (client_daemon_read_id(daemon))
    continue;
}

/* Holds its answers until it has seen how many names come. */
static void count_before_answering(struct client_daemon *daemon) {
  client_daemon_accept(daemon);
  static Mxway__V1__LookupRequest *requests[TOOL_RUN_WINDOW];
  for (size_t i = 0; i < TOOL_RUN_WINDOW; i++)
    requests[i] = client_daemon_read(daemon);
  struct pollfd more = {.fd = daemon->fd, .events = POLLIN};
  daemon->note = daemon->in_length > 0 || poll(&more, 1, 50) > 0;
  for (size_t i = 0; i < TOOL_RUN_WINDOW; i++) {
    answer_by_name(daemon, requests[i]);
    client_daemon_forget(requests[i]);
  }
  serve(daemon);
}

/* Writes the next name only when the last was asked. */
static void converse(struct client_daemon *daemon) {
  feed(daemon->note, "name.test\n");
  client_daemon_accept(daemon);
  for (int i = 0; i < 3; i++) {
    client_daemon_answer(daemon, client_daemon_read_id(daemon));
    if (i < 2)
      feed(daemon->note, "name.test\n");
  }
  close(daemon->note);
}

/* ---- tests ---- */

static int run_arguments(struct scene *scene, size_t count, char *const *names,
                         void (*script)(struct client_daemon *)) {
  scene->options.domains = names;
  scene->options.domain_count = count;
  client_daemon_play(scene->daemon, script);
  int status = run(scene);
  client_daemon_join(scene->daemon);
  return status;
}

static void arguments_are_printed_in_their_order(void **state) {
  struct scene *scene = *state;
  char *names[] = {"a", "b", "c", "d"};
  assert_int_equal(run_arguments(scene, 4, names, answer_backwards), TOOL_OK);
  assert_string_equal(domains(scene), "a b c d ");
  assert_null(strstr(scene->out, "story"));
  assert_string_equal(scene->err, "");
}

static void names_of_a_stream_are_printed_as_they_are_answered(void **state) {
  struct scene *scene = *state;
  feed_all(scene, "a\nb\nc");
  client_daemon_play(scene->daemon, answer_backwards);
  assert_int_equal(run(scene), TOOL_OK);
  client_daemon_join(scene->daemon);
  assert_string_equal(domains(scene), "c b a ");
}

static void stream_that_stays_open_is_answered_name_by_name(void **state) {
  struct scene *scene = *state;
  open_stream(scene);
  scene->daemon->note = scene->input;
  client_daemon_play(scene->daemon, converse);
  assert_int_equal(run(scene), TOOL_OK);
  client_daemon_join(scene->daemon);
  assert_string_equal(domains(scene), "name.test name.test name.test ");
}

static void long_stream_is_answered_a_window_at_a_time(void **state) {
  struct scene *scene = *state;
  enum { COUNT = 5 * TOOL_RUN_WINDOW };
  char *text = malloc(COUNT * 6 + 1);
  for (unsigned i = 0; i < COUNT; i++)
    snprintf(text + i * 6, 7, "%05u\n", i % 100000);
  scene->options.out = freopen("/dev/null", "w", scene->options.out);
  feed_all(scene, text);
  scene->options.is_error_terminal = true;
  client_daemon_play(scene->daemon, count_before_answering);
  assert_int_equal(run(scene), TOOL_OK);
  client_daemon_join(scene->daemon);
  assert_false(scene->daemon->note);
  assert_non_null(strstr(scene->err, "2560 answered in "));
  assert_non_null(strstr(scene->err, ": 2560 routes, 0 permanent, 0 transient\n"));
  free(text);
}

static void status_says_the_worst_that_was_answered(void **state) {
  struct scene *scene = *state;
  static const struct {
    char *names[3];
    int status;
  } rows[] = {
      {{"a", "b", "c"}, TOOL_OK},
      {{"a", "p", "c"}, TOOL_PERMANENT},
      {{"t", "b", "c"}, TOOL_TRANSIENT},
      {{"t", "p", "c"}, TOOL_TRANSIENT},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_int_equal(run_arguments(scene, 3, rows[i].names, answer_everything), rows[i].status);
}

static void missing_daemon_is_named_with_its_socket(void **state) {
  struct scene *scene = *state;
  client_daemon_stop(scene->daemon);
  char *names[] = {"a", "b"}, expected[200];
  scene->options.domains = names;
  scene->options.domain_count = 2;
  assert_int_equal(run(scene), TOOL_NO_DAEMON);
  snprintf(expected, sizeof expected,
           "mxway: no daemon at %s: No such file or directory (is mxwayd running?)\n", scene->daemon->path);
  assert_string_equal(scene->err, expected);
}

static void names_of_a_lost_connection_are_asked_once_more(void **state) {
  struct scene *scene = *state;
  char *names[] = {"a", "b", "c"};
  assert_int_equal(run_arguments(scene, 3, names, lose_the_first_connection), TOOL_OK);
  assert_string_equal(domains(scene), "a b c ");
  assert_string_equal(scene->err, "");
}

static void names_lost_twice_are_reported(void **state) {
  struct scene *scene = *state;
  char *names[] = {"a", "b", "c"}, expected[200];
  assert_int_equal(run_arguments(scene, 3, names, lose_both_connections), TOOL_NO_DAEMON);
  assert_string_equal(domains(scene), "b ");
  snprintf(expected, sizeof expected,
           "mxway: not answered: a\nmxway: not answered: c\n"
           "mxway: the daemon at %s ended the connection twice\n",
           scene->daemon->path);
  assert_string_equal(scene->err, expected);
}

static void daemon_that_dies_leaves_its_unanswered_names_reported(void **state) {
  struct scene *scene = *state;
  char path[64];
  snprintf(path, sizeof path, "%s", scene->daemon->path);
  open_stream(scene);
  feed(scene->input, "a\nb\x1b[1A\n");
  client_daemon_play(scene->daemon, die);
  assert_int_equal(run(scene), TOOL_NO_DAEMON);
  client_daemon_join(scene->daemon);
  close(scene->input);
  char expected[400];
  snprintf(expected, sizeof expected,
           "mxway: not answered: b\xef\xbf\xbd[1A\n"
           "mxway: lost the daemon at %s: No such file or directory (is mxwayd running?)\n"
           "mxway: the rest of the names was not asked\n",
           path);
  assert_string_equal(scene->err, expected);
  assert_string_equal(domains(scene), "a ");
}

static void nonsense_from_the_socket_ends_the_run(void **state) {
  struct scene *scene = *state;
  char *names[] = {"a"};
  assert_int_equal(run_arguments(scene, 1, names, talk_nonsense), TOOL_NO_DAEMON);
  assert_non_null(strstr(scene->err, "mxway: not answered: a\n"));
  assert_non_null(strstr(scene->err, "does not speak as mxwayd does\n"));
}

static void silent_daemon_is_waited_for_no_longer_than_the_bound(void **state) {
  struct scene *scene = *state;
  char *names[] = {"a"};
  scene->options.request.timeout_ms = 1;
  assert_int_equal(run_arguments(scene, 1, names, say_nothing), TOOL_NO_DAEMON);
  assert_non_null(strstr(scene->err, "has not answered for 1001 ms\n"));
}

static void name_that_is_too_long_fails_alone(void **state) {
  struct scene *scene = *state;
  char *text = malloc(TOOL_LINES_MAX + 10);
  size_t length = (size_t)snprintf(text, 10, "a\n");
  memset(text + length, 'x', TOOL_LINES_MAX + 1);
  length += TOOL_LINES_MAX + 1;
  snprintf(text + length, 4, "\nb\n");
  feed_all(scene, text);
  client_daemon_play(scene->daemon, answer_everything);
  assert_int_equal(run(scene), TOOL_PERMANENT);
  client_daemon_join(scene->daemon);
  assert_string_equal(domains(scene), "a b ");
  assert_string_equal(scene->err, "mxway: line 2 is over 60000 octets and was skipped\n");

  text[length] = '\0';
  char *names[] = {text + 2};
  scene->options.out = freopen(NULL, "w+", scene->options.out);
  close(scene->options.input_fd);
  scene->options.input_fd = -1;
  scene->options.domains = names;
  scene->options.domain_count = 1;
  assert_int_equal(run(scene), TOOL_PERMANENT);
  assert_non_null(strstr(scene->err, "argument 1 is over 60000 octets"));
  free(text);
}

static void output_that_cannot_be_written_is_an_error(void **state) {
  struct scene *scene = *state;
  scene->options.out = freopen("/dev/full", "w", scene->options.out);
  char *names[] = {"a", "b"};
  assert_int_equal(run_arguments(scene, 2, names, answer_everything), TOOL_IO);
  assert_string_equal(scene->err, "mxway: cannot write: No space left on device\n");
}

static void reader_that_ends_early_is_no_error(void **state) {
  struct scene *scene = *state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  close(ends[0]);
  fclose(scene->options.out);
  scene->options.out = fdopen(ends[1], "w");
  void (*before)(int) = signal(SIGPIPE, SIG_IGN);
  open_stream(scene);
  feed(scene->input, "a\n");
  client_daemon_play(scene->daemon, answer_everything);
  /* The stream stays open: only the broken pipe ends this run. */
  assert_int_equal(run(scene), TOOL_OK);
  client_daemon_join(scene->daemon);
  close(scene->input);
  signal(SIGPIPE, before);
  assert_string_equal(scene->err, "");
}

static void people_get_a_table(void **state) {
  struct scene *scene = *state;
  scene->options.is_json = false;
  char *names[] = {"p.test"};
  assert_int_equal(run_arguments(scene, 1, names, answer_everything), TOOL_PERMANENT);
  assert_string_equal(scene->out, "p.test  NULL_MX  this domain accepts no mail  (ttl 0  from elsewhere)\n");
}

/* The block of the name. */
#define EXPLAINED(name)                                                                                      \
  name "  NULL_MX  this domain accepts no mail  (ttl 0  from elsewhere)\n"                                   \
       "  how it came about:\n"                                                                              \
       "    1.500 ms  about " name                                                                           \
       "\xef\xbf\xbd [V8 (RFC 7505 3)]\n"                                                                    \
       "  what it means: A sender returns the mail at once. The owner of the domain says\n"                  \
       "                 so with a null MX record (RFC 7505).\n"

static void each_of_several_names_is_explained_in_turn(void **state) {
  struct scene *scene = *state;
  scene->options.is_json = false;
  scene->options.columns = 80;
  scene->options.request.explain = true;
  char *names[] = {"a", "b"};
  assert_int_equal(run_arguments(scene, 2, names, explain_backwards), TOOL_PERMANENT);
  assert_string_equal(scene->out, EXPLAINED("a") "\n" EXPLAINED("b"));
}

static void names_of_a_stream_are_explained_as_they_are_answered(void **state) {
  struct scene *scene = *state;
  scene->options.is_json = false;
  scene->options.columns = 80;
  scene->options.request.explain = true;
  feed_all(scene, "a\nb\n");
  client_daemon_play(scene->daemon, explain_backwards);
  assert_int_equal(run(scene), TOOL_PERMANENT);
  client_daemon_join(scene->daemon);
  assert_string_equal(scene->out, EXPLAINED("b") "\n" EXPLAINED("a"));
}

static void programs_get_the_story_as_a_key(void **state) {
  struct scene *scene = *state;
  scene->options.request.explain = true;
  char *names[] = {"a", "b"};
  assert_int_equal(run_arguments(scene, 2, names, explain_backwards), TOOL_PERMANENT);
  assert_string_equal(domains(scene), "a b ");
  const char *story =
      ",\"story\":[{\"at_us\":1500,\"rule\":\"V8 (RFC 7505 3)\",\"text\":\"about a\\u001B\"}]}\n{";
  assert_non_null(strstr(scene->out, story));
}

#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_create, scene_destroy)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_SCENE(arguments_are_printed_in_their_order),
      IN_SCENE(names_of_a_stream_are_printed_as_they_are_answered),
      IN_SCENE(stream_that_stays_open_is_answered_name_by_name),
      IN_SCENE(long_stream_is_answered_a_window_at_a_time),
      IN_SCENE(status_says_the_worst_that_was_answered),
      IN_SCENE(missing_daemon_is_named_with_its_socket),
      IN_SCENE(names_of_a_lost_connection_are_asked_once_more),
      IN_SCENE(names_lost_twice_are_reported),
      IN_SCENE(daemon_that_dies_leaves_its_unanswered_names_reported),
      IN_SCENE(nonsense_from_the_socket_ends_the_run),
      IN_SCENE(silent_daemon_is_waited_for_no_longer_than_the_bound),
      IN_SCENE(name_that_is_too_long_fails_alone),
      IN_SCENE(output_that_cannot_be_written_is_an_error),
      IN_SCENE(reader_that_ends_early_is_no_error),
      IN_SCENE(people_get_a_table),
      IN_SCENE(each_of_several_names_is_explained_in_turn),
      IN_SCENE(names_of_a_stream_are_explained_as_they_are_answered),
      IN_SCENE(programs_get_the_story_as_a_key),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
