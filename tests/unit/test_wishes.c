#include "cmocka_compat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/wishes.h"

static const uint8_t v4[4] = {192, 0, 2, 1}, mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
static const uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1};

struct fixture {
  union wishes_block block;
  char detail[WISHES_DETAIL_SIZE];
};

static void open_block(struct fixture *fixture) {
  memset(&fixture->block, 0x5a, sizeof(fixture->block));
  memset(fixture->detail, 0, sizeof(fixture->detail));
  wishes_init(&fixture->block.wishes);
}

static bool add(struct fixture *fixture, enum wish wish, const char *text) {
  return wishes_add_text(&fixture->block.wishes, wish, "field", (const uint8_t *)text, strlen(text),
                         fixture->detail);
}

static bool have(const struct fixture *fixture, enum wish wish, const char *name) {
  return wishes_have_name(&fixture->block.wishes, wish, name, strlen(name));
}

static void no_wishes_are_no_wish(void **state) {
  (void)state;
  struct fixture fixture;
  open_block(&fixture);
  const struct wishes *both[] = {NULL, &fixture.block.wishes};
  for (size_t i = 0; i < 2; i++)
    for (enum wish wish = 0; wish < WISH_COUNT; wish++) {
      assert_false(wishes_have(both[i], wish));
      assert_false(wishes_have_name(both[i], wish, "a.test", 6));
      assert_false(wishes_have_address(both[i], wish, v4, 4));
    }
  assert_int_equal(wishes_bytes(NULL), 0);
  assert_int_equal(wishes_bytes(&fixture.block.wishes), sizeof(struct wishes));
}

static void names_are_found_in_their_own_list_however_they_were_spelled(void **state) {
  (void)state;
  struct fixture fixture;
  open_block(&fixture);
  assert_true(add(&fixture, WISH_SELF, "MX.Example.test."));
  assert_true(add(&fixture, WISH_EXCLUDE,
                  "b\xc3\xbc"
                  "cher.test"));
  assert_true(add(&fixture, WISH_SELF, "localhost"));
  assert_true(have(&fixture, WISH_SELF, "mx.example.test"));
  assert_false(have(&fixture, WISH_EXCLUDE, "mx.example.test"));
  assert_true(have(&fixture, WISH_EXCLUDE, "xn--bcher-kva.test"));
  assert_true(have(&fixture, WISH_SELF, "localhost"));
  assert_false(have(&fixture, WISH_SELF, "mx.example.tes"));
  assert_false(have(&fixture, WISH_SELF, "x.example.test"));
  assert_true(wishes_have(&fixture.block.wishes, WISH_SELF));
}

static void an_ipv4_address_and_its_mapped_form_are_one(void **state) {
  (void)state;
  static const struct {
    const uint8_t *octets;
    size_t length;
  } forms[] = {{v4, 4}, {mapped, 16}};
  for (size_t i = 0; i < 2; i++) {
    struct fixture fixture;
    open_block(&fixture);
    struct wishes *wishes = &fixture.block.wishes;
    assert_true(
        wishes_add_address(wishes, WISH_SELF, "field", forms[i].octets, forms[i].length, fixture.detail));
    for (size_t j = 0; j < 2; j++) {
      assert_true(wishes_have_address(wishes, WISH_SELF, forms[j].octets, forms[j].length));
      assert_false(wishes_have_address(wishes, WISH_EXCLUDE, forms[j].octets, forms[j].length));
    }
    assert_false(wishes_have_address(wishes, WISH_SELF, v6, 16));
    /* The octets of an address are no name. */
    assert_false(wishes_have_name(wishes, WISH_SELF, (const char *)v4, 4));
  }
}

static void an_address_in_text_is_an_address(void **state) {
  (void)state;
  static const char *const v4_texts[] = {"192.0.2.1", "[192.0.2.1]", "::ffff:192.0.2.1",
                                         "[IPv6:::ffff:192.0.2.1]"};
  for (size_t i = 0; i < 4; i++) {
    struct fixture fixture;
    open_block(&fixture);
    assert_true(add(&fixture, WISH_EXCLUDE, v4_texts[i]));
    assert_true(wishes_have_address(&fixture.block.wishes, WISH_EXCLUDE, v4, 4));
    assert_false(have(&fixture, WISH_EXCLUDE, "192.0.2.1"));
  }
  struct fixture fixture;
  open_block(&fixture);
  assert_true(add(&fixture, WISH_EXCLUDE, "2001:DB8::1"));
  assert_true(wishes_have_address(&fixture.block.wishes, WISH_EXCLUDE, v6, 16));
}

static void what_is_no_name_is_refused_by_its_field(void **state) {
  (void)state;
  static const char *const texts[] = {"", ".", "a..test", "a b.test", "[192.0.2.256]", "xn--\xc3\xbc.test"};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    struct fixture fixture;
    open_block(&fixture);
    assert_false(add(&fixture, WISH_EXCLUDE, texts[i]));
    assert_memory_equal(fixture.detail, "field: ", 7);
    assert_int_equal(wishes_bytes(&fixture.block.wishes), sizeof(struct wishes));
  }
}

