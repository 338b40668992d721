#include "cmocka_compat.h"

#include "base/random.h"
#include "made_seal.h"
#include "notice_samples.h"

enum { ROUNDS = 200000, BUFFER_SIZE = NOTICE_MAX + 64 };

static struct seal *seal, *other_seal;
static struct notice made, found;
static uint8_t bytes[BUFFER_SIZE];

static size_t pack(size_t sample, const struct seal *with) {
  notice_sample(&made, sample);
  memset(bytes, 0xa5, sizeof(bytes));
  size_t length = notice_pack(bytes, &made, notice_sample_key, with);
  assert_in_range(length, NOTICE_HEAD_BYTES, NOTICE_MAX);
  assert_int_equal(bytes[NOTICE_MAX], 0xa5);
  return length;
}

static enum notice_status parse(size_t length, const struct seal *with) {
  enum notice_status status = notice_parse_copy(bytes, length, notice_sample_key, with, &found);
  if (status == NOTICE_GOOD)
    assert_null(notice_check(bytes, length, notice_sample_key, with, &found));
  return status;
}

static void what_is_told_is_heard(void **state) {
  (void)state;
  const struct seal *seals[] = {NULL, seal};
  for (size_t with = 0; with < 2; with++)
    for (size_t i = 0; i < NOTICE_SAMPLE_COUNT; i++) {
      assert_int_equal(parse(pack(i, seals[with]), seals[with]), NOTICE_GOOD);
      assert_int_equal(found.origin, made.origin);
      assert_int_equal(found.is_beginning, made.is_beginning);
      assert_int_equal(found.followed, made.followed);
      assert_int_equal(found.length, made.length);
      assert_memory_equal(found.names, made.names, made.length);
      if (!made.is_beginning)
        assert_int_equal(found.what, made.what);
    }
}

static void names_come_in_the_order_in_which_they_were_added(void **state) {
  (void)state;
  static const char *const texts[] = {"b.example", "a.example", "single"};
  struct name name;
  size_t at = 0;
  notice_init(&made, PURGE_OF_DOMAIN);
  for (size_t i = 0; i < 3; i++) {
    name = notice_name(texts[i]);
    assert_true(notice_add(&made, &name));
  }
  for (size_t i = 0; i < 3; i++) {
    assert_true(notice_next(&made, &at, &name));
    assert_string_equal(name.text, texts[i]);
  }
  assert_false(notice_next(&made, &at, &name));
}

static void an_address_can_be_an_exchange_but_no_domain(void **state) {
  (void)state;
  struct name name;
  size_t at = 0, length = pack(2, NULL);
  assert_int_equal(parse(length, NULL), NOTICE_GOOD);
  assert_true(notice_next(&found, &at, &name));
  assert_int_equal(name.kind, NAME_LITERAL);
  bytes[NOTICE_AT_WHAT] = 'D';
  assert_int_equal(parse(notice_close(bytes, length - NOTICE_CHECKSUM_BYTES, notice_sample_key, NULL), NULL),
                   NOTICE_IMPOSSIBLE);
}

static void every_changed_bit_is_seen(void **state) {
  (void)state;
  const struct seal *seals[] = {NULL, seal};
  for (size_t with = 0; with < 2; with++)
    for (size_t sample = 0; sample < NOTICE_SAMPLE_COUNT - 1; sample++) {
      size_t length = pack(sample, seals[with]);
      for (size_t bit = 0; bit < 8 * length; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(parse(length, seals[with]), NOTICE_GOOD);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
      }
      for (size_t cut = 0; cut < length; cut++)
        assert_int_not_equal(parse(cut, seals[with]), NOTICE_GOOD);
    }
}

static void each_reason_is_told_apart(void **state) {
  (void)state;
  size_t length = pack(0, NULL);
  assert_int_equal(parse(NOTICE_MAX + 1, NULL), NOTICE_TOO_LONG);
  assert_int_equal(parse(0, NULL), NOTICE_NO_NOTICE);
  assert_int_equal(parse(length - 1, NULL), NOTICE_BAD_CHECKSUM);
  assert_int_equal(parse(length, seal), NOTICE_BAD_MAC);
  bytes[4]++;
  assert_int_equal(parse(length, NULL), NOTICE_UNKNOWN_VERSION);
  bytes[0]++;
  assert_int_equal(parse(length, NULL), NOTICE_NO_NOTICE);
}

static void with_a_key_only_what_is_sealed_with_it_is_believed(void **state) {
  (void)state;
  size_t length = pack(5, seal);
  assert_int_equal(parse(length, seal), NOTICE_GOOD);
  assert_int_equal(parse(length, other_seal), NOTICE_BAD_MAC);
  assert_int_equal(parse(length, NULL), NOTICE_GOOD); /* who has no key believes all */
  length = pack(5, other_seal);
  assert_int_equal(parse(length, seal), NOTICE_BAD_MAC);
}

static void a_seal_is_good_for_one_list_alone(void **state) {
  (void)state;
  size_t length = pack(5, seal);
  assert_int_equal(notice_parse(bytes, length, "mail:1:purges", seal, &found), NOTICE_BAD_MAC);
}

