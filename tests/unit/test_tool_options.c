#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_daemon.h"
#include "tool.h"
#include "tool_lines.h"
#include "tool_options.h"

enum { ARGUMENTS_MAX = 2010 };

struct scene {
  struct tool_options options;
  char *argv[ARGUMENTS_MAX + 1];
  int argc;
  char *out, *err;
  size_t out_length, err_length;
};

static void scene_init(struct scene *scene) {
  memset(scene, 0, sizeof *scene);
  scene->options.run.input_fd = -1;
  scene->options.run.request.depth = MXWAY_DEPTH_ADDRESSES;
  scene->options.run.out = open_memstream(&scene->out, &scene->out_length);
  scene->options.run.err = open_memstream(&scene->err, &scene->err_length);
  scene->argv[scene->argc++] = (char *)"lookup";
}

static int parse(struct scene *scene) {
  int status = tool_options_parse(&scene->options, scene->argc, scene->argv);
  fflush(scene->options.run.out);
  fflush(scene->options.run.err);
  return status;
}

static void scene_fini(struct scene *scene) {
  tool_options_fini(&scene->options);
  fclose(scene->options.run.out);
  fclose(scene->options.run.err);
  free(scene->out);
  free(scene->err);
}

/* Takes the words of `line`, which it cuts; '_' stands for an empty argument. */
static int parse_line(struct scene *scene, char *line) {
  scene_init(scene);
  for (char *word = strtok_r(line, " ", &line); word; word = strtok_r(NULL, " ", &line))
    scene->argv[scene->argc++] = strcmp(word, "_") == 0 ? (char *)"" : word;
  return parse(scene);
}

static const struct mxway_request *accept_line(struct scene *scene, char *line) {
  assert_int_equal(parse_line(scene, line), -1);
  assert_string_equal(scene->err, "");
  assert_string_equal(scene->out, "");
  return &scene->options.run.request;
}

static void refuse(const char *text, const char *expected) {
  char line[400], whole[400];
  struct scene scene;
  snprintf(line, sizeof line, "%s", text);
  assert_int_equal(parse_line(&scene, line), TOOL_USAGE);
  snprintf(whole, sizeof whole, "mxway lookup: %s (see mxway lookup --help)\n", expected);
  assert_string_equal(scene.err, whole);
  assert_string_equal(scene.out, "");
  scene_fini(&scene);
}

static void nothing_given_leaves_every_default(void **state) {
  (void)state;
  struct scene scene;
  char line[] = "d.test";
  const struct mxway_request *request = accept_line(&scene, line);
  assert_int_equal(request->depth, MXWAY_DEPTH_ADDRESSES);
  assert_int_equal(request->order, MXWAY_ORDER_RANDOM);
  assert_int_equal(request->family, MXWAY_FAMILY_ANY);
  assert_null(request->order_key);
  assert_int_equal(request->self_name_count + request->self_address_count + request->exclude_count, 0);
  assert_int_equal(request->max_exchanges + request->timeout_ms, 0);
  assert_false(request->primary_only || request->explain || request->no_stale || request->refresh ||
               request->cache_only || scene.options.run.is_json);
  assert_int_equal(scene.options.run.domain_count, 1);
  assert_string_equal(scene.options.run.domains[0], "d.test");
  assert_int_equal(scene.options.run.input_fd, -1);
  scene_fini(&scene);
}

