#include "cmocka_compat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queries.h"

static char path[64];

static const char *write_file(const char *text, size_t length) {
  snprintf(path, sizeof path, "/tmp/mxway-test-XXXXXX");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, length), (ssize_t)length);
  close(fd);
  return path;
}

static struct queries *load(const char *text, char *error) {
  struct queries *queries = queries_load(write_file(text, strlen(text)), error);
  unlink(path);
  return queries;
}

/* The message must name the file and end with `rest`, ":3: unknown type". */
static void fails_with(const char *text, size_t length, const char *rest) {
  char error[QUERIES_ERROR_SIZE], expected[QUERIES_ERROR_SIZE];
  assert_null(queries_load(write_file(text, length), error));
  unlink(path);
  snprintf(expected, sizeof expected, "%s%s", path, rest);
  assert_string_equal(error, expected);
}

#define FAILS_WITH(text, rest) fails_with(text, sizeof(text) - 1, rest)

/* ---- files ---- */

static void a_file_gives_its_lines_in_order_and_starts_anew(void **state) {
  (void)state;
  char error[QUERIES_ERROR_SIZE];
  struct queries *queries =
      load("# comment\na.test\n\n \tb.test.  mx \r\nc.test TYPE65535\nd.test aaaa", error);
  assert_non_null(queries);
  assert_true(queries_is_file(queries));
  assert_int_equal(queries_count(queries), 4);
  static const struct {
    const char *name;
    uint16_t type;
  } expected[] = {{"a.test", 0}, {"b.test.", 15}, {"c.test", 65535}, {"d.test", 28}};
  struct query_cursor cursor;
  query_cursor_init(&cursor, queries, 0, 1, 0);
  assert_int_equal(query_cursor_share(&cursor), 4);
  for (size_t i = 0; i < 12; i++) {
    struct query query;
    assert_int_equal(cursor.passes, i / 4);
    queries_next(&cursor, &query);
    assert_string_equal(query.name, expected[i % 4].name);
    assert_int_equal(query.length, strlen(query.name));
    assert_int_equal(query.type, expected[i % 4].type);
    assert_int_equal(query.index, i % 4);
  }
  queries_destroy(queries);
}

static void a_bad_line_is_named_with_file_and_number(void **state) {
  (void)state;
  FAILS_WITH("a.test\n\n# c\nb.test WHAT\n", ":4: unknown type");
  FAILS_WITH("a.test TYPE\n", ":1: unknown type");
  FAILS_WITH("a.test TYPE65536\n", ":1: unknown type");
  FAILS_WITH("a.test\nb.test MX IN\n", ":2: more than a name and a type");
  FAILS_WITH("a.test\nb\0.test\n", ":2: a NUL octet");
}

static void a_name_has_at_most_253_octets_and_a_dot(void **state) {
  (void)state;
  char text[300], error[QUERIES_ERROR_SIZE];
  memset(text, 'x', sizeof text);
  memcpy(text + 253, ".\n", 3);
  struct queries *queries = load(text, error);
  assert_non_null(queries);
  queries_destroy(queries);
  memcpy(text + 253, "x\n", 3);
  fails_with(text, 255, ":1: the name is longer than 253 octets");
}

static void a_file_without_a_query_is_refused(void **state) {
  (void)state;
  FAILS_WITH("", ": there is no query in it");
  FAILS_WITH("# nothing\n\n", ": there is no query in it");
}

static void a_file_that_cannot_be_read_is_named(void **state) {
  (void)state;
  char error[QUERIES_ERROR_SIZE];
  assert_null(queries_load("/nonexistent/queries", error));
  assert_string_equal(error, "/nonexistent/queries: No such file or directory");
}

static void cursors_share_a_file_without_gaps(void **state) {
  (void)state;
  char text[1000] = "", error[QUERIES_ERROR_SIZE];
  for (int i = 0; i < 10; i++)
    snprintf(text + strlen(text), sizeof text - strlen(text), "d%d.test\n", i);
  struct queries *queries = load(text, error);
  unsigned seen[10] = {0};
  uint64_t shares = 0;
  for (size_t i = 0; i < 3; i++) {
    struct query_cursor cursor;
    query_cursor_init(&cursor, queries, i, 3, 0);
    shares += query_cursor_share(&cursor);
    while (cursor.passes == 0) {
      struct query query;
      queries_next(&cursor, &query);
      seen[query.index]++;
    }
  }
  assert_int_equal(shares, 10);
  for (size_t i = 0; i < 10; i++)
    assert_int_equal(seen[i], 1);
  queries_destroy(queries);
}

