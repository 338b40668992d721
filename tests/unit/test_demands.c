#include "cmocka_compat.h"

#include <string.h>

#include "mxway.pb-c.h"
#include "serve/demands.h"

typedef Mxway__V1__LookupRequest wire;

static const wire empty = MXWAY__V1__LOOKUP_REQUEST__INIT;

/* A request as it comes off the wire, whose octets it points into. */
struct packed {
  uint8_t bytes[70000];
  struct request request;
};

static struct packed packed;
static union wishes_block block;
static char detail[WISHES_DETAIL_SIZE];

static const struct request *pack(const wire *message) {
  size_t length = mxway__v1__lookup_request__get_packed_size(message);
  assert_in_range(length, 0, sizeof(packed.bytes));
  mxway__v1__lookup_request__pack(message, packed.bytes);
  assert_true(request_parse(packed.bytes, length, &packed.request));
  return &packed.request;
}

static ProtobufCBinaryData binary(const char *text) {
  return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static void assert_refused(const wire *message, const char *field) {
  const struct request *request = pack(message);
  assert_false(demands_are_none(request));
  memset(detail, 0, sizeof(detail));
  assert_false(demands_read(request, &block, detail));
  assert_memory_equal(detail, field, strlen(field));
}

static void a_name_at_some_depth_is_no_demand(void **state) {
  (void)state;
  wire message = empty;
  message.id = 7;
  message.domain = binary("example.com");
  message.no_stale = message.refresh = message.cache_only = message.explain = 1;
  for (int depth = DEPTH_EXCHANGES; depth <= DEPTH_ADDRESSES; depth++) {
    message.depth = (Mxway__V1__Depth)depth;
    assert_true(demands_are_none(pack(&message)));
  }
}

static void each_wish_is_a_demand_and_is_read(void **state) {
  (void)state;
  wire message = empty;
  message.order = MXWAY__V1__ORDER__ORDER_STABLE;
  assert_false(demands_are_none(pack(&message)));
  assert_true(demands_read(&packed.request, &block, detail));
  assert_int_equal(block.wishes.order, ORDER_STABLE);
  message = empty;
  message.family = MXWAY__V1__FAMILY__FAMILY_V4;
  assert_false(demands_are_none(pack(&message)));
  assert_true(demands_read(&packed.request, &block, detail));
  assert_int_equal(block.wishes.families, FAMILIES_V4);
  message = empty;
  message.primary_only = 1;
  assert_false(demands_are_none(pack(&message)));
  assert_true(demands_read(&packed.request, &block, detail));
  assert_true(block.wishes.primary_only);
  message = empty;
  message.max_exchanges = 5;
  assert_false(demands_are_none(pack(&message)));
  assert_true(demands_read(&packed.request, &block, detail));
  assert_int_equal(block.wishes.max_exchanges, 5);
}

static void more_exchanges_than_a_block_can_say_are_as_many_as_it_can(void **state) {
  (void)state;
  wire message = empty;
  message.max_exchanges = UINT32_MAX;
  assert_true(demands_read(pack(&message), &block, detail));
  assert_int_equal(block.wishes.max_exchanges, UINT8_MAX);
}

static void lists_are_for_what_their_fields_say(void **state) {
  (void)state;
  ProtobufCBinaryData names[] = {binary("mx.self.test")}, addresses[] = {{4, (uint8_t[]){192, 0, 2, 1}}},
                      excluded[] = {binary("bad.test")};
  wire message = empty;
  message.n_self_names = message.n_self_addresses = message.n_exclude = 1;
  message.self_names = names;
  message.self_addresses = addresses;
  message.exclude = excluded;
  assert_false(demands_are_none(pack(&message)));
  assert_true(demands_read(&packed.request, &block, detail));
  assert_true(wishes_have_name(&block.wishes, WISH_SELF, "mx.self.test", 12));
  assert_true(wishes_have_address(&block.wishes, WISH_SELF, addresses[0].data, 4));
  assert_true(wishes_have_name(&block.wishes, WISH_EXCLUDE, "bad.test", 8));
  assert_false(wishes_have_name(&block.wishes, WISH_EXCLUDE, "mx.self.test", 12));
}

static void what_is_not_known_here_is_refused_by_its_field(void **state) {
  (void)state;
  wire message = empty;
  message.depth = (Mxway__V1__Depth)(DEPTH_ADDRESSES + 1);
  assert_refused(&message, "depth:");
  message.depth = (Mxway__V1__Depth)-1;
  assert_refused(&message, "depth:");
  message = empty;
  message.order = (Mxway__V1__Order)ORDER_COUNT;
  assert_refused(&message, "order:");
  message = empty;
  message.family = (Mxway__V1__Family)FAMILIES_COUNT;
  assert_refused(&message, "family:");
}

static void a_key_and_the_order_it_is_for_go_together(void **state) {
  (void)state;
  wire message = empty;
  message.order = MXWAY__V1__ORDER__ORDER_KEYED;
  assert_refused(&message, "order_key:");
  message.order_key = binary("k");
  assert_true(demands_read(pack(&message), &block, detail));
  message.order = MXWAY__V1__ORDER__ORDER_STABLE;
  assert_refused(&message, "order_key:");
}

static void an_item_that_cannot_be_is_refused_by_its_field(void **state) {
  (void)state;
  ProtobufCBinaryData name[] = {binary("two words")}, address[] = {{3, (uint8_t[]){1, 2, 3}}};
  wire message = empty;
  message.n_self_names = 1;
  message.self_names = name;
  assert_refused(&message, "self_names");
  message = empty;
  message.n_self_addresses = 1;
  message.self_addresses = address;
  assert_refused(&message, "self_addresses");
  message = empty;
  message.n_exclude = 1;
  message.exclude = name;
  assert_refused(&message, "exclude");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_name_at_some_depth_is_no_demand),
      cmocka_unit_test(each_wish_is_a_demand_and_is_read),
      cmocka_unit_test(more_exchanges_than_a_block_can_say_are_as_many_as_it_can),
      cmocka_unit_test(lists_are_for_what_their_fields_say),
      cmocka_unit_test(what_is_not_known_here_is_refused_by_its_field),
      cmocka_unit_test(a_key_and_the_order_it_is_for_go_together),
      cmocka_unit_test(an_item_that_cannot_be_is_refused_by_its_field),
  };
  return cmocka_run_group_tests_name("demands", tests, NULL, NULL);
}