static void every_option_reaches_the_question(void **state) {
  (void)state;
  struct scene scene;
  char line[] =
      "a.test --socket /s --depth exchanges --order keyed --key who --family v4-first --primary-only "
      "--max-exchanges 32 b.test --timeout 3600000 --no-stale --refresh --cache-only --explain --json "
      "-- --c.test";
  const struct mxway_request *request = accept_line(&scene, line);
  assert_string_equal(scene.options.run.socket_path, "/s");
  assert_int_equal(request->depth, MXWAY_DEPTH_EXCHANGES);
  assert_int_equal(request->order, MXWAY_ORDER_KEYED);
  assert_string_equal(request->order_key, "who");
  assert_int_equal(request->family, MXWAY_FAMILY_V4_FIRST);
  assert_int_equal(request->max_exchanges, 32);
  assert_int_equal(request->timeout_ms, 3600000);
  assert_true(request->primary_only && request->no_stale && request->refresh && request->cache_only &&
              request->explain && scene.options.run.is_json);
  assert_int_equal(scene.options.run.domain_count, 3);
  assert_string_equal(scene.options.run.domains[1], "b.test");
  assert_string_equal(scene.options.run.domains[2], "--c.test");
  scene_fini(&scene);
}

static void words_of_an_option_are_the_numbers_of_the_protocol(void **state) {
  (void)state;
  static const struct {
    const char *option;
    int order, family;
  } rows[] = {
      {"--order random", MXWAY_ORDER_RANDOM, 0},
      {"--order stable", MXWAY_ORDER_STABLE, 0},
      {"--order keyed --key k", MXWAY_ORDER_KEYED, 0},
      {"--key k", MXWAY_ORDER_KEYED, 0},
      {"--family any", 0, MXWAY_FAMILY_ANY},
      {"--family v4", 0, MXWAY_FAMILY_V4},
      {"--family v6", 0, MXWAY_FAMILY_V6},
      {"--family v4-first", 0, MXWAY_FAMILY_V4_FIRST},
      {"--family v6-first", 0, MXWAY_FAMILY_V6_FIRST},
      {"--family v4 --family v6", 0, MXWAY_FAMILY_V6},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct scene scene;
    char line[100];
    snprintf(line, sizeof line, "%s d.test", rows[i].option);
    const struct mxway_request *request = accept_line(&scene, line);
    assert_int_equal(request->order, rows[i].order);
    assert_int_equal(request->family, rows[i].family);
    scene_fini(&scene);
  }
}

static void own_names_and_addresses_go_where_they_belong(void **state) {
  (void)state;
  struct scene scene;
  char line[] =
      "--self mx1.test --self 192.0.2.1 --self [192.0.2.2] --self 2001:db8::1 --self [2001:db8::2] "
      "--self [ipv6:2001:DB8::3] --self MX2.test. --self b\xc3\xbc.test --self localhost d.test";
  const struct mxway_request *request = accept_line(&scene, line);
  static const char *const names[] = {"mx1.test", "MX2.test.", "b\xc3\xbc.test", "localhost"};
  assert_int_equal(request->self_name_count, 4);
  for (size_t i = 0; i < 4; i++)
    assert_string_equal(request->self_names[i], names[i]);
  assert_int_equal(request->self_address_count, 5);
  static const uint8_t lengths[] = {4, 4, 16, 16, 16}, last[] = {1, 2, 1, 2, 3};
  for (size_t i = 0; i < 5; i++) {
    assert_int_equal(request->self_addresses[i].length, lengths[i]);
    assert_int_equal(request->self_addresses[i].octets[lengths[i] - 1], last[i]);
  }
  scene_fini(&scene);
}

static void exclusions_are_texts_and_addresses_lose_their_brackets(void **state) {
  (void)state;
  struct scene scene;
  char line[] =
      "--exclude mx1.test --exclude [IPv6:2001:DB8:0::1] --exclude 192.0.2.1 --exclude [192.0.2.2] d.test";
  const struct mxway_request *request = accept_line(&scene, line);
  static const char *const texts[] = {"mx1.test", "2001:db8::1", "192.0.2.1", "192.0.2.2"};
  assert_int_equal(request->exclude_count, 4);
  for (size_t i = 0; i < 4; i++)
    assert_string_equal(request->exclude[i], texts[i]);
  scene_fini(&scene);
}