/* Closed with a checksum of its own, as who has no key can. */
static enum notice_status parse_closed(size_t length) {
  return parse(notice_close(bytes, length, notice_sample_key, NULL), NULL);
}

static void what_nobody_can_have_written_is_refused(void **state) {
  (void)state;
  static const char *const names[] = {"Shop.example", "a..b", "", "a b.example", "shop.example."};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    size_t name_length = strlen(names[i]);
    pack(0, NULL);
    bytes[NOTICE_HEAD_BYTES - 2] = (uint8_t)(1 + name_length);
    bytes[NOTICE_HEAD_BYTES] = (uint8_t)name_length;
    memcpy(bytes + NOTICE_HEAD_BYTES + 1, names[i], name_length);
    assert_int_equal(parse_closed(NOTICE_HEAD_BYTES + 1 + name_length), NOTICE_IMPOSSIBLE);
  }
  static const char letters[] = {'C', 'd', 0, (char)0xff};
  for (size_t i = 0; i < sizeof(letters); i++) {
    size_t length = pack(5, NULL);
    bytes[NOTICE_AT_WHAT] = (uint8_t)letters[i];
    assert_int_equal(parse_closed(length - NOTICE_CHECKSUM_BYTES), NOTICE_IMPOSSIBLE);
  }
}

static void a_notice_has_as_many_names_as_it_needs(void **state) {
  (void)state;
  static const char with_one[] = "BNFA", without[] = "DSX", with_many[] = "BSXNFA";
  for (size_t i = 0; with_one[i]; i++) {
    size_t length = pack(1, NULL);
    bytes[NOTICE_AT_WHAT] = (uint8_t)with_one[i];
    assert_int_equal(parse_closed(length - NOTICE_CHECKSUM_BYTES), NOTICE_IMPOSSIBLE);
  }
  for (size_t i = 0; without[i]; i++) {
    size_t length = pack(5, NULL);
    bytes[NOTICE_AT_WHAT] = (uint8_t)without[i];
    assert_int_equal(parse_closed(length - NOTICE_CHECKSUM_BYTES), NOTICE_IMPOSSIBLE);
  }
  for (size_t i = 0; with_many[i]; i++) {
    size_t length = pack(7, NULL);
    bytes[NOTICE_AT_WHAT] = (uint8_t)with_many[i];
    assert_int_equal(parse_closed(length - NOTICE_CHECKSUM_BYTES), NOTICE_IMPOSSIBLE);
  }
}

static void names_have_bounded_room(void **state) {
  (void)state;
  char text[NAME_TEXT_MAX + 1];
  size_t count = 0;
  memset(text, 'a', sizeof(text));
  for (size_t i = 63; i < NAME_TEXT_MAX; i += 64)
    text[i] = '.';
  text[NAME_TEXT_MAX] = '\0';
  struct name name = notice_name(text);
  notice_init(&made, PURGE_OF_DOMAIN);
  while (notice_add(&made, &name))
    count++;
  assert_int_equal(count, NOTICE_NAMES_BYTES / (NAME_TEXT_MAX + 1));
  assert_int_equal(parse(notice_pack(bytes, &made, notice_sample_key, seal), seal), NOTICE_GOOD);
}

static void random_octets_are_refused_or_one_notice(void **state) {
  (void)state;
  struct random random = {0x6d787761};
  for (size_t i = 0; i < ROUNDS; i++) {
    size_t length = pack(i % NOTICE_SAMPLE_COUNT, NULL) - NOTICE_CHECKSUM_BYTES;
    for (uint32_t changes = 1 + random_below(&random, 4); changes > 0; changes--)
      bytes[NOTICE_AT_WHAT + random_below(&random, (uint32_t)(length - NOTICE_AT_WHAT))] =
          (uint8_t)random_next(&random);
    parse_closed(length - random_below(&random, 4));
    length = random_below(&random, BUFFER_SIZE);
    random_bytes(bytes, length);
    assert_int_not_equal(parse(length, NULL), NOTICE_GOOD);
  }
}

static void every_status_has_a_text(void **state) {
  (void)state;
  for (enum notice_status status = NOTICE_GOOD; status <= NOTICE_IMPOSSIBLE; status++)
    assert_true(strlen(notice_status_text(status)) > 5);
}

static int set_up(void **state) {
  (void)state;
  seal = make_seal(1);
  other_seal = make_seal(2);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  seal_destroy(seal);
  seal_destroy(other_seal);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_told_is_heard),
      cmocka_unit_test(names_come_in_the_order_in_which_they_were_added),
      cmocka_unit_test(an_address_can_be_an_exchange_but_no_domain),
      cmocka_unit_test(every_changed_bit_is_seen),
      cmocka_unit_test(each_reason_is_told_apart),
      cmocka_unit_test(with_a_key_only_what_is_sealed_with_it_is_believed),
      cmocka_unit_test(a_seal_is_good_for_one_list_alone),
      cmocka_unit_test(what_nobody_can_have_written_is_refused),
      cmocka_unit_test(a_notice_has_as_many_names_as_it_needs),
      cmocka_unit_test(names_have_bounded_room),
      cmocka_unit_test(random_octets_are_refused_or_one_notice),
      cmocka_unit_test(every_status_has_a_text),
  };
  return cmocka_run_group_tests_name("notice", tests, set_up, tear_down);
}