static void the_hash_is_that_of_the_content(void **state) {
  (void)state;
  char error[QUERIES_ERROR_SIZE];
  struct queries *one = load("a.test\n", error), *same = load("a.test\n", error);
  struct queries *other = load("b.test\n", error);
  assert_true(queries_hash(one) == queries_hash(same));
  assert_true(queries_hash(one) != queries_hash(other));
  queries_destroy(one);
  queries_destroy(same);
  queries_destroy(other);
}

/* ---- generators ---- */

static struct queries *generate(const char *spec, uint64_t seed) {
  char error[QUERIES_ERROR_SIZE];
  struct queries *queries = queries_generate(spec, seed, error);
  if (!queries)
    fail_msg("%s", error);
  return queries;
}

enum { DRAWS = 200000 };

static void a_zipf_generator_draws_by_the_law(void **state) {
  (void)state;
  static const struct {
    const char *spec;
    double exponent;
  } cases[] = {{"zipf:n=1000,s=1.0", 1.0}, {"zipf:s=0.5,n=1000", 0.5}, {"zipf:n=1000,s=1.7", 1.7}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    struct queries *queries = generate(cases[c].spec, 7);
    struct query_cursor cursor;
    query_cursor_init(&cursor, queries, 0, 1, 0);
    unsigned counts[1000] = {0};
    for (int i = 0; i < DRAWS; i++) {
      struct query query;
      queries_next(&cursor, &query);
      unsigned number;
      assert_int_equal(sscanf(query.name, "d%u.bench.test", &number), 1);
      assert_int_equal(query.length, strlen(query.name));
      assert_true(number < 1000);
      counts[number]++;
    }
    double sum = 0;
    for (int k = 1; k <= 1000; k++)
      sum += pow(k, -cases[c].exponent);
    static const int ranks[] = {1, 2, 3, 10, 100};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
      double expected = DRAWS * pow(ranks[i], -cases[c].exponent) / sum;
      /* Six deviations of a Poisson count: never by chance. */
      assert_true(fabs(counts[ranks[i] - 1] - expected) < 6 * sqrt(expected) + 1);
    }
    queries_destroy(queries);
  }
}

static void a_uniform_generator_draws_every_name_as_often(void **state) {
  (void)state;
  struct queries *queries = generate("uniform:n=100", 7);
  struct query_cursor cursor;
  query_cursor_init(&cursor, queries, 0, 1, 0);
  unsigned counts[100] = {0};
  for (int i = 0; i < DRAWS; i++) {
    struct query query;
    queries_next(&cursor, &query);
    counts[strtoul(query.name + 1, NULL, 10)]++;
  }
  for (size_t i = 0; i < 100; i++)
    assert_true(fabs(counts[i] - DRAWS / 100.0) < 6 * sqrt(DRAWS / 100.0));
  queries_destroy(queries);
}

static void the_shares_are_those_asked_for(void **state) {
  (void)state;
  struct queries *queries = generate("zipf:n=1000,nx=0.1,new=0.05", 7);
  struct query_cursor cursor;
  query_cursor_init(&cursor, queries, 0, 1, 0);
  unsigned counts[256] = {0};
  for (int i = 0; i < DRAWS; i++) {
    struct query query;
    queries_next(&cursor, &query);
    counts[(unsigned char)query.name[0]]++;
    assert_true((query.name[0] == 'u') == (strchr(query.name, '-') != NULL));
    assert_string_equal(query.name + query.length - 11, ".bench.test");
  }
  assert_true(fabs(counts['n'] - DRAWS * 0.1) < 6 * sqrt(DRAWS * 0.1));
  assert_true(fabs(counts['u'] - DRAWS * 0.05) < 6 * sqrt(DRAWS * 0.05));
  assert_int_equal(counts['d'] + counts['n'] + counts['u'], DRAWS);
  queries_destroy(queries);
}

static int compare_names(const void *a, const void *b) { return strcmp(a, b); }