static void wrong_values_are_named_with_what_is_expected(void **state) {
  (void)state;
  static const struct {
    const char *line, *expected;
  } rows[] = {
      {"--depth deep d.test", "--depth is exchanges or addresses, not 'deep'"},
      {"--order sorted d.test", "--order is random, stable or keyed, not 'sorted'"},
      {"--order Stable d.test", "--order is random, stable or keyed, not 'Stable'"},
      {"--order keyed d.test", "--order keyed needs a --key"},
      {"--order stable --key k d.test", "--key goes with --order keyed, not with --order stable"},
      {"--key k --order random d.test", "--key goes with --order keyed, not with --order random"},
      {"--key _ d.test", "--key is a text of at least one octet, not ''"},
      {"--family v5 d.test", "--family is any, v4, v6, v4-first or v6-first, not 'v5'"},
      {"--family _ d.test", "--family is any, v4, v6, v4-first or v6-first, not ''"},
      {"--max-exchanges 0 d.test", "--max-exchanges is a number from 1 to 32, not '0'"},
      {"--max-exchanges 33 d.test", "--max-exchanges is a number from 1 to 32, not '33'"},
      {"--max-exchanges 4294967297 d.test", "--max-exchanges is a number from 1 to 32, not '4294967297'"},
      {"--max-exchanges 99999999999999999999 d.test",
       "--max-exchanges is a number from 1 to 32, not '99999999999999999999'"},
      {"--max-exchanges -1 d.test", "--max-exchanges is a number from 1 to 32, not '-1'"},
      {"--max-exchanges 3x d.test", "--max-exchanges is a number from 1 to 32, not '3x'"},
      {"--timeout 0 d.test", "--timeout is 1 to 3600000 milliseconds, not '0'"},
      {"--timeout 3600001 d.test", "--timeout is 1 to 3600000 milliseconds, not '3600001'"},
      {"--timeout _ d.test", "--timeout is 1 to 3600000 milliseconds, not ''"},
      {"--explain=yes d.test", "unknown option '--explain=yes'"},
      {"--nope d.test", "unknown option '--nope'"},
      {"d.test --nope", "unknown option '--nope'"},
      {"-x d.test", "unknown option '-x'"},
      {"d.test --key", "a value is missing after '--key'"},
      {"--max-exchanges", "a value is missing after '--max-exchanges'"},
      {"--json", "no domain given"},
      {"- d.test", "- stands for standard input and goes alone"},
      {"--family \x1b[2J d.test", "--family is any, v4, v6, v4-first or v6-first, not '\xef\xbf\xbd[2J'"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    refuse(rows[i].line, rows[i].expected);
}

static void what_is_neither_name_nor_address_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {
      "192.0.2.300",  "192.0.2",    "192.0.2.1.", "10.0.0.0/8", "2001:db8::g",
      "fe80::1%eth0", "[192.0.2.1", "[mx.test]",  "[]",         "[IPv6:192.0.2.1x]",
      "a.test:25",    "_",          ".",          "mx..",       "7"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char line[100], expected[200];
    const char *value = strcmp(texts[i], "_") == 0 ? "" : texts[i];
    snprintf(line, sizeof line, "--self %s d.test", texts[i]);
    snprintf(expected, sizeof expected, "--self is a host name or an IPv4 or IPv6 address, not '%s'", value);
    refuse(line, expected);
    snprintf(line, sizeof line, "--exclude %s d.test", texts[i]);
    snprintf(expected, sizeof expected, "--exclude is a host name or an IPv4 or IPv6 address, not '%s'",
             value);
    refuse(line, expected);
  }
}

/* Whether so many options of that kind with a value of that length are taken. */
static bool is_taken(const char *option, size_t count, size_t length) {
  struct scene scene;
  char *value = malloc(length + 1);
  memset(value, 'x', length);
  value[length] = '\0';
  scene_init(&scene);
  for (size_t i = 0; i < count; i++) {
    scene.argv[scene.argc++] = (char *)option;
    scene.argv[scene.argc++] = value;
  }
  scene.argv[scene.argc++] = (char *)"d.test";
  int status = parse(&scene);
  if (status >= 0) {
    assert_int_equal(status, TOOL_USAGE);
    assert_string_equal(scene.err,
                        "mxway lookup: --key, --self and --exclude are over 5000 octets together (see "
                        "mxway lookup --help)\n");
  }
  scene_fini(&scene);
  free(value);
  return status < 0;
}

static void on_answer(void *context, int error, const struct mxway_reply *reply) {
  (void)context;
  (void)error;
  (void)reply;
}

static void options_leave_a_question_room_for_any_name(void **state) {
  (void)state;
  static const char *const options[] = {"--self", "--exclude"};
  for (size_t i = 0; i < 2; i++) {
    assert_true(is_taken(options[i], 1000, 1));
    assert_false(is_taken(options[i], 999, 2));
    assert_true(is_taken(options[i], 1, TOOL_OPTIONS_MAX_BYTES - 4));
    assert_false(is_taken(options[i], 1, TOOL_OPTIONS_MAX_BYTES - 3));
  }
  assert_true(is_taken("--key", 1, TOOL_OPTIONS_MAX_BYTES - 4));
  assert_false(is_taken("--key", 1, TOOL_OPTIONS_MAX_BYTES - 3));

  /* The worst of them with the longest name is a question that libmxway takes. */
  static char name[TOOL_LINES_MAX + 1];
  static char text[TOOL_OPTIONS_MAX_BYTES - 3];
  const char *texts[] = {text};
  memset(name, 'x', TOOL_LINES_MAX);
  memset(text, 'x', sizeof text - 1);
  struct mxway_request request = {.domain = name,
                                  .depth = MXWAY_DEPTH_ADDRESSES,
                                  .timeout_ms = 3600000,
                                  .family = MXWAY_FAMILY_V6_FIRST,
                                  .max_exchanges = 32,
                                  .primary_only = true,
                                  .no_stale = true,
                                  .refresh = true,
                                  .cache_only = true,
                                  .explain = true,
                                  .exclude = texts,
                                  .exclude_count = 1};
  struct client_daemon *daemon = client_daemon_create();
  struct mxway *mxway = mxway_create(daemon->path);
  assert_int_equal(mxway_ask(mxway, &request, on_answer, NULL), 0);
  mxway_destroy(mxway);
  client_daemon_destroy(daemon);
}

static void dash_alone_is_standard_input(void **state) {
  (void)state;
  struct scene scene;
  char line[] = "- --json";
  accept_line(&scene, line);
  assert_int_equal(scene.options.run.input_fd, STDIN_FILENO);
  scene_fini(&scene);
}

static void help_names_every_option_and_fits_a_terminal(void **state) {
  (void)state;
  static const char *const names[] = {
      "--socket",  "--depth",   "--order",      "--key",     "--family",       "--self",
      "--exclude", "--timeout", "--no-stale",   "--refresh", "--primary-only", "--max-exchanges",
      "--explain", "--json",    "--cache-only", "--help",    "Examples:"};
  struct scene scene;
  char line[] = "--help";
  assert_int_equal(parse_line(&scene, line), TOOL_OK);
  assert_string_equal(scene.err, "");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    assert_non_null(strstr(scene.out, names[i]));
  for (const char *at = scene.out; *at; at += strcspn(at, "\n") + 1)
    assert_in_range(strcspn(at, "\n"), 0, 90);
  scene_fini(&scene);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_given_leaves_every_default),
      cmocka_unit_test(every_option_reaches_the_question),
      cmocka_unit_test(words_of_an_option_are_the_numbers_of_the_protocol),
      cmocka_unit_test(own_names_and_addresses_go_where_they_belong),
      cmocka_unit_test(exclusions_are_texts_and_addresses_lose_their_brackets),
      cmocka_unit_test(wrong_values_are_named_with_what_is_expected),
      cmocka_unit_test(what_is_neither_name_nor_address_is_refused),
      cmocka_unit_test(options_leave_a_question_room_for_any_name),
      cmocka_unit_test(dash_alone_is_standard_input),
      cmocka_unit_test(help_names_every_option_and_fits_a_terminal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
