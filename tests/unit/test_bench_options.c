#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "options.h"

enum { WORDS_MAX = 32 };

/* Parses a command line given as words with single spaces. */
static int parse(struct options *options, const char *line, char *error) {
  static char copy[512];
  snprintf(copy, sizeof copy, "mxway-bench%s%s", *line ? " " : "", line);
  char *words[WORDS_MAX + 1], *rest = copy;
  int count = 0;
  while (rest && count < WORDS_MAX)
    words[count++] = strsep(&rest, " ");
  words[count] = NULL;
  return options_parse(options, count, words, error);
}

static void good(struct options *options, const char *line) {
  char error[OPTIONS_ERROR_SIZE];
  if (parse(options, line, error) != 0)
    fail_msg("%s: %s", line, error);
}

static void usual_values_are_as_the_help_says(void **state) {
  (void)state;
  struct options options;
  setenv("MXWAY_SOCKET", "/tmp/of-the-environment", 1);
  good(&options, "--gen uniform");
  assert_int_equal(options.connections, 1);
  assert_int_equal(options.threads, 1);
  assert_int_equal(options.outstanding, 64);
  assert_int_equal(options.runs, 1);
  assert_true(options.length_s == 10 && options.timeout_s == 5 && options.rate == 0);
  assert_int_equal(options.target_count, 1);
  struct sockaddr_un address;
  memcpy(&address, &options.targets[0].address, sizeof address);
  assert_string_equal(address.sun_path, "/tmp/of-the-environment");
  options_fini(&options);
  unsetenv("MXWAY_SOCKET");
  good(&options, "-d names.txt");
  assert_true(options.length_s == 0);
  assert_int_equal(options.passes, 1);
  options_fini(&options);
  good(&options, "-d names.txt --find-max p99<1ms");
  assert_true(options.length_s == 2);
  options_fini(&options);
}

static void dnsperfs_letters_mean_what_they_mean_there(void **state) {
  (void)state;
  struct options options;
  good(&options, "-s null -d - -c 8 -T 2 -q 5 -Q 1.5k -l 3 -n 4 -t 0.5 -S 2 -v");
  assert_string_equal(options.file, "-");
  assert_int_equal(options.connections, 8);
  assert_int_equal(options.threads, 2);
  assert_int_equal(options.outstanding, 5);
  assert_true(options.rate == 1500 && options.length_s == 3 && options.timeout_s == 0.5);
  assert_true(options.interval_s == 2);
  assert_int_equal(options.passes, 4);
  assert_int_equal(options.verbosity, 1);
  options_fini(&options);
}

static void targets_keep_their_order_and_options(void **state) {
  (void)state;
  struct options options;
  good(&options, "-s mxway:/a,depth=addresses,pid=7 -s dns:127.0.0.1,full -s redis:[::1]:6380 --gen zipf");
  assert_int_equal(options.target_count, 3);
  assert_string_equal(options.targets[0].kind->name, "mxway");
  assert_int_equal(options.targets[0].pid, 7);
  assert_int_equal(options.targets[1].socket_type, SOCK_DGRAM);
  assert_int_equal(options.targets[2].address.ss_family, AF_INET6);
  assert_string_equal(options.targets[2].label, "redis:[::1]:6380");
  options_fini(&options);
}

static void pins_are_sets_of_cpus(void **state) {
  (void)state;
  struct options options;
  good(&options, "--gen zipf -s null --pin server=0,client=1-3+5");
  assert_true(options.pins_server && options.pins_client);
  assert_int_equal(CPU_COUNT(&options.server_cpus), 1);
  assert_true(CPU_ISSET(0, &options.server_cpus));
  assert_int_equal(CPU_COUNT(&options.client_cpus), 4);
  assert_true(CPU_ISSET(5, &options.client_cpus));
  options_fini(&options);
}

static void help_and_version_need_nothing_else(void **state) {
  (void)state;
  struct options options;
  good(&options, "-h");
  assert_int_equal(options.action, ACTION_HELP);
  options_fini(&options);
  good(&options, "--version");
  assert_int_equal(options.action, ACTION_VERSION);
  options_fini(&options);
}

static void a_wrong_option_is_named(void **state) {
  (void)state;
  static const struct {
    const char *line, *sentence;
  } cases[] = {
      {"", "nothing to ask: give -d FILE or --gen SPEC"},
      {"-d a --gen zipf", "-d and --gen: only one of them says what is asked"},
      {"-x", "there is no option -x"},
      {"--bogus", "there is no option --bogus, or it takes no value"},
      {"--runs", "--runs needs a value"},
      {"-c", "-c needs a value"},
      {"--gen zipf -c 0", "-c: '0' is not a whole number from 1 to 65536"},
      {"--gen zipf -c -1", "-c: '-1' is not a whole number from 1 to 65536"},
      {"--gen zipf --seed 99999999999999999999",
       "--seed: '99999999999999999999' is not a whole number from 0 to "
       "18446744073709551615"},
      {"--gen zipf -l x", "-l: 'x' is not a number of seconds from 0.01 to 3.1536e+07"},
      {"--gen zipf -t nan", "-t: 'nan' is not a number of seconds from 0.001 to 3600"},
      {"--gen zipf -Q 5x", "-Q: '5x' is not a rate such as 5000, 100k or 1.2M (lookups a second)"},
      {"--gen zipf -Q 5 --find-max p99<1ms", "-Q and --find-max: the rate is what is searched"},
      {"--gen zipf -o xml", "-o: 'xml' is none of text, json, csv"},
      {"--gen zipf -s null -s null --pid 1", "--pid is for one target; with several add pid=N to each"},
      {"--gen zipf -s foo:1", "-s: no kind of target 'foo': there are mxway, dns, redis and null"},
      {"--gen zipf -s dns:x", "-s: dns:x: 'x' is not ADDRESS:PORT, such as 127.0.0.1:53 or [::1]:53"},
      {"--gen zipf -s mxway:/a,deep",
       "-s: mxway:/a,deep: bad option 'deep' "
       "(mxway:SOCKET[,depth=exchanges|addresses][,refresh][,cache-only][,pid=N])"},
      {"--gen zipf --pin all",
       "--pin: 'all' is not server=CPUS or client=CPUS, such as server=0,client=1-3+5"},
      {"--gen zipf zork", "'zork' belongs to no option (a target is given with -s)"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct options options;
    char error[OPTIONS_ERROR_SIZE] = "";
    assert_int_equal(parse(&options, cases[i].line, error), -1);
    assert_string_equal(error, cases[i].sentence);
    options_fini(&options);
  }
}

static void a_wrong_condition_names_its_option(void **state) {
  (void)state;
  struct options options;
  char error[OPTIONS_ERROR_SIZE];
  assert_int_equal(parse(&options, "--gen zipf --assert p99<1ms --assert p98<1ms", error), -1);
  assert_memory_equal(error, "--assert: ", 10);
  assert_int_equal(options.assertion_count, 1);
  options_fini(&options);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(usual_values_are_as_the_help_says),
      cmocka_unit_test(dnsperfs_letters_mean_what_they_mean_there),
      cmocka_unit_test(targets_keep_their_order_and_options),
      cmocka_unit_test(pins_are_sets_of_cpus),
      cmocka_unit_test(help_and_version_need_nothing_else),
      cmocka_unit_test(a_wrong_option_is_named),
      cmocka_unit_test(a_wrong_condition_names_its_option),
  };
  return cmocka_run_group_tests_name("bench_options", tests, NULL, NULL);
}