static void only_4_and_16_octets_are_an_address(void **state) {
  (void)state;
  for (size_t length = 0; length <= 16; length++) {
    struct fixture fixture;
    open_block(&fixture);
    assert_int_equal(
        wishes_add_address(&fixture.block.wishes, WISH_SELF, "field", v6, length, fixture.detail),
        length == 4 || length == 16);
  }
}

static void the_65th_item_is_refused_whatever_its_list(void **state) {
  (void)state;
  struct fixture fixture;
  open_block(&fixture);
  for (unsigned i = 0; i < WISHES_ITEMS_MAX; i++)
    assert_true(wishes_add_address(&fixture.block.wishes, i % 2 ? WISH_SELF : WISH_EXCLUDE, "field", v4, 4,
                                   fixture.detail));
  assert_false(add(&fixture, WISH_SELF, "a.test"));
  assert_string_equal(fixture.detail, "field: more than 64 names and addresses");
}

static void names_addresses_and_key_share_4096_octets(void **state) {
  (void)state;
  char name[254];
  uint8_t *key = calloc(1, WISHES_OCTETS_MAX + 1);
  assert_non_null(key);
  for (size_t i = 0; i < 253; i++)
    name[i] = i % 64 == 63 ? '.' : 'x';
  name[253] = '\0';
  for (size_t key_length = 48; key_length <= 49; key_length++) {
    struct fixture fixture;
    open_block(&fixture);
    assert_true(wishes_set_key(&fixture.block.wishes, "order_key", key, key_length, fixture.detail));
    for (unsigned i = 0; i < 15; i++)
      assert_true(add(&fixture, WISH_EXCLUDE, name));
    /* 15 * 253 + 48 = 3843: the last name fills it to the end, or is one octet too many. */
    assert_int_equal(add(&fixture, WISH_EXCLUDE, name), key_length == 48);
    if (key_length == 49)
      assert_string_equal(fixture.detail, "field: more than 4096 octets of names, addresses and key");
    assert_in_range(wishes_bytes(&fixture.block.wishes), 1, WISHES_BYTES_MAX);
  }
  struct fixture fixture;
  open_block(&fixture);
  assert_true(wishes_set_key(&fixture.block.wishes, "order_key", key, WISHES_OCTETS_MAX, fixture.detail));
  assert_false(add(&fixture, WISH_SELF, "a.test"));
  open_block(&fixture);
  assert_false(
      wishes_set_key(&fixture.block.wishes, "order_key", key, WISHES_OCTETS_MAX + 1, fixture.detail));
  assert_memory_equal(fixture.detail, "order_key: ", 11);
  free(key);
}

static void the_fullest_block_has_room(void **state) {
  (void)state;
  char name[80];
  struct fixture fixture;
  open_block(&fixture);
  for (unsigned i = 0; i < WISHES_ITEMS_MAX; i++) { /* 64 names of 64 octets are 4096 */
    snprintf(name, sizeof(name), "%059u.test", i);
    assert_true(add(&fixture, i % 2 ? WISH_SELF : WISH_EXCLUDE, name));
  }
  assert_int_equal(wishes_bytes(&fixture.block.wishes), WISHES_BYTES_MAX);
  for (unsigned i = 0; i < WISHES_ITEMS_MAX; i++) {
    snprintf(name, sizeof(name), "%059u.test", i);
    assert_int_equal(have(&fixture, WISH_SELF, name), i % 2 == 1);
    assert_int_equal(have(&fixture, WISH_EXCLUDE, name), i % 2 == 0);
  }
}

static void a_block_may_be_moved_by_its_bytes(void **state) {
  (void)state;
  struct fixture fixture;
  open_block(&fixture);
  assert_true(wishes_set_key(&fixture.block.wishes, "order_key", "sender", 6, fixture.detail));
  assert_true(add(&fixture, WISH_SELF, "a.test"));
  assert_true(add(&fixture, WISH_EXCLUDE, "192.0.2.1"));
  size_t length = wishes_bytes(&fixture.block.wishes);
  struct wishes *copy = malloc(length);
  assert_non_null(copy);
  memcpy(copy, &fixture.block, length);
  memset(&fixture.block, 0, sizeof(fixture.block));
  assert_true(wishes_have_name(copy, WISH_SELF, "a.test", 6));
  assert_true(wishes_have_address(copy, WISH_EXCLUDE, v4, 4));
  assert_int_not_equal(copy->key, 0);
  free(copy);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_wishes_are_no_wish),
      cmocka_unit_test(names_are_found_in_their_own_list_however_they_were_spelled),
      cmocka_unit_test(an_ipv4_address_and_its_mapped_form_are_one),
      cmocka_unit_test(an_address_in_text_is_an_address),
      cmocka_unit_test(what_is_no_name_is_refused_by_its_field),
      cmocka_unit_test(only_4_and_16_octets_are_an_address),
      cmocka_unit_test(the_65th_item_is_refused_whatever_its_list),
      cmocka_unit_test(names_addresses_and_key_share_4096_octets),
      cmocka_unit_test(the_fullest_block_has_room),
      cmocka_unit_test(a_block_may_be_moved_by_its_bytes),
  };
  return cmocka_run_group_tests_name("wishes", tests, NULL, NULL);
}