static void new_names_never_come_twice_in_any_cursor_or_round(void **state) {
  (void)state;
  enum { CURSORS = 4, EACH = 5000 };
  struct queries *queries = generate("uniform:n=1,new=1", 7);
  char(*names)[64] = calloc(CURSORS * EACH, sizeof *names);
  for (size_t c = 0; c < CURSORS; c++) {
    struct query_cursor cursor;
    query_cursor_init(&cursor, queries, c / 2, 2, c % 2);
    for (size_t i = 0; i < EACH; i++) {
      struct query query;
      queries_next(&cursor, &query);
      assert_true(query.length < sizeof *names);
      memcpy(names[c * EACH + i], query.name, query.length + 1);
    }
  }
  qsort(names, CURSORS * EACH, sizeof *names, compare_names);
  for (size_t i = 1; i < CURSORS * EACH; i++)
    assert_string_not_equal(names[i - 1], names[i]);
  free(names);
  queries_destroy(queries);
}

/* Whether two cursors draw the same first hundred names. */
static bool draw_alike(struct query_cursor *one, struct query_cursor *other) {
  for (int i = 0; i < 100; i++) {
    struct query a, b;
    queries_next(one, &a);
    queries_next(other, &b);
    if (strcmp(a.name, b.name) != 0)
      return false;
  }
  return true;
}

static void a_seed_decides_all_and_rounds_ask_the_same(void **state) {
  (void)state;
  struct queries *one = generate("zipf:n=100000", 7), *same = generate("zipf:n=100000", 7);
  struct queries *other = generate("zipf:n=100000", 8);
  struct query_cursor a, b;
  query_cursor_init(&a, one, 1, 4, 0);
  query_cursor_init(&b, same, 1, 4, 3);
  assert_true(draw_alike(&a, &b));
  query_cursor_init(&b, other, 1, 4, 0);
  assert_false(draw_alike(&a, &b));
  query_cursor_init(&a, one, 1, 4, 0);
  query_cursor_init(&b, one, 2, 4, 0);
  assert_false(draw_alike(&a, &b));
  assert_true(queries_hash(one) == queries_hash(same));
  assert_true(queries_hash(one) != queries_hash(other));
  queries_destroy(one);
  queries_destroy(same);
  queries_destroy(other);
}

static void a_bad_generator_is_refused_with_the_word(void **state) {
  (void)state;
  static const struct {
    const char *spec, *word;
  } cases[] = {
      {"pareto:n=5", "'pareto'"},
      {"zipf:n=0", "'n=0'"},
      {"zipf:n=1.5", "'n=1.5'"},
      {"zipf:n=5x", "'n=5x'"},
      {"uniform:s=1", "'s=1'"},
      {"zipf:s=0", "'s=0'"},
      {"zipf:nx=1.1", "'nx=1.1'"},
      {"zipf:new=-1", "'new=-1'"},
      {"zipf:nx=0.6,new=0.5", "more than 1"},
      {"zipf:n", "'n='"},
      {"", "''"},
      {"zipf:s=nan", "'s=nan'"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char error[QUERIES_ERROR_SIZE] = "";
    assert_null(queries_generate(cases[i].spec, 1, error));
    assert_non_null(strstr(error, cases[i].word));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_file_gives_its_lines_in_order_and_starts_anew),
      cmocka_unit_test(a_bad_line_is_named_with_file_and_number),
      cmocka_unit_test(a_name_has_at_most_253_octets_and_a_dot),
      cmocka_unit_test(a_file_without_a_query_is_refused),
      cmocka_unit_test(a_file_that_cannot_be_read_is_named),
      cmocka_unit_test(cursors_share_a_file_without_gaps),
      cmocka_unit_test(the_hash_is_that_of_the_content),
      cmocka_unit_test(a_zipf_generator_draws_by_the_law),
      cmocka_unit_test(a_uniform_generator_draws_every_name_as_often),
      cmocka_unit_test(the_shares_are_those_asked_for),
      cmocka_unit_test(new_names_never_come_twice_in_any_cursor_or_round),
      cmocka_unit_test(a_seed_decides_all_and_rounds_ask_the_same),
      cmocka_unit_test(a_bad_generator_is_refused_with_the_word),
  };
  return cmocka_run_group_tests_name("bench_queries", tests, NULL, NULL);
}
